/*
 * The command that lets dropped frames pass: for which card, and that there is none once the rule is off.
 */
#include "vswitch/remedy.h"

#include "unit/test.h"

#include <string.h>

static struct port port = {.kind = PORT_CARD, .vm = "lab 1", .name = "nic0"};

static bool has(enum drop drop)
{
    char line[REMEDY_MAX];
    return remedy(&port, drop, line, sizeof(line));
}

static void test_text(void)
{
    char line[REMEDY_MAX];
    TEST("it names the card, in quotes where a shell wants them");
    CHECK(remedy(&port, DROP_SPOOFED, line, sizeof(line)));
    CHECK(strcmp(line, "nestbox nic set 'lab 1/nic0' --spoofing on") == 0);
}

static void test_rules(void)
{
    TEST("a rule that is in force has one");
    port.set = (struct card_settings){.dhcp_guard = true, .router_guard = true, .storm_limit = 5, .protect = true};
    CHECK(has(DROP_SPOOFED) && has(DROP_DHCP) && has(DROP_ROUTER) && has(DROP_STORM) && has(DROP_PROTECTED));
    CHECK(has(DROP_VLAN) && !has(DROP_MALFORMED) && !has(DROP_QUEUE));

    TEST("one that is off has none");
    port.set = (struct card_settings){.spoofing = true};
    CHECK(!has(DROP_SPOOFED) && !has(DROP_DHCP) && !has(DROP_ROUTER) && !has(DROP_STORM) && !has(DROP_PROTECTED));

    TEST("nor has a port that is no card's");
    port = (struct port){.kind = PORT_NAT};
    CHECK(!has(DROP_SPOOFED));
}

int main(void)
{
    test_text();
    test_rules();
    return TEST_END();
}
