/*
 * Moves the addresses and routes of one interface of the host to another one. What moves is written to a file first, so
 * that a host whose switch was killed in the middle gets them back.
 */
#ifndef VSWITCH_MOVE_H
#define VSWITCH_MOVE_H

#include "base/error.h"

/* `journal` is the file's path. */
int MUST_CHECK move_config(const char *journal, const char *from, const char *to, struct error *error);
/* Finishes a move that was begun in this boot of the host, where to if it can, otherwise back. 0 also if there is none.
 */
int MUST_CHECK move_finish(const char *journal, struct error *error);

#endif
