/*
 * Slots of src/ram against those of the host's KVM: what the one refuses, the other refuses in the same way. And the
 * dirty log of the kernel behind ram_dirty_get. Skipped where there is no usable /dev/kvm.
 */
#include "accel/kvm.h"
#include "accel/probe.h"
#include "unit/slots.h"
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB (1ull << 20)

static u8 *host;

static u64 random_state = 1;
static u32 random_below(u32 n)
{
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(random_state >> 33) % n;
}

/* Returns one of a few regions. They may overlap, move an older one, and be wrong in many ways. */
static struct ram_region region(void)
{
    static const u64 sizes[] = {0, 0, MIB, MIB, 2 * MIB, PAGE_SIZE, MIB + 0x800};
    struct ram_region g = {
        .id = random_below(6) + (random_below(40) ? 0 : 70000),
        .flags = random_below(4) ? 0 : random_below(4),
        .start = GPA(random_below(8) * MIB + (random_below(20) ? 0 : 0x10)),
        .size = sizes[random_below(ARRAY_LEN(sizes))],
        .host = host + random_below(4) * 2 * MIB,
    };
    if (!random_below(40))
        g.start.a = ~PAGE_MASK;
    return g;
}

static int kvm_set(int fd, const struct ram_region *g)
{
    struct kvm_userspace_memory_region r = {.slot = g->id,
                                            .flags = g->flags,
                                            .guest_phys_addr = g->start.a,
                                            .memory_size = g->size,
                                            .userspace_addr = (u64)g->host};
    return ioctl(fd, KVM_SET_USER_MEMORY_REGION, &r) ? -errno : 0;
}

static void same_refusals(int kvm)
{
    TEST("10000 changes of slots");
    unsigned done = 0, refused = 0;
    for (unsigned round = 0; round < 100; round++) {
        int fd = ioctl(kvm, KVM_CREATE_VM, 0);
        struct ram *r = ram_create();
        for (unsigned i = 0; i < 100; i++) {
            struct ram_region g = region();
            u32 id = g.id;
            int theirs = kvm_set(fd, &g);
            g.id = id > 0xffff ? RAM_SLOT_IDS : id; /* the two offer different counts of slot numbers */
            int ours = ram_slot_set(r, 0, &g);
            if (ours != theirs) {
                printf("# round %u: slot %u flags %u at %llx size %llx memory %llx: %d, KVM %d\n", round, id, g.flags,
                       (unsigned long long)g.start.a, (unsigned long long)g.size,
                       (unsigned long long)((u8 *)g.host - host), ours, theirs);
                CHECK(!"refused alike");
            }
            *(ours ? &refused : &done) += 1;
        }
        ram_destroy(r);
        close(fd);
    }
    CHECK(done > 2000 && refused > 2000);
}

/* -- the kernel's log -- */

static struct accel_vm *vm;

static u32 io_read(void *opaque, u16 port, unsigned size)
{
    return ~0u;
}

static void io_write(void *opaque, u16 port, u32 value, unsigned size)
{
    accel_kvm.stop(vm);
}

static u64 mmio_read(void *opaque, gpa_t gpa, unsigned size)
{
    return ~0ull;
}

static void mmio_write(void *opaque, gpa_t gpa, u64 value, unsigned size)
{
}

static void run_from_reset_vector(void)
{
    accel_kvm.resume(vm);
    CHECK_EQ(accel_kvm.run(vm, 0), ACCEL_STOPPED);
}

static void kernel_log(void)
{
    TEST("pages that a vCPU of KVM writes, and a device");
    static const u8 code[] = {
        0xb8, 0x00, 0x20, 0x8e, 0xd8, /* mov ax, 0x2000; mov ds, ax */
        0xa2, 0x00, 0x10,             /* mov [0x1000], al: page 0x21 */
        0xa2, 0x00, 0x50,             /* page 0x25 */
        0xe6, 0x78, 0xeb, 0xf4,       /* out 0x78, al; again */
    };
    u64 map[4];
    struct error error;
    static const struct run_settings settings = {.cpus = 1};
    struct machine machine = {.ram = slots_create(host, MIB),
                              .io_read = io_read,
                              .io_write = io_write,
                              .mmio_read = mmio_read,
                              .mmio_write = mmio_write};
    struct ram_region logged = {.size = MIB, .host = host, .flags = RAM_LOG_DIRTY};
    u8 *rom = host + 2 * MIB; /* the reset vector: F000:FFF0 with a base of 0xffff0000 */
    memset(host, 0, MIB);
    memset(rom, 0x90, PAGE_SIZE);
    memcpy(rom + 0xff0, "\xea\x00\x00\x00\x10", 5); /* jmp 0x1000:0 */
    memcpy(host + 0x10000, code, sizeof(code));
    slot_put(machine.ram, 1, 0xfffff000, PAGE_SIZE, rom, RAM_READONLY);
    int err = accel_kvm.create(&settings, &machine, &vm, &error);
    CHECK_EQ(err, 0);
    if (err) {
        printf("# %s\n", error.text);
        return;
    }
    CHECK_EQ(ram_slot_set(machine.ram, 0, &logged), 0);
    CHECK_EQ(accel_kvm.reset(vm, &error), 0);
    run_from_reset_vector();
    CHECK(ram_write(machine.ram, GPA(0x33fff), code, 2));
    CHECK_EQ(ram_dirty_get(machine.ram, 0, 0, map, false), 0);
    CHECK(map[0] == (BIT64(0x21) | BIT64(0x25) | BIT64(0x33) | BIT64(0x34)) && !map[1] && !map[2] && !map[3]);
    CHECK(ram_dirty_get(machine.ram, 0, 0, map, false) == 0 && !map[0]);
    run_from_reset_vector();
    CHECK(ram_dirty_get(machine.ram, 0, 0, map, false) == 0 && map[0] == (BIT64(0x21) | BIT64(0x25)));

    TEST("a slot is taken away from the kernel's VM");
    CHECK_EQ(ram_slot_set(machine.ram, 0, &(struct ram_region){.id = 0}), 0);
    accel_kvm.destroy(vm);
    ram_destroy(machine.ram);
}

int main(void)
{
    struct probe probe;
    probe_kvm(&probe);
    if (probe.why.code) {
        printf("ok kvm_ram # SKIP no usable /dev/kvm\n");
        return 0;
    }
    host = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    same_refusals(kvm);
    close(kvm);
    kernel_log();
    return TEST_END();
}
