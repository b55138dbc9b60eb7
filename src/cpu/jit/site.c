/*
 * What the slow path must know of a memory access: its size and kind, by the instruction's traits, and the data behind
 * the CALLs of the cold part.
 */
#include "cpu/jit/site.h"

#include "cpu/core/cpuid.h"
#include "cpu/jit/translate.h"

/* Returns SITE_READ and SITE_WRITE of the memory operand; *size is its bytes as Zydis says, 0 if it does not say. */
static unsigned operand_access(const struct decoded *d, unsigned *size)
{
    *size = 0;
    for (unsigned i = 0; i < d->zi->operand_count; i++) {
        const ZydisDecodedOperand *o = &d->zo[i];
        if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
            continue;
        *size = d->traits & INSN_SOURCE_OSZ && d->in.osz < o->size / 8 ? d->in.osz : o->size / 8;
        return (o->actions & ZYDIS_OPERAND_ACTION_MASK_READ ? SITE_READ : 0) |
               (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? SITE_WRITE : 0);
    }
    return 0;
}

unsigned access_flags(const struct decoded *d, unsigned *size)
{
    if (d->traits & INSN_LINE) {
        *size = 1;
        return SITE_READ;
    }
    unsigned flags = operand_access(d, size);
    bool signs = d->traits & (INSN_MASK_SIGNS32 | INSN_MASK_SIGNS64), masked = d->in.evex && d->in.evex_mask;
    if (*size == 0)
        *size = 1;
    if ((d->in.prefixes & PREFIX_LOCK) || (d->traits & INSN_LOCKS && flags & SITE_WRITE))
        flags |= SITE_LOCK;
    if (signs || (masked && d->traits & INSN_SUPPRESSES))
        flags |= SITE_MASKED;
    /* Elements that a mask leaves out stay as they are; so does the operand if an unmasked x87 exception comes. */
    if (flags & SITE_WRITE && (signs || masked || d->traits & INSN_X87))
        flags |= SITE_READ;
    if (d->traits & INSN_ALIGNED && *size >= 16)
        flags |= SITE_ALIGNED;
    return flags;
}

/* Elements of the operand and of the vector that the mask belongs to, as Zydis has them. */
struct elements {
    unsigned size;   /* bytes of one in memory */
    unsigned vector; /* how many the first vector register has */
    bool scalar;
};

static struct elements elements_of(const struct decoded *d)
{
    struct elements x = {0};
    for (unsigned i = 0; i < d->zi->operand_count; i++) {
        const ZydisDecodedOperand *o = &d->zo[i];
        if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
            x.size = o->element_size / 8;
            x.scalar = o->element_count == 1 && d->zi->meta.category != ZYDIS_CATEGORY_BROADCAST &&
                       d->zi->avx.broadcast.mode == ZYDIS_BROADCAST_MODE_INVALID;
        } else if (!x.vector && o->type == ZYDIS_OPERAND_TYPE_REGISTER && o->reg.value >= ZYDIS_REGISTER_XMM0 &&
                   o->reg.value <= ZYDIS_REGISTER_ZMM31 && o->element_size) {
            x.vector = o->size / o->element_size;
        }
    }
    if (d->traits & INSN_MASK_SCALAR)
        x.scalar = true;
    if (d->traits & (INSN_MASK_PAIRS | INSN_MASK_BYTES)) {
        x.size = d->traits & INSN_MASK_PAIRS ? 4 : 1;
        x.vector = d->in.vl / x.size;
    }
    return x;
}

/* Which elements of the memory operand are accessed: see struct site. */
static void describe_mask(const struct decoded *d, struct site *s)
{
    if (d->traits & (INSN_MASK_SIGNS32 | INSN_MASK_SIGNS64)) {
        s->mask = 8 + d->in.vvvv;
        s->element = d->traits & INSN_MASK_SIGNS32 ? 4 : 8;
        s->elements = s->size / s->element;
        return;
    }
    struct elements x = elements_of(d);
    s->mask = d->in.evex_mask;
    unsigned lanes = x.size ? d->in.vl / x.size : 0; /* of what a conversion to narrower elements reads */
    bool narrows =
        d->zi->meta.category == ZYDIS_CATEGORY_CONVERT || d->zi->avx.broadcast.mode != ZYDIS_BROADCAST_MODE_INVALID;
    unsigned count = !x.vector || (lanes < x.vector && narrows) ? lanes : x.vector;
    unsigned size = x.scalar ? s->size : x.size ? x.size : 1;
    s->element = (u8)size;
    s->elements = (u8)(x.scalar ? 1 : count ? count : s->size / size);
    /* Of what is broadcast Intel's CPUs access elements; on AMD's, tests found nothing but the whole. */
    if (d->zi->meta.category == ZYDIS_CATEGORY_EXPAND || d->zi->meta.category == ZYDIS_CATEGORY_COMPRESS)
        s->element |= ELEMENT_PACKED;
    else if (s->elements < s->size / size || (s->elements > s->size / size && host_vendor() == VENDOR_AMD))
        s->element |= ELEMENT_WHOLE;
}

void emit_site(struct tr *t, struct site *s, const u8 *retry, const u8 *resume, bool shared)
{
    struct emit *c = &t->cold;
    if (s->flags & SITE_MASKED)
        describe_mask(t->d, s);
    if (t->d->traits & INSN_X87_WAITS)
        s->seg |= SITE_X87;
    if (s->size >= 16 || t->d->traits & INSN_UNCHECKED)
        s->seg |= SITE_UNCHECKED;
    s->offset = t->pos;
    s->len = t->d->in.len;
    s->loans = t->loans;
    if (!shared)
        emit_call_vcpu(c, VCPU_DISP(slow_mem));
    s->retry = (s32)(retry - c->p);
    s->resume = resume ? (s32)(resume - c->p) : (s32)sizeof *s;
    emit_bytes(c, s, sizeof *s);
}

void emit_site_done(struct tr *t, unsigned flags, const u8 *next)
{
    struct emit *c = &t->cold;
    emit_call_vcpu(c, VCPU_DISP(slow_done));
    struct site_done s = {
        .next = (s32)(next - c->p), .offset = t->pos, .len = t->d->in.len, .flags = (u8)flags, .loans = t->loans};
    emit_bytes(c, &s, sizeof s);
}

void emit_segment(struct tr *t, unsigned seg, unsigned size, enum access access)
{
    struct site_segment s = {
        .seg = (u8)seg, .size = (u8)size, .access = (u8)access, .len = t->d->in.len, .offset = t->pos};
    emit_call_vcpu(&t->hot, VCPU_DISP(slow_segment));
    emit_bytes(&t->hot, &s, sizeof s);
}
