/*
 * What a switch's process does with the disk while frames flow, on a thread of its own, so that a slow disk stops no
 * frames: it reads what is defined, writes to the logs of VMs, and looks each second whether the process can still be
 * found (place.h). Called on the switch's thread, where the results arrive, too.
 */
#ifndef VSWITCH_CLERK_H
#define VSWITCH_CLERK_H

#include "vswitch/definitions.h"
#include "vswitch/place.h"
#include "vswitch/vswitch.h"

struct clerk;

/* What was read for whoever asked. */
struct clerk_reading {
    u64 asker;
    char *about;               /* NULL: none */
    struct definitions wanted; /* the taker's, if `error` has code 0 */
    struct error error;
};

struct clerk_events {
    void (*read)(struct clerk_events *events, struct clerk_reading *reading);
    /* The socket is gone, or, if `lost` is not NULL, all of the place: the process has to end. */
    void (*missed)(struct clerk_events *events, const struct error *lost);
};

/* `place` is the thread's from now on, but for place_socket. NULL with an error. */
struct clerk *clerk_new(struct vswitch *sw, struct place *place, struct clerk_events *events, struct error *error);
/* Waits for a moment until what was ordered is done. Returns false if the thread hangs in the disk: then the place is
 * still its own, and the process should end soon. */
bool MUST_CHECK clerk_free(struct clerk *clerk);
/* Has what is defined of the switch read, after all changes that were made before. */
int MUST_CHECK clerk_read(struct clerk *clerk, u64 asker, const char *about);
/* Appends a line to the log of a VM. */
void clerk_log(struct clerk *clerk, const char *vm, const char *line);

#endif
