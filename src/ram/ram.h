/*
 * Guest memory of a VM: the slots that its owner sets, as with KVM_SET_USER_MEMORY_REGION, and access for everybody who
 * is no vCPU: devices, loaders, the owner of the VM.
 *
 * The host memory of a slot is its owner's: it may be private, shared with other processes, or given back to the host
 * page by page. Who changes it in other ways than by a vCPU or by ram_write must call ram_written, or translated code
 * may outlive its bytes: docs/memory.md "Memory of others".
 */
#ifndef RAM_RAM_H
#define RAM_RAM_H

#include "ram/slot.h"

struct ram_ring; /* ring.h */

/* Returns NULL if there is not enough memory. */
struct ram *ram_create(void);
/* The host memory of slots stays its owner's. */
void ram_destroy(struct ram *r);

/* From now on the accelerator runs vCPUs on this memory; it is told of the slots that there are. Returns 0, or what the
 * accelerator returned; then it is not attached. */
int MUST_CHECK ram_attach(struct ram *r, const struct ram_ops *ops, void *opaque);
void ram_detach(struct ram *r);

struct ram_region {
    u32 id;
    u32 flags; /* RAM_LOG_DIRTY, RAM_READONLY, RAM_FOREIGN, RAM_ALL_DIRTY */
    gpa_t start;
    u64 size;
    void *host;
};
/* All pages count as written when logging begins. */
#define RAM_ALL_DIRTY BIT(2)

/*
 * Makes, moves, changes or (size 0) removes the slot `id` of an address space, while vCPUs may run: afterwards none of
 * them sees what was before. Returns, as KVM does, 0 or:
 * -EINVAL  not whole pages, beyond 2^52 or the number of slots; or size, host memory, RAM_READONLY or RAM_FOREIGN of
 *          a slot that exists would change; or a slot is removed that does not exist
 * -EEXIST  another slot is in the way
 * -ENOMEM  and whatever the accelerator refuses
 */
int MUST_CHECK ram_slot_set(struct ram *r, u32 space, const struct ram_region *g);

/* -- for devices and loaders: addresses of space 0 -- */

/* [any] Copy from and to guest memory. Return false, with nothing done, unless all of the range is RAM, and when
 * writing no ROM. */
bool MUST_CHECK ram_read(struct ram *r, gpa_t at, void *to, u64 size);
bool MUST_CHECK ram_write(struct ram *r, gpa_t at, const void *from, u64 size);
bool MUST_CHECK ram_fill(struct ram *r, gpa_t at, u8 value, u64 size);
/*
 * Returns the host address of a range, or NULL unless all of it lies in one slot that is no ROM. The range counts as
 * written at once: this is for loaders, which build things in guest memory while no vCPU runs and no slot changes.
 */
void *ram_pointer(struct ram *r, gpa_t at, u64 size);
/* [any] The range was written through a mapping that the caller has. */
void ram_written(struct ram *r, gpa_t at, u64 size);
/* Finds the guest-physical address of a byte of host memory; false if it belongs to no slot of space 0. Takes no lock:
 * for signal handlers, while no slot changes. */
bool ram_gpa(const struct ram *r, const void *host, gpa_t *at);

/* -- dirty pages -- */

/*
 * Ends an epoch of a slot that is logged: bit n of the bitmap, which has room for whole words of 64 pages, says whether
 * page n was written since the last one. With `keep` the epoch goes on: ram_dirty_clear ends it for single pages.
 * -ENOENT: there is no such slot, or it is not logged.
 */
int MUST_CHECK ram_dirty_get(struct ram *r, u32 space, u32 id, u64 *bitmap, bool keep);
/* Ends the epoch of those of `count` pages from `first` whose bit is set; bit 0 is page `first`. -EINVAL: not a whole
 * number of words, or beyond the slot. */
int MUST_CHECK ram_dirty_clear(struct ram *r, u32 space, u32 id, u64 first, u64 count, const u64 *bitmap);

/* Ends the epoch of the pages in entries of rings that were taken, up to the first that was not. Gives how many. */
u32 ram_rings_reset(struct ram *r, struct ram_ring *const *ring, u32 count);
/* By the ring's producer: pages that are late get their entries, as far as there is room. */
void ram_ring_settle(struct ram *r, struct ram_ring *ring);

#endif
