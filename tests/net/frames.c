/*
 * Makes and counts single Ethernet frames at an interface, for what Linux's own stack does not send: frames with
 * strangers' addresses, tags, what rogue servers and routers send.
 * usage: frames send INTERFACE KIND FROM TO [COUNT [RATE [SIZE]]]   addresses as 02:00:00:00:00:01; RATE per second,
 *                                                                   0: as fast as it goes; SIZE without tag
 *        frames count INTERFACE SECONDS   prints each kind of frame that came, and how often:
 *                                         "KIND FROM TO vlan=N COUNT BYTES"; 0 seconds: until a signal
 * KIND: plain (an experimental EtherType), dhcp4, dhcp6, ra, redirect4, redirect6, ra4, stp; with "@N" behind it: with
 * a tag of VLAN N.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 14, FRAME = 65553, KINDS_SEEN = 256, PLAIN = 0x88b5 };

/* What follows the addresses. */
struct kind {
    const char *name;
    uint16_t type;
    uint8_t protocol; /* of IP; 0: no IP */
    uint16_t port;    /* of UDP, from which it comes */
    uint8_t icmp;     /* type of ICMP */
};

static const struct kind kinds[] = {
    {"plain", PLAIN, 0, 0, 0},         {"dhcp4", 0x0800, 17, 67, 0},
    {"dhcp6", 0x86dd, 17, 547, 0},     {"ra", 0x86dd, 58, 0, 134},
    {"redirect6", 0x86dd, 58, 0, 137}, {"redirect4", 0x0800, 1, 0, 5},
    {"ra4", 0x0800, 1, 0, 9},          {"stp", 38, 0, 0, 0},
};

static void die(const char *what)
{
    fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void address(const char *text, uint8_t *to)
{
    if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", to, to + 1, to + 2, to + 3, to + 4, to + 5) != 6) {
        errno = EINVAL;
        die(text);
    }
}

static int opened(const char *interface)
{
    struct sockaddr_ll here = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(interface)};
    int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1, room = 16 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)); /* for a host that is busy */
    if (fd < 0 || !here.sll_ifindex || setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0)
        die(interface);
    return fd;
}

static uint8_t *put16(uint8_t *to, unsigned value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
    return to + 2;
}

/* Writes a frame of at least `size` bytes and returns its length. Checksums are 0: nothing here looks at them. */
static size_t frame_make(uint8_t *frame, const struct kind *kind, int vlan, const char *from, const char *to,
                         size_t size)
{
    uint8_t *p = frame;
    address(to, p);
    address(from, p + 6);
    p += 12;
    if (vlan >= 0)
        p = put16(put16(p, 0x8100), (unsigned)vlan);
    p = put16(p, kind->type);
    size_t payload = 8 + 48;
    if (kind->type == 0x0800) {
        static const uint8_t addresses[8] = {192, 0, 2, 1, 255, 255, 255, 255};
        p[0] = 0x45;
        put16(p + 2, (unsigned)(20 + payload));
        p[8] = 64;
        p[9] = kind->protocol;
        memcpy(p + 12, addresses, 8);
        p += 20;
    } else if (kind->type == 0x86dd) {
        p[0] = 0x60;
        put16(p + 4, (unsigned)payload);
        p[6] = kind->protocol;
        p[7] = 255;
        put16(p + 8, 0xfe80);
        p[23] = 1;
        put16(p + 24, 0xff02);
        p[39] = 1;
        p += 40;
    }
    if (kind->port) {
        put16(p, kind->port);
        put16(p + 2, kind->port == 67 ? 68 : 546);
        put16(p + 4, (unsigned)payload);
        p[8] = 2; /* BOOTREPLY, or Advertise */
    } else if (kind->icmp) {
        p[0] = kind->icmp;
    }
    p += payload;
    size_t length = (size_t)(p - frame);
    return length < size ? size : length;
}

static void send_frames(int argc, char **argv)
{
    static uint8_t frame[FRAME];
    char name[32];
    int vlan = -1;
    snprintf(name, sizeof(name), "%s", argv[3]);
    char *at = strchr(name, '@');
    if (at) {
        *at = 0;
        vlan = atoi(at + 1);
    }
    const struct kind *kind = kinds, *end = kinds + sizeof(kinds) / sizeof(*kinds);
    while (kind < end && strcmp(kind->name, name))
        kind++;
    if (kind == end) {
        errno = EINVAL;
        die(name);
    }
    uint64_t count = argc > 6 ? strtoull(argv[6], NULL, 0) : 1, rate = argc > 7 ? strtoull(argv[7], NULL, 0) : 0;
    size_t size = argc > 8 ? (size_t)atol(argv[8]) : 60;
    size_t length = frame_make(frame, kind, vlan, argv[4], argv[5], size < sizeof(frame) ? size : sizeof(frame));
    int fd = opened(argv[2]);
    uint64_t start = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        while (send(fd, frame, length, 0) < 0) {
            if (errno != ENOBUFS && errno != EAGAIN)
                die("send");
            usleep(100);
        }
        if (rate) {
            uint64_t due = start + (i + 1) * 1000000000 / rate, t = now_ns();
            if (t < due)
                usleep((useconds_t)((due - t) / 1000));
        }
    }
}

/* Frames that look alike. */
struct seen {
    uint8_t head[12];
    const char *kind;
    int vlan;
    uint64_t count, bytes;
};

static const char *kind_of(const uint8_t *frame, size_t length)
{
    uint16_t type = (uint16_t)(frame[12] << 8 | frame[13]);
    if (type <= 1500)
        return type == 38 ? "stp" : "other";
    bool v4 = type == 0x0800 && length >= HEADER + 28, v6 = type == 0x86dd && length >= HEADER + 48;
    const uint8_t *ip = frame + HEADER, *next = ip + (v4 ? 20 : 40);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        const struct kind *k = &kinds[i];
        if (k->type != type)
            continue;
        if (!k->protocol)
            return k->name;
        if (!(v4 || v6) || (v4 ? ip[9] : ip[6]) != k->protocol)
            continue;
        if (k->port ? (next[0] << 8 | next[1]) == k->port : next[0] == k->icmp)
            return k->name;
    }
    return type == 0x0806 ? "arp" : "other";
}

static volatile sig_atomic_t ended;

static void on_signal(int signal)
{
    ended = 1;
}

static void count_frames(const char *interface, double seconds)
{
    static struct seen seen[KINDS_SEEN];
    static uint8_t frame[FRAME];
    size_t used = 0;
    int fd = opened(interface);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    fprintf(stderr, "ready\n");
    uint64_t end = seconds > 0 ? now_ns() + (uint64_t)(seconds * 1e9) : UINT64_MAX;
    for (uint64_t t; !ended && (t = now_ns()) < end;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, seconds > 0 ? (int)((end - t) / 1000000 + 1) : 1000) <= 0)
            continue;
        struct sockaddr_ll from;
        union {
            char space[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
            struct cmsghdr header;
        } control;
        struct iovec data = {frame, sizeof(frame)};
        struct msghdr m = {.msg_name = &from,
                           .msg_namelen = sizeof(from),
                           .msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
        if (n < HEADER || from.sll_pkttype == PACKET_OUTGOING)
            continue;
        int vlan = -1;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
            struct tpacket_auxdata more;
            if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
                continue;
            memcpy(&more, CMSG_DATA(c), sizeof(more));
            if (more.tp_status & TP_STATUS_VLAN_VALID)
                vlan = more.tp_vlan_tci & 0xfff;
        }
        const char *kind = kind_of(frame, (size_t)n);
        size_t i = 0;
        while (i < used && (memcmp(seen[i].head, frame, 12) || seen[i].kind != kind || seen[i].vlan != vlan))
            i++;
        if (i == KINDS_SEEN)
            continue;
        if (i == used) {
            memcpy(seen[used].head, frame, 12);
            seen[used].kind = kind;
            seen[used++].vlan = vlan;
        }
        seen[i].count++;
        seen[i].bytes += (uint64_t)n;
    }
    for (size_t i = 0; i < used; i++) {
        const uint8_t *h = seen[i].head;
        printf("%s %02x:%02x:%02x:%02x:%02x:%02x %02x:%02x:%02x:%02x:%02x:%02x vlan=%d %llu %llu\n", seen[i].kind, h[6],
               h[7], h[8], h[9], h[10], h[11], h[0], h[1], h[2], h[3], h[4], h[5], seen[i].vlan < 0 ? 0 : seen[i].vlan,
               (unsigned long long)seen[i].count, (unsigned long long)seen[i].bytes);
    }
}

int main(int argc, char **argv)
{
    if (argc >= 6 && !strcmp(argv[1], "send"))
        send_frames(argc, argv);
    else if (argc == 4 && !strcmp(argv[1], "count"))
        count_frames(argv[2], atof(argv[3]));
    else
        return fprintf(stderr, "usage: see tests/net/frames.c\n"), 2;
    return 0;
}
