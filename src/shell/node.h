/*
 * The tree of a parsed text. Nodes lie in the arena of their source and do not change.
 */
#ifndef SHELL_NODE_H
#define SHELL_NODE_H

#include "shell/value.h"

/* A text that was parsed: a line that was typed, a script. It lives as long as the shell. */
struct source {
    struct source *next;
    struct arena arena;
    const char *name; /* of the file; NULL: a line */
    const char *text;
    u32 length;
    const struct node *top; /* NODE_BODY; NULL if it could not be parsed */
};

enum node_kind {
    /* expressions */
    NODE_LITERAL,       /* literal */
    NODE_STRING,        /* list: what is joined to one text */
    NODE_VARIABLE,      /* name */
    NODE_LIST,          /* list: items with commas between them */
    NODE_SUBEXPRESSION, /* list: statements of $( ) */
    NODE_ARRAY,         /* list: statements of @( ) */
    NODE_PAREN,         /* left: one statement in parentheses */
    NODE_HASH,          /* list: pairs, left the key and right the statement of the value */
    NODE_PAIR,
    NODE_BLOCK,  /* left: the body of { } */
    NODE_MEMBER, /* left . right */
    NODE_STATIC, /* left :: right */
    NODE_CALL,   /* left: a member; list: arguments of the method */
    NODE_INDEX,  /* left [ right ] */
    NODE_UNARY,  /* operator left */
    NODE_POSTFIX,
    NODE_BINARY, /* left operator right */
    NODE_CAST,   /* [name] left */
    NODE_TYPE,   /* [name] */
    NODE_SPLAT,  /* name: @name as an argument */
    /* statements */
    NODE_BODY,     /* of a script, function or script block: parameters, list, and list of begin, process, end */
    NODE_PIPELINE, /* list: elements, NODE_COMMAND or an expression first */
    NODE_COMMAND,  /* left: its name or block; list: arguments; dotted: ". script" */
    NODE_ARGUMENT, /* name: the parameter without its dash, NULL by position; left: value or NULL */
    NODE_REDIRECT, /* operator; left: the file's name or NULL */
    NODE_ASSIGN,   /* left operator right */
    NODE_IF,       /* condition, body, otherwise (NULL, a list, or another NODE_IF) */
    NODE_WHILE,
    NODE_DO_WHILE,
    NODE_DO_UNTIL,
    NODE_FOR,       /* left: before; condition; right: step; body */
    NODE_FOREACH,   /* left: the variable; condition: what it goes through; body */
    NODE_SWITCH,    /* condition; list: pairs, left NULL: default */
    NODE_FUNCTION,  /* name; body */
    NODE_PARAMETER, /* name; type (NULL: any) in `type`; left: default; mandatory; position; choices in list */
    NODE_RETURN,    /* left or NULL */
    NODE_THROW,
    NODE_EXIT,
    NODE_BREAK,
    NODE_CONTINUE,
    NODE_TRY,        /* body; list: NODE_CATCH; otherwise: finally */
    NODE_CATCH,      /* body */
    NODE_STATEMENTS, /* list */
};

struct node {
    enum node_kind kind;
    bool flag;   /* NODE_COMMAND: dotted; NODE_PARAMETER: mandatory; NODE_ARGUMENT: the value stands behind a colon */
    bool silent; /* an expression whose value is not put out: $i++ */
    u32 start, end;
    const struct source *source;
    struct node *next;    /* in a list */
    const char *name;     /* of variables, members, functions, types */
    const char *operator; /* a constant; of dash words in lower case: "eq" */
    struct value *literal;
    struct node *left, *right, *list;
    struct node *condition, *body, *otherwise;
    struct node *parameters;                  /* of a body */
    struct node *begin, *process, *end_block; /* of a body with named blocks; NODE_STATEMENTS */
    const char *type;
};

/* Where a node begins: lines and columns count from 1, columns by characters. */
void node_place(const struct node *node, u32 *line, u32 *column);
/* Writes the line that the place is in, and a second one that marks the node in it. */
void node_show(const struct node *node, struct text *to);
/* The node's own text. */
void node_text(const struct node *node, struct text *to);

#endif
