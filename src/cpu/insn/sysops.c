/*
 * System instructions that need little more than their checks: time, random numbers, waiting, XCR0, PKRU, and those
 * that this machine never has (SMX).
 * Source: SDM volume 2 and APM volume 3, each under the instruction's name.
 */
#include "cpu/core/cpuid.h"
#include "cpu/core/nested.h"
#include "cpu/event/lapic.h"
#include "cpu/event/perf.h"
#include "cpu/insn/ops.h"
#include "cpu/insn/xstate.h"
#include "x86/msr.h"

enum outcome op_ud(struct vcpu *v, const struct insn *in)
{
    return raise_ud(v);
}

/* -- waiting -- */

enum outcome op_hlt(struct vcpu *v, const struct insn *in)
{
    if (v->cpl)
        return raise_gp(v, 0);
    TRY(nested_check(v, IC_HLT, 0, 0));
    v->activity = ACTIVITY_HLT;
    return CPU_OK;
}

enum outcome op_pause(struct vcpu *v, const struct insn *in)
{
    TRY(nested_check(v, IC_PAUSE, 0, 0));
    __builtin_ia32_pause();
    return CPU_OK;
}

/* CPU_NEXT: there are none, and they do nothing. */
static enum outcome monitor_legal(struct vcpu *v)
{
    bool enabled = v->misc_enable & MISC_ENABLE_MONITOR || v->vm->vendor != VENDOR_INTEL;
    bool exists = cpu_has(v->vm, FEATURE_MONITOR) && enabled;
    if (vm_quirk(v->vm, CPU_MONITOR_BY_MSR))
        exists = v->misc_enable & MISC_ENABLE_MONITOR;
    if (v->cpl)
        return raise_ud(v);
    if (exists)
        return CPU_OK;
    return vm_quirk(v->vm, CPU_QUIRK_MONITOR) ? CPU_NEXT : raise_ud(v);
}

enum outcome op_monitor(struct vcpu *v, const struct insn *in)
{
    u64 la;
    enum outcome out = monitor_legal(v);
    if (out != CPU_OK)
        return out == CPU_NEXT ? CPU_OK : out;
    if ((u32)v->gpr[RCX]) /* no extension is defined */
        return raise_gp(v, 0);
    TRY(nested_check(v, IC_MONITOR, 0, 0));
    TRY(seg_linear(v, in->seg, mask_size(v->gpr[RAX], in->asz), 1, ACCESS_READ, &la));
    TRY(mmu_translate(v, la, ACCESS_READ, &v->monitor_gpa));
    v->monitor_armed = true;
    return CPU_OK;
}

/* Stores of other CPUs are not watched, so this returns at once: software must expect wake-ups without a reason. */
enum outcome op_mwait(struct vcpu *v, const struct insn *in)
{
    enum outcome out = monitor_legal(v);
    if (out != CPU_OK)
        return out == CPU_NEXT ? CPU_OK : out;
    if ((u32)v->gpr[RCX] & ~1u) /* bit 0: interrupts break out even if masked */
        return raise_gp(v, 0);
    TRY(nested_check(v, IC_MWAIT, v->monitor_armed, 0));
    v->monitor_armed = false;
    __builtin_ia32_pause();
    return CPU_OK;
}

/* -- time and counters -- */

static void result_edx_eax(struct vcpu *v, u64 value)
{
    v->gpr[RAX] = (u32)value;
    v->gpr[RDX] = value >> 32;
}

static void result_tsc(struct vcpu *v)
{
    result_edx_eax(v, tsc_read(v));
    if (v->in_guest)
        nested_tsc_seen(v);
}

enum outcome op_rdtsc(struct vcpu *v, const struct insn *in)
{
    if ((v->cr4 & CR4_TSD) && v->cpl)
        return raise_gp(v, 0);
    TRY(nested_check(v, IC_RDTSC, 0, 0));
    result_tsc(v);
    return CPU_OK;
}

enum outcome op_rdtscp(struct vcpu *v, const struct insn *in)
{
    if (!cpu_has(v->vm, FEATURE_RDTSCP))
        return raise_ud(v);
    if ((v->cr4 & CR4_TSD) && v->cpl)
        return raise_gp(v, 0);
    TRY(nested_check(v, IC_RDTSCP, 0, 0));
    __asm__ volatile("lfence" : : : "memory"); /* waits for earlier loads, or time goes back between CPUs */
    result_tsc(v);
    v->gpr[RCX] = (u32)v->tsc_aux;
    return CPU_OK;
}

/* There is no performance-monitoring unit but for AMD's four legacy counters. */
enum outcome op_rdpmc(struct vcpu *v, const struct insn *in)
{
    if (!(v->cr4 & CR4_PCE) && v->cpl)
        return raise_gp(v, 0);
    TRY(nested_check(v, IC_RDPMC, 0, 0));
    u32 i = (u32)v->gpr[RCX];
    if (v->vm->vendor == VENDOR_INTEL || i >= PERF_COUNTERS)
        return raise_gp(v, 0);
    u64 value;
    TRY(perf_read(v, MSR_K7_EVNTSEL0 + PERF_COUNTERS + i, &value));
    result_edx_eax(v, value);
    return CPU_OK;
}

enum outcome op_rdpid(struct vcpu *v, const struct insn *in)
{
    if (!cpu_has(v->vm, FEATURE_RDPID))
        return raise_ud(v);
    TRY(nested_check(v, IC_RDPID, 0, 0));
    v->gpr[in->rm] = (u32)v->tsc_aux;
    return CPU_OK;
}

/* -- XCR0 and PKRU -- */

enum outcome op_xgetbv(struct vcpu *v, const struct insn *in)
{
    if (!(v->cr4 & CR4_OSXSAVE))
        return raise_ud(v);
    u32 index = (u32)v->gpr[RCX];
    if (index > 1 || (index == 1 && !cpu_has(v->vm, FEATURE_XGETBV1)))
        return raise_gp(v, 0);
    result_edx_eax(v, index ? xstate_in_use(v) : v->xcr0);
    return CPU_OK;
}

enum outcome op_xsetbv(struct vcpu *v, const struct insn *in)
{
    u64 value = v->gpr[RDX] << 32 | (u32)v->gpr[RAX];
    if (!(v->cr4 & CR4_OSXSAVE))
        return raise_ud(v);
    if (v->cpl)
        return raise_gp(v, 0);
    TRY(nested_check(v, IC_XSETBV, 0, 0));
    if ((u32)v->gpr[RCX] || !xstate_xcr0_valid(v, value))
        return raise_gp(v, 0);
    v->xcr0 = value;
    mode_update(v);
    return CPU_OK;
}

enum outcome op_rdpkru(struct vcpu *v, const struct insn *in)
{
    if (!(v->cr4 & CR4_PKE))
        return raise_ud(v);
    if ((u32)v->gpr[RCX])
        return raise_gp(v, 0);
    result_edx_eax(v, v->pkru);
    return CPU_OK;
}

enum outcome op_wrpkru(struct vcpu *v, const struct insn *in)
{
    if (!(v->cr4 & CR4_PKE))
        return raise_ud(v);
    if ((u32)v->gpr[RCX] || (u32)v->gpr[RDX])
        return raise_gp(v, 0);
    v->pkru = (u32)v->gpr[RAX];
    mmu_select(v);
    return CPU_OK;
}

/* -- random numbers -- */

static void random_result(struct vcpu *v, const struct insn *in, u64 value, bool valid)
{
    reg_write(v, in->rm, in->osz, in->rex, value);
    rflags_set_arith(v, valid ? FLAG_CF : 0);
}

enum outcome op_rdrand(struct vcpu *v, const struct insn *in)
{
    u64 value;
    bool valid;
    if (!cpu_has(v->vm, FEATURE_RDRAND))
        return raise_ud(v);
    TRY(nested_check(v, IC_RDRAND, 0, 0));
    __asm__ volatile("rdrand %0" : "=r"(value), "=@ccc"(valid));
    random_result(v, in, mask_size(value, in->osz), valid);
    return CPU_OK;
}

enum outcome op_rdseed(struct vcpu *v, const struct insn *in)
{
    u64 value;
    bool valid;
    if (!cpu_has(v->vm, FEATURE_RDSEED))
        return raise_ud(v);
    TRY(nested_check(v, IC_RDSEED, 0, 0));
    __asm__ volatile("rdseed %0" : "=r"(value), "=@ccc"(valid));
    random_result(v, in, mask_size(value, in->osz), valid);
    return CPU_OK;
}

/* -- modes that this machine does not have -- */

enum outcome op_getsec(struct vcpu *v, const struct insn *in)
{
    if (!(v->cr4 & CR4_SMXE))
        return raise_ud(v);
    TRY(nested_check(v, IC_GETSEC, 0, 0));
    return raise_gp(v, 0);
}

enum outcome op_cpuid(struct vcpu *v, const struct insn *in)
{
    if (unlikely(v->vm->foreign && !v->cpl))
        mmu_foreign_doubt(v);
    else
        mmu_serialise(v);
    TRY(nested_check(v, IC_CPUID, 0, 0));
    u32 r[4];
    cpuid_read(v, (u32)v->gpr[RAX], (u32)v->gpr[RCX], r);
    v->gpr[RAX] = r[0];
    v->gpr[RBX] = r[1];
    v->gpr[RCX] = r[2];
    v->gpr[RDX] = r[3];
    return CPU_OK;
}
