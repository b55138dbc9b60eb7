/*
 * Options from a table: `--name value`, `--name=value`, `--flag`. Pure: no output, no exit.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "base/error.h"

#define OPTION_LIST_MAX 32

enum option_kind {
    OPTION_FLAG,    /* bool */
    OPTION_STRING,  /* const char * */
    OPTION_LIST,    /* struct option_list: may be given several times */
    OPTION_NUMBER,  /* u64 within min..max */
    OPTION_SIZE,    /* u64 bytes: K, M, G, T; MiB without a letter; within min..max */
    OPTION_SECONDS, /* u64 milliseconds; decimals allowed; max in milliseconds */
    OPTION_CHOICE,  /* int: index into choices */
    OPTION_HELP,    /* bool */
};

struct option_list {
    const char *item[OPTION_LIST_MAX];
    u32 count;
};

struct option {
    const char *name; /* without dashes; NULL ends the table */
    enum option_kind kind;
    size_t offset; /* in the structure that is filled */
    const char *value, *help;
    u64 min, max;
    const char *const *choices; /* ends with NULL */
};

/* 0 or -EINVAL. `into` holds the defaults. Stops early at --help. */
int MUST_CHECK options_parse(const struct option *options, int argc, char **argv, void *into, struct error *error);

bool options_size(const char *text, u64 *bytes);
bool options_seconds(const char *text, u64 *milliseconds);

/* The candidate closest to a mistyped word, or NULL when none is close. next() gives NULL at the
 * end. */
const char *options_closest(const char *word, const char *(*next)(const void *opaque, unsigned index),
                            const void *opaque);

#endif
