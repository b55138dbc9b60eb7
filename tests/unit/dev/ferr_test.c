/*
 * FERR#, IRQ 13 and IGNNE#.
 */
#include "dev/ferr.h"
#include "unit/fake_board.h"
#include "unit/test.h"

struct bench {
    struct fake_line line;
    bool ignne;
    struct ferr ferr;
};

static void ignne(void *opaque, bool level)
{
    ((struct bench *)opaque)->ignne = level;
}

static struct bench *bench_create(void)
{
    struct bench *b = fresh(sizeof(*b));
    ferr_init(&b->ferr, &(struct irq){fake_line_set, &b->line, 0}, ignne, b);
    return b;
}

static void acknowledge(struct bench *b)
{
    ferr_ops.write(&b->ferr, 0, 0, 1);
}

int main(void)
{
    TEST("the port has no effect before an error");
    struct bench *b = bench_create();
    acknowledge(b);
    CHECK(!b->ignne && !b->line.rises);

    TEST("an error interrupts; the port ends that and asserts IGNNE#, until the error is gone");
    ferr_set(&b->ferr, true);
    CHECK(b->line.level && !b->ignne);
    acknowledge(b);
    CHECK(!b->line.level && b->ignne);
    acknowledge(b);
    CHECK(b->ignne);
    ferr_set(&b->ferr, false);
    CHECK(!b->ignne);
    ferr_set(&b->ferr, true);
    CHECK_EQ(b->line.rises, 2);

    TEST("the interrupt waits for the port, whatever becomes of the error");
    ferr_set(&b->ferr, false);
    CHECK(b->line.level);
    acknowledge(b);
    CHECK(!b->line.level && !b->ignne);

    TEST("FERR# of several CPUs is one line");
    ferr_set(&b->ferr, true);
    ferr_set(&b->ferr, true);
    CHECK_EQ(b->line.rises, 3);
    acknowledge(b);
    ferr_set(&b->ferr, false);
    CHECK(b->ignne);

    TEST("saved and loaded: IGNNE# stays until the CPU drives FERR# no more");
    struct bench *other = bench_create();
    CHECK_EQ(state_pass(&ferr_device, &b->ferr, &other->ferr), 0);
    CHECK(other->ignne && !other->line.level);
    ferr_set(&other->ferr, false);
    CHECK(!other->ignne && !other->line.level);

    TEST("reset");
    ferr_device.reset(&b->ferr);
    CHECK(!b->ignne && !b->line.level);
    free(other);
    free(b);
    return TEST_END();
}
