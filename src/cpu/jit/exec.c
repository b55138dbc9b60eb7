/*
 * Creation of a vCPU's execution state.
 */
#include "cpu/jit/exec.h"

#include "cpu/core/vectors.h"
#include "cpu/jit/enter.h"
#include "cpu/jit/translate.h"

struct exec_memory {
    struct exec exec;
    ZydisDecoder decoder[4];
    struct tr tr;
};

size_t exec_size(void)
{
    return sizeof(struct exec_memory);
}

void exec_init(struct vcpu *v, void *memory)
{
    struct exec_memory *m = memory;
    struct exec *x = &m->exec;
    static const struct {
        ZydisMachineMode mode;
        ZydisStackWidth width;
    } kinds[4] = {{ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16},
                  {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
                  {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
                  {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64}};
    for (unsigned i = 0; i < 4; i++) {
        ZydisDecoderInit(&m->decoder[i], kinds[i].mode, kinds[i].width);
        ZydisDecoderEnableMode(&m->decoder[i], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        ZydisDecoderEnableMode(&m->decoder[i], ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
    }
    x->decoder[0] = &m->decoder[0];
    x->decoder[1] = &m->decoder[2];
    x->decoder[2] = &m->decoder[3];
    x->tr = &m->tr;
    v->exec = x;
    vector_init(v);
    v->bit_mask[0] = 15;
    v->bit_mask[1] = 31;
    v->bit_mask[2] = 63;
    v->slow_mem = (void *)exec_thunk_slow_mem;
    v->slow_done = (void *)exec_thunk_slow_done;
    v->slow_segment = (void *)exec_thunk_slow_segment;
    v->call_thunk = (void *)exec_thunk_call;
    v->leave_lookup = (void *)exec_leave_lookup;
    v->leave_chain = (void *)exec_leave_chain;
    v->leave_request = (void *)exec_leave_request;
    v->leave_stale = (void *)exec_leave_stale;
}
