/*
 * The fields of the VMCS: one row each, and the look-up by encoding that VMREAD and VMWRITE do. The index is made from
 * width, type and index of the encoding at compile time.
 * Source: Intel SDM volume 3D, appendix "Field Encoding in VMCS".
 */
#include "cpu/vmx/vmcs.h"

#define KEY(enc) (VMCS_WIDTH(enc) << 7 | VMCS_TYPE(enc) << 5 | (VMCS_INDEX(enc) & 31))
#define KEY_COUNT 512

/* clang-format off */
#define SEGMENT_FIELDS(X, enc, member) \
    X((enc), member[SEG_ES]) X((enc) + 2, member[SEG_CS]) X((enc) + 4, member[SEG_SS]) X((enc) + 6, member[SEG_DS]) \
    X((enc) + 8, member[SEG_FS]) X((enc) + 10, member[SEG_GS])

#define FIELDS(X) \
    X(0x0000, vpid) \
    SEGMENT_FIELDS(X, 0x0800, guest_sel) X(0x080c, guest_sel[SEG_LDTR]) X(0x080e, guest_sel[SEG_TR]) \
    SEGMENT_FIELDS(X, 0x0c00, host_sel) X(0x0c0c, host_sel[SEG_TR]) \
    X(0x2000, io_bitmap_a) \
    X(0x2002, io_bitmap_b) \
    X(0x2004, msr_bitmap) \
    X(0x2006, exit_msr_store) \
    X(0x2008, exit_msr_load) \
    X(0x200a, entry_msr_load) \
    X(0x200c, executive_vmcs) \
    X(0x2010, tsc_offset) \
    X(0x2012, virtual_apic) \
    X(0x2014, apic_access) \
    X(0x201a, eptp) \
    X(0x2026, vmread_bitmap) \
    X(0x2028, vmwrite_bitmap) \
    X(0x202c, xss_exiting) \
    X(0x2400, guest_physical) \
    X(0x2800, link) \
    X(0x2802, guest_debugctl) \
    X(0x2804, guest_pat) \
    X(0x2806, guest_efer) \
    X(0x280a, guest_pdpte[0]) \
    X(0x280c, guest_pdpte[1]) \
    X(0x280e, guest_pdpte[2]) \
    X(0x2810, guest_pdpte[3]) \
    X(0x2c00, host_pat) \
    X(0x2c02, host_efer) \
    X(0x4000, pin) \
    X(0x4002, proc) \
    X(0x4004, exception_bitmap) \
    X(0x4006, pf_mask) \
    X(0x4008, pf_match) \
    X(0x400a, cr3_target_count) \
    X(0x400c, exit_controls) \
    X(0x400e, exit_store_count) \
    X(0x4010, exit_load_count) \
    X(0x4012, entry_controls) \
    X(0x4014, entry_load_count) \
    X(0x4016, entry_intr_info) \
    X(0x4018, entry_error) \
    X(0x401a, entry_insn_len) \
    X(0x401c, tpr_threshold) \
    X(0x401e, proc2) \
    X(0x4020, ple_gap) \
    X(0x4022, ple_window) \
    X(0x4400, insn_error) \
    X(0x4402, exit_reason) \
    X(0x4404, exit_intr_info) \
    X(0x4406, exit_intr_error) \
    X(0x4408, idt_info) \
    X(0x440a, idt_error) \
    X(0x440c, exit_insn_len) \
    X(0x440e, exit_insn_info) \
    SEGMENT_FIELDS(X, 0x4800, guest_limit) X(0x480c, guest_limit[SEG_LDTR]) X(0x480e, guest_limit[SEG_TR]) \
    X(0x4810, guest_gdtr_limit) \
    X(0x4812, guest_idtr_limit) \
    SEGMENT_FIELDS(X, 0x4814, guest_attr) X(0x4820, guest_attr[SEG_LDTR]) X(0x4822, guest_attr[SEG_TR]) \
    X(0x4824, guest_interruptibility) \
    X(0x4826, guest_activity) \
    X(0x4828, guest_smbase) \
    X(0x482a, guest_sysenter_cs) \
    X(0x482e, guest_preemption_timer) \
    X(0x4c00, host_sysenter_cs) \
    X(0x6000, cr0_mask) \
    X(0x6002, cr4_mask) \
    X(0x6004, cr0_shadow) \
    X(0x6006, cr4_shadow) \
    X(0x6008, cr3_target[0]) \
    X(0x600a, cr3_target[1]) \
    X(0x600c, cr3_target[2]) \
    X(0x600e, cr3_target[3]) \
    X(0x6400, qualification) \
    X(0x6402, io_rcx) \
    X(0x6404, io_rsi) \
    X(0x6406, io_rdi) \
    X(0x6408, io_rip) \
    X(0x640a, guest_linear) \
    X(0x6800, guest_cr0) \
    X(0x6802, guest_cr3) \
    X(0x6804, guest_cr4) \
    SEGMENT_FIELDS(X, 0x6806, guest_base) X(0x6812, guest_base[SEG_LDTR]) X(0x6814, guest_base[SEG_TR]) \
    X(0x6816, guest_gdtr_base) \
    X(0x6818, guest_idtr_base) \
    X(0x681a, guest_dr7) \
    X(0x681c, guest_rsp) \
    X(0x681e, guest_rip) \
    X(0x6820, guest_rflags) \
    X(0x6822, guest_pending_debug) \
    X(0x6824, guest_sysenter_esp) \
    X(0x6826, guest_sysenter_eip) \
    X(0x6c00, host_cr0) \
    X(0x6c02, host_cr3) \
    X(0x6c04, host_cr4) \
    X(0x6c06, host_fs_base) \
    X(0x6c08, host_gs_base) \
    X(0x6c0a, host_tr_base) \
    X(0x6c0c, host_gdtr_base) \
    X(0x6c0e, host_idtr_base) \
    X(0x6c10, host_sysenter_esp) \
    X(0x6c12, host_sysenter_eip) \
    X(0x6c14, host_rsp) \
    X(0x6c16, host_rip)
/* clang-format on */

#define MEMBER_SIZE(member) sizeof(((struct vmcs *)0)->member)
#define ROW(enc, member) {enc, offsetof(struct vmcs, member), MEMBER_SIZE(member), #member},
const struct vmcs_field vmcs_fields[] = {FIELDS(ROW)};
const unsigned vmcs_field_count = ARRAY_LEN(vmcs_fields);

/* Size 0: no such field. */
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
