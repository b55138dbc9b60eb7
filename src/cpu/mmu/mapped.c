/*
 * Mapped memory: see mapped.h and docs/mapped.md.
 *
 * Only global pages of supervisor mode are mapped: they outlive MOV to CR3, as in a processor's TLB, so what is mapped
 * goes with INVLPG, and with what flushes global pages, and needs no address space to belong to. A page is mapped for
 * writing under the same rules as the TLB has (fill.c): its dirty bit is set, and it has no translated code.
 */
#include "cpu/mmu/mapped.h"

#include "cpu/core/stats.h"
#include "cpu/mmu/tlb.h"
#include "cpu/mmu/walk.h"

#define AREAS 8
#define SPACE_SIZE AREAS_SIZE(AREAS + 1)

#define ACCESS_MAX 64 /* bytes */
#define PIECES 2048
#define PIECE_MAX (2ull << 20) /* bytes */
#define LARGE_SHIFT 21
/* Mappings of the host that pieces of all vCPUs may take: it allows 65530. */
#define HOST_MAPPINGS 30000

/* A piece takes so many cycles of the TSC; they may be such a part of the time between two flushes. If it is more
 * several times, with no long time without a flush between them, nothing is mapped for a while, and until flushes are
 * rare.
 */
#define FILL_CYCLES 15000
#define FILL_PART 8
#define LONG_CYCLES 50000000ull
#define DEAR_FLUSHES 16
#define PAUSE_CYCLES 2000000000ull

/* Refused accesses until nothing is mapped any more, if hardly any others come: the guest's kernel has no global pages,
 * or lies elsewhere. */
#define REFUSED_MAX 2000
#define REFUSED_PER_FILL 8

struct piece {
    u64 la, size;
    u8 *memory;
    u8 shift; /* of the guest's page that it lies in */
    bool write;
};

struct mapped {
    u8 *space;         /* of the host */
    u64 of[AREAS];     /* the linear address that the area is for */
    u32 areas;         /* in use */
    u32 count, splits; /* pieces; parts of them with other rights */
    u32 fills, refused;
    bool off;
    u64 pause;         /* the host's TSC until which nothing is mapped; 0: it is */
    u64 flushed;       /* the host's TSC at the last flush, */
    u32 flushed_fills; /* and fills then */
    u32 dear;          /* flushes in a row that came too soon */
    struct piece piece[PIECES];
};

/* Pieces, and parts of them, that there may be. */
static u32 splits_max(const struct vcpu *v)
{
    return alias_share(v, HOST_MAPPINGS, MAPPED_VCPUS);
}

size_t mapped_size(void)
{
    return sizeof(struct mapped);
}

static u8 *area_host(const struct mapped *m, u32 i)
{
    return area_at(m->space, i);
}

/* Where nothing is ever mapped: for addresses that no area is for. */
static u64 nowhere(const struct mapped *m, u32 index)
{
    u64 kernel = ~(BIT64(MAPPED_SHIFT + 8) - 1) | (u64)index << MAPPED_SHIFT;
    return (u64)area_host(m, AREAS) - kernel;
}

static void areas_forget(struct vcpu *v)
{
    for (u32 i = 0; i < MAPPED_COUNT; i++)
        v->mapped_add[i] = nowhere(v->mapped, i);
    v->mapped->areas = 0;
}

void mapped_attach(struct vcpu *v, void *memory)
{
    struct mapped *m = memory;
    const struct cpu_host *host = v->vm->host;
    m->space = host->alias_space(host->opaque, SPACE_SIZE);
    if (!m->space)
        return;
    v->mapped = m;
    areas_forget(v);
}

void mapped_detach(struct vcpu *v)
{
    if (v->mapped)
        v->vm->host->memory_put(v->vm->host->opaque, v->mapped->space, SPACE_SIZE);
    v->mapped = NULL;
}

static bool is_paused(struct mapped *m)
{
    if (likely(!m->pause))
        return false;
    u64 now = __builtin_ia32_rdtsc();
    if (now >= m->pause)
        m->pause = now - m->flushed < LONG_CYCLES ? now + PAUSE_CYCLES : 0; /* flushes still come, or not */
    return m->pause;
}

bool mapped_fits(const struct vcpu *v)
{
    const u64 paging = CR0_PG | CR0_WP;
    return v->mapped && !v->mapped->off && !is_paused(v->mapped) && !v->in_guest && (v->cr0 & paging) == paging &&
           v->cr4 & CR4_PGE && !(v->cr4 & CR4_LA57) && in_long_mode(v) && v->ram == v->vm->ram && !watch_armed(v);
}

/* -- what is mapped -- */

/* Returns where the linear address is or would be, or NULL. */
static u8 *place_of(const struct vcpu *v, u64 la)
{
    const struct mapped *m = v->mapped;
    for (u32 i = 0; i < m->areas; i++)
        if (la - m->of[i] < AREA_SIZE)
            return area_host(m, i) + (la - m->of[i]);
    return NULL;
}

void mapped_empty(struct vcpu *v)
{
    struct mapped *m = v->mapped;
    if (!m || !m->count)
        return;
    for (u32 i = 0; i < m->areas; i++)
        if (!alias_set(v, area_host(m, i), AREA_SIZE, NULL, 0))
            __builtin_trap(); /* it takes no more mappings than there were */
    m->count = m->splits = 0;
}

static void look_at_price(struct mapped *m)
{
    u64 now = __builtin_ia32_rdtsc(), price = (u64)(m->fills - m->flushed_fills) * FILL_CYCLES;
    if (price * FILL_PART > now - m->flushed)
        m->dear++;
    else if (now - m->flushed > LONG_CYCLES)
        m->dear = 0;
    if (m->dear >= DEAR_FLUSHES)
        m->pause = now + PAUSE_CYCLES;
    m->flushed = now;
    m->flushed_fills = m->fills;
}

void mapped_flush(struct vcpu *v)
{
    struct mapped *m = v->mapped;
    if (m && m->pause)
        m->flushed = __builtin_ia32_rdtsc();
    if (!m || !m->areas)
        return;
    v->stat[STAT_MAPPED_FLUSH]++;
    mapped_empty(v);
    areas_forget(v);
    look_at_price(m);
}

static void piece_drop(struct vcpu *v, struct piece *p)
{
    struct mapped *m = v->mapped;
    v->stat[STAT_MAPPED_DROP]++;
    if (!alias_set(v, place_of(v, p->la), p->size, NULL, 0)) {
        mapped_empty(v);
        return;
    }
    *p = m->piece[--m->count];
}

void mapped_drop(struct vcpu *v, u64 la)
{
    struct mapped *m = v->mapped;
    if (!m || !place_of(v, la))
        return;
    for (u32 i = m->count; i-- > 0;)
        if (i < m->count && !((m->piece[i].la ^ la) >> m->piece[i].shift))
            piece_drop(v, &m->piece[i]);
}

void mapped_protect(struct vcpu *v, const u8 *memory, u64 size)
{
    struct mapped *m = v->mapped;
    for (u32 i = m ? m->count : 0; i-- > 0;) {
        if (i >= m->count)
            continue;
        struct piece *p = &m->piece[i];
        u64 from = (u64)p->memory, begin = (u64)memory > from ? (u64)memory - from : 0;
        u64 end = (u64)memory + size > from ? (u64)memory + size - from : 0;
        end = end < p->size ? end : p->size;
        if (!p->write || begin >= end)
            continue;
        if (end - begin > PAGE_SIZE || m->splits >= splits_max(v) ||
            !alias_set(v, place_of(v, p->la) + begin, end - begin, NULL, ALIAS_READ))
            piece_drop(v, p);
        else
            m->splits++;
    }
}

/* -- mapping -- */

/* The area for a linear address of the upper half, NULL if there is none left. */
static u8 *place_make(struct vcpu *v, u64 la)
{
    struct mapped *m = v->mapped;
    u8 *at = place_of(v, la);
    u32 index = mapped_index(la);
    if (at || m->areas == AREAS || la >> 47 != ~0ull >> 47 || v->mapped_add[index] != nowhere(m, index))
        return at;
    m->of[m->areas] = la & ~(AREA_SIZE - 1);
    v->mapped_add[index] = (u64)area_host(m, m->areas) - m->of[m->areas];
    m->areas++;
    return place_of(v, la);
}

/* The linear address that translated code meant. *nowhere_yet: no area is for it. */
static bool address_of(const struct vcpu *v, u64 host, u64 add, u64 *la, bool *nowhere_yet)
{
    const struct mapped *m = v->mapped;
    *nowhere_yet = host - (u64)area_host(m, AREAS) < AREA_SIZE;
    for (u32 i = 0; i < m->areas; i++)
        if (host - (u64)area_host(m, i) < AREA_SIZE) {
            *la = m->of[i] + (host - (u64)area_host(m, i));
            return true;
        }
    u64 of = (u64)area_host(m, AREAS) - add;
    *la = of + (host - (u64)area_host(m, AREAS));
    return *nowhere_yet && !(of & (AREA_SIZE - 1)) && add == nowhere(m, mapped_index(of));
}

static struct piece *piece_at(struct mapped *m, u64 la)
{
    for (u32 i = 0; i < m->count; i++)
        if (la - m->piece[i].la < m->piece[i].size)
            return &m->piece[i];
    return NULL;
}

/* Takes rights to write from the pages of a new piece that may not be written by way of it. */
static bool writers_register(struct vcpu *v, const struct ram_slot *s, gpa_t gpa, u8 *at, u64 size)
{
    u64 from = 0; /* a run of pages that may not be written ends where a page may */
    for (u64 done = 0; done <= size; done += PAGE_SIZE) {
        bool may = done == size || page_writer(v, s, GPA(gpa.a + done));
        if (may && done > from) {
            if (!alias_set(v, at + from, done - from, NULL, ALIAS_READ))
                return false;
            v->mapped->splits++;
        }
        if (may)
            from = done + PAGE_SIZE;
    }
    return true;
}

static bool has_apic(const struct vcpu *v, gpa_t gpa, u64 size)
{
    u64 apic = v->apic_base & ~PAGE_MASK & (BIT64(v->vm->phys_bits) - 1);
    return apic - gpa.a < size && mem_is_apic(v, GPA(apic));
}

/* Maps the page, or as much of it as can be at once. Returns false if there is no place for it. */
static bool piece_make(struct vcpu *v, u64 la, const struct ram_slot *s, const struct walk *w)
{
    struct mapped *m = v->mapped;
    u64 size = w->shift >= LARGE_SHIFT ? PIECE_MAX : PAGE_SIZE;
    gpa_t gpa = GPA(w->gpa.a & ~(size - 1));
    if (gpa.a < s->start.a || gpa.a + size > s->start.a + s->size || has_apic(v, gpa, size)) {
        size = PAGE_SIZE;
        gpa.a = w->gpa.a & ~PAGE_MASK;
    }
    if (m->count == PIECES || m->count + m->splits >= splits_max(v))
        mapped_empty(v);
    la &= ~(size - 1);
    for (u32 i = m->count; i-- > 0;) /* pages that are a part of a large one now */
        if (i < m->count && (m->piece[i].la - la < size || la - m->piece[i].la < m->piece[i].size))
            piece_drop(v, &m->piece[i]);
    u8 *at = place_make(v, la), *memory = ram_host(s, gpa);
    if (!at)
        return false;
    if (!alias_set(v, at, size, memory, w->write ? ALIAS_READ | ALIAS_WRITE : ALIAS_READ)) {
        m->off = true;
        mapped_empty(v);
        return false;
    }
    m->piece[m->count++] =
        (struct piece){.la = la, .size = size, .memory = memory, .shift = w->shift, .write = w->write};
    m->fills++;
    v->stat[STAT_MAPPED_PIECE]++;
    if (w->write && !writers_register(v, s, gpa, at, size))
        mapped_empty(v);
    return true;
}

static enum mapped_outcome refuse(struct vcpu *v)
{
    struct mapped *m = v->mapped;
    v->stat[STAT_MAPPED_REFUSED]++;
    if (++m->refused > REFUSED_MAX + REFUSED_PER_FILL * m->fills)
        m->off = true;
    return MAPPED_REFUSED;
}

enum mapped_outcome mapped_fault(struct vcpu *v, u64 host, u64 add, bool write)
{
    struct mapped *m = v->mapped;
    struct walk w;
    u64 la;
    bool nowhere_yet;
    if (!address_of(v, host, add, &la, &nowhere_yet))
        return refuse(v);
    /* What may cross into another page, which may fault, sets no dirty bit yet. */
    bool marks = write && (la & PAGE_MASK) <= PAGE_SIZE - ACCESS_MAX;
    if (walk_linear(v, la, marks ? ACCESS_WRITE : ACCESS_READ, &w) != CPU_OK) {
        v->fault.valid = false; /* it comes from the instruction itself */
        return MAPPED_LATER;
    }
    const struct ram_slot *s = vcpu_slot(v, w.gpa);
    if (!w.global || w.user || !s || s->dirty || mem_is_apic(v, w.gpa))
        return refuse(v);
    if (write && !w.write)
        return MAPPED_LATER;
    struct piece *p = piece_at(m, la);
    u8 *memory = ram_host(s, GPA(w.gpa.a & ~PAGE_MASK));
    bool coded = p && p->write && write && p->memory + ((la & ~PAGE_MASK) - p->la) == memory; /* or was */
    if (coded && !page_writer(v, s, w.gpa))
        return refuse(v);
    if (!coded || !alias_set(v, place_of(v, la & ~PAGE_MASK), PAGE_SIZE, NULL, ALIAS_READ | ALIAS_WRITE)) {
        if (p)
            piece_drop(v, p);
        if (!piece_make(v, la, s, &w))
            return refuse(v);
    }
    return nowhere_yet ? MAPPED_LATER : MAPPED_DONE; /* the difference in use leads nowhere still */
}

const u8 *mapped_memory(const struct vcpu *v, const u8 *host)
{
    const struct mapped *m = v->mapped;
    for (u32 i = 0; m && i < m->count; i++) {
        const struct piece *p = &m->piece[i];
        const u8 *at = place_of(v, p->la);
        if (at && (u64)(host - at) < p->size)
            return p->memory + (host - at);
    }
    return NULL;
}
