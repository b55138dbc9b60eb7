/*
 * The rules of hosts: what Hyper-V's documents say that a host allows, refuses or warns of, as rows. A profile is the
 * set of rules of one kind of host; `open`, the default, has no needless refusal. Pure functions: the caller collects
 * the facts, and does what the row's message says.
 */
#ifndef RULES_RULE_H
#define RULES_RULE_H

#include "rules/vm_settings.h"
#include "rules/vm_state.h"

enum profile {
    PROFILE_OPEN,
    PROFILE_PREVIEW,
    PROFILE_WS2016,
    PROFILE_WS2019,
    PROFILE_WS2022,
    PROFILE_WS2025,
    PROFILES
};

extern const char *const profile_names[]; /* ends with NULL */
/* The configuration version of new VMs on such a host, times ten. */
u32 profile_version(enum profile profile);

/* What a rule is asked about: one operation on one VM. */
enum rule_point {
    RULE_SET_NESTED = BIT(0),
    RULE_SET_MEMORY = BIT(1),
    RULE_SET_DYNAMIC = BIT(2),
    RULE_SET_CPU = BIT(3),
    RULE_START = BIT(4),
    RULE_SAVE = BIT(5),
    RULE_CHECKPOINT = BIT(6),
    RULE_APPLY = BIT(7),
    RULE_MIGRATE = BIT(8),
    RULE_ADD_DEVICE = BIT(9),
    RULE_ADD_NETWORK = BIT(10),
    RULE_CHECK = BIT(11),   /* `nestbox check`: everything that can be seen without an operation */
    RULE_RESTORE = BIT(12), /* a saved VM starts again */
};

struct rule_facts {
    const char *vm;
    enum vm_state state;
    const struct vm_settings *settings; /* as they are */
    const struct vm_settings *wanted;   /* as they would be; NULL: they do not change */
    u32 version;                        /* the VM's configuration version times ten: 80, 93, 100 */
    bool hypervisor_active;   /* a hypervisor runs in the VM (VMXON, or SVME with a VMRUN): measured, not configured */
    bool guests_running;      /* it runs guests */
    bool has_parent;          /* the VM stands on a checkpoint */
    const char *not_spoofing; /* VM/CARD of its first card that may not spoof; NULL: all may */
    enum nesting host_vendor; /* NESTED_INTEL or NESTED_AMD */
    u64 host_memory;
    u32 address_bits;   /* of physical addresses of the host's CPU; 0: not known */
    u64 others_memory;  /* of RULE_START and RULE_RESTORE: what other VMs that run have */
    const char *device; /* of RULE_ADD_DEVICE: "sriov", "passthrough", "gpu"; NULL: any other */
};

enum rule_kind { RULE_REFUSES, RULE_WARNS, RULE_BEHAVES };

struct rule {
    const char *id;   /* "R2" */
    const char *seed; /* where the documents say so: "S0, S2" */
    enum rule_kind kind;
    u32 profiles;                                   /* BIT(PROFILE_*) in which it holds */
    u32 points;                                     /* RULE_*; 0: a behaviour that is always there */
    const char *summary;                            /* one sentence for `nestbox rules` */
    bool (*broken)(const struct rule_facts *facts); /* NULL: never asked */
    const char *message;                            /* of the refusal or warning; %s is the VM's name */
    const char *remedy; /* a command: %s is the VM, %c the card; or a sentence; NULL: none */
    const char *test;   /* the test that shows it; NULL: none yet */
};

extern const struct rule rules[]; /* ends with an id of NULL */

/* Returns the next rule behind `after` (NULL: the first) that holds in the profile at that point and is broken. */
const struct rule *rule_broken(enum profile profile, u32 point, const struct rule_facts *facts,
                               const struct rule *after);
/* Fills an error with the rule's message, its id and profile, and the remedy. Returns -EPERM. */
int rule_refuse(const struct rule *rule, enum profile profile, const struct rule_facts *facts, struct error *error);

#endif
