/*
 * Instructions of a VT-x guest that exit by a bitmap or a control: I/O, MSRs, control and debug registers.
 */
#include "vmx.h"

static u8 io_bitmaps[8192] __attribute__((aligned(4096))), msr_bitmap[4096] __attribute__((aligned(4096)));

L2(l2_rdmsr, "mov $0xc0000082, %ecx", "rdmsr", "");
L2(l2_wrmsr, "mov $0xc0000082, %ecx; mov $7, %eax; xor %edx, %edx", "wrmsr", "");
L2(l2_out, "mov $0x5a, %eax", "out %al, $0x80", "");
L2(l2_in_dx, "mov $0xe0, %edx", "in %dx, %ax", "");
L2(l2_outs, "mov $0xe0, %edx; lea l2_bytes(%rip), %rsi; mov $2, %ecx", "rep outsb", "");
L2(l2_read_cr0, "", "mov %cr0, %r9", "");
L2(l2_read_cr3, "", "mov %cr3, %r9", "");
L2(l2_write_cr3, "mov %cr3, %r10", "mov %r10, %cr3", "");
L2(l2_write_cr0_ts, "mov %cr0, %r10; or $8, %r10", "mov %r10, %cr0", "");
L2(l2_clts, "", "clts", "");
L2(l2_lmsw, "mov $9, %eax", "lmsw %ax", "");
L2(l2_dr, "", "mov %rsi, %db7", "");
__asm__(".data\nl2_bytes: .quad 0, 0\n.text\n");

static void bitmaps(void)
{
    start_proc(l2_rdmsr, 0);
    exits(EXIT_RDMSR, l2_rdmsr_at, 0, "RDMSR without a bitmap");
    prepare(l2_rdmsr);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_MSR_BITMAPS);
    vmwrite(VMCS_MSR_BITMAP, (u64)msr_bitmap);
    msr_bitmap[0xc00 + 0x82 / 8] = 1 << 0x82 % 8;
    resume();
    exits(EXIT_VMCALL, l2_rdmsr_after, 0, "RDMSR with a clear bit");
    prepare(l2_wrmsr);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_MSR_BITMAPS);
    vmwrite(VMCS_MSR_BITMAP, (u64)msr_bitmap);
    resume();
    exits(EXIT_WRMSR, l2_wrmsr_at, 0, "WRMSR with a set bit");
    start_proc(l2_out, PROC_UNCONDITIONAL_IO);
    exits(EXIT_IO, l2_out_at, 0x800040, "OUT to an immediate port");
    prepare(l2_in_dx);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_IO_BITMAPS);
    vmwrite(VMCS_IO_BITMAP_A, (u64)io_bitmaps);
    vmwrite(VMCS_IO_BITMAP_B, (u64)io_bitmaps + 4096);
    io_bitmaps[0xe1 / 8] = 2;
    resume();
    exits(EXIT_IO, l2_in_dx_at, 0xe00009, "IN of a word whose second port has a bit");
    prepare(l2_out);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_IO_BITMAPS);
    vmwrite(VMCS_IO_BITMAP_A, (u64)io_bitmaps);
    vmwrite(VMCS_IO_BITMAP_B, (u64)io_bitmaps + 4096);
    resume();
    exits(EXIT_VMCALL, l2_out_after, 0, "OUT of a port without a bit");
    start_proc(l2_outs, PROC_UNCONDITIONAL_IO);
    exits(EXIT_IO, l2_outs_at, 0xe00030, "REP OUTSB");
}

static void registers(void)
{
    start_proc(l2_read_cr3, PROC_CR3_STORE_EXITING);
    exits(EXIT_CR_ACCESS, l2_read_cr3_at, 0x913, "MOV from CR3");
    start_proc(l2_write_cr3, PROC_CR3_LOAD_EXITING);
    exits(EXIT_CR_ACCESS, l2_write_cr3_at, 0xa03, "MOV to CR3");
    prepare(l2_read_cr0);
    vmwrite(VMCS_CR0_MASK, CR0_TS | CR0_NE);
    vmwrite(VMCS_CR0_READ_SHADOW, CR0_TS);
    resume();
    check_eq(regs.r9, (read_cr0() | CR0_TS) & ~CR0_NE, "CR0 read shadow");
    prepare(l2_write_cr0_ts);
    vmwrite(VMCS_CR0_MASK, CR0_TS);
    vmwrite(VMCS_CR0_READ_SHADOW, 0);
    resume();
    exits(EXIT_CR_ACCESS, l2_write_cr0_ts_at, 0xa00, "MOV to CR0 that differs from the shadow");
    prepare(l2_write_cr0_ts);
    vmwrite(VMCS_CR0_MASK, CR0_TS);
    vmwrite(VMCS_CR0_READ_SHADOW, CR0_TS);
    resume();
    exits(EXIT_VMCALL, l2_write_cr0_ts_after, 0, "MOV to CR0 that does not differ from the shadow");
    check(!(vmread(VMCS_GUEST_CR0) & CR0_TS), "MOV to CR0 leaves host-owned bits");
    prepare(l2_clts);
    vmwrite(VMCS_CR0_MASK, CR0_TS);
    vmwrite(VMCS_CR0_READ_SHADOW, CR0_TS);
    resume();
    exits(EXIT_CR_ACCESS, l2_clts_at, 0x20, "CLTS");
    prepare(l2_lmsw);
    vmwrite(VMCS_CR0_MASK, CR0_TS);
    vmwrite(VMCS_CR0_READ_SHADOW, 0);
    resume();
    exits(EXIT_CR_ACCESS, l2_lmsw_at, 0x90030, "LMSW");
    start_proc(l2_dr, PROC_MOV_DR_EXITING);
    exits(EXIT_MOV_DR, l2_dr_at, 0x607, "MOV to DR7");
}

int main(void)
{
    if (!vmx_begin())
        return 0;
    vmx_on();
    bitmaps();
    registers();
    vmx_off();
    return 0;
}
