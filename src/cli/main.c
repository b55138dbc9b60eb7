/*
 * nestbox: finds the verb and runs it. The table of verbs is in verb.c.
 */
#include "cli/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* If we are started with a standard descriptor closed, a file that we open must not take its place. */
static void standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
            return;
}

int main(int argc, char **argv)
{
    standard_descriptors();
    if (argc < 2) {
        verb_help.run(&verb_help, 0, NULL);
        return STATUS_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    const struct verb *verb = verb_find(NULL, name);
    if (!verb)
        return STATUS_USAGE;
    int status = verb_start(verb, argc - 2, argv + 2);
    errno = 0;
    if ((fflush(stdout) || ferror(stdout)) && !status) {
        complain("cannot write the output: %s", errno ? strerror(errno) : "it was cut short");
        return STATUS_FAILED;
    }
    return status;
}
