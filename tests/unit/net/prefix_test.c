/*
 * IP addresses and prefixes of both versions.
 */
#include "net/prefix.h"

#include "unit/test.h"

#include <errno.h>
#include <string.h>

static struct error error;

static struct prefix prefix(const char *text)
{
    struct prefix p = {0};
    CHECK(!prefix_parse(text, &p, &error));
    return p;
}

static bool same(const char *text)
{
    char back[PREFIX_TEXT_MAX];
    struct prefix p = prefix(text);
    prefix_format(&p, back);
    return !strcmp(back, text);
}

static bool refused(const char *text, const char *hint)
{
    struct prefix p;
    return prefix_parse(text, &p, &error) == -EINVAL && strstr(error.hint, hint);
}

static bool overlap(const char *a, const char *b)
{
    struct prefix x = prefix(a), y = prefix(b);
    CHECK(prefix_overlaps(&x, &y) == prefix_overlaps(&y, &x));
    return prefix_overlaps(&x, &y);
}

static bool nth(const char *text, u64 n, const char *expected)
{
    struct prefix p = prefix(text);
    struct ip ip;
    char back[IP_TEXT_MAX];
    if (!prefix_nth(&p, n, &ip))
        return !expected;
    ip_format(&ip, back);
    return expected && !strcmp(back, expected);
}

static bool has(const char *text, const char *address)
{
    struct prefix p = prefix(text);
    struct ip ip;
    CHECK(ip_parse(address, &ip));
    return prefix_has(&p, &ip);
}

int main(void)
{
    TEST("prefixes of both versions are read and written");
    CHECK(same("192.168.100.0/24") && same("10.0.0.0/8") && same("0.0.0.0/0") && same("192.0.2.1/32"));
    CHECK(same("fd00:100::/64") && same("::/0") && same("fd00::1/128") && same("fd00:8000::/17"));

    TEST("an address within a network is refused, and the network is named");
    CHECK(refused("192.168.100.5/24", "192.168.100.0/24"));
    CHECK(refused("10.128.0.0/8", "10.0.0.0/8"));
    CHECK(refused("192.0.2.3/31", "192.0.2.2/31"));
    CHECK(refused("fd00:100::1/64", "fd00:100::/64"));

    TEST("what is no prefix is refused");
    CHECK(refused("", "192.168.100.0/24") && refused("192.168.100/24", "/") && refused("/24", "/"));
    CHECK(refused("192.168.100.0", "192.168.100.0/24") && refused("192.168.100.0/", "/24"));
    CHECK(refused("192.168.100.0/33", "/24") && refused("192.168.100.0/-1", "/24"));
    CHECK(refused("192.168.100.0/24x", "/24") && refused("192.168.100.0/024 ", "/24"));
    CHECK(refused("192.168.100.0/4294967320", "/24"));
    CHECK(refused("fd00::/129", "/64") && refused("fd00::", "/64"));
    CHECK(refused("11111111111111111111111111111111111111111111111111111111111111111111111/8", "/"));

    TEST("prefixes overlap when one has the other, whichever is longer");
    CHECK(overlap("192.168.100.0/24", "192.168.100.0/24"));
    CHECK(overlap("192.168.0.0/16", "192.168.100.0/24"));
    CHECK(overlap("0.0.0.0/0", "192.168.100.0/24"));
    CHECK(overlap("192.168.100.128/25", "192.168.100.0/24"));
    CHECK(!overlap("192.168.100.128/25", "192.168.100.0/25"));
    CHECK(!overlap("192.168.100.0/24", "192.168.101.0/24"));
    CHECK(overlap("fd00::/48", "fd00:0:0:1::/64") && !overlap("fd00::/64", "fd00:0:0:1::/64"));
    CHECK(!overlap("0.0.0.0/0", "::/0"));

    TEST("a prefix has its addresses");
    CHECK(has("192.168.100.0/23", "192.168.101.255") && !has("192.168.100.0/23", "192.168.102.0"));
    CHECK(has("fd00::/65", "fd00::7fff:0:0:1") && !has("fd00::/65", "fd00::8000:0:0:1"));
    CHECK(!has("0.0.0.0/0", "::"));

    TEST("the n-th address lies in the prefix or is none");
    CHECK(nth("192.168.100.0/24", 1, "192.168.100.1") && nth("192.168.100.0/24", 255, "192.168.100.255"));
    CHECK(nth("192.168.100.0/24", 256, NULL) && nth("192.168.100.0/23", 256, "192.168.101.0"));
    CHECK(nth("0.0.0.0/0", 0xffffffff, "255.255.255.255") && nth("0.0.0.0/0", 1ull << 32, NULL));
    CHECK(nth("255.255.255.255/32", 1, NULL) && nth("255.255.255.255/32", 0, "255.255.255.255"));
    CHECK(nth("fd00:100::/64", 2, "fd00:100::2") && nth("fd00::/64", ~0ull, "fd00::ffff:ffff:ffff:ffff"));
    CHECK(nth("fd00::8000:0:0:0/65", 1ull << 63, NULL) && nth("fd00::/120", 256, NULL));

    TEST("an address that is none has a text");
    char none[IP_TEXT_MAX];
    ip_format(&(struct ip){0}, none);
    CHECK(!strcmp(none, "none"));

    return TEST_END();
}
