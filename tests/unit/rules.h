/*
 * Which rules of VM entry (cpu/core/rule.h) a test has broken: at its end every rule of one manual must be among them.
 */
#ifndef TESTS_UNIT_RULES_H
#define TESTS_UNIT_RULES_H

#include <string.h>

#include "cpu/core/rule.h"
#include "unit/test.h"

/* All rules of the program: the linker makes these two. */
extern const struct rule __start_rules[], __stop_rules[];

static bool rules_broken[512];

/* The rule that the last VM entry of `v` broke, by now on the list; NULL if it broke none. */
static inline const struct rule *rules_note(const struct vcpu *v)
{
    const struct rule *r = v->broken_rule;
    if (r)
        rules_broken[r - __start_rules] = true;
    return r;
}

/* Returns true if the text of rule `r` contains `text` and its source names a section. */
static inline bool rules_named(const struct rule *r, const char *text)
{
    return r && strstr(r->text, text) && strchr(r->source, '"');
}

static inline void rules_check_all(const char *manual)
{
    unsigned count = 0;
    for (const struct rule *r = __start_rules; r < __stop_rules; r++) {
        if (strncmp(r->source, manual, strlen(manual)))
            continue;
        count++;
        if (!rules_broken[r - __start_rules]) {
            test_bad++;
            printf("# no test breaks the rule \"%s\" (%s)\n", r->text, r->source);
        }
    }
    CHECK(count > 0);
}

#endif
