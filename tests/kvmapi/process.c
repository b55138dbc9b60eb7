/*
 * What the API owes to the process that uses it: descriptors in every order, fork, threads, signals and their masks,
 * addresses that are not there. The program passes on the kernel's KVM as well.
 */
#include "guest.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* sigset and its like are tested, too */

#define RAM 0x4000u

/* Counts in EBX for ever. */
static const unsigned char spin[] = {0x66, 0x43, 0x90, 0xeb, 0xfb}; /* 1: inc ebx; nop; jmp 1b */
static const unsigned char out[] = {0xe6, 0x10, 0xeb, 0xfc};

struct guest {
    int vm, vcpu;
    struct kvm_run *run;
    unsigned char *ram;
};

static int kvm;

static struct guest guest(const unsigned char *code, size_t size)
{
    struct guest g = {.vm = guest_vm(kvm)};
    g.vcpu = guest_vcpu(g.vm);
    g.run = guest_run(kvm, g.vcpu);
    g.ram = guest_memory(g.vm, 0, 0, RAM, 0);
    memcpy(g.ram + GUEST_CODE_AT, code, size);
    guest_real_mode(g.vcpu, 0xffff);
    return g;
}

static void drop(struct guest *g)
{
    munmap(g->run, guest_run_size(kvm));
    munmap(g->ram, RAM);
    close(g->vm);
    close(g->vcpu);
}

static volatile sig_atomic_t seen;
static volatile double sum;

static void deep(int n)
{
    volatile char page[4096];
    memset((char *)page, n, sizeof(page));
    if (n)
        deep(n - 1);
    sum += page[7];
}

static void on_signal(int sig)
{
    deep(4);
    seen++;
}

static void test_device(void)
{
    struct stat s;
    CHECK(!access("/dev/kvm", R_OK | W_OK));
    CHECK(!stat("/dev/kvm", &s) && S_ISCHR(s.st_mode));
    int fd = openat(AT_FDCWD, "/dev/kvm", O_RDWR);
    CHECK(fd >= 0 && ioctl(fd, KVM_GET_API_VERSION, 0) == 12);
    CHECK(ioctl(fd, KVM_GET_API_VERSION, 1) == -1 && errno == EINVAL);
    CHECK(ioctl(fd, KVM_RUN, 0) == -1 && ioctl(fd, 0x1234, 0) == -1);
    CHECK(!(fcntl(fd, F_GETFD) & FD_CLOEXEC));
    close(fd);
    CHECK(ioctl(fd, KVM_GET_API_VERSION, 0) == -1 && errno == EBADF);
}

/* /dev/kvm opens by each of its names, and it looks like a device. */
static void test_names(void)
{
    static const char *const names[] = {"//dev/kvm", "/dev/./kvm", "/dev/../dev/kvm", "kvm", "./kvm"};
    char before[4096];
    struct stat s;
    CHECK(getcwd(before, sizeof(before)) && !chdir("/dev"));
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int fd = open(names[i], O_RDWR);
        CHECK(fd >= 0 && ioctl(fd, KVM_GET_API_VERSION, 0) == 12);
        CHECK(!fstat(fd, &s) && S_ISCHR(s.st_mode) && major(s.st_rdev) == 10 && minor(s.st_rdev) == 232);
        close(fd);
    }
    CHECK(!chdir(before));
    int folder = open("/dev", O_RDONLY | O_DIRECTORY), fd = openat(folder, "kvm", O_RDWR);
    CHECK(fd >= 0 && ioctl(fd, KVM_GET_API_VERSION, 0) == 12);
    close(folder);
    CHECK(!ioctl(fd, FIOCLEX) && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    CHECK(ftruncate(fd, 4096) == -1);
    close(fd);
    FILE *f = fopen("/dev/kvm", "r+");
    CHECK(f && ioctl(fileno(f), KVM_GET_API_VERSION, 0) == 12 && !fclose(f));
    CHECK(open("/dev/kvm", O_RDWR | O_DIRECTORY) == -1 && errno == ENOTDIR);
    CHECK(open("/dev/kvm", O_RDWR | O_CREAT | O_EXCL, 0600) == -1 && errno == EEXIST);
}

static void test_descriptors(void)
{
    struct guest g = guest(out, sizeof(out));
    CHECK(fcntl(g.vm, F_GETFD) & FD_CLOEXEC && fcntl(g.vcpu, F_GETFD) & FD_CLOEXEC);
    int copy = dup(g.vcpu), high = fcntl(g.vcpu, F_DUPFD_CLOEXEC, 200), third = dup2(g.vcpu, 210);
    CHECK(copy >= 0 && high >= 200 && third == 210);
    close(g.vm);
    close(g.vcpu);
    CHECK(ioctl(g.vcpu, KVM_RUN, 0) == -1 && errno == EBADF);
    CHECK(!ioctl(copy, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
    close(copy);
    CHECK(!ioctl(high, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
    close(high);
    CHECK(dup2(0, 210) == 210);
    CHECK(ioctl(210, KVM_RUN, 0) == -1 && errno == ENOTTY);
    close(210);
    munmap(g.ram, RAM);
}

static int passed(int fd)
{
    int ends[2], copy;
    char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec io = {&byte, 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends) && sendmsg(ends[0], &m, 0) == 1 && recvmsg(ends[1], &m, 0) == 1);
    memcpy(&copy, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(copy));
    close(ends[0]);
    close(ends[1]);
    return copy;
}

/* A descriptor that came by a socket is as good as the first; a vCPU of another process fails with EIO. */
static void test_passed(void)
{
    struct guest g = guest(out, sizeof(out));
    int vm = passed(g.vm), vcpu = passed(g.vcpu), own = passed(kvm);
    CHECK(ioctl(own, KVM_GET_API_VERSION, 0) == 12);
    CHECK(ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1);
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
    close(g.vm);
    close(g.vcpu);
    CHECK(ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1);
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
    char text[16];
    int status;
    snprintf(text, sizeof(text), "%d", vcpu);
    CHECK(!fcntl(vcpu, F_SETFD, 0));
    pid_t child = fork();
    if (!child) {
        execl("/proc/self/exe", "process", "foreign", text, NULL);
        _exit(9);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    close(vm);
    close(vcpu);
    close(own);
    munmap(g.ram, RAM);
}

/* A program that closes whatever it did not open itself. */
static void test_blind(void)
{
    struct guest g = guest(spin, sizeof(spin));
    for (int fd = 3; fd < 1024; fd++)
        if (fd != kvm && fd != g.vm && fd != g.vcpu)
            close(fd);
    int file = memfd_create("file", MFD_CLOEXEC);
    const struct itimerval t = {.it_value.tv_usec = 20000, .it_interval.tv_usec = 20000}, none = {0};
    signal(SIGALRM, on_signal);
    CHECK(!setitimer(ITIMER_REAL, &t, NULL));
    CHECK(ioctl(g.vcpu, KVM_RUN, 0) == -1 && errno == EINTR);
    CHECK(!setitimer(ITIMER_REAL, &none, NULL));
    drop(&g);
    CHECK(lseek(file, 0, SEEK_END) == 0);
    g = guest(out, sizeof(out));
    CHECK(!ioctl(g.vcpu, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
    CHECK(!close_range(3, ~0u, 0) && ioctl(g.vcpu, KVM_RUN, 0) == -1 && errno == EBADF);
    munmap(g.ram, RAM);
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    g = guest(out, sizeof(out));
    pid_t child = fork();
    if (!child) {
        closefrom(3);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    child = vfork();
    if (!child) {
        closefrom(3);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(!ioctl(g.vcpu, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
    drop(&g);
}

static void test_addresses(void)
{
    struct guest g = guest(out, sizeof(out));
    CHECK(ioctl(g.vcpu, KVM_GET_REGS, 8) == -1 && errno == EFAULT);
    CHECK(ioctl(g.vcpu, KVM_SET_REGS, -4096L) == -1 && errno == EFAULT);
    CHECK(ioctl(g.vm, KVM_SET_USER_MEMORY_REGION, NULL) == -1 && errno == EFAULT);
    CHECK(ioctl(g.vcpu, KVM_SET_SIGNAL_MASK, 8) == -1 && errno == EFAULT);
    CHECK(ioctl(g.vcpu, KVM_RUN, 1) == -1 && errno == EINVAL);
    CHECK(ioctl(g.vm, KVM_CREATE_VCPU, 0) == -1 && errno == EEXIST);
    CHECK(ioctl(g.vm, KVM_CREATE_VCPU, 1u << 30) == -1 && errno == EINVAL);
    struct kvm_userspace_memory_region region = {
        .slot = 1, .guest_phys_addr = 0x10000, .memory_size = 0x1000, .userspace_addr = 0xffff800000000000};
    CHECK(ioctl(g.vm, KVM_SET_USER_MEMORY_REGION, &region) == -1 && errno == EINVAL);
    region.userspace_addr = 0xfffffffffffff000;
    CHECK(ioctl(g.vm, KVM_SET_USER_MEMORY_REGION, &region) == -1 && errno == EINVAL);
    errno = 77;
    CHECK(!ioctl(g.vcpu, KVM_RUN, 0) && errno == 77);
    drop(&g);
}

static void test_many(void)
{
    for (int i = 0; i < 1000; i++) {
        struct guest g = guest(out, sizeof(out));
        if (i % 10 == 0)
            CHECK(!ioctl(g.vcpu, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
        drop(&g);
    }
}

static void test_fork(void)
{
    struct guest g = guest(out, sizeof(out));
    CHECK(!ioctl(g.vcpu, KVM_RUN, 0));
    pid_t child = fork();
    if (!child) {
        if (ioctl(g.vcpu, KVM_RUN, 0) != -1 || errno != EIO || ioctl(g.vm, KVM_CREATE_VCPU, 1) != -1 || errno != EIO)
            _exit(1);
        struct guest own = guest(out, sizeof(out));
        CHECK(!ioctl(own.vcpu, KVM_RUN, 0) && own.run->exit_reason == KVM_EXIT_IO);
        drop(&own);
        close(g.vcpu);
        close(g.vm);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(!ioctl(g.vcpu, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
    drop(&g);
}

/* /dev/kvm without close-on-exec is there in the next program. */
static void test_exec(void)
{
    int fd = open("/dev/kvm", O_RDWR), status;
    char text[16];
    CHECK(fd >= 0);
    snprintf(text, sizeof(text), "%d", fd);
    pid_t child = fork();
    if (!child) {
        execl("/proc/self/exe", "process", text, NULL);
        _exit(9);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    close(fd);
}

/* -- signals -- */

/* A signal that comes before KVM_RUN does not end it. On a busy host the first may come so early, not the second. */
static void kick_by_timer(long us)
{
    const struct itimerval t = {.it_value.tv_usec = us, .it_interval.tv_usec = 300000};
    CHECK(!setitimer(ITIMER_REAL, &t, NULL));
}

static void no_timer(void)
{
    const struct itimerval none = {0};
    CHECK(!setitimer(ITIMER_REAL, &none, NULL));
}

static void test_kick(void)
{
    struct guest g = guest(spin, sizeof(spin));
    struct sigaction act = {.sa_handler = on_signal}, old;
    struct kvm_regs regs;
    unsigned long last = 0;
    CHECK(!sigaction(SIGALRM, &act, NULL));
    CHECK(!sigaction(SIGALRM, NULL, &old) && old.sa_handler == on_signal &&
          !(old.sa_flags & (SA_ONSTACK | SA_SIGINFO)));
    for (int i = 0; i < 200; i++) {
        int before = seen;
        kick_by_timer(500 + i);
        CHECK(ioctl(g.vcpu, KVM_RUN, 0) == -1 && errno == EINTR && g.run->exit_reason == KVM_EXIT_INTR);
        CHECK(seen > before);
        CHECK(!ioctl(g.vcpu, KVM_GET_REGS, &regs));
        CHECK(regs.rip >= GUEST_CODE_AT && regs.rip < GUEST_CODE_AT + sizeof(spin) && regs.rbx >= last);
        last = regs.rbx;
    }
    CHECK(last > 0);
    no_timer();
    g.run->immediate_exit = 1;
    CHECK(ioctl(g.vcpu, KVM_RUN, 0) == -1 && errno == EINTR);
    drop(&g);
}

static sigjmp_buf back;

static void on_jump(int sig)
{
    siglongjmp(back, 1);
}

/* A handler may leave by a jump: the vCPU is as if KVM_RUN had returned. */
static void test_jump(void)
{
    struct guest g = guest(spin, sizeof(spin));
    struct kvm_regs regs;
    signal(SIGALRM, on_jump);
    for (volatile int i = 0; i < 20; i++) {
        if (!sigsetjmp(back, 1)) {
            kick_by_timer(500);
            ioctl(g.vcpu, KVM_RUN, 0);
            CHECK(!"the handler jumps");
        }
        no_timer();
        CHECK(!ioctl(g.vcpu, KVM_GET_REGS, &regs));
    }
    drop(&g);
}

/* A signal that the thread blocks, but not while the vCPU runs, ends KVM_RUN and stays pending. */
static void test_mask(void)
{
    struct guest g = guest(spin, sizeof(spin));
    struct {
        struct kvm_signal_mask head;
        unsigned long mask;
    } __attribute__((packed)) arg = {{.len = 8}, 0};
    sigset_t usr, before, pending;
    sigemptyset(&usr);
    sigaddset(&usr, SIGUSR2);
    CHECK(!sigprocmask(SIG_BLOCK, &usr, &before));
    CHECK(!ioctl(g.vcpu, KVM_SET_SIGNAL_MASK, &arg));
    for (int i = 0; i < 20; i++) {
        kill(getpid(), SIGUSR2);
        CHECK(ioctl(g.vcpu, KVM_RUN, 0) == -1 && errno == EINTR);
        CHECK(!sigpending(&pending) && sigismember(&pending, SIGUSR2));
        siginfo_t info;
        CHECK(sigwaitinfo(&usr, &info) == SIGUSR2 && info.si_pid == getpid());
    }
    CHECK(!ioctl(g.vcpu, KVM_SET_SIGNAL_MASK, NULL));
    CHECK(!sigprocmask(SIG_SETMASK, &before, NULL));
    drop(&g);
}

/* A handler may use the VM, even if the signal came during an ioctl, and it may jump out of any ioctl. */
static struct guest used;
static volatile int jumps;

static void on_use(int sig)
{
    struct kvm_regs regs;
    CHECK(!ioctl(used.vcpu, KVM_GET_REGS, &regs));
    CHECK(ioctl(used.vm, KVM_GET_TSC_KHZ, 0) > 0);
    seen++;
    if (jumps)
        siglongjmp(back, 1);
}

static void test_use(void)
{
    const struct itimerval t = {.it_value.tv_usec = 100, .it_interval.tv_usec = 100};
    struct kvm_sregs sregs;
    used = guest(out, sizeof(out));
    signal(SIGALRM, on_use);
    for (jumps = 0; jumps < 2; jumps++) {
        volatile int begin = seen;
        CHECK(!setitimer(ITIMER_REAL, &t, NULL));
        while (seen < begin + 500)
            if (!sigsetjmp(back, 1)) {
                CHECK(!ioctl(used.vcpu, KVM_GET_SREGS, &sregs));
                CHECK(ioctl(used.vm, KVM_GET_TSC_KHZ, 0) > 0);
                ioctl(used.vcpu, KVM_RUN, 0);
            }
        no_timer();
    }
    drop(&used);
}

/* -- threads -- */

static void *run_once(void *opaque)
{
    struct guest *g = opaque;
    CHECK(!ioctl(g->vcpu, KVM_RUN, 0) && g->run->exit_reason == KVM_EXIT_IO);
    return NULL;
}

static void test_threads(void)
{
    struct guest g = guest(out, sizeof(out));
    for (int i = 0; i < 100; i++) {
        pthread_t t;
        CHECK(!pthread_create(&t, NULL, run_once, &g) && !pthread_join(t, NULL));
    }
    drop(&g);
}

static volatile bool waited;

/* On a busy host a signal may come before KVM_RUN, so signals come until it has ended. */
static void *kick_later(void *opaque)
{
    while (!waited) {
        usleep(30000);
        pthread_kill(*(pthread_t *)opaque, SIGUSR1);
    }
    return NULL;
}

/* An ioctl of another thread waits until the vCPU leaves KVM_RUN. */
static void *ask(void *opaque)
{
    struct kvm_regs *regs = malloc(sizeof(*regs));
    do {
        usleep(10000);
        CHECK(!ioctl(*(int *)opaque, KVM_GET_REGS, regs));
    } while (!regs->rbx);
    return regs;
}

static void test_wait(void)
{
    struct guest g = guest(spin, sizeof(spin));
    struct sigaction act = {.sa_handler = on_signal};
    pthread_t self = pthread_self(), asker, kicker;
    void *regs;
    CHECK(!sigaction(SIGUSR1, &act, NULL));
    CHECK(!pthread_create(&asker, NULL, ask, &g.vcpu) && !pthread_create(&kicker, NULL, kick_later, &self));
    CHECK(ioctl(g.vcpu, KVM_RUN, 0) == -1 && errno == EINTR);
    waited = true;
    CHECK(!pthread_join(asker, &regs) && !pthread_join(kicker, NULL));
    free(regs);
    drop(&g);
}

static void *run_spin(void *opaque)
{
    struct guest *g = opaque;
    return (void *)(ioctl(g->vcpu, KVM_RUN, 0) == -1 && errno == EINTR ? 1l : 0l);
}

/* Returns when the guest spins: nothing before that takes so much of a CPU's time. */
static pthread_t started(void *body(void *), struct guest *g)
{
    pthread_t t;
    clockid_t clock;
    struct timespec spent;
    CHECK(!pthread_create(&t, NULL, body, g) && !pthread_getcpuclockid(t, &clock));
    do
        usleep(1000);
    while (!clock_gettime(clock, &spent) && spent.tv_sec == 0 && spent.tv_nsec < 20000000);
    return t;
}

static bool was_interrupted(pthread_t t)
{
    void *result;
    CHECK(!pthread_join(t, &result));
    return result;
}

/* Handlers that libc installs without sigaction(), and those that old functions install. */
static void test_libc(void)
{
    struct guest g = guest(spin, sizeof(spin));
    int before = seen;
    pthread_t t = started(run_spin, &g);
    CHECK(!setgid(getgid()) && was_interrupted(t));
    CHECK(sigset(SIGUSR1, on_signal) != SIG_ERR);
    t = started(run_spin, &g);
    CHECK(!pthread_kill(t, SIGUSR1) && was_interrupted(t) && seen == before + 1);
    CHECK(!sigignore(SIGUSR1));
    t = started(run_spin, &g);
    CHECK(!pthread_kill(t, SIGUSR1));
    signal(SIGUSR2, on_signal);
    CHECK(!pthread_kill(t, SIGUSR2) && was_interrupted(t) && seen == before + 2);
    drop(&g);
}

#define QUEUED 2000

static int order[QUEUED];

static void on_queued(int sig, siginfo_t *info, void *context)
{
    order[seen++] = info->si_value.sival_int;
}

static void *run_queued(void *opaque)
{
    void *result = run_spin(opaque);
    while (seen < QUEUED)
        usleep(1000);
    return result;
}

/* All queued signals come, and in their order: so many that some come while the first makes the vCPU stop, and some
 * when its handler is about to run. */
static void test_queue(void)
{
    struct guest g = guest(spin, sizeof(spin));
    const struct sigaction act = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO};
    CHECK(!sigaction(SIGRTMIN + 1, &act, NULL));
    for (int round = 0; round < 5; round++) {
        seen = 0;
        pthread_t t = started(run_queued, &g);
        for (int i = 0; i < QUEUED; i++)
            CHECK(!pthread_sigqueue(t, SIGRTMIN + 1, (union sigval){.sival_int = i}));
        CHECK(was_interrupted(t));
        for (int i = 0; i < QUEUED; i++)
            CHECK(order[i] == i);
    }
    drop(&g);
}

static void *run_for_ever(void *opaque)
{
    struct guest *g = opaque;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (;;)
        ioctl(g->vcpu, KVM_RUN, 0);
    return NULL;
}

/* The vCPU of a thread that was cancelled is as if KVM_RUN had returned. */
static void test_cancel(void)
{
    struct guest g = guest(spin, sizeof(spin));
    for (int i = 0; i < 20; i++) {
        pthread_t t = started(run_for_ever, &g);
        void *result;
        CHECK(!pthread_cancel(t) && !pthread_join(t, &result) && result == PTHREAD_CANCELED);
        struct kvm_regs regs;
        CHECK(!ioctl(g.vcpu, KVM_GET_REGS, &regs) && regs.rip >= GUEST_CODE_AT &&
              regs.rip < GUEST_CODE_AT + sizeof(spin));
    }
    drop(&g);
}

static void test_stack(void)
{
    static char own[32768];
    const stack_t stack = {.ss_sp = own, .ss_size = sizeof(own)};
    stack_t now;
    struct guest g = guest(out, sizeof(out));
    CHECK(!sigaltstack(NULL, &now) && now.ss_flags == SS_DISABLE);
    CHECK(!ioctl(g.vcpu, KVM_RUN, 0));
    CHECK(!sigaltstack(NULL, &now) && now.ss_flags == SS_DISABLE);
    CHECK(!sigaltstack(&stack, NULL) && !ioctl(g.vcpu, KVM_RUN, 0));
    CHECK(!sigaltstack(NULL, &now) && now.ss_sp == own && now.ss_size == sizeof(own));
    drop(&g);
}

int main(int argc, char **argv)
{
    if (argc > 2)
        return !(ioctl(atoi(argv[2]), KVM_RUN, 0) == -1 && errno == EIO);
    if (argc > 1) {
        kvm = atoi(argv[1]);
        CHECK(ioctl(kvm, KVM_GET_API_VERSION, 0) == 12);
        struct guest g = guest(out, sizeof(out));
        CHECK(!ioctl(g.vcpu, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
        return 0;
    }
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    CHECK(kvm >= 0);
#define RUN(test)                                                                                                      \
    do {                                                                                                               \
        test();                                                                                                        \
        printf("ok %s\n", #test);                                                                                      \
        fflush(stdout);                                                                                                \
    } while (0)
    RUN(test_device);
    RUN(test_names);
    RUN(test_descriptors);
    RUN(test_passed);
    RUN(test_blind);
    RUN(test_addresses);
    RUN(test_fork);
    RUN(test_exec);
    RUN(test_kick);
    RUN(test_jump);
    RUN(test_mask);
    RUN(test_use);
    RUN(test_threads);
    RUN(test_wait);
    RUN(test_libc);
    RUN(test_queue);
    RUN(test_cancel);
    RUN(test_stack);
    RUN(test_many);
    return 0;
}
