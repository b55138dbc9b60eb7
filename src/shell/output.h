/*
 * What a statement puts out and nobody takes is printed: texts as they are, objects as tables or lists.
 */
#ifndef SHELL_OUTPUT_H
#define SHELL_OUTPUT_H

#include "shell/shell.h"

/* The sink at the end of everything. Objects wait until one of another type comes, or for output_flush(). */
struct sink *output_sink(struct shell *shell);
void output_flush(struct shell *shell);
/* Objects as text: as they are printed. */
void output_format(struct shell *shell, const struct value *objects, struct text *to);

#endif
