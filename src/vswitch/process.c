/*
 * The life of a switch's process. One holds the lock of a switch, which ends with it; so two starts at once give one
 * process, and a socket that a killed one left is no obstacle.
 */
#include "vswitch/process.h"

#include "process/notify.h"
#include "process/spawn.h"
#include "vswitch/remedy.h"
#include "vswitch/stranger.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define IDLE_NS 5000000000ull /* that long it lives without anything to do; a command may be about to add a card */

static struct vswitch *running; /* for the handler of signals */

static void stop_running(int signal)
{
    vswitch_stop(running);
}

/* -- when it ends -- */

static bool needed(const struct process *p)
{
    return p->start.stays || switch_stays(&p->defined.own->set) || definitions_card(&p->defined, NULL);
}

static void idle_ring(struct alarm *alarm)
{
    struct process *p = container_of(alarm, struct process, idle);
    if (!needed(p))
        vswitch_stop(p->sw);
}

static void watch_need(struct process *p)
{
    vswitch_alarm(p->sw, &p->idle, needed(p) ? 0 : vswitch_now(p->sw) + IDLE_NS);
}

/* -- what VMs' logs get -- */

static void on_stranger(struct vswitch_events *events, const struct port *port, const struct stranger *stranger)
{
    struct process *p = container_of(events, struct process, events);
    char mac[MAC_TEXT_MAX], command[REMEDY_MAX], line[640];
    mac_format(&stranger->mac, mac);
    remedy(port, DROP_SPOOFED, command, sizeof(command));
    if (stranger_is_former(port, &stranger->mac))
        snprintf(
            line, sizeof(line),
            "%s at switch %s: frames from %s, the address that the card had before, are dropped; the guest has the "
            "new one when its VM is started again",
            port->name, vswitch_name(p->sw), mac);
    else
        snprintf(line, sizeof(line),
                 "%s at switch %s: frames from %s, which is not its address, are dropped; that looks like a nested "
                 "guest, a VM inside it. To let them pass: %s",
                 port->name, vswitch_name(p->sw), mac, command);
    clerk_log(p->clerk, port->vm, line);
}

static void on_trouble(struct vswitch_events *events, const struct port *port, const char *text)
{
    struct process *p = container_of(events, struct process, events);
    char line[640];
    snprintf(line, sizeof(line), "%s at switch %s: %s", port->name, vswitch_name(p->sw), text);
    if (port->vm[0])
        clerk_log(p->clerk, port->vm, line);
}

/* -- requests -- */

static int do_show(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    return process_report(opaque, reply, error);
}

/* The disk may be slow, so the answer comes when the clerk has read what is defined: see on_read. */
static int do_reload(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct process *p = opaque;
    const char *about = json_string_value(json_object_get(request, "about"));
    int e = clerk_read(p->clerk, control_asker(p->control), about);
    return e ? error_set(error, e, "out of memory") : CONTROL_LATER;
}

static int do_release(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct process *p = opaque;
    const char *lease = json_string_value(json_object_get(request, "lease"));
    if (!lease)
        return error_set(error, -EINVAL, "\"lease\" is no string");
    if (!p->nat)
        return error_set(error, -ENOENT, "switch %s has no NAT network", vswitch_name(p->sw));
    return uplink_release(p->nat, lease, error);
}

static int do_stop(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct process *p = opaque;
    vswitch_stop(p->sw);
    return 0;
}

/* Finds the port that a capture is of, by its id or, if it is no card, its kind. NULL: all. */
static int capture_port(const struct process *p, const json_t *request, struct port **found, struct error *error)
{
    const json_t *value = json_object_get(request, "port");
    const char *name = json_string_value(value);
    *found = NULL;
    if (!name)
        return !value || json_is_null(value) ? 0 : error_set(error, -EINVAL, "\"port\" is no string");
    *found = vswitch_port_find(p->sw, name);
    for (struct port *port = NULL; !*found && (port = vswitch_port_next(p->sw, port));)
        if (port->kind != PORT_CARD && strcmp(port_kinds[port->kind], name) == 0)
            *found = port;
    return *found ? 0 : error_set(error, -ENOENT, "switch %s has no port %.40s", vswitch_name(p->sw), name);
}

static int do_capture(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct port *port;
    return capture_port(opaque, request, &port, error);
}

static void take_capture(void *opaque, const json_t *request, int fd)
{
    struct process *p = opaque;
    struct error error;
    struct port *port;
    if (capture_port(p, request, &port, &error) ||
        capture_start(&p->captures, p->sw, fd, port ? port->id : NULL, json_is_true(json_object_get(request, "drops")),
                      &error))
        close(fd);
}

static const struct control_request requests[] = {
    {"show", do_show},       {"reload", do_reload}, {"capture", do_capture, take_capture},
    {"release", do_release}, {"stop", do_stop},     {0}};

/* -- what the clerk says -- */

static void on_read(struct clerk_events *events, struct clerk_reading *r)
{
    struct process *p = container_of(events, struct process, clerk_events);
    json_t *others = json_array();
    struct error error = r->error;
    p->deleted = error.code == -ENOENT;
    if (!error.code && confine_kind(&r->wanted) != p->confined.kind) {
        definitions_free(&r->wanted);
        error_set(&error, -ESTALE, "switch %s has to start again, as it needs other rights now", vswitch_name(p->sw));
    }
    if (!error.code)
        error.code = process_take(p, &r->wanted, r->about, others, &error);
    if (error.code) {
        json_decref(others);
        control_answer_error(p->control, r->asker, &error);
    } else {
        control_answer(p->control, r->asker, json_pack("{s:b, s:o}", "ok", 1, "notes", others));
    }
    if (p->deleted)
        vswitch_stop(p->sw);
    else
        watch_need(p);
}

static void on_missed(struct clerk_events *events, const struct error *lost)
{
    struct process *p = container_of(events, struct process, clerk_events);
    if (!lost && control_renew(p->control) == 0) {
        place_socket(&p->place);
    } else if (lost) {
        fprintf(stderr, "switch %s ends: %s\n", vswitch_name(p->sw), lost->text);
        vswitch_stop(p->sw);
    }
}

/* -- start and end -- */

static int prepare(struct process *p, struct error *error)
{
    char path[PATH_MAX], nics[PATH_MAX + 8];
    const char *name = p->place.name;
    struct definitions defined;
    int e = store_switch_socket(p->store, name, path, sizeof(path), error);
    if (e)
        return e;
    snprintf(nics, sizeof(nics), "%s/nics", store_run(p->store));
    p->sw = vswitch_new(name, error);
    if (p->sw)
        p->clerk = clerk_new(p->sw, &p->place, &p->clerk_events, error);
    if (p->clerk)
        p->dialer = dialer_new(p->sw, nics, error);
    if (p->dialer) {
        vswitch_tell(p->sw, &p->events);
        e = definitions_read(p->store, name, true, &defined, error);
        if (!e)
            e = process_take(p, &defined, NULL, NULL, error);
        /* Of a port to the host or to NAT that cannot be, the starter hears; a card that is in the way of another is a
         * problem that is reported later. */
        if (e && (!p->defined.own || (p->defined.own->set.type != SWITCH_PRIVATE && !p->host && !p->nat)))
            return e;
        p->control = control_new(vswitch_loop(p->sw), path, requests, p, error);
    }
    if (!p->control)
        return error->code;
    if (p->confined.among_strangers)
        control_hear_nobody(p->control);
    place_socket(&p->place);
    return 0;
}

/* Returns false if the clerk hangs in the disk, and so still has what is its own. */
static bool release(struct process *p)
{
    captures_end(&p->captures);
    control_free(p->control);
    if (p->sw)
        vswitch_tell(p->sw, NULL);
    bool ended = clerk_free(p->clerk);
    if (p->nat)
        uplink_remove(p->nat);
    if (p->host)
        uplink_remove(p->host);
    if (p->sw)
        vswitch_free(p->sw);
    if (p->dialer)
        dialer_free(p->dialer);
    definitions_free(&p->defined);
    store_close(p->store);
    if (ended)
        place_leave(&p->place);
    return ended;
}

static void catch_signals(struct vswitch *sw)
{
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction stop = {.sa_handler = stop_running}, ignore = {.sa_handler = SIG_IGN};
    running = sw;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        sigaction(ends[i], &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

/* Each card takes a descriptor. */
static void allow_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Has the lock and the name as it is spelt, and nothing that the switch does not need. */
static int take_place(struct process *p, struct error *error)
{
    struct definitions defined;
    p->store = store_open(error);
    int e = p->store ? definitions_read(p->store, p->start.name, true, &defined, error) : error->code;
    if (e)
        return e;
    e = place_take(&p->place, defined.own->name, p->start.keeper, error);
    if (!e)
        e = store_switch_folders(p->store, p->place.name, p->state, p->run, sizeof(p->run), error);
    if (!e) { /* a switch of this name may have been of another type before it was killed */
        const struct uplink_dirs dirs = {p->state, p->run, store_run(p->store)};
        e = uplink_restore(p->place.name, &dirs, error);
    }
    if (!e)
        confine(confine_kind(&defined), store_home(p->store), store_run(p->store), &p->confined);
    definitions_free(&defined);
    return e;
}

int process_run(const struct process_start *start, struct error *error)
{
    static const struct error none;
    struct process *p = calloc(1, sizeof(*p));
    if (!p)
        return error_memory(error);
    *p = (struct process){.idle.ring = idle_ring, .events = {on_stranger, on_trouble}, .start = *start};
    p->clerk_events = (struct clerk_events){on_read, on_missed};
    allow_descriptors();
    int e = take_place(p, error);
    if (!e)
        e = prepare(p, error);
    if (e) {
        spawn_report(start->ready, error);
    } else {
        catch_signals(p->sw);
        watch_need(p);
        spawn_report(start->ready, &none);
        notify_manager("READY=1");
        e = vswitch_run(p->sw, error);
        notify_manager("STOPPING=1");
    }
    if (release(p))
        free(p);
    return e;
}
