/*
 * See run.h. The guest may send anything: what is more than was granted ends the session.
 */
#include "agent/run.h"

#include "agent/request.h"
#include "base/monotonic.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SESSION 1u
#define SECOND_NS 1000000000ull
#define INTERRUPTS 3
#define CHUNK 65536

/* What the guest wrote and is not written here yet. */
struct outlet {
    int fd;           /* -1: what comes is dropped */
    bool ends, whole; /* whole: a regular file, which takes any number of bytes at once */
    u8 *bytes;
    u32 first, used;
    u32 ungranted;
};

struct running {
    const struct agent_run *run;
    const char *vm;
    int fd;
    struct frame_reader reader;
    struct outlet outlet[STREAMS];
    u32 window; /* that the guest takes of input */
    bool input_ends;
    bool over;
    int status; /* once it is over */
    u64 interrupt_ns[INTERRUPTS];
    struct error *error;
};

static int lost(struct running *r, int e, const char *why)
{
    return error_set(r->error, e, "%s: the session in the guest broke off: %s", r->vm, why);
}

static int send_frame(struct running *r, enum frame_type type, u32 part, const void *body, u32 length)
{
    u8 bytes[FRAME_MAX];
    u32 size = frame_put(bytes, type, part, SESSION, body, length);
    for (u32 at = 0; at < size;) {
        ssize_t n = send(r->fd, bytes + at, size - at, MSG_NOSIGNAL);
        if (n > 0)
            at += (u32)n;
        else if (n < 0 && errno == EAGAIN)
            poll(&(struct pollfd){r->fd, POLLOUT}, 1, -1);
        else if (n < 0 && errno != EINTR)
            return lost(r, -ECONNRESET, errno == EPIPE ? "the VM's process ended" : strerror(errno));
    }
    return 0;
}

/* -- the request -- */

static bool window_size(int fd, u8 body[4])
{
    struct winsize size;
    if (fd < 0 || ioctl(fd, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
        return false;
    put_number(body, size.ws_row, 2);
    put_number(body + 2, size.ws_col, 2);
    return true;
}

static int open_session(struct running *r)
{
    const struct agent_run *run = r->run;
    struct request_bytes request = {0};
    u8 size[4] = {24, 0, 80, 0};
    if (run->builtin)
        request_add(&request, FIELD_BUILTIN, "", 0);
    if (run->terminal) {
        window_size(run->out, size);
        request_add(&request, FIELD_TERMINAL, size, sizeof(size));
    }
    if (run->in >= 0)
        request_add(&request, FIELD_INPUT, "", 0);
    if (run->user)
        request_add_text(&request, FIELD_USER, run->user);
    if (run->folder)
        request_add_text(&request, FIELD_FOLDER, run->folder);
    for (const char *const *v = run->variable; v && *v; v++)
        request_add_text(&request, FIELD_VARIABLE, *v);
    for (const char *const *a = run->argument; a && *a; a++)
        request_add_text(&request, FIELD_ARGUMENT, *a);
    int e = request.failed ? error_set(r->error, -E2BIG, "the command line is too long for the guest's agent") : 0;
    for (u32 at = 0; !e && (at < request.used || !at);) {
        u32 rest = request.used - at, piece = rest < FRAME_BODY_MAX ? rest : FRAME_BODY_MAX;
        e = send_frame(r, FRAME_OPEN, piece < rest ? OPEN_MORE : 0, request.bytes + at, piece);
        at += piece;
        if (!piece)
            break;
    }
    free(request.bytes);
    return e;
}

/* -- from the guest -- */

static int grant(struct running *r, struct outlet *o, u32 bytes)
{
    u8 body[4];
    o->ungranted += bytes;
    if (o->ungranted < STREAM_GRANT || o->ends)
        return 0;
    put_number(body, o->ungranted, 4);
    o->ungranted = 0;
    return send_frame(r, FRAME_WINDOW, (u32)(o - r->outlet), body, sizeof(body));
}

static int take_data(struct running *r, const struct frame *frame)
{
    struct outlet *o = &r->outlet[frame->part];
    if (frame->part == STREAM_IN || o->ends)
        return lost(r, -EPROTO, "the agent breaks its protocol");
    if (!frame->length) {
        o->ends = true;
        return 0;
    }
    if (o->fd < 0)
        return grant(r, o, frame->length);
    if (!o->bytes)
        o->bytes = malloc(STREAM_WINDOW);
    if (!o->bytes)
        return lost(r, -ENOMEM, "no memory");
    if (o->used - o->first + frame->length > STREAM_WINDOW)
        return lost(r, -EPROTO, "the agent sends more than it may");
    if (o->used + frame->length > STREAM_WINDOW) {
        memmove(o->bytes, o->bytes + o->first, o->used - o->first);
        o->used -= o->first;
        o->first = 0;
    }
    memcpy(o->bytes + o->used, frame->body, frame->length);
    o->used += frame->length;
    return 0;
}

static int take_exit(struct running *r, const struct frame *frame)
{
    char text[200], plain[200];
    r->over = true;
    r->status = frame->body[0];
    if (frame->part == EXIT_SIGNAL)
        r->status += 128;
    if (frame->part != EXIT_FAILED)
        return 0;
    u32 length = frame->length - 1u < sizeof(text) - 1 ? frame->length - 1u : sizeof(text) - 1;
    memcpy(text, frame->body + 1, length);
    text[length] = 0;
    error_plain(text, plain, sizeof(plain));
    return error_set(r->error, -EREMOTEIO, "%s: %s", r->vm, plain);
}

static int take(struct running *r, const struct frame *frame)
{
    if (frame->session != SESSION || r->over)
        return 0;
    switch (frame->type) {
    case FRAME_DATA: return take_data(r, frame);
    case FRAME_EXIT: return take_exit(r, frame);
    case FRAME_WINDOW:
        if (frame->part != STREAM_IN || get_number(frame->body, 4) > STREAM_WINDOW - r->window)
            return lost(r, -EPROTO, "the agent grants more than there is");
        r->window += (u32)get_number(frame->body, 4);
        return 0;
    default: return 0;
    }
}

static int read_guest(struct running *r)
{
    u8 bytes[CHUNK];
    struct frame frame;
    int e = 0;
    ssize_t n = recv(r->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return lost(r, -ECONNRESET, "the VM's process ended");
    for (size_t at = 0; at < (size_t)n && !e;) {
        at += frame_take(&r->reader, bytes + at, (size_t)n - at, &frame);
        if (frame.type != FRAME_FILL)
            e = take(r, &frame);
    }
    return e ? e : r->reader.found ? 0 : lost(r, -EPROTO, "the agent breaks its protocol");
}

/* -- to the guest -- */

static int read_input(struct running *r)
{
    u8 bytes[FRAME_BODY_MAX];
    ssize_t n = read(r->run->in, bytes, r->window < sizeof(bytes) ? r->window : sizeof(bytes));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n < 0)
        n = 0; /* a terminal that is gone has ended */
    r->input_ends = n == 0;
    r->window -= (u32)n;
    return send_frame(r, FRAME_DATA, STREAM_IN, bytes, (u32)n);
}

static int pass_signal(struct running *r)
{
    struct signalfd_siginfo info;
    u8 body[4];
    if (read(r->run->signals, &info, sizeof(info)) != sizeof(info))
        return 0;
    if (r->run->ends_at_signal)
        return error_set(r->error, -ECANCELED, "%s: broken off by a signal", r->vm);
    if (info.ssi_signo == SIGWINCH)
        return r->run->terminal && window_size(r->run->out, body) ? send_frame(r, FRAME_RESIZE, 0, body, 4) : 0;
    if (info.ssi_signo == SIGINT) {
        u64 now = monotonic_ns(), oldest = r->interrupt_ns[0];
        memmove(r->interrupt_ns, r->interrupt_ns + 1, (INTERRUPTS - 2) * sizeof(u64));
        r->interrupt_ns[INTERRUPTS - 2] = now;
        if (oldest && now - oldest < SECOND_NS)
            return error_set(r->error, -ECANCELED, "%s: the session was given up", r->vm);
    }
    body[0] = (u8)info.ssi_signo;
    return send_frame(r, FRAME_SIGNAL, 0, body, 1);
}

/* Writes what can be written without waiting: after poll a pipe or terminal takes PIPE_BUF bytes. */
static int write_out(struct running *r, struct outlet *o)
{
    u32 length = o->used - o->first;
    ssize_t n = write(o->fd, o->bytes + o->first, o->whole || length < PIPE_BUF ? length : PIPE_BUF);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n < 0)
        return error_set(r->error, errno == EPIPE ? -EPIPE : -EIO, "cannot write the command's output: %s",
                         strerror(errno));
    o->first += (u32)n;
    return grant(r, o, (u32)n);
}

/* -- all of it -- */

static bool pending(const struct outlet *o)
{
    return o->used > o->first;
}

static int turn(struct running *r)
{
    const struct agent_run *run = r->run;
    bool reads = !r->over && !r->input_ends && r->window && run->in >= 0;
    struct pollfd p[] = {
        {r->over ? -1 : r->fd, POLLIN},
        {reads ? run->in : -1, POLLIN},
        {pending(&r->outlet[STREAM_OUT]) ? r->outlet[STREAM_OUT].fd : -1, POLLOUT},
        {pending(&r->outlet[STREAM_ERROR]) ? r->outlet[STREAM_ERROR].fd : -1, POLLOUT},
        {run->signals, POLLIN},
    };
    if (poll(p, ARRAY_LEN(p), -1) < 0)
        return errno == EINTR ? 0 : error_set(r->error, -errno, "cannot wait: %s", strerror(errno));
    int e = p[0].revents ? read_guest(r) : 0;
    if (!e && p[4].revents)
        e = r->over ? error_set(r->error, -ECANCELED, "%s: the output was given up", r->vm) : pass_signal(r);
    if (!e && p[1].revents && !r->over)
        e = read_input(r);
    for (u32 i = STREAM_OUT; i < STREAMS && !e; i++)
        if (p[i + 1].revents)
            e = write_out(r, &r->outlet[i]);
    return e;
}

int agent_run(int fd, const char *vm, const struct agent_run *run, struct error *error)
{
    struct running *r = calloc(1, sizeof(*r));
    if (!r)
        return error_memory(error);
    r->run = run;
    r->vm = vm;
    r->fd = fd;
    r->error = error;
    r->window = STREAM_WINDOW;
    r->reader.found = true; /* the worker has just said so */
    for (u32 i = 0; i < STREAMS; i++) {
        struct stat st;
        struct outlet *o = &r->outlet[i];
        o->fd = i == STREAM_OUT ? run->out : i == STREAM_ERROR ? run->error : -1;
        o->whole = o->fd >= 0 && fstat(o->fd, &st) == 0 && S_ISREG(st.st_mode);
    }
    int e = open_session(r);
    while (!e && !(r->over && !pending(&r->outlet[STREAM_OUT]) && !pending(&r->outlet[STREAM_ERROR])))
        e = turn(r);
    if (!e)
        e = r->status;
    else if (!r->over) {
        struct error ignored;
        r->error = &ignored;
        (void)!send_frame(r, FRAME_CLOSE, 0, NULL, 0);
    }
    for (u32 i = 0; i < STREAMS; i++)
        free(r->outlet[i].bytes);
    free(r);
    return e;
}
