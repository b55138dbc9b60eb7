/*
 * The serial ports of a VM: each has a console, and the first may have a log beside it.
 */
#ifndef VMPROC_PORTS_H
#define VMPROC_PORTS_H

#include "machine/pc.h"
#include "vmproc/console.h"

struct ports_events {
    void (*key)(void *opaque, enum escape_action action); /* [input thread] */
    void (*hangup)(void *opaque);                         /* [output thread] */
    void (*client)(void *opaque);                         /* [input thread] a first client is there */
    void *opaque;
};

struct port {
    struct ports *all;
    u32 index;
    struct console *console;
    bool wait; /* vCPUs start when its first client is there */
};

struct ports {
    const struct run_settings *settings;
    struct outputs outputs;
    struct pc *pc;
    struct ports_events events;
    struct port port[PC_SERIALS];
    u32 count;
    struct console *log; /* NULL: none */
    bool printed;        /* [a] the guest has written a byte to a port */
};

/* Returns 0 or -errno. ports_close is to be called in any case. */
int MUST_CHECK ports_open(struct ports *p, const struct run_settings *settings, const struct patience *patience,
                          struct error *error);
int MUST_CHECK ports_start(struct ports *p, struct pc *pc, const struct ports_events *events, struct error *error);
/* Returns the place of the first port whose client is waited for and not there yet, or NULL. */
const char *ports_waited_for(struct ports *p);
/* Returns true if the guest has written to a port since ports_open. */
bool ports_printed(const struct ports *p);
/* See console.h. */
bool ports_drained(struct ports *p, u32 ms);
void ports_continued(struct ports *p);
void ports_leave(struct ports *p);
/* Returns 0 or -errno, with an error, if output was lost that somebody might have read. */
int ports_close(struct ports *p, struct error *error);

/* [any thread] What the machine calls, with its lock held: a byte from the guest, and room for input. */
bool ports_put(struct ports *p, u32 index, u8 byte);
void ports_room(struct ports *p, u32 index);

#endif
