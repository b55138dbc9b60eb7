/*
 * VMs as folders or archives that another host can take: docs/manager.md, "Export and import".
 */
#ifndef MANAGER_EXPORT_H
#define MANAGER_EXPORT_H

#include "manager/progress.h"
#include "store/vm.h"

#define EXPORT_FILE "export.json" /* what makes a folder an export; it is written last */
#define EXPORT_VERSION 1

/* What of a running VM is exported. */
enum export_live {
    EXPORT_SAVED,      /* memory and disks of one instant: the import is a saved VM */
    EXPORT_CONSISTENT, /* disks, with the guest's file systems at rest */
};

struct export_how {
    bool archive; /* also where the path does not end like one */
    enum export_live live;
    const char *checkpoint; /* the VM as it was then, and nothing else; NULL: as it is, with all checkpoints */
};

/* Exports into `path`, which is new, or into a folder (an archive) of the VM's name in the folder `path`. *object:
 * "name", "path", "bytes", "memory" (a saved state is among it), "archive". */
int MUST_CHECK vm_export(struct store *store, const char *name, const char *path, const struct export_how *how,
                         const struct progress *progress, json_t **object, struct error *error);

struct import_how {
    const char *name;        /* NULL: that of the export */
    bool in_place;           /* the folder stays where it is and becomes the VM's */
    bool new_id;             /* a new UUID, and new addresses of its cards */
    const char *switch_name; /* its cards come to that switch; NULL: to those that they were at */
};

/* Makes a VM of an export. *object: "name", "id", "path". */
int MUST_CHECK vm_import(struct store *store, const char *path, const struct import_how *how,
                         const struct progress *progress, json_t **object, struct error *error);
/* What stands in the way of an import: an array of {"problem", "text", "hint"}; it is empty if nothing does. "problem"
 * is "name", "id" or "switch". */
int MUST_CHECK vm_import_check(struct store *store, const char *path, const struct import_how *how, json_t **problems,
                               struct error *error);

/* Does a path end as archives do? */
bool export_is_archive(const char *path);

#endif
