/*
 * Settings of the host's kernel, in a network namespace of the test's own.
 */
#include "vswitch/host_setting.h"

#include "unit/test.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORWARD "net/ipv4/ip_forward"
#define PATH "/proc/sys/" FORWARD

static char folder[] = "/tmp/host_setting_test.XXXXXX", path[64];
static struct error error;

static char value(void)
{
    int c = '?';
    FILE *f = fopen(PATH, "r");
    if (f) {
        c = fgetc(f);
        fclose(f);
    }
    return (char)c;
}

static bool set(char to)
{
    FILE *f = fopen(PATH, "w");
    bool put = f && fputc(to, f) == to;
    return f && fclose(f) == 0 && put;
}

int main(void)
{
    if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWNET) < 0 || !set('0')) {
        TEST("not tested: no network namespace, or /proc/sys cannot be written");
        return TEST_END();
    }
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof(path), "%s/host-settings", folder);

    TEST("what is changed is known as ours, and goes back");
    CHECK_EQ(host_setting_want(folder, FORWARD, "1", &error), 1);
    CHECK(value() == '1');
    CHECK(host_setting_is(FORWARD, "1") && !host_setting_is(FORWARD, "0"));
    CHECK_EQ(host_setting_want(folder, FORWARD, "1", &error), 1);
    host_settings_restore(folder);
    CHECK(value() == '0' && access(path, F_OK) < 0);

    TEST("what was so without us stays");
    CHECK(set('1'));
    CHECK_EQ(host_setting_want(folder, FORWARD, "1", &error), 0);
    host_settings_restore(folder);
    CHECK(value() == '1');

    TEST("a process that was killed leaves it to the next one");
    CHECK(set('0'));
    int status = -1;
    pid_t child = fork();
    if (!child)
        _exit(host_setting_want(folder, FORWARD, "1", &error));
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 1 && value() == '1');
    CHECK_EQ(host_setting_want(folder, FORWARD, "1", &error), 1);
    host_settings_restore(folder);
    CHECK(value() == '0');

    TEST("what another boot left means nothing, nor does garbage");
    static const char *const left[] = {"another-boot\n" FORWARD " 1\n", "", "\n\n", "garbage"};
    for (unsigned i = 0; i < ARRAY_LEN(left); i++) {
        FILE *f = fopen(path, "w");
        CHECK(f && fputs(left[i], f) >= 0 && fclose(f) == 0);
        host_settings_restore(folder);
        CHECK(value() == '0');
    }

    TEST("one that there is not");
    CHECK_EQ(host_setting_want(folder, "net/ipv4/no_such_setting", "1", &error), -ENOENT);
    CHECK(strstr(error.text, "no_such_setting"));
    snprintf(path, sizeof(path), "%s/host-settings.lock", folder);
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
    return TEST_END();
}
