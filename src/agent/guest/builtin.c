/*
 * The table of what the agent does by itself, and the short ones.
 */
#include "agent/guest/builtin.h"

#include "agent/tree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

void grumble(const char *format, ...)
{
    char text[4608];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    dprintf(STDERR_FILENO, "%s\n", text);
}

/* -- copies -- */

static void complain(struct tree *tree, const char *path, const char *reason)
{
    grumble("%s: %s", path, reason);
}

static int get_run(int argc, char **argv)
{
    struct tree tree = {.complain = complain, .recursive = argc == 3};
    int e = tree_send(&tree, argv[1], STDOUT_FILENO);
    if (e)
        grumble("%s: %s", argv[1], strerror(-e));
    return e || tree.complaints;
}

static int put_run(int argc, char **argv)
{
    struct tree tree = {.complain = complain};
    int e = tree_receive(&tree, STDIN_FILENO, argv[1]);
    if (e && !tree.complaints)
        grumble("%s: %s", argv[1], e == -EPIPE ? "the copy broke off" : strerror(-e));
    return e || tree.complaints;
}

/* -- the clock -- */

static int clock_run(int argc, char **argv)
{
    char *end;
    long long ns = strtoll(argv[1], &end, 10);
    const struct timespec time = {ns / 1000000000, ns % 1000000000};
    if (*end || ns <= 0 || clock_settime(CLOCK_REALTIME, &time)) {
        grumble("cannot set the clock: %s", *end || ns <= 0 ? "not a time" : strerror(errno));
        return 1;
    }
    return 0;
}

/* -- the end -- */

static int shutdown_run(int argc, char **argv)
{
    bool again = strcmp(argv[1], "reboot") == 0;
    if (!again && strcmp(argv[1], "poweroff") != 0) {
        grumble("shutdown takes poweroff or reboot");
        return 2;
    }
    if (access("/run/systemd/system", F_OK) == 0)
        execlp("systemctl", "systemctl", "--no-block", argv[1], (char *)NULL);
    execlp(argv[1], argv[1], (char *)NULL);
    /* No init that could be asked: a guest that has nothing but a shell. */
    sync();
    reboot(again ? RB_AUTOBOOT : RB_POWER_OFF);
    grumble("cannot shut down: %s", strerror(errno));
    return 1;
}

const struct builtin builtins[] = {
    {"info", "", 0, 0, info_run},
    {"get", "PATH [recursive]", 1, 2, get_run},
    {"put", "PATH", 1, 1, put_run},
    {"freeze", "SECONDS", 1, 1, freeze_run},
    {"clock", "NANOSECONDS", 1, 1, clock_run},
    {"shutdown", "poweroff|reboot", 1, 1, shutdown_run},
    {0},
};

int builtin_run(char **argv)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    for (const struct builtin *b = builtins; b->name; b++) {
        if (strcmp(b->name, argv[0]) != 0)
            continue;
        if (argc - 1 >= b->least && argc - 1 <= b->most)
            return b->run(argc, argv);
        grumble("%s %s: wrong arguments", b->name, b->usage);
        return 2;
    }
    grumble("the agent has no %s", argv[0]);
    return 127;
}
