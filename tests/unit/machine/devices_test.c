/*
 * The list of the PC's devices: each row is sound and collides with no other, interrupts reach the controllers, and the
 * devices of a PC are the same after saving and loading, also from a damaged stream as far as that goes.
 */
#include "machine/devices.h"

#include "dev/acpi_pm.h"
#include "dev/i8042.h"
#include "dev/ich9.h"
#include "dev/mc146818.h"
#include "unit/fake_board.h"
#include "unit/test.h"

#include <stdlib.h>
#include <string.h>

/* -- an accelerator that takes note of interrupts -- */

static struct {
    u32 messages;
    bool intr, ignne;
    u32 lines; /* levels by GSI */
} seen;

static void irq_line(struct accel_vm *vm, unsigned gsi, bool level)
{
    seen.lines = level ? seen.lines | BIT(gsi) : seen.lines & ~BIT(gsi);
}
static void msi(struct accel_vm *vm, u64 address, u32 data)
{
    seen.messages++;
}
static void intr_line(struct accel_vm *vm, bool level)
{
    seen.intr = level;
}
static void ignne(struct accel_vm *vm, bool level)
{
    seen.ignne = level;
}

static const struct accel_ops with_irqchip = {.has_irqchip = true, .irq_line = irq_line, .msi = msi};
static const struct accel_ops without_irqchip = {.msi = msi, .intr_line = intr_line, .ignne = ignne};

/* -- a PC's devices -- */

struct board {
    struct fake_clock clock;
    struct run_settings settings;
    struct pc_config config;
    struct layout layout;
    struct devices devices;
};

static void ignore(void *opaque)
{
}
static void ignore_value(void *opaque, u32 value)
{
}
static bool ignore_byte(void *opaque, u32 index, u8 byte)
{
    return true;
}
static const struct pc_events events = {ignore, ignore, ignore_value, ignore_byte, ignore_value, NULL};

/* With everything that settings add, or nothing. */
static struct board *board_create(const struct accel_ops *accel, bool all)
{
    struct board *b = fresh(sizeof(*b));
    struct error error;
    fake_clock_init(&b->clock);
    b->settings = (struct run_settings){.memory = 16 << 20, .cpus = 2, .debug_exit = all};
    b->settings.serial.count = all ? 2 : 0;
    b->config = (struct pc_config){.accel = accel, .settings = &b->settings};
    b->devices =
        (struct devices){.config = &b->config, .events = &events, .layout = &b->layout, .clock = &b->clock.clock};
    memset(&seen, 0, sizeof(seen));
    if (layout_create(&b->layout, b->settings.memory, false, &error) || devices_create(&b->devices, &error)) {
        printf("# %s\n", error.text);
        abort();
    }
    devices_reset(&b->devices);
    return b;
}

static void board_destroy(struct board *b)
{
    devices_destroy(&b->devices);
    CHECK(!b->clock.clock.timers);
    layout_destroy(&b->layout);
    free(b);
}

/* -- the rows -- */

static void test_rows(void)
{
    TEST("each row has a name of its own, a kind and a way to create it");
    for (u32 i = 0; i < pc_device_count; i++) {
        const struct device *row = &pc_devices[i];
        CHECK(row->name && row->name[0] && row->create && row->ops->size);
        CHECK(row->isa_irq < I8259_LINES || row->isa_irq == ISA_NONE);
        for (u32 j = 0; j < i; j++)
            CHECK(strcmp(row->name, pc_devices[j].name) != 0);
    }

    TEST("what ACPI describes has a name of four characters and is unique");
    for (u32 i = 0; i < pc_device_count; i++) {
        const struct device_acpi *acpi = &pc_devices[i].acpi;
        if (!acpi->name)
            continue;
        CHECK_EQ(strlen(acpi->name), 4);
        CHECK_EQ(strlen(acpi->hid), 7);
        for (u32 j = 0; j < i; j++)
            CHECK(!pc_devices[j].acpi.name || strcmp(acpi->name, pc_devices[j].acpi.name) != 0);
    }

    TEST("no two devices share an interrupt");
    for (u32 i = 0; i < pc_device_count; i++) {
        for (u32 j = 0; j < i; j++)
            CHECK(pc_devices[i].isa_irq == ISA_NONE || pc_devices[i].isa_irq != pc_devices[j].isa_irq);
    }
}

/* Checks window `w` against all windows of the rows up to `last`. */
static void check_window(const struct device_window *w, u32 last)
{
    u64 end = w->start + w->size;
    CHECK(w->ops);
    CHECK(w->start < PORTS ? end <= PORTS : end > w->start);
    for (u32 i = 0; i <= last; i++) {
        for (u32 k = 0; k < DEVICE_WINDOWS && pc_devices[i].window[k].size; k++) {
            const struct device_window *other = &pc_devices[i].window[k];
            CHECK(other == w || end <= other->start || other->start + other->size <= w->start);
        }
    }
}

static void test_windows(void)
{
    TEST("windows do not overlap, and lie within their devices");
    for (u32 i = 0; i < pc_device_count; i++) {
        for (u32 k = 0; k < DEVICE_WINDOWS && pc_devices[i].window[k].size; k++) {
            check_window(&pc_devices[i].window[k], i);
            CHECK(pc_devices[i].window[k].part < pc_devices[i].ops->size);
        }
    }

    TEST("a PC has the devices that it should");
    struct board *b = board_create(&with_irqchip, false);
    for (u32 i = 0; i < pc_device_count; i++)
        CHECK_EQ(b->devices.dev[i] != NULL, pc_devices[i].when == DEVICE_ALWAYS);
    board_destroy(b);
    b = board_create(&without_irqchip, true);
    for (u32 i = 0; i < pc_device_count; i++)
        CHECK(b->devices.dev[i]);
    board_destroy(b);
}

/* -- what firmware leaves in the LPC bridge -- */

static u32 lpc_read(struct board *b, u32 offset)
{
    bus_write(&b->devices.port, PORT_PCI, BIT(31) | ICH9_LPC_DEVFN << 8 | offset, 4);
    return (u32)bus_read(&b->devices.port, PORT_PCI + 4, 4);
}

static void test_lpc(void)
{
    enum { LPC_IO_DEC = 0x80, COM2_AT_2F8 = 0x10, LPC_EN_SHIFT = 16 };
    TEST("the LPC bridge says which devices it passes on, and keeps what is written");
    struct board *b = board_create(&without_irqchip, false);
    u32 one = COM2_AT_2F8 | (ICH9_LPC_COM1 | ICH9_LPC_KBC) << LPC_EN_SHIFT;
    CHECK_EQ(lpc_read(b, LPC_IO_DEC), one);
    bus_write(&b->devices.port, PORT_PCI + 4, ~0u, 4);
    CHECK_EQ(lpc_read(b, LPC_IO_DEC), 0x3f0f1377);
    devices_reset(&b->devices);
    CHECK_EQ(lpc_read(b, LPC_IO_DEC), one);
    board_destroy(b);
    b = board_create(&without_irqchip, true);
    CHECK_EQ(lpc_read(b, LPC_IO_DEC), one | ICH9_LPC_COM2 << LPC_EN_SHIFT);
    board_destroy(b);
}

/* -- interrupts -- */

/* Sends a byte to the keyboard controller's output buffer, which raises the interrupt of the keyboard. */
static void keyboard_interrupt(struct board *b)
{
    bus_write(&b->devices.port, PORT_KBD_COMMAND, I8042_WRITE_KBD_BUFFER, 1);
    bus_write(&b->devices.port, PORT_KBD_DATA, 0x5a, 1);
}

static void rtc_put(struct board *b, u8 reg, u8 value)
{
    bus_write(&b->devices.port, PORT_RTC + RTC_INDEX, reg, 1);
    bus_write(&b->devices.port, PORT_RTC + RTC_DATA, value, 1);
}

static void test_interrupts(void)
{
    TEST("an ISA interrupt reaches the 8259s and the I/O APIC");
    struct board *b = board_create(&without_irqchip, false);
    keyboard_interrupt(b);
    CHECK_EQ(b->devices.irq.pic->chip[0].line, BIT(ISA_KBD));
    CHECK_EQ(b->devices.irq.ioapic->line, BIT(ISA_KBD));
    CHECK(seen.intr);
    bus_read(&b->devices.port, PORT_KBD_DATA, 1);
    CHECK_EQ(b->devices.irq.pic->chip[0].line, 0);
    board_destroy(b);

    TEST("or an ISA interrupt reaches the accelerator's interrupt controllers");
    b = board_create(&with_irqchip, false);
    keyboard_interrupt(b);
    CHECK_EQ(seen.lines, BIT(ISA_KBD));
    board_destroy(b);

    TEST("a line is high while one of its sources is");
    b = board_create(&without_irqchip, true);
    keyboard_interrupt(b);
    bus_write(&b->devices.port, PORT_TEST_IRQ + ISA_KBD, 1, 1);
    bus_read(&b->devices.port, PORT_KBD_DATA, 1);
    CHECK_EQ(b->devices.irq.pic->chip[0].line, BIT(ISA_KBD));
    bus_write(&b->devices.port, PORT_TEST_IRQ + ISA_KBD, 0, 1);
    CHECK_EQ(b->devices.irq.pic->chip[0].line, 0);
    board_destroy(b);

    TEST("the alarm of the real-time clock interrupts by its line and as ACPI's event");
    b = board_create(&with_irqchip, false);
    for (u8 at = RTC_SECONDS_ALARM; at <= RTC_HOURS_ALARM; at += 2)
        rtc_put(b, at, RTC_ANY_TIME);
    rtc_put(b, RTC_B, RTC_B_24H | RTC_B_AIE);
    bus_write(&b->devices.port, PORT_PM + ACPI_PM1_EN, ACPI_STS_RTC, 2);
    clock_advance(&b->clock, 1000000000);
    CHECK_EQ(seen.lines, BIT(ISA_RTC) | BIT(ISA_SCI));
    board_destroy(b);
}

/* -- saved state -- */

struct stream {
    u8 *bytes;
    size_t size;
};

static struct stream save(struct board *b)
{
    struct state *s = state_save_begin();
    devices_state(&b->devices, s);
    struct stream stream = {0};
    const void *bytes = state_bytes(s, &stream.size);
    stream.bytes = fresh(stream.size);
    memcpy(stream.bytes, bytes, stream.size);
    state_free(s);
    return stream;
}

static int load(struct board *b, const void *bytes, size_t size)
{
    struct state *s = state_load_begin(bytes, size);
    devices_reset(&b->devices);
    devices_state(&b->devices, s);
    int e = state_error(s);
    state_free(s);
    return e;
}

/* Writes to every register of every device but those that end the machine, so that little is as after reset. */
static void disturb(struct board *b)
{
    for (u32 i = 0; i < pc_device_count; i++) {
        for (u32 k = 0; k < DEVICE_WINDOWS && pc_devices[i].window[k].size; k++) {
            const struct device_window *w = &pc_devices[i].window[k];
            struct bus *bus = w->start < PORTS ? &b->devices.port : &b->devices.mmio;
            u64 size = w->size < 256 ? w->size : 256;
            for (u64 at = 0; at < size; at += 4)
                bus_write(bus, w->start + at, 0x9d63a5b7 * (at + 1), size < 4 ? (unsigned)size : 4);
        }
    }
    keyboard_interrupt(b);
}

/* Names in a stream: a length of one byte, then that many characters. */
struct names {
    const u8 *name[64];
    u32 count;
};

static bool name_is(const u8 *name, const char *text, char next)
{
    size_t n = strlen(text);
    return (name[0] == n || (name[0] > n && name[1 + n] == next)) && memcmp(name + 1, text, n) == 0;
}

/* Adds a name that is not there yet, and returns what comes behind it. */
static const u8 *name_add(struct names *names, const u8 *at)
{
    for (u32 i = 0; i < names->count; i++)
        CHECK(memcmp(names->name[i], at, 1u + at[0]) != 0);
    CHECK(names->count < ARRAY_LEN(names->name));
    if (names->count < ARRAY_LEN(names->name))
        names->name[names->count++] = at;
    return at + 1 + at[0];
}

static u32 number(const u8 *at)
{
    u32 n;
    memcpy(&n, at, sizeof(n));
    return n;
}

/* Collects the names of the sections, and checks that no section has a tag twice. */
static struct names sections_of(const struct stream *stream)
{
    struct names sections = {.count = 0};
    const u8 *end = stream->bytes + stream->size;
    for (const u8 *at = stream->bytes + 4; at < end;) {
        struct names tags = {.count = 0};
        CHECK_EQ(*at, 'S');
        at = name_add(&sections, at + 1);
        CHECK(number(at) >= 1);
        const u8 *body = at + 8, *body_end = body + number(at + 4);
        while (body < body_end) {
            body = name_add(&tags, body);
            body += 4 + number(body);
        }
        at = body_end;
    }
    return sections;
}

static void test_sections(void)
{
    TEST("every device that has state saves it under its name, each section and each tag once");
    struct board *b = board_create(&without_irqchip, true);
    struct stream stream = save(b);
    struct names sections = sections_of(&stream);
    for (u32 i = 0; i < pc_device_count; i++) {
        bool found = false;
        for (u32 k = 0; k < sections.count; k++)
            found |= name_is(sections.name[k], pc_devices[i].name, '.');
        CHECK_EQ(found, pc_devices[i].ops->state != NULL);
    }
    free(stream.bytes);
    board_destroy(b);
}

static void test_state(void)
{
    struct board *b = board_create(&without_irqchip, true);
    disturb(b);
    struct stream stream = save(b);

    TEST("a second PC that loads it is the same, its lines included");
    struct board *other = board_create(&without_irqchip, true);
    CHECK_EQ(load(other, stream.bytes, stream.size), 0);
    struct stream again = save(other);
    CHECK_EQ(again.size, stream.size);
    CHECK(again.size == stream.size && memcmp(again.bytes, stream.bytes, stream.size) == 0);
    CHECK_EQ(other->devices.irq.pic->chip[0].line, b->devices.irq.pic->chip[0].line);
    CHECK_EQ(other->devices.irq.pic_driven[ISA_KBD], b->devices.irq.pic_driven[ISA_KBD]);
    free(again.bytes);

    TEST("a damaged stream is refused, or loaded without harm");
    u64 end = stream.size < 40000 ? stream.size : 40000;
    for (u64 at = 0; at < end; at++) {
        u8 was = stream.bytes[at];
        stream.bytes[at] ^= (u8)(1 + at * 37 % 255);
        load(other, stream.bytes, stream.size);
        clock_advance(&other->clock, 1000);
        stream.bytes[at] = was;
    }
    CHECK_EQ(load(other, stream.bytes, stream.size), 0);
    free(stream.bytes);
    board_destroy(other);
    board_destroy(b);
}

int main(void)
{
    test_rows();
    test_windows();
    test_lpc();
    test_interrupts();
    test_sections();
    test_state();
    return TEST_END();
}
