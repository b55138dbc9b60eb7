/*
 * Ports to cards: see card.h. QEMU puts four bytes with the length, in network order, before each frame, and takes the
 * same. A guest that runs QEMU's process could send anything, so a length that cannot be ends the connection: where the
 * next frame begins is not known then. All of it runs on the switch's thread.
 */
#include "vswitch/card.h"

#include "net/frame.h"
#include "vswitch/queue.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_BYTES (64u << 10)
#define BUFFER_BYTES (READ_BYTES + QUEUE_PREFIX + FRAME_MAX) /* a read fits behind a frame that is not whole */
#define PIECES 8
#define AGAIN_NS 200000000ull  /* between two attempts to connect */
#define APPEARED_NS 1000000ull /* after something has appeared in the folder: it may not listen yet */

struct dialer {
    struct vswitch *sw;
    struct watch watch; /* inotify's */
    struct alarm again;
    u64 delay_ns;        /* until the next attempt */
    struct link waiting; /* cards without a connection */
    bool watched;
    char folder[];
};

struct card {
    struct dialer *dialer;
    struct port *port;
    struct watch watch; /* fd -1: no connection */
    struct link wait;
    u8 *buffer;     /* while there is a connection */
    u32 begin, end; /* what has been read and not passed on */
    bool drained;   /* the last read got all that there was, and nothing has been heard since */
    bool ending;    /* the other end is gone: what it sent is read up to its end, as nothing will be heard any more */
    bool blocked;   /* waits to be able to write */
    int refused;    /* why the last attempt to connect failed, if that was told */
    bool malformed; /* was told */
    struct sockaddr_un address;
};

static void tell(struct card *c, const char *text)
{
    struct vswitch_events *events = vswitch_told(c->dialer->sw);
    if (events && events->trouble)
        events->trouble(events, c->port, text);
}

static int watch_for(struct card *c, u32 more)
{
    return vswitch_watch(c->dialer->sw, &c->watch, EPOLLIN | EPOLLRDHUP | EPOLLET | more);
}

static void hang_up(struct card *c)
{
    if (c->watch.fd < 0)
        return;
    vswitch_unwatch(c->dialer->sw, &c->watch);
    close(c->watch.fd);
    c->watch.fd = -1;
    free(c->buffer);
    c->buffer = NULL;
}

static void dial_later(struct dialer *d, u64 delay_ns)
{
    d->delay_ns = delay_ns;
    vswitch_alarm(d->sw, &d->again, vswitch_now(d->sw) + delay_ns);
}

/* The connection is broken. */
static void lost(struct card *c)
{
    struct dialer *d = c->dialer;
    hang_up(c);
    port_link(c->port, false);
    list_add(&d->waiting, &c->wait);
    if (!d->again.at_ns)
        dial_later(d, AGAIN_NS);
}

static void malformed(struct card *c, u32 length)
{
    char text[128];
    c->port->count.dropped[DROP_MALFORMED]++;
    if (!c->malformed) {
        snprintf(text, sizeof(text), "it says that a frame is %u bytes long, so its connection is made again", length);
        tell(c, text);
    }
    c->malformed = true;
    lost(c);
}

/* Reads behind what is left. Returns false if there is nothing, for now or for good. */
static bool read_more(struct card *c)
{
    if (c->drained)
        return false;
    if (c->begin) {
        memmove(c->buffer, c->buffer + c->begin, c->end - c->begin);
        c->end -= c->begin;
        c->begin = 0;
    }
    u32 room = BUFFER_BYTES - c->end;
    ssize_t n = recv(c->watch.fd, c->buffer + c->end, room, MSG_DONTWAIT);
    if (n <= 0) {
        if (!n || (errno != EAGAIN && errno != EINTR))
            lost(c);
        return n < 0 && errno == EINTR;
    }
    c->end += (u32)n;
    c->drained = (u32)n < room && !c->ending;
    return true;
}

static bool card_fill(struct port *port)
{
    struct card *c = port->back;
    while (c->buffer && port_may_send(port)) {
        u32 have = c->end - c->begin, length = 0;
        if (have >= QUEUE_PREFIX) {
            memcpy(&length, c->buffer + c->begin, QUEUE_PREFIX);
            length = be32toh(length);
            if (!length || length > FRAME_MAX) {
                malformed(c, length);
                return false;
            }
        }
        if (!length || have < QUEUE_PREFIX + length) {
            if (!read_more(c))
                return false;
            continue;
        }
        const u8 *frame = c->buffer + c->begin + QUEUE_PREFIX;
        c->begin += QUEUE_PREFIX + length;
        vswitch_input(port->sw, port, frame, length);
    }
    return c->buffer;
}

static void card_flush(struct port *port)
{
    struct card *c = port->back;
    struct iovec piece[PIECES];
    struct msghdr message = {.msg_iov = piece};
    while ((message.msg_iovlen = queue_bytes(port->queue, piece, PIECES))) {
        ssize_t n = sendmsg(c->watch.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            queue_taken(port->queue, (size_t)n);
        } else if (errno == EAGAIN) {
            if (!c->blocked && watch_for(c, EPOLLOUT)) {
                lost(c);
                return;
            }
            c->blocked = true;
            return;
        } else if (errno != EINTR) {
            lost(c);
            return;
        }
    }
    if (c->blocked && watch_for(c, 0)) {
        lost(c);
        return;
    }
    c->blocked = false;
}

static void card_ready(struct watch *watch, u32 events)
{
    struct card *c = container_of(watch, struct card, watch);
    if (events & ~(u32)EPOLLOUT) {
        c->ending |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        c->drained = false;
        port_readable(c->port);
    }
    if (events & EPOLLOUT)
        port_flush(c->port);
}

static void card_close(struct port *port)
{
    struct card *c = port->back;
    list_remove(&c->wait);
    hang_up(c);
    free(c);
}

static const struct port_ops card_ops = {.fill = card_fill, .flush = card_flush, .close = card_close};

/* Tries to connect. Returns 0 or -errno. */
static int dial(struct card *c)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int r = connect(fd, (struct sockaddr *)&c->address, sizeof(c->address)) ? -errno : 0;
    c->watch.fd = fd;
    c->buffer = r ? NULL : malloc(BUFFER_BYTES);
    if (!r && !c->buffer)
        r = -ENOMEM;
    if (!r)
        r = watch_for(c, 0);
    if (r) {
        hang_up(c);
        return r;
    }
    c->begin = c->end = 0;
    c->drained = c->ending = c->blocked = false;
    c->refused = 0;
    list_remove(&c->wait);
    port_link(c->port, true);
    port_readable(c->port);
    return 0;
}

/* A socket that is missing or at which nobody listens is one of a VM that is off; anything else is worth telling. */
static void try_to_dial(struct card *c)
{
    char text[256];
    int r = dial(c);
    if (!r || r == -ENOENT || r == -ECONNREFUSED || r == -EAGAIN || r == c->refused)
        return;
    c->refused = r;
    snprintf(text, sizeof(text), "there is no connection to %s: %s", c->address.sun_path, strerror(-r));
    tell(c, text);
}

static void watch_folder(struct dialer *d)
{
    if (!d->watched)
        d->watched = inotify_add_watch(d->watch.fd, d->folder, IN_CREATE | IN_MOVED_TO) >= 0;
}

static void again_ring(struct alarm *alarm)
{
    struct dialer *d = container_of(alarm, struct dialer, again);
    struct link now, *l;
    watch_folder(d);
    list_init(&now);
    list_move(&d->waiting, &now);
    while ((l = list_pop(&now))) {
        list_add(&d->waiting, l);
        try_to_dial(container_of(l, struct card, wait));
    }
    if (!list_empty(&d->waiting))
        dial_later(d, d->delay_ns < AGAIN_NS / 2 ? d->delay_ns * 2 : AGAIN_NS);
}

static void folder_ready(struct watch *watch, u32 events)
{
    struct dialer *d = container_of(watch, struct dialer, watch);
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n;
    while ((n = read(watch->fd, buffer, sizeof(buffer))) > 0) {
        const struct inotify_event *event;
        for (char *at = buffer; at < buffer + n; at += sizeof(*event) + event->len) {
            event = (const struct inotify_event *)at;
            if (event->mask & IN_IGNORED)
                d->watched = false; /* the folder is gone */
        }
    }
    if (!list_empty(&d->waiting))
        dial_later(d, APPEARED_NS);
}

struct dialer *dialer_new(struct vswitch *sw, const char *folder, struct error *error)
{
    size_t size = strlen(folder) + 1;
    struct dialer *d = calloc(1, sizeof(*d) + size);
    if (!d) {
        error_set(error, -ENOMEM, "there is no memory for the cards of the switch %s", vswitch_name(sw));
        return NULL;
    }
    memcpy(d->folder, folder, size);
    d->sw = sw;
    d->watch = (struct watch){inotify_init1(IN_CLOEXEC | IN_NONBLOCK), folder_ready};
    d->again.ring = again_ring;
    list_init(&d->waiting);
    int r = d->watch.fd < 0 ? -errno : vswitch_watch(sw, &d->watch, EPOLLIN);
    if (r) {
        error_set(error, r, "the switch %s cannot watch %.160s", vswitch_name(sw), folder);
        dialer_free(d);
        return NULL;
    }
    watch_folder(d);
    return d;
}

void dialer_free(struct dialer *d)
{
    if (!d)
        return;
    if (d->watch.fd >= 0)
        close(d->watch.fd);
    free(d);
}

int card_add(struct dialer *d, struct port *port, const char *socket, struct error *error)
{
    struct card *c = calloc(1, sizeof(*c));
    if (!c)
        return error_set(error, -ENOMEM, "there is no memory for one more card of the switch %s", vswitch_name(d->sw));
    char *path = c->address.sun_path;
    size_t room = sizeof(c->address.sun_path);
    if ((size_t)snprintf(path, room, "%s/%s", d->folder, socket) >= room) {
        free(c);
        return error_set(error, -ENAMETOOLONG, "the path of the socket %s in %.160s has more than %zu characters",
                         socket, d->folder, room - 1);
    }
    c->address.sun_family = AF_UNIX;
    c->dialer = d;
    c->port = port;
    c->watch = (struct watch){-1, card_ready};
    port->kind = PORT_CARD;
    port->ops = &card_ops;
    port->back = c;
    port->linked = false;
    int r = vswitch_port_add(d->sw, port, error);
    if (r) {
        free(c);
        port->back = NULL;
        return r;
    }
    list_add(&d->waiting, &c->wait);
    try_to_dial(c);
    if (!list_empty(&d->waiting) && !d->again.at_ns)
        dial_later(d, AGAIN_NS);
    return 0;
}
