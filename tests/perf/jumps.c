/*
 * What a conditional jump costs the host that it has forgotten (docs/engine.md, "What is fine falls through"): runs of
 * so many pieces of straight code, each with one way to go on where all is well. `make build/jumps && build/jumps`
 * prints cycles of the TSC per piece, the least of twelve runs.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

enum { PIECES_MIN = 1000, PIECES_MAX = 256000, PIECE_ROOM = 80, RUNS = 12, WORK = 8 };

#define LARGE_PAGE (2u << 20)

static const struct way {
    const char *name;
    uint8_t size, code[20];
} way[] = {
    {"no jump", 12, {0xb9, 0, 0, 0, 0, 0x0f, 0x1f, 0x44, 0, 0, 0x66, 0x90}},
    {"JRCXZ taken", 12, {0xb9, 0, 0, 0, 0, 0xe3, 5, 0xe9, 0, 0, 0, 0}},
    {"JRCXZ not taken", 12, {0xb9, 1, 0, 0, 0, 0xe3, 5, 0x0f, 0x1f, 0x44, 0, 0}},
    {"PEXT, SHRX, JRCXZ",
     18,
     {0xb9, 0, 0, 0, 0, 0xc4, 0xe2, 0xf2, 0xf5, 0xc9, 0xc4, 0xe2, 0x73, 0xf7, 0x0c, 0x24, 0xe3, 0}},
    {"LOOP not taken", 12, {0xb9, 1, 0, 0, 0, 0xe2, 5, 0x0f, 0x1f, 0x44, 0, 0}},
    {"JMP", 12, {0xb9, 0, 0, 0, 0, 0xeb, 5, 0xe9, 0, 0, 0, 0}},
};

static uint64_t run(const uint8_t *code)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < RUNS; i++) {
        uint64_t begin = __rdtsc();
        __asm__ volatile("call *%0" : : "r"(code) : "rax", "rcx", "cc", "memory");
        uint64_t took = __rdtsc() - begin;
        least = took < least ? took : least;
    }
    return least;
}

int main(void)
{
    static const uint8_t lea[] = {0x48, 0x8d, 0x40, 0x01}; /* lea rax, [rax + 1] */
    size_t size = (size_t)PIECES_MAX * PIECE_ROOM + LARGE_PAGE;
    uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    uint8_t *code = memory + (-(uintptr_t)memory & (LARGE_PAGE - 1));
    madvise(code, (size_t)PIECES_MAX * PIECE_ROOM, MADV_HUGEPAGE);
    for (int pieces = PIECES_MIN; pieces <= PIECES_MAX; pieces *= 4) {
        for (size_t w = 0; w < sizeof way / sizeof *way; w++) {
            uint8_t *p = code;
            for (int i = 0; i < pieces; i++) {
                for (int k = 0; k < WORK; k++, p += sizeof lea)
                    memcpy(p, lea, sizeof lea);
                memcpy(p, way[w].code, way[w].size);
                p += way[w].size;
            }
            *p = 0xc3;
            printf("%-20s %7d pieces %6.1f\n", way[w].name, pieces, (double)run(code) / pieces);
        }
    }
    return 0;
}
