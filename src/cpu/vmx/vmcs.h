/*
 * The VMCS in decoded form, and its fields by encoding. The same bytes, behind a header of VMCS_DATA_OFFSET bytes, are
 * the contents of a VMCS region: every bit pattern is a valid struct vmcs, so loading a region is one copy. A change of
 * struct vmcs needs a new VMCS_REVISION.
 */
#ifndef CPU_VMX_VMCS_H
#define CPU_VMX_VMCS_H

#include "cpu/core/vcpu.h"
#include "x86/vmcs.h"

#define VMCS_REVISION 0x0e425803u /* "NBX" and a version, below 2^30: some hypervisors drop bit 30 */
#define VMCS_ABORT_OFFSET 4
#define VMCS_LAUNCH_OFFSET 8
#define VMCS_DATA_OFFSET 16
#define VMCS_SIZE 4096u

struct vmcs {
    /* VM-execution, VM-exit and VM-entry control fields */
    u64 io_bitmap_a, io_bitmap_b, msr_bitmap;
    u64 exit_msr_store, exit_msr_load, entry_msr_load;
    u64 executive_vmcs, tsc_offset, virtual_apic, apic_access, eptp;
    u64 vmread_bitmap, vmwrite_bitmap, xss_exiting, tsc_multiplier;
    u64 cr0_mask, cr4_mask, cr0_shadow, cr4_shadow, cr3_target[4];
    /* VM-exit information fields */
    u64 guest_physical, qualification, io_rcx, io_rsi, io_rdi, io_rip, guest_linear;
    /* guest state */
    u64 link, guest_debugctl, guest_pat, guest_efer, guest_pdpte[4];
    u64 guest_cr0, guest_cr3, guest_cr4, guest_base[SEG_COUNT], guest_gdtr_base, guest_idtr_base;
    u64 guest_dr7, guest_rsp, guest_rip, guest_rflags, guest_pending_debug;
    u64 guest_sysenter_esp, guest_sysenter_eip;
    /* host state */
    u64 host_pat, host_efer, host_cr0, host_cr3, host_cr4;
    u64 host_fs_base, host_gs_base, host_tr_base, host_gdtr_base, host_idtr_base;
    u64 host_sysenter_esp, host_sysenter_eip, host_rsp, host_rip;

    u32 pin, proc, proc2, exception_bitmap, pf_mask, pf_match, cr3_target_count;
    u32 exit_controls, exit_store_count, exit_load_count;
    u32 entry_controls, entry_load_count, entry_intr_info, entry_error, entry_insn_len;
    u32 tpr_threshold, ple_gap, ple_window;
    u32 insn_error, exit_reason, exit_intr_info, exit_intr_error, idt_info, idt_error, exit_insn_len, exit_insn_info;
    u32 guest_limit[SEG_COUNT], guest_gdtr_limit, guest_idtr_limit, guest_attr[SEG_COUNT];
    u32 guest_interruptibility, guest_activity, guest_smbase, guest_sysenter_cs, guest_preemption_timer;
    u32 host_sysenter_cs;

    u16 vpid;
    u16 guest_sel[SEG_COUNT];
    u16 host_sel[SEG_TR + 1]; /* no LDTR */
};

struct vmcs_field {
    u32 encoding;
    u16 offset; /* in struct vmcs */
    u8 size;    /* bytes of the member: 2, 4, 8 */
    const char *name;
};

extern const struct vmcs_field vmcs_fields[];
extern const unsigned vmcs_field_count;

/* Finds the field of an encoding; returns false if there is none. *offset is that in a struct vmcs in host memory and,
 * behind VMCS_DATA_OFFSET, in a VMCS region. *high: the access is to bits 63:32 only. */
bool vmcs_find(u64 encoding, u16 *offset, u8 *size, bool *high);

static inline bool vmcs_read_only(u64 encoding)
{
    return VMCS_TYPE(encoding) == VMCS_TYPE_EXIT_INFO;
}

u64 vmcs_get(const struct vmcs *f, u16 offset, u8 size, bool high);
void vmcs_set(struct vmcs *f, u16 offset, u8 size, bool high, u64 value);

#endif
