/*
 * IP addresses and prefixes, of both versions.
 */
#ifndef NET_PREFIX_H
#define NET_PREFIX_H

#include "base/error.h"

#define IP_TEXT_MAX 48
#define PREFIX_TEXT_MAX 52

struct ip {
    u8 version;  /* 4, 6; 0: none */
    u8 byte[16]; /* in network order; version 4 uses the first four */
};

struct prefix {
    struct ip address; /* host bits are zero */
    u8 length;
};

/* Each reads all of `text` and returns false if it is anything else. */
bool ip_parse(const char *text, struct ip *ip);
/* "192.168.100.0/24". Bits behind the prefix must be zero. Returns 0 or -EINVAL with an error that names the prefix
 * that may have been meant. */
int MUST_CHECK prefix_parse(const char *text, struct prefix *prefix, struct error *error);
/* "10.0.0.1/24": an address, and the network that it lies in. Returns false for anything else, and for a length of 0.
 */
bool prefix_around(const char *text, struct ip *ip, struct prefix *network);
/* Addresses of one link, which each interface has. */
static inline bool ip_is_link_local6(const struct ip *ip)
{
    return ip->version == 6 && ip->byte[0] == 0xfe && (ip->byte[1] & 0xc0) == 0x80;
}
void ip_format(const struct ip *ip, char text[static IP_TEXT_MAX]);
void prefix_format(const struct prefix *prefix, char text[static PREFIX_TEXT_MAX]);
/* Returns true if some address is in both. */
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);
bool prefix_has(const struct prefix *prefix, const struct ip *ip);
/* The address that is `n` behind the first one. Returns false if it lies outside of the prefix. */
bool prefix_nth(const struct prefix *prefix, u64 n, struct ip *ip);

#endif
