/*
 * Hyper-V's interface for guests: which MSRs there are, reference time, and the MSRs that are neither of the synthetic
 * interrupt controller nor of its timers (synic.c).
 *
 * Reference time is the VM's clock (paravirt.h) in units of 100 ns, computed from vCPU 0's TSC by the formula of the
 * TSC page, so that the page and the MSR agree.
 * Source: TLFS, "Timers" ("Partition Reference Counter"), "Feature and Interface Discovery".
 */
#include "cpu/insn/hyperv.h"

#include "cpu/core/world.h"
#include "cpu/event/lapic.h"
#include "cpu/insn/paravirt.h"
#include "cpu/mmu/mmu.h"
#include "x86/msr.h"

#define HUNDRED_NS 100
#define APIC_HZ 1000000000u /* lapic.c counts nanoseconds */

void hyperv_features(struct vcpu *v)
{
    const struct cpu_features *f = v->features;
    struct hyperv *h = &v->hv;
    h->shown = h->debugging = false;
    for (unsigned i = 0; i < 4; i++)
        h->features[i] = h->recommended[i] = 0;
    for (u32 i = 0; i < f->leaf_count; i++) {
        const struct cpuid_leaf *l = &f->leaf[i];
        if (l->leaf == HYPERV_LEAF_INTERFACE && l->r[0] == HYPERV_INTERFACE)
            h->shown = true;
        if (l->leaf == HYPERV_LEAF_DEBUG_ABILITIES)
            h->debugging = l->r[0] & HYPERV_KERNEL_DEBUGGING;
        for (unsigned r = 0; r < 4; r++) {
            if (l->leaf == HYPERV_LEAF_FEATURES)
                h->features[r] = l->r[r];
            else if (l->leaf == HYPERV_LEAF_RECOMMENDED)
                h->recommended[r] = l->r[r];
        }
    }
}

void hyperv_reset(struct vcpu *v)
{
    struct hyperv *h = &v->hv;
    h->vp_index = v->index;
    h->assist_page = h->runtime_offset = 0;
    h->runtime = HYPERV_NOT_SET;
    if (!v->index)
        v->vm->hv = (struct hyperv_vm){0};
    synic_reset(v);
}

void hyperv_leave(struct vcpu *v, const struct cpu_exit_hyperv *why)
{
    v->exit_hyperv = *why;
    v->leave = CPU_EXIT_HYPERV;
    request_raise(v, REQ_LEAVE);
}

/* -- time -- */

/* 2^64 * 10^7 / Hz */
static u64 time_scale(const struct vm *vm)
{
    u64 quotient, rest;
    __asm__("divq %4"
            : "=a"(quotient), "=d"(rest)
            : "a"(0ull), "d"(10000000ull), "r"(vm->vcpu[0]->tsc_khz * 1000)
            : "cc");
    return quotient;
}

static u64 scaled(u64 ticks, u64 scale)
{
    return (u64)((u128)ticks * scale >> 64);
}

/* What is added to vCPU 0's scaled TSC. */
static u64 time_offset(const struct vm *vm, u64 scale)
{
    struct paravirt_clock c = paravirt_clock_read(vm);
    u64 tsc = tsc_scaled(vm->vcpu[0], c.tsc) + vm->vcpu[0]->tsc_offset_l1;
    u64 ticks = (s64)tsc < 0 ? -scaled(-tsc, scale) : scaled(tsc, scale); /* the clock may be older than the TSC */
    return c.ns / HUNDRED_NS - ticks;
}

u64 hyperv_time(const struct vm *vm)
{
    u64 scale = time_scale(vm);
    u64 offset = vm->hv.page ? __atomic_load_n(&vm->hv.page_offset, __ATOMIC_RELAXED) : time_offset(vm, scale);
    return scaled(tsc_read_l1(vm->vcpu[0]), scale) + offset;
}

/* While the guest has TSC emulation on (of which nothing else is here) the page stays as it is. */
static void tsc_page_write(struct vcpu *v)
{
    struct hyperv_vm *h = &v->vm->hv;
    struct hyperv_tsc_page p;
    if (h->page && h->reenlightenment[1])
        return;
    gpa_t at = GPA(v->vm->hv.reference_tsc & ~PAGE_MASK);
    u32 sequence;
    phys_read(v, at, &sequence, 4);
    p = (struct hyperv_tsc_page){.scale = time_scale(v->vm)};
    p.offset = (s64)time_offset(v->vm, p.scale);
    phys_write(v, at, &p.sequence, 4);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    phys_write(v, at, &p, sizeof(p));
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    h->page = paravirt_clock_stable(v->vm);
    __atomic_store_n(&h->page_offset, (u64)p.offset, __ATOMIC_RELAXED);
    if (!h->page)
        return; /* the sequence stays 0: the guest reads the MSR */
    sequence++;
    if (sequence == 0 || sequence == ~0u)
        sequence = 1;
    phys_write(v, at, &sequence, 4);
}

void hyperv_update(struct vcpu *v)
{
    if (__atomic_exchange_n(&v->hv.flush, false, __ATOMIC_SEQ_CST))
        mmu_flush_all(v);
    if (!v->index && v->hv.shown && v->vm->hv.reference_tsc & HYPERV_ENABLE)
        tsc_page_write(v);
}

static u64 runtime(struct vcpu *v)
{
    return world_ran_ns(v) / HUNDRED_NS + v->hv.runtime_offset;
}

/* -- which MSRs there are -- */

/* Runs of MSRs, and the bit of leaf 4000_0003h that shows them. */
static const struct {
    u32 first, last;
    u8 reg;
    u32 bit;
} runs[] = {
    {MSR_HYPERV_OS_ID, MSR_HYPERV_HYPERCALL, CPUID_EAX, HYPERV_HAS_HYPERCALL},
    {MSR_HYPERV_VP_INDEX, MSR_HYPERV_VP_INDEX, CPUID_EAX, HYPERV_HAS_VP_INDEX},
    {MSR_HYPERV_RESET, MSR_HYPERV_RESET, CPUID_EAX, HYPERV_HAS_RESET},
    {MSR_HYPERV_RUNTIME, MSR_HYPERV_RUNTIME, CPUID_EAX, HYPERV_HAS_RUNTIME},
    {MSR_HYPERV_REFERENCE_COUNT, MSR_HYPERV_REFERENCE_COUNT, CPUID_EAX, HYPERV_HAS_REFERENCE_COUNT},
    {MSR_HYPERV_REFERENCE_TSC, MSR_HYPERV_REFERENCE_TSC, CPUID_EAX, HYPERV_HAS_REFERENCE_TSC},
    {MSR_HYPERV_TSC_FREQUENCY, MSR_HYPERV_APIC_FREQUENCY, CPUID_EAX, HYPERV_HAS_FREQUENCIES},
    {MSR_HYPERV_EOI, MSR_HYPERV_ASSIST_PAGE, CPUID_EAX, HYPERV_HAS_APIC},
    {MSR_HYPERV_SCONTROL, MSR_HYPERV_EOM, CPUID_EAX, HYPERV_HAS_SYNIC},
    {MSR_HYPERV_SINT0, MSR_HYPERV_SINT0 + HYPERV_SINTS - 1, CPUID_EAX, HYPERV_HAS_SYNIC},
    {MSR_HYPERV_STIMER0_CONFIG, MSR_HYPERV_STIMER0_CONFIG + 2 * HYPERV_TIMERS - 1, CPUID_EAX, HYPERV_HAS_TIMERS},
    {MSR_HYPERV_DEBUG_CONTROL, MSR_HYPERV_DEBUG_PENDING, CPUID_EDX, HYPERV_HAS_DEBUG_MSRS},
    {MSR_HYPERV_DEBUG_OPTIONS, MSR_HYPERV_DEBUG_OPTIONS, CPUID_EDX, HYPERV_HAS_DEBUG_MSRS},
    {MSR_HYPERV_CRASH_P0, MSR_HYPERV_CRASH_CTL, CPUID_EDX, HYPERV_HAS_CRASH},
    {MSR_HYPERV_REENLIGHTENMENT, MSR_HYPERV_REENLIGHTENMENT + 2, CPUID_EAX, HYPERV_HAS_REENLIGHTENMENT},
};

static bool is_synic(u32 msr)
{
    return msr >= MSR_HYPERV_SCONTROL && msr < MSR_HYPERV_STIMER0_CONFIG + 2 * HYPERV_TIMERS;
}

static bool is_debug(u32 msr)
{
    return msr >= MSR_HYPERV_DEBUG_CONTROL && msr <= MSR_HYPERV_DEBUG_OPTIONS;
}

bool hyperv_msr_exists(const struct vcpu *v, u32 msr, bool owner)
{
    if (owner)
        return v->vm->paravirt || v->hv.shown;
    if (!v->hv.shown || (is_synic(msr) && !v->hv.synic) || (is_debug(msr) && !v->hv.debugging))
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(runs); i++)
        if (msr >= runs[i].first && msr <= runs[i].last)
            return hyperv_has(v, v->hv.features[runs[i].reg], runs[i].bit);
    return false;
}

u64 *hyperv_msr_slot(struct vcpu *v, u32 msr)
{
    struct hyperv_vm *h = &v->vm->hv;
    if (is_synic(msr))
        return synic_msr_slot(v, msr);
    switch (msr) {
    case MSR_HYPERV_OS_ID: return &h->os_id;
    case MSR_HYPERV_HYPERCALL: return &h->hypercall;
    case MSR_HYPERV_VP_INDEX: return &v->hv.vp_index;
    case MSR_HYPERV_RUNTIME: return &v->hv.runtime;
    case MSR_HYPERV_REFERENCE_TSC: return &h->reference_tsc;
    case MSR_HYPERV_ASSIST_PAGE: return &v->hv.assist_page;
    case MSR_HYPERV_CRASH_CTL: return &h->crash_ctl;
    case MSR_HYPERV_DEBUG_CONTROL ... MSR_HYPERV_DEBUG_PENDING: return &h->debug[msr - MSR_HYPERV_DEBUG_CONTROL];
    case MSR_HYPERV_DEBUG_OPTIONS: return &h->debug[5];
    case MSR_HYPERV_CRASH_P0 ... MSR_HYPERV_CRASH_CTL - 1: return &h->crash[msr - MSR_HYPERV_CRASH_P0];
    case MSR_HYPERV_REENLIGHTENMENT ... MSR_HYPERV_REENLIGHTENMENT + 2:
        return &h->reenlightenment[msr - MSR_HYPERV_REENLIGHTENMENT];
    default: return NULL;
    }
}

/* -- the local APIC by MSRs that are there in both of its modes -- */

static bool is_x2apic(const struct vcpu *v)
{
    return (v->apic_base & (APIC_BASE_EN | APIC_BASE_EXTD)) == (APIC_BASE_EN | APIC_BASE_EXTD);
}

static enum outcome apic_read(struct vcpu *v, u32 msr, u64 *value)
{
    u32 offset = msr == MSR_HYPERV_ICR ? APIC_ICR : APIC_TPR;
    if (v->vm->apics == CPU_APICS_CALLER || msr == MSR_HYPERV_EOI)
        return raise_gp(v, 0);
    if (is_x2apic(v))
        return lapic_msr_read(v, MSR_X2APIC(offset), value);
    *value = lapic_mmio_read(v, offset);
    if (offset == APIC_ICR)
        *value |= (u64)lapic_mmio_read(v, APIC_ICR2) << 32;
    return CPU_OK;
}

static enum outcome apic_write(struct vcpu *v, u32 msr, u64 value)
{
    u32 offset = msr == MSR_HYPERV_ICR ? APIC_ICR : msr == MSR_HYPERV_EOI ? APIC_EOI : APIC_TPR;
    if (v->vm->apics == CPU_APICS_CALLER)
        return raise_gp(v, 0);
    if (is_x2apic(v))
        return lapic_msr_write(v, MSR_X2APIC(offset), value);
    if (offset == APIC_ICR)
        lapic_mmio_write(v, APIC_ICR2, (u32)(value >> 32));
    lapic_mmio_write(v, offset, (u32)value);
    return CPU_OK;
}

/* -- reading and writing -- */

enum outcome hyperv_msr_read(struct vcpu *v, u32 msr, u64 *value)
{
    if (is_synic(msr)) {
        *value = synic_msr_read(v, msr);
        return CPU_OK;
    }
    switch (msr) {
    case MSR_HYPERV_RESET: *value = 0; return CPU_OK;
    case MSR_HYPERV_RUNTIME: *value = runtime(v); return CPU_OK;
    case MSR_HYPERV_REFERENCE_COUNT: *value = hyperv_time(v->vm); return CPU_OK;
    case MSR_HYPERV_TSC_FREQUENCY: *value = v->tsc_khz * 1000; return CPU_OK;
    case MSR_HYPERV_APIC_FREQUENCY: *value = APIC_HZ; return CPU_OK;
    case MSR_HYPERV_EOI ... MSR_HYPERV_TPR: return apic_read(v, msr, value);
    default: *value = *hyperv_msr_slot(v, msr); return CPU_OK;
    }
}

static enum outcome hypercall_page(struct vcpu *v, u64 value)
{
    struct hyperv_vm *h = &v->vm->hv;
    static const u8 intel[] = {0x0f, 0x01, 0xc1, 0xc3}; /* VMCALL; RET */
    static const u8 amd[] = {0x0f, 0x01, 0xd9, 0xc3};   /* VMMCALL; RET */
    gpa_t at = GPA(value & ~PAGE_MASK);
    if (!h->os_id)
        return CPU_OK;
    if (value & HYPERV_ENABLE) {
        if (!vcpu_ram(v, at))
            return raise_gp(v, 0);
        phys_write(v, at, v->vm->vendor == VENDOR_AMD ? amd : intel, sizeof(intel));
    }
    h->hypercall = value;
    return CPU_OK;
}

static enum outcome assist_page(struct vcpu *v, u64 value)
{
    gpa_t at = GPA(value & ~PAGE_MASK);
    const u32 none = 0; /* every interrupt wants its EOI */
    if (value & HYPERV_ENABLE) {
        if (!vcpu_ram(v, at))
            return raise_gp(v, 0);
        phys_write(v, at, &none, 4);
    }
    v->hv.assist_page = value;
    return CPU_OK;
}

static enum outcome crash(struct vcpu *v, u64 value)
{
    if (value & HYPERV_CRASH_NOTIFY)
        hyperv_leave(v, &(struct cpu_exit_hyperv){.kind = CPU_HYPERV_CRASH});
    return CPU_OK;
}

/* The transport of the debugger's packets is the caller's. */
static enum outcome debug_write(struct vcpu *v, u32 msr, u64 value)
{
    const u64 *debug = v->vm->hv.debug;
    *hyperv_msr_slot(v, msr) = value;
    if (msr == MSR_HYPERV_DEBUG_CONTROL || msr == MSR_HYPERV_DEBUG_PENDING)
        hyperv_leave(v, &(struct cpu_exit_hyperv){.kind = CPU_HYPERV_DEBUG,
                                                  .msr = msr,
                                                  .control = debug[0],
                                                  .send = debug[2],
                                                  .receive = debug[3],
                                                  .pending = debug[4]});
    return CPU_OK;
}

static enum outcome reset(struct vcpu *v, u64 value)
{
    if (value == 1)
        hyperv_leave(v, &(struct cpu_exit_hyperv){.kind = CPU_HYPERV_RESET});
    return CPU_OK;
}

enum outcome hyperv_msr_write(struct vcpu *v, u32 msr, u64 value)
{
    struct hyperv_vm *h = &v->vm->hv;
    if (is_synic(msr))
        return synic_msr_write(v, msr, value) ? CPU_OK : raise_gp(v, 0);
    switch (msr) {
    case MSR_HYPERV_OS_ID:
        h->os_id = value;
        if (!value)
            h->hypercall &= ~HYPERV_ENABLE;
        return CPU_OK;
    case MSR_HYPERV_HYPERCALL: return hypercall_page(v, value);
    case MSR_HYPERV_RESET: return reset(v, value);
    case MSR_HYPERV_REFERENCE_TSC:
        h->reference_tsc = value;
        h->page = false;
        if (value & HYPERV_ENABLE)
            tsc_page_write(v);
        return CPU_OK;
    case MSR_HYPERV_EOI ... MSR_HYPERV_TPR: return apic_write(v, msr, value);
    case MSR_HYPERV_ASSIST_PAGE: return assist_page(v, value);
    case MSR_HYPERV_CRASH_CTL: return crash(v, value);
    case MSR_HYPERV_DEBUG_CONTROL ... MSR_HYPERV_DEBUG_OPTIONS: return debug_write(v, msr, value);
    case MSR_HYPERV_CRASH_P0 ... MSR_HYPERV_CRASH_CTL - 1:
    case MSR_HYPERV_REENLIGHTENMENT:
    case MSR_HYPERV_REENLIGHTENMENT + 1: *hyperv_msr_slot(v, msr) = value; return CPU_OK;
    case MSR_HYPERV_REENLIGHTENMENT + 2: return value ? raise_gp(v, 0) : CPU_OK;
    default: return raise_gp(v, 0); /* read-only */
    }
}

void hyperv_restored(struct vcpu *v, u32 msr)
{
    struct hyperv *h = &v->hv;
    if (is_synic(msr))
        synic_restored(v, msr);
    if (msr == MSR_HYPERV_RUNTIME && h->runtime != HYPERV_NOT_SET) {
        u64 want = h->runtime;
        h->runtime_offset += want - runtime(v);
        h->runtime = HYPERV_NOT_SET;
    }
    if (msr == MSR_HYPERV_REFERENCE_TSC)
        request_set(v->vm->vcpu[0], REQ_PARAVIRT);
}
