/*
 * Connects to a control socket as nobody should: stranger PATH COUNT KIND SECONDS. Each of COUNT connections sends
 * garbage (lines of bytes), half a request, a request for ever (one line without end), or nothing; all stay open for
 * that time. Prints how many were made, and how many have been answered or closed by then.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void send_kind(int fd, const char *kind)
{
    static const char half[] = "{\"do\": \"sh";
    char bytes[4096];
    if (strcmp(kind, "half") == 0) {
        (void)!send(fd, half, sizeof(half) - 1, MSG_DONTWAIT);
    } else if (strcmp(kind, "garbage") == 0) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)rand();
        (void)!send(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        (void)!send(fd, "\n[]\n{}\n{\"do\": 3}\n{\"do\": \"\"}\n", 30, MSG_DONTWAIT);
    } else if (strcmp(kind, "endless") == 0) {
        memset(bytes, '{', sizeof(bytes));
        for (int i = 0; i < 512; i++)
            if (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) < 0)
                break;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct rlimit files = {4096, 4096};
    int count = argc == 5 ? atoi(argv[2]) : 0, made = 0, heard = 0;
    int *fd = calloc((size_t)count + 1, sizeof(*fd));
    if (!count || !fd)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_NOFILE, &files);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
    for (int i = 0; i < count; i++) {
        fd[made] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (fd[made] < 0 || connect(fd[made], (struct sockaddr *)&address, sizeof(address))) {
            if (fd[made] >= 0)
                close(fd[made]);
            if (errno == EAGAIN)
                usleep(1000);
            continue;
        }
        send_kind(fd[made++], argv[3]);
    }
    sleep((unsigned)atoi(argv[4]));
    for (int i = 0; i < made; i++) {
        struct pollfd one = {.fd = fd[i], .events = POLLIN};
        heard += poll(&one, 1, 0) == 1;
    }
    printf("%d %d\n", made, heard);
    return 0;
}
