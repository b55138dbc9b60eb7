/*
 * Addresses of networks of VMs: see usable.h.
 */
#include "net/usable.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define IPV4_MIN 8u
#define IPV4_MAX 29u /* the gateway, DNS and a few VMs have room */
#define IPV6_LENGTH 64u

/* What means something else everywhere. */
static const struct {
    struct prefix prefix;
    const char *what;
    bool host; /* the host can have an address of it on an interface */
} special[] = {
    {{{4, {0}}, 8}, "\"this network\"", false},
    {{{4, {127}}, 8}, "the loopback of each host", false},
    {{{4, {224}}, 3}, "multicast, broadcast, or reserved", false},
    {{{4, {169, 254}}, 16}, "link-local, which nobody forwards (RFC 3927)", true},
    {{{6, {0}}, 64}, "unspecified, loopback, or IPv4", false},
    {{{6, {0xfe, 0x80}}, 10}, "link-local", true},
    {{{6, {0xff}}, 8}, "multicast", false},
};

static int refuse_special(const char *setting, const char *text, const struct prefix *prefix, bool host,
                          struct error *error)
{
    char other[PREFIX_TEXT_MAX];
    for (u32 i = 0; i < ARRAY_LEN(special); i++) {
        if (!prefix_overlaps(&special[i].prefix, prefix) || (host && special[i].host))
            continue;
        prefix_format(&special[i].prefix, other);
        return error_set(error, -EINVAL, SETTING("%s") ": %s lies in %s, which is %s", setting, text, other,
                         special[i].what);
    }
    return 0;
}

int usable_prefix(const char *setting, const char *text, u8 version, struct prefix *prefix, struct error *error)
{
    int e = prefix_parse(text, prefix, error);
    if (e)
        return e;
    if (prefix->address.version != version)
        return error_set(error, -EINVAL, SETTING("%s") ": %s is not of IPv%u", setting, text, version);
    if (version == 6 && prefix->length != IPV6_LENGTH)
        return error_set(error, -EINVAL, SETTING("%s") ": %s has another length than /%u", setting, text, IPV6_LENGTH);
    if (version == 4 && prefix->length < IPV4_MIN)
        return error_set(error, -EINVAL, SETTING("%s") ": %s is too large: /%u is the shortest", setting, text,
                         IPV4_MIN);
    if (version == 4 && prefix->length > IPV4_MAX)
        return error_set(error, -EINVAL, SETTING("%s") ": %s has no room for VMs: /%u is the longest", setting, text,
                         IPV4_MAX);
    return refuse_special(setting, text, prefix, false, error);
}

const char *usable_not(const struct prefix *network, const struct ip *ip)
{
    u32 bits = ip->version == 4 ? 32 : 128, host = bits - network->length;
    struct ip last;
    if (host < 2) /* both ends of a link have addresses then */
        return NULL;
    if (memcmp(ip->byte, network->address.byte, bits / 8) == 0)
        return "the address of the network itself";
    if (ip->version == 6)
        return NULL; /* IPv6 has no broadcast */
    prefix_nth(network, BIT64(host) - 1, &last);
    return memcmp(ip->byte, last.byte, 4) == 0 ? "the broadcast address" : NULL;
}

int usable_address(const char *setting, const char *text, struct ip *ip, struct prefix *network, struct error *error)
{
    if (!prefix_around(text, ip, network)) {
        error_set(error, -EINVAL, SETTING("%s") ": '%.60s' is not an address with the length of a prefix", setting,
                  text);
        return error_hint(error, "as in 10.0.0.1/24");
    }
    struct prefix alone = {*ip, ip->version == 4 ? 32 : 128};
    const char *what = usable_not(network, ip);
    int e = refuse_special(setting, text, &alone, true, error);
    return e || !what ? e : error_set(error, -EINVAL, SETTING("%s") ": %s is %s", setting, text, what);
}
