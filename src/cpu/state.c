/*
 * Get and set of a vCPU's whole state: the engine's side of core/state.h. What is kept outside struct vcpu comes from
 * the rooms that keep it. Setting has three steps: every value that is given is checked, then all are stored as they
 * are, then everything that depends on them is made anew: mode, TLB contexts, timers, the look at events.
 *
 * Values are taken that the vCPU could have got to by itself, so that what get gives can always be set, and reads back
 * as it was set. That includes what WRMSR or MOV to CR would refuse in this moment.
 */
#include <errno.h>

#include "cpu/core/copy.h"
#include "cpu/core/nested.h"
#include "cpu/cpu.h"
#include "cpu/direct/direct.h"
#include "cpu/event/lapic.h"
#include "cpu/insn/msr.h"
#include "cpu/insn/paravirt.h"
#include "cpu/insn/xstate.h"
#include "cpu/mmu/cr.h"
#include "cpu/mmu/segment.h"
#include "x86/apic.h"
#include "x86/paging.h"
#include "x86/vmcs.h"

/* -- names -- */

#define MEMBER(m) ((struct cpu_state *)0)->m
#define AT(m) offsetof(struct cpu_state, m)
#define IS_FLAG(m) _Generic(MEMBER(m), bool : true, default : false)
#define ROW(group, name, m) {name, STATE_##group, AT(m), sizeof(MEMBER(m)), 1, IS_FLAG(m), false},
#define RUN(group, name, m) {name, STATE_##group, AT(m), sizeof(MEMBER(m[0])), ARRAY_LEN(MEMBER(m)), false, false},
#define DERIVED(group, name, m) {name, STATE_##group, AT(m), sizeof(MEMBER(m)), 1, IS_FLAG(m), true},
#define SEGMENT(name, i)                                                                                               \
    ROW(SEGMENTS, name ".base", seg[i].base)                                                                           \
    ROW(SEGMENTS, name ".limit", seg[i].limit)                                                                         \
    ROW(SEGMENTS, name ".attr", seg[i].attr)                                                                           \
    ROW(SEGMENTS, name ".sel", seg[i].sel)
#define EVENT(name, e)                                                                                                 \
    ROW(EVENTS, name, e.valid)                                                                                         \
    ROW(EVENTS, name ".has_error", e.has_error)                                                                        \
    ROW(EVENTS, name ".vector", e.vector)                                                                              \
    ROW(EVENTS, name ".type", e.type)                                                                                  \
    ROW(EVENTS, name ".insn_len", e.insn_len)                                                                          \
    ROW(EVENTS, name ".error", e.error)                                                                                \
    ROW(EVENTS, name ".payload", e.payload)
#define APIC(name, offset) ROW(APIC, "apic." name, apic.page[(offset) / 4])
#define APIC_DERIVED(name, offset) DERIVED(APIC, "apic." name, apic.page[(offset) / 4])
#define APIC_8(name, offset)                                                                                           \
    APIC(name "0", offset)                                                                                             \
    APIC(name "1", offset + 0x10)                                                                                      \
    APIC(name "2", offset + 0x20)                                                                                      \
    APIC(name "3", offset + 0x30)                                                                                      \
    APIC(name "4", offset + 0x40)                                                                                      \
    APIC(name "5", offset + 0x50)                                                                                      \
    APIC(name "6", offset + 0x60)                                                                                      \
    APIC(name "7", offset + 0x70)

/* clang-format off */
static const struct cpu_register registers[] = {
    ROW(GPRS, "rax", gpr[RAX]) ROW(GPRS, "rcx", gpr[RCX]) ROW(GPRS, "rdx", gpr[RDX]) ROW(GPRS, "rbx", gpr[RBX])
    ROW(GPRS, "rsp", gpr[RSP]) ROW(GPRS, "rbp", gpr[RBP]) ROW(GPRS, "rsi", gpr[RSI]) ROW(GPRS, "rdi", gpr[RDI])
    ROW(GPRS, "r8", gpr[R8]) ROW(GPRS, "r9", gpr[R9]) ROW(GPRS, "r10", gpr[R10]) ROW(GPRS, "r11", gpr[R11])
    ROW(GPRS, "r12", gpr[R12]) ROW(GPRS, "r13", gpr[R13]) ROW(GPRS, "r14", gpr[R14]) ROW(GPRS, "r15", gpr[R15])
    ROW(GPRS, "rip", rip) ROW(GPRS, "rflags", rflags)
    SEGMENT("es", SEG_ES) SEGMENT("cs", SEG_CS) SEGMENT("ss", SEG_SS) SEGMENT("ds", SEG_DS)
    SEGMENT("fs", SEG_FS) SEGMENT("gs", SEG_GS) SEGMENT("ldtr", SEG_LDTR) SEGMENT("tr", SEG_TR)
    ROW(SEGMENTS, "gdtr.base", gdtr.base) ROW(SEGMENTS, "gdtr.limit", gdtr.limit)
    ROW(SEGMENTS, "idtr.base", idtr.base) ROW(SEGMENTS, "idtr.limit", idtr.limit)
    ROW(SEGMENTS, "cpl", cpl)
    ROW(CONTROL, "cr0", cr0) ROW(CONTROL, "cr2", cr2) ROW(CONTROL, "cr3", cr3) ROW(CONTROL, "cr4", cr4)
    ROW(CONTROL, "cr8", cr8) ROW(CONTROL, "efer", efer) ROW(CONTROL, "apic_base", apic_base)
    RUN(CONTROL, "pdpte", pdpte)
    RUN(DEBUG, "dr", dr) ROW(DEBUG, "dr6", dr6) ROW(DEBUG, "dr7", dr7)
    ROW(VECTORS, "xcr0", xcr0) RUN(VECTORS, "xsave", xsave)
    ROW(TIME, "tsc", tsc)
    EVENT("injected", events.injected) EVENT("raised", events.raised)
    ROW(EVENTS, "trap_pending", events.trap_pending) ROW(EVENTS, "trap_dr6", events.trap_dr6)
    ROW(EVENTS, "shadow", events.shadow)
    ROW(EVENTS, "nmi_pending", events.nmi_pending) ROW(EVENTS, "nmi_blocked", events.nmi_blocked)
    ROW(EVENTS, "smi_pending", events.smi_pending) ROW(EVENTS, "init_pending", events.init_pending)
    ROW(EVENTS, "smm", events.smm) ROW(EVENTS, "smm_nmi_blocked", events.smm_nmi_blocked)
    ROW(EVENTS, "sipi_pending", events.sipi_pending) ROW(EVENTS, "sipi_vector", events.sipi_vector)
    ROW(EVENTS, "ferr", events.ferr)
    ROW(EVENTS, "pushed", events.pushed) ROW(EVENTS, "pushed_vector", events.pushed_vector)
    ROW(EVENTS, "triple_fault", events.triple_fault)
    DERIVED(EVENTS, "last_exception", events.last_exception)
    ROW(ACTIVITY, "activity", activity)
    ROW(ACTIVITY, "monitor_armed", monitor_armed) ROW(ACTIVITY, "monitor", monitor)
    APIC("id", APIC_ID) APIC_DERIVED("version", APIC_VERSION) APIC("tpr", APIC_TPR) APIC_DERIVED("ppr", APIC_PPR)
    APIC("ldr", APIC_LDR) APIC("dfr", APIC_DFR) APIC("svr", APIC_SVR)
    APIC_8("isr", APIC_ISR) APIC_8("tmr", APIC_TMR) APIC_8("irr", APIC_IRR)
    APIC("esr", APIC_ESR) APIC("icr", APIC_ICR) APIC("icr_high", APIC_ICR2)
    APIC("lvt_timer", APIC_LVT_TIMER) APIC("lvt_thermal", APIC_LVT_THERMAL) APIC("lvt_perf", APIC_LVT_PERF)
    APIC("lvt_lint0", APIC_LVT_LINT0) APIC("lvt_lint1", APIC_LVT_LINT1) APIC("lvt_error", APIC_LVT_ERROR)
    APIC("lvt_cmci", APIC_LVT_CMCI)
    APIC("initial_count", APIC_INITIAL_COUNT) APIC("current_count", APIC_CURRENT_COUNT) APIC("divide", APIC_DIVIDE)
    ROW(APIC, "apic.tsc_deadline", apic.tsc_deadline) ROW(APIC, "apic.errors", apic.errors)
    ROW(APIC, "apic.extint", apic.extint)
    ROW(NESTED, "nested.kind", nested.kind) ROW(NESTED, "nested.guest", nested.guest)
    ROW(NESTED, "vmx.vmxon", nested.vmx.vmxon) ROW(NESTED, "vmx.current", nested.vmx.current)
    ROW(NESTED, "vmx.mtf_pending", nested.vmx.mtf_pending) ROW(NESTED, "vmx.tpr_pending", nested.vmx.tpr_pending)
    ROW(NESTED, "vmx.nmi_held", nested.vmx.nmi_held) ROW(NESTED, "vmx.step_owed", nested.vmx.step_owed)
    ROW(NESTED, "vmx.timer_on", nested.vmx.timer_on) ROW(NESTED, "vmx.timer_end", nested.vmx.timer_end)
    ROW(NESTED, "vmx.smm_vmxe", nested.vmx.smm_vmxe) ROW(NESTED, "vmx.smm_vmxon", nested.vmx.smm_vmxon)
    ROW(NESTED, "vmx.smm_guest", nested.vmx.smm_guest) RUN(NESTED, "vmx.smm_pdpte", nested.vmx.smm_pdpte)
    RUN(NESTED, "vmx.vmcs", nested.vmx.vmcs)
    ROW(NESTED, "svm.gif", nested.svm.gif) ROW(NESTED, "svm.injecting_nmi", nested.svm.injecting_nmi)
    ROW(NESTED, "svm.host_nmi_blocked", nested.svm.host_nmi_blocked)
    ROW(NESTED, "svm.smm_guest", nested.svm.smm_guest)
    ROW(NESTED, "svm.pause_left", nested.svm.pause_left)
    ROW(NESTED, "svm.vmcb", nested.svm.vmcb) RUN(NESTED, "svm.vmcb_image", nested.svm.vmcb_image)
};
/* clang-format on */

const struct cpu_register *cpu_register(unsigned i)
{
    return i < ARRAY_LEN(registers) ? &registers[i] : NULL;
}

u32 cpu_msr_list(struct vcpu *v, u32 *list, u32 room)
{
    return msr_list(v, list, room);
}

static void derive(struct vcpu *v);

/* -- MSRs by themselves -- */

bool cpu_msr_read(struct vcpu *v, u32 msr, u64 *value)
{
    return msr_get(v, msr, value);
}

static void tsc_move(struct vcpu *v, u64 value)
{
    u64 delta = value - tsc_read_l1(v);
    v->tsc_offset_l1 += delta;
    v->tsc_offset += delta;
}

/* MSRs that belong to other groups. */
static bool msr_write_elsewhere(struct vcpu *v, u32 msr, u64 value)
{
    switch (msr) {
    case MSR_EFER:
        if (value & ~(msr_efer_valid(v) | EFER_LMA) || ((value ^ v->efer) & EFER_LME && v->cr0 & CR0_PG))
            return false;
        v->efer = (value & ~EFER_LMA) | (v->efer & EFER_LMA);
        return true;
    case MSR_APIC_BASE:
        if (!lapic_base_legal(v, value))
            return false;
        lapic_base_set(v, value);
        return true;
    case MSR_TSC:
        tsc_move(v, value);
        timers_tsc_changed(v);
        return true;
    case MSR_TSC_DEADLINE: return lapic_msr_write(v, msr, value) == CPU_OK;
    default: /* MSR_FS_BASE, MSR_GS_BASE */
        if (!is_canonical_base(v, value))
            return false;
        v->seg[msr == MSR_FS_BASE ? SEG_FS : SEG_GS].base = value;
        return true;
    }
}

bool cpu_msr_write(struct vcpu *v, u32 msr, u64 value)
{
    bool elsewhere = msr == MSR_EFER || msr == MSR_APIC_BASE || msr == MSR_FS_BASE || msr == MSR_GS_BASE ||
                     msr == MSR_TSC || msr == MSR_TSC_DEADLINE;
    if (!(elsewhere ? msr_write_elsewhere(v, msr, value) : msr_put(v, msr, value)))
        return false;
    paravirt_restored(v, msr);
    derive(v);
    return true;
}

u64 cpu_tsc_offset(const struct vcpu *v)
{
    return v->tsc_offset_l1;
}

void cpu_tsc_offset_set(struct vcpu *v, u64 offset)
{
    v->tsc_offset += offset - v->tsc_offset_l1;
    v->tsc_offset_l1 = offset;
    timers_tsc_changed(v);
    derive(v);
}

void cpu_tsc_khz_set(struct vcpu *v, u64 khz, bool scaled)
{
    tsc_khz_set(v, khz, scaled);
    timers_tsc_changed(v);
    derive(v);
}

u64 cpu_tsc_scaled(const struct vcpu *v, u64 host)
{
    return tsc_scaled(v, host);
}

u32 cpu_msr_numbers(const struct cpu_features *f, u32 *list, u32 room)
{
    u32 n = msr_numbers(f, list, room);
    u64 value;
    for (u32 msr = MSR_VMX_BASIC; msr <= MSR_VMX_TRUE_ENTRY_CTLS; msr++)
        if (vmx_capability(f, msr, &value) && n++ < room)
            list[n - 1] = msr;
    return n;
}

bool cpu_msr_feature(const struct cpu_features *f, u32 msr, u64 *value)
{
    return msr_feature(f, msr, value) || vmx_capability(f, msr, value);
}

void cpu_msr_ask(struct vm *vm, u32 reasons)
{
    __atomic_store_n(&vm->msr_asks, reasons, __ATOMIC_RELAXED);
}

/* -- get -- */

static void get_control(struct vcpu *v, struct cpu_state *s)
{
    s->cr0 = v->cr0;
    s->cr2 = v->cr2;
    s->cr3 = v->cr3;
    s->cr4 = v->cr4;
    s->cr8 = lapic_tpr_read(v);
    s->efer = v->efer;
    s->apic_base = v->apic_base;
    s->has_pdpte = true;
    copy_bytes(s->pdpte, v->pdpte, sizeof(s->pdpte));
}

static void get_msrs(struct vcpu *v, struct cpu_state *s)
{
    if (!s->msrs) {
        u32 list[STATE_MSRS_MAX];
        s->msrs = msr_list(v, list, STATE_MSRS_MAX);
        if (s->msrs > STATE_MSRS_MAX)
            s->msrs = STATE_MSRS_MAX;
        for (u32 i = 0; i < s->msrs; i++)
            s->msr[i].index = list[i];
    }
    u32 n = 0;
    for (u32 i = 0; i < s->msrs; i++) {
        struct cpu_msr m = {.index = s->msr[i].index};
        if (msr_get(v, m.index, &m.value))
            s->msr[n++] = m;
    }
    s->msrs = n;
}

static struct event event_get(const struct event *e)
{
    return e->valid ? *e : (struct event){0};
}

static void get_events(struct vcpu *v, struct cpu_events *e)
{
    *e = (struct cpu_events){
        .injected = event_get(&v->inject),
        .raised = event_get(&v->raised),
        .trap_pending = v->trap_pending,
        .trap_dr6 = v->trap_pending ? v->trap_dr6 : 0,
        .shadow = v->shadow,
        .nmi_pending = __atomic_load_n(&v->nmi_pending, __ATOMIC_SEQ_CST),
        .nmi_blocked = v->nmi_blocked,
        .smi_pending = __atomic_load_n(&v->smi_pending, __ATOMIC_SEQ_CST),
        .smm = v->smm.on,
        .smm_nmi_blocked = v->smm.on && v->smm.nmi_blocked,
        .init_pending = __atomic_load_n(&v->init_pending, __ATOMIC_SEQ_CST),
        .sipi_pending = __atomic_load_n(&v->sipi_pending, __ATOMIC_SEQ_CST),
        .sipi_vector = __atomic_load_n(&v->sipi_vector, __ATOMIC_SEQ_CST),
        .ferr = v->ferr,
        .pushed = v->pushed,
        .pushed_vector = v->pushed ? v->pushed_vector : 0,
        .triple_fault = v->triple_fault,
        .last_exception = v->fault.vector,
    };
}

static void get_nested(struct vcpu *v, struct cpu_nested *n)
{
    fill_bytes(n, 0, sizeof(*n));
    n->vmx.vmxon = n->vmx.current = STATE_NO_POINTER;
    n->svm.gif = true;
    if (v->nested)
        v->nested->state_get(v, n);
}

u64 cpu_state_get(struct vcpu *v, struct cpu_state *s, u64 wanted)
{
    if (wanted & STATE_GPRS) {
        copy_bytes(s->gpr, v->gpr, sizeof(s->gpr));
        s->rip = v->rip;
        s->rflags = rflags_get(v);
    }
    if (wanted & STATE_SEGMENTS) {
        copy_bytes(s->seg, v->seg, sizeof(s->seg));
        s->gdtr = v->gdtr;
        s->idtr = v->idtr;
        s->cpl = (u8)v->cpl;
    }
    if (wanted & STATE_CONTROL)
        get_control(v, s);
    if (wanted & STATE_DEBUG) {
        copy_bytes(s->dr, v->dr, sizeof(s->dr));
        s->dr6 = v->dr6;
        s->dr7 = v->dr7;
    }
    if (wanted & STATE_VECTORS) {
        s->xcr0 = v->xcr0;
        xstate_image_get(v, s->xsave);
    }
    if (wanted & STATE_MSRS)
        get_msrs(v, s);
    if (wanted & STATE_TIME)
        s->tsc = tsc_read_l1(v);
    if (wanted & STATE_EVENTS)
        get_events(v, &s->events);
    if (wanted & STATE_ACTIVITY) {
        /* A vCPU that stopped before a waiting x87 instruction stops there again, by itself. */
        s->activity = v->activity == ACTIVITY_FERR ? ACTIVITY_ACTIVE : (u8)v->activity;
        s->monitor_armed = v->monitor_armed;
        s->monitor = v->monitor_armed ? v->monitor_gpa.a : 0;
    }
    if (wanted & STATE_APIC)
        lapic_page_get(v, &s->apic);
    if (wanted & STATE_NESTED)
        get_nested(v, &s->nested);
    return wanted & STATE_ALL;
}

/* -- what is refused: the name of the register, NULL if nothing is -- */

#define SEG_DEFINED (SEG_TYPE_MASK | SEG_S | SEG_DPL_MASK | SEG_P | SEG_AVL | SEG_L | SEG_DB | SEG_G | SEG_UNUSABLE)

static const char *segments_refusal(const struct vcpu *v, const struct cpu_state *s, u64 given)
{
    static const char *const base[] = {"es.base", "cs.base", "ss.base",   "ds.base",
                                       "fs.base", "gs.base", "ldtr.base", "tr.base"};
    static const char *const attr[] = {"es.attr", "cs.attr", "ss.attr",   "ds.attr",
                                       "fs.attr", "gs.attr", "ldtr.attr", "tr.attr"};
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (!is_canonical_base(v, s->seg[i].base))
            return base[i];
        if (s->seg[i].attr & ~SEG_DEFINED)
            return attr[i];
    }
    if (s->seg[SEG_CS].attr & SEG_UNUSABLE)
        return "cs.attr";
    if (!is_canonical_base(v, s->gdtr.base))
        return "gdtr.base";
    if (!is_canonical_base(v, s->idtr.base))
        return "idtr.base";
    bool real = given & STATE_CONTROL && !(s->cr0 & CR0_PE);
    bool v86 = given & STATE_CONTROL && given & STATE_GPRS && !real && s->rflags & FLAG_VM;
    return s->cpl > (real ? 0 : 3) || (v86 && s->cpl != 3) ? "cpl" : NULL;
}

static bool uses_pdptes(const struct cpu_state *s)
{
    return s->cr0 & CR0_PG && s->cr4 & CR4_PAE && !(s->efer & EFER_LMA);
}

/* PDPTEs that were not given are in memory; L2's may lie behind a second stage, and stay as they are then. */
static bool pdptes_load(struct vcpu *v, const struct cpu_state *s, u64 pdpte[4])
{
    if (s->has_pdpte || !uses_pdptes(s) || v->in_guest)
        return false;
    phys_read(v, GPA(s->cr3 & CR3_PAE_ADDRESS), pdpte, 32);
    return true;
}

static const char *control_refusal(struct vcpu *v, const struct cpu_state *s, u64 given)
{
    bool active = s->efer & EFER_LME && s->cr0 & CR0_PG;
    u64 pdpte[4];
    if (s->cr0 & ~CR0_DEFINED || !(s->cr0 & CR0_ET) || (s->cr0 & CR0_PG && !(s->cr0 & CR0_PE)) ||
        (s->cr0 & CR0_NW && !(s->cr0 & CR0_CD)))
        return "cr0";
    if (s->efer & ~(msr_efer_valid(v) | EFER_NXE | EFER_LMA) || !(s->efer & EFER_LMA) == active)
        return "efer";
    if (s->cr4 & ~cr4_allowed(v->vm->features) || (active && !(s->cr4 & CR4_PAE)))
        return "cr4";
    if (active && s->cr3 >> v->vm->phys_bits)
        return "cr3";
    if (s->cr8 > 15 || (given & STATE_APIC && s->cr8 != s->apic.page[APIC_TPR / 4] >> 4))
        return "cr8";
    if (!lapic_base_legal(v, s->apic_base))
        return "apic_base";
    bool loaded = pdptes_load(v, s, pdpte);
    for (unsigned i = 0; i < 4 && uses_pdptes(s) && (loaded || s->has_pdpte); i++) {
        u64 p = loaded ? pdpte[i] : s->pdpte[i];
        if (p & PTE_P && (p & PDPTE_RESERVED || p >> v->vm->phys_bits))
            return loaded ? "cr3" : "pdpte";
    }
    return NULL;
}

static const char *event_refusal(const struct event *e, const char *name)
{
    if (!e->valid)
        return e->has_error || e->vector || e->type || e->insn_len || e->error || e->payload ? name : NULL;
    bool exception = e->type == EVENT_EXCEPTION || e->type == EVENT_SOFT_EXC;
    bool known = exception || e->type == EVENT_EXTINT || e->type == EVENT_NMI || e->type == EVENT_SOFT_INT ||
                 e->type == EVENT_PRIV_SOFT;
    bool vector = exception ? e->vector < EXC_COUNT : e->type != EVENT_NMI || e->vector == EXC_NMI;
    return known && vector ? NULL : name;
}

static const char *events_refusal(const struct vcpu *v, const struct cpu_events *e)
{
    const char *bad = event_refusal(&e->injected, "injected");
    if (!bad)
        bad = event_refusal(&e->raised, "raised");
    if (bad)
        return bad;
    if (e->raised.valid && (e->injected.valid || e->raised.type != EVENT_EXCEPTION || e->raised.vector == EXC_NMI))
        return "raised";
    if (e->trap_pending ? e->trap_dr6 & ~DR6_WRITABLE : e->trap_dr6)
        return "trap_dr6";
    if (e->shadow & ~(SHADOW_STI | SHADOW_MOVSS))
        return "shadow";
    if (e->smm && !v->vm->smm)
        return "smm";
    if (e->smm_nmi_blocked && !e->smm)
        return "smm_nmi_blocked";
    if (e->pushed ? v->vm->apics == CPU_APICS_ENGINE : e->pushed_vector)
        return "pushed";
    return e->nmi_pending > 2 ? "nmi_pending" : NULL;
}

static const char *msrs_refusal(struct vcpu *v, const struct cpu_state *s)
{
    if (s->msrs > STATE_MSRS_MAX)
        return "msrs";
    for (u32 i = 0; i < s->msrs; i++) {
        const char *bad = msr_refusal(v, s->msr[i].index, s->msr[i].value);
        if (bad)
            return bad;
    }
    return NULL;
}

static const char *nested_refusal(struct vcpu *v, const struct cpu_nested *n)
{
    if (v->nested)
        return v->nested->state_refusal(v, n);
    return n->kind != CPU_NESTED_NONE ? "nested.kind" : n->guest ? "nested.guest" : NULL;
}

static const char *refusal(struct vcpu *v, const struct cpu_state *s, u64 given)
{
    const char *bad = NULL;
    if (given & STATE_GPRS && (s->rflags & ~(FLAGS_DEFINED | FLAG_ONE) || !(s->rflags & FLAG_ONE)))
        return "rflags";
    if (given & STATE_SEGMENTS && (bad = segments_refusal(v, s, given)))
        return bad;
    if (given & STATE_CONTROL && (bad = control_refusal(v, s, given)))
        return bad;
    if (given & STATE_DEBUG && (s->dr6 & ~DR6_WRITABLE) != DR6_FIXED)
        return "dr6";
    if (given & STATE_DEBUG && (s->dr7 >> 32 || s->dr7 & DR7_ZERO || !(s->dr7 & DR7_FIXED)))
        return "dr7";
    if (given & STATE_VECTORS && !xstate_xcr0_valid(v, s->xcr0))
        return "xcr0";
    if (given & STATE_VECTORS && !xstate_image_legal(v, s->xsave))
        return "xsave";
    if (given & STATE_MSRS && (bad = msrs_refusal(v, s)))
        return bad;
    if (given & STATE_EVENTS && (bad = events_refusal(v, &s->events)))
        return bad;
    if (given & STATE_ACTIVITY && s->activity > ACTIVITY_MWAIT)
        return "activity";
    if (given & STATE_ACTIVITY && (s->monitor_armed ? s->monitor >> v->vm->phys_bits : s->monitor))
        return "monitor";
    if (given & STATE_APIC)
        bad = lapic_page_refusal(v, &s->apic, given & STATE_CONTROL ? s->apic_base : v->apic_base);
    if (!bad && given & STATE_NESTED)
        bad = nested_refusal(v, &s->nested);
    return bad;
}

/* -- set -- */

static void set_control(struct vcpu *v, const struct cpu_state *s, bool tpr)
{
    if (!pdptes_load(v, s, v->pdpte) && s->has_pdpte)
        copy_bytes(v->pdpte, s->pdpte, sizeof(s->pdpte));
    v->cr0 = s->cr0;
    v->cr2 = s->cr2;
    v->cr3 = s->cr3;
    v->cr4 = s->cr4;
    v->efer = s->efer;
    lapic_base_set(v, s->apic_base);
    if (tpr && s->cr8 != lapic_tpr_read(v))
        lapic_tpr_write(v, s->cr8);
}

static void set_events(struct vcpu *v, const struct cpu_events *e)
{
    v->inject = event_get(&e->injected);
    v->raised = event_get(&e->raised);
    v->fault.valid = v->delivering.valid = v->iret_unblocks = v->step_trap = false;
    v->trap_pending = e->trap_pending;
    v->trap_dr6 = e->trap_pending ? e->trap_dr6 : 0;
    v->pushed = e->pushed;
    v->pushed_vector = e->pushed_vector;
    v->ferr = e->ferr;
    v->ferr_ignored = false;
    v->shadow = e->shadow;
    v->triple_fault = e->triple_fault;
    v->nmi_blocked = e->nmi_blocked;
    v->smm.on = e->smm;
    v->smm.nmi_blocked = e->smm_nmi_blocked;
    vcpu_space_set(v, e->smm);
    __atomic_store_n(&v->nmi_pending, e->nmi_pending, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->smi_pending, e->smi_pending, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->init_pending, e->init_pending, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->sipi_vector, e->sipi_vector, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->sipi_pending, e->sipi_pending, __ATOMIC_SEQ_CST);
}

static void store(struct vcpu *v, const struct cpu_state *s, u64 given)
{
    if (given & STATE_TIME)
        tsc_move(v, s->tsc);
    for (u32 i = 0; given & STATE_MSRS && i < s->msrs; i++)
        msr_set(v, s->msr[i].index, s->msr[i].value);
    for (u32 i = 0; given & STATE_MSRS && i < s->msrs; i++)
        paravirt_restored(v, s->msr[i].index);
    if (given & STATE_NESTED && v->nested) /* after the TSC and its ratio */
        v->nested->state_set(v, &s->nested);
    if (given & STATE_GPRS) {
        copy_bytes(v->gpr, s->gpr, sizeof(s->gpr));
        v->rip = v->next_rip = s->rip;
        rflags_store(v, s->rflags);
    }
    if (given & STATE_SEGMENTS) {
        copy_bytes(v->seg, s->seg, sizeof(s->seg));
        v->gdtr = s->gdtr;
        v->idtr = s->idtr;
        v->cpl = s->cpl;
    }
    if (given & STATE_CONTROL)
        set_control(v, s, !(given & STATE_APIC));
    if (given & STATE_DEBUG) {
        copy_bytes(v->dr, s->dr, sizeof(s->dr));
        v->dr6 = s->dr6;
        v->dr7 = s->dr7;
    }
    if (given & STATE_VECTORS) {
        v->xcr0 = s->xcr0;
        xstate_image_set(v, s->xsave);
    }
    if (given & STATE_EVENTS)
        set_events(v, &s->events);
    if (given & STATE_ACTIVITY) {
        v->activity = (enum activity)s->activity;
        v->monitor_armed = s->monitor_armed;
        v->monitor_gpa = GPA(s->monitor);
    }
    if (given & STATE_APIC)
        lapic_page_set(v, &s->apic);
    if (given & STATE_TIME)
        timers_tsc_changed(v);
}

/* Makes anew what depends on the rest, whatever was set. */
static void derive(struct vcpu *v)
{
    v->intr_masked = false;
    mode_update(v);
    mmu_flush_all(v);
    timers_update(v);
    request_raise(v, REQ_EVENT | REQ_TIMER);
}

int cpu_state_set(struct vcpu *v, const struct cpu_state *s, u64 given, const char **bad)
{
    *bad = given & ~STATE_ALL ? "a group of registers" : refusal(v, s, given);
    if (*bad)
        return -EINVAL;
    v->awaits = false;
    store(v, s, given);
    derive(v);
    if (given & STATE_CONTROL && v->direct_spaces) /* perhaps with another memory, as a saved state is loaded */
        direct_doubt(v);
    return 0;
}
