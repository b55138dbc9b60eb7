/*
 * The ACPI tables: checksums, the links between tables, the fields that hypervisors insist on, and
 * the AML's lengths.
 */
#include "machine/acpi.h"

#include "dev/acpi_pm.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>

static struct memory memory;

static u64 get(u64 gpa, unsigned size)
{
    u64 value = 0;
    void *p = ram_pointer(memory.ram, GPA(gpa), size);
    if (p)
        memcpy(&value, p, size);
    return value;
}

static u8 sum(u64 gpa, u64 size)
{
    const u8 *p = ram_pointer(memory.ram, GPA(gpa), size);
    u8 s = p ? 0 : 1;
    for (u64 i = 0; p && i < size; i++)
        s += p[i];
    return s;
}

static u64 table(const char *signature)
{
    u64 xsdt = get(ACPI_RSDP + 24, 8), entries = (get(xsdt + 4, 4) - 36) / 8;
    for (u64 i = 0; i < entries; i++) {
        u64 at = get(xsdt + 36 + i * 8, 8);
        if (memcmp(ram_pointer(memory.ram, GPA(at), 4), signature, 4) == 0)
            return at;
    }
    return 0;
}

static void check_table(u64 at)
{
    CHECK(at >= ACPI_RSDP && at + get(at + 4, 4) <= ACPI_RSDP + ACPI_SPACE);
    CHECK_EQ(sum(at, get(at + 4, 4)), 0);
}

/* Walks NamedObj terms that this DSDT has at the top levels; false when a length does not add up.
 */
static bool walk(u64 at, u64 end, unsigned *devices)
{
    while (at < end) {
        u64 op = get(at, 1), length_at;
        if (op == 0x5b && get(at + 1, 1) == 0x82) {
            ++*devices;
            length_at = at + 2;
        } else if (op == 0x10) {
            length_at = at + 1;
        } else {
            return true; /* other terms: iasl's business */
        }
        u64 first = get(length_at, 1);
        u64 length = (first & 0xf) | get(length_at + 1, 1) << 4 | get(length_at + 2, 1) << 12;
        if (first >> 6 != 2 || length_at + length > end)
            return false;
        u64 body = length_at + 3 + (get(length_at + 3, 1) == '\\') + 4;
        if (op == 0x10 && !walk(body, length_at + length, devices))
            return false;
        at = length_at + length;
    }
    return at == end;
}

static void check_all(u32 vcpus, bool hpet)
{
    struct accel_ops accel = {.has_irqchip = !hpet};
    struct vm_settings settings = {.cpus = vcpus};
    struct pc_config config = {.accel = &accel, .settings = &settings};
    CHECK_EQ(acpi_write(&memory, &config), 0);
    CHECK(memcmp(ram_pointer(memory.ram, GPA(ACPI_RSDP), 8), "RSD PTR ", 8) == 0);
    CHECK_EQ(sum(ACPI_RSDP, 20), 0);
    CHECK_EQ(sum(ACPI_RSDP, 36), 0);
    check_table(get(ACPI_RSDP + 16, 4));
    check_table(get(ACPI_RSDP + 24, 8));
    u64 fadt = table("FACP"), madt = table("APIC");
    check_table(fadt);
    check_table(madt);
    check_table(table("MCFG"));
    CHECK_EQ(table("HPET") != 0, hpet);
    u64 dsdt = get(fadt + 40, 4), facs = get(fadt + 36, 4);
    check_table(dsdt);
    CHECK_EQ(get(fadt + 140, 8), dsdt);
    CHECK_EQ(facs & 63, 0);
    CHECK(memcmp(ram_pointer(memory.ram, GPA(facs), 4), "FACS", 4) == 0);

    /* PM1a blocks, as generic addresses too. */
    CHECK_EQ(get(fadt + 56, 4), 0x600 + ACPI_PM1_EVT);
    CHECK_EQ(get(fadt + 148 + 4, 8), 0x600 + ACPI_PM1_EVT);
    CHECK_EQ(get(fadt + 172 + 4, 8), 0x600 + ACPI_PM1_CNT);
    CHECK_EQ(get(fadt + 116 + 4, 8), 0xcf9);

    u32 local = 0;
    for (u64 at = madt + 44; at < madt + get(madt + 4, 4); at += get(at + 1, 1)) {
        if (!get(at + 1, 1))
            break;
        local += get(at, 1) == 0 || get(at, 1) == 9;
    }
    CHECK_EQ(local, vcpus);

    unsigned devices = 0;
    CHECK(walk(dsdt + 36, dsdt + get(dsdt + 4, 4), &devices));
    CHECK_EQ(devices, vcpus + 2 + hpet);
}

int main(void)
{
    struct error error;
    if (memory_create(&memory, 16 << 20, &error))
        return 1;
    TEST("tables for one CPU");
    check_all(1, true);
    TEST("tables without HPET");
    check_all(2, false);
    TEST("tables for 256 CPUs");
    check_all(256, true);
    TEST("too many CPUs are refused");
    struct accel_ops accel = {0};
    struct vm_settings settings = {.cpus = PC_VCPUS_MAX + 1};
    struct pc_config config = {.accel = &accel, .settings = &settings};
    CHECK_EQ(acpi_write(&memory, &config), -ENOSPC);
    memory_destroy(&memory);
    return TEST_END();
}
