/*
 * nestbox derive WHAT: prints what is derived from the verbs and their tables of options, for tools/derive.sh: the
 * completions of bash, zsh and fish, and the lists of options in the manual page.
 */
#include "cli/verb.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define HELP_MAX 640

/* Returns the values that a shell offers, separated by spaces: all choices, or examples. */
static const char *values_of(const struct setting *s, char *list, size_t size)
{
    size_t used = 0;
    if (!s->choices)
        return s->examples;
    list[0] = 0;
    for (unsigned i = 0; s->choices[i] && used < size; i++)
        used += (size_t)snprintf(list + used, size - used, "%s%s", i ? " " : "", s->choices[i]);
    return list;
}

/* Prints `text`, with a backslash before each character of `special`. */
static void put_escaped(const char *text, const char *special)
{
    for (; *text; text++) {
        if (strchr(special, *text))
            putchar('\\');
        putchar(*text);
    }
}

/* Writes the names of all verbs, separated by spaces. */
static void verb_names(char *list, size_t size)
{
    size_t used = 0;
    list[0] = 0;
    for (const struct verb *const *v = verbs; *v; v++)
        if (used < size)
            used += (size_t)snprintf(list + used, size - used, "%s%s", used ? " " : "", (*v)->name);
}

/* -- bash -- */

static void bash_words(const char *indent, const char *words)
{
    printf("%smapfile -t COMPREPLY < <(compgen -W '%s' -- \"$current\")\n", indent, words);
}

static void bash_values(const struct verb *verb, const struct setting *s)
{
    char list[256];
    const char *values = values_of(s, list, sizeof(list));
    if (s->kind == SETTING_FLAG)
        return;
    printf("    %s:--%s)\n", verb->name, s->name);
    if (s->file)
        printf("        compopt -o filenames\n        mapfile -t COMPREPLY < <(compgen -f%s%s%s -- \"$current\")\n",
               values ? " -W '" : "", values ? values : "", values ? "'" : "");
    else if (values)
        bash_words("        ", values);
    printf("        return\n        ;;\n");
}

static void derive_bash(void)
{
    char names[128], first[192];
    verb_names(names, sizeof(names));
    snprintf(first, sizeof(first), "%s --help --version", names);
    printf("# bash completion for nestbox; derived from its options by tools/derive.sh\n\n"
           "_nestbox() {\n"
           "    local current previous verb\n"
           "    current=${COMP_WORDS[COMP_CWORD]}\n"
           "    previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
           "    verb=${COMP_WORDS[1]}\n"
           "    COMPREPLY=()\n\n"
           "    if [ \"$COMP_CWORD\" = 1 ]; then\n");
    bash_words("        ", first);
    printf("        return\n    fi\n"
           "    # --name=value arrives as three words\n"
           "    if [ \"$previous\" = = ]; then\n"
           "        previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
           "    elif [ \"$current\" = = ]; then\n"
           "        current=\n"
           "    fi\n"
           "    case $verb:$previous in\n");
    for (const struct verb *const *v = verbs; *v; v++)
        for (const struct setting *s = (*v)->options; s->name; s++)
            bash_values(*v, s);
    printf("    esac\n    case $verb in\n");
    for (const struct verb *const *v = verbs; *v; v++) {
        printf("    %s)\n        mapfile -t COMPREPLY < <(compgen -W '", (*v)->name);
        if ((*v)->takes_verb)
            printf("%s ", names);
        for (const struct setting *s = (*v)->options; s->name; s++)
            printf("--%s ", s->name);
        printf("--help'%s -- \"$current\")\n        ;;\n", (*v)->takes_program ? " -c" : "");
    }
    printf("    esac\n}\ncomplete -F _nestbox nestbox\n");
}

/* -- zsh -- */

static void zsh_option(const struct setting *s)
{
    char help[HELP_MAX], list[256];
    const char *values = values_of(s, list, sizeof(list));
    option_help(s, help, sizeof(help));
    printf("        '%s--%s%s[", s->kind == SETTING_LIST ? "*" : "", s->name, s->kind == SETTING_FLAG ? "" : "=");
    for (const char *h = help; *h; h++) {
        if (*h == '\'')
            printf("'\\'");
        if (*h == ']')
            putchar('\\');
        putchar(*h);
    }
    putchar(']');
    if (s->kind != SETTING_FLAG) {
        putchar(':');
        put_escaped(s->value, ":");
        putchar(':');
        if (s->file && values)
            printf("{_files; compadd %s}", values);
        else if (s->file)
            printf("_files");
        else if (values)
            printf("(%s)", values);
    }
    printf("' \\\n");
}

static void derive_zsh(void)
{
    char names[128];
    verb_names(names, sizeof(names));
    printf("#compdef nestbox\n# zsh completion for nestbox; derived from its options by tools/derive.sh\n\n"
           "local -a verbs\nverbs=(\n");
    for (const struct verb *const *v = verbs; *v; v++)
        printf("    '%s:%s'\n", (*v)->name, (*v)->summary);
    printf(")\n\n"
           "if (( CURRENT == 2 )); then\n"
           "    _describe verb verbs\n"
           "    return\n"
           "fi\n"
           "local verb=$words[2]\n"
           "shift words\n"
           "(( CURRENT-- ))\n"
           "case $verb in\n");
    for (const struct verb *const *v = verbs; *v; v++) {
        printf("%s)\n    _arguments \\\n", (*v)->name);
        for (const struct setting *s = (*v)->options; s->name; s++)
            zsh_option(s);
        if ((*v)->takes_verb)
            printf("        '1:verb:(%s)' \\\n", names);
        if ((*v)->takes_program)
            printf("        '*::program: _normal' \\\n");
        printf("        '--help[this help]'\n    ;;\n");
    }
    printf("esac\n");
}

/* -- fish -- */

static void fish_option(const struct verb *verb, const struct setting *s)
{
    char help[HELP_MAX], list[256];
    const char *values = values_of(s, list, sizeof(list));
    option_help(s, help, sizeof(help));
    printf("complete -c nestbox -n '__fish_seen_subcommand_from %s' -l %s", verb->name, s->name);
    if (s->file)
        printf(" -r -F");
    else if (s->kind != SETTING_FLAG)
        printf(" -x");
    if (values)
        printf(" -a '%s'", values);
    printf(" -d '");
    put_escaped(help, "'\\");
    printf("'\n");
}

static void derive_fish(void)
{
    printf("# fish completion for nestbox; derived from its options by tools/derive.sh\n\ncomplete -c nestbox -f\n");
    for (const struct verb *const *v = verbs; *v; v++)
        printf("complete -c nestbox -n __fish_use_subcommand -a %s -d '%s'\n", (*v)->name, (*v)->summary);
    for (const struct verb *const *v = verbs; *v; v++) {
        for (const struct setting *s = (*v)->options; s->name; s++)
            fish_option(*v, s);
        if ((*v)->takes_verb)
            for (const struct verb *const *w = verbs; *w; w++)
                printf("complete -c nestbox -n '__fish_seen_subcommand_from %s' -a %s\n", (*v)->name, (*w)->name);
        if ((*v)->takes_program)
            printf("complete -c nestbox -n '__fish_seen_subcommand_from %s' -a '(__fish_complete_command)'\n",
                   (*v)->name);
    }
    printf("complete -c nestbox -l help -d 'this help'\n");
}

/* -- the manual page -- */

/*
 * Prints sentences, one per line; asterisks stand around bold words, underscores around slanted ones. An underscore
 * within a word is itself.
 */
static void roff_text(const char *text)
{
    bool bold = false, slanted = false;
    for (const char *t = text; *t; t++) {
        if (*t == '*')
            printf("%s", (bold = !bold) ? "\\fB" : "\\fR");
        else if (*t == '_' && !(t > text && isalnum(t[-1]) && isalnum(t[1])))
            printf("%s", (slanted = !slanted) ? "\\fI" : "\\fR");
        else if (*t == '"')
            printf("\\(dq");
        else if (*t == ' ' && t > text && t[-1] == '.')
            putchar('\n');
        else
            putchar(*t);
    }
    putchar('\n');
}

static void roff_option(const struct setting *s)
{
    char range[160] = "";
    if (s->value)
        printf(".TP\n.BI --%s \" %s\"\n", s->name, s->value);
    else
        printf(".TP\n.B --%s\n", s->name);
    if (s->about) {
        roff_text(s->about);
    } else {
        putchar(toupper(s->help[0]));
        printf("%s.\n", s->help + 1);
    }
    if (s->kind == SETTING_NUMBER || s->kind == SETTING_SIZE) {
        setting_range(s, range, sizeof(range));
        printf("The range is %s.\n", range);
    }
    if (s->def)
        printf("The default is\n.BR %s .\n", s->def);
}

static void man_options(const struct verb *verb)
{
    for (const struct setting *s = verb->options; s->name; s++)
        roff_option(s);
    printf(".TP\n.B --help\nPrint the verb's options. All verbs have it.\n");
}

static void derive_man_run(void)
{
    man_options(&verb_run);
}

static void derive_man_kvm(void)
{
    man_options(&verb_kvm);
}

static int run(const struct verb *verb, int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } kinds[] = {{"bash", derive_bash},
                 {"zsh", derive_zsh},
                 {"fish", derive_fish},
                 {"man-run", derive_man_run},
                 {"man-kvm", derive_man_kvm}};
    for (size_t i = 0; argc == 1 && i < ARRAY_LEN(kinds); i++) {
        if (strcmp(argv[0], kinds[i].name) == 0) {
            kinds[i].print();
            return STATUS_OK;
        }
    }
    complain("derive takes bash, zsh, fish, man-run or man-kvm");
    return STATUS_USAGE;
}

const struct verb verb_derive = {
    .name = "derive",
    .summary = "Prints what is derived from the options",
    .usage = "bash|zsh|fish|man-run|man-kvm",
    .options = no_options,
    .run = run,
};
