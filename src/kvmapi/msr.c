/*
 * MSRs by the API: lists, reading and writing, machine checks, the filter, and accesses of the guest that the program
 * handles. The engine asks msr_asked about an access if there is a filter, or if the program wants to see those that
 * fail; the answer of the program comes when it calls KVM_RUN again, and the instruction then asks a second time.
 *
 * The filter is replaced as a whole. A vCPU that runs may use the one before for as long as one access takes, so that
 * one is freed with the VM.
 */
#include "kvmapi/msr.h"

#include "kvmapi/cpuid.h"
#include "kvmapi/registers.h"
#include "kvmapi/run.h"
#include "kvmapi/tsc.h"
#include "x86/msr.h"
#include "x86/vmcs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MSRS_MAX 256 /* in one call, as the kernel has it */
#define LIST_MAX 512
#define MCE_BANKS 32 /* as in the kernel */

/* -- lists -- */

static u32 numbers(const struct cpu_features *f, u32 *list)
{
    u32 n = cpu_msr_numbers(f, list, LIST_MAX - 1);
    if (features_have(f, FEATURE_VMX))
        list[n++] = MSR_VMX_VMFUNC;
    return n;
}

static bool is_feature(const struct cpu_features *f, u32 msr)
{
    u64 value;
    return cpu_msr_feature(f, msr, &value);
}

static long list_give(const u32 *list, u32 count, struct api_arg *arg)
{
    struct kvm_msr_list *head = arg->data;
    u32 room = head->nmsrs;
    head->nmsrs = count;
    if (user_write(arg->value, head, sizeof(*head)))
        return -EFAULT;
    if (room < count)
        return -E2BIG;
    return user_write(arg->value + sizeof(*head), list, count * sizeof(*list));
}

static long get_index_list(struct api_arg *arg)
{
    struct cpu_features f;
    u32 list[LIST_MAX];
    if (cpuid_offered(&f))
        return -EINVAL;
    return list_give(list, numbers(&f, list), arg);
}

static long get_feature_list(struct api_arg *arg)
{
    struct cpu_features f;
    u32 list[LIST_MAX], count = 0;
    if (cpuid_offered(&f))
        return -EINVAL;
    u32 n = numbers(&f, list);
    for (u32 i = 0; i < n; i++)
        if (is_feature(&f, list[i]))
            list[count++] = list[i];
    return list_give(list, count, arg);
}

/* -- reading and writing -- */

typedef bool entry_handler(void *opaque, u32 msr, u64 *value);

/* Calls the handler for each entry in turn, until one fails. Returns how many did not fail. */
static long entries(struct api_arg *arg, entry_handler *handler, void *opaque, bool give)
{
    const struct kvm_msrs *head = arg->data;
    u32 i;
    if (head->nmsrs >= MSRS_MAX)
        return -E2BIG;
    for (i = 0; i < head->nmsrs; i++) {
        struct kvm_msr_entry e;
        u64 at = arg->value + sizeof(*head) + i * sizeof(e), value;
        if (user_read(&e, at, sizeof(e)))
            return -EFAULT;
        value = e.data;
        if (!handler(opaque, e.index, &value))
            break;
        e.data = value;
        if (give && user_write(at, &e, sizeof(e)))
            return -EFAULT;
    }
    return i;
}

static bool feature_read(void *opaque, u32 msr, u64 *value)
{
    return cpu_msr_feature(opaque, msr, value);
}

static long get_feature_msrs(struct api_arg *arg)
{
    struct cpu_features f;
    if (cpuid_offered(&f))
        return -EINVAL;
    return entries(arg, feature_read, &f, true);
}

static bool vmfunc(const struct api_vcpu *v, u32 msr)
{
    return msr == MSR_VMX_VMFUNC && features_have(&v->features, FEATURE_VMX);
}

static struct cpu_features offered;
static u32 listed[LIST_MAX], listed_count;
static pthread_once_t listed_once = PTHREAD_ONCE_INIT;

static void listed_fill(void)
{
    if (!cpuid_offered(&offered))
        listed_count = numbers(&offered, listed);
}

/* One that KVM_GET_MSR_INDEX_LIST gives, and that this vCPU's CPUID hides, can be read as 0 and written; one of
 * features with no more than is offered. */
static bool hidden(u32 msr)
{
    pthread_once(&listed_once, listed_fill);
    for (u32 i = 0; i < listed_count; i++)
        if (listed[i] == msr)
            return true;
    return false;
}

static bool harmless(const struct api_vcpu *v, u32 msr, u64 value)
{
    u64 now, feature = ~0ull;
    bool gone = hidden(msr) && !cpu_msr_read(v->cpu, msr, &now), features = cpu_msr_feature(&offered, msr, &feature);
    return gone && (!features || !(value & ~feature));
}

static bool vcpu_read(void *opaque, u32 msr, u64 *value)
{
    struct api_vcpu *v = opaque;
    if (!vmfunc(v, msr) && cpu_msr_read(v->cpu, msr, value))
        return true;
    *value = 0;
    return hidden(msr);
}

static bool vcpu_write(void *opaque, u32 msr, u64 *value)
{
    struct api_vcpu *v = opaque;
    if (msr == MSR_TSC) {
        tsc_write(v, *value);
        return true;
    }
    bool done = (!vmfunc(v, msr) && cpu_msr_write(v->cpu, msr, *value)) || harmless(v, msr, *value);
    if (!done)
        api_trace(API_TRACE_UNKNOWN, "vCPU %u: MSR %#x cannot be %#llx", v->id, msr, (unsigned long long)*value);
    return done;
}

static long get_msrs(struct api_vcpu *v, struct api_arg *arg)
{
    return entries(arg, vcpu_read, v, true);
}

static long set_msrs(struct api_vcpu *v, struct api_arg *arg)
{
    return entries(arg, vcpu_write, v, false);
}

/* -- machine checks -- */

#define MCG_CAP_OTHER 0xff0000ull /* number of extended registers */
#define MCG_STATUS_MCIP BIT64(2)
#define MCI_STATUS_VAL BIT64(63)
#define MCI_STATUS_OVER BIT64(62)
#define MCI_STATUS_UC BIT64(61)
#define MCI_STATUS_PCC BIT64(57)
#define MCI_STATUS_S BIT64(56)
#define MCI_STATUS_AR BIT64(55)

static u64 mcg_cap_supported(enum vendor vendor)
{
    return MCG_CAP_CTL | MCG_CAP_SER | (vendor == VENDOR_INTEL ? MCG_CAP_CMCI | MCG_CAP_LMCE : 0);
}

static long get_mce_supported(struct api_arg *arg)
{
    struct cpu_features f;
    if (cpuid_offered(&f))
        return -EINVAL;
    *(u64 *)arg->data = mcg_cap_supported(f.vendor);
    return 0;
}

static long setup_mce(struct api_vcpu *v, struct api_arg *arg)
{
    u64 cap = *(const u64 *)arg->data;
    u32 banks = cap & 0xff;
    if (!banks || banks > MCE_BANKS || cap & ~(mcg_cap_supported(v->features.vendor) | 0xff | MCG_CAP_OTHER))
        return -EINVAL;
    if (!cpu_msr_write(v->cpu, MSR_MCG_CAP, cap) || !cpu_msr_write(v->cpu, MSR_MCG_CTL, cap & MCG_CAP_CTL ? ~0ull : 0))
        return -EINVAL;
    for (u32 i = 0; i < banks; i++)
        if (!cpu_msr_write(v->cpu, MSR_MC_CTL(i), ~0ull))
            return -EINVAL;
    return 0;
}

static u64 msr_of(struct api_vcpu *v, u32 msr)
{
    u64 value = 0;
    return cpu_msr_read(v->cpu, msr, &value) ? value : 0;
}

static bool bank_write(struct api_vcpu *v, const struct kvm_x86_mce *mce, u64 status)
{
    return cpu_msr_write(v->cpu, MSR_MC_ADDR(mce->bank), mce->addr) &&
           cpu_msr_write(v->cpu, MSR_MC_MISC(mce->bank), mce->misc) &&
           cpu_msr_write(v->cpu, MSR_MC_STATUS(mce->bank), status);
}

/* An error that is not corrected comes up as #MC, or ends the guest that cannot take one. */
static long uncorrected(struct api_vcpu *v, const struct kvm_x86_mce *mce, u64 overwritten)
{
    struct cpu_state *s = registers_state(v, STATE_CONTROL | STATE_EVENTS);
    if (!s)
        return -ENOMEM;
    if (msr_of(v, MSR_MCG_STATUS) & MCG_STATUS_MCIP || !(s->cr4 & CR4_MCE)) {
        s->events.triple_fault = true;
        return registers_store(v, s, STATE_EVENTS);
    }
    bool done = bank_write(v, mce, mce->status | overwritten) && cpu_msr_write(v->cpu, MSR_MCG_STATUS, mce->mcg_status);
    s->events.raised = (struct event){.valid = true, .type = EVENT_EXCEPTION, .vector = EXC_MC};
    int e = registers_store(v, s, STATE_EVENTS);
    return done ? e : -EINVAL;
}

/* Uncorrected, and no action is required: the CPU signals it as it does a corrected one. */
static bool is_ucna(const struct kvm_x86_mce *mce)
{
    return !mce->mcg_status && mce->status & MCI_STATUS_UC &&
           !(mce->status & (MCI_STATUS_PCC | MCI_STATUS_S | MCI_STATUS_AR));
}

static long ucna(struct api_vcpu *v, const struct kvm_x86_mce *mce, u64 cap)
{
    if (!bank_write(v, mce, mce->status) || !cpu_msr_write(v->cpu, MSR_MCG_STATUS, 0))
        return -EINVAL;
    if (cap & MCG_CAP_CMCI && msr_of(v, MSR_MC0_CTL2 + mce->bank) & MC_CTL2_CMCI)
        cpu_cmci(v->cpu);
    return 0;
}

static long set_mce(struct api_vcpu *v, struct api_arg *arg)
{
    const struct kvm_x86_mce *mce = arg->data;
    u64 cap = msr_of(v, MSR_MCG_CAP);
    if (mce->bank >= (cap & 0xff) || !(mce->status & MCI_STATUS_VAL))
        return -EINVAL;
    if (is_ucna(mce))
        return ucna(v, mce, cap);
    u64 now = msr_of(v, MSR_MC_STATUS(mce->bank)), overwritten = now & MCI_STATUS_VAL ? MCI_STATUS_OVER : 0;
    if (mce->status & MCI_STATUS_UC) {
        bool off = (cap & MCG_CAP_CTL && msr_of(v, MSR_MCG_CTL) != ~0ull) || msr_of(v, MSR_MC_CTL(mce->bank)) != ~0ull;
        return off ? 0 : uncorrected(v, mce, overwritten);
    }
    if (!(now & MCI_STATUS_VAL) || !(now & MCI_STATUS_UC))
        return bank_write(v, mce, mce->status | overwritten) ? 0 : -EINVAL;
    return cpu_msr_write(v->cpu, MSR_MC_STATUS(mce->bank), now | MCI_STATUS_OVER) ? 0 : -EINVAL;
}

/* -- the filter -- */

struct range {
    u32 flags, base, count;
    u8 *bits; /* 1: the access is permitted */
};

struct msr_filter {
    struct msr_filter *before; /* those that were replaced */
    bool allow;                /* what is in no range */
    u32 ranges;
    struct range range[KVM_MSR_FILTER_MAX_RANGES];
};

static void filter_free(struct msr_filter *f)
{
    while (f) {
        struct msr_filter *before = f->before;
        for (u32 i = 0; i < f->ranges; i++)
            free(f->range[i].bits);
        free(f);
        f = before;
    }
}

/* The kernel never filters the x2APIC's. */
static bool permitted(const struct msr_filter *f, u32 msr, bool write)
{
    u32 kind = write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ;
    if (!f || (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST))
        return true;
    for (u32 i = 0; i < f->ranges; i++) {
        const struct range *r = &f->range[i];
        if (msr - r->base < r->count && r->flags & kind)
            return r->bits[(msr - r->base) / 8] >> (msr - r->base) % 8 & 1;
    }
    return f->allow;
}

static long range_read(struct range *to, const struct kvm_msr_filter_range *r)
{
    const u32 kinds = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
    if (!r->nmsrs)
        return 0;
    size_t size = align_up(r->nmsrs, 64) / 8;
    if (size > KVM_MSR_FILTER_MAX_BITMAP_SIZE || !r->flags || r->flags & ~kinds)
        return -EINVAL;
    u8 *bits = malloc(size);
    if (!bits)
        return -ENOMEM;
    *to = (struct range){r->flags, r->base, r->nmsrs, bits};
    return user_read(bits, (u64)r->bitmap, (r->nmsrs + 7) / 8);
}

/* What the engine is to ask about. */
static void reasons_update(struct api_vm *vm)
{
    u32 wanted = vm->msr_exits;
    cpu_msr_ask(vm->cpus, (vm->msr_filter || vm->platform_info_hidden ? MACHINE_MSR_ANY : 0) |
                              (wanted & KVM_MSR_EXIT_REASON_UNKNOWN ? MACHINE_MSR_UNKNOWN : 0) |
                              (wanted & KVM_MSR_EXIT_REASON_INVAL ? MACHINE_MSR_INVALID : 0));
}

static long set_filter(struct api_vm *vm, struct api_arg *arg)
{
    const struct kvm_msr_filter *k = arg->data;
    bool empty = true;
    if (k->flags & ~(u32)KVM_MSR_FILTER_DEFAULT_DENY)
        return -EINVAL;
    for (unsigned i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++)
        empty &= !k->ranges[i].nmsrs;
    bool allow = !(k->flags & KVM_MSR_FILTER_DEFAULT_DENY);
    if (empty && !allow)
        return -EINVAL;
    struct msr_filter *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->allow = allow;
    long e = 0;
    for (unsigned i = 0; !e && i < KVM_MSR_FILTER_MAX_RANGES; i++) {
        e = range_read(&f->range[f->ranges], &k->ranges[i]);
        f->ranges += f->range[f->ranges].bits != NULL;
    }
    if (e) {
        filter_free(f);
        return e;
    }
    f->before = vm->msr_filter;
    __atomic_store_n(&vm->msr_filter, f, __ATOMIC_RELEASE);
    reasons_update(vm);
    return 0;
}

/* -- accesses that the program handles -- */

enum machine_msr msr_asked(void *opaque, u32 msr, u64 *value, bool write, u32 why)
{
    struct api_vcpu *v = run_current();
    struct api_vm *vm = v->vm;
    struct api_msr_access *a = &v->msr;
    u32 reason = why == MACHINE_MSR_UNKNOWN ? KVM_MSR_EXIT_REASON_UNKNOWN : KVM_MSR_EXIT_REASON_INVAL;
    if (why == MACHINE_MSR_ANY) {
        if (vm->platform_info_hidden && msr == MSR_PLATFORM_INFO && !write)
            return MACHINE_MSR_FAULT;
        if (permitted(__atomic_load_n(&vm->msr_filter, __ATOMIC_ACQUIRE), msr, write))
            return MACHINE_MSR_CPU;
        reason = KVM_MSR_EXIT_REASON_FILTER;
        if (!(vm->msr_exits & reason))
            return MACHINE_MSR_FAULT;
    }
    if (a->state == API_MSR_ANSWERED && a->index == msr && a->write == write) {
        a->state = API_MSR_NONE;
        if (!write)
            *value = a->value;
        return a->fails ? MACHINE_MSR_FAULT : MACHINE_MSR_DONE;
    }
    *a = (struct api_msr_access){API_MSR_WAITS, msr, reason, write, false, write ? *value : 0};
    return MACHINE_MSR_LATER;
}

void msr_show(struct api_vcpu *v)
{
    struct kvm_run *run = v->run;
    run->exit_reason = v->msr.write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
    memset(&run->msr, 0, sizeof(run->msr));
    run->msr.reason = v->msr.reason;
    run->msr.index = v->msr.index;
    run->msr.data = v->msr.value;
}

bool msr_answered(struct api_vcpu *v)
{
    struct api_msr_access *a = &v->msr;
    if (a->state != API_MSR_WAITS)
        return false;
    a->state = API_MSR_ANSWERED;
    a->value = v->run->msr.data;
    a->fails = v->run->msr.error;
    return true;
}

void msr_done(struct api_vcpu *v)
{
    if (v->msr.state == API_MSR_ANSWERED)
        v->msr.state = API_MSR_NONE;
}

/* -- rows -- */

static void destroy(struct api_vm *vm)
{
    filter_free(vm->msr_filter);
}

#define EXIT_REASONS (u64)(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER)

static long enable_exits(struct api_vm *vm, const struct kvm_enable_cap *cap)
{
    if (cap->args[0] & ~EXIT_REASONS)
        return -EINVAL;
    vm->msr_exits = (u32)cap->args[0];
    reasons_update(vm);
    return 0;
}

static long enable_platform_info(struct api_vm *vm, const struct kvm_enable_cap *cap)
{
    vm->platform_info_hidden = !cap->args[0];
    reasons_update(vm);
    return 0;
}

static const struct api_ioctl ioctls[] = {
    API_SYSTEM(KVM_GET_MSR_INDEX_LIST, get_index_list),
    API_SYSTEM(KVM_GET_MSR_FEATURE_INDEX_LIST, get_feature_list),
    API_SYSTEM(KVM_GET_MSRS, get_feature_msrs),
    API_VCPU(KVM_GET_MSRS, get_msrs),
    API_VCPU(KVM_SET_MSRS, set_msrs),
    API_SYSTEM(KVM_X86_GET_MCE_CAP_SUPPORTED, get_mce_supported),
    API_VCPU(KVM_X86_SETUP_MCE, setup_mce),
    API_VCPU(KVM_X86_SET_MCE, set_mce),
    API_VM(KVM_X86_SET_MSR_FILTER, set_filter),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_GET_MSR_FEATURES, 1),
    API_CAP(KVM_CAP_MCE, MCE_BANKS),
    API_CAP(KVM_CAP_X86_MSR_FILTER, 1),
    API_CAP(KVM_CAP_X86_USER_SPACE_MSR, 1, .enable_vm = enable_exits),
    API_CAP(KVM_CAP_MSR_PLATFORM_INFO, 1, .enable_vm = enable_platform_info),
    {0},
};

const struct api_part msr_part = {.name = "msr", .ioctls = ioctls, .caps = caps, .vm_destroy = destroy};
