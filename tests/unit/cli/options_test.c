/*
 * Option parsing, sizes, suggestions, and the console's escape keys.
 */
#include "cli/options.h"

#include "unit/test.h"
#include "vmproc/escape.h"

#include <string.h>

struct values {
    const char *text;
    struct option_list list;
    u64 number, size, time;
    int choice;
    bool flag, help;
};

static const char *const colours[] = {"red", "green", NULL};
static const struct option options[] = {
    {"text", OPTION_STRING, offsetof(struct values, text), "STR", ""},
    {"list", OPTION_LIST, offsetof(struct values, list), "FILE", ""},
    {"number", OPTION_NUMBER, offsetof(struct values, number), "N", "", .min = 1, .max = 10},
    {"size", OPTION_SIZE, offsetof(struct values, size), "SIZE", "", .min = 1 << 20, .max = 1ull << 40},
    {"time", OPTION_SECONDS, offsetof(struct values, time), "S", "", .min = 1, .max = 1000000},
    {"choice", OPTION_CHOICE, offsetof(struct values, choice), "C", "", .choices = colours},
    {"flag", OPTION_FLAG, offsetof(struct values, flag), NULL, ""},
    {"help", OPTION_HELP, offsetof(struct values, help), NULL, ""},
    {0},
};

static struct values v;
static struct error error;
static char said_line[640];

static int parse(const char *const *args)
{
    int n = 0;
    while (args[n])
        n++;
    memset(&v, 0, sizeof(v));
    said_line[0] = 0;
    int e = options_parse(options, n, (char **)(uintptr_t)args, &v, &error);
    if (e)
        error_format(&error, "--", said_line, sizeof(said_line));
    return e;
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static bool said(const char *text)
{
    return strstr(said_line, text) && !strchr(said_line, '\n');
}

static void test_values(void)
{
    TEST("values by = and by the next argument");
    CHECK_EQ(PARSE("--text", "a", "--number=7", "--flag", "--list", "x", "--list=y z"), 0);
    CHECK(strcmp(v.text, "a") == 0);
    CHECK_EQ(v.number, 7);
    CHECK(v.flag);
    CHECK_EQ(v.list.count, 2);
    CHECK(strcmp(v.list.item[1], "y z") == 0);
    CHECK_EQ(PARSE("--text="), 0);
    CHECK(strcmp(v.text, "") == 0);
    CHECK_EQ(PARSE("--text", "--number"), 0);
    CHECK(strcmp(v.text, "--number") == 0);

    TEST("help stops the parser");
    CHECK_EQ(PARSE("--help", "--nonsense"), 0);
    CHECK(v.help);
    CHECK_EQ(PARSE("-h"), 0);
    CHECK(v.help);
}

static void test_errors(void)
{
    TEST("unknown options, with a suggestion where one is close");
    CHECK(PARSE("--nmuber", "1") < 0 && said("did you mean '--number'"));
    CHECK(PARSE("--zzzzzz") < 0 && said("unknown option") && !said("mean"));
    CHECK(PARSE("--") < 0);
    CHECK(PARSE("word") < 0 && said("unexpected argument"));
    CHECK(PARSE("-x") < 0 && said("unexpected argument"));

    TEST("missing and superfluous values");
    CHECK(PARSE("--number") < 0 && said("needs a value"));
    CHECK(PARSE("--flag=1") < 0 && said("takes no value"));

    TEST("numbers out of range or malformed");
    CHECK(PARSE("--number", "0") < 0 && said("from 1 to 10"));
    CHECK(PARSE("--number", "11") < 0);
    CHECK(PARSE("--number", "1x") < 0);
    CHECK(PARSE("--number", "") < 0);
    CHECK(PARSE("--number", "-1") < 0);
    CHECK(PARSE("--number", "99999999999999999999999") < 0);

    TEST("choices");
    CHECK_EQ(PARSE("--choice", "green"), 0);
    CHECK_EQ(v.choice, 1);
    CHECK(PARSE("--choice", "gren") < 0 && said("did you mean 'green'"));

    TEST("too many of one option");
    const char *many[2 * OPTION_LIST_MAX + 4] = {NULL};
    for (int i = 0; i < 2 * OPTION_LIST_MAX + 2; i += 2) {
        many[i] = "--list";
        many[i + 1] = "x";
    }
    CHECK(parse(many) < 0 && said("more than"));
}

static void test_sizes(void)
{
    u64 n;
    TEST("sizes");
    CHECK(options_size("1G", &n) && n == 1ull << 30);
    CHECK(options_size("512", &n) && n == 512ull << 20);
    CHECK(options_size("64k", &n) && n == 64ull << 10);
    CHECK(options_size("2GiB", &n) && n == 2ull << 30);
    CHECK(options_size("3MB", &n) && n == 3ull << 20);
    CHECK(options_size("1T", &n) && n == 1ull << 40);
    CHECK(!options_size("", &n));
    CHECK(!options_size("G", &n));
    CHECK(!options_size("1X", &n));
    CHECK(!options_size("1GG", &n));
    CHECK(!options_size("-1G", &n));
    CHECK(!options_size("18446744073709551615T", &n));
    CHECK(PARSE("--size", "2T") < 0 && said("from 1M to 1T"));

    TEST("seconds");
    CHECK(options_seconds("2", &n) && n == 2000);
    CHECK(options_seconds("0.25", &n) && n == 250);
    CHECK(options_seconds("1.23456", &n) && n == 1234);
    CHECK(!options_seconds(".5", &n));
    CHECK(!options_seconds("1s", &n));
    CHECK(PARSE("--time", "0") < 0 && said("seconds from 0.001 to "));
}

static void test_escape(void)
{
    struct escape e = {false};
    TEST("escape keys");
    CHECK_EQ(escape_feed(&e, 'x'), ESCAPE_PASS);
    CHECK_EQ(escape_feed(&e, 1), ESCAPE_NONE);
    CHECK_EQ(escape_feed(&e, 'x'), ESCAPE_QUIT);
    CHECK_EQ(escape_feed(&e, 1), ESCAPE_NONE);
    CHECK_EQ(escape_feed(&e, 'h'), ESCAPE_HELP);
    CHECK_EQ(escape_feed(&e, 1), ESCAPE_NONE);
    CHECK_EQ(escape_feed(&e, 1), ESCAPE_PASS);
    CHECK_EQ(escape_feed(&e, 'x'), ESCAPE_PASS);
    CHECK_EQ(escape_feed(&e, 1), ESCAPE_NONE);
    CHECK_EQ(escape_feed(&e, 'z'), ESCAPE_NONE);
    CHECK_EQ(escape_feed(&e, 3), ESCAPE_PASS);
}

int main(void)
{
    test_values();
    test_errors();
    test_sizes();
    test_escape();
    return TEST_END();
}
