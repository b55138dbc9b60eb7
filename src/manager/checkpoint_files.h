/*
 * The files of checkpoints: `checkpoints/ID/` in the VM's folder has checkpoint.json, and as far as the VM has them
 * firmware.fd, tpm/, state and saved.json; images are those that the VM's disks had.
 */
#ifndef MANAGER_CHECKPOINT_FILES_H
#define MANAGER_CHECKPOINT_FILES_H

#include "manager/progress.h"
#include "store/vm.h"

#include <limits.h>

struct checkpoints {
    json_t **list; /* checkpoint.json of each, in the order of time */
    u32 count;
};

int MUST_CHECK checkpoints_read(struct store *store, const struct vm_def *def, struct checkpoints *all,
                                struct error *error);
void checkpoints_free(struct checkpoints *all);
/* By id or name, without case; NULL: there is none. */
json_t *checkpoints_find(const struct checkpoints *all, const char *name);
/* As it is shown. */
json_t *checkpoint_json(struct store *store, const struct vm_def *def, const json_t *checkpoint);

/* Paths below the home folder: of something in the VM's folder; of checkpoint.json. */
void checkpoint_below(const char *vm, const char *what, char path[static PATH_MAX]);
void checkpoint_file(const char *vm, const char *id, char path[static PATH_MAX]);
/* Makes the folder; `path` is below the home folder. */
int MUST_CHECK checkpoint_make_folder(struct store *store, const char *vm, const char *id, char path[static PATH_MAX],
                                      struct error *error);

/* Does a checkpoint keep the image of a disk (of a definition as JSON)? What is only read stays as it is. */
bool checkpoint_keeps(const json_t *disk);
/* Makes a new file on top of a disk's, named by `id`, and changes the disk to it. `path` gets it, absolute. */
int MUST_CHECK checkpoint_top(struct store *store, const char *vm, json_t *disk, const char *id,
                              char path[static PATH_MAX], struct error *error);

/* The pairs of absolute paths that a worker is to copy: firmware and TPM. */
int MUST_CHECK checkpoint_copies(struct store *store, const char *vm, const char *id, json_t **pairs,
                                 struct error *error);
/* Copies them, of a VM that is off; and of one that is saved its memory. */
int MUST_CHECK checkpoint_copy(struct store *store, const char *vm, const char *id, bool memory, struct error *error);
/* Puts firmware, TPM and memory of a checkpoint beside the VM's, and adds the steps that make them the VM's. */
int MUST_CHECK checkpoint_restore(struct store *store, const char *vm, const json_t *checkpoint, json_t *steps,
                                  struct error *error);
/* The cards of a VM, as its file has them: an array. */
json_t *checkpoint_cards(struct store *store, const char *vm);
/* Adds the step that gives the VM the cards of a checkpoint. */
int MUST_CHECK checkpoint_cards_back(struct store *store, const char *vm, const json_t *checkpoint, json_t *steps,
                                     struct error *error);
/* The steps of an intent that take a checkpoint away; NULL: no memory. */
json_t *checkpoint_delete_steps(struct store *store, const struct vm_def *def, const struct checkpoints *all,
                                const json_t *checkpoint);
/* Does that under the name of an operation, and then what checkpoint_delete does to images. */
int MUST_CHECK checkpoint_drop(struct store *store, const struct vm_def *def, const struct checkpoints *all,
                               const json_t *checkpoint, const char *what, const struct progress *progress,
                               struct error *error);
/* Adds steps that remove the images which only the VM as it is now has. */
void checkpoint_drop_current(struct store *store, const struct vm_def *def, const struct checkpoints *all,
                             json_t *steps);
/* The images that no definition has when `gone` has gone, as definitions have them: an array; NULL: no memory. */
json_t *checkpoint_leftovers(struct store *store, const struct vm_def *def, const struct checkpoints *all,
                             const json_t *gone);
/* Removes and merges what store/merge.h lists; of a VM that runs its worker does what QEMU has open, and goes on with
 * that after this has returned. */
int MUST_CHECK checkpoint_collect(struct store *store, const struct vm_def *def, bool runs,
                                  const struct progress *progress, struct error *error);

#endif
