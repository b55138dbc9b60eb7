/*
 * The networks that a new one must not overlap: see taken.h.
 */
#include "manager/taken.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct taken *taken, const struct prefix *prefix, const char *what, const char *name)
{
    struct network *n = &taken->list[taken->count++];
    *n = (struct network){.prefix = *prefix};
    snprintf(n->owner, sizeof(n->owner), "%s %s", what, name);
}

/* Adds a prefix that is defined; one that cannot be read is its owner's trouble. */
static void add_nat(struct taken *taken, const struct nat_def *nat)
{
    const char *const text[] = {nat->set.prefix, nat->set.prefix6};
    struct prefix prefix;
    struct error ignored;
    for (u32 i = 0; i < ARRAY_LEN(text); i++)
        if (text[i] && !prefix_parse(text[i], &prefix, &ignored))
            add(taken, &prefix, "the NAT network", nat->name);
}

static void add_switch(struct taken *taken, const struct switch_def *def)
{
    struct prefix prefix;
    struct ip ip;
    if (def->set.type == SWITCH_INTERNAL && def->set.address && prefix_around(def->set.address, &ip, &prefix))
        add(taken, &prefix, "the internal switch", def->name);
}

/* Drops the interface of an internal switch that runs: it is not foreign, and its definition stands for it. */
static void drop_interface(struct taken *taken, const struct switch_def *def)
{
    char interface[IFNAME_MAX];
    u32 kept = 0;
    if (def->set.type != SWITCH_INTERNAL)
        return;
    ifname_make(IFNAME_INTERNAL, def->name, interface);
    for (u32 i = 0; i < taken->count; i++)
        if (strcmp(taken->list[i].interface, interface) != 0)
            taken->list[kept++] = taken->list[i];
    taken->count = kept;
}

static bool is(const char *name, const char *own)
{
    return own && name_equal(name, own);
}

int taken_find(const struct networks *all, const char *own_switch, const char *own_nat, struct taken *taken,
               struct error *error)
{
    int e = networks_of_host(&taken->list, &taken->count);
    if (e)
        return error_set(error, e, "cannot look at the interfaces of the host: %s", strerror(-e));
    struct network *bigger =
        realloc(taken->list, (taken->count + all->switch_count + 2 * all->nat_count + 1) * sizeof(*bigger));
    if (!bigger)
        return error_memory(error);
    taken->list = bigger;
    for (u32 i = 0; i < all->switch_count; i++)
        drop_interface(taken, &all->switches[i]);
    for (u32 i = 0; i < all->switch_count; i++)
        if (!is(all->switches[i].name, own_switch))
            add_switch(taken, &all->switches[i]);
    for (u32 i = 0; i < all->nat_count; i++)
        if (!is(all->nats[i].name, own_nat))
            add_nat(taken, &all->nats[i]);
    return 0;
}
