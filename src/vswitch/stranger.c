/*
 * Strangers behind a port: see stranger.h. There is a place for eight. A new one gets the place of one that has been
 * silent for a minute, or none, so a guest that makes up addresses causes eight reports per minute at most.
 */
#include "vswitch/stranger.h"

#include "vswitch/inside.h"

#include <string.h>

#define MINUTE_NS 60000000000ull

static struct stranger *place_of(struct port *port, const u8 *mac, u64 now_ns)
{
    struct stranger *place = NULL;
    for (u32 i = 0; i < STRANGERS; i++) {
        struct stranger *s = &port->stranger[i];
        if (s->frames && !memcmp(s->mac.byte, mac, MAC_LEN))
            return s;
        bool vacant = !s->frames || now_ns - s->last_ns >= MINUTE_NS;
        if (vacant && (!place || s->last_ns < place->last_ns))
            place = s;
    }
    port->strangers++;
    if (place) {
        *place = (struct stranger){0};
        memcpy(place->mac.byte, mac, MAC_LEN);
    }
    return place;
}

void stranger_seen(struct port *port, const u8 *mac, u64 now_ns)
{
    struct stranger *s = place_of(port, mac, now_ns);
    if (!s)
        return;
    bool tell = !s->frames++ || now_ns - port->reported_ns >= MINUTE_NS;
    s->last_ns = now_ns;
    if (!tell)
        return;
    port->reported_ns = now_ns;
    struct vswitch_events *events = port->sw->events;
    if (events && events->stranger)
        events->stranger(events, port, s);
}

bool stranger_is_former(const struct port *port, const struct mac *mac)
{
    return !mac_is_zero(mac) && memcmp(mac, &port->former, sizeof(*mac)) == 0;
}
