/*
 * What pipelines take of eval.c besides shell.h.
 */
#ifndef SHELL_EVAL_H
#define SHELL_EVAL_H

#include "shell/shell.h"

/* Throws the error of Ctrl-C. */
enum flow eval_interrupt(struct shell *shell, const struct node *node);

#endif
