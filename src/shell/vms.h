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
/* A drive and a card, as objects: by what vm_list or disk_list, and nic_list, have of it. */
struct value *drive_object(struct heap *heap, const json_t *vm, const json_t *drive);
struct value *card_object(struct heap *heap, const json_t *json);

/* Does something to each VM that is asked for, after the question whether it should be done. `object`: what -Passthru
 * puts out after that; NULL: `one` does. */
enum flow vms_each(struct call *call, enum flow (*one)(struct call *call, const char *name),
                   struct value *(*object)(struct heap *heap, const json_t *json));
/* Does something to each checkpoint that is asked for. */
enum flow checkpoints_each(struct call *call, enum flow (*one)(struct call *call, const char *vm, const char *name));
/* Changes each VM by the parameters that name its settings. */
enum flow vms_change(struct call *call, struct value *(*object)(struct heap *heap, const json_t *json));
/* The same of one setting, whose value is not a parameter's. */
enum flow vms_set(struct call *call, const char *setting, const char *value,
                  struct value *(*object)(struct heap *heap, const json_t *json));
/* Puts an object for each VM. */
enum flow vms_put(struct call *call, struct value *(*object)(struct heap *heap, const json_t *json));

/* How VMs are named: by the first name, by texts or by objects of a pipeline. Cmdlets of VMs take -Name, for which
 * -VMName is another word; those of their parts take -VMName. */
#define VM_OBJECTS(at)                                                                                                 \
    {                                                                                                                  \
        "VM", PARAMETER_OBJECT, MANDATORY | BY_VALUE, at, .words = "VirtualMachine", .sets = BIT(1),                   \
                                                          .help = "VMs from the pipeline"                              \
    }
#define VMS_BY_NAME                                                                                                    \
    {"Name",                                                                                                           \
     PARAMETER_TEXTS,                                                                                                  \
     MANDATORY | BY_NAME,                                                                                              \
     1,                                                                                                                \
     .aliases = "VMName",                                                                                              \
     .sets = BIT(0),                                                                                                   \
     .help = "VMs by name or id, with wildcards"},                                                                     \
        VM_OBJECTS(1)
#define VMS_OF_PARTS(at)                                                                                               \
    {"VMName", PARAMETER_TEXTS, MANDATORY | BY_NAME, at, .sets = BIT(0), .help = "VMs by name or id, with wildcards"}, \
        VM_OBJECTS(at)
#define CHECKPOINTS(must, at)                                                                                          \
    {                                                                                                                  \
        "SnapshotName", PARAMETER_TEXTS, must, at, .aliases = "Name|CheckpointName", .sets = BIT(0) | BIT(1),          \
                                                   .setting = "name",                                                  \
                                                   .help = "which of its checkpoints, with wildcards"                  \
    }
#define CHECKPOINT_OBJECTS                                                                                             \
    {                                                                                                                  \
        "VMSnapshot", PARAMETER_OBJECT, MANDATORY | BY_VALUE, 1,                                                       \
            .aliases = "VMCheckpoint", .words = "VMSnapshot", .sets = BIT(2), .help = "checkpoints from the pipeline"  \
    }

#endif
