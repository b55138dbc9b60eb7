/*
 * The code cache: blocks by guest-physical address and mode, links between them, invalidation when guest code changes.
 *
 * Threads: all vCPUs share the cache; cache.lock, a spin lock, guards it. Under the lock nothing walks page tables,
 * writes guest memory, enters the exclusive section or calls out of the core: each of these may take the lock itself
 * (docs/locking.md). Host code of an invalid block stays in place until the whole cache is flushed in an exclusive
 * section, so a vCPU may still run to the end of one; its far entry is patched to leave, and no link leads to it.
 */
#include "cpu/jit/block.h"

#include "cpu/core/copy.h"
#include "cpu/core/exclusive.h"
#include "cpu/core/fault.h"
#include "cpu/core/spin.h"
#include "cpu/core/stats.h"
#include "cpu/core/world.h"
#include "cpu/jit/exec.h"
#include "cpu/jit/page.h"
#include "cpu/jit/translate.h"
#include "cpu/mmu/mmu.h"

/* -- memory -- */

void *cache_alloc(struct cache *c, size_t size)
{
    size = (size + 15) & ~15ull;
    if (c->data_next + size > c->data_end)
        return NULL;
    void *p = c->data_next;
    c->data_next += size;
    return p;
}

static void reset(struct cache *c, u8 *code, u8 *data)
{
    fill_bytes(c->hash, 0, sizeof c->hash);
    fill_bytes(c->pages, 0, sizeof c->pages);
    fill_bytes(c->hot_hash, 0, sizeof c->hot_hash);
    fill_bytes(c->checked_hash, 0, sizeof c->checked_hash);
    c->has_hot = false;
    c->hot_end = code + c->hot_size;
    c->hot = brief_emit(c, checks_emit(c, code, c->hot_end), c->hot_end);
    c->cold = c->hot_end;
    c->cold_end = c->cold + c->cold_size;
    c->data_next = data;
    c->block_max = CACHE_BLOCKS;
    c->link_max = CACHE_LINKS;
    c->block_count = c->link_count = c->granules = 0;
    c->blocks = cache_alloc(c, c->block_max * sizeof(struct block));
    c->links = cache_alloc(c, c->link_max * sizeof(struct exit_link));
    c->recalled = cache_alloc(c, sizeof(struct recalled) << RECALL_BITS);
    fill_bytes(c->recall, 0, sizeof c->recall);
    c->generation++;
}

void cache_init(struct cache *c, u8 *code, size_t code_size, u8 *data, size_t data_size)
{
    c->code = code;
    c->hot_size = CACHE_HOT(code_size);
    c->cold_size = code_size - c->hot_size;
    c->data = data;
    c->data_end = data + data_size;
    reset(c, code, data);
}

/* A vCPU that was parked in the middle of a called instruction still reads its struct insn. */
static bool others_between(const struct vcpu *v)
{
    for (u32 i = 0; i < v->vm->vcpu_count; i++)
        if (v->vm->vcpu[i] != v && v->vm->vcpu[i]->insn)
            return false;
    return true;
}

static void flush(struct vcpu *v)
{
    u32 spins = 0;
    exclusive_begin(v);
    while (!others_between(v)) {
        exclusive_end(v);
        relax(&spins);
        exclusive_begin(v);
    }
    struct cache *c = v->vm->cache;
    c->flushes++;
    spin_lock(&c->lock); /* against devices */
    reset(c, c->code, c->data);
    spin_unlock(&c->lock);
    direct_note(&v->vm->direct_notes, 0, ~0ull); /* pages of code are not known any more */
    for (u32 i = 0; i < v->vm->vcpu_count; i++) {
        mmu_flush_jumps(v->vm->vcpu[i]);
        exec_misses_forget(v->vm->vcpu[i]);
    }
    exclusive_end(v);
}

/* -- finding -- */

static u32 hash_of(u64 page, u16 offset, u32 mode)
{
    u64 x = (page | offset) * 0x9e3779b97f4a7c15ull ^ mode * 0x2545f4914f6cdd1dull;
    return (u32)(x >> (64 - HASH_BITS));
}

/* Shall blocks of this hash be made without shared checks? */
static bool is_hot(const struct cache *c, u32 hash)
{
    return c->hot_hash[hash / 64] & BIT64(hash % 64);
}

/* The block whose hot part has this address, or NULL. */
static struct block *block_at_hot(struct cache *c, const u8 *host)
{
    u32 count = __atomic_load_n(&c->block_count, __ATOMIC_ACQUIRE);
    u64 granule = (u64)(host - c->code) / GRANULE;
    if (!count || host < c->blocks[0].far_entry || host >= c->blocks[count - 1].hot_end)
        return NULL;
    u32 i = c->block_before[granule];
    while (i + 1 < count && c->blocks[i + 1].far_entry <= host)
        i++;
    struct block *b = &c->blocks[i];
    return host >= b->far_entry && host < b->hot_end ? b : NULL;
}

struct block *block_at(struct cache *c, const u8 *host)
{
    if (host < c->code + c->hot_size)
        return block_at_hot(c, host);
    u32 lo = 0, hi = __atomic_load_n(&c->block_count, __ATOMIC_ACQUIRE);
    while (lo < hi) {
        u32 mid = (lo + hi) / 2;
        const struct block *b = &c->blocks[mid];
        if (host < b->cold)
            hi = mid;
        else
            lo = mid + 1;
    }
    if (!lo)
        return NULL;
    struct block *b = &c->blocks[lo - 1];
    return host < b->cold_end ? b : NULL;
}

const struct place *block_place(const struct cache *c, const struct block *b, const u8 *host)
{
    u32 at = (u32)(host - c->code);
    bool cold = host >= c->code + c->hot_size;
    u32 first = cold ? b->cold_place_from : 0, lo = first, hi = cold ? b->place_count : b->cold_place_from;
    while (lo < hi) {
        u32 mid = (lo + hi) / 2;
        if (b->places[mid].host <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > first ? &b->places[lo - 1] : NULL;
}

/* Is it still the page at that address? */
static bool is_same(struct vcpu *v, const struct code_page *p)
{
    const struct ram_slot *s = vcpu_slot(v, p->gpa);
    return s && (u64)ram_host(s, p->gpa) == p->host && ram_page_word(s, p->gpa) == p->word;
}

/*
 * Marks the page as code and takes write mappings away from every vCPU that may have one. Another vCPU may be doing
 * the same right now: RAM_CODE alone proves nothing as long as writers are on record. Other vCPUs are struck off the
 * record in the exclusive section only, so that one that writes after an invalidation is not forgotten. Returns false
 * if the page went from the guest while this vCPU waited for the others.
 */
static bool protect(struct vcpu *v, const struct code_page *p)
{
    bool shared = v->vm->vcpu_count > RAM_WRITERS; /* bits stand for more than one vCPU */
    u32 mine = shared ? 0 : BIT(v->index);
    u32 writers = __atomic_fetch_or(p->word, RAM_CODE, __ATOMIC_SEQ_CST) & ~RAM_CODE;
    if (writers & ~mine) {
        exclusive_begin(v);
        bool same = is_same(v, p);
        for (u32 i = 0; i < v->vm->vcpu_count && same; i++)
            mmu_protect(v->vm->vcpu[i], (const u8 *)p->host, PAGE_SIZE);
        if (same)
            __atomic_fetch_and(p->word, RAM_CODE, __ATOMIC_SEQ_CST);
        exclusive_end(v);
        return same;
    }
    if (writers) {
        mmu_protect(v, (const u8 *)p->host, PAGE_SIZE);
        __atomic_fetch_and(p->word, ~mine, __ATOMIC_SEQ_CST);
    }
    return true;
}

static bool is_protected(const struct code_page *p)
{
    return __atomic_load_n(p->word, __ATOMIC_SEQ_CST) & RAM_CODE;
}

/* Nothing answers: all ones, which is no instruction; or whoever owns the VM wants to know. */
static enum outcome fetch_nothing(struct vcpu *v)
{
    u32 exits = __atomic_load_n(&v->vm->fetch_exits, __ATOMIC_RELAXED);
    bool supervisor = exits == CPU_FETCH_SUPERVISOR && !v->in_guest && !v->cpl;
    if (!supervisor && exits != CPU_FETCH_ALWAYS)
        return raise_ud(v);
    if (supervisor) {
        v->raised = (struct event){.valid = true, .type = EVENT_EXCEPTION, .vector = EXC_UD};
        request_raise(v, REQ_EVENT);
    }
    v->exit = CPU_EXIT_FETCH;
    return CPU_EXIT;
}

/* The page of an instruction fetch. A walk may write guest memory, L2's may exit: never under the lock, which both
 * take. */
static enum outcome fetch_page(struct vcpu *v, u64 la, struct code_page *p)
{
    gpa_t gpa;
    TRY(mmu_fetch(v, la, &gpa));
    const struct ram_slot *s = vcpu_slot(v, gpa);
    if (!s)
        return fetch_nothing(v);
    p->gpa = GPA(gpa.a & ~PAGE_MASK);
    p->host = (u64)ram_host(s, p->gpa);
    p->word = ram_page_word(s, p->gpa);
    p->foreign = s->flags & RAM_FOREIGN;
    return CPU_OK;
}

/* Returns the block that was asked for, or NULL. Sets *needs_page2 if the second page decides. The caller holds the
 * lock. */
static struct block *lookup(const struct cache *c, u64 page, u64 page2, u64 la, u32 mode, bool *needs_page2)
{
    u16 offset = la & PAGE_MASK;
    for (struct block *b = c->hash[hash_of(page, offset, mode)]; b; b = b->next_hash) {
        if (b->page != page || b->offset != offset || b->mode != mode)
            continue;
        if (b->page2 == NO_PAGE || b->page2 == page2)
            return b;
        *needs_page2 = true;
    }
    return NULL;
}

/* Blocks were killed: the other vCPUs must leave loops within them. Those that sleep are in none. */
static void others_leave(struct vm *vm, const struct vcpu *v)
{
    for (u32 i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpu[i] != v)
            request_add(vm->vcpu[i], REQ_EXCLUSIVE);
}

static void leave_blocks(struct vm *vm, struct vcpu *v)
{
    if (v)
        v->code_changed = true;
    others_leave(vm, v);
}

/* The lock, while memory is read that may not be there. */
static void lock_to_read(struct vcpu *v)
{
    spin_lock(&v->vm->cache->lock);
    v->exec->reads_code = true;
}

static void unlock_read(struct vcpu *v)
{
    v->exec->reads_code = false;
    spin_unlock(&v->vm->cache->lock);
}

void block_give_up(struct vcpu *v)
{
    if (!v->exec->reads_code)
        return;
    unlock_read(v);
    leave_blocks(v->vm, v); /* some may have been killed */
}

static void hash_enter(struct cache *c, struct block *b)
{
    u32 h = hash_of(b->page, b->offset, b->mode);
    b->next_hash = c->hash[h];
    c->hash[h] = b;
}

/* Translates with the pages' lines announced. *stale: how many blocks turned out to be made from what is not there any
 * more. */
static enum translation make_announced(struct vcpu *v, const struct translation_request *r, struct block **made,
                                       u32 *stale)
{
    struct cache *c = v->vm->cache;
    u16 offset = r->la & PAGE_MASK;
    struct page_code *p = page_get(c, r->page.host, r->page.foreign), *p2 = NULL;
    if (r->page2.host != NO_PAGE)
        p2 = page_get(c, r->page2.host, r->page2.foreign);
    if (!p || (r->page2.host != NO_PAGE && !p2))
        return TRANSLATION_FULL;
    u64 lines = page_announce(p, offset, BLOCK_MAX_BYTES), lines2 = p2 ? page_announce(p2, 0, INSN_MAX) : 0;
    enum translation result = translate(v, r, made);
    struct block *b = result == TRANSLATION_DONE ? *made : NULL, *b2 = b && b->page2 != NO_PAGE ? b : NULL;
    u32 room = (u32)PAGE_SIZE - offset, size = b ? b->looked : 0, first = size < room ? size : room;
    const u8 *bytes = v->exec->tr->bytes;
    if (p2)
        *stale += page_enter(c, p2, lines2, b2, bytes + first, 0, size - first);
    lines |= p2 == p; /* the same page twice */
    *stale += page_enter(c, p, lines, b, bytes, offset, first);
    if (b)
        hash_enter(c, b);
    return result;
}

static enum translation make(struct vcpu *v, const struct translation_request *r, struct block **made)
{
    enum translation result = TRANSLATION_RETRY;
    u32 stale = 0;
    vector_save(v);
    lock_to_read(v);
    /* A writer may have struck the marks off before the lock was taken. */
    if (is_protected(&r->page) && (r->page2.host == NO_PAGE || is_protected(&r->page2)))
        result = make_announced(v, r, made, &stale);
    unlock_read(v);
    v->stat[STAT_CODE_STALE] += stale;
    if (stale)
        leave_blocks(v->vm, v);
    return result;
}

static __attribute__((noinline)) struct block *find_or_make(struct vcpu *v, u64 la, u32 mode, enum outcome *out)
{
    struct cache *c = v->vm->cache;
    struct translation_request r = {.la = la, .page2.host = NO_PAGE, .mode = mode};
    for (bool needs_page2 = false;;) {
        *out = fetch_page(v, la, &r.page);
        if (*out == CPU_OK && needs_page2)
            *out = fetch_page(v, (la & ~PAGE_MASK) + PAGE_SIZE, &r.page2);
        if (*out != CPU_OK)
            return NULL;
        spin_lock(&c->lock);
        struct block *b = lookup(c, r.page.host, r.page2.host, la, mode, &needs_page2);
        r.hot = is_hot(c, hash_of(r.page.host, la & PAGE_MASK, mode));
        spin_unlock(&c->lock);
        if (b)
            return b;
        if (needs_page2 && r.page2.host == NO_PAGE)
            continue;
        if (!protect(v, &r.page) || (needs_page2 && !(protect(v, &r.page2) && is_same(v, &r.page))))
            continue;
        switch (make(v, &r, &b)) {
        case TRANSLATION_DONE: v->stat[r.hot ? STAT_MADE_HOT : STAT_MADE]++; return b;
        case TRANSLATION_NEEDS_PAGE2: needs_page2 = true; break;
        case TRANSLATION_FULL: flush(v); break;
        case TRANSLATION_RETRY: break;
        }
    }
}

/* Returns the block that the link leads to if it is the one that is asked for. The caller holds the lock. */
static struct block *linked(const struct exit_link *link, u64 page, u64 la, u32 mode)
{
    struct block *b = link ? link->to : NULL;
    return b && b->page == page && b->offset == (la & PAGE_MASK) && b->mode == mode && b->page2 == NO_PAGE ? b : NULL;
}

struct block *block_find_linked(struct vcpu *v, u64 la, u32 mode, const struct exit_link *link, enum outcome *out)
{
    struct cache *c = v->vm->cache;
    struct code_page page;
    bool needs_page2 = false;
    *out = fetch_page(v, la, &page);
    if (unlikely(*out != CPU_OK))
        return NULL;
    spin_lock(&c->lock);
    struct block *b = linked(link, page.host, la, mode);
    if (!b)
        b = lookup(c, page.host, NO_PAGE, la, mode, &needs_page2);
    spin_unlock(&c->lock);
    return likely(b) ? b : find_or_make(v, la, mode, out);
}

struct block *block_find(struct vcpu *v, u64 la, u32 mode, enum outcome *out)
{
    return block_find_linked(v, la, mode, NULL, out);
}

/* The host address of the page that code at la is fetched from, or NO_PAGE if the TLB does not know it. */
static u64 page_of(struct vcpu *v, u64 la)
{
    const struct tlb *t = v->tlb;
    u32 i = tlb_index(la);
    gpa_t gpa = GPA(t->xgpa[i]);
    const struct ram_slot *s = t->xtag[i] + (la & ~PAGE_MASK) ? NULL : vcpu_slot(v, gpa);
    return s ? (u64)ram_host(s, gpa) : NO_PAGE;
}

/*
 * The guard of a link to the block at la: what the context's entry in `link` and la add up to if la is mapped to the
 * block's page, negated; LINK_CLOSED if there is none. The sum is the page's number plus the offset in it. For an entry
 * of another page, or an empty one, it is that number plus a multiple of TLB_SIZE pages that is not 0, or TLB_SIZE / 2
 * pages plus such a multiple: never what a guard waits for, nor 0.
 */
static s32 guard_of(struct vcpu *v, const struct block *to, u64 la)
{
    const struct tlb *t = v->tlb;
    u32 i = tlb_index(la);
    u64 number = t->link[i] + (la & ~PAGE_MASK);
    bool is_entered = number == t->xgpa[i] >> PAGE_SHIFT && page_of(v, la) == to->page;
    return is_entered ? -(s32)(number + to->offset) : LINK_CLOSED;
}

static void guard_set(const struct exit_link *link, s32 guard)
{
    __atomic_store_n(link->guard, guard + good_sum(link->from->hot), __ATOMIC_RELEASE);
}

static void enters(struct exit_link *link, struct block *to)
{
    link->to = to;
    link->next_in = to->in;
    to->in = link;
}

static void unchain(struct exit_link *link)
{
    if (link->across)
        guard_set(link, LINK_CLOSED);
    else
        patch_rel32(link->field, link->stub);
    link->to = NULL;
}

/* Who passed the guard of the link when it led elsewhere finds one or the other block. */
static void link_across(struct exit_link *link, struct block *to, s32 guard)
{
    enters(link, to);
    patch_rel32(link->field, to->far_entry);
    guard_set(link, guard);
}

void block_link(struct vcpu *v, struct exit_link *link, struct block *to, u64 la)
{
    struct cache *c = v->vm->cache;
    s32 guard = link->across ? guard_of(v, to, la) : LINK_CLOSED;
    spin_lock(&c->lock);
    bool fits = link->across ? guard != LINK_CLOSED : to->page == link->from->page;
    if (link->across || link->lands)
        fits = fits && to->page2 == NO_PAGE;
    if (link->to || !fits || !to->valid || !link->from->valid || ((to->mode ^ link->from->mode) & ~MODE_PLAIN) ||
        to->offset != link->target) {
        spin_unlock(&c->lock);
        return;
    }
    if (link->across) {
        link_across(link, to, guard);
    } else if (to->page2 == NO_PAGE) {
        enters(link, to);
        patch_rel32(link->field, link->lands ? to->far_entry : to->near_entry);
    } else if (!link->plain && (to->mode & MODE_FLAT) && c->cold_end - c->cold > CACHE_ROOM) {
        /* The jump cache has no MODE_PLAIN blocks: to those exec_chain leads each time. */
        struct emit e = {c->cold, c->cold_end};
        emit_far_link(c, &e, link->target);
        patch_rel32(link->field, c->cold);
        c->cold = e.p;
    }
    spin_unlock(&c->lock);
}

/* -- invalidation -- */

static void unhash(struct cache *c, struct block *b)
{
    struct block **p = &c->hash[hash_of(b->page, b->offset, b->mode)];
    while (*p && *p != b)
        p = &(*p)->next_hash;
    if (*p)
        *p = b->next_hash;
}

/* Replaces the first instruction at the far entry by a jump, in one store: a vCPU behind that instruction finds the
 * rest of the block. The near entry stays as it is, since no link leads there any more. */
static void divert(const struct cache *c, u8 *entry)
{
    u64 *at = (u64 *)((u64)entry & ~(ENTRY_WORD - 1ull)), word = *at;
    u8 jump[ENTRY_JUMP];
    struct emit e = {jump, jump + sizeof jump};
    emit_jmp(&e, jump + (c->dead - entry));
    copy_bytes((u8 *)&word + (entry - (u8 *)at), jump, sizeof jump);
    __atomic_store_n(at, word, __ATOMIC_RELEASE);
}

void block_kill(struct cache *c, struct block *b)
{
    b->valid = false;
    unhash(c, b);
    for (struct exit_link *l = b->in; l; l = l->next_in)
        unchain(l);
    b->in = NULL;
    divert(c, b->far_entry);
}

bool block_has_checks(const struct cache *c, u64 page, u16 offset)
{
    u32 hash = hash_of(page, offset, 0);
    return c->checked_hash[hash / 64] & BIT64(hash % 64);
}

void block_add_checks(struct vcpu *v, struct block *b, u16 offset)
{
    struct cache *c = v->vm->cache;
    u32 hash = hash_of(b->page, offset, 0); /* in blocks of any mode */
    v->stat[STAT_MAPPED_CHECKED]++;
    spin_lock(&c->lock);
    c->checked_hash[hash / 64] |= BIT64(hash % 64);
    if (b->valid)
        block_kill(c, b);
    spin_unlock(&c->lock);
}

static void hot_add(struct cache *c, const struct block *b)
{
    u32 hash = hash_of(b->page, b->offset, b->mode);
    c->hot_hash[hash / 64] |= BIT64(hash % 64);
}

/* Adds a block to those that become hot, if it is not one of them. */
static void heat_add(struct block **found, u32 *count, struct block *b)
{
    if (!b || !b->valid || *count == (mode_lasts(b->mode) ? HEAT_LINKED_LASTING : HEAT_LINKED))
        return;
    for (u32 i = 0; i < *count; i++)
        if (found[i] == b)
            return;
    found[(*count)++] = b;
}

void block_heat(struct vcpu *v, struct block *b)
{
    struct cache *c = v->vm->cache;
    struct block *found[HEAT_LINKED];
    u32 count = 0, killed = 0;
    spin_lock(&c->lock);
    heat_add(found, &count, b);
    for (u32 i = 0; i < count; i++) {
        for (u32 k = 0; k < found[i]->link_count; k++)
            heat_add(found, &count, found[i]->links[k].across ? NULL : found[i]->links[k].to);
        for (const struct exit_link *l = found[i]->in; l; l = l->next_in)
            heat_add(found, &count, l->across ? NULL : l->from);
    }
    for (u32 i = 0; i < count; i++) {
        if (found[i]->hot)
            continue;
        hot_add(c, found[i]);
        c->has_hot |= !mode_lasts(found[i]->mode);
        block_kill(c, found[i]);
        killed++;
    }
    spin_unlock(&c->lock);
    if (killed)
        others_leave(v->vm, v);
}

void block_heat_at(struct vcpu *v, u64 la)
{
    struct cache *c = v->vm->cache;
    struct block *found = NULL;
    u64 host = page_of(v, la);
    spin_lock(&c->lock);
    const struct page_code *p = page_find(c, host);
    for (const struct page_ref *r = p ? p->blocks : NULL; r && !found; r = r->next)
        if (r->block->valid && r->block->mode == v->mode && (la & PAGE_MASK) - r->offset < r->size)
            found = r->block;
    spin_unlock(&c->lock);
    if (found)
        block_heat(v, found);
}

/* Blocks that last stay hot. */
void block_cool(struct vcpu *v)
{
    struct cache *c = v->vm->cache;
    spin_lock(&c->lock);
    bool had_hot = c->has_hot;
    if (had_hot)
        fill_bytes(c->hot_hash, 0, sizeof c->hot_hash);
    for (u32 i = 0; i < c->block_count && had_hot; i++) {
        struct block *b = &c->blocks[i];
        if (b->valid && b->hot && mode_lasts(b->mode))
            hot_add(c, b);
        else if (b->valid && b->hot)
            block_kill(c, b);
    }
    c->has_hot = false;
    c->coolings += had_hot && c->coolings < HEAT_DOUBLINGS;
    spin_unlock(&c->lock);
    if (had_hot)
        others_leave(v->vm, v);
}

/* The page has no blocks any more, so writes to it need not be noted. */
static void unprotect(const struct ram_slot *s, gpa_t at, const struct page_code *p)
{
    if (!p || (!p->blocks && p->direct == DIRECT_CODE_UNKNOWN))
        __atomic_fetch_and(ram_page_word(s, at), ~RAM_CODE, __ATOMIC_SEQ_CST);
}

/* Were the bytes written beside all code of a page that has some? */
static bool is_beside(const struct cache *c, u64 host, u64 size)
{
    const struct page_code *p = page_find(c, host & ~PAGE_MASK);
    u64 lines = p ? __atomic_load_n(&p->lines, __ATOMIC_RELAXED) : 0;
    return lines && !(lines & page_lines(host & PAGE_MASK, size));
}

void block_invalidate(struct vm *vm, struct vcpu *v, const struct ram_slot *s, gpa_t at, u64 size)
{
    struct cache *c = vm->cache;
    u64 host = (u64)ram_host(s, at);
    if (v && v->running && likely(is_beside(c, host, size))) {
        v->stat[STAT_BESIDE]++;
        return;
    }
    spin_lock(&c->lock);
    struct page_code *p = page_find(c, host & ~PAGE_MASK);
    bool hit = p && p->direct != DIRECT_CODE_UNKNOWN;
    if (hit) {
        p->direct = DIRECT_CODE_UNKNOWN;
        direct_note(&vm->direct_notes, p->host, PAGE_SIZE);
    }
    hit |= p && page_kill(c, p, host & PAGE_MASK, size);
    unprotect(s, at, p);
    spin_unlock(&c->lock);
    if (hit)
        leave_blocks(vm, v);
}

enum direct_code block_watch(struct vcpu *v, const struct ram_slot *s, gpa_t at)
{
    struct cache *c = v->vm->cache;
    struct code_page p = {.gpa = GPA(at.a & ~PAGE_MASK), .word = ram_page_word(s, at)};
    p.host = (u64)ram_host(s, p.gpa);
    if (!protect(v, &p))
        return DIRECT_CODE_UNKNOWN;
    spin_lock(&c->lock);
    enum direct_code known = DIRECT_CODE_UNKNOWN;
    struct page_code *code = page_get(c, p.host, false);
    if (code && is_protected(&p)) {
        if (code->direct == DIRECT_CODE_UNKNOWN)
            code->direct = DIRECT_CODE_WATCHED;
        known = code->direct;
        __atomic_store_n(&code->lines, ~0ull, __ATOMIC_SEQ_CST);
    }
    spin_unlock(&c->lock);
    if (!code)
        flush(v);
    return known;
}

void block_judge(struct vcpu *v, const u8 *page, enum direct_code code)
{
    struct cache *c = v->vm->cache;
    spin_lock(&c->lock);
    struct page_code *p = page_find(c, (u64)page);
    if (p && p->direct != DIRECT_CODE_UNKNOWN)
        p->direct = code;
    spin_unlock(&c->lock);
}

void block_check(struct vcpu *v, const struct ram_slot *s, gpa_t at)
{
    struct cache *c = v->vm->cache;
    if (!(__atomic_load_n(ram_page_word(s, at), __ATOMIC_SEQ_CST) & RAM_CODE))
        return;
    v->stat[STAT_CODE_CHECK]++;
    struct page_code *p = page_find(c, (u64)ram_host(s, at) & ~PAGE_MASK);
    if (!p || likely(!page_differs(p)))
        return;
    lock_to_read(v);
    u32 stale = page_renew(c, p);
    unprotect(s, at, p);
    unlock_read(v);
    v->stat[STAT_CODE_STALE] += stale;
    if (stale)
        leave_blocks(v->vm, v);
}

void block_forget(struct vm *vm, const struct ram_slot *s)
{
    struct cache *c = vm->cache;
    spin_lock(&c->lock);
    for (u32 i = 0; i < ARRAY_LEN(c->pages); i++) {
        for (struct page_code *p = c->pages[i]; p; p = p->next) {
            u64 offset = p->host - (u64)s->host;
            if (offset >= s->size)
                continue;
            p->direct = DIRECT_CODE_UNKNOWN;
            page_kill(c, p, 0, PAGE_SIZE);
            s->page[offset >> PAGE_SHIFT] &= ~RAM_CODE;
        }
    }
    spin_unlock(&c->lock);
}
