/*
 * One ring of what the port printed. A viewer is a place in it: one that falls behind by more than the ring loses what
 * was overwritten, and never makes the guest wait. What viewers type goes to the port as it takes it.
 */
#include "worker/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING (64u << 10)
#define VIEWERS 16u

struct viewer {
    struct watch watch; /* fd -1: free */
    struct console *console;
    u64 at; /* of all that was ever printed: what it gets next */
    char typed[512];
    size_t typed_used;
    bool silent; /* it types no more */
    bool ends;   /* when it has seen what there is */
};

struct console {
    struct loop *loop;
    struct watch watch; /* QEMU's end; fd -1: it is gone */
    u64 printed;
    bool port_full; /* it waits until the port takes more */
    char ring[RING];
    struct viewer viewer[VIEWERS];
};

static void leave(struct viewer *v)
{
    loop_unwatch(v->console->loop, &v->watch);
    close(v->watch.fd);
    v->watch.fd = -1;
}

static u64 oldest(const struct console *c)
{
    return c->printed > RING ? c->printed - RING : 0;
}

static void wait_for(struct viewer *v)
{
    u32 events = (v->at < v->console->printed ? EPOLLOUT : 0) | (v->typed_used || v->silent ? 0 : EPOLLIN);
    if ((v->ends && v->at == v->console->printed) || loop_watch(v->console->loop, &v->watch, events))
        leave(v);
}

/* Writes what the viewer takes. */
static void show(struct viewer *v)
{
    struct console *c = v->console;
    if (v->at < oldest(c))
        v->at = oldest(c);
    while (v->at < c->printed) {
        size_t from = v->at % RING, n = RING - from;
        if (n > c->printed - v->at)
            n = c->printed - v->at;
        ssize_t put = send(v->watch.fd, c->ring + from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno == EAGAIN)
            break;
        if (put < 0 && errno != EINTR) {
            leave(v);
            return;
        }
        v->at += put > 0 ? (u64)put : 0;
    }
    wait_for(v);
}

/* Passes what was typed to the port. */
static void type(struct viewer *v)
{
    struct console *c = v->console;
    while (v->typed_used) {
        ssize_t n = c->watch.fd < 0 ? (ssize_t)v->typed_used
                                    : send(c->watch.fd, v->typed, v->typed_used, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        v->typed_used -= (size_t)n;
        memmove(v->typed, v->typed + n, v->typed_used);
    }
    if (v->typed_used && !c->port_full && !loop_watch(c->loop, &c->watch, EPOLLIN | EPOLLOUT))
        c->port_full = true;
    wait_for(v);
}

static void viewer_ready(struct watch *watch, u32 events)
{
    struct viewer *v = container_of(watch, struct viewer, watch);
    if (events & EPOLLIN && !v->typed_used) {
        ssize_t n = recv(v->watch.fd, v->typed, sizeof(v->typed), MSG_DONTWAIT);
        if ((n == 0 && events & EPOLLHUP) || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            leave(v);
            return;
        }
        v->silent = n == 0;
        v->typed_used = n > 0 ? (size_t)n : 0;
        type(v);
    } else if (events & (EPOLLHUP | EPOLLERR)) {
        leave(v);
        return;
    }
    if (v->watch.fd >= 0 && events & EPOLLOUT)
        show(v);
}

static void printed(struct console *c, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        c->ring[(c->printed + i) % RING] = text[i];
    c->printed += length;
    for (u32 i = 0; i < VIEWERS; i++)
        if (c->viewer[i].watch.fd >= 0)
            show(&c->viewer[i]);
}

static void port_ready(struct watch *watch, u32 events)
{
    struct console *c = container_of(watch, struct console, watch);
    char text[16384];
    if (events & EPOLLOUT) {
        c->port_full = false;
        (void)!loop_watch(c->loop, &c->watch, EPOLLIN);
        for (u32 i = 0; i < VIEWERS; i++)
            if (c->viewer[i].watch.fd >= 0 && c->viewer[i].typed_used)
                type(&c->viewer[i]);
    }
    ssize_t n = recv(c->watch.fd, text, sizeof(text), MSG_DONTWAIT);
    if (n > 0) {
        printed(c, text, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        loop_unwatch(c->loop, &c->watch);
        close(c->watch.fd);
        c->watch.fd = -1;
    }
}

struct console *console_new(struct loop *loop, int fd, struct error *error)
{
    struct console *c = calloc(1, sizeof(*c));
    int e = c ? 0 : -ENOMEM;
    if (c) {
        c->loop = loop;
        c->watch = (struct watch){fd, port_ready};
        for (u32 i = 0; i < VIEWERS; i++)
            c->viewer[i].watch.fd = -1;
        e = loop_watch(loop, &c->watch, EPOLLIN);
    }
    if (!e)
        return c;
    error_set(error, e, "cannot listen to the serial port: %s", strerror(-e));
    free(c);
    close(fd);
    return NULL;
}

void console_free(struct console *c)
{
    if (!c)
        return;
    for (u32 i = 0; i < VIEWERS; i++)
        if (c->viewer[i].watch.fd >= 0)
            leave(&c->viewer[i]);
    if (c->watch.fd >= 0) {
        loop_unwatch(c->loop, &c->watch);
        close(c->watch.fd);
    }
    free(c);
}

void console_view(struct console *c, int fd, size_t last, bool ends)
{
    for (u32 i = 0; i < VIEWERS; i++) {
        struct viewer *v = &c->viewer[i];
        if (v->watch.fd >= 0)
            continue;
        *v = (struct viewer){.watch = {fd, viewer_ready}, .console = c, .ends = ends};
        v->at = c->printed > last ? c->printed - last : 0;
        if (v->at < oldest(c))
            v->at = oldest(c);
        show(v);
        return;
    }
    close(fd);
}

void console_last_line(const struct console *c, char *line, size_t size)
{
    u64 end = c->printed;
    size_t used = 0;
    while (end > oldest(c) && (u8)c->ring[(end - 1) % RING] <= ' ')
        end--;
    u64 from = end;
    while (from > oldest(c) && end - from + 1 < size && c->ring[(from - 1) % RING] != '\n')
        from--;
    for (; from < end && used + 1 < size; from++) {
        u8 byte = (u8)c->ring[from % RING];
        if (byte >= ' ' && byte < 0x7f)
            line[used++] = (char)byte;
        else if (byte >= 0xc0) /* a character's first byte; the others may be still to come */
            line[used++] = '?';
    }
    if (size)
        line[used] = 0;
}
