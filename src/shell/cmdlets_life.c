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

/* How an operation on a VM ended; the result is released. */
static enum flow ended(struct call *call, const char *name, int e, json_t *result, const struct error *error)
{
    enum flow flow = FLOW_NEXT;
    if (e)
        flow = call_manager_error(call, error, name);
    else if (json_is_true(json_object_get(result, "already")))
        call_warn(call, "VM %s is in state %s already", name, model_text(result, "state"));
    json_decref(result);
    return flow;
}

static enum flow start_one(struct call *call, const char *name)
{
    struct error error;
    json_t *result = json_object();
    int e = life_start(call->shell->store, name, NULL, &result, &error);
    return ended(call, name, e, result, &error);
}

/* -Force does not take no for an answer: what does not shut down in time is turned off. */
static enum flow stop_one(struct call *call, const char *name)
{
    struct store *store = call->shell->store;
    struct error error;
    json_t *result = json_object();
    enum life_stop how = call_on(call, "TurnOff") ? LIFE_TURN_OFF : call_on(call, "Save") ? LIFE_SAVE : LIFE_SHUT_DOWN;
    int e = life_stop(store, name, how, 0, NULL, &result, &error);
    if (e == -ETIMEDOUT && how == LIFE_SHUT_DOWN && call_on(call, "Force")) {
        call_warn(call, "VM %s did not shut down, and is turned off", name);
        e = life_stop(store, name, LIFE_TURN_OFF, 0, NULL, &result, &error);
    }
    return ended(call, name, e, result, &error);
}

static enum flow save_one(struct call *call, const char *name)
{
    struct error error;
    json_t *result = json_object();
    int e = life_stop(call->shell->store, name, LIFE_SAVE, 0, NULL, &result, &error);
    return ended(call, name, e, result, &error);
}

static enum flow suspend_one(struct call *call, const char *name)
{
    struct error error;
    json_t *result = json_object();
    int e = life_pause(call->shell->store, name, &result, &error);
    return ended(call, name, e, result, &error);
}

static enum flow resume_one(struct call *call, const char *name)
{
    struct error error;
    json_t *result = json_object();
    int e = life_resume(call->shell->store, name, &result, &error);
    return ended(call, name, e, result, &error);
}

static enum flow discard_one(struct call *call, const char *name)
{
    struct error error;
    json_t *result = json_object();
    int e = life_discard(call->shell->store, name, &result, &error);
    return ended(call, name, e, result, &error);
}

static enum flow wait_one(struct call *call, const char *name)
{
    struct error error;
    s64 seconds = WAIT_SECONDS;
    call_number(call, "Timeout", &seconds);
    int e = guest_wait(call->shell->store, name, (u32)(seconds < 1 ? 1 : seconds), NULL, &error);
    return e ? call_manager_error(call, &error, name) : FLOW_NEXT;
}

static enum flow restart_one(struct call *call, const char *name)
{
    const char *type = call_text(call, "Type");
    struct error error;
    json_t *result = json_object();
    int e = life_restart(call->shell->store, name, !type || text_same(type, "Reset"), 0, NULL, &result, &error);
    enum flow flow = ended(call, name, e, result, &error);
    return !e && call_on(call, "Wait") ? wait_one(call, name) : flow;
}

static enum flow start(struct call *call)
{
    return vms_each(call, start_one, vm_object);
}

static enum flow stop(struct call *call)
{
    return vms_each(call, stop_one, vm_object);
}

static enum flow save(struct call *call)
{
    return vms_each(call, save_one, vm_object);
}

static enum flow suspend(struct call *call)
{
    return vms_each(call, suspend_one, vm_object);
}

static enum flow resume(struct call *call)
{
    return vms_each(call, resume_one, vm_object);
}

static enum flow restart(struct call *call)
{
    return vms_each(call, restart_one, vm_object);
}

static enum flow discard(struct call *call)
{
    return vms_each(call, discard_one, vm_object);
}

static enum flow wait_for(struct call *call)
{
    return vms_each(call, wait_one, vm_object);
}

/* clang-format off */
#define OF VMS_BY_NAME, {"Passthru", PARAMETER_SWITCH, .help = "puts the VMs out"}
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
     .summary = "Starts VMs: from off, from a saved state, from a pause",
     .examples = "Start-VM lab\n"
                 "Get-VM | Where-Object State -eq Saved | Start-VM -Passthru"},
    {"Stop-VM", NULL, stop_parameters, IMPACT_MEDIUM, .process = stop, .summary = "Shuts VMs down",
     .examples = "Stop-VM lab\n"
                 "Stop-VM lab -Force\n"
                 "Stop-VM lab -TurnOff"},
    {"Save-VM", NULL, of_parameters, IMPACT_MEDIUM, .process = save,
     .summary = "Writes the memory and devices of VMs to the disk, and ends them",
     .examples = "Save-VM lab"},
    {"Suspend-VM", NULL, of_parameters, IMPACT_MEDIUM, .process = suspend, .summary = "Pauses VMs",
     .examples = "Suspend-VM lab"},
    {"Resume-VM", NULL, of_parameters, IMPACT_MEDIUM, .process = resume, .summary = "Lets paused VMs go on",
     .examples = "Resume-VM lab"},
    {"Restart-VM", NULL, restart_parameters, IMPACT_MEDIUM, .process = restart, .summary = "Restarts VMs",
     .examples = "Restart-VM lab -Type Reboot -Wait -For Heartbeat"},
    {"Remove-VMSavedState", NULL, of_parameters, IMPACT_MEDIUM, .process = discard,
     .summary = "Drops the saved state of VMs",
     .examples = "Remove-VMSavedState lab"},
    {"Wait-VM", NULL, wait_parameters, .process = wait_for, .summary = "Waits for the agents of guests",
     .examples = "Wait-VM lab -For Heartbeat -Timeout 120"},
    {0},
};
/* clang-format on */
