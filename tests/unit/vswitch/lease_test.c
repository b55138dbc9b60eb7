/*
 * Leases: who gets which address, what stays when leases end, and what the file keeps.
 */
#include "vswitch/lease.h"

#include "unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NETWORK 0xc0a86400u /* 192.168.100.0 */
#define FIRST (NETWORK + 3)
#define DAY 86400

static struct error error;

static struct leases *leases(const char *prefix, const char *text)
{
    struct prefix p;
    CHECK(!prefix_parse(prefix, &p, &error));
    return leases_new(&p, 3, text, 100 * DAY);
}

static struct mac mac(u8 n)
{
    return (struct mac){{2, 0, 0, 0, 0, n}};
}

static u32 offer(struct leases *l, u8 client, s64 now)
{
    struct mac m = mac(client);
    return leases_offer(l, &(struct lease_client){.mac = m}, 0, now);
}

static bool bind_to(struct leases *l, u8 client, u32 address, s64 now)
{
    struct mac m = mac(client);
    return leases_bind(l, &(struct lease_client){.mac = m}, address, "host", now, now + DAY);
}

static void decline(struct leases *l, u8 client, u32 address, s64 now)
{
    struct mac m = mac(client);
    leases_decline(l, &m, address, now);
}

static void release(struct leases *l, u8 client, u32 address, s64 now)
{
    struct mac m = mac(client);
    leases_release(l, &m, address, now);
}

static void test_addresses(void)
{
    struct leases *l = leases("192.168.100.0/24", NULL);
    struct lease lease;
    TEST("the pool has no network, gateway, server of names or broadcast address");
    CHECK_EQ(leases_addresses(l), 252);
    CHECK(!bind_to(l, 1, NETWORK, 1000) && !bind_to(l, 1, NETWORK + 2, 1000) && !bind_to(l, 1, NETWORK + 255, 1000));

    TEST("the lowest free address is offered, and the same one again");
    CHECK_EQ(offer(l, 1, 1000), FIRST);
    CHECK_EQ(offer(l, 2, 1000), FIRST + 1);
    CHECK_EQ(offer(l, 1, 1001), FIRST);

    TEST("an offer that nobody takes ends");
    CHECK_EQ(leases_used(l, 1050), 2);
    CHECK_EQ(leases_used(l, 1100), 0);

    TEST("a lease has address, name and end");
    CHECK(bind_to(l, 1, FIRST, 1001));
    u32 at = 0;
    CHECK(leases_next(l, &at, 1002, &lease));
    CHECK(lease.address.version == 4 && lease.address.byte[3] == 3 && lease.mac.byte[5] == 1);
    CHECK(strcmp(lease.name, "host") == 0);
    CHECK_EQ(lease.until, 1001 + DAY);
    CHECK(!leases_next(l, &at, 1002, &lease)); /* the other one is an offer */

    TEST("nobody gets what another one has");
    CHECK(!bind_to(l, 3, FIRST, 1002));
    CHECK_EQ(leases_used(l, 1002), 2); /* and the offer to the second */

    TEST("a client has one address: with a new one the old one is free");
    CHECK(bind_to(l, 1, FIRST + 9, 1003));
    CHECK(bind_to(l, 3, FIRST, 1003));

    TEST("an address that was asked for is offered if it is free");
    struct mac m = mac(9);
    CHECK_EQ(leases_offer(l, &(struct lease_client){.mac = m}, FIRST + 100, 1004), FIRST + 100);
    m = mac(10);
    CHECK(leases_offer(l, &(struct lease_client){.mac = m}, FIRST + 100, 1004) != FIRST + 100);
    m = mac(11);
    CHECK(leases_offer(l, &(struct lease_client){.mac = m}, NETWORK + 1, 1004) >= FIRST);
    leases_free(l);
}

static void test_ends(void)
{
    struct leases *l = leases("192.168.100.0/29", NULL);
    TEST("a small network is exhausted, which is counted");
    CHECK_EQ(leases_addresses(l), 4);
    for (u8 i = 0; i < 4; i++)
        CHECK(bind_to(l, i, FIRST + i, 1000 + i));
    CHECK_EQ(offer(l, 9, 1010), 0);
    CHECK_EQ(offer(l, 9, 1010), 0);
    CHECK_EQ(leases_refused(l), 2);

    TEST("what was released is free, but its client gets it back if it is the first to ask");
    release(l, 2, FIRST + 1, 1010); /* not its address */
    CHECK_EQ(leases_used(l, 1010), 4);
    release(l, 2, FIRST + 2, 1011);
    CHECK_EQ(leases_used(l, 1011), 3);
    CHECK_EQ(offer(l, 2, 1011), FIRST + 2);
    release(l, 2, 0, 1012);
    CHECK_EQ(offer(l, 9, 1012), FIRST + 2);

    TEST("when all leases have ended, the one that ended first goes to a stranger");
    CHECK_EQ(offer(l, 20, 1005 + DAY), FIRST + 2); /* of the offer */
    CHECK_EQ(offer(l, 21, 1005 + DAY), FIRST);
    CHECK_EQ(offer(l, 1, 1005 + DAY), FIRST + 1); /* its own */
    CHECK_EQ(offer(l, 22, 1005 + DAY), FIRST + 3);
    leases_free(l);

    l = leases("192.168.100.0/24", NULL);
    TEST("a declined address is nobody's for a while");
    CHECK_EQ(offer(l, 1, 1000), FIRST);
    decline(l, 1, FIRST, 1000);
    CHECK_EQ(offer(l, 1, 1000), FIRST + 1);
    CHECK(!bind_to(l, 2, FIRST, 1001));
    CHECK(bind_to(l, 2, FIRST, 1601));

    TEST("one client cannot decline a whole network");
    for (u32 i = 0; i < 100; i++)
        decline(l, 3, offer(l, 3, 2000), 2000);
    CHECK(leases_used(l, 2000) < 10);

    TEST("nobody declines what is another one's");
    decline(l, 4, FIRST, 2000);
    CHECK(bind_to(l, 2, FIRST, 2000));
    leases_free(l);
}

static struct lease_client behind(u8 n, const char *port)
{
    struct lease_client client = {.mac = mac(n)};
    snprintf(client.port, sizeof(client.port), "%s", port);
    return client;
}

/* Takes an address for a client behind a port. 0: it gets none. */
static u32 lease_to(struct leases *l, u8 n, const char *port, s64 now)
{
    struct lease_client client = behind(n, port);
    u32 address = leases_offer(l, &client, 0, now);
    return address && leases_bind(l, &client, address, "host", now, now + DAY) ? address : 0;
}

static void test_shares(void)
{
    struct leases *l = leases("192.168.100.0/24", NULL);
    u32 own = 0, other = 0;
    TEST("one port cannot take all addresses by making up clients");
    for (u32 n = 0; n < 256; n++)
        own += lease_to(l, (u8)n, "flood", 1000) != 0;
    CHECK_EQ(own, 127);
    CHECK(leases_refused(l) == 256 - 127);
    CHECK_EQ(leases_used(l, 1000), 127);
    struct lease_client again = behind(3, "flood"), bold = behind(200, "flood");
    CHECK(leases_offer(l, &again, 0, 1000));
    CHECK(!leases_bind(l, &bold, FIRST + 200, "", 1000, 1000 + DAY));

    TEST("nor can two, and those without any get one as long as there are any");
    struct lease_client made_up = {.port = "second"};
    for (u32 n = 0; n < 256; n++) {
        made_up.mac = (struct mac){{2, 1, 0, 0, 0, (u8)n}};
        other += leases_offer(l, &made_up, 0, 1000) != 0;
    }
    CHECK_EQ(other, 63);
    char port[8];
    for (u8 n = 0; n < 62; n++) {
        snprintf(port, sizeof(port), "p%u", n);
        made_up = behind(0, port);
        made_up.mac.byte[1] = (u8)(n + 2);
        CHECK(leases_offer(l, &made_up, 0, 1000));
    }
    CHECK_EQ(leases_used(l, 1000), 252);
    leases_free(l);

    TEST("when none is left, those of which nothing was heard go first, the oldest of them");
    l = leases("192.168.100.0/29", NULL);
    CHECK(lease_to(l, 1, "a", 1000) == FIRST && lease_to(l, 2, "b", 1001) == FIRST + 1);
    CHECK(lease_to(l, 3, "c", 1002) == FIRST + 2 && lease_to(l, 4, "d", 1003) == FIRST + 3);
    struct mac m = mac(1);
    leases_heard(l, &m, FIRST);
    leases_heard(l, &m, FIRST + 1); /* it is not that client's */
    CHECK_EQ(lease_to(l, 5, "e", 1050), 0);
    CHECK_EQ(lease_to(l, 5, "e", 1061), FIRST + 1);
    CHECK_EQ(lease_to(l, 6, "e", 1062), 0); /* it has one */
    for (u8 n = 3; n <= 5; n++)
        leases_heard(l, &(struct mac){{2, 0, 0, 0, 0, n}}, n == 5 ? FIRST + 1 : FIRST + n - 1);
    CHECK_EQ(lease_to(l, 7, "f", 2000), 0);

    TEST("a lease ends by its address or its client");
    CHECK_EQ(leases_end(l, NULL, FIRST + 3), 1);
    CHECK_EQ(leases_end(l, NULL, FIRST + 3), 0);
    CHECK_EQ(lease_to(l, 7, "f", 2000), FIRST + 3);
    m = mac(3);
    CHECK_EQ(leases_end(l, &m, 0), 1);
    CHECK_EQ(leases_used(l, 2000), 3);

    TEST("the file knows the ports, and what was before is not taken away");
    char *text = leases_text(l);
    CHECK(strstr(text, " 192.168.100.3 host a\n"));
    struct leases *next = leases("192.168.100.0/29", text);
    CHECK_EQ(lease_to(next, 8, "a", 2001), FIRST + 2);
    CHECK_EQ(lease_to(next, 9, "a", 2001), 0);
    CHECK_EQ(lease_to(next, 10, "g", 2100), FIRST + 2);
    CHECK_EQ(lease_to(next, 11, "h", 9000), FIRST + 2);
    free(text);
    leases_free(next);
    leases_free(l);
}

static void test_file(void)
{
    struct leases *l = leases("192.168.100.0/24", NULL);
    struct mac m = mac(7);
    struct lease lease;
    TEST("the file changes with leases, not with offers or a renewal soon after");
    CHECK(!leases_changed(l));
    CHECK(offer(l, 7, 1000));
    CHECK(!leases_changed(l));
    CHECK(bind_to(l, 7, FIRST, 1000) && leases_changed(l) && !leases_changed(l));
    CHECK(bind_to(l, 7, FIRST, 1100) && !leases_changed(l));
    CHECK(bind_to(l, 7, FIRST, 9000) && leases_changed(l));
    CHECK(leases_bind(l, &(struct lease_client){.mac = m}, FIRST, "other", 9001, 9001 + DAY) && leases_changed(l));

    TEST("names are made harmless");
    CHECK(leases_bind(l, &(struct lease_client){.mac = m}, FIRST, "a b\n\033[1m/\377z.x-9", 9001, 9001 + DAY));
    CHECK(leases_next(l, &(u32){0}, 9001, &lease));
    CHECK(strcmp(lease.name, "a-b---1m--z.x-9") == 0);

    TEST("what was written is read again");
    CHECK(leases_bind(l, &(struct lease_client){.mac = m}, FIRST, "", 9001, 9001 + DAY));
    CHECK(bind_to(l, 8, FIRST + 5, 9002));
    char *text = leases_text(l);
    CHECK(strcmp(text, "95401 02:00:00:00:00:07 192.168.100.3 *\n95402 02:00:00:00:00:08 192.168.100.8 host\n") == 0);
    struct leases *again = leases("192.168.100.0/24", text);
    CHECK_EQ(leases_used(again, 9003), 2);
    CHECK_EQ(offer(again, 8, 9003), FIRST + 5);
    CHECK(!leases_changed(again));
    leases_free(again);

    TEST("with another prefix the old addresses mean nothing");
    again = leases("192.168.101.0/24", text);
    CHECK_EQ(leases_used(again, 9003), 0);
    leases_free(again);
    free(text);
    leases_free(l);

    TEST("lines that make no sense are left out, and no lease is for ever");
    l = leases("192.168.100.0/24", "garbage\n\n1 2 3 4\n-5 02:00:00:00:00:01 192.168.100.4 x\n"
                                   "99999999999999999 02:00:00:00:00:02 192.168.100.5 x\n"
                                   "9000 02:00:00:00:00:03 192.168.100.5 twice\n"
                                   "9000 02:00:00:00:00:02 192.168.100.6 twice\n"
                                   "9000 02:00:00:00:00:04 192.168.100.1 gateway\n"
                                   "9000 02:00:00:00:00:05 fd00::5 six\n9000 02:00:00:00:00:06 192.168.100.7 end");
    CHECK_EQ(leases_used(l, 8000), 2);
    CHECK_EQ(leases_used(l, 100 * DAY), 0);
    leases_free(l);
}

int main(void)
{
    test_addresses();
    test_ends();
    test_file();
    test_shares();
    return TEST_END();
}
