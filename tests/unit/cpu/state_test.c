/* The state of a vCPU by named registers, but for VMX and SVM, which vmx/state_test.c and svm/state_test.c have. */
#include "cpu/event/perf.h"
#include "unit/state_walk.h"

static void test_walk(enum vendor vendor, const char *name, void (*prepare)(void))
{
    TEST(name);
    core_create(vendor, true, 1, NULL);
    v = vm.vcpu[0];
    prepare();
    CHECK(walk_registers(STATE_ALL) > 1000);
}

static void as_reset(void)
{
}

static void as_64bit(void)
{
    core_mode64(v);
    v->shadow = SHADOW_STI;
    v->nmi_blocked = true;
    v->monitor_armed = true;
    v->monitor_gpa = GPA(0x1000);
}

static void as_pae(void)
{
    core_mode32(v);
    v->cr4 |= CR4_PAE;
    v->cr0 |= CR0_PG;
    v->pdpte[0] = 0x3001;
}

static void as_x2apic(void)
{
    core_mode64(v);
    CHECK_EQ(lapic_msr_write(v, MSR_APIC_BASE, v->apic_base | APIC_BASE_EXTD), CPU_OK);
    CHECK_EQ(lapic_msr_write(v, 0x80f, 0x1ff), CPU_OK);
    CHECK_EQ(lapic_msr_write(v, 0x832, 0x40020), CPU_OK);
    CHECK_EQ(lapic_msr_write(v, MSR_TSC_DEADLINE, tsc_read_l1(v) + 1000000000), CPU_OK);
}

static void as_periodic(void)
{
    lapic_mmio_write(v, 0xf0, 0x1ff);
    lapic_mmio_write(v, 0x320, 0x20030);
    lapic_mmio_write(v, 0x3e0, 3);
    lapic_mmio_write(v, 0x380, 1000000);
    core_now += 5000;
}

static void test_names(void)
{
    TEST("names are unique, and every byte that can be set has one");
    static u8 named[sizeof(struct cpu_state)];
    const struct cpu_register *r, *other;
    for (unsigned i = 0; (r = cpu_register(i)); i++) {
        CHECK(r->name && *r->name && r->size && r->count);
        CHECK(r->group && !(r->group & (r->group - 1)) && !(r->group & ~STATE_ALL));
        for (unsigned k = 0; k < i && (other = cpu_register(k)); k++)
            CHECK(strcmp(r->name, other->name) != 0);
        memset(named + r->offset, 1, (size_t)r->size * r->count);
    }
    size_t unnamed = 0;
    for (size_t i = 0; i < offsetof(struct cpu_state, msrs); i++)
        unnamed += !named[i];
    CHECK(unnamed < 200); /* padding, has_pdpte */
}

static void test_refusals(void)
{
    static const struct {
        const char *name;
        u64 group;
        size_t offset;
        u64 value;
    } rows[] = {
        {"rflags", STATE_GPRS, offsetof(struct cpu_state, rflags), 0},
        {"rflags", STATE_GPRS, offsetof(struct cpu_state, rflags), 0x8002},
        {"cr0", STATE_CONTROL, offsetof(struct cpu_state, cr0), CR0_PG | CR0_ET},
        {"cr0", STATE_CONTROL, offsetof(struct cpu_state, cr0), CR0_NW | CR0_ET},
        {"cr0", STATE_CONTROL, offsetof(struct cpu_state, cr0), CR0_PE},
        {"efer", STATE_CONTROL, offsetof(struct cpu_state, efer), EFER_LMA},
        {"cr4", STATE_CONTROL, offsetof(struct cpu_state, cr4), CR4_CET},
        {"cr8", STATE_CONTROL, offsetof(struct cpu_state, cr8), 16},
        {"apic_base", STATE_CONTROL, offsetof(struct cpu_state, apic_base), APIC_BASE_EXTD},
        {"cs.base", STATE_SEGMENTS, offsetof(struct cpu_state, seg[SEG_CS].base), 1ull << 60},
        {"gdtr.base", STATE_SEGMENTS, offsetof(struct cpu_state, gdtr.base), 1ull << 60},
        {"dr6", STATE_DEBUG, offsetof(struct cpu_state, dr6), 0},
        {"dr7", STATE_DEBUG, offsetof(struct cpu_state, dr7), 0},
        {"xcr0", STATE_VECTORS, offsetof(struct cpu_state, xcr0), 2},
        {"xsave", STATE_VECTORS, offsetof(struct cpu_state, xsave[24]), 0xffffffff},
        {"xsave", STATE_VECTORS, offsetof(struct cpu_state, xsave[512]), 1ull << 62},
        {"xsave", STATE_VECTORS, offsetof(struct cpu_state, xsave[520]), 1ull << 63},
        {"trap_dr6", STATE_EVENTS, offsetof(struct cpu_state, events.trap_dr6), 1},
        {"monitor", STATE_ACTIVITY, offsetof(struct cpu_state, monitor), 1},
        {"apic.tsc_deadline", STATE_APIC, offsetof(struct cpu_state, apic.tsc_deadline), 1},
    };
    TEST("a refused register is named");
    core_create(VENDOR_INTEL, false, 1, NULL);
    v = vm.vcpu[0];
    get_all(&before);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        const char *bad = NULL;
        tried = before;
        memcpy((char *)&tried + rows[i].offset, &rows[i].value, 8);
        CHECK_EQ(cpu_state_set(v, &tried, rows[i].group, &bad), -EINVAL);
        CHECK(bad && strcmp(bad, rows[i].name) == 0);
        get_all(&after);
        CHECK(!difference(&before, &after, STATE_ALL));
    }

    TEST("what is refused in one group keeps all others from being set");
    const char *bad;
    tried = before;
    tried.gpr[RAX] = 99;
    tried.dr6 = 0;
    CHECK_EQ(cpu_state_set(v, &tried, STATE_GPRS | STATE_DEBUG, &bad), -EINVAL);
    CHECK_EQ(v->gpr[RAX], before.gpr[RAX]);
    CHECK_EQ(cpu_state_set(v, &tried, STATE_GPRS, &bad), 0);
    CHECK_EQ(v->gpr[RAX], 99);
    CHECK_EQ(cpu_state_set(v, &tried, STATE_ALL + 1, &bad), -EINVAL);
}

static void test_msrs(void)
{
    for (int vendor = 0; vendor < 2; vendor++) {
        TEST(vendor ? "AMD: MSRs" : "Intel: MSRs");
        core_create(vendor ? VENDOR_AMD : VENDOR_INTEL, true, 1, NULL);
        v = vm.vcpu[0];
        get_all(&before);
        CHECK(before.msrs > 80);
        unsigned taken = 0;
        for (u32 i = 0; i < before.msrs; i++) {
            for (unsigned bit = 0; bit < 64; bit++) {
                tried = before;
                tried.msr[i].value ^= BIT64(bit);
                taken += attempt(STATE_MSRS, "an MSR");
            }
        }
        CHECK(taken > 1000);
    }

    TEST("MSRs by number");
    core_create(VENDOR_INTEL, true, 1, NULL);
    v = vm.vcpu[0];
    tried.msrs = 3;
    tried.msr[0].index = MSR_MTRRCAP;
    tried.msr[1].index = 0x12345;
    tried.msr[2].index = MSR_PAT;
    cpu_state_get(v, &tried, STATE_MSRS);
    CHECK(tried.msrs == 2 && tried.msr[0].value == 0x508 && tried.msr[1].index == MSR_PAT);
    const char *bad;
    CHECK_EQ(cpu_state_set(v, &tried, STATE_MSRS, &bad), 0);
    tried.msr[0].value++;
    CHECK_EQ(cpu_state_set(v, &tried, STATE_MSRS, &bad), -EINVAL);
    CHECK(strcmp(bad, "MTRRCAP") == 0);
}

static void test_time(void)
{
    const char *bad;
    TEST("the TSC goes on from where it was set, and what waits for it goes along");
    core_create(VENDOR_INTEL, false, 1, NULL);
    v = vm.vcpu[0];
    tried.tsc = 1ull << 50;
    CHECK_EQ(cpu_state_set(v, &tried, STATE_TIME, &bad), 0);
    cpu_state_get(v, &after, STATE_TIME);
    CHECK(after.tsc - tried.tsc < 2000000000);
    CHECK_EQ(v->tsc_adjust, 0);
    as_x2apic();
    u64 was = core_timer[0];
    tried.tsc = 0;
    CHECK_EQ(cpu_state_set(v, &tried, STATE_TIME, &bad), 0);
    CHECK(core_timer[0] > was);

    TEST("a performance counter that was set interrupts at its overflow");
    core_create(VENDOR_AMD, false, 1, NULL);
    v = vm.vcpu[0];
    CHECK(cpu_msr_write(v, MSR_K7_EVNTSEL0, 0x530076)); /* cycles, enabled, with interrupt */
    CHECK(cpu_msr_write(v, MSR_K7_EVNTSEL0 + 4, BIT64(48) - 1000000000));
    CHECK_EQ(perf_deadline(v), 0);
    perf_begin(v);
    CHECK(perf_deadline(v) > core_now);
    perf_end(v);

    TEST("the APIC's timer goes on from its current count");
    core_create(VENDOR_INTEL, false, 1, NULL);
    v = vm.vcpu[0];
    as_periodic();
    get_all(&before);
    CHECK_EQ(before.apic.page[APIC_CURRENT_COUNT / 4], 1000000 - 5000 / 16 + 1 - 1);
    core_now += 100000000;
    CHECK_EQ(cpu_state_set(v, &before, STATE_APIC, &bad), 0);
    get_all(&after);
    CHECK_EQ(after.apic.page[APIC_CURRENT_COUNT / 4], before.apic.page[APIC_CURRENT_COUNT / 4]);
    CHECK_EQ(core_timer[0], core_now + before.apic.page[APIC_CURRENT_COUNT / 4] * 16ull);
}

static void test_vectors(void)
{
    const char *bad;
    u64 bv;
    TEST("components that are not in the image are in their initial state");
    core_create(VENDOR_INTEL, false, 1, NULL);
    v = vm.vcpu[0];
    get_all(&before);
    for (u64 left = core_features.xcr0; left; left &= left - 1) {
        u64 bit = left & -left;
        tried = before;
        memcpy(&bv, tried.xsave + 512, 8);
        bv ^= bit;
        memcpy(tried.xsave + 512, &bv, 8);
        memset(tried.xsave + 576, 0x11, sizeof(tried.xsave) - 576);
        memset(tried.xsave + 32, 0x22, 384);
        CHECK_EQ(cpu_state_set(v, &tried, STATE_VECTORS, &bad), 0);
        cpu_state_get(v, &after, STATE_VECTORS);
        CHECK(memcmp(after.xsave + 512, &bv, 8) == 0 || bit == XCR0_PKRU);
        for (unsigned i = 2; i < XSTATE_COMPONENTS; i++) {
            const struct xstate_component *c = &core_features.xstate[i];
            for (u32 k = 0; k < c->size && BIT64(i) != XCR0_PKRU; k++)
                if (after.xsave[c->offset + k] != (bv >> i & 1 ? 0x11 : 0))
                    CHECK(!"a byte is as expected");
        }
        CHECK_EQ(v->pkru, bv & XCR0_PKRU ? 0x11111111 : 0);
        CHECK_EQ(after.xsave[160], bv & XCR0_SSE ? 0x22 : 0);
        CHECK_EQ(after.xsave[0], bv & XCR0_X87 ? before.xsave[0] : 0x7f);
        CHECK_EQ(cpu_state_set(v, &after, STATE_VECTORS, &bad), 0);
        cpu_state_get(v, &tried, STATE_VECTORS);
        CHECK(memcmp(tried.xsave, after.xsave, sizeof(tried.xsave)) == 0);
    }

    TEST("a CPU without XSAVE has the state of x87 and SSE");
    core_create(VENDOR_INTEL, false, 1, "x86-64-v2");
    v = vm.vcpu[0];
    CHECK_EQ(core_features.xcr0, 0);
    get_all(&tried);
    CHECK_EQ(tried.xcr0, XCR0_X87);
    bv = XCR0_X87 | XCR0_SSE;
    memcpy(tried.xsave + 512, &bv, 8);
    memset(tried.xsave + 32, 0x22, 384);
    CHECK_EQ(cpu_state_set(v, &tried, STATE_VECTORS, &bad), 0);
    cpu_state_get(v, &after, STATE_VECTORS);
    CHECK(after.xsave[32] == 0x22 && after.xsave[160] == 0x22);
    CHECK(memcmp(tried.xsave, after.xsave, sizeof(tried.xsave)) == 0);
}

int main(void)
{
    test_names();
    test_walk(VENDOR_INTEL, "Intel, after RESET: every bit", as_reset);
    test_walk(VENDOR_AMD, "AMD, 64-bit mode: every bit", as_64bit);
    test_walk(VENDOR_INTEL, "PAE paging: every bit", as_pae);
    test_walk(VENDOR_INTEL, "x2APIC mode, TSC deadline: every bit", as_x2apic);
    test_walk(VENDOR_AMD, "xAPIC mode, periodic timer: every bit", as_periodic);
    test_refusals();
    test_msrs();
    test_time();
    test_vectors();
    return TEST_END();
}
