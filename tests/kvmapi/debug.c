/*
 * Guest debugging as the API's documentation has it: INT3, single steps, breakpoints, watchpoints and injected
 * exceptions. The guest is real-mode code. Prints "ok", or what was not as it should be.
 */
#include "guest.h"

#define RAM 0x8000u
#define CODE GUEST_CODE_AT
#define DATA 0x3000
#define HANDLER_DB 0x2000
#define HANDLER_BP 0x2010
#define VECTOR_DB 1
#define VECTOR_BP 3
#define DR6_FIXED 0xffff0ff0ull
#define DR6_BS 0x4000ull
#define DR7_FIXED 0x400ull
#define DR7_L0 1ull
#define DR7_WRITE_4 (0xdull << 16) /* of breakpoint 0 */

static const unsigned char code[] = {
    0xb8, 0x34, 0x12,       /* 1000: mov ax, 1234h */
    0x66, 0xa3, 0x00, 0x30, /* 1003: mov [3000h], eax */
    0x90,                   /* 1007: nop */
    0xcc,                   /* 1008: int3, which the guest has itself */
    0xe4, 0x11,             /* 1009: in al, 11h */
    0xe6, 0x10,             /* 100b: out 10h, al */
    0xf4,                   /* 100d: hlt */
};
static const unsigned char handler[] = {0x43, 0xcf}; /* inc bx; iret */

static int vcpu;
static unsigned char *ram;

static void debug(unsigned control, unsigned long long dr0, unsigned long long dr7)
{
    struct kvm_guest_debug d = {.control = control, .arch.debugreg = {dr0, 0, 0, 0, 0, 0, 0, DR7_FIXED | dr7}};
    CHECK(!ioctl(vcpu, KVM_SET_GUEST_DEBUG, &d));
}

static int stops(unsigned vector, unsigned long long pc, unsigned long long dr6)
{
    return !ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_DEBUG && run->debug.arch.exception == vector &&
           run->debug.arch.pc == pc && (vector == VECTOR_BP || run->debug.arch.dr6 == (DR6_FIXED | dr6));
}

static unsigned handled(void)
{
    struct kvm_regs regs;
    CHECK(!ioctl(vcpu, KVM_GET_REGS, &regs));
    return (unsigned)regs.rbx;
}

int main(void)
{
    int kvm = guest_kvm(), vm = guest_vm(kvm);
    ram = guest_memory(vm, 0, 0, RAM, 0);
    memcpy(ram + CODE, code, sizeof(code));
    memcpy(ram + HANDLER_DB, handler, sizeof(handler));
    memcpy(ram + HANDLER_BP, handler, sizeof(handler));
    memcpy(ram + 4 * VECTOR_DB, &(unsigned){HANDLER_DB}, 4);
    memcpy(ram + 4 * VECTOR_BP, &(unsigned){HANDLER_BP}, 4);
    vcpu = guest_vcpu(vm);
    run = guest_run(kvm, vcpu);
    CHECK(ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG) == 1);
    guest_real_mode(vcpu, 0xffff);

    /* INT3 that the program puts there and takes away again. */
    guest_start_at(vcpu, CODE);
    ram[CODE + 7] = 0xcc;
    debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP, 0, 0);
    CHECK(stops(VECTOR_BP, CODE + 7, 0));
    CHECK(stops(VECTOR_BP, CODE + 7, 0));
    ram[CODE + 7] = 0x90;
    CHECK(stops(VECTOR_BP, CODE + 8, 0));
    debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_INJECT_BP, 0, 0);
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_IO);
    CHECK(handled() == 1);

    /* Single steps, also over an access that the program answers. */
    guest_start_at(vcpu, CODE);
    debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ, 0, 0);
    CHECK(!ioctl(vcpu, KVM_RUN, 0));
    guest_start_at(vcpu, CODE);
    CHECK(stops(VECTOR_DB, CODE + 3, DR6_BS));
    CHECK(stops(VECTOR_DB, CODE + 7, DR6_BS));
    CHECK(stops(VECTOR_DB, CODE + 8, DR6_BS));
    CHECK(stops(VECTOR_DB, HANDLER_BP, DR6_BS));
    CHECK(stops(VECTOR_DB, HANDLER_BP + 1, DR6_BS));
    CHECK(stops(VECTOR_DB, CODE + 9, DR6_BS));
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_IN);
    CHECK(stops(VECTOR_DB, CODE + 11, DR6_BS));
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT);
    CHECK(stops(VECTOR_DB, CODE + 13, DR6_BS));

    /* A breakpoint and a watchpoint. */
    guest_start_at(vcpu, CODE);
    debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, CODE + 7, DR7_L0);
    CHECK(stops(VECTOR_DB, CODE + 7, 1));
    guest_start_at(vcpu, CODE);
    debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, DATA, DR7_L0 | DR7_WRITE_4);
    CHECK(stops(VECTOR_DB, CODE + 7, 1));

    /* No debugger is attached, and the program injects #DB. */
    guest_start_at(vcpu, CODE + 9);
    debug(KVM_GUESTDBG_INJECT_DB, 0, 0);
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_IO);
    CHECK(handled() == 1);
    printf("ok\n");
    return 0;
}
