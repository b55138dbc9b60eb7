/*
 * Commands: a name, parameters, values, redirections. A bare word is a text, or a number if it reads as one; quoted
 * parts, variables and words that touch each other are one text.
 */
#include "shell/parser.h"

#include <stdlib.h>
#include <string.h>

/* A copy of a word without its back-ticks. */
static const char *plain(struct parser *p, const char *text, size_t length, size_t *used)
{
    char *copy = arena_copy(&p->source->arena, text, length);
    *used = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '`' && i + 1 < length)
            i++;
        copy[(*used)++] = text[i];
    }
    copy[*used] = 0;
    return copy;
}

static struct node *word(struct parser *p, bool alone)
{
    const struct token t = p->token;
    size_t length;
    double real;
    s64 number;
    bool whole;
    parser_take(p);
    const char *text = plain(p, p->lexer.text + t.text, t.length, &length);
    struct node *node = node_text_literal(p, t.start, text, length);
    if (node && alone && number_read(text, length, &number, &real, &whole)) {
        struct value *v = node->literal;
        v->kind = whole ? VALUE_NUMBER : VALUE_REAL;
        if (whole) {
            v->number = number;
            v->spelling = text;
        } else {
            v->real = real;
        }
    }
    return node;
}

static bool begins_value(enum token_kind kind)
{
    switch (kind) {
    case TOKEN_WORD:
    case TOKEN_VARIABLE:
    case TOKEN_QUOTE:
    case TOKEN_DOUBLE_QUOTE:
    case TOKEN_SUBEXPRESSION: return true;
    default: return false;
    }
}

static bool ends_word(struct parser *p)
{
    const struct token *next = parser_look(p, LEX_ARGUMENT);
    return next->spaced || !begins_value(next->kind);
}

static struct node *part(struct parser *p, bool first)
{
    const struct token *t = parser_look(p, LEX_ARGUMENT);
    if (t->kind == TOKEN_WORD) {
        u32 from = p->from, end = t->end;
        parser_take(p);
        bool alone = first && ends_word(p);
        parser_go_back(p, from);
        parser_look(p, LEX_ARGUMENT);
        (void)end;
        return word(p, alone);
    }
    struct node *value = parse_primary(p, LEX_ARGUMENT);
    return value ? parse_postfix(p, value, true) : NULL;
}

/* One word, whatever it is made of. */
static struct node *whole_word(struct parser *p)
{
    u32 start = parser_look(p, LEX_ARGUMENT)->start;
    bool joins = begins_value(p->token.kind);
    struct node *first = part(p, true);
    if (!first || !joins || ends_word(p))
        return first;
    struct node *string = node_create(p, NODE_STRING, start), **end = &string->list;
    *end = first;
    do {
        end = &(*end)->next;
        *end = part(p, false);
    } while (*end && !ends_word(p));
    return node_end(p, string);
}

struct node *parse_argument(struct parser *p)
{
    u32 start = parser_look(p, LEX_ARGUMENT)->start;
    struct node *first = whole_word(p);
    if (!first || parser_look(p, LEX_ARGUMENT)->kind != TOKEN_COMMA)
        return first;
    struct node *list = node_create(p, NODE_LIST, start), **end = &list->list;
    for (*end = first; *end && parser_take_if(p, LEX_ARGUMENT, TOKEN_COMMA);) {
        parser_skip_lines(p);
        end = &(*end)->next;
        *end = whole_word(p);
    }
    return node_end(p, list);
}

static struct node *parameter(struct parser *p)
{
    const struct token t = p->token;
    struct node *node = node_create(p, NODE_ARGUMENT, t.start);
    node->name = arena_copy(&p->source->arena, p->lexer.text + t.text, t.length);
    parser_take(p);
    node->flag = t.colon;
    if (t.colon)
        node->left = parse_argument(p);
    return node_end(p, node);
}

static struct node *positional(struct parser *p)
{
    struct node *node = node_create(p, NODE_ARGUMENT, p->token.start);
    if (p->token.kind == TOKEN_SPLAT) {
        node->left = node_create(p, NODE_SPLAT, p->token.start);
        node->left->name = arena_copy(&p->source->arena, p->lexer.text + p->token.text, p->token.length);
        parser_take(p);
        node_end(p, node->left);
    } else {
        node->left = parse_argument(p);
    }
    return node_end(p, node);
}

static struct node *redirect(struct parser *p)
{
    struct node *node = node_create(p, NODE_REDIRECT, p->token.start);
    u32 length = p->token.end - p->token.start;
    const char *sign = p->lexer.text + p->token.start;
    node->operator= arena_copy(&p->source->arena, sign, length);
    parser_take(p);
    if (sign[length - 1] == '>') {
        parser_look(p, LEX_ARGUMENT);
        node->left = whole_word(p);
    }
    return node_end(p, node);
}

struct node *parse_redirected(struct parser *p)
{
    struct node *to = redirect(p);
    if (!to)
        return NULL;
    struct node *command = node_create(p, NODE_COMMAND, to->start);
    bool null = to->left && to->left->kind == NODE_VARIABLE && text_same(to->left->name, "null");
    bool errors = to->operator[0] != '>' && to->operator[0] != '1';
    const char *name = errors || !to->left ? "Write-Output" : null ? "Out-Null" : "Out-File";
    command->left = node_text_literal(p, to->start, name, strlen(name));
    if (name[0] == 'O' && !null) {
        command->list = node_create(p, NODE_ARGUMENT, to->start);
        command->list->left = to->left;
        if (strstr(to->operator, ">>")) {
            command->list->next = node_create(p, NODE_ARGUMENT, to->start);
            command->list->next->name = "Append";
        }
    }
    return node_end(p, command);
}

struct node *parse_command(struct parser *p)
{
    const struct token *t = parser_look(p, LEX_ARGUMENT);
    struct node *node = node_create(p, NODE_COMMAND, t->start);
    if (t->kind == TOKEN_AMPERSAND) {
        parser_take(p);
    } else if (t->kind == TOKEN_WORD && t->length == 1 && p->lexer.text[t->text] == '.') {
        parser_take(p);
        node->flag = true;
    }
    parser_look(p, LEX_ARGUMENT);
    node->left = whole_word(p);
    struct node **end = &node->list;
    while (node->left && !p->failed) {
        switch (parser_look(p, LEX_ARGUMENT)->kind) {
        case TOKEN_PARAMETER: *end = parameter(p); break;
        case TOKEN_REDIRECT: *end = redirect(p); break;
        case TOKEN_END:
        case TOKEN_NEWLINE:
        case TOKEN_PIPE:
        case TOKEN_CLOSE:
        case TOKEN_CLOSE_BRACE:
        case TOKEN_AMPERSAND: return node_end(p, node);
        default: *end = positional(p); break;
        }
        if (*end)
            end = &(*end)->next;
    }
    return NULL;
}
