/*
 * The program's event descriptors. What KVM holds is the event behind a descriptor, which stays when the program closes
 * the descriptor; so each descriptor is copied.
 */
#ifndef KVMAPI_EVENTFD_H
#define KVMAPI_EVENTFD_H

#include "base/types.h"

struct event_fd {
    int fd;     /* our copy; -1: none */
    int number; /* the program's, when the copy was made */
};

/* Returns 0 or -errno: -EBADF, -EINVAL if it is no eventfd. */
int MUST_CHECK eventfd_copy(struct event_fd *e, int number);
void eventfd_close(struct event_fd *e);
/* Is it the event that the program's descriptor of this number is now? */
bool eventfd_is(const struct event_fd *e, int number);
/* The same, and false where the kernel does not say it. Takes no lock. */
bool eventfd_is_surely(const struct event_fd *e, int number);
/* [any] */
void eventfd_signal(const struct event_fd *e);
/* Takes all signals that came; returns false if none did. */
bool eventfd_take(const struct event_fd *e);

#endif
