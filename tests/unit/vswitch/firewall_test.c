/*
 * Firewalls that drop forwarded packets, in the words of `nft -j list ruleset`.
 */
#include "vswitch/firewall.h"

#include "unit/test.h"

#include <errno.h>
#include <string.h>

#define ALL(items) "{\"nftables\": [{\"metainfo\": {\"version\": \"1.0.6\"}}, " items "]}"
#define CHAIN(family, table, name, hook, policy)                                                                       \
    "{\"chain\": {\"family\": \"" family "\", \"table\": \"" table "\", \"name\": \"" name "\", \"handle\": 1, "       \
    "\"type\": \"filter\", \"hook\": \"" hook "\", \"prio\": 0, \"policy\": \"" policy "\"}}"
#define RULE(family, table, chain, key, interface, verdict)                                                            \
    "{\"rule\": {\"family\": \"" family "\", \"table\": \"" table "\", \"chain\": \"" chain "\", \"expr\": ["          \
    "{\"match\": {\"op\": \"==\", \"left\": {\"meta\": {\"key\": \"" key "\"}}, \"right\": \"" interface "\"}}, "      \
    "{\"counter\": {\"packets\": 0, \"bytes\": 0}}, {\"" verdict "\": null}]}}"
#define DOCKER_USER "{\"chain\": {\"family\": \"ip\", \"table\": \"filter\", \"name\": \"DOCKER-USER\", \"handle\": 2}}"

static struct error error;

static int look(const char *ruleset, bool ipv4, bool ipv6)
{
    struct firewall_view view = {"nbn-lab", ipv4, ipv6};
    return firewall_in(ruleset, &view, &error);
}

int main(void)
{
    TEST("none, and none that drops");
    CHECK_EQ(look(ALL(""), true, true), 0);
    CHECK_EQ(look("not even JSON", true, true), 0);
    CHECK_EQ(look(ALL(CHAIN("ip", "filter", "FORWARD", "forward", "accept")), true, true), 0);
    CHECK_EQ(look(ALL(CHAIN("ip", "filter", "INPUT", "input", "drop")), true, true), 0);

    TEST("Docker's, by its name, with its own chain for the remedy");
    CHECK_EQ(look(ALL(CHAIN("ip", "filter", "FORWARD", "forward", "drop") ", " DOCKER_USER), true, false), -EPERM);
    CHECK(strstr(error.text, "chain FORWARD in table ip filter is drop (Docker's)"));
    CHECK(strcmp(error.hint, "for d in i o; do iptables -I DOCKER-USER -$d nbn-lab -j ACCEPT; done") == 0);

    TEST("iptables without Docker");
    CHECK_EQ(look(ALL(CHAIN("ip", "filter", "FORWARD", "forward", "drop")), true, false), -EPERM);
    CHECK(!strstr(error.text, "Docker"));
    CHECK(strcmp(error.hint, "for d in i o; do iptables -I FORWARD -$d nbn-lab -j ACCEPT; done") == 0);
    CHECK_EQ(look(ALL(CHAIN("ip6", "filter", "FORWARD", "forward", "drop")), false, true), -EPERM);
    CHECK(strstr(error.hint, "ip6tables"));

    TEST("nftables' own");
    CHECK_EQ(look(ALL(CHAIN("inet", "fw", "through", "forward", "drop")), true, false), -EPERM);
    CHECK(strstr(error.text, "chain through in table inet fw"));
    CHECK(strcmp(error.hint, "for d in i o; do nft insert rule inet fw through ${d}ifname nbn-lab accept; done") == 0);

    TEST("a firewall of the other version of IP concerns nobody");
    CHECK_EQ(look(ALL(CHAIN("ip6", "filter", "FORWARD", "forward", "drop")), true, false), 0);
    CHECK_EQ(look(ALL(CHAIN("ip", "filter", "FORWARD", "forward", "drop")), false, true), 0);
    CHECK_EQ(look(ALL(CHAIN("bridge", "filter", "FORWARD", "forward", "drop")), true, true), 0);

    TEST("with the remedy it lets pass, in both directions");
    CHECK_EQ(look(ALL(CHAIN("ip", "filter", "FORWARD", "forward", "drop") ", "                 //
                      RULE("ip", "filter", "DOCKER-USER", "iifname", "nbn-lab", "accept") ", " //
                      RULE("ip", "filter", "DOCKER-USER", "oifname", "nbn-lab", "accept")),
                  true, false),
             0);
    CHECK_EQ(look(ALL(CHAIN("ip", "filter", "FORWARD", "forward", "drop") ", " //
                      RULE("ip", "filter", "DOCKER-USER", "iifname", "nbn-lab", "accept")),
                  true, false),
             -EPERM);
    CHECK_EQ(look(ALL(CHAIN("inet", "fw", "through", "forward", "drop") ", "           //
                      RULE("inet", "fw", "through", "iifname", "nbn-lab", "drop") ", " //
                      RULE("inet", "fw", "through", "oifname", "nbn-other", "accept")),
                  true, false),
             -EPERM);
    return TEST_END();
}
