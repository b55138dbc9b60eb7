/*
 * Networks that must not overlap: see overlap.h.
 */
#include "net/overlap.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static u8 bits_of(const u8 *mask, u32 bytes)
{
    u8 bits = 0;
    for (u32 i = 0; i < bytes; i++)
        bits += (u8)__builtin_popcount(mask[i]);
    return bits;
}

/* The network that an address of the host is in. Returns false for what is no network of its own. */
static bool network_of(const struct ifaddrs *a, struct network *network)
{
    if (!a->ifa_addr || !a->ifa_netmask || (a->ifa_flags & IFF_LOOPBACK) || ifname_is(IFNAME_NAT, a->ifa_name))
        return false;
    *network = (struct network){0};
    struct prefix *p = &network->prefix;
    const u8 *mask;
    u32 bytes;
    if (a->ifa_addr->sa_family == AF_INET) {
        p->address.version = 4;
        memcpy(p->address.byte, &((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr, bytes = 4);
        mask = (const u8 *)&((struct sockaddr_in *)(void *)a->ifa_netmask)->sin_addr;
    } else if (a->ifa_addr->sa_family == AF_INET6) {
        const struct in6_addr *address = &((struct sockaddr_in6 *)(void *)a->ifa_addr)->sin6_addr;
        if (IN6_IS_ADDR_LINKLOCAL(address))
            return false;
        p->address.version = 6;
        memcpy(p->address.byte, address, bytes = 16);
        mask = (const u8 *)&((struct sockaddr_in6 *)(void *)a->ifa_netmask)->sin6_addr;
    } else
        return false;
    for (u32 i = 0; i < bytes; i++)
        p->address.byte[i] &= mask[i];
    p->length = bits_of(mask, bytes);
    snprintf(network->interface, sizeof(network->interface), "%s", a->ifa_name);
    snprintf(network->owner, sizeof(network->owner), "the host's interface %s", a->ifa_name);
    return true;
}

int networks_of_host(struct network **list, u32 *count)
{
    struct ifaddrs *all;
    u32 n = 0;
    if (getifaddrs(&all) < 0)
        return -errno;
    for (struct ifaddrs *a = all; a; a = a->ifa_next)
        n++;
    *list = calloc(n + 1, sizeof(**list));
    *count = 0;
    for (struct ifaddrs *a = all; a && *list; a = a->ifa_next)
        *count += network_of(a, &(*list)[*count]);
    freeifaddrs(all);
    return *list ? 0 : -ENOMEM;
}

int network_refuse_overlap(const struct network *wanted, const struct network *taken, u32 count, struct error *error)
{
    char mine[PREFIX_TEXT_MAX], other[PREFIX_TEXT_MAX];
    for (u32 i = 0; i < count; i++) {
        if (!prefix_overlaps(&wanted->prefix, &taken[i].prefix))
            continue;
        prefix_format(&wanted->prefix, mine);
        prefix_format(&taken[i].prefix, other);
        error_set(error, -EEXIST, "%s of %s overlaps %s of %s", mine, wanted->owner, other, taken[i].owner);
        return error_hint(error, "choose another prefix");
    }
    return 0;
}

static bool is_free(const struct network *taken, u32 count, const struct prefix *prefix)
{
    for (u32 i = 0; i < count; i++)
        if (prefix_overlaps(prefix, &taken[i].prefix))
            return false;
    return true;
}

bool network_choose_prefix(const struct network *taken, u32 count, struct prefix *prefix)
{
    *prefix = (struct prefix){.address = {.version = 4, .byte = {192, 168}}, .length = 24};
    for (u32 i = 0; i < 256; i++) {
        prefix->address.byte[2] = (u8)(100 + i); /* home routers like the lowest numbers */
        if (is_free(taken, count, prefix))
            return true;
    }
    prefix->address.byte[0] = 10;
    for (u32 i = 0; i < 65536; i++) {
        prefix->address.byte[1] = (u8)(i >> 8);
        prefix->address.byte[2] = (u8)i;
        if (is_free(taken, count, prefix))
            return true;
    }
    return false;
}
