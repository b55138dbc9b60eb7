/*
 * KVM_GET_STATS_FD: its layout as the API's documentation has it, and values that go up while the descriptor is open.
 */
#include "guest.h"

static const unsigned char code[] = {0xe6, 0x10, 0xeb, 0xfc}; /* 1: out 10h, al; jmp 1b */

/* Returns the value of that name, or -1. */
static long value(int fd, const char *name)
{
    struct kvm_stats_header h;
    if (pread(fd, &h, sizeof(h), 0) != sizeof(h) || h.flags)
        return -1;
    size_t size = sizeof(struct kvm_stats_desc) + h.name_size;
    struct kvm_stats_desc *d = malloc(size);
    long found = -1;
    for (unsigned i = 0; i < h.num_desc; i++) {
        if (pread(fd, d, size, (off_t)(h.desc_offset + i * size)) != (ssize_t)size)
            break;
        long one;
        if (!strcmp(d->name, name) && d->size == 1 && pread(fd, &one, 8, h.data_offset + d->offset) == 8)
            found = one;
    }
    free(d);
    return found;
}

int main(void)
{
    int kvm = guest_kvm(), vm = guest_vm(kvm), vcpu = guest_vcpu(vm);
    CHECK(ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_BINARY_STATS_FD) == 1);
    memcpy(guest_memory(vm, 0, 0, 0x4000, 0) + GUEST_CODE_AT, code, sizeof(code));
    run = guest_run(kvm, vcpu);
    guest_real_mode(vcpu, 0xffff);

    int stats = ioctl(vcpu, KVM_GET_STATS_FD, NULL), vm_stats = ioctl(vm, KVM_GET_STATS_FD, NULL);
    CHECK(stats >= 0 && vm_stats >= 0);
    struct kvm_stats_header h;
    CHECK(read(stats, &h, sizeof(h)) == sizeof(h));
    CHECK(h.num_desc && h.id_offset >= sizeof(h) && h.desc_offset > h.id_offset && h.data_offset > h.desc_offset);
    CHECK(h.data_offset % 8 == 0);
    long before = value(stats, "exits");
    CHECK(before >= 0);
    for (int i = 0; i < 100; i++)
        CHECK(!ioctl(vcpu, KVM_RUN, 0));
    CHECK(value(stats, "exits") == before + 100);
    CHECK(value(stats, "tlb_fills") >= 0 && value(stats, "vm_entries") == 0);
    CHECK(value(vm_stats, "code_blocks") > 0);
    close(vcpu);
    close(vm);
    CHECK(value(stats, "exits") == before + 100);
    printf("ok\n");
    return 0;
}
