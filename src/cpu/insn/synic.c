/*
 * Hyper-V's synthetic interrupt controller and synthetic timers. A SINT is an interrupt source with a vector of its
 * own; messages for it wait in its slot of the message page. A timer raises a vector directly, or puts a message there;
 * while the slot is in use it waits for EOM.
 * Source: TLFS, "Virtual Interrupts" ("Synthetic Interrupt Controller"), "Timers" ("Synthetic Timers").
 */
#include "cpu/core/world.h"
#include "cpu/event/lapic.h"
#include "cpu/insn/hyperv.h"
#include "cpu/mmu/mmu.h"

#define SYNIC_VERSION 1
#define SCONTROL_ENABLE 1

void synic_reset(struct vcpu *v)
{
    struct hyperv *h = &v->hv;
    h->scontrol = h->synic ? SCONTROL_ENABLE : 0;
    h->sversion = SYNIC_VERSION;
    h->siefp = h->simp = 0;
    for (unsigned i = 0; i < HYPERV_SINTS; i++)
        __atomic_store_n(&h->sint[i], SINT_MASKED, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < ARRAY_LEN(h->auto_eoi); i++)
        h->auto_eoi[i] = 0;
    for (unsigned i = 0; i < HYPERV_TIMERS; i++)
        h->timer[i] = (struct hyperv_timer){0};
    h->deadline = 0;
}

/* -- interrupts -- */

static int vector_of(u64 sint)
{
    return sint & SINT_MASKED || (sint & SINT_VECTOR) < SINT_FIRST_VECTOR ? -1 : (int)(sint & SINT_VECTOR);
}

static int raise(struct vcpu *v, u8 vector)
{
    const struct apic_message m = {.dest = v->apic_id, .x2apic_dest = true, .mode = DELIVER_FIXED, .vector = vector};
    return apic_deliver(v->vm, &m);
}

int synic_interrupt(struct vcpu *v, unsigned sint)
{
    if (!v->hv.synic || sint >= HYPERV_SINTS)
        return -1;
    int vector = vector_of(__atomic_load_n(&v->hv.sint[sint], __ATOMIC_SEQ_CST));
    return vector < 0 ? -1 : raise(v, (u8)vector);
}

static void auto_eoi_update(struct hyperv *h)
{
    for (unsigned i = 0; i < ARRAY_LEN(h->auto_eoi); i++)
        h->auto_eoi[i] = 0;
    for (unsigned i = 0; i < HYPERV_SINTS; i++) {
        int vector = vector_of(h->sint[i]);
        if (vector >= 0 && h->sint[i] & SINT_AUTO_EOI)
            h->auto_eoi[vector / 64] |= BIT64(vector % 64);
    }
}

static bool sint_write(struct vcpu *v, unsigned sint, u64 value)
{
    if ((value & SINT_VECTOR) < SINT_FIRST_VECTOR && !(value & SINT_MASKED))
        return false;
    __atomic_store_n(&v->hv.sint[sint], value, __ATOMIC_SEQ_CST);
    auto_eoi_update(&v->hv);
    return true;
}

/* -- timers -- */

static void deadline_update(struct vcpu *v)
{
    u64 first = 0;
    for (unsigned i = 0; i < HYPERV_TIMERS; i++) {
        u64 d = v->hv.timer[i].deadline;
        if (d && (!first || d < first))
            first = d;
    }
    v->hv.deadline = first;
    timers_update(v);
}

/* Puts a message into the slot of a SINT. False: the slot is in use, and the guest will write EOM when it is not. */
static bool message_put(struct vcpu *v, unsigned sint, const struct hyperv_message *m)
{
    struct hyperv_message old;
    gpa_t at = GPA((v->hv.simp & ~PAGE_MASK) + sint * sizeof(*m));
    if (!(v->hv.simp & HYPERV_ENABLE))
        return false;
    phys_read(v, at, &old, offsetof(struct hyperv_message, reserved));
    if (old.type) {
        old.flags |= HYPERV_MESSAGE_PENDING;
        phys_write(v, GPA(at.a + offsetof(struct hyperv_message, flags)), &old.flags, 1);
        return false;
    }
    phys_write(v, GPA(at.a + 4), &m->size, offsetof(struct hyperv_message, payload) - 4 + m->size);
    phys_write(v, at, &m->type, 4);
    return synic_interrupt(v, sint) >= 0;
}

static bool timer_message(struct vcpu *v, unsigned i)
{
    const struct hyperv_timer *t = &v->hv.timer[i];
    struct hyperv_message m = {.type = HYPERV_MESSAGE_TIMER, .size = 24};
    m.payload[0] = i;
    m.payload[1] = t->expires;
    m.payload[2] = hyperv_time(v->vm);
    /* Ticks that the guest had no time for are lost. */
    return message_put(v, STIMER_SINT(t->config), &m) || t->config & STIMER_PERIODIC;
}

static void timer_start(struct vcpu *v, struct hyperv_timer *t)
{
    u64 now = hyperv_time(v->vm);
    if (!(t->config & STIMER_PERIODIC))
        t->expires = t->count;
    else if (!t->expires)
        t->expires = now + t->count;
    else if (now >= t->expires)
        t->expires = now + t->count - (now - t->expires) % t->count;
    u64 wait = t->expires > now ? t->expires - now : 0;
    u64 ns = world_now_ns(v);
    t->deadline = wait < (INT64_MAX - ns) / 100 ? ns + wait * 100 : INT64_MAX;
}

static void timer_expire(struct vcpu *v, unsigned i)
{
    struct hyperv_timer *t = &v->hv.timer[i];
    bool done;
    t->deadline = 0;
    if (t->config & STIMER_DIRECT)
        done = raise(v, STIMER_VECTOR(t->config)) >= 0;
    else
        done = timer_message(v, i);
    t->undelivered = !done;
    if (!done)
        return;
    if (t->config & STIMER_PERIODIC)
        timer_start(v, t);
    else
        t->config &= ~STIMER_ENABLE;
}

void synic_timers(struct vcpu *v)
{
    if (likely(!v->hv.deadline))
        return;
    u64 now = world_now_ns(v);
    for (unsigned i = 0; i < HYPERV_TIMERS; i++) {
        struct hyperv_timer *t = &v->hv.timer[i];
        if (!t->deadline || t->deadline > now)
            continue;
        if (hyperv_time(v->vm) >= t->expires)
            timer_expire(v, i);
        else /* the clocks differ a little */
            timer_start(v, t);
    }
    deadline_update(v);
}

static void timer_set(struct vcpu *v, struct hyperv_timer *t)
{
    t->deadline = t->expires = 0;
    t->undelivered = false;
    if (t->config & STIMER_ENABLE && t->count)
        timer_start(v, t);
}

static void timer_write(struct vcpu *v, unsigned i, bool is_count, u64 value)
{
    struct hyperv_timer *t = &v->hv.timer[i];
    if (is_count) {
        t->count = value;
        if (!value)
            t->config &= ~STIMER_ENABLE;
        else if (t->config & STIMER_AUTO_ENABLE)
            t->config |= STIMER_ENABLE;
    } else {
        bool nowhere = !(value & (STIMER_DIRECT | STIMER_SINT_MASK));
        t->config = t->config & STIMER_ENABLE && nowhere ? value & ~STIMER_ENABLE : value;
    }
    timer_set(v, t);
    deadline_update(v);
    synic_timers(v);
}

/* EOM: the guest emptied a slot. */
static void messages_retry(struct vcpu *v)
{
    for (unsigned i = 0; i < HYPERV_TIMERS; i++)
        if (v->hv.timer[i].undelivered && v->hv.timer[i].config & STIMER_ENABLE)
            timer_expire(v, i);
    deadline_update(v);
}

/* -- MSRs -- */

static bool is_sint(u32 msr)
{
    return msr - MSR_HYPERV_SINT0 < HYPERV_SINTS;
}

static bool is_timer(u32 msr)
{
    return msr - MSR_HYPERV_STIMER0_CONFIG < 2 * HYPERV_TIMERS;
}

u64 *synic_msr_slot(struct vcpu *v, u32 msr)
{
    struct hyperv *h = &v->hv;
    if (is_sint(msr))
        return &h->sint[msr - MSR_HYPERV_SINT0];
    if (is_timer(msr)) {
        struct hyperv_timer *t = &h->timer[(msr - MSR_HYPERV_STIMER0_CONFIG) / 2];
        return msr & 1 ? &t->count : &t->config;
    }
    switch (msr) {
    case MSR_HYPERV_SCONTROL: return &h->scontrol;
    case MSR_HYPERV_SVERSION: return &h->sversion;
    case MSR_HYPERV_SIEFP: return &h->siefp;
    case MSR_HYPERV_SIMP: return &h->simp;
    default: return NULL;
    }
}

u64 synic_msr_read(struct vcpu *v, u32 msr)
{
    const u64 *slot = synic_msr_slot(v, msr);
    return slot ? *slot : 0;
}

static bool page_write(struct vcpu *v, u32 msr, u64 value)
{
    gpa_t at = GPA(value & ~PAGE_MASK);
    static const u8 zeroes[PAGE_SIZE];
    if (value & HYPERV_ENABLE && !v->hv.synic_keeps) {
        if (!vcpu_ram(v, at))
            return false;
        phys_write(v, at, zeroes, PAGE_SIZE);
    }
    *synic_msr_slot(v, msr) = value;
    return true;
}

/* The caller, who has the other end of messages and events, follows where the pages are. */
static void leave(struct vcpu *v, u32 msr)
{
    const struct hyperv *h = &v->hv;
    hyperv_leave(
        v, &(struct cpu_exit_hyperv){
               .kind = CPU_HYPERV_SYNIC, .msr = msr, .scontrol = h->scontrol, .siefp = h->siefp, .simp = h->simp});
}

bool synic_msr_write(struct vcpu *v, u32 msr, u64 value)
{
    if (is_sint(msr))
        return sint_write(v, msr - MSR_HYPERV_SINT0, value);
    if (is_timer(msr)) {
        bool is_count = msr & 1;
        if (!is_count && value & STIMER_DIRECT && !hyperv_has(v, v->hv.features[CPUID_EDX], HYPERV_HAS_DIRECT_TIMERS))
            return false;
        timer_write(v, (msr - MSR_HYPERV_STIMER0_CONFIG) / 2, is_count, value);
        return true;
    }
    switch (msr) {
    case MSR_HYPERV_SCONTROL: v->hv.scontrol = value; break;
    case MSR_HYPERV_SIEFP:
    case MSR_HYPERV_SIMP:
        if (!page_write(v, msr, value))
            return false;
        break;
    case MSR_HYPERV_EOM: messages_retry(v); return true;
    default: return false;
    }
    leave(v, msr);
    return true;
}

void synic_restored(struct vcpu *v, u32 msr)
{
    auto_eoi_update(&v->hv);
    if (!is_timer(msr))
        return;
    timer_set(v, &v->hv.timer[(msr - MSR_HYPERV_STIMER0_CONFIG) / 2]);
    deadline_update(v);
}
