/*
 * Ethernet addresses as text, and new ones.
 */
#include "net/mac.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mac_parse(const char *text, struct mac *mac)
{
    char between = 0;
    struct mac m;
    for (unsigned i = 0; i < MAC_LEN; i++) {
        if (i == 1 && (*text == ':' || *text == '-'))
            between = *text;
        if (i && between && *text++ != between)
            return false;
        int high = digit(text[0]), low = high < 0 ? -1 : digit(text[1]);
        if (low < 0)
            return false;
        m.byte[i] = (u8)(high << 4 | low);
        text += 2;
    }
    if (*text)
        return false;
    *mac = m;
    return true;
}

void mac_format(const struct mac *mac, char text[static MAC_TEXT_MAX])
{
    const u8 *b = mac->byte;
    snprintf(text, MAC_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
}

int mac_random(struct mac *mac)
{
    ssize_t n = getrandom(mac->byte, MAC_LEN, 0);
    if (n != MAC_LEN)
        return n < 0 ? -errno : -EIO;
    mac->byte[0] = (u8)((mac->byte[0] & ~1u) | 2);
    return 0;
}
