/*
 * Addresses of a NAT network's own.
 */
#include "net/nat_own.h"

#include "unit/test.h"

#include <string.h>

static struct error error;
static struct own_mac own[NAT_OWN_MAX];

static bool is(u32 i, const char *mac, const char *owner)
{
    char text[MAC_TEXT_MAX];
    mac_format(&own[i].mac, text);
    return strcmp(text, mac) == 0 && strcmp(own[i].owner, owner) == 0;
}

int main(void)
{
    struct prefix four, six, none = {0};
    TEST("gateway and server of names of both versions of IP");
    CHECK(!prefix_parse("10.77.0.0/16", &four, &error) && !prefix_parse("fd00:1::/64", &six, &error));
    CHECK_EQ(nat_own(&four, &six, own), 4);
    CHECK(is(0, "52:55:0a:4d:00:01", "the gateway") && is(1, "52:55:0a:4d:00:02", "the server of names"));
    CHECK(is(2, "52:56:00:00:00:01", "the gateway") && is(3, "52:56:00:00:00:02", "the server of names"));

    TEST("of one version alone");
    CHECK_EQ(nat_own(&none, &six, own), 2);
    CHECK(is(0, "52:56:00:00:00:01", "the gateway"));
    CHECK_EQ(nat_own(&four, &none, own), 2);
    return TEST_END();
}
