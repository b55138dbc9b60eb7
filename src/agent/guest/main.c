/*
 * nestbox-agent: see agent.h. Serves the host on a virtio-serial port, on vsock, or on a Unix socket (for containers,
 * and for tests).
 */
#include "agent/guest/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_PATH "/dev/virtio-ports/" AGENT_PORT
#define LISTEN_MAX 64

static const char usage[] = "Usage: nestbox-agent [--port PATH] [--vsock] [--socket PATH]\n"
                            "\n"
                            "Serves nestbox on the host: commands, copies, the state of the guest.\n"
                            "\n"
                            "  --port PATH    a virtio-serial port; without any option " PORT_PATH "\n"
                            "  --vsock        vsock, port 900; only the host is heard\n"
                            "  --socket PATH  a Unix socket, for this user only\n"
                            "  --version\n"
                            "  --help\n";

struct listener {
    struct watch watch;
    struct agent *agent;
    bool vsock;
};

static int fail(const char *what)
{
    fprintf(stderr, "nestbox-agent: %s: %s\n", what, strerror(errno));
    return 1;
}

/* -- processes -- */

static struct watch signals;
static struct agent agent;

static void signalled(struct watch *watch, u32 events)
{
    struct signalfd_siginfo info;
    pid_t pid;
    int status;
    while (read(watch->fd, &info, sizeof(info)) == sizeof(info))
        if (info.ssi_signo != SIGCHLD)
            loop_stop(&agent.loop);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        sessions_child(&agent, pid, status);
}

static int watch_signals(void)
{
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = (struct watch){signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), signalled};
    return signals.fd < 0 ? -errno : loop_watch(&agent.loop, &signals, EPOLLIN);
}

/* -- sockets -- */

/* Any program in the guest can reach a vsock port of its own machine. */
static bool from_host(int fd)
{
    struct sockaddr_vm peer;
    socklen_t size = sizeof(peer);
    return getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.svm_cid == VMADDR_CID_HOST;
}

static void incoming(struct watch *watch, u32 events)
{
    struct listener *l = container_of(watch, struct listener, watch);
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (l->vsock && !from_host(fd))
        close(fd);
    else
        peer_new(l->agent, fd, false);
}

static int listen_at(struct listener *l, const struct sockaddr *address, socklen_t size)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    l->agent = &agent;
    l->watch = (struct watch){fd, incoming};
    return fd < 0 || bind(fd, address, size) || listen(fd, LISTEN_MAX) ? -errno
                                                                       : loop_watch(&agent.loop, &l->watch, EPOLLIN);
}

static int listen_vsock(void)
{
    static struct listener vsock = {.vsock = true};
    const struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = AGENT_VSOCK_PORT};
    return listen_at(&vsock, (const struct sockaddr *)&address, sizeof(address));
}

static int listen_unix(const char *path)
{
    static struct listener unix_socket;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return -(errno = ENAMETOOLONG);
    strcpy(address.sun_path, path);
    unlink(path);
    mode_t mask = umask(077);
    int e = listen_at(&unix_socket, (const struct sockaddr *)&address, sizeof(address));
    umask(mask);
    return e;
}

static int open_port(const char *path)
{
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? -errno : peer_new(&agent, fd, true) ? 0 : -(errno = ENOMEM);
}

/* A kernel may leave memory that is added by the host offline, and wait for a rule of udev that not all systems have.
 */
static void take_added_memory(void)
{
    static const char file[] = "/sys/devices/system/memory/auto_online_blocks", online[] = "online";
    char now[16] = "";
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    if (read(fd, now, sizeof(now) - 1) > 0 && strncmp(now, "offline", 7) == 0)
        (void)!pwrite(fd, online, sizeof(online) - 1, 0);
    close(fd);
}

int main(int argc, char **argv)
{
    const char *port = argc == 1 ? PORT_PATH : NULL, *path = NULL;
    bool vsock = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--port") == 0 && i + 1 < argc) {
            port = argv[++i];
        } else if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc) {
            path = argv[++i];
        } else if (strcmp(argv[i], "--vsock") == 0) {
            vsock = true;
        } else {
            bool help = strcmp(argv[i], "--help") == 0, version = strcmp(argv[i], "--version") == 0;
            fputs(version ? PROGRAM_TEXT "\n" : usage, help || version ? stdout : stderr);
            return help || version ? 0 : 2;
        }
    }
    take_added_memory();
    list_init(&agent.peers);
    if (getrandom(&agent.instance, sizeof(agent.instance), GRND_NONBLOCK) < 0)
        agent.instance = (u64)getpid() << 32 ^ (u64)time(NULL);
    int e = loop_init(&agent.loop);
    if (!e)
        e = watch_signals();
    if (e)
        return fail("cannot begin");
    if (port && open_port(port))
        return fail(port);
    if (vsock && listen_vsock())
        return fail("vsock");
    if (path && listen_unix(path))
        return fail(path);
    e = loop_run(&agent.loop);
    while (!list_empty(&agent.peers))
        peer_free(peer_of(agent.peers.after));
    if (path)
        unlink(path);
    return e != 0;
}
