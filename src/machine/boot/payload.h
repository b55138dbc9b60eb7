/*
 * The compressed kernel inside a bzImage.
 */
#ifndef MACHINE_BOOT_PAYLOAD_H
#define MACHINE_BOOT_PAYLOAD_H

#include "machine/boot/file.h"

struct payload {
    struct boot_file packed; /* a copy, as the file may change */
    u64 room;                /* what it unpacks to */
    u32 kind;                /* how it is packed */
};

/* Takes a copy of a bzImage's payload, packed by gzip, xz, lzma or zstd, whose unpacked size is at its end: at most
 * `limit`. Returns false, with nothing to close, if it is none of these. */
bool MUST_CHECK payload_open(struct payload *p, const u8 *packed, u64 size, u64 limit);
void payload_close(struct payload *p);
/* Returns false, with nothing to close, if it is damaged. */
bool MUST_CHECK payload_unpack(const struct payload *p, struct boot_file *unpacked);
/* Returns true if it takes so long that the result is worth keeping. */
bool payload_is_slow(const struct payload *p);

#endif
