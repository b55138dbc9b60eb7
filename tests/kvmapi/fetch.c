/*
 * A guest that has no code to run: KVM_EXIT_INTERNAL_ERROR as the kernel gives it, and what comes when the program goes
 * on. The guest is real-mode code. Prints "ok", or what was not as it should be.
 */
#include "guest.h"

#define RAM 0x8000u
#define CODE GUEST_CODE_AT
#define HANDLER 0x2000
#define NOWHERE 0x9000
#define UD 6

static int kvm, vm, vcpu;
static unsigned char *ram;

static void create(void)
{
    kvm = guest_kvm();
    vm = guest_vm(kvm);
    vcpu = guest_vcpu(vm);
    run = guest_run(kvm, vcpu);
}

static int no_code(void)
{
    return guest_go(vcpu) == KVM_EXIT_INTERNAL_ERROR &&
           run->emulation_failure.suberror == KVM_INTERNAL_ERROR_EMULATION && run->emulation_failure.ndata >= 1 &&
           !run->emulation_failure.flags;
}

static unsigned long rip(void)
{
    struct kvm_regs r;
    CHECK(!ioctl(vcpu, KVM_GET_REGS, &r));
    return r.rip;
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
    ram = guest_memory(vm, 0, 0, RAM, 0);
    memcpy(ram + CODE, code, sizeof(code));
    memcpy(ram + HANDLER, handler, sizeof(handler));
    memcpy(ram + 4 * UD, &(unsigned){HANDLER}, 4);
    struct kvm_vcpu_events none = {.flags = KVM_VCPUEVENT_VALID_SHADOW};
    CHECK(ud_waits() && !ioctl(vcpu, KVM_SET_VCPU_EVENTS, &none));
    guest_real_mode(vcpu, 0xffff);
    CHECK(no_code() && rip() == NOWHERE && ud_waits());
    /* A program that goes on all the same. */
    CHECK(guest_go(vcpu) == KVM_EXIT_IO && run->io.port == 0x11);
}

static void test_wanted(void)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = {1}};
    CHECK(!ioctl(vm, KVM_ENABLE_CAP, &c));
    guest_start_at(vcpu, CODE);
    CHECK(no_code() && rip() == NOWHERE && !ud_waits());
    CHECK(no_code() && rip() == NOWHERE);
    guest_start_at(vcpu, HANDLER);
    CHECK(guest_go(vcpu) == KVM_EXIT_IO && run->io.port == 0x11);
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
