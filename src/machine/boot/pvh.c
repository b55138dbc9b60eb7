/*
 * PVH: an ELF file whose note names a 32-bit physical entry point; EBX points at hvm_start_info. Source: Xen,
 * docs/misc/pvh.pandoc ("x86/HVM direct boot ABI") and xen/include/public/arch-x86/hvm/start_info.h.
 */
#include "machine/boot/modules.h"

#include "machine/acpi.h"
#include "machine/boot/elf.h"

#include <errno.h>
#include <string.h>

#define NOTE_GUEST_OS 6
#define NOTE_PHYS32_ENTRY 18
#define NOTE_NAME "Xen" /* with its end it is as long as the name of a note must be */
#define NOTE_ALIGN 4
#define NOTE_LINUX "linux" /* how the name of that guest system begins */
#define START_MAGIC 0x336ec578u

struct start_info {
    u32 magic, version, flags, nr_modules;
    u64 modlist, cmdline, rsdp, memmap;
    u32 memmap_entries, reserved;
};

struct modlist_entry {
    u64 start, size, cmdline, reserved;
};

struct memmap_entry {
    u64 start, size;
    u32 type, reserved;
};

/* Walks the notes of one segment. */
static bool notes_scan(const struct boot_file *file, u64 at, u64 size, u32 *entry, bool *is_linux)
{
    bool found = false;
    u64 end = at + size;
    while (at + sizeof(Elf32_Nhdr) <= end && boot_file_has(file, at, sizeof(Elf32_Nhdr))) {
        Elf32_Nhdr note;
        memcpy(&note, file->data + at, sizeof(note));
        u64 name = at + sizeof(note), desc = name + align_up(note.n_namesz, NOTE_ALIGN);
        at = desc + align_up(note.n_descsz, NOTE_ALIGN);
        if (at > end || !boot_file_has(file, name, at - name))
            break;
        if (note.n_namesz != sizeof(NOTE_NAME) || memcmp(file->data + name, NOTE_NAME, sizeof(NOTE_NAME)) != 0)
            continue;
        if (note.n_type == NOTE_PHYS32_ENTRY && note.n_descsz >= sizeof(u32)) {
            *entry = boot_file_u32(file, desc);
            found = true;
        } else if (note.n_type == NOTE_GUEST_OS) {
            *is_linux =
                note.n_descsz >= strlen(NOTE_LINUX) && memcmp(file->data + desc, NOTE_LINUX, strlen(NOTE_LINUX)) == 0;
        }
    }
    return found;
}

bool pvh_detect(const struct boot_file *file, u32 *entry, bool *is_linux)
{
    struct elf elf;
    struct elf_segment s;
    bool found = false;
    *is_linux = false;
    if (!elf_open(&elf, file))
        return false;
    for (u16 i = 0; elf_segment(&elf, i, &s); i++) {
        if (s.type == PT_NOTE && boot_file_has(file, s.offset, s.filesz))
            found |= notes_scan(file, s.offset, s.filesz, entry, is_linux);
    }
    return found;
}

static u64 modules_describe(const struct boot *b, struct boot_area *area, const struct boot_placed *placed, u32 count)
{
    void *at;
    u64 list = boot_area_take(area, (u64)count * sizeof(struct modlist_entry), &at);
    for (u32 i = 0; i < count && at; i++) {
        ((struct modlist_entry *)at)[i] = (struct modlist_entry){
            .start = placed[i].start,
            .size = placed[i].size,
            .cmdline = boot_area_string(area, b->module[i].arguments),
        };
    }
    return list;
}

static u64 memory_describe(const struct layout *layout, struct boot_area *area)
{
    void *at;
    u64 list = boot_area_take(area, layout->e820_count * sizeof(struct memmap_entry), &at);
    for (u32 i = 0; i < layout->e820_count && at; i++) {
        ((struct memmap_entry *)at)[i] = (struct memmap_entry){
            .start = layout->e820[i].start, .size = layout->e820[i].size, .type = layout->e820[i].type};
    }
    return list;
}

int pvh_load(const struct boot *b, const struct layout *layout, struct cpu_state *start, struct error *error)
{
    struct elf elf;
    u64 end;
    struct boot_placed placed[BOOT_MODULES];
    u32 count;
    if (!elf_open(&elf, &b->kernel))
        return -EINVAL;
    int e = elf_load(&elf, layout, b->kernel_name, &(struct boot_range){0, BOOT_LOW_END}, &end, error);
    if (!e)
        e = boot_modules_load(b, layout, end, b->pvh_linux, placed, &count, error);
    if (e)
        return e;

    struct boot_area area = {.layout = layout, .next = BOOT_INFO, .end = BOOT_INFO + BOOT_INFO_SIZE};
    void *at;
    u64 info_gpa = boot_area_take(&area, sizeof(struct start_info), &at);
    struct start_info info = {
        .magic = START_MAGIC,
        .version = 1,
        .nr_modules = count,
        .modlist = count ? modules_describe(b, &area, placed, count) : 0,
        .rsdp = ACPI_RSDP,
        .memmap = memory_describe(layout, &area),
        .memmap_entries = layout->e820_count,
        .cmdline = boot_area_string(&area, b->append),
    };
    if (area.overflow)
        return error_set(error, -E2BIG, "the command lines of kernel and modules are too long (64 KiB together)");
    memcpy(at, &info, sizeof(info));
    if (boot_flat(layout, BOOT_GDT, false, start))
        return error_set(error, -ENOMEM, "no low memory for the boot parameters");
    start->rip = b->pvh_entry;
    start->gpr[RBX] = info_gpa;
    return 0;
}
