/*
 * Guest memory for C code of the core, by linear address (mem_) and by physical address (phys_).
 *
 * Most accesses hit the TLB that translated code uses. The rest fall into one or two parts, one per page, found before
 * any byte moves: RAM, ROM, the local APIC's page, or a device. A write to ROM is a device's. Writes to RAM that go
 * past the TLB are noted: mem_written.
 */
#include "cpu/core/copy.h"
#include "cpu/core/exclusive.h"
#include "cpu/core/world.h"
#include "cpu/mmu/tlb.h"
#include "cpu/mmu/walk.h"

struct part {
    u8 *host;              /* NULL: not RAM */
    struct ram_slot *slot; /* NULL: the TLB vouches for the access */
    gpa_t gpa;
    unsigned size;
};

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

static enum outcome part_find(struct vcpu *v, u64 la, unsigned size, enum access access, struct part *s)
{
    struct walk w;
    *s = (struct part){.size = size};
    mmu_select(v);
    struct tlb *t = tlb_for(v, access);
    u32 i = tlb_index(la);
    if (t && tlb_hit(access & ACCESS_WRITE ? t->wtag[i] : t->rtag[i], la, size)) {
        s->host = (u8 *)((access & ACCESS_WRITE ? t->wadd[i] : t->radd[i]) + la);
        return CPU_OK;
    }
    TRY(walk_linear(v, la, access, &w));
    if (t && tlb_enter(v, t, la, access, &w)) {
        s->host = (u8 *)((access & ACCESS_WRITE ? t->wadd[i] : t->radd[i]) + la);
        return CPU_OK;
    }
    s->gpa = w.gpa;
    if (mem_is_apic(v, w.gpa))
        return CPU_OK;
    s->slot = vcpu_slot(v, w.gpa);
    if (s->slot)
        s->host = ram_host(s->slot, w.gpa);
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

static void part_read(struct vcpu *v, const struct part *s, u8 *buf)
{
    if (likely(s->host)) {
        move_sized(buf, s->host, s->size);
    } else if (mem_is_apic(v, s->gpa)) {
        apic_read(v, (u32)(s->gpa.a & PAGE_MASK), buf, s->size);
    } else {
        for (unsigned done = 0, n; done < s->size; done += n) {
            n = largest_access(s->size - done);
            u64 value = world_mmio_read(v, GPA(s->gpa.a + done), n);
            copy_bytes(buf + done, &value, n);
        }
    }
}

static void part_write(struct vcpu *v, const struct part *s, const u8 *buf)
{
    if (likely(s->host && !is_rom(s))) {
        move_sized(s->host, buf, s->size);
        if (s->slot)
            mem_written(v, s->slot, s->gpa, s->size);
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

static void watch_note(struct vcpu *v, u64 la, unsigned size, bool write)
{
    u64 dr6;
    if (unlikely(watch_armed(v)) && watch_match(v, la, size, write, &dr6)) {
        v->trap_pending = true;
        v->trap_dr6 |= dr6;
    }
}

/* The one or two parts of at most a page of memory. */
static enum outcome parts_find(struct vcpu *v, u64 la, unsigned size, enum access access, struct part s[2])
{
    unsigned first = (unsigned)(PAGE_SIZE - (la & PAGE_MASK));
    if (first > size)
        first = size;
    s[1].size = 0;
    TRY(mem_canonical(v, la, size, false));
    TRY(part_find(v, la, first, access, &s[0]));
    if (first < size)
        TRY(part_find(v, linear(v, la + first), size - first, access, &s[1]));
    return alignment_check(v, la, size, access);
}

static void parts_read(struct vcpu *v, const struct part s[2], u8 *buf)
{
    part_read(v, &s[0], buf);
    if (s[1].size)
        part_read(v, &s[1], buf + s[0].size);
}

static void parts_write(struct vcpu *v, const struct part s[2], const u8 *buf)
{
    part_write(v, &s[0], buf);
    if (s[1].size)
        part_write(v, &s[1], buf + s[0].size);
}

static __attribute__((noinline)) enum outcome read_slow(struct vcpu *v, u64 la, u8 *buf, unsigned size,
                                                        enum access access)
{
    struct part s[2];
    if (size > PAGE_SIZE)
        TRY(mem_probe(v, la, size, access));
    for (; size > PAGE_SIZE; la += PAGE_SIZE, buf += PAGE_SIZE, size -= PAGE_SIZE)
        TRY(mem_read(v, la, buf, PAGE_SIZE, access));
    la = linear(v, la);
    TRY(parts_find(v, la, size, access, s));
    parts_read(v, s, buf);
    watch_note(v, la, size, false);
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
    return read_slow(v, la, buf, size, access);
}

static __attribute__((noinline)) enum outcome write_slow(struct vcpu *v, u64 la, const u8 *buf, unsigned size,
                                                         enum access access)
{
    struct part s[2];
    if (size > PAGE_SIZE)
        TRY(mem_probe(v, la, size, access));
    for (; size > PAGE_SIZE; la += PAGE_SIZE, buf += PAGE_SIZE, size -= PAGE_SIZE)
        TRY(mem_write(v, la, buf, PAGE_SIZE, access));
    la = linear(v, la);
    TRY(parts_find(v, la, size, access, s));
    parts_write(v, s, buf);
    watch_note(v, la, size, true);
    return CPU_OK;
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
    return write_slow(v, la, buf, size, access);
}

enum outcome mem_probe(struct vcpu *v, u64 la, unsigned size, enum access access)
{
    struct part s[2];
    la = linear(v, la);
    for (; size > PAGE_SIZE; la = linear(v, la + PAGE_SIZE), size -= PAGE_SIZE)
        TRY(parts_find(v, la, PAGE_SIZE, access, s));
    return parts_find(v, la, size, access, s);
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
static void exchange_bytes(struct vcpu *v, const struct part s[2], u64 *old, u64 new_value, unsigned size)
{
    u64 seen = 0;
    parts_read(v, s, (u8 *)&seen);
    u64 want = seen == mask_size(*old, size) ? new_value : seen;
    parts_write(v, s, (const u8 *)&want);
    *old = seen;
}

static enum outcome exchange_exclusive(struct vcpu *v, u64 la, u64 *old, u64 new_value, unsigned size,
                                       enum access access)
{
    struct part s[2];
    bool others = v->vm->vcpu_count > 1;
    if (others)
        exclusive_begin(v);
    /* Found again: while this vCPU waited, others may have changed what backs the page. */
    enum outcome out = parts_find(v, la, size, access, s);
    if (out == CPU_OK)
        exchange_bytes(v, s, old, new_value, size);
    if (others)
        exclusive_end(v);
    return out;
}

enum outcome mem_cmpxchg(struct vcpu *v, u64 la, u64 *old, u64 new_value, unsigned size, enum access access)
{
    struct part s[2];
    la = linear(v, la);
    access |= ACCESS_WRITE;
    TRY(parts_find(v, la, size, access, s));
    if (likely(s[0].host && !is_rom(&s[0]) && !s[1].size && !(la & (size - 1)))) {
        if (exchange_sized(s[0].host, old, new_value, size) && s[0].slot)
            mem_written(v, s[0].slot, s[0].gpa, size);
    } else {
        TRY(exchange_exclusive(v, la, old, new_value, size, access));
    }
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
