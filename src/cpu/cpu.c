/*
 * The engine's public face: what the rooms below make up together, and the loop of a vCPU: look at requests and events,
 * run translated code until it leaves, look again.
 */
#include "cpu/cpu.h"

#include "cpu/core/exclusive.h"
#include "cpu/core/nested.h"
#include "cpu/core/stats.h"
#include "cpu/core/vectors.h"
#include "cpu/core/world.h"
#include "cpu/event/exception.h"
#include "cpu/event/lapic.h"
#include "cpu/event/reset.h"
#include "cpu/insn/msr.h"
#include "cpu/jit/block.h"
#include "cpu/jit/exec.h"
#include "cpu/jit/signal.h"
#include "cpu/mmu/mmu.h"

const struct upcalls cpu_upcalls = {
    .code_written = block_invalidate,
    .guest_rip = exec_guest_rip,
    .apic_read = lapic_mmio_read,
    .apic_write = lapic_mmio_write,
};

void cpu_reset(struct vcpu *v)
{
    __atomic_store_n(&v->smi_pending, false, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->nmi_pending, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->init_pending, false, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->sipi_pending, false, __ATOMIC_SEQ_CST);
    msr_reset(v);
    reset_vcpu(v, false);
    vector_reset(v);
}

static void wait(struct vcpu *v)
{
    v->stat[STAT_HALT]++;
    run_end(v);
    world_wait(v);
    run_begin(v);
}

static void requests(struct vcpu *v)
{
    u64 r = __atomic_load_n(&v->request, __ATOMIC_SEQ_CST);
    if (r & REQ_STOP) {
        v->exit = CPU_EXIT_STOP;
        return;
    }
    if (r & REQ_EXCLUSIVE)
        park(v);
    if (r & REQ_TIMER) {
        __atomic_fetch_and(&v->request, ~REQ_TIMER, __ATOMIC_SEQ_CST);
        lapic_timer(v);
        if (v->in_guest)
            v->nested->timer(v);
        timers_update(v);
    }
}

enum cpu_exit cpu_run(struct vcpu *v)
{
    v->exit = CPU_EXIT_NONE;
    run_begin(v);
    mmu_attach(v);
    mode_update(v);
    vector_restore(v);
    while (v->exit == CPU_EXIT_NONE) {
        if (v->request)
            requests(v);
        if (v->exit != CPU_EXIT_NONE)
            break;
        if ((v->request & REQ_EVENT) || v->inject.valid || v->trap_pending)
            settle(v, events_process(v));
        if (v->exit != CPU_EXIT_NONE || v->request)
            continue;
        if (v->activity != ACTIVITY_ACTIVE)
            wait(v);
        else
            execute(v);
    }
    vector_save(v);
    run_end(v);
    return v->exit;
}
