/*
 * Copies of files that may be large: with their holes, with progress, and ended by Ctrl-C.
 */
#ifndef MANAGER_BULK_H
#define MANAGER_BULK_H

#include "base/error.h"
#include "manager/progress.h"

#include <signal.h>

struct bulk {
    const struct progress *progress; /* may be NULL */
    const char *what;                /* "exporting" */
    u64 done, total;                 /* bytes */
    sigset_t before;
};

/* Between the two, signals that end a process are held, and make bulk_copy and task_cancelled return -ECANCELED. One
 * that comes too late for that does not end what is done (`e` is 0). */
void bulk_begin(struct bulk *bulk, const struct progress *progress, const char *what);
void bulk_end(const struct bulk *bulk, int e);
/* Copies a file, which must be a regular one, to a path where nothing is; flushes it. Paths are absolute. */
int MUST_CHECK bulk_copy(struct bulk *bulk, const char *from, const char *to, struct error *error);
/* Refuses what has no room in the file system of a folder. */
int MUST_CHECK bulk_room(const char *folder, u64 bytes, struct error *error);
/* Makes a folder's entries last, also after a crash of the host. */
int MUST_CHECK bulk_flush(const char *folder, struct error *error);

#endif
