/*
 * What a service manager is told, and where.
 */
#include "process/notify.h"

#include "base/types.h"
#include "unit/test.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Returns true if a socket of that name, where @ stands for zero, gets what is told. */
static bool arrives(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char got[32] = "";
    size_t length = strlen(name);
    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)))
        abort();
    setenv("NOTIFY_SOCKET", name, 1);
    notify_manager("READY=1");
    bool same = recv(fd, got, sizeof(got) - 1, 0) == 7 && strcmp(got, "READY=1") == 0;
    close(fd);
    return same;
}

int main(void)
{
    char path[64], hidden[64];
    snprintf(path, sizeof(path), "/tmp/nestbox-notify-%d", (int)getpid());
    snprintf(hidden, sizeof(hidden), "@nestbox-notify-%d", (int)getpid());
    TEST("a manager that listens at a file or at a name without one");
    CHECK(arrives(path));
    unlink(path);
    CHECK(arrives(hidden));

    TEST("one that is gone, has no place, or is not there is no trouble");
    notify_manager("READY=1");
    char *endless = calloc(1, 300);
    memset(endless, 'x', 299);
    setenv("NOTIFY_SOCKET", endless, 1);
    notify_manager("READY=1");
    unsetenv("NOTIFY_SOCKET");
    notify_manager("READY=1");
    free(endless);
    return TEST_END();
}
