/*
 * The other end of a card's port, in QEMU's place: listens at a unix stream socket in a folder of the test's own, and
 * writes and reads frames with their length before them.
 */
#ifndef TESTS_UNIT_CARD_PEER_H
#define TESTS_UNIT_CARD_PEER_H

#include "vswitch/card.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char peer_folder[64];

struct peer {
    int listening, fd; /* -1: none */
    char path[108];
};

static inline void peers_begin(void)
{
    snprintf(peer_folder, sizeof(peer_folder), "/tmp/nestbox-switch-XXXXXX");
    if (!mkdtemp(peer_folder))
        abort();
}

static inline void peers_end(void)
{
    rmdir(peer_folder);
}

static inline void peer_listen(struct peer *p, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(p->path, sizeof(p->path), "%s/%s", peer_folder, name);
    memcpy(address.sun_path, p->path, sizeof(p->path));
    p->fd = -1;
    p->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(p->path);
    if (p->listening < 0 || bind(p->listening, (struct sockaddr *)&address, sizeof(address)) || listen(p->listening, 1))
        abort();
}

/* Returns false if nobody connects in time. */
static inline bool peer_accept(struct peer *p, int wait_ms)
{
    if (poll(&(struct pollfd){p->listening, POLLIN, 0}, 1, wait_ms) != 1)
        return false;
    p->fd = accept4(p->listening, NULL, NULL, SOCK_CLOEXEC);
    return p->fd >= 0;
}

static inline void peer_hang_up(struct peer *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

static inline void peer_close(struct peer *p)
{
    peer_hang_up(p);
    if (p->listening >= 0)
        close(p->listening);
    unlink(p->path);
    p->listening = -1;
}

/* Appends a frame to a stream. Returns the bytes that it takes. */
static inline u32 peer_put(u8 *stream, const u8 *frame, u32 length)
{
    memcpy(stream, &(u32){htonl(length)}, 4);
    memcpy(stream + 4, frame, length);
    return 4 + length;
}

/* A port of a card with the address 02:00:00:00:00:N. */
static inline struct port *peer_port(const char *id, u8 n)
{
    struct port *port = calloc(1, sizeof(*port));
    if (!port)
        abort();
    snprintf(port->id, sizeof(port->id), "%s", id);
    snprintf(port->vm, sizeof(port->vm), "vm-%s", id);
    snprintf(port->name, sizeof(port->name), "net0");
    port->mac = (struct mac){{2, 0, 0, 0, 0, n}};
    return port;
}

/* The beginning of a frame from one such card to another, or to a group with 0xff. */
static inline void peer_header(u8 *frame, u8 to, u8 from)
{
    const u8 header[14] = {2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 0x08, 0x00};
    memcpy(frame, header, sizeof(header));
    if (to == 0xff)
        memset(frame, 0xff, 6);
}

#endif
