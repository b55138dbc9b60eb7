/*
 * A program written after the API's documentation: real-mode code that writes and reads a port, writes and reads device
 * memory, and halts. Prints "ok", or what was not as it should be.
 */
#include "guest.h"

static const unsigned char code[] = {
    0xb0, 'A',              /* mov al, 'A' */
    0xe6, 0x10,             /* out 10h, al */
    0xe4, 0x11,             /* in al, 11h */
    0xa2, 0x00, 0x80,       /* mov [8000h], al: no RAM */
    0x8b, 0x1e, 0x02, 0x80, /* mov bx, [8002h] */
    0xbf, 0x00, 0x20,       /* mov di, 2000h */
    0xb9, 0x04, 0x00,       /* mov cx, 4 */
    0xba, 0x12, 0x00,       /* mov dx, 12h */
    0xf3, 0x6c,             /* rep insb */
    0xf4,                   /* hlt */
};

int main(void)
{
    int kvm = guest_kvm();
    CHECK(ioctl(kvm, KVM_GET_API_VERSION, 0) == KVM_API_VERSION);
    int vm = guest_vm(kvm), vcpu = guest_vcpu(vm);
    unsigned char *ram = guest_memory(vm, 0, 0, 0x8000, 0);
    memcpy(ram + GUEST_CODE_AT, code, sizeof(code));
    run = guest_run(kvm, vcpu);
    guest_real_mode(vcpu, 0xffff);

    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT);
    CHECK(run->io.port == 0x10 && run->io.count == 1 && ((char *)run)[run->io.data_offset] == 'A');
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_IN);
    ((char *)run)[run->io.data_offset] = 'B';
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_MMIO && run->mmio.is_write);
    CHECK(run->mmio.phys_addr == 0x8000 && run->mmio.len == 1 && run->mmio.data[0] == 'B');
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write);
    CHECK(run->mmio.phys_addr == 0x8002 && run->mmio.len == 2);
    memcpy(run->mmio.data, "\x34\x12", 2);
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_IO && run->io.count == 4 && run->io.size == 1);
    memcpy((char *)run + run->io.data_offset, "abcd", 4);
    run->immediate_exit = 1;
    CHECK(ioctl(vcpu, KVM_RUN, 0) == -1 && errno == EINTR);
    CHECK(!memcmp(ram + 0x2000, "abcd", 4));
    run->immediate_exit = 0;
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_HLT);
    struct kvm_regs regs;
    CHECK(!ioctl(vcpu, KVM_GET_REGS, &regs));
    CHECK(regs.rbx == 0x1234 && regs.rcx == 0 && regs.rip == GUEST_CODE_AT + sizeof(code));
    printf("ok\n");
    return 0;
}
