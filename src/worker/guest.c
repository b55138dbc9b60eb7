/*
 * See guest.h. The report is asked for when the agent begins to answer, soon again (addresses come a little later) and
 * then every half minute, so that whoever asks the worker need not wait for the guest.
 */
#include "worker/guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND_NS 1000000000ull
#define REPORT_SECONDS_MAX 30u

enum freezing { THAWED, FREEZING, FROZEN, THAWING, LOST };

struct guest {
    struct loop *loop;
    struct agent_port *port;
    struct guest_events events;
    json_t *report; /* NULL: none yet */
    struct alarm ask;
    u32 interval;
    bool clock_waits; /* to be set when there is an agent */
    struct agent_call info, clock, end, freeze;
    enum freezing freezing;
    guest_frozen *done;
    void *opaque;
};

struct agent_port *guest_port(struct guest *guest)
{
    return guest->port;
}

bool guest_ready(const struct guest *guest)
{
    return guest && agent_port_ready(guest->port);
}

/* -- the report -- */

static void reported(struct agent_call *call, int status)
{
    struct guest *g = container_of(call, struct guest, info);
    json_t *report = status ? NULL : json_loadb(call->output, call->length, 0, NULL);
    if (report) {
        json_decref(g->report);
        g->report = report;
    }
}

static void ask_report(struct alarm *alarm)
{
    static const char *const info[] = {"info", NULL};
    struct guest *g = container_of(alarm, struct guest, ask);
    if (!guest_ready(g))
        return;
    loop_alarm(g->loop, &g->ask, g->loop->now_ns + g->interval * SECOND_NS);
    g->interval = g->interval < REPORT_SECONDS_MAX / 2 ? 2 * g->interval : REPORT_SECONDS_MAX;
    if (!g->info.session)
        agent_call(g->port, &g->info, info);
}

/* The guest may say anything: what is no address of a neighbour is left out. */
static json_t *addresses_in(const json_t *report)
{
    json_t *list = json_array();
    const json_t *interface, *address;
    size_t i, j;
    json_array_foreach (json_object_get(report, "interfaces"), i, interface)
        json_array_foreach (json_object_get(interface, "addresses"), j, address) {
            char text[INET6_ADDRSTRLEN];
            u8 bytes[16];
            const char *from = json_string_value(address);
            snprintf(text, sizeof(text), "%.*s", from ? (int)strcspn(from, "/") : 0, from ? from : "");
            bool six = inet_pton(AF_INET6, text, bytes) == 1,
                 local = six && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
            if ((six && !local) || inet_pton(AF_INET, text, bytes) == 1)
                (void)!json_array_append_new(list, json_string(text));
        }
    return list;
}

void guest_report(const struct guest *guest, json_t *reply)
{
    if (!guest)
        return;
    const char *program = agent_port_program(guest->port);
    json_t *agent = json_pack("{s:b, s:s*}", "ready", guest_ready(guest), "program", *program ? program : NULL);
    (void)!json_object_set_new(reply, "agent", agent);
    if (!guest->report)
        return;
    (void)!json_object_set(reply, "guest", guest->report);
    (void)!json_object_set_new(reply, "addresses", addresses_in(guest->report));
}

static void changed(void *opaque, bool ready)
{
    struct guest *g = opaque;
    json_decref(g->report);
    g->report = NULL;
    g->interval = 1;
    if (ready)
        ask_report(&g->ask);
    if (ready && g->clock_waits)
        guest_set_clock(g);
    if (g->events.changed)
        g->events.changed(g->events.opaque, ready);
}

/* -- clock and end -- */

static void nothing(struct agent_call *call, int status)
{
}

void guest_set_clock(struct guest *guest)
{
    struct timespec now;
    char text[32];
    const char *const argument[] = {"clock", text, NULL};
    if (!guest || guest->clock.session)
        return;
    guest->clock_waits = !guest_ready(guest);
    if (guest->clock_waits)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(text, sizeof(text), "%lld%09ld", (long long)now.tv_sec, now.tv_nsec);
    agent_call(guest->port, &guest->clock, argument);
}

bool guest_shut_down(struct guest *guest, bool restart)
{
    const char *const argument[] = {"shutdown", restart ? "reboot" : "poweroff", NULL};
    if (!guest_ready(guest) || guest->end.session)
        return false;
    agent_call(guest->port, &guest->end, argument);
    return true;
}

/* -- freezing -- */

static void tell(struct guest *g, int count, const struct error *error)
{
    guest_frozen *done = g->done;
    g->done = NULL;
    if (done)
        done(g->opaque, count, error);
}

static int number_in(const char *text, const char *format)
{
    int n = 0;
    return sscanf(text, format, &n) == 1 ? n : 0;
}

static void freeze_said(struct agent_call *call)
{
    struct guest *g = container_of(call, struct guest, freeze);
    if (g->freezing != FREEZING || !strchr(call->output, '\n') || call->output[0] != '{')
        return;
    g->freezing = FROZEN;
    tell(g, number_in(call->output, "{\"frozen\": %d}"), NULL);
}

static void freeze_ended(struct agent_call *call, int status)
{
    struct guest *g = container_of(call, struct guest, freeze);
    struct error error;
    enum freezing was = g->freezing;
    char plain[200];
    call->output[strcspn(call->output, "\n")] = 0;
    error_plain(call->output, plain, sizeof(plain));
    g->freezing = was == FROZEN ? LOST : THAWED;
    if (was == FREEZING) {
        error_set(&error, status < 0 ? -ENOTCONN : -EREMOTEIO, "the guest's file systems cannot be frozen: %s", plain);
        tell(g, -1, &error);
    } else if (was == THAWING && status) {
        error_set(&error, -ETIME, "the guest's file systems were thawed too early");
        tell(g, -1, &error);
    } else if (was == THAWING) {
        tell(g, number_in(call->output, "{\"frozen\": %d}"), NULL);
    }
}

void guest_freeze(struct guest *guest, u32 seconds, guest_frozen *done, void *opaque)
{
    struct error error;
    char text[16];
    const char *const argument[] = {"freeze", text, NULL};
    if (guest->freezing == FREEZING || guest->freezing == FROZEN || guest->freezing == THAWING) {
        error_set(&error, -EBUSY, "the guest's file systems are frozen already");
        done(opaque, -1, &error);
        return;
    }
    snprintf(text, sizeof(text), "%u", seconds);
    guest->freezing = FREEZING;
    guest->done = done;
    guest->opaque = opaque;
    agent_call(guest->port, &guest->freeze, argument);
}

void guest_thaw(struct guest *guest, guest_frozen *done, void *opaque)
{
    struct error error;
    if (guest->freezing == FROZEN) {
        guest->freezing = THAWING;
        guest->done = done;
        guest->opaque = opaque;
        agent_call_tell(guest->port, &guest->freeze, "thaw\n");
        return;
    }
    if (guest->freezing == LOST)
        error_set(&error, -ETIME, "the guest's file systems were thawed too early");
    else
        error_set(&error, -EINVAL, "the guest's file systems are not frozen");
    guest->freezing = guest->freezing == LOST ? THAWED : guest->freezing;
    done(opaque, -1, &error);
}

/* -- all of it -- */

struct guest *guest_new(struct loop *loop, int fd, const struct guest_events *events)
{
    struct guest *g = calloc(1, sizeof(*g));
    const struct agent_port_events port_events = {changed, g};
    if (g) {
        g->loop = loop;
        g->events = *events;
        g->interval = 1;
        g->ask.ring = ask_report;
        g->info.ended = reported;
        g->clock.ended = g->end.ended = nothing;
        g->freeze.said = freeze_said;
        g->freeze.ended = freeze_ended;
    }
    struct agent_port *port = agent_port_new(loop, fd, &port_events);
    if (g && port) {
        g->port = port;
        return g;
    }
    agent_port_free(port, "");
    free(g);
    return NULL;
}

void guest_free(struct guest *guest, const char *why)
{
    if (!guest)
        return;
    guest->events.changed = NULL;
    loop_alarm(guest->loop, &guest->ask, 0);
    agent_port_free(guest->port, why);
    json_decref(guest->report);
    free(guest);
}
