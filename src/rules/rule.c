/*
 * The rules, in the order of the documents: R of what a host does, P of what it needs. A row that refuses or warns has
 * a predicate; one that only says how a VM behaves has none. Ids that occur twice differ in their profiles.
 */
#include "rules/rule.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *const profile_names[] = {
    [PROFILE_OPEN] = "open",     [PROFILE_PREVIEW] = "preview", [PROFILE_WS2016] = "ws2016",
    [PROFILE_WS2019] = "ws2019", [PROFILE_WS2022] = "ws2022",   [PROFILE_WS2025] = "ws2025",
    [PROFILES] = NULL,
};

/* Configuration versions times ten, the newest that such a host has. */
static const u32 newest[PROFILES] = {
    [PROFILE_OPEN] = 120,  [PROFILE_PREVIEW] = 70, [PROFILE_WS2016] = 80,
    [PROFILE_WS2019] = 90, [PROFILE_WS2022] = 100, [PROFILE_WS2025] = 120,
};

u32 profile_version(enum profile profile)
{
    return newest[profile];
}

/* -- predicates -- */

static const struct vm_settings *wanted_of(const struct rule_facts *f)
{
    return f->wanted ? f->wanted : f->settings;
}

/* What the guest is to find. */
static enum nesting vendor_of(const struct rule_facts *f)
{
    enum nesting nested = wanted_of(f)->nested;
    return nested == NESTED_HOST ? f->host_vendor : nested;
}

static bool nested(const struct rule_facts *f)
{
    return wanted_of(f)->nested != NESTED_OFF;
}

static bool not_off(const struct rule_facts *f)
{
    return f->state != VM_OFF && (!f->wanted || f->wanted->nested != f->settings->nested);
}

static bool memory_changes(const struct rule_facts *f)
{
    return f->wanted && f->wanted->memory != f->settings->memory;
}

static bool resized_under_hypervisor(const struct rule_facts *f)
{
    return f->hypervisor_active && f->state == VM_RUNNING && memory_changes(f);
}

static bool dynamic_range_under_hypervisor(const struct rule_facts *f)
{
    return f->hypervisor_active && f->state == VM_RUNNING && f->wanted && f->settings->dynamic_memory &&
           (f->wanted->memory_minimum != f->settings->memory_minimum ||
            f->wanted->memory_maximum != f->settings->memory_maximum);
}

static bool nested_with_dynamic_memory(const struct rule_facts *f)
{
    return nested(f) && wanted_of(f)->dynamic_memory;
}

static bool hypervisor_active(const struct rule_facts *f)
{
    return f->hypervisor_active;
}

static bool guests_running(const struct rule_facts *f)
{
    return f->guests_running;
}

static bool nested_without_spoofing(const struct rule_facts *f)
{
    return nested(f) && f->not_spoofing;
}

static bool is_device(const struct rule_facts *f, const char *name)
{
    const char *a = f->device, *b = name;
    for (; a && *a && *a == *b; a++, b++)
        ;
    return a && *a == *b;
}

static bool nested_with_gpu(const struct rule_facts *f)
{
    return nested(f) && is_device(f, "gpu");
}

static bool nested_with_passthrough(const struct rule_facts *f)
{
    return nested(f) && (is_device(f, "sriov") || is_device(f, "passthrough"));
}

static bool over_cap(const struct rule_facts *f)
{
    const struct vm_settings *w = wanted_of(f);
    return w->memory_cap && w->memory > w->memory_cap;
}

static bool nested_on_checkpoint(const struct rule_facts *f)
{
    return nested(f) && f->has_parent;
}

static bool intel_needs_version(const struct rule_facts *f)
{
    return nested(f) && vendor_of(f) == NESTED_INTEL && f->version < 80;
}

static bool amd_needs_version(const struct rule_facts *f)
{
    return nested(f) && vendor_of(f) == NESTED_AMD && f->version < 100;
}

static bool amd(const struct rule_facts *f)
{
    return nested(f) && vendor_of(f) == NESTED_AMD;
}

static bool more_than_host(const struct rule_facts *f)
{
    return wanted_of(f)->memory > f->host_memory;
}

static bool more_than_left(const struct rule_facts *f)
{
    return !more_than_host(f) && f->others_memory + wanted_of(f)->memory > f->host_memory;
}

/* Is there more memory than such a CPU can address, or could there be? */
static bool beyond_addresses(const struct rule_facts *f)
{
    const struct vm_settings *w = wanted_of(f);
    u64 most = w->memory_cap > w->memory ? w->memory_cap : w->memory;
    return f->address_bits && vm_address_bits(most) > f->address_bits && vm_address_bits(most) > 40;
}

static bool few_cpus(const struct rule_facts *f)
{
    return nested(f) && wanted_of(f)->cpus < 4;
}

/* -- the rules -- */

#define ALL (BIT(PROFILES) - 1)
#define HOSTS (ALL & ~BIT(PROFILE_OPEN))
#define PREVIEW BIT(PROFILE_PREVIEW)
#define WS2016 BIT(PROFILE_WS2016)
#define WS2019 BIT(PROFILE_WS2019)
#define WS2022 BIT(PROFILE_WS2022)
#define WS2025 BIT(PROFILE_WS2025)
#define LATER (WS2019 | WS2022 | WS2025)
#define NESTING (RULE_SET_NESTED | RULE_SET_DYNAMIC | RULE_START | RULE_CHECK)

/* clang-format off */
const struct rule rules[] = {
    {"R1", "S2, S4", RULE_BEHAVES, ALL, 0, "virtualization for the guest is a switch of each VM, and off by default",
     .test = "unit/rules/vm_settings"},
    {"R2", "S0, S2, S4", RULE_REFUSES, ALL, RULE_SET_NESTED, "the switch changes only while the VM is off",
     not_off, "VM %s is not off, and virtualization for its guest changes only while it is", "nestbox stop %s",
     "unit/rules/rule"},
    {"R3", "S2", RULE_BEHAVES, ALL, 0, "a change of the switch that succeeds prints nothing", .test = "cli/rules"},
    {"R4", "S2", RULE_BEHAVES, ALL, 0, "the switch is set by command line, cmdlets and the control protocol alike",
     .test = "cli/rules"},
    {"R5", "S2", RULE_BEHAVES, ALL, 0, "without the switch a guest finds no CPU that could run a hypervisor"},
    {"R6", "S0, S1, S3", RULE_BEHAVES, ALL, 0,
     "the guest sees VT-x or AMD-V only where its VM has the switch, whatever runs on the host"},
    {"R7", "S0, S1", RULE_REFUSES, HOSTS, RULE_SET_MEMORY,
     "while a hypervisor runs in the VM, its dynamic memory neither moves nor changes its range",
     dynamic_range_under_hypervisor, "a hypervisor runs in VM %s, so its memory can change only while it is off",
     "nestbox stop %s", "unit/rules/rule"},
    {"R8", "S0, S1, S2", RULE_REFUSES, HOSTS, RULE_SET_MEMORY,
     "while a hypervisor runs in the VM, its memory cannot be resized",
     resized_under_hypervisor, "a hypervisor runs in VM %s, so its memory cannot be resized", "nestbox stop %s",
     "unit/rules/rule"},
    {"R9", "S0, S1", RULE_BEHAVES, ALL, 0,
     "the switch alone changes nothing about memory; only a hypervisor that runs does", .test = "unit/rules/rule"},
    {"R10", "S2", RULE_REFUSES, WS2016, RULE_SET_NESTED | RULE_SET_DYNAMIC | RULE_START,
     "a VM with the switch cannot have dynamic memory",
     nested_with_dynamic_memory, "VM %s has virtualization for its guest, and dynamic memory does not go with it",
     "nestbox set %s --dynamic-memory off", "cli/rules"},
    {"R11", "S3", RULE_REFUSES, PREVIEW, RULE_START, "a VM with the switch does not start with dynamic memory",
     nested_with_dynamic_memory, "VM %s has virtualization for its guest, and does not start with dynamic memory",
     "nestbox set %s --dynamic-memory off", "unit/rules/rule"},
    {"R12", "S4", RULE_WARNS, LATER | BIT(PROFILE_OPEN), NESTING,
     "dynamic memory may leave a hypervisor in the VM less than its guests need",
     nested_with_dynamic_memory, "dynamic memory may leave a hypervisor in VM %s less than its guests need",
     "nestbox set %s --dynamic-memory off", "cli/rules"},
    {"R13", "S2", RULE_REFUSES, WS2016, RULE_APPLY, "no checkpoint is applied while a hypervisor runs in the VM",
     hypervisor_active, "a hypervisor runs in VM %s, so no checkpoint can be applied", "nestbox stop %s",
     "unit/rules/rule"},
    {"R14", "S4", RULE_BEHAVES, ALL & ~WS2016, 0, "checkpoints of a VM with a hypervisor in it work as any"},
    {"R15", "S1", RULE_BEHAVES, ALL, 0, "saved states and checkpoints bring a lab back to where it was"},
    {"R16", "S2", RULE_REFUSES, WS2016, RULE_MIGRATE, "a VM in which a hypervisor runs does not move to another host",
     hypervisor_active, "a hypervisor runs in VM %s, so it cannot move", "nestbox stop %s", "unit/rules/rule"},
    {"R17", "S4", RULE_REFUSES, LATER, RULE_MIGRATE, "a VM does not move while VMs run in it",
     guests_running, "VMs run in VM %s, so it cannot move", "stop the VMs in it; then it can", "unit/rules/rule"},
    {"R18", "S2", RULE_BEHAVES, ALL, 0, "limits of a VM with a hypervisor in it are not those of the VMs in it"},
    {"R19", "S0, S2, S4", RULE_WARNS, ALL, RULE_CHECK,
     "frames of VMs in the VM pass its switch only where its card may use their addresses",
     nested_without_spoofing, "frames of VMs in VM %s do not pass its switch, as its cards may not spoof addresses",
     "nestbox nic set %c --spoofing on", "cli/rules"},
    {"R20", "S2, S0", RULE_BEHAVES, ALL, 0,
     "without that, a card drops frames of other addresses; check counts them and names the command for it",
     .test = "net/ports"},
    {"R21", "S0, S2", RULE_BEHAVES, ALL, 0, "where addresses may not be spoofed, NAT in the VM takes its place"},
    {"R22", "S2", RULE_BEHAVES, ALL, 0, "NAT networks are made by command line, cmdlets and the control protocol",
     .test = "cli/network"},
    {"R23", "S2", RULE_REFUSES, ALL, 0,
     "the network of a NAT overlaps no other; nat create refuses and names the other",
     .test = "cli/network"},
    {"R24", "S0, S2", RULE_BEHAVES, ALL, 0, "the gateway of VMs at an internal switch is the host's address on it"},
    {"R25", "S0, S2", RULE_BEHAVES, ALL, 0, "addresses may be given by hand; a NAT network of ours also has DHCP",
     .test = "net/nat"},
    {"R26", "S2", RULE_BEHAVES, ALL, 0, "a firewall may be in the way: check names it", .test = "net/firewall"},
    {"R27", "S4", RULE_BEHAVES, ALL, 0, "VMs in the VM reach others through an external switch on its card"},
    {"R28", "S4", RULE_REFUSES, HOSTS, RULE_ADD_DEVICE, "a VM with the switch has no virtual GPU",
     nested_with_gpu, "VM %s has virtualization for its guest, and a virtual GPU does not go with it",
     "nestbox set %s --nested off", "unit/rules/rule"},
    {"R29", "S4", RULE_REFUSES, HOSTS, RULE_ADD_DEVICE, "a VM with the switch gets no device of the host's",
     nested_with_passthrough, "VM %s has virtualization for its guest, and devices of the host do not go with it",
     "nestbox set %s --nested off", "unit/rules/rule"},
    {"R30", "S4, S1", RULE_BEHAVES, ALL, 0, "VMs in a VM are slower than the VM; docs/performance.md has figures"},
    {"R31", "S1", RULE_BEHAVES, HOSTS, 0, "clusters and work that needs speed are not for VMs in a VM"},
    {"R32", "S1", RULE_BEHAVES, HOSTS, 0, "one level of VMs in a VM is supported; under open there may be more"},
    {"R33", "S0, S1", RULE_BEHAVES, HOSTS, 0,
     "hypervisors of others in a VM are at the user's risk; here they are tested"},
    {"R34", "S0, S1", RULE_BEHAVES, HOSTS, 0, "for Hyper-V on another hypervisor its maker is to be asked"},
    {"R35", "S1", RULE_BEHAVES, HOSTS, 0, "Azure Stack HCI in a VM is for trying it"},
    {"R36", "S1", RULE_BEHAVES, ALL, 0, "a container with a kernel of its own in a VM starts and runs slower"},
    {"R37", "S2", RULE_BEHAVES, ALL, 0, "memory and cards can be added to a VM that runs", .test = "manager/hot"},
    {"R38", "S2", RULE_REFUSES, ALL, RULE_SET_MEMORY | RULE_SET_DYNAMIC | RULE_START,
     "a VM gets no more memory than its cap, whoever asks in it",
     over_cap, "VM %s would have more memory than its cap", "nestbox set %s --memory-cap 0", "cli/rules"},
    {"R39", "S3", RULE_BEHAVES, PREVIEW, 0, "nothing is promised of speed and stability"},
    {"R40", "S3", RULE_BEHAVES, ALL, 0, "the console needs no password of the guest's"},
    {"R41", "S3", RULE_WARNS, PREVIEW, RULE_START | RULE_CHECK, "a VM with the switch stands on no checkpoint",
     nested_on_checkpoint, "VM %s has virtualization for its guest and stands on a checkpoint", NULL,
     "unit/rules/rule"},

    {"P1", "S0, S2", RULE_REFUSES, HOSTS & ~PREVIEW, RULE_SET_NESTED | RULE_START,
     "VT-x for the guest needs a VM of version 8.0 or later",
     intel_needs_version, "VM %s is of an older version than 8.0, and VT-x for its guest needs that",
     "nestbox shell -c 'Update-VMVersion %s -Force'", "unit/rules/rule"},
    {"P2", "S0", RULE_REFUSES, WS2022 | WS2025, RULE_SET_NESTED | RULE_START,
     "AMD-V for the guest needs a VM of version 10.0 or later",
     amd_needs_version, "VM %s is of an older version than 10.0, and AMD-V for its guest needs that",
     "nestbox shell -c 'Update-VMVersion %s -Force'", "cli/rules"},
    {"P3", "S2", RULE_REFUSES, WS2016 | PREVIEW, RULE_SET_NESTED | RULE_START, "there is no AMD-V for guests",
     amd, "VM %s cannot have AMD-V for its guest: such a host has only VT-x", "nestbox set %s --nested intel",
     "cli/rules"},
    {"P4", "S4", RULE_WARNS, WS2019, RULE_SET_NESTED | RULE_CHECK,
     "AMD-V for guests works on late builds with late CPUs only",
     amd, "AMD-V for the guest of VM %s works only on late builds of such a host with late CPUs",
     "nestbox set %s --nested intel", "cli/rules"},
    {"P5", "S2, S4", RULE_BEHAVES, HOSTS, 0, "the host is of the profile's version; here any Linux does"},
    {"P6", "S3", RULE_BEHAVES, PREVIEW, 0, "host and guest are of the same build"},
    {"P7", "S0", RULE_BEHAVES, ALL, 0, "any guest may run in the VM; one that knows Hyper-V's interfaces is faster"},
    {"P8", "S2, S4", RULE_BEHAVES, ALL, 0, "a Linux guest may be the hypervisor"},
    {"P9", "S4", RULE_BEHAVES, ALL, 0, "VMs of generation 1 and 2 may have the switch"},
    {"P10", "S2, S4", RULE_BEHAVES, ALL, 0,
     "on such a host the firmware must have VT-x or AMD-V on; the engine needs neither: doctor reports it",
     .test = "cli/doctor"},
    {"P11", "S2", RULE_REFUSES, ALL, RULE_SET_MEMORY | RULE_START, "the host's CPU has addresses for a VM's memory",
     beyond_addresses, "VM %s may have more memory than the host's CPU has addresses for",
     "nestbox set %s --memory 1G --memory-cap 0", "unit/rules/rule"},
    {"P11", "S2", RULE_REFUSES, HOSTS, RULE_START, "a VM starts only where the host has its memory",
     more_than_host, "VM %s has more memory than the host", "nestbox set %s --memory 1G", "unit/rules/rule"},
    {"P11", "S2", RULE_WARNS, BIT(PROFILE_OPEN), RULE_START | RULE_CHECK,
     "a VM with more memory than the host may be slow",
     more_than_host, "VM %s has more memory than the host", "nestbox set %s --memory 1G", "unit/rules/rule"},
    {"P11", "S2", RULE_REFUSES, HOSTS, RULE_RESTORE, "a saved VM starts only where the host has its memory",
     more_than_host, "VM %s was saved with more memory than the host has",
     "it starts on a host with more memory; `nestbox stop %s --turn-off` drops its state", "unit/rules/rule"},
    {"P11", "S2", RULE_REFUSES, HOSTS, RULE_START | RULE_RESTORE,
     "a VM starts only where the VMs that run leave its memory",
     more_than_left, "VM %s has more memory than those that run leave it", "nestbox list", "manager/short"},
    {"P11", "S2", RULE_WARNS, BIT(PROFILE_OPEN), RULE_START | RULE_RESTORE,
     "a VM with more memory than those that run leave it may be slow",
     more_than_left, "VM %s has more memory than those that run leave it", "nestbox list", "manager/short"},
    {"P12", "S2", RULE_BEHAVES, ALL, 0, "a fast disk is advised"},
    {"P13", "S4", RULE_WARNS, ALL, RULE_CHECK, "a hypervisor with several VMs wants four CPUs",
     few_cpus, "VM %s has less than four CPUs, which is little for several VMs in it", "nestbox set %s --cpus 4",
     "unit/rules/rule"},
    {"P14", "S3, S4", RULE_BEHAVES, HOSTS, 0,
     "such a host needs an administrator; here each user has VMs of their own"},
    {"P15", "S0, S2", RULE_BEHAVES, HOSTS, 0, "such a host needs its role installed; here nothing is"},
    {0},
};
/* clang-format on */

const struct rule *rule_broken(enum profile profile, u32 point, const struct rule_facts *facts,
                               const struct rule *after)
{
    for (const struct rule *rule = after ? after + 1 : rules; rule->id; rule++)
        if (rule->profiles & BIT(profile) && rule->points & point && rule->broken && rule->broken(facts))
            return rule;
    return NULL;
}

/* Texts of rules have at most one %s, the VM's name, or %c, the card's with the VM's. `quote`: what stands
 * around a name with spaces; 0: nothing does. */
static void fill(const char *text, const struct rule_facts *facts, char quote, char *to, size_t size)
{
    size_t used = 0;
    for (; *text && used + 1 < size; text++)
        if (text[0] == '%' && (text[1] == 's' || text[1] == 'c')) {
            const char *name = text[1] == 's' ? facts->vm : facts->not_spoofing;
            const char marks[] = {name && strchr(name, ' ') ? quote : 0, 0};
            int n = snprintf(to + used, size - used, "%s%s%s", marks, name ? name : "", marks);
            used += n > 0 && (size_t)n < size - used ? (size_t)n : size - used - 1;
            text++;
        } else {
            to[used++] = *text;
        }
    to[used] = 0;
}

int rule_refuse(const struct rule *rule, enum profile profile, const struct rule_facts *facts, struct error *error)
{
    char text[240], hint[sizeof(error->hint)];
    fill(rule->message, facts, 0, text, sizeof(text));
    error_set(error, -EPERM, "%s (rule %s of profile %s)", text, rule->id, profile_names[profile]);
    if (rule->remedy) {
        fill(rule->remedy, facts, strchr(rule->remedy, '\'') ? '"' : '\'', hint, sizeof(hint));
        error_hint(error, hint);
    }
    return error->code;
}
