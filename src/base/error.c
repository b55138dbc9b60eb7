/*
 * Errors as text.
 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *e, int code, const char *format, ...)
{
    va_list args;
    error_begin(e, code);
    va_start(args, format);
    vsnprintf(e->text, sizeof(e->text), format, args);
    va_end(args);
    return code;
}

int error_hint(struct error *e, const char *hint)
{
    snprintf(e->hint, sizeof(e->hint), "%s", hint);
    return e->code;
}

struct line {
    char *to;
    size_t used, size;
};

static void put(struct line *l, const char *s)
{
    while (*s && l->used + 1 < l->size)
        l->to[l->used++] = *s++;
}

static void put_marked(struct line *l, const char *s, const char *mark)
{
    for (; *s; s++) {
        if (*s == SETTING("")[0])
            put(l, mark);
        else if (*s != SETTING("")[1])
            put(l, (const char[]){*s, 0});
    }
}

void error_format(const struct error *e, const char *mark, char *line, size_t size)
{
    struct line l = {line, 0, size};
    put_marked(&l, e->text, mark);
    if (e->hint[0])
        put(&l, "; ");
    put_marked(&l, e->hint, mark);
    if (size)
        line[l.used] = 0;
}
