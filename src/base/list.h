/*
 * Lists whose links lie in the things that they join. A link that is in no list points to itself.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/types.h"

/* may_alias: without it gcc 12 keeps the first link of a list in a register over a loop that changes the list by links
 * within the things (tests/unit/vswitch/queue_test.c fails with -O2 then). */
struct link {
    struct link *before, *after;
} __attribute__((may_alias));

/* Makes an empty list, or a link that is in none. */
static inline void list_init(struct link *l)
{
    l->before = l->after = l;
}

static inline bool list_empty(const struct link *list)
{
    return list->after == list;
}

/* Puts a link that is in no list at the end of one. */
static inline void list_add(struct link *list, struct link *l)
{
    l->before = list->before;
    l->after = list;
    list->before->after = l;
    list->before = l;
}

/* Takes a link out of the list that it is in, if it is in one. */
static inline void list_remove(struct link *l)
{
    l->before->after = l->after;
    l->after->before = l->before;
    list_init(l);
}

/* Takes the first link out of a list and returns it, or NULL. */
static inline struct link *list_pop(struct link *list)
{
    struct link *l = list->after;
    if (l == list)
        return NULL;
    list_remove(l);
    return l;
}

/* Moves all of a list to the end of another one. */
static inline void list_move(struct link *from, struct link *to)
{
    if (list_empty(from))
        return;
    from->after->before = to->before;
    to->before->after = from->after;
    from->before->after = to;
    to->before = from->before;
    list_init(from);
}

#endif
