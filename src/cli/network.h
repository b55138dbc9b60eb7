/*
 * What the verbs on networks share: the home folder, changes by options, and how results are printed.
 */
#ifndef CLI_NETWORK_H
#define CLI_NETWORK_H

#include "cli/verb.h"
#include "manager/change.h"
#include "store/network.h"

#include <jansson.h>

/* NULL after a complaint. */
struct store *network_open(void);
/* Parses options and words as verb_arguments does, then opens it. NULL: *status is the exit status. */
struct store *network_begin(const struct verb *verb, int argc, char **argv, void *options,
                            const char *word[static WORDS_MAX], int *status);
/* Closes it and complains if `e` is an error. Returns the exit status. */
int network_end(struct store *store, int e, const struct error *error);
/* The same for a command that has nothing to print but, as JSON, an empty object. */
int network_done(struct store *store, int e, const struct error *error, bool as_json);
/* Prints JSON and releases it. */
void network_json(json_t *value);
/* Ends a command whose result, if `e` is none, is an object, which it prints and releases. */
int network_show(struct store *store, int e, const struct error *error, json_t *object, bool as_json,
                 void (*print)(const json_t *object));

/* A change that options say: they are parsed again into the settings that are there. */
struct options_change {
    struct change change;
    const struct verb *verb;
    int argc;
    char **argv;
    void *options;       /* the verb's struct */
    size_t offset, size; /* of the settings in it */
};

void options_change(struct options_change *c, const struct verb *verb, int argc, char **argv, void *options,
                    size_t offset, size_t size);
/* Parses options and words for a change, complains if there are no options, then opens the home folder. NULL: *status
 * is the exit status. */
struct store *network_begin_change(const struct options_change *c, const char *word[static WORDS_MAX], int *status);

/* -- text from JSON -- */

/* Each returns what is there, or something harmless. */
const char *text_at(const json_t *object, const char *key);
long long number_at(const json_t *object, const char *key);
bool true_at(const json_t *object, const char *key);
/* Joins an array of strings. */
const char *joined(const json_t *array, const char *between, char *text, size_t size);
/* Writes those settings that are not as they are by default, as "name value, name value". */
void settings_text(const struct setting *table, const json_t *settings, const char *const *without, char *text,
                   size_t size);
/* Prints what a switch reports as "problems" and "notes", a line each. */
void print_problems(const json_t *report);

/* -- tables -- */

#define COLUMNS_MAX 8
/* Prints rows with columns as wide as they must be; rows and cells are arrays of JSON, the first row has headings. */
void print_table(const json_t *rows);
/* Prints an array, which it releases: as JSON, or as a table with a row for each element if there are any. */
void print_list(json_t *all, bool as_json, const char *const *heading, json_t *(*row)(const json_t *one));

#endif
