/*
 * Multiboot 1: ELF files and files with load addresses, their modules and information, and where they may not lie.
 */
#include "unit/machine/boot/images.h"

#include <errno.h>

/* The information that EBX points at, and an entry of its list of modules: Multiboot Specification 0.6.96. */
enum {
    INFO_FLAGS = 0,
    INFO_MEM_UPPER = 8,
    INFO_CMDLINE = 16,
    INFO_MODS_COUNT = 20,
    INFO_MODS_ADDR = 24,
    INFO_MMAP_LENGTH = 44,
};
enum { MOD_START = 0, MOD_END = 4, MOD_STRING = 8 };
#define HAS_MEMORY BIT(0)
#define HAS_CMDLINE BIT(2)
#define HAS_MODS BIT(3)
#define HAS_MMAP BIT(6)
#define MMAP_ENTRY 24
#define LOADER_MAGIC 0x2badb002u

/* A header with load addresses. */
#define MULTIBOOT_ADDRESSES BIT(16)
enum {
    HEADER_ADDR = ELF_CODE + 12,
    LOAD_ADDR = ELF_CODE + 16,
    LOAD_END_ADDR = ELF_CODE + 20,
    BSS_END_ADDR = ELF_CODE + 24,
    ENTRY_ADDR = ELF_CODE + 28,
};

static int try_image(struct bench *b, const u8 *im)
{
    return try_boot(b, put_file(b, "mb", im, ELF_SIZE), NULL, NULL, NULL);
}

static void check_start(u8 *im)
{
    struct bench *b = bench_create(64 << 20);
    char module[160], line[160];
    put_file(b, "mod", "module!", 7);
    snprintf(module, sizeof(module), "%s/mod with args", b->dir);
    snprintf(line, sizeof(line), "%s/mb a b", b->dir);
    add_multiboot(im, MULTIBOOT_USUAL);
    CHECK_EQ(try_boot(b, put_file(b, "mb", im, ELF_SIZE), module, NULL, "a b"), 0);
    CHECK(is_protected32(&b->start));
    CHECK_EQ(b->start.rip, ELF_ENTRY);
    CHECK_EQ(b->start.gpr[RAX], LOADER_MAGIC);
    CHECK(guest_at(b, b->start.gpr[RSP] - 4096, 4096) && b->start.gpr[RSP] <= LAYOUT_EBDA && !(b->start.gpr[RSP] & 15));
    CHECK_EQ(guest(b, ELF_LOADED + 12, 1), 0x5a);
    CHECK_EQ(guest(b, ELF_LOADED + 256, 1), 0);

    static const u32 flags = HAS_MEMORY | HAS_CMDLINE | HAS_MODS | HAS_MMAP;
    u64 info = b->start.gpr[RBX], list = guest(b, info + INFO_MODS_ADDR, 4), from = guest(b, list + MOD_START, 4);
    CHECK_EQ(guest(b, info + INFO_FLAGS, 4) & flags, flags);
    CHECK_EQ(guest(b, info + INFO_MODS_COUNT, 4), 1);
    CHECK_EQ(guest(b, list + MOD_END, 4) - from, 7);
    CHECK(from >= ELF_END && (from & PAGE_MASK) == 0);
    CHECK(memcmp(guest_at(b, from, 7), "module!", 7) == 0);
    CHECK(guest_says(b, guest(b, list + MOD_STRING, 4), module));
    CHECK(guest_says(b, guest(b, info + INFO_CMDLINE, 4), line));
    CHECK_EQ(guest(b, info + INFO_MEM_UPPER, 4), (b->layout.acpi - LAYOUT_EXTENDED) >> 10);
    CHECK_EQ(guest(b, info + INFO_MMAP_LENGTH, 4), b->layout.e820_count * MMAP_ENTRY);
    bench_destroy(b);
}

static void test_start(void)
{
    u8 im[ELF_SIZE];
    TEST("multiboot, 32-bit ELF");
    make_elf32(im);
    check_start(im);
    TEST("multiboot, 64-bit ELF");
    make_elf64(im, EM_X86_64);
    check_start(im);
}

static void test_addresses(void)
{
    u8 im[ELF_SIZE] = {0};
    TEST("multiboot with addresses in the header");
    struct bench *b = bench_create(64 << 20);
    add_multiboot(im, MULTIBOOT_USUAL | MULTIBOOT_ADDRESSES);
    set(im, HEADER_ADDR, 0x200000 + ELF_CODE, 4);
    set(im, LOAD_ADDR, 0x200000 + ELF_CODE, 4);
    set(im, LOAD_END_ADDR, 0x200000 + ELF_SIZE, 4);
    set(im, BSS_END_ADDR, 0x200000 + 4096, 4);
    set(im, ENTRY_ADDR, 0x200000 + 600, 4);
    im[600] = 0x90;
    CHECK_EQ(try_image(b, im), 0);
    CHECK_EQ(b->start.rip, 0x200000 + 600);
    CHECK_EQ(guest(b, b->start.rip, 1), 0x90);
    bench_destroy(b);
}

static void test_refusals(void)
{
    u8 im[ELF_SIZE];
    struct bench *b = bench_create(64 << 20);
    TEST("unknown required features are refused");
    make_elf32(im);
    add_multiboot(im, BIT(4));
    CHECK_EQ(try_image(b, im), -EINVAL);
    CHECK(strstr(b->error.text, "features"));

    TEST("a segment outside memory is refused");
    add_multiboot(im, MULTIBOOT_USUAL);
    SET_SEGMENT(im, Elf32, p_paddr, 0xf0000000);
    CHECK_EQ(try_image(b, im), -ENOMEM);
    SET_SEGMENT(im, Elf32, p_paddr, BOOT_MULTIBOOT_INFO - 0x1000); /* overlaps the information */
    CHECK_EQ(try_image(b, im), -ENOMEM);

    TEST("more memory is advised where it helps");
    CHECK(!strstr(b->error.hint, SETTING("memory")));
    SET_SEGMENT(im, Elf32, p_paddr, 0x20000000);
    CHECK_EQ(try_image(b, im), -ENOMEM);
    CHECK(strstr(b->error.hint, SETTING("memory")));
    SET_SEGMENT(im, Elf32, p_paddr, (64 << 20) - 0x1000); /* overlaps the ACPI tables */
    CHECK_EQ(try_image(b, im), -ENOMEM);
    CHECK(strstr(b->error.hint, SETTING("memory")));
    bench_destroy(b);
}

static void test_wide(void)
{
    u8 im[ELF_SIZE];
    TEST("nothing lies beyond its 32-bit addresses");
    struct bench *b = bench_create(LAYOUT_HOLE + (16 << 20));
    make_elf64(im, EM_X86_64);
    add_multiboot(im, MULTIBOOT_USUAL);
    SET_HEADER(im, Elf64, e_entry, 0x200000010);
    CHECK_EQ(try_image(b, im), -EINVAL);
    CHECK(strstr(b->error.text, "beyond 4 GiB"));
    SET_HEADER(im, Elf64, e_entry, ELF_ENTRY);
    SET_SEGMENT(im, Elf64, p_paddr, LAYOUT_HIGH);
    CHECK_EQ(try_image(b, im), -ENOMEM);
    CHECK(strstr(b->error.text, "32 bits"));
    bench_destroy(b);
}

static void test_low(void)
{
    static const u32 base = 0x8000, size = 0x20000;
    u8 im[ELF_SIZE];
    TEST("a real-mode program below 1 MiB");
    struct bench *b = bench_create(64 << 20);
    char *module = put_file(b, "mod", "module!", 7);
    make_elf32(im);
    add_multiboot(im, MULTIBOOT_USUAL);
    SET_HEADER(im, Elf32, e_entry, base + 0x10);
    SET_SEGMENT(im, Elf32, p_vaddr, base);
    SET_SEGMENT(im, Elf32, p_paddr, base);
    SET_SEGMENT(im, Elf32, p_memsz, size);
    CHECK_EQ(try_boot(b, put_file(b, "mb", im, sizeof(im)), module, NULL, "a b"), 0);
    u64 info = b->start.gpr[RBX];
    CHECK_EQ(b->start.rip, base + 0x10);
    CHECK_EQ(guest(b, base + 12, 1), 0x5a);
    CHECK_EQ(guest(b, base + size - 1, 1), 0);
    CHECK(info >= base + size && b->start.gdtr.base >= base + size);
    CHECK(guest(b, guest(b, info + INFO_MODS_ADDR, 4) + MOD_START, 4) >= BOOT_KERNEL_LOW);
    bench_destroy(b);
}

int main(void)
{
    u8 im[ELF_SIZE];
    test_start();
    test_addresses();
    test_refusals();
    test_wide();
    test_low();
    TEST("damaged multiboot images");
    make_elf32(im);
    add_multiboot(im, MULTIBOOT_USUAL);
    abuse(im, ELF_SIZE, ELF_CODE + 256);
    return TEST_END();
}
