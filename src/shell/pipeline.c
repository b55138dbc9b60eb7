/*
 * Pipelines: each command is a stage, into which the one before puts its values one by one. A stage is a cmdlet, a
 * function, a script, a script block, or a program of the host.
 *
 * A stage runs in the scope that the pipeline was started in, or in one of its own on top of that, whatever scope the
 * stage before it is in when it puts a value.
 */
#include "shell/cmdlet.h"
#include "shell/eval.h"
#include "shell/external.h"
#include "shell/output.h"
#include "shell/script.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_MAX 120u

struct stage {
    struct sink sink; /* what the stage before puts into */
    struct call call;
    const struct node *node;
    const struct node *body;      /* of a function, a script or a block; NULL: none */
    bool scoped, script;          /* the body has a scope of its own; it is a script */
    char *program;                /* of the host; NULL: none */
    struct parameter *parameters; /* made of the body's */
    struct scope own, *home;
    struct value *inputs; /* what came, for bodies and programs: an array */
    struct sink *out;
    struct collect to_file; /* with a redirection */
    bool quiet;
};

/* -- what a name means -- */

static enum flow not_found(struct shell *shell, const struct node *node, const char *name)
{
    const char *instead = cmdlet_instead(name), *close = cmdlet_closest(name);
    char remedy[80] = "Get-Command lists cmdlets";
    if (close)
        snprintf(remedy, sizeof(remedy), "did you mean %s?", close);
    const struct failure f = {OBJECT_NOT_FOUND,
                              "CommandNotFoundException",
                              "CommandNotFoundException",
                              name,
                              name,
                              instead ? instead : remedy,
                              node->left};
    return failure_throw(shell, &f, "there is no cmdlet, function, script or program '%s'", name);
}

static enum flow find_script(struct shell *shell, struct stage *s, const char *name)
{
    char *path = script_path(name);
    enum flow flow = script_load(shell, s->node->left, path, &s->body);
    s->script = s->scoped = true;
    free(path);
    return flow;
}

static enum flow find_command(struct shell *shell, struct stage *s, const char *name)
{
    const struct function *f = shell->functions;
    while (f && !text_same(f->name, name))
        f = f->next;
    s->call.name = arena_copy(&shell->names, name, strlen(name));
    if (f) {
        s->body = f->body;
        s->scoped = true;
        return FLOW_NEXT;
    }
    s->call.cmdlet = cmdlet_find(name);
    if (s->call.cmdlet) {
        s->call.name = s->call.cmdlet->name;
        s->call.parameters = s->call.cmdlet->parameters;
        return FLOW_NEXT;
    }
    if (script_is(name))
        return find_script(shell, s, name);
    s->program = external_find(name);
    return s->program ? FLOW_NEXT : not_found(shell, s->node, name);
}

static enum flow resolve(struct shell *shell, struct stage *s)
{
    struct value *name;
    enum flow flow = eval_expression(shell, s->node->left, &name);
    if (flow != FLOW_NEXT)
        return flow;
    if (name->kind == VALUE_BLOCK) {
        s->body = name->block->left;
        s->scoped = !s->node->flag;
        s->call.name = "script block";
        return FLOW_NEXT;
    }
    struct text text = {0};
    value_put(name, &text);
    flow = find_command(shell, s, text_get(&text));
    text_free(&text);
    if (s->node->flag) /* ". script": in this scope */
        s->scoped = false;
    return flow;
}

/* -- bodies -- */

static void make_parameters(struct shell *shell, struct stage *s)
{
    unsigned count = 0;
    for (const struct node *p = s->body->parameters; p; p = p->next)
        count++;
    s->parameters = memory_get((count + 1) * sizeof(s->parameters[0]));
    count = 0;
    for (const struct node *p = s->body->parameters; p && count < PARAMETERS_MAX - 1; p = p->next) {
        struct parameter *to = &s->parameters[count++];
        const char *type = p->type ? p->type : "object";
        to->name = p->name;
        to->flags = p->flag ? MANDATORY : 0;
        to->kind = text_listed("switch|SwitchParameter", type) ? PARAMETER_SWITCH
                   : text_listed("bool|boolean", type)         ? PARAMETER_BOOL
                   : text_listed("int|int32|int64|long", type) ? PARAMETER_NUMBER
                   : text_listed("string[]", type)             ? PARAMETER_TEXTS
                   : text_listed("string", type)               ? PARAMETER_TEXT
                   : text_listed("scriptblock", type)          ? PARAMETER_BLOCK
                                                               : PARAMETER_ANY;
        if (to->kind != PARAMETER_SWITCH)
            to->position = count;
        if (p->list) {
            struct text words = {0};
            for (const struct node *choice = p->list; choice; choice = choice->next)
                if (choice->kind == NODE_LITERAL)
                    text_format(&words, "%s%s", words.used ? "|" : "", choice->literal->text);
            to->kind = PARAMETER_CHOICE;
            to->words = arena_copy(&shell->names, text_get(&words), words.used);
            text_free(&words);
        }
    }
    s->call.parameters = s->parameters;
}

/* Makes variables of what was bound, in the stage's scope. */
static enum flow set_parameters(struct shell *shell, struct stage *s)
{
    unsigned i = 0;
    for (const struct node *p = s->body->parameters; p && i < PARAMETERS_MAX - 1; p = p->next, i++) {
        struct value *value = s->call.bound[i];
        enum flow flow = FLOW_NEXT;
        if (!value && p->left)
            flow = eval_expression(shell, p->left, &value);
        else if (!value)
            value = s->parameters[i].kind == PARAMETER_SWITCH || s->parameters[i].kind == PARAMETER_BOOL ? &value_false
                    : s->parameters[i].kind == PARAMETER_TEXT   ? value_text(&shell->heap, "")
                    : s->parameters[i].kind == PARAMETER_NUMBER ? value_number(&shell->heap, 0)
                                                                : &value_null;
        if (flow == FLOW_NEXT && p->type && s->parameters[i].kind == PARAMETER_ANY && value->kind != VALUE_NULL)
            flow = type_convert(shell, p, p->type, value, &value);
        if (flow != FLOW_NEXT)
            return flow;
        scope_set(shell->scope, p->name, value);
    }
    scope_set(shell->scope, "args", s->call.rest);
    if (s->script && s->body->source->name) {
        char *folder = memory_copy(s->body->source->name, strlen(s->body->source->name)), *slash = strrchr(folder, '/');
        if (slash)
            *slash = 0;
        scope_set(shell->scope, "PSScriptRoot", value_text(&shell->heap, slash ? folder : "."));
        scope_set(shell->scope, "PSCommandPath", value_text(&shell->heap, s->body->source->name));
        free(folder);
    }
    return FLOW_NEXT;
}

/* Runs statements of the stage's body where they belong. */
static enum flow run_statements(struct stage *s, const struct node *statements, struct value *input)
{
    struct shell *shell = s->call.shell;
    if (!statements)
        return FLOW_NEXT;
    if (input)
        scope_set(shell->scope, "_", input);
    enum flow flow =
        eval_statements(shell, statements->kind == NODE_STATEMENTS ? statements->list : statements, s->out);
    return flow == FLOW_RETURN ? FLOW_NEXT : flow;
}

/* -- a stage's three steps -- */

static enum flow begin_here(struct stage *s)
{
    struct call *c = &s->call;
    if (s->program)
        return FLOW_NEXT;
    if (!s->body)
        return c->cmdlet->begin ? c->cmdlet->begin(c) : FLOW_NEXT;
    enum flow flow = set_parameters(c->shell, s);
    return flow == FLOW_NEXT ? run_statements(s, s->body->begin, NULL) : flow;
}

static enum flow cmdlet_input(struct stage *s, struct value *input)
{
    struct call *c = &s->call;
    bool taken = true;
    enum flow flow = input ? bind_input(c, input, &taken) : FLOW_NEXT;
    if (flow == FLOW_NEXT && !taken) {
        struct text text = {0};
        value_put(input, &text);
        flow = call_error(c, INVALID_ARGUMENT, "InputObjectNotBound", text_get(&text),
                          "%s takes nothing of '%.60s' (%s) from the pipeline", c->name, text_get(&text),
                          value_type(input));
        text_free(&text);
        return flow;
    }
    if (flow == FLOW_NEXT)
        flow = bind_check(c);
    c->input = input;
    if (flow == FLOW_NEXT && c->cmdlet->process)
        flow = c->cmdlet->process(c);
    return flow;
}

static enum flow input_here(struct stage *s, struct value *input)
{
    if (!s->body && !s->program)
        return cmdlet_input(s, input);
    if (input && s->body && s->body->process)
        return run_statements(s, s->body->process, input);
    if (input)
        array_add(s->inputs, input);
    else if (s->body && s->body->process)
        return run_statements(s, s->body->process, NULL);
    return FLOW_NEXT;
}

static enum flow end_here(struct stage *s)
{
    struct shell *shell = s->call.shell;
    struct call *c = &s->call;
    if (s->program)
        return external_run(shell, s->node, s->program, s->inputs, c->piped, s->out);
    if (!s->body) {
        c->input = NULL;
        return c->cmdlet->end ? c->cmdlet->end(c) : FLOW_NEXT;
    }
    scope_set(shell->scope, "input", s->inputs);
    if (s->body->begin || s->body->process || s->body->end_block)
        return run_statements(s, s->body->end_block, NULL);
    return run_statements(s, s->body->list, NULL);
}

/* Runs a step in the stage's scope. */
static enum flow within(struct stage *s, enum flow (*step)(struct stage *s, struct value *input), struct value *input)
{
    struct shell *shell = s->call.shell;
    struct scope *before = shell->scope;
    bool quiet = shell->quiet;
    if (s->scoped && shell->depth >= DEPTH_MAX) {
        const struct failure f = {INVALID_OPERATION, "CallDepthOverflow", "ScriptCallDepthException",
                                  s->call.name,      s->call.name,        .node = s->node};
        enum flow flow = failure_throw(shell, &f, "calls lie in each other more than %u deep", DEPTH_MAX);
        shell->fatal = true;
        return flow;
    }
    shell->depth += s->scoped;
    shell->quiet |= s->quiet;
    shell->scope = s->scoped ? &s->own : s->home;
    enum flow flow = shell_interrupted() ? eval_interrupt(shell, s->node) : step(s, input);
    shell->scope = before;
    shell->quiet = quiet;
    shell->depth -= s->scoped;
    if (flow == FLOW_EXIT && s->script) { /* ends the script only */
        s->call.failed = shell->status != 0;
        flow = FLOW_NEXT;
    }
    return flow;
}

static enum flow begin_step(struct stage *s, struct value *input)
{
    return begin_here(s);
}

static enum flow end_step(struct stage *s, struct value *input)
{
    return end_here(s);
}

static enum flow stage_put(struct sink *sink, struct value *value)
{
    return within((struct stage *)sink, input_here, value);
}

/* -- redirections -- */

static bool is_null(const struct node *node)
{
    return node && node->kind == NODE_VARIABLE && text_same(node->name, "null");
}

static enum flow write_file(struct stage *s, const struct node *redirect)
{
    struct shell *shell = s->call.shell;
    struct value *name;
    struct text path = {0}, text = {0};
    enum flow flow = eval_expression(shell, redirect->left, &name);
    if (flow != FLOW_NEXT)
        return flow;
    value_put(name, &path);
    output_format(shell, s->to_file.array, &text);
    char *expanded = script_path(text_get(&path));
    int more = strstr(redirect->operator, ">>") ? O_APPEND : O_TRUNC;
    int fd = open(expanded, O_WRONLY | O_CREAT | O_CLOEXEC | more, 0666);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f || fputs(text_get(&text), f) < 0 || fclose(f)) {
        const struct failure failure = {.category = RESOURCE_UNAVAILABLE,
                                        .id = "FileOpenFailure",
                                        .exception = "IOException",
                                        .target = expanded,
                                        .node = redirect};
        flow = failure_throw(shell, &failure, "cannot write %s: %m", expanded);
    }
    free(expanded);
    text_free(&path);
    text_free(&text);
    return flow;
}

static void redirect_begin(struct stage *s)
{
    for (const struct node *r = s->node->list; r; r = r->next) {
        if (r->kind != NODE_REDIRECT)
            continue;
        if (r->operator[0] == '2' || r->operator[0] == '*')
            s->quiet |= is_null(r->left);
        if (r->left && (r->operator[0] == '>' || r->operator[0] == '1' || r->operator[0] == '*')) {
            collect_begin(&s->to_file, s->call.shell);
            s->out = &s->to_file.sink;
        }
    }
    s->call.out = s->out;
}

static enum flow redirect_end(struct stage *s)
{
    enum flow flow = FLOW_NEXT;
    for (const struct node *r = s->node->list; r && flow == FLOW_NEXT && s->to_file.array; r = r->next)
        if (r->kind == NODE_REDIRECT && r->left && !is_null(r->left) && strchr(">1*", r->operator[0]))
            flow = write_file(s, r);
    return flow;
}

/* -- all of it -- */

/* Get-VM -? */
static bool asks_help(const struct node *command)
{
    for (const struct node *a = command->list; a; a = a->next)
        if (a->kind == NODE_ARGUMENT && a->name && strcmp(a->name, "?") == 0)
            return true;
    return false;
}

/* Makes it a call of Get-Help, whose first parameter is the name. */
static void give_help(struct call *call)
{
    call->given[0] = call->bound[0] = value_text(&call->shell->heap, call->cmdlet->name);
    call->cmdlet = cmdlet_find("Get-Help");
    call->name = call->cmdlet->name;
    call->parameters = call->cmdlet->parameters;
}

static enum flow prepare(struct shell *shell, struct stage *s)
{
    s->sink.put = stage_put;
    s->home = shell->scope;
    s->own.parent = shell->scope;
    s->inputs = value_array(&shell->heap);
    s->call.shell = shell;
    s->call.node = s->node;
    enum flow flow = resolve(shell, s);
    if (flow != FLOW_NEXT)
        return flow;
    redirect_begin(s);
    if (s->program)
        return FLOW_NEXT;
    s->own.script = s->script;
    if (s->body) {
        make_parameters(shell, s);
        s->call.rest = value_array(&shell->heap);
    }
    if (s->call.cmdlet && s->call.cmdlet->raw) {
        s->call.rest = value_array(&shell->heap);
        return external_words(shell, s->node, s->call.rest);
    }
    if (s->call.cmdlet && asks_help(s->node)) {
        give_help(&s->call);
        return FLOW_NEXT;
    }
    flow = bind_words(&s->call, s->node->list);
    if (flow == FLOW_NEXT && (!s->call.piped || s->body))
        flow = bind_check(&s->call);
    return flow;
}

static void release(struct stage *s)
{
    scope_free(&s->own);
    free(s->call.state);
    free(s->parameters);
    free(s->program);
}

/* Puts the values of the first element into the first stage. */
static enum flow feed(struct shell *shell, const struct node *first, struct stage *stages)
{
    struct value *value;
    if (first->kind == NODE_COMMAND)
        return within(&stages[0], input_here, NULL);
    enum flow flow = eval_expression(shell, first, &value);
    return flow == FLOW_NEXT && value->kind != VALUE_NULL ? sink_put_each(&stages[0].sink, value) : flow;
}

static enum flow run_stages(struct shell *shell, const struct node *first, struct stage *stages, size_t count,
                            struct sink *out)
{
    enum flow flow = FLOW_NEXT;
    for (size_t i = 0; i < count; i++)
        stages[i].out = i + 1 < count ? &stages[i + 1].sink : out;
    for (size_t i = 0; i < count && flow == FLOW_NEXT; i++)
        flow = prepare(shell, &stages[i]);
    for (size_t i = count; i-- > 0 && flow == FLOW_NEXT;)
        flow = within(&stages[i], begin_step, NULL);
    if (flow == FLOW_NEXT)
        flow = feed(shell, first, stages);
    for (size_t i = 0; i < count && (flow == FLOW_NEXT || flow == FLOW_ENOUGH); i++) {
        enum flow ended = within(&stages[i], end_step, NULL);
        if (ended != FLOW_NEXT && ended != FLOW_ENOUGH)
            flow = ended;
        if (flow == FLOW_NEXT || flow == FLOW_ENOUGH) {
            ended = redirect_end(&stages[i]);
            if (ended != FLOW_NEXT)
                flow = ended;
        }
    }
    /* Enough for one of these stages, or for what this pipeline is within? */
    bool own = (const char *)shell->enough >= (const char *)stages &&
               (const char *)shell->enough < (const char *)&stages[count];
    return flow == FLOW_ENOUGH && own ? FLOW_NEXT : flow;
}

static enum flow run_expression(struct shell *shell, const struct node *node, struct sink *out)
{
    struct value *value;
    enum flow flow = eval_expression(shell, node, &value);
    if (flow != FLOW_NEXT)
        return flow;
    shell->ok = true;
    return value->kind == VALUE_NULL || node->silent ? FLOW_NEXT : sink_put_each(out, value);
}

enum flow run_pipeline(struct shell *shell, const struct node *node, struct sink *out)
{
    const struct node *first = node->list, *commands = first->kind == NODE_COMMAND ? first : first->next;
    size_t count = 0;
    bool failed = false;
    if (!commands)
        return run_expression(shell, first, out);
    for (const struct node *n = commands; n; n = n->next)
        count++;
    struct stage *stages = memory_get(count * sizeof(*stages));
    size_t i = 0;
    for (const struct node *n = commands; n; n = n->next, i++) {
        stages[i].node = n;
        stages[i].call.piped = i > 0 || first != commands;
    }
    shell->ok = true;
    enum flow flow = run_stages(shell, first, stages, count, out);
    for (i = 0; i < count; i++) {
        failed |= stages[i].call.failed;
        release(&stages[i]);
    }
    free(stages);
    if (failed || flow == FLOW_THROW)
        shell->ok = false;
    return flow;
}

enum flow run_block(struct shell *shell, const struct node *block, struct value *input, struct value *arguments,
                    bool scoped, struct sink *out)
{
    const struct node *body = block->left;
    struct scope scope;
    struct value *before = NULL;
    if (shell->depth >= DEPTH_MAX) {
        const struct failure f = {INVALID_OPERATION, "CallDepthOverflow", "ScriptCallDepthException", .node = block};
        return failure_throw(shell, &f, "calls lie in each other more than %u deep", DEPTH_MAX);
    }
    shell->depth++;
    if (scoped)
        scope_enter(shell, &scope, false);
    else
        before = scope_get(shell->scope, "_");
    if (input)
        scope_set(shell->scope, "_", input);
    if (arguments) {
        size_t i = 0;
        scope_set(shell->scope, "args", arguments);
        for (const struct node *p = body->parameters; p; p = p->next, i++)
            scope_set(shell->scope, p->name, i < arguments->array.count ? arguments->array.item[i] : &value_null);
    }
    const struct node *parts[] = {body->begin, body->process, body->end_block};
    enum flow flow = eval_statements(shell, body->list, out);
    for (unsigned i = 0; i < ARRAY_LEN(parts) && flow == FLOW_NEXT; i++)
        if (parts[i])
            flow = eval_statements(shell, parts[i]->list, out);
    if (scoped)
        scope_leave(shell);
    else if (input)
        scope_set(shell->scope, "_", before ? before : &value_null);
    shell->depth--;
    return flow == FLOW_RETURN ? FLOW_NEXT : flow;
}
