/*
 * See guest.h. Each operation has a connection of its own to the worker.
 */
#include "manager/guest.h"

#include "agent/tree.h"
#include "base/monotonic.h"
#include "manager/guest_ga.h"
#include "manager/life.h"
#include "process/ask.h"
#include "store/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MS 10000u
#define PROGRESS_MS 500
#define INFO_MAX 65536

/* Returns a connection on which the agent is spoken to. */
static int join(struct store *store, const char *vm, struct error *error)
{
    struct vm_def def;
    struct ask_peer peer = {.hangs = "`nestbox stop " SETTING("turn-off") "` ends it"};
    const struct ask how = {.wait_ms = ANSWER_MS};
    json_t *answer = NULL;
    int e = store_vm(store, vm, &def, error);
    if (e)
        return e;
    snprintf(peer.name, sizeof(peer.name), "VM %.70s", def.name);
    int fd = life_reach(store, def.name, error);
    vm_def_free(&def);
    if (fd < 0)
        return fd;
    json_t *request = json_pack("{s:s}", "do", "agent");
    e = request ? ask(fd, &peer, &how, request, &answer, error) : error_memory(error);
    json_decref(request);
    json_decref(answer);
    if (!e)
        return fd;
    close(fd);
    return e;
}

int guest_exec(struct store *store, const char *vm, const struct agent_run *run, struct error *error)
{
    int fd = join(store, vm, error);
    if (fd == -ENXIO && !run->builtin)
        return guest_ga_exec(store, vm, run, error);
    if (fd < 0)
        return fd;
    int e = agent_run(fd, vm, run, error);
    close(fd);
    return e;
}

/* -- copies -- */

struct copying {
    const struct guest_copy *copy;
    struct tree tree;
    int stream, status; /* of our side of the copy */
    int errors;         /* what the agent complains of, a line each */
    u32 complaints;     /* of the agent */
    pthread_mutex_t lock;
};

static void complain(struct copying *c, const char *prefix, const char *text)
{
    char line[2 * PATH_MAX + 256], plain[2 * PATH_MAX + 256];
    snprintf(line, sizeof(line), "%s%s", prefix, text);
    error_plain(line, plain, sizeof(plain));
    pthread_mutex_lock(&c->lock);
    c->copy->complain(c->copy->opaque, plain);
    pthread_mutex_unlock(&c->lock);
}

static void tree_complains(struct tree *tree, const char *path, const char *reason)
{
    char text[2 * PATH_MAX + 128];
    snprintf(text, sizeof(text), "%s: %s", path, reason);
    complain(tree->opaque, "", text);
}

static void *copy_here(void *opaque)
{
    struct copying *c = opaque;
    c->status = c->copy->to_guest ? tree_send(&c->tree, c->copy->host_path, c->stream)
                                  : tree_receive(&c->tree, c->stream, c->copy->host_path);
    close(c->stream); /* if the other side goes on, it sees that nobody is here */
    return NULL;
}

/* Takes lines of complaints, and says how far it is. */
static void *listen_there(void *opaque)
{
    struct copying *c = opaque;
    char line[PATH_MAX + 256], prefix[128];
    size_t used = 0;
    snprintf(prefix, sizeof(prefix), "%s:", c->copy->vm);
    for (u64 next_ns = monotonic_ns() + PROGRESS_MS * 1000000ull;;) {
        struct pollfd p = {c->errors, POLLIN};
        if (poll(&p, 1, PROGRESS_MS) > 0) {
            ssize_t n = read(c->errors, line + used, sizeof(line) - 1 - used);
            if (n <= 0)
                return NULL;
            used += (size_t)n;
            line[used] = 0;
            for (char *end; (end = strchr(line, '\n')) || (used == sizeof(line) - 1 && (end = line + used));) {
                size_t length = (size_t)(end - line) + (*end != 0);
                *end = 0;
                c->complaints++;
                complain(c, prefix, line);
                memmove(line, line + length, used - length + 1);
                used -= length;
            }
        }
        if (monotonic_ns() < next_ns || !c->copy->progress)
            continue;
        next_ns = monotonic_ns() + PROGRESS_MS * 1000000ull;
        pthread_mutex_lock(&c->lock);
        c->copy->progress(c->copy->opaque, c->tree.bytes);
        pthread_mutex_unlock(&c->lock);
    }
}

static int run_copy(int fd, struct copying *c, const int data[2], int errors, struct error *error)
{
    const struct guest_copy *copy = c->copy;
    const char *const argument[] = {copy->to_guest ? "put" : "get", copy->guest_path,
                                    copy->recursive && !copy->to_guest ? "recursive" : NULL, NULL};
    const struct agent_run run = {
        .argument = argument,
        .user = copy->user,
        .builtin = true,
        .ends_at_signal = true,
        .in = copy->to_guest ? data[0] : -1,
        .out = copy->to_guest ? -1 : data[1],
        .error = errors,
        .signals = copy->signals,
    };
    return agent_run(fd, copy->vm, &run, error);
}

static int copy_by(int fd, struct copying *c, struct error *error)
{
    const struct guest_copy *copy = c->copy;
    int data[2], errors[2];
    pthread_t here, there;
    if (pipe2(data, O_CLOEXEC))
        return error_set(error, -errno, "cannot make a pipe: %s", strerror(errno));
    if (pipe2(errors, O_CLOEXEC)) {
        close(data[0]);
        close(data[1]);
        return error_set(error, -errno, "cannot make a pipe: %s", strerror(errno));
    }
    c->stream = data[copy->to_guest];
    c->errors = errors[0];
    bool listens = pthread_create(&there, NULL, listen_there, c) == 0;
    bool copies = listens && pthread_create(&here, NULL, copy_here, c) == 0;
    int e = copies ? run_copy(fd, c, data, errors[1], error) : error_thread(error, -EAGAIN, "the thread of a copy");
    close(data[!copy->to_guest]);
    if (copies)
        pthread_join(here, NULL);
    else
        close(c->stream);
    close(errors[1]);
    if (listens)
        pthread_join(there, NULL);
    close(errors[0]);
    if (e == -EPIPE && c->tree.complaints)
        e = 1; /* our side gave up, and has said why */
    return e;
}

int guest_copy(struct store *store, const struct guest_copy *copy, struct error *error)
{
    struct copying c = {.copy = copy, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct sigaction before, ignore = {.sa_handler = SIG_IGN};
    c.tree = (struct tree){.complain = tree_complains, .opaque = &c, .recursive = copy->recursive};
    int fd = join(store, copy->vm, error);
    if (fd == -ENXIO)
        return guest_ga_copy(store, copy, error);
    if (fd < 0)
        return fd;
    sigaction(SIGPIPE, &ignore, &before); /* either side of the copy may end first */
    int e = copy_by(fd, &c, error);
    sigaction(SIGPIPE, &before, NULL);
    close(fd);
    u32 complaints = c.tree.complaints + c.complaints;
    if (e < 0)
        return e;
    if (!complaints && (e || c.status))
        return error_set(error, e ? -EREMOTEIO : c.status, "%s: the copy broke off", copy->vm);
    return (int)complaints;
}

/* -- questions -- */

int guest_wait(struct store *store, const char *vm, u32 seconds, const struct progress *progress, struct error *error)
{
    const u64 begin = monotonic_ns();
    u64 waited = 0;
    int e;
    do { /* another worker goes on waiting */
        json_t *answer = NULL;
        e = life_ask(store, vm, json_pack("{s:s, s:I}", "do", "ready", "seconds", (json_int_t)(seconds - waited)),
                     progress, &answer, error);
        json_decref(answer);
        waited = (monotonic_ns() - begin) / 1000000000;
    } while (e == -EAGAIN && waited < seconds);
    return e;
}

int guest_await(struct store *store, const char *vm, const struct progress *progress, struct error *error)
{
    json_t *answer = NULL;
    int e = life_ask(store, vm, json_pack("{s:s, s:b}", "do", "ready", "starting", 1), progress, &answer, error);
    json_decref(answer);
    return e == -ENXIO || e == -ETIMEDOUT ? 0 : e;
}

int guest_info(struct store *store, const char *vm, json_t **info, struct error *error)
{
    static const char *const argument[] = {"info", NULL};
    char *text = malloc(INFO_MAX);
    FILE *file = tmpfile();
    struct agent_run run = {.argument = argument, .builtin = true, .in = -1, .error = -1, .signals = -1};
    run.out = file ? fileno(file) : -1;
    int e = file && text ? guest_exec(store, vm, &run, error) : error_memory(error);
    ssize_t n = e ? -1 : pread(run.out, text, INFO_MAX, 0);
    if (!e) {
        *info = n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
        e = *info ? 0 : error_set(error, -EPROTO, "%s: the agent's report is none", vm);
    } else if (e > 0) {
        e = error_set(error, -EREMOTEIO, "%s: the agent cannot report", vm);
    }
    if (file)
        fclose(file);
    free(text);
    return e;
}
