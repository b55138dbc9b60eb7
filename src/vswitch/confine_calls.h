/*
 * The system calls that are left to the process of a switch.
 */
#ifndef VSWITCH_CONFINE_CALLS_H
#define VSWITCH_CONFINE_CALLS_H

#include "base/error.h"

/* Limits the calling thread, and all that it starts, to them; others fail with EPERM. Needs no_new_privs. `domains`:
 */
int MUST_CHECK confine_calls(const int *domains);

#endif
