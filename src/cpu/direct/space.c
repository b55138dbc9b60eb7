/*
 * Address spaces in processes. A page is mapped only as the guest's tables say at that moment and only what needs no
 * walk: accessed, and for writing dirty (mmu/table.c). What is mapped then stays until the guest invalidates
 * translations of the TLB context that it belongs to (mmu_epoch): then the tables are compared with what they were. A
 * table of 512 entries costs less to compare than one page to map again.
 */
#include "cpu/direct/space.h"

#include "cpu/core/copy.h"
#include "cpu/core/cpuid.h"
#include "cpu/core/stats.h"
#include "cpu/core/vectors.h"
#include "cpu/direct/scan.h"
#include "cpu/direct/when.h"
#include "cpu/jit/block.h"
#include "cpu/mmu/tlb.h"
#include "x86/paging.h"

static const struct cpu_direct_host *host_of(const struct vcpu *v)
{
    return v->vm->host->direct;
}

/* -- changes -- */

bool space_flush(struct vcpu *v, struct space *s)
{
    struct direct *d = v->direct_spaces;
    u32 count = d->changes;
    d->changes = 0;
    /* Files may be others now. */
    s->broken = s->broken || d->generation != v->vm->direct_notes.generation;
    if (!count || s->broken)
        return !s->broken;
    v->stat[STAT_DIRECT_MAP]++;
    v->stat[STAT_DIRECT_CALL] += count;
    d->ran = true;
    s->broken = !host_of(v)->change(s->process, d->change, count);
    return !s->broken;
}

/* Queues a change, as a part of the last one if it goes on there. */
static void change(struct vcpu *v, struct space *s, const struct direct_change *c)
{
    struct direct *d = v->direct_spaces;
    struct direct_change *last = d->changes ? &d->change[d->changes - 1] : NULL;
    if (last && last->la + last->size == c->la && last->rights == c->rights && last->file == c->file &&
        (!c->rights || last->offset + last->size == c->offset)) {
        last->size += c->size;
        return;
    }
    if (d->changes == DIRECT_CHANGES && !space_flush(v, s))
        return;
    d->change[d->changes++] = *c;
}

/* -- instructions that the host's CPU must not execute, in pages with few of them -- */

static void traps_remove(struct space *s, u64 la, u64 size)
{
    for (u32 i = 0; i < DIRECT_TRAPS; i++)
        if (s->trap[i] && s->trap[i] - la < size) {
            s->trap[i] = 0;
            s->traps_changed = true;
        }
}

bool space_traps(struct vcpu *v, struct space *s)
{
    if (likely(!s->traps_changed))
        return true;
    s->traps_changed = false;
    if (host_of(v)->traps(s->process, s->trap))
        return true;
    v->direct_spaces->no_traps = s->broken = true;
    return false;
}

bool space_tsc(struct vcpu *v, struct space *s)
{
    bool same = v->mode & MODE_TSC && !v->tsc_offset && cpu_has(v->vm, FEATURE_RDTSCP);
    if (likely(s->tsc_faults == !same))
        return true;
    s->tsc_faults = !same;
    s->broken = !host_of(v)->tsc(s->process, !same);
    return !s->broken;
}

static void page_unmap(struct vcpu *v, struct space *s, struct region *r, u32 i)
{
    const struct direct_change c = {.la = region_la(r, i), .size = PAGE_SIZE};
    if (r->page[i] & PAGE_MAPPED) {
        change(v, s, &c);
        r->count--;
    }
    traps_remove(s, c.la, PAGE_SIZE);
    r->page[i] = 0;
}

static void region_unmap(struct vcpu *v, struct space *s, struct region *r)
{
    u64 low = host_of(v)->low, high = host_of(v)->high, end = r->la + REGION_PAGES * PAGE_SIZE;
    struct direct_change c = {.la = r->la > low ? r->la : low};
    c.size = (end < high ? end : high) - c.la;
    if (r->count)
        change(v, s, &c); /* one, whatever lies between the pages */
    traps_remove(s, r->la, REGION_PAGES * PAGE_SIZE);
    r->count = 0;
    fill_bytes(r->page, 0, sizeof r->page);
}

/* -- notes of pages that lost rights -- */

static void note_apply(struct vcpu *v, struct space *s, const struct direct_note *n)
{
    if (!page_filter_has(&s->filter, n->host, n->size))
        return;
    for (struct region *r = s->regions; r; r = r->next)
        for (u32 i = 0; i < REGION_PAGES; i++)
            if (r->page[i] && (r->page[i] & ~PAGE_MASK) - n->host < n->size)
                page_unmap(v, s, r, i);
}

/* Reads the notes that the space has not read. */
static void notes_apply(struct vcpu *v, struct space *s)
{
    struct direct_notes *notes = &v->vm->direct_notes;
    u64 count = __atomic_load_n(&notes->count, __ATOMIC_ACQUIRE);
    struct direct_note n;
    for (; s->notes < count; s->notes++) {
        if (!direct_note_read(notes, s->notes, &n)) {
            n = (struct direct_note){0, ~0ull};
            s->notes = count - 1;
        }
        note_apply(v, s, &n);
    }
}

/* -- comparing -- */

/* Does the page lie where it lay, as far as the second stage decides? */
static bool same_in_l1(struct vcpu *v, const struct region *r, u32 i)
{
    struct user_page p;
    if (mmu_is_simple(v))
        return true;
    return user_page_find(v, &r->table, region_la(r, i), leaf_entry(&r->table, i), r->page[i] & PAGE_FETCH, &p) &&
           (u64)ram_host(p.slot, p.gpa) == (r->page[i] & ~PAGE_MASK) && (p.write || !(r->page[i] & PAGE_WRITE)) &&
           (p.fetch || !(r->page[i] & PAGE_FETCH));
}

static void region_compare(struct vcpu *v, struct space *s, struct region *r)
{
    struct leaf_table now;
    bool there = leaf_table_find(v, r->la, &now);
    if (!there || !leaf_table_same(&now, &r->table)) {
        region_unmap(v, s, r);
        if (there)
            r->table = now;
        return;
    }
    for (u32 i = 0; i < REGION_PAGES; i++)
        if (r->page[i] && (leaf_entry(&r->table, i) != r->entry[i] || !same_in_l1(v, r, i)))
            page_unmap(v, s, r, i);
}

void space_refresh(struct vcpu *v, struct space *s)
{
    u64 epoch = mmu_epoch(v);
    notes_apply(v, s);
    if (s->epoch == epoch && s->pkru == v->pkru)
        return;
    v->stat[STAT_DIRECT_CHECK]++;
    for (struct region *r = s->regions; r; r = r->next) {
        if (s->pkru != v->pkru)
            region_unmap(v, s, r);
        if (r->count)
            region_compare(v, s, r);
        else
            region_unmap(v, s, r); /* pages that are noted as unfit */
    }
    s->epoch = epoch;
    s->pkru = v->pkru;
}

/* -- mapping -- */

/* The host memory of a page that the process may execute. NULL: it may not. */
static const u8 *fetched(struct vcpu *v, struct space *s, u64 la)
{
    u64 page = region_page(&v->direct_spaces->regions, s, la);
    return page & PAGE_FETCH ? (const u8 *)(page & ~PAGE_MASK) : NULL;
}

/* The host memory of a page of the region that the guest may execute. NULL: it may not, or page i is of another one. */
static const u8 *fetchable(struct vcpu *v, const struct region *r, u32 i)
{
    struct user_page p;
    u64 la = region_la(r, i);
    bool can = i < REGION_PAGES && user_page_find(v, &r->table, la, leaf_entry(&r->table, i), true, &p) && p.fetch;
    return can ? ram_host(p.slot, p.gpa) : NULL;
}

/* Is it the first page of Linux' vDSO? There RDTSCP is executed, as nobody looks at TSC_AUX behind it. */
static bool is_vdso(const u8 *page)
{
    static const u8 head[] = {0x7f, 'E', 'L', 'F'}, name[] = "__vdso_clock_gettime";
    u32 same = 0, at = 0;
    while (same < sizeof head && page[same] == head[same])
        same++;
    if (same < sizeof head)
        return false;
    for (same = 0; at < PAGE_SIZE && same < sizeof name; at++)
        same = page[at] == name[same] ? same + 1 : page[at] == name[0];
    return same == sizeof name;
}

/* Looks at all of page i. What lies beside it says how it is to be decoded. Returns what scan_list does, with places in
 * the page. */
static u32 page_list(struct vcpu *v, const struct region *r, u32 i, const u8 *page, u32 *start, u32 most)
{
    u8 bytes[SCAN_BEFORE + PAGE_SIZE + SCAN_MARGIN];
    const u8 *before = fetchable(v, r, i - 1), *behind = fetchable(v, r, i + 1);
    u32 skipped = before ? 0 : SCAN_BEFORE, size = SCAN_BEFORE - skipped + PAGE_SIZE;
    if (before)
        copy_bytes(bytes, before + PAGE_SIZE - SCAN_BEFORE, SCAN_BEFORE);
    copy_bytes(bytes + SCAN_BEFORE, page, PAGE_SIZE);
    if (behind)
        copy_bytes(bytes + SCAN_BEFORE + PAGE_SIZE, behind, SCAN_MARGIN);
    size += behind ? SCAN_MARGIN : 0;
    u32 from = SCAN_BEFORE - skipped;
    bool vdso = is_vdso(page) || (before && is_vdso(before));
    u32 what = (v->direct_spaces->xsave ? SCAN_XSAVE : 0) | (vdso ? 0 : SCAN_RDTSCP);
    u32 n = scan_list(bytes + skipped, size, from, from + PAGE_SIZE, what, start, most);
    for (u32 k = 0; k < n && k < most; k++)
        start[k] -= from;
    return n;
}

static enum direct_code judge(struct vcpu *v, const struct region *r, u32 i, const u8 *page)
{
    return page_list(v, r, i, page, NULL, 0) ? DIRECT_CODE_UNFIT : DIRECT_CODE_FIT;
}

static void page_queue(struct vcpu *v, struct space *s, struct region *r, u32 i)
{
    u64 page = r->page[i];
    struct direct_change c = {.la = region_la(r, i), .size = PAGE_SIZE, .rights = DIRECT_READ};
    if (!(page & PAGE_MAPPED)) /* a note has come */
        return;
    if (!host_of(v)->file(host_of(v)->opaque, (void *)(page & ~PAGE_MASK), &c.file, &c.offset)) {
        page_unmap(v, s, r, i);
        return;
    }
    v->stat[STAT_DIRECT_UNFIT] += !!(page & PAGE_UNFIT);
    v->stat[STAT_DIRECT_PAGES]++;
    c.rights |= (page & PAGE_WRITE ? DIRECT_WRITE : 0) | (page & PAGE_FETCH ? DIRECT_FETCH : 0);
    change(v, s, &c);
}

/* A page that the process executed with breakpoints is translated again. */
static void page_give_back(struct vcpu *v, struct space *s, u64 la, u64 left)
{
    u32 i = region_index(la);
    struct region *r = region_find(&v->direct_spaces->regions, s, la);
    traps_remove(s, la & ~PAGE_MASK, PAGE_SIZE);
    if (!r || !(r->page[i] & PAGE_MAPPED))
        return;
    r->page[i] = (r->page[i] & ~PAGE_FETCH) | PAGE_UNFIT | left;
    page_queue(v, s, r, i);
}

/* Has the process stop before what the host's CPU must not execute in page i, in place of what others have it stop for
 * if need be. False: it cannot. */
static bool traps_add(struct vcpu *v, struct space *s, const struct region *r, u32 i, const u8 *page)
{
    u32 start[DIRECT_TRAPS], n, free = 0, at = 0;
    u64 la = region_la(r, i);
    n = page_list(v, r, i, page, start, DIRECT_TRAPS);
    if (n > DIRECT_TRAPS)
        return false;
    traps_remove(s, la, PAGE_SIZE);
    for (u32 k = 0; k < DIRECT_TRAPS; k++)
        free += !s->trap[k];
    for (u32 k = 0; k < DIRECT_TRAPS && free < n; k++)
        if (s->trap[k])
            page_give_back(v, s, s->trap[k], 0);
    for (u32 k = 0; k < n; k++) {
        while (s->trap[at])
            at++;
        s->trap[at] = la + start[k];
    }
    s->traps_changed = true;
    return true;
}

/* Is there one of the instructions that begins in the page before and ends in the one behind? */
static bool straddles(struct vcpu *v, const u8 *before, const u8 *behind)
{
    u8 edge[SCAN_BEFORE + SCAN_MARGIN];
    copy_bytes(edge, before + PAGE_SIZE - SCAN_BEFORE, SCAN_BEFORE);
    copy_bytes(edge + SCAN_BEFORE, behind, SCAN_MARGIN);
    u32 what = SCAN_RDTSCP | (v->direct_spaces->xsave ? SCAN_XSAVE : 0);
    return scan_finds(edge, sizeof edge, SCAN_BEFORE - 2, SCAN_BEFORE, what);
}

/* Are the host's CPU's results those of the guest's, for all that begins in page i or reaches into it? What reaches
 * from or into a page that is not executed now is looked at when that one is. `wanted`: if they are not, the process
 * may stop before what is the cause. */
static bool is_fit(struct vcpu *v, struct space *s, const struct region *r, u32 i, const u8 *page,
                   enum direct_code known, bool foreign, bool wanted)
{
    u64 la = region_la(r, i);
    if (known == DIRECT_CODE_WATCHED || foreign) { /* others may have written there without notice */
        known = judge(v, r, i, page);
        block_judge(v, page, known);
    }
    if (known == DIRECT_CODE_UNFIT && !wanted)
        return false;
    const u8 *before = fetched(v, s, la - PAGE_SIZE), *behind = fetched(v, s, la + PAGE_SIZE);
    if ((before && straddles(v, before, page)) || (behind && straddles(v, page, behind)))
        return false;
    return known == DIRECT_CODE_FIT || traps_add(v, s, r, i, page);
}

/* Decides how one page is to be mapped. Returns whether that is a change: then page_queue makes it. */
static bool page_map(struct vcpu *v, struct space *s, struct region *r, u32 i, bool fetch)
{
    const struct cpu_direct_host *host = host_of(v);
    u64 la = region_la(r, i), entry = leaf_entry(&r->table, i);
    struct user_page p;
    if (la < host->low || la + PAGE_SIZE > host->high || !user_page_find(v, &r->table, la, entry, true, &p))
        return false;
    u64 at = (u64)ram_host(p.slot, p.gpa), page = at | PAGE_MAPPED;
    if (p.fetch && (fetch || !p.write)) {
        enum direct_code known = block_watch(v, p.slot, p.gpa);
        p.slot = vcpu_slot(v, p.gpa);
        if (known == DIRECT_CODE_UNKNOWN || !p.slot || (u64)ram_host(p.slot, p.gpa) != at)
            return false;
        notes_apply(v, s); /* write mappings of this page, if there were some */
        bool wanted = (fetch && s->trapping) || r->page[i] & PAGE_FETCH;
        page |=
            is_fit(v, s, r, i, (const u8 *)at, known, p.slot->flags & RAM_FOREIGN, wanted) ? PAGE_FETCH : PAGE_UNFIT;
    } else if (p.write && page_writer(v, p.slot, p.gpa)) {
        page |= PAGE_WRITE;
    }
    if (page == (r->page[i] & ~PAGE_LEFT))
        return false;
    r->count += !(r->page[i] & PAGE_MAPPED);
    r->page[i] = page;
    r->entry[i] = entry;
    page_filter_add(&s->filter, at);
    return true;
}

bool space_map(struct vcpu *v, struct space *s, u64 la, bool fetch)
{
    struct direct *d = v->direct_spaces;
    struct region *r = region_find(&d->regions, s, la);
    struct leaf_table now;
    u32 changed = 0; /* [bit] of the pages around */
    if (la >> 63 || !leaf_table_find(v, la, &now))
        return false;
    if (r && !leaf_table_same(&now, &r->table))
        region_unmap(v, s, r);
    s->broken = s->broken || (!r && !(r = region_make(&d->regions, s, &s->regions, la)));
    if (s->broken)
        return false;
    r->table = now;
    u32 i = region_index(la), first = i & ~(DIRECT_AROUND - 1);
    if (!page_map(v, s, r, i, fetch))
        return false;
    changed |= BIT(i - first);
    for (u32 n = 0; n < DIRECT_AROUND; n++)
        if (!r->page[first + n] && page_map(v, s, r, first + n, false))
            changed |= BIT(n);
    /* In ascending order, so that those that lie beside each other in memory are one change. */
    for (u32 n = 0; n < DIRECT_AROUND && !s->broken; n++)
        if (changed >> n & 1)
            page_queue(v, s, r, first + n);
    return r->page[i] & PAGE_MAPPED;
}

bool space_unfit(struct vcpu *v, struct space *s, u64 la)
{
    return region_page(&v->direct_spaces->regions, s, la) & PAGE_UNFIT;
}

bool space_trap(struct vcpu *v, struct space *s, u64 la)
{
    if (likely(s->unfit_ns < s->unfit_wanted_ns))
        return false;
    u32 i = region_index(la);
    struct region *r = region_find(&v->direct_spaces->regions, s, la);
    if (v->direct_spaces->no_traps || !r || r->page[i] & PAGE_LEFT)
        return false;
    s->unfit_ns = s->trapped = 0;
    s->unfit_wanted_ns *= 2; /* pages that take breakpoints from each other do so ever more seldom */
    vector_save(v);
    space_refresh(v, s);
    s->trapping = true;
    bool done = space_map(v, s, la, true) && !(r->page[i] & PAGE_UNFIT);
    s->trapping = false;
    r->page[i] |= r->page[i] & PAGE_UNFIT ? PAGE_LEFT : 0;
    return space_flush(v, s) && done; /* whoever goes on in translated code leaves no change for another space */
}

void space_trapped(struct vcpu *v, struct space *s, u64 la)
{
    bool here = false;
    for (u32 i = 0; i < DIRECT_TRAPS; i++)
        here |= s->trap[i] && s->trap[i] >> PAGE_SHIFT == la >> PAGE_SHIFT;
    s->trapped += here ? DIRECT_TURNS_TRAPPED : 0;
    if (s->trapped <= DIRECT_TURNS_TRAPPED * DIRECT_TRAPPED_FIRST || !here)
        return;
    page_give_back(v, s, la, PAGE_LEFT);
    space_flush(v, s);
}

void space_unfit_cost(struct space *s, u64 ns)
{
    s->unfit_ns += ns < DIRECT_UNFIT_MOST_NS ? ns : DIRECT_UNFIT_MOST_NS;
}

/* -- spaces -- */

/* Its PCID is only the place of its translations in the TLB: Linux gives a process another one now and then. */
static bool is_of(const struct space *s, const struct tlb_key *k)
{
    return s->used && s->key.root == k->root && s->key.nroot == k->nroot && s->key.space == k->space &&
           s->key.control == k->control && s->key.flags == (k->flags & ~TLB_AC);
}

void space_stop(struct vcpu *v, struct space *s)
{
    struct direct *d = v->direct_spaces;
    if (s->process) {
        vector_save(v);
        host_of(v)->destroy(s->process);
    }
    s->process = NULL;
    s->broken = false;
    d->changes = 0;
    regions_free(&d->regions, &s->regions);
}

bool space_start(struct vcpu *v, struct space *s)
{
    struct direct *d = v->direct_spaces;
    if (s->process)
        return true;
    if (d->refused)
        return false;
    s->process = host_of(v)->create(host_of(v)->opaque, v->index);
    d->refused = !s->process;
    d->changes = 0;
    s->vectors_known = s->traps_changed = s->tsc_faults = false;
    s->unfit_ns = 0;
    s->unfit_wanted_ns = DIRECT_UNFIT_NS;
    fill_bytes(s->trap, 0, sizeof s->trap);
    s->epoch = 0;
    s->notes = __atomic_load_n(&v->vm->direct_notes.count, __ATOMIC_ACQUIRE);
    fill_bytes(&s->filter, 0, sizeof s->filter);
    v->stat[STAT_DIRECT_SPACE]++;
    return s->process;
}

/* The space that was not used for the longest time: of those that have a process if they are too many, else of the
 * others, which are what most processes of a guest need that are gone soon. */
static struct space *space_least(struct direct *d)
{
    struct space *oldest = NULL;
    u32 count = 0;
    for (u32 i = 0; i < DIRECT_SPACES; i++)
        count += !!d->space[i].process;
    for (u32 i = 0; i < DIRECT_SPACES; i++) {
        struct space *s = &d->space[i];
        if (!s->process == (count <= DIRECT_SPACES / 2) && (!oldest || s->clock < oldest->clock))
            oldest = s;
    }
    return oldest;
}

struct space *space_find(struct vcpu *v)
{
    struct direct *d = v->direct_spaces;
    const struct tlb_key *k = &v->tlb->key;
    struct space *s = d->recent && is_of(d->recent, k) ? d->recent : NULL;
    for (u32 i = 0; i < DIRECT_SPACES && !s; i++)
        s = is_of(&d->space[i], k) ? &d->space[i] : NULL;
    if (!s) {
        s = space_least(d);
        space_stop(v, s);
        s->used = true;
        s->key = *k;
        s->key.flags &= ~TLB_AC;
        s->pkru = v->pkru;
        when_begin(d, s);
    }
    s->clock = ++d->clock;
    d->recent = s;
    return s;
}
