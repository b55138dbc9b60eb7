/*
 * QEMU's command line as `nestbox qemu` completes it.
 */
#ifndef CLI_QEMU_ARGS_H
#define CLI_QEMU_ARGS_H

#include "base/types.h"

/*
 * Does QEMU try KVM first? It does if it is named first, or no accelerator is named, as one is added then. `name` gets
 * the name of the accelerator.
 */
bool qemu_args_accel(char **argv, char *name, size_t size);

/* Returns the first argument that is no option of QEMU's but belongs before them: an option of nestbox qemu, or "--".
 * NULL: there is none. */
const char *qemu_args_misplaced(char **argv);

/* Does QEMU's sandbox forbid it to make processes? */
bool qemu_args_no_processes(char **argv);

/*
 * argv, which ends with NULL, is what follows `qemu`. The result begins with `program`, ends with NULL, and has
 *
 *   -accel kvm, if no accelerator is named; if another than KVM is, nothing is added;
 *   -cpu host, if no CPU is, and the machine is not "none";
 *   with `vendor` ("intel", "amd"; NULL: the host's), which QEMU would take from the host's CPUID instruction: the
 * vendor with each -cpu that names none, and for models "host" and "max" the family and name that go with it.
 *   on the engine, with models "host" and "max" that name no width: physical addresses of at most 40 bits, as QEMU's
 * other models have them. OVMF makes page tables for all that there could be, which takes half a minute with the
 * host's 48.
 *
 *   with `shared`, if nothing about memory is named but a plain size: guest memory in a memfd that is mapped shared,
 * which direct execution needs (docs/direct.md).
 *
 * The result is freed by qemu_args_free; it is NULL if there is no memory.
 */
char **qemu_args(const char *program, char **argv, const char *vendor, bool engine, bool shared);
void qemu_args_free(char **args);

#endif
