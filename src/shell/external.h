/*
 * Programs of the host as commands.
 */
#ifndef SHELL_EXTERNAL_H
#define SHELL_EXTERNAL_H

#include "shell/shell.h"

/* The path of a program, on PATH or as it is; NULL if there is none. free() releases it. */
char *external_find(const char *name);
/* The words behind the name of a command, as texts: what was quoted is one word, a variable's values are several. */
enum flow external_words(struct shell *shell, const struct node *command, struct value *words);
/* Runs it: `inputs` are the lines of its standard input if it is piped; its lines are put out, or go where ours go if
 * nobody takes them. Sets $LASTEXITCODE and $?. */
enum flow external_run(struct shell *shell, const struct node *command, const char *program, const struct value *inputs,
                       bool piped, struct sink *out);
/* The same with words that are there, and without input. */
enum flow external_start(struct shell *shell, const struct node *command, const char *program,
                         const struct value *words, struct sink *out);

#endif
