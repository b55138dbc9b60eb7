/*
 * Starts the process of a switch, and again as often as a signal kills it: at once the first time, then with pauses
 * that grow. A process that ends by itself has its reasons. The lock of the switch names its keeper, so `switch stop`
 * ends the keeper of a process that hangs before the process.
 */
#include "vswitch/keeper.h"

#include "base/monotonic.h"
#include "vswitch/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEADY_NS 10000000000ull /* who ran that long is started again at once */
#define FIRST_PAUSE_MS 200u
#define LAST_PAUSE_MS 30000u
#define FAILURES_MAX 8 /* of starts, one after the other */

static const int ends[] = {SIGTERM, SIGINT, SIGHUP};
static volatile sig_atomic_t child, ended;

static void pass_on(int signal)
{
    ended = 1;
    if (child > 0)
        kill(child, signal);
}

static void handle(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        sigaction(ends[i], &action, NULL);
}

/* Returns how the child ended, as waitpid() has it. */
static int wait_for_child(void)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static void rest(u32 ms)
{
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
    if (ms)
        nanosleep(&time, NULL);
}

int keeper_run(const char *name, int ready, struct error *error)
{
    struct process_start start = {.name = name, .ready = ready, .keeper = getpid()};
    u32 pause_ms = 0, failures = 0;
    while (!ended) {
        u64 began = monotonic_ns();
        fflush(NULL);
        pid_t pid = fork();
        if (pid < 0)
            return error_set(error, -errno, "switch %s: cannot start its process: %s", name, strerror(errno));
        if (pid == 0) {
            handle(SIG_DFL);
            int e = process_run(&start, error);
            bool over = e == -EALREADY || e == -ENOENT; /* another one runs, or the switch was deleted */
            return start.restarts && over ? 0 : e;
        }
        child = pid;
        if (!start.restarts) {
            handle(pass_on);
            close_range(3, ~0u, 0);
            prctl(PR_SET_NAME, "nestbox-keeper");
        }
        int status = wait_for_child();
        child = 0;
        bool killed = WIFSIGNALED(status), failed = WIFEXITED(status) && WEXITSTATUS(status) && start.restarts;
        failures = failed ? failures + 1 : 0;
        if ((!killed && !failed) || failures > FAILURES_MAX)
            break;
        if (killed) {
            start.signal = WTERMSIG(status);
            start.restarts++;
            fprintf(stderr, "switch %s: its process was ended by signal %d and is started again\n", name, start.signal);
        }
        pause_ms = monotonic_ns() - began >= STEADY_NS ? 0 : pause_ms ? pause_ms * 2 : FIRST_PAUSE_MS;
        rest(start.restarts == 1 && killed ? 0 : pause_ms < LAST_PAUSE_MS ? pause_ms : LAST_PAUSE_MS);
        start.ready = -1;
    }
    return 0;
}
