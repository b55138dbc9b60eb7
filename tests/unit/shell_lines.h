/*
 * Lines for a shell, and what they print.
 */
#ifndef TESTS_UNIT_SHELL_LINES_H
#define TESTS_UNIT_SHELL_LINES_H

#include "shell/shell.h"

#include "unit/test.h"

#include <stdlib.h>
#include <string.h>

static struct shell shell;
static char *said, *complained;
static size_t said_length, complained_length;

/* Runs a text in `shell`, which is open. Returns its status; what it said is in `said` and `complained`. */
static inline int shell_text(const char *text)
{
    free(said);
    free(complained);
    shell.out = open_memstream(&said, &said_length);
    shell.err = open_memstream(&complained, &complained_length);
    int status = shell_run(&shell, NULL, text, strlen(text));
    fclose(shell.out);
    fclose(shell.err);
    return status;
}

struct line {
    const char *text, *says; /* all of it, the last end of line aside */
};

/* Runs each line in a shell of its own and compares. */
static inline void shell_lines(const struct line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        shell_open(&shell, stdout, stderr);
        shell_text(lines[i].text);
        size_t length = strlen(said);
        if (length && said[length - 1] == '\n')
            said[length - 1] = 0;
        if (strcmp(said, lines[i].says) != 0 || *complained) {
            test_bad++;
            printf("# %s\n#   says '%s'\n#    not '%s'\n%s", lines[i].text, said, lines[i].says, complained);
        }
        shell_close(&shell);
    }
}

/* Each line must fail with this identifier. */
static inline void shell_refusals(const struct line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char id[200];
        shell_open(&shell, stdout, stderr);
        int status = shell_text(lines[i].text);
        snprintf(id, sizeof(id), "FullyQualifiedErrorId : %s\n", lines[i].says);
        if (!status || !strstr(complained, id)) {
            test_bad++;
            printf("# %s\n#   status %d, no '%s' in: %s", lines[i].text, status, lines[i].says, complained);
        }
        shell_close(&shell);
    }
}

#endif
