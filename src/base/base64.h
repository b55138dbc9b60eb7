/*
 * Bytes as text: base 64 of RFC 4648, with padding.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/types.h"

/* How many characters `length` bytes take. */
static inline size_t base64_length(size_t length)
{
    return (length + 2) / 3 * 4;
}
/* Writes them and a zero byte. */
void base64_encode(const void *bytes, size_t length, char *text);
/* Writes at most 3 bytes for 4 characters; stops at the first that is none of base 64. Returns how many. */
size_t base64_decode(const char *text, size_t length, u8 *bytes);

#endif
