/*
 * The open home folder, for the files of this folder that keep something in it. Others see store/network.h.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "store/journal.h"
#include "store/network.h"

#include <limits.h>

struct store {
    int folder; /* the home folder, open */
    int lock;   /* the file that is locked; -1: it is not */
    bool gathers;
    struct damage *damage;                  /* of store_tolerate; NULL: a damaged file is an error */
    void (*note)(const struct error *note); /* of store_notes_to; may be NULL */
    struct journal journal;                 /* while it gathers */
    char home[PATH_MAX], run[PATH_MAX];
};

/* As file_read, but what was put and is not yet written counts. */
int MUST_CHECK store_read(struct store *store, const char *path, json_t **object, struct error *error);
/* Replaces a file, or removes it if `object` is NULL; between store_begin and store_commit, later. */
int MUST_CHECK store_write(struct store *store, const char *path, json_t *object, struct error *error);

#endif
