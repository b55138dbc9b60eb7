/*
 * Requests: see request.h. A field is its kind (1 byte), the length of its value (4 bytes) and the value.
 */
#include "agent/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_HEAD 5u

void request_append(struct request_bytes *to, const void *bytes, u32 length)
{
    if (to->failed || length > REQUEST_MAX - to->used) {
        to->failed = true;
        return;
    }
    if (to->used + length > to->size) {
        u32 size = (to->used + length) * 2;
        u8 *bigger = realloc(to->bytes, size);
        if (!bigger) {
            to->failed = true;
            return;
        }
        to->bytes = bigger;
        to->size = size;
    }
    if (length)
        memcpy(to->bytes + to->used, bytes, length);
    to->used += length;
}

void request_add(struct request_bytes *to, enum field field, const void *value, size_t length)
{
    u8 head[FIELD_HEAD] = {(u8)field};
    if (length > REQUEST_MAX) {
        to->failed = true;
        return;
    }
    put_number(head + 1, length, 4);
    request_append(to, head, sizeof(head));
    request_append(to, value, (u32)length);
}

void request_add_text(struct request_bytes *to, enum field field, const char *value)
{
    request_add(to, field, value, strlen(value));
}

/* -- reading -- */

/* Texts become strings: none has a zero byte within. */
static bool add_text(struct request *r, u32 words[2], enum field field, const char *text, size_t length)
{
    if (strlen(text) != length)
        return false;
    switch (field) {
    case FIELD_ARGUMENT:
        if (words[0] == REQUEST_WORDS_MAX)
            return false;
        r->argument[words[0]++] = (char *)text;
        return true;
    case FIELD_VARIABLE:
        if (words[1] == REQUEST_WORDS_MAX || !strchr(text, '=') || text[0] == '=')
            return false;
        r->variable[words[1]++] = (char *)text;
        return true;
    case FIELD_USER: r->user = text; return *text;
    case FIELD_FOLDER: r->folder = text; return *text;
    default: return true; /* of a later version */
    }
}

static bool read_fields(const u8 *bytes, u32 length, struct request *r)
{
    u32 words[2] = {0};
    char *text = r->text;
    for (u32 at = 0; at < length;) {
        if (length - at < FIELD_HEAD)
            return false;
        enum field field = bytes[at];
        u32 size = (u32)get_number(bytes + at + 1, 4);
        const u8 *value = bytes + at + FIELD_HEAD;
        if (size > length - at - FIELD_HEAD)
            return false;
        at += FIELD_HEAD + size;
        if (field == FIELD_TERMINAL) {
            if (size != 4)
                return false;
            r->terminal = true;
            r->rows = (u16)get_number(value, 2);
            r->columns = (u16)get_number(value + 2, 2);
        }
        r->input |= field == FIELD_INPUT;
        r->builtin |= field == FIELD_BUILTIN;
        if (field == FIELD_ARGUMENT || field == FIELD_VARIABLE || field == FIELD_USER || field == FIELD_FOLDER) {
            memcpy(text, value, size);
            text[size] = 0;
            if (!add_text(r, words, field, text, size))
                return false;
            text += size + 1;
        }
    }
    return !r->builtin || words[0];
}

int request_read(const u8 *bytes, u32 length, struct request *request)
{
    *request = (struct request){
        .argument = calloc(REQUEST_WORDS_MAX + 1, sizeof(char *)),
        .variable = calloc(REQUEST_WORDS_MAX + 1, sizeof(char *)),
        .text = malloc((size_t)length + 1), /* a field's head is longer than the zero byte of its text */
    };
    int e = !request->argument || !request->variable || !request->text ? -ENOMEM
            : read_fields(bytes, length, request)                      ? 0
                                                                       : -EINVAL;
    if (e)
        request_free(request);
    return e;
}

void request_free(struct request *request)
{
    free(request->argument);
    free(request->variable);
    free(request->text);
    *request = (struct request){0};
}
