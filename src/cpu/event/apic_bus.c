/*
 * Messages to local APICs: interprocessor interrupts, message-signalled interrupts and the 8259's INTR wire. Any
 * thread: a message sets bits in the target's registers atomically and then REQ_EVENT, which also wakes a sleeping CPU.
 * Source: SDM volume 3A, "Issuing Interprocessor Interrupts", "Determining IPI Destination", "Message Signalled
 * Interrupts".
 */
#include "cpu/event/lapic_state.h"

static bool match_logical(const struct lapic *a, u32 dest, bool wide)
{
    if (LOAD(a->mode) == LAPIC_X2APIC) {
        u32 ldr = x2apic_ldr(a->v->apic_id);
        if (wide && dest == X2APIC_EVERYBODY)
            return true;
        return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
    }
    u32 id = LOAD(a->ldr) >> 24;
    if (dest == (wide ? X2APIC_EVERYBODY : APIC_EVERYBODY))
        return true;
    if (dest > APIC_EVERYBODY)
        return false;
    if (LOAD(a->dfr) >> 28 == 0xf)
        return dest & id;
    return dest >> 4 == id >> 4 && (dest & id & 0xf);
}

static bool match(const struct lapic *a, const struct apic_message *m)
{
    if (LOAD(a->mode) == LAPIC_DISABLED)
        return false;
    if (m->logical)
        return match_logical(a, m->dest, m->x2apic_dest);
    bool everybody = m->dest == (m->x2apic_dest ? X2APIC_EVERYBODY : APIC_EVERYBODY);
    if (everybody && !m->x2apic_dest && m->exact)
        everybody = LOAD(a->mode) != LAPIC_X2APIC;
    return everybody || m->dest == a->v->apic_id;
}

static bool enabled(const struct lapic *a)
{
    return LOAD(a->svr) & SVR_ENABLED;
}

bool lapic_accept(struct lapic *a, u8 vector, bool level)
{
    u64 bit = BIT64(vector % 64);
    if (vector < 16) {
        lapic_error(a, ESR_RECEIVE_ILLEGAL_VECTOR);
        return true;
    }
    if (level)
        __atomic_fetch_or(&a->tmr[vector / 64], bit, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&a->tmr[vector / 64], ~bit, __ATOMIC_RELAXED);
    u64 before = __atomic_fetch_or(&a->irr[vector / 64], bit, __ATOMIC_SEQ_CST);
    request_set(a->v, REQ_EVENT);
    return !(before & bit);
}

/* SDM "Handling Multiple NMIs": while one is handled, one more is held. An NMI that could be taken at once, but was not
 * seen yet, counts as being handled. The target may take one meanwhile, so the count is compared even if it stays. */
static void nmi_arrives(struct vcpu *v)
{
    u8 n = LOAD(v->nmi_pending), next;
    do {
        u8 limit = LOAD(v->nmi_blocked) ? 1 : 2;
        next = n < limit ? n + 1 : n;
    } while (!__atomic_compare_exchange_n(&v->nmi_pending, &n, next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
}

/* 1 if the APIC takes the message, 0 if the interrupt is pending there already, -1 if it refuses. */
static int deliver_one(struct lapic *a, const struct apic_message *m)
{
    struct vcpu *v = a->v;
    switch (m->mode) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST: return enabled(a) ? lapic_accept(a, m->vector, m->level) : -1;
    case DELIVER_NMI: nmi_arrives(v); break;
    case DELIVER_SMI: __atomic_store_n(&v->smi_pending, true, __ATOMIC_SEQ_CST); break;
    case DELIVER_INIT: /* a SIPI that it has not looked at yet came before, and is lost */
        __atomic_store_n(&v->sipi_pending, false, __ATOMIC_SEQ_CST);
        __atomic_store_n(&v->init_pending, true, __ATOMIC_SEQ_CST);
        break;
    case DELIVER_SIPI:
        __atomic_store_n(&v->sipi_vector, m->vector, __ATOMIC_RELAXED);
        __atomic_store_n(&v->sipi_pending, true, __ATOMIC_SEQ_CST);
        break;
    case DELIVER_EXTINT: __atomic_store_n(&a->extint, 1, __ATOMIC_SEQ_CST); break;
    default: return 1;
    }
    request_set(v, REQ_EVENT);
    return 1;
}

static int sum(int taken, int one)
{
    return one < 0 ? taken : one + (taken < 0 ? 0 : taken);
}

int apic_deliver(struct vm *vm, const struct apic_message *m)
{
    int taken = -1;
    struct lapic *lowest = NULL;
    for (u32 i = 0; i < vm->vcpu_count; i++) {
        struct lapic *a = vm->vcpu[i]->lapic;
        if (!match(a, m))
            continue;
        if (m->mode != DELIVER_LOWEST)
            taken = sum(taken, deliver_one(a, m));
        else if (enabled(a) && (!lowest || LOAD(a->tpr) < LOAD(lowest->tpr)))
            lowest = a;
    }
    return lowest ? deliver_one(lowest, m) : taken;
}

int apic_msi(struct vm *vm, u64 address, u32 data)
{
    bool redirect = address & MSI_REDIRECTION_HINT;
    struct apic_message m = {
        .dest = (u8)(address >> MSI_DESTINATION_SHIFT) | (LOAD(vm->msi_wide) ? address >> 32 & 0xffffff00 : 0),
        .logical = address & MSI_LOGICAL,
        .level = data & MSI_LEVEL,
        .exact = LOAD(vm->msi_exact),
        .mode = APIC_MODE(data),
        .vector = (u8)data,
    };
    if (redirect && m.logical && m.mode == DELIVER_FIXED)
        m.mode = DELIVER_LOWEST;
    return apic_deliver(vm, &m);
}

void apic_intr_line(struct vm *vm, bool level)
{
    bool before = __atomic_exchange_n(&vm->intr_line, level, __ATOMIC_SEQ_CST);
    if (!level || before)
        return;
    for (u32 i = 0; i < vm->vcpu_count; i++) {
        struct lapic *a = vm->vcpu[i]->lapic;
        u32 lint0 = LOAD(a->lint0);
        if (LOAD(a->mode) == LAPIC_DISABLED) {
            if (is_boot_cpu(a->v))
                request_set(a->v, REQ_EVENT);
            continue;
        }
        if (lint0 & LVT_MASKED)
            continue;
        struct apic_message m = {.mode = APIC_MODE(lint0), .vector = (u8)lint0, .level = lint0 & LVT_LEVEL};
        if (m.mode == DELIVER_EXTINT)
            request_set(a->v, REQ_EVENT);
        else
            deliver_one(a, &m);
    }
}

static void local_event(struct vcpu *v, enum lvt entry)
{
    struct lapic *a = v->lapic;
    u32 lvt = a->lvt[entry];
    const struct apic_message m = {.mode = lvt >> APIC_MODE_SHIFT & 7, .vector = (u8)lvt};
    if (LOAD(a->mode) != LAPIC_DISABLED && !(lvt & LVT_MASKED) && m.mode != DELIVER_EXTINT)
        deliver_one(a, &m);
}

void apic_perf(struct vcpu *v)
{
    local_event(v, LVT_PERF);
}

void apic_cmci(struct vcpu *v)
{
    local_event(v, LVT_CMCI);
}

void apic_nmi(struct vcpu *v)
{
    const struct apic_message nmi = {.mode = DELIVER_NMI};
    deliver_one(v->lapic, &nmi);
}

void apic_smi(struct vcpu *v)
{
    const struct apic_message smi = {.mode = DELIVER_SMI};
    deliver_one(v->lapic, &smi);
}

void apic_init_line(struct vm *vm)
{
    const struct apic_message init = {.mode = DELIVER_INIT};
    for (u32 i = 0; i < vm->vcpu_count; i++)
        deliver_one(vm->vcpu[i]->lapic, &init);
}

/* SDM vol. 3A "Interrupt Command Register (ICR)", tables of valid combinations; APM vol. 2 "Interprocessor Interrupts":
 * with the shorthands that include the sender only fixed interrupts are. KVM's APIC takes them all, and its guests and
 * tests count on that. */
static bool shorthand_valid(const struct vm *vm, unsigned shorthand, unsigned mode)
{
    return mode == DELIVER_FIXED || vm->paravirt || (shorthand != SHORTHAND_SELF && shorthand != SHORTHAND_ALL);
}

void apic_send_ipi(struct lapic *a, u64 icr)
{
    struct vm *vm = a->v->vm;
    bool wide = LOAD(a->mode) == LAPIC_X2APIC;
    struct apic_message m = {
        .dest = wide ? (u32)(icr >> 32) : (u32)(icr >> 56),
        .logical = icr & ICR_LOGICAL,
        .level = icr & ICR_LEVEL,
        .x2apic_dest = wide,
        .mode = APIC_MODE(icr),
        .vector = (u8)icr,
    };
    /* "Interrupt Command Register": INIT level de-assert changes nothing on processors since the Pentium 4. */
    if (m.mode == DELIVER_INIT && m.level && !(icr & ICR_ASSERT))
        return;
    m.level = false;
    if ((m.mode == DELIVER_FIXED || m.mode == DELIVER_LOWEST) && m.vector < 16) {
        lapic_error(a, ESR_SEND_ILLEGAL_VECTOR);
        return;
    }
    unsigned shorthand = icr >> ICR_SHORTHAND_SHIFT & 3;
    if (!shorthand_valid(vm, shorthand, m.mode))
        return;
    switch (shorthand) {
    case SHORTHAND_NONE: apic_deliver(vm, &m); break;
    case SHORTHAND_SELF: deliver_one(a, &m); break;
    case SHORTHAND_ALL:
    case SHORTHAND_OTHERS:
        for (u32 i = 0; i < vm->vcpu_count; i++) {
            struct lapic *other = vm->vcpu[i]->lapic;
            if (LOAD(other->mode) != LAPIC_DISABLED && (other != a || shorthand == SHORTHAND_ALL))
                deliver_one(other, &m);
        }
        break;
    }
}
