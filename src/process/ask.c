/*
 * The side of a control socket that asks: see ask.h.
 */
#include "process/ask.h"

#include "base/monotonic.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define NS_PER_MS 1000000ull
#define ANSWER_MAX (32u << 20)
#define CONNECT_S 2

bool ask_wait(int fd, short events, u64 until_ns)
{
    for (;;) {
        struct pollfd p = {fd, events};
        u64 now = monotonic_ns();
        int n = now < until_ns ? poll(&p, 1, (int)((until_ns - now) / NS_PER_MS) + 1) : 0;
        if (n >= 0 || errno != EINTR)
            return n > 0;
    }
}

int ask_no_answer(const struct ask_peer *peer, struct error *error)
{
    error_set(error, -ETIMEDOUT, "%s does not answer", peer->name);
    return error_hint(error, peer->hangs);
}

int ask_connect(const char *path, const struct ask_peer *peer, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(error, -ENAMETOOLONG, "%.200s: the path is too long for a socket", path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(error, -errno, "cannot make a socket: %s", strerror(errno));
    /* Many commands at once wait for their turn: this bounds connect(), which then says EAGAIN. */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){.tv_sec = CONNECT_S}, sizeof(struct timeval));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
        return fd;
    int e = -errno;
    close(fd);
    if (e == -ENOENT || e == -ECONNREFUSED) {
        error_set(error, -ENOTCONN, "%s does not run", peer->name);
        return error_hint(error, peer->absent);
    }
    return e == -EAGAIN ? ask_no_answer(peer, error) : error_path(error, e, path);
}

static int send_all(int fd, const struct ask_peer *peer, const char *text, u64 until_ns, struct error *error)
{
    for (size_t length = strlen(text); length;) {
        ssize_t n = send(fd, text, length, MSG_NOSIGNAL);
        if (n > 0) {
            text += n;
            length -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            if (!ask_wait(fd, POLLOUT, until_ns))
                return ask_no_answer(peer, error);
        } else if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            return error_set(error, -EPIPE, "%s: its process ended", peer->name);
        } else if (n < 0 && errno != EINTR) {
            return error_set(error, -errno, "%s: %s", peer->name, strerror(errno));
        }
    }
    return 0;
}

/* Reads a line, byte by byte at its end: what follows it (a capture, a console) is not ours. */
static int read_line(int fd, const struct ask_peer *peer, char **line, size_t *length, u64 until_ns,
                     struct error *error)
{
    size_t used = 0, size = 0;
    char *text = NULL;
    for (;;) {
        if (used == size) {
            size = size ? 2 * size : 4096;
            char *bigger = size <= ANSWER_MAX ? realloc(text, size) : NULL;
            if (!bigger) {
                free(text);
                return error_set(error, -ENOMEM, "%s: no memory for its answer", peer->name);
            }
            text = bigger;
        }
        ssize_t n = recv(fd, text + used, size - used, MSG_PEEK);
        char *end = n > 0 ? memchr(text + used, '\n', (size_t)n) : NULL;
        size_t take = end ? (size_t)(end - text) + 1 - used : n > 0 ? (size_t)n : 0;
        if (take && recv(fd, text + used, take, 0) == (ssize_t)take)
            used += take;
        if (end) {
            *line = text;
            *length = used;
            return 0;
        }
        if (n > 0 || (n < 0 && errno == EINTR))
            continue;
        if (n < 0 && errno == EAGAIN && ask_wait(fd, POLLIN, until_ns))
            continue;
        free(text);
        if (n < 0 && errno == EAGAIN)
            return ask_no_answer(peer, error);
        return error_set(error, -EPIPE, "%s: its process ended", peer->name);
    }
}

int ask_error(const json_t *json, struct error *error)
{
    const char *text = json_string_value(json_object_get(json, "text"));
    const char *hint = json_string_value(json_object_get(json, "hint"));
    int code = (int)json_integer_value(json_object_get(json, "code"));
    error_set(error, code < 0 ? code : -EPROTO, "%s", text ? text : "what was answered is no answer");
    return error_hint(error, hint ? hint : "");
}

static int send_request(int fd, const struct ask_peer *peer, const json_t *request, u64 until_ns, struct error *error)
{
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    int e = text ? send_all(fd, peer, text, until_ns, error) : error_memory(error);
    free(text);
    return e ? e : send_all(fd, peer, "\n", until_ns, error);
}

int ask(int fd, const struct ask_peer *peer, const struct ask *how, const json_t *request, json_t **answer,
        struct error *error)
{
    u64 until_ns = monotonic_ns() + how->wait_ms * NS_PER_MS;
    int e = send_request(fd, peer, request, until_ns, error);
    while (!e) {
        char *line = NULL;
        size_t length = 0;
        e = read_line(fd, peer, &line, &length, until_ns, error);
        if (e)
            break;
        json_t *object = json_loadb(line, length, 0, NULL);
        free(line);
        const json_t *progress = json_object_get(object, "progress");
        if (json_is_true(json_object_get(object, "ok"))) {
            *answer = object;
            return 0;
        }
        if (progress && how->progress)
            how->progress(progress, how->opaque);
        if (progress && how->progress)
            until_ns = monotonic_ns() + how->wait_ms * NS_PER_MS;
        if (!progress)
            e = ask_error(json_object_get(object, "error"), error);
        json_decref(object);
    }
    return e;
}
