/*
 * A program that computes, started again and again as /init of a guest: with `--direct auto` its first processes are
 * translated for a while, and those that follow are known.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#define STARTS 16
#define ALIGNED __attribute__((noinline, noclone, aligned(4096)))

/* On a page of its own: pages of the C library's start have CPUID, and are translated. */
ALIGNED static uint64_t compute(uint64_t n)
{
    uint64_t a = 1, b = n;
    while (n--) {
        a = a * 6364136223846793005u + b;
        b ^= a >> 29;
        if (b & 1)
            b += a << 7;
    }
    return a ^ b;
}

ALIGNED static void start(char *program)
{
    int status = 1;
    pid_t child = fork();
    if (!child) {
        execl(program, program, "compute", NULL);
        _exit(1);
    }
    waitpid(child, &status, 0);
    if (status)
        printf("again: status %d\n", status);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "compute")) /* the kernel has words for it, too */
        return compute(40000000) == 0;           /* some 60 ms */
    for (unsigned i = 0; i < STARTS; i++)
        start("/init");
    printf("again: done\n");
    fflush(stdout);
    return reboot(RB_POWER_OFF);
}
