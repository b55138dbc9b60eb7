/* Event delivery: frames, error codes, privilege, double and triple faults, intercepts, priorities, IRET. */
#include "unit/test.h"

#include "unit/fake_vcpu.h"
#include "x86/msr.h"

static void gate32(u8 vector, u16 sel, u32 offset, u32 type, u32 dpl)
{
    poke(IDT + vector * 8u, fake_gate(sel, offset, type, dpl), 8);
}

static void gate64(u8 vector, u16 sel, u64 offset, u32 type, u32 dpl, unsigned ist)
{
    poke(IDT + vector * 16u, fake_gate(sel, (u32)offset, type, dpl) | (u64)ist << 32, 8);
    poke(IDT + vector * 16u + 8, offset >> 32, 8);
}

static void protected_mode(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    struct insn in = {.osz = 4, .asz = 4};
    TEST("fault from ring 3 to a 32-bit interrupt gate, and IRET");
    fake_protected(v, 3);
    gate32(EXC_GP, SEL_CODE0, 0x6000, SYS_INT_GATE, 0);
    v->flags |= FLAG_IF | FLAG_TF;
    raise_gp(v, 0x18);
    CHECK(exception_deliver(v) == CPU_OK);
    CHECK_EQ(v->rip, 0x6000);
    CHECK_EQ(v->cpl, 0);
    CHECK(!(v->flags & (FLAG_IF | FLAG_TF)));
    CHECK_EQ(v->gpr[RSP], FAKE_RSP0 - 24);
    CHECK_EQ(peek(FAKE_RSP0 - 24, 4), 0x18);
    CHECK_EQ(peek(FAKE_RSP0 - 20, 4), FAKE_RIP);
    CHECK_EQ(peek(FAKE_RSP0 - 16, 4), SEL_CODE3);
    CHECK_EQ(peek(FAKE_RSP0 - 12, 4), FLAG_ONE | FLAG_IF | FLAG_TF | FLAG_RF);
    CHECK_EQ(peek(FAKE_RSP0 - 8, 4), FAKE_RSP);
    CHECK_EQ(peek(FAKE_RSP0 - 4, 4), SEL_DATA3);
    v->gpr[RSP] += 4;
    CHECK(op_iret(v, &in) == CPU_OK);
    CHECK_EQ(v->cpl, 3);
    CHECK_EQ(v->next_rip, FAKE_RIP);
    CHECK_EQ(v->gpr[RSP], FAKE_RSP);
    CHECK_EQ(v->flags, FLAG_ONE | FLAG_IF | FLAG_TF);

    TEST("INT n: DPL, presence, limit give IDT error codes without EXT");
    v = fake_vcpu(VENDOR_INTEL);
    fake_protected(v, 3);
    gate32(EXC_GP, SEL_CODE0, 0x6000, SYS_TRAP_GATE, 0);
    gate32(EXC_NP, SEL_CODE0, 0x7000, SYS_TRAP_GATE, 0);
    gate32(0x40, SEL_CODE0, 0x5000, SYS_TRAP_GATE, 0);
    in.imm = 0x40;
    CHECK(op_int_n(v, &in) == CPU_OK);
    CHECK_EQ(v->rip, 0x6000);
    CHECK_EQ(peek(v->gpr[RSP], 4), 0x40 * 8 + ERROR_IDT);
    CHECK_EQ(peek(v->gpr[RSP] + 4, 4), FAKE_RIP);
    fake_protected(v, 3);
    gate32(0x40, SEL_CODE0, 0x5000, SYS_TRAP_GATE, 3);
    poke(IDT + 0x40 * 8 + 5, SYS_TRAP_GATE | 3 << SEG_DPL_SHIFT, 1);
    CHECK(op_int_n(v, &in) == CPU_OK);
    CHECK_EQ(v->rip, 0x7000);
    CHECK_EQ(peek(v->gpr[RSP], 4), 0x40 * 8 + ERROR_IDT);
    fake_protected(v, 3);
    gate32(0x40, SEL_CODE0, 0x5000, SYS_TRAP_GATE, 3);
    CHECK(op_int_n(v, &in) == CPU_OK);
    CHECK_EQ(v->rip, 0x5000);
    CHECK_EQ(peek(v->gpr[RSP], 4), FAKE_RIP + 2);

    TEST("hardware interrupts set EXT");
    fake_protected(v, 3);
    gate32(0x40, 0x800, 0x5000, SYS_INT_GATE, 0);
    struct event e = {.valid = true, .vector = 0x40, .type = EVENT_EXTINT};
    CHECK(event_deliver(v, &e) == CPU_OK);
    CHECK_EQ(v->rip, 0x6000);
    CHECK_EQ(peek(v->gpr[RSP], 4), 0x800 + ERROR_EXT);
}

static void double_faults(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    TEST("contributory faults become #DF, #DF and a fault shut down");
    fake_protected(v, 0);
    gate32(EXC_DF, SEL_CODE0, 0x6000, SYS_INT_GATE, 0);
    raise_gp(v, 0);
    CHECK(exception_deliver(v) == CPU_OK); /* no gate for #GP: #GP in #GP */
    CHECK_EQ(v->rip, 0x6000);
    CHECK_EQ(peek(v->gpr[RSP], 4), 0);
    CHECK_EQ(peek(v->gpr[RSP] + 4, 4), FAKE_RIP);
    fake_protected(v, 0);
    gate32(EXC_NP, SEL_CODE0, 0x7000, SYS_INT_GATE, 0);
    gate32(EXC_UD, SEL_CODE0, 0x7000, SYS_INT_GATE, 0);
    poke(IDT + EXC_UD * 8 + 5, SYS_INT_GATE, 1);
    raise_ud(v);
    CHECK(exception_deliver(v) == CPU_OK); /* #NP in a benign #UD */
    CHECK_EQ(v->rip, 0x7000);
    CHECK_EQ(peek(v->gpr[RSP], 4), EXC_UD * 8 + ERROR_IDT + ERROR_EXT);
    v = fake_vcpu(VENDOR_AMD);
    fake_protected(v, 0);
    gate32(EXC_NP, SEL_CODE0, 0x7000, SYS_INT_GATE, 0);
    gate32(EXC_UD, SEL_CODE0, 0x7000, SYS_INT_GATE, 0);
    poke(IDT + EXC_UD * 8 + 5, SYS_INT_GATE, 1);
    raise_ud(v);
    CHECK(exception_deliver(v) == CPU_OK);
    CHECK_EQ(peek(v->gpr[RSP], 4), EXC_UD * 8 + ERROR_IDT); /* an exception is not external to AMD */
    const struct event e = {.valid = true, .vector = EXC_UD, .type = EVENT_EXTINT};
    CHECK(event_deliver(v, &e) == CPU_OK);
    CHECK_EQ(peek(v->gpr[RSP], 4), EXC_UD * 8 + ERROR_IDT + ERROR_EXT);
    v = fake_vcpu(VENDOR_INTEL);
    fake_protected(v, 0);
    poke(IDT + EXC_DF * 8, 0, 8);
    raise_gp(v, 0);
    CHECK(exception_deliver(v) == CPU_EXIT);
    CHECK_EQ(v->exit, CPU_EXIT_SHUTDOWN);
}

static void long_mode(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    struct insn in = {.osz = 8, .asz = 8};
    TEST("64-bit gates: alignment, IST, null SS, canonical checks; IRETQ");
    fake_protected(v, 0);
    v->efer = EFER_LME | EFER_LMA;
    v->seg[SEG_CS] = fake_segment(SEL_CODE64_3);
    v->seg[SEG_SS] = fake_segment(SEL_DATA3);
    cpl_set(v, 3);
    v->idtr.limit = 0xfff;
    poke(TSS + TSS64_RSP0, FAKE_RSP0 + 8, 8);
    poke(TSS + TSS64_IST1, 0xa000, 8);
    gate64(EXC_PF, SEL_CODE64, 0xffffffff80001000, SYS_INT_GATE, 0, 0);
    gate64(EXC_NMI, SEL_CODE64, 0xffffffff80002000, SYS_INT_GATE, 0, 1);
    gate64(EXC_SS, SEL_CODE64, 0xffffffff80003000, SYS_INT_GATE, 0, 1);
    raise_pf(v, 0x123456789000, PFERR_U | PFERR_W);
    CHECK(exception_deliver(v) == CPU_OK);
    CHECK_EQ(v->cr2, 0x123456789000);
    CHECK_EQ(v->rip, 0xffffffff80001000);
    CHECK_EQ(v->gpr[RSP], FAKE_RSP0 - 48);
    CHECK_EQ(v->seg[SEG_SS].sel, 0);
    CHECK_EQ(peek(FAKE_RSP0 - 48, 8), PFERR_U | PFERR_W);
    CHECK_EQ(peek(FAKE_RSP0 - 8, 8), SEL_DATA3);
    CHECK_EQ(peek(FAKE_RSP0 - 16, 8), FAKE_RSP);
    struct event nmi = {.valid = true, .vector = EXC_NMI, .type = EVENT_NMI};
    CHECK(event_deliver(v, &nmi) == CPU_OK);
    CHECK(v->nmi_blocked);
    CHECK_EQ(v->gpr[RSP], 0xa000 - 40);
    CHECK_EQ(peek(0xa000 - 16, 8), FAKE_RSP0 - 48);
    CHECK(op_iret(v, &in) == CPU_OK);
    CHECK(!v->nmi_blocked);
    CHECK_EQ(v->cpl, 0);
    CHECK_EQ(v->gpr[RSP], FAKE_RSP0 - 48);
    v->gpr[RSP] += 8;
    CHECK(op_iret(v, &in) == CPU_OK);
    CHECK_EQ(v->cpl, 3);
    CHECK_EQ(v->seg[SEG_SS].sel, SEL_DATA3);
    v->cpl = 0;
    v->flags |= FLAG_NT;
    CHECK(faulted(v, op_iret(v, &in), EXC_GP, 0));

    TEST("a non-canonical RSP0 is #SS(EXT) with the IST of #SS");
    v->flags &= ~FLAG_NT;
    cpl_set(v, 3);
    poke(TSS + TSS64_RSP0, (1ull << 47) + 0x1000, 8);
    v->rip = FAKE_RIP;
    gate64(0x40, SEL_CODE64, 0x1000, SYS_INT_GATE, 0, 0);
    struct event e = {.valid = true, .vector = 0x40, .type = EVENT_EXTINT};
    CHECK(event_deliver(v, &e) == CPU_OK);
    CHECK_EQ(v->rip, 0xffffffff80003000);
    CHECK_EQ(peek(v->gpr[RSP], 8), ERROR_EXT);
}

static void virtual_8086(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    struct insn in = {.osz = 4, .asz = 4, .imm = 0x21};
    TEST("virtual-8086 mode: INT n by IOPL, to ring 0 and back, VME redirection");
    fake_protected(v, 0);
    gate32(EXC_GP, SEL_CODE0, 0x6000, SYS_INT_GATE, 0);
    v->flags |= FLAG_VM;
    for (unsigned i = 0; i < 6; i++)
        segment_load_real(v, i, (u16)(0x100 + i));
    cpl_set(v, 3);
    v->gpr[RSP] = 0x800;
    v->rip = 0x10;
    v->next_rip = 0x12;
    CHECK(op_int_n(v, &in) == CPU_OK);
    CHECK_EQ(v->cpl, 0);
    CHECK_EQ(v->rip, 0x6000);
    CHECK(!in_v86(v));
    CHECK_EQ(v->gpr[RSP], FAKE_RSP0 - 40);
    CHECK_EQ(peek(FAKE_RSP0 - 40, 4), 0);
    CHECK_EQ(peek(FAKE_RSP0 - 36, 4), 0x10);
    CHECK_EQ(peek(FAKE_RSP0 - 4, 4), 0x100 + SEG_GS);
    CHECK_EQ(peek(FAKE_RSP0 - 16, 4), 0x100 + SEG_ES);
    CHECK(v->seg[SEG_DS].attr & SEG_UNUSABLE);
    v->gpr[RSP] += 4;
    CHECK(op_iret(v, &in) == CPU_OK);
    CHECK(in_v86(v));
    CHECK_EQ(v->cpl, 3);
    CHECK_EQ(v->seg[SEG_FS].base, 0x1040);
    CHECK_EQ(v->gpr[RSP], 0x800);
    CHECK_EQ(v->next_rip, 0x10);
    v->rip = 0x10;
    v->next_rip = 0x12;
    v->cr4 |= CR4_VME;
    v->seg[SEG_TR].limit = 0xff;
    poke(TSS + TSS_IO_MAP_BASE, 0x88, 2);
    poke(0x21 * 4, 0x02000030, 4);
    v->flags |= FLAG_VIF;
    CHECK(op_int_n(v, &in) == CPU_OK);
    CHECK(in_v86(v));
    CHECK_EQ(v->next_rip, 0x30);
    CHECK_EQ(v->seg[SEG_CS].sel, 0x200);
    CHECK(!(v->flags & FLAG_VIF));
    CHECK_EQ(peek(0x1020 + 0x800 - 2, 2), FLAG_ONE | FLAG_IOPL | FLAG_IF);
}

/* -- L2 -- */

static u64 fake_intercepts; /* exception vectors */
static struct event seen, seen_delivering;

static enum outcome fake_exception(struct vcpu *v, const struct event *e)
{
    if (!(fake_intercepts >> e->vector & 1))
        return CPU_OK;
    seen = *e;
    seen_delivering = v->delivering;
    return CPU_NESTED_EXIT;
}

static enum outcome fake_event(struct vcpu *v, enum nested_event what)
{
    seen.vector = 0x80 | what;
    return what == NEV_TRIPLE_FAULT ? CPU_NESTED_EXIT : CPU_OK;
}

static void nested(void)
{
    static const struct nested_ops ops = {.exception = fake_exception, .event = fake_event};
    struct vcpu *v = fake_vcpu(VENDOR_AMD);
    TEST("L2: exceptions exit, in delivery with the event that was being delivered");
    fake_protected(v, 0);
    v->nested = &ops;
    v->in_guest = true;
    fake_intercepts = BIT64(EXC_PF);
    raise_pf(v, 0x5000, 0);
    CHECK(exception_deliver(v) == CPU_NESTED_EXIT);
    CHECK_EQ(v->cr2, 0);
    fake_intercepts = BIT64(EXC_GP);
    struct event e = {.valid = true, .vector = 0x30, .type = EVENT_EXTINT};
    CHECK(event_deliver(v, &e) == CPU_NESTED_EXIT); /* no gate */
    CHECK_EQ(seen.vector, EXC_GP);
    CHECK_EQ(seen.error, 0x30 * 8 + ERROR_IDT + ERROR_EXT);
    CHECK(seen_delivering.valid);
    CHECK_EQ(seen_delivering.vector, 0x30);
    CHECK(!v->delivering.valid);
    fake_intercepts = BIT64(EXC_DF);
    raise_gp(v, 0);
    CHECK(exception_deliver(v) == CPU_NESTED_EXIT);
    CHECK_EQ(seen.vector, EXC_DF);
    CHECK_EQ(seen_delivering.vector, EXC_GP);
    fake_intercepts = 0;
    raise_gp(v, 0);
    CHECK(exception_deliver(v) == CPU_NESTED_EXIT);
    CHECK_EQ(seen.vector, 0x80 | NEV_TRIPLE_FAULT);
}

static void priorities(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    TEST("events: traps before NMI, MOV SS holds both, INIT first, SIPI starts");
    fake_protected(v, 0);
    gate32(EXC_DB, SEL_CODE0, 0x6000, SYS_INT_GATE, 0);
    gate32(EXC_NMI, SEL_CODE0, 0x7000, SYS_INT_GATE, 0);
    v->nmi_pending = true;
    v->trap_pending = true;
    v->trap_dr6 = DR6_BS;
    v->shadow = SHADOW_MOVSS;
    CHECK(events_process(v) == CPU_OK);
    CHECK_EQ(v->rip, FAKE_RIP);
    v->shadow = 0;
    enum outcome r = events_process(v);
    CHECK(r == CPU_FAULT && exception_deliver(v) == CPU_OK);
    CHECK_EQ(v->rip, 0x6000);
    CHECK_EQ(v->dr6, DR6_FIXED | DR6_BS);
    CHECK_EQ(peek(v->gpr[RSP] + 8, 4) & FLAG_RF, 0);
    CHECK(v->request & REQ_EVENT);
    CHECK(events_process(v) == CPU_OK);
    CHECK_EQ(v->rip, 0x7000);
    CHECK(v->nmi_blocked);
    v->nmi_pending = true;
    CHECK(events_process(v) == CPU_OK);
    CHECK_EQ(v->rip, 0x7000);
    v->apic_base &= ~APIC_BASE_BSP; /* an application processor */
    v->init_pending = true;
    CHECK(events_process(v) == CPU_OK);
    CHECK_EQ(v->activity, ACTIVITY_WAIT_SIPI);
    v->sipi_vector = 0x9a;
    v->sipi_pending = true;
    CHECK(events_process(v) == CPU_OK);
    CHECK_EQ(v->activity, ACTIVITY_ACTIVE);
    CHECK_EQ(v->seg[SEG_CS].base, 0x9a000);
    CHECK_EQ(v->rip, 0);

    TEST("events: a SIPI is lost without INIT, and waits behind one in SMM");
    v->sipi_pending = true;
    CHECK(events_process(v) == CPU_OK);
    CHECK(!v->sipi_pending && v->activity == ACTIVITY_ACTIVE);
    v->smm.on = true;
    v->init_pending = v->sipi_pending = true;
    CHECK(events_process(v) == CPU_OK);
    CHECK(v->init_pending && v->sipi_pending);
    v->smm.on = false; /* as after RSM */
    CHECK(events_process(v) == CPU_OK);
    CHECK(v->activity == ACTIVITY_WAIT_SIPI && v->request & REQ_EVENT);
    CHECK(events_process(v) == CPU_OK);
    CHECK_EQ(v->activity, ACTIVITY_ACTIVE);
    CHECK_EQ(v->seg[SEG_CS].base, 0x9a000);
}

static void real_mode(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    struct insn in = {.osz = 2, .asz = 2, .imm = 0x10};
    TEST("real mode: INT n through the vector table and IRET");
    segment_load_real(v, SEG_CS, 0x100);
    v->gpr[RSP] = 0x800;
    v->rip = 0x10;
    v->next_rip = 0x12;
    v->flags |= FLAG_IF;
    poke(0x10 * 4, 0xf0001234, 4);
    CHECK(op_int_n(v, &in) == CPU_OK);
    CHECK_EQ(v->rip, 0x1234);
    CHECK_EQ(v->seg[SEG_CS].base, 0xf0000);
    CHECK(!(v->flags & FLAG_IF));
    CHECK_EQ(peek(0x800 - 6, 2), 0x12);
    CHECK(op_iret(v, &in) == CPU_OK);
    CHECK_EQ(v->next_rip, 0x12);
    CHECK_EQ(v->gpr[RSP], 0x800);
    CHECK(v->flags & FLAG_IF);
}

static void flags(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    struct insn in = {.osz = 4, .asz = 4};
    TEST("CLI, STI, POPF by IOPL and PVI; STI shadow");
    fake_protected(v, 3);
    CHECK(faulted(v, op_cli(v, &in), EXC_GP, 0));
    CHECK(faulted(v, op_sti(v, &in), EXC_GP, 0));
    v->cr4 |= CR4_PVI;
    CHECK(op_sti(v, &in) == CPU_OK);
    CHECK(v->flags & FLAG_VIF && !(v->flags & FLAG_IF));
    v->flags |= FLAG_VIP;
    CHECK(faulted(v, op_sti(v, &in), EXC_GP, 0));
    poke(FAKE_RSP, FLAG_IF | FLAG_IOPL | FLAG_CF | FLAG_DF, 4);
    CHECK(op_popf(v, &in) == CPU_OK);
    CHECK_EQ(rflags_get(v), FLAG_ONE | FLAG_CF | FLAG_DF | FLAG_VIF | FLAG_VIP);
    CHECK(faulted(v, op_stac(v, &in), EXC_UD, 0));
    fake_protected(v, 0);
    CHECK(op_sti(v, &in) == CPU_NEXT);
    CHECK(v->flags & FLAG_IF && !v->shadow);
    CHECK(op_sti(v, &in) == CPU_OK);
    v->flags &= ~FLAG_IF;
    v->request = REQ_EVENT;
    CHECK(op_sti(v, &in) == CPU_OK);
    CHECK_EQ(v->shadow, SHADOW_STI);
    CHECK(v->mode & MODE_STEP);
}

int main(void)
{
    protected_mode();
    double_faults();
    long_mode();
    virtual_8086();
    nested();
    priorities();
    real_mode();
    flags();
    return TEST_END();
}
