/*
 * A VM of the engine whose vCPUs run guest code on threads of their own, while the test changes guest memory under
 * them. Flat 32-bit mode without paging. Slot 0 is RAM from 0; everything that is not RAM is one device that counts.
 */
#ifndef TESTS_UNIT_LIVE_VM_H
#define TESTS_UNIT_LIVE_VM_H

#include "accel/engine_host.h"
#include "cpu/core/vcpu.h"
#include "cpu/mmu/mmu.h"
#include "unit/slots.h"
#include "unit/test.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#define CPUS_MAX 4
#define BASE_SIZE 0x100000ull
#define CODE 0x1000u      /* where guest code is put */
#define COUNTERS 0x80000u /* one of 4 bytes for each vCPU, a cache line apart */
#define COUNTER(cpu) (COUNTERS + 128u * (cpu))
#define STACK(cpu) (0x90000u + 0x1000u * ((cpu) + 1))
#define DEVICE_VALUE 0x11223344u

static struct ram *memory;
static u8 *base; /* slot 0 */
static struct vm *vm;
static struct engine_host host_side;
static struct machine machine;
static struct cpu_features features;
static struct {
    u32 reads, writes; /* [a] */
    u64 gpa, value;
    u32 answer; /* [a] what reads of it and of ports give */
} device;

static struct {
    pthread_t thread;
    struct vcpu *v;
    enum cpu_exit exit;
} cpu[CPUS_MAX];
static u32 cpus;

static u32 port_read(void *opaque, u16 port, unsigned size)
{
    return __atomic_load_n(&device.answer, __ATOMIC_SEQ_CST);
}

static void port_write(void *opaque, u16 port, u32 value, unsigned size)
{
}

static u64 device_read(void *opaque, gpa_t gpa, unsigned size)
{
    __atomic_fetch_add(&device.reads, 1, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&device.answer, __ATOMIC_SEQ_CST);
}

static void device_write(void *opaque, gpa_t gpa, u64 value, unsigned size)
{
    device.gpa = gpa.a;
    device.value = value;
    __atomic_fetch_add(&device.writes, 1, __ATOMIC_SEQ_CST);
}

/* The counts of the device, which vCPUs change while the test reads them. */
static inline u32 device_reads(void)
{
    return __atomic_load_n(&device.reads, __ATOMIC_SEQ_CST);
}

static inline u32 device_writes(void)
{
    return __atomic_load_n(&device.writes, __ATOMIC_SEQ_CST);
}

static inline u8 *host_pages(u64 size)
{
    u8 *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        abort();
    return p;
}

static inline void slot_drop(u32 space, u32 id)
{
    if (ram_slot_set(memory, space, &(struct ram_region){.id = id}))
        abort();
}

static inline void vm_create(u32 count)
{
    struct error error;
    memset(&device, 0, sizeof(device));
    device.answer = DEVICE_VALUE;
    base = host_pages(BASE_SIZE);
    memory = slots_create(base, BASE_SIZE);
    machine = (struct machine){.ram = memory,
                               .io_read = port_read,
                               .io_write = port_write,
                               .mmio_read = device_read,
                               .mmio_write = device_write};
    const struct cpuid_config c = {.vendor = VENDOR_INTEL, .vcpus = CPUS_MAX, .tsc_khz = 1000000, .phys_bits = 40};
    memset(&host_side, 0, sizeof(host_side));
    engine_host_init(&host_side);
    const struct cpu_config config = {.machine = &machine, .host = &host_side.ops, .tsc_khz = 1000000};
    if (cpuid_create(&features, &c, &error) || cpu_create(&vm, &config))
        abort();
    cpus = count;
    for (u32 i = 0; i < count; i++) {
        if (cpu_add(vm, i, &features) != (int)i)
            abort();
        cpu[i].v = cpu_at(vm, i);
        engine_host_add(&host_side, i, cpu[i].v);
    }
    if (ram_attach(memory, &cpu_ram_ops, vm))
        abort();
}

static inline void vm_destroy(void)
{
    ram_detach(memory);
    engine_host_destroy(&host_side);
    cpu_destroy(vm);
    ram_destroy(memory);
    munmap(base, BASE_SIZE);
}

/* Guest code between two labels of an asm statement. */
#define PUT_CODE(at, name) code_put(at, name##_start, (u64)(name##_end - name##_start))
#define GUEST_CODE(name, text)                                                                                         \
    extern const u8 name##_start[], name##_end[];                                                                      \
    __asm__(".pushsection .rodata\n.code32\n" #name "_start:\n" text "\n" #name "_end:\n.code64\n.popsection")

static inline void code_put(u32 at, const u8 *code, u64 size)
{
    if (!ram_write(memory, GPA(at), code, size))
        abort();
}

/* Sets the vCPU to EIP, with its counter's address in EDI, its number in ESI, and `argument` in EBX. */
static inline void cpu_prepare(u32 i, u32 eip, u32 argument)
{
    struct vcpu *v = cpu[i].v;
    cpu_reset(v);
    v->activity = ACTIVITY_ACTIVE;
    v->cr0 = CR0_PE | CR0_ET;
    for (unsigned s = SEG_ES; s <= SEG_GS; s++)
        v->seg[s] = (struct segment){.limit = ~0u, .attr = SEG_P | SEG_S | SEG_G | SEG_DB | 3, .sel = 16};
    v->seg[SEG_CS] = (struct segment){.limit = ~0u, .attr = SEG_P | SEG_S | SEG_G | SEG_DB | 0xb, .sel = 8};
    v->rip = eip;
    v->gpr[RDI] = COUNTER(i);
    v->gpr[RSI] = i;
    v->gpr[RBX] = argument;
    v->gpr[RSP] = STACK(i);
    memset(base + COUNTER(i), 0, 4);
}

static void *cpu_thread(void *arg)
{
    u32 i = (u32)(u64)arg;
    if (engine_host_enter(&host_side, i))
        abort();
    cpu[i].exit = cpu_run(cpu[i].v);
    return NULL;
}

static inline void cpu_start(u32 i)
{
    cpu_go(cpu[i].v);
    if (pthread_create(&cpu[i].thread, NULL, cpu_thread, (void *)(u64)i))
        abort();
}

/* Waits until the vCPU ends by itself. */
static inline enum cpu_exit cpu_join(u32 i)
{
    pthread_join(cpu[i].thread, NULL);
    return cpu[i].exit;
}

static inline enum cpu_exit cpu_end(u32 i)
{
    cpu_stop(cpu[i].v);
    return cpu_join(i);
}

static inline u32 counter(u32 i)
{
    return __atomic_load_n((u32 *)(base + COUNTER(i)), __ATOMIC_SEQ_CST);
}

/* Waits until the vCPU has counted `n` more. */
static inline void cpu_advance(u32 i, u32 n)
{
    u32 from = counter(i);
    while (counter(i) - from < n)
        sched_yield();
}

#endif
