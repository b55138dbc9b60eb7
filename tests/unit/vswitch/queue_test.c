/*
 * The queue of a port: order, turns of the lanes, promised bandwidth, room, and bytes that are taken piece by piece.
 */
#include "vswitch/queue.h"

#include "unit/test.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static struct queue_pool pool;
static struct queue *q;

static void fresh(void)
{
    queue_free(q);
    queue_pool_free(&pool);
    q = queue_new(&pool);
    if (!q)
        abort();
}

/* A frame that says who sent it and its number. */
static void add(u32 sender, u64 promised, u32 length, u32 number)
{
    u8 *place = queue_add(q, sender, promised, length);
    if (!place)
        abort();
    memset(place, (int)number, length);
    place[0] = (u8)sender;
}

/* Takes one frame. Returns its sender, and its number in `number`. */
static u32 take(u32 *number)
{
    u32 length;
    const u8 *frame = queue_frame(q, &length);
    if (!frame)
        return ~0u;
    u32 sender = frame[0];
    *number = length > 1 ? frame[1] : 0;
    queue_taken(q, QUEUE_PREFIX + length);
    return sender;
}

/* Two senders that always have frames: takes `total` bytes and returns which part was of sender 1. */
static double compete(u64 promised, u32 length1, u32 length2, u64 total, u64 ns_per_byte)
{
    u64 of_one = 0, taken = 0;
    s64 waiting[3] = {0};
    fresh();
    while (taken < total) {
        for (u32 sender = 1; sender <= 2; sender++) {
            u32 size = sender == 1 ? length1 : length2;
            for (; waiting[sender] < 256 << 10; waiting[sender] += size)
                add(sender, sender == 1 ? promised : 0, size, 0);
        }
        u32 length;
        const u8 *frame = queue_frame(q, &length);
        waiting[frame[0]] -= length;
        of_one += frame[0] == 1 ? length : 0;
        taken += length;
        pool.now_ns += length * ns_per_byte;
        queue_taken(q, QUEUE_PREFIX + length);
    }
    return (double)of_one / (double)taken;
}

int main(void)
{
    u32 number;
    struct iovec piece[8];

    TEST("frames of a sender keep their order, and their bytes");
    fresh();
    for (u32 i = 0; i < 200; i++)
        add(7, 0, 1000 + i, i);
    bool ordered = true;
    for (u32 i = 0; i < 200; i++)
        ordered &= take(&number) == 7 && number == i;
    CHECK(ordered);
    CHECK(take(&number) == ~0u && !q->bytes && !q->lanes && !q->out_bytes);

    TEST("a frame longer than a chunk has one for itself");
    fresh();
    add(1, 0, 60, 1);
    add(1, 0, 65553, 2);
    add(1, 0, 60, 3);
    CHECK(take(&number) == 1 && number == 1);
    CHECK(take(&number) == 1 && number == 2);
    CHECK(take(&number) == 1 && number == 3);

    TEST("a stream has the length before each frame, and may be taken in any pieces");
    fresh();
    u8 expected[8192], got[8192];
    u32 size = 0, at = 0;
    for (u32 i = 0; i < 40; i++) {
        u32 length = 20 + i * 7;
        add(3, 0, length, i);
        memcpy(expected + size, &(u32){htonl(length)}, 4);
        memset(expected + size + 4, (int)i, length);
        expected[size + 4] = 3;
        size += 4 + length;
    }
    for (u32 step = 1; queue_bytes(q, piece, 1); step = step % 61 + 1) {
        u32 n = piece[0].iov_len < step ? (u32)piece[0].iov_len : step;
        memcpy(got + at, piece[0].iov_base, n);
        queue_taken(q, n);
        at += n;
    }
    CHECK_EQ(at, size);
    CHECK(!memcmp(got, expected, size));

    TEST("what was shown keeps its place when another lane gets something");
    fresh();
    add(1, 0, 500, 1);
    CHECK_EQ(queue_bytes(q, piece, 8), 1);
    queue_taken(q, 100);
    add(2, 0, 500, 9);
    CHECK_EQ(queue_bytes(q, piece, 8), 2);
    CHECK(piece[0].iov_len == 404 && ((u8 *)piece[0].iov_base)[0] == 1);

    TEST("clearing counts frames that are not taken, or not whole");
    u64 bytes = 0;
    CHECK_EQ(queue_clear(q, &bytes), 2);
    CHECK_EQ(bytes, 1000);
    for (u32 i = 0; i < 10; i++)
        add(1, 0, 100, i);
    queue_bytes(q, piece, 8);
    queue_taken(q, 2 * 104 + 4);
    bytes = 0;
    CHECK_EQ(queue_clear(q, &bytes), 8);
    CHECK_EQ(bytes, 800);
    CHECK(!q->bytes && !q->lanes && !queue_bytes(q, piece, 8));

    TEST("lanes take turns whatever the length of their frames");
    double part = compete(0, 60, 1500, 20 << 20, 0);
    CHECK(part > 0.47 && part < 0.53);
    part = compete(0, 40000, 60, 20 << 20, 0);
    CHECK(part > 0.47 && part < 0.53);

    TEST("a sender that floods does not delay another one's frame for long");
    fresh();
    while (queue_has_room(q, 1, 1500))
        add(1, 0, 1500, 0);
    add(2, 0, 100, 5);
    u32 before = 0;
    while (take(&number) == 1)
        before++;
    CHECK(number == 5 && before <= 3 * (32 << 10) / 1500);

    TEST("a lane gets what it was promised, and its share of the rest");
    /* A byte takes 1 ns: 8 Gbit/s. Six are promised, and half of two. */
    part = compete(6000000000ull, 1500, 1500, 400 << 20, 1);
    CHECK(part > 0.86 && part < 0.89);

    TEST("a promise that is more than there is goes first, and nobody stops");
    part = compete(100000000000ull, 1500, 1500, 20 << 20, 1);
    CHECK(part > 0.90);

    TEST("each sender has room for its share of a full queue, and one frame");
    fresh();
    while (queue_has_room(q, 1, 1000))
        add(1, 0, 1000, 0);
    CHECK(q->bytes <= QUEUE_BYTES && q->bytes > QUEUE_BYTES - 1004);
    while (queue_has_room(q, 2, 1000))
        add(2, 0, 1000, 0);
    CHECK(q->bytes <= QUEUE_BYTES / 2 * 3);
    for (u32 sender = 3; sender < QUEUE_SENDERS; sender++) {
        while (queue_has_room(q, sender, 1000))
            add(sender, 0, 1000, 0);
        CHECK(q->lane[sender]);
    }
    CHECK(q->bytes <= 8 * QUEUE_BYTES);

    TEST("a sender with a promise has room for more");
    fresh();
    add(2, 80000000, 1000, 0);
    while (queue_has_room(q, 1, 1000))
        add(1, 0, 1000, 0);
    u32 of_one = q->bytes;
    while (queue_has_room(q, 2, 1000))
        add(2, 80000000, 1000, 0);
    CHECK(q->bytes - of_one > QUEUE_BYTES / 2 + 1000000 - 2010);
    CHECK(q->bytes - of_one <= QUEUE_BYTES / 2 + 1000000);

    TEST("nothing is lost or reordered under random use");
    fresh();
    u32 seed = 1, next[8] = {0}, seen[8] = {0};
    bool right = true;
    for (u32 i = 0; i < 300000; i++) {
        seed = seed * 1664525 + 1013904223;
        u32 sender = seed >> 29, length = 2 + (seed >> 12) % (seed >> 8 & 15 ? 200 : 40000);
        if (seed >> 4 & 1 && q->bytes < 4 * QUEUE_BYTES) {
            add(sender, sender == 3 ? 1000000 : 0, length, (u8)next[sender]++);
        } else if ((sender = take(&number)) != ~0u) {
            right &= number == (u8)seen[sender]++;
        }
        pool.now_ns += 1000;
    }
    for (u32 sender; (sender = take(&number)) != ~0u;)
        right &= number == (u8)seen[sender]++;
    CHECK(right && !memcmp(next, seen, sizeof(next)));
    CHECK(!q->bytes && !q->lanes && !q->promised);

    queue_free(q);
    queue_pool_free(&pool);
    return TEST_END();
}
