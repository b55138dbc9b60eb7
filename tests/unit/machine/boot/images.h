/*
 * For the tests of the kernel loaders: small images of each kind, made here, and a PC's memory that they are loaded to.
 */
#ifndef TESTS_UNIT_MACHINE_BOOT_IMAGES_H
#define TESTS_UNIT_MACHINE_BOOT_IMAGES_H

#include "machine/boot/boot.h"
#include "machine/boot/bzimage.h"
#include "unit/test.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -- a place for files, and memory -- */

struct bench {
    char dir[32], path[8][128];
    unsigned paths;
    struct layout layout;
    struct cpu_state start;
    struct error error;
};

static inline struct bench *bench_create(u64 memory)
{
    struct bench *b = aligned_alloc(64, align_up(sizeof(*b), 64)); /* vector state is in it */
    if (!b)
        abort();
    *b = (struct bench){.dir = "/tmp/nestbox-boot-XXXXXX"};
    if (!mkdtemp(b->dir) || layout_create(&b->layout, memory, false, &b->error))
        abort();
    return b;
}

static inline void bench_destroy(struct bench *b)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", b->dir);
    CHECK_EQ(system(command), 0);
    layout_destroy(&b->layout);
    free(b);
}

/* The result is valid until eight more paths were asked for. */
static inline char *path_of(struct bench *b, const char *name)
{
    char *p = b->path[b->paths++ % ARRAY_LEN(b->path)];
    char *end = stpcpy(p, b->dir);
    snprintf(end, sizeof(b->path[0]) - sizeof(b->dir), "/%s", name);
    return p;
}

static inline char *put_file(struct bench *b, const char *name, const void *data, size_t size)
{
    char *path = path_of(b, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size)
        abort();
    fclose(f);
    return path;
}

/* Opens and loads a kernel; at most two modules, which may be NULL. The outcome is in b->start or b->error. */
static inline int try_boot(struct bench *b, const char *kernel, const char *first, const char *second,
                           const char *append)
{
    struct boot boot;
    struct run_settings settings = {.kernel = kernel, .unpack = UNPACK_ON, .append = {{append}, !!append}};
    const char *const given[] = {first, second};
    for (u32 i = 0; i < ARRAY_LEN(given) && given[i]; i++)
        settings.initrd.item[settings.initrd.count++] = given[i];
    error_begin(&b->error, 0);
    int e = boot_open(&boot, &settings, NULL, &b->error);
    if (e)
        return e;
    b->start = (struct cpu_state){.rflags = FLAG_ONE, .cr0 = CR0_CD | CR0_NW | CR0_ET};
    e = boot_load(&boot, &b->layout, false, &b->start, &b->error);
    boot_close(&boot);
    return e;
}

static inline void *guest_at(struct bench *b, u64 gpa, u64 size)
{
    return ram_pointer(b->layout.ram, GPA(gpa), size);
}

static inline u64 guest(struct bench *b, u64 gpa, unsigned size)
{
    u64 value = 0;
    void *p = guest_at(b, gpa, size);
    if (p)
        memcpy(&value, p, size);
    return value;
}

static inline bool guest_says(struct bench *b, u64 gpa, const char *text)
{
    void *p = guest_at(b, gpa, strlen(text) + 1);
    return p && strcmp(p, text) == 0;
}

static inline bool is_protected32(const struct cpu_state *s)
{
    return (s->cr0 & (CR0_PE | CR0_PG)) == CR0_PE && s->seg[SEG_CS].attr & SEG_DB;
}

/* -- images -- */

static inline void set(u8 *image, size_t at, u64 value, size_t size)
{
    memcpy(image + at, &value, size);
}

/* A bzImage with one setup sector and 4 KiB of kernel. */
#define LINUX_SIZE (1024 + 4096)
static inline void make_linux(u8 *im)
{
    memset(im, 0, LINUX_SIZE);
    set(im, HDR_SETUP_SECTS, 1, 1);
    set(im, HDR_SYSSIZE, 4096 / 16, 4);
    set(im, HDR_BOOT_FLAG, BOOT_FLAG, 2);
    set(im, HDR_JUMP, 0x66, 1);
    memcpy(im + HDR_MAGIC, "HdrS", 4);
    set(im, HDR_VERSION, 0x20f, 2);
    set(im, HDR_LOADFLAGS, 1, 1);
    set(im, HDR_CODE32_START, 0x100000, 4);
    set(im, HDR_INITRD_ADDR_MAX, 0x7fffffff, 4);
    set(im, HDR_KERNEL_ALIGNMENT, 0x200000, 4);
    set(im, HDR_RELOCATABLE, 1, 1);
    set(im, HDR_XLOADFLAGS, 3, 2);
    set(im, HDR_CMDLINE_SIZE, 2047, 4);
    set(im, HDR_PREF_ADDRESS, 0x1000000, 8);
    set(im, HDR_INIT_SIZE, 0x100000, 4);
    memset(im + 1024, 0xc3, 4096);
}

/* An ELF file with one segment of 256 bytes at 1 MiB, which takes 8 KiB there, and a segment of notes. */
#define ELF_SIZE 1024
#define ELF_CODE 512  /* where the bytes of the first segment are, */
#define ELF_NOTES 768 /* and those of the second, 64 of them */
#define ELF_LOADED 0x100000
#define ELF_ENTRY (ELF_LOADED + 0x10)
#define ELF_END (ELF_LOADED + 0x2000)

static inline void make_elf64(u8 *im, u16 machine)
{
    const u64 base = 0xffffffff80000000;
    Elf64_Ehdr header = {
        .e_ident = ELFMAG "\2\1",
        .e_type = ET_EXEC,
        .e_machine = machine,
        .e_entry = base + 0x10,
        .e_phoff = sizeof(header),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 2,
    };
    Elf64_Phdr segments[2] = {
        {PT_LOAD, 0, ELF_CODE, base, ELF_LOADED, 256, 0x2000, 0},
        {PT_NOTE, 0, ELF_NOTES, base, ELF_LOADED, 64, 64, 0},
    };
    memset(im, 0, ELF_SIZE);
    memcpy(im, &header, sizeof(header));
    memcpy(im + sizeof(header), segments, sizeof(segments));
    memset(im + ELF_CODE, 0x5a, 256);
}

static inline void make_elf32(u8 *im)
{
    Elf32_Ehdr header = {
        .e_ident = ELFMAG "\1\1",
        .e_type = ET_EXEC,
        .e_machine = EM_386,
        .e_entry = ELF_ENTRY,
        .e_phoff = sizeof(header),
        .e_phentsize = sizeof(Elf32_Phdr),
        .e_phnum = 2,
    };
    Elf32_Phdr segments[2] = {
        {PT_LOAD, ELF_CODE, ELF_LOADED, ELF_LOADED, 256, 0x2000, 0, 0},
        {PT_NOTE, ELF_NOTES, ELF_LOADED, ELF_LOADED, 64, 64, 0, 0},
    };
    memset(im, 0, ELF_SIZE);
    memcpy(im, &header, sizeof(header));
    memcpy(im + sizeof(header), segments, sizeof(segments));
    memset(im + ELF_CODE, 0x5a, 256);
}

/* Changes a member of the header or of the first segment. */
#define SET_HEADER(im, type, member, value)                                                                            \
    set(im, offsetof(type##_Ehdr, member), value, sizeof(((type##_Ehdr *)0)->member))
#define SET_SEGMENT(im, type, member, value)                                                                           \
    set(im, sizeof(type##_Ehdr) + offsetof(type##_Phdr, member), value, sizeof(((type##_Phdr *)0)->member))

/* Puts a multiboot header at the beginning of the code. */
#define MULTIBOOT_MAGIC 0x1badb002u
#define MULTIBOOT_PAGE_ALIGN BIT(0)
#define MULTIBOOT_MEMORY_INFO BIT(1)
#define MULTIBOOT_USUAL (MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY_INFO)
static inline void add_multiboot(u8 *im, u32 flags)
{
    set(im, ELF_CODE, MULTIBOOT_MAGIC, 4);
    set(im, ELF_CODE + 4, flags, 4);
    set(im, ELF_CODE + 8, 0u - MULTIBOOT_MAGIC - flags, 4);
}

/* Fills in the notes: the entry of PVH, and the name of the system. */
#define PVH_ENTRY (ELF_LOADED + 0x20)
#define PVH_SYSTEM (ELF_NOTES + 36) /* its name, six bytes */
#define PVH_NOTES_END (ELF_NOTES + 64)
static inline void add_pvh(u8 *im)
{
    const struct {
        Elf32_Nhdr entry;
        char entry_owner[4];
        u32 address;
        Elf32_Nhdr system;
        char system_owner[4], name[6];
    } notes = {{4, 4, 18}, "Xen", PVH_ENTRY, {4, 6, 6}, "Xen", "linux"};
    memcpy(im + ELF_NOTES, &notes, sizeof(notes));
}

/* Every length, and many changed bytes: nothing but a refusal or a start may come of it. A file of less than `needed`
 * bytes must be refused. */
static inline void abuse(const u8 *good, size_t size, size_t needed)
{
    struct bench *b = bench_create(64 << 20);
    u8 *bad = malloc(size);
    u64 seed = 1;
    for (size_t cut = 0; cut < size; cut += cut < 700 ? 1 : 97)
        CHECK(try_boot(b, put_file(b, "bad", good, cut), NULL, NULL, "x") < 0 || cut >= needed);
    for (int round = 0; round < 3000; round++) {
        memcpy(bad, good, size);
        for (int i = 0; i < 3; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            bad[(seed >> 33) % (size < 900 ? size : 900)] = (u8)(seed >> 25);
        }
        if (try_boot(b, put_file(b, "bad", bad, size), NULL, NULL, "x") == 0)
            CHECK(b->start.gdtr.base == BOOT_GDT || b->start.gdtr.base > BOOT_MULTIBOOT_INFO);
    }
    free(bad);
    bench_destroy(b);
}

#endif
