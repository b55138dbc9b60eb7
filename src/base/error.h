/*
 * What a user gets to read when something cannot be done. Filled once, where the cause is known, passed up unchanged,
 * and printed by the face that took the request.
 *
 * Texts name no options: a setting stands in them as SETTING("memory"), and the face puts its own word there. The core
 * of the engine uses the inline functions only.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/types.h"

/* The mark of a setting within a text; the name is the one of its row in the table of settings. */
#define SETTING(name) "\1" name "\2"

struct error {
    int code;       /* -errno; 0: nothing is wrong */
    char text[320]; /* one line without its end: what was asked and what is in the way */
    char hint[256]; /* what to do about it; may be empty */
};

/* All return the code, for `return error_set(...)`. */
int error_set(struct error *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int error_hint(struct error *e, const char *hint);
int error_memory(struct error *e);                           /* -ENOMEM */
int error_path(struct error *e, int code, const char *path); /* what the system says of a file */
/* A thread could not be started: -EAGAIN is a limit of the host's. `what`: "the thread of ...". Returns the code. */
int error_thread(struct error *e, int code, const char *what);
/* Copies text for a terminal: control characters, which names of files may have, become \xNN. */
void error_plain(const char *text, char *to, size_t size);
/* Writes text and hint as one line. Each setting gets `mark` in front: "--" where it is an option.
 * Control characters become \xNN. */
void error_format(const struct error *e, const char *mark, char *line, size_t size);

static inline int error_begin(struct error *e, int code)
{
    e->text[0] = e->hint[0] = 0;
    return e->code = code;
}

/* Appends the first `n` characters of `s`, or all if it ends before, as far as there is room. */
static inline void error_append(struct error *e, const char *s, size_t n)
{
    size_t used = 0;
    while (e->text[used])
        used++;
    for (size_t i = 0; i < n && s[i] && used < sizeof(e->text) - 1; i++)
        e->text[used++] = s[i];
    e->text[used] = 0;
}

#endif
