/*
 * A 16550A serial port.
 *
 * Window (ports): 0x3f8 (COM1, IRQ 4), 0x2f8 (COM2, IRQ 3), 8 bytes: uart16550_ops
 */
#ifndef DEV_UART16550_H
#define DEV_UART16550_H

#include "bus/bus.h"
#include "bus/device.h"

#define UART_FIFO 16
#define UART_POLLS 16

struct uart16550_config {
    struct irq irq;
    /* Takes a byte. False: the sink has no room, and uart16550_transmit_ready is to follow. NULL: there is always room.
     */
    bool (*transmit)(void *opaque, u8 byte);
    /* There is room to receive again: the machine may push what it held back. May be NULL. */
    void (*receive_ready)(void *opaque);
    void *opaque;
};

struct uart16550 {
    struct uart16550_config config;
    u8 ier, fcr, lcr, mcr, lsr, msr, scr, dll, dlm;
    bool thr_empty_pending; /* the THRE interrupt, cleared by reading IIR */
    u8 rx[UART_FIFO];
    u32 rx_head, rx_count;
    u16 rx_break;     /* bits by place in rx: the byte is a BREAK */
    u8 tx[UART_FIFO]; /* what the sink had no room for */
    u32 tx_head, tx_count;
    u8 lsr_polls; /* reads of LSR since the last transmitted byte, up to UART_POLLS */
};

extern const struct bus_ops uart16550_ops;
extern const struct device_ops uart16550_device;

void uart16550_init(struct uart16550 *u, const struct uart16550_config *config);
/* The sink has room again: takes what waits, and the guest sees an idle transmitter if that is all. */
void uart16550_transmit_ready(struct uart16550 *u);
/* Returns how many bytes uart16550_receive would take now: 0 until the guest listens (uart16550.c), and in loopback. */
unsigned uart16550_room(const struct uart16550 *u);
/* A BREAK comes in, whether the guest listens or not. */
void uart16550_break(struct uart16550 *u);
/* Takes as many received bytes as there is room for, and returns their number. The caller keeps the rest until
 * receive_ready. */
unsigned uart16550_receive(struct uart16550 *u, const u8 *bytes, unsigned count);

#endif
