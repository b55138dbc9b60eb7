/*
 * A verb of the command line: `nestbox NAME [OPTION]...`. One file per verb; verb.c has the table.
 */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include "cli/options.h"

/* Exit statuses. Our own are even: with --debug-exit a guest ends with any odd one, (value << 1) | 1. */
enum status {
    STATUS_OK = 0,               /* the guest powered off; the verb did its work */
    STATUS_USAGE = 2,            /* the command line is wrong */
    STATUS_FAILED = 4,           /* our own failure or the host's; a kernel that cannot be started */
    STATUS_GUEST_FAILED = 6,     /* triple fault, with --no-reboot or again and again */
    STATUS_TIMEOUT = 8,          /* --timeout passed */
    STATUS_GUEST_RESET = 10,     /* the guest asked for a reset, with --no-reboot */
    STATUS_ENDED_BY_USER = 12,   /* Ctrl-a x */
    STATUS_CANNOT_EXECUTE = 126, /* kvm, qemu: as shells have it */
    STATUS_NO_PROGRAM = 127,
    STATUS_SIGNAL = 128, /* plus the signal's number */
};

struct verb {
    const char *name, *summary, *usage;
    const struct setting *options; /* besides --help */
    const char *notes;             /* after the options in --help; NULL: none */
    const char *others;            /* what an option that is not in the table may be; NULL: nothing */
    bool takes_verb;               /* its argument is the name of a verb */
    bool takes_program;            /* behind its options are a program and its arguments */
    int (*run)(const struct verb *verb, int argc, char **argv);
};

extern const struct verb verb_run, verb_kvm, verb_qemu, verb_doctor, verb_help, verb_version;
/* These are not in the table: derive is for the project's own scripts; doctor starts probe on the engine's KVM API. */
extern const struct verb verb_derive, verb_probe;
extern const struct verb *const verbs[]; /* ends with NULL */
extern const struct setting no_options[];

const struct verb *verb_find(const char *name);
void verb_help_print(const struct verb *verb);
/* Parses options into `into`. Returns 0 if the verb goes on. Otherwise *status is the process's exit status: help was
 * printed, or an error. `rest` is that of options_parse. */
int MUST_CHECK verb_options(const struct verb *verb, int argc, char **argv, void *into, int *rest, int *status);
/* Prints one line on standard error, with our name before it. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Does the same with an error, whose settings are named as options. */
void complain_error(const struct error *error);
/* Writes the help of an option with its values and its default, on one line. */
void option_help(const struct setting *s, char *line, size_t size);

#endif
