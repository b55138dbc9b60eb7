/*
 * See agent.h. Sessions have the number that the command chose on its connection, and another one on the port. How much
 * of a stream is under way is between the command and the agent, so nothing is held up here: what a command does not
 * read is bounded by its windows, unless the guest breaks the protocol, and then the command loses its connection.
 */
#include "worker/agent.h"

#include "agent/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_ROOM (1u << 20)   /* commands are not read while so much waits for the guest */
#define MEMBER_MAX (16u << 20) /* of what a command has not read */
#define SESSIONS_MAX 1000u
#define CHUNK 65536

/* Bytes that wait to be written. */
struct queue {
    u8 *bytes;
    size_t first, used, size;
};

struct member {
    struct watch watch;
    struct link link; /* of port->members */
    struct agent_port *port;
    struct frame_reader reader;
    struct queue queue;
    u32 events;
    bool broken;
};

struct session {
    struct link link; /* of port->sessions */
    u32 id, member_id;
    struct member *member; /* NULL: `call` */
    struct agent_call *call;
};

struct agent_port {
    struct watch watch;
    struct loop *loop;
    struct agent_port_events events;
    struct link members, sessions;
    struct frame_reader reader;
    struct queue queue;
    struct hello hello; /* of the agent; version 0: none */
    u32 session_count, last_id;
    bool broken, blocked; /* blocked: members are not read */
};

static struct session *session_of(struct link *l)
{
    return container_of(l, struct session, link);
}

/* -- queues -- */

static bool queue_put(struct queue *q, enum frame_type type, u32 part, u32 session, const void *body, u32 length)
{
    size_t wanted = FRAME_HEAD + length + 1;
    if (q->first == q->used)
        q->first = q->used = 0;
    if (q->used + wanted > q->size && q->first) {
        memmove(q->bytes, q->bytes + q->first, q->used - q->first);
        q->used -= q->first;
        q->first = 0;
    }
    if (q->used + wanted > q->size) {
        size_t size = 2 * (q->used + wanted);
        u8 *bigger = realloc(q->bytes, size);
        if (!bigger)
            return false;
        q->bytes = bigger;
        q->size = size;
    }
    q->used += frame_put(q->bytes + q->used, type, part, session, body, length);
    return true;
}

static size_t queue_length(const struct queue *q)
{
    return q->used - q->first;
}

/* Writes what is taken. Returns false if the other end is gone. */
static bool queue_flush(struct queue *q, int fd)
{
    while (q->first < q->used) {
        ssize_t n = send(fd, q->bytes + q->first, q->used - q->first, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        q->first += (size_t)n;
    }
    if (q->size > PORT_ROOM) { /* a burst is over */
        free(q->bytes);
        *q = (struct queue){0};
    }
    return true;
}

/* -- members -- */

static void member_wait(struct member *m)
{
    u32 events = (m->port->blocked ? 0 : EPOLLIN) | (queue_length(&m->queue) ? EPOLLOUT : 0);
    if (events != m->events)
        m->broken |= loop_watch(m->port->loop, &m->watch, events) != 0;
    m->events = events;
}

static void member_send(struct member *m, enum frame_type type, u32 part, u32 session, const void *body, u32 length)
{
    m->broken |= queue_length(&m->queue) > MEMBER_MAX || !queue_put(&m->queue, type, part, session, body, length) ||
                 !queue_flush(&m->queue, m->watch.fd);
    member_wait(m);
    if (m->broken)
        shutdown(m->watch.fd, SHUT_RDWR); /* its watch sees that, and drops it */
}

static void member_fail(struct member *m, u32 session, const char *why)
{
    u8 body[256] = {0};
    u32 length = (u32)strnlen(why, sizeof(body) - 1);
    memcpy(body + 1, why, length);
    member_send(m, FRAME_EXIT, EXIT_FAILED, session, body, length + 1);
}

/* -- the port -- */

/* While too much waits for the guest, nobody else is read. */
static void port_block(struct agent_port *port)
{
    bool blocked = queue_length(&port->queue) > PORT_ROOM;
    if (blocked == port->blocked)
        return;
    port->blocked = blocked;
    for (struct link *l = port->members.after; l != &port->members; l = l->after)
        member_wait(container_of(l, struct member, link));
}

static void port_flush(struct agent_port *port)
{
    if (!queue_flush(&port->queue, port->watch.fd))
        port->broken = true;
    u32 events = EPOLLIN | (queue_length(&port->queue) ? EPOLLOUT : 0);
    port->broken |= loop_watch(port->loop, &port->watch, events) != 0;
    port_block(port);
}

static void port_send(struct agent_port *port, enum frame_type type, u32 part, u32 session, const void *body,
                      u32 length)
{
    if (!queue_put(&port->queue, type, part, session, body, length))
        port->broken = true;
    else
        port_flush(port);
}

static void send_hello(struct agent_port *port)
{
    static const u8 zeros[FRAME_BODY_MAX];
    u8 body[64];
    struct hello hello = {AGENT_VERSION, AGENT_VERSION, 0, "nestbox"};
    struct queue *q = &port->queue;
    if (getrandom(&hello.instance, sizeof(hello.instance), GRND_NONBLOCK) < 0)
        hello.instance = 1;
    /* A filler: frames of zeros whose heads and ends are made zeros, too. */
    q->first = q->used = 0;
    for (size_t i = 0; i < FRAME_FILLER; i += sizeof(zeros)) {
        size_t from = q->used;
        if (!queue_put(q, FRAME_FILL, 0, 0, zeros, sizeof(zeros))) {
            port->broken = true;
            return;
        }
        memset(q->bytes + from, 0, q->used - from);
    }
    port_send(port, FRAME_HELLO, HELLO_FRESH, 0, body, hello_write(body, &hello));
}

/* -- sessions -- */

static void session_free(struct session *s)
{
    list_remove(&s->link);
    if (s->call)
        s->call->session = 0;
    free(s);
}

static struct session *session_new(struct agent_port *port, struct member *member, u32 member_id,
                                   struct agent_call *call)
{
    struct session *s = port->session_count < SESSIONS_MAX ? calloc(1, sizeof(*s)) : NULL;
    if (!s)
        return NULL;
    s->id = ++port->last_id ? port->last_id : ++port->last_id;
    s->member = member;
    s->member_id = member_id;
    s->call = call;
    list_add(&port->sessions, &s->link);
    port->session_count++;
    return s;
}

static void session_end(struct agent_port *port, struct session *s)
{
    port->session_count--;
    session_free(s);
}

static struct session *find(struct agent_port *port, u32 id)
{
    for (struct link *l = port->sessions.after; l != &port->sessions; l = l->after)
        if (session_of(l)->id == id)
            return session_of(l);
    return NULL;
}

static struct session *find_of(struct member *m, u32 member_id)
{
    struct link *list = &m->port->sessions;
    for (struct link *l = list->after; l != list; l = l->after)
        if (session_of(l)->member == m && session_of(l)->member_id == member_id)
            return session_of(l);
    return NULL;
}

static void call_add(struct agent_call *call, const void *text, u32 length)
{
    u32 room = CALL_OUTPUT_MAX - call->length;
    u32 take = length < room ? length : room;
    memcpy(call->output + call->length, text, take);
    call->length += take;
    call->output[call->length] = 0;
}

/* All sessions of a member, or with NULL of everybody, end without an answer of the agent. */
static void end_sessions(struct agent_port *port, const struct member *member, const char *why)
{
    struct link ending;
    list_init(&ending);
    for (struct link *l = port->sessions.after, *after; l != &port->sessions; l = after) {
        after = l->after;
        if (!member || session_of(l)->member == member) {
            list_remove(l);
            list_add(&ending, l);
        }
    }
    for (struct link *l; (l = list_pop(&ending));) {
        struct session *s = session_of(l);
        struct agent_call *call = s->call;
        if (s->member && !member)
            member_fail(s->member, s->member_id, why);
        if (port->hello.version)
            port_send(port, FRAME_CLOSE, 0, s->id, NULL, 0);
        session_end(port, s);
        if (call) {
            call->length = 0;
            call_add(call, why, (u32)strlen(why));
            call->ended(call, -1);
        }
    }
}

/* Nobody is there any more. */
static void forget_agent(struct agent_port *port, const char *why)
{
    bool was = agent_port_ready(port);
    port->hello.version = 0;
    end_sessions(port, NULL, why);
    if (was && port->events.changed)
        port->events.changed(port->events.opaque, false);
}

void agent_port_lost(struct agent_port *port)
{
    forget_agent(port, "the agent in the guest ended");
}

/* -- from the guest -- */

static void greeted(struct agent_port *port, const struct frame *frame)
{
    struct hello hello;
    bool was = agent_port_ready(port);
    if (!hello_read(frame, &hello))
        return;
    if (frame->part == HELLO_FRESH) {
        /* Another agent: it is greeted again, because it may have come in the middle of what we sent. */
        forget_agent(port, "the agent in the guest was started anew");
        send_hello(port);
        return;
    }
    port->hello = hello;
    if (!was && agent_port_ready(port) && port->events.changed)
        port->events.changed(port->events.opaque, true);
}

static void call_data(struct agent_port *port, struct session *s, const struct frame *frame)
{
    u8 body[4];
    put_number(body, frame->length, 4);
    if (frame->length)
        port_send(port, FRAME_WINDOW, frame->part, s->id, body, sizeof(body));
    if (frame->part == STREAM_ERROR && s->call->length)
        return;
    call_add(s->call, frame->body, frame->length);
    if (s->call->said)
        s->call->said(s->call);
}

static void call_exit(struct agent_port *port, struct session *s, const struct frame *frame)
{
    struct agent_call *call = s->call;
    int status = frame->body[0];
    if (frame->part == EXIT_SIGNAL)
        status += 128;
    if (frame->part == EXIT_FAILED) {
        status = -1;
        call->length = 0;
        call_add(call, frame->body + 1, frame->length - 1u);
    }
    session_end(port, s);
    call->ended(call, status);
}

static void from_guest(struct agent_port *port, const struct frame *frame)
{
    if (frame->type == FRAME_HELLO) {
        greeted(port, frame);
        return;
    }
    struct session *s = find(port, frame->session);
    if (!s || (frame->type != FRAME_DATA && frame->type != FRAME_WINDOW && frame->type != FRAME_EXIT))
        return;
    if (s->call) {
        if (frame->type == FRAME_DATA)
            call_data(port, s, frame);
        else if (frame->type == FRAME_EXIT)
            call_exit(port, s, frame);
        return;
    }
    member_send(s->member, frame->type, frame->part, s->member_id, frame->body, frame->length);
    if (frame->type == FRAME_EXIT)
        session_end(port, s);
}

static void port_over(struct agent_port *port)
{
    loop_unwatch(port->loop, &port->watch);
    forget_agent(port, "the VM ended");
}

static void port_ready(struct watch *watch, u32 events)
{
    struct agent_port *port = container_of(watch, struct agent_port, watch);
    u8 bytes[CHUNK];
    struct frame frame;
    ssize_t n = recv(watch->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        port->broken = true;
    for (size_t at = 0; n > 0 && at < (size_t)n;) {
        at += frame_take(&port->reader, bytes + at, (size_t)n - at, &frame);
        if (frame.type != FRAME_FILL)
            from_guest(port, &frame);
    }
    if (!port->broken && events & EPOLLOUT)
        port_flush(port);
    if (port->broken)
        port_over(port);
}

/* -- from commands -- */

static void member_free(struct member *m)
{
    end_sessions(m->port, m, "");
    loop_unwatch(m->port->loop, &m->watch);
    list_remove(&m->link);
    close(m->watch.fd);
    free(m->queue.bytes);
    free(m);
}

static void from_member(struct member *m, const struct frame *frame)
{
    struct agent_port *port = m->port;
    struct session *s = find_of(m, frame->session);
    struct error error;
    switch (frame->type) {
    case FRAME_OPEN:
        if (!s && agent_port_check(port, &error)) {
            member_fail(m, frame->session, error.text);
            return;
        }
        if (!s)
            s = session_new(port, m, frame->session, NULL);
        if (!s) {
            member_fail(m, frame->session, "too many sessions");
            return;
        }
        break;
    case FRAME_DATA:
    case FRAME_WINDOW:
    case FRAME_RESIZE:
    case FRAME_SIGNAL:
    case FRAME_CLOSE: break;
    default: m->broken = true;
    }
    if (!s || m->broken)
        return;
    port_send(port, frame->type, frame->part, s->id, frame->body, frame->length);
    if (frame->type == FRAME_CLOSE)
        session_end(port, s);
}

static void member_ready(struct watch *watch, u32 events)
{
    struct member *m = container_of(watch, struct member, watch);
    u8 bytes[CHUNK];
    struct frame frame;
    ssize_t n = m->port->blocked ? -1 : recv(watch->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && !m->port->blocked && errno != EAGAIN && errno != EINTR) || events & (EPOLLHUP | EPOLLERR))
        m->broken |= n <= 0;
    for (size_t at = 0; n > 0 && at < (size_t)n && !m->broken;) {
        at += frame_take(&m->reader, bytes + at, (size_t)n - at, &frame);
        if (frame.type != FRAME_FILL)
            from_member(m, &frame);
    }
    m->broken |= !m->reader.found; /* it broke the protocol */
    if (!m->broken && events & EPOLLOUT)
        m->broken |= !queue_flush(&m->queue, watch->fd);
    if (!m->broken)
        member_wait(m);
    if (m->broken)
        member_free(m);
}

void agent_port_join(struct agent_port *port, int fd)
{
    struct member *m = calloc(1, sizeof(*m));
    if (!m) {
        close(fd);
        return;
    }
    m->port = port;
    m->watch = (struct watch){fd, member_ready};
    m->reader.found = true; /* both sides begin here */
    list_add(&port->members, &m->link);
    member_wait(m);
    if (m->broken)
        member_free(m);
}

/* -- the worker's own -- */

void agent_call(struct agent_port *port, struct agent_call *call, const char *const *argv)
{
    struct request_bytes request = {0};
    struct error error;
    call->length = 0;
    call->output[0] = 0;
    call->session = 0;
    struct session *s = agent_port_check(port, &error) ? NULL : session_new(port, NULL, 0, call);
    request_add(&request, FIELD_BUILTIN, "", 0);
    request_add(&request, FIELD_INPUT, "", 0);
    for (; *argv; argv++)
        request_add_text(&request, FIELD_ARGUMENT, *argv);
    if (!s || request.failed || request.used > FRAME_BODY_MAX) {
        const char *why = agent_port_check(port, &error) ? error.text : "no memory for the guest's agent";
        if (s)
            session_end(port, s);
        call_add(call, why, (u32)strlen(why));
        call->ended(call, -1);
    } else {
        call->session = s->id;
        port_send(port, FRAME_OPEN, 0, s->id, request.bytes, request.used);
    }
    free(request.bytes);
}

void agent_call_tell(struct agent_port *port, struct agent_call *call, const char *text)
{
    if (call->session)
        port_send(port, FRAME_DATA, STREAM_IN, call->session, text, (u32)strlen(text));
}

void agent_call_drop(struct agent_port *port, struct agent_call *call)
{
    struct session *s = call->session ? find(port, call->session) : NULL;
    if (!s)
        return;
    port_send(port, FRAME_CLOSE, 0, s->id, NULL, 0);
    session_end(port, s);
}

/* -- all of it -- */

bool agent_port_ready(const struct agent_port *port)
{
    return port->hello.version >= AGENT_VERSION && port->hello.oldest <= AGENT_VERSION;
}

const char *agent_port_program(const struct agent_port *port)
{
    return port->hello.version ? port->hello.program : "";
}

int agent_port_check(const struct agent_port *port, struct error *error)
{
    if (agent_port_ready(port))
        return 0;
    if (!port->hello.version) {
        error_set(error, -ENXIO, "no nestbox-agent answers in the guest");
        return error_hint(error, "it may still be starting; images of `nestbox image build` have the agent");
    }
    error_set(error, -EPROTO, "%s in the guest speaks another protocol than this nestbox", port->hello.program);
    return error_hint(error, "put the nestbox-agent of this nestbox into the guest");
}

struct agent_port *agent_port_new(struct loop *loop, int fd, const struct agent_port_events *events)
{
    struct agent_port *port = calloc(1, sizeof(*port));
    if (!port) {
        close(fd);
        return NULL;
    }
    port->loop = loop;
    port->watch = (struct watch){fd, port_ready};
    port->events = *events;
    list_init(&port->members);
    list_init(&port->sessions);
    send_hello(port);
    if (!port->broken)
        return port;
    agent_port_free(port, "");
    return NULL;
}

void agent_port_free(struct agent_port *port, const char *why)
{
    if (!port)
        return;
    port->hello.version = 0;
    end_sessions(port, NULL, why);
    for (struct link *l; (l = port->members.after) != &port->members;)
        member_free(container_of(l, struct member, link));
    loop_unwatch(port->loop, &port->watch);
    close(port->watch.fd);
    free(port->queue.bytes);
    free(port);
}
