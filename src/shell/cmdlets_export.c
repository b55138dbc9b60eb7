/*
 * VMs and checkpoints as folders or archives for other hosts, and back.
 */
#include "manager/export.h"

#include "shell/advice.h"
#include "shell/model.h"
#include "shell/script.h"
#include "shell/vms.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static enum flow export(struct call *call, const char *vm, const char *checkpoint) {
    const char *live = call_text(call, "CaptureLiveState");
    const struct export_how how = {.live = live && text_same(live, "CaptureDataConsistentState") ? EXPORT_CONSISTENT
                                                                                                 : EXPORT_SAVED,
                                   .checkpoint = checkpoint};
    char *path = script_path(call_text(call, "Path"));
    struct error error;
    json_t *object = NULL;
    if (!export_is_archive(path))
        mkdir(path, 0777); /* a folder gets one of the VM's name, as with Hyper-V; what is in the way is said below */
    int e = vm_export(call->shell->store, vm, path, &how, NULL, &object, &error);
    free(path);
    if (e) return call_manager_error(call, &error, vm);
    call_verbose(call, "%s is %s", vm, model_text(object, "path"));
    json_decref(object);
    return FLOW_NEXT;
}

static enum flow export_one(struct call *call, const char *vm)
{
    return export(call, vm, NULL);
}

static enum flow export_vms(struct call *call)
{
    return vms_each(call, export_one, vm_object);
}

static enum flow export_checkpoint(struct call *call, const char *vm, const char *name)
{
    return export(call, vm, name);
}

static enum flow export_checkpoints(struct call *call)
{
    return checkpoints_each(call, export_checkpoint);
}

static void take_how(const struct call *call, const char *path, struct import_how *how)
{
    *how = (struct import_how){.name = call_text(call, "VMName"),
                               .in_place = !call_on(call, "Copy") && !export_is_archive(path),
                               .new_id = call_on(call, "GenerateNewId"),
                               .switch_name = call_text(call, "SwitchName")};
}

static enum flow import(struct call *call)
{
    char *path = script_path(call_text(call, "Path"));
    struct import_how how;
    struct error error;
    json_t *object = NULL;
    bool go;
    take_how(call, path, &how);
    enum flow flow = call_should(call, path, &go);
    if (flow == FLOW_NEXT && go && model_store(call, &flow)) {
        if (vm_import(call->shell->store, path, &how, NULL, &object, &error))
            flow = call_manager_error(call, &error, path);
        else
            flow = vm_put(call, model_text(object, "name"));
        json_decref(object);
    }
    free(path);
    return flow;
}

/* What would stand in the way. */
static enum flow compare(struct call *call)
{
    struct heap *heap = &call->shell->heap;
    char *path = script_path(call_text(call, "Path"));
    struct import_how how;
    struct error error;
    json_t *problems, *one;
    size_t index;
    enum flow flow;
    take_how(call, path, &how);
    if (model_store(call, &flow)) {
        if (vm_import_check(call->shell->store, path, &how, &problems, &error)) {
            flow = call_manager_error(call, &error, path);
        } else {
            struct value *v = value_object(heap, "VMCompatibilityReport"), *list = value_array(heap);
            json_array_foreach (problems, index, one) {
                struct value *problem = value_object(heap, "VMIncompatibility");
                object_set(problem, "Name", value_text(heap, model_text(one, "problem")));
                object_set(problem, "Message", value_text(heap, model_text(one, "text")));
                struct text advice = {0};
                advice_put(call->parameters, model_text(one, "hint"), &advice);
                object_set(problem, "RecommendedAction", value_text_take(heap, &advice));
                array_add(list, problem);
            }
            json_decref(problems);
            object_set(v, "OperationType", value_text(heap, "ImportVirtualMachine"));
            object_set(v, "Path", value_text(heap, path));
            object_set(v, "Incompatibilities", list);
            flow = call_put(call, v);
        }
    }
    free(path);
    return flow;
}

/* clang-format off */
#define FOLDER \
    {"Path", PARAMETER_TEXT, MANDATORY, 2, .help = "a folder that gets one of the VM's name, or an archive: .tar"}
static const struct parameter export_parameters[] = {
    VMS_BY_NAME, FOLDER,
    {"CaptureLiveState", PARAMETER_CHOICE, .words = "CaptureSavedState|CaptureDataConsistentState",
     .help = "what of a VM that runs: memory and disks, or disks with file systems at rest; memory without it"},
    {"Passthru", PARAMETER_SWITCH, .help = "puts the VMs out"}, {0},
};
static const struct parameter export_checkpoint_parameters[] = {
    CHECKPOINTS(MANDATORY, 1), VMS_OF_PARTS(3), CHECKPOINT_OBJECTS, FOLDER, {0},
};
#define IMPORT \
    {"Path", PARAMETER_TEXT, MANDATORY | BY_NAME, 1, .help = "what Export-VM made: a folder, or an archive"}, \
    {"Register", PARAMETER_SWITCH, .sets = BIT(0), .help = "a folder stays where it is, as without -Copy"}, \
    {"Copy", PARAMETER_SWITCH, .sets = BIT(1), .help = "the VM gets a folder like others"}, \
    {"GenerateNewId", PARAMETER_SWITCH, .setting = "new-id", .help = "it is another VM than the exported one"}, \
    {"VMName", PARAMETER_TEXT, .setting = "name", .help = "another name"}, \
    {"SwitchName", PARAMETER_TEXT, .setting = "switch", .help = "its cards come to that switch"}
static const struct parameter import_parameters[] = {IMPORT, {0}};
const struct cmdlet cmdlets_export[] = {
    {"Export-VM", NULL, export_parameters, IMPACT_MEDIUM, .process = export_vms,
     .summary = "Makes folders or archives of VMs, for other hosts",
     .examples = "Export-VM lab ./exports\nExport-VM lab ./lab.tar -CaptureLiveState CaptureDataConsistentState"},
    {"Export-VMSnapshot", "Export-VMCheckpoint", export_checkpoint_parameters, IMPACT_MEDIUM,
     .process = export_checkpoints, .summary = "Makes folders or archives of VMs as they were then",
     .examples = "Export-VMSnapshot -VMName lab -Name start -Path ./exports"},
    {"Import-VM", NULL, import_parameters, IMPACT_MEDIUM, .process = import, .summary = "Makes a VM of an export",
     .gives = "VirtualMachine",
     .examples = "Import-VM ./exports/lab\nImport-VM ./lab.tar -Copy -GenerateNewId -VMName lab2"},
    {"Compare-VM", NULL, import_parameters, .process = compare,
     .summary = "Shows what stands in the way of an import", .gives = "VMCompatibilityReport",
     .examples = "(Compare-VM ./exports/lab).Incompatibilities | Format-List *"},
    {0},
};
/* clang-format on */
