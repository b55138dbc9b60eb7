/*
 * The /dev/kvm accelerator runs guests of a few bytes. The test is skipped where there is no usable /dev/kvm.
 */
#include "accel/kvm.h"
#include "accel/probe.h"
#include "cpu/cpu.h"
#include "flat.h"
#include "unit/slots.h"
#include "unit/test.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_SIZE 0x100000

static u8 *ram;
static char written[64];
static unsigned count;
static u64 mmio_at, mmio_value;
static unsigned mmio_size;

static u32 io_read(void *opaque, u16 port, unsigned size)
{
    return port == 0x77 ? 0x1234 : ~0u;
}
static void io_write(void *opaque, u16 port, u32 value, unsigned size)
{
    if (port == 0x77 && count < sizeof(written) - size) {
        memcpy(written + count, &value, size);
        count += size;
    }
    if (port == 0x78)
        accel_kvm.stop(*(struct accel_vm **)opaque);
}
static u64 mmio_read(void *opaque, gpa_t gpa, unsigned size)
{
    return 0x1122334455667788ull ^ gpa.a;
}
static void mmio_write(void *opaque, gpa_t gpa, u64 value, unsigned size)
{
    mmio_at = gpa.a;
    mmio_value = value;
    mmio_size = size;
}

static struct accel_vm *vm;

/* How a test's code is entered: at 0x1000, in real mode (0100:0000) without selectors. */
struct entry {
    u16 cs, ds;
    u64 cr3; /* 64-bit mode */
};
static const struct entry real = {0}, flat = {.cs = 8, .ds = 16}, long64 = {.cs = 8, .ds = 16, .cr3 = 0x20000};

static void reset(const struct entry *entry)
{
    struct error error;
    struct cpu_state s;
    u64 committed;
    const char *bad;
    CHECK_EQ(accel_kvm.reset(vm, &error), 0);
    CHECK_EQ(accel_kvm.state_get(vm, 0, &s, FLAT_STATE), FLAT_STATE);
    s.rip = 0x1000;
    s.gpr[RSP] = 0x8000;
    if (entry->cs) {
        flat_enter(&s, entry->cs, entry->ds, entry->cr3);
    } else {
        s.rip = 0;
        s.seg[SEG_CS].sel = 0x100;
        s.seg[SEG_CS].base = 0x1000;
    }
    CHECK_EQ(accel_kvm.state_set(vm, 0, &s, FLAT_STATE, &committed, &bad), 0);
    CHECK(committed == FLAT_STATE && !bad);
}

static enum accel_exit boot(const u8 *code, size_t size, const struct entry *entry)
{
    memset(ram, 0, 0x10000);
    memcpy(ram + 0x1000, code, size);
    memset(written, 0, sizeof(written));
    count = 0;
    reset(entry);
    return accel_kvm.run(vm, 0);
}

static void *stop_later(void *arg)
{
    usleep(20000);
    accel_kvm.stop(vm);
    return NULL;
}

static void *irq_later(void *arg)
{
    usleep(20000);
    accel_kvm.irq_line(vm, 4, true);
    accel_kvm.irq_line(vm, 4, false);
    return NULL;
}

int main(void)
{
    struct error error;
    struct probe probe;
    probe_kvm(&probe);
    printf("# %s\n", probe.why.text);
    if (probe.why.code) {
        printf("ok kvm # SKIP no usable /dev/kvm\n");
        return 0;
    }
    struct run_settings settings = {.cpus = 2};
    ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct machine machine = {.ram = slots_create(ram, RAM_SIZE),
                              .opaque = &vm,
                              .io_read = io_read,
                              .io_write = io_write,
                              .mmio_read = mmio_read,
                              .mmio_write = mmio_write};

    TEST("refusals say why");
    settings.nested = NESTED_INTEL;
    int err = accel_kvm.create(&settings, &machine, &vm, &error);
    CHECK(probe.nests_intel ? !err : err && strstr(error.text, "VT-x"));
    if (!err)
        accel_kvm.destroy(vm);
    settings.nested = NESTED_OFF;
    settings.cpus = 100000;
    CHECK(accel_kvm.create(&settings, &machine, &vm, &error) < 0 && strstr(error.text, "at most"));
    settings.cpus = 2;
    settings.cpu = "max,+nonsense";
    CHECK(accel_kvm.create(&settings, &machine, &vm, &error) < 0 && strstr(error.text, "nonsense"));
    settings.cpu = "max,-avx2,-sse4_2";

    TEST("a VM is made");
    err = accel_kvm.create(&settings, &machine, &vm, &error);
    CHECK_EQ(err, 0);
    if (err) {
        printf("# %s\n", error.text);
        return TEST_END();
    }
    CHECK(!(kvm_cpuid_find(vm->cpuid, 1, 0)->ecx & BIT(20)));
    CHECK(kvm_cpuid_find(vm->cpuid, 1, 0)->ecx & BIT(31));
    CHECK(accel_kvm.tsc_khz(vm) > 100000);

    TEST("port I/O, single and string");
    static const u8 io[] = {
        0xe5, 0x77,       /* in ax, 0x77 */
        0xe7, 0x77,       /* out 0x77, ax */
        0xbe, 0x00, 0x20, /* mov si, 0x2000 */
        0xb9, 0x05, 0x00, /* mov cx, 5 */
        0xba, 0x77, 0x00, /* mov dx, 0x77 */
        0x2e, 0xf3, 0x6e, /* rep outsb cs: */
        0xe6, 0x78,       /* out 0x78, al: stop */
        0xeb, 0xfe,       /* jmp . */
    };
    memset(ram, 0, RAM_SIZE);
    memcpy(ram + 0x3000, "hello", 5);
    memcpy(ram + 0x1000, io, sizeof(io));
    reset(&real);
    CHECK_EQ(accel_kvm.run(vm, 0), ACCEL_STOPPED);
    CHECK(memcmp(written, "\x34\x12hello", 7) == 0);
    CHECK_EQ(accel_kvm.run(vm, 0), ACCEL_STOPPED); /* the stop stays */
    char text[1024];
    accel_describe(&accel_kvm, vm, 0, NULL, text, sizeof(text));
    CHECK(strstr(text, "real mode") && strstr(text, "0100:0000000000000012"));

    TEST("MMIO from 32-bit protected mode");
    static const u8 mmio[] = {
        0xa1, 0x00, 0x00, 0x00, 0xd0, /* mov eax, [0xd0000000] */
        0xa3, 0x08, 0x00, 0x00, 0xd0, /* mov [0xd0000008], eax */
        0xe6, 0x78, 0xeb, 0xfe,
    };
    CHECK_EQ(boot(mmio, sizeof(mmio), &flat), ACCEL_STOPPED);
    CHECK(mmio_at == 0xd0000008 && mmio_value == (0x55667788u ^ 0xd0000000u) && mmio_size == 4);

    TEST("64-bit mode as booted");
    static const u8 wide[] = {
        0x48, 0xb8, 8,    7,    6,    5,    4, 3, 2, 1, /* mov rax, 0x0102030405060708 */
        0x48, 0xc1, 0xe8, 0x20,                         /* shr rax, 32 */
        0xe7, 0x77, 0xe6, 0x78, 0xeb, 0xfe,
    };
    memset(ram + 0x20000, 0, 0x3000);
    memcpy(ram + 0x20000, &(u64){0x21003}, 8);
    memcpy(ram + 0x21000, &(u64){0x22003}, 8);
    memcpy(ram + 0x22000, &(u64){0x83}, 8);
    CHECK_EQ(boot(wide, sizeof(wide), &long64), ACCEL_STOPPED);
    CHECK(memcmp(written, "\x04\x03\x02\x01", 4) == 0);

    TEST("triple fault, and a reset after it");
    static const u8 fault[] = {0x0f, 0x01, 0x1d, 0, 0x30, 0, 0, 0x0f, 0x0b}; /* lidt [0x3000]; ud2 */
    CHECK_EQ(boot(fault, sizeof(fault), &flat), ACCEL_SHUTDOWN);
    CHECK_EQ(boot(io, sizeof(io), &real), ACCEL_STOPPED);

    TEST("a stop from outside ends a loop and a sleeping CPU");
    static const u8 loop[] = {0xeb, 0xfe};
    static const u8 halt[] = {0xfa, 0xf4};
    pthread_t thread;
    reset(&real);
    pthread_create(&thread, NULL, stop_later, NULL);
    memcpy(ram + 0x1000, loop, sizeof(loop));
    CHECK_EQ(accel_kvm.run(vm, 0), ACCEL_STOPPED);
    pthread_join(thread, NULL);
    accel_kvm.resume(vm);
    pthread_create(&thread, NULL, stop_later, NULL);
    CHECK_EQ(accel_kvm.run(vm, 1), ACCEL_STOPPED); /* waits for SIPI */
    pthread_join(thread, NULL);
    memcpy(ram + 0x1000, halt, sizeof(halt));
    reset(&real);
    pthread_create(&thread, NULL, stop_later, NULL);
    CHECK_EQ(accel_kvm.run(vm, 0), ACCEL_STOPPED);
    pthread_join(thread, NULL);

    TEST("an interrupt line through the in-kernel 8259");
    static const u8 irq[] = {
        0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21, /* ICWs */
        0xb0, 0xef, 0xe6, 0x21,                                                                         /* IRQ 4 */
        0xfb, 0xf4,                                                                                     /* sti; hlt */
        0xeb, 0xfe,
    };
    static const u8 handler[] = {0xb0, 'i', 0xe6, 0x77, 0xe6, 0x78, 0xeb, 0xfe};
    memset(ram, 0, 0x10000);
    memcpy(ram + 0x1000, irq, sizeof(irq));
    memcpy(ram + 0x1800, handler, sizeof(handler));
    memcpy(ram + 0x24 * 4, &(u32){0x01000800}, 4);
    memset(written, 0, sizeof(written));
    count = 0;
    reset(&real);
    pthread_create(&thread, NULL, irq_later, NULL);
    CHECK_EQ(accel_kvm.run(vm, 0), ACCEL_STOPPED);
    pthread_join(thread, NULL);
    CHECK_EQ(written[0], 'i');

    TEST("the state of a vCPU: what get gives can be set, and is then the same");
    static struct cpu_state before, after;
    const char *bad;
    u64 committed, given;
    CHECK_EQ(boot(io, sizeof(io), &real), ACCEL_STOPPED);
    given = accel_kvm.state_get(vm, 0, &before, STATE_ALL);
    printf("# groups %llx, %u MSRs\n", (unsigned long long)given, before.msrs);
    CHECK((given | STATE_NESTED) == STATE_ALL);
    CHECK(before.msrs > 20);
    CHECK_EQ(accel_kvm.state_set(vm, 0, &before, given, &committed, &bad), 0);
    CHECK_EQ(committed, given);
    CHECK_EQ(accel_kvm.state_get(vm, 0, &after, given), given);
    CHECK(after.tsc >= before.tsc || !before.tsc);
    after.tsc = before.tsc;
    memcpy(after.apic.page + 0x390 / 4, before.apic.page + 0x390 / 4, 4); /* the timer counts */
    for (u32 i = 0; i < before.msrs; i++)
        if (before.msr[i].value != after.msr[i].value)
            printf("# MSR %x: %llx, was %llx\n", before.msr[i].index, (unsigned long long)after.msr[i].value,
                   (unsigned long long)before.msr[i].value);
    const struct cpu_register *r;
    for (unsigned i = 0; (r = cpu_register(i)); i++) /* not the whole struct: its padding may differ */
        if (memcmp((u8 *)&before + r->offset, (u8 *)&after + r->offset, (size_t)r->size * r->count) != 0) {
            printf("# %s differs\n", r->name);
            CHECK(!"a register is the same");
        }
    CHECK(memcmp(&before.events, &after.events, sizeof(before.events)) == 0);
    CHECK(memcmp(&before.apic, &after.apic, sizeof(before.apic)) == 0);
    CHECK_EQ(before.activity, after.activity);

    TEST("a vCPU goes on in another VM with its state");
    struct accel_vm *other;
    memset(written, 0, sizeof(written));
    count = 0;
    struct machine with = machine;
    with.ram = slots_create(ram, RAM_SIZE);
    CHECK_EQ(accel_kvm.create(&settings, &with, &other, &error), 0);
    memcpy(ram + 0x3000, "hello", 5);
    before.rip = 0; /* from the start of the code again */
    before.gpr[RCX] = 99;
    CHECK_EQ(accel_kvm.state_set(other, 0, &before, given & ~STATE_TIME, &committed, &bad), 0);
    struct accel_vm *first = vm;
    vm = other;
    CHECK_EQ(accel_kvm.run(other, 0), ACCEL_STOPPED);
    vm = first;
    CHECK(memcmp(written, "\x34\x12hello", 7) == 0);
    accel_kvm.destroy(other);

    TEST("what KVM refuses is named, with what was set before it");
    before.rip = 7;
    before.dr7 = ~0ull;
    int refused = accel_kvm.state_set(vm, 0, &before, STATE_GPRS | STATE_DEBUG, &committed, &bad);
    CHECK(refused < 0 && bad && strcmp(bad, "KVM_SET_DEBUGREGS") == 0);
    CHECK_EQ(committed, STATE_GPRS);
    CHECK(accel_kvm.state_set(vm, 0, &before, STATE_ALL + 1, &committed, &bad) < 0 && bad && !committed);

    TEST("counters");
    CHECK_EQ(boot(io, sizeof(io), &real), ACCEL_STOPPED);
    accel_kvm.stats(vm, text, sizeof(text));
    CHECK(strstr(text, "port I/O"));
    accel_kvm.destroy(vm);
    return TEST_END();
}
