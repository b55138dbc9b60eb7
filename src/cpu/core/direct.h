/*
 * What a VM's vCPUs share about user code that the host's CPU executes (docs/direct.md): notes of pages of guest memory
 * that processes may no longer have mapped as they have. Anybody adds a note and then asks vCPUs to stop; each address
 * space reads those that it has not read before its process goes on.
 */
#ifndef CPU_CORE_DIRECT_H
#define CPU_CORE_DIRECT_H

#include "cpu/core/host.h"
#include "cpu/core/spin.h"
#include "cpu/core/tunables.h"

struct direct_notes {
    u32 lock;       /* [a] guards the notes */
    u64 count;      /* [a] of all notes ever made */
    u32 generation; /* [exclusive] how often slots of memory went: processes made before are of no use */
    bool ended;     /* [exclusive] all user code is translated from now on */
    struct direct_note {
        u64 host, size;
    } note[DIRECT_NOTES];
};

/* [any] The pages of this host memory may no longer be written, or not be executed. */
static inline void direct_note(struct direct_notes *n, u64 host, u64 size)
{
    spin_lock(&n->lock);
    n->note[n->count % DIRECT_NOTES] = (struct direct_note){host, size};
    __atomic_store_n(&n->count, n->count + 1, __ATOMIC_RELEASE);
    spin_unlock(&n->lock);
}

/* Reads note number `at`. False: it is gone, or there is none yet. */
static inline bool direct_note_read(struct direct_notes *n, u64 at, struct direct_note *out)
{
    spin_lock(&n->lock);
    bool there = at < n->count && n->count - at <= DIRECT_NOTES;
    *out = n->note[at % DIRECT_NOTES];
    spin_unlock(&n->lock);
    return there;
}

#endif
