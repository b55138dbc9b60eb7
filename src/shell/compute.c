/*
 * Values of expressions. Called by statements and for arguments, on the shell's thread.
 */
#include "shell/failure.h"

#include <string.h>

static enum flow compute_string(struct shell *shell, const struct node *node, struct value **value)
{
    struct text text = {0};
    enum flow flow = FLOW_NEXT;
    for (const struct node *part = node->list; part && flow == FLOW_NEXT; part = part->next) {
        struct value *v;
        flow = eval_expression(shell, part, &v);
        if (flow == FLOW_NEXT)
            value_put(v, &text);
    }
    *value = value_text_take(&shell->heap, &text);
    return flow;
}

static enum flow compute_variable(struct shell *shell, const struct node *node, struct value **value)
{
    *value = variable_get(shell, node->name);
    return FLOW_NEXT;
}

static enum flow compute_list(struct shell *shell, const struct node *node, struct value **value)
{
    *value = value_array(&shell->heap);
    enum flow flow = FLOW_NEXT;
    for (const struct node *item = node->list; item && flow == FLOW_NEXT; item = item->next) {
        struct value *v;
        flow = eval_expression(shell, item, &v);
        if (flow == FLOW_NEXT)
            array_add(*value, v);
    }
    return flow;
}

/* $( ) and @( ): the second is an array whatever comes out. */
static enum flow compute_statements(struct shell *shell, const struct node *node, struct value **value)
{
    struct collect c;
    shell->busy++;
    collect_begin(&c, shell);
    enum flow flow = eval_statements(shell, node->list, &c.sink);
    shell->busy--;
    *value = node->kind == NODE_ARRAY ? c.array : collect_end(&c);
    return flow;
}

static enum flow compute_paren(struct shell *shell, const struct node *node, struct value **value)
{
    enum flow flow = eval_value(shell, node->left, value);
    if (flow == FLOW_NEXT && node->left->kind == NODE_ASSIGN) { /* its value is put out then */
        const struct node *target = node->left->left;
        while (target->kind == NODE_CAST)
            target = target->left;
        return eval_expression(shell, target, value);
    }
    return flow;
}

static enum flow compute_hash(struct shell *shell, const struct node *node, struct value **value)
{
    enum flow flow = FLOW_NEXT;
    *value = value_object(&shell->heap, "Hashtable");
    for (const struct node *pair = node->list; pair && flow == FLOW_NEXT; pair = pair->next) {
        struct value *key, *v;
        struct text name = {0};
        flow = eval_expression(shell, pair->left, &key);
        if (flow == FLOW_NEXT)
            flow = eval_value(shell, pair->right, &v);
        if (flow != FLOW_NEXT)
            break;
        value_put(key, &name);
        object_set(*value, text_get(&name), v);
        text_free(&name);
    }
    return flow;
}

static enum flow compute_block(struct shell *shell, const struct node *node, struct value **value)
{
    *value = value_block(&shell->heap, node);
    return FLOW_NEXT;
}

/* The name of a member, which may be computed. `text` is released by the caller. */
static enum flow member_name(struct shell *shell, const struct node *node, struct text *text)
{
    struct value *name;
    enum flow flow = eval_expression(shell, node, &name);
    if (flow == FLOW_NEXT)
        value_put(name, text);
    return flow;
}

static enum flow compute_member(struct shell *shell, const struct node *node, struct value **value)
{
    struct value *of;
    struct text name = {0};
    enum flow flow = eval_expression(shell, node->left, &of);
    if (flow == FLOW_NEXT)
        flow = member_name(shell, node->right, &name);
    if (flow == FLOW_NEXT)
        flow = member_get(shell, node, of, text_get(&name), value);
    text_free(&name);
    return flow;
}

static enum flow compute_static(struct shell *shell, const struct node *node, struct value **value)
{
    struct text name = {0};
    enum flow flow = member_name(shell, node->right, &name);
    if (flow == FLOW_NEXT)
        flow = static_get(shell, node, node->left->name, text_get(&name), NULL, value);
    text_free(&name);
    return flow;
}

static enum flow compute_call(struct shell *shell, const struct node *node, struct value **value)
{
    const struct node *member = node->left;
    struct value *of = NULL, *arguments;
    struct text name = {0};
    enum flow flow = member_name(shell, member->right, &name);
    if (flow == FLOW_NEXT && member->kind == NODE_MEMBER)
        flow = eval_expression(shell, member->left, &of);
    if (flow == FLOW_NEXT)
        flow = compute_list(shell, node, &arguments);
    if (flow == FLOW_NEXT && member->kind == NODE_MEMBER)
        flow = member_call(shell, node, of, text_get(&name), arguments, value);
    else if (flow == FLOW_NEXT)
        flow = static_get(shell, node, member->left->name, text_get(&name), arguments, value);
    text_free(&name);
    return flow;
}

static struct value *element(struct shell *shell, const struct value *of, const struct value *at)
{
    s64 index;
    double real;
    bool whole;
    if (of->kind == VALUE_OBJECT) {
        struct text name = {0};
        value_put(at, &name);
        struct value *v = object_get(of, text_get(&name));
        text_free(&name);
        return v ? v : &value_null;
    }
    if (!value_numeric(at, &index, &real, &whole))
        return &value_null;
    if (!whole)
        index = (s64)real;
    size_t count = of->kind == VALUE_ARRAY ? of->array.count : of->kind == VALUE_TEXT ? of->length : 0;
    if (index < 0)
        index += (s64)count;
    if (index < 0 || (u64)index >= count)
        return &value_null;
    return of->kind == VALUE_ARRAY ? of->array.item[index] : value_text_n(&shell->heap, of->text + index, 1);
}

static enum flow compute_index(struct shell *shell, const struct node *node, struct value **value)
{
    struct value *of, *at;
    enum flow flow = eval_expression(shell, node->left, &of);
    if (flow == FLOW_NEXT)
        flow = eval_expression(shell, node->right, &at);
    if (flow != FLOW_NEXT)
        return flow;
    if (of->kind == VALUE_NULL) {
        const struct failure f = {INVALID_OPERATION, "NullArray", "RuntimeException", .node = node};
        return failure_throw(shell, &f, "nothing can be taken out of null");
    }
    if (at->kind != VALUE_ARRAY) {
        *value = element(shell, of, at);
        return FLOW_NEXT;
    }
    *value = value_array(&shell->heap);
    for (size_t i = 0; i < at->array.count; i++)
        array_add(*value, element(shell, of, at->array.item[i]));
    return FLOW_NEXT;
}

/* ++ and --, before or behind. */
static enum flow step(struct shell *shell, const struct node *node, struct value **value)
{
    struct value *old, *one = value_number(&shell->heap, 1), *new;
    const struct node operation = {.kind = NODE_BINARY,
                                   .operator= node->operator[0] == '+' ? "+" : "-",
                                   .start = node->start,
                                   .end = node->end,
                                   .source = node->source};
    enum flow flow = eval_expression(shell, node->left, &old);
    if (flow == FLOW_NEXT && old->kind == VALUE_NULL)
        old = value_number(&shell->heap, 0);
    if (flow == FLOW_NEXT)
        flow = operator_apply(shell, &operation, old, one, &new);
    if (flow == FLOW_NEXT)
        flow = eval_assign_to(shell, node->left, new);
    if (flow == FLOW_NEXT)
        *value = node->kind == NODE_POSTFIX ? old : new;
    return flow;
}

static enum flow compute_unary(struct shell *shell, const struct node *node, struct value **value)
{
    if (strcmp(node->operator, "++") == 0 || strcmp(node->operator, "--") == 0)
        return step(shell, node, value);
    struct value *operand;
    enum flow flow = eval_expression(shell, node->left, &operand);
    return flow == FLOW_NEXT ? operator_unary(shell, node, operand, value) : flow;
}

static enum flow compute_binary(struct shell *shell, const struct node *node, struct value **value)
{
    struct value *left, *right;
    bool and = strcmp(node->operator, "and") == 0, or = strcmp(node->operator, "or") == 0;
    enum flow flow = eval_expression(shell, node->left, &left);
    if (flow == FLOW_NEXT && ((and&&!value_truth(left)) || (or &&value_truth(left)))) {
        *value = value_bool(or);
        return FLOW_NEXT;
    }
    if (flow == FLOW_NEXT)
        flow = eval_expression(shell, node->right, &right);
    return flow == FLOW_NEXT ? operator_apply(shell, node, left, right, value) : flow;
}

static enum flow compute_cast(struct shell *shell, const struct node *node, struct value **value)
{
    struct value *v;
    enum flow flow = eval_expression(shell, node->left, &v);
    return flow == FLOW_NEXT ? type_convert(shell, node, node->name, v, value) : flow;
}

static enum flow compute_type(struct shell *shell, const struct node *node, struct value **value)
{
    *value = value_object(&shell->heap, "Type");
    object_set(*value, "Name", value_text(&shell->heap, node->name));
    return FLOW_NEXT;
}

static enum flow compute_literal(struct shell *shell, const struct node *node, struct value **value)
{
    *value = node->literal;
    return FLOW_NEXT;
}

static enum flow (*const expressions[])(struct shell *shell, const struct node *node, struct value **value) = {
    [NODE_LITERAL] = compute_literal,
    [NODE_STRING] = compute_string,
    [NODE_VARIABLE] = compute_variable,
    [NODE_LIST] = compute_list,
    [NODE_SUBEXPRESSION] = compute_statements,
    [NODE_ARRAY] = compute_statements,
    [NODE_PAREN] = compute_paren,
    [NODE_HASH] = compute_hash,
    [NODE_BLOCK] = compute_block,
    [NODE_MEMBER] = compute_member,
    [NODE_STATIC] = compute_static,
    [NODE_CALL] = compute_call,
    [NODE_INDEX] = compute_index,
    [NODE_UNARY] = compute_unary,
    [NODE_POSTFIX] = step,
    [NODE_BINARY] = compute_binary,
    [NODE_CAST] = compute_cast,
    [NODE_TYPE] = compute_type,
    [NODE_SPLAT] = compute_variable,
};

enum flow eval_expression(struct shell *shell, const struct node *node, struct value **value)
{
    *value = &value_null;
    return expressions[node->kind](shell, node, value);
}

/* -- assignment -- */

static enum flow assign_member(struct shell *shell, const struct node *target, struct value *value)
{
    struct value *of;
    struct text name = {0};
    const struct failure f = {INVALID_OPERATION, "PropertyNotFound", "RuntimeException", .node = target};
    enum flow flow = eval_expression(shell, target->left, &of);
    if (flow == FLOW_NEXT)
        flow = member_name(shell, target->right, &name);
    if (flow == FLOW_NEXT && of->kind != VALUE_OBJECT)
        flow = failure_throw(shell, &f, "there is no property '%s' to set", text_get(&name));
    else if (flow == FLOW_NEXT && !value_is(of, "Hashtable") && !object_get(of, text_get(&name)))
        flow = failure_throw(shell, &f, "%s has no property '%s'", of->object.type, text_get(&name));
    else if (flow == FLOW_NEXT)
        object_set(of, text_get(&name), value);
    text_free(&name);
    return flow;
}

static enum flow assign_element(struct shell *shell, const struct node *target, struct value *value)
{
    struct value *of, *at;
    s64 index;
    double real;
    bool whole;
    enum flow flow = eval_expression(shell, target->left, &of);
    if (flow == FLOW_NEXT)
        flow = eval_expression(shell, target->right, &at);
    if (flow != FLOW_NEXT)
        return flow;
    if (of->kind == VALUE_OBJECT) {
        struct text name = {0};
        value_put(at, &name);
        object_set(of, text_get(&name), value);
        text_free(&name);
        return FLOW_NEXT;
    }
    const struct failure f = {INVALID_OPERATION, "IndexOutOfRange", "IndexOutOfRangeException", .node = target};
    if (of->kind != VALUE_ARRAY || !value_numeric(at, &index, &real, &whole) || !whole)
        return failure_throw(shell, &f, "only elements of arrays and hash tables can be set");
    if (index < 0)
        index += (s64)of->array.count;
    if (index < 0 || (u64)index >= of->array.count)
        return failure_throw(shell, &f, "the array has %zu elements, and not number %lld", of->array.count,
                             (long long)index);
    of->array.item[index] = value;
    return FLOW_NEXT;
}

/* $a, $b = 1, 2, 3: the last one gets what is left. */
static enum flow assign_list(struct shell *shell, const struct node *target, struct value *value)
{
    enum flow flow = FLOW_NEXT;
    size_t i = 0, count = value->kind == VALUE_ARRAY ? value->array.count : 1;
    for (const struct node *t = target->list; t && flow == FLOW_NEXT; t = t->next, i++) {
        struct value *v = i >= count ? &value_null : value->kind == VALUE_ARRAY ? value->array.item[i] : value;
        if (!t->next && count > i + 1) {
            v = value_array(&shell->heap);
            for (size_t j = i; j < count; j++)
                array_add(v, value->array.item[j]);
        }
        flow = eval_assign_to(shell, t, v);
    }
    return flow;
}

enum flow eval_assign_to(struct shell *shell, const struct node *target, struct value *value)
{
    const struct failure f = {INVALID_OPERATION, "VariableNotWritable", "SessionStateUnauthorizedAccessException",
                              .target = target->name, .node = target};
    enum flow flow;
    switch (target->kind) {
    case NODE_VARIABLE:
        if (variable_set(shell, target->name, value))
            return FLOW_NEXT;
        return failure_throw(shell, &f, "variable %s is the shell's own and cannot be set", target->name);
    case NODE_CAST:
        flow = type_convert(shell, target, target->name, value, &value);
        return flow == FLOW_NEXT ? eval_assign_to(shell, target->left, value) : flow;
    case NODE_MEMBER: return assign_member(shell, target, value);
    case NODE_INDEX: return assign_element(shell, target, value);
    case NODE_LIST: return assign_list(shell, target, value);
    default: return failure_throw(shell, &f, "only a variable or a property can be assigned to");
    }
}
