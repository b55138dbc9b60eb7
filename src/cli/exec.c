/*
 * nestbox exec: a command in a running VM, as if it ran here: its exit status is ours, Ctrl-c goes to it, and it has a
 * terminal if there is one.
 */
#include "cli/command.h"
#include "cli/guest.h"
#include "cli/vm.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

struct options {
    struct setting_list variable;
    const char *user, *folder;
    bool terminal, interactive;
};

#define AT(field) offsetof(struct options, field)
/* clang-format off */
static const struct setting rows[] = {
    {"terminal", SETTING_FLAG, AT(terminal), NULL, "gives the command a terminal, which is so where there is one here",
     "Gives the command a terminal. It has one anyway if standard input and output are one here.", .letter = 't'},
    {"interactive", SETTING_FLAG, AT(interactive), NULL, "the command reads standard input, as with a terminal",
     "The command reads standard input. With a terminal it does in any case.", .letter = 'i'},
    {"env", SETTING_LIST, AT(variable), "NAME=VALUE", "a variable for the command; may be given several times",
     .letter = 'e'},
    {"user", SETTING_TEXT, AT(user), "NAME", "who runs the command in the guest; root without it", .letter = 'u'},
    {"workdir", SETTING_TEXT, AT(folder), "FOLDER", "where the command runs; without it the user's home",
     .letter = 'w'},
    {0},
};
/* clang-format on */

/* -- the terminal here -- */

static struct termios saved;
static bool raw;

static void restore(void)
{
    if (raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    raw = false;
}

static void make_raw(void)
{
    struct termios t;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved))
        return;
    t = saved;
    cfmakeraw(&t);
    atexit(restore);
    raw = tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
}

int guest_signals(bool window)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGHUP);
    if (window)
        sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int guest_await_here(struct store *store, const char *vm, struct error *error)
{
    sigset_t blocked, none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, &blocked);
    int e = guest_await(store, vm, &terminal_progress, error);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    return e;
}

/* -- the command -- */

static int check_variables(const struct setting_list *list, struct error *error)
{
    for (u32 i = 0; i < list->count; i++)
        if (!strchr(list->item[i], '=') || list->item[i][0] == '=')
            return error_set(error, -EINVAL, SETTING("env") ": '%.60s' is not NAME=VALUE", list->item[i]);
    return 0;
}

static int exec(struct store *store, const char *vm, const struct options *o, char **command, struct error *error)
{
    const char *variable[SETTING_LIST_MAX + 2];
    char term[128];
    u32 n = 0;
    bool terminal = o->terminal || (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
    if (terminal && getenv("TERM")) {
        snprintf(term, sizeof(term), "TERM=%s", getenv("TERM"));
        variable[n++] = term;
    }
    for (u32 i = 0; i < o->variable.count; i++)
        variable[n++] = o->variable.item[i];
    variable[n] = NULL;
    struct agent_run run = {
        .argument = (const char *const *)command,
        .variable = variable,
        .user = o->user,
        .folder = o->folder,
        .terminal = terminal,
        .in = terminal || o->interactive ? STDIN_FILENO : -1,
        .out = STDOUT_FILENO,
        .error = STDERR_FILENO,
        .signals = guest_signals(true),
    };
    if (terminal)
        make_raw();
    int e = guest_exec(store, vm, &run, error);
    restore();
    if (e == -ENXIO && !(e = guest_await_here(store, vm, error))) {
        if (terminal)
            make_raw();
        e = guest_exec(store, vm, &run, error);
        restore();
    }
    if (e == -EOPNOTSUPP && terminal && !o->terminal) { /* QEMU's agent has none, and nobody asked for it */
        run.terminal = false;
        run.in = o->interactive ? STDIN_FILENO : -1;
        e = guest_exec(store, vm, &run, error);
    }
    return e;
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    struct error error;
    int status, rest;
    verb_defaults(verb, &o);
    if (verb_options(verb, argc, argv, &o, &rest, &status))
        return status;
    if (rest < argc && argv[rest][0] == '-') {
        complain("unexpected argument '%s' (see nestbox exec --help)", argv[rest]);
        return STATUS_USAGE;
    }
    if (rest == argc) {
        complain("exec without VM: nestbox exec %s (see nestbox exec --help)", verb->usage);
        return STATUS_USAGE;
    }
    const char *vm = argv[rest++];
    argc -= rest;
    argv += rest;
    if (verb_options(verb, argc, argv, &o, &rest, &status))
        return status;
    if (rest < argc && argv[rest][0] == '-' && !(rest && strcmp(argv[rest - 1], "--") == 0)) {
        complain("unexpected argument '%s'; the command comes behind the options (see nestbox exec --help)",
                 argv[rest]);
        return STATUS_USAGE;
    }
    int e = check_variables(&o.variable, &error);
    if (e) {
        complain_error(&error);
        return STATUS_USAGE;
    }
    struct store *store = command_open();
    if (!store)
        return STATUS_NO_SESSION;
    e = exec(store, vm, &o, argv + rest, &error);
    store_close(store);
    if (e >= 0)
        return e;
    if (e == -EPIPE) { /* as for any program whose output nobody reads */
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    complain_error(&error);
    return e == -ECANCELED ? STATUS_SIGNAL + SIGINT : STATUS_NO_SESSION;
}

const struct verb verb_exec = {
    .name = "exec",
    .summary = "Runs a command in a VM",
    .usage = "VM [OPTION]... [--] [COMMAND [ARGUMENT]...]",
    .options = {{rows}},
    .words = {{"VM", WORD_VM}},
    .about =
        "Runs a command in a running VM by its agent, without a network or a password, and ends with its exit status "
        "(128 and the number of a signal; 125 if it could not begin). Without a command it is the user's shell. "
        "Ctrl-c goes to the command; three of them within a second give it up.",
    .takes_program = true,
    .run = run,
};
