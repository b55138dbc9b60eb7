/*
 * Instruction intercepts; handlers come here by nested_check. Exit codes below C0h number the bits of the VMCB's
 * intercept vectors, so a table from enum intercept to exit code says everything about the plain ones. I/O, MSRs,
 * control and debug registers, PAUSE, MWAIT and task switches have rules of their own.
 * Source: AMD APM volume 2, "Intercept Operation", "Instruction Intercepts", "IOIO Intercepts", "MSR Intercepts",
 * "Decode Assists", "Pause Intercept Filtering".
 */
#include "cpu/mmu/mmu.h"
#include "cpu/svm/svm.h"
#include "x86/msr.h"

/* So many host cycles count as one cycle of the pause threshold: a PAUSE of L2 costs some hundred cycles in the engine,
 * its first translation thousands. */
#define PAUSE_CYCLE 64ull

/* Exit codes by enum intercept. 0: SVM has no such intercept, or it is handled below (no plain one has code 0). */
static const u8 plain[IC_COUNT] = {
    [IC_CPUID] = SVM_EXIT_CPUID,     [IC_HLT] = SVM_EXIT_HLT,         [IC_INVD] = SVM_EXIT_INVD,
    [IC_WBINVD] = SVM_EXIT_WBINVD,   [IC_INVLPG] = SVM_EXIT_INVLPG,   [IC_INVPCID] = SVM_EXIT_INVPCID,
    [IC_RDPMC] = SVM_EXIT_RDPMC,     [IC_RDTSC] = SVM_EXIT_RDTSC,     [IC_RDTSCP] = SVM_EXIT_RDTSCP,
    [IC_MONITOR] = SVM_EXIT_MONITOR, [IC_XSETBV] = SVM_EXIT_XSETBV,   [IC_RSM] = SVM_EXIT_RSM,
    [IC_VMRUN] = SVM_EXIT_VMRUN,     [IC_VMMCALL] = SVM_EXIT_VMMCALL, [IC_VMLOAD] = SVM_EXIT_VMLOAD,
    [IC_VMSAVE] = SVM_EXIT_VMSAVE,   [IC_STGI] = SVM_EXIT_STGI,       [IC_CLGI] = SVM_EXIT_CLGI,
    [IC_INVLPGA] = SVM_EXIT_INVLPGA, [IC_SGDT] = SVM_EXIT_GDTR_READ,  [IC_SIDT] = SVM_EXIT_IDTR_READ,
    [IC_LGDT] = SVM_EXIT_GDTR_WRITE, [IC_LIDT] = SVM_EXIT_IDTR_WRITE, [IC_SLDT] = SVM_EXIT_LDTR_READ,
    [IC_STR] = SVM_EXIT_TR_READ,     [IC_LLDT] = SVM_EXIT_LDTR_WRITE, [IC_LTR] = SVM_EXIT_TR_WRITE,
    [IC_PUSHF] = SVM_EXIT_PUSHF,     [IC_POPF] = SVM_EXIT_POPF,       [IC_IRET] = SVM_EXIT_IRET,
    [IC_INTN] = SVM_EXIT_SWINT,      [IC_ICEBP] = SVM_EXIT_ICEBP,     [IC_FERR] = SVM_EXIT_FERR_FREEZE,
};

static enum outcome io_access(struct vcpu *v, u64 info, u64 next_rip)
{
    const struct svm *s = v->svm;
    if (!svm_intercepted(s, SVM_EXIT_IOIO))
        return CPU_OK;
    u32 port = IO_INFO_PORT_OF(info);
    u32 size = IO_INFO_SIZE_OF(info);
    u8 map[2];
    phys_read(v, GPA((s->control.iopm & ~PAGE_MASK) + port / 8), map, sizeof map);
    u32 bits = (map[0] | (u32)map[1] << 8) >> (port % 8);
    if (!(bits & (BIT(size) - 1)))
        return CPU_OK;
    return svm_exit_insn(v, SVM_EXIT_IOIO, info & ~(u64)IO_INFO_IMM, next_rip);
}

/* MSRs outside the map's three ranges are always intercepted. */
static enum outcome msr_access(struct vcpu *v, u32 msr, bool write)
{
    const struct svm *s = v->svm;
    if (!svm_intercepted(s, SVM_EXIT_MSR))
        return CPU_OK;
    u32 offset;
    if (msr < MSR_RANGE_SIZE)
        offset = 0;
    else if (msr - MSR_RANGE_EXTENDED < MSR_RANGE_SIZE)
        offset = MSRPM_EXTENDED;
    else if (msr - MSR_RANGE_AMD < MSR_RANGE_SIZE)
        offset = MSRPM_AMD;
    else
        return svm_exit_insn(v, SVM_EXIT_MSR, write, 0);
    u32 bit = msr % MSR_RANGE_SIZE * 2 + write;
    u8 map;
    phys_read(v, GPA((s->control.msrpm & ~PAGE_MASK) + offset + bit / 8), &map, sizeof map);
    return map & BIT(bit % 8) ? svm_exit_insn(v, SVM_EXIT_MSR, write, 0) : CPU_OK;
}

/* A write to CR0; `selective` says whether the selective intercept applies to this one. */
static enum outcome cr0_write(struct vcpu *v, bool selective, u64 info1)
{
    const struct svm *s = v->svm;
    if (svm_intercepted(s, SVM_EXIT_WRITE_CR0))
        return svm_exit_insn(v, SVM_EXIT_WRITE_CR0, info1, 0);
    if (selective && svm_intercepted(s, SVM_EXIT_CR0_SEL_WRITE))
        return svm_exit_insn(v, SVM_EXIT_CR0_SEL_WRITE, info1, 0);
    return CPU_OK;
}

static enum outcome cr_access(struct vcpu *v, enum intercept ic, u64 info1, u64 info2)
{
    unsigned cr = info1 & 0xf;
    if (ic == IC_CR_READ) {
        if (!svm_intercepted(v->svm, SVM_EXIT_READ_CR0 + cr))
            return CPU_OK;
        return svm_exit_insn(v, SVM_EXIT_READ_CR0 + cr, SVM_CR_INFO_MOV | (info2 & 0xf), 0);
    }
    u64 info = SVM_CR_INFO_MOV | (info1 >> 8 & 0xf);
    if (cr == 0)
        return cr0_write(v, (info2 ^ v->cr0) & ~(CR0_TS | CR0_MP | CR0_ET), info);
    if (!svm_intercepted(v->svm, SVM_EXIT_WRITE_CR0 + cr))
        return CPU_OK;
    return svm_exit_insn(v, SVM_EXIT_WRITE_CR0 + cr, info, 0);
}

static enum outcome dr_access(struct vcpu *v, unsigned base, u64 dr, u64 gpr)
{
    unsigned code = base + (dr & 0xf);
    return svm_intercepted(v->svm, code) ? svm_exit_insn(v, code, gpr & 0xf, 0) : CPU_OK;
}

static enum outcome pause(struct vcpu *v)
{
    struct svm *s = v->svm;
    if (!svm_intercepted(s, SVM_EXIT_PAUSE))
        return CPU_OK;
    if (s->control.pause_threshold) {
        u64 now = __builtin_ia32_rdtsc();
        if (now - s->pause_tsc > s->control.pause_threshold * PAUSE_CYCLE)
            s->pause_left = s->control.pause_count;
        s->pause_tsc = now;
    }
    if (s->pause_left) {
        s->pause_left--;
        return CPU_OK;
    }
    return svm_exit_insn(v, SVM_EXIT_PAUSE, 0, 0);
}

static enum outcome mwait(struct vcpu *v, bool armed)
{
    if (svm_intercepted(v->svm, SVM_EXIT_MWAIT))
        return svm_exit_insn(v, SVM_EXIT_MWAIT, 0, 0);
    if (armed && svm_intercepted(v->svm, SVM_EXIT_MWAIT_ARMED))
        return svm_exit_insn(v, SVM_EXIT_MWAIT_ARMED, 0, 0);
    return CPU_OK;
}

static enum outcome task_gate(struct vcpu *v, u16 selector, unsigned source)
{
    if (!svm_intercepted(v->svm, SVM_EXIT_TASK_SWITCH))
        return CPU_OK;
    u64 info2 = source == TASK_IRET ? SVM_TASK_IRET : source == TASK_JMP ? SVM_TASK_JMP : 0;
    if (source == TASK_GATE && v->delivering.valid && v->delivering.has_error)
        info2 |= SVM_TASK_ERROR | v->delivering.error;
    if (v->delivering.valid ? v->delivering.rf : v->flags & FLAG_RF) /* what the old task's TSS would get */
        info2 |= SVM_TASK_RF;
    return svm_exit(v, SVM_EXIT_TASK_SWITCH, selector, info2);
}

enum outcome svm_intercept(struct vcpu *v, enum intercept ic, u64 info1, u64 info2)
{
    if (plain[ic]) {
        if (likely(!svm_intercepted(v->svm, plain[ic])))
            return CPU_OK;
        switch (ic) { /* "Decode Assists" */
        case IC_INVLPG:
        case IC_INVPCID: return svm_exit_insn(v, plain[ic], info1, info2);
        case IC_INTN: return svm_exit_insn(v, plain[ic], info1, 0);
        default: return svm_exit_insn(v, plain[ic], 0, 0);
        }
    }
    switch (ic) {
    case IC_IO: return io_access(v, info1, info2);
    case IC_MSR: return msr_access(v, (u32)info1, info2);
    case IC_CR_READ:
    case IC_CR_WRITE: return cr_access(v, ic, info1, info2);
    case IC_SMSW:
        return svm_intercepted(v->svm, SVM_EXIT_READ_CR0) ? svm_exit_insn(v, SVM_EXIT_READ_CR0, 0, 0) : CPU_OK;
    case IC_CLTS: return cr0_write(v, false, 0);
    case IC_LMSW: /* "LMSW treats the selective CR0-write intercept as a non-selective intercept" */
        return cr0_write(v, true, 0);
    case IC_DR_READ: return dr_access(v, SVM_EXIT_READ_DR0, info1, info2);
    case IC_DR_WRITE: return dr_access(v, SVM_EXIT_WRITE_DR0, info1, info2);
    case IC_PAUSE: return pause(v);
    case IC_MWAIT: return mwait(v, info1);
    case IC_TASK_SWITCH: return task_gate(v, (u16)info1, (unsigned)info2);
    default: return CPU_OK;
    }
}

/* PAUSEs that are filtered need not be counted: L1 asks for exits of loops, and its timer ends them, too. */
bool svm_user_is_plain(const struct vcpu *v)
{
    const struct svm *s = v->svm;
    return !svm_intercepted(s, SVM_EXIT_PUSHF) && !svm_intercepted(s, SVM_EXIT_POPF) &&
           !svm_intercepted(s, SVM_EXIT_IRET) && (!svm_intercepted(s, SVM_EXIT_PAUSE) || s->control.pause_count);
}
