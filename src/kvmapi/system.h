/*
 * /dev/kvm itself: see system.c.
 */
#ifndef KVMAPI_SYSTEM_H
#define KVMAPI_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>

/* Returns a new descriptor for /dev/kvm, with O_CLOEXEC or not; or -errno. */
int system_open(int flags);
/*
 * A descriptor that we do not know gets an ioctl of KVM. 0: it has become one of ours, as /dev/kvm that came by exec or
 * a socket, or another copy of a descriptor that we know. -EIO: a VM or vCPU of another process. -ENOTTY: neither.
 */
int system_adopt(int fd);
/* A file that stands for one of our objects, with `size` bytes, which the program cannot change; or -errno. */
int system_file(const char *name, size_t size, bool close_on_exec);
#define SYSTEM_NAME "kvm"
#define SYSTEM_NAME_VM "kvm-vm"
#define SYSTEM_NAME_VCPU "kvm-vcpu"

/* Is /dev/kvm ours? */
bool system_serves(void);

#endif
