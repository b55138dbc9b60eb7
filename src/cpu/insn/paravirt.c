/*
 * KVM's paravirtual interface: see paravirt.h. The clock is a function of the host's TSC, which all vCPUs compute from
 * the same pair of TSC and time, so they agree to the nanosecond as long as their TSCs do; the structure of a vCPU
 * changes only when its TSC's offset or the VM's clock does.
 *
 * No page fault is ever asynchronous here, so the interface of those is only the part that a guest sees without one.
 * Source: x86/kvm_para.h.
 */
#include "cpu/insn/paravirt.h"

#include "cpu/core/copy.h"
#include "cpu/core/cpuid.h"
#include "cpu/core/world.h"
#include "cpu/event/lapic.h"
#include "cpu/insn/hyperv.h"
#include "cpu/mmu/mmu.h"

#define SECOND_NS 1000000000ull
/* How often the host is asked, which takes some microseconds, in ns. Each entry changes the version at least. */
#define STEAL_PERIOD 10000000u
#define STEAL_PERIOD_ENTRY 200000u
#define NOTHING_STOLEN (~0ull) /* the host does not say */

/* -- what CPUID shows -- */

void paravirt_features(struct vcpu *v)
{
    static const u32 signature[3] = KVM_PARA_SIGNATURE;
    const struct cpu_features *f = v->features;
    v->pv.shown = 0;
    for (u32 i = 0; i + 1 < f->leaf_count; i++) {
        const u32 *r = f->leaf[i].r;
        if (f->leaf[i].leaf >> 16 == 0x4000 && r[1] == signature[0] && r[2] == signature[1] && r[3] == signature[2] &&
            f->leaf[i + 1].leaf == f->leaf[i].leaf + 1)
            v->pv.shown = f->leaf[i + 1].r[0];
    }
    hyperv_features(v);
}

void paravirt_reset(struct vcpu *v)
{
    struct paravirt *p = &v->pv;
    p->wall_clock = p->system_time = p->async_pf = p->async_pf_int = p->steal_time = 0;
    p->poll_control = 1;
    p->stopped = p->async_wake = false;
    __atomic_store_n(&p->kicked, false, __ATOMIC_SEQ_CST);
    hyperv_reset(v);
}

/* -- the clock -- */

/* Nanoseconds are ((ticks << shift) * mul) >> 32. */
struct rate {
    u32 mul;
    s8 shift;
};

static struct rate rate_of(u64 tsc_khz)
{
    struct rate r = {0, 0};
    u64 hz = tsc_khz * 1000;
    for (; hz > 2 * SECOND_NS; hz >>= 1)
        r.shift--;
    for (; hz <= SECOND_NS; hz <<= 1)
        r.shift++;
    r.mul = (u32)((SECOND_NS << 32) / hz);
    return r;
}

static u64 rate_ns(struct rate r, u64 ticks)
{
    ticks = r.shift < 0 ? ticks >> -r.shift : ticks << r.shift;
    return (u64)((u128)ticks * r.mul >> 32);
}

struct paravirt_clock paravirt_clock_read(const struct vm *vm)
{
    struct paravirt_clock c;
    do {
        c.turn = __atomic_load_n(&vm->clock.turn, __ATOMIC_ACQUIRE);
        c.tsc = __atomic_load_n(&vm->clock.tsc, __ATOMIC_RELAXED);
        c.ns = __atomic_load_n(&vm->clock.ns, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (c.turn & 1 || c.turn != __atomic_load_n(&vm->clock.turn, __ATOMIC_RELAXED));
    return c;
}

/* By the rate of vCPU 0's TSC, as the guest computes it. That of the host's own, which each process measures anew,
 * would make the clock jump when the VM is saved. */
u64 paravirt_clock(const struct vm *vm, u64 tsc)
{
    struct paravirt_clock c = paravirt_clock_read(vm);
    if (!__atomic_load_n(&vm->vcpu_count, __ATOMIC_ACQUIRE))
        return c.ns + rate_ns(rate_of(vm->tsc_khz), tsc - c.tsc);
    const struct vcpu *v = vm->vcpu[0];
    return c.ns + rate_ns(rate_of(v->tsc_khz), tsc_scaled(v, tsc) - tsc_scaled(v, c.tsc));
}

static void update_all(struct vm *vm)
{
    for (u32 i = 0; i < __atomic_load_n(&vm->vcpu_count, __ATOMIC_ACQUIRE); i++)
        request_set(vm->vcpu[i], REQ_PARAVIRT);
}

void paravirt_clock_set(struct vm *vm, u64 tsc, u64 ns)
{
    __atomic_fetch_add(&vm->clock.turn, 1, __ATOMIC_ACQ_REL);
    __atomic_store_n(&vm->clock.tsc, tsc, __ATOMIC_RELEASE);
    __atomic_store_n(&vm->clock.ns, ns, __ATOMIC_RELEASE);
    __atomic_fetch_add(&vm->clock.turn, 1, __ATOMIC_RELEASE);
    update_all(vm);
}

bool paravirt_clock_stable(const struct vm *vm)
{
    u32 count = __atomic_load_n(&vm->vcpu_count, __ATOMIC_ACQUIRE);
    for (u32 i = 1; i < count; i++)
        if (__atomic_load_n(&vm->vcpu[i]->tsc_offset_l1, __ATOMIC_RELAXED) !=
                __atomic_load_n(&vm->vcpu[0]->tsc_offset_l1, __ATOMIC_RELAXED) ||
            __atomic_load_n(&vm->vcpu[i]->tsc_ratio, __ATOMIC_RELAXED) !=
                __atomic_load_n(&vm->vcpu[0]->tsc_ratio, __ATOMIC_RELAXED))
            return false;
    return true;
}

static bool on(u64 msr)
{
    return msr & KVM_PARA_ENABLED;
}

static gpa_t address(u64 msr, u64 flags)
{
    return GPA(msr & ~flags);
}

static void clock_update(struct vcpu *v)
{
    gpa_t at = address(v->pv.system_time, KVM_PARA_ENABLED);
    struct paravirt_clock clock = paravirt_clock_read(v->vm);
    struct rate r = rate_of(v->tsc_khz);
    struct kvm_para_clock c, old;
    phys_read(v, at, &old, sizeof(old));
    u32 version = (v->pv.clock_version + 1) | 1;
    v->pv.clock_version = version + 1;
    c = (struct kvm_para_clock){.tsc = tsc_scaled(v, clock.tsc) + v->tsc_offset_l1,
                                .system_time = clock.ns,
                                .tsc_mul = r.mul,
                                .tsc_shift = r.shift,
                                .flags = (u8)(old.flags & KVM_PARA_CLOCK_STOPPED)};
    if (v->pv.stopped)
        c.flags |= KVM_PARA_CLOCK_STOPPED;
    if (paravirt_clock_stable(v->vm))
        c.flags |= KVM_PARA_CLOCK_IS_STABLE;
    v->pv.stopped = false;
    phys_write(v, at, &version, 4);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    phys_write(v, GPA(at.a + offsetof(struct kvm_para_clock, tsc)), &c.tsc,
               sizeof(c) - offsetof(struct kvm_para_clock, tsc));
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    phys_write(v, at, &v->pv.clock_version, 4);
}

static void wall_clock_write(struct vcpu *v, gpa_t at)
{
    struct kvm_para_wall w;
    u64 ns = world_wall_ns(v) - paravirt_clock(v->vm, tsc_host());
    phys_read(v, at, &w.version, 4);
    u32 version = (w.version + 1) | 1;
    w = (struct kvm_para_wall){version + 1, (u32)(ns / SECOND_NS), (u32)(ns % SECOND_NS)};
    phys_write(v, at, &version, 4);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    phys_write(v, GPA(at.a + 4), &w.seconds, 8);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    phys_write(v, at, &w.version, 4);
}

/* -- steal time -- */

#define STEAL_FLAGS 0x3full
#define STEAL_AT(v, member) GPA(address((v)->pv.steal_time, STEAL_FLAGS).a + offsetof(struct kvm_para_steal, member))

static void steal_begin(struct vcpu *v)
{
    v->pv.steal_read = world_now_ns(v);
    v->pv.stolen_then = world_stolen_ns(v);
}

static void steal_add(struct vcpu *v, u64 ns)
{
    struct kvm_para_steal s;
    phys_read(v, STEAL_AT(v, stolen), &s, offsetof(struct kvm_para_steal, flags));
    u32 version = (s.version + 1) | 1;
    s.stolen += ns;
    phys_write(v, STEAL_AT(v, version), &version, 4);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    phys_write(v, STEAL_AT(v, stolen), &s.stolen, 8);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    version++;
    phys_write(v, STEAL_AT(v, version), &version, 4);
}

static void steal_update(struct vcpu *v, u64 period)
{
    u64 now = world_now_ns(v), ns = 0;
    if (now - v->pv.steal_read >= period) {
        u64 stolen = world_stolen_ns(v), then = v->pv.stolen_then;
        v->pv.steal_read = now;
        v->pv.stolen_then = stolen;
        if (then != NOTHING_STOLEN && stolen != NOTHING_STOLEN && stolen > then)
            ns = stolen - then;
    } else if (period != STEAL_PERIOD_ENTRY) {
        return;
    }
    steal_add(v, ns);
}

void paravirt_steal(struct vcpu *v)
{
    if (unlikely(on(v->pv.steal_time)))
        steal_update(v, STEAL_PERIOD);
}

void paravirt_enter(struct vcpu *v)
{
    if (unlikely(on(v->pv.steal_time)))
        steal_update(v, STEAL_PERIOD_ENTRY);
}

/* The host memory of the byte that other vCPUs change while this one sleeps. */
static u8 *preempted(struct vcpu *v)
{
    return on(v->pv.steal_time) ? vcpu_ram(v, STEAL_AT(v, preempted)) : NULL;
}

bool paravirt_sleep(struct vcpu *v)
{
    if (v->activity == ACTIVITY_HLT && __atomic_exchange_n(&v->pv.kicked, false, __ATOMIC_SEQ_CST)) {
        v->activity = ACTIVITY_ACTIVE;
        return true;
    }
    u8 *p = preempted(v);
    if (p) {
        __atomic_store_n(p, KVM_PARA_PREEMPTED, __ATOMIC_SEQ_CST);
        phys_written(v, STEAL_AT(v, preempted), 1);
    }
    return false;
}

/* The guest's slots may have changed meanwhile. */
void paravirt_wake(struct vcpu *v)
{
    u8 *p = preempted(v);
    if (!p)
        return;
    if (__atomic_exchange_n(p, 0, __ATOMIC_SEQ_CST) & KVM_PARA_FLUSH)
        mmu_flush_all(v);
    phys_written(v, STEAL_AT(v, preempted), 1);
    paravirt_steal(v);
}

/* -- asynchronous page faults -- */

#define ASYNC_PF_FLAGS 0x3full
#define ASYNC_PF_RESERVED 0x30ull

/* Every page that the guest may wait for, since it came from elsewhere, is there. */
static void async_wake(struct vcpu *v)
{
    const u64 needed = KVM_PARA_ENABLED | KVM_PARA_ASYNC_PF_AS_INT;
    gpa_t at = address(v->pv.async_pf, ASYNC_PF_FLAGS);
    u32 token = KVM_PARA_ASYNC_PF_ALL, old;
    v->pv.async_wake = false;
    at.a += offsetof(struct kvm_para_async_pf, token);
    phys_read(v, at, &old, 4);
    if ((v->pv.async_pf & needed) != needed || old)
        return;
    phys_write(v, at, &token, 4);
    const struct apic_message m = {
        .dest = v->apic_id, .x2apic_dest = true, .mode = DELIVER_FIXED, .vector = (u8)v->pv.async_pf_int};
    apic_deliver(v->vm, &m);
}

/* -- MSRs -- */

#define EOI_RESERVED 2ull

bool paravirt_msr_exists(const struct vcpu *v, u32 msr, bool owner)
{
    if (!v->vm->paravirt && !v->pv.shown)
        return false;
    switch (msr) {
    case MSR_KVM_WALL_CLOCK:
    case MSR_KVM_SYSTEM_TIME: return paravirt_has(v, KVM_PARA_CLOCKSOURCE);
    case MSR_KVM_WALL_CLOCK_NEW:
    case MSR_KVM_SYSTEM_TIME_NEW: return paravirt_has(v, KVM_PARA_CLOCKSOURCE2);
    case MSR_KVM_ASYNC_PF_EN: return paravirt_has(v, KVM_PARA_ASYNC_PF);
    case MSR_KVM_STEAL_TIME: return paravirt_has(v, KVM_PARA_STEAL_TIME);
    case MSR_KVM_PV_EOI_EN: return paravirt_has(v, KVM_PARA_EOI);
    case MSR_KVM_POLL_CONTROL: return paravirt_has(v, KVM_PARA_POLL_CONTROL);
    case MSR_KVM_ASYNC_PF_INT:
    case MSR_KVM_ASYNC_PF_ACK: return paravirt_has(v, KVM_PARA_ASYNC_PF_INT);
    default: return false;
    }
}

u64 *paravirt_msr_slot(struct vcpu *v, u32 msr)
{
    switch (msr) {
    case MSR_KVM_WALL_CLOCK:
    case MSR_KVM_WALL_CLOCK_NEW: return &v->pv.wall_clock;
    case MSR_KVM_SYSTEM_TIME:
    case MSR_KVM_SYSTEM_TIME_NEW: return &v->pv.system_time;
    case MSR_KVM_ASYNC_PF_EN: return &v->pv.async_pf;
    case MSR_KVM_STEAL_TIME: return &v->pv.steal_time;
    case MSR_KVM_PV_EOI_EN: return &v->pv.eoi;
    case MSR_KVM_POLL_CONTROL: return &v->pv.poll_control;
    case MSR_KVM_ASYNC_PF_INT: return &v->pv.async_pf_int;
    default: return NULL;
    }
}

bool paravirt_msr_legal(const struct vcpu *v, u32 msr, u64 value)
{
    switch (msr) {
    case MSR_KVM_ASYNC_PF_EN: return !(value & ASYNC_PF_RESERVED);
    case MSR_KVM_STEAL_TIME: return !(value & STEAL_FLAGS & ~KVM_PARA_ENABLED);
    case MSR_KVM_PV_EOI_EN: return !(value & EOI_RESERVED);
    case MSR_KVM_POLL_CONTROL: return value <= 1;
    case MSR_KVM_ASYNC_PF_INT: return value <= 0xff;
    default: return true;
    }
}

enum outcome paravirt_msr_write(struct vcpu *v, u32 msr, u64 value)
{
    u64 *slot = paravirt_msr_slot(v, msr);
    if (slot == &v->pv.eoi)
        lapic_eoi_look(v);
    if (slot)
        *slot = value;
    if (slot == &v->pv.wall_clock) {
        wall_clock_write(v, GPA(value));
    } else if (slot == &v->pv.system_time && on(value)) {
        clock_update(v);
    } else if (slot == &v->pv.steal_time && on(value)) {
        steal_begin(v);
    } else if (slot == &v->pv.async_pf && on(value)) {
        async_wake(v);
    }
    return CPU_OK;
}

void paravirt_restored(struct vcpu *v, u32 msr)
{
    const u64 *slot = paravirt_msr_slot(v, msr);
    if (msr >= MSR_HYPERV_OS_ID && msr < MSR_KVM_FIRST)
        hyperv_restored(v, msr);
    if (!slot)
        return;
    if (slot == &v->pv.steal_time && on(*slot))
        steal_begin(v);
    if (slot == &v->pv.async_pf)
        v->pv.async_wake = on(*slot);
    request_raise(v, REQ_PARAVIRT);
}

void paravirt_update(struct vcpu *v)
{
    __atomic_fetch_and(&v->request, ~REQ_PARAVIRT, __ATOMIC_SEQ_CST);
    if (on(v->pv.system_time))
        clock_update(v);
    if (v->pv.async_wake)
        async_wake(v);
    hyperv_update(v);
}
