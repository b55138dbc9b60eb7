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

static void slot_add(struct memory *m, u64 start, u64 size, u8 *host)
{
    m->slot[m->slots++] = (struct memory_slot){start, size, host};
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
    slot_add(m, 0, MEMORY_LOW640, base);
    slot_add(m, MEMORY_UPPER, m->low - MEMORY_UPPER, base + MEMORY_UPPER);
    if (m->high)
        slot_add(m, MEMORY_HIGH_START, m->high, base + m->low);
    slot_add(m, MEMORY_ROM_GPA, PAGE_SIZE, m->rom);

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
    if (m->base)
        munmap(m->base, m->size + PAGE_SIZE);
    memset(m, 0, sizeof(*m));
}

void *memory_at(const struct memory *m, u64 gpa, u64 size)
{
    for (u32 i = 0; i < m->slots; i++) {
        const struct memory_slot *s = &m->slot[i];
        if (s->host == m->rom)
            continue;
        u64 offset = gpa - s->start;
        if (gpa >= s->start && offset < s->size && size <= s->size - offset)
            return s->host + offset;
    }
    return NULL;
}

bool memory_write(const struct memory *m, u64 gpa, const void *data, u64 size)
{
    void *p = memory_at(m, gpa, size);
    if (p && size)
        memcpy(p, data, size);
    return p;
}

bool memory_fill(const struct memory *m, u64 gpa, u8 value, u64 size)
{
    void *p = memory_at(m, gpa, size);
    if (p && size)
        memset(p, value, size);
    return p;
}
