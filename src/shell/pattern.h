/*
 * Regular expressions, by the C library's: extended ones, with \d, \w, \s and their opposites.
 */
#ifndef SHELL_PATTERN_H
#define SHELL_PATTERN_H

#include "shell/shell.h"

/* Each compiles the pattern; what it is not is an error at the node. */
/* `groups` gets an object with the whole match as "0" and each group; null without a match. */
enum flow pattern_match(struct shell *shell, const struct node *node, const char *pattern, const char *text, bool exact,
                        struct value **groups);
/* $1 to $9 and $0 in `by` are what matched. */
enum flow pattern_replace(struct shell *shell, const struct node *node, const char *pattern, const char *text,
                          const char *by, bool exact, struct value **result);
/* An array. `most` 0: as many parts as there are. */
enum flow pattern_split(struct shell *shell, const struct node *node, const char *pattern, const char *text,
                        size_t most, struct value **parts);

#endif
