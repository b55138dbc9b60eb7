/* Instructions of L2 that exit: bitmaps, control registers behind masks, qualifications, instruction information. */
#include "unit/test.h"

#include "unit/vmx_machine.h"

#include "x86/msr.h"

/* The four parts of the MSR bitmaps, 1 KiB each. */
enum { READ_LOW = 0, READ_HIGH = 1024, WRITE_LOW = 2048, WRITE_HIGH = 3072 };

static u8 *bitmap(unsigned page)
{
    return ram + BITMAPS_AT + page * PAGE_SIZE;
}
enum { IO_A, IO_B, MSRS };

static void test_io(void)
{
    TEST("I/O bitmaps");
    machine_ready();
    bitmap(IO_A)[0x80 / 8] = 1;
    bitmap(IO_B)[0x7fff / 8] = 0x80;
    machine_launch();
    CHECK_EQ(vmx_intercept(v, IC_IO, IO_INFO_PORT(0x81) | IO_INFO_SIZE(1), 0), CPU_OK);
    CHECK_EQ(vmx_intercept(v, IC_IO, IO_INFO_PORT(0x7f) | IO_INFO_SIZE(2) | IO_INFO_IN, 0), CPU_NESTED_EXIT);
    machine_exited(EXIT_IO);
    CHECK_EQ(x->f.qualification, 0x7f0009); /* port, IN, size minus 1 */
    x->launched = false;
    machine_launch();
    CHECK_EQ(vmx_intercept(v, IC_IO, IO_INFO_PORT(0xffff) | IO_INFO_SIZE(1), 0), CPU_NESTED_EXIT);
}

static void test_msrs(void)
{
    TEST("MSR bitmaps");
    machine_ready();
    bitmap(MSRS)[WRITE_HIGH + (MSR_EFER & 0x1fff) / 8] = 1;
    machine_launch();
    CHECK_EQ(vmx_intercept(v, IC_MSR, MSR_EFER, 0), CPU_OK);
    CHECK_EQ(vmx_intercept(v, IC_MSR, MSR_EFER, 1), CPU_NESTED_EXIT);
    machine_exited(EXIT_WRMSR);

    TEST("an MSR outside the bitmaps");
    machine_ready();
    machine_launch();
    CHECK_EQ(vmx_intercept(v, IC_MSR, 0x4000, 0), CPU_NESTED_EXIT);
    machine_exited(EXIT_RDMSR);
}

static void test_cr(void)
{
    TEST("CR0 mask and shadow");
    machine_ready();
    x->f.cr0_mask = CR0_TS | CR0_CD;
    x->f.cr0_shadow = CR0_CD;
    machine_launch();
    CHECK_EQ(vmx_cr_read(v, 0, v->cr0), v->cr0 | CR0_CD);
    CHECK_EQ(vmx_intercept(v, IC_CLTS, 0, 0), CPU_OK);
    CHECK_EQ(vmx_intercept(v, IC_CR_WRITE, 0, v->cr0 | CR0_CD), CPU_OK);
    CHECK_EQ(vmx_cr_write(v, 0, v->cr0 | CR0_CD | CR0_MP), v->cr0 | CR0_MP);
    CHECK_EQ(vmx_intercept(v, IC_CR_WRITE, 0 | R9 << 8, v->cr0 | CR0_CD | CR0_TS), CPU_NESTED_EXIT);
    machine_exited(EXIT_CR_ACCESS);
    CHECK_EQ(x->f.qualification, R9 << 8);

    TEST("LMSW with a memory operand");
    machine_ready();
    x->f.cr0_mask = CR0_PE | CR0_TS;
    x->f.cr0_shadow = CR0_PE;
    machine_launch();
    CHECK_EQ(vmx_intercept(v, IC_LMSW, 0, ~0ull), CPU_OK);
    CHECK_EQ(vmx_intercept(v, IC_LMSW, CR0_TS, 0x1234), CPU_NESTED_EXIT);
    CHECK_EQ(x->f.qualification, CR0_TS << 16 | 0x70); /* LMSW, memory */
    CHECK_EQ(x->f.guest_linear, 0x1234);
}

static void test_tpr_shadow(void)
{
    TEST("TPR shadow");
    machine_ready();
    ram[VAPIC_AT + APIC_TPR] = 0x50;
    x->f.tpr_threshold = 4;
    machine_launch();
    CHECK_EQ(vmx_cr_read(v, 8, 0), 5);
    vmx_cr_write(v, 8, 4);
    CHECK_EQ(vmx_windows(v), CPU_OK);
    vmx_cr_write(v, 8, 3);
    CHECK_EQ(vmx_windows(v), CPU_NESTED_EXIT);
    machine_exited(EXIT_TPR_BELOW_THRESHOLD);
}

static void test_instruction_information(void)
{
    TEST("instruction information");
    machine_ready();
    x->f.proc2 |= PROC2_DESC_TABLE_EXITING;
    machine_launch();
    struct insn in = plain;
    in.mem = true;
    in.seg = SEG_DS;
    in.base = RBX;
    in.index = RSI;
    in.scale = 4;
    in.disp = -8;
    v->insn = &in;
    CHECK_EQ(vmx_intercept(v, IC_LGDT, 0, 0), CPU_NESTED_EXIT);
    machine_exited(EXIT_GDTR_IDTR);
    CHECK_EQ(x->f.qualification, (u64)-8);
    /* scaling, address size, operand size, segment, index, base, instruction */
    CHECK_EQ(x->f.exit_insn_info, 2u | 2 << 7 | 1 << 11 | SEG_DS << 15 | RSI << 18 | RBX << 23 | 2u << 28);
}

int main(void)
{
    test_io();
    test_msrs();
    test_cr();
    test_tpr_shadow();
    test_instruction_information();
    return TEST_END();
}
