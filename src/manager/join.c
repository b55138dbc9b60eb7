/*
 * Joining an internal switch and a NAT network. The steps are those of the operations on both, each of which is whole
 * by itself; what was there is made again if a later one fails.
 */
#include "manager/join.h"

#include "manager/names.h"
#include "manager/nat.h"
#include "manager/switch.h"
#include "net/prefix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool nat_having(struct store *store, const char *address, char *name, size_t size)
{
    struct networks all;
    struct error ignored;
    struct prefix prefix;
    struct ip ip;
    bool found = false;
    if (!ip_parse(address, &ip) || networks_read_some(store, &all, &ignored))
        return false;
    for (u32 i = 0; i < all.nat_count && !found; i++) {
        const char *own[] = {all.nats[i].set.prefix, all.nats[i].set.prefix6};
        for (unsigned j = 0; j < ARRAY_LEN(own) && !found; j++)
            found = own[j] && !prefix_parse(own[j], &prefix, &ignored) && prefix_has(&prefix, &ip);
        if (found)
            snprintf(name, size, "%s", all.nats[i].name);
    }
    networks_free(&all);
    return found;
}

bool switch_having(struct store *store, const char *prefix, char *name, size_t size, char *address, size_t room)
{
    struct networks all;
    struct error ignored;
    bool found = false;
    if (networks_read_some(store, &all, &ignored))
        return false;
    for (u32 i = 0; i < all.switch_count && !found; i++) {
        const struct switch_def *def = &all.switches[i];
        char text[PREFIX_TEXT_MAX];
        struct prefix network;
        struct ip ip;
        if (def->set.type != SWITCH_INTERNAL || !def->set.address || !prefix_around(def->set.address, &ip, &network))
            continue;
        prefix_format(&network, text);
        found = strcmp(text, prefix) == 0;
        if (found) {
            snprintf(name, size, "%s", def->name);
            snprintf(address, room, "%s", def->set.address);
        }
    }
    networks_free(&all);
    return found;
}

/* The host's address must be the one that the network gives its gateway. */
static int check_gateway(const struct nat_def *nat, const char *address, struct error *error)
{
    struct prefix prefix, around;
    struct ip ip, gateway;
    char text[IP_TEXT_MAX];
    int e = prefix_parse(nat->set.prefix, &prefix, error);
    if (e)
        return e;
    if (!prefix_around(address, &ip, &around))
        return error_set(error, -EINVAL, SETTING("address") ": '%.60s' is not an address with a length", address);
    if (!prefix_nth(&prefix, 1, &gateway))
        return error_set(error, -EINVAL, "NAT network %s has no room for a gateway", nat->name);
    ip_format(&gateway, text);
    if (memcmp(&around, &prefix, sizeof(prefix)) != 0 || memcmp(&ip, &gateway, sizeof(ip)) != 0) {
        error_set(error, -EINVAL, "%.60s is in NAT network %s (%s), whose host address is its first, %s/%u", address,
                  nat->name, nat->set.prefix, text, prefix.length);
        return error_hint(error, "use that one, or another prefix for the network");
    }
    return 0;
}

static int check(const struct networks *all, const struct switch_def *def, const struct nat_def *nat,
                 const char *address, struct error *error)
{
    if (def->set.type != SWITCH_INTERNAL)
        return error_set(error, -EINVAL, "switch %s is not internal, so it cannot get NAT network %s", def->name,
                         nat->name);
    if (networks_card_at(all, nat_switch(nat), NULL)) {
        error_set(error, -EBUSY, "NAT network %s is in use at switch %s", nat->name, nat_switch(nat));
        return error_hint(error, "move its cards to another switch first");
    }
    return check_gateway(nat, address, error);
}

/* What is needed of both after the definitions that were read are gone. */
struct both {
    struct switch_def before, after;
    struct nat_def nat;
    struct nat_mapping *mappings;
    u32 count;
    bool there; /* the network is defined */
};

static int replace(struct store *store, struct both *b, struct error *error)
{
    struct error ignored;
    int e = b->there ? nat_delete(store, b->nat.name, false, error) : 0;
    if (e)
        return e;
    e = switch_delete(store, b->before.name, true, error);
    if (e)
        return e;
    b->nat.set.switch_name = b->after.name;
    e = switch_create(store, &b->after, &b->nat, error);
    for (u32 i = 0; i < b->count && !e; i++) {
        struct nat_mapping mapped;
        e = nat_map(store, b->nat.name, b->mappings[i].udp, b->mappings[i].external, b->mappings[i].internal, &mapped,
                    error);
    }
    if (e && switch_create(store, &b->before, NULL, &ignored) == 0) {
        b->nat.set.switch_name = NULL;
        if (b->there)
            (void)!nat_create(store, &b->nat, &ignored);
    }
    return e;
}

static int join(struct store *store, const char *switch_name, const char *nat_name, struct nat_def *new,
                const char *address, struct error *error)
{
    struct networks all;
    struct both b = {0};
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    const struct switch_def *def = names_switch(&all, switch_name, error);
    const struct nat_def *nat = new;
    if (def && !nat)
        nat = names_nat(&all, nat_name, error);
    e = def && nat ? check(&all, def, nat, address, error) : error->code;
    if (!e) {
        b = (struct both){*def, *def, *nat, nat->mapping, nat->mappings, !new};
        b.after.set.type = SWITCH_NAT;
        b.after.set.address = NULL;
        b.after.set.keep = true; /* the host's port stays without cards, as that of an internal switch does */
        b.nat.mapping = NULL;
        b.nat.mappings = 0;
        e = replace(store, &b, error);
    }
    networks_free(&all);
    return e;
}

int nat_join(struct store *store, const char *switch_name, const char *nat_name, const char *address,
             struct error *error)
{
    return join(store, switch_name, nat_name, NULL, address, error);
}

int nat_adopt(struct store *store, const char *switch_name, const char *address, struct nat_def *nat,
              struct error *error)
{
    return join(store, switch_name, NULL, nat, address, error);
}
