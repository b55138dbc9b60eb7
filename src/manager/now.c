/*
 * The worker serves `vms/NAME/control` in the run folder: docs/manager.md.
 */
#include "manager/now.h"

#include "manager/life.h"
#include "process/ask.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define ANSWER_MS 10000u
#define TRIES 3

static int ask_worker(int fd, const struct ask_peer *peer, json_t **report, struct error *error)
{
    static const struct ask how = {.wait_ms = ANSWER_MS};
    json_t *request = json_pack("{s:s}", "do", "show");
    int e = request ? ask(fd, peer, &how, request, report, error) : error_memory(error);
    json_decref(request);
    return e;
}

int vm_now(const struct store *store, const struct vm_def *def, struct vm_now *now, struct error *error)
{
    struct ask_peer peer = {.hangs = "`nestbox stop " SETTING("turn-off") "` ends it", .absent = ""};
    char path[PATH_MAX], folded[NAME_MAX_LEN + 1];
    *now = (struct vm_now){def->saved ? VM_SAVED : VM_OFF, NULL};
    name_fold(def->name, folded);
    /* A VM that never ran has no folder, and gets none by being looked at. */
    snprintf(path, sizeof(path), "%.3800s/vms/%s", store_run(store), folded);
    if (access(path, F_OK))
        return 0;
    snprintf(peer.name, sizeof(peer.name), "the worker of VM %.50s", def->name);
    int e = -EPIPE;
    /* A worker that has just ended may have left its VM to the next one. */
    for (unsigned i = 0; i < TRIES && e == -EPIPE; i++) {
        int fd = life_reach(store, def->name, error);
        if (fd < 0)
            return fd == -ENOTCONN ? 0 : fd;
        e = ask_worker(fd, &peer, &now->report, error);
        close(fd);
    }
    const char *state = e ? NULL : json_string_value(json_object_get(now->report, "state"));
    if (e)
        return e == -EPIPE ? 0 : e; /* it has just ended */
    now->state = state ? vm_state_find(state) : VM_STATES;
    if (now->state != VM_STATES)
        return 0;
    json_decref(now->report);
    now->report = NULL;
    return error_set(error, -EBADMSG, "%s reports no state", peer.name);
}

int vm_now_allows(const struct vm_def *def, const struct vm_now *now, enum vm_request request, struct error *error)
{
    return vm_step(now->state, request).answer == VM_REFUSED ? vm_refuse(def->name, now->state, request, error) : 0;
}
