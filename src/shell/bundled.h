/*
 * Scripts that are part of the program, for the addresses where Hyper-V's documents have theirs.
 */
#ifndef SHELL_BUNDLED_H
#define SHELL_BUNDLED_H

#include <stdbool.h>
#include <stddef.h>

/* The script of an address; NULL if there is none. */
const char *bundled_script(const char *address, size_t *length);
/* Is that the name of one? Its address, without the name: */
bool bundled_is(const char *name);
#define BUNDLED_ADDRESS                                                                                                \
    "https://raw.githubusercontent.com/Microsoft/Virtualization-Documentation/master/hyperv-tools/Nested/"
/* Functions of bash for Linux guests: cmdlets of Windows that scripts call there. Ends with a zero. */
extern const char bundled_guest[];

#endif
