/*
 * Guest memory: where it is, what its map says, what is refused. And which hosts the engine
 * refuses.
 */
#include "machine/layout.h"

#include "accel/hostcpu.h"
#include "unit/test.h"

#include <string.h>

static struct error error;

static void check_map(u64 size)
{
    struct memory m;
    u64 ram = 0, last = 0;
    CHECK_EQ(memory_create(&m, size, &error), 0);
    for (u32 i = 0; i < m.e820_count; i++) {
        CHECK(m.e820[i].start >= last);
        last = m.e820[i].start + m.e820[i].size;
        if (m.e820[i].type != E820_RAM)
            continue;
        ram += m.e820[i].size;
        CHECK(ram_pointer(m.ram, GPA(m.e820[i].start), m.e820[i].size));
        CHECK(!ram_pointer(m.ram, GPA(m.e820[i].start), m.e820[i].size + (1ull << 40)));
    }
    CHECK_EQ(ram, size - (1 << 20) + MEMORY_EBDA);
    CHECK(!ram_pointer(m.ram, GPA(MEMORY_LOW640), 1));
    CHECK(!ram_pointer(m.ram, GPA(MEMORY_LOW640 - 1), 2));
    CHECK(!ram_pointer(m.ram, GPA(MEMORY_ROM_GPA), 1));
    CHECK(!ram_pointer(m.ram, GPA(m.low), 1));
    CHECK(!ram_pointer(m.ram, GPA(~0ull), 2));
    CHECK(!ram_pointer(m.ram, GPA(0), ~0ull));
    memory_destroy(&m);
}

static void test_hosts(void)
{
    struct hostcpu cpu;
    hostcpu_read(&cpu);
    cpu.bmi2 = cpu.fsgsbase = true;
    TEST("hosts for the engine");
    CHECK(hostcpu_suits_engine(&cpu, &error));
    cpu.bmi2 = false;
    CHECK(!hostcpu_suits_engine(&cpu, &error));
    CHECK(strstr(error.text, "BMI2"));
    cpu.bmi2 = true;
    cpu.fsgsbase = false;
    CHECK(!hostcpu_suits_engine(&cpu, &error));
    CHECK(strstr(error.text, "FSGSBASE"));
}

int main(void)
{
    struct memory m;
    TEST("memory below the hole");
    check_map(2 << 20);
    check_map(1ull << 30);
    check_map(3ull << 30);
    TEST("memory on both sides of the hole");
    check_map((3ull << 30) + 4096);
    check_map(64ull << 30);
    TEST("sizes that are refused");
    CHECK(memory_create(&m, 0, &error) < 0);
    CHECK(memory_create(&m, (2 << 20) + 1, &error) < 0);
    CHECK(memory_create(&m, 1ull << 60, &error) < 0);
    CHECK(strstr(error.text, "no room"));
    test_hosts();
    return TEST_END();
}
