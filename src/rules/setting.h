/*
 * A setting: a named value in a struct, with its type, range, default and help. One row of a table says everything
 * about it; parsers, --help, completions and the manual page are derived from the rows, and nothing else lists them.
 */
#ifndef RULES_SETTING_H
#define RULES_SETTING_H

#include "base/error.h"

#define SETTING_LIST_MAX 32

enum setting_kind {
    SETTING_FLAG,    /* bool: given or not */
    SETTING_ON_OFF,  /* bool: on or off; without a value it is on */
    SETTING_TEXT,    /* const char * */
    SETTING_LIST,    /* struct setting_list: may be given several times */
    SETTING_NUMBER,  /* u32 within min..max */
    SETTING_SIZE,    /* u64 bytes within min..max: K, M, G, T; MiB without a letter */
    SETTING_RATE,    /* u64 bits per second within min..max: K, M, G by thousands; bits without a letter */
    SETTING_SECONDS, /* u64 milliseconds within min..max; decimals allowed */
    SETTING_CHOICE,  /* an enum: index into choices */
    SETTING_SET,     /* u32: bits by index into choices; choices separated by commas */
};

struct setting_list {
    const char *item[SETTING_LIST_MAX];
    u32 count;
};

struct setting {
    const char *name; /* as an option without dashes; NULL ends the table */
    enum setting_kind kind;
    size_t offset;     /* in the struct that is filled */
    const char *value; /* what stands for the value in help; NULL for flags */
    const char *help;  /* a phrase, to which range, choices and default are added */
    /* Sentences for the manual, with asterisks around bold words and underscores around slanted ones; NULL: `help`. */
    const char *about;
    const char *group; /* heading in --help; rows of a group stand together; NULL: none */
    const char *def;   /* the default as a user would write it; NULL: none, zero */
    u64 min, max;
    const char *const *choices; /* ends with NULL */
    const char *examples;       /* values worth completing, separated by spaces; NULL: none */
    bool file;                  /* the value may name a file */
    const char *names;          /* which of the host's names the value may be: "switches"; NULL: none */
    const char *property;       /* of cmdlets: "VMProcessor.Count", object and property; NULL: none */
    char letter;                /* as a short option, -t; 0: none */
    u32 states; /* of a VM's settings: bits of enum vm_state in which the value may change; 0: off only */
};

/* Returns the row of that name, which is `length` characters long, or NULL. */
const struct setting *setting_find(const struct setting *table, const char *name, size_t length);
/* Returns the row whose short option that is, or NULL. */
const struct setting *setting_find_letter(const struct setting *table, char letter);
/* Sets all defaults in `into`, which the caller zeroed. */
void setting_defaults(const struct setting *table, void *into);
/* Sets what `text` says; it is NULL for flags. Returns 0 or -EINVAL. */
int MUST_CHECK setting_parse(const struct setting *s, const char *text, void *into, struct error *error);
/* Sets a number in the unit of the struct's member. Returns false if it is out of range. */
bool MUST_CHECK setting_set_number(const struct setting *s, u64 value, void *into);
u64 setting_get_number(const struct setting *s, const void *from);
/* Of a table without lists: each text becomes a copy of its own, an empty one NULL. Returns 0, or -ENOMEM with no text
 * left that would have to be released. */
int MUST_CHECK setting_texts_copy(const struct setting *table, void *into);
void setting_texts_free(const struct setting *table, void *into);
/* Writes which values there are, as a phrase: "2M to 4T", "off, intel or amd"; empty if there is nothing to say. */
void setting_range(const struct setting *s, char *text, size_t size);

/* Writes a size as a person would: "512M". */
void setting_size_text(u64 bytes, char *text, size_t size);

bool setting_parse_size(const char *text, u64 *bytes);
bool setting_parse_rate(const char *text, u64 *bits);
bool setting_parse_seconds(const char *text, u64 *milliseconds);

#endif
