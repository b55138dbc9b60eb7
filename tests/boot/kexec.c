/*
 * /init of tests/boot/kexec.sh. Each kernel says where it is. The first starts the second by kexec_file_load, the
 * second loads a crash kernel and crashes, and that one powers off.
 */
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE "console=ttyS0 panic=-1 crashkernel=192M "

static void fail(const char *what)
{
    perror(what);
    reboot(RB_POWER_OFF);
    _exit(1);
}

/* Prints the first line of a file that has `what`. */
static void show(const char *path, const char *what)
{
    char line[600];
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f)) {
        if (strstr(line, what)) {
            printf("NB %s: %s", path, line);
            break;
        }
    }
    if (f)
        fclose(f);
}

static void load(const char *line, unsigned long flags)
{
    int kernel = open("/vmlinuz", O_RDONLY), initrd = open("/initrd", O_RDONLY);
    if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(line) + 1, line, flags))
        fail("NB kexec_file_load");
    close(kernel);
    close(initrd);
}

int main(void)
{
    char line[300] = "";
    mkdir("/proc", 0755);
    if (mount("proc", "/proc", "proc", 0, NULL))
        fail("NB mount");
    FILE *f = fopen("/proc/cmdline", "r");
    if (!f || !fgets(line, sizeof(line), f))
        fail("NB cmdline");
    fclose(f);
    show("/proc/iomem", "Kernel code");
    show("/proc/iomem", "Crash kernel");
    if (strstr(line, "crashed")) {
        struct stat st;
        printf("NB crash kernel, %s memory of the old one\n", stat("/proc/vmcore", &st) ? "without" : "with");
        fflush(stdout);
        reboot(RB_POWER_OFF);
    } else if (strstr(line, "second")) {
        printf("NB second kernel\n");
        fflush(stdout);
        load("console=ttyS0 panic=-1 crashed nr_cpus=1", KEXEC_FILE_ON_CRASH);
        f = fopen("/proc/sysrq-trigger", "w");
        if (!f || fputs("c", f) < 0 || fclose(f))
            fail("NB sysrq");
    } else {
        printf("NB first kernel\n");
        fflush(stdout);
        load(LINE "second", 0);
        reboot(LINUX_REBOOT_CMD_KEXEC);
    }
    fail("NB still here");
    return 1;
}
