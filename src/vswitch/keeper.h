/*
 * Who starts the process of a switch again when something kills it: its parent, which does nothing else. There is one
 * where a command started the switch; a service manager is its own.
 */
#ifndef VSWITCH_KEEPER_H
#define VSWITCH_KEEPER_H

#include "base/error.h"

/* As process_run, in a child, for which this process waits; both return. `ready` is the child's. */
int MUST_CHECK keeper_run(const char *name, int ready, struct error *error);

#endif
