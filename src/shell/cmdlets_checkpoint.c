/*
 * Checkpoints of VMs. Hyper-V has two nouns for them, VMSnapshot and VMCheckpoint, which are the same.
 */
#include "manager/checkpoint.h"

#include "shell/model.h"
#include "shell/vms.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* clang-format off */
static const struct property_row checkpoint_rows[] = {
    {"VMName", PROPERTY_NOTHING},
    {"Name", PROPERTY_VALUE, "name"},
    {"SnapshotType", PROPERTY_CONSTANT, .words = "Standard"},
    {"CheckpointType", PROPERTY_WORD, "kind", "Production|Standard"},
    {"CreationTime", PROPERTY_NOTHING},
    {"ParentSnapshotName", PROPERTY_NOTHING},
    {"ParentSnapshotId", PROPERTY_VALUE, "parent"},
    {"IsCurrent", PROPERTY_VALUE, "current"},
    {"SizeOfSystemFiles", PROPERTY_VALUE, "memory"},
    {"Id", PROPERTY_VALUE, "id"},
    {0},
};
/* clang-format on */

static const char *name_of(const json_t *list, const char *id)
{
    size_t index;
    json_t *one;
    json_array_foreach ((json_t *)(uintptr_t)list, index, one)
        if (strcmp(model_text(one, "id"), id) == 0)
            return model_text(one, "name");
    return "";
}

static struct value *checkpoint_object(struct heap *heap, const char *vm, const json_t *list, const json_t *one)
{
    struct value *v = model_object(heap, "VMSnapshot", checkpoint_rows, one);
    time_t created = (time_t)json_integer_value(json_object_get(one, "created"));
    char text[40];
    struct tm tm;
    localtime_r(&created, &tm);
    strftime(text, sizeof(text), "%m/%d/%Y %H:%M:%S", &tm);
    object_set(v, "VMName", value_text(heap, vm));
    object_set(v, "CreationTime", value_text(heap, text));
    object_set(v, "ParentSnapshotName", value_text(heap, name_of(list, model_text(one, "parent"))));
    return v;
}

/* The checkpoints that are asked for: by VM and name, or from the pipeline. */
static enum flow checkpoints(struct call *call, struct value **all)
{
    json_t *vms, *vm, *list, *one;
    struct error error;
    size_t i, j;
    *all = value_array(&call->shell->heap);
    if (call_objects(call, "VMSnapshot", *all))
        return FLOW_NEXT;
    enum flow flow = vms_find(call, &vms);
    json_array_foreach (vms, i, vm) {
        const char *name = model_text(vm, "name");
        if (flow != FLOW_NEXT)
            break;
        if (checkpoint_list(call->shell->store, name, &list, &error)) {
            flow = call_manager_error(call, &error, name);
            continue;
        }
        json_array_foreach (list, j, one)
            if (model_wanted(call, "SnapshotName", model_text(one, "name")))
                array_add(*all, checkpoint_object(&call->shell->heap, name, list, one));
        json_decref(list);
    }
    json_decref(vms);
    return flow == FLOW_NEXT && !call->failed
               ? model_missing(call, "SnapshotName", "checkpoint", *all, "Name", "Get-VMSnapshot")
               : flow;
}

static enum flow get(struct call *call)
{
    struct value *all;
    enum flow flow = checkpoints(call, &all);
    return flow == FLOW_NEXT ? sink_put_each(call->out, all) : flow;
}

static enum flow create_one(struct call *call, const char *name)
{
    struct error error;
    json_t *object;
    enum flow flow = FLOW_NEXT;
    if (checkpoint_create(call->shell->store, name, call_text(call, "SnapshotName"), CHECKPOINT_DISABLED, NULL, &object,
                          &error))
        return call_manager_error(call, &error, name);
    if (call_on(call, "Passthru"))
        flow = call_put(call, checkpoint_object(&call->shell->heap, name, NULL, object));
    json_decref(object);
    return flow;
}

static enum flow create(struct call *call)
{
    return vms_each(call, create_one, NULL);
}

static const char *text_of(const struct value *object, const char *name)
{
    const struct value *v = object_get(object, name);
    return v && v->kind == VALUE_TEXT ? v->text : "";
}

/* Does something to each checkpoint that is asked for, the last one first if `backwards`. */
static enum flow each(struct call *call, struct value *all, bool backwards,
                      enum flow (*one)(struct call *call, const char *vm, const char *name))
{
    enum flow flow = FLOW_NEXT;
    bool go;
    for (size_t i = 0; i < all->array.count && flow == FLOW_NEXT; i++) {
        const struct value *checkpoint = all->array.item[backwards ? all->array.count - 1 - i : i];
        const char *vm = text_of(checkpoint, "VMName"), *name = text_of(checkpoint, "Name");
        flow = call_should(call, name, &go);
        if (flow == FLOW_NEXT && go && model_store(call, &flow))
            flow = one(call, vm, name);
    }
    return flow;
}

static enum flow restore_one(struct call *call, const char *vm, const char *name)
{
    struct error error;
    return checkpoint_apply(call->shell->store, vm, name, &error) ? call_manager_error(call, &error, name) : FLOW_NEXT;
}

static enum flow remove_one(struct call *call, const char *vm, const char *name)
{
    struct error error;
    return checkpoint_delete(call->shell->store, vm, name, NULL, &error) ? call_manager_error(call, &error, name)
                                                                         : FLOW_NEXT;
}

static enum flow rename_one(struct call *call, const char *vm, const char *name)
{
    struct error error;
    return checkpoint_rename(call->shell->store, vm, name, call_text(call, "NewName"), &error)
               ? call_manager_error(call, &error, name)
               : FLOW_NEXT;
}

enum flow checkpoints_each(struct call *call, enum flow (*one)(struct call *call, const char *vm, const char *name))
{
    struct value *all;
    enum flow flow = checkpoints(call, &all);
    return flow == FLOW_NEXT ? each(call, all, false, one) : flow;
}

static enum flow restore(struct call *call)
{
    return checkpoints_each(call, restore_one);
}

static bool has(const struct value *all, const char *id)
{
    for (size_t i = 0; i < all->array.count; i++)
        if (strcmp(text_of(all->array.item[i], "Id"), id) == 0)
            return true;
    return false;
}

/* Adds what stands on those that are there. Lists are in the order of time, so parents come first. */
static enum flow add_children(struct call *call, struct value *all)
{
    json_t *list, *one;
    struct error error;
    size_t index;
    enum flow flow = FLOW_NEXT;
    const char *vm = all->array.count ? text_of(all->array.item[0], "VMName") : NULL;
    if (!vm || !model_store(call, &flow))
        return flow;
    if (checkpoint_list(call->shell->store, vm, &list, &error))
        return call_manager_error(call, &error, vm);
    json_array_foreach (list, index, one)
        if (has(all, model_text(one, "parent")) && !has(all, model_text(one, "id")))
            array_add(all, checkpoint_object(&call->shell->heap, vm, list, one));
    json_decref(list);
    return FLOW_NEXT;
}

static enum flow remove_checkpoints(struct call *call)
{
    struct value *all;
    enum flow flow = checkpoints(call, &all);
    if (flow == FLOW_NEXT && call_on(call, "IncludeAllChildSnapshots"))
        flow = add_children(call, all);
    return flow == FLOW_NEXT ? each(call, all, true, remove_one) : flow;
}

static enum flow rename_checkpoint(struct call *call)
{
    return checkpoints_each(call, rename_one);
}

/* clang-format off */
static const struct parameter create_parameters[] = {
    VMS_BY_NAME,
    {"SnapshotName", PARAMETER_TEXT, 0, 2, .aliases = "CheckpointName", .setting = "name",
     .help = "the checkpoint's name; the VM's and the time without it"},
    {"Passthru", PARAMETER_SWITCH, .help = "puts the checkpoints out"}, {0},
};
static const struct parameter get_parameters[] = {VMS_OF_PARTS(1), CHECKPOINTS(0, 2), {0}};
static const struct parameter restore_parameters[] = {
    CHECKPOINTS(MANDATORY, 1), VMS_OF_PARTS(2), CHECKPOINT_OBJECTS, {0},
};
static const struct parameter remove_parameters[] = {
    VMS_OF_PARTS(1), CHECKPOINTS(0, 2), CHECKPOINT_OBJECTS,
    {"IncludeAllChildSnapshots", PARAMETER_SWITCH, .aliases = "IncludeAllChildCheckpoints",
     .help = "those that stand on them, too"}, {0},
};
static const struct parameter rename_parameters[] = {
    CHECKPOINTS(MANDATORY, 1), VMS_OF_PARTS(2), CHECKPOINT_OBJECTS,
    {"NewName", PARAMETER_TEXT, MANDATORY, 3, .help = "the new name"}, {0},
};
const struct cmdlet cmdlets_checkpoint[] = {
    {"Checkpoint-VM", NULL, create_parameters, IMPACT_MEDIUM, .process = create,
     .summary = "Makes a checkpoint of VMs: what they are now",
     .examples = "Checkpoint-VM -VMName lab -SnapshotName \"BeforeLabSetup\""},
    {"Get-VMSnapshot", "Get-VMCheckpoint", get_parameters, .process = get, .summary = "Lists checkpoints of VMs",
     .gives = "VMSnapshot",
     .examples = "Get-VMSnapshot lab\n"
                 "Get-VMSnapshot lab | Where-Object IsCurrent"},
    {"Restore-VMSnapshot", "Restore-VMCheckpoint", restore_parameters, IMPACT_HIGH, .process = restore,
     .summary = "Makes a VM what it was; what it is now is lost",
     .examples = "Restore-VMSnapshot -VMName lab -Name \"BeforeLabSetup\" -Confirm:$false"},
    {"Remove-VMSnapshot", "Remove-VMCheckpoint", remove_parameters, IMPACT_MEDIUM, .process = remove_checkpoints,
     .summary = "Deletes checkpoints; VMs stay as they are",
     .examples = "Remove-VMSnapshot lab \"BeforeLabSetup\" -IncludeAllChildSnapshots"},
    {"Rename-VMSnapshot", "Rename-VMCheckpoint", rename_parameters, IMPACT_MEDIUM, .process = rename_checkpoint,
     .summary = "Renames a checkpoint",
     .examples = "Rename-VMSnapshot -VMName lab -Name \"BeforeLabSetup\" -NewName start"},
    {0},
};
/* clang-format on */
