/*
 * Copies a capture block by block: whenever it ends, what was written is whole. pcapng says so: a block begins with its
 * type and its length, each of four bytes in the order of the host that wrote it, which is this one.
 */
#include "cli/capture.h"

#include "cli/capture_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER (1u << 20)
#define BLOCK_MIN 12u
#define BLOCK_MAX (512u << 10)

static volatile sig_atomic_t ended;

static void on_signal(int signal)
{
    ended = 1;
}

static void catch_signals(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal}; /* calls are interrupted */
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        sigaction(ends[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int capture_file(const char *path, bool lines, struct error *error)
{
    if (strcmp(path, "-") == 0) {
        if (lines || !isatty(STDOUT_FILENO))
            return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        error_set(error, -EINVAL, "a capture is nothing for a terminal");
        return error_hint(error, "name a file with " SETTING("write") ", or pipe it into tshark -r -");
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    return fd >= 0 ? fd : error_set(error, -errno, SETTING("write") " %.200s: %s", path, strerror(errno));
}

/* Returns how many of the bytes are whole blocks, or -EPROTO. */
static ssize_t whole_blocks(const char *bytes, size_t count)
{
    size_t at = 0;
    while (count - at >= BLOCK_MIN) {
        u32 length;
        memcpy(&length, bytes + at + 4, sizeof(length));
        if (length < BLOCK_MIN || length > BLOCK_MAX || length % 4)
            return -EPROTO;
        if (length > count - at)
            break;
        at += length;
    }
    return (ssize_t)at;
}

/* Writes all, even if Ctrl-c comes meanwhile: a second one ends it. */
static int write_whole(int fd, const char *bytes, size_t count)
{
    bool patient = !ended;
    while (count) {
        ssize_t n = write(fd, bytes, count);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n < 0 && !patient)
            return -EINTR;
        patient = !ended;
        if (n > 0) {
            bytes += n;
            count -= (size_t)n;
        }
    }
    return 0;
}

/* Writes a line for each block that is about a frame. */
static int write_lines(int fd, struct capture_lines *lines, const char *bytes, size_t count)
{
    int e = 0;
    for (size_t at = 0; at < count && !e;) {
        u32 length;
        memcpy(&length, bytes + at + 4, sizeof(length));
        json_t *object = capture_line(lines, (const u8 *)bytes + at, length);
        char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
        json_decref(object);
        if (text) {
            size_t used = strlen(text);
            text[used] = '\n'; /* in the place of its end */
            e = write_whole(fd, text, used + 1);
        }
        free(text);
        at += length;
    }
    return e;
}

/* Copies what there is. Returns 0, or -errno: -ENOTCONN at the end of the capture. */
static int copy_some(int from, int to, struct capture_lines *lines, char *buffer, size_t *used)
{
    ssize_t n = read(from, buffer + *used, BUFFER - *used);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    if (n == 0)
        return -ENOTCONN;
    *used += (size_t)n;
    ssize_t whole = whole_blocks(buffer, *used);
    int e = (int)whole;
    if (whole > 0)
        e = lines ? write_lines(to, lines, buffer, (size_t)whole) : write_whole(to, buffer, (size_t)whole);
    if (!e) {
        *used -= (size_t)whole;
        memmove(buffer, buffer + whole, *used);
    }
    return e;
}

int capture_copy(int from, int to, bool lines, const char *name, struct error *error)
{
    struct capture_lines made = {0};
    char *buffer = malloc(BUFFER);
    size_t used = 0;
    int e = buffer ? 0 : -ENOMEM;
    catch_signals();
    while (!e && !ended) {
        struct pollfd p[] = {{from, POLLIN}, {to, 0}}; /* a pipe without a reader is an error at once */
        if (poll(p, 2, -1) < 0)
            continue;
        if (p[1].revents & POLLERR)
            e = -EPIPE;
        else if (p[0].revents)
            e = copy_some(from, to, lines ? &made : NULL, buffer, &used);
    }
    free(buffer);
    capture_lines_free(&made);
    close(from);
    if (close(to) && !e)
        e = -errno;
    if (e == -EPIPE || ended)
        return 0; /* nobody wants more */
    if (e == -ENOTCONN)
        return error_set(error, e, "switch %s: the capture ends, because its process did", name);
    return e ? error_set(error, e, "cannot write the capture: %s", strerror(-e)) : 0;
}
