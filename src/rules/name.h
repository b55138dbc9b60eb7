/*
 * Names of switches, NAT networks, VMs and cards. They compare without case, and name files.
 */
#ifndef RULES_NAME_H
#define RULES_NAME_H

#include "base/error.h"

#define NAME_MAX_LEN 64
#define ID_TEXT_MAX 9 /* of a card or a drive: eight characters and the end */

/* Letters, digits, and inside also dots, dashes, underscores and spaces. `what`: "a switch". Returns 0 or -EINVAL. */
int MUST_CHECK name_check(const char *what, const char *name, struct error *error);
/* What all spellings of a name have in common: lower case. */
void name_fold(const char *name, char folded[static NAME_MAX_LEN + 1]);
bool name_equal(const char *a, const char *b);
/* Returns the name that may have been meant, whatever its case, or NULL; `names` returns that at an index, or NULL
 * behind the last. The result holds until `names` is called again. */
const char *name_closest(const char *name, const char *(*names)(const void *opaque, unsigned index),
                         const void *opaque);

/* Room for a name, or two with a slash between, in quotes. */
#define NAME_WORD_MAX (2 * NAME_MAX_LEN + 4)
/* Names as a word of a command: in quotes if there are spaces. Returns `word`. */
const char *name_word(const char *name, char word[static NAME_WORD_MAX]);
const char *name_words(const char *vm, const char *part, char word[static NAME_WORD_MAX]);

#endif
