/*
 * Expressions, by the precedence of PowerShell's operators: members and indexes, casts and unary operators, commas,
 * ranges, -f, products, sums, comparisons, -band, -and.
 */
#include "shell/parser.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* -- operators -- */

static const struct {
    const char *name; /* without its dash */
    unsigned level;   /* higher ones bind tighter */
} binary[] = {
    {"and", 1},       {"or", 1},        {"xor", 1},      {"band", 2},     {"bor", 2},      {"bxor", 2},
    {"eq", 3},        {"ne", 3},        {"gt", 3},       {"ge", 3},       {"lt", 3},       {"le", 3},
    {"like", 3},      {"notlike", 3},   {"match", 3},    {"notmatch", 3}, {"contains", 3}, {"notcontains", 3},
    {"in", 3},        {"notin", 3},     {"replace", 3},  {"split", 3},    {"join", 3},     {"is", 3},
    {"isnot", 3},     {"as", 3},        {"ceq", 3},      {"cne", 3},      {"cgt", 3},      {"cge", 3},
    {"clt", 3},       {"cle", 3},       {"clike", 3},    {"cmatch", 3},   {"ieq", 3},      {"ine", 3},
    {"cnotlike", 3},  {"cnotmatch", 3}, {"creplace", 3}, {"ireplace", 3}, {"imatch", 3},   {"ilike", 3},
    {"ccontains", 3}, {"icontains", 3}, {"shl", 5},      {"shr", 5},      {"f", 6},
};
static const struct {
    const char *sign;
    unsigned level;
} signs[] = {{"+", 4}, {"-", 4}, {"*", 5}, {"/", 5}, {"%", 5}, {"..", 7}};
static const char *const unary[] = {"not", "bnot", "join", "split"};

static const char *binary_operator(struct parser *p, unsigned *level)
{
    const struct token *t = parser_look(p, LEX_EXPRESSION);
    if (t->kind == TOKEN_OPERATOR)
        for (unsigned i = 0; i < ARRAY_LEN(signs); i++)
            if (strcmp(signs[i].sign, t->operator) == 0) {
                *level = signs[i].level;
                return signs[i].sign;
            }
    if (t->kind == TOKEN_DASH_WORD)
        for (unsigned i = 0; i < ARRAY_LEN(binary); i++)
            if (parser_is_word(p, binary[i].name)) {
                *level = binary[i].level;
                return binary[i].name;
            }
    return NULL;
}

/* -- types -- */

const char *parse_type(struct parser *p)
{
    u32 from = p->lexer.at, depth = 1, at = from;
    const char *text = p->lexer.text;
    if (p->looked) /* the token behind the bracket was looked at */
        from = at = p->from;
    while (at < p->lexer.length && depth) {
        char c = text[at];
        if (c == '[')
            depth++;
        else if (c == ']')
            depth--;
        else if (!isalnum((u8)c) && !strchr("._, ", c))
            break;
        at += depth != 0;
    }
    if (at >= p->lexer.length || depth || at == from) {
        parser_look(p, LEX_EXPRESSION);
        parser_fail(p, "the name of a type is missing or does not end");
        return NULL;
    }
    p->lexer.at = p->last = at + 1;
    p->looked = false;
    const char *name = arena_copy(&p->source->arena, text + from, at - from);
    if (text_begins(name, "System."))
        name += strlen("System.");
    return name;
}

/* -- strings -- */

static void put_piece_text(struct parser *p, struct text *text, u32 start, struct node ***end)
{
    if (!text->used)
        return;
    **end = node_text_literal(p, start, text_get(text), text->used);
    *end = &(**end)->next;
    text->used = 0;
}

struct node *parse_string(struct parser *p, u32 start, bool here)
{
    struct node *string = node_create(p, NODE_STRING, start), **end = &string->list;
    struct text text = {0};
    struct piece piece;
    bool skip = here; /* the end of line behind @" is not of the text */
    p->looked = false;
    for (lex_piece(&p->lexer, here, &piece); piece.kind != PIECE_END && !p->failed;
         lex_piece(&p->lexer, here, &piece)) {
        if (piece.kind == PIECE_TEXT) {
            if (!skip)
                text_put(&text, piece.bytes, piece.count);
            skip = false;
            continue;
        }
        put_piece_text(p, &text, start, &end);
        if (piece.kind == PIECE_VARIABLE) {
            struct node *v = node_create(p, NODE_VARIABLE, piece.start);
            v->name = arena_copy(&p->source->arena, p->lexer.text + piece.text, piece.length);
            v->end = piece.end;
            *end = v;
            end = &v->next;
        } else if (piece.kind == PIECE_SUBEXPRESSION) {
            struct node *sub = node_create(p, NODE_SUBEXPRESSION, piece.start);
            p->last = p->lexer.at;
            sub->list = parser_enter(p) ? parse_statements(p, TOKEN_CLOSE) : NULL;
            parser_leave(p);
            if (!parser_expect(p, LEX_EXPRESSION, TOKEN_CLOSE, "')'"))
                break;
            p->lexer.at = p->last; /* what was read ahead is of the string */
            *end = sub;
            end = &sub->next;
        } else {
            p->token = (struct token){.kind = TOKEN_BAD, .start = start, .end = p->lexer.at};
            parser_fail(p, "%s", p->lexer.problem);
        }
    }
    put_piece_text(p, &text, start, &end);
    text_free(&text);
    p->last = p->lexer.at;
    p->looked = false;
    if (!p->failed && !string->list)
        return node_text_literal(p, start, "", 0);
    if (!p->failed && string->list->kind == NODE_LITERAL && !string->list->next)
        return node_end(p, string->list);
    return node_end(p, string);
}

static struct node *single_quoted(struct parser *p)
{
    const struct token t = p->token;
    struct text text = {0};
    u32 n;
    parser_take(p);
    for (u32 at = t.text; at < t.text + t.length; at += n) {
        bool quote = lex_char(&p->lexer, at, &n) == '\'';
        text_put(&text, p->lexer.text + at, n);
        if (quote && t.kind == TOKEN_QUOTE) { /* two of them are one */
            at += n;
            lex_char(&p->lexer, at, &n);
        }
    }
    struct node *node = node_text_literal(p, t.start, text_get(&text), text.used);
    text_free(&text);
    return node;
}

/* -- primaries -- */

static struct node *number(struct parser *p)
{
    const struct token t = p->token;
    double real;
    s64 whole_number = 0;
    bool whole;
    parser_take(p);
    struct node *node = node_text_literal(p, t.start, "", 0);
    if (!node || !number_read(p->lexer.text + t.text, t.length, &whole_number, &real, &whole))
        return NULL;
    node->literal->kind = whole ? VALUE_NUMBER : VALUE_REAL;
    if (whole) {
        node->literal->number = whole_number;
        node->literal->spelling = NULL;
    } else {
        node->literal->real = real;
    }
    return node;
}

static struct node *variable(struct parser *p, enum node_kind kind)
{
    struct node *node = node_create(p, kind, p->token.start);
    node->name = arena_copy(&p->source->arena, p->lexer.text + p->token.text, p->token.length);
    parser_take(p);
    return node_end(p, node);
}

static struct node *statements_within(struct parser *p, enum node_kind kind)
{
    struct node *node = node_create(p, kind, p->token.start);
    parser_take(p);
    node->list = parse_statements(p, TOKEN_CLOSE);
    return parser_expect(p, LEX_EXPRESSION, TOKEN_CLOSE, "')'") ? node_end(p, node) : NULL;
}

static struct node *paren(struct parser *p)
{
    struct node *node = node_create(p, NODE_PAREN, p->token.start);
    parser_take(p);
    parser_skip_lines(p);
    node->left = parse_statement(p);
    parser_skip_lines(p);
    return parser_expect(p, LEX_EXPRESSION, TOKEN_CLOSE, "')'") ? node_end(p, node) : NULL;
}

static struct node *hash(struct parser *p)
{
    struct node *node = node_create(p, NODE_HASH, p->token.start), **end = &node->list;
    parser_take(p);
    parser_skip_lines(p);
    while (!p->failed && !parser_take_if(p, LEX_EXPRESSION, TOKEN_CLOSE_BRACE)) {
        struct node *pair = node_create(p, NODE_PAIR, parser_look(p, LEX_EXPRESSION)->start);
        if (p->token.kind == TOKEN_WORD || p->token.kind == TOKEN_NUMBER) {
            struct token t = p->token;
            parser_take(p);
            pair->left = node_text_literal(p, t.start, p->lexer.text + t.text, t.length);
        } else {
            pair->left = parse_primary(p, LEX_EXPRESSION);
        }
        parser_look(p, LEX_EXPRESSION);
        if (p->failed || p->token.kind != TOKEN_OPERATOR || strcmp(p->token.operator, "=") != 0)
            return parser_fail(p, "'=' is missing behind a key");
        parser_take(p);
        parser_skip_lines(p);
        pair->right = parse_statement(p);
        *end = node_end(p, pair);
        end = &pair->next;
        parser_skip_lines(p);
    }
    return node_end(p, node);
}

static struct node *type_or_cast(struct parser *p)
{
    u32 start = p->token.start;
    parser_take(p);
    const char *name = parse_type(p);
    if (!name)
        return NULL;
    struct node *node = node_create(p, NODE_TYPE, start);
    node->name = name;
    switch (parser_look(p, LEX_EXPRESSION)->kind) {
    case TOKEN_VARIABLE:
    case TOKEN_QUOTE:
    case TOKEN_DOUBLE_QUOTE:
    case TOKEN_HERE:
    case TOKEN_DOUBLE_HERE:
    case TOKEN_NUMBER:
    case TOKEN_OPEN:
    case TOKEN_OPEN_BRACKET:
    case TOKEN_SUBEXPRESSION:
    case TOKEN_ARRAY:
    case TOKEN_HASH: break;
    default: return node_end(p, node);
    }
    node->kind = NODE_CAST;
    node->left = parser_enter(p) ? parse_primary(p, LEX_EXPRESSION) : NULL;
    parser_leave(p);
    if (node->left && node->left->kind != NODE_CAST)
        node->left = parse_postfix(p, node->left, false);
    return node_end(p, node);
}

static struct node *primary(struct parser *p, enum lex_mode mode)
{
    const struct token *t = parser_look(p, mode);
    u32 start = t->start;
    switch (t->kind) {
    case TOKEN_NUMBER: return number(p);
    case TOKEN_VARIABLE: return variable(p, NODE_VARIABLE);
    case TOKEN_QUOTE:
    case TOKEN_HERE: return single_quoted(p);
    case TOKEN_DOUBLE_QUOTE: return parse_string(p, start, false);
    case TOKEN_DOUBLE_HERE: return parse_string(p, start, true);
    case TOKEN_OPEN: return paren(p);
    case TOKEN_SUBEXPRESSION: return statements_within(p, NODE_SUBEXPRESSION);
    case TOKEN_ARRAY: return statements_within(p, NODE_ARRAY);
    case TOKEN_HASH: return hash(p);
    case TOKEN_OPEN_BRACE: parser_take(p); return parse_block(p, start);
    case TOKEN_OPEN_BRACKET: return type_or_cast(p);
    case TOKEN_BAD: p->error->incomplete |= p->lexer.incomplete; return parser_fail(p, "%s", p->lexer.problem);
    case TOKEN_END: return parser_fail(p, "a value is missing at the end");
    default:
        return parser_fail(p, "a value is missing before '%.*s'",
                           (int)(t->end - t->start > 20 ? 20 : t->end - t->start), p->lexer.text + t->start);
    }
}

struct node *parse_primary(struct parser *p, enum lex_mode mode)
{
    struct node *node = parser_enter(p) ? primary(p, mode) : NULL;
    parser_leave(p);
    return node;
}

/* -- behind a value -- */

static struct node *member_name(struct parser *p)
{
    const struct token t = *parser_look(p, LEX_EXPRESSION);
    if (t.kind == TOKEN_WORD) {
        parser_take(p);
        return node_text_literal(p, t.start, p->lexer.text + t.text, t.length);
    }
    if (t.kind == TOKEN_VARIABLE || t.kind == TOKEN_QUOTE || t.kind == TOKEN_DOUBLE_QUOTE || t.kind == TOKEN_OPEN)
        return parse_primary(p, LEX_EXPRESSION);
    return parser_fail(p, "the name of a property is missing");
}

static struct node *arguments_of_method(struct parser *p, struct node *member)
{
    struct node *call = node_create(p, NODE_CALL, member->start), **end = &call->list;
    call->left = member;
    parser_take(p);
    parser_skip_lines(p);
    while (!p->failed && parser_look(p, LEX_EXPRESSION)->kind != TOKEN_CLOSE) {
        struct node *e = parse_expression(p);
        if (!e)
            break;
        if (e->kind == NODE_LIST) { /* commas separate arguments here */
            *end = e->list;
            while (*end)
                end = &(*end)->next;
        } else {
            *end = e;
            end = &e->next;
        }
        parser_skip_lines(p);
        if (!parser_take_if(p, LEX_EXPRESSION, TOKEN_COMMA))
            break;
        parser_skip_lines(p);
    }
    return parser_expect(p, LEX_EXPRESSION, TOKEN_CLOSE, "')'") ? node_end(p, call) : NULL;
}

/* A dot of an argument that no name follows is a dot. */
static bool names_member(const struct parser *p)
{
    u32 n;
    char c = lex_char(&p->lexer, p->token.end, &n);
    return isalpha((u8)c) || c == '_' || c == '$' || c == '\'' || c == '"' || c == '(';
}

struct node *parse_postfix(struct parser *p, struct node *value, bool argument)
{
    while (value && !p->failed) {
        const struct token *t = parser_look(p, LEX_EXPRESSION);
        struct node *node;
        u32 start = value->start;
        if (t->spaced && (argument || t->kind != TOKEN_DOT))
            break;
        if (t->kind == TOKEN_DOT && (!argument || names_member(p))) {
            parser_take(p);
            node = node_create(p, NODE_MEMBER, start);
            node->right = member_name(p);
        } else if (t->kind == TOKEN_COLONS && value->kind == NODE_TYPE) {
            parser_take(p);
            node = node_create(p, NODE_STATIC, start);
            node->right = member_name(p);
        } else if (t->kind == TOKEN_OPEN_BRACKET && value->kind != NODE_TYPE) {
            parser_take(p);
            parser_skip_lines(p);
            node = node_create(p, NODE_INDEX, start);
            node->right = parse_expression(p);
            parser_skip_lines(p);
            if (!parser_expect(p, LEX_EXPRESSION, TOKEN_CLOSE_BRACKET, "']'"))
                return NULL;
        } else if (t->kind == TOKEN_OPEN && (value->kind == NODE_MEMBER || value->kind == NODE_STATIC)) {
            value = arguments_of_method(p, value);
            continue;
        } else {
            break;
        }
        node->left = value;
        value = node_end(p, node);
    }
    return value;
}

/* -- operators that stand before their operand, commas, binary ones -- */

static struct node *operand(struct parser *p)
{
    struct node *value = parse_primary(p, LEX_EXPRESSION);
    value = value ? parse_postfix(p, value, false) : NULL;
    if (!value)
        return NULL;
    const struct token *t = parser_look(p, LEX_EXPRESSION);
    if (t->kind == TOKEN_OPERATOR && !t->spaced && (!strcmp(t->operator, "++") || !strcmp(t->operator, "--"))) {
        struct node *node = node_create(p, NODE_POSTFIX, value->start);
        node->operator= t->operator;
        node->left = value;
        parser_take(p);
        return node_end(p, node);
    }
    return value;
}

static struct node *parse_unary(struct parser *p);

static struct node *unary_node(struct parser *p, const char *operator)
{
    struct node *node = node_create(p, NODE_UNARY, p->token.start);
    node->operator= operator;
    parser_take(p);
    parser_skip_lines(p);
    node->left = parse_unary(p);
    return node_end(p, node);
}

static struct node *unary_here(struct parser *p)
{
    const struct token *t = parser_look(p, LEX_EXPRESSION);
    if (t->kind == TOKEN_OPERATOR && strcmp(t->operator, "=") != 0 && strchr("+-!", t->operator[0]))
        return unary_node(p, t->operator);
    if (t->kind == TOKEN_COMMA)
        return unary_node(p, ",");
    if (t->kind == TOKEN_DASH_WORD)
        for (unsigned i = 0; i < ARRAY_LEN(unary); i++)
            if (parser_is_word(p, unary[i]))
                return unary_node(p, unary[i]);
    struct node *first = operand(p);
    if (!first || parser_look(p, LEX_EXPRESSION)->kind != TOKEN_COMMA)
        return first;
    struct node *list = node_create(p, NODE_LIST, first->start), **end = &list->list;
    for (*end = first; *end && parser_take_if(p, LEX_EXPRESSION, TOKEN_COMMA);) {
        parser_skip_lines(p);
        end = &(*end)->next;
        *end = operand(p);
    }
    return node_end(p, list);
}

static struct node *parse_unary(struct parser *p)
{
    struct node *node = parser_enter(p) ? unary_here(p) : NULL;
    parser_leave(p);
    return node;
}

static struct node *binary_above(struct parser *p, unsigned least)
{
    struct node *left = parse_unary(p);
    unsigned level;
    const char *operator;
    while (left && !p->failed && (operator= binary_operator(p, &level)) && level >= least) {
        struct node *node = node_create(p, NODE_BINARY, left->start);
        node->operator= operator;
        parser_take(p);
        parser_skip_lines(p);
        node->left = left;
        node->right = parser_enter(p) ? binary_above(p, level + 1) : NULL;
        parser_leave(p);
        left = node_end(p, node);
    }
    return left;
}

struct node *parse_expression(struct parser *p)
{
    struct node *node = parser_enter(p) ? binary_above(p, 1) : NULL;
    parser_leave(p);
    return node;
}
