/*
 * The frame of the programs of strange.h: runs the subjects one after another, each in a process of its own, and prints
 * a line for each.
 */
#include "strange.h"

#include "init.h"

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

const char *subject;
unsigned failures;
__thread sigjmp_buf fault_back;
__thread volatile sig_atomic_t fault_caught;
__thread siginfo_t fault_info;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    if (!fault_caught) {
        printf("strange: %s FAILED: signal %d, address %p\n", subject, signal, info->si_addr);
        fflush(stdout);
        _exit(1);
    }
    fault_caught = 0;
    fault_info = *info;
    siglongjmp(fault_back, 1);
}

void faults_catch(void)
{
    struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    static const int all[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    for (unsigned i = 0; i < LENGTH(all); i++)
        sigaction(all[i], &a, NULL);
}

UNFIT void serialize(void)
{
    unsigned a = 0, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}

static void run(const struct subject *s)
{
    double from = now();
    pid_t child = fork();
    subject = s->name;
    if (!child) {
        alarm(120);
        s->run();
        fflush(stdout);
        _exit(failures != 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    bool ok = WIFEXITED(status) && !WEXITSTATUS(status);
    if (WIFSIGNALED(status))
        printf("strange: %s ended by signal %d\n", s->name, WTERMSIG(status));
    printf("strange: %s %s in %.1f s\n", s->name, ok ? "ok" : "FAILED", now() - from);
    fflush(stdout);
}

static void run_all(const struct subject *s, const char *only)
{
    for (; s->name; s++)
        if (!only || !strcmp(only, s->name))
            run(s);
}

/* What a guest needs before its init can do much. */
static void prepare(void)
{
    static const char *const mounts[][2] = {{"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"}};
    for (unsigned i = 0; i < LENGTH(mounts); i++) {
        mkdir(mounts[i][1], 0755);
        mount(mounts[i][0], mounts[i][1], mounts[i][0], 0, NULL);
    }
    put("/proc/sys/debug/exception-trace", "0");
}

int main(int argc, char **argv)
{
    bool guest = getpid() == 1;
    if (argc == 2 && !strcmp(argv[1], "child")) /* of vfork and exec */
        return 7;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (guest)
        prepare();
    const char *only = guest ? getenv("ONLY") : argc > 1 ? argv[1] : NULL;
    faults_catch();
    run_all(processor_subjects, only);
    run_all(debugged_subjects, only);
    run_all(memory_subjects, only);
    if (guest)
        power_off("strange: done");
    puts("strange: done");
    return 0;
}
