/*
 * What commands ask of the guest through the worker: a connection to its agent, whether the agent is ready yet, file
 * systems at rest.
 */
#include "worker/inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define READY_SECONDS 300 /* how long a guest may take until its agent answers, if nobody says so */
#define FREEZE_SECONDS 30
#define LOG_SECONDS 10
#define OURS_SECONDS 5 /* how long QEMU's agent is there until it counts as all that the guest has */

/* -- a connection -- */

static int no_agent(const struct worker *w, struct error *error)
{
    error_set(error, -ENXIO, "VM %s: no agent answers in the guest", w->def.name);
    return error_hint(error,
                      "`nestbox start --wait` waits for it, where the guest has one; images of `nestbox image` have");
}

int guest_ask_agent(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    if (!w->guest)
        return no_agent(w, error);
    int e = agent_port_check(guest_port(w->guest), error);
    if (e == -ENXIO)
        return no_agent(w, error);
    guest_report(w->guest, reply);
    return e;
}

void guest_take_agent(void *opaque, const json_t *request, int fd)
{
    struct worker *w = opaque;
    agent_port_join(guest_port(w->guest), fd);
}

/* -- readiness -- */

static struct ready_asker *free_asker(struct worker *w)
{
    for (u32 i = 0; i < ASKERS_MAX; i++)
        if (!w->ready_asker[i].asker)
            return &w->ready_asker[i];
    return NULL;
}

static void answer_ready(struct worker *w, struct ready_asker *a)
{
    json_t *reply = json_pack("{s:b, s:s}", "ok", 1, "state", vm_state_name(w->state));
    guest_report(w->guest, reply);
    control_answer(w->control, a->asker, reply);
    a->asker = 0;
}

void guest_changed(void *opaque, bool ready)
{
    struct worker *w = opaque;
    /* A guest can have its agent come and go as fast as it likes. */
    if (!w->agent_logged_ns || w->loop.now_ns - w->agent_logged_ns >= LOG_SECONDS * SECOND_NS) {
        worker_log(w, ready ? "the guest's agent answers" : "the guest's agent answers no more");
        w->agent_logged_ns = w->loop.now_ns;
    }
    worker_tell(w, "agent", json_pack("{s:b}", "ready", ready));
    for (u32 i = 0; i < ASKERS_MAX && ready; i++)
        if (w->ready_asker[i].asker)
            answer_ready(w, &w->ready_asker[i]);
}

/* -- QEMU's agent: it is there when it has its port open -- */

/* The one of ours can do more, and gets a moment to answer. */
static bool qga_is_all(const struct worker *w)
{
    return w->qga_ns && w->loop.now_ns - w->qga_ns >= OURS_SECONDS * SECOND_NS;
}

void guest_port_changed(struct worker *w, const char *id, bool open)
{
    if (strcmp(id, PORT_QGA) == 0)
        w->qga_ns = open ? w->loop.now_ns : 0;
    else if (strcmp(id, PORT_AGENT) == 0 && !open && w->guest)
        agent_port_lost(guest_port(w->guest));
}

static void ports_answered(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct worker *w = container_of(call, struct worker, ports);
    const json_t *one;
    size_t i;
    json_array_foreach (result, i, one) {
        const char *label = json_string_value(json_object_get(one, "label"));
        if (label && strcmp(label, CHARDEV_QGA) == 0 && json_is_true(json_object_get(one, "frontend-open")))
            w->qga_ns = w->loop.now_ns;
    }
}

void guest_ask_ports(struct worker *w)
{
    w->ports.done = ports_answered;
    qmp_send(w->qmp, "query-chardev", NULL, &w->ports);
}

/* -- the end of the VM, and of patience -- */

void guest_over(struct worker *w, const char *why)
{
    struct error error;
    error_set(&error, -ENOTCONN, "VM %s: %s before its guest was ready", w->def.name, why);
    for (u32 i = 0; i < ASKERS_MAX; i++)
        if (w->ready_asker[i].asker)
            control_answer_error(w->control, w->ready_asker[i].asker, &error);
    memset(w->ready_asker, 0, sizeof(w->ready_asker));
    loop_alarm(&w->loop, &w->ready_tick, 0);
    guest_free(w->guest, why);
    w->guest = NULL;
}

/* Each second those who wait see what the guest's console said last. */
void guest_ready_tick(struct alarm *alarm)
{
    struct worker *w = container_of(alarm, struct worker, ready_tick);
    struct error error;
    char line[160] = "";
    bool waits = false;
    if (w->console)
        console_last_line(w->console, line, sizeof(line));
    for (struct ready_asker *a = w->ready_asker; a < w->ready_asker + ASKERS_MAX; a++) {
        u32 seconds = (u32)((w->loop.now_ns - a->since_ns) / SECOND_NS);
        if (!a->asker)
            continue;
        if (qga_is_all(w)) {
            answer_ready(w, a);
        } else if (w->loop.now_ns >= a->until_ns) {
            error_set(&error, -ETIMEDOUT, "VM %s runs, but no agent answers in its guest after %u seconds%s%.120s",
                      w->def.name, seconds, line[0] ? "; its console says: " : "", line);
            error_hint(&error, "`nestbox console` shows what it does; does it have nestbox-agent?");
            control_answer_error(w->control, a->asker, &error);
            a->asker = 0;
        } else if (!control_progress(w->control, a->asker,
                                     json_pack("{s:s, s:i, s:s%}", "what", "waiting for the guest's agent", "seconds",
                                               (int)seconds, "console", line, strlen(line)))) {
            a->asker = 0;
        }
        waits |= a->asker != 0;
    }
    if (waits)
        loop_alarm(&w->loop, &w->ready_tick, w->loop.now_ns + SECOND_NS);
}

/* How long a guest that began not long ago may still take until its agent answers. */
static json_int_t may_take(const struct worker *w)
{
    s64 runs = time(NULL) - (w->began ? w->began : w->started);
    bool begins = w->state == VM_STARTING || w->state == VM_RUNNING;
    return begins && runs >= 0 && runs < READY_SECONDS ? READY_SECONDS - runs : 0;
}

int guest_ask_ready(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    json_int_t seconds = json_integer_value(json_object_get(request, "seconds"));
    if (guest_ready(w->guest) || qga_is_all(w)) {
        guest_report(w->guest, reply);
        return json_object_set_new(reply, "state", json_string(vm_state_name(w->state))) ? error_memory(error) : 0;
    }
    if (json_is_true(json_object_get(request, "starting")) && !(seconds = may_take(w)))
        return no_agent(w, error);
    struct ready_asker *a = free_asker(w);
    if (!a || !w->guest)
        return a ? no_agent(w, error) : error_set(error, -EBUSY, "too many wait for VM %s", w->def.name);
    *a = (struct ready_asker){control_asker(w->control), w->loop.now_ns,
                              w->loop.now_ns + (u64)(seconds > 0 ? seconds : READY_SECONDS) * SECOND_NS};
    loop_alarm(&w->loop, &w->ready_tick, w->loop.now_ns + SECOND_NS);
    return CONTROL_LATER;
}

/* -- file systems -- */

static void frozen(void *opaque, int count, const struct error *error)
{
    struct worker *w = opaque;
    u64 asker = w->freeze_asker;
    w->freeze_asker = 0;
    if (!asker)
        return;
    if (error)
        control_answer_error(w->control, asker, error);
    else
        control_answer(w->control, asker, json_pack("{s:b, s:i}", "ok", 1, "count", count));
}

static int may_freeze(struct worker *w, struct error *error)
{
    if (!guest_ready(w->guest))
        return no_agent(w, error);
    if (w->freeze_asker)
        return error_set(error, -EBUSY, "VM %s: somebody else freezes or thaws its file systems", w->def.name);
    w->freeze_asker = control_asker(w->control);
    return 0;
}

int guest_ask_freeze(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    json_int_t seconds = json_integer_value(json_object_get(request, "seconds"));
    int e = may_freeze(w, error);
    if (e)
        return e;
    guest_freeze(w->guest, seconds > 0 ? (u32)seconds : FREEZE_SECONDS, frozen, w);
    return CONTROL_LATER;
}

int guest_ask_thaw(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    int e = may_freeze(w, error);
    if (e)
        return e;
    guest_thaw(w->guest, frozen, w);
    return CONTROL_LATER;
}
