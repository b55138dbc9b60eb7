/*
 * JSON, by jansson.
 */
#include "shell/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static json_t *text_json(const struct text *text)
{
    json_t *json = json_stringn(text_get(text), text->used);
    return json ? json : json_string("(not UTF-8)");
}

static json_t *as_json(const struct value *value, unsigned depth)
{
    struct text text = {0};
    json_t *json;
    switch (value->kind) {
    case VALUE_NULL: return json_null();
    case VALUE_BOOL: return json_boolean(value->truth);
    case VALUE_NUMBER: return json_integer(value->number);
    case VALUE_REAL:
        if (isfinite(value->real))
            return json_real(value->real);
        break;
    case VALUE_ARRAY:
        if (!depth)
            break;
        json = json_array();
        for (size_t i = 0; i < value->array.count; i++)
            json_array_append_new(json, as_json(value->array.item[i], depth - 1));
        return json;
    case VALUE_OBJECT:
        if (!depth)
            break;
        json = json_object();
        for (size_t i = 0; i < value->object.count; i++)
            json_object_set_new(json, value->object.property[i].name,
                                as_json(value->object.property[i].value, depth - 1));
        return json;
    default: break;
    }
    value_put(value, &text);
    json = text_json(&text);
    text_free(&text);
    return json;
}

void json_put(const struct value *value, bool compact, unsigned depth, struct text *to)
{
    json_t *json = as_json(value, depth + 1);
    char *text = json_dumps(json, JSON_ENCODE_ANY | (compact ? JSON_COMPACT : JSON_INDENT(2)));
    text_puts(to, text ? text : "null");
    free(text);
    json_decref(json);
}

struct value *json_value(struct heap *heap, const json_t *json, const char *type)
{
    struct value *v;
    const char *key;
    json_t *one;
    size_t index;
    switch (json_typeof(json)) {
    case JSON_TRUE:
    case JSON_FALSE: return value_bool(json_is_true(json));
    case JSON_INTEGER: return value_number(heap, json_integer_value(json));
    case JSON_REAL: return value_real(heap, json_real_value(json));
    case JSON_STRING: return value_text_n(heap, json_string_value(json), json_string_length(json));
    case JSON_ARRAY:
        v = value_array(heap);
        json_array_foreach ((json_t *)(uintptr_t)json, index, one)
            array_add(v, json_value(heap, one, type));
        return v;
    case JSON_OBJECT:
        v = value_object(heap, type);
        json_object_foreach ((json_t *)(uintptr_t)json, key, one)
            object_set(v, key, json_value(heap, one, type));
        return v;
    default: return &value_null;
    }
}

struct value *json_read(struct heap *heap, const char *text, char *why, size_t size)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (!json) {
        snprintf(why, size, "line %d: %s", error.line, error.text);
        return NULL;
    }
    struct value *v = json_value(heap, json, "PSCustomObject");
    json_decref(json);
    return v;
}
