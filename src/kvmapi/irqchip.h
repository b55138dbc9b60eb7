/*
 * The interrupt controllers that the KVM API has "in the kernel": a pair of 8259s, an I/O APIC and a PIT beside the
 * engine's local APICs, or the local APICs alone (split), or nothing; and the GSIs that lead to them.
 *
 * Threads: functions marked [any] take the lock; callbacks of the engine do so on vCPU threads. Lock order: this one is
 * held for one access or one line, and what is called meanwhile takes no other lock but the engine's for an interrupt.
 */
#ifndef KVMAPI_IRQCHIP_H
#define KVMAPI_IRQCHIP_H

#include "bus/clock.h"
#include "cpu/cpu.h"
#include "dev/i8254.h"
#include "dev/i8259.h"
#include "dev/ioapic.h"
#include "kvmapi/routing.h"

enum irqchip_kind { IRQCHIP_NONE, IRQCHIP_FULL, IRQCHIP_SPLIT };

/* Who drives a GSI. An input is high while any of them drives it high. */
enum gsi_source { GSI_USER, GSI_RESAMPLE, GSI_PIT };

/* Who hears of the end of interrupts: irqfd.c. */
struct resampling {
    void (*ended)(void *opaque, u32 gsi); /* with the lock; may drive lines */
    void *opaque;
    u32 count; /* nobody listens if it is 0 */
};

struct irqchip {
    pthread_mutex_t lock;
    enum irqchip_kind kind; /* set once, before the first vCPU */
    u32 split_gsis;         /* split: end-of-interrupt exits are for messages of GSIs below this */
    u64 split_vectors[4];   /* [a] of those messages */
    struct vm *vm;
    struct routing routing;
    bool wide_ids, exact_ids; /* KVM_X2APIC_API_USE_32BIT_IDS, KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK */
    struct resampling resampling;

    /* IRQCHIP_FULL */
    struct i8259 pic;
    struct ioapic ioapic;
    u64 ioapic_base;
    u8 pic_driven[I8259_LINES], ioapic_driven[IOAPIC_PINS]; /* bits of sources */

    bool has_pics, has_pit, has_speaker; /* [a] */
    struct i8254 pit;
    struct machine_clock clock;
};

/* Begins without controllers. The VM has no vCPU yet. */
void irqchip_init(struct irqchip *chip, struct vm *vm);
void irqchip_destroy(struct irqchip *chip);

/* KVM_CREATE_IRQCHIP, KVM_CAP_SPLIT_IRQCHIP, KVM_CREATE_PIT2. They return 0, -EEXIST, -EINVAL, -ENOENT, -ENOMEM or
 * another error of the host. The first two are possible while there is no vCPU. */
int MUST_CHECK irqchip_create(struct irqchip *chip);
int MUST_CHECK irqchip_split(struct irqchip *chip, u64 gsis);
int MUST_CHECK irqchip_pit(struct irqchip *chip, bool speaker);

/* KVM_CAP_X2APIC_API */
void irqchip_ids(struct irqchip *chip, bool wide, bool exact);

/* KVM_SET_GSI_ROUTING */
int MUST_CHECK irqchip_route(struct irqchip *chip, const struct kvm_irq_routing_entry *entry, u32 entries);

/* [any] KVM_IRQ_LINE_STATUS: drives a GSI. Returns how many CPUs or controllers took it; 0 if it is pending there
 * already; -1 if nobody wants it. irqchip_drive is for callers that hold the lock. */
int irqchip_line(struct irqchip *chip, u32 gsi, bool level);
int irqchip_drive(struct irqchip *chip, enum gsi_source source, u32 gsi, bool level);
/* [any] Drives a rising and a falling edge. */
int irqchip_pulse(struct irqchip *chip, u32 gsi);
/* [any] KVM_SIGNAL_MSI: sends a message, with the same results. */
int irqchip_message(struct irqchip *chip, u64 address, u32 data);

/* For struct machine, on vCPU threads. They return false if the access is not for the controllers. */
bool irqchip_io_read(struct irqchip *chip, u16 port, unsigned size, u32 *value);
bool irqchip_io_write(struct irqchip *chip, u16 port, u32 value, unsigned size);
bool irqchip_mmio_read(struct irqchip *chip, u64 gpa, unsigned size, u64 *value);
bool irqchip_mmio_write(struct irqchip *chip, u64 gpa, u64 value, unsigned size);
int irqchip_ack(struct irqchip *chip);
/* Returns true if the program wants to know of the end of interrupt (KVM_EXIT_IOAPIC_EOI). */
bool irqchip_eoi(struct irqchip *chip, u8 vector);

static inline bool irqchip_exists(const struct irqchip *chip)
{
    return chip->kind != IRQCHIP_NONE;
}

#endif
