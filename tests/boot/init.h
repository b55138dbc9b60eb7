/*
 * For programs that are /init of a guest: the time since the guest's start, a write to a file of the kernel, power-off.
 */
#ifndef TESTS_BOOT_INIT_H
#define TESTS_BOOT_INIT_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

/* Returns seconds, sleep of the guest included. */
static inline double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Writes the text to a file that exists. Returns 0, or -1 if the kernel refused it. */
static inline int put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n < 0 ? -1 : 0;
}

/* Prints the last line and powers the guest off. */
static inline void power_off(const char *line)
{
    puts(line);
    fflush(stdout);
    sync();
    reboot(RB_POWER_OFF);
}

#endif
