/*
 * Tokens. What a character means depends on where it stands, so the parser says what it expects: an argument of a
 * command ("fl *", "a-b"), or an expression ("2 * $a", "$a -eq 1"). Curly quotes and the dashes of word processors are
 * quotes and dashes (PowerShell language specification, chapter 2, "Lexical Structure").
 */
#ifndef SHELL_LEX_H
#define SHELL_LEX_H

#include "base/types.h"

enum token_kind {
    TOKEN_END,     /* of the text */
    TOKEN_NEWLINE, /* or a semicolon */
    TOKEN_PIPE,
    TOKEN_COMMA,
    TOKEN_OPEN,  /* ( */
    TOKEN_CLOSE, /* ) */
    TOKEN_OPEN_BRACE,
    TOKEN_CLOSE_BRACE,
    TOKEN_OPEN_BRACKET,
    TOKEN_CLOSE_BRACKET,
    TOKEN_SUBEXPRESSION, /* $( */
    TOKEN_ARRAY,         /* @( */
    TOKEN_HASH,          /* @{ */
    TOKEN_SPLAT,         /* @name; the name is the token's text without the sign */
    TOKEN_VARIABLE,      /* $name ${name} $scope:name */
    TOKEN_QUOTE,         /* a single-quoted string, all of it */
    TOKEN_DOUBLE_QUOTE,  /* only the opening quote: lex_piece() goes on */
    TOKEN_HERE,          /* @' and its end of line: a string up to '@, all of it */
    TOKEN_DOUBLE_HERE,   /* only the opening of @" */
    TOKEN_NUMBER,
    TOKEN_WORD,
    TOKEN_PARAMETER, /* of commands: -Name or -Name: */
    TOKEN_DASH_WORD, /* of expressions: -eq; text without the dash */
    TOKEN_DOT,
    TOKEN_COLONS,   /* :: */
    TOKEN_OPERATOR, /* = += + - * / % .. ! ++ -- */
    TOKEN_REDIRECT, /* > >> 2> 2>> *> 2>&1 */
    TOKEN_AMPERSAND,
    TOKEN_BAD, /* what cannot be: lexer.problem says why */
};

enum lex_mode { LEX_EXPRESSION, LEX_ARGUMENT };

struct token {
    enum token_kind kind;
    enum lex_mode mode;
    u32 start, end;       /* in the text */
    u32 text, length;     /* what counts of it: the name of a variable, the inside of a string */
    bool spaced;          /* there was space before it */
    bool colon;           /* of a parameter: a value follows its colon */
    const char *operator; /* a constant: "+=" */
};

struct lexer {
    const char *text;
    u32 length, at;
    const char *problem; /* after TOKEN_BAD */
    bool incomplete;     /* more text may make it good */
};

void lex_token(struct lexer *lexer, enum lex_mode mode, struct token *token);

/* The next piece of a string between double quotes. */
enum piece_kind { PIECE_TEXT, PIECE_VARIABLE, PIECE_SUBEXPRESSION, PIECE_END, PIECE_BAD };
struct piece {
    enum piece_kind kind;
    u32 start, end;
    u32 text, length; /* of a variable */
    char bytes[8];    /* of PIECE_TEXT: one character, zero-terminated unless count is 1 */
    u32 count;
};
/* `here`: it ends at a line that begins with "@. After PIECE_SUBEXPRESSION the lexer stands behind "$(". */
void lex_piece(struct lexer *lexer, bool here, struct piece *piece);

/* Skips spaces, comments and, if `lines`, ends of lines. */
void lex_skip(struct lexer *lexer, bool lines);
/* The ASCII character that the one at `at` stands for, or its first byte; its length in bytes. 0 at the end. */
char lex_char(const struct lexer *lexer, u32 at, u32 *length);

#endif
