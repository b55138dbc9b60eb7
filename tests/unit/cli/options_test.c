/*
 * The command line against a table: how values are given, help, and complaints about options.
 */
#include "cli/options.h"

#include "unit/test.h"

#include <errno.h>
#include <string.h>

struct values {
    const char *text;
    struct setting_list list;
    u32 number;
    bool flag;
};

static const struct setting table[] = {
    {"text", SETTING_TEXT, offsetof(struct values, text), "STR", ""},
    {"list", SETTING_LIST, offsetof(struct values, list), "FILE", ""},
    {"number", SETTING_NUMBER, offsetof(struct values, number), "N", "", .min = 1, .max = 10},
    {"flag", SETTING_FLAG, offsetof(struct values, flag), NULL, ""},
    {0},
};

static struct values v;
static char said_line[640];

static int parse(const char *const *args)
{
    struct error error;
    int n = 0;
    while (args[n])
        n++;
    memset(&v, 0, sizeof(v));
    said_line[0] = 0;
    int e = options_parse(table, n, (char **)(uintptr_t)args, &v, NULL, NULL, &error);
    if (e < 0)
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
    CHECK_EQ(PARSE("--text", "--help"), 0);

    TEST("of options that are given twice the last counts, and lists add up");
    CHECK_EQ(PARSE("--text", "a", "--number", "1", "--text", "b", "--number", "2", "--flag", "--flag"), 0);
    CHECK(strcmp(v.text, "b") == 0);
    CHECK_EQ(v.number, 2);
    CHECK_EQ(PARSE("--list", "a", "--list", "b"), 0);
    CHECK_EQ(v.list.count, 2);

    TEST("help stops the parser");
    CHECK_EQ(PARSE("--help", "--nonsense"), OPTIONS_HELP);
    CHECK_EQ(PARSE("-h"), OPTIONS_HELP);
    CHECK_EQ(PARSE("--nonsense", "--help"), -ENOENT);
}

static void test_errors(void)
{
    TEST("unknown options, with a suggestion where one is close");
    CHECK(PARSE("--nmuber", "1") < 0 && said("did you mean '--number'"));
    CHECK(PARSE("--hlep") < 0 && said("did you mean '--help'"));
    CHECK(PARSE("--zzzzzz") < 0 && said("unknown option '--zzzzzz'") && !said("mean"));
    CHECK(PARSE("--") < 0);
    CHECK(PARSE("word") < 0 && said("unexpected argument 'word'"));
    CHECK(PARSE("-x") < 0 && said("unexpected argument '-x'; options begin with two dashes"));

    TEST("missing and superfluous values");
    CHECK(PARSE("--number") < 0 && said("--number needs a value: --number N"));
    CHECK(PARSE("--flag=1") < 0 && said("--flag takes no value"));
    CHECK(PARSE("--number", "0") < 0 && said("--number: '0' is not a number from 1 to 10"));
}

static int rest_of(const char *const *args, int *rest)
{
    struct error error;
    int n = 0;
    while (args[n])
        n++;
    memset(&v, 0, sizeof(v));
    return options_parse(table, n, (char **)(uintptr_t)args, &v, rest, NULL, &error);
}

static void test_rest(void)
{
    static const struct {
        const char *args[5];
        int rest;
    } cases[] = {
        {{"--flag", "word", "--number", "x"}, 1},
        {{"--number", "2", "-x"}, 2},
        {{"--flag", "--", "--flag"}, 2},
        {{"--flag", "--"}, 2},
        {{"--flag"}, 1},
        {{"-h"}, 0},
    };
    int rest;
    TEST("what follows the options is left");
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        CHECK_EQ(rest_of(cases[i].args, &rest), 0);
        CHECK_EQ(rest, cases[i].rest);
    }
    CHECK_EQ(rest_of((const char *const[]){"--flag", "--help", "word", NULL}, &rest), OPTIONS_HELP);
    CHECK_EQ(rest_of((const char *const[]){"--flga", "word", NULL}, &rest), -ENOENT);
}

static void test_letters(void)
{
    struct lettered_values {
        bool yes, too;
        u32 number;
        struct setting_list list;
    } w = {0};
    static const struct setting lettered[] = {
        {"yes", SETTING_FLAG, 0, NULL, "", .letter = 'y'},
        {"too", SETTING_FLAG, 1, NULL, "", .letter = 't'},
        {"number", SETTING_NUMBER, offsetof(struct lettered_values, number), "N", "", .max = 99, .letter = 'n'},
        {"list", SETTING_LIST, offsetof(struct lettered_values, list), "X", "", .letter = 'l'},
        {0},
    };
    static const char *const all[] = {"-yt", "-n", "7", "-lone", "-l", "two", "word", "-y"};
    static const char *const bad[][3] = {{"-yz"}, {"-z"}, {"-n"}, {"-n", "x"}, {"-"}, {"--y"}};
    struct error error;
    int rest;
    TEST("letters, alone, together and with values");
    CHECK_EQ(options_parse(lettered, ARRAY_LEN(all), (char **)(uintptr_t)all, &w, &rest, NULL, &error), 0);
    CHECK(w.yes && w.too && w.number == 7 && w.list.count == 2 && rest == 6);
    CHECK(!strcmp(w.list.item[0], "one") && !strcmp(w.list.item[1], "two"));
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(options_parse(lettered, bad[i][1] ? 2 : 1, (char **)(uintptr_t)bad[i], &w, NULL, NULL, &error) < 0);
    CHECK_EQ(options_parse(table, 1, (char *[]){"-y"}, &w, NULL, NULL, &error), -EINVAL);
}

int main(void)
{
    test_letters();
    test_rest();
    test_values();
    test_errors();
    return TEST_END();
}
