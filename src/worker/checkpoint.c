/*
 * A checkpoint of a VM that runs or is paused: it stands still, small files are copied, each disk goes on in an
 * overlay, memory and devices are written to a file if that is wanted, and it goes on. Disks, memory and devices are
 * those of one instant. The command that asks has made the overlays, which are empty, and they are the VM's already by
 * its definition: so a worker that is killed in the middle leaves nothing that would have to be undone.
 */
#include "worker/inside.h"

#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void step(struct worker *w);

static void gone_on(struct worker *w, json_t *result, const struct error *error)
{
    struct error verdict = w->checkpoint.verdict;
    if (!verdict.code && error)
        verdict = *error;
    worker_log(w, "it stood still for %llu ms for a checkpoint",
               (unsigned long long)((w->loop.now_ns - w->job_began_ns) / 1000000));
    job_end(w, w->before, &verdict);
}

/* The end of all steps, or of the one that failed. */
static void go_on(struct worker *w, const struct error *error)
{
    if (error)
        w->checkpoint.verdict = *error;
    json_decref(w->checkpoint.request);
    w->checkpoint.request = NULL;
    if (w->state_fd >= 0)
        close(w->state_fd);
    w->state_fd = -1;
    loop_alarm(&w->loop, &w->poll, 0);
    w->saved_bytes = w->total_bytes = 0;
    if (w->before == VM_RUNNING)
        job_step(w, "cont", NULL, gone_on);
    else
        gone_on(w, NULL, NULL);
}

void checkpoint_moved(struct worker *w, const struct error *error)
{
    struct error failed;
    if (!error && fsync(w->state_fd)) {
        error_set(&failed, -errno, "the memory of VM %s: %s", w->def.name, strerror(errno));
        error = &failed;
    }
    go_on(w, error);
}

/* -- the steps -- */

static json_t *disk_now(const struct worker *w)
{
    return json_array_get(json_object_get(w->checkpoint.request, "disks"), w->checkpoint.disk);
}

static const char *disk_text(const struct worker *w, const char *key)
{
    const char *text = json_string_value(json_object_get(disk_now(w), key));
    return text ? text : "";
}

/* Returns the number of the node "ID-NUMBER" that the disk uses now, which is the highest; -1: there is none. */
static int node_number(const json_t *nodes, const char *id)
{
    int highest = -1;
    size_t i, length = strlen(id);
    json_t *node;
    json_array_foreach ((json_t *)(uintptr_t)nodes, i, node) {
        const char *name = json_string_value(json_object_get(node, "node-name"));
        char *end = NULL;
        if (!name || strncmp(name, id, length) != 0 || name[length] != '-')
            continue;
        long number = strtol(name + length + 1, &end, 10);
        if (end != name + length + 1 && !*end && number > highest)
            highest = (int)number;
    }
    return highest;
}

static void taken(struct worker *w, json_t *result, const struct error *error)
{
    if (error) {
        go_on(w, error);
        return;
    }
    w->checkpoint.disk++;
    step(w);
}

static void added(struct worker *w, json_t *result, const struct error *error)
{
    char node[NODE_NAME_MAX], overlay[NODE_NAME_MAX];
    if (error) {
        go_on(w, error);
        return;
    }
    snprintf(node, sizeof(node), "%.9s-%d", disk_text(w, "id"), w->checkpoint.number);
    snprintf(overlay, sizeof(overlay), "%.9s-%d", disk_text(w, "id"), w->checkpoint.number + 1);
    job_step(w, "blockdev-snapshot", json_pack("{s:s, s:s}", "node", node, "overlay", overlay), taken);
}

static void nodes_known(struct worker *w, json_t *result, const struct error *error)
{
    char overlay[NODE_NAME_MAX];
    struct error failed;
    w->checkpoint.number = error ? -1 : node_number(result, disk_text(w, "id"));
    if (w->checkpoint.number < 0) {
        error_set(&failed, -ENOENT, "VM %s: QEMU has no disk %s", w->def.name, disk_text(w, "id"));
        go_on(w, error ? error : &failed);
        return;
    }
    snprintf(overlay, sizeof(overlay), "%.9s-%d", disk_text(w, "id"), w->checkpoint.number + 1);
    json_t *node = command_node(overlay, disk_text(w, "overlay"), "qcow2", false);
    (void)!json_object_set_new(node, "backing", json_null());
    job_step(w, "blockdev-add", node, added);
}

/* The next disk, and memory after the last. */
static void step(struct worker *w)
{
    const char *state = json_string_value(json_object_get(w->checkpoint.request, "state"));
    struct error error;
    if (disk_now(w)) {
        job_step(w, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), nodes_known);
    } else if (!state) {
        go_on(w, NULL);
    } else if ((w->state_fd = open(state, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0) {
        error_path(&error, -errno, state);
        go_on(w, &error);
    } else {
        save_write(w);
    }
}

static void stopped(struct worker *w, json_t *result, const struct error *error)
{
    struct error failed;
    size_t i;
    json_t *pair;
    if (error) {
        go_on(w, error);
        return;
    }
    json_array_foreach (json_object_get(w->checkpoint.request, "copies"), i, pair) {
        const char *from = json_string_value(json_array_get(pair, 0)), *to = json_string_value(json_array_get(pair, 1));
        if (from && to && file_copy(from, to, &failed)) {
            go_on(w, &failed);
            return;
        }
    }
    step(w);
}

static void begin(struct worker *w)
{
    if (w->job != JOB_CHECKPOINT)
        return;
    if (w->before == VM_RUNNING)
        job_step(w, "stop", NULL, stopped);
    else
        stopped(w, NULL, NULL);
}

int checkpoint_begin(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    if (w->given_up && !w->job) {
        *error = w->problem;
        return error->code;
    }
    if (w->job || vm_step(w->state, VM_CHECKPOINT).answer == VM_REFUSED)
        return vm_refuse(w->def.name, w->state, VM_CHECKPOINT, error);
    if (w->def.shares && json_is_string(json_object_get(request, "state"))) {
        error_set(error, -EOPNOTSUPP, "VM %s has shared folders, whose state QEMU cannot save", w->def.name);
        return error_hint(error, "a production checkpoint has no memory: " SETTING("kind") " production");
    }
    w->checkpoint = (struct checkpoint_job){.request = json_deep_copy(request)};
    if (!w->checkpoint.request)
        return error_memory(error);
    job_begin(w, JOB_CHECKPOINT, w->state, 0);
    merge_quiet(w, begin);
    return job_wait(w, error);
}
