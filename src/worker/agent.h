/*
 * The host's end of the stream to nestbox-agent in the guest. Commands of the host that want something of the guest
 * have a connection of their own to the worker, on which they speak as to the agent; their sessions go over the one
 * stream. The worker has sessions of its own: what it asks the guest. All of it runs on the loop's thread, and nobody
 * who does not read makes the others wait.
 */
#ifndef WORKER_AGENT_H
#define WORKER_AGENT_H

#include "agent/frame.h"
#include "base/error.h"
#include "process/loop.h"

struct agent_port;

struct agent_port_events {
    /* The agent answers (again), or answers no more. */
    void (*changed)(void *opaque, bool ready);
    void *opaque;
};

/* Takes the connected socket of the port. NULL if there is no memory; the descriptor is closed then. */
struct agent_port *agent_port_new(struct loop *loop, int fd, const struct agent_port_events *events);
/* Ends all sessions with an error that says `why`: "the VM was stopped". */
void agent_port_free(struct agent_port *port, const char *why);
/* The agent has closed its end: it ended, or the guest was reset. */
void agent_port_lost(struct agent_port *port);
/* Has an agent answered that speaks our protocol? */
bool agent_port_ready(const struct agent_port *port);
/* What it calls itself, "nestbox-agent 0.1.0"; empty if none answers. */
const char *agent_port_program(const struct agent_port *port);
/* 0, or an error that says why nothing can be asked of the guest. */
int MUST_CHECK agent_port_check(const struct agent_port *port, struct error *error);
/* A command's connection: frames from here on. It is closed here. */
void agent_port_join(struct agent_port *port, int fd);

/* -- the worker's own sessions -- */

#define CALL_OUTPUT_MAX 65536u

struct agent_call {
    /* There is more output; NULL: only the whole is wanted. */
    void (*said)(struct agent_call *call);
    /* It is over, and the call forgotten by the port. `status`: the exit status, or -1: there is none, and what was
     * said at last is why. */
    void (*ended)(struct agent_call *call, int status);
    char output[CALL_OUTPUT_MAX + 1]; /* of standard output, and of standard error if there is nothing else */
    u32 length;
    u32 session; /* 0: none */
};

/* Runs a function of the agent. `argv` ends with NULL. If it cannot begin, `ended` is called at once. */
void agent_call(struct agent_port *port, struct agent_call *call, const char *const *argv);
/* Gives it input, of a few bytes. */
void agent_call_tell(struct agent_port *port, struct agent_call *call, const char *text);
/* The caller wants no more of it; `ended` is not called. */
void agent_call_drop(struct agent_port *port, struct agent_call *call);

#endif
