/*
 * Lists whose links lie in the things.
 */
#include "base/list.h"

#include "unit/test.h"

struct thing {
    u32 number;
    struct link link;
};

/* The numbers of a list, as digits. */
static u32 digits(const struct link *list)
{
    u32 n = 0;
    for (const struct link *l = list->after; l != list; l = l->after)
        n = n * 10 + container_of(l, struct thing, link)->number;
    return n;
}

int main(void)
{
    struct link list, other;
    struct thing thing[4];
    list_init(&list);
    list_init(&other);
    for (u32 i = 0; i < 4; i++) {
        thing[i].number = i + 1;
        list_init(&thing[i].link);
    }

    TEST("things stand in the order in which they came, and may leave from anywhere");
    CHECK(list_empty(&list) && !list_pop(&list));
    for (u32 i = 0; i < 4; i++)
        list_add(&list, &thing[i].link);
    CHECK_EQ(digits(&list), 1234);
    list_remove(&thing[1].link);
    list_remove(&thing[1].link);
    CHECK_EQ(digits(&list), 134);
    CHECK(list_empty(&thing[1].link));
    CHECK(list_pop(&list) == &thing[0].link && digits(&list) == 34);

    TEST("a list moves to the end of another one");
    list_add(&other, &thing[0].link);
    list_move(&list, &other);
    CHECK(list_empty(&list) && digits(&other) == 134);
    list_move(&list, &other);
    CHECK_EQ(digits(&other), 134);
    list_move(&other, &list);
    CHECK(list_empty(&other) && digits(&list) == 134);

    TEST("what moves to the end within a loop is met again");
    thing[0].number = 0;
    for (u32 i = 0; i < 7; i++) {
        struct thing *t = container_of(list.after, struct thing, link);
        t->number = (t->number + 3) % 10;
        list_remove(&t->link);
        list_add(&list, &t->link);
    }
    CHECK_EQ(digits(&list), 909);

    return TEST_END();
}
