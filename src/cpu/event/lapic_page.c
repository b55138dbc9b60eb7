/*
 * The local APIC as a part of the vCPU's state: its registers as they lie in its page, and what no register shows.
 * While the vCPU does not run. Values are refused that the APIC could never have got into a register, so that what is
 * set is what reads back.
 */
#include "cpu/core/copy.h"
#include "cpu/core/world.h"
#include "cpu/event/lapic_state.h"

#define ESR_DEFINED 0xffu

static u32 *at(struct cpu_apic *page, u32 offset)
{
    return &page->page[offset / 4];
}

static u32 get(const struct cpu_apic *page, u32 offset)
{
    return page->page[offset / 4];
}

void lapic_page_get(struct vcpu *v, struct cpu_apic *page)
{
    struct lapic *a = v->lapic;
    fill_bytes(page, 0, sizeof(*page));
    for (u32 offset = 0; offset < STATE_APIC_SIZE; offset += 16) {
        u32 value;
        if (lapic_register(a, offset, &value))
            *at(page, offset) = value;
    }
    *at(page, APIC_DFR) = a->dfr;
    *at(page, APIC_ICR2) = (u32)(a->icr >> 32);
    page->tsc_deadline = a->tsc_deadline;
    page->errors = LOAD(a->esr_pending);
    page->extint = LOAD(a->extint);
}

/* -- legal values -- */

bool lapic_base_legal(const struct vcpu *v, u64 value)
{
    u64 allowed = (APIC_BASE_ADDRESS & (BIT64(v->vm->phys_bits) - 1)) | APIC_BASE_BSP | APIC_BASE_EN;
    if (cpu_has(v->vm, FEATURE_X2APIC))
        allowed |= APIC_BASE_EXTD;
    return !(value & ~allowed) && (value & (APIC_BASE_EN | APIC_BASE_EXTD)) != APIC_BASE_EXTD;
}

static const char *identity_refusal(const struct vcpu *v, const struct cpu_apic *page, bool x2apic)
{
    u32 id = v->apic_id, ldr = get(page, APIC_LDR);
    if (get(page, APIC_ID) != (x2apic ? id : id << 24))
        return "apic.id";
    if (x2apic ? ldr != x2apic_ldr(id) : ldr & 0x00ffffff)
        return "apic.ldr";
    if (~get(page, APIC_DFR) & 0x0fffffff)
        return "apic.dfr";
    return NULL;
}

/* No interrupt has a vector below 16. */
static const char *vectors_refusal(const struct cpu_apic *page)
{
    if (get(page, APIC_ISR) & 0xffff)
        return "apic.isr0";
    if (get(page, APIC_TMR) & 0xffff)
        return "apic.tmr0";
    return get(page, APIC_IRR) & 0xffff ? "apic.irr0" : NULL;
}

static const char *timer_refusal(const struct cpu_apic *page)
{
    bool tsc = (get(page, APIC_LVT_TIMER) >> LVT_TIMER_SHIFT & 3) == TIMER_TSC_DEADLINE;
    u32 initial = get(page, APIC_INITIAL_COUNT);
    if (get(page, APIC_DIVIDE) & ~APIC_DIVIDE_BITS)
        return "apic.divide";
    if (tsc && initial)
        return "apic.initial_count";
    if (get(page, APIC_CURRENT_COUNT) > initial)
        return "apic.current_count";
    return page->tsc_deadline && !tsc ? "apic.tsc_deadline" : NULL;
}

const char *lapic_page_refusal(const struct vcpu *v, const struct cpu_apic *page, u64 apic_base)
{
    static const char *const lvt[LVT_COUNT] = {"apic.lvt_timer", "apic.lvt_thermal", "apic.lvt_perf", "apic.lvt_lint0",
                                               "apic.lvt_lint1", "apic.lvt_error",   "apic.lvt_cmci"};
    bool x2apic = lapic_mode_of(apic_base) == LAPIC_X2APIC;
    const char *bad = identity_refusal(v, page, x2apic);
    if (!bad)
        bad = vectors_refusal(page);
    if (!bad)
        bad = timer_refusal(page);
    if (bad)
        return bad;
    if (get(page, APIC_TPR) > 0xff)
        return "apic.tpr";
    if (get(page, APIC_SVR) & ~(0x3ff | SVR_NO_EOI_BROADCAST))
        return "apic.svr";
    if (get(page, APIC_ESR) & ~ESR_DEFINED)
        return "apic.esr";
    if (page->errors & ~ESR_DEFINED)
        return "apic.errors";
    if (get(page, APIC_ICR) & ~ICR_WRITABLE)
        return "apic.icr";
    if (!x2apic && get(page, APIC_ICR2) & 0x00ffffff)
        return "apic.icr_high";
    for (unsigned i = 0; i < LVT_COUNT; i++)
        if (get(page, lapic_lvt_offset(i)) & ~lapic_lvt_mask(v->lapic, i))
            return lvt[i];
    return NULL;
}

static void keep(struct cpu_apic *page, u32 offset, u32 bits)
{
    *at(page, offset) &= bits;
}

void lapic_page_clean(const struct vcpu *v, struct cpu_apic *page)
{
    bool x2apic = lapic_mode_of(v->apic_base) == LAPIC_X2APIC;
    *at(page, APIC_ID) = x2apic ? v->apic_id : v->apic_id << 24;
    *at(page, APIC_LDR) = x2apic ? x2apic_ldr(v->apic_id) : get(page, APIC_LDR) & 0xff000000;
    *at(page, APIC_DFR) |= 0x0fffffff;
    keep(page, APIC_ISR, ~0xffffu);
    keep(page, APIC_TMR, ~0xffffu);
    keep(page, APIC_IRR, ~0xffffu);
    keep(page, APIC_TPR, 0xff);
    keep(page, APIC_SVR, 0x3ff | SVR_NO_EOI_BROADCAST);
    keep(page, APIC_ESR, ESR_DEFINED);
    keep(page, APIC_ICR, ICR_WRITABLE);
    keep(page, APIC_ICR2, x2apic ? ~0u : 0xff000000);
    keep(page, APIC_DIVIDE, APIC_DIVIDE_BITS);
    for (unsigned i = 0; i < LVT_COUNT; i++)
        keep(page, lapic_lvt_offset(i), lapic_lvt_mask(v->lapic, i));
    page->errors &= ESR_DEFINED;
    bool tsc = (get(page, APIC_LVT_TIMER) >> LVT_TIMER_SHIFT & 3) == TIMER_TSC_DEADLINE;
    if (tsc)
        *at(page, APIC_INITIAL_COUNT) = 0;
    else
        page->tsc_deadline = 0;
    if (get(page, APIC_CURRENT_COUNT) > get(page, APIC_INITIAL_COUNT))
        *at(page, APIC_CURRENT_COUNT) = get(page, APIC_INITIAL_COUNT);
}

/* -- setting -- */

static void bitmap_set(u64 set[4], const struct cpu_apic *page, u32 offset)
{
    for (unsigned i = 0; i < 4; i++, offset += 32)
        STORE(set[i], get(page, offset) | (u64)get(page, offset + 16) << 32);
}

/* A periodic timer without a current count has its whole period before it, any other has stopped. */
static void timer_set(struct lapic *a, const struct cpu_apic *page)
{
    a->divide = get(page, APIC_DIVIDE);
    a->initial_count = get(page, APIC_INITIAL_COUNT);
    a->tsc_deadline = page->tsc_deadline;
    if (lapic_timer_mode(a) == TIMER_TSC_DEADLINE) {
        a->deadline = a->tsc_deadline ? tsc_to_ns(a->v, a->tsc_deadline) : 0;
        return;
    }
    u32 count = get(page, APIC_CURRENT_COUNT);
    if (!count && lapic_timer_mode(a) == TIMER_PERIODIC)
        count = a->initial_count;
    a->deadline = count ? world_now_ns(a->v) + (u64)count * lapic_divisor(a) : 0;
}

void lapic_page_set(struct vcpu *v, const struct cpu_apic *page)
{
    struct lapic *a = v->lapic;
    v->pv.eoi_offered = false;
    a->taken = 0;
    bitmap_set(a->isr, page, APIC_ISR);
    bitmap_set(a->tmr, page, APIC_TMR);
    bitmap_set(a->irr, page, APIC_IRR);
    STORE(a->tpr, get(page, APIC_TPR));
    STORE(a->ldr, a->mode == LAPIC_X2APIC ? 0 : get(page, APIC_LDR));
    STORE(a->dfr, get(page, APIC_DFR));
    STORE(a->svr, get(page, APIC_SVR));
    a->esr = get(page, APIC_ESR);
    STORE(a->esr_pending, page->errors);
    STORE(a->extint, page->extint);
    a->icr = get(page, APIC_ICR) | (u64)get(page, APIC_ICR2) << 32;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        if (lapic_has_lvt(a, i))
            lapic_lvt_set(a, i, get(page, lapic_lvt_offset(i)));
    timer_set(a, page);
}

void lapic_base_set(struct vcpu *v, u64 value)
{
    v->apic_base = value;
    lapic_mode_set(v->lapic);
}
