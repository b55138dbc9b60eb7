/*
 * Writes ISO 9660 (ECMA-119): sixteen empty sectors, the volume descriptor, its end, the two path tables, the root
 * folder, then the files. Names are in capitals with a version, as the standard has them and Linux folds them back. All
 * times are zero: the same files give the same bytes.
 */
#include "store/iso9660.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 2048u
#define PRIMARY 16u
#define END 17u
#define PATHS_LITTLE 18u
#define PATHS_BIG 19u
#define ROOT 20u
#define FILES 21u
#define RECORD 33u /* bytes of a folder's record before its name */
#define PATHS_BYTES 10u

static u32 sectors(size_t bytes)
{
    return (u32)((bytes + SECTOR - 1) / SECTOR);
}

/* Numbers stand in both orders of bytes, first the little one. */
static void both32(u8 *at, u32 value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = at[7 - i] = (u8)(value >> (8 * i));
}

static void both16(u8 *at, u32 value)
{
    at[0] = at[3] = (u8)value;
    at[1] = at[2] = (u8)(value >> 8);
}

static void blanks(u8 *at, size_t length, const char *text)
{
    memset(at, ' ', length);
    memcpy(at, text, strlen(text) < length ? strlen(text) : length);
}

/* Returns the length of the record, which is even. */
static u32 record(u8 *at, const char *name, size_t length, u32 sector, size_t size, bool folder)
{
    u32 whole = (u32)((RECORD + length + 1) & ~1u);
    at[0] = (u8)whole;
    both32(at + 2, sector);
    both32(at + 10, (u32)size);
    at[25] = folder ? 2 : 0;
    both16(at + 28, 1);
    at[32] = (u8)length;
    memcpy(at + RECORD, name, length);
    return whole;
}

static void descriptor(u8 *at, const char *label, u32 total)
{
    memcpy(at, "\1CD001\1", 7);
    blanks(at + 8, 32, "");
    blanks(at + 40, 32, label);
    both32(at + 80, total);
    both16(at + 120, 1);
    both16(at + 124, 1);
    both16(at + 128, SECTOR);
    both32(at + 132, PATHS_BYTES);
    at[140] = PATHS_LITTLE;
    at[151] = PATHS_BIG;
    record(at + 156, "", 1, ROOT, SECTOR, true);
    blanks(at + 190, 623, "");
    for (unsigned i = 0; i < 4; i++)
        memset(at + 813 + 17 * i, '0', 16); /* no time is given */
    at[881] = 1;
}

static void paths(u8 *at, bool big)
{
    at[0] = 1;
    at[big ? 5 : 2] = ROOT;
    at[big ? 7 : 6] = 1;
}

/* "user-data" is "USER-DATA.;1" on the disk. */
static size_t disk_name(const char *name, char to[static 40])
{
    size_t n = 0;
    for (; name[n] && n < 30; n++)
        to[n] = (char)toupper((u8)name[n]);
    if (!memchr(to, '.', n))
        to[n++] = '.';
    to[n++] = ';';
    to[n++] = '1';
    return n;
}

void *iso_make(const char *label, const struct iso_file *files, u32 count, size_t *size)
{
    u32 total = FILES, at = FILES;
    for (u32 i = 0; i < count; i++)
        total += sectors(files[i].size);
    *size = (size_t)total * SECTOR;
    u8 *image = calloc(total, SECTOR);
    if (!image)
        return NULL;
    descriptor(image + PRIMARY * SECTOR, label, total);
    memcpy(image + END * SECTOR, "\377CD001\1", 7);
    paths(image + PATHS_LITTLE * SECTOR, false);
    paths(image + PATHS_BIG * SECTOR, true);
    u8 *root = image + ROOT * SECTOR;
    root += record(root, "\0", 1, ROOT, SECTOR, true);
    root += record(root, "\1", 1, ROOT, SECTOR, true);
    for (u32 i = 0; i < count; i++) {
        char name[40];
        root += record(root, name, disk_name(files[i].name, name), at, files[i].size, false);
        memcpy(image + (size_t)at * SECTOR, files[i].content, files[i].size);
        at += sectors(files[i].size);
    }
    return image;
}

static u32 little32(const u8 *at)
{
    return at[0] | (u32)at[1] << 8 | (u32)at[2] << 16 | (u32)at[3] << 24;
}

const void *iso_find(const void *image, size_t size, const char *name, size_t *length)
{
    const u8 *bytes = image, *at = bytes + ROOT * SECTOR;
    char wanted[40];
    size_t n = disk_name(name, wanted);
    if (size < FILES * SECTOR)
        return NULL;
    for (const u8 *end = at + SECTOR; at + RECORD < end && at[0] > RECORD && at + at[0] <= end; at += at[0]) {
        u64 begin = (u64)little32(at + 2) * SECTOR;
        *length = little32(at + 10);
        if (at[32] == n && RECORD + n <= at[0] && memcmp(at + RECORD, wanted, n) == 0)
            return begin <= size && *length <= size - begin ? bytes + begin : NULL;
    }
    return NULL;
}
