/*
 * Dirty rings as the API's documentation has them: what is offered and refused, entries and their reset, and a guest
 * that fills the ring. The guest is real-mode code with 32-bit addresses. Prints "ok", or what was not as it should be.
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
#define FAILS(x, error) CHECK((x) < 0 && errno == (error))

#define PAGE 4096u
#define CODE 0x1000
#define LOGGED 0x100000u /* slot 1 */
#define PAGES 1000u
#define ENTRIES 1024u
#define RING_SIZE (ENTRIES * sizeof(struct kvm_dirty_gfn))

/* Writes EDX pages from 1 MiB on, in each round. */
extern const unsigned char writes_start[], writes_end[];
__asm__(".pushsection .rodata\n.code16\nwrites_start: mov $0x100000, %ebx; mov %edx, %ecx; 1: incl (%ebx);"
        "add $4096, %ebx; dec %ecx; jnz 1b; out %al, $0x13; jmp writes_start\nwrites_end:\n.code64\n.popsection");

static int kvm, vm, vcpu;
static struct kvm_run *run;
static unsigned char *ram, *logged;
static struct kvm_dirty_gfn *ring;
static unsigned next; /* entry to take */

static long enable(unsigned cap, unsigned long size)
{
    struct kvm_enable_cap c = {.cap = cap, .args = {size}};
    return ioctl(vm, KVM_ENABLE_CAP, &c);
}

static unsigned char *region(unsigned slot, unsigned long start, size_t size, unsigned flags)
{
    unsigned char *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region r = {.slot = slot,
                                            .flags = flags,
                                            .guest_phys_addr = start,
                                            .memory_size = size,
                                            .userspace_addr = (unsigned long)host};
    CHECK(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r));
    return host;
}

static void create(void)
{
    kvm = open("/dev/kvm", O_RDWR);
    CHECK(kvm >= 0);
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    CHECK(vm >= 0);
    CHECK(ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING) == 65536 * (int)sizeof(struct kvm_dirty_gfn));
    FAILS(ioctl(vm, KVM_RESET_DIRTY_RINGS, 0), EINVAL);
    FAILS(enable(KVM_CAP_DIRTY_LOG_RING, 0), EINVAL);
    FAILS(enable(KVM_CAP_DIRTY_LOG_RING, RING_SIZE + PAGE), EINVAL);
    FAILS(enable(KVM_CAP_DIRTY_LOG_RING, RING_SIZE / 2), EINVAL);
    FAILS(enable(KVM_CAP_DIRTY_LOG_RING, 2 << 20), E2BIG);
    CHECK(!enable(KVM_CAP_DIRTY_LOG_RING_ACQ_REL, RING_SIZE));
    FAILS(enable(KVM_CAP_DIRTY_LOG_RING, RING_SIZE), EINVAL);
    ram = region(0, 0, 0x8000, 0);
    logged = region(1, LOGGED, PAGES * PAGE, KVM_MEM_LOG_DIRTY_PAGES);
}

static void start(void)
{
    vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    CHECK(vcpu >= 0);
    run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    CHECK(run != MAP_FAILED);
    off_t at = KVM_DIRTY_LOG_PAGE_OFFSET * PAGE;
    CHECK(mmap(NULL, RING_SIZE, PROT_READ, MAP_PRIVATE, vcpu, at) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, RING_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, vcpu, at) == MAP_FAILED && errno == EINVAL);
    ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, at);
    CHECK(ring != MAP_FAILED);
    struct kvm_sregs s;
    CHECK(!ioctl(vcpu, KVM_GET_SREGS, &s));
    s.cs.base = s.cs.selector = 0;
    s.ds.limit = 0xffffffff;
    s.ds.g = 1;
    CHECK(!ioctl(vcpu, KVM_SET_SREGS, &s));
    memcpy(ram + CODE, writes_start, (size_t)(writes_end - writes_start));
}

static void pages(unsigned count)
{
    struct kvm_regs r = {.rip = CODE, .rflags = 2, .rsp = 0x7000, .rdx = count};
    CHECK(!ioctl(vcpu, KVM_SET_REGS, &r));
}

static unsigned go(void)
{
    alarm(20);
    CHECK(!ioctl(vcpu, KVM_RUN, 0));
    return run->exit_reason;
}

/* Takes what there is, which must be these pages in order, and ends their epoch. */
static unsigned take(unsigned first)
{
    unsigned n = 0;
    for (;; n++) {
        struct kvm_dirty_gfn *e = &ring[(next + n) % ENTRIES];
        if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
            break;
        CHECK(e->slot == 1 && e->offset == first + n);
        __atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
    }
    next += n;
    CHECK(ioctl(vm, KVM_RESET_DIRTY_RINGS, 0) == (int)n);
    return n;
}

static void test_epochs(void)
{
    unsigned long bitmap[PAGES / 64 + 1];
    struct kvm_dirty_log log = {.slot = 1, .dirty_bitmap = bitmap};
    FAILS(ioctl(vm, KVM_GET_DIRTY_LOG, &log), ENXIO);
    pages(300);
    CHECK(go() == KVM_EXIT_IO && take(0) == 300 && take(0) == 0);
    CHECK(go() == KVM_EXIT_IO && take(0) == 300);
    /* A page is reported once per epoch. */
    CHECK(go() == KVM_EXIT_IO && go() == KVM_EXIT_IO && take(0) == 300);
    CHECK(logged[0] == 4 && logged[299 * PAGE] == 4);
}

static void test_full(void)
{
    unsigned got = 0, exits = 0;
    memset(logged, 0, PAGES * PAGE);
    pages(PAGES);
    for (; go() == KVM_EXIT_DIRTY_RING_FULL; exits++) {
        CHECK(go() == KVM_EXIT_DIRTY_RING_FULL);
        got += take(got);
    }
    CHECK(run->exit_reason == KVM_EXIT_IO && exits == 2);
    got += take(got);
    CHECK(got == PAGES);
    for (unsigned i = 0; i < PAGES; i++)
        CHECK(logged[i * PAGE] == 1);
}

int main(void)
{
    create();
    start();
    test_epochs();
    test_full();
    puts("ok");
    return 0;
}
