/*
 * Text to trees.
 */
#ifndef SHELL_PARSE_H
#define SHELL_PARSE_H

#include "shell/node.h"

struct parse_error {
    char text[160];
    u32 start, end;
    bool incomplete; /* it may be good if more lines follow */
};

/* Takes a copy of the text. The source is there after an error, too (`top` is NULL), for whoever prints its lines;
 * source_free() releases it. */
struct source *source_parse(const char *name, const char *text, size_t length, struct parse_error *error);
void source_free(struct source *source);

#endif
