/*
 * bzImages whose kernel is unpacked here: kinds of compression, places, relocations; what is left to the kernel's own
 * code; files that lie; and unpacked kernels that are kept.
 */
#include "machine/boot/kaslr.h"
#include "machine/boot/vmlinux.h"
#include "unit/machine/boot/images.h"

#include <dirent.h>
#include <fcntl.h>
#include <lzma.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

/* The kernel inside: code of two pages at 16 MiB, then variables, of which the last 4 KiB are not in the file. */
#define LINK 0x1000000ull
#define MAP 0xffffffff80000000ull
#define CODE 0x1000ull /* in the file, */
#define CODE_SIZE 0x2000ull
#define DATA (CODE + CODE_SIZE) /* and so on */
#define DATA_SIZE 0x1000ull
#define DATA_AT 0x200000ull /* behind LINK */
#define ELF_ENDS (DATA + DATA_SIZE)
#define ENTRY 0x40ull /* behind LINK */
#define INIT_SIZE 0x400000ull
#define VMLINUX_MAX (ELF_ENDS + 64)
#define IMAGE_MAX (1024 + 2 * VMLINUX_MAX)
/* Places of values that are moved, behind LINK. */
#define MOVES_64 0x100ull
#define MOVES_BACK 0x110ull
#define MOVES_32 (DATA_AT + 0x20)

struct image {
    u8 vmlinux[VMLINUX_MAX], file[IMAGE_MAX];
    size_t unpacked, size; /* of both */
};

static void word(struct image *im, u64 place)
{
    set(im->vmlinux, im->unpacked, place ? MAP + LINK + place : 0, 4);
    im->unpacked += 4;
}

/* `inverse`: with the list of what does not move. */
static void make_vmlinux(struct image *im, bool inverse)
{
    Elf64_Ehdr header = {
        .e_ident = ELFMAG "\2\1",
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_entry = LINK + ENTRY,
        .e_phoff = sizeof(header),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 2,
    };
    Elf64_Phdr segments[2] = {
        {PT_LOAD, PF_R | PF_X, CODE, MAP + LINK, LINK, CODE_SIZE, CODE_SIZE, 0},
        {PT_LOAD, PF_R | PF_W, DATA, MAP + LINK + DATA_AT, LINK + DATA_AT, DATA_SIZE, 2 * DATA_SIZE, 0},
    };
    memset(im->vmlinux, 0, sizeof(im->vmlinux));
    memcpy(im->vmlinux, &header, sizeof(header));
    memcpy(im->vmlinux + sizeof(header), segments, sizeof(segments));
    memset(im->vmlinux + CODE, 0x90, CODE_SIZE);
    memset(im->vmlinux + DATA, 0x5a, DATA_SIZE);
    set(im->vmlinux, CODE + MOVES_64, MAP + LINK + 0x777, 8);
    set(im->vmlinux, CODE + MOVES_BACK, 0x12345678, 4);
    set(im->vmlinux, DATA + (MOVES_32 - DATA_AT), MAP + LINK + 0x888, 4);
    im->unpacked = ELF_ENDS;
    word(im, 0);
    word(im, MOVES_64);
    word(im, 0);
    if (inverse) {
        word(im, MOVES_BACK);
        word(im, 0);
    }
    word(im, MOVES_32);
}

/* -- packing: each returns how many bytes there are in `to` -- */

static size_t pack_gzip(const u8 *from, size_t size, u8 *to)
{
    z_stream z = {.next_in = (u8 *)(uintptr_t)from, .avail_in = (uInt)size, .next_out = to, .avail_out = VMLINUX_MAX};
    CHECK(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out; /* the size is at its end */
}

static size_t with_size(size_t packed, size_t size, u8 *to)
{
    set(to, packed, size, 4);
    return packed + 4;
}

static size_t pack_xz(const u8 *from, size_t size, u8 *to)
{
    size_t at = 0;
    CHECK(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, from, size, to, &at, VMLINUX_MAX) == LZMA_OK);
    return with_size(at, size, to);
}

static size_t pack_lzma(const u8 *from, size_t size, u8 *to)
{
    lzma_stream s = LZMA_STREAM_INIT;
    lzma_options_lzma options;
    CHECK(!lzma_lzma_preset(&options, 0) && lzma_alone_encoder(&s, &options) == LZMA_OK);
    s.next_in = from;
    s.avail_in = size;
    s.next_out = to;
    s.avail_out = VMLINUX_MAX;
    CHECK(lzma_code(&s, LZMA_FINISH) == LZMA_STREAM_END);
    size_t packed = s.total_out;
    lzma_end(&s);
    return with_size(packed, size, to);
}

static size_t pack_zstd(const u8 *from, size_t size, u8 *to)
{
    return with_size(ZSTD_compress(to, VMLINUX_MAX, from, size, 1), size, to);
}

typedef size_t pack(const u8 *from, size_t size, u8 *to);

/* Makes the bzImage. */
static void finish(struct image *im, pack *how)
{
    memset(im->file, 0, sizeof(im->file));
    make_linux(im->file);
    size_t size = how(im->vmlinux, im->unpacked, im->file + 1024);
    set(im->file, HDR_INIT_SIZE, INIT_SIZE, 4);
    set(im->file, HDR_SYSSIZE, (size + 15) / 16, 4);
    set(im->file, HDR_PAYLOAD_OFFSET, 0, 4);
    set(im->file, HDR_PAYLOAD_LENGTH, size, 4);
    im->size = align_up(1024 + size, 16);
}

/* -- starting -- */

struct started {
    int result;
    bool unpacked;
    u64 initrd, initrd_size;
};

static enum unpack_choice choice = UNPACK_ON;

static struct started start(struct bench *b, const char *kernel, const char *append, bool la57)
{
    struct started s = {0};
    struct boot boot;
    struct run_settings settings = {.kernel = kernel, .append = {{append}, 1}, .unpack = choice};
    settings.initrd = (struct setting_list){{path_of(b, "initrd")}, 1};
    error_begin(&b->error, 0);
    b->start = (struct cpu_state){.rflags = FLAG_ONE, .cr0 = CR0_CD | CR0_NW | CR0_ET};
    s.result = boot_open(&boot, &settings, NULL, &b->error);
    if (s.result)
        return s;
    s.result = boot_load(&boot, &b->layout, la57, &b->start, &b->error);
    s.unpacked = boot.unpacked;
    boot_close(&boot);
    s.initrd = guest(b, BOOT_ZERO_PAGE + HDR_RAMDISK_IMAGE, 4);
    s.initrd_size = guest(b, BOOT_ZERO_PAGE + HDR_RAMDISK_SIZE, 4);
    return s;
}

static struct bench *bench_with_initrd(u64 memory)
{
    struct bench *b = bench_create(memory);
    put_file(b, "initrd", "12345", 5);
    return b;
}

static struct started start_image(struct bench *b, const struct image *im, const char *append)
{
    return start(b, put_file(b, "bz", im->file, im->size), append, false);
}

static unsigned flags(struct bench *b)
{
    return (unsigned)guest(b, BOOT_ZERO_PAGE + HDR_LOADFLAGS, 1);
}

/* Returns the physical address to which the guest's page tables lead. */
static u64 walk(struct bench *b, u64 la)
{
    u64 table = b->start.cr3;
    for (unsigned shift = 39; shift >= 21; shift -= 9) {
        u64 entry = guest(b, table + (la >> shift & 511) * 8, 8);
        if (!(entry & 1))
            return 0;
        if (entry & 0x80)
            return (entry & ~0xfffull) + (la & (BIT64(shift) - 1));
        table = entry & ~0xfffull;
    }
    return 0;
}

/* Checks an unpacked kernel; returns where it is, and how far it moved in *moved. */
static u64 check_loaded(struct bench *b, bool inverse, u64 *moved)
{
    u64 at = b->start.rip - ENTRY;
    *moved = guest(b, at + MOVES_64, 8) - (MAP + LINK + 0x777);
    CHECK_EQ(guest(b, at + ENTRY, 1), 0x90);
    CHECK_EQ(guest(b, at + CODE_SIZE - 1, 1), 0x90);
    CHECK_EQ(guest(b, at + MOVES_32, 4), (u32)(MAP + LINK + 0x888 + *moved));
    CHECK_EQ(guest(b, at + MOVES_BACK, 4), (u32)(0x12345678 - (inverse ? *moved : 0)));
    CHECK_EQ(guest(b, at + DATA_AT + DATA_SIZE - 1, 1), 0x5a);
    CHECK_EQ(guest(b, at + DATA_AT + DATA_SIZE, 8), 0);
    CHECK((b->start.cr0 & CR0_PG) && (b->start.efer & EFER_LMA) && (b->start.seg[SEG_CS].attr & SEG_L));
    CHECK_EQ(b->start.gpr[RSI], BOOT_ZERO_PAGE);
    CHECK_EQ(walk(b, at), at);
    CHECK_EQ(walk(b, at + INIT_SIZE - 1), at + INIT_SIZE - 1);
    CHECK_EQ(walk(b, BOOT_ZERO_PAGE), BOOT_ZERO_PAGE);
    return at;
}

static void test_kinds(struct image *im)
{
    static const struct {
        const char *name;
        pack *how;
    } kinds[] = {{"gzip", pack_gzip}, {"xz", pack_xz}, {"lzma", pack_lzma}, {"zstd", pack_zstd}};
    struct bench *b = bench_with_initrd(64 << 20);
    u64 moved;
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        TEST(kinds[i].name);
        make_vmlinux(im, true);
        finish(im, kinds[i].how);
        memset(guest_at(b, LINK, INIT_SIZE), 0xee, INIT_SIZE);
        CHECK(start_image(b, im, "nokaslr").unpacked);
        CHECK_EQ(check_loaded(b, true, &moved), LINK);
        CHECK_EQ(moved, 0);
        CHECK_EQ(flags(b), 1);
    }
    bench_destroy(b);
}

/* In `memory`, with places up to `highest`. */
static void check_random(struct image *im, u64 memory, bool inverse, u64 highest)
{
    struct bench *b = bench_with_initrd(memory);
    u64 most = 0, most_moved = 0, places = 0, last = 0, moved;
    make_vmlinux(im, inverse);
    finish(im, pack_gzip);
    for (int i = 0; i < 200; i++) {
        struct started s = start_image(b, im, "a=nokaslr");
        CHECK(!s.result && s.unpacked);
        CHECK_EQ(flags(b), 3);
        u64 at = check_loaded(b, inverse, &moved);
        CHECK(at >= LINK && !(at & 0x1fffff) && !(moved & 0x1fffff));
        CHECK(moved <= VMLINUX_VIRTUAL_SIZE - LINK - INIT_SIZE);
        CHECK(at + INIT_SIZE <= s.initrd || at >= s.initrd + s.initrd_size);
        CHECK(guest_says(b, s.initrd, "12345"));
        CHECK(at + INIT_SIZE <= b->layout.acpi || at >= LAYOUT_HIGH);
        most = at > most ? at : most;
        most_moved = moved > most_moved ? moved : most_moved;
        places += at != last;
        last = at;
    }
    CHECK(places > 100);
    CHECK(most + INIT_SIZE > highest - highest / 4 && most + INIT_SIZE <= highest);
    CHECK(most_moved > VMLINUX_VIRTUAL_SIZE * 3 / 4);
    bench_destroy(b);
}

static void test_random(struct image *im)
{
    TEST("random places");
    check_random(im, 256 << 20, true, 256 << 20);
    TEST("random places, also above 4 GiB; a kernel whose per-CPU variables move");
    check_random(im, 16ull << 30, false, 17ull << 30);

    TEST("a kernel for which there is one place only, and one that cannot move");
    struct bench *b = bench_with_initrd((20 << 20) + LAYOUT_ACPI_SIZE + PAGE_SIZE);
    u64 moved;
    CHECK(start_image(b, im, "").unpacked);
    CHECK_EQ(check_loaded(b, false, &moved), LINK);
    im->unpacked = ELF_ENDS;
    finish(im, pack_gzip);
    CHECK(start_image(b, im, "").unpacked);
    CHECK_EQ(b->start.rip, LINK + ENTRY);
    CHECK_EQ(flags(b), 1);
    bench_destroy(b);
}

static void check_left(struct bench *b, const char *what, struct started s)
{
    TEST(what);
    CHECK(!s.result && !s.unpacked);
    CHECK_EQ(b->start.rip, LINK + 0x200);
    CHECK_EQ(flags(b), 1);
}

static void test_left(struct image *im)
{
    struct bench *b = bench_with_initrd(64 << 20);
    make_vmlinux(im, true);
    finish(im, pack_xz);
    char *kernel = put_file(b, "bz", im->file, im->size);
    check_left(b, "memory that the command line limits", start(b, kernel, "mem=50M", false));
    check_left(b, "memory that the command line maps", start(b, kernel, "a memmap=1M$20M", false));
    check_left(b, "quotes", start(b, kernel, "a=\"b nokaslrx\"", false));
    set(im->file, HDR_XLOADFLAGS, BIT(0) | BIT(6), 2);
    kernel = put_file(b, "bz", im->file, im->size);
    check_left(b, "5-level paging", start(b, kernel, "", true));
    CHECK(start(b, kernel, "", false).unpacked);

    static const struct {
        const char *what;
        u32 at;
        u64 value, size;
    } headers[] = {
        {"a payload beyond the file", HDR_PAYLOAD_LENGTH, 0x10000000, 4},
        {"a payload beyond all files", HDR_PAYLOAD_OFFSET, 0xffffffff, 4},
        {"no payload", HDR_PAYLOAD_LENGTH, 0, 4},
        {"a payload of nothing but a size", HDR_PAYLOAD_LENGTH, 4, 4},
        {"a payload that is cut", HDR_PAYLOAD_LENGTH, 300, 4},
        {"an old protocol", HDR_VERSION, 0x207, 2},
        {"less memory than the kernel needs", HDR_INIT_SIZE, DATA_AT, 4},
        {"another compression", 1024, 'B', 1},
        {"a damaged check sum", 1024 + 8, 0, 1},
    };
    for (unsigned i = 0; i < ARRAY_LEN(headers); i++) {
        finish(im, pack_xz);
        set(im->file, headers[i].at, headers[i].value, headers[i].size);
        struct started s = start_image(b, im, "");
        if (headers[i].at != HDR_VERSION) { /* 2.07 has another place for all else, too */
            check_left(b, headers[i].what, s);
        } else {
            TEST(headers[i].what);
            CHECK(!s.result && !s.unpacked);
        }
    }
    bench_destroy(b);
}

static void left_vmlinux(struct bench *b, const char *what, struct image *im)
{
    finish(im, pack_gzip);
    check_left(b, what, start_image(b, im, ""));
    make_vmlinux(im, true);
}

static void test_vmlinux(struct image *im)
{
    struct bench *b = bench_with_initrd(64 << 20);
    make_vmlinux(im, true);
    SET_HEADER(im->vmlinux, Elf64, e_entry, LINK + DATA_AT + DATA_SIZE);
    left_vmlinux(b, "an entry without code", im);
    SET_HEADER(im->vmlinux, Elf64, e_machine, EM_AARCH64);
    left_vmlinux(b, "another CPU", im);
    SET_HEADER(im->vmlinux, Elf64, e_shoff, ELF_ENDS - 10);
    SET_HEADER(im->vmlinux, Elf64, e_shnum, 0xffff);
    left_vmlinux(b, "sections beyond the file", im);
    SET_SEGMENT(im->vmlinux, Elf64, p_filesz, CODE_SIZE + 1);
    left_vmlinux(b, "a segment that is larger in the file", im);
    SET_SEGMENT(im->vmlinux, Elf64, p_memsz, INIT_SIZE + 1);
    left_vmlinux(b, "a segment beyond the kernel's memory", im);
    SET_SEGMENT(im->vmlinux, Elf64, p_paddr, LINK - 1);
    left_vmlinux(b, "a segment before it", im);
    SET_SEGMENT(im->vmlinux, Elf64, p_offset, (u64)-CODE_SIZE);
    left_vmlinux(b, "a segment beyond the file", im);
    word(im, INIT_SIZE - 3);
    left_vmlinux(b, "a relocation beyond the kernel", im);
    word(im, (u64)-1);
    left_vmlinux(b, "a relocation before it", im);
    word(im, 0);
    left_vmlinux(b, "a list too many", im);
    im->unpacked -= 1;
    left_vmlinux(b, "relocations that are cut", im);
    im->unpacked = ELF_ENDS;
    word(im, MOVES_32);
    left_vmlinux(b, "relocations without a beginning", im);
    bench_destroy(b);
}

/* Nothing but a start, of either kind, may come of it. */
static void test_abuse(struct image *im)
{
    static pack *const how[] = {pack_gzip, pack_xz, pack_lzma, pack_zstd};
    struct bench *b = bench_with_initrd(64 << 20);
    u64 seed = 1;
    TEST("damaged kernels and damaged payloads");
    for (int round = 0; round < 2000; round++) {
        bool inside = round % 4 > 0;
        make_vmlinux(im, round & 1);
        if (!inside)
            finish(im, how[round / 4 % ARRAY_LEN(how)]);
        for (int i = 0; i < 2; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            size_t header = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr), lists = im->unpacked - ELF_ENDS;
            size_t at = (seed >> 33) % (inside ? header + lists : im->size - 1024);
            if (inside)
                im->vmlinux[at < header ? at : ELF_ENDS + at - header] = (u8)(seed >> 25);
            else
                im->file[1024 + at] = (u8)(seed >> 25);
        }
        if (inside)
            finish(im, pack_gzip);
        struct started s = start_image(b, im, round & 2 ? "nokaslr" : "");
        CHECK(!s.result);
        CHECK(s.unpacked || b->start.rip == LINK + 0x200);
        CHECK(b->start.rip >= LINK && b->start.rip < b->layout.acpi);
        CHECK(guest_says(b, s.initrd, "12345"));
    }
    bench_destroy(b);
}

/* -- what is kept -- */

#define OLD 1000000 /* seconds since 1970 */

/* Returns how many kernels there are, and in `path` the name of the one that was used last. */
static unsigned kept(struct bench *b, char path[400])
{
    unsigned count = 0;
    time_t newest = 0;
    char folder[100], each[400];
    snprintf(folder, sizeof(folder), "%s/cache/nestbox/kernels", b->dir);
    DIR *list = opendir(folder);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        struct stat st;
        snprintf(each, sizeof(each), "%s/%s", folder, entry->d_name);
        if (*entry->d_name == '.' || stat(each, &st))
            continue;
        count++;
        if (st.st_mtime >= newest)
            strcpy(path, each);
        newest = st.st_mtime > newest ? st.st_mtime : newest;
    }
    if (list)
        closedir(list);
    return count;
}

static void make_old(const char *path)
{
    struct timespec old[2] = {{.tv_sec = OLD}, {.tv_sec = OLD}};
    CHECK(!utimensat(AT_FDCWD, path, old, 0));
}

static bool is_old(const char *path)
{
    struct stat st;
    return !stat(path, &st) && st.st_mtime == OLD;
}

/* A start that takes the kept kernel makes its time new, and keeps the file; otherwise there is another one. */
static bool takes_kept(struct bench *b, const struct image *im, const char *path)
{
    struct stat before, after;
    u64 moved;
    make_old(path);
    CHECK(!stat(path, &before));
    CHECK(start_image(b, im, "").unpacked);
    check_loaded(b, true, &moved);
    CHECK(!stat(path, &after));
    CHECK(!is_old(path));
    return before.st_ino == after.st_ino;
}

static void damage(const char *path, off_t at)
{
    u8 byte = 0;
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 0x10;
    CHECK(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

static void test_kept(struct image *im)
{
    struct bench *b = bench_with_initrd(64 << 20);
    struct stat st;
    char path[400] = "", folder[100], first[400];
    make_vmlinux(im, true);
    finish(im, pack_gzip);
    setenv("XDG_CACHE_HOME", path_of(b, "cache"), 1);
    choice = UNPACK_KEEP;

    TEST("what is unpacked fast is not kept, nor what is damaged");
    CHECK(start_image(b, im, "").unpacked);
    CHECK_EQ(kept(b, path), 0);
    finish(im, pack_xz);
    im->file[1024 + 100] ^= 1;
    CHECK(!start_image(b, im, "").unpacked);
    CHECK_EQ(kept(b, path), 0);

    TEST("a kernel is kept, for nobody else, and used");
    finish(im, pack_xz);
    CHECK(start_image(b, im, "").unpacked);
    CHECK_EQ(kept(b, path), 1);
    CHECK(!stat(path, &st) && (st.st_mode & 0777) == 0600);
    CHECK(takes_kept(b, im, path));
    CHECK_EQ(kept(b, path), 1);

    TEST("damaged files, and those that others can write to, are replaced");
    u64 packed = guest(b, BOOT_ZERO_PAGE + HDR_PAYLOAD_LENGTH, 4);
    damage(path, 100); /* another kernel */
    CHECK(!takes_kept(b, im, path));
    CHECK(takes_kept(b, im, path));
    damage(path, (off_t)packed + 100);
    CHECK(!takes_kept(b, im, path));
    CHECK(!truncate(path, st.st_size - 1));
    CHECK(!takes_kept(b, im, path));
    CHECK(!truncate(path, 0));
    CHECK(!takes_kept(b, im, path));
    CHECK(!chmod(path, 0620));
    CHECK(!takes_kept(b, im, path));
    CHECK(takes_kept(b, im, path));
    CHECK_EQ(kept(b, path), 1);

    TEST("the one that was used least recently goes");
    strcpy(first, path);
    for (unsigned i = 1; i < 8; i++) {
        im->vmlinux[CODE + 0x800] = (u8)i;
        finish(im, pack_lzma);
        CHECK(start_image(b, im, "").unpacked);
        CHECK_EQ(kept(b, path), i + 1);
    }
    make_old(first);
    im->vmlinux[CODE + 0x800] = 100;
    finish(im, pack_xz);
    CHECK(start_image(b, im, "").unpacked);
    CHECK_EQ(kept(b, path), 8);
    CHECK(stat(first, &st) < 0);

    TEST("without a folder, or with one that others can write to, nothing is kept");
    snprintf(folder, sizeof(folder), "%s/cache/nestbox/kernels", b->dir);
    CHECK(!chmod(folder, 0777));
    im->vmlinux[CODE + 0x800] = 101;
    finish(im, pack_xz);
    CHECK(start_image(b, im, "").unpacked);
    CHECK_EQ(kept(b, path), 8);
    setenv("XDG_CACHE_HOME", "not/absolute", 1);
    setenv("HOME", path_of(b, "nowhere"), 1);
    CHECK(start_image(b, im, "").unpacked);
    unsetenv("HOME");
    CHECK(start_image(b, im, "").unpacked);
    choice = UNPACK_ON;
    bench_destroy(b);
}

int main(void)
{
    struct image *im = calloc(1, sizeof(*im));
    test_kinds(im);
    test_random(im);
    test_left(im);
    test_vmlinux(im);
    test_abuse(im);
    test_kept(im);
    free(im);
    return TEST_END();
}
