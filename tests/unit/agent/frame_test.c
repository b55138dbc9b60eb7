/*
 * Frames over a stream that may begin, break off and go on anywhere, and requests.
 */
#include "agent/request.h"

#include "unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static u64 seed = 88172645463325252ull;

static u32 below(u32 n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (u32)(seed >> 20) % n;
}

static u8 stream[1 << 20];
static u32 used;

static void put(enum frame_type type, u32 part, u32 session, const void *body, u32 length)
{
    used += frame_put(stream + used, type, part, session, body, length);
}

static void put_filler(void)
{
    memset(stream + used, 0, FRAME_FILLER);
    used += FRAME_FILLER;
}

/* Reads `count` bytes in pieces of up to `piece`; returns the number of frames and the sum of their sessions. */
static u32 read_all(struct frame_reader *reader, const u8 *bytes, u32 count, u32 piece, u32 *sum)
{
    u32 frames = 0;
    struct frame frame;
    *sum = 0;
    while (count) {
        u32 n = 1 + below(piece);
        n = n < count ? n : count;
        u32 took = (u32)frame_take(reader, bytes, n, &frame);
        CHECK(took > 0 && took <= n);
        bytes += took;
        count -= took;
        if (frame.type) {
            frames++;
            *sum += frame.session;
        }
    }
    return frames;
}

static void test_frames(void)
{
    static struct frame_reader reader;
    static u8 body[FRAME_BODY_MAX];
    struct frame frame;
    u32 sum;

    TEST("each kind has a name, a range and parts");
    for (u32 i = 1; i < FRAME_TYPES; i++) {
        const struct frame_kind *k = &frame_kinds[i];
        CHECK(k->name && k->least <= k->most && k->most <= FRAME_BODY_MAX && k->parts);
    }

    TEST("what is written is read");
    put_filler();
    memset(body, 7, sizeof(body));
    put(FRAME_DATA, STREAM_ERROR, 77, body, sizeof(body));
    u32 at = (u32)frame_take(&reader, stream, used, &frame);
    CHECK_EQ(at, used);
    CHECK(frame.type == FRAME_DATA && frame.part == STREAM_ERROR && frame.session == 77);
    CHECK(frame.length == FRAME_BODY_MAX && !memcmp(frame.body, body, sizeof(body)));

    TEST("in pieces of any size, with filler between");
    used = 0;
    for (u32 i = 0; i < 20; i++) {
        put(FRAME_DATA, 0, i + 1, body, below(200));
        if (i == 10)
            put_filler();
    }
    CHECK_EQ(read_all(&reader, stream, used, 13, &sum), 20);
    CHECK_EQ(sum, 210);

    TEST("before a filler nothing is heeded");
    memset(&reader, 0, sizeof(reader));
    CHECK_EQ(read_all(&reader, stream, used, 1000, &sum), 9);

    TEST("a frame that broke off anywhere is not heeded, and those behind the next filler are");
    memset(body, 0, sizeof(body)); /* zeros could be taken for filler */
    for (u32 cut = 1; cut < FRAME_MAX; cut += cut < 40 || cut > FRAME_MAX - 40 ? 1 : 997) {
        used = 0;
        put(FRAME_DATA, 0, 5, body, sizeof(body));
        used = cut;
        put_filler();
        put(FRAME_CLOSE, 0, 6, NULL, 0);
        CHECK_EQ(read_all(&reader, stream, used, 5000, &sum), 1);
        CHECK_EQ(sum, 6);
    }

    TEST("so are those behind anything else");
    for (u32 round = 0; round < 300; round++) {
        used = below(3000);
        for (u32 i = 0; i < used; i++)
            stream[i] = (u8)below(below(2) ? 256 : FRAME_TYPES);
        u32 garbage = used;
        read_all(&reader, stream, garbage, 100, &sum);
        used = 0;
        put_filler();
        put(FRAME_CLOSE, 0, 9, NULL, 0);
        CHECK_EQ(read_all(&reader, stream, used, 5000, &sum), 1);
        CHECK_EQ(sum, 9);
    }

    TEST("a frame that breaks the rules of its kind is not heeded");
    static const struct {
        u8 type, part;
        u32 session, length;
    } bad[] = {
        {FRAME_DATA, STREAMS, 1, 4}, {FRAME_DATA, 0, 0, 4},   {FRAME_WINDOW, 0, 1, 3}, {FRAME_PING, 0, 1, 8},
        {FRAME_EXIT, 9, 1, 1},       {FRAME_TYPES, 0, 1, 0},  {FRAME_HELLO, 0, 0, 15}, {FRAME_HELLO, 2, 0, 20},
        {FRAME_CLOSE, 0, 1, 1},      {FRAME_RESIZE, 0, 1, 5}, {200, 0, 1, 5},
    };
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        used = 0;
        put_filler();
        put(bad[i].type, bad[i].part, bad[i].session, body, bad[i].length);
        put(FRAME_CLOSE, 0, 1, NULL, 0);
        CHECK_EQ(read_all(&reader, stream, used, 5000, &sum), 0);
    }

    TEST("random changes of a stream never lose what is behind the next filler");
    for (u32 round = 0; round < 200; round++) {
        used = 0;
        put_filler();
        for (u32 i = 0; i < 20; i++)
            put(1 + below(FRAME_TYPES - 1), below(3), below(3), body, below(40));
        for (u32 i = below(20); i; i--)
            stream[FRAME_FILLER + below(used - FRAME_FILLER)] ^= (u8)(1 << below(8));
        read_all(&reader, stream, used, 100, &sum);
        used = 0;
        put_filler();
        put(FRAME_CLOSE, 0, 3, NULL, 0);
        CHECK_EQ(read_all(&reader, stream, used, 100, &sum), 1);
    }

    TEST("a hello has what was put in, and nothing of it harms a terminal");
    struct hello hello = {3, 2, 0x123456789abcdefull, "agent\033[0m 1"}, other;
    used = 0;
    put_filler();
    put(FRAME_HELLO, HELLO_FRESH, 0, body, hello_write(body, &hello));
    frame_take(&reader, stream, used, &frame);
    CHECK(frame.type == FRAME_HELLO && hello_read(&frame, &other));
    CHECK(other.version == 3 && other.oldest == 2 && other.instance == hello.instance);
    CHECK(!strcmp(other.program, "agent?[0m 1"));
}

static void test_requests(void)
{
    struct request_bytes b = {0};
    struct request r;

    TEST("a request has its fields");
    request_add_text(&b, FIELD_ARGUMENT, "ls");
    request_add_text(&b, FIELD_ARGUMENT, "");
    request_add_text(&b, FIELD_VARIABLE, "A=b=c");
    request_add_text(&b, FIELD_USER, "me");
    request_add(&b, FIELD_TERMINAL, (const u8[]){25, 0, 0, 1}, 4);
    request_add(&b, 99, "later", 5);
    request_add(&b, FIELD_INPUT, "", 0);
    CHECK(!b.failed && request_read(b.bytes, b.used, &r) == 0);
    CHECK(!strcmp(r.argument[0], "ls") && !*r.argument[1] && !r.argument[2]);
    CHECK(!strcmp(r.variable[0], "A=b=c") && !r.variable[1]);
    CHECK(!strcmp(r.user, "me") && !r.folder && r.terminal && r.rows == 25 && r.columns == 256);
    CHECK(r.input && !r.builtin);
    request_free(&r);

    TEST("it breaks off nowhere");
    for (u32 cut = 1; cut < b.used; cut++) {
        u8 *exact = malloc(cut);
        memcpy(exact, b.bytes, cut);
        if (request_read(exact, cut, &r) == 0)
            request_free(&r);
        free(exact);
    }

    TEST("random bytes are read or refused");
    for (u32 round = 0; round < 20000; round++) {
        u32 n = below(60);
        u8 *bytes = malloc(n + 1);
        for (u32 i = 0; i < n; i++)
            bytes[i] = (u8)below(below(2) ? 10 : 256);
        u8 *exact = malloc(n ? n : 1);
        memcpy(exact, bytes, n);
        int e = request_read(exact, n, &r);
        CHECK(e == 0 || e == -EINVAL);
        if (!e)
            request_free(&r);
        free(bytes);
        free(exact);
    }

    static const struct {
        enum field field;
        const char *value;
        u32 length;
    } bad[] = {{FIELD_ARGUMENT, "a\0b", 3}, {FIELD_VARIABLE, "none", 4}, {FIELD_VARIABLE, "=x", 2},
               {FIELD_USER, "", 0},         {FIELD_TERMINAL, "abc", 3},  {FIELD_BUILTIN, "", 0}};
    TEST("what is no field is refused");
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        struct request_bytes c = {0};
        request_add(&c, bad[i].field, bad[i].value, bad[i].length);
        CHECK(request_read(c.bytes, c.used, &r) < 0);
        free(c.bytes);
    }

    TEST("too many words and too many bytes are refused");
    struct request_bytes many = {0}, large = {0};
    for (u32 i = 0; i <= REQUEST_WORDS_MAX; i++)
        request_add_text(&many, FIELD_ARGUMENT, "x");
    CHECK(!many.failed && request_read(many.bytes, many.used, &r) < 0);
    char *text = malloc(REQUEST_MAX);
    memset(text, 'x', REQUEST_MAX);
    request_add(&large, FIELD_ARGUMENT, text, REQUEST_MAX);
    CHECK(large.failed);
    free(text);
    free(many.bytes);
    free(large.bytes);
    free(b.bytes);
}

int main(void)
{
    test_frames();
    test_requests();
    return TEST_END();
}
