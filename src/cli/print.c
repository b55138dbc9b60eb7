/*
 * Text from JSON: see print.h.
 */
#include "cli/print.h"

#include "cli/command.h"
#include "rules/disk.h"
#include "rules/vm_settings.h"
#include "store/setting_json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

long long number_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

bool true_at(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

const char *joined(const json_t *array, const char *between, char *text, size_t size)
{
    size_t used = 0, index;
    json_t *item;
    text[0] = 0;
    json_array_foreach ((json_t *)(uintptr_t)array, index, item)
        if (used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", index ? between : "", json_string_value(item));
    return text;
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

static void value_text(const json_t *value, char *text, size_t size)
{
    if (json_is_string(value))
        error_plain(json_string_value(value), text, size);
    else if (json_is_integer(value))
        snprintf(text, size, "%lld", (long long)json_integer_value(value));
    else
        snprintf(text, size, "%s", json_is_true(value) ? "on" : json_is_false(value) ? "off" : "none");
}

void settings_text(const struct setting *table, const json_t *settings, const char *const *without, char *text,
                   size_t size)
{
    union {
        struct switch_settings sw;
        struct nat_settings nat;
        struct card_settings card;
        struct vm_settings vm;
        struct disk_def disk;
    } blank = {0};
    setting_defaults(table, &blank);
    json_t *defaults = setting_json(table, &blank), *value;
    const char *key;
    size_t used = 0;
    text[0] = 0;
    json_object_foreach ((json_t *)(uintptr_t)settings, key, value) {
        char name[SETTING_KEY_MAX], shown[128];
        if (is_one_of(key, without) || json_equal(value, json_object_get(defaults, key)) || used >= size)
            continue;
        snprintf(name, sizeof(name), "%s", key);
        for (char *at = name; (at = strchr(at, '_'));)
            *at = '-';
        const struct setting *row = setting_find(table, name, strlen(name));
        if (row && row->kind == SETTING_SIZE && json_is_integer(value))
            setting_size_text((u64)json_integer_value(value), shown, sizeof(shown));
        else if (row && row->kind == SETTING_SECONDS && json_is_integer(value))
            snprintf(shown, sizeof(shown), "%g", (double)json_integer_value(value) / 1000);
        else
            value_text(value, shown, sizeof(shown));
        used += (size_t)snprintf(text + used, size - used, "%s%s %s", used ? ", " : "", name, shown);
    }
    json_decref(defaults);
}

void print_name(const json_t *object)
{
    printf("%s\n", text_at(object, "name"));
}

void print_problems(const json_t *report)
{
    size_t index;
    json_t *problem, *note;
    json_array_foreach (json_object_get(report, "notes"), index, note)
        printf("  note        %s\n", json_string_value(note));
    json_array_foreach (json_object_get(report, "problems"), index, problem) {
        struct error error;
        char line[640];
        error_set(&error, -EIO, "%s", text_at(problem, "text"));
        error_hint(&error, text_at(problem, "hint"));
        error_format(&error, "--", line, sizeof(line));
        printf("  problem     %s\n", line);
    }
}

/* -- tables -- */

void print_table(const json_t *rows)
{
    size_t width[COLUMNS_MAX] = {0}, r, c;
    json_t *row, *cell;
    json_array_foreach ((json_t *)(uintptr_t)rows, r, row)
        json_array_foreach (row, c, cell)
            if (c < COLUMNS_MAX && json_string_length(cell) > width[c])
                width[c] = json_string_length(cell);
    json_array_foreach ((json_t *)(uintptr_t)rows, r, row) {
        json_array_foreach (row, c, cell) {
            bool last = c + 1 == json_array_size(row) || c + 1 == COLUMNS_MAX;
            if (c < COLUMNS_MAX)
                printf("%-*s%s", last ? 0 : (int)width[c], json_string_value(cell), last ? "\n" : "  ");
        }
    }
}

void print_list(json_t *all, bool as_json, const char *const *heading, json_t *(*row)(const json_t *one))
{
    if (as_json) {
        command_json(all);
        return;
    }
    json_t *rows = json_array(), *first = json_array(), *one;
    size_t index;
    for (; *heading; heading++)
        json_array_append_new(first, json_string(*heading));
    json_array_append_new(rows, first);
    json_array_foreach (all, index, one)
        json_array_append_new(rows, row(one));
    if (json_array_size(all))
        print_table(rows);
    json_decref(rows);
    json_decref(all);
}
