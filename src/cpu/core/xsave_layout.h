/*
 * The layout of XSAVE areas: which component lies where, and how large an area is. (xsave_layout.c)
 */
#ifndef CPU_CORE_XSAVE_LAYOUT_H
#define CPU_CORE_XSAVE_LAYOUT_H

#include "base/types.h"
#include "x86/xsave.h"

#define XSTATE_SIZE_MAX 2816 /* legacy region to the end of PKRU, rounded up */
#define XSTATE_COMPONENTS 10

/* One user state component; [0] and [1] lie in the legacy region. size 0: not supported. */
struct xstate_component {
    u32 offset; /* in the standard format */
    u32 size;
    bool align; /* compacted format: at a multiple of 64 */
};

/* Size of an XSAVE area for the components in `mask`. */
u32 xstate_size(const struct xstate_component *c, u64 mask, bool compacted);
/* Where component `i` (2 and up) lies in the compacted format of an area that holds those in `mask`. */
u32 xstate_compact_offset(const struct xstate_component *c, u64 mask, unsigned i);

#endif
