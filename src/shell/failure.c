/*
 * Records of errors: made, thrown, printed. PowerShell's form (its class ErrorRecord): the command and the
 * message, the line with the place marked, the category, the identifier.
 */
#include "shell/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ERRORS_KEPT 256u

static const char *const categories[] = {
    [NOT_SPECIFIED] = "NotSpecified",
    [INVALID_ARGUMENT] = "InvalidArgument",
    [INVALID_DATA] = "InvalidData",
    [INVALID_OPERATION] = "InvalidOperation",
    [INVALID_TYPE] = "InvalidType",
    [OBJECT_NOT_FOUND] = "ObjectNotFound",
    [OPERATION_STOPPED] = "OperationStopped",
    [OPERATION_TIMEOUT] = "OperationTimeout",
    [PARSER_ERROR] = "ParserError",
    [PERMISSION_DENIED] = "PermissionDenied",
    [RESOURCE_BUSY] = "ResourceBusy",
    [RESOURCE_EXISTS] = "ResourceExists",
    [RESOURCE_UNAVAILABLE] = "ResourceUnavailable",
    [NOT_IMPLEMENTED] = "NotImplemented",
    [METADATA_ERROR] = "MetadataError",
};

static struct value *record(struct shell *shell, const struct failure *f, const char *message)
{
    struct heap *heap = &shell->heap;
    struct value *r = value_object(heap, "ErrorRecord"), *exception = value_object(heap, "Exception");
    struct value *info = value_object(heap, "ErrorCategoryInfo"), *place = &value_null;
    struct text text = {0};
    object_set(exception, "Message", value_text(heap, message));
    object_set(exception, "Type", value_text(heap, f->exception));
    object_set(info, "Category", value_text(heap, categories[f->category]));
    object_set(info, "Activity", value_text(heap, f->command ? f->command : ""));
    object_set(info, "Reason", value_text(heap, f->exception));
    object_set(info, "TargetName", value_text(heap, f->target ? f->target : ""));
    object_set(r, "Exception", exception);
    object_set(r, "CategoryInfo", info);
    object_set(r, "FullyQualifiedErrorId", value_text(heap, f->id));
    object_set(r, "TargetObject", value_text(heap, f->target));
    if (f->node) {
        u32 line, column;
        node_place(f->node, &line, &column);
        place = value_object(heap, "InvocationInfo");
        object_set(place, "MyCommand", value_text(heap, f->command));
        object_set(place, "ScriptName", value_text(heap, f->node->source->name));
        object_set(place, "ScriptLineNumber", value_number(heap, line));
        object_set(place, "OffsetInLine", value_number(heap, column));
        if (f->node->source->name)
            text_format(&text, "At %s:%u char:%u\n", f->node->source->name, line, column);
        else
            text_format(&text, "At line:%u char:%u\n", line, column);
        node_show(f->node, &text);
        object_set(place, "PositionMessage", value_text_take(heap, &text));
    }
    object_set(r, "InvocationInfo", place);
    object_set(r, "RecommendedAction", value_text(heap, f->remedy && *f->remedy ? f->remedy : NULL));
    return r;
}

static struct value *record_of(struct shell *shell, const struct failure *f, const char *format, va_list args)
{
    struct text message = {0};
    char *line;
    if (vasprintf(&line, format, args) >= 0) {
        text_puts(&message, line);
        free(line);
    }
    struct value *r = record(shell, f, text_get(&message));
    text_free(&message);
    return r;
}

struct value *failure_record(struct shell *shell, const struct failure *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct value *r = record_of(shell, f, format, args);
    va_end(args);
    return r;
}

enum flow failure_throw_record(struct shell *shell, struct value *record, bool fatal)
{
    shell->thrown = record;
    shell->fatal = fatal;
    return FLOW_THROW;
}

enum flow failure_throw(struct shell *shell, const struct failure *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct value *r = record_of(shell, f, format, args);
    va_end(args);
    return failure_throw_record(shell, r, false);
}

static const char *text_of(const struct value *object, const char *name)
{
    const struct value *v = object ? object_get(object, name) : NULL;
    return v && v->kind == VALUE_TEXT ? v->text : "";
}

void failure_text(const struct value *record, struct text *to)
{
    const struct value *info = object_get(record, "CategoryInfo"), *place = object_get(record, "InvocationInfo");
    const char *activity = text_of(info, "Activity"), *remedy = text_of(record, "RecommendedAction");
    if (*activity)
        text_format(to, "%s : ", activity);
    text_format(to, "%s\n", text_of(object_get(record, "Exception"), "Message"));
    if (*remedy)
        text_format(to, "  %s\n", remedy);
    text_puts(to, text_of(place, "PositionMessage"));
    text_format(to, "    + CategoryInfo          : %s: (%s) [%s], %s\n", text_of(info, "Category"),
                text_of(info, "TargetName"), activity, text_of(info, "Reason"));
    text_format(to, "    + FullyQualifiedErrorId : %s\n\n", text_of(record, "FullyQualifiedErrorId"));
}

void failure_report(struct shell *shell, struct value *record)
{
    struct value *kept = value_array(&shell->heap);
    array_add(kept, record);
    for (size_t i = 0; i < shell->errors->array.count && kept->array.count < ERRORS_KEPT; i++)
        array_add(kept, shell->errors->array.item[i]);
    shell->errors = kept;
    shell->ok = false;
    if (shell->quiet)
        return;
    struct text text = {0};
    failure_text(record, &text);
    fflush(shell->out);
    fprintf(shell->err, shell->colours ? "\x1b[31m%s\x1b[0m" : "%s", text_get(&text));
    fflush(shell->err);
    text_free(&text);
}

void failure_of_error(const struct error *error, struct failure *f)
{
    static const struct {
        int code;
        enum category category;
        const char *id;
    } rows[] = {
        {EINVAL, INVALID_ARGUMENT, "InvalidParameter"}, {ERANGE, INVALID_ARGUMENT, "InvalidParameter"},
        {ENOENT, OBJECT_NOT_FOUND, "ObjectNotFound"},   {EEXIST, RESOURCE_EXISTS, "ResourceExists"},
        {EPERM, INVALID_OPERATION, "InvalidState"},     {EBUSY, RESOURCE_BUSY, "ObjectInUse"},
        {ENOTEMPTY, RESOURCE_BUSY, "ObjectInUse"},      {EACCES, PERMISSION_DENIED, "AccessDenied"},
        {ENOMEM, RESOURCE_UNAVAILABLE, "OutOfMemory"},  {ENOSPC, RESOURCE_UNAVAILABLE, "OutOfSpace"},
        {ETIMEDOUT, OPERATION_TIMEOUT, "Timeout"},      {ENOTSUP, NOT_IMPLEMENTED, "NotSupported"},
    };
    f->category = NOT_SPECIFIED;
    f->id = "OperationFailed";
    if (!f->exception)
        f->exception = "VirtualizationException";
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        if (error->code == -rows[i].code) {
            f->category = rows[i].category;
            f->id = rows[i].id;
        }
}

struct value *failure_from(struct shell *shell, const struct node *node, struct value *value)
{
    if (value_is(value, "ErrorRecord"))
        return value;
    struct text text = {0};
    value_put(value, &text);
    struct failure f = {.category = OPERATION_STOPPED, .exception = "RuntimeException", .node = node};
    f.id = text_get(&text);
    struct value *r = failure_record(shell, &f, "%s", text.used ? text_get(&text) : "ScriptHalted");
    object_set(r, "TargetObject", value);
    text_free(&text);
    return r;
}
