/*
 * Makes a block: decodes instructions from one page until control surely leaves, and for each emits a copy, a call of
 * its handler, or a branch. Runs with the cache lock held and guest vector state saved (Zydis may use vector
 * registers). Stages: decode.c, classify.c (what becomes of the instruction), rewrite.c and its neighbours (code).
 */
#include "cpu/jit/translate.h"

#include "cpu/core/copy.h"
#include "cpu/insn/ops.h"
#include "cpu/jit/called.h"

void emit_insn_number(struct tr *t, insn_fn fn, bool ends)
{
    struct insn *in = cache_alloc(t->c, sizeof *in);
    if (!in) {
        t->lost = true;
        return;
    }
    *in = t->d->in;
    in->fn = fn;
    in->ends = ends;
    in->row = called_row(fn);
    in->last = t->d == &t->insn[t->insn_count - 1];
    emit_mov_imm32(&t->hot, H_SCRATCH, (u32)((u8 *)in - t->c->data));
}

static void translate_called(struct tr *t)
{
    if (translate_brief(t))
        return;
    emit_insn_number(t, t->d->fn, t->d->ends);
    emit_call_vcpu(&t->hot, VCPU_DISP(call_thunk));
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
    case CLASS_CALL: translate_called(t); return;
    case CLASS_NOP: keep_scratch(t); return;
    case CLASS_LEA: translate_lea(t); return;
    case CLASS_XLAT: translate_xlat(t); return;
    case CLASS_BIT: translate_bit(t); return;
    case CLASS_PUSH: translate_push(t); return;
    case CLASS_POP: translate_pop(t); return;
    case CLASS_LEAVE: translate_leave(t); return;
    case CLASS_JCC: translate_jcc(t); return;
    case CLASS_JRCXZ: translate_jrcxz(t); return;
    case CLASS_LOOP: translate_loop(t); return;
    case CLASS_JUMP: translate_jump(t); return;
    case CLASS_CALL_NEAR: translate_call(t); return;
    case CLASS_RETURN: translate_return(t); return;
    default: translate_copy(t);
    }
}

/*
 * At the far entry r11 is the linear address of the block; its page is noted, then the near entry follows. The first
 * instruction lies so that block_kill can put a jump in its place.
 */
static void emit_entries(struct tr *t)
{
    struct emit *e = &t->hot;
    if ((u64)e->p % ENTRY_WORD > ENTRY_WORD - ENTRY_JUMP)
        emit_align(e, ENTRY_WORD);
    t->b->far_entry = e->p;
    emit_lea_long(e, H_SCRATCH, H_ADDR, H_NONE, -(s32)t->b->offset);
    emit_store(e, H_SCRATCH, VCPU_DISP(page_la));
    t->b->near_entry = e->p;
}

/* Has the bytes of the next instruction in t->bytes, and some more. Each is read once: others may write to the page
 * meanwhile. Most blocks are short. */
static void read_bytes(struct tr *t, u32 pos, u64 page_host, u64 page2_host)
{
    enum { AHEAD = 96 };
    u32 room = (u32)PAGE_SIZE - t->b->offset, need = pos - t->b->offset + INSN_MAX;
    if (t->read >= need)
        return;
    u32 end = need + AHEAD < BLOCK_MAX_BYTES ? need + AHEAD : BLOCK_MAX_BYTES;
    u32 first = room < end ? room : end;
    if (first > t->read)
        copy_bytes(t->bytes + t->read, (const u8 *)page_host + t->b->offset + t->read, first - t->read);
    if (page2_host != NO_PAGE && first < INSN_MAX)
        copy_bytes(t->bytes + first, (const u8 *)page2_host, INSN_MAX - first);
    t->read = end;
}

/* Decodes from the block's start until nothing falls through, the page ends, or the block is long enough. Returns false
 * if the first instruction crosses into a second page that was not given. */
static bool decode_block(struct tr *t, u64 page_host, u64 page2_host)
{
    u32 pos = t->b->offset;
    t->insn_count = t->read = 0;
    do {
        struct decoded *d = t->d = &t->insn[t->insn_count];
        t->pos = d->pos = (u16)pos;
        read_bytes(t, pos, page_host, page2_host);
        unsigned avail = PAGE_SIZE - pos < INSN_MAX ? (unsigned)(PAGE_SIZE - pos) : INSN_MAX;
        const u8 *code = t->bytes + (pos - t->b->offset);
        bool more, known = recall(t, code, avail), valid = known || decode(t, code, avail, &more);
        if (!valid && more && avail < INSN_MAX) {
            if (t->insn_count) /* the instruction gets a block of its own */
                return true;
            if (page2_host == NO_PAGE)
                return false;
            t->b->page2 = page2_host;
            avail = INSN_MAX;
            valid = decode(t, code, avail, &more);
        }
        t->b->looked = (u16)(pos - t->b->offset + (valid ? t->d->in.len : avail));
        if (valid && !known) {
            classify(t);
            remember(t);
        } else if (!valid) {
            d->in = (struct insn){.offset = (u16)pos, .len = 1, .base = REG_NONE, .index = REG_NONE};
            d->class = CLASS_CALL;
            d->brief = BRIEF_NONE;
            d->ends = true;
            d->fn = more ? op_too_long : op_ud;
        }
        pos += d->in.len;
        d->next = (u16)pos;
        t->insn_count++;
    } while (!t->d->ends && pos < PAGE_SIZE && t->insn_count < BLOCK_MAX_INSNS && !(t->mode & MODE_STEP));
    return true;
}

static u32 insn_at(const struct tr *t, s64 pos)
{
    for (u32 i = 0; i < t->insn_count; i++)
        if (t->insn[i].pos == pos)
            return i;
    return NO_INSN;
}

/* A loop ends with the last branch that goes back into it. */
static u8 loop_end(const struct tr *t, u32 begin, u32 end)
{
    for (u32 i = end + 1; i < t->insn_count; i++) {
        s64 target = branch_target(&t->insn[i]);
        if (target >= t->insn[begin].pos && target <= t->insn[end].pos && insn_at(t, target) != NO_INSN)
            end = i;
    }
    return (u8)end;
}

/* Finds where the block's own branches go to within it. Twins leave by branches ahead, to go on grouped. */
static void find_labels(struct tr *t)
{
    bool ahead = t->is64 && !(t->mode & (MODE_STEP | MODE_PLAIN));
    for (u32 i = 0; i < t->insn_count; i++) {
        t->insn[i].label = t->insn[i].loops = false;
        t->insn[i].ahead = t->insn[i].loop_end = NO_INSN;
        t->jumps_ahead[i] = t->jumps_away[i] = NULL;
    }
    for (u32 i = 0; i < t->insn_count; i++) {
        s64 target = branch_target(&t->insn[i]);
        u32 to = target < t->b->offset ? NO_INSN : insn_at(t, target);
        if (to == NO_INSN || (to > i && (!ahead || t->insn[i].class != CLASS_JCC)))
            continue;
        t->insn[to].label = true;
        if (to > i)
            t->insn[i].ahead = (u8)to;
        else
            t->insn[to].loop_end = loop_end(t, to, i);
    }
    for (u32 i = 0; i < t->insn_count; i++)
        for (u32 k = i; t->insn[i].loop_end != NO_INSN && k <= t->insn[i].loop_end; k++)
            t->insn[k].loops = true;
}

static void make_loans(struct tr *t)
{
    save_scratch(t);
    t->loans = t->b->loans;
    emit_loans(&t->hot, t->loans);
    if (t->d->loop_end != NO_INSN)
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
    *t->b = (struct block){.page = r->page.host,
                           .page2 = NO_PAGE,
                           .offset = r->la & PAGE_MASK,
                           .mode = r->mode,
                           .hot = r->hot,
                           .page_la = r->la & ~PAGE_MASK,
                           .links = c->links + c->link_count,
                           .cold = c->cold};
    t->hot = (struct emit){c->hot, c->hot_end};
    t->cold = (struct emit){c->cold, c->cold_end};
    t->mode = r->mode;
    t->is64 = (r->mode & MODE_SIZE_MASK) == MODE_64;
    t->flat = t->is64 || (r->mode & MODE_FLAT);
    t->direct = t->is64 && !(r->mode & MODE_USER) && mmu_is_direct(v);
    t->mapped = r->mode & MODE_MAPPED && !(r->mode & (MODE_PLAIN | MODE_STEP));
    t->ssz = t->is64 ? 8 : r->mode & MODE_SS32 ? 4 : 2;
    t->lost = t->unsaved = false;
    t->scratch_at = NULL;
    t->loans = 0;
    t->stack_pending = 0;
    t->at_count = t->link_count = t->place_count = t->cold_place_count = 0;
}

static void insn_select(struct tr *t, u32 i)
{
    t->d = &t->insn[i];
    t->pos = t->d->pos;
    t->next = t->d->next;
}

static void emit_insn(struct tr *t, u32 i)
{
    const struct block *b = t->b;
    insn_select(t, i);
    stack_settle(t);
    if (b->loans && t->pos == b->loan_to)
        end_loans(t);
    t->pure = !t->d->label && is_pure(t);
    if (!t->pure)
        save_scratch(t);
    bool lends = b->loans && t->pos == b->loan_from;
    if (t->d->loop_end != NO_INSN && !lends)
        emit_align(&t->hot, LOOP_ALIGN);
    for (u32 k = 0; k < i && t->d->label; k++)
        if (t->insn[k].ahead == i && t->jumps_ahead[k])
            emit_here32(&t->hot, t->jumps_ahead[k]);
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
    stack_flush(t);
    save_scratch(t);
    if (!t->d->ends) {
        t->pos = 0; /* falling through is never backward */
        t->transfer = 0;
        emit_goto(t, t->next, false);
    }
    t->loans = 0; /* they are not in force where those jump */
    for (u32 i = 0; i < t->insn_count; i++) {
        insn_select(t, i);
        if (t->jumps_away[i])
            emit_jump_away(t, t->jumps_away[i]);
    }
}

/* Takes what was emitted into the cache. Returns false if there is no room. */
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
    while (c->granules * GRANULE < (u64)(b->hot_end - c->code))
        c->block_before[c->granules++] = c->block_count;
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
    if (!decode_block(t, r->page.host, r->page2.host))
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
