/*
 * A switch as a whole: its life, its rounds, and who listens.
 */
#include "vswitch/vswitch.h"

#include "vswitch/inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SWEEP_NS 30000000000ull

static void sweep_ring(struct alarm *alarm)
{
    struct vswitch *sw = container_of(alarm, struct vswitch, sweep);
    table_sweep(&sw->table);
    vswitch_alarm(sw, alarm, sw->now_ns + SWEEP_NS);
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
    int r = loop_init(sw);
    if (!r)
        r = table_init(&sw->table);
    if (r) {
        error_set(error, r, "the switch %s cannot be made", name);
        vswitch_free(sw);
        return NULL;
    }
    sw->sweep.ring = sweep_ring;
    vswitch_alarm(sw, &sw->sweep, sw->now_ns + SWEEP_NS);
    return sw;
}

void vswitch_free(struct vswitch *sw)
{
    if (!sw)
        return;
    ports_free(sw);
    table_free(&sw->table);
    queue_pool_free(&sw->pool);
    loop_free(sw);
    free(sw);
}

const char *vswitch_name(const struct vswitch *sw)
{
    return sw->name;
}

int vswitch_turn(struct vswitch *sw, bool wait)
{
    int r = loop_wait(sw, wait);
    if (!r)
        ports_round(sw);
    return r;
}

int vswitch_run(struct vswitch *sw, struct error *error)
{
    while (!sw->stopping) {
        int r = vswitch_turn(sw, true);
        if (r)
            return error_set(error, r, "the switch %s cannot wait for its ports", sw->name);
    }
    sw->stopping = false;
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
