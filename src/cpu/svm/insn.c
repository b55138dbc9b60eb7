/*
 * The SVM instructions but VMRUN: legality, privilege, intercept, address, work, in that order. VMLOAD and VMSAVE of
 * L2 that are not intercepted address L1's physical memory; where they are virtualized, they address L2's, through
 * NPT. STGI and CLGI of L2 set V_GIF if virtual GIF is on, else L1's own GIF.
 * Source: AMD APM volume 3, "System Instruction Reference"; volume 2, "VMSAVE and VMLOAD Virtualization", "Virtual
 * GIF".
 */
#include "cpu/svm/insn.h"
#include "cpu/core/copy.h"
#include "cpu/insn/hypercall.h"
#include "cpu/insn/ops.h"
#include "cpu/svm/npt.h"
#include "cpu/svm/segattr.h"
#include "cpu/svm/svm.h"

enum outcome svm_privileged(struct vcpu *v)
{
    if (!(v->efer & EFER_SVME) || !in_protected(v) || in_v86(v))
        return raise_ud(v);
    if (v->cpl)
        return raise_gp(v, 0);
    return CPU_OK;
}

/* *pa is the L1-physical address that rAX of VMLOAD or VMSAVE names. */
static enum outcome vmcb_operand(struct vcpu *v, const struct insn *in, enum access access, gpa_t *pa)
{
    const struct svm *s = v->svm;
    u64 address = mask_size(v->gpr[RAX], in->asz);
    if (!svm_page_valid(v, address))
        return raise_gp(v, 0);
    *pa = GPA(address);
    if (!v->in_guest || !(s->control.virt_ext & VIRT_EXT_VMLOAD_VMSAVE) || !(s->control.nested & NESTED_NP_ENABLE))
        return CPU_OK;
    struct stage2_fault f = {.final = true};
    u64 page_size;
    u8 grants;
    if (npt_walk(v, s->control.ncr3, NGPA(address), access, false, pa, &page_size, &grants, &f))
        return CPU_OK;
    return svm_stage2(v, &f);
}

/* Virtualized VMLOAD and VMSAVE work in 64-bit guests only; elsewhere they exit as if intercepted. */
static enum outcome check_virtual(struct vcpu *v, unsigned exit_code)
{
    if (v->in_guest && (v->svm->control.virt_ext & VIRT_EXT_VMLOAD_VMSAVE) && !in_long_mode(v))
        return svm_exit_insn(v, exit_code, 0, 0);
    return CPU_OK;
}

enum outcome op_vmload(struct vcpu *v, const struct insn *in)
{
    TRY(svm_privileged(v));
    TRY(nested_check(v, IC_VMLOAD, 0, 0));
    TRY(check_virtual(v, SVM_EXIT_VMLOAD));
    gpa_t pa;
    TRY(vmcb_operand(v, in, ACCESS_READ, &pa));

    struct vmcb_save g;
    phys_read(v, GPA(pa.a + VMCB_SAVE_OFFSET), &g, sizeof g);
    v->seg[SEG_FS] = segment_from_vmcb(v, &g.fs);
    v->seg[SEG_GS] = segment_from_vmcb(v, &g.gs);
    v->seg[SEG_TR] = segment_from_vmcb(v, &g.tr);
    v->seg[SEG_LDTR] = segment_from_vmcb(v, &g.ldtr);
    v->kernel_gs_base = canonicalize(v, g.kernel_gs_base);
    v->star = g.star;
    v->lstar = canonicalize(v, g.lstar);
    v->cstar = canonicalize(v, g.cstar);
    v->sfmask = (u32)g.sfmask;
    v->sysenter_cs = (u32)g.sysenter_cs;
    v->sysenter_esp = canonicalize(v, g.sysenter_esp);
    v->sysenter_eip = canonicalize(v, g.sysenter_eip);
    return CPU_OK;
}

enum outcome op_vmsave(struct vcpu *v, const struct insn *in)
{
    TRY(svm_privileged(v));
    TRY(nested_check(v, IC_VMSAVE, 0, 0));
    TRY(check_virtual(v, SVM_EXIT_VMSAVE));
    gpa_t pa;
    TRY(vmcb_operand(v, in, ACCESS_WRITE, &pa));

    struct vmcb *m = svm_vmcb(v, pa);
    if (!m)
        return CPU_OK; /* a write to what is not RAM is lost */
    struct vmcb_save *g = &m->save;
    g->fs = segment_to_vmcb(&v->seg[SEG_FS]);
    g->gs = segment_to_vmcb(&v->seg[SEG_GS]);
    g->tr = segment_to_vmcb(&v->seg[SEG_TR]);
    g->ldtr = segment_to_vmcb(&v->seg[SEG_LDTR]);
    g->kernel_gs_base = v->kernel_gs_base;
    g->star = v->star;
    g->lstar = v->lstar;
    g->cstar = v->cstar;
    g->sfmask = v->sfmask;
    g->sysenter_cs = v->sysenter_cs;
    g->sysenter_esp = v->sysenter_esp;
    g->sysenter_eip = v->sysenter_eip;
    phys_written(v, pa, sizeof *m);
    return CPU_OK;
}

enum outcome op_stgi(struct vcpu *v, const struct insn *in)
{
    TRY(svm_privileged(v));
    TRY(nested_check(v, IC_STGI, 0, 0));
    if (v->in_guest && (v->svm->control.vintr & VINTR_GIF_ENABLE))
        v->svm->control.vintr |= VINTR_GIF;
    else
        v->gif = true;
    svm_events_wake(v);
    return CPU_OK;
}

enum outcome op_clgi(struct vcpu *v, const struct insn *in)
{
    TRY(svm_privileged(v));
    TRY(nested_check(v, IC_CLGI, 0, 0));
    if (v->in_guest && (v->svm->control.vintr & VINTR_GIF_ENABLE))
        v->svm->control.vintr &= ~VINTR_GIF;
    else
        v->gif = false;
    return CPU_OK;
}

enum outcome op_invlpga(struct vcpu *v, const struct insn *in)
{
    TRY(svm_privileged(v));
    TRY(nested_check(v, IC_INVLPGA, mask_size(v->gpr[RAX], in->asz), (u32)v->gpr[RCX]));
    mmu_flush_page(v, (u32)v->gpr[RCX], true, 0, mask_size(v->gpr[RAX], in->asz));
    return CPU_OK;
}

enum outcome op_vmmcall(struct vcpu *v, const struct insn *in)
{
    if (v->in_guest && !v->svm)
        return raise_ud(v);
    TRY(nested_check(v, IC_VMMCALL, 0, 0));
    return v->efer & EFER_SVME && !hypercall_offered(v) ? raise_ud(v) : hypercall(v, VENDOR_AMD);
}

/* CPUID does not show SKINIT, so it is not there. */
enum outcome op_skinit(struct vcpu *v, const struct insn *in)
{
    return raise_ud(v);
}
