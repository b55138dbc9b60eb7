/*
 * Linux bzImage: the kernel inside, unpacked; or the 64-bit entry point, or the 32-bit one of a kernel that has no
 * other, which unpack the kernel themselves.
 *
 * The real-mode part of the file is only read for its header; the zero page, built here, stands in for what it would
 * have found out. Source: Linux, Documentation/x86/boot.rst ("The Linux/x86 Boot Protocol") and zero-page.rst.
 */
#include "machine/boot/boot.h"

#include "machine/acpi.h"
#include "machine/boot/bzimage.h"
#include "machine/boot/kaslr.h"
#include "machine/boot/vmlinux.h"

#include <errno.h>
#include <string.h>

#define HDR_END_MAX 0x290u /* where the header may reach at most: EDD data follows in the zero page */
#define E820_ZP_ENTRY 20u
#define PROTOCOL(major, minor) ((major) << 8 | (minor))
#define SECTOR 512ull
#define SETUP_SECTS_OLD 4      /* what 0 stands for */
#define PARAGRAPH 16ull        /* the unit of syssize */
#define MAGIC_HDRS 0x53726448u /* "HdrS" */
#define LOAD_LOWEST (1ull << 20)
#define LOADED_HIGH BIT(0)
#define KASLR_FLAG BIT(1)
#define XLF_KERNEL_64 BIT(0)
#define XLF_CAN_BE_LOADED_ABOVE_4G BIT(1)
#define XLF_5LEVEL_ENABLED BIT(6)
#define UNPACKED_ALIGN (2ull << 20) /* of an unpacked kernel, which has large pages */
#define ENTRY_64 0x200
#define LOADER_UNDEFINED 0xff
#define INITRD_MAX_OLD 0x37ffffffu
#define CMDLINE_MAX_OLD 255u

/* The header's facts, with the defaults of older protocol versions. */
struct linux_header {
    u32 version;
    u64 payload, payload_size; /* the protected-mode kernel in the file; counted in paragraphs */
    u64 payload_there;         /* the bytes of it that are in the file, which may end within the last paragraph */
    u64 packed, packed_size;   /* what it unpacks, in the file; 0: it does not say */
    bool relocatable, entry64, initrd_above_4g, five_levels;
    u64 alignment, pref_address, init_size;
    u64 initrd_max;
    u32 cmdline_max;
};

bool linux_detect(const struct boot_file *file)
{
    return boot_file_u16(file, HDR_BOOT_FLAG) == BOOT_FLAG && boot_file_u32(file, HDR_MAGIC) == MAGIC_HDRS;
}

static void header_read(struct linux_header *h, const struct boot_file *file)
{
    u32 sects = boot_file_has(file, HDR_SETUP_SECTS, 1) ? file->data[HDR_SETUP_SECTS] : 0;
    h->version = boot_file_u16(file, HDR_VERSION);
    h->payload = ((sects ? sects : SETUP_SECTS_OLD) + 1) * SECTOR; /* behind the boot sector */
    h->payload_size = boot_file_u32(file, HDR_SYSSIZE) * PARAGRAPH;
    h->payload_there = h->payload_size;
    if (file->size > h->payload && file->size - h->payload < h->payload_size &&
        h->payload_size - (file->size - h->payload) < PARAGRAPH)
        h->payload_there = file->size - h->payload;
    if (h->version >= PROTOCOL(2, 8)) {
        h->packed = h->payload + boot_file_u32(file, HDR_PAYLOAD_OFFSET);
        h->packed_size = boot_file_u32(file, HDR_PAYLOAD_LENGTH);
    }
    h->initrd_max = h->version >= PROTOCOL(2, 3) ? boot_file_u32(file, HDR_INITRD_ADDR_MAX) : INITRD_MAX_OLD;
    h->relocatable = h->version >= PROTOCOL(2, 5) && file->data[HDR_RELOCATABLE];
    h->alignment = h->relocatable ? boot_file_u32(file, HDR_KERNEL_ALIGNMENT) : 0;
    h->cmdline_max = h->version >= PROTOCOL(2, 6) ? boot_file_u32(file, HDR_CMDLINE_SIZE) : CMDLINE_MAX_OLD;
    h->pref_address = h->version >= PROTOCOL(2, 10) ? boot_file_u64(file, HDR_PREF_ADDRESS) : LOAD_LOWEST;
    h->init_size = h->version >= PROTOCOL(2, 10) ? boot_file_u32(file, HDR_INIT_SIZE) : h->payload_size;
    u16 xload = h->version >= PROTOCOL(2, 12) ? boot_file_u16(file, HDR_XLOADFLAGS) : 0;
    h->entry64 = xload & XLF_KERNEL_64;
    h->initrd_above_4g = h->entry64 && (xload & XLF_CAN_BE_LOADED_ABOVE_4G);
    h->five_levels = xload & XLF_5LEVEL_ENABLED;
}

int linux_check(const struct boot *b, struct error *error)
{
    const struct boot_file *file = &b->kernel;
    const char *name = b->kernel_name;
    struct linux_header h = {0};
    if (!boot_file_has(file, 0, HDR_END_MAX))
        return error_set(error, -EINVAL, "%s: truncated: the Linux header is not all there", name);
    header_read(&h, file);
    if (h.version < PROTOCOL(2, 2) || !(file->data[HDR_LOADFLAGS] & LOADED_HIGH))
        return error_set(error, -EINVAL, "%s: a Linux kernel with boot protocol %u.%02u and no bzImage: too old", name,
                         h.version >> 8, h.version & 0xff);
    /* Boot loaders in a bzImage's clothes leave out what real-mode code does not need. */
    if (!h.payload_size || boot_file_u32(file, HDR_CODE32_START) < LOAD_LOWEST)
        return error_set(error, -EINVAL,
                         "%s: a bzImage that starts in real mode only, as iPXE, memdisk and GRUB do: it takes a "
                         "BIOS, and this machine has none",
                         name);
    if (!boot_file_has(file, h.payload, h.payload_there))
        return error_set(error, -EINVAL,
                         "%s: truncated Linux kernel: its header promises %llu bytes, the file has %llu", name,
                         (unsigned long long)(h.payload + h.payload_size), (unsigned long long)file->size);
    if (h.relocatable && (!h.alignment || (h.alignment & (h.alignment - 1))))
        return error_set(error, -EINVAL, "%s: damaged Linux header: alignment %#llx", name,
                         (unsigned long long)h.alignment);
    u64 max = h.cmdline_max < BOOT_CMDLINE_MAX - 1 ? h.cmdline_max : BOOT_CMDLINE_MAX - 1;
    if (strlen(b->append) > max)
        return error_set(error, -E2BIG, "the command line has %zu characters; this kernel takes %llu",
                         strlen(b->append), (unsigned long long)max);
    return 0;
}

bool linux_is_64bit(const struct boot_file *file)
{
    struct linux_header h = {0};
    header_read(&h, file);
    return h.entry64;
}

static bool fits_low(const struct layout *layout, u64 start, u64 size)
{
    return start >= LOAD_LOWEST && start <= layout->acpi && size <= layout->acpi - start;
}

/* Returns where the kernel goes: where it prefers, or lower if it can move and memory is short; 0 if nowhere. */
static u64 kernel_place(const struct linux_header *h, const struct layout *layout)
{
    u64 need = h->init_size > h->payload_size ? h->init_size : h->payload_size;
    if (fits_low(layout, h->pref_address, need) && (!h->relocatable || !(h->pref_address & (h->alignment - 1))))
        return h->pref_address;
    if (!h->relocatable)
        return 0;
    u64 lowest = align_up(LOAD_LOWEST, h->alignment);
    return fits_low(layout, lowest, need) ? lowest : 0;
}

/* Returns where the initrd goes: as high as the kernel allows; 0 if nowhere. */
static u64 initrd_place(const struct linux_header *h, const struct layout *layout, u64 kernel_end, u64 size)
{
    u64 limit = h->initrd_max + 1 < layout->acpi ? h->initrd_max + 1 : layout->acpi;
    if (size <= limit && ((limit - size) & ~PAGE_MASK) >= kernel_end)
        return (limit - size) & ~PAGE_MASK;
    if (h->initrd_above_4g && size <= layout->high)
        return (LAYOUT_HIGH + layout->high - size) & ~PAGE_MASK;
    return 0;
}

/* Loads all initrds, one after the other. */
static int initrds_load(const struct boot *b, const struct linux_header *h, const struct layout *layout, u64 kernel_end,
                        u64 *start, u64 *size, struct error *error)
{
    *size = 0;
    *start = 0;
    for (u32 i = 0; i < b->modules; i++)
        *size = align_up(*size, BOOT_INITRD_ALIGN) + b->module[i].file.size;
    if (!*size)
        return 0;
    *start = initrd_place(h, layout, kernel_end, *size);
    u8 *to = *start ? ram_pointer(layout->ram, GPA(*start), *size) : NULL;
    if (!to) {
        error_set(error, -ENOMEM, "%llu MiB of initrd do not fit into %llu MiB of memory",
                  (unsigned long long)(*size + (1 << 20) - 1) >> 20, (unsigned long long)layout->size >> 20);
        return error_hint(error, "give more with " SETTING("memory"));
    }
    u64 at = 0;
    for (u32 i = 0; i < b->modules; i++) {
        u64 aligned = align_up(at, BOOT_INITRD_ALIGN);
        memset(to + at, 0, aligned - at);
        memcpy(to + aligned, b->module[i].file.data, b->module[i].file.size);
        at = aligned + b->module[i].file.size;
        boot_file_release(&b->module[i].file);
    }
    return 0;
}

static void set(u8 *page, u32 offset, u64 value, unsigned size)
{
    memcpy(page + offset, &value, size);
}

static void zero_page(u8 *zp, const struct boot *b, const struct layout *layout, u64 kernel, u64 initrd,
                      u64 initrd_size)
{
    const u8 *file = b->kernel.data;
    u32 end = HDR_MAGIC + file[HDR_JUMP];
    if (end > HDR_END_MAX)
        end = HDR_END_MAX;
    memset(zp, 0, PAGE_SIZE);
    memcpy(zp + HDR_SETUP_SECTS, file + HDR_SETUP_SECTS, end - HDR_SETUP_SECTS);
    set(zp, HDR_TYPE_OF_LOADER, LOADER_UNDEFINED, 1);
    set(zp, HDR_CODE32_START, kernel, 4);
    set(zp, HDR_CMD_LINE_PTR, BOOT_CMDLINE, 4);
    set(zp, HDR_RAMDISK_IMAGE, initrd, 4);
    set(zp, HDR_RAMDISK_SIZE, initrd_size, 4);
    set(zp, ZP_EXT_RAMDISK_IMAGE, initrd >> 32, 4);
    set(zp, ZP_EXT_RAMDISK_SIZE, initrd_size >> 32, 4);
    set(zp, ZP_RSDP, ACPI_RSDP, 8);
    for (u32 i = 0; i < layout->e820_count; i++) {
        set(zp, ZP_E820_TABLE + i * E820_ZP_ENTRY, layout->e820[i].start, 8);
        set(zp, ZP_E820_TABLE + i * E820_ZP_ENTRY + 8, layout->e820[i].size, 8);
        set(zp, ZP_E820_TABLE + i * E820_ZP_ENTRY + 16, layout->e820[i].type, 4);
    }
    set(zp, ZP_E820_ENTRIES, layout->e820_count, 1);
}

/* Returns true if the kernel can be started unpacked when it is at `place`. Whatever speaks against it is left to the
 * kernel's own code, with its own messages: a CPU with 5-level paging, which is turned on between kernel and entry. */
static bool can_unpack(const struct boot *b, const struct linux_header *h, bool la57, u64 place)
{
    return b->unpack != UNPACK_OFF && h->entry64 && !(la57 && h->five_levels) &&
           boot_file_has(&b->kernel, h->packed, h->packed_size) && place >= h->pref_address &&
           !(place & (UNPACKED_ALIGN - 1)) && h->init_size <= VMLINUX_VIRTUAL_SIZE;
}

/* Chooses where an unpacked kernel goes, whose usual place is `k`. Returns false if that is left to the kernel. */
static bool choose_place(const struct boot *b, const struct linux_header *h, const struct layout *layout,
                         const struct boot_range *initrd, struct kaslr *k, u8 *loadflags)
{
    *loadflags &= (u8)~KASLR_FLAG;
    if (!h->relocatable || kaslr_refused(b->append))
        return true;
    *loadflags |= KASLR_FLAG;
    return h->alignment >= UNPACKED_ALIGN && !kaslr_limited(b->append) && kaslr_choose(k, layout, initrd);
}

/* Loads the unpacked kernel, which has the place `usual` if it has no other, and sets *entry. Returns false if the
 * kernel is to unpack itself: then nothing has happened. */
static bool load_unpacked(struct boot *b, const struct linux_header *h, const struct layout *layout, u64 usual,
                          const struct boot_range *initrd, u8 *zp, u64 *entry)
{
    struct kaslr k = {.size = h->init_size, .align = h->alignment, .link = h->pref_address, .physical = usual};
    struct payload payload;
    struct boot_file unpacked;
    struct vmlinux v;
    u8 loadflags = zp[HDR_LOADFLAGS];
    if (!payload_open(&payload, b->kernel.data + h->packed, h->packed_size, h->init_size))
        return false;
    bool keeps = b->unpack == UNPACK_KEEP && payload_is_slow(&payload);
    bool found = keeps && kept_find(&payload, &unpacked);
    if (!found && !payload_unpack(&payload, &unpacked)) {
        payload_close(&payload);
        return false;
    }
    bool loaded = vmlinux_open(&v, &unpacked, h->pref_address, h->init_size) &&
                  (!vmlinux_moves(&v) || choose_place(b, h, layout, initrd, &k, &loadflags));
    u8 *to = loaded ? ram_pointer(layout->ram, GPA(k.physical), h->init_size) : NULL;
    loaded = to && !boot_map(layout, k.physical, h->init_size);
    if (loaded) {
        vmlinux_load(&v, to, k.moved);
        zp[HDR_LOADFLAGS] = loadflags;
        *entry = k.physical + (v.elf.entry - h->pref_address);
    }
    if (loaded && keeps && !found) {
        keeper_start(&b->keeper, &payload, &unpacked);
        return true;
    }
    boot_file_close(&unpacked);
    payload_close(&payload);
    return loaded;
}

int linux_load(struct boot *b, const struct layout *layout, bool la57, struct cpu_state *start, struct error *error)
{
    struct linux_header h = {0};
    header_read(&h, &b->kernel);
    u64 kernel = kernel_place(&h, layout), initrd, initrd_size;
    u8 *to = kernel ? ram_pointer(layout->ram, GPA(kernel), h.payload_size) : NULL;
    u8 *zp = ram_pointer(layout->ram, GPA(BOOT_ZERO_PAGE), PAGE_SIZE);
    u64 need = h.init_size > h.payload_size ? h.init_size : h.payload_size;
    if (!to || !zp) {
        error_set(error, -ENOMEM, "%s: needs %llu MiB of memory to start, the VM has %llu", b->kernel_name,
                  (unsigned long long)((need >> 20) + 2), (unsigned long long)layout->size >> 20);
        return error_hint(error, "give more with " SETTING("memory"));
    }
    int e = initrds_load(b, &h, layout, kernel + need, &initrd, &initrd_size, error);
    if (e)
        return e;
    zero_page(zp, b, layout, kernel, initrd, initrd_size);
    if (!ram_write(layout->ram, GPA(BOOT_CMDLINE), b->append, strlen(b->append) + 1) ||
        boot_flat(layout, BOOT_GDT, h.entry64, start))
        return error_set(error, -ENOMEM, "no low memory for the boot parameters");
    const struct boot_range taken = {initrd, initrd + initrd_size};
    start->rip = h.entry64 ? kernel + ENTRY_64 : kernel;
    b->unpacked = can_unpack(b, &h, la57, kernel) && load_unpacked(b, &h, layout, kernel, &taken, zp, &start->rip);
    if (!b->unpacked)
        memcpy(to, b->kernel.data + h.payload, h.payload_there);
    start->gpr[RSI] = BOOT_ZERO_PAGE;
    return 0;
}
