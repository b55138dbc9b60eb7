/*
 * A user of its own for programs that root starts, and the files that such a user sees. The user has no name and owns
 * nothing on the disk: in a mount namespace the files that it is given are its own (idmapped mounts), and folders above
 * them that let no strangers through are empty but for these files. On the disk nothing changes, neither owners nor
 * rights, so there is nothing to put back. Linux 5.12 and later, with file systems that can do it (ext4, XFS, Btrfs).
 */
#ifndef PROCESS_VIEW_H
#define PROCESS_VIEW_H

#include "base/error.h"

#include <sys/types.h>

struct view;

enum view_kind {
    VIEW_REACHED, /* it can be reached; owners and rights are what they are */
    VIEW_OWN,     /* a file, or all below a folder, is the user's as far as it is its owner's; a device, too */
};

/* NULL: no memory. */
struct view *view_new(u32 user);
void view_free(struct view *view);
/* Adds an absolute path, and what the user must be able to do with it (R_OK, W_OK). Folders come before what is in
 * them. One that is not there is left out. 0, or -ENOMEM. */
int MUST_CHECK view_add(struct view *view, const char *path, enum view_kind kind, int access);
/* Makes it. Returns a descriptor of the namespace, or an error that names the path in the way. */
int MUST_CHECK view_make(const struct view *view, struct error *error);
/* Adds it to that of a running process. */
int MUST_CHECK view_extend(const struct view *view, pid_t process, struct error *error);
/* In a process with one thread: becomes the user there, and keeps its capabilities until confine_rights. 0 or -errno;
 * with an error it is still who it was. */
int MUST_CHECK view_enter(int space, u32 user);

#endif
