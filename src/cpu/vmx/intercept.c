/*
 * Instructions of L2 that exit: which ones, and with what qualification and instruction information; and the control
 * registers as L2 sees them through guest/host masks and read shadows. Handlers come here by nested_check.
 * Source: Intel SDM volume 3C, "VMX Non-Root Operation" and "Basic VM-Exit Information".
 */
#include "cpu/event/lapic.h"
#include "cpu/mmu/segment.h"
#include "cpu/vmx/vmx.h"
#include "x86/msr.h"

/* Layouts of the VM-exit instruction-information field, by what they have besides the memory operand. */
enum info_form {
    INFO_MEMORY,  /* VMCLEAR, VMPTRLD, VMPTRST, VMXON, XRSTORS, XSAVES */
    INFO_REG2,    /* INVEPT, INVPCID, INVVPID: Reg2 */
    INFO_RM_REG2, /* VMREAD, VMWRITE: Reg1 or memory, and Reg2 */
    INFO_GDTR,    /* SGDT, SIDT, LGDT, LIDT: operand size and identity */
    INFO_LDTR,    /* SLDT, STR, LLDT, LTR: Reg1 or memory, identity */
};

static u32 memory_info(const struct insn *in)
{
    u32 info = INSN_INFO_ASIZE(in->asz) | (u32)in->seg << INSN_INFO_SEG_SHIFT;
    if (in->index != REG_NONE)
        info |= (u32)__builtin_ctz(in->scale) | (u32)in->index << INSN_INFO_INDEX_SHIFT;
    else
        info |= INSN_INFO_NO_INDEX;
    if (in->base != REG_NONE && in->base != REG_RIP)
        info |= (u32)in->base << INSN_INFO_BASE_SHIFT;
    else
        info |= INSN_INFO_NO_BASE;
    return info;
}

static u32 instruction_info(const struct insn *in, enum info_form form, u32 identity)
{
    u32 info = in->mem ? memory_info(in) : INSN_INFO_REGISTER | (u32)in->rm << INSN_INFO_REG1_SHIFT;
    if (form == INFO_REG2 || form == INFO_RM_REG2)
        info |= (u32)in->reg << INSN_INFO_REG2_SHIFT;
    else if (form == INFO_GDTR)
        info |= (in->osz == 2 ? 0 : INSN_INFO_OSIZE32) | identity << INSN_INFO_IDENTITY_SHIFT;
    else if (form == INFO_LDTR)
        info |= identity << INSN_INFO_IDENTITY_SHIFT;
    return info;
}

/* SDM "Exit Qualification" for instructions with a memory operand: its displacement. */
static u64 displacement(const struct vcpu *v, const struct insn *in)
{
    if (!in->mem)
        return 0;
    return in->base == REG_RIP ? v->next_rip + (u64)in->disp : (u64)in->disp;
}

static enum outcome exit_memory(struct vcpu *v, u32 reason, enum info_form form, u32 identity)
{
    v->vmx->f.exit_insn_info = instruction_info(v->insn, form, identity);
    return vmx_exit_insn(v, reason, displacement(v, v->insn));
}

enum outcome vmx_exit_instruction(struct vcpu *v, const struct insn *in, u32 reason)
{
    enum info_form form = INFO_MEMORY;
    switch (reason) {
    case EXIT_INVEPT:
    case EXIT_INVVPID: form = INFO_REG2; break;
    case EXIT_VMREAD:
    case EXIT_VMWRITE: form = INFO_RM_REG2; break;
    case EXIT_VMXOFF:
    case EXIT_VMLAUNCH:
    case EXIT_VMRESUME: return vmx_exit_insn(v, reason, 0);
    }
    v->vmx->f.exit_insn_info = instruction_info(in, form, 0);
    return vmx_exit_insn(v, reason, displacement(v, in));
}

/* -- port I/O -- */

static bool bitmap_bit(struct vcpu *v, u64 bitmap, u32 bit)
{
    gpa_t gpa = GPA(bitmap + bit / 8);
    const u8 *p = vcpu_ram(v, gpa);
    u8 byte;
    if (likely(p))
        byte = *p;
    else
        phys_read(v, gpa, &byte, 1);
    return byte >> (bit % 8) & 1;
}

/* SDM "Instructions That Cause VM Exits Conditionally": an access that wraps around port FFFFH exits. */
static bool io_exits(struct vcpu *v, u32 port, u32 size)
{
    const struct vmcs *f = &v->vmx->f;
    if (!(f->proc & PROC_IO_BITMAPS))
        return f->proc & PROC_UNCONDITIONAL_IO;
    if (port + size > 2 * IO_BITMAP_PORTS)
        return true;
    for (u32 i = port; i < port + size; i++) {
        if (bitmap_bit(v, i < IO_BITMAP_PORTS ? f->io_bitmap_a : f->io_bitmap_b, i % IO_BITMAP_PORTS))
            return true;
    }
    return false;
}

static enum outcome intercept_io(struct vcpu *v, u32 io)
{
    u32 port = IO_INFO_PORT_OF(io), size = IO_INFO_SIZE_OF(io);
    if (!io_exits(v, port, size))
        return CPU_OK;
    struct vmcs *f = &v->vmx->f;
    u64 qualification = (size - 1) | (io & IO_INFO_IN ? IOQ_IN : 0) | (io & IO_INFO_STRING ? IOQ_STRING : 0) |
                        (io & IO_INFO_REP ? IOQ_REP : 0) | (io & IO_INFO_IMM ? IOQ_IMMEDIATE : 0) |
                        (u64)port << IOQ_PORT_SHIFT;
    if (io & IO_INFO_STRING) {
        unsigned asize = io & IO_INFO_ASIZE(2) ? 2 : io & IO_INFO_ASIZE(4) ? 4 : 8;
        unsigned seg = io & IO_INFO_IN ? SEG_ES : IO_INFO_SEG_OF(io);
        u64 offset = mask_size(v->gpr[io & IO_INFO_IN ? RDI : RSI], asize);
        bool based = !in_64bit(v) || seg == SEG_FS || seg == SEG_GS;
        u64 la = offset + (based ? v->seg[seg].base : 0);
        f->guest_linear = in_64bit(v) ? la : (u32)la;
        f->exit_insn_info = INSN_INFO_ASIZE(asize) | (u32)seg << INSN_INFO_SEG_SHIFT;
    }
    return vmx_exit_insn(v, EXIT_IO, qualification);
}

/* -- MSRs -- */

/* SDM "MSR-Bitmap Address": read low, read high, write low, write high, 1 KiB each. */
static bool msr_exits(struct vcpu *v, u32 msr, bool write)
{
    const struct vmcs *f = &v->vmx->f;
    if (!(f->proc & PROC_MSR_BITMAPS))
        return true;
    u64 bitmap = f->msr_bitmap + (write ? MSR_BITMAP_WRITE : MSR_BITMAP_READ);
    if (msr < MSR_RANGE_SIZE)
        return bitmap_bit(v, bitmap, msr);
    if (msr - MSR_RANGE_EXTENDED < MSR_RANGE_SIZE)
        return bitmap_bit(v, bitmap + MSR_BITMAP_EXTENDED, msr - MSR_RANGE_EXTENDED);
    return true;
}

/* -- control and debug registers -- */

static u64 cr_qualification(unsigned cr, unsigned type, unsigned reg)
{
    return cr | type << CRQ_TYPE_SHIFT | reg << CRQ_GPR_SHIFT;
}

static bool cr3_is_target(const struct vmcs *f, u64 value)
{
    for (u32 i = 0; i < f->cr3_target_count; i++) {
        if (f->cr3_target[i] == value)
            return true;
    }
    return false;
}

static enum outcome intercept_cr_write(struct vcpu *v, u64 info, u64 value)
{
    const struct vmcs *f = &v->vmx->f;
    unsigned cr = info & 0xff, reg = info >> 8 & 15;
    bool exits = false;
    switch (cr) {
    case 0: exits = (value ^ f->cr0_shadow) & f->cr0_mask; break;
    case 3: exits = f->proc & PROC_CR3_LOAD_EXITING && !cr3_is_target(f, value); break;
    case 4: exits = (value ^ f->cr4_shadow) & f->cr4_mask; break;
    case 8: exits = f->proc & PROC_CR8_LOAD_EXITING; break;
    }
    return exits ? vmx_exit_insn(v, EXIT_CR_ACCESS, cr_qualification(cr, CRQ_MOV_TO, reg)) : CPU_OK;
}

static enum outcome intercept_cr_read(struct vcpu *v, unsigned cr, unsigned reg)
{
    u32 proc = v->vmx->f.proc;
    if ((cr == 3 && proc & PROC_CR3_STORE_EXITING) || (cr == 8 && proc & PROC_CR8_STORE_EXITING))
        return vmx_exit_insn(v, EXIT_CR_ACCESS, cr_qualification(cr, CRQ_MOV_FROM, reg));
    return CPU_OK;
}

static enum outcome intercept_clts(struct vcpu *v)
{
    const struct vmcs *f = &v->vmx->f;
    if (f->cr0_mask & f->cr0_shadow & CR0_TS)
        return vmx_exit_insn(v, EXIT_CR_ACCESS, cr_qualification(0, CRQ_CLTS, 0));
    return CPU_OK;
}

static enum outcome intercept_lmsw(struct vcpu *v, u64 source, u64 la)
{
    struct vmcs *f = &v->vmx->f;
    const u64 rest = CR0_MP | CR0_EM | CR0_TS;
    /* LMSW cannot clear PE. */
    bool exits = f->cr0_mask & ((source & ~f->cr0_shadow & CR0_PE) | ((source ^ f->cr0_shadow) & rest));
    if (!exits)
        return CPU_OK;
    bool memory = la != LMSW_NO_MEMORY;
    if (memory)
        f->guest_linear = la;
    return vmx_exit_insn(v, EXIT_CR_ACCESS,
                         cr_qualification(0, CRQ_LMSW, 0) | (memory ? CRQ_LMSW_MEMORY : 0) |
                             (u64)(u16)source << CRQ_LMSW_SOURCE_SHIFT);
}

static enum outcome intercept_dr(struct vcpu *v, u64 dr, u64 reg, bool read)
{
    if (!(v->vmx->f.proc & PROC_MOV_DR_EXITING))
        return CPU_OK;
    return vmx_exit_insn(v, EXIT_MOV_DR, dr | (read ? DRQ_FROM : 0) | reg << DRQ_GPR_SHIFT);
}

u64 vmx_cr_read(struct vcpu *v, unsigned cr, u64 value)
{
    const struct vmcs *f = &v->vmx->f;
    switch (cr) {
    case 0: return (value & ~f->cr0_mask) | (f->cr0_shadow & f->cr0_mask);
    case 4: return (value & ~f->cr4_mask) | (f->cr4_shadow & f->cr4_mask);
    case 8:
        if (f->proc & PROC_TPR_SHADOW) {
            const u32 *vtpr = vmx_vtpr(v);
            return vtpr ? TPR_CLASS(*vtpr) : 15;
        }
        return value;
    default: return value;
    }
}

u64 vmx_cr_write(struct vcpu *v, unsigned cr, u64 value)
{
    const struct vmcs *f = &v->vmx->f;
    switch (cr) {
    case 0: return (value & ~f->cr0_mask) | (v->cr0 & f->cr0_mask);
    case 4: return (value & ~f->cr4_mask) | (v->cr4 & f->cr4_mask);
    case 8:
        if (f->proc & PROC_TPR_SHADOW) {
            u32 vtpr = (u32)(value & 15) << 4;
            phys_write(v, GPA(f->virtual_apic + APIC_TPR), &vtpr, 4);
            vmx_tpr_changed(v, vtpr);
            return lapic_tpr_read(v); /* the real one stays */
        }
        return value;
    default: return value;
    }
}

/* -- the rest -- */

/* SDM "Changes to Instruction Behavior in VMX Non-Root Operation", PAUSE. */
static enum outcome intercept_pause(struct vcpu *v)
{
    struct vmx *x = v->vmx;
    if (x->f.proc & PROC_PAUSE_EXITING)
        return vmx_exit_insn(v, EXIT_PAUSE, 0);
    if (!(x->proc2 & PROC2_PAUSE_LOOP_EXITING) || v->cpl)
        return CPU_OK;
    u64 now = tsc_read_l1(v);
    if (!x->ple_first || now - x->ple_last > x->f.ple_gap)
        x->ple_first = now;
    else if (now - x->ple_first > x->f.ple_window)
        return vmx_exit_insn(v, EXIT_PAUSE, 0);
    x->ple_last = now;
    return CPU_OK;
}

/* RDRAND and RDSEED: the instruction information is the destination register and the operand size. */
static enum outcome exit_random(struct vcpu *v, u32 reason)
{
    const struct insn *in = v->insn;
    v->vmx->f.exit_insn_info = (u32)in->rm << INSN_INFO_REG1_SHIFT | INSN_INFO_OSIZE(in->osz);
    return vmx_exit_insn(v, reason, 0);
}

/* For exits that depend on a processor-based control and on nothing else. */
static inline enum outcome exit_if(struct vcpu *v, u32 condition, u32 reason, u64 qualification)
{
    return condition ? vmx_exit_insn(v, reason, qualification) : CPU_OK;
}

enum outcome vmx_intercept(struct vcpu *v, enum intercept ic, u64 info1, u64 info2)
{
    struct vmx *x = v->vmx;
    const struct vmcs *f = &x->f;
    switch (ic) {
    case IC_CPUID: return vmx_exit_insn(v, EXIT_CPUID, 0);
    case IC_INVD: return vmx_exit_insn(v, EXIT_INVD, 0);
    case IC_XSETBV: return vmx_exit_insn(v, EXIT_XSETBV, 0);
    case IC_GETSEC: return vmx_exit_insn(v, EXIT_GETSEC, 0);
    case IC_TASK_SWITCH: return vmx_exit(v, EXIT_TASK_SWITCH, (u16)info1 | (info2 & 3) << TASKQ_SOURCE_SHIFT);
    case IC_HLT: return exit_if(v, f->proc & PROC_HLT_EXITING, EXIT_HLT, 0);
    case IC_WBINVD: return exit_if(v, x->proc2 & PROC2_WBINVD_EXITING, EXIT_WBINVD, 0);
    case IC_INVLPG: return exit_if(v, f->proc & PROC_INVLPG_EXITING, EXIT_INVLPG, info1);
    case IC_INVPCID:
        if (!(x->proc2 & PROC2_INVPCID))
            return raise_ud(v);
        return f->proc & PROC_INVLPG_EXITING ? exit_memory(v, EXIT_INVPCID, INFO_REG2, 0) : CPU_OK;
    case IC_RDPMC: return exit_if(v, f->proc & PROC_RDPMC_EXITING, EXIT_RDPMC, 0);
    case IC_RDTSC: return exit_if(v, f->proc & PROC_RDTSC_EXITING, EXIT_RDTSC, 0);
    case IC_RDTSCP:
        if (!(x->proc2 & PROC2_RDTSCP))
            return raise_ud(v);
        return exit_if(v, f->proc & PROC_RDTSC_EXITING, EXIT_RDTSCP, 0);
    case IC_RDPID: return x->proc2 & PROC2_RDTSCP ? CPU_OK : raise_ud(v);
    case IC_RDRAND: return x->proc2 & PROC2_RDRAND_EXITING ? exit_random(v, EXIT_RDRAND) : CPU_OK;
    case IC_RDSEED: return x->proc2 & PROC2_RDSEED_EXITING ? exit_random(v, EXIT_RDSEED) : CPU_OK;
    case IC_MONITOR: return exit_if(v, f->proc & PROC_MONITOR_EXITING, EXIT_MONITOR, 0);
    case IC_MWAIT: return exit_if(v, f->proc & PROC_MWAIT_EXITING, EXIT_MWAIT, info1 & 1);
    case IC_PAUSE: return intercept_pause(v);
    case IC_XSAVES:
    case IC_XRSTORS:
        if (!(x->proc2 & PROC2_XSAVES))
            return raise_ud(v);
        if (info1 & v->xss & f->xss_exiting)
            return exit_memory(v, ic == IC_XSAVES ? EXIT_XSAVES : EXIT_XRSTORS, INFO_MEMORY, 0);
        return CPU_OK;
    case IC_IO: return intercept_io(v, (u32)info1);
    case IC_MSR: return exit_if(v, msr_exits(v, (u32)info1, info2 & 1), info2 & 1 ? EXIT_WRMSR : EXIT_RDMSR, 0);
    case IC_CR_READ: return intercept_cr_read(v, (unsigned)info1, (unsigned)info2);
    case IC_CR_WRITE: return intercept_cr_write(v, info1, info2);
    case IC_CLTS: return intercept_clts(v);
    case IC_LMSW: return intercept_lmsw(v, info1, info2);
    case IC_DR_READ: return intercept_dr(v, info1, info2, true);
    case IC_DR_WRITE: return intercept_dr(v, info1, info2, false);
    case IC_SGDT:
    case IC_SIDT:
    case IC_LGDT:
    case IC_LIDT:
        if (!(x->proc2 & PROC2_DESC_TABLE_EXITING))
            return CPU_OK;
        return exit_memory(v, EXIT_GDTR_IDTR, INFO_GDTR, ic - IC_SGDT);
    case IC_SLDT:
    case IC_STR:
    case IC_LLDT:
    case IC_LTR:
        if (!(x->proc2 & PROC2_DESC_TABLE_EXITING))
            return CPU_OK;
        return exit_memory(v, EXIT_LDTR_TR, INFO_LDTR, ic - IC_SLDT);
    default: /* intercepts that only SVM has */ return CPU_OK;
    }
}

bool vmx_user_is_plain(const struct vcpu *v)
{
    const struct vmx *x = v->vmx;
    return !(x->f.proc & PROC_PAUSE_EXITING) && !(x->proc2 & (PROC2_RDRAND_EXITING | PROC2_RDSEED_EXITING));
}
