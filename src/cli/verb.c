/*
 * The verbs, and what they share: finding one, its --help, its complaints.
 */
#include "cli/verb.h"

#include "base/spelling.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 22
#define LINE_MAX 640

const struct verb *const verbs[] = {&verb_run, &verb_kvm, &verb_qemu, &verb_doctor, &verb_help, &verb_version, NULL};
const struct setting no_options[] = {{0}};

void complain(const char *format, ...)
{
    char text[LINE_MAX], plain[LINE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    error_plain(text, plain, sizeof(plain));
    fprintf(stderr, "nestbox: %s\n", plain);
}

void complain_error(const struct error *error)
{
    char line[LINE_MAX];
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
    if (strcmp(name, verb_derive.name) == 0)
        return &verb_derive;
    if (strcmp(name, verb_probe.name) == 0)
        return &verb_probe;
    const char *close = spelling_closest(name, verb_name, verbs);
    if (close)
        complain("unknown verb '%s'; did you mean '%s'?", name, close);
    else
        complain("unknown verb '%s'; see nestbox help", name);
    return NULL;
}

void option_help(const struct setting *s, char *line, size_t size)
{
    char range[160] = "";
    if (s->kind != SETTING_SECONDS)
        setting_range(s, range, sizeof(range));
    snprintf(line, size, "%s%s%s%s%s%s", s->help, range[0] ? ": " : "", range, s->def ? " (default " : "",
             s->def ? s->def : "", s->def ? ")" : "");
}

void verb_help_print(const struct verb *verb)
{
    const char *group = "";
    printf("Usage: nestbox %s %s\n\n%s.\n", verb->name, verb->usage, verb->summary);
    for (const struct setting *s = verb->options; s->name; s++) {
        char left[64], right[LINE_MAX];
        const char *heading = s->group ? s->group : "Options";
        if (strcmp(heading, group) != 0)
            printf("\n%s:\n", heading);
        group = heading;
        snprintf(left, sizeof(left), "--%s%s%s", s->name, s->value ? " " : "", s->value ? s->value : "");
        option_help(s, right, sizeof(right));
        if (strlen(left) > HELP_COLUMN)
            printf("  %s\n  %-*s %s\n", left, HELP_COLUMN, "", right);
        else
            printf("  %-*s %s\n", HELP_COLUMN, left, right);
    }
    printf("\n  %-*s this help\n", HELP_COLUMN, "--help");
    if (verb->notes)
        printf("\n%s", verb->notes);
}

int verb_options(const struct verb *verb, int argc, char **argv, void *into, int *rest, int *status)
{
    struct error error;
    switch (options_parse(verb->options, argc, argv, into, rest, &error)) {
    case 0: return 0;
    case OPTIONS_HELP:
        verb_help_print(verb);
        *status = STATUS_OK;
        return -1;
    default: {
        char line[LINE_MAX];
        if (error.code == -ENOENT && !error.hint[0] && verb->others)
            error_hint(&error, verb->others);
        error_format(&error, "--", line, sizeof(line));
        complain("%s (see nestbox %s --help)", line, verb->name);
        *status = STATUS_USAGE;
        return -1;
    }
    }
}
