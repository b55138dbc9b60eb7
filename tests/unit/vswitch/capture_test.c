/*
 * Captures: the bytes of each block as the draft of pcapng defines them, which frames are in, and a reader that is slow
 * or goes away. The switch is a fake one that remembers its hook and its watch.
 */
#include "unit/test.h"
#include "vswitch/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct vswitch {
    struct tap_hook *hook;
    struct watch *watch;
    u32 events;
    bool refuses;
    struct port *port;
};

int vswitch_watch(struct vswitch *sw, struct watch *watch, u32 events)
{
    if (sw->refuses)
        return -ENOMEM;
    sw->watch = watch;
    sw->events = events;
    return 0;
}
void vswitch_unwatch(struct vswitch *sw, struct watch *watch)
{
    sw->watch = NULL;
}
void vswitch_hook(struct vswitch *sw, struct tap_hook *hook)
{
    sw->hook = hook;
}
void vswitch_unhook(struct vswitch *sw, struct tap_hook *hook)
{
    sw->hook = NULL;
}
struct port *vswitch_port_find(struct vswitch *sw, const char *id)
{
    return strcmp(sw->port->id, id) ? NULL : sw->port;
}

/* A switch with one port, a capture, and the bytes that its reader got. */
struct bench {
    struct vswitch sw;
    struct port port;
    struct captures captures;
    int reader;
    u8 *got;
    size_t length;
};

enum { GOT_MAX = 8 << 20 };

static struct bench *bench_create(const char *id, bool drops)
{
    struct bench *b = calloc(1, sizeof(*b));
    struct error error;
    int pair[2];
    b->port = (struct port){.id = "00000001", .vm = "lab", .name = "net0", .index = 3, .mac = {{2, 0, 0, 0, 0, 1}}};
    b->sw.port = &b->port;
    b->got = malloc(GOT_MAX);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    b->reader = pair[1];
    CHECK_EQ(capture_start(&b->captures, &b->sw, pair[0], id, drops, &error), 0);
    return b;
}

static void bench_free(struct bench *b)
{
    captures_end(&b->captures);
    CHECK(!b->sw.hook && !b->sw.watch);
    if (b->reader >= 0)
        close(b->reader);
    free(b->got);
    free(b);
}

static void seen(struct bench *b, bool from_port, enum drop drop, const void *frame, u32 length)
{
    b->sw.hook->seen(b->sw.hook, &b->port, from_port, drop, frame, length);
}

/* A round of the switch's loop, and of the reader. Returns false if nothing was written. */
static bool round_run(struct bench *b)
{
    if (b->sw.watch && b->sw.events & EPOLLOUT)
        b->sw.watch->ready(b->sw.watch, EPOLLOUT);
    ssize_t n = recv(b->reader, b->got + b->length, GOT_MAX - b->length, 0);
    b->length += n > 0 ? (size_t)n : 0;
    return n > 0;
}

static void drain(struct bench *b)
{
    while (round_run(b))
        ;
}

struct block {
    u32 type, length;
    const u8 *body;
};

/* The next block from `at`, which goes behind it. Both lengths of the block are checked. */
static bool block_next(const struct bench *b, size_t *at, struct block *block)
{
    u32 again;
    if (*at + 12 > b->length)
        return false;
    memcpy(&block->type, b->got + *at, 4);
    memcpy(&block->length, b->got + *at + 4, 4);
    if (block->length < 12 || block->length % 4 || *at + block->length > b->length)
        return false;
    memcpy(&again, b->got + *at + block->length - 4, 4);
    block->body = b->got + *at + 8;
    *at += block->length;
    return again == block->length;
}

static u32 word(const struct block *block, u32 n)
{
    u32 value;
    memcpy(&value, block->body + n * 4, 4);
    return value;
}

/* The option of that code, from offset `from` of the body. Returns its length, or -1. */
static int option_find(const struct block *block, u32 from, u16 code, const u8 **value)
{
    while (from + 4 <= block->length - 12) {
        u16 head[2];
        memcpy(head, block->body + from, 4);
        *value = block->body + from + 4;
        if (head[0] == code)
            return head[1];
        if (head[0] == 0)
            break;
        from += 4 + ((head[1] + 3u) & ~3u);
    }
    return -1;
}

enum { SECTION = 0x0a0d0d0a, INTERFACE = 1, STATISTICS = 5, PACKET = 6 };

static const u8 frame[61] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 6, 0xaa};

static void test_blocks(void)
{
    TEST("a section, an interface, packets with their directions");
    struct bench *b = bench_create(NULL, false);
    struct block block;
    const u8 *value = NULL;
    size_t at = 0;
    seen(b, true, DROP_NONE, frame, sizeof(frame));
    seen(b, false, DROP_NONE, frame, 60);
    drain(b);
    CHECK(block_next(b, &at, &block) && block.type == SECTION);
    CHECK_EQ(word(&block, 0), 0x1a2b3c4d);
    CHECK_EQ(word(&block, 1), 1);
    CHECK(word(&block, 2) == ~0u && word(&block, 3) == ~0u);
    CHECK(block_next(b, &at, &block) && block.type == INTERFACE);
    CHECK_EQ(word(&block, 0), 1);
    CHECK(option_find(&block, 8, 2, &value) == 8 && !memcmp(value, "lab/net0", 8));
    CHECK(option_find(&block, 8, 6, &value) == 6 && !memcmp(value, b->port.mac.byte, 6));
    CHECK(option_find(&block, 8, 9, &value) == 1 && *value == 9);
    CHECK(block_next(b, &at, &block) && block.type == PACKET);
    CHECK_EQ(word(&block, 0), 0);
    CHECK_EQ(word(&block, 3), sizeof(frame));
    CHECK_EQ(word(&block, 4), sizeof(frame));
    CHECK(!memcmp(block.body + 20, frame, sizeof(frame)));
    CHECK(option_find(&block, 20 + 64, 2, &value) == 4 && *value == 1);
    CHECK_EQ(option_find(&block, 20 + 64, 1, &value), -1);
    CHECK(block_next(b, &at, &block) && block.type == PACKET);
    CHECK(option_find(&block, 20 + 60, 2, &value) == 4 && *value == 2);
    CHECK_EQ(at, b->length);
    bench_free(b);
}

static void test_drops(void)
{
    TEST("a drop has a comment with reason, card and remedy");
    struct bench *b = bench_create(NULL, true);
    struct block block;
    const u8 *value = NULL;
    size_t at = 0;
    seen(b, true, DROP_NONE, frame, sizeof(frame));
    seen(b, true, DROP_SPOOFED, frame, sizeof(frame));
    drain(b);
    CHECK(block_next(b, &at, &block) && block.type == SECTION);
    CHECK(block_next(b, &at, &block) && block.type == INTERFACE);
    CHECK(block_next(b, &at, &block) && block.type == PACKET);
    char comment[512] = "";
    int length = option_find(&block, 20 + 64, 1, &value);
    if (length > 0)
        memcpy(comment, value, (size_t)length);
    CHECK(strstr(comment, drop_rows[DROP_SPOOFED].name) == comment);
    CHECK(strstr(comment, drop_rows[DROP_SPOOFED].meaning));
    CHECK(strstr(comment, "lab/net0"));
    CHECK(!block_next(b, &at, &block));
    bench_free(b);

    TEST("each reason fits");
    b = bench_create(NULL, true);
    for (enum drop drop = DROP_NONE + 1; drop < DROPS; drop++)
        seen(b, true, drop, frame, sizeof(frame));
    memset(b->port.vm, 'v', sizeof(b->port.vm) - 1);
    memset(b->port.name, 'n', sizeof(b->port.name) - 1);
    for (enum drop drop = DROP_NONE + 1; drop < DROPS; drop++)
        seen(b, true, drop, frame, sizeof(frame));
    drain(b);
    unsigned packets = 0;
    for (at = 0; block_next(b, &at, &block);)
        packets += block.type == PACKET && option_find(&block, 20 + 64, 1, &value) > 0;
    CHECK_EQ(packets, 2 * (DROPS - 1));
    bench_free(b);
}

static void test_ports(void)
{
    TEST("one port only");
    struct bench *b = bench_create("00000001", false);
    struct block block;
    size_t at = 0;
    struct port other = {.id = "00000002", .index = 1};
    b->sw.hook->seen(b->sw.hook, &other, true, DROP_NONE, frame, sizeof(frame));
    drain(b);
    CHECK(block_next(b, &at, &block) && block.type == SECTION);
    CHECK_EQ(at, b->length);
    bench_free(b);

    TEST("a port that takes the index of another is another interface; ports that are no cards have their id as name");
    b = bench_create(NULL, false);
    const u8 *value = NULL;
    at = 0;
    seen(b, true, DROP_NONE, frame, sizeof(frame));
    b->port = (struct port){.id = "outside", .index = 3};
    seen(b, true, DROP_NONE, frame, sizeof(frame));
    drain(b);
    for (u32 n = 0; n < 5; n++)
        CHECK(block_next(b, &at, &block));
    CHECK(block.type == PACKET && word(&block, 0) == 1);
    at = 0;
    for (u32 n = 0; n < 4; n++)
        CHECK(block_next(b, &at, &block));
    CHECK(block.type == INTERFACE && option_find(&block, 8, 2, &value) == 7 && !memcmp(value, "outside", 7));
    CHECK_EQ(option_find(&block, 8, 6, &value), -1);
    bench_free(b);

    TEST("a port that does not exist is refused, and so is a reader that cannot be watched");
    struct port port = {.id = "x"};
    struct vswitch sw = {.port = &port};
    struct captures captures = {NULL};
    struct error error;
    CHECK_EQ(capture_start(&captures, &sw, -1, "y", false, &error), -ENOENT);
    sw.refuses = true;
    CHECK_EQ(capture_start(&captures, &sw, -1, "x", false, &error), -ENOMEM);
    CHECK(!captures.first && !sw.hook);
}

static void test_slow(void)
{
    TEST("a reader that is slow loses frames, which are counted, and never half a block");
    struct bench *b = bench_create(NULL, false);
    static u8 large[9001];
    enum { SENT = 2000 };
    for (u32 i = 0; i < SENT; i++) {
        memcpy(large, &i, sizeof(i));
        seen(b, true, DROP_NONE, large, 1 + i * 4 % sizeof(large));
        if (i % 4 == 0)
            round_run(b);
        if (b->length > CAPTURE_BUFFER)
            break;
    }
    for (u32 i = 0; i < SENT; i++)
        seen(b, true, DROP_NONE, large, 1 + i * 4 % sizeof(large));
    drain(b);
    struct block block;
    const u8 *value = NULL;
    size_t at = 0;
    u64 packets = 0, received = 0, lost = 0;
    while (block_next(b, &at, &block)) {
        packets += block.type == PACKET;
        if (block.type != STATISTICS)
            continue;
        CHECK_EQ(word(&block, 0), 0);
        CHECK(option_find(&block, 12, 4, &value) == 8);
        memcpy(&received, value, 8);
        CHECK(option_find(&block, 12, 5, &value) == 8);
        memcpy(&lost, value, 8);
    }
    CHECK_EQ(at, b->length);
    CHECK(lost > 0);
    CHECK_EQ(packets + lost, received);
    CHECK_EQ(b->sw.events, 0);
    bench_free(b);
}

static void test_ends(void)
{
    TEST("a reader that goes away ends the capture");
    struct bench *b = bench_create(NULL, false);
    b->sw.watch->ready(b->sw.watch, EPOLLHUP);
    CHECK(!b->sw.hook && !b->sw.watch && !b->captures.first);
    bench_free(b);

    TEST("so does a socket that cannot be written");
    b = bench_create(NULL, false);
    close(b->reader);
    b->reader = -1;
    seen(b, true, DROP_NONE, frame, sizeof(frame));
    b->sw.watch->ready(b->sw.watch, EPOLLOUT);
    CHECK(!b->sw.hook && !b->sw.watch && !b->captures.first);
    bench_free(b);

    TEST("what is left is written when the switch ends");
    b = bench_create(NULL, false);
    seen(b, true, DROP_NONE, frame, sizeof(frame));
    captures_end(&b->captures);
    struct block block;
    size_t at = 0;
    drain(b);
    CHECK(block_next(b, &at, &block) && block_next(b, &at, &block) && block_next(b, &at, &block));
    CHECK_EQ(block.type, PACKET);
    bench_free(b);
}

int main(void)
{
    test_blocks();
    test_drops();
    test_ports();
    test_slow();
    test_ends();
    return TEST_END();
}
