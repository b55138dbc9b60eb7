/*
 * Suggestions for mistyped words.
 */
#include "base/spelling.h"

#include "unit/test.h"

#include <string.h>

static const char *word(const void *opaque, unsigned index)
{
    const char *const *words = opaque;
    return words[index];
}

static const char *closest(const char *mistyped)
{
    static const char *const words[] = {"kernel", "memory", "off", "cpus", NULL};
    const char *found = spelling_closest(mistyped, word, words);
    return found ? found : "";
}

int main(void)
{
    TEST("a letter more, less, another, two swapped");
    CHECK(strcmp(closest("kernell"), "kernel") == 0);
    CHECK(strcmp(closest("kernl"), "kernel") == 0);
    CHECK(strcmp(closest("kermel"), "kernel") == 0);
    CHECK(strcmp(closest("memroy"), "memory") == 0);
    CHECK(strcmp(closest("cpu"), "cpus") == 0);

    TEST("abbreviations of three letters or more");
    CHECK(strcmp(closest("mem"), "memory") == 0);
    CHECK(strcmp(closest("me"), "") == 0);

    TEST("in another case");
    CHECK(strcmp(closest("Memroy"), "memory") == 0);
    CHECK(strcmp(closest("OFF"), "off") == 0);

    TEST("nothing is close");
    CHECK(strcmp(closest("x"), "") == 0);
    CHECK(strcmp(closest("serial"), "") == 0);
    CHECK(strcmp(closest(""), "") == 0);
    CHECK(strcmp(closest("a-word-that-is-longer-than-any-that-is-compared"), "") == 0);
    return TEST_END();
}
