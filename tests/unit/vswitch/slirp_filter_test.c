/*
 * Which frames of guests libslirp gets: nothing that opens the host's loopback to a guest.
 */
#include "vswitch/slirp_filter.h"

#include "unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ICMP = 1, TCP = 6, UDP = 17, HOP_BY_HOP = 0, FRAGMENT = 44, ICMPV6 = 58 };
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

static struct nat nat;
static u8 frame[128];
static u32 length;

/* A packet from the guest's port 53 with those flags of TCP. */
static void packet(const char *to, u8 protocol, u8 flags)
{
    struct ip from, dst;
    memset(frame, 0, sizeof(frame));
    CHECK(ip_parse(to, &dst) && ip_parse(dst.version == 4 ? "192.168.100.5" : "fd00:1::5", &from));
    u8 *ip = frame + 14, *payload;
    if (dst.version == 4) {
        memcpy(frame + 12, "\10\0", 2);
        ip[0] = 0x45;
        ip[9] = protocol;
        memcpy(ip + 12, from.byte, 4);
        memcpy(ip + 16, dst.byte, 4);
        payload = ip + 20;
    } else {
        memcpy(frame + 12, "\206\335", 2);
        ip[0] = 0x60;
        ip[6] = protocol;
        memcpy(ip + 8, from.byte, 16);
        memcpy(ip + 24, dst.byte, 16);
        payload = ip + 40;
    }
    payload[1] = 53;
    payload[13] = flags;
    length = (u32)(payload - frame) + 20;
}

static bool passes(const char *to, u8 protocol, u8 flags)
{
    packet(to, protocol, flags);
    return slirp_filter_passes(&nat, frame, length);
}

static bool echo6(const char *to)
{
    packet(to, ICMPV6, 0);
    frame[14 + 40] = 128;
    return slirp_filter_passes(&nat, frame, length);
}

int main(void)
{
    struct error error;
    struct nat_rule rule = {.mapping.udp = true};
    CHECK(!prefix_parse("192.168.100.0/24", &nat.prefix, &error) && !prefix_parse("fd00:1::/64", &nat.prefix6, &error));
    CHECK(ip_parse("192.168.100.1", &nat.gateway) && ip_parse("192.168.100.2", &nat.dns));
    CHECK(ip_parse("fd00:1::1", &nat.gateway6) && ip_parse("fd00:1::2", &nat.dns6));

    TEST("what goes out passes");
    CHECK(passes("10.0.0.1", TCP, SYN) && passes("10.0.0.1", UDP, 0) && passes("10.0.0.1", ICMP, 0));
    CHECK(passes("2001:db8::1", TCP, SYN) && passes("2001:db8::1", UDP, 0));

    TEST("and what asks the server of names");
    CHECK(passes("192.168.100.2", UDP, 0) && passes("192.168.100.2", TCP, SYN));
    CHECK(passes("fd00:1::2", UDP, 0) && passes("fd00:1::2", TCP, SYN));

    TEST("the gateway answers to ping, and is no way to the host's loopback");
    CHECK(passes("192.168.100.1", ICMP, 0) && passes("fd00:1::1", ICMPV6, 0));
    CHECK(!passes("192.168.100.1", TCP, SYN) && !passes("192.168.100.1", TCP, SYN | FIN));
    CHECK(!passes("192.168.100.1", UDP, 0) && !passes("192.168.100.1", 99, 0));
    CHECK(!passes("fd00:1::1", TCP, SYN) && !passes("fd00:1::77", TCP, SYN) && !passes("fd00:1::77", UDP, 0));
    CHECK(!passes("fd00:1::1", HOP_BY_HOP, 0) && !passes("fd00:1::1", FRAGMENT, 0));

    TEST("nor are fragments, behind which a SYN may be");
    packet("192.168.100.1", TCP, ACK);
    frame[20] = 0x20;
    CHECK(!slirp_filter_passes(&nat, frame, length));
    frame[20] = 0;
    frame[21] = 1;
    CHECK(!slirp_filter_passes(&nat, frame, length));
    frame[21] = 0;
    CHECK(slirp_filter_passes(&nat, frame, length));

    TEST("connections from the host go on");
    CHECK(passes("192.168.100.1", TCP, SYN | ACK) && passes("192.168.100.1", TCP, ACK));
    CHECK(passes("192.168.100.1", TCP, RST) && passes("fd00:1::1", TCP, SYN | ACK));

    TEST("answers of a mapped port of UDP pass, as long as it is mapped");
    CHECK(hostport_parse("192.168.100.5:53", &rule.internal));
    nat.rule = &rule;
    nat.rules = 1;
    CHECK(passes("192.168.100.1", UDP, 0) && !passes("fd00:1::1", UDP, 0));
    rule.internal.port = 54;
    CHECK(!passes("192.168.100.1", UDP, 0));
    rule.internal.port = 53;
    rule.why.code = -EADDRINUSE;
    CHECK(!passes("192.168.100.1", UDP, 0));

    TEST("addresses that mean the host itself");
    CHECK(!passes("127.0.0.1", TCP, SYN) && !passes("127.255.0.1", UDP, 0) && !passes("0.0.0.0", TCP, SYN));
    CHECK(!passes("::1", TCP, SYN) && !passes("::", TCP, SYN) && !passes("::ffff:127.0.0.1", TCP, SYN));

    TEST("groups and everybody");
    CHECK(!passes("224.0.0.251", UDP, 0) && !passes("255.255.255.255", UDP, 0) && !passes("ff02::fb", UDP, 0));
    CHECK(passes("ff02::2", ICMPV6, 0) && passes("ff02::1:2", UDP, 0));

    TEST("echo of IPv6 that libslirp would not send on, but complain of");
    CHECK(!echo6("2001:db8::1") && !echo6("ff02::1") && !echo6("fd00:1::77") && !echo6("fe80::77"));
    CHECK(echo6("fd00:1::1") && echo6("fd00:1::2") && echo6("fe80::1") && echo6("fe80::2"));

    TEST("without a server of names its address is the host's");
    nat.dns6 = (struct ip){0};
    CHECK(!passes("fd00:1::2", UDP, 0));

    TEST("any length, in memory that ends there");
    packet("192.168.100.1", TCP, ACK);
    frame[14] = 0x4f;
    for (u32 i = 0; i <= length; i++) {
        u8 *copy = malloc(i + 1);
        memcpy(copy, frame, i);
        CHECK(i < 14 || !slirp_filter_passes(&nat, copy, i));
        free(copy);
    }
    CHECK(!slirp_filter_passes(&nat, frame, 13));
    return TEST_END();
}
