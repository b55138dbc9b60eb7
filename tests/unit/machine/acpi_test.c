/*
 * The ACPI tables: checksums, the links between tables, the fields that hypervisors insist on, what the DSDT says of
 * devices, and the AML's lengths.
 */
#include "machine/acpi.h"

#include "dev/acpi_pm.h"
#include "dev/mc146818.h"
#include "machine/devices.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>

/* Offsets in tables: ACPI specification 6.4. */
enum { TABLE_LENGTH = 4, TABLE_HEADER = 36 };
enum { RSDP_RSDT = 16, RSDP_V1_SIZE = 20, RSDP_XSDT = 24, RSDP_SIZE = 36 };
enum {
    FADT_FACS = 36,
    FADT_DSDT = 40,
    FADT_PM1A_EVT = 56,
    FADT_DAY_ALARM = 106,
    FADT_MONTH_ALARM = 107,
    FADT_CENTURY = 108,
    FADT_FLAGS = 112,
    FADT_RESET_REG = 116,
    FADT_X_DSDT = 140,
    FADT_X_PM1A_EVT = 148,
    FADT_X_PM1A_CNT = 172,
    GAS_ADDRESS = 4,
};
#define FADT_FIX_RTC BIT(6) /* the alarm is no fixed event */
enum { FACS_VERSION = 32 };
enum { MADT_FIRST = 44, MADT_LAPIC = 0, MADT_X2APIC = 9 };
enum { AML_SCOPE = 0x10, AML_EXT = 0x5b, AML_DEVICE = 0x82 };

/* Tables for so many CPUs, on an accelerator with or without its own interrupt controllers. */
struct bench {
    struct layout layout;
    struct accel_ops accel;
    struct run_settings settings;
    struct pc_config config;
};

static void bench_create(struct bench *b, u32 cpus, bool has_irqchip)
{
    struct error error;
    *b = (struct bench){.accel = {.has_irqchip = has_irqchip}, .settings = {.cpus = cpus}};
    b->settings.serial.count = cpus > 1 ? 2 : 0;
    b->config = (struct pc_config){.accel = &b->accel, .settings = &b->settings};
    CHECK_EQ(layout_create(&b->layout, 16 << 20, false, &error), 0);
}

static const void *at(const struct bench *b, u64 gpa, u64 size)
{
    return ram_pointer(b->layout.ram, GPA(gpa), size);
}

static u64 get(const struct bench *b, u64 gpa, unsigned size)
{
    u64 value = 0;
    const void *p = at(b, gpa, size);
    if (p)
        memcpy(&value, p, size);
    return value;
}

static u8 sum(const struct bench *b, u64 gpa, u64 size)
{
    const u8 *p = at(b, gpa, size);
    u8 s = p ? 0 : 1;
    for (u64 i = 0; p && i < size; i++)
        s += p[i];
    return s;
}

static u64 table(const struct bench *b, const char *signature)
{
    u64 xsdt = get(b, ACPI_RSDP + RSDP_XSDT, 8), entries = (get(b, xsdt + TABLE_LENGTH, 4) - TABLE_HEADER) / 8;
    for (u64 i = 0; i < entries; i++) {
        u64 found = get(b, xsdt + TABLE_HEADER + i * 8, 8);
        if (memcmp(at(b, found, 4), signature, 4) == 0)
            return found;
    }
    return 0;
}

static void check_table(const struct bench *b, u64 gpa)
{
    u64 length = get(b, gpa + TABLE_LENGTH, 4);
    CHECK(gpa >= b->layout.acpi && gpa + length <= b->layout.low);
    CHECK_EQ(sum(b, gpa, length), 0);
}

static void check_fadt(const struct bench *b)
{
    u64 fadt = table(b, "FACP");
    check_table(b, fadt);
    u64 dsdt = get(b, fadt + FADT_DSDT, 4), facs = get(b, fadt + FADT_FACS, 4);
    check_table(b, dsdt);
    CHECK_EQ(get(b, fadt + FADT_X_DSDT, 8), dsdt);
    CHECK_EQ(facs & 63, 0);
    CHECK(memcmp(at(b, facs, 4), "FACS", 4) == 0);
    CHECK_EQ(get(b, facs + FACS_VERSION, 1), 2);

    /* PM1a blocks, as generic addresses too. */
    CHECK_EQ(get(b, fadt + FADT_PM1A_EVT, 4), PORT_PM + ACPI_PM1_EVT);
    CHECK_EQ(get(b, fadt + FADT_X_PM1A_EVT + GAS_ADDRESS, 8), PORT_PM + ACPI_PM1_EVT);
    CHECK_EQ(get(b, fadt + FADT_X_PM1A_CNT + GAS_ADDRESS, 8), PORT_PM + ACPI_PM1_CNT);
    CHECK_EQ(get(b, fadt + FADT_RESET_REG + GAS_ADDRESS, 8), PORT_RESET_CONTROL);

    /* The alarm is a fixed event, and where its registers are. */
    CHECK_EQ(get(b, fadt + FADT_FLAGS, 4) & FADT_FIX_RTC, 0);
    CHECK_EQ(get(b, fadt + FADT_DAY_ALARM, 1), RTC_D);
    CHECK_EQ(get(b, fadt + FADT_MONTH_ALARM, 1), 0);
    CHECK_EQ(get(b, fadt + FADT_CENTURY, 1), RTC_CENTURY);
}

static void check_madt(const struct bench *b)
{
    u64 madt = table(b, "APIC");
    check_table(b, madt);
    u32 local = 0;
    for (u64 p = madt + MADT_FIRST; p < madt + get(b, madt + TABLE_LENGTH, 4); p += get(b, p + 1, 1)) {
        if (!get(b, p + 1, 1))
            break;
        local += get(b, p, 1) == MADT_LAPIC || get(b, p, 1) == MADT_X2APIC;
    }
    CHECK_EQ(local, b->settings.cpus);
}

/* Walks NamedObj terms that this DSDT has at the top levels; false when a length does not add up. */
static bool walk(const struct bench *b, u64 p, u64 end, unsigned *devices)
{
    while (p < end) {
        u64 op = get(b, p, 1), length_at;
        if (op == AML_EXT && get(b, p + 1, 1) == AML_DEVICE) {
            ++*devices;
            length_at = p + 2;
        } else if (op == AML_SCOPE) {
            length_at = p + 1;
        } else {
            return true; /* other terms: iasl's business */
        }
        u64 first = get(b, length_at, 1);
        u64 length = (first & 0xf) | get(b, length_at + 1, 1) << 4 | get(b, length_at + 2, 1) << 12;
        if (first >> 6 != 2 || length_at + length > end)
            return false;
        u64 body = length_at + 3 + (get(b, length_at + 3, 1) == '\\') + 4;
        if (op == AML_SCOPE && !walk(b, body, length_at + length, devices))
            return false;
        p = length_at + length;
    }
    return p == end;
}

static void check_dsdt(const struct bench *b)
{
    u64 dsdt = get(b, table(b, "FACP") + FADT_DSDT, 4), length = get(b, dsdt + TABLE_LENGTH, 4);
    unsigned devices = 0;
    CHECK(walk(b, dsdt + TABLE_HEADER, dsdt + length, &devices));
    CHECK_EQ(devices, b->settings.cpus + 2u + !b->accel.has_irqchip); /* PCI0, MBRD, HPET */

    /* Each device that has a description, with its name and its first port. */
    for (u32 i = 0; i < pc_device_count; i++) {
        const struct device *row = &pc_devices[i];
        if (!row->acpi.name)
            continue;
        const u8 *name = memmem(at(b, dsdt, length), length, row->acpi.name, 4);
        CHECK_EQ(name != NULL, device_wanted(row, &b->config));
        if (!name)
            continue;
        u8 io[] = {0x47, 1, (u8)row->window[0].start, (u8)(row->window[0].start >> 8)};
        CHECK(memmem(name, 64, io, sizeof(io)));
    }
}

static void check_all(u32 cpus, bool has_irqchip)
{
    struct bench b;
    bench_create(&b, cpus, has_irqchip);
    CHECK_EQ(acpi_write(&b.layout, &b.config), 0);
    CHECK(memcmp(at(&b, ACPI_RSDP, 8), "RSD PTR ", 8) == 0);
    CHECK_EQ(sum(&b, ACPI_RSDP, RSDP_V1_SIZE), 0);
    CHECK_EQ(sum(&b, ACPI_RSDP, RSDP_SIZE), 0);
    check_table(&b, get(&b, ACPI_RSDP + RSDP_RSDT, 4));
    check_table(&b, get(&b, ACPI_RSDP + RSDP_XSDT, 8));
    check_fadt(&b);
    check_madt(&b);
    check_table(&b, table(&b, "MCFG"));
    CHECK_EQ(table(&b, "HPET") != 0, !has_irqchip);
    check_dsdt(&b);
    layout_destroy(&b.layout);
}

int main(void)
{
    TEST("tables for one CPU");
    check_all(1, false);
    TEST("tables without HPET");
    check_all(2, true);
    TEST("tables for 256 CPUs");
    check_all(256, false);
    TEST("too many CPUs are refused");
    struct bench b;
    bench_create(&b, PC_VCPUS_MAX + 1, false);
    CHECK_EQ(acpi_write(&b.layout, &b.config), -ENOSPC);
    layout_destroy(&b.layout);
    return TEST_END();
}
