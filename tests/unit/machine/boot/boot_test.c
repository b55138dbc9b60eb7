/*
 * The kernel loaders: small images of each kind built here, whole, cut off at every length, and
 * with bytes changed at random. A loader may refuse an image; it may not touch memory outside the
 * guest's or read beyond the file.
 */
#include "machine/boot/boot.h"

#include "machine/acpi.h"
#include "unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static char dir[] = "/tmp/nestbox-boot-XXXXXX";
static struct layout layout;

static char *path_of(const char *name)
{
    static char path[4][128];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, 128, "%s/%s", dir, name);
    return p;
}

static char *put_file(const char *name, const void *data, size_t size)
{
    char *path = path_of(name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size)
        exit(1);
    fclose(f);
    return path;
}

static void set(u8 *image, size_t at, u64 value, size_t size)
{
    memcpy(image + at, &value, size);
}

/* A bzImage with one setup sector and 4 KiB of kernel. */
#define LINUX_SIZE (1024 + 4096)
static void make_linux(u8 *im)
{
    memset(im, 0, LINUX_SIZE);
    im[0x1f1] = 1;
    set(im, 0x1f4, 4096 / 16, 4);
    set(im, 0x1fe, 0xaa55, 2);
    set(im, 0x201, 0x66, 1);
    memcpy(im + 0x202, "HdrS", 4);
    set(im, 0x206, 0x20f, 2);
    im[0x211] = 1;
    set(im, 0x214, 0x100000, 4);
    set(im, 0x22c, 0x7fffffff, 4);
    set(im, 0x230, 0x200000, 4);
    im[0x234] = 1;
    set(im, 0x236, 3, 2);
    set(im, 0x238, 2047, 4);
    set(im, 0x258, 0x1000000, 8);
    set(im, 0x260, 0x100000, 4);
    memset(im + 1024, 0xc3, 4096);
}

/* An ELF file with one segment of 256 bytes at 1 MiB and a note segment. */
#define ELF_SIZE 1024
static void make_elf(u8 *im, bool is64, u16 machine)
{
    memset(im, 0, ELF_SIZE);
    memcpy(im, "\177ELF", 4);
    im[4] = is64 ? 2 : 1;
    im[5] = 1;
    set(im, 16, 2, 2);
    set(im, 18, machine, 2);
    size_t ph = is64 ? 64 : 52, step = is64 ? 56 : 32;
    if (is64) {
        set(im, 24, 0xffffffff80000010, 8);
        set(im, 32, ph, 8);
        set(im, 54, step, 2);
        set(im, 56, 2, 2);
    } else {
        set(im, 24, 0x100010, 4);
        set(im, 28, ph, 4);
        set(im, 42, step, 2);
        set(im, 44, 2, 2);
    }
    for (int i = 0; i < 2; i++) {
        u8 *p = im + ph + (size_t)i * step;
        u64 offset = i ? 768 : 512, size = i ? 64 : 256;
        set(p, 0, i ? 4 : 1, 4);
        if (is64) {
            set(p, 8, offset, 8);
            set(p, 16, 0xffffffff80000000, 8);
            set(p, 24, 0x100000, 8);
            set(p, 32, size, 8);
            set(p, 40, i ? size : 0x2000, 8);
        } else {
            set(p, 4, offset, 4);
            set(p, 8, 0x100000, 4);
            set(p, 12, 0x100000, 4);
            set(p, 16, size, 4);
            set(p, 20, i ? size : 0x2000, 4);
        }
    }
    memset(im + 512, 0x5a, 256);
}

static void add_multiboot(u8 *im, u32 flags)
{
    set(im, 512, 0x1badb002, 4);
    set(im, 516, flags, 4);
    set(im, 520, 0u - 0x1badb002u - flags, 4);
}

static void add_pvh(u8 *im)
{
    set(im, 768, 4, 4);
    set(im, 772, 4, 4);
    set(im, 776, 18, 4);
    memcpy(im + 780, "Xen", 4);
    set(im, 784, 0x100020, 4);
    set(im, 788, 4, 4);
    set(im, 792, 6, 4);
    set(im, 796, 6, 4);
    memcpy(im + 800, "Xen", 4);
    memcpy(im + 804, "linux", 6);
}

static int try_boot(const char *kernel, const char *const *initrd, u32 initrds, const char *append,
                    struct cpu_state *start, struct error *error)
{
    struct boot boot;
    error->text[0] = 0;
    struct vm_settings settings = {.kernel = kernel, .append = append, .initrd.count = initrds};
    for (u32 i = 0; i < initrds; i++)
        settings.initrd.item[i] = initrd[i];
    int e = boot_open(&boot, &settings, error);
    if (e)
        return e;
    *start = (struct cpu_state){.rflags = FLAG_ONE, .cr0 = CR0_CD | CR0_NW | CR0_ET};
    e = boot_load(&boot, &layout, start, error);
    boot_close(&boot);
    return e;
}

/* Can only a 64-bit CPU run it? */
static bool is_64bit(const char *kernel)
{
    struct boot boot;
    struct error error;
    if (boot_open(&boot, &(struct vm_settings){.kernel = kernel}, &error))
        return false;
    bool is = boot.long_mode;
    boot_close(&boot);
    return is;
}

static u64 guest(u64 gpa, unsigned size)
{
    u64 value = 0;
    void *p = ram_pointer(layout.ram, GPA(gpa), size);
    if (p)
        memcpy(&value, p, size);
    return value;
}

static void test_linux(void)
{
    u8 im[LINUX_SIZE];
    struct cpu_state start;
    struct error error;
    make_linux(im);
    put_file("initrd1", "12345", 5);
    put_file("initrd2", "abcd", 4);
    char one[128], two[128];
    snprintf(one, sizeof(one), "%s/initrd1", dir);
    snprintf(two, sizeof(two), "%s/initrd2", dir);
    const char *const initrd[] = {one, two};

    TEST("a bzImage starts at its 64-bit entry with a zero page");
    CHECK_EQ(try_boot(put_file("bz", im, sizeof(im)), initrd, 2, "quiet", &start, &error), 0);
    CHECK((start.cr0 & CR0_PG) && (start.efer & EFER_LMA) && (start.seg[SEG_CS].attr & SEG_L));
    CHECK_EQ(start.rip, 0x1000200);
    CHECK_EQ(start.gpr[RSI], BOOT_ZERO_PAGE);
    CHECK_EQ(start.seg[SEG_CS].sel, 0x10);
    CHECK_EQ(guest(start.rip, 1), 0xc3);
    u64 zp = start.gpr[RSI], initrd_at = guest(zp + 0x218, 4);
    CHECK_EQ(guest(zp + 0x210, 1), 0xff);
    CHECK_EQ(guest(zp + 0x70, 8), ACPI_RSDP);
    CHECK(strcmp(ram_pointer(layout.ram, GPA(guest(zp + 0x228, 4)), 6), "quiet") == 0);
    CHECK_EQ(guest(zp + 0x1e8, 1), layout.e820_count);
    CHECK_EQ(guest(zp + 0x2d0 + 8, 8), LAYOUT_EBDA);
    CHECK_EQ(guest(start.cr3, 8) & ~0xfffull, start.cr3 + 4096);

    CHECK(is_64bit(put_file("bz", im, sizeof(im))));

    TEST("several initrds are joined, each at a multiple of four");
    CHECK_EQ(guest(zp + 0x21c, 4), 12);
    CHECK(memcmp(ram_pointer(layout.ram, GPA(initrd_at), 12), "12345\0\0\0abcd", 12) == 0);
    CHECK_EQ(initrd_at & 0xfff, 0);
    CHECK(initrd_at + 12 <= layout.low);

    TEST("a kernel without a 64-bit entry starts in 32-bit mode");
    set(im, 0x236, 0, 2);
    CHECK_EQ(try_boot(put_file("bz", im, sizeof(im)), NULL, 0, NULL, &start, &error), 0);
    CHECK((start.cr0 & (CR0_PE | CR0_PG)) == CR0_PE && (start.seg[SEG_CS].attr & SEG_DB));
    CHECK_EQ(start.rip, 0x1000000);
    CHECK_EQ(guest(BOOT_ZERO_PAGE + 0x21c, 4), 0);
    CHECK(!is_64bit(put_file("bz", im, sizeof(im))));

    TEST("a relocatable kernel goes lower when memory is short");
    make_linux(im);
    set(im, 0x258, 0x70000000, 8);
    CHECK_EQ(try_boot(put_file("bz", im, sizeof(im)), NULL, 0, NULL, &start, &error), 0);
    CHECK_EQ(start.rip, 0x200200);
    im[0x234] = 0;
    CHECK_EQ(try_boot(put_file("bz", im, sizeof(im)), NULL, 0, NULL, &start, &error), -ENOMEM);
    CHECK(strstr(error.hint, SETTING("memory")));

    TEST("a kernel whose last paragraph is not full is whole");
    make_linux(im);
    CHECK_EQ(try_boot(put_file("bz", im, sizeof(im) - 15), NULL, 0, NULL, &start, &error), 0);
    CHECK_EQ(try_boot(put_file("bz", im, sizeof(im) - 16), NULL, 0, NULL, &start, &error), -EINVAL);
    CHECK(strstr(error.text, "truncated"));

    TEST("a bzImage without a protected-mode part takes a BIOS");
    make_linux(im);
    set(im, 0x1f4, 0, 4); /* memdisk, GRUB */
    CHECK_EQ(try_boot(put_file("bz", im, sizeof(im)), NULL, 0, NULL, &start, &error), -EINVAL);
    CHECK(strstr(error.text, "BIOS"));
    make_linux(im);
    set(im, 0x214, 0, 4); /* iPXE */
    CHECK_EQ(try_boot(put_file("bz", im, sizeof(im)), NULL, 0, NULL, &start, &error), -EINVAL);
    CHECK(strstr(error.text, "BIOS"));

    TEST("a gzipped kernel is inflated, a damaged one refused");
    make_linux(im);
    gzFile gz = gzopen(path_of("gz"), "wb");
    gzwrite(gz, im, sizeof(im));
    gzclose(gz);
    CHECK_EQ(try_boot(path_of("gz"), NULL, 0, NULL, &start, &error), 0);
    CHECK_EQ(truncate(path_of("gz"), 60), 0);
    CHECK_EQ(try_boot(path_of("gz"), NULL, 0, NULL, &start, &error), -EBADMSG);
    CHECK(strstr(error.text, "truncated gzip"));

    TEST("a command line that is too long is refused");
    char line[3000];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = 0;
    CHECK_EQ(try_boot(put_file("bz", im, sizeof(im)), NULL, 0, line, &start, &error), -E2BIG);

    TEST("an initrd larger than memory is refused");
    char big[128];
    snprintf(big, sizeof(big), "%s/initrd1", dir);
    CHECK_EQ(truncate(big, (off_t)layout.size + 4096), 0);
    CHECK_EQ(try_boot(put_file("bz", im, sizeof(im)), (const char *const[]){big}, 1, NULL, &start, &error), -ENOMEM);
    CHECK(strstr(error.text, "initrd"));
}

static void test_multiboot(void)
{
    u8 im[ELF_SIZE];
    struct cpu_state start;
    struct error error;
    put_file("mod", "module!", 7);
    char mod[160];
    snprintf(mod, sizeof(mod), "%s/mod with args", dir);
    const char *const initrd[] = {mod};

    for (int is64 = 0; is64 < 2; is64++) {
        TEST(is64 ? "multiboot, 64-bit ELF" : "multiboot, 32-bit ELF");
        make_elf(im, is64, is64 ? 62 : 3);
        add_multiboot(im, 3);
        CHECK_EQ(try_boot(put_file("mb", im, sizeof(im)), initrd, 1, "a b", &start, &error), 0);
        CHECK((start.cr0 & (CR0_PE | CR0_PG)) == CR0_PE && (start.seg[SEG_CS].attr & SEG_DB));
        CHECK_EQ(start.rip, 0x100010);
        CHECK_EQ(start.gpr[RAX], 0x2badb002);
        CHECK_EQ(guest(0x100000 + 12, 1), 0x5a);
        CHECK_EQ(guest(0x100000 + 256, 1), 0);
        u64 info = start.gpr[RBX];
        CHECK_EQ(guest(info, 4) & 0x4d, 0x4d);
        CHECK_EQ(guest(info + 20, 4), 1);
        u64 list = guest(info + 24, 4), from = guest(list, 4);
        CHECK_EQ(guest(list + 4, 4) - from, 7);
        CHECK(from >= 0x102000 && (from & 0xfff) == 0);
        CHECK(memcmp(ram_pointer(layout.ram, GPA(from), 7), "module!", 7) == 0);
        CHECK(strcmp(ram_pointer(layout.ram, GPA(guest(list + 8, 4)), 1), mod) == 0);
        char line[160];
        snprintf(line, sizeof(line), "%s/mb a b", dir);
        CHECK(strcmp(ram_pointer(layout.ram, GPA(guest(info + 16, 4)), 1), line) == 0);
        CHECK_EQ(guest(info + 8, 4), (layout.low >> 10) - 1024);
        CHECK_EQ(guest(info + 44, 4), layout.e820_count * 24);
        CHECK_EQ(is_64bit(put_file("mb", im, sizeof(im))), is64);
    }

    TEST("multiboot with addresses in the header");
    memset(im, 0, sizeof(im));
    add_multiboot(im, 3 | BIT(16));
    set(im, 524, 0x200000 + 512, 4);
    set(im, 528, 0x200000 + 512, 4);
    set(im, 532, 0x200000 + 1024, 4);
    set(im, 536, 0x200000 + 4096, 4);
    set(im, 540, 0x200000 + 600, 4);
    im[600] = 0x90;
    CHECK_EQ(try_boot(put_file("mb", im, sizeof(im)), NULL, 0, NULL, &start, &error), 0);
    CHECK_EQ(start.rip, 0x200000 + 600);
    CHECK_EQ(guest(start.rip, 1), 0x90);

    TEST("multiboot: unknown required features are refused");
    make_elf(im, false, 3);
    add_multiboot(im, 0x10);
    CHECK_EQ(try_boot(put_file("mb", im, sizeof(im)), NULL, 0, NULL, &start, &error), -EINVAL);
    CHECK(strstr(error.text, "features"));

    TEST("multiboot: a segment outside memory is refused");
    make_elf(im, false, 3);
    add_multiboot(im, 3);
    set(im, 52 + 12, 0xf0000000, 4);
    CHECK_EQ(try_boot(put_file("mb", im, sizeof(im)), NULL, 0, NULL, &start, &error), -ENOMEM);
    set(im, 52 + 12, 0x5f000, 4); /* overlaps the information */
    CHECK_EQ(try_boot(put_file("mb", im, sizeof(im)), NULL, 0, NULL, &start, &error), -ENOMEM);

    TEST("multiboot: more memory is advised where it helps");
    CHECK(!strstr(error.hint, SETTING("memory")));
    set(im, 52 + 12, 0x20000000, 4);
    CHECK_EQ(try_boot(put_file("mb", im, sizeof(im)), NULL, 0, NULL, &start, &error), -ENOMEM);
    CHECK(strstr(error.hint, SETTING("memory")));

    TEST("multiboot: nothing lies beyond its 32-bit addresses");
    u8 wide[ELF_SIZE];
    make_elf(wide, true, 62);
    add_multiboot(wide, 3);
    set(wide, 24, 0x200000010, 8);
    CHECK_EQ(try_boot(put_file("mb", wide, sizeof(wide)), NULL, 0, NULL, &start, &error), -EINVAL);
    CHECK(strstr(error.text, "beyond 4 GiB"));
    struct layout low = layout;
    CHECK_EQ(layout_create(&layout, LAYOUT_HOLE + (16 << 20), &error), 0);
    make_elf(wide, true, 62);
    add_multiboot(wide, 3);
    set(wide, 64 + 24, 0x100000000, 8);
    set(wide, 24, 0x100010, 8);
    CHECK_EQ(try_boot(put_file("mb", wide, sizeof(wide)), NULL, 0, NULL, &start, &error), -ENOMEM);
    CHECK(strstr(error.text, "32 bits"));
    layout_destroy(&layout);
    layout = low;

    TEST("multiboot: a real-mode program below 1 MiB");
    set(im, 24, 0x8010, 4);
    set(im, 52 + 8, 0x8000, 4);
    set(im, 52 + 12, 0x8000, 4);
    set(im, 52 + 20, 0x20000, 4);
    CHECK_EQ(try_boot(put_file("mb", im, sizeof(im)), initrd, 1, "a b", &start, &error), 0);
    CHECK_EQ(start.rip, 0x8010);
    CHECK_EQ(guest(0x8000 + 12, 1), 0x5a);
    CHECK_EQ(guest(0x27fff, 1), 0);
    CHECK(start.gpr[RBX] >= 0x28000 && start.gdtr.base >= 0x28000);
    CHECK(guest(guest(start.gpr[RBX] + 24, 4), 4) >= 0x100000);
}

static void test_pvh(void)
{
    u8 im[ELF_SIZE];
    struct cpu_state start;
    struct error error;
    char one[128], two[128];
    snprintf(one, sizeof(one), "%s", put_file("p1", "12345", 5));
    snprintf(two, sizeof(two), "%s", put_file("p2", "abcd", 4));

    TEST("PVH Linux: one initrd out of several");
    make_elf(im, true, 62);
    add_pvh(im);
    CHECK_EQ(try_boot(put_file("pvh", im, sizeof(im)), (const char *const[]){one, two}, 2, "a=b", &start, &error), 0);
    CHECK((start.cr0 & (CR0_PE | CR0_PG)) == CR0_PE && (start.seg[SEG_CS].attr & SEG_DB));
    CHECK_EQ(start.rip, 0x100020);
    u64 info = start.gpr[RBX];
    CHECK_EQ(guest(info, 4), 0x336ec578);
    CHECK_EQ(guest(info + 4, 4), 1);
    CHECK_EQ(guest(info + 12, 4), 1);
    CHECK_EQ(guest(guest(info + 16, 8) + 8, 8), 12);
    CHECK(strcmp(ram_pointer(layout.ram, GPA(guest(info + 24, 8)), 1), "a=b") == 0);
    CHECK_EQ(guest(info + 32, 8), ACPI_RSDP);
    CHECK_EQ(guest(info + 48, 4), layout.e820_count);
    CHECK_EQ(guest(guest(info + 40, 8) + 8, 8), LAYOUT_EBDA);

    TEST("PVH, not Linux: a module each, with its arguments");
    memcpy(im + 804, "other", 6);
    char with[160];
    snprintf(with, sizeof(with), "%s -v", one);
    CHECK_EQ(try_boot(put_file("pvh", im, sizeof(im)), (const char *const[]){with, two}, 2, NULL, &start, &error), 0);
    info = start.gpr[RBX];
    CHECK_EQ(guest(info + 12, 4), 2);
    u64 list = guest(info + 16, 8);
    CHECK(strcmp(ram_pointer(layout.ram, GPA(guest(list + 16, 8)), 1), "-v") == 0);
    CHECK(memcmp(ram_pointer(layout.ram, GPA(guest(list + 32, 8)), 4), "abcd", 4) == 0);
}

static void refused(const char *what, const char *kernel, const char *because)
{
    struct cpu_state start;
    struct error error;
    TEST(what);
    CHECK(try_boot(kernel, NULL, 0, NULL, &start, &error) < 0);
    CHECK(strstr(error.text, because));
    CHECK(!strchr(error.text, '\n'));
    if (!strstr(error.text, because))
        printf("# said: %s\n", error.text);
}

static void test_refusals(void)
{
    u8 im[LINUX_SIZE] = {0};
    refused("no such file", path_of("nothing"), "No such file");
    refused("a directory", dir, "directory");
    refused("an empty file", put_file("f", "", 0), "empty");
    refused("a text file", put_file("f", "hello", 5), "too short");
    refused("zeros", put_file("f", im, sizeof(im)), "not a kernel");
    set(im, 0x1fe, 0xaa55, 2);
    refused("a boot sector", put_file("f", im, 512), "BIOS");
    refused("an image of a disk", put_file("f", im, sizeof(im)), "BIOS");
    memset(im, 0, sizeof(im));
    memcpy(im + 0x28, "_FVH", 4);
    refused("UEFI firmware", put_file("f", im, sizeof(im)), "UEFI");
    u8 *cd = calloc(1, 0x9000);
    memcpy(cd + 0x8001, "CD001", 5);
    refused("an image of a CD", put_file("f", cd, 0x9000), "CD");
    free(cd);
    refused("a device that never ends", "/dev/zero", "device");
    make_linux(im);
    refused("a truncated bzImage", put_file("f", im, 3000), "truncated");
    memset(im, 0, sizeof(im));
    memcpy(im, "MZ", 2);
    memcpy(im + 0x38, "ARM\x64", 4);
    refused("an arm64 Image", put_file("f", im, sizeof(im)), "arm64");
    make_elf(im, true, 183);
    refused("an arm64 ELF file", put_file("f", im, ELF_SIZE), "arm64");
    make_elf(im, true, 62);
    refused("an ELF file with nothing for a boot loader", put_file("f", im, ELF_SIZE), "neither");
    set(im, 512, 0xe85250d6, 4);
    set(im, 516, 0, 4);
    set(im, 520, 16, 4);
    set(im, 524, 0u - 0xe85250d6 - 16, 4);
    refused("a multiboot 2 kernel", put_file("f", im, ELF_SIZE), "multiboot 2");
    refused("a truncated ELF file", put_file("f", im, 600), "truncated");
    refused("an ELF header cut short", put_file("f", im, 30), "truncated");
    refused("xz",
            put_file("f",
                     "\xfd"
                     "7zXZ\0aaa",
                     9),
            "xz");
    refused("no kernel at all", "", "no kernel");
}

/* Every length, and many changed bytes: nothing but a refusal or a start may come of it. */
static void abuse(const char *what, const u8 *good, size_t size, size_t needed)
{
    struct cpu_state start;
    struct error error;
    u8 *bad = malloc(size);
    u64 seed = 1;
    TEST(what);
    for (size_t cut = 0; cut < size; cut += cut < 700 ? 1 : 97)
        CHECK(try_boot(put_file("bad", good, cut), NULL, 0, "x", &start, &error) < 0 || cut >= needed);
    for (int round = 0; round < 3000; round++) {
        memcpy(bad, good, size);
        for (int i = 0; i < 3; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            bad[(seed >> 33) % (size < 900 ? size : 900)] = (u8)(seed >> 25);
        }
        struct boot boot;
        char *path = put_file("bad", bad, size);
        if (boot_open(&boot, &(struct vm_settings){.kernel = path, .append = "x"}, &error))
            continue;
        if (boot_load(&boot, &layout, &start, &error) == 0)
            CHECK((start.gdtr.base == BOOT_GDT || start.gdtr.base > BOOT_MULTIBOOT_INFO));
        boot_close(&boot);
    }
    free(bad);
}

int main(void)
{
    struct error error;
    if (!mkdtemp(dir) || layout_create(&layout, 64 << 20, &error))
        return 1;
    test_linux();
    test_multiboot();
    test_pvh();
    test_refusals();
    u8 im[LINUX_SIZE];
    make_linux(im);
    abuse("damaged bzImages", im, LINUX_SIZE, LINUX_SIZE);
    make_elf(im, true, 62);
    add_pvh(im);
    abuse("damaged PVH images", im, ELF_SIZE, 832);
    make_elf(im, false, 3);
    add_multiboot(im, 3);
    abuse("damaged multiboot images", im, ELF_SIZE, 768);

    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    if (system(command))
        return 1;
    layout_destroy(&layout);
    return TEST_END();
}
