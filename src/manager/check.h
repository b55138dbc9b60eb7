/*
 * What is wrong with the networks of VMs, as far as can be seen from here: `nestbox check`.
 */
#ifndef MANAGER_CHECK_H
#define MANAGER_CHECK_H

#include "store/networks.h"

#include <jansson.h>

/* An array of findings: "finding" (the name of a row), "text", "remedy" (a command, or null), "hint" (or null), "vm",
 * "card" and "switch" (or null). `vm` NULL: of all VMs. Nothing is started or changed. */
int MUST_CHECK check_all(struct store *store, const char *vm, json_t **findings, struct error *error);

/* What the checks look at. */
struct check_context {
    const struct networks *defined;
    const json_t *reports; /* what switches report, by their names in lower case; null of one that does not run,
                            * a text of one that does not answer */
    const char *vm;        /* NULL: all */
};

/* The kinds of findings; ends with a name of NULL. */
struct check {
    const char *name, *meaning; /* a phrase */
    void (*find)(const struct check *check, const struct check_context *context, json_t *findings);
};
extern const struct check checks[];

#endif
