/*
 * See events.h.
 */
#include "events.h"

volatile u64 taken, taken_vector, taken_error, taken_rip;

void on_event(struct frame *f)
{
    taken++;
    taken_vector = f->vector;
    taken_error = f->error;
    taken_rip = f->rip;
}

void on_interrupt(struct frame *f)
{
    on_event(f);
    apic_write(APIC_EOI, 0);
}
