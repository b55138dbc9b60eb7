/*
 * Names of translated code for `perf`: one line per piece of the code cache, "ADDRESS SIZE NAME", in hexadecimal. A
 * name is the level, whether it is the kernel or user code, and the function or the address: "L1 kernel
 * schedule+0x36". Behind it stands "hot" for blocks made for speed, and "rest" for the part of a block that is
 * seldom run.
 *
 * The file is written when the VM ends, so it costs nothing before. After a flush of the cache other code lies at the
 * same addresses: the file has what was made since the last one, and a line of its own counts the flushes.
 *
 * Rejected: a jitdump (`perf inject --jit`), which knows times and so survives flushes: it becomes one ELF file per
 * block, and there are a hundred thousand and more.
 */
#include "accel/perf_map.h"

#include "accel/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct names {
    const struct symbols *symbols;
    u64 slide;
    bool sure;
};

/* How far L1's kernel moved, by the MSRs of a vCPU that is not in L2, if there is one. */
static void find_slide(struct vm *vm, struct names *n)
{
    struct cpu_state *s = calloc(1, sizeof(*s));
    for (u32 i = 0; s && i < cpu_count(vm); i++) {
        cpu_state_get(cpu_at(vm, i), s, STATE_MSRS | STATE_NESTED);
        if (i && s->nested.guest)
            continue;
        n->sure = symbols_slide(n->symbols, s, &n->slide);
        if (n->sure && !s->nested.guest)
            break;
    }
    free(s);
}

static void write_piece(FILE *to, const struct names *n, const struct cpu_code *c)
{
    char symbol[SYMBOL_MAX] = "";
    fprintf(to, "%llx %llx ", (unsigned long long)c->host, (unsigned long long)c->size);
    if (c->kind == CPU_CODE_SHARED) {
        fputs("shared checks and jumps\n", to);
        return;
    }
    if (n->symbols && !c->guest && !c->user)
        symbols_at(n->symbols, n->slide, n->sure, c->la, symbol);
    if (!*symbol)
        snprintf(symbol, sizeof(symbol), "%#llx", (unsigned long long)c->la);
    fprintf(to, "L%d %s %s%s%s\n", c->guest ? 2 : 1, c->user ? "user" : "kernel", symbol, c->hot ? " hot" : "",
            c->kind == CPU_CODE_REST ? " rest" : "");
}

int perf_map_write(struct vm *vm, const struct symbols *symbols, bool append, struct error *error)
{
    struct names names = {.symbols = symbols};
    struct cpu_cache_use use;
    struct cpu_code piece;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    /* Anybody may have put something there: what is not ours is not followed. */
    if (!append && unlink(path) < 0 && errno != ENOENT)
        return error_set(error, -errno, "%s: %s", path, strerror(errno));
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (append ? O_APPEND : O_EXCL), 0644);
    FILE *to = fd < 0 ? NULL : fdopen(fd, append ? "a" : "w");
    if (!to) {
        int e = errno;
        if (fd >= 0)
            close(fd);
        return error_set(error, -e, "%s: %s", path, strerror(e));
    }
    if (symbols)
        find_slide(vm, &names);
    cpu_cache_use(vm, &use);
    fprintf(to, "0 1 (translations were thrown away %llu times before these)\n", (unsigned long long)use.flushes);
    for (u32 i = 0; cpu_code(vm, i, &piece); i++)
        if (piece.size)
            write_piece(to, &names, &piece);
    errno = 0;
    bool lost = ferror(to);
    if (fclose(to) || lost)
        return error_set(error, errno ? -errno : -EIO, "%s: %s", path, strerror(errno ? errno : EIO));
    return 0;
}
