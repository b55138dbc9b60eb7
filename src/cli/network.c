/*
 * For the verbs on networks: switch, nat, nic, check. Results of the manager are JSON; --json prints them as they are,
 * otherwise they become text here and in the files of the verbs.
 */
#include "cli/network.h"

#include "rules/disk.h"
#include "rules/vm_settings.h"
#include "store/setting_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error first_note;

static void note(const struct error *error)
{
    if (!first_note.code)
        first_note = *error;
    complain_error(error);
}

struct store *network_open(void)
{
    struct error error;
    struct store *store = store_open(&error);
    if (store)
        store_notes_to(store, note);
    else
        complain_error(&error);
    return store;
}

struct store *network_begin(const struct verb *verb, int argc, char **argv, void *options,
                            const char *word[static WORDS_MAX], int *status)
{
    if (verb_arguments(verb, argc, argv, options, word, status))
        return NULL;
    *status = STATUS_FAILED;
    return network_open();
}

int network_end(struct store *store, int e, const struct error *error)
{
    store_close(store);
    if (e >= 0)
        return STATUS_OK;
    if (strcmp(error->text, first_note.text) != 0) /* what was noted may turn out to be the obstacle */
        complain_error(error);
    return e == -EINVAL ? STATUS_USAGE : STATUS_FAILED;
}

int network_done(struct store *store, int e, const struct error *error, bool as_json)
{
    if (e >= 0 && as_json)
        printf("{}\n");
    return network_end(store, e, error);
}

void network_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(value);
}

int network_show(struct store *store, int e, const struct error *error, json_t *object, bool as_json,
                 void (*print)(const json_t *object))
{
    if (!e && as_json) {
        network_json(object);
    } else if (!e) {
        print(object);
        json_decref(object);
    }
    return network_end(store, e, error);
}

/* -- changes -- */

static int apply(const struct change *change, void *settings, struct error *error)
{
    const struct options_change *c = container_of(change, struct options_change, change);
    const char *word[WORDS_MAX];
    char *at = (char *)c->options + c->offset;
    int status;
    memcpy(at, settings, c->size);
    if (verb_arguments(c->verb, c->argc, c->argv, c->options, word, &status))
        return error_set(error, -EINVAL, "the options changed while they were read"); /* they were read before */
    memcpy(settings, at, c->size);
    return 0;
}

void options_change(struct options_change *c, const struct verb *verb, int argc, char **argv, void *options,
                    size_t offset, size_t size)
{
    *c = (struct options_change){{apply}, verb, argc, argv, options, offset, size};
}

/* Complains if there are no options but words. */
static bool options_given(const struct verb *verb, int argc, char **argv)
{
    char title[VERB_TITLE];
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (argv[i][0] == '-')
            return true;
    verb_title(verb, title);
    complain("%s without an option: nothing would change (see nestbox %s --help)", title, title);
    return false;
}

struct store *network_begin_change(const struct options_change *c, const char *word[static WORDS_MAX], int *status)
{
    if (verb_arguments(c->verb, c->argc, c->argv, c->options, word, status))
        return NULL;
    *status = STATUS_USAGE;
    return options_given(c->verb, c->argc, c->argv) ? network_open() : NULL;
}

/* -- text from JSON -- */

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
        network_json(all);
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
