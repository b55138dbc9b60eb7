/*
 * See vmx.h.
 */
#include "vmx.h"

#define RWX (EPT_R | EPT_W | EPT_X)
#define PAGED __attribute__((aligned(4096)))
u8 vmxon_region[4096] PAGED, vmcs[4096] PAGED, l2_stack[16384] PAGED;
u64 *ept;
bool launched;
u32 pin_may, proc_may, proc2_may, proc_base;

struct registers regs;

/* run_guest returns 0 if L2 exited, 1 after VMfailInvalid, 2 after VMfailValid. */
extern const u8 guest_exit[];
__asm__(".text\n"
        ".globl run_guest\n"
        "run_guest:\n"
        "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "  push %rdi\n"
        "  mov $0x6c14, %eax\n" /* VMCS_HOST_RSP */
        "  vmwrite %rsp, %rax\n"
        "  test %rsi, %rsi\n"
        "  mov 0(%rdi), %rax; mov 8(%rdi), %rbx; mov 16(%rdi), %rcx; mov 24(%rdi), %rdx; mov 32(%rdi), %rsi\n"
        "  mov 48(%rdi), %rbp; mov 56(%rdi), %r8; mov 64(%rdi), %r9; mov 72(%rdi), %r10; mov 80(%rdi), %r11\n"
        "  mov 88(%rdi), %r12; mov 96(%rdi), %r13; mov 104(%rdi), %r14; mov 112(%rdi), %r15\n"
        "  mov 40(%rdi), %rdi\n"
        "  jz 1f\n"
        "  vmlaunch\n"
        "  jmp 2f\n"
        "1: vmresume\n"
        "2: mov $1, %eax\n"
        "  jc 3f\n"
        "  mov $2, %eax\n"
        "3: pop %rdi\n"
        "4: pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "  ret\n"
        "guest_exit:\n"
        "  push %rdi\n"
        "  mov 8(%rsp), %rdi\n"
        "  mov %rax, 0(%rdi); mov %rbx, 8(%rdi); mov %rcx, 16(%rdi); mov %rdx, 24(%rdi); mov %rsi, 32(%rdi)\n"
        "  mov %rbp, 48(%rdi); mov %r8, 56(%rdi); mov %r9, 64(%rdi); mov %r10, 72(%rdi); mov %r11, 80(%rdi)\n"
        "  mov %r12, 88(%rdi); mov %r13, 96(%rdi); mov %r14, 104(%rdi); mov %r15, 112(%rdi)\n"
        "  pop %rax; mov %rax, 40(%rdi)\n"
        "  pop %rdi\n"
        "  xor %eax, %eax\n"
        "  jmp 4b\n");

static int on_address(unsigned op, const void *region)
{
    u64 pa = (u64)region;
    bool c, z;
    if (op == 0)
        __asm__ volatile("vmxon %2" : "=@ccc"(c), "=@ccz"(z) : "m"(pa) : "memory");
    else if (op == 1)
        __asm__ volatile("vmclear %2" : "=@ccc"(c), "=@ccz"(z) : "m"(pa) : "memory");
    else
        __asm__ volatile("vmptrld %2" : "=@ccc"(c), "=@ccz"(z) : "m"(pa) : "memory");
    return RESULT(c, z);
}
int vmxon(const void *p)
{
    return on_address(0, p);
}
int vmclear(const void *p)
{
    return on_address(1, p);
}
int vmptrld(const void *p)
{
    return on_address(2, p);
}

int vmwrite(u64 field, u64 value)
{
    bool c, z;
    __asm__ volatile("vmwrite %2, %3" : "=@ccc"(c), "=@ccz"(z) : "r"(value), "r"(field) : "memory");
    return RESULT(c, z);
}

u64 vmread(u64 field)
{
    u64 value = 0;
    __asm__ volatile("vmread %1, %0" : "+r"(value) : "r"(field) : "cc", "memory");
    return value;
}

int vmread_result(u64 field)
{
    bool c, z;
    u64 value;
    __asm__ volatile("vmread %3, %2" : "=@ccc"(c), "=@ccz"(z), "=r"(value) : "r"(field) : "memory");
    return RESULT(c, z);
}

int invept(u64 type, u64 eptp)
{
    u64 d[2] = {eptp, 0};
    bool c, z;
    __asm__ volatile("invept %2, %3" : "=@ccc"(c), "=@ccz"(z) : "m"(d), "r"(type) : "memory");
    return RESULT(c, z);
}

int invvpid(u64 type, u64 vpid, u64 la)
{
    u64 d[2] = {vpid, la};
    bool c, z;
    __asm__ volatile("invvpid %2, %3" : "=@ccc"(c), "=@ccz"(z) : "m"(d), "r"(type) : "memory");
    return RESULT(c, z);
}

int resume(void)
{
    int r = (int)run_guest(&regs, !launched);
    launched |= r == OK && !(vmread(VMCS_EXIT_REASON) & EXIT_REASON_ENTRY_FAILURE);
    return r;
}

static u32 controls(u32 msr, u32 wanted)
{
    u64 caps = rdmsr(msr);
    return (wanted | (u32)caps) & (u32)(caps >> 32);
}

static void segment(unsigned seg, u16 sel)
{
    u64 d = gdt[sel / 8];
    vmwrite(VMCS_SEGMENT(VMCS_GUEST_SELECTOR, seg), sel);
    vmwrite(VMCS_SEGMENT(VMCS_GUEST_LIMIT, seg), sel == SEL_TSS ? sizeof tss - 1 : ~0u);
    vmwrite(VMCS_SEGMENT(VMCS_GUEST_ACCESS_RIGHTS, seg), sel ? (d >> 40 & 0xf0ff) : SEG_UNUSABLE);
    vmwrite(VMCS_SEGMENT(VMCS_GUEST_BASE, seg), sel == SEL_TSS ? (u64)&tss : 0);
}

static u32 true_msr(u32 msr)
{
    return rdmsr(MSR_VMX_BASIC) & VMX_BASIC_TRUE_CONTROLS ? msr - MSR_VMX_PINBASED_CTLS + MSR_VMX_TRUE_PINBASED_CTLS
                                                          : msr;
}

void prepare(void (*fn)(void))
{
    vmclear(vmcs);
    vmptrld(vmcs);
    launched = false;
    static const u16 zero[] = {VMCS_VPID,
                               VMCS_TSC_OFFSET,
                               VMCS_EXCEPTION_BITMAP,
                               VMCS_EXIT_MSR_STORE_COUNT,
                               VMCS_EXIT_MSR_LOAD_COUNT,
                               VMCS_ENTRY_MSR_LOAD_COUNT,
                               VMCS_ENTRY_INTR_INFO,
                               VMCS_GUEST_INTERRUPTIBILITY,
                               VMCS_GUEST_ACTIVITY,
                               VMCS_GUEST_PENDING_DEBUG,
                               VMCS_CR0_MASK,
                               VMCS_CR4_MASK,
                               VMCS_CR0_READ_SHADOW,
                               VMCS_CR4_READ_SHADOW};
    for (unsigned i = 0; i < ARRAY_LEN(zero); i++)
        (void)vmwrite(zero[i], 0); /* VPID may be missing */
    vmwrite(VMCS_LINK_POINTER, ~0ull);
    vmwrite(VMCS_PIN_CONTROLS, controls(true_msr(MSR_VMX_PINBASED_CTLS), 0));
    proc_base = controls(true_msr(MSR_VMX_PROCBASED_CTLS), ept ? PROC_SECONDARY : 0);
    vmwrite(VMCS_PROC_CONTROLS, proc_base);
    if (ept)
        vmwrite(VMCS_PROC2_CONTROLS, PROC2_EPT);
    vmwrite(VMCS_EXIT_CONTROLS,
            controls(true_msr(MSR_VMX_EXIT_CTLS), EXITC_HOST_64 | EXITC_SAVE_EFER | EXITC_LOAD_EFER));
    vmwrite(VMCS_ENTRY_CONTROLS, controls(true_msr(MSR_VMX_ENTRY_CTLS), ENTRYC_IA32E_GUEST | ENTRYC_LOAD_EFER));
    if (ept)
        vmwrite(VMCS_EPTP, (u64)ept | EPTP_WALK_4 | MEMTYPE_WB);
    vmwrite(VMCS_GUEST_CR0, read_cr0());
    vmwrite(VMCS_GUEST_CR3, read_cr3());
    vmwrite(VMCS_GUEST_CR4, read_cr4());
    vmwrite(VMCS_HOST_CR0, read_cr0());
    vmwrite(VMCS_HOST_CR3, read_cr3());
    vmwrite(VMCS_HOST_CR4, read_cr4());
    vmwrite(VMCS_GUEST_EFER, rdmsr(MSR_EFER));
    vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER));
    vmwrite(VMCS_SEGMENT(VMCS_HOST_SELECTOR, SEG_ES), SEL_DATA);
    vmwrite(VMCS_SEGMENT(VMCS_HOST_SELECTOR, SEG_CS), SEL_CODE64);
    vmwrite(VMCS_SEGMENT(VMCS_HOST_SELECTOR, SEG_SS), SEL_DATA);
    vmwrite(VMCS_SEGMENT(VMCS_HOST_SELECTOR, SEG_DS), SEL_DATA);
    vmwrite(VMCS_HOST_TR_SELECTOR, SEL_TSS);
    vmwrite(VMCS_HOST_TR_BASE, (u64)&tss);
    vmwrite(VMCS_HOST_GDTR_BASE, (u64)gdt);
    vmwrite(VMCS_HOST_IDTR_BASE, (u64)idt);
    vmwrite(VMCS_HOST_RIP, (u64)guest_exit);
    segment(SEG_ES, SEL_DATA);
    segment(SEG_CS, SEL_CODE64);
    segment(SEG_SS, SEL_DATA);
    segment(SEG_DS, SEL_DATA);
    segment(SEG_FS, 0);
    segment(SEG_GS, 0);
    segment(SEG_LDTR, 0);
    segment(SEG_TR, SEL_TSS);
    vmwrite(VMCS_GUEST_GDTR_BASE, (u64)gdt);
    vmwrite(VMCS_GUEST_GDTR_LIMIT, (u64)gdt_end - (u64)gdt - 1);
    vmwrite(VMCS_GUEST_IDTR_BASE, (u64)idt);
    vmwrite(VMCS_GUEST_IDTR_LIMIT, 4095);
    vmwrite(VMCS_GUEST_DR7, DR7_FIXED);
    vmwrite(VMCS_GUEST_RSP, (u64)(l2_stack + sizeof l2_stack - 8));
    vmwrite(VMCS_GUEST_RIP, (u64)fn);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE);
    fill(&regs, 0, sizeof regs);
}

void start(void (*fn)(void))
{
    prepare(fn);
    resume();
}

void start_proc(void (*fn)(void), u32 proc)
{
    prepare(fn);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | proc);
    resume();
}

void exits(u64 reason, const u8 *at, u64 qualification, const char *name)
{
    u64 r = vmread(VMCS_EXIT_REASON), rip = vmread(VMCS_GUEST_RIP), q = vmread(VMCS_EXIT_QUALIFICATION);
    bool good = r == reason && rip == (u64)at && q == qualification;
    check(good, name);
    if (!good) {
        print("# reason ");
        print_hex(r);
        print(" qualification ");
        print_hex(q);
        print(" error ");
        print_hex(vmread(VMCS_INSN_ERROR));
        print(" rip ");
        print_hex(rip);
        print(" not ");
        print_hex((u64)at);
        print("\n");
    }
}

static void capabilities(void)
{
    pin_may = (u32)(rdmsr(MSR_VMX_PINBASED_CTLS) >> 32);
    proc_may = (u32)(rdmsr(MSR_VMX_PROCBASED_CTLS) >> 32);
    if (proc_may & PROC_SECONDARY)
        proc2_may = (u32)(rdmsr(MSR_VMX_PROCBASED_CTLS2) >> 32);
    if (proc2_may & PROC2_EPT) {
        ept = page_alloc();
        for (u64 a = 0; a < 16 << 20; a += 4096)
            *pte_of(ept, a, 1) = a | RWX | MEMTYPE_WB << EPT_MEMTYPE_SHIFT;
        *pte_of(ept, APIC_DEFAULT_ADDRESS, 2) = APIC_DEFAULT_ADDRESS | EPT_LEAF | RWX;
    }
}

bool vmx_begin(void)
{
    if (!(cpuid(1, 0).c & BIT(5))) {
        skip("VMX", "no VMX");
        return false;
    }
    u64 feature = rdmsr(MSR_FEATURE_CONTROL);
    if (!(feature & FEATURE_CONTROL_LOCK))
        wrmsr(MSR_FEATURE_CONTROL, feature | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMXON_OUTSIDE_SMX);
    capabilities();
    return true;
}

int vmx_on(void)
{
    u32 revision = VMX_BASIC_REVISION(rdmsr(MSR_VMX_BASIC));
    write_cr4(read_cr4() | CR4_VMXE);
    copy(vmxon_region, &revision, 4);
    copy(vmcs, &revision, 4);
    return vmxon(vmxon_region);
}

void vmx_off(void)
{
    __asm__ volatile("vmxoff" : : : "memory");
    write_cr4(read_cr4() & ~CR4_VMXE);
}
