/*
 * Reads all definitions of networks, and finds things in them.
 */
#include "store/networks.h"

#include <stdlib.h>

int networks_read(struct store *store, struct networks *to, struct error *error)
{
    struct networks all = {0};
    int e = store_switches(store, &all.switches, &all.switch_count, error);
    if (!e)
        e = store_nats(store, &all.nats, &all.nat_count, error);
    if (!e)
        e = store_cards(store, &all.cards, &all.card_count, error);
    if (e)
        networks_free(&all);
    *to = all;
    return e;
}

int networks_read_some(struct store *store, struct networks *to, struct error *error)
{
    struct damage damage = {0};
    store_tolerate(store, &damage);
    int e = networks_read(store, to, error);
    store_tolerate(store, NULL);
    for (u32 i = 0; i < damage.count && !e; i++)
        store_note(store, &damage.list[i]);
    if (e)
        free(damage.list);
    else
        to->damage = damage;
    return e;
}

int networks_missing(const struct networks *networks, struct error *error)
{
    if (networks->damage.count)
        *error = networks->damage.list[0];
    return error->code;
}

int networks_whole(const struct networks *networks, const struct switch_def *def, struct error *error)
{
    bool lacks = def->set.type == SWITCH_NAT && networks->damage.count && !networks_nat_at(networks, def->name);
    return lacks ? networks_missing(networks, error) : 0;
}

void networks_free(struct networks *networks)
{
    free(networks->damage.list);
    switch_defs_free(networks->switches, networks->switch_count);
    nat_defs_free(networks->nats, networks->nat_count);
    card_defs_free(networks->cards, networks->card_count);
    *networks = (struct networks){0};
}

struct switch_def *networks_switch(const struct networks *networks, const char *name)
{
    for (u32 i = 0; i < networks->switch_count; i++)
        if (name_equal(networks->switches[i].name, name))
            return &networks->switches[i];
    return NULL;
}

struct nat_def *networks_nat(const struct networks *networks, const char *name)
{
    for (u32 i = 0; i < networks->nat_count; i++)
        if (name_equal(networks->nats[i].name, name))
            return &networks->nats[i];
    return NULL;
}

struct card_def *networks_card(const struct networks *networks, const char *vm, const char *name)
{
    for (u32 i = 0; i < networks->card_count; i++)
        if (name_equal(networks->cards[i].vm, vm) && name_equal(networks->cards[i].name, name))
            return &networks->cards[i];
    return NULL;
}

const char *nat_switch(const struct nat_def *nat)
{
    return nat->set.switch_name ? nat->set.switch_name : nat->name;
}

struct nat_def *networks_nat_at(const struct networks *networks, const char *switch_name)
{
    for (u32 i = 0; i < networks->nat_count; i++)
        if (name_equal(nat_switch(&networks->nats[i]), switch_name))
            return &networks->nats[i];
    return NULL;
}

struct card_def *networks_card_at(const struct networks *networks, const char *switch_name,
                                  const struct card_def *after)
{
    for (u32 i = after ? (u32)(after - networks->cards) + 1 : 0; i < networks->card_count; i++)
        if (name_equal(networks->cards[i].set.switch_name, switch_name))
            return &networks->cards[i];
    return NULL;
}
