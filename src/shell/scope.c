/*
 * Variables. Reading looks in the scope and those that it was called from; setting is for the current scope, unless the
 * name has another one.
 */
#include "shell/shell.h"

#include <stdlib.h>
#include <string.h>

static struct variable *find(const struct scope *scope, const char *name)
{
    for (struct variable *v = scope->variables; v; v = v->next)
        if (text_same(v->name, name))
            return v;
    return NULL;
}

struct value *scope_get(const struct scope *scope, const char *name)
{
    const struct variable *v = find(scope, name);
    return v ? v->value : NULL;
}

void scope_set(struct scope *scope, const char *name, struct value *value)
{
    struct variable *v = find(scope, name);
    if (!v) {
        v = memory_get(sizeof(*v));
        v->name = memory_copy(name, strlen(name));
        v->next = scope->variables;
        scope->variables = v;
    }
    v->value = value;
}

void scope_free(struct scope *scope)
{
    for (struct variable *v = scope->variables, *next; v; v = next) {
        next = v->next;
        free(v->name);
        free(v);
    }
    scope->variables = NULL;
}

void scope_enter(struct shell *shell, struct scope *scope, bool script)
{
    *scope = (struct scope){.parent = shell->scope, .script = script};
    shell->scope = scope;
}

void scope_leave(struct shell *shell)
{
    struct scope *scope = shell->scope;
    shell->scope = scope->parent;
    scope_free(scope);
}

/* The scope that a name asks for, and the name behind it. NULL: none, the usual ones. */
static struct scope *prefix(struct shell *shell, const char **name)
{
    static const char *const known[] = {"global:", "script:", "local:", "private:", "variable:"};
    for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
        if (!text_begins(*name, known[i]))
            continue;
        *name += strlen(known[i]);
        struct scope *scope = i == 0 ? &shell->global : shell->scope;
        while (i == 1 && !scope->script && scope->parent)
            scope = scope->parent;
        return scope;
    }
    return NULL;
}

/* What a variable is that the shell itself keeps; NULL: it is none of these. */
static struct value *automatic(struct shell *shell, const char *name)
{
    if (text_same(name, "true"))
        return &value_true;
    if (text_same(name, "false"))
        return &value_false;
    if (text_same(name, "null"))
        return &value_null;
    if (strcmp(name, "?") == 0)
        return value_bool(shell->ok);
    if (text_same(name, "Error"))
        return shell->errors;
    if (text_same(name, "PSItem"))
        return variable_get(shell, "_");
    return NULL;
}

struct value *variable_get(struct shell *shell, const char *name)
{
    if (text_begins(name, "env:"))
        return value_text(&shell->heap, getenv(name + 4));
    struct value *own = automatic(shell, name);
    if (own)
        return own;
    const struct scope *asked = prefix(shell, &name);
    for (const struct scope *scope = asked ? asked : shell->scope; scope; scope = scope->parent) {
        struct value *v = scope_get(scope, name);
        if (v)
            return v;
    }
    return &value_null;
}

bool variable_exists(struct shell *shell, const char *name)
{
    if (text_begins(name, "env:"))
        return getenv(name + 4) != NULL;
    if (automatic(shell, name))
        return true;
    const struct scope *asked = prefix(shell, &name);
    for (const struct scope *scope = asked ? asked : shell->scope; scope; scope = scope->parent)
        if (scope_get(scope, name))
            return true;
    return false;
}

bool variable_set(struct shell *shell, const char *name, struct value *value)
{
    if (text_begins(name, "env:")) {
        struct text text = {0};
        value_put(value, &text);
        int e = value->kind == VALUE_NULL ? unsetenv(name + 4) : setenv(name + 4, text_get(&text), 1);
        text_free(&text);
        return e == 0;
    }
    if (text_same(name, "null"))
        return true;
    if (automatic(shell, name))
        return false;
    struct scope *asked = prefix(shell, &name);
    scope_set(asked ? asked : shell->scope, name, value);
    return true;
}
