/*
 * The control socket of a process: JSON, one object per line each way, as docs/network.md and docs/manager.md have it.
 * Who connects may be anything: it never makes the process wait.
 */
#ifndef PROCESS_CONTROL_H
#define PROCESS_CONTROL_H

#include "base/error.h"
#include "process/loop.h"

#include <jansson.h>

#define CONTROL_LATER 1

/* What can be asked for: a row of a table that ends without a name. */
struct control_request {
    const char *name; /* the value of "do" */
    /* Adds to `reply`, an object. Returns 0, or an error, which is what is answered then. CONTROL_LATER: nothing is
     * answered yet; the owner keeps control_asker() for it. */
    int (*act)(void *opaque, const json_t *request, json_t *reply, struct error *error);
    /* NULL, or what becomes of the connection after the answer: it is the taker's to close. */
    void (*take)(void *opaque, const json_t *request, int fd);
};

struct control;

/* Listens at `path`, where a socket that nobody serves any more is replaced. The caller holds a lock, so there is no
 * other server. NULL with an error. */
struct control *control_new(struct loop *loop, const char *path, const struct control_request *requests, void *opaque,
                            struct error *error);
/* The process is in a user namespace of its own user alone, where root is nobody: that is heard then, as no other gets
 * through the folder of the socket. */
void control_hear_nobody(struct control *control);
/* Makes the socket anew, after its file was removed. Connections stay. 0 or -errno. */
int MUST_CHECK control_renew(struct control *control);
/* What was answered and is not written yet gets a moment for that. */
void control_free(struct control *control);

/* Within `act`: whoever asks. The number stays the connection's, and no other gets it. */
u64 control_asker(const struct control *control);
/* Answers a request that was left for later, if the asker is still there. Releases `reply`, an object. */
void control_answer(struct control *control, u64 asker, json_t *reply);
void control_answer_error(struct control *control, u64 asker, const struct error *error);
/* Sends {"progress": ...} before that, unless the asker is slow. Releases it. Returns false if the asker has gone. */
bool control_progress(struct control *control, u64 asker, json_t *progress);

/* {"code", "text", "hint"}; settings in it keep their marks. */
json_t *control_error_json(const struct error *error);

#endif
