/*
 * The system calls that are left to the process of a switch.
 */
#ifndef VSWITCH_CONFINE_CALLS_H
#define VSWITCH_CONFINE_CALLS_H

#include "base/error.h"

/* Limits the calling thread, and all that it starts, to them; others fail with EPERM. Needs no_new_privs. `domains`:
 * of sockets that may be made; ends with 0. 0 or -errno; -ENOTSUP in a build whose sanitizers make calls of their own.
 */
int MUST_CHECK confine_calls(const int *domains);

#endif
