/*
 * What holds for each row of a table of settings.
 */
#ifndef TESTS_UNIT_SETTING_ROWS_H
#define TESTS_UNIT_SETTING_ROWS_H

#include "rules/setting.h"
#include "unit/test.h"

#include <string.h>

static inline size_t row_size(enum setting_kind kind)
{
    switch (kind) {
    case SETTING_FLAG:
    case SETTING_ON_OFF: return sizeof(bool);
    case SETTING_TEXT: return sizeof(char *);
    case SETTING_LIST: return sizeof(struct setting_list);
    case SETTING_NUMBER:
    case SETTING_CHOICE:
    case SETTING_SET: return sizeof(u32);
    case SETTING_SIZE:
    case SETTING_RATE:
    case SETTING_SECONDS: break;
    }
    return sizeof(u64);
}

static inline bool row_overlaps(const struct setting *a, const struct setting *b)
{
    return a->offset < b->offset + row_size(b->kind) && b->offset < a->offset + row_size(a->kind);
}

static inline void row_check_name(const struct setting *table, const struct setting *s, size_t size)
{
    CHECK(s->name[0] && strspn(s->name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(s->name));
    for (const struct setting *t = table; t != s; t++) {
        CHECK(strcmp(s->name, t->name) != 0);
        CHECK(!row_overlaps(s, t));
    }
    CHECK(s->offset % (row_size(s->kind) < 8 ? row_size(s->kind) : 8) == 0);
    CHECK(s->offset + row_size(s->kind) <= size);
}

static inline void row_check_kind(const struct setting *s)
{
    bool words = s->kind == SETTING_CHOICE || s->kind == SETTING_SET;
    bool ranged =
        s->kind == SETTING_NUMBER || s->kind == SETTING_SIZE || s->kind == SETTING_RATE || s->kind == SETTING_SECONDS;
    CHECK_EQ(!!s->value, s->kind != SETTING_FLAG);
    CHECK_EQ(!!s->choices, words);
    CHECK_EQ(s->max > 0, ranged);
    CHECK(s->min <= s->max);
    CHECK(s->kind != SETTING_NUMBER || s->max <= UINT32_MAX);
    CHECK(!s->file || s->kind == SETTING_TEXT || s->kind == SETTING_LIST);
}

static inline void row_check_texts(const struct setting *s)
{
    CHECK(s->help[0] && !strchr(s->help, '\n') && s->help[strlen(s->help) - 1] != '.');
    if (s->about) {
        unsigned stars = 0;
        for (const char *t = s->about; *t; t++)
            stars += *t == '*';
        CHECK_EQ(stars % 2, 0);
        CHECK_EQ(s->about[strlen(s->about) - 1], '.');
    }
}

/* Default and examples are values. */
static inline void row_check_values(const struct setting *s)
{
    static char settings[65536] __attribute__((aligned(16))); /* of any struct */
    struct error error;
    memset(settings, 0, sizeof(settings));
    if (s->def)
        CHECK_EQ(setting_parse(s, s->def, settings, &error), 0);
    char examples[256];
    snprintf(examples, sizeof(examples), "%s", s->examples ? s->examples : "");
    for (char *word = strtok(examples, " "); word; word = strtok(NULL, " "))
        CHECK_EQ(setting_parse(s, word, settings, &error), 0);
    for (unsigned i = 0; s->choices && s->choices[i]; i++)
        CHECK_EQ(setting_parse(s, s->choices[i], settings, &error), 0);
}

/* Returns how many groups there are. */
static inline unsigned rows_check(const struct setting *table, size_t size)
{
    const char *group = NULL;
    unsigned groups = 0;
    for (const struct setting *s = table; s->name; s++) {
        TEST(s->name);
        row_check_name(table, s, size);
        row_check_kind(s);
        row_check_texts(s);
        row_check_values(s);
        CHECK(s->group);
        groups += !group || strcmp(group, s->group) != 0;
        group = s->group;
    }
    return groups;
}

#endif
