/*
 * One vCPU with VMX, 1 MiB of RAM and a VMCS that passes every check: L1 in 64-bit mode, L2 likewise with EPT, VPID and
 * unrestricted guest. For the vmx_ tests.
 */
#ifndef TESTS_UNIT_VMX_MACHINE_H
#define TESTS_UNIT_VMX_MACHINE_H

#include "cpu/core/cpuid.h"
#include "cpu/cpu.h"
#include "cpu/event/lapic.h"
#include "cpu/insn/ops.h"
#include "cpu/mmu/mmu.h"
#include "cpu/vmx/ept.h"
#include "cpu/vmx/vmx.h"

#include <stdlib.h>
#include <string.h>

#define RAM_SIZE 0x100000u
#define VMXON_AT 0x10000u
#define VMCS_AT 0x11000u
#define BITMAPS_AT 0x12000u /* three pages */
#define VAPIC_AT 0x15000u
#define EPT_AT 0x16000u
#define LISTS_AT 0x1a000u
#define POINTER_AT 0x1b000u

static void no_kick(void *opaque, u32 index)
{
}

static u64 one_ns(void *opaque)
{
    return 1;
}

static void no_timer(void *opaque, u32 index, u64 deadline)
{
}

static const struct cpu_host on_host = {.kick = no_kick, .now_ns = one_ns, .timer_set = no_timer};
static struct vm vm;
static struct vcpu *v;
static struct vmx *x;

static void *pages(size_t size)
{
    size = (size + 4095) & ~4095ul;
    void *p = aligned_alloc(4096, size);
    memset(p, 0, size);
    return p;
}

static inline void machine_create(void)
{
    static struct cpu_features features;
    static u32 page_flags[RAM_SIZE / PAGE_SIZE];
    struct error error;
    struct cpuid_config config = {
        .vendor = VENDOR_INTEL, .nested = true, .vcpus = 1, .tsc_khz = 1000000, .phys_bits = 40};
    if (cpuid_create(&features, &config, &error))
        abort();
    vm = (struct vm){.host = &on_host,
                     .upcalls = &cpu_upcalls,
                     .vendor = VENDOR_INTEL,
                     .vcpu_count = 1,
                     .phys_bits = 40,
                     .tsc_khz = 1000000,
                     .features = &features};
    vm.ram[0] = (struct ram_slot){.size = RAM_SIZE, .host = pages(RAM_SIZE), .page_flags = page_flags};
    vm.ram_slots = 1;
    v = pages(sizeof *v);
    v->vm = &vm;
    vm.vcpu[0] = v;
    mmu_init(v, pages(mmu_size()));
    lapic_create(v, pages(lapic_size()));
    vmx_init(v, pages(vmx_size()));
    x = v->vmx;
    v->gif = true;
    v->feature_control = 5;
}

/* L1 in flat 64-bit mode without paging trouble: CR3 maps nothing, the tests use registers and physical memory. */
static inline void machine_host(void)
{
    v->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE;
    v->cr4 = CR4_PAE | CR4_VMXE;
    v->cr3 = 0x1000;
    v->efer = EFER_LME | EFER_LMA | EFER_NXE;
    v->cpl = 0;
    v->seg[SEG_CS] = (struct segment){.limit = ~0u, .attr = SEG_P | SEG_S | SEG_L | SEG_G | 0xb, .sel = 8};
    v->seg[SEG_SS] = (struct segment){.limit = ~0u, .attr = SEG_P | SEG_S | SEG_DB | SEG_G | 3, .sel = 16};
    v->flags = FLAG_ONE;
    v->rip = 0x4000;
    v->next_rip = 0x4003;
    v->shadow = 0;
    v->in_guest = false;
}

static inline void field(u32 encoding, u64 value)
{
    u16 offset;
    u8 size;
    bool high;
    if (!vmcs_find(encoding, &offset, &size, &high))
        abort();
    vmcs_set(&x->f, offset, size, high, value);
}

/* Puts the VCPU in VMX operation with a current VMCS, in which every check holds. */
static inline void machine_vmcs(void)
{
    struct vmcs *f = &x->f;
    u64 must;
    enum outcome out;
    machine_host();
    x->on = true;
    x->vmxon = VMXON_AT;
    x->current = VMCS_AT;
    x->launched = x->shadow = false;
    memset(f, 0, sizeof *f);
    vmx_msr_read(v, MSR_VMX_CR4_FIXED1, &x->cr4_may, &out);
    vmx_msr_read(v, MSR_VMX_TRUE_PINBASED_CTLS, &must, &out);
    f->pin = (u32)must | PIN_NMI_EXITING | PIN_EXTINT_EXITING | PIN_VIRTUAL_NMIS;
    vmx_msr_read(v, MSR_VMX_TRUE_PROCBASED_CTLS, &must, &out);
    f->proc = (u32)must | PROC_SECONDARY | PROC_TPR_SHADOW | PROC_IO_BITMAPS | PROC_MSR_BITMAPS | PROC_HLT_EXITING;
    f->proc2 = PROC2_EPT | PROC2_VPID | PROC2_UNRESTRICTED_GUEST;
    vmx_msr_read(v, MSR_VMX_TRUE_EXIT_CTLS, &must, &out);
    f->exit_controls =
        (u32)must | EXITC_HOST_64 | EXITC_LOAD_EFER | EXITC_LOAD_PAT | EXITC_SAVE_EFER | EXITC_SAVE_DEBUG;
    vmx_msr_read(v, MSR_VMX_TRUE_ENTRY_CTLS, &must, &out);
    f->entry_controls = (u32)must | ENTRYC_IA32E_GUEST | ENTRYC_LOAD_EFER | ENTRYC_LOAD_PAT | ENTRYC_LOAD_DEBUG;
    f->io_bitmap_a = BITMAPS_AT;
    f->io_bitmap_b = BITMAPS_AT + 0x1000;
    f->msr_bitmap = BITMAPS_AT + 0x2000;
    f->virtual_apic = VAPIC_AT;
    f->eptp = EPT_AT | 6 | 3 << EPTP_WALK_SHIFT;
    f->vpid = 1;
    f->link = VMX_NO_POINTER;

    f->host_cr0 = v->cr0;
    f->host_cr3 = v->cr3;
    f->host_cr4 = v->cr4;
    f->host_efer = v->efer;
    f->host_pat = f->guest_pat = 0x0007040600070406;
    f->host_rip = 0xffffffff81000000;
    f->host_rsp = 0xffff888000000000;
    f->host_sel[SEG_CS] = 8;
    f->host_sel[SEG_SS] = 16;
    f->host_sel[SEG_TR] = 64;

    f->guest_cr0 = v->cr0;
    f->guest_cr3 = 0x2000;
    f->guest_cr4 = v->cr4;
    f->guest_efer = v->efer;
    f->guest_dr7 = DR7_FIXED;
    f->guest_rflags = FLAG_ONE;
    f->guest_rip = 0x1000;
    f->guest_rsp = 0x3000;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
        f->guest_sel[i] = 16;
        f->guest_limit[i] = ~0u;
        f->guest_attr[i] = 3 | SEG_S | SEG_P | SEG_DB | SEG_G;
    }
    f->guest_sel[SEG_CS] = 8;
    f->guest_attr[SEG_CS] = 11 | SEG_S | SEG_P | SEG_L | SEG_G;
    f->guest_sel[SEG_TR] = 64;
    f->guest_limit[SEG_TR] = 0x67;
    f->guest_attr[SEG_TR] = SYS_TSS_BUSY | SEG_P;
    f->guest_attr[SEG_LDTR] = SEG_UNUSABLE;
    f->guest_gdtr_limit = f->guest_idtr_limit = 0xfff;
    x->proc2 = f->proc2;
}

#endif
