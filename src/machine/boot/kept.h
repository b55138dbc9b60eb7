/*
 * Unpacked kernels that are kept in the user's cache folder, since to unpack xz takes a third of a boot.
 */
#ifndef MACHINE_BOOT_KEPT_H
#define MACHINE_BOOT_KEPT_H

#include "machine/boot/payload.h"

#include <pthread.h>

/* A thread that keeps a kernel while the guest runs. All zero: none. */
struct keeper {
    pthread_t thread;
    bool runs;
    struct payload payload;
    struct boot_file unpacked;
};

/* Looks for what the payload unpacks to. Returns false if it is not there or damaged. */
bool MUST_CHECK kept_find(const struct payload *p, struct boot_file *unpacked);
/* Keeps it, if there is a folder and room for it. Takes both over. */
void keeper_start(struct keeper *k, const struct payload *p, const struct boot_file *unpacked);
/* Waits for it. */
void keeper_end(struct keeper *k);

#endif
