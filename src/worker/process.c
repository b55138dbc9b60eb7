/*
 * The life of a worker: one holds the lock of its VM's worker, which ends with it. It ends when the VM is off or saved,
 * or when it is told to, and then the VM goes on and the next command starts another worker.
 */
#include "worker/process.h"

#include "process/spawn.h"
#include "worker/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct loop *running; /* for the handler of signals */

static void stop_running(int signal)
{
    loop_stop(running);
}

static void catch_signals(struct loop *loop)
{
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction stop = {.sa_handler = stop_running}, ignore = {.sa_handler = SIG_IGN};
    running = loop;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        sigaction(ends[i], &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

/* -- what others read -- */

static json_t *helper_json(const struct helper *h)
{
    return json_pack("{s:s, s:i, s:I}", "name", h->name, "process", (int)h->pid, "started", (json_int_t)h->started);
}

/* Written beside and renamed. It says nothing after a crash of the host, so it is not flushed. */
void worker_record(struct worker *w)
{
    char path[PATH_MAX], draft[PATH_MAX + 8];
    struct error error;
    json_t *helpers = json_array();
    for (u32 i = 0; i < w->helpers; i++)
        json_array_append_new(helpers, helper_json(&w->helper[i]));
    json_t *object =
        json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "version", 1, "vm", w->def.name, "state",
                  vm_state_name(w->state), "before", vm_state_name(w->before), "since", (json_int_t)w->since, "started",
                  (json_int_t)w->started, "memory", (json_int_t)w->memory_started, "memory_limit",
                  (json_int_t)w->memory_limit, "qemu", helper_json(&w->qemu), "helpers", helpers);
    if (object && !store_vm_socket(w->store, w->def.name, WORKER_FILE, path, sizeof(path), &error)) {
        snprintf(draft, sizeof(draft), "%s.new", path);
        if (json_dump_file(object, draft, JSON_INDENT(4)) || rename(draft, path))
            worker_log(w, "cannot write %s: %s", path, strerror(errno));
    }
    json_decref(object);
}

void worker_log(struct worker *w, const char *format, ...)
{
    char line[640];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    store_vm_log(w->store, w->def.name, line);
}

void worker_tell(struct worker *w, const char *name, json_t *data)
{
    json_t *object = json_pack("{s:s, s:s, s:I, s:o*}", "event", name, "vm", w->def.name, "time",
                               (json_int_t)time(NULL), "data", data);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    for (u32 i = 0; text && i < w->listeners;) {
        int fd = w->listener[i];
        struct iovec part[] = {{text, strlen(text)}, {(char[]){'\n'}, 1}};
        struct msghdr message = {.msg_iov = part, .msg_iovlen = 2};
        if (sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)part[0].iov_len + 1) {
            i++;
            continue;
        }
        close(fd); /* it does not read, or has gone */
        w->listener[i] = w->listener[--w->listeners];
    }
    free(text);
    json_decref(object);
}

void worker_set_state(struct worker *w, enum vm_state state)
{
    if (state == w->state)
        return;
    w->state = state;
    w->since = time(NULL);
    worker_record(w);
    worker_log(w, "%s", vm_state_name(state));
    worker_tell(w, "state", json_pack("{s:s}", "state", vm_state_name(state)));
}

/* -- what QEMU reports -- */

#define BIOS_RESETS_NS (2 * SECOND_NS)

/* SeaBIOS, which finds itself started again without a reset of the chipset, does that. */
static void reset_event(struct worker *w, bool by_guest)
{
    bool by_bios =
        by_guest && w->def.set.generation == 1 && w->reset_ns && w->loop.now_ns - w->reset_ns < BIOS_RESETS_NS;
    worker_log(w, "the VM is reset%s",
               by_bios    ? " once more, by its BIOS"
               : by_guest ? " by its guest"
                          : " from outside");
    w->reset_ns = by_guest ? 0 : w->loop.now_ns;
}

/* Paused by nobody: what runs the CPUs may have given up. */
static void stop_known(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct worker *w = container_of(call, struct worker, stopped_call);
    const char *status = json_string_value(json_object_get(result, "status"));
    call->done = NULL;
    if (!status || strcmp(status, "internal-error") != 0)
        return;
    w->given_up = true;
    error_set(&w->problem, -EIO, "VM %s is paused: KVM cannot go on with its guest", w->def.name);
    error_hint(&w->problem,
               "`nestbox restart " SETTING("hard") "` resets it, `nestbox stop " SETTING("turn-off") "` ends it");
    worker_log(w, "%s; qemu.log in its run folder has the CPU's state", w->problem.text);
}

static void on_event(struct qmp_events *events, const char *name, const json_t *data)
{
    struct worker *w = container_of(events, struct worker, events);
    worker_tell(w, name, json_deep_copy(data));
    if (strcmp(name, "BLOCK_IO_ERROR") == 0) {
        disk_error_event(w, data);
    } else if (strcmp(name, "SHUTDOWN") == 0) {
        const char *reason = json_string_value(json_object_get(data, "reason"));
        worker_log(w, "the VM shuts down (%s)", reason ? reason : "no reason");
        w->shuts_down = true;
        w->host_stops = reason && strcmp(reason, "host-signal") == 0;
        if (!w->job)
            worker_set_state(w, VM_STOPPING);
    } else if (strcmp(name, "RESET") == 0) {
        reset_event(w, json_is_true(json_object_get(data, "guest")));
        w->began = time(NULL);
        memory_restarted(w->memory);
        job_was_reset(w);
    } else if (strcmp(name, "STOP") == 0 && !w->job && w->state == VM_RUNNING) {
        worker_set_state(w, VM_PAUSED); /* somebody else asked QEMU, or a disk is full */
        if (!w->stopped_call.done) {
            w->stopped_call.done = stop_known;
            qmp_send(w->qmp, "query-status", NULL, &w->stopped_call);
        }
    } else if (strcmp(name, "RESUME") == 0 && !w->job && w->state == VM_PAUSED) {
        worker_set_state(w, VM_RUNNING);
    } else if (strcmp(name, "VSERPORT_CHANGE") == 0) {
        const char *id = json_string_value(json_object_get(data, "id"));
        if (id)
            guest_port_changed(w, id, json_is_true(json_object_get(data, "open")));
    } else if (strncmp(name, "BLOCK_JOB_", 10) == 0) {
        merge_event(w, name, data);
    } else if (strcmp(name, "GUEST_PANICKED") == 0) {
        worker_log(w, "the guest's kernel has panicked");
    }
}

static void on_lost(struct qmp_events *events)
{
    struct worker *w = container_of(events, struct worker, events);
    w->connected = false;
}

/* -- requests -- */

static int nothing(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    return 0;
}

static void take_console(void *opaque, const json_t *request, int fd)
{
    struct worker *w = opaque;
    json_int_t last = json_integer_value(json_object_get(request, "last"));
    if (w->console)
        console_view(w->console, fd, last > 0 ? (size_t)last : 0, json_is_true(json_object_get(request, "ends")));
    else
        close(fd);
}

static void take_events(void *opaque, const json_t *request, int fd)
{
    struct worker *w = opaque;
    if (w->listeners == LISTENERS_MAX)
        close(fd);
    else
        w->listener[w->listeners++] = fd;
}

static const struct control_request requests[] = {
    {"show", report_show},
    {"stats", report_stats},
    {"wait", job_wait_request},
    {"stop", job_stop},
    {"pause", job_pause},
    {"resume", job_resume},
    {"reset", job_reset},
    {"checkpoint", checkpoint_begin},
    {"merge", merge_request},
    {"screenshot", report_screenshot},
    {"qmp", report_qmp},
    {"console", nothing, take_console},
    {"events", nothing, take_events},
    {"agent", guest_ask_agent, guest_take_agent},
    {"ready", guest_ask_ready},
    {"freeze", guest_ask_freeze},
    {"thaw", guest_ask_thaw},
    {"changed", change_take},
    {"meter", meter_ask},
    {0},
};

/* -- start and end -- */

static int take_lock(struct worker *w, int *fd, struct error *error)
{
    char path[PATH_MAX];
    int e = store_vm_socket(w->store, w->def.name, WORKER_LOCK, path, sizeof(path), error);
    if (e)
        return e;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        return error_path(error, -errno, path);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return ftruncate(*fd, 0) || dprintf(*fd, "%d\n", (int)getpid()) < 0 ? error_path(error, -errno, path) : 0;
    e = errno == EWOULDBLOCK ? -EALREADY : -errno;
    return error_set(error, e, "VM %s: %s", w->def.name, e == -EALREADY ? "its worker runs already" : strerror(-e));
}

int worker_read_cards(struct worker *w, struct error *error)
{
    struct card_def *all;
    u32 count, kept = 0;
    int e = store_cards(w->store, &all, &count, error);
    if (e)
        return e;
    /* The others go to the end, so that one call releases all. */
    for (u32 i = 0; i < count; i++)
        if (name_equal(all[i].vm, w->def.name)) {
            struct card_def own = all[i];
            all[i] = all[kept];
            all[kept++] = own;
        }
    w->cards = all;
    w->card_count = kept;
    w->all_cards = count;
    return 0;
}

static int prepare(struct worker *w, struct error *error)
{
    char path[PATH_MAX];
    int e = worker_read_cards(w, error);
    if (!e)
        e = store_vm_socket(w->store, w->def.name, WORKER_SOCKET, path, sizeof(path), error);
    if (e)
        return e;
    w->control = control_new(&w->loop, path, requests, w, error);
    return w->control ? 0 : error->code;
}

static int begin(struct worker *w, bool start, struct error *error)
{
    if (!start)
        return adopt(w, error);
    int e = adopt(w, error); /* there may be one that nobody knew of */
    if (e == -ESRCH)
        return launch(w, error);
    return e;
}

static void release(struct worker *w)
{
    guest_free(w->guest, "the VM's process ended");
    console_free(w->console);
    qmp_free(w->qmp);
    control_free(w->control);
    for (u32 i = 0; i < w->listeners; i++)
        close(w->listener[i]);
    if (w->ended.fd >= 0)
        close(w->ended.fd);
    loop_free(&w->loop);
    confined_free(w->confined);
    give_back(w, NULL);
    json_decref(w->machine);
    memory_free(w->memory);
    meter_end(w->meter);
    vm_def_free(&w->def);
    store_close(w->store);
}

static struct worker *worker_new(struct error *error)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w) {
        error_memory(error);
        return NULL;
    }
    w->ended.fd = w->state_fd = -1;
    w->events = (struct qmp_events){on_event, on_lost};
    w->tick.ring = job_tick;
    w->poll.ring = save_poll;
    w->retry.ring = disk_error_retry;
    w->merging.poll.ring = merge_poll;
    w->pulse.ring = pulse_beat;
    w->ready_tick.ring = guest_ready_tick;
    return w;
}

int worker_run(const char *vm, bool start, int ready, struct error *error)
{
    struct worker *w = worker_new(error);
    int lock = -1, e = w ? 0 : error->code;
    if (w) {
        w->ready = ready;
        e = loop_init(&w->loop) ? error_set(error, -EMFILE, "VM %s: the host gives no more descriptors", vm) : 0;
        w->store = e ? NULL : store_open(error);
        e = w->store ? store_vm(w->store, vm, &w->def, error) : error->code;
    }
    if (!e)
        e = take_lock(w, &lock, error);
    if (!e)
        e = prepare(w, error);
    if (!e) {
        catch_signals(&w->loop);
        e = begin(w, start, error);
        if (e)
            launch_clean(w);
    }
    if (!e)
        e = loop_run(&w->loop) ? error_set(error, -EIO, "VM %s: its worker cannot wait", vm) : 0;
    else if (w)
        spawn_report(w->ready, error);
    else
        spawn_report(ready, error);
    if (w && w->cards)
        card_defs_free(w->cards, w->all_cards);
    if (w)
        release(w);
    free(w);
    if (lock >= 0)
        close(lock);
    return e;
}
