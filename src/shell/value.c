/*
 * Values and what they mean as truth, text and number. The rules are PowerShell's (language specification, chapter 6,
 * "Conversions"); whole numbers have 64 bits, and what does not fit becomes real.
 */
#include "shell/value.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct value value_null = {.kind = VALUE_NULL, .marked = true};
struct value value_true = {.kind = VALUE_BOOL, .marked = true, .truth = true};
struct value value_false = {.kind = VALUE_BOOL, .marked = true};

static struct value *create(struct heap *heap, enum value_kind kind, size_t more)
{
    struct value *v = memory_get(sizeof(*v));
    v->kind = kind;
    v->next = heap->all;
    heap->all = v;
    heap->bytes += sizeof(*v) + more;
    return v;
}

struct value *value_number(struct heap *heap, s64 number)
{
    struct value *v = create(heap, VALUE_NUMBER, 0);
    v->number = number;
    return v;
}

struct value *value_real(struct heap *heap, double real)
{
    struct value *v = create(heap, VALUE_REAL, 0);
    v->real = real;
    return v;
}

struct value *value_text_n(struct heap *heap, const char *text, size_t length)
{
    struct value *v = create(heap, VALUE_TEXT, length);
    v->text = memory_copy(text, length);
    v->length = length;
    return v;
}

struct value *value_text(struct heap *heap, const char *text)
{
    return text ? value_text_n(heap, text, strlen(text)) : &value_null;
}

struct value *value_text_take(struct heap *heap, struct text *text)
{
    struct value *v = create(heap, VALUE_TEXT, text->used);
    v->text = text->at ? text->at : memory_copy("", 0);
    v->length = text->used;
    *text = (struct text){0};
    return v;
}

struct value *value_format(struct heap *heap, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    struct value *v = value_text_n(heap, length < 0 ? "" : text, length < 0 ? 0 : (size_t)length);
    if (length >= 0)
        free(text);
    return v;
}

struct value *value_block(struct heap *heap, const struct node *block)
{
    struct value *v = create(heap, VALUE_BLOCK, 0);
    v->block = block;
    return v;
}

struct value *value_array(struct heap *heap)
{
    return create(heap, VALUE_ARRAY, 0);
}

struct value *value_object(struct heap *heap, const char *type)
{
    struct value *v = create(heap, VALUE_OBJECT, 0);
    v->object.type = type;
    return v;
}

void array_add(struct value *array, struct value *item)
{
    if (array->array.count == array->array.room) {
        array->array.room = array->array.room ? array->array.room * 2 : 8;
        array->array.item = memory_resize(array->array.item, array->array.room * sizeof(array->array.item[0]));
    }
    array->array.item[array->array.count++] = item;
}

static struct property *find(const struct value *object, const char *name)
{
    for (size_t i = 0; i < object->object.count; i++)
        if (text_same(object->object.property[i].name, name))
            return &object->object.property[i];
    return NULL;
}

void object_set(struct value *object, const char *name, struct value *value)
{
    struct property *p = find(object, name);
    if (p) {
        p->value = value;
        return;
    }
    if (object->object.count == object->object.room) {
        object->object.room = object->object.room ? object->object.room * 2 : 8;
        object->object.property =
            memory_resize(object->object.property, object->object.room * sizeof(object->object.property[0]));
    }
    object->object.property[object->object.count++] = (struct property){memory_copy(name, strlen(name)), value};
}

struct value *object_get(const struct value *object, const char *name)
{
    const struct property *p = object->kind == VALUE_OBJECT ? find(object, name) : NULL;
    return p ? p->value : NULL;
}

void object_remove(struct value *object, const char *name)
{
    struct property *p = find(object, name);
    if (!p)
        return;
    free((char *)p->name);
    size_t behind = object->object.count - (size_t)(p - object->object.property) - 1;
    memmove(p, p + 1, behind * sizeof(*p));
    object->object.count--;
}

bool value_is(const struct value *value, const char *type)
{
    return value->kind == VALUE_OBJECT && text_same(value->object.type, type);
}

size_t value_size(const struct value *value)
{
    size_t size = sizeof(*value);
    if (value->kind == VALUE_TEXT)
        size += value->length;
    if (value->kind == VALUE_ARRAY)
        size += value->array.room * sizeof(value->array.item[0]);
    if (value->kind == VALUE_OBJECT)
        size += value->object.room * sizeof(value->object.property[0]);
    return size;
}

void value_free(struct value *value)
{
    if (value->kind == VALUE_TEXT)
        free(value->text);
    if (value->kind == VALUE_ARRAY)
        free(value->array.item);
    if (value->kind == VALUE_OBJECT) {
        for (size_t i = 0; i < value->object.count; i++)
            free((char *)value->object.property[i].name);
        free(value->object.property);
    }
    free(value);
}

/* -- meaning -- */

bool value_truth(const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL: return false;
    case VALUE_BOOL: return value->truth;
    case VALUE_NUMBER: return value->number != 0;
    case VALUE_REAL: return value->real != 0;
    case VALUE_TEXT: return value->length != 0;
    case VALUE_ARRAY: return value->array.count > 1 || (value->array.count == 1 && value_truth(value->array.item[0]));
    default: return true;
    }
}

static void put_real(double real, struct text *to)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) { /* as few as give the number again */
        snprintf(text, sizeof(text), "%.*g", digits, real);
        if (strtod(text, NULL) == real)
            break;
    }
    for (char *c = text; *c; c++)
        *c = (char)toupper((u8)*c);
    text_puts(to, isinf(real) ? real < 0 ? "-∞" : "∞" : isnan(real) ? "NaN" : text);
}

#define NESTING_SHOWN 8

static void put(const struct value *value, struct text *to, unsigned depth)
{
    switch (value->kind) {
    case VALUE_NULL: return;
    case VALUE_BOOL: text_puts(to, value->truth ? "True" : "False"); return;
    case VALUE_NUMBER: text_format(to, "%lld", (long long)value->number); return;
    case VALUE_REAL: put_real(value->real, to); return;
    case VALUE_TEXT: text_put(to, value->text, value->length); return;
    case VALUE_ARRAY:
        for (size_t i = 0; i < value->array.count && depth < NESTING_SHOWN; i++) {
            if (i)
                text_char(to, ' ');
            put(value->array.item[i], to, depth + 1);
        }
        return;
    case VALUE_BLOCK: text_puts(to, "ScriptBlock"); return;
    case VALUE_OBJECT: break;
    }
    const struct value *message = value_is(value, "ErrorRecord") ? object_get(value, "Exception") : NULL;
    message = message ? object_get(message, "Message") : NULL;
    if (message && message->kind == VALUE_TEXT)
        text_puts(to, message->text);
    else if (value_is(value, "PSCustomObject") && depth < NESTING_SHOWN) {
        text_puts(to, "@{");
        for (size_t i = 0; i < value->object.count; i++) {
            text_format(to, "%s%s=", i ? "; " : "", value->object.property[i].name);
            put(value->object.property[i].value, to, depth + 1);
        }
        text_char(to, '}');
    } else {
        const struct value *name = object_get(value, "Name");
        if (value_is(value, "Type") && name)
            put(name, to, depth + 1);
        else if (name && name->kind == VALUE_TEXT)
            text_format(to, "%s (Name = '%s')", value->object.type, name->text);
        else
            text_puts(to, value->object.type);
    }
}

void value_put(const struct value *value, struct text *to)
{
    put(value, to, 0);
}

/* The power of two that a suffix stands for, 0 for none. */
static unsigned suffix_shift(const char *text, size_t length)
{
    static const char letters[] = "kmgtp";
    if (length < 2 || tolower((u8)text[length - 1]) != 'b')
        return 0;
    const char *at = strchr(letters, tolower((u8)text[length - 2]));
    return at && *at ? (unsigned)(at - letters + 1) * 10 : 0;
}

bool number_read(const char *text, size_t length, s64 *number, double *real, bool *whole)
{
    char copy[64], *end;
    bool negative = length && text[0] == '-';
    unsigned shift = suffix_shift(text, length);
    if (shift)
        length -= 2;
    bool sign = negative || (length && text[0] == '+');
    text += sign;
    length -= sign;
    if (!length || length >= sizeof(copy) || !(isdigit((u8)text[0]) || (text[0] == '.' && isdigit((u8)text[1]))))
        return false;
    memcpy(copy, text, length);
    copy[length] = 0;
    bool hex = length > 2 && copy[0] == '0' && tolower((u8)copy[1]) == 'x';
    if (strspn(copy + (hex ? 2 : 0), hex ? "0123456789abcdefABCDEF" : "0123456789.eE+-") != length - (hex ? 2 : 0))
        return false;
    *real = hex ? (double)strtoull(copy, &end, 16) : strtod(copy, &end);
    if (*end)
        return false;
    *real = ldexp(negative ? -*real : *real, (int)shift);
    *whole = hex || !strpbrk(copy, ".eE");
    if (!*whole && shift && *real == floor(*real))
        *whole = true;
    if (*whole && fabs(*real) >= 9.2e18) {
        *whole = false;
        return true;
    }
    if (*whole) {
        s64 n = strpbrk(copy, ".eE") && !hex ? 0 : (s64)strtoull(copy, NULL, hex ? 16 : 10);
        *number = strpbrk(copy, ".eE") && !hex ? (s64)*real : (s64)((u64)(negative ? -n : n) << shift);
    }
    return true;
}

bool value_numeric(const struct value *value, s64 *number, double *real, bool *whole)
{
    *whole = true;
    switch (value->kind) {
    case VALUE_NULL: *number = 0; break;
    case VALUE_BOOL: *number = value->truth; break;
    case VALUE_NUMBER: *number = value->number; break;
    case VALUE_REAL:
        *whole = false;
        *real = value->real;
        return true;
    case VALUE_TEXT: {
        const char *text = value->text;
        size_t length = value->length;
        for (; length && isspace((u8)*text); text++)
            length--;
        while (length && isspace((u8)text[length - 1]))
            length--;
        if (!length) {
            *number = 0;
            break;
        }
        if (!number_read(text, length, number, real, whole))
            return false;
        if (!*whole)
            return true;
        break;
    }
    default: return false;
    }
    *real = (double)*number;
    return true;
}

static int sign(double d)
{
    return d < 0 ? -1 : d > 0;
}

int value_compare(const struct value *a, const struct value *b, bool exact)
{
    s64 m, n;
    double x, y;
    bool mw, nw;
    if (a->kind != VALUE_TEXT && value_numeric(a, &m, &x, &mw) && value_numeric(b, &n, &y, &nw) &&
        !(a->kind == VALUE_NULL && b->kind == VALUE_TEXT))
        return mw && nw ? (m > n) - (m < n) : sign(x - y);
    struct text one = {0}, other = {0};
    value_put(a, &one);
    value_put(b, &other);
    int order = exact ? strcmp(text_get(&one), text_get(&other)) : strcasecmp(text_get(&one), text_get(&other));
    text_free(&one);
    text_free(&other);
    return order;
}

bool value_equal(const struct value *a, const struct value *b, bool exact)
{
    if (a->kind == VALUE_NULL || b->kind == VALUE_NULL)
        return a->kind == b->kind;
    if (a->kind == VALUE_BOOL || b->kind == VALUE_BOOL) {
        /* A text is true if it is not empty; only on the right it is compared as it is written. */
        if (a->kind == VALUE_BOOL)
            return value_truth(a) == value_truth(b);
        return a->kind == VALUE_TEXT ? text_same(a->text, b->truth ? "True" : "False")
                                     : value_truth(a) == value_truth(b);
    }
    if (a->kind == VALUE_OBJECT || a->kind == VALUE_BLOCK || a->kind == VALUE_ARRAY)
        return a == b;
    return value_compare(a, b, exact) == 0;
}

const char *value_type(const struct value *value)
{
    static const char *const names[] = {
        [VALUE_NULL] = "Null",   [VALUE_BOOL] = "Boolean",   [VALUE_NUMBER] = "Int64",      [VALUE_REAL] = "Double",
        [VALUE_TEXT] = "String", [VALUE_ARRAY] = "Object[]", [VALUE_BLOCK] = "ScriptBlock",
    };
    return value->kind == VALUE_OBJECT ? value->object.type : names[value->kind];
}
