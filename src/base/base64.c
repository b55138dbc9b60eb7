/*
 * See base64.h.
 */
#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *bytes, size_t length, char *text)
{
    const u8 *from = bytes;
    for (size_t i = 0; i < length; i += 3) {
        u32 left = length - i < 3 ? (u32)(length - i) : 3, group = 0;
        for (u32 j = 0; j < 3; j++)
            group = group << 8 | (j < left ? from[i + j] : 0);
        for (u32 j = 0; j < 4; j++)
            *text++ = j <= left ? digits[group >> (18 - 6 * j) & 63] : '=';
    }
    *text = 0;
}

static int value_of(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

size_t base64_decode(const char *text, size_t length, u8 *bytes)
{
    size_t used = 0;
    u32 group = 0, bits = 0;
    for (size_t i = 0; i < length && value_of(text[i]) >= 0; i++) {
        group = group << 6 | (u32)value_of(text[i]);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[used++] = (u8)(group >> bits);
        }
    }
    return used;
}
