/*
 * Runs in a VM with KVM: an L2 that computes for ever in real mode and hands each result to this program, which
 * computes the same and says on the serial port "l2 NUMBER ok", or "l2 NUMBER WRONG".
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEED 12345u
#define FACTOR 1664525u
#define TERM 1013904223u
#define STEPS 5000000u
#define AT 0x1000

#define LE32(v) (v) & 255, (v) >> 8 & 255, (v) >> 16 & 255, (v) >> 24 & 255

static const unsigned char code[] = {
    0x66, 0xb8, LE32(SEED),                /* mov eax, SEED */
    0x66, 0xb9, LE32(STEPS),               /* mov ecx, STEPS */
    0x66, 0x69, 0xc0,        LE32(FACTOR), /* imul eax, eax, FACTOR */
    0x66, 0x05, LE32(TERM),                /* add eax, TERM */
    0x66, 0x49,                            /* dec ecx */
    0x75, 0xef,                            /* jnz to imul */
    0xba, 0x10, 0x00,                      /* mov dx, 0x10 */
    0x66, 0xef,                            /* out dx, eax */
    0xeb, 0xe2,                            /* jmp to mov ecx */
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

int main(void)
{
    int serial = open("/dev/ttyS0", O_WRONLY | O_NOCTTY), kvm = open("/dev/kvm", O_RDWR);
    if (serial < 0 || kvm < 0)
        fail("open");
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    char *memory = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region slot = {.memory_size = 0x4000, .userspace_addr = (unsigned long)memory};
    memcpy(memory + AT, code, sizeof(code));
    if (vm < 0 || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
        fail("a VM");
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    struct kvm_run *run =
        mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = AT, .rflags = 2};
    if (vcpu < 0 || run == MAP_FAILED || ioctl(vcpu, KVM_GET_SREGS, &sregs))
        fail("a CPU");
    sregs.cs.base = sregs.cs.selector = 0;
    if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs))
        fail("its registers");
    unsigned wanted = SEED, got;
    for (unsigned long n = 1;; n++) {
        if (ioctl(vcpu, KVM_RUN, 0) || run->exit_reason != KVM_EXIT_IO) {
            dprintf(serial, "l2 %lu WRONG exit %u\n", n, run->exit_reason);
            return 1;
        }
        for (unsigned i = 0; i < STEPS; i++)
            wanted = wanted * FACTOR + TERM;
        memcpy(&got, (char *)run + run->io.data_offset, sizeof(got));
        dprintf(serial, "l2 %lu %s\n", n, got == wanted ? "ok" : "WRONG");
        if (got != wanted)
            return 1;
    }
}
