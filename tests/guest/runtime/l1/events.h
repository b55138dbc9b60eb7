/*
 * A handler of L2's interrupts and exceptions that notes what it was entered for.
 */
#ifndef TESTS_GUEST_EVENTS_H
#define TESTS_GUEST_EVENTS_H

#include "runtime.h"

/* How often since the test cleared it, and the last time's frame. */
extern volatile u64 taken, taken_vector, taken_error, taken_rip;

void on_event(struct frame *f);
/* The same for interrupts of the local APIC, which it ends. */
void on_interrupt(struct frame *f);

#endif
