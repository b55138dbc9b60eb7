/*
 * Makes a block: decodes instructions from one page until control surely leaves, and for each emits a copy, a call of
 * its handler, or a branch. Runs with the cache lock held and guest vector state saved (Zydis may use vector
 * registers). Stages: decode.c, optable.c (which class), rewrite.c / branch.c / operand.c (code).
 */
#include "cpu/jit/translate.h"

#include "cpu/core/copy.h"
#include "cpu/insn/ops.h"

void emit_call_insn(struct tr *t, insn_fn fn, bool ends)
{
    struct insn *in = cache_alloc(t->c, sizeof *in);
    if (!in) {
        t->lost = true;
        return;
    }
    *in = t->d->in;
    in->fn = fn;
    in->ends = ends;
    in->last = t->d == &t->insn[t->insn_count - 1];
    emit_mov_imm64(&t->hot, H_SCRATCH, (u64)in);
    emit_call_vcpu(&t->hot, VCPU_DISP(call_thunk));
}

/* #UD or #NM of an x87, MMX, SSE or AVX instruction that the current mode does not allow: which of them depends on
 * state that may differ when the block runs again, so it is found out then. */
static enum outcome op_unusable(struct vcpu *v, const struct insn *in)
{
    bool x87 = in->imm2 == MODE_X87;
    if (in->imm2 == MODE_FWAIT || (x87 && in->imm == 0))
        return raise_nm(v);
    if (x87) /* MMX: #UD if CR0.EM */
        return v->cr0 & CR0_EM ? raise_ud(v) : raise_nm(v);
    if (in->imm2 == MODE_SSE && ((v->cr0 & CR0_EM) || !(v->cr4 & CR4_OSFXSR)))
        return raise_ud(v);
    if (in->imm2 != MODE_SSE) {
        u64 need = XCR0_SSE | XCR0_AVX | (in->imm2 == MODE_AVX512 ? XCR0_AVX512 : 0);
        if (!(v->cr4 & CR4_OSXSAVE) || (v->xcr0 & need) != need || !(v->mode & MODE_PROT))
            return raise_ud(v);
    }
    return raise_nm(v);
}

/* The MODE_ bit without which the instruction faults, or 0. */
static u32 needed_mode(const struct tr *t, bool *mmx)
{
    const ZydisDecodedInstruction *zi = &t->d->zi;
    u32 need = 0;
    *mmx = false;
    if (zi->mnemonic == ZYDIS_MNEMONIC_FWAIT)
        return MODE_FWAIT;
    if (zi->meta.isa_ext == ZYDIS_ISA_EXT_X87 || zi->mnemonic == ZYDIS_MNEMONIC_FISTTP)
        need = MODE_X87;
    if (zi->meta.isa_set == ZYDIS_ISA_SET_FXSAVE || zi->meta.isa_set == ZYDIS_ISA_SET_FXSAVE64 ||
        zi->meta.isa_ext == ZYDIS_ISA_EXT_XSAVE)
        return 0; /* their handlers check */
    bool vector = zi->mnemonic == ZYDIS_MNEMONIC_LDMXCSR || zi->mnemonic == ZYDIS_MNEMONIC_STMXCSR ||
                  zi->mnemonic == ZYDIS_MNEMONIC_VLDMXCSR || zi->mnemonic == ZYDIS_MNEMONIC_VSTMXCSR ||
                  zi->mnemonic == ZYDIS_MNEMONIC_VZEROUPPER || zi->mnemonic == ZYDIS_MNEMONIC_VZEROALL;
    for (unsigned i = 0; i < zi->operand_count; i++) {
        const ZydisDecodedOperand *o = &t->d->zo[i];
        if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
            continue;
        ZydisRegister r = o->reg.value;
        if (r >= ZYDIS_REGISTER_MM0 && r <= ZYDIS_REGISTER_MM7) {
            *mmx = true;
            need |= MODE_X87;
        } else if ((r >= ZYDIS_REGISTER_XMM0 && r <= ZYDIS_REGISTER_ZMM31) ||
                   (r >= ZYDIS_REGISTER_K0 && r <= ZYDIS_REGISTER_K7)) {
            vector = true;
        }
    }
    if (zi->mnemonic == ZYDIS_MNEMONIC_EMMS) {
        *mmx = true;
        need |= MODE_X87;
    }
    if (!vector)
        return need;
    if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX ||
        (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && zi->meta.isa_ext == ZYDIS_ISA_EXT_AVX512VEX))
        return MODE_AVX512;
    if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
        return MODE_AVX;
    return need | MODE_SSE;
}

/* MOV with control, debug or segment registers, PUSH and POP of segment registers, far transfers: same mnemonic as
 * plain forms, told apart by opcode. NULL: a plain form. */
static insn_fn special_form(const struct tr *t, bool *ends)
{
    u8 op = t->d->in.opcode, map = t->d->in.map;
    *ends = false;
    switch (t->d->zi.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        if (map == 1 && op >= 0x20 && op <= 0x23) {
            *ends = op >= 0x22;
            return op == 0x20 ? op_mov_from_cr : op == 0x21 ? op_mov_from_dr : op == 0x22 ? op_mov_to_cr : op_mov_to_dr;
        }
        if (map == 0 && op == 0x8c)
            return op_mov_from_sreg;
        if (map == 0 && op == 0x8e) {
            *ends = true;
            return op_mov_to_sreg;
        }
        return NULL;
    case ZYDIS_MNEMONIC_PUSH:
        if ((map == 0 && op < 0x20) || map == 1)
            return op_push_sreg;
        if (op == 0xff && t->d->in.mod != 3 && !t->flat)
            return op_push_rm;
        return NULL;
    case ZYDIS_MNEMONIC_POP:
        if ((map == 0 && op < 0x20) || map == 1) {
            *ends = true;
            return op_pop_sreg;
        }
        return op == 0x8f && t->d->in.mod != 3 ? op_pop_rm : NULL;
    case ZYDIS_MNEMONIC_LEAVE: return t->flat ? NULL : op_leave;
    case ZYDIS_MNEMONIC_CALL:
    case ZYDIS_MNEMONIC_JMP:
    case ZYDIS_MNEMONIC_RET: {
        bool far = op == 0x9a || op == 0xea || op == 0xca || op == 0xcb ||
                   (op == 0xff && (t->d->in.reg == 3 || t->d->in.reg == 5));
        *ends = true;
        if (far)
            return t->d->zi.mnemonic == ZYDIS_MNEMONIC_CALL  ? op_call_far
                   : t->d->zi.mnemonic == ZYDIS_MNEMONIC_JMP ? op_jmp_far
                                                             : op_ret_far;
        if (op == 0xff && t->d->in.mod != 3 && !t->flat)
            return t->d->zi.mnemonic == ZYDIS_MNEMONIC_CALL ? op_call_rm : op_jmp_rm;
        return NULL;
    }
    case ZYDIS_MNEMONIC_MOVSD: return t->d->zi.meta.isa_ext == ZYDIS_ISA_EXT_BASE ? op_movs : NULL;
    case ZYDIS_MNEMONIC_CMPSD: return t->d->zi.meta.isa_ext == ZYDIS_ISA_EXT_BASE ? op_cmps : NULL;
    default: return NULL;
    }
}

/* Chooses what t->d becomes: class, handler, and whether something falls through. */
static void classify(struct tr *t)
{
    struct decoded *d = t->d;
    bool mmx, ends;
    const struct op_row *row = optable_find(d->in.mnemonic);
    insn_fn special = special_form(t, &ends);
    d->class = CLASS_CALL;
    d->ends = ends;
    d->fn = special;
    if (special)
        return;
    d->ends = true;
    d->fn = op_ud;
    bool scan = d->zi.mnemonic == ZYDIS_MNEMONIC_LZCNT || d->zi.mnemonic == ZYDIS_MNEMONIC_TZCNT;
    if (scan && !isa_allowed(t->v->vm, (u16)d->zi.meta.isa_set)) {
        /* A CPU that lacks them executes BSR and BSF: the same opcodes without the prefix. */
        d->zi.raw.prefix_count = 0;
        d->class = CLASS_COPY;
        d->ends = false;
        return;
    }
    if (!isa_allowed(t->v->vm, (u16)d->zi.meta.isa_set) && !(row && row->class == CLASS_NOP))
        return;
    u32 need = needed_mode(t, &mmx);
    bool missing = need == MODE_FWAIT ? (t->mode & MODE_FWAIT) : (need & ~t->mode);
    if (missing) {
        d->in.imm2 = need & (MODE_AVX | MODE_AVX512) ? need : need & MODE_SSE ? MODE_SSE : need;
        d->in.imm = mmx;
        d->fn = op_unusable;
        return;
    }
    if ((d->zi.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX || d->zi.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) &&
        !(t->mode & MODE_PROT))
        return;
    d->class = row ? row->class : CLASS_COPY;
    d->ends = row && row->ends;
    d->fn = row ? row->fn : NULL;
    if (d->fn == op_pause && !(t->mode & MODE_GUEST))
        d->class = CLASS_COPY;
    if (d->class == CLASS_BRANCH)
        d->ends = d->zi.mnemonic == ZYDIS_MNEMONIC_JMP || d->zi.mnemonic == ZYDIS_MNEMONIC_CALL ||
                  d->zi.mnemonic == ZYDIS_MNEMONIC_RET;
}

static void translate_insn(struct tr *t)
{
    struct decoded *d = t->d;
    if (t->scratch_at != t->hot.p || d->label) {
        t->in_r11 = REG_NONE;
        t->in_rcx = GROUP_NONE;
    }
    t->scratch_at = NULL;
    switch (d->class) {
    case CLASS_CALL: emit_call_insn(t, d->fn, d->ends); return;
    case CLASS_BRANCH: translate_branch(t); return;
    case CLASS_STACK: translate_stack(t); return;
    case CLASS_LEA: translate_lea(t); return;
    case CLASS_BIT: translate_bit(t); return;
    case CLASS_XLAT: translate_xlat(t); return;
    case CLASS_NOP: keep_scratch(t); return;
    default: translate_copy(t);
    }
}

/*
 * r11 = linear address of the block: remember the page, then the near entry. Each entry is aligned, and its first
 * instruction has room for the jump that block_invalidate puts in its place; branches of the block to its start go
 * behind that of the near entry. The stub that the near entry then jumps to is the first thing in the cold part.
 */
static void emit_entries(struct tr *t)
{
    struct emit *e = &t->hot;
    emit_align(e, ENTRY_ALIGN);
    t->b->far_entry = e->p;
    emit_lea_long(e, H_SCRATCH, H_ADDR, -(s32)t->b->offset);
    emit_store(e, H_SCRATCH, VCPU_DISP(page_la));
    emit_align(e, ENTRY_ALIGN);
    t->b->near_entry = e->p;
    emit_nop5(e);
    emit_mov_imm32(&t->cold, H_SCRATCH, t->b->offset);
    emit_jmp_vcpu(&t->cold, VCPU_DISP(leave_stale));
}

/* An instruction of more than 15 bytes. */
static enum outcome op_too_long(struct vcpu *v, const struct insn *in)
{
    return raise_gp(v, 0);
}

/* Decodes from the block's start until nothing falls through, the page ends, or the block is long enough. False: the
 * first instruction crosses into a second page that was not given. */
static bool decode_block(struct tr *t, const u8 *page, const u8 *page2, u64 page2_gpa)
{
    u32 pos = t->b->offset;
    u8 window[2 * INSN_MAX];
    t->insn_count = 0;
    do {
        struct decoded *d = t->d = &t->insn[t->insn_count];
        t->pos = d->pos = (u16)pos;
        unsigned avail = PAGE_SIZE - pos < INSN_MAX ? (unsigned)(PAGE_SIZE - pos) : INSN_MAX;
        bool crossing = false, more, valid = decode(t, page + pos, avail, &more);
        if (!valid && more && avail < INSN_MAX) {
            if (t->insn_count) /* a block of its own */
                return true;
            if (!page2)
                return false;
            copy_bytes(window, page + pos, avail);
            copy_bytes(window + avail, page2, INSN_MAX - avail);
            crossing = true;
            valid = decode(t, window, INSN_MAX, &more);
        }
        if (crossing)
            t->b->page2 = page2_gpa;
        if (valid) {
            classify(t);
        } else {
            d->in = (struct insn){.offset = (u16)pos, .len = 1, .base = REG_NONE, .index = REG_NONE};
            d->class = CLASS_CALL;
            d->ends = true;
            d->fn = more ? op_too_long : op_ud;
        }
        pos += d->in.len;
        d->next = (u16)pos;
        t->insn_count++;
    } while (!t->d->ends && pos < PAGE_SIZE && t->insn_count < BLOCK_MAX_INSNS && !(t->mode & MODE_STEP));
    return true;
}

/* Finds the targets of the block's own branches: backward ones. Those ahead leave the block. */
static void find_labels(struct tr *t)
{
    for (u32 i = 0; i < t->insn_count; i++)
        t->insn[i].label = false;
    for (u32 i = 0; i < t->insn_count; i++) {
        s32 target = branch_target(&t->insn[i]);
        for (u32 k = 0; k <= i; k++)
            t->insn[k].label |= t->insn[k].pos == target;
    }
}

static void make_loans(struct tr *t)
{
    save_scratch(t);
    t->loans = t->b->loans;
    emit_loans(&t->hot, t->loans);
    if (t->d->label)
        emit_align(&t->hot, LOOP_ALIGN);
    t->loan_entry = t->hot.p;
}

static void end_loans(struct tr *t)
{
    save_scratch(t);
    emit_loans(&t->hot, t->loans);
    t->loans = 0;
}

static bool has_room(const struct cache *c)
{
    return c->block_count < c->block_max && c->link_max - c->link_count >= BLOCK_MAX_LINKS &&
           c->hot_end - c->hot >= CACHE_ROOM && c->cold_end - c->cold >= CACHE_ROOM &&
           c->data_end - c->data_next >= CACHE_ROOM;
}

static void prepare(struct tr *t, struct vcpu *v, const struct translation_request *r)
{
    struct cache *c = v->vm->cache;
    t->v = v;
    t->c = c;
    t->b = &c->blocks[c->block_count];
    *t->b = (struct block){.page = r->page,
                           .page2 = NO_PAGE,
                           .offset = r->la & PAGE_MASK,
                           .mode = r->mode,
                           .page_la = r->la & ~PAGE_MASK,
                           .links = c->links + c->link_count,
                           .cold = c->cold};
    t->hot = (struct emit){c->hot, c->hot_end};
    t->cold = (struct emit){c->cold, c->cold_end};
    t->mode = r->mode;
    t->is64 = (r->mode & MODE_SIZE_MASK) == MODE_64;
    t->flat = t->is64 || (r->mode & MODE_FLAT);
    t->direct = t->is64 && !(r->mode & MODE_USER) && mmu_is_direct(v);
    t->ssz = t->is64 ? 8 : r->mode & MODE_SS32 ? 4 : 2;
    t->lost = t->unsaved = false;
    t->scratch_at = NULL;
    t->loans = 0;
    t->at_count = t->link_count = t->place_count = t->cold_place_count = 0;
}

static void emit_insn(struct tr *t, u32 i)
{
    const struct block *b = t->b;
    t->d = &t->insn[i];
    t->pos = t->d->pos;
    t->next = t->d->next;
    if (b->loans && t->pos == b->loan_to)
        end_loans(t);
    t->pure = !t->d->label && is_pure(t);
    if (!t->pure)
        save_scratch(t);
    bool lends = b->loans && t->pos == b->loan_from;
    if (t->d->label && !lends)
        emit_align(&t->hot, LOOP_ALIGN);
    t->at[i].guest = t->pos;
    t->at[i].host = t->hot.p;
    t->at_count = i + 1;
    if (lends)
        make_loans(t);
    translate_insn(t);
}

static void emit_block(struct tr *t)
{
    emit_entries(t);
    for (u32 i = 0; i < t->insn_count; i++)
        emit_insn(t, i);
    save_scratch(t);
    if (!t->d->ends) {
        t->pos = 0; /* falling through is never backward */
        t->transfer = 0;
        emit_goto(t, t->next, false);
    }
}

/* Takes what was emitted into the cache. False: there is no room. */
static bool keep_block(struct tr *t)
{
    struct cache *c = t->c;
    struct block *b = t->b;
    b->place_count = t->place_count + t->cold_place_count;
    b->cold_place_from = t->place_count;
    b->places = cache_alloc(c, b->place_count * sizeof(struct place));
    if (t->lost || t->hot.p > t->hot.end || t->cold.p > t->cold.end || !b->places)
        return false;
    copy_bytes(b->places, t->places, t->place_count * sizeof(struct place));
    copy_bytes(b->places + t->place_count, t->cold_places, t->cold_place_count * sizeof(struct place));
    b->link_count = t->link_count;
    for (u32 i = 0; i < t->link_count; i++) {
        b->links[i] = t->links[i];
        b->links[i].from = b;
    }
    b->size = (u16)(t->next - b->offset);
    b->hot_end = c->hot = t->hot.p;
    b->cold_end = c->cold = t->cold.p;
    c->link_count += t->link_count;
    b->valid = true;
    __atomic_store_n(&c->block_count, c->block_count + 1, __ATOMIC_RELEASE);
    return true;
}

enum translation translate(struct vcpu *v, const struct translation_request *r, struct block **made)
{
    struct tr *t = v->exec->tr;
    if (!has_room(v->vm->cache))
        return TRANSLATION_FULL;
    prepare(t, v, r);
    const u8 *page2 = r->page2 == NO_PAGE ? NULL : vm_ram(v->vm, GPA(r->page2));
    if (!decode_block(t, vm_ram(v->vm, GPA(r->page)), page2, r->page2))
        return TRANSLATION_NEEDS_PAGE2;
    find_labels(t);
    group_accesses(t);
    find_loans(t);
    emit_block(t);
    if (!keep_block(t))
        return TRANSLATION_FULL;
    *made = t->b;
    return TRANSLATION_DONE;
}
