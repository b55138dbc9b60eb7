/*
 * nestbox derive WHAT: prints what is derived from the verbs and their tables of options, for tools/derive.sh: the
 * completions of bash, zsh and fish, and the lists of options in the manual page; for tests/cli/verbs.sh the words of
 * each verb. And for these completions, while somebody types, `derive next WORD...`: which names of the host's may
 * follow these words, VMs, switches, checkpoints of the VM that was named and so on.
 * nestbox completion SHELL prints the completions for users.
 */
#include "cli/verb.h"
#include "manager/names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define HELP_MAX 640
#define NAMES_MAX 1024 /* of all verbs or values, with spaces */

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

/* Prints what stands between apostrophes in each of the shells. */
static void put_in_quotes(const char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*text);
}

/* Writes the names of verbs, separated by spaces. */
static void verb_names(const struct verb *const *list, char *names, size_t size)
{
    size_t used = 0;
    names[0] = 0;
    for (const struct verb *const *v = list; *v; v++)
        if (used < size)
            used += (size_t)snprintf(names + used, size - used, "%s%s", used ? " " : "", (*v)->name);
}

/* What of the host's names a word is, of those that names_each knows, what follows them in the word, and whether it may
 * be a file, too. */
static const struct {
    const char *names, *tail;
    bool file;
} word_kinds[] = {[WORD_NEW] = {NULL},
                  [WORD_VERB] = {NULL},
                  [WORD_SHELL] = {NULL},
                  [WORD_SWITCH] = {"switches"},
                  [WORD_NAT] = {"nats"},
                  [WORD_VM] = {"vms"},
                  [WORD_CARD] = {"cards"},
                  [WORD_IMAGE] = {"images"},
                  [WORD_PROFILE] = {"profiles"},
                  [WORD_FILE] = {NULL, .file = true},
                  [WORD_DISK] = {"disks"},
                  [WORD_DISK_OR_FILE] = {"disks", .file = true},
                  [WORD_VM_PATH] = {"vms", ":", .file = true},
                  [WORD_CHECKPOINT] = {"checkpoints"},
                  [WORD_SHARE] = {"shares"},
                  [WORD_LEASE] = {"leases"}};

static bool takes_verb(const struct verb *verb)
{
    return verb->words[0].name && verb->words[0].kind == WORD_VERB;
}

/* Do the shells ask `derive next` when they complete the verb's words? */
static bool asks(const struct verb *verb)
{
    for (const struct verb_word *w = verb->words; w < verb->words + VERB_WORDS && w->name; w++)
        if (word_kinds[w->kind].names || word_kinds[w->kind].file || w->kind == WORD_SHELL)
            return true;
    return false;
}

/* -- bash -- */

static void bash_words(const char *indent, const char *words)
{
    printf("%smapfile -t COMPREPLY < <(compgen -W '%s' -- \"$current\")\n", indent, words);
}

/* A function that offers names of the host's, in any case; where files may be meant, readline quotes them and the
 * names.
 */
static const char bash_names[] =
    "_nestbox_names() {\n"
    "    local name names=() files=\n"
    "    while IFS= read -r name; do\n"
    "        if [ \"$name\" = / ]; then\n"
    "            files=1\n"
    "        elif [[ ${name,,} == \"${current,,}\"* ]]; then\n"
    "            names+=(\"$name\")\n"
    "        fi\n"
    "    done < <(nestbox derive next \"${COMP_WORDS[@]:1:COMP_CWORD-1}\" 2>/dev/null)\n"
    "    if [ \"$files\" ]; then\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
    "    elif [ ${#names[@]} -gt 0 ]; then\n"
    "        mapfile -t names < <(printf '%q\\n' \"${names[@]}\")\n"
    "    fi\n"
    "    COMPREPLY+=(\"${names[@]}\")\n"
    "    [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *: ]] || compopt -o nospace 2>/dev/null\n"
    "}\n\n";

static void bash_value(const struct verb *verb, const struct setting *s)
{
    char list[NAMES_MAX], title[VERB_TITLE];
    const char *values = values_of(s, list, sizeof(list));
    if (s->kind == SETTING_FLAG)
        return;
    printf("    '%s:--%s')\n", verb_title(verb, title), s->name);
    if (s->file)
        printf("        compopt -o filenames\n        mapfile -t COMPREPLY < <(compgen -f%s%s%s -- \"$current\")\n",
               values ? " -W '" : "", values ? values : "", values ? "'" : "");
    else if (values)
        bash_words("        ", values);
    else if (s->names)
        printf("        _nestbox_names\n");
    printf("        return\n        ;;\n");
}

static void bash_values(const struct verb *verb, void *unused)
{
    struct setting rows[VERB_ROWS];
    for (const struct setting *s = verb_rows(verb, rows); s->name; s++)
        bash_value(verb, s);
}

static void bash_verb(const struct verb *verb, void *all)
{
    struct setting rows[VERB_ROWS];
    char title[VERB_TITLE];
    if (verb->verbs)
        return;
    printf("    '%s')\n        mapfile -t COMPREPLY < <(compgen -W '", verb_title(verb, title));
    if (takes_verb(verb))
        printf("%s ", (const char *)all);
    for (const struct setting *s = verb_rows(verb, rows); s->name; s++)
        printf("--%s ", s->name);
    printf("--help'%s -- \"$current\")\n", verb->takes_program ? " -c" : "");
    if (asks(verb))
        printf("        [[ $current == -* ]] || _nestbox_names\n");
    printf("        ;;\n");
}

/* The second word names a verb of the first one. */
static void bash_within(const struct verb *verb, void *unused)
{
    char names[NAMES_MAX], offered[sizeof(names) + 8];
    if (!verb->verbs)
        return;
    verb_names(verb->verbs, names, sizeof(names));
    snprintf(offered, sizeof(offered), "%s --help", names);
    printf("    %s)\n        if [ \"$COMP_CWORD\" = 2 ]; then\n", verb->name);
    bash_words("            ", offered);
    printf("            return\n        fi\n        verb=\"$verb ${COMP_WORDS[2]}\"\n        ;;\n");
}

static void derive_bash(void)
{
    char names[NAMES_MAX], first[sizeof(names) + 32];
    verb_names(verbs, names, sizeof(names));
    snprintf(first, sizeof(first), "%s --help --version", names);
    printf("# bash completion for nestbox; derived from its options by tools/derive.sh\n\n");
    fputs(bash_names, stdout);
    printf("_nestbox() {\n"
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
           "    case $verb in\n");
    verbs_each(bash_within, NULL);
    printf("    esac\n    case $verb:$previous in\n");
    verbs_each(bash_values, NULL);
    printf("    esac\n    case $verb in\n");
    verbs_each(bash_verb, names);
    printf("    esac\n}\ncomplete -F _nestbox nestbox\n");
}

/* -- zsh -- */

static void zsh_option(const struct setting *s)
{
    char help[HELP_MAX], list[NAMES_MAX];
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
        else if (s->names)
            printf("_nestbox_names");
    }
    printf("' \\\n");
}

static void zsh_verb(const struct verb *verb, void *all)
{
    struct setting rows[VERB_ROWS];
    char title[VERB_TITLE];
    if (verb->verbs)
        return;
    printf("'%s')\n    _arguments \\\n", verb_title(verb, title));
    for (const struct setting *s = verb_rows(verb, rows); s->name; s++)
        zsh_option(s);
    if (takes_verb(verb))
        printf("        '1:verb:(%s)' \\\n", (const char *)all);
    if (asks(verb))
        printf("        '%s:name:_nestbox_names' \\\n", verb->takes_program ? "1" : "*");
    if (verb->takes_program)
        printf("        '*::program: _normal' \\\n");
    printf("        '--help[this help]'\n    ;;\n");
}

static void zsh_list(const struct verb *const *list)
{
    printf("verbs=(\n");
    for (const struct verb *const *v = list; *v; v++) {
        printf("    '%s:", (*v)->name);
        put_in_quotes((*v)->summary);
        printf("'\n");
    }
    printf(")\n");
}

static void zsh_within(const struct verb *verb, void *unused)
{
    if (!verb->verbs)
        return;
    printf("%s)\n", verb->name);
    zsh_list(verb->verbs);
    printf("if (( CURRENT == 2 )); then\n"
           "    _describe verb verbs\n"
           "    return\n"
           "fi\n"
           "verb=\"$verb $words[2]\"\n"
           "shift words\n"
           "(( CURRENT-- ))\n"
           ";;\n");
}

static void derive_zsh(void)
{
    char names[NAMES_MAX];
    verb_names(verbs, names, sizeof(names));
    printf("#compdef nestbox\n# zsh completion for nestbox; derived from its options by tools/derive.sh\n\n"
           "_nestbox_names() {\n"
           "    local -a names\n"
           "    names=(${(f)\"$(nestbox derive next ${=verb} \"${(@)words[2,CURRENT-1]}\" 2>/dev/null)\"})\n"
           "    (( ${names[(Ie)/]} )) && _files\n"
           "    compadd -S '' -- ${(M)names:#*:}\n"
           "    compadd -- ${${names:#/}:#*:}\n"
           "}\n\n"
           "local -a verbs\n");
    zsh_list(verbs);
    printf("\nif (( CURRENT == 2 )); then\n"
           "    _describe verb verbs\n"
           "    return\n"
           "fi\n"
           "local verb=$words[2]\n"
           "shift words\n"
           "(( CURRENT-- ))\n"
           "case $verb in\n");
    verbs_each(zsh_within, NULL);
    printf("esac\ncase $verb in\n");
    verbs_each(zsh_verb, names);
    printf("esac\n");
}

/* -- fish -- */

/* Begins a line that holds where `verb` was typed. */
static void fish_line(const struct verb *verb)
{
    printf("complete -c nestbox -n '");
    if (verb->within)
        printf("__fish_seen_subcommand_from %s; and ", verb->within->name);
    for (const struct verb *const *v = verbs; !verb->within && *v; v++) /* others that have a verb of this name */
        for (const struct verb *const *w = (*v)->verbs; w && *w; w++)
            if (strcmp((*w)->name, verb->name) == 0)
                printf("not __fish_seen_subcommand_from %s; and ", (*v)->name);
    printf("__fish_seen_subcommand_from %s'", verb->name);
}

static void fish_option(const struct verb *verb, const struct setting *s)
{
    char help[HELP_MAX], list[NAMES_MAX];
    const char *values = values_of(s, list, sizeof(list));
    option_help(s, help, sizeof(help));
    fish_line(verb);
    printf(" -l %s", s->name);
    if (s->letter)
        printf(" -s %c", s->letter);
    if (s->file)
        printf(" -r -F");
    else if (s->kind != SETTING_FLAG)
        printf(" -x");
    if (values)
        printf(" -a '%s'", values);
    else if (s->names)
        printf(" -a '(__nestbox_names)'");
    printf(" -d '");
    put_escaped(help, "'\\");
    printf("'\n");
}

static void fish_name(const struct verb *verb, void *unused)
{
    if (!verb->within) {
        printf("complete -c nestbox -n __fish_use_subcommand -a %s -d '", verb->name);
        put_in_quotes(verb->summary);
        printf("'\n");
        return;
    }
    char names[NAMES_MAX];
    verb_names(verb->within->verbs, names, sizeof(names));
    printf("complete -c nestbox -n '__fish_seen_subcommand_from %s; and not __fish_seen_subcommand_from %s' -a %s -d '",
           verb->within->name, names, verb->name);
    put_in_quotes(verb->summary);
    printf("'\n");
}

static void fish_verb(const struct verb *verb, void *all)
{
    struct setting rows[VERB_ROWS];
    for (const struct setting *s = verb_rows(verb, rows); s->name; s++)
        fish_option(verb, s);
    if (takes_verb(verb)) {
        fish_line(verb);
        printf(" -a '%s'\n", (const char *)all);
    }
    if (asks(verb)) {
        fish_line(verb);
        printf(" -a '(__nestbox_names)'\n");
    }
    if (verb->takes_program) {
        fish_line(verb);
        printf(" -a '(__fish_complete_command)'\n");
    }
}

static void derive_fish(void)
{
    char names[NAMES_MAX];
    verb_names(verbs, names, sizeof(names));
    printf("# fish completion for nestbox; derived from its options by tools/derive.sh\n\n"
           "function __nestbox_names\n"
           "    set -l typed (commandline -opc)\n"
           "    for name in (nestbox derive next $typed[2..-1] 2>/dev/null)\n"
           "        if test $name = /\n"
           "            __fish_complete_path (commandline -ct)\n"
           "        else\n"
           "            echo $name\n"
           "        end\n"
           "    end\n"
           "end\n\n"
           "complete -c nestbox -f\n");
    verbs_each(fish_name, NULL);
    verbs_each(fish_verb, names);
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
    const char letter[] = {',', ' ', '-', s->letter, 0};
    if (s->value)
        printf(s->letter ? ".TP\n.BI \"--%s%s\" \" %s\"\n" : ".TP\n.BI --%s%s \" %s\"\n", s->name,
               s->letter ? letter : "", s->value);
    else
        printf(".TP\n.B --%s%s\n", s->name, s->letter ? letter : "");
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
    struct setting rows[VERB_ROWS];
    for (const struct setting *s = verb_rows(verb, rows); s->name; s++)
        roff_option(s);
}

static void man_help(void)
{
    printf(".TP\n.B --help\nPrint the verb's options. All verbs have it.\n");
}

/* A verb with verbs of its own has a section with a paragraph for each; another one only a list of options. */
static void derive_man(const struct verb *verb)
{
    if (!verb->verbs) {
        man_options(verb);
        man_help();
        return;
    }
    for (const struct verb *const *v = verb->verbs; *v; v++) {
        char title[VERB_TITLE];
        printf(".PP\n.B nestbox %s\n%s\n.br\n", verb_title(*v, title), (*v)->usage);
        if ((*v)->about)
            roff_text((*v)->about);
        else
            printf("%s.\n", (*v)->summary);
        printf(".RS\n");
        man_options(*v);
        printf(".RE\n");
    }
}

/* -- the table itself -- */

/*
 * Prints `TITLE<tab>WORD=KIND...<tab>--OPTION...`, with a dash for no words. A question mark stands behind a word
 * that may be left out, and a plus behind one of which there may be more.
 */
static void words_verb(const struct verb *verb, void *unused)
{
    struct setting rows[VERB_ROWS];
    char title[VERB_TITLE];
    if (verb->verbs)
        return;
    printf("%s\t", verb_title(verb, title));
    for (const struct verb_word *w = verb->words; w < verb->words + VERB_WORDS && w->name; w++)
        printf("%s%s=%s%s%s", w > verb->words ? " " : "", w->name,
               word_kinds[w->kind].names  ? word_kinds[w->kind].names
               : word_kinds[w->kind].file ? "files"
                                          : "new",
               w->many ? "+" : "", w->optional ? "?" : "");
    printf(verb->words[0].name ? "\t" : "-\t");
    for (const struct setting *s = verb_rows(verb, rows); s->name; s++)
        printf("--%s ", s->name);
    putchar('\n');
}

/* -- names -- */

static void print_name(const char *name, void *tail)
{
    printf("%s%s\n", name, tail ? (const char *)tail : "");
}

static const struct shell {
    const char *name;
    void (*print)(void);
} shells[] = {{"bash", derive_bash}, {"zsh", derive_zsh}, {"fish", derive_fish}};

static const struct shell *shell_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(shells); i++)
        if (strcmp(name, shells[i].name) == 0)
            return &shells[i];
    return NULL;
}

static bool derive_kind(const char *kind)
{
    const struct shell *shell = shell_find(kind);
    if (shell)
        shell->print();
    else if (strcmp(kind, "words") == 0)
        verbs_each(words_verb, NULL);
    return shell || strcmp(kind, "words") == 0;
}

/* Where somebody is in a command line. */
struct typed {
    const struct setting *open; /* the option whose value comes next; NULL: none */
    const char *of;             /* the first word */
    int words;                  /* how many there are */
    bool joined;                /* the next word goes on with what is there */
};

/* The option whose value an argument leaves open. */
static const struct setting *left_open(const struct setting *rows, const char *arg)
{
    const struct setting *s = arg[1] == '-' ? setting_find(rows, arg + 2, strlen(arg + 2))
                              : !arg[2]     ? setting_find_letter(rows, arg[1])
                                            : NULL;
    return s && s->kind != SETTING_FLAG ? s : NULL;
}

/* bash passes `--name=value` and `VM:PATH` as three words. */
static void typed_next(struct typed *t, const struct setting *rows, const char *arg)
{
    if (strcmp(arg, "=") == 0)
        return;
    if (strcmp(arg, ":") == 0 || t->joined) {
        t->joined = !t->joined;
    } else if (arg[0] == '-' && arg[1]) {
        t->open = left_open(rows, arg);
    } else if (t->open && (t->open->kind != SETTING_ON_OFF || strcmp(arg, "on") == 0 || strcmp(arg, "off") == 0)) {
        t->open = NULL;
    } else {
        t->open = NULL;
        t->of = t->words++ ? t->of : arg;
    }
}

/* Prints names that may come next, one per line, and a slash for files. */
static void derive_next(const struct verb *verb, int argc, char **argv)
{
    struct setting rows[VERB_ROWS];
    struct typed t = {0};
    const struct verb_word *w = verb->words;
    verb_rows(verb, rows);
    for (int i = 0; i < argc; i++)
        typed_next(&t, rows, argv[i]);
    if (t.joined || (t.open && t.open->kind != SETTING_ON_OFF)) {
        if (!t.joined && t.open->names)
            names_each(t.open->names, t.of, print_name, NULL);
        return;
    }
    for (int i = 0; i < t.words && w < verb->words + VERB_WORDS - 1 && w->name && !w->many; i++)
        w++;
    if (!w->name)
        return;
    if (w->kind == WORD_SHELL)
        for (size_t i = 0; i < ARRAY_LEN(shells); i++)
            print_name(shells[i].name, NULL);
    if (word_kinds[w->kind].names)
        names_each(word_kinds[w->kind].names, t.of, print_name, (void *)(uintptr_t)word_kinds[w->kind].tail);
    if (word_kinds[w->kind].file)
        print_name("/", NULL);
}

static int run(const struct verb *verb, int argc, char **argv)
{
    if (argc == 1 && derive_kind(argv[0]))
        return STATUS_OK;
    if (argc > 1 && strcmp(argv[0], "next") == 0) {
        const struct verb *typed = verb_seek(NULL, argv[1]);
        int words = 2;
        if (typed && typed->verbs)
            typed = argc > words ? verb_seek(typed, argv[words++]) : NULL;
        if (typed)
            derive_next(typed, argc - words, argv + words);
        return STATUS_OK;
    }
    const struct verb *about = argc == 2 && strcmp(argv[0], "man") == 0 ? verb_find(NULL, argv[1]) : NULL;
    if (about) {
        derive_man(about);
        return STATUS_OK;
    }
    complain("derive takes bash, zsh, fish, words, man and a verb, or next and the words of a command line");
    return STATUS_USAGE;
}

const struct verb verb_derive = {
    .name = "derive",
    .summary = "Prints what is derived from the options",
    .usage = "bash|zsh|fish|words|man VERB|next WORD...",
    .run = run,
};

/* -- nestbox completion -- */

static int complete(const struct verb *verb, int argc, char **argv)
{
    char none;
    const char *word[WORDS_MAX];
    int status;
    if (verb_arguments(verb, argc, argv, &none, word, &status))
        return status;
    const struct shell *shell = shell_find(word[0]);
    if (!shell) {
        complain("completion: '%s' is no shell of these: bash, zsh, fish", word[0]);
        return STATUS_USAGE;
    }
    shell->print();
    return STATUS_OK;
}

const struct verb verb_completion = {
    .name = "completion",
    .summary = "Prints the completions of bash, zsh or fish",
    .usage = "bash|zsh|fish",
    .words = {{"SHELL", WORD_SHELL}},
    .about = "Prints the completions of a shell, for where they are not installed: "
             "_source <(nestbox completion bash)_.",
    .run = complete,
};
