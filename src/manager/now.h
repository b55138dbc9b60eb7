/*
 * What a VM is doing now: its worker's word where one runs, and what is on disk otherwise.
 */
#ifndef MANAGER_NOW_H
#define MANAGER_NOW_H

#include "rules/vm_state.h"
#include "store/vm.h"

struct vm_now {
    enum vm_state state;
    json_t *report; /* the worker's answer to "show"; NULL: none runs */
};

/* The caller releases the report. A worker that does not answer is an error. */
int MUST_CHECK vm_now(const struct store *store, const struct vm_def *def, struct vm_now *now, struct error *error);
/* Refuses what the VM's state does not allow. Returns 0 or -EPERM. */
int MUST_CHECK vm_now_allows(const struct vm_def *def, const struct vm_now *now, enum vm_request request,
                             struct error *error);

#endif
