/*
 * A vCPU with one mebibyte of RAM, no paging and no devices, for tests that call the core's functions directly: no
 * translated code runs. GDT, LDT, IDT and a TSS lie in its RAM, stacks end at FAKE_RSP and, of ring 0, at FAKE_RSP0.
 */
#ifndef TESTS_UNIT_FAKE_VCPU_H
#define TESTS_UNIT_FAKE_VCPU_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/core/cpuid.h"
#include "cpu/core/nested.h"
#include "cpu/cpu.h"
#include "cpu/event/exception.h"
#include "cpu/event/lapic.h"
#include "cpu/insn/ops.h"
#include "cpu/mmu/segment.h"
#include "unit/slots.h"

#define FAKE_RAM 0x100000ull
#define GDT 0x1000u
#define IDT 0x2000u
#define TSS 0x3000u
#define TSS_SP0 4 /* offsets in the 32-bit TSS */
#define TSS_SS0 8
#define TSS64_RSP0 4 /* and in the 64-bit TSS */
#define TSS64_IST1 36
/* What fake_protected leaves in RIP and RSP. */
#define FAKE_RIP 0x4000u
#define FAKE_RSP 0x8000u
#define FAKE_RSP0 0x9000u

/* Selectors of the GDT that fake_gdt fills. */
enum {
    SEL_CODE0 = 0x08,
    SEL_DATA0 = 0x10,
    SEL_CODE3 = 0x18 | 3,
    SEL_DATA3 = 0x20 | 3,
    SEL_TSS = 0x28, /* 16 bytes */
    SEL_FREE = 0x38,
    SEL_FREE2 = 0x40,
    SEL_CODE64 = 0x50,
    SEL_CODE64_3 = 0x58 | 3,
};

static u8 *fake_ram;

static void fake_timer_set(void *opaque, u32 index, u64 deadline)
{
}

static void fake_kick(void *opaque, u32 index)
{
}

static u64 fake_now(void *opaque)
{
    return 1;
}

static inline void poke(u64 at, u64 value, unsigned size)
{
    memcpy(fake_ram + at, &value, size);
}

static inline u64 peek(u64 at, unsigned size)
{
    u64 x = 0;
    memcpy(&x, fake_ram + at, size);
    return x;
}

/* type: S bit and type bits; flags: SEG_G, SEG_DB, SEG_L. */
static inline u64 fake_descriptor(u32 base, u32 limit, u32 type, u32 dpl, u32 flags)
{
    u64 attr = type | dpl << SEG_DPL_SHIFT | SEG_P | flags;
    return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (attr & 0xff) << 40 | (u64)(limit >> 16 & 0xf) << 48 |
           (attr & 0xf000) << 40 | (u64)(base >> 24) << 56;
}

static inline void fake_gdt(u16 sel, u64 descriptor)
{
    poke(GDT + (sel & ~7u), descriptor, 8);
}

static inline u64 fake_gate(u16 sel, u32 offset, u32 type, u32 dpl)
{
    return (offset & 0xffff) | (u64)sel << 16 | (u64)(type | dpl << SEG_DPL_SHIFT | SEG_P) << 40 |
           (u64)(offset >> 16) << 48;
}

static inline struct segment fake_segment(u16 sel)
{
    struct descriptor d;
    descriptor_decode(&d, peek(GDT + (sel & ~7u), 8));
    return segment_from(sel, &d);
}

static inline struct vcpu *fake_vcpu(enum vendor vendor)
{
    static struct cpu_host host = {.now_ns = fake_now, .timer_set = fake_timer_set, .kick = fake_kick};
    static struct cpu_features features;
    static struct vm vm;
    static struct vcpu v;
    static void *mmu, *lapic;
    if (!mmu) {
        mmu = aligned_alloc(4096, (mmu_size() + 4095) & ~4095ull);
        lapic = calloc(1, lapic_size());
        fake_ram = aligned_alloc(4096, FAKE_RAM);
        vm.ram = slots_create(fake_ram, FAKE_RAM)->space;
    }
    memset(mmu, 0, mmu_size());
    memset(fake_ram, 0, FAKE_RAM);
    memset(&v, 0, sizeof v);
    vm.host = &host;
    vm.vendor = vendor;
    vm.vcpu_count = 1;
    vm.vcpu[0] = &v;
    vm.features = &features;
    vm.phys_bits = 40;
    vm.tsc_khz = 1000000;
    features.vendor = vendor;
    v.vm = &vm;
    v.features = &features;
    v.tsc_khz = vm.tsc_khz;
    lapic_create(&v, lapic);
    mmu_init(&v, mmu);
    cpu_reset(&v);
    return &v;
}

/* Protected mode at CPL 0 or 3 with flat 32-bit segments. */
static inline void fake_protected(struct vcpu *v, u32 cpl)
{
    const u32 code = SEG_S | SEG_TYPE_CODE | SEG_TYPE_WRITE, data = SEG_S | SEG_TYPE_WRITE;
    fake_gdt(SEL_CODE0, fake_descriptor(0, 0xfffff, code, 0, SEG_G | SEG_DB));
    fake_gdt(SEL_DATA0, fake_descriptor(0, 0xfffff, data, 0, SEG_G | SEG_DB));
    fake_gdt(SEL_CODE3, fake_descriptor(0, 0xfffff, code, 3, SEG_G | SEG_DB));
    fake_gdt(SEL_DATA3, fake_descriptor(0, 0xfffff, data, 3, SEG_G | SEG_DB));
    fake_gdt(SEL_TSS, fake_descriptor(TSS, TSS_LIMIT_LEAST, SYS_TSS_BUSY, 0, 0));
    fake_gdt(SEL_CODE64, fake_descriptor(0, 0xfffff, code, 0, SEG_G | SEG_L));
    fake_gdt(SEL_CODE64_3, fake_descriptor(0, 0xfffff, code, 3, SEG_G | SEG_L));
    v->gdtr = (struct desc_table){GDT, 0x7ff};
    v->idtr = (struct desc_table){IDT, 0x7ff};
    poke(TSS + TSS_SP0, FAKE_RSP0, 4);
    poke(TSS + TSS_SS0, SEL_DATA0, 2);
    v->cr0 |= CR0_PE;
    v->seg[SEG_TR] = fake_segment(SEL_TSS);
    v->seg[SEG_CS] = fake_segment(cpl ? SEL_CODE3 : SEL_CODE0);
    for (unsigned i = 0; i <= SEG_GS; i++)
        if (i != SEG_CS)
            v->seg[i] = fake_segment(cpl ? SEL_DATA3 : SEL_DATA0);
    v->gpr[RSP] = FAKE_RSP;
    v->rip = FAKE_RIP;
    v->next_rip = FAKE_RIP + 2;
    cpl_set(v, cpl);
}

/* A fault with this vector and error code. */
static inline bool faulted(const struct vcpu *v, enum outcome r, u8 vector, u32 error)
{
    if (r == CPU_FAULT && v->fault.vector == vector && v->fault.error == error)
        return true;
    printf("# outcome %d vector %u error %x\n", r, v->fault.vector, v->fault.error);
    return false;
}

#endif
