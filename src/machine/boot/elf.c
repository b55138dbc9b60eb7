/*
 * ELF program headers. Every number comes from a file that nobody vouches for, so sums are checked before they are
 * used. Source: System V ABI, "Object Files" and "Program Loading".
 */
#include "machine/boot/elf.h"

#include <errno.h>
#include <string.h>

#define SEGMENTS_MAX 4096

bool elf_detect(const struct boot_file *file)
{
    return file->size >= SELFMAG && memcmp(file->data, ELFMAG, SELFMAG) == 0;
}

static bool header64_read(struct elf *elf)
{
    Elf64_Ehdr h;
    if (!boot_file_has(elf->file, 0, sizeof(h)))
        return false;
    memcpy(&h, elf->file->data, sizeof(h));
    elf->entry = h.e_entry;
    elf->phoff = h.e_phoff;
    elf->phentsize = h.e_phentsize;
    elf->phnum = h.e_phnum;
    return h.e_phentsize >= sizeof(Elf64_Phdr);
}

static bool header32_read(struct elf *elf)
{
    Elf32_Ehdr h;
    if (!boot_file_has(elf->file, 0, sizeof(h)))
        return false;
    memcpy(&h, elf->file->data, sizeof(h));
    elf->entry = h.e_entry;
    elf->phoff = h.e_phoff;
    elf->phentsize = h.e_phentsize;
    elf->phnum = h.e_phnum;
    return h.e_phentsize >= sizeof(Elf32_Phdr);
}

bool elf_open(struct elf *elf, const struct boot_file *file)
{
    *elf = (struct elf){.file = file};
    if (!elf_detect(file) || file->size < ELF_MACHINE_END)
        return false;
    elf->machine = boot_file_u16(file, offsetof(Elf32_Ehdr, e_machine));
    elf->is64 = file->data[EI_CLASS] == ELFCLASS64;
    if (file->data[EI_DATA] == ELFDATA2MSB) { /* some other machine's */
        elf->machine = (u16)(elf->machine >> 8 | elf->machine << 8);
        return true;
    }
    return (elf->is64 ? header64_read(elf) : header32_read(elf)) && elf->phnum <= SEGMENTS_MAX &&
           boot_file_has(file, elf->phoff, (u64)elf->phnum * elf->phentsize);
}

bool elf_segment(const struct elf *elf, u16 index, struct elf_segment *s)
{
    if (index >= elf->phnum)
        return false;
    const u8 *at = elf->file->data + elf->phoff + (u64)index * elf->phentsize;
    if (elf->is64) {
        Elf64_Phdr p;
        memcpy(&p, at, sizeof(p));
        *s = (struct elf_segment){p.p_type, p.p_offset, p.p_vaddr, p.p_paddr, p.p_filesz, p.p_memsz};
    } else {
        Elf32_Phdr p;
        memcpy(&p, at, sizeof(p));
        *s = (struct elf_segment){p.p_type, p.p_offset, p.p_vaddr, p.p_paddr, p.p_filesz, p.p_memsz};
    }
    return true;
}

const char *elf_machine_name(u16 machine)
{
    static const struct {
        u16 machine;
        const char *name;
    } names[] = {
        {EM_SPARC, "SPARC"},   {EM_MIPS, "MIPS"},      {EM_PPC, "PowerPC"},         {EM_PPC64, "ppc64"},
        {EM_S390, "s390x"},    {EM_ARM, "32-bit Arm"}, {EM_SPARCV9, "sparc64"},     {EM_IA_64, "Itanium"},
        {EM_AARCH64, "arm64"}, {EM_RISCV, "RISC-V"},   {EM_LOONGARCH, "LoongArch"}, {EM_386, "x86"},
        {EM_X86_64, "x86-64"},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (names[i].machine == machine)
            return names[i].name;
    }
    return "another CPU";
}

int elf_check(const struct elf *elf, const char *name, struct error *error)
{
    struct elf_segment s;
    bool any = false;
    for (u16 i = 0; elf_segment(elf, i, &s); i++) {
        if (s.type != PT_LOAD || !s.memsz)
            continue;
        any = true;
        if (s.filesz > s.memsz)
            return error_set(error, -EINVAL, "%s: damaged ELF file: segment %u is larger in the file than in memory",
                             name, i);
        if (!boot_file_has(elf->file, s.offset, s.filesz))
            return error_set(error, -EINVAL, "%s: truncated: ELF segment %u ends at byte %llu, the file has %llu", name,
                             i, (unsigned long long)s.offset + s.filesz, (unsigned long long)elf->file->size);
    }
    return any ? 0 : error_set(error, -EINVAL, "%s: ELF file with nothing to load", name);
}

int elf_load(const struct elf *elf, const struct layout *layout, const char *name, const struct boot_range *taken,
             u64 *end, struct error *error)
{
    struct elf_segment s;
    *end = 0;
    for (u16 i = 0; elf_segment(elf, i, &s); i++) {
        if (s.type != PT_LOAD || !s.memsz)
            continue;
        u8 *to = boot_kernel_at(layout, s.paddr, s.memsz, taken);
        if (!to) {
            bool more_helps = s.paddr >= BOOT_KERNEL_LOW && s.paddr < LAYOUT_HOLE && s.memsz <= LAYOUT_HOLE - s.paddr;
            error_set(error, -ENOMEM, "%s: ELF segment %u wants %llu KiB at %#llx, where this VM has no free memory",
                      name, i, (unsigned long long)(s.memsz + 1023) >> 10, (unsigned long long)s.paddr);
            return more_helps ? error_hint(error, "give more with " SETTING("memory")) : error->code;
        }
        memcpy(to, elf->file->data + s.offset, s.filesz);
        memset(to + s.filesz, 0, s.memsz - s.filesz);
        if (s.paddr + s.memsz > *end)
            *end = s.paddr + s.memsz;
    }
    return 0;
}

u64 elf_entry_physical(const struct elf *elf)
{
    struct elf_segment s;
    for (u16 i = 0; elf_segment(elf, i, &s); i++) {
        if (s.type == PT_LOAD && elf->entry - s.vaddr < s.memsz)
            return s.paddr + (elf->entry - s.vaddr);
    }
    return elf->entry;
}
