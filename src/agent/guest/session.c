/*
 * Sessions: a process, its streams, and how much of each may be under way. A session ends for the host by FRAME_EXIT,
 * once its process has ended and what it wrote until then was sent; what its own children write later is not waited
 * for.
 */
#include "agent/guest/agent.h"
#include "agent/guest/start.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SESSIONS_MAX 1000

struct session;

struct channel {
    struct watch watch; /* fd -1: closed */
    struct session *session;
    bool watched, hung;
    u32 window; /* bytes that may be sent; of input: that were taken and are not granted again yet */
};

struct session {
    struct link link; /* of the peer's */
    struct peer *peer;
    u32 id;
    struct request_bytes request; /* until it is whole */
    pid_t pid;                    /* 0: none, or it was waited for */
    int status;
    bool started, ended, terminal;
    struct channel channel[STREAMS];
    u8 *input;
    u32 input_used;
    bool input_ends;
};

static struct session *session_of(struct link *l)
{
    return container_of(l, struct session, link);
}

static void watch_channel(struct channel *c, bool wanted, u32 events)
{
    struct loop *loop = &peer_agent(c->session->peer)->loop;
    if (wanted == c->watched || c->watch.fd < 0)
        return;
    if (!wanted)
        loop_unwatch(loop, &c->watch);
    c->watched = wanted && loop_watch(loop, &c->watch, events) == 0;
}

static void close_channel(struct channel *c)
{
    watch_channel(c, false, 0);
    if (c->watch.fd >= 0)
        close(c->watch.fd);
    c->watch.fd = -1;
}

static void session_free(struct session *s)
{
    for (u32 i = 0; i < STREAMS; i++)
        close_channel(&s->channel[i]);
    list_remove(&s->link);
    free(s->request.bytes);
    free(s->input);
    free(s);
}

/* To all processes of the group. */
static void send_signal(const struct session *s, int number)
{
    if (s->pid)
        kill(-s->pid, number);
}

static void hang_up(struct session *s)
{
    send_signal(s, SIGHUP);
    send_signal(s, SIGCONT);
    session_free(s);
}

static void send_exit(struct session *s, enum exit_kind kind, u8 number, const char *text)
{
    u8 body[256] = {number};
    u32 length = (u32)strnlen(text, sizeof(body) - 1);
    memcpy(body + 1, text, length);
    peer_send(s->peer, FRAME_EXIT, kind, s->id, body, length + 1);
    session_free(s);
}

/* Returns true if that was the end of the session. */
static bool end_if_over(struct session *s)
{
    if (!s->ended || s->channel[STREAM_OUT].watch.fd >= 0 || s->channel[STREAM_ERROR].watch.fd >= 0)
        return false;
    if (WIFSIGNALED(s->status))
        send_exit(s, EXIT_SIGNAL, (u8)WTERMSIG(s->status), "");
    else
        send_exit(s, EXIT_CODE, (u8)WEXITSTATUS(s->status), "");
    return true;
}

/* -- what the process writes -- */

/* Sends one piece. Returns false if there is none, now or at all. */
static bool pass(struct channel *c)
{
    u8 bytes[FRAME_BODY_MAX];
    struct session *s = c->session;
    u32 stream = (u32)(c - s->channel);
    if (c->watch.fd < 0 || !c->window || !peer_has_room(s->peer))
        return false;
    ssize_t n = read(c->watch.fd, bytes, c->window < sizeof(bytes) ? c->window : sizeof(bytes));
    if (n < 0 && (errno == EINTR || (errno == EAGAIN && !s->ended)))
        return errno == EINTR;
    if (n > 0) {
        c->window -= (u32)n;
        peer_send(s->peer, FRAME_DATA, stream, s->id, bytes, (u32)n);
        return true;
    }
    if (n < 0 && s->terminal && !s->ended) {
        c->hung = true; /* nobody has it open; to close it would be a hang-up for the process, which may still run */
        return false;
    }
    close_channel(c); /* the end, or nothing more after the process's end */
    peer_send(s->peer, FRAME_DATA, stream, s->id, NULL, 0);
    return false;
}

static void watch_output(struct channel *c)
{
    watch_channel(c, c->window && !c->hung && peer_has_room(c->session->peer), EPOLLIN);
}

static void output_ready(struct watch *watch, u32 events)
{
    struct channel *c = container_of(watch, struct channel, watch);
    pass(c); /* one piece, so that others have their turn */
    watch_output(c);
    end_if_over(c->session);
}

/* After the process's end what is there is sent as far as it goes: nothing else would say when it is over. */
static void drain(struct session *s)
{
    for (u32 i = STREAM_OUT; i < STREAMS; i++) {
        while (s->ended && pass(&s->channel[i]))
            ;
        watch_output(&s->channel[i]);
    }
    end_if_over(s);
}

void sessions_resume(struct peer *peer)
{
    struct link *list = peer_sessions(peer);
    for (struct link *l = list->after, *after; l != list; l = after) {
        after = l->after;
        drain(session_of(l));
    }
}

/* -- what it reads -- */

static void grant(struct session *s, u32 bytes)
{
    u8 body[4];
    struct channel *c = &s->channel[STREAM_IN];
    c->window += bytes;
    if (c->window < STREAM_GRANT || s->input_ends)
        return;
    put_number(body, c->window, 4);
    c->window = 0;
    peer_send(s->peer, FRAME_WINDOW, STREAM_IN, s->id, body, sizeof(body));
}

/* Writes what is taken; a process that reads no more loses the rest. */
static void feed(struct session *s)
{
    struct channel *c = &s->channel[STREAM_IN];
    u32 at = 0;
    while (at < s->input_used) {
        ssize_t n =
            c->watch.fd < 0 ? (ssize_t)(s->input_used - at) : write(c->watch.fd, s->input + at, s->input_used - at);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n > 0)
            at += (u32)n;
        else if (errno != EINTR)
            close_channel(c);
    }
    memmove(s->input, s->input + at, s->input_used - at);
    s->input_used -= at;
    if (at)
        grant(s, at);
    if (s->input_used) {
        watch_channel(c, true, EPOLLOUT);
    } else {
        watch_channel(c, false, 0);
        if (s->input_ends)
            close_channel(c);
    }
}

static void input_ready(struct watch *watch, u32 events)
{
    feed(container_of(watch, struct channel, watch)->session);
}

static bool take_input(struct session *s, const struct frame *frame)
{
    static const u8 end_of_transmission = 4;
    const u8 *bytes = frame->body;
    u32 length = frame->length;
    if (!s->started || s->input_ends)
        return false;
    if (!length) {
        s->input_ends = true;
        if (s->terminal) {
            bytes = &end_of_transmission;
            length = 1;
        }
    }
    if (!s->input && length)
        s->input = malloc(STREAM_WINDOW + 1);
    if (length > STREAM_WINDOW + s->input_ends - s->input_used || (!s->input && length))
        return false;
    if (length)
        memcpy(s->input + s->input_used, bytes, length);
    s->input_used += length;
    feed(s);
    return true;
}

/* -- beginning and end -- */

static struct session *find(struct peer *peer, u32 id)
{
    struct link *list = peer_sessions(peer);
    for (struct link *l = list->after; l != list; l = l->after)
        if (session_of(l)->id == id)
            return session_of(l);
    return NULL;
}

static u32 count(struct peer *peer)
{
    u32 n = 0;
    struct link *list = peer_sessions(peer);
    for (struct link *l = list->after; l != list; l = l->after)
        n++;
    return n;
}

static void open_channel(struct session *s, enum stream stream, int fd)
{
    struct channel *c = &s->channel[stream];
    c->watch.fd = fd;
    c->window = stream == STREAM_IN ? 0 : STREAM_WINDOW;
    if (stream != STREAM_IN)
        watch_output(c);
}

static void start(struct session *s)
{
    struct request request;
    struct started child;
    int e = request_read(s->request.bytes, s->request.used, &request);
    free(s->request.bytes);
    s->request = (struct request_bytes){0};
    if (e) {
        send_exit(s, EXIT_FAILED, 0, e == -EINVAL ? "the agent does not understand the request" : "no memory");
        return;
    }
    e = start_process(&request, &child);
    s->terminal = request.terminal;
    request_free(&request);
    if (e) {
        send_exit(s, EXIT_FAILED, 0, strerror(-e));
        return;
    }
    s->started = true;
    s->pid = child.pid;
    for (u32 i = 0; i < STREAMS; i++)
        open_channel(s, i, child.fd[i]);
}

static bool open_session(struct peer *peer, const struct frame *frame)
{
    struct session *s = find(peer, frame->session);
    if (s && s->started)
        return false;
    if (!s) {
        s = count(peer) < SESSIONS_MAX ? calloc(1, sizeof(*s)) : NULL;
        if (!s) {
            static const char text[] = "\0too many sessions";
            peer_send(peer, FRAME_EXIT, EXIT_FAILED, frame->session, text, sizeof(text) - 1);
            return true;
        }
        s->peer = peer;
        s->id = frame->session;
        for (u32 i = 0; i < STREAMS; i++) {
            s->channel[i].session = s;
            s->channel[i].watch = (struct watch){-1, i == STREAM_IN ? input_ready : output_ready};
        }
        list_add(peer_sessions(peer), &s->link);
    }
    request_append(&s->request, frame->body, frame->length);
    if (s->request.failed)
        send_exit(s, EXIT_FAILED, 0, "the request is too long");
    else if (frame->part != OPEN_MORE)
        start(s);
    return true;
}

static void resize(struct session *s, const u8 *body)
{
    struct winsize size = {.ws_row = (u16)get_number(body, 2), .ws_col = (u16)get_number(body + 2, 2)};
    if (s->terminal && s->channel[STREAM_OUT].watch.fd >= 0)
        ioctl(s->channel[STREAM_OUT].watch.fd, TIOCSWINSZ, &size);
}

static bool take_window(struct session *s, const struct frame *frame)
{
    u64 more = get_number(frame->body, 4), limit = 16 * (u64)STREAM_WINDOW;
    struct channel *c = &s->channel[frame->part];
    if (frame->part == STREAM_IN || more > limit || c->window + more > limit)
        return false;
    c->window += (u32)more;
    drain(s);
    return true;
}

bool session_frame(struct peer *peer, const struct frame *frame)
{
    if (frame->type == FRAME_OPEN)
        return open_session(peer, frame);
    struct session *s = find(peer, frame->session);
    if (!s)
        return true; /* it has just ended */
    switch (frame->type) {
    case FRAME_DATA: return frame->part == STREAM_IN && take_input(s, frame);
    case FRAME_WINDOW: return take_window(s, frame);
    case FRAME_RESIZE: resize(s, frame->body); return true;
    case FRAME_SIGNAL:
        if (frame->body[0] && frame->body[0] <= SIGRTMAX)
            send_signal(s, frame->body[0]);
        return true;
    case FRAME_CLOSE: hang_up(s); return true;
    default: return false;
    }
}

void sessions_end(struct peer *peer)
{
    struct link *list = peer_sessions(peer);
    while (!list_empty(list))
        hang_up(session_of(list->after));
}

void sessions_child(struct agent *agent, pid_t pid, int status)
{
    for (struct link *p = agent->peers.after; p != &agent->peers; p = p->after) {
        struct link *list = peer_sessions(peer_of(p));
        for (struct link *l = list->after; l != list; l = l->after) {
            struct session *s = session_of(l);
            if (s->pid != pid)
                continue;
            s->pid = 0;
            s->status = status;
            s->ended = true;
            drain(s);
            return;
        }
    }
}
