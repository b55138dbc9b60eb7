/*
 * VMs, as the cmdlets of VMs find them.
 */
#ifndef SHELL_VMS_H
#define SHELL_VMS_H

#include "shell/cmdlet.h"

#include <jansson.h>

/* The VMs that -VMName or -Name ask for, with wildcards, or -VM has: an array of the manager's objects, which the
 * caller releases; never NULL. A name that no VM has is an error. */
enum flow vms_find(struct call *call, json_t **vms);
/* One VM as it is now. */
enum flow vm_put(struct call *call, const char *name);
struct value *vm_object(struct heap *heap, const json_t *json);

/* Changes each VM by the parameters that name its settings. `put`: puts it out after that, with -Passthru. */
enum flow vms_change(struct call *call, struct value *(*object)(struct heap *heap, const json_t *json));
/* Puts an object for each VM. */
enum flow vms_put(struct call *call, struct value *(*object)(struct heap *heap, const json_t *json));

#endif
