/*
 * The side of commands: starts workers, and asks them. A worker decides by itself what its VM's state makes of a
 * request; only what happens without one is decided here. A start holds the VM's lock, as it reads what is defined; a
 * stop does not, so that it can cut off another one.
 */
#include "manager/life.h"

#include "manager/client.h"
#include "manager/host.h"
#include "manager/vm.h"
#include "process/ask.h"
#include "process/spawn.h"
#include "store/networks.h"
#include "worker/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ANSWER_MS 15000u
#define TRIES 200
#define TRY_US 20000

static void vm_peer(const char *name, struct ask_peer *peer)
{
    snprintf(peer->name, sizeof(peer->name), "VM %s", name);
    peer->hangs = "`nestbox stop " SETTING("turn-off") "` ends it";
    peer->absent = "`nestbox start` starts it";
}

/* -- the worker -- */

static int connect_worker(const struct store *store, const char *name, struct error *error)
{
    char path[PATH_MAX];
    struct ask_peer peer;
    vm_peer(name, &peer);
    int e = store_vm_socket(store, name, WORKER_SOCKET, path, sizeof(path), error);
    return e ? e : ask_connect(path, &peer, error);
}

/* Is there a QEMU whose worker was killed? */
static bool is_orphan(const struct store *store, const char *name)
{
    char path[PATH_MAX];
    struct error ignored;
    if (store_vm_socket(store, name, WORKER_FILE, path, sizeof(path), &ignored) || access(path, F_OK))
        return false;
    json_t *record = json_load_file(path, 0, NULL), *qemu = json_object_get(record, "qemu");
    int fd = spawn_find((pid_t)json_integer_value(json_object_get(qemu, "process")),
                        (u64)json_integer_value(json_object_get(qemu, "started")));
    json_decref(record);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int spawn_worker(const struct store *store, const char *name, bool start, struct error *error)
{
    const char *const argv[] = {"nestbox", "worker", name, start ? "start" : NULL, NULL};
    char log[PATH_MAX];
    struct ask_peer peer;
    vm_peer(name, &peer);
    int e = store_vm_socket(store, name, WORKER_LOG, log, sizeof(log), error);
    /* The one before may be about to end. */
    for (unsigned i = 0; !e; i++) {
        e = spawn_self(argv, store_home(store), log, &peer, error);
        if (e != -EALREADY || i == TRIES)
            return e;
        usleep(TRY_US);
        e = 0;
    }
    return e;
}

int life_reach(const struct store *store, const char *name, struct error *error)
{
    int fd = connect_worker(store, name, error);
    if (fd != -ENOTCONN || !is_orphan(store, name))
        return fd;
    int e = spawn_worker(store, name, false, error);
    if (e && e != -EALREADY)
        return e == -ESRCH ? -ENOTCONN : e;
    return connect_worker(store, name, error);
}

/* -- asking it -- */

static void on_progress(const json_t *line, void *opaque)
{
    const struct progress *progress = opaque;
    const char *what = json_string_value(json_object_get(line, "what"));
    const char *console = json_string_value(json_object_get(line, "console"));
    u64 total = (u64)json_integer_value(json_object_get(line, "total"));
    char text[320];
    if (!progress)
        return;
    if (total)
        snprintf(text, sizeof(text), "%s", what ? what : "");
    else
        snprintf(text, sizeof(text), "%s (%lld s)%s%s", what ? what : "",
                 (long long)json_integer_value(json_object_get(line, "seconds")), console && *console ? ": " : "",
                 console ? console : "");
    progress->report(progress, text, (u64)json_integer_value(json_object_get(line, "done")), total);
}

static int ask_at(int fd, const char *name, json_t *request, const struct progress *progress, json_t **answer,
                  struct error *error)
{
    struct ask how = {ANSWER_MS, on_progress, (void *)(uintptr_t)progress};
    struct ask_peer peer;
    vm_peer(name, &peer);
    int e = request ? ask(fd, &peer, &how, request, answer, error) : error_memory(error);
    json_decref(request);
    return e;
}

/* It did not answer. Returns -EAGAIN if another worker has taken the VM over. */
static int describe_end(struct store *store, const char *name, struct error *error)
{
    int fd = life_reach(store, name, error);
    if (fd >= 0) {
        close(fd);
        error_set(error, -EAGAIN, "the process of VM %s ended while it did this, and another has taken the VM over",
                  name);
        return error_hint(error, "try it again");
    }
    error_set(error, -ENOTCONN, "VM %s ended or was saved before this was done", name);
    return error_hint(error, "`nestbox show` has its state");
}

int life_ask(struct store *store, const char *name, json_t *request, const struct progress *progress, json_t **answer,
             struct error *error)
{
    struct vm_def def;
    int e = store_vm(store, name, &def, error);
    if (e) {
        json_decref(request);
        return e;
    }
    int fd = life_reach(store, def.name, error);
    if (fd < 0) {
        e = fd;
        json_decref(request);
    } else {
        e = ask_at(fd, def.name, request, progress, answer, error);
        close(fd);
        if (e == -EPIPE)
            e = describe_end(store, def.name, error);
    }
    vm_def_free(&def);
    return e;
}

/* -- results -- */

static int result_is(json_t **result, const char *name, enum vm_state state, bool already, struct error *error)
{
    *result = json_pack("{s:s, s:s}", "name", name, "state", vm_state_name(state));
    if (*result && already)
        (void)!json_object_set_new(*result, "already", json_true());
    return *result ? 0 : error_memory(error);
}

/* Takes "state" and "already" from a worker's answer, which is released. */
static int result_from(json_t **result, const char *name, json_t *answer, struct error *error)
{
    const char *state = json_string_value(json_object_get(answer, "state"));
    bool already = json_is_true(json_object_get(answer, "already"));
    int e = result_is(result, name, state && vm_state_find(state) < VM_STATES ? vm_state_find(state) : VM_OFF, already,
                      error);
    json_decref(answer);
    return e;
}

/* -- starting -- */

/* Frames need the processes of the switches. */
static int start_switches(struct store *store, const char *vm, struct error *error)
{
    struct networks all;
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    for (u32 i = 0; i < all.card_count && !e; i++)
        if (name_equal(all.cards[i].vm, vm) && *all.cards[i].set.switch_name)
            e = client_start(store, all.cards[i].set.switch_name, error);
    networks_free(&all);
    return e;
}

static int run(struct store *store, const struct vm_def *def, const struct progress *progress, json_t **result,
               struct error *error)
{
    json_t *answer;
    int e = start_switches(store, def->name, error);
    if (!e)
        e = spawn_worker(store, def->name, true, error);
    if (!e)
        return result_is(result, def->name, VM_RUNNING, false, error);
    if (e != -EINPROGRESS)
        return e;
    int fd = connect_worker(store, def->name, error);
    if (fd < 0)
        return fd;
    e = ask_at(fd, def->name, json_pack("{s:s}", "do", "wait"), progress, &answer, error);
    close(fd);
    return e ? e : result_from(result, def->name, answer, error);
}

static int resume(struct store *store, const char *name, json_t **result, struct error *error)
{
    json_t *answer;
    int e = life_ask(store, name, json_pack("{s:s}", "do", "resume"), NULL, &answer, error);
    return e ? e : result_from(result, name, answer, error);
}

/* What a VM that is off or saved must be for it. */
static int may_start(struct store *store, const struct vm_def *def, const struct vm_now *now, struct error *error)
{
    if (now->state == VM_SAVED)
        return host_rules(store, def, now, NULL, NULL, RULE_RESTORE, error);
    if (!def->set.template)
        return host_rules(store, def, now, NULL, NULL, RULE_START, error);
    error_set(error, -EPERM, "VM %s is a template, which is not started", def->name);
    return error_hint(error, "`nestbox clone` makes a VM of it");
}

static int start(struct store *store, const struct vm_def *def, const struct progress *progress, json_t **result,
                 struct error *error)
{
    struct vm_now now;
    int e = vm_now(store, def, &now, error);
    if (!e)
        e = vm_now_allows(def, &now, VM_START, error);
    if (!e && (now.state == VM_OFF || now.state == VM_SAVED))
        e = may_start(store, def, &now, error);
    json_decref(now.report);
    if (e)
        return e;
    if (vm_step(now.state, VM_START).answer == VM_ALREADY)
        return result_is(result, def->name, now.state, true, error);
    return now.state == VM_PAUSED ? resume(store, def->name, result, error) : run(store, def, progress, result, error);
}

int life_start(struct store *store, const char *name, const struct progress *progress, json_t **result,
               struct error *error)
{
    struct vm_open vm;
    int e = vm_open(store, name, "start", &vm, error);
    if (e)
        return e;
    e = start(store, &vm.def, progress, result, error);
    vm_close(&vm);
    return e;
}

/* -- stopping and the rest -- */

/* Without a worker: what the state of a VM that is off or saved makes of it. */
static int without_worker(struct store *store, const struct vm_def *def, enum vm_request what, json_t **result,
                          struct error *error)
{
    enum vm_state state = def->saved ? VM_SAVED : VM_OFF;
    struct vm_step step = vm_step(state, what);
    if (step.answer == VM_REFUSED)
        return vm_refuse(def->name, state, what, error);
    if (step.answer == VM_ALLOWED && state == VM_SAVED && step.next == VM_OFF)
        return life_discard(store, def->name, result, error);
    return result_is(result, def->name, state, true, error);
}

/* Ends a worker that hangs; QEMU goes on, and is the next worker's. The number is that of who holds the lock. */
static bool end_worker(const struct store *store, const char *name)
{
    char path[PATH_MAX];
    struct error ignored;
    if (store_vm_socket(store, name, WORKER_LOCK, path, sizeof(path), &ignored))
        return false;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    long process = fd < 0 ? 0 : client_holder(fd);
    if (fd >= 0)
        close(fd);
    return process > 1 && !kill((pid_t)process, SIGKILL);
}

/* Of a VM that is ending nobody may answer; then it is asked what it has become. */
static int request_once(struct store *store, const char *name, enum vm_request what, json_t *asked,
                        const struct progress *progress, json_t **result, struct error *error)
{
    struct vm_def def;
    json_t *answer = NULL;
    bool ends = what == VM_SHUT_DOWN || what == VM_TURN_OFF;
    int e = ends ? store_vm_even_damaged(store, name, &def, error) : store_vm(store, name, &def, error);
    if (e)
        return e;
    int fd = life_reach(store, def.name, error);
    if (fd == -ENOTCONN) {
        e = without_worker(store, &def, what, result, error);
    } else if (fd < 0) {
        e = fd;
    } else {
        e = ask_at(fd, def.name, json_incref(asked), progress, &answer, error);
        close(fd);
        if (!e)
            e = result_from(result, def.name, answer, error);
    }
    if (e == -ETIMEDOUT && what == VM_TURN_OFF && end_worker(store, def.name)) {
        store_vm_log(store, def.name, "the worker did not answer and was ended");
        e = -EPIPE;
    }
    vm_def_free(&def);
    return e;
}

static int request(struct store *store, const char *name, enum vm_request what, json_t *asked,
                   const struct progress *progress, json_t **result, struct error *error)
{
    int e = -EPIPE;
    for (unsigned i = 0; i < TRIES && e == -EPIPE; i++) {
        if (i)
            usleep(TRY_US);
        e = request_once(store, name, what, asked, progress, result, error);
    }
    json_decref(asked);
    return e;
}

/* What the rules of the host say to saving it. */
static int may_save(struct store *store, const char *name, struct error *error)
{
    struct vm_def def;
    struct vm_now now;
    int e = store_vm(store, name, &def, error);
    if (e)
        return e;
    e = vm_now(store, &def, &now, error);
    if (!e)
        e = host_rules(store, &def, &now, NULL, NULL, RULE_SAVE, error);
    json_decref(now.report);
    vm_def_free(&def);
    return e;
}

int life_stop(struct store *store, const char *name, enum life_stop how, u32 seconds, const struct progress *progress,
              json_t **result, struct error *error)
{
    static const struct {
        const char *how;
        enum vm_request request;
    } ways[] = {[LIFE_SHUT_DOWN] = {"shut-down", VM_SHUT_DOWN},
                [LIFE_TURN_OFF] = {"turn-off", VM_TURN_OFF},
                [LIFE_SAVE] = {"save", VM_SAVE}};
    int e = how == LIFE_SAVE ? may_save(store, name, error) : 0;
    if (e)
        return e;
    return request(store, name, ways[how].request,
                   json_pack("{s:s, s:s, s:i}", "do", "stop", "how", ways[how].how, "seconds", (int)seconds), progress,
                   result, error);
}

int life_pause(struct store *store, const char *name, json_t **result, struct error *error)
{
    return request(store, name, VM_PAUSE, json_pack("{s:s}", "do", "pause"), NULL, result, error);
}

int life_resume(struct store *store, const char *name, json_t **result, struct error *error)
{
    return request(store, name, VM_RESUME, json_pack("{s:s}", "do", "resume"), NULL, result, error);
}

int life_restart(struct store *store, const char *name, bool hard, u32 seconds, const struct progress *progress,
                 json_t **result, struct error *error)
{
    if (hard)
        return request(store, name, VM_RESTART, json_pack("{s:s}", "do", "reset"), NULL, result, error);
    int e = request(store, name, VM_RESTART,
                    json_pack("{s:s, s:s, s:i}", "do", "stop", "how", "shut-down", "seconds", (int)seconds), progress,
                    result, error);
    if (e)
        return e;
    json_decref(*result);
    return life_start(store, name, progress, result, error);
}

static int discard(struct store *store, const struct vm_def *def, json_t **result, struct error *error)
{
    static const char *const files[] = {VM_SAVED_FILE, "saved/state"}; /* the first decides whether it is saved */
    struct vm_now now;
    int e = vm_now(store, def, &now, error);
    if (!e)
        e = vm_now_allows(def, &now, VM_DISCARD_STATE, error);
    json_decref(now.report);
    for (u32 i = 0; i < ARRAY_LEN(files) && !e; i++) {
        char path[PATH_MAX];
        e = store_vm_path(store, def->name, files[i], path, sizeof(path), error);
        if (!e && unlink(path) && errno != ENOENT)
            e = error_path(error, -errno, path);
    }
    return e ? e : result_is(result, def->name, VM_OFF, now.state == VM_OFF, error);
}

int life_discard(struct store *store, const char *name, json_t **result, struct error *error)
{
    struct vm_open vm;
    int e = vm_open(store, name, "discard", &vm, error);
    if (e)
        return e;
    e = discard(store, &vm.def, result, error);
    vm_close(&vm);
    return e;
}

/* -- connections that stay -- */

static int attach(struct store *store, const char *name, json_t *asked, struct error *error)
{
    struct vm_def def;
    json_t *answer = NULL;
    int e = store_vm(store, name, &def, error);
    if (e) {
        json_decref(asked);
        return e;
    }
    int fd = life_reach(store, def.name, error);
    if (fd < 0) {
        json_decref(asked);
    } else if ((e = ask_at(fd, def.name, asked, NULL, &answer, error))) {
        close(fd);
        fd = e;
    }
    json_decref(answer);
    vm_def_free(&def);
    return fd;
}

int life_console(struct store *store, const char *name, u32 last, bool ends, struct error *error)
{
    return attach(store, name, json_pack("{s:s, s:i, s:b}", "do", "console", "last", (int)last, "ends", ends), error);
}

int life_events(struct store *store, const char *name, struct error *error)
{
    return attach(store, name, json_pack("{s:s}", "do", "events"), error);
}
