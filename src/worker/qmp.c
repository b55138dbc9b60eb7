/*
 * The client of QMP. Each command gets a number, by which its answer is found; QEMU answers in any order. Messages are
 * small against a socket's buffer: a QEMU that does not take one hangs, and counts as lost.
 */
#include "worker/qmp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_MAX (32u << 20)
#define WAITING_MAX 64

struct qmp {
    struct loop *loop;
    struct watch watch;
    struct qmp_events *events;
    struct {
        u64 id; /* 0: free */
        struct qmp_call *call;
    } waiting[WAITING_MAX];
    u64 last_id;
    char *input;
    size_t used, size;
    bool lost;
    bool *freed; /* on the stack of who reads; NULL: nobody does */
};

static void answer(struct qmp_call *call, json_t *result, const struct error *error)
{
    if (call)
        call->done(call, result, error);
}

static void lose(struct qmp *q)
{
    struct error error;
    if (q->lost)
        return;
    q->lost = true;
    loop_unwatch(q->loop, &q->watch);
    error_set(&error, -EPIPE, "QEMU does not answer any more");
    for (u32 i = 0; i < WAITING_MAX; i++) {
        struct qmp_call *call = q->waiting[i].id ? q->waiting[i].call : NULL;
        q->waiting[i].id = 0;
        answer(call, NULL, &error);
    }
    q->events->lost(q->events);
}

static int read_error(const json_t *e, struct error *error)
{
    const char *text = json_string_value(json_object_get(e, "desc"));
    return error_set(error, -EIO, "QEMU: %s", text ? text : "an error without a text");
}

/* An answer, an event or the greeting. */
static void take(struct qmp *q, json_t *message)
{
    const char *event = json_string_value(json_object_get(message, "event"));
    u64 id = (u64)json_number_value(json_object_get(message, "id"));
    struct error error;
    if (event) {
        q->events->event(q->events, event, json_object_get(message, "data"));
        return;
    }
    for (u32 i = 0; id && i < WAITING_MAX; i++) {
        if (q->waiting[i].id != id)
            continue;
        struct qmp_call *call = q->waiting[i].call;
        json_t *result = json_object_get(message, "return");
        q->waiting[i].id = 0;
        if (!result)
            read_error(json_object_get(message, "error"), &error);
        answer(call, result, result ? NULL : &error);
        return;
    }
}

/* Takes the lines that are whole. Returns false if the client was freed meanwhile. */
static bool take_lines(struct qmp *q)
{
    bool freed = false;
    size_t from = 0;
    q->freed = &freed;
    for (char *end; !freed && (end = memchr(q->input + from, '\n', q->used - from));) {
        size_t length = (size_t)(end - q->input) - from;
        json_t *message = json_loadb(q->input + from, length, 0, NULL);
        /* QEMU writes -1 as 2^64 - 1 where a guest has not said something yet; then all numbers become reals. */
        if (!message)
            message = json_loadb(q->input + from, length, JSON_DECODE_INT_AS_REAL, NULL);
        from = (size_t)(end - q->input) + 1;
        if (message)
            take(q, message);
        json_decref(message);
    }
    if (freed)
        return false;
    q->freed = NULL;
    q->used -= from;
    memmove(q->input, q->input + from, q->used);
    return true;
}

static bool make_room(struct qmp *q)
{
    if (q->size - q->used >= 4096)
        return true;
    size_t size = q->size ? 2 * q->size : 16384;
    char *bigger = size <= INPUT_MAX ? realloc(q->input, size) : NULL;
    if (!bigger)
        return false;
    q->input = bigger;
    q->size = size;
    return true;
}

static void ready(struct watch *watch, u32 events)
{
    struct qmp *q = container_of(watch, struct qmp, watch);
    if (!make_room(q)) {
        lose(q);
        return;
    }
    ssize_t n = recv(q->watch.fd, q->input + q->used, q->size - q->used, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        lose(q);
        return;
    }
    q->used += (size_t)n;
    take_lines(q);
}

struct qmp *qmp_new(struct loop *loop, int fd, struct qmp_events *events, struct error *error)
{
    struct qmp *q = calloc(1, sizeof(*q));
    int e = q ? 0 : -ENOMEM;
    if (q) {
        *q = (struct qmp){.loop = loop, .watch = {fd, ready}, .events = events};
        e = loop_watch(loop, &q->watch, EPOLLIN);
    }
    if (e) {
        error_set(error, e, "cannot speak with QEMU: %s", strerror(-e));
        free(q);
        close(fd);
        return NULL;
    }
    qmp_send(q, "qmp_capabilities", NULL, NULL);
    return q;
}

void qmp_free(struct qmp *q)
{
    if (!q)
        return;
    if (q->freed)
        *q->freed = true;
    if (!q->lost)
        loop_unwatch(q->loop, &q->watch);
    close(q->watch.fd);
    free(q->input);
    free(q);
}

static bool put(struct qmp *q, const char *text, size_t length, int fd)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {(void *)(uintptr_t)text, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    }
    ssize_t n;
    do
        n = sendmsg(q->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)length;
}

static bool send_command(struct qmp *q, const char *command, json_t *arguments, int fd, u64 id)
{
    json_t *message = json_pack("{s:s, s:I, s:o*}", "execute", command, "id", (json_int_t)id, "arguments", arguments);
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    bool ok = text && put(q, text, strlen(text), fd);
    free(text);
    json_decref(message);
    return ok;
}

void qmp_send_fd(struct qmp *q, const char *command, json_t *arguments, int fd, struct qmp_call *call)
{
    struct error error;
    u32 i = 0;
    while (i < WAITING_MAX && q->waiting[i].id)
        i++;
    if (q->lost || i == WAITING_MAX) {
        json_decref(arguments);
        error_set(&error, q->lost ? -EPIPE : -EBUSY, "QEMU does not answer");
        answer(call, NULL, &error);
        return;
    }
    q->waiting[i].id = ++q->last_id;
    q->waiting[i].call = call;
    if (!send_command(q, command, arguments, fd, q->last_id))
        lose(q);
}

void qmp_send(struct qmp *q, const char *command, json_t *arguments, struct qmp_call *call)
{
    qmp_send_fd(q, command, arguments, -1, call);
}
