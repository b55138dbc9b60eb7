/*
 * Filling the TLB: from a walk to an entry that translated code may use, or to the decision that it may not.
 *
 * An entry for writing exists only for RAM pages without translated code, whose dirty bits are set, in the guest's
 * tables and in the slot's log. It announces itself in the page's word before it looks at RAM_CODE; a translator does
 * it the other way round. Pages with data breakpoints, the APIC's page and L2's APIC-access page are never entered, nor
 * is anything while alignment is checked: those accesses come to access.c.
 */
#include "cpu/core/stats.h"
#include "cpu/mmu/segment.h"
#include "cpu/mmu/tlb.h"
#include "cpu/mmu/walk.h"

bool mmu_is_direct(const struct vcpu *v)
{
    return v->tlb->votes > DIRECT_NEW / 2;
}

void direct_vote(struct vcpu *v, struct tlb *t, u64 add)
{
    struct mmu *m = v->mmu;
    if (t->key.flags & TLB_USER)
        return;
    if (likely(add == t->direct)) {
        t->votes += t->votes < DIRECT_SURE;
        return;
    }
    if (--t->votes)
        return;
    copy_words(t->dtag, m->empty, TLB_SIZE);
    t->direct = m->direct = add;
    t->votes = DIRECT_NEW;
    if (t == v->tlb)
        v->direct = add;
}

static u64 met(const struct vcpu *v, const u64 dr[4], u64 dr7, u64 la, unsigned size, bool write)
{
    static const u8 lengths[4] = {1, 2, 8, 4};
    u64 dr6 = 0;
    for (unsigned n = 0; n < 4; n++) {
        unsigned kind = DR7_KIND(dr7, n);
        if (!DR7_ENABLES(dr7, n) || !(kind == DR7_ACCESS || (kind == DR7_WRITE && write)))
            continue;
        u64 length = lengths[DR7_LENGTH(dr7, n)];
        u64 at = linear(v, dr[n] & ~(length - 1));
        if (at - la < size || la - at < length)
            dr6 |= BIT64(n);
    }
    return dr6;
}

u64 watch_guest(const struct vcpu *v, u64 la, unsigned size, bool write)
{
    return met(v, v->dr, v->dr7, la, size, write);
}

u64 watch_debugger(const struct vcpu *v, u64 la, unsigned size, bool write)
{
    return met(v, v->debug.dr, v->debug.dr7, la, size, write);
}

static void entry_count(struct tlb *t, u32 i)
{
    const u32 listed = ARRAY_LEN(t->filled_list);
    if (t->filled && t->filled <= listed && t->filled_list[t->filled - 1] == i)
        return; /* the same entry again, after INVLPG perhaps */
    if (t->filled < listed)
        t->filled_list[t->filled] = (u16)i;
    t->filled++;
}

static void attributes_note(struct tlb *t, u64 la, const struct walk *w)
{
    t->has_global |= w->global;
    if (w->shift > PAGE_SHIFT) {
        unsigned size = w->shift > 22;
        u32 bit = large_bit(la, size ? 30 : 22);
        t->large[size][bit / 64] |= BIT64(bit % 64);
        range_add(&t->has_large, &t->large_from, &t->large_to, la & ~(BIT64(size ? 30 : 22) - 1));
    }
}

void mmu_dirtied(struct vcpu *v, const struct ram_slot *slot, gpa_t gpa)
{
    ram_ring_push(v->ring, slot, ram_page(slot, gpa));
    if (!ram_ring_full(v->ring))
        return;
    v->leave = CPU_EXIT_DEVICE;
    request_raise(v, REQ_LEAVE);
}

/* In a slot that is logged only dirty pages have write mappings. */
static bool may_be_dirty(struct vcpu *v, const struct ram_slot *slot, gpa_t gpa, enum access access)
{
    if (ram_is_dirty(slot, gpa))
        return true;
    if (!(access & ACCESS_WRITE) || access & ACCESS_AHEAD)
        return false;
    mark_dirty(v, slot, gpa);
    return true;
}

/* Takes a write mapping of a RAM page. False: every write to it must come to C. */
static bool writer_register(struct vcpu *v, const struct ram_slot *slot, gpa_t gpa, enum access access)
{
    if (slot->flags & RAM_READONLY || (unlikely(slot->dirty) && !may_be_dirty(v, slot, gpa, access)))
        return false;
    u32 *word = ram_page_word(slot, gpa);
    u32 bit = BIT(v->index % RAM_WRITERS);
    u32 old = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    if (!(old & (RAM_CODE | bit)))
        old = __atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);
    return !(old & RAM_CODE);
}

bool page_writer(struct vcpu *v, const struct ram_slot *slot, gpa_t gpa)
{
    return writer_register(v, slot, gpa, ACCESS_WRITE | ACCESS_AHEAD);
}

/* A store to this page, which has code, need not walk again. */
static void ctag_enter(struct tlb *t, u64 page, gpa_t gpa)
{
    u32 i = ctag_index(page);
    t->ctag[i] = -page;
    t->cgpa[i] = gpa.a;
    t->has_ctag = true;
}

/* Returns whether that holds, and where the store goes. */
static bool ctag_find(struct vcpu *v, const struct tlb *t, u64 la, gpa_t *gpa)
{
    u32 i = ctag_index(la);
    if (likely(t->ctag[i] != -(la & ~PAGE_MASK)))
        return false;
    gpa->a = t->cgpa[i] | (la & PAGE_MASK);
    const struct ram_slot *s = vcpu_slot(v, *gpa);
    return s && __atomic_load_n(ram_page_word(s, *gpa), __ATOMIC_RELAXED) & RAM_CODE;
}

bool tlb_enter(struct vcpu *v, struct tlb *t, u64 la, enum access access, const struct walk *w)
{
    u64 page = la & ~PAGE_MASK;
    gpa_t gpa = GPA(w->gpa.a & ~PAGE_MASK);
    if (unlikely(t->shared && !w->global))
        return false;
    if ((t->key.flags & (TLB_USER | TLB_AC)) == (TLB_USER | TLB_AC))
        return false;
    if (unlikely(watch_armed(v)) && (watch_guest(v, page, PAGE_SIZE, true) | watch_debugger(v, page, PAGE_SIZE, true)))
        return false;
    if (unlikely(mem_is_apic(v, gpa) || mem_is_apic_access(v, gpa)))
        return false;
    const struct ram_slot *slot = vcpu_slot(v, gpa);
    if (!slot)
        return false;
    u32 i = tlb_index(la);
    u64 tag = -page;
    u64 host = (u64)ram_host(slot, gpa);
    /* The other kind of access gets an entry too if that evicts none. */
    bool write = access & ACCESS_WRITE || t->wtag[i] == tlb_empty(i) || t->wtag[i] == tag;
    bool read = !(access & ACCESS_WRITE) || t->rtag[i] == tlb_empty(i) || t->rtag[i] == tag;
    if (write && !(w->write && writer_register(v, slot, gpa, access))) {
        if (access & ACCESS_WRITE) {
            if (w->write && !(slot->flags & RAM_READONLY))
                ctag_enter(t, page, gpa);
            return false;
        }
        write_drop(t, i);
        write = false;
    }
    if ((read && t->rtag[i] != tag) || (write && t->wtag[i] != tag))
        entry_count(t, i);
    attributes_note(t, la, w);
    direct_vote(v, t, host - page);
    if (read)
        read_enter(t, i, tag, host - page);
    if (write) {
        write_enter(t, i, tag, host - page);
        t->written[written_bit(host) / 64] |= BIT64(written_bit(host) % 64);
    }
    return true;
}

/* Has a page that was put aside change places with the one that took its entry, if there is one at `la`. */
static bool victim_back(struct tlb *t, u64 la, enum access access)
{
    bool write = access & ACCESS_WRITE;
    u32 i = tlb_index(la), k = victim_index(la);
    u64 tag = -(la & ~PAGE_MASK), *victims = write ? t->vwtag : t->vrtag;
    u64 add = write ? t->vwadd[k] : t->vradd[k];
    if (victims[k] != tag)
        return false;
    victims[k] = victim_empty(k);
    if (write)
        write_enter(t, i, tag, add);
    else
        read_enter(t, i, tag, add);
    entry_count(t, i);
    return true;
}

/* Where in memory the page lies decides about links to it, so it must be the VM's usual memory; and pages with a
 * debugger's breakpoints are entered by the dispatcher only. */
static bool may_be_linked(const struct vcpu *v, const struct tlb *t, u64 number)
{
    return number && number < LINK_PAGES && !(t->key.flags & TLB_SMM) && !v->debug_breaks;
}

void tlb_enter_fetch(const struct vcpu *v, struct tlb *t, u64 la, const struct walk *w)
{
    u32 i = tlb_index(la);
    u64 tag = -(la & ~PAGE_MASK);
    if (t->xtag[i] != tag) {
        if (t->xtag[i] != tlb_empty(i))
            range_add(&t->fetch_lost, &t->lost_from, &t->lost_to, -t->xtag[i]);
        entry_count(t, i);
        if (t->fetched < ARRAY_LEN(t->fetched_list))
            t->fetched_list[t->fetched] = (u16)i;
        t->fetched++;
    }
    attributes_note(t, la, w);
    t->xgpa[i] = w->gpa.a & ~PAGE_MASK;
    t->xtag[i] = tag;
    u64 number = w->gpa.a >> PAGE_SHIFT;
    t->link[i] = may_be_linked(v, t, number) ? number + tag : tlb_empty(i);
}

enum outcome mem_canonical(struct vcpu *v, u64 la, unsigned size, bool stack)
{
    if (!in_long_mode(v) || likely(is_canonical(v, la) && is_canonical(v, la + size - 1)))
        return CPU_OK;
    return stack ? raise_ss(v, 0) : raise_gp(v, 0);
}

enum outcome mmu_translate(struct vcpu *v, u64 la, enum access access, gpa_t *gpa)
{
    struct walk w;
    la = linear(v, la);
    TRY(mem_canonical(v, la, 1, false));
    TRY(walk_linear(v, la, access, &w));
    *gpa = w.gpa;
    return CPU_OK;
}

/* Whoever goes through memory page by page gets a few pages at once: those behind `la`, which the walk was for. */
static void fill_ahead(struct vcpu *v, struct tlb *t, u64 la, enum access access, struct walk *w)
{
    u64 page = la & ~PAGE_MASK, *next = &v->mmu->next_fill[access & ACCESS_WRITE ? 1 : 0];
    bool sequential = page == *next;
    for (unsigned n = 1; n < FILL_AHEAD && sequential && walk_next(v, access, w); n++) {
        page += PAGE_SIZE;
        if (!tlb_enter(v, t, page, access | ACCESS_AHEAD, w))
            break;
    }
    *next = page + PAGE_SIZE;
}

enum outcome mem_fill(struct vcpu *v, u64 la, unsigned size, enum access access, struct found *f, bool *filled)
{
    struct walk w;
    *filled = false;
    la = linear(v, la);
    TRY(mem_canonical(v, la, 1, false));
    mmu_select(v);
    struct tlb *t = tlb_for(v, access);
    if (t && victim_back(t, la, access)) {
        v->stat[STAT_FILL_VICTIM]++;
        *filled = true;
        return CPU_OK;
    }
    if (t && access & ACCESS_WRITE && ctag_find(v, t, la, &w.gpa))
        return found_set(v, la, size, access, w.gpa, f);
    TRY(walk_linear(v, la, access, &w));
    if (unlikely(t && t->shared && !w.global))
        t = mmu_part(v, t);
    u32 i = tlb_index(la);
    bool taken = t && (access & ACCESS_WRITE ? t->wtag : t->rtag)[i] != tlb_empty(i);
    if (unlikely(!t || !tlb_enter(v, t, la, access, &w)))
        return found_set(v, la, size, access, w.gpa, f);
    v->stat[STAT_FILL_TAKEN] += taken;
    *filled = true;
    fill_ahead(v, t, la, access, &w);
    return CPU_OK;
}

enum outcome mmu_fill(struct vcpu *v, u64 la, enum access access, bool *filled)
{
    struct found f;
    return mem_fill(v, la, 1, access, &f, filled);
}

/*
 * The code of a page in memory that others write may have changed while nobody fetched it by this entry. A mapping that
 * is one to one (as without paging), or by which a user writes too, may get new code while it stays.
 */
static void foreign_check(struct vcpu *v, u64 la, const struct walk *w)
{
    const struct ram_slot *s = vcpu_slot(v, w->gpa);
    if (!s || !(s->flags & RAM_FOREIGN))
        return;
    mmu_foreign_entered(v, w->address == (la & ~PAGE_MASK) || (w->write && v->cpl == 3));
    v->vm->upcalls->code_entered(v, s, w->gpa);
}

enum outcome mmu_fetch(struct vcpu *v, u64 la, gpa_t *gpa)
{
    struct walk w;
    la = linear(v, la);
    u32 i = tlb_index(la);
    mmu_select(v);
    if (likely(tlb_hit(v->tlb->xtag[i], la, 1))) {
        gpa->a = v->tlb->xgpa[i] | (la & PAGE_MASK);
        return CPU_OK;
    }
    TRY(mem_canonical(v, la, 1, false));
    TRY(walk_linear(v, la, ACCESS_FETCH, &w));
    if (mem_is_apic_access(v, w.gpa))
        TRY(v->nested->apic_access(v, &w.gpa, 1, ACCESS_FETCH));
    v->stat[STAT_FETCH_FILL]++;
    if (unlikely(v->tlb->shared && !w.global))
        mmu_part(v, v->tlb);
    tlb_enter_fetch(v, v->tlb, la, &w);
    if (unlikely(v->vm->foreign))
        foreign_check(v, la, &w);
    *gpa = w.gpa;
    return CPU_OK;
}
