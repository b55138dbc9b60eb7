/*
 * What verbs of the manager share: see command.h. With --json the results of the manager are printed as they are.
 */
#include "cli/command.h"

#include "cli/print.h"
#include "cli/status_line.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error first_note;

static void note(const struct error *error)
{
    if (!first_note.code)
        first_note = *error;
    complain_error(error);
}

struct store *command_open(void)
{
    struct error error;
    struct store *store = store_open(&error);
    if (store)
        store_notes_to(store, note);
    else
        complain_error(&error);
    return store;
}

struct store *command_begin(const struct verb *verb, int argc, char **argv, void *options,
                            const char *word[static WORDS_MAX], int *status)
{
    if (verb_arguments(verb, argc, argv, options, word, status))
        return NULL;
    *status = STATUS_FAILED;
    return command_open();
}

int command_end(struct store *store, int e, const struct error *error)
{
    store_close(store);
    status_line_clear();
    if (e >= 0)
        return STATUS_OK;
    if (strcmp(error->text, first_note.text) != 0) /* what was noted may turn out to be the obstacle */
        complain_error(error);
    if (e == -ECANCELED)
        return STATUS_SIGNAL + SIGINT; /* as shells have it after Ctrl-C */
    return e == -EINVAL ? STATUS_USAGE : STATUS_FAILED;
}

int command_done(struct store *store, int e, const struct error *error, bool as_json)
{
    if (e >= 0 && as_json)
        printf("{}\n");
    return command_end(store, e, error);
}

void command_json(json_t *value)
{
    status_line_clear();
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(value);
}

int command_show(struct store *store, int e, const struct error *error, json_t *object, bool as_json,
                 void (*print)(const json_t *object))
{
    if (!e && as_json) {
        command_json(object);
    } else if (!e) {
        status_line_clear();
        print(object);
        json_decref(object);
    }
    return command_end(store, e, error);
}

/* -- what there is -- */

const struct setting json_rows[] = {{"json", SETTING_FLAG, 0, NULL, "print JSON"}, {0}};

int command_get(const struct verb *verb, int argc, char **argv,
                int (*get)(struct store *store, const char *word, json_t **object, struct error *error),
                void (*print)(const json_t *object))
{
    bool as_json = false;
    const char *word[WORDS_MAX];
    struct error error;
    json_t *object = NULL;
    int status;
    struct store *store = command_begin(verb, argc, argv, &as_json, word, &status);
    if (!store)
        return status;
    int e = get(store, word[0], &object, &error);
    return command_show(store, e, &error, object, as_json, print);
}

int command_list(const struct verb *verb, int argc, char **argv,
                 int (*get)(struct store *store, const char *word, json_t **all, struct error *error),
                 const char *const *heading, json_t *(*row)(const json_t *one))
{
    bool as_json = false;
    const char *word[WORDS_MAX];
    struct error error;
    json_t *all = NULL;
    int status;
    struct store *store = command_begin(verb, argc, argv, &as_json, word, &status);
    if (!store)
        return status;
    int e = get(store, word[0], &all, &error);
    if (!e)
        print_list(all, as_json, heading, row);
    return command_end(store, e, &error);
}

/* -- changes -- */

static int apply(const struct change *change, void *settings, struct error *error)
{
    const struct options_change *c = container_of(change, struct options_change, change);
    const char *word[WORDS_MAX];
    char *at = (char *)c->options + c->offset;
    int status;
    memcpy(at, settings, c->size);
    if (verb_arguments(c->verb, c->argc, c->argv, c->options, word, &status))
        return error_set(error, -EINVAL, "the options changed while they were read"); /* they were read before */
    memcpy(settings, at, c->size);
    return 0;
}

void options_change(struct options_change *c, const struct verb *verb, int argc, char **argv, void *options,
                    size_t offset, size_t size)
{
    *c = (struct options_change){{apply}, verb, argc, argv, options, offset, size};
}

/* Complains if there are no options but words. */
static bool options_given(const struct verb *verb, int argc, char **argv)
{
    char title[VERB_TITLE];
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (argv[i][0] == '-')
            return true;
    verb_title(verb, title);
    complain("%s without an option: nothing would change (see nestbox %s --help)", title, title);
    return false;
}

struct store *command_begin_change(const struct options_change *c, const char *word[static WORDS_MAX], int *status)
{
    if (verb_arguments(c->verb, c->argc, c->argv, c->options, word, status))
        return NULL;
    *status = STATUS_USAGE;
    if (!options_given(c->verb, c->argc, c->argv))
        return NULL;
    *status = STATUS_FAILED;
    return command_open();
}
