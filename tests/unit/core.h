/*
 * A VM of up to four CPUs for unit tests of the core: 4 MiB of RAM, a clock that the test moves, flat 64-bit mode with
 * an identity map or flat 32-bit mode without paging.
 */
#ifndef TESTS_UNIT_CORE_H
#define TESTS_UNIT_CORE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/core/cpuid.h"
#include "cpu/core/insn.h"
#include "cpu/core/nested.h"
#include "cpu/cpu.h"
#include "cpu/event/lapic.h"
#include "cpu/insn/msr.h"
#include "cpu/jit/block.h"
#include "cpu/jit/exec.h"
#include "cpu/mmu/mmu.h"
#include "unit/slots.h"

#define CORE_RAM 0x400000u
#define CORE_CPUS 4

static u64 core_now = 1000000000, core_timer[CORE_CPUS];
static u64 core_timer_takes; /* ns, to set one */
static unsigned core_kicks[CORE_CPUS];
static int core_eoi = -1;

static u64 core_now_ns(void *opaque)
{
    return core_now;
}

static inline void core_timer_set(void *opaque, u32 index, u64 deadline)
{
    core_timer[index] = deadline;
    core_now += core_timer_takes;
}

static inline void core_kick(void *opaque, u32 index)
{
    core_kicks[index]++;
}

#define CORE_PIC_VECTOR 0x20

static int core_pic_ack(void *opaque)
{
    return CORE_PIC_VECTOR;
}

static inline void core_eoi_seen(void *opaque, u8 vector)
{
    core_eoi = vector;
}

static const struct cpu_host core_host = {
    .now_ns = core_now_ns, .ran_ns = core_now_ns, .timer_set = core_timer_set, .kick = core_kick};
static const struct machine core_machine = {.pic_ack = core_pic_ack, .eoi = core_eoi_seen};
static struct vm vm;
static struct cpu_features core_features;
static struct error core_error;
static struct ram *core_ram;
static void *core_memory[2 + 5 * CORE_CPUS];
static unsigned core_memory_count;

static inline void *core_alloc(size_t align, size_t size)
{
    size = (size + align - 1) & ~(align - 1);
    void *p = aligned_alloc(align, size);
    if (!p || core_memory_count == ARRAY_LEN(core_memory))
        abort();
    core_memory[core_memory_count++] = p;
    return memset(p, 0, size);
}

/* Makes a VM in place of the one that was there, of which nothing stays but the time. */
static inline void core_create(enum vendor vendor, bool nested, u32 cpus, const char *model)
{
    while (core_memory_count)
        free(core_memory[--core_memory_count]);
    struct cpuid_config c = {
        .vendor = vendor, .nested = nested, .vcpus = cpus, .tsc_khz = 2000000, .phys_bits = 40, .model = model};
    if (cpuid_create(&core_features, &c, &core_error)) {
        printf("# %s\n", core_error.text);
        abort();
    }
    ram_destroy(core_ram);
    core_ram = slots_create(core_alloc(4096, CORE_RAM), CORE_RAM);
    vm = (struct vm){.machine = &core_machine,
                     .host = &core_host,
                     .upcalls = &cpu_upcalls,
                     .vendor = vendor,
                     .vcpu_count = cpus,
                     .tsc_khz = 2000000,
                     .phys_bits = 40,
                     .features = &core_features,
                     .ram = core_ram->space};
    vm.cache = core_alloc(64, sizeof(*vm.cache));
    for (u32 i = 0; i < cpus; i++) {
        struct vcpu *v = core_alloc(64, sizeof(*v));
        vm.vcpu[i] = v;
        v->vm = &vm;
        v->index = v->apic_id = i;
        v->features = &core_features;
        v->tsc_khz = vm.tsc_khz;
        v->exec = core_alloc(64, sizeof(*v->exec));
        lapic_create(v, core_alloc(64, lapic_size()));
        mmu_init(v, core_alloc(4096, mmu_size()));
        if (nested && vendor == VENDOR_INTEL)
            vmx_init(v, core_alloc(64, vmx_size()));
        else if (nested)
            svm_init(v, core_alloc(64, svm_size()));
    }
    for (u32 i = 0; i < cpus; i++)
        cpu_reset(vm.vcpu[i]);
    memset(core_timer, 0, sizeof core_timer);
    memset(core_kicks, 0, sizeof core_kicks);
    core_eoi = -1;
}

static inline void core_flat(struct vcpu *v, u32 code_attr)
{
    for (unsigned s = SEG_ES; s <= SEG_GS; s++)
        v->seg[s] = (struct segment){.limit = ~0u, .attr = SEG_P | SEG_S | SEG_G | SEG_DB | 3, .sel = 16};
    v->seg[SEG_CS] = (struct segment){.limit = ~0u, .attr = SEG_P | SEG_S | SEG_G | 0xb | code_attr, .sel = 8};
    v->cpl = 0;
}

static inline void core_mode32(struct vcpu *v)
{
    v->cr0 = CR0_PE | CR0_ET | CR0_NE;
    v->cr4 = CR4_OSFXSR | CR4_OSXSAVE;
    v->efer = 0;
    core_flat(v, SEG_DB);
    mode_update(v);
}

static inline void core_mode64(struct vcpu *v)
{
    u64 pml4 = 0x2000 | 7, pdpt = 0x80 | 7;
    memcpy(vm.ram->slot[0].host + 0x1000, &pml4, 8);
    memcpy(vm.ram->slot[0].host + 0x2000, &pdpt, 8);
    v->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE;
    v->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE;
    v->cr3 = 0x1000;
    v->efer = EFER_LME | EFER_LMA;
    core_flat(v, SEG_L);
    mode_update(v);
}

#endif
