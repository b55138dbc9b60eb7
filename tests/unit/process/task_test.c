/*
 * Programs that work for an operation: lines of progress, output, errors, signals.
 */
#include "process/task.h"

#include "unit/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char seen[256];

static void note(const struct task *task, const char *line)
{
    size_t used = strlen(seen);
    snprintf(seen + used, sizeof(seen) - used, "%s|", line);
}

static int run(const char *script, char **output, struct error *error)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    const struct task task = {.argv = argv, .package = "dash", .name = "the script", .line = note, .output = output};
    seen[0] = 0;
    return task_run(&task, error);
}

static void test_lines(void)
{
    struct error error;
    char *output = NULL;
    CHECK_EQ(run("printf 'a\\rb\\n\\nc'; echo d >&2", NULL, &error), 0);
    CHECK(strcmp(seen, "a|b|cd|") == 0);
    CHECK_EQ(run("echo out; echo progress >&2", &output, &error), 0);
    CHECK(strcmp(seen, "progress|") == 0 && output && strcmp(output, "out\n") == 0);
    free(output);
}

static void test_failures(void)
{
    const char *const none[] = {"nestbox-no-such-program", NULL};
    const struct task task = {.argv = none, .package = "nothing"};
    struct error error;
    CHECK_EQ(run("echo first >&2; echo why >&2; exit 3", NULL, &error), -EIO);
    CHECK(strcmp(error.text, "the script failed: why") == 0);
    CHECK_EQ(run("kill -9 $$", NULL, &error), -EIO);
    CHECK(strstr(error.text, "signal 9") != NULL);
    CHECK_EQ(task_run(&task, &error), -ENOENT);
    CHECK(strstr(error.hint, "apt-get install nothing") != NULL);
}

/* The program and what it started get the signal; what it does then is waited for. */
static void test_cancelled(void)
{
    struct error error;
    char *output = NULL;
    sigset_t taken, before;
    sigemptyset(&taken);
    sigaddset(&taken, SIGTERM);
    sigprocmask(SIG_BLOCK, &taken, &before); /* so that it comes when task_run takes signals */
    kill(getpid(), SIGTERM);
    CHECK_EQ(run("trap 'echo cleaned; exit 1' TERM; sleep 60 & wait; wait", &output, &error), -ECANCELED);
    sigprocmask(SIG_SETMASK, &before, NULL);
    free(output);
}

/* A background process that keeps the pipe open is not waited for. */
static void test_daemon_left(void)
{
    struct error error;
    CHECK_EQ(run("sleep 5 >/dev/null & echo done >&2", NULL, &error), 0);
    CHECK(strcmp(seen, "done|") == 0);
}

int main(void)
{
    TEST("lines end with a line feed or a carriage return; output is kept apart");
    test_lines();
    TEST("an error has the last line; a missing program its package");
    test_failures();
    TEST("a signal ends the program, and is waited for");
    test_cancelled();
    TEST("who keeps the pipe open is not waited for");
    test_daemon_left();
    return TEST_END();
}
