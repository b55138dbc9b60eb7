/*
 * The VMX instructions; what VM entry does is in entry.c. Each checks in the order of its pseudocode in the manual:
 * mode, exit from L2, privilege, operands; and ends by VMsucceed, VMfailInvalid or VMfailValid.
 * Source: Intel SDM volume 3C, "VMX Instruction Reference".
 */
#include "cpu/core/fault.h"
#include "cpu/insn/hypercall.h"
#include "cpu/insn/ops.h"
#include "cpu/mmu/cr.h"
#include "cpu/mmu/segment.h"
#include "cpu/vmx/vmx.h"
#include "x86/msr.h"

static enum outcome vmx_succeed(struct vcpu *v)
{
    rflags_set_arith(v, 0);
    return CPU_OK;
}

enum outcome vmx_fail_invalid(struct vcpu *v)
{
    rflags_set_arith(v, FLAG_CF);
    return CPU_OK;
}

enum outcome vmx_fail(struct vcpu *v, enum vmx_error error)
{
    struct vmx *x = v->vmx;
    if (x->current == VMX_NO_POINTER)
        return vmx_fail_invalid(v);
    x->f.insn_error = error;
    rflags_set_arith(v, FLAG_ZF);
    return CPU_OK;
}

/* Returns false where any VMX instruction raises #UD. */
static bool mode_ok(const struct vcpu *v)
{
    return v->vmx && (v->cr0 & CR0_PE) && !in_v86(v) && (!in_long_mode(v) || in_64bit(v));
}

/* How all but VMXON, VMCALL, VMREAD and VMWRITE begin: #UD, exit from L2, #GP. */
static enum outcome check_common(struct vcpu *v, const struct insn *in, u32 reason)
{
    if (!mode_ok(v) || !v->vmx->on)
        return raise_ud(v);
    if (v->in_guest)
        return vmx_exit_instruction(v, in, reason);
    return v->cpl ? raise_gp(v, 0) : CPU_OK;
}

static unsigned operand_size(const struct vcpu *v)
{
    return in_64bit(v) ? 8 : 4;
}

static bool region_address_ok(const struct vcpu *v, u64 address)
{
    return !(address & PAGE_MASK) && !(address >> v->vm->phys_bits);
}

static enum outcome read_pointer(struct vcpu *v, const struct insn *in, u64 *pointer)
{
    return seg_read(v, in->seg, insn_offset(v, in), pointer, 8);
}

static u32 read_u32(struct vcpu *v, u64 address)
{
    u32 value;
    phys_read(v, GPA(address), &value, 4);
    return value;
}

static void vmx_flush(struct vcpu *v)
{
    struct vmx *x = v->vmx;
    if (x->current == VMX_NO_POINTER)
        return;
    u32 launched = x->launched;
    phys_write(v, GPA(x->current + VMCS_LAUNCH_OFFSET), &launched, 4);
    phys_write(v, GPA(x->current + VMCS_DATA_OFFSET), &x->f, sizeof(x->f));
}

enum outcome op_vmxon(struct vcpu *v, const struct insn *in)
{
    if (!mode_ok(v) || !(v->cr4 & CR4_VMXE))
        return raise_ud(v);
    struct vmx *x = v->vmx;
    if (x->on && v->in_guest)
        return vmx_exit_instruction(v, in, EXIT_VMXON);
    if (v->cpl)
        return raise_gp(v, 0);
    if (x->on)
        return vmx_fail(v, VMERR_VMXON_IN_ROOT);
    u64 need = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMXON_OUTSIDE_SMX;
    if (!vmx_cr0_fixed_ok(v->cr0, false) || !vmx_cr4_fixed_ok(v, v->cr4) || (v->feature_control & need) != need)
        return raise_gp(v, 0);
    u64 region;
    TRY(read_pointer(v, in, &region));
    if (!region_address_ok(v, region) || read_u32(v, region) != VMCS_REVISION)
        return vmx_fail_invalid(v);
    x->on = true;
    x->vmxon = region;
    x->current = VMX_NO_POINTER;
    x->shadow = false;
    v->monitor_armed = false;
    return vmx_succeed(v);
}

enum outcome op_vmxoff(struct vcpu *v, const struct insn *in)
{
    TRY(check_common(v, in, EXIT_VMXOFF));
    struct vmx *x = v->vmx;
    vmx_flush(v);
    x->on = false;
    x->current = VMX_NO_POINTER;
    if (v->init_pending) /* VMX root operation held it back */
        request_set(v, REQ_EVENT);
    return vmx_succeed(v);
}

enum outcome op_vmclear(struct vcpu *v, const struct insn *in)
{
    TRY(check_common(v, in, EXIT_VMCLEAR));
    struct vmx *x = v->vmx;
    u64 region;
    TRY(read_pointer(v, in, &region));
    if (!region_address_ok(v, region))
        return vmx_fail(v, VMERR_VMCLEAR_ADDRESS);
    if (region == x->vmxon)
        return vmx_fail(v, VMERR_VMCLEAR_VMXON_POINTER);
    if (region == x->current) {
        x->launched = false;
        vmx_flush(v);
        x->current = VMX_NO_POINTER;
    } else {
        u32 launched = false;
        phys_write(v, GPA(region + VMCS_LAUNCH_OFFSET), &launched, 4);
    }
    return vmx_succeed(v);
}

enum outcome op_vmptrld(struct vcpu *v, const struct insn *in)
{
    TRY(check_common(v, in, EXIT_VMPTRLD));
    struct vmx *x = v->vmx;
    u64 region;
    TRY(read_pointer(v, in, &region));
    if (!region_address_ok(v, region))
        return vmx_fail(v, VMERR_VMPTRLD_ADDRESS);
    if (region == x->vmxon)
        return vmx_fail(v, VMERR_VMPTRLD_VMXON_POINTER);
    u32 revision = read_u32(v, region);
    bool shadow = revision & VMCS_SHADOW;
    if ((revision & ~VMCS_SHADOW) != VMCS_REVISION || (shadow && !(x->caps->proc2 & PROC2_SHADOW_VMCS)))
        return vmx_fail(v, VMERR_VMPTRLD_REVISION);
    if (region != x->current) {
        vmx_flush(v);
        x->current = region;
        x->launched = read_u32(v, region + VMCS_LAUNCH_OFFSET) & 1;
        phys_read(v, GPA(region + VMCS_DATA_OFFSET), &x->f, sizeof(x->f));
    }
    x->shadow = shadow;
    return vmx_succeed(v);
}

enum outcome op_vmptrst(struct vcpu *v, const struct insn *in)
{
    TRY(check_common(v, in, EXIT_VMPTRST));
    TRY(seg_write(v, in->seg, insn_offset(v, in), &v->vmx->current, 8));
    return vmx_succeed(v);
}

/* Returns false if VMREAD or VMWRITE of L2 exits. SDM "VMCS Shadowing". */
static bool shadowed(struct vcpu *v, u64 bitmap, u64 encoding)
{
    if (!(v->vmx->proc2 & PROC2_SHADOW_VMCS) || encoding >> 15)
        return false;
    u8 byte;
    phys_read(v, GPA(bitmap + encoding / 8), &byte, 1);
    return !(byte >> (encoding % 8) & 1);
}

/* How VMREAD and VMWRITE begin, up to the look-up of the field. *done: the flags are set already. */
static enum outcome access_begin(struct vcpu *v, const struct insn *in, u64 encoding, bool write, bool *done)
{
    *done = false;
    if (!mode_ok(v) || !v->vmx->on)
        return raise_ud(v);
    struct vmx *x = v->vmx;
    if (v->in_guest && !shadowed(v, write ? x->f.vmwrite_bitmap : x->f.vmread_bitmap, encoding))
        return vmx_exit_instruction(v, in, write ? EXIT_VMWRITE : EXIT_VMREAD);
    if (v->cpl)
        return raise_gp(v, 0);
    if ((v->in_guest ? x->f.link : x->current) == VMX_NO_POINTER) {
        *done = true;
        return vmx_fail_invalid(v);
    }
    return CPU_OK;
}

enum outcome op_vmread(struct vcpu *v, const struct insn *in)
{
    unsigned size = operand_size(v);
    u64 encoding = mask_size(v->gpr[in->reg], size);
    bool done, high;
    TRY(access_begin(v, in, encoding, false, &done));
    if (done)
        return CPU_OK;
    struct vmx *x = v->vmx;
    u16 offset;
    u8 width;
    if (!vmcs_find(encoding, &offset, &width, &high))
        return vmx_fail(v, VMERR_UNSUPPORTED_FIELD); /* in L2 too: the current VMCS, not the shadow, has the error */
    u64 value = 0;
    if (!v->in_guest) {
        value = vmcs_get(&x->f, offset, width, high);
    } else {
        phys_read(v, GPA(x->f.link + VMCS_DATA_OFFSET + offset), &value, width);
        value = high ? value >> 32 : value;
    }
    TRY(rm_write(v, in, size, mask_size(value, size)));
    return vmx_succeed(v);
}

enum outcome op_vmwrite(struct vcpu *v, const struct insn *in)
{
    unsigned size = operand_size(v);
    u64 encoding = mask_size(v->gpr[in->reg], size), value;
    bool done, high;
    TRY(access_begin(v, in, encoding, true, &done));
    if (done)
        return CPU_OK;
    struct vmx *x = v->vmx;
    TRY(rm_read(v, in, size, &value));
    u16 offset;
    u8 width;
    if (!vmcs_find(encoding, &offset, &width, &high))
        return vmx_fail(v, VMERR_UNSUPPORTED_FIELD);
    /* Exit-information fields too can be written: IA32_VMX_MISC bit 29. */
    if (!v->in_guest) {
        vmcs_set(&x->f, offset, width, high, value);
    } else if (high) {
        u32 half = (u32)value;
        phys_write(v, GPA(x->f.link + VMCS_DATA_OFFSET + offset + 4), &half, 4);
    } else {
        phys_write(v, GPA(x->f.link + VMCS_DATA_OFFSET + offset), &value, width);
    }
    return vmx_succeed(v);
}

static enum outcome launch(struct vcpu *v, const struct insn *in, bool first)
{
    TRY(check_common(v, in, first ? EXIT_VMLAUNCH : EXIT_VMRESUME));
    struct vmx *x = v->vmx;
    if (x->current == VMX_NO_POINTER || x->shadow)
        return vmx_fail_invalid(v);
    if (v->shadow & SHADOW_MOVSS)
        return vmx_fail(v, VMERR_ENTRY_MOVSS);
    if (first && x->launched)
        return vmx_fail(v, VMERR_VMLAUNCH_NOT_CLEAR);
    if (!first && !x->launched)
        return vmx_fail(v, VMERR_VMRESUME_NOT_LAUNCHED);
    return vmx_enter(v, first);
}

enum outcome op_vmlaunch(struct vcpu *v, const struct insn *in)
{
    return launch(v, in, true);
}

enum outcome op_vmresume(struct vcpu *v, const struct insn *in)
{
    return launch(v, in, false);
}

enum outcome op_vmcall(struct vcpu *v, const struct insn *in)
{
    if (v->in_guest && !v->vmx) { /* on AMD: with KVM's interface, VMCALL counts as VMMCALL */
        if (!v->vm->paravirt)
            return raise_ud(v);
        TRY(nested_check(v, IC_VMMCALL, 0, 0));
        return hypercall_offered(v) ? hypercall(v, VENDOR_INTEL) : raise_ud(v);
    }
    if (!v->vmx || !v->vmx->on || (!v->in_guest && hypercall_offered(v)))
        return hypercall(v, VENDOR_INTEL);
    if (v->in_guest)
        return vmx_exit_insn(v, EXIT_VMCALL, 0);
    if (!mode_ok(v))
        return raise_ud(v);
    if (v->cpl)
        return raise_gp(v, 0);
    return vmx_fail(v, VMERR_VMCALL_IN_ROOT); /* no dual-monitor treatment of SMM */
}

/* No VM function is offered, so "enable VM functions" is 0 wherever this is executed. */
enum outcome op_vmfunc(struct vcpu *v, const struct insn *in)
{
    return raise_ud(v);
}

enum { INVEPT_SINGLE = 1, INVEPT_ALL = 2 };

enum outcome op_invept(struct vcpu *v, const struct insn *in)
{
    TRY(check_common(v, in, EXIT_INVEPT));
    u64 type = mask_size(v->gpr[in->reg], operand_size(v));
    if (type != INVEPT_SINGLE && type != INVEPT_ALL)
        return vmx_fail(v, VMERR_INVALID_OPERAND);
    u64 desc[2];
    TRY(seg_read(v, in->seg, insn_offset(v, in), desc, sizeof(desc)));
    if (type == INVEPT_SINGLE && !vmx_eptp_valid(v, v->vmx, desc[0]))
        return vmx_fail(v, VMERR_INVALID_OPERAND);
    mmu_flush_nroot(v, desc[0], type == INVEPT_ALL);
    return vmx_succeed(v);
}

enum { INVVPID_ADDRESS, INVVPID_SINGLE, INVVPID_ALL, INVVPID_SINGLE_NONGLOBAL };

enum outcome op_invvpid(struct vcpu *v, const struct insn *in)
{
    TRY(check_common(v, in, EXIT_INVVPID));
    u64 type = mask_size(v->gpr[in->reg], operand_size(v));
    if (type > INVVPID_SINGLE_NONGLOBAL)
        return vmx_fail(v, VMERR_INVALID_OPERAND);
    struct {
        u16 vpid;
        u16 reserved[3];
        u64 address;
    } desc;
    TRY(seg_read(v, in->seg, insn_offset(v, in), &desc, sizeof(desc)));
    if (desc.reserved[0] || desc.reserved[1] || desc.reserved[2] || (type != INVVPID_ALL && !desc.vpid) ||
        (type == INVVPID_ADDRESS && !is_canonical_base(v, desc.address)))
        return vmx_fail(v, VMERR_INVALID_OPERAND);
    if (type == INVVPID_ADDRESS)
        mmu_flush_page(v, desc.vpid, true, 0, desc.address);
    else if (type == INVVPID_ALL)
        mmu_flush_guests(v);
    else
        mmu_flush_space(v, desc.vpid);
    return vmx_succeed(v);
}
