/*
 * What the worker wants of the guest itself, by its agent: how it is, its clock, its end, its file systems at rest.
 */
#ifndef WORKER_GUEST_H
#define WORKER_GUEST_H

#include "worker/agent.h"

#include <jansson.h>

struct guest;

struct guest_events {
    void (*changed)(void *opaque, bool ready); /* the agent answers, or answers no more */
    void *opaque;
};

/* `fd` is the connection to the port, and the guest's from now on. NULL if there is no memory. */
struct guest *guest_new(struct loop *loop, int fd, const struct guest_events *events);
void guest_free(struct guest *guest, const char *why);
struct agent_port *guest_port(struct guest *guest);
bool guest_ready(const struct guest *guest);

/* Adds "agent", and what the agent reported last as "guest" and "addresses", to `reply`. `guest` may be NULL. */
void guest_report(const struct guest *guest, json_t *reply);
/* The guest's clock becomes the host's: after a time in which the VM did not run. Nothing without an agent. */
void guest_set_clock(struct guest *guest);
/* Asks the guest to power off or to restart. Returns false if there is no agent that could be asked. */
bool guest_shut_down(struct guest *guest, bool restart);

/* How freezing or thawing ended: `count` file systems, or an error. */
typedef void guest_frozen(void *opaque, int count, const struct error *error);
/* Freezes the file systems for at most `seconds`. `done` is called once, perhaps at once. */
void guest_freeze(struct guest *guest, u32 seconds, guest_frozen *done, void *opaque);
/* -ETIME: they were thawed before, because the time was over or the agent ended: what was copied is no good. */
void guest_thaw(struct guest *guest, guest_frozen *done, void *opaque);

#endif
