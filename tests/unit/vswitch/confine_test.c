/*
 * What a confined process can still do, and what it cannot: each kind in a child of its own.
 */
#include "vswitch/confine.h"

#include "unit/home.h"
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char run[80];
static struct confined confined;

/* Runs `check` in a child that is confined so. Returns what it returns: the number of the first thing that is wrong. */
static int within(enum confine_kind kind, int (*check)(void))
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        confine(kind, home, run, &confined);
        for (u32 i = 0; i < CONFINE_PARTS; i++)
            if (confined.note[i][0])
                printf("# %s\n", confined.note[i]);
        fflush(stdout);
        _exit(check());
    }
    if (waitpid(child, &status, 0) != child)
        abort();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static bool opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool has_socket(int domain, int type)
{
    int fd = socket(domain, type | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void *nothing(void *opaque)
{
    return opaque;
}

/* What every kind can do. Returns 0 or a number. */
static int lives(void)
{
    pthread_t thread;
    char path[128];
    snprintf(path, sizeof(path), "%s/file", home);
    if (!opens(path, O_RDWR | O_CREAT | O_TRUNC) || rename(path, path) || unlink(path))
        return 1;
    snprintf(path, sizeof(path), "%s/folder", run);
    if (mkdir(path, 0700) || rmdir(path))
        return 2;
    if (pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL))
        return 3;
    return has_socket(AF_UNIX, SOCK_STREAM) ? 0 : 4;
}

static int limited(void)
{
    int e = lives();
    if (e)
        return e;
    if (confined.taken[CONFINE_FILES] && (opens("/usr/bin/env", O_RDONLY) || opens("/tmp/nestbox-confine", O_CREAT)))
        return 10;
    if (confined.taken[CONFINE_CALLS]) {
        if (fork() >= 0 || errno != EPERM)
            return 11;
        if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
            return 12;
        if (has_socket(AF_PACKET, SOCK_RAW))
            return 13;
    }
    return 0;
}

static int private(void)
{
    int e = limited();
    if (!e && confined.taken[CONFINE_FILES] && opens("/etc/passwd", O_RDONLY))
        e = 19;
    if (!e && confined.taken[CONFINE_CALLS] && (has_socket(AF_INET, SOCK_STREAM) || has_socket(AF_NETLINK, SOCK_RAW)))
        e = 20;
    return e;
}

static int slirp(void)
{
    int e = limited();
    if (!e && (!has_socket(AF_INET, SOCK_DGRAM) || !opens("/etc/resolv.conf", O_RDONLY)))
        e = 21;
    return e;
}

static int internal(void)
{
    int e = limited();
    return e ? e : has_socket(AF_NETLINK, SOCK_RAW) ? 0 : 22;
}

static int programs(void)
{
    int e = lives();
    if (!e && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        e = 24;
    if (!e && (!opens("/etc/passwd", O_RDONLY) || system("true") != 0))
        e = 23;
    return e;
}

int main(void)
{
    home_make();
    snprintf(run, sizeof(run), "%s/run", home);
    mkdir(run, 0700);
    TEST("a private switch has its folders, sockets without a network, threads, and nothing else");
    CHECK_EQ(within(CONFINE_PRIVATE, private), 0);
    TEST("one with NAT by libslirp has sockets of the host, too, and the list of name servers");
    CHECK_EQ(within(CONFINE_SLIRP, slirp), 0);
    TEST("an internal one has the host's interfaces, too");
    CHECK_EQ(within(CONFINE_INTERNAL, internal), 0);
    TEST("what starts programs can");
    CHECK_EQ(within(CONFINE_PROGRAMS, programs), 0);
    return TEST_END();
}
