/*
 * Creates a vCPU's execution state, the translator's included. cpu.c calls it when it creates the vCPU.
 */
#include "cpu/jit/exec.h"

#include "cpu/core/vectors.h"
#include "cpu/jit/enter.h"
#include "cpu/jit/translate.h"

struct exec_memory {
    struct exec exec;
    struct tr tr;
};

size_t exec_size(void)
{
    return sizeof(struct exec_memory);
}

void exec_init(struct vcpu *v, void *memory)
{
    struct exec_memory *m = memory;
    decode_init(&m->tr);
    m->exec.tr = &m->tr;
    v->exec = &m->exec;
    vector_init(v);
    v->bit_mask[0] = 15;
    v->bit_mask[1] = 31;
    v->bit_mask[2] = 63;
    v->page_mask = ~PAGE_MASK;
    v->crossing.mask = (CROSSINGS - 1ull) << CROSSING_SHIFT;
    v->crossing.page_offset = PAGE_MASK;
    v->sample_left = SAMPLE_JUMPS;
    m->exec.heat.random = 1;
    v->slow_mem = (void *)exec_thunk_slow_mem;
    v->slow_done = (void *)exec_thunk_slow_done;
    v->slow_segment = (void *)exec_thunk_slow_segment;
    v->call_thunk = (void *)exec_thunk_call;
    v->check_missed = (void *)exec_thunk_check_missed;
    v->jump_missed = (void *)exec_thunk_jump_missed;
    v->back_missed = (void *)exec_thunk_back_missed;
    v->leave_lookup = (void *)exec_leave_lookup;
    v->leave_chain = (void *)exec_leave_chain;
    v->leave_request = (void *)exec_leave_request;
    mmu_set_lost_return(v, v->vm->cache->lost);
}
