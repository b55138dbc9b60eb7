/*
 * What the lower rooms of the engine ask of upper ones. vm.upcalls points at a table that cpu.c, above all rooms, fills
 * in. Everything here is off the fast path.
 */
#ifndef CPU_CORE_UPCALLS_H
#define CPU_CORE_UPCALLS_H

#include "cpu/core/vcpu.h"

struct upcalls {
    /* jit: see code_written below. */
    void (*code_written)(struct vm *vm, struct vcpu *v, const struct ram_slot *s, gpa_t at, u64 size);
    /* jit: the guest RIP of the copied instruction at a host address, 0 if there is none. */
    u64 (*guest_rip)(struct vcpu *v, u64 host_rip);
    /* jit: v begins to fetch from a page of a slot with RAM_FOREIGN. */
    void (*code_entered)(struct vcpu *v, const struct ram_slot *s, gpa_t at);
    /* mmu: see foreign_event below. */
    void (*foreign_event)(struct vcpu *v, bool begins);
    /* event: registers of the local APIC, by offset in its page (xAPIC mode). */
    u32 (*apic_read)(struct vcpu *v, u32 offset);
    void (*apic_write)(struct vcpu *v, u32 offset, u32 value);
};

/*
 * [any] Bytes within a page of RAM changed whose word has RAM_CODE (a store that the MMU kept from the TLB, DMA by a
 * device): translated blocks made from them are invalid from now on. Sets v->code_changed on the calling vCPU so that
 * the dispatcher does not resume the running block. v may be NULL: all vCPUs then leave their blocks soon.
 */
static inline void code_written(struct vm *vm, struct vcpu *v, const struct ram_slot *s, gpa_t at, u64 size)
{
    vm->upcalls->code_written(vm, v, s, at, size);
}

/*
 * Something happened on v by which the guest may know that somebody wrote to its memory: a device was read, an
 * interrupt came, an instruction serialised. Code that it runs next may not be what it was: docs/ram.md.
 */
static inline void foreign_event(struct vcpu *v)
{
    if (unlikely(v->vm->foreign))
        v->vm->upcalls->foreign_event(v, false);
}

/* A device was written to, and may begin to write to memory: the guest may see by memory itself that it is done. */
static inline void foreign_begin(struct vcpu *v)
{
    if (unlikely(v->vm->foreign))
        v->vm->upcalls->foreign_event(v, true);
}

#endif
