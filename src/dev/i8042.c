/*
 * 8042 keyboard controller and PS/2 keyboard. Called under the machine lock.
 *
 * The keyboard keeps a queue; its next byte moves to the output buffer when that is free and the interface is enabled.
 * Replies of the controller itself overtake the queue. The keyboard speaks scancode set 2; the controller translates to
 * set 1 while told to, as every PC does. Nothing is on the auxiliary port, and the port test says so. Source: IBM PS/2
 * Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller".
 */
#include "dev/i8042.h"

#include <string.h>

/* Scancodes, and how they are translated. */
#define SET2_RELEASE 0xf0 /* comes before the code of the key that is released */
#define SET2_F7 0x83
#define SET2_SYSRQ 0x84
#define SET1_F7 0x41
#define SET1_SYSRQ 0x54
#define SET1_RELEASE 0x80

#define RATE_DEFAULT 0x2b
#define SET_DEFAULT 2
#define LEDS_ALL 7
#define RATE_ALL 0x7f
#define IDENTITY_1 0xab /* an MF2 keyboard */
#define IDENTITY_2 0x83
#define KBD_COMMANDS 0x80   /* from here on bytes to the keyboard are commands */
#define INPUT_UNLOCKED 0x80 /* of the input port: the key switch */

/* Set 2 to set 1, what the controller's ROM holds. */
/* clang-format off */
static const u8 set1[128] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};
/* clang-format on */

static u8 translated(u8 code)
{
    if (code < ARRAY_LEN(set1))
        return set1[code];
    return code == SET2_F7 ? SET1_F7 : code == SET2_SYSRQ ? SET1_SYSRQ : code;
}

static void output_put(struct i8042 *k, u8 byte)
{
    k->data = byte;
    k->status = (k->status & (u8)~I8042_STATUS_TIMEOUT) | I8042_STATUS_OBF;
    irq_set(&k->config.irq, false); /* an edge for each byte */
    if (k->command_byte & I8042_CB_IRQ)
        irq_set(&k->config.irq, true);
}

/* Moves the keyboard's next byte to the output buffer if it may go. */
static void keyboard_pump(struct i8042 *k)
{
    while (!(k->status & I8042_STATUS_OBF) && !(k->command_byte & I8042_CB_KBD_DISABLE) && k->kbd_count) {
        u8 byte = k->kbd_queue[k->kbd_head];
        k->kbd_head = (k->kbd_head + 1) % I8042_QUEUE;
        k->kbd_count--;
        if (k->command_byte & I8042_CB_TRANSLATE) {
            if (byte == SET2_RELEASE) {
                k->breaking = true;
                continue;
            }
            byte = translated(byte) | (k->breaking ? SET1_RELEASE : 0);
            k->breaking = false;
        }
        output_put(k, byte);
    }
}

static void keyboard_send(struct i8042 *k, u8 byte)
{
    if (k->kbd_count == I8042_QUEUE)
        return;
    k->kbd_queue[(k->kbd_head + k->kbd_count) % I8042_QUEUE] = byte;
    k->kbd_count++;
}

static void keyboard_defaults(struct i8042 *k)
{
    k->kbd_rate = RATE_DEFAULT;
    k->kbd_set = SET_DEFAULT;
    k->kbd_command = 0;
}

static void keyboard_argument(struct i8042 *k, u8 value)
{
    u8 command = k->kbd_command;
    k->kbd_command = 0;
    keyboard_send(k, I8042_KBD_ACK);
    switch (command) {
    case I8042_KBD_LEDS: k->kbd_leds = value & LEDS_ALL; break;
    case I8042_KBD_SCANCODE_SET:
        if (!value)
            keyboard_send(k, k->kbd_set);
        else if (value <= 3)
            k->kbd_set = value;
        break;
    case I8042_KBD_RATE: k->kbd_rate = value & RATE_ALL; break;
    }
}

static void keyboard_command(struct i8042 *k, u8 value)
{
    if (k->kbd_command && value < KBD_COMMANDS) {
        keyboard_argument(k, value);
        return;
    }
    k->kbd_command = 0;
    switch (value) {
    case I8042_KBD_ECHO: keyboard_send(k, I8042_KBD_ECHO); break;
    case I8042_KBD_IDENTIFY:
        keyboard_send(k, I8042_KBD_ACK);
        keyboard_send(k, IDENTITY_1);
        keyboard_send(k, IDENTITY_2);
        break;
    case I8042_KBD_SCAN:
        k->kbd_scanning = true;
        keyboard_send(k, I8042_KBD_ACK);
        break;
    case I8042_KBD_STOP:
    case I8042_KBD_DEFAULTS:
        keyboard_defaults(k);
        k->kbd_scanning = value == I8042_KBD_DEFAULTS;
        keyboard_send(k, I8042_KBD_ACK);
        break;
    case I8042_KBD_ALL_KEYS_FIRST ... I8042_KBD_ALL_KEYS_LAST: keyboard_send(k, I8042_KBD_ACK); break;
    case I8042_KBD_LEDS:
    case I8042_KBD_SCANCODE_SET:
    case I8042_KBD_RATE:
    case I8042_KBD_KEY_FIRST ... I8042_KBD_KEY_LAST:
        k->kbd_command = value;
        keyboard_send(k, I8042_KBD_ACK);
        break;
    case I8042_KBD_RESET:
        k->kbd_count = 0;
        k->breaking = false;
        keyboard_defaults(k);
        k->kbd_leds = 0;
        k->kbd_scanning = true;
        keyboard_send(k, I8042_KBD_ACK);
        keyboard_send(k, I8042_KBD_PASSED);
        break;
    default: keyboard_send(k, I8042_KBD_RESEND); break;
    }
}

static void output_port_write(struct i8042 *k, u8 value)
{
    u8 changed = k->output_port ^ value;
    k->output_port = value;
    if (changed & I8042_OUT_A20 && k->config.a20)
        k->config.a20(k->config.opaque, value & I8042_OUT_A20);
    if (!(value & I8042_OUT_RESET))
        k->config.init(k->config.opaque);
}

static void command_byte_write(struct i8042 *k, u8 value)
{
    k->command_byte = value;
    k->status = (k->status & (u8)~I8042_STATUS_SYSTEM) | (value & I8042_CB_SYSTEM ? I8042_STATUS_SYSTEM : 0);
    if (!(value & I8042_CB_IRQ))
        irq_set(&k->config.irq, false);
    else if (k->status & I8042_STATUS_OBF)
        irq_set(&k->config.irq, true);
}

static void controller_argument(struct i8042 *k, u8 command, u8 value)
{
    switch (command) {
    case I8042_WRITE_OUTPUT_PORT: output_port_write(k, value); break;
    case I8042_WRITE_KBD_BUFFER:
    case I8042_WRITE_AUX_BUFFER: /* there is no such port, so it comes back as the keyboard's */
        output_put(k, value);
        break;
    case I8042_WRITE_AUX:
        output_put(k, I8042_KBD_RESEND);
        k->status |= I8042_STATUS_TIMEOUT;
        break;
    case I8042_WRITE_RAM: command_byte_write(k, value); break;
    default: k->ram[command % I8042_RAM_SIZE] = value; break;
    }
}

static void controller_command(struct i8042 *k, u8 value)
{
    k->pending_command = 0;
    switch (value) {
    case I8042_READ_RAM: output_put(k, k->command_byte); break;
    case I8042_READ_RAM + 1 ... I8042_READ_RAM + I8042_RAM_SIZE - 1:
        output_put(k, k->ram[value % I8042_RAM_SIZE]);
        break;
    case I8042_AUX_DISABLE: k->command_byte |= I8042_CB_AUX_DISABLE; break;
    case I8042_AUX_ENABLE: k->command_byte &= (u8)~I8042_CB_AUX_DISABLE; break;
    case I8042_AUX_TEST: output_put(k, I8042_CLOCK_STUCK); break;
    case I8042_SELF_TEST:
        command_byte_write(k, k->command_byte | I8042_CB_SYSTEM);
        output_put(k, I8042_SELF_TEST_PASSED);
        break;
    case I8042_KBD_TEST: output_put(k, I8042_TEST_PASSED); break;
    case I8042_KBD_DISABLE: k->command_byte |= I8042_CB_KBD_DISABLE; break;
    case I8042_KBD_ENABLE: k->command_byte &= (u8)~I8042_CB_KBD_DISABLE; break;
    case I8042_READ_INPUT: output_put(k, INPUT_UNLOCKED); break;
    case I8042_READ_OUTPUT:
        output_put(k, (u8)(k->output_port | (k->status & I8042_STATUS_OBF ? I8042_OUT_OBF : 0)));
        break;
    case I8042_WRITE_RAM ... I8042_WRITE_RAM + I8042_RAM_SIZE - 1:
    case I8042_WRITE_OUTPUT_PORT:
    case I8042_WRITE_KBD_BUFFER:
    case I8042_WRITE_AUX_BUFFER:
    case I8042_WRITE_AUX: k->pending_command = value; break;
    case I8042_A20_OFF: output_port_write(k, k->output_port & (u8)~I8042_OUT_A20); break;
    case I8042_A20_ON: output_port_write(k, k->output_port | I8042_OUT_A20); break;
    case I8042_PULSE ... 0xff:
        if (!(value & I8042_OUT_RESET))
            k->config.init(k->config.opaque);
        break;
    }
}

static u64 data_read(void *dev, u64 offset, unsigned size)
{
    struct i8042 *k = dev;
    u8 value = k->data;
    if (k->status & I8042_STATUS_OBF) {
        k->status &= (u8) ~(I8042_STATUS_OBF | I8042_STATUS_TIMEOUT);
        irq_set(&k->config.irq, false);
        keyboard_pump(k);
    }
    return value;
}

static void data_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct i8042 *k = dev;
    u8 command = k->pending_command;
    k->pending_command = 0;
    k->status &= (u8)~I8042_STATUS_COMMAND;
    if (command) {
        controller_argument(k, command, (u8)value);
    } else {
        k->command_byte &= (u8)~I8042_CB_KBD_DISABLE;
        keyboard_command(k, (u8)value);
    }
    keyboard_pump(k);
}

static u64 status_read(void *dev, u64 offset, unsigned size)
{
    return ((struct i8042 *)dev)->status;
}

static void command_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct i8042 *k = dev;
    k->status |= I8042_STATUS_COMMAND;
    controller_command(k, (u8)value);
    keyboard_pump(k);
}

const struct bus_ops i8042_data_ops = {data_read, data_write, 1, 1};
const struct bus_ops i8042_command_ops = {status_read, command_write, 1, 1};

/* As firmware leaves it: self-tested, translating, interrupt enabled. */
static void i8042_reset(void *dev)
{
    struct i8042 *k = dev;
    struct i8042_config config = k->config;
    *k = (struct i8042){
        .config = config,
        .status = I8042_STATUS_UNLOCKED | I8042_STATUS_SYSTEM,
        .command_byte = I8042_CB_IRQ | I8042_CB_SYSTEM | I8042_CB_AUX_DISABLE | I8042_CB_TRANSLATE,
        .output_port = I8042_OUT_RESET | I8042_OUT_A20,
        .kbd_scanning = true,
    };
    keyboard_defaults(k);
    irq_set(&k->config.irq, false);
}

void i8042_init(struct i8042 *k, const struct i8042_config *config)
{
    *k = (struct i8042){.config = *config};
    i8042_reset(k);
}

bool i8042_key(struct i8042 *k, const u8 *scancodes, unsigned count)
{
    if (!k->kbd_scanning || count > I8042_QUEUE - k->kbd_count)
        return false;
    for (unsigned i = 0; i < count; i++)
        keyboard_send(k, scancodes[i]);
    keyboard_pump(k);
    return true;
}

static const struct state_field fields[] = {
    STATE_FIELD("status", u8, struct i8042, status),
    STATE_FIELD("command_byte", u8, struct i8042, command_byte),
    STATE_FIELD("output_port", u8, struct i8042, output_port),
    STATE_FIELD("pending_command", u8, struct i8042, pending_command),
    STATE_FIELD("ram", u8[32], struct i8042, ram),
    STATE_FIELD("data", u8, struct i8042, data),
    STATE_FIELD("breaking", bool, struct i8042, breaking),
    STATE_FIELD("kbd_queue", u8[64], struct i8042, kbd_queue),
    STATE_FIELD("kbd_head", u32, struct i8042, kbd_head),
    STATE_FIELD("kbd_count", u32, struct i8042, kbd_count),
    STATE_FIELD("kbd_command", u8, struct i8042, kbd_command),
    STATE_FIELD("kbd_leds", u8, struct i8042, kbd_leds),
    STATE_FIELD("kbd_rate", u8, struct i8042, kbd_rate),
    STATE_FIELD("kbd_set", u8, struct i8042, kbd_set),
    STATE_FIELD("kbd_scanning", bool, struct i8042, kbd_scanning),
};
static const struct state_layout layout = STATE_LAYOUT(1, fields);

static void i8042_state(void *dev, struct state *s, const char *name)
{
    struct i8042 *k = dev;
    state_section(s, name, NULL, &layout, k);
    if (!state_saving(s)) {
        k->kbd_head %= I8042_QUEUE;
        if (k->kbd_count > I8042_QUEUE)
            k->kbd_count = 0;
        irq_set(&k->config.irq, k->status & I8042_STATUS_OBF && k->command_byte & I8042_CB_IRQ);
    }
}

const struct device_ops i8042_device = {
    .size = sizeof(struct i8042),
    .reset = i8042_reset,
    .state = i8042_state,
};
