/*
 * The slots of guest RAM on one host mapping, and the map that guests see. The mapping is not reserved up front: pages
 * exist when somebody touches them, so a VM costs what its guest uses. The price is that the host may run out later:
 * vmproc/buserror.c.
 */
#include "machine/layout.h"

#include "base/pages.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int slots_add(struct layout *layout)
{
    const struct ram_region slots[] = {
        {.id = 0, .start = GPA(0), .size = LAYOUT_VIDEO, .host = layout->base},
        {.id = 1, .start = GPA(LAYOUT_UPPER), .size = layout->low - LAYOUT_UPPER, .host = layout->base + LAYOUT_UPPER},
        {.id = 2, .start = GPA(LAYOUT_ROM), .size = PAGE_SIZE, .host = layout->rom, .flags = RAM_READONLY},
        {.id = 3, .start = GPA(LAYOUT_HIGH), .size = layout->high, .host = layout->base + layout->low},
    };
    int e = 0;
    for (unsigned i = 0; i < ARRAY_LEN(slots) && !e; i++)
        if (slots[i].size)
            e = ram_slot_set(layout->ram, 0, &slots[i]);
    return e;
}

static void e820_fill_in(struct layout *layout)
{
    const struct {
        u64 start, end;
        enum e820_type type;
    } ranges[E820_ENTRIES] = {
        {0, LAYOUT_EBDA, E820_RAM},
        {LAYOUT_EBDA, LAYOUT_VIDEO, E820_RESERVED},
        {LAYOUT_TABLES, LAYOUT_EXTENDED, E820_RESERVED},
        {LAYOUT_EXTENDED, layout->acpi, E820_RAM},
        {layout->acpi, layout->low, E820_RESERVED},
        {LAYOUT_ECAM, LAYOUT_ECAM + LAYOUT_ECAM_SIZE, E820_RESERVED},
        {LAYOUT_ROM, LAYOUT_HIGH, E820_RESERVED},
        {LAYOUT_HIGH, LAYOUT_HIGH + layout->high, E820_RAM},
    };
    for (u32 i = 0; i < ARRAY_LEN(ranges); i++) {
        u64 size = ranges[i].end - ranges[i].start;
        if (size)
            layout->e820[layout->e820_count++] = (struct e820_entry){ranges[i].start, size, ranges[i].type};
    }
}

/* Memory of a file without a name. */
static u8 *file_map(struct layout *layout, u64 size)
{
    layout->fd = memfd_create("nestbox-memory", MFD_CLOEXEC);
    u8 *base = NULL;
    if (layout->fd >= 0 && !ftruncate(layout->fd, (off_t)size))
        base = pages_map_file(size, PROT_READ | PROT_WRITE, layout->fd);
    if (!base && layout->fd >= 0)
        close(layout->fd);
    return base;
}

int layout_create(struct layout *layout, u64 size, bool file, struct error *error)
{
    memset(layout, 0, sizeof(*layout));
    layout->fd = -1;
    if (size < LAYOUT_MIN || (size & PAGE_MASK))
        return error_set(error, -EINVAL, SETTING("memory") " must be a multiple of 4 KiB and at least 2 MiB");
    layout->size = size;
    layout->low = size < LAYOUT_HOLE ? size : LAYOUT_HOLE;
    layout->acpi = layout->low - LAYOUT_ACPI_SIZE;
    layout->high = size - layout->low;
    u8 *base = file ? file_map(layout, size + PAGE_SIZE) : pages_map(size + PAGE_SIZE, PROT_READ | PROT_WRITE, true);
    if (!base) {
        int e = errno;
        error_set(error, -e, "the host has no room for %llu MiB of guest memory (%s)", (unsigned long long)(size >> 20),
                  strerror(e));
        return error_hint(error, "give less with " SETTING("memory"));
    }
    layout->base = base;
    layout->rom = base + size;
    layout->ram = ram_create();
    int e = layout->ram ? slots_add(layout) : -ENOMEM;
    if (e)
        return error_set(error, e, "cannot set up guest memory: %s", strerror(-e));
    e820_fill_in(layout);
    return 0;
}

void layout_destroy(struct layout *layout)
{
    ram_destroy(layout->ram);
    if (layout->base) {
        munmap(layout->base, layout->size + PAGE_SIZE);
        if (layout->fd >= 0)
            close(layout->fd);
    }
    memset(layout, 0, sizeof(*layout));
}
