/*
 * What is no kernel, or one for another machine, is refused with the reason. The parts of the command line.
 */
#include "unit/machine/boot/images.h"

static void refused(struct bench *b, const char *what, const char *kernel, const char *because)
{
    TEST(what);
    CHECK(try_boot(b, kernel, NULL, NULL, NULL) < 0);
    CHECK(strstr(b->error.text, because));
    CHECK(!strchr(b->error.text, '\n'));
    if (!strstr(b->error.text, because))
        printf("# said: %s\n", b->error.text);
}

static void refused_file(struct bench *b, const char *what, const void *data, size_t size, const char *because)
{
    refused(b, what, put_file(b, "f", data, size), because);
}

/* Files that begin with zeros but for a mark. */
static void refused_mark(struct bench *b, const char *what, size_t at, const char *mark, size_t length, size_t size,
                         const char *because)
{
    u8 *file = calloc(1, size);
    memcpy(file + at, mark, length);
    refused_file(b, what, file, size, because);
    free(file);
}

static void test_files(struct bench *b)
{
    refused(b, "no kernel at all", "", "no kernel");
    refused(b, "no such file", path_of(b, "nothing"), "No such file");
    refused(b, "a directory", b->dir, "directory");
    refused(b, "a device that never ends", "/dev/zero", "device");
    refused_file(b, "an empty file", "", 0, "empty");
    refused_file(b, "a text file", "hello", 5, "too short");
}

static void test_kinds(struct bench *b)
{
    refused_mark(b, "zeros", 0, "", 0, LINUX_SIZE, "not a kernel");
    refused_mark(b, "a boot sector", HDR_BOOT_FLAG, "\x55\xaa", 2, 512, "BIOS");
    refused_mark(b, "an image of a disk", HDR_BOOT_FLAG, "\x55\xaa", 2, LINUX_SIZE, "BIOS");
    refused_mark(b, "UEFI firmware", 0x28, "_FVH", 4, LINUX_SIZE, "UEFI");
    refused_mark(b, "an image of a CD", 0x8001, "CD001", 5, 0x9000, "CD");
    refused_mark(b, "an arm64 Image", 0x38, "ARM\x64", 4, LINUX_SIZE, "arm64");
    refused_mark(b, "xz", 0, "\3757zXZ\0aaa", 9, 9, "xz");
    u8 im[LINUX_SIZE];
    make_linux(im);
    refused_file(b, "a truncated bzImage", im, 3000, "truncated");
}

static void test_elf(struct bench *b)
{
    static const u32 magic2 = 0xe85250d6, length = 16;
    u8 im[ELF_SIZE];
    make_elf64(im, EM_AARCH64);
    refused_file(b, "an arm64 ELF file", im, sizeof(im), "arm64");
    make_elf64(im, EM_X86_64);
    refused_file(b, "an ELF file with nothing for a boot loader", im, sizeof(im), "neither");
    refused_file(b, "a truncated ELF file", im, 600, "truncated");
    refused_file(b, "an ELF header cut short", im, 30, "truncated");
    set(im, ELF_CODE, magic2, 4);
    set(im, ELF_CODE + 4, 0, 4);
    set(im, ELF_CODE + 8, length, 4);
    set(im, ELF_CODE + 12, 0u - magic2 - length, 4);
    refused_file(b, "a multiboot 2 kernel", im, sizeof(im), "multiboot 2");
}

static void test_append(struct bench *b)
{
    static const struct {
        struct setting_list append;
        const char *line;
    } cases[] = {
        {{{NULL}, 0}, ""},
        {{{"quiet"}, 1}, "quiet"},
        {{{"console=ttyS0 quiet", "nokaslr", "a=b"}, 3}, "console=ttyS0 quiet nokaslr a=b"},
        {{{"", "a", "", "b"}, 4}, "a b"},
    };
    u8 im[LINUX_SIZE];
    make_linux(im);
    char *kernel = put_file(b, "bz", im, sizeof(im));
    TEST("parts of the command line are joined by spaces");
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct run_settings settings = {.kernel = kernel, .append = cases[i].append};
        struct boot boot;
        CHECK_EQ(boot_open(&boot, &settings, NULL, &b->error), 0);
        CHECK(strcmp(boot.append, cases[i].line) == 0);
        boot_close(&boot);
    }
}

int main(void)
{
    struct bench *b = bench_create(64 << 20);
    test_files(b);
    test_kinds(b);
    test_elf(b);
    test_append(b);
    bench_destroy(b);
    return TEST_END();
}
