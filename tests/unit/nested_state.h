/* What the state tests of VMX and SVM share; behind vmx_machine.h or svm_machine.h. */
#ifndef TESTS_UNIT_NESTED_STATE_H
#define TESTS_UNIT_NESTED_STATE_H

#include "unit/state_walk.h"

static struct cpu_state saved;
static const char *bad; /* what the last set() refused */

static void walk(const char *name)
{
    TEST(name);
    CHECK(walk_registers(STATE_ALL) > 1000);
}

static int set(const struct cpu_state *s)
{
    return cpu_state_set(v, s, STATE_ALL, &bad);
}

/* The nested state in `tried` is refused, because of that register. `tried` is as saved again. */
static void refused(const char *name)
{
    CHECK_EQ(cpu_state_set(v, &tried, STATE_NESTED, &bad), -EINVAL);
    if (!strstr(bad, name)) {
        printf("# %s, not %s\n", bad, name);
        CHECK(!"the register is named");
    }
    tried = saved;
}

#endif
