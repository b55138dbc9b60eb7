/*
 * The control socket of a switch: JSON, one object per line each way, as docs/network.md has it. Who connects may be
 * anything: it never makes the switch wait.
 */
#ifndef VSWITCH_CONTROL_H
#define VSWITCH_CONTROL_H

#include "vswitch/vswitch.h"

#include <jansson.h>

/* What can be asked for: a row of a table that ends without a name. */
struct control_request {
    const char *name; /* the value of "do" */
    /* Adds to `reply`, an object. Returns 0, or an error, which is what is answered then. */
    int (*act)(void *opaque, const json_t *request, json_t *reply, struct error *error);
    /* NULL, or what becomes of the connection after the answer: it is the taker's to close. */
    void (*take)(void *opaque, const json_t *request, int fd);
};

struct control;

/* Listens at `path`, where a socket that nobody serves any more is replaced. The caller holds the switch's lock, so
 * there is no other server. NULL with an error. */
struct control *control_new(struct vswitch *sw, const char *path, const struct control_request *requests, void *opaque,
                            struct error *error);
void control_free(struct control *control);

/* {"code", "text", "hint"}; settings in it keep their marks. */
json_t *control_error_json(const struct error *error);

#endif
