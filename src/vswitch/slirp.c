/*
 * NAT by libslirp, without any rights on the host: see nat.h. libslirp plays the gateway and makes a socket of the
 * host's for each connection. Its sockets are in an epoll descriptor of their own, which the switch's loop watches: a
 * thousand connections that are silent cost nothing, and of those that speak only the changes of interest are told to
 * the kernel. Each socket is armed for one event (EPOLLONESHOT), so one that libslirp does not want to read for a while
 * disturbs nobody. The fill and poll of libslirp walk through all its sockets, so the more there are the rarer they
 * are.
 *
 * The port (`back`) outlives the network by a moment: see vswitch_port_remove().
 */
#include "vswitch/nat.h"

#include "base/monotonic.h"
#include "net/ifname.h"
#include "vswitch/fragments.h"
#include "vswitch/queue.h"
#include "vswitch/slirp_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define BACKLOG 512        /* of a mapped port; libslirp's own is one */
#define OTHERS 512u        /* descriptors that libslirp leaves to the rest of the process */
#define SOCKETS_MAX 16384u /* the most that it gets */
#define PAUSE_NS 200u      /* per socket: for so long no other walk begins, which takes about a tenth of it */

/* What is known of a descriptor. */
struct slot {
    u16 armed, got; /* events of epoll */
    bool known;
};

struct timer {
    struct alarm alarm;
    struct slirp_port *port;
    SlirpTimerId id;
    void *opaque;
};

struct slirp_port {
    struct nat *nat; /* NULL: the network is gone */
    struct vswitch *sw;
    struct port *port;
    Slirp *slirp;
    struct fragments *fragments; /* of guests' packets */
    struct watch watch;          /* of the epoll descriptor */
    struct sleeper sleeper;
    struct alarm alarm; /* wakes for a walk */
    bool ready;         /* something happened at a socket */
    bool changed;       /* libslirp may want other events */
    u64 due_ns;         /* of libslirp's own timers; 0: none */
    u64 walk_ns;        /* no walk before */
    struct slot *slot;
    u32 slots, sockets;
    rlim_t fence; /* the highest descriptor of libslirp's */
};

/* -- What libslirp calls -- */

static ssize_t send_packet(const void *frame, size_t length, void *opaque)
{
    struct slirp_port *s = opaque;
    if (s->nat)
        vswitch_input(s->sw, s->port, frame, (u32)length);
    return (ssize_t)length;
}

static void guest_error(const char *text, void *opaque)
{
}

static int64_t clock_ns(void *opaque)
{
    return (int64_t)monotonic_ns();
}

static void timer_ring(struct alarm *alarm)
{
    struct timer *timer = container_of(alarm, struct timer, alarm);
    timer->port->changed = true;
    slirp_handle_timer(timer->port->slirp, timer->id, timer->opaque);
}

static void *timer_new(SlirpTimerId id, void *timer_opaque, void *opaque)
{
    struct timer *timer = calloc(1, sizeof(*timer));
    if (timer)
        *timer = (struct timer){{.ring = timer_ring}, opaque, id, timer_opaque};
    return timer;
}

static void timer_free(void *opaque, void *port)
{
    struct timer *timer = opaque;
    if (timer)
        vswitch_alarm(timer->port->sw, &timer->alarm, 0);
    free(timer);
}

static void timer_mod(void *opaque, int64_t ms, void *port)
{
    struct timer *timer = opaque;
    if (timer)
        vswitch_alarm(timer->port->sw, &timer->alarm, (u64)ms * 1000000);
}

/* The slot of a descriptor. NULL: no memory, or none: libslirp registers also what it could not open. */
static struct slot *slot_of(struct slirp_port *s, int fd)
{
    if (fd < 0)
        return NULL;
    if ((u32)fd >= s->slots) {
        u32 slots = ((u32)fd + 256) & ~255u;
        struct slot *bigger = realloc(s->slot, slots * sizeof(*bigger));
        if (!bigger)
            return NULL;
        memset(bigger + s->slots, 0, (slots - s->slots) * sizeof(*bigger));
        s->slot = bigger;
        s->slots = slots;
    }
    return &s->slot[fd];
}

static void meet(struct slirp_port *s, struct slot *slot)
{
    s->sockets += !slot->known;
    *slot = (struct slot){.known = true};
}

static void register_socket(int fd, void *opaque)
{
    struct slot *slot = slot_of(opaque, fd);
    if (slot)
        meet(opaque, slot);
}

static void unregister_socket(int fd, void *opaque)
{
    struct slirp_port *s = opaque;
    if (fd < 0 || (u32)fd >= s->slots || !s->slot[fd].known)
        return;
    epoll_ctl(s->watch.fd, EPOLL_CTL_DEL, fd, NULL);
    s->slot[fd] = (struct slot){0};
    s->sockets--;
}

static void notify(void *opaque)
{
    ((struct slirp_port *)opaque)->changed = true;
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_ns,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = register_socket,
    .unregister_poll_fd = unregister_socket,
    .notify = notify,
    .timer_new_opaque = timer_new,
};

/* -- Walks through its sockets -- */

static const struct {
    int slirp;
    u16 epoll;
} event_names[] = {{SLIRP_POLL_IN, EPOLLIN},
                   {SLIRP_POLL_OUT, EPOLLOUT},
                   {SLIRP_POLL_PRI, EPOLLPRI},
                   {SLIRP_POLL_ERR, EPOLLERR},
                   {SLIRP_POLL_HUP, EPOLLHUP}};

static u16 to_epoll(int events)
{
    u16 all = 0;
    for (u32 i = 0; i < ARRAY_LEN(event_names); i++)
        all |= events & event_names[i].slirp ? event_names[i].epoll : 0;
    return all;
}

static int from_epoll(u16 events)
{
    int all = 0;
    for (u32 i = 0; i < ARRAY_LEN(event_names); i++)
        all |= events & event_names[i].epoll ? event_names[i].slirp : 0;
    return all;
}

/* libslirp listens for mapped ports without a word, and with no room for several callers at once. */
static void meet_listener(struct slirp_port *s, struct slot *slot, int fd)
{
    int listens = 0;
    meet(s, slot);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &(socklen_t){sizeof(listens)}) == 0 && listens)
        listen(fd, BACKLOG);
}

/* Returns the descriptor as the index by which libslirp asks for events. */
static int want(int fd, int events, void *opaque)
{
    struct slirp_port *s = opaque;
    struct slot *slot = slot_of(s, fd);
    u16 wanted = to_epoll(events);
    if (!slot)
        return -1;
    if (!slot->known)
        meet_listener(s, slot, fd);
    if (slot->armed == wanted)
        return fd;
    struct epoll_event event = {.events = wanted | EPOLLONESHOT, .data.fd = fd};
    if (epoll_ctl(s->watch.fd, EPOLL_CTL_MOD, fd, &event) < 0 && errno == ENOENT &&
        epoll_ctl(s->watch.fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return -1;
    slot->armed = wanted;
    return fd;
}

static int happened(int fd, void *opaque)
{
    struct slirp_port *s = opaque;
    return fd >= 0 && (u32)fd < s->slots ? from_epoll(s->slot[fd].got) : 0;
}

/* libslirp must not take the last descriptors of the process: guests could make it do so. While it may open sockets,
 * the limit is lower. */
static void set_limit(const struct slirp_port *s, bool fenced)
{
    struct rlimit limit;
    if (s->sockets < s->fence / 2 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = fenced ? s->fence : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Tells libslirp what happened at its sockets, and that time passed. */
static void poll_sockets(struct slirp_port *s)
{
    struct epoll_event event[EVENTS_MAX];
    int events = epoll_wait(s->watch.fd, event, EVENTS_MAX, 0);
    for (int i = 0; i < events; i++) {
        struct slot *slot = &s->slot[event[i].data.fd];
        slot->got = (u16)event[i].events;
        slot->armed = 0;
    }
    set_limit(s, true);
    slirp_pollfds_poll(s->slirp, 0, happened, s);
    set_limit(s, false);
    for (int i = 0; i < events; i++)
        s->slot[event[i].data.fd].got = 0;
    s->ready = events == EVENTS_MAX;
}

/* Asks libslirp which events it wants, and for how long it can wait. */
static void fill_sockets(struct slirp_port *s)
{
    u32 ms = UINT32_MAX;
    slirp_pollfds_fill(s->slirp, &ms, want, s);
    u64 now = monotonic_ns();
    s->changed = false;
    s->due_ns = s->sockets ? now + ms * 1000000ull : 0;
    s->walk_ns = now + s->sockets * PAUSE_NS;
}

static void sockets_ready(struct watch *watch, u32 events)
{
    container_of(watch, struct slirp_port, watch)->ready = true;
}

static void wake(struct alarm *alarm)
{
}

static void before_sleep(struct sleeper *sleeper)
{
    struct slirp_port *s = container_of(sleeper, struct slirp_port, sleeper);
    u64 now = monotonic_ns();
    bool due = s->ready || (s->due_ns && now >= s->due_ns);
    if (!due && !s->changed)
        return;
    if (now >= s->walk_ns) {
        if (due)
            poll_sockets(s);
        fill_sockets(s);
    }
    u64 next = s->ready || s->changed ? s->walk_ns : s->due_ns;
    if (s->alarm.at_ns != next)
        vswitch_alarm(s->sw, &s->alarm, next);
}

/* -- The port -- */

/* Where a neighbour is, for which libslirp may hold packets back; it sends them when it is polled. */
static bool is_neighbour(const u8 *frame, u32 length)
{
    u32 type = (u32)frame[12] << 8 | frame[13];
    return type == 0x0806 || (type == 0x86dd && length > 20 && frame[20] == 58 /* ICMPv6 */);
}

/* A frame of the switch. */
static void take(struct slirp_port *s, const u8 *frame, u32 length)
{
    if (nat_takes(s->nat, frame, length))
        return;
    frame = fragments_join(s->fragments, frame, &length, vswitch_now(s->sw));
    if (!frame || !slirp_filter_passes(s->nat, frame, length))
        return;
    slirp_input(s->slirp, frame, (int)length);
    s->ready |= is_neighbour(frame, length);
}

static void flush(struct port *port)
{
    struct slirp_port *s = port->back;
    const u8 *frame;
    u32 length;
    set_limit(s, true);
    while ((frame = queue_frame(port->queue, &length))) {
        if (s->nat)
            take(s, frame, length);
        queue_taken(port->queue, length + QUEUE_PREFIX);
    }
    set_limit(s, false);
    s->changed = true;
}

/* Closes all sockets: mapped ports are free at once. */
static void end(struct slirp_port *s)
{
    s->nat = NULL;
    if (s->slirp)
        slirp_cleanup(s->slirp);
    s->slirp = NULL;
    if (s->watch.fd >= 0)
        close(s->watch.fd);
    s->watch.fd = -1;
}

static void close_port(struct port *port)
{
    struct slirp_port *s = port->back;
    end(s);
    fragments_free(s->fragments);
    free(s->slot);
    free(s);
}

static const struct port_ops port_ops = {.flush = flush, .close = close_port};

/* -- The back end -- */

static struct in_addr in4(const struct ip *ip)
{
    struct in_addr in;
    memcpy(&in, ip->byte, sizeof(in));
    return in;
}

static struct in6_addr in6(const struct ip *ip)
{
    struct in6_addr in;
    memcpy(&in, ip->byte, sizeof(in));
    return in;
}

static Slirp *make(struct slirp_port *s, const struct nat *nat)
{
    struct ip dns, dns6;
    SlirpConfig config = {.version = 4, .disable_dhcp = true};
    config.disable_dns = !nat->names;
    if (nat->prefix.address.version) {
        config.in_enabled = true;
        config.vnetwork = in4(&nat->prefix.address);
        config.vnetmask.s_addr = htonl(~0u << (32 - nat->prefix.length));
        config.vhost = in4(&nat->gateway);
        prefix_nth(&nat->prefix, 2, &dns); /* also without names it must not be the gateway's */
        config.vnameserver = in4(&dns);
    }
    if (nat->prefix6.address.version) {
        config.in6_enabled = true;
        config.vprefix_addr6 = in6(&nat->prefix6.address);
        config.vprefix_len = nat->prefix6.length;
        config.vhost6 = in6(&nat->gateway6);
        prefix_nth(&nat->prefix6, 2, &dns6);
        config.vnameserver6 = in6(&dns6);
    }
    return slirp_new(&config, &callbacks, s);
}

/* As many sockets as the host lets us have, but for what the rest of the process needs. */
static rlim_t raise_limit(void)
{
    struct rlimit limit = {.rlim_max = 1024};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    rlim_t most = limit.rlim_max > OTHERS * 2 ? limit.rlim_max - OTHERS : limit.rlim_max / 2;
    return most < SOCKETS_MAX ? most : SOCKETS_MAX;
}

/* libslirp sends echo requests by sockets that the host gives to some groups only, or to root. */
static void check_echo(struct nat *nat)
{
    struct error *e = &nat->up.problem[PROBLEM_ECHO];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (fd < 0)
        fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    error_begin(e, 0);
    if (fd < 0) {
        error_set(e, -EACCES,
                  "guests get no answer to ping: the group of this process (%u) may not send ICMP echo on this host",
                  getegid());
        error_hint(e, "as root: sysctl -w net.ipv4.ping_group_range='0 2147483647'");
    } else
        close(fd);
}

static void check(struct nat *nat)
{
    const struct slirp_port *s = nat->back;
    struct error *e = &nat->up.problem[PROBLEM_SOCKETS];
    check_echo(nat);
    error_begin(e, 0);
    int next = fcntl(s->watch.fd, F_DUPFD_CLOEXEC, 0); /* the descriptor that a socket would get now */
    if (next >= 0)
        close(next);
    if (next >= 0 && (rlim_t)next < s->fence)
        return;
    error_set(e, -EMFILE, "the NAT network %s has %u connections, and can have no more", nat->name, s->sockets);
    error_hint(e, "end what makes so many, or raise the limit of open files (ulimit -n) before the switch starts");
}

static void stop(struct nat *nat)
{
    struct slirp_port *s = nat->back;
    loop_no_sleeper(vswitch_loop(s->sw), &s->sleeper);
    vswitch_alarm(s->sw, &s->alarm, 0);
    vswitch_unwatch(s->sw, &s->watch);
    end(s);
    vswitch_port_remove(s->sw, s->port);
}

static int start(struct nat *nat, struct error *error)
{
    char id[IFNAME_MAX];
    ifname_make(IFNAME_NAT, nat->name, id);
    struct slirp_port *s = calloc(1, sizeof(*s));
    struct port *port = uplink_port_new(PORT_NAT, id, nat->name);
    struct fragments *fragments = fragments_new();
    if (!s || !port || !fragments) {
        free(s);
        free(port);
        fragments_free(fragments);
        return error_set(error, -ENOMEM, "no memory for the NAT network %s", nat->name);
    }
    signal(SIGPIPE, SIG_IGN); /* libslirp writes to sockets that may be closed */
    *s = (struct slirp_port){.nat = nat, .sw = nat->up.sw, .port = port, .fence = raise_limit()};
    s->fragments = fragments;
    s->alarm.ring = wake;
    s->watch = (struct watch){epoll_create1(EPOLL_CLOEXEC), sockets_ready};
    s->sleeper.before = before_sleep;
    port->ops = &port_ops;
    port->back = s;
    nat->back = s;
    s->slirp = make(s, nat);
    int err = s->watch.fd < 0 ? -EMFILE : s->slirp ? vswitch_watch(s->sw, &s->watch, EPOLLIN | EPOLLET) : -EINVAL;
    if (err)
        error_set(error, err, "libslirp cannot be started for %s: %s", nat->name, strerror(-err));
    else
        err = vswitch_port_add(s->sw, port, error);
    if (err) {
        if (s->slirp && s->watch.fd >= 0)
            vswitch_unwatch(s->sw, &s->watch);
        close_port(port);
        free(port);
        return err;
    }
    loop_sleeper(vswitch_loop(s->sw), &s->sleeper);
    s->changed = true;
    nat->up.port = port;
    err = nat_own_addresses(nat, error);
    if (err) {
        stop(nat);
        nat->up.port = NULL;
    } else
        check_echo(nat);
    return err;
}

static int flags_of(const struct nat_rule *rule)
{
    return (rule->mapping.udp ? SLIRP_HOSTFWD_UDP : 0) |
           (rule->external.address.version == 6 ? SLIRP_HOSTFWD_V6ONLY : 0);
}

static void map(struct nat *nat, struct nat_rule *rule)
{
    struct slirp_port *s = nat->back;
    struct sockaddr_storage from, to;
    socklen_t from_length = hostport_socket(&rule->external, &from);
    socklen_t to_length = hostport_socket(&rule->internal, &to);
    s->changed = true;
    if (slirp_add_hostxfwd(s->slirp, (struct sockaddr *)&from, from_length, (struct sockaddr *)&to, to_length,
                           flags_of(rule)) == 0) {
        error_begin(&rule->why, 0);
        return;
    }
    nat_map_failed(rule, -errno);
}

static void unmap(struct nat *nat, struct nat_rule *rule)
{
    struct slirp_port *s = nat->back;
    struct sockaddr_storage from;
    socklen_t length = hostport_socket(&rule->external, &from);
    slirp_remove_hostxfwd(s->slirp, (struct sockaddr *)&from, length, flags_of(rule));
    s->changed = true;
}

static void state(const struct nat *nat, struct uplink_state *state)
{
    state->sockets = ((const struct slirp_port *)nat->back)->sockets;
}

const struct nat_backend_ops slirp_ops = {
    .name = "slirp", .start = start, .stop = stop, .map = map, .unmap = unmap, .state = state, .check = check};
