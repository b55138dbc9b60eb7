/*
 * Changes of several files that happen together or not at all: what is to be done is written first, as one file, then
 * done, then that file is removed. If the process ends in between, the next holder of the store's lock does the rest.
 */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "base/error.h"

#include <jansson.h>

struct journal {
    json_t *steps; /* an array of {"path", "content"}: files to write, or to remove where the content is null */
};

/* Adds a step. `content` is referenced; NULL removes the file. */
int MUST_CHECK journal_add(struct journal *journal, const char *path, json_t *content, struct error *error);
/* Returns the last step for that file, or NULL. */
const json_t *journal_find(const struct journal *journal, const char *path);
/* Does all steps; afterwards the journal is empty. */
int MUST_CHECK journal_commit(struct journal *journal, int folder, struct error *error);
void journal_drop(struct journal *journal);
/* Finishes what an ended process had begun. */
int MUST_CHECK journal_replay(int folder, struct error *error);
/* Whether that can be done; 0 also if there is nothing to do. */
int MUST_CHECK journal_check(int folder, struct error *error);

#endif
