/*
 * Memory: the heap of values marks what is reached and frees the rest; a list of values that are reached but not yet
 * looked into takes the place of recursion, so nesting may be of any depth.
 */
#include "shell/heap.h"

#include "shell/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_LIMIT (8u << 20)
#define ARENA_BLOCK 16384u

void *memory_get(size_t size)
{
    return memset(memory_resize(NULL, size), 0, size);
}

void *memory_resize(void *at, size_t size)
{
    void *memory = realloc(at, size ? size : 1);
    if (!memory) {
        static const char text[] = "nestbox: out of memory\n";
        if (write(STDERR_FILENO, text, sizeof(text) - 1)) {
        }
        _exit(4);
    }
    return memory;
}

char *memory_copy(const char *text, size_t length)
{
    char *copy = memory_resize(NULL, length + 1);
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

struct arena_block {
    struct arena_block *next;
    size_t used, room;
    max_align_t data[];
};

void *arena_get(struct arena *arena, size_t size)
{
    struct arena_block *b = arena->blocks;
    size = align_up(size, sizeof(max_align_t));
    if (!b || b->room - b->used < size) {
        size_t room = size > ARENA_BLOCK ? size : ARENA_BLOCK;
        b = memory_resize(NULL, sizeof(*b) + room);
        *b = (struct arena_block){.next = arena->blocks, .room = room};
        arena->blocks = b;
    }
    void *at = (char *)b->data + b->used;
    b->used += size;
    return memset(at, 0, size);
}

char *arena_copy(struct arena *arena, const char *text, size_t length)
{
    char *copy = arena_get(arena, length + 1);
    memcpy(copy, text, length);
    return copy;
}

void arena_free(struct arena *arena)
{
    for (struct arena_block *b = arena->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    arena->blocks = NULL;
}

bool heap_full(const struct heap *heap)
{
    return heap->bytes > (heap->limit ? heap->limit : FIRST_LIMIT);
}

void heap_reach(struct heap *heap, struct value *value)
{
    if (!value || value->marked)
        return;
    value->marked = true;
    value->grey = heap->grey;
    heap->grey = value;
}

static void look_into(struct heap *heap, const struct value *value)
{
    if (value->kind == VALUE_ARRAY)
        for (size_t i = 0; i < value->array.count; i++)
            heap_reach(heap, value->array.item[i]);
    if (value->kind == VALUE_OBJECT)
        for (size_t i = 0; i < value->object.count; i++)
            heap_reach(heap, value->object.property[i].value);
}

void heap_collect_begin(struct heap *heap)
{
    heap->grey = NULL;
    for (struct value *v = heap->all; v; v = v->next)
        v->marked = false;
}

void heap_collect_end(struct heap *heap)
{
    while (heap->grey) {
        struct value *v = heap->grey;
        heap->grey = v->grey;
        look_into(heap, v);
    }
    struct value **link = &heap->all, *v;
    heap->bytes = 0;
    while ((v = *link)) {
        if (v->marked) {
            heap->bytes += value_size(v);
            link = &v->next;
        } else {
            *link = v->next;
            value_free(v);
        }
    }
    heap->limit = heap->bytes * 2 > FIRST_LIMIT ? heap->bytes * 2 : FIRST_LIMIT;
}

void heap_free(struct heap *heap)
{
    heap_collect_begin(heap);
    heap_collect_end(heap);
}
