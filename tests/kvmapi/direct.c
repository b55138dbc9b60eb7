/*
 * User code of a guest runs in processes (NESTBOX_KVM_DIRECT=on, docs/direct.md): signals stop it, its registers are
 * the vCPU's, the dirty log misses no write, a hole in memory is empty for it, another thread may run the vCPU, and
 * userfaultfd ends it.
 */
#include "guest.h"

#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>

#define RAM 0x400000ul
#define TABLES 0x10000ul
#define GDT 0x22000ul
#define CODE 0x100000ul
#define DATA 0x200000ul /* the guest counts in its first page */
#define SLOT 0

GUEST_CODE(count, "64", "1: incq (%rdi)\n jmp 1b");

static unsigned char *ram;
static int memory, vm, vcpu;

static void put(unsigned long at, unsigned long value)
{
    memcpy(ram + at, &value, sizeof(value));
}

static unsigned long counter(void)
{
    return __atomic_load_n((unsigned long *)(ram + DATA), __ATOMIC_RELAXED);
}

static void region(unsigned flags)
{
    struct kvm_userspace_memory_region r = {
        .slot = SLOT, .flags = flags, .memory_size = RAM, .userspace_addr = (unsigned long)ram};
    CHECK(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r));
}

/* Pages for users, one to one; accessed and dirty bits are clear. */
static void tables(void)
{
    put(TABLES, (TABLES + 0x1000) | 7);
    put(TABLES + 0x1000, (TABLES + 0x2000) | 7);
    for (unsigned long i = 0; i < 2; i++) {
        put(TABLES + 0x2000 + i * 8, (TABLES + 0x3000 + i * 0x1000) | 7);
        for (unsigned long n = 0; n < 512; n++)
            put(TABLES + 0x3000 + i * 0x1000 + n * 8, (i << 21 | n << 12) | 7);
    }
    put(GDT + 0x20, 0x00cffa000000ffff);
    put(GDT + 0x28, 0x00cff2000000ffff);
    put(GDT + 0x30, 0x00affa000000ffff);
}

static unsigned long xcr0(void)
{
    unsigned a, d;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a | (unsigned long)d << 32;
}

/* A user of Linux. */
static void user(int kvm)
{
    struct kvm_sregs s;
    struct kvm_cpuid2 *id = calloc(1, sizeof(*id) + 256 * sizeof(id->entries[0]));
    id->nent = 256;
    CHECK(!ioctl(kvm, KVM_GET_SUPPORTED_CPUID, id));
    CHECK(!ioctl(vcpu, KVM_SET_CPUID2, id));
    CHECK(!ioctl(vcpu, KVM_GET_SREGS, &s));
    s.cs = (struct kvm_segment){
        .limit = ~0u, .selector = 0x33, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1};
    s.ss = (struct kvm_segment){
        .limit = ~0u, .selector = 0x2b, .type = 3, .present = 1, .dpl = 3, .s = 1, .db = 1, .g = 1};
    s.ds = s.es = s.fs = s.gs = (struct kvm_segment){.unusable = 1};
    s.gdt = (struct kvm_dtable){.base = GDT, .limit = 0x37};
    s.cr0 = 0x80050033;
    s.cr3 = TABLES;
    s.cr4 = 0x50620; /* PAE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE */
    s.efer = 0xd01;
    CHECK(!ioctl(vcpu, KVM_SET_SREGS, &s));
    struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs[0] = {.value = xcr0()}};
    CHECK(!ioctl(vcpu, KVM_SET_XCRS, &x));
    struct kvm_regs r = {.rip = CODE, .rdi = DATA, .rflags = 0x202, .rsp = DATA + 0x8000};
    CHECK(!ioctl(vcpu, KVM_SET_REGS, &r));
    free(id);
}

/* Children of this thread. */
static bool has_processes(void)
{
    char path[64], text[16];
    snprintf(path, sizeof(path), "/proc/self/task/%ld/children", syscall(SYS_gettid));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool some = fd >= 0 && read(fd, text, sizeof(text)) > 0;
    close(fd);
    return some;
}

static void on_timer(int sig)
{
}

/* Runs the vCPU until a signal comes, in the middle of user code; the counter must go on. */
static void go(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct itimerspec again = {.it_value = {.tv_nsec = 30000000}, .it_interval = {.tv_nsec = 30000000}};
    timer_t timer;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    unsigned long before = counter();
    CHECK(!timer_create(CLOCK_MONOTONIC, &event, &timer) && !timer_settime(timer, 0, &again, NULL));
    for (int i = 0; i < 200 && counter() == before; i++) {
        FAILS(ioctl(vcpu, KVM_RUN, 0), EINTR);
        CHECK(run->exit_reason == KVM_EXIT_INTR);
    }
    timer_delete(timer);
    CHECK(counter() > before);
    struct kvm_regs r;
    CHECK(!ioctl(vcpu, KVM_GET_REGS, &r));
    CHECK(r.rip >= CODE && r.rip < CODE + 8 && r.rdi == DATA && r.rsp == DATA + 0x8000);
}

/* The first time what another thread left is found of no use. */
static void *other_thread(void *opaque)
{
    go();
    go();
    CHECK(has_processes());
    return NULL;
}

static void dirty_log(void)
{
    unsigned long bits[RAM / 4096 / 64];
    struct kvm_dirty_log log = {.slot = SLOT, .dirty_bitmap = bits};
    region(KVM_MEM_LOG_DIRTY_PAGES);
    for (int i = 0; i < 4; i++) {
        go();
        CHECK(!ioctl(vm, KVM_GET_DIRTY_LOG, &log));
        CHECK(bits[DATA / 4096 / 64] & 1);
    }
    CHECK(!ioctl(vm, KVM_GET_DIRTY_LOG, &log));
    CHECK(!(bits[DATA / 4096 / 64] & 1));
    region(0);
}

int main(void)
{
    setenv("NESTBOX_KVM_DIRECT", "on", 1);
    signal(SIGUSR1, on_timer);
    alarm(100);
    memory = memfd_create("guest", MFD_CLOEXEC);
    CHECK(memory >= 0 && !ftruncate(memory, RAM));
    ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    CHECK(ram != MAP_FAILED);
    tables();
    PUT_CODE(ram + CODE, count);
    int kvm = guest_kvm();
    vm = guest_vm(kvm);
    region(0);
    vcpu = guest_vcpu(vm);
    run = guest_run(kvm, vcpu);
    user(kvm);
    go();
    if (!has_processes()) {
        printf("no direct execution here: see nestbox doctor\n");
        return 77;
    }
    dirty_log();
    CHECK(has_processes());

    unsigned long before = counter();
    CHECK(!fallocate(memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, DATA, 4096));
    CHECK(!counter());
    for (int i = 0; i < 3; i++)
        go();
    run->immediate_exit = 1;
    FAILS(ioctl(vcpu, KVM_RUN, 0), EINTR);
    run->immediate_exit = 0;
    printf("counted to %lu, and to %lu\n", before, counter());

    pthread_t thread;
    CHECK(!pthread_create(&thread, NULL, other_thread, NULL) && !pthread_join(thread, NULL));
    go();
    go();
    CHECK(has_processes());

    FAILS(ioctl(-1, UFFDIO_REGISTER, NULL), EBADF);
    go();
    CHECK(!has_processes());
    return 0;
}
