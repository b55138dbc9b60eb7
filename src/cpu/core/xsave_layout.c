/*
 * Sizes and offsets of XSAVE areas. Source: SDM volume 1, "Standard Format of XSAVE Area", "Compacted Format of XSAVE
 * Area".
 */
#include "cpu/core/xsave_layout.h"

u32 xstate_compact_offset(const struct xstate_component *c, u64 mask, unsigned i)
{
    u32 at = XSTATE_LEGACY_SIZE + XSTATE_HEADER_SIZE;
    for (unsigned k = 2; k <= i; k++) {
        if (!(mask & BIT64(k)))
            continue;
        if (c[k].align)
            at = (at + 63) & ~63u;
        if (k < i)
            at += c[k].size;
    }
    return at;
}

u32 xstate_size(const struct xstate_component *c, u64 mask, bool compacted)
{
    u32 size = XSTATE_LEGACY_SIZE + XSTATE_HEADER_SIZE;
    for (unsigned i = 2; i < XSTATE_COMPONENTS; i++) {
        if (!(mask & BIT64(i)))
            continue;
        u32 end = (compacted ? xstate_compact_offset(c, mask, i) : c[i].offset) + c[i].size;
        if (end > size)
            size = end;
    }
    return size;
}
