/*
 * Starting the process of a session.
 */
#ifndef AGENT_GUEST_START_H
#define AGENT_GUEST_START_H

#include "agent/request.h"

#include <sys/types.h>

struct started {
    pid_t pid;
    int fd[STREAMS]; /* our ends, non-blocking; -1: the process has no such stream */
};

/* Returns 0 or -errno. What the process itself cannot do (find its user, its program) it says on its standard error,
 * and ends with 125 to 127 as shells have it. */
int MUST_CHECK start_process(const struct request *request, struct started *started);

#endif
