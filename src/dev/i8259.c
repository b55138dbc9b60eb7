/*
 * 8259A pair. Called by the machine under its lock: vCPU threads for ports and INTA, any device for input lines.
 *
 * Edge-triggered requests are latched until acknowledged even if the line drops before, as emulated controllers do and
 * old drivers have come to rely on. The slave's output feeds line 2 of the master as a level, so it never leaves a
 * stale request behind. Source: Intel 8259A data sheet; ELCR: PIIX and ICH data sheets.
 */
#include "dev/i8259.h"

#define CHIP_LINES 8
#define CASCADE 2
#define SPURIOUS 7
#define VECTOR_BASE 0xf8 /* bits of ICW2 that count */

/* Returns the line at a position in the order of falling priority, which starts behind `lowest`. */
static unsigned chip_line(const struct i8259_chip *c, unsigned position)
{
    return (c->lowest + 1 + position) % CHIP_LINES;
}

/* Returns the position of the line with the highest priority in `mask`; CHIP_LINES for none. */
static unsigned chip_priority(const struct i8259_chip *c, u8 mask)
{
    unsigned p = 0;
    while (p < CHIP_LINES && !(mask >> chip_line(c, p) & 1))
        p++;
    return p;
}

/* Returns the line that the chip requests service for, or -1. */
static int chip_request(const struct i8259_chip *c)
{
    u8 serviced = c->isr;
    if (c->special_mask)
        serviced &= (u8)~c->imr;
    if (c->special_nested && c == &c->pic->chip[0])
        serviced &= (u8)~BIT(CASCADE);
    unsigned p = chip_priority(c, c->irr & (u8)~c->imr);
    if (p == CHIP_LINES || p >= chip_priority(c, serviced))
        return -1;
    return (int)chip_line(c, p);
}

static bool chip_is_level(const struct i8259_chip *c, unsigned line)
{
    return c->level_all || (c->elcr >> line & 1) || (c == &c->pic->chip[0] && line == CASCADE);
}

static void chip_set(struct i8259_chip *c, unsigned line, bool level)
{
    u8 bit = (u8)BIT(line);
    if (chip_is_level(c, line))
        c->irr = level ? c->irr | bit : c->irr & (u8)~bit;
    else if (level && !(c->line & bit))
        c->irr |= bit;
    c->line = level ? c->line | bit : c->line & (u8)~bit;
}

static void pic_update(struct i8259 *pic)
{
    chip_set(&pic->chip[0], CASCADE, chip_request(&pic->chip[1]) >= 0);
    bool level = chip_request(&pic->chip[0]) >= 0;
    if (level != pic->intr_level) {
        pic->intr_level = level;
        irq_set(&pic->intr, level);
    }
}

/* The interrupts of these lines have ended: they are in service no longer. */
static void chip_ended(struct i8259_chip *c, u8 lines)
{
    struct i8259 *pic = c->pic;
    c->isr &= (u8)~lines;
    for (unsigned i = 0; pic->ended && i < CHIP_LINES; i++) {
        if (lines >> i & 1)
            pic->ended(pic->ended_opaque, i + (c == &pic->chip[1] ? CHIP_LINES : 0));
    }
}

static void chip_ack(struct i8259_chip *c, unsigned line)
{
    if (!chip_is_level(c, line))
        c->irr &= (u8)~BIT(line);
    if (!c->auto_eoi) {
        c->isr |= (u8)BIT(line);
        return;
    }
    if (c->rotate_auto_eoi)
        c->lowest = (u8)line;
    chip_ended(c, (u8)BIT(line));
}

int i8259_ack(struct i8259 *pic)
{
    struct i8259_chip *master = &pic->chip[0], *slave = &pic->chip[1];
    int vector = master->base + SPURIOUS;
    int line = chip_request(master);
    if (line == CASCADE) {
        int sub = chip_request(slave);
        vector = slave->base + (sub < 0 ? SPURIOUS : sub);
        if (sub >= 0)
            chip_ack(slave, (unsigned)sub);
        chip_ack(master, CASCADE);
    } else if (line >= 0) {
        vector = master->base + line;
        chip_ack(master, (unsigned)line);
    }
    pic_update(pic);
    return vector;
}

enum irq_taken i8259_drive(struct i8259 *pic, unsigned line, bool level)
{
    struct i8259_chip *c = &pic->chip[line / CHIP_LINES % 2];
    unsigned n = line % CHIP_LINES;
    bool rises = level && (chip_is_level(c, n) || !(c->line >> n & 1)), pending = c->irr >> n & 1;
    chip_set(c, n, level);
    pic_update(pic);
    if (c->imr >> n & 1)
        return IRQ_MASKED;
    return rises && pending ? IRQ_PENDING : IRQ_TAKEN;
}

void i8259_set(void *opaque, unsigned line, bool level)
{
    i8259_drive(opaque, line, level);
}

void i8259_changed(struct i8259 *pic)
{
    pic_update(pic);
}

/* ICW1: "The edge sense circuit is reset, the IMR is cleared, IR7 gets the lowest priority, ...". */
static void chip_init(struct i8259_chip *c, u8 icw1)
{
    c->level_all = icw1 & I8259_ICW1_LTIM;
    c->irr = 0;
    for (unsigned i = 0; i < CHIP_LINES; i++) {
        if (chip_is_level(c, i))
            c->irr |= c->line & BIT(i);
    }
    u8 in_service = c->isr;
    c->isr = c->imr = 0;
    c->lowest = CHIP_LINES - 1;
    c->special_mask = c->read_isr = c->poll = false;
    c->auto_eoi = c->rotate_auto_eoi = c->special_nested = false;
    c->single = icw1 & I8259_ICW1_SINGLE;
    c->icw4_due = icw1 & I8259_ICW1_IC4;
    c->init = 2;
    chip_ended(c, in_service);
}

static void chip_end(struct i8259_chip *c, unsigned line, bool rotate)
{
    if (rotate)
        c->lowest = (u8)line;
    if (c->isr >> line & 1)
        chip_ended(c, (u8)BIT(line));
}

static void chip_ocw2(struct i8259_chip *c, u8 value)
{
    unsigned command = value & I8259_OCW2_COMMAND, line = value % CHIP_LINES, position;
    switch (command) {
    case I8259_ROTATE_AUTO_EOI_CLEAR: c->rotate_auto_eoi = false; break;
    case I8259_ROTATE_AUTO_EOI_SET: c->rotate_auto_eoi = true; break;
    case I8259_EOI:
    case I8259_ROTATE_EOI:
        position = chip_priority(c, c->special_mask ? c->isr & (u8)~c->imr : c->isr);
        if (position < CHIP_LINES)
            chip_end(c, chip_line(c, position), command == I8259_ROTATE_EOI);
        break;
    case I8259_SPECIFIC_EOI:
    case I8259_ROTATE_SPECIFIC_EOI: chip_end(c, line, command == I8259_ROTATE_SPECIFIC_EOI); break;
    case I8259_SET_PRIORITY: c->lowest = (u8)line; break;
    }
}

static void chip_ocw3(struct i8259_chip *c, u8 value)
{
    c->poll = value & I8259_POLL;
    if (value & I8259_READ_IRR)
        c->read_isr = (value & I8259_READ_ISR) == I8259_READ_ISR;
    if (value & I8259_SPECIAL_MASK_CLEAR)
        c->special_mask = (value & I8259_SPECIAL_MASK_SET) == I8259_SPECIAL_MASK_SET;
}

static void chip_data_write(struct i8259_chip *c, u8 value)
{
    switch (c->init) {
    case 0: c->imr = value; break;
    case 2:
        c->base = value & VECTOR_BASE;
        c->init = c->single ? (c->icw4_due ? 4 : 0) : 3;
        break;
    case 3: c->init = c->icw4_due ? 4 : 0; break;
    case 4:
        c->special_nested = value & I8259_ICW4_SPECIAL_NESTED;
        c->auto_eoi = value & I8259_ICW4_AUTO_EOI;
        c->init = 0;
        break;
    }
}

static u64 pic_read(void *dev, u64 offset, unsigned size)
{
    struct i8259_chip *c = dev;
    if (c->poll) {
        c->poll = false;
        int line = chip_request(c);
        if (line < 0)
            return 0;
        chip_ack(c, (unsigned)line);
        pic_update(c->pic);
        return I8259_POLL_REQUEST | (unsigned)line;
    }
    if (offset == I8259_DATA)
        return c->imr;
    return c->read_isr ? c->isr : c->irr;
}

static void pic_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct i8259_chip *c = dev;
    u8 v = (u8)value;
    if (offset == I8259_DATA)
        chip_data_write(c, v);
    else if (v & I8259_ICW1)
        chip_init(c, v);
    else if (v & I8259_OCW3)
        chip_ocw3(c, v);
    else
        chip_ocw2(c, v);
    pic_update(c->pic);
}

static u64 elcr_read(void *dev, u64 offset, unsigned size)
{
    return ((struct i8259_chip *)dev)->elcr;
}

static void elcr_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct i8259_chip *c = dev;
    c->elcr = (u8)value & (c == &c->pic->chip[0] ? I8259_ELCR_MASTER : I8259_ELCR_SLAVE);
    for (unsigned i = 0; i < CHIP_LINES; i++) {
        if (c->elcr >> i & 1)
            chip_set(c, i, c->line >> i & 1);
    }
    pic_update(c->pic);
}

const struct bus_ops i8259_ops = {pic_read, pic_write, 1, 1};
const struct bus_ops i8259_elcr_ops = {elcr_read, elcr_write, 1, 1};

static void i8259_reset(void *dev)
{
    struct i8259 *pic = dev;
    for (unsigned i = 0; i < 2; i++) {
        struct i8259_chip *c = &pic->chip[i];
        *c = (struct i8259_chip){.pic = pic, .line = c->line, .lowest = CHIP_LINES - 1};
    }
    pic_update(pic);
}

void i8259_init(struct i8259 *pic, const struct irq *intr)
{
    *pic = (struct i8259){.intr = *intr};
    i8259_reset(pic);
}

static const struct state_field chip_fields[] = {
    STATE_FIELD("irr", u8, struct i8259_chip, irr),
    STATE_FIELD("isr", u8, struct i8259_chip, isr),
    STATE_FIELD("imr", u8, struct i8259_chip, imr),
    STATE_FIELD("line", u8, struct i8259_chip, line),
    STATE_FIELD("base", u8, struct i8259_chip, base),
    STATE_FIELD("elcr", u8, struct i8259_chip, elcr),
    STATE_FIELD("init", u8, struct i8259_chip, init),
    STATE_FIELD("icw4_due", u8, struct i8259_chip, icw4_due),
    STATE_FIELD("lowest", u8, struct i8259_chip, lowest),
    STATE_FIELD("single", bool, struct i8259_chip, single),
    STATE_FIELD("auto_eoi", bool, struct i8259_chip, auto_eoi),
    STATE_FIELD("rotate_auto_eoi", bool, struct i8259_chip, rotate_auto_eoi),
    STATE_FIELD("special_mask", bool, struct i8259_chip, special_mask),
    STATE_FIELD("special_nested", bool, struct i8259_chip, special_nested),
    STATE_FIELD("poll", bool, struct i8259_chip, poll),
    STATE_FIELD("read_isr", bool, struct i8259_chip, read_isr),
    STATE_FIELD("level_all", bool, struct i8259_chip, level_all),
};
static const struct state_layout chip_layout = STATE_LAYOUT(1, chip_fields);

static void i8259_state(void *dev, struct state *s, const char *name)
{
    struct i8259 *pic = dev;
    static const char *const part[2] = {"master", "slave"};
    for (unsigned i = 0; i < 2; i++) {
        struct i8259_chip *c = &pic->chip[i];
        state_section(s, name, part[i], &chip_layout, c);
        c->lowest %= CHIP_LINES;
    }
    if (!state_saving(s)) {
        pic->intr_level = chip_request(&pic->chip[0]) >= 0;
        irq_set(&pic->intr, pic->intr_level);
    }
}

const struct device_ops i8259_device = {
    .size = sizeof(struct i8259),
    .reset = i8259_reset,
    .state = i8259_state,
};
