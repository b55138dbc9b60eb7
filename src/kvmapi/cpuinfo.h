/*
 * /proc/cpuinfo as programs look at it to find out whether there can be a /dev/kvm: virt-host-validate and kvm-ok want
 * vmx or svm among the flags.
 */
#ifndef KVMAPI_CPUINFO_H
#define KVMAPI_CPUINFO_H

#include "base/types.h"

/* Is it that file, opened to be read, by a program that is served? */
bool cpuinfo_is_asked(const char *path, int flags);
/* Returns a descriptor with the text as it is now, or -errno. */
int cpuinfo_open(int flags);
/* Writes `size` bytes of text to `fd`, with the word added to each line of flags that does not have it. Returns 0 or
 * -errno. */
int cpuinfo_write(int fd, const char *text, size_t size, const char *flag);

#endif
