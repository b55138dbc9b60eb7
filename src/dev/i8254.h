/*
 * The 8254 programmable interval timer and the PC's port 0x61 around channel 2.
 *
 * Windows (ports):
 *   0x40, 4 bytes: i8254_ops
 *   0x61, 1 byte:  i8254_speaker_ops (gate 2, speaker enable, refresh toggle, OUT 2)
 */
#ifndef DEV_I8254_H
#define DEV_I8254_H

#include "bus/bus.h"
#include "bus/device.h"

#define I8254_HZ 1193182ull
#define I8254_CHANNELS 3

struct i8254_channel {
    u8 mode, access; /* access: 1 low, 2 high, 3 low then high */
    bool bcd, gate;
    bool armed;      /* a count was loaded (modes 1, 5: and triggered) since the control word */
    bool paused;     /* the gate stopped it: `held` counts */
    bool null_count; /* a written count is not yet in the counting element */
    bool write_high; /* next data write is the high byte */
    bool read_high;  /* next data read is the high byte */
    u8 write_low;    /* low byte waiting for its high byte */
    bool status_latched;
    u8 status;
    u8 latched; /* bytes of a latched count still to be read */
    u16 latch;
    u32 count;        /* count register: as last programmed */
    u32 reload;       /* what the counting element was loaded with */
    bool switching;   /* modes 2, 3: `count` replaces `reload` at switch_tick */
    bool switch_half; /* mode 3: that is in the middle of a period */
    u64 switch_tick;
    u64 start_tick; /* when the counting element was loaded */
    u64 held;       /* ticks counted when paused */
};

struct i8254 {
    struct i8254_channel channel[I8254_CHANNELS];
    struct clock *clock;
    struct dev_timer timer;  /* next edge of OUT 0 */
    struct irq irq;          /* OUT 0 */
    bool irq_disabled;       /* HPET legacy replacement took the line */
    bool level;              /* the line as last driven */
    u8 speaker;              /* bits 0..3 of port 0x61 */
    u64 pulse_start, pulses; /* channel 0, mode 2: start_tick, and periods up to the last pulse */
    u32 missed;              /* pulses that the host was too late for */
};

extern const struct bus_ops i8254_ops, i8254_speaker_ops;
extern const struct device_ops i8254_device;

/* `irq` follows OUT of channel 0. */
void i8254_init(struct i8254 *pit, struct clock *clock, const struct irq *irq);
/* HPET legacy replacement: channel 0 no longer drives its line. */
void i8254_irq_disable(struct i8254 *pit, bool disable);

#endif
