/*
 * For the programs of this folder: a check that ends the program, and the steps to a guest in real mode, written after
 * the API's documentation like the programs themselves. Each program includes it once.
 */
#ifndef TESTS_KVMAPI_GUEST_H
#define TESTS_KVMAPI_GUEST_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST_CODE_AT 0x1000u /* where its code lies, in segment 0 */
#define GUEST_STACK 0x7000u

/* Ends the program and prints the condition, if it does not hold. */
#define CHECK(x)                                                                                                       \
    do {                                                                                                               \
        if (!(x))                                                                                                      \
            guest_fail(__LINE__, #x);                                                                                  \
    } while (0)
#define FAILS(x, error) CHECK((x) < 0 && errno == (error))

/* Assembles code of the guest, which PUT_CODE() copies. */
#define GUEST_CODE(name, bits, text)                                                                                   \
    extern const unsigned char name##_start[], name##_end[];                                                           \
    __asm__(".pushsection .rodata\n.code" bits "\n" #name "_start:\n" text "\n" #name "_end:\n.code64\n.popsection")
#define PUT_CODE(to, name) memcpy((to), name##_start, (size_t)(name##_end - name##_start))

/* What the vCPU shares with the program. CHECK() prints its last exit; a program of many vCPUs leaves it NULL. */
static struct kvm_run *run;

static inline void guest_fail(int line, const char *what)
{
    printf("line %d: %s, errno %s", line, what, strerror(errno));
    if (run)
        printf(", exit reason %u", run->exit_reason);
    if (run && run->exit_reason == KVM_EXIT_IO)
        printf(", port %#x", run->io.port);
    if (run && run->exit_reason == KVM_EXIT_DEBUG)
        printf(", pc %#llx, DR6 %#llx", run->debug.arch.pc, run->debug.arch.dr6);
    printf("\n");
    exit(1);
}

static inline int guest_kvm(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    CHECK(kvm >= 0);
    return kvm;
}

static inline int guest_vm(int kvm)
{
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    CHECK(vm >= 0);
    return vm;
}

/* Gives the VM zeroed memory. */
static inline unsigned char *guest_memory(int vm, unsigned slot, unsigned long start, size_t size, unsigned flags)
{
    unsigned char *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(host != MAP_FAILED);
    struct kvm_userspace_memory_region region = {.slot = slot,
                                                 .flags = flags,
                                                 .guest_phys_addr = start,
                                                 .memory_size = size,
                                                 .userspace_addr = (unsigned long)host};
    CHECK(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
    return host;
}

static inline int guest_vcpu(int vm)
{
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    CHECK(vcpu >= 0);
    return vcpu;
}

static inline size_t guest_run_size(int kvm)
{
    return (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
}

static inline struct kvm_run *guest_run(int kvm, int vcpu)
{
    struct kvm_run *shared = mmap(NULL, guest_run_size(kvm), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    CHECK(shared != MAP_FAILED);
    return shared;
}

static inline void guest_start_at(int vcpu, unsigned long rip)
{
    struct kvm_regs regs = {.rip = rip, .rflags = 2, .rsp = GUEST_STACK};
    CHECK(!ioctl(vcpu, KVM_SET_REGS, &regs));
}

/* Sets the vCPU to GUEST_CODE_AT in real mode; the data segment ends at this limit. */
static inline void guest_real_mode(int vcpu, unsigned data_limit)
{
    struct kvm_sregs s;
    CHECK(!ioctl(vcpu, KVM_GET_SREGS, &s));
    s.cs.base = s.cs.selector = 0;
    s.ds.limit = data_limit;
    s.ds.g = data_limit > 0xffff;
    CHECK(!ioctl(vcpu, KVM_SET_SREGS, &s));
    guest_start_at(vcpu, GUEST_CODE_AT);
}

/* Runs the vCPU to its next exit, which must come within 20 s. */
static inline unsigned guest_go(int vcpu)
{
    alarm(20);
    CHECK(!ioctl(vcpu, KVM_RUN, 0));
    return run->exit_reason;
}

#endif
