/*
 * A file, or a folder with all that is in it, as a stream of bytes: what `nestbox copy` sends either way. The program
 * that copies and the agent have one end each; neither trusts the other. Both functions block on their descriptors.
 *
 * The stream is a list of entries: a head (kind, length of the name and of the target, mode, times, size), the name,
 * which is that of one folder's entry and no path, the target of a link, the bytes of a file and one byte that is 0 if
 * they are all right. What is behind a folder's head is in it, up to TREE_UP.
 */
#ifndef AGENT_TREE_H
#define AGENT_TREE_H

#include "base/types.h"

#define TREE_HEAD 40u

enum tree_kind { TREE_FILE = 'F', TREE_FOLDER = 'D', TREE_LINK = 'L', TREE_UP = 'U', TREE_END = 'E' };

struct tree {
    /* Is called with what could not be copied; the rest goes on. `path`: from the first folder on. */
    void (*complain)(struct tree *tree, const char *path, const char *reason);
    void *opaque;
    bool recursive;    /* folders, too */
    _Atomic u64 bytes; /* of files, so far */
    u32 complaints;
};

/* Times, and the permissions of files and folders, are kept; owners are not, nor set-user-ID bits, which would mean
 * something else for another owner. Devices, sockets and pipes are complained of. Returns 0, or -errno if the stream
 * broke. */
int MUST_CHECK tree_send(struct tree *tree, const char *path, int to);
/* Into the folder `path` if that is there, else as `path`. A file is there as a whole or not at all: it takes its name
 * when it is complete. Folders that are there get what is new. -EPROTO: the stream is none. */
int MUST_CHECK tree_receive(struct tree *tree, int from, const char *path);

#endif
