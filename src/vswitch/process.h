/*
 * The process of a switch: reads what is defined, has the ports made, serves the control socket, and ends by itself
 * when nobody needs it. `nestbox switch run` calls process_run; the rest is for the files beside it.
 */
#ifndef VSWITCH_PROCESS_H
#define VSWITCH_PROCESS_H

#include "process/control.h"
#include "vswitch/capture.h"
#include "vswitch/card.h"
#include "vswitch/definitions.h"
#include "vswitch/uplink.h"

#include <limits.h>

struct process {
    struct store *store;
    struct vswitch *sw;
    struct dialer *dialer;
    struct control *control;
    struct captures captures;
    struct definitions defined; /* what is in force */
    struct uplink *host, *nat;  /* ports that are no cards; NULL: none */
    struct error problem;       /* of what is defined and could not be put in force; code 0: none */
    struct vswitch_events events;
    struct alarm idle;
    bool stays;   /* also without cards */
    bool deleted; /* from what is defined */
    char state[PATH_MAX], run[PATH_MAX];
};

/*
 * Runs the switch until it is stopped or, if it does not stay, nobody needs it. Through the descriptor `ready`, unless
 * that is -1, the starter gets one struct error, whose code is 0 when the switch passes frames. Returns 0 or an error:
 * -EALREADY if another process serves this switch.
 */
int MUST_CHECK process_run(const char *name, bool stays, int ready, struct error *error);

/* Puts in force what is defined now (reload.c), or notes that the switch is deleted. Of an error in one thing the
 * others do not suffer. `about`: what the caller changed, "host", "nat", "mapping PROTOCOL EXTERNAL" or "card ID": only
 * an error of that is returned, and others are added to `others`. NULL: the first error of all is returned. */
int MUST_CHECK process_reload(struct process *p, const char *about, json_t *others, struct error *error);
/* Adds to `reply` what the switch is and does (report.c). */
int MUST_CHECK process_report(struct process *p, json_t *reply, struct error *error);

#endif
