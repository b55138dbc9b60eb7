/*
 * Delivery of exceptions, interrupts and NMIs through the IDT or the real-mode vector table, double and triple faults.
 */
#ifndef CPU_EVENT_EXCEPTION_H
#define CPU_EVENT_EXCEPTION_H

#include "cpu/core/fault.h"
#include "cpu/core/vcpu.h"

/*
 * Delivers v->fault, which the current instruction raised (RIP is at the instruction). Asks v->nested->exception first
 * in L2. Contributory and page faults during delivery become #DF; beyond that a triple fault (NEV_TRIPLE_FAULT in L2,
 * else CPU_EXIT with CPU_EXIT_SHUTDOWN). CPU_OK: the handler's first instruction is next; #DB merges payload into DR6,
 * #PF loads CR2. Source: SDM vol. 3A "Interrupt and Exception Handling".
 */
MUST_CHECK enum outcome exception_deliver(struct vcpu *v);

/* RFLAGS as they are pushed for an exception or a software interrupt of an instruction. SDM vol. 3B "Resume Flag": RF
 * is set for faults, clear for software interrupts, and as it is for traps, aborts and instruction breakpoints. */
u64 exception_flags(const struct vcpu *v, const struct event *e);

/* What becomes of one: an exit of L2, or shutdown. */
MUST_CHECK enum outcome exception_triple_fault(struct vcpu *v);

/*
 * Delivers an event that is not a fault of the current instruction: external interrupt, NMI, or an injected event of
 * any type (VM entry). v->delivering describes it while it lasts. Faults on the way are handled as above and may cause
 * nested exits. Not subject to exception intercepts itself.
 */
MUST_CHECK enum outcome event_deliver(struct vcpu *v, const struct event *e);

/* INT n, INT3, INTO, INT1 from their handlers: privilege checks against the gate apply. RIP pushed is v->next_rip. */
MUST_CHECK enum outcome soft_interrupt(struct vcpu *v, u8 vector, enum event_type type);

/* Looks at INIT, SIPI, NMI, interrupts, windows, in the order of the manual, and delivers at most one. Called by the
 * dispatcher when REQ_EVENT is set or something was unmasked. (events.c) */
MUST_CHECK enum outcome events_process(struct vcpu *v);
/* Would a vector that the caller gives be taken at the next look? (events.c) */
bool events_push_taken(struct vcpu *v);

/* An IRET completed, or its fault is about to be delivered: NMI blocking ends if it was on. */
void iret_unblock(struct vcpu *v);

/* One attempt to enter the handler of `e`; a fault on the way is left in v->fault, EXT not yet set. (idt.c) */
MUST_CHECK enum outcome idt_deliver(struct vcpu *v, const struct event *e, u64 return_ip, u64 rflags);

/* Delivers what an instruction, an access or an event left behind. */
void settle(struct vcpu *v, enum outcome out);

#endif
