/*
 * The init of a guest with several CPUs: it tries what goes wrong if an engine forgets one of them. Code that one CPU
 * writes and another runs, in the same and in an aliased mapping; locked operations across pages and on pages with
 * code; pages unmapped under others' feet; the kernel's own patching (function tracing, static keys); CPUs taken away
 * and brought back. Prints a line per check and powers off.
 */
#include "init.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define THREADS 4
#define PAGE 4096

static void report(const char *what, const char *wrong, unsigned long count)
{
    printf("smp: %s %s%s%s, %lu times\n", what, wrong ? "FAILED (" : "ok", wrong ? wrong : "", wrong ? ")" : "", count);
    fflush(stdout);
}

static void serialize(void)
{
    unsigned a = 0, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}

/* -- code written by one thread, run by the others -- */

static uint8_t *code_run, *code_write; /* the same memory, mapped twice */
static atomic_uint turn, answers;
static atomic_bool stop, wrong;
static unsigned code_at;

static void write_code(uint8_t *at, unsigned value)
{
    const uint8_t text[] = {0xb8, (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24),
                            0xc3};
    memcpy(at, text, sizeof text);
}

static void *run_code(void *arg)
{
    unsigned seen = 0;
    while (!stop) {
        unsigned t = turn;
        if (t == seen) {
            sched_yield();
            continue;
        }
        serialize();
        unsigned got = ((unsigned (*)(void))(uintptr_t)(code_run + code_at))();
        if (got != t)
            wrong = true;
        seen = t;
        answers++;
    }
    return NULL;
}

static void cross_modify(bool alias, double seconds)
{
    pthread_t thread[THREADS];
    int fd = (int)syscall(SYS_memfd_create, "code", 0);
    unsigned pages = 16;
    if (ftruncate(fd, pages * PAGE))
        return report("shared memory", "ftruncate", 0);
    code_run = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, fd, 0);
    code_write = alias ? mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : code_run;
    close(fd);
    stop = wrong = false;
    turn = answers = 0;
    for (unsigned i = 0; i < THREADS - 1; i++)
        pthread_create(&thread[i], NULL, run_code, NULL);
    double end = now() + seconds;
    unsigned n = 0;
    while (now() < end && !wrong) {
        n++;
        code_at = n * 2654435761u % (pages * PAGE - 8);
        write_code(code_write + code_at, n);
        serialize();
        answers = 0;
        turn = n;
        while (answers < THREADS - 1 && !wrong)
            sched_yield();
    }
    stop = true;
    for (unsigned i = 0; i < THREADS - 1; i++)
        pthread_join(thread[i], NULL);
    report(alias ? "code through an alias" : "code of another CPU", wrong ? "old code ran" : NULL, n);
}

/* -- locked operations -- */

static uint8_t *counters;
static unsigned counter_at;

static void *count(void *arg)
{
    for (unsigned i = 0; i < 2000; i++) {
        __asm__ volatile("lock incq %0" : "+m"(*(uint64_t *)(counters + counter_at)) : : "memory");
        if (i % 64 == 0)
            ((void (*)(void))(uintptr_t)(counters + PAGE + 2048))(); /* its page holds code */
    }
    return NULL;
}

static void locked(void)
{
    static const unsigned at[] = {64, PAGE - 4, PAGE + 64, 2 * PAGE - 3};
    counters = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const char *bad = NULL;
    for (unsigned k = 0; k < sizeof at / sizeof at[0]; k++) {
        pthread_t thread[THREADS];
        counter_at = at[k];
        memset(counters, 0, 3 * PAGE);
        counters[PAGE + 2048] = 0xc3;
        for (unsigned i = 0; i < THREADS; i++)
            pthread_create(&thread[i], NULL, count, NULL);
        for (unsigned i = 0; i < THREADS; i++)
            pthread_join(thread[i], NULL);
        uint64_t sum;
        memcpy(&sum, counters + counter_at, 8);
        if (sum != THREADS * 2000)
            bad = "lost increments";
    }
    report("locked increments", bad, sizeof at / sizeof at[0] * THREADS * 2000);
}

/* -- TLB shootdown -- */

static uint8_t *volatile target;
static atomic_uint mapped, touched;
static __thread sigjmp_buf back;

static void on_segv(int sig)
{
    siglongjmp(back, 1);
}

static void *touch(void *arg)
{
    unsigned seen = 0;
    while (!stop) {
        unsigned t = mapped;
        if (t == seen) {
            sched_yield();
            continue;
        }
        seen = t;
        bool present = t & 1;
        if (sigsetjmp(back, 1)) {
            if (present)
                wrong = true;
        } else {
            *(volatile uint8_t *)target = 1;
            if (!present)
                wrong = true;
        }
        touched++;
    }
    return NULL;
}

static void shootdown(double seconds)
{
    pthread_t thread[THREADS];
    signal(SIGSEGV, on_segv);
    target = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stop = wrong = false;
    mapped = touched = 0;
    for (unsigned i = 0; i < THREADS - 1; i++)
        pthread_create(&thread[i], NULL, touch, NULL);
    double end = now() + seconds;
    unsigned n = 0;
    while (now() < end && !wrong) {
        n++;
        if (mprotect(target, PAGE, n & 1 ? PROT_READ | PROT_WRITE : PROT_NONE))
            wrong = true;
        touched = 0;
        mapped = n;
        while (touched < THREADS - 1 && !wrong)
            sched_yield();
    }
    stop = true;
    for (unsigned i = 0; i < THREADS - 1; i++)
        pthread_join(thread[i], NULL);
    signal(SIGSEGV, SIG_DFL);
    report("pages taken from other CPUs", wrong ? "an old mapping was used" : NULL, n);
}

/* -- the kernel patches itself -- */

static void *work(void *arg)
{
    int p[2];
    char byte = 0;
    if (pipe(p))
        return NULL;
    while (!stop) {
        if (write(p[1], &byte, 1) != 1 || read(p[0], &byte, 1) != 1)
            wrong = true;
        getppid();
        struct timespec t = {.tv_nsec = 1000};
        nanosleep(&t, NULL);
    }
    close(p[0]);
    close(p[1]);
    return NULL;
}

static unsigned long trace_on_off(double end)
{
    unsigned long n = 0;
    while (now() < end) {
        if (put("/t/current_tracer", "function") || put("/t/current_tracer", "nop"))
            wrong = true;
        n++;
    }
    return n;
}

static unsigned long keys_on_off(double end)
{
    unsigned long n = 0;
    while (now() < end) {
        if (put("/proc/sys/kernel/sched_schedstats", n & 1 ? "0" : "1"))
            wrong = true;
        n++;
    }
    return n;
}

static unsigned long cpus_on_off(double end)
{
    unsigned long n = 0;
    while (now() < end) {
        char path[64];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%ld/online",
                 1 + (long)n % (sysconf(_SC_NPROCESSORS_CONF) - 1));
        if (put(path, "0") || put(path, "1"))
            wrong = true;
        n++;
    }
    return n;
}

static void under_load(const char *what, unsigned long (*body)(double end), double seconds)
{
    pthread_t thread[THREADS];
    stop = wrong = false;
    for (unsigned i = 0; i < THREADS - 1; i++)
        pthread_create(&thread[i], NULL, work, NULL);
    unsigned long n = body(now() + seconds);
    stop = true;
    for (unsigned i = 0; i < THREADS - 1; i++)
        pthread_join(thread[i], NULL);
    report(what, wrong ? "an error" : NULL, n);
}

int main(int argc, char **argv)
{
    double each = argc > 1 ? atof(argv[1]) : 1;
    if (getpid() == 1) {
        mkdir("/proc", 0755);
        mkdir("/sys", 0755);
        mkdir("/t", 0755);
        if (mount("proc", "/proc", "proc", 0, NULL) || mount("sys", "/sys", "sysfs", 0, NULL))
            puts("smp: FAILED (mount)");
    }
    printf("smp: %ld CPUs\n", sysconf(_SC_NPROCESSORS_ONLN));
    cross_modify(false, each);
    cross_modify(true, each);
    locked();
    shootdown(each);
    if (getpid() == 1) {
        under_load("static keys", keys_on_off, each);
        if (mount("t", "/t", "tracefs", 0, NULL) == 0)
            under_load("function tracing", trace_on_off, each);
        if (sysconf(_SC_NPROCESSORS_CONF) > 1)
            under_load("CPUs off and on", cpus_on_off, each);
        power_off("smp: done");
    }
    return 0;
}
