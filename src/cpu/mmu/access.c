/*
 * Guest memory for C code of the core, by linear address (mem_) and by physical address (phys_).
 *
 * Most accesses hit the TLB that translated code uses. The rest fall into one or two parts, one per page, found before
 * any byte moves: RAM, ROM, the local APIC's page, L2's APIC-access page, or a device. A write to ROM is a device's.
 * Writes to RAM that go past the TLB are noted: mem_written.
 */
#include "cpu/core/copy.h"
#include "cpu/core/cpuid.h"
#include "cpu/core/exclusive.h"
#include "cpu/core/world.h"
#include "cpu/mmu/segment.h"
#include "cpu/mmu/tlb.h"
#include "cpu/mmu/walk.h"

static bool is_rom(const struct part *s)
{
    return s->slot && s->slot->flags & RAM_READONLY;
}

/* One access of 1, 2, 4 or 8 bytes is one host access: guests rely on its atomicity. */
static inline void move_sized(void *dst, const void *src, unsigned size)
{
    switch (size) {
    case 1: *(u8 *)dst = *(const u8 *)src; break;
    case 2: __builtin_memcpy(dst, src, 2); break;
    case 4: __builtin_memcpy(dst, src, 4); break;
    case 8: __builtin_memcpy(dst, src, 8); break;
    default: copy_bytes(dst, src, size);
    }
}

static unsigned largest_access(unsigned size)
{
    return size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
}

/* Where a walk led to, past the TLB. */
static void part_set(struct vcpu *v, gpa_t gpa, unsigned size, struct part *p)
{
    *p = (struct part){.gpa = gpa, .size = size, .apic_access = mem_is_apic_access(v, gpa)};
    if (p->apic_access || mem_is_apic(v, gpa))
        return;
    p->slot = vcpu_slot(v, gpa);
    if (p->slot)
        p->host = ram_host(p->slot, gpa);
}

static enum outcome part_find(struct vcpu *v, u64 la, unsigned size, enum access access, struct part *p)
{
    struct walk w;
    mmu_select(v);
    struct tlb *t = tlb_for(v, access);
    u32 i = tlb_index(la);
    bool hit = t && tlb_hit(access & ACCESS_WRITE ? t->wtag[i] : t->rtag[i], la, size);
    if (!hit) {
        TRY(walk_linear(v, la, access, &w));
        hit = t && tlb_enter(v, t, la, access, &w);
    }
    if (hit)
        *p = (struct part){.host = (u8 *)((access & ACCESS_WRITE ? t->wadd[i] : t->radd[i]) + la), .size = size};
    else
        part_set(v, w.gpa, size, p);
    return CPU_OK;
}

static void apic_read(struct vcpu *v, u32 offset, u8 *buf, unsigned size)
{
    for (unsigned done = 0; done < size;) {
        u32 at = offset + done, skip = at & 3;
        u32 value = v->vm->upcalls->apic_read(v, at - skip) >> (skip * 8);
        for (; skip < 4 && done < size; skip++, done++, value >>= 8)
            buf[done] = (u8)value;
    }
}

/* SDM "The Local APIC Block Diagram": registers are written by aligned 32-bit accesses; others have no effect. */
static void apic_write(struct vcpu *v, u32 offset, const u8 *buf, unsigned size)
{
    if (offset & 3 || size & 3)
        return;
    for (unsigned done = 0; done < size; done += 4) {
        u32 value;
        __builtin_memcpy(&value, buf + done, 4);
        v->vm->upcalls->apic_write(v, offset + done, value);
    }
}

static enum outcome part_read(struct vcpu *v, const struct part *s, u8 *buf)
{
    if (likely(s->host)) {
        move_sized(buf, s->host, s->size);
    } else if (s->apic_access) {
        phys_read(v, s->gpa, buf, s->size);
    } else if (mem_is_apic(v, s->gpa)) {
        apic_read(v, (u32)(s->gpa.a & PAGE_MASK), buf, s->size);
    } else {
        for (unsigned done = 0, n; done < s->size; done += n) {
            n = largest_access(s->size - done);
            u64 value = world_mmio_read(v, GPA(s->gpa.a + done), n);
            TRY(world_answered(v));
            copy_bytes(buf + done, &value, n);
        }
    }
    return CPU_OK;
}

static void part_write(struct vcpu *v, const struct part *s, const u8 *buf)
{
    if (likely(s->host && !is_rom(s))) {
        move_sized(s->host, buf, s->size);
        if (s->slot)
            mem_written(v, s->slot, s->gpa, s->size);
    } else if (s->apic_access) {
        phys_write(v, s->gpa, buf, s->size);
        v->nested->apic_written(v);
    } else if (mem_is_apic(v, s->gpa)) {
        apic_write(v, (u32)(s->gpa.a & PAGE_MASK), buf, s->size);
    } else {
        for (unsigned done = 0, n; done < s->size; done += n) {
            u64 value = 0;
            n = largest_access(s->size - done);
            copy_bytes(&value, buf + done, n);
            world_mmio_write(v, GPA(s->gpa.a + done), value, n);
        }
    }
}

/* SDM "Alignment-Check Exception (#AC)". Operands wider than 8 bytes are held to 8. */
static enum outcome alignment_check(struct vcpu *v, u64 la, unsigned size, enum access access)
{
    if (likely(!(v->flags & FLAG_AC)) || v->cpl != 3 || !(v->cr0 & CR0_AM) ||
        access & (ACCESS_IMPLICIT | ACCESS_UNCHECKED))
        return CPU_OK;
    if (size & (size - 1) && size != 10)
        return CPU_OK;
    /* vector operands of 16 bytes and more are not checked */
    return size <= 10 && la & ((size > 8 ? 8 : size) - 1) ? raise_ac(v) : CPU_OK;
}

/* L2's APIC-access page is among the parts: asks for the whole access. */
static enum outcome apic_access(struct vcpu *v, struct found *f, enum access access)
{
    struct part *p = &f->part[f->part[0].apic_access ? 0 : 1];
    return v->nested->apic_access(v, &p->gpa, f->part[0].size + f->part[1].size, access);
}

static void watch_note(struct vcpu *v, u64 la, unsigned size, bool write)
{
    if (likely(!watch_armed(v)))
        return;
    u64 dr6 = watch_guest(v, la, size, write);
    if (dr6) {
        v->trap_pending = true;
        v->trap_dr6 |= dr6;
    }
    v->debug_hit |= watch_debugger(v, la, size, write);
}

enum outcome mem_find(struct vcpu *v, u64 la, unsigned size, enum access access, struct found *f)
{
    la = linear(v, la);
    unsigned first = (unsigned)(PAGE_SIZE - (la & PAGE_MASK));
    if (first > size)
        first = size;
    f->la = la;
    f->part[1].size = 0;
    /* Intel's CPUs look at the alignment before they find that the last bytes only are not canonical. */
    if (unlikely(first < size && host_vendor() == VENDOR_INTEL && is_canonical(v, la) &&
                 !is_canonical(v, la + size - 1)))
        TRY(alignment_check(v, la, size, access));
    TRY(mem_canonical(v, la, size, false));
    TRY(part_find(v, la, first, access, &f->part[0]));
    if (first < size)
        TRY(part_find(v, linear(v, la + first), size - first, access, &f->part[1]));
    if (unlikely(f->part[0].apic_access || (first < size && f->part[1].apic_access)))
        TRY(apic_access(v, f, access));
    return alignment_check(v, la, size, access);
}

enum outcome found_set(struct vcpu *v, u64 la, unsigned size, enum access access, gpa_t gpa, struct found *f)
{
    f->la = la;
    f->part[1].size = 0;
    part_set(v, gpa, size, &f->part[0]);
    if (unlikely(f->part[0].apic_access))
        TRY(apic_access(v, f, access));
    return alignment_check(v, la, size, access);
}

enum outcome found_read(struct vcpu *v, const struct found *f, void *buf)
{
    const struct part *p = f->part;
    TRY(part_read(v, &p[0], buf));
    if (p[1].size)
        TRY(part_read(v, &p[1], (u8 *)buf + p[0].size));
    watch_note(v, f->la, p[0].size + p[1].size, false);
    return CPU_OK;
}

void found_write(struct vcpu *v, const struct found *f, const void *buf)
{
    const struct part *p = f->part;
    part_write(v, &p[0], buf);
    if (p[1].size)
        part_write(v, &p[1], (const u8 *)buf + p[0].size);
    watch_note(v, f->la, p[0].size + p[1].size, true);
}

/* The rest of mem_read and mem_write, where one look at the TLB is not enough. A write leaves `buf` alone. */
static __attribute__((noinline)) enum outcome move_slow(struct vcpu *v, u64 la, u8 *buf, unsigned size,
                                                        enum access access, bool write)
{
    struct found f;
    if (size > PAGE_SIZE)
        TRY(mem_probe(v, la, size, access));
    for (unsigned n; size; la += n, buf += n, size -= n) {
        n = size < PAGE_SIZE ? size : (unsigned)PAGE_SIZE;
        TRY(mem_find(v, la, n, access, &f));
        if (write)
            found_write(v, &f, buf);
        else
            TRY(found_read(v, &f, buf));
    }
    return CPU_OK;
}

enum outcome mem_read(struct vcpu *v, u64 la, void *buf, unsigned size, enum access access)
{
    la = linear(v, la);
    const struct tlb *t = tlb_for(v, access);
    u32 i = tlb_index(la);
    if (likely(t && tlb_hit(t->rtag[i], la, size))) {
        move_sized(buf, (const void *)(t->radd[i] + la), size);
        return CPU_OK;
    }
    return move_slow(v, la, buf, size, access, false);
}

enum outcome mem_write(struct vcpu *v, u64 la, const void *buf, unsigned size, enum access access)
{
    la = linear(v, la);
    access |= ACCESS_WRITE;
    const struct tlb *t = tlb_for(v, access);
    u32 i = tlb_index(la);
    if (likely(t && tlb_hit(t->wtag[i], la, size))) {
        move_sized((void *)(t->wadd[i] + la), buf, size);
        return CPU_OK;
    }
    return move_slow(v, la, (u8 *)(uintptr_t)buf, size, access, true);
}

enum outcome mem_probe(struct vcpu *v, u64 la, unsigned size, enum access access)
{
    struct found f;
    for (; size > PAGE_SIZE; la += PAGE_SIZE, size -= PAGE_SIZE)
        TRY(mem_find(v, la, PAGE_SIZE, access, &f));
    return mem_find(v, la, size, access, &f);
}

enum outcome mem_pointer(struct vcpu *v, u64 la, enum access access, void **host, u64 *room)
{
    bool filled = true;
    la = linear(v, la);
    u32 i = tlb_index(la);
    struct tlb *t = tlb_for(v, access);
    *host = NULL;
    *room = PAGE_SIZE - (la & PAGE_MASK);
    if (!t || !tlb_hit(access & ACCESS_WRITE ? t->wtag[i] : t->rtag[i], la, 1)) {
        TRY(mmu_fill(v, la, access, &filled));
        t = tlb_for(v, access);
    }
    if (filled)
        *host = (void *)((access & ACCESS_WRITE ? t->wadd[i] : t->radd[i]) + la);
    return CPU_OK;
}

static bool exchange_sized(void *host, u64 *old, u64 new_value, unsigned size)
{
    bool done;
#define EXCHANGE(type)                                                                                                 \
    do {                                                                                                               \
        type expected = (type)*old;                                                                                    \
        done = __atomic_compare_exchange_n((type *)host, &expected, (type)new_value, false, __ATOMIC_SEQ_CST,          \
                                           __ATOMIC_SEQ_CST);                                                          \
        *old = expected;                                                                                               \
    } while (0)
    switch (size) {
    case 1: EXCHANGE(u8); break;
    case 2: EXCHANGE(u16); break;
    case 4: EXCHANGE(u32); break;
    default: EXCHANGE(u64);
    }
#undef EXCHANGE
    return done;
}

/* Across pages, misaligned or outside RAM; nobody else runs. */
static enum outcome exchange_bytes(struct vcpu *v, const struct found *f, u64 *old, u64 new_value, unsigned size)
{
    u64 seen = 0;
    TRY(found_read(v, f, &seen));
    u64 want = seen == mask_size(*old, size) ? new_value : seen;
    found_write(v, f, &want);
    *old = seen;
    return CPU_OK;
}

static enum outcome exchange_exclusive(struct vcpu *v, u64 la, u64 *old, u64 new_value, unsigned size,
                                       enum access access)
{
    struct found f;
    bool others = v->vm->vcpu_count > 1;
    if (others)
        exclusive_begin(v);
    /* Found again: while this vCPU waited, others may have changed what backs the page. */
    enum outcome out = mem_find(v, la, size, access, &f);
    if (out == CPU_OK)
        out = exchange_bytes(v, &f, old, new_value, size);
    if (others)
        exclusive_end(v);
    return out;
}

enum outcome mem_cmpxchg(struct vcpu *v, u64 la, u64 *old, u64 new_value, unsigned size, enum access access)
{
    struct found f;
    const struct part *p = &f.part[0];
    la = linear(v, la);
    access |= ACCESS_WRITE;
    TRY(mem_find(v, la, size, access, &f));
    if (unlikely(!p->host || is_rom(p) || f.part[1].size || la & (size - 1)))
        return exchange_exclusive(v, la, old, new_value, size, access);
    if (exchange_sized(p->host, old, new_value, size) && p->slot)
        mem_written(v, p->slot, p->gpa, size);
    watch_note(v, la, size, true);
    return CPU_OK;
}

void phys_read(struct vcpu *v, gpa_t gpa, void *buf, unsigned size)
{
    u8 *p = buf;
    while (size) {
        unsigned n = (unsigned)(PAGE_SIZE - (gpa.a & PAGE_MASK));
        if (n > size)
            n = size;
        const void *host = vcpu_ram(v, gpa);
        if (likely(host))
            move_sized(p, host, n);
        else
            fill_bytes(p, 0xff, n);
        p += n;
        gpa.a += n;
        size -= n;
    }
}

void phys_written(struct vcpu *v, gpa_t gpa, unsigned size)
{
    const struct ram_slot *slot = vcpu_slot(v, gpa);
    if (slot)
        mem_written(v, slot, gpa, size);
}

void phys_write(struct vcpu *v, gpa_t gpa, const void *buf, unsigned size)
{
    const u8 *p = buf;
    while (size) {
        unsigned n = (unsigned)(PAGE_SIZE - (gpa.a & PAGE_MASK));
        if (n > size)
            n = size;
        struct ram_slot *slot = vcpu_slot(v, gpa);
        if (likely(slot && !(slot->flags & RAM_READONLY))) {
            move_sized(ram_host(slot, gpa), p, n);
            mem_written(v, slot, gpa, n);
        }
        p += n;
        gpa.a += n;
        size -= n;
    }
}
