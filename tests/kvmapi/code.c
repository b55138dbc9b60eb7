/*
 * The program writes guest code that ran before, while the vCPU is out or runs: by its own mapping, by another mapping
 * of the same memory, by another thread, beside data that the guest writes. The guest has no paging, so that the
 * mapping of the code stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(x)                                                                                                       \
    do {                                                                                                               \
        if (!(x)) {                                                                                                    \
            printf("line %d: %s, errno %s\n", __LINE__, #x, strerror(errno));                                          \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

#define RAM_SIZE 0x10000u
#define ALIAS 0x20000u /* where a second slot shows the same memory */
#define CODE 0x1000u
#define FUNCTION 0x3000u
#define DATA 0x3010u /* in the same line of the cache */
#define DONE 0x4000u
#define ROUNDS 300u

static unsigned char *ram, *other; /* two mappings */
static struct kvm_run *run;
static int kvm, vm, vcpu;

/* mov ax, value; ret */
static void function_write(unsigned char *memory, unsigned value)
{
    memory[FUNCTION + 1] = (unsigned char)value;
    memory[FUNCTION + 2] = (unsigned char)(value >> 8);
    memory[FUNCTION] = 0xb8;
    memory[FUNCTION + 3] = 0xc3;
}

/* Runs to the next access of port 10h. Returns the data of the access, or NULL if something else comes. */
static unsigned short *to_port(void)
{
    if (ioctl(vcpu, KVM_RUN, 0) || run->exit_reason != KVM_EXIT_IO || run->io.port != 0x10 || run->io.size != 2)
        return NULL;
    return (unsigned short *)((char *)run + run->io.data_offset);
}

static int start(const unsigned char *code, unsigned size)
{
    memcpy(ram + CODE, code, size);
    function_write(ram, 0);
    struct kvm_sregs sregs;
    CHECK(!ioctl(vcpu, KVM_GET_SREGS, &sregs));
    sregs.cs.base = sregs.cs.selector = 0;
    CHECK(!ioctl(vcpu, KVM_SET_SREGS, &sregs));
    struct kvm_regs regs = {.rip = CODE, .rsp = 0x8000, .rflags = 2};
    CHECK(!ioctl(vcpu, KVM_SET_REGS, &regs));
    return 0;
}

/* again: call FUNCTION; inc word [DATA]; out 10h, ax; jmp again */
static const unsigned char writes_port[] = {0xe8, 0xfd, 0x1f, 0xff, 0x06, 0x10, 0x30, 0xe7, 0x10, 0xeb, 0xf5};
/* again: call FUNCTION; inc word [DATA]; mov bx, ax; in ax, 10h; jmp again */
static const unsigned char reads_port[] = {0xe8, 0xfd, 0x1f, 0xff, 0x06, 0x10, 0x30,
                                           0x89, 0xc3, 0xe5, 0x10, 0xeb, 0xf3};

static int between_exits(unsigned char *memory)
{
    if (start(writes_port, sizeof(writes_port)))
        return 1;
    memset(ram + DATA, 0, 2);
    for (unsigned i = 0; i < ROUNDS; i++) {
        const unsigned short *data = to_port();
        CHECK(data && *data == i);
        function_write(memory, i + 1);
    }
    CHECK(ram[DATA] == (ROUNDS & 0xff) && ram[DATA + 1] == ROUNDS >> 8);
    if (start(reads_port, sizeof(reads_port)))
        return 1;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct kvm_regs regs;
        CHECK(to_port() && !ioctl(vcpu, KVM_GET_REGS, &regs));
        CHECK((regs.rbx & 0xffff) == i);
        function_write(memory, i + 1);
    }
    return 0;
}

static unsigned asked; /* [a] */

static void *serve(void *arg)
{
    for (unsigned i = 1; i <= ROUNDS; i++) {
        while (__atomic_load_n(&asked, __ATOMIC_SEQ_CST) != i)
            sched_yield();
        function_write(other, i);
        __atomic_store_n((unsigned short *)(other + DONE), (unsigned short)i, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* again: call FUNCTION; out 10h, ax; inc cx; wait: cmp [DONE], cx; jne wait; jmp again */
static const unsigned char polls_memory[] = {0xe8, 0xfd, 0x1f, 0xe7, 0x10, 0x41, 0x39,
                                             0x0e, 0x00, 0x40, 0x75, 0xfa, 0xeb, 0xf2};

static int by_thread(void)
{
    pthread_t thread;
    unsigned short *done = (unsigned short *)(ram + DONE);
    *done = 0;
    if (start(polls_memory, sizeof(polls_memory)))
        return 1;
    CHECK(!pthread_create(&thread, NULL, serve, NULL));
    for (unsigned i = 0; i < ROUNDS; i++) {
        const unsigned short *data = to_port();
        CHECK(data && *data == i);
        __atomic_store_n(&asked, i + 1, __ATOMIC_SEQ_CST);
    }
    pthread_join(thread, NULL);
    return 0;
}

/* again: call FUNCTION; out 10h, ax; inc word es:[FUNCTION + 1]; jmp again. ES shows the second slot. */
static const unsigned char writes_alias[] = {0xe8, 0xfd, 0x1f, 0xe7, 0x10, 0x26, 0xff, 0x06, 0x01, 0x30, 0xeb, 0xf4};

static int by_alias(void)
{
    if (start(writes_alias, sizeof(writes_alias)))
        return 1;
    struct kvm_sregs sregs;
    CHECK(!ioctl(vcpu, KVM_GET_SREGS, &sregs));
    sregs.es.base = ALIAS;
    sregs.es.selector = ALIAS >> 4;
    CHECK(!ioctl(vcpu, KVM_SET_SREGS, &sregs));
    for (unsigned i = 0; i < ROUNDS; i++) {
        const unsigned short *data = to_port();
        CHECK(data && *data == i);
    }
    return 0;
}

int main(void)
{
    int memory = memfd_create("ram", MFD_CLOEXEC);
    CHECK(memory >= 0 && !ftruncate(memory, RAM_SIZE));
    ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    other = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    CHECK(ram != MAP_FAILED && other != MAP_FAILED);
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    CHECK(kvm >= 0);
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    CHECK(vm >= 0);
    for (unsigned slot = 0; slot < 2; slot++) {
        struct kvm_userspace_memory_region region = {.slot = slot,
                                                     .guest_phys_addr = slot * ALIAS,
                                                     .memory_size = RAM_SIZE,
                                                     .userspace_addr = (unsigned long)ram};
        CHECK(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
    }
    vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    CHECK(vcpu >= 0);
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    CHECK(run != MAP_FAILED);
    if (between_exits(ram) || between_exits(other) || by_thread() || by_alias())
        return 1;
    printf("ok\n");
    return 0;
}
