/*
 * The probe of /dev/kvm. A throwaway VM with one CPU runs a little 64-bit ring 0 program that
 * leaves by a port write after each stage: a counting loop, SSE, LOCK CMPXCHG16B, stores. A KVM
 * that interprets ring 0 fails a stage or takes thousands of times longer than a CPU does; a
 * repeating timer signal bounds it all. Loops have rounds, of which the fastest counts: in a VM the
 * CPU may be away for a while, and the thread's CPU time does not show that.
 *
 * Called by accel_select and by `doctor`, on any thread without a VM of its own. A verdict that took a probe can be
 * kept in a file.
 */
#include "accel/probe.h"

#include "accel/hostcpu.h"
#include "accel/kvm.h"
#include "base/monotonic.h"
#include "x86/paging.h"
#include "x86/regs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LOOPS 2000
#define ROUNDS 5
#define LIMIT_NS 400000000ull
#define TICK_NS 20000000
/* For 1000 iterations. A CPU takes about 1 us and this engine a few; an interpreter takes
 * milliseconds. */
#define LOOP_LIMIT_NS 300000

#define MEMORY_SIZE 0x10000
#define CODE 0x1000
#define STACK 0x8000
#define PML4 0xa000
#define PDPT 0xb000
#define PD 0xc000
#define STAGE_PORT 0x80

enum stage { STAGE_START, STAGE_LOOP, STAGE_SSE, STAGE_CMPXCHG16B, STAGE_STORES, STAGE_COUNT };
static const char *const stage_name[STAGE_COUNT] = {
    "the first instruction", "a counting loop", "SSE", "LOCK CMPXCHG16B", "a loop of stores",
};

/* clang-format off */
static const u8 program[] = {
    0xb0, STAGE_START, 0xe6, STAGE_PORT,              /* mov al, START; out 0x80, al */
    0xbe, ROUNDS, 0, 0, 0,                            /* mov esi, ROUNDS */
    0xb9, LOOPS & 0xff, LOOPS >> 8, 0, 0,             /* 2: mov ecx, LOOPS */
    0xff, 0xc9, 0x75, 0xfc,                           /* 1: dec ecx; jnz 1b */
    0xb0, STAGE_LOOP, 0xe6, STAGE_PORT,
    0xff, 0xce, 0x75, 0xef,                           /* dec esi; jnz 2b */
    0x0f, 0x10, 0x44, 0x24, 0x80,                     /* movups xmm0, [rsp - 128] */
    0x66, 0x0f, 0xfe, 0xc0,                           /* paddd xmm0, xmm0 */
    0x0f, 0x29, 0x44, 0x24, 0x90,                     /* movaps [rsp - 112], xmm0 */
    0xb0, STAGE_SSE, 0xe6, STAGE_PORT,
    0x31, 0xc0, 0x31, 0xd2, 0x31, 0xdb,               /* xor eax, eax; xor edx, edx; xor ebx, ebx */
    0xf0, 0x48, 0x0f, 0xc7, 0x4c, 0x24, 0xa0,         /* lock cmpxchg16b [rsp - 96] */
    0xb0, STAGE_CMPXCHG16B, 0xe6, STAGE_PORT,
    0xbe, ROUNDS, 0, 0, 0,
    0xb9, LOOPS & 0xff, LOOPS >> 8, 0, 0,             /* 2: */
    0x48, 0x89, 0x4c, 0x24, 0xb0,                     /* 1: mov [rsp - 80], rcx */
    0xff, 0xc9, 0x75, 0xf7,                           /* dec ecx; jnz 1b */
    0xb0, STAGE_STORES, 0xe6, STAGE_PORT,
    0xff, 0xce, 0x75, 0xea,                           /* dec esi; jnz 2b */
    0xf4,                                             /* hlt */
};
/* clang-format on */

struct throwaway {
    int kvm, vm, vcpu;
    u8 *memory;
    struct kvm_run *run;
    size_t run_size;
    timer_t timer;
    bool has_timer;
};

static int failed(struct probe *p, const char *what)
{
    int code = errno ? -errno : -EIO;
    return error_set(&p->why, code, "/dev/kvm cannot make a VM (%s: %s)", what, strerror(-code));
}

/* Long mode, ring 0, the first 2 MiB mapped one to one, SSE on. */
static int registers_set(struct throwaway *t)
{
    struct kvm_sregs s;
    if (ioctl(t->vcpu, KVM_GET_SREGS, &s))
        return -1;
    u64 entry = PDPT | PTE_P | PTE_W;
    memcpy(t->memory + PML4, &entry, sizeof(entry));
    entry = PD | PTE_P | PTE_W;
    memcpy(t->memory + PDPT, &entry, sizeof(entry));
    entry = PTE_P | PTE_W | PTE_PS;
    memcpy(t->memory + PD, &entry, sizeof(entry));
    s.cs = (struct kvm_segment){.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    s.ds = s.es = s.ss = s.fs = s.gs =
        (struct kvm_segment){.limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    s.tr = (struct kvm_segment){.limit = 0x67, .selector = 24, .type = SYS_TSS_BUSY, .present = 1};
    s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_PG;
    s.cr3 = PML4;
    s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    s.efer = EFER_LME | EFER_LMA;
    struct kvm_regs r = {.rip = CODE, .rsp = STACK, .rflags = FLAG_ONE};
    memcpy(t->memory + CODE, program, sizeof(program));
    return ioctl(t->vcpu, KVM_SET_SREGS, &s) || ioctl(t->vcpu, KVM_SET_REGS, &r) ? -1 : 0;
}

static int timer_start(struct throwaway *t)
{
    kvm_kick_prepare();
    struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = KVM_KICK_SIGNAL};
    ev._sigev_un._tid = gettid();
    if (timer_create(CLOCK_MONOTONIC, &ev, &t->timer))
        return -1;
    t->has_timer = true;
    struct itimerspec tick = {{0, TICK_NS}, {0, TICK_NS}};
    return timer_settime(t->timer, 0, &tick, NULL);
}

static int make(struct throwaway *t, struct kvm_cpuid2 *cpuid, struct probe *p)
{
    errno = 0;
    t->vm = ioctl(t->kvm, KVM_CREATE_VM, 0);
    if (t->vm < 0)
        return failed(p, "KVM_CREATE_VM");
    if (ioctl(t->kvm, KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0 && ioctl(t->vm, KVM_SET_TSS_ADDR, 0xfeffd000ul))
        return failed(p, "KVM_SET_TSS_ADDR");
    t->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t->memory == MAP_FAILED) {
        t->memory = NULL;
        return failed(p, "memory");
    }
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY_SIZE,
                                                 .userspace_addr = (u64)(uintptr_t)t->memory};
    if (ioctl(t->vm, KVM_SET_USER_MEMORY_REGION, &region))
        return failed(p, "KVM_SET_USER_MEMORY_REGION");
    t->vcpu = ioctl(t->vm, KVM_CREATE_VCPU, 0ul);
    if (t->vcpu < 0)
        return failed(p, "KVM_CREATE_VCPU");
    int size = ioctl(t->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    t->run_size = size > 0 ? (size_t)size : sizeof(struct kvm_run);
    t->run = mmap(NULL, t->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, t->vcpu, 0);
    if (t->run == MAP_FAILED) {
        t->run = NULL;
        return failed(p, "its shared page");
    }
    if (ioctl(t->vcpu, KVM_SET_CPUID2, cpuid))
        return failed(p, "KVM_SET_CPUID2");
    if (registers_set(t))
        return failed(p, "64-bit mode");
    return timer_start(t) ? failed(p, "a timer") : 0;
}

static void unmake(struct throwaway *t)
{
    if (t->has_timer)
        timer_delete(t->timer);
    if (t->run)
        munmap(t->run, t->run_size);
    if (t->vcpu >= 0)
        close(t->vcpu);
    if (t->vm >= 0)
        close(t->vm);
    if (t->memory)
        munmap(t->memory, MEMORY_SIZE);
    close(t->kvm);
}

/* Runs to the next stage: its number; -1 when the deadline passed, -2 when KVM gave up. */
static int next_stage(struct throwaway *t, u64 deadline)
{
    for (;;) {
        if (ioctl(t->vcpu, KVM_RUN, 0)) {
            if (errno != EINTR && errno != EAGAIN)
                return -2;
        } else if (t->run->exit_reason == KVM_EXIT_IO && t->run->io.port == STAGE_PORT) {
            return ((u8 *)t->run)[t->run->io.data_offset];
        } else if (t->run->exit_reason != KVM_EXIT_INTR) {
            return -2;
        }
        if (monotonic_ns() > deadline)
            return -1;
    }
}

static void run_stages(struct throwaway *t, struct probe *p)
{
    static const char advice[] = "it is a paravirtual one that does not run kernels";
    u64 deadline = monotonic_ns() + LIMIT_NS, last = 0;
    for (int stage = STAGE_START; stage < STAGE_COUNT; stage++) {
        bool loops = stage == STAGE_LOOP || stage == STAGE_STORES;
        u64 least = UINT64_MAX;
        for (int round = 0; round < (loops ? ROUNDS : 1); round++) {
            int got = next_stage(t, deadline);
            u64 now = clock_now_ns(CLOCK_THREAD_CPUTIME_ID); /* whatever else the host is busy with */
            if (got != stage) {
                error_set(&p->why, 0, "/dev/kvm %s at %s in ring 0: %s", got == -1 ? "takes too long" : "gives up",
                          stage_name[stage], advice);
                return;
            }
            least = now - last < least ? now - last : least;
            last = now;
        }
        u64 loop_ns = least * 1000 / LOOPS;
        if (stage == STAGE_LOOP)
            p->loop_ns = loop_ns ? (u32)loop_ns : 1;
        if (loops && loop_ns > LOOP_LIMIT_NS) {
            error_set(&p->why, 0, "/dev/kvm interprets ring 0, %llu ns per iteration of %s: %s",
                      (unsigned long long)loop_ns / 1000, stage_name[stage], advice);
            return;
        }
    }
    p->usable = true;
    error_set(&p->why, 0, "/dev/kvm runs ring 0 code at full speed");
}

/* -- what an earlier probe found -- */

#define KEY_MAX 512
#define NO_KEPT_SECONDS 3600 /* a busy host may have been the reason */

/* Names the boot, the kernel, the CPU and the device. Returns false if the host does not say them. */
static bool key_of(char key[static KEY_MAX])
{
    char boot[40] = "";
    struct utsname os;
    struct hostcpu cpu;
    struct stat device;
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    bool known = f && fscanf(f, "%39s", boot) == 1 && !uname(&os) && !stat("/dev/kvm", &device);
    if (f)
        fclose(f);
    if (!known)
        return false;
    hostcpu_read(&cpu);
    snprintf(key, KEY_MAX, "%s %.64s %.64s %s %s %llx", boot, os.release, os.version, cpu.vendor, cpu.brand,
             (unsigned long long)device.st_rdev);
    return true;
}

/* The file has a line with the key, and one with the verdict: usable, time of a loop, text. */
static bool recall(const char *file, const char *key, struct probe *p)
{
    char first[KEY_MAX + 1] = "", second[sizeof(p->why.text) + 32] = "";
    int usable, at = 0;
    struct stat st;
    FILE *f = fopen(file, "re");
    bool read = f && !fstat(fileno(f), &st) && st.st_uid == geteuid() && !(st.st_mode & 022) &&
                fgets(first, sizeof(first), f) && fgets(second, sizeof(second), f);
    if (f)
        fclose(f);
    first[strcspn(first, "\n")] = second[strcspn(second, "\n")] = 0;
    if (!read || strcmp(first, key) != 0 || sscanf(second, "%d %u %n", &usable, &p->loop_ns, &at) != 2 || !at)
        return false;
    if (!usable && llabs((long long)(time(NULL) - st.st_mtime)) > NO_KEPT_SECONDS) /* clocks are set back, too */
        return false;
    p->usable = usable;
    error_set(&p->why, 0, "%s", second + at);
    return true;
}

static void keep(const char *file, const char *key, const struct probe *p)
{
    char draft[PATH_MAX];
    snprintf(draft, sizeof(draft), "%.4000s.%d", file, (int)getpid());
    int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    bool written = dprintf(fd, "%s\n%d %u %s\n", key, p->usable, p->loop_ns, p->why.text) > 0;
    if (close(fd) || !written || rename(draft, file))
        unlink(draft);
}

void probe_kvm_kept(const char *file, struct probe *p)
{
    *p = (struct probe){0};
    struct throwaway t = {.vm = -1, .vcpu = -1};
    char key[KEY_MAX];
    bool keeps = file && key_of(key);
    t.kvm = kvm_open(&p->why);
    if (t.kvm < 0)
        return;
    struct kvm_cpuid2 *cpuid = kvm_supported_cpuid(t.kvm);
    if (!cpuid) {
        failed(p, "KVM_GET_SUPPORTED_CPUID");
    } else {
        p->nests_intel = kvm_nests(cpuid, NESTED_INTEL);
        p->nests_amd = kvm_nests(cpuid, NESTED_AMD);
        if (!keeps || !recall(file, key, p)) {
            if (!make(&t, cpuid, p))
                run_stages(&t, p);
            if (keeps && !p->why.code)
                keep(file, key, p);
        }
    }
    unmake(&t);
    free(cpuid);
}

void probe_kvm(struct probe *p)
{
    probe_kvm_kept(NULL, p);
}
