/*
 * One capture: a hook of the switch appends blocks of pcapng (draft-ietf-opsawg-pcapng) to a ring, which is written
 * when the reader takes it. Everything runs on the switch's thread, and nothing waits for the reader: when the ring is
 * full, frames are lost to the capture and counted, and an Interface Statistics Block reports how many as soon as the
 * reader has taken the rest. A port becomes an interface of the file when its first frame comes.
 */
#include "vswitch/capture.h"

#include "net/pcapng.h"
#include "vswitch/remedy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OPTIONS_MAX 1024 /* bytes of all options of a block */

/* An interface of the file: a port, at the place of its index in the switch. */
struct interface {
    char id[sizeof(((struct port *)0)->id)];
    bool described; /* its Interface Description Block was written */
    u32 number;     /* in the file, if it is described */
    u64 seen, lost;
    u64 told; /* of those that are lost: what the last Interface Statistics Block said */
};

struct capture {
    struct watch watch; /* of the reader's socket */
    struct tap_hook hook;
    struct vswitch *sw;
    struct captures *all;
    struct capture *next;
    char id[sizeof(((struct port *)0)->id)]; /* the only port; empty: all */
    bool drops;
    bool watched, wanted; /* the socket is watched; also for room in it */
    struct interface *interface;
    u32 interfaces, described;
    bool lost;    /* some interface has lost frames that were not told of */
    u64 from, to; /* the bytes in the ring, by their places in the whole stream */
    u8 *ring;
};

/* Options of one block, padded as they stand there. */
struct options {
    u8 byte[OPTIONS_MAX];
    u32 length;
};

static void option_add(struct options *o, u16 code, const void *value, size_t length)
{
    u32 padded = ((u32)length + 3) & ~3u;
    if (length > UINT16_MAX || o->length + 4 + padded > sizeof(o->byte) - 4)
        return;
    u16 head[2] = {code, (u16)length};
    memcpy(o->byte + o->length, head, sizeof(head));
    memset(o->byte + o->length + 4, 0, padded);
    memcpy(o->byte + o->length + 4, value, length);
    o->length += 4 + padded;
}

static void option_end(struct options *o)
{
    memset(o->byte + o->length, OPT_END, 4);
    o->length += 4;
}

static void ring_put(struct capture *c, const void *data, u32 length)
{
    u32 at = (u32)(c->to % CAPTURE_BUFFER), first = CAPTURE_BUFFER - at;
    if (first > length)
        first = length;
    if (!length)
        return;
    memcpy(c->ring + at, data, first);
    memcpy(c->ring, (const u8 *)data + first, length - first);
    c->to += length;
}

/* Appends a block: its fixed fields, data that is padded, options. Returns false if the ring has no room. */
static bool block_put(struct capture *c, u32 type, const u32 *fields, u32 count, const u8 *data, u32 length,
                      struct options *options)
{
    static const u8 zeros[4];
    option_end(options);
    u32 padding = -length & 3, total = 12 + count * 4 + length + padding + options->length;
    if (c->to - c->from + total > CAPTURE_BUFFER)
        return false;
    u32 head[2] = {type, total};
    ring_put(c, head, sizeof(head));
    ring_put(c, fields, count * 4);
    ring_put(c, data, length);
    ring_put(c, zeros, padding);
    ring_put(c, options->byte, options->length);
    ring_put(c, &total, sizeof(total));
    return true;
}

/* Watches the socket for its end, and for room if there is something to write. */
static void capture_watch(struct capture *c)
{
    bool wanted = c->from != c->to;
    if (c->watched && wanted == c->wanted)
        return;
    /* If this fails for want of memory, the next frame tries it again. */
    if (vswitch_watch(c->sw, &c->watch, wanted ? EPOLLOUT : 0))
        return;
    c->watched = true;
    c->wanted = wanted;
}

static bool section_put(struct capture *c)
{
    struct options options = {.length = 0};
    u32 fields[4] = {BYTE_ORDER_MAGIC, 1, ~0u, ~0u}; /* version 1.0; the section's length is not known */
    option_add(&options, SHB_USERAPPL, "nestbox", strlen("nestbox"));
    return block_put(c, BLOCK_SECTION, fields, 4, NULL, 0, &options);
}

static void port_name(const struct port *port, char *text, size_t size)
{
    if (port->vm[0])
        snprintf(text, size, "%s/%s", port->vm, port->name);
    else
        snprintf(text, size, "%s", port->id);
}

static bool interface_put(struct capture *c, struct interface *i, const struct port *port)
{
    static const u8 nanoseconds = 9;
    struct options options = {.length = 0};
    u32 fields[2] = {LINKTYPE_ETHERNET, 0}; /* any length */
    char name[2 * sizeof(port->vm)];
    port_name(port, name, sizeof(name));
    option_add(&options, IF_NAME, name, strlen(name));
    if (!mac_is_zero(&port->mac))
        option_add(&options, IF_MACADDR, port->mac.byte, MAC_LEN);
    option_add(&options, IF_TSRESOL, &nanoseconds, 1);
    if (!block_put(c, BLOCK_INTERFACE, fields, 2, NULL, 0, &options))
        return false;
    i->described = true;
    i->number = c->described++;
    return true;
}

/* Returns the interface that stands for the port, which may not be described yet; NULL without memory. */
static struct interface *interface_find(struct capture *c, const struct port *port)
{
    if (port->index >= c->interfaces) {
        u32 count = port->index + 16;
        struct interface *more = realloc(c->interface, count * sizeof(*more));
        if (!more)
            return NULL;
        memset(more + c->interfaces, 0, (count - c->interfaces) * sizeof(*more));
        c->interface = more;
        c->interfaces = count;
    }
    struct interface *i = &c->interface[port->index];
    if (strcmp(i->id, port->id)) { /* another port had that index */
        *i = (struct interface){.described = false};
        snprintf(i->id, sizeof(i->id), "%s", port->id);
    }
    return i;
}

/* "spoofed: what it means; card lab1/nic0; to let it pass: nestbox nic set ..." */
static void comment_write(const struct port *port, enum drop drop, char *text, size_t size)
{
    char name[2 * sizeof(port->vm)], line[REMEDY_MAX];
    bool helps = remedy(port, drop, line, sizeof(line));
    port_name(port, name, sizeof(name));
    snprintf(text, size, "%s: %s; %s %s%s%s", drop_rows[drop].name, drop_rows[drop].meaning,
             port->vm[0] ? "card" : "port", name, helps ? "; to let it pass: " : "", helps ? line : "");
}

static bool packet_put(struct capture *c, const struct interface *i, const struct port *port, bool from_port,
                       enum drop drop, const u8 *frame, u32 length)
{
    struct options options = {.length = 0};
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    u64 ns = (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
    u32 fields[5] = {i->number, (u32)(ns >> 32), (u32)ns, length, length};
    u32 flags = from_port ? DIRECTION_IN : DIRECTION_OUT;
    option_add(&options, EPB_FLAGS, &flags, sizeof(flags));
    if (drop != DROP_NONE) {
        char comment[OPTIONS_MAX - 64];
        comment_write(port, drop, comment, sizeof(comment));
        option_add(&options, OPT_COMMENT, comment, strlen(comment));
    }
    return block_put(c, BLOCK_PACKET, fields, 5, frame, length, &options);
}

static void capture_seen(struct tap_hook *hook, const struct port *port, bool from_port, enum drop drop,
                         const u8 *frame, u32 length)
{
    struct capture *c = (struct capture *)((char *)hook - offsetof(struct capture, hook));
    if ((c->drops && drop == DROP_NONE) || (c->id[0] && strcmp(c->id, port->id)))
        return;
    struct interface *i = interface_find(c, port);
    if (!i)
        return;
    i->seen++;
    if ((!i->described && !interface_put(c, i, port)) || !packet_put(c, i, port, from_port, drop, frame, length)) {
        i->lost++;
        c->lost = true;
    }
    capture_watch(c);
}

/* Reports what was lost. */
static void statistics_put(struct capture *c)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    u64 ns = (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
    for (u32 n = 0; n < c->interfaces; n++) {
        struct interface *i = &c->interface[n];
        struct options options = {.length = 0};
        u32 fields[3] = {i->number, (u32)(ns >> 32), (u32)ns};
        if (!i->described || i->told == i->lost)
            continue;
        option_add(&options, ISB_IFRECV, &i->seen, sizeof(i->seen));
        option_add(&options, ISB_IFDROP, &i->lost, sizeof(i->lost));
        if (!block_put(c, BLOCK_STATISTICS, fields, 3, NULL, 0, &options))
            return;
        i->told = i->lost;
    }
    c->lost = false;
}

/* Writes as much as the reader takes. Returns false if it is gone. */
static bool capture_flush(struct capture *c)
{
    for (;;) {
        if (c->from == c->to && c->lost)
            statistics_put(c);
        if (c->from == c->to)
            return true;
        u32 at = (u32)(c->from % CAPTURE_BUFFER);
        u64 first = c->to - c->from;
        if (first > CAPTURE_BUFFER - at)
            first = CAPTURE_BUFFER - at;
        ssize_t n = send(c->watch.fd, c->ring + at, first, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        c->from += (u64)n;
    }
}

static void capture_end(struct capture *c)
{
    struct capture **link = &c->all->first;
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    vswitch_unhook(c->sw, &c->hook);
    if (c->watched)
        vswitch_unwatch(c->sw, &c->watch);
    close(c->watch.fd);
    free(c->interface);
    free(c->ring);
    free(c);
}

static void capture_ready(struct watch *watch, u32 events)
{
    struct capture *c = (struct capture *)((char *)watch - offsetof(struct capture, watch));
    if (events & (EPOLLHUP | EPOLLERR) || !capture_flush(c))
        capture_end(c);
    else
        capture_watch(c);
}

int capture_start(struct captures *all, struct vswitch *sw, int fd, const char *id, bool drops, struct error *error)
{
    if (id && !vswitch_port_find(sw, id))
        return error_set(error, -ENOENT, "the switch has no port %s", id);
    struct capture *c = calloc(1, sizeof(*c));
    u8 *ring = malloc(CAPTURE_BUFFER);
    if (!c || !ring) {
        free(c);
        free(ring);
        return error_set(error, -ENOMEM, "no memory for a capture");
    }
    *c = (struct capture){
        .watch = {.fd = fd, .ready = capture_ready},
        .hook = {.seen = capture_seen},
        .sw = sw,
        .all = all,
        .next = all->first,
        .drops = drops,
        .ring = ring,
    };
    snprintf(c->id, sizeof(c->id), "%s", id ? id : "");
    (void)section_put(c); /* the ring is empty */
    capture_watch(c);
    if (!c->watched) {
        free(ring);
        free(c);
        return error_set(error, -ENOMEM, "the switch cannot wait for one more reader");
    }
    all->first = c;
    vswitch_hook(sw, &c->hook);
    return 0;
}

void captures_end(struct captures *all)
{
    while (all->first) {
        (void)capture_flush(all->first);
        capture_end(all->first);
    }
}
