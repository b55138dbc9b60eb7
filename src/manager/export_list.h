/*
 * What an export has: files, as they lie and as they are called in it.
 */
#ifndef MANAGER_EXPORT_LIST_H
#define MANAGER_EXPORT_LIST_H

#include "store/vm.h"

#include <limits.h>

struct export_item {
    char *from;      /* absolute; NULL: `content` */
    json_t *content; /* a file of JSON */
    char to[256];    /* below the folder of the export */
};

struct export_list {
    struct store *store;
    const struct vm_def *def;
    struct export_item *item;
    u32 count;
    u64 bytes;     /* on the host's disk */
    json_t *files; /* the names of all, an array */
    json_t *bases; /* {"file", "base", "format"}: which images name another file than that of the export */
};

int MUST_CHECK export_list_begin(struct export_list *list, struct store *store, const struct vm_def *def,
                                 struct error *error);
void export_list_free(struct export_list *list);

/* One file of the VM's folder. */
int MUST_CHECK export_list_file(struct export_list *list, const char *from, const char *to, struct error *error);
/* A file, or the files in a folder, if they are there: `from` and `to` stand before the name of both. */
int MUST_CHECK export_list_files(struct export_list *list, const char *from, const char *to, const char *name,
                                 struct error *error);
/* Takes the object. */
int MUST_CHECK export_list_json(struct export_list *list, const char *to, json_t *content, struct error *error);
/* The images of a definition with all that they stand on; the definition gets their names in the export. */
int MUST_CHECK export_list_images(struct export_list *list, json_t *definition, struct error *error);
/* A checkpoint with its images. */
int MUST_CHECK export_list_checkpoint(struct export_list *list, const json_t *checkpoint, struct error *error);

#endif
