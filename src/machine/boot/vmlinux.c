/*
 * An unpacked Linux kernel, loaded as its own decompressor does it (Linux, arch/x86/boot/compressed). Behind the ELF
 * file are lists of 32-bit words, each list begun by 0, whose words are the virtual addresses of what changes when the
 * kernel is moved, without their upper halves:
 *
 *     0, 64-bit words, [0, 32-bit words that count from what does not move,] 0, 32-bit words
 *
 * The second list is that of per-CPU variables, which kernels before 6.15 link to address 0. The decompressor reads
 * backwards and knows what its own kernel has; here the zeros are counted.
 */
#include "machine/boot/vmlinux.h"

#include <string.h>

#define KERNEL_MAP 0xffffffff80000000ull /* where a kernel that is linked to physical address 0 would be */
#define WORD sizeof(u32)

enum relocation { RELOCATION_64, RELOCATION_INVERSE, RELOCATION_32 };

/* Where the ELF file ends: its headers, and all that they name. Returns 0 if that is not within the file. */
static u64 elf_end(const struct elf *elf)
{
    const struct boot_file *file = elf->file;
    u64 headers = boot_file_u64(file, offsetof(Elf64_Ehdr, e_shoff));
    u64 size = (u64)boot_file_u16(file, offsetof(Elf64_Ehdr, e_shnum)) * sizeof(Elf64_Shdr);
    u64 end = elf->phoff + (u64)elf->phnum * elf->phentsize;
    if (size && !boot_file_has(file, headers, size))
        return 0;
    if (size && headers + size > end)
        end = headers + size;
    struct elf_segment s;
    for (u16 i = 0; elf_segment(elf, i, &s); i++) {
        if (!boot_file_has(file, s.offset, s.filesz))
            return 0;
        if (s.offset + s.filesz > end)
            end = s.offset + s.filesz;
    }
    for (u64 at = headers; at < headers + size; at += sizeof(Elf64_Shdr)) {
        u64 offset = boot_file_u64(file, at + offsetof(Elf64_Shdr, sh_offset));
        u64 bytes = boot_file_u64(file, at + offsetof(Elf64_Shdr, sh_size));
        if (boot_file_u32(file, at + offsetof(Elf64_Shdr, sh_type)) == SHT_NOBITS)
            continue;
        if (!boot_file_has(file, offset, bytes))
            return 0;
        if (offset + bytes > end)
            end = offset + bytes;
    }
    return end;
}

/* Returns where in the kernel's memory the place is that a word names. */
static u64 place(const struct vmlinux *v, u32 word)
{
    return (u64)(s64)(s32)word - KERNEL_MAP - v->link;
}

/* Returns the list that comes behind a zero. */
static enum relocation next_list(const struct vmlinux *v, unsigned zeros)
{
    return zeros == 1 ? RELOCATION_64 : zeros == 2 && v->inverse ? RELOCATION_INVERSE : RELOCATION_32;
}

static bool relocations_check(struct vmlinux *v)
{
    const struct boot_file *file = v->elf.file;
    u64 bytes = v->relocations_end - v->relocations;
    unsigned zeros = 0;
    if (!bytes)
        return true;
    if (bytes % WORD || boot_file_u32(file, v->relocations))
        return false;
    for (u64 at = v->relocations; at < v->relocations_end; at += WORD) {
        u32 word = boot_file_u32(file, at);
        u64 width = zeros == 1 ? sizeof(u64) : sizeof(u32);
        if (!word)
            zeros++;
        else if (place(v, word) > v->room - width)
            return false;
    }
    v->inverse = zeros == 3;
    return zeros == 2 || zeros == 3;
}

bool vmlinux_open(struct vmlinux *v, const struct boot_file *file, u64 link, u64 room)
{
    *v = (struct vmlinux){.link = link, .room = room, .relocations_end = file->size};
    if (!elf_open(&v->elf, file) || !v->elf.is64 || v->elf.machine != EM_X86_64 || room < sizeof(u64))
        return false;
    struct elf_segment s;
    bool entry = false;
    for (u16 i = 0; elf_segment(&v->elf, i, &s); i++) {
        if (s.type != PT_LOAD)
            continue;
        u64 at = s.paddr - link;
        if (at > room || s.memsz > room - at || s.filesz > s.memsz)
            return false;
        entry = entry || v->elf.entry - s.paddr < s.filesz;
    }
    v->relocations = elf_end(&v->elf);
    return entry && v->relocations && relocations_check(v);
}

bool vmlinux_moves(const struct vmlinux *v)
{
    return v->relocations < v->relocations_end;
}

static void relocate(const struct vmlinux *v, u8 *to, u64 moved)
{
    unsigned zeros = 0;
    enum relocation list = RELOCATION_64;
    for (u64 at = v->relocations; at < v->relocations_end; at += WORD) {
        u32 word, value32;
        u64 value64;
        memcpy(&word, v->elf.file->data + at, WORD);
        if (!word) {
            list = next_list(v, ++zeros);
            continue;
        }
        u8 *p = to + place(v, word);
        if (list == RELOCATION_64) {
            memcpy(&value64, p, sizeof(value64));
            value64 += moved;
            memcpy(p, &value64, sizeof(value64));
        } else {
            memcpy(&value32, p, sizeof(value32));
            value32 += list == RELOCATION_32 ? (u32)moved : 0u - (u32)moved;
            memcpy(p, &value32, sizeof(value32));
        }
    }
}

void vmlinux_load(const struct vmlinux *v, u8 *to, u64 moved)
{
    struct elf_segment s;
    for (u16 i = 0; elf_segment(&v->elf, i, &s); i++) {
        if (s.type != PT_LOAD)
            continue;
        u8 *segment = to + (s.paddr - v->link);
        memcpy(segment, v->elf.file->data + s.offset, s.filesz);
        memset(segment + s.filesz, 0, s.memsz - s.filesz);
    }
    if (moved)
        relocate(v, to, moved);
}
