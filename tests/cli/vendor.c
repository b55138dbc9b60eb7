/*
 * A program that does not take the vendor of its CPUs from what is offered, as QEMU takes the host's: vendor NAME. It
 * gives each of two vCPUs what KVM_GET_SUPPORTED_CPUID offers, with NAME (12 letters) in leaf 0, and runs nothing.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define ENTRIES 256

static void check(int result, const char *what)
{
    if (result >= 0)
        return;
    perror(what);
    exit(1);
}

int main(int argc, char **argv)
{
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + ENTRIES * sizeof(cpuid->entries[0]));
    if (!cpuid || argc < 2 || strlen(argv[1]) != 12)
        return 2;
    int kvm = open("/dev/kvm", O_RDWR), vm;
    check(kvm, "/dev/kvm");
    check(vm = ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    cpuid->nent = ENTRIES;
    check(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
    for (unsigned i = 0; i < cpuid->nent; i++) {
        struct kvm_cpuid_entry2 *e = &cpuid->entries[i];
        if (e->function)
            continue;
        memcpy(&e->ebx, argv[1], 4);
        memcpy(&e->edx, argv[1] + 4, 4);
        memcpy(&e->ecx, argv[1] + 8, 4);
    }
    for (unsigned i = 0; i < 2; i++) {
        int vcpu = ioctl(vm, KVM_CREATE_VCPU, (unsigned long)i);
        check(vcpu, "KVM_CREATE_VCPU");
        check(ioctl(vcpu, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
    }
    return 0;
}
