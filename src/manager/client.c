/*
 * Speaks the protocol of docs/network.md. A process that does not answer is an error after a while, never a command
 * that hangs.
 */
#include "manager/client.h"

#include "base/monotonic.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NS_PER_MS 1000000ull
#define ANSWER_MS 10000u
#define START_MS 20000u /* nftables, dnsmasq and a busy host may take their time */
#define STOP_MS 5000u
#define ANSWER_MAX (32u << 20)
#define PROGRAM "/proc/self/exe"

static u64 deadline_in(u32 ms)
{
    return monotonic_ns() + ms * NS_PER_MS;
}

/* Waits for `events`. Returns false when the time is over. */
static bool wait_until(int fd, short events, u64 deadline)
{
    for (;;) {
        struct pollfd p = {fd, events};
        u64 now = monotonic_ns();
        int n = now < deadline ? poll(&p, 1, (int)((deadline - now) / NS_PER_MS) + 1) : 0;
        if (n >= 0 || errno != EINTR)
            return n > 0;
    }
}

/* Opens what the process locks; -1: there is none. */
static int open_lock(const struct store *store, const char *name)
{
    char path[PATH_MAX];
    struct error error;
    return store_switch_lock(store, name, path, sizeof(path), &error) ? -1 : open(path, O_RDWR | O_CLOEXEC);
}

/* Reads who holds a lock, 0: nobody. */
static long holder(int lock)
{
    char text[24] = "";
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
        flock(lock, LOCK_UN);
        return 0;
    }
    return pread(lock, text, sizeof(text) - 1, 0) > 0 ? atol(text) : 0;
}

long client_process(const struct store *store, const char *name)
{
    int lock = open_lock(store, name);
    long process = lock < 0 ? 0 : holder(lock);
    if (lock >= 0)
        close(lock);
    return process;
}

static int no_answer(const char *name, struct error *error)
{
    error_set(error, -ETIMEDOUT, "switch %s does not answer", name);
    return error_hint(error, "nestbox switch stop ends its process; the next command starts it again");
}

/* Adds the number of the process, if it is known. */
static int name_process(const struct store *store, const char *name, int e, struct error *error)
{
    long process = e == -ETIMEDOUT ? client_process(store, name) : 0;
    char number[40];
    if (process) {
        snprintf(number, sizeof(number), " (process %ld)", process);
        error_append(error, number, sizeof(number));
    }
    return e;
}

/* -- asking -- */

int client_connect(const struct store *store, const char *name, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int e = store_switch_socket(store, name, address.sun_path, sizeof(address.sun_path), error);
    if (e)
        return e;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(error, -errno, "cannot make a socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    e = -errno;
    close(fd);
    if (e == -ENOENT || e == -ECONNREFUSED) {
        error_set(error, -ENOTCONN, "switch %s does not run", name);
        return error_hint(error, "start it with nestbox switch start");
    }
    return e == -EAGAIN ? no_answer(name, error) : error_set(error, e, "%s: %s", address.sun_path, strerror(-e));
}

static int send_all(int fd, const char *name, const char *text, u64 deadline, struct error *error)
{
    for (size_t length = strlen(text); length;) {
        ssize_t n = send(fd, text, length, MSG_NOSIGNAL);
        if (n > 0) {
            text += n;
            length -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            if (!wait_until(fd, POLLOUT, deadline))
                return no_answer(name, error);
        } else if (n < 0 && errno != EINTR) {
            return error_set(error, -errno, "switch %s: %s", name, strerror(errno));
        }
    }
    return 0;
}

/* Reads a line, byte by byte at its end: what follows it (a capture) is not ours. */
static int read_line(int fd, const char *name, char **line, size_t *length, u64 deadline, struct error *error)
{
    size_t used = 0, size = 0;
    char *text = NULL;
    for (;;) {
        if (used == size) {
            size = size ? 2 * size : 4096;
            char *bigger = size <= ANSWER_MAX ? realloc(text, size) : NULL;
            if (!bigger) {
                free(text);
                return error_set(error, -ENOMEM, "switch %s: no memory for its answer", name);
            }
            text = bigger;
        }
        ssize_t n = recv(fd, text + used, size - used, MSG_PEEK);
        char *end = n > 0 ? memchr(text + used, '\n', (size_t)n) : NULL;
        size_t take = end ? (size_t)(end - text) + 1 - used : n > 0 ? (size_t)n : 0;
        if (take && recv(fd, text + used, take, 0) == (ssize_t)take)
            used += take;
        if (end) {
            *line = text;
            *length = used;
            return 0;
        }
        if (n > 0 || (n < 0 && errno == EINTR))
            continue;
        if (n < 0 && errno == EAGAIN && wait_until(fd, POLLIN, deadline))
            continue;
        free(text);
        if (n < 0 && errno == EAGAIN)
            return no_answer(name, error);
        return error_set(error, -EPIPE, "switch %s: its process ended", name);
    }
}

/* Copies an error of an answer. */
static int copy_error(const json_t *e, struct error *error)
{
    const char *text = json_string_value(json_object_get(e, "text"));
    const char *hint = json_string_value(json_object_get(e, "hint"));
    int code = (int)json_integer_value(json_object_get(e, "code"));
    error_set(error, code < 0 ? code : -EPROTO, "%s", text ? text : "the answer of the switch is no answer");
    return error_hint(error, hint ? hint : "");
}

int client_ask_at(int fd, const char *name, const json_t *request, json_t **answer, struct error *error)
{
    u64 deadline = deadline_in(ANSWER_MS);
    char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
    size_t length = 0;
    int e = text ? send_all(fd, name, text, deadline, error) : error_set(error, -ENOMEM, "out of memory");
    free(text);
    if (!e)
        e = send_all(fd, name, "\n", deadline, error);
    if (!e)
        e = read_line(fd, name, &line, &length, deadline, error);
    if (e)
        return e;
    json_t *object = json_loadb(line, length, 0, NULL);
    free(line);
    if (!json_is_true(json_object_get(object, "ok"))) {
        e = copy_error(json_object_get(object, "error"), error);
        json_decref(object);
        return e;
    }
    *answer = object;
    return 0;
}

static int ask_about(const struct store *store, const char *name, const char *what, const char *about, json_t **answer,
                     struct error *error)
{
    int fd = client_connect(store, name, error);
    if (fd < 0)
        return name_process(store, name, fd, error);
    json_t *request = json_pack("{s:s, s:s?}", "do", what, "about", about);
    int e = request ? client_ask_at(fd, name, request, answer, error) : error_set(error, -ENOMEM, "out of memory");
    json_decref(request);
    close(fd);
    return name_process(store, name, e, error);
}

int client_ask(const struct store *store, const char *name, const char *what, json_t **answer, struct error *error)
{
    return ask_about(store, name, what, NULL, answer, error);
}

/* -- starting -- */

/* In the child: becomes the process of the switch, which belongs to no terminal. Errors go to `ready`. */
static void become(const char *name, const char *home, const char *log, int ready)
{
    char number[16];
    struct error error;
    struct stat st;
    int null = open("/dev/null", O_RDWR);
    int out =
        open(log, O_WRONLY | O_CREAT | O_APPEND | (stat(log, &st) == 0 && st.st_size > (1 << 20) ? O_TRUNC : 0), 0600);
    umask(077);
    if (null >= 0 && out >= 0 && dup2(null, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2 && chdir("/") == 0) {
        ready = fcntl(ready, F_DUPFD, 3); /* without close-on-exec */
        if (ready > 3)
            close_range(3, (unsigned)ready - 1, 0);
        close_range((unsigned)ready + 1, ~0u, 0);
        if (getenv("NESTBOX_HOME"))
            setenv("NESTBOX_HOME", home, 1); /* it may be relative to a folder that we leave */
        snprintf(number, sizeof(number), "%d", ready);
        setenv("NESTBOX_READY", number, 1);
        execl(PROGRAM, "nestbox", "switch", "run", name, (char *)NULL);
    }
    error_set(&error, -errno, "switch %s: cannot start its process: %s", name, strerror(errno));
    (void)!write(ready, &error, sizeof(error));
    _exit(1);
}

/* Starts it as a grandchild, so that it is nobody's child that anyone here would have to wait for. */
static int spawn(const char *name, const char *home, const char *log, int *ready, struct error *error)
{
    int pipe_fd[2], status;
    if (pipe2(pipe_fd, O_CLOEXEC))
        return error_set(error, -errno, "cannot make a pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setsid();
        pid_t process = fork();
        if (process == 0)
            become(name, home, log, pipe_fd[1]);
        _exit(process < 0);
    }
    close(pipe_fd[1]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        *ready = pipe_fd[0];
        return 0;
    }
    close(pipe_fd[0]);
    return error_set(error, -EAGAIN, "switch %s: cannot start its process: the host gives no more processes", name);
}

static int hear(const char *name, const char *log, int ready, struct error *error)
{
    struct error told;
    if (!wait_until(ready, POLLIN, deadline_in(START_MS)))
        return no_answer(name, error);
    if (read(ready, &told, sizeof(told)) != sizeof(told)) {
        error_set(error, -EPIPE, "switch %s: its process ended while it started", name);
        char hint[sizeof(error->hint)];
        snprintf(hint, sizeof(hint), "its log is %.110s", log);
        return error_hint(error, hint);
    }
    told.text[sizeof(told.text) - 1] = told.hint[sizeof(told.hint) - 1] = 0;
    if (told.code)
        *error = told;
    return told.code;
}

int client_start(const struct store *store, const char *name, struct error *error)
{
    char log[PATH_MAX];
    int e = store_switch_log(store, name, log, sizeof(log), error);
    if (e)
        return e;
    /* Another process that has the lock may be starting, so that its socket comes, or ending, so that its lock goes. */
    for (u64 deadline = deadline_in(START_MS);; usleep(20000)) {
        int ready = -1;
        json_t *answer = NULL;
        e = client_ask(store, name, "show", &answer, error); /* one that is being killed still takes connections */
        json_decref(answer);
        if (e != -ENOTCONN && e != -EPIPE)
            return e;
        e = spawn(name, store_home(store), log, &ready, error);
        if (e)
            return e;
        e = hear(name, log, ready, error);
        close(ready);
        if (e != -EALREADY || monotonic_ns() > deadline)
            return e;
    }
}

static bool ends_within(int lock, u32 ms)
{
    for (u64 deadline = deadline_in(ms); flock(lock, LOCK_EX | LOCK_NB); usleep(10000))
        if (monotonic_ns() > deadline)
            return false;
    return true;
}

int client_stop(const struct store *store, const char *name, struct error *error)
{
    json_t *answer = NULL;
    int e = client_ask(store, name, "stop", &answer, error);
    json_decref(answer);
    if (e == -ENOTCONN || e == -ENAMETOOLONG)
        return 0;
    if (e && e != -EPIPE && e != -ETIMEDOUT)
        return e;
    int lock = open_lock(store, name);
    if (lock < 0)
        return e == -ETIMEDOUT ? e : 0;
    bool ended = e != -ETIMEDOUT && ends_within(lock, STOP_MS);
    long process = ended ? 0 : holder(lock);
    if (process > 0)
        kill((pid_t)process, SIGKILL);
    ended = ended || ends_within(lock, STOP_MS);
    close(lock);
    return ended ? 0 : name_process(store, name, no_answer(name, error), error);
}

int client_refresh(const struct store *store, const char *name, bool wanted, const char *about, struct error *error)
{
    json_t *answer = NULL, *note;
    size_t index;
    int e = ask_about(store, name, "reload", about, &answer, error);
    json_array_foreach (json_object_get(answer, "notes"), index, note) {
        struct error other;
        copy_error(note, &other);
        store_note(store, &other);
    }
    json_decref(answer);
    if (e == -ENAMETOOLONG && !wanted)
        e = 0; /* it never ran */
    if (e == -ENOTCONN || e == -EPIPE)
        e = wanted ? client_start(store, name, error) : 0;
    return e;
}
