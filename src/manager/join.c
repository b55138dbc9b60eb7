/*
 * Joining an internal switch and a NAT network: all definitions change in one step, and are put back if the process of
 * the joined switch does not start.
 */
#include "manager/join.h"

#include "manager/client.h"
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

bool nat_has_gateway(struct store *store, const char *nat, const char *address)
{
    struct networks all;
    struct error ignored;
    struct prefix prefix;
    struct ip ip, gateway;
    bool is = false;
    if (!ip_parse(address, &ip) || networks_read_some(store, &all, &ignored))
        return false;
    const struct nat_def *def = networks_nat(&all, nat);
    const char *own = !def ? NULL : ip.version == 6 ? def->set.prefix6 : def->set.prefix;
    if (own && !prefix_parse(own, &prefix, &ignored) && prefix_nth(&prefix, 1, &gateway))
        is = memcmp(&gateway, &ip, sizeof(ip)) == 0;
    networks_free(&all);
    return is;
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

struct both {
    const struct switch_def *before, *own; /* `own`: the switch that the network has alone, and that goes; NULL: none */
    const struct nat_def *was;             /* NULL: the network is new */
    struct switch_def after;
    struct nat_def nat;
};

/* All definitions change in one step, so whatever ends the command, they are those of before or of afterwards. */
static int put(struct store *store, const struct both *b, bool joined, struct error *error)
{
    store_begin(store);
    int e = store_switch_put(store, joined ? &b->after : b->before, error);
    if (!e && (joined || b->was))
        e = store_nat_put(store, joined ? &b->nat : b->was, error);
    else if (!e)
        e = store_nat_remove(store, b->nat.name, error);
    if (!e && b->own)
        e = joined ? store_switch_remove(store, b->own->name, error) : store_switch_put(store, b->own, error);
    return e ? e : store_commit(store, error);
}

static void put_back(struct store *store, const struct networks *all, const struct both *b)
{
    struct error ignored;
    if (client_stop(store, b->after.name, &ignored) || put(store, b, false, &ignored))
        return;
    (void)!client_refresh(store, b->before->name, switch_wanted(all, b->before), NULL, &ignored);
    if (b->own)
        (void)!client_refresh(store, b->own->name, switch_wanted(all, b->own), NULL, &ignored);
}

/* Processes end before what they serve is no longer defined. */
static int replace(struct store *store, const struct networks *all, const struct both *b, struct error *error)
{
    int e = client_stop(store, b->before->name, error);
    if (!e && b->own)
        e = client_stop(store, b->own->name, error);
    if (!e)
        e = put(store, b, true, error);
    if (e)
        return e;
    e = client_refresh(store, b->after.name, switch_wanted(all, &b->after), NULL, error);
    if (e)
        put_back(store, all, b);
    else if (b->own)
        store_switch_forget(store, b->own->name);
    return e;
}

bool nat_is_joined(const struct networks *all, const struct nat_def *nat)
{
    const struct switch_def *def = nat->set.switch_name ? networks_switch(all, nat->set.switch_name) : NULL;
    return def && def->set.type == SWITCH_NAT && def->set.keep;
}

int nat_leave(struct store *store, const struct networks *all, const struct nat_def *nat, struct error *error)
{
    const struct switch_def *def = networks_switch(all, nat->set.switch_name);
    struct switch_def internal = *def;
    struct prefix prefix;
    struct ip gateway;
    char text[IP_TEXT_MAX], address[IP_TEXT_MAX + 8];
    int e = prefix_parse(nat->set.prefix, &prefix, error);
    if (e)
        return e;
    internal.set.type = SWITCH_INTERNAL;
    internal.set.keep = false;
    if (prefix_nth(&prefix, 1, &gateway)) {
        ip_format(&gateway, text);
        snprintf(address, sizeof(address), "%s/%u", text, prefix.length);
        internal.set.address = address;
    }
    const struct both b = {.before = &internal, .after = *def, .nat = *nat};
    e = client_stop(store, def->name, error);
    if (!e)
        e = put(store, &b, false, error);
    if (e)
        return e;
    e = client_refresh(store, def->name, switch_wanted(all, &internal), NULL, error);
    struct error ignored;
    if (e && !client_stop(store, def->name, &ignored) && !put(store, &b, true, &ignored))
        (void)!client_refresh(store, def->name, switch_wanted(all, def), NULL, &ignored);
    return e;
}

/* What a network is that is new: its prefix may be that of the switch's address, and of nothing else. */
static int complete(struct networks *all, struct switch_def *def, struct nat_def *nat, struct nat_texts *texts,
                    struct error *error)
{
    const char *address = def->set.address;
    if (networks_nat(all, nat->name))
        return error_set(error, -EEXIST, "there is already a NAT network %s", nat->name);
    def->set.address = NULL;
    int e = nat_complete(all, nat, texts, error);
    def->set.address = address;
    return e;
}

static int join_locked(struct store *store, struct networks *all, const char *switch_name, const char *nat_name,
                       struct nat_def *new, const char *address, struct error *error)
{
    struct nat_texts texts;
    struct switch_def *def = (struct switch_def *)(uintptr_t)names_switch(all, switch_name, error);
    const struct nat_def *nat = new;
    if (def && !nat)
        nat = names_nat(all, nat_name, error);
    int e = def && nat ? check(all, def, nat, address, error) : error->code;
    if (!e)
        e = nat_check_backend(&nat->set, error);
    if (!e && new)
        e = complete(all, def, new, &texts, error);
    if (e)
        return e;
    struct both b = {.before = def, .was = new ? NULL : nat, .after = *def, .nat = *nat};
    if (!new && !nat->set.switch_name)
        b.own = networks_switch(all, nat_switch(nat));
    b.after.set.type = SWITCH_NAT;
    b.after.set.address = NULL;
    b.after.set.keep = true; /* the host's port stays without cards, as that of an internal switch does */
    b.nat.set.switch_name = b.after.name;
    return replace(store, all, &b, error);
}

static int join(struct store *store, const char *switch_name, const char *nat_name, struct nat_def *new,
                const char *address, struct error *error)
{
    struct networks all;
    int e = store_lock(store, error);
    if (e)
        return e;
    e = networks_read(store, &all, error);
    if (!e) {
        e = join_locked(store, &all, switch_name, nat_name, new, address, error);
        networks_free(&all);
    }
    store_unlock(store);
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
