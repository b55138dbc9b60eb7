/*
 * VT-x for the guest: the state of one vCPU's VMX, and the functions that the files of this folder share. The rest of
 * the engine reaches them through vmx_ops (core/nested.h). Everything runs on the vCPU's own thread.
 */
#ifndef CPU_VMX_VMX_H
#define CPU_VMX_VMX_H

#include "cpu/core/nested.h"
#include "cpu/mmu/mmu.h"
#include "cpu/vmx/vmcs.h"
#include "x86/apic.h"
#include "x86/vmx_exit.h"

#define VMX_NO_POINTER (~0ull)
#define VMX_TIMER_SHIFT 5 /* the preemption timer counts at TSC >> 5 */
#define VMX_CR3_TARGETS 4
#define VMX_MSR_LIST_MAX 512

/* CR0 bits that VM entry and VM exit leave as they are: ET, CD, NW and the reserved ones. */
#define CR0_KEPT (CR0_ET | CR0_CD | CR0_NW | ~CR0_DEFINED)

/* The second stage's space of an L2 without VPID. No VPID has this number, so its mappings stay apart from L1's. */
#define SPACE_NO_VPID 0x10000u

/* What the CPU offers: bits that controls may set, and bits that they must set. */
struct vmx_caps {
    u32 pin, proc, proc2, exit, entry;
    struct {
        u32 pin, proc, proc2, exit, entry;
    } must;
    u64 basic, misc, ept_vpid, cr0_fixed0, cr4_fixed0, vmcs_enum;
};

struct vmx {
    bool on;          /* in VMX operation */
    bool launched;    /* launch state of the current VMCS */
    bool shadow;      /* the current VMCS is a shadow VMCS */
    bool timer_on;    /* the preemption timer is counting */
    bool mtf_pending; /* VM entry injected a monitor trap: the exit is owed */
    bool tpr_pending; /* the virtual TPR fell below the threshold: the exit is owed */
    bool nmi_held;    /* NMIs blocked in L2 in a way that IRET does not undo */
    u64 vmxon;        /* VMXON pointer */
    u64 current;      /* current-VMCS pointer */
    const struct vmx_caps *caps;
    struct vmx_caps own; /* what is left of vmx_offered; survives RESET */
    u64 cr4_may;         /* IA32_VMX_CR4_FIXED1 */
    struct vmcs f;       /* the current VMCS */

    u32 proc2;               /* secondary controls in force */
    u64 timer_end;           /* the preemption timer is zero when TSC >> VMX_TIMER_SHIFT reaches this */
    u64 timer_deadline;      /* the same as the host's monotonic time in ns */
    u64 ple_first, ple_last; /* TSC at the first and the last PAUSE of a loop */

    /* What RSM brings back from system management mode: CR4.VMXE, VMX operation, and whether L2 ran. */
    bool smm_vmxe, smm_on, smm_guest;
};

/* caps.c */
extern const struct vmx_caps vmx_offered;
/* Each returns true if the reserved bits of a control field are as the TRUE capability MSR says. */
bool vmx_pin_ok(const struct vmx_caps *c, u32 value);
bool vmx_proc_ok(const struct vmx_caps *c, u32 value);
bool vmx_exit_controls_ok(const struct vmx_caps *c, u32 value);
bool vmx_entry_controls_ok(const struct vmx_caps *c, u32 value);
bool vmx_cr0_fixed_ok(u64 cr0, bool unrestricted);
bool vmx_cr4_fixed_ok(const struct vcpu *v, u64 cr4);
bool vmx_msr_read(struct vcpu *v, u32 msr, u64 *value, enum outcome *out);
bool vmx_msr_write(struct vcpu *v, u32 msr, u64 value, enum outcome *out);
/* The owner of the vCPU sets a capability MSR. Returns false if the value offers more than vmx_offered does. */
bool vmx_msr_put(struct vcpu *v, u32 msr, u64 value);

enum outcome vmx_fail(struct vcpu *v, enum vmx_error error);
enum outcome vmx_fail_invalid(struct vcpu *v);

/* checks_*.c: each returns true if all rules hold; else v->broken_rule is the first that does not. */
bool vmx_check_controls(struct vcpu *v, struct vmx *x);
bool vmx_check_host(struct vcpu *v, struct vmx *x);
/* The rules of the host-state area that do not look at L1's state before VM entry. */
bool vmx_check_host_area(struct vcpu *v, struct vmx *x);
/* *qualification is that of the VM-entry failure. */
bool vmx_check_guest(struct vcpu *v, struct vmx *x, u64 *qualification);
bool vmx_eptp_valid(const struct vcpu *v, const struct vmx *x, u64 eptp);

/* entry.c. These two set L2's translation and TSC, as the controls in force say. */
void vmx_load_translation(struct vcpu *v, const struct vmx *x);
void vmx_load_tsc(struct vcpu *v, const struct vmx *x);
MUST_CHECK enum outcome vmx_enter(struct vcpu *v, bool launch);

/* exit.c: leaves L2. Fields that only some reasons have (interruption information, instruction information, addresses)
 * are the caller's; everything else is stored here. Returns CPU_NESTED_EXIT, or CPU_EXIT after a VMX abort.
 * Which of these it is decides about RF: SDM volume 3C, "Saving RIP, RSP, RFLAGS, and SSP". While an event is
 * delivered, each of them saves the RF that the event's frame would have got. */
enum outcome vmx_exit(struct vcpu *v, u32 reason, u64 qualification);
/* By an instruction, unconditional or because L1 wants it: RF is saved as clear. */
enum outcome vmx_exit_insn(struct vcpu *v, u32 reason, u64 qualification);
/* By an access, where another one would fault: RF is saved as set. */
enum outcome vmx_exit_fault(struct vcpu *v, u32 reason, u64 qualification);
/* VM entry failed after the host checks: loads host state, saves nothing of L2. */
enum outcome vmx_entry_failed(struct vcpu *v, u32 reason, u64 qualification);
/* An exit on an event: stores interruption information and error code, then exits. */
enum outcome vmx_exit_event(struct vcpu *v, const struct event *e, u64 qualification);
/* Returns true once if the exit comes from an IRET that faulted after it unblocked NMIs, which is done here. SDM volume
 * 3C, "Changes to Instruction Behavior in VMX Non-Root Operation", IRET. */
bool vmx_iret_unblocked(struct vcpu *v);

/* MSR lists, for entry.c and exit.c. Each returns the index of the first entry that failed, from 1; 0 if none did. */
u32 vmx_msr_list_load(struct vcpu *v, u64 address, u32 count);
u32 vmx_msr_list_store(struct vcpu *v, u64 address, u32 count);

/* intercept.c */
enum outcome vmx_intercept(struct vcpu *v, enum intercept ic, u64 info1, u64 info2);
bool vmx_user_is_plain(const struct vcpu *v);
/* A VMX instruction of L2 exits with displacement and instruction information. */
enum outcome vmx_exit_instruction(struct vcpu *v, const struct insn *in, u32 reason);
u64 vmx_cr_read(struct vcpu *v, unsigned cr, u64 value);
u64 vmx_cr_write(struct vcpu *v, unsigned cr, u64 value);
bool vmx_cr_valid(struct vcpu *v, unsigned cr, u64 value);

/* apic.c */
void vmx_tpr_changed(struct vcpu *v, u32 vtpr);
/* Must VM entry with "virtualize APIC accesses" leave with CPU_EXIT_APIC_PAGE? */
bool vmx_apic_page_missing(struct vcpu *v);
enum outcome vmx_apic_access(struct vcpu *v, gpa_t *gpa, unsigned size, enum access access);
void vmx_apic_written(struct vcpu *v);

/* events.c */
enum outcome vmx_exception(struct vcpu *v, const struct event *e);
enum outcome vmx_event(struct vcpu *v, enum nested_event what);
enum outcome vmx_windows(struct vcpu *v);
bool vmx_intr_allowed(struct vcpu *v);
bool vmx_nmi_allowed(struct vcpu *v);
enum outcome vmx_stage2(struct vcpu *v, const struct stage2_fault *f);
void vmx_timer_start(struct vcpu *v, u32 value);
u32 vmx_timer_value(struct vcpu *v);
/* The preemption timer: deadline, timer, tsc_seen and tsc_changed of vmx_ops. */
u64 vmx_deadline(const struct vcpu *v);
void vmx_timer(struct vcpu *v);
void vmx_tsc_seen(struct vcpu *v);
void vmx_tsc_changed(struct vcpu *v);

/* state.c */
void vmx_state_get(struct vcpu *v, struct cpu_nested *n);
const char *vmx_state_refusal(struct vcpu *v, const struct cpu_nested *n);
void vmx_state_set(struct vcpu *v, const struct cpu_nested *n);

/* Returns VTPR in the virtual-APIC page, or NULL if that page is not RAM. */
static inline u32 *vmx_vtpr(struct vcpu *v)
{
    return vcpu_ram(v, GPA(v->vmx->f.virtual_apic + APIC_TPR));
}

#endif
