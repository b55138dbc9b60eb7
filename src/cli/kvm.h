/*
 * What the verbs that start programs with a /dev/kvm share: kvm, and qemu, which knows more of its program.
 */
#ifndef CLI_KVM_H
#define CLI_KVM_H

#include "cli/verb.h"
#include "rules/run_settings.h"

struct kvm_start {
    struct run_settings settings; /* nested and accel are what was chosen */
    bool amd, other_vendor;       /* the guests' vendor is AMD; it is not the host's */
    bool serve;                   /* the engine serves the program: it gets the library */
    char **rest;                  /* what follows the options; ends with NULL */
    char choice[640];             /* a line about the accelerator chosen; empty if the user chose it */
};

/* Parses options. Returns 0, or -1 and the exit status. */
int MUST_CHECK kvm_options(const struct verb *verb, int argc, char **argv, struct kvm_start *start, int *status);
/* Chooses the accelerator. Returns 0, or -1 and the exit status. Without it the program is started unchanged. */
int MUST_CHECK kvm_choose(struct kvm_start *start, int *status);
/* Becomes the program argv[0], or returns the exit status. */
int MUST_CHECK kvm_become(const struct kvm_start *start, char **argv);

#endif
