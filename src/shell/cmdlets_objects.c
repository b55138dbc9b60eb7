/*
 * Cmdlets that select, sort and count what comes through a pipeline.
 */
#include "shell/cmdlet.h"
#include "shell/format.h"
#include "shell/pattern.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct value *gathered(struct call *call)
{
    if (!call->rest)
        call->rest = value_array(&call->shell->heap);
    return call->rest;
}

static enum flow gather(struct call *call)
{
    struct value *one = call_argument(call, "InputObject");
    if (one)
        array_add(gathered(call), one);
    return FLOW_NEXT;
}

/* -- Where-Object -- */

static const char *const comparisons[] = {"eq",      "ne",    "gt",       "ge",       "lt",          "le", "like",
                                          "notlike", "match", "notmatch", "contains", "notcontains", "in", "notin"};

static enum flow where(struct call *call)
{
    struct shell *shell = call->shell;
    const struct value *block = call_argument(call, "FilterScript");
    const char *property = call_text(call, "Property"), *operator= NULL;
    struct value *result = &value_null, *of;
    enum flow flow;
    if (!call->input)
        return FLOW_NEXT;
    if (block) {
        struct collect c;
        collect_begin(&c, shell);
        flow = run_block(shell, block->block, call->input, NULL, false, &c.sink);
        result = collect_end(&c);
    } else {
        for (unsigned i = 0; i < ARRAY_LEN(comparisons); i++)
            if (call_on(call, comparisons[i]))
                operator= comparisons[i];
        flow = member_get(shell, call->node, call->input, property, &of);
        result = of;
        if (flow == FLOW_NEXT && operator) {
            struct node node = *call->node;
            node.kind = NODE_BINARY;
            node.operator= operator;
            struct value *with = call_argument(call, "Value");
            flow = operator_apply(shell, &node, of, with ? with : &value_null, &result);
        } else if (flow == FLOW_NEXT && call_on(call, "not")) {
            result = value_bool(!value_truth(of));
        }
    }
    return flow == FLOW_NEXT && value_truth(result) ? call_put(call, call->input) : flow;
}

/* -- ForEach-Object -- */

static enum flow each_block(struct call *call, const char *name)
{
    const struct value *block = call_argument(call, name);
    return block ? run_block(call->shell, block->block, NULL, NULL, false, call->out) : FLOW_NEXT;
}

static enum flow each_begin(struct call *call)
{
    return each_block(call, "Begin");
}

static enum flow each_end(struct call *call)
{
    return each_block(call, "End");
}

static enum flow each(struct call *call)
{
    const struct value *blocks = call_argument(call, "Process");
    const char *member = call_text(call, "MemberName");
    struct value *value;
    if (!call->input)
        return FLOW_NEXT;
    if (blocks)
        return run_block(call->shell, blocks->block, call->input, NULL, false, call->out);
    enum flow flow = member_get(call->shell, call->node, call->input, member, &value);
    if (flow == FLOW_NEXT && value->kind == VALUE_NULL && call->input->kind != VALUE_OBJECT)
        flow = member_call(call->shell, call->node, call->input, member, value_array(&call->shell->heap), &value);
    return flow == FLOW_NEXT && value->kind != VALUE_NULL ? sink_put_each(call->out, value) : flow;
}

/* -- Select-Object -- */

static bool excluded(const struct call *call, const char *name)
{
    for (size_t i = 0; i < call_count(call, "ExcludeProperty"); i++)
        if (text_like(name, call_at(call, "ExcludeProperty", i), false))
            return true;
    return false;
}

static enum flow column_value(struct call *call, struct value *of, const struct column *column, struct value **value)
{
    if (!column->block)
        return member_get(call->shell, call->node, of, column->property, value);
    struct collect c;
    collect_begin(&c, call->shell);
    enum flow flow = run_block(call->shell, column->block, of, NULL, false, &c.sink);
    *value = collect_end(&c);
    return flow;
}

static enum flow select_one(struct call *call, struct value *of)
{
    const char *expand = call_text(call, "ExpandProperty");
    const struct value *asked = call_argument(call, "Property");
    struct column columns[COLUMNS_MAX];
    size_t count;
    struct value *value;
    if (expand) {
        enum flow flow = member_get(call->shell, call->node, of, expand, &value);
        return flow == FLOW_NEXT && value->kind != VALUE_NULL ? sink_put_each(call->out, value) : flow;
    }
    if (!asked && !call_argument(call, "ExcludeProperty"))
        return call_put(call, of);
    enum flow flow = FLOW_NEXT;
    if (asked)
        flow = format_columns_asked(call->shell, call->node, asked, of, columns, &count);
    else
        count = format_columns(of, columns);
    struct value *selected = value_object(&call->shell->heap, "PSCustomObject");
    for (size_t i = 0; i < count && flow == FLOW_NEXT; i++) {
        if (excluded(call, columns[i].label))
            continue;
        flow = column_value(call, of, &columns[i], &value);
        if (flow == FLOW_NEXT)
            object_set(selected, columns[i].label, value);
    }
    return flow == FLOW_NEXT ? call_put(call, selected) : flow;
}

static bool same(const struct value *a, const struct value *b)
{
    struct text one = {0}, other = {0};
    value_put(a, &one);
    value_put(b, &other);
    bool is = strcmp(text_get(&one), text_get(&other)) == 0;
    text_free(&one);
    text_free(&other);
    return is;
}

static enum flow select_end(struct call *call)
{
    const struct value *all = gathered(call);
    s64 first = INT64_MAX, last = INT64_MAX, skip = 0;
    struct value *unique = value_array(&call->shell->heap);
    call_number(call, "First", &first);
    call_number(call, "Skip", &skip);
    s64 count = (s64)all->array.count, from = skip > count ? count : skip, to = count;
    if (call_number(call, "Last", &last))
        from = count - last > from ? count - last : from;
    if (first < to - from)
        to = from + first;
    enum flow flow = FLOW_NEXT;
    for (s64 i = from; i < to && flow == FLOW_NEXT; i++) {
        bool again = false;
        for (size_t j = 0; call_on(call, "Unique") && j < unique->array.count; j++)
            again |= same(unique->array.item[j], all->array.item[i]);
        if (again)
            continue;
        array_add(unique, all->array.item[i]);
        flow = select_one(call, all->array.item[i]);
    }
    return flow;
}

/* With the first few only, nothing more is asked of what comes before. */
static enum flow select_process(struct call *call)
{
    s64 first, skip = 0;
    gather(call);
    call_number(call, "Skip", &skip);
    if (call_number(call, "First", &first) && !call_argument(call, "Last") && !call_on(call, "Unique") &&
        (s64)gathered(call)->array.count >= first + skip) {
        call->shell->enough = call;
        return FLOW_ENOUGH;
    }
    return FLOW_NEXT;
}

/* -- Sort-Object, Group-Object, Measure-Object -- */

struct sorted {
    struct value *item, *keys;
    size_t index;
};
struct order {
    bool down, exact;
};

static int by_keys(const void *a, const void *b, void *opaque)
{
    const struct sorted *x = a, *y = b;
    const struct order *order = opaque;
    for (size_t i = 0; i < x->keys->array.count; i++) {
        int sign = value_compare(x->keys->array.item[i], y->keys->array.item[i], order->exact);
        if (sign)
            return order->down ? -sign : sign;
    }
    return (x->index > y->index) - (x->index < y->index);
}

static enum flow keys_of(struct call *call, struct value *of, struct value **keys)
{
    struct column columns[COLUMNS_MAX];
    size_t count = 0;
    const struct value *asked = call_argument(call, "Property");
    *keys = value_array(&call->shell->heap);
    if (!asked) {
        array_add(*keys, of);
        return FLOW_NEXT;
    }
    enum flow flow = format_columns_asked(call->shell, call->node, asked, of, columns, &count);
    for (size_t i = 0; i < count && flow == FLOW_NEXT; i++) {
        struct value *value;
        flow = column_value(call, of, &columns[i], &value);
        array_add(*keys, value);
    }
    return flow;
}

static enum flow sort_end(struct call *call)
{
    const struct value *all = gathered(call);
    struct order order = {call_on(call, "Descending"), call_on(call, "CaseSensitive")};
    struct sorted *sorted = memory_get(all->array.count * sizeof(*sorted));
    enum flow flow = FLOW_NEXT;
    for (size_t i = 0; i < all->array.count && flow == FLOW_NEXT; i++) {
        sorted[i] = (struct sorted){all->array.item[i], NULL, i};
        flow = keys_of(call, sorted[i].item, &sorted[i].keys);
    }
    if (flow == FLOW_NEXT)
        qsort_r(sorted, all->array.count, sizeof(*sorted), by_keys, &order);
    for (size_t i = 0; i < all->array.count && flow == FLOW_NEXT; i++) {
        if (call_on(call, "Unique") && i && same(sorted[i].keys, sorted[i - 1].keys))
            continue;
        flow = call_put(call, sorted[i].item);
    }
    free(sorted);
    return flow;
}

static enum flow group_end(struct call *call)
{
    const struct value *all = gathered(call);
    struct value *groups = value_array(&call->shell->heap);
    enum flow flow = FLOW_NEXT;
    for (size_t i = 0; i < all->array.count && flow == FLOW_NEXT; i++) {
        struct value *keys, *group = NULL;
        struct text name = {0};
        flow = keys_of(call, all->array.item[i], &keys);
        for (size_t k = 0; k < keys->array.count; k++) {
            text_puts(&name, k ? ", " : "");
            value_put(keys->array.item[k], &name);
        }
        for (size_t g = 0; g < groups->array.count && !group; g++)
            if (text_same(object_get(groups->array.item[g], "Name")->text, text_get(&name)))
                group = groups->array.item[g];
        if (!group) {
            group = value_object(&call->shell->heap, "GroupInfo");
            object_set(group, "Count", value_number(&call->shell->heap, 0));
            object_set(group, "Name", value_text(&call->shell->heap, text_get(&name)));
            object_set(group, "Group", value_array(&call->shell->heap));
            array_add(groups, group);
        }
        text_free(&name);
        array_add(object_get(group, "Group"), all->array.item[i]);
        object_set(group, "Count", value_number(&call->shell->heap, (s64)object_get(group, "Group")->array.count));
    }
    return flow == FLOW_NEXT ? sink_put_each(call->out, groups) : flow;
}

static enum flow measure_end(struct call *call)
{
    struct heap *heap = &call->shell->heap;
    const struct value *all = gathered(call);
    const char *property = call_text(call, "Property");
    struct value *result = value_object(heap, "GenericMeasureInfo");
    double sum = 0, least = 0, most = 0;
    size_t counted = 0;
    bool numbers =
        call_on(call, "Sum") || call_on(call, "Average") || call_on(call, "Maximum") || call_on(call, "Minimum");
    for (size_t i = 0; i < all->array.count; i++) {
        struct value *v = all->array.item[i];
        double real;
        s64 number;
        bool whole;
        if (property && (!(v = object_get(v, property)) || v->kind == VALUE_NULL))
            continue;
        if (numbers && !value_numeric(v, &number, &real, &whole)) {
            enum flow flow = call_error(call, INVALID_TYPE, "NonNumericInputObject", NULL, "a value is no number");
            if (flow != FLOW_NEXT)
                return flow;
            continue;
        }
        counted++;
        if (!numbers)
            continue;
        sum += real;
        least = counted == 1 || real < least ? real : least;
        most = counted == 1 || real > most ? real : most;
    }
    const struct {
        const char *name;
        double real;
    } rows[] = {{"Average", counted ? sum / (double)counted : 0}, {"Sum", sum}, {"Maximum", most}, {"Minimum", least}};
    object_set(result, "Count", value_number(heap, (s64)counted));
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        bool on = counted && call_on(call, rows[i].name);
        bool whole = on && fabs(rows[i].real) < 9e15 && rows[i].real == trunc(rows[i].real);
        object_set(result, rows[i].name,
                   !on     ? &value_null
                   : whole ? value_number(heap, (s64)rows[i].real)
                           : value_real(heap, rows[i].real));
    }
    object_set(result, "Property", value_text(heap, property));
    return call_put(call, result);
}

/* -- Get-Member, Select-String, Out-Null -- */

static enum flow members_end(struct call *call)
{
    struct heap *heap = &call->shell->heap;
    const struct value *all = gathered(call);
    enum flow flow = FLOW_NEXT;
    if (!all->array.count)
        return FLOW_NEXT;
    const struct value *of = all->array.item[0];
    for (size_t i = 0; of->kind == VALUE_OBJECT && i < of->object.count && flow == FLOW_NEXT; i++) {
        const struct property *p = &of->object.property[i];
        const char *wanted = call_text(call, "Name");
        struct text definition = {0};
        if (wanted && !text_like(p->name, wanted, false))
            continue;
        struct value *member = value_object(heap, "MemberDefinition");
        text_format(&definition, "%s %s {get;}", value_type(p->value), p->name);
        object_set(member, "Name", value_text(heap, p->name));
        object_set(member, "MemberType", value_text(heap, "Property"));
        object_set(member, "Definition", value_text_take(heap, &definition));
        object_set(member, "TypeName", value_text(heap, of->object.type));
        flow = call_put(call, member);
    }
    return flow;
}

static enum flow select_string(struct call *call)
{
    const struct value *input = call_argument(call, "InputObject");
    struct text text = {0};
    enum flow flow = FLOW_NEXT;
    bool found = false;
    if (!input)
        return FLOW_NEXT;
    value_put(input, &text);
    for (size_t i = 0; i < call_count(call, "Pattern") && !found && flow == FLOW_NEXT; i++) {
        const char *pattern = call_at(call, "Pattern", i);
        struct value *groups = &value_null;
        if (call_on(call, "SimpleMatch"))
            found = strcasestr(text_get(&text), pattern) != NULL;
        else
            flow = pattern_match(call->shell, call->node, pattern, text_get(&text), call_on(call, "CaseSensitive"),
                                 &groups);
        found |= groups->kind != VALUE_NULL;
    }
    if (flow == FLOW_NEXT && found != call_on(call, "NotMatch"))
        flow = call_put(call, value_text_take(&call->shell->heap, &text));
    text_free(&text);
    return flow;
}

static enum flow nothing(struct call *call)
{
    return FLOW_NEXT;
}

/* clang-format off */
#define INPUT {"InputObject", PARAMETER_ANY, BY_VALUE, .help = "what comes in"}
#define COMPARES(name, meaning) {name, PARAMETER_SWITCH, .sets = BIT(1), .help = meaning}
static const struct parameter where_parameters[] = {
    {"FilterScript", PARAMETER_BLOCK, MANDATORY, 1, .sets = BIT(0), .help = "true for what passes; $_ is the object"},
    {"Property", PARAMETER_TEXT, MANDATORY, 1, .sets = BIT(1), .help = "the property that is compared"},
    {"Value", PARAMETER_ANY, 0, 2, .sets = BIT(1), .help = "what it is compared with"},
    COMPARES("eq", "equal"), COMPARES("ne", "not equal"), COMPARES("gt", "greater"), COMPARES("ge", "greater or equal"),
    COMPARES("lt", "less"), COMPARES("le", "less or equal"), COMPARES("like", "like, with wildcards"),
    COMPARES("notlike", "not like"), COMPARES("match", "matches a regular expression"),
    COMPARES("notmatch", "does not match"), COMPARES("contains", "has an element"),
    COMPARES("notcontains", "has no such element"), COMPARES("in", "is an element"),
    COMPARES("notin", "is no element"), COMPARES("not", "is not true"),
    INPUT, {0},
};
static const struct parameter each_parameters[] = {
    {"Process", PARAMETER_BLOCK, MANDATORY, 1, .sets = BIT(0), .help = "runs for each; $_ is the object"},
    {"Begin", PARAMETER_BLOCK, .sets = BIT(0), .help = "runs before"},
    {"End", PARAMETER_BLOCK, .sets = BIT(0), .help = "runs after"},
    {"MemberName", PARAMETER_TEXT, MANDATORY, 1, .sets = BIT(1), .help = "the property or method of each"},
    INPUT, {0},
};
static const struct parameter select_parameters[] = {
    {"Property", PARAMETER_ANY, 0, 1, .help = "names with wildcards, blocks, @{Name; Expression}"},
    {"ExcludeProperty", PARAMETER_TEXTS, .help = "what is left out, with wildcards"},
    {"ExpandProperty", PARAMETER_TEXT, .help = "the value of one property instead of an object"},
    {"First", PARAMETER_NUMBER, .most = INT64_MAX, .help = "so many from the beginning"},
    {"Last", PARAMETER_NUMBER, .most = INT64_MAX, .help = "so many from the end"},
    {"Skip", PARAMETER_NUMBER, .most = INT64_MAX, .help = "so many are left out at the beginning"},
    {"Unique", PARAMETER_SWITCH, .help = "what is the same comes once"},
    INPUT, {0},
};
static const struct parameter sort_parameters[] = {
    {"Property", PARAMETER_ANY, 0, 1, .help = "what is sorted by"},
    {"Descending", PARAMETER_SWITCH, .help = "the greatest first"},
    {"Unique", PARAMETER_SWITCH, .help = "what is the same comes once"},
    {"CaseSensitive", PARAMETER_SWITCH, .help = "letters differ by their case"},
    INPUT, {0},
};
static const struct parameter group_parameters[] = {
    {"Property", PARAMETER_ANY, 0, 1, .help = "what is the same within a group"}, INPUT, {0},
};
static const struct parameter measure_parameters[] = {
    {"Property", PARAMETER_TEXT, 0, 1, .help = "the property that is measured"},
    {"Sum", PARAMETER_SWITCH, .help = "the sum"}, {"Average", PARAMETER_SWITCH, .help = "the average"},
    {"Maximum", PARAMETER_SWITCH, .help = "the greatest"}, {"Minimum", PARAMETER_SWITCH, .help = "the least"},
    INPUT, {0},
};
static const struct parameter member_parameters[] = {
    {"Name", PARAMETER_TEXT, 0, 1, .help = "which, with wildcards"}, INPUT, {0},
};
static const struct parameter string_parameters[] = {
    {"Pattern", PARAMETER_TEXTS, MANDATORY, 1, .help = "regular expressions"},
    {"SimpleMatch", PARAMETER_SWITCH, .help = "plain texts instead"},
    {"CaseSensitive", PARAMETER_SWITCH, .help = "letters differ by their case"},
    {"NotMatch", PARAMETER_SWITCH, .help = "what does not match"},
    INPUT, {0},
};
static const struct parameter null_parameters[] = {INPUT, {0}};

const struct cmdlet cmdlets_objects[] = {
    {"Where-Object", "where|?", where_parameters, .process = where, .summary = "Lets pass what fits",
     .examples = "Get-VM | Where-Object State -eq Off\n"
                 "Get-VM | Where-Object { $_.ProcessorCount -gt 2 }"},
    {"ForEach-Object", "foreach|%", each_parameters, .begin = each_begin, .process = each, .end = each_end,
     .summary = "Does something with each value",
     .examples = "Get-VM | ForEach-Object { \"$($_.Name) has $($_.ProcessorCount) CPUs\" }"},
    {"Select-Object", "select", select_parameters, .process = select_process, .end = select_end,
     .summary = "Takes properties of objects, or some of the objects",
     .examples = "Get-VM | Select-Object Name, State\n"
                 "1..9 | Select-Object -Last 2"},
    {"Sort-Object", "sort", sort_parameters, .process = gather, .end = sort_end, .summary = "Sorts",
     .examples = "Get-VM | Sort-Object MemoryAssigned -Descending"},
    {"Group-Object", "group", group_parameters, .process = gather, .end = group_end,
     .summary = "Puts together what is the same", .gives = "GroupInfo",
     .examples = "Get-VM | Group-Object State"},
    {"Measure-Object", "measure", measure_parameters, .process = gather, .end = measure_end,
     .summary = "Counts, adds, finds the least and the greatest", .gives = "GenericMeasureInfo",
     .examples = "Get-VM | Measure-Object MemoryStartup -Sum"},
    {"Get-Member", "gm", member_parameters, .process = gather, .end = members_end,
     .summary = "Lists the properties of an object", .gives = "MemberDefinition",
     .examples = "Get-VM | Get-Member"},
    {"Select-String", "sls", string_parameters, .process = select_string,
     .summary = "Lets pass texts that match",
     .examples = "Get-Content ./log | Select-String error"},
    {"Out-Null", NULL, null_parameters, .process = nothing, .summary = "Takes everything and does nothing"},
    {0},
};
/* clang-format on */
