/*
 * A file to boot from, in memory: mapped when it is a plain file, read when it is a pipe, inflated
 * when it is gzip.
 */
#ifndef MACHINE_BOOT_FILE_H
#define MACHINE_BOOT_FILE_H

#include "base/error.h"

struct image {
    const u8 *data;
    u64 size;
    bool mapped;
};

/* 0 or -errno with an error about `path`. With `gunzip` a gzip file is inflated. */
int MUST_CHECK image_open(struct image *image, const char *path, bool gunzip, struct error *error);
void image_close(struct image *image);
/* The host may drop the pages of the file until the next use. */
void image_release(const struct image *image);

/* Bounds-checked little-endian reads; 0 beyond the end. */
u16 image_u16(const struct image *image, u64 offset);
u32 image_u32(const struct image *image, u64 offset);
u64 image_u64(const struct image *image, u64 offset);
static inline bool image_has(const struct image *image, u64 offset, u64 size)
{
    return offset <= image->size && size <= image->size - offset;
}

#endif
