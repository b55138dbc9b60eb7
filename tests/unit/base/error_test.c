/*
 * Errors: what is kept, what is cut, and how a face writes the names of settings.
 */
#include "base/error.h"

#include "unit/test.h"

#include <string.h>

static bool reads(const struct error *e, const char *mark, const char *want)
{
    char line[640];
    error_format(e, mark, line, sizeof(line));
    if (strcmp(line, want) != 0)
        printf("# '%s' is not '%s'\n", line, want);
    return strcmp(line, want) == 0;
}

static void test_set(void)
{
    struct error e;
    TEST("code, text and hint");
    CHECK_EQ(error_set(&e, -12, "no room for %u MiB", 7), -12);
    CHECK_EQ(e.code, -12);
    CHECK(reads(&e, "--", "no room for 7 MiB"));
    CHECK_EQ(error_hint(&e, "give less"), -12);
    CHECK(reads(&e, "--", "no room for 7 MiB; give less"));

    TEST("a new error has no hint of the one before");
    error_set(&e, -5, "broken");
    CHECK(reads(&e, "--", "broken"));
}

static void test_settings(void)
{
    struct error e;
    TEST("the face names the settings");
    error_set(&e, -22, SETTING("%s") ": '%s' is no size", "memory", "lots");
    error_hint(&e, "give a number with " SETTING("memory") " or " SETTING("cpus"));
    CHECK(reads(&e, "--", "--memory: 'lots' is no size; give a number with --memory or --cpus"));
    CHECK(reads(&e, "", "memory: 'lots' is no size; give a number with memory or cpus"));
}

static void test_limits(void)
{
    struct error e;
    char big[1000], line[8];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    TEST("what is too long is cut");
    error_set(&e, -1, "%s", big);
    error_hint(&e, big);
    CHECK_EQ(strlen(e.text), sizeof(e.text) - 1);
    CHECK_EQ(strlen(e.hint), sizeof(e.hint) - 1);
    error_set(&e, -1, "a" SETTING("b") "cdefgh");
    error_format(&e, "--", line, sizeof(line));
    CHECK(strcmp(line, "a--bcde") == 0);

    TEST("text in pieces, without the C library");
    CHECK_EQ(error_begin(&e, -22), -22);
    error_append(&e, "CPU '", SIZE_MAX);
    error_append(&e, "max,+avx", 3);
    error_append(&e, "'", SIZE_MAX);
    CHECK(reads(&e, "--", "CPU 'max'"));
    error_append(&e, big, SIZE_MAX);
    CHECK_EQ(strlen(e.text), sizeof(e.text) - 1);
}

static bool plain(const char *text, const char *want)
{
    char got[64];
    error_plain(text, got, sizeof(got));
    return strcmp(got, want) == 0;
}

int main(void)
{
    TEST("control characters become plain");
    CHECK(plain("abc \xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa6", "abc \xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa6"));
    CHECK(plain("\x1b[31m\x7f\n", "\\x1b[31m\\x7f\\x0a"));
    CHECK(plain("\x9b"
                "1m \xc2\x9b \xc2\xa0",
                "\\x9b"
                "1m \\xc2\\x9b \xc2\xa0"));
    CHECK(plain("\xe2\x1b", "\xe2\\x1b")); /* cut short */
    CHECK(plain("\xc3", "\xc3"));
    test_set();
    test_settings();
    test_limits();
    return TEST_END();
}
