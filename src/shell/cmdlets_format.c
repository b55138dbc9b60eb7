/*
 * Cmdlets that make text of objects.
 */
#include "shell/cmdlet.h"
#include "shell/format.h"
#include "shell/json.h"
#include "shell/output.h"
#include "shell/script.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* What came through the pipeline, until the end. A call without a pipeline has its -InputObject. */
static struct value *gathered(struct call *call)
{
    if (!call->rest)
        call->rest = value_array(&call->shell->heap);
    return call->rest;
}

static enum flow gather(struct call *call)
{
    struct value *all = gathered(call), *one = call_argument(call, "InputObject");
    if (one && one->kind == VALUE_ARRAY)
        for (size_t i = 0; i < one->array.count; i++)
            array_add(all, one->array.item[i]);
    else if (one)
        array_add(all, one);
    return FLOW_NEXT;
}

/* A table or list of objects of one type; what is no object is put out as it is. */
static enum flow put_group(struct call *call, const struct value *group, bool list)
{
    struct shell *shell = call->shell;
    struct column columns[COLUMNS_MAX];
    const struct value *first = group->array.item[0], *asked = call_argument(call, "Property");
    struct text text = {0};
    size_t count = 0;
    enum flow flow = FLOW_NEXT;
    if (first->kind != VALUE_OBJECT) {
        for (size_t i = 0; i < group->array.count && flow == FLOW_NEXT; i++)
            flow = call_put(call, group->array.item[i]);
        return flow;
    }
    const struct view *view = format_view(first->object.type);
    if (asked)
        flow = format_columns_asked(shell, call->node, asked, first, columns, &count);
    else if (view && (list == view->list || !list))
        for (; count < ARRAY_LEN(view->columns) && view->columns[count].label; count++)
            columns[count] = view->columns[count];
    else if (!list)
        count = format_columns(first, columns);
    if (flow != FLOW_NEXT)
        return flow;
    bool wide = call_on(call, "Wrap") || call_on(call, "AutoSize");
    if (list)
        flow = format_list(shell, group, columns, count, &text);
    else if (count)
        flow = format_table(shell, group, columns, count, !call_on(call, "HideTableHeaders"), wide ? 0 : shell->width,
                            &text);
    if (text.used && text.at[text.used - 1] == '\n')
        text.used--; /* what prints the text ends its line */
    if (flow == FLOW_NEXT && text.used)
        return call_put(call, value_text_take(&shell->heap, &text));
    text_free(&text);
    return flow;
}

static enum flow put_groups(struct call *call, bool list)
{
    const struct value *all = gathered(call);
    struct value *group = value_array(&call->shell->heap);
    enum flow flow = FLOW_NEXT;
    for (size_t i = 0; i < all->array.count && flow == FLOW_NEXT; i++) {
        struct value *v = all->array.item[i];
        if (group->array.count && strcmp(value_type(v), value_type(group->array.item[0])) != 0) {
            flow = put_group(call, group, list);
            group = value_array(&call->shell->heap);
        }
        array_add(group, v);
    }
    return flow == FLOW_NEXT && group->array.count ? put_group(call, group, list) : flow;
}

static enum flow table_end(struct call *call)
{
    return put_groups(call, false);
}

static enum flow list_end(struct call *call)
{
    return put_groups(call, true);
}

static enum flow out_string_end(struct call *call)
{
    struct text text = {0};
    output_format(call->shell, gathered(call), &text);
    if (!call_on(call, "Stream"))
        return call_put(call, value_text_take(&call->shell->heap, &text));
    enum flow flow = FLOW_NEXT;
    for (const char *at = text_get(&text); *at && flow == FLOW_NEXT;) {
        size_t length = strcspn(at, "\n");
        flow = call_put(call, value_text_n(&call->shell->heap, at, length));
        at += length + (at[length] == '\n');
    }
    text_free(&text);
    return flow;
}

static enum flow out_host_end(struct call *call)
{
    struct text text = {0};
    output_flush(call->shell);
    output_format(call->shell, gathered(call), &text);
    fputs(text_get(&text), call->shell->out);
    text_free(&text);
    return FLOW_NEXT;
}

static enum flow out_file_end(struct call *call)
{
    struct text text = {0};
    const struct value *all = gathered(call);
    const char *name = call_text(call, "FilePath");
    enum flow flow = FLOW_NEXT;
    bool plain = strcmp(call->name, "Out-File") != 0;
    for (size_t i = 0; plain && i < all->array.count; i++) {
        value_put(all->array.item[i], &text);
        text_char(&text, '\n');
    }
    if (!plain)
        output_format(call->shell, all, &text);
    char *path = script_path(name ? name : "");
    bool append = call_on(call, "Append") || strcmp(call->name, "Add-Content") == 0;
    FILE *f = fopen(path, append ? "ae" : "we");
    if (!f || fputs(text_get(&text), f) < 0 || fclose(f))
        flow = call_error(call, RESOURCE_UNAVAILABLE, "FileOpenFailure", path, "cannot write %s: %m", path);
    free(path);
    text_free(&text);
    return flow;
}

static enum flow to_json_end(struct call *call)
{
    const struct value *all = gathered(call);
    struct text text = {0};
    s64 depth = 2;
    call_number(call, "Depth", &depth);
    const struct value *what = all->array.count == 1 && !call_on(call, "AsArray") ? all->array.item[0] : all;
    json_put(what, call_on(call, "Compress"), (unsigned)depth, &text);
    return call_put(call, value_text_take(&call->shell->heap, &text));
}

static enum flow from_json_end(struct call *call)
{
    const struct value *all = gathered(call);
    struct text text = {0};
    char why[160];
    for (size_t i = 0; i < all->array.count; i++) {
        value_put(all->array.item[i], &text);
        text_char(&text, '\n');
    }
    struct value *v = json_read(&call->shell->heap, text_get(&text), why, sizeof(why));
    text_free(&text);
    if (v)
        return sink_put_each(call->out, v);
    return call_error(call, INVALID_ARGUMENT, "InvalidJson", NULL, "the text is not JSON: %s", why);
}

/* clang-format off */
#define INPUT {"InputObject", PARAMETER_ANY, BY_VALUE, .help = "what is printed"}
static const struct parameter table_parameters[] = {
    {"Property", PARAMETER_ANY, .position = 1, .help = "columns: names with wildcards, blocks, @{Label; Expression}"},
    {"AutoSize", PARAMETER_SWITCH, .help = "columns as wide as they must be, beyond the line if so"},
    {"HideTableHeaders", PARAMETER_SWITCH, .help = "without headings"},
    {"Wrap", PARAMETER_SWITCH, .help = "nothing is cut"},
    INPUT, {0},
};
static const struct parameter list_parameters[] = {
    {"Property", PARAMETER_ANY, .position = 1, .help = "properties: names with wildcards, blocks; * is all"},
    INPUT, {0},
};
static const struct parameter string_parameters[] = {
    {"Stream", PARAMETER_SWITCH, .help = "one text per line"}, INPUT, {0},
};
static const struct parameter host_parameters[] = {INPUT, {0}};
static const struct parameter file_parameters[] = {
    {"FilePath", PARAMETER_TEXT, MANDATORY, 1, .aliases = "Path|LiteralPath", .help = "the file"},
    {"InputObject", PARAMETER_ANY, BY_VALUE, 2, .aliases = "Value", .help = "what is written"},
    {"Append", PARAMETER_SWITCH, .help = "behind what is there"},
    {"Encoding", PARAMETER_CHOICE, .words = "utf8|utf8NoBOM|ascii", .help = "UTF-8 in any case"},
    {0},
};
static const struct parameter to_json_parameters[] = {
    INPUT,
    {"Depth", PARAMETER_NUMBER, .least = 0, .most = 100, .help = "how deep objects are followed; 2 without it"},
    {"Compress", PARAMETER_SWITCH, .help = "without spaces and lines"},
    {"AsArray", PARAMETER_SWITCH, .help = "an array also of one value"},
    {0},
};
static const struct parameter from_json_parameters[] = {
    {"InputObject", PARAMETER_ANY, BY_VALUE, 1, .help = "the text"}, {0},
};
const struct cmdlet cmdlets_format[] = {
    {"Format-Table", "ft", table_parameters, .process = gather, .end = table_end,
     .summary = "Prints objects as a table",
     .examples = "Get-VM | Format-Table Name, State -AutoSize"},
    {"Format-List", "fl", list_parameters, .process = gather, .end = list_end,
     .summary = "Prints objects as a list of their properties",
     .examples = "Get-VMProcessor lab | Format-List *"},
    {"Out-String", "oss", string_parameters, .process = gather, .end = out_string_end,
     .summary = "Makes one text of what would be printed"},
    {"Out-Host", "oh|Out-Default", host_parameters, .process = gather, .end = out_host_end,
     .summary = "Prints at once"},
    {"Out-File", NULL, file_parameters, .process = gather, .end = out_file_end,
     .summary = "Writes what would be printed to a file"},
    {"Set-Content", "sc", file_parameters, .process = gather, .end = out_file_end,
     .summary = "Writes values to a file, one per line"},
    {"Add-Content", "ac", file_parameters, .process = gather, .end = out_file_end,
     .summary = "Writes values to the end of a file"},
    {"ConvertTo-Json", NULL, to_json_parameters, .process = gather, .end = to_json_end,
     .summary = "Makes JSON of values",
     .examples = "Get-VM | ConvertTo-Json -Depth 3"},
    {"ConvertFrom-Json", NULL, from_json_parameters, .process = gather, .end = from_json_end,
     .summary = "Makes objects of JSON",
     .examples = "'{\"a\": 1}' | ConvertFrom-Json"},
    {0},
};
/* clang-format on */
