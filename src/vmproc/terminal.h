/*
 * The terminal on standard input, made raw while a guest's serial port is on it and this process is in its foreground.
 */
#ifndef VMPROC_TERMINAL_H
#define VMPROC_TERMINAL_H

#include "base/types.h"

/* Makes the terminal raw unless it is; with `again`, whatever it was thought to be: others may have changed it. Returns
 * true if standard input is a terminal and ours, and false, with nothing done, if it is not, or somebody else's now. */
bool terminal_take(bool again);
/* Back to what it was, if it is ours, until terminal_resume(): nothing takes it in between. */
void terminal_pause(void);
void terminal_resume(void);
/* The same for good. Harmless when nothing was changed. Async-signal-safe. */
void terminal_end(void);

#endif
