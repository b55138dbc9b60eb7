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
    ESCAPE_POWER, /* the power button */
    ESCAPE_RESET,
    ESCAPE_BREAK, /* a BREAK on this serial line */
    ESCAPE_NMI,
    ESCAPE_STOP, /* what Ctrl-z does to other programs */
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
    switch (byte | 0x20) { /* capital letters do the same */
    case 'x': return ESCAPE_QUIT;
    case 'h': return ESCAPE_HELP;
    case 'p': return ESCAPE_POWER;
    case 'r': return ESCAPE_RESET;
    case 'b': return ESCAPE_BREAK;
    case 'n': return ESCAPE_NMI;
    case 'z': return ESCAPE_STOP;
    }
    return byte == ESCAPE_KEY ? ESCAPE_PASS : byte == '?' ? ESCAPE_HELP : ESCAPE_NONE;
}

#endif
