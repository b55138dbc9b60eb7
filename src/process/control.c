/*
 * Serves a control socket on the thread of the loop. A connection has one request at a time: while an answer is being
 * written nothing is read, so a peer that sends without reading waits for itself. A peer that does not take its answer
 * costs that memory until somebody else wants its place.
 */
#include "process/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS 16
#define NOBODY 65534u /* by whom the kernel shows users that a namespace has not */
#define REQUEST_MAX 4096
#define LAST_WAITS 5 /* at the end, for peers that are to take their answers */
#define LAST_WAIT_MS 20
#define SERVED_AT_ONCE 16 /* requests of one peer, before others have their turn */

struct connection {
    struct watch watch; /* fd -1: free */
    struct control *control;
    u64 serial; /* by which the oldest is found */
    char request[REQUEST_MAX];
    size_t used;
    char *answer; /* NULL: none is being written */
    size_t length, written;
    u32 events; /* that it waits for */
    bool ends;  /* after the answer */
    bool waits; /* for an answer that comes later */
};

struct control {
    struct watch watch;
    struct loop *loop;
    const struct control_request *requests;
    void *opaque;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    u64 serial, asker;
    bool hears_nobody;
    struct connection connection[CONNECTIONS];
};

json_t *control_error_json(const struct error *error)
{
    return json_pack("{s:i, s:s%, s:s%}", "code", error->code, "text", error->text,
                     strnlen(error->text, sizeof(error->text)), "hint", error->hint,
                     strnlen(error->hint, sizeof(error->hint)));
}

/* -- one connection -- */

static void drop(struct connection *c)
{
    if (c->watch.fd < 0)
        return;
    loop_unwatch(c->control->loop, &c->watch);
    close(c->watch.fd);
    c->watch.fd = -1;
    free(c->answer);
    c->answer = NULL;
}

static void wait_for(struct connection *c, u32 events)
{
    if (events != c->events && loop_watch(c->control->loop, &c->watch, events))
        drop(c);
    c->events = events;
}

/* Writes what is taken of the answer. Returns true if all is written. */
static bool write_answer(struct connection *c)
{
    while (c->answer && c->written < c->length) {
        ssize_t n = send(c->watch.fd, c->answer + c->written, c->length - c->written, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            wait_for(c, EPOLLOUT);
            return false;
        }
        if (n < 0) {
            drop(c);
            return false;
        }
        c->written += (size_t)n;
    }
    free(c->answer);
    c->answer = NULL;
    if (c->ends)
        drop(c);
    else
        wait_for(c, c->waits ? 0 : EPOLLIN);
    return c->watch.fd >= 0;
}

/* Adds a line to what is being written. Returns true if all is written. */
static bool answer(struct connection *c, json_t *reply)
{
    char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
    size_t before = c->answer ? c->length : 0, length = text ? strlen(text) : 0;
    char *line = text ? realloc(c->answer, before + length + 1) : NULL;
    json_decref(reply);
    if (line) {
        memcpy(line + before, text, length);
        line[before + length] = '\n';
        c->written = before ? c->written : 0;
        c->length = before + length + 1;
        c->answer = line;
    }
    free(text);
    if (!line) {
        drop(c);
        return false;
    }
    return write_answer(c);
}

static bool answer_error(struct connection *c, const struct error *error)
{
    return answer(c, json_pack("{s:b, s:o}", "ok", 0, "error", control_error_json(error)));
}

static const struct control_request *find_request(const struct control *control, const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "do"));
    for (const struct control_request *r = control->requests; name && r->name; r++)
        if (strcmp(r->name, name) == 0)
            return r;
    return NULL;
}

/* The connection leaves with its taker, once the answer is written; one that is slow even for this line is closed. */
static void hand_over(struct connection *c, const struct control_request *what, const json_t *request)
{
    if (c->answer) {
        drop(c);
        return;
    }
    int fd = c->watch.fd;
    loop_unwatch(c->control->loop, &c->watch);
    c->watch.fd = -1;
    what->take(c->control->opaque, request, fd);
}

/* Returns true if the connection can have another request. */
static bool serve(struct connection *c, const char *line, size_t length)
{
    struct error error;
    json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    const struct control_request *what = find_request(c->control, request);
    bool goes_on;
    if (!what) {
        error_set(&error, -EINVAL, json_is_object(request) ? "there is no such request" : "this is no request");
        goes_on = answer_error(c, &error);
    } else {
        json_t *reply = json_pack("{s:b}", "ok", 1);
        c->control->asker = c->serial;
        c->waits = true; /* the answer may come before `act` returns */
        int e = reply ? what->act(c->control->opaque, request, reply, &error) : error_memory(&error);
        c->control->asker = 0;
        bool answered = !c->waits;
        c->waits = e == CONTROL_LATER && !answered;
        if (e == CONTROL_LATER) {
            json_decref(reply);
            if (c->waits)
                wait_for(c, 0);
            goes_on = answered && c->watch.fd >= 0 && !c->answer;
        } else if (e) {
            json_decref(reply);
            goes_on = answer_error(c, &error);
        } else {
            goes_on = answer(c, reply);
            if (what->take && c->watch.fd >= 0) {
                hand_over(c, what, request);
                goes_on = false;
            }
        }
    }
    json_decref(request);
    return goes_on;
}

/* Serves the lines that are whole, as long as each answer is taken at once. */
static void serve_lines(struct connection *c)
{
    for (unsigned i = 0; i < SERVED_AT_ONCE; i++) {
        char *end = memchr(c->request, '\n', c->used);
        char line[REQUEST_MAX];
        if (!end)
            return;
        size_t length = (size_t)(end - c->request);
        memcpy(line, c->request, length);
        c->used -= length + 1;
        memmove(c->request, end + 1, c->used);
        if (!serve(c, line, length))
            return;
    }
    drop(c); /* nobody has so much to ask in one message */
}

static void readable(struct connection *c)
{
    ssize_t n = recv(c->watch.fd, c->request + c->used, sizeof(c->request) - c->used, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    c->used += (size_t)n;
    serve_lines(c);
    if (c->watch.fd >= 0 && !c->answer && !c->waits && c->used == sizeof(c->request)) {
        struct error error;
        error_set(&error, -EMSGSIZE, "a request has at most %u bytes", REQUEST_MAX - 1);
        c->ends = true;
        answer_error(c, &error);
    }
}

static void ready(struct watch *watch, u32 events)
{
    struct connection *c = container_of(watch, struct connection, watch);
    if (c->answer && events & EPOLLOUT) {
        if (write_answer(c))
            serve_lines(c);
    } else if (events & EPOLLIN) {
        readable(c);
    } else if (events & (EPOLLHUP | EPOLLERR)) {
        drop(c);
    }
}

/* -- answers that come later -- */

u64 control_asker(const struct control *control)
{
    return control->asker;
}

static struct connection *waiting(struct control *control, u64 asker)
{
    for (struct connection *c = control->connection; c < control->connection + CONNECTIONS; c++)
        if (c->watch.fd >= 0 && c->waits && c->serial == asker)
            return c;
    return NULL;
}

void control_answer(struct control *control, u64 asker, json_t *reply)
{
    struct connection *c = waiting(control, asker);
    if (!c) {
        json_decref(reply);
        return;
    }
    c->waits = false;
    if (answer(c, reply) && control->asker != asker)
        serve_lines(c);
}

void control_answer_error(struct control *control, u64 asker, const struct error *error)
{
    control_answer(control, asker, json_pack("{s:b, s:o}", "ok", 0, "error", control_error_json(error)));
}

bool control_progress(struct control *control, u64 asker, json_t *progress)
{
    struct connection *c = waiting(control, asker);
    if (c && !c->answer)
        answer(c, json_pack("{s:O}", "progress", progress));
    json_decref(progress);
    return waiting(control, asker) != NULL;
}

/* -- the socket -- */

/* Returns a free place, if need be that of the connection that is there longest; those that wait come last. */
static struct connection *place(struct control *control)
{
    struct connection *oldest = &control->connection[0];
    for (struct connection *c = control->connection; c < control->connection + CONNECTIONS; c++) {
        if (c->watch.fd < 0)
            return c;
        if (c->waits != oldest->waits ? oldest->waits : c->serial < oldest->serial)
            oldest = c;
    }
    drop(oldest);
    return oldest;
}

static bool may(const struct control *control, int fd)
{
    struct ucred who;
    socklen_t size = sizeof(who);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size))
        return false;
    return who.uid == geteuid() || who.uid == 0 || (control->hears_nobody && who.uid == NOBODY);
}

static void incoming(struct watch *watch, u32 events)
{
    struct control *control = container_of(watch, struct control, watch);
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (!may(control, fd)) {
        close(fd);
        return;
    }
    struct connection *c = place(control);
    memset(c, 0, sizeof(*c));
    c->watch = (struct watch){fd, ready};
    c->control = control;
    c->serial = ++control->serial;
    c->events = EPOLLIN;
    if (loop_watch(control->loop, &c->watch, EPOLLIN)) {
        close(fd);
        c->watch.fd = -1;
    }
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, CONNECTIONS)) {
        int e = -errno;
        close(fd);
        return e;
    }
    return fd;
}

struct control *control_new(struct loop *loop, const char *path, const struct control_request *requests, void *opaque,
                            struct error *error)
{
    struct control *control = calloc(1, sizeof(*control));
    if (!control) {
        error_memory(error);
        return NULL;
    }
    int fd = listen_at(path), e = fd < 0 ? fd : 0;
    control->watch = (struct watch){fd, incoming};
    control->loop = loop;
    control->requests = requests;
    control->opaque = opaque;
    for (unsigned i = 0; i < CONNECTIONS; i++)
        control->connection[i].watch.fd = -1;
    if (!e) {
        strcpy(control->path, path);
        e = loop_watch(loop, &control->watch, EPOLLIN);
    }
    if (!e)
        return control;
    error_set(error, e, "cannot listen at %.200s: %s", path, strerror(-e));
    if (fd >= 0)
        close(fd);
    free(control);
    return NULL;
}

void control_hear_nobody(struct control *control)
{
    control->hears_nobody = true;
}

int control_renew(struct control *control)
{
    struct watch renewed = {listen_at(control->path), incoming};
    if (renewed.fd < 0)
        return renewed.fd;
    loop_unwatch(control->loop, &control->watch);
    close(control->watch.fd);
    control->watch = renewed;
    return loop_watch(control->loop, &control->watch, EPOLLIN);
}

void control_free(struct control *control)
{
    if (!control)
        return;
    for (struct connection *c = control->connection; c < control->connection + CONNECTIONS; c++) {
        for (unsigned i = 0; c->watch.fd >= 0 && c->answer && i < LAST_WAITS && !write_answer(c); i++)
            poll(&(struct pollfd){c->watch.fd, POLLOUT}, 1, LAST_WAIT_MS);
        drop(c);
    }
    loop_unwatch(control->loop, &control->watch);
    close(control->watch.fd);
    unlink(control->path);
    free(control);
}
