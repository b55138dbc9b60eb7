/*
 * The addresses that a NAT network has itself.
 */
#include "net/nat_own.h"

struct mac nat_own_mac(const struct ip *ip)
{
    const u8 *last = ip->version == 6 ? ip->byte + 12 : ip->byte;
    return (struct mac){{0x52, ip->version == 6 ? 0x56 : 0x55, last[0], last[1], last[2], last[3]}};
}

u32 nat_own(const struct prefix *prefix, const struct prefix *prefix6, struct own_mac own[static NAT_OWN_MAX])
{
    static const char *const roles[] = {"the gateway", "the server of names"};
    const struct prefix *both[] = {prefix, prefix6};
    u32 count = 0;
    for (u32 i = 0; i < 2; i++)
        for (u32 n = 0; n < ARRAY_LEN(roles); n++) {
            struct ip ip;
            if (both[i]->address.version && prefix_nth(both[i], n + 1, &ip))
                own[count++] = (struct own_mac){nat_own_mac(&ip), roles[n]};
        }
    return count;
}
