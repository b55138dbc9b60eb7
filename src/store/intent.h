/*
 * Operations of several steps on a VM. Before the first step the intent is written to `intents/NAME.json`: what is
 * done, and the steps that undo it. Once everything is there, the intent is removed, or replaced by steps that finish
 * the operation. A command that was killed leaves its intent, and whoever takes the VM's lock next does its steps. Each
 * step can be done twice. The VM's lock is held all the time.
 */
#ifndef STORE_INTENT_H
#define STORE_INTENT_H

#include "store/network.h"

#include <jansson.h>

/* Steps, made with these and added to an array; paths are below the home folder. NULL: no memory. */
json_t *intent_remove(const char *path); /* a file, or a folder with all that is in it */
/* The same outside of the home folder, by its absolute path: what an operation was about to write there. */
json_t *intent_discard(const char *path);
json_t *intent_rename(const char *from, const char *to);      /* unless it has been done */
json_t *intent_write(const char *path, const json_t *object); /* NULL: the file goes */
/* Puts `count` steps into an array; NULL if one of them is. */
json_t *intent_steps(unsigned count, ...);

/* `what`: "create", as in "the command create of VM lab did not end". `steps` are released, also after an error. */
int MUST_CHECK intent_begin(struct store *store, const char *vm, const char *what, json_t *undo, struct error *error);
/* Nothing is left to do. */
int MUST_CHECK intent_end(struct store *store, const char *vm, struct error *error);
/* From now on the operation is finished, not undone, whatever happens: does the steps, then ends the intent. */
int MUST_CHECK intent_finish(struct store *store, const char *vm, const char *what, json_t *steps, struct error *error);
/* After an error, which stays as it is: undoes what was begun. */
void intent_undo(struct store *store, const char *vm);
/* Does what is left of an operation on the VM. Returns 0 also if there is none. */
int MUST_CHECK intent_recover(struct store *store, const char *vm, struct error *error);
/* Calls `each` with the names of the VMs that have an intent. */
void intents_each(struct store *store, void (*each)(struct store *store, const char *vm));

#endif
