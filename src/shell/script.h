/*
 * Scripts: files with the ending .ps1, run by their path.
 */
#ifndef SHELL_SCRIPT_H
#define SHELL_SCRIPT_H

#include "shell/shell.h"

/* Is the name of a command a path? */
bool script_is(const char *name);
/* The path with ~ as the home folder and slashes of our kind. free() releases it. */
char *script_path(const char *name);
/* Parses a text, which the shell keeps; what cannot be parsed is thrown. `name` NULL: of no file. */
enum flow script_parse(struct shell *shell, const struct node *node, const char *name, const char *text, size_t length,
                       const struct node **body);
/* Reads and parses a file. */
enum flow script_load(struct shell *shell, const struct node *node, const char *path, const struct node **body);

#endif
