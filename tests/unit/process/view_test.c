/*
 * A user of its own that root gives a program, and the files that it sees. Only root can, and only where the host lets
 * it make namespaces.
 */
#include "process/confine.h"
#include "process/view.h"

#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER 0x70000001u

static char top[] = "/tmp/view-XXXXXX";
static char own[64], file[64], alien[64], secret[64], later[64];

static void make(char path[64], const char *name, mode_t mode)
{
    snprintf(path, 64, "%s/%s", top, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    CHECK(fd >= 0 && write(fd, "text", 4) == 4);
    close(fd);
}

/* What happens to `look` as that user. */
static int as_user(int space, int (*look)(void))
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(view_enter(space, USER) ? 99 : look());
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool can(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int look(void)
{
    char made[80];
    struct stat st;
    if (getuid() != USER || confine_rights(0))
        return 1;
    if (!can(file, O_RDWR) || !can(alien, O_RDWR) || stat(file, &st) || st.st_uid != USER)
        return 2;
    if (can(secret, O_RDONLY) || !stat(secret, &st) || can("/etc/shadow", O_RDONLY))
        return 3;
    snprintf(made, sizeof(made), "%s/made", own);
    return can(made, O_WRONLY | O_CREAT) ? 0 : 4;
}

static int look_later(void)
{
    return confine_rights(0) || !can(later, O_RDONLY);
}

static void test_files(struct view *view, int space)
{
    struct stat st;
    char made[80];
    CHECK_EQ(as_user(space, look), 0);
    snprintf(made, sizeof(made), "%s/made", own);
    CHECK(stat(made, &st) == 0 && st.st_uid == 0);
    CHECK(stat(file, &st) == 0 && st.st_uid == 0);
    CHECK(stat(alien, &st) == 0 && st.st_uid == 1234);
    TEST("a file that comes later");
    CHECK_EQ(as_user(space, look_later), 1);
    int in[2], out[2];
    struct error error;
    char byte;
    CHECK(!pipe(in) && !pipe(out));
    pid_t child = fork();
    if (child == 0) {
        close(in[1]);
        _exit(view_enter(space, USER) || write(out[1], "h", 1) != 1 || read(in[0], &byte, 1));
    }
    struct view *more = view_new(USER);
    CHECK_EQ(view_add(more, later, VIEW_OWN, R_OK), 0);
    CHECK_EQ(read(out[0], &byte, 1), 1);
    CHECK_EQ(view_extend(more, child, &error), 0);
    view_free(more);
    CHECK_EQ(as_user(space, look_later), 0);
    close(in[1]);
    waitpid(child, NULL, 0);
}

int main(void)
{
    struct error error = {0};
    if (geteuid() || !mkdtemp(top)) /* mkdtemp gives a folder that lets nobody else through */
        return 0;
    snprintf(own, sizeof(own), "%s/own", top);
    CHECK_EQ(mkdir(own, 0700), 0);
    make(file, "own/file", 0600);
    make(alien, "alien", 0600);
    make(secret, "secret", 0644);
    make(later, "later", 0600);
    TEST("a user of its own, and what it sees");
    struct view *view = view_new(USER);
    CHECK(view && !view_add(view, own, VIEW_OWN, R_OK | W_OK | X_OK) && !view_add(view, "/none", VIEW_OWN, R_OK));
    if (chown(alien, 1234, 1234) == 0)
        CHECK_EQ(view_add(view, alien, VIEW_OWN, R_OK | W_OK), 0);
    int space = view_make(view, &error);
    if (space >= 0)
        test_files(view, space);
    else
        printf("not here: %s\n", error.text);
    TEST("an error names the file");
    CHECK_EQ(view_add(view, secret, VIEW_REACHED, W_OK), 0);
    int refused = view_make(view, &error);
    CHECK(refused < 0 && (space < 0 || strstr(error.text, secret)));
    if (space >= 0)
        close(space);
    view_free(view);
    char command[96];
    snprintf(command, sizeof(command), "rm -rf %s", top);
    CHECK_EQ(system(command), 0);
    return TEST_END();
}
