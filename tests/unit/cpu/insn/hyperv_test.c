/*
 * Hyper-V's interface for guests: who has it, reference time, the hypercall page and hypercalls, the synthetic
 * interrupt controller and its timers, and what the caller gets to do.
 */
#include "cpu/insn/hyperv.h"

#include "cpu/event/exception.h"
#include "cpu/insn/hypercall.h"
#include "cpu/insn/ops.h"
#include "cpu/insn/paravirt.h"
#include "unit/core.h"
#include "unit/test.h"

#define EVERYTHING 0xffffffffu
#define INPUT 0x30000u
#define VECTOR 0x55

static u64 ran = 5000;
static unsigned yields;

static u64 ran_ns(void *opaque)
{
    return ran;
}

static void yield(void *opaque)
{
    yields++;
}

static struct cpu_host host;
static struct vcpu *v;

static void show(u32 eax, u32 ebx, u32 edx, u32 recommended)
{
    struct cpuid_leaf *l = &core_features.leaf[core_features.leaf_count];
    l[0] = (struct cpuid_leaf){.leaf = HYPERV_LEAF_INTERFACE, .r = {HYPERV_INTERFACE}};
    l[1] = (struct cpuid_leaf){.leaf = HYPERV_LEAF_FEATURES, .r = {eax, ebx, 0, edx}};
    l[2] = (struct cpuid_leaf){.leaf = HYPERV_LEAF_RECOMMENDED, .r = {recommended, HYPERV_SPIN_DEFAULT}};
    core_features.leaf_count += 3;
    for (u32 i = 0; i < vm.vcpu_count; i++)
        hyperv_features(vm.vcpu[i]);
}

static void create(enum vendor vendor, u32 cpus, bool shown)
{
    core_create(vendor, true, cpus, NULL);
    host = core_host;
    host.ran_ns = ran_ns;
    host.yield = yield;
    vm.host = &host;
    vm.clock = (struct paravirt_clock){.tsc = tsc_host()};
    for (u32 i = 0; i < cpus; i++) {
        core_mode64(vm.vcpu[i]);
        lapic_mmio_write(vm.vcpu[i], APIC_SVR, 0x1ff);
    }
    v = vm.vcpu[0];
    if (shown)
        show(EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING);
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

static u64 get(u32 msr)
{
    u64 x = 0;
    CHECK(msr_read(v, msr, &x) == CPU_OK);
    return x;
}

static bool readable(u32 msr)
{
    u64 x;
    return msr_read(v, msr, &x) == CPU_OK;
}

static void test_presence(void)
{
    TEST("a CPU that does not show the interface has none of it");
    create(VENDOR_INTEL, 1, false);
    CHECK(!readable(MSR_HYPERV_OS_ID) && !readable(MSR_HYPERV_REFERENCE_COUNT));
    CHECK(hypercall(v, VENDOR_INTEL) == CPU_FAULT);

    TEST("a CPU that shows the interface has all of it, until CPUID is enforced");
    show(HYPERV_HAS_HYPERCALL, 0, HYPERV_HAS_CRASH, 0);
    CHECK(readable(MSR_HYPERV_REFERENCE_COUNT) && readable(MSR_HYPERV_OS_ID));
    cpu_hyperv_enforce(v, true);
    CHECK(!readable(MSR_HYPERV_REFERENCE_COUNT) && readable(MSR_HYPERV_OS_ID) && readable(MSR_HYPERV_CRASH_CTL));

    TEST("MSRs that only read, and those of a controller that is not enabled");
    create(VENDOR_INTEL, 2, true);
    v = vm.vcpu[1];
    CHECK_EQ(get(MSR_HYPERV_VP_INDEX), 1);
    CHECK_EQ(get(MSR_HYPERV_TSC_FREQUENCY), 2000000000);
    CHECK_EQ(get(MSR_HYPERV_APIC_FREQUENCY), 1000000000);
    CHECK(!writes(MSR_HYPERV_VP_INDEX, 1) && !writes(MSR_HYPERV_TSC_FREQUENCY, 1));
    CHECK(!readable(MSR_HYPERV_SCONTROL) && !readable(MSR_HYPERV_STIMER0_CONFIG));

    TEST("time that the vCPU ran, which goes on from what is set from outside");
    CHECK_EQ(get(MSR_HYPERV_RUNTIME), 50);
    *hyperv_msr_slot(v, MSR_HYPERV_RUNTIME) = 1000;
    hyperv_restored(v, MSR_HYPERV_RUNTIME);
    ran += 700;
    CHECK_EQ(get(MSR_HYPERV_RUNTIME), 1007);
}

static void test_time(void)
{
    TEST("reference time, by the MSR and by the page");
    create(VENDOR_INTEL, 2, true);
    vm.clock = (struct paravirt_clock){.tsc = tsc_host(), .ns = 5000000000};
    u64 t = get(MSR_HYPERV_REFERENCE_COUNT);
    CHECK(t >= 50000000 && t < 50000000 + 10000000);
    CHECK(writes(MSR_HYPERV_REFERENCE_TSC, 0x10000 | HYPERV_ENABLE));
    struct hyperv_tsc_page *p = memory(0x10000);
    CHECK_EQ(p->sequence, 1);
    u64 tsc = tsc_read_l1(v), by_page = (u64)((u128)tsc * p->scale >> 64) + (u64)p->offset;
    u64 by_msr = get(MSR_HYPERV_REFERENCE_COUNT);
    CHECK(by_msr >= by_page && by_msr - by_page < 100000);

    TEST("a clock that is older than the TSC");
    CHECK(writes(MSR_HYPERV_REFERENCE_TSC, 0));
    vm.clock = (struct paravirt_clock){.tsc = tsc_host() - 2000000000};
    v->tsc_offset_l1 = v->tsc_offset = vm.vcpu[1]->tsc_offset_l1 = -tsc_host();
    t = get(MSR_HYPERV_REFERENCE_COUNT);
    CHECK(t >= 10000000 && t < 10000000 + 10000000);

    CHECK(writes(MSR_HYPERV_REFERENCE_TSC, 0x10000 | HYPERV_ENABLE));

    TEST("the page stays as it is while the guest emulates its TSC, and the MSR with it");
    CHECK(writes(MSR_HYPERV_REENLIGHTENMENT + 1, 1));
    paravirt_clock_set(&vm, tsc_host(), 1000000000000);
    paravirt_update(v);
    CHECK_EQ(p->sequence, 2);
    CHECK(get(MSR_HYPERV_REFERENCE_COUNT) < 20000000);
    CHECK(writes(MSR_HYPERV_REENLIGHTENMENT + 1, 0));

    TEST("the page follows the clock, and is not used while TSCs differ");
    paravirt_clock_set(&vm, tsc_host(), 0);
    CHECK(v->request & REQ_PARAVIRT);
    paravirt_update(v);
    CHECK_EQ(p->sequence, 3);
    by_page = (u64)((u128)tsc_read_l1(v) * p->scale >> 64) + (u64)p->offset;
    CHECK(by_page < 10000000);
    CHECK(writes(MSR_TSC, 1000));
    paravirt_update(v);
    CHECK_EQ(p->sequence, 0);
}

static u64 call64(u64 input, u64 a, u64 b)
{
    v->gpr[RCX] = input;
    v->gpr[RDX] = a;
    v->gpr[R8] = b;
    v->gpr[RAX] = 0x1234;
    CHECK(hypercall(v, v->vm->vendor) == CPU_OK);
    return v->gpr[RAX];
}

static int pending(u32 cpu)
{
    bool extint;
    return lapic_pending(vm.vcpu[cpu], &extint);
}

#define VARIABLE(n) ((u64)(n) << 17)
#define REPEAT(n) ((u64)(n) << 32)

static void test_calls(void)
{
    TEST("the hypercall page has each vendor's instruction, once the guest named itself");
    create(VENDOR_INTEL, 1, true);
    const u8 vmcall[] = {0x0f, 0x01, 0xc1, 0xc3}, vmmcall[] = {0x0f, 0x01, 0xd9, 0xc3};
    CHECK(writes(MSR_HYPERV_HYPERCALL, 0x20000 | HYPERV_ENABLE) && !get(MSR_HYPERV_HYPERCALL));
    CHECK(writes(MSR_HYPERV_OS_ID, 1) && writes(MSR_HYPERV_HYPERCALL, 0x20000 | HYPERV_ENABLE));
    CHECK(!memcmp(memory(0x20000), vmcall, 4));
    CHECK(!writes(MSR_HYPERV_HYPERCALL, CORE_RAM | HYPERV_ENABLE));
    create(VENDOR_AMD, 1, true);
    CHECK(writes(MSR_HYPERV_OS_ID, 1) && writes(MSR_HYPERV_HYPERCALL, 0x20000 | HYPERV_ENABLE));
    CHECK(!memcmp(memory(0x20000), vmmcall, 4));

    TEST("what is no call, or no form of it");
    create(VENDOR_INTEL, 3, true);
    CHECK(writes(MSR_HYPERV_OS_ID, 1));
    CHECK_EQ(call64(0x7777, 0, 0), HYPERV_INVALID_CODE);
    CHECK_EQ(call64(HYPERV_CALL_SPIN | BIT64(27), 0, 0), HYPERV_INVALID_INPUT);
    CHECK_EQ(call64(HYPERV_CALL_SPIN | REPEAT(1), 0, 0), HYPERV_INVALID_INPUT);
    CHECK_EQ(call64(HYPERV_CALL_FLUSH_LIST, INPUT, 0), HYPERV_INVALID_INPUT);
    CHECK_EQ(call64(HYPERV_CALL_SEND_IPI, CORE_RAM, 0), HYPERV_INVALID_INPUT);
    CHECK_EQ(call64(HYPERV_CALL_SPIN, 0, 0), HYPERV_SUCCESS);
    CHECK_EQ(yields, 1);
    v->cpl = 3;
    CHECK(hypercall(v, VENDOR_INTEL) == CPU_FAULT && v->fault.vector == EXC_UD);
    v->cpl = 0;

    TEST("interrupts to sets of vCPUs");
    CHECK_EQ(call64(HYPERV_CALL_SEND_IPI | HYPERV_CALL_FAST, VECTOR, BIT(0) | BIT(2)), HYPERV_SUCCESS);
    CHECK(pending(0) == VECTOR && pending(1) < 0 && pending(2) == VECTOR);
    CHECK_EQ(call64(HYPERV_CALL_SEND_IPI | HYPERV_CALL_FAST, 0xf, 1), HYPERV_INVALID_INPUT);
    u64 *in = memory(INPUT);
    in[0] = VECTOR + 0x10, in[1] = HYPERV_SET_SPARSE, in[2] = 1, in[3] = BIT(1);
    CHECK_EQ(call64(HYPERV_CALL_SEND_IPI_EX, INPUT, 0), HYPERV_INVALID_INPUT); /* no variable header */
    CHECK_EQ(call64(HYPERV_CALL_SEND_IPI_EX | VARIABLE(1), INPUT, 0), HYPERV_SUCCESS);
    CHECK(pending(0) == VECTOR && pending(1) == VECTOR + 0x10);
    in[0] = VECTOR + 0x20, in[1] = HYPERV_SET_ALL, in[2] = 0;
    CHECK_EQ(call64(HYPERV_CALL_SEND_IPI_EX, INPUT, 0), HYPERV_SUCCESS);
    CHECK(pending(0) == VECTOR + 0x20 && pending(2) == VECTOR + 0x20);

    in[0] = 0, in[1] = HYPERV_SET_SPARSE;
    CHECK_EQ(call64(HYPERV_CALL_SEND_IPI_EX, INPUT, 0), HYPERV_SUCCESS); /* to nobody */

    TEST("flushes, with all input in registers too");
    in[0] = 0, in[1] = 0, in[2] = BIT(1);
    CHECK_EQ(call64(HYPERV_CALL_FLUSH_SPACE, INPUT, 0), HYPERV_SUCCESS);
    CHECK(vm.vcpu[1]->hv.flush && vm.vcpu[1]->request & REQ_PARAVIRT && !vm.vcpu[2]->hv.flush);
    paravirt_update(vm.vcpu[1]);
    CHECK(!vm.vcpu[1]->hv.flush);
    const u64 xmm[2] = {BIT(2), 0};
    __asm__ volatile("movups %0, %%xmm0" : : "m"(xmm) : "xmm0");
    CHECK_EQ(call64(HYPERV_CALL_FLUSH_LIST | HYPERV_CALL_FAST | REPEAT(5), 0, 0), HYPERV_SUCCESS | REPEAT(5));
    CHECK(!vm.vcpu[1]->hv.flush && vm.vcpu[2]->hv.flush);

    TEST("32-bit code: pairs of registers");
    core_mode32(v);
    v->gpr[RDX] = 0, v->gpr[RAX] = 0x7777;
    CHECK(hypercall(v, VENDOR_INTEL) == CPU_OK);
    CHECK(v->gpr[RAX] == HYPERV_INVALID_CODE && v->gpr[RDX] == 0);
    core_mode64(v);

    TEST("messages and events are the caller's");
    v->rip = 0x100, v->next_rip = 0x103;
    v->gpr[RCX] = HYPERV_CALL_SIGNAL_EVENT | HYPERV_CALL_FAST;
    v->gpr[RDX] = 7;
    CHECK(hypercall(v, VENDOR_INTEL) == CPU_EXIT && v->exit == CPU_EXIT_HYPERV && v->rip == 0x103);
    CHECK(cpu_hyperv(v)->kind == CPU_HYPERV_CALL && cpu_hyperv(v)->param[0] == 7);
    cpu_hyperv_finish(v, HYPERV_INVALID_CONNECTION);
    CHECK_EQ(v->gpr[RAX], HYPERV_INVALID_CONNECTION);

    TEST("calls that CPUID does not show are denied if CPUID is enforced");
    cpu_hyperv_enforce(v, true);
    v->hv.features[CPUID_EBX] = 0;
    CHECK_EQ(call64(HYPERV_CALL_SIGNAL_EVENT, 0, 0), HYPERV_ACCESS_DENIED);
    v->hv.features[CPUID_EDX] = 0;
    v->gpr[RCX] = HYPERV_CALL_FLUSH_SPACE | HYPERV_CALL_FAST;
    CHECK(hypercall(v, VENDOR_INTEL) == CPU_FAULT && v->fault.vector == EXC_UD);
}

static bool left(enum cpu_hyperv_kind kind)
{
    bool is = v->request & REQ_LEAVE && v->leave == CPU_EXIT_HYPERV && v->exit_hyperv.kind == kind;
    v->request &= ~REQ_LEAVE;
    return is;
}

static void test_caller(void)
{
    TEST("crash and reset are the caller's");
    create(VENDOR_INTEL, 1, true);
    CHECK(writes(MSR_HYPERV_CRASH_P0 + 3, 77) && get(MSR_HYPERV_CRASH_P0 + 3) == 77);
    CHECK(!left(CPU_HYPERV_CRASH));
    CHECK(writes(MSR_HYPERV_CRASH_CTL, HYPERV_CRASH_NOTIFY) && left(CPU_HYPERV_CRASH));
    CHECK(writes(MSR_HYPERV_RESET, 1) && left(CPU_HYPERV_RESET));
    CHECK_EQ(get(MSR_HYPERV_RESET), 0);

    TEST("the APIC's registers by MSRs");
    CHECK(writes(MSR_HYPERV_TPR, 0x30) && get(MSR_HYPERV_TPR) == 0x30);
    CHECK(writes(MSR_HYPERV_ICR, 0x40055) && pending(0) == VECTOR); /* to itself */
    CHECK_EQ(lapic_ack(v), VECTOR);
    CHECK(writes(MSR_HYPERV_EOI, 0) && v->lapic && pending(0) < 0);
    *(u32 *)memory(0x11000) = 0xffff;
    CHECK(writes(MSR_HYPERV_ASSIST_PAGE, 0x11000 | HYPERV_ENABLE) && !*(u32 *)memory(0x11000));
}

#define SINT 2u
#define SIMP 0x12000u
static struct hyperv_message *slot(void)
{
    return (struct hyperv_message *)memory(SIMP) + SINT;
}

static void test_synic(void)
{
    TEST("the synthetic interrupt controller");
    create(VENDOR_INTEL, 1, true);
    cpu_hyperv_synic(v, false);
    CHECK_EQ(get(MSR_HYPERV_SVERSION), 1);
    CHECK_EQ(get(MSR_HYPERV_SINT0), SINT_MASKED);
    CHECK(!writes(MSR_HYPERV_SINT0, 5) && writes(MSR_HYPERV_SINT0, SINT_MASKED));
    memset(memory(SIMP), 0xff, PAGE_SIZE);
    CHECK(writes(MSR_HYPERV_SIMP, SIMP | HYPERV_ENABLE) && left(CPU_HYPERV_SYNIC));
    CHECK(v->exit_hyperv.msr == MSR_HYPERV_SIMP && v->exit_hyperv.simp == (SIMP | HYPERV_ENABLE));
    CHECK(!slot()->type);
    CHECK_EQ(cpu_hyperv_sint(&vm, 0, SINT), -1);
    CHECK(writes(MSR_HYPERV_SINT0 + SINT, VECTOR | SINT_AUTO_EOI));
    CHECK_EQ(cpu_hyperv_sint(&vm, 0, SINT), 1);
    CHECK_EQ(cpu_hyperv_sint(&vm, 1, SINT), -1);

    TEST("an interrupt that ends when it is taken");
    CHECK_EQ(lapic_ack(v), VECTOR);
    CHECK_EQ(cpu_hyperv_sint(&vm, 0, SINT), 1);
    CHECK_EQ(lapic_ack(v), VECTOR);

    TEST("a timer puts a message, and the next when the slot is free");
    u64 now = hyperv_time(&vm);
    CHECK(writes(MSR_HYPERV_STIMER0_CONFIG, (u64)SINT << 16 | STIMER_AUTO_ENABLE));
    CHECK(writes(MSR_HYPERV_STIMER0_CONFIG + 1, now - 1)); /* expired already */
    CHECK(slot()->type == HYPERV_MESSAGE_TIMER && slot()->size == 24 && slot()->payload[0] == 0);
    CHECK_EQ(slot()->payload[1], now - 1);
    CHECK(slot()->payload[2] >= now);
    CHECK_EQ(lapic_ack(v), VECTOR);
    CHECK(!(get(MSR_HYPERV_STIMER0_CONFIG) & STIMER_ENABLE));
    CHECK(writes(MSR_HYPERV_STIMER0_CONFIG + 1, now));
    CHECK(slot()->flags == HYPERV_MESSAGE_PENDING && pending(0) < 0);
    slot()->type = 0;
    CHECK(writes(MSR_HYPERV_EOM, 0));
    CHECK(slot()->type == HYPERV_MESSAGE_TIMER && slot()->flags == 0 && slot()->payload[1] == now);
    CHECK_EQ(lapic_ack(v), VECTOR);

    TEST("a timer in the future, one-shot and periodic");
    now = hyperv_time(&vm);
    CHECK(writes(MSR_HYPERV_STIMER0_CONFIG + 2, STIMER_DIRECT | VECTOR << 4 | STIMER_AUTO_ENABLE));
    CHECK(writes(MSR_HYPERV_STIMER0_CONFIG + 3, now + 10000000)); /* a second */
    CHECK(pending(0) < 0 && v->hv.deadline > core_now && v->hv.deadline <= core_now + 1000000000);
    CHECK_EQ(core_timer[0], v->hv.deadline);
    CHECK(writes(MSR_HYPERV_STIMER0_CONFIG + 3, 0));
    CHECK(!v->hv.deadline);
    CHECK(writes(MSR_HYPERV_STIMER0_CONFIG + 2, STIMER_DIRECT | VECTOR << 4 | STIMER_PERIODIC | STIMER_ENABLE));
    CHECK(writes(MSR_HYPERV_STIMER0_CONFIG + 3, 1));
    for (unsigned i = 0; i < 3; i++) {
        CHECK(v->hv.deadline);
        core_now = v->hv.deadline;
        while (hyperv_time(&vm) < v->hv.timer[1].expires)
            ;
        synic_timers(v);
        CHECK_EQ(lapic_ack(v), VECTOR);
    }
}

int main(void)
{
    test_presence();
    test_time();
    test_calls();
    test_caller();
    test_synic();
    return TEST_END();
}
