/*
 * Options from a table of settings: `--name value`, `--name=value`, `--flag`, and where a row has a letter `-t`, `-e
 * value` or several in one word, `-it`. Pure: no output, no exit.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "rules/setting.h"

#define OPTIONS_HELP 1
#define WORDS_MAX 64

/* Arguments that are no options, such as names. */
struct words {
    const char *word[WORDS_MAX];
    int count, max; /* max: that many are taken */
};

/*
 * Returns 0, OPTIONS_HELP at the first --help or -h, -ENOENT for an unknown option, or -EINVAL. `into` holds the
 * defaults. With `rest`, options end at the first argument that is none, or behind "--", and
 * *rest is the index of what follows. With `words`, which has no words yet, such arguments stand among the options, and
 * behind "--" all are. Without both there may be none.
 */
int MUST_CHECK options_parse(const struct setting *table, int argc, char **argv, void *into, int *rest,
                             struct words *words, struct error *error);

#endif
