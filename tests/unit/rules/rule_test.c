/*
 * The rules: their rows, and for each refusal and warning the profiles in which it comes, restated, with what breaks
 * it.
 */
#include "rules/rule.h"

#include "unit/test.h"

#include <stdio.h>
#include <string.h>

static struct vm_settings settings, wanted;

/* A VM that is off and breaks no rule. */
static struct rule_facts a_vm(void)
{
    settings = (struct vm_settings){0};
    setting_defaults(vm_settings_table, &settings);
    settings.cpus = 4;
    wanted = settings;
    return (struct rule_facts){.vm = "lab",
                               .settings = &settings,
                               .wanted = &wanted,
                               .version = 120,
                               .host_vendor = NESTED_INTEL,
                               .host_memory = 8ull << 30};
}

static void test_rows(void)
{
    unsigned last[2] = {0};
    TEST("all of R1 to R41 and P1 to P15, in order, each with its texts");
    for (const struct rule *r = rules; r->id; r++) {
        unsigned kind = r->id[0] == 'P', number = 0;
        CHECK(sscanf(r->id + 1, "%u", &number) == 1 && (number == last[kind] + 1 || number == last[kind]));
        last[kind] = number;
        CHECK(r->seed && r->summary && r->profiles && r->profiles < BIT(PROFILES));
        CHECK(r->summary[strlen(r->summary) - 1] != '.' && !strchr(r->summary, '\n'));
        CHECK(!r->broken == !r->message);
        CHECK(r->kind != RULE_BEHAVES || !r->broken);
        CHECK(r->kind != RULE_WARNS || r->broken);
        CHECK(!r->broken == !r->points);
        CHECK(!r->message || strstr(r->message, "VM %s"));
        CHECK(!r->broken || r->test);
        CHECK(!r->remedy || strlen(r->remedy) + 40 < sizeof(((struct error *)0)->hint));
    }
    CHECK_EQ(last[0], 41);
    CHECK_EQ(last[1], 15);
}

/* -- what breaks each -- */

static void running_nested(struct rule_facts *f)
{
    f->state = VM_RUNNING;
    wanted.nested = NESTED_INTEL;
}

static void resize(struct rule_facts *f)
{
    f->state = VM_RUNNING;
    f->hypervisor_active = true;
    wanted.memory *= 2;
}

static void range(struct rule_facts *f)
{
    f->state = VM_RUNNING;
    f->hypervisor_active = settings.dynamic_memory = wanted.dynamic_memory = true;
    wanted.memory_minimum /= 2;
}

static void dynamic(struct rule_facts *f)
{
    wanted.nested = NESTED_INTEL;
    wanted.dynamic_memory = true;
}

static void active(struct rule_facts *f)
{
    f->state = VM_RUNNING;
    f->hypervisor_active = true;
}

static void guests(struct rule_facts *f)
{
    active(f);
    f->guests_running = true;
}

static void no_spoofing(struct rule_facts *f)
{
    wanted.nested = NESTED_INTEL;
    f->not_spoofing = "lab/nic1";
}

static void gpu(struct rule_facts *f)
{
    wanted.nested = NESTED_INTEL;
    f->device = "gpu";
}

static void passthrough(struct rule_facts *f)
{
    wanted.nested = NESTED_INTEL;
    f->device = "passthrough";
}

static void cap(struct rule_facts *f)
{
    wanted.memory_cap = 512ull << 20;
}

static void checkpoint(struct rule_facts *f)
{
    wanted.nested = NESTED_INTEL;
    f->has_parent = true;
}

static void old_intel(struct rule_facts *f)
{
    wanted.nested = NESTED_HOST;
    f->version = 71;
}

static void old_amd(struct rule_facts *f)
{
    wanted.nested = NESTED_HOST;
    f->host_vendor = NESTED_AMD;
    f->version = 93;
}

static void crowded(struct rule_facts *f)
{
    wanted.memory = 3ull << 30;
    f->others_memory = 6ull << 30;
}

static void large(struct rule_facts *f)
{
    wanted.memory = 16ull << 30;
}

static void wide(struct rule_facts *f)
{
    wanted.memory = 2ull << 40;
    f->host_memory = 4ull << 40;
    f->address_bits = 41;
}

static void wide_later(struct rule_facts *f)
{
    wanted.memory_cap = 4ull << 40;
    f->address_bits = 39;
}

static void few(struct rule_facts *f)
{
    wanted.nested = NESTED_INTEL;
    wanted.cpus = 3;
}

/* The profiles, one letter each in their order: R refuses, W warns, - allows. */
static const struct {
    const char *id;
    u32 point;
    void (*break_it)(struct rule_facts *facts);
    const char *profiles; /* open preview ws2016 ws2019 ws2022 ws2025 */
} matrix[] = {
    {"R2", RULE_SET_NESTED, running_nested, "RRRRRR"},
    {"R7", RULE_SET_MEMORY, range, "-RRRRR"},
    {"R8", RULE_SET_MEMORY, resize, "-RRRRR"},
    {"R10", RULE_SET_NESTED, dynamic, "--R---"},
    {"R10", RULE_SET_DYNAMIC, dynamic, "--R---"},
    {"R10", RULE_START, dynamic, "--R---"},
    {"R11", RULE_START, dynamic, "-R----"},
    {"R12", RULE_START, dynamic, "W--WWW"},
    {"R13", RULE_APPLY, active, "--R---"},
    {"R16", RULE_MIGRATE, active, "--R---"},
    {"R17", RULE_MIGRATE, guests, "---RRR"},
    {"R19", RULE_CHECK, no_spoofing, "WWWWWW"},
    {"R28", RULE_ADD_DEVICE, gpu, "-RRRRR"},
    {"R29", RULE_ADD_DEVICE, passthrough, "-RRRRR"},
    {"R38", RULE_SET_MEMORY, cap, "RRRRRR"},
    {"R41", RULE_CHECK, checkpoint, "-W----"},
    {"P1", RULE_SET_NESTED, old_intel, "--RRRR"},
    {"P2", RULE_SET_NESTED, old_amd, "----RR"},
    {"P3", RULE_SET_NESTED, old_amd, "-RR---"},
    {"P4", RULE_SET_NESTED, old_amd, "---W--"},
    {"P11", RULE_START, large, "WRRRRR"},
    {"P11", RULE_START, crowded, "WRRRRR"},
    {"P11", RULE_RESTORE, large, "-RRRRR"},
    {"P11", RULE_RESTORE, crowded, "WRRRRR"},
    {"P11", RULE_SET_MEMORY, wide, "RRRRRR"},
    {"P11", RULE_SET_MEMORY, wide_later, "RRRRRR"},
    {"P11", RULE_START, wide, "RRRRRR"},
    {"P13", RULE_CHECK, few, "WWWWWW"},
};

/* Returns how the rule answers in a profile. */
static char answer(enum profile profile, u32 point, const struct rule_facts *facts, const char *id)
{
    for (const struct rule *r = NULL; (r = rule_broken(profile, point, facts, r));)
        if (strcmp(r->id, id) == 0)
            return r->kind == RULE_REFUSES ? 'R' : 'W';
    return '-';
}

static void test_matrix(void)
{
    TEST("each refusal and warning comes in its profiles, and goes with its cause");
    for (unsigned i = 0; i < ARRAY_LEN(matrix); i++)
        for (unsigned p = 0; p < PROFILES; p++) {
            struct rule_facts facts = a_vm();
            CHECK_EQ(answer((enum profile)p, matrix[i].point, &facts, matrix[i].id), '-');
            matrix[i].break_it(&facts);
            CHECK_EQ(answer((enum profile)p, matrix[i].point, &facts, matrix[i].id), matrix[i].profiles[p]);
            CHECK_EQ(answer((enum profile)p, matrix[i].point << 16, &facts, matrix[i].id), '-');
        }
    TEST("there is a case for each rule that can be broken");
    for (const struct rule *r = rules; r->id; r++) {
        bool found = !r->broken;
        for (unsigned i = 0; i < ARRAY_LEN(matrix); i++)
            found |= strcmp(matrix[i].id, r->id) == 0;
        CHECK(found);
    }
}

static void test_switch_alone(void)
{
    TEST("R9: the switch alone changes nothing about memory");
    for (unsigned p = 0; p < PROFILES; p++) {
        struct rule_facts facts = a_vm();
        resize(&facts);
        settings.nested = wanted.nested = NESTED_INTEL;
        facts.hypervisor_active = false;
        const struct rule *r = rule_broken((enum profile)p, RULE_SET_MEMORY, &facts, NULL);
        CHECK(!r);
    }
}

static void test_errors(void)
{
    struct rule_facts facts = a_vm();
    struct error error;
    TEST("a refusal names the VM, the rule, the profile and what to do");
    dynamic(&facts);
    const struct rule *r = rule_broken(PROFILE_WS2016, RULE_SET_DYNAMIC, &facts, NULL);
    CHECK(r && rule_refuse(r, PROFILE_WS2016, &facts, &error) == -1);
    CHECK(strstr(error.text, "VM lab") && strstr(error.text, "rule R10 of profile ws2016"));
    CHECK(strcmp(error.hint, "nestbox set lab --dynamic-memory off") == 0);
    facts.vm = "my lab";
    rule_refuse(r, PROFILE_WS2016, &facts, &error);
    CHECK(strcmp(error.hint, "nestbox set 'my lab' --dynamic-memory off") == 0);
    facts.vm = "lab";
    for (r = rules; r->id; r++)
        if (r->message) {
            rule_refuse(r, PROFILE_OPEN, &facts, &error);
            CHECK(!strchr(error.text, '%') && !strchr(error.hint, '%'));
        }
    TEST("versions of new VMs");
    CHECK_EQ(profile_version(PROFILE_WS2019), 90);
    CHECK_EQ(profile_version(PROFILE_OPEN), 120);
}

int main(void)
{
    test_rows();
    test_matrix();
    test_switch_alone();
    test_errors();
    return TEST_END();
}
