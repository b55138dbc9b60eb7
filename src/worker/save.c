/*
 * A VM's memory and devices, written to a file and read from it: QEMU's migration stream in saved/state, and
 * saved/saved.json, which says that it is whole. A save writes the stream under another name; the description comes
 * last. A start removes the description as the last thing before the guest runs on. So a crash at any point leaves
 * either the saved state or the VM as it was before.
 */
#include "worker/inside.h"

#include "store/file.h"
#include "store/store.h"
#include "worker/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STATE "saved/state"
#define POLL_NS 20000000ull
#define BANDWIDTH (1ll << 40) /* no limit: nobody waits for the guest */

static int open_state(struct worker *w, const char *name, int flags, struct error *error)
{
    char path[PATH_MAX], folder[PATH_MAX];
    int e = store_vm_path(w->store, w->def.name, "saved", folder, sizeof(folder), error);
    if (!e)
        e = store_vm_path(w->store, w->def.name, name, path, sizeof(path), error);
    if (e)
        return e;
    mkdir(folder, 0700);
    w->state_fd = open(path, flags | O_CLOEXEC, 0600);
    return w->state_fd < 0 ? error_path(error, -errno, path) : 0;
}

static void close_state(struct worker *w)
{
    if (w->state_fd >= 0)
        close(w->state_fd);
    w->state_fd = -1;
    loop_alarm(&w->loop, &w->poll, 0);
    w->saved_bytes = w->total_bytes = 0;
}

/* The path below the home folder, as the store has it. */
static void below(const struct worker *w, const char *what, char path[static PATH_MAX])
{
    char folded[NAME_MAX_LEN + 1];
    name_fold(w->def.name, folded);
    snprintf(path, PATH_MAX, "vms/%s/%s", folded, what);
}

static void remove_file(struct worker *w, const char *what)
{
    char path[PATH_MAX];
    struct error error;
    below(w, what, path);
    if (file_remove(w->store->folder, path, &error))
        worker_log(w, "%s", error.text);
}

/* -- saving -- */

static void gave_up_running(struct worker *w, json_t *result, const struct error *error)
{
    job_end(w, w->before, &w->problem);
    error_begin(&w->problem, 0);
}

/* The guest goes on as if nothing had been. */
static void save_fail(struct worker *w, const struct error *error)
{
    close_state(w);
    remove_file(w, STATE ".new");
    w->problem = *error;
    if (w->before == VM_RUNNING)
        job_step(w, "cont", NULL, gave_up_running);
    else
        gave_up_running(w, NULL, NULL);
}

/* All is written: from the moment that the description is there, the VM is saved. */
static int save_commit(struct worker *w, struct error *error)
{
    char from[PATH_MAX], to[PATH_MAX], path[PATH_MAX];
    struct stat st = {0};
    if (fsync(w->state_fd) || fstat(w->state_fd, &st))
        return error_set(error, -errno, "the saved memory of VM %s: %s", w->def.name, strerror(errno));
    below(w, STATE ".new", from);
    below(w, STATE, to);
    if (renameat(w->store->folder, from, w->store->folder, to))
        return error_path(error, -errno, to);
    json_t *object =
        json_pack("{s:i, s:s, s:I, s:I, s:I}", "version", 1, "qemu", "7.2", "memory", (json_int_t)w->memory_started,
                  "bytes", (json_int_t)st.st_size, "saved", (json_int_t)time(NULL));
    if (object && w->machine)
        (void)!json_object_set(object, "machine", w->machine);
    below(w, VM_SAVED_FILE, path);
    int e = object ? file_write(w->store->folder, path, object, error) : error_memory(error);
    json_decref(object);
    return e;
}

static void save_done(struct worker *w)
{
    struct error error;
    if (save_commit(w, &error)) {
        save_fail(w, &error);
        return;
    }
    close_state(w);
    w->quitting = true;
    w->deadline_ns = w->loop.now_ns + 5 * SECOND_NS; /* its end ends the job */
    qmp_send(w->qmp, "quit", NULL, NULL);
}

/* -- both ways -- */

static void load_done(struct worker *w);

static void migrated(struct worker *w, json_t *result, const struct error *error)
{
    const char *status = json_string_value(json_object_get(result, "status"));
    const char *why = json_string_value(json_object_get(result, "error-desc"));
    const json_t *ram = json_object_get(result, "ram");
    struct error failed = error ? *error : (struct error){0};
    if (ram) {
        w->total_bytes = (u64)json_integer_value(json_object_get(ram, "total"));
        w->saved_bytes = w->total_bytes - (u64)json_integer_value(json_object_get(ram, "remaining"));
    }
    if (!error && status && strcmp(status, "completed") == 0) {
        if (w->job == JOB_SAVE)
            save_done(w);
        else if (w->job == JOB_CHECKPOINT)
            checkpoint_moved(w, NULL);
        else
            load_done(w);
        return;
    }
    if (!error && status && (strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0))
        error_set(&failed, -EIO, "VM %s cannot be saved: %s", w->def.name, why ? why : "QEMU does not say why");
    if (!failed.code)
        loop_alarm(&w->loop, &w->poll, w->loop.now_ns + POLL_NS);
    else if (w->job == JOB_SAVE)
        save_fail(w, &failed);
    else if (w->job == JOB_CHECKPOINT)
        checkpoint_moved(w, &failed);
    /* A load that fails ends QEMU, and that the job. */
}

void save_poll(struct alarm *alarm)
{
    struct worker *w = container_of(alarm, struct worker, poll);
    if (w->job == JOB_SAVE || w->job == JOB_LOAD || w->job == JOB_CHECKPOINT)
        job_step(w, "query-migrate", NULL, migrated);
}

static void moving(struct worker *w, json_t *result, const struct error *error)
{
    struct error failed;
    if (!error) {
        loop_alarm(&w->loop, &w->poll, w->loop.now_ns + POLL_NS);
    } else if (w->job == JOB_SAVE) {
        failed = *error;
        if (w->def.shares)
            error_hint(&failed, "a VM with shared folders cannot be saved: shut it down, or remove its shares");
        save_fail(w, &failed);
    } else if (w->job == JOB_CHECKPOINT) {
        checkpoint_moved(w, error);
    } else {
        job_end(w, VM_SAVED, error);
        qmp_send(w->qmp, "quit", NULL, NULL);
    }
}

void save_write(struct worker *w)
{
    qmp_send(w->qmp, "migrate-set-parameters", json_pack("{s:I}", "max-bandwidth", (json_int_t)BANDWIDTH), NULL);
    qmp_send_fd(w->qmp, "getfd", json_pack("{s:s}", "fdname", "state"), w->state_fd, NULL);
    job_step(w, "migrate", json_pack("{s:s}", "uri", "fd:state"), moving);
}

static void save_described(struct worker *w, json_t *result, const struct error *error)
{
    json_t *pci = w->machine; /* so far */
    if (error) {
        save_fail(w, error);
        return;
    }
    w->machine = machine_of(pci, result, w->def.set.generation, w->memory_limit);
    json_decref(pci);
    save_write(w);
}

static void save_placed(struct worker *w, json_t *result, const struct error *error)
{
    if (error) {
        save_fail(w, error);
        return;
    }
    json_decref(w->machine);
    w->machine = json_incref(result);
    job_step(w, "query-memory-devices", NULL, save_described);
}

static void save_stopped(struct worker *w, json_t *result, const struct error *error)
{
    if (error)
        save_fail(w, error);
    else
        job_step(w, "query-pci", NULL, save_placed);
}

static void save_stop(struct worker *w)
{
    if (w->job == JOB_SAVE)
        job_step(w, "stop", NULL, save_stopped);
}

void save_begin(struct worker *w)
{
    struct error error;
    job_begin(w, JOB_SAVE, VM_SAVING, 0);
    if (open_state(w, STATE ".new", O_RDWR | O_CREAT | O_TRUNC, &error))
        save_fail(w, &error);
    else
        merge_quiet(w, save_stop);
}

static void cancelled(struct worker *w, json_t *result, const struct error *error)
{
    struct error told;
    error_set(&told, -EINTR, "VM %s: its worker ended while it saved the VM, which is as it was before", w->def.name);
    save_fail(w, &told);
}

void save_undo(struct worker *w)
{
    w->job = JOB_SAVE;
    job_step(w, "migrate_cancel", NULL, cancelled);
}

/* -- loading -- */

static void loaded(struct worker *w, json_t *result, const struct error *error)
{
    launch_confined(w);
    remove_file(w, STATE);
    job_end(w, VM_RUNNING, error);
    guest_set_clock(w->guest);
}

static void load_done(struct worker *w)
{
    close_state(w);
    remove_file(w, VM_SAVED_FILE); /* from here on the VM is what runs, not what was saved */
    w->before = VM_OFF;
    w->def.saved = false;
    job_step(w, "cont", NULL, loaded);
}

void load_begin(struct worker *w)
{
    struct error error;
    if (open_state(w, STATE, O_RDONLY, &error)) {
        job_end(w, VM_SAVED, &error);
        qmp_send(w->qmp, "quit", NULL, NULL);
        return;
    }
    qmp_send_fd(w->qmp, "getfd", json_pack("{s:s}", "fdname", "state"), w->state_fd, NULL);
    job_step(w, "migrate-incoming", json_pack("{s:s}", "uri", "fd:state"), moving);
}
