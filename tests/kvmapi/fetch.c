/*
 * A guest that has no code to run: KVM_EXIT_INTERNAL_ERROR as the kernel gives it, and what comes when the program goes
 * on. The guest is real-mode code. Prints "ok", or what was not as it should be.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(x)                                                                                                       \
    do {                                                                                                               \
        if (!(x)) {                                                                                                    \
            printf("line %d: %s, errno %s, exit reason %u\n", __LINE__, #x, strerror(errno),                           \
                   run ? run->exit_reason : 0);                                                                        \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define RAM 0x8000u
#define CODE 0x1000
#define HANDLER 0x2000
#define NOWHERE 0x9000
#define UD 6

static int kvm, vm, vcpu;
static struct kvm_run *run;
static unsigned char *ram;

static void create(void)
{
    kvm = open("/dev/kvm", O_RDWR);
    CHECK(kvm >= 0);
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    CHECK(vm >= 0 && vcpu >= 0);
    run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    CHECK(run != MAP_FAILED);
}

static unsigned go(void)
{
    alarm(10);
    CHECK(!ioctl(vcpu, KVM_RUN, 0));
    return run->exit_reason;
}

static int no_code(void)
{
    return go() == KVM_EXIT_INTERNAL_ERROR && run->emulation_failure.suberror == KVM_INTERNAL_ERROR_EMULATION &&
           run->emulation_failure.ndata >= 1 && !run->emulation_failure.flags;
}

static unsigned long rip(void)
{
    struct kvm_regs r;
    CHECK(!ioctl(vcpu, KVM_GET_REGS, &r));
    return r.rip;
}

static void rip_set(unsigned long to)
{
    struct kvm_regs r = {.rip = to, .rflags = 2, .rsp = 0x7000};
    CHECK(!ioctl(vcpu, KVM_SET_REGS, &r));
}

static int ud_waits(void)
{
    struct kvm_vcpu_events e;
    CHECK(!ioctl(vcpu, KVM_GET_VCPU_EVENTS, &e));
    return (e.exception.pending || e.exception.injected) && e.exception.nr == UD;
}

static void test_no_memory(void)
{
    CHECK(no_code() && rip() == 0xfff0);
}

static void test_jump(void)
{
    static const unsigned char code[] = {0xe9, 0xfd, 0x7f}, handler[] = {0xe6, 0x11}; /* JMP 9000h; OUT 11h, AL */
    ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region region = {.memory_size = RAM, .userspace_addr = (unsigned long)ram};
    CHECK(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
    memcpy(ram + CODE, code, sizeof(code));
    memcpy(ram + HANDLER, handler, sizeof(handler));
    memcpy(ram + 4 * UD, &(unsigned){HANDLER}, 4);
    struct kvm_sregs s;
    CHECK(!ioctl(vcpu, KVM_GET_SREGS, &s));
    s.cs.base = s.cs.selector = 0;
    CHECK(!ioctl(vcpu, KVM_SET_SREGS, &s));
    struct kvm_vcpu_events none = {.flags = KVM_VCPUEVENT_VALID_SHADOW};
    CHECK(ud_waits() && !ioctl(vcpu, KVM_SET_VCPU_EVENTS, &none));
    rip_set(CODE);
    CHECK(no_code() && rip() == NOWHERE && ud_waits());
    /* A program that goes on all the same. */
    CHECK(go() == KVM_EXIT_IO && run->io.port == 0x11);
}

static void test_wanted(void)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = {1}};
    CHECK(!ioctl(vm, KVM_ENABLE_CAP, &c));
    rip_set(CODE);
    CHECK(no_code() && rip() == NOWHERE && !ud_waits());
    CHECK(no_code() && rip() == NOWHERE);
    rip_set(HANDLER);
    CHECK(go() == KVM_EXIT_IO && run->io.port == 0x11);
}

int main(void)
{
    create();
    test_no_memory();
    test_jump();
    test_wanted();
    puts("ok");
    return 0;
}
