/*
 * The process of a switch: reads what is defined, has the ports made, serves the control socket, and ends by itself
 * when nobody needs it. `nestbox switch run` calls process_run; the rest is for the files beside it.
 */
#ifndef VSWITCH_PROCESS_H
#define VSWITCH_PROCESS_H

#include "process/control.h"
#include "vswitch/capture.h"
#include "vswitch/card.h"
#include "vswitch/clerk.h"
#include "vswitch/confine.h"
#include "vswitch/definitions.h"
#include "vswitch/place.h"
#include "vswitch/uplink.h"

#include <limits.h>

struct process_start {
    const char *name;
    bool stays;   /* also without cards */
    int ready;    /* see process_run */
    int keeper;   /* the process that starts this one again (keeper.h); 0: none */
    u32 restarts; /* how often it did */
    int signal;   /* that ended the one before */
};

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
    struct process_start start;
    struct confined confined;
    struct place place; /* the clerk's, once there is one */
    struct clerk *clerk;
    struct clerk_events clerk_events;
    bool deleted; /* from what is defined */
    char state[PATH_MAX], run[PATH_MAX];
};

/*
 * Runs the switch until it is stopped or, if it does not stay, nobody needs it. Through the descriptor `ready`, unless
 * that is -1, the starter gets one struct error, whose code is 0 when the switch passes frames. Returns 0 or an error:
 * -EALREADY if another process serves this switch.
 */
int MUST_CHECK process_run(const struct process_start *start, struct error *error);

/* Puts in force what is defined now (reload.c), which is the process's from then on. Of an error in one thing the
 * others do not suffer. `about`: what the caller changed, "host", "nat", "mapping PROTOCOL EXTERNAL" or "card ID": only
 * an error of that is returned, and others are added to `others`. NULL: the first error of all is returned. */
int MUST_CHECK process_take(struct process *p, struct definitions *wanted, const char *about, json_t *others,
                            struct error *error);
/* Adds to `reply` what the switch is and does (report.c). */
int MUST_CHECK process_report(struct process *p, json_t *reply, struct error *error);

#endif
