/*
 * Processes whose memory is a guest's address space and whose code is the guest's user code: the host's half of direct
 * execution (docs/direct.md). Each belongs to the thread of one vCPU, which traces it.
 */
#ifndef ACCEL_DIRECT_PROCESS_H
#define ACCEL_DIRECT_PROCESS_H

#include "base/error.h"
#include "cpu/cpu.h"

#include <pthread.h>

/* Pieces of guest memory that are told apart: at most so many. */
#define DIRECT_FILES 16

struct direct_file {
    u64 start, end; /* where it is mapped in our memory */
    u64 offset;     /* of `start` in the file */
    int fd;         /* -1: no file that a process can map */
};

/* What the processes of one VM share. */
struct direct_host {
    pthread_mutex_t lock; /* guards the files */
    struct direct_file file[DIRECT_FILES];
    u32 files;
    u32 running[CPU_VCPUS_MAX]; /* [a] by vCPU: the process that executes guest code, 0: none */
};

/* Returns whether processes can be made and traced here: 0, or -errno with the reason in *error. Tries it. */
int direct_probe(struct error *error);

/* cpu_host.kick: stops guest code of the vCPU if some runs. Async-signal-safe. */
void direct_kick(struct direct_host *h, u32 index);

/* The functions of struct cpu_direct_host, but that `h` is its opaque. */
struct direct_process *direct_create(struct direct_host *h, u32 index);
void direct_destroy(struct direct_process *p);
bool direct_change(struct direct_process *p, const struct direct_change *c, u32 count);
enum direct_stop direct_run(struct direct_process *p, struct direct_regs *r, const u64 *request, u64 *la);
bool direct_vectors_get(struct direct_process *p, void *image, u64 size);
bool direct_vectors_set(struct direct_process *p, void *image, u64 size);
/* direct_files.c */
bool direct_file(struct direct_host *h, const void *host, u32 *file, u64 *offset);
void direct_files_forget(struct direct_host *h);

#define DIRECT_LOW 0x10000ull
#define DIRECT_HIGH 0x7ffffffff000ull

#endif
