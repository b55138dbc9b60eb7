/*
 * The models' state from and to KVM's structs. KVM's structs do not have all of it: the 8259's LTIM bit and "single"
 * mode are as after ICW1 of a PC; the PIT's channels are as if loaded at the time that the struct says.
 *
 * A bit of the I/O APIC's irr is the level of its input if the entry is level-triggered. If it is edge-triggered, the
 * bit says that an edge waits. In this model none does, because a masked edge is forgotten; but an edge that another
 * KVM left there comes now.
 */
#include "kvmapi/irqchip_state.h"

#include <string.h>

/* -- 8259 -- */

/* KVM's init_state is the next ICW's number less one, and 0 when there is none. */
static void pic_get(const struct i8259_chip *c, struct kvm_pic_state *k)
{
    *k = (struct kvm_pic_state){
        .last_irr = c->line,
        .irr = c->irr,
        .imr = c->imr,
        .isr = c->isr,
        .priority_add = (c->lowest + 1) % 8,
        .irq_base = c->base,
        .read_reg_select = c->read_isr,
        .poll = c->poll,
        .special_mask = c->special_mask,
        .init_state = c->init ? c->init - 1 : 0,
        .auto_eoi = c->auto_eoi,
        .rotate_on_auto_eoi = c->rotate_auto_eoi,
        .special_fully_nested_mode = c->special_nested,
        .init4 = c->icw4_due != 0,
        .elcr = c->elcr,
        .elcr_mask = c == &c->pic->chip[0] ? I8259_ELCR_MASTER : I8259_ELCR_SLAVE,
    };
}

static void pic_set(struct i8259_chip *c, const struct kvm_pic_state *k)
{
    *c = (struct i8259_chip){
        .pic = c->pic,
        .line = k->last_irr,
        .irr = k->irr,
        .imr = k->imr,
        .isr = k->isr,
        .lowest = (k->priority_add + 7u) % 8,
        .base = k->irq_base & 0xf8,
        .read_isr = k->read_reg_select & 1,
        .poll = k->poll,
        .special_mask = k->special_mask,
        .init = k->init_state >= 1 && k->init_state <= 3 ? k->init_state + 1 : 0,
        .auto_eoi = k->auto_eoi,
        .rotate_auto_eoi = k->rotate_on_auto_eoi,
        .special_nested = k->special_fully_nested_mode,
        .icw4_due = k->init4 != 0,
        .elcr = k->elcr & (c == &c->pic->chip[0] ? I8259_ELCR_MASTER : I8259_ELCR_SLAVE),
    };
}

/* -- I/O APIC -- */

static void ioapic_get(const struct irqchip *chip, struct kvm_ioapic_state *k)
{
    const struct ioapic *io = &chip->ioapic;
    *k = (struct kvm_ioapic_state){.base_address = chip->ioapic_base, .ioregsel = io->select, .id = io->id};
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        k->redirtbl[i].bits = io->entry[i];
        if (io->entry[i] & IOAPIC_LEVEL)
            k->irr |= io->line & BIT(i);
    }
}

static void ioapic_put(struct irqchip *chip, const struct kvm_ioapic_state *k)
{
    struct ioapic *io = &chip->ioapic;
    u32 waits = 0;
    __atomic_store_n(&chip->ioapic_base, k->base_address, __ATOMIC_RELAXED);
    io->select = (u8)k->ioregsel;
    io->id = k->id & 15;
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        io->entry[i] = k->redirtbl[i].bits & IOAPIC_ENTRY_BITS;
        if (io->entry[i] & IOAPIC_LEVEL)
            io->line = (io->line & ~BIT(i)) | (k->irr & BIT(i));
        else
            waits |= k->irr & BIT(i);
    }
    ioapic_changed(io);
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        if (waits >> i & 1) {
            ioapic_drive(io, i, false);
            ioapic_drive(io, i, true);
            ioapic_drive(io, i, false);
        }
    }
}

bool irqchip_state_get(struct irqchip *chip, struct kvm_irqchip *k)
{
    switch (k->chip_id) {
    case KVM_IRQCHIP_PIC_MASTER:
    case KVM_IRQCHIP_PIC_SLAVE: pic_get(&chip->pic.chip[k->chip_id], &k->chip.pic); return true;
    case KVM_IRQCHIP_IOAPIC: ioapic_get(chip, &k->chip.ioapic); return true;
    }
    return false;
}

bool irqchip_state_set(struct irqchip *chip, const struct kvm_irqchip *k)
{
    switch (k->chip_id) {
    case KVM_IRQCHIP_PIC_MASTER:
    case KVM_IRQCHIP_PIC_SLAVE:
        pic_set(&chip->pic.chip[k->chip_id], &k->chip.pic);
        i8259_changed(&chip->pic);
        return true;
    case KVM_IRQCHIP_IOAPIC: ioapic_put(chip, &k->chip.ioapic); return true;
    }
    return false;
}

/* -- PIT -- */

#define PIT_CHANNELS 3
/* KVM's read_state and write_state: which byte comes next. */
enum { BYTE_LOW = 1, BYTE_HIGH, WORD_LOW, WORD_HIGH };

static u8 next_byte(const struct i8254_channel *c, bool high)
{
    if (c->access != I8254_LOW_HIGH)
        return c->access == I8254_HIGH ? BYTE_HIGH : BYTE_LOW;
    return high ? WORD_HIGH : WORD_LOW;
}

/* KVM's times are of the host's monotonic clock. */
static u64 host_time(const struct irqchip *chip, u64 ns)
{
    return ns + chip->clock.offset_ns;
}

void pit_state_get(struct irqchip *chip, struct kvm_pit_state2 *k)
{
    memset(k, 0, sizeof(*k));
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        const struct i8254_channel *c = &chip->pit.channel[i];
        u64 loaded;
        k->channels[i] = (struct kvm_pit_channel_state){
            .count = i8254_count_get(&chip->pit, i, &loaded),
            .latched_count = c->latch,
            .count_latched = c->latched ? next_byte(c, c->read_high) : 0,
            .status_latched = c->status_latched,
            .status = c->status,
            .read_state = next_byte(c, c->read_high),
            .write_state = next_byte(c, c->write_high),
            .write_latch = c->write_low,
            .rw_mode = c->access,
            .mode = c->mode,
            .bcd = c->bcd,
            .gate = c->gate,
        };
        k->channels[i].count_load_time = (s64)host_time(chip, loaded);
    }
    k->flags = (chip->pit.irq_disabled ? KVM_PIT_FLAGS_HPET_LEGACY : 0) |
               (chip->pit.speaker & I8254_SPEAKER_DATA ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0);
}

static void channel_set(struct irqchip *chip, unsigned i, const struct kvm_pit_channel_state *k, u64 now)
{
    struct i8254_channel *c = &chip->pit.channel[i];
    u64 loaded = (u64)k->count_load_time - chip->clock.offset_ns;
    bool past = (u64)k->count_load_time >= chip->clock.offset_ns && loaded <= now;
    *c = (struct i8254_channel){
        .mode = k->mode <= I8254_HARDWARE_STROBE ? k->mode : I8254_SQUARE_WAVE,
        .access = k->rw_mode & 3,
        .bcd = k->bcd,
        .gate = k->gate,
        .write_high = k->write_state == WORD_HIGH,
        .read_high = k->read_state == WORD_HIGH,
        .write_low = k->write_latch,
        .status_latched = k->status_latched,
        .status = k->status,
        .latched = k->count_latched ? (k->count_latched == WORD_LOW ? 2 : 1) : 0,
        .latch = k->latched_count,
    };
    i8254_count_set(&chip->pit, i, k->count <= 0x10000 ? k->count : 0, i && past ? loaded : now);
}

void pit_state_set(struct irqchip *chip, const struct kvm_pit_state2 *k, bool flags)
{
    u64 now = chip->clock.clock.now_ns(chip->clock.clock.opaque);
    if (flags) {
        i8254_irq_disable(&chip->pit, k->flags & KVM_PIT_FLAGS_HPET_LEGACY);
        chip->pit.speaker = (u8)((chip->pit.speaker & ~I8254_SPEAKER_DATA) |
                                 (k->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? I8254_SPEAKER_DATA : 0));
    }
    if (k->channels[2].gate)
        chip->pit.speaker |= I8254_SPEAKER_GATE;
    else
        chip->pit.speaker &= (u8)~I8254_SPEAKER_GATE;
    for (unsigned i = 0; i < PIT_CHANNELS; i++)
        channel_set(chip, i, &k->channels[i], now);
}
