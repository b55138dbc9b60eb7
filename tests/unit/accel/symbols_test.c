/*
 * Symbols: System.map, ELF files, kernels that moved themselves, and files that are neither.
 */
#include "accel/symbols.h"

#include "unit/test.h"
#include "x86/msr.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/nestbox-symbols-XXXXXX";
static struct cpu_state state;
static struct error error;
static char text[SYMBOL_MAX];

static struct symbols *load(const void *bytes, size_t size)
{
    struct symbols *s = NULL;
    FILE *f = fopen(path, "w");
    if (!f || fwrite(bytes, 1, size, f) != size || fclose(f))
        abort();
    return symbols_load(path, &s, &error) ? NULL : s;
}

static bool names(const struct symbols *s, u64 rip, const char *want)
{
    symbols_name(s, &state, rip, text);
    if (!strcmp(text, want))
        return true;
    printf("# %s\n", text);
    return false;
}

static void test_map(void)
{
    static const char map[] = "0000000000000000 A fixed_percpu_data\n"
                              "ffffffff81000000 T _text\n"
                              "ffffffff81000040 t middle\n"
                              "ffffffff81a00000 T entry_SYSCALL_64\n"
                              "ffffffff81a01000 T entry_SYSENTER_compat\n"
                              "ffffffff82000000 D data\n";
    struct symbols *s = load(map, sizeof(map) - 1);
    TEST("System.map");
    CHECK(s);
    if (!s)
        return;
    CHECK(names(s, 0xffffffff8100003f, "_text+0x3f (if the kernel did not move)"));
    CHECK(names(s, 0xffffffff80ffffff, ""));
    CHECK(names(s, 0xffffffff82000000, ""));
    CHECK(names(s, 0x1000, ""));

    TEST("a kernel that moved itself");
    state.msr[0] = (struct cpu_msr){MSR_LSTAR, 0xffffffff9fe00000};
    state.msrs = 1;
    CHECK(names(s, 0xffffffff9f400041, "middle+0x1"));
    state.msr[1] = (struct cpu_msr){MSR_SYSENTER_EIP, 0xffffffff81a01000};
    state.msrs = 2;
    CHECK(names(s, 0xffffffff81000041, "middle+0x1"));
    state.msr[0].value = 0x401000;
    state.msrs = 1;
    CHECK(names(s, 0xffffffff81000041, "middle+0x1 (if the kernel did not move)"));
    symbols_free(s);
}

static struct {
    Elf64_Ehdr head;
    Elf64_Shdr section[3];
    Elf64_Sym symbol[3];
    char names[16];
} image;

static void test_elf(void)
{
    memcpy(image.head.e_ident, ELFMAG, SELFMAG);
    image.head.e_ident[EI_CLASS] = ELFCLASS64;
    image.head.e_shoff = (size_t)((char *)image.section - (char *)&image);
    image.head.e_shentsize = sizeof(Elf64_Shdr);
    image.head.e_shnum = 3;
    image.section[1] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
                                    .sh_link = 2,
                                    .sh_offset = (size_t)((char *)image.symbol - (char *)&image),
                                    .sh_size = sizeof(image.symbol)};
    image.section[2] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
                                    .sh_offset = (size_t)((char *)image.names - (char *)&image),
                                    .sh_size = sizeof(image.names)};
    image.symbol[1] = (Elf64_Sym){1, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, 1, 0x200000, 0};
    image.symbol[2] = (Elf64_Sym){7, ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), 0, 1, 0x200010, 0};
    memcpy(image.names + 1, "start\0data", 11);
    struct symbols *s = load(&image, sizeof(image));
    TEST("ELF");
    CHECK(s);
    if (s)
        CHECK(names(s, 0x200012, "start+0x12"));
    symbols_free(s);

    TEST("ELF files that are cut off or lie");
    CHECK(!load(&image, 40) && error.code == -EINVAL);
    CHECK(!load(&image, sizeof(image) - 1));
    image.section[1].sh_link = 3;
    CHECK(!load(&image, sizeof(image)));
    image.section[1].sh_link = 2;
    image.section[1].sh_offset = ~0ull - 7;
    CHECK(!load(&image, sizeof(image)));
    image.section[1].sh_type = SHT_PROGBITS;
    CHECK(!load(&image, sizeof(image)));
}

static void test_others(void)
{
    struct symbols *s;
    TEST("what is no list of symbols");
    CHECK(!load("", 0) && strstr(error.text, "no symbols of code"));
    CHECK(!load("#!/bin/sh\n", 10) && *error.hint);
    CHECK(!load("ffffffffffffffff B The real System.map is elsewhere\n", 52));
    CHECK(symbols_load("/tmp", &s, &error) == -EINVAL);
    CHECK(symbols_load("/nonexistent/file", &s, &error) && strstr(error.text, "No such file"));
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    test_map();
    test_elf();
    test_others();
    unlink(path);
    return TEST_END();
}
