/*
 * When a switch is a batch job: see batch.h. Measured with two guests on two cores (docs/network.md, "Who runs when").
 */
#include "vswitch/batch.h"

#include <sched.h>

static void set(struct batch *b, bool on)
{
    const struct sched_param none = {0};
    if (b->never || on == b->on)
        return;
    if (sched_setscheduler(0, on ? SCHED_BATCH : SCHED_OTHER, &none))
        b->never = true;
    else
        b->on = on;
}

/* While it is on there are many frames per sleep, so it goes off at times to see whether it is still needed. */
static bool is_wanted(struct batch *b)
{
    bool much = b->frames >= BATCH_FRAMES && b->frames >= (u64)b->sleeps * BATCH_TOGETHER;
    if (b->on)
        return much && --b->left;
    b->left = BATCH_WINDOWS;
    return much && b->frames < (u64)b->sleeps * BATCH_ENOUGH;
}

static void look(struct batch *b)
{
    u64 now = b->loop->now_ns;
    if (now < b->end_ns)
        return;
    set(b, is_wanted(b));
    b->frames = b->sleeps = 0;
    b->end_ns = now + BATCH_WINDOW_NS;
    loop_alarm(b->loop, &b->calm, b->on ? b->end_ns : 0);
}

static void calm_ring(struct alarm *alarm)
{
    look(container_of(alarm, struct batch, calm));
}

void batch_init(struct batch *b, struct loop *loop)
{
    *b = (struct batch){.loop = loop, .calm.ring = calm_ring};
    b->never = sched_getscheduler(0) != SCHED_OTHER;
}

void batch_turn(struct batch *b, bool slept)
{
    b->sleeps += slept;
    look(b);
}
