/*
 * Copies with progress: what a signal that would end the process does before they are done, and after that.
 */
#include "manager/bulk.h"

#include "process/task.h"
#include "unit/test.h"

#include <errno.h>
#include <signal.h>

static volatile sig_atomic_t came;

static void on_signal(int sig)
{
    came++;
}

static void test_signal_in_time(void)
{
    struct bulk bulk;
    struct error error;
    bulk_begin(&bulk, NULL, "copying");
    raise(SIGINT);
    CHECK_EQ(task_cancelled(&error), -ECANCELED);
    CHECK_EQ(task_cancelled(&error), 0); /* it was taken */
    bulk_end(&bulk, -ECANCELED);
    CHECK_EQ(came, 0);
}

/* It would say that nothing was done. */
static void test_signal_too_late(void)
{
    struct bulk bulk;
    bulk_begin(&bulk, NULL, "copying");
    raise(SIGINT);
    bulk_end(&bulk, 0);
    CHECK_EQ(came, 0);
    raise(SIGINT);
    CHECK_EQ(came, 1);
}

static void test_signal_after_failure(void)
{
    struct bulk bulk;
    came = 0;
    bulk_begin(&bulk, NULL, "copying");
    raise(SIGTERM);
    CHECK_EQ(came, 0);
    bulk_end(&bulk, -EIO);
    CHECK_EQ(came, 1);
}

int main(void)
{
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    TEST("a signal in time cancels, and is taken");
    test_signal_in_time();
    TEST("one that comes too late does not end what is done");
    test_signal_too_late();
    TEST("after a failure it does what it would have done");
    test_signal_after_failure();
    return TEST_END();
}
