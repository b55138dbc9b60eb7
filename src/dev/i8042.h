/*
 * The 8042 keyboard controller with a PS/2 keyboard on its first port; nothing on the auxiliary
 * port.
 *
 * Windows (ports):
 *   0x60, 1 byte: i8042_data_ops
 *   0x64, 1 byte: i8042_command_ops
 */
#ifndef DEV_I8042_H
#define DEV_I8042_H

#include "bus/bus.h"
#include "bus/device.h"

#define I8042_WRITE_OUTPUT 0xd2 /* controller command: the next byte comes back as if the keyboard had sent it */
#define I8042_QUEUE 64

struct i8042_config {
    struct irq irq;                          /* IRQ 1 */
    void (*reset)(void *opaque);             /* command 0xfe and output port bit 0 */
    void (*a20)(void *opaque, bool enabled); /* may be NULL */
    void *opaque;
};

struct i8042 {
    struct i8042_config config;
    u8 status, command_byte, output_port;
    u8 pending_command; /* controller command that waits for its data byte, 0 none */
    u8 ram[32];         /* [0] unused: command_byte */
    u8 data;            /* output buffer */
    bool breaking;      /* translation: the keyboard sent the 0xf0 of a release */
    u8 kbd_queue[I8042_QUEUE];
    u32 kbd_head, kbd_count;
    u8 kbd_command; /* keyboard command that waits for its argument, 0 none */
    u8 kbd_leds, kbd_rate, kbd_set;
    bool kbd_scanning;
};

extern const struct bus_ops i8042_data_ops, i8042_command_ops;
extern const struct device_ops i8042_device;

void i8042_init(struct i8042 *kbc, const struct i8042_config *config);
/* Keyboard input as set 2 scancodes (what a real keyboard sends; the controller translates when
 * told to). False: no room or scanning is off; nothing of it was taken. */
bool i8042_key(struct i8042 *kbc, const u8 *scancodes, unsigned count);

#endif
