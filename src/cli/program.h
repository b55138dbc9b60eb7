/*
 * The program that `nestbox kvm` is to start: where it is, and whether a library can be preloaded into it.
 */
#ifndef CLI_PROGRAM_H
#define CLI_PROGRAM_H

#include "base/error.h"

#define PROGRAM_PATH_MAX 4096

/* Finds a program as a shell does. Returns 0, -ENOENT, or -errno of the last file of that name that cannot be executed.
 */
int MUST_CHECK program_find(const char *name, char path[PROGRAM_PATH_MAX], struct error *error);
/*
 * Returns 0 if ld.so will take LD_PRELOAD of a 64-bit glibc library there; for a script its interpreter counts.
 * -ENOEXEC: it will not, and the error says why. Another -errno: the file cannot be read. `note` gets a text if the
 * program will not call the library.
 */
int MUST_CHECK program_takes_preload(const char *path, struct error *error, struct error *note);

#endif
