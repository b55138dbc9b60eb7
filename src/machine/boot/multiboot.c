/*
 * Multiboot 1: 32-bit kernels (or 64-bit ELF files with a 32-bit entry) with modules and command lines. The command
 * line and the modules' strings begin with the file's name, as boot loaders have always passed them. Source: Multiboot
 * Specification 0.6.96.
 */
#include "machine/boot/elf.h"
#include "machine/boot/modules.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The header, and where in a file it may be. */
#define HEADER_SEARCH 8192u
#define HEADER_ALIGN 4
#define HEADER_MAGIC 0x1badb002u
enum {
    HEADER_FLAGS = 4,
    HEADER_CHECKSUM = 8,
    HEADER_MIN = 12,
    HEADER_HEADER_ADDR = 12,
    HEADER_LOAD_ADDR = 16,
    HEADER_LOAD_END_ADDR = 20,
    HEADER_BSS_END_ADDR = 24,
    HEADER_ENTRY_ADDR = 28,
    HEADER_SIZE = 32,
};
#define LOAD_WHOLE_FILE 0xffffffff /* in place of a load address */
/* That of multiboot 2. */
#define HEADER2_SEARCH 32768u
#define HEADER2_ALIGN 8
#define HEADER2_SIZE 16
#define HEADER2_MAGIC 0xe85250d6u
#define LOADER_MAGIC 0x2badb002u
#define STACK_SIZE 4096u
#define HEADER_ADDRESSES BIT(16) /* the a.out kludge: addresses in the header */
#define HEADER_REQUIRED 0xffffu
#define HEADER_KNOWN 0x7u /* page-aligned modules, memory information, video mode */

#define INFO_MEMORY BIT(0)
#define INFO_CMDLINE BIT(2)
#define INFO_MODS BIT(3)
#define INFO_MMAP BIT(6)
#define INFO_LOADER_NAME BIT(9)

struct info {
    u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
    u32 drives_length, drives_addr, config_table, boot_loader_name, apm_table;
};

struct module {
    u32 start, end, string, reserved;
};

struct mmap_entry {
    u32 size;
    u64 start, length;
    u32 type;
} __attribute__((packed));

bool multiboot_detect(const struct boot_file *file, u64 *header)
{
    u64 end = file->size < HEADER_SEARCH ? file->size : HEADER_SEARCH;
    for (u64 at = 0; at + HEADER_MIN <= end; at += HEADER_ALIGN) {
        u32 sum = HEADER_MAGIC + boot_file_u32(file, at + HEADER_FLAGS) + boot_file_u32(file, at + HEADER_CHECKSUM);
        if (boot_file_u32(file, at) == HEADER_MAGIC && sum == 0) {
            *header = at;
            return true;
        }
    }
    return false;
}

bool multiboot2_detect(const struct boot_file *file)
{
    u64 end = file->size < HEADER2_SEARCH ? file->size : HEADER2_SEARCH;
    for (u64 at = 0; at + HEADER2_SIZE <= end; at += HEADER2_ALIGN) {
        u32 sum = 0;
        for (u64 i = 0; i < HEADER2_SIZE; i += sizeof(u32))
            sum += boot_file_u32(file, at + i);
        if (boot_file_u32(file, at) == HEADER2_MAGIC && !sum)
            return true;
    }
    return false;
}

/* The a.out kludge's fields, with what the specification derives from them. */
struct addresses {
    u64 load, file_offset, file_size, bss_end, entry;
};

static int addresses_read(const struct boot *b, struct addresses *a, struct error *error)
{
    const struct boot_file *file = &b->kernel;
    u64 header = b->header, header_addr = boot_file_u32(file, header + HEADER_HEADER_ADDR);
    u64 load = boot_file_u32(file, header + HEADER_LOAD_ADDR);
    u64 load_end = boot_file_u32(file, header + HEADER_LOAD_END_ADDR);
    u64 bss_end = boot_file_u32(file, header + HEADER_BSS_END_ADDR);
    if (!boot_file_has(file, header, HEADER_SIZE))
        return error_set(error, -EINVAL, "%s: truncated multiboot header", b->kernel_name);
    if (load == LOAD_WHOLE_FILE)
        load = header_addr - header;
    if (load > header_addr || header_addr - load > header)
        return error_set(error, -EINVAL, "%s: damaged multiboot header: it loads at %#llx what starts before the file",
                         b->kernel_name, (unsigned long long)load);
    a->load = load;
    a->file_offset = header - (header_addr - load);
    a->file_size = load_end ? load_end - load : file->size - a->file_offset;
    a->bss_end = bss_end ? bss_end : load + a->file_size;
    a->entry = boot_file_u32(file, header + HEADER_ENTRY_ADDR);
    if ((load_end && load_end < load) || a->bss_end < load + a->file_size)
        return error_set(error, -EINVAL, "%s: damaged multiboot header: addresses out of order", b->kernel_name);
    if (!boot_file_has(file, a->file_offset, a->file_size))
        return error_set(error, -EINVAL, "%s: truncated: the multiboot header promises %llu bytes, the file has %llu",
                         b->kernel_name, (unsigned long long)(a->file_offset + a->file_size),
                         (unsigned long long)file->size);
    return 0;
}

int multiboot_check(const struct boot *b, struct error *error)
{
    u32 flags = boot_file_u32(&b->kernel, b->header + HEADER_FLAGS);
    if (flags & HEADER_REQUIRED & ~HEADER_KNOWN)
        return error_set(error, -EINVAL, "%s: needs multiboot features %#x that are not known", b->kernel_name,
                         flags & HEADER_REQUIRED & ~HEADER_KNOWN);
    struct addresses a;
    if (flags & HEADER_ADDRESSES)
        return addresses_read(b, &a, error);
    struct elf elf;
    if (!elf_open(&elf, &b->kernel))
        return error_set(error, -EINVAL, "%s: a multiboot header, but neither an ELF file nor load addresses",
                         b->kernel_name);
    u64 entry = elf_entry_physical(&elf);
    if (entry >> 32)
        return error_set(error, -EINVAL, "%s: a multiboot kernel whose entry is at %#llx, beyond 4 GiB", b->kernel_name,
                         (unsigned long long)entry);
    return 0;
}

static const struct boot_range taken = {BOOT_MULTIBOOT_INFO, BOOT_MULTIBOOT_INFO + BOOT_INFO_SIZE};

static int kernel_load(const struct boot *b, const struct layout *layout, u64 *entry, u64 *end, struct error *error)
{
    if (boot_file_u32(&b->kernel, b->header + HEADER_FLAGS) & HEADER_ADDRESSES) {
        struct addresses a;
        int e = addresses_read(b, &a, error);
        if (e)
            return e;
        u8 *to = boot_kernel_at(layout, a.load, a.bss_end - a.load, &taken);
        if (!to)
            return error_set(error, -ENOMEM, "%s: wants memory %#llx to %#llx, which this VM does not have free",
                             b->kernel_name, (unsigned long long)a.load, (unsigned long long)a.bss_end);
        memcpy(to, b->kernel.data + a.file_offset, a.file_size);
        memset(to + a.file_size, 0, a.bss_end - a.load - a.file_size);
        *entry = a.entry;
        *end = a.bss_end;
        return 0;
    }
    struct elf elf;
    if (!elf_open(&elf, &b->kernel))
        return -EINVAL;
    *entry = elf_entry_physical(&elf);
    return elf_load(&elf, layout, b->kernel_name, &taken, end, error);
}

static void modules_describe(const struct boot *b, struct boot_area *area, const struct boot_placed *placed, u32 count,
                             struct info *info)
{
    void *at;
    u64 list = boot_area_take(area, (u64)count * sizeof(struct module), &at);
    for (u32 i = 0; i < count && at; i++) {
        ((struct module *)at)[i] = (struct module){
            .start = (u32)placed[i].start,
            .end = (u32)(placed[i].start + placed[i].size),
            .string = (u32)boot_area_string(area, b->module[i].name),
        };
    }
    info->flags |= INFO_MODS;
    info->mods_count = count;
    info->mods_addr = (u32)list;
}

static void memory_describe(const struct layout *layout, struct boot_area *area, struct info *info)
{
    void *at;
    info->flags |= INFO_MEMORY | INFO_MMAP;
    info->mem_lower = (u32)(LAYOUT_EBDA >> 10);
    info->mem_upper = (u32)((layout->acpi - LAYOUT_EXTENDED) >> 10);
    info->mmap_length = layout->e820_count * (u32)sizeof(struct mmap_entry);
    info->mmap_addr = (u32)boot_area_take(area, info->mmap_length, &at);
    for (u32 i = 0; i < layout->e820_count && at; i++) {
        ((struct mmap_entry *)at)[i] = (struct mmap_entry){
            .size = sizeof(struct mmap_entry) - 4,
            .start = layout->e820[i].start,
            .length = layout->e820[i].size,
            .type = layout->e820[i].type,
        };
    }
}

int multiboot_load(const struct boot *b, const struct layout *layout, struct cpu_state *start, struct error *error)
{
    u64 entry = 0, end = 0;
    struct boot_placed placed[BOOT_MODULES];
    u32 count;
    int e = kernel_load(b, layout, &entry, &end, error);
    if (!e && end < BOOT_KERNEL_LOW)
        end = BOOT_KERNEL_LOW;
    if (!e && end > layout->acpi)
        e = error_set(error, -ENOMEM, "%s: reaches up to %#llx; multiboot's addresses have 32 bits", b->kernel_name,
                      (unsigned long long)end);
    if (!e)
        e = boot_modules_load(b, layout, end, false, placed, &count, error);
    if (e)
        return e;

    struct boot_area area = {.layout = layout, .next = taken.start, .end = taken.end};
    void *at;
    struct info info = {0};
    u64 info_gpa = boot_area_take(&area, sizeof(info), &at);
    memory_describe(layout, &area, &info);
    modules_describe(b, &area, placed, count, &info);
    info.flags |= INFO_CMDLINE | INFO_LOADER_NAME;
    info.boot_loader_name = (u32)boot_area_string(&area, "nestbox");
    void *line;
    u64 size = strlen(b->kernel_name) + strlen(b->append) + 2;
    info.cmdline = (u32)boot_area_take(&area, size, &line);
    u64 gdt = boot_area_take(&area, BOOT_GDT_SIZE, NULL), stack = boot_area_take(&area, STACK_SIZE, NULL);
    if (area.overflow || !line)
        return error_set(error, -E2BIG, "the command lines of kernel and modules are too long (64 KiB together)");
    snprintf(line, size, "%s%s%s", b->kernel_name, *b->append ? " " : "", b->append);
    memcpy(at, &info, sizeof(info));
    if (boot_flat(layout, gdt, false, start))
        return error_set(error, -ENOMEM, "no low memory for the boot parameters");
    start->rip = entry;
    start->gpr[RAX] = LOADER_MAGIC;
    start->gpr[RBX] = info_gpa;
    start->gpr[RSP] = stack + STACK_SIZE; /* the specification leaves it open, but boot loaders have one */
    return 0;
}
