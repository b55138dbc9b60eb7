/*
 * What the verbs on VMs share.
 */
#ifndef CLI_VM_H
#define CLI_VM_H

#include "cli/command.h"
#include "manager/vm.h"

/* Reports what lasts on a terminal, in one line that is written again and again; elsewhere it is silent. */
extern const struct progress terminal_progress;
/* Asks on the terminal. Returns false for anything but yes, and where there is no terminal. */
bool confirmed(const char *question);
/* Writes a number of bytes as a person reads it: "1.2 GiB". */
const char *bytes_text(u64 bytes, char *text, size_t size);
/* Writes milliseconds as "3d 4h", "12m 5s". */
const char *duration_text(u64 milliseconds, char *text, size_t size);
/* Runs an operation on each VM that the name or pattern stands for, and ends the verb. */
int on_each_vm(struct store *store, const char *pattern,
               int (*each)(struct store *store, const char *name, void *opaque, struct error *error), void *opaque,
               bool as_json);
/* Prints a VM as JSON, and ends the verb. */
int show_vm(struct store *store, const char *name);
/* A verb that changes those settings of VMs that are among its options: struct vm_settings at the offset. */
int vm_set_by_options(const struct verb *verb, int argc, char **argv, void *options, size_t offset, const bool *json);

#endif
