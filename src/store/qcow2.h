/*
 * What the head of a qcow2 file says, without a process of qemu-img for each file: the manager reads those of all VMs
 * to know which lie over an image.
 */
#ifndef STORE_QCOW2_H
#define STORE_QCOW2_H

#include "base/types.h"

struct qcow2_head {
    u64 size;           /* of the disk */
    char backing[1024]; /* the file below it as it is written there; empty: none */
    bool data_file;     /* its data are in another file */
};

/* Returns 0, -EBADMSG if the file is no qcow2, or another -errno. */
int MUST_CHECK qcow2_read(int folder, const char *path, struct qcow2_head *head);
/* Replaces the path of an image by that of the file below it, without links. Returns false if there is none. */
bool qcow2_go_below(char *path, size_t size);

#endif
