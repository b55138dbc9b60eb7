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

#endif
