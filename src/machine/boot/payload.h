/*
 * The compressed kernel inside a bzImage.
 */
#ifndef MACHINE_BOOT_PAYLOAD_H
#define MACHINE_BOOT_PAYLOAD_H

#include "machine/boot/file.h"

/* Unpacks `packed` (gzip, xz, lzma or zstd) of a bzImage, which ends with its unpacked size: at most `limit` bytes.
 * Returns false, with nothing to close, if it is damaged, or packed in another way. */
bool MUST_CHECK payload_unpack(const u8 *packed, u64 size, u64 limit, struct boot_file *unpacked);

#endif
