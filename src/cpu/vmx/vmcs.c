/*
 * The fields of the VMCS, in one row each, and the look-up by encoding that VMREAD and VMWRITE do. The index of the
 * look-up is made from width, type and index of the encodings at compile time.
 * Source: Intel SDM volume 3D, appendix "Field Encoding in VMCS".
 */
#include "cpu/vmx/vmcs.h"

#define KEY(enc) (VMCS_WIDTH(enc) << 7 | VMCS_TYPE(enc) << 5 | (VMCS_INDEX(enc) & 31))
#define KEY_COUNT 512

/* clang-format off */
#define SEGMENT(X, enc, member, seg) X(VMCS_SEGMENT(enc, seg), member[seg])
#define SEGMENTS(X, enc, member) \
    SEGMENT(X, enc, member, SEG_ES) SEGMENT(X, enc, member, SEG_CS) SEGMENT(X, enc, member, SEG_SS) \
    SEGMENT(X, enc, member, SEG_DS) SEGMENT(X, enc, member, SEG_FS) SEGMENT(X, enc, member, SEG_GS)

#define FIELDS(X) \
    X(VMCS_VPID, vpid) \
    SEGMENTS(X, VMCS_GUEST_SELECTOR, guest_sel) \
        SEGMENT(X, VMCS_GUEST_SELECTOR, guest_sel, SEG_LDTR) \
        SEGMENT(X, VMCS_GUEST_SELECTOR, guest_sel, SEG_TR) \
    SEGMENTS(X, VMCS_HOST_SELECTOR, host_sel) X(VMCS_HOST_TR_SELECTOR, host_sel[SEG_TR]) \
    X(VMCS_IO_BITMAP_A, io_bitmap_a) \
    X(VMCS_IO_BITMAP_B, io_bitmap_b) \
    X(VMCS_MSR_BITMAP, msr_bitmap) \
    X(VMCS_EXIT_MSR_STORE, exit_msr_store) \
    X(VMCS_EXIT_MSR_LOAD, exit_msr_load) \
    X(VMCS_ENTRY_MSR_LOAD, entry_msr_load) \
    X(VMCS_EXECUTIVE_VMCS, executive_vmcs) \
    X(VMCS_TSC_OFFSET, tsc_offset) \
    X(VMCS_VIRTUAL_APIC, virtual_apic) \
    X(VMCS_APIC_ACCESS, apic_access) \
    X(VMCS_EPTP, eptp) \
    X(VMCS_VMREAD_BITMAP, vmread_bitmap) \
    X(VMCS_VMWRITE_BITMAP, vmwrite_bitmap) \
    X(VMCS_XSS_EXITING, xss_exiting) \
    X(VMCS_TSC_MULTIPLIER, tsc_multiplier) \
    X(VMCS_GUEST_PHYSICAL, guest_physical) \
    X(VMCS_LINK_POINTER, link) \
    X(VMCS_GUEST_DEBUGCTL, guest_debugctl) \
    X(VMCS_GUEST_PAT, guest_pat) \
    X(VMCS_GUEST_EFER, guest_efer) \
    X(VMCS_GUEST_PDPTE0, guest_pdpte[0]) \
    X(VMCS_GUEST_PDPTE1, guest_pdpte[1]) \
    X(VMCS_GUEST_PDPTE2, guest_pdpte[2]) \
    X(VMCS_GUEST_PDPTE3, guest_pdpte[3]) \
    X(VMCS_HOST_PAT, host_pat) \
    X(VMCS_HOST_EFER, host_efer) \
    X(VMCS_PIN_CONTROLS, pin) \
    X(VMCS_PROC_CONTROLS, proc) \
    X(VMCS_EXCEPTION_BITMAP, exception_bitmap) \
    X(VMCS_PF_MASK, pf_mask) \
    X(VMCS_PF_MATCH, pf_match) \
    X(VMCS_CR3_TARGET_COUNT, cr3_target_count) \
    X(VMCS_EXIT_CONTROLS, exit_controls) \
    X(VMCS_EXIT_MSR_STORE_COUNT, exit_store_count) \
    X(VMCS_EXIT_MSR_LOAD_COUNT, exit_load_count) \
    X(VMCS_ENTRY_CONTROLS, entry_controls) \
    X(VMCS_ENTRY_MSR_LOAD_COUNT, entry_load_count) \
    X(VMCS_ENTRY_INTR_INFO, entry_intr_info) \
    X(VMCS_ENTRY_ERROR_CODE, entry_error) \
    X(VMCS_ENTRY_INSN_LENGTH, entry_insn_len) \
    X(VMCS_TPR_THRESHOLD, tpr_threshold) \
    X(VMCS_PROC2_CONTROLS, proc2) \
    X(VMCS_PLE_GAP, ple_gap) \
    X(VMCS_PLE_WINDOW, ple_window) \
    X(VMCS_INSN_ERROR, insn_error) \
    X(VMCS_EXIT_REASON, exit_reason) \
    X(VMCS_EXIT_INTR_INFO, exit_intr_info) \
    X(VMCS_EXIT_INTR_ERROR_CODE, exit_intr_error) \
    X(VMCS_IDT_VECTORING_INFO, idt_info) \
    X(VMCS_IDT_VECTORING_ERROR_CODE, idt_error) \
    X(VMCS_EXIT_INSN_LENGTH, exit_insn_len) \
    X(VMCS_EXIT_INSN_INFO, exit_insn_info) \
    SEGMENTS(X, VMCS_GUEST_LIMIT, guest_limit) \
        SEGMENT(X, VMCS_GUEST_LIMIT, guest_limit, SEG_LDTR) \
        SEGMENT(X, VMCS_GUEST_LIMIT, guest_limit, SEG_TR) \
    X(VMCS_GUEST_GDTR_LIMIT, guest_gdtr_limit) \
    X(VMCS_GUEST_IDTR_LIMIT, guest_idtr_limit) \
    SEGMENTS(X, VMCS_GUEST_ACCESS_RIGHTS, guest_attr) \
        SEGMENT(X, VMCS_GUEST_ACCESS_RIGHTS, guest_attr, SEG_LDTR) \
        SEGMENT(X, VMCS_GUEST_ACCESS_RIGHTS, guest_attr, SEG_TR) \
    X(VMCS_GUEST_INTERRUPTIBILITY, guest_interruptibility) \
    X(VMCS_GUEST_ACTIVITY, guest_activity) \
    X(VMCS_GUEST_SMBASE, guest_smbase) \
    X(VMCS_GUEST_SYSENTER_CS, guest_sysenter_cs) \
    X(VMCS_GUEST_PREEMPTION_TIMER, guest_preemption_timer) \
    X(VMCS_HOST_SYSENTER_CS, host_sysenter_cs) \
    X(VMCS_CR0_MASK, cr0_mask) \
    X(VMCS_CR4_MASK, cr4_mask) \
    X(VMCS_CR0_READ_SHADOW, cr0_shadow) \
    X(VMCS_CR4_READ_SHADOW, cr4_shadow) \
    X(VMCS_CR3_TARGET0, cr3_target[0]) \
    X(VMCS_CR3_TARGET1, cr3_target[1]) \
    X(VMCS_CR3_TARGET2, cr3_target[2]) \
    X(VMCS_CR3_TARGET3, cr3_target[3]) \
    X(VMCS_EXIT_QUALIFICATION, qualification) \
    X(VMCS_IO_RCX, io_rcx) \
    X(VMCS_IO_RSI, io_rsi) \
    X(VMCS_IO_RDI, io_rdi) \
    X(VMCS_IO_RIP, io_rip) \
    X(VMCS_GUEST_LINEAR, guest_linear) \
    X(VMCS_GUEST_CR0, guest_cr0) \
    X(VMCS_GUEST_CR3, guest_cr3) \
    X(VMCS_GUEST_CR4, guest_cr4) \
    SEGMENTS(X, VMCS_GUEST_BASE, guest_base) \
        SEGMENT(X, VMCS_GUEST_BASE, guest_base, SEG_LDTR) \
        SEGMENT(X, VMCS_GUEST_BASE, guest_base, SEG_TR) \
    X(VMCS_GUEST_GDTR_BASE, guest_gdtr_base) \
    X(VMCS_GUEST_IDTR_BASE, guest_idtr_base) \
    X(VMCS_GUEST_DR7, guest_dr7) \
    X(VMCS_GUEST_RSP, guest_rsp) \
    X(VMCS_GUEST_RIP, guest_rip) \
    X(VMCS_GUEST_RFLAGS, guest_rflags) \
    X(VMCS_GUEST_PENDING_DEBUG, guest_pending_debug) \
    X(VMCS_GUEST_SYSENTER_ESP, guest_sysenter_esp) \
    X(VMCS_GUEST_SYSENTER_EIP, guest_sysenter_eip) \
    X(VMCS_HOST_CR0, host_cr0) \
    X(VMCS_HOST_CR3, host_cr3) \
    X(VMCS_HOST_CR4, host_cr4) \
    X(VMCS_HOST_FS_BASE, host_fs_base) \
    X(VMCS_HOST_GS_BASE, host_gs_base) \
    X(VMCS_HOST_TR_BASE, host_tr_base) \
    X(VMCS_HOST_GDTR_BASE, host_gdtr_base) \
    X(VMCS_HOST_IDTR_BASE, host_idtr_base) \
    X(VMCS_HOST_SYSENTER_ESP, host_sysenter_esp) \
    X(VMCS_HOST_SYSENTER_EIP, host_sysenter_eip) \
    X(VMCS_HOST_RSP, host_rsp) \
    X(VMCS_HOST_RIP, host_rip)
/* clang-format on */

#define MEMBER_SIZE(member) sizeof(((struct vmcs *)0)->member)
#define ROW(enc, member) {enc, offsetof(struct vmcs, member), MEMBER_SIZE(member), #member},
const struct vmcs_field vmcs_fields[] = {FIELDS(ROW)};
const unsigned vmcs_field_count = ARRAY_LEN(vmcs_fields);

/* An entry of size 0 is no field. */
static const struct {
    u16 offset;
    u8 size;
} by_key[KEY_COUNT] = {
#define SLOT(enc, member) [KEY(enc)] = {offsetof(struct vmcs, member), MEMBER_SIZE(member)},
    FIELDS(SLOT)
#undef SLOT
};

_Static_assert(VMCS_DATA_OFFSET + sizeof(struct vmcs) <= VMCS_SIZE, "the VMCS fits its region");

bool vmcs_find(u64 encoding, u16 *offset, u8 *size, bool *high)
{
    /* Bits 31:15 and 12 are reserved; an index beyond the table's five bits has no field. */
    if (encoding & ~0x6c3full)
        return false;
    *high = encoding & VMCS_HIGH;
    if (*high && VMCS_WIDTH(encoding) != VMCS_WIDTH_64)
        return false;
    u32 key = KEY((u32)encoding);
    *offset = by_key[key].offset;
    *size = by_key[key].size;
    return *size != 0;
}

u64 vmcs_get(const struct vmcs *f, u16 offset, u8 size, bool high)
{
    const void *p = (const char *)f + offset;
    if (size == 8)
        return high ? *(const u64 *)p >> 32 : *(const u64 *)p;
    return size == 4 ? *(const u32 *)p : *(const u16 *)p;
}

void vmcs_set(struct vmcs *f, u16 offset, u8 size, bool high, u64 value)
{
    void *p = (char *)f + offset;
    if (size == 2)
        *(u16 *)p = (u16)value;
    else if (size == 4)
        *(u32 *)p = (u32)value;
    else if (high)
        *(u64 *)p = (u32) * (u64 *)p | value << 32;
    else
        *(u64 *)p = value;
}
