/*
 * This is all of the unit test framework. A test program has one main() with CHECK() lines between TEST("name") and the
 * next TEST() or TEST_END(). Each test prints `ok name` or `not ok name`; a failed CHECK prints where it failed. main()
 * ends with `return TEST_END();`, which prints the counts and is 1 if anything failed.
 */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <stdio.h>

static const char *test_name;
static unsigned test_bad, test_passed, test_failed;

static inline void test_close(void)
{
    if (!test_name)
        return;
    printf("%s %s\n", test_bad ? "not ok" : "ok", test_name);
    *(test_bad ? &test_failed : &test_passed) += 1;
    test_name = NULL;
    test_bad = 0;
}

static inline void test_open(const char *name)
{
    test_close();
    test_name = name;
}

static inline int test_end(void)
{
    test_close();
    printf("%u passed, %u failed\n", test_passed, test_failed);
    return test_failed != 0;
}

#define TEST(name) test_open(name)
#define CHECK(expr)                                                                                                    \
    do {                                                                                                               \
        if (!(expr)) {                                                                                                 \
            test_bad++;                                                                                                \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #expr);                                                        \
        }                                                                                                              \
    } while (0)
/* Two integers; both are shown when they differ. */
#define CHECK_EQ(a, b)                                                                                                 \
    do {                                                                                                               \
        unsigned long long check_a = (unsigned long long)(a), check_b = (unsigned long long)(b);                       \
        if (check_a != check_b) {                                                                                      \
            test_bad++;                                                                                                \
            printf("# %s:%d: %s is 0x%llx, not %s = 0x%llx\n", __FILE__, __LINE__, #a, check_a, #b, check_b);          \
        }                                                                                                              \
    } while (0)
#define TEST_END() test_end()

#endif
