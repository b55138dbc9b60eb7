/*
 * Fragments of IPv4 packets: in any order, with options, from many senders at once, and those that make no packet.
 */
#include "vswitch/fragments.h"

#include "unit/test.h"

#include <stdlib.h>
#include <string.h>

enum { MORE = 0x2000, DATA = 3000 };

static struct fragments *f;
static u8 data[65536], frame[65536 + 100];
static u32 length;
static u64 now_ns = 1;

static void put16(u8 *p, u32 value)
{
    p[0] = (u8)(value >> 8);
    p[1] = (u8)value;
}

static u16 checksum(const u8 *p, u32 bytes)
{
    u32 sum = 0;
    for (u32 i = 0; i < bytes; i += 2)
        sum += (u32)p[i] << 8 | p[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    return (u16) ~(sum + (sum >> 16));
}

/* A fragment of packet `id` from that sender; its headers have `options` bytes of options. */
static void make(u8 sender, u16 id, u32 offset, u32 size, bool more, u32 options)
{
    memset(frame, 0, 14 + 60);
    frame[11] = sender;
    frame[12] = 8;
    u8 *ip = frame + 14;
    ip[0] = (u8)(0x45 + options / 4);
    put16(ip + 2, 20 + options + size);
    put16(ip + 4, id);
    put16(ip + 6, offset / 8 | (more ? MORE : 0));
    ip[8] = 64;
    ip[9] = 17;
    ip[19] = 1;
    put16(ip + 10, checksum(ip, 20 + options));
    memcpy(ip + 20 + options, data + offset, size);
    length = 14 + 20 + options + size;
}

/* What comes of it. */
static const u8 *join(void)
{
    u8 *exact = malloc(length); /* for a sanitizer */
    memcpy(exact, frame, length);
    const u8 *got = fragments_join(f, exact, &length, now_ns);
    if (got == exact)
        got = frame;
    free(exact);
    return got;
}

static const u8 *sent(u8 sender, u16 id, u32 offset, u32 size, bool more)
{
    make(sender, id, offset, size, more, 0);
    return join();
}

/* Returns true if this is a whole packet with `size` bytes of the data. */
static bool whole(const u8 *got, u32 size, u32 options)
{
    const u8 *ip = got ? got + 14 : NULL;
    u32 header = 20 + options;
    u32 said = got ? (u32)ip[2] << 8 | ip[3] : 0;
    return got && length == 14 + header + size && said == header + size && !ip[6] && !ip[7] && !checksum(ip, header) &&
           ip[9] == 17 && !memcmp(ip + header, data, size);
}

static void test_orders(void)
{
    static const u8 orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    TEST("what is no fragment goes on as it is");
    make(1, 1, 0, 100, false, 0);
    CHECK(join() == frame && length == 134);
    frame[20] = 0x40; /* "don't fragment" */
    CHECK(join() == frame);
    frame[12] = 0x86;
    frame[20] = 0x20;
    CHECK(join() == frame);

    TEST("three fragments in each order");
    for (u32 i = 0; i < ARRAY_LEN(orders); i++)
        for (u32 j = 0; j < 3; j++) {
            u32 n = orders[i][j];
            const u8 *got = sent(1, (u16)(10 + i), n * 1480, n == 2 ? DATA - 2960 : 1480, n < 2);
            CHECK(j < 2 ? !got : whole(got, DATA, 0));
        }

    TEST("headers are those of the first fragment, options among them");
    make(1, 20, 800, 100, false, 0);
    CHECK(!join());
    make(1, 20, 0, 800, true, 40);
    CHECK(whole(join(), 900, 40));

    TEST("the longest packet");
    for (u32 at = 0; at < 65512; at += 8)
        CHECK(!sent(1, 21, at, 8, true));
    CHECK(whole(sent(1, 21, 65512, 3, false), 65515, 0));
}

static void test_refused(void)
{
    TEST("fragments that overlap end their packet");
    CHECK(!sent(1, 30, 0, 800, true) && !sent(1, 30, 792, 100, true) && !sent(1, 30, 800, 100, false));
    CHECK(!sent(1, 31, 0, 800, true) && !sent(1, 31, 0, 800, true) && !sent(1, 31, 800, 8, false));

    TEST("two ends, and what is behind the end");
    CHECK(!sent(1, 32, 800, 100, false) && !sent(1, 32, 1600, 100, false) && !sent(1, 32, 0, 800, true));
    CHECK(!sent(1, 33, 1600, 800, true) && !sent(1, 33, 800, 100, false) && !sent(1, 33, 0, 800, true));

    TEST("no data, a piece of eight bytes, more than a packet can have");
    CHECK(!sent(1, 34, 0, 0, true) && !sent(1, 34, 8, 100, false));
    CHECK(!sent(1, 35, 0, 801, true) && !sent(1, 35, 808, 100, false));
    make(1, 36, 0, 100, true, 0);
    put16(frame + 14 + 6, 0x1fff);
    put16(frame + 14 + 10, 0);
    put16(frame + 14 + 10, checksum(frame + 14, 20));
    CHECK(!join());
    make(1, 37, 0, 8, true, 40);
    CHECK(!join());
    for (u32 at = 8; at < 65512; at += 8)
        sent(1, 37, at, 8, true);
    CHECK(!sent(1, 37, 65512, 3, false));

    TEST("headers that are wrong");
    make(1, 38, 0, 800, true, 0);
    frame[24] ^= 1;
    CHECK(!join());
    make(1, 38, 0, 800, true, 0);
    frame[14] = 0x4f;
    CHECK(!join());
    make(1, 38, 0, 800, true, 0);
    length--;
    CHECK(!join());
    for (u32 size = 0; size < 34; size++) {
        make(1, 38, 0, 800, true, 0);
        length = size;
        CHECK(join() == frame);
    }
}

static void test_room(void)
{
    TEST("one sender does not take the room of another");
    CHECK(!sent(2, 1, 0, 800, true));
    for (u32 id = 0; id < 10000; id++)
        CHECK(!sent(1, (u16)id, 0, 800, true));
    CHECK(whole(sent(2, 1, 800, 100, false), 900, 0));
    CHECK(whole(sent(1, 9999, 800, 100, false), 900, 0));
    CHECK(!sent(1, 9990, 800, 100, false));

    TEST("of many senders the oldest packet gives way");
    for (u32 sender = 0; sender < FRAGMENTS_PACKETS + 9; sender++, now_ns++)
        CHECK(!sent((u8)(10 + sender), 1, 0, 800, true));
    CHECK(whole(sent(10 + FRAGMENTS_PACKETS + 8, 1, 800, 100, false), 900, 0));
    CHECK(!sent(10, 1, 800, 100, false));

    TEST("nobody waits for ever");
    CHECK(!sent(3, 5, 0, 800, true));
    now_ns += FRAGMENTS_WAIT_NS + 1;
    CHECK(!sent(3, 5, 800, 100, false));
}

int main(void)
{
    for (u32 i = 0; i < sizeof(data); i++)
        data[i] = (u8)(i * 7 + i / 256);
    static void (*const tests[])(void) = {test_orders, test_refused, test_room};
    for (u32 i = 0; i < ARRAY_LEN(tests); i++) {
        f = fragments_new();
        if (!f)
            abort();
        tests[i]();
        fragments_free(f);
    }
    return TEST_END();
}
