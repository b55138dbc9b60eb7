/*
 * Parses options by a table of settings; the verbs call it through verb_options.
 */
#include "cli/options.h"

#include "base/spelling.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAME SETTING("%s")

/* The names of all rows, then that of --help, which every verb has. */
static const char *option_name(const void *opaque, unsigned index)
{
    const struct setting *s = opaque;
    for (; index && s->name; index--)
        s++;
    return s->name ? s->name : index ? NULL : "help";
}

static int fail_unknown(const struct setting *table, const char *name, size_t length, struct error *error)
{
    char word[64], hint[sizeof(error->hint)];
    snprintf(word, sizeof(word), "%.*s", (int)(length < 60 ? length : 60), name);
    error_set(error, -ENOENT, "unknown option '--%s'", word);
    const char *close = spelling_closest(word, option_name, table);
    if (!close)
        return error->code;
    snprintf(hint, sizeof(hint), "did you mean '" NAME "'?", close);
    return error_hint(error, hint);
}

static int fail_unexpected(const char *arg, struct error *error)
{
    error_set(error, -EINVAL, "unexpected argument '%s'", arg);
    return error_hint(error, arg[0] == '-' && arg[1] && arg[1] != '-' ? "options begin with two dashes" : "");
}

static bool is_on_off(const char *text)
{
    return text && (strcmp(text, "on") == 0 || strcmp(text, "off") == 0);
}

/* `before`: the switch without a value that stands before the word, which may be meant for it; NULL: none. */
static int take_word(const char *arg, const struct setting *before, struct words *words, struct error *error)
{
    if (words->count == words->max)
        return before ? error_set(error, -EINVAL, NAME ": '%.60s' is neither on nor off", before->name, arg)
                      : fail_unexpected(arg, error);
    words->word[words->count++] = arg;
    return 0;
}

/* Finds the value of an option that is the argument `*index`, behind its "=" or in the next argument. */
static int find_value(const struct setting *s, const char *behind, int argc, char **argv, int *index,
                      const char **value, struct error *error)
{
    const char *next = *index + 1 < argc ? argv[*index + 1] : NULL;
    *value = behind;
    if (s->kind == SETTING_FLAG)
        return behind ? error_set(error, -EINVAL, NAME " takes no value", s->name) : 0;
    if (behind || (s->kind == SETTING_ON_OFF && !is_on_off(next)))
        return 0;
    if (!next)
        return error_set(error, -EINVAL, NAME " needs a value: " NAME " %s", s->name, s->name, s->value);
    *value = next;
    ++*index;
    return 0;
}

/* Is the argument a word of short options? */
static bool is_letters(const struct setting *table, const char *arg)
{
    return arg[0] == '-' && setting_find_letter(table, arg[1]);
}

/* Takes a word of short options that is the argument `*index`; the value of one is behind it, or the next argument. */
static int take_letters(const struct setting *table, int argc, char **argv, int *index, void *into, struct error *error)
{
    for (const char *at = argv[*index] + 1, *value; *at; at++) {
        const struct setting *s = setting_find_letter(table, *at);
        if (!s)
            return error_set(error, -EINVAL, "there is no option -%c in '%.60s'", *at, argv[*index]);
        bool valued = s->kind != SETTING_FLAG;
        int e = valued ? find_value(s, at[1] ? at + 1 : NULL, argc, argv, index, &value, error) : 0;
        if (!e)
            e = setting_parse(s, valued ? value : NULL, into, error);
        if (e || valued)
            return e;
    }
    return 0;
}

int options_parse(const struct setting *table, int argc, char **argv, void *into, int *rest, struct words *words,
                  struct error *error)
{
    const struct setting *open = NULL;
    bool all_words = false;
    if (rest)
        *rest = argc;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (!all_words && (strcmp(arg, "--help") == 0 || (!rest && strcmp(arg, "-h") == 0)))
            return OPTIONS_HELP;
        if (!all_words && is_letters(table, arg)) {
            int e = take_letters(table, argc, argv, &i, into, error);
            if (e)
                return e;
            open = NULL;
            continue;
        }
        if (rest && (strncmp(arg, "--", 2) != 0 || !arg[2])) {
            *rest = i + (arg[0] == '-' && arg[1] == '-');
            return 0;
        }
        if (words && !all_words && strcmp(arg, "--") == 0) {
            all_words = true;
            continue;
        }
        if (words && (all_words || arg[0] != '-' || !arg[1])) {
            int e = take_word(arg, open, words, error);
            if (e)
                return e;
            open = NULL;
            continue;
        }
        if (strncmp(arg, "--", 2) != 0 || !arg[2])
            return fail_unexpected(arg, error);
        const char *name = arg + 2, *value = strchr(name, '=');
        size_t length = value ? (size_t)(value++ - name) : strlen(name);
        const struct setting *s = setting_find(table, name, length);
        if (!s)
            return fail_unknown(table, name, length, error);
        int e = find_value(s, value, argc, argv, &i, &value, error);
        if (!e)
            e = setting_parse(s, value, into, error);
        if (e)
            return e;
        open = s->kind == SETTING_ON_OFF && !value ? s : NULL;
    }
    return 0;
}
