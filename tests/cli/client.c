/*
 * The other end of a serial port: client PATH SEND EXPECT [end] opens a unix socket or a terminal, as soon as it is
 * there, and types SEND; with "end" it then closes the sending side. It copies what comes to standard output until
 * EXPECT has come. The status is 1 if that did not come within 30 seconds.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int opened(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = open(path, O_RDWR | O_NOCTTY);
    if (fd >= 0)
        return fd;
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

int main(int argc, char **argv)
{
    static char seen[1 << 20];
    size_t count = 0;
    time_t until = time(NULL) + 30;
    int fd = -1;
    if (argc != 4 && argc != 5)
        return 2;
    while ((fd = opened(argv[1])) < 0 && time(NULL) < until)
        poll(NULL, 0, 50);
    if (write(fd, argv[2], strlen(argv[2])) < 0)
        return 1;
    if (argc == 5 && shutdown(fd, SHUT_WR))
        return 1;
    while (time(NULL) < until && count < sizeof(seen)) {
        struct pollfd p = {fd, POLLIN, 0};
        ssize_t n = poll(&p, 1, 1000) > 0 ? read(fd, seen + count, sizeof(seen) - count) : 0;
        if (n > 0) {
            (void)!write(STDOUT_FILENO, seen + count, (size_t)n);
            count += (size_t)n;
        }
        if (memmem(seen, count, argv[3], strlen(argv[3])))
            return 0;
        if (n <= 0 && p.revents)
            poll(NULL, 0, 50);
    }
    return 1;
}
