/*
 * The terminal on standard input, made raw while a guest's serial port is on it and this process is in its foreground.
 */
#ifndef VMPROC_TERMINAL_H
#define VMPROC_TERMINAL_H

#include "base/types.h"

/* Makes the terminal raw if it is not; with `again` in any case, because others may have changed it. Returns true if
 * standard input is a terminal and ours. Returns false, with nothing done, if it is none, or another job's now. */
bool terminal_take(bool again);
/* Restores the terminal, if it is ours. Nothing takes it until terminal_resume. */
void terminal_pause(void);
void terminal_resume(void);
/* Restores the terminal for good. Harmless if nothing was changed. Async-signal-safe. */
void terminal_end(void);

#endif
