/*
 * /dev/kvm itself: see system.c.
 */
#ifndef KVMAPI_SYSTEM_H
#define KVMAPI_SYSTEM_H

#include <stdbool.h>

/* A new descriptor for /dev/kvm, with O_CLOEXEC or not; or -errno. */
int system_open(int flags);
/* Is /dev/kvm ours? */
bool system_serves(void);

#endif
