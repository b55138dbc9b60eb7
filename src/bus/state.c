/*
 * The saved-state stream of state.h. Little-endian, as the host is:
 *   stream  = magic u32, sections
 *   section = 'S' u8, name length u8, name, version u32, body length u32, body
 *   body    = fields: name hash u32, length u32, bytes
 *
 * Used by the thread that saves or restores a VM, with the VM stopped. A load never trusts a
 * length: every step is checked against the end of what contains it, once, when the stream is
 * opened (sections) or the section is entered (fields); what is damaged makes the state sticky-bad
 * and leaves the reset values. Running out of memory while saving does the same with -ENOMEM.
 */
#include "bus/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STATE_MAGIC 0x3153424eu /* "NBS1" */

struct state {
    u8 *data; /* saving: owned; loading: a private copy */
    size_t size, room;
    bool saving;
    int error;
    bool in_section;
    size_t length_at; /* saving: where the open section's body length is */
    size_t body, end; /* loading: the open section's body */
};

static u32 name_hash(const char *name) /* FNV-1a */
{
    u32 h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (u8)*name) * 16777619u;
    return h;
}

static void put(struct state *s, const void *bytes, size_t n)
{
    if (s->error)
        return;
    if (s->size + n > s->room) {
        size_t room = (s->size + n) * 2 + 4096;
        u8 *data = realloc(s->data, room);
        if (!data) {
            s->error = -ENOMEM;
            return;
        }
        s->data = data;
        s->room = room;
    }
    memcpy(s->data + s->size, bytes, n);
    s->size += n;
}

static void put_u32(struct state *s, u32 v)
{
    put(s, &v, sizeof(v));
}

static u32 get_u32(const struct state *s, size_t at)
{
    u32 v;
    memcpy(&v, s->data + at, sizeof(v));
    return v;
}

struct state *state_save_begin(void)
{
    struct state *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->saving = true;
    put_u32(s, STATE_MAGIC);
    return s;
}

/* Reads a section's head at *at: name, version, body range; moves *at behind it. */
static bool section_next(const struct state *s, size_t *at, const char **name, size_t *name_size, u32 *version,
                         size_t *body, size_t *end)
{
    size_t p = *at;
    if (s->size - p < 2 || s->data[p] != 'S')
        return false;
    *name_size = s->data[p + 1];
    *name = (const char *)s->data + p + 2;
    p += 2;
    if (s->size - p < *name_size + 8)
        return false;
    p += *name_size;
    *version = get_u32(s, p);
    u32 length = get_u32(s, p + 4);
    p += 8;
    if (s->size - p < length)
        return false;
    *body = p;
    *end = *at = p + length;
    return true;
}

static bool fields_sound(const struct state *s, size_t at, size_t end)
{
    while (at < end) {
        if (end - at < 8)
            return false;
        u32 length = get_u32(s, at + 4);
        at += 8;
        if (end - at < length)
            return false;
        at += length;
    }
    return true;
}

struct state *state_load_begin(const void *data, size_t size)
{
    struct state *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->data = malloc(size ? size : 1);
    if (!s->data) {
        free(s);
        return NULL;
    }
    if (size)
        memcpy(s->data, data, size);
    s->size = s->room = size;
    if (size < 4 || get_u32(s, 0) != STATE_MAGIC) {
        s->error = -EBADMSG;
        return s;
    }
    for (size_t at = 4, body, end, name_size; at < size;) {
        const char *name;
        u32 version;
        if (!section_next(s, &at, &name, &name_size, &version, &body, &end) || !fields_sound(s, body, end)) {
            s->error = -EBADMSG;
            break;
        }
    }
    return s;
}

const void *state_bytes(const struct state *s, size_t *size)
{
    *size = s->error ? 0 : s->size;
    return s->data;
}

void state_free(struct state *s)
{
    if (!s)
        return;
    free(s->data);
    free(s);
}

bool state_saving(const struct state *s)
{
    return s->saving;
}

int state_error(const struct state *s)
{
    return s->error;
}

u32 state_section(struct state *s, const char *name, u32 version)
{
    size_t n = strlen(name);
    s->in_section = false;
    if (s->error || n > 255)
        return 0;
    if (s->saving) {
        u8 head[2] = {'S', (u8)n};
        put(s, head, sizeof(head));
        put(s, name, n);
        put_u32(s, version);
        s->length_at = s->size;
        put_u32(s, 0);
        s->in_section = true;
        return version;
    }
    const char *found;
    size_t found_size, body, end;
    u32 found_version;
    for (size_t at = 4; at < s->size && section_next(s, &at, &found, &found_size, &found_version, &body, &end);) {
        if (found_size == n && memcmp(found, name, n) == 0) {
            s->body = body;
            s->end = end;
            s->in_section = true;
            return found_version;
        }
    }
    return 0;
}

void state_bytes_field(struct state *s, const char *name, void *data, size_t size)
{
    if (s->error || !s->in_section)
        return;
    u32 hash = name_hash(name);
    if (s->saving) {
        put_u32(s, hash);
        put_u32(s, (u32)size);
        put(s, data, size);
        if (!s->error) {
            u32 length = (u32)(s->size - s->length_at - 4);
            memcpy(s->data + s->length_at, &length, sizeof(length));
        }
        return;
    }
    for (size_t at = s->body; at < s->end;) {
        u32 length = get_u32(s, at + 4);
        if (get_u32(s, at) == hash) {
            if (length != size)
                s->error = -EBADMSG;
            else
                memcpy(data, s->data + at + 8, size);
            return;
        }
        at += 8 + length;
    }
}
