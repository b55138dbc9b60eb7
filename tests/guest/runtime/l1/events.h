/*
 * A handler of L2's interrupts and exceptions that notes what it was entered for.
 */
#ifndef TESTS_GUEST_EVENTS_H
#define TESTS_GUEST_EVENTS_H

#include "runtime.h"

/* How many came since the test cleared `taken`, and what the last one was. */
extern volatile u64 taken, taken_vector, taken_error, taken_rip;

void on_event(struct frame *f);
/* Does the same for interrupts of the local APIC, with EOI. */
void on_interrupt(struct frame *f);

#endif
