/*
 * A program of the host that works for an operation as long as that takes: qemu-img, the builder of images. What it
 * prints is its progress, and the last line its error. Ctrl-C and the like end it and the operation, which then cleans
 * up.
 */
#ifndef PROCESS_TASK_H
#define PROCESS_TASK_H

#include "base/error.h"

#include <signal.h>

struct task {
    const char *const *argv; /* ends with NULL; the program is looked for in PATH */
    const char *package;     /* Debian's that has it, for the error if it is missing */
    const char *name;        /* of what is done, for errors; NULL: the program's */
    /* Called for each line, which ends with a line feed or a carriage return. May be NULL. */
    void (*line)(const struct task *task, const char *line);
    void *opaque;
    char **output; /* NULL, or where all that it wrote to its standard output is put: free() releases it */
};

/* Between the two, signals that end a process (Ctrl-C and the like) wait: for task_run, which heeds them, or for the
 * release. Who has something to clean up after a task holds them from before that is made. */
void task_hold_signals(sigset_t *before);
void task_release_signals(const sigset_t *before);
/* The same after the operation: if it is done (`e` is 0), a signal that came too late to end it is dropped. */
void task_end_signals(const sigset_t *before, int e);

/* Between the two: returns 0, or -ECANCELED if such a signal has come. It is taken, so that it does not end the process
 * when it is no longer held. */
int MUST_CHECK task_cancelled(struct error *error);

/* Returns 0 or an error; -ECANCELED after a signal. */
int MUST_CHECK task_run(const struct task *task, struct error *error);

#endif
