/*
 * What a PVH kernel finds at its entry: the state of the CPU, and hvm_start_info with command line, a module, the
 * memory map and the ACPI root pointer. Its image has no multiboot header. Started with `--append "one two=2"`, and the
 * table of guests as a module with "3 four". Source: Xen, docs/misc/pvh.pandoc and
 * xen/include/public/arch-x86/hvm/start_info.h.
 */
#include "runtime.h"

#define MEMORY (128ull << 20)
#define RAM 1

struct start_info {
    u32 magic, version, flags, modules;
    u64 module_list, cmdline, rsdp, memmap;
    u32 memmap_entries, reserved;
};

struct module {
    u64 start, size, cmdline, reserved;
};

struct range {
    u64 start, size;
    u32 type, reserved;
};

static void entry(void)
{
    check(boot_entry.by_pvh, "the entry of the note, not of the ELF header");
    check_eq(boot_entry.cr0 & ~0x10u, 1, "CR0: protection and nothing else");
    check_eq(boot_entry.cr4, 0, "CR4");
    check_eq(boot_entry.eflags & (BIT(8) | BIT(9) | BIT(17)), 0, "RFLAGS: no TF, IF, VM");
    check(boot_entry.tr, "a task register");
}

static void module(const struct start_info *info)
{
    check_eq(info->modules, 1, "one module");
    const struct module *m = (const struct module *)info->module_list;
    check_eq(m->start & 4095, 0, "the module begins on a page of its own");
    const char *text = (const char *)m->start;
    check(find(text, "# guest") == text && text[m->size - 1] == '\n', "the module has the file's bytes");
    check(find((const char *)m->cmdline, "3 four") == (const char *)m->cmdline, "the module has what follows its name");
}

/* Type of the range that holds [start, end), or 0. */
static u32 type_of(const struct start_info *info, u64 start, u64 end)
{
    const struct range *r = (const struct range *)info->memmap;
    for (u32 i = 0; i < info->memmap_entries; i++)
        if (start >= r[i].start && end <= r[i].start + r[i].size)
            return r[i].type;
    return 0;
}

static void memory(const struct start_info *info)
{
    const struct range *r = (const struct range *)info->memmap;
    u64 ram = 0;
    bool ordered = true;
    for (u32 i = 0; i < info->memmap_entries; i++) {
        ram += r[i].type == RAM ? r[i].size : 0;
        ordered &= !r[i].reserved && r[i].size && (!i || r[i].start >= r[i - 1].start + r[i - 1].size);
    }
    check(info->memmap_entries && ordered, "ranges of memory in order, without overlap");
    u32 rsdt = *(const u32 *)(info->rsdp + 16);
    check_eq(type_of(info, 1 << 20, MEMORY - (64 << 10)), RAM, "RAM from 1 MiB on");
    check(rsdt >= MEMORY - (64 << 10) && same((const u8 *)(u64)rsdt, "RSDT", 4), "ACPI tables at the end of RAM");
    check(type_of(info, rsdt, rsdt + 36) != RAM, "which are not free memory");
    check_eq(type_of(info, MEMORY, MEMORY + 1), 0, "and no RAM behind the end of memory");
    check(type_of(info, info->rsdp, info->rsdp + 36) != RAM, "nor is the ACPI root pointer");
    check(ram > MEMORY - (1 << 20) && ram < MEMORY, "the memory map has as much RAM as was asked for");
}

static void acpi(const struct start_info *info)
{
    const u8 *rsdp = (const u8 *)info->rsdp;
    u8 sum = 0;
    for (unsigned i = 0; i < 20; i++)
        sum += rsdp[i];
    check(same(rsdp, "RSD PTR ", 8) && !sum, "the ACPI root pointer");
}

int main(void)
{
    entry();
    const struct start_info *info = (const struct start_info *)(u64)boot_entry.ebx;
    check_eq(info->magic, 0x336ec578, "hvm_start_info");
    check_eq(info->version, 1, "version 1");
    check(!info->flags && !info->reserved, "no flags");
    check(same((const char *)info->cmdline, "one two=2", 10), "the command line, as given");
    module(info);
    memory(info);
    acpi(info);
    return 0;
}
