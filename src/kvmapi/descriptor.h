/*
 * Which of the program's descriptors are ours. A descriptor is a real one, so that dup, poll, close-on-exec and mmap
 * behave; this table says what it stands for. A file is shared by the descriptors that are copies of each other, and
 * its object ends with the last of them.
 *
 * Any thread. Looking up takes no lock.
 */
#ifndef KVMAPI_DESCRIPTOR_H
#define KVMAPI_DESCRIPTOR_H

#include "base/types.h"

#include <sys/syscall.h>
#include <unistd.h>

enum file_kind { FILE_FREE, FILE_SYSTEM, FILE_VM, FILE_VCPU, FILE_STATS, FILE_HIDDEN };

/* Memory of files is used again, and never given back: whoever looks one up may be late. */
struct api_file {
    u32 refs;  /* [a] descriptors, and calls that use it; 0: free */
    u32 kind;  /* enum file_kind */
    int pid;   /* of the process that made it: its copy in a child is nobody's VM */
    u64 inode; /* of a memfd: what makes another descriptor a copy of it */
    void *object;
    void (*release)(void *object);
    struct api_file *next_free;
};

/* Closes a descriptor without libc's function, which is ours. */
static inline void close_raw(int fd)
{
    syscall(SYS_close, fd);
}

/* Makes a file for a descriptor that was just made. Returns the descriptor; or -errno, and then the descriptor is
 * closed and the object is not released. */
int file_add(int fd, enum file_kind kind, void *object, void (*release)(void *object), struct api_file **file);
/* Returns the file, with a reference; NULL if the descriptor is not ours. */
struct api_file *file_get(int fd);
void file_put(struct api_file *f);

/* Is the descriptor ours? */
bool file_is_ours(int fd);
/* The descriptor is about to be closed: takes its file out of the table and returns it; the caller puts it after it has
 * closed the descriptor. NULL if it is not ours. */
struct api_file *file_take(int fd);
/* Returns the first descriptor in the table from `fd` on, or -1. */
int file_next(int fd);
/* Finds out whether `fd`, which we do not know, is a copy of one of ours that came another way than by dup: as
 * /proc/self/fd/N, or by a socket. If so, it is ours from now on, and true is returned. */
bool file_find(int fd);

/*
 * Gives a descriptor that the program does not know of a number that is not in its way, and spares it when the program
 * closes all descriptors. Returns the new number; or -errno, and then the descriptor is closed. `fd` may be -1, with
 * errno.
 */
int file_hide(int fd);
void file_hidden_close(int fd); /* does nothing if fd is negative */
bool file_is_hidden(int fd);

/* Notes that `copy` was made of `fd`. */
void file_copied(int fd, int copy);
/* Was the file made by another process, of which this one is a fork? Then it is nobody's VM here. */
bool file_is_foreign(const struct api_file *f);

#endif
