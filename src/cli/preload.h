/*
 * The library that serves /dev/kvm in other programs, and the environment that brings it into them.
 */
#ifndef CLI_PRELOAD_H
#define CLI_PRELOAD_H

#include "rules/run_settings.h"

#define PRELOAD_PATH_MAX 4096

/* Finds the library beside this program, or in ../lib/nestbox from there. Returns 0 or -errno. */
int MUST_CHECK preload_find(char path[PRELOAD_PATH_MAX], struct error *error);
/* Is this process itself a program with the library? */
bool preload_is_here(void);
/* Takes the settings that the environment has already, for a program within a program. Returns 0 or -EINVAL. */
int MUST_CHECK preload_settings(struct run_settings *settings, struct error *error);
/* Makes this process's environment that of a program with the library at `path`. Returns 0 or -errno. */
int MUST_CHECK preload_environment(const struct run_settings *settings, const char *path, struct error *error);
/* Can a program be served here? A child of this process tries it, for at most a few seconds. */
bool preload_works(struct error *why);

#endif
