/*
 * The tables of settings of networks, row by row; what values do not go together; lists of VLANs.
 */
#include "rules/network_settings.h"

#include "unit/setting_rows.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>

static struct error error;

static void test_rows(void)
{
    unsigned switches = rows_check(switch_settings_table, sizeof(struct switch_settings)),
             nats = rows_check(nat_settings_table, sizeof(struct nat_settings)),
             cards = rows_check(card_settings_table, sizeof(struct card_settings));
    TEST("groups, each in one piece");
    CHECK(switches == 1 && nats == 1 && cards == 4);
}

static void test_defaults(void)
{
    struct switch_settings sw = {0};
    struct nat_settings nat = {0};
    struct card_settings card = {0};
    TEST("what is so by default");
    setting_defaults(switch_settings_table, &sw);
    setting_defaults(nat_settings_table, &nat);
    setting_defaults(card_settings_table, &card);
    CHECK(sw.type == SWITCH_PRIVATE && sw.host && !sw.keep && !sw.interface && !sw.address);
    CHECK(nat.backend == NAT_AUTO && nat.dhcp && nat.dns && !nat.prefix && !nat.switch_name);
    CHECK(!card.spoofing && !card.dhcp_guard && !card.router_guard && !card.protect && card.mirror == MIRROR_NONE);
    CHECK(!card.bandwidth_minimum && !card.bandwidth_maximum && !card.storm_limit && !card.vlan && !card.trunk);
    CHECK_EQ(switch_settings_check(&sw, &error), 0);
}

static void test_switches(void)
{
    static const struct {
        struct switch_settings set;
        const char *says;
    } cases[] = {
        {{.type = SWITCH_EXTERNAL}, "needs an interface"},
        {{.type = SWITCH_EXTERNAL, .interface = ""}, "needs an interface"},
        {{.type = SWITCH_EXTERNAL, .interface = "eth0"}, NULL},
        {{.type = SWITCH_PRIVATE, .interface = "eth0"}, "this one is private"},
        {{.type = SWITCH_NAT, .address = "10.0.0.1/24"}, "this one is nat"},
        {{.type = SWITCH_INTERNAL, .address = "10.0.0.1/24"}, NULL},
        {{.type = SWITCH_INTERNAL, .interface = "", .address = ""}, NULL},
    };
    TEST("settings of a switch that do not go together");
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        CHECK_EQ(switch_settings_check(&cases[i].set, &error), cases[i].says ? -EINVAL : 0);
        CHECK(!cases[i].says || strstr(error.text, cases[i].says));
    }
}

static void test_cards(void)
{
    static const struct {
        struct card_settings set;
        const char *says;
    } cases[] = {
        {{.switch_name = "lan"}, NULL},
        {{0}, NULL},
        {{.switch_name = ""}, NULL},
        {{.switch_name = "lan", .bandwidth_maximum = 63999}, "less than the least"},
        {{.switch_name = "lan", .bandwidth_minimum = 1}, "less than the least"},
        {{.switch_name = "lan", .bandwidth_minimum = 2000000, .bandwidth_maximum = 1000000}, "is more than"},
        {{.switch_name = "lan", .bandwidth_minimum = 2000000}, NULL},
        {{.switch_name = "lan", .trunk = "10,"}, "not a list of VLANs"},
        {{.switch_name = "lan", .trunk = "10", .vlan = 5}, NULL},
        {{.switch_name = "lan", .trunk = ""}, NULL},
    };
    TEST("settings of a card that do not go together");
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        CHECK_EQ(card_settings_check(&cases[i].set, &error), cases[i].says ? -EINVAL : 0);
        CHECK(!cases[i].says || strstr(error.text, cases[i].says));
    }
}

static unsigned count(const u64 *vlans)
{
    unsigned n = 0;
    for (unsigned i = 0; i < VLANS_WORDS; i++)
        n += (unsigned)__builtin_popcountll(vlans[i]);
    return n;
}

static void test_vlans(void)
{
    static const char *const bad[] = {"",         ",",  "0", "4095", "5-3",   "1-",          "-1",
                                      "1,,2",     "1,", "a", "1 2",  "1-2-3", "99999999999", "1-99999999999",
                                      "4094,4095"};
    u64 vlans[VLANS_WORDS];
    TEST("lists of VLANs");
    CHECK_EQ(vlans_parse("10,20-29", vlans, &error), 0);
    CHECK_EQ(count(vlans), 11);
    CHECK(vlans[0] == (BIT64(10) | 0x3ff00000ull));
    CHECK_EQ(vlans_parse("1-4094", vlans, &error), 0);
    CHECK_EQ(count(vlans), 4094);
    CHECK_EQ(vlans_parse("7,7,5-8", vlans, &error), 0);
    CHECK_EQ(count(vlans), 4);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_EQ(vlans_parse(bad[i], vlans, &error), -EINVAL);
}

int main(void)
{
    test_rows();
    test_defaults();
    test_switches();
    test_cards();
    test_vlans();
    return TEST_END();
}
