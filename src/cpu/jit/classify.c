/*
 * Chooses what becomes of a decoded instruction: by its row of the instruction table, by the traits that follow from
 * Zydis' attributes, and by what the VM's CPUID and the block's mode allow.
 */
#include "cpu/core/cpuid.h"
#include "cpu/insn/ops.h"
#include "cpu/jit/isa.h"
#include "cpu/jit/translate.h"

/* What must hold of a block's mode for the unit to be usable, and what is called if it does not. */
static const struct {
    u32 mask, mode;
    insn_fn unusable;
} units[UNIT_COUNT] = {
    [UNIT_X87] = {MODE_X87, MODE_X87, op_x87_unusable},
    [UNIT_MMX] = {MODE_X87, MODE_X87, op_mmx_unusable},
    [UNIT_FWAIT] = {MODE_FWAIT, 0, op_x87_unusable},
    [UNIT_SSE] = {MODE_SSE, MODE_SSE, op_sse_unusable},
    [UNIT_SSE_MMX] = {MODE_SSE | MODE_X87, MODE_SSE | MODE_X87, op_sse_unusable},
    [UNIT_AVX] = {MODE_AVX, MODE_AVX, op_avx_unusable},
    [UNIT_AVX512] = {MODE_AVX512, MODE_AVX512, op_avx512_unusable},
};

/* SDM volume 2, "Exception Specifications of EVEX-Encoded Instructions": these classes have no fault suppression. */
static bool class_suppresses(ZydisExceptionClass class)
{
    switch (class) {
    case ZYDIS_EXCEPTION_CLASS_E1NF:
    case ZYDIS_EXCEPTION_CLASS_E3NF:
    case ZYDIS_EXCEPTION_CLASS_E4NF:
    case ZYDIS_EXCEPTION_CLASS_E5NF:
    case ZYDIS_EXCEPTION_CLASS_E6NF:
    case ZYDIS_EXCEPTION_CLASS_E9NF:
    case ZYDIS_EXCEPTION_CLASS_E10NF: return false;
    default: return true;
    }
}

static enum insn_unit vector_unit(const ZydisDecodedInstruction *zi, bool mmx)
{
    if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
        return UNIT_AVX512;
    if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
        return zi->meta.isa_ext == ZYDIS_ISA_EXT_AVX512VEX ? UNIT_AVX512 : UNIT_AVX;
    return mmx ? UNIT_SSE_MMX : UNIT_SSE;
}

void describe(struct decoded *d, enum vendor host)
{
    bool amd = host == VENDOR_AMD;
    const ZydisDecodedInstruction *zi = d->zi;
    const struct insn_row *row = &insn_table[zi->mnemonic];
    bool mmx = false, vector = false, x87 = zi->meta.isa_ext == ZYDIS_ISA_EXT_X87 || row->unit == UNIT_X87;
    unsigned memory_bits = 0;
    for (unsigned i = 0; i < zi->operand_count; i++) {
        const ZydisDecodedOperand *o = &d->zo[i];
        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
            ZydisRegister r = o->reg.value;
            mmx |= r >= ZYDIS_REGISTER_MM0 && r <= ZYDIS_REGISTER_MM7;
            vector |= (r >= ZYDIS_REGISTER_XMM0 && r <= ZYDIS_REGISTER_ZMM31) ||
                      (r >= ZYDIS_REGISTER_K0 && r <= ZYDIS_REGISTER_K7);
        } else if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && !memory_bits) {
            memory_bits = o->size;
        }
    }
    u32 traits = row->traits;
    if (x87)
        traits |= INSN_X87;
    if ((x87 || mmx) && !(traits & INSN_X87_NO_WAIT))
        traits |= INSN_X87_WAITS;
    if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && memory_bits == 128 && !(traits & INSN_UNALIGNED) &&
        !(amd && traits & INSN_UNALIGNED_ON_AMD))
        traits |= INSN_ALIGNED;
    if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && class_suppresses(zi->meta.exception_class) &&
        !(traits & INSN_NO_SUPPRESSION))
        traits |= INSN_SUPPRESSES;
    if (amd || zi->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
        traits &= ~(u32)INSN_UNCHECKED;
    d->traits = traits;
    d->class = row->class;
    d->fn = row->fn;
    d->ends = traits & INSN_ENDS;
    d->brief = row->brief;
    if (row->unit == UNIT_VECTOR || (row->unit == UNIT_BY_OPERANDS && vector))
        d->unit = vector_unit(zi, mmx);
    else if (row->unit != UNIT_BY_OPERANDS)
        d->unit = row->unit;
    else
        d->unit = x87 ? UNIT_X87 : mmx ? UNIT_MMX : UNIT_UNCHECKED;
}

/* Returns the form of the instruction that is called, or NULL if it is not one of those. */
static const struct insn_form *called_form(const struct decoded *d, bool flat)
{
    const struct insn_form *f = insn_table[d->zi->mnemonic].forms;
    const struct insn *in = &d->in;
    if (!f)
        return NULL;
    unsigned is =
        (in->mod != 3 ? FORM_MEMORY : 0) | (flat ? 0 : FORM_SEGMENTED) | (in->reg == 3 || in->reg == 5 ? FORM_FAR : 0);
    for (; f->fn; f++)
        if (f->map == in->map && in->opcode >= f->first && in->opcode <= f->last && (f->when & ~is) == 0)
            return f;
    return NULL;
}

static void call(struct decoded *d, insn_fn fn, bool ends)
{
    d->class = CLASS_CALL;
    d->fn = fn;
    d->ends = ends;
    d->brief = BRIEF_NONE;
}

void classify(struct tr *t)
{
    struct decoded *d = t->d;
    describe(d, host_vendor());
    const struct insn_form *form = called_form(d, t->flat);
    if (form) {
        call(d, form->fn, form->ends);
        d->brief = form->brief;
        return;
    }
    if (!isa_allowed(t->v->vm, (u16)d->zi->meta.isa_set) && d->class != CLASS_NOP && !(d->traits & INSN_ANY_CPU)) {
        if (d->traits & INSN_PREFIX_IGNORED)
            t->output[d - t->insn].zi.raw.prefix_count = 0;
        else
            call(d, op_ud, true);
        return;
    }
    bool vex = d->zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX || d->zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
    if ((t->mode & units[d->unit].mask) != units[d->unit].mode)
        call(d, units[d->unit].unusable, true);
    else if (vex && !(t->mode & MODE_PROT))
        call(d, op_ud, true);
    else if (d->traits & INSN_CALL_IN_L2 && !(t->mode & MODE_GUEST))
        d->class = CLASS_COPY;
}
