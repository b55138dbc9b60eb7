/*
 * A shell on a terminal: lines are edited and kept (libedit), words completed, statements go over several lines.
 */
#ifndef SHELL_INTERACTIVE_H
#define SHELL_INTERACTIVE_H

#include "shell/shell.h"

/* Reads and runs until the end of the input or "exit". Returns the exit status. */
int interactive_run(struct shell *shell);
/* The words that may stand at the end of the line: cmdlets, parameters, variables, values of a parameter, names of what
 * is defined. `each` gets them whole. Returns where in the line the word begins. */
size_t completion_find(struct shell *shell, const char *line, void (*each)(const char *word, void *opaque),
                       void *opaque);

#endif
