/*
 * The DHCP server, by its messages: what clients ask and get, and what it does with anything else.
 */
#include "vswitch/dhcp.h"

#include "unit/test.h"

#include <stdlib.h>
#include <string.h>

#define MESSAGE 42 /* where the DHCP message begins in a frame */
#define OPTIONS (MESSAGE + 240)
#define GATEWAY 0xc0a86401u
#define FIRST 0xc0a86403u
#define NOW 1000000

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };

struct message {
    u8 frame[1024];
    u32 length;
};

static struct dhcp server;
static struct message in, out;

static void put32(u8 *p, u32 value)
{
    p[0] = (u8)(value >> 24);
    p[1] = (u8)(value >> 16);
    p[2] = (u8)(value >> 8);
    p[3] = (u8)value;
}

static u32 get32(const u8 *p)
{
    return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

/* Sets what depends on the length. */
static void close_message(void)
{
    u32 ip = in.length - 14;
    in.frame[16] = (u8)(ip >> 8);
    in.frame[17] = (u8)ip;
    in.frame[38] = (u8)((ip - 20) >> 8);
    in.frame[39] = (u8)(ip - 20);
}

static void option(u8 code, const void *data, u8 length)
{
    in.frame[in.length - 1] = code;
    in.frame[in.length] = length;
    memcpy(in.frame + in.length + 1, data, length);
    in.length += 2u + length;
    in.frame[in.length - 1] = 255;
    close_message();
}

static void address_option(u8 code, u32 address)
{
    u8 bytes[4];
    put32(bytes, address);
    option(code, bytes, 4);
}

static void begin(u8 type, u8 client)
{
    static const u8 head[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0,   8,   0,   0x45, 0, 0,  0, 0,
                              0,    0,    0,    64,   17,   0,    0, 0, 0, 0, 0, 255, 255, 255, 255,  0, 68, 0, 67};
    memset(&in, 0, sizeof(in));
    memcpy(in.frame, head, sizeof(head));
    in.frame[11] = client;
    u8 *m = in.frame + MESSAGE;
    m[0] = m[1] = 1;
    m[2] = 6;
    put32(m + 4, 0x12345678);
    memcpy(m + 28, in.frame + 6, 6);
    put32(m + 236, 0x63825363);
    in.length = OPTIONS + 1;
    in.frame[OPTIONS] = 255;
    option(53, &type, 1);
}

/* Returns the type of the answer, 0 if there is none. */
static const u8 *find(u8 code)
{
    for (u32 i = OPTIONS; i < out.length && out.frame[i] != 255; i += 2u + out.frame[i + 1])
        if (out.frame[i] == code)
            return out.frame + i + 1;
    return NULL;
}

static u8 ask(void)
{
    memset(&out, 0, sizeof(out));
    out.length = dhcp_answer(&server, in.frame, in.length, "", NOW, out.frame);
    const u8 *type = out.length ? find(53) : NULL;
    return type ? type[1] : 0;
}

static u32 number(u8 code)
{
    const u8 *data = find(code);
    return data && data[0] == 4 ? get32(data + 1) : 0;
}

static u32 yiaddr(void)
{
    return get32(out.frame + MESSAGE + 16);
}

static void start(const char *prefix)
{
    struct error error;
    leases_free(server.leases);
    server = (struct dhcp){.mac = {{0x52, 0x55, 192, 168, 100, 1}}};
    CHECK(!prefix_parse(prefix, &server.prefix, &error));
    CHECK(prefix_nth(&server.prefix, 1, &server.gateway) && prefix_nth(&server.prefix, 2, &server.dns));
    strcpy(server.domain, "lab.internal");
    server.leases = leases_new(&server.prefix, 3, NULL, NOW + DHCP_LEASE_SECONDS);
}

static u16 sum(const u8 *p, u32 length)
{
    u32 all = 0;
    for (u32 i = 0; i < length; i += 2)
        all += (u32)p[i] << 8 | p[i + 1];
    return (u16)((all & 0xffff) + (all >> 16));
}

static void test_lease(void)
{
    start("192.168.100.0/24");
    TEST("discover: an offer of a free address");
    begin(DISCOVER, 1);
    CHECK(dhcp_is_request(in.frame, in.length));
    CHECK_EQ(ask(), OFFER);
    CHECK_EQ(yiaddr(), FIRST);
    CHECK_EQ(get32(out.frame + MESSAGE + 4), 0x12345678);
    CHECK(out.frame[MESSAGE] == 2 && memcmp(out.frame + MESSAGE + 28, in.frame + 6, 6) == 0);

    TEST("it says all that a client needs");
    CHECK_EQ(number(54), GATEWAY);
    CHECK_EQ(number(1), 0xffffff00);
    CHECK_EQ(number(28), GATEWAY | 0xff);
    CHECK_EQ(number(3), GATEWAY);
    CHECK_EQ(number(6), GATEWAY + 1);
    CHECK_EQ(number(51), DHCP_LEASE_SECONDS);
    CHECK_EQ(number(58), DHCP_LEASE_SECONDS / 2);
    CHECK_EQ(number(59), DHCP_LEASE_SECONDS / 8 * 7);
    CHECK(find(15) && find(15)[0] == 12 && memcmp(find(15) + 1, "lab.internal", 12) == 0);

    TEST("the frame is whole");
    CHECK(memcmp(out.frame, in.frame + 6, 6) == 0 && memcmp(out.frame + 6, server.mac.byte, 6) == 0);
    CHECK_EQ(sum(out.frame + 14, 20), 0xffff);
    CHECK_EQ(get32(out.frame + 26), GATEWAY);
    CHECK_EQ(get32(out.frame + 30), FIRST);
    CHECK_EQ(get32(out.frame + 34), 67u << 16 | 68);
    CHECK(out.length >= MESSAGE + 300 && out.length <= DHCP_REPLY_MAX);

    TEST("request: it is the client's");
    begin(REQUEST, 1);
    address_option(54, GATEWAY);
    address_option(50, FIRST);
    option(12, "my host", 7);
    CHECK_EQ(ask(), ACK);
    CHECK_EQ(yiaddr(), FIRST);
    struct lease lease;
    CHECK(leases_next(server.leases, &(u32){0}, NOW, &lease) && strcmp(lease.name, "my-host") == 0);

    TEST("renewal, to the address that the client has");
    begin(REQUEST, 1);
    put32(in.frame + MESSAGE + 12, FIRST);
    CHECK_EQ(ask(), ACK);
    CHECK_EQ(get32(out.frame + MESSAGE + 12), FIRST);

    TEST("a client that comes back asks for its address");
    begin(REQUEST, 1);
    address_option(50, FIRST);
    CHECK_EQ(ask(), ACK);

    TEST("an address of another network or another client is refused, for all to hear");
    begin(REQUEST, 1);
    address_option(50, 0x0a000005);
    CHECK_EQ(ask(), NAK);
    CHECK_EQ(yiaddr(), 0);
    CHECK_EQ(get32(out.frame + 30), 0xffffffff);
    CHECK(out.frame[0] == 0xff && !find(51) && !find(1));
    begin(REQUEST, 2);
    address_option(50, FIRST);
    CHECK_EQ(ask(), NAK);

    TEST("who cannot take unicast yet gets broadcast");
    begin(DISCOVER, 2);
    in.frame[MESSAGE + 10] = 0x80;
    CHECK_EQ(ask(), OFFER);
    CHECK_EQ(get32(out.frame + 30), 0xffffffff);

    TEST("another server was chosen: no answer, and the offer is free");
    begin(REQUEST, 2);
    address_option(54, GATEWAY + 7);
    address_option(50, FIRST + 1);
    CHECK_EQ(ask(), 0);
    CHECK_EQ(leases_used(server.leases, NOW), 1);

    TEST("inform: the settings, and no lease");
    begin(INFORM, 3);
    put32(in.frame + MESSAGE + 12, 0xc0a864c8);
    CHECK_EQ(ask(), ACK);
    CHECK(!find(51) && number(3) == GATEWAY && yiaddr() == 0);
    CHECK_EQ(leases_used(server.leases, NOW), 1);

    TEST("release and decline have no answer");
    begin(RELEASE, 1);
    put32(in.frame + MESSAGE + 12, FIRST);
    CHECK_EQ(ask(), 0);
    CHECK_EQ(leases_used(server.leases, NOW), 0);
    begin(DISCOVER, 4);
    CHECK_EQ(ask(), OFFER);
    u32 address = yiaddr();
    begin(DECLINE, 4);
    address_option(50, address);
    CHECK_EQ(ask(), 0);
    begin(DISCOVER, 4);
    CHECK_EQ(ask(), OFFER);
    CHECK(yiaddr() != address);
}

static void test_options(void)
{
    start("192.168.100.0/24");
    TEST("no server of names, no word of one");
    server.dns.version = 0;
    begin(DISCOVER, 1);
    CHECK_EQ(ask(), OFFER);
    CHECK(!find(6));

    TEST("the client's identifier comes back");
    u8 id[255] = {1, 2, 3};
    begin(DISCOVER, 1);
    option(61, id, 7);
    CHECK_EQ(ask(), OFFER);
    CHECK(find(61) && find(61)[0] == 7 && memcmp(find(61) + 1, id, 7) == 0);
    begin(DISCOVER, 1);
    option(61, id, 255);
    CHECK_EQ(ask(), OFFER);
    CHECK(out.length <= 14 + 576);

    TEST("options continue in the fields for names");
    begin(REQUEST, 1);
    option(52, "\3", 1);
    u8 *file = in.frame + MESSAGE + 108, *sname = in.frame + MESSAGE + 44;
    memcpy(file, "\62\4\300\250\144\11\377", 7); /* 50: 192.168.100.9 */
    memcpy(sname, "\14\3box\377", 6);
    CHECK_EQ(ask(), ACK);
    CHECK_EQ(yiaddr(), 0xc0a86409);
    struct lease lease;
    CHECK(leases_next(server.leases, &(u32){0}, NOW, &lease) && strcmp(lease.name, "box") == 0);

    TEST("the pool is exhausted");
    start("192.168.100.0/29");
    for (u8 i = 1; i <= 5; i++) {
        begin(DISCOVER, i);
        CHECK_EQ(ask(), i <= 4 ? OFFER : 0);
    }
    CHECK_EQ(leases_refused(server.leases), 1);
}

static void test_refusals(void)
{
    start("192.168.100.0/24");
    TEST("a client speaks for itself only");
    begin(DISCOVER, 1);
    in.frame[11] = 2;
    CHECK_EQ(ask(), 0);
    begin(DISCOVER, 1);
    in.frame[6] = in.frame[MESSAGE + 28] = 3; /* a group */
    CHECK_EQ(ask(), 0);

    TEST("no relays, no BOOTP, no answers, no fragments, no other hardware");
    begin(DISCOVER, 1);
    put32(in.frame + MESSAGE + 24, GATEWAY + 5);
    CHECK_EQ(ask(), 0);
    begin(0, 1);
    CHECK_EQ(ask(), 0);
    begin(OFFER, 1);
    CHECK_EQ(ask(), 0);
    begin(DISCOVER, 1);
    in.frame[MESSAGE] = 2;
    CHECK_EQ(ask(), 0);
    begin(DISCOVER, 1);
    in.frame[20] = 0x20;
    CHECK(!dhcp_is_request(in.frame, in.length));
    CHECK_EQ(ask(), 0);
    begin(DISCOVER, 1);
    in.frame[MESSAGE + 2] = 16;
    CHECK_EQ(ask(), 0);

    TEST("other frames are none of its business");
    begin(DISCOVER, 1);
    in.frame[37] = 68;
    CHECK(!dhcp_is_request(in.frame, in.length));
    begin(DISCOVER, 1);
    in.frame[23] = 6;
    CHECK(!dhcp_is_request(in.frame, in.length));

    TEST("any length, in memory that ends there");
    begin(REQUEST, 1);
    address_option(50, FIRST);
    option(12, "name", 4);
    for (u32 length = 0; length <= in.length; length++) {
        u8 *copy = malloc(length + 1);
        memcpy(copy, in.frame, length);
        out.length = dhcp_answer(&server, copy, length, "", NOW, out.frame);
        CHECK(out.length == 0 || length == in.length);
        free(copy);
    }

    TEST("any bytes");
    srandom(1);
    for (u32 i = 0; i < 200000; i++) {
        begin((u8)(1 + random() % 8), (u8)(1 + random() % 3));
        address_option(50, FIRST + (u32)(random() % 300));
        option((u8)random(), in.frame, (u8)(random() % 64));
        for (u32 changes = (u32)random() % 8; changes; changes--)
            in.frame[random() % in.length] = (u8)random();
        u8 *copy = malloc(in.length);
        memcpy(copy, in.frame, in.length);
        u32 length = dhcp_answer(&server, copy, in.length, "", NOW + i / 1000, out.frame);
        if (length > DHCP_REPLY_MAX)
            CHECK(length <= DHCP_REPLY_MAX);
        free(copy);
    }
    CHECK(leases_used(server.leases, NOW) <= leases_addresses(server.leases));
    leases_free(server.leases);
}

int main(void)
{
    test_lease();
    test_options();
    test_refusals();
    return TEST_END();
}
