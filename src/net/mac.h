/*
 * Ethernet addresses.
 */
#ifndef NET_MAC_H
#define NET_MAC_H

#include "base/types.h"

#define MAC_LEN 6
#define MAC_TEXT_MAX 18 /* "02:00:00:00:00:01" and the end */

struct mac {
    u8 byte[MAC_LEN];
};

/* An address that a switch itself has on it, and no card may have. */
struct own_mac {
    struct mac mac;
    const char *owner; /* a phrase: "the gateway" */
};

/* Reads "02:00:5e:00:00:01", with colons or dashes or without either, in any case. Returns false for anything else. */
bool mac_parse(const char *text, struct mac *mac);
/* Writes it in lower case with colons. */
void mac_format(const struct mac *mac, char text[static MAC_TEXT_MAX]);
/* A random unicast address, locally administered (IEEE 802, "Universal and local addresses"). 0 or -errno. */
int MUST_CHECK mac_random(struct mac *mac);

static inline bool mac_is_group(const struct mac *mac)
{
    return mac->byte[0] & 1;
}

static inline bool mac_is_zero(const struct mac *mac)
{
    return !(mac->byte[0] | mac->byte[1] | mac->byte[2] | mac->byte[3] | mac->byte[4] | mac->byte[5]);
}

/* As a number below 2^48, for comparing and hashing. */
static inline u64 mac_number(const u8 *byte)
{
    return (u64)byte[0] << 40 | (u64)byte[1] << 32 | (u64)byte[2] << 24 | (u64)byte[3] << 16 | (u64)byte[4] << 8 |
           byte[5];
}

#endif
