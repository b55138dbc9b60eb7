/*
 * The initial process of tests/boot/direct_cpu.sh: computes with a system call now and then until somebody writes to
 * the serial port, then sleeps for good.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    struct pollfd in = {0, POLLIN, 0};
    volatile unsigned x = 0;
    puts("computes");
    fflush(stdout);
    while (poll(&in, 1, 0) == 0)
        for (unsigned i = 0; i < 300000; i++)
            x += i * x + 1;
    puts("sleeps");
    fflush(stdout);
    for (;;)
        pause();
}
