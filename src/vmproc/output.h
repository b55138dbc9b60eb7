/*
 * Files that a VM writes. None is made empty that another setting names, and none that is not a plain file.
 */
#ifndef VMPROC_OUTPUT_H
#define VMPROC_OUTPUT_H

#include "base/patience.h"
#include "rules/run_settings.h"

#include <sys/types.h>

#define OUTPUTS_MAX 4

struct outputs {
    const struct run_settings *settings; /* name the files that are read */
    const struct patience *patience;     /* for a reader of a pipe; NULL: open waits */
    struct {
        dev_t dev;
        ino_t ino;
        const char *setting;
    } open[OUTPUTS_MAX];
    unsigned count;
};

/* Opens a file for output, which is made or made empty. A named pipe is waited for until somebody reads it. Returns the
 * descriptor or -errno; `setting` is the one that names the path. */
int MUST_CHECK output_open(struct outputs *o, const char *setting, const char *path, struct error *error);

#endif
