/*
 * A verb of the command line: `nestbox NAME [OPTION]...`, or, where a verb has verbs of its own, `nestbox switch
 * create`. One file per verb with what is in it; verb.c has the table.
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
    STATUS_FINDINGS = 14,        /* check: there are findings */
    STATUS_NO_SESSION = 125,     /* exec: the command could not begin, or the session broke off */
    STATUS_CANNOT_EXECUTE = 126, /* kvm, qemu: as shells have it */
    STATUS_NO_PROGRAM = 127,
    STATUS_SIGNAL = 128, /* plus the signal's number */
};

/* Options that a verb takes from a table of settings. */
struct verb_part {
    const struct setting *table;
    size_t offset;       /* of the table's struct in that of the verb's options */
    const char *without; /* the name of a row that is left out; NULL: none */
    const char *only;    /* what is in the names of the rows that are taken; NULL: all are */
};

/* What an argument that is no option names, for the shells' completions. */
enum word_kind {
    WORD_NEW,
    WORD_VERB,
    WORD_SWITCH,
    WORD_NAT,
    WORD_VM,
    WORD_CARD,
    WORD_IMAGE,
    WORD_PROFILE,
    WORD_FILE,
    WORD_DISK,
    WORD_DISK_OR_FILE,
    WORD_VM_PATH, /* "VM:PATH", or a file of the host */
    WORD_SHELL,
    WORD_CHECKPOINT, /* these are of what the verb's first word names */
    WORD_SHARE,
    WORD_LEASE
};

struct verb_word {
    const char *name; /* as in the usage; NULL ends the list */
    enum word_kind kind;
    bool optional;
    bool many; /* only the last one: there may be more of it */
};

#define VERB_PARTS 4
#define VERB_ROWS 48
#define VERB_WORDS 4

struct verb {
    const char *name, *summary, *usage;
    const struct verb *within;            /* the verb that this one belongs to; NULL: none */
    const struct verb *const *verbs;      /* verbs of its own, ends with NULL; then nothing below applies. NULL: none */
    struct verb_part options[VERB_PARTS]; /* besides --help; ends where there is no table */
    struct verb_word words[VERB_WORDS];   /* arguments that are no options; those that may be left out come last */
    const char *notes;                    /* after the options in --help; NULL: none */
    const char *about;                    /* sentences for the manual; NULL: summary */
    const char *others;                   /* what an option that is not in the table may be; NULL: nothing */
    bool takes_program;                   /* behind its options are a program and its arguments */
    bool changes;                         /* what is there: an option that is not given has no default */
    int (*run)(const struct verb *verb, int argc, char **argv);
};

/* clang-format off */
extern const struct verb
    verb_run,
    verb_create,
    verb_list,
    verb_show,
    verb_set,
    verb_rename,
    verb_delete,
    verb_clone,
    verb_export,
    verb_import,
    verb_disk,
    verb_memory,
    verb_share,
    verb_host,
    verb_rules,
    verb_start_vm,
    verb_stop,
    verb_restart,
    verb_pause,
    verb_resume,
    verb_save,
    verb_autostart,
    verb_autostop,
    verb_console,
    verb_view,
    verb_screenshot,
    verb_top,
    verb_stats,
    verb_meter,
    verb_events,
    verb_logs,
    verb_checkpoint,
    verb_exec,
    verb_copy,
    verb_ssh,
    verb_kvm,
    verb_qemu,
    verb_switch,
    verb_nat,
    verb_nic,
    verb_image,
    verb_check,
    verb_shell,
    verb_doctor,
    verb_completion,
    verb_help,
    verb_version;
/* clang-format on */
/* These are not in the table: derive is for the project's own scripts; doctor starts probe on the engine's KVM API, and
 * the verbs of VMs start worker. */
extern const struct verb verb_derive, verb_probe, verb_worker;
extern const struct verb *const verbs[]; /* ends with NULL */

/* Is there such a verb? */
const struct verb *verb_seek(const struct verb *within, const char *name);
/* Returns the verb of that name, among the verbs of `within` or all of the program. NULL after a complaint. */
const struct verb *verb_find(const struct verb *within, const char *name);
/* Runs a verb, or that of its own which the first argument names. Returns the exit status. */
int verb_start(const struct verb *verb, int argc, char **argv);
/* Calls `each` for all verbs that are documented, those within others behind these. */
void verbs_each(void (*each)(const struct verb *verb, void *opaque), void *opaque);
/* Writes what stands behind "nestbox" to start it: "switch create". */
#define VERB_TITLE 40
const char *verb_title(const struct verb *verb, char title[static VERB_TITLE]);
/* Writes all options of the verb as one table for its struct. */
const struct setting *verb_rows(const struct verb *verb, struct setting rows[static VERB_ROWS]);
void verb_defaults(const struct verb *verb, void *into);
void verb_help_print(const struct verb *verb);
/* Parses options into `into`. Returns 0 if the verb goes on. Otherwise *status is the process's exit status: help was
 * printed, or an error. `rest` is that of options_parse. */
int MUST_CHECK verb_options(const struct verb *verb, int argc, char **argv, void *into, int *rest, int *status);
/* The same for a verb with words: word[i] is NULL where one was left out. */
int MUST_CHECK verb_arguments(const struct verb *verb, int argc, char **argv, void *into,
                              const char *word[static WORDS_MAX], int *status);
/* Prints one line on standard error, with our name before it. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Does the same with an error, whose settings are named as options. */
void complain_error(const struct error *error);
/* Writes the help of an option with its values and its default, on one line. */
void option_help(const struct setting *s, char *line, size_t size);

#endif
