/*
 * PVH: the entry note, and what EBX points at.
 */
#include "machine/acpi.h"
#include "unit/machine/boot/images.h"

#include <errno.h>

/* hvm_start_info, and an entry of its list of modules: xen/include/public/arch-x86/hvm/start_info.h. */
enum {
    INFO_MAGIC = 0,
    INFO_VERSION = 4,
    INFO_MODULES = 12,
    INFO_MODLIST = 16,
    INFO_CMDLINE = 24,
    INFO_RSDP = 32,
    INFO_MEMMAP = 40,
    INFO_MEMMAP_ENTRIES = 48,
};
enum { MODULE_START = 0, MODULE_SIZE = 8, MODULE_CMDLINE = 16, MODULE_ENTRY = 32 };
enum { MEMMAP_SIZE = 8 };
#define START_MAGIC 0x336ec578u

static void test_linux(void)
{
    u8 im[ELF_SIZE];
    TEST("PVH Linux: one initrd out of several");
    struct bench *b = bench_create(64 << 20);
    char *one = put_file(b, "p1", "12345", 5), *two = put_file(b, "p2", "abcd", 4);
    make_elf64(im, EM_X86_64);
    add_pvh(im);
    CHECK_EQ(try_boot(b, put_file(b, "pvh", im, sizeof(im)), one, two, "a=b"), 0);
    CHECK(is_protected32(&b->start));
    CHECK_EQ(b->start.rip, PVH_ENTRY);
    u64 info = b->start.gpr[RBX];
    CHECK_EQ(guest(b, info + INFO_MAGIC, 4), START_MAGIC);
    CHECK_EQ(guest(b, info + INFO_VERSION, 4), 1);
    CHECK_EQ(guest(b, info + INFO_MODULES, 4), 1);
    CHECK_EQ(guest(b, guest(b, info + INFO_MODLIST, 8) + MODULE_SIZE, 8), 12);
    CHECK(guest_says(b, guest(b, info + INFO_CMDLINE, 8), "a=b"));
    CHECK_EQ(guest(b, info + INFO_RSDP, 8), ACPI_RSDP);
    CHECK_EQ(guest(b, info + INFO_MEMMAP_ENTRIES, 4), b->layout.e820_count);
    CHECK_EQ(guest(b, guest(b, info + INFO_MEMMAP, 8) + MEMMAP_SIZE, 8), LAYOUT_EBDA);
    bench_destroy(b);
}

static void test_other(void)
{
    u8 im[ELF_SIZE];
    char with[160];
    TEST("PVH, not Linux: a module each, with its arguments");
    struct bench *b = bench_create(64 << 20);
    snprintf(with, sizeof(with), "%s -v", put_file(b, "p1", "12345", 5));
    make_elf64(im, EM_X86_64);
    add_pvh(im);
    memcpy(im + PVH_SYSTEM, "other", 6);
    CHECK_EQ(try_boot(b, put_file(b, "pvh", im, sizeof(im)), with, put_file(b, "p2", "abcd", 4), NULL), 0);
    u64 info = b->start.gpr[RBX], first = guest(b, info + INFO_MODLIST, 8), second = first + MODULE_ENTRY;
    CHECK_EQ(guest(b, info + INFO_MODULES, 4), 2);
    CHECK(guest_says(b, guest(b, first + MODULE_CMDLINE, 8), "-v"));
    CHECK(memcmp(guest_at(b, guest(b, second + MODULE_START, 8), 4), "abcd", 4) == 0);
    bench_destroy(b);
}

int main(void)
{
    u8 im[ELF_SIZE];
    test_linux();
    test_other();
    TEST("damaged PVH images");
    make_elf64(im, EM_X86_64);
    add_pvh(im);
    abuse(im, ELF_SIZE, PVH_NOTES_END);
    return TEST_END();
}
