/*
 * Writes the SMBIOS structures that the specification requires of a system: BIOS, system, enclosure, processor, memory
 * array, memory device, mapped address, boot information, end. Source: DMTF DSP0134, SMBIOS Reference
 * Specification 2.8.
 */
#include "machine/smbios.h"

#include "machine/checksum.h"

#include <string.h>

#define TABLE_AT 0x20u
#define TABLE_MAX 0x1000u

/* "SMBIOS Structure Table Entry Point", 32-bit. */
struct entry_point {
    char anchor[4];
    u8 checksum, length, major, minor;
    u16 largest;
    u8 revision, formatted[5];
    char dmi_anchor[5];
    u8 dmi_checksum;
    u16 table_length;
    u32 table;
    u16 count;
    u8 bcd_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct entry_point) == 0x1f, "length of the specification");
#define MAJOR 2
#define MINOR 8

/* Structure types. A structure's handle is its type in the upper byte: there is one of each. */
enum {
    FIRMWARE = 0,
    SYSTEM = 1,
    CHASSIS = 3,
    PROCESSOR = 4,
    MEMORY_ARRAY = 16,
    MEMORY_DEVICE = 17,
    MAPPED_ADDRESS = 19,
    BOOT = 32,
    END = 127,
};
#define HANDLE(type) ((u16)((type) << 8))
#define NO_HANDLE 0xfffe /* there is no information about errors */

struct smbios_header {
    u8 type, length;
    u16 handle;
} __attribute__((packed));

/* Members that are strings hold the number of a string behind the structure; 0: none. */
struct firmware {
    struct smbios_header header;
    u8 vendor, version;
    u16 segment;
    u8 release_date, rom_size;
    u64 characteristics;
    u8 extension[2], release_major, release_minor, controller_major, controller_minor;
} __attribute__((packed));
_Static_assert(sizeof(struct firmware) == 0x18, "length of the specification");
#define FIRMWARE_SEGMENT 0xf000
#define CHARACTERISTICS_NONE BIT(3)
#define EXTENSION_TARGETED BIT(2) /* "targeted content distribution" */
#define EXTENSION_VIRTUAL BIT(4)
#define NO_VERSION 0xff

struct system {
    struct smbios_header header;
    u8 manufacturer, product, version, serial, uuid[16], wakeup, sku, family;
} __attribute__((packed));
_Static_assert(sizeof(struct system) == 0x1b, "length of the specification");
#define WAKEUP_POWER_SWITCH 6

struct chassis {
    struct smbios_header header;
    u8 manufacturer, type, version, serial, asset, bootup, power, thermal, security;
    u32 oem;
    u8 height, cords, contained, contained_length;
} __attribute__((packed));
_Static_assert(sizeof(struct chassis) == 0x15, "length of the specification");
#define CHASSIS_OTHER 1
#define STATE_SAFE 3
#define SECURITY_UNKNOWN 2

struct processor {
    struct smbios_header header;
    u8 socket, type, family, manufacturer;
    u64 id;
    u8 version, voltage;
    u16 external_clock, max_mhz, current_mhz;
    u8 status, upgrade;
    u16 l1_handle, l2_handle, l3_handle;
    u8 serial, asset, part, cores, cores_enabled, threads;
    u16 characteristics, family2;
} __attribute__((packed));
_Static_assert(sizeof(struct processor) == 0x2a, "length of the specification");
#define PROCESSOR_CENTRAL 3
#define PROCESSOR_OTHER 1
#define PROCESSOR_ENABLED 0x41 /* the socket is populated, the CPU enabled */
#define PROCESSOR_64BIT BIT(2)
#define CACHE_NONE 0xffff
#define CORES_MAX 0xff

struct memory_array {
    struct smbios_header header;
    u8 location, use, ecc;
    u32 maximum; /* in KiB, or EXTENDED_MAXIMUM */
    u16 error_handle, devices;
    u64 extended_maximum;
} __attribute__((packed));
_Static_assert(sizeof(struct memory_array) == 0x17, "length of the specification");
#define LOCATION_OTHER 1
#define USE_SYSTEM 3
#define ECC_NONE 3
#define EXTENDED_MAXIMUM 0x80000000u

struct memory_device {
    struct smbios_header header;
    u16 array, error_handle, total_width, data_width, size;
    u8 form, set, locator, bank, type;
    u16 detail, speed;
    u8 manufacturer, serial, asset, part, attributes;
    u32 extended_size;
    u16 configured_speed, min_voltage, max_voltage, voltage;
} __attribute__((packed));
_Static_assert(sizeof(struct memory_device) == 0x28, "length of the specification");
#define WIDTH_UNKNOWN 0xffff
#define SIZE_EXTENDED 0x7fff /* the size in MiB is in extended_size */
#define FORM_DIMM 9
#define TYPE_RAM 7
#define DETAIL_OTHER BIT(1)

struct mapped_address {
    struct smbios_header header;
    u32 start, end; /* EXTENDED_ADDRESS: see below */
    u16 array;
    u8 width;
    u64 extended_start, extended_end;
} __attribute__((packed));
_Static_assert(sizeof(struct mapped_address) == 0x1f, "length of the specification");
#define EXTENDED_ADDRESS 0xffffffff

struct boot_information {
    struct smbios_header header;
    u8 reserved[6], status; /* 0: no errors */
} __attribute__((packed));
_Static_assert(sizeof(struct boot_information) == 0x0b, "length of the specification");

struct table {
    u8 *data;
    u32 used, count, largest;
};

/* Appends a structure, whose header it fills in. `strings` ends with NULL. */
static void add(struct table *t, u8 type, void *structure, size_t size, const char *const *strings)
{
    u8 *p = t->data + t->used, *start = p;
    *(struct smbios_header *)structure = (struct smbios_header){type, (u8)size, HANDLE(type)};
    memcpy(p, structure, size);
    p += size;
    for (u32 i = 0; strings && strings[i]; i++) {
        size_t n = strlen(strings[i]) + 1;
        memcpy(p, strings[i], n);
        p += n;
    }
    if (!strings)
        *p++ = 0;
    *p++ = 0;
    t->used += (u32)(p - start);
    t->count++;
    if ((u32)(p - start) > t->largest)
        t->largest = (u32)(p - start);
}

#define STRINGS(...)                                                                                                   \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__, NULL                                                                                              \
    }

static void firmware_add(struct table *t)
{
    struct firmware s = {
        .vendor = 1,
        .version = 2,
        .release_date = 3,
        .segment = FIRMWARE_SEGMENT,
        .characteristics = CHARACTERISTICS_NONE,
        .extension = {0, EXTENSION_VIRTUAL | EXTENSION_TARGETED},
        .release_major = NO_VERSION,
        .release_minor = NO_VERSION,
        .controller_major = NO_VERSION,
        .controller_minor = NO_VERSION,
    };
    add(t, FIRMWARE, &s, sizeof(s), STRINGS("nestbox", "1", "01/01/2026"));
}

static void system_add(struct table *t)
{
    struct system s = {.manufacturer = 1, .product = 2, .version = 3, .wakeup = WAKEUP_POWER_SWITCH};
    struct chassis c = {
        .manufacturer = 1,
        .type = CHASSIS_OTHER,
        .bootup = STATE_SAFE,
        .power = STATE_SAFE,
        .thermal = STATE_SAFE,
        .security = SECURITY_UNKNOWN,
    };
    add(t, SYSTEM, &s, sizeof(s), STRINGS("nestbox", "PC", "1"));
    add(t, CHASSIS, &c, sizeof(c), STRINGS("nestbox"));
}

static void processor_add(struct table *t, u32 vcpus)
{
    u8 n = vcpus > CORES_MAX ? CORES_MAX : (u8)vcpus;
    struct processor s = {
        .socket = 1,
        .type = PROCESSOR_CENTRAL,
        .family = PROCESSOR_OTHER,
        .manufacturer = 2,
        .status = PROCESSOR_ENABLED,
        .upgrade = PROCESSOR_OTHER,
        .l1_handle = CACHE_NONE,
        .l2_handle = CACHE_NONE,
        .l3_handle = CACHE_NONE,
        .cores = n,
        .cores_enabled = n,
        .threads = n,
        .characteristics = PROCESSOR_64BIT,
        .family2 = PROCESSOR_OTHER,
    };
    add(t, PROCESSOR, &s, sizeof(s), STRINGS("CPU", "nestbox"));
}

static void memory_add(struct table *t, const struct layout *layout)
{
    u64 mib = layout->size >> 20;
    struct memory_array array = {
        .location = LOCATION_OTHER,
        .use = USE_SYSTEM,
        .ecc = ECC_NONE,
        .maximum = EXTENDED_MAXIMUM,
        .error_handle = NO_HANDLE,
        .devices = 1,
        .extended_maximum = layout->size,
    };
    struct memory_device device = {
        .array = HANDLE(MEMORY_ARRAY),
        .error_handle = NO_HANDLE,
        .total_width = WIDTH_UNKNOWN,
        .data_width = WIDTH_UNKNOWN,
        .size = mib < SIZE_EXTENDED ? (u16)mib : SIZE_EXTENDED,
        .form = FORM_DIMM,
        .locator = 1,
        .type = TYPE_RAM,
        .detail = DETAIL_OTHER,
        .extended_size = mib < SIZE_EXTENDED ? 0 : (u32)mib,
    };
    struct mapped_address mapped = {
        .start = EXTENDED_ADDRESS,
        .end = EXTENDED_ADDRESS,
        .array = HANDLE(MEMORY_ARRAY),
        .width = 1,
        .extended_end = (layout->high ? LAYOUT_HIGH + layout->high : layout->low) - 1,
    };
    add(t, MEMORY_ARRAY, &array, sizeof(array), NULL);
    add(t, MEMORY_DEVICE, &device, sizeof(device), STRINGS("DIMM 0"));
    add(t, MAPPED_ADDRESS, &mapped, sizeof(mapped), NULL);
}

void smbios_write(const struct layout *layout, u32 vcpus)
{
    u8 *entry = ram_pointer(layout->ram, GPA(SMBIOS_ENTRY), TABLE_AT + TABLE_MAX);
    if (!entry)
        return;
    memset(entry, 0, TABLE_AT + TABLE_MAX);
    struct table t = {.data = entry + TABLE_AT};
    struct boot_information boot = {.status = 0};
    struct smbios_header end;
    firmware_add(&t);
    system_add(&t);
    processor_add(&t, vcpus);
    memory_add(&t, layout);
    add(&t, BOOT, &boot, sizeof(boot), NULL);
    add(&t, END, &end, sizeof(end), NULL);

    struct entry_point e = {
        .anchor = "_SM_",
        .length = sizeof(e),
        .major = MAJOR,
        .minor = MINOR,
        .largest = (u16)t.largest,
        .dmi_anchor = "_DMI_",
        .table_length = (u16)t.used,
        .table = (u32)SMBIOS_ENTRY + TABLE_AT,
        .count = (u16)t.count,
        .bcd_revision = MAJOR << 4 | MINOR,
    };
    e.dmi_checksum = checksum(e.dmi_anchor, sizeof(e) - offsetof(struct entry_point, dmi_anchor));
    e.checksum = checksum(&e, sizeof(e));
    memcpy(entry, &e, sizeof(e));
}
