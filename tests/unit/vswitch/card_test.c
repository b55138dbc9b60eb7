/*
 * Ports to cards by real sockets: connections that come, break and come again, streams in any pieces and malformed
 * ones, limits, and peers that do not read.
 */
#include "base/monotonic.h"
#include "net/frame.h"
#include "unit/card_peer.h"
#include "unit/test.h"
#include "vswitch/inside.h"

#include <sys/stat.h>

#define CARDS 3

static struct vswitch *sw;
static struct dialer *dialer;
static struct error error;
static struct peer peer[CARDS];
static struct port *port[CARDS];
static const char *const id[CARDS] = {"a", "b", "c"};

static u32 troubles;
static char trouble_text[256];

static void trouble(struct vswitch_events *events, const struct port *at, const char *text)
{
    troubles++;
    snprintf(trouble_text, sizeof(trouble_text), "%s", text);
}

static struct vswitch_events events = {.trouble = trouble};

/* Some of these turns come when the time has passed, also on a busy host. */
static void turns(u32 ms)
{
    u64 end = monotonic_ns() + ms * 1000000ull;
    for (u32 after = 0; after < 3;) {
        after += monotonic_ns() >= end;
        CHECK(!vswitch_turn(sw, false));
        usleep(200);
    }
}

/* A switch with cards whose other ends are there. */
static void begin(void)
{
    sw = vswitch_new("test", &error);
    dialer = sw ? dialer_new(sw, peer_folder, &error) : NULL;
    if (!dialer)
        abort();
    vswitch_tell(sw, &events);
    troubles = 0;
    for (u8 i = 0; i < CARDS; i++) {
        peer_listen(&peer[i], id[i]);
        port[i] = peer_port(id[i], (u8)(i + 1));
        if (card_add(dialer, port[i], id[i], &error))
            abort();
        CHECK(port[i]->linked);
        CHECK(peer_accept(&peer[i], 1000));
    }
}

static void end(void)
{
    vswitch_free(sw);
    dialer_free(dialer);
    for (u8 i = 0; i < CARDS; i++)
        peer_close(&peer[i]);
}

static u8 stream[1 << 20], got[1 << 20];
static u32 used;

/* Appends a frame from card `from` to card `to`, both counted from 1, which ends with a number. */
static void add(u8 to, u8 from, u32 length, u32 number)
{
    static u8 frame[FRAME_MAX];
    peer_header(frame, to, from);
    memset(frame + 14, (int)number, length - 14);
    used += peer_put(stream + used, frame, length);
}

/* Writes what was added in pieces of up to `step` bytes, with turns of the switch between them. */
static void write_stream(u32 who, u32 step)
{
    for (u32 at = 0; at < used;) {
        u32 n = used - at < step ? used - at : step;
        ssize_t w = send(peer[who].fd, stream + at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (w > 0)
            at += (u32)w;
        else if (errno != EAGAIN)
            break;
        CHECK(!vswitch_turn(sw, false));
    }
}

/* Reads what comes within a time. Returns the bytes. */
static u32 read_stream(u32 who, u32 ms)
{
    u32 n = 0;
    u64 until = monotonic_ns() + ms * 1000000ull;
    for (u32 i = 0; i < 200 || monotonic_ns() < until; i++) {
        CHECK(!vswitch_turn(sw, false));
        ssize_t r = recv(peer[who].fd, got + n, sizeof(got) - n, MSG_DONTWAIT);
        if (r > 0)
            n += (u32)r;
    }
    return n;
}

/* What was written to one peer came out at another one. */
static bool comes_through(u32 from, u32 to, u32 step)
{
    static u8 all[sizeof(stream)];
    u32 have = 0;
    for (u32 at = 0; at < used || have < used;) {
        u32 n = used - at < step ? used - at : step;
        ssize_t w = n ? send(peer[from].fd, stream + at, n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        at += w > 0 ? (u32)w : 0;
        CHECK(!vswitch_turn(sw, false));
        ssize_t r = recv(peer[to].fd, all + have, sizeof(all) - have, MSG_DONTWAIT);
        if (!r)
            return false;
        have += r > 0 ? (u32)r : 0;
    }
    return have == used && !memcmp(all, stream, used);
}

static void streams(void)
{
    TEST("a stream comes through whole, in whatever pieces it is written");
    begin();
    static const u32 steps[] = {1, 3, 7, 68, 1000, 4096, 70000, 1 << 20};
    for (u32 s = 0; s < ARRAY_LEN(steps); s++) {
        used = 0;
        for (u32 i = 0; used < (steps[s] < 10 ? 5000 : 300000); i++)
            add(2, 1, 14 + i * 37 % 1501, i);
        CHECK(comes_through(0, 1, steps[s]));
    }

    TEST("the longest frames, too");
    used = 0;
    for (u32 i = 0; i < 10; i++)
        add(2, 1, FRAME_MAX - 4, i);
    CHECK(comes_through(0, 1, 60000));
    CHECK(comes_through(0, 1, 1 << 20));

    TEST("frames that are no frames are counted, and the stream goes on");
    used = 0;
    for (u32 n = 1; n < 14; n++) {
        memset(stream + used, 0, 4 + n);
        stream[used + 3] = (u8)n;
        used += 4 + n;
    }
    u32 bad = used;
    add(2, 1, 60, 1);
    write_stream(0, 5);
    CHECK_EQ(read_stream(1, 20), used - bad);
    CHECK_EQ(port[0]->count.dropped[DROP_MALFORMED], 13);
    CHECK(port[0]->linked && !troubles);
    end();
}

static void malformed(void)
{
    TEST("a length that cannot be ends the connection, which is made again, and is told once");
    begin();
    static const u32 lengths[] = {0, FRAME_MAX + 1, 0x20000, 0x01000000, 0x80000000, 0xffffffff};
    for (u32 i = 0; i < ARRAY_LEN(lengths); i++) {
        used = 0;
        add(2, 1, 60, i);
        memcpy(stream + used, &(u32){htonl(lengths[i])}, 4);
        used += 4;
        add(2, 1, 60, i);
        write_stream(0, used);
        CHECK_EQ(read_stream(1, 5), 64);
        CHECK(!port[0]->linked);
        CHECK_EQ(port[0]->count.dropped[DROP_MALFORMED], i + 1);
        CHECK(recv(peer[0].fd, got, 1, 0) == 0 || errno == ECONNRESET);
        peer_hang_up(&peer[0]);
        turns(220);
        CHECK(port[0]->linked && peer_accept(&peer[0], 0));
    }
    CHECK(troubles == 1 && strstr(trouble_text, "0 bytes"));
    used = 0;
    add(2, 1, 60, 9);
    CHECK(comes_through(0, 1, 64));
    end();
}

static void random_bytes(void)
{
    TEST("random bytes and random cuts break nothing, and nothing that is no frame comes through");
    begin();
    u32 seed = 99;
    for (u32 round = 0; round < 300; round++) {
        used = 0;
        for (u32 i = 0; i < 20; i++) {
            seed = seed * 1664525 + 1013904223;
            add(seed >> 30 & 1 ? 2 : 0xff, 1, 14 + (seed >> 16) % 300, i);
        }
        for (u32 hits = round & 3; hits; hits--) {
            seed = seed * 1664525 + 1013904223;
            stream[seed % used] = (u8)(seed >> 24);
        }
        seed = seed * 1664525 + 1013904223;
        if (round % 5 == 0)
            used = seed % used;
        write_stream(0, 1 + (seed >> 20) % 500);
        if (round % 7 == 0)
            peer_hang_up(&peer[0]);
        turns(0);
        if (!port[0]->linked || peer[0].fd < 0) {
            peer_hang_up(&peer[0]);
            turns(0);
            port_link(port[0], false);
            CHECK(!vswitch_turn(sw, false));
            for (u32 i = 0; i < 400 && !port[0]->linked; i++)
                turns(1);
            CHECK(peer_accept(&peer[0], 100));
        }
        ssize_t n = recv(peer[1].fd, got, sizeof(got), MSG_DONTWAIT);
        for (u32 at = 0, length; n > 0 && at < (u32)n; at += 4 + length) {
            memcpy(&length, got + at, 4);
            length = ntohl(length);
            CHECK(length >= 14 && length <= FRAME_MAX);
            CHECK(!memcmp(got + at + 10, (const u8[]){2, 0, 0, 0, 0, 1}, 6));
        }
        recv(peer[2].fd, got, sizeof(got), MSG_DONTWAIT);
    }
    used = 0;
    add(3, 2, 60, 1);
    CHECK(comes_through(1, 2, 64));
    end();
}

static void connections(void)
{
    TEST("a card whose socket is not there yet is connected as soon as it appears");
    begin();
    struct port *late = peer_port("late", 7);
    CHECK(!card_add(dialer, late, "late", &error));
    CHECK(!late->linked);
    turns(20);
    struct peer p;
    u64 least = ~0ull;
    for (u32 try = 0; try < 10 && least > 100000000; try++) { /* what a busy host takes is not the switch's */
        if (try) {
            peer_close(&p);
            turns(250); /* until it does not look by itself */
            CHECK(!late->linked);
        }
        peer_listen(&p, "late");
        u64 start = monotonic_ns();
        while (!late->linked && monotonic_ns() - start < 1000000000)
            turns(1);
        if (monotonic_ns() - start < least)
            least = monotonic_ns() - start;
        CHECK(late->linked && peer_accept(&p, 1000));
    }
    CHECK(least <= 100000000);

    TEST("a peer that goes and comes again is connected again, and what waited for it is gone");
    peer_close(&p);
    turns(5);
    CHECK(!late->linked);
    used = 0;
    add(7, 1, 60, 1);
    write_stream(0, used);
    CHECK_EQ(late->count.dropped[DROP_NO_LINK], 1);
    peer_listen(&p, "late");
    turns(230);
    CHECK(late->linked && peer_accept(&p, 0));
    CHECK(recv(p.fd, got, sizeof(got), MSG_DONTWAIT) < 0 && errno == EAGAIN);
    write_stream(0, used);
    turns(1);
    CHECK_EQ(recv(p.fd, got, sizeof(got), MSG_DONTWAIT), used);

    TEST("one whose last bytes come with its end is connected again, limit or not");
    for (unsigned i = 0; i < 6; i++) {
        vswitch_port_set(sw, late, &(struct card_settings){.bandwidth_maximum = i & 1 ? 1000000 : 0});
        used = 0;
        add(1, 7, 60, 1);
        u32 last = i < 2 ? used : i < 4 ? used / 2 : 2; /* a frame, half of one, half of a length */
        CHECK_EQ(send(p.fd, stream, last, 0), last);
        peer_close(&p);
        peer_listen(&p, "late");
        turns(260);
        CHECK(late->linked && peer_accept(&p, 0));
    }
    vswitch_port_set(sw, late, &(struct card_settings){0});

    TEST("a switch that begins later, or again, finds its peers");
    vswitch_port_remove(sw, late);
    turns(1);
    CHECK_EQ(recv(p.fd, got, 1, MSG_DONTWAIT), 0);
    peer_hang_up(&p);
    late = peer_port("late", 7);
    CHECK(!card_add(dialer, late, "late", &error));
    CHECK(late->linked && peer_accept(&p, 100));
    peer_close(&p);

    TEST("a path that is too long is refused");
    char name[200];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    struct port *unfit = peer_port("unfit", 9);
    CHECK_EQ(card_add(dialer, unfit, name, &error), -ENAMETOOLONG);
    CHECK(!vswitch_port_find(sw, "unfit"));
    free(unfit);

    TEST("a folder that is not there yet is no obstacle");
    char folder[100];
    snprintf(folder, sizeof(folder), "%s/later", peer_folder);
    struct dialer *other = dialer_new(sw, folder, &error);
    CHECK(other);
    struct port *waits = peer_port("waits", 8);
    CHECK(!card_add(other, waits, "s", &error));
    CHECK(!mkdir(folder, 0700));
    turns(210);
    peer_listen(&p, "later/s");
    turns(210);
    CHECK(waits->linked);
    peer_close(&p);
    rmdir(folder);
    end();
    dialer_free(other);
}

static void slow_peers(void)
{
    TEST("a peer that stops reading holds its sender up for a moment, and nobody else");
    begin();
    used = 0;
    while (used < 500000)
        add(2, 1, 1000, 1);
    u64 start = monotonic_ns(), blocked_ns = 0, other = 0;
    u32 at = 0, of_other = 0;
    bool stalled = false;
    while (monotonic_ns() - start < 600000000) {
        ssize_t w = send(peer[0].fd, stream + at, used - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at = w > 0 ? (at + (u32)w) % used : at;
        u8 one[64];
        static const u8 from_c[14] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 3, 8, 0};
        memcpy(one, &(u32){htonl(60)}, 4);
        memcpy(one + 4, from_c, 14);
        if (monotonic_ns() - other > 1000000) {
            other = monotonic_ns();
            of_other += send(peer[2].fd, one, 64, MSG_DONTWAIT | MSG_NOSIGNAL) == 64;
        }
        CHECK(!vswitch_turn(sw, false));
        stalled |= port[1]->stalled;
        if (port[0]->held_by && !blocked_ns)
            blocked_ns = monotonic_ns();
        recv(peer[0].fd, got, sizeof(got), MSG_DONTWAIT);
    }
    CHECK(blocked_ns && stalled && !port[0]->held_by);
    CHECK(port[1]->count.dropped[DROP_STALLED] > 0);
    turns(5);
    CHECK_EQ(port[0]->count.frames_out, of_other);

    TEST("when it reads again it gets whole frames");
    /* The sender's last piece may be half a frame: it is completed first. */
    u32 n = 0, frames = 0;
    u8 *all = malloc(8 << 20);
    u64 until = monotonic_ns() + 100000000;
    for (u32 i = 0; i < 5000 || monotonic_ns() < until; i++) {
        CHECK(!vswitch_turn(sw, false));
        ssize_t r = recv(peer[1].fd, all + n, (8 << 20) - n, MSG_DONTWAIT);
        n += r > 0 ? (u32)r : 0;
    }
    for (u32 place = 0; place + 4 <= n; place += 1004, frames++)
        CHECK(!memcmp(all + place, (const u8[]){0, 0, 3, 0xe8, 2, 0, 0, 0, 0, 2}, 10));
    CHECK(n % 1004 == 0 && !port[1]->stalled);
    CHECK_EQ(port[1]->count.frames_out, frames);
    CHECK_EQ(port[0]->count.frames_in, frames + port[1]->count.dropped[DROP_STALLED]);
    free(all);
    end();
}

static void limits(void)
{
    TEST("a limit holds within 5 %, and nothing is lost");
    begin();
    vswitch_port_set(sw, port[0], &(struct card_settings){.bandwidth_maximum = 50000000});
    used = 0;
    while (used < 500000)
        add(2, 1, 1000, 1);
    u32 at = 0;
    double rate = 0;
    for (u32 try = 0; try < 10 && rate < 47.5e6; try++) { /* a busy host may keep everybody from sending */
        /* What was sent from one moment in which all credit is spent to another. */
        u64 start = monotonic_ns(), bytes = 0, last_ns = 0;
        while (monotonic_ns() - start < 700000000) {
            for (ssize_t w; (w = send(peer[0].fd, stream + at, used - at, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0;)
                at = (at + (u32)w) % used;
            CHECK(!vswitch_turn(sw, true));
            recv(peer[1].fd, got, sizeof(got), MSG_DONTWAIT);
            if (!port[0]->late)
                continue;
            if (!last_ns && monotonic_ns() - start > 50000000) {
                last_ns = vswitch_now(sw);
                bytes = port[0]->count.bytes_in;
            } else if (last_ns) {
                rate = (double)(port[0]->count.bytes_in - bytes) * 8e9 / (double)(vswitch_now(sw) - last_ns);
            }
        }
        printf("# %.0f bit/s\n", rate);
        CHECK(rate < 52.5e6);
    }
    CHECK(rate > 47.5e6);
    CHECK_EQ(port[0]->count.frames_in, port[1]->count.frames_out);
    end();
}

int main(void)
{
    peers_begin();
    streams();
    malformed();
    random_bytes();
    connections();
    slow_peers();
    limits();
    peers_end();
    return TEST_END();
}
