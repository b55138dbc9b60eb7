/*
 * Console threads. [lock] guards the queue and the client; the input thread alone owns the held input. Lock order:
 * machine lock (held by callers of console_put), then [lock]. Both threads take the machine lock inside their events,
 * never while they hold [lock].
 *
 * Input that the guest does not take waits where it comes from. A terminal is read all the same, because Ctrl-a must
 * not wait, and its input is held here; beyond HELD it is read slowly, so that whoever pastes waits and our keys still
 * come through. A socket's client may end its input and go on reading: it is gone when it has closed both directions.
 *
 * Output before the first client of a socket or pseudo-terminal stays in the queue, and the oldest makes way. Later,
 * output to nobody is dropped.
 */
#include "vmproc/console.h"

#include "base/write.h"
#include "vmproc/endpoint.h"
#include "vmproc/terminal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define QUEUE 65536u
#define CHUNK 512u /* small, so that a slow reader soon makes room */
#define DRAIN_MS 1000
#define FRESH 4096u
#define HELD (1u << 20)
#define SLOW_MS 100 /* between reads of FRESH bytes beyond HELD */
#define LOOK_MS 250 /* between looks whether the terminal is ours, and whether a pseudo-terminal has a client */

struct held {
    u8 *bytes;
    size_t first, count, size;
};

struct console {
    struct endpoint end; /* in and out: under [lock] where there are clients */
    int wake;            /* eventfd: room for input, or closing */
    struct console_events events;
    pthread_t reader, writer;
    bool reading, writing; /* threads exist */
    pthread_mutex_t lock;
    pthread_cond_t filled, written;
    u8 queue[QUEUE];
    u32 head, count;
    bool refused;   /* [lock] a byte found no room since the last event */
    bool busy;      /* [lock] the writer holds bytes that it took from the queue */
    u64 chunks;     /* [lock] times that busy ended */
    bool closing;   /* [lock] threads shall end */
    bool present;   /* [lock] there is a client */
    bool served;    /* [lock] there has been one, or none is needed */
    bool continued; /* [lock] console_continued was called */
    int lost;       /* [lock] -errno of the write that failed */
    struct escape escape;
    struct held held; /* [input thread] */
    bool input_ended; /* [input thread] the socket's client sends no more, but still reads */
};

static const char help_text[] = "\r\nnestbox: Ctrl-a x  end the VM\r\n"
                                "         Ctrl-a p  press the power button\r\n"
                                "         Ctrl-a r  reset\r\n"
                                "         Ctrl-a b  send a BREAK (Linux: SysRq, with the key that follows)\r\n"
                                "         Ctrl-a n  send an NMI\r\n"
                                "         Ctrl-a z  stop this job of the shell\r\n"
                                "         Ctrl-a h  this help\r\n"
                                "         Ctrl-a Ctrl-a  send Ctrl-a to the guest\r\n";

/* -- output -- */

/* [lock] */
static bool has_room(struct console *c)
{
    if (c->count == QUEUE && !c->served) {
        c->head = (c->head + 1) % QUEUE;
        c->count--;
    }
    bool room = c->count < QUEUE;
    c->refused |= !room;
    return room;
}

bool console_ready(struct console *c)
{
    pthread_mutex_lock(&c->lock);
    bool room = has_room(c);
    pthread_mutex_unlock(&c->lock);
    return room;
}

bool console_put(struct console *c, u8 byte)
{
    pthread_mutex_lock(&c->lock);
    bool taken = has_room(c);
    if (taken) {
        c->queue[(c->head + c->count++) % QUEUE] = byte;
        if (c->count == 1)
            pthread_cond_signal(&c->filled);
    }
    pthread_mutex_unlock(&c->lock);
    return taken;
}

/* [lock] Takes up to a chunk from the queue. */
static u32 take(struct console *c, u8 *chunk)
{
    u32 n = c->count < CHUNK ? c->count : CHUNK;
    for (u32 i = 0; i < n; i++)
        chunk[i] = c->queue[(c->head + i) % QUEUE];
    c->head = (c->head + n) % QUEUE;
    c->count -= n;
    return n;
}

/* The output thread. It can be cancelled while it writes, and only then. */
static void *write_thread(void *opaque)
{
    struct console *c = opaque;
    u8 chunk[CHUNK];
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_mutex_lock(&c->lock);
    while (!c->closing) {
        if (!c->count || !c->served) {
            pthread_cond_wait(&c->filled, &c->lock);
            continue;
        }
        u32 n = take(c, chunk);
        bool refused = c->refused;
        c->refused = false;
        c->busy = true;
        int fd = c->lost || !c->present ? -1 : c->end.out, e = 0;
        pthread_mutex_unlock(&c->lock);
        if (fd >= 0) {
            pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
            e = write_all(fd, chunk, n);
            pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        }
        if (endpoint_has_clients(&c->end))
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

/* -- clients -- */

/* A client has come or gone. `fd` is the socket's; a pseudo-terminal keeps its descriptor. */
static void client_set(struct console *c, bool present, int fd)
{
    pthread_mutex_lock(&c->lock);
    bool first = present && !c->served;
    int old = c->end.kind == SERIAL_SOCKET ? c->end.in : -1;
    if (c->end.kind == SERIAL_SOCKET)
        c->end.in = c->end.out = fd;
    c->present = present;
    c->served |= present;
    pthread_cond_signal(&c->filled);
    /* The writer may be using the old descriptor, whose number must not be used again meanwhile. */
    for (u64 chunk = c->chunks; old >= 0 && c->busy && c->chunks == chunk && !c->closing;)
        pthread_cond_wait(&c->written, &c->lock);
    pthread_mutex_unlock(&c->lock);
    if (old >= 0)
        close(old);
    if (first && c->events.client)
        c->events.client(c->events.opaque);
}

static void pty_look(struct console *c)
{
    struct pollfd p = {c->end.in, 0, 0};
    bool there = poll(&p, 1, 0) == 0;
    if (there != c->present)
        client_set(c, there, -1);
}

bool console_served(struct console *c)
{
    pthread_mutex_lock(&c->lock);
    bool served = c->served;
    pthread_mutex_unlock(&c->lock);
    return served;
}

const char *console_pty(const struct console *c)
{
    return c->end.kind == SERIAL_PTY ? c->end.path : NULL;
}

bool console_has_keys(const struct console *c)
{
    return c->end.kind == SERIAL_STDIO && isatty(c->end.in);
}

/* -- input -- */

static void text_out(struct console *c, const char *text)
{
    for (; *text; text++)
        (void)console_put(c, (u8)*text); /* whoever does not read output does not read this either */
}

/* Takes our own keys out of `bytes`; returns how many are left for the guest. */
static size_t filter(struct console *c, u8 *bytes, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        enum escape_action action = escape_feed(&c->escape, bytes[i]);
        switch (action) {
        case ESCAPE_PASS: bytes[kept++] = bytes[i]; break;
        case ESCAPE_HELP: text_out(c, help_text); break;
        case ESCAPE_NONE: break;
        default: c->events.key(c->events.opaque, action); break;
        }
    }
    return kept;
}

static void hold(struct held *h, const u8 *bytes, size_t count)
{
    if (h->first) {
        memmove(h->bytes, h->bytes + h->first, h->count);
        h->first = 0;
    }
    if (h->size - h->count < count) {
        size_t size = h->size + h->size / 2 + count;
        u8 *more = realloc(h->bytes, size);
        if (!more)
            return; /* without memory the input is lost */
        h->bytes = more;
        h->size = size;
    }
    memcpy(h->bytes + h->count, bytes, count);
    h->count += count;
}

static void offer(struct console *c)
{
    struct held *h = &c->held;
    if (!h->count)
        return;
    unsigned most = h->count < UINT32_MAX ? (unsigned)h->count : UINT32_MAX;
    unsigned taken = c->events.input(c->events.opaque, h->bytes + h->first, most);
    h->first += taken;
    h->count -= taken;
    if (!h->count)
        h->first = 0;
}

/* How input comes now: whether to read it, and when to look again. */
struct source {
    bool escapes; /* it is a terminal and ours, so Ctrl-a is ours too */
    int fd;       /* -1: nothing is to be read */
    short events; /* of poll; 0: only whether the client is gone */
    int look_ms;  /* -1: there is no need to look */
    bool slow;    /* read after look_ms */
};

static struct source source(struct console *c, bool terminal, bool again)
{
    struct source s = {.fd = c->end.in, .events = POLLIN, .look_ms = -1};
    if (terminal && s.fd >= 0) {
        s.escapes = terminal_take(again);
        s.slow = s.escapes && c->held.count >= HELD;
        if (!s.escapes || s.slow) {
            s.fd = -1;
            s.look_ms = s.slow ? SLOW_MS : LOOK_MS;
        }
        return s;
    }
    if (c->end.kind == SERIAL_PTY) {
        s.look_ms = LOOK_MS;
        pty_look(c);
        if (!c->present)
            s.fd = -1;
    }
    if (c->input_ended)
        s.events = 0;
    else if (c->held.count)
        s.fd = -1;
    return s;
}

/* The socket's client has ended its input. */
static void client_silent(struct console *c)
{
    struct pollfd p = {c->end.in, 0, 0};
    c->input_ended = poll(&p, 1, 0) == 0;
    if (!c->input_ended)
        client_set(c, false, -1);
}

static void input_end(struct console *c, bool terminal)
{
    bool elsewhere = terminal && !terminal_take(false) && isatty(c->end.in); /* the terminal may be ours again */
    if (c->end.kind == SERIAL_SOCKET)
        client_silent(c);
    else if (c->end.kind == SERIAL_STDIO && !elsewhere)
        c->end.in = -1;
}

static void input_read(struct console *c, bool terminal, bool escapes)
{
    u8 fresh[FRESH];
    ssize_t n = read(c->end.in, fresh, sizeof(fresh));
    if (n > 0)
        hold(&c->held, fresh, escapes ? filter(c, fresh, (size_t)n) : (size_t)n);
    else if (n == 0 || (errno != EINTR && errno != EAGAIN))
        input_end(c, terminal);
}

static void *read_thread(void *opaque)
{
    struct console *c = opaque;
    bool terminal = console_has_keys(c), again = false;
    for (;;) {
        struct source from = source(c, terminal, again);
        struct pollfd fds[3] = {
            {c->wake, POLLIN, 0},
            {from.fd, from.events, 0},
            {c->end.in < 0 ? c->end.listener : -1, POLLIN, 0},
        };
        int ready = poll(fds, ARRAY_LEN(fds), from.look_ms);
        if (ready < 0)
            continue;
        u64 value;
        if (fds[0].revents && read(c->wake, &value, sizeof(value)) < 0)
            continue;
        pthread_mutex_lock(&c->lock);
        bool closing = c->closing;
        again = c->continued;
        c->continued = false;
        pthread_mutex_unlock(&c->lock);
        if (closing)
            return NULL;
        if (fds[2].revents) {
            int fd = accept4(c->end.listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0)
                client_set(c, true, fd);
        }
        struct pollfd slow = {c->end.in, POLLIN, 0};
        if (fds[1].revents || (from.slow && !ready && poll(&slow, 1, 0) > 0))
            input_read(c, terminal, from.escapes);
        offer(c);
    }
}

static void wake(struct console *c)
{
    u64 one = 1;
    if (write(c->wake, &one, sizeof(one)) < 0)
        return; /* the counter is full: the thread is awake already */
}

void console_room(struct console *c)
{
    wake(c);
}

void console_continued(struct console *c)
{
    pthread_mutex_lock(&c->lock);
    c->continued = true;
    pthread_mutex_unlock(&c->lock);
    wake(c);
}

/* -- life -- */

int console_open(struct console **out, const char *setting, const struct serial *where, struct outputs *outputs,
                 struct error *error)
{
    *out = NULL;
    struct console *c = calloc(1, sizeof(*c));
    if (!c)
        return error_memory(error);
    int e = endpoint_open(&c->end, setting, where, outputs, error);
    if (e) {
        free(c);
        return e;
    }
    c->served = c->present = !endpoint_has_clients(&c->end);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->filled, NULL);
    pthread_cond_init(&c->written, NULL);
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake < 0) {
        e = error_set(error, -errno, "cannot create an event descriptor: %s", strerror(errno));
        (void)console_close(c);
        return e;
    }
    *out = c;
    return 0;
}

int console_start(struct console *c, const struct console_events *events)
{
    c->events = *events;
    if (c->end.kind == SERIAL_STDIO)
        terminal_take(false);
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
    while (c->served && (c->count || c->busy)) {
        if (pthread_cond_clockwait(&c->written, &c->lock, CLOCK_MONOTONIC, &until))
            break;
    }
    bool drained = !c->served || (!c->count && !c->busy);
    pthread_mutex_unlock(&c->lock);
    return drained;
}

void console_leave(struct console *c)
{
    if (c->writing)
        (void)console_drained(c, DRAIN_MS);
    if (c->end.kind == SERIAL_STDIO)
        terminal_end();
    endpoint_leave(&c->end);
}

int console_close(struct console *c)
{
    console_leave(c);
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_cond_broadcast(&c->written);
    pthread_cond_signal(&c->filled);
    pthread_mutex_unlock(&c->lock);
    wake(c);
    if (c->reading)
        pthread_join(c->reader, NULL);
    if (c->writing) {
        pthread_cancel(c->writer);
        pthread_join(c->writer, NULL);
    }
    /* These errors say that nobody reads the pipe or the terminal any more, which is no failure of ours. */
    bool unread = c->lost == -EPIPE || (c->lost == -EIO && isatty(c->end.out));
    int lost = unread ? 0 : c->lost;
    endpoint_close(&c->end);
    if (c->wake >= 0)
        close(c->wake);
    free(c->held.bytes);
    free(c);
    return lost;
}
