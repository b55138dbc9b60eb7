/*
 * What the verbs of the manager share: they open the home folder, change settings by options, and end with a result.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "cli/verb.h"
#include "manager/change.h"
#include "store/network.h"

#include <jansson.h>

/* The option --json, a bool at the offset of its part. */
extern const struct setting json_rows[];

/* NULL after a complaint. */
struct store *command_open(void);
/* Parses options and words as verb_arguments does, then opens it. NULL: *status is the exit status. */
struct store *command_begin(const struct verb *verb, int argc, char **argv, void *options,
                            const char *word[static WORDS_MAX], int *status);
/* Closes it and complains if `e` is an error. Returns the exit status. */
int command_end(struct store *store, int e, const struct error *error);
/* The same for a command that has nothing to print but, as JSON, an empty object. */
int command_done(struct store *store, int e, const struct error *error, bool as_json);
/* Prints JSON and releases it. */
void command_json(json_t *value);
/* Ends a command whose result, if `e` is none, is an object, which it prints and releases. */
int command_show(struct store *store, int e, const struct error *error, json_t *object, bool as_json,
                 void (*print)(const json_t *object));

/* Verbs whose only option is --json and that have at most one word, which is NULL where it was left out: they print
 * what `get` gives, an object or an array. */
int command_get(const struct verb *verb, int argc, char **argv,
                int (*get)(struct store *store, const char *word, json_t **object, struct error *error),
                void (*print)(const json_t *object));
int command_list(const struct verb *verb, int argc, char **argv,
                 int (*get)(struct store *store, const char *word, json_t **all, struct error *error),
                 const char *const *heading, json_t *(*row)(const json_t *one));

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
struct store *command_begin_change(const struct options_change *c, const char *word[static WORDS_MAX], int *status);

#endif
