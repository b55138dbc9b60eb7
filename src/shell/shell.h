/*
 * A shell: its variables, functions, and where it writes to. One thread uses it.
 *
 * The parts: lex.c and parse.c make trees of text (node.h); eval.c runs statements, expression.c's counterpart here is
 * compute.c; pipeline.c joins commands, bind.c gives them their arguments by the table of cmdlets (cmdlet.h); format.c
 * prints what comes out. docs/shell.md has the whole.
 */
#ifndef SHELL_SHELL_H
#define SHELL_SHELL_H

#include "shell/node.h"

#include <stdio.h>

struct store;

/* How a statement or command ended, and what whoever called it does: pass it on, but for those that concern it. */
enum flow {
    FLOW_NEXT,
    FLOW_BREAK,
    FLOW_CONTINUE,
    FLOW_RETURN,
    FLOW_THROW,  /* shell.thrown is the error */
    FLOW_ENOUGH, /* what comes behind in the pipeline wants no more */
    FLOW_EXIT,   /* shell.status is the exit status */
};

/* Where values go. */
struct sink {
    enum flow (*put)(struct sink *sink, struct value *value);
};

struct variable {
    struct variable *next;
    char *name;
    struct value *value;
};

struct scope {
    struct scope *parent;
    struct variable *variables;
    bool script; /* of a script: what "$script:" means */
};

struct function {
    struct function *next;
    const char *name;
    const struct node *body;
};

struct shell {
    struct heap heap;
    struct source *sources;
    struct arena names; /* of commands, for whoever keeps them */
    struct scope global, *scope;
    struct function *functions;
    FILE *out, *err;
    bool interactive; /* somebody may be asked */
    bool colours;
    unsigned width;                /* of lines that are printed */
    unsigned busy;                 /* values are held by functions that run: nothing is collected */
    unsigned depth;                /* of calls */
    unsigned guarded;              /* try blocks around */
    bool ok;                       /* $? */
    bool fatal;                    /* of what was thrown: by "throw", so statements do not go on */
    bool exited;                   /* by "exit" */
    bool quiet;                    /* errors are not printed: 2>$null */
    struct value *thrown, *errors; /* errors: $Error, the newest first */
    struct sink output;            /* output.c */
    struct value *waiting;         /* objects that are still to be printed; NULL: none */
    const void *enough;            /* of FLOW_ENOUGH: the call that wants no more */
    int status;
    struct store *store; /* opened when a cmdlet needs it */
};

void shell_open(struct shell *shell, FILE *out, FILE *err);
void shell_close(struct shell *shell);

/* Runs a text. Returns the exit status: of "exit"; 1 after an error; 0. */
int shell_run(struct shell *shell, const char *name, const char *text, size_t length);
/* Runs a file with arguments as they came from the command line: "-Name", "value", ... */
int shell_run_file(struct shell *shell, const char *path, int argc, char **argv);
/* Is the text a whole statement, so far as can be said? If not, more lines are needed. */
bool shell_whole(const char *text, size_t length);

/* Between statements: frees what nobody reaches any more. */
void shell_collect(struct shell *shell);
/* Was Ctrl-C pressed? Then the statement ends with an error. */
bool shell_interrupted(void);
void shell_interrupt_clear(void);
/* The handler of SIGINT. */
void shell_interrupt(int number);

/* -- variables: scope.c -- */

/* `name` may have a scope: "global:x", "script:x", "env:PATH". Never NULL: what is not there is null. */
struct value *variable_get(struct shell *shell, const char *name);
bool variable_exists(struct shell *shell, const char *name);
/* False: the variable cannot be set. */
bool variable_set(struct shell *shell, const char *name, struct value *value);
void scope_enter(struct shell *shell, struct scope *scope, bool script);
void scope_leave(struct shell *shell);
/* Variables of one scope; no prefixes. */
struct value *scope_get(const struct scope *scope, const char *name);
void scope_set(struct scope *scope, const char *name, struct value *value);
void scope_free(struct scope *scope);

/* -- running: eval.c, compute.c, pipeline.c -- */

enum flow eval_statements(struct shell *shell, const struct node *list, struct sink *out);
enum flow eval_statement(struct shell *shell, const struct node *node, struct sink *out);
/* The value of an expression, or of a statement: null, one value, or an array. */
enum flow eval_expression(struct shell *shell, const struct node *node, struct value **value);
enum flow eval_value(struct shell *shell, const struct node *node, struct value **value);
enum flow eval_assign_to(struct shell *shell, const struct node *target, struct value *value);
enum flow run_pipeline(struct shell *shell, const struct node *node, struct sink *out);
/* Runs a script block with $_ and, in a scope of its own if `scoped`, $args. `arguments` may be NULL. */
enum flow run_block(struct shell *shell, const struct node *block, struct value *input, struct value *arguments,
                    bool scoped, struct sink *out);
/* Puts a value, or each element of an array. */
enum flow sink_put_each(struct sink *out, struct value *value);

/* A sink that collects. */
struct collect {
    struct sink sink;
    struct value *array;
};
void collect_begin(struct collect *collect, struct shell *shell);
/* Null, the one value, or the array. */
struct value *collect_end(struct collect *collect);

/* -- operators: operator.c; members: member.c -- */

enum flow operator_apply(struct shell *shell, const struct node *node, struct value *left, struct value *right,
                         struct value **result);
enum flow operator_unary(struct shell *shell, const struct node *node, struct value *value, struct value **result);
enum flow type_convert(struct shell *shell, const struct node *node, const char *type, struct value *value,
                       struct value **result);
bool type_is(const struct value *value, const char *type);
enum flow member_get(struct shell *shell, const struct node *node, struct value *of, const char *name,
                     struct value **value);
enum flow member_call(struct shell *shell, const struct node *node, struct value *of, const char *name,
                      struct value *arguments, struct value **value);
enum flow static_get(struct shell *shell, const struct node *node, const char *type, const char *name,
                     struct value *arguments, struct value **value);

#endif
