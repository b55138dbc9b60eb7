/*
 * The structures that the specification requires of a system: BIOS, system, enclosure, processor,
 * memory array, memory device, mapped address, boot information, end. Source: DMTF DSP0134, SMBIOS
 * Reference Specification 2.8.
 */
#include "machine/smbios.h"

#include <string.h>

#define TABLE_AT 0x20u
#define TABLE_MAX 0x1000u
#define HANDLE_ARRAY 0x1000
#define UNKNOWN_HANDLE 0xfffe

struct table {
    u8 *data;
    u32 used, count, largest;
};

static u8 checksum(const u8 *data, u32 size)
{
    u8 sum = 0;
    for (u32 i = 0; i < size; i++)
        sum += data[i];
    return (u8)-sum;
}

/* `body` is what follows the 4-byte header; strings end with NULL. */
static void add(struct table *t, u8 type, u16 handle, const void *body, u8 size, const char *const *strings)
{
    u8 *p = t->data + t->used, *start = p;
    *p++ = type;
    *p++ = (u8)(size + 4);
    memcpy(p, &handle, 2);
    if (size)
        memcpy(p + 2, body, size);
    p += 2 + size;
    for (u32 i = 0; strings && strings[i]; i++) {
        size_t n = strlen(strings[i]) + 1;
        memcpy(p, strings[i], n);
        p += n;
    }
    if (!strings || !strings[0])
        *p++ = 0;
    *p++ = 0;
    t->used += (u32)(p - start);
    t->count++;
    if ((u32)(p - start) > t->largest)
        t->largest = (u32)(p - start);
}

static void put(u8 *body, u32 spec_offset, u64 value, u32 size)
{
    memcpy(body + spec_offset - 4, &value, size);
}

static void firmware(struct table *t)
{
    u8 b[0x18 - 4] = {0};
    put(b, 0x04, 1, 1);
    put(b, 0x05, 2, 1);
    put(b, 0x06, 0xf000, 2);
    put(b, 0x08, 3, 1);
    put(b, 0x0a, BIT(3), 8);          /* characteristics: not supported */
    put(b, 0x13, BIT(4) | BIT(2), 1); /* a virtual machine */
    put(b, 0x14, 0xffffffff, 4);      /* no releases, no embedded controller */
    add(t, 0, 0, b, sizeof(b), (const char *const[]){"nestbox", "1", "01/01/2026", NULL});
}

static void machine(struct table *t)
{
    u8 b[0x1b - 4] = {0};
    put(b, 0x04, 1, 1);
    put(b, 0x05, 2, 1);
    put(b, 0x06, 3, 1);
    put(b, 0x18, 6, 1); /* wake-up: power switch */
    add(t, 1, 0x100, b, sizeof(b), (const char *const[]){"nestbox", "PC", "1", NULL});

    u8 chassis[0x15 - 4] = {0};
    put(chassis, 0x04, 1, 1);
    put(chassis, 0x05, 1, 1); /* type: other */
    put(chassis, 0x09, 3, 1); /* states: safe */
    put(chassis, 0x0a, 3, 1);
    put(chassis, 0x0b, 3, 1);
    put(chassis, 0x0c, 2, 1);
    add(t, 3, 0x300, chassis, sizeof(chassis), (const char *const[]){"nestbox", NULL});
}

static void processor(struct table *t, u32 vcpus)
{
    u8 b[0x2a - 4] = {0};
    u8 n = vcpus > 255 ? 255 : (u8)vcpus;
    put(b, 0x04, 1, 1);
    put(b, 0x05, 3, 1); /* central processor */
    put(b, 0x06, 1, 1); /* family: other */
    put(b, 0x07, 2, 1);
    put(b, 0x18, 0x41, 1); /* populated, enabled */
    put(b, 0x19, 1, 1);
    put(b, 0x1a, 0xffff, 2);
    put(b, 0x1c, 0xffff, 2);
    put(b, 0x1e, 0xffff, 2);
    put(b, 0x23, n, 1);
    put(b, 0x24, n, 1);
    put(b, 0x25, n, 1);
    put(b, 0x26, BIT(2), 2); /* 64-bit */
    put(b, 0x28, 1, 2);
    add(t, 4, 0x400, b, sizeof(b), (const char *const[]){"CPU", "nestbox", NULL});
}

static void ram(struct table *t, const struct memory *m)
{
    u8 array[0x17 - 4] = {0};
    put(array, 0x04, 1, 1);
    put(array, 0x05, 3, 1); /* system memory */
    put(array, 0x06, 3, 1);
    put(array, 0x07, 0x80000000, 4);
    put(array, 0x0b, UNKNOWN_HANDLE, 2);
    put(array, 0x0d, 1, 2);
    put(array, 0x0f, m->size, 8);
    add(t, 16, HANDLE_ARRAY, array, sizeof(array), NULL);

    u8 device[0x28 - 4] = {0};
    u64 mib = m->size >> 20;
    put(device, 0x04, HANDLE_ARRAY, 2);
    put(device, 0x06, UNKNOWN_HANDLE, 2);
    put(device, 0x08, 0xffff, 2);
    put(device, 0x0a, 0xffff, 2);
    put(device, 0x0c, mib < 0x7fff ? mib : 0x7fff, 2);
    put(device, 0x0e, 9, 1); /* DIMM */
    put(device, 0x10, 1, 1);
    put(device, 0x12, 7, 1); /* RAM */
    put(device, 0x13, BIT(1), 2);
    put(device, 0x1c, mib < 0x7fff ? 0 : mib, 4);
    add(t, 17, 0x1100, device, sizeof(device), (const char *const[]){"DIMM 0", NULL});

    u8 mapped[0x1f - 4] = {0};
    put(mapped, 0x04, 0xffffffff, 4);
    put(mapped, 0x08, 0xffffffff, 4);
    put(mapped, 0x0c, HANDLE_ARRAY, 2);
    put(mapped, 0x0e, 1, 1);
    put(mapped, 0x0f, 0, 8);
    put(mapped, 0x17, (m->high ? MEMORY_HIGH_START + m->high : m->low) - 1, 8);
    add(t, 19, 0x1300, mapped, sizeof(mapped), NULL);
}

void smbios_write(const struct memory *m, u32 vcpus)
{
    u8 *entry = memory_at(m, SMBIOS_ENTRY, TABLE_AT + TABLE_MAX);
    if (!entry)
        return;
    memset(entry, 0, TABLE_AT + TABLE_MAX);
    struct table t = {.data = entry + TABLE_AT};
    firmware(&t);
    machine(&t);
    processor(&t, vcpus);
    ram(&t, m);
    add(&t, 32, 0x2000, (u8[7]){0}, 7, NULL);
    add(&t, 127, 0x7f00, NULL, 0, NULL);

    /* "SMBIOS Structure Table Entry Point", 32-bit */
    memcpy(entry, "_SM_", 4);
    entry[5] = 0x1f;
    entry[6] = 2;
    entry[7] = 8;
    memcpy(entry + 8, &(u16){(u16)t.largest}, 2);
    memcpy(entry + 0x10, "_DMI_", 5);
    memcpy(entry + 0x16, &(u16){(u16)t.used}, 2);
    memcpy(entry + 0x18, &(u32){(u32)SMBIOS_ENTRY + TABLE_AT}, 4);
    memcpy(entry + 0x1c, &(u16){(u16)t.count}, 2);
    entry[0x1e] = 0x28;
    entry[0x15] = checksum(entry + 0x10, 0xf);
    entry[4] = checksum(entry, 0x1f);
}
