/*
 * One vCPU with VMX and a VMCS that passes every check: L1 in 64-bit mode with an identity map, L2 likewise with EPT,
 * VPID and unrestricted guest. For the tests of cpu/vmx; handlers and hooks are called directly, no translated code
 * runs.
 */
#ifndef TESTS_UNIT_VMX_MACHINE_H
#define TESTS_UNIT_VMX_MACHINE_H

#include "cpu/insn/ops.h"
#include "cpu/vmx/ept.h"
#include "cpu/vmx/vmx.h"
#include "unit/core.h"
#include "x86/paging.h"

#define VMXON_AT 0x10000u
#define VMCS_AT 0x11000u
#define BITMAPS_AT 0x12000u /* I/O A, I/O B, MSR */
#define VAPIC_AT 0x15000u
#define EPT_AT 0x16000u
#define LISTS_AT 0x1a000u
#define POINTER_AT 0x1b000u
#define OTHER_VMCS_AT 0x1c000u

#define L1_RIP 0x4000u
#define L1_EXIT 0xffffffff81000000ull /* host RIP */
#define L2_RIP 0x1000u
#define L2_RSP 0x3000u
#define L2_CR3 0x5000u

#define CODE64_ATTR (SEG_TYPE_CODE | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_S | SEG_P | SEG_L | SEG_G)
#define DATA_ATTR (SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_S | SEG_P | SEG_DB | SEG_G)
enum { SEL_CODE = 8, SEL_DATA = 16, SEL_TSS = 64 };

static struct vcpu *v;
static struct vmx *x;
static u8 *ram;

/* An instruction without operands. */
static const struct insn plain = {.len = 3, .osz = 8, .asz = 8, .base = REG_NONE, .index = REG_NONE, .scale = 1};

/* A new vCPU, in L1 outside VMX operation. */
static inline void machine_create(void)
{
    core_create(VENDOR_INTEL, true, 1, NULL);
    v = vm.vcpu[0];
    x = v->vmx;
    ram = vm.ram->slot[0].host;
    core_mode64(v);
    v->cr4 |= CR4_VMXE;
    v->efer |= EFER_NXE;
    v->rip = L1_RIP;
    v->next_rip = L1_RIP + plain.len;
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

/* The bits that a control field must have. */
static inline u32 machine_must(u32 msr)
{
    u64 value = 0;
    enum outcome out;
    if (!vmx_msr_read(v, msr, &value, &out))
        abort();
    return (u32)value;
}

/* A current VMCS in which every check holds, in place of the one that was there. */
static inline void machine_vmcs(void)
{
    struct vmcs *f = &x->f;
    enum outcome out;
    x->on = true;
    x->vmxon = VMXON_AT;
    x->current = VMCS_AT;
    x->launched = x->shadow = false;
    vmx_msr_read(v, MSR_VMX_CR4_FIXED1, &x->cr4_may, &out);

    memset(f, 0, sizeof *f);
    f->pin = machine_must(MSR_VMX_TRUE_PINBASED_CTLS) | PIN_NMI_EXITING | PIN_EXTINT_EXITING | PIN_VIRTUAL_NMIS;
    f->proc = machine_must(MSR_VMX_TRUE_PROCBASED_CTLS) | PROC_SECONDARY | PROC_TPR_SHADOW | PROC_IO_BITMAPS |
              PROC_MSR_BITMAPS | PROC_HLT_EXITING;
    f->proc2 = PROC2_EPT | PROC2_VPID | PROC2_UNRESTRICTED_GUEST;
    f->exit_controls = machine_must(MSR_VMX_TRUE_EXIT_CTLS) | EXITC_HOST_64 | EXITC_LOAD_EFER | EXITC_LOAD_PAT |
                       EXITC_SAVE_EFER | EXITC_SAVE_DEBUG;
    f->entry_controls = machine_must(MSR_VMX_TRUE_ENTRY_CTLS) | ENTRYC_IA32E_GUEST | ENTRYC_LOAD_EFER |
                        ENTRYC_LOAD_PAT | ENTRYC_LOAD_DEBUG;
    f->io_bitmap_a = BITMAPS_AT;
    f->io_bitmap_b = BITMAPS_AT + PAGE_SIZE;
    f->msr_bitmap = BITMAPS_AT + 2 * PAGE_SIZE;
    f->virtual_apic = VAPIC_AT;
    f->eptp = EPT_AT | MEMTYPE_WB | EPTP_WALK_4;
    f->vpid = 1;
    f->link = VMX_NO_POINTER;

    f->host_cr0 = v->cr0;
    f->host_cr3 = v->cr3;
    f->host_cr4 = v->cr4;
    f->host_efer = v->efer;
    f->host_pat = f->guest_pat = PAT_RESET;
    f->host_rip = L1_EXIT;
    f->host_rsp = 0xffff888000000000;
    f->host_sel[SEG_CS] = SEL_CODE;
    f->host_sel[SEG_SS] = SEL_DATA;
    f->host_sel[SEG_TR] = SEL_TSS;

    f->guest_cr0 = v->cr0;
    f->guest_cr3 = L2_CR3;
    f->guest_cr4 = v->cr4;
    f->guest_efer = v->efer;
    f->guest_dr7 = DR7_FIXED;
    f->guest_rflags = FLAG_ONE;
    f->guest_rip = L2_RIP;
    f->guest_rsp = L2_RSP;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
        f->guest_sel[i] = SEL_DATA;
        f->guest_limit[i] = ~0u;
        f->guest_attr[i] = DATA_ATTR;
    }
    f->guest_sel[SEG_CS] = SEL_CODE;
    f->guest_attr[SEG_CS] = CODE64_ATTR;
    f->guest_sel[SEG_TR] = SEL_TSS;
    f->guest_limit[SEG_TR] = 0x67;
    f->guest_attr[SEG_TR] = SYS_TSS_BUSY | SEG_P;
    f->guest_attr[SEG_LDTR] = SEG_UNUSABLE;
    f->guest_gdtr_limit = f->guest_idtr_limit = 0xfff;
    x->proc2 = f->proc2;
}

/* A new vCPU with that VMCS, for a test to change before machine_launch. */
static inline void machine_ready(void)
{
    machine_create();
    machine_vmcs();
}

/* VMLAUNCH; the vCPU is then in the middle of L2's first instruction, two bytes long. */
static inline void machine_launch(void)
{
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_OK);
    CHECK(v->in_guest);
    v->rip = L2_RIP;
    v->next_rip = L2_RIP + 2;
    v->insn = &plain;
}

/* L1 runs at its exit handler, and the VMCS has the reason. */
static inline void machine_exited(u32 reason)
{
    CHECK(!v->in_guest);
    CHECK_EQ(x->f.exit_reason, reason);
    CHECK_EQ(v->rip, L1_EXIT);
    CHECK_EQ(v->next_rip, L1_EXIT);
    CHECK_EQ(v->gpr[RSP], x->f.host_rsp);
    CHECK_EQ(v->seg[SEG_CS].sel, SEL_CODE);
    CHECK(in_64bit(v));
    CHECK_EQ(rflags_get(v), FLAG_ONE);
    CHECK_EQ(v->dr7, DR7_FIXED);
    CHECK(v->intr_masked);
    v->insn = NULL;
}

#endif
