/*
 * The terminal on standard input, made raw while a guest's serial port is on it.
 */
#ifndef VMPROC_TERMINAL_H
#define VMPROC_TERMINAL_H

#include "base/types.h"

/* Makes the terminal raw if standard input is one and ours. False: it is not, nothing was done. */
bool terminal_raw(void);
/* Back to what it was. Harmless when nothing was changed. Async-signal-safe. */
void terminal_restore(void);

/* Unblocks that signal on the calling thread: it restores the terminal, then has its usual effect. */
void terminal_end_by(int signal_number);

#endif
