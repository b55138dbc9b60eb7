/*
 * Statements. Values are collected by the heap between them, as nothing but variables holds any then.
 */
#include "shell/eval.h"

#include "shell/failure.h"
#include "shell/output.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

void shell_interrupt(int number)
{
    interrupted = 1;
}

bool shell_interrupted(void)
{
    return interrupted;
}

void shell_interrupt_clear(void)
{
    interrupted = 0;
}

/* -- sinks -- */

enum flow sink_put_each(struct sink *out, struct value *value)
{
    if (value->kind != VALUE_ARRAY)
        return out->put(out, value);
    enum flow flow = FLOW_NEXT;
    for (size_t i = 0; i < value->array.count && flow == FLOW_NEXT; i++)
        flow = out->put(out, value->array.item[i]);
    return flow;
}

static enum flow collect_put(struct sink *sink, struct value *value)
{
    array_add(((struct collect *)sink)->array, value);
    return FLOW_NEXT;
}

void collect_begin(struct collect *c, struct shell *shell)
{
    c->sink.put = collect_put;
    c->array = value_array(&shell->heap);
}

struct value *collect_end(struct collect *c)
{
    return c->array->array.count == 0 ? &value_null : c->array->array.count == 1 ? c->array->array.item[0] : c->array;
}

/* -- memory -- */

void shell_collect(struct shell *shell)
{
    if (shell->busy || !heap_full(&shell->heap))
        return;
    heap_collect_begin(&shell->heap);
    heap_reach(&shell->heap, shell->thrown);
    heap_reach(&shell->heap, shell->errors);
    heap_reach(&shell->heap, shell->waiting);
    for (struct scope *scope = shell->scope; scope; scope = scope->parent)
        for (struct variable *v = scope->variables; v; v = v->next)
            heap_reach(&shell->heap, v->value);
    heap_collect_end(&shell->heap);
}

/* -- values of statements -- */

enum flow eval_value(struct shell *shell, const struct node *node, struct value **value)
{
    struct collect c;
    shell->busy++;
    collect_begin(&c, shell);
    enum flow flow = eval_statement(shell, node, &c.sink);
    *value = collect_end(&c);
    shell->busy--;
    return flow;
}

static enum flow truth(struct shell *shell, const struct node *node, bool *is)
{
    struct value *value = &value_null;
    enum flow flow = node ? eval_value(shell, node, &value) : FLOW_NEXT;
    *is = !node || value_truth(value);
    return flow;
}

/* -- loops -- */

/* What a loop makes of how its body ended. False: it ends with *flow. */
static bool loop_goes_on(struct shell *shell, enum flow *flow)
{
    if (*flow == FLOW_CONTINUE)
        *flow = FLOW_NEXT;
    if (*flow == FLOW_BREAK) {
        *flow = FLOW_NEXT;
        return false;
    }
    if (*flow == FLOW_NEXT && interrupted)
        *flow = eval_interrupt(shell, NULL);
    shell_collect(shell);
    return *flow == FLOW_NEXT;
}

enum flow eval_interrupt(struct shell *shell, const struct node *node)
{
    const struct failure f = {
        .category = OPERATION_STOPPED, .id = "Stopped", .exception = "PipelineStoppedException", .node = node};
    enum flow flow = failure_throw(shell, &f, "stopped by Ctrl-C");
    shell->fatal = true;
    return flow;
}

static enum flow eval_while(struct shell *shell, const struct node *node, struct sink *out)
{
    bool again, first = node->kind != NODE_WHILE;
    enum flow flow;
    for (;; first = false) {
        again = true;
        flow = first ? FLOW_NEXT : truth(shell, node->condition, &again);
        if (!first && node->kind == NODE_DO_UNTIL)
            again = !again;
        if (flow != FLOW_NEXT || !again)
            return flow;
        flow = eval_statements(shell, node->body->list, out);
        if (!loop_goes_on(shell, &flow))
            return flow;
    }
}

static enum flow eval_for(struct shell *shell, const struct node *node, struct sink *out)
{
    struct value *ignored;
    bool again;
    enum flow flow = node->left ? eval_value(shell, node->left, &ignored) : FLOW_NEXT;
    while (flow == FLOW_NEXT && (flow = truth(shell, node->condition, &again)) == FLOW_NEXT && again) {
        flow = eval_statements(shell, node->body->list, out);
        if (!loop_goes_on(shell, &flow))
            return flow;
        if (node->right)
            flow = eval_value(shell, node->right, &ignored);
    }
    return flow;
}

static enum flow eval_foreach(struct shell *shell, const struct node *node, struct sink *out)
{
    struct value *all;
    enum flow flow = eval_value(shell, node->condition, &all);
    if (flow != FLOW_NEXT || all->kind == VALUE_NULL)
        return flow;
    char name[40];
    /* A variable of ours keeps the values; two loops in each other have two. */
    snprintf(name, sizeof(name), "foreach at %u", node->start);
    scope_set(shell->scope, name, all);
    size_t count = all->kind == VALUE_ARRAY ? all->array.count : 1;
    for (size_t i = 0; i < count && (all->kind != VALUE_ARRAY || i < all->array.count); i++) {
        variable_set(shell, node->left->name, all->kind == VALUE_ARRAY ? all->array.item[i] : all);
        flow = eval_statements(shell, node->body->list, out);
        if (!loop_goes_on(shell, &flow))
            break;
    }
    scope_set(shell->scope, name, &value_null);
    return flow;
}

/* -- choices -- */

static enum flow eval_if(struct shell *shell, const struct node *node, struct sink *out)
{
    for (; node; node = node->otherwise) {
        bool is;
        if (node->kind != NODE_IF)
            return eval_statements(shell, node->list, out);
        enum flow flow = truth(shell, node->condition, &is);
        if (flow != FLOW_NEXT)
            return flow;
        if (is)
            return eval_statements(shell, node->body->list, out);
    }
    return FLOW_NEXT;
}

static enum flow matches(struct shell *shell, const struct node *node, struct value *value, bool *is)
{
    struct value *pattern;
    enum flow flow = eval_expression(shell, node, &pattern);
    *is = false;
    if (flow != FLOW_NEXT)
        return flow;
    if (pattern->kind == VALUE_BLOCK) {
        struct collect c;
        collect_begin(&c, shell);
        flow = run_block(shell, pattern->block, value, NULL, false, &c.sink);
        *is = value_truth(collect_end(&c));
        return flow;
    }
    *is = value_equal(value, pattern, false);
    return FLOW_NEXT;
}

static enum flow switch_one(struct shell *shell, const struct node *node, struct value *value, struct sink *out)
{
    bool any = false;
    scope_set(shell->scope, "_", value);
    for (const struct node *pair = node->list; pair; pair = pair->next) {
        bool is = false;
        enum flow flow = pair->left ? matches(shell, pair->left, value, &is) : FLOW_NEXT;
        if (flow == FLOW_NEXT && is) {
            any = true;
            flow = eval_statements(shell, pair->right->list, out);
        }
        if (flow != FLOW_NEXT)
            return flow;
    }
    for (const struct node *pair = node->list; pair && !any; pair = pair->next)
        if (!pair->left)
            return eval_statements(shell, pair->right->list, out);
    return FLOW_NEXT;
}

static enum flow eval_switch(struct shell *shell, const struct node *node, struct sink *out)
{
    struct value *all;
    shell->busy++;
    enum flow flow = eval_value(shell, node->condition, &all);
    size_t count = all->kind == VALUE_ARRAY ? all->array.count : 1;
    for (size_t i = 0; i < count && flow == FLOW_NEXT; i++) {
        flow = switch_one(shell, node, all->kind == VALUE_ARRAY ? all->array.item[i] : all, out);
        if (flow == FLOW_CONTINUE)
            flow = FLOW_NEXT;
    }
    shell->busy--;
    return flow == FLOW_BREAK ? FLOW_NEXT : flow;
}

/* -- errors -- */

/* Is an error of that kind caught? The names of exceptions are compared by their last part. */
static bool catches(const struct node *catch, const struct value *record)
{
    const struct value *exception = object_get(record, "Exception");
    const struct value *type = exception ? object_get(exception, "Type") : NULL;
    const char *dot = catch->type ? strrchr(catch->type, '.') : NULL, *last = dot ? dot + 1 : catch->type;
    return !last || text_same(last, "Exception") || (type && type->kind == VALUE_TEXT && text_same(last, type->text));
}

static enum flow eval_try(struct shell *shell, const struct node *node, struct sink *out)
{
    shell->guarded++;
    enum flow flow = eval_statements(shell, node->body->list, out);
    shell->guarded--;
    if (flow == FLOW_THROW && !interrupted)
        for (const struct node *catch = node->list; catch; catch = catch->next) {
            if (!catches(catch, shell->thrown))
                continue;
            struct value *before = variable_get(shell, "_");
            scope_set(shell->scope, "_", shell->thrown);
            scope_set(shell->scope, "before catch", before);
            flow = eval_statements(shell, catch->body->list, out);
            scope_set(shell->scope, "_", before);
            break;
        }
    if (node->otherwise) {
        struct value *thrown = shell->thrown;
        bool fatal = shell->fatal;
        shell->busy++;
        enum flow last = eval_statements(shell, node->otherwise->list, out);
        shell->busy--;
        if (last != FLOW_NEXT)
            return last;
        shell->thrown = thrown;
        shell->fatal = fatal;
    }
    return flow;
}

static enum flow eval_throw(struct shell *shell, const struct node *node, struct sink *out)
{
    struct value *value;
    enum flow flow = node->left ? eval_value(shell, node->left, &value) : FLOW_NEXT;
    if (flow != FLOW_NEXT)
        return flow;
    if (!node->left) { /* within catch: again */
        value = variable_get(shell, "_");
        if (value->kind == VALUE_NULL)
            value = value_text(&shell->heap, "ScriptHalted");
    }
    return failure_throw_record(shell, failure_from(shell, node, value), true);
}

/* -- the rest -- */

static enum flow eval_return(struct shell *shell, const struct node *node, struct sink *out)
{
    enum flow flow = node->left ? eval_statement(shell, node->left, out) : FLOW_NEXT;
    return flow == FLOW_NEXT ? FLOW_RETURN : flow;
}

static enum flow eval_exit(struct shell *shell, const struct node *node, struct sink *out)
{
    struct value *value = &value_null;
    s64 number = 0;
    double real;
    bool whole;
    enum flow flow = node->left ? eval_value(shell, node->left, &value) : FLOW_NEXT;
    if (flow != FLOW_NEXT)
        return flow;
    if (!value_numeric(value, &number, &real, &whole) || !whole)
        number = 0;
    shell->status = (int)(number & 0xff);
    scope_set(&shell->global, "LASTEXITCODE", value_number(&shell->heap, number));
    return FLOW_EXIT;
}

static enum flow eval_assign(struct shell *shell, const struct node *node, struct sink *out)
{
    struct value *value, *old;
    shell->busy++;
    enum flow flow = eval_value(shell, node->right, &value);
    if (flow == FLOW_NEXT && strcmp(node->operator, "=") != 0) {
        char sign[2] = {node->operator[0], 0};
        const struct node operation = {
            .kind = NODE_BINARY, .operator= sign, .start = node->start, .end = node->end, .source = node->source};
        flow = eval_expression(shell, node->left, &old);
        if (flow == FLOW_NEXT)
            flow = operator_apply(shell, &operation, old, value, &value);
    }
    if (flow == FLOW_NEXT)
        flow = eval_assign_to(shell, node->left, value);
    shell->busy--;
    if (flow == FLOW_NEXT)
        shell->ok = true;
    return flow;
}

static enum flow eval_function(struct shell *shell, const struct node *node, struct sink *out)
{
    struct function *f = shell->functions;
    while (f && !text_same(f->name, node->name))
        f = f->next;
    if (!f) {
        f = memory_get(sizeof(*f));
        f->next = shell->functions;
        shell->functions = f;
    }
    f->name = node->name;
    f->body = node->body;
    return FLOW_NEXT;
}

static enum flow eval_pipeline(struct shell *shell, const struct node *node, struct sink *out)
{
    shell->busy++;
    enum flow flow = interrupted ? eval_interrupt(shell, node) : run_pipeline(shell, node, out);
    if (!--shell->busy)
        output_flush(shell);
    return flow;
}

static enum flow eval_break(struct shell *shell, const struct node *node, struct sink *out)
{
    return node->kind == NODE_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
}

static enum flow (*const statements[])(struct shell *shell, const struct node *node, struct sink *out) = {
    [NODE_PIPELINE] = eval_pipeline, [NODE_ASSIGN] = eval_assign,   [NODE_IF] = eval_if,
    [NODE_WHILE] = eval_while,       [NODE_DO_WHILE] = eval_while,  [NODE_DO_UNTIL] = eval_while,
    [NODE_FOR] = eval_for,           [NODE_FOREACH] = eval_foreach, [NODE_SWITCH] = eval_switch,
    [NODE_FUNCTION] = eval_function, [NODE_RETURN] = eval_return,   [NODE_THROW] = eval_throw,
    [NODE_EXIT] = eval_exit,         [NODE_BREAK] = eval_break,     [NODE_CONTINUE] = eval_break,
    [NODE_TRY] = eval_try,
};

enum flow eval_statement(struct shell *shell, const struct node *node, struct sink *out)
{
    return statements[node->kind](shell, node, out);
}

static bool stops_at_errors(struct shell *shell)
{
    const struct value *v = variable_get(shell, "ErrorActionPreference");
    return v->kind == VALUE_TEXT && text_same(v->text, "Stop");
}

enum flow eval_statements(struct shell *shell, const struct node *list, struct sink *out)
{
    enum flow flow = FLOW_NEXT;
    for (const struct node *node = list; node && flow == FLOW_NEXT; node = node->next) {
        flow = eval_statement(shell, node, out);
        /* An error ends its statement. It ends what is around only if somebody wants to know of it. */
        if (flow == FLOW_THROW && !shell->fatal && !shell->guarded && !stops_at_errors(shell)) {
            output_flush(shell);
            failure_report(shell, shell->thrown);
            shell->thrown = NULL;
            flow = FLOW_NEXT;
        }
        shell_collect(shell);
    }
    return flow;
}
