/*
 * A file to boot from, in memory: mapped when it is a plain file, read when it is a pipe, inflated when it is gzip.
 */
#ifndef MACHINE_BOOT_FILE_H
#define MACHINE_BOOT_FILE_H

#include "base/error.h"
#include "base/patience.h"

#define GZIP_WINDOW (16 + MAX_WBITS) /* zlib's way to ask for gzip streams only */

struct boot_file {
    const u8 *data;
    u64 size;
    bool mapped;
};

/* Returns 0 or -errno with an error about `path`. With `gunzip` a gzip file is inflated. `patience` waits for what a
 * pipe gives; if it is NULL, reads wait without end. */
int MUST_CHECK boot_file_open(struct boot_file *file, const char *path, bool gunzip, const struct patience *patience,
                              struct error *error);
/* Makes one of zeros, without a file, and returns its memory; NULL, with nothing to close, if there is not so much. */
u8 *boot_file_make(struct boot_file *file, u64 size);
void boot_file_close(struct boot_file *file);
/* The host may drop the pages of the file until the next use. */
void boot_file_release(const struct boot_file *file);

/* Bounds-checked little-endian reads; 0 beyond the end. */
u16 boot_file_u16(const struct boot_file *file, u64 offset);
u32 boot_file_u32(const struct boot_file *file, u64 offset);
u64 boot_file_u64(const struct boot_file *file, u64 offset);
static inline bool boot_file_has(const struct boot_file *file, u64 offset, u64 size)
{
    return offset <= file->size && size <= file->size - offset;
}

#endif
