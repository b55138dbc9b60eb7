/*
 * The exclusive section: see exclusive.h. vm.exclusive names its owner; vcpu.running says who may be in translated
 * code. Either side stores its own word and then reads the other's, so at least one of them sees the other.
 */
#include "cpu/core/exclusive.h"

#include "cpu/core/spin.h"

void run_begin(struct vcpu *v)
{
    struct vm *vm = v->vm;
    u32 spins = 0;
    for (;;) {
        __atomic_store_n(&v->running, 1, __ATOMIC_SEQ_CST);
        u32 owner = __atomic_load_n(&vm->exclusive, __ATOMIC_SEQ_CST);
        if (!owner || owner == v->index + 1)
            return;
        __atomic_store_n(&v->running, 0, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&vm->exclusive, __ATOMIC_RELAXED))
            relax(&spins);
    }
}

void run_end(struct vcpu *v)
{
    __atomic_store_n(&v->running, 0, __ATOMIC_SEQ_CST);
}

void park(struct vcpu *v)
{
    __atomic_fetch_and(&v->request, ~REQ_EXCLUSIVE, __ATOMIC_SEQ_CST);
    run_end(v);
    run_begin(v);
}

/* vm.exclusive of a thread that runs no vCPU. */
#define OUTSIDE (~0u)

static bool claim(struct vm *vm, u32 owner)
{
    u32 none = 0;
    return __atomic_compare_exchange_n(&vm->exclusive, &none, owner, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Waits until no vCPU but `me`, which may be NULL, can be in translated code. */
static void wait_for_others(struct vm *vm, const struct vcpu *me)
{
    u32 spins = 0;
    for (u32 i = 0; i < vm->vcpu_count; i++) {
        struct vcpu *o = vm->vcpu[i];
        if (o == me)
            continue;
        request_add(o, REQ_EXCLUSIVE);
        while (__atomic_load_n(&o->running, __ATOMIC_SEQ_CST))
            relax(&spins);
    }
}

bool exclusive_begin(struct vcpu *v)
{
    bool parked = false;
    while (!claim(v->vm, v->index + 1)) {
        parked = true;
        park(v);
    }
    wait_for_others(v->vm, v);
    return parked;
}

void exclusive_end(struct vcpu *v)
{
    __atomic_store_n(&v->vm->exclusive, 0, __ATOMIC_SEQ_CST);
}

void exclusive_begin_outside(struct vm *vm)
{
    u32 spins = 0;
    while (!claim(vm, OUTSIDE))
        relax(&spins);
    wait_for_others(vm, NULL);
}

void exclusive_end_outside(struct vm *vm)
{
    __atomic_store_n(&vm->exclusive, 0, __ATOMIC_SEQ_CST);
}
