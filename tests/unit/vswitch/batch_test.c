/*
 * When the thread of a switch is a batch job to the kernel, on a clock that the test moves.
 */
#include "vswitch/batch.h"

#include "unit/test.h"

#include <sched.h>

static struct loop loop;
static struct batch batch;

/* A window with so many turns, each after a sleep and with so many frames. Its end is seen by the turn after it, which
 * has none. */
static int after(u32 turns, u32 frames)
{
    for (u32 i = 0; i < turns; i++) {
        loop_clock(&loop, loop.now_ns + BATCH_WINDOW_NS / (turns + 1));
        batch.frames += frames;
        batch_turn(&batch, true);
    }
    loop_clock(&loop, batch.end_ns);
    batch_turn(&batch, false);
    return sched_getscheduler(0);
}

int main(void)
{
    const struct sched_param none = {0};
    if (loop_init(&loop))
        return 1;
    batch_init(&batch, &loop);
    after(0, 0);

    TEST("many frames at once make it a batch job");
    CHECK_EQ(after(BATCH_FRAMES / BATCH_TOGETHER, BATCH_TOGETHER), SCHED_BATCH);
    CHECK_EQ(after(BATCH_FRAMES / BATCH_TOGETHER, BATCH_TOGETHER), SCHED_BATCH);

    TEST("it goes off at times to see whether it is still wanted");
    u32 windows = 2;
    while (after(BATCH_FRAMES / BATCH_TOGETHER, BATCH_TOGETHER) == SCHED_BATCH)
        windows++;
    CHECK_EQ(windows, BATCH_WINDOWS);
    CHECK_EQ(after(BATCH_FRAMES / BATCH_TOGETHER, BATCH_TOGETHER), SCHED_BATCH);
    CHECK_EQ(after(1, BATCH_FRAMES), SCHED_BATCH); /* many at once, as it should be */

    TEST("one that finds many frames at once anyway is no batch job");
    CHECK_EQ(after(1, 0), SCHED_OTHER);
    CHECK_EQ(after(BATCH_FRAMES / BATCH_ENOUGH + 1, BATCH_ENOUGH), SCHED_OTHER);

    TEST("requests and answers one by one do not, as fast as they may be");
    CHECK_EQ(after(10 * BATCH_FRAMES, 1), SCHED_OTHER);

    TEST("few frames do not");
    CHECK_EQ(after(1, BATCH_FRAMES - 1), SCHED_OTHER);

    TEST("a switch that has nothing more to carry is an ordinary process again, and sleeps without an alarm");
    CHECK_EQ(after(BATCH_FRAMES / BATCH_TOGETHER, BATCH_TOGETHER), SCHED_BATCH);
    CHECK_EQ(batch.calm.at_ns, batch.end_ns);
    loop_clock(&loop, batch.end_ns);
    loop_ring(&loop);
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    CHECK_EQ(batch.calm.at_ns, 0);

    TEST("a policy of the user's choice stays");
    CHECK_EQ(sched_setscheduler(0, SCHED_BATCH, &none), 0);
    batch_init(&batch, &loop);
    CHECK_EQ(after(1, 1), SCHED_BATCH);
    CHECK_EQ(after(BATCH_FRAMES / BATCH_TOGETHER, BATCH_TOGETHER), SCHED_BATCH);
    CHECK_EQ(after(1, 1), SCHED_BATCH);
    loop_free(&loop);
    return TEST_END();
}
