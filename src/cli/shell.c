/*
 * nestbox shell: the cmdlet language, on a terminal, for one line, or for a script.
 */
#include "shell/shell.h"
#include "cli/verb.h"
#include "shell/interactive.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
    const char *command;
};

static const struct setting option_rows[] = {
    {"command", SETTING_TEXT, offsetof(struct options, command), "LINE", "runs this and ends; also -c",
     "Runs the text and ends; *-c* is short for it."},
    {0},
};

static const char notes[] = "Exit status: that of exit N; 1 the last statement failed; 0; 2 wrong command line.\n"
                            "Without a script or a line it reads standard input; Get-Help explains the cmdlets.\n";

/* Ctrl-C ends what runs in the shell, and not the shell. */
static void catch_interrupt(void)
{
    struct sigaction action = {.sa_handler = shell_interrupt};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

static int run_input(struct shell *shell)
{
    struct text text = {0};
    char piece[4096];
    size_t n;
    while ((n = fread(piece, 1, sizeof(piece), stdin)))
        text_put(&text, piece, n);
    int status = shell_run(shell, NULL, text_get(&text), text.used);
    text_free(&text);
    return status;
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    struct shell shell;
    int rest, status;
    if (verb_options(verb, argc, argv, &o, &rest, &status))
        return status;
    argc -= rest;
    argv += rest;
    if (argc && strcmp(argv[0], "-c") == 0) {
        if (argc != 2) {
            complain("shell -c takes one line (see nestbox shell --help)");
            return STATUS_USAGE;
        }
        o.command = argv[1];
        argc = 0;
    }
    if (o.command && argc) {
        complain("unexpected argument '%s' (see nestbox shell --help)", argv[0]);
        return STATUS_USAGE;
    }
    shell_open(&shell, stdout, stderr);
    shell.colours = isatty(STDOUT_FILENO) && isatty(STDERR_FILENO) && !getenv("NO_COLOR");
    bool terminal = isatty(STDIN_FILENO);
    shell.interactive = terminal;
    catch_interrupt();
    if (o.command)
        status = shell_run(&shell, NULL, o.command, strlen(o.command));
    else if (argc)
        status = shell_run_file(&shell, argv[0], argc - 1, argv + 1);
    else
        status = terminal ? interactive_run(&shell) : run_input(&shell);
    shell_close(&shell);
    return status;
}

const struct verb verb_shell = {
    .name = "shell",
    .summary = "Runs cmdlets as Hyper-V's documents have them",
    .usage = "[-c LINE | FILE.ps1 [ARGUMENT]...]",
    .options = {{option_rows}},
    .notes = notes,
    .about =
        "Runs the cmdlets of Hyper-V's documents on the VMs and networks of this host: on a terminal, for one line, "
        "or for a script with its parameters.",
    .run = run,
};
