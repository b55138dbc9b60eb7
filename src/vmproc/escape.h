/*
 * The keys that are for us and not for the guest: Ctrl-a, then a letter.
 */
#ifndef VMPROC_ESCAPE_H
#define VMPROC_ESCAPE_H

#include "base/types.h"

#define ESCAPE_KEY 0x01 /* Ctrl-a */

enum escape_action {
    ESCAPE_PASS, /* the byte is the guest's */
    ESCAPE_NONE, /* swallowed */
    ESCAPE_QUIT,
    ESCAPE_HELP,
};

struct escape {
    bool armed; /* Ctrl-a was the last byte */
};

static inline enum escape_action escape_feed(struct escape *e, u8 byte)
{
    if (!e->armed) {
        e->armed = byte == ESCAPE_KEY;
        return e->armed ? ESCAPE_NONE : ESCAPE_PASS;
    }
    e->armed = false;
    switch (byte) {
    case ESCAPE_KEY: return ESCAPE_PASS;
    case 'x':
    case 'X': return ESCAPE_QUIT;
    case 'h':
    case 'H':
    case '?': return ESCAPE_HELP;
    default: return ESCAPE_NONE;
    }
}

#endif
