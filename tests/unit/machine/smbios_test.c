/*
 * The SMBIOS tables: the entry point and its checksums, the walk from structure to structure, and what is said of CPUs
 * and memory.
 */
#include "machine/smbios.h"

#include "unit/test.h"

#include <string.h>

/* Offsets: DMTF DSP0134 2.8. */
enum {
    ENTRY_LENGTH = 5,
    ENTRY_LARGEST = 8,
    ENTRY_DMI = 16,
    ENTRY_TABLE_LENGTH = 22,
    ENTRY_TABLE = 24,
    ENTRY_COUNT = 28
};
enum { TYPE_FIRMWARE = 0, TYPE_PROCESSOR = 4, TYPE_ARRAY = 16, TYPE_MEMORY = 17, TYPE_MAPPED = 19, TYPE_END = 127 };
enum { PROCESSOR_CORES = 0x23, ARRAY_MAXIMUM = 0x0f, MEMORY_SIZE = 0x0c, MEMORY_EXTENDED = 0x1c, MAPPED_END = 0x17 };

static u64 number(const u8 *p, unsigned size)
{
    u64 value = 0;
    memcpy(&value, p, size);
    return value;
}

static u8 sum(const u8 *p, size_t size)
{
    u8 s = 0;
    for (size_t i = 0; i < size; i++)
        s += p[i];
    return s;
}

/* The structure behind `s` and its strings, which end with an empty one. */
static const u8 *next(const u8 *s)
{
    const u8 *p = s + s[1];
    while (p[0] || p[1])
        p++;
    return p + 2;
}

static const u8 *find(const u8 *table, u8 type)
{
    while (table[0] != type && table[0] != TYPE_END)
        table = next(table);
    return table;
}

static void check(u64 memory, u32 cpus)
{
    struct layout layout;
    struct error error;
    CHECK_EQ(layout_create(&layout, memory, false, &error), 0);
    smbios_write(&layout, cpus);
    const u8 *entry = ram_pointer(layout.ram, GPA(SMBIOS_ENTRY), 0x20);
    CHECK(memcmp(entry, "_SM_", 4) == 0 && memcmp(entry + ENTRY_DMI, "_DMI_", 5) == 0);
    CHECK_EQ(sum(entry, entry[ENTRY_LENGTH]), 0);
    CHECK_EQ(sum(entry + ENTRY_DMI, 15), 0);

    u64 length = number(entry + ENTRY_TABLE_LENGTH, 2), count = 1, largest = 0;
    const u8 *table = ram_pointer(layout.ram, GPA(number(entry + ENTRY_TABLE, 4)), length), *s;
    for (s = table; s[0] != TYPE_END && s < table + length; s = next(s), count++) {
        if ((u64)(next(s) - s) > largest)
            largest = (u64)(next(s) - s);
        for (const u8 *t = next(s); t[0] != TYPE_END && t < table + length; t = next(t))
            CHECK(number(s + 2, 2) != number(t + 2, 2)); /* handles */
    }
    CHECK_EQ(next(s) - table, length);
    CHECK_EQ(number(entry + ENTRY_COUNT, 2), count);
    CHECK_EQ(number(entry + ENTRY_LARGEST, 2), largest);

    const u8 *mib = find(table, TYPE_MEMORY);
    CHECK_EQ(find(table, TYPE_PROCESSOR)[PROCESSOR_CORES], cpus > 255 ? 255 : cpus);
    CHECK_EQ(number(find(table, TYPE_ARRAY) + ARRAY_MAXIMUM, 8), memory);
    CHECK_EQ(number(mib + MEMORY_SIZE, 2), memory >> 20 < 0x7fff ? memory >> 20 : 0x7fff);
    CHECK_EQ(number(mib + MEMORY_EXTENDED, 4), memory >> 20 < 0x7fff ? 0 : memory >> 20);
    CHECK_EQ(number(find(table, TYPE_MAPPED) + MAPPED_END, 8),
             layout.high ? LAYOUT_HIGH + layout.high - 1 : memory - 1);
    CHECK(strcmp((const char *)table + table[1], "nestbox") == 0);
    layout_destroy(&layout);
}

int main(void)
{
    TEST("one CPU, little memory");
    check(16 << 20, 1);
    TEST("many CPUs, much memory");
    check(64ull << 30, 256);
    return TEST_END();
}
