/*
 * The compressed kernel inside a bzImage. Linux' build puts the unpacked size behind it, as gzip does by itself, so the
 * room is known beforehand: a payload that unpacks to more or less is damaged. Source: Linux, scripts and
 * arch/x86/boot/compressed. What is packed by lz4, lzo or bzip2 is left to the kernel.
 */
#include "machine/boot/payload.h"

#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define SIZE_BYTES 4u                  /* of the unpacked size, the payload's last bytes */
#define PAYLOAD_MIN 16u                /* no stream is shorter */
#define LZMA_MEMORY_MAX (256ull << 20) /* kernels take a dictionary of 128 MiB at most */
#define PAYLOAD_MAX (1ull << 30)       /* room for a kernel in its part of the address space */

/* Each returns true if the stream is whole and fills `to` exactly. */

static bool unpack_gzip(const u8 *packed, u64 size, u8 *to, u64 room)
{
    z_stream z = {
        .next_in = (Bytef *)(uintptr_t)packed, .avail_in = (uInt)size, .next_out = to, .avail_out = (uInt)room};
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return false;
    bool whole = inflate(&z, Z_FINISH) == Z_STREAM_END && !z.avail_out;
    inflateEnd(&z);
    return whole;
}

static bool unpack_lzma(const u8 *packed, u64 size, u8 *to, u64 room)
{
    lzma_stream s = LZMA_STREAM_INIT;
    if (lzma_auto_decoder(&s, LZMA_MEMORY_MAX, 0) != LZMA_OK)
        return false;
    s.next_in = packed;
    s.avail_in = size - SIZE_BYTES;
    s.next_out = to;
    s.avail_out = room;
    bool whole = lzma_code(&s, LZMA_FINISH) == LZMA_STREAM_END && !s.avail_out;
    lzma_end(&s);
    return whole;
}

static bool unpack_zstd(const u8 *packed, u64 size, u8 *to, u64 room)
{
    return ZSTD_decompress(to, room, packed, size - SIZE_BYTES) == room;
}

static const struct {
    const char *magic;
    u32 length;
    bool slow;
    bool (*unpack)(const u8 *packed, u64 size, u8 *to, u64 room);
} kinds[] = {
    {"\x1f\x8b", 2, false, unpack_gzip},
    {"\3757zXZ", 6, true, unpack_lzma}, /* with the zero at its end */
    {"\x5d\0\0", 3, true, unpack_lzma},
    {"\x28\xb5\x2f\xfd", 4, false, unpack_zstd},
};

bool payload_open(struct payload *p, const u8 *packed, u64 size, u64 limit)
{
    u32 room, kind = 0;
    if (size < PAYLOAD_MIN || size > PAYLOAD_MAX)
        return false;
    memcpy(&room, packed + size - SIZE_BYTES, SIZE_BYTES);
    while (kind < ARRAY_LEN(kinds) && memcmp(packed, kinds[kind].magic, kinds[kind].length) != 0)
        kind++;
    if (kind == ARRAY_LEN(kinds) || !room || room > limit || room > PAYLOAD_MAX)
        return false;
    *p = (struct payload){.room = room, .kind = kind};
    u8 *copy = boot_file_make(&p->packed, size);
    if (copy)
        memcpy(copy, packed, size);
    return copy;
}

void payload_close(struct payload *p)
{
    boot_file_close(&p->packed);
}

bool payload_unpack(const struct payload *p, struct boot_file *unpacked)
{
    u8 *to = boot_file_make(unpacked, p->room);
    if (!to)
        return false;
    if (kinds[p->kind].unpack(p->packed.data, p->packed.size, to, p->room))
        return true;
    boot_file_close(unpacked);
    return false;
}

bool payload_is_slow(const struct payload *p)
{
    return kinds[p->kind].slow;
}
