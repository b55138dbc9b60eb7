/*
 * Guest memory for the fixtures of unit tests.
 */
#ifndef TESTS_UNIT_SLOTS_H
#define TESTS_UNIT_SLOTS_H

#include "ram/ram.h"

#include <stdlib.h>

static inline void slot_put(struct ram *r, u32 id, u64 start, u64 size, void *host, u32 flags)
{
    struct ram_region g = {.id = id, .start = GPA(start), .size = size, .host = host, .flags = flags};
    if (ram_slot_set(r, 0, &g))
        abort();
}

/* Memory of one slot, from address 0. */
static inline struct ram *slots_create(void *host, u64 size)
{
    struct ram *r = ram_create();
    if (!r)
        abort();
    slot_put(r, 0, 0, size, host, 0);
    return r;
}

#endif
