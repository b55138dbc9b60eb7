/*
 * How much memory a VM is to have: static at its start, dynamic while it runs. Pure.
 */
#ifndef WORKER_MEMORY_POLICY_H
#define WORKER_MEMORY_POLICY_H

#include "rules/vm_settings.h"

#define MEMORY_UNIT (2ull << 20)

/* How far memory can grow after the start. */
u64 memory_limit_of(const struct vm_settings *set, u64 host_memory);

struct memory_facts {
    u64 assigned;                     /* now, all ways together */
    u64 guest_total, guest_available; /* as the guest says; a total of 0: it says nothing */
    u64 silent_demand;                /* what it needed when it last said something; 0: it never did */
    u64 host_total, host_available;
    u64 limit;   /* of the machine */
    bool frozen; /* a rule of the host's profile forbids changes */
};

enum memory_status { MEMORY_UNKNOWN, MEMORY_OK, MEMORY_LOW, MEMORY_WARNING };

struct memory_wish {
    u64 target; /* what it is to have next */
    u64 demand; /* what it would have if the host had enough: what it uses, and the buffer */
    enum memory_status status;
};

/* Of dynamic memory. It grows at once, as far as the host has room, and shrinks by half of what is too much; a host
 * that is short takes from it, and earlier from a VM of low priority. A guest that no longer says anything may be too
 * short of memory to do so: it gets what it needed last, then more step by step, and loses nothing. */
struct memory_wish memory_wish(const struct vm_settings *set, const struct memory_facts *facts);
/* What the host is to keep for others: more, if the VM's priority is low. */
u64 memory_kept(u64 host_total, u32 priority);

#endif
