/*
 * A small file that a thread writes, so that a loop which must not wait for a disk does not. One owner.
 */
#ifndef STORE_WRITE_BEHIND_H
#define STORE_WRITE_BEHIND_H

#include "base/error.h"

struct write_behind;

/* NULL: no memory. */
struct write_behind *write_behind_new(const char *path);
/* Waits until what was put last is on the disk. */
void write_behind_free(struct write_behind *w);
/* Replaces the file by `text`, which is the writer's from now on, as soon as the disk has taken what was put before; a
 * text that waits is given up for a later one. */
void write_behind_put(struct write_behind *w, char *text);
/* How the last attempt ended; code 0: well. */
void write_behind_result(struct write_behind *w, struct error *error);

#endif
