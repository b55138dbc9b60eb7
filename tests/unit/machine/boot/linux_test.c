/*
 * bzImages: where kernel, initrds and zero page go, and what is refused.
 */
#include "machine/acpi.h"
#include "unit/machine/boot/images.h"

#include <errno.h>
#include <zlib.h>

#define E820_SIZE 8 /* offset of the size in an entry of the memory map */
#define PREFERRED 0x1000000

static u64 zero_page(struct bench *b, u32 offset, unsigned size)
{
    return guest(b, BOOT_ZERO_PAGE + offset, size);
}

static int try_image(struct bench *b, const u8 *im, size_t size)
{
    return try_boot(b, put_file(b, "bz", im, size), NULL, NULL, NULL);
}

static void test_start(void)
{
    u8 im[LINUX_SIZE];
    struct bench *b = bench_create(64 << 20);
    char *one = put_file(b, "initrd1", "12345", 5), *two = put_file(b, "initrd2", "abcd", 4);
    make_linux(im);

    TEST("a bzImage starts at its 64-bit entry with a zero page");
    CHECK_EQ(try_boot(b, put_file(b, "bz", im, sizeof(im)), one, two, "quiet"), 0);
    const struct cpu_state *s = &b->start;
    CHECK((s->cr0 & CR0_PG) && (s->efer & EFER_LMA) && (s->seg[SEG_CS].attr & SEG_L));
    CHECK_EQ(s->rip, PREFERRED + 0x200);
    CHECK_EQ(s->gpr[RSI], BOOT_ZERO_PAGE);
    CHECK_EQ(s->seg[SEG_CS].sel, 0x10);
    CHECK_EQ(guest(b, s->rip, 1), 0xc3);
    CHECK_EQ(zero_page(b, HDR_TYPE_OF_LOADER, 1), 0xff);
    CHECK_EQ(zero_page(b, ZP_RSDP, 8), ACPI_RSDP);
    CHECK(guest_says(b, zero_page(b, HDR_CMD_LINE_PTR, 4), "quiet"));
    CHECK_EQ(zero_page(b, ZP_E820_ENTRIES, 1), b->layout.e820_count);
    CHECK_EQ(zero_page(b, ZP_E820_TABLE + E820_SIZE, 8), LAYOUT_EBDA);
    CHECK_EQ(guest(b, s->cr3, 8) & ~PAGE_MASK, s->cr3 + PAGE_SIZE);

    TEST("several initrds are joined, each at a multiple of four");
    u64 initrd = zero_page(b, HDR_RAMDISK_IMAGE, 4);
    CHECK_EQ(zero_page(b, HDR_RAMDISK_SIZE, 4), 12);
    CHECK(memcmp(guest_at(b, initrd, 12), "12345\0\0\0abcd", 12) == 0);
    CHECK_EQ(initrd & PAGE_MASK, 0);
    CHECK(initrd + 12 <= b->layout.low);

    TEST("a kernel without a 64-bit entry starts in 32-bit mode");
    set(im, HDR_XLOADFLAGS, 0, 2);
    CHECK_EQ(try_image(b, im, sizeof(im)), 0);
    CHECK(is_protected32(&b->start));
    CHECK_EQ(b->start.rip, PREFERRED);
    CHECK_EQ(zero_page(b, HDR_RAMDISK_SIZE, 4), 0);
    bench_destroy(b);
}

static void test_place(void)
{
    u8 im[LINUX_SIZE];
    TEST("a relocatable kernel goes lower when memory is short");
    struct bench *b = bench_create(64 << 20);
    make_linux(im);
    set(im, HDR_PREF_ADDRESS, 0x70000000, 8);
    CHECK_EQ(try_image(b, im, sizeof(im)), 0);
    CHECK_EQ(b->start.rip, 0x200200);
    set(im, HDR_RELOCATABLE, 0, 1);
    CHECK_EQ(try_image(b, im, sizeof(im)), -ENOMEM);
    CHECK(strstr(b->error.hint, SETTING("memory")));

    TEST("an initrd larger than memory is refused");
    char *big = put_file(b, "big", "", 0);
    CHECK_EQ(truncate(big, (off_t)b->layout.size + 4096), 0);
    make_linux(im);
    CHECK_EQ(try_boot(b, put_file(b, "bz", im, sizeof(im)), big, NULL, NULL), -ENOMEM);
    CHECK(strstr(b->error.text, "initrd"));
    bench_destroy(b);
}

static void test_files(void)
{
    u8 im[LINUX_SIZE];
    TEST("a kernel whose last paragraph is not full is whole");
    struct bench *b = bench_create(64 << 20);
    make_linux(im);
    CHECK_EQ(try_image(b, im, sizeof(im) - 15), 0);
    CHECK_EQ(try_image(b, im, sizeof(im) - 16), -EINVAL);
    CHECK(strstr(b->error.text, "truncated"));

    TEST("a bzImage without a protected-mode part takes a BIOS");
    set(im, HDR_SYSSIZE, 0, 4); /* memdisk, GRUB */
    CHECK_EQ(try_image(b, im, sizeof(im)), -EINVAL);
    CHECK(strstr(b->error.text, "BIOS"));
    make_linux(im);
    set(im, HDR_CODE32_START, 0, 4); /* iPXE */
    CHECK_EQ(try_image(b, im, sizeof(im)), -EINVAL);
    CHECK(strstr(b->error.text, "BIOS"));

    TEST("a gzipped kernel is inflated, a damaged one refused");
    make_linux(im);
    char *path = path_of(b, "gz");
    gzFile gz = gzopen(path, "wb");
    gzwrite(gz, im, sizeof(im));
    gzclose(gz);
    CHECK_EQ(try_boot(b, path, NULL, NULL, NULL), 0);
    CHECK_EQ(truncate(path, 60), 0);
    CHECK_EQ(try_boot(b, path, NULL, NULL, NULL), -EBADMSG);
    CHECK(strstr(b->error.text, "truncated gzip"));

    TEST("a command line that is too long is refused");
    char line[3000];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = 0;
    CHECK_EQ(try_boot(b, put_file(b, "bz", im, sizeof(im)), NULL, NULL, line), -E2BIG);
    bench_destroy(b);
}

int main(void)
{
    u8 im[LINUX_SIZE];
    test_start();
    test_place();
    test_files();
    TEST("damaged bzImages");
    make_linux(im);
    abuse(im, LINUX_SIZE, LINUX_SIZE);
    return TEST_END();
}
