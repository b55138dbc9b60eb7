/*
 * A pair of 8259A interrupt controllers, cascaded as in a PC/AT, with the ELCR edge/level registers.
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

/* Registers of a chip: ICW1, OCW2 and OCW3 are told apart by bits; the others are at the second port. */
#define I8259_COMMAND 0
#define I8259_DATA 1 /* ICW2 to ICW4 when they are due, else OCW1: the mask */

/* Lines that the ELCR can make level-triggered: not IRQ 0, 1, 2, 8 and 13. */
#define I8259_ELCR_MASTER 0xf8
#define I8259_ELCR_SLAVE 0xde

#define I8259_ICW1 BIT(4)
#define I8259_ICW1_IC4 BIT(0) /* ICW4 follows */
#define I8259_ICW1_SINGLE BIT(1)
#define I8259_ICW1_LTIM BIT(3) /* all inputs are level-triggered */
#define I8259_ICW4_8086 BIT(0)
#define I8259_ICW4_AUTO_EOI BIT(1)
#define I8259_ICW4_SPECIAL_NESTED BIT(4)

/* OCW2, with the number of a line in the low bits of the specific ones. */
enum {
    I8259_ROTATE_AUTO_EOI_CLEAR = 0x00,
    I8259_EOI = 0x20,
    I8259_SPECIFIC_EOI = 0x60,
    I8259_ROTATE_AUTO_EOI_SET = 0x80,
    I8259_ROTATE_EOI = 0xa0,
    I8259_SET_PRIORITY = 0xc0,
    I8259_ROTATE_SPECIFIC_EOI = 0xe0,
    I8259_OCW2_COMMAND = 0xe0,
};

#define I8259_OCW3 BIT(3)
#define I8259_READ_IRR BIT(1)
#define I8259_READ_ISR (BIT(1) | BIT(0))
#define I8259_POLL BIT(2)
#define I8259_POLL_REQUEST 0x80 /* what a poll reads: the line is in the low bits */
#define I8259_SPECIAL_MASK_CLEAR BIT(6)
#define I8259_SPECIAL_MASK_SET (BIT(6) | BIT(5))

struct i8259;

struct i8259_chip {
    struct i8259 *pic;
    u8 irr, isr, imr;
    u8 line;     /* input levels as last driven */
    u8 base;     /* ICW2: vector of line 0 */
    u8 elcr;     /* bits of lines that are level-triggered */
    u8 init;     /* number of the ICW that is expected next; 0: none */
    u8 icw4_due; /* ICW1.IC4 */
    u8 lowest;   /* line with the lowest priority */
    bool single, auto_eoi, rotate_auto_eoi, special_mask, special_nested, poll, read_isr;
    bool level_all; /* ICW1.LTIM */
};

struct i8259 {
    struct i8259_chip chip[2]; /* 0 master, 1 slave on the master's line 2 */
    struct irq intr;           /* INTR output of the master */
    bool intr_level;
    /* NULL, or: the interrupt of this input line is no longer in service. May drive lines. */
    void (*ended)(void *opaque, unsigned line);
    void *ended_opaque;
};

/* What a rising line led to, in the numbers that the KVM API has for it. */
enum irq_taken { IRQ_MASKED = -1, IRQ_PENDING = 0, IRQ_TAKEN = 1 };

extern const struct bus_ops i8259_ops, i8259_elcr_ops;
extern const struct device_ops i8259_device;

/* `intr` follows the master's INTR output. */
void i8259_init(struct i8259 *pic, const struct irq *intr);
/* Drives input lines 0 to 15 (8 to 15 are the slave's). Has the type of struct irq.set; `opaque` is the struct i8259.
 */
void i8259_set(void *opaque, unsigned line, bool level);
/* Does the same, and returns what it led to. IRQ_PENDING: the request before is not acknowledged yet. */
enum irq_taken i8259_drive(struct i8259 *pic, unsigned line, bool level);
/* Fields of the chips were set: drives the output anew. */
void i8259_changed(struct i8259 *pic);
/* An INTA cycle: returns the vector; without a request the spurious vector (line 7), as the chip does. */
int i8259_ack(struct i8259 *pic);

#endif
