/*
 * What each state makes of each request: one table, after the tables of Hyper-V's cmdlets. Where those say nothing (a
 * request in a state that passes, most of what can be asked of a paused VM), the answer is a refusal.
 */
#include "rules/vm_state.h"

#include "rules/name.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

static const char *const state_names[VM_STATES] = {
    [VM_OFF] = "Off",         [VM_STARTING] = "Starting", [VM_RUNNING] = "Running",
    [VM_PAUSING] = "Pausing", [VM_PAUSED] = "Paused",     [VM_RESUMING] = "Resuming",
    [VM_SAVING] = "Saving",   [VM_SAVED] = "Saved",       [VM_STOPPING] = "Stopping",
};

/* What was asked, as in "cannot be ...". */
static const char *const request_names[VM_REQUESTS] = {
    [VM_START] = "started",
    [VM_SHUT_DOWN] = "shut down",
    [VM_TURN_OFF] = "turned off",
    [VM_SAVE] = "saved",
    [VM_PAUSE] = "paused",
    [VM_RESUME] = "resumed",
    [VM_RESTART] = "restarted",
    [VM_DISCARD_STATE] = "freed of a saved state",
    [VM_CHECKPOINT] = "checkpointed",
    [VM_APPLY_CHECKPOINT] = "set back to a checkpoint",
    [VM_DELETE] = "deleted",
    [VM_RENAME] = "renamed",
    [VM_EXPORT] = "exported",
    [VM_CLONE] = "cloned",
    [VM_CHANGE_OFF] = "changed in this way",
    [VM_CHANGE_HOT] = "changed in this way",
    [VM_CHANGE_LIVE] = "changed",
};

/* clang-format off */
#define STAYS(state) {VM_ALLOWED, state, state}
#define GOES(through, next) {VM_ALLOWED, through, next}
#define ALREADY(state) {VM_ALREADY, state, state}
static const struct vm_step off[VM_REQUESTS] = {
    [VM_START] = GOES(VM_STARTING, VM_RUNNING),
    [VM_SHUT_DOWN] = ALREADY(VM_OFF),
    [VM_TURN_OFF] = ALREADY(VM_OFF),
    [VM_SAVE] = {VM_REFUSED, VM_OFF, VM_OFF},
    [VM_PAUSE] = {VM_REFUSED, VM_OFF, VM_OFF},
    [VM_RESUME] = {VM_REFUSED, VM_OFF, VM_OFF},
    [VM_RESTART] = {VM_REFUSED, VM_OFF, VM_OFF},
    [VM_DISCARD_STATE] = ALREADY(VM_OFF),
    [VM_CHECKPOINT] = STAYS(VM_OFF),
    [VM_APPLY_CHECKPOINT] = STAYS(VM_OFF),
    [VM_DELETE] = STAYS(VM_OFF),
    [VM_RENAME] = STAYS(VM_OFF),
    [VM_EXPORT] = STAYS(VM_OFF),
    [VM_CLONE] = STAYS(VM_OFF),
    [VM_CHANGE_OFF] = STAYS(VM_OFF),
    [VM_CHANGE_HOT] = STAYS(VM_OFF),
    [VM_CHANGE_LIVE] = STAYS(VM_OFF),
};
static const struct vm_step running[VM_REQUESTS] = {
    [VM_START] = ALREADY(VM_RUNNING),
    [VM_SHUT_DOWN] = GOES(VM_STOPPING, VM_OFF),
    [VM_TURN_OFF] = GOES(VM_STOPPING, VM_OFF),
    [VM_SAVE] = GOES(VM_SAVING, VM_SAVED),
    [VM_PAUSE] = GOES(VM_PAUSING, VM_PAUSED),
    [VM_RESUME] = ALREADY(VM_RUNNING),
    [VM_RESTART] = STAYS(VM_RUNNING),
    [VM_DISCARD_STATE] = {VM_REFUSED, VM_RUNNING, VM_RUNNING},
    [VM_CHECKPOINT] = STAYS(VM_RUNNING),
    [VM_APPLY_CHECKPOINT] = GOES(VM_STOPPING, VM_OFF),
    [VM_DELETE] = {VM_REFUSED, VM_RUNNING, VM_RUNNING},
    [VM_RENAME] = {VM_REFUSED, VM_RUNNING, VM_RUNNING},
    [VM_EXPORT] = STAYS(VM_RUNNING),
    [VM_CLONE] = {VM_REFUSED, VM_RUNNING, VM_RUNNING},
    [VM_CHANGE_OFF] = {VM_REFUSED, VM_RUNNING, VM_RUNNING},
    [VM_CHANGE_HOT] = STAYS(VM_RUNNING),
    [VM_CHANGE_LIVE] = STAYS(VM_RUNNING),
};
static const struct vm_step paused[VM_REQUESTS] = {
    [VM_START] = GOES(VM_RESUMING, VM_RUNNING),
    [VM_SHUT_DOWN] = {VM_REFUSED, VM_PAUSED, VM_PAUSED},
    [VM_TURN_OFF] = GOES(VM_STOPPING, VM_OFF),
    [VM_SAVE] = GOES(VM_SAVING, VM_SAVED),
    [VM_PAUSE] = ALREADY(VM_PAUSED),
    [VM_RESUME] = GOES(VM_RESUMING, VM_RUNNING),
    [VM_RESTART] = {VM_REFUSED, VM_PAUSED, VM_PAUSED},
    [VM_DISCARD_STATE] = {VM_REFUSED, VM_PAUSED, VM_PAUSED},
    [VM_CHECKPOINT] = STAYS(VM_PAUSED),
    [VM_APPLY_CHECKPOINT] = GOES(VM_STOPPING, VM_OFF),
    [VM_DELETE] = {VM_REFUSED, VM_PAUSED, VM_PAUSED},
    [VM_RENAME] = {VM_REFUSED, VM_PAUSED, VM_PAUSED},
    [VM_EXPORT] = STAYS(VM_PAUSED),
    [VM_CLONE] = {VM_REFUSED, VM_PAUSED, VM_PAUSED},
    [VM_CHANGE_OFF] = {VM_REFUSED, VM_PAUSED, VM_PAUSED},
    [VM_CHANGE_HOT] = {VM_REFUSED, VM_PAUSED, VM_PAUSED},
    [VM_CHANGE_LIVE] = STAYS(VM_PAUSED),
};
static const struct vm_step saved[VM_REQUESTS] = {
    [VM_START] = GOES(VM_STARTING, VM_RUNNING),
    [VM_SHUT_DOWN] = ALREADY(VM_SAVED),
    [VM_TURN_OFF] = GOES(VM_SAVED, VM_OFF),
    [VM_SAVE] = ALREADY(VM_SAVED),
    [VM_PAUSE] = {VM_REFUSED, VM_SAVED, VM_SAVED},
    [VM_RESUME] = {VM_REFUSED, VM_SAVED, VM_SAVED},
    [VM_RESTART] = {VM_REFUSED, VM_SAVED, VM_SAVED},
    [VM_DISCARD_STATE] = GOES(VM_SAVED, VM_OFF),
    [VM_CHECKPOINT] = STAYS(VM_SAVED),
    [VM_APPLY_CHECKPOINT] = GOES(VM_SAVED, VM_OFF),
    [VM_DELETE] = STAYS(VM_SAVED),
    [VM_RENAME] = STAYS(VM_SAVED),
    [VM_EXPORT] = STAYS(VM_SAVED),
    [VM_CLONE] = {VM_REFUSED, VM_SAVED, VM_SAVED},
    [VM_CHANGE_OFF] = {VM_REFUSED, VM_SAVED, VM_SAVED},
    [VM_CHANGE_HOT] = {VM_REFUSED, VM_SAVED, VM_SAVED},
    [VM_CHANGE_LIVE] = STAYS(VM_SAVED),
};
/* clang-format on */

struct vm_step vm_step(enum vm_state state, enum vm_request request)
{
    switch (state) {
    case VM_OFF: return off[request];
    case VM_RUNNING: return running[request];
    case VM_PAUSED: return paused[request];
    case VM_SAVED: return saved[request];
    default: break;
    }
    /* What takes too long can be cut off. */
    if (request == VM_TURN_OFF && state == VM_STOPPING)
        return (struct vm_step){VM_ALLOWED, VM_STOPPING, VM_OFF};
    if (request == VM_SHUT_DOWN && state == VM_STOPPING)
        return (struct vm_step){VM_ALREADY, state, state};
    return (struct vm_step){VM_REFUSED, state, state};
}

bool vm_state_passes(enum vm_state state)
{
    return state != VM_OFF && state != VM_RUNNING && state != VM_PAUSED && state != VM_SAVED;
}

const char *vm_state_name(enum vm_state state)
{
    return state_names[state];
}

enum vm_state vm_state_find(const char *name)
{
    unsigned i = 0;
    while (i < VM_STATES && strcasecmp(state_names[i], name) != 0)
        i++;
    return (enum vm_state)i;
}

int vm_refuse(const char *vm, enum vm_state state, enum vm_request request, struct error *error)
{
    char hint[sizeof(error->hint)] = "", word[NAME_WORD_MAX];
    error_set(error, -EPERM, "VM %s is %s and cannot be %s", vm, state_names[state], request_names[request]);
    if (vm_state_passes(state))
        snprintf(hint, sizeof(hint), "it will have done that soon; `nestbox stop --turn-off` ends what hangs");
    else if (request == VM_DISCARD_STATE)
        snprintf(hint, sizeof(hint), "only a saved VM has such a state");
    else if (state == VM_SAVED)
        snprintf(hint, sizeof(hint), "`nestbox start` goes on with it, `nestbox stop --turn-off` drops it");
    else if (state != VM_RUNNING && vm_step(VM_RUNNING, request).answer != VM_REFUSED)
        snprintf(hint, sizeof(hint), state == VM_PAUSED ? "`nestbox resume %s`" : "`nestbox start %s`",
                 name_word(vm, word));
    else
        snprintf(hint, sizeof(hint), "`nestbox stop %s` first", name_word(vm, word));
    return error_hint(error, hint);
}
