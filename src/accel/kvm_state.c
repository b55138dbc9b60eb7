/*
 * Registers of vCPUs under /dev/kvm: what firmware leaves behind, and the state by groups through the ioctls that each
 * kernel has. Called while no vCPU runs.
 *
 * Where the manuals leave it to firmware the values are those of the engine (cpu/insn/msr.c), so a guest sees one
 * machine. Set goes in the order that KVM needs: long mode and EFER.SVME before nested state, that before the registers
 * of L2, the APIC's mode before its page, and events last, since KVM_SET_REGS drops a pending exception. The kernel
 * checks values itself, one ioctl after the other.
 */
#include "accel/kvm.h"
#include "accel/kvm_convert.h"
#include "x86/msr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define ALL_WRITE_BACK MTRR_FIXED_ALL(MEMTYPE_WB)
#define ALL_WRITE_PROTECT MTRR_FIXED_ALL(MEMTYPE_WP)

/* -- MSRs -- */

struct msr_buffer {
    struct kvm_msrs head;
    struct kvm_msr_entry entry[STATE_MSRS_MAX];
};

static int msr_access(const struct kvm_vcpu *v, unsigned long request, u32 msr, u64 *value)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } one = {.head.nmsrs = 1, .entry = {.index = msr, .data = *value}};
    int n = ioctl(v->fd, request, &one);
    *value = one.entry.data;
    return n == 1 ? 0 : n < 0 ? -errno : -EINVAL;
}

/* A kernel that does not know one of these keeps its own default. */
static void msr_set(const struct kvm_vcpu *v, u32 msr, u64 value)
{
    if (msr_access(v, KVM_SET_MSRS, msr, &value))
        return;
}

void kvm_firmware_msrs(struct accel_vm *vm, u32 index)
{
    const struct kvm_vcpu *v = &vm->vcpu[index];
    const struct kvm_cpuid_entry2 *sizes = kvm_cpuid_find(vm->cpuid, 0x80000008, 0);
    u64 address = (1ull << (sizes ? sizes->eax & 0xff : 36)) - 1;
    if (vm->settings->nested == NESTED_INTEL)
        msr_set(v, MSR_FEATURE_CONTROL, FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMXON_OUTSIDE_SMX);
    /* Write-back but for legacy video memory, option ROMs and the last gigabyte below 4 GiB. */
    /* Without fast strings Linux drops ERMS but keeps FSRM, and its memmove relies on both. */
    msr_set(v, MSR_MISC_ENABLE, MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_BTS_UNAVAILABLE | MISC_ENABLE_PEBS_UNAVAILABLE);
    msr_set(v, MSR_MTRR_FIX64K, ALL_WRITE_BACK);
    msr_set(v, MSR_MTRR_FIX16K, ALL_WRITE_BACK);
    msr_set(v, MSR_MTRR_FIX16K + 1, 0);
    for (u32 i = 0; i < 8; i++)
        msr_set(v, MSR_MTRR_FIX4K + i, ALL_WRITE_PROTECT);
    msr_set(v, MSR_MTRR_PHYSBASE(0), 0xc0000000);
    msr_set(v, MSR_MTRR_PHYSMASK(0), (address & ~0x3fffffffull) | MTRR_MASK_VALID);
    msr_set(v, MSR_MTRR_DEF_TYPE, MTRR_DEF_TYPE_ENABLE | MTRR_DEF_TYPE_FIXED | MEMTYPE_WB);
}

/* MSRs that belong to other groups. */
static bool is_elsewhere(u32 msr)
{
    return msr == MSR_TSC || msr == MSR_TSC_DEADLINE || msr == MSR_EFER || msr == MSR_APIC_BASE || msr == MSR_FS_BASE ||
           msr == MSR_GS_BASE;
}

static int msr_index_list(struct accel_vm *vm, struct cpu_state *s)
{
    struct kvm_msr_list *list = calloc(1, sizeof(*list) + STATE_MSRS_MAX * sizeof(list->indices[0]));
    if (!list)
        return -ENOMEM;
    list->nmsrs = STATE_MSRS_MAX;
    int e = ioctl(vm->kvm_fd, KVM_GET_MSR_INDEX_LIST, list) ? -errno : 0;
    for (u32 i = 0; !e && i < list->nmsrs; i++)
        if (!is_elsewhere(list->indices[i]))
            s->msr[s->msrs++].index = list->indices[i];
    free(list);
    return e;
}

/* KVM stops at the first MSR that the vCPU does not have: that one is left out. */
static int get_msrs(struct accel_vm *vm, const struct kvm_vcpu *v, struct cpu_state *s)
{
    int e = s->msrs ? 0 : msr_index_list(vm, s);
    struct msr_buffer *b = malloc(sizeof(*b));
    if (!b)
        return -ENOMEM;
    u32 kept = 0;
    for (u32 at = 0; !e && at < s->msrs;) {
        b->head = (struct kvm_msrs){.nmsrs = s->msrs - at};
        for (u32 i = at; i < s->msrs; i++)
            b->entry[i - at] = (struct kvm_msr_entry){.index = s->msr[i].index};
        int n = ioctl(v->fd, KVM_GET_MSRS, b);
        if (n < 0)
            e = -errno;
        for (int i = 0; i < n; i++)
            s->msr[kept++] = (struct cpu_msr){.index = b->entry[i].index, .value = b->entry[i].data};
        at += (u32)(n < 0 ? 0 : n) + 1;
    }
    free(b);
    s->msrs = kept;
    return e;
}

static int set_msrs(struct accel_vm *vm, const struct kvm_vcpu *v, const struct cpu_state *s, u64 given)
{
    for (u32 i = 0; i < s->msrs; i++) {
        u64 value = s->msr[i].value;
        int e = msr_access(v, KVM_SET_MSRS, s->msr[i].index, &value);
        u64 now = 0;
        /* What cannot be written may already have the value. */
        if (e && (msr_access(v, KVM_GET_MSRS, s->msr[i].index, &now) || now != s->msr[i].value))
            return e;
    }
    return 0;
}

/* VMXON needs it, and so does nested state. */
static int set_feature_control(struct accel_vm *vm, const struct kvm_vcpu *v, const struct cpu_state *s, u64 given)
{
    for (u32 i = 0; i < s->msrs; i++)
        if (s->msr[i].index == MSR_FEATURE_CONTROL)
            msr_set(v, MSR_FEATURE_CONTROL, s->msr[i].value);
    return 0;
}

static int get_time(struct accel_vm *vm, const struct kvm_vcpu *v, struct cpu_state *s)
{
    s->tsc = 0;
    return msr_access(v, KVM_GET_MSRS, MSR_TSC, &s->tsc);
}

static int set_time(struct accel_vm *vm, const struct kvm_vcpu *v, const struct cpu_state *s, u64 given)
{
    u64 tsc = s->tsc;
    return msr_access(v, KVM_SET_MSRS, MSR_TSC, &tsc);
}

/* -- registers -- */

static int get_regs(struct accel_vm *vm, const struct kvm_vcpu *v, struct cpu_state *s)
{
    struct kvm_regs k;
    if (ioctl(v->fd, KVM_GET_REGS, &k))
        return -errno;
    regs_from_kvm(&k, s);
    return 0;
}

static int set_regs(struct accel_vm *vm, const struct kvm_vcpu *v, const struct cpu_state *s, u64 given)
{
    struct kvm_regs k;
    regs_to_kvm(s, &k);
    return ioctl(v->fd, KVM_SET_REGS, &k) ? -errno : 0;
}

static int sregs_read(struct accel_vm *vm, const struct kvm_vcpu *v, struct kvm_sregs2 *k)
{
    struct kvm_sregs old;
    if (kvm_has(vm, KVM_CAP_SREGS2) > 0)
        return ioctl(v->fd, KVM_GET_SREGS2, k) ? -errno : 0;
    if (ioctl(v->fd, KVM_GET_SREGS, &old))
        return -errno;
    sregs_from_old(&old, k);
    return 0;
}

static int get_sregs(struct accel_vm *vm, const struct kvm_vcpu *v, struct cpu_state *s)
{
    struct kvm_sregs2 k;
    int e = sregs_read(vm, v, &k);
    if (!e)
        sregs_from_kvm(&k, s);
    return e;
}

/* One ioctl for two groups: what is not given stays. */
static int set_sregs(struct accel_vm *vm, const struct kvm_vcpu *v, const struct cpu_state *s, u64 given)
{
    struct kvm_sregs2 now, k;
    struct kvm_sregs old;
    int e = sregs_read(vm, v, &now);
    if (e)
        return e;
    sregs_to_kvm(s, &k);
    if (!(given & STATE_SEGMENTS)) {
        k.cs = now.cs, k.ds = now.ds, k.es = now.es, k.fs = now.fs, k.gs = now.gs, k.ss = now.ss;
        k.tr = now.tr, k.ldt = now.ldt, k.gdt = now.gdt, k.idt = now.idt;
    }
    if (!(given & STATE_CONTROL)) {
        k.cr0 = now.cr0, k.cr2 = now.cr2, k.cr3 = now.cr3, k.cr4 = now.cr4, k.cr8 = now.cr8;
        k.efer = now.efer, k.apic_base = now.apic_base, k.flags = now.flags;
        memcpy(k.pdptrs, now.pdptrs, sizeof(k.pdptrs));
    }
    if (kvm_has(vm, KVM_CAP_SREGS2) > 0)
        return ioctl(v->fd, KVM_SET_SREGS2, &k) ? -errno : 0;
    sregs_to_old(&k, &old);
    return ioctl(v->fd, KVM_SET_SREGS, &old) ? -errno : 0;
}

static int get_debugregs(struct accel_vm *vm, const struct kvm_vcpu *v, struct cpu_state *s)
{
    struct kvm_debugregs k;
    if (ioctl(v->fd, KVM_GET_DEBUGREGS, &k))
        return -errno;
    debugregs_from_kvm(&k, s);
    return 0;
}

static int set_debugregs(struct accel_vm *vm, const struct kvm_vcpu *v, const struct cpu_state *s, u64 given)
{
    struct kvm_debugregs k;
    debugregs_to_kvm(s, &k);
    return ioctl(v->fd, KVM_SET_DEBUGREGS, &k) ? -errno : 0;
}

/* Nobody asked for the features that make an image larger than STATE_XSAVE_SIZE. */
static int get_vectors(struct accel_vm *vm, const struct kvm_vcpu *v, struct cpu_state *s)
{
    struct kvm_xcrs x = {0};
    _Static_assert(sizeof(struct kvm_xsave) == STATE_XSAVE_SIZE, "one size");
    if (ioctl(v->fd, KVM_GET_XSAVE, s->xsave))
        return -errno;
    s->xcr0 = XCR0_X87;
    if (kvm_has(vm, KVM_CAP_XCRS) <= 0)
        return 0;
    if (ioctl(v->fd, KVM_GET_XCRS, &x))
        return -errno;
    for (u32 i = 0; i < x.nr_xcrs && i < KVM_MAX_XCRS; i++)
        if (x.xcrs[i].xcr == 0)
            s->xcr0 = x.xcrs[i].value;
    return 0;
}

static int set_vectors(struct accel_vm *vm, const struct kvm_vcpu *v, const struct cpu_state *s, u64 given)
{
    struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs[0].value = s->xcr0};
    if (kvm_has(vm, KVM_CAP_XCRS) > 0 && ioctl(v->fd, KVM_SET_XCRS, &x))
        return -errno;
    return ioctl(v->fd, KVM_SET_XSAVE, s->xsave) ? -errno : 0;
}

/* -- events, activity, local APIC, nested state -- */

static int get_mp_state(struct accel_vm *vm, const struct kvm_vcpu *v, struct cpu_state *s)
{
    struct kvm_mp_state k;
    if (ioctl(v->fd, KVM_GET_MP_STATE, &k))
        return -errno;
    mp_state_from_kvm(k.mp_state, s);
    return 0;
}

static int set_mp_state(struct accel_vm *vm, const struct kvm_vcpu *v, const struct cpu_state *s, u64 given)
{
    struct cpu_state with = {.activity = s->activity,
                             .events.sipi_pending = given & STATE_EVENTS && s->events.sipi_pending};
    struct kvm_mp_state k = {.mp_state = mp_state_to_kvm(&with)};
    return ioctl(v->fd, KVM_SET_MP_STATE, &k) ? -errno : 0;
}

static int get_events(struct accel_vm *vm, const struct kvm_vcpu *v, struct cpu_state *s)
{
    struct kvm_vcpu_events k;
    struct kvm_mp_state mp;
    if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &k) || ioctl(v->fd, KVM_GET_MP_STATE, &mp))
        return -errno;
    events_from_kvm(&k, &s->events);
    s->events.sipi_pending = mp.mp_state == KVM_MP_STATE_SIPI_RECEIVED;
    return 0;
}

static int set_events(struct accel_vm *vm, const struct kvm_vcpu *v, const struct cpu_state *s, u64 given)
{
    struct kvm_vcpu_events k;
    events_to_kvm(&s->events, vm->payloads, &k);
    return ioctl(v->fd, KVM_SET_VCPU_EVENTS, &k) ? -errno : 0;
}

static int get_apic(struct accel_vm *vm, const struct kvm_vcpu *v, struct cpu_state *s)
{
    struct kvm_lapic_state k;
    struct kvm_sregs2 sregs;
    int e = sregs_read(vm, v, &sregs);
    if (e || ioctl(v->fd, KVM_GET_LAPIC, &k))
        return e ? e : -errno;
    s->apic_base = sregs.apic_base;
    memset(&s->apic, 0, sizeof(s->apic));
    lapic_from_kvm(&k, false, s);
    if (msr_access(v, KVM_GET_MSRS, MSR_TSC_DEADLINE, &s->apic.tsc_deadline))
        s->apic.tsc_deadline = 0;
    return 0;
}

static int set_apic(struct accel_vm *vm, const struct kvm_vcpu *v, const struct cpu_state *s, u64 given)
{
    struct kvm_lapic_state k;
    struct kvm_sregs2 sregs;
    struct cpu_state with = {.apic = s->apic};
    u64 deadline = s->apic.tsc_deadline;
    int e = sregs_read(vm, v, &sregs);
    if (e)
        return e;
    with.apic_base = sregs.apic_base;
    lapic_to_kvm(&with, false, &k);
    if (ioctl(v->fd, KVM_SET_LAPIC, &k))
        return -errno;
    return deadline ? msr_access(v, KVM_SET_MSRS, MSR_TSC_DEADLINE, &deadline) : 0;
}

static int get_nested(struct accel_vm *vm, const struct kvm_vcpu *v, struct cpu_state *s)
{
    if (kvm_has(vm, KVM_CAP_NESTED_STATE) <= 0)
        return -ENOTSUP;
    struct kvm_nested_image *k = calloc(1, sizeof(*k));
    if (!k)
        return -ENOMEM;
    k->head.size = sizeof(*k);
    int e = ioctl(v->fd, KVM_GET_NESTED_STATE, k) ? -errno : 0;
    if (!e && !nested_from_kvm(k, &s->nested))
        e = -EPROTO;
    free(k);
    return e;
}

static int set_nested(struct accel_vm *vm, const struct kvm_vcpu *v, const struct cpu_state *s, u64 given)
{
    if (kvm_has(vm, KVM_CAP_NESTED_STATE) <= 0)
        return s->nested.kind == CPU_NESTED_NONE ? 0 : -ENOTSUP;
    struct kvm_nested_image *k = malloc(sizeof(*k));
    if (!k)
        return -ENOMEM;
    nested_to_kvm(&s->nested, k);
    int e = ioctl(v->fd, KVM_SET_NESTED_STATE, k) ? -errno : 0;
    free(k);
    return e;
}

/* -- all of it -- */

/* In the order of setting. */
static const struct step {
    u64 groups;
    const char *name;
    int (*get)(struct accel_vm *vm, const struct kvm_vcpu *v, struct cpu_state *s);
    int (*set)(struct accel_vm *vm, const struct kvm_vcpu *v, const struct cpu_state *s, u64 given);
} steps[] = {
    {STATE_SEGMENTS | STATE_CONTROL, "KVM_SET_SREGS", get_sregs, set_sregs},
    {STATE_MSRS, "IA32_FEATURE_CONTROL", NULL, set_feature_control},
    {STATE_NESTED, "KVM_SET_NESTED_STATE", get_nested, set_nested},
    {STATE_GPRS, "KVM_SET_REGS", get_regs, set_regs},
    {STATE_VECTORS, "KVM_SET_XSAVE", get_vectors, set_vectors},
    {STATE_MSRS, "KVM_SET_MSRS", get_msrs, set_msrs},
    {STATE_TIME, "the TSC", get_time, set_time},
    {STATE_APIC, "KVM_SET_LAPIC", get_apic, set_apic},
    {STATE_DEBUG, "KVM_SET_DEBUGREGS", get_debugregs, set_debugregs},
    {STATE_ACTIVITY, "KVM_SET_MP_STATE", get_mp_state, set_mp_state},
    {STATE_EVENTS, "KVM_SET_VCPU_EVENTS", get_events, set_events},
};

u64 kvm_state_get(struct accel_vm *vm, u32 index, struct cpu_state *state, u64 wanted)
{
    const struct kvm_vcpu *v = &vm->vcpu[index];
    u64 given = 0;
    if (v->fd < 0 || __atomic_load_n(&v->running, __ATOMIC_SEQ_CST))
        return 0;
    for (unsigned i = 0; i < ARRAY_LEN(steps); i++)
        if (wanted & steps[i].groups && steps[i].get && !steps[i].get(vm, v, state))
            given |= wanted & steps[i].groups;
    return given;
}

int kvm_state_set(struct accel_vm *vm, u32 index, const struct cpu_state *state, u64 given, u64 *committed,
                  const char **bad)
{
    const struct kvm_vcpu *v = &vm->vcpu[index];
    *committed = 0;
    *bad = NULL;
    if (v->fd < 0 || given & ~STATE_ALL) {
        *bad = v->fd < 0 ? "the vCPU" : "a group of registers";
        return -EINVAL;
    }
    vm->used = true;
    for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
        if (!(given & steps[i].groups))
            continue;
        int e = steps[i].set(vm, v, state, given);
        if (e) {
            *bad = steps[i].name;
            return e;
        }
        *committed |= given & steps[i].groups;
    }
    return 0;
}
