/*
 * RSDP, RSDT and XSDT, FADT with FACS, MADT, MCFG, HPET and the DSDT, laid out one after the other
 * from ACPI_RSDP.
 *
 * The machine is always in ACPI mode (FADT.SMI_CMD is 0). The PM1a blocks are described by generic
 * addresses too: some hypervisors refuse a FADT where those are zero. Source: ACPI
 * specification 6.4, "ACPI Software Programming Model"; the PCI Firmware Specification for MCFG and
 * _OSC; the IA-PC HPET specification for the HPET table.
 */
#include "machine/acpi.h"

#include "dev/acpi_pm.h"
#include "dev/hpet.h"
#include "machine/aml.h"

#include <errno.h>
#include <string.h>

#define ECAM_BUSES 256
#define IOAPIC_GPA 0xfec00000u
#define LAPIC_GPA 0xfee00000u
#define HPET_GPA 0xfed00000u
#define RESET_PORT 0xcf9
#define RESET_VALUE 6
#define TABLES_MAX 6

struct header {
    char signature[4];
    u32 length;
    u8 revision, checksum;
    char oem_id[6], oem_table_id[8];
    u32 oem_revision;
    char creator_id[4];
    u32 creator_revision;
} __attribute__((packed));

struct gas { /* Generic Address Structure */
    u8 space, bits, offset, access;
    u64 address;
} __attribute__((packed));
enum { GAS_MEMORY = 0, GAS_IO = 1 };

struct rsdp {
    char signature[8];
    u8 checksum;
    char oem_id[6];
    u8 revision;
    u32 rsdt;
    u32 length;
    u64 xsdt;
    u8 extended_checksum, reserved[3];
} __attribute__((packed));

struct fadt {
    struct header header;
    u32 facs, dsdt;
    u8 reserved0, profile;
    u16 sci_int;
    u32 smi_cmd;
    u8 acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
    u32 pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
    u8 pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base, cst_cnt;
    u16 p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
    u8 duty_offset, duty_width, day_alarm, month_alarm, century;
    u16 boot_arch;
    u8 reserved1;
    u32 flags;
    struct gas reset_reg;
    u8 reset_value;
    u16 arm_boot_arch;
    u8 minor;
    u64 x_facs, x_dsdt;
    struct gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt, x_pm_tmr, x_gpe0, x_gpe1;
    struct gas sleep_control, sleep_status;
    u64 hypervisor_vendor;
} __attribute__((packed));
_Static_assert(sizeof(struct fadt) == 276, "FADT of ACPI 6");

#define FADT_WBINVD BIT(0)
#define FADT_PROC_C1 BIT(2)
#define FADT_SLP_BUTTON BIT(5) /* no fixed sleep button */
#define FADT_TMR_VAL_EXT BIT(8)
#define FADT_RESET_REG_SUP BIT(10)
#define BOOT_LEGACY_DEVICES BIT(0)
#define BOOT_8042 BIT(1)
#define BOOT_NO_VGA BIT(2)

struct facs {
    char signature[4];
    u32 length;
    u8 rest[56];
} __attribute__((packed));

/* Where the tables go: a stretch of guest memory that fills up. */
struct writer {
    u8 *base;
    u32 used;
    u32 table[TABLES_MAX]; /* addresses for RSDT and XSDT */
    u32 tables;
    bool overflow;
};

static void *reserve(struct writer *w, u32 size, u32 align, u32 *gpa)
{
    u32 start = (w->used + align - 1) & ~(align - 1);
    if (start > ACPI_SPACE || size > ACPI_SPACE - start) {
        w->overflow = true;
        return NULL;
    }
    w->used = start + size;
    *gpa = (u32)ACPI_RSDP + start;
    return w->base + start;
}

static u8 checksum(const void *data, size_t size)
{
    u8 sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += ((const u8 *)data)[i];
    return (u8)-sum;
}

/* Fills in the header of the `length` bytes at `data`, and copies them to guest memory. Gives the
 * address. */
static u32 table_put(struct writer *w, const char *signature, u8 revision, void *data, u32 length)
{
    struct header *h = data;
    memcpy(h->signature, signature, 4);
    h->length = length;
    h->revision = revision;
    h->checksum = 0;
    memcpy(h->oem_id, "NSTBOX", 6);
    memcpy(h->oem_table_id, "NESTBOX ", 8);
    h->oem_revision = 1;
    memcpy(h->creator_id, "NSTB", 4);
    h->creator_revision = 1;
    h->checksum = checksum(data, length);
    u32 gpa = 0;
    void *to = reserve(w, length, 16, &gpa);
    if (to)
        memcpy(to, data, length);
    return gpa;
}

static void table_list(struct writer *w, u32 gpa)
{
    w->table[w->tables++] = gpa;
}

static struct gas gas_io(u16 port, u8 bits, u8 access)
{
    return (struct gas){GAS_IO, bits, 0, access, port};
}

static u32 facs_put(struct writer *w)
{
    u32 gpa = 0;
    struct facs *f = reserve(w, sizeof(*f), 64, &gpa);
    if (f) {
        memset(f, 0, sizeof(*f));
        memcpy(f->signature, "FACS", 4);
        f->length = sizeof(*f);
        f->rest[20] = 2; /* version */
    }
    return gpa;
}

static void fadt_put(struct writer *w, const struct acpi_config *c, u32 facs, u32 dsdt)
{
    struct fadt f = {
        .facs = facs,
        .dsdt = dsdt,
        .profile = 1, /* desktop */
        .sci_int = c->sci,
        .pm1a_evt = c->pm_base + ACPI_PM1_EVT,
        .pm1a_cnt = c->pm_base + ACPI_PM1_CNT,
        .pm_tmr = c->pm_base + ACPI_PM_TMR,
        .gpe0 = c->pm_base + ACPI_GPE0,
        .pm1_evt_len = 4,
        .pm1_cnt_len = 2,
        .pm_tmr_len = 4,
        .gpe0_len = ACPI_GPE0_LEN,
        .p_lvl2_lat = 0xfff, /* no C2, no C3 */
        .p_lvl3_lat = 0xfff,
        .century = 0x32,
        .boot_arch = BOOT_LEGACY_DEVICES | BOOT_8042 | BOOT_NO_VGA,
        .flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP,
        .reset_reg = gas_io(RESET_PORT, 8, 1),
        .reset_value = RESET_VALUE,
        .minor = 0,
        .x_facs = facs,
        .x_dsdt = dsdt,
        .x_pm1a_evt = gas_io((u16)(c->pm_base + ACPI_PM1_EVT), 32, 2),
        .x_pm1a_cnt = gas_io((u16)(c->pm_base + ACPI_PM1_CNT), 16, 2),
        .x_pm_tmr = gas_io((u16)(c->pm_base + ACPI_PM_TMR), 32, 3),
        .x_gpe0 = gas_io((u16)(c->pm_base + ACPI_GPE0), ACPI_GPE0_LEN * 8, 1),
        .hypervisor_vendor = 0,
    };
    table_list(w, table_put(w, "FACP", 6, &f, sizeof(f)));
}

static void madt_put(struct writer *w, const struct acpi_config *c)
{
    u8 data[sizeof(struct header) + 8 + 256 * 16 + 64] = {0};
    struct aml a = {data, sizeof(data), sizeof(struct header), false};
    aml_number(&a, LAPIC_GPA, 4);
    aml_number(&a, 1, 4); /* PCAT_COMPAT: there are 8259s */
    for (u32 id = 0; id < c->vcpus; id++) {
        if (id < 255) {
            aml_bytes(&a, (u8[]){0, 8, (u8)id, (u8)id}, 4); /* Processor Local APIC */
            aml_number(&a, 1, 4);
        } else {
            aml_bytes(&a, (u8[]){9, 16, 0, 0}, 4); /* Processor Local x2APIC */
            aml_number(&a, id, 4);
            aml_number(&a, 1, 4);
            aml_number(&a, id, 4);
        }
    }
    aml_bytes(&a, (u8[]){1, 12, c->ioapic_id, 0}, 4); /* I/O APIC */
    aml_number(&a, IOAPIC_GPA, 4);
    aml_number(&a, 0, 4);
    /* ISA 0 is pin 2; the SCI is level-triggered, active high; NMI is LINT1 of every local APIC. */
    aml_bytes(&a, (u8[]){2, 10, 0, 0, 2, 0, 0, 0, 0, 0}, 10);
    aml_bytes(&a, (u8[]){2, 10, 0, c->sci, c->sci, 0, 0, 0, 0x0d, 0}, 10);
    aml_bytes(&a, (u8[]){4, 6, 0xff, 0, 0, 1}, 6);
    if (c->vcpus > 255)
        aml_bytes(&a, (u8[]){10, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0}, 12);
    w->overflow |= a.overflow;
    table_list(w, table_put(w, "APIC", 4, data, (u32)a.length));
}

static void mcfg_put(struct writer *w)
{
    u8 data[sizeof(struct header) + 8 + 16] = {0};
    struct aml a = {data, sizeof(data), sizeof(struct header) + 8, false};
    aml_number(&a, MEMORY_ECAM, 8);
    aml_number(&a, 0, 2);              /* segment */
    aml_number(&a, 0, 1);              /* first bus */
    aml_number(&a, ECAM_BUSES - 1, 1); /* last bus */
    table_list(w, table_put(w, "MCFG", 1, data, sizeof(data)));
}

static void hpet_put(struct writer *w)
{
    struct {
        struct header header;
        u32 id;
        struct gas base;
        u8 number;
        u16 min_tick;
        u8 attributes;
    } __attribute__((packed)) t = {
        .id = HPET_ID,
        .base = {GAS_MEMORY, 64, 0, 0, HPET_GPA},
        .min_tick = 128,
    };
    table_list(w, table_put(w, "HPET", 1, &t, sizeof(t)));
}

static void dsdt_isa_device(struct aml *a, const char *name, const char *id, u32 uid, const u16 ports[][2],
                            unsigned port_count, int irq)
{
    size_t device = aml_device(a, name);
    aml_name_eisa(a, "_HID", id);
    aml_name_integer(a, "_UID", uid);
    aml_name_integer(a, "_STA", 0xf);
    struct aml_resources r = aml_resources(a, "_CRS");
    for (unsigned i = 0; i < port_count; i++)
        aml_io(a, ports[i][0], (u8)ports[i][1]);
    if (irq >= 0)
        aml_irq(a, (unsigned)irq);
    aml_resources_end(a, &r);
    aml_close(a, device);
}

/* PCI Firmware Specification, "_OSC Interface for PCI Host Bridge Devices": the OS gets what it
 * asks for. */
static void dsdt_osc(struct aml *a)
{
    static const u8 pci_uuid[16] = {0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40,
                                    0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66};
    enum { OP_ARG0 = 0x68, OP_AND = 0x7b, OP_OR = 0x7d, OP_RETURN = 0xa4 };
    size_t method = aml_method(a, "_OSC", 4);
    aml_create_dword_field(a, 3, 0, "CDW1");
    size_t block = aml_if_equal(a);
    aml_byte(a, OP_ARG0);
    size_t buffer = aml_buffer(a, sizeof(pci_uuid));
    aml_bytes(a, pci_uuid, sizeof(pci_uuid));
    aml_close(a, buffer);
    aml_create_dword_field(a, 3, 8, "CDW3");
    aml_byte(a, OP_AND);
    aml_path(a, "CDW3");
    aml_integer(a, 0x1f);
    aml_path(a, "CDW3");
    aml_close(a, block);
    block = aml_else(a);
    aml_byte(a, OP_OR);
    aml_path(a, "CDW1");
    aml_integer(a, 4); /* unrecognized UUID */
    aml_path(a, "CDW1");
    aml_close(a, block);
    aml_byte(a, OP_RETURN);
    aml_byte(a, OP_ARG0 + 3);
    aml_close(a, method);
}

/* Pin p of device d is wired to PIRQ (d + p) mod 4, and PIRQ A..D to I/O APIC inputs 16..19. */
static void dsdt_prt(struct aml *a)
{
    aml_name(a, "_PRT");
    size_t table = aml_package(a, 128);
    for (u32 device = 0; device < 32; device++) {
        for (u32 pin = 0; pin < 4; pin++) {
            size_t row = aml_package(a, 4);
            aml_integer(a, (u64)device << 16 | 0xffff);
            aml_integer(a, pin);
            aml_integer(a, 0);
            aml_integer(a, 16 + ((device + pin) & 3));
            aml_close(a, row);
        }
    }
    aml_close(a, table);
}

static void dsdt_pci(struct aml *a)
{
    static const u16 com1[][2] = {{0x3f8, 8}}, rtc[][2] = {{0x70, 2}}, kbd[][2] = {{0x60, 1}, {0x64, 1}};
    size_t pci = aml_device(a, "PCI0");
    aml_name_eisa(a, "_HID", "PNP0A08");
    aml_name_eisa(a, "_CID", "PNP0A03");
    aml_name_integer(a, "_SEG", 0);
    aml_name_integer(a, "_BBN", 0);
    aml_name_integer(a, "_UID", 0);
    struct aml_resources r = aml_resources(a, "_CRS");
    aml_window(a, AML_BUS, 2, 0, ECAM_BUSES - 1);
    aml_io(a, 0xcf8, 8);
    aml_window(a, AML_IO, 2, 0, 0xcf7);
    aml_window(a, AML_IO, 2, 0xd00, 0xffff);
    aml_window(a, AML_MEMORY, 4, MEMORY_LOW640, 0xbffff);
    aml_window(a, AML_MEMORY, 4, MEMORY_LOW_MAX, MEMORY_ECAM - 1);
    aml_window(a, AML_MEMORY, 4, MEMORY_ECAM + MEMORY_ECAM_SIZE, IOAPIC_GPA - 1);
    aml_resources_end(a, &r);
    dsdt_osc(a);
    dsdt_prt(a);

    size_t lpc = aml_device(a, "LPC_");
    aml_name_integer(a, "_ADR", 0x1f0000);
    dsdt_isa_device(a, "RTC_", "PNP0B00", 0, rtc, 1, 8);
    dsdt_isa_device(a, "KBD_", "PNP0303", 0, kbd, 2, 1);
    dsdt_isa_device(a, "MOU_", "PNP0F13", 0, NULL, 0, 12);
    dsdt_isa_device(a, "COM1", "PNP0501", 1, com1, 1, 4);
    aml_close(a, lpc);
    aml_close(a, pci);
}

/* What is taken and belongs to no driver: the PM block, ELCR, and PCI configuration space. */
static void dsdt_board(struct aml *a, const struct acpi_config *c)
{
    size_t board = aml_device(a, "MBRD");
    aml_name_eisa(a, "_HID", "PNP0C02");
    aml_name_integer(a, "_UID", 0);
    struct aml_resources r = aml_resources(a, "_CRS");
    aml_io(a, c->pm_base, ACPI_PM_SIZE);
    aml_io(a, 0x4d0, 2);
    aml_memory32(a, MEMORY_ECAM, MEMORY_ECAM_SIZE);
    aml_resources_end(a, &r);
    aml_close(a, board);

    if (c->hpet) {
        size_t hpet = aml_device(a, "HPET");
        aml_name_eisa(a, "_HID", "PNP0103");
        aml_name_integer(a, "_UID", 0);
        r = aml_resources(a, "_CRS");
        aml_memory32(a, HPET_GPA, 0x400);
        aml_resources_end(a, &r);
        aml_close(a, hpet);
    }
}

static void dsdt_processors(struct aml *a, u32 vcpus)
{
    static const char hex[] = "0123456789ABCDEF";
    for (u32 i = 0; i < vcpus; i++) {
        char name[5] = {'C', hex[i >> 8 & 15], hex[i >> 4 & 15], hex[i & 15], 0};
        size_t device = aml_device(a, name);
        aml_name(a, "_HID");
        aml_string(a, "ACPI0007");
        aml_name_integer(a, "_UID", i);
        aml_close(a, device);
    }
}

static u32 dsdt_put(struct writer *w, const struct acpi_config *c)
{
    static const size_t header = sizeof(struct header);
    u8 data[0x4000] = {0};
    struct aml a = {data, sizeof(data), header, false};
    size_t scope = aml_scope(&a, "\\_SB_");
    dsdt_pci(&a);
    dsdt_board(&a, c);
    dsdt_processors(&a, c->vcpus);
    aml_close(&a, scope);
    aml_name(&a, "\\_S5_");
    size_t s5 = aml_package(&a, 4);
    aml_integer(&a, ACPI_SLP_TYP_S5);
    aml_integer(&a, ACPI_SLP_TYP_S5);
    aml_integer(&a, 0);
    aml_integer(&a, 0);
    aml_close(&a, s5);
    w->overflow |= a.overflow;
    return table_put(w, "DSDT", 2, data, (u32)a.length);
}

static void roots_put(struct writer *w)
{
    u8 data[sizeof(struct header) + TABLES_MAX * 8];
    struct header *h = (struct header *)data;
    u32 n = w->tables;
    for (u32 i = 0; i < n; i++)
        memcpy(data + sizeof(*h) + i * 4, &w->table[i], 4);
    u32 rsdt = table_put(w, "RSDT", 1, data, (u32)(sizeof(*h) + n * 4));
    for (u32 i = 0; i < n; i++)
        memcpy(data + sizeof(*h) + i * 8, &(u64){w->table[i]}, 8);
    u32 xsdt = table_put(w, "XSDT", 1, data, (u32)(sizeof(*h) + n * 8));

    struct rsdp r = {
        .signature = "RSD PTR ", .oem_id = "NSTBOX", .revision = 2, .rsdt = rsdt, .length = sizeof(r), .xsdt = xsdt};
    r.checksum = checksum(&r, 20);
    r.extended_checksum = checksum(&r, sizeof(r));
    memcpy(w->base, &r, sizeof(r));
}

int acpi_write(const struct memory *m, const struct acpi_config *c)
{
    struct writer w = {.base = memory_at(m, ACPI_RSDP, ACPI_SPACE), .used = sizeof(struct rsdp)};
    if (!w.base || c->vcpus > 256)
        return -ENOSPC;
    memset(w.base, 0, ACPI_SPACE);
    u32 facs = facs_put(&w);
    fadt_put(&w, c, facs, dsdt_put(&w, c));
    madt_put(&w, c);
    mcfg_put(&w);
    if (c->hpet)
        hpet_put(&w);
    roots_put(&w);
    return w.overflow ? -ENOSPC : 0;
}
