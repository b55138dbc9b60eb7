/*
 * Guest RAM and its map. The mapping is not reserved up front: pages exist when somebody touches
 * them, so a VM costs what its guest uses. The price is that the host may run out later:
 * vmproc/buserror.c.
 */
#include "machine/layout.h"

#include "base/pages.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static int slots_add(struct memory *m)
{
    const struct ram_region slots[] = {
        {.id = 0, .start = GPA(0), .size = MEMORY_LOW640, .host = m->base},
        {.id = 1, .start = GPA(MEMORY_UPPER), .size = m->low - MEMORY_UPPER, .host = m->base + MEMORY_UPPER},
        {.id = 2, .start = GPA(MEMORY_ROM_GPA), .size = PAGE_SIZE, .host = m->rom, .flags = RAM_READONLY},
        {.id = 3, .start = GPA(MEMORY_HIGH_START), .size = m->high, .host = m->base + m->low},
    };
    int e = 0;
    for (unsigned i = 0; i < ARRAY_LEN(slots) && !e; i++)
        if (slots[i].size)
            e = ram_slot_set(m->ram, 0, &slots[i]);
    return e;
}

static void e820_add(struct memory *m, u64 start, u64 end, u32 type)
{
    if (start < end)
        m->e820[m->e820_count++] = (struct e820_entry){start, end - start, type};
}

int memory_create(struct memory *m, u64 size, struct error *error)
{
    memset(m, 0, sizeof(*m));
    if (size < MEMORY_MIN || (size & PAGE_MASK))
        return error_set(error, -EINVAL, SETTING("memory") " must be a multiple of 4 KiB and at least 2 MiB");
    m->size = size;
    m->low = size < MEMORY_LOW_MAX ? size : MEMORY_LOW_MAX;
    m->high = size - m->low;
    u8 *base = pages_map(size + PAGE_SIZE, PROT_READ | PROT_WRITE, true);
    if (!base) {
        int e = errno;
        error_set(error, -e, "no room for %llu MiB of guest memory (%s)", (unsigned long long)(size >> 20),
                  strerror(e));
        return error_hint(error, "give less with " SETTING("memory"));
    }
    m->base = base;
    m->rom = base + size;
    m->ram = ram_create();
    int e = m->ram ? slots_add(m) : -ENOMEM;
    if (e)
        return error_set(error, e, "cannot set up guest memory: %s", strerror(-e));

    e820_add(m, 0, MEMORY_EBDA, E820_RAM);
    e820_add(m, MEMORY_EBDA, MEMORY_LOW640, E820_RESERVED);
    e820_add(m, MEMORY_TABLES, 1 << 20, E820_RESERVED);
    e820_add(m, 1 << 20, m->low, E820_RAM);
    e820_add(m, MEMORY_ECAM, MEMORY_ECAM + MEMORY_ECAM_SIZE, E820_RESERVED);
    e820_add(m, MEMORY_ROM_GPA, MEMORY_HIGH_START, E820_RESERVED);
    e820_add(m, MEMORY_HIGH_START, MEMORY_HIGH_START + m->high, E820_RAM);
    return 0;
}

void memory_destroy(struct memory *m)
{
    ram_destroy(m->ram);
    if (m->base)
        munmap(m->base, m->size + PAGE_SIZE);
    memset(m, 0, sizeof(*m));
}
