/*
 * Memory operands of translated code: the linear address, then the flag-free TLB check (docs/engine.md "Memory"):
 *
 *     pext rcx, addr, [tlb_mask]; mov rcx, gs:tag[rsp+rcx*8]; lea rcx, [rcx+addr+size-1]; shrx rcx, rcx, rsp(12); jrcxz
 * hit jmp cold hit: pext rcx, addr, [tlb_mask]; mov rcx, gs:add[rsp+rcx*8]
 *
 * The cold part calls exec_slow_mem, which fills the TLB and retries, or has the instruction work on the bounce buffer:
 * loads go back into the hot part with rcx pointing there, stores run a second copy in the cold part and then call
 * exec_slow_done, which writes the result.
 */
#include "cpu/jit/translate.h"
#include "cpu/mmu/mapped.h"

void emit_place(struct tr *t, struct emit *e)
{
    struct place p = {.host = (u32)(e->p - t->c->code), .guest = t->pos & PAGE_MASK, .stack = stack_waiting(t)};
    if (e == &t->hot) {
        if (t->place_count < ARRAY_LEN(t->places))
            t->places[t->place_count++] = p;
    } else if (t->cold_place_count < ARRAY_LEN(t->cold_places)) {
        t->cold_places[t->cold_place_count++] = p;
    }
}

void emit_place_of_site(struct tr *t)
{
    u64 site = (u64)(t->cold.p - t->b->cold) + 1;
    if (t->place_count == ARRAY_LEN(t->places) || site != (u16)site) {
        t->lost = true;
        return;
    }
    t->places[t->place_count++] =
        (struct place){.host = (u32)(t->hot.p - t->c->code), .guest = t->pos & PAGE_MASK, .site = (u16)site};
}

/* Returns a host register that holds the guest register: its own, r11 if that holds it, or `temp`, loaded. */
static unsigned source(struct tr *t, unsigned guest, unsigned temp)
{
    unsigned h = host_of(t, guest);
    if (h != H_NONE)
        return h;
    if (guest == t->in_r11)
        return H_ADDR;
    emit_load(&t->hot, temp, gpr_disp(guest));
    if (temp == H_ADDR)
        t->in_r11 = (u8)guest;
    else
        t->in_rcx = GROUP_NONE;
    return temp;
}

static bool is_disp32(s64 x)
{
    return x == (s32)x;
}

void emit_from_page(struct emit *e, unsigned dst, s64 offset, bool wide)
{
    emit_load(e, dst, VCPU_DISP(page_la));
    if (!wide)
        offset = (s32)offset;
    if (!is_disp32(offset)) {
        emit_lea(e, true, dst, dst, H_NONE, 1, (s32)(offset / 2));
        offset -= offset / 2;
    }
    emit_lea(e, wide, dst, dst, H_NONE, 1, (s32)offset);
}

void emit_effective(struct tr *t, unsigned dst, bool wide)
{
    struct emit *e = &t->hot;
    const struct insn *in = &t->d->in;
    if (in->base == REG_RIP) {
        emit_from_page(e, dst, in->disp + t->next, wide);
    } else if (in->base == REG_NONE && in->index == REG_NONE) {
        emit_mov_imm64(e, dst, mask_size((u64)in->disp, wide ? 8 : 4));
    } else {
        bool index_there = in->index != REG_NONE && in->index == t->in_r11;
        unsigned base = in->base == REG_NONE ? H_NONE : source(t, in->base, index_there ? H_SCRATCH : H_ADDR);
        unsigned index = in->index == REG_NONE ? H_NONE : source(t, in->index, H_SCRATCH);
        emit_lea(e, wide, dst, base, index, in->scale, (s32)in->disp);
    }
}

/* r11 = the operand's offset in its segment. */
static void emit_offset_in_r11(struct tr *t)
{
    emit_effective(t, H_ADDR, t->d->in.asz == 8);
    if (t->d->in.asz == 2)
        emit_movzx16(&t->hot, H_ADDR, H_ADDR);
}

unsigned emit_offset(struct tr *t)
{
    const struct insn *in = &t->d->in;
    if (t->is64 && in->asz == 8 && in->index == REG_NONE && in->disp == 0 && in->base < GPR_COUNT &&
        host_of(t, in->base) != H_NONE)
        return host_of(t, in->base);
    emit_offset_in_r11(t);
    return H_ADDR;
}

/* Does a segment's base belong to the address even in flat modes? */
static bool has_base(const struct tr *t)
{
    return t->d->in.seg == SEG_FS || t->d->in.seg == SEG_GS;
}

unsigned emit_linear(struct tr *t)
{
    struct emit *e = &t->hot;
    if (!has_base(t))
        return t->flat ? H_ADDR : H_NONE;
    if (!t->is64)
        return H_NONE;
    emit_load(e, H_SCRATCH, VCPU_DISP(seg[0].base) + (s32)(t->d->in.seg * sizeof(struct segment)));
    emit_lea(e, true, H_ADDR, H_ADDR, H_SCRATCH, 1, 0);
    return H_ADDR;
}

unsigned emit_address(struct tr *t)
{
    if (t->flat && !has_base(t))
        return emit_offset(t);
    const struct insn *in = &t->d->in;
    bool based = in->base != REG_NONE;
    if (t->is64 && in->asz == 8 && in->index == REG_NONE && in->disp == (s32)in->disp &&
        (!based || (in->base < GPR_COUNT && host_of(t, in->base) != H_NONE))) {
        emit_load(&t->hot, H_ADDR, VCPU_DISP(seg[0].base) + (s32)(in->seg * sizeof(struct segment)));
        emit_lea(&t->hot, true, H_ADDR, H_ADDR, based ? host_of(t, in->base) : H_NONE, 1, (s32)in->disp);
        t->in_r11 = REG_NONE;
        return H_ADDR;
    }
    emit_offset_in_r11(t);
    return emit_linear(t);
}

/* rcx = 0 if the tag of host register addr + disp says that [addr + disp, + size) is in its page; returns the JRCXZ to
 * patch. Uses the register `index`, and r11 for the address if disp is not 0. */
static u8 *emit_tag_check(struct emit *e, unsigned index, unsigned addr, s32 disp, unsigned size, s32 tags)
{
    if (disp)
        emit_lea(e, true, H_ADDR, addr, H_NONE, 1, disp);
    emit_pext(e, index, disp ? H_ADDR : addr, VCPU_DISP(tlb_mask));
    emit_gs_load(e, H_SCRATCH, index, tags);
    emit_lea(e, true, H_SCRATCH, H_SCRATCH, addr, 1, disp + (s32)size - 1);
    emit_shr12(e, H_SCRATCH, H_SCRATCH);
    return emit_jrcxz(e);
}

/* Kernels reach most data by pointers into their map of all memory; not their stacks and variables. */
static bool may_be_direct(const struct tr *t, unsigned addr)
{
    const struct insn *in = &t->d->in;
    if (!t->direct || addr == H_GUEST_RSP)
        return false;
    return !in->mem || (in->base < GPR_COUNT && in->base != RSP && in->seg != SEG_FS && in->seg != SEG_GS);
}

/* Is the check of so many bytes one of those that blocks share? */
static bool is_shared(const struct tr *t, unsigned size)
{
    return !t->b->hot && !t->d->loops && check_index(size) < CHECK_SIZES && check_size(check_index(size)) == size;
}

/*
 * Leaves host minus linear in rcx if the TLB has [addr + disp, + size) in one page, else jumps to the cold part, with
 * the address in r11. r11 is kept if it is `addr` (disp is 0 then), otherwise it is lost.
 *
 * By the direct tags the access need not wait for the difference to be loaded; what misses them tries the others in
 * the cold part.
 */
static void emit_check(struct tr *t, unsigned addr, s32 disp, unsigned size, bool write)
{
    struct emit *e = &t->hot, *c = &t->cold;
    if (addr == H_ADDR && disp)
        __builtin_trap(); /* the body would add it twice */
    if (is_shared(t, size)) {
        u32 kind = (write ? CHECK_WRITE : 0) | (may_be_direct(t, addr) ? CHECK_DIRECT : 0);
        if (disp)
            emit_lea(e, true, H_ADDR, addr, H_NONE, 1, disp);
        else
            emit_mov(e, H_ADDR, addr);
        emit_call(e, t->c->check[kind][check_index(size)]);
        emit_place_of_site(t);
        return;
    }
    s32 tag = write ? TLB_DISP(wtag) : TLB_DISP(rtag);
    s32 add = write ? TLB_DISP(wadd) : TLB_DISP(radd);
    if (may_be_direct(t, addr)) {
        u8 *hit = emit_tag_check(e, H_SCRATCH, addr, disp, size, TLB_DISP(dtag));
        emit_jmp(e, c->p);
        emit_here8(e, hit);
        emit_load(e, H_SCRATCH, VCPU_DISP(direct));
        if (!disp)
            emit_mov(c, H_ADDR, addr);
        hit = emit_tag_check(c, H_SCRATCH, H_ADDR, 0, size, tag);
        u8 *miss = emit_jmp8(c);
        emit_here8(c, hit);
        emit_pext(c, H_SCRATCH, H_ADDR, VCPU_DISP(tlb_mask));
        emit_gs_load(c, H_SCRATCH, H_SCRATCH, add);
        emit_jmp(c, e->p);
        emit_here8(c, miss);
        return;
    }
    unsigned index = addr == H_ADDR ? H_SCRATCH : H_ADDR; /* r11 saves making the index twice */
    u8 *hit = emit_tag_check(e, index, addr, disp, size, tag);
    emit_jmp(e, c->p);
    emit_here8(e, hit);
    if (index == H_SCRATCH)
        emit_pext(e, H_SCRATCH, addr, VCPU_DISP(tlb_mask));
    emit_gs_load(e, H_SCRATCH, index, add);
    if (disp)
        emit_lea(c, true, H_ADDR, addr, H_NONE, 1, disp);
    else
        emit_mov(c, H_ADDR, addr);
}

/* rcx = host minus linear address, in mapped memory, around the linear address in a host register: docs/mapped.md. */
static void emit_mapped(struct tr *t, unsigned addr)
{
    struct emit *e = &t->hot;
    emit_pext(e, H_SCRATCH, addr, VCPU_DISP(mapped_mask));
    if (t->mode & (MODE_USER | MODE_GUEST))
        emit_gs_load(e, H_SCRATCH, H_SCRATCH, TLB_DISP(mapped_add));
    else
        emit_op_mem(e, true, 0x8b, H_SCRATCH, H_VCPU, H_SCRATCH, 8, VCPU_DISP(mapped_add));
}

/* Is the base register enough to address the operand: it has a host register, and there is no index. */
static bool is_simple(const struct tr *t, const struct access_note *note)
{
    return note->index == REG_NONE && note->base != VALUE_PAGE && host_of(t, note->base) != H_NONE;
}

/* r11 = what the operand's displacement is from, if that is no register. */
static void emit_base(struct tr *t, const struct access_note *note)
{
    if (note->base == VALUE_PAGE)
        emit_load(&t->hot, H_ADDR, VCPU_DISP(page_la));
    else
        emit_effective(t, H_ADDR, true);
}

bool grouped_keeps(const struct tr *t, const struct access_note *note)
{
    return is_simple(t, note) && t->group[note->group].started;
}

bool page_operand(const struct tr *t, s32 *disp)
{
    const struct insn *in = &t->d->in;
    s64 from_page = in->disp + t->next;
    *disp = (s32)from_page;
    return t->mapped && !t->d->checked && in->base == REG_RIP && in->asz == 8 && !has_base(t) && is_disp32(from_page);
}

bool grouped_operand(const struct tr *t, const struct access_note *note, unsigned *index, s32 *disp)
{
    if (note->group == GROUP_NONE || t->group[note->group].slot == GROUP_NONE)
        return false;
    const struct group *g = &t->group[note->group];
    if (is_simple(t, note)) {
        *index = host_of(t, note->base);
        *disp = note->disp + (note->base == RSP ? t->stack_pending : 0);
    } else { /* r11 holds the address, or that of the window */
        *index = H_ADDR;
        *disp = note->base == VALUE_PAGE ? note->disp : g->started || t->mapped ? 0 : note->offset - g->lo;
    }
    return true;
}

/* In mapped memory a group has no check: its slot gets the difference. */
static void start_mapped(struct tr *t, struct group *g, unsigned addr)
{
    emit_mapped(t, addr);
    emit_store(&t->hot, H_SCRATCH, VCPU_DISP(group) + g->slot * 8);
    t->in_rcx = g->slot;
    g->started = true;
}

bool emit_grouped(struct tr *t, const struct access_note *note, unsigned size, unsigned flags, unsigned seg,
                  emit_body body, void *ctx)
{
    unsigned index;
    if (!grouped_operand(t, note, &index, &t->mem_disp))
        return false;
    struct emit *e = &t->hot, *c = &t->cold;
    struct group *g = &t->group[note->group];
    bool simple = is_simple(t, note);
    s32 slot = VCPU_DISP(group) + g->slot * 8;
    t->mem_index = (u8)index;
    if (!simple) {
        emit_base(t, note);
        t->in_r11 = REG_NONE;
    }
    if (!g->started && t->mapped)
        start_mapped(t, g, index);
    if (g->started) {
        if (t->in_rcx != g->slot)
            emit_load(e, H_SCRATCH, slot);
        t->in_rcx = g->slot;
        emit_place(t, e);
        body(t, e, ctx);
        return true;
    }
    g->started = true;
    u8 *retry = e->p;
    s32 before = g->lo - note->offset, start = simple ? note->disp + before : before, span = g->hi - g->lo;
    if (!t->b->hot && !t->d->loops) /* up to the next size that there is a check for */
        span = (s32)check_size(check_index((unsigned)span));
    unsigned addr = index;
    if (start && !simple) {
        emit_lea(e, true, H_ADDR, H_ADDR, H_NONE, 1, start);
        start = 0;
    }
    emit_check(t, addr, start, (unsigned)span, g->write);
    emit_store(e, H_SCRATCH, slot);
    t->in_r11 = REG_NONE;
    t->in_rcx = g->slot;

    /* If the access by itself is fine, the twin goes on from here. */
    bool shared = is_shared(t, (unsigned)span);
    u8 *alone = NULL;
    if (!shared) {
        if (before)
            emit_lea(c, true, H_ADDR, H_ADDR, H_NONE, 1, -before);
        alone = emit_tag_check(c, H_SCRATCH, H_ADDR, 0, size, flags & SITE_WRITE ? TLB_DISP(wtag) : TLB_DISP(rtag));
    }
    struct site s = {.size = (u8)size,
                     .seg = (u8)seg,
                     .flags = (u8)((flags & ~SITE_LOCK) | SITE_GROUP | (g->write ? SITE_GROUP_WRITE : 0)),
                     .before = (s16)before,
                     .span = (u16)span};
    emit_site(t, &s, retry, NULL, shared);
    if (alone)
        emit_here8(c, alone);
    emit_loans(c, t->loans);
    add_link(t, NULL, t->pos, true);

    emit_place(t, e);
    body(t, e, ctx);
    return true;
}

void emit_group_start(struct tr *t, const struct access_note *note)
{
    struct group *g = &t->group[note->group];
    unsigned index;
    s32 disp;
    if (g->started || !grouped_operand(t, note, &index, &disp))
        return;
    if (!is_simple(t, note)) {
        emit_base(t, note);
        t->in_r11 = REG_NONE;
    }
    start_mapped(t, g, index);
    t->in_rcx = GROUP_NONE; /* the check comes next */
}

void emit_access(struct tr *t, unsigned addr, s32 disp, unsigned size, unsigned flags, unsigned seg, emit_body body,
                 void *ctx)
{
    struct emit *e = &t->hot, *c = &t->cold;
    bool write = flags & SITE_WRITE;
    /* Code segments are never writable, flat or not. */
    if (addr == H_NONE || (write && seg == SEG_CS && !t->is64)) {
        emit_segment(t, seg, size, write ? ACCESS_WRITE : ACCESS_READ);
        addr = H_ADDR;
    }
    if (t->mapped && !t->d->checked && !(flags & SITE_MASKED)) {
        bool far = addr != H_ADDR && (disp > MAPPED_REACH || disp < -MAPPED_REACH); /* index and base in one, perhaps */
        if (far)
            emit_lea(e, true, H_ADDR, addr, H_NONE, 1, disp);
        emit_mapped(t, far ? H_ADDR : addr);
        t->in_r11 = REG_NONE;
        t->in_rcx = GROUP_NONE;
        t->mem_index = (u8)addr;
        t->mem_disp = disp;
        emit_place(t, e);
        body(t, e, ctx);
        return;
    }
    u8 *retry = e->p;
    emit_check(t, addr, disp, size, write);
    u8 *post = e->p;
    t->in_r11 = REG_NONE;
    t->in_rcx = GROUP_NONE;

    struct site s = {.size = (u8)size, .flags = (u8)flags, .seg = (u8)seg};
    emit_site(t, &s, retry, write ? NULL : post, is_shared(t, size));
    t->mem_index = (u8)addr;
    t->mem_disp = disp;
    emit_place(t, e);
    body(t, e, ctx);
    if (!write)
        return;
    t->scratch_at = NULL; /* the cold part comes back with something else in them */
    emit_place(t, c);
    body(t, c, ctx);
    emit_site_done(t, flags, e->p);
}
