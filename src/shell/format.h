/*
 * Objects as tables and lists of text. Which columns the table of a type has is a row of format_view.c.
 */
#ifndef SHELL_FORMAT_H
#define SHELL_FORMAT_H

#include "shell/shell.h"

/* One column: a property, perhaps by another name, or what a script block makes of the object. */
struct column {
    const char *label;
    const char *property;     /* NULL: `block` */
    const struct node *block; /* NULL: none */
    bool right;               /* aligned there */
    s64 unit;                 /* a number is divided by it; 0: it is not */
};
#define COLUMNS_MAX 96

struct view {
    const char *type; /* NULL ends the table */
    struct column columns[8];
    bool list; /* a list by default, with these */
};
extern const struct view format_views[];
const struct view *format_view(const char *type);

/* The cell of an object. Arrays are {a, b}; `whole`: however long they are. */
enum flow format_cell(struct shell *shell, const struct value *object, const struct column *column, bool whole,
                      struct text *to);
/* `width`: lines are cut there; 0: never. */
enum flow format_table(struct shell *shell, const struct value *objects, const struct column *columns, size_t count,
                       bool headers, size_t width, struct text *to);
enum flow format_list(struct shell *shell, const struct value *objects, const struct column *columns, size_t count,
                      struct text *to);
/* Columns by what a user asked for: names with wildcards, script blocks, hash tables with Label and Expression.
 * Wildcards are those of `object`. Returns FLOW_THROW if it is nothing of these. Texts belong to shell.names. */
enum flow format_columns_asked(struct shell *shell, const struct node *node, const struct value *asked,
                               const struct value *object, struct column *columns, size_t *count);
/* Columns by all properties of the first object. Returns how many. */
size_t format_columns(const struct value *object, struct column *columns);

#endif
