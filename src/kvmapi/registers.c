/*
 * Registers of a vCPU by the API's structs, one pair of functions for each struct. What the kernel takes and the CPU
 * cannot have, as reserved bits of DR6, is put right here. On any thread, with vcpu.mutex held.
 */
#include "kvmapi/registers.h"

#include "accel/kvm_convert.h"
#include "kvmapi/interrupts.h"
#include "kvmapi/irqchip.h"
#include "kvmapi/signals.h"
#include "x86/regs.h"
#include "x86/xsave.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int api_state_set(struct api_vcpu *v, const struct cpu_state *state, u64 given)
{
    const char *bad;
    int e = cpu_state_set(v->cpu, state, given, &bad);
    if (e)
        api_trace(API_TRACE_UNKNOWN, "vCPU %u: refused: %s", v->id, bad);
    return e;
}

struct cpu_state *registers_state(struct api_vcpu *v, u64 wanted)
{
    struct cpu_state *s = aligned_alloc(64, sizeof(*s));
    if (!s)
        return NULL;
    s->msrs = 0;
    cpu_state_get(v->cpu, s, wanted);
    return s;
}

int registers_store(struct api_vcpu *v, struct cpu_state *s, u64 given)
{
    int e = api_state_set(v, s, given);
    free(s);
    return e;
}

static bool payloads(const struct api_vcpu *v)
{
    return api_enabled(v->vm, KVM_CAP_EXCEPTION_PAYLOAD);
}

/* -- general registers -- */

static long get_regs(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = registers_state(v, STATE_GPRS);
    if (!s)
        return -ENOMEM;
    regs_to_kvm(s, arg->data);
    free(s);
    return 0;
}

/* An exception that was about to come up is forgotten, as by the kernel. */
static long set_regs(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = registers_state(v, STATE_GPRS | STATE_EVENTS);
    if (!s)
        return -ENOMEM;
    u64 rip = s->rip;
    regs_from_kvm(arg->data, s);
    s->rflags = (s->rflags & FLAGS_DEFINED) | FLAG_ONE;
    s->events.raised = (struct event){0};
    s->events.trap_pending = false;
    s->events.trap_dr6 = 0;
    if (s->rip != rip) {
        queue_forget(&v->queue);
        v->msr.state = API_MSR_NONE;
    }
    return registers_store(v, s, STATE_GPRS | STATE_EVENTS);
}

/* -- segments and control registers -- */

static long get_sregs2(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = registers_state(v, STATE_SEGMENTS | STATE_CONTROL);
    if (!s)
        return -ENOMEM;
    sregs_to_kvm(s, arg->data);
    free(s);
    return 0;
}

static long sregs_store(struct api_vcpu *v, const struct kvm_sregs2 *k, u64 injected[4])
{
    struct cpu_state *s = registers_state(v, STATE_GPRS | STATE_SEGMENTS | STATE_CONTROL | STATE_EVENTS);
    u64 groups = STATE_SEGMENTS | STATE_CONTROL;
    bool active = k->cr0 & CR0_PG && k->efer & EFER_LME;
    bool pae = k->cr0 & CR0_PG && k->cr4 & CR4_PAE && !active;
    if (!s)
        return -ENOMEM;
    if ((k->cs.l && !active) || k->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID ||
        (k->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID && !pae)) {
        free(s);
        return -EINVAL;
    }
    sregs_from_kvm(k, s);
    s->cr0 |= CR0_ET;
    s->cr8 &= 15;
    if (!(s->cr0 & CR0_PE))
        s->cpl = 0;
    else if (s->rflags & FLAG_VM)
        s->cpl = 3;
    for (unsigned i = 0; injected && i < 256; i++) {
        if (!(injected[i / 64] >> (i % 64) & 1))
            continue;
        const struct cpu_events was = s->events;
        s->events.injected = (struct event){.valid = true, .type = EVENT_EXTINT, .vector = (u8)i};
        lapic_events_given(v, &was, &s->events);
        groups |= STATE_EVENTS;
        break;
    }
    return registers_store(v, s, groups);
}

static long set_sregs2(struct api_vcpu *v, struct api_arg *arg)
{
    return sregs_store(v, arg->data, NULL);
}

static long get_sregs(struct api_vcpu *v, struct api_arg *arg)
{
    struct kvm_sregs2 k;
    struct kvm_sregs *old = arg->data;
    struct cpu_state *s = registers_state(v, STATE_SEGMENTS | STATE_CONTROL | STATE_EVENTS);
    if (!s)
        return -ENOMEM;
    sregs_to_kvm(s, &k);
    sregs_to_old(&k, old);
    const struct event *e = &s->events.injected;
    if (e->valid && e->type == EVENT_EXTINT)
        old->interrupt_bitmap[e->vector / 64] |= BIT64(e->vector % 64);
    free(s);
    return 0;
}

static long set_sregs(struct api_vcpu *v, struct api_arg *arg)
{
    struct kvm_sregs *old = arg->data;
    struct kvm_sregs2 k;
    u64 injected[4];
    sregs_from_old(old, &k);
    memcpy(injected, old->interrupt_bitmap, sizeof(injected));
    return sregs_store(v, &k, injected);
}

static long get_debugregs(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = registers_state(v, STATE_DEBUG);
    if (!s)
        return -ENOMEM;
    debugregs_to_kvm(s, arg->data);
    free(s);
    return 0;
}

static long set_debugregs(struct api_vcpu *v, struct api_arg *arg)
{
    const struct kvm_debugregs *k = arg->data;
    if (k->flags || k->dr6 >> 32 || k->dr7 >> 32)
        return -EINVAL;
    struct cpu_state *s = registers_state(v, STATE_DEBUG);
    if (!s)
        return -ENOMEM;
    debugregs_from_kvm(k, s);
    s->dr6 = (s->dr6 & DR6_WRITABLE) | DR6_FIXED;
    s->dr7 = (s->dr7 & ~(u64)DR7_ZERO) | DR7_FIXED;
    return registers_store(v, s, STATE_DEBUG);
}

/* -- x87, SSE, AVX -- */

static long get_xsave(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = registers_state(v, STATE_VECTORS);
    if (!s)
        return -ENOMEM;
    _Static_assert(sizeof(struct kvm_xsave) == STATE_XSAVE_SIZE, "one size");
    memcpy(arg->data, s->xsave, sizeof(s->xsave));
    free(s);
    return 0;
}

static long set_xsave(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = registers_state(v, STATE_VECTORS);
    if (!s)
        return -ENOMEM;
    memcpy(s->xsave, arg->data, sizeof(s->xsave));
    return registers_store(v, s, STATE_VECTORS);
}

static long get_xcrs(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = registers_state(v, STATE_VECTORS);
    if (!s)
        return -ENOMEM;
    *(struct kvm_xcrs *)arg->data = (struct kvm_xcrs){.nr_xcrs = 1, .xcrs[0] = {.xcr = 0, .value = s->xcr0}};
    free(s);
    return 0;
}

static long set_xcrs(struct api_vcpu *v, struct api_arg *arg)
{
    const struct kvm_xcrs *k = arg->data;
    if (k->flags || k->nr_xcrs > KVM_MAX_XCRS)
        return -EINVAL;
    struct cpu_state *s = registers_state(v, STATE_VECTORS);
    if (!s)
        return -ENOMEM;
    for (u32 i = 0; i < k->nr_xcrs; i++)
        if (k->xcrs[i].xcr == 0)
            s->xcr0 = k->xcrs[i].value;
    return registers_store(v, s, STATE_VECTORS);
}

/* struct kvm_fpu is an FXSAVE image in another order; these are the latter's offsets. */
static void fpu_copy(u8 *image, struct kvm_fpu *k, bool to_image)
{
    const struct {
        unsigned offset;
        void *field;
        size_t size;
    } parts[] = {{0, &k->fcw, 2},
                 {2, &k->fsw, 2},
                 {4, &k->ftwx, 1},
                 {6, &k->last_opcode, 2},
                 {8, &k->last_ip, 8},
                 {16, &k->last_dp, 8},
                 {24, &k->mxcsr, 4},
                 {32, k->fpr, sizeof(k->fpr)},
                 {160, k->xmm, sizeof(k->xmm)}};
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        if (to_image)
            memcpy(image + parts[i].offset, parts[i].field, parts[i].size);
        else
            memcpy(parts[i].field, image + parts[i].offset, parts[i].size);
    }
}

static long get_fpu(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = registers_state(v, STATE_VECTORS);
    if (!s)
        return -ENOMEM;
    memset(arg->data, 0, sizeof(struct kvm_fpu));
    fpu_copy(s->xsave, arg->data, false);
    free(s);
    return 0;
}

static long set_fpu(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = registers_state(v, STATE_VECTORS);
    if (!s)
        return -ENOMEM;
    fpu_copy(s->xsave, arg->data, true);
    s->xsave[XSTATE_BV] |= XCR0_X87 | XCR0_SSE;
    return registers_store(v, s, STATE_VECTORS);
}

/* -- events -- */

/* Without payloads an exception that waits is shown as one whose CR2 or DR6 is set already. */
static void payload_apply(struct cpu_state *s)
{
    struct cpu_events *e = &s->events;
    if (e->raised.valid && e->raised.vector == EXC_PF)
        s->cr2 = e->raised.payload;
    else if (e->raised.valid && e->raised.vector == EXC_DB)
        s->dr6 |= e->raised.payload & DR6_WRITABLE;
    else if (e->trap_pending)
        s->dr6 |= e->trap_dr6;
}

static long get_events(struct api_vcpu *v, struct api_arg *arg)
{
    const u64 groups = STATE_EVENTS | STATE_CONTROL | STATE_DEBUG;
    struct kvm_vcpu_events *k = arg->data;
    struct cpu_state *s = registers_state(v, groups);
    if (!s)
        return -ENOMEM;
    lapic_events_shown(v, &s->events);
    events_to_kvm(&s->events, payloads(v), k);
    k->flags &= ~(u32)KVM_VCPUEVENT_VALID_SIPI_VECTOR;
    k->sipi_vector = 0;
    if (api_enabled(v->vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT)) {
        k->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
        k->triple_fault.pending = s->events.triple_fault;
    }
    if (!payloads(v) && (s->events.raised.valid || s->events.trap_pending)) {
        payload_apply(s);
        return registers_store(v, s, STATE_CONTROL | STATE_DEBUG);
    }
    free(s);
    return 0;
}

#define EVENTS_KNOWN                                                                                                   \
    (KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR | KVM_VCPUEVENT_VALID_SHADOW |                  \
     KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT)

/* The payload's meaning depends on a flag, and what no flag makes valid stays as it was. */
static int events_check(const struct api_vcpu *v, struct kvm_vcpu_events *k, const struct cpu_state *now)
{
    if (k->flags & ~EVENTS_KNOWN || (k->flags & KVM_VCPUEVENT_VALID_PAYLOAD && !payloads(v)) ||
        (k->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT && !api_enabled(v->vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT)))
        return -EINVAL;
    if (!(k->flags & KVM_VCPUEVENT_VALID_PAYLOAD))
        k->exception.pending = k->exception_has_payload = 0;
    else if (k->exception.pending)
        k->exception.injected = 0;
    else
        k->exception_has_payload = 0;
    if ((k->exception.injected || k->exception.pending) && (k->exception.nr > 31 || k->exception.nr == EXC_NMI))
        return -EINVAL;
    if (k->flags & KVM_VCPUEVENT_VALID_SMM && (k->smi.smm || k->smi.pending) && now->activity == ACTIVITY_WAIT_SIPI)
        return -EINVAL;
    return 0;
}

static long set_events(struct api_vcpu *v, struct api_arg *arg)
{
    struct kvm_vcpu_events *k = arg->data;
    struct cpu_state *s = registers_state(v, STATE_EVENTS | STATE_CONTROL | STATE_ACTIVITY);
    if (!s)
        return -ENOMEM;
    const struct cpu_events was = s->events;
    int e = events_check(v, k, s);
    if (e) {
        free(s);
        return e;
    }
    events_from_kvm(k, &s->events);
    struct cpu_events *now = &s->events;
    if (now->injected.valid && now->injected.type == EVENT_EXCEPTION && now->injected.vector == EXC_PF)
        now->injected.payload = s->cr2;
    if (now->raised.valid && now->raised.vector == EXC_PF && !k->exception_has_payload)
        now->raised.payload = s->cr2;
    lapic_events_given(v, &was, now);
    now->sipi_pending = was.sipi_pending;
    now->triple_fault = was.triple_fault;
    now->ferr = was.ferr;
    if (!(k->flags & KVM_VCPUEVENT_VALID_NMI_PENDING))
        now->nmi_pending = was.nmi_pending;
    if (!(k->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR))
        now->sipi_vector = was.sipi_vector;
    if (!(k->flags & KVM_VCPUEVENT_VALID_SHADOW))
        now->shadow = was.shadow;
    if (!(k->flags & KVM_VCPUEVENT_VALID_SMM)) {
        now->smi_pending = was.smi_pending;
        now->smm = was.smm;
        now->smm_nmi_blocked = was.smm_nmi_blocked;
        now->init_pending = was.init_pending;
    }
    if (k->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT)
        now->triple_fault = k->triple_fault.pending;
    return registers_store(v, s, STATE_EVENTS);
}

/* -- activity -- */

static long get_mp_state(struct api_vcpu *v, struct api_arg *arg)
{
    struct kvm_mp_state *k = arg->data;
    struct cpu_state *s = registers_state(v, STATE_EVENTS | STATE_ACTIVITY);
    if (!s)
        return -ENOMEM;
    k->mp_state = mp_state_to_kvm(s);
    if (k->mp_state == KVM_MP_STATE_INIT_RECEIVED && !v->exits)
        k->mp_state = KVM_MP_STATE_UNINITIALIZED;
    free(s);
    return 0;
}

static long set_mp_state(struct api_vcpu *v, struct api_arg *arg)
{
    u32 state = ((const struct kvm_mp_state *)arg->data)->mp_state;
    if (state > KVM_MP_STATE_SIPI_RECEIVED || (state != KVM_MP_STATE_RUNNABLE && v->vm->chips->kind == IRQCHIP_NONE))
        return -EINVAL;
    struct cpu_state *s = registers_state(v, STATE_EVENTS | STATE_ACTIVITY);
    if (!s)
        return -ENOMEM;
    if (s->events.smi_pending && (state == KVM_MP_STATE_INIT_RECEIVED || state == KVM_MP_STATE_SIPI_RECEIVED)) {
        free(s);
        return -EINVAL;
    }
    mp_state_from_kvm(state, s);
    return registers_store(v, s, STATE_EVENTS | STATE_ACTIVITY);
}

struct translation {
    struct vcpu *cpu;
    struct kvm_translation *k;
};

static void translate_now(void *opaque)
{
    struct translation *t = opaque;
    t->k->valid = cpu_translate(t->cpu, t->k->linear_address, (u64 *)&t->k->physical_address);
}

static long translate(struct api_vcpu *v, struct api_arg *arg)
{
    struct kvm_translation *k = arg->data;
    if (!signals_try(translate_now, &(struct translation){v->cpu, k}))
        k->valid = 0;
    if (!k->valid)
        k->physical_address = ~0ull;
    k->writeable = 1;
    k->usermode = 0;
    return 0;
}

/* -- registers in kvm_run -- */

/* In the order in which they are set. */
static const struct {
    u64 bit;
    size_t offset;
    api_vcpu_handler *get, *set;
} synced[] = {
    {KVM_SYNC_X86_REGS, offsetof(struct kvm_sync_regs, regs), get_regs, set_regs},
    {KVM_SYNC_X86_SREGS, offsetof(struct kvm_sync_regs, sregs), get_sregs, set_sregs},
    {KVM_SYNC_X86_EVENTS, offsetof(struct kvm_sync_regs, events), get_events, set_events},
};

long registers_sync_in(struct api_vcpu *v)
{
    struct kvm_run *run = v->run;
    if ((run->kvm_valid_regs | run->kvm_dirty_regs) & ~KVM_SYNC_X86_VALID_FIELDS)
        return -EINVAL;
    for (unsigned i = 0; run->kvm_dirty_regs && i < ARRAY_LEN(synced); i++) {
        struct api_arg arg = {.data = (char *)&run->s.regs + synced[i].offset};
        if (!(run->kvm_dirty_regs & synced[i].bit))
            continue;
        if (synced[i].set(v, &arg))
            return -EINVAL;
        run->kvm_dirty_regs &= ~synced[i].bit;
    }
    return 0;
}

void registers_sync_out(struct api_vcpu *v)
{
    struct kvm_run *run = v->run;
    for (unsigned i = 0; run->kvm_valid_regs && i < ARRAY_LEN(synced); i++) {
        struct api_arg arg = {.data = (char *)&run->s.regs + synced[i].offset};
        if (run->kvm_valid_regs & synced[i].bit)
            synced[i].get(v, &arg);
    }
}

/* -- rows -- */

static long enable_flag(struct api_vm *vm, const struct kvm_enable_cap *cap)
{
    return 0;
}

static const struct api_ioctl ioctls[] = {
    API_VCPU(KVM_GET_REGS, get_regs),
    API_VCPU(KVM_SET_REGS, set_regs),
    API_VCPU(KVM_GET_SREGS, get_sregs),
    API_VCPU(KVM_SET_SREGS, set_sregs),
    API_VCPU(KVM_GET_SREGS2, get_sregs2),
    API_VCPU(KVM_SET_SREGS2, set_sregs2),
    API_VCPU(KVM_GET_DEBUGREGS, get_debugregs),
    API_VCPU(KVM_SET_DEBUGREGS, set_debugregs),
    API_VCPU(KVM_GET_XSAVE, get_xsave),
    API_VCPU(KVM_GET_XSAVE2, get_xsave),
    API_VCPU(KVM_SET_XSAVE, set_xsave),
    API_VCPU(KVM_GET_XCRS, get_xcrs),
    API_VCPU(KVM_SET_XCRS, set_xcrs),
    API_VCPU(KVM_GET_FPU, get_fpu),
    API_VCPU(KVM_SET_FPU, set_fpu),
    API_VCPU(KVM_GET_VCPU_EVENTS, get_events),
    API_VCPU(KVM_SET_VCPU_EVENTS, set_events),
    API_VCPU(KVM_GET_MP_STATE, get_mp_state),
    API_VCPU(KVM_SET_MP_STATE, set_mp_state),
    API_VCPU(KVM_TRANSLATE, translate),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_SREGS2, 1),
    API_CAP(KVM_CAP_DEBUGREGS, 1),
    API_CAP(KVM_CAP_XSAVE, 1),
    API_CAP(KVM_CAP_XSAVE2, STATE_XSAVE_SIZE),
    API_CAP(KVM_CAP_XCRS, 1),
    API_CAP(KVM_CAP_VCPU_EVENTS, 1),
    API_CAP(KVM_CAP_INTR_SHADOW, 1),
    API_CAP(KVM_CAP_EXCEPTION_PAYLOAD, 1, .enable_vm = enable_flag),
    API_CAP(KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1, .enable_vm = enable_flag),
    API_CAP(KVM_CAP_MP_STATE, 1),
    API_CAP(KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS),
    {0},
};

const struct api_part registers_part = {.name = "registers", .ioctls = ioctls, .caps = caps};
