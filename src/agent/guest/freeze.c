/*
 * Freezes the guest's file systems while the host takes a copy of its disks. They stay frozen until standard input has
 * something or ends, which is also when the host, the worker or the agent goes; and for no longer than was said,
 * because a guest that cannot write is soon a guest that does not work. This process touches no file while they are
 * frozen.
 *
 * Prints {"frozen": N} once they are, and {"thawed": N, "expired": false} at the end. The exit status is 0 only if they
 * were frozen all the time until the host said that it is over.
 */
#include "agent/guest/builtin.h"

#include "base/types.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SYSTEMS_MAX 256
#define SECONDS_MAX 600

struct mounted {
    unsigned major, minor;
    char path[PATH_MAX];
    int fd;
    bool frozen;
};

static struct mounted *mounted;
static u32 mounted_count;

/* Paths in mountinfo have \040 for a space. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned c;
        if (*from == '\\' && sscanf(from + 1, "%3o", &c) == 1) {
            *to = (char)c;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = 0;
}

/* Lists the file systems on block devices, each once, in the order of their mounting. */
static int list_mounted(void)
{
    char line[3 * PATH_MAX];
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return -errno;
    mounted = calloc(SYSTEMS_MAX, sizeof(*mounted));
    while (mounted && mounted_count < SYSTEMS_MAX && fgets(line, sizeof(line), file)) {
        struct mounted *m = &mounted[mounted_count];
        char *source = strstr(line, " - ");
        char options[64];
        if (sscanf(line, "%*d %*d %u:%u %*s %4095s %63s", &m->major, &m->minor, m->path, options) != 4 || !source ||
            sscanf(source, " - %*s %8191s", line) != 1 || strncmp(line, "/dev/", 5) != 0 || !strncmp(options, "ro", 2))
            continue;
        unescape(m->path);
        bool known = false;
        for (u32 i = 0; i < mounted_count; i++)
            known |= mounted[i].major == m->major && mounted[i].minor == m->minor;
        m->fd = known ? -1 : open(m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        mounted_count += m->fd >= 0;
    }
    fclose(file);
    return mounted ? 0 : -ENOMEM;
}

static u32 thaw(void)
{
    u32 n = 0;
    for (u32 i = 0; i < mounted_count; i++) {
        if (mounted[i].frozen && ioctl(mounted[i].fd, FITHAW, 0) == 0)
            n++;
        mounted[i].frozen = false;
    }
    return n;
}

/* The last mounted first: one in a file of another comes before that. Returns how many, or -errno with the culprit. */
static int freeze(const char **culprit)
{
    int n = 0;
    for (u32 i = mounted_count; i--;) {
        struct mounted *m = &mounted[i];
        if (ioctl(m->fd, FIFREEZE, 0) == 0) {
            m->frozen = true;
            n++;
        } else if (errno != EOPNOTSUPP && errno != ENOTTY) {
            int e = -errno;
            *culprit = m->path;
            thaw();
            return e;
        }
    }
    return n;
}

int freeze_run(int argc, char **argv)
{
    int seconds = atoi(argv[1]);
    const char *culprit = "";
    if (seconds < 1 || seconds > SECONDS_MAX) {
        grumble("freeze takes 1 to %d seconds", SECONDS_MAX);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    int e = list_mounted();
    if (!e && mlockall(MCL_CURRENT | MCL_FUTURE) && errno != EPERM)
        e = -errno;
    if (e) {
        grumble("cannot prepare to freeze: %s", strerror(-e));
        return 1;
    }
    sync();
    int frozen = freeze(&culprit);
    if (frozen < 0) {
        grumble("cannot freeze %s: %s", culprit, frozen == -EBUSY ? "it is frozen already" : strerror(-frozen));
        return 1;
    }
    dprintf(STDOUT_FILENO, "{\"frozen\": %d}\n", frozen);
    struct pollfd input = {STDIN_FILENO, POLLIN};
    while ((e = poll(&input, 1, seconds * 1000)) < 0 && errno == EINTR)
        ;
    char word[8];
    bool asked = e > 0 && read(STDIN_FILENO, word, sizeof(word)) > 0;
    int thawed = (int)thaw();
    dprintf(STDOUT_FILENO, "{\"thawed\": %d, \"expired\": %s}\n", thawed, e > 0 ? "false" : "true");
    return !asked || thawed != frozen;
}
