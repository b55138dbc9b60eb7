/*
 * 16550A. Called under the machine lock; the console's threads take it to push input and to say that output has room.
 *
 * Transmission takes no time while the sink takes bytes. When it does not, they wait in the FIFO, the guest sees a busy
 * transmitter (LSR without THRE and TEMT), and the THRE interrupt comes when the FIFO has emptied. A guest that writes
 * all the same overwrites THR, or with a full FIFO loses the byte: the PC16550D's data sheet leaves that open, the data
 * sheets of later chips say so.
 *
 * The receive timeout interrupt comes at once and not after four character times. No input is lost: a byte is taken
 * from the host only when there is room, and only when the guest listens, that is when it enabled the receive interrupt
 * or keeps polling LSR with nothing to send. Drivers that empty the FIFO when they start would otherwise swallow what
 * was piped in before. Source: National Semiconductor PC16550D data sheet.
 */
#include "dev/uart16550.h"

#include <string.h>

/* Registers; the first two are the divisor's while LCR.DLAB is set. */
enum { REG_DATA, REG_IER, REG_IIR, REG_FCR = REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RDA BIT(0)
#define IER_THRE BIT(1)
#define IER_RLS BIT(2)
#define IER_MSI BIT(3)
#define IER_DEFINED 0x0fu
#define IIR_NONE 0x01
#define IIR_MSI 0x00
#define IIR_THRE 0x02
#define IIR_RDA 0x04
#define IIR_RLS 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO 0xc0
#define FCR_ENABLE BIT(0)
#define FCR_CLEAR_RX BIT(1)
#define FCR_CLEAR_TX BIT(2)
#define FCR_KEPT 0xc9u /* trigger level, DMA mode, FIFO enable */
#define LCR_DLAB BIT(7)
#define LCR_BREAK BIT(6)
#define MCR_LOOP BIT(4)
#define MCR_DEFINED 0x1fu
#define LSR_DR BIT(0)
#define LSR_OE BIT(1)
#define LSR_BI BIT(4)
#define LSR_ERRORS 0x1e
#define LSR_EMPTY 0x60 /* THRE and TEMT */
#define MSR_CTS BIT(4)
#define MSR_DSR BIT(5)
#define MSR_RI BIT(6)
#define MSR_DCD BIT(7)
#define MSR_LEVELS 0xf0u  /* the inputs; the low half has their changes */
#define MSR_CHANGES 0x0fu /* cleared by a read */
#define MSR_TERI BIT(2)
#define DIVISOR_9600 12

static unsigned rx_trigger(const struct uart16550 *u)
{
    static const u8 level[4] = {1, 4, 8, 14};
    return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

/* How many bytes each of the two FIFOs holds. */
static unsigned fifo_size(const struct uart16550 *u)
{
    return u->fcr & FCR_ENABLE ? UART_FIFO : 1;
}

/* Returns the pending interrupt of the highest priority, as IIR shows it. */
static u8 interrupt_id(const struct uart16550 *u)
{
    if (u->ier & IER_RLS && u->lsr & LSR_ERRORS)
        return IIR_RLS;
    if (u->ier & IER_RDA && u->rx_count)
        return u->rx_count >= rx_trigger(u) ? IIR_RDA : IIR_TIMEOUT;
    if (u->ier & IER_THRE && u->thr_empty_pending)
        return IIR_THRE;
    if (u->ier & IER_MSI && u->msr & MSR_CHANGES)
        return IIR_MSI;
    return IIR_NONE;
}

static void interrupt_update(struct uart16550 *u)
{
    irq_set(&u->config.irq, interrupt_id(u) != IIR_NONE);
}

static void rx_push(struct uart16550 *u, u8 byte)
{
    if (u->rx_count == fifo_size(u)) {
        u->lsr |= LSR_OE;
        return;
    }
    u32 place = (u->rx_head + u->rx_count) % UART_FIFO;
    u->rx[place] = byte;
    u->rx_break &= (u16)~BIT(place);
    u->rx_count++;
    u->lsr |= LSR_DR;
}

/* LSR shows a BREAK when its byte, a zero, is the next to be read. */
static void break_show(struct uart16550 *u)
{
    if (u->rx_count && u->rx_break & BIT(u->rx_head)) {
        u->rx_break &= (u16)~BIT(u->rx_head);
        u->lsr |= LSR_BI;
    }
}

static void rx_push_break(struct uart16550 *u)
{
    u32 count = u->rx_count;
    rx_push(u, 0);
    if (u->rx_count > count)
        u->rx_break |= (u16)BIT((u->rx_head + count) % UART_FIFO);
    break_show(u);
}

static u8 rx_pop(struct uart16550 *u)
{
    if (!u->rx_count)
        return 0;
    u8 byte = u->rx[u->rx_head];
    u->rx_head = (u->rx_head + 1) % UART_FIFO;
    if (!--u->rx_count)
        u->lsr &= (u8)~LSR_DR;
    break_show(u);
    return byte;
}

static void rx_clear(struct uart16550 *u)
{
    u->rx_head = u->rx_count = 0;
    u->lsr &= (u8)~LSR_DR;
}

static bool tx_send(struct uart16550 *u, u8 byte)
{
    return !u->config.transmit || u->config.transmit(u->config.opaque, byte);
}

/* Keeps a byte that the sink does not take. */
static void tx_hold(struct uart16550 *u, u8 byte)
{
    if (!(u->fcr & FCR_ENABLE))
        u->tx_count = 0; /* THR holds one byte: the last */
    if (u->tx_count == UART_FIFO)
        return;
    u->tx[(u->tx_head + u->tx_count) % UART_FIFO] = byte;
    u->tx_count++;
}

static void tx_emptied(struct uart16550 *u)
{
    u->tx_head = u->tx_count = 0;
    u->thr_empty_pending = true;
}

void uart16550_transmit_ready(struct uart16550 *u)
{
    if (!u->tx_count)
        return;
    while (u->tx_count && tx_send(u, u->tx[u->tx_head])) {
        u->tx_head = (u->tx_head + 1) % UART_FIFO;
        u->tx_count--;
    }
    if (!u->tx_count)
        tx_emptied(u);
    interrupt_update(u);
}

/* The modem inputs: the peer is always there; in loopback the inputs are the outputs. */
static void modem_update(struct uart16550 *u)
{
    u8 level = MSR_DCD | MSR_DSR | MSR_CTS;
    if (u->mcr & MCR_LOOP)
        level = (u8)((u->mcr & 1) << 5 | (u->mcr & 2) << 3 | (u->mcr & 4) << 4 | (u->mcr & 8) << 4);
    u8 old = u->msr & MSR_LEVELS, delta = (level ^ old) >> 4;
    delta &= (u8) ~(old & MSR_RI ? 0 : MSR_TERI); /* only the trailing edge of RI counts */
    u->msr = (u8)(level | (u->msr & MSR_CHANGES) | delta);
}

static void ready_notify(struct uart16550 *u)
{
    if (u->config.receive_ready && uart16550_room(u))
        u->config.receive_ready(u->config.opaque);
}

static void fcr_write(struct uart16550 *u, u8 value)
{
    bool switched = (value ^ u->fcr) & FCR_ENABLE;
    if (switched || value & FCR_CLEAR_RX)
        rx_clear(u);
    if ((switched || value & FCR_CLEAR_TX) && u->tx_count)
        tx_emptied(u);
    u->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
}

static void ier_write(struct uart16550 *u, u8 value)
{
    if (value & ~u->ier & IER_THRE && !u->tx_count)
        u->thr_empty_pending = true;
    u->ier = value & IER_DEFINED;
}

static void thr_write(struct uart16550 *u, u8 value)
{
    u->lsr_polls = 0;
    if (u->mcr & MCR_LOOP)
        rx_push(u, value);
    else if (u->tx_count || !tx_send(u, value))
        tx_hold(u, value);
    u->thr_empty_pending = !u->tx_count;
}

static u8 lsr_read(struct uart16550 *u)
{
    u8 value = u->lsr | (u->tx_count ? 0 : LSR_EMPTY);
    u->lsr &= (u8)~LSR_ERRORS;
    if (u->lsr_polls < UART_POLLS && !u->tx_count)
        u->lsr_polls++;
    return value;
}

static u64 uart_read(void *dev, u64 offset, unsigned size)
{
    struct uart16550 *u = dev;
    u8 value = 0;
    switch (offset) {
    case REG_DATA: value = u->lcr & LCR_DLAB ? u->dll : rx_pop(u); break;
    case REG_IER: value = u->lcr & LCR_DLAB ? u->dlm : u->ier; break;
    case REG_IIR:
        value = interrupt_id(u);
        if (value == IIR_THRE)
            u->thr_empty_pending = false;
        value |= u->fcr & FCR_ENABLE ? IIR_FIFO : 0;
        break;
    case REG_LCR: value = u->lcr; break;
    case REG_MCR: value = u->mcr; break;
    case REG_LSR: value = lsr_read(u); break;
    case REG_MSR:
        value = u->msr;
        u->msr &= MSR_LEVELS;
        break;
    case REG_SCR: value = u->scr; break;
    }
    interrupt_update(u);
    if ((offset == REG_DATA || offset == REG_LSR) && !u->rx_count)
        ready_notify(u);
    return value;
}

static void uart_write(void *dev, u64 offset, u64 v, unsigned size)
{
    struct uart16550 *u = dev;
    u8 value = (u8)v;
    switch (offset) {
    case REG_DATA:
        if (u->lcr & LCR_DLAB)
            u->dll = value;
        else
            thr_write(u, value);
        break;
    case REG_IER:
        if (u->lcr & LCR_DLAB)
            u->dlm = value;
        else
            ier_write(u, value);
        break;
    case REG_FCR: fcr_write(u, value); break;
    case REG_LCR:
        if (value & ~u->lcr & LCR_BREAK && u->mcr & MCR_LOOP)
            rx_push_break(u);
        u->lcr = value;
        break;
    case REG_MCR:
        u->mcr = value & MCR_DEFINED;
        modem_update(u);
        break;
    case REG_SCR: u->scr = value; break;
    }
    interrupt_update(u);
    if (offset >= REG_IER && offset <= REG_MCR && !u->rx_count)
        ready_notify(u);
}

const struct bus_ops uart16550_ops = {uart_read, uart_write, 1, 1};

static void uart16550_reset(void *dev)
{
    struct uart16550 *u = dev;
    struct uart16550_config config = u->config;
    *u = (struct uart16550){.config = config, .dll = DIVISOR_9600, .msr = MSR_DCD | MSR_DSR | MSR_CTS};
    interrupt_update(u);
}

void uart16550_init(struct uart16550 *u, const struct uart16550_config *config)
{
    *u = (struct uart16550){.config = *config};
    uart16550_reset(u);
}

unsigned uart16550_room(const struct uart16550 *u)
{
    if (u->mcr & MCR_LOOP || !(u->ier & IER_RDA || u->lsr_polls == UART_POLLS))
        return 0;
    return fifo_size(u) - u->rx_count;
}

unsigned uart16550_receive(struct uart16550 *u, const u8 *bytes, unsigned count)
{
    unsigned room = uart16550_room(u);
    if (count > room)
        count = room;
    for (unsigned i = 0; i < count; i++)
        rx_push(u, bytes[i]);
    interrupt_update(u);
    return count;
}

void uart16550_break(struct uart16550 *u)
{
    if (!(u->mcr & MCR_LOOP))
        rx_push_break(u);
    interrupt_update(u);
}

static const struct state_field fields[] = {
    STATE_FIELD("ier", u8, struct uart16550, ier),
    STATE_FIELD("fcr", u8, struct uart16550, fcr),
    STATE_FIELD("lcr", u8, struct uart16550, lcr),
    STATE_FIELD("mcr", u8, struct uart16550, mcr),
    STATE_FIELD("lsr", u8, struct uart16550, lsr),
    STATE_FIELD("msr", u8, struct uart16550, msr),
    STATE_FIELD("scr", u8, struct uart16550, scr),
    STATE_FIELD("dll", u8, struct uart16550, dll),
    STATE_FIELD("dlm", u8, struct uart16550, dlm),
    STATE_FIELD("thr_empty_pending", bool, struct uart16550, thr_empty_pending),
    STATE_FIELD("rx", u8[16], struct uart16550, rx),
    STATE_FIELD("rx_head", u32, struct uart16550, rx_head),
    STATE_FIELD("rx_count", u32, struct uart16550, rx_count),
    STATE_FIELD("rx_break", u16, struct uart16550, rx_break),
    STATE_FIELD("lsr_polls", u8, struct uart16550, lsr_polls),
    STATE_FIELD("tx", u8[16], struct uart16550, tx),
    STATE_FIELD("tx_head", u32, struct uart16550, tx_head),
    STATE_FIELD("tx_count", u32, struct uart16550, tx_count),
};
static const struct state_layout layout = STATE_LAYOUT(1, fields);

static void uart16550_state(void *dev, struct state *s, const char *name)
{
    struct uart16550 *u = dev;
    state_section(s, name, NULL, &layout, u);
    if (!state_saving(s)) {
        u->rx_head %= UART_FIFO;
        if (u->rx_count > fifo_size(u))
            u->rx_count = fifo_size(u);
        u->tx_head %= UART_FIFO;
        if (u->tx_count > fifo_size(u))
            u->tx_count = fifo_size(u);
        interrupt_update(u);
        uart16550_transmit_ready(u); /* this machine's sink may have room */
    }
}

const struct device_ops uart16550_device = {
    .size = sizeof(struct uart16550),
    .reset = uart16550_reset,
    .state = uart16550_state,
};
