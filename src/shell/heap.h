/*
 * The memory of the shell. Values are in one heap, which frees those that nobody reaches between heap_collect_begin()
 * and its end; that happens between statements only (eval.c), so functions in between hold values without any ceremony.
 * Trees of parsed text are in arenas, which are released whole.
 *
 * Memory that the host does not give ends the process with a message: a shell has nothing to keep, and each operation
 * on disk is safe against the end of its process.
 */
#ifndef SHELL_HEAP_H
#define SHELL_HEAP_H

#include "base/types.h"

struct value;

/* As malloc() (zeroed) and realloc(), but never NULL. free() releases it. */
void *memory_get(size_t size);
void *memory_resize(void *at, size_t size);
char *memory_copy(const char *text, size_t length);

struct arena {
    struct arena_block *blocks;
};
/* Zeroed. */
void *arena_get(struct arena *arena, size_t size);
/* A copy that ends with a zero. */
char *arena_copy(struct arena *arena, const char *text, size_t length);
void arena_free(struct arena *arena);

struct heap {
    struct value *all;  /* linked by value.next */
    struct value *grey; /* reached, but not yet what they hold */
    size_t bytes, limit;
};

/* Is it time to collect? */
bool heap_full(const struct heap *heap);
/* Between the two, all values that are needed are reached: heap_reach(). */
void heap_collect_begin(struct heap *heap);
void heap_collect_end(struct heap *heap);
/* `value` may be NULL. */
void heap_reach(struct heap *heap, struct value *value);
void heap_free(struct heap *heap);

#endif
