/*
 * The system calls that are left to the process of a switch.
 */
#ifndef VSWITCH_CONFINE_CALLS_H
#define VSWITCH_CONFINE_CALLS_H

#include "base/error.h"

/* In builds with sanitizers or counters, which need files and calls of their own. */
bool confine_has_sanitizer(void);
/* Limits the calling thread, and all that it starts, to them; others fail with EPERM. Needs no_new_privs. `domains`:
 * of sockets that may be made; ends with 0. 0 or -errno; -ENOTSUP where confine_has_sanitizer().
 */
int MUST_CHECK confine_calls(const int *domains);

#endif
