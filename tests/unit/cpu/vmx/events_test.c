/* Events of L2: exceptions that exit, vectoring information, windows, NMIs, the preemption timer. */
#include "unit/test.h"

#include "cpu/event/exception.h"
#include "unit/vmx_machine.h"

#define TIMER_MAX 0xffffffffu

static const struct event page_fault = {.valid = true,
                                        .vector = EXC_PF,
                                        .type = EVENT_EXCEPTION,
                                        .has_error = true,
                                        .error = PFERR_P | PFERR_W,
                                        .payload = 0xabc};

static void test_exceptions(void)
{
    TEST("exception bitmap, page-fault mask");
    machine_ready();
    x->f.exception_bitmap = BIT(EXC_PF) | BIT(EXC_UD);
    x->f.pf_mask = PFERR_P;
    x->f.pf_match = PFERR_P;
    machine_launch();
    struct event other = page_fault;
    other.error = 0;
    CHECK_EQ(vmx_exception(v, &other), CPU_OK);
    CHECK_EQ(vmx_exception(v, &page_fault), CPU_NESTED_EXIT);
    machine_exited(EXIT_EXCEPTION_NMI);
    CHECK_EQ(x->f.qualification, 0xabc);
    CHECK_EQ(x->f.exit_intr_info, INTR_VALID | INTR_ERROR_VALID | EVENT_EXCEPTION << INTR_TYPE_SHIFT | EXC_PF);
    CHECK_EQ(x->f.exit_intr_error, PFERR_P | PFERR_W);
    CHECK(x->f.guest_rflags & FLAG_RF);

    TEST("IDT-vectoring information");
    machine_ready();
    x->f.exception_bitmap = BIT(EXC_PF);
    machine_launch();
    v->delivering = (struct event){.valid = true, .vector = 0x80, .type = EVENT_SOFT_INT, .insn_len = 2};
    CHECK_EQ(vmx_exception(v, &page_fault), CPU_NESTED_EXIT);
    CHECK_EQ(x->f.idt_info, INTR_VALID | EVENT_SOFT_INT << INTR_TYPE_SHIFT | 0x80);
    CHECK_EQ(x->f.exit_insn_len, 2);
    CHECK(!v->delivering.valid);
}

static void test_windows(void)
{
    TEST("interrupt window");
    machine_ready();
    x->f.proc |= PROC_INTERRUPT_WINDOW;
    machine_launch();
    CHECK_EQ(vmx_windows(v), CPU_OK);
    CHECK(v->intr_masked);
    v->flags |= FLAG_IF;
    CHECK_EQ(vmx_windows(v), CPU_NESTED_EXIT);
    machine_exited(EXIT_INTERRUPT_WINDOW);

    TEST("NMI window");
    machine_ready();
    x->f.proc |= PROC_NMI_WINDOW;
    x->f.guest_interruptibility = INTERRUPTIBILITY_NMI;
    machine_launch();
    CHECK(v->nmi_blocked);
    CHECK(vmx_nmi_allowed(v));
    CHECK_EQ(vmx_windows(v), CPU_OK);
    v->nmi_blocked = false;
    CHECK_EQ(vmx_windows(v), CPU_NESTED_EXIT);
    machine_exited(EXIT_NMI_WINDOW);

    TEST("an NMI that exits blocks NMIs in L1");
    machine_ready();
    machine_launch();
    CHECK_EQ(vmx_event(v, NEV_NMI), CPU_NESTED_EXIT);
    machine_exited(EXIT_EXCEPTION_NMI);
    CHECK(v->nmi_blocked);
}

static void test_preemption_timer(void)
{
    TEST("the preemption timer's value is saved");
    machine_ready();
    x->f.pin |= PIN_PREEMPTION_TIMER;
    x->f.exit_controls |= EXITC_SAVE_PREEMPTION_TIMER;
    x->f.guest_preemption_timer = TIMER_MAX;
    machine_launch();
    CHECK_EQ(vmx_windows(v), CPU_OK);
    CHECK(vmx_deadline(v));
    CHECK_EQ(vmx_intercept(v, IC_CPUID, 0, 0), CPU_NESTED_EXIT);
    CHECK(x->f.guest_preemption_timer <= TIMER_MAX && x->f.guest_preemption_timer > 0xf0000000);
    CHECK(!vmx_deadline(v));

    TEST("the preemption timer expires");
    machine_ready();
    x->f.pin |= PIN_PREEMPTION_TIMER;
    machine_launch();
    CHECK_EQ(vmx_windows(v), CPU_NESTED_EXIT);
    machine_exited(EXIT_PREEMPTION_TIMER);

    TEST("a short preemption timer, but not one of 0, lets an instruction run first");
    machine_ready();
    x->f.pin |= PIN_PREEMPTION_TIMER;
    x->f.guest_preemption_timer = 1;
    machine_launch();
    while (tsc_read_l1(v) >> VMX_TIMER_SHIFT < x->timer_end)
        ;
    CHECK_EQ(vmx_windows(v), CPU_OK);
    CHECK(v->step_owed && v->in_guest);
    v->step_owed = false;
    CHECK_EQ(vmx_windows(v), CPU_NESTED_EXIT);
    machine_exited(EXIT_PREEMPTION_TIMER);

    TEST("TSC read at the end of the preemption timer");
    machine_ready();
    x->f.pin |= PIN_PREEMPTION_TIMER;
    x->f.guest_preemption_timer = TIMER_MAX;
    machine_launch();
    v->step_owed = false; /* that instruction is RDTSC */
    v->request = 0;
    CHECK_EQ(op_rdtsc(v, &plain), CPU_OK);
    CHECK(!v->request);
    x->timer_end = tsc_read_l1(v) >> VMX_TIMER_SHIFT;
    CHECK_EQ(op_rdtsc(v, &plain), CPU_OK);
    CHECK(v->request & REQ_EVENT);
}

static void test_stage2(void)
{
    TEST("EPT violation exits");
    machine_ready();
    machine_launch();
    const struct stage2_fault s = {.gpa = NGPA(0x1234),
                                   .la = 0x9999,
                                   .la_valid = true,
                                   .final = true,
                                   .access = ACCESS_WRITE,
                                   .perms = GRANT_READ | GRANT_FETCH};
    CHECK_EQ(vmx_stage2(v, &s), CPU_NESTED_EXIT);
    machine_exited(EXIT_EPT_VIOLATION);
    CHECK_EQ(x->f.qualification,
             EPTQ_WRITE | (GRANT_READ | GRANT_FETCH) << EPTQ_PERMS_SHIFT | EPTQ_LA_VALID | EPTQ_FINAL);
    CHECK_EQ(x->f.guest_physical, 0x1234);
    CHECK_EQ(x->f.guest_linear, 0x9999);
}

/* -- RF in the flags that an exit saves -- */

enum delivery { INT_N, INT_3, INT_1, FAULT, TRAP, ABORT, INTERRUPT, NMI, INJECTED_FAULT };

/* L2 delivers an event whose first access, to its paging structures, is an EPT violation: the EPT maps nothing. */
static void deliver_in_l2(enum delivery what, bool rf)
{
    static const struct event events[] = {
        [INTERRUPT] = {.valid = true, .vector = 0x30, .type = EVENT_EXTINT},
        [NMI] = {.valid = true, .vector = EXC_NMI, .type = EVENT_NMI},
        [INJECTED_FAULT] = {.valid = true, .vector = EXC_UD, .type = EVENT_EXCEPTION},
    };
    enum outcome out;
    machine_ready();
    x->f.proc2 = x->proc2 &= ~PROC2_VPID;
    machine_launch();
    v->flags |= rf ? FLAG_RF : 0;
    switch (what) {
    case INT_N: out = soft_interrupt(v, 0x80, EVENT_SOFT_INT); break;
    case INT_3: out = soft_interrupt(v, EXC_BP, EVENT_SOFT_EXC); break;
    case INT_1: out = soft_interrupt(v, EXC_DB, EVENT_PRIV_SOFT); break;
    case FAULT:
        CHECK_EQ(raise_ud(v), CPU_FAULT);
        out = exception_deliver(v);
        break;
    case TRAP:
        CHECK_EQ(raise_db(v, DR6_BS), CPU_FAULT);
        out = exception_deliver(v);
        break;
    case ABORT:
        CHECK_EQ(raise_event(v, EXC_MC, false, 0, 0), CPU_FAULT);
        out = exception_deliver(v);
        break;
    default: out = event_deliver(v, &events[what]);
    }
    CHECK_EQ(out, CPU_NESTED_EXIT);
    machine_exited(EXIT_EPT_VIOLATION);
    CHECK(x->f.idt_info & INTR_VALID);
}

static bool saved_rf(void)
{
    return x->f.guest_rflags & FLAG_RF;
}

static void test_resume_flag(void)
{
    static const struct {
        u8 delivery, with, without; /* RF saved if RF was set, and if it was not */
    } table[] = {
        {INT_N, 0, 0}, {INT_3, 0, 0},     {INT_1, 0, 0}, {FAULT, 1, 1},          {TRAP, 1, 0},
        {ABORT, 1, 0}, {INTERRUPT, 1, 0}, {NMI, 1, 0},   {INJECTED_FAULT, 1, 0},
    };
    TEST("RF of an exit during a delivery is that of the event's frame");
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        deliver_in_l2(table[i].delivery, true);
        CHECK_EQ(saved_rf(), table[i].with);
        deliver_in_l2(table[i].delivery, false);
        CHECK_EQ(saved_rf(), table[i].without);
    }

    TEST("RF of other exits of accesses is 1, of instructions 0, of events as they would push it");
    const struct stage2_fault misconfig = {.gpa = NGPA(0x1234), .misconfig = true};
    for (unsigned rf = 0; rf < 2; rf++) {
        machine_ready();
        machine_launch();
        v->flags |= rf ? FLAG_RF : 0;
        CHECK_EQ(vmx_stage2(v, &misconfig), CPU_NESTED_EXIT);
        machine_exited(EXIT_EPT_MISCONFIG);
        CHECK(saved_rf());

        machine_ready();
        machine_launch();
        v->flags |= rf ? FLAG_RF : 0;
        CHECK_EQ(vmx_intercept(v, IC_CPUID, 0, 0), CPU_NESTED_EXIT);
        machine_exited(EXIT_CPUID);
        CHECK(!saved_rf());

        machine_ready();
        machine_launch();
        v->flags |= rf ? FLAG_RF : 0;
        CHECK_EQ(vmx_event(v, NEV_NMI), CPU_NESTED_EXIT);
        CHECK_EQ(saved_rf(), rf);

        static const u8 vectors[] = {EXC_UD, EXC_DB, EXC_DF, EXC_MC};
        for (unsigned i = 0; i < ARRAY_LEN(vectors); i++) {
            machine_ready();
            x->f.exception_bitmap = ~0u;
            machine_launch();
            v->flags |= rf ? FLAG_RF : 0;
            const struct event e = {.valid = true, .vector = vectors[i], .type = EVENT_EXCEPTION};
            CHECK_EQ(vmx_exception(v, &e), CPU_NESTED_EXIT);
            CHECK_EQ(saved_rf(), rf || vectors[i] == EXC_UD);
        }

        machine_ready();
        x->f.exception_bitmap = ~0u;
        machine_launch();
        v->flags |= rf ? FLAG_RF : 0;
        CHECK_EQ(soft_interrupt(v, EXC_BP, EVENT_SOFT_EXC), CPU_NESTED_EXIT);
        CHECK(!saved_rf());
    }

    TEST("a fault that exits out of a delivery saves its own RF");
    machine_ready();
    x->f.exception_bitmap = BIT(EXC_PF);
    machine_launch();
    v->delivering = (struct event){.valid = true, .vector = 0x80, .type = EVENT_SOFT_INT, .insn_len = 2};
    CHECK_EQ(vmx_exception(v, &page_fault), CPU_NESTED_EXIT);
    CHECK(saved_rf());

    TEST("a task switch saves what the old task's TSS would get");
    for (unsigned rf = 0; rf < 2; rf++) {
        machine_ready();
        machine_launch();
        v->delivering = (struct event){.valid = true, .vector = EXC_UD, .type = EVENT_EXCEPTION, .rf = rf};
        CHECK_EQ(vmx_intercept(v, IC_TASK_SWITCH, 0x40, TASK_GATE), CPU_NESTED_EXIT);
        machine_exited(EXIT_TASK_SWITCH);
        CHECK_EQ(saved_rf(), rf);
    }
}

/* -- IRET that faults -- */

static void iret_in_l2(u32 bitmap, u64 sp)
{
    static const struct insn iret = {.len = 2, .osz = 8, .asz = 8, .base = REG_NONE, .index = REG_NONE, .scale = 1};
    machine_ready();
    x->f.exception_bitmap = bitmap;
    x->f.guest_interruptibility = INTERRUPTIBILITY_NMI;
    x->f.guest_rsp = sp;
    machine_launch();
    CHECK(v->nmi_blocked);
    enum outcome out = op_iret(v, &iret);
    if (out == CPU_FAULT)
        out = exception_deliver(v);
    CHECK_EQ(out, CPU_NESTED_EXIT);
    CHECK(!v->in_guest);
    CHECK(!(x->f.guest_interruptibility & INTERRUPTIBILITY_NMI));
}

static void test_iret(void)
{
    TEST("an IRET that faults ends virtual-NMI blocking, and the exit says so");
    iret_in_l2(0, L2_RSP);
    CHECK_EQ(x->f.exit_reason, EXIT_EPT_VIOLATION);
    CHECK(x->f.qualification & EPTQ_NMI_UNBLOCKING);
    iret_in_l2(BIT(EXC_SS), 1ull << 62);
    CHECK_EQ(x->f.exit_reason, EXIT_EXCEPTION_NMI);
    CHECK(x->f.exit_intr_info & INTR_NMI_UNBLOCKING);
    iret_in_l2(0, 1ull << 62); /* the delivery of its fault meets the EPT violation */
    CHECK_EQ(x->f.exit_reason, EXIT_EPT_VIOLATION);
    CHECK(!(x->f.qualification & EPTQ_NMI_UNBLOCKING));

    TEST("so does one that meets an EPT misconfiguration or the APIC-access page, which have no bit for it");
    machine_ready();
    x->f.guest_interruptibility = INTERRUPTIBILITY_NMI;
    machine_launch();
    v->iret_unblocks = true;
    const struct stage2_fault misconfig = {.gpa = NGPA(0x1234), .misconfig = true};
    CHECK_EQ(vmx_stage2(v, &misconfig), CPU_NESTED_EXIT);
    CHECK(!(x->f.guest_interruptibility & INTERRUPTIBILITY_NMI));
    CHECK_EQ(x->f.qualification, 0);

    TEST("other exits leave virtual-NMI blocking alone");
    machine_ready();
    x->f.guest_interruptibility = INTERRUPTIBILITY_NMI;
    machine_launch();
    CHECK_EQ(vmx_stage2(v, &misconfig), CPU_NESTED_EXIT);
    CHECK(x->f.guest_interruptibility & INTERRUPTIBILITY_NMI);
}

/* L2 runs, and the caller has the APICs. */
static void launch_without_apics(u32 exit_controls)
{
    machine_ready();
    vm.apics = CPU_APICS_CALLER;
    x->f.exit_controls |= exit_controls;
    machine_launch();
}

static void test_pushed(void)
{
    TEST("a vector that the caller gives makes L2 exit");
    launch_without_apics(EXITC_ACK_INTERRUPT);
    CHECK(cpu_interruptible(v));
    CHECK_EQ(cpu_interrupt(v, 0x35), 0);
    CHECK_EQ(events_process(v), CPU_NESTED_EXIT);
    machine_exited(EXIT_EXTINT);
    CHECK_EQ(x->f.exit_intr_info, INTR_VALID | EVENT_EXTINT << INTR_TYPE_SHIFT | 0x35);
    CHECK(!v->pushed);

    TEST("the vector stays for L1 if the exit does not acknowledge it");
    launch_without_apics(0);
    CHECK_EQ(cpu_interrupt(v, 0x35), 0);
    CHECK_EQ(events_process(v), CPU_NESTED_EXIT);
    machine_exited(EXIT_EXTINT);
    CHECK_EQ(x->f.exit_intr_info, 0);
    CHECK(v->pushed && v->pushed_vector == 0x35);

    TEST("the caller's window is open in L2, which closed IF");
    launch_without_apics(0);
    cpu_window_set(v, true);
    CHECK_EQ(events_process(v), CPU_EXIT);
    CHECK(v->exit == CPU_EXIT_WINDOW && v->in_guest);
}

int main(void)
{
    test_pushed();
    test_exceptions();
    test_windows();
    test_preemption_timer();
    test_stage2();
    test_resume_flag();
    test_iret();
    return TEST_END();
}
