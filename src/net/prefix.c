/*
 * IP addresses and prefixes, of both versions.
 */
#include "net/prefix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static u32 bits_of(const struct ip *ip)
{
    return ip->version == 4 ? 32 : 128;
}

/* Clears what lies behind the first `length` bits. */
static void mask(struct ip *ip, u32 length)
{
    for (u32 i = 0; i < 16; i++) {
        u32 kept = length > i * 8 ? length - i * 8 : 0;
        if (kept < 8)
            ip->byte[i] &= (u8)(0xff00u >> kept);
    }
}

bool ip_parse(const char *text, struct ip *ip)
{
    struct ip made = {.version = 4};
    if (inet_pton(AF_INET, text, made.byte) != 1) {
        made.version = 6;
        if (inet_pton(AF_INET6, text, made.byte) != 1)
            return false;
    }
    *ip = made;
    return true;
}

void ip_format(const struct ip *ip, char text[static IP_TEXT_MAX])
{
    if (!ip->version || !inet_ntop(ip->version == 4 ? AF_INET : AF_INET6, ip->byte, text, IP_TEXT_MAX))
        snprintf(text, IP_TEXT_MAX, "none");
}

void prefix_format(const struct prefix *prefix, char text[static PREFIX_TEXT_MAX])
{
    char address[IP_TEXT_MAX];
    ip_format(&prefix->address, address);
    snprintf(text, PREFIX_TEXT_MAX, "%s/%u", address, prefix->length);
}

/* Reads a number of at most three digits. */
static bool parse_length(const char *text, u32 *length)
{
    *length = 0;
    u32 digits = 0;
    for (; *text >= '0' && *text <= '9' && digits < 3; text++, digits++)
        *length = *length * 10 + (u32)(*text - '0');
    return digits && !*text;
}

int prefix_parse(const char *text, struct prefix *prefix, struct error *error)
{
    char address[IP_TEXT_MAX];
    const char *slash = strchr(text, '/');
    size_t before = slash ? (size_t)(slash - text) : strlen(text);
    struct prefix made;
    if (before >= sizeof(address))
        before = sizeof(address) - 1;
    memcpy(address, text, before);
    address[before] = 0;
    if (!ip_parse(address, &made.address)) {
        error_set(error, -EINVAL, "\"%.60s\" is not an IP address with the length of a prefix", text);
        error_hint(error, "write it as 192.168.100.0/24 or fd00:100::/64");
        return error->code;
    }
    u32 length;
    if (!slash || !parse_length(slash + 1, &length) || length > bits_of(&made.address)) {
        error_set(error, -EINVAL, "\"%.60s\" has no length of a prefix between 0 and %u behind a slash", text,
                  bits_of(&made.address));
        error_hint(error, made.address.version == 4 ? "write it as 192.168.100.0/24" : "write it as fd00:100::/64");
        return error->code;
    }
    made.length = (u8)length;
    struct ip whole = made.address;
    mask(&made.address, length);
    if (memcmp(&whole, &made.address, sizeof(whole))) {
        char meant[PREFIX_TEXT_MAX], hint[PREFIX_TEXT_MAX + 32];
        prefix_format(&made, meant);
        snprintf(hint, sizeof(hint), "the network that it lies in is %s", meant);
        error_set(error, -EINVAL, "\"%.60s\" is an address within a network and not a network", text);
        error_hint(error, hint);
        return error->code;
    }
    *prefix = made;
    return 0;
}

bool prefix_around(const char *text, struct ip *ip, struct prefix *network)
{
    char address[IP_TEXT_MAX];
    const char *slash = strchr(text, '/');
    u32 length;
    if (!slash || (size_t)(slash - text) >= sizeof(address) || !parse_length(slash + 1, &length) || !length)
        return false;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = 0;
    if (!ip_parse(address, ip) || length > bits_of(ip))
        return false;
    *network = (struct prefix){*ip, (u8)length};
    mask(&network->address, length);
    return true;
}

bool prefix_has(const struct prefix *prefix, const struct ip *ip)
{
    if (ip->version != prefix->address.version)
        return false;
    struct ip network = *ip;
    mask(&network, prefix->length);
    return !memcmp(network.byte, prefix->address.byte, bits_of(ip) / 8);
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
    return a->length <= b->length ? prefix_has(a, &b->address) : prefix_has(b, &a->address);
}

bool prefix_nth(const struct prefix *prefix, u64 n, struct ip *ip)
{
    struct ip made = prefix->address;
    for (u32 i = bits_of(&made) / 8; i-- && n; n >>= 8) {
        n += made.byte[i];
        made.byte[i] = (u8)n;
    }
    if (n || !prefix_has(prefix, &made))
        return false;
    *ip = made;
    return true;
}
