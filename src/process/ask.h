/*
 * Asking a process of ours by its control socket. One that does not answer is an error after a while, never a command
 * that hangs.
 */
#ifndef PROCESS_ASK_H
#define PROCESS_ASK_H

#include "base/error.h"

#include <jansson.h>

/* Who is asked, as errors have it. */
struct ask_peer {
    char name[80];      /* "switch lab" */
    const char *hangs;  /* what to do if it does not answer */
    const char *absent; /* what to do if it does not run */
};

/* Returns a connection; -ENOTCONN if no process serves the socket. */
int MUST_CHECK ask_connect(const char *path, const struct ask_peer *peer, struct error *error);

struct ask {
    u32 wait_ms; /* for each line */
    /* Called with each {"progress": ...} that comes before the answer; may be NULL, and then progress is not waited
     * for. */
    void (*progress)(const json_t *progress, void *opaque);
    void *opaque;
};
/* Sends the request and waits for its answer, which the caller releases. -ETIMEDOUT; -EPIPE if the process ended; or
 * the error that was answered. */
int MUST_CHECK ask(int fd, const struct ask_peer *peer, const struct ask *how, const json_t *request, json_t **answer,
                   struct error *error);
/* Copies an error from an answer. Returns its code. */
int ask_error(const json_t *json, struct error *error);

/* Waits until `fd` has one of `events`. Returns false if the time of CLOCK_MONOTONIC comes first. */
bool ask_wait(int fd, short events, u64 until_ns);
/* Fills the error of a process that does not answer. Returns -ETIMEDOUT. */
int ask_no_answer(const struct ask_peer *peer, struct error *error);

#endif
