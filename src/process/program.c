/*
 * Programs of the host: see program.h. What a program reads and writes goes through files in memory, so it can neither
 * wait for us nor we for it but for its end.
 */
#include "process/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define OUTPUT_MAX (64u << 20)

int program_locate(const char *name, const char *package, char *path, size_t size, struct error *error)
{
    static const char *const folders[] = {"/usr/sbin", "/usr/bin",        "/sbin",
                                          "/bin",      "/usr/local/sbin", "/usr/local/bin"};
    char hint[96];
    for (u32 i = 0; i < ARRAY_LEN(folders); i++)
        if (snprintf(path, size, "%s/%s", folders[i], name) < (int)size && access(path, X_OK) == 0)
            return 0;
    error_set(error, -ENOENT, "the program %s is not installed", name);
    snprintf(hint, sizeof(hint), "as root: apt-get install %s", package);
    return error_hint(error, hint);
}

/* In the new process, between fork and exec: only what signal handlers may call, too. */
static void become(const char *const *argv, const int standard[3], pid_t parent)
{
    static char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), moved[3];
    sigset_t none;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        return;
    for (int i = 0; i < 3; i++)
        if ((moved[i] = fcntl(standard[i] < 0 ? null : standard[i], F_DUPFD_CLOEXEC, 3)) < 0)
            return;
    for (int i = 0; i < 3; i++)
        if (dup2(moved[i], i) < 0)
            return;
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    for (int i = 1; i < 32; i++)
        if (i != SIGKILL && i != SIGSTOP)
            signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(argv[0], (char *const *)(uintptr_t)argv, environment);
}

pid_t program_start(const char *const *argv, int input, int output, int errors)
{
    const int standard[3] = {input, output, errors};
    pid_t parent = getpid(), child = fork();
    if (child)
        return child < 0 ? -errno : child;
    become(argv, standard, parent);
    _exit(127);
}

/* A file in memory that has `text`, to be read from its beginning. */
static int memory_file(const char *text)
{
    int fd = memfd_create("program", MFD_CLOEXEC);
    size_t length = text ? strlen(text) : 0;
    if (fd >= 0 && (write(fd, text, length) != (ssize_t)length || lseek(fd, 0, SEEK_SET) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

char *program_text(int fd, size_t most)
{
    struct stat st;
    size_t size = fstat(fd, &st) == 0 && (size_t)st.st_size <= most ? (size_t)st.st_size : 0;
    char *text = malloc(size + 1);
    ssize_t n = text ? pread(fd, text, size, 0) : 0;
    if (text)
        text[n > 0 ? n : 0] = 0;
    return text;
}

/* Returns the status of the process as waitpid() has it, or -ETIMEDOUT after killing it. */
static int wait_for(pid_t child)
{
    int fd = (int)syscall(SYS_pidfd_open, child, 0), status = 0;
    struct pollfd end = {.fd = fd, .events = POLLIN};
    bool late = false;
    if (fd >= 0) {
        late = poll(&end, 1, PATIENCE_MS) == 0;
        close(fd);
    }
    if (late)
        kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return late ? -ETIMEDOUT : status;
}

static int ended(const char *program, int status, int errors, struct error *error)
{
    char *text = program_text(errors, OUTPUT_MAX);
    if (text)
        text[strcspn(text, "\n")] = 0;
    if (status == -ETIMEDOUT)
        error_set(error, status, "%s did not end within %d seconds", program, PATIENCE_MS / 1000);
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 127 && !(text && *text))
        error_set(error, -ENOENT, "%s cannot be started", program);
    else if (status)
        error_set(error, -EIO, "%s: %.240s", program, text && *text ? text : "it failed");
    else
        error_begin(error, 0);
    free(text);
    return error->code;
}

int program_run(const char *const *argv, const char *input, char **output, struct error *error)
{
    int in = memory_file(input), out = memory_file(NULL), errors = memory_file(NULL), err;
    pid_t child = in < 0 || out < 0 || errors < 0 ? -EMFILE : program_start(argv, in, out, errors);
    if (child < 0)
        err = error_set(error, child, "%s cannot be started: %s", argv[0], strerror(-child));
    else
        err = ended(argv[0], wait_for(child), errors, error);
    if (!err && output && !(*output = program_text(out, OUTPUT_MAX)))
        err = error_set(error, -ENOMEM, "no memory for what %s says", argv[0]);
    for (int i = 0; i < 3; i++)
        if ((int[]){in, out, errors}[i] >= 0)
            close((int[]){in, out, errors}[i]);
    return err;
}
