/*
 * A command's end of a session in a guest: opens it on a connection that the worker serves (worker/agent.h), and passes
 * bytes between it and descriptors of this process until it ends. Blocks; one connection has one session at a time.
 */
#ifndef AGENT_RUN_H
#define AGENT_RUN_H

#include "base/error.h"

struct agent_run {
    const char *const *argument; /* ends with NULL; empty: the user's shell */
    const char *const *variable; /* "NAME=VALUE", ends with NULL; NULL: none */
    const char *user, *folder;   /* NULL: root; the user's home */
    bool builtin;                /* a function of the agent */
    bool terminal;
    bool ends_at_signal; /* instead of passing it on; -ECANCELED */
    int in, out, error;  /* -1: none: there is nothing to read; what is written is lost */
    /* A signalfd: what it reads is passed on, and SIGWINCH is the new size of the terminal `out`. An interrupt that is
     * the third in a second ends the session. -1: none */
    int signals;
};

/* Returns the exit status as shells have it: that of the command, or 128 and the number of its signal. -ECANCELED: by
 * the third interrupt; -EPIPE: nobody reads `out`; else -errno with an error: the session never began, or broke off. */
int MUST_CHECK agent_run(int fd, const char *vm, const struct agent_run *run, struct error *error);

#endif
