/*
 * The table of tables, and what cmdlets ask of their call.
 */
#include "shell/cmdlet.h"

#include "base/spelling.h"
#include "shell/advice.h"
#include "shell/output.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const struct cmdlet *const cmdlet_tables[] = {cmdlets_core,
                                              cmdlets_objects,
                                              cmdlets_format,
                                              cmdlets_help,
                                              cmdlets_switch,
                                              cmdlets_nat,
                                              cmdlets_card,
                                              cmdlets_host,
                                              cmdlets_vm,
                                              cmdlets_hardware,
                                              cmdlets_life,
                                              cmdlets_guest,
                                              cmdlets_disk,
                                              cmdlets_checkpoint,
                                              cmdlets_export,
                                              cmdlets_meter,
                                              NULL};

/* clang-format off */
const struct parameter common_parameters[] = {
    {"Verbose", PARAMETER_SWITCH, .aliases = "vb", .help = "says what is done"},
    {"ErrorAction", PARAMETER_CHOICE, .aliases = "ea", .words = "Continue|SilentlyContinue|Stop|Ignore|Inquire",
     .help = "what an error does"},
    {"WarningAction", PARAMETER_CHOICE, .aliases = "wa", .words = "Continue|SilentlyContinue|Stop|Ignore|Inquire",
     .help = "whether warnings are shown"},
    {0},
};
const struct parameter confirm_parameters[] = {
    {"WhatIf", PARAMETER_SWITCH, .aliases = "wi", .help = "says what would be done, and does nothing"},
    {"Confirm", PARAMETER_SWITCH, .aliases = "cf", .help = "asks first; -Confirm:$false never asks"},
    {0},
};
/* clang-format on */

const struct cmdlet *cmdlet_find(const char *name)
{
    for (const struct cmdlet *const *table = cmdlet_tables; *table; table++)
        for (const struct cmdlet *c = *table; c->name; c++)
            if (text_same(c->name, name) || text_listed(c->aliases, name))
                return c;
    return NULL;
}

static const char *cmdlet_name(const void *opaque, unsigned index)
{
    for (const struct cmdlet *const *table = cmdlet_tables; *table; table++)
        for (const struct cmdlet *c = *table; c->name; c++)
            if (!index--)
                return c->name;
    return NULL;
}

const char *cmdlet_closest(const char *name)
{
    return spelling_closest(name, cmdlet_name, NULL);
}

const char *cmdlet_instead(const char *name)
{
    static const struct {
        const char *names, *instead;
    } absent[] = {
        {"Move-VM|Move-VMStorage", "a VM moves by Export-VM and Import-VM; moving it while it runs is not built yet"},
        {"Mount-VHD|Dismount-VHD|Mount-DiskImage|Dismount-DiskImage",
         "Add-VMHardDiskDrive gives an image to a VM, which mounts what is in it"},
        {"Enable-VMReplication|Set-VMReplication|Start-VMInitialReplication|Get-VMReplication",
         "replicas are not built yet; Export-VM copies a VM"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(absent); i++)
        if (text_listed(absent[i].names, name))
            return absent[i].instead;
    return NULL;
}

const char *parameter_type(const struct parameter *p)
{
    static const char *const names[] = {
        [PARAMETER_SWITCH] = "",           [PARAMETER_BOOL] = "bool",   [PARAMETER_TEXT] = "string",
        [PARAMETER_TEXTS] = "string[]",    [PARAMETER_NUMBER] = "long", [PARAMETER_NUMBERS] = "long[]",
        [PARAMETER_BLOCK] = "scriptblock", [PARAMETER_ANY] = "Object",
    };
    return p->kind == PARAMETER_CHOICE || p->kind == PARAMETER_OBJECT ? p->words : names[p->kind];
}

/* -- arguments -- */

struct value *call_argument(const struct call *call, const char *name)
{
    for (unsigned i = 0; call->parameters[i].name; i++)
        if (strcmp(call->parameters[i].name, name) == 0)
            return call->bound[i];
    return NULL;
}

const char *call_text(const struct call *call, const char *name)
{
    const struct value *v = call_argument(call, name);
    if (v && v->kind == VALUE_ARRAY && v->array.count)
        v = v->array.item[0];
    return v && v->kind == VALUE_TEXT ? v->text : NULL;
}

bool call_on(const struct call *call, const char *name)
{
    const struct value *v = call_argument(call, name);
    return v && value_truth(v);
}

bool call_number(const struct call *call, const char *name, s64 *number)
{
    const struct value *v = call_argument(call, name);
    if (!v || v->kind != VALUE_NUMBER)
        return false;
    *number = v->number;
    return true;
}

size_t call_count(const struct call *call, const char *name)
{
    const struct value *v = call_argument(call, name);
    return !v ? 0 : v->kind == VALUE_ARRAY ? v->array.count : 1;
}

const char *call_at(const struct call *call, const char *name, size_t index)
{
    const struct value *v = call_argument(call, name);
    if (v->kind == VALUE_ARRAY)
        v = v->array.item[index];
    return v->kind == VALUE_TEXT ? v->text : "";
}

bool call_objects(const struct call *call, const char *name, struct value *array)
{
    struct value *v = call_argument(call, name);
    for (size_t i = 0; i < call_count(call, name); i++)
        array_add(array, v->kind == VALUE_ARRAY ? v->array.item[i] : v);
    return v != NULL;
}

enum flow call_put(struct call *call, struct value *value)
{
    return call->out->put(call->out, value);
}

/* -- errors and notes -- */

static const char *error_action(const struct call *call)
{
    const struct value *v = variable_get(call->shell, "ErrorActionPreference");
    return call->errors ? call->errors : v->kind == VALUE_TEXT ? v->text : "Continue";
}

enum flow call_failure(struct call *call, struct value *record)
{
    struct shell *shell = call->shell;
    const char *action = error_action(call);
    call->failed = true;
    if (text_same(action, "Stop")) {
        failure_throw_record(shell, record, true);
        return FLOW_THROW;
    }
    if (text_same(action, "Ignore")) {
        shell->ok = false;
        return FLOW_NEXT;
    }
    bool quiet = shell->quiet;
    shell->quiet |= text_same(action, "SilentlyContinue");
    output_flush(shell);
    failure_report(shell, record);
    shell->quiet = quiet;
    return FLOW_NEXT;
}

const char *call_id(const struct call *call, const char *id, char *text, size_t size)
{
    const char *noun = strstr(call->name, "-VM");
    if (noun && call->cmdlet)
        snprintf(text, size, "%s,Microsoft.HyperV.PowerShell.Commands.%.*s%s", id, (int)(noun - call->name), call->name,
                 noun + 1);
    else
        snprintf(text, size, "%s,%s", id, call->name);
    return text;
}

static enum flow error_of(struct call *call, enum category category, const char *id, const char *target,
                          const char *remedy, const char *format, va_list args)
{
    char name[200], *text;
    struct failure f = {
        category,  call_id(call, id, name, sizeof(name)), "VirtualizationException", target, call->name, remedy,
        call->node};
    int length = vasprintf(&text, format, args);
    struct value *record = failure_record(call->shell, &f, "%s", length < 0 ? "" : text);
    if (length >= 0)
        free(text);
    return call_failure(call, record);
}

enum flow call_error(struct call *call, enum category category, const char *id, const char *target, const char *format,
                     ...)
{
    va_list args;
    va_start(args, format);
    enum flow flow = error_of(call, category, id, target, NULL, format, args);
    va_end(args);
    return flow;
}

enum flow call_error_with(struct call *call, enum category category, const char *id, const char *target,
                          const char *remedy, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum flow flow = error_of(call, category, id, target, remedy, format, args);
    va_end(args);
    return flow;
}

enum flow call_manager_error(struct call *call, const struct error *error, const char *target)
{
    struct text text = {0}, remedy = {0};
    char name[200];
    struct failure f = {.target = target, .command = call->name, .node = call->node};
    failure_of_error(error, &f);
    advice_put(call->parameters, error->text, &text);
    advice_put(call->parameters, error->hint, &remedy);
    f.remedy = text_get(&remedy);
    f.id = call_id(call, f.id, name, sizeof(name));
    struct value *record = failure_record(call->shell, &f, "%s", text_get(&text));
    text_free(&text);
    text_free(&remedy);
    return call_failure(call, record);
}

static void say(struct shell *shell, const char *colour, const char *kind, const char *format, va_list args)
{
    output_flush(shell);
    fflush(shell->out);
    fprintf(shell->err, "%s%s: ", shell->colours ? colour : "", kind);
    vfprintf(shell->err, format, args);
    fprintf(shell->err, "%s\n", shell->colours ? "\x1b[0m" : "");
    fflush(shell->err);
}

static bool preferred(struct shell *shell, const char *name)
{
    const struct value *v = variable_get(shell, name);
    return v->kind == VALUE_TEXT && !text_listed("SilentlyContinue|Ignore", v->text);
}

void call_warn(struct call *call, const char *format, ...)
{
    va_list args;
    if (call->no_warnings || !preferred(call->shell, "WarningPreference"))
        return;
    va_start(args, format);
    say(call->shell, "\x1b[33m", "WARNING", format, args);
    va_end(args);
}

void call_verbose(struct call *call, const char *format, ...)
{
    va_list args;
    if (!call->verbose && !preferred(call->shell, "VerbosePreference"))
        return;
    va_start(args, format);
    say(call->shell, "\x1b[33m", "VERBOSE", format, args);
    va_end(args);
}

/* -- questions -- */

int shell_ask(struct shell *shell, const char *question, const char *answers)
{
    char line[256];
    if (!shell->interactive)
        return -1;
    output_flush(shell);
    for (;;) {
        fprintf(shell->out, "%s ", question);
        fflush(shell->out);
        if (!fgets(line, sizeof(line), stdin))
            return -1;
        line[strcspn(line, "\r\n")] = 0;
        int index = 0;
        if (!*line)
            return 0;
        for (const char *at = answers; *at; at += strcspn(at, "|"), at += *at == '|', index++) {
            size_t length = strcspn(at, "|");
            if (strlen(line) <= length && text_begins(at, line))
                return index;
        }
    }
}

static enum impact preference(struct shell *shell)
{
    static const char *const names[] = {"None", "Low", "Medium", "High"};
    const struct value *v = variable_get(shell, "ConfirmPreference");
    for (unsigned i = 1; i < ARRAY_LEN(names); i++)
        if (v->kind == VALUE_TEXT && text_same(v->text, names[i]))
            return (enum impact)i;
    return v->kind == VALUE_TEXT && text_same(v->text, "None") ? IMPACT_HIGH + 1 : IMPACT_HIGH;
}

enum flow call_should(struct call *call, const char *target, bool *go)
{
    struct shell *shell = call->shell;
    *go = !call->no_to_all;
    if (call->what_if || value_truth(variable_get(shell, "WhatIfPreference"))) {
        output_flush(shell);
        fprintf(shell->out, "What if: Performing the operation \"%s\" on target \"%s\".\n", call->name, target);
        *go = false;
        return FLOW_NEXT;
    }
    call_verbose(call, "Performing the operation \"%s\" on target \"%s\".", call->name, target);
    bool asks = call->confirm ? value_truth(call->confirm) : call->cmdlet->impact >= preference(shell);
    if (!asks || call->yes_to_all || call->no_to_all)
        return FLOW_NEXT;
    char question[512];
    snprintf(question, sizeof(question),
             "\nConfirm\nAre you sure you want to perform this action?\n"
             "Performing the operation \"%s\" on target \"%s\".\n"
             "[Y] Yes  [A] Yes to All  [N] No  [L] No to All (default is \"Y\"):",
             call->name, target);
    switch (shell_ask(shell, question, "Yes|All|No|L")) {
    case 1: call->yes_to_all = true; break;
    case 2: *go = false; break;
    case 3:
        call->no_to_all = true;
        *go = false;
        break;
    case -1:
        *go = false;
        return call_error(call, INVALID_OPERATION, "ConfirmationNeeded", target,
                          "%s on '%s' asks first, and nobody is there to answer; -Confirm:$false goes on without",
                          call->name, target);
    default: break;
    }
    return FLOW_NEXT;
}
