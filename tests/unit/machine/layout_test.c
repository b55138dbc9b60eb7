/*
 * The memory map: where RAM is, what the e820 ranges say, and which sizes are refused.
 */
#include "machine/layout.h"

#include "unit/test.h"

#include <string.h>

static bool is_ram(const struct layout *layout, u64 gpa, u64 size)
{
    return ram_pointer(layout->ram, GPA(gpa), size);
}

static void check_map(u64 size)
{
    struct layout layout;
    struct error error;
    u64 ram = 0, last = 0;
    CHECK_EQ(layout_create(&layout, size, false, &error), 0);
    for (u32 i = 0; i < layout.e820_count; i++) {
        const struct e820_entry *e = &layout.e820[i];
        CHECK(e->start >= last);
        last = e->start + e->size;
        if (e->type != E820_RAM)
            continue;
        ram += e->size;
        CHECK(is_ram(&layout, e->start, e->size));
        CHECK(!is_ram(&layout, e->start, e->size + (1ull << 40)));
    }
    CHECK_EQ(ram, size - LAYOUT_EXTENDED + LAYOUT_EBDA - LAYOUT_ACPI_SIZE);
    CHECK(is_ram(&layout, layout.acpi, LAYOUT_ACPI_SIZE));
    CHECK(!is_ram(&layout, LAYOUT_VIDEO, 1));
    CHECK(!is_ram(&layout, LAYOUT_VIDEO - 1, 2));
    CHECK(!is_ram(&layout, LAYOUT_ROM, 1));
    CHECK(!is_ram(&layout, layout.low, 1));
    CHECK(!is_ram(&layout, ~0ull, 2));
    CHECK(!is_ram(&layout, 0, ~0ull));
    layout_destroy(&layout);
}

static void check_refused(u64 size, const char *because)
{
    struct layout layout;
    struct error error;
    CHECK(layout_create(&layout, size, false, &error) < 0);
    CHECK(strstr(error.text, because));
    layout_destroy(&layout);
}

int main(void)
{
    TEST("memory below the hole");
    check_map(LAYOUT_MIN);
    check_map(1ull << 30);
    check_map(LAYOUT_HOLE);
    TEST("memory on both sides of the hole");
    check_map(LAYOUT_HOLE + PAGE_SIZE);
    check_map(64ull << 30);
    TEST("sizes that are refused");
    check_refused(0, "at least 2 MiB");
    check_refused(LAYOUT_MIN + 1, "multiple of 4 KiB");
    check_refused(1ull << 60, "no room");
    return TEST_END();
}
