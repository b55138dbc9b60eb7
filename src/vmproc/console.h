/*
 * Where the first serial port ends: the terminal (or standard input and output), a file, or a unix
 * socket.
 *
 * Output is queued by vCPU threads and written by a thread of its own; nobody waits for the terminal but that thread.
 * When the queue is full, bytes are refused, and an event says when there is room again. Input is read by another
 * thread.
 */
#ifndef VMPROC_CONSOLE_H
#define VMPROC_CONSOLE_H

#include "base/error.h"

struct console;

struct console_events {
    /* [input thread] Bytes for the guest; gives how many it took. The rest is offered again after
     * console_room(). */
    unsigned (*input)(void *opaque, const u8 *bytes, unsigned count);
    void (*quit)(void *opaque);   /* [input thread] Ctrl-a x */
    void (*room)(void *opaque);   /* [output thread] a byte was refused, and now there is room */
    void (*hangup)(void *opaque); /* [output thread] output cannot be written any more */
    void *opaque;
};

/* `where`: "stdio", "unix:PATH" or a file's path. 0 or -errno. Nothing is read before
 * console_start. Waits for a reader if the file is a named pipe. */
int MUST_CHECK console_open(struct console **console, const char *where, struct error *error);
int MUST_CHECK console_start(struct console *c, const struct console_events *events);
/* Waits until all output is written, for at most `ms`. False: it is not. */
bool console_drained(struct console *c, u32 ms);
/* Writes what is queued (for at most a second if nobody takes it), restores the terminal, removes
 * the socket. 0, or -errno if output was lost that somebody might have read. */
int console_close(struct console *c);
/* The same, but leaves threads and memory to the end of the process: a thread may be waiting for a vCPU. */
void console_leave(struct console *c);

/* [any thread] Queues one byte from the guest. False: there is no room now. Never waits for whoever reads the output.
 */
bool console_put(struct console *c, u8 byte);
/* [any thread] The guest can take input again. */
void console_room(struct console *c);

#endif
