/*
 * Modes other than 64-bit: compatibility mode, 32-bit and 16-bit protected mode, real mode and virtual-8086 mode, and
 * the switches between them. mode.S holds the code that runs there; each part leaves its results in mode_result[].
 */
#include "runtime.h"

extern volatile u32 mode_result[64];
void mode_compat(void);
void mode_real(void);
void mode_v86(void);
void mode_protected16(void);
void mode_task(void);
extern const u8 low_code[], low_code_end[], gp_at[];

static void compat(void)
{
    fill((void *)mode_result, 0, sizeof mode_result);
    mode_compat();
    check_eq(mode_result[0], 0x12345678, "compatibility mode runs 32-bit code");
    check_eq(mode_result[1], 0x41, "INC r32 with the one-byte opcode");
    check_eq(mode_result[2], 0x106, "AAA");
    check_eq(mode_result[3], 0x15, "DAA");
    check_eq(mode_result[4], 0x0405, "AAM");
    check_eq(mode_result[5], 45, "AAD");
    check_eq(mode_result[6], 0x11223344, "PUSHA and POPA");
    check_eq(mode_result[7], 1, "ESP is 32 bits wide");
    check_eq(mode_result[8], 0xff, "SALC with carry");
    check_eq(mode_result[9], 5, "BOUND within bounds passes");
    check_eq(mode_result[10], 0xabcd, "16-bit operand");
    check_eq(mode_result[11], 0x7777, "16-bit address");
    check_eq(mode_result[12], 0x55aa, "LES");
    check_eq(mode_result[13], 3, "LOOP and JCXZ");
}

static void protected16(void)
{
    fill((void *)mode_result, 0, sizeof mode_result);
    mode_protected16();
    check_eq(mode_result[0], 16, "16-bit code segment in long mode's compatibility mode");
    check_eq(mode_result[1], 0xffff1234, "16-bit write leaves the high half");
    check_eq(mode_result[2], 0x9abc, "32-bit operand by prefix");
    check_eq(mode_result[3], 0x12345ffc, "ENTER with 32-bit operands on a 16-bit stack: EBP is the whole ESP");
    check_eq(mode_result[4], 0x12345ff4, "and ESP keeps its upper half");
    check_eq(mode_result[5], 0xabcd5678, "LEAVE takes EBP back");
    check_eq(mode_result[6], 0x12346000, "and leaves the upper half of ESP alone");
    check_eq(mode_result[7], 0x12345ffc, "ENTER at level 1 pushes the whole frame pointer");
    check_eq(mode_result[8], 0xabcd5ffe, "ENTER with 16-bit operands loads BP");
    check_eq(mode_result[9], 0x600d, "MOVNTI in 16-bit code");
    check_eq(mode_result[10], 0x1f80, "STMXCSR in 16-bit code");
    check_eq(mode_result[11], 0xe0d, "LDMXCSR, EMMS and fences in 16-bit code");
}

static void real(void)
{
    fill((void *)mode_result, 0, sizeof mode_result);
    mode_real();
    check_eq(mode_result[0], 0x5a5a, "real mode and back");
    check_eq(mode_result[1], 0x1234, "segment:offset addressing");
    check_eq(mode_result[2], 0x77, "INT n through the vector table");
    check_eq(mode_result[3], 1, "IRET restores IF");
    check_eq(mode_result[4], 0x40, "#DE through the vector table");
    check_eq(mode_result[5], 0xbeef, "32-bit operand in real mode");
    check_eq(mode_result[6], 0xfffe, "PUSH SP pushes SP as it was before");
    check_eq(mode_result[7], 0x3412, "string instructions with a segment override");
    check_eq(mode_result[8], 0x99, "far call and return");
    check_eq(mode_result[9], 1, "CR0.PE is clear in SMSW");
    check_eq(mode_result[10], 0xd, "an offset beyond 64 KiB is #GP");
    check_eq(mode_result[12], 0x600d, "MOVNTI in real mode");
    check_eq(mode_result[13], 0x1f80, "STMXCSR in real mode");
    check_eq(mode_result[14], 0xe0d, "LDMXCSR, EMMS and fences in real mode");
    check_eq(mode_result[15], 1, "0F 38 F6 without 66h is not ADCX in real mode");
    check_eq(mode_result[11], 0x600d, "a big segment from protected mode stays (unreal mode)");
}

static void v86(void)
{
    fill((void *)mode_result, 0, sizeof mode_result);
    mode_v86();
    check_eq(mode_result[0], 1, "virtual-8086 mode is entered by IRET");
    check_eq(mode_result[1], 0x1111, "segment:offset addressing in virtual-8086 mode");
    check_eq(mode_result[2], 0xd, "INT n with IOPL 0 is #GP");
    check_eq(mode_result[3], 1, "#GP in virtual-8086 mode pushes flags with VM");
    check_eq(mode_result[4], 0x2000, "#GP in virtual-8086 mode pushes the 8086 segments");
    check_eq(mode_result[5], 0, "in the handler the 8086 segments are null");
    check_eq(mode_result[6], 0xd, "CLI with IOPL 0 is #GP");
    check_eq(mode_result[7], 3, "INT3 in virtual-8086 mode goes to the handler");
}

static void task(void)
{
    fill((void *)mode_result, 0, sizeof mode_result);
    mode_task();
    check_eq(mode_result[0], 0x7a5c, "a task switch by JMP runs the other task");
    check_eq(mode_result[1], 1, "a task switch sets CR0.TS");
    check_eq(mode_result[2], 0x4321, "a task has the registers of its TSS");
    check_eq(mode_result[3], 0x600d, "CALL to a task and IRET back");
    check_eq(mode_result[4], 1, "the called task has NT set");
    check_eq(mode_result[5], 0xff8, "a task gate in the IDT pushes the error code");
    check_eq(mode_result[6], (u32)(u64)gp_at, "the EIP of a task that faulted is that of the fault");
    check(mode_result[7] == 0 && mode_result[8] == 0x1357, "IRET goes back to a task with its registers");
    check_eq(mode_result[9], 0x60, "a JMP to a busy TSS is #GP");
    check_eq(mode_result[10], 0x60, "the back link names the old task");
}

int main(void)
{
    copy((void *)0x1000, low_code, (size_t)(low_code_end - low_code));
    compat();
    protected16();
    real();
    v86();
    task();
    return 0;
}
