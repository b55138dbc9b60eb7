/*
 * A program that runs as long as the switch wants it: started again when it ends, sooner at first and each minute at
 * last. What it last complained of is kept.
 */
#ifndef VSWITCH_CHILD_H
#define VSWITCH_CHILD_H

#include "vswitch/vswitch.h"

struct child;

/* `argv` is copied. The program may end at once and is then tried again, so this fails for want of memory only: NULL.
 */
struct child *child_start(struct vswitch *sw, const char *const *argv);
/* Ends the program and waits for it. */
void child_stop(struct child *child);
/* Code 0: it runs. Otherwise why not. */
void child_state(const struct child *child, struct error *error);

#endif
