/*
 * The life of a VM whose vCPUs are played by this file. Each VM is a child process, since one with a stuck vCPU leaves
 * threads behind.
 */
#include "unit/test.h"
#include "vmproc/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_SERIAL 0x3f8
#define PORT_PM1_CONTROL 0x604
#define PORT_RESET 0xcf9

/* -- an accelerator -- */

enum deed {
    OBEY,  /* wait for a stop */
    HANG,  /* do not listen */
    RESET, /* ask for a reset once all run, then wait for a stop */
    FAULT, /* triple fault */
    FAIL,
    SPEAK, /* write to the serial port until a stop */
    POWER_OFF,
};

struct accel_vm {
    struct machine machine;
    bool stop; /* [a] */
};

static struct accel_vm fake;
static enum deed deeds[2][2]; /* by vCPU, before and after the first restart */
static unsigned resets;
static unsigned *entered; /* [a] calls of run; parent and child share it */

static int fake_create(const struct run_settings *settings, const struct machine *machine, struct accel_vm **vm,
                       struct error *error)
{
    fake.machine = *machine;
    *vm = &fake;
    return 0;
}

static void fake_destroy(struct accel_vm *vm)
{
}

static int fake_reset(struct accel_vm *vm, struct error *error)
{
    resets++;
    return 0;
}

static u64 fake_state_get(struct accel_vm *vm, u32 index, struct cpu_state *state, u64 wanted)
{
    memset(state, 0, sizeof(*state));
    state->rip = 0xfa4e;
    return wanted;
}

static int fake_state_set(struct accel_vm *vm, u32 index, const struct cpu_state *state, u64 given, u64 *committed,
                          const char **bad)
{
    *committed = given;
    return 0;
}

static enum accel_exit fake_run(struct accel_vm *vm, u32 index)
{
    enum deed deed = deeds[index][resets > 1];
    __atomic_fetch_add(entered, 1, __ATOMIC_SEQ_CST);
    if (deed == FAULT)
        return ACCEL_SHUTDOWN;
    if (deed == FAIL)
        return ACCEL_ERROR;
    while (deed == RESET && __atomic_load_n(entered, __ATOMIC_SEQ_CST) < 2)
        usleep(1000);
    if (deed == RESET)
        vm->machine.io_write(vm->machine.opaque, PORT_RESET, 6, 1);
    if (deed == POWER_OFF)
        vm->machine.io_write(vm->machine.opaque, PORT_PM1_CONTROL, 0x3400, 2);
    while (deed == HANG || !__atomic_load_n(&vm->stop, __ATOMIC_SEQ_CST)) {
        if (deed == SPEAK)
            vm->machine.io_write(vm->machine.opaque, PORT_SERIAL, 'A', 1);
        else
            usleep(1000);
    }
    return ACCEL_STOPPED;
}

static void fake_stop(struct accel_vm *vm)
{
    __atomic_store_n(&vm->stop, true, __ATOMIC_SEQ_CST);
}

static void fake_resume(struct accel_vm *vm)
{
    __atomic_store_n(&vm->stop, false, __ATOMIC_SEQ_CST);
}

static void fake_irq_line(struct accel_vm *vm, unsigned gsi, bool level)
{
}

static void fake_msi(struct accel_vm *vm, u64 address, u32 data)
{
}

static void fake_stats(struct accel_vm *vm, char *buf, size_t size)
{
    snprintf(buf, size, "counters\n");
}

static const struct error *fake_error(struct accel_vm *vm, u32 index)
{
    static const struct error error = {-EIO, "played", ""};
    return &error;
}

static u64 fake_tsc_khz(struct accel_vm *vm)
{
    return 1000000;
}

static bool fake_has_la57(struct accel_vm *vm)
{
    return false;
}

static const struct accel_ops fake_ops = {
    .name = "fake",
    .create = fake_create,
    .destroy = fake_destroy,
    .reset = fake_reset,
    .state_get = fake_state_get,
    .state_set = fake_state_set,
    .run = fake_run,
    .stop = fake_stop,
    .resume = fake_resume,
    .has_irqchip = true,
    .irq_line = fake_irq_line,
    .msi = fake_msi,
    .stats = fake_stats,
    .error = fake_error,
    .tsc_khz = fake_tsc_khz,
    .has_la57 = fake_has_la57,
};

/* -- a VM in a child -- */

/* What the child reports when vm_run has returned. */
struct report {
    struct vm_end end;
    unsigned resets;
};

static char kernel[] = "/tmp/nestbox-vm-test-XXXXXX";
static struct run_settings settings;
static struct report report;
static pid_t child;
static int reports, errors, output; /* pipes from the child */
static struct timespec started;

static void make_kernel(void)
{
    u32 head[8] = {0x1badb002, 0x10003, 0u - 0x1badb002 - 0x10003, 0x100000, 0x100000, 0, 0, 0x100020};
    u8 room[4096] = {0};
    memcpy(room, head, sizeof(head));
    int fd = mkstemp(kernel);
    if (write(fd, room, sizeof(room)) != sizeof(room))
        exit(1);
    close(fd);
}

static void start(void)
{
    int pipes[3][2];
    for (unsigned i = 0; i < ARRAY_LEN(pipes); i++)
        if (pipe(pipes[i]))
            exit(1);
    fflush(stdout);
    *entered = 0;
    child = fork();
    if (!child) {
        dup2(pipes[1][1], STDERR_FILENO);
        dup2(pipes[2][1], STDOUT_FILENO);
        dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
        vm_run(&settings, &fake_ops, &report.end);
        report.resets = resets;
        _exit(write(pipes[0][1], &report, sizeof(report)) != sizeof(report));
    }
    for (unsigned i = 0; i < ARRAY_LEN(pipes); i++)
        close(pipes[i][1]);
    reports = pipes[0][0];
    errors = pipes[1][0];
    output = pipes[2][0]; /* read by nobody */
    clock_gettime(CLOCK_MONOTONIC, &started);
}

/* Waits until all CPUs run, and a moment for what they do. */
static void both_run(void)
{
    for (unsigned i = 0; i < 20000 && __atomic_load_n(entered, __ATOMIC_SEQ_CST) < 2; i++)
        usleep(1000);
    usleep(300000);
}

static char said[4096];

/* Waits for the child. Returns true if it came to its own end and filled `report`. `said` gets its standard error. */
static bool finish(int *status)
{
    size_t used = 0;
    ssize_t n;
    bool whole = true;
    for (size_t got = 0; got < sizeof(report) && whole; got += (size_t)n) {
        n = read(reports, (char *)&report + got, sizeof(report) - got);
        whole = n > 0;
    }
    while (used < sizeof(said) - 1 && (n = read(errors, said + used, sizeof(said) - 1 - used)) > 0)
        used += (size_t)n;
    said[used] = 0;
    waitpid(child, status, 0);
    close(reports);
    close(errors);
    close(output);
    return whole;
}

static unsigned elapsed_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned)((t.tv_sec - started.tv_sec) * 1000 + (t.tv_nsec - started.tv_nsec) / 1000000);
}

static void play(enum deed cpu0, enum deed cpu1, enum deed then)
{
    deeds[0][0] = cpu0;
    deeds[1][0] = cpu1;
    deeds[0][1] = then;
    deeds[1][1] = OBEY;
    settings = (struct run_settings){.kernel = kernel, .memory = 16 << 20, .cpus = 2, .serial = {{"stdio"}, 1}};
}

/* Returns true if the text has the registers of these CPUs, each a digit, and of no others. */
static bool describes(const char *text, const char *cpus)
{
    for (const char *at = text; (at = strstr(at, "CPU ")); at += 4)
        if (at == text || at[-1] == '\n')
            if (*cpus++ != at[4])
                return false;
    return !*cpus;
}

int main(void)
{
    int status;
    entered = mmap(NULL, sizeof(*entered), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (entered == MAP_FAILED)
        return 1;
    make_kernel();

    TEST("power-off");
    play(POWER_OFF, OBEY, OBEY);
    settings.stats = true;
    start();
    CHECK(finish(&status));
    CHECK_EQ(report.end.kind, VM_END_POWER_OFF);
    CHECK(strstr(report.end.stats, "counters"));
    CHECK_EQ(said[0], 0);

    TEST("two CPUs ask for a reset: one reset");
    play(RESET, RESET, POWER_OFF);
    start();
    CHECK(finish(&status));
    CHECK_EQ(report.end.kind, VM_END_POWER_OFF);
    CHECK_EQ(report.resets, 2);

    TEST("triple faults of two CPUs: one reset; the registers are printed");
    play(FAULT, FAULT, POWER_OFF);
    start();
    CHECK(finish(&status));
    CHECK_EQ(report.end.kind, VM_END_POWER_OFF);
    CHECK_EQ(report.resets, 2);
    CHECK(strstr(said, "triple fault") && strstr(said, "000000000000fa4e"));

    TEST("an error of a CPU");
    play(OBEY, FAIL, OBEY);
    start();
    CHECK(finish(&status));
    CHECK_EQ(report.end.kind, VM_END_FAILED);
    CHECK(strstr(report.end.why.text, "CPU 1") && strstr(report.end.why.text, "played"));
    CHECK(describes(report.end.state, "1"));

    TEST("time-out while nobody reads the output");
    play(SPEAK, SPEAK, OBEY);
    settings.timeout_ms = 500;
    start();
    CHECK(finish(&status));
    CHECK_EQ(report.end.kind, VM_END_TIMEOUT);
    CHECK(describes(report.end.state, "01"));
    CHECK_EQ(said[0], 0);

    TEST("a CPU does not stop: the time-out ends the VM without it");
    play(OBEY, HANG, OBEY);
    settings.timeout_ms = 100;
    settings.stats = true;
    start();
    CHECK(finish(&status));
    CHECK_EQ(report.end.kind, VM_END_TIMEOUT);
    CHECK(describes(report.end.state, "0"));
    CHECK(strstr(said, "CPU 1 does not stop"));
    CHECK(elapsed_ms() >= 2000 && elapsed_ms() < 20000);

    TEST("a CPU does not stop for a reset: SIGTERM ends the VM");
    play(RESET, HANG, POWER_OFF);
    start();
    both_run();
    kill(child, SIGTERM);
    CHECK(finish(&status));
    CHECK_EQ(report.end.kind, VM_END_SIGNAL);
    CHECK_EQ(report.end.code, SIGTERM);
    CHECK_EQ(report.resets, 1);
    CHECK(strstr(said, "CPU 1 does not stop"));
    CHECK(elapsed_ms() < 20000);

    TEST("a second signal ends the process at once");
    play(HANG, HANG, OBEY);
    start();
    both_run();
    kill(child, SIGINT);
    usleep(300000);
    kill(child, SIGTERM);
    CHECK(!finish(&status)); /* two seconds later it would have come to its own end */
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);

    unlink(kernel);
    return TEST_END();
}
