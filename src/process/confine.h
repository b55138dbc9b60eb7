/*
 * Taking rights from this process, and from the programs that it becomes, for good: capabilities, the host's network,
 * writing to files. Each part fails where the host cannot do it, and then nothing of that part has been taken. The
 * process has one thread.
 */
#ifndef PROCESS_CONFINE_H
#define PROCESS_CONFINE_H

#include "base/types.h"

/* Leaves these capabilities (bits of capabilities(7)) of those that there are, also to programs, and no way to more by
 * starting one. 0 or -errno. */
int MUST_CHECK confine_rights(u64 left);
/* A network and IPC of its own, in which there is nothing. Without root's rights it takes a user namespace in which the
 * user stays who they are and all others are nobody: then *among_strangers. 0 or -errno. */
int MUST_CHECK confine_network(bool *among_strangers);

/* Files, by Landlock: landlock(7). */
enum confine_access {
    CONFINE_READ,  /* a file, or all below a folder */
    CONFINE_WRITE, /* and write to what is there */
    CONFINE_OWN,   /* and make, rename and remove; not devices */
    CONFINE_MAKE,  /* only make folders and sockets there */
};
/* What is not allowed below cannot be done any more after confine_files_end. `reads` are taken, too. Returns a
 * descriptor or -errno. */
int MUST_CHECK confine_files_begin(bool reads);
/* A path that is not there needs no rule. 0 or -errno. */
int MUST_CHECK confine_files_allow(int rules, const char *path, enum confine_access access);
/* Puts it in force, unless `e`, which is returned then. Closes the descriptor. */
int MUST_CHECK confine_files_end(int rules, int e);

/* Is this program built with a sanitizer, which needs files and calls of its own? */
bool confine_has_sanitizer(void);

#endif
