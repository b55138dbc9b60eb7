/*
 * QEMU's guest agent (qemu-ga), where nestbox-agent is not in the guest: a client that blocks, with a time limit. It is
 * served on a socket of its own, to one client at a time: the next one waits until that has closed it. What it cannot
 * do (terminals, input and output while a command runs, more than 16 MiB of output) is not offered.
 */
#ifndef WORKER_GA_H
#define WORKER_GA_H

#include "base/error.h"

#include <jansson.h>

#define GA_MS 5000u /* how long an answer may take */

struct ga {
    int fd;
    const char *vm; /* for errors */
    u64 until_ns;   /* of CLOCK_MONOTONIC: when the patience for the current answer ends */
    char *line;
    size_t used, size;
};

/* Connects, and finds the place in the stream, in which an answer to somebody else may come first. -ENOTCONN: nobody
 * answers. */
int MUST_CHECK ga_open(struct ga *ga, const char *path, const char *vm, u32 wait_ms, struct error *error);
void ga_close(struct ga *ga);
/* Calls a command. `arguments` is released, and may be NULL. The answer, unless NULL, is the caller's to release. */
int MUST_CHECK ga_call(struct ga *ga, const char *command, json_t *arguments, json_t **answer, struct error *error);

struct ga_command {
    const char *const *argument; /* ends with NULL */
    const char *const *variable; /* ends with NULL; may be NULL */
    const void *input;           /* all that it reads */
    size_t input_length;
};
struct ga_result {
    int status; /* as shells have it */
    char *output, *errors;
    size_t output_length, errors_length;
    bool cut; /* there was more than the agent keeps */
};
/* Runs a command and waits for its end. The result's texts are the caller's to free. */
int MUST_CHECK ga_exec(struct ga *ga, const struct ga_command *command, struct ga_result *result, struct error *error);

/* Whole files, of any size: from an open descriptor into the guest, and out of it. */
int MUST_CHECK ga_put(struct ga *ga, int from, const char *path, struct error *error);
int MUST_CHECK ga_get(struct ga *ga, const char *path, int to, struct error *error);

/* Returns how many file systems were frozen or thawed. Nobody thaws them if we are gone: the caller must. */
int MUST_CHECK ga_freeze(struct ga *ga, struct error *error);
int MUST_CHECK ga_thaw(struct ga *ga, struct error *error);
/* Interfaces as nestbox-agent reports them. */
int MUST_CHECK ga_interfaces(struct ga *ga, json_t **interfaces, struct error *error);

#endif
