/*
 * What the translator makes of guest code, as text: code_cache.h with host_text.h. Translates a block at CODE and shows
 * the host code of each of its instructions.
 */
#ifndef TESTS_UNIT_TRANSLATED_H
#define TESTS_UNIT_TRANSLATED_H

#include "unit/code_cache.h"
#include "unit/host_text.h"

static struct host_text translated_text;

/* Translates the block at CODE, in the mode of code_create without some MODE_* bits and with others. */
static inline struct block *translated_in(u32 without, u32 with)
{
    enum outcome out;
    struct block *b = block_find(v, CODE, (v->mode & ~without) | with, &out);
    host_cache = cache;
    CHECK(b);
    return b;
}

/* The hot code of the i-th instruction. What the next one must do first, such as storing what it cannot keep, belongs
 * to it. */
static inline const struct host_text *hot(unsigned i)
{
    const struct tr *t = v->exec->tr;
    host_text(&translated_text, t->at[i].host, i + 1 < t->at_count ? t->at[i + 1].host : t->b->hot_end, t->b);
    return &translated_text;
}

/* The same behind the TLB check: what the instruction does once rcx has the difference of its page. */
static inline const struct host_text *behind_check(unsigned i)
{
    const struct host_text *t = hot(i);
    const u8 *from = t->at[0], *end = t->at[t->n];
    for (unsigned k = 0; k < t->n; k++)
        if (!strncmp(t->line[k], "call check_", 11) || !strncmp(t->line[k], "mov rcx, gs:radd", 16) ||
            !strncmp(t->line[k], "mov rcx, gs:wadd", 16))
            from = t->at[k + 1];
    host_text(&translated_text, from, end, v->exec->tr->b);
    return &translated_text;
}

static inline const struct host_text *cold(void)
{
    const struct block *b = v->exec->tr->b;
    host_text(&translated_text, b->cold, b->cold_end, b);
    return &translated_text;
}

/* Everything usable: what code_create leaves to the VM's kernel. */
#define UNITS (MODE_X87 | MODE_SSE | MODE_AVX | MODE_AVX512)

#define TRANSLATE_IN(without, with, ...) (code_create(), PUT(0, __VA_ARGS__, HLT), translated_in(without, with))
#define TRANSLATE(...) TRANSLATE_IN(0, UNITS, __VA_ARGS__)
/* The text of a block's only instruction, whole or behind its check. */
#define HOT(...) (TRANSLATE(__VA_ARGS__), hot(0))
#define BODY(...) (TRANSLATE(__VA_ARGS__), behind_check(0))
/* The same of an instruction that is a loop, with a jump behind it: its check is not a shared one. */
#define BACK(...) 0xeb, (u8)(-2 - (int)sizeof((const u8[]){__VA_ARGS__}))
#define LOOP(...) (TRANSLATE(__VA_ARGS__, BACK(__VA_ARGS__)), hot(0))
/* In flat 16-bit and 32-bit code with 32-bit stacks. */
#define HOT16(...) (TRANSLATE_IN(MODE_SIZE_MASK, MODE_16 | MODE_FLAT | MODE_SS32 | UNITS, __VA_ARGS__), hot(0))
#define HOT32(...) (TRANSLATE_IN(MODE_SIZE_MASK, MODE_32 | MODE_FLAT | MODE_SS32 | UNITS, __VA_ARGS__), hot(0))
#define BODY32(...) (HOT32(__VA_ARGS__), behind_check(0))

#endif
