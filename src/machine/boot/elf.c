/*
 * ELF program headers. Every number comes from a file that nobody vouches for, so sums are checked
 * before they are used. Source: System V ABI, "Object Files" and "Program Loading".
 */
#include "machine/boot/elf.h"

#include <errno.h>
#include <string.h>

#define PN_MAX 4096

bool elf_detect(const struct image *image)
{
    return image->size >= 4 && memcmp(image->data, "\177ELF", 4) == 0;
}

bool elf_open(struct elf *elf, const struct image *image)
{
    *elf = (struct elf){.image = image};
    if (!elf_detect(image) || image->size < 20)
        return false;
    elf->type = image_u16(image, 16);
    elf->machine = image_u16(image, 18);
    elf->is64 = image->data[4] == 2;
    if (image->data[5] == 2) { /* big-endian: some other machine's */
        elf->machine = (u16)(elf->machine >> 8 | elf->machine << 8);
        return true;
    }
    if (!image_has(image, 0, elf->is64 ? 64 : 52))
        return false;
    if (elf->is64) {
        elf->entry = image_u64(image, 24);
        elf->phoff = image_u64(image, 32);
        elf->phentsize = image_u16(image, 54);
        elf->phnum = image_u16(image, 56);
    } else {
        elf->entry = image_u32(image, 24);
        elf->phoff = image_u32(image, 28);
        elf->phentsize = image_u16(image, 42);
        elf->phnum = image_u16(image, 44);
    }
    return elf->phnum <= PN_MAX && elf->phentsize >= (elf->is64 ? 56 : 32) &&
           image_has(image, elf->phoff, (u64)elf->phnum * elf->phentsize);
}

bool elf_segment(const struct elf *elf, u16 index, struct elf_segment *s)
{
    if (index >= elf->phnum)
        return false;
    const struct image *im = elf->image;
    u64 at = elf->phoff + (u64)index * elf->phentsize;
    s->type = image_u32(im, at);
    if (elf->is64) {
        s->offset = image_u64(im, at + 8);
        s->vaddr = image_u64(im, at + 16);
        s->paddr = image_u64(im, at + 24);
        s->filesz = image_u64(im, at + 32);
        s->memsz = image_u64(im, at + 40);
    } else {
        s->offset = image_u32(im, at + 4);
        s->vaddr = image_u32(im, at + 8);
        s->paddr = image_u32(im, at + 12);
        s->filesz = image_u32(im, at + 16);
        s->memsz = image_u32(im, at + 20);
    }
    return true;
}

const char *elf_machine_name(u16 machine)
{
    static const struct {
        u16 machine;
        const char *name;
    } names[] = {
        {2, "SPARC"},       {8, "MIPS"},         {20, "PowerPC"},           {21, "ppc64"},  {22, "s390x"},
        {40, "32-bit Arm"}, {43, "sparc64"},     {50, "Itanium"},           {183, "arm64"}, {243, "RISC-V"},
        {258, "LoongArch"}, {ELF_EM_386, "x86"}, {ELF_EM_X86_64, "x86-64"},
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
        if (s.type != ELF_PT_LOAD || !s.memsz)
            continue;
        any = true;
        if (s.filesz > s.memsz)
            return error_set(error, -EINVAL, "%s: damaged ELF file: segment %u is larger in the file than in memory",
                             name, i);
        if (!image_has(elf->image, s.offset, s.filesz))
            return error_set(error, -EINVAL, "%s: truncated: ELF segment %u ends at byte %llu, the file has %llu", name,
                             i, (unsigned long long)s.offset + s.filesz, (unsigned long long)elf->image->size);
    }
    return any ? 0 : error_set(error, -EINVAL, "%s: ELF file with nothing to load", name);
}

int elf_load(const struct elf *elf, const struct memory *m, const char *name, const struct boot_range *taken, u64 *end,
             struct error *error)
{
    struct elf_segment s;
    *end = 0;
    for (u16 i = 0; elf_segment(elf, i, &s); i++) {
        if (s.type != ELF_PT_LOAD || !s.memsz)
            continue;
        u8 *to = boot_kernel_at(m, s.paddr, s.memsz, taken);
        if (!to) {
            bool more_helps =
                s.paddr >= BOOT_KERNEL_LOW && s.paddr < MEMORY_LOW_MAX && s.memsz <= MEMORY_LOW_MAX - s.paddr;
            error_set(error, -ENOMEM, "%s: ELF segment %u wants %llu KiB at %#llx, where this VM has no free memory",
                      name, i, (unsigned long long)(s.memsz + 1023) >> 10, (unsigned long long)s.paddr);
            return more_helps ? error_hint(error, "give more with " SETTING("memory")) : error->code;
        }
        memcpy(to, elf->image->data + s.offset, s.filesz);
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
        if (s.type == ELF_PT_LOAD && elf->entry - s.vaddr < s.memsz)
            return s.paddr + (elf->entry - s.vaddr);
    }
    return elf->entry;
}
