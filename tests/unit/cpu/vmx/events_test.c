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
    return TEST_END();
}
