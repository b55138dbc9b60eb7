/*
 * The 8254 programmable interval timer and the PC's port 0x61 around channel 2.
 *
 * Windows (ports):
 *   0x40, 4 bytes: i8254_ops         (a byte per channel; the control word)
 *   0x61, 1 byte:  i8254_speaker_ops (gate 2, speaker enable, refresh toggle, OUT 2)
 */
#ifndef DEV_I8254_H
#define DEV_I8254_H

#include "bus/bus.h"
#include "bus/device.h"

#define I8254_HZ 1193182ull
#define I8254_CHANNELS 3

#define I8254_CONTROL 3 /* offset of the control word register; below it a channel's number is its offset */

/* The control word. */
#define I8254_SELECT(channel) ((u8)((channel) << 6))
#define I8254_READ_BACK 0xc0 /* in place of a channel: latches count and status, unless NO_*, of the channels in OF */
#define I8254_NO_COUNT BIT(5)
#define I8254_NO_STATUS BIT(4)
#define I8254_OF(channel) BIT((channel) + 1)
#define I8254_ACCESS(access) ((access) << 4) /* enum i8254_access */
#define I8254_MODE(mode) ((mode) << 1)       /* enum i8254_mode */
#define I8254_BCD BIT(0)

/* A status byte ends like the control word. */
#define I8254_STATUS_OUT BIT(7)
#define I8254_STATUS_NULL_COUNT BIT(6)

/* Port 0x61. */
#define I8254_SPEAKER_GATE BIT(0)
#define I8254_SPEAKER_DATA BIT(1)
#define I8254_SPEAKER_REFRESH BIT(4)
#define I8254_SPEAKER_OUT BIT(5)

enum i8254_access { I8254_LATCH, I8254_LOW, I8254_HIGH, I8254_LOW_HIGH };

enum i8254_mode {
    I8254_TERMINAL_COUNT,  /* mode 0: interrupt on terminal count */
    I8254_ONE_SHOT,        /* mode 1: hardware retriggerable one-shot */
    I8254_RATE,            /* mode 2: rate generator */
    I8254_SQUARE_WAVE,     /* mode 3 */
    I8254_SOFTWARE_STROBE, /* mode 4: software triggered strobe */
    I8254_HARDWARE_STROBE, /* mode 5: hardware triggered strobe */
};

struct i8254_channel {
    u8 mode, access; /* enum i8254_mode, enum i8254_access */
    bool bcd, gate;
    bool armed;      /* a count was loaded (modes 1, 5: and triggered) since the control word */
    bool paused;     /* the gate stopped it, and `held` holds the ticks */
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
    u32 missed;              /* pulses that the host was too late for, or that the guest did not take */
    bool merges;             /* missed pulses do not come later: i8254_merge */
    bool waits;              /* the guest did not take the last pulse, so an early one would be lost too */
};

extern const struct bus_ops i8254_ops, i8254_speaker_ops;
extern const struct device_ops i8254_device;

/* `irq` follows OUT of channel 0. */
void i8254_init(struct i8254 *pit, struct clock *clock, const struct irq *irq);
/* HPET legacy replacement: channel 0 no longer drives its line. */
void i8254_irq_disable(struct i8254 *pit, bool disable);
/* Pulses of mode 2 that were missed come later, unless `merge`. */
void i8254_merge(struct i8254 *pit, bool merge);
/* Called within the callback of `irq`: the pulse was lost, because the guest has not taken the last one yet. */
void i8254_not_taken(struct i8254 *pit);

/* For state that is kept as times: returns a channel's count, and the time at which it was loaded. */
u32 i8254_count_get(const struct i8254 *pit, unsigned channel, u64 *loaded_ns);
/* Sets both, after the channel's other fields were set. A count of 0 is the greatest. */
void i8254_count_set(struct i8254 *pit, unsigned channel, u32 count, u64 loaded_ns);

#endif
