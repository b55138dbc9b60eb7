/*
 * Console threads. [lock] guards the queue and the client; the input thread alone owns the pending input. Lock order:
 * machine lock (held by callers of console_put), then [lock]. Both threads take the machine lock inside their events,
 * never while they hold [lock].
 */
#include "vmproc/console.h"

#include "vmproc/escape.h"
#include "vmproc/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define QUEUE 65536u
#define CHUNK 512u /* small, so that a slow reader soon makes room */
#define DRAIN_MS 1000

enum kind { STDIO, FILE_ONLY, SOCKET };

struct console {
    enum kind kind;
    int in, out;  /* -1: none; a socket's client is both, under [lock] */
    int listener; /* SOCKET */
    char *path;   /* SOCKET: to remove */
    bool escapes; /* a terminal: Ctrl-a is ours */
    int wake;     /* eventfd: room for input, or closing */
    struct console_events events;
    pthread_t reader, writer;
    bool reading, writing; /* threads exist */
    pthread_mutex_t lock;
    pthread_cond_t filled, written;
    u8 queue[QUEUE];
    u32 head, count;
    bool refused; /* [lock] a byte found no room since the last event */
    bool busy;    /* [lock] the writer holds bytes that it took from the queue */
    u64 chunks;   /* [lock] times that busy ended */
    bool closing; /* [lock] threads shall end */
    int lost;     /* [lock] -errno of the write that failed */
    struct escape escape;
};

static const char help_text[] = "\r\nnestbox: Ctrl-a x  end the VM\r\n"
                                "         Ctrl-a h  this help\r\n"
                                "         Ctrl-a Ctrl-a  send Ctrl-a to the guest\r\n";

/* -- output -- */

bool console_put(struct console *c, u8 byte)
{
    pthread_mutex_lock(&c->lock);
    bool taken = c->count < QUEUE;
    if (taken) {
        c->queue[(c->head + c->count++) % QUEUE] = byte;
        if (c->count == 1)
            pthread_cond_signal(&c->filled);
    }
    c->refused |= !taken;
    pthread_mutex_unlock(&c->lock);
    return taken;
}

static int write_all(int fd, const u8 *bytes, size_t count)
{
    while (count) {
        ssize_t n = write(fd, bytes, count);
        if (n < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){fd, POLLOUT, 0}, 1, -1);
            continue;
        }
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            bytes += n;
            count -= (size_t)n;
        }
    }
    return 0;
}

/* [lock] Up to a chunk from the queue. */
static u32 take(struct console *c, u8 *chunk)
{
    u32 n = c->count < CHUNK ? c->count : CHUNK;
    for (u32 i = 0; i < n; i++)
        chunk[i] = c->queue[(c->head + i) % QUEUE];
    c->head = (c->head + n) % QUEUE;
    c->count -= n;
    return n;
}

/* Can be cancelled while it writes, and only then. */
static void *write_thread(void *opaque)
{
    struct console *c = opaque;
    u8 chunk[CHUNK];
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_mutex_lock(&c->lock);
    while (!c->closing) {
        if (!c->count) {
            pthread_cond_wait(&c->filled, &c->lock);
            continue;
        }
        u32 n = take(c, chunk);
        bool refused = c->refused;
        c->refused = false;
        c->busy = true;
        int fd = c->lost ? -1 : c->out, e = 0;
        pthread_mutex_unlock(&c->lock);
        if (fd >= 0) {
            pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
            e = write_all(fd, chunk, n);
            pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        }
        if (c->kind == SOCKET)
            e = 0;
        if (e)
            c->events.hangup(c->events.opaque);
        if (refused)
            c->events.room(c->events.opaque);
        pthread_mutex_lock(&c->lock);
        if (e)
            c->lost = e;
        c->busy = false;
        c->chunks++;
        pthread_cond_broadcast(&c->written);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* -- input -- */

static void text_out(struct console *c, const char *text)
{
    for (; *text; text++)
        (void)console_put(c, (u8)*text); /* who does not read output does not read this */
}

/* Takes our own keys out of `bytes`; gives how many are left for the guest. */
static unsigned filter(struct console *c, u8 *bytes, unsigned count)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < count; i++) {
        switch (escape_feed(&c->escape, bytes[i])) {
        case ESCAPE_PASS: bytes[kept++] = bytes[i]; break;
        case ESCAPE_QUIT: c->events.quit(c->events.opaque); break;
        case ESCAPE_HELP: text_out(c, help_text); break;
        case ESCAPE_NONE: break;
        }
    }
    return kept;
}

static void client_set(struct console *c, int fd)
{
    pthread_mutex_lock(&c->lock);
    int old = c->in;
    c->in = c->out = fd;
    /* The writer may be using the old one: it must not be reused under its feet. */
    for (u64 chunk = c->chunks; old >= 0 && c->busy && c->chunks == chunk && !c->closing;)
        pthread_cond_wait(&c->written, &c->lock);
    pthread_mutex_unlock(&c->lock);
    if (old >= 0)
        close(old);
}

static void *read_thread(void *opaque)
{
    struct console *c = opaque;
    u8 pending[2048], fresh[256];
    unsigned count = 0;
    for (;;) {
        /* A terminal is read on while the guest takes nothing, for our own keys; what is typed beyond is lost. */
        struct pollfd fds[3] = {
            {c->wake, POLLIN, 0},
            {count && !c->escapes ? -1 : c->in, POLLIN, 0},
            {c->in < 0 ? c->listener : -1, POLLIN, 0},
        };
        if (poll(fds, ARRAY_LEN(fds), -1) < 0)
            continue;
        if (fds[0].revents) {
            u64 value;
            if (read(c->wake, &value, sizeof(value)) < 0)
                continue;
        }
        pthread_mutex_lock(&c->lock);
        bool closing = c->closing;
        pthread_mutex_unlock(&c->lock);
        if (closing)
            return NULL;
        if (fds[2].revents) {
            int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0)
                client_set(c, fd);
        }
        if (fds[1].revents) {
            ssize_t n = read(c->in, fresh, sizeof(fresh));
            if (n > 0) {
                unsigned kept = c->escapes ? filter(c, fresh, (unsigned)n) : (unsigned)n;
                if (kept > sizeof(pending) - count)
                    kept = sizeof(pending) - count;
                memcpy(pending + count, fresh, kept);
                count += kept;
            } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
                if (c->kind == SOCKET)
                    client_set(c, -1);
                else
                    c->in = -1;
            }
        }
        if (count) {
            unsigned taken = c->events.input(c->events.opaque, pending, count);
            count -= taken;
            memmove(pending, pending + taken, count);
        }
    }
}

void console_room(struct console *c)
{
    u64 one = 1;
    if (write(c->wake, &one, sizeof(one)) < 0)
        return; /* the counter is full: the thread is awake already */
}

/* -- life -- */

static int fail(struct error *error, const char *where, int code)
{
    return error_set(error, code, SETTING("serial") " %s: %s", where, strerror(-code));
}

static int open_file(struct console *c, const char *path, struct error *error)
{
    if (!*path)
        return error_set(error, -EINVAL, SETTING("serial") " without stdio, unix:PATH or the name of a file");
    c->out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    return c->out < 0 ? fail(error, path, -errno) : 0;
}

/* A socket that nobody answers is left over from a VM that was killed, and may go. */
static bool socket_is_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool stale =
        fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

static int open_socket(struct console *c, const char *path, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof(address.sun_path))
        return error_set(error, -EINVAL, SETTING("serial") " unix:%s: a socket's path has 1 to %zu characters", path,
                         sizeof(address.sun_path) - 1);
    strcpy(address.sun_path, path);
    if (socket_is_stale(&address))
        unlink(path);
    c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->listener < 0 || bind(c->listener, (struct sockaddr *)&address, sizeof(address)) < 0)
        return fail(error, path, -errno);
    c->path = strdup(path);
    if (!c->path || listen(c->listener, 1) < 0)
        return fail(error, path, c->path ? -errno : -ENOMEM);
    return 0;
}

int console_open(struct console **out, const char *where, struct error *error)
{
    *out = NULL;
    struct console *c = calloc(1, sizeof(*c));
    if (!c)
        return fail(error, where, -ENOMEM);
    c->in = c->out = c->listener = -1;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->filled, NULL);
    pthread_cond_init(&c->written, NULL);
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int e = c->wake < 0 ? fail(error, where, -errno) : 0;
    if (!e && strcmp(where, "stdio") == 0) {
        c->kind = STDIO;
        c->in = STDIN_FILENO;
        c->out = STDOUT_FILENO;
    } else if (!e && strncmp(where, "unix:", 5) == 0) {
        c->kind = SOCKET;
        e = open_socket(c, where + 5, error);
    } else if (!e) {
        c->kind = FILE_ONLY;
        e = open_file(c, where, error);
    }
    if (e) {
        (void)console_close(c);
        return e;
    }
    *out = c;
    return 0;
}

int console_start(struct console *c, const struct console_events *events)
{
    c->events = *events;
    if (c->kind == STDIO)
        c->escapes = terminal_raw();
    int e = pthread_create(&c->writer, NULL, write_thread, c);
    if (e)
        return -e;
    c->writing = true;
    e = pthread_create(&c->reader, NULL, read_thread, c);
    c->reading = !e;
    return -e;
}

bool console_drained(struct console *c, u32 ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms % 1000 * 1000000l;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000l;
    until.tv_nsec %= 1000000000l;
    pthread_mutex_lock(&c->lock);
    while (c->count || c->busy) {
        if (pthread_cond_clockwait(&c->written, &c->lock, CLOCK_MONOTONIC, &until))
            break;
    }
    bool drained = !c->count && !c->busy;
    pthread_mutex_unlock(&c->lock);
    return drained;
}

void console_leave(struct console *c)
{
    if (c->writing)
        (void)console_drained(c, DRAIN_MS);
    terminal_restore();
    if (c->path)
        unlink(c->path);
}

int console_close(struct console *c)
{
    console_leave(c);
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_cond_broadcast(&c->written);
    pthread_cond_signal(&c->filled);
    pthread_mutex_unlock(&c->lock);
    console_room(c);
    if (c->reading)
        pthread_join(c->reader, NULL);
    if (c->writing) {
        pthread_cancel(c->writer);
        pthread_join(c->writer, NULL);
    }
    /* What a pipe and a terminal say when nobody reads any more is no failure of ours. */
    bool unread = c->lost == -EPIPE || (c->lost == -EIO && isatty(c->out));
    int lost = unread ? 0 : c->lost;
    if (c->kind != STDIO && c->out >= 0)
        close(c->out);
    if (c->listener >= 0)
        close(c->listener);
    if (c->wake >= 0)
        close(c->wake);
    free(c->path);
    free(c);
    return lost;
}
