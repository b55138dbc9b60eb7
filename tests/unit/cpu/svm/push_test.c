/* Vectors that the caller gives (CPU_APICS_CALLER) while L2 runs. */
#include "unit/test.h"

#include "cpu/event/exception.h"
#include "unit/svm_machine.h"

#define VECTOR 0x35

static void run(bool intercepted)
{
    machine_ready();
    vm.apics = CPU_APICS_CALLER;
    if (intercepted)
        intercept(SVM_EXIT_INTR);
    vmcb->control.vintr = VINTR_MASKING;
    v->flags |= FLAG_IF; /* L1's, which counts */
    CHECK_EQ(vmrun(), CPU_OK);
    CHECK(v->in_guest);
}

int main(void)
{
    TEST("an intercepted vector makes L2 exit, and stays for L1");
    run(true);
    CHECK(cpu_interruptible(v));
    CHECK_EQ(cpu_interrupt(v, VECTOR), 0);
    CHECK_EQ(events_process(v), CPU_NESTED_EXIT);
    CHECK(!v->in_guest && vmcb->control.exit_code == SVM_EXIT_INTR);
    CHECK(v->pushed && v->pushed_vector == VECTOR);

    TEST("an intercepted vector waits for GIF");
    CHECK(!v->gif);
    CHECK_EQ(events_process(v), CPU_OK);
    CHECK(v->pushed && v->intr_masked);

    TEST("the caller's window is open in L2");
    run(true);
    cpu_window_set(v, true);
    CHECK_EQ(events_process(v), CPU_EXIT);
    CHECK(v->exit == CPU_EXIT_WINDOW && v->in_guest);
    return TEST_END();
}
