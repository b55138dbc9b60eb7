/*
 * Serial ports between the machine and their consoles. Opened, started and closed by the owner of the VM; events of
 * consoles go to the machine on the consoles' threads.
 */
#include "vmproc/ports.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SERIAL "serial"
#define SERIAL_LOG "serial-log"

/* -- what consoles say -- */

static unsigned on_input(void *opaque, const u8 *bytes, unsigned count)
{
    struct port *port = opaque;
    return pc_serial_in(port->all->pc, port->index, bytes, count);
}

static void on_key(void *opaque, enum escape_action action)
{
    struct port *port = opaque;
    if (action == ESCAPE_BREAK)
        pc_serial_break(port->all->pc, port->index);
    else
        port->all->events.key(port->all->events.opaque, action);
}

static void on_room(void *opaque)
{
    struct port *port = opaque;
    pc_serial_ready(port->all->pc, port->index);
}

static void on_hangup(void *opaque)
{
    struct port *port = opaque;
    port->all->events.hangup(port->all->events.opaque);
}

static void on_client(void *opaque)
{
    struct port *port = opaque;
    port->all->events.client(port->all->events.opaque);
}

/* -- what the machine says -- */

bool ports_put(struct ports *p, u32 index, u8 byte)
{
    struct console *log = index ? NULL : p->log;
    __atomic_store_n(&p->printed, true, __ATOMIC_RELAXED);
    /* Nobody takes the room in the log in between: bytes come under the machine lock only. */
    if ((log && !console_ready(log)) || !console_put(p->port[index].console, byte))
        return false;
    return !log || console_put(log, byte);
}

bool ports_printed(const struct ports *p)
{
    return __atomic_load_n(&p->printed, __ATOMIC_RELAXED);
}

void ports_room(struct ports *p, u32 index)
{
    console_room(p->port[index].console);
}

/* -- life -- */

static int open_one(struct ports *p, const char *where, struct error *error)
{
    struct port *port = &p->port[p->count];
    struct serial serial;
    int e = serial_parse(where, &serial, error);
    if (!e)
        e = console_open(&port->console, SERIAL, &serial, &p->outputs, error);
    if (e)
        return e;
    port->all = p;
    port->index = p->count++;
    port->wait = serial.wait;
    return 0;
}

int ports_open(struct ports *p, const struct run_settings *settings, const struct patience *patience,
               struct error *error)
{
    *p = (struct ports){.settings = settings, .outputs = {.settings = settings, .patience = patience}};
    int e = settings->serial.count ? 0 : open_one(p, "stdio", error);
    for (u32 i = 0; !e && i < settings->serial.count; i++)
        e = open_one(p, settings->serial.item[i], error);
    if (!e && settings->serial_log) {
        struct serial log = {.kind = SERIAL_FILE};
        snprintf(log.path, sizeof(log.path), "%s", settings->serial_log);
        e = console_open(&p->log, SERIAL_LOG, &log, &p->outputs, error);
    }
    return e;
}

static int start(struct console *c, struct port *port, struct error *error)
{
    const struct console_events events = {
        .input = on_input, .key = on_key, .room = on_room, .hangup = on_hangup, .client = on_client, .opaque = port};
    int e = console_start(c, &events);
    return e ? error_thread(error, e, "the threads of a serial port") : 0;
}

int ports_start(struct ports *p, struct pc *pc, const struct ports_events *events, struct error *error)
{
    p->pc = pc;
    p->events = *events;
    int e = p->log ? start(p->log, &p->port[0], error) : 0;
    for (u32 i = 0; !e && i < p->count; i++) {
        if (console_pty(p->port[i].console))
            fprintf(stderr, "nestbox: serial port %u is %s\n", i + 1, console_pty(p->port[i].console));
        if (console_has_keys(p->port[i].console) && isatty(STDERR_FILENO))
            fprintf(stderr, "nestbox: Ctrl-a x ends the VM, Ctrl-a h shows the other keys\n");
        e = start(p->port[i].console, &p->port[i], error);
    }
    return e;
}

const char *ports_waited_for(struct ports *p)
{
    for (u32 i = 0; i < p->count; i++)
        if (p->port[i].wait && !console_served(p->port[i].console))
            return p->settings->serial.item[i];
    return NULL;
}

bool ports_drained(struct ports *p, u32 ms)
{
    bool drained = !p->log || console_drained(p->log, ms);
    for (u32 i = 0; i < p->count; i++)
        drained = console_drained(p->port[i].console, drained ? ms : 0) && drained;
    return drained;
}

void ports_continued(struct ports *p)
{
    for (u32 i = 0; i < p->count; i++)
        console_continued(p->port[i].console);
}

void ports_leave(struct ports *p)
{
    for (u32 i = 0; i < p->count; i++)
        console_leave(p->port[i].console);
    if (p->log)
        console_leave(p->log);
}

static int lost(struct error *error, int e, const char *setting, const char *where)
{
    return error_set(error, e, "output of the guest is lost: " SETTING("%s") " %s: %s", setting, where, strerror(-e));
}

int ports_close(struct ports *p, struct error *error)
{
    int result = 0;
    for (u32 i = 0; i < p->count; i++) {
        int e = console_close(p->port[i].console);
        if (e)
            result = lost(error, e, SERIAL, p->settings->serial.count ? p->settings->serial.item[i] : "stdio");
    }
    int e = p->log ? console_close(p->log) : 0;
    if (e)
        result = lost(error, e, SERIAL_LOG, p->settings->serial_log);
    p->count = 0;
    p->log = NULL;
    return result;
}
