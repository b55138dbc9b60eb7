/*
 * The verbs, and what they share: finding one, its --help, its complaints.
 */
#include "cli/verb.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 28

const struct verb *const verbs[] = {&verb_run, &verb_doctor, &verb_help, &verb_version, NULL};

void complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("nestbox: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

void complain_error(const struct error *error)
{
    char line[640];
    error_format(error, "--", line, sizeof(line));
    complain("%s", line);
}

static const char *verb_name(const void *opaque, unsigned index)
{
    const struct verb *const *list = opaque;
    return list[index] ? list[index]->name : NULL;
}

const struct verb *verb_find(const char *name)
{
    for (const struct verb *const *v = verbs; *v; v++) {
        if (strcmp((*v)->name, name) == 0)
            return *v;
    }
    const char *close = options_closest(name, verb_name, verbs);
    if (close)
        complain("unknown verb '%s'; did you mean '%s'?", name, close);
    else
        complain("unknown verb '%s'; see nestbox help", name);
    return NULL;
}

void verb_help_print(const struct verb *verb)
{
    printf("Usage: nestbox %s %s\n\n%s.\n", verb->name, verb->usage, verb->summary);
    if (verb->options[0].name)
        printf("\nOptions:\n");
    for (const struct option *o = verb->options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("  %-*s %s\n", HELP_COLUMN, left, o->help);
    }
    if (verb->notes)
        printf("\n%s", verb->notes);
}

int verb_options(const struct verb *verb, int argc, char **argv, void *into, int *status)
{
    struct error error;
    if (options_parse(verb->options, argc, argv, into, &error)) {
        char line[640];
        error_format(&error, "--", line, sizeof(line));
        complain("%s (see nestbox %s --help)", line, verb->name);
        *status = STATUS_USAGE;
        return -1;
    }
    for (const struct option *o = verb->options; o->name; o++) {
        if (o->kind == OPTION_HELP && *(bool *)((char *)into + o->offset)) {
            verb_help_print(verb);
            *status = STATUS_OK;
            return -1;
        }
    }
    return 0;
}
