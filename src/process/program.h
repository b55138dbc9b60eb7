/*
 * Programs of the host that the switch starts: found in the folders of system programs, too, without inherited
 * descriptors, with signals as programs expect them. All end with the thread that started them.
 */
#ifndef PROCESS_PROGRAM_H
#define PROCESS_PROGRAM_H

#include "base/error.h"

#include <sys/types.h>

/* Writes where the program is. Returns -ENOENT with an error that names the package. */
int MUST_CHECK program_locate(const char *name, const char *package, char *path, size_t size, struct error *error);

/*
 * Starts argv[0], a path; argv ends with NULL. `input`, `output` and `errors` become its standard descriptors; -1
 * stands for /dev/null. Returns the process or -errno.
 */
pid_t program_start(const char *const *argv, int input, int output, int errors);

/*
 * Runs a program to its end, at most ten seconds. `input` is what it reads (NULL: nothing); *output, if not NULL, is
 * what it wrote, which free() releases. An error has the first line that it complained with.
 */
int MUST_CHECK program_run(const char *const *argv, const char *input, char **output, struct error *error);

/* All that is in a file that a program wrote to, or nothing if it is more than `most` bytes; free() releases it. NULL:
 * no memory. */
char *program_text(int fd, size_t most);

#endif
