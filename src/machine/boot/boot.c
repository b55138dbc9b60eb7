/*
 * Finds out what kind of kernel a file is, says precisely why if this machine cannot start it, and leads to its loader.
 *
 * Order of detection: ELF files by their multiboot header, then by their PVH note; then a Linux boot sector, then a
 * multiboot header without ELF. An ELF file with both (a Xen built with CONFIG_PVH_GUEST) is started by multiboot, the
 * way it starts on a real machine.
 */
#include "machine/boot/boot.h"

#include "machine/boot/elf.h"
#include "x86/paging.h"
#include "x86/regs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_bytes(const struct boot_file *file, u64 offset, const char *bytes, size_t size)
{
    return boot_file_has(file, offset, size) && memcmp(file->data + offset, bytes, size) == 0;
}

struct known {
    u64 offset;
    const char *bytes;
    size_t size;
    const char *what;
};

static const char *what_is(const struct boot_file *file, const struct known *known, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (has_bytes(file, known[i].offset, known[i].bytes, known[i].size))
            return known[i].what;
    }
    return NULL;
}

/* Names kernels of other CPUs and compressed files that people pass by mistake. NULL: the file is none of these. */
static const char *what_else(const struct boot_file *file)
{
    static const struct known known[] = {
        {0x38, "ARM\x64", 4, "a kernel for arm64; this machine is an x86 PC"},
        {0x38, "RSC\x05", 4, "a kernel for RISC-V; this machine is an x86 PC"},
        {0x24, "\x18\x28\x6f\x01", 4, "a kernel for 32-bit Arm; this machine is an x86 PC"},
        {0, "\3757zXZ", 5, "compressed with xz; unpack it first"},
        {0, "\x28\xb5\x2f\xfd", 4, "compressed with zstd; unpack it first"},
        {0, "BZh", 3, "compressed with bzip2; unpack it first"},
        {0, "\x04\x22\x4d\x18", 4, "compressed with lz4; unpack it first"},
        {0, "070701", 6, "a cpio archive: an initrd, not a kernel"},
        {0, "\x27\x05\x19\x56", 4, "a U-Boot image; this machine starts bzImage, multiboot and PVH kernels"},
        {0, "MZ", 2, "an EFI or DOS program; this machine starts bzImage, multiboot and PVH kernels"},
    };
    return what_is(file, known, ARRAY_LEN(known));
}

/* Names files for firmware, and firmware itself. A multiboot kernel may look like these, too. */
static const char *what_takes_firmware(const struct boot_file *file)
{
    static const struct known known[] = {
        {0x28, "_FVH", 4, "UEFI firmware; this machine has none and starts kernels without"},
        {0x8001, "CD001", 5, "an image of a CD, which takes a BIOS or UEFI; this machine has none"},
        {0x1fe, "\x55\xaa", 2, "a boot sector or an image of a disk, which takes a BIOS; this machine has none"},
    };
    return what_is(file, known, ARRAY_LEN(known));
}

#define KERNEL_MIN 1024 /* shorter files get a message of their own */

static int detect_elf(struct boot *b, struct error *error)
{
    struct elf elf;
    const char *name = b->kernel_name;
    bool whole = elf_open(&elf, &b->kernel);
    if (elf.machine != EM_386 && elf.machine != EM_X86_64 && b->kernel.size >= ELF_MACHINE_END)
        return error_set(error, -EINVAL, "%s: an ELF file for %s; this machine is an x86 PC", name,
                         elf_machine_name(elf.machine));
    if (!whole)
        return error_set(error, -EINVAL, "%s: truncated or damaged ELF file", name);
    int e = elf_check(&elf, name, error);
    if (e)
        return e;
    b->long_mode = elf.machine == EM_X86_64;
    if (multiboot_detect(&b->kernel, &b->header)) {
        b->kind = BOOT_KIND_MULTIBOOT;
        return multiboot_check(b, error);
    }
    if (pvh_detect(&b->kernel, &b->pvh_entry, &b->pvh_linux)) {
        b->kind = BOOT_KIND_PVH;
        return 0;
    }
    if (multiboot2_detect(&b->kernel))
        return error_set(error, -EINVAL,
                         "%s: a kernel for multiboot 2; this machine starts bzImage, multiboot 1 and PVH kernels",
                         name);
    return error_set(error, -EINVAL, "%s: an x86 ELF file, but with neither a multiboot header nor a PVH entry note",
                     name);
}

static int detect(struct boot *b, struct error *error)
{
    if (elf_detect(&b->kernel))
        return detect_elf(b, error);
    if (linux_detect(&b->kernel)) {
        b->kind = BOOT_KIND_LINUX;
        int e = linux_check(b, error);
        b->long_mode = !e && linux_is_64bit(&b->kernel);
        return e;
    }
    const char *what = what_else(&b->kernel);
    if (what)
        return error_set(error, -EINVAL, "%s: %s", b->kernel_name, what);
    if (multiboot_detect(&b->kernel, &b->header)) {
        b->kind = BOOT_KIND_MULTIBOOT;
        return multiboot_check(b, error);
    }
    what = what_takes_firmware(&b->kernel);
    if (what)
        return error_set(error, -EINVAL, "%s: %s", b->kernel_name, what);
    if (b->kernel.size < KERNEL_MIN)
        return error_set(error, -EINVAL, "%s: too short for a kernel (%llu bytes)", b->kernel_name,
                         (unsigned long long)b->kernel.size);
    return error_set(error, -EINVAL, "%s: not a kernel that this machine can start (bzImage, multiboot, PVH)",
                     b->kernel_name);
}

/* Modules may have arguments after the file's name; a Linux initrd is a file's name and nothing else. */
static int open_module(struct boot *b, const char *given, const struct patience *patience, struct error *error)
{
    if (!*given)
        return error_set(error, -EINVAL, SETTING("initrd") " without the name of a file");
    struct boot_module *mod = &b->module[b->modules];
    mod->name = strdup(given);
    char *file = strdup(given);
    if (!mod->name || !file) {
        free(file);
        free(mod->name);
        return error_memory(error);
    }
    b->modules++;
    mod->arguments = "";
    char *space = strchr(file, ' ');
    bool joined = b->kind == BOOT_KIND_LINUX || (b->kind == BOOT_KIND_PVH && b->pvh_linux);
    if (space && !joined) {
        *space = 0;
        mod->arguments = mod->name + (space + 1 - file);
    }
    int e = boot_file_open(&mod->file, file, false, patience, error);
    free(file);
    return e;
}

/* Returns the parts with spaces between, or NULL if there is no memory. */
static char *join(const struct setting_list *parts)
{
    size_t size = 1;
    for (u32 i = 0; i < parts->count; i++)
        size += strlen(parts->item[i]) + 1;
    char *line = malloc(size), *end = line;
    if (!line)
        return NULL;
    *end = 0;
    for (u32 i = 0; i < parts->count; i++)
        end += sprintf(end, "%s%s", end > line && *parts->item[i] ? " " : "", parts->item[i]);
    return line;
}

int boot_open(struct boot *b, const struct run_settings *settings, const struct patience *patience, struct error *error)
{
    memset(b, 0, sizeof(*b));
    if (!settings->kernel || !*settings->kernel)
        return error_set(error, -EINVAL, "no kernel given");
    b->kernel_name = strdup(settings->kernel);
    b->append = join(&settings->append);
    b->unpack = settings->unpack;
    int e = b->kernel_name && b->append ? 0 : error_memory(error);
    if (!e)
        e = boot_file_open(&b->kernel, settings->kernel, true, patience, error);
    if (!e)
        e = detect(b, error);
    for (u32 i = 0; !e && i < settings->initrd.count; i++)
        e = open_module(b, settings->initrd.item[i], patience, error);
    if (e)
        boot_close(b);
    return e;
}

void boot_close(struct boot *b)
{
    keeper_end(&b->keeper);
    for (u32 i = 0; i < b->modules; i++) {
        boot_file_close(&b->module[i].file);
        free(b->module[i].name);
    }
    boot_file_close(&b->kernel);
    free(b->kernel_name);
    free(b->append);
    memset(b, 0, sizeof(*b));
}

static bool maps(const struct boot_file *file, const void *host)
{
    u64 offset = (u64)((const u8 *)host - file->data);
    return file->mapped && offset < file->size;
}

const struct boot_file *boot_file_at(const struct boot *b, const void *host, const char **name)
{
    if (maps(&b->kernel, host)) {
        *name = b->kernel_name;
        return &b->kernel;
    }
    for (u32 i = 0; i < b->modules; i++) {
        if (maps(&b->module[i].file, host)) {
            *name = b->module[i].name;
            return &b->module[i].file;
        }
    }
    return NULL;
}

static int load(struct boot *b, const struct layout *layout, bool la57, struct cpu_state *start, struct error *error)
{
    switch (b->kind) {
    case BOOT_KIND_LINUX: return linux_load(b, layout, la57, start, error);
    case BOOT_KIND_MULTIBOOT: return multiboot_load(b, layout, start, error);
    default: return pvh_load(b, layout, start, error);
    }
}

int boot_load(struct boot *b, const struct layout *layout, bool la57, struct cpu_state *start, struct error *error)
{
    int e = load(b, layout, la57, start, error);
    boot_file_release(&b->kernel);
    for (u32 i = 0; i < b->modules; i++)
        boot_file_release(&b->module[i].file);
    return e;
}

#define GDT_ENTRIES (BOOT_GDT_SIZE / 8)
/* A descriptor of base 0; `attributes` are bits of SEG_*. */
#define DESCRIPTOR(limit, attributes)                                                                                  \
    (((limit)&0xffffu) | (u64)((limit) >> 16) << 48 | (u64)((attributes)&0xf0ffu) << 40)
#define FLAT (SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_G)
#define FLAT_LIMIT 0xfffffu /* in pages: 4 GiB */
#define TSS_LIMIT 0x67u

#define PTES 512u
#define FIRST_GIBS 4u /* mapped by boot_flat */
#define TABLES (2 + FIRST_GIBS)

#define TABLE_FLAGS (PTE_P | PTE_W | PTE_A | PTE_D)

static bool overlaps(u64 gpa, u64 size, u64 start, u64 end)
{
    return gpa < end && (gpa >= start || size > start - gpa);
}

u8 *boot_kernel_at(const struct layout *layout, u64 gpa, u64 size, const struct boot_range *taken)
{
    if (overlaps(gpa, size, taken->start, taken->end) || overlaps(gpa, size, layout->acpi, layout->low))
        return NULL;
    return ram_pointer(layout->ram, GPA(gpa), size);
}

int boot_flat(const struct layout *layout, u64 gdt, bool long_mode, struct cpu_state *start)
{
    u64 entries[GDT_ENTRIES] = {
        [BOOT_CS / 8] = DESCRIPTOR(FLAT_LIMIT, FLAT | SEG_TYPE_CODE | (long_mode ? SEG_L : SEG_DB)),
        [BOOT_DS / 8] = DESCRIPTOR(FLAT_LIMIT, FLAT | SEG_DB),
        [BOOT_TR / 8] = DESCRIPTOR(TSS_LIMIT, SEG_P | SYS_TSS_BUSY),
    };
    if (!ram_write(layout->ram, GPA(gdt), entries, sizeof(entries)))
        return -ENOMEM;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        start->seg[i] = (struct segment){.sel = BOOT_DS, .limit = ~0u, .attr = FLAT | SEG_DB};
    start->seg[SEG_CS] =
        (struct segment){.sel = BOOT_CS, .limit = ~0u, .attr = FLAT | SEG_TYPE_CODE | (long_mode ? SEG_L : SEG_DB)};
    start->seg[SEG_TR] = (struct segment){.sel = BOOT_TR, .limit = TSS_LIMIT, .attr = SEG_P | SYS_TSS_BUSY};
    start->gdtr = (struct desc_table){.base = gdt, .limit = sizeof(entries) - 1};
    start->cr0 = (start->cr0 & ~(CR0_CD | CR0_NW)) | CR0_PE;
    if (!long_mode)
        return 0;

    const u64 flags = TABLE_FLAGS;
    u64 *table = ram_pointer(layout->ram, GPA(BOOT_PAGE_TABLES), TABLES * PAGE_SIZE);
    if (!table)
        return -ENOMEM;
    memset(table, 0, TABLES * PAGE_SIZE);
    table[0] = (BOOT_PAGE_TABLES + PAGE_SIZE) | flags;
    for (u64 i = 0; i < FIRST_GIBS; i++)
        table[PTES + i] = (BOOT_PAGE_TABLES + (2 + i) * PAGE_SIZE) | flags;
    for (u64 i = 0; i < FIRST_GIBS * PTES; i++)
        table[2 * PTES + i] = i << 21 | PTE_PS | flags;
    start->cr0 |= CR0_PG;
    start->cr3 = BOOT_PAGE_TABLES;
    start->cr4 |= CR4_PAE;
    start->efer |= EFER_LME | EFER_LMA;
    return 0;
}

int boot_map(const struct layout *layout, u64 start, u64 size)
{
    u64 at = BOOT_HIGH_TABLES, *gibs = ram_pointer(layout->ram, GPA(BOOT_PAGE_TABLES + PAGE_SIZE), PAGE_SIZE);
    for (u64 gib = start >> 30; gibs && gib <= (start + size - 1) >> 30; gib++) {
        if (gib < FIRST_GIBS)
            continue;
        u64 *table = ram_pointer(layout->ram, GPA(at), PAGE_SIZE);
        if (!table)
            return -ENOMEM;
        for (u64 i = 0; i < PTES; i++)
            table[i] = gib << 30 | i << 21 | PTE_PS | TABLE_FLAGS;
        gibs[gib] = at | TABLE_FLAGS;
        at += PAGE_SIZE;
    }
    return gibs ? 0 : -ENOMEM;
}
