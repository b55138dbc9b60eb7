/*
 * RESET and INIT of one vCPU but for its MSRs. Called by cpu_reset while the vCPU does not run, and by events.c for
 * INIT.
 *
 * Source: SDM vol. 3A "Processor State After Reset", table "IA-32 and Intel 64 Processor States Following Power-up,
 * Reset, or INIT"; APM vol. 2 "Processor Initialization State".
 */
#include "cpu/event/reset.h"

#include "cpu/core/cpuid.h"
#include "cpu/core/nested.h"
#include "cpu/event/lapic.h"
#include "cpu/event/smm.h"
#include "cpu/mmu/mmu.h"
#include "x86/msr.h"

#define DATA_ATTR (SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED)

static void reset_registers(struct vcpu *v)
{
    u32 signature[4];
    for (unsigned i = 0; i < GPR_COUNT; i++)
        v->gpr[i] = 0;
    cpuid_read(v, 1, 0, signature);
    v->gpr[RDX] = signature[CPUID_EAX];
    rflags_set_arith(v, 0);
    v->flags = FLAG_ONE;
    for (unsigned i = 0; i <= SEG_GS; i++)
        v->seg[i] = (struct segment){.limit = 0xffff, .attr = DATA_ATTR};
    v->seg[SEG_CS].sel = 0xf000;
    v->seg[SEG_CS].base = 0xffff0000;
    v->rip = v->next_rip = 0xfff0;
    v->seg[SEG_LDTR] = (struct segment){.limit = 0xffff, .attr = SEG_P | SYS_LDT};
    v->seg[SEG_TR] = (struct segment){.limit = 0xffff, .attr = SEG_P | SYS_TSS_BUSY};
    v->gdtr = v->idtr = (struct desc_table){.limit = 0xffff};
    v->cr2 = v->cr3 = v->cr4 = v->efer = 0;
    for (unsigned i = 0; i < 4; i++)
        v->dr[i] = v->pdpte[i] = 0;
    v->dr6 = DR6_FIXED;
    v->dr7 = DR7_FIXED;
    v->cpl = 0;
}

static void reset_events(struct vcpu *v)
{
    v->fault.valid = v->inject.valid = v->delivering.valid = v->raised.valid = false;
    v->shadow = 0;
    v->nmi_blocked = v->iret_unblocks = v->step_trap = false;
    v->trap_pending = false;
    v->trap_dr6 = 0;
    v->monitor_armed = false;
    v->intr_masked = v->step_owed = false;
    v->pushed = v->window = false;
    bool runs = v->apic_base & APIC_BASE_BSP || v->vm->apics == CPU_APICS_CALLER;
    v->activity = runs ? ACTIVITY_ACTIVE : ACTIVITY_WAIT_SIPI;
}

void reset_vcpu(struct vcpu *v, bool init)
{
    if (v->nested)
        v->nested->reset(v);
    v->in_guest = false;
    v->gif = true;
    reset_registers(v);
    if (!init) {
        smm_reset(v);
        v->apic_base = APIC_DEFAULT_ADDRESS | APIC_BASE_EN | (is_boot_cpu(v) ? APIC_BASE_BSP : 0);
        v->cr0 = CR0_CD | CR0_NW | CR0_ET;
        v->xcr0 = XCR0_X87;
        v->pkru = 0;
    } else {
        v->cr0 = (v->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
    }
    lapic_reset(v, init);
    reset_events(v);
    mmu_flush_all(v);
    mode_update(v);
}
