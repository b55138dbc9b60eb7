/*
 * See svm.h.
 */
#include "svm.h"

#define PAGED __attribute__((aligned(4096)))
struct vmcb vmcb PAGED, host_vmcb PAGED;
u8 hsave[4096] PAGED, iopm[IOPM_SIZE] PAGED, msrpm[MSRPM_SIZE] PAGED, l2_stack[16384] PAGED;
struct registers regs;
u64 *npt, *scratch;
u32 features;

__asm__(".text\n"
        ".globl run_guest\n"
        "run_guest:\n"
        "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "  push %rsi\n"
        "  mov %rdi, %rax\n"
        "  mov 0(%rsi), %rbx; mov 8(%rsi), %rcx; mov 16(%rsi), %rdx; mov 32(%rsi), %rdi; mov 40(%rsi), %rbp\n"
        "  mov 48(%rsi), %r8; mov 56(%rsi), %r9; mov 64(%rsi), %r10; mov 72(%rsi), %r11\n"
        "  mov 80(%rsi), %r12; mov 88(%rsi), %r13; mov 96(%rsi), %r14; mov 104(%rsi), %r15\n"
        "  mov 24(%rsi), %rsi\n"
        "  vmrun\n"
        "  push %rsi\n"
        "  mov 8(%rsp), %rsi\n"
        "  mov %rbx, 0(%rsi); mov %rcx, 8(%rsi); mov %rdx, 16(%rsi); mov %rdi, 32(%rsi); mov %rbp, 40(%rsi)\n"
        "  mov %r8, 48(%rsi); mov %r9, 56(%rsi); mov %r10, 64(%rsi); mov %r11, 72(%rsi)\n"
        "  mov %r12, 80(%rsi); mov %r13, 88(%rsi); mov %r14, 96(%rsi); mov %r15, 104(%rsi)\n"
        "  pop %rax; mov %rax, 24(%rsi)\n"
        "  pop %rsi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "  ret\n");

void intercept(unsigned code, bool on)
{
    u32 *word = &C.intercept[code / 32];
    *word = on ? *word | BIT(code % 32) : *word & ~BIT(code % 32);
}

u64 resume(void)
{
    clgi();
    vmload(&vmcb);
    run_guest(&vmcb, &regs);
    vmsave(&vmcb);
    vmload(&host_vmcb);
    stgi();
    return C.exit_code;
}

static void segment(struct vmcb_segment *s, u16 sel)
{
    u64 d = gdt[sel / 8];
    *s = (struct vmcb_segment){.sel = sel, .attr = (u16)((d >> 40 & 0xff) | (d >> 52 & 0xf) << 8), .limit = ~0u};
}

void prepare(void (*fn)(void))
{
    fill(&vmcb, 0, sizeof vmcb);
    vmsave(&vmcb);
    intercept(SVM_EXIT_VMRUN, true);
    intercept(SVM_EXIT_VMMCALL, true);
    intercept(SVM_EXIT_SHUTDOWN, true);
    C.asid = 1;
    C.tlb_control = TLB_CONTROL_FLUSH_ALL;
    C.iopm = (u64)iopm;
    C.msrpm = (u64)msrpm;
    C.nested = NESTED_NP_ENABLE;
    C.ncr3 = (u64)npt;
    segment(&G.es, SEL_DATA);
    segment(&G.cs, SEL_CODE64);
    segment(&G.ss, SEL_DATA);
    segment(&G.ds, SEL_DATA);
    G.gdtr.base = (u64)gdt;
    G.gdtr.limit = (u32)((u64)gdt_end - (u64)gdt - 1);
    G.idtr.base = (u64)idt;
    G.idtr.limit = 4095;
    G.efer = rdmsr(MSR_EFER);
    G.cr0 = read_cr0();
    G.cr3 = read_cr3();
    G.cr4 = read_cr4();
    G.dr6 = DR6_FIXED;
    G.dr7 = DR7_FIXED;
    G.rflags = FLAG_ONE;
    G.rip = (u64)fn;
    G.rsp = (u64)(l2_stack + sizeof l2_stack - 8);
    G.g_pat = rdmsr(MSR_PAT);
    fill(&regs, 0, sizeof regs);
}

u64 start(void (*fn)(void))
{
    prepare(fn);
    return resume();
}

u64 start_with(void (*fn)(void), unsigned code)
{
    prepare(fn);
    intercept(code, true);
    return resume();
}

void exits(u64 code, const u8 *at, u64 info1, const char *name)
{
    bool good = C.exit_code == code && G.rip == (u64)at && C.exit_info1 == info1;
    check(good, name);
    if (!good) {
        print("# code ");
        print_hex(C.exit_code);
        print(" info1 ");
        print_hex(C.exit_info1);
        print(" info2 ");
        print_hex(C.exit_info2);
        print(" rip ");
        print_hex(G.rip);
        print(" not ");
        print_hex((u64)at);
        print("\n");
    }
}

void nrip(const u8 *after, const char *name)
{
    if (features & HAS_NRIPS)
        check_eq(C.nrip, (u64)after, name);
    else
        skip(name, "no NRIPS");
}

bool svm_begin(void)
{
    if (cpuid(0x80000000, 0).a < 0x8000000a || !(cpuid(0x80000001, 0).c & BIT(2))) {
        skip("SVM", "no SVM");
        return false;
    }
    features = cpuid(0x8000000a, 0).d;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, (u64)hsave);
    vmsave(&host_vmcb);

    npt = page_alloc();
    for (u64 a = 0; a < 16 << 20; a += 4096)
        *pte_of(npt, a, 1) = a | PTE_P | PTE_W | PTE_U;
    for (u64 a = 16 << 20; a < 4ull << 30; a += 2 << 20)
        *pte_of(npt, a, 2) = a | PTE_P | PTE_W | PTE_U | PTE_PS;
    scratch = page_alloc();
    return true;
}
