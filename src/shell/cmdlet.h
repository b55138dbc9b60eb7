/*
 * Cmdlets: one row says everything about one. Binding, Get-Help, Get-Command and completion read the rows.
 */
#ifndef SHELL_CMDLET_H
#define SHELL_CMDLET_H

#include "shell/failure.h"

enum parameter_kind {
    PARAMETER_SWITCH, /* given or not; -Name:$false */
    PARAMETER_BOOL,   /* $true or $false */
    PARAMETER_TEXT,
    PARAMETER_TEXTS,  /* one or several, with commas */
    PARAMETER_NUMBER, /* whole, within least..most if most is not 0 */
    PARAMETER_NUMBERS,
    PARAMETER_CHOICE, /* one of the words */
    PARAMETER_OBJECT, /* one or several objects of a type */
    PARAMETER_BLOCK,
    PARAMETER_ANY,
};

enum {
    MANDATORY = BIT(0),
    BY_VALUE = BIT(1), /* the pipeline's value itself */
    BY_NAME = BIT(2),  /* its property of the parameter's name, or of an alias */
    REST = BIT(3),     /* all that stands by position from here on */
};

#define INVERTED UINT32_MAX

struct parameter {
    const char *name; /* NULL ends the table */
    enum parameter_kind kind;
    u32 flags;
    u32 position;        /* from 1; 0: only by name */
    const char *aliases; /* with bars between; NULL: none */
    const char *words;   /* of a choice, with bars between; the type of an object */
    s64 least, most;
    u32 sets;            /* the sets of parameters that it is in; 0: all */
    const char *setting; /* of the manager, that it sets and that errors name (model.h); NULL: none */
    u32 unit;            /* of a number: how many of the setting's own units; 0: one; INVERTED: on is off */
    const char *help;
};

/* From here on PowerShell asks before it changes something; see $ConfirmPreference. */
enum impact { IMPACT_NONE, IMPACT_LOW, IMPACT_MEDIUM, IMPACT_HIGH };

struct call;

struct cmdlet {
    const char *name; /* NULL ends the table */
    const char *aliases;
    const struct parameter *parameters;
    enum impact impact; /* IMPACT_NONE: nothing is changed, so there is no -WhatIf */
    bool raw;           /* takes its words as they stand: another program's ways */
    /* Each may be NULL. process: once, or for each value of the pipeline, which is call.input. */
    enum flow (*begin)(struct call *call);
    enum flow (*process)(struct call *call);
    enum flow (*end)(struct call *call);
    const char *summary;  /* a sentence without its dot */
    const char *gives;    /* the type of what it puts out; NULL: nothing, or anything */
    const char *examples; /* lines; NULL: the summary says it all */
};

/* Tables of cmdlets, one per file; ends with NULL. */
extern const struct cmdlet *const cmdlet_tables[];
extern const struct cmdlet cmdlets_core[], cmdlets_objects[], cmdlets_format[], cmdlets_help[], cmdlets_switch[],
    cmdlets_nat[], cmdlets_card[], cmdlets_host[], cmdlets_vm[], cmdlets_hardware[], cmdlets_life[], cmdlets_guest[],
    cmdlets_disk[], cmdlets_checkpoint[], cmdlets_export[], cmdlets_meter[];

/* By name or alias. NULL: there is none. */
const struct cmdlet *cmdlet_find(const char *name);
/* The cmdlet whose name may have been meant; NULL: none is close. */
const char *cmdlet_closest(const char *name);
/* What does the work of a cmdlet of Hyper-V that is not here; NULL: nothing is known of it. */
const char *cmdlet_instead(const char *name);
/* The type that is behind a parameter's values, for help: "string[]". */
const char *parameter_type(const struct parameter *parameter);
/* What all cmdlets have, and those that change something. */
extern const struct parameter common_parameters[];
extern const struct parameter confirm_parameters[];

#define PARAMETERS_MAX 48

/* One use of a cmdlet, function or script in a pipeline. */
struct call {
    struct shell *shell;
    const struct cmdlet *cmdlet;
    const char *name; /* as errors name it */
    const struct parameter *parameters;
    const struct node *node;
    struct sink *out;
    struct value *input;                 /* NULL: it is not behind a pipe, or all of it came */
    struct value *bound[PARAMETERS_MAX]; /* NULL: not given */
    struct value
        *given[PARAMETERS_MAX]; /* by the words of the command, so that a value of the pipeline does not stay */
    struct value *rest;         /* what nothing takes: an array, NULL where that is an error */
    bool piped;                 /* there is a pipeline before it */
    bool verbose, no_warnings, what_if, failed;
    bool yes_to_all, no_to_all;
    const struct value *confirm; /* of -Confirm; NULL: not given */
    const char *errors;          /* of -ErrorAction; NULL: as $ErrorActionPreference says */
    void *state;                 /* the cmdlet's; free() releases it */
};

/* -- what cmdlets ask -- */

/* NULL: it was not given. */
struct value *call_argument(const struct call *call, const char *name);
const char *call_text(const struct call *call, const char *name);
/* Was it given, and is it on? */
bool call_on(const struct call *call, const char *name);
bool call_number(const struct call *call, const char *name, s64 *number);
/* How many values a list has, and one of them as a text. */
size_t call_count(const struct call *call, const char *name);
const char *call_at(const struct call *call, const char *name, size_t index);

/* The objects that a parameter has, added to an array. False: it was not given. */
bool call_objects(const struct call *call, const char *name, struct value *array);

enum flow call_put(struct call *call, struct value *value);
/* An error that does not end the cmdlet, unless -ErrorAction says so. */
enum flow call_error(struct call *call, enum category category, const char *id, const char *target, const char *format,
                     ...) __attribute__((format(printf, 5, 6)));
/* The same with what to do. */
enum flow call_error_with(struct call *call, enum category category, const char *id, const char *target,
                          const char *remedy, const char *format, ...) __attribute__((format(printf, 6, 7)));
enum flow call_failure(struct call *call, struct value *record);
/* The same by what the manager says. Its settings are named as the parameters that have them. */
enum flow call_manager_error(struct call *call, const struct error *error, const char *target);
/* An identifier with its cmdlet: those of VMs have the class of Hyper-V's module. */
const char *call_id(const struct call *call, const char *id, char *text, size_t size);
void call_warn(struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
void call_verbose(struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Asks whether to go on: -WhatIf, -Confirm, $ConfirmPreference. *go is the answer. */
enum flow call_should(struct call *call, const char *target, bool *go);
/* A question on the terminal with these answers, "yes|no". Returns the index of the answer, -1 if nobody is there. */
int shell_ask(struct shell *shell, const char *question, const char *answers);

/* -- binding: bind.c -- */

/* Sets parameters by the words of the command. */
enum flow bind_words(struct call *call, const struct node *arguments);
/* Sets those that the pipeline's value gives. Returns FLOW_NEXT also if nothing takes it: *taken. */
enum flow bind_input(struct call *call, struct value *input, bool *taken);
/* Are all there that must be? */
enum flow bind_check(struct call *call);
/* A value as a parameter wants it. */
enum flow bind_convert(struct call *call, const struct parameter *parameter, const struct node *node,
                       struct value *value, struct value **converted);

#endif
