/*
 * A text that grows. One that was zeroed is empty. There is no failure to handle: see heap.h.
 */
#ifndef SHELL_TEXT_H
#define SHELL_TEXT_H

#include "base/types.h"

struct text {
    char *at; /* ends with a zero, which is not counted; NULL while nothing was put */
    size_t used, room;
};

void text_put(struct text *to, const char *from, size_t length);
void text_puts(struct text *to, const char *from);
void text_char(struct text *to, char c);
void text_format(struct text *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds spaces until `columns` are reached, which began where `from` columns were. */
void text_pad(struct text *to, size_t from, size_t columns);
/* What is there; an empty text is "". */
const char *text_get(const struct text *text);
void text_free(struct text *text);

/* How many columns of a terminal the text takes: one per character of UTF-8. */
size_t text_columns(const char *text, size_t length);
/* Compares without case, as names are compared: letters of ASCII only. */
bool text_same(const char *a, const char *b);
bool text_begins(const char *text, const char *with);
/* Does the text match a pattern with *, ? and [a-z]? Without case unless `exact`. */
bool text_like(const char *text, const char *pattern, bool exact);
bool text_has_wildcards(const char *pattern);
/* Is the word one of a list that has bars between its words? */
bool text_listed(const char *list, const char *word);

#endif
