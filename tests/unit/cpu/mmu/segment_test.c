/* Segment loads, limits, far transfers, call gates, task switches: results and error codes. */
#include "unit/test.h"

#include "unit/fake_vcpu.h"

static const u32 CODE = SEG_S | SEG_TYPE_CODE | SEG_TYPE_WRITE;
static const u32 DATA = SEG_S | SEG_TYPE_WRITE;

static struct insn far_direct(u16 sel, u32 offset)
{
    return (struct insn){.imm = offset, .imm2 = sel, .osz = 4, .asz = 4, .len = 7, .base = REG_NONE, .index = REG_NONE};
}

static void loads(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    TEST("segment loads check type, privilege, presence and limit");
    fake_protected(v, 3);
    CHECK(segment_load(v, SEG_DS, SEL_DATA3) == CPU_OK);
    CHECK_EQ(peek(GDT + 0x20 + 5, 1) & 1, 1);
    CHECK(faulted(v, segment_load(v, SEG_DS, SEL_DATA0), EXC_GP, SEL_DATA0));
    CHECK(faulted(v, segment_load(v, SEG_DS, SEL_TSS), EXC_GP, SEL_TSS));
    CHECK(faulted(v, segment_load(v, SEG_DS, 0x803), EXC_GP, 0x800));
    CHECK(faulted(v, segment_load(v, SEG_DS, 0xf), EXC_GP, 0xc));
    fake_gdt(SEL_FREE, fake_descriptor(0, 0xff, DATA, 3, 0) & ~(1ull << 47));
    CHECK(faulted(v, segment_load(v, SEG_DS, SEL_FREE | 3), EXC_NP, SEL_FREE));
    CHECK(faulted(v, segment_load(v, SEG_SS, SEL_FREE | 3), EXC_SS, SEL_FREE));
    CHECK(faulted(v, segment_load(v, SEG_SS, 0), EXC_GP, 0));
    CHECK(faulted(v, segment_load(v, SEG_SS, SEL_DATA0), EXC_GP, SEL_DATA0));
    CHECK(faulted(v, segment_load(v, SEG_SS, SEL_CODE3), EXC_GP, SEL_CODE3 & ~3));
    CHECK(segment_load(v, SEG_ES, 0) == CPU_OK);
    CHECK(v->seg[SEG_ES].attr & SEG_UNUSABLE);
    u8 byte;
    CHECK(faulted(v, seg_read(v, SEG_ES, 0, &byte, 1), EXC_GP, 0));
    CHECK(!(v->mode & MODE_FLAT));
    CHECK(segment_load(v, SEG_ES, SEL_DATA3) == CPU_OK);
    CHECK(v->mode & MODE_FLAT);
}

static void limits(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    u32 x = 0;
    TEST("limits: byte and page granular, expand-down, read-only, stack");
    fake_protected(v, 0);
    fake_gdt(SEL_FREE, fake_descriptor(0x100, 0xfff, DATA, 0, 0));
    CHECK(segment_load(v, SEG_DS, SEL_FREE) == CPU_OK);
    CHECK(seg_read(v, SEG_DS, 0xffc, &x, 4) == CPU_OK);
    CHECK(faulted(v, seg_read(v, SEG_DS, 0xffd, &x, 4), EXC_GP, 0));
    CHECK(faulted(v, seg_read(v, SEG_DS, 0xffffffff, &x, 4), EXC_GP, 0));
    fake_gdt(SEL_FREE, fake_descriptor(0, 0xfff, DATA | SEG_TYPE_EXPAND, 0, 0));
    CHECK(segment_load(v, SEG_DS, SEL_FREE) == CPU_OK);
    CHECK(faulted(v, seg_read(v, SEG_DS, 0xfff, &x, 4), EXC_GP, 0));
    CHECK(seg_read(v, SEG_DS, 0x1000, &x, 4) == CPU_OK);
    CHECK(seg_read(v, SEG_DS, 0xfffc, &x, 4) == CPU_OK);
    CHECK(faulted(v, seg_read(v, SEG_DS, 0xfffd, &x, 4), EXC_GP, 0));
    fake_gdt(SEL_FREE, fake_descriptor(0, 0xfff, SEG_S, 0, 0));
    CHECK(segment_load(v, SEG_DS, SEL_FREE) == CPU_OK);
    CHECK(faulted(v, seg_write(v, SEG_DS, 0, &x, 4), EXC_GP, 0));
    CHECK(faulted(v, seg_write(v, SEG_CS, 0, &x, 4), EXC_GP, 0));
    fake_gdt(SEL_FREE, fake_descriptor(0, 0xfff, DATA, 0, 0));
    CHECK(segment_load(v, SEG_SS, SEL_FREE) == CPU_OK);
    v->gpr[RSP] = 0x1234;
    CHECK(faulted(v, stack_push(v, 1, 4), EXC_SS, 0));
    CHECK_EQ(v->gpr[RSP], 0x1234);
    v->gpr[RSP] = 0xabcd1000;
    CHECK(stack_push(v, 0x55, 4) == CPU_OK);
    CHECK_EQ(v->gpr[RSP], 0xabcd0ffc);
    CHECK_EQ(peek(0xffc, 4), 0x55);
}

static void real_mode(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    u16 x = 0;
    TEST("real mode: reset state, base from selector, 64 KiB limit, far call and return");
    CHECK_EQ(v->seg[SEG_CS].base, 0xffff0000);
    CHECK(segment_load(v, SEG_DS, 0x1234) == CPU_OK);
    CHECK_EQ(v->seg[SEG_DS].base, 0x12340);
    CHECK(faulted(v, seg_read(v, SEG_DS, 0xffff, &x, 2), EXC_GP, 0));
    segment_load_real(v, SEG_CS, 0x100);
    segment_load_real(v, SEG_SS, 0);
    v->gpr[RSP] = 2; /* the frame wraps at 64 KiB */
    v->rip = 0x10;
    v->next_rip = 0x15;
    struct insn in = far_direct(0x200, 0x30);
    in.osz = in.asz = 2;
    CHECK(op_call_far(v, &in) == CPU_OK);
    CHECK_EQ(v->gpr[RSP], 0xfffe);
    CHECK_EQ(peek(0, 2), 0x100);
    CHECK_EQ(peek(0xfffe, 2), 0x15);
    CHECK_EQ(v->seg[SEG_CS].base, 0x2000);
    CHECK_EQ(v->next_rip, 0x30);
    in.imm = 0;
    CHECK(op_ret_far(v, &in) == CPU_OK);
    CHECK_EQ(v->seg[SEG_CS].sel, 0x100);
    CHECK_EQ(v->next_rip, 0x15);
    CHECK_EQ(v->gpr[RSP], 2);
}

static void far_jumps(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    struct insn in;
    TEST("far JMP: error codes in the manual's order");
    fake_protected(v, 0);
    in = far_direct(0, 0);
    CHECK(faulted(v, op_jmp_far(v, &in), EXC_GP, 0));
    in = far_direct(SEL_DATA0, 0);
    CHECK(faulted(v, op_jmp_far(v, &in), EXC_GP, SEL_DATA0));
    in = far_direct(SEL_CODE3, 0);
    CHECK(faulted(v, op_jmp_far(v, &in), EXC_GP, SEL_CODE3 & ~3));
    fake_gdt(SEL_FREE, fake_descriptor(0, 0xfff, CODE, 0, SEG_DB) & ~(1ull << 47));
    in = far_direct(SEL_FREE, 0x2000);
    CHECK(faulted(v, op_jmp_far(v, &in), EXC_NP, SEL_FREE));
    fake_gdt(SEL_FREE, fake_descriptor(0, 0xfff, CODE, 0, SEG_DB));
    CHECK(faulted(v, op_jmp_far(v, &in), EXC_GP, 0));
    CHECK_EQ(v->seg[SEG_CS].sel, SEL_CODE0);
    in.imm = 0x800;
    CHECK(op_jmp_far(v, &in) == CPU_OK);
    CHECK_EQ(v->seg[SEG_CS].sel, SEL_FREE);
    CHECK_EQ(v->next_rip, 0x800);
}

static void call_gates(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    TEST("call gate to ring 0 copies parameters; far RET comes back");
    fake_protected(v, 3);
    u64 gate = fake_gate(SEL_CODE0, 0x5000, SYS_CALL_GATE, 3) | 2ull << 32;
    fake_gdt(SEL_FREE, gate);
    v->gpr[RSP] = 0x7ff8;
    poke(0x7ff8, 0x11111111, 4);
    poke(0x7ffc, 0x22222222, 4);
    struct insn in = far_direct(SEL_FREE | 3, 0);
    CHECK(op_call_far(v, &in) == CPU_OK);
    CHECK_EQ(v->cpl, 0);
    CHECK_EQ(v->seg[SEG_CS].sel, SEL_CODE0);
    CHECK_EQ(v->next_rip, 0x5000);
    CHECK_EQ(v->seg[SEG_SS].sel, SEL_DATA0);
    CHECK_EQ(v->gpr[RSP], FAKE_RSP0 - 24);
    CHECK_EQ(peek(FAKE_RSP0 - 4, 4), SEL_DATA3);
    CHECK_EQ(peek(FAKE_RSP0 - 8, 4), FAKE_RSP - 8);
    CHECK_EQ(peek(FAKE_RSP0 - 12, 4), 0x22222222);
    CHECK_EQ(peek(FAKE_RSP0 - 16, 4), 0x11111111);
    CHECK_EQ(peek(FAKE_RSP0 - 20, 4), SEL_CODE3);
    CHECK_EQ(peek(FAKE_RSP0 - 24, 4), FAKE_RIP + 2);
    CHECK(segment_load(v, SEG_ES, SEL_DATA0) == CPU_OK);
    in.imm = 8;
    CHECK(op_ret_far(v, &in) == CPU_OK);
    CHECK_EQ(v->cpl, 3);
    CHECK_EQ(v->gpr[RSP], FAKE_RSP);
    CHECK_EQ(v->next_rip, 0x4002);
    CHECK_EQ(v->seg[SEG_ES].sel, 0);
    CHECK_EQ(v->seg[SEG_DS].sel, SEL_DATA3);

    TEST("call gate: DPL, presence, null code segment, TSS limit and inner stack");
    in = far_direct(SEL_FREE | 3, 0);
    fake_gdt(SEL_FREE, fake_gate(SEL_CODE0, 0x5000, SYS_CALL_GATE, 2));
    CHECK(faulted(v, op_call_far(v, &in), EXC_GP, SEL_FREE));
    fake_gdt(SEL_FREE, gate & ~(1ull << 47));
    CHECK(faulted(v, op_call_far(v, &in), EXC_NP, SEL_FREE));
    fake_gdt(SEL_FREE, fake_gate(0, 0x5000, SYS_CALL_GATE, 3));
    CHECK(faulted(v, op_call_far(v, &in), EXC_GP, 0));
    fake_gdt(SEL_FREE, gate);
    CHECK(faulted(v, op_jmp_far(v, &in), EXC_GP, SEL_CODE0));
    poke(TSS + 8, SEL_DATA3, 2);
    CHECK(faulted(v, op_call_far(v, &in), EXC_TS, SEL_DATA3 & ~3));
    poke(TSS + 8, 0, 2);
    CHECK(faulted(v, op_call_far(v, &in), EXC_TS, 0));
    v->seg[SEG_TR].limit = 5;
    CHECK(faulted(v, op_call_far(v, &in), EXC_TS, SEL_TSS));
    CHECK_EQ(v->cpl, 3);
    CHECK_EQ(v->gpr[RSP], FAKE_RSP);
}

static void tasks(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    const u32 second = 0x3100;
    TEST("task switch by CALL and back by IRET");
    fake_protected(v, 0);
    fake_gdt(SEL_FREE, fake_descriptor(second, 0x67, SYS_TSS_AVAIL, 0, 0));
    poke(second + 0x20, 0x6000, 4);
    poke(second + 0x24, 2, 4);
    poke(second + 0x28 + 4 * RSP, 0x7000, 4);
    for (unsigned i = 0; i < 6; i++)
        poke(second + 0x48 + 4 * i, i == SEG_CS ? SEL_CODE0 : SEL_DATA0, 2);
    v->gpr[RBX] = 0x1234;
    struct insn in = far_direct(SEL_FREE, 0);
    CHECK(op_call_far(v, &in) == CPU_OK);
    CHECK_EQ(v->next_rip, 0x6000);
    CHECK_EQ(v->gpr[RSP], 0x7000);
    CHECK_EQ(v->gpr[RBX], 0);
    CHECK_EQ(v->seg[SEG_TR].sel, SEL_FREE);
    CHECK(v->flags & FLAG_NT);
    CHECK(v->cr0 & CR0_TS);
    CHECK_EQ(peek(second, 2), SEL_TSS);
    CHECK_EQ(peek(TSS + 0x20, 4), FAKE_RIP + 2);
    CHECK_EQ(peek(GDT + SEL_FREE + 5, 1) & 0xf, SYS_TSS_BUSY);
    CHECK_EQ(peek(GDT + SEL_TSS + 5, 1) & 0xf, SYS_TSS_BUSY);
    CHECK(faulted(v, op_call_far(v, &in), EXC_GP, SEL_FREE));
    CHECK(op_iret(v, &in) == CPU_OK);
    CHECK_EQ(v->next_rip, 0x4002);
    CHECK_EQ(v->gpr[RBX], 0x1234);
    CHECK(!(v->flags & FLAG_NT));
    CHECK_EQ(peek(GDT + SEL_FREE + 5, 1) & 0xf, SYS_TSS_AVAIL);

    TEST("task switch: limit, presence, bad selectors in the new task");
    fake_gdt(SEL_FREE, fake_descriptor(second, 0x66, SYS_TSS_AVAIL, 0, 0));
    CHECK(faulted(v, op_jmp_far(v, &in), EXC_TS, SEL_FREE));
    fake_gdt(SEL_FREE, fake_descriptor(second, 0x67, SYS_TSS_AVAIL, 0, 0) & ~(1ull << 47));
    CHECK(faulted(v, op_jmp_far(v, &in), EXC_NP, SEL_FREE));
    CHECK_EQ(v->seg[SEG_TR].sel, SEL_TSS);
    fake_gdt(SEL_FREE, fake_descriptor(second, 0x67, SYS_TSS_AVAIL, 0, 0));
    poke(second + 0x48 + 4 * SEG_SS, SEL_DATA3, 2);
    CHECK(faulted(v, op_jmp_far(v, &in), EXC_TS, SEL_DATA3 & ~3));
    CHECK_EQ(v->seg[SEG_TR].sel, SEL_FREE);
    CHECK_EQ(v->rip, 0x6000);
    CHECK_EQ(peek(GDT + SEL_TSS + 5, 1) & 0xf, SYS_TSS_AVAIL);
}

static void looking(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    struct insn in = {.osz = 4, .asz = 4, .reg = RAX, .rm = RCX, .mod = 3};
    TEST("LAR, LSL, VERR, VERW, ARPL, UMIP");
    fake_protected(v, 3);
    v->gpr[RCX] = SEL_DATA3;
    CHECK(op_lar(v, &in) == CPU_OK);
    CHECK(rflags_get(v) & FLAG_ZF);
    CHECK_EQ(v->gpr[RAX] & 0xf0ff00, 0xc0f200);
    CHECK(op_lsl(v, &in) == CPU_OK);
    CHECK_EQ(v->gpr[RAX], 0xffffffff);
    CHECK(op_verw(v, &in) == CPU_OK);
    CHECK(rflags_get(v) & FLAG_ZF);
    v->gpr[RCX] = SEL_CODE3;
    CHECK(op_verw(v, &in) == CPU_OK);
    CHECK(!(rflags_get(v) & FLAG_ZF));
    CHECK(op_verr(v, &in) == CPU_OK);
    CHECK(rflags_get(v) & FLAG_ZF);
    v->gpr[RCX] = SEL_DATA0;
    CHECK(op_lsl(v, &in) == CPU_OK);
    CHECK(!(rflags_get(v) & FLAG_ZF));
    v->gpr[RCX] = 0xfff0;
    CHECK(op_verr(v, &in) == CPU_OK);
    CHECK(!(rflags_get(v) & FLAG_ZF));
    v->gpr[RAX] = 3;
    CHECK(op_arpl(v, &in) == CPU_OK);
    CHECK_EQ(v->gpr[RCX], 0xfff3);
    CHECK(op_str(v, &in) == CPU_OK);
    CHECK_EQ(v->gpr[RCX], SEL_TSS);
    v->cr4 |= CR4_UMIP;
    CHECK(faulted(v, op_str(v, &in), EXC_GP, 0));
    CHECK(faulted(v, op_ltr(v, &in), EXC_GP, 0));
}

static void system_calls(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    struct insn in = {.osz = 8, .asz = 8};
    TEST("SYSCALL and SYSRET, Intel and AMD");
    fake_protected(v, 3);
    v->efer = EFER_LME | EFER_LMA | EFER_SCE;
    v->star = 0x0013000800000000;
    v->lstar = 0xffffffff80001000;
    v->cstar = 0xffffffff80002000;
    v->sfmask = FLAG_IF | FLAG_TF;
    CHECK(faulted(v, op_syscall(v, &in), EXC_UD, 0)); /* compatibility mode */
    v->vm->vendor = VENDOR_AMD;
    CHECK(op_syscall(v, &in) == CPU_OK);
    CHECK_EQ(v->next_rip, v->cstar);
    v->vm->vendor = VENDOR_INTEL;
    v->flags |= FLAG_IF;
    v->next_rip = 0x1002;
    CHECK(op_syscall(v, &in) == CPU_OK);
    CHECK_EQ(v->next_rip, v->lstar);
    CHECK_EQ(v->gpr[RCX], 0x1002);
    CHECK(v->gpr[R11] & FLAG_IF);
    CHECK(!(v->flags & FLAG_IF));
    CHECK_EQ(v->seg[SEG_CS].sel, 8);
    CHECK_EQ(v->mode & MODE_SIZE_MASK, MODE_64);
    v->gpr[RCX] = 1ull << 47;
    CHECK(faulted(v, op_sysret(v, &in), EXC_GP, 0));
    CHECK_EQ(v->cpl, 0);
    v->gpr[RCX] = 0x1002;
    CHECK(op_sysret(v, &in) == CPU_OK);
    CHECK_EQ(v->cpl, 3);
    CHECK_EQ(v->seg[SEG_CS].sel, 0x23);
    CHECK_EQ(v->seg[SEG_SS].sel, 0x1b);
    CHECK(v->flags & FLAG_IF);

    TEST("SYSRET: SS has RPL 3 on Intel, on AMD the RPL of STAR");
    static const struct {
        u8 vendor, osz, rpl, ss, cs;
    } returns[] = {
        {VENDOR_INTEL, 8, 0, 0x23, 0x2b}, {VENDOR_INTEL, 4, 0, 0x23, 0x1b}, {VENDOR_INTEL, 4, 3, 0x23, 0x1b},
        {VENDOR_AMD, 8, 0, 0x20, 0x2b},   {VENDOR_AMD, 4, 0, 0x20, 0x1b},   {VENDOR_AMD, 8, 3, 0x23, 0x2b},
        {VENDOR_AMD, 4, 2, 0x22, 0x1b},
    };
    for (unsigned i = 0; i < ARRAY_LEN(returns); i++) {
        const struct insn sysret = {.osz = returns[i].osz, .asz = 8};
        v->vm->vendor = returns[i].vendor;
        v->seg[SEG_CS].attr |= SEG_L;
        cpl_set(v, 0);
        v->star = (u64)(0x18 | returns[i].rpl) << 48;
        CHECK(op_sysret(v, &sysret) == CPU_OK);
        CHECK_EQ(v->seg[SEG_SS].sel, returns[i].ss);
        CHECK_EQ(v->seg[SEG_CS].sel, returns[i].cs);
        CHECK_EQ(v->cpl, 3);
    }

    TEST("SYSENTER in long mode is Intel's");
    v->vm->vendor = VENDOR_AMD;
    CHECK(faulted(v, op_sysenter(v, &in), EXC_UD, 0));
    v->vm->vendor = VENDOR_INTEL;
    CHECK(faulted(v, op_sysenter(v, &in), EXC_GP, 0));
}

int main(void)
{
    loads();
    limits();
    real_mode();
    far_jumps();
    call_gates();
    tasks();
    looking();
    system_calls();
    return TEST_END();
}
