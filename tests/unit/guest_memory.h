/*
 * A VM with one vCPU, some RAM and page tables, for tests of the MMU. RAM from 0; tables are taken from TABLES upward.
 * Everything outside RAM is one device that remembers accesses.
 */
#ifndef TESTS_UNIT_GUEST_MEMORY_H
#define TESTS_UNIT_GUEST_MEMORY_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/core/cpuid.h"
#include "cpu/core/nested.h"
#include "cpu/cpu.h"
#include "cpu/event/lapic.h"
#include "cpu/jit/block.h"
#include "cpu/jit/exec.h"
#include "cpu/mmu/mmu.h"
#include "unit/slots.h"
#include "x86/paging.h"

#define RAM_SIZE (32ull << 20)
#define ROM_START 0xfff00000ull
#define ROM_SIZE 0x10000ull
#define TABLES 0x100000ull

#define P PTE_P
#define W PTE_W
#define U PTE_U
#define A PTE_A
#define D PTE_D
#define PS PTE_PS
#define G PTE_G
#define NX PTE_NX

enum paging { PAGING_NONE, PAGING_32, PAGING_PAE, PAGING_4, PAGING_5 };

static struct vm vm;
static struct vcpu *v;
static struct ram *memory;
static u8 *ram, *rom;
static u64 next_table;
static enum paging paging;

static struct {
    unsigned reads, writes;
    u64 gpa, value;
    unsigned size;
} device;

static u64 device_read(void *opaque, gpa_t gpa, unsigned size)
{
    device.reads++;
    device.gpa = gpa.a;
    device.size = size;
    return 0x1122334455667788;
}

static void device_write(void *opaque, gpa_t gpa, u64 value, unsigned size)
{
    device.writes++;
    device.gpa = gpa.a;
    device.value = value;
    device.size = size;
}

static u64 device_now(void *opaque)
{
    return 1;
}

static void device_timer(void *opaque, u32 index, u64 deadline)
{
}

static const struct machine machine = {.mmio_read = device_read, .mmio_write = device_write};
static const struct cpu_host on_host = {.now_ns = device_now, .timer_set = device_timer};

static void *pages(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        abort();
    return p;
}

static void guest_create(enum vendor vendor)
{
    static struct cpu_features features;
    memset(&features, 0xff, sizeof features);
    features.vendor = vendor;
    ram = pages(RAM_SIZE);
    rom = pages(ROM_SIZE);
    memory = slots_create(ram, RAM_SIZE);
    slot_put(memory, 1, ROM_START, ROM_SIZE, rom, RAM_READONLY);
    vm = (struct vm){.machine = &machine,
                     .host = &on_host,
                     .upcalls = &cpu_upcalls,
                     .vendor = vendor,
                     .vcpu_count = 1,
                     .tsc_khz = 1000000,
                     .phys_bits = 40,
                     .features = &features,
                     .ram = memory->space};
    vm.cache = calloc(1, sizeof *vm.cache);
    v = pages(sizeof *v + 4096);
    vm.vcpu[0] = v;
    v->vm = &vm;
    v->features = &features;
    v->tsc_khz = vm.tsc_khz;
    v->exec = pages(sizeof *v->exec);
    v->flags = FLAG_ONE;
    v->gif = true;
    v->cr0 = CR0_PE | CR0_ET;
    v->dr6 = DR6_FIXED;
    v->dr7 = DR7_FIXED;
    v->apic_base = 0xfee00900;
    lapic_create(v, pages(lapic_size()));
    mmu_init(v, pages(mmu_size()));
    mmu_attach(v);
}

static u64 table_new(void)
{
    u64 t = next_table;
    next_table += PAGE_SIZE;
    memset(ram + t, 0, PAGE_SIZE);
    return t;
}

/* Empty tables of the given kind; everything else about translation is reset. */
static void guest_paging(enum paging kind)
{
    paging = kind;
    next_table = TABLES;
    v->cr0 = CR0_PE | CR0_ET | CR0_WP | (kind != PAGING_NONE ? CR0_PG : 0);
    v->cr4 = (kind >= PAGING_PAE ? CR4_PAE : CR4_PSE) | (kind == PAGING_5 ? CR4_LA57 : 0) | CR4_PGE;
    v->efer = EFER_NXE | (kind >= PAGING_4 ? EFER_LME | EFER_LMA : 0);
    v->seg[SEG_CS].attr = kind >= PAGING_4 ? SEG_L : SEG_DB;
    v->cr3 = table_new();
    v->cpl = 0;
    v->pkru = 0;
    v->flags = FLAG_ONE;
    v->dr7 = DR7_FIXED;
    v->in_guest = false;
    if (kind == PAGING_PAE) {
        for (unsigned i = 0; i < 4; i++)
            v->pdpte[i] = table_new() | P;
    }
    mmu_set_stage2(v, STAGE2_NONE, 0, 0);
    mmu_flush_all(v);
}

static unsigned top_level(void)
{
    return paging == PAGING_5 ? 5 : paging == PAGING_4 ? 4 : 2;
}

static unsigned level_shift(unsigned level)
{
    return paging == PAGING_32 ? 2 + level * 10 : 3 + level * 9;
}

/* Returns the entry for `la` at `level`. Tables on the way are made, with all permissions. The upper half of a 4-byte
 * entry belongs to the next one. */
static void *entry_at(u64 la, unsigned level)
{
    u64 table = paging == PAGING_PAE ? v->pdpte[la >> 30 & 3] & ~0xfffull : v->cr3 & ~0xfffull;
    for (unsigned l = top_level();; l--) {
        if (paging == PAGING_32) {
            u32 *e = (u32 *)(ram + table) + (la >> level_shift(l) & 0x3ff);
            if (l == level)
                return e;
            if (!(*e & P))
                *e = (u32)(table_new() | P | W | U);
            table = *e & ~0xfffu;
        } else {
            u64 *e = (u64 *)(ram + table) + (la >> level_shift(l) & 0x1ff);
            if (l == level)
                return e;
            if (!(*e & P))
                *e = table_new() | P | W | U;
            table = *e & 0x000ffffffffff000;
        }
    }
}

static inline u64 entry_get(u64 la, unsigned level)
{
    void *e = entry_at(la, level);
    return paging == PAGING_32 ? *(u32 *)e : *(u64 *)e;
}

static inline void entry_set(u64 la, unsigned level, u64 value)
{
    void *e = entry_at(la, level);
    if (paging == PAGING_32)
        *(u32 *)e = (u32)value;
    else
        *(u64 *)e = value;
}

static inline void map(u64 la, u64 value)
{
    entry_set(la, 1, value);
}

static inline u64 where(u64 la, enum access access, enum outcome *out)
{
    gpa_t gpa = GPA(~0ull);
    *out = mmu_translate(v, la, access, &gpa);
    return gpa.a;
}

#endif
