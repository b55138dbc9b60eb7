/*
 * The table of GSI routes. Entries are checked one by one as KVM_SET_GSI_ROUTING does, then sorted by GSI, so that a
 * GSI's routes lie side by side.
 */
#include "kvmapi/routing.h"

#include "x86/apic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int entry_route(const struct routing_rules *rules, const struct kvm_irq_routing_entry *e, struct route *r)
{
    u32 pin = e->u.irqchip.pin;
    if (e->gsi >= GSI_MAX)
        return -EINVAL;
    switch (e->type) {
    case KVM_IRQ_ROUTING_MSI:
        if (e->flags & ~KVM_MSI_VALID_DEVID || (rules->wide && e->u.msi.address_hi & 0xff))
            return -EINVAL;
        *r = (struct route){
            .to = ROUTE_MSI, .address = (u64)e->u.msi.address_hi << 32 | e->u.msi.address_lo, .data = e->u.msi.data};
        return 0;
    case KVM_IRQ_ROUTING_HV_SINT:
        *r = (struct route){.to = ROUTE_SINT, .address = e->u.hv_sint.vcpu, .data = e->u.hv_sint.sint};
        return e->flags ? -EINVAL : 0;
    case KVM_IRQ_ROUTING_IRQCHIP:
        if (e->flags || !rules->controllers)
            return -EINVAL;
        if (e->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC) {
            *r = (struct route){.to = ROUTE_IOAPIC, .pin = (u8)pin};
            return pin < ROUTE_PINS ? 0 : -EINVAL;
        }
        *r = (struct route){.to = ROUTE_PIC, .pin = (u8)(pin + PIC_PINS * e->u.irqchip.irqchip)};
        return e->u.irqchip.irqchip <= KVM_IRQCHIP_PIC_SLAVE && pin < PIC_PINS ? 0 : -EINVAL;
    }
    return -EINVAL;
}

/* May both belong to one GSI? Inputs of different chips may. */
static bool agree(const struct route *a, const struct route *b)
{
    return a->to < ROUTE_MSI && b->to < ROUTE_MSI &&
           (a->to != b->to || (a->to == ROUTE_PIC && a->pin / PIC_PINS != b->pin / PIC_PINS));
}

/* Puts the routes in order: counting sort. */
static int sort(struct routing *r, const struct kvm_irq_routing_entry *entry, const struct route *route, u32 n)
{
    for (u32 i = 0; i < n; i++)
        r->first[entry[i].gsi + 1]++;
    for (u32 gsi = 0; gsi < GSI_MAX; gsi++) {
        if (r->first[gsi + 1] > GSI_ROUTES)
            return -EINVAL;
        r->first[gsi + 1] += r->first[gsi];
    }
    u8 placed[GSI_MAX] = {0};
    for (u32 i = 0; i < n; i++) {
        u32 gsi = entry[i].gsi;
        struct route *first = &r->route[r->first[gsi]];
        for (u32 k = 0; k < placed[gsi]; k++) {
            if (!agree(&first[k], &route[i]))
                return -EINVAL;
        }
        first[placed[gsi]++] = route[i];
    }
    r->routes = n;
    return 0;
}

int routing_set(struct routing *r, const struct routing_rules *rules, const struct kvm_irq_routing_entry *entry,
                u32 entries)
{
    struct routing *made = calloc(1, sizeof(*made));
    struct route *route = calloc(entries + 1, sizeof(*route));
    int e = -ENOMEM;
    if (made)
        made->route = calloc(entries + 1, sizeof(*route));
    if (made && made->route && route) {
        e = entries > GSI_MAX ? -EINVAL : 0;
        for (u32 i = 0; i < entries && !e; i++)
            e = entry_route(rules, &entry[i], &route[i]);
        if (!e)
            e = sort(made, entry, route, entries);
    }
    free(route);
    if (!e) {
        routing_destroy(r);
        *r = *made;
    } else if (made) {
        free(made->route);
    }
    free(made);
    return e;
}

int routing_default(struct routing *r)
{
    struct kvm_irq_routing_entry entry[ROUTE_PINS + 2 * PIC_PINS];
    memset(entry, 0, sizeof(entry));
    u32 n = 0;
    for (u32 gsi = 0; gsi < ROUTE_PINS; gsi++) {
        entry[n].gsi = gsi;
        entry[n].type = KVM_IRQ_ROUTING_IRQCHIP;
        entry[n].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
        entry[n++].u.irqchip.pin = gsi;
        if (gsi >= 2 * PIC_PINS)
            continue;
        entry[n].gsi = gsi;
        entry[n].type = KVM_IRQ_ROUTING_IRQCHIP;
        entry[n].u.irqchip.irqchip = gsi / PIC_PINS;
        entry[n++].u.irqchip.pin = gsi % PIC_PINS;
    }
    return routing_set(r, &(struct routing_rules){.controllers = true}, entry, n);
}

void routing_destroy(struct routing *r)
{
    free(r->route);
    *r = (struct routing){0};
}

int routing_gsi(const struct routing *r, enum route_to to, u8 pin)
{
    for (u32 gsi = 0; gsi < GSI_MAX; gsi++) {
        for (u32 i = r->first[gsi]; i < r->first[gsi + 1]; i++) {
            if (r->route[i].to == to && r->route[i].pin == pin)
                return (int)gsi;
        }
    }
    return -1;
}

void routing_level_vectors(const struct routing *r, u32 gsis, u64 vectors[4])
{
    memset(vectors, 0, 4 * sizeof(*vectors));
    for (u32 i = 0; i < r->first[gsis < GSI_MAX ? gsis : GSI_MAX]; i++) {
        u8 vector = (u8)r->route[i].data;
        if (r->route[i].to == ROUTE_MSI && r->route[i].data & MSI_LEVEL)
            vectors[vector / 64] |= BIT64(vector % 64);
    }
}
