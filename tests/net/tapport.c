/*
 * Plays QEMU for a network namespace, so that a whole Linux stack is at a port of a switch without a VM: a tap device
 * in the namespace where it is started, and a listening unix socket as `-netdev stream,server=on` has it, with the
 * length of each frame before it (four bytes, network order). Like QEMU it has one client at a time, listens again when
 * that goes away, and throws away what the tap sends meanwhile. Stop it by SIGSTOP for a receiver that does not read;
 * with RATE it takes so many bytes per second only.
 * usage: tapport SOCKET TAP [RATE]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FRAME = 65553, LENGTH = 4, BATCH = 256 * 1024 };

/* Bytes [from, to) wait: of a stream towards the switch, or of one from it that is not yet a frame. */
struct bytes {
    uint8_t data[BATCH];
    size_t from, to;
};

static struct bytes out, in;
static uint64_t rate, next_ns; /* when it reads again */

static void die(const char *what)
{
    fprintf(stderr, "tapport: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int tap_open(const char *name)
{
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        die("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (ioctl(fd, TUNSETIFF, &request) < 0)
        die(name);
    return fd;
}

static int stream_listen(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
        die(path);
    strcpy(address.sun_path, path);
    unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
        die(path);
    return fd;
}

static void compact(struct bytes *b)
{
    memmove(b->data, b->data + b->from, b->to - b->from);
    b->to -= b->from;
    b->from = 0;
}

/* Fills `out` from the tap. Frames are thrown away if nobody is connected. */
static void tap_read(int tap, bool connected)
{
    compact(&out);
    while (out.to + LENGTH + FRAME <= BATCH) {
        ssize_t n = read(tap, out.data + out.to + LENGTH, FRAME);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0)
            die("the tap is gone");
        if (!connected)
            continue;
        uint32_t length = htonl((uint32_t)n);
        memcpy(out.data + out.to, &length, LENGTH);
        out.to += LENGTH + (size_t)n;
    }
}

/* Both return false if the client is gone. */
static bool stream_write(int client)
{
    while (out.from < out.to) {
        ssize_t n = send(client, out.data + out.from, out.to - out.from, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        out.from += (size_t)n;
    }
    return true;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool stream_read(int client, int tap)
{
    size_t room = BATCH - in.to;
    ssize_t n = recv(client, in.data + in.to, rate && room > 16384 ? 16384 : room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    in.to += (size_t)n;
    if (rate) { /* what a busy host kept it from taking, it takes later, but not more than of 100 ms */
        uint64_t least = now_ns() - 100000000;
        next_ns = (next_ns > least ? next_ns : least) + (uint64_t)n * 1000000000 / rate;
    }
    while (in.to - in.from >= LENGTH) {
        uint32_t length;
        memcpy(&length, in.data + in.from, LENGTH);
        length = ntohl(length);
        if (length > FRAME) {
            fprintf(stderr, "tapport: a frame of %u bytes\n", length);
            return false;
        }
        if (in.to - in.from < LENGTH + length)
            break;
        /* A tap that is down takes nothing, and one byte less than a header is refused: both are lost frames. */
        if (write(tap, in.data + in.from + LENGTH, length) < 0 && errno == EBADFD)
            die("the tap is gone");
        in.from += LENGTH + length;
    }
    compact(&in);
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: tapport SOCKET TAP [RATE]\n");
        return 2;
    }
    rate = argc == 4 ? strtoull(argv[3], NULL, 0) : 0;
    int tap = tap_open(argv[2]), listener = stream_listen(argv[1]), client = -1;
    for (;;) {
        uint64_t now = now_ns();
        bool waits = client >= 0 && now < next_ns;
        struct pollfd poll_fd[2] = {
            {.fd = client < 0 ? listener : client,
             .events = (short)((waits ? 0 : POLLIN) | (out.from < out.to ? POLLOUT : 0))},
            {.fd = client >= 0 && out.from < out.to ? -1 : tap, .events = POLLIN},
        };
        struct timespec until = {0, waits ? (long)((next_ns - now) % 1000000000) : 0};
        if (ppoll(poll_fd, 2, waits ? &until : NULL, NULL) < 0 && errno != EINTR)
            die("poll");
        if (client < 0 && poll_fd[0].revents & POLLIN) {
            client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            in.from = in.to = out.from = out.to = 0;
            continue;
        }
        bool alive = true;
        if (client >= 0 && poll_fd[0].revents & (POLLIN | POLLHUP | POLLERR))
            alive = stream_read(client, tap);
        if (poll_fd[1].revents & POLLIN)
            tap_read(tap, client >= 0);
        if (client >= 0 && alive)
            alive = stream_write(client);
        if (!alive) {
            close(client);
            client = -1;
            out.from = out.to = 0;
        }
    }
}
