/*
 * The life of a switch's process. One holds the lock of a switch, which ends with it; so two starts at once give one
 * process, and a socket that a killed one left is no obstacle.
 */
#include "vswitch/process.h"

#include "process/spawn.h"
#include "vswitch/remedy.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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
    return p->stays || switch_stays(&p->defined.own->set) || definitions_card(&p->defined, NULL);
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
    snprintf(line, sizeof(line),
             "%s at switch %s: frames from %s, which is not its address, are dropped; that looks like a nested guest, "
             "a VM inside it. To let them pass: %s",
             port->name, vswitch_name(p->sw), mac, command);
    store_vm_log(p->store, port->vm, line);
}

static void on_trouble(struct vswitch_events *events, const struct port *port, const char *text)
{
    struct process *p = container_of(events, struct process, events);
    char line[640];
    snprintf(line, sizeof(line), "%s at switch %s: %s", port->name, vswitch_name(p->sw), text);
    if (port->vm[0])
        store_vm_log(p->store, port->vm, line);
}

/* -- requests -- */

static int do_show(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    return process_report(opaque, reply, error);
}

static int do_reload(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct process *p = opaque;
    json_t *others = json_array();
    int e = process_reload(p, json_string_value(json_object_get(request, "about")), others, error);
    (void)!json_object_set_new(reply, "notes", others);
    if (p->deleted)
        vswitch_stop(p->sw);
    else
        watch_need(p);
    return e;
}

static int do_stop(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct process *p = opaque;
    vswitch_stop(p->sw);
    return 0;
}

/* Returns the port that a capture is of; NULL: all. */
static int capture_port(const struct process *p, const json_t *request, const char **id, struct error *error)
{
    const json_t *port = json_object_get(request, "port");
    *id = json_string_value(port);
    if (port && !json_is_string(port) && !json_is_null(port))
        return error_set(error, -EINVAL, "\"port\" is no string");
    if (*id && !vswitch_port_find(p->sw, *id))
        return error_set(error, -ENOENT, "there is no port %.40s", *id);
    return 0;
}

static int do_capture(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    const char *id;
    return capture_port(opaque, request, &id, error);
}

static void take_capture(void *opaque, const json_t *request, int fd)
{
    struct process *p = opaque;
    struct error error;
    const char *id;
    if (capture_port(p, request, &id, &error) ||
        capture_start(&p->captures, p->sw, fd, id, json_is_true(json_object_get(request, "drops")), &error))
        close(fd);
}

static const struct control_request requests[] = {
    {"show", do_show}, {"reload", do_reload}, {"capture", do_capture, take_capture}, {"stop", do_stop}, {0}};

/* -- start and end -- */

static int take_lock(struct process *p, const char *name, int *fd, struct error *error)
{
    char path[PATH_MAX];
    int e = store_switch_lock(p->store, name, path, sizeof(path), error);
    if (e)
        return e;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0)
        return error_set(error, -errno, "%.200s: %s", path, strerror(errno));
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0) {
        /* Commands read there which process to end if it does not answer. */
        if (ftruncate(*fd, 0) || dprintf(*fd, "%d\n", (int)getpid()) < 0)
            return error_set(error, -errno, "%.200s: %s", path, strerror(errno));
        return 0;
    }
    e = errno == EWOULDBLOCK ? -EALREADY : -errno;
    return error_set(error, e, "switch %s: %s", name, e == -EALREADY ? "its process runs already" : strerror(-e));
}

static int prepare(struct process *p, struct error *error)
{
    char path[PATH_MAX], nics[PATH_MAX + 8];
    const char *name = p->defined.own->name;
    int e = store_switch_folders(p->store, name, p->state, p->run, sizeof(p->run), error);
    if (!e)
        e = store_switch_socket(p->store, name, path, sizeof(path), error);
    if (e)
        return e;
    snprintf(nics, sizeof(nics), "%s/nics", store_run(p->store));
    p->sw = vswitch_new(name, error);
    if (p->sw)
        p->dialer = dialer_new(p->sw, nics, error);
    if (p->dialer) {
        vswitch_tell(p->sw, &p->events);
        e = process_reload(p, NULL, NULL, error);
        /* Of a port to the host or to NAT that cannot be, the starter hears; a card that is in the way of another is a
         * problem that is reported later. */
        if (e && ((p->defined.own->set.type != SWITCH_PRIVATE && !p->host && !p->nat)))
            return e;
        p->control = control_new(vswitch_loop(p->sw), path, requests, p, error);
    }
    return p->control ? 0 : error->code;
}

static void release(struct process *p)
{
    captures_end(&p->captures);
    control_free(p->control);
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

int process_run(const char *name, bool stays, int ready, struct error *error)
{
    struct process p = {.idle.ring = idle_ring, .events = {on_stranger, on_trouble}, .stays = stays};
    int lock = -1, e;
    allow_descriptors();
    p.store = store_open(error);
    e = p.store ? definitions_read(p.store, name, true, &p.defined, error) : error->code;
    if (!e)
        e = take_lock(&p, p.defined.own->name, &lock, error);
    if (!e)
        e = prepare(&p, error);
    if (e) {
        spawn_report(ready, error);
    } else {
        static const struct error none;
        catch_signals(p.sw);
        watch_need(&p);
        spawn_report(ready, &none);
        e = vswitch_run(p.sw, error);
    }
    release(&p);
    if (lock >= 0)
        close(lock);
    return e;
}
