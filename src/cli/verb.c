/*
 * The verbs, and what they share: finding one, its --help, its complaints.
 */
#include "cli/verb.h"

#include "base/spelling.h"
#include "cli/status_line.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HELP_COLUMN 22
#define LINE_MAX 640

/* One per line: several hands add to it. */
/* clang-format off */
const struct verb *const verbs[] = {
    &verb_run,
    &verb_create,
    &verb_list,
    &verb_show,
    &verb_set,
    &verb_rename,
    &verb_delete,
    &verb_clone,
    &verb_export,
    &verb_import,
    &verb_disk,
    &verb_memory,
    &verb_share,
    &verb_host,
    &verb_rules,
    &verb_start_vm,
    &verb_stop,
    &verb_restart,
    &verb_pause,
    &verb_resume,
    &verb_save,
    &verb_autostart,
    &verb_autostop,
    &verb_console,
    &verb_view,
    &verb_screenshot,
    &verb_top,
    &verb_stats,
    &verb_meter,
    &verb_events,
    &verb_logs,
    &verb_checkpoint,
    &verb_exec,
    &verb_copy,
    &verb_ssh,
    &verb_kvm,
    &verb_qemu,
    &verb_switch,
    &verb_nat,
    &verb_nic,
    &verb_image,
    &verb_check,
    &verb_shell,
    &verb_doctor,
    &verb_completion,
    &verb_help,
    &verb_version,
    NULL,
};
/* clang-format on */

void complain(const char *format, ...)
{
    char text[LINE_MAX], plain[LINE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    error_plain(text, plain, sizeof(plain));
    status_line_clear();
    fprintf(stderr, "nestbox: %s\n", plain);
}

void complain_error(const struct error *error)
{
    char line[LINE_MAX];
    error_format(error, "--", line, sizeof(line));
    complain("%s", line);
}

/* -- names -- */

static const char *verb_name(const void *opaque, unsigned index)
{
    const struct verb *const *list = opaque;
    return list[index] ? list[index]->name : NULL;
}

const struct verb *verb_seek(const struct verb *within, const char *name)
{
    for (const struct verb *const *v = within ? within->verbs : verbs; *v; v++)
        if (strcmp((*v)->name, name) == 0)
            return *v;
    return NULL;
}

const struct verb *verb_find(const struct verb *within, const char *name)
{
    const struct verb *const *list = within ? within->verbs : verbs, *found = verb_seek(within, name);
    const char *before = within ? within->name : "", *gap = within ? " " : "";
    if (found)
        return found;
    static const struct verb *const hidden[] = {&verb_derive, &verb_probe, &verb_worker};
    for (unsigned i = 0; i < ARRAY_LEN(hidden) && !within; i++)
        if (strcmp(name, hidden[i]->name) == 0)
            return hidden[i];
    const char *close = spelling_closest(name, verb_name, list);
    if (close)
        complain("unknown verb '%s%s%s'; did you mean '%s%s%s'?", before, gap, name, before, gap, close);
    else
        complain("unknown verb '%s%s%s'; see nestbox help%s%s", before, gap, name, gap, before);
    return NULL;
}

int verb_start(const struct verb *verb, int argc, char **argv)
{
    if (!verb->verbs)
        return verb->run(verb, argc, argv);
    if (argc && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        verb_help_print(verb);
        return STATUS_OK;
    }
    if (!argc) {
        complain("%s needs a verb: nestbox %s %s", verb->name, verb->name, verb->usage);
        return STATUS_USAGE;
    }
    const struct verb *own = verb_find(verb, argv[0]);
    return own ? own->run(own, argc - 1, argv + 1) : STATUS_USAGE;
}

void verbs_each(void (*each)(const struct verb *verb, void *opaque), void *opaque)
{
    for (const struct verb *const *v = verbs; *v; v++) {
        each(*v, opaque);
        for (const struct verb *const *w = (*v)->verbs; w && *w; w++)
            each(*w, opaque);
    }
}

const char *verb_title(const struct verb *verb, char title[static VERB_TITLE])
{
    snprintf(title, VERB_TITLE, "%s%s%s", verb->within ? verb->within->name : "", verb->within ? " " : "", verb->name);
    return title;
}

/* -- options -- */

const struct setting *verb_rows(const struct verb *verb, struct setting rows[static VERB_ROWS])
{
    unsigned count = 0;
    for (const struct verb_part *part = verb->options; part < verb->options + VERB_PARTS && part->table; part++)
        for (const struct setting *s = part->table; s->name && count < VERB_ROWS - 1; s++) {
            if (part->without && strcmp(part->without, s->name) == 0)
                continue;
            if (part->only && !strstr(s->name, part->only))
                continue;
            rows[count] = *s;
            if (verb->changes)
                rows[count].def = NULL;
            rows[count++].offset += part->offset;
        }
    rows[count] = (struct setting){0};
    return rows;
}

void verb_defaults(const struct verb *verb, void *into)
{
    struct setting rows[VERB_ROWS];
    setting_defaults(verb_rows(verb, rows), into);
}

void option_help(const struct setting *s, char *line, size_t size)
{
    char range[160] = "";
    if (s->kind != SETTING_SECONDS && s->kind != SETTING_ON_OFF)
        setting_range(s, range, sizeof(range));
    snprintf(line, size, "%s%s%s%s%s%s", s->help, range[0] ? ": " : "", range, s->def ? " (default " : "",
             s->def ? s->def : "", s->def ? ")" : "");
}

/* A terminal's width, as far as it leaves room for the second column; otherwise lines have at most 100 characters. */
static size_t line_width(void)
{
    unsigned width = terminal_width(STDOUT_FILENO, 100);
    return width > 100 ? 100 : width < 60 ? 60 : width;
}

/* Prints two columns; the second one goes on below itself. */
static void print_row(const char *left, const char *right)
{
    size_t room = line_width() - HELP_COLUMN - 3;
    if (strlen(left) > HELP_COLUMN)
        printf("  %s\n  %*s", left, HELP_COLUMN, "");
    else
        printf("  %-*s", HELP_COLUMN, left);
    while (*right) {
        size_t length = strlen(right);
        if (length > room) {
            for (length = room; length && right[length] != ' ';)
                length--;
            length = length ? length : strcspn(right, " ");
        }
        printf(" %.*s\n", (int)length, right);
        right += length + strspn(right + length, " ");
        if (*right)
            printf("  %*s", HELP_COLUMN, "");
    }
}

void verb_help_print(const struct verb *verb)
{
    struct setting rows[VERB_ROWS];
    char title[VERB_TITLE];
    const char *group = "";
    printf("Usage: nestbox %s%s%s\n\n%s.\n", verb_title(verb, title), verb->usage[0] ? " " : "", verb->usage,
           verb->summary);
    if (verb->verbs) {
        printf("\nVerbs:\n");
        for (const struct verb *const *v = verb->verbs; *v; v++)
            printf("  %-10s %s\n", (*v)->name, (*v)->summary);
        printf("\nnestbox %s VERB --help prints the options of a verb.\n", verb->name);
        return;
    }
    for (const struct setting *s = verb_rows(verb, rows); s->name; s++) {
        char left[64], right[LINE_MAX];
        const char *heading = s->group ? s->group : "Options";
        if (strcmp(heading, group) != 0)
            printf("\n%s:\n", heading);
        group = heading;
        const char letter[] = {',', ' ', '-', s->letter, 0};
        snprintf(left, sizeof(left), "--%s%s%s%s", s->name, s->letter ? letter : "", s->value ? " " : "",
                 s->value ? s->value : "");
        option_help(s, right, sizeof(right));
        print_row(left, right);
    }
    printf("\n");
    print_row("--help", "this help");
    if (verb->notes)
        printf("\n%s", verb->notes);
}

static int parse(const struct verb *verb, int argc, char **argv, void *into, int *rest, struct words *words,
                 int *status)
{
    struct setting rows[VERB_ROWS];
    struct error error;
    char line[LINE_MAX], title[VERB_TITLE];
    switch (options_parse(verb_rows(verb, rows), argc, argv, into, rest, words, &error)) {
    case 0: return 0;
    case OPTIONS_HELP:
        verb_help_print(verb);
        *status = STATUS_OK;
        return -1;
    default:
        if (error.code == -ENOENT && !error.hint[0] && verb->others)
            error_hint(&error, verb->others);
        error_format(&error, "--", line, sizeof(line));
        complain("%s (see nestbox %s --help)", line, verb_title(verb, title));
        *status = STATUS_USAGE;
        return -1;
    }
}

int verb_options(const struct verb *verb, int argc, char **argv, void *into, int *rest, int *status)
{
    return parse(verb, argc, argv, into, rest, NULL, status);
}

int verb_arguments(const struct verb *verb, int argc, char **argv, void *into, const char *word[static WORDS_MAX],
                   int *status)
{
    struct words words = {0};
    char title[VERB_TITLE];
    int named = 0;
    while (named < VERB_WORDS && verb->words[named].name)
        named++;
    words.max = named && verb->words[named - 1].many ? WORDS_MAX : named;
    if (parse(verb, argc, argv, into, NULL, &words, status))
        return -1;
    for (int i = 0; i < WORDS_MAX; i++)
        word[i] = words.word[i];
    if (words.count >= named || verb->words[words.count].optional)
        return 0;
    verb_title(verb, title);
    complain("%s without %s: nestbox %s %s (see nestbox %s --help)", title, verb->words[words.count].name, title,
             verb->usage, title);
    *status = STATUS_USAGE;
    return -1;
}
