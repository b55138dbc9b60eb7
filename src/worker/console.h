/*
 * The serial port of a VM: what it printed last is kept, and any number of viewers see it and type.
 */
#ifndef WORKER_CONSOLE_H
#define WORKER_CONSOLE_H

#include "base/error.h"
#include "process/loop.h"

struct console;

/* `fd` is the connection to QEMU's end, which becomes the console's. NULL with an error. */
struct console *console_new(struct loop *loop, int fd, struct error *error);
void console_free(struct console *c);
/* A viewer gets what was printed last, then all that comes, and types into the port; closing it ends that. `fd` is the
 * console's from now on. `last`: how many bytes of the past it gets at most; `ends`: it gets no more than those. */
void console_view(struct console *c, int fd, size_t last, bool ends);
/* Writes the last line that is not empty, without control characters. What is no ASCII becomes '?', so that the line
 * can be put into JSON, whatever the guest prints. */
void console_last_line(const struct console *c, char *line, size_t size);

#endif
