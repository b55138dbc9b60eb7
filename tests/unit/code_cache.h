/*
 * The VM of guest_memory.h with a code cache: translates blocks and runs them. 4-level paging; guest code is written at
 * CODE, which maps the frames from CODE_GPA on, and ends with HLT.
 */
#ifndef TESTS_UNIT_CODE_CACHE_H
#define TESTS_UNIT_CODE_CACHE_H

#include "cpu/core/stats.h"
#include "cpu/core/vectors.h"
#include "cpu/jit/enter.h"
#include "cpu/jit/translate.h"
#include "unit/guest_memory.h"
#include "unit/test.h"

#define CODE 0x7f0000400000ull
#define CODE_GPA 0x8000ull
#define DATA 0x7f0000500000ull
#define DATA_GPA 0x20000ull
#define FRAMES 4 /* pages that are mapped at CODE, and as many at DATA */

#define HLT 0xf4

#define CODE_SIZE (1ull << 20)
#define DATA_SIZE (CACHE_BLOCKS * sizeof(struct block) + CACHE_LINKS * sizeof(struct exit_link) + (4ull << 20))

static struct cache *cache;

/* A new VM with its pages mapped, 64-bit mode, CPL 0. */
static inline void code_create(void)
{
    static u8 *code, *data;
    if (!code) {
        guest_create(VENDOR_INTEL);
        cache = vm.cache;
        code = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        data = mmap(NULL, DATA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (code == MAP_FAILED || data == MAP_FAILED)
            abort();
        exec_init(v, pages(exec_size()));
    }
    memset(cache, 0, sizeof *cache);
    cache_init(cache, code, CODE_SIZE, data, DATA_SIZE);
    exec_misses_forget(v);
    memset(ram, 0, RAM_SIZE);
    memset(vm.ram->slot[0].page, 0, sizeof(u32) * (RAM_SIZE >> PAGE_SHIFT));
    memset(v->stat, 0, sizeof v->stat);
    memset(v->gpr, 0, sizeof v->gpr);
    guest_paging(PAGING_4);
    for (unsigned i = 0; i < FRAMES; i++) {
        map(CODE + i * PAGE_SIZE, (CODE_GPA + i * PAGE_SIZE) | P | W | U);
        map(DATA + i * PAGE_SIZE, (DATA_GPA + i * PAGE_SIZE) | P | W | U);
    }
    for (unsigned s = SEG_ES; s <= SEG_GS; s++)
        v->seg[s] = (struct segment){.limit = ~0u, .attr = SEG_P | SEG_S | SEG_G | SEG_DB | 3, .sel = 16};
    v->seg[SEG_CS] = (struct segment){.limit = ~0u, .attr = SEG_P | SEG_S | SEG_G | SEG_L | 0xb, .sel = 8};
    v->activity = ACTIVITY_ACTIVE;
    v->exit = CPU_EXIT_NONE;
    v->request = 0;
    v->code_changed = false;
    mmu_flush_all(v);
    mmu_flush_jumps(v);
    mode_update(v);
}

/* Puts guest code at an offset from CODE as a loader does: translations do not learn of it. */
static inline void put_code(u32 offset, const u8 *bytes, size_t n)
{
    memcpy(ram + CODE_GPA + offset, bytes, n);
}
#define PUT(offset, ...) put_code(offset, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

/* Returns the block at an offset from CODE, in the current mode with `more` added, or NULL if there can be none. */
static inline struct block *block_in(u32 offset, u32 more)
{
    enum outcome out;
    struct block *b = block_find(v, CODE + offset, v->mode | more, &out);
    return out == CPU_OK ? b : NULL;
}

static inline struct block *block(u32 offset)
{
    return block_in(offset, 0);
}

/* Runs from an offset until HLT, after which the next run may begin. Returns false if something else ended the run. */
static inline bool run(u32 offset)
{
    v->rip = CODE + offset;
    for (unsigned turns = 0; turns < 100 && v->exit == CPU_EXIT_NONE && v->activity == ACTIVITY_ACTIVE; turns++)
        execute(v);
    bool halted = v->exit == CPU_EXIT_NONE && v->activity == ACTIVITY_HLT;
    v->activity = ACTIVITY_ACTIVE;
    return halted;
}

#endif
