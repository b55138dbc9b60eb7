/*
 * Get-Help, Get-Command, Get-Alias: from the rows of the tables.
 */
#include "shell/cmdlet.h"

#include <string.h>

static void put_parameter(const struct parameter *p, struct text *to)
{
    const char *type = parameter_type(p);
    text_format(to, "    -%s", p->name);
    if (p->kind == PARAMETER_CHOICE) {
        text_puts(to, " <");
        for (const char *at = p->words; *at; at++)
            text_puts(to, *at == '|' ? " | " : (char[]){*at, 0});
        text_char(to, '>');
    } else if (*type) {
        text_format(to, " <%s>", type);
    }
    text_format(to, "\n        %s", p->help ? p->help : "");
    if (p->least || (p->most && p->most < INT32_MAX))
        text_format(to, "; %lld to %lld", (long long)p->least, (long long)p->most);
    if (p->flags & MANDATORY)
        text_puts(to, "; must be given");
    if (p->position)
        text_format(to, "; position %u", p->position);
    if (p->flags & (BY_VALUE | BY_NAME))
        text_format(to, "; from the pipeline%s", p->flags & BY_VALUE ? "" : " by name");
    if (p->aliases) {
        text_puts(to, "; also -");
        for (const char *at = p->aliases; *at; at++)
            text_puts(to, *at == '|' ? ", -" : (char[]){*at, 0});
    }
    text_char(to, '\n');
}

#define SYNTAX_COLUMNS 110u

/* Adds a word, on a line of its own where the last one is full. */
static void put_wrapped(struct text *to, size_t *line, const struct text *word)
{
    if (to->used - *line + word->used > SYNTAX_COLUMNS) {
        text_puts(to, "\n       ");
        *line = to->used;
    }
    text_format(to, " %s", text_get(word));
}

static void put_syntax(const struct cmdlet *c, u32 set, struct text *to)
{
    struct text word = {0};
    size_t line = to->used;
    text_format(to, "    %s", c->name);
    for (const struct parameter *p = c->parameters; p->name; p++) {
        if (p->sets && !(p->sets & set))
            continue;
        const char *type = parameter_type(p);
        bool must = p->flags & MANDATORY;
        word.used = 0;
        text_format(&word, "%s%s-%s%s", must ? "" : "[", p->position ? "[" : "", p->name, p->position ? "]" : "");
        if (*type)
            text_format(&word, " <%s>", p->kind == PARAMETER_CHOICE ? "word" : type);
        text_puts(&word, must ? "" : "]");
        put_wrapped(to, &line, &word);
    }
    if (c->impact) {
        word.used = 0;
        text_puts(&word, "[-WhatIf] [-Confirm]");
        put_wrapped(to, &line, &word);
    }
    text_free(&word);
    text_char(to, '\n');
}

static void put_syntaxes(const struct cmdlet *c, struct text *to)
{
    u32 sets = 0;
    for (const struct parameter *p = c->parameters; p->name; p++)
        sets |= p->sets;
    for (u32 bit = 1; bit && sets; bit <<= 1)
        if (sets & bit)
            put_syntax(c, bit, to);
    if (!sets)
        put_syntax(c, ~0u, to);
}

/* `between`: the character that stands between words, and what is put in its place. */
static void put_words(const char *title, const char *words, char between, const char *put, struct text *to)
{
    text_format(to, "\n%s\n    ", title);
    for (const char *at = words; *at; at++)
        text_puts(to, *at == between ? put : (char[]){*at, 0});
    text_char(to, '\n');
}

enum help { HELP_SHORT, HELP_EXAMPLES, HELP_FULL };

static void put_help(const struct cmdlet *c, enum help how, struct text *to)
{
    text_format(to, "\nNAME\n    %s\n\nSUMMARY\n    %s.\n", c->name, c->summary);
    if (how != HELP_EXAMPLES) {
        text_puts(to, "\nSYNTAX\n");
        put_syntaxes(c, to);
    }
    if (c->aliases && how != HELP_EXAMPLES)
        put_words("ALIASES", c->aliases, '|', ", ", to);
    if (c->gives && how != HELP_EXAMPLES)
        put_words("RETURNS", c->gives, 0, "", to);
    if (how == HELP_FULL && (c->parameters->name || c->impact))
        text_puts(to, "\nPARAMETERS\n");
    for (const struct parameter *p = c->parameters; how == HELP_FULL && p->name; p++)
        put_parameter(p, to);
    for (const struct parameter *p = confirm_parameters; how == HELP_FULL && c->impact && p->name; p++)
        put_parameter(p, to);
    for (const struct parameter *p = common_parameters; how == HELP_FULL && !c->raw && p->name; p++)
        put_parameter(p, to);
    if (c->examples)
        put_words("EXAMPLES", c->examples, '\n', "\n    ", to);
    else if (how == HELP_EXAMPLES)
        put_words("EXAMPLES", c->name, 0, "", to);
    if (how == HELP_SHORT && !c->raw)
        text_format(to, "\nREMARKS\n    Get-Help %s -Full explains each parameter.\n", c->name);
}

static struct value *info(struct call *call, const struct cmdlet *c)
{
    struct heap *heap = &call->shell->heap;
    struct value *v = value_object(heap, "CommandInfo");
    object_set(v, "CommandType", value_text(heap, "Cmdlet"));
    object_set(v, "Name", value_text(heap, c->name));
    object_set(v, "Summary", value_text(heap, c->summary));
    return v;
}

static struct value *syntax(struct call *call, const struct cmdlet *c)
{
    struct text text = {0};
    put_syntaxes(c, &text);
    return value_text_take(&call->shell->heap, &text);
}

static bool wanted(const struct call *call, const struct cmdlet *c)
{
    const char *name = call_text(call, "Name"), *verb = call_text(call, "Verb"), *noun = call_text(call, "Noun"),
               *dash = strchr(c->name, '-');
    char own[40];
    snprintf(own, sizeof(own), "%.*s", dash ? (int)(dash - c->name) : 0, c->name);
    return (!name || text_like(c->name, name, false) || text_listed(c->aliases, name)) &&
           (!verb || text_like(own, verb, false)) && (!noun || (dash && text_like(dash + 1, noun, false)));
}

static enum flow get_command(struct call *call)
{
    const char *name = call_text(call, "Name");
    enum flow flow = FLOW_NEXT;
    bool any = false;
    for (const struct cmdlet *const *table = cmdlet_tables; *table; table++)
        for (const struct cmdlet *c = *table; c->name && flow == FLOW_NEXT; c++)
            if (wanted(call, c)) {
                any = true;
                flow = call_put(call, call_on(call, "Syntax") ? syntax(call, c) : info(call, c));
            }
    for (const struct function *f = call->shell->functions; f && flow == FLOW_NEXT; f = f->next)
        if (name && text_like(f->name, name, false)) {
            struct value *v = value_object(&call->shell->heap, "CommandInfo");
            object_set(v, "CommandType", value_text(&call->shell->heap, "Function"));
            object_set(v, "Name", value_text(&call->shell->heap, f->name));
            object_set(v, "Summary", value_text(&call->shell->heap, ""));
            any = true;
            flow = call_put(call, v);
        }
    if (any || !name || text_has_wildcards(name))
        return flow;
    return call_error(call, OBJECT_NOT_FOUND, "CommandNotFoundException", name, "there is no cmdlet '%s'", name);
}

static enum flow get_help(struct call *call)
{
    const char *name = call_text(call, "Name");
    struct text text = {0};
    if (!name) {
        text_puts(&text, "Get-Help NAME explains a cmdlet, Get-Command lists them: Get-Command *Switch*, Get-Command "
                         "-Noun VM.\n$x = ... keeps a value, | passes objects on, Format-List * shows all of one.\n"
                         "docs/shell.md has the language.");
        return call_put(call, value_text_take(&call->shell->heap, &text));
    }
    const struct cmdlet *c = cmdlet_find(name);
    const char *parameter = call_text(call, "Parameter");
    bool any = false;
    if (!c)
        return get_command(call);
    for (const struct parameter *p = c->parameters; parameter && p->name; p++)
        if (text_like(p->name, parameter, false) || text_listed(p->aliases, parameter)) {
            any = true;
            text_char(&text, '\n');
            put_parameter(p, &text);
        }
    if (parameter && !any)
        return call_error(call, OBJECT_NOT_FOUND, "HelpNotFound", parameter, "%s has no parameter -%s", c->name,
                          parameter);
    if (!parameter)
        put_help(c, call_on(call, "Examples") ? HELP_EXAMPLES : call_on(call, "Full") ? HELP_FULL : HELP_SHORT, &text);
    return call_put(call, value_text_take(&call->shell->heap, &text));
}

static enum flow get_alias(struct call *call)
{
    struct heap *heap = &call->shell->heap;
    const char *name = call_text(call, "Name"), *definition = call_text(call, "Definition");
    enum flow flow = FLOW_NEXT;
    for (const struct cmdlet *const *table = cmdlet_tables; *table; table++)
        for (const struct cmdlet *c = *table; c->name; c++)
            for (const char *at = c->aliases; at && *at && flow == FLOW_NEXT;
                 at += strcspn(at, "|"), at += *at == '|') {
                char alias[40];
                snprintf(alias, sizeof(alias), "%.*s", (int)strcspn(at, "|"), at);
                if ((name && !text_like(alias, name, false)) || (definition && !text_like(c->name, definition, false)))
                    continue;
                struct value *v = value_object(heap, "AliasInfo");
                object_set(v, "Name", value_text(heap, alias));
                object_set(v, "Definition", value_text(heap, c->name));
                flow = call_put(call, v);
            }
    return flow;
}

/* clang-format off */
static const struct parameter help_parameters[] = {
    {"Name", PARAMETER_TEXT, BY_VALUE | BY_NAME, 1, .help = "a cmdlet, or a pattern with wildcards"},
    {"Verb", PARAMETER_TEXT, .help = "those that begin so, as Get"},
    {"Noun", PARAMETER_TEXT, .help = "those for that, as VM*"},
    {"Full", PARAMETER_SWITCH, .sets = BIT(0), .help = "each parameter is explained"},
    {"Examples", PARAMETER_SWITCH, .sets = BIT(1), .help = "only lines that can be typed"},
    {"Parameter", PARAMETER_TEXT, .sets = BIT(2), .help = "only that parameter, with wildcards"}, {0},
};
static const struct parameter command_parameters[] = {
    {"Name", PARAMETER_TEXT, BY_VALUE | BY_NAME, 1, .help = "which, with wildcards"},
    {"Verb", PARAMETER_TEXT, .help = "those that begin so, as Get"},
    {"Noun", PARAMETER_TEXT, .help = "those for that, as VM*"},
    {"Syntax", PARAMETER_SWITCH, .help = "shows how they are called"}, {0},
};
static const struct parameter alias_parameters[] = {
    {"Name", PARAMETER_TEXT, BY_VALUE, 1, .help = "which, with wildcards"},
    {"Definition", PARAMETER_TEXT, .help = "those of a cmdlet"}, {0},
};
const struct cmdlet cmdlets_help[] = {
    {"Get-Help", "help|man", help_parameters, .process = get_help, .summary = "Explains a cmdlet",
     .examples = "Get-Help Set-VMProcessor\n"
                 "Get-Help Set-VM -Full\n"
                 "Get-Help New-VM -Examples\n"
                 "Get-Help Stop-VM -Parameter Force"},
    {"Get-Command", "gcm", command_parameters, .process = get_command, .summary = "Lists cmdlets and functions",
     .gives = "CommandInfo",
     .examples = "Get-Command -Noun VM*\n"
                 "Get-Command Get-VM -Syntax"},
    {"Get-Alias", "gal", alias_parameters, .process = get_alias, .summary = "Lists short names of cmdlets",
     .gives = "AliasInfo",
     .examples = "Get-Alias -Definition Format-Table"},
    {0},
};
/* clang-format on */
