/*
 * Images that a deleted checkpoint left, merged while the VM runs: QEMU copies what the image has into the one on top
 * of it (block-stream), which stands on the image's base afterwards. No definition changes, and whatever ends in the
 * middle leaves a chain that is whole. Which image that is, is found anew each time, so another worker goes on with it.
 * One at a time; QEMU's job is called "merge".
 *
 * QEMU changes the head of the file on top at the end, and keeps in its own memory where in that file the copies are.
 * So the job waits at its end until these tables are written: if QEMU was killed between the two, the head would no
 * longer name the image that still has what the file has not.
 *
 * Rejected: committing downwards. At its end QEMU writes to another file than the definition has, and whether that
 * was so cannot be told after the host has gone down in this moment.
 */
#include "worker/inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define JOB "merge"
#define POLL_NS 300000000ull

static void begin(struct worker *w);
static void next(struct worker *w);

/* It is no longer under way, however it ended. */
static void settle(struct worker *w)
{
    void (*then)(struct worker * w) = w->merging.then;
    w->merging.phase = MERGE_NOTHING;
    w->merging.then = NULL;
    w->merging.top_node[0] = 0;
    w->merging.again = false;
    w->merging.done = w->merging.total = 0;
    loop_alarm(&w->loop, &w->merging.poll, 0);
    if (then)
        then(w);
}

static void give_up(struct worker *w, const char *why)
{
    worker_log(w, "the image %s cannot be merged: %s", w->merging.now.own, why);
    settle(w);
}

/* -- asking QEMU -- */

/* Is it the node of the file? A node that was made with options has them, as JSON, where others have a name. */
static bool is_node_of(const char *name, const struct stat *file)
{
    struct stat st;
    json_t *options = name && strncmp(name, "json:", 5) == 0 ? json_loads(name + 5, 0, NULL) : NULL;
    const char *own = json_string_value(json_object_get(json_object_get(options, "file"), "filename"));
    const char *path = options ? own : name;
    bool same = path && !stat(path, &st) && st.st_dev == file->st_dev && st.st_ino == file->st_ino;
    json_decref(options);
    return same;
}

/* The name of QEMU's node for the format of a file; NULL: it has none. */
static const char *node_of(const json_t *nodes, const char *path)
{
    struct stat file;
    size_t i;
    json_t *node;
    if (stat(path, &file))
        return NULL;
    json_array_foreach ((json_t *)(uintptr_t)nodes, i, node) {
        const char *driver = json_string_value(json_object_get(node, "drv"));
        if (driver && strcmp(driver, "file") != 0 && strcmp(driver, "throttle") != 0 &&
            is_node_of(json_string_value(json_object_get(node, "file")), &file))
            return json_string_value(json_object_get(node, "node-name"));
    }
    return NULL;
}

/* -- the end of the job: what was copied is written, then the head -- */

static void cancel(struct worker *w)
{
    qmp_send(w->qmp, "block-job-cancel", json_pack("{s:s}", "device", JOB), NULL);
}

static void written(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct worker *w = container_of(call, struct worker, merging.write_call);
    const char *said = json_string_value(result); /* nothing, if it could */
    if (!error && said && !*said) {
        qmp_send(w->qmp, "job-finalize", json_pack("{s:s}", "id", JOB), NULL);
        return;
    }
    worker_log(w, "the image %s cannot be merged: %.200s", w->merging.now.own, error ? error->text : said ? said : "");
    cancel(w);
}

/* A job that another worker began, for a file that this one does not know, begins again: most has been copied. */
static void write_out(struct worker *w)
{
    char line[NODE_NAME_MAX + 16];
    if (!w->merging.top_node[0]) {
        w->merging.again = true;
        cancel(w);
        return;
    }
    snprintf(line, sizeof(line), "qemu-io %s flush", w->merging.top_node);
    w->merging.write_call.done = written;
    qmp_send(w->qmp, "human-monitor-command", json_pack("{s:s}", "command-line", line), &w->merging.write_call);
}

static void streams(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct worker *w = container_of(call, struct worker, merging.call);
    if (w->merging.phase != MERGE_ASKS)
        return; /* it has failed before this was answered */
    if (error) {
        give_up(w, error->text);
        return;
    }
    if (w->merging.ended) {
        settle(w);
        begin(w);
        return;
    }
    w->merging.phase = MERGE_RUNS;
    loop_alarm(&w->loop, &w->merging.poll, w->loop.now_ns + POLL_NS);
    if (w->merging.then)
        cancel(w);
}

static void nodes_known(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct worker *w = container_of(call, struct worker, merging.call);
    const struct merge *m = &w->merging.now;
    char base[2 * PATH_MAX];
    const char *top = node_of(result, m->top), *below = NULL;
    if (m->base[0] == '/')
        snprintf(base, sizeof(base), "%s", m->base);
    else
        snprintf(base, sizeof(base), "%.*s/%s", (int)(strrchr(m->image, '/') - m->image), m->image, m->base);
    if (m->base[0])
        below = node_of(result, base);
    if (w->merging.then) {
        settle(w);
    } else if (error || !top || (m->base[0] && !below) || strcmp(m->own, w->merging.tried) == 0) {
        /* It is not open: a command merges it. Or QEMU has done so, and it is as it was. The search goes on. */
        w->merging.phase = MERGE_NOTHING;
        next(w);
    } else {
        w->merging.call.done = streams;
        w->merging.ended = false;
        strcpy(w->merging.tried, m->own);
        snprintf(w->merging.top_node, sizeof(w->merging.top_node), "%s", top);
        qmp_send(w->qmp, "block-stream",
                 json_pack("{s:s, s:s, s:s*, s:s*, s:b}", "job-id", JOB, "device", top, "base-node", below,
                           "backing-file", below ? m->base : NULL, "auto-finalize", 0),
                 &w->merging.call);
    }
}

static void next(struct worker *w)
{
    struct error error;
    int found;
    while ((found = merge_next(w->store, w->def.name, &w->merging.from, &w->merging.now, &error)) == 1) {
        if (w->merging.now.top[0])
            break;
        if (merge_remove(w->store, w->def.name, &w->merging.now, &error)) {
            found = -1;
            break;
        }
        worker_log(w, "the image %s has been merged", w->merging.now.own);
        worker_tell(w, "merged", json_pack("{s:s}", "image", w->merging.now.own));
        w->merging.from = 0;
    }
    if (found < 0)
        give_up(w, error.text);
    else if (!found)
        settle(w);
    if (found != 1)
        return;
    w->merging.phase = MERGE_ASKS;
    w->merging.call.done = nodes_known;
    qmp_send(w->qmp, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), &w->merging.call);
}

/* A job that another worker began goes on. */
static void jobs_known(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct worker *w = container_of(call, struct worker, merging.call);
    if (error) {
        settle(w);
    } else if (json_array_size(result)) {
        const char *status = json_string_value(json_object_get(json_array_get(result, 0), "status"));
        w->merging.phase = MERGE_RUNS;
        loop_alarm(&w->loop, &w->merging.poll, w->loop.now_ns + POLL_NS);
        if (w->merging.then)
            cancel(w);
        else if (status && strcmp(status, "pending") == 0)
            write_out(w);
    } else if (w->merging.then) {
        settle(w);
    } else {
        next(w);
    }
}

static void begin(struct worker *w)
{
    if (w->merging.phase || w->job || !w->connected || (w->state != VM_RUNNING && w->state != VM_PAUSED) ||
        !merge_count(w->store, w->def.name))
        return;
    w->merging.phase = MERGE_ASKS;
    w->merging.from = 0;
    w->merging.call.done = jobs_known;
    qmp_send(w->qmp, "query-block-jobs", NULL, &w->merging.call);
}

void merge_begin(struct worker *w)
{
    if (!w->merging.phase)
        w->merging.tried[0] = 0;
    begin(w);
}

void merge_quiet(struct worker *w, void (*then)(struct worker *w))
{
    if (!w->merging.phase) {
        then(w);
        return;
    }
    w->merging.then = then;
    if (w->merging.phase == MERGE_RUNS)
        cancel(w);
}

/* -- how far it is -- */

static void progress(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct worker *w = container_of(call, struct worker, merging.poll_call);
    const json_t *job = error ? NULL : json_array_get(result, 0);
    w->merging.polling = false;
    if (w->merging.phase != MERGE_RUNS || !job)
        return;
    w->merging.done = (u64)json_integer_value(json_object_get(job, "offset"));
    w->merging.total = (u64)json_integer_value(json_object_get(job, "len"));
    loop_alarm(&w->loop, &w->merging.poll, w->loop.now_ns + POLL_NS);
}

void merge_poll(struct alarm *alarm)
{
    struct worker *w = container_of(alarm, struct worker, merging.poll);
    if (w->merging.phase != MERGE_RUNS || !w->connected || w->merging.polling)
        return;
    w->merging.polling = true;
    w->merging.poll_call.done = progress;
    qmp_send(w->qmp, "query-block-jobs", NULL, &w->merging.poll_call);
}

void merge_event(struct worker *w, const char *name, const json_t *data)
{
    const char *id = json_string_value(json_object_get(data, "device"));
    const char *why = json_string_value(json_object_get(data, "error"));
    bool cancelled = strcmp(name, "BLOCK_JOB_CANCELLED") == 0, again = w->merging.again;
    if (strcmp(name, "BLOCK_JOB_PENDING") == 0) {
        id = json_string_value(json_object_get(data, "id"));
        if (w->merging.phase && id && strcmp(id, JOB) == 0)
            write_out(w);
        return;
    }
    if (!w->merging.phase || !id || strcmp(id, JOB) != 0 || (!cancelled && strcmp(name, "BLOCK_JOB_COMPLETED") != 0))
        return;
    if (why) {
        give_up(w, why);
    } else if (w->merging.phase == MERGE_ASKS) {
        w->merging.ended = true;
    } else {
        bool quiet = w->merging.then;
        settle(w);
        if (!cancelled || (again && !quiet))
            begin(w); /* which finds that nothing stands on the image any more */
    }
}

json_t *merge_json(const struct worker *w)
{
    if (!w->merging.phase)
        return json_null();
    return json_pack("{s:s, s:I, s:I}", "image", w->merging.now.own, "done", (json_int_t)w->merging.done, "total",
                     (json_int_t)w->merging.total);
}

int merge_request(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    merge_begin(opaque);
    return 0;
}
