/*
 * What VMX makes of L2's local APIC: the virtual TPR and its threshold, and accesses to the APIC-access page. The MMU
 * finds these accesses and asks here, after all faults and EPT violations, what becomes of them.
 * Source: Intel SDM volume 3C, "APIC Virtualization and Virtual Interrupts".
 */
#include "cpu/vmx/vmx.h"

/* "TPR Virtualization": a trap-like exit comes after the access that lowered VTPR. */
void vmx_tpr_changed(struct vcpu *v, u32 vtpr)
{
    struct vmx *x = v->vmx;
    if (TPR_CLASS(vtpr) < x->f.tpr_threshold) {
        x->tpr_pending = true;
        request_raise(v, REQ_EVENT);
    }
}

bool vmx_apic_page_missing(struct vcpu *v)
{
    const struct vmx *x = v->vmx;
    return !vcpu_ram(v, GPA(x->f.apic_access)) &&
           __atomic_load_n(&v->vm->fetch_exits, __ATOMIC_RELAXED) != CPU_FETCH_NEVER;
}

/* "Virtualizing Reads from the APIC-Access Page", "Virtualizing Writes to the APIC-Access Page": without APIC-register
 * virtualization that is the TPR's. */
static bool is_virtual(const struct vcpu *v, u64 offset, unsigned size, enum access access)
{
    return offset == APIC_TPR && size && size <= 4 && !(access & ACCESS_FETCH) && v->vmx->f.proc & PROC_TPR_SHADOW;
}

enum outcome vmx_apic_access(struct vcpu *v, gpa_t *gpa, unsigned size, enum access access)
{
    u64 offset = gpa->a & PAGE_MASK, type;
    if (is_virtual(v, offset, size, access)) {
        gpa->a = v->vmx->f.virtual_apic + offset;
        return CPU_OK;
    }
    if (!size) /* "Guest-Physical Accesses to the APIC-Access Page" */
        type = v->delivering.valid ? APICQ_PHYSICAL_EVENT : APICQ_PHYSICAL;
    else if (v->delivering.valid)
        type = APICQ_EVENT;
    else
        type = access & ACCESS_FETCH ? APICQ_FETCH : access & ACCESS_WRITE ? APICQ_WRITE : APICQ_READ;
    (void)vmx_iret_unblocked(v); /* for which the qualification has no bit */
    return vmx_exit_fault(v, EXIT_APIC_ACCESS, (size ? offset : 0) | type << APICQ_TYPE_SHIFT);
}

/* "APIC-Write Emulation". */
void vmx_apic_written(struct vcpu *v)
{
    gpa_t at = GPA(v->vmx->f.virtual_apic + APIC_TPR);
    u32 vtpr;
    phys_read(v, at, &vtpr, 4);
    vtpr &= 0xff;
    phys_write(v, at, &vtpr, 4);
    vmx_tpr_changed(v, vtpr);
}
