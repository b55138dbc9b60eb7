/*
 * Properties and methods of values, and static ones of types: those that scripts on Hyper-V use.
 */
#include "shell/failure.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static struct value *keys(struct shell *shell, const struct value *of, bool names)
{
    struct value *list = value_array(&shell->heap);
    for (size_t i = 0; i < of->object.count; i++)
        array_add(list, names ? value_text(&shell->heap, of->object.property[i].name) : of->object.property[i].value);
    return list;
}

/* "psobject": what an object is made of. */
static struct value *anatomy(struct shell *shell, const struct value *of)
{
    struct value *about = value_object(&shell->heap, "PSObject"), *list = value_array(&shell->heap);
    for (size_t i = 0; i < of->object.count; i++) {
        struct value *one = value_object(&shell->heap, "PSProperty");
        object_set(one, "Name", value_text(&shell->heap, of->object.property[i].name));
        object_set(one, "Value", of->object.property[i].value);
        array_add(list, one);
    }
    object_set(about, "Properties", list);
    object_set(about, "TypeNames", value_text(&shell->heap, of->object.type));
    return about;
}

enum flow member_get(struct shell *shell, const struct node *node, struct value *of, const char *name,
                     struct value **value)
{
    struct value *v = object_get(of, name);
    if (v) {
        *value = v;
        return FLOW_NEXT;
    }
    bool count = text_same(name, "Count"), length = text_same(name, "Length");
    if (count || length) {
        size_t n = of->kind == VALUE_ARRAY ? of->array.count : of->kind != VALUE_NULL;
        if (length && of->kind == VALUE_TEXT)
            n = text_columns(of->text, of->length);
        if (value_is(of, "Hashtable"))
            n = of->object.count;
        *value = value_number(&shell->heap, (s64)n);
    } else if (of->kind == VALUE_ARRAY) { /* the property of each element */
        struct value *all = value_array(&shell->heap);
        for (size_t i = 0; i < of->array.count; i++) {
            struct value *one;
            enum flow flow = member_get(shell, node, of->array.item[i], name, &one);
            if (flow != FLOW_NEXT)
                return flow;
            if (one->kind != VALUE_NULL)
                array_add(all, one);
        }
        *value = all->array.count == 0 ? &value_null : all->array.count == 1 ? all->array.item[0] : all;
    } else if (value_is(of, "Hashtable") && (text_same(name, "Keys") || text_same(name, "Values"))) {
        *value = keys(shell, of, text_same(name, "Keys"));
    } else if (of->kind == VALUE_OBJECT && text_same(name, "psobject")) {
        *value = anatomy(shell, of);
    } else {
        *value = &value_null;
    }
    return FLOW_NEXT;
}

/* -- methods of texts -- */

static struct value *cased(struct shell *shell, const struct value *of, int (*change)(int))
{
    struct value *v = value_text_n(&shell->heap, of->text, of->length);
    for (size_t i = 0; i < v->length; i++)
        v->text[i] = (char)change((u8)v->text[i]);
    return v;
}

static struct value *trimmed(struct shell *shell, const struct value *of, const char *set, bool start, bool end)
{
    const char *from = of->text, *to = of->text + of->length;
    while (start && from < to && strchr(set, *from))
        from++;
    while (end && to > from && strchr(set, to[-1]))
        to--;
    return value_text_n(&shell->heap, from, (size_t)(to - from));
}

static struct value *split(struct shell *shell, const struct value *of, const char *set)
{
    struct value *list = value_array(&shell->heap);
    const char *at = of->text;
    for (size_t length;; at += length + 1) {
        length = strcspn(at, set);
        array_add(list, value_text_n(&shell->heap, at, length));
        if (!at[length])
            return list;
    }
}

static struct value *replaced(struct shell *shell, const struct value *of, const char *what, const char *by)
{
    struct text text = {0};
    const char *at = of->text;
    for (const char *found; *what && (found = strstr(at, what)); at = found + strlen(what)) {
        text_put(&text, at, (size_t)(found - at));
        text_puts(&text, by);
    }
    text_puts(&text, at);
    return value_text_take(&shell->heap, &text);
}

static struct value *padded(struct shell *shell, const struct value *of, s64 width, bool left)
{
    struct text text = {0};
    size_t columns = text_columns(of->text, of->length), wanted = width < 0 || width > 10000 ? 0 : (size_t)width;
    if (left)
        text_pad(&text, columns, wanted);
    text_put(&text, of->text, of->length);
    if (!left)
        text_pad(&text, columns, wanted);
    return value_text_take(&shell->heap, &text);
}

static struct value *part(struct shell *shell, const struct value *of, s64 from, s64 length)
{
    if (from < 0 || (u64)from > of->length)
        return NULL;
    if (length < 0 || (u64)length > of->length - (u64)from)
        return NULL;
    return value_text_n(&shell->heap, of->text + from, (size_t)length);
}

struct arguments {
    size_t count;
    const char *text[3];
    s64 number[3];
};

static const char *const blanks = " \t\r\n\v\f";

/* NULL: there is no such method, or not with these arguments. */
static struct value *method_of_text(struct shell *shell, const struct value *of, const char *name,
                                    const struct arguments *a)
{
    const char *first = a->text[0];
    if (text_same(name, "ToUpper"))
        return cased(shell, of, toupper);
    if (text_same(name, "ToLower"))
        return cased(shell, of, tolower);
    if (text_same(name, "Trim") || text_same(name, "TrimStart") || text_same(name, "TrimEnd"))
        return trimmed(shell, of, a->count ? first : blanks, !text_same(name, "TrimEnd"),
                       !text_same(name, "TrimStart"));
    if (text_same(name, "Split"))
        return split(shell, of, a->count ? first : blanks);
    if (text_same(name, "Replace") && a->count == 2)
        return replaced(shell, of, first, a->text[1]);
    if (text_same(name, "Contains") && a->count)
        return value_bool(strstr(of->text, first) != NULL);
    if (text_same(name, "StartsWith") && a->count)
        return value_bool(strncmp(of->text, first, strlen(first)) == 0);
    if (text_same(name, "EndsWith") && a->count)
        return value_bool(strlen(first) <= of->length && !strcmp(of->text + of->length - strlen(first), first));
    if (text_same(name, "IndexOf") && a->count) {
        const char *found = strstr(of->text, first);
        return value_number(&shell->heap, found ? found - of->text : -1);
    }
    if ((text_same(name, "PadLeft") || text_same(name, "PadRight")) && a->count)
        return padded(shell, of, a->number[0], text_same(name, "PadLeft"));
    if (text_same(name, "Substring") && a->count)
        return part(shell, of, a->number[0], a->count > 1 ? a->number[1] : (s64)of->length - a->number[0]);
    return NULL;
}

static struct value *method_of_object(struct shell *shell, struct value *of, const char *name, struct value *arguments,
                                      const struct arguments *a)
{
    if ((text_same(name, "ContainsKey") || text_same(name, "Contains")) && a->count)
        return value_bool(object_get(of, a->text[0]) != NULL);
    if (text_same(name, "Add") && a->count == 2) {
        object_set(of, a->text[0], arguments->array.item[1]);
        return &value_null;
    }
    if (text_same(name, "Remove") && a->count) {
        object_remove(of, a->text[0]);
        return &value_null;
    }
    return NULL;
}

enum flow member_call(struct shell *shell, const struct node *node, struct value *of, const char *name,
                      struct value *arguments, struct value **value)
{
    struct text text[3] = {0};
    struct arguments a = {arguments->array.count, {"", "", ""}, {0}};
    struct value *result = NULL;
    if (of->kind == VALUE_NULL) {
        const struct failure f = {INVALID_OPERATION, "InvokeMethodOnNull", "RuntimeException", .node = node};
        return failure_throw(shell, &f, "method '%s' was called of null", name);
    }
    for (size_t i = 0; i < 3 && i < a.count; i++) {
        double real;
        bool whole;
        value_put(arguments->array.item[i], &text[i]);
        a.text[i] = text_get(&text[i]);
        if (!value_numeric(arguments->array.item[i], &a.number[i], &real, &whole) || !whole)
            a.number[i] = 0;
    }
    if (text_same(name, "ToString")) {
        struct text own = {0};
        value_put(of, &own);
        result = value_text_take(&shell->heap, &own);
    } else if (text_same(name, "GetType")) {
        result = value_object(&shell->heap, "Type");
        object_set(result, "Name", value_text(&shell->heap, value_type(of)));
    } else if (text_same(name, "Equals") && a.count) {
        result = value_bool(value_equal(of, arguments->array.item[0], true));
    } else if (of->kind == VALUE_TEXT) {
        result = method_of_text(shell, of, name, &a);
    } else if (value_is(of, "Hashtable")) {
        result = method_of_object(shell, of, name, arguments, &a);
    } else if (of->kind == VALUE_ARRAY && text_same(name, "Contains") && a.count) {
        result = &value_false;
        for (size_t i = 0; i < of->array.count; i++)
            if (value_equal(of->array.item[i], arguments->array.item[0], false))
                result = &value_true;
    }
    for (size_t i = 0; i < 3; i++)
        text_free(&text[i]);
    *value = result;
    if (result)
        return FLOW_NEXT;
    const struct failure f = {INVALID_OPERATION, "MethodNotFound", "RuntimeException", .target = name, .node = node};
    return failure_throw(shell, &f, "%s has no method '%s' that takes these %zu arguments", value_type(of), name,
                         arguments->array.count);
}

/* -- of types -- */

static struct value *math(struct shell *shell, const char *name, const struct value *arguments)
{
    s64 n[2] = {0};
    double x[2] = {0};
    bool whole[2] = {true, true};
    size_t count = arguments ? arguments->array.count : 0;
    for (size_t i = 0; i < 2 && i < count; i++)
        if (!value_numeric(arguments->array.item[i], &n[i], &x[i], &whole[i]))
            return NULL;
    if (!count)
        return text_same(name, "PI") ? value_real(&shell->heap, 3.14159265358979323846) : NULL;
    if (text_same(name, "Round")) {
        double scale = pow(10, count > 1 ? (double)n[1] : 0);
        return value_real(&shell->heap, nearbyint(x[0] * scale) / scale);
    }
    if (text_same(name, "Floor") || text_same(name, "Ceiling") || text_same(name, "Truncate"))
        return value_real(&shell->heap, text_same(name, "Floor")     ? floor(x[0])
                                        : text_same(name, "Ceiling") ? ceil(x[0])
                                                                     : trunc(x[0]));
    if (text_same(name, "Abs"))
        return whole[0] && n[0] != INT64_MIN ? value_number(&shell->heap, n[0] < 0 ? -n[0] : n[0])
                                             : value_real(&shell->heap, fabs(x[0]));
    if (text_same(name, "Sqrt"))
        return value_real(&shell->heap, sqrt(x[0]));
    if (count == 2 && text_same(name, "Pow"))
        return value_real(&shell->heap, pow(x[0], x[1]));
    if (count == 2 && (text_same(name, "Max") || text_same(name, "Min")))
        return arguments->array.item[(x[0] >= x[1]) == text_same(name, "Max") ? 0 : 1];
    return NULL;
}

static struct value *string(struct shell *shell, const char *name, const struct value *arguments)
{
    const struct value *first = arguments && arguments->array.count ? arguments->array.item[0] : &value_null;
    if (text_same(name, "Empty"))
        return value_text(&shell->heap, "");
    struct text text = {0};
    value_put(first, &text);
    bool empty = !text.used, blank = strspn(text_get(&text), blanks) == text.used;
    text_free(&text);
    if (text_same(name, "IsNullOrEmpty"))
        return value_bool(empty);
    return text_same(name, "IsNullOrWhiteSpace") ? value_bool(blank) : NULL;
}

static struct value *environment(struct shell *shell, const char *name)
{
    char host[256] = "";
    if (text_same(name, "NewLine"))
        return value_text(&shell->heap, "\n");
    if (!text_same(name, "MachineName") || gethostname(host, sizeof(host) - 1))
        return NULL;
    return value_text(&shell->heap, host);
}

enum flow static_get(struct shell *shell, const struct node *node, const char *type, const char *name,
                     struct value *arguments, struct value **value)
{
    struct value *v = NULL;
    if (text_same(type, "math"))
        v = math(shell, name, arguments);
    else if (text_same(type, "string"))
        v = string(shell, name, arguments);
    else if (text_same(type, "Environment"))
        v = environment(shell, name);
    else if (text_listed("int|int32|int64|long", type) && text_listed("MaxValue|MinValue", name)) {
        bool wide = text_listed("int64|long", type), most = text_same(name, "MaxValue");
        v = value_number(&shell->heap, wide ? (most ? INT64_MAX : INT64_MIN) : (most ? INT32_MAX : INT32_MIN));
    } else if (text_same(name, "Parse") && arguments && arguments->array.count)
        return type_convert(shell, node, type, arguments->array.item[0], value);
    *value = v;
    if (v)
        return FLOW_NEXT;
    const struct failure f = {INVALID_OPERATION, "MethodNotFound", "RuntimeException", .target = name, .node = node};
    return failure_throw(shell, &f, "there is no [%s]::%s here", type, name);
}
