/*
 * What the guards of a port see in frames, and the ways around them that they have to know.
 */
#include "net/frame.h"

#include "unit/test.h"

#include <string.h>

static u8 frame[2048];
static u32 length;

/* A frame is put together from its front. */
static void bytes(const u8 *from, u32 n)
{
    memcpy(frame + length, from, n);
    length += n;
}
#define BYTES(...) bytes((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static void ethernet(void)
{
    memset(frame, 0, sizeof(frame));
    length = 0;
    BYTES(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1);
}

static void type(u32 ethertype)
{
    BYTES((u8)(ethertype >> 8), (u8)ethertype);
}

static void ip4(u8 protocol, u32 fragment, u32 options)
{
    type(0x0800);
    BYTES((u8)(0x45 + options), 0, 0, 100, 0, 0, (u8)(fragment >> 8), (u8)fragment, 64, protocol, 0, 0);
    BYTES(10, 0, 0, 1, 255, 255, 255, 255);
    for (u32 i = 0; i < options; i++)
        BYTES(1, 1, 1, 1);
}

static void ip6(u8 next)
{
    type(0x86dd);
    BYTES(0x60, 0, 0, 0, 0, 100, next, 255);
    length += 32;
}

static void udp(u32 from, u32 to)
{
    BYTES((u8)(from >> 8), (u8)from, (u8)(to >> 8), (u8)to, 0, 100, 0, 0);
    length += 92;
}

static void icmp(u8 kind)
{
    BYTES(kind, 0, 0, 0, 0, 0, 0, 0);
    length += 92;
}

static void fragment(u8 next, u32 offset, bool more)
{
    BYTES(next, 0, (u8)(offset >> 8), (u8)((offset & 0xf8) | more), 1, 2, 3, 4);
}

static enum frame_kind kind(void)
{
    return frame_kind(frame, length);
}

enum { UDP = 17, TCP = 6, ICMP = 1, ICMP6 = 58, HOP = 0, ROUTING = 43, FRAGMENT = 44, AH = 51, ESP = 50, DEST = 60 };

int main(void)
{
    TEST("a DHCP server is known by either port");
    static const struct {
        u32 from, to;
        bool server;
    } v4[] = {{67, 68, true}, {67, 67, true}, {1067, 68, true}, {68, 67, false}, {53, 1024, false}},
      v6[] = {{547, 546, true}, {547, 547, true}, {9, 546, true}, {546, 547, false}, {67, 68, false}};
    for (unsigned i = 0; i < ARRAY_LEN(v4); i++) {
        ethernet(), ip4(UDP, 0, 0), udp(v4[i].from, v4[i].to);
        CHECK_EQ(kind(), v4[i].server ? FRAME_DHCP_SERVER : FRAME_OTHER);
        ethernet(), ip6(UDP), udp(v6[i].from, v6[i].to);
        CHECK_EQ(kind(), v6[i].server ? FRAME_DHCP_SERVER : FRAME_OTHER);
    }

    TEST("TCP with such ports is nothing of the kind");
    ethernet(), ip4(TCP, 0, 0), udp(67, 68);
    CHECK_EQ(kind(), FRAME_OTHER);
    ethernet(), ip6(TCP), udp(547, 546);
    CHECK_EQ(kind(), FRAME_OTHER);

    TEST("a router is known by the types of ICMP");
    static const u8 v4_types[] = {5, 9}, v6_types[] = {134, 137}, others[] = {0, 8, 3, 128, 129, 133, 135, 136};
    for (unsigned i = 0; i < 2; i++) {
        ethernet(), ip4(ICMP, 0, 0), icmp(v4_types[i]);
        CHECK_EQ(kind(), FRAME_ROUTER);
        ethernet(), ip6(ICMP6), icmp(v6_types[i]);
        CHECK_EQ(kind(), FRAME_ROUTER);
    }
    for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
        ethernet(), ip4(ICMP, 0, 0), icmp(others[i]);
        CHECK_EQ(kind(), FRAME_OTHER);
        ethernet(), ip6(ICMP6), icmp(others[i]);
        CHECK_EQ(kind(), FRAME_OTHER);
    }

    TEST("options of IPv4 hide nothing");
    ethernet(), ip4(UDP, 0, 10), udp(67, 68);
    CHECK_EQ(kind(), FRAME_DHCP_SERVER);

    TEST("of fragments of IPv4 the first is seen, and the rest is no use without it");
    ethernet(), ip4(UDP, 0x2000, 0), udp(67, 68);
    CHECK_EQ(kind(), FRAME_DHCP_SERVER);
    ethernet(), ip4(UDP, 1, 0), udp(67, 68);
    CHECK_EQ(kind(), FRAME_OTHER);

    TEST("tags and SNAP headers, in any order, hide nothing");
    for (unsigned i = 0; i < 9; i++) {
        ethernet();
        for (unsigned j = 0; j < i; j++) {
            switch (j % 3) {
            case 0: BYTES(0x81, 0, 0, 0); break;
            case 1: BYTES(0, 100, 0xaa, 0xaa, 3, 0, 0, 0); break;
            default: BYTES(0x88, 0xa8, 0, 7); break;
            }
        }
        ip6(ICMP6), icmp(134);
        CHECK_EQ(kind(), FRAME_ROUTER);
    }

    TEST("more headers than there are reasons for hide what it is");
    ethernet();
    for (unsigned j = 0; j < 20; j++)
        BYTES(0x81, 0, 0, 0);
    ip6(ICMP6), icmp(134);
    CHECK_EQ(kind(), FRAME_HIDDEN);

    TEST("LLC that is not SNAP is something else");
    ethernet(), BYTES(0, 38, 0x42, 0x42, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    CHECK_EQ(kind(), FRAME_OTHER);

    TEST("extension headers of IPv6 hide nothing");
    ethernet(), ip6(HOP), BYTES(ROUTING, 0, 1, 4, 0, 0, 0, 0), BYTES(DEST, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    BYTES(AH, 0, 1, 4, 0, 0, 0, 0), BYTES(135, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), BYTES(253, 0, 0, 0, 0, 0, 0, 0);
    BYTES(ICMP6, 0, 0, 0, 0, 0, 0, 0), icmp(134);
    CHECK_EQ(kind(), FRAME_ROUTER);
    ethernet(), ip6(DEST), BYTES(UDP, 0, 1, 4, 0, 0, 0, 0), udp(547, 546);
    CHECK_EQ(kind(), FRAME_DHCP_SERVER);
    ethernet(), ip6(ESP), icmp(134);
    CHECK_EQ(kind(), FRAME_OTHER);

    TEST("a fragment that is a whole packet hides nothing");
    ethernet(), ip6(FRAGMENT), fragment(ICMP6, 0, false), icmp(134);
    CHECK_EQ(kind(), FRAME_ROUTER);
    ethernet(), ip6(FRAGMENT), fragment(DEST, 0, false), BYTES(ICMP6, 0, 1, 4, 0, 0, 0, 0), icmp(134);
    CHECK_EQ(kind(), FRAME_ROUTER);

    TEST("of fragments of IPv6 the first is seen");
    ethernet(), ip6(FRAGMENT), fragment(ICMP6, 0, true), icmp(134);
    CHECK_EQ(kind(), FRAME_ROUTER);
    ethernet(), ip6(FRAGMENT), fragment(ICMP6, 0, true), icmp(128);
    CHECK_EQ(kind(), FRAME_OTHER);
    ethernet(), ip6(FRAGMENT), fragment(ICMP6, 1480, true), icmp(134);
    CHECK_EQ(kind(), FRAME_OTHER);
    ethernet(), ip6(FRAGMENT), fragment(UDP, 0, true), udp(5000, 5001);
    CHECK_EQ(kind(), FRAME_OTHER);

    TEST("a first fragment that leaves room to hide something does");
    ethernet(), ip6(FRAGMENT), fragment(DEST, 0, true), BYTES(ICMP6, 0, 1, 4, 0, 0, 0, 0);
    CHECK_EQ(kind(), FRAME_HIDDEN);
    ethernet(), ip6(FRAGMENT), fragment(DEST, 0, true), BYTES(ICMP6, 0, 1, 4, 0, 0, 0, 0), icmp(128);
    CHECK_EQ(kind(), FRAME_HIDDEN);
    ethernet(), ip6(FRAGMENT), fragment(FRAGMENT, 0, true), fragment(ICMP6, 0, false), icmp(128);
    CHECK_EQ(kind(), FRAME_HIDDEN);
    ethernet(), ip6(FRAGMENT), fragment(ICMP6, 0, true);
    CHECK_EQ(kind(), FRAME_HIDDEN);
    ethernet(), ip6(FRAGMENT), fragment(UDP, 0, true), BYTES(1, 2, 3);
    CHECK_EQ(kind(), FRAME_HIDDEN);
    ethernet(), ip6(DEST), BYTES(FRAGMENT, 0, 1, 4, 0, 0, 0, 0), fragment(DEST, 0, true), icmp(1);
    CHECK_EQ(kind(), FRAME_HIDDEN);

    TEST("no length makes it read beyond the frame");
    u32 seed = 1;
    for (unsigned round = 0; round < 200000; round++) {
        static const u32 types[] = {0x0800, 0x86dd, 0x8100, 0x88a8, 0x0040};
        u8 exact[160];
        ethernet();
        type(types[round % ARRAY_LEN(types)]);
        while (length < sizeof(exact)) {
            seed = seed * 1664525 + 1013904223;
            static const u8 likely_bytes[] = {0x08, 0x00, 0x86, 0xdd, 0x81, 0x45, 0x60, 44,
                                              60,   58,   17,   43,   51,   0xaa, 3,    1};
            BYTES(seed >> 31 ? likely_bytes[seed >> 20 & 15] : (u8)(seed >> 23));
        }
        u32 n = seed >> 8 & 127;
        memcpy(exact + sizeof(exact) - n, frame, n);
        enum frame_kind k = frame_kind(exact + sizeof(exact) - n, n);
        CHECK(k <= FRAME_HIDDEN);
    }

    return TEST_END();
}
