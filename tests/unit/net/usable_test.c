/*
 * Which addresses networks of VMs can have.
 */
#include "net/usable.h"

#include "unit/test.h"

#include <errno.h>
#include <string.h>

static struct error error;

struct row {
    const char *text, *says; /* says NULL: it is taken */
};

static void told(const struct row *row, int code)
{
    bool right = code == (row->says ? -EINVAL : 0) && (!row->says || strstr(error.text, row->says));
    if (!right)
        printf("# %s: %d, %s\n", row->text, code, code ? error.text : "");
    CHECK(right);
}

static void test_prefixes(void)
{
    static const struct row v4[] = {
        {"10.0.0.0/8", NULL},           {"10.0.0.0/29", NULL},
        {"192.168.100.0/24", NULL},     {"10.0.0.0/7", "shortest"},
        {"0.0.0.0/0", "shortest"},      {"10.0.0.0/30", "no room for VMs"},
        {"10.0.0.1/24", "within"},      {"0.0.0.0/8", "lies in"},
        {"0.1.0.0/16", "0.0.0.0/8"},    {"169.254.0.0/16", "link-local"},
        {"127.0.0.0/8", "loopback"},    {"127.0.5.0/24", "loopback"},
        {"224.0.0.0/8", "224.0.0.0/3"}, {"239.1.0.0/16", "multicast"},
        {"240.0.0.0/24", "reserved"},   {"255.255.255.0/24", "broadcast"},
        {"223.255.255.0/24", NULL},     {"126.0.0.0/8", NULL},
        {"fd00::/64", "not of IPv4"},
    };
    static const struct row v6[] = {
        {"fd00:1::/64", NULL},
        {"2001:db8::/64", NULL},
        {"fd00::/48", "another length"},
        {"fd00::/80", "another length"},
        {"::/64", "unspecified"},
        {"fe80::/64", "link-local"},
        {"febf:0:0:1::/64", "link-local"},
        {"ff02::/64", "multicast"},
        {"10.0.0.0/24", "not of IPv6"},
    };
    struct prefix prefix;
    TEST("prefixes of NAT networks");
    for (u32 i = 0; i < ARRAY_LEN(v4); i++)
        told(&v4[i], usable_prefix("prefix", v4[i].text, 4, &prefix, &error));
    for (u32 i = 0; i < ARRAY_LEN(v6); i++)
        told(&v6[i], usable_prefix("prefix6", v6[i].text, 6, &prefix, &error));
}

static void test_addresses(void)
{
    static const struct row rows[] = {
        {"10.0.0.1/24", NULL},
        {"10.0.0.0/31", NULL},
        {"10.0.0.255/32", NULL},
        {"10.0.0.255/16", NULL},
        {"fd00::1/64", NULL},
        {"fe80::1/64", NULL},
        {"169.254.1.1/16", NULL},
        {"fd00::ffff:ffff:ffff:ffff/64", NULL},
        {"10.0.0.0/24", "network itself"},
        {"fd00::/64", "network itself"},
        {"10.0.0.255/24", "broadcast"},
        {"127.0.0.1/8", "loopback"},
        {"0.0.0.0/24", "lies in"},
        {"224.0.0.5/24", "multicast"},
        {"255.255.255.255/32", "224.0.0.0/3"},
        {"::1/128", "loopback"},
        {"::/64", "unspecified"},
        {"ff02::1/64", "multicast"},
        {"10.0.0.1", "not an address"},
        {"10.0.0.1/33", "not an address"},
        {"10.0.0.1/0", "not an address"},
        {"10.0.0.1/", "not an address"},
        {"x/24", "not an address"},
        {"10.0.0.1/24 ", "not an address"},
    };
    struct prefix network;
    struct ip ip;
    char text[PREFIX_TEXT_MAX];
    TEST("addresses of the host");
    for (u32 i = 0; i < ARRAY_LEN(rows); i++)
        told(&rows[i], usable_address("address", rows[i].text, &ip, &network, &error));
    CHECK_EQ(usable_address("address", "10.1.2.3/20", &ip, &network, &error), 0);
    prefix_format(&network, text);
    CHECK(strcmp(text, "10.1.0.0/20") == 0);
    ip_format(&ip, text);
    CHECK(strcmp(text, "10.1.2.3") == 0);
}

int main(void)
{
    test_prefixes();
    test_addresses();
    return TEST_END();
}
