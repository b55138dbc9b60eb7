/*
 * Binding: which word of a command is the value of which parameter (the pages on parameters and their sets in
 * PowerShell's documentation). Names may be shortened as long as one parameter begins so; what has no name goes by
 * position; what the pipeline brings goes to parameters that take values, then to those that take properties.
 */
#include "base/spelling.h"
#include "shell/cmdlet.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char exception[] = "ParameterBindingException";

static enum flow refuse_with(struct call *call, const struct node *node, const char *id, const char *target,
                             const char *remedy, const char *text)
{
    char full[200];
    call_id(call, id, full, sizeof(full));
    const struct failure f = {INVALID_ARGUMENT, full, exception, target, call->name, remedy, node ? node : call->node};
    return failure_throw(call->shell, &f, "%s", text);
}

static enum flow refuse(struct call *call, const struct node *node, const char *id, const char *target,
                        const char *format, ...) __attribute__((format(printf, 5, 6)));

static enum flow refuse(struct call *call, const struct node *node, const char *id, const char *target,
                        const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return refuse_with(call, node, id, target, NULL, text);
}

/* -- values -- */

static enum flow bad_value(struct call *call, const struct parameter *p, const struct node *node, struct value *value,
                           const char *wanted)
{
    struct text text = {0};
    value_put(value, &text);
    enum flow flow = refuse(call, node, "CannotConvertArgument", p->name, "-%s: '%.100s' is not %s", p->name,
                            text_get(&text), wanted);
    text_free(&text);
    return flow;
}

static enum flow to_text(struct call *call, const struct parameter *p, const struct node *node, struct value *value,
                         struct value **converted)
{
    if (value->kind == VALUE_OBJECT) { /* by its name, as VMs and switches are asked for */
        struct value *name = object_get(value, "Name");
        if (name && name->kind == VALUE_TEXT)
            value = name;
    }
    if (value->kind == VALUE_NULL)
        return refuse(call, node, "ParameterArgumentValidationErrorNullNotAllowed", p->name, "-%s is null", p->name);
    if (value->kind == VALUE_ARRAY && value->array.count != 1)
        return bad_value(call, p, node, value, "one text but several");
    return type_convert(call->shell, node ? node : call->node, "string",
                        value->kind == VALUE_ARRAY ? value->array.item[0] : value, converted);
}

static enum flow to_number(struct call *call, const struct parameter *p, const struct node *node, struct value *value,
                           struct value **converted)
{
    s64 n = 0;
    double real;
    bool whole;
    if (value->kind == VALUE_ARRAY && value->array.count == 1)
        value = value->array.item[0];
    if (value->kind == VALUE_NULL || !value_numeric(value, &n, &real, &whole) ||
        (value->kind == VALUE_TEXT && !value->length))
        return bad_value(call, p, node, value, "a number");
    if (!whole && fabs(real) > 9e18)
        return bad_value(call, p, node, value, "a number that there is");
    if (!whole)
        n = (s64)nearbyint(real);
    if ((p->least || p->most) && (n < p->least || n > p->most))
        return refuse(call, node, "ParameterArgumentValidationError", p->name, "-%s: %lld is not from %lld to %lld",
                      p->name, (long long)n, (long long)p->least, (long long)p->most);
    *converted = value_number(&call->shell->heap, n);
    return FLOW_NEXT;
}

static enum flow to_choice(struct call *call, const struct parameter *p, const struct node *node, struct value *value,
                           struct value **converted)
{
    struct text text = {0};
    const char *found = NULL;
    size_t found_length = 0, matches = 0;
    if (value->kind == VALUE_BOOL && text_listed(p->words, "On")) /* On and Off are often written so */
        text_puts(&text, value->truth ? "On" : "Off");
    else
        value_put(value, &text);
    for (const char *at = p->words; *at; at += strcspn(at, "|"), at += *at == '|') {
        size_t length = strcspn(at, "|");
        if (text.used && text.used <= length && text_begins(at, text_get(&text))) {
            matches = text.used == length ? 1 : matches + 1;
            found = at;
            found_length = length;
            if (text.used == length)
                break;
        }
    }
    enum flow flow = FLOW_NEXT;
    if (matches == 1)
        *converted = value_text_n(&call->shell->heap, found, found_length);
    else {
        char words[200];
        snprintf(words, sizeof(words), "%s", p->words);
        for (char *bar; (bar = strchr(words, '|'));)
            *bar = '/';
        flow = refuse(call, node, "CannotConvertArgument", p->name, "-%s: '%.60s' is none of %s", p->name,
                      text_get(&text), words);
    }
    text_free(&text);
    return flow;
}

static enum flow to_list(struct call *call, const struct parameter *p, const struct node *node, struct value *value,
                         struct value **converted)
{
    struct value *list = value_array(&call->shell->heap), *one;
    size_t count = value->kind == VALUE_ARRAY ? value->array.count : 1;
    *converted = list;
    for (size_t i = 0; i < count; i++) {
        struct value *item = value->kind == VALUE_ARRAY ? value->array.item[i] : value;
        enum flow flow =
            p->kind == PARAMETER_NUMBERS ? to_number(call, p, node, item, &one) : to_text(call, p, node, item, &one);
        if (flow != FLOW_NEXT)
            return flow;
        array_add(list, one);
    }
    return FLOW_NEXT;
}

/* All of the type? */
static bool are_objects(const struct value *value, const char *type)
{
    if (value->kind != VALUE_ARRAY)
        return value_is(value, type);
    for (size_t i = 0; i < value->array.count; i++)
        if (!value_is(value->array.item[i], type))
            return false;
    return value->array.count > 0;
}

enum flow bind_convert(struct call *call, const struct parameter *p, const struct node *node, struct value *value,
                       struct value **converted)
{
    s64 number;
    double real;
    bool whole;
    *converted = value;
    switch (p->kind) {
    case PARAMETER_TEXT: return to_text(call, p, node, value, converted);
    case PARAMETER_TEXTS:
    case PARAMETER_NUMBERS: return to_list(call, p, node, value, converted);
    case PARAMETER_NUMBER: return to_number(call, p, node, value, converted);
    case PARAMETER_CHOICE: return to_choice(call, p, node, value, converted);
    case PARAMETER_SWITCH:
    case PARAMETER_BOOL:
        if (value->kind == VALUE_TEXT || !value_numeric(value, &number, &real, &whole) || value->kind == VALUE_NULL)
            return bad_value(call, p, node, value, "$true or $false");
        *converted = value_bool(value_truth(value));
        return FLOW_NEXT;
    case PARAMETER_OBJECT: return are_objects(value, p->words) ? FLOW_NEXT : bad_value(call, p, node, value, p->words);
    case PARAMETER_BLOCK:
        return value->kind == VALUE_BLOCK ? FLOW_NEXT : bad_value(call, p, node, value, "a script block");
    default: return FLOW_NEXT;
    }
}

/* -- names -- */

enum { OWN, COMMON, CONFIRM, TABLES };

static const struct parameter *table_of(const struct call *call, int which)
{
    static const struct parameter none[] = {{0}};
    if (which == OWN)
        return call->parameters;
    if (which == CONFIRM && (!call->cmdlet || call->cmdlet->impact == IMPACT_NONE))
        return none;
    return which == COMMON ? common_parameters : confirm_parameters;
}

static bool alias_begins(const char *aliases, const char *name)
{
    for (; aliases && *aliases; aliases += strcspn(aliases, "|"), aliases += *aliases == '|')
        if (strlen(name) <= strcspn(aliases, "|") && text_begins(aliases, name))
            return true;
    return false;
}

static const char *parameter_name(const void *opaque, unsigned index)
{
    for (int t = 0; t < TABLES; t++)
        for (const struct parameter *p = table_of(opaque, t); p->name; p++)
            if (!index--)
                return p->name;
    return NULL;
}

/* Finds a parameter by its name, an alias, or how one of them begins. */
static enum flow find(struct call *call, const struct node *node, const struct parameter **found, int *table)
{
    const char *name = node->name;
    char candidates[200] = "";
    unsigned count = 0;
    for (int t = 0; t < TABLES; t++)
        for (const struct parameter *p = table_of(call, t); p->name; p++) {
            bool exact = text_same(p->name, name) || text_listed(p->aliases, name);
            if (!exact && !text_begins(p->name, name) && !alias_begins(p->aliases, name))
                continue;
            *found = p;
            *table = t;
            if (exact)
                return FLOW_NEXT;
            size_t used = strlen(candidates);
            snprintf(candidates + used, sizeof(candidates) - used, "%s-%s", count ? ", " : "", p->name);
            count++;
        }
    if (count == 1)
        return FLOW_NEXT;
    if (count > 1)
        return refuse(call, node, "AmbiguousParameter", name, "-%s may be %s", name, candidates);
    const char *close = spelling_closest(name, parameter_name, call);
    char remedy[80] = "", text[400];
    if (close)
        snprintf(remedy, sizeof(remedy), "did you mean -%s?", close);
    snprintf(text, sizeof(text), "%s has no parameter -%s", call->name, name);
    return refuse_with(call, node, "NamedParameterNotFound", name, remedy, text);
}

/* -- words -- */

static void take_common(struct call *call, const struct parameter *p, struct value *value)
{
    if (strcmp(p->name, "Verbose") == 0)
        call->verbose = value_truth(value);
    else if (strcmp(p->name, "ErrorAction") == 0)
        call->errors = value->text;
    else if (strcmp(p->name, "WarningAction") == 0)
        call->no_warnings = text_listed("SilentlyContinue|Ignore", value->text);
    else if (strcmp(p->name, "WhatIf") == 0)
        call->what_if = value_truth(value);
    else if (strcmp(p->name, "Confirm") == 0)
        call->confirm = value;
}

static enum flow bind_one(struct call *call, const struct node *node, const struct parameter *p, int table,
                          struct value *value)
{
    struct value *converted;
    enum flow flow = bind_convert(call, p, node, value, &converted);
    if (flow != FLOW_NEXT)
        return flow;
    if (table != OWN) {
        take_common(call, p, converted);
        return FLOW_NEXT;
    }
    size_t index = (size_t)(p - call->parameters);
    if (call->given[index])
        return refuse(call, node, "ParameterAlreadyBound", p->name, "-%s is given twice", p->name);
    call->given[index] = call->bound[index] = converted;
    return FLOW_NEXT;
}

/* @name: a hash table has parameters, an array has values by position. */
static enum flow bind_splat(struct call *call, const struct node *node, struct value *positional)
{
    struct value *all = variable_get(call->shell, node->left->name);
    if (all->kind != VALUE_OBJECT) {
        size_t count = all->kind == VALUE_ARRAY ? all->array.count : all->kind != VALUE_NULL;
        for (size_t i = 0; i < count; i++)
            array_add(positional, all->kind == VALUE_ARRAY ? all->array.item[i] : all);
        return FLOW_NEXT;
    }
    for (size_t i = 0; i < all->object.count; i++) {
        struct node named = *node;
        const struct parameter *p;
        int table;
        named.name = all->object.property[i].name;
        enum flow flow = find(call, &named, &p, &table);
        if (flow == FLOW_NEXT)
            flow = bind_one(call, node, p, table, all->object.property[i].value);
        if (flow != FLOW_NEXT)
            return flow;
    }
    return FLOW_NEXT;
}

/* A parameter that is named. *next: the word that comes behind its value. */
static enum flow bind_named(struct call *call, const struct node *node, const struct node **next)
{
    const struct parameter *p;
    struct value *value = &value_true;
    int table;
    *next = node->next;
    enum flow flow = find(call, node, &p, &table);
    if (flow != FLOW_NEXT)
        return flow;
    const struct node *from = node->flag ? node->left : NULL;
    if (!node->flag && p->kind != PARAMETER_SWITCH) {
        if (!node->next || node->next->kind != NODE_ARGUMENT || node->next->name || !node->next->left)
            return refuse(call, node, "MissingArgument", p->name, "-%s has no value behind it", p->name);
        from = node->next->left;
        *next = node->next->next;
    }
    if (from)
        flow = eval_expression(call->shell, from, &value);
    return flow == FLOW_NEXT ? bind_one(call, node, p, table, value) : flow;
}

/* The sets that are still possible. */
static u32 sets(const struct call *call)
{
    u32 possible = ~0u;
    for (unsigned i = 0; call->parameters[i].name; i++)
        if (call->bound[i] && call->parameters[i].sets)
            possible &= call->parameters[i].sets;
    return possible;
}

/* Would the value do for the parameter as it is? */
static bool suits(const struct parameter *p, const struct value *value)
{
    switch (p->kind) {
    case PARAMETER_OBJECT: return are_objects(value, p->words);
    case PARAMETER_TEXT: return value->kind == VALUE_TEXT || value->kind == VALUE_NUMBER;
    case PARAMETER_TEXTS: return value->kind != VALUE_OBJECT && value->kind != VALUE_BLOCK;
    case PARAMETER_NUMBER:
    case PARAMETER_NUMBERS: return value->kind == VALUE_NUMBER;
    case PARAMETER_BLOCK: return value->kind == VALUE_BLOCK;
    default: return true;
    }
}

/* The parameter for a value without a name; of several at one position the one that the value suits. */
static const struct parameter *next_by_position(const struct call *call, const struct value *value)
{
    const struct parameter *best = NULL;
    u32 possible = sets(call);
    for (unsigned i = 0; call->parameters[i].name; i++) {
        const struct parameter *p = &call->parameters[i];
        if (!p->position || call->given[i] || (p->sets && !(p->sets & possible)))
            continue;
        if (!best || p->position < best->position ||
            (p->position == best->position && suits(p, value) && !suits(best, value)))
            best = p;
    }
    return best;
}

static enum flow bind_positional(struct call *call, const struct value *values)
{
    for (size_t i = 0; i < values->array.count; i++) {
        struct value *value = values->array.item[i];
        const struct parameter *p = next_by_position(call, value);
        if (p && (p->flags & REST)) {
            struct value *all = value_array(&call->shell->heap);
            for (; i < values->array.count; i++)
                array_add(all, values->array.item[i]);
            return bind_one(call, NULL, p, OWN, all->array.count == 1 ? all->array.item[0] : all);
        }
        if (p) {
            enum flow flow = bind_one(call, NULL, p, OWN, value);
            if (flow != FLOW_NEXT)
                return flow;
        } else if (call->rest) {
            array_add(call->rest, value);
        } else {
            struct text text = {0};
            value_put(value, &text);
            enum flow flow = refuse(call, NULL, "PositionalParameterNotFound", call->name,
                                    "%s takes no further value: '%.60s'", call->name, text_get(&text));
            text_free(&text);
            return flow;
        }
    }
    return FLOW_NEXT;
}

enum flow bind_words(struct call *call, const struct node *words)
{
    struct value *positional = value_array(&call->shell->heap);
    for (const struct node *node = words, *next; node; node = next) {
        enum flow flow = FLOW_NEXT;
        struct value *value;
        next = node->next;
        if (node->kind == NODE_REDIRECT)
            continue;
        if (node->name) {
            flow = bind_named(call, node, &next);
        } else if (node->left->kind == NODE_SPLAT) {
            flow = bind_splat(call, node, positional);
        } else {
            flow = eval_expression(call->shell, node->left, &value);
            if (flow == FLOW_NEXT)
                array_add(positional, value);
        }
        if (flow != FLOW_NEXT)
            return flow;
    }
    return bind_positional(call, positional);
}

/* -- the pipeline -- */

static struct value *property_for(const struct parameter *p, const struct value *value)
{
    struct value *found = object_get(value, p->name);
    const char *at = p->aliases;
    for (; !found && at && *at; at += strcspn(at, "|"), at += *at == '|') {
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "|"), at);
        found = object_get(value, name);
    }
    return found && found->kind != VALUE_NULL ? found : NULL;
}

static bool may_take(const struct call *call, unsigned i, u32 flag, u32 possible)
{
    const struct parameter *p = &call->parameters[i];
    return (p->flags & flag) && !call->given[i] && (!p->sets || (p->sets & possible));
}

enum flow bind_input(struct call *call, struct value *input, bool *taken)
{
    *taken = false;
    for (unsigned i = 0; call->parameters[i].name; i++)
        call->bound[i] = call->given[i];
    u32 possible = sets(call);
    for (unsigned i = 0; call->parameters[i].name && !*taken; i++)
        if (may_take(call, i, BY_VALUE, possible) && suits(&call->parameters[i], input)) {
            *taken = true;
            enum flow flow = bind_convert(call, &call->parameters[i], NULL, input, &call->bound[i]);
            if (flow != FLOW_NEXT)
                return flow;
        }
    for (unsigned i = 0; call->parameters[i].name; i++) {
        possible = sets(call);
        struct value *property =
            may_take(call, i, BY_NAME, possible) && !call->bound[i] ? property_for(&call->parameters[i], input) : NULL;
        if (!property)
            continue;
        *taken = true;
        enum flow flow = bind_convert(call, &call->parameters[i], NULL, property, &call->bound[i]);
        if (flow != FLOW_NEXT)
            return flow;
    }
    return FLOW_NEXT;
}

/* -- completeness -- */

/* What is missing for a set; NULL: nothing. */
static const struct parameter *missing(const struct call *call, u32 set)
{
    for (unsigned i = 0; call->parameters[i].name; i++) {
        const struct parameter *p = &call->parameters[i];
        if ((p->flags & MANDATORY) && !call->bound[i] && (!p->sets || (p->sets & set)))
            return p;
    }
    return NULL;
}

enum flow bind_check(struct call *call)
{
    const struct parameter *first = NULL;
    u32 possible = sets(call), all = 0;
    for (unsigned i = 0; call->parameters[i].name; i++)
        all |= call->parameters[i].sets;
    if (!all)
        first = missing(call, ~0u);
    if (all && !(possible & all))
        return refuse(call, NULL, "AmbiguousParameterSet", call->name,
                      "these parameters of %s do not go together; Get-Help %s shows which do", call->name, call->name);
    for (u32 bit = 1; bit && all; bit <<= 1) {
        if (!(all & possible & bit))
            continue;
        const struct parameter *p = missing(call, bit);
        if (!p)
            return FLOW_NEXT;
        first = first ? first : p;
    }
    if (!first)
        return FLOW_NEXT;
    return refuse(call, NULL, "MissingMandatoryParameter", first->name, "%s needs -%s: %s", call->name, first->name,
                  first->help ? first->help : "it must be given");
}
