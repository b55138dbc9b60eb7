/*
 * Names of interfaces: see ifname.h.
 */
#include "net/ifname.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The names of switches compare without case, those of interfaces with it. */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static const char *prefix_of(enum ifname_kind kind)
{
    static const char *const prefix[] = {"nbn", "nbi", "nbx", "nbb"};
    return prefix[kind];
}

/* FNV-1a with 64 bits. */
static u64 number_of(const char *name)
{
    u64 hash = 0xcbf29ce484222325;
    for (; *name; name++)
        hash = (hash ^ (u8)lower(*name)) * 0x100000001b3;
    return hash;
}

static bool is_plain(const char *name)
{
    for (; *name; name++) {
        char c = lower(*name);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
            return false;
    }
    return true;
}

/* With a dash stands a name, with an underscore a number, so none of them can be mistaken for the other. */
void ifname_make(enum ifname_kind kind, const char *name, char text[static IFNAME_MAX])
{
    if (is_plain(name) && strlen(name) <= 11) {
        snprintf(text, IFNAME_MAX, "%s-%.11s", prefix_of(kind), name);
        for (char *c = text; *c; c++)
            *c = lower(*c);
    } else
        snprintf(text, IFNAME_MAX, "%s_%011" PRIx64, prefix_of(kind), number_of(name) & 0xfffffffffff);
}

bool ifname_is(enum ifname_kind kind, const char *text)
{
    return strncmp(text, prefix_of(kind), 3) == 0 && (text[3] == '-' || text[3] == '_');
}
