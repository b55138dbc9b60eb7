/*
 * Opening and closing of what is behind a serial port. Called by the owner of the VM, before threads of the console
 * exist and after they have ended.
 */
#include "vmproc/endpoint.h"

#include "vmproc/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

static int fail(struct error *error, const char *setting, const char *where, int code)
{
    return error_set(error, code, SETTING("%s") " %s: %s", setting, where, strerror(-code));
}

/* A socket that nobody answers is left over from a VM that was killed, and may go. */
static bool socket_is_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool stale =
        fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

/* Returns 0 if a socket can be made there. */
static int socket_place(const struct sockaddr_un *address, const char *setting, struct error *error)
{
    const char *path = address->sun_path;
    struct stat st;
    if (lstat(path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return error_set(error, -EEXIST, SETTING("%s") " unix:%s: there is a %s of that name, not a socket", setting,
                         path,
                         S_ISDIR(st.st_mode)   ? "folder"
                         : S_ISLNK(st.st_mode) ? "link"
                                               : "file");
    if (!socket_is_stale(address)) {
        error_set(error, -EADDRINUSE, SETTING("%s") " unix:%s: another program listens there", setting, path);
        return error_hint(error, "name another path, or end that program");
    }
    unlink(path);
    return 0;
}

static int open_socket(struct endpoint *e, const char *setting, const char *path, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(error, -EINVAL, SETTING("%s") " unix:%s: the path of a socket has 1 to %zu characters",
                         setting, path, sizeof(address.sun_path) - 1);
    strcpy(address.sun_path, path);
    int err = socket_place(&address, setting, error);
    if (err)
        return err;
    e->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (e->listener < 0 || bind(e->listener, (struct sockaddr *)&address, sizeof(address)) < 0)
        return fail(error, setting, path, -errno);
    e->path = strdup(path);
    if (!e->path)
        unlink(path);
    else
        crash_remove(e->path);
    if (!e->path || listen(e->listener, 1) < 0)
        return fail(error, setting, path, e->path ? -errno : -ENOMEM);
    return 0;
}

/* The terminal's other side is opened once and closed: from then on the kernel says whether anybody has it open. */
static int open_pty(struct endpoint *e, const char *setting, struct error *error)
{
    struct termios t;
    e->in = e->out = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (e->in < 0 || grantpt(e->in) || unlockpt(e->in))
        return fail(error, setting, "pty", -errno);
    e->path = strdup(ptsname(e->in));
    if (!e->path)
        return fail(error, setting, "pty", -ENOMEM);
    int other = open(e->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (other < 0)
        return fail(error, setting, e->path, -errno);
    if (tcgetattr(other, &t) == 0) {
        cfmakeraw(&t);
        tcsetattr(other, TCSANOW, &t);
    }
    close(other);
    return 0;
}

int endpoint_open(struct endpoint *e, const char *setting, const struct serial *where, struct outputs *outputs,
                  struct error *error)
{
    int err = 0;
    *e = (struct endpoint){.kind = where->kind, .in = -1, .out = -1, .listener = -1};
    switch (where->kind) {
    case SERIAL_NONE: break;
    case SERIAL_STDIO:
        e->in = STDIN_FILENO;
        e->out = STDOUT_FILENO;
        break;
    case SERIAL_PTY: err = open_pty(e, setting, error); break;
    case SERIAL_SOCKET: err = open_socket(e, setting, where->path, error); break;
    case SERIAL_FILE:
        err = output_open(outputs, setting, where->path, error);
        if (err >= 0)
            e->out = err;
        break;
    }
    if (err < 0)
        endpoint_close(e);
    return err < 0 ? err : 0;
}

void endpoint_leave(struct endpoint *e)
{
    if (e->kind == SERIAL_SOCKET)
        crash_forget(e->path);
}

void endpoint_close(struct endpoint *e)
{
    endpoint_leave(e);
    if (e->kind != SERIAL_STDIO && e->out >= 0)
        close(e->out);
    if (e->listener >= 0)
        close(e->listener);
    free(e->path);
    *e = (struct endpoint){.in = -1, .out = -1, .listener = -1};
}
