/*
 * Where a GSI leads: to inputs of interrupt controllers, or to a message (KVM_SET_GSI_ROUTING). One table per VM, which
 * is replaced as a whole. No lock of its own: whoever has the controllers guards it with theirs.
 */
#ifndef KVMAPI_ROUTING_H
#define KVMAPI_ROUTING_H

#include "base/types.h"

#include <linux/kvm.h>

#define GSI_MAX 4096   /* GSIs are below this, and the table has so many entries at most */
#define GSI_ROUTES 3   /* of one GSI: to each of the two 8259s and to the I/O APIC */
#define PIC_PINS 8     /* of one 8259 */
#define ROUTE_PINS 24u /* of the I/O APIC */

enum route_to { ROUTE_PIC, ROUTE_IOAPIC, ROUTE_MSI, ROUTE_SINT };

struct route {
    u8 to;       /* enum route_to */
    u8 pin;      /* of both 8259s: 0 to 15 */
    u32 data;    /* of a message; or the number of a SINT, a source of Hyper-V's controller */
    u64 address; /* with address_hi; or the SINT's virtual processor */
};

struct routing {
    struct route *route; /* sorted by GSI */
    u32 routes;
    u32 first[GSI_MAX + 1]; /* index of each GSI's first route; the last one is behind all */
};

/* What a VM may ask for. */
struct routing_rules {
    bool controllers; /* it has controllers to lead to */
    bool wide;        /* KVM_X2APIC_API_USE_32BIT_IDS: bits 7:0 of address_hi must be zero then */
};

/* Replaces the table. Returns 0; or -EINVAL or -ENOMEM, and the old table stays. */
int MUST_CHECK routing_set(struct routing *r, const struct routing_rules *rules,
                           const struct kvm_irq_routing_entry *entry, u32 entries);
/* Makes the table that KVM_CREATE_IRQCHIP makes: 0 to 15 lead to both kinds of controllers, 16 to 23 to the I/O APIC.
 */
int MUST_CHECK routing_default(struct routing *r);
void routing_destroy(struct routing *r);

/* Returns the number of routes of a GSI; *route is the first. */
static inline u32 routing_find(const struct routing *r, u32 gsi, const struct route **route)
{
    if (gsi >= GSI_MAX || !r->routes)
        return 0;
    *route = &r->route[r->first[gsi]];
    return r->first[gsi + 1] - r->first[gsi];
}
/* Returns the first GSI that leads to this pin, or -1. */
int routing_gsi(const struct routing *r, enum route_to to, u8 pin);
/* Sets the bits of the vectors of level-triggered messages of GSIs below `gsis`. */
void routing_level_vectors(const struct routing *r, u32 gsis, u64 vectors[4]);

#endif
