/*
 * nestbox check: what is wrong with the networks of VMs, and what to do about it.
 */
#include "manager/check.h"
#include "cli/command.h"
#include "cli/print.h"

#include <stdio.h>
#include <string.h>

struct options {
    bool json;
};

static const struct setting options[] = {
    {"json", SETTING_FLAG, offsetof(struct options, json), NULL, "print an array of findings"}, {0}};

static const char notes[] =
    "Exit status: 0 nothing was found; 14 there are findings; 2 wrong command line; 4 it could\n"
    "not be looked at.\n";

static void print_finding(const json_t *finding)
{
    struct error error;
    char line[640];
    error_set(&error, -1, "%s", text_at(finding, "text"));
    error_hint(&error, text_at(finding, "hint"));
    error_format(&error, "--", line, sizeof(line));
    printf("%s\n", line);
    if (*text_at(finding, "remedy"))
        printf("    %s\n", text_at(finding, "remedy"));
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    json_t *findings, *finding;
    size_t index;
    int status;
    if (verb_arguments(verb, argc, argv, &o, word, &status))
        return status;
    struct store *store = command_open();
    if (!store)
        return STATUS_FAILED;
    int e = check_all(store, word[0], &findings, &error);
    status = command_end(store, e, &error);
    if (e)
        return status;
    if (json_array_size(findings))
        status = STATUS_FINDINGS;
    if (o.json) {
        command_json(findings);
    } else {
        json_array_foreach (findings, index, finding)
            print_finding(finding);
        json_decref(findings);
    }
    return status;
}

const struct verb verb_check = {
    .name = "check",
    .summary = "Looks for what is wrong with the networks of VMs",
    .usage = "[VM] [--json]",
    .options = {{options}},
    .words = {{"VM", WORD_VM, true}},
    .notes = notes,
    .run = run,
};
