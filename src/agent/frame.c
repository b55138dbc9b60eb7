/*
 * Frames: see frame.h. Anything may come in, from a guest and, to the agent, from whoever got hold of the port: a frame
 * that is not as its row says makes the reader lose its place, and nothing is heeded until the next filler.
 */
#include "agent/frame.h"

#include <string.h>

#define HELLO_FIXED 16u

const struct frame_kind frame_kinds[FRAME_TYPES] = {
    [FRAME_HELLO] = {"hello", false, HELLO_FIXED, HELLO_FIXED + 32, 2},
    [FRAME_PING] = {"ping", false, 8, 8, 1},
    [FRAME_PONG] = {"pong", false, 8, 8, 1},
    [FRAME_OPEN] = {"open", true, 0, FRAME_BODY_MAX, 2},
    [FRAME_DATA] = {"data", true, 0, FRAME_BODY_MAX, STREAMS},
    [FRAME_WINDOW] = {"window", true, 4, 4, STREAMS},
    [FRAME_RESIZE] = {"resize", true, 4, 4, 1},
    [FRAME_SIGNAL] = {"signal", true, 1, 1, 1},
    [FRAME_EXIT] = {"exit", true, 1, 1024, EXIT_KINDS},
    [FRAME_CLOSE] = {"close", true, 0, 0, 1},
};

u32 frame_put(u8 *to, enum frame_type type, u32 part, u32 session, const void *body, u32 length)
{
    to[0] = (u8)type;
    to[1] = (u8)part;
    put_number(to + 2, length, 2);
    put_number(to + 4, session, 4);
    if (length && body != to + FRAME_HEAD)
        memcpy(to + FRAME_HEAD, body, length);
    to[FRAME_HEAD + length] = FRAME_END;
    return FRAME_HEAD + length + 1;
}

/* -- reading -- */

static bool head_read(const u8 *bytes, struct frame *frame)
{
    frame->type = bytes[0];
    frame->part = bytes[1];
    frame->length = (u16)get_number(bytes + 2, 2);
    frame->session = (u32)get_number(bytes + 4, 4);
    frame->body = bytes + FRAME_HEAD;
    if (frame->type == FRAME_FILL || frame->type >= FRAME_TYPES)
        return false;
    const struct frame_kind *kind = &frame_kinds[frame->type];
    return frame->part < kind->parts && frame->length >= kind->least && frame->length <= kind->most &&
           kind->session == (frame->session != 0);
}

/* Skips what cannot be understood, up to the end of a filler. Returns how many bytes were taken. */
static size_t skip(struct frame_reader *reader, const u8 *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!bytes[i]) {
            reader->zeros += reader->zeros < FRAME_MAX;
        } else if (reader->zeros == FRAME_MAX) {
            reader->found = true;
            reader->used = 0;
            return i;
        } else {
            reader->zeros = 0;
        }
    }
    return length;
}

static void lose(struct frame_reader *reader)
{
    reader->found = false;
    reader->zeros = 0;
}

/* Fills the reader up to `until` bytes. Returns how many were taken. */
static size_t fill(struct frame_reader *reader, const u8 *bytes, size_t length, u32 until)
{
    u32 wanted = until - reader->used;
    size_t take = wanted < length ? wanted : length;
    memcpy(reader->bytes + reader->used, bytes, take);
    reader->used += (u32)take;
    return take;
}

size_t frame_take(struct frame_reader *reader, const u8 *bytes, size_t length, struct frame *frame)
{
    size_t at = 0;
    frame->type = FRAME_FILL;
    while (at < length) {
        if (!reader->found) {
            at += skip(reader, bytes + at, length - at);
            continue;
        }
        if (!reader->used && bytes[at] == FRAME_FILL) {
            at++;
            continue;
        }
        if (reader->used < FRAME_HEAD) {
            at += fill(reader, bytes + at, length - at, FRAME_HEAD);
            if (reader->used == FRAME_HEAD && !head_read(reader->bytes, frame))
                lose(reader);
            frame->type = FRAME_FILL;
            continue;
        }
        u32 whole = FRAME_HEAD + (u32)get_number(reader->bytes + 2, 2) + 1;
        at += fill(reader, bytes + at, length - at, whole);
        if (reader->used < whole)
            break;
        reader->used = 0;
        if (reader->bytes[whole - 1] != FRAME_END) {
            lose(reader);
            continue;
        }
        head_read(reader->bytes, frame);
        break;
    }
    return at;
}

/* -- bodies -- */

u32 hello_write(u8 *body, const struct hello *hello)
{
    u32 length = (u32)strnlen(hello->program, sizeof(hello->program) - 1);
    put_number(body, hello->version, 4);
    put_number(body + 4, hello->oldest, 4);
    put_number(body + 8, hello->instance, 8);
    memcpy(body + HELLO_FIXED, hello->program, length);
    return HELLO_FIXED + length;
}

bool hello_read(const struct frame *frame, struct hello *hello)
{
    *hello = (struct hello){
        .version = (u32)get_number(frame->body, 4),
        .oldest = (u32)get_number(frame->body + 4, 4),
        .instance = get_number(frame->body + 8, 8),
    };
    for (u32 i = HELLO_FIXED; i < frame->length; i++) /* it is printed */
        hello->program[i - HELLO_FIXED] = frame->body[i] >= ' ' && frame->body[i] < 127 ? (char)frame->body[i] : '?';
    return hello->oldest <= hello->version;
}
