/*
 * The life of VMs: started, stopped, paused, saved, waited for.
 */
#include "manager/guest.h"
#include "manager/life.h"

#include "shell/model.h"
#include "shell/vms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_SECONDS 600

/* One thing that is done to each VM. What it did, or that there was nothing to do, is in *result. */
typedef int vm_operation(struct call *call, const char *name, json_t **result, struct error *error);

static enum flow each(struct call *call, vm_operation *operation)
{
    struct error error;
    json_t *vms, *vm;
    size_t index;
    bool go;
    enum flow flow = vms_find(call, &vms);
    json_array_foreach (vms, index, vm) {
        const char *name = model_text(vm, "name");
        json_t *result = json_object();
        if (flow == FLOW_NEXT)
            flow = call_should(call, name, &go);
        if (flow == FLOW_NEXT && go) {
            if (operation(call, name, &result, &error))
                flow = call_manager_error(call, &error, name);
            else if (json_is_true(json_object_get(result, "already")))
                call_warn(call, "VM %s is in state %s already", name, model_text(result, "state"));
            if (flow == FLOW_NEXT && call_on(call, "Passthru") && !call->failed)
                flow = vm_put(call, name);
        }
        json_decref(result);
    }
    json_decref(vms);
    return flow;
}

static int start_one(struct call *call, const char *name, json_t **result, struct error *error)
{
    return life_start(call->shell->store, name, NULL, result, error);
}

/* -Force does not take no for an answer: what does not shut down in time is turned off. */
static int stop_one(struct call *call, const char *name, json_t **result, struct error *error)
{
    struct store *store = call->shell->store;
    enum life_stop how = call_on(call, "TurnOff") ? LIFE_TURN_OFF : call_on(call, "Save") ? LIFE_SAVE : LIFE_SHUT_DOWN;
    int e = life_stop(store, name, how, 0, NULL, result, error);
    if (e == -ETIMEDOUT && how == LIFE_SHUT_DOWN && call_on(call, "Force")) {
        call_warn(call, "VM %s did not shut down, and is turned off", name);
        e = life_stop(store, name, LIFE_TURN_OFF, 0, NULL, result, error);
    }
    return e;
}

static int save_one(struct call *call, const char *name, json_t **result, struct error *error)
{
    return life_stop(call->shell->store, name, LIFE_SAVE, 0, NULL, result, error);
}

static int suspend_one(struct call *call, const char *name, json_t **result, struct error *error)
{
    return life_pause(call->shell->store, name, result, error);
}

static int resume_one(struct call *call, const char *name, json_t **result, struct error *error)
{
    return life_resume(call->shell->store, name, result, error);
}

static int discard_one(struct call *call, const char *name, json_t **result, struct error *error)
{
    return life_discard(call->shell->store, name, result, error);
}

static int wait_one(struct call *call, const char *name, json_t **result, struct error *error)
{
    s64 seconds = WAIT_SECONDS;
    call_number(call, "Timeout", &seconds);
    return guest_wait(call->shell->store, name, (u32)(seconds < 1 ? 1 : seconds), NULL, error);
}

static int restart_one(struct call *call, const char *name, json_t **result, struct error *error)
{
    const char *type = call_text(call, "Type");
    bool hard = !type || text_same(type, "Reset");
    int e = life_restart(call->shell->store, name, hard, 0, NULL, result, error);
    return !e && call_on(call, "Wait") ? wait_one(call, name, result, error) : e;
}

static enum flow start(struct call *call)
{
    return each(call, start_one);
}

static enum flow stop(struct call *call)
{
    return each(call, stop_one);
}

static enum flow save(struct call *call)
{
    return each(call, save_one);
}

static enum flow suspend(struct call *call)
{
    return each(call, suspend_one);
}

static enum flow resume(struct call *call)
{
    return each(call, resume_one);
}

static enum flow restart(struct call *call)
{
    return each(call, restart_one);
}

static enum flow discard(struct call *call)
{
    return each(call, discard_one);
}

static enum flow wait_for(struct call *call)
{
    return each(call, wait_one);
}

/* clang-format off */
#define OF \
    {"Name", PARAMETER_TEXTS, MANDATORY | BY_NAME, 1, .aliases = "VMName", .sets = BIT(0), \
     .help = "VMs, with wildcards"}, \
    {"VM", PARAMETER_OBJECT, MANDATORY | BY_VALUE, 1, .words = "VirtualMachine", .sets = BIT(1), \
     .help = "VMs from the pipeline"}, \
    {"Passthru", PARAMETER_SWITCH, .help = "puts the VMs out"}
#define TIMEOUT {"Timeout", PARAMETER_NUMBER, .aliases = "TimeoutSec", .most = 1000000, \
    .help = "seconds; 600 without it"}
static const struct parameter of_parameters[] = {OF, {0}};
static const struct parameter stop_parameters[] = {
    OF,
    {"Force", PARAMETER_SWITCH, .help = "turns it off if the guest does not shut down"},
    {"TurnOff", PARAMETER_SWITCH, .setting = "turn-off", .help = "like pulling the plug"},
    {"Save", PARAMETER_SWITCH, .help = "memory and devices go to the disk"}, {0},
};
static const struct parameter restart_parameters[] = {
    OF,
    {"Force", PARAMETER_SWITCH, .help = "asks nothing"},
    {"Type", PARAMETER_CHOICE, .words = "Reset|Reboot", .help = "by the button, or by the guest; Reset without it"},
    {"Wait", PARAMETER_SWITCH, .help = "until the guest's agent answers"},
    {"For", PARAMETER_CHOICE, .words = "Heartbeat|IPAddress", .help = "what is waited for: the guest's agent"},
    TIMEOUT, {0},
};
static const struct parameter wait_parameters[] = {
    OF,
    {"For", PARAMETER_CHOICE, .words = "Heartbeat|IPAddress", .help = "what is waited for: the guest's agent"},
    TIMEOUT, {0},
};
const struct cmdlet cmdlets_life[] = {
    {"Start-VM", NULL, of_parameters, IMPACT_MEDIUM, .process = start,
     .summary = "Starts VMs: from off, from a saved state, from a pause"},
    {"Stop-VM", NULL, stop_parameters, IMPACT_MEDIUM, .process = stop, .summary = "Shuts VMs down"},
    {"Save-VM", NULL, of_parameters, IMPACT_MEDIUM, .process = save,
     .summary = "Writes the memory and devices of VMs to the disk, and ends them"},
    {"Suspend-VM", NULL, of_parameters, IMPACT_MEDIUM, .process = suspend, .summary = "Pauses VMs"},
    {"Resume-VM", NULL, of_parameters, IMPACT_MEDIUM, .process = resume, .summary = "Lets paused VMs go on"},
    {"Restart-VM", NULL, restart_parameters, IMPACT_MEDIUM, .process = restart, .summary = "Restarts VMs"},
    {"Remove-VMSavedState", NULL, of_parameters, IMPACT_MEDIUM, .process = discard,
     .summary = "Drops the saved state of VMs"},
    {"Wait-VM", NULL, wait_parameters, .process = wait_for, .summary = "Waits for the agents of guests"},
    {0},
};
/* clang-format on */
