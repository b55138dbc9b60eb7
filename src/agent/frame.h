/*
 * What goes over the stream between the host and `nestbox-agent` in the guest: frames, as docs/agent.md has them. A
 * frame is 8 bytes (type, part, length of the body, number of the session), the body, and the byte FRAME_END.
 *
 * A stream may begin anywhere: a virtio-serial port goes on when either program is started anew. So whoever begins
 * sends FRAME_FILLER zero bytes first. They end a frame that the other side has half of, without FRAME_END, so that it
 * is not heeded; then more zero bytes follow than any frame could have, by which a reader that lost its place finds it.
 * Both sides use this file; it keeps no state but the reader's.
 */
#ifndef AGENT_FRAME_H
#define AGENT_FRAME_H

#include "base/types.h"

#define AGENT_VERSION 1u /* of the protocol */
#define AGENT_PORT "org.nestbox.agent.0"
#define AGENT_VSOCK_PORT 900u /* below 1024: not for everybody in the guest */

#define FRAME_HEAD 8u
#define FRAME_BODY_MAX 16384u
#define FRAME_MAX (FRAME_HEAD + FRAME_BODY_MAX + 1)
#define FRAME_FILLER (2 * FRAME_MAX)
#define FRAME_END 0xa5

/* Bytes of a stream that may be under way before the receiver has granted more by FRAME_WINDOW. */
#define STREAM_WINDOW (256u << 10)
#define STREAM_GRANT (STREAM_WINDOW / 4) /* how many are granted at once */

enum frame_type {
    FRAME_FILL, /* one zero byte */
    FRAME_HELLO,
    FRAME_PING,
    FRAME_PONG,
    FRAME_OPEN,
    FRAME_DATA,
    FRAME_WINDOW,
    FRAME_RESIZE,
    FRAME_SIGNAL,
    FRAME_EXIT,
    FRAME_CLOSE,
    FRAME_TYPES,
};

/* The part of FRAME_HELLO: the sender has no sessions. */
#define HELLO_FRESH 1u
/* The part of FRAME_OPEN: the request goes on in the next one. */
#define OPEN_MORE 1u
/* The part of FRAME_DATA and FRAME_WINDOW. Data without bytes is the end of the stream. */
enum stream { STREAM_IN, STREAM_OUT, STREAM_ERROR, STREAMS };
/* The part of FRAME_EXIT. The body is a number, and with EXIT_FAILED text. */
enum exit_kind { EXIT_CODE, EXIT_SIGNAL, EXIT_FAILED, EXIT_KINDS };

struct frame_kind {
    const char *name;
    bool session; /* it belongs to one: the number is not 0 */
    u16 least, most;
    u8 parts; /* the part is less than that */
};

extern const struct frame_kind frame_kinds[FRAME_TYPES];

struct frame {
    u8 type, part;
    u16 length;
    u32 session;
    const u8 *body; /* valid until the reader is used again */
};

struct frame_reader {
    u8 bytes[FRAME_MAX];
    u32 used;
    u32 zeros;  /* in a row, while it is lost */
    bool found; /* it knows where frames begin; a zeroed reader does not */
};

/* Writes a frame, whose body may be there already. Returns how many bytes it has. */
u32 frame_put(u8 *to, enum frame_type type, u32 part, u32 session, const void *body, u32 length);
/* Takes bytes until a frame is whole, and returns how many. `frame->type` is FRAME_FILL if none is. */
size_t frame_take(struct frame_reader *reader, const u8 *bytes, size_t length, struct frame *frame);

/* -- bodies -- */

struct hello {
    u32 version, oldest; /* of the protocol: the newest and the oldest that the sender speaks */
    u64 instance;        /* another number each time that the program starts */
    char program[33];    /* "nestbox-agent 0.1" */
};

u32 hello_write(u8 *body, const struct hello *hello);
bool hello_read(const struct frame *frame, struct hello *hello);

static inline void put_number(u8 *to, u64 value, u32 bytes)
{
    for (u32 i = 0; i < bytes; i++)
        to[i] = (u8)(value >> 8 * i);
}

static inline u64 get_number(const u8 *from, u32 bytes)
{
    u64 value = 0;
    for (u32 i = 0; i < bytes; i++)
        value |= (u64)from[i] << 8 * i;
    return value;
}

#endif
