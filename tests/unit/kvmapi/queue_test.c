/*
 * The queue of accesses to devices of the program.
 */
#include "kvmapi/queue.h"

#include <string.h>

#include "unit/test.h"

static struct api_queue q;

static bool read_at(u64 address, u64 *value)
{
    *value = 0;
    return queue_read(&q, &(struct device_access){ACCESS_MMIO, 4, false, 1, address}, value);
}

static bool write_at(u64 address, u64 value)
{
    return queue_write(&q, &(struct device_access){ACCESS_MMIO, 4, true, 1, address}, &value);
}

/* The program is shown the next access and answers. Returns the address of the access. */
static u64 serve(u64 answer)
{
    u8 *bytes;
    const struct device_access *a = queue_show(&q, &bytes);
    u64 address = a ? a->address : ~0ull;
    if (a)
        queue_done(&q, &answer);
    return address;
}

int main(void)
{
    u64 value;

    TEST("a read waits, and is answered when the instruction runs again");
    CHECK(!read_at(0x10, &value) && queue_waits(&q) && q.read);
    CHECK_EQ(serve(7), 0x10);
    CHECK(!queue_waits(&q) && !q.read);
    CHECK(read_at(0x10, &value) && value == 7);

    TEST("a second read of the same instruction is one more access; the first keeps its answer");
    CHECK(!read_at(0x14, &value));
    CHECK_EQ(serve(8), 0x14);
    CHECK(read_at(0x10, &value) && value == 7);
    CHECK(read_at(0x14, &value) && value == 8);
    queue_answered(&q);
    CHECK(!read_at(0x10, &value));
    queue_forget(&q);

    TEST("writes come in order, and before the read that waits behind them");
    CHECK(write_at(0x20, 1) && write_at(0x24, 2) && !read_at(0x28, &value));
    CHECK_EQ(serve(0), 0x20);
    CHECK_EQ(serve(0), 0x24);
    CHECK_EQ(serve(9), 0x28);
    CHECK(read_at(0x28, &value) && value == 9);
    queue_answered(&q);

    TEST("an instruction that does something else finds no answer of before");
    CHECK(!read_at(0x10, &value));
    CHECK_EQ(serve(7), 0x10);
    CHECK(!read_at(0x30, &value));
    CHECK_EQ(serve(5), 0x30);
    CHECK(read_at(0x30, &value) && value == 5);
    queue_forget(&q);

    TEST("a run of port elements is one access");
    const struct device_access run = {ACCESS_PIO, 2, false, 256, 0x1f0};
    u16 words[256], sector[256];
    for (unsigned i = 0; i < 256; i++)
        sector[i] = (u16)(i * 3);
    CHECK(!queue_read(&q, &(struct device_access){run.kind, run.size, false, run.count, run.address}, words));
    u8 *bytes;
    CHECK(queue_show(&q, &bytes)->count == 256);
    queue_done(&q, sector);
    CHECK(queue_read(&q, &(struct device_access){run.kind, run.size, false, run.count, run.address}, words));
    CHECK(!memcmp(words, sector, sizeof(sector)));
    queue_forget(&q);

    TEST("no room is no harm");
    for (unsigned i = 0; i < QUEUE_ACCESSES; i++)
        CHECK(write_at(i, i));
    CHECK(!write_at(0, 0));
    CHECK_EQ(serve(0), 0);
    return TEST_END();
}
