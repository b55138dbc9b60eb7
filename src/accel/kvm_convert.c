/*
 * KVM's structs from a vCPU's state and back: see kvm_convert.h.
 */
#include "accel/kvm_convert.h"

#include "x86/apic.h"
#include "x86/msr.h"

#include <string.h>

/* -- general registers -- */

void regs_to_kvm(const struct cpu_state *s, struct kvm_regs *k)
{
    const u64 *g = s->gpr;
    *k = (struct kvm_regs){.rax = g[RAX],
                           .rbx = g[RBX],
                           .rcx = g[RCX],
                           .rdx = g[RDX],
                           .rsi = g[RSI],
                           .rdi = g[RDI],
                           .rsp = g[RSP],
                           .rbp = g[RBP],
                           .r8 = g[R8],
                           .r9 = g[R9],
                           .r10 = g[R10],
                           .r11 = g[R11],
                           .r12 = g[R12],
                           .r13 = g[R13],
                           .r14 = g[R14],
                           .r15 = g[R15],
                           .rip = s->rip,
                           .rflags = s->rflags};
}

void regs_from_kvm(const struct kvm_regs *k, struct cpu_state *s)
{
    const u64 g[GPR_COUNT] = {
        [RAX] = k->rax, [RBX] = k->rbx, [RCX] = k->rcx, [RDX] = k->rdx, [RSI] = k->rsi, [RDI] = k->rdi,
        [RSP] = k->rsp, [RBP] = k->rbp, [R8] = k->r8,   [R9] = k->r9,   [R10] = k->r10, [R11] = k->r11,
        [R12] = k->r12, [R13] = k->r13, [R14] = k->r14, [R15] = k->r15};
    memcpy(s->gpr, g, sizeof(g));
    s->rip = k->rip;
    s->rflags = k->rflags;
}

/* -- segments and control registers -- */

static struct kvm_segment segment_to_kvm(const struct segment *s)
{
    u32 a = s->attr;
    return (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->sel,
        .type = a & SEG_TYPE_MASK,
        .present = a & SEG_P ? 1 : 0,
        .dpl = (u8)((a & SEG_DPL_MASK) >> SEG_DPL_SHIFT),
        .db = a & SEG_DB ? 1 : 0,
        .s = a & SEG_S ? 1 : 0,
        .l = a & SEG_L ? 1 : 0,
        .g = a & SEG_G ? 1 : 0,
        .avl = a & SEG_AVL ? 1 : 0,
        .unusable = a & SEG_UNUSABLE ? 1 : 0,
    };
}

static struct segment segment_from_kvm(const struct kvm_segment *k)
{
    return (struct segment){
        .base = k->base,
        .limit = k->limit,
        .sel = k->selector,
        .attr = (k->type & SEG_TYPE_MASK) | (k->present ? SEG_P : 0) | (k->dpl & 3u) << SEG_DPL_SHIFT |
                (k->db ? SEG_DB : 0) | (k->s ? SEG_S : 0) | (k->l ? SEG_L : 0) | (k->g ? SEG_G : 0) |
                (k->avl ? SEG_AVL : 0) | (k->unusable ? SEG_UNUSABLE : 0),
    };
}

void sregs_to_kvm(const struct cpu_state *s, struct kvm_sregs2 *k)
{
    *k = (struct kvm_sregs2){
        .cs = segment_to_kvm(&s->seg[SEG_CS]),
        .ds = segment_to_kvm(&s->seg[SEG_DS]),
        .es = segment_to_kvm(&s->seg[SEG_ES]),
        .fs = segment_to_kvm(&s->seg[SEG_FS]),
        .gs = segment_to_kvm(&s->seg[SEG_GS]),
        .ss = segment_to_kvm(&s->seg[SEG_SS]),
        .tr = segment_to_kvm(&s->seg[SEG_TR]),
        .ldt = segment_to_kvm(&s->seg[SEG_LDTR]),
        .gdt = {.base = s->gdtr.base, .limit = s->gdtr.limit},
        .idt = {.base = s->idtr.base, .limit = s->idtr.limit},
        .cr0 = s->cr0,
        .cr2 = s->cr2,
        .cr3 = s->cr3,
        .cr4 = s->cr4,
        .cr8 = s->cr8,
        .efer = s->efer,
        .apic_base = s->apic_base,
    };
    k->ss.dpl = s->cpl; /* where KVM keeps it */
    bool pae = s->cr0 & CR0_PG && s->cr4 & CR4_PAE && !(s->efer & EFER_LMA);
    if (pae && s->has_pdpte) {
        k->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
        memcpy(k->pdptrs, s->pdpte, sizeof(s->pdpte));
    }
}

void sregs_from_kvm(const struct kvm_sregs2 *k, struct cpu_state *s)
{
    s->seg[SEG_CS] = segment_from_kvm(&k->cs);
    s->seg[SEG_DS] = segment_from_kvm(&k->ds);
    s->seg[SEG_ES] = segment_from_kvm(&k->es);
    s->seg[SEG_FS] = segment_from_kvm(&k->fs);
    s->seg[SEG_GS] = segment_from_kvm(&k->gs);
    s->seg[SEG_SS] = segment_from_kvm(&k->ss);
    s->seg[SEG_TR] = segment_from_kvm(&k->tr);
    s->seg[SEG_LDTR] = segment_from_kvm(&k->ldt);
    s->gdtr = (struct desc_table){.base = k->gdt.base, .limit = k->gdt.limit};
    s->idtr = (struct desc_table){.base = k->idt.base, .limit = k->idt.limit};
    s->cpl = k->ss.dpl & 3;
    s->cr0 = k->cr0;
    s->cr2 = k->cr2;
    s->cr3 = k->cr3;
    s->cr4 = k->cr4;
    s->cr8 = k->cr8;
    s->efer = k->efer;
    s->apic_base = k->apic_base;
    s->has_pdpte = k->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
    for (unsigned i = 0; i < 4; i++)
        s->pdpte[i] = s->has_pdpte ? k->pdptrs[i] : 0;
}

void sregs_to_old(const struct kvm_sregs2 *k, struct kvm_sregs *old)
{
    *old = (struct kvm_sregs){.cs = k->cs,
                              .ds = k->ds,
                              .es = k->es,
                              .fs = k->fs,
                              .gs = k->gs,
                              .ss = k->ss,
                              .tr = k->tr,
                              .ldt = k->ldt,
                              .gdt = k->gdt,
                              .idt = k->idt,
                              .cr0 = k->cr0,
                              .cr2 = k->cr2,
                              .cr3 = k->cr3,
                              .cr4 = k->cr4,
                              .cr8 = k->cr8,
                              .efer = k->efer,
                              .apic_base = k->apic_base};
}

void sregs_from_old(const struct kvm_sregs *old, struct kvm_sregs2 *k)
{
    *k = (struct kvm_sregs2){.cs = old->cs,
                             .ds = old->ds,
                             .es = old->es,
                             .fs = old->fs,
                             .gs = old->gs,
                             .ss = old->ss,
                             .tr = old->tr,
                             .ldt = old->ldt,
                             .gdt = old->gdt,
                             .idt = old->idt,
                             .cr0 = old->cr0,
                             .cr2 = old->cr2,
                             .cr3 = old->cr3,
                             .cr4 = old->cr4,
                             .cr8 = old->cr8,
                             .efer = old->efer,
                             .apic_base = old->apic_base};
}

/* -- debug registers -- */

void debugregs_to_kvm(const struct cpu_state *s, struct kvm_debugregs *k)
{
    *k = (struct kvm_debugregs){.dr6 = s->dr6, .dr7 = s->dr7};
    memcpy(k->db, s->dr, sizeof(s->dr));
}

void debugregs_from_kvm(const struct kvm_debugregs *k, struct cpu_state *s)
{
    memcpy(s->dr, k->db, sizeof(s->dr));
    s->dr6 = k->dr6;
    s->dr7 = k->dr7;
}

/* -- events -- */

static void injected_to_kvm(const struct event *e, struct kvm_vcpu_events *k)
{
    if (!e->valid)
        return;
    switch (e->type) {
    case EVENT_NMI: k->nmi.injected = 1; break;
    case EVENT_EXTINT:
    case EVENT_SOFT_INT:
        k->interrupt.injected = 1;
        k->interrupt.nr = e->vector;
        k->interrupt.soft = e->type == EVENT_SOFT_INT;
        break;
    default:
        k->exception.injected = 1;
        k->exception.nr = e->vector;
        k->exception.has_error_code = e->has_error;
        k->exception.error_code = e->error;
    }
}

void events_to_kvm(const struct cpu_events *e, bool payloads, struct kvm_vcpu_events *k)
{
    memset(k, 0, sizeof(*k));
    k->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR | KVM_VCPUEVENT_VALID_SHADOW |
               KVM_VCPUEVENT_VALID_SMM | (payloads ? KVM_VCPUEVENT_VALID_PAYLOAD : 0);
    injected_to_kvm(&e->injected, k);
    if (e->pushed && !e->injected.valid) { /* KVM does not know the two apart */
        k->interrupt.injected = 1;
        k->interrupt.nr = e->pushed_vector;
    }
    if (e->raised.valid || e->trap_pending) {
        k->exception.nr = e->raised.valid ? e->raised.vector : EXC_DB;
        k->exception.has_error_code = e->raised.has_error;
        k->exception.error_code = e->raised.error;
        if (payloads) {
            k->exception.pending = 1;
            k->exception_has_payload = k->exception.nr == EXC_DB || k->exception.nr == EXC_PF;
            k->exception_payload = e->raised.valid ? e->raised.payload : e->trap_dr6;
        } else {
            k->exception.injected = 1;
        }
    }
    k->interrupt.shadow = (e->shadow & SHADOW_MOVSS ? KVM_X86_SHADOW_INT_MOV_SS : 0) |
                          (e->shadow & SHADOW_STI ? KVM_X86_SHADOW_INT_STI : 0);
    k->nmi.pending = e->nmi_pending;
    k->nmi.masked = e->nmi_blocked;
    k->sipi_vector = e->sipi_vector;
    k->smi.pending = e->smi_pending;
    k->smi.smm = e->smm;
    k->smi.smm_inside_nmi = e->smm_nmi_blocked;
    k->smi.latched_init = e->init_pending;
    k->triple_fault.pending = e->triple_fault; /* the flag that makes it valid needs a capability */
}

static struct event injected_from_kvm(const struct kvm_vcpu_events *k)
{
    struct event e = {.valid = true};
    if (k->exception.injected) {
        bool soft = k->exception.nr == EXC_BP || k->exception.nr == EXC_OF;
        e.type = soft ? EVENT_SOFT_EXC : EVENT_EXCEPTION;
        e.vector = k->exception.nr;
        e.has_error = k->exception.has_error_code;
        e.error = k->exception.has_error_code ? k->exception.error_code : 0;
    } else if (k->nmi.injected) {
        e.type = EVENT_NMI;
        e.vector = EXC_NMI;
    } else if (k->interrupt.injected) {
        e.type = k->interrupt.soft ? EVENT_SOFT_INT : EVENT_EXTINT;
        e.vector = k->interrupt.nr;
    } else {
        e.valid = false;
    }
    return e;
}

void events_from_kvm(const struct kvm_vcpu_events *k, struct cpu_events *e)
{
    *e = (struct cpu_events){.injected = injected_from_kvm(k)};
    if (k->exception.pending)
        e->raised = (struct event){.valid = true,
                                   .type = EVENT_EXCEPTION,
                                   .vector = k->exception.nr,
                                   .has_error = k->exception.has_error_code,
                                   .error = k->exception.has_error_code ? k->exception.error_code : 0,
                                   .payload = k->exception_has_payload ? k->exception_payload : 0};
    e->shadow = (k->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? SHADOW_MOVSS : 0) |
                (k->interrupt.shadow & KVM_X86_SHADOW_INT_STI ? SHADOW_STI : 0);
    e->nmi_pending = k->nmi.pending;
    e->nmi_blocked = k->nmi.masked;
    e->sipi_vector = (u8)k->sipi_vector;
    e->smi_pending = k->smi.pending;
    e->smm = k->smi.smm;
    e->smm_nmi_blocked = k->smi.smm_inside_nmi;
    e->init_pending = k->smi.latched_init;
    e->triple_fault = k->triple_fault.pending;
}

/* -- activity -- */

u32 mp_state_to_kvm(const struct cpu_state *s)
{
    switch (s->activity) {
    case ACTIVITY_HLT: return KVM_MP_STATE_HALTED;
    case ACTIVITY_WAIT_SIPI: return s->events.sipi_pending ? KVM_MP_STATE_SIPI_RECEIVED : KVM_MP_STATE_INIT_RECEIVED;
    default: return KVM_MP_STATE_RUNNABLE;
    }
}

void mp_state_from_kvm(u32 mp_state, struct cpu_state *s)
{
    s->activity = mp_state == KVM_MP_STATE_HALTED     ? ACTIVITY_HLT
                  : mp_state == KVM_MP_STATE_RUNNABLE ? ACTIVITY_ACTIVE
                                                      : ACTIVITY_WAIT_SIPI;
    s->events.sipi_pending = mp_state == KVM_MP_STATE_SIPI_RECEIVED;
    s->monitor_armed = false;
    s->monitor = 0;
}

/* -- local APIC -- */

void lapic_to_kvm(const struct cpu_state *s, bool wide_id, struct kvm_lapic_state *k)
{
    u32 page[STATE_APIC_SIZE / 4];
    memcpy(page, s->apic.page, sizeof(page));
    if (s->apic_base & APIC_BASE_EXTD && !wide_id)
        page[APIC_ID / 4] <<= 24;
    memcpy(k->regs, page, sizeof(page));
}

void lapic_from_kvm(const struct kvm_lapic_state *k, bool wide_id, struct cpu_state *s)
{
    memcpy(s->apic.page, k->regs, sizeof(s->apic.page));
    if (s->apic_base & APIC_BASE_EXTD && !wide_id)
        s->apic.page[APIC_ID / 4] >>= 24;
}

/* -- nested state -- */

/* In hdr.pad from here on, behind KVM's own. */
#define EXTRA_OFFSET 64
#define EXTRA_MAGIC 0x7473656eu
#define EXTRA_TPR_PENDING BIT(0)
#define EXTRA_NMI_HELD BIT(1)
#define EXTRA_INJECTING_NMI BIT(2)
#define EXTRA_HOST_NMI_BLOCKED BIT(3)
#define EXTRA_SMM_VMXE BIT(4)
#define EXTRA_SMM_GUEST BIT(5) /* of SVM */
#define EXTRA_STEP_OWED BIT(6)

struct extra {
    u32 magic, flags, pause_left, reserved;
    u64 smm_pdpte[4];
};

static struct extra extra_of(const struct cpu_nested *n)
{
    struct extra x = {
        .flags = (n->vmx.tpr_pending ? EXTRA_TPR_PENDING : 0) | (n->vmx.nmi_held ? EXTRA_NMI_HELD : 0) |
                 (n->vmx.step_owed ? EXTRA_STEP_OWED : 0) | (n->svm.injecting_nmi ? EXTRA_INJECTING_NMI : 0) |
                 (n->svm.host_nmi_blocked ? EXTRA_HOST_NMI_BLOCKED : 0) | (n->vmx.smm_vmxe ? EXTRA_SMM_VMXE : 0) |
                 (n->svm.smm_guest ? EXTRA_SMM_GUEST : 0),
        .pause_left = n->svm.pause_left,
    };
    memcpy(x.smm_pdpte, n->vmx.smm_pdpte, sizeof(x.smm_pdpte));
    if (x.flags || x.pause_left)
        x.magic = EXTRA_MAGIC;
    return x;
}

static void vmx_to_kvm(const struct cpu_nested *n, struct kvm_nested_image *k)
{
    struct kvm_nested_state *h = &k->head;
    h->format = KVM_STATE_NESTED_FORMAT_VMX;
    h->hdr.vmx.vmxon_pa = n->vmx.vmxon;
    h->hdr.vmx.vmcs12_pa = n->vmx.current;
    h->hdr.vmx.smm.flags =
        (n->vmx.smm_guest ? KVM_STATE_NESTED_SMM_GUEST_MODE : 0) | (n->vmx.smm_vmxon ? KVM_STATE_NESTED_SMM_VMXON : 0);
    if (n->vmx.mtf_pending)
        h->flags |= KVM_STATE_NESTED_MTF_PENDING;
    if (n->vmx.timer_on) {
        h->hdr.vmx.flags = KVM_STATE_VMX_PREEMPTION_TIMER_DEADLINE;
        h->hdr.vmx.preemption_timer_deadline = n->vmx.timer_end;
    }
    if (n->vmx.vmxon == STATE_NO_POINTER || n->vmx.current == STATE_NO_POINTER)
        return;
    memcpy(k->data, n->vmx.vmcs, STATE_VMCS_SIZE);
    h->size += STATE_VMCS_SIZE;
    if (!n->vmx.has_shadow)
        return;
    memcpy(k->data + STATE_VMCS_SIZE, n->vmx.shadow_vmcs, STATE_VMCS_SIZE);
    h->size += STATE_VMCS_SIZE;
}

static void svm_to_kvm(const struct cpu_nested *n, struct kvm_nested_image *k)
{
    struct kvm_nested_state *h = &k->head;
    h->format = KVM_STATE_NESTED_FORMAT_SVM;
    if (n->svm.gif)
        h->flags |= KVM_STATE_NESTED_GIF_SET;
    if (!n->guest && !n->svm.smm_guest)
        return;
    h->hdr.svm.vmcb_pa = n->svm.vmcb;
    memcpy(k->data, n->svm.vmcb_image, STATE_VMCS_SIZE);
    h->size += STATE_VMCS_SIZE;
}

void nested_to_kvm(const struct cpu_nested *n, struct kvm_nested_image *k)
{
    struct extra x = extra_of(n);
    memset(k, 0, sizeof(*k));
    k->head.size = sizeof(k->head);
    k->head.hdr.vmx.vmxon_pa = k->head.hdr.vmx.vmcs12_pa = STATE_NO_POINTER;
    if (n->guest)
        k->head.flags |= KVM_STATE_NESTED_GUEST_MODE | (n->run_pending ? KVM_STATE_NESTED_RUN_PENDING : 0);
    if (n->kind == CPU_NESTED_VMX)
        vmx_to_kvm(n, k);
    else if (n->kind == CPU_NESTED_SVM)
        svm_to_kvm(n, k);
    if (x.magic)
        memcpy(k->head.hdr.pad + EXTRA_OFFSET, &x, sizeof(x));
}

static void vmx_from_kvm(const struct kvm_nested_image *k, struct cpu_nested *n)
{
    const struct kvm_nested_state *h = &k->head;
    n->kind = CPU_NESTED_VMX;
    n->vmx.vmxon = h->hdr.vmx.vmxon_pa;
    n->vmx.current = h->hdr.vmx.vmcs12_pa;
    n->vmx.smm_guest = h->hdr.vmx.smm.flags & KVM_STATE_NESTED_SMM_GUEST_MODE;
    n->vmx.smm_vmxon = n->vmx.smm_vmxe = h->hdr.vmx.smm.flags & KVM_STATE_NESTED_SMM_VMXON;
    n->vmx.mtf_pending = h->flags & KVM_STATE_NESTED_MTF_PENDING;
    n->vmx.timer_on = h->hdr.vmx.flags & KVM_STATE_VMX_PREEMPTION_TIMER_DEADLINE;
    n->vmx.timer_end = n->vmx.timer_on ? h->hdr.vmx.preemption_timer_deadline : 0;
    if (h->size < sizeof(*h) + STATE_VMCS_SIZE)
        return;
    memcpy(n->vmx.vmcs, k->data, STATE_VMCS_SIZE);
    n->vmx.has_shadow = h->size >= sizeof(*h) + 2 * STATE_VMCS_SIZE;
    if (n->vmx.has_shadow)
        memcpy(n->vmx.shadow_vmcs, k->data + STATE_VMCS_SIZE, STATE_VMCS_SIZE);
}

static void svm_from_kvm(const struct kvm_nested_image *k, struct cpu_nested *n)
{
    const struct kvm_nested_state *h = &k->head;
    n->kind = CPU_NESTED_SVM;
    n->svm.gif = h->flags & KVM_STATE_NESTED_GIF_SET;
    if (h->size < sizeof(*h) + STATE_VMCS_SIZE)
        return;
    n->svm.vmcb = h->hdr.svm.vmcb_pa;
    memcpy(n->svm.vmcb_image, k->data, STATE_VMCS_SIZE);
}

bool nested_from_kvm(const struct kvm_nested_image *k, struct cpu_nested *n)
{
    const struct kvm_nested_state *h = &k->head;
    const u16 known = KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_RUN_PENDING | KVM_STATE_NESTED_MTF_PENDING |
                      KVM_STATE_NESTED_GIF_SET;
    struct extra x;
    memset(n, 0, sizeof(*n));
    n->vmx.vmxon = n->vmx.current = STATE_NO_POINTER;
    if (h->flags & ~known || h->size < sizeof(*h))
        return false;
    n->guest = h->flags & KVM_STATE_NESTED_GUEST_MODE;
    n->run_pending = h->flags & KVM_STATE_NESTED_RUN_PENDING;
    const u32 smm = KVM_STATE_NESTED_SMM_GUEST_MODE | KVM_STATE_NESTED_SMM_VMXON;
    if (h->format == KVM_STATE_NESTED_FORMAT_VMX && !(h->hdr.vmx.smm.flags & ~smm))
        vmx_from_kvm(k, n);
    else if (h->format == KVM_STATE_NESTED_FORMAT_SVM)
        svm_from_kvm(k, n);
    else
        return false;
    memcpy(&x, h->hdr.pad + EXTRA_OFFSET, sizeof(x));
    if (x.magic != EXTRA_MAGIC)
        return true;
    n->vmx.tpr_pending = x.flags & EXTRA_TPR_PENDING;
    n->vmx.nmi_held = x.flags & EXTRA_NMI_HELD;
    n->vmx.step_owed = x.flags & EXTRA_STEP_OWED;
    n->svm.injecting_nmi = x.flags & EXTRA_INJECTING_NMI;
    n->svm.host_nmi_blocked = x.flags & EXTRA_HOST_NMI_BLOCKED;
    n->svm.pause_left = (u16)x.pause_left;
    n->svm.smm_guest = x.flags & EXTRA_SMM_GUEST;
    n->vmx.smm_vmxe = n->vmx.smm_vmxe || x.flags & EXTRA_SMM_VMXE;
    memcpy(n->vmx.smm_pdpte, x.smm_pdpte, sizeof(n->vmx.smm_pdpte));
    return true;
}
