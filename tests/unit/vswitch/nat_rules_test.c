/*
 * What nftables is told for a NAT network. Whether it works is shown with real packets in tests/net.
 */
#include "vswitch/nat_rules.h"

#include "unit/test.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static char *text;

static u32 count(const char *what)
{
    u32 n = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        n++;
    return n;
}

static void tell(const struct nat *nat)
{
    json_error_t error;
    free(text);
    text = nat_rules(nat, "nbn-lab");
    json_t *root = json_loads(text, 0, &error);
    CHECK(json_is_array(json_object_get(root, "nftables")));
    json_decref(root);
}

static struct nat_rule rule(bool udp, const char *external, const char *internal, int why)
{
    struct nat_rule r = {.mapping.udp = udp, .why.code = why};
    CHECK(hostport_parse(external, &r.external) && hostport_parse(internal, &r.internal));
    return r;
}

int main(void)
{
    struct error error;
    struct nat nat = {0};
    CHECK(!prefix_parse("192.168.100.0/24", &nat.prefix, &error));

    TEST("the end: the table is there, so that it can be deleted, and nothing else");
    tell(NULL);
    CHECK(strcmp(text, "{\"nftables\":[{\"add\":{\"table\":{\"family\":\"inet\",\"name\":\"nbn-lab\"}}},"
                       "{\"delete\":{\"table\":{\"family\":\"inet\",\"name\":\"nbn-lab\"}}}]}") == 0);

    TEST("a network of one version of IP");
    tell(&nat);
    CHECK_EQ(count("\"addr\":\"192.168.100.0\",\"len\":24"), 2);
    CHECK_EQ(count("\"ip6\""), 0);
    CHECK_EQ(count("\"nfproto\"}},\"right\":\"ipv6\""), 1);
    CHECK_EQ(count("\"dnat\":{"), 0);
    CHECK_EQ(count("\"hook\":\"forward\""), 1);

    TEST("of both");
    CHECK(!prefix_parse("fd00:1::/64", &nat.prefix6, &error));
    tell(&nat);
    CHECK_EQ(count("\"addr\":\"fd00:1::\",\"len\":64"), 2);
    CHECK_EQ(count("\"nfproto\""), 0);

    TEST("mappings, for guests and others and for the host itself");
    struct nat_rule rules[] = {
        rule(false, "0.0.0.0:8080", "192.168.100.5:80", 0), rule(true, "10.0.0.2:53", "192.168.100.6:5353", 0),
        rule(false, "[::]:443", "[fd00:1::5]:8443", 0), rule(false, "0.0.0.0:9999", "192.168.100.7:9999", -EINVAL)};
    nat.rule = rules;
    nat.rules = ARRAY_LEN(rules);
    tell(&nat);
    CHECK_EQ(count("{\"dnat\":{\"family\":\"ip\",\"addr\":\"192.168.100.5\",\"port\":80}}"), 2);
    CHECK_EQ(count("{\"dnat\":{\"family\":\"ip6\",\"addr\":\"fd00:1::5\",\"port\":8443}}"), 2);
    CHECK_EQ(count("\"right\":\"10.0.0.2\""), 2);
    CHECK_EQ(count("\"result\":\"type\""), 4);
    CHECK_EQ(count("9999"), 0);
    free(text);
    return TEST_END();
}
