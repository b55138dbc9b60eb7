/*
 * A switch that carries much in handfuls is a batch job to the kernel (SCHED_BATCH, sched(7)). Where all cores are busy
 * it then runs when what runs there has had its turn, instead of interrupting a guest for each handful of frames, and
 * finds more frames at once. On an idle core it runs at once all the same. A switch that carries little, or one frame
 * at a time, as requests and their answers are, is an ordinary process; so is one that finds many frames at once
 * anyway, because others keep it waiting.
 *
 * All of it is called on the switch's thread, whose policy it is.
 */
#ifndef VSWITCH_BATCH_H
#define VSWITCH_BATCH_H

#include "process/loop.h"

#define BATCH_WINDOW_NS 10000000ull
#define BATCH_FRAMES 100u /* much: that many in a window, ... */
#define BATCH_TOGETHER 2u /* ... that many per sleep, and ... */
#define BATCH_ENOUGH 16u  /* ... fewer than that */
#define BATCH_WINDOWS 10u /* that it is on for, before the next look */

struct batch {
    struct loop *loop;
    bool never; /* the process has a policy of the user's choice, or may not change it */
    bool on;
    u32 frames, sleeps; /* in this window */
    u32 left;           /* windows that it is on for */
    u64 end_ns;         /* of this window */
    struct alarm calm;  /* while it is on: at the end of the window, as there may be no frame then */
};

void batch_init(struct batch *b, struct loop *loop);
/* A turn of the switch is over, at whose beginning it slept or not. */
void batch_turn(struct batch *b, bool slept);

#endif
