/*
 * The saved-state stream of state.h. Little-endian, as the host is:
 *   stream  = magic u32, sections
 *   section = 'S' u8, name length u8, name, version u32, body length u32, body
 *   body    = fields: tag length u8, tag, width u32, bytes
 *
 * The thread that saves or restores a VM uses it, with the VM stopped. A load never trusts a length: the whole stream
 * is checked once, when it is opened. An error stays: after damage was found, or memory ran out, nothing more is saved
 * or loaded. Objects of bad sections keep their values.
 */
#include "bus/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_MAGIC 0x3153424eu /* "NBS1" */
#define SECTION_MARK 'S'

struct state {
    u8 *data; /* saving: owned; loading: a private copy */
    size_t size, room;
    bool saving;
    int error;
};

#define NAME_MAX_LENGTH 255

/* A section or field of a stream that is being loaded. */
struct piece {
    const char *name;
    size_t name_size;
    u32 version; /* of a section */
    size_t body, end;
};

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

static void put_name(struct state *s, const char *name)
{
    u8 length = (u8)strlen(name);
    put(s, &length, 1);
    put(s, name, length);
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

/* Reads the length of one byte and the name of that length at *at, and moves *at behind it. */
static bool name_next(const struct state *s, size_t *at, size_t end, struct piece *piece)
{
    if (end - *at < 1 || end - *at - 1 < s->data[*at])
        return false;
    piece->name_size = s->data[*at];
    piece->name = (const char *)s->data + *at + 1;
    *at += 1 + piece->name_size;
    return true;
}

/* Reads the length of the body and moves *at behind the body. */
static bool body_next(const struct state *s, size_t *at, size_t end, struct piece *piece)
{
    if (end - *at < sizeof(u32) || end - *at - sizeof(u32) < get_u32(s, *at))
        return false;
    piece->body = *at + sizeof(u32);
    piece->end = *at = piece->body + get_u32(s, *at);
    return true;
}

static bool field_next(const struct state *s, size_t *at, size_t end, struct piece *field)
{
    return name_next(s, at, end, field) && body_next(s, at, end, field);
}

static bool section_next(const struct state *s, size_t *at, struct piece *section)
{
    if (s->size - *at < 1 || s->data[*at] != SECTION_MARK)
        return false;
    ++*at;
    if (!name_next(s, at, s->size, section) || s->size - *at < sizeof(u32))
        return false;
    section->version = get_u32(s, *at);
    *at += sizeof(u32);
    return body_next(s, at, s->size, section);
}

static bool stream_sound(const struct state *s)
{
    struct piece section, field;
    if (s->size < sizeof(u32) || get_u32(s, 0) != STATE_MAGIC)
        return false;
    for (size_t at = sizeof(u32); at < s->size;) {
        if (!section_next(s, &at, &section))
            return false;
        for (size_t in = section.body; in < section.end;) {
            if (!field_next(s, &in, section.end, &field))
                return false;
        }
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
    if (!stream_sound(s))
        s->error = -EBADMSG;
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

static void section_save(struct state *s, const char *name, const struct state_layout *layout, const void *object)
{
    u32 length = 0;
    for (u32 i = 0; i < layout->fields; i++)
        length += (u32)(1 + strlen(layout->field[i].tag) + sizeof(u32) + layout->field[i].width);
    put(s, &(u8){SECTION_MARK}, 1);
    put_name(s, name);
    put_u32(s, layout->version);
    put_u32(s, length);
    for (u32 i = 0; i < layout->fields; i++) {
        const struct state_field *f = &layout->field[i];
        put_name(s, f->tag);
        put_u32(s, f->width);
        put(s, (const u8 *)object + f->offset, f->width);
    }
}

static bool is_named(const struct piece *piece, const char *name)
{
    return piece->name_size == strlen(name) && memcmp(piece->name, name, piece->name_size) == 0;
}

static bool section_find(const struct state *s, const char *name, struct piece *section)
{
    for (size_t at = sizeof(u32); at < s->size && section_next(s, &at, section);) {
        if (is_named(section, name))
            return true;
    }
    return false;
}

static bool field_find(const struct state *s, const struct piece *section, const char *tag, struct piece *field)
{
    for (size_t at = section->body; at < section->end && field_next(s, &at, section->end, field);) {
        if (is_named(field, tag))
            return true;
    }
    return false;
}

/* All widths are checked before the first change. */
static void section_load(struct state *s, const struct piece *section, const struct state_layout *layout, u8 *object)
{
    struct piece found;
    for (u32 i = 0; i < layout->fields; i++) {
        const struct state_field *f = &layout->field[i];
        if (field_find(s, section, f->tag, &found) && found.end - found.body != f->width)
            s->error = -EBADMSG;
    }
    for (u32 i = 0; i < layout->fields && !s->error; i++) {
        const struct state_field *f = &layout->field[i];
        if (!field_find(s, section, f->tag, &found))
            continue;
        memcpy(object + f->offset, s->data + found.body, f->width);
        for (u32 b = 0; f->is_bool && b < f->width; b++)
            object[f->offset + b] = s->data[found.body + b] != 0;
    }
}

u32 state_section(struct state *s, const char *name, const char *part, const struct state_layout *layout, void *object)
{
    char full[NAME_MAX_LENGTH + 1];
    struct piece section;
    snprintf(full, sizeof(full), "%s%s%s", name, part ? "." : "", part ? part : "");
    if (s->error)
        return 0;
    if (s->saving) {
        section_save(s, full, layout, object);
        return s->error ? 0 : layout->version;
    }
    if (!section_find(s, full, &section))
        return 0;
    if (section.version > layout->version)
        s->error = -EPROTO;
    else
        section_load(s, &section, layout, object);
    return s->error ? 0 : section.version;
}
