/*
 * QEMU's process: started with its helpers, or found again. It and they are in sessions of their own and live on
 * without a worker. What is listened at is opened here and inherited, so that nobody waits for a socket to appear.
 */
#include "worker/inside.h"

#include "process/program.h"
#include "process/spawn.h"
#include "store/file.h"
#include "worker/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_SECONDS 60
#define QEMU_LOG "qemu.log"
#define SOCKET_WAIT_MS 5000

static int run_path(const struct worker *w, const char *what, char path[static PATH_MAX], struct error *error)
{
    return store_vm_socket(w->store, w->def.name, what, path, PATH_MAX, error);
}

/* -- sockets -- */

static int unix_socket(const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

static int listen_at(const struct worker *w, const char *what, struct error *error)
{
    char path[PATH_MAX];
    struct sockaddr_un address;
    int e = run_path(w, what, path, error);
    if (e)
        return e;
    int fd = unix_socket(path, &address);
    unlink(path);
    if (fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, 1))
        return fd;
    e = error_path(error, fd < 0 ? fd : -errno, path);
    if (fd >= 0)
        close(fd);
    return e;
}

/* QEMU connects to it, by its path. */
static int let_connect(const struct worker *w, const char *what, struct error *error)
{
    char path[PATH_MAX];
    u32 user = confined_as(w->confined);
    int e = run_path(w, what, path, error);
    return !e && user && chown(path, user, user) ? error_path(error, -errno, path) : e;
}

static int connect_to(const struct worker *w, const char *what, struct error *error)
{
    char path[PATH_MAX];
    struct sockaddr_un address;
    int e = run_path(w, what, path, error);
    if (e)
        return e;
    int fd = unix_socket(path, &address);
    if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address)))
        return fd;
    e = error_path(error, fd < 0 ? fd : -errno, path);
    if (fd >= 0)
        close(fd);
    return e;
}

/* -- QEMU's end -- */

void launch_last_words(const struct worker *w, char *text, size_t size)
{
    static const char below[] = "Could not open backing file: ";
    char path[PATH_MAX], all[4096];
    struct error ignored;
    text[0] = 0;
    int fd = run_path(w, QEMU_LOG, path, &ignored) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    off_t end = lseek(fd, 0, SEEK_END);
    ssize_t n = pread(fd, all, sizeof(all) - 1, end > (off_t)sizeof(all) - 1 ? end - ((off_t)sizeof(all) - 1) : 0);
    close(fd);
    while (n > 0 && (u8)all[n - 1] <= ' ')
        n--;
    all[n > 0 ? n : 0] = 0;
    const char *line = strrchr(all, '\n');
    line = line ? line + 1 : all;
    if (strncmp(line, "nestbox: ", 9) == 0)
        line += 9;
    /* An option that QEMU quotes would take all the room. */
    const char *option = strstr(line, ": -"), *reason = option ? strstr(option, "}: ") : NULL;
    for (const char *later = reason; later; later = strstr(later + 1, "}: "))
        reason = later;
    if (reason)
        line = reason + 3;
    while (strncmp(line, below, sizeof(below) - 1) == 0) /* once per image of a chain, before what is wrong */
        line += sizeof(below) - 1;
    snprintf(text, size, "%.*s", (int)(size - 1), line);
}

static void end_helper(struct helper *h)
{
    int fd = spawn_find(h->pid, h->started);
    if (fd < 0)
        return;
    syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0);
    close(fd);
}

void launch_clean(struct worker *w)
{
    static const char *const names[] = {SOCKET_QMP,   SOCKET_SERIAL, SOCKET_VNC, SOCKET_QGA,
                                        SOCKET_AGENT, SOCKET_TPM,    WORKER_FILE};
    char path[PATH_MAX], name[24];
    struct error ignored;
    for (u32 i = 0; i < w->helpers; i++)
        end_helper(&w->helper[i]);
    w->helpers = 0;
    cpu_limit_remove(CPU_LIMIT_ROOT, w->def.id);
    for (u32 i = 0; i < ARRAY_LEN(names); i++)
        if (!run_path(w, names[i], path, &ignored))
            unlink(path);
    for (u32 i = 0; i < VM_SHARES_MAX; i++) {
        snprintf(name, sizeof(name), SOCKET_SHARE "%u", i);
        if (!run_path(w, name, path, &ignored))
            unlink(path);
    }
    if (!run_path(w, SOCKETS_OWN, path, &ignored))
        rmdir(path); /* unless the verdict on the host's KVM is there */
    for (u32 i = 0; i < w->card_count; i++)
        if (!store_card_socket(w->store, w->cards[i].id, path, sizeof(path), &ignored))
            unlink(path);
}

/* How it ended, as far as it was our child. */
static void describe_end(struct worker *w, int status, struct error *error)
{
    char words[260];
    launch_last_words(w, words, sizeof(words));
    if (WIFSIGNALED(status))
        error_set(error, -EIO, "VM %s: QEMU was ended by signal %d (%s)", w->def.name, WTERMSIG(status),
                  strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == 127 && !words[0])
        error_set(error, -ENOENT, "VM %s: QEMU cannot be started", w->def.name);
    else
        error_set(error, -EIO, "VM %s: %s", w->def.name, words[0] ? words : "QEMU ended");
    error_hint(error,
               WEXITSTATUS(status) == 127 && WIFEXITED(status) ? "as root: apt-get install qemu-system-x86" : "");
}

/* It was started by another worker, so its status is init's. It did not say that it ends. */
static void describe_loss(const struct worker *w, struct error *error)
{
    char words[260];
    launch_last_words(w, words, sizeof(words));
    error_set(error, -EIO, "VM %s: QEMU ended by itself or was ended%s%s", w->def.name,
              words[0] ? "; it said last: " : "", words);
}

/* For the host's next start. */
static void mark(struct worker *w, bool runs)
{
    struct error error;
    if (store_vm_mark(w->store, w->def.name, runs, &error))
        worker_log(w, "%s", error.text);
}

static void qemu_ended(struct watch *watch, u32 events)
{
    struct worker *w = container_of(watch, struct worker, ended);
    struct error error = {0};
    int status = 0;
    bool child = waitpid(w->qemu.pid, &status, WNOHANG) == w->qemu.pid;
    loop_unwatch(&w->loop, &w->ended);
    enum vm_state end = VM_OFF;
    if (w->job == JOB_START || w->job == JOB_LOAD || (child && status && !w->quitting))
        describe_end(w, status, &error);
    else if (!child && !w->quitting && !w->shuts_down)
        describe_loss(w, &error);
    char path[PATH_MAX];
    struct error ignored;
    if (!store_vm_path(w->store, w->def.name, VM_SAVED_FILE, path, sizeof(path), &ignored) && !access(path, F_OK))
        end = VM_SAVED;
    guest_over(w, "the VM ended");
    if (!w->host_stops && (child ? !WIFSIGNALED(status) : w->quitting || w->shuts_down))
        mark(w, false);
    w->before = end; /* there is no way back to a VM that runs */
    launch_clean(w);
    loop_alarm(&w->loop, &w->retry, 0);
    loop_alarm(&w->loop, &w->poll, 0);
    loop_alarm(&w->loop, &w->merging.poll, 0);
    job_end(w, end, &error);
    launch_clean(w); /* what job_end recorded */
    loop_stop(&w->loop);
}

static int watch_qemu(struct worker *w, int pidfd, struct error *error)
{
    if (pidfd < 0)
        return error_set(error, pidfd, "VM %s: its QEMU cannot be watched: %s", w->def.name, strerror(-pidfd));
    w->ended = (struct watch){pidfd, qemu_ended};
    int e = loop_watch(&w->loop, &w->ended, EPOLLIN);
    return e ? error_set(error, e, "VM %s: its QEMU cannot be watched: %s", w->def.name, strerror(-e)) : 0;
}

/* -- connections to it -- */

static int connect_qemu(struct worker *w, struct error *error)
{
    int fd = connect_to(w, SOCKET_QMP, error);
    if (fd < 0)
        return fd;
    w->qmp = qmp_new(&w->loop, fd, &w->events, error);
    if (!w->qmp)
        return error->code;
    w->connected = true;
    fd = connect_to(w, SOCKET_SERIAL, error);
    if (fd < 0)
        return fd;
    w->console = console_new(&w->loop, fd, error);
    if (!w->console)
        return error->code;
    fd = connect_to(w, SOCKET_AGENT, error);
    if (fd < 0)
        return fd;
    w->guest = guest_new(&w->loop, fd, &(struct guest_events){guest_changed, w});
    if (!w->guest)
        return error_memory(error);
    guest_ask_ports(w);
    if (!w->memory)
        w->memory = memory_new(w);
    if (!w->meter)
        w->meter = meter_begin(w);
    if (!w->memory || !w->meter)
        return error_memory(error);
    pulse_beat(&w->pulse);
    return 0;
}

/* -- files of the VM -- */

static int make_folder(int e, const char *path, struct error *error)
{
    return !e && mkdir(path, 0700) && errno != EEXIST ? error_path(error, -errno, path) : e;
}

/* What QEMU may write to is there before it is confined. Variables of UEFI are the VM's from its first start on. */
static int make_files(struct worker *w, struct error *error)
{
    char path[PATH_MAX];
    const char *variables = command_variables(&w->def);
    char probe[PATH_MAX];
    snprintf(probe, sizeof(probe), "%.4000s/accel", store_run(w->store)); /* what was found out about /dev/kvm */
    mkdir(probe, 0700);
    int e = make_folder(run_path(w, SOCKETS_OWN, path, error), path, error);
    if (!e)
        e = make_folder(store_vm_path(w->store, w->def.name, "disks", path, sizeof(path), error), path, error);
    if (!e && w->def.set.tpm)
        e = make_folder(store_vm_path(w->store, w->def.name, "tpm", path, sizeof(path), error), path, error);
    if (!e)
        e = store_vm_path(w->store, w->def.name, "firmware.fd", path, sizeof(path), error);
    if (!e && variables && access(path, F_OK)) {
        e = file_copy(variables, path, error);
        if (e == -ENOENT)
            error_hint(error, "as root: apt-get install ovmf");
    }
    return e;
}

/* -- starting -- */

static int open_log(const struct worker *w, struct error *error)
{
    char path[PATH_MAX];
    int e = run_path(w, QEMU_LOG, path, error);
    int fd = e ? e : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    return e ? e : fd < 0 ? error_path(error, -errno, path) : fd;
}

/* Starts a program and notes which process it is before it begins. */
static int start(struct worker *w, struct helper *as, const char *name, char **argv, int log, const int *pass,
                 struct error *error)
{
    int gate;
    bool shares = strncmp(name, "share", 5) == 0; /* virtiofsd confines itself, and needs root's rights for that */
    pid_t pid = spawn_program((const char *const *)argv, log, pass, &gate, shares ? NULL : confined_enter, w->confined);
    if (pid < 0)
        return error_set(error, (int)pid, "%s cannot be started: %s", argv[0], strerror((int)-pid));
    *as = (struct helper){.pid = pid, .started = spawn_started(pid)};
    snprintf(as->name, sizeof(as->name), "%s", name);
    if (as != &w->qemu)
        w->helpers++;
    else
        change_limit_cpu(w);
    worker_record(w);
    spawn_go(gate);
    return 0;
}

/* The programs of helpers are found in the folders of system programs. */
static int start_helper(struct worker *w, const char *name, const char *package, char **argv, int log, const int *pass,
                        struct error *error)
{
    char program[PATH_MAX];
    if (!argv)
        return error->code;
    int e = program_locate(argv[0], package, program, sizeof(program), error);
    if (!e) {
        free(argv[0]);
        argv[0] = strdup(program);
        e = argv[0] ? start(w, &w->helper[w->helpers], name, argv, log, pass, error) : error_memory(error);
    }
    if (argv[0])
        command_free(argv);
    return e;
}

/* The TPM's program opens its socket by itself. */
static int wait_socket(const struct worker *w, const char *what, struct error *error)
{
    char path[PATH_MAX], words[200];
    int e = run_path(w, what, path, error);
    for (unsigned i = 0; !e && access(path, F_OK); i++) {
        if (i == SOCKET_WAIT_MS || !spawn_started(w->helper[w->helpers - 1].pid)) {
            launch_last_words(w, words, sizeof(words));
            return error_set(error, -EIO, "VM %s: its TPM does not start: %s", w->def.name, words);
        }
        usleep(1000);
    }
    return e;
}

static int start_helpers(struct worker *w, int log, struct error *error)
{
    int e = 0;
    if (w->def.set.tpm) {
        e = start_helper(w, "tpm", "swtpm", command_tpm(w->store, &w->def, error), log, NULL, error);
        if (!e)
            e = wait_socket(w, SOCKET_TPM, error);
    }
    for (u32 i = 0; i < w->def.shares && !e; i++) {
        char name[16], socket[24];
        snprintf(name, sizeof(name), "share%u", i);
        snprintf(socket, sizeof(socket), SOCKET_SHARE "%u", i);
        if (access("/usr/lib/qemu/virtiofsd", X_OK)) {
            error_set(error, -ENOENT, "VM %s: virtiofsd, which shares folders, is not installed", w->def.name);
            return error_hint(error, "as root: apt-get install qemu-system-common");
        }
        int fd = listen_at(w, socket, error);
        if (fd < 0)
            return fd;
        e = let_connect(w, socket, error);
        if (!e)
            e = start_helper(w, name, "util-linux", command_share(&w->def.share[i], fd, error), log, (int[]){fd, -1},
                             error);
        close(fd);
    }
    return e;
}

static int start_qemu(struct worker *w, int log, struct error *error)
{
    struct command c = {.store = w->store,
                        .def = &w->def,
                        .cards = w->cards,
                        .memory = w->memory_started,
                        .memory_limit = w->memory_limit,
                        .card_count = w->card_count,
                        .qmp = listen_at(w, SOCKET_QMP, error),
                        .own_user = confined_as(w->confined),
                        .incoming = w->def.saved,
                        .machine = w->machine};
    c.serial = c.qmp < 0 ? -1 : listen_at(w, SOCKET_SERIAL, error);
    c.agent = c.serial < 0 ? -1 : listen_at(w, SOCKET_AGENT, error);
    char **argv = c.agent < 0 ? NULL : command_qemu(&c, error);
    int e = argv ? start(w, &w->qemu, "qemu", argv, log, (int[]){c.qmp, c.serial, c.agent, -1}, error) : error->code;
    command_free(argv);
    if (c.qmp >= 0)
        close(c.qmp);
    if (c.serial >= 0)
        close(c.serial);
    if (c.agent >= 0)
        close(c.agent);
    return e;
}

/* What the host does not let be taken from QEMU is no obstacle. */
void launch_confined(struct worker *w)
{
    const char *part;
    json_t *parts = confined_json(w->confined), *one;
    json_object_foreach (parts, part, one)
        if (json_is_string(one))
            worker_log(w, "QEMU is not confined in its %s: %s", part, json_string_value(one));
    json_decref(parts);
}

static void started(struct worker *w, json_t *result, const struct error *error)
{
    launch_confined(w);
    job_end(w, VM_RUNNING, error);
}

/* What the VM was started with, which its definition need not have any more. */
static void take_memory(struct worker *w, const json_t *object)
{
    json_int_t memory = json_integer_value(json_object_get(object, "memory"));
    if (memory > 0)
        w->memory_started = (u64)memory;
}

static void take_saved(struct worker *w)
{
    char path[PATH_MAX];
    struct error ignored;
    json_t *object = store_vm_path(w->store, w->def.name, VM_SAVED_FILE, path, sizeof(path), &ignored)
                         ? NULL
                         : json_load_file(path, 0, NULL);
    take_memory(w, object);
    w->machine = json_incref(json_object_get(object, "machine"));
    w->memory_limit = (u64)json_integer_value(json_object_get(w->machine, "memory_limit"));
    json_decref(object);
}

int launch(struct worker *w, struct error *error)
{
    w->before = w->state = w->def.saved ? VM_SAVED : VM_OFF;
    w->started = time(NULL);
    w->memory_started = w->def.set.memory;
    w->memory_limit = memory_limit_of(&w->def.set, memory_of_host());
    if (w->def.saved)
        take_saved(w);
    int e = make_files(w, error);
    if (!e && !(w->confined = confined_new(w->store, &w->def)))
        e = error_memory(error);
    int log = e ? e : open_log(w, error);
    if (log < 0)
        return log;
    job_begin(w, w->def.saved ? JOB_LOAD : JOB_START, VM_STARTING, w->def.saved ? 0 : (u64)START_SECONDS * SECOND_NS);
    e = start_helpers(w, log, error);
    if (!e)
        e = start_qemu(w, log, error);
    close(log);
    if (!e)
        e = watch_qemu(w, spawn_find(w->qemu.pid, w->qemu.started), error);
    if (!e)
        e = connect_qemu(w, error);
    if (e) {
        if (w->qemu.pid > 0)
            kill(w->qemu.pid, SIGKILL);
        return e;
    }
    mark(w, true);
    if (w->def.saved)
        load_begin(w);
    else
        job_step(w, "cont", NULL, started);
    return 0;
}

/* -- finding it again -- */

static void read_helper(const json_t *object, struct helper *h)
{
    const char *name = json_string_value(json_object_get(object, "name"));
    snprintf(h->name, sizeof(h->name), "%s", name ? name : "");
    h->pid = (pid_t)json_integer_value(json_object_get(object, "process"));
    h->started = (u64)json_integer_value(json_object_get(object, "started"));
}

static int read_record(struct worker *w, struct error *error)
{
    char path[PATH_MAX];
    size_t i;
    json_t *one;
    int e = run_path(w, WORKER_FILE, path, error);
    if (e)
        return e;
    w->memory_started = w->def.set.memory;
    json_t *object = json_load_file(path, 0, NULL);
    const char *state = json_string_value(json_object_get(object, "state"));
    const char *before = json_string_value(json_object_get(object, "before"));
    if (state && before && vm_state_find(state) < VM_STATES && vm_state_find(before) < VM_STATES) {
        w->state = vm_state_find(state);
        w->before = vm_state_find(before);
        w->since = json_integer_value(json_object_get(object, "since"));
        w->started = json_integer_value(json_object_get(object, "started"));
        read_helper(json_object_get(object, "qemu"), &w->qemu);
        take_memory(w, object);
        w->memory_limit = (u64)json_integer_value(json_object_get(object, "memory_limit"));
        json_array_foreach (json_object_get(object, "helpers"), i, one)
            if (w->helpers < HELPERS_MAX)
                read_helper(one, &w->helper[w->helpers++]);
    }
    json_decref(object);
    return 0;
}

/* What QEMU does now decides what the VM is; what was under way when the other worker ended is undone. */
static void found(struct worker *w, json_t *result, const struct error *error)
{
    const char *status = json_string_value(json_object_get(result, "status"));
    bool runs = status && (strcmp(status, "running") == 0 || strcmp(status, "suspended") == 0);
    worker_log(w, "found again by a new worker, %s", status ? status : "in an unknown state");
    if (!status || strcmp(status, "shutdown") == 0 || strcmp(status, "internal-error") == 0 ||
        strcmp(status, "inmigrate") == 0 || (w->def.saved && !runs)) {
        w->quitting = true;
        w->job = JOB_NONE;
        w->before = VM_OFF;
        job_begin(w, JOB_TURN_OFF, VM_STOPPING, 5 * SECOND_NS);
        qmp_send(w->qmp, "quit", NULL, NULL);
    } else if (w->state == VM_SAVING) {
        save_undo(w);
    } else if (w->state == VM_STARTING && !runs) {
        job_step(w, "cont", NULL, started);
    } else {
        job_end(w, runs ? VM_RUNNING : VM_PAUSED, NULL);
    }
}

int adopt(struct worker *w, struct error *error)
{
    int e = read_record(w, error);
    if (e)
        return e;
    int fd = spawn_find(w->qemu.pid, w->qemu.started);
    if (fd < 0) {
        launch_clean(w);
        return error_set(error, -ESRCH, "VM %s does not run", w->def.name);
    }
    e = watch_qemu(w, fd, error);
    if (!e)
        e = connect_qemu(w, error);
    if (e)
        return e;
    /* The state stays as it was recorded until QEMU has said what it does. */
    w->job = JOB_START;
    w->job_began_ns = w->loop.now_ns;
    w->deadline_ns = w->loop.now_ns + START_SECONDS * SECOND_NS;
    loop_alarm(&w->loop, &w->tick, w->loop.now_ns + SECOND_NS);
    job_step(w, "query-status", NULL, found);
    return 0;
}
