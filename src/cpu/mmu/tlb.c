/*
 * TLB contexts: choosing the one that fits the vCPU's state, filling, and the invalidations of the manuals.
 *
 * A context is found by a key that holds everything a cached translation depends on, so that a change of CR0.WP,
 * EFLAGS.AC, PKRU or CPL needs no flush. Invalidations drop whole contexts, which costs nothing until the slot is used
 * again; only INVLPG-like ones go into the arrays. Supervisor mode has one context for all address spaces while it has
 * global pages only. Rejected: entries tagged with a generation, which would put another load on translated
 * code's path.
 * Source: SDM vol. 3A "Caching Translation Information"; APM vol. 2 "Translation-Lookaside Buffer (TLB)".
 */
#include "cpu/mmu/tlb.h"

#include "cpu/core/copy.h"
#include "cpu/mmu/mapped.h"
#include "cpu/mmu/users.h"
#include "cpu/mmu/walk.h"

/* No vcpu.mode has these bits: the jump cache must be emptied before use. */
#define JMODE_STALE (~0u)

size_t mmu_size(void)
{
    return sizeof(struct mmu);
}

static unsigned key_hint(const struct tlb_key *k)
{
    u64 h = (k->root >> PAGE_SHIFT) ^ (k->nroot >> 8) ^ k->pkru ^ (u64)k->control << 32;
    h ^= (u64)k->flags << 24 ^ (u64)k->pcid << 40 ^ (u64)k->space << 50;
    return (unsigned)(h * 0x9e3779b97f4a7c15ull >> 58) % TLB_HINTS;
}

static u32 control_digest(const struct vcpu *v)
{
    u32 c = 0;
    c |= v->cr0 & CR0_PG ? BIT(0) : 0;
    c |= v->cr0 & CR0_WP ? BIT(1) : 0;
    c |= v->efer & EFER_NXE ? BIT(2) : 0;
    c |= v->efer & EFER_LMA ? BIT(3) : 0;
    return c | (u32)(v->cr4 & (CR4_PSE | CR4_PAE | CR4_SMEP | CR4_SMAP | CR4_LA57 | CR4_PKE));
}

static u16 key_flags(const struct vcpu *v)
{
    u16 f = (v->in_guest ? TLB_GUEST : 0) | (v->ram != v->vm->ram ? TLB_SMM : 0);
    bool ac = v->flags & FLAG_AC;
    if (v->cpl == 3) {
        f |= TLB_USER;
        if (ac && v->cr0 & CR0_AM)
            f |= TLB_AC;
    } else if (ac && v->cr4 & CR4_SMAP) {
        f |= TLB_AC;
    }
    return f;
}

static struct tlb_key key_now(const struct vcpu *v)
{
    const struct mmu *m = v->mmu;
    struct tlb_key k = {.space = m->space, .flags = key_flags(v), .control = control_digest(v)};
    if (v->cr0 & CR0_PG) {
        if (in_long_mode(v))
            k.root = v->cr3 & 0x000ffffffffff000;
        else
            k.root = v->cr4 & CR4_PAE ? v->cr3 & 0xffffffe0 : v->cr3 & 0xfffff000;
        if (v->cr4 & CR4_PCIDE)
            k.pcid = v->cr3 & CR3_PCID_MASK;
        if (v->cr4 & CR4_PKE && in_long_mode(v))
            k.pkru = v->pkru;
    }
    if (m->kind != STAGE2_NONE)
        k.nroot = m->root;
    return k;
}

static void victims_empty(const struct mmu *m, struct tlb *t)
{
    if (!t->victims)
        return;
    copy_words(t->vrtag, m->victim_empty, VICTIM_SIZE);
    copy_words(t->vwtag, m->victim_empty, VICTIM_SIZE);
    t->victims = false;
}

/* Drops victims in [start, start + size). */
static void victims_drop(struct tlb *t, u64 start, u64 size)
{
    for (u32 k = 0; t->victims && k < VICTIM_SIZE; k++) {
        if (-t->vrtag[k] - start < size)
            t->vrtag[k] = victim_empty(k);
        if (-t->vwtag[k] - start < size)
            t->vwtag[k] = victim_empty(k);
    }
}

/* Empties data and fetch entries; the jump cache is left stale. */
static void context_empty(struct mmu *m, struct tlb *t)
{
    u32 bit = BIT(tlb_number(m, t));
    if (m->touched & bit && t->filled <= ARRAY_LEN(t->filled_list)) {
        for (u32 n = 0; n < t->filled; n++) {
            u32 i = t->filled_list[n];
            read_drop(t, i);
            write_drop(t, i);
            fetch_drop(t, i);
        }
    } else {
        copy_words(t->rtag, m->empty, TLB_SIZE);
        copy_words(t->wtag, m->empty, TLB_SIZE);
        copy_words(t->dtag, m->empty, TLB_SIZE);
        copy_words(t->xtag, m->empty, TLB_SIZE);
        copy_words(t->link, m->empty, TLB_SIZE);
        if (!(m->touched & bit))
            copy_words(t->jtag, m->jump_empty, JUMP_SIZE);
        t->has_ctag |= !(m->touched & bit);
        t->victims |= !(m->touched & bit);
        t->jvictims |= !(m->touched & bit);
        m->touched |= bit;
    }
    victims_empty(m, t);
    ctags_drop(t);
    t->filled = t->fetched = t->compared = 0;
    t->has_large = t->has_global = t->fetch_lost = t->in_place = t->doubted = false;
    fill_bytes(t->large, 0, sizeof t->large);
    fill_bytes(t->written, 0, sizeof t->written);
    t->jmode = JMODE_STALE;
}

static struct tlb *context_find(struct mmu *m, const struct tlb_key *k)
{
    u8 *hint = &m->hint[key_hint(k)];
    if (likely(m->valid >> *hint & 1 && key_equal(&m->key[*hint], k)))
        return &m->tlb[*hint];
    for (u32 i = 0; i < TLB_CONTEXTS; i++) {
        if (m->valid >> i & 1 && key_equal(&m->key[i], k)) {
            *hint = (u8)i;
            return &m->tlb[i];
        }
    }
    return NULL;
}

/* Contexts of all CPUs together stay below some 100 MiB. */
static u32 context_limit(const struct vm *vm)
{
    u32 each = vm->vcpu_count <= 12 ? TLB_CONTEXTS : 12 * TLB_CONTEXTS / vm->vcpu_count;
    return each < 4 ? 4 : each;
}

/* A slot that was forgotten, one whose memory is in use already if possible; else the least recently used. */
static u32 context_victim(const struct mmu *m, u32 limit)
{
    u32 free = ~m->valid & (u32)(BIT64(limit) - 1);
    if (free & m->touched)
        return (u32)__builtin_ctz(free & m->touched);
    if (free)
        return (u32)__builtin_ctz(free);
    u32 best = 0;
    for (u32 i = 1; i < limit; i++) {
        if (m->used[i] < m->used[best])
            best = i;
    }
    return best;
}

static void choices_forget(struct mmu *m)
{
    for (unsigned i = 0; i < ARRAY_LEN(m->choice); i++)
        m->choice[i].tlb = NULL;
}

static void beside_part(struct tlb *t, enum beside which)
{
    static const u8 back[] = {[BESIDE_CLAC] = BESIDE_STAC, [BESIDE_STAC] = BESIDE_CLAC, [BESIDE_CPL] = BESIDE_CPL};
    struct tlb *other = t->beside[which];
    if (other && other->beside[back[which]] == t)
        other->beside[back[which]] = NULL;
    t->beside[which] = NULL;
}

/* No other context leads to this one any more. */
static void context_part(struct tlb *t)
{
    for (unsigned i = 0; i < BESIDE_COUNT; i++)
        beside_part(t, i);
}

static void beside_link(struct tlb *from, enum beside there, struct tlb *to, enum beside back)
{
    beside_part(from, there);
    beside_part(to, back);
    from->beside[there] = to;
    to->beside[back] = from;
}

static void contexts_drop(struct mmu *m, u32 contexts)
{
    for (u32 dropped = m->valid & contexts; dropped; dropped &= dropped - 1)
        context_part(&m->tlb[__builtin_ctz(dropped)]);
    for (u32 left = contexts; left; left &= left - 1)
        m->epoch[__builtin_ctz(left)]++;
    m->valid &= ~contexts;
    choices_forget(m);
}

static struct tlb *context_create(const struct vcpu *v, const struct tlb_key *k)
{
    struct mmu *m = v->mmu;
    u32 i = context_victim(m, context_limit(v->vm));
    struct tlb *t = &m->tlb[i];
    context_empty(m, t);
    context_part(t);
    choices_forget(m);
    t->gs_base = (u64)t - ((u64)v + VCPU_BIAS);
    t->key = t->of = m->key[i] = *k;
    t->shared = k->pcid == PCID_SHARED;
    users_context(v, t);
    m->parted &= ~BIT(i);
    m->away &= ~BIT(i);
    m->epoch[i]++;
    t->direct = m->direct;
    t->votes = m->direct ? DIRECT_NEW : 1;
    m->valid |= BIT(i);
    m->hint[key_hint(k)] = (u8)i;
    return t;
}

static void page_drop(const struct mmu *m, struct tlb *t, u64 la);

/* Takes pages with newly enabled data breakpoints out of every context: accesses to them must come to C. */
static void watch_update(struct vcpu *v)
{
    struct mmu *m = v->mmu;
    u64 dr7 = v->dr7 & 0xffff00ff;
    bool same = dr7 == m->watch_dr7;
    for (unsigned n = 0; n < 4; n++)
        same &= v->dr[n] == m->watch_dr[n];
    if (same)
        return;
    m->watch_dr7 = dr7;
    for (unsigned n = 0; n < 4; n++) {
        m->watch_dr[n] = v->dr[n];
        if (!(dr7 >> (n * 2) & 3) || !(dr7 >> (16 + n * 4) & 1))
            continue;
        for (u32 valid = m->valid; valid; valid &= valid - 1)
            page_drop(m, &m->tlb[__builtin_ctz(valid)], v->dr[n]);
    }
}

/*
 * Address spaces share the context of supervisor mode as long as it has nothing but global pages, which a kernel maps
 * alike in all of them: a processor, too, keeps those over MOV to CR3. So a new process finds the kernel's pages and
 * jumps. Under SMAP a kernel reaches the user's pages by the context of RFLAGS.AC, which is not shared.
 */
static bool may_share(const struct vcpu *v, const struct tlb_key *k)
{
    return v->cr0 & CR0_PG && v->cr4 & CR4_PGE && !(k->flags & (TLB_USER | TLB_AC));
}

static struct tlb_key shared_key(struct tlb_key k)
{
    k.root = 0;
    k.pcid = PCID_SHARED;
    return k;
}

/* May translated code of supervisor mode go on in this context of user mode? */
static bool is_translated(const struct vcpu *v, const struct tlb *user)
{
    return v->vm->direct != CPU_DIRECT_ON && !(v->mmu->away >> tlb_number(v->mmu, user) & 1);
}

/* The shared context serves the address space of *k from now on: other contexts of that lie beside it. */
static void serve(struct vcpu *v, struct tlb *t, const struct tlb_key *k)
{
    t->served = v->cr3;
    if (key_equal(&t->of, k))
        return;
    context_part(t);
    t->of = *k;
    struct tlb_key other = *k;
    other.flags |= TLB_USER;
    struct tlb *user = context_find(v->mmu, &other);
    if (user && is_translated(v, user))
        beside_link(t, BESIDE_CPL, user, BESIDE_CPL);
    other.flags = k->flags | TLB_AC;
    struct tlb *stac = v->cr4 & CR4_SMAP ? context_find(v->mmu, &other) : NULL;
    if (stac)
        beside_link(t, BESIDE_STAC, stac, BESIDE_CLAC);
}

/* Finds the context of supervisor mode without RFLAGS.AC. A shared one may serve another address space now. */
static struct tlb *supervisor_find(struct vcpu *v, const struct tlb_key *k)
{
    struct mmu *m = v->mmu;
    bool share = may_share(v, k);
    struct tlb *t = !share || m->valid & m->parted ? context_find(m, k) : NULL;
    if (t || !share)
        return t;
    struct tlb_key all = shared_key(*k);
    return context_find(m, &all);
}

static struct tlb_choice *choice_now(const struct vcpu *v)
{
    return &v->mmu->choice[v->in_guest * 4 + (v->cpl == 3) * 2 + !!(v->flags & FLAG_AC)];
}

static inline bool still_holds(const struct tlb_choice *c, const struct vcpu *v)
{
    u64 changes = (v->cr0 ^ c->cr0) | (v->cr3 ^ c->cr3) | (v->cr4 ^ c->cr4) | (v->efer ^ c->efer) |
                  ((v->flags ^ c->flags) & FLAG_AC) | (v->mmu->root ^ c->root) | ((u64)v->ram ^ (u64)c->ram) |
                  (v->pkru ^ c->pkru) | (v->mmu->space ^ c->space);
    return c->tlb && !changes && (!c->tlb->shared || c->tlb->served == v->cr3);
}

static void use(struct vcpu *v, struct tlb *t)
{
    struct mmu *m = v->mmu;
    m->used[tlb_number(m, t)] = ++m->clock;
    for (unsigned i = 0; i < BESIDE_COUNT; i++) /* translated code may go there */
        if (t->beside[i])
            m->used[tlb_number(m, t->beside[i])] = m->clock;
    v->tlb = t;
    v->direct = t->direct;
    __builtin_ia32_wrgsbase64(t->gs_base);
    if (unlikely(v->vm->foreign))
        mmu_foreign_look(v);
}

/* Finds or makes the context by its key. A new one may lie where the current one was. */
static __attribute__((noinline)) void choose(struct vcpu *v, struct tlb_choice *c)
{
    struct mmu *m = v->mmu;
    struct tlb_key k = key_now(v);
    struct tlb *t = v->tlb;
    bool share = may_share(v, &k);
    if (share)
        t = supervisor_find(v, &k);
    else if (!key_equal(&t->key, &k) || !(m->valid >> tlb_number(m, t) & 1))
        t = context_find(m, &k);
    if (unlikely(!t)) {
        struct tlb_key all = share ? shared_key(k) : k;
        t = context_create(v, &all);
        use(v, t);
    }
    if (t->shared)
        serve(v, t, &k);
    *c = (struct tlb_choice){.tlb = t,
                             .cr0 = v->cr0,
                             .cr3 = v->cr3,
                             .cr4 = v->cr4,
                             .efer = v->efer,
                             .flags = v->flags,
                             .root = m->root,
                             .ram = v->ram,
                             .pkru = v->pkru,
                             .space = m->space};
}

void mmu_select_context(struct vcpu *v, bool mode_fresh)
{
    struct mmu *m = v->mmu;
    const struct tlb *before = v->tlb;
    struct tlb_choice *c = choice_now(v);
    bool chosen = false;
    if (unlikely((v->dr7 | m->watch_dr7) & 0xff))
        watch_update(v);
    if (unlikely(!still_holds(c, v))) {
        choose(v, c);
        chosen = true;
    }
    struct tlb *t = c->tlb;
    if (t != v->tlb)
        use(v, t);
    if (v->users && (mode_fresh || chosen || t != before))
        users_select(v, t);
    if (unlikely(t->jmode != (v->mode & ~MODE_STEP))) {
        jumps_empty(m, t);
        t->jmode = v->mode & ~MODE_STEP;
    }
}

struct tlb *mmu_part(struct vcpu *v, struct tlb *t)
{
    if (t != v->tlb)
        return NULL;
    struct tlb_key k = t->of;
    t = context_create(v, &k);
    v->mmu->parted |= BIT(tlb_number(v->mmu, t));
    use(v, t);
    mmu_select(v);
    return t;
}

void mmu_beside(struct vcpu *v, struct tlb *from)
{
    struct tlb *to = v->tlb;
    struct tlb_key k = from->of;
    u16 change = from->key.flags ^ to->key.flags;
    k.flags ^= change;
    if (!(v->mmu->valid >> tlb_number(v->mmu, from) & 1) || !key_equal(&to->of, &k))
        return;
    if (change == TLB_USER && !(k.flags & TLB_AC) && is_translated(v, k.flags & TLB_USER ? to : from))
        beside_link(from, BESIDE_CPL, to, BESIDE_CPL);
    else if (change == TLB_AC && !(k.flags & TLB_USER) && k.flags & TLB_AC)
        beside_link(from, BESIDE_STAC, to, BESIDE_CLAC);
    else if (change == TLB_AC && !(k.flags & TLB_USER))
        beside_link(from, BESIDE_CLAC, to, BESIDE_STAC);
}

void mmu_attach(struct vcpu *v)
{
    mmu_select(v);
    __builtin_ia32_wrgsbase64(v->tlb->gs_base);
}

void mmu_init(struct vcpu *v, void *memory)
{
    struct mmu *m = memory;
    v->mmu = m;
    m->apic_access = NO_APIC_ACCESS;
    vcpu_space_set(v, 0);
    for (u32 i = 0; i < TLB_SIZE; i++)
        m->empty[i] = tlb_empty(i);
    for (u32 i = 0; i < JUMP_SIZE; i++)
        m->jump_empty[i] = jump_empty(i);
    v->tlb_mask = (u64)(TLB_SIZE - 1) << PAGE_SHIFT;
    for (u32 k = 0; k < VICTIM_SIZE; k++)
        m->victim_empty[k] = victim_empty(k);
    for (u32 k = 0; k < JUMP_VICTIMS; k++)
        m->jump_victim_empty[k] = jump_victim_empty(k);
    v->victim_mask = VICTIM_MASK;
    v->jump_victim_mask = JUMP_VICTIM_MASK;
    v->jump_mask = JUMP_MASK;
    v->return_mask = RETURN_MASK;
    v->one = 1;
    v->mapped_mask[1] = (MAPPED_COUNT - 1) << (MAPPED_SHIFT - 32);
    struct tlb_key k = key_now(v);
    v->tlb = context_create(v, &k);
    v->direct = v->tlb->direct;
}

void mmu_set_lost_return(struct vcpu *v, const u8 *code)
{
    v->mmu->lost_return = (u64)code;
}

struct tlb *tlb_for(struct vcpu *v, enum access access)
{
    struct tlb *t = v->tlb;
    bool user = t->key.flags & TLB_USER;
    if (likely(!(access & (ACCESS_IMPLICIT | ACCESS_USER))))
        return likely(user == (v->cpl == 3)) ? t : NULL;
    if (access & ACCESS_USER)
        return user ? t : NULL;
    if (!(t->key.flags & (TLB_USER | TLB_AC)))
        return t;
    enum beside way = user ? BESIDE_CPL : BESIDE_CLAC;
    if (likely(t->beside[way]))
        return t->beside[way];
    struct tlb_key k = t->key;
    k.flags &= ~(TLB_USER | TLB_AC);
    struct tlb *found = supervisor_find(v, &k);
    if (found && user && !(t->key.flags & TLB_AC) && is_translated(v, t) && key_equal(&found->of, &k))
        beside_link(t, BESIDE_CPL, found, BESIDE_CPL);
    return found;
}

/* Regions by which large pages are noted. */
static const u8 large_shift[2] = {22, 30};

static void region_drop(const struct mmu *m, struct tlb *t, u64 start, u64 size)
{
    bool fetched = t->fetch_lost && start + size > t->lost_from && start <= t->lost_to;
    bool listed = t->filled <= ARRAY_LEN(t->filled_list);
    for (u32 n = 0; n < (listed ? t->filled : TLB_SIZE); n++) {
        u32 i = listed ? t->filled_list[n] : n;
        if (-t->rtag[i] - start < size)
            read_drop(t, i);
        if (-t->wtag[i] - start < size)
            write_drop(t, i);
        if (-t->xtag[i] - start < size) {
            fetch_drop(t, i);
            fetched = true;
        }
    }
    victims_drop(t, start, size);
    if (fetched)
        jumps_drop(m, t, start, size);
}

static bool may_be_in_large(const struct tlb *t, u64 la, unsigned size)
{
    u32 bit = large_bit(la, large_shift[size]);
    u64 region = la & ~(BIT64(large_shift[size]) - 1);
    return t->has_large && region >= t->large_from && region <= t->large_to &&
           t->large[size][bit / 64] >> (bit % 64) & 1;
}

/* INVLPG on one context: the page, and every entry that was made from a large page that `la` may lie in. */
static void page_drop(const struct mmu *m, struct tlb *t, u64 la)
{
    u64 page = la & ~PAGE_MASK;
    ctags_drop(t);
    for (unsigned size = 0; size < 2; size++)
        if (may_be_in_large(t, la, size))
            region_drop(m, t, la & ~(BIT64(large_shift[size]) - 1), BIT64(large_shift[size]));
    u32 i = tlb_index(la), k = victim_index(la);
    if (t->vrtag[k] == -page)
        t->vrtag[k] = victim_empty(k);
    if (t->vwtag[k] == -page)
        t->vwtag[k] = victim_empty(k);
    if (t->rtag[i] == -page)
        read_drop(t, i);
    if (t->wtag[i] == -page)
        write_drop(t, i);
    if (t->xtag[i] == -page || (t->fetch_lost && page >= t->lost_from && page <= t->lost_to)) {
        if (t->xtag[i] == -page)
            fetch_drop(t, i);
        jumps_drop(m, t, page - 15, PAGE_SIZE + 15); /* and blocks that cross into it */
    }
}

/* A context that is not current and may have entries of a large page there is forgotten: that costs nothing now. */
static void other_drop(struct vcpu *v, struct tlb *t, u64 la)
{
    if (t != v->tlb && (may_be_in_large(t, la, 0) || may_be_in_large(t, la, 1)))
        contexts_drop(v->mmu, BIT(tlb_number(v->mmu, t)));
    else
        page_drop(v->mmu, t, la);
}

void mmu_flush_all(struct vcpu *v)
{
    contexts_drop(v->mmu, ~0u);
    mapped_flush(v);
    stage2_flush_root(v, 0, true);
    mmu_select(v);
}

/* A state in the middle of a change (VM entry) selects later: no context is made for it unless the current one is
 * gone. */
static void current_check(struct vcpu *v)
{
    if (!(v->mmu->valid >> tlb_number(v->mmu, v->tlb) & 1))
        mmu_select(v);
}

void mmu_flush_guests(struct vcpu *v)
{
    struct mmu *m = v->mmu;
    for (u32 valid = m->valid; valid; valid &= valid - 1) {
        u32 i = (u32)__builtin_ctz(valid);
        if (m->key[i].space)
            contexts_drop(m, BIT(i));
    }
    stage2_flush_root(v, 0, true);
    current_check(v);
}

static void contexts_forget(struct vcpu *v, u32 space, bool all_pcids, u16 pcid)
{
    struct mmu *m = v->mmu;
    if (all_pcids && !space)
        mapped_flush(v);
    for (u32 valid = m->valid; valid; valid &= valid - 1) {
        u32 i = (u32)__builtin_ctz(valid);
        if (m->key[i].space == space && (all_pcids || m->key[i].pcid == pcid))
            contexts_drop(m, BIT(i));
    }
    current_check(v);
}

void mmu_flush_nonglobal(struct vcpu *v)
{
    contexts_forget(v, v->mmu->space, false, v->cr4 & CR4_PCIDE ? v->cr3 & CR3_PCID_MASK : 0);
}

void mmu_flush_global(struct vcpu *v)
{
    contexts_forget(v, v->mmu->space, true, 0);
}

void mmu_flush_pcid(struct vcpu *v, u32 space, u16 pcid)
{
    contexts_forget(v, space, false, pcid);
}

void mmu_flush_space(struct vcpu *v, u32 space)
{
    stage2_flush_space(v, space);
    contexts_forget(v, space, true, 0);
}

void mmu_flush_page(struct vcpu *v, u32 space, bool all_pcids, u16 pcid, u64 la)
{
    struct mmu *m = v->mmu;
    if (!space)
        mapped_drop(v, la);
    for (u32 valid = m->valid; valid; valid &= valid - 1) {
        u32 i = (u32)__builtin_ctz(valid);
        if (m->key[i].space == space &&
            (all_pcids || m->key[i].pcid == pcid || m->tlb[i].has_global || m->tlb[i].shared)) {
            u64 before = context_epoch(m, i);
            m->epoch[i]++;
            users_drop(v, &m->tlb[i], la, before);
            other_drop(v, &m->tlb[i], la);
        }
    }
}

/* INVEPT: SDM "Operations that Invalidate Cached Mappings". EP4TA is bits 51:12 of the EPTP. */
void mmu_flush_nroot(struct vcpu *v, u64 nroot, bool all)
{
    struct mmu *m = v->mmu;
    const u64 ep4ta = 0x000ffffffffff000;
    for (u32 valid = m->valid; valid; valid &= valid - 1) {
        u32 i = (u32)__builtin_ctz(valid);
        u64 have = m->key[i].nroot;
        if (have && (all || !((have ^ nroot) & ep4ta)))
            contexts_drop(m, BIT(i));
    }
    stage2_flush_root(v, nroot, all);
    current_check(v);
}

/* Might the context have write mappings of this host memory? */
static bool may_write(const struct tlb *t, const u8 *host, u64 size)
{
    for (u64 at = 0; at < size; at += PAGE_SIZE) {
        u32 bit = written_bit((u64)host + at);
        if (at >= TLB_SIZE * PAGE_SIZE || t->written[bit / 64] >> (bit % 64) & 1)
            return true;
    }
    return false;
}

void mmu_protect(struct vcpu *v, const u8 *host, u64 size)
{
    struct mmu *m = v->mmu;
    if (unlikely(v->vm->direct != CPU_DIRECT_OFF))
        direct_note(&v->vm->direct_notes, (u64)host, size);
    mapped_protect(v, host, size);
    users_protect(v, host, size);
    for (u32 valid = m->valid; valid; valid &= valid - 1) {
        struct tlb *t = &m->tlb[__builtin_ctz(valid)];
        if (!may_write(t, host, size))
            continue;
        for (u32 i = 0; i < TLB_SIZE; i++) {
            if (t->wadd[i] - t->wtag[i] - (u64)host < size)
                write_drop(t, i);
        }
        for (u32 k = 0; t->victims && k < VICTIM_SIZE; k++) {
            if (t->vwadd[k] - t->vwtag[k] - (u64)host < size)
                t->vwtag[k] = victim_empty(k);
        }
    }
}

/* The jump cache of the current context is in use right now. */
static void current_refresh(struct vcpu *v)
{
    jumps_empty(v->mmu, v->tlb);
    v->tlb->jmode = v->mode & ~MODE_STEP;
}

void mmu_flush_jumps(struct vcpu *v)
{
    struct mmu *m = v->mmu;
    for (u32 valid = m->valid; valid; valid &= valid - 1)
        m->tlb[__builtin_ctz(valid)].jmode = JMODE_STALE;
    current_refresh(v);
}

/* -- memory that others write without notice: docs/ram.md -- */

static u32 foreign_events(const struct vcpu *v)
{
    return __atomic_load_n(&v->vm->foreign_events, __ATOMIC_SEQ_CST);
}

static u32 foreign_begins(const struct vcpu *v)
{
    return __atomic_load_n(&v->vm->foreign_begins, __ATOMIC_SEQ_CST);
}

static void in_place_note(struct vcpu *v)
{
    bool is = v->tlb->in_place;
    if (is == v->in_place)
        return;
    __atomic_store_n(&v->in_place, is, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&v->vm->in_place, is ? 1 : -1u, __ATOMIC_SEQ_CST);
}

/* All code that the current context runs is fetched anew, and compared then. */
static void fetches_drop(struct vcpu *v, struct tlb *t)
{
    if (t->fetched <= ARRAY_LEN(t->fetched_list)) {
        for (u32 n = 0; n < t->fetched; n++)
            fetch_drop(t, t->fetched_list[n]);
    } else {
        copy_words(t->xtag, v->mmu->empty, TLB_SIZE);
        copy_words(t->link, v->mmu->empty, TLB_SIZE);
    }
    t->fetched = t->compared = 0;
    t->fetch_lost = t->in_place = t->doubted = false;
    current_refresh(v);
}

/* Compares all pages that the current context fetches from, if that is enough and they are few: then its entries may
 * stay, as blocks that die are not entered any more. In the end they are dropped nevertheless, so that pages which ran
 * once are not compared for ever. Returns whether they were compared. */
static bool fetches_compare(struct vcpu *v, struct tlb *t)
{
    bool smm = v->ram != v->vm->ram;
    t->compared += t->fetched;
    if ((t->in_place && t->foreign_begins != foreign_begins(v)) || t->fetched > FETCH_COMPARED || t->fetch_lost ||
        t->compared > COMPARE_AGAIN || smm != !!(t->key.flags & TLB_SMM))
        return false;
    t->foreign_events = foreign_events(v);
    t->doubted = false;
    for (u32 n = 0; n < t->fetched; n++) {
        u32 i = t->fetched_list[n];
        const struct ram_slot *s = t->xtag[i] == tlb_empty(i) ? NULL : vcpu_slot(v, GPA(t->xgpa[i]));
        if (s && s->flags & RAM_FOREIGN)
            v->vm->upcalls->code_entered(v, s, GPA(t->xgpa[i]));
    }
    return true;
}

void mmu_foreign_look(struct vcpu *v)
{
    struct tlb *t = v->tlb;
    if ((t->doubted || (t->in_place && t->foreign_events != foreign_events(v))) && !fetches_compare(v, t))
        fetches_drop(v, t);
    in_place_note(v);
}

void mmu_foreign_entered(struct vcpu *v, bool in_place)
{
    struct tlb *t = v->tlb;
    if (in_place && !t->in_place) {
        t->foreign_begins = foreign_begins(v);
        t->foreign_events = foreign_events(v);
        t->in_place = true;
        in_place_note(v);
    }
}

void mmu_foreign_event(struct vcpu *v, bool begins)
{
    struct vm *vm = v->vm;
    if (begins)
        __atomic_fetch_add(&vm->foreign_begins, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&vm->foreign_events, 1, __ATOMIC_SEQ_CST);
    if (v->tlb->in_place) {
        mmu_foreign_look(v);
        request_raise(v, REQ_FOREIGN);
    }
    for (u32 i = 0; __atomic_load_n(&vm->in_place, __ATOMIC_SEQ_CST) && i < vm->vcpu_count; i++) {
        struct vcpu *o = vm->vcpu[i];
        if (o != v && __atomic_load_n(&o->in_place, __ATOMIC_SEQ_CST))
            request_add(o, REQ_FOREIGN);
    }
}

void mmu_foreign_doubt(struct vcpu *v)
{
    struct mmu *m = v->mmu;
    __atomic_fetch_add(&v->vm->foreign_events, 1, __ATOMIC_SEQ_CST);
    for (u32 valid = m->valid; valid; valid &= valid - 1) {
        struct tlb *t = &m->tlb[__builtin_ctz(valid)];
        t->doubted = t->fetched;
    }
    mmu_foreign_look(v);
    request_raise(v, REQ_FOREIGN);
}

/* GS base of the vCPU's thread still leads to the current context, so that one is emptied where it is. */
void mmu_forget(struct vcpu *v)
{
    struct mmu *m = v->mmu;
    vcpu_slots_forget(v);
    mapped_empty(v);
    users_empty(v);
    contexts_drop(m, ~0u);
    m->valid = BIT(tlb_number(m, v->tlb));
    context_part(v->tlb);
    context_empty(m, v->tlb);
    current_refresh(v);
    stage2_flush_root(v, 0, true);
}
