/*
 * Each kind of setting to JSON and back. What is read comes from files that people edit, so every type is checked.
 */
#include "store/setting_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- to JSON -- */

static void key_of(const struct setting *s, char key[static SETTING_KEY_MAX])
{
    snprintf(key, SETTING_KEY_MAX, "%s", s->name);
    for (char *dash = key; (dash = strchr(dash, '-'));)
        *dash = '_';
}

static json_t *set_json(const struct setting *s, u32 set)
{
    json_t *array = json_array();
    for (unsigned i = 0; s->choices[i]; i++)
        if (set & BIT(i) && json_array_append_new(array, json_string(s->choices[i]))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *list_json(const struct setting_list *list)
{
    json_t *array = json_array();
    for (u32 i = 0; i < list->count; i++)
        if (json_array_append_new(array, json_string(list->item[i]))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *value_json(const struct setting *s, const void *from)
{
    const void *at = (const char *)from + s->offset;
    const char *text;
    switch (s->kind) {
    case SETTING_FLAG:
    case SETTING_ON_OFF: return json_boolean(*(const bool *)at);
    case SETTING_TEXT: text = *(const char *const *)at; return text && *text ? json_string(text) : json_null();
    case SETTING_LIST: return list_json(at);
    case SETTING_CHOICE: return json_string(s->choices[*(const u32 *)at]);
    case SETTING_SET: return set_json(s, *(const u32 *)at);
    case SETTING_NUMBER:
    case SETTING_SIZE:
    case SETTING_RATE:
    case SETTING_SECONDS: return json_integer((json_int_t)setting_get_number(s, from));
    }
    return NULL;
}

json_t *setting_json(const struct setting *table, const void *from)
{
    json_t *object = json_object();
    for (const struct setting *s = table; s->name; s++) {
        char key[SETTING_KEY_MAX];
        key_of(s, key);
        if (json_object_set_new(object, key, value_json(s, from))) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* -- from JSON -- */

/* Is it the key of a setting of that name? */
static bool is_key(const char *key, const char *name)
{
    for (; *name && *key == (*name == '-' ? '_' : *name); key++, name++)
        ;
    return !*key && !*name;
}

static const struct setting *row_of(const struct setting *table, const char *key)
{
    for (const struct setting *s = table; s->name; s++)
        if (is_key(key, s->name))
            return s;
    return NULL;
}

static int fail_type(const struct setting *s, const char *type, struct error *error)
{
    char key[SETTING_KEY_MAX];
    key_of(s, key);
    return error_set(error, -EINVAL, "\"%s\" is not %s", key, type);
}

static int read_text(const struct setting *s, const json_t *value, char **at, struct error *error)
{
    if (!json_is_string(value) && !json_is_null(value))
        return fail_type(s, "a string", error);
    char *copy = json_string_length(value) ? strdup(json_string_value(value)) : NULL;
    if (json_string_length(value) && !copy)
        return error_memory(error);
    free(*at);
    *at = copy;
    return 0;
}

static int read_words(const struct setting *s, const json_t *value, u32 *to, struct error *error)
{
    size_t index;
    json_t *item;
    u32 set = 0;
    if (!json_is_array(value))
        return fail_type(s, "an array of strings", error);
    json_array_foreach (value, index, item) {
        if (!json_is_string(item))
            return fail_type(s, "an array of strings", error);
        u32 one = 0;
        struct setting alone = *s;
        alone.offset = 0;
        int e = setting_parse(&alone, json_string_value(item), &one, error);
        if (e)
            return e;
        set |= one;
    }
    *to = set;
    return 0;
}

static int read_number(const struct setting *s, const json_t *value, void *into, struct error *error)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return fail_type(s, "a number", error);
    return setting_set_number(s, (u64)json_integer_value(value), into) ? 0 : fail_type(s, "in its range", error);
}

static int read_value(const struct setting *s, const json_t *value, void *into, struct error *error)
{
    void *at = (char *)into + s->offset;
    switch (s->kind) {
    case SETTING_FLAG:
    case SETTING_ON_OFF:
        if (!json_is_boolean(value))
            return fail_type(s, "true or false", error);
        *(bool *)at = json_is_true(value);
        return 0;
    case SETTING_TEXT: return read_text(s, value, at, error);
    case SETTING_CHOICE:
        return json_is_string(value) ? setting_parse(s, json_string_value(value), into, error)
                                     : fail_type(s, "a string", error);
    case SETTING_SET: return read_words(s, value, at, error);
    case SETTING_NUMBER:
    case SETTING_SIZE:
    case SETTING_RATE:
    case SETTING_SECONDS: return read_number(s, value, into, error);
    case SETTING_LIST: break;
    }
    return fail_type(s, "a setting that can be read from a file", error);
}

int setting_json_read(const struct setting *table, const json_t *object, void *into, struct error *error)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return error_set(error, -EINVAL, "there is no object with settings");
    json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
        const struct setting *s = row_of(table, key);
        int e = s ? read_value(s, value, into, error) : error_set(error, -EINVAL, "there is no setting \"%.60s\"", key);
        if (e)
            return e;
    }
    return 0;
}
