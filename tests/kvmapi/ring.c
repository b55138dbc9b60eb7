/*
 * Dirty rings as the API's documentation has them: what is offered and refused, entries and their reset, and a guest
 * that fills the ring. The guest is real-mode code with 32-bit addresses. Prints "ok", or what was not as it should be.
 */
#include "guest.h"

#define PAGE 4096u
#define LOGGED 0x100000u /* slot 1 */
#define PAGES 1000u
#define ENTRIES 1024u
#define RING_SIZE (ENTRIES * sizeof(struct kvm_dirty_gfn))

/* Writes EDX pages from 1 MiB on, in each round. */
GUEST_CODE(writes, "16",
           "0: mov $0x100000, %ebx; mov %edx, %ecx; 1: incl (%ebx); add $4096, %ebx; dec %ecx; jnz 1b;"
           "out %al, $0x13; jmp 0b");

static int kvm, vm, vcpu;
static unsigned char *ram, *logged;
static struct kvm_dirty_gfn *ring;
static unsigned next; /* the entry to take next */

static long enable(unsigned cap, unsigned long size)
{
    struct kvm_enable_cap c = {.cap = cap, .args = {size}};
    return ioctl(vm, KVM_ENABLE_CAP, &c);
}

static void create(void)
{
    kvm = guest_kvm();
    vm = guest_vm(kvm);
    CHECK(ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING) == 65536 * (int)sizeof(struct kvm_dirty_gfn));
    FAILS(ioctl(vm, KVM_RESET_DIRTY_RINGS, 0), EINVAL);
    FAILS(enable(KVM_CAP_DIRTY_LOG_RING, 0), EINVAL);
    FAILS(enable(KVM_CAP_DIRTY_LOG_RING, RING_SIZE + PAGE), EINVAL);
    FAILS(enable(KVM_CAP_DIRTY_LOG_RING, RING_SIZE / 2), EINVAL);
    FAILS(enable(KVM_CAP_DIRTY_LOG_RING, 2 << 20), E2BIG);
    CHECK(!enable(KVM_CAP_DIRTY_LOG_RING_ACQ_REL, RING_SIZE));
    FAILS(enable(KVM_CAP_DIRTY_LOG_RING, RING_SIZE), EINVAL);
    ram = guest_memory(vm, 0, 0, 0x8000, 0);
    logged = guest_memory(vm, 1, LOGGED, PAGES * PAGE, KVM_MEM_LOG_DIRTY_PAGES);
}

static void start(void)
{
    vcpu = guest_vcpu(vm);
    run = guest_run(kvm, vcpu);
    off_t at = KVM_DIRTY_LOG_PAGE_OFFSET * PAGE;
    CHECK(mmap(NULL, RING_SIZE, PROT_READ, MAP_PRIVATE, vcpu, at) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, RING_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, vcpu, at) == MAP_FAILED && errno == EINVAL);
    ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, at);
    CHECK(ring != MAP_FAILED);
    guest_real_mode(vcpu, ~0u);
    PUT_CODE(ram + GUEST_CODE_AT, writes);
}

static void pages(unsigned count)
{
    struct kvm_regs r = {.rip = GUEST_CODE_AT, .rflags = 2, .rsp = GUEST_STACK, .rdx = count};
    CHECK(!ioctl(vcpu, KVM_SET_REGS, &r));
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
    CHECK(guest_go(vcpu) == KVM_EXIT_IO && take(0) == 300 && take(0) == 0);
    CHECK(guest_go(vcpu) == KVM_EXIT_IO && take(0) == 300);
    /* A page is reported once per epoch. */
    CHECK(guest_go(vcpu) == KVM_EXIT_IO && guest_go(vcpu) == KVM_EXIT_IO && take(0) == 300);
    CHECK(logged[0] == 4 && logged[299 * PAGE] == 4);
}

static void test_full(void)
{
    unsigned got = 0, exits = 0;
    memset(logged, 0, PAGES * PAGE);
    pages(PAGES);
    for (; guest_go(vcpu) == KVM_EXIT_DIRTY_RING_FULL; exits++) {
        CHECK(guest_go(vcpu) == KVM_EXIT_DIRTY_RING_FULL);
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
