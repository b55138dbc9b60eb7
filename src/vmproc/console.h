/*
 * The console of a serial port: carries bytes between the guest and whatever is behind the port (endpoint.h).
 *
 * Output is queued by vCPU threads and written by a thread of its own; nobody waits for the terminal but that thread.
 * When the queue is full, bytes are refused, and an event says when there is room again. Input is read by another
 * thread.
 */
#ifndef VMPROC_CONSOLE_H
#define VMPROC_CONSOLE_H

#include "rules/serial.h"
#include "vmproc/escape.h"
#include "vmproc/output.h"

struct console;

struct console_events {
    /* [input thread] Bytes for the guest; returns how many it took. The rest is offered again after console_room. */
    unsigned (*input)(void *opaque, const u8 *bytes, unsigned count);
    void (*key)(void *opaque, enum escape_action action); /* [input thread] a key of ours that is not the console's */
    void (*room)(void *opaque);   /* [output thread] a byte was refused, and now there is room */
    void (*hangup)(void *opaque); /* [output thread] output cannot be written any more */
    void (*client)(void *opaque); /* [input thread] the first client is there; may be NULL */
    void *opaque;
};

/* Returns 0 or -errno. `setting` is the one that asks for it. Nothing is read before console_start. */
int MUST_CHECK console_open(struct console **console, const char *setting, const struct serial *where,
                            struct outputs *outputs, struct error *error);
int MUST_CHECK console_start(struct console *c, const struct console_events *events);
/* The path of the pseudo-terminal, or NULL. */
const char *console_pty(const struct console *c);
/* Returns true if the port is on a terminal, which has our keys. */
bool console_has_keys(const struct console *c);
/* Returns true if a client has been there, or none is needed. */
bool console_served(struct console *c);
/* Waits until all output is written, for at most `ms`. Returns false if it is not. */
bool console_drained(struct console *c, u32 ms);
/* Writes what is queued (for at most a second if nobody takes it), restores the terminal, removes the socket. Returns
 * 0, or -errno if output was lost that somebody might have read. */
int console_close(struct console *c);
/* Does the same, but leaves threads and memory to the end of the process: a thread may be waiting for a vCPU. */
void console_leave(struct console *c);

/* [any thread] Returns true if there is room for a byte. False: an event follows when there is. */
bool console_ready(struct console *c);
/* [any thread] Queues one byte from the guest; returns false if there is no room now. Never waits for whoever reads the
 * output. */
bool console_put(struct console *c, u8 byte);
/* [any thread] The guest can take input again. */
void console_room(struct console *c);
/* [any thread] The process was stopped, and goes on: the terminal may be what others made of it. */
void console_continued(struct console *c);

#endif
