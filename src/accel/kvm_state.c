/*
 * Registers of vCPUs under /dev/kvm: what firmware leaves behind, the state in which a kernel is
 * entered, and text for people. Called while no vCPU runs.
 *
 * Where the manuals leave it to firmware the values are those of the engine (cpu/insn/msr.c), so a guest
 * sees one machine.
 */
#include "accel/kvm.h"
#include "x86/regs.h"

#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>

enum {
    MSR_FEATURE_CONTROL = 0x3a,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_MTRR_BASE0 = 0x200,
    MSR_MTRR_MASK0 = 0x201,
    MSR_MTRR_FIX64K = 0x250,
    MSR_MTRR_FIX16K_80000 = 0x258,
    MSR_MTRR_FIX16K_A0000 = 0x259,
    MSR_MTRR_FIX4K_C0000 = 0x268,
    MSR_MTRR_DEF_TYPE = 0x2ff,
};
#define ALL_WRITE_BACK 0x0606060606060606ull
#define ALL_WRITE_PROTECT 0x0505050505050505ull

/* A kernel that does not know one of these keeps its own default. */
static void msr_set(const struct kvm_vcpu *v, u32 msr, u64 value)
{
    union {
        struct kvm_msrs m;
        u8 room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
    } one = {.room = {0}};
    one.m.nmsrs = 1;
    one.m.entries[0] = (struct kvm_msr_entry){.index = msr, .data = value};
    ioctl(v->fd, KVM_SET_MSRS, &one.m);
}

void kvm_firmware_msrs(struct accel_vm *vm, u32 index)
{
    const struct kvm_vcpu *v = &vm->vcpu[index];
    const struct kvm_cpuid_entry2 *sizes = kvm_cpuid_find(vm->cpuid, 0x80000008, 0);
    u64 address = (1ull << (sizes ? sizes->eax & 0xff : 36)) - 1;
    if (vm->settings->nested == NESTED_INTEL)
        msr_set(v, MSR_FEATURE_CONTROL, BIT64(0) | BIT64(2)); /* locked, VMXON outside SMX */
    /* Write-back but for legacy video memory, option ROMs and the last gigabyte below 4 GiB. */
    /* Without fast strings Linux drops ERMS but keeps FSRM, and its memmove relies on both. */
    msr_set(v, MSR_MISC_ENABLE, BIT64(0) | BIT64(11) | BIT64(12));
    msr_set(v, MSR_MTRR_FIX64K, ALL_WRITE_BACK);
    msr_set(v, MSR_MTRR_FIX16K_80000, ALL_WRITE_BACK);
    msr_set(v, MSR_MTRR_FIX16K_A0000, 0);
    for (u32 i = 0; i < 8; i++)
        msr_set(v, MSR_MTRR_FIX4K_C0000 + i, ALL_WRITE_PROTECT);
    msr_set(v, MSR_MTRR_BASE0, 0xc0000000);
    msr_set(v, MSR_MTRR_MASK0, (address & ~0x3fffffffull) | BIT64(11));
    msr_set(v, MSR_MTRR_DEF_TYPE, BIT64(11) | BIT64(10) | 6);
}

static struct kvm_segment flat_segment(u16 selector, u8 type, bool wide)
{
    return (struct kvm_segment){
        .limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .s = 1, .g = 1, .db = !wide, .l = wide};
}

int kvm_boot_state(struct accel_vm *vm, u32 index, const struct accel_boot *boot)
{
    const struct kvm_vcpu *v = &vm->vcpu[index];
    struct kvm_sregs s;
    if (ioctl(v->fd, KVM_GET_SREGS, &s))
        return -errno;
    if (boot->mode == BOOT_REAL) {
        s.cs.selector = boot->real_cs;
        s.cs.base = (u64)boot->real_cs << 4;
    } else {
        bool wide = boot->mode == BOOT_LONG64;
        s.cs = flat_segment(boot->cs, SEG_TYPE_CODE | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED, wide);
        s.ds = s.es = s.fs = s.gs = s.ss = flat_segment(boot->ds, SEG_TYPE_WRITE | SEG_TYPE_ACCESSED, false);
        s.tr = (struct kvm_segment){.selector = boot->tr, .limit = 0x67, .type = SYS_TSS_BUSY, .present = 1};
        s.gdt = (struct kvm_dtable){.base = boot->gdt_base, .limit = boot->gdt_limit};
        s.cr0 = (s.cr0 & ~(CR0_CD | CR0_NW)) | CR0_PE;
        if (wide) {
            s.cr0 |= CR0_PG;
            s.cr3 = boot->cr3;
            s.cr4 |= CR4_PAE;
            s.efer |= EFER_LME | EFER_LMA;
        }
    }
    struct kvm_regs r = {.rflags = FLAG_ONE};
    if (ioctl(v->fd, KVM_GET_REGS, &r))
        return -errno;
    r.rip = boot->rip;
    r.rsp = boot->rsp;
    r.rsi = boot->rsi;
    r.rax = boot->rax;
    r.rbx = boot->rbx;
    if (ioctl(v->fd, KVM_SET_SREGS, &s) || ioctl(v->fd, KVM_SET_REGS, &r))
        return -errno;
    return 0;
}

static const char *mode_name(const struct kvm_sregs *s, const struct kvm_regs *r)
{
    if (s->efer & EFER_LMA && s->cs.l)
        return "64-bit mode";
    if (!(s->cr0 & CR0_PE))
        return "real mode";
    return r->rflags & FLAG_VM ? "virtual-8086 mode" : "protected mode";
}

void kvm_describe(struct accel_vm *vm, u32 index, char *buf, size_t size)
{
    const struct kvm_vcpu *v = &vm->vcpu[index];
    struct kvm_regs r;
    struct kvm_sregs s;
    if (__atomic_load_n(&v->running, __ATOMIC_SEQ_CST)) {
        snprintf(buf, size, "CPU %u: running\n", index);
        return;
    }
    if (v->fd < 0 || ioctl(v->fd, KVM_GET_REGS, &r) || ioctl(v->fd, KVM_GET_SREGS, &s)) {
        snprintf(buf, size, "CPU %u: no state\n", index);
        return;
    }
    snprintf(buf, size,
             "CPU %u, %s: CS:RIP %04x:%016llx RFLAGS %llx CPL %u\n"
             "RAX %016llx RCX %016llx RDX %016llx RBX %016llx\n"
             "RSP %016llx RBP %016llx RSI %016llx RDI %016llx\n"
             "R8  %016llx R9  %016llx R10 %016llx R11 %016llx\n"
             "R12 %016llx R13 %016llx R14 %016llx R15 %016llx\n"
             "CR0 %llx CR2 %llx CR3 %llx CR4 %llx EFER %llx, GDT %llx IDT %llx\n",
             index, mode_name(&s, &r), s.cs.selector, r.rip, r.rflags, s.ss.dpl, r.rax, r.rcx, r.rdx, r.rbx, r.rsp,
             r.rbp, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, s.cr0, s.cr2, s.cr3, s.cr4,
             s.efer, s.gdt.base, s.idt.base);
}
