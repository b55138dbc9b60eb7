/*
 * Operators and casts. With an array on their left, comparisons give the elements that compare so.
 */
#include "shell/failure.h"
#include "shell/pattern.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum flow cannot(struct shell *shell, const struct node *node, const struct value *value, const char *what)
{
    struct text text = {0};
    const struct failure f = {INVALID_ARGUMENT, "InvalidCastFromStringToInteger", "RuntimeException", .node = node};
    value_put(value, &text);
    enum flow flow = failure_throw(shell, &f, "'%.100s' (%s) is no %s", text_get(&text), value_type(value), what);
    text_free(&text);
    return flow;
}

static enum flow to_whole(struct shell *shell, const struct node *node, const struct value *value, s64 *number)
{
    double real;
    bool is_whole;
    return value_numeric(value, number, &real, &is_whole) && is_whole ? FLOW_NEXT
                                                                      : cannot(shell, node, value, "whole number");
}

/* -- arithmetic -- */

static enum flow whole(struct shell *shell, const struct node *node, s64 a, s64 b, struct value **result)
{
    s64 n = 0;
    bool over;
    char sign = node->operator[0];
    switch (sign) {
    case '+': over = __builtin_add_overflow(a, b, &n); break;
    case '-': over = __builtin_sub_overflow(a, b, &n); break;
    case '*': over = __builtin_mul_overflow(a, b, &n); break;
    default:
        if (!b) {
            const struct failure f = {NOT_SPECIFIED, "RuntimeException", "RuntimeException", .node = node};
            return failure_throw(shell, &f, "division by zero");
        }
        if (b == -1) {
            over = sign == '/' && __builtin_sub_overflow((s64)0, a, &n);
            n = sign == '%' ? 0 : n;
        } else if (sign == '/' && a % b) {
            *result = value_real(&shell->heap, (double)a / (double)b);
            return FLOW_NEXT;
        } else {
            over = false;
            n = sign == '/' ? a / b : a % b;
        }
    }
    if (!over) {
        *result = value_number(&shell->heap, n);
        return FLOW_NEXT;
    }
    double x = (double)a, y = (double)b;
    *result = value_real(&shell->heap, sign == '+' ? x + y : sign == '-' ? x - y : sign == '*' ? x * y : x / y);
    return FLOW_NEXT;
}

#define REPEATED_MAX (64u << 20)

static enum flow repeat(struct shell *shell, const struct node *node, const struct value *left,
                        const struct value *right, struct value **result)
{
    s64 times;
    double real;
    bool is_whole;
    if (!value_numeric(right, &times, &real, &is_whole))
        return cannot(shell, node, right, "number");
    if (!is_whole)
        times = (s64)real;
    size_t each = left->kind == VALUE_TEXT ? left->length : left->array.count * sizeof(void *);
    if (times < 0 || (each && (u64)times > REPEATED_MAX / each)) {
        const struct failure f = {INVALID_ARGUMENT, "OutOfRange", "RuntimeException", .node = node};
        return failure_throw(shell, &f, "%lld times that is too much", (long long)times);
    }
    if (left->kind == VALUE_TEXT) {
        struct text text = {0};
        for (s64 i = 0; i < times && left->length; i++)
            text_put(&text, left->text, left->length);
        *result = value_text_take(&shell->heap, &text);
        return FLOW_NEXT;
    }
    *result = value_array(&shell->heap);
    for (s64 i = 0; i < times && each; i++)
        for (size_t j = 0; j < left->array.count; j++)
            array_add(*result, left->array.item[j]);
    return FLOW_NEXT;
}

static enum flow join_objects(struct shell *shell, const struct value *left, const struct value *right,
                              struct value **result)
{
    *result = value_object(&shell->heap, "Hashtable");
    for (size_t i = 0; i < left->object.count; i++)
        object_set(*result, left->object.property[i].name, left->object.property[i].value);
    for (size_t i = 0; i < right->object.count; i++)
        object_set(*result, right->object.property[i].name, right->object.property[i].value);
    return FLOW_NEXT;
}

static enum flow arithmetic(struct shell *shell, const struct node *node, struct value *left, struct value *right,
                            struct value **result)
{
    char sign = node->operator[0];
    s64 a, b;
    double x, y;
    bool aw, bw;
    if (sign == '+' && left->kind == VALUE_ARRAY) {
        *result = value_array(&shell->heap);
        for (size_t i = 0; i < left->array.count; i++)
            array_add(*result, left->array.item[i]);
        if (right->kind != VALUE_ARRAY)
            array_add(*result, right);
        for (size_t i = 0; right->kind == VALUE_ARRAY && i < right->array.count; i++)
            array_add(*result, right->array.item[i]);
        return FLOW_NEXT;
    }
    if (sign == '+' && left->kind == VALUE_NULL) {
        *result = right;
        return FLOW_NEXT;
    }
    if (sign == '+' && left->kind == VALUE_TEXT) {
        struct text text = {0};
        value_put(left, &text);
        value_put(right, &text);
        *result = value_text_take(&shell->heap, &text);
        return FLOW_NEXT;
    }
    if (sign == '+' && value_is(left, "Hashtable") && value_is(right, "Hashtable"))
        return join_objects(shell, left, right, result);
    if (sign == '*' && (left->kind == VALUE_TEXT || left->kind == VALUE_ARRAY))
        return repeat(shell, node, left, right, result);
    if (!value_numeric(left, &a, &x, &aw))
        return cannot(shell, node, left, "number");
    if (!value_numeric(right, &b, &y, &bw))
        return cannot(shell, node, right, "number");
    if (aw && bw)
        return whole(shell, node, a, b, result);
    *result = value_real(&shell->heap, sign == '+'   ? x + y
                                       : sign == '-' ? x - y
                                       : sign == '*' ? x * y
                                       : sign == '/' ? x / y
                                                     : fmod(x, y));
    return FLOW_NEXT;
}

static enum flow range(struct shell *shell, const struct node *node, struct value *left, struct value *right,
                       struct value **result)
{
    s64 a, b;
    enum flow flow = to_whole(shell, node, left, &a);
    if (flow == FLOW_NEXT)
        flow = to_whole(shell, node, right, &b);
    if (flow != FLOW_NEXT)
        return flow;
    const struct failure f = {INVALID_ARGUMENT, "OutOfRange", "RuntimeException", .node = node};
    if (fabs((double)a - (double)b) > 10e6)
        return failure_throw(shell, &f, "a range has at most ten million numbers");
    *result = value_array(&shell->heap);
    for (s64 n = a;; n += a <= b ? 1 : -1) {
        array_add(*result, value_number(&shell->heap, n));
        if (n == b)
            return FLOW_NEXT;
    }
}

/* -- comparisons -- */

static const char *text_of(const struct value *value, struct text *text)
{
    value_put(value, text);
    return text_get(text);
}

static enum flow like(struct shell *shell, const struct node *node, struct value *left, struct value *right, bool exact,
                      bool *is)
{
    struct text text = {0}, pattern = {0};
    *is = text_like(text_of(left, &text), text_of(right, &pattern), exact);
    text_free(&text);
    text_free(&pattern);
    return FLOW_NEXT;
}

static enum flow match(struct shell *shell, const struct node *node, struct value *left, struct value *right,
                       bool exact, bool *is)
{
    struct text text = {0}, pattern = {0};
    struct value *groups;
    enum flow flow = pattern_match(shell, node, text_of(right, &pattern), text_of(left, &text), exact, &groups);
    *is = groups->kind != VALUE_NULL;
    if (*is)
        scope_set(shell->scope, "Matches", groups);
    text_free(&text);
    text_free(&pattern);
    return flow;
}

#define ORDER(name, condition)                                                                                         \
    static enum flow name(struct shell *shell, const struct node *node, struct value *left, struct value *right,       \
                          bool exact, bool *is)                                                                        \
    {                                                                                                                  \
        int order = value_compare(left, right, exact);                                                                 \
        *is = condition;                                                                                               \
        return FLOW_NEXT;                                                                                              \
    }
ORDER(less, order < 0)
ORDER(less_equal, order <= 0)
ORDER(greater, order > 0)
ORDER(greater_equal, order >= 0)

static enum flow equal(struct shell *shell, const struct node *node, struct value *left, struct value *right,
                       bool exact, bool *is)
{
    *is = value_equal(left, right, exact);
    return FLOW_NEXT;
}

static const struct comparison {
    const char *name;
    enum flow (*compare)(struct shell *shell, const struct node *node, struct value *left, struct value *right,
                         bool exact, bool *is);
    bool negated;
} comparisons[] = {
    {"eq", equal, false},    {"ne", equal, true},       {"gt", greater, false}, {"ge", greater_equal, false},
    {"lt", less, false},     {"le", less_equal, false}, {"like", like, false},  {"notlike", like, true},
    {"match", match, false}, {"notmatch", match, true},
};

static const struct comparison *comparison_find(const char *name, bool *exact)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < ARRAY_LEN(comparisons); i++)
            if (strcmp(comparisons[i].name, name + pass) == 0) {
                *exact = pass && name[0] == 'c';
                return &comparisons[i];
            }
        if (name[0] != 'c' && name[0] != 'i')
            return NULL;
    }
    return NULL;
}

static enum flow compare(struct shell *shell, const struct node *node, const struct comparison *c, bool exact,
                         struct value *left, struct value *right, struct value **result)
{
    bool is;
    if (left->kind != VALUE_ARRAY) {
        enum flow flow = c->compare(shell, node, left, right, exact, &is);
        *result = value_bool(is != c->negated);
        return flow;
    }
    *result = value_array(&shell->heap);
    for (size_t i = 0; i < left->array.count; i++) {
        enum flow flow = c->compare(shell, node, left->array.item[i], right, exact, &is);
        if (flow != FLOW_NEXT)
            return flow;
        if (is != c->negated)
            array_add(*result, left->array.item[i]);
    }
    return FLOW_NEXT;
}

static bool contains(const struct value *all, const struct value *one)
{
    if (all->kind != VALUE_ARRAY)
        return value_equal(all, one, false);
    for (size_t i = 0; i < all->array.count; i++)
        if (value_equal(all->array.item[i], one, false))
            return true;
    return false;
}

/* -- texts -- */

static enum flow join(struct shell *shell, struct value *list, const char *between, struct value **result)
{
    struct text text = {0};
    if (list->kind != VALUE_ARRAY)
        value_put(list, &text);
    for (size_t i = 0; list->kind == VALUE_ARRAY && i < list->array.count; i++) {
        text_puts(&text, i ? between : "");
        value_put(list->array.item[i], &text);
    }
    *result = value_text_take(&shell->heap, &text);
    return FLOW_NEXT;
}

static enum flow replace(struct shell *shell, const struct node *node, struct value *left, struct value *right,
                         struct value **result)
{
    bool list = right->kind == VALUE_ARRAY;
    struct text text = {0}, pattern = {0}, by = {0};
    if (list && right->array.count > 1)
        value_put(right->array.item[1], &by);
    value_put(list && right->array.count ? right->array.item[0] : right, &pattern);
    enum flow flow = pattern_replace(shell, node, text_get(&pattern), text_of(left, &text), text_get(&by),
                                     node->operator[0] == 'c', result);
    text_free(&text);
    text_free(&pattern);
    text_free(&by);
    return flow;
}

static enum flow split(struct shell *shell, const struct node *node, struct value *left, struct value *right,
                       struct value **result)
{
    struct text text = {0}, pattern = {0};
    s64 most = 0;
    double real;
    bool is_whole;
    bool list = right->kind == VALUE_ARRAY;
    if (list && right->array.count > 1 && !value_numeric(right->array.item[1], &most, &real, &is_whole))
        most = 0;
    value_put(list && right->array.count ? right->array.item[0] : right, &pattern);
    enum flow flow =
        pattern_split(shell, node, text_get(&pattern), text_of(left, &text), most > 0 ? (size_t)most : 0, result);
    text_free(&text);
    text_free(&pattern);
    return flow;
}

static void put_formatted(const struct value *value, const char *format, struct text *to)
{
    s64 n;
    double real;
    bool is_whole;
    int digits = format[0] ? atoi(format + 1) : 0;
    if (digits > 50)
        digits = 50;
    if (!format[0] || !value_numeric(value, &n, &real, &is_whole)) {
        value_put(value, to);
        return;
    }
    switch (toupper((u8)format[0])) {
    case 'N':
    case 'F': {
        struct text plain = {0};
        text_format(&plain, "%.*f", format[1] ? digits : 2, real);
        size_t point = strcspn(text_get(&plain), "."), from = text_get(&plain)[0] == '-';
        for (size_t i = 0; i < plain.used; i++) {
            if (toupper((u8)format[0]) == 'N' && i > from && i < point && (point - i) % 3 == 0)
                text_char(to, ',');
            text_char(to, plain.at[i]);
        }
        text_free(&plain);
        break;
    }
    case 'D': text_format(to, "%0*lld", digits, (long long)(is_whole ? n : (s64)real)); break;
    case 'X':
        text_format(to, format[0] == 'X' ? "%0*llX" : "%0*llx", digits, (unsigned long long)(is_whole ? n : (s64)real));
        break;
    case 'P': text_format(to, "%.*f%%", format[1] ? digits : 2, real * 100); break;
    default: value_put(value, to);
    }
}

/* "{0,-10:N2} {1}" -f a, b */
static enum flow format(struct shell *shell, const struct node *node, struct value *left, struct value *right,
                        struct value **result)
{
    struct text pattern = {0}, to = {0};
    const struct failure f = {INVALID_OPERATION, "FormatError", "RuntimeException", .node = node};
    const char *at = text_of(left, &pattern);
    enum flow flow = FLOW_NEXT;
    for (; *at && flow == FLOW_NEXT; at++) {
        if ((*at == '{' || *at == '}') && at[1] == *at) {
            text_char(&to, *at++);
            continue;
        }
        if (*at != '{') {
            text_char(&to, *at);
            continue;
        }
        char *end, how[16] = "";
        unsigned long index = strtoul(at + 1, &end, 10);
        long width = *end == ',' ? strtol(end + 1, &end, 10) : 0;
        if (*end == ':') {
            size_t length = strcspn(end + 1, "}");
            snprintf(how, sizeof(how), "%.*s", (int)(length > 15 ? 15 : length), end + 1);
            end += 1 + length;
        }
        size_t count = right->kind == VALUE_ARRAY ? right->array.count : 1;
        if (*end != '}' || index >= count || labs(width) > 1000) {
            flow = failure_throw(shell, &f, "the format is wrong, or there is no value number %lu", index);
            break;
        }
        struct text one = {0};
        put_formatted(right->kind == VALUE_ARRAY ? right->array.item[index] : right, how, &one);
        size_t columns = text_columns(text_get(&one), one.used);
        if (width > 0)
            text_pad(&to, columns, (size_t)width);
        text_puts(&to, text_get(&one));
        if (width < 0)
            text_pad(&to, columns, (size_t)-width);
        text_free(&one);
        at = end;
    }
    text_free(&pattern);
    *result = value_text_take(&shell->heap, &to);
    return flow;
}

/* -- types -- */

static const struct {
    const char *names; /* with bars between */
    enum value_kind kind;
} types[] = {
    {"int|int32|int64|long|uint32|uint64|uint16|int16|byte|uint", VALUE_NUMBER},
    {"double|single|float|decimal", VALUE_REAL},
    {"string|char", VALUE_TEXT},
    {"bool|boolean|switch|SwitchParameter|Management.Automation.SwitchParameter", VALUE_BOOL},
    {"array|object[]|string[]|int[]|psobject[]", VALUE_ARRAY},
    {"scriptblock", VALUE_BLOCK},
};

bool type_is(const struct value *value, const char *type)
{
    if (text_listed("object|psobject", type))
        return value->kind != VALUE_NULL;
    if (text_listed("hashtable|Collections.Hashtable", type))
        return value_is(value, "Hashtable");
    for (unsigned i = 0; i < ARRAY_LEN(types); i++)
        if (text_listed(types[i].names, type))
            return value->kind == types[i].kind;
    const char *last = strrchr(type, '.');
    return value->kind == VALUE_OBJECT && text_same(last ? last + 1 : type, value->object.type);
}

static enum flow to_list(struct shell *shell, const struct node *node, const char *type, struct value *value,
                         struct value **result)
{
    char element[40];
    size_t length = strlen(type) - 2;
    snprintf(element, sizeof(element), "%.*s", (int)(length < 39 ? length : 39), type);
    *result = value_array(&shell->heap);
    size_t count = value->kind == VALUE_ARRAY ? value->array.count : value->kind != VALUE_NULL;
    for (size_t i = 0; i < count; i++) {
        struct value *one;
        enum flow flow =
            type_convert(shell, node, element, value->kind == VALUE_ARRAY ? value->array.item[i] : value, &one);
        if (flow != FLOW_NEXT)
            return flow;
        array_add(*result, one);
    }
    return FLOW_NEXT;
}

enum flow type_convert(struct shell *shell, const struct node *node, const char *type, struct value *value,
                       struct value **result)
{
    s64 n;
    double real;
    bool is_whole;
    size_t length = strlen(type);
    *result = value;
    if (length > 2 && strcmp(type + length - 2, "[]") == 0)
        return to_list(shell, node, type, value, result);
    if (text_listed("void", type)) {
        *result = &value_null;
        return FLOW_NEXT;
    }
    if (text_listed("pscustomobject|psobject|ordered", type)) {
        if (value_is(value, "Hashtable")) {
            *result = value_object(&shell->heap, text_same(type, "ordered") ? "Hashtable" : "PSCustomObject");
            for (size_t i = 0; i < value->object.count; i++)
                object_set(*result, value->object.property[i].name, value->object.property[i].value);
        }
        return FLOW_NEXT;
    }
    for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
        if (!text_listed(types[i].names, type))
            continue;
        switch (types[i].kind) {
        case VALUE_NUMBER:
            if (!value_numeric(value, &n, &real, &is_whole))
                return cannot(shell, node, value, "number");
            *result = value_number(&shell->heap, is_whole ? n : (s64)nearbyint(real));
            return FLOW_NEXT;
        case VALUE_REAL:
            if (!value_numeric(value, &n, &real, &is_whole))
                return cannot(shell, node, value, "number");
            *result = value_real(&shell->heap, real);
            return FLOW_NEXT;
        case VALUE_TEXT: {
            struct text text = {0};
            if (value->kind == VALUE_NUMBER && value->spelling)
                text_puts(&text, value->spelling);
            else
                value_put(value, &text);
            *result = value_text_take(&shell->heap, &text);
            return FLOW_NEXT;
        }
        case VALUE_BOOL: *result = value_bool(value_truth(value)); return FLOW_NEXT;
        case VALUE_ARRAY:
            if (value->kind != VALUE_ARRAY) {
                *result = value_array(&shell->heap);
                if (value->kind != VALUE_NULL)
                    array_add(*result, value);
            }
            return FLOW_NEXT;
        default: break;
        }
    }
    if (type_is(value, type) || value->kind == VALUE_NULL)
        return FLOW_NEXT;
    const struct failure f = {INVALID_ARGUMENT, "ConvertToFinalInvalidCastException", "RuntimeException",
                              .target = type, .node = node};
    return failure_throw(shell, &f, "%s cannot become a [%s]", value_type(value), type);
}

static const char *type_name(const struct value *value)
{
    const struct value *name = value_is(value, "Type") ? object_get(value, "Name") : value;
    return name->kind == VALUE_TEXT ? name->text : "";
}

/* -- all -- */

enum flow operator_apply(struct shell *shell, const struct node *node, struct value *left, struct value *right,
                         struct value **result)
{
    const char *name = node->operator;
    bool exact = false;
    if (strcmp(name, "..") == 0)
        return range(shell, node, left, right, result);
    if (strchr("+-*/%", name[0]))
        return arithmetic(shell, node, left, right, result);
    const struct comparison *c = comparison_find(name, &exact);
    if (c)
        return compare(shell, node, c, exact, left, right, result);
    const char *plain = (name[0] == 'c' || (name[0] == 'i' && name[1] == 'c')) && strstr(name, "contains")
                            ? strstr(name, "contains")
                            : name;
    bool truth;
    if (strcmp(plain, "contains") == 0)
        truth = contains(left, right);
    else if (strcmp(name, "notcontains") == 0)
        truth = !contains(left, right);
    else if (strcmp(name, "in") == 0)
        truth = contains(right, left);
    else if (strcmp(name, "notin") == 0)
        truth = !contains(right, left);
    else if (strcmp(name, "and") == 0)
        truth = value_truth(left) && value_truth(right);
    else if (strcmp(name, "or") == 0)
        truth = value_truth(left) || value_truth(right);
    else if (strcmp(name, "xor") == 0)
        truth = value_truth(left) != value_truth(right);
    else if (strcmp(name, "is") == 0)
        truth = type_is(left, type_name(right));
    else if (strcmp(name, "isnot") == 0)
        truth = !type_is(left, type_name(right));
    else if (strcmp(name, "as") == 0)
        return type_convert(shell, node, type_name(right), left, result);
    else if (strcmp(name, "f") == 0)
        return format(shell, node, left, right, result);
    else if (strstr(name, "replace"))
        return replace(shell, node, left, right, result);
    else if (strcmp(name, "split") == 0)
        return split(shell, node, left, right, result);
    else if (strcmp(name, "join") == 0) {
        struct text between = {0};
        enum flow flow = join(shell, left, text_of(right, &between), result);
        text_free(&between);
        return flow;
    } else {
        s64 a, b;
        enum flow flow = to_whole(shell, node, left, &a);
        if (flow == FLOW_NEXT)
            flow = to_whole(shell, node, right, &b);
        if (flow != FLOW_NEXT)
            return flow;
        *result = value_number(&shell->heap, !strcmp(name, "band")   ? a & b
                                             : !strcmp(name, "bor")  ? a | b
                                             : !strcmp(name, "bxor") ? a ^ b
                                             : !strcmp(name, "shl")  ? (s64)((u64)a << (b & 63))
                                                                     : a >> (b & 63));
        return FLOW_NEXT;
    }
    *result = value_bool(truth);
    return FLOW_NEXT;
}

enum flow operator_unary(struct shell *shell, const struct node *node, struct value *value, struct value **result)
{
    const char *name = node->operator;
    s64 n;
    double real;
    bool is_whole;
    if (strcmp(name, "not") == 0 || strcmp(name, "!") == 0) {
        *result = value_bool(!value_truth(value));
        return FLOW_NEXT;
    }
    if (strcmp(name, ",") == 0) {
        *result = value_array(&shell->heap);
        array_add(*result, value);
        return FLOW_NEXT;
    }
    if (strcmp(name, "join") == 0)
        return join(shell, value, "", result);
    if (strcmp(name, "split") == 0) {
        struct value *blank = value_text(&shell->heap, "\\s+");
        return split(shell, node, value, blank, result);
    }
    if (!value_numeric(value, &n, &real, &is_whole))
        return cannot(shell, node, value, "number");
    if (strcmp(name, "bnot") == 0)
        *result = value_number(&shell->heap, ~(is_whole ? n : (s64)real));
    else if (is_whole && n != INT64_MIN)
        *result = value_number(&shell->heap, name[0] == '-' ? -n : n);
    else
        *result = value_real(&shell->heap, name[0] == '-' ? -real : real);
    return FLOW_NEXT;
}
