/*
 * The checksum of ACPI and SMBIOS tables.
 */
#ifndef MACHINE_CHECKSUM_H
#define MACHINE_CHECKSUM_H

#include "base/types.h"

/* Returns the byte that makes the sum of all `size` bytes 0, if the byte that it goes to is 0 now. */
static inline u8 checksum(const void *data, size_t size)
{
    u8 sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += ((const u8 *)data)[i];
    return (u8)-sum;
}

#endif
