/*
 * Takes from the process of a switch what its kind does not need, before frames of guests reach it. Called once, when
 * the process has one thread: what is taken is taken from all threads that come.
 */
#ifndef VSWITCH_CONFINE_H
#define VSWITCH_CONFINE_H

#include "vswitch/definitions.h"

enum confine_kind {
    CONFINE_PRIVATE,  /* frames between cards and nothing else */
    CONFINE_SLIRP,    /* and sockets of the host */
    CONFINE_INTERNAL, /* and an interface of the host */
    CONFINE_PROGRAMS, /* interfaces and firewall of the host, by programs of the host, too */
};

/* What there is to take, in that order. */
enum confine_part {
    CONFINE_NETWORK, /* the host's network: in one of its own there is nothing */
    CONFINE_RIGHTS,  /* capabilities, and rights by starting programs */
    CONFINE_FILES,   /* files but those in the home and run folders */
    CONFINE_CALLS,   /* system calls that the kind does not make */
    CONFINE_PARTS
};
extern const char *const confine_names[CONFINE_PARTS];

struct confined {
    enum confine_kind kind;
    bool among_strangers; /* in a user namespace where all others, root among them, are nobody */
    bool taken[CONFINE_PARTS];
    char note[CONFINE_PARTS][120]; /* a phrase: why something that should be taken is not; may be empty */
};

/* What a switch needs that is defined so, if this process runs it. */
enum confine_kind confine_kind(const struct definitions *defined);
/* Never fails: what cannot be had is noted. */
void confine(enum confine_kind kind, const char *home, const char *run, struct confined *confined);

#endif
