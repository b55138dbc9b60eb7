/* Creation by the engine's face: memory, vCPUs one at a time, CPUID set later. */
#include "cpu/cpu.h"

#include "cpu/core/vcpu.h"

#include "unit/slots.h"
#include "unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int pieces, allowed; /* pieces of memory that are out; how many more there are */
static u64 deadline[CPU_VCPUS_MAX];

static void *memory_get(void *opaque, size_t size, enum cpu_memory kind)
{
    if (!allowed)
        return NULL;
    allowed--;
    pieces++;
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void memory_put(void *opaque, void *memory, size_t size)
{
    pieces--;
    munmap(memory, size);
}

static u64 now_ns(void *opaque)
{
    return 1000;
}

static void timer_set(void *opaque, u32 index, u64 deadline_ns)
{
    deadline[index] = deadline_ns;
}

static void kick(void *opaque, u32 index)
{
}

static const struct cpu_host host = {
    .memory_get = memory_get, .memory_put = memory_put, .now_ns = now_ns, .timer_set = timer_set, .kick = kick};
static struct machine machine;
static const struct cpu_config config = {.machine = &machine, .host = &host, .tsc_khz = 1000000};
static struct cpu_features intel, intel_again, plain, amd;

static void features_make(struct cpu_features *f, enum vendor vendor, bool nested)
{
    struct error error;
    const struct cpuid_config c = {
        .vendor = vendor, .nested = nested, .vcpus = 4, .tsc_khz = config.tsc_khz, .phys_bits = 40};
    CHECK_EQ(cpuid_create(f, &c, &error), 0);
}

static u32 signature(struct vcpu *v)
{
    u32 r[4];
    cpuid_read(v, 1, 0, r);
    return r[CPUID_EAX];
}

static void test_memory(void)
{
    TEST("without memory nothing is made and nothing is kept");
    struct vm *vm = NULL;
    int used;
    for (used = 0; used < 10; used++) {
        allowed = used;
        pieces = 0;
        if (cpu_create(&vm, &config) == 0)
            break;
        CHECK(!vm && !pieces);
    }
    CHECK(vm && used > 1);
    CHECK_EQ(cpu_add(vm, 0, &intel), -ENOMEM);
    CHECK_EQ(cpu_count(vm), 0);
    allowed = 1;
    CHECK_EQ(cpu_add(vm, 0, &intel), 0);
    cpu_destroy(vm);
    CHECK_EQ(pieces, 0);
}

static void test_add(void)
{
    TEST("vCPUs are added one at a time, with APIC IDs of the caller's choice");
    struct vm *vm;
    allowed = 1000;
    CHECK_EQ(cpu_create(&vm, &config), 0);
    CHECK_EQ(cpu_add(vm, 0, &intel), 0);
    CHECK_EQ(cpu_add(vm, 5, &intel_again), 1);
    CHECK_EQ(cpu_add(vm, 6, &plain), -EINVAL);
    CHECK_EQ(cpu_count(vm), 2);
    u32 r[4];
    cpuid_read(cpu_at(vm, 1), 1, 0, r);
    CHECK_EQ(r[CPUID_EBX] >> 24, 5);
    for (u32 i = 2; i < CPU_VCPUS_MAX; i++)
        if (cpu_add(vm, 10 + i, &intel) != (int)i)
            CHECK(!"a vCPU less than there may be");
    CHECK_EQ(cpu_add(vm, 1000, &intel), -ENOSPC);
    cpu_destroy(vm);
    CHECK_EQ(pieces, 0);
}

static void test_features(void)
{
    TEST("CPUID may change until a vCPU has run, then only what the instruction returns");
    struct vm *vm;
    CHECK_EQ(cpu_create(&vm, &config), 0);
    CHECK_EQ(cpu_add(vm, 0, &intel), 0);
    CHECK_EQ(cpu_add(vm, 1, &intel), 1);
    struct vcpu *v = cpu_at(vm, 0);
    u32 was = signature(v);
    CHECK_EQ(cpu_features_set(v, &amd), 0);
    CHECK(signature(v) != was && signature(cpu_at(vm, 1)) == was);
    CHECK_EQ(cpu_features_set(cpu_at(vm, 1), &amd), 0);
    CHECK_EQ(cpu_features_set(v, &intel), 0);
    CHECK_EQ(cpu_features_set(cpu_at(vm, 1), &intel), 0);

    cpu_stop(v);
    CHECK_EQ(cpu_run(v), CPU_EXIT_STOP);
    CHECK_EQ(cpu_run(v), CPU_EXIT_STOP); /* the stop stays */
    CHECK_EQ(cpu_features_set(v, &amd), -EINVAL);
    CHECK_EQ(cpu_features_set(v, &plain), -EINVAL);
    CHECK_EQ(signature(v), was);
    CHECK_EQ(cpu_features_set(v, &intel_again), 0);
    CHECK_EQ(signature(v), was ^ 1);
    cpu_destroy(vm);
    CHECK_EQ(pieces, 0);
}

static void test_features_in_place(void)
{
    TEST("the caller may change CPUID in the memory that it gave before");
    struct vm *vm;
    CHECK_EQ(cpu_create(&vm, &config), 0);
    static struct cpu_features features;
    features = intel;
    CHECK_EQ(cpu_add(vm, 0, &features), 0);
    features.phys_bits = intel.phys_bits + 2;
    CHECK_EQ(cpu_features_set(cpu_at(vm, 0), &features), 0);
    CHECK_EQ(vm->phys_bits, intel.phys_bits + 2);
    features = amd;
    CHECK_EQ(cpu_features_set(cpu_at(vm, 0), &features), 0);
    CHECK_EQ(vm->vendor, VENDOR_AMD);
    cpu_destroy(vm);
}

static void test_counters(void)
{
    TEST("every counter has a name");
    struct vm *vm;
    CHECK_EQ(cpu_create(&vm, &config), 0);
    CHECK_EQ(cpu_add(vm, 0, &intel), 0);
    unsigned i = 0;
    u64 value = 1;
    const char *name;
    for (; (name = cpu_counter(cpu_at(vm, 0), i, &value)); i++)
        CHECK(*name && !value);
    CHECK(i > 5);
    cpu_destroy(vm);
}

int main(void)
{
    machine.ram = ram_create();
    features_make(&intel, VENDOR_INTEL, true);
    features_make(&plain, VENDOR_INTEL, false);
    features_make(&amd, VENDOR_AMD, true);
    intel_again = intel;
    for (u32 i = 0; i < intel_again.leaf_count; i++)
        if (intel_again.leaf[i].leaf == 1)
            intel_again.leaf[i].r[CPUID_EAX] ^= 1; /* another stepping */
    test_memory();
    test_add();
    test_features();
    test_features_in_place();
    test_counters();
    return TEST_END();
}
