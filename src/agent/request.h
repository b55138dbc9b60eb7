/*
 * What a session is opened with: a list of fields, which may take several frames FRAME_OPEN. A session is a process in
 * the guest: a command, or with FIELD_BUILTIN a function of the agent that runs in a process of its own.
 */
#ifndef AGENT_REQUEST_H
#define AGENT_REQUEST_H

#include "agent/frame.h"

#define REQUEST_MAX (1u << 20)
#define REQUEST_WORDS_MAX 4096u

enum field {
    FIELD_ARGUMENT = 1, /* any number; none: the user's shell as at a login */
    FIELD_VARIABLE,     /* any number: "NAME=VALUE" */
    FIELD_USER,
    FIELD_FOLDER,   /* the user's home if there is none */
    FIELD_TERMINAL, /* rows and columns, 2 bytes each */
    FIELD_INPUT,    /* standard input is a stream; else there is nothing to read */
    FIELD_BUILTIN,
    FIELDS,
};

/* Both lists end with NULL. Texts stand in `text`, which belongs to the request. */
struct request {
    char **argument, **variable;
    const char *user, *folder;
    bool terminal, input, builtin;
    u16 rows, columns;
    char *text;
};

/* Bytes of a request that is being put together; `bytes` is the owner's to free. */
struct request_bytes {
    u8 *bytes;
    u32 used, size;
    bool failed; /* no memory, or more than REQUEST_MAX */
};

void request_add(struct request_bytes *to, enum field field, const void *value, size_t length);
void request_add_text(struct request_bytes *to, enum field field, const char *value);
/* Appends what a frame has. */
void request_append(struct request_bytes *to, const void *bytes, u32 length);

/* Returns 0, -ENOMEM, or -EINVAL: it is no request. request_free releases it if it is one. */
int MUST_CHECK request_read(const u8 *bytes, u32 length, struct request *request);
void request_free(struct request *request);

#endif
