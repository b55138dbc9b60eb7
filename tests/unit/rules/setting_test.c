/*
 * Values of each kind from text, ranges, and what is said of a wrong value.
 */
#include "rules/setting.h"

#include "unit/test.h"

#include <errno.h>
#include <string.h>

struct values {
    const char *text;
    struct setting_list list;
    u32 number;
    u64 size, rate, time;
    enum { RED, GREEN } choice;
    u32 set;
    bool flag, lamp;
};

static const char *const colours[] = {"red", "green", NULL};
static const struct setting table[] = {
    {"text", SETTING_TEXT, offsetof(struct values, text), "STR", ""},
    {"list", SETTING_LIST, offsetof(struct values, list), "FILE", ""},
    {"number", SETTING_NUMBER, offsetof(struct values, number), "N", "", .def = "3", .min = 1, .max = 10},
    {"size", SETTING_SIZE, offsetof(struct values, size), "SIZE", "", .min = 1 << 20, .max = 1ull << 40},
    {"rate", SETTING_RATE, offsetof(struct values, rate), "R", "", .max = 10000000000ull},
    {"time", SETTING_SECONDS, offsetof(struct values, time), "S", "", .min = 1, .max = 1000000},
    {"choice", SETTING_CHOICE, offsetof(struct values, choice), "C", "", .def = "green", .choices = colours},
    {"set", SETTING_SET, offsetof(struct values, set), "LIST", "", .choices = colours},
    {"flag", SETTING_FLAG, offsetof(struct values, flag), NULL, ""},
    {"lamp", SETTING_ON_OFF, offsetof(struct values, lamp), "on|off", "", .def = "on"},
    {0},
};

static struct values v;
static char said_line[640];

static const struct setting *row(const char *name)
{
    return setting_find(table, name, strlen(name));
}

static int parse(const char *name, const char *text)
{
    struct error error;
    said_line[0] = 0;
    int e = setting_parse(row(name), text, &v, &error);
    if (e)
        error_format(&error, "--", said_line, sizeof(said_line));
    return e;
}

static bool said(const char *text)
{
    return strstr(said_line, text) && !strchr(said_line, '\n');
}

static void test_rows(void)
{
    TEST("rows by name");
    CHECK(row("size") == &table[3]);
    CHECK(!row("sizes"));
    CHECK(setting_find(table, "size=2G", 4) == &table[3]);

    TEST("defaults");
    memset(&v, 0, sizeof(v));
    setting_defaults(table, &v);
    CHECK_EQ(v.number, 3);
    CHECK_EQ(v.choice, GREEN);
    CHECK(v.lamp);
    CHECK(!v.text && !v.size && !v.list.count);
}

static void test_numbers(void)
{
    TEST("numbers out of range or malformed");
    CHECK_EQ(parse("number", "10"), 0);
    CHECK_EQ(v.number, 10);
    CHECK(parse("number", "0") < 0 && said("--number: '0' is not a number from 1 to 10"));
    CHECK(parse("number", "11") < 0);
    CHECK(parse("number", "1x") < 0);
    CHECK(parse("number", "") < 0);
    CHECK(parse("number", "-1") < 0);
    CHECK(parse("number", "99999999999999999999999") < 0);
    CHECK_EQ(v.number, 10);

    u64 n;
    TEST("sizes");
    CHECK(setting_parse_size("1G", &n) && n == 1ull << 30);
    CHECK(setting_parse_size("512", &n) && n == 512ull << 20);
    CHECK(setting_parse_size("64k", &n) && n == 64ull << 10);
    CHECK(setting_parse_size("2GiB", &n) && n == 2ull << 30);
    CHECK(setting_parse_size("3MB", &n) && n == 3ull << 20);
    CHECK(setting_parse_size("1T", &n) && n == 1ull << 40);
    CHECK(setting_parse_size("1.5G", &n) && n == 3ull << 29);
    CHECK(setting_parse_size("0.25GiB", &n) && n == 1ull << 28);
    CHECK(setting_parse_size("2.5", &n) && n == 5ull << 19);
    CHECK(!setting_parse_size("1.G", &n) && !setting_parse_size(".5G", &n) && !setting_parse_size("1.5.5G", &n));
    CHECK(!setting_parse_size("", &n));
    CHECK(!setting_parse_size("G", &n));
    CHECK(!setting_parse_size("1X", &n));
    CHECK(!setting_parse_size("1GG", &n));
    CHECK(!setting_parse_size("-1G", &n));
    CHECK(!setting_parse_size("18446744073709551615T", &n));
    CHECK(parse("size", "2T") < 0 && said("is not a size from 1M to 1T"));

    TEST("rates");
    CHECK(setting_parse_rate("0", &n) && n == 0);
    CHECK(setting_parse_rate("64000", &n) && n == 64000);
    CHECK(setting_parse_rate("64k", &n) && n == 64000);
    CHECK(setting_parse_rate("1.5M", &n) && n == 1500000);
    CHECK(setting_parse_rate("10G", &n) && n == 10000000000ull);
    CHECK(!setting_parse_rate("", &n) && !setting_parse_rate("G", &n) && !setting_parse_rate("1T", &n));
    CHECK(!setting_parse_rate("1Mb", &n) && !setting_parse_rate("-1", &n) && !setting_parse_rate("1.M", &n));
    CHECK(!setting_parse_rate("18446744073709551615K", &n));
    CHECK(parse("rate", "11G") < 0 && said("--rate: '11G' is not a number of bits per second from 0 to 10G"));

    TEST("seconds");
    CHECK(setting_parse_seconds("2", &n) && n == 2000);
    CHECK(setting_parse_seconds("0.25", &n) && n == 250);
    CHECK(setting_parse_seconds("1.23456", &n) && n == 1234);
    CHECK(!setting_parse_seconds(".5", &n));
    CHECK(!setting_parse_seconds("1s", &n));
    CHECK(parse("time", "0") < 0 && said("is not a number of seconds from 0.001 to 1000"));
}

static void test_words(void)
{
    TEST("choices");
    CHECK_EQ(parse("choice", "red"), 0);
    CHECK_EQ(v.choice, RED);
    CHECK(parse("choice", "gren") < 0 && said("'gren' is not one of red, green; did you mean 'green'?"));
    CHECK(parse("choice", "") < 0 && said("'' is not one of red, green"));
    CHECK(parse("choice", "yellow") < 0 && said("'yellow' is not one of red, green"));

    TEST("sets");
    CHECK_EQ(parse("set", "green,red"), 0);
    CHECK_EQ(v.set, BIT(RED) | BIT(GREEN));
    CHECK_EQ(parse("set", "green"), 0);
    CHECK_EQ(v.set, BIT(GREEN));
    CHECK(parse("set", "red,blue") < 0 && said("--set: 'blue' is not known; there is red, green"));
    CHECK_EQ(v.set, BIT(GREEN));
    CHECK(parse("set", "red,a-word-of-more-than-forty-characters-in-length") < 0 && said("'a-word-of-more"));
    CHECK(parse("set", "") < 0 && said("--set: '' is not known"));

    TEST("on and off");
    CHECK_EQ(parse("lamp", "off"), 0);
    CHECK(!v.lamp);
    CHECK_EQ(parse("lamp", NULL), 0);
    CHECK(v.lamp);
    CHECK(parse("lamp", "of") < 0 && said("--lamp: 'of' is not one of off, on; did you mean 'off'?"));
    CHECK(v.lamp);

    TEST("flags, texts, lists");
    CHECK_EQ(parse("flag", NULL), 0);
    CHECK(v.flag);
    CHECK_EQ(parse("text", "a b"), 0);
    CHECK(strcmp(v.text, "a b") == 0);
    for (unsigned i = 0; i < SETTING_LIST_MAX; i++)
        CHECK_EQ(parse("list", "x"), 0);
    CHECK(parse("list", "x") < 0 && said("--list: given more than 32 times"));
}

static void test_ranges(void)
{
    static const struct {
        const char *name, *range;
    } rows[] = {
        {"text", ""},
        {"list", ""},
        {"number", "1 to 10"},
        {"size", "1M to 1T"},
        {"rate", "0 to 10G"},
        {"time", "0.001 to 1000"},
        {"choice", "red or green"},
        {"set", "red or green"},
        {"flag", ""},
        {"lamp", "off or on"},
    };
    TEST("ranges as phrases");
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        char range[96];
        setting_range(row(rows[i].name), range, sizeof(range));
        CHECK(strcmp(range, rows[i].range) == 0);
    }
}

static void test_numbers_as_such(void)
{
    TEST("numbers in the unit of the struct");
    CHECK(setting_set_number(row("number"), 10, &v));
    CHECK_EQ(setting_get_number(row("number"), &v), 10);
    CHECK(!setting_set_number(row("number"), 11, &v) && !setting_set_number(row("number"), 1ull << 33, &v));
    CHECK_EQ(v.number, 10);
    CHECK(setting_set_number(row("rate"), 5000000000ull, &v));
    CHECK_EQ(setting_get_number(row("rate"), &v), 5000000000ull);
}

static void test_texts(void)
{
    static const struct setting texts[] = {
        {"one", SETTING_TEXT, 0, "STR", ""}, {"two", SETTING_TEXT, sizeof(char *), "STR", ""}, {0}};
    const char *own[2] = {"a", ""};
    TEST("copies of texts");
    const char *before = own[0];
    CHECK_EQ(setting_texts_copy(texts, own), 0);
    CHECK(own[0] != before && strcmp(own[0], "a") == 0);
    CHECK(!own[1]);
    setting_texts_free(texts, own);
    CHECK(!own[0] && !own[1]);
}

int main(void)
{
    test_numbers_as_such();
    test_texts();
    test_rows();
    test_numbers();
    test_words();
    test_ranges();
    return TEST_END();
}
