/*
 * /dev/kvm itself: see system.c.
 */
#ifndef KVMAPI_SYSTEM_H
#define KVMAPI_SYSTEM_H

#include <stdbool.h>

/* A new descriptor for /dev/kvm, with O_CLOEXEC or not; or -errno. */
int system_open(int flags);
/* A descriptor that we do not know gets an ioctl of KVM: if it is /dev/kvm, opened by us in another process (exec, or
 * passed by a socket), it is ours from now on. */
bool system_adopt(int fd);
/* Is /dev/kvm ours? */
bool system_serves(void);

#endif
