/*
 * Hyper-V's interface for guests: what is offered, events that are eventfds, and what the program has to do. The work
 * is the engine's (cpu/insn/hyperv.c).
 */
#include "kvmapi/hyperv.h"

#include "kvmapi/eventfd.h"
#include "kvmapi/irqchip.h"
#include "kvmapi/paravirt.h"
#include "x86/hyperv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VENDOR .ebx = 0x756e694c, .ecx = 0x564b2078, .edx = 0x7648204d /* "Linux KVM Hv" */
#define DEBUG_INTERFACE 0x31235356u                                    /* "VS#1" */
#define WINDOWS_BUILD 0x3839u                                          /* of Windows Server 2016 */
#define WINDOWS_VERSION (10u << 16)
#define LOGICAL_CPUS_MAX 64

/* What is not here is not offered; of what KVM has, those are enlightened VMCSs. */
static const struct kvm_cpuid_entry2 leaves[] = {
    {.function = HYPERV_LEAF_VENDOR, .eax = HYPERV_LEAF_DEBUG_ABILITIES, VENDOR},
    {.function = HYPERV_LEAF_INTERFACE, .eax = HYPERV_INTERFACE},
    {.function = HYPERV_LEAF_VERSION, .eax = WINDOWS_BUILD, .ebx = WINDOWS_VERSION},
    {.function = HYPERV_LEAF_FEATURES,
     .eax = HYPERV_HAS_RUNTIME | HYPERV_HAS_REFERENCE_COUNT | HYPERV_HAS_SYNIC | HYPERV_HAS_TIMERS | HYPERV_HAS_APIC |
            HYPERV_HAS_HYPERCALL | HYPERV_HAS_VP_INDEX | HYPERV_HAS_RESET | HYPERV_HAS_REFERENCE_TSC |
            HYPERV_HAS_FREQUENCIES | HYPERV_HAS_REENLIGHTENMENT,
     .ebx = HYPERV_MAY_POST | HYPERV_MAY_SIGNAL | HYPERV_MAY_DEBUG,
     .edx = HYPERV_HAS_DEBUGGING | HYPERV_HAS_DEBUG_MSRS | HYPERV_HAS_XMM_INPUT | HYPERV_HAS_FREQUENCY_MSRS |
            HYPERV_HAS_CRASH | HYPERV_HAS_DIRECT_TIMERS},
    {.function = HYPERV_LEAF_RECOMMENDED,
     .eax = HYPERV_USE_TLB_FLUSH | HYPERV_USE_APIC_MSRS | HYPERV_USE_RELAXED_TIMING | HYPERV_NO_AUTO_EOI |
            HYPERV_USE_IPI | HYPERV_USE_SPARSE_SETS,
     .ebx = HYPERV_SPIN_DEFAULT},
    {.function = HYPERV_LEAF_LIMITS, .eax = API_VCPUS_MAX, .ebx = LOGICAL_CPUS_MAX},
    {.function = HYPERV_LEAF_NESTED, .eax = HYPERV_MSR_BITMAP},
    {.function = HYPERV_LEAF_DEBUG_VENDOR, VENDOR},
    {.function = HYPERV_LEAF_DEBUG_INTERFACE, .eax = DEBUG_INTERFACE},
    {.function = HYPERV_LEAF_DEBUG_ABILITIES, .eax = HYPERV_KERNEL_DEBUGGING},
};

/* Without SMT no two vCPUs share a core of the host. */
static bool has_smt(void)
{
    char text[16] = "";
    FILE *f = fopen("/sys/devices/system/cpu/smt/control", "re");
    if (!f)
        return true;
    bool known = fgets(text, sizeof(text), f) != NULL;
    fclose(f);
    return !known || (strncmp(text, "notsupported", 12) && strncmp(text, "forceoff", 8));
}

static long hv_cpuid(struct api_arg *arg, bool apics)
{
    struct kvm_cpuid2 *head = arg->data;
    if (head->nent < ARRAY_LEN(leaves))
        return -E2BIG;
    head->nent = ARRAY_LEN(leaves);
    for (u32 i = 0; i < ARRAY_LEN(leaves); i++) {
        struct kvm_cpuid_entry2 e = leaves[i];
        if (e.function == HYPERV_LEAF_FEATURES && !apics)
            e.edx &= ~HYPERV_HAS_DIRECT_TIMERS;
        if (e.function == HYPERV_LEAF_RECOMMENDED && !apics)
            e.eax &= ~HYPERV_USE_IPI;
        if (e.function == HYPERV_LEAF_RECOMMENDED && !has_smt())
            e.eax |= HYPERV_NO_CORE_SHARING;
        if (user_write(arg->value + sizeof(*head) + i * sizeof(e), &e, sizeof(e)))
            return -EFAULT;
    }
    return 0;
}

static long get_system_cpuid(struct api_arg *arg)
{
    return hv_cpuid(arg, true);
}

static long get_vcpu_cpuid(struct api_vcpu *v, struct api_arg *arg)
{
    return hv_cpuid(arg, irqchip_exists(v->vm->chips));
}

/* -- events -- */

struct hyperv_event {
    u32 connection;
    struct event_fd event;
    struct hyperv_event *next;
};

/* Changed with the VM's lock held; read by vCPUs with `lock`. */
struct hyperv_events {
    pthread_mutex_t lock;
    struct hyperv_event *first;
};

static struct hyperv_event **event_find(struct hyperv_events *e, u64 connection)
{
    struct hyperv_event **p = &e->first;
    while (*p && (*p)->connection != connection)
        p = &(*p)->next;
    return p;
}

static long event_remove(struct hyperv_events *e, u32 connection)
{
    pthread_mutex_lock(&e->lock);
    struct hyperv_event **p = event_find(e, connection), *gone = *p;
    if (gone)
        *p = gone->next;
    pthread_mutex_unlock(&e->lock);
    if (!gone)
        return -ENOENT;
    eventfd_close(&gone->event);
    free(gone);
    return 0;
}

static long event_add(struct hyperv_events *e, u32 connection, int fd)
{
    struct hyperv_event *new = calloc(1, sizeof(*new));
    if (!new)
        return -ENOMEM;
    new->connection = connection;
    long r = eventfd_copy(&new->event, fd);
    pthread_mutex_lock(&e->lock);
    if (!r && *event_find(e, connection)) {
        r = -EEXIST;
    } else if (!r) {
        new->next = e->first;
        e->first = new;
    }
    pthread_mutex_unlock(&e->lock);
    if (r) {
        eventfd_close(&new->event);
        free(new);
    }
    return r;
}

static long hyperv_eventfd(struct api_vm *vm, struct api_arg *arg)
{
    const struct kvm_hyperv_eventfd *k = arg->data;
    if (k->flags & ~(u32)KVM_HYPERV_EVENTFD_DEASSIGN || k->conn_id & ~(u32)KVM_HYPERV_CONN_ID_MASK)
        return -EINVAL;
    if (k->flags & KVM_HYPERV_EVENTFD_DEASSIGN)
        return event_remove(vm->hyperv_events, k->conn_id);
    return event_add(vm->hyperv_events, k->conn_id, k->fd);
}

#define FLAG_NUMBER 0xffff00000000ull /* of the parameter; here only flag 0 is known */

/* The guest signals an event. Returns the status; HYPERV_INVALID_CONNECTION if the program may know the connection. */
static u64 event_signal(struct api_vcpu *v, const struct cpu_exit_hyperv *h)
{
    struct hyperv_events *e = v->vm->hyperv_events;
    u64 connection = h->param[0];
    if (!(h->input & HYPERV_CALL_FAST) &&
        (connection & 7 || !ram_read(v->vm->machine.ram, GPA(connection), &connection, sizeof(connection))))
        return HYPERV_INVALID_ALIGNMENT;
    if (connection & FLAG_NUMBER)
        return HYPERV_INVALID_CONNECTION;
    if (connection & ~(u64)KVM_HYPERV_CONN_ID_MASK)
        return HYPERV_INVALID_INPUT;
    pthread_mutex_lock(&e->lock);
    const struct hyperv_event *event = *event_find(e, connection);
    if (event)
        eventfd_signal(&event->event);
    pthread_mutex_unlock(&e->lock);
    return event ? HYPERV_SUCCESS : HYPERV_INVALID_CONNECTION;
}

/* -- what the program has to do -- */

static long call_exit(struct api_vcpu *v, const struct cpu_exit_hyperv *h)
{
    u64 status = HYPERV_INVALID_CONNECTION;
    if (HYPERV_CALL_CODE(h->input) == HYPERV_CALL_SIGNAL_EVENT)
        status = event_signal(v, h);
    if (status == HYPERV_INVALID_CONNECTION && !v->pv->synic)
        status = HYPERV_INVALID_INPUT;
    if (status != HYPERV_INVALID_CONNECTION) {
        cpu_hyperv_finish(v->cpu, status);
        return 1;
    }
    struct kvm_hyperv_exit *x = &v->run->hyperv;
    v->run->exit_reason = KVM_EXIT_HYPERV;
    *x = (struct kvm_hyperv_exit){.type = KVM_EXIT_HYPERV_HCALL};
    x->u.hcall.input = h->input;
    x->u.hcall.params[0] = h->param[0];
    x->u.hcall.params[1] = h->param[1];
    v->pv->hyperv = true;
    return 0;
}

static long system_event(struct api_vcpu *v, u32 type)
{
    v->run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
    v->run->system_event.type = type;
    v->run->system_event.ndata = 0;
    return 0;
}

static long debug_exit_fill(struct api_vcpu *v, const struct cpu_exit_hyperv *h)
{
    struct kvm_hyperv_exit *x = &v->run->hyperv;
    v->run->exit_reason = KVM_EXIT_HYPERV;
    *x = (struct kvm_hyperv_exit){.type = KVM_EXIT_HYPERV_SYNDBG};
    x->u.syndbg.msr = h->msr;
    x->u.syndbg.control = h->control;
    x->u.syndbg.send_page = h->send;
    x->u.syndbg.recv_page = h->receive;
    x->u.syndbg.pending_page = h->pending;
    v->pv->debug = h->msr == MSR_HYPERV_DEBUG_CONTROL;
    return 0;
}

long hyperv_exit(struct api_vcpu *v)
{
    const struct cpu_exit_hyperv *h = cpu_hyperv(v->cpu);
    struct kvm_hyperv_exit *x = &v->run->hyperv;
    switch (h->kind) {
    case CPU_HYPERV_CALL: return call_exit(v, h);
    case CPU_HYPERV_CRASH: return system_event(v, KVM_SYSTEM_EVENT_CRASH);
    case CPU_HYPERV_RESET: return system_event(v, KVM_SYSTEM_EVENT_RESET);
    case CPU_HYPERV_DEBUG: return debug_exit_fill(v, h);
    case CPU_HYPERV_SYNIC: break;
    }
    v->run->exit_reason = KVM_EXIT_HYPERV;
    *x = (struct kvm_hyperv_exit){.type = KVM_EXIT_HYPERV_SYNIC};
    x->u.synic.msr = h->msr;
    x->u.synic.control = h->scontrol;
    x->u.synic.evt_page = h->siefp;
    x->u.synic.msg_page = h->simp;
    return 0;
}

/* -- capabilities -- */

static long enable_synic(struct api_vcpu *v, const struct kvm_enable_cap *cap)
{
    bool keeps = cap->cap == KVM_CAP_HYPERV_SYNIC2;
    if ((keeps && cap->args[0]) || !irqchip_exists(v->vm->chips))
        return -EINVAL;
    cpu_hyperv_synic(v->cpu, keeps);
    v->pv->synic = true;
    return 0;
}

static long enable_enforcing(struct api_vcpu *v, const struct kvm_enable_cap *cap)
{
    cpu_hyperv_enforce(v->cpu, cap->args[0]);
    return 0;
}

static int vm_create(struct api_vm *vm)
{
    vm->hyperv_events = calloc(1, sizeof(*vm->hyperv_events));
    if (!vm->hyperv_events)
        return -ENOMEM;
    pthread_mutex_init(&vm->hyperv_events->lock, NULL);
    return 0;
}

static void vm_destroy(struct api_vm *vm)
{
    struct hyperv_events *e = vm->hyperv_events;
    while (e && e->first)
        if (event_remove(e, e->first->connection))
            break;
    if (e)
        pthread_mutex_destroy(&e->lock);
    free(e);
}

static const struct api_ioctl ioctls[] = {
    API_SYSTEM(KVM_GET_SUPPORTED_HV_CPUID, get_system_cpuid),
    API_VCPU(KVM_GET_SUPPORTED_HV_CPUID, get_vcpu_cpuid),
    API_VM(KVM_HYPERV_EVENTFD, hyperv_eventfd),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_HYPERV, 1),
    API_CAP(KVM_CAP_HYPERV_VAPIC, 1),
    API_CAP(KVM_CAP_HYPERV_SPIN, 1),
    API_CAP(KVM_CAP_HYPERV_TIME, 1),
    API_CAP(KVM_CAP_HYPERV_SYNIC, 1, .enable_vcpu = enable_synic),
    API_CAP(KVM_CAP_HYPERV_SYNIC2, 1, .enable_vcpu = enable_synic),
    API_CAP(KVM_CAP_HYPERV_VP_INDEX, 1),
    API_CAP(KVM_CAP_HYPERV_EVENTFD, 1),
    API_CAP(KVM_CAP_HYPERV_TLBFLUSH, 1),
    API_CAP(KVM_CAP_HYPERV_SEND_IPI, 1),
    API_CAP(KVM_CAP_HYPERV_CPUID, 1),
    API_CAP(KVM_CAP_SYS_HYPERV_CPUID, 1),
    API_CAP(KVM_CAP_HYPERV_ENFORCE_CPUID, 1, .enable_vcpu = enable_enforcing),
    {0},
};

const struct api_part hyperv_part = {
    .name = "hyperv", .ioctls = ioctls, .caps = caps, .vm_create = vm_create, .vm_destroy = vm_destroy};
