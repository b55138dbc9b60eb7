/*
 * A switch as a whole: its life, its rounds, and who listens.
 */
#include "vswitch/vswitch.h"

#include "vswitch/inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND_NS 1000000000ull
#define SWEEP_NS (30 * SECOND_NS)

static void sweep_ring(struct alarm *alarm)
{
    struct vswitch *sw = container_of(alarm, struct vswitch, sweep);
    table_sweep(&sw->table);
    vswitch_alarm(sw, alarm, sw->loop.now_ns + SWEEP_NS);
}

static void woke(struct loop *loop)
{
    struct vswitch *sw = container_of(loop, struct vswitch, loop);
    sw->pool.now_ns = loop->now_ns;
    sw->table.now_s = (u32)(loop->now_ns / SECOND_NS);
}

static bool busy(struct loop *loop)
{
    const struct vswitch *sw = container_of(loop, struct vswitch, loop);
    return !list_empty(&sw->turns) || !list_empty(&sw->dirty) || !list_empty(&sw->removed);
}

struct vswitch *vswitch_new(const char *name, struct error *error)
{
    struct vswitch *sw = calloc(1, sizeof(*sw));
    if (!sw) {
        error_set(error, -ENOMEM, "there is no memory for the switch %s", name);
        return NULL;
    }
    snprintf(sw->name, sizeof(sw->name), "%s", name);
    list_init(&sw->turns);
    list_init(&sw->dirty);
    list_init(&sw->removed);
    sw->loop.woke = woke;
    sw->loop.busy = busy;
    int r = loop_init(&sw->loop);
    if (!r)
        r = table_init(&sw->table);
    if (r) {
        error_set(error, r, "the switch %s cannot be made", name);
        vswitch_free(sw);
        return NULL;
    }
    batch_init(&sw->batch, &sw->loop);
    sw->sweep.ring = sweep_ring;
    vswitch_alarm(sw, &sw->sweep, sw->loop.now_ns + SWEEP_NS);
    return sw;
}

void vswitch_free(struct vswitch *sw)
{
    if (!sw)
        return;
    ports_free(sw);
    table_free(&sw->table);
    queue_pool_free(&sw->pool);
    loop_free(&sw->loop);
    free(sw);
}

const char *vswitch_name(const struct vswitch *sw)
{
    return sw->name;
}

struct loop *vswitch_loop(struct vswitch *sw)
{
    return &sw->loop;
}

int vswitch_watch(struct vswitch *sw, struct watch *watch, u32 events)
{
    return loop_watch(&sw->loop, watch, events);
}

void vswitch_unwatch(struct vswitch *sw, struct watch *watch)
{
    loop_unwatch(&sw->loop, watch);
}

void vswitch_alarm(struct vswitch *sw, struct alarm *alarm, u64 at_ns)
{
    loop_alarm(&sw->loop, alarm, at_ns);
}

u64 vswitch_now(const struct vswitch *sw)
{
    return sw->loop.now_ns;
}

void vswitch_stop(struct vswitch *sw)
{
    loop_stop(&sw->loop);
}

int vswitch_turn(struct vswitch *sw, bool wait)
{
    bool sleeps = wait && !busy(&sw->loop);
    int r = loop_turn(&sw->loop, wait);
    if (!r) {
        ports_round(sw);
        batch_turn(&sw->batch, sleeps);
    }
    return r;
}

int vswitch_run(struct vswitch *sw, struct error *error)
{
    while (!sw->loop.stopping) {
        int r = vswitch_turn(sw, true);
        if (r)
            return error_set(error, r, "the switch %s cannot wait for its ports", sw->name);
    }
    sw->loop.stopping = false;
    return 0;
}

void vswitch_hook(struct vswitch *sw, struct tap_hook *hook)
{
    hook->next = sw->hooks;
    sw->hooks = hook;
}

void vswitch_unhook(struct vswitch *sw, struct tap_hook *hook)
{
    struct tap_hook **at = &sw->hooks;
    while (*at && *at != hook)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = hook->next;
    if (sw->next_hook == hook)
        sw->next_hook = hook->next;
}

void vswitch_tell(struct vswitch *sw, struct vswitch_events *events)
{
    sw->events = events;
}

struct vswitch_events *vswitch_told(const struct vswitch *sw)
{
    return sw->events;
}
