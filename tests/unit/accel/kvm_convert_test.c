/*
 * A vCPU's state becomes KVM's structs and comes back: every bit of every register that KVM has, too, is kept. The
 * registers that KVM does not have are listed here.
 */
#include "accel/kvm_convert.h"
#include "cpu/cpu.h"
#include "unit/test.h"

#include <stdlib.h>
#include <string.h>

static struct cpu_state from, back;

static void round_trip(u64 group)
{
    struct kvm_regs regs;
    struct kvm_sregs2 sregs;
    struct kvm_debugregs debug;
    struct kvm_vcpu_events events;
    struct kvm_lapic_state lapic;
    memset(&back, 0x33, sizeof(back));
    switch (group) {
    case STATE_GPRS:
        regs_to_kvm(&from, &regs);
        regs_from_kvm(&regs, &back);
        break;
    case STATE_SEGMENTS:
    case STATE_CONTROL:
        sregs_to_kvm(&from, &sregs);
        sregs_from_kvm(&sregs, &back);
        break;
    case STATE_DEBUG:
        debugregs_to_kvm(&from, &debug);
        debugregs_from_kvm(&debug, &back);
        break;
    case STATE_EVENTS:
        events_to_kvm(&from.events, true, &events);
        events_from_kvm(&events, &back.events);
        back.events.sipi_pending = from.events.sipi_pending; /* of the MP state */
        break;
    case STATE_APIC:
        lapic_to_kvm(&from, false, &lapic);
        back.apic = from.apic;
        back.apic_base = from.apic_base;
        memset(back.apic.page, 0, sizeof(back.apic.page));
        lapic_from_kvm(&lapic, false, &back);
        break;
    }
}

/* Registers, or bits of them, that KVM's structs do not have. */
static bool is_missing(const struct cpu_register *r, u32 bit)
{
    if (r->derived && r->group == STATE_EVENTS)
        return true;
    if (strstr(r->name, ".attr")) /* bits 11:8 do not exist */
        return (bit >= 8 && bit < 12) || bit > 16 ||
               (r->offset == offsetof(struct cpu_state, seg[SEG_SS].attr) &&
                (bit == 5 || bit == 6)); /* its DPL is the CPL */
    if (strcmp(r->name, "cpl") == 0)
        return bit > 1;
    if (r->group == STATE_EVENTS) /* their contents are tried with valid events */
        return strncmp(r->name, "injected", 8) == 0 || strncmp(r->name, "raised", 6) == 0 ||
               strcmp(r->name, "ferr") == 0 || /* the engine's own */
               strncmp(r->name, "trap", 4) == 0 || strncmp(r->name, "pushed", 6) == 0 ||
               (strcmp(r->name, "shadow") == 0 && bit > 1);
    return false;
}

static void test_registers(void)
{
    const u64 groups = STATE_GPRS | STATE_SEGMENTS | STATE_CONTROL | STATE_DEBUG | STATE_EVENTS | STATE_APIC;
    const struct cpu_register *r;
    TEST("each bit of each register comes back");
    from = (struct cpu_state){.cr0 = CR0_PE | CR0_PG | CR0_ET, .cr4 = CR4_PAE, .has_pdpte = true};
    for (unsigned i = 0; (r = cpu_register(i)); i++) {
        if (!(r->group & groups))
            continue;
        for (u32 bit = 0; bit < (r->flag ? 1 : r->size * r->count * 8); bit++) {
            if (is_missing(r, bit))
                continue;
            u8 *byte = (u8 *)&from + r->offset + bit / 8;
            *byte ^= (u8)(1 << bit % 8);
            round_trip(r->group);
            if (memcmp((u8 *)&from + r->offset, (u8 *)&back + r->offset, (size_t)r->size * r->count) != 0) {
                printf("# bit %u of %s is lost\n", bit, r->name);
                CHECK(!"it is kept");
            }
            *byte ^= (u8)(1 << bit % 8);
        }
    }
}

static void test_events(void)
{
    static const struct event events[] = {
        {.valid = true, .type = EVENT_EXTINT, .vector = 0x31},
        {.valid = true, .type = EVENT_NMI, .vector = EXC_NMI},
        {.valid = true, .type = EVENT_SOFT_INT, .vector = 0x80},
        {.valid = true, .type = EVENT_EXCEPTION, .vector = EXC_GP, .has_error = true, .error = 0x18},
        {.valid = true, .type = EVENT_EXCEPTION, .vector = EXC_UD},
        {.valid = true, .type = EVENT_SOFT_EXC, .vector = EXC_BP},
    };
    TEST("events of each type");
    for (unsigned i = 0; i < ARRAY_LEN(events); i++) {
        from = (struct cpu_state){.events.injected = events[i]};
        round_trip(STATE_EVENTS);
        CHECK(memcmp(&from.events.injected, &back.events.injected, sizeof(struct event)) == 0);
        CHECK(!back.events.raised.valid);
    }
    from = (struct cpu_state){.events.raised = {.valid = true,
                                                .type = EVENT_EXCEPTION,
                                                .vector = EXC_PF,
                                                .has_error = true,
                                                .error = 2,
                                                .payload = 0x1234}};
    round_trip(STATE_EVENTS);
    CHECK(memcmp(&from.events.raised, &back.events.raised, sizeof(struct event)) == 0);
    CHECK(!back.events.injected.valid);

    TEST("a vector that waits is injected, to KVM");
    from = (struct cpu_state){.events.pushed = true, .events.pushed_vector = 0x41};
    round_trip(STATE_EVENTS);
    CHECK(back.events.injected.valid && back.events.injected.type == EVENT_EXTINT);
    CHECK_EQ(back.events.injected.vector, 0x41);

    TEST("a debug trap is a pending #DB");
    from = (struct cpu_state){.events.trap_pending = true, .events.trap_dr6 = DR6_BS | 1};
    round_trip(STATE_EVENTS);
    CHECK(back.events.raised.valid && back.events.raised.vector == EXC_DB);
    CHECK_EQ(back.events.raised.payload, DR6_BS | 1);
    struct kvm_vcpu_events k;
    events_to_kvm(&from.events, false, &k);
    CHECK(k.exception.injected && !k.exception.pending && !k.exception_has_payload);
}

static void test_activity(void)
{
    TEST("activity");
    static const u8 activities[] = {ACTIVITY_ACTIVE, ACTIVITY_HLT, ACTIVITY_WAIT_SIPI};
    for (unsigned i = 0; i < ARRAY_LEN(activities); i++) {
        for (int sipi = 0; sipi <= (activities[i] == ACTIVITY_WAIT_SIPI); sipi++) {
            from = (struct cpu_state){.activity = activities[i], .events.sipi_pending = sipi};
            mp_state_from_kvm(mp_state_to_kvm(&from), &back);
            CHECK_EQ(back.activity, activities[i]);
            CHECK_EQ(back.events.sipi_pending, sipi);
        }
    }
    mp_state_from_kvm(KVM_MP_STATE_UNINITIALIZED, &back);
    CHECK_EQ(back.activity, ACTIVITY_WAIT_SIPI);
}

static void test_apic(void)
{
    struct kvm_lapic_state k;
    u32 id;
    TEST("the APIC ID in xAPIC and x2APIC mode");
    from = (struct cpu_state){.apic_base = BIT64(11) | BIT64(10), .apic.page[0x20 / 4] = 3};
    lapic_to_kvm(&from, false, &k);
    memcpy(&id, k.regs + 0x20, 4);
    CHECK_EQ(id, 3u << 24);
    lapic_to_kvm(&from, true, &k);
    memcpy(&id, k.regs + 0x20, 4);
    CHECK_EQ(id, 3);
    from.apic_base = BIT64(11);
    from.apic.page[0x20 / 4] = 3u << 24;
    lapic_to_kvm(&from, false, &k);
    memcpy(&id, k.regs + 0x20, 4);
    CHECK_EQ(id, 3u << 24);
}

static struct kvm_nested_image image;

static bool nested_round_trip(void)
{
    memset(&back, 0, sizeof(back));
    nested_to_kvm(&from.nested, &image);
    return nested_from_kvm(&image, &back.nested);
}

static void test_nested(void)
{
    TEST("nested state of VMX");
    struct cpu_nested *n = &from.nested;
    memset(&from, 0, sizeof(from));
    n->kind = CPU_NESTED_VMX;
    n->vmx.vmxon = n->vmx.current = STATE_NO_POINTER;
    CHECK(nested_round_trip() && memcmp(n, &back.nested, sizeof(*n)) == 0);
    CHECK_EQ(image.head.size, sizeof(image.head));
    n->guest = n->run_pending = n->vmx.mtf_pending = n->vmx.tpr_pending = n->vmx.nmi_held = n->vmx.step_owed =
        n->vmx.timer_on = true;
    n->vmx.vmxon = 0x1000;
    n->vmx.current = 0x2000;
    n->vmx.timer_end = 0x123456789;
    memset(n->vmx.vmcs, 0x77, sizeof(n->vmx.vmcs));
    CHECK(nested_round_trip() && memcmp(n, &back.nested, sizeof(*n)) == 0);
    CHECK_EQ(image.head.size, sizeof(image.head) + 4096);
    n->vmx.has_shadow = true;
    memset(n->vmx.shadow_vmcs, 0x66, sizeof(n->vmx.shadow_vmcs));
    CHECK(nested_round_trip() && memcmp(n, &back.nested, sizeof(*n)) == 0);
    CHECK_EQ(image.head.size, sizeof(image.head) + 8192);

    TEST("nested state of SVM");
    memset(&from, 0, sizeof(from));
    n->kind = CPU_NESTED_SVM;
    n->vmx.vmxon = n->vmx.current = STATE_NO_POINTER; /* as where there is no VMX */
    n->svm.gif = true;
    CHECK(nested_round_trip() && memcmp(n, &back.nested, sizeof(*n)) == 0);
    n->svm.smm_guest = true;
    n->svm.vmcb = 0x5000;
    CHECK(nested_round_trip() && memcmp(n, &back.nested, sizeof(*n)) == 0);
    n->svm.smm_guest = false;
    n->guest = n->svm.injecting_nmi = n->svm.host_nmi_blocked = true;
    n->svm.gif = false;
    n->svm.pause_left = 3000;
    n->svm.vmcb = 0x5000;
    memset(n->svm.vmcb_image, 0x55, sizeof(n->svm.vmcb_image));
    CHECK(nested_round_trip() && memcmp(n, &back.nested, sizeof(*n)) == 0);

    TEST("what cannot be expressed is refused");
    image.head.flags |= KVM_STATE_NESTED_EVMCS;
    CHECK(!nested_from_kvm(&image, &back.nested));
    image.head.flags = 0;
    image.head.format = 7;
    CHECK(!nested_from_kvm(&image, &back.nested));
    image.head.format = KVM_STATE_NESTED_FORMAT_VMX;
    image.head.size = 8;
    CHECK(!nested_from_kvm(&image, &back.nested));
    image.head.size = sizeof(image.head);
    image.head.hdr.vmx.smm.flags = 4;
    CHECK(!nested_from_kvm(&image, &back.nested));
}

int main(void)
{
    test_registers();
    test_events();
    test_activity();
    test_apic();
    test_nested();
    return TEST_END();
}
