/*
 * nestbox help [VERB [VERB]]: prints help on all verbs, or on one.
 */
#include "cli/verb.h"

#include <stdio.h>

static int run(const struct verb *verb, int argc, char **argv)
{
    const char *word[WORDS_MAX];
    int status;
    if (verb_arguments(verb, argc, argv, NULL, word, &status))
        return status;
    const struct verb *about = word[0] ? verb_find(NULL, word[0]) : NULL;
    if (word[0] && !about)
        return STATUS_USAGE;
    if (word[1] && !about->verbs) {
        complain("unexpected argument '%s' (see nestbox help --help)", word[1]);
        return STATUS_USAGE;
    }
    if (word[1] && !(about = verb_find(about, word[1])))
        return STATUS_USAGE;
    if (about) {
        verb_help_print(about);
        return STATUS_OK;
    }
    printf("nestbox runs virtual machines whose guests can run virtual machines of their own,\n"
           "with Intel VT-x or AMD-V, on any x86-64 Linux host.\n\n"
           "Usage: nestbox VERB [OPTION]...\n\nVerbs:\n");
    for (const struct verb *const *v = verbs; *v; v++) {
        printf("  %-10s %s\n", (*v)->name, (*v)->summary);
    }
    printf("\nnestbox VERB --help prints the options of a verb.\n");
    return STATUS_OK;
}

const struct verb verb_help = {
    .name = "help",
    .summary = "Prints help on all verbs, or on one",
    .usage = "[VERB [VERB]]",
    .words = {{"VERB", WORD_VERB, true}, {"VERB", WORD_NEW, true}},
    .run = run,
};
