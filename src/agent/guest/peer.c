/*
 * A stream to the host: frames in and out. A virtio-serial port stays open when the host's end is closed; reading then
 * returns 0, and whoever connects next is another peer to us: it has no sessions.
 */
#include "agent/guest/agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM (512u << 10)       /* sessions wait when so much has not been written yet */
#define QUEUE_MAX (2048u << 10) /* a peer that makes us answer and does not read is dropped */
#define CHUNK 65536

struct peer {
    struct watch watch;
    struct link link; /* of agent->peers */
    struct agent *agent;
    struct link sessions;
    bool port, broken;
    bool starved; /* a session waits for room */
    u8 *queue;    /* bytes [first, used) are to be written */
    size_t first, used, size;
    struct frame_reader reader;
};

struct agent *peer_agent(const struct peer *peer)
{
    return peer->agent;
}

struct peer *peer_of(struct link *link)
{
    return container_of(link, struct peer, link);
}

struct link *peer_sessions(struct peer *peer)
{
    return &peer->sessions;
}

bool peer_has_room(struct peer *peer)
{
    bool room = peer->used - peer->first < ROOM;
    peer->starved |= !room;
    return room;
}

/* -- writing -- */

/* Returns where `length` bytes can be put, or NULL. */
static u8 *reserve(struct peer *peer, size_t length)
{
    if (peer->first == peer->used)
        peer->first = peer->used = 0;
    if (peer->used + length > peer->size && peer->first) {
        memmove(peer->queue, peer->queue + peer->first, peer->used - peer->first);
        peer->used -= peer->first;
        peer->first = 0;
    }
    if (peer->used + length > peer->size) {
        size_t size = 2 * (peer->used + length);
        u8 *bigger = size <= 2 * QUEUE_MAX ? realloc(peer->queue, size) : NULL;
        if (!bigger)
            return NULL;
        peer->queue = bigger;
        peer->size = size;
    }
    return peer->queue + peer->used;
}

/* Writes what is taken now; the loop says when there is more room. */
static void flush(struct peer *peer)
{
    while (peer->first < peer->used) {
        ssize_t n = write(peer->watch.fd, peer->queue + peer->first, peer->used - peer->first);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            peer->broken |= !peer->port;
        if (n <= 0)
            return;
        peer->first += (size_t)n;
    }
}

void peer_send(struct peer *peer, enum frame_type type, u32 part, u32 session, const void *body, u32 length)
{
    u8 *at = reserve(peer, FRAME_HEAD + length + 1);
    if (!at) {
        peer->broken = true;
        return;
    }
    peer->used += frame_put(at, type, part, session, body, length);
    flush(peer);
}

static void send_hello(struct peer *peer, u32 part)
{
    u8 body[FRAME_BODY_MAX], *at = reserve(peer, FRAME_FILLER);
    const struct hello hello = {AGENT_VERSION, AGENT_VERSION, peer->agent->instance, PROGRAM_TEXT};
    if (!at) {
        peer->broken = true;
        return;
    }
    memset(at, 0, FRAME_FILLER);
    peer->used += FRAME_FILLER;
    peer_send(peer, FRAME_HELLO, part, 0, body, hello_write(body, &hello));
}

/* -- reading -- */

static void take(struct peer *peer, const struct frame *frame)
{
    switch (frame->type) {
    case FRAME_HELLO:
        if (frame->part == HELLO_FRESH) {
            sessions_end(peer);
            peer->first = peer->used = 0;
        }
        send_hello(peer, 0);
        break;
    case FRAME_PING: peer_send(peer, FRAME_PONG, 0, 0, frame->body, frame->length); break;
    case FRAME_PONG: break;
    default: peer->broken |= !session_frame(peer, frame);
    }
}

/* The host's end of the port was closed, or the peer broke the protocol. */
static void forget(struct peer *peer)
{
    sessions_end(peer);
    peer->first = peer->used = 0;
    peer->broken = false;
    memset(&peer->reader, 0, sizeof(peer->reader));
}

/* Returns false if there is nothing more to read, now or at all. */
static bool read_some(struct peer *peer)
{
    u8 bytes[CHUNK];
    struct frame frame;
    ssize_t n = read(peer->watch.fd, bytes, sizeof(bytes));
    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            forget(peer);
            peer->broken = !peer->port;
        }
        return false;
    }
    for (size_t at = 0; at < (size_t)n && !peer->broken;) {
        at += frame_take(&peer->reader, bytes + at, (size_t)n - at, &frame);
        if (frame.type != FRAME_FILL)
            take(peer, &frame);
    }
    return !peer->broken;
}

static void ready(struct watch *watch, u32 events)
{
    struct peer *peer = container_of(watch, struct peer, watch);
    while (read_some(peer))
        ;
    flush(peer);
    if (peer->starved && peer_has_room(peer)) {
        peer->starved = false;
        sessions_resume(peer);
    }
    if (peer->broken && peer->port)
        forget(peer);
    else if (peer->broken)
        peer_free(peer);
}

struct peer *peer_new(struct agent *agent, int fd, bool port)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer) {
        close(fd);
        return NULL;
    }
    peer->agent = agent;
    peer->port = port;
    peer->watch = (struct watch){fd, ready};
    list_init(&peer->sessions);
    list_init(&peer->link);
    /* By edges: a port whose other end is closed would be ready all the time. */
    if (loop_watch(&agent->loop, &peer->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
        close(fd);
        free(peer);
        return NULL;
    }
    list_add(&agent->peers, &peer->link);
    send_hello(peer, HELLO_FRESH); /* what an agent before us had is gone */
    return peer;
}

void peer_free(struct peer *peer)
{
    sessions_end(peer);
    loop_unwatch(&peer->agent->loop, &peer->watch);
    list_remove(&peer->link);
    close(peer->watch.fd);
    free(peer->queue);
    free(peer);
}
