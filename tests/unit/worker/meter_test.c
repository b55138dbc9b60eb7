/*
 * Sums of a meter: over several runs of a VM, over counters that go back, and after a reset.
 */
#include "worker/meter.h"

#include "unit/test.h"

static json_t *look(const char *run, int cpu, int memory, int read, int in)
{
    return json_pack("{s:s, s:i, s:i, s:{s:{s:i}}, s:{s:{s:i}}}", "run", run, "cpu_ms", cpu, "memory", memory, "disks",
                     "disk0", "rd_bytes", read, "nics", "card", "in_bytes", in);
}

static json_int_t sum(const json_t *sums, const char *part, const char *id, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(json_object_get(sums, part), id), key));
}

static void add(json_t *sums, json_t *one, double seconds)
{
    meter_add(sums, one, seconds);
    json_decref(one);
}

int main(void)
{
    json_t *sums = meter_new(NULL, 1000);

    TEST("what has come since the last look is added");
    add(sums, look("a", 100, 64, 10, 5), 0);
    add(sums, look("a", 150, 128, 30, 6), 10);
    CHECK_EQ(json_integer_value(json_object_get(sums, "cpu_ms")), 150);
    CHECK_EQ(sum(sums, "disks", "disk0", "rd_bytes"), 30);
    CHECK_EQ(sum(sums, "nics", "card", "in_bytes"), 6);
    CHECK_EQ(json_integer_value(json_object_get(sums, "memory_minimum")), 64);
    CHECK_EQ(json_integer_value(json_object_get(sums, "memory_maximum")), 128);
    CHECK(json_real_value(json_object_get(sums, "memory_seconds")) == 1280);

    TEST("another run begins at 0; the switch goes on");
    add(sums, look("b", 120, 64, 40, 9), 0);
    CHECK_EQ(json_integer_value(json_object_get(sums, "cpu_ms")), 270);
    CHECK_EQ(sum(sums, "disks", "disk0", "rd_bytes"), 70);
    CHECK_EQ(sum(sums, "nics", "card", "in_bytes"), 9);

    TEST("a switch that was started again begins at 0, one that does not answer loses nothing");
    add(sums, look("b", 120, 64, 40, 2), 0);
    CHECK_EQ(sum(sums, "nics", "card", "in_bytes"), 11);
    json_t *none = look("b", 120, 64, 40, 2);
    json_object_clear(json_object_get(none, "nics"));
    add(sums, none, 0);
    add(sums, look("b", 120, 64, 40, 3), 0);
    CHECK_EQ(sum(sums, "nics", "card", "in_bytes"), 12);

    TEST("after a reset only what is new counts");
    json_t *fresh = meter_new(sums, 2000);
    CHECK_EQ(json_integer_value(json_object_get(fresh, "since")), 2000);
    add(fresh, look("b", 130, 64, 41, 3), 1);
    CHECK_EQ(json_integer_value(json_object_get(fresh, "cpu_ms")), 10);
    CHECK_EQ(sum(fresh, "disks", "disk0", "rd_bytes"), 1);
    CHECK_EQ(sum(fresh, "nics", "card", "in_bytes"), 0);
    json_decref(fresh);
    json_decref(sums);
    return TEST_END();
}
