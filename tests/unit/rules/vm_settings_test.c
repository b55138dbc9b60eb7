/*
 * The table of settings of a VM, row by row.
 */
#include "rules/vm_settings.h"

#include "cpu/core/cpuid.h"
#include "unit/test.h"

#include <string.h>

static size_t size_of(enum setting_kind kind)
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

static bool overlap(const struct setting *a, const struct setting *b)
{
    return a->offset < b->offset + size_of(b->kind) && b->offset < a->offset + size_of(a->kind);
}

static void check_name(const struct setting *table, const struct setting *s)
{
    CHECK(s->name[0] && strspn(s->name, "abcdefghijklmnopqrstuvwxyz-") == strlen(s->name));
    for (const struct setting *t = table; t != s; t++) {
        CHECK(strcmp(s->name, t->name) != 0);
        CHECK(!overlap(s, t));
    }
    CHECK(s->offset % (size_of(s->kind) < 8 ? size_of(s->kind) : 8) == 0);
    CHECK(s->offset + size_of(s->kind) <= sizeof(struct vm_settings));
}

static void check_kind(const struct setting *s)
{
    bool words = s->kind == SETTING_CHOICE || s->kind == SETTING_SET;
    bool ranged = s->kind == SETTING_NUMBER || s->kind == SETTING_SIZE || s->kind == SETTING_SECONDS;
    CHECK_EQ(!!s->value, s->kind != SETTING_FLAG);
    CHECK_EQ(!!s->choices, words);
    CHECK_EQ(s->max > 0, ranged);
    CHECK(s->min <= s->max);
    CHECK(s->kind != SETTING_NUMBER || s->max <= UINT32_MAX);
    CHECK(!s->file || s->kind == SETTING_TEXT || s->kind == SETTING_LIST);
}

static void check_texts(const struct setting *s)
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
static void check_values(const struct setting *s)
{
    struct vm_settings settings = {0};
    struct error error;
    if (s->def)
        CHECK_EQ(setting_parse(s, s->def, &settings, &error), 0);
    char examples[256];
    snprintf(examples, sizeof(examples), "%s", s->examples ? s->examples : "");
    for (char *word = strtok(examples, " "); word; word = strtok(NULL, " "))
        CHECK_EQ(setting_parse(s, word, &settings, &error), 0);
    for (unsigned i = 0; s->choices && s->choices[i]; i++)
        CHECK_EQ(setting_parse(s, s->choices[i], &settings, &error), 0);
}

static unsigned check_rows(const struct setting *table)
{
    const char *group = NULL;
    unsigned groups = 0;
    for (const struct setting *s = table; s->name; s++) {
        TEST(s->name);
        check_name(table, s);
        check_kind(s);
        check_texts(s);
        check_values(s);
        CHECK(s->group);
        groups += !group || strcmp(group, s->group) != 0;
        group = s->group;
    }
    return groups;
}

static void test_rows(void)
{
    unsigned run = check_rows(vm_settings_table), kvm = check_rows(kvm_settings_table);
    TEST("groups, each in one piece");
    CHECK_EQ(run, 4);
    CHECK_EQ(kvm, 2);
}

static void test_defaults(void)
{
    struct vm_settings settings = {0};
    setting_defaults(vm_settings_table, &settings);
    TEST("what a VM is by default");
    CHECK(!settings.kernel && !settings.append.count && !settings.cpu && !settings.initrd.count);
    CHECK_EQ(settings.memory, 1ull << 30);
    CHECK_EQ(settings.cpus, 1);
    CHECK_EQ(settings.nested, NESTED_OFF);
    CHECK_EQ(settings.accel, ACCEL_AUTO);
    CHECK(!settings.serial.count && !settings.serial_log && !settings.shutdown_ms);
    CHECK(!settings.no_reboot && !settings.debug_exit && !settings.stats && !settings.timeout_ms && !settings.trace);

    TEST("names are the values they should be");
    struct error error;
    CHECK(!setting_parse(setting_find(vm_settings_table, "nested", 6), "amd", &settings, &error));
    CHECK_EQ(settings.nested, NESTED_AMD);
    CHECK(!setting_parse(setting_find(vm_settings_table, "accel", 5), "kvm", &settings, &error));
    CHECK_EQ(settings.accel, ACCEL_KVM);
    CHECK(!setting_parse(setting_find(vm_settings_table, "trace", 5), "entry", &settings, &error));
    CHECK_EQ(settings.trace, TRACE_ENTRY);
}

/* The core knows the models; the table offers them. */
static void test_models(void)
{
    char models[256] = "";
    const struct setting *cpu = setting_find(vm_settings_table, "cpu", 3);
    TEST("the CPU models offered are those that there are");
    for (unsigned i = 0; cpuid_model_name(i); i++) {
        char starred[32];
        snprintf(models + strlen(models), sizeof(models) - strlen(models), "%s%s", i ? " " : "", cpuid_model_name(i));
        snprintf(starred, sizeof(starred), "*%s*", cpuid_model_name(i));
        CHECK(strstr(cpu->about, starred));
    }
    CHECK(strcmp(models, cpu->examples) == 0);
}

int main(void)
{
    test_rows();
    test_defaults();
    test_models();
    return TEST_END();
}
