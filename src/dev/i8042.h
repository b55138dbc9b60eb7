/*
 * The 8042 keyboard controller with a PS/2 keyboard on its first port; nothing on the auxiliary port.
 *
 * Windows (ports):
 *   0x60, 1 byte: i8042_data_ops
 *   0x64, 1 byte: i8042_command_ops
 */
#ifndef DEV_I8042_H
#define DEV_I8042_H

#include "bus/bus.h"
#include "bus/device.h"

#define I8042_QUEUE 64

/* Status. */
#define I8042_STATUS_OBF BIT(0) /* the output buffer is full */
#define I8042_STATUS_SYSTEM BIT(2)
#define I8042_STATUS_COMMAND BIT(3) /* the last byte went to the command port */
#define I8042_STATUS_UNLOCKED BIT(4)
#define I8042_STATUS_AUX BIT(5) /* what the output buffer holds is the auxiliary device's */
#define I8042_STATUS_TIMEOUT BIT(6)

/* Controller commands. Those with a (*) wait for a byte at the data port. */
enum {
    I8042_READ_RAM = 0x20,  /* to 0x3f: a byte of RAM; the first is the command byte */
    I8042_WRITE_RAM = 0x60, /* to 0x7f (*) */
    I8042_AUX_DISABLE = 0xa7,
    I8042_AUX_ENABLE = 0xa8,
    I8042_AUX_TEST = 0xa9,
    I8042_SELF_TEST = 0xaa,
    I8042_KBD_TEST = 0xab,
    I8042_KBD_DISABLE = 0xad,
    I8042_KBD_ENABLE = 0xae,
    I8042_READ_INPUT = 0xc0,
    I8042_READ_OUTPUT = 0xd0,
    I8042_WRITE_OUTPUT_PORT = 0xd1, /* (*) */
    I8042_WRITE_KBD_BUFFER = 0xd2,  /* (*) comes back as if the keyboard had sent it */
    I8042_WRITE_AUX_BUFFER = 0xd3,  /* (*) as if the auxiliary device had */
    I8042_WRITE_AUX = 0xd4,         /* (*) */
    I8042_A20_OFF = 0xdd,
    I8042_A20_ON = 0xdf,
    I8042_PULSE = 0xf0, /* to 0xff: pulses the output lines whose bits are 0 */
};
#define I8042_RAM_SIZE 32
#define I8042_SELF_TEST_PASSED 0x55
#define I8042_TEST_PASSED 0x00
#define I8042_CLOCK_STUCK 0x01 /* of the test of a port: nothing is there */

/* The command byte. */
#define I8042_CB_IRQ BIT(0)
#define I8042_CB_SYSTEM BIT(2)
#define I8042_CB_KBD_DISABLE BIT(4)
#define I8042_CB_AUX_DISABLE BIT(5)
#define I8042_CB_TRANSLATE BIT(6)

/* The output port. */
#define I8042_OUT_RESET BIT(0) /* low: the CPUs get INIT */
#define I8042_OUT_A20 BIT(1)
#define I8042_OUT_OBF BIT(4)

/* Commands to the keyboard, and its answers. Those with a (*) wait for a byte. */
enum {
    I8042_KBD_LEDS = 0xed, /* (*) */
    I8042_KBD_ECHO = 0xee,
    I8042_KBD_SCANCODE_SET = 0xf0, /* (*) 0 asks for it */
    I8042_KBD_IDENTIFY = 0xf2,
    I8042_KBD_RATE = 0xf3, /* (*) */
    I8042_KBD_SCAN = 0xf4,
    I8042_KBD_STOP = 0xf5,
    I8042_KBD_DEFAULTS = 0xf6,
    I8042_KBD_ALL_KEYS_FIRST = 0xf7, /* set 3: the type of all keys */
    I8042_KBD_ALL_KEYS_LAST = 0xfa,
    I8042_KBD_KEY_FIRST = 0xfb, /* (*) set 3: the type of one key */
    I8042_KBD_KEY_LAST = 0xfd,
    I8042_KBD_RESET = 0xff,

    I8042_KBD_ACK = 0xfa,
    I8042_KBD_PASSED = 0xaa,
    I8042_KBD_RESEND = 0xfe,
};

struct i8042_config {
    struct irq irq;                          /* IRQ 1 */
    void (*init)(void *opaque);              /* INIT# of all CPUs: command 0xfe and output port bit 0 */
    void (*a20)(void *opaque, bool enabled); /* may be NULL */
    void *opaque;
};

struct i8042 {
    struct i8042_config config;
    u8 status, command_byte, output_port;
    u8 pending_command;     /* controller command that waits for its data byte; 0: none */
    u8 ram[I8042_RAM_SIZE]; /* [0] unused: command_byte */
    u8 data;                /* output buffer */
    bool breaking;          /* translation: the keyboard sent the first byte of a release */
    u8 kbd_queue[I8042_QUEUE];
    u32 kbd_head, kbd_count;
    u8 kbd_command; /* keyboard command that waits for its argument; 0: none */
    u8 kbd_leds, kbd_rate, kbd_set;
    bool kbd_scanning;
};

extern const struct bus_ops i8042_data_ops, i8042_command_ops;
extern const struct device_ops i8042_device;

void i8042_init(struct i8042 *kbc, const struct i8042_config *config);
/* Takes keyboard input as set 2 scancodes (what a real keyboard sends; the controller translates when told to). Returns
 * false, with nothing taken, if there is no room or scanning is off. */
bool i8042_key(struct i8042 *kbc, const u8 *scancodes, unsigned count);

#endif
