/*
 * Taps: see tap.h. The descriptor is watched by edges, because a port that may not send is not read.
 */
#include "vswitch/tap.h"

#include "net/frame.h"
#include "vswitch/queue.h"
#include "vswitch/uplink_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct tap {
    struct watch watch;
    struct port *port;
    tap_filter *filter;
    void *opaque;
    u8 frame[FRAME_MAX];
};

static int open_device(struct error *error)
{
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    int err = -errno;
    error_set(error, err, "/dev/net/tun cannot be opened: %s", strerror(-err));
    error_hint(error, err == -EACCES || err == -EPERM ? "run the switch as root: it takes this device and CAP_NET_ADMIN"
                      : err == -ENODEV                ? "as root: modprobe tun"
                                                      : "as root: mkdir -p /dev/net; mknod /dev/net/tun c 10 200");
    return err;
}

static int attach(int fd, const char *interface, struct error *error)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
    if (ioctl(fd, TUNSETIFF, &request) == 0)
        return 0;
    int err = -errno;
    if (err == -EPERM) {
        error_set(error, err, "no right to make the interface %s: CAP_NET_ADMIN is missing", interface);
        return error_hint(error, "run the switch as root");
    }
    if (err == -EBUSY) {
        error_set(error, err, "the interface %s is another process's", interface);
        return error_hint(error, "a switch of that name runs already, perhaps with another NESTBOX_HOME");
    }
    return error_set(error, err, "the interface %s cannot be made: %s", interface, strerror(-err));
}

/* -- The port -- */

static bool fill(struct port *port)
{
    struct tap *tap = port->back;
    while (port_may_send(port)) {
        ssize_t n = read(tap->watch.fd, tap->frame, sizeof(tap->frame));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        vswitch_input(port->sw, port, tap->frame, (u32)n);
    }
    return true;
}

/* A frame that the host refuses, because the interface is down, is lost as on a wire. */
static void flush(struct port *port)
{
    struct tap *tap = port->back;
    const u8 *frame;
    u32 length;
    while ((frame = queue_frame(port->queue, &length))) {
        if (!tap->filter || !tap->filter(tap->opaque, frame, length)) {
            ssize_t n;
            do
                n = write(tap->watch.fd, frame, length);
            while (n < 0 && errno == EINTR);
            if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
                return;
        }
        queue_taken(port->queue, length + QUEUE_PREFIX);
    }
}

static void ready(struct watch *watch, u32 events)
{
    struct tap *tap = container_of(watch, struct tap, watch);
    if (events & EPOLLOUT)
        port_flush(tap->port);
    if (events & ~(u32)EPOLLOUT)
        port_readable(tap->port);
}

static void detach(struct tap *tap)
{
    if (tap->watch.fd < 0)
        return;
    vswitch_unwatch(tap->port->sw, &tap->watch);
    close(tap->watch.fd);
    tap->watch.fd = -1;
    tap->filter = NULL;
}

static void close_port(struct port *port)
{
    detach(port->back);
    free(port->back);
}

static const struct port_ops port_ops = {.fill = fill, .flush = flush, .close = close_port};

void tap_set_filter(struct port *port, tap_filter *filter, void *opaque)
{
    struct tap *tap = port->back;
    tap->filter = filter;
    tap->opaque = opaque;
}

void tap_remove(struct port *port)
{
    detach(port->back);
    vswitch_port_remove(port->sw, port);
}

static int watch_tap(struct vswitch *sw, struct tap *tap, struct error *error)
{
    int err = vswitch_watch(sw, &tap->watch, EPOLLIN | EPOLLOUT | EPOLLET);
    return err ? error_set(error, err, "a tap cannot be watched: %s", strerror(-err)) : 0;
}

static int add(struct vswitch *sw, struct tap *tap, struct error *error)
{
    int err = watch_tap(sw, tap, error);
    if (err)
        return err;
    err = vswitch_port_add(sw, tap->port, error);
    if (err)
        vswitch_unwatch(sw, &tap->watch);
    return err;
}

int tap_add(struct vswitch *sw, enum port_kind kind, const char *id, const char *name, const char *interface,
            struct port **made, struct error *error)
{
    int fd = open_device(error), err = fd < 0 ? fd : attach(fd, interface, error);
    struct tap *tap = err ? NULL : calloc(1, sizeof(*tap));
    struct port *port = err ? NULL : uplink_port_new(kind, id, name);
    if (!err && (!tap || !port))
        err = error_set(error, -ENOMEM, "no memory for the interface %s", interface);
    if (!err) {
        tap->watch = (struct watch){fd, ready};
        tap->port = port;
        port->ops = &port_ops;
        port->back = tap;
        err = add(sw, tap, error);
    }
    if (err) {
        if (fd >= 0)
            close(fd);
        free(tap);
        free(port);
        return err;
    }
    *made = port;
    return 0;
}

bool tap_has(const struct port *port, const char *interface)
{
    const struct tap *tap = port->back;
    struct ifreq request = {0};
    return ioctl(tap->watch.fd, TUNGETIFF, &request) == 0 && strcmp(request.ifr_name, interface) == 0;
}

/* A device that lost its interface is good for nothing, so another one takes its place. */
int tap_renew(struct port *port, const char *interface, struct error *error)
{
    struct tap *tap = port->back;
    int fd = open_device(error), err = fd < 0 ? fd : attach(fd, interface, error);
    if (err) {
        if (fd >= 0)
            close(fd);
        return err;
    }
    vswitch_unwatch(port->sw, &tap->watch);
    close(tap->watch.fd);
    tap->watch.fd = fd;
    return watch_tap(port->sw, tap, error);
}
