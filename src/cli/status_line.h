/*
 * One line on the terminal that shows what lasts, written again and again: it fits the terminal, and goes before
 * anything else is printed. Where standard error is no terminal nothing is shown.
 */
#ifndef CLI_STATUS_LINE_H
#define CLI_STATUS_LINE_H

#include "base/types.h"

bool status_line_there(void);
void status_line_show(const char *format, ...) __attribute__((format(printf, 1, 2)));
void status_line_clear(void);
/* Returns the width of the terminal that the descriptor is, or `otherwise`. */
unsigned terminal_width(int fd, unsigned otherwise);

#endif
