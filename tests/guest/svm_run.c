/*
 * VMRUN and #VMEXIT: registers and L1's state, the other SVM instructions, time, the last branch, single steps and
 * breakpoints of L1 on VMRUN.
 */
#include "svm.h"

static struct vmcb saved_vmcb __attribute__((aligned(4096)));

L2(l2_nothing, "", "vmmcall", "");
L2(l2_registers, "mov $0x11, %ecx; mov $0x22, %ebx; inc %r15; mov $0x55, %eax", "vmmcall", "");
L2(l2_branch, "jmp l2_branch_at; nop", "vmmcall", "");
L2(l2_cpuid, "xor %eax, %eax", "cpuid", "");
L2(l2_rdtsc, "", "rdtsc", "");
L2(l2_pause, "", "pause", "jmp l2_pause");
L2(l2_shutdown, "lidt l2_no_idt(%rip)", "ud2", "");
__asm__(".data\nl2_no_idt: .word 0; .quad 0\n.text\n");

static void basics(void)
{
    start(l2_nothing);
    exits(SVM_EXIT_VMMCALL, l2_nothing_at, 0, "VMRUN and VMMCALL");
    nrip(l2_nothing_after, "nRIP of VMMCALL");
    check(!(C.exit_int_info & SVM_EVENT_V), "no event was being delivered");
    prepare(l2_registers);
    regs.r15 = 7;
    G.rax = 9;
    resume();
    check(regs.rcx == 0x11 && regs.rbx == 0x22 && regs.r15 == 8 && G.rax == 0x55, "general registers");
    check(read_cr3() == (u64)pml4 && !(read_rflags() & FLAG_IF), "L1's state is back");
    check_eq(read_dr7(), DR7_FIXED, "#VMEXIT disables breakpoints");
    check_eq(G.cpl, 0, "CPL is saved");
    check_eq(G.cs.attr,
             SEG_TYPE_CODE | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_S | VMCB_ATTR_P | VMCB_ATTR_L | VMCB_ATTR_G,
             "CS attributes are saved");

    start_with(l2_cpuid, SVM_EXIT_CPUID);
    exits(SVM_EXIT_CPUID, l2_cpuid_at, 0, "CPUID intercept");
    nrip(l2_cpuid_after, "nRIP of CPUID");
    G.rip += 2;
    resume();
    exits(SVM_EXIT_VMMCALL, l2_cpuid_after, 0, "L2 goes on behind CPUID");
    start(l2_cpuid);
    exits(SVM_EXIT_VMMCALL, l2_cpuid_after, 0, "CPUID without intercept");

    start(l2_shutdown);
    check_eq(C.exit_code, SVM_EXIT_SHUTDOWN, "shutdown intercept");
}

/* clang-format off */
static void vmrun_odd(void *p) { __asm__ volatile("vmrun" : : "a"(p) : "memory"); }
static void do_vmmcall(void *p) { __asm__ volatile("vmmcall" : : : "memory"); }
static void do_stgi(void *p) { stgi(); }
USER_TEXT static void user_clgi(void *p) { __asm__ volatile("clgi"); }
USER_TEXT static void user_vmmcall(void *p) { __asm__ volatile("vmmcall"); }
/* clang-format on */

static void instructions(void)
{
    struct fault f = catch_fault(vmrun_odd, (u8 *)&vmcb + 8);
    check(f.raised && f.vector == EXC_GP && f.error == 0, "VMRUN of an address within a page");
    f = catch_fault(do_vmmcall, NULL);
    check(f.raised && f.vector == EXC_UD, "VMMCALL in L1");
    f = catch_user(user_clgi, NULL);
    check(f.raised && f.vector == EXC_GP, "CLGI at CPL 3");
    f = catch_user(user_vmmcall, NULL);
    check(f.raised && f.vector == EXC_UD, "VMMCALL at CPL 3");
    u64 efer = rdmsr(MSR_EFER);
    wrmsr(MSR_EFER, efer & ~EFER_SVME);
    f = catch_fault(do_stgi, NULL);
    check(f.raised && f.vector == EXC_UD, "STGI without EFER.SVME");
    wrmsr(MSR_EFER, efer);

    u64 star = rdmsr(MSR_STAR);
    vmsave(&saved_vmcb);
    wrmsr(MSR_FS_BASE, 0x1234000);
    wrmsr(MSR_KERNEL_GS_BASE, 0xffff800012345678);
    wrmsr(MSR_STAR, 0x1122334455667788);
    wrmsr(MSR_SYSENTER_CS, 0x77);
    vmsave(&vmcb);
    check(G.fs.base == 0x1234000 && G.kernel_gs_base == 0xffff800012345678 && G.star == 0x1122334455667788 &&
              G.sysenter_cs == 0x77 && G.tr.sel == SEL_TSS,
          "VMSAVE");
    vmload(&saved_vmcb);
    check(rdmsr(MSR_FS_BASE) == 0 && rdmsr(MSR_STAR) == star && rdmsr(MSR_SYSENTER_CS) != 0x77, "VMLOAD");
    G.fs.base = 0x0000800000000000;
    vmload(&vmcb);
    check_eq(rdmsr(MSR_FS_BASE), 0xffff800000000000, "VMLOAD makes bases canonical");
    vmload(&saved_vmcb);
}

static void time(void)
{
    prepare(l2_rdtsc);
    C.tsc_offset = 1ull << 50;
    u64 before = rdtsc();
    resume();
    u64 seen = (regs.rdx << 32 | (u32)G.rax) - (1ull << 50), after = rdtsc();
    check(seen >= before && seen <= after, "TSC_OFFSET");
    if (features & HAS_TSC_RATE) {
        wrmsr(MSR_TSC_RATIO, 1ull << 33);
        prepare(l2_rdtsc);
        before = rdtsc();
        resume();
        seen = regs.rdx << 32 | (u32)G.rax;
        after = rdtsc();
        wrmsr(MSR_TSC_RATIO, 1ull << 32);
        check(seen >= before * 2 && seen <= after * 2, "TSC ratio 2");
    } else {
        skip("TSC ratio", "no TSC rate MSR");
    }
    if (features & HAS_PAUSE_FILTER) {
        prepare(l2_pause);
        intercept(SVM_EXIT_PAUSE, true);
        C.pause_count = 1000;
        resume();
        check_eq(C.exit_code, SVM_EXIT_PAUSE, "the pause filter runs out");
    } else {
        skip("pause filter", "no pause filter");
    }
}

static void last_branch(void)
{
    if (!(features & HAS_LBR_VIRTUALIZATION)) {
        skip("LBR virtualization", "no LBRV");
        return;
    }
    prepare(l2_branch);
    C.virt_ext = VIRT_EXT_LBR;
    G.dbgctl = DEBUGCTL_LBR;
    resume();
    check(G.lbr[0] == (u64)l2_branch && G.lbr[1] == (u64)l2_branch_at, "L2's last branch is in the VMCB");
    check_eq(G.dbgctl, DEBUGCTL_LBR, "L2's DEBUGCTL is in the VMCB");
    check_eq(rdmsr(MSR_DEBUGCTL), 0, "L1's DEBUGCTL is its own");
}

static u64 step_rips[8];
static unsigned steps;
static void on_step(struct frame *f)
{
    if (steps < 8)
        step_rips[steps++] = f->rip;
    write_dr6(DR6_FIXED);
}

/* POPF sets TF, so VMRUN is the first instruction that traps: once, at the #VMEXIT. */
extern const u8 host_step_after[];
static void host_step(void)
{
    prepare(l2_registers);
    on_vector(EXC_DB, on_step);
    clgi();
    __asm__ volatile("pushfq; btsl $8, (%%rsp); popfq\n\t"
                     "vmrun\n\t"
                     "host_step_after: pushfq; btrl $8, (%%rsp); popfq\n\t"
                     :
                     : "a"(&vmcb)
                     : "memory", "cc", "rbx", "rcx", "r15");
    stgi();
    on_vector(EXC_DB, NULL);
    check(C.exit_code == SVM_EXIT_VMMCALL && steps == 4 && step_rips[0] == (u64)host_step_after,
          "TF at VMRUN traps after the #VMEXIT");
}

static void on_breakpoint(struct frame *f)
{
    on_step(f);
    f->rflags |= FLAG_RF;
}

/* A breakpoint on VMRUN is met although GIF is 0. */
extern const u8 host_breakpoint_at[];
static void host_breakpoint(void)
{
    prepare(l2_registers);
    on_vector(EXC_DB, on_breakpoint);
    steps = 0;
    write_dr0((u64)host_breakpoint_at);
    write_dr7(DR7_FIXED | 1);
    clgi();
    __asm__ volatile("host_breakpoint_at: vmrun" : : "a"(&vmcb) : "memory", "cc", "rbx", "rcx", "r15");
    stgi();
    on_vector(EXC_DB, NULL);
    check(C.exit_code == SVM_EXIT_VMMCALL && steps == 1 && step_rips[0] == (u64)host_breakpoint_at,
          "a breakpoint on VMRUN");
}

int main(void)
{
    if (!svm_begin())
        return 0;
    check(cpuid(0x8000000a, 0).b >= 8, "CPUID shows ASIDs");
    check(!(rdmsr(MSR_VM_CR) & VM_CR_SVMDIS), "VM_CR.SVMDIS is clear");
    check_eq(rdmsr(MSR_VM_HSAVE_PA), (u64)hsave, "VM_HSAVE_PA");
    basics();
    instructions();
    time();
    last_branch();
    host_step();
    host_breakpoint();
    return 0;
}
