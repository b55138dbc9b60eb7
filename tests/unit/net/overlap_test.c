/*
 * Networks that must not overlap, and the choice of a free prefix.
 */
#include "net/overlap.h"

#include "unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct error error;

static struct network network(const char *prefix, const char *owner)
{
    struct network n = {0};
    CHECK(!prefix_parse(prefix, &n.prefix, &error));
    snprintf(n.owner, sizeof(n.owner), "%s", owner);
    return n;
}

static bool chosen(const struct network *taken, u32 count, const char *want)
{
    struct prefix prefix;
    char text[PREFIX_TEXT_MAX];
    if (!network_choose_prefix(taken, count, &prefix))
        return !want;
    prefix_format(&prefix, text);
    return want && strcmp(text, want) == 0;
}

int main(void)
{
    TEST("a refusal names both networks and whose they are");
    struct network wanted = network("192.168.5.0/24", "the NAT network two");
    struct network taken[] = {network("10.0.0.0/8", "the host's interface eth0"), network("fd00::/64", "somebody"),
                              network("192.168.0.0/16", "the NAT network one")};
    CHECK_EQ(network_refuse_overlap(&wanted, taken, 3, &error), -EEXIST);
    CHECK(strcmp(error.text, "192.168.5.0/24 of the NAT network two overlaps 192.168.0.0/16 of the NAT network one") ==
          0);
    CHECK(strstr(error.hint, "another prefix"));

    TEST("the smaller one may be there first");
    wanted = network("10.0.0.0/8", "the NAT network two");
    taken[0] = network("10.1.2.0/24", "the host's interface eth0");
    CHECK_EQ(network_refuse_overlap(&wanted, taken, 3, &error), -EEXIST);

    TEST("nothing overlaps");
    wanted = network("172.16.0.0/12", "the NAT network two");
    CHECK_EQ(network_refuse_overlap(&wanted, taken, 3, &error), 0);
    CHECK_EQ(network_refuse_overlap(&wanted, NULL, 0, &error), 0);

    TEST("the first free prefix");
    CHECK(chosen(NULL, 0, "192.168.100.0/24"));
    struct network one = network("192.168.100.128/25", "x");
    CHECK(chosen(&one, 1, "192.168.101.0/24"));
    one = network("192.168.64.0/18", "x");
    CHECK(chosen(&one, 1, "192.168.128.0/24"));
    one = network("192.168.0.0/16", "x");
    CHECK(chosen(&one, 1, "10.0.0.0/24"));
    struct network two[] = {network("192.168.0.0/16", "x"), network("10.0.0.0/9", "y")};
    CHECK(chosen(two, 2, "10.128.0.0/24"));
    two[1] = network("0.0.0.0/0", "y");
    CHECK(chosen(two, 2, NULL));

    TEST("the host's interfaces can be asked for, and loopback is none");
    struct network *list = NULL;
    u32 count = 0;
    CHECK_EQ(networks_of_host(&list, &count), 0);
    for (u32 i = 0; i < count; i++) {
        CHECK(strncmp(list[i].owner, "the host's interface ", 21) == 0);
        CHECK(strcmp(list[i].owner + 21, list[i].interface) == 0);
        CHECK(list[i].prefix.address.version == 6 || list[i].prefix.address.byte[0] != 127);
    }
    free(list);
    return TEST_END();
}
