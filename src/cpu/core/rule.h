/*
 * RULE: one consistency check of a VM entry (VMLAUNCH, VMRESUME, VMRUN). It states what must hold. A check that fails
 * names itself: its text and the section of the manual that asks for it are noted in the vCPU, and rule_trace shows
 * them with --trace entry. A file that uses RULE defines SECTION, with SDM or APM, for the checks that follow.
 */
#ifndef CPU_CORE_RULE_H
#define CPU_CORE_RULE_H

#include "cpu/core/vcpu.h"

struct rule {
    const char *text;
    const char *source;
};

#define SDM(section) "SDM, \"" section "\""
#define APM(section) "APM 2, \"" section "\""

/* In a function that returns true if all rules hold and that has the vCPU as `v`. All rules of the engine are in one
 * section of the program, so that the tests can walk them. */
#define RULE(cond, sentence)                                                                                           \
    do {                                                                                                               \
        if (unlikely(!(cond))) {                                                                                       \
            static const struct rule rule __attribute__((section("rules"))) = {(sentence), SECTION};                   \
            v->broken_rule = &rule;                                                                                    \
            return false;                                                                                              \
        }                                                                                                              \
    } while (0)

/* The VM entry of this vCPU failed because of v->broken_rule: one line for --trace, if it is on. L1 was at `rip`. */
void rule_trace(struct vcpu *v, u64 rip);

#endif
