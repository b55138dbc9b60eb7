/*
 * Definitions of networks that cannot be in force together. Commands refuse to make such; whoever writes the files by
 * hand can. All of them are read, and nothing is lost.
 */
#ifndef MANAGER_CONFLICT_H
#define MANAGER_CONFLICT_H

#include "store/networks.h"

struct conflict {
    const char *at, *vm, *card; /* what it is about; each may be NULL */
    struct error what;
};

void conflicts_find(const struct networks *all, void (*found)(void *opaque, const struct conflict *conflict),
                    void *opaque);

#endif
