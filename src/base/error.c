/*
 * Errors as text.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

int error_memory(struct error *e)
{
    return error_set(e, -ENOMEM, "out of memory");
}

int error_path(struct error *e, int code, const char *path)
{
    return error_set(e, code, "%.200s: %s", path, strerror(-code));
}

int error_thread(struct error *e, int code, const char *what)
{
    error_set(e, code, "cannot start %s: %s", what,
              code == -EAGAIN ? "the host gives no more threads" : strerror(-code));
    return error_hint(e, code == -EAGAIN ? "raise ulimit -u or the control group's pids.max" : "");
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

/* Of C0 and C1, as single bytes or in UTF-8; the bytes of other characters pass. Returns how many bytes were read. */
static size_t put_plain(struct line *l, const char *s)
{
    u8 c = (u8)s[0], next = (u8)s[1];
    char hex[8];
    size_t length = c < 0xc2 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    bool control = c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xc2) || (c == 0xc2 && next < 0xa0);
    for (size_t i = 0; i < length && s[i]; i++) {
        snprintf(hex, sizeof(hex), "\\x%02x", (u8)s[i]);
        put(l, control ? hex : (const char[]){s[i], 0});
        if (i + 1 < length && ((u8)s[i + 1] & 0xc0) != 0x80)
            return i + 1;
    }
    return length;
}

void error_plain(const char *text, char *to, size_t size)
{
    struct line l = {to, 0, size};
    while (*text)
        text += put_plain(&l, text);
    if (size)
        to[l.used] = 0;
}

static void put_marked(struct line *l, const char *s, const char *mark)
{
    while (*s) {
        if (*s == SETTING("")[0])
            put(l, mark);
        else if (*s != SETTING("")[1]) {
            s += put_plain(l, s);
            continue;
        }
        s++;
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
