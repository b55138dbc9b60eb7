/*
 * What the files of the parser share: parse.c has statements, expression.c expressions, argument.c what stands behind
 * the name of a command.
 *
 * The parser looks at one token, which is read again when it is looked at in the other mode. After the first error all
 * functions return NULL and `failed` is set, so a caller asks once at its end.
 */
#ifndef SHELL_PARSER_H
#define SHELL_PARSER_H

#include "shell/lex.h"
#include "shell/node.h"
#include "shell/parse.h"

#define NESTING_MAX 150u

struct parser {
    struct lexer lexer;
    struct source *source;
    struct token token; /* the one that is looked at */
    u32 from;           /* where it was read from, spaces before it included */
    u32 last;           /* the end of the last one that was taken */
    u32 nesting;
    bool looked, failed;
    struct parse_error *error;
};

/* The token that comes next, in that mode. */
struct token *parser_look(struct parser *p, enum lex_mode mode);
/* Takes the token that was looked at. */
void parser_take(struct parser *p);
bool parser_take_if(struct parser *p, enum lex_mode mode, enum token_kind kind);
/* Fails unless the token comes next. `what`: as the error names it. */
bool parser_expect(struct parser *p, enum lex_mode mode, enum token_kind kind, const char *what);
void parser_skip_lines(struct parser *p);
/* Goes back to where a token was read from. */
void parser_go_back(struct parser *p, u32 from);
/* Sets the error at the token that was looked at. Returns NULL. */
struct node *parser_fail(struct parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Is the token this word, whatever its case? */
bool parser_is_word(const struct parser *p, const char *word);

struct node *node_create(struct parser *p, enum node_kind kind, u32 start);
/* Ends the node where the last token was taken. Returns it, or NULL after an error. */
struct node *node_end(struct parser *p, struct node *node);
struct node *node_text_literal(struct parser *p, u32 start, const char *text, size_t length);
/* Counts how deep things lie in each other; false is an error. Each parser_enter() has its parser_leave(). */
bool parser_enter(struct parser *p);
void parser_leave(struct parser *p);

struct node *parse_statement(struct parser *p);
/* Statements up to a token that closes, which is not taken, or the end of the text. */
struct node *parse_statements(struct parser *p, enum token_kind close);
/* A block with its parameters, behind the opening brace; the closing one is taken. */
struct node *parse_block(struct parser *p, u32 start);

struct node *parse_expression(struct parser *p);
/* A string behind its opening quotes. */
struct node *parse_string(struct parser *p, u32 start, bool here);
/* What may stand behind a value without space: members, indexes. In an argument the signs must touch. */
struct node *parse_postfix(struct parser *p, struct node *value, bool argument);
struct node *parse_primary(struct parser *p, enum lex_mode mode);
/* [name] behind its bracket. */
const char *parse_type(struct parser *p);

/* One value of a command's argument, and those behind commas. */
struct node *parse_argument(struct parser *p);
struct node *parse_command(struct parser *p);
/* What stands behind an expression and its redirection: the command that does the same with the value. */
struct node *parse_redirected(struct parser *p);

#endif
