/*
 * A switch whose ports end in the test: it puts frames in, and keeps what comes out as long as the port takes
 * something. Time is the test's, too.
 */
#ifndef TESTS_UNIT_SWITCH_PORTS_H
#define TESTS_UNIT_SWITCH_PORTS_H

#include "net/frame.h"
#include "unit/test.h"
#include "vswitch/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_PORTS 8
#define FAKE_WAITING 4096

struct fake {
    struct port *port;
    u8 (*waiting)[128]; /* frames to be read, the first two bytes of each are its length */
    u32 put, read;
    u32 got; /* frames that came out */
    u8 last[256];
    u32 last_length;
    u32 takes; /* how many more it takes */
};

static struct vswitch *sw;
static struct fake fake[FAKE_PORTS];
static u32 fakes, fakes_closed;
static struct error fake_error;
static u64 now = 1000000000000ull;

static bool fake_fill(struct port *port)
{
    struct fake *f = port->back;
    while (f->read < f->put && port_may_send(port)) {
        const u8 *w = f->waiting[f->read++ % FAKE_WAITING];
        vswitch_input(port->sw, port, w + 2, (u32)(w[0] << 8 | w[1]));
    }
    return f->read < f->put;
}

static void fake_flush(struct port *port)
{
    struct fake *f = port->back;
    const u8 *frame;
    u32 length;
    while (f->takes && (frame = queue_frame(port->queue, &length))) {
        f->takes--;
        f->got++;
        f->last_length = length;
        memcpy(f->last, frame, length < sizeof(f->last) ? length : sizeof(f->last));
        queue_taken(port->queue, QUEUE_PREFIX + length);
    }
}

static void fake_close(struct port *port)
{
    struct fake *f = port->back;
    free(f->waiting);
    f->port = NULL;
    fakes_closed++;
}

static const struct port_ops fake_ops = {fake_fill, fake_flush, fake_close};

static inline void fakes_begin(void)
{
    sw = vswitch_new("test", &fake_error);
    if (!sw)
        abort();
    vswitch_alarm(sw, &sw->sweep, 0);
    loop_clock(&sw->loop, now);
    fakes = fakes_closed = 0;
}

static inline void fakes_end(void)
{
    vswitch_free(sw);
    CHECK_EQ(fakes_closed, fakes);
}

/* Fills in port N, a card with the address 02:00:00:00:00:N, for the test to change before fake_add. */
static inline struct fake *fake_new(u8 n, enum port_kind kind)
{
    struct fake *f = &fake[n];
    struct port *port = calloc(1, sizeof(*port));
    *f = (struct fake){.port = port, .waiting = calloc(FAKE_WAITING, sizeof(*f->waiting)), .takes = ~0u};
    if (!port || !f->waiting)
        abort();
    snprintf(port->id, sizeof(port->id), "port%u", n);
    if (kind == PORT_CARD) {
        snprintf(port->vm, sizeof(port->vm), "vm%u", n);
        snprintf(port->name, sizeof(port->name), "net0");
        port->mac = (struct mac){{2, 0, 0, 0, 0, n}};
    }
    port->kind = kind;
    port->ops = &fake_ops;
    port->back = f;
    port->linked = true;
    return f;
}

static inline void fake_add(struct fake *f)
{
    fakes++;
    if (vswitch_port_add(sw, f->port, &fake_error))
        abort();
}

/* Ports 1 to `n` are cards. */
static inline void fakes_of_cards(u8 n)
{
    fakes_begin();
    for (u8 i = 1; i <= n; i++)
        fake_add(fake_new(i, PORT_CARD));
}

static inline void settings(u8 n, struct card_settings set)
{
    vswitch_port_set(sw, fake[n].port, &set);
}

/* Stations are numbers: the last byte of an address; 0xff is everybody. */
static u8 frame[2048];
static u32 frame_length;

static inline void frame_begin(u8 to, u8 from)
{
    memset(frame, 0, sizeof(frame));
    const u8 addresses[12] = {2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from};
    memcpy(frame, addresses, sizeof(addresses));
    if (to == 0xff)
        memset(frame, 0xff, 6);
    frame_length = 12;
}

static inline void frame_word(u32 word)
{
    frame[frame_length++] = (u8)(word >> 8);
    frame[frame_length++] = (u8)word;
}

static inline void frame_tag(u32 tag)
{
    frame_word(ETHERTYPE_VLAN);
    frame_word(tag);
}

/* Ends the frame with a type and a number of bytes. */
static inline void frame_end(u32 payload)
{
    frame_word(0x88b5); /* for experiments (IEEE 802, clause 9) */
    for (u32 i = 0; i < payload; i++)
        frame[frame_length++] = (u8)i;
}

static inline void make_frame(u8 to, u8 from)
{
    frame_begin(to, from);
    frame_end(46);
}

/* The frame comes from port N, now. */
static inline void input(u8 n)
{
    vswitch_input(sw, fake[n].port, frame, frame_length);
}

static inline void round_of_ports(void)
{
    loop_clock(&sw->loop, now);
    loop_ring(&sw->loop);
    ports_round(sw);
}

/* The frame waits at port N to be read. */
static inline void put(u8 n)
{
    struct fake *f = &fake[n];
    u8 *w = f->waiting[f->put++ % FAKE_WAITING];
    w[0] = (u8)(frame_length >> 8);
    w[1] = (u8)frame_length;
    memcpy(w + 2, frame, frame_length);
    port_readable(f->port);
}

/* Sends a frame from port N, and returns a bit per port that got something. */
static inline u32 reached(u8 n)
{
    u32 bits = 0, before[FAKE_PORTS];
    for (u32 i = 0; i < FAKE_PORTS; i++)
        before[i] = fake[i].got;
    input(n);
    round_of_ports();
    for (u32 i = 0; i < FAKE_PORTS; i++)
        bits |= (u32)(fake[i].got != before[i]) << i;
    return bits;
}

static inline u64 drops(u8 n, enum drop drop)
{
    return fake[n].port->count.dropped[drop];
}

#endif
