/*
 * 8042 keyboard controller and PS/2 keyboard. Called under the machine lock.
 *
 * The keyboard keeps a queue; its next byte moves to the output buffer when that is free and the
 * interface is enabled. Replies of the controller itself overtake the queue. The keyboard speaks
 * scancode set 2; the controller translates to set 1 while told to, as every PC does. Nothing is on
 * the auxiliary port, and the port test says so. Source: IBM PS/2 Hardware Interface Technical
 * Reference, "Keyboard and Auxiliary Device Controller".
 */
#include "dev/i8042.h"

#include <string.h>

#define STATUS_OBF BIT(0)
#define STATUS_SYSTEM BIT(2)
#define STATUS_COMMAND BIT(3)
#define STATUS_UNLOCKED BIT(4)
#define STATUS_TIMEOUT BIT(6)
#define CB_IRQ BIT(0)
#define CB_SYSTEM BIT(2)
#define CB_DISABLE BIT(4)
#define CB_AUX_DISABLE BIT(5)
#define CB_TRANSLATE BIT(6)
#define OUT_RESET BIT(0) /* low: the CPU is in reset */
#define OUT_A20 BIT(1)

#define KBD_ACK 0xfa
#define KBD_RESEND 0xfe

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

static void output_put(struct i8042 *k, u8 byte)
{
    k->data = byte;
    k->status = (k->status & (u8)~STATUS_TIMEOUT) | STATUS_OBF;
    irq_set(&k->config.irq, false); /* an edge for each byte */
    if (k->command_byte & CB_IRQ)
        irq_set(&k->config.irq, true);
}

/* Moves the keyboard's next byte to the output buffer if it may go. */
static void keyboard_pump(struct i8042 *k)
{
    while (!(k->status & STATUS_OBF) && !(k->command_byte & CB_DISABLE) && k->kbd_count) {
        u8 byte = k->kbd_queue[k->kbd_head];
        k->kbd_head = (k->kbd_head + 1) % I8042_QUEUE;
        k->kbd_count--;
        if (k->command_byte & CB_TRANSLATE) {
            if (byte == 0xf0) {
                k->breaking = true;
                continue;
            }
            if (byte < 0x80)
                byte = set1[byte];
            else if (byte == 0x83)
                byte = 0x41;
            else if (byte == 0x84)
                byte = 0x54;
            if (k->breaking)
                byte |= 0x80;
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
    k->kbd_rate = 0x2b;
    k->kbd_set = 2;
    k->kbd_command = 0;
}

static void keyboard_argument(struct i8042 *k, u8 value)
{
    u8 command = k->kbd_command;
    k->kbd_command = 0;
    keyboard_send(k, KBD_ACK);
    switch (command) {
    case 0xed: k->kbd_leds = value & 7; break;
    case 0xf0:
        if (!value)
            keyboard_send(k, k->kbd_set);
        else if (value <= 3)
            k->kbd_set = value;
        break;
    case 0xf3: k->kbd_rate = value & 0x7f; break;
    }
}

static void keyboard_command(struct i8042 *k, u8 value)
{
    if (k->kbd_command && value < 0x80) {
        keyboard_argument(k, value);
        return;
    }
    k->kbd_command = 0;
    switch (value) {
    case 0xed: /* LEDs */
    case 0xf0: /* scancode set */
    case 0xf3: /* typematic rate */
    case 0xfb: /* set 3: one key's type */
    case 0xfc:
    case 0xfd:
        k->kbd_command = value;
        keyboard_send(k, KBD_ACK);
        break;
    case 0xee: keyboard_send(k, 0xee); break;
    case 0xf2: /* identify: MF2 */
        keyboard_send(k, KBD_ACK);
        keyboard_send(k, 0xab);
        keyboard_send(k, 0x83);
        break;
    case 0xf4:
        k->kbd_scanning = true;
        keyboard_send(k, KBD_ACK);
        break;
    case 0xf5:
    case 0xf6:
        keyboard_defaults(k);
        k->kbd_scanning = value == 0xf6;
        keyboard_send(k, KBD_ACK);
        break;
    case 0xf7: /* set 3: all keys' types */
    case 0xf8:
    case 0xf9:
    case 0xfa: keyboard_send(k, KBD_ACK); break;
    case 0xff:
        k->kbd_count = 0;
        k->breaking = false;
        keyboard_defaults(k);
        k->kbd_leds = 0;
        k->kbd_scanning = true;
        keyboard_send(k, KBD_ACK);
        keyboard_send(k, 0xaa);
        break;
    default: keyboard_send(k, KBD_RESEND); break;
    }
}

static void output_port_write(struct i8042 *k, u8 value)
{
    u8 changed = k->output_port ^ value;
    k->output_port = value;
    if (changed & OUT_A20 && k->config.a20)
        k->config.a20(k->config.opaque, value & OUT_A20);
    if (!(value & OUT_RESET))
        k->config.reset(k->config.opaque);
}

static void command_byte_write(struct i8042 *k, u8 value)
{
    k->command_byte = value;
    k->status = (k->status & (u8)~STATUS_SYSTEM) | (value & CB_SYSTEM ? STATUS_SYSTEM : 0);
    if (!(value & CB_IRQ))
        irq_set(&k->config.irq, false);
    else if (k->status & STATUS_OBF)
        irq_set(&k->config.irq, true);
}

static void controller_argument(struct i8042 *k, u8 command, u8 value)
{
    switch (command) {
    case 0xd1: output_port_write(k, value); break;
    case 0xd2: /* as if the keyboard had sent it */
    case 0xd3: /* as if the auxiliary device had: there is no such port, so it comes back as the
                  keyboard's */
        output_put(k, value);
        break;
    case 0xd4:
        output_put(k, KBD_RESEND);
        k->status |= STATUS_TIMEOUT;
        break;
    default:
        if (command == 0x60)
            command_byte_write(k, value);
        else
            k->ram[command & 31] = value;
        break;
    }
}

static void controller_command(struct i8042 *k, u8 value)
{
    k->pending_command = 0;
    switch (value) {
    case 0xa7: k->command_byte |= CB_AUX_DISABLE; break;
    case 0xa8: k->command_byte &= (u8)~CB_AUX_DISABLE; break;
    case 0xa9:
        output_put(k, 0x01); /* clock line stuck low: nothing there */
        break;
    case 0xaa:
        command_byte_write(k, k->command_byte | CB_SYSTEM);
        output_put(k, 0x55);
        break;
    case 0xab: output_put(k, 0x00); break;
    case 0xad: k->command_byte |= CB_DISABLE; break;
    case 0xae: k->command_byte &= (u8)~CB_DISABLE; break;
    case 0xc0: output_put(k, 0x80); break;
    case 0xd0: output_put(k, (u8)(k->output_port | (k->status & STATUS_OBF ? BIT(4) : 0))); break;
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xd4: k->pending_command = value; break;
    case 0xdd: output_port_write(k, k->output_port & (u8)~OUT_A20); break;
    case 0xdf: output_port_write(k, k->output_port | OUT_A20); break;
    default:
        if (value >= 0x20 && value < 0x40)
            output_put(k, value == 0x20 ? k->command_byte : k->ram[value & 31]);
        else if (value >= 0x60 && value < 0x80)
            k->pending_command = value;
        else if (value >= 0xf0 && !(value & OUT_RESET)) /* pulse output lines whose bits are 0 */
            k->config.reset(k->config.opaque);
        break;
    }
}

static u64 data_read(void *dev, u64 offset, unsigned size)
{
    struct i8042 *k = dev;
    u8 value = k->data;
    if (k->status & STATUS_OBF) {
        k->status &= (u8) ~(STATUS_OBF | STATUS_TIMEOUT);
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
    k->status &= (u8)~STATUS_COMMAND;
    if (command) {
        controller_argument(k, command, (u8)value);
    } else {
        k->command_byte &= (u8)~CB_DISABLE;
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
    k->status |= STATUS_COMMAND;
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
        .status = STATUS_UNLOCKED | STATUS_SYSTEM,
        .command_byte = CB_IRQ | CB_SYSTEM | CB_AUX_DISABLE | CB_TRANSLATE,
        .output_port = OUT_RESET | OUT_A20,
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
    STATE_FIELD("kbd_queue", u8[I8042_QUEUE], struct i8042, kbd_queue),
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
        irq_set(&k->config.irq, k->status & STATUS_OBF && k->command_byte & CB_IRQ);
    }
}

const struct device_ops i8042_device = {
    .size = sizeof(struct i8042),
    .reset = i8042_reset,
    .state = i8042_state,
};
