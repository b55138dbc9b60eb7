/*
 * QMP: what QEMU is asked and what it reports, as JSON over a socket. All on the thread of the loop; nothing waits.
 */
#ifndef WORKER_QMP_H
#define WORKER_QMP_H

#include "base/error.h"
#include "process/loop.h"

#include <jansson.h>

struct qmp;

/* Who hears what QEMU reports by itself. */
struct qmp_events {
    void (*event)(struct qmp_events *events, const char *name, const json_t *data);
    /* The connection is gone, or QEMU does not read what it is asked. Calls that wait were answered with an error. */
    void (*lost)(struct qmp_events *events);
};

/* What becomes of an answer: `result` is the callee's to read, NULL after an error. It may be kept by json_incref. */
struct qmp_call {
    void (*done)(struct qmp_call *call, json_t *result, const struct error *error);
};

/* Speaks on a connected socket, which becomes the client's. NULL: no memory, or -errno in `error`. */
struct qmp *qmp_new(struct loop *loop, int fd, struct qmp_events *events, struct error *error);
/* Calls that wait are forgotten. */
void qmp_free(struct qmp *q);
/* Asks for `command`, and releases the arguments (NULL: none). `call` NULL: nobody cares. A call that stays the
 * caller's is used once at a time. After a loss the answer is an error, at once. */
void qmp_send(struct qmp *q, const char *command, json_t *arguments, struct qmp_call *call);
/* The same, with a descriptor (getfd, add-fd), which stays the caller's. */
void qmp_send_fd(struct qmp *q, const char *command, json_t *arguments, int fd, struct qmp_call *call);

#endif
