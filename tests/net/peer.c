/*
 * What programs on a network do with each other, for the tests of switches and NAT: large transfers whose every byte is
 * checked, many connections at once, datagrams. A request is eight bytes: how many bytes of the sequence to send.
 * usage: peer serve PORT               TCP and UDP, IPv4 and IPv6; UDP: sends each datagram back
 *        peer fetch HOST PORT BYTES [SECONDS]   one transfer; prints the bits per second; ends after SECONDS without
 *                                      checking how much came
 *        peer many HOST PORT COUNT     that many connections, all open at once; each gets a piece of its own length
 *        peer datagrams HOST PORT COUNT [SIZE]  sends and waits for each to come back; at most 1 in 20 may be lost
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024, WAIT_MS = 20000 };

static void die(const char *what)
{
    fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The next eight bytes of the sequence; x starts as anything but 0. */
static uint64_t sequence(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void sequence_fill(uint64_t *x, uint64_t word[static CHUNK / 8])
{
    for (int i = 0; i < CHUNK / 8; i++)
        word[i] = htole64(sequence(x));
}

/* HOST and PORT are numbers. */
static struct sockaddr_in6 address_of(const char *host, const char *port)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
    char mapped[64];
    snprintf(mapped, sizeof(mapped), "%s%s", strchr(host, ':') ? "" : "::ffff:", host);
    if (inet_pton(AF_INET6, mapped, &address.sin6_addr) != 1) {
        errno = EINVAL;
        die(host);
    }
    return address;
}

static int reach(const char *host, const char *port, int type)
{
    struct sockaddr_in6 to = address_of(host, port);
    int fd = socket(AF_INET6, type, 0), off = 0;
    if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        die("connect");
    return fd;
}

static void wait_for_input(int fd, int milliseconds)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, milliseconds) == 0) {
        errno = ETIMEDOUT;
        die("nothing comes");
    }
}

/* Reads `bytes` bytes of the sequence, or until `end`, and returns how many. The connection sends nothing else. */
static uint64_t sequence_check(int fd, uint64_t bytes, double end)
{
    static uint8_t data[CHUNK];
    static uint64_t want[CHUNK / 8];
    uint64_t x = 1, done = 0;
    while (done < bytes && now() < end) {
        size_t at = done % CHUNK;
        if (at == 0)
            sequence_fill(&x, want);
        wait_for_input(fd, WAIT_MS);
        size_t room = CHUNK - at < bytes - done ? CHUNK - at : bytes - done;
        ssize_t n = read(fd, data, room);
        if (n <= 0) {
            fprintf(stderr, "peer: after %llu bytes: %s\n", (unsigned long long)done, n ? strerror(errno) : "end");
            exit(1);
        }
        if (memcmp(data, (uint8_t *)want + at, (size_t)n)) {
            fprintf(stderr, "peer: wrong data within %zd bytes after %llu\n", n, (unsigned long long)done);
            exit(1);
        }
        done += (uint64_t)n;
    }
    return done;
}

static void request(int fd, uint64_t bytes)
{
    bytes = htobe64(bytes);
    if (write(fd, &bytes, sizeof(bytes)) != sizeof(bytes))
        die("request");
}

static void *answer(void *opaque)
{
    int fd = (int)(intptr_t)opaque;
    uint64_t bytes, x = 1;
    if (recv(fd, &bytes, sizeof(bytes), MSG_WAITALL) == sizeof(bytes)) {
        uint64_t *word = malloc(CHUNK);
        for (uint64_t left = be64toh(bytes); word && left;) {
            sequence_fill(&x, word);
            size_t size = left < CHUNK ? left : CHUNK, sent = 0;
            while (sent < size) {
                ssize_t n = send(fd, (uint8_t *)word + sent, size - sent, MSG_NOSIGNAL);
                if (n <= 0)
                    goto gone;
                sent += (size_t)n;
            }
            left -= size;
        }
        /* The client closes when it has all, or when all clients are open. */
        if (recv(fd, &bytes, 1, 0) < 0)
            goto gone;
gone:
        free(word);
    }
    close(fd);
    return NULL;
}

static int bound(const char *port, int type)
{
    struct sockaddr_in6 here = address_of("::", port);
    int fd = socket(AF_INET6, type, 0), on = 1, off = 0;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
        bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0 || (type == SOCK_STREAM && listen(fd, 1024) < 0))
        die(port);
    return fd;
}

static void serve(const char *port)
{
    int stream = bound(port, SOCK_STREAM), datagrams = bound(port, SOCK_DGRAM);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * 1024);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    for (;;) {
        struct pollfd p[2] = {{.fd = stream, .events = POLLIN}, {.fd = datagrams, .events = POLLIN}};
        if (poll(p, 2, -1) < 0)
            die("poll");
        if (p[0].revents) {
            pthread_t thread;
            int fd = accept(stream, NULL, NULL);
            if (fd >= 0 && pthread_create(&thread, &small, answer, (void *)(intptr_t)fd))
                close(fd);
        }
        if (p[1].revents) {
            static uint8_t data[CHUNK];
            struct sockaddr_storage from;
            socklen_t length = sizeof(from);
            ssize_t n = recvfrom(datagrams, data, sizeof(data), 0, (struct sockaddr *)&from, &length);
            if (n >= 0 && sendto(datagrams, data, (size_t)n, 0, (struct sockaddr *)&from, length) < 0)
                perror("peer: sendto");
        }
    }
}

/* As programs do that want to hear of a peer that is gone without a word: after 13 seconds at most. */
static void keep_alive(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {{SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, 3},
                   {IPPROTO_TCP, TCP_KEEPINTVL, 2},
                   {IPPROTO_TCP, TCP_KEEPCNT, 5}};
    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int)) < 0)
            die("keepalive");
}

static void fetch(const char *host, const char *port, uint64_t bytes, double seconds)
{
    int fd = reach(host, port, SOCK_STREAM);
    keep_alive(fd);
    double start = now();
    request(fd, bytes);
    uint64_t done = sequence_check(fd, bytes, start + seconds);
    printf("%.0f\n", (double)done * 8 / (now() - start));
}

static void many(const char *host, const char *port, int count)
{
    int *fd = calloc((size_t)count, sizeof(*fd));
    for (int i = 0; i < count; i++)
        fd[i] = reach(host, port, SOCK_STREAM);
    for (int i = 0; i < count; i++)
        request(fd[i], 1000 + (uint64_t)i);
    for (int i = 0; i < count; i++)
        if (sequence_check(fd[i], 1000 + (uint64_t)i, now() + WAIT_MS) != 1000 + (uint64_t)i)
            die("a connection gave less");
    printf("%d\n", count);
}

static void datagrams(const char *host, const char *port, int count, size_t size)
{
    int fd = reach(host, port, SOCK_DGRAM), lost = 0;
    uint8_t data[CHUNK], back[CHUNK];
    if (size > sizeof(data) || size < sizeof(int))
        size = sizeof(int);
    memset(data, 0x5a, sizeof(data));
    for (int i = 0; i < count; i++) {
        memcpy(data, &i, sizeof(i));
        if (send(fd, data, size, 0) < 0 && errno != ECONNREFUSED)
            die("send");
        struct pollfd p = {.fd = fd, .events = POLLIN};
        bool same = false;
        while (!same && poll(&p, 1, 1000) > 0)
            same = recv(fd, back, sizeof(back), 0) == (ssize_t)size && !memcmp(data, back, size);
        lost += !same;
        if (lost > count / 20) {
            fprintf(stderr, "peer: %d of %d datagrams lost\n", lost, i + 1);
            exit(1);
        }
    }
    printf("%d\n", count - lost);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
    const char *mode = argc > 2 ? argv[1] : "";
    if (!strcmp(mode, "serve") && argc == 3)
        serve(argv[2]);
    else if (!strcmp(mode, "fetch") && argc >= 5)
        fetch(argv[2], argv[3], strtoull(argv[4], NULL, 0), argc > 5 ? atof(argv[5]) : 3600);
    else if (!strcmp(mode, "many") && argc == 5)
        many(argv[2], argv[3], atoi(argv[4]));
    else if (!strcmp(mode, "datagrams") && argc >= 5)
        datagrams(argv[2], argv[3], atoi(argv[4]), argc > 5 ? (size_t)atol(argv[5]) : 64);
    else
        return fprintf(stderr, "usage: see tests/net/peer.c\n"), 2;
    return 0;
}
