/*
 * irqfd: the program signals an event, and a GSI gets an edge; or, with resampling, a level that lasts until the guest
 * ends the interrupt, of which a second event tells the program.
 *
 * KVM_IRQFD comes one at a time. The VM's thread waits on the events. The list is guarded by the controllers' lock,
 * with which ends of interrupts come too.
 */
#ifndef KVMAPI_IRQFD_H
#define KVMAPI_IRQFD_H

#include "kvmapi/eventfd.h"
#include "kvmapi/host.h"
#include "kvmapi/irqchip.h"

struct irqfd {
    struct host_watch watch; /* first; its descriptor is that of `event` */
    struct irqfds *all;
    struct irqfd *next;
    u32 gsi;
    struct event_fd event, resample; /* the second: fd -1, there is none */
};

struct irqfds {
    struct api_host *host;
    struct irqchip *chip;
    struct irqfd *list;
};

void irqfds_init(struct irqfds *all, struct api_host *host, struct irqchip *chip);
/* The host's thread has ended. */
void irqfds_destroy(struct irqfds *all);
/* KVM_IRQFD: 0, -EINVAL, -EAGAIN, -EBUSY, -ENOMEM or an error of a descriptor. */
int MUST_CHECK irqfds_change(struct irqfds *all, const struct kvm_irqfd *k);

#endif
