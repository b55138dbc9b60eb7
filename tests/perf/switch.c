/*
 * How fast a switch is, without VMs: one switch in a thread of its own, and this program in the place of the QEMUs at
 * its ports. Prints lines "name value unit"; tools/bench-switch.sh compares them with what is promised.
 *
 * frames: one thread floods a port with frames, another one counts what comes out of the other port. The CPU time is
 * that of the switch's thread. hop: a frame goes to and fro between two threads, by two ports of the switch and by a
 * socketpair; half of the difference of the medians is what one hop costs. limit: what comes through of a flood, of
 * what the port may send. flood: what part two that flood have of a third port; and what happens to the frames of one
 * that sends 1000 per second while another one floods.
 */
#include "base/monotonic.h"
#include "unit/card_peer.h"

#include <pthread.h>

#define CHUNK (256u << 10)
#define ROUNDS 20000u

static struct vswitch *sw;
static struct dialer *dialer;
static struct peer peer[3];
static struct port *port[3];
static struct error error;
static pthread_t thread;
static _Atomic bool stop;

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "switch: %s: %s\n", what, error.text);
    exit(1);
}

static void *run_switch(void *opaque)
{
    must(!vswitch_run(sw, &error), "the switch ended");
    return NULL;
}

static u64 cpu_ns(void)
{
    clockid_t clock;
    struct timespec t;
    must(!pthread_getcpuclockid(thread, &clock) && !clock_gettime(clock, &t), "no CPU time");
    return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

static void write_all(int fd, const u8 *bytes, u32 size)
{
    for (ssize_t n; size; bytes += n, size -= (u32)n) {
        n = send(fd, bytes, size, MSG_NOSIGNAL);
        if (n <= 0)
            return;
    }
}

static void read_all(int fd, u8 *bytes, u32 size)
{
    for (ssize_t n; size; bytes += n, size -= (u32)n) {
        n = recv(fd, bytes, size, 0);
        if (n <= 0)
            return;
    }
}

/* A switch with three cards that may send what `maximum` says. */
static void begin(u64 maximum)
{
    static const char *const id[] = {"a", "b", "c"};
    sw = vswitch_new("bench", &error);
    must(sw, "no switch");
    dialer = dialer_new(sw, peer_folder, &error);
    must(dialer, "no dialer");
    for (u8 i = 0; i < 3; i++) {
        peer_listen(&peer[i], id[i]);
        port[i] = peer_port(id[i], (u8)(i + 1));
        port[i]->set.bandwidth_maximum = maximum;
        must(!card_add(dialer, port[i], id[i], &error), "no port");
        must(peer_accept(&peer[i], 1000), "no connection");
    }
    stop = false;
    must(!pthread_create(&thread, NULL, run_switch, NULL), "no thread");
}

static void end(void)
{
    vswitch_stop(sw);
    pthread_join(thread, NULL);
    vswitch_free(sw);
    dialer_free(dialer);
    for (u8 i = 0; i < 3; i++)
        peer_close(&peer[i]);
}

struct flow {
    u32 from, length;
    u32 pause_us; /* between two frames; 0: as many as are taken */
    pthread_t thread;
    u64 sent; /* frames, without a pause chunks of them */
};

/* Sends to port 2. */
static void *send_flow(void *opaque)
{
    struct flow *f = opaque;
    u8 *stream = malloc(CHUNK), frame[16384] = {0};
    u32 used = 0;
    peer_header(frame, 3, (u8)(f->from + 1));
    while (used + 4 + f->length <= CHUNK && !(f->pause_us && used))
        used += peer_put(stream + used, frame, f->length);
    for (; !stop; f->sent++) {
        u64 now = monotonic_ns();
        memcpy(stream + 4 + 14, &now, sizeof(now));
        write_all(peer[f->from].fd, stream, used);
        if (f->pause_us)
            usleep(f->pause_us);
    }
    free(stream);
    return NULL;
}

static _Atomic u64 counted[2], counted_bytes; /* frames by sender */
static u64 delay_ns[1 << 16];
static u32 delays;

/* Reads port 2, and notes how long the frames of sender 1 were on the way. */
static void *count(void *opaque)
{
    u8 *stream = malloc(CHUNK);
    u32 have = 0, at, length;
    for (ssize_t n; (n = recv(peer[2].fd, stream + have, CHUNK - have, 0)) > 0;) {
        have += (u32)n;
        counted_bytes += (u64)n;
        u64 frames[2] = {0};
        for (at = 0; have - at >= 4; at += 4 + length) {
            memcpy(&length, stream + at, 4);
            length = ntohl(length);
            if (have - at < 4 + length)
                break;
            bool one = stream[at + 4 + 11] == 2;
            frames[one]++;
            if (one && delays < ARRAY_LEN(delay_ns)) {
                memcpy(&delay_ns[delays], stream + at + 4 + 14, sizeof(u64));
                delay_ns[delays] = monotonic_ns() - delay_ns[delays];
                delays++;
            }
        }
        memmove(stream, stream + at, have -= at);
        counted[0] += frames[0];
        counted[1] += frames[1];
    }
    free(stream);
    return NULL;
}

/* Lets one or two senders send to port 2 for that time. Returns the bytes of frames per second, over all. */
static double flow(struct flow *flows, u32 n, double seconds, double *per_cpu_second)
{
    pthread_t counter;
    counted[0] = counted[1] = counted_bytes = delays = 0;
    must(!pthread_create(&counter, NULL, count, NULL), "no thread");
    for (u32 i = 0; i < n; i++)
        must(!pthread_create(&flows[i].thread, NULL, send_flow, &flows[i]), "no thread");
    usleep(300000);
    u64 frames = counted[0] + counted[1], bytes = counted_bytes, ns = monotonic_ns(), cpu = cpu_ns();
    usleep((u32)(seconds * 1e6));
    frames = counted[0] + counted[1] - frames;
    bytes = counted_bytes - bytes;
    ns = monotonic_ns() - ns;
    cpu = cpu_ns() - cpu;
    stop = true;
    for (u32 i = 0; i < n; i++) {
        if (!flows[i].pause_us)
            shutdown(peer[flows[i].from].fd, SHUT_RDWR);
        pthread_join(flows[i].thread, NULL);
    }
    usleep(100000);
    shutdown(peer[2].fd, SHUT_RDWR);
    pthread_join(counter, NULL);
    bytes -= frames * 4;
    if (per_cpu_second)
        *per_cpu_second = (double)bytes * 1e9 / (double)cpu;
    return (double)bytes * 1e9 / (double)ns;
}

static void frames(u32 length)
{
    double cpu;
    begin(0);
    double wall = flow(&(struct flow){.length = length}, 1, 2, &cpu);
    end();
    printf("frames%u %.2f million/s\n", length, wall / length / 1e6);
    printf("frames%u-cpu %.2f million/CPU-second\n", length, cpu / length / 1e6);
    printf("bits%u %.2f Gbit/s\n", length, wall * 8 / 1e9);
}

static void limit(const char *name, double bits, u32 length, double seconds)
{
    begin((u64)bits);
    double wall = flow(&(struct flow){.length = length}, 1, seconds, NULL);
    end();
    printf("limit-%s %.3f of %s bit/s\n", name, wall * 8 / bits, name);
}

static int by_value(const void *a, const void *b)
{
    u64 x = *(const u64 *)a, y = *(const u64 *)b;
    return (x > y) - (x < y);
}

static void floods(void)
{
    struct flow two[2] = {{.from = 0, .length = 1514}, {.from = 1, .length = 64}};
    begin(0);
    flow(two, 2, 2, NULL);
    end();
    double bytes[2] = {(double)counted[0] * 1518, (double)counted[1] * 68};
    printf("flood-share %.3f of two\n", bytes[1] / (bytes[0] + bytes[1]));

    struct flow beside[2] = {{.from = 0, .length = 1514}, {.from = 1, .length = 64, .pause_us = 1000}};
    begin(0);
    flow(beside, 2, 2, NULL);
    end();
    qsort(delay_ns, delays, sizeof(delay_ns[0]), by_value);
    printf("flood-beside %.4f of frames\n", (double)counted[1] / (double)beside[1].sent);
    printf("flood-delay %.0f us\n", delays ? (double)delay_ns[delays / 2] / 1e3 : 0);
}

/* The echo of the ping-pong. */
static int echo_in, echo_out;
static u32 echo_length;
static u8 echo_to, echo_from;

static void *echo(void *opaque)
{
    u8 frame[256], stream[256];
    while (recv(echo_in, stream, echo_length, MSG_WAITALL) == (ssize_t)echo_length) {
        peer_header(frame, echo_to, echo_from);
        peer_put(stream, frame, echo_length - 4);
        write_all(echo_out, stream, echo_length);
    }
    return NULL;
}

/* The median time to and fro, in microseconds. */
static double ping_pong(int fd, int other)
{
    static u64 took[ROUNDS];
    u8 frame[256] = {0}, stream[256];
    pthread_t echoing;
    echo_in = echo_out = other;
    echo_length = 68;
    echo_to = 1;
    echo_from = 2;
    must(!pthread_create(&echoing, NULL, echo, NULL), "no thread");
    peer_header(frame, 2, 1);
    for (u32 i = 0; i < ROUNDS; i++) {
        u64 start = monotonic_ns();
        peer_put(stream, frame, 64);
        write_all(fd, stream, 68);
        read_all(fd, stream, 68);
        took[i] = monotonic_ns() - start;
    }
    shutdown(other, SHUT_RDWR);
    pthread_join(echoing, NULL);
    qsort(took, ROUNDS, sizeof(took[0]), by_value);
    return (double)took[ROUNDS / 2] / 1e3;
}

static void hop(void)
{
    int pair[2];
    must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "no socketpair");
    double direct = ping_pong(pair[0], pair[1]);
    close(pair[0]);
    close(pair[1]);
    begin(0);
    double switched = ping_pong(peer[0].fd, peer[1].fd);
    end();
    printf("round-trip-direct %.2f us\n", direct);
    printf("round-trip-switch %.2f us\n", switched);
    printf("hop %.2f us\n", (switched - direct) / 2);
}

static void frames64(void)
{
    frames(64);
}

static void frames1514(void)
{
    frames(1514);
}

static void limits(void)
{
    limit("1M", 1e6, 1514, 5);
    limit("100M", 1e8, 1514, 2);
    limit("1G", 1e9, 1514, 2);
    limit("10G", 1e10, 9014, 2);
}

static const struct {
    const char *name;
    void (*run)(void);
} parts[] = {{"frames64", frames64}, {"frames1514", frames1514}, {"hop", hop}, {"limits", limits}, {"floods", floods}};

/* All parts, or the one that is named. */
int main(int argc, char **argv)
{
    peers_begin();
    for (u32 i = 0; i < ARRAY_LEN(parts); i++) {
        if (argc < 2 || !strcmp(argv[1], parts[i].name))
            parts[i].run();
        fflush(stdout);
    }
    peers_end();
    return 0;
}
