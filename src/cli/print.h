/*
 * Results of the manager, which are JSON, as text: values, settings, problems, tables.
 */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include "rules/setting.h"

#include <jansson.h>

/* Each returns what is there, or something harmless. */
const char *text_at(const json_t *object, const char *key);
long long number_at(const json_t *object, const char *key);
bool true_at(const json_t *object, const char *key);
/* Joins an array of strings. */
const char *joined(const json_t *array, const char *between, char *text, size_t size);
/* Writes those settings that are not as they are by default, as "name value, name value". */
void settings_text(const struct setting *table, const json_t *settings, const char *const *without, char *text,
                   size_t size);
/* Prints the name of what was made. */
void print_name(const json_t *object);
/* Prints what a switch reports as "problems" and "notes", a line each. */
void print_problems(const json_t *report);

/* -- tables -- */

#define COLUMNS_MAX 10
/* Prints rows with columns as wide as they must be; rows and cells are arrays of JSON, the first row has headings. */
void print_table(const json_t *rows);
/* Prints an array, which it releases: as JSON, or as a table with a row for each element if there are any. */
void print_list(json_t *all, bool as_json, const char *const *heading, json_t *(*row)(const json_t *one));

#endif
