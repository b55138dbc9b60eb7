/*
 * Programs of the host: found, run to their end, and kept running.
 */
#include "process/program.h"

#include "unit/test.h"
#include "vswitch/child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct error error;

static int run(const char *script, const char *input, char **output)
{
    return program_run((const char *const[]){"/bin/sh", "-c", script, NULL}, input, output, &error);
}

static bool says(const char *script, const char *input, const char *want)
{
    char *output = NULL;
    bool same = run(script, input, &output) == 0 && strcmp(output, want) == 0;
    free(output);
    return same;
}

static void turn_until(struct vswitch *sw, const struct child *child, bool runs)
{
    for (int i = 0; i < 3000; i++) {
        child_state(child, &error);
        if ((error.code == 0) == runs)
            return;
        CHECK_EQ(vswitch_turn(sw, false), 0);
        usleep(1000);
    }
}

static void test_child(void)
{
    struct vswitch *sw = vswitch_new("test", &error);
    TEST("a program that ends is reported with its last words, and started again");
    struct child *child =
        child_start(sw, (const char *const[]){"/bin/sh", "-c", "echo one >&2; echo two >&2; exit 1", NULL});
    turn_until(sw, child, false);
    CHECK_EQ(error.code, -ECHILD);
    CHECK(strstr(error.text, "/bin/sh ended: two"));
    turn_until(sw, child, true);
    CHECK_EQ(error.code, 0);
    turn_until(sw, child, false);
    child_stop(child);

    TEST("one that cannot be started, too");
    child = child_start(sw, (const char *const[]){"/nonexistent/program", NULL});
    turn_until(sw, child, false);
    CHECK_EQ(error.code, -ECHILD);
    child_stop(child);

    TEST("at the end it is gone");
    child = child_start(sw, (const char *const[]){"/bin/sleep", "1000", NULL});
    child_state(child, &error);
    CHECK_EQ(error.code, 0);
    child_stop(child);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    vswitch_free(sw);
}

int main(void)
{
    char path[64];
    TEST("programs are found, and the package of one that is not is named");
    CHECK(program_locate("sh", "dash", path, sizeof(path), &error) == 0 && access(path, X_OK) == 0);
    CHECK_EQ(program_locate("no-such-program", "some-package", path, sizeof(path), &error), -ENOENT);
    CHECK(strstr(error.text, "no-such-program") && strstr(error.hint, "apt-get install some-package"));

    TEST("input and output, of any size");
    CHECK(says("cat", "hello", "hello"));
    CHECK(says("cat", NULL, ""));
    char *large = malloc(3000001), *output = NULL;
    memset(large, 'x', 3000000);
    large[3000000] = 0;
    CHECK(run("cat", large, &output) == 0 && output && strcmp(output, large) == 0);
    free(output);
    free(large);

    TEST("a failure has the first line of what the program complained");
    CHECK_EQ(run("echo first >&2; echo second >&2; exit 3", NULL, NULL), -EIO);
    CHECK(strcmp(error.text, "/bin/sh: first") == 0);
    CHECK_EQ(run("kill -9 $$", NULL, NULL), -EIO);
    CHECK_EQ(program_run((const char *const[]){"/nonexistent/program", NULL}, NULL, NULL, &error), -ENOENT);

    TEST("nothing is inherited but what programs expect");
    signal(SIGPIPE, SIG_IGN);
    CHECK(says("ls /proc/self/fd | wc -l", NULL, "4\n")); /* and the folder itself */
    CHECK(says("sh -c 'kill -PIPE $$; echo alive'; true", NULL, ""));
    CHECK(says("echo $LC_ALL$HOME", NULL, "C\n"));
    test_child();
    return TEST_END();
}
