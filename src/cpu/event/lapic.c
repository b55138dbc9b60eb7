/*
 * The local APIC's registers, interrupt priorities and timer. On the vCPU's own thread but for lapic_error; what
 * others do to an APIC is in apic_bus.c. The timer's input clock is 1 GHz (CPUID 15h says so): a count is a nanosecond.
 * LINT0 and LINT1 of the boot CPU start as firmware leaves them: ExtINT and NMI ("virtual wire mode"), so that the 8259
 * works for kernels that never touch the APIC.
 * Source: SDM volume 3A, "Advanced Programmable Interrupt Controller (APIC)".
 */
#include "cpu/core/copy.h"
#include "cpu/core/cpuid.h"
#include "cpu/core/world.h"
#include "cpu/event/lapic_state.h"
#include "cpu/mmu/users.h"
#include "x86/kvm_para.h"

/* The version of integrated APICs, the highest LVT entry, and that EOI broadcasts can be suppressed. */
#define VERSION(lvts) (0x14 | ((lvts)-1) << 16 | BIT(24))

#define LVT_COMMON (LVT_MASKED | APIC_VECTOR)
#define LVT_EVENT (LVT_COMMON | 7 << APIC_MODE_SHIFT)
#define LVT_LINT (LVT_EVENT | LVT_ACTIVE_LOW | LVT_LEVEL)
static const u32 lvt_writable[LVT_COUNT] = {
    [LVT_TIMER] = LVT_COMMON | LVT_TIMER_PERIODIC | LVT_TIMER_DEADLINE,
    [LVT_THERMAL] = LVT_EVENT,
    [LVT_PERF] = LVT_EVENT,
    [LVT_LINT0] = LVT_LINT,
    [LVT_LINT1] = LVT_LINT,
    [LVT_ERROR] = LVT_COMMON,
    [LVT_CMCI] = LVT_EVENT,
};
#define LVT_READ_ONLY (LVT_PENDING | LVT_REMOTE_IRR)

#define XAPIC_DESTINATION 0xff000000u /* in LDR and ICR2 */

size_t lapic_size(void)
{
    return sizeof(struct lapic);
}

void lapic_create(struct vcpu *v, void *memory)
{
    v->lapic = memory;
    fill_bytes(memory, 0, sizeof(struct lapic));
    v->lapic->v = v;
}

enum lapic_mode lapic_mode_of(u64 apic_base)
{
    if (!(apic_base & APIC_BASE_EN))
        return LAPIC_DISABLED;
    return apic_base & APIC_BASE_EXTD ? LAPIC_X2APIC : LAPIC_XAPIC;
}

void lapic_mode_set(struct lapic *a)
{
    STORE(a->mode, a->v->vm->apics == CPU_APICS_CALLER ? LAPIC_DISABLED : lapic_mode_of(a->v->apic_base));
}

void lapic_lvt_set(struct lapic *a, unsigned i, u32 value)
{
    STORE(a->lvt[i], value);
    if (i == LVT_LINT0)
        STORE(a->lint0, value);
}

static void registers_reset(struct lapic *a)
{
    for (unsigned i = 0; i < 4; i++) {
        STORE(a->irr[i], 0);
        STORE(a->tmr[i], 0);
        a->isr[i] = 0;
    }
    a->v->pv.eoi_offered = false;
    STORE(a->svr, SVR_RESET);
    STORE(a->ldr, 0);
    STORE(a->dfr, DFR_FLAT);
    STORE(a->tpr, 0);
    STORE(a->extint, 0);
    STORE(a->esr_pending, 0);
    a->esr = 0;
    a->icr = 0;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        lapic_lvt_set(a, i, LVT_MASKED);
    a->divide = 0;
    a->initial_count = 0;
    a->deadline = 0;
    a->tsc_deadline = 0;
    a->paid = a->taken = 0;
}

void lapic_reset(struct vcpu *v, bool init)
{
    struct lapic *a = v->lapic;
    registers_reset(a);
    v->pv.eoi = 0;
    if (!init) {
        v->apic_base = APIC_DEFAULT_ADDRESS | APIC_BASE_EN | (is_boot_cpu(v) ? APIC_BASE_BSP : 0);
        if (is_boot_cpu(v)) {
            lapic_lvt_set(a, LVT_LINT0, DELIVER_EXTINT << APIC_MODE_SHIFT);
            lapic_lvt_set(a, LVT_LINT1, DELIVER_NMI << APIC_MODE_SHIFT);
        }
    }
    lapic_mode_set(a);
    timers_update(v);
}

/* -- priorities -- */

static u32 ppr(const struct lapic *a)
{
    return ppr_of(a->tpr, vector_highest(a->isr));
}

static bool lint0_is_extint(const struct lapic *a)
{
    return (a->lvt[LVT_LINT0] & (LVT_MASKED | 7 << APIC_MODE_SHIFT)) == DELIVER_EXTINT << APIC_MODE_SHIFT;
}

bool lapic_takes_push(struct vcpu *v)
{
    return v->lapic->mode == LAPIC_DISABLED || lint0_is_extint(v->lapic);
}

static bool extint_waits(const struct lapic *a)
{
    const struct vm *vm = a->v->vm;
    if (unlikely(vm->apics != CPU_APICS_ENGINE))
        return a->v->pushed && lapic_takes_push(a->v);
    if (LOAD(a->extint))
        return true;
    if (!LOAD(vm->intr_line))
        return false;
    return a->mode == LAPIC_DISABLED ? is_boot_cpu(a->v) : lint0_is_extint(a);
}

int lapic_pending(struct vcpu *v, bool *extint)
{
    struct lapic *a = v->lapic;
    *extint = extint_waits(a);
    if (*extint)
        return 0;
    if (a->mode == LAPIC_DISABLED)
        return -1;
    int vector = vector_highest(a->irr);
    if (vector >= 0)
        lapic_eoi_look(v);
    return vector >= 0 && (vector & 0xf0) > (int)(ppr(a) & 0xf0) ? vector : -1;
}

/*
 * The guest has to get on, whatever it sets its timer to. So each expiry is a debt of TIMER_GAP_NS, which is paid by
 * time outside the handler, and a timer that owes TIMER_DEBT_NS waits until it owes less. What waits is forgotten if
 * the guest sets the timer anew: to raise it then would let each handler's write raise the next interrupt at once.
 * By as much as an expiry comes late the guest did not run: a busy host had other work, or the timer's signal took
 * that long. Such time pays nothing. Neither does the guest run while the host's timer is set, which takes longer than
 * the gap on some hosts: an expiry is a debt of twice that time more.
 */
#define TIMER_GAP_NS 100000
#define TIMER_DEBT_NS (16 * TIMER_GAP_NS)
#define TIMER_COST_NS (4 * TIMER_GAP_NS) /* more than that is a host that had other work */

static bool is_timer(const struct lapic *a, int vector)
{
    return vector == (u8)a->lvt[LVT_TIMER];
}

#define HANDLER_ENDS (~0ull)

/* When an interrupt that is due at `time` may come; HANDLER_ENDS: not before. */
static u64 debt_wait(const struct lapic *a, u64 time)
{
    if (a->taken && (time < a->taken ? time : a->taken) + TIMER_DEBT_NS < a->paid)
        return HANDLER_ENDS;
    return time + TIMER_DEBT_NS < a->paid ? a->paid - TIMER_DEBT_NS : time;
}

/* Time stands still while the handler runs: its end adds what it took. */
static void debt_add(struct lapic *a, u64 now)
{
    u64 due = debt_wait(a, a->deadline);
    if (due < a->looked)
        due = a->looked;
    if (a->taken)
        now = a->taken;
    else if (now > due)
        a->paid += now - due;
    a->paid = (a->paid > now ? a->paid : now) + TIMER_GAP_NS + 2 * a->cost;
}

/* Sets the host's timer after a look at the APIC's. */
static void host_timer_set(struct lapic *a)
{
    timers_update(a->v);
    u64 took = world_now_ns(a->v) - a->looked;
    if (took > TIMER_COST_NS)
        took = TIMER_COST_NS;
    a->cost = a->cost - a->cost / 8 + took / 8; /* on average: once is chance */
}

/* -- KVM's EOI by memory -- */

/*
 * MSR_KVM_PV_EOI_EN: while an interrupt is in service whose end would have no effect but on its bit of the ISR, bit 0
 * of a byte of the guest's is set. A guest that clears it need not write to the APIC. This is found out before anything
 * depends on the ISR; where the guest has not done it by then, the offer is withdrawn. Timers' interrupts have none:
 * their debt wants to know when the handler ended.
 */
static gpa_t eoi_byte(const struct vcpu *v)
{
    return GPA(v->pv.eoi & ~KVM_PARA_ENABLED);
}

static void eoi_offer(struct lapic *a, int vector)
{
    const u8 offered = KVM_PARA_EOI_OFFERED;
    u64 bit = BIT64(vector % 64), waits = 0, others = 0;
    for (int i = 0; i < 4; i++) {
        waits |= LOAD(a->irr[i]);
        others |= i == vector / 64 ? a->isr[i] & ~bit : a->isr[i];
    }
    if (waits || others || LOAD(a->tmr[vector / 64]) & bit || is_timer(a, vector))
        return;
    a->v->pv.eoi_offered = true;
    phys_write(a->v, eoi_byte(a->v), &offered, 1);
}

static void service_end(struct lapic *a);

void lapic_eoi_look(struct vcpu *v)
{
    u8 byte;
    if (likely(!v->pv.eoi_offered))
        return;
    v->pv.eoi_offered = false;
    phys_read(v, eoi_byte(v), &byte, 1);
    if (!(byte & KVM_PARA_EOI_OFFERED)) {
        service_end(v->lapic);
        return;
    }
    byte &= (u8)~KVM_PARA_EOI_OFFERED;
    phys_write(v, eoi_byte(v), &byte, 1);
}

int lapic_ack(struct vcpu *v)
{
    struct lapic *a = v->lapic;
    bool extint;
    int vector = lapic_pending(v, &extint);
    if (extint && v->vm->apics != CPU_APICS_ENGINE) {
        v->pushed = false;
        return v->pushed_vector;
    }
    if (extint) {
        STORE(a->extint, 0);
        return world_pic_ack(v);
    }
    if (vector >= 0) {
        u64 bit = BIT64(vector % 64);
        __atomic_fetch_and(&a->irr[vector / 64], ~bit, __ATOMIC_SEQ_CST);
        if (likely(!(v->hv.auto_eoi[vector / 64] & bit))) { /* Hyper-V's SynIC: it ends at once */
            a->isr[vector / 64] |= bit;
            if (v->pv.eoi & KVM_PARA_ENABLED)
                eoi_offer(a, vector);
            if (is_timer(a, vector)) {
                a->taken = world_now_ns(v);
                a->taken_vector = vector;
            }
        }
    }
    return vector;
}

/* The processor priority fell: what waits may be deliverable now. */
static void priority_fell(struct lapic *a)
{
    bool extint;
    if (lapic_pending(a->v, &extint) >= 0)
        request_raise(a->v, REQ_EVENT);
}

u64 lapic_tpr_read(struct vcpu *v)
{
    return v->lapic->tpr >> 4;
}

static void tpr_write(struct lapic *a, u32 value)
{
    u32 old = a->tpr;
    STORE(a->tpr, (u8)value);
    if (a->tpr < old)
        priority_fell(a);
}

void lapic_tpr_set(struct vcpu *v, u64 value)
{
    tpr_write(v->lapic, (u32)value << 4);
}

void lapic_tpr_write(struct vcpu *v, u64 value)
{
    bool lower = (u32)value << 4 < v->lapic->tpr;
    lapic_tpr_set(v, value);
    if (unlikely(lower && v->vm->apics == CPU_APICS_CALLER)) {
        v->leave = CPU_EXIT_TPR;
        request_raise(v, REQ_LEAVE);
    }
}

static void handler_end(struct lapic *a)
{
    a->looked = world_now_ns(a->v);
    a->paid += a->looked - a->taken;
    a->taken = 0;
    host_timer_set(a);
}

static void service_end(struct lapic *a)
{
    int vector = vector_highest(a->isr);
    if (vector < 0)
        return;
    u64 bit = BIT64(vector % 64);
    a->isr[vector / 64] &= ~bit;
    if (a->taken && vector == a->taken_vector)
        handler_end(a);
    if ((LOAD(a->tmr[vector / 64]) & bit) && !(a->svr & SVR_NO_EOI_BROADCAST))
        world_eoi(a->v, (u8)vector);
    priority_fell(a);
}

static void eoi(struct lapic *a)
{
    lapic_eoi_look(a->v);
    service_end(a);
}

void lapic_error(struct lapic *a, u32 bit)
{
    __atomic_fetch_or(&a->esr_pending, bit, __ATOMIC_RELAXED);
    u32 lvt = LOAD(a->lvt[LVT_ERROR]);
    if (!(lvt & LVT_MASKED) && (lvt & APIC_VECTOR) >= 16)
        lapic_accept(a, (u8)lvt, false);
}

/* -- the timer -- */

unsigned lapic_timer_mode(const struct lapic *a)
{
    return a->lvt[LVT_TIMER] >> LVT_TIMER_SHIFT & 3;
}

u32 lapic_divisor(const struct lapic *a)
{
    u32 code = (a->divide & 3) | (a->divide >> 1 & 4);
    return code == 7 ? 1 : 2u << code;
}

static void timer_fire(struct lapic *a)
{
    if (!(a->lvt[LVT_TIMER] & LVT_MASKED))
        lapic_accept(a, (u8)a->lvt[LVT_TIMER], false);
}

static u64 timer_period(const struct lapic *a)
{
    return lapic_timer_mode(a) == TIMER_PERIODIC ? (u64)a->initial_count * lapic_divisor(a) : 0;
}

/* The first end of a period after `now`, which is not before the deadline: those that passed are one. */
static u64 period_end(const struct lapic *a, u64 now)
{
    u64 period = timer_period(a);
    return a->deadline + ((now - a->deadline) / period + 1) * period;
}

/* The count, or the time to the deadline, has run out. */
static bool timer_is_over(struct lapic *a, u64 now)
{
    if (!a->deadline)
        return false;
    if (lapic_timer_mode(a) == TIMER_TSC_DEADLINE)
        return tsc_read_l1(a->v) >= a->tsc_deadline;
    return now >= a->deadline;
}

static void timer_end(struct lapic *a, u64 now)
{
    debt_add(a, now);
    a->deadline = timer_period(a) ? period_end(a, now) : 0;
    a->tsc_deadline = 0;
    timer_fire(a);
}

static void timer_expire(struct lapic *a)
{
    u64 now = world_now_ns(a->v);
    bool over = timer_is_over(a, now);
    if (over && debt_wait(a, now) == now)
        timer_end(a, now);
    else if (!over && a->tsc_deadline && now >= a->deadline) /* the clocks differ a little */
        a->deadline = tsc_to_ns(a->v, a->tsc_deadline);
    a->looked = now;
}

static u32 current_count(struct lapic *a)
{
    if (lapic_timer_mode(a) == TIMER_TSC_DEADLINE)
        return 0;
    timer_expire(a);
    timers_update(a->v);
    u64 now = world_now_ns(a->v), end = a->deadline;
    if (end && end <= now && timer_period(a))
        end = period_end(a, now);
    return end > now ? (u32)((end - now + lapic_divisor(a) - 1) / lapic_divisor(a)) : 0;
}

static void initial_count_write(struct lapic *a, u32 value)
{
    if (lapic_timer_mode(a) == TIMER_TSC_DEADLINE)
        return;
    a->initial_count = value;
    a->looked = world_now_ns(a->v);
    a->deadline = value ? a->looked + (u64)value * lapic_divisor(a) : 0;
    host_timer_set(a);
}

static void divide_write(struct lapic *a, u32 value)
{
    u32 count = current_count(a);
    a->divide = value & APIC_DIVIDE_BITS;
    if (a->deadline && lapic_timer_mode(a) != TIMER_TSC_DEADLINE) {
        a->deadline = world_now_ns(a->v) + (u64)count * lapic_divisor(a);
        timers_update(a->v);
    }
}

static void tsc_deadline_write(struct lapic *a, u64 value)
{
    if (lapic_timer_mode(a) != TIMER_TSC_DEADLINE)
        return;
    a->tsc_deadline = value;
    a->deadline = value ? tsc_to_ns(a->v, value) : 0;
    a->looked = world_now_ns(a->v);
    timer_expire(a);
    host_timer_set(a);
}

void lapic_tsc_changed(struct vcpu *v)
{
    struct lapic *a = v->lapic;
    if (!a->tsc_deadline)
        return;
    a->deadline = tsc_to_ns(v, a->tsc_deadline);
    timer_expire(a);
    timers_update(v);
}

void lapic_timer(struct vcpu *v)
{
    timer_expire(v->lapic);
    host_timer_set(v->lapic);
}

u64 lapic_deadline(struct vcpu *v)
{
    const struct lapic *a = v->lapic;
    u64 due = debt_wait(a, a->deadline);
    if (due == HANDLER_ENDS)
        return 0;
    if (!a->deadline || due == a->deadline)
        return a->deadline;
    return timer_period(a) ? period_end(a, due) : due;
}

/* -- registers -- */

u32 lapic_lvt_mask(const struct lapic *a, unsigned i)
{
    if (i == LVT_TIMER && !cpu_has(a->v->vm, FEATURE_TSC_DEADLINE))
        return lvt_writable[i] & ~LVT_TIMER_DEADLINE;
    return lapic_has_lvt(a, i) ? lvt_writable[i] : 0;
}

static void lvt_write(struct lapic *a, unsigned i, u32 value)
{
    value &= lapic_lvt_mask(a, i);
    if (!(a->svr & SVR_ENABLED))
        value |= LVT_MASKED;
    if (i == LVT_TIMER) {
        unsigned was = lapic_timer_mode(a);
        timer_expire(a);
        lapic_lvt_set(a, i, value);
        if (a->taken && !is_timer(a, a->taken_vector))
            handler_end(a);
        if ((was == TIMER_TSC_DEADLINE) != (lapic_timer_mode(a) == TIMER_TSC_DEADLINE)) {
            a->deadline = a->tsc_deadline = 0;
            a->initial_count = 0;
        }
        timers_update(a->v);
        return;
    }
    lapic_lvt_set(a, i, value);
    if (i == LVT_LINT0) {
        priority_fell(a);
        event_recheck(a->v); /* the caller may wait for it */
    }
}

static void svr_write(struct lapic *a, u32 value)
{
    STORE(a->svr, value & (0x3ff | SVR_NO_EOI_BROADCAST));
    if (!(value & SVR_ENABLED))
        for (unsigned i = 0; i < LVT_COUNT; i++)
            lapic_lvt_set(a, i, a->lvt[i] | LVT_MASKED);
}

/* Which entry of the table lies there. */
static bool is_lvt(const struct lapic *a, u32 offset, unsigned *i)
{
    *i = offset == APIC_LVT_CMCI ? LVT_CMCI : (offset - APIC_LVT_TIMER) / 16;
    return *i < LVT_COUNT && offset == lapic_lvt_offset(*i) && lapic_has_lvt(a, *i);
}

static u32 bitmap_read(const u64 set[4], u32 offset)
{
    u32 i = offset >> 4 & 7;
    return (u32)(LOAD(set[i / 2]) >> (i % 2 * 32));
}

bool lapic_register(struct lapic *a, u32 offset, u32 *value)
{
    bool x2apic = a->mode == LAPIC_X2APIC;
    unsigned i;
    *value = 0;
    if (is_lvt(a, offset, &i)) {
        *value = a->lvt[i];
        return true;
    }
    switch (offset) {
    case APIC_ID: *value = x2apic ? a->v->apic_id : a->v->apic_id << 24; return true;
    case APIC_VERSION: *value = VERSION(lapic_has_lvt(a, LVT_CMCI) ? LVT_COUNT : LVT_CMCI); return true;
    case APIC_TPR: *value = a->tpr; return true;
    case APIC_PPR: *value = ppr(a); return true;
    case APIC_APR: /* arbitration priority: not on processors since the Pentium 4 */
    case APIC_EOI:
    case APIC_RRD: return !x2apic;
    case APIC_LDR: *value = x2apic ? x2apic_ldr(a->v->apic_id) : a->ldr; return true;
    case APIC_DFR: *value = a->dfr; return !x2apic;
    case APIC_SVR: *value = a->svr; return true;
    case APIC_ISR ... APIC_ISR + APIC_LAST_OF_EIGHT: *value = bitmap_read(a->isr, offset); return true;
    case APIC_TMR ... APIC_TMR + APIC_LAST_OF_EIGHT: *value = bitmap_read(a->tmr, offset); return true;
    case APIC_IRR ... APIC_IRR + APIC_LAST_OF_EIGHT: *value = bitmap_read(a->irr, offset); return true;
    case APIC_ESR: *value = a->esr; return true;
    case APIC_ICR: *value = (u32)a->icr; return true;
    case APIC_ICR2: *value = (u32)(a->icr >> 32); return !x2apic;
    case APIC_INITIAL_COUNT: *value = a->initial_count; return true;
    case APIC_CURRENT_COUNT: *value = current_count(a); return true;
    case APIC_DIVIDE: *value = a->divide; return true;
    }
    return false;
}

/* A register that both modes have. False: there is none, or it is read-only. */
static bool register_write(struct lapic *a, u32 offset, u32 value)
{
    unsigned i;
    if (is_lvt(a, offset, &i)) {
        lvt_write(a, i, value);
        return true;
    }
    switch (offset) {
    case APIC_TPR: tpr_write(a, value); return true;
    case APIC_EOI: eoi(a); return true;
    case APIC_SVR: svr_write(a, value); return true;
    case APIC_ESR: a->esr = __atomic_exchange_n(&a->esr_pending, 0, __ATOMIC_RELAXED); return true;
    case APIC_INITIAL_COUNT: initial_count_write(a, value); return true;
    case APIC_DIVIDE: divide_write(a, value); return true;
    }
    return false;
}

u32 lapic_mmio_read(struct vcpu *v, u32 offset)
{
    struct lapic *a = v->lapic;
    u32 value;
    /* "The Local APIC Block Diagram": registers are aligned at 16 bytes; bytes 4 to 15 are reserved. */
    if (offset & 0xf)
        return 0;
    lapic_eoi_look(v);
    if (!lapic_register(a, offset, &value))
        lapic_error(a, ESR_ILLEGAL_REGISTER);
    return value;
}

void lapic_mmio_write(struct vcpu *v, u32 offset, u32 value)
{
    struct lapic *a = v->lapic;
    if (offset & 0xf)
        return;
    switch (offset) {
    case APIC_LDR: STORE(a->ldr, value & XAPIC_DESTINATION); return;
    case APIC_DFR: STORE(a->dfr, value | DFR_CLUSTER); return;
    case APIC_ICR2: a->icr = (u32)a->icr | (u64)(value & XAPIC_DESTINATION) << 32; return;
    case APIC_ICR:
        a->icr = (a->icr & 0xffffffff00000000) | (value & ICR_WRITABLE);
        apic_send_ipi(a, a->icr);
        return;
    case APIC_ID: /* read-only, silently: firmware of old systems writes it */
    case APIC_VERSION:
    case APIC_APR:
    case APIC_PPR:
    case APIC_RRD:
    case APIC_ISR ... APIC_IRR + APIC_LAST_OF_EIGHT:
    case APIC_CURRENT_COUNT: return;
    }
    if (!register_write(a, offset, value))
        lapic_error(a, ESR_ILLEGAL_REGISTER);
}

/* -- MSRs -- */

/* Bits of an x2APIC register that WRMSR may set; "x2APIC Register Address Space" and the figures of each register. */
static u64 x2apic_writable(const struct lapic *a, u32 offset)
{
    unsigned i;
    if (is_lvt(a, offset, &i))
        return lapic_lvt_mask(a, i) | LVT_READ_ONLY;
    switch (offset) {
    case APIC_TPR:
    case APIC_SELF_IPI: return APIC_VECTOR;
    case APIC_SVR: return APIC_VECTOR | SVR_ENABLED | SVR_NO_EOI_BROADCAST;
    case APIC_ICR: return 0xffffffffull << 32 | ICR_WRITABLE | ICR_PENDING;
    case APIC_INITIAL_COUNT: return 0xffffffff;
    case APIC_DIVIDE: return APIC_DIVIDE_BITS;
    }
    return 0; /* EOI and ESR: zero only */
}

static enum outcome x2apic_write(struct lapic *a, u32 offset, u64 value)
{
    if (a->mode != LAPIC_X2APIC || (value & ~x2apic_writable(a, offset)))
        return raise_gp(a->v, 0);
    switch (offset) {
    case APIC_ICR:
        a->icr = value & ~(u64)ICR_PENDING;
        apic_send_ipi(a, a->icr);
        return CPU_OK;
    case APIC_SELF_IPI: apic_send_ipi(a, SHORTHAND_SELF << ICR_SHORTHAND_SHIFT | value); return CPU_OK;
    }
    return register_write(a, offset, (u32)value) ? CPU_OK : raise_gp(a->v, 0);
}

static enum outcome x2apic_read(struct lapic *a, u32 offset, u64 *value)
{
    u32 low;
    lapic_eoi_look(a->v);
    if (a->mode != LAPIC_X2APIC || !lapic_register(a, offset, &low))
        return raise_gp(a->v, 0);
    *value = offset == APIC_ICR ? a->icr : low;
    return CPU_OK;
}

/* "x2APIC State Transitions" */
static enum outcome apic_base_write(struct vcpu *v, u64 value)
{
    struct lapic *a = v->lapic;
    enum lapic_mode from = lapic_mode_of(v->apic_base), to = lapic_mode_of(value);
    bool forbidden = (from == LAPIC_X2APIC && to == LAPIC_XAPIC) || (from == LAPIC_DISABLED && to == LAPIC_X2APIC);
    if (!lapic_base_legal(v, value) || forbidden)
        return raise_gp(v, 0);

    bool moved = (v->apic_base ^ value) & ~APIC_BASE_BSP;
    v->apic_base = value;
    if (to == LAPIC_DISABLED && from != to)
        registers_reset(a);
    if (to == LAPIC_X2APIC && from != to)
        a->icr = (u32)a->icr;
    lapic_mode_set(a);
    if (moved) {
        timers_update(v);
        priority_fell(a);
        mmu_flush_all(v);
        users_empty(v); /* the page may lie where one of them does, which no table says */
    }
    return CPU_OK;
}

enum outcome lapic_msr_read(struct vcpu *v, u32 msr, u64 *value)
{
    if (msr == MSR_APIC_BASE) {
        *value = v->apic_base;
        return CPU_OK;
    }
    if (msr == MSR_TSC_DEADLINE) {
        timer_expire(v->lapic);
        *value = v->lapic->tsc_deadline;
        return CPU_OK;
    }
    return x2apic_read(v->lapic, (msr - MSR_X2APIC_FIRST) << 4, value);
}

enum outcome lapic_msr_write(struct vcpu *v, u32 msr, u64 value)
{
    if (msr == MSR_APIC_BASE)
        return apic_base_write(v, value);
    if (msr == MSR_TSC_DEADLINE) {
        tsc_deadline_write(v->lapic, value);
        return CPU_OK;
    }
    return x2apic_write(v->lapic, (msr - MSR_X2APIC_FIRST) << 4, value);
}
