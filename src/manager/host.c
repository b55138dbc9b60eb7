/*
 * Collects the facts that rules ask for: from the definition, from what the worker reports, from the host.
 */
#include "manager/host.h"

#include "accel/hostcpu.h"
#include "rules/rule.h"
#include "store/networks.h"
#include "store/setting_json.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int host_show(struct store *store, json_t **object, struct error *error)
{
    struct host_settings set;
    int e = store_host(store, &set, error);
    if (e)
        return e;
    *object = json_pack("{s:o, s:I, s:I}", "settings", setting_json(host_settings_table, &set), "memory",
                        (json_int_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), "cpus",
                        (json_int_t)sysconf(_SC_NPROCESSORS_ONLN));
    return *object ? 0 : error_memory(error);
}

int host_set(struct store *store, const struct change *change, struct error *error)
{
    struct host_settings set;
    int e = store_lock(store, error);
    if (e)
        return e;
    e = store_host(store, &set, error);
    if (!e)
        e = change->apply(change, &set, error);
    if (!e)
        e = store_host_put(store, &set, error);
    store_unlock(store);
    return e;
}

static int profile_find(const char *name, u32 *set, struct error *error)
{
    struct host_settings found;
    int e = name ? setting_parse(&host_settings_table[0], name, &found, error) : 0;
    if (!e)
        *set = name ? BIT(found.profile) : BIT(PROFILES) - 1;
    return e;
}

int rules_list(const char *profile, json_t **list, struct error *error)
{
    static const char *const kinds[] = {[RULE_REFUSES] = "refuses", [RULE_WARNS] = "warns", [RULE_BEHAVES] = "behaves"};
    u32 set;
    int e = profile_find(profile, &set, error);
    if (e)
        return e;
    *list = json_array();
    for (const struct rule *rule = rules; rule->id; rule++) {
        json_t *profiles = json_array();
        for (unsigned i = 0; i < PROFILES; i++)
            if (rule->profiles & BIT(i))
                (void)!json_array_append_new(profiles, json_string(profile_names[i]));
        json_t *one = json_pack("{s:s, s:s, s:o, s:s, s:s?, s:s?, s:s}", "id", rule->id, "kind", kinds[rule->kind],
                                "profiles", profiles, "summary", rule->summary, "message", rule->message, "remedy",
                                rule->remedy, "seed", rule->seed);
        if (rule->profiles & set)
            (void)!json_array_append_new(*list, one);
        else
            json_decref(one);
    }
    return 0;
}

/* -- facts -- */

#define CARD_TEXT_MAX (2 * NAME_MAX_LEN + 2)

/* Returns the first card of the VM that may not spoof addresses, or NULL. */
static const char *not_spoofing(struct store *store, const char *vm, char card[static CARD_TEXT_MAX])
{
    struct networks all;
    struct error ignored;
    card[0] = 0;
    if (networks_read_some(store, &all, &ignored))
        return NULL;
    for (u32 i = 0; i < all.card_count && !card[0]; i++)
        if (name_equal(all.cards[i].vm, vm) && !all.cards[i].set.spoofing)
            snprintf(card, CARD_TEXT_MAX, "%s/%s", vm, all.cards[i].name);
    networks_free(&all);
    return card[0] ? card : NULL;
}

static struct rule_facts facts_of(struct store *store, const struct vm_def *def, const struct vm_now *now,
                                  char card[static CARD_TEXT_MAX])
{
    struct hostcpu cpu;
    hostcpu_read(&cpu);
    return (struct rule_facts){
        .vm = def->name,
        .state = now->state,
        .settings = &def->set,
        .version = def->version,
        .hypervisor_active = json_is_true(json_object_get(now->report, "hypervisor_active")),
        .guests_running = json_is_true(json_object_get(now->report, "guests_running")),
        .has_parent = def->checkpoint[0],
        .not_spoofing = not_spoofing(store, def->name, card),
        .host_vendor = cpu.amd ? NESTED_AMD : NESTED_INTEL,
        .address_bits = cpu.address_bits,
        .host_memory = (u64)sysconf(_SC_PHYS_PAGES) * (u64)sysconf(_SC_PAGESIZE),
    };
}

/* What the other VMs that run have of the host's memory. */
static u64 memory_of_others(struct store *store, const struct vm_def *own)
{
    struct vm_def *list;
    struct error ignored;
    u64 sum = 0;
    u32 count;
    if (store_vms_some(store, &list, &count, NULL, &ignored))
        return 0;
    for (u32 i = 0; i < count; i++) {
        struct vm_now now;
        if (name_equal(list[i].name, own->name) || vm_now(store, &list[i], &now, &ignored))
            continue;
        sum += (u64)json_integer_value(json_object_get(now.report, "memory"));
        json_decref(now.report);
    }
    vm_defs_free(list, count);
    return sum;
}

int host_rules(struct store *store, const struct vm_def *def, const struct vm_now *now,
               const struct vm_settings *wanted, const char *device, u32 points, struct error *error)
{
    struct host_settings set;
    int e = store_host(store, &set, error);
    if (e)
        return e;
    char card[CARD_TEXT_MAX];
    struct rule_facts facts = facts_of(store, def, now, card);
    facts.wanted = wanted;
    facts.device = device;
    if (points & (RULE_START | RULE_RESTORE))
        facts.others_memory = memory_of_others(store, def);
    for (const struct rule *rule = NULL; (rule = rule_broken(set.profile, points, &facts, rule));) {
        struct error note;
        rule_refuse(rule, set.profile, &facts, &note);
        if (rule->kind == RULE_REFUSES) {
            *error = note;
            return error->code;
        }
        store_note(store, &note);
    }
    return 0;
}

static void check_one(struct store *store, enum profile profile, const struct vm_def *def, json_t *findings)
{
    struct vm_now now;
    struct error ignored;
    if (vm_now(store, def, &now, &ignored))
        return;
    char card[CARD_TEXT_MAX];
    const struct rule_facts facts = facts_of(store, def, &now, card);
    for (const struct rule *rule = NULL; (rule = rule_broken(profile, RULE_CHECK, &facts, rule));) {
        struct error found;
        rule_refuse(rule, profile, &facts, &found);
        bool command = strncmp(found.hint, "nestbox ", 8) == 0;
        (void)!json_array_append_new(findings,
                                     json_pack("{s:s, s:s, s:s?, s:s?, s:s, s:n, s:n}", "finding", "rule", "text",
                                               found.text, "remedy", command ? found.hint : NULL, "hint",
                                               command ? NULL : found.hint, "vm", def->name, "card", "switch"));
    }
    json_decref(now.report);
}

int host_check(struct store *store, const char *vm, json_t *findings, struct error *error)
{
    struct host_settings set;
    struct vm_def *list;
    struct damage damage = {0};
    u32 count;
    int e = store_host(store, &set, error);
    if (e)
        return e;
    e = store_vms_some(store, &list, &count, &damage, error);
    for (u32 i = 0; i < damage.count; i++)
        (void)!json_array_append_new(findings, json_pack("{s:s, s:s, s:n, s:s, s:n, s:n, s:n}", "finding", "damaged",
                                                         "text", damage.list[i].text, "remedy", "hint",
                                                         damage.list[i].hint, "vm", "card", "switch"));
    free(damage.list);
    for (u32 i = 0; i < count; i++)
        if (!vm || name_equal(vm, list[i].name))
            check_one(store, set.profile, &list[i], findings);
    vm_defs_free(list, count);
    return e;
}
