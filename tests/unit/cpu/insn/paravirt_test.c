/*
 * KVM's interface for guests: who has it, the clock's structure, steal time, asynchronous page faults, hypercalls.
 */
#include "cpu/insn/paravirt.h"

#include "cpu/insn/hypercall.h"
#include "cpu/insn/ops.h"
#include "unit/core.h"
#include "unit/test.h"

#define WALL_NS 1700000000123456789ull
#define AT 0x10008u /* a structure; not aligned to a page */
#define MSR_ON 1u

static u64 stolen;
static unsigned yields;

static u64 wall_ns(void *opaque)
{
    return WALL_NS;
}

static u64 stolen_ns(void *opaque, u32 index)
{
    return stolen;
}

static void yield(void *opaque)
{
    yields++;
}

static struct cpu_host host;
static struct vcpu *v;

static void create(bool interface, u32 cpus)
{
    core_create(VENDOR_INTEL, true, cpus, NULL);
    host = core_host;
    host.wall_ns = wall_ns;
    host.stolen_ns = stolen_ns;
    host.yield = yield;
    vm.host = &host;
    vm.paravirt = interface;
    vm.clock = (struct paravirt_clock){.tsc = tsc_host()};
    for (u32 i = 0; i < cpus; i++) {
        vm.vcpu[i]->pv.enforce = !interface;
        core_mode64(vm.vcpu[i]);
    }
    v = vm.vcpu[0];
}

static void *memory(u32 at)
{
    return vm.ram->slot[0].host + at;
}

static bool writes(u32 msr, u64 value)
{
    v->fault.valid = false;
    return msr_write(v, msr, value) == CPU_OK;
}

static bool reads(u32 msr, u64 value)
{
    u64 x;
    return msr_read(v, msr, &x) == CPU_OK && x == value;
}

/* Shows KVM's leaves with these features, behind another interface. */
static void show(u32 features)
{
    const u32 text[3] = KVM_PARA_SIGNATURE;
    struct cpuid_leaf *l = &core_features.leaf[core_features.leaf_count];
    l[0] = (struct cpuid_leaf){.leaf = 0x40000100, .r = {0x40000101, text[0], text[1], text[2]}};
    l[1] = (struct cpuid_leaf){.leaf = 0x40000101, .r = {features}};
    core_features.leaf_count += 2;
    paravirt_features(v);
}

static const u32 msrs[] = {MSR_KVM_WALL_CLOCK,   MSR_KVM_SYSTEM_TIME, MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW,
                           MSR_KVM_ASYNC_PF_EN,  MSR_KVM_STEAL_TIME,  MSR_KVM_PV_EOI_EN,      MSR_KVM_POLL_CONTROL,
                           MSR_KVM_ASYNC_PF_INT, MSR_KVM_ASYNC_PF_ACK};

static unsigned readable(void)
{
    unsigned n = 0;
    u64 x;
    for (unsigned i = 0; i < ARRAY_LEN(msrs); i++)
        n += msr_read(v, msrs[i], &x) == CPU_OK;
    return n;
}

static s64 call(u64 number, u64 a0, u64 a1)
{
    v->gpr[RAX] = number;
    v->gpr[RBX] = a0;
    v->gpr[RCX] = a1;
    v->gpr[RDX] = v->gpr[RSI] = 0;
    return hypercall(v, VENDOR_INTEL) == CPU_OK ? (s64)v->gpr[RAX] : 1;
}

static void test_presence(void)
{
    TEST("a VM without the interface has none of it");
    create(false, 1);
    CHECK_EQ(readable(), 0);
    CHECK_EQ(call(KVM_CALL_VAPIC_POLL, 0, 0), 1);

    TEST("what CPUID shows of it is there");
    show(BIT(KVM_PARA_CLOCKSOURCE2) | BIT(KVM_PARA_SCHED_YIELD));
    CHECK_EQ(readable(), 2);
    CHECK(writes(MSR_KVM_SYSTEM_TIME_NEW, AT | MSR_ON));
    CHECK(!writes(MSR_KVM_SYSTEM_TIME, AT | MSR_ON));
    CHECK_EQ(call(KVM_CALL_YIELD, 0, 0), 0);
    CHECK_EQ(yields, 1);
    CHECK_EQ(call(KVM_CALL_KICK, 0, 0), KVM_CALL_ERROR_UNKNOWN);

    TEST("a VM that KVM runs has all of it, until CPUID is enforced");
    create(true, 1);
    CHECK_EQ(readable(), ARRAY_LEN(msrs));
    CHECK(hypercall(v, VENDOR_AMD) == CPU_FAULT && v->fault.vector == EXC_UD);
    v->fault.valid = false;
    vm.quirks = CPU_QUIRK_HYPERCALL;
    CHECK(hypercall(v, VENDOR_AMD) == CPU_OK && !v->fault.valid);
    CHECK_EQ(call(KVM_CALL_KICK, 0, 0), 0);
    v->pv.enforce = true;
    CHECK_EQ(readable(), 0);
    CHECK_EQ(call(KVM_CALL_KICK, 0, 0), KVM_CALL_ERROR_UNKNOWN);
    CHECK_EQ(call(KVM_CALL_SEND_IPI, 0, 0), KVM_CALL_ERROR_UNKNOWN);

    TEST("CPL 3 has no hypercalls");
    v->cpl = 3;
    CHECK_EQ(call(KVM_CALL_VAPIC_POLL, 0, 0), KVM_CALL_ERROR_PERMISSION);
}

/* What a guest computes. */
static u64 guest_time(const struct kvm_para_clock *c, u64 tsc)
{
    u64 delta = tsc - c->tsc;
    delta = c->tsc_shift < 0 ? delta >> -c->tsc_shift : delta << c->tsc_shift;
    return c->system_time + (u64)((u128)delta * c->tsc_mul >> 32);
}

static void test_clock(void)
{
    TEST("the structure of the clock");
    create(true, 2);
    v->tsc_offset_l1 = v->tsc_offset = vm.vcpu[1]->tsc_offset_l1 = 12345;
    struct kvm_para_clock *c = memory(AT);
    CHECK(writes(MSR_KVM_SYSTEM_TIME_NEW, AT | MSR_ON));
    CHECK(reads(MSR_KVM_SYSTEM_TIME, AT | MSR_ON));
    CHECK(c->version && !(c->version & 1));
    CHECK_EQ(c->flags, KVM_PARA_CLOCK_IS_STABLE);
    CHECK_EQ(c->tsc, vm.clock.tsc + 12345);
    CHECK_EQ(guest_time(c, c->tsc), 0);
    CHECK_EQ(guest_time(c, c->tsc + 2000000000), 1000000000); /* 2 GHz */
    CHECK_EQ(paravirt_clock(&vm, vm.clock.tsc + 3000000), 1500000);

    TEST("the clock is set from outside, for all vCPUs");
    u32 version = c->version;
    paravirt_clock_set(&vm, 5000000, 77);
    CHECK(v->request & REQ_PARAVIRT && vm.vcpu[1]->request & REQ_PARAVIRT);
    paravirt_update(v);
    CHECK(!(v->request & REQ_PARAVIRT));
    CHECK(c->version == version + 2);
    CHECK_EQ(guest_time(c, c->tsc + 2000), 1077);
    CHECK_EQ(c->tsc, 5000000 + 12345);

    TEST("a TSC that differs: the clock is not stable, for anybody");
    CHECK(writes(MSR_TSC, 0));
    CHECK(vm.vcpu[1]->request & REQ_PARAVIRT);
    paravirt_update(v);
    CHECK_EQ(c->flags, 0);
    CHECK_EQ(c->tsc, 5000000 + v->tsc_offset_l1);

    TEST("the guest was stopped");
    CHECK(cpu_clock_stopped(v));
    paravirt_update(v);
    CHECK_EQ(c->flags, KVM_PARA_CLOCK_STOPPED);
    paravirt_update(v);
    CHECK_EQ(c->flags, KVM_PARA_CLOCK_STOPPED); /* the guest takes it away */
    c->flags = 0;
    paravirt_update(v);
    CHECK_EQ(c->flags, 0);
    CHECK(writes(MSR_KVM_SYSTEM_TIME_NEW, AT));
    CHECK(!cpu_clock_stopped(v));

    TEST("clocks of any rate");
    const u64 rates[] = {500000, 999999, 1000000, 1000001, 2000000, 2000001, 4294968, 5000000};
    for (unsigned i = 0; i < ARRAY_LEN(rates); i++) {
        v->tsc_khz = rates[i];
        CHECK(writes(MSR_KVM_SYSTEM_TIME_NEW, AT | MSR_ON));
        u64 second = guest_time(c, c->tsc + rates[i] * 1000) - c->system_time;
        CHECK(second > 1000000000 - 3 && second <= 1000000000);
        CHECK_EQ(paravirt_clock(&vm, vm.clock.tsc + 3600 * rates[i] * 1000),
                 guest_time(c, c->tsc + 3600 * rates[i] * 1000));
    }
    tsc_khz_set(v, 3 * vm.tsc_khz, true);
    CHECK(writes(MSR_KVM_SYSTEM_TIME_NEW, AT | MSR_ON));
    CHECK_EQ(paravirt_clock(&vm, vm.clock.tsc + 1000000), guest_time(c, c->tsc + 3000000));

    TEST("the wall clock is the time at which the clock was 0");
    struct kvm_para_wall *w = memory(AT + 0x100);
    w->version = 8;
    paravirt_clock_set(&vm, tsc_host(), 0);
    CHECK(writes(MSR_KVM_WALL_CLOCK, AT + 0x100));
    CHECK_EQ(w->version, 10);
    CHECK(w->seconds * 1000000000ull + w->ns <= WALL_NS && w->seconds == WALL_NS / 1000000000);
}

static void test_steal(void)
{
    TEST("steal time");
    create(true, 1);
    struct kvm_para_steal *s = memory(AT - 8);
    stolen = 1000;
    CHECK(!writes(MSR_KVM_STEAL_TIME, (AT - 8) | 2 | MSR_ON));
    CHECK(writes(MSR_KVM_STEAL_TIME, (AT - 8) | MSR_ON));
    stolen = 5000;
    core_now += 20000000;
    paravirt_steal(v);
    CHECK_EQ(s->stolen, 4000);
    CHECK_EQ(s->version, 2);
    stolen = 6000;
    paravirt_steal(v); /* too soon */
    CHECK_EQ(s->stolen, 4000);
    core_now += 10000000;
    stolen = ~0ull;
    paravirt_steal(v);
    core_now += 10000000;
    stolen = 7000;
    paravirt_steal(v);
    CHECK_EQ(s->stolen, 4000);

    TEST("a vCPU that sleeps, and a flush of its TLB that was asked for meanwhile");
    CHECK(!paravirt_sleep(v));
    CHECK_EQ(s->preempted, KVM_PARA_PREEMPTED);
    s->preempted |= KVM_PARA_FLUSH;
    paravirt_wake(v);
    CHECK_EQ(s->preempted, 0);

    TEST("a kick ends a HLT, the one of now or the next");
    v->activity = ACTIVITY_HLT;
    CHECK_EQ(call(KVM_CALL_KICK, 0, v->apic_id), 0);
    CHECK(paravirt_sleep(v));
    CHECK(v->activity == ACTIVITY_ACTIVE);
    v->activity = ACTIVITY_HLT;
    CHECK(!paravirt_sleep(v));
}

static void test_async(void)
{
    TEST("asynchronous page faults: whoever waits is woken at once");
    create(true, 1);
    struct kvm_para_async_pf *a = memory(0x20000);
    lapic_mmio_write(v, APIC_SVR, 0x1ff);
    CHECK(!writes(MSR_KVM_ASYNC_PF_INT, 0x100));
    CHECK(writes(MSR_KVM_ASYNC_PF_INT, 0xf3));
    CHECK(!writes(MSR_KVM_ASYNC_PF_EN, 0x20000 | 0x10 | MSR_ON));
    CHECK(writes(MSR_KVM_ASYNC_PF_EN, 0x20000 | KVM_PARA_ASYNC_PF_AS_INT | MSR_ON));
    CHECK_EQ(a->token, KVM_PARA_ASYNC_PF_ALL);
    bool extint;
    CHECK_EQ(lapic_pending(v, &extint), 0xf3);
    CHECK(writes(MSR_KVM_ASYNC_PF_ACK, 1) && reads(MSR_KVM_ASYNC_PF_ACK, 0));
}

static void test_calls(void)
{
    TEST("the pair of time of day and TSC");
    create(true, 1);
    struct kvm_para_pairing *p = memory(0x30000);
    CHECK_EQ(call(KVM_CALL_CLOCK_PAIRING, 0x30000, 0), 0);
    CHECK(p->seconds == WALL_NS / 1000000000 && p->ns == WALL_NS % 1000000000 && p->tsc);
    CHECK_EQ(call(KVM_CALL_CLOCK_PAIRING, 0x30000, 1), KVM_CALL_ERROR_NO_SUPPORT);
    CHECK_EQ(call(KVM_CALL_CLOCK_PAIRING, CORE_RAM, 0), KVM_CALL_ERROR_FAULT);

    TEST("MAP_GPA_RANGE leaves the vCPU if the owner wants it");
    CHECK_EQ(call(KVM_CALL_MAP_GPA_RANGE, 0x1000, 2), KVM_CALL_ERROR_UNKNOWN);
    vm.hypercall_exits = BIT(KVM_CALL_MAP_GPA_RANGE);
    CHECK_EQ(call(KVM_CALL_MAP_GPA_RANGE, 0x1001, 2), KVM_CALL_ERROR_INVALID);
    CHECK_EQ(call(KVM_CALL_MAP_GPA_RANGE, 0x1000, 0), KVM_CALL_ERROR_INVALID);
    v->rip = 0x100, v->next_rip = 0x103;
    v->gpr[RAX] = KVM_CALL_MAP_GPA_RANGE;
    v->gpr[RBX] = 0x1000, v->gpr[RCX] = 2;
    CHECK(hypercall(v, VENDOR_INTEL) == CPU_EXIT && v->exit == CPU_EXIT_HYPERCALL);
    const struct cpu_exit_hypercall *h = cpu_hypercall(v);
    CHECK(h->number == KVM_CALL_MAP_GPA_RANGE && h->arg[0] == 0x1000 && h->arg[1] == 2 && h->wide);
    CHECK_EQ(v->rip, 0x103);
    cpu_hypercall_finish(v, 42);
    CHECK_EQ(v->gpr[RAX], 42);
}

int main(void)
{
    test_presence();
    test_clock();
    test_steal();
    test_async();
    test_calls();
    return TEST_END();
}
