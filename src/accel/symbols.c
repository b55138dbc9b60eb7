/*
 * Symbols of code, sorted by address. The file is read once, before the VM starts; nothing is changed after that, so
 * that all threads may look.
 */
#include "accel/symbols.h"

#include "x86/msr.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (4ull << 30)
/* No function is longer: an address further behind the last symbol is in none. */
#define FUNCTION_MAX (1u << 20)
/* Linux moves itself by a multiple of 2 MiB, by less than 1 GiB; in a copy of /proc/kallsyms it has moved already. */
#define SLIDE_UNIT (2ull << 20)
#define SLIDE_MAX (1ull << 30)

struct symbol {
    u64 address;
    const char *name; /* in `text` */
};

struct symbols {
    char *text; /* the file */
    size_t size;
    struct symbol *row;
    size_t count, room;
};

static int add(struct symbols *s, u64 address, const char *name)
{
    if (s->count == s->room) {
        size_t room = s->room ? s->room * 2 : 4096;
        struct symbol *row = reallocarray(s->row, room, sizeof(*row));
        if (!row)
            return -ENOMEM;
        s->row = row;
        s->room = room;
    }
    s->row[s->count++] = (struct symbol){address, name};
    return 0;
}

static int read_file(struct symbols *s, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int e = fstat(fd, &st) < 0 ? -errno : !S_ISREG(st.st_mode) || (u64)st.st_size > FILE_MAX ? -EINVAL : 0;
    s->text = e ? NULL : malloc((size_t)st.st_size + 1);
    if (!e && !s->text)
        e = -ENOMEM;
    while (!e && s->size < (size_t)st.st_size) {
        ssize_t n = read(fd, s->text + s->size, (size_t)st.st_size - s->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            e = n < 0 ? -errno : 0;
            break;
        }
        s->size += (size_t)n;
    }
    close(fd);
    if (!e)
        s->text[s->size] = 0;
    return e;
}

/* Lines of System.map or /proc/kallsyms: "ffffffff81000000 T _text". */
static int parse_map(struct symbols *s)
{
    char *next;
    for (char *line = s->text; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        char *end;
        u64 address = strtoull(line, &end, 16);
        if (end == line || end[0] != ' ' || !end[1] || end[2] != ' ' || !end[3])
            return -EINVAL;
        if (strchr("tTwW", end[1]) && add(s, address, end + 3))
            return -ENOMEM;
    }
    return 0;
}

/* `count` things of `size` bytes at an offset of the file, or NULL. */
static const void *within(const struct symbols *s, u64 offset, u64 count, u64 size)
{
    if (offset > s->size || count > (s->size - offset) / size)
        return NULL;
    return s->text + offset;
}

/* ELF files of 32 bits have the same parts as those of 64, with narrower fields. */
static bool section_at(const struct symbols *s, bool wide, u64 table, u64 index, Elf64_Shdr *out)
{
    const size_t size = wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
    const char *row = within(s, table, index + 1, size);
    Elf32_Shdr narrow;
    if (!row)
        return false;
    row += index * size;
    if (wide) {
        memcpy(out, row, size);
        return true;
    }
    memcpy(&narrow, row, size);
    *out = (Elf64_Shdr){
        .sh_type = narrow.sh_type, .sh_offset = narrow.sh_offset, .sh_size = narrow.sh_size, .sh_link = narrow.sh_link};
    return true;
}

static Elf64_Sym symbol_at(const char *table, bool wide, u64 index)
{
    Elf64_Sym sym;
    Elf32_Sym narrow;
    if (wide) {
        memcpy(&sym, table + index * sizeof(sym), sizeof(sym));
        return sym;
    }
    memcpy(&narrow, table + index * sizeof(narrow), sizeof(narrow));
    return (Elf64_Sym){
        .st_name = narrow.st_name, .st_info = narrow.st_info, .st_shndx = narrow.st_shndx, .st_value = narrow.st_value};
}

static int parse_table(struct symbols *s, bool wide, const Elf64_Shdr *table, const Elf64_Shdr *strings)
{
    const size_t size = wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
    u64 count = table->sh_size / size;
    const char *row = within(s, table->sh_offset, count, size);
    const char *names = within(s, strings->sh_offset, strings->sh_size, 1);
    if (!row || !names || !strings->sh_size || names[strings->sh_size - 1])
        return -EINVAL;
    for (u64 i = 0; i < count; i++) {
        Elf64_Sym sym = symbol_at(row, wide, i);
        unsigned type = ELF64_ST_TYPE(sym.st_info);
        if (sym.st_shndx == SHN_UNDEF || sym.st_shndx == SHN_ABS || (type != STT_FUNC && type != STT_NOTYPE) ||
            sym.st_name >= strings->sh_size || !names[sym.st_name])
            continue;
        if (add(s, sym.st_value, names + sym.st_name))
            return -ENOMEM;
    }
    return 0;
}

static int parse_elf(struct symbols *s)
{
    Elf64_Ehdr h;
    Elf32_Ehdr narrow;
    if (s->size < sizeof(h))
        return -EINVAL;
    memcpy(&h, s->text, sizeof(h));
    memcpy(&narrow, s->text, sizeof(narrow));
    bool wide = h.e_ident[EI_CLASS] == ELFCLASS64;
    u64 sections = wide ? h.e_shoff : narrow.e_shoff;
    unsigned count = wide ? h.e_shnum : narrow.e_shnum;
    for (unsigned i = 0; i < count; i++) {
        Elf64_Shdr table, strings;
        if (!section_at(s, wide, sections, i, &table))
            return -EINVAL;
        if (table.sh_type != SHT_SYMTAB)
            continue;
        if (table.sh_link >= count || !section_at(s, wide, sections, table.sh_link, &strings))
            return -EINVAL;
        return parse_table(s, wide, &table, &strings);
    }
    return 0;
}

static int by_address(const void *a, const void *b)
{
    const struct symbol *x = a, *y = b;
    return x->address < y->address ? -1 : x->address > y->address;
}

int symbols_load(const char *path, struct symbols **out, struct error *error)
{
    struct symbols *s = calloc(1, sizeof(*s));
    if (!s)
        return error_memory(error);
    int e = read_file(s, path);
    if (!e && s->size >= SELFMAG && !memcmp(s->text, ELFMAG, SELFMAG))
        e = parse_elf(s);
    else if (!e)
        e = parse_map(s);
    if (!e && !s->count)
        e = -ENOENT;
    if (e) {
        symbols_free(s);
        if (e != -EINVAL && e != -ENOENT)
            return error_set(error, e, SETTING("symbols") " %s: %s", path, strerror(-e));
        if (e == -ENOENT && access(path, F_OK))
            return error_set(error, e, SETTING("symbols") " %s: %s", path, strerror(ENOENT));
        error_set(error, -EINVAL, SETTING("symbols") " %s: has no symbols of code that can be read", path);
        return error_hint(error, "name a System.map, a copy of /proc/kallsyms, or an ELF file with symbols");
    }
    qsort(s->row, s->count, sizeof(*s->row), by_address);
    *out = s;
    return 0;
}

void symbols_free(struct symbols *s)
{
    if (!s)
        return;
    free(s->row);
    free(s->text);
    free(s);
}

static const struct symbol *find_name(const struct symbols *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (!strcmp(s->row[i].name, name))
            return &s->row[i];
    return NULL;
}

static u64 msr(const struct cpu_state *state, u32 index)
{
    for (u32 i = 0; i < state->msrs; i++)
        if (state->msr[i].index == index)
            return state->msr[i].value;
    return 0;
}

/* True: *slide is how far the kernel moved. SYSENTER's MSR is the better one: KVM leaves L2's in LSTAR for a while. */
bool symbols_slide(const struct symbols *s, const struct cpu_state *state, u64 *slide)
{
    static const struct {
        const char *name;
        u32 msr;
    } entries[] = {{"entry_SYSENTER_compat", MSR_SYSENTER_EIP}, {"entry_SYSCALL_64", MSR_LSTAR}};
    *slide = 0;
    bool linux_kernel = false;
    for (unsigned i = 0; i < ARRAY_LEN(entries); i++) {
        const struct symbol *entry = find_name(s, entries[i].name);
        u64 value = msr(state, entries[i].msr);
        linux_kernel |= entry != NULL;
        if (!entry || !value)
            continue;
        *slide = value - entry->address;
        if (*slide % SLIDE_UNIT == 0 && *slide + SLIDE_MAX < 2 * SLIDE_MAX)
            return true;
    }
    *slide = 0;
    return !linux_kernel;
}

void symbols_at(const struct symbols *s, u64 slide, bool sure, u64 rip, char text[SYMBOL_MAX])
{
    u64 address = rip - slide;
    size_t low = 0, high = s->count;
    text[0] = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->row[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low && address - s->row[low - 1].address < FUNCTION_MAX)
        snprintf(text, SYMBOL_MAX, "%.100s+%#llx%s", s->row[low - 1].name,
                 (unsigned long long)(address - s->row[low - 1].address), sure ? "" : " (if the kernel did not move)");
}

void symbols_name(const struct symbols *s, const struct cpu_state *state, u64 rip, char text[SYMBOL_MAX])
{
    u64 slide;
    bool sure = symbols_slide(s, state, &slide);
    symbols_at(s, slide, sure, rip, text);
}
