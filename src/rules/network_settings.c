/*
 * The tables of settings of networks, in the order of --help and of the manual page, and the checks that no row can
 * say. After a change: `make derive`.
 */
#include "rules/network_settings.h"

#include <errno.h>
#include <string.h>

#define RATE_MIN 64000ull /* below that a full frame takes seconds */
#define RATE_MAX 400000000000ull
#define VLAN_LAST 4094u /* IEEE 802.1Q reserves 0 and 4095 */

static const char *const type_names[] = {[SWITCH_PRIVATE] = "private",
                                         [SWITCH_INTERNAL] = "internal",
                                         [SWITCH_EXTERNAL] = "external",
                                         [SWITCH_NAT] = "nat",
                                         NULL};
static const char *const backend_names[] = {[NAT_AUTO] = "auto", [NAT_SLIRP] = "slirp", [NAT_KERNEL] = "kernel", NULL};
static const char *const mirror_names[] = {
    [MIRROR_NONE] = "none", [MIRROR_SOURCE] = "source", [MIRROR_DESTINATION] = "destination", NULL};

/* clang-format off */
#define AT(field) offsetof(struct switch_settings, field)
static const char switch_group[] = "Switch";
const struct setting switch_settings_table[] = {
    {"type", SETTING_CHOICE, AT(type), "TYPE", "who is on the switch besides VMs",
     "Who is on the switch besides VMs: nobody (*private*), the host (*internal*), an interface of the host and what "
     "is behind it (*external*), or a NAT network (*nat*).",
     .group = switch_group, .def = "private", .choices = type_names},
    {"interface", SETTING_TEXT, AT(interface), "IF", "external: the host's interface, or a bridge",
     "The interface of the host that an external switch is connected to, or a bridge of the host.",
     .group = switch_group, .names = "interfaces"},
    {"host", SETTING_ON_OFF, AT(host), "on|off", "external: the host stays on the interface",
     "Whether the host itself stays connected to the interface of an external switch.",
     .group = switch_group, .def = "on"},
    {"address", SETTING_TEXT, AT(address), "A/L", "internal: the host's address, as 10.0.0.1/24",
     "The host's address on an internal switch and the length of its prefix, as in 10.0.0.1/24; an empty one is none.",
     .group = switch_group},
    {"keep", SETTING_ON_OFF, AT(keep), "on|off", "runs without cards, as internal and external ones do",
     "The process of the switch goes on when no card is attached to it. "
     "Internal and external switches always do so, as the host or what is outside is there.",
     .group = switch_group, .def = "off"},
    {"notes", SETTING_TEXT, AT(notes), "TEXT", "a text of your own",
     .group = switch_group},
    {0},
};
#undef AT

#define AT(field) offsetof(struct nat_settings, field)
static const char nat_group[] = "NAT";
const struct setting nat_settings_table[] = {
    {"prefix", SETTING_TEXT, AT(prefix), "P", "addresses of the network, as 192.168.100.0/24",
     "The addresses of the network, as in 192.168.100.0/24; the first is the gateway's. "
     "Without it a prefix is chosen that nothing here uses; it stays the same from then on.",
     .group = nat_group},
    {"prefix6", SETTING_TEXT, AT(prefix6), "P6", "the same for IPv6, as fd00:1::/64",
     "Addresses of IPv6, as in fd00:1::/64. Without it the network has none.",
     .group = nat_group},
    {"switch", SETTING_TEXT, AT(switch_name), "SW", "the switch; by default one of the network's name is created",
     "The switch that the network is connected to, of type nat. "
     "Without it one with the network's name is created.",
     .group = nat_group, .names = "switches"},
    {"backend", SETTING_CHOICE, AT(backend), "NAME", "what translates",
     "What translates addresses: *slirp* (a library in the switch's process; needs no rights), *kernel* (nftables and "
     "dnsmasq; needs root), or *auto*, which is the kernel for root where it can be had.",
     .group = nat_group, .def = "auto", .choices = backend_names},
    {"dhcp", SETTING_ON_OFF, AT(dhcp), "on|off", "VMs get their addresses by DHCP",
     .group = nat_group, .def = "on"},
    {"dns", SETTING_ON_OFF, AT(dns), "on|off", "the second address of the prefix resolves names as the host does",
     .group = nat_group, .def = "on"},
    {0},
};
#undef AT

#define AT(field) offsetof(struct card_settings, field)
static const char card_group[] = "Card", guard_group[] = "Rules", share_group[] = "Bandwidth", vlan_group[] = "VLAN";
const struct setting card_settings_table[] = {
    {"switch", SETTING_TEXT, AT(switch_name), "SW", "the switch that the card is connected to; '' is none",
     "The switch that the card is connected to. "
     "With an empty text it is connected to none, and the guest finds no link.",
     .group = card_group, .names = "switches"},
    {"mac", SETTING_TEXT, AT(mac), "MAC", "the card's address, as 02:00:00:00:00:01; random once without it",
     "The card's Ethernet address, as in 02:00:00:00:00:01. Without it a random one is chosen, which stays the same.",
     .group = card_group},

    {"spoofing", SETTING_ON_OFF, AT(spoofing), "on|off", "frames from other addresses than the card's may pass",
     "Whether frames from other addresses than the card's may pass. "
     "VMs inside the VM that are bridged to its card need it; otherwise their frames are dropped and counted.",
     .group = guard_group, .def = "off"},
    {"dhcp-guard", SETTING_ON_OFF, AT(dhcp_guard), "on|off", "drops what a DHCP server in the VM sends",
     .group = guard_group, .def = "off"},
    {"router-guard", SETTING_ON_OFF, AT(router_guard), "on|off", "drops router advertisements and redirects of the VM",
     .group = guard_group, .def = "off"},
    {"protect", SETTING_ON_OFF, AT(protect), "on|off", "protected cards of a switch do not reach each other",
     .group = guard_group, .def = "off"},
    {"mirror", SETTING_CHOICE, AT(mirror), "MODE", "copies of what sources send and get go to destinations",
     "Frames that a *source* sends and gets are copied to each *destination* on the switch.",
     .group = guard_group, .def = "none", .choices = mirror_names},

    {"bandwidth-minimum", SETTING_RATE, AT(bandwidth_minimum), "R", "the share of bits per second where others compete",
     "What the card gets, in bits per second with K, M or G, where others compete; with 0 an equal share.",
     .group = share_group, .def = "0", .max = RATE_MAX, .examples = "0 10M 100M 1G"},
    {"bandwidth-maximum", SETTING_RATE, AT(bandwidth_maximum), "R", "limit of what the VM sends; 0 is none",
     "What the VM may send, in bits per second with K, M or G; 0 is no limit.",
     .group = share_group, .def = "0", .max = RATE_MAX, .examples = "0 10M 100M 1G"},
    {"storm-limit", SETTING_NUMBER, AT(storm_limit), "N", "broadcasts and multicasts per second; 0 is no limit",
     .group = share_group, .def = "0", .max = 10000000},

    {"vlan", SETTING_NUMBER, AT(vlan), "N", "VLAN of the card; with --trunk that of frames without a tag; 0 is none",
     "The VLAN of the card, whose frames have no tag there. "
     "With *--trunk* it is the VLAN of frames without a tag. 0 is none.",
     .group = vlan_group, .def = "0", .max = VLAN_LAST},
    {"trunk", SETTING_TEXT, AT(trunk), "LIST", "VLANs whose frames pass with their tag, as 10,20-29",
     "VLANs whose frames pass with their tag, as in 10,20-29; an empty list ends that.",
     .group = vlan_group},
    {0},
};
#undef AT
/* clang-format on */

static bool given(const char *text)
{
    return text && *text;
}

int switch_settings_check(const struct switch_settings *settings, struct error *error)
{
    if (settings->type == SWITCH_EXTERNAL && !given(settings->interface)) {
        error_set(error, -EINVAL, "an external switch needs an interface of the host");
        return error_hint(error, "name it with " SETTING("interface"));
    }
    if (settings->type != SWITCH_EXTERNAL && given(settings->interface)) {
        error_set(error, -EINVAL, SETTING("interface") " is for external switches, and this one is %s",
                  type_names[settings->type]);
        return error_hint(error, "an empty " SETTING("interface") " takes it away");
    }
    if (settings->type != SWITCH_INTERNAL && given(settings->address)) {
        error_set(error, -EINVAL, SETTING("address") " is for internal switches, and this one is %s",
                  type_names[settings->type]);
        return error_hint(error, "an empty " SETTING("address") " takes it away");
    }
    return 0;
}

int nat_settings_check(const struct nat_settings *settings, struct error *error)
{
    if (!given(settings->prefix) && !given(settings->prefix6))
        return error_set(error, -EINVAL, "a NAT network without " SETTING("prefix"));
    return 0;
}

int card_settings_check(const struct card_settings *settings, struct error *error)
{
    const struct {
        const char *name;
        u64 rate;
    } rates[] = {{"bandwidth-minimum", settings->bandwidth_minimum},
                 {"bandwidth-maximum", settings->bandwidth_maximum}};
    u64 vlans[VLANS_WORDS];
    for (unsigned i = 0; i < ARRAY_LEN(rates); i++)
        if (rates[i].rate && rates[i].rate < RATE_MIN) {
            error_set(error, -EINVAL, SETTING("%s") ": %llu bits per second are less than the least, 64K",
                      rates[i].name, (unsigned long long)rates[i].rate);
            return error_hint(error, "0 is none; K, M and G stand for thousands, millions and billions");
        }
    if (settings->bandwidth_maximum && settings->bandwidth_minimum > settings->bandwidth_maximum)
        return error_set(error, -EINVAL, SETTING("bandwidth-minimum") " is more than " SETTING("bandwidth-maximum"));
    return given(settings->trunk) ? vlans_parse(settings->trunk, vlans, error) : 0;
}

/* Reads a VLAN's number; returns 0 if there is none. */
static u32 vlan_number(const char **text)
{
    u32 value = 0;
    for (; **text >= '0' && **text <= '9' && value <= VLAN_LAST; ++*text)
        value = value * 10 + (u32)(**text - '0');
    return value <= VLAN_LAST ? value : 0;
}

int vlans_parse(const char *text, u64 vlans[static VLANS_WORDS], struct error *error)
{
    const char *at = text;
    memset(vlans, 0, VLANS_WORDS * sizeof(vlans[0]));
    for (;;) {
        u32 first = vlan_number(&at), last = first;
        if (*at == '-') {
            at++;
            last = vlan_number(&at);
        }
        if (!first || last < first || (*at && *at != ','))
            break;
        for (u32 vlan = first; vlan <= last; vlan++)
            vlans[vlan / 64] |= BIT64(vlan % 64);
        if (!*at)
            return 0;
        at++;
    }
    error_set(error, -EINVAL, SETTING("trunk") ": '%.100s' is not a list of VLANs from 1 to %u", text, VLAN_LAST);
    return error_hint(error, "numbers and ranges with commas between them, as in 10,20-29");
}
