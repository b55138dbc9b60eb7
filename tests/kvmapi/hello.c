/*
 * A program written after the API's documentation: real-mode code that writes and reads a port, writes and reads device
 * memory, and halts. Prints "ok", or what was not as it should be.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define CHECK(x)                                                                                                       \
    do {                                                                                                               \
        if (!(x)) {                                                                                                    \
            printf("line %d: %s, errno %s\n", __LINE__, #x, strerror(errno));                                          \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

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
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    CHECK(kvm >= 0);
    CHECK(ioctl(kvm, KVM_GET_API_VERSION, 0) == 12);
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    CHECK(vm >= 0);
    unsigned char *ram = mmap(NULL, 0x8000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memcpy(ram + 0x1000, code, sizeof(code));
    struct kvm_userspace_memory_region region = {.memory_size = 0x8000, .userspace_addr = (unsigned long)ram};
    CHECK(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    CHECK(vcpu >= 0);
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    struct kvm_run *run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    CHECK(run != MAP_FAILED);
    struct kvm_sregs sregs;
    CHECK(!ioctl(vcpu, KVM_GET_SREGS, &sregs));
    sregs.cs.base = sregs.cs.selector = 0;
    CHECK(!ioctl(vcpu, KVM_SET_SREGS, &sregs));
    struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
    CHECK(!ioctl(vcpu, KVM_SET_REGS, &regs));

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
    CHECK(!ioctl(vcpu, KVM_GET_REGS, &regs));
    CHECK(regs.rbx == 0x1234 && regs.rcx == 0 && regs.rip == 0x1000 + sizeof(code));
    printf("ok\n");
    return 0;
}
