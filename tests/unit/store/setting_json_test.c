/*
 * Settings to JSON and back by their tables: each kind of value, each table of networks, and what is refused.
 */
#include "store/setting_json.h"

#include "rules/network_settings.h"
#include "unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct values {
    bool flag, lamp;
    const char *text;
    u32 number, choice, set;
    u64 size, rate, time;
};

static const char *const colours[] = {"red", "green", NULL};
static const struct setting table[] = {
    {"a-flag", SETTING_FLAG, offsetof(struct values, flag), NULL, ""},
    {"lamp", SETTING_ON_OFF, offsetof(struct values, lamp), "on|off", ""},
    {"text", SETTING_TEXT, offsetof(struct values, text), "STR", ""},
    {"number", SETTING_NUMBER, offsetof(struct values, number), "N", "", .min = 1, .max = 10},
    {"size", SETTING_SIZE, offsetof(struct values, size), "SIZE", "", .max = 1ull << 40},
    {"rate", SETTING_RATE, offsetof(struct values, rate), "R", "", .max = 1ull << 40},
    {"time", SETTING_SECONDS, offsetof(struct values, time), "S", "", .max = 1000000},
    {"choice", SETTING_CHOICE, offsetof(struct values, choice), "C", "", .choices = colours},
    {"set", SETTING_SET, offsetof(struct values, set), "LIST", "", .choices = colours},
    {0},
};

static struct error error;

static int read_text(const char *text, struct values *v)
{
    json_t *object = json_loads(text, JSON_DECODE_ANY, NULL);
    int e = setting_json_read(table, object, v, &error);
    json_decref(object);
    return e;
}

static void test_kinds(void)
{
    static const char text[] =
        "{\"a_flag\": true, \"lamp\": false, \"text\": \"a\\\"b\", \"number\": 7, \"size\": 4096, "
        "\"rate\": 5000000000, \"time\": 250, \"choice\": \"green\", \"set\": [\"red\", \"green\"]}";
    struct values v = {.lamp = true, .text = strdup("old")}, w = {0};
    TEST("each kind of value");
    CHECK_EQ(read_text(text, &v), 0);
    CHECK(v.flag && !v.lamp && strcmp(v.text, "a\"b") == 0);
    CHECK_EQ(v.number, 7);
    CHECK_EQ(v.size, 4096);
    CHECK_EQ(v.rate, 5000000000ull);
    CHECK_EQ(v.time, 250);
    CHECK_EQ(v.choice, 1);
    CHECK_EQ(v.set, BIT(0) | BIT(1));
    json_t *object = setting_json(table, &v);
    json_t *want = json_loads(text, 0, NULL);
    CHECK(json_equal(object, want));
    CHECK_EQ(setting_json_read(table, object, &w, &error), 0);
    CHECK(w.rate == v.rate && w.set == v.set && strcmp(w.text, v.text) == 0);
    json_decref(object);
    json_decref(want);

    TEST("what an object does not have stays as it is");
    CHECK_EQ(read_text("{\"text\": null}", &v), 0);
    CHECK(!v.text && v.number == 7);
    CHECK_EQ(read_text("{\"text\": \"\"}", &v), 0);
    CHECK(!v.text);
    setting_texts_free(table, &v);
    setting_texts_free(table, &w);
}

static void test_refusals(void)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"[]", "no object"},
        {"{\"colour\": 1}", "no setting \"colour\""},
        {"{\"a-flag\": true}", "no setting \"a-flag\""},
        {"{\"lamp\": \"on\"}", "\"lamp\" is not true or false"},
        {"{\"text\": 3}", "\"text\" is not a string"},
        {"{\"number\": 11}", "\"number\" is not in its range"},
        {"{\"number\": -1}", "\"number\" is not a number"},
        {"{\"number\": 4294967297}", "\"number\" is not in its range"},
        {"{\"number\": \"7\"}", "\"number\" is not a number"},
        {"{\"rate\": 1.5}", "\"rate\" is not a number"},
        {"{\"choice\": 1}", "\"choice\" is not a string"},
        {"{\"choice\": \"blue\"}", "'blue' is not one of red, green"},
        {"{\"set\": \"red\"}", "\"set\" is not an array"},
        {"{\"set\": [\"blue\"]}", "'blue' is not known"},
        {"{\"set\": [1]}", "\"set\" is not an array of strings"},
    };
    struct values v = {0};
    TEST("what a file may not have");
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        CHECK_EQ(read_text(cases[i].text, &v), -EINVAL);
        CHECK(strstr(error.text, cases[i].says));
    }
}

static void test_tables(void)
{
    union {
        struct switch_settings sw;
        struct nat_settings nat;
        struct card_settings card;
    } a, b;
    static const struct setting *const tables[] = {switch_settings_table, nat_settings_table, card_settings_table};
    TEST("the tables of networks go there and back");
    for (unsigned i = 0; i < ARRAY_LEN(tables); i++) {
        memset(&a, 0, sizeof(a));
        memset(&b, 0xff, sizeof(b));
        setting_defaults(tables[i], &a);
        for (const struct setting *s = tables[i]; s->name; s++)
            if (s->kind == SETTING_TEXT)
                *(const char **)(void *)((char *)&b + s->offset) = NULL;
        json_t *object = setting_json(tables[i], &a), *again = NULL;
        CHECK(object);
        CHECK_EQ(setting_json_read(tables[i], object, &b, &error), 0);
        again = setting_json(tables[i], &b);
        CHECK(json_equal(object, again));
        json_decref(object);
        json_decref(again);
    }
}

int main(void)
{
    test_kinds();
    test_refusals();
    test_tables();
    return TEST_END();
}
