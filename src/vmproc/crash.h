/*
 * What must not be left behind by a process that a signal ends: a raw terminal, and sockets.
 */
#ifndef VMPROC_CRASH_H
#define VMPROC_CRASH_H

#include "base/types.h"

/* From now on signals that mean a crash, or are sent as if, first undo what is to be undone, and then have their usual
 * effect. SIGBUS is in buserror.c. Called before the accelerator installs handlers, which pass on what they cannot
 * explain. */
void crash_watch(void);
/* Makes that signal do the same, and unblocks it on the calling thread. */
void crash_end_by(int signal_number);

/* The file is removed if the process ends so; the caller keeps `path` until crash_forget. */
void crash_remove(const char *path);
/* Removes the file now, if it was given to crash_remove. */
void crash_forget(const char *path);
/* Restores the terminal and removes the files. Async-signal-safe. */
void crash_undo(void);

#endif
