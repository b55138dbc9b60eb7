/*
 * RSDP, RSDT and XSDT, FADT with FACS, MADT, MCFG, HPET and the DSDT, laid out one after the other at the end of low
 * RAM. What the DSDT says of devices comes from their rows in devices.c.
 *
 * The machine is always in ACPI mode (FADT.SMI_CMD is 0). The PM1a blocks are described by generic addresses too: some
 * hypervisors refuse a FADT where those are zero. Source: ACPI specification 6.4, "ACPI Software Programming Model";
 * the PCI Firmware Specification for MCFG and _OSC; the IA-PC HPET specification for the HPET table.
 */
#include "machine/acpi.h"

#include "dev/acpi_pm.h"
#include "dev/hpet.h"
#include "dev/ich9.h"
#include "dev/mc146818.h"
#include "dev/reset.h"
#include "machine/aml.h"
#include "machine/checksum.h"
#include "machine/devices.h"

#include <errno.h>
#include <string.h>

#define ECAM_BUSES 256
#define GPA_LAPIC 0xfee00000u
#define TABLES_MAX 6

struct acpi_header {
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
enum gas_access { GAS_BYTES = 1, GAS_WORDS = 2, GAS_DWORDS = 3 };

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
    struct acpi_header header;
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

#define PROFILE_DESKTOP 1
#define LATENCY_NONE 0xfff /* of C2 and C3: there is no such state */
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
    u32 length, hardware_signature, waking_vector, global_lock, flags;
    u64 x_waking_vector;
    u8 version, reserved[31];
} __attribute__((packed));
_Static_assert(sizeof(struct facs) == 64, "FACS of ACPI 6");
#define FACS_VERSION 2

struct madt {
    struct acpi_header header;
    u32 lapic_gpa, flags;
} __attribute__((packed));
#define MADT_PCAT_COMPAT BIT(0) /* there are 8259s */
#define MADT_ENABLED BIT(0)
#define MADT_LEVEL_HIGH 0x0d /* of an interrupt: active high, level-triggered */
#define MADT_LINT_NMI 1      /* the input of a local APIC that NMIs arrive at */
#define MADT_ALL_CPUS 0xff
#define MADT_ALL_CPUS_X2APIC 0xffffffff

/* Interrupt controller structures of the MADT. Each begins with its type and its length. */
enum madt_type {
    MADT_LAPIC = 0,
    MADT_IOAPIC = 1,
    MADT_OVERRIDE = 2,
    MADT_NMI = 4,
    MADT_X2APIC = 9,
    MADT_X2APIC_NMI = 10
};
struct madt_lapic {
    u8 type, length, uid, id;
    u32 flags;
} __attribute__((packed));
struct madt_x2apic {
    u8 type, length;
    u16 reserved;
    u32 id, flags, uid;
} __attribute__((packed));
struct madt_ioapic {
    u8 type, length, id, reserved;
    u32 gpa, first_gsi;
} __attribute__((packed));
struct madt_override {
    u8 type, length, bus, isa_irq;
    u32 gsi;
    u16 flags;
} __attribute__((packed));
struct madt_nmi {
    u8 type, length, uid;
    u16 flags;
    u8 lint;
} __attribute__((packed));
struct madt_x2apic_nmi {
    u8 type, length;
    u16 flags;
    u32 uid;
    u8 lint, reserved[3];
} __attribute__((packed));

struct mcfg {
    struct acpi_header header;
    u64 reserved, ecam;
    u16 segment;
    u8 first_bus, last_bus;
    u32 reserved2;
} __attribute__((packed));

struct hpet_table {
    struct acpi_header header;
    u32 id;
    struct gas base;
    u8 number;
    u16 min_tick;
    u8 attributes;
} __attribute__((packed));
#define HPET_MIN_TICK 128 /* no periods shorter than that */

#define STA_WORKS 0xf /* present, enabled, shown, functioning */
#define ALL_FUNCTIONS 0xffff
#define LPC_ADR ((u64)(ICH9_LPC_DEVFN >> 3) << 16)

/* Where the tables go: a stretch of guest memory that fills up. */
struct writer {
    u8 *base;
    u32 gpa; /* of base */
    u32 used;
    u32 table[TABLES_MAX]; /* addresses for RSDT and XSDT */
    u32 tables;
    bool overflow;
};

static void *reserve(struct writer *w, u32 size, u32 align, u32 *gpa)
{
    u32 start = (u32)align_up(w->used, align);
    if (start > LAYOUT_ACPI_SIZE || size > LAYOUT_ACPI_SIZE - start) {
        w->overflow = true;
        return NULL;
    }
    w->used = start + size;
    *gpa = w->gpa + start;
    return w->base + start;
}

/* Fills in the header of the `length` bytes at `data`, and copies them to guest memory. Returns the address. */
static u32 table_put(struct writer *w, const char *signature, u8 revision, void *data, u32 length)
{
    struct acpi_header *h = data;
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

static struct gas gas_io(u16 port, u8 bits, enum gas_access access)
{
    return (struct gas){GAS_IO, bits, 0, (u8)access, port};
}

static u32 facs_put(struct writer *w)
{
    u32 gpa = 0;
    struct facs *f = reserve(w, sizeof(*f), 64, &gpa);
    if (f) {
        memset(f, 0, sizeof(*f));
        memcpy(f->signature, "FACS", 4);
        f->length = sizeof(*f);
        f->version = FACS_VERSION;
    }
    return gpa;
}

static void fadt_put(struct writer *w, u32 facs, u32 dsdt)
{
    struct fadt f = {
        .facs = facs,
        .dsdt = dsdt,
        .profile = PROFILE_DESKTOP,
        .sci_int = ISA_SCI,
        .pm1a_evt = PORT_PM + ACPI_PM1_EVT,
        .pm1a_cnt = PORT_PM + ACPI_PM1_CNT,
        .pm_tmr = PORT_PM + ACPI_PM_TMR,
        .gpe0 = PORT_PM + ACPI_GPE0,
        .pm1_evt_len = 4,
        .pm1_cnt_len = 2,
        .pm_tmr_len = 4,
        .gpe0_len = ACPI_GPE0_LEN,
        .p_lvl2_lat = LATENCY_NONE,
        .p_lvl3_lat = LATENCY_NONE,
        .day_alarm = RTC_D,
        .century = RTC_CENTURY,
        .boot_arch = BOOT_LEGACY_DEVICES | BOOT_8042 | BOOT_NO_VGA,
        .flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP,
        .reset_reg = gas_io(PORT_RESET_CONTROL, 8, GAS_BYTES),
        .reset_value = RESET_CONTROL_HARD,
        .minor = 0,
        .x_facs = facs,
        .x_dsdt = dsdt,
        .x_pm1a_evt = gas_io((u16)(PORT_PM + ACPI_PM1_EVT), 32, GAS_WORDS),
        .x_pm1a_cnt = gas_io((u16)(PORT_PM + ACPI_PM1_CNT), 16, GAS_WORDS),
        .x_pm_tmr = gas_io((u16)(PORT_PM + ACPI_PM_TMR), 32, GAS_DWORDS),
        .x_gpe0 = gas_io((u16)(PORT_PM + ACPI_GPE0), ACPI_GPE0_LEN * 8, GAS_BYTES),
        .hypervisor_vendor = 0,
    };
    table_list(w, table_put(w, "FACP", 6, &f, sizeof(f)));
}

/* The local APICs, whose IDs beyond the width of a byte take a structure of their own. */
static void madt_cpus(struct aml *a, u32 vcpus)
{
    for (u32 id = 0; id < vcpus; id++) {
        struct madt_lapic cpu = {MADT_LAPIC, sizeof(cpu), (u8)id, (u8)id, MADT_ENABLED};
        struct madt_x2apic far = {MADT_X2APIC, sizeof(far), .id = id, .flags = MADT_ENABLED, .uid = id};
        if (id < MADT_ALL_CPUS)
            aml_bytes(a, &cpu, sizeof(cpu));
        else
            aml_bytes(a, &far, sizeof(far));
    }
}

/* NMIs come in at the same input of every local APIC. */
static void madt_nmis(struct aml *a, u32 vcpus)
{
    struct madt_nmi nmi = {MADT_NMI, sizeof(nmi), MADT_ALL_CPUS, .lint = MADT_LINT_NMI};
    struct madt_x2apic_nmi far = {MADT_X2APIC_NMI, sizeof(far), .uid = MADT_ALL_CPUS_X2APIC, .lint = MADT_LINT_NMI};
    aml_bytes(a, &nmi, sizeof(nmi));
    if (vcpus > MADT_ALL_CPUS)
        aml_bytes(a, &far, sizeof(far));
}

static void madt_put(struct writer *w, u32 vcpus)
{
    u8 data[sizeof(struct madt) + PC_VCPUS_MAX * sizeof(struct madt_x2apic) + 64];
    struct aml a = {data, sizeof(data), 0, false};
    struct madt madt = {.lapic_gpa = GPA_LAPIC, .flags = MADT_PCAT_COMPAT};
    struct madt_ioapic ioapic = {MADT_IOAPIC, sizeof(ioapic), .gpa = GPA_IOAPIC};
    struct madt_override pit = {MADT_OVERRIDE, sizeof(pit), .isa_irq = ISA_PIT, .gsi = ISA_0_GSI};
    struct madt_override sci = {MADT_OVERRIDE, sizeof(sci), 0, ISA_SCI, ISA_SCI, MADT_LEVEL_HIGH};
    aml_bytes(&a, &madt, sizeof(madt));
    madt_cpus(&a, vcpus);
    aml_bytes(&a, &ioapic, sizeof(ioapic));
    aml_bytes(&a, &pit, sizeof(pit));
    aml_bytes(&a, &sci, sizeof(sci));
    madt_nmis(&a, vcpus);
    w->overflow |= a.overflow;
    table_list(w, table_put(w, "APIC", 4, data, (u32)a.length));
}

static void mcfg_put(struct writer *w)
{
    struct mcfg t = {.ecam = LAYOUT_ECAM, .last_bus = ECAM_BUSES - 1};
    table_list(w, table_put(w, "MCFG", 1, &t, sizeof(t)));
}

static bool has_hpet(const struct pc_config *config)
{
    return !config->accel->has_irqchip;
}

static void hpet_put(struct writer *w)
{
    struct hpet_table t = {
        .id = HPET_ID,
        .base = {GAS_MEMORY, 64, 0, 0, GPA_HPET},
        .min_tick = HPET_MIN_TICK,
    };
    table_list(w, table_put(w, "HPET", 1, &t, sizeof(t)));
}

/* A device on the LPC bus with its windows and its interrupt. */
static void dsdt_lpc_device(struct aml *a, const struct device *row)
{
    size_t device = aml_device(a, row->acpi.name);
    aml_name_eisa(a, "_HID", row->acpi.hid);
    aml_name_integer(a, "_UID", row->acpi.uid);
    aml_name_integer(a, "_STA", STA_WORKS);
    struct aml_resources r = aml_resources(a, "_CRS");
    for (const struct device_window *w = row->window; w < row->window + DEVICE_WINDOWS && w->size; w++) {
        if (w->start < PORTS)
            aml_io(a, (u16)w->start, (u8)w->size);
        else
            aml_memory32(a, (u32)w->start, (u32)w->size);
    }
    if (row->isa_irq != ISA_NONE)
        aml_irq(a, row->isa_irq);
    aml_resources_end(a, &r);
    aml_close(a, device);
}

/* PCI Firmware Specification, "_OSC Interface for PCI Host Bridge Devices": the OS gets what it asks for. */
static void dsdt_osc(struct aml *a)
{
    static const u8 pci_uuid[16] = {0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40,
                                    0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66};
    enum { FEATURES = 0x1f /* hot-plug, PME, AER, capability structure */, UNRECOGNIZED_UUID = BIT(2) };
    size_t method = aml_method(a, "_OSC", 4);
    aml_create_dword_field(a, 3, 0, "CDW1");
    size_t block = aml_if_equal(a);
    aml_byte(a, AML_ARG0);
    size_t buffer = aml_buffer(a, sizeof(pci_uuid));
    aml_bytes(a, pci_uuid, sizeof(pci_uuid));
    aml_close(a, buffer);
    aml_create_dword_field(a, 3, 8, "CDW3");
    aml_byte(a, AML_AND);
    aml_path(a, "CDW3");
    aml_integer(a, FEATURES);
    aml_path(a, "CDW3");
    aml_close(a, block);
    block = aml_else(a);
    aml_byte(a, AML_OR);
    aml_path(a, "CDW1");
    aml_integer(a, UNRECOGNIZED_UUID);
    aml_path(a, "CDW1");
    aml_close(a, block);
    aml_byte(a, AML_RETURN);
    aml_byte(a, AML_ARG0 + 3);
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
            aml_integer(a, (u64)device << 16 | ALL_FUNCTIONS);
            aml_integer(a, pin);
            aml_integer(a, 0);
            aml_integer(a, ICH9_PIRQ_GSI + (device + pin) % ICH9_PIRQS);
            aml_close(a, row);
        }
    }
    aml_close(a, table);
}

static void dsdt_lpc(struct aml *a, const struct pc_config *config)
{
    /* Drivers of the keyboard controller look for its auxiliary port, too, and find there that nothing is on it. */
    static const struct device mouse = {.isa_irq = ISA_MOUSE, .acpi = {"MOU_", "PNP0F13", 0}};
    size_t lpc = aml_device(a, "LPC_");
    aml_name_integer(a, "_ADR", LPC_ADR);
    for (u32 i = 0; i < pc_device_count; i++) {
        if (pc_devices[i].acpi.name && device_wanted(&pc_devices[i], config))
            dsdt_lpc_device(a, &pc_devices[i]);
    }
    dsdt_lpc_device(a, &mouse);
    aml_close(a, lpc);
}

static void dsdt_pci(struct aml *a, const struct pc_config *config)
{
    size_t pci = aml_device(a, "PCI0");
    aml_name_eisa(a, "_HID", "PNP0A08");
    aml_name_eisa(a, "_CID", "PNP0A03");
    aml_name_integer(a, "_SEG", 0);
    aml_name_integer(a, "_BBN", 0);
    aml_name_integer(a, "_UID", 0);
    struct aml_resources r = aml_resources(a, "_CRS");
    aml_window(a, AML_BUS, 2, 0, ECAM_BUSES - 1);
    aml_io(a, PORT_PCI, 8);
    aml_window(a, AML_IO, 2, 0, PORT_PCI - 1);
    aml_window(a, AML_IO, 2, PORT_PCI + 8, PORTS - 1);
    aml_window(a, AML_MEMORY, 4, LAYOUT_VIDEO, LAYOUT_UPPER - 1);
    aml_window(a, AML_MEMORY, 4, LAYOUT_HOLE, LAYOUT_ECAM - 1);
    aml_window(a, AML_MEMORY, 4, LAYOUT_ECAM + LAYOUT_ECAM_SIZE, GPA_IOAPIC - 1);
    aml_resources_end(a, &r);
    dsdt_osc(a);
    dsdt_prt(a);
    dsdt_lpc(a, config);
    aml_close(a, pci);
}

/* What is taken and belongs to no driver: the PM block, ELCR, and PCI configuration space. */
static void dsdt_board(struct aml *a, const struct pc_config *config)
{
    size_t board = aml_device(a, "MBRD");
    aml_name_eisa(a, "_HID", "PNP0C02");
    aml_name_integer(a, "_UID", 0);
    struct aml_resources r = aml_resources(a, "_CRS");
    aml_io(a, PORT_PM, ACPI_PM_SIZE);
    aml_io(a, PORT_ELCR0, 2);
    aml_memory32(a, LAYOUT_ECAM, LAYOUT_ECAM_SIZE);
    aml_resources_end(a, &r);
    aml_close(a, board);

    if (has_hpet(config)) {
        size_t hpet = aml_device(a, "HPET");
        aml_name_eisa(a, "_HID", "PNP0103");
        aml_name_integer(a, "_UID", 0);
        r = aml_resources(a, "_CRS");
        aml_memory32(a, GPA_HPET, HPET_SIZE);
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

static u32 dsdt_put(struct writer *w, const struct pc_config *config)
{
    static const size_t header = sizeof(struct acpi_header);
    u8 data[0x4000] = {0};
    struct aml a = {data, sizeof(data), header, false};
    size_t scope = aml_scope(&a, "\\_SB_");
    dsdt_pci(&a, config);
    dsdt_board(&a, config);
    dsdt_processors(&a, config->settings->cpus);
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

static void roots_put(struct writer *w, u8 *rsdp)
{
    u8 data[sizeof(struct acpi_header) + TABLES_MAX * 8];
    struct acpi_header *h = (struct acpi_header *)data;
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
    memcpy(rsdp, &r, sizeof(r));
}

int acpi_write(const struct layout *layout, const struct pc_config *config)
{
    struct writer w = {.base = ram_pointer(layout->ram, GPA(layout->acpi), LAYOUT_ACPI_SIZE), .gpa = (u32)layout->acpi};
    u8 *rsdp = ram_pointer(layout->ram, GPA(ACPI_RSDP), sizeof(struct rsdp));
    if (!w.base || !rsdp || config->settings->cpus > PC_VCPUS_MAX)
        return -ENOSPC;
    memset(w.base, 0, LAYOUT_ACPI_SIZE);
    u32 facs = facs_put(&w);
    fadt_put(&w, facs, dsdt_put(&w, config));
    madt_put(&w, config->settings->cpus);
    mcfg_put(&w);
    if (has_hpet(config))
        hpet_put(&w);
    roots_put(&w, rsdp);
    return w.overflow ? -ENOSPC : 0;
}
