/*
 * User pages, and global pages of L2's kernels, at host addresses: see users.h and docs/mapped.md.
 *
 * A page is mapped only as the guest's tables say at that moment, and only what needs no walk: accessed, and for
 * writing dirty (table.c). What is mapped stays until the guest invalidates translations of the TLB context: one page
 * goes at once; after anything else the context begins with nothing, and at the first signal the tables are compared
 * with what they were.
 */
#include "cpu/mmu/users.h"

#include "cpu/core/copy.h"
#include "cpu/core/stats.h"
#include "cpu/core/tunables.h"
#include "cpu/mmu/regions.h"
#include "x86/paging.h"

/* Areas that a vCPU has, and all together: V8 puts pieces of a heap anywhere in 46 bits, which is all of the most. */
#define AREAS_MOST 128u
#define AREAS_LEAST 12u
#define AREAS_ALL 136u

#define SPACES 16
#define REGIONS 1024u
/* Mappings of the host that all vCPUs may take together. */
#define HOST_MAPPINGS 24000

#define UPPER_HALF (~0ull << 47)

struct user_space {
    bool used, on;
    bool has_giants; /* pages of 1 GiB */
    struct tlb_key key;
    u64 epoch;      /* mmu_epoch when what is mapped was compared last */
    u64 clock;      /* when it was used last */
    u64 place;      /* of its threads' data, roughly: a process of the guest is known by it */
    u64 pending_la; /* a page that could not be mapped at its fault */
    u32 calls;      /* runs of pages that were mapped since it had none */
    u64 life;       /* cycles of the TSC that it ran, kernel included, as far as was seen */
    u64 wanted;     /* the life from which on pages are mapped */
    u64 begun;      /* the life then */
    u64 price;      /* what signals and mappings took since */
    struct region *regions;
    struct page_filter filter; /* pages that may be mapped for writing */
};

struct users {
    u8 *space; /* of the host: areas, and one more, where nothing is ever mapped */
    u32 areas; /* 0: none yet */
    bool off;  /* the host takes no mappings, or has no room for them */
    struct area {
        struct user_space *of;
        u64 la;
    } area[AREAS_MOST];
    u64 clock;
    struct user_space *runs; /* the space whose time passes, */
    u64 seen, halts;         /* since this TSC; and halts by then */
    struct regions regions;
    struct user_space *kernel;    /* that of L2's kernel while L2 runs */
    u64 nowhere[2][MAPPED_COUNT]; /* by half of the linear addresses */
    struct user_space spaces[SPACES];
    struct region region[REGIONS];
};

static bool is_kernel(const struct user_space *s)
{
    return !(s->key.flags & TLB_USER);
}

size_t users_size(void)
{
    return sizeof(struct users);
}

static u8 *area_host(const struct users *u, u32 i)
{
    return area_at(u->space, i);
}

static u64 space_size(u32 areas)
{
    return AREAS_SIZE(areas + 1);
}

static void context_forget(const struct users *u, struct tlb *t)
{
    copy_words(t->mapped_add, u->nowhere[t->key.flags & TLB_USER ? 0 : 1], MAPPED_COUNT);
}

/* Contexts of L2's supervisor mode are served like those of users: their global pages. */
static bool is_served(const struct tlb *t)
{
    return t->key.flags & (TLB_USER | TLB_GUEST);
}

void users_context(const struct vcpu *v, struct tlb *t)
{
    t->users = NULL;
    if (v->users && is_served(t))
        context_forget(v->users, t);
}

/* Sets address space aside for so many areas, in place of what there was. False: the host has none. */
static bool space_take(struct vcpu *v, struct users *u, u32 areas)
{
    const struct cpu_host *host = v->vm->host;
    u8 *space = host->alias_space(host->opaque, space_size(areas));
    if (!space)
        return false;
    if (u->space)
        host->memory_put(host->opaque, u->space, space_size(u->areas));
    u->space = space;
    u->areas = areas;
    for (u32 i = 0; i < MAPPED_COUNT; i++) {
        u->nowhere[0][i] = (u64)area_host(u, areas) - ((u64)i << MAPPED_SHIFT);
        u->nowhere[1][i] = u->nowhere[0][i] - UPPER_HALF;
    }
    for (u32 valid = v->mmu->valid; valid; valid &= valid - 1) {
        struct tlb *t = &v->mmu->tlb[__builtin_ctz(valid)];
        if (is_served(t))
            context_forget(u, t);
    }
    return true;
}

void users_attach(struct vcpu *v, void *memory)
{
    struct users *u = memory;
    u->regions.region = u->region;
    u->regions.most = REGIONS;
    if (space_take(v, u, 0))
        v->users = u;
}

void users_detach(struct vcpu *v)
{
    if (v->users)
        v->vm->host->memory_put(v->vm->host->opaque, v->users->space, space_size(v->users->areas));
    v->users = NULL;
}

/* Makes sure that there are areas: as many as there are for one of so many vCPUs, or fewer if the host has not as much
 * address space. */
static bool areas_make(struct vcpu *v)
{
    struct users *u = v->users;
    u32 areas = AREAS_ALL / v->vm->vcpu_count;
    if (u->areas || u->off)
        return !u->off;
    areas = areas > AREAS_MOST ? AREAS_MOST : areas;
    while (areas > AREAS_LEAST && !space_take(v, u, areas))
        areas /= 2;
    u->off = !u->areas && !space_take(v, u, AREAS_LEAST);
    return !u->off;
}

/* -- areas -- */

static u8 *place_of(const struct users *u, const struct user_space *s, u64 la)
{
    for (u32 i = 0; i < u->areas; i++)
        if (u->area[i].of == s && la - u->area[i].la < AREA_SIZE)
            return area_host(u, i) + (la - u->area[i].la);
    return NULL;
}

/* The context leads to the areas of its space. */
static void context_lead(const struct users *u, struct tlb *t)
{
    for (u32 i = 0; i < u->areas; i++)
        if (u->area[i].of == t->users)
            t->mapped_add[mapped_index(u->area[i].la)] = (u64)area_host(u, i) - u->area[i].la;
}

/* -- what is unmapped -- */

/* Nothing of the space is mapped any more. Its areas stay its own: a block may be in the middle, with differences that
 * lead to them. */
static void space_empty(struct vcpu *v, struct user_space *s)
{
    struct users *u = v->users;
    if (!s->regions)
        return;
    for (u32 i = 0; i < u->areas; i++)
        if (u->area[i].of == s && !alias_set(v, area_host(u, i), AREA_SIZE, NULL, 0))
            __builtin_trap(); /* it takes no more mappings than there were */
    regions_free(&u->regions, &s->regions);
    s->calls = 0;
    fill_bytes(&s->filter, 0, sizeof s->filter);
}

/* Of a space that does not run: it has no areas any more, and `contexts_too` says whether its contexts are to forget it
 * altogether. */
static void space_part(struct vcpu *v, struct user_space *s, bool contexts_too)
{
    struct users *u = v->users;
    space_empty(v, s);
    for (u32 i = 0; i < u->areas; i++)
        u->area[i].of = u->area[i].of == s ? NULL : u->area[i].of;
    for (u32 valid = v->mmu->valid; valid; valid &= valid - 1) {
        struct tlb *t = &v->mmu->tlb[__builtin_ctz(valid)];
        if (t->users == s)
            context_forget(u, t);
        if (t->users == s && contexts_too)
            t->users = NULL;
    }
}

static bool has_area(const struct users *u, const struct user_space *s)
{
    for (u32 i = 0; i < u->areas; i++)
        if (u->area[i].of == s)
            return true;
    return false;
}

/* The space with areas that was used least recently, but for `s`; NULL: there is none. */
static struct user_space *oldest_other(struct users *u, const struct user_space *s)
{
    struct user_space *oldest = NULL;
    for (u32 i = 0; i < SPACES; i++) {
        struct user_space *o = &u->spaces[i];
        if (o != s && has_area(u, o) && (!oldest || o->clock < oldest->clock))
            oldest = o;
    }
    return oldest;
}

/* Takes what another space has away, or what `s` has if no other has anything. */
static void make_room(struct vcpu *v, struct user_space *s)
{
    struct user_space *other = oldest_other(v->users, s);
    if (other)
        space_part(v, other, false);
    else
        space_empty(v, s);
}

void users_empty(struct vcpu *v)
{
    struct users *u = v->users;
    for (u32 i = 0; u && i < SPACES; i++)
        space_empty(v, &u->spaces[i]);
}

static u32 calls_max(const struct vcpu *v)
{
    return alias_share(v, HOST_MAPPINGS, USERS_VCPUS);
}

static u32 calls_sum(const struct users *u)
{
    u32 sum = 0;
    for (u32 i = 0; i < SPACES; i++)
        sum += u->spaces[i].calls;
    return sum;
}

/* A run of pages is about to be mapped, or to be divided: each takes at most two mappings of the host more. False:
 * there are enough. */
static bool call_count(struct vcpu *v, struct user_space *s)
{
    s->price += USERS_CALL_CYCLES;
    s->calls++;
    return calls_sum(v->users) <= calls_max(v);
}

/* Pages [from, to) of the region are not mapped any more; or none of the space. */
static void pages_unmap(struct vcpu *v, struct region *r, u32 from, u32 to)
{
    u8 *at = place_of(v->users, r->owner, region_la(r, from));
    if (!call_count(v, r->owner) || !alias_set(v, at, (u64)(to - from) << PAGE_SHIFT, NULL, 0)) {
        space_empty(v, r->owner);
        return;
    }
    for (u32 i = from; i < to; i++) {
        r->count -= !!r->page[i];
        r->page[i] = 0;
    }
}

static void page_unmap(struct vcpu *v, struct region *r, u32 i)
{
    if (!r->page[i])
        return;
    v->stat[STAT_USERS_DROP]++;
    pages_unmap(v, r, i, i + 1);
}

static void region_unmap(struct vcpu *v, struct region *r)
{
    if (r->count)
        pages_unmap(v, r, 0, REGION_PAGES);
}

/* -- comparing -- */

static bool page_find(struct vcpu *v, const struct region *r, u32 i, u64 entry, struct user_page *p)
{
    u64 la = region_la(r, i);
    if (is_kernel(r->owner))
        return global_page_find(v, &r->table, la, entry, p);
    return !(entry & PTE_G) && user_page_find(v, &r->table, la, entry, false, p);
}

/* Does the page lie where it lay, as far as the second stage decides? */
static bool same_in_l1(struct vcpu *v, const struct region *r, u32 i)
{
    struct user_page p;
    if (mmu_is_simple(v))
        return true;
    return page_find(v, r, i, leaf_entry(&r->table, i), &p) &&
           (u64)ram_host(p.slot, p.gpa) == (r->page[i] & ~PAGE_MASK) && (p.write || !(r->page[i] & PAGE_WRITE));
}

static bool same_page(struct vcpu *v, const struct region *r, u32 i)
{
    return !r->page[i] || (leaf_entry(&r->table, i) == r->entry[i] && same_in_l1(v, r, i));
}

static void region_compare(struct vcpu *v, struct region *r)
{
    struct leaf_table now;
    if (!leaf_table_find(v, r->la, &now) || !leaf_table_same(&now, &r->table)) {
        region_unmap(v, r);
        return;
    }
    for (u32 i = 0; i < REGION_PAGES && r->count; i++) {
        u32 to = i;
        while (to < REGION_PAGES && !same_page(v, r, to))
            to++;
        if (to > i)
            pages_unmap(v, r, i, to);
        i = to;
    }
}

static void space_refresh(struct vcpu *v, struct user_space *s)
{
    u64 epoch = mmu_epoch(v);
    if (s->epoch == epoch)
        return;
    u64 from = __builtin_ia32_rdtsc();
    v->stat[STAT_USERS_CHECK]++;
    for (struct region *r = s->regions; r; r = r->next)
        if (r->count)
            region_compare(v, r);
    s->epoch = epoch;
    s->price += __builtin_ia32_rdtsc() - from;
}

void users_drop(struct vcpu *v, struct tlb *t, u64 la, u64 before)
{
    struct user_space *s = t->users;
    if (!s || s->epoch != before)
        return;
    struct region *r = region_find(&v->users->regions, s, la);
    if (r && r->table.entry)
        page_unmap(v, r, region_index(la));
    else if (r)
        region_unmap(v, r);
    for (r = s->has_giants ? s->regions : NULL; r; r = r->next)
        if (r->table.shift > REGION_SHIFT && !((r->la ^ la) >> r->table.shift))
            region_unmap(v, r);
    s->epoch += TLB_CONTEXTS; /* of the context's number: mmu_epoch */
}

void users_protect(struct vcpu *v, const u8 *memory, u64 size)
{
    struct users *u = v->users;
    for (u32 n = 0; u && n < SPACES; n++) {
        struct user_space *s = &u->spaces[n];
        if (!s->regions || !page_filter_has(&s->filter, (u64)memory, size))
            continue;
        for (struct region *r = s->regions; r; r = r->next) {
            for (u32 i = 0; i < REGION_PAGES && r->count; i++) {
                if (!(r->page[i] & PAGE_WRITE) || (r->page[i] & ~PAGE_MASK) - (u64)memory >= size)
                    continue;
                u8 *at = place_of(u, s, region_la(r, i));
                if (call_count(v, s) && alias_set(v, at, PAGE_SIZE, NULL, ALIAS_READ))
                    r->page[i] &= ~PAGE_WRITE;
                else
                    space_empty(v, s);
            }
        }
    }
}

/* -- mapping -- */

/* Makes sure that the space has an area for the address: one that another space has, if there is no other. */
static bool place_make(struct vcpu *v, struct user_space *s, u64 la)
{
    struct users *u = v->users;
    if (place_of(u, s, la))
        return true;
    for (;;) {
        for (u32 i = 0; i < u->areas; i++) {
            if (u->area[i].of)
                continue;
            u->area[i] = (struct area){.of = s, .la = la & ~(AREA_SIZE - 1)};
            return true;
        }
        struct user_space *other = oldest_other(u, s);
        if (!other)
            return false;
        space_part(v, other, false);
    }
}

/* Makes room for so many runs of pages. */
static void calls_limit(struct vcpu *v, struct user_space *s, u32 more)
{
    while (calls_sum(v->users) + more > calls_max(v))
        make_room(v, s);
}

/* Decides how a page is to be mapped: 0 if not at all. */
static u64 page_decide(struct vcpu *v, const struct region *r, u32 i, u64 entry)
{
    struct user_page p;
    if (!page_find(v, r, i, entry, &p) || p.slot->flags & RAM_READONLY) /* which may be no file */
        return 0;
    u64 page = (u64)ram_host(p.slot, p.gpa) | PAGE_MAPPED;
    return p.write && page_writer(v, p.slot, p.gpa) ? page | PAGE_WRITE : page;
}

/* Maps pages [from, to), which lie beside each other in host memory and have the same rights. */
static bool run_map(struct vcpu *v, struct region *r, u32 from, u32 to)
{
    struct user_space *s = r->owner;
    u64 page = r->page[from];
    u8 *at = place_of(v->users, s, region_la(r, from));
    unsigned rights = page & PAGE_WRITE ? ALIAS_READ | ALIAS_WRITE : ALIAS_READ;
    v->stat[STAT_USERS_CALL]++;
    v->stat[STAT_USERS_PAGES] += to - from;
    return call_count(v, s) && alias_set(v, at, (u64)(to - from) << PAGE_SHIFT, (u8 *)(page & ~PAGE_MASK), rights);
}

/* Maps the page of a linear address, and some around it that are not mapped. False: it could not be. */
static bool pages_map(struct vcpu *v, struct user_space *s, u64 la)
{
    struct users *u = v->users;
    struct leaf_table now;
    if (la >> 47 != (is_kernel(s) ? UPPER_HALF >> 47 : 0) || !leaf_table_find(v, la, &now) || !place_make(v, s, la))
        return false;
    calls_limit(v, s, USERS_AROUND_LARGE);
    struct region *r = region_find(&u->regions, s, la);
    if (r && !leaf_table_same(&now, &r->table)) {
        region_unmap(v, r);
        r = region_find(&u->regions, s, la); /* or all of the space went */
    }
    while (!r && !(r = region_make(&u->regions, s, &s->regions, la)))
        make_room(v, s);
    r->table = now;
    s->has_giants |= now.shift > REGION_SHIFT;
    u32 around = now.entry ? USERS_AROUND : USERS_AROUND_LARGE;
    u32 i = region_index(la), first = i & ~(around - 1);
    u64 changed = 0;
    for (u32 n = 0; n < around; n++) {
        u32 k = first + n;
        if (r->page[k] && k != i)
            continue;
        u64 entry = leaf_entry(&r->table, k), page = page_decide(v, r, k, entry);
        if (page == r->page[k] || !page)
            continue;
        r->count += !r->page[k];
        r->page[k] = page;
        r->entry[k] = entry;
        if (page & PAGE_WRITE)
            page_filter_add(&s->filter, page);
        changed |= BIT64(n);
    }
    for (u32 n = 0; n < around;) {
        u32 to = n;
        while (to < around && changed >> to & 1 && r->page[first + to] == r->page[first + n] + (to - n) * PAGE_SIZE)
            to++;
        if (to > n && !run_map(v, r, first + n, first + to)) {
            u->off = true;
            space_empty(v, s);
            return false;
        }
        n = to > n ? to : n + 1;
    }
    return changed >> (i - first) & 1;
}

/* The linear address that translated code meant. *nowhere_yet: no area is for it. */
static bool address_of(const struct users *u, const struct user_space *s, u64 host, u64 add, u64 *la, bool *nowhere_yet)
{
    u64 from = host - (u64)area_host(u, 0), i = from / AREA_APART, offset = from % AREA_APART;
    *nowhere_yet = i == u->areas;
    if (i > u->areas || offset >= AREA_SIZE)
        return false;
    u64 of = *nowhere_yet ? (u64)area_host(u, u->areas) - add : u->area[i].la;
    *la = of + offset;
    u64 half = is_kernel(s) ? UPPER_HALF >> 47 : 0;
    return *nowhere_yet ? of >> 47 == half && !(of & (AREA_SIZE - 1)) : u->area[i].of == s;
}

static enum mapped_outcome refuse(struct vcpu *v)
{
    v->stat[STAT_MAPPED_REFUSED]++;
    return MAPPED_REFUSED;
}

/* A context of L2's kernel: that of its global pages, or the one beside it, for RFLAGS.AC. */
static bool may_be_global(const struct tlb *t)
{
    return t->key.flags & TLB_GUEST && (t->shared || t->key.flags & TLB_AC);
}

static bool fits(const struct vcpu *v, const struct tlb *t)
{
    const u64 paging = CR0_PG | CR0_WP;
    if (!(t->key.flags & TLB_USER) && ((v->cr0 & paging) != paging || !(v->cr4 & CR4_PGE) || !may_be_global(t)))
        return false;
    return (t->key.flags & (TLB_USER | TLB_AC)) != (TLB_USER | TLB_AC) && !(t->key.flags & TLB_SMM) &&
           v->efer & EFER_LMA && !watch_armed(v);
}

/* Are pages mapped for this context of users? */
static bool is_on(const struct vcpu *v, const struct tlb *t)
{
    return t && t->users && t->users->on && !v->users->off && fits(v, t);
}

/* Is something mapped at the address, for whomever? */
static bool is_there(struct vcpu *v, u64 la)
{
    struct leaf_table t;
    if (!leaf_table_find(v, la, &t))
        return false;
    u64 entry = leaf_entry(&t, region_index(la));
    return entry & PTE_P && entry & PTE_A;
}

enum mapped_outcome users_fault(struct vcpu *v, u64 host, u64 add, bool write)
{
    struct users *u = v->users;
    struct tlb *t = v->tlb;
    struct user_space *s = t->users;
    u64 la;
    bool nowhere_yet;
    v->stat[STAT_USERS_FAULT]++;
    if (!s)
        return MAPPED_LATER; /* another one took its place: the context is not entered like that again */
    if ((is_kernel(s) && !t->shared) || !address_of(u, s, host, add, &la, &nowhere_yet))
        return refuse(v);
    s->price += USERS_SIGNAL_CYCLES;
    if (!is_on(v, t))
        return MAPPED_LATER;
    space_refresh(v, s);
    pages_map(v, s, la);
    context_lead(u, t);
    struct region *r = region_find(&u->regions, s, la);
    u32 i = region_index(la);
    u64 page = r ? r->page[i] : 0;
    if (page && (!write || page & PAGE_WRITE))
        return nowhere_yet ? MAPPED_LATER : MAPPED_DONE; /* the difference in use leads nowhere still */
    struct user_page p;
    if (page && page_find(v, r, i, leaf_entry(&r->table, i), &p) && p.write)
        return refuse(v); /* there is code in it */
    if (!page && is_kernel(s) && is_there(v, la))
        return refuse(v); /* a user's, or not global, or no RAM */
    s->pending_la = la;
    return MAPPED_LATER;
}

const u8 *users_memory(const struct vcpu *v, const u8 *host)
{
    struct users *u = v->users;
    u64 from = u ? (u64)(host - area_host(u, 0)) : ~0ull, i = from / AREA_APART, offset = from % AREA_APART;
    if (i >= u->areas || offset >= AREA_SIZE || !u->area[i].of)
        return NULL;
    u64 la = u->area[i].la + offset;
    u64 page = region_page(&u->regions, u->area[i].of, la);
    return page ? (const u8 *)(page & ~PAGE_MASK) + (la & PAGE_MASK) : NULL;
}

/* -- when it pays -- */

static void space_begin(struct user_space *s, u64 place)
{
    s->place = place;
    s->life = s->price = s->begun = 0;
    s->wanted = USERS_YOUNG_CYCLES;
    s->on = false;
}

/* The space with this key; a new one takes the place of the one that was used least recently. */
static struct user_space *space_find(struct vcpu *v, const struct tlb_key *k)
{
    struct users *u = v->users;
    struct user_space *oldest = &u->spaces[0];
    for (u32 i = 0; i < SPACES; i++) {
        struct user_space *s = &u->spaces[i];
        if (s->used && key_equal(&s->key, k))
            return s;
        if (s->on < oldest->on || (s->on == oldest->on && s->clock < oldest->clock))
            oldest = s;
    }
    space_part(v, oldest, true);
    u->runs = u->runs == oldest ? NULL : u->runs;
    u->kernel = u->kernel == oldest ? NULL : u->kernel;
    oldest->used = true;
    oldest->key = *k;
    oldest->epoch = 0;
    oldest->has_giants = false;
    space_begin(oldest, 0);
    return oldest;
}

static struct user_space *space_of(struct vcpu *v, const struct tlb *t)
{
    struct tlb_key k = t->key;
    if (!(k.flags & TLB_USER)) { /* as it is of the context that address spaces share */
        k.root = 0;
        k.pcid = PCID_SHARED;
        k.flags &= ~TLB_AC;
    }
    return space_find(v, &k);
}

/* Time has passed: that of the spaces that ran. */
static void time_note(struct vcpu *v, struct user_space *next)
{
    struct users *u = v->users;
    u64 now = __builtin_ia32_rdtsc(), passed = now - u->seen;
    passed = passed < USERS_SEEN_CYCLES ? passed : USERS_SEEN_CYCLES;
    if (u->halts != v->stat[STAT_HALT])
        passed = 0;
    if (u->runs)
        u->runs->life += passed;
    if (u->kernel)
        u->kernel->life += passed;
    u->runs = next;
    u->kernel = NULL;
    u->seen = now;
    u->halts = v->stat[STAT_HALT];
}

/* A new process of the guest may have the tables of one that is gone. It shows where its data of threads lie, which
 * Linux puts anywhere in a TiB. */
static void recognise(struct vcpu *v, struct user_space *s)
{
    u64 base = v->seg[SEG_FS].base;
    if (likely(!base || base - s->place + USERS_PLACE_SIZE <= 2 * USERS_PLACE_SIZE))
        return;
    space_empty(v, s);
    space_begin(s, base);
}

static void space_decide(struct vcpu *v, struct user_space *s)
{
    bool always = v->vm->maps == CPU_MAPS_ON;
    if (!is_kernel(s))
        recognise(v, s);
    if (!s->on && (s->life >= s->wanted || always) && areas_make(v)) {
        s->on = true;
        s->begun = s->life;
        s->price = 0;
        v->stat[STAT_USERS_SPACE]++;
    } else if (s->on && !always && s->price > (s->life - s->begun) / USERS_PART + USERS_CREDIT_CYCLES) {
        s->on = false;
        s->wanted = s->life + 2 * (s->life - s->begun) + USERS_PAUSE_CYCLES;
        space_empty(v, s);
        v->stat[STAT_USERS_END]++;
    }
}

/* The context is the current one: decides about its space, and maps what could not be at its fault. */
static void space_select(struct vcpu *v, struct tlb *t)
{
    struct user_space *s = t->users;
    if (!s)
        s = t->users = space_of(v, t);
    s->clock = ++v->users->clock;
    space_decide(v, s);
    if (s->pending_la && is_on(v, t) && !(t->key.flags & TLB_AC) && !mmu_user_is_away(v)) {
        space_refresh(v, s);
        pages_map(v, s, s->pending_la);
        context_lead(v->users, t);
    }
    s->pending_la = 0;
    if (is_kernel(s))
        v->users->kernel = s;
}

/* MODE_MAPPED of code that runs in the context. */
static u32 mapped_mode(const struct vcpu *v, const struct tlb *t)
{
    return is_on(v, t) ? MODE_MAPPED : 0;
}

/* The context that SYSCALL or SYSRET lead to. */
static const struct tlb *across(const struct tlb *t)
{
    const struct tlb *plain = (t->key.flags & (TLB_USER | TLB_AC)) == TLB_AC ? t->beside[BESIDE_CLAC] : t;
    return plain ? plain->beside[BESIDE_CPL] : NULL;
}

void users_select(struct vcpu *v, struct tlb *t)
{
    bool user = t->key.flags & TLB_USER, long_mode = (v->mode & MODE_SIZE_MASK) == MODE_64;
    const struct tlb *other = across(t);
    time_note(v, user ? t->users : other ? other->users : NULL);
    if (is_served(t) && fits(v, t))
        space_select(v, t);
    u32 here = mapped_mode(v, t), there = mapped_mode(v, other);
    if (is_served(t) && v->cpl == (user ? 3 : 0))
        v->mode = (v->mode & ~MODE_MAPPED) | (long_mode ? here : 0);
    v->mode_crossed[1] = (v->mode_crossed[1] & ~MODE_MAPPED) | (user ? here : there);
    if (v->in_guest)
        v->mode_crossed[0] = (v->mode_crossed[0] & ~MODE_MAPPED) | (user ? there : here);
}
