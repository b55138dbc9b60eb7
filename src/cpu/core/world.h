/*
 * Calls out of the core: to the machine and to the host. The guest's vector state may be live in the host's registers:
 * each wrapper saves it before the call, but for now_ns and timer_set, which promise to leave vector registers alone.
 * It comes back when translated code goes on. After an access to a device, foreign_event looks whether the device wrote
 * to guest memory behind the engine's back.
 */
#ifndef CPU_CORE_WORLD_H
#define CPU_CORE_WORLD_H

#include "cpu/core/upcalls.h"
#include "cpu/core/vcpu.h"
#include "cpu/core/vectors.h"

/* After a read of a device, before anything changes: CPU_EXIT if its answer is not known yet. */
static inline enum outcome world_answered(struct vcpu *v)
{
    if (likely(!v->deferred))
        return CPU_OK;
    v->deferred = false;
    v->awaits = true;
    v->exit = CPU_EXIT_DEVICE;
    return CPU_EXIT;
}

static inline u32 world_io_read(struct vcpu *v, u16 port, unsigned size)
{
    vector_save(v);
    u32 r = v->vm->machine->io_read(v->vm->machine->opaque, port, size);
    if (likely(!v->deferred))
        foreign_event(v);
    return r;
}

static inline void world_io_write(struct vcpu *v, u16 port, u32 value, unsigned size)
{
    vector_save(v);
    v->vm->machine->io_write(v->vm->machine->opaque, port, value, size);
    foreign_begin(v);
}

/* A called instruction may use vector registers behind its access to memory, so they are live for it again. */
static inline void world_mmio_done(struct vcpu *v)
{
    if (v->insn)
        vector_load(v);
}

static inline u64 world_mmio_read(struct vcpu *v, gpa_t gpa, unsigned size)
{
    vector_save(v);
    u64 r = v->vm->machine->mmio_read(v->vm->machine->opaque, gpa, size);
    world_mmio_done(v);
    if (likely(!v->deferred))
        foreign_event(v);
    return r;
}

static inline void world_mmio_write(struct vcpu *v, gpa_t gpa, u64 value, unsigned size)
{
    vector_save(v);
    v->vm->machine->mmio_write(v->vm->machine->opaque, gpa, value, size);
    world_mmio_done(v);
    foreign_begin(v);
}

static inline enum machine_msr world_msr(struct vcpu *v, u32 msr, u64 *value, bool write, u32 why)
{
    vector_save(v);
    return v->vm->machine->msr(v->vm->machine->opaque, msr, value, write, why);
}

static inline int world_pic_ack(struct vcpu *v)
{
    vector_save(v);
    return v->vm->machine->pic_ack(v->vm->machine->opaque);
}

static inline void world_eoi(struct vcpu *v, u8 vector)
{
    vector_save(v);
    v->vm->machine->eoi(v->vm->machine->opaque, vector);
}

/* A machine may have no use for FERR#. */
static inline void world_ferr(struct vcpu *v, bool level)
{
    if (!v->vm->machine->ferr)
        return;
    vector_save(v);
    v->vm->machine->ferr(v->vm->machine->opaque, level);
}

static inline void world_wait(struct vcpu *v)
{
    vector_save(v);
    v->vm->host->wait(v->vm->host->opaque, v->index, &v->request);
}

static inline u64 world_now_ns(struct vcpu *v)
{
    return v->vm->host->now_ns(v->vm->host->opaque);
}

static inline u64 world_wall_ns(struct vcpu *v)
{
    vector_save(v);
    return v->vm->host->wall_ns(v->vm->host->opaque);
}

static inline u64 world_stolen_ns(struct vcpu *v)
{
    vector_save(v);
    return v->vm->host->stolen_ns(v->vm->host->opaque, v->index);
}

static inline u64 world_ran_ns(struct vcpu *v)
{
    vector_save(v);
    return v->vm->host->ran_ns(v->vm->host->opaque);
}

static inline void world_yield(struct vcpu *v)
{
    vector_save(v);
    v->vm->host->yield(v->vm->host->opaque);
}

/* A VM exit, while L2's registers are still in the vCPU. The host may have no use for it. */
static inline bool world_wants_exits(const struct vcpu *v)
{
    return v->vm->host && v->vm->host->exited;
}

static inline void world_exited(struct vcpu *v, const struct cpu_exit_seen *seen)
{
    vector_save(v);
    v->vm->host->exited(v->vm->host->opaque, v->index, seen);
}

static inline void world_timer_set(struct vcpu *v, u64 deadline_ns)
{
    v->vm->host->timer_set(v->vm->host->opaque, v->index, deadline_ns);
}

#endif
