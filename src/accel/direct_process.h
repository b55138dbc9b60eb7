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
    struct cpu_direct_host ops; /* its opaque is this struct */
    pthread_mutex_t lock;       /* guards the files */
    struct direct_file file[DIRECT_FILES];
    u32 files;
    u32 running[CPU_VCPUS_MAX]; /* [a] by vCPU: the process that executes guest code, 0: none */
};

/* Returns whether processes can be made and traced here: 0, or -errno with the reason in *error. Tries it. */
int direct_probe(struct error *error);

void direct_host_init(struct direct_host *h);

/* cpu_host.kick: stops guest code of the vCPU if some runs. Async-signal-safe; leaves vector registers alone. */
void direct_kick(struct direct_host *h, u32 index);

/* Of struct cpu_direct_host, in direct_files.c: `opaque` is the struct direct_host. */
bool direct_file(void *opaque, const void *host, u32 *file, u64 *offset);
/* [signal] The file of a piece of memory, if direct_file was asked for some of it before. Leaves vector registers
 * alone. */
const struct direct_file *direct_file_known(const struct direct_host *h, u64 host, u64 size);
void direct_files_forget(void *opaque);

#endif
