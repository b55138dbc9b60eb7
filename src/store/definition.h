/*
 * What the files of definitions have in common: switches, NAT networks, cards, VMs. A definition is a JSON object with
 * a version and a name, in a file or a folder that has the name in lower case.
 */
#ifndef STORE_DEFINITION_H
#define STORE_DEFINITION_H

#include "store/store.h"

#define DEFINITION_VERSION 1
#define DEFINITION_SUFFIX ".json"
#define DEFINITION_PATH_MAX (NAME_MAX_LEN + 32)

/* Puts the name of the file before what is wrong with it. Returns the code. */
int definition_fail(const char *path, struct error *error);
/* Writes the path of a thing: "FOLDER/NAME" and what follows. */
void definition_path(const char *folder, const char *name, const char *tail, char path[static DEFINITION_PATH_MAX]);
/* Calls `take` with the path of each definition in a folder, `tail` behind its name: ".json", or a file in it. */
int MUST_CHECK definition_each(struct store *store, const char *folder, const char *tail,
                               int (*take)(struct store *store, const char *path, void *list, struct error *error),
                               void *list, struct error *error);
/* Is the name inside that of the file, "FOLDER/NAME.json" or "FOLDER/NAME/FILE"? */
bool definition_names(const char *path, const char *name);
/* Returns room for one more element behind `count`, zeroed, or NULL with an error. */
void *definition_more(void **array, u32 count, size_t size, struct error *error);
/* Copies a name out of an object. */
int MUST_CHECK definition_name(const json_t *object, const char *key, const char *what,
                               char name[static NAME_MAX_LEN + 1], struct error *error);
/* While a VM is renamed, its files have the old name as "was": that is its name as long as the folder has it. */
int MUST_CHECK definition_was(const json_t *object, const char *path, const char *what,
                              char name[static NAME_MAX_LEN + 1], struct error *error);
int MUST_CHECK definition_version(const json_t *object, struct error *error);
/* Writes an object and releases it; NULL stands for no memory. */
int MUST_CHECK definition_put(struct store *store, const char *path, json_t *object, struct error *error);

#endif
