/*
 * irqfd: the program signals an event, and a GSI gets an edge; or, with resampling, a level that lasts until the guest
 * ends the interrupt, which a second event reports to the program.
 *
 * Calls of KVM_IRQFD come one at a time. The VM's thread waits on the events, for those that other processes signal or
 * that the program signals in other ways than by write(). The controllers' lock guards the list; ends of interrupts are
 * reported with that lock held.
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
    int pid;                         /* of the process whose VM it is */
    struct event_fd event, resample; /* resample.fd is -1 without resampling */
};

struct irqfds {
    struct api_host *host;
    struct irqchip *chip;
    struct irqfd *list;
};

void irqfds_init(struct irqfds *all, struct api_host *host, struct irqchip *chip);
/* Called when the host's thread has ended. */
void irqfds_destroy(struct irqfds *all);
/* KVM_IRQFD. Returns 0, -EINVAL, -EBUSY, -ENOMEM or an error of a descriptor. */
int MUST_CHECK irqfds_change(struct irqfds *all, const struct kvm_irqfd *k);

/* The program writes eight bytes to the descriptor. True: that was an irqfd, and its interrupt has come; the event has
 * not, as with KVM, which takes it at once. False: write them. [any, signal handlers too] */
bool irqfd_write(int fd, const void *bytes);

#endif
