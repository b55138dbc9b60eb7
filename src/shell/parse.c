/*
 * Statements, and the parser's own matters: the token that is looked at, errors, nodes.
 */
#include "shell/parse.h"

#include "shell/parser.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- tokens -- */

struct token *parser_look(struct parser *p, enum lex_mode mode)
{
    if (p->looked && p->token.mode == mode)
        return &p->token;
    if (p->looked)
        p->lexer.at = p->from;
    p->from = p->lexer.at;
    lex_token(&p->lexer, mode, &p->token);
    p->looked = true;
    return &p->token;
}

void parser_take(struct parser *p)
{
    p->last = p->lexer.at;
    p->looked = false;
}

bool parser_take_if(struct parser *p, enum lex_mode mode, enum token_kind kind)
{
    if (p->failed || parser_look(p, mode)->kind != kind)
        return false;
    parser_take(p);
    return true;
}

bool parser_expect(struct parser *p, enum lex_mode mode, enum token_kind kind, const char *what)
{
    if (p->failed)
        return false;
    if (parser_take_if(p, mode, kind))
        return true;
    parser_fail(p, "%s is missing", what);
    return false;
}

void parser_skip_lines(struct parser *p)
{
    if (p->looked)
        p->lexer.at = p->from;
    p->looked = false;
    for (u32 before = p->lexer.length + 1; before != p->lexer.at;) {
        before = p->lexer.at;
        lex_skip(&p->lexer, true);
        if (p->lexer.at < p->lexer.length && p->lexer.text[p->lexer.at] == ';')
            p->lexer.at++;
    }
}

void parser_go_back(struct parser *p, u32 from)
{
    p->lexer.at = from;
    p->looked = false;
}

struct node *parser_fail(struct parser *p, const char *format, ...)
{
    if (p->failed)
        return NULL;
    p->failed = true;
    va_list args;
    va_start(args, format);
    vsnprintf(p->error->text, sizeof(p->error->text), format, args);
    va_end(args);
    p->error->start = p->token.start;
    p->error->end = p->token.end;
    p->error->incomplete |= p->token.kind == TOKEN_END || p->lexer.incomplete;
    return NULL;
}

bool parser_is_word(const struct parser *p, const char *word)
{
    return p->token.length == strlen(word) && text_begins(p->lexer.text + p->token.text, word);
}

bool parser_enter(struct parser *p)
{
    if (++p->nesting <= NESTING_MAX)
        return true;
    parser_fail(p, "things lie in each other more than %u deep", NESTING_MAX);
    return false;
}

void parser_leave(struct parser *p)
{
    p->nesting--;
}

/* -- nodes -- */

struct node *node_create(struct parser *p, enum node_kind kind, u32 start)
{
    struct node *node = arena_get(&p->source->arena, sizeof(*node));
    node->kind = kind;
    node->source = p->source;
    node->start = node->end = start;
    return node;
}

struct node *node_end(struct parser *p, struct node *node)
{
    if (p->failed || !node)
        return NULL;
    node->end = p->last;
    return node;
}

struct node *node_text_literal(struct parser *p, u32 start, const char *text, size_t length)
{
    struct node *node = node_create(p, NODE_LITERAL, start);
    struct value *v = arena_get(&p->source->arena, sizeof(*v));
    v->kind = VALUE_TEXT;
    v->marked = true; /* the heap leaves it alone */
    v->text = arena_copy(&p->source->arena, text, length);
    v->length = length;
    node->literal = v;
    return node_end(p, node);
}

/* -- parameters of functions and scripts -- */

/* [Parameter(Mandatory = $true, Position = 0)] and the like, behind the bracket. */
static bool attribute(struct parser *p, struct node *parameter)
{
    u32 from = p->looked ? p->from : p->lexer.at, at = from;
    while (at < p->lexer.length && (isalnum((u8)p->lexer.text[at]) || p->lexer.text[at] == '.'))
        at++;
    if (at >= p->lexer.length || p->lexer.text[at] != '(')
        return false;
    bool validates = at - from == 11 && text_begins(p->lexer.text + from, "ValidateSet");
    struct node **end = &parameter->list;
    parser_go_back(p, at + 1);
    parser_skip_lines(p);
    while (!p->failed && parser_look(p, LEX_EXPRESSION)->kind != TOKEN_CLOSE) {
        bool mandatory = parser_is_word(p, "Mandatory") && p->token.kind == TOKEN_WORD;
        bool named = p->token.kind == TOKEN_WORD;
        if (named)
            parser_take(p);
        parser_look(p, LEX_EXPRESSION);
        struct node *value = NULL;
        if (!named || (p->token.kind == TOKEN_OPERATOR && !strcmp(p->token.operator, "="))) {
            if (named)
                parser_take(p);
            value = parse_primary(p, LEX_EXPRESSION);
        }
        if (mandatory)
            parameter->flag = !value || value->kind != NODE_VARIABLE || !text_same(value->name, "false");
        if (validates && value) {
            *end = value;
            end = &value->next;
        }
        parser_skip_lines(p);
        if (!parser_take_if(p, LEX_EXPRESSION, TOKEN_COMMA))
            break;
        parser_skip_lines(p);
    }
    return parser_expect(p, LEX_EXPRESSION, TOKEN_CLOSE, "')'") &&
           parser_expect(p, LEX_EXPRESSION, TOKEN_CLOSE_BRACKET, "']'");
}

static struct node *parameter(struct parser *p)
{
    struct node *node = node_create(p, NODE_PARAMETER, parser_look(p, LEX_EXPRESSION)->start);
    while (parser_take_if(p, LEX_EXPRESSION, TOKEN_OPEN_BRACKET)) {
        if (!attribute(p, node) && !p->failed)
            node->type = parse_type(p);
        parser_skip_lines(p);
    }
    if (p->failed || parser_look(p, LEX_EXPRESSION)->kind != TOKEN_VARIABLE)
        return parser_fail(p, "the variable of a parameter is missing");
    node->name = arena_copy(&p->source->arena, p->lexer.text + p->token.text, p->token.length);
    parser_take(p);
    if (parser_look(p, LEX_EXPRESSION)->kind == TOKEN_OPERATOR && !strcmp(p->token.operator, "=")) {
        parser_take(p);
        parser_skip_lines(p);
        node->left = parse_expression(p);
    }
    return node_end(p, node);
}

/* Behind the opening parenthesis. */
static struct node *parameters(struct parser *p)
{
    struct node *list = NULL, **end = &list;
    parser_skip_lines(p);
    while (!p->failed && parser_look(p, LEX_EXPRESSION)->kind != TOKEN_CLOSE) {
        *end = parameter(p);
        if (*end)
            end = &(*end)->next;
        parser_skip_lines(p);
        if (!parser_take_if(p, LEX_EXPRESSION, TOKEN_COMMA))
            break;
        parser_skip_lines(p);
    }
    parser_expect(p, LEX_EXPRESSION, TOKEN_CLOSE, "')'");
    return list;
}

/* -- bodies -- */

/* [CmdletBinding()] and param(...) at the beginning. */
static void body_parameters(struct parser *p, struct node *body)
{
    struct node ignored = {0};
    u32 from = p->lexer.at;
    while (parser_look(p, LEX_EXPRESSION)->kind == TOKEN_OPEN_BRACKET) {
        parser_take(p);
        if (!attribute(p, &ignored)) {
            parser_go_back(p, from);
            if (p->failed)
                return;
            return;
        }
        parser_skip_lines(p);
    }
    parser_look(p, LEX_ARGUMENT);
    if (p->token.kind != TOKEN_WORD || !parser_is_word(p, "param"))
        return;
    parser_take(p);
    parser_skip_lines(p);
    if (parser_expect(p, LEX_EXPRESSION, TOKEN_OPEN, "'('"))
        body->parameters = parameters(p);
}

static struct node *braced(struct parser *p)
{
    parser_skip_lines(p);
    struct node *node = node_create(p, NODE_STATEMENTS, parser_look(p, LEX_EXPRESSION)->start);
    if (!parser_expect(p, LEX_EXPRESSION, TOKEN_OPEN_BRACE, "'{'"))
        return NULL;
    node->list = parser_enter(p) ? parse_statements(p, TOKEN_CLOSE_BRACE) : NULL;
    parser_leave(p);
    return parser_expect(p, LEX_EXPRESSION, TOKEN_CLOSE_BRACE, "'}'") ? node_end(p, node) : NULL;
}

/* begin { } process { } end { } instead of plain statements. */
static bool named_blocks(struct parser *p, struct node *body)
{
    bool any = false;
    for (;; any = true) {
        parser_skip_lines(p);
        if (p->failed || parser_look(p, LEX_ARGUMENT)->kind != TOKEN_WORD)
            return any;
        struct node **block = parser_is_word(p, "begin")     ? &body->begin
                              : parser_is_word(p, "process") ? &body->process
                              : parser_is_word(p, "end")     ? &body->end_block
                                                             : NULL;
        if (!block)
            return any;
        parser_take(p);
        *block = braced(p);
    }
}

static struct node *body(struct parser *p, enum token_kind close, u32 start)
{
    struct node *node = node_create(p, NODE_BODY, start);
    parser_skip_lines(p);
    body_parameters(p, node);
    if (!p->failed && !named_blocks(p, node) && !p->failed)
        node->list = parse_statements(p, close);
    return node_end(p, node);
}

static struct node *block_body(struct parser *p, u32 start)
{
    struct node *node = parser_enter(p) ? body(p, TOKEN_CLOSE_BRACE, start) : NULL;
    parser_leave(p);
    return parser_expect(p, LEX_EXPRESSION, TOKEN_CLOSE_BRACE, "'}'") ? node_end(p, node) : NULL;
}

struct node *parse_block(struct parser *p, u32 start)
{
    struct node *node = node_create(p, NODE_BLOCK, start);
    node->left = block_body(p, start);
    return node_end(p, node);
}

/* -- statements that begin with a word -- */

/* "(" condition ")" */
static struct node *condition(struct parser *p)
{
    parser_skip_lines(p);
    if (!parser_expect(p, LEX_EXPRESSION, TOKEN_OPEN, "'('"))
        return NULL;
    parser_skip_lines(p);
    struct node *node = parse_statement(p);
    parser_skip_lines(p);
    return parser_expect(p, LEX_EXPRESSION, TOKEN_CLOSE, "')'") ? node : NULL;
}

/* Does one of the words come next, behind ends of lines? If not, nothing was taken. */
static bool word_follows(struct parser *p, const char *word)
{
    u32 from = p->looked ? p->from : p->lexer.at;
    parser_skip_lines(p);
    if (!p->failed && parser_look(p, LEX_ARGUMENT)->kind == TOKEN_WORD && parser_is_word(p, word)) {
        parser_take(p);
        return true;
    }
    parser_go_back(p, from);
    return false;
}

static struct node *parse_if(struct parser *p, struct node *node)
{
    node->condition = condition(p);
    node->body = braced(p);
    if (p->failed)
        return NULL;
    if (word_follows(p, "elseif")) {
        struct node *next = node_create(p, NODE_IF, p->last);
        node->otherwise = parser_enter(p) ? parse_if(p, next) : NULL;
        parser_leave(p);
    } else if (word_follows(p, "else")) {
        node->otherwise = braced(p);
    }
    return node_end(p, node);
}

static struct node *parse_while(struct parser *p, struct node *node)
{
    node->condition = condition(p);
    node->body = braced(p);
    return node_end(p, node);
}

static struct node *parse_do(struct parser *p, struct node *node)
{
    node->body = braced(p);
    if (p->failed)
        return NULL;
    if (word_follows(p, "until"))
        node->kind = NODE_DO_UNTIL;
    else if (!word_follows(p, "while"))
        return parser_fail(p, "'while' or 'until' is missing behind do { }");
    node->condition = condition(p);
    return node_end(p, node);
}

/* One of the three parts of for (;;). */
static struct node *for_part(struct parser *p, bool last)
{
    lex_skip(&p->lexer, true);
    const struct token *t = parser_look(p, LEX_EXPRESSION);
    struct node *node = NULL;
    if (t->kind != TOKEN_NEWLINE && t->kind != TOKEN_CLOSE)
        node = parse_statement(p);
    if (!last && !p->failed)
        parser_expect(p, LEX_EXPRESSION, TOKEN_NEWLINE, "';'");
    return node;
}

static struct node *parse_for(struct parser *p, struct node *node)
{
    parser_skip_lines(p);
    if (!parser_expect(p, LEX_EXPRESSION, TOKEN_OPEN, "'('"))
        return NULL;
    node->left = for_part(p, false);
    node->condition = for_part(p, false);
    node->right = for_part(p, true);
    if (!parser_expect(p, LEX_EXPRESSION, TOKEN_CLOSE, "')'"))
        return NULL;
    node->body = braced(p);
    return node_end(p, node);
}

static struct node *parse_foreach(struct parser *p, struct node *node)
{
    parser_skip_lines(p);
    if (!parser_expect(p, LEX_EXPRESSION, TOKEN_OPEN, "'('"))
        return NULL;
    if (parser_look(p, LEX_EXPRESSION)->kind != TOKEN_VARIABLE)
        return parser_fail(p, "foreach needs a variable");
    node->left = parse_primary(p, LEX_EXPRESSION);
    parser_look(p, LEX_ARGUMENT);
    if (!parser_is_word(p, "in"))
        return parser_fail(p, "'in' is missing");
    parser_take(p);
    node->condition = parse_statement(p);
    parser_skip_lines(p);
    if (!parser_expect(p, LEX_EXPRESSION, TOKEN_CLOSE, "')'"))
        return NULL;
    node->body = braced(p);
    return node_end(p, node);
}

static struct node *parse_switch(struct parser *p, struct node *node)
{
    struct node **end = &node->list;
    node->condition = condition(p);
    parser_skip_lines(p);
    if (!parser_expect(p, LEX_EXPRESSION, TOKEN_OPEN_BRACE, "'{'"))
        return NULL;
    parser_skip_lines(p);
    while (!p->failed && !parser_take_if(p, LEX_EXPRESSION, TOKEN_CLOSE_BRACE)) {
        struct node *pair = node_create(p, NODE_PAIR, parser_look(p, LEX_ARGUMENT)->start);
        bool otherwise = p->token.kind == TOKEN_WORD && parser_is_word(p, "default");
        pair->left = parse_argument(p);
        if (otherwise)
            pair->left = NULL;
        pair->right = braced(p);
        *end = node_end(p, pair);
        end = &pair->next;
        parser_skip_lines(p);
    }
    return node_end(p, node);
}

static struct node *parse_function(struct parser *p, struct node *node)
{
    const struct token t = *parser_look(p, LEX_ARGUMENT);
    if (t.kind != TOKEN_WORD)
        return parser_fail(p, "the name of the function is missing");
    node->name = arena_copy(&p->source->arena, p->lexer.text + t.text, t.length);
    parser_take(p);
    parser_skip_lines(p);
    struct node *list = NULL;
    if (parser_take_if(p, LEX_EXPRESSION, TOKEN_OPEN))
        list = parameters(p);
    parser_skip_lines(p);
    u32 start = parser_look(p, LEX_EXPRESSION)->start;
    if (!parser_expect(p, LEX_EXPRESSION, TOKEN_OPEN_BRACE, "'{'"))
        return NULL;
    node->body = block_body(p, start);
    if (node->body && list)
        node->body->parameters = list;
    return node_end(p, node);
}

/* return, throw, exit: with a value or without. */
static struct node *parse_leave(struct parser *p, struct node *node)
{
    switch (parser_look(p, LEX_ARGUMENT)->kind) {
    case TOKEN_END:
    case TOKEN_NEWLINE:
    case TOKEN_CLOSE_BRACE:
    case TOKEN_CLOSE: return node_end(p, node);
    default: node->left = parse_statement(p); return node_end(p, node);
    }
}

static struct node *parse_nothing(struct parser *p, struct node *node)
{
    return node_end(p, node);
}

static struct node *parse_try(struct parser *p, struct node *node)
{
    struct node **end = &node->list;
    node->body = braced(p);
    while (!p->failed && word_follows(p, "catch")) {
        struct node *catch = node_create(p, NODE_CATCH, p->last);
        parser_skip_lines(p);
        while (parser_take_if(p, LEX_EXPRESSION, TOKEN_OPEN_BRACKET)) {
            catch->type = parse_type(p);
            parser_skip_lines(p);
            if (parser_take_if(p, LEX_EXPRESSION, TOKEN_COMMA))
                parser_skip_lines(p);
        }
        catch->body = braced(p);
        *end = node_end(p, catch);
        end = &catch->next;
    }
    if (!p->failed && word_follows(p, "finally"))
        node->otherwise = braced(p);
    if (!p->failed && !node->list && !node->otherwise)
        return parser_fail(p, "try { } needs a catch or a finally behind it");
    return node_end(p, node);
}

static const struct {
    const char *word;
    enum node_kind kind;
    struct node *(*parse)(struct parser *p, struct node *node);
} words[] = {
    {"if", NODE_IF, parse_if},
    {"while", NODE_WHILE, parse_while},
    {"do", NODE_DO_WHILE, parse_do},
    {"for", NODE_FOR, parse_for},
    {"foreach", NODE_FOREACH, parse_foreach},
    {"switch", NODE_SWITCH, parse_switch},
    {"function", NODE_FUNCTION, parse_function},
    {"filter", NODE_FUNCTION, parse_function},
    {"return", NODE_RETURN, parse_leave},
    {"throw", NODE_THROW, parse_leave},
    {"exit", NODE_EXIT, parse_leave},
    {"break", NODE_BREAK, parse_nothing},
    {"continue", NODE_CONTINUE, parse_nothing},
    {"try", NODE_TRY, parse_try},
};

/* -- pipelines -- */

/* Does a statement that begins so begin with an expression? */
static bool begins_expression(struct parser *p)
{
    const struct token *t = parser_look(p, LEX_ARGUMENT);
    const char *text = p->lexer.text + t->text;
    if (t->kind == TOKEN_AMPERSAND)
        return false;
    if (t->kind != TOKEN_WORD)
        return true;
    bool dashes = t->length > 2 && text[0] == '-' && text[1] == '-';
    if (strchr("[+-!", text[0]) && !dashes)
        return true;
    return (isdigit((u8)text[0]) || text[0] == '.') && parser_look(p, LEX_EXPRESSION)->kind == TOKEN_NUMBER;
}

static bool assigns(struct parser *p)
{
    static const char *const signs[] = {"=", "+=", "-=", "*=", "/=", "%="};
    if (p->failed || parser_look(p, LEX_EXPRESSION)->kind != TOKEN_OPERATOR)
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(signs); i++)
        if (strcmp(p->token.operator, signs[i]) == 0)
            return true;
    return false;
}

static struct node *assignment(struct parser *p, struct node *target)
{
    const struct node *to = target;
    while (to->kind == NODE_CAST)
        to = to->left;
    if (to->kind != NODE_VARIABLE && to->kind != NODE_MEMBER && to->kind != NODE_INDEX && to->kind != NODE_LIST)
        return parser_fail(p, "only a variable or a property can be assigned to");
    struct node *node = node_create(p, NODE_ASSIGN, target->start);
    node->left = target;
    node->operator= p->token.operator;
    parser_take(p);
    parser_skip_lines(p);
    node->right = parse_statement(p);
    return node_end(p, node);
}

static struct node *pipeline(struct parser *p)
{
    struct node *node = node_create(p, NODE_PIPELINE, parser_look(p, LEX_ARGUMENT)->start), **end = &node->list;
    if (begins_expression(p)) {
        *end = parse_expression(p);
        if (*end && assigns(p))
            return assignment(p, *end);
        if (*end) {
            const char *sign = (*end)->operator;
            (*end)->silent = ((*end)->kind == NODE_POSTFIX || (*end)->kind == NODE_UNARY) && sign &&
                             (!strcmp(sign, "++") || !strcmp(sign, "--"));
        }
        if (*end && !p->failed && parser_look(p, LEX_ARGUMENT)->kind == TOKEN_REDIRECT) {
            (*end)->next = parse_redirected(p);
            return node_end(p, node);
        }
    } else {
        *end = parse_command(p);
    }
    while (*end && !p->failed && parser_look(p, LEX_ARGUMENT)->kind == TOKEN_PIPE) {
        parser_take(p);
        parser_skip_lines(p);
        if (parser_look(p, LEX_ARGUMENT)->kind == TOKEN_END)
            return parser_fail(p, "a command is missing behind '|'");
        if (begins_expression(p))
            return parser_fail(p, "expressions stand only at the beginning of a pipeline");
        end = &(*end)->next;
        *end = parse_command(p);
    }
    return node_end(p, node);
}

static struct node *statement(struct parser *p)
{
    const struct token *t = parser_look(p, LEX_ARGUMENT);
    if (t->kind == TOKEN_BAD) {
        p->error->incomplete |= p->lexer.incomplete;
        return parser_fail(p, "%s", p->lexer.problem);
    }
    if (t->kind == TOKEN_WORD)
        for (unsigned i = 0; i < ARRAY_LEN(words); i++)
            if (parser_is_word(p, words[i].word)) {
                struct node *node = node_create(p, words[i].kind, t->start);
                parser_take(p);
                return words[i].parse(p, node);
            }
    return pipeline(p);
}

struct node *parse_statement(struct parser *p)
{
    struct node *node = parser_enter(p) ? statement(p) : NULL;
    parser_leave(p);
    return node;
}

struct node *parse_statements(struct parser *p, enum token_kind close)
{
    struct node *list = NULL, **end = &list;
    for (;;) {
        parser_skip_lines(p);
        const struct token *t = parser_look(p, LEX_ARGUMENT);
        if (p->failed || t->kind == TOKEN_END || t->kind == close)
            return list;
        *end = parse_statement(p);
        if (!*end)
            return NULL;
        end = &(*end)->next;
        t = parser_look(p, LEX_EXPRESSION);
        if (t->kind != TOKEN_NEWLINE && t->kind != TOKEN_END && t->kind != close && p->last &&
            p->lexer.text[p->last - 1] != '}')
            return parser_fail(p, "'%.*s' is not expected here", (int)(t->end - t->start > 20 ? 20 : t->end - t->start),
                               p->lexer.text + t->start);
    }
}

/* -- the whole -- */

struct source *source_parse(const char *name, const char *text, size_t length, struct parse_error *error)
{
    struct source *source = memory_get(sizeof(*source));
    struct parser p = {.source = source, .error = error};
    *error = (struct parse_error){0};
    if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* the mark of UTF-8 */
        text += 3;
        length -= 3;
    }
    source->name = name ? arena_copy(&source->arena, name, strlen(name)) : NULL;
    source->text = arena_copy(&source->arena, text, length);
    source->length = (u32)length;
    p.lexer = (struct lexer){.text = source->text, .length = source->length};
    struct node *top = body(&p, TOKEN_END, 0);
    if (!p.failed && parser_look(&p, LEX_ARGUMENT)->kind != TOKEN_END)
        parser_fail(&p, "'%.1s' is not expected here", source->text + p.token.start);
    if (!p.failed && p.lexer.incomplete) {
        error->incomplete = true;
        parser_fail(&p, "the text ends within a comment or behind a back-tick");
    }
    source->top = p.failed ? NULL : top;
    return source;
}

void source_free(struct source *source)
{
    if (!source)
        return;
    arena_free(&source->arena);
    free(source);
}
