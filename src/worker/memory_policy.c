/*
 * The policy of dynamic memory. Each worker decides by itself: it looks at what the host has left, and stops to take,
 * or gives, while that is less than what its VM's priority leaves to others. So VMs of low priority give first, and no
 * process has to know of all of them.
 */
#include "worker/memory_policy.h"

#define LIMIT_TIMES 16 /* static memory can grow to that many times of itself, where no cap says how far */
#define SLACK (32ull << 20)
#define SILENT_GROWTH 8 /* a guest that fell silent gets that part of what it has with each look */

static u64 least(u64 a, u64 b)
{
    return a < b ? a : b;
}

static u64 most(u64 a, u64 b)
{
    return a > b ? a : b;
}

static u64 whole(u64 bytes)
{
    return bytes / MEMORY_UNIT * MEMORY_UNIT;
}

u64 memory_limit_of(const struct vm_settings *set, u64 host_memory)
{
    u64 limit = set->dynamic_memory ? set->memory_maximum : LIMIT_TIMES * set->memory;
    if (set->memory_cap)
        limit = set->dynamic_memory ? least(limit, set->memory_cap) : set->memory_cap;
    return most(whole(least(limit, host_memory)), set->memory);
}

u64 memory_kept(u64 host_total, u32 priority)
{
    return host_total / 1000 * (20 + (100 - priority) * 6 / 10);
}

struct memory_wish memory_wish(const struct vm_settings *set, const struct memory_facts *f)
{
    struct memory_wish wish = {.target = f->assigned};
    u64 kept = memory_kept(f->host_total, set->memory_priority),
        room = f->host_available - least(kept, f->host_available);
    u64 maximum = least(set->memory_maximum, f->limit);
    if (set->memory_cap)
        maximum = least(maximum, set->memory_cap);
    if (!f->guest_total && f->silent_demand) {
        wish.demand = f->silent_demand;
        wish.status = MEMORY_WARNING;
        u64 more = most(f->silent_demand, f->assigned + most(f->assigned / SILENT_GROWTH, SLACK));
        if (!f->frozen)
            wish.target = most(whole(least(least(more, maximum), f->assigned + room)), f->assigned);
        return wish;
    }
    if (!f->guest_total)
        return wish;
    u64 used = f->guest_total - least(f->guest_available, f->guest_total);
    u64 apart = f->assigned - least(f->guest_total, f->assigned); /* of the kernel, before it counts */
    u64 needs = used + apart;
    u64 minimum = least(set->memory_minimum, maximum);
    wish.demand = needs + used / 100 * set->memory_buffer;
    wish.status = f->assigned >= whole(wish.demand) || f->assigned >= maximum ? MEMORY_OK
                  : f->assigned >= needs + used / 50                          ? MEMORY_LOW
                                                                              : MEMORY_WARNING;
    if (f->assigned >= maximum && f->assigned < needs + used / 50)
        wish.status = MEMORY_WARNING;
    if (f->frozen)
        return wish;
    u64 target = least(most(wish.demand, minimum), maximum);
    if (f->assigned > target + SLACK)
        target = f->assigned - (f->assigned - target) / 2;
    else if (f->assigned > target)
        target = f->assigned;
    if (f->host_available < kept) { /* what it does not use goes, and no more than is missing */
        u64 missing = kept - f->host_available;
        u64 gives = least(missing, f->assigned - least(most(needs, minimum), f->assigned));
        target = least(target, f->assigned - gives);
    } else if (target > f->assigned) {
        target = least(target, f->assigned + room);
    }
    wish.target = most(whole(target), minimum);
    return wish;
}
