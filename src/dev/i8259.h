/*
 * A pair of 8259A interrupt controllers, cascaded as in a PC/AT, with the ELCR edge/level
 * registers.
 *
 * Windows (ports):
 *   0x20, 2 bytes: i8259_ops,      dev = &pic->chip[0]
 *   0xa0, 2 bytes: i8259_ops,      dev = &pic->chip[1]
 *   0x4d0, 1 byte: i8259_elcr_ops, dev = &pic->chip[0]
 *   0x4d1, 1 byte: i8259_elcr_ops, dev = &pic->chip[1]
 */
#ifndef DEV_I8259_H
#define DEV_I8259_H

#include "bus/bus.h"
#include "bus/device.h"

#define I8259_LINES 16 /* of the pair */

struct i8259;

struct i8259_chip {
    struct i8259 *pic;
    u8 irr, isr, imr;
    u8 line;     /* input levels as last driven */
    u8 base;     /* ICW2: vector of line 0 */
    u8 elcr;     /* 1 = level-triggered */
    u8 init;     /* next ICW expected, 0 = none */
    u8 icw4_due; /* ICW1.IC4 */
    u8 lowest;   /* line with the lowest priority */
    bool single, auto_eoi, rotate_auto_eoi, special_mask, special_nested, poll, read_isr;
    bool level_all; /* ICW1.LTIM */
};

struct i8259 {
    struct i8259_chip chip[2]; /* 0 master, 1 slave on the master's line 2 */
    struct irq intr;           /* INTR output of the master */
    bool intr_level;
};

extern const struct bus_ops i8259_ops, i8259_elcr_ops;
extern const struct device_ops i8259_device;

/* `intr` follows the master's INTR output. */
void i8259_init(struct i8259 *pic, const struct irq *intr);
/* Input lines 0..15 (8..15 are the slave's). Has the type of struct irq.set; `opaque` is the struct
 * i8259. */
void i8259_set(void *opaque, unsigned line, bool level);
/* INTA cycle: the vector. Without a request the spurious vector (line 7), as the chip does. */
int i8259_ack(struct i8259 *pic);

#endif
