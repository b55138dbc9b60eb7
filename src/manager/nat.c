/*
 * NAT networks: created with a prefix that nothing else has, changed, deleted, shown.
 */
#include "manager/nat.h"

#include "manager/client.h"
#include "manager/join.h"
#include "manager/names.h"
#include "manager/own.h"
#include "manager/switch.h"
#include "manager/taken.h"
#include "net/hostport.h"
#include "net/usable.h"
#include "process/program.h"
#include "store/network_json.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -- prefixes -- */

/* Reads a prefix of one version, refuses what overlaps, and writes it as it is written everywhere. */
static int check_prefix(const char *setting, const char *text, u8 version, const struct nat_def *nat, bool is_new,
                        const struct taken *taken, char to[static PREFIX_TEXT_MAX], struct error *error)
{
    struct network wanted;
    int e = usable_prefix(setting, text, version, &wanted.prefix, error);
    if (e)
        return e;
    snprintf(wanted.owner, sizeof(wanted.owner), "the NAT network %s", nat->name);
    prefix_format(&wanted.prefix, to);
    e = network_refuse_overlap(&wanted, taken->list, taken->count, error);
    return e ? error_hint(error, is_new ? "choose another prefix, or give none and a free one is chosen"
                                        : "choose another prefix; an empty one ('') has a free one chosen")
             : 0;
}

int nat_complete(const struct networks *all, struct nat_def *nat, struct nat_texts *texts, struct error *error)
{
    bool is_new = !networks_nat(all, nat->name);
    struct taken taken = {0};
    struct prefix free_one;
    bool has4 = nat->set.prefix && *nat->set.prefix, has6 = nat->set.prefix6 && *nat->set.prefix6;
    int e = taken_find(all, NULL, nat->name, &taken, error);
    if (!e && has4)
        e = check_prefix("prefix", nat->set.prefix, 4, nat, is_new, &taken, texts->prefix, error);
    if (!e && has6)
        e = check_prefix("prefix6", nat->set.prefix6, 6, nat, is_new, &taken, texts->prefix6, error);
    if (!e && !has4) {
        if (network_choose_prefix(taken.list, taken.count, &free_one))
            prefix_format(&free_one, texts->prefix);
        else
            e = error_set(error, -ENOSPC, "there is no free prefix for a NAT network; name one: " SETTING("prefix"));
    }
    free(taken.list);
    if (e)
        return e;
    nat->set.prefix = texts->prefix;
    nat->set.prefix6 = has6 ? texts->prefix6 : NULL;
    e = nat_settings_check(&nat->set, error);
    return e ? e : own_refuse_nat(all, nat, error);
}

/* -- create, set, delete -- */

int nat_check_backend(const struct nat_settings *set, struct error *error)
{
    char nft[PATH_MAX];
    if (set->backend != NAT_KERNEL)
        return 0;
    if (geteuid() == 0)
        return program_locate("nft", "nftables", nft, sizeof(nft), error);
    error_set(error, -EPERM,
              SETTING("backend") " kernel: NAT by the host's kernel takes root, which makes an interface and rules of "
                                 "nftables");
    return error_hint(error, "run it as root, or take slirp, which needs no rights");
}

static int check_switch(const struct networks *all, const struct nat_def *nat, struct error *error)
{
    const struct nat_def *same = networks_nat(all, nat->name), *other;
    int e = name_check("a NAT network", nat->name, error);
    if (e)
        return e;
    if (same)
        return error_set(error, -EEXIST, "there is already a NAT network %s", same->name);
    if (!nat->set.switch_name) {
        const struct switch_def *def = networks_switch(all, nat->name);
        if (!def)
            return 0;
        error_set(error, -EEXIST, "there is already a switch %s, which would be created with the network", def->name);
        return error_hint(error, "to use a switch of type nat, name it with " SETTING("switch"));
    }
    const struct switch_def *def = names_switch(all, nat->set.switch_name, error);
    if (!def)
        return error->code;
    if (def->set.type != SWITCH_NAT)
        return error_set(error, -EINVAL, "switch %s is not of type nat", def->name);
    other = networks_nat_at(all, def->name);
    return other ? error_set(error, -EBUSY, "switch %s has a NAT network already: %s", def->name, other->name) : 0;
}

static int create(struct store *store, struct nat_def *nat, struct error *error)
{
    struct networks all;
    struct nat_texts texts;
    struct switch_def def = {0};
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    e = check_switch(&all, nat, error);
    if (!e)
        e = nat_check_backend(&nat->set, error);
    if (!e && !nat->set.switch_name) {
        char socket[PATH_MAX];
        e = store_switch_socket(store, nat->name, socket, sizeof(socket), error);
    }
    if (!e)
        e = nat_complete(&all, nat, &texts, error);
    store_begin(store);
    if (!e && !nat->set.switch_name) {
        setting_defaults(switch_settings_table, &def.set);
        strcpy(def.name, nat->name);
        def.set.type = SWITCH_NAT;
        e = store_switch_put(store, &def, error);
    }
    if (!e)
        e = store_nat_put(store, nat, error);
    if (!e)
        e = store_commit(store, error);
    networks_free(&all);
    return e;
}

/* The definition of a network that cannot be goes again, with the switch that was created for it. */
static void undo(struct store *store, const struct nat_def *nat)
{
    struct error ignored;
    store_begin(store);
    int e = store_nat_remove(store, nat->name, &ignored);
    if (!e && !nat->set.switch_name)
        e = store_switch_remove(store, nat->name, &ignored);
    if (!e)
        e = store_commit(store, &ignored);
    if (!e)
        (void)!client_refresh(store, nat_switch(nat), false, NULL, &ignored);
}

int nat_create(struct store *store, struct nat_def *nat, struct error *error)
{
    int e = store_lock(store, error);
    if (e)
        return e;
    if (nat->set.switch_name && !*nat->set.switch_name)
        nat->set.switch_name = NULL;
    e = create(store, nat, error);
    if (!e) {
        e = switch_try(store, nat_switch(nat), "nat", error);
        if (e)
            undo(store, nat);
    }
    store_unlock(store);
    return e;
}

/* Changes one network, whose switch is at[]. The lock is held. */
static int put_changed(struct store *store, const char *name,
                       int (*with)(const struct networks *all, struct nat_def *nat, void *opaque, struct error *error),
                       void *opaque, char at[static NAME_MAX_LEN + 1], struct error *error)
{
    struct networks all;
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    struct nat_def *nat = names_nat(&all, name, error);
    e = nat ? with(&all, nat, opaque, error) : error->code;
    if (!e)
        e = store_nat_put(store, nat, error);
    if (!e)
        strcpy(at, nat_switch(nat));
    networks_free(&all);
    return e;
}

/* The same under the lock, then has its switch take it. */
static int change_nat(struct store *store, const char *name,
                      int (*with)(const struct networks *all, struct nat_def *nat, void *opaque, struct error *error),
                      void *opaque, const char *about, struct error *error)
{
    char at[NAME_MAX_LEN + 1];
    int e = store_lock(store, error);
    if (e)
        return e;
    e = put_changed(store, name, with, opaque, at, error);
    store_unlock(store);
    return e ? e : switch_refresh(store, at, about, error);
}

/* What an address of the network is, a phrase, if no guest can have it. */
static const char *not_a_guest(const struct nat_def *nat, const struct prefix *prefix, const struct ip *ip)
{
    static const char *const roles[] = {"the gateway", "the server of names"};
    struct ip ours;
    for (u32 i = 0; i < (nat->set.dns ? 2 : 1); i++)
        if (prefix_nth(prefix, i + 1, &ours) && memcmp(ours.byte, ip->byte, sizeof(ip->byte)) == 0)
            return roles[i];
    return usable_not(prefix, ip);
}

/* Where a mapping leads must be where a guest can be. */
static int check_internal(const struct nat_def *nat, const struct nat_mapping *mapping, struct error *error)
{
    struct hostport internal;
    struct prefix prefix;
    struct error ignored;
    bool inside = false;
    if (!hostport_parse(mapping->internal, &internal))
        return error_set(error, -EINVAL, SETTING("internal") ": '%s' is not an address and a port", mapping->internal);
    const char *own[] = {nat->set.prefix, nat->set.prefix6};
    for (unsigned i = 0; i < ARRAY_LEN(own) && !inside; i++)
        inside = own[i] && !prefix_parse(own[i], &prefix, &ignored) && prefix_has(&prefix, &internal.address);
    if (!inside)
        return error_set(error, -EINVAL, SETTING("internal") ": %s is not in %s%s%s, the network %s", mapping->internal,
                         nat->set.prefix ? nat->set.prefix : "", nat->set.prefix && nat->set.prefix6 ? " or " : "",
                         nat->set.prefix6 ? nat->set.prefix6 : "", nat->name);
    const char *role = not_a_guest(nat, &prefix, &internal.address);
    if (role)
        return error_set(error, -EINVAL, SETTING("internal") ": %s is %s of the network %s", mapping->internal, role,
                         nat->name);
    return 0;
}

/* A change of addresses must not leave a mapping that leads nowhere. */
static int check_mappings_stay(const struct nat_def *changed, struct error *error)
{
    struct error why;
    for (u32 i = 0; i < changed->mappings; i++) {
        const struct nat_mapping *m = &changed->mapping[i];
        const char *protocol = m->udp ? "udp" : "tcp";
        if (!check_internal(changed, m, &why))
            continue;
        error_set(error, -EINVAL, "%s %s of the host is mapped to %s, which would be no address of a VM in %s",
                  protocol, m->external, m->internal, changed->name);
        return error_hint(error, "`nestbox nat unmap` ends that mapping");
    }
    return 0;
}

static int put_settings(const struct networks *all, struct nat_def *nat, void *opaque, struct error *error)
{
    const struct change *change = opaque;
    struct nat_texts texts;
    struct nat_def changed = *nat;
    int e = change->apply(change, &changed.set, error);
    if (!e && changed.set.backend != nat->set.backend)
        e = nat_check_backend(&changed.set, error);
    if (!e)
        e = nat_complete(all, &changed, &texts, error);
    if (!e)
        e = check_mappings_stay(&changed, error);
    if (!e)
        e = setting_texts_copy(nat_settings_table, &changed.set) ? error_memory(error) : 0;
    if (e)
        return e;
    setting_texts_free(nat_settings_table, &nat->set);
    nat->set = changed.set;
    return 0;
}

int nat_set(struct store *store, const char *name, const struct change *change, struct error *error)
{
    struct networks before;
    char at[NAME_MAX_LEN + 1];
    int e = store_lock(store, error);
    if (e)
        return e;
    e = networks_read(store, &before, error);
    if (!e) {
        e = put_changed(store, name, put_settings, (void *)(uintptr_t)change, at, error);
        if (!e)
            e = switch_accept(store, at, "nat", &(struct definition_before){.nat = networks_nat(&before, name)}, error);
        networks_free(&before);
    }
    store_unlock(store);
    return e;
}

/* Removes the network alone, or says that its switch goes with it. *done: nobody must be told any more. */
static int erase(struct store *store, const char *name, char at[static NAME_MAX_LEN + 1], bool *own, bool *done,
                 struct error *error)
{
    struct networks all;
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    const struct nat_def *nat = names_nat(&all, name, error);
    if (nat && nat_is_joined(&all, nat)) {
        *done = true;
        e = nat_leave(store, &all, nat, error);
    } else if (nat) {
        strcpy(at, nat_switch(nat));
        *own = !nat->set.switch_name && networks_switch(&all, at);
        e = *own ? 0 : store_nat_remove(store, nat->name, error);
    } else {
        e = error->code;
    }
    networks_free(&all);
    return e;
}

int nat_delete(struct store *store, const char *name, bool force, struct error *error)
{
    char at[NAME_MAX_LEN + 1];
    bool own = false, done = false;
    int e = store_lock(store, error);
    if (e)
        return e;
    e = erase(store, name, at, &own, &done, error);
    store_unlock(store);
    if (e || done)
        return e;
    return own ? switch_delete(store, at, force, error) : switch_refresh(store, at, "nat", error);
}

/* -- mappings -- */

static bool same_external(const struct nat_mapping *a, const struct nat_mapping *b)
{
    struct hostport x, y;
    if (a->udp != b->udp || !hostport_parse(a->external, &x) || !hostport_parse(b->external, &y) || x.port != y.port)
        return false;
    static const u8 zeros[16];
    bool any = memcmp(x.address.byte, zeros, 16) == 0 || memcmp(y.address.byte, zeros, 16) == 0;
    return x.address.version == y.address.version && (any || memcmp(x.address.byte, y.address.byte, 16) == 0);
}

/* What comes by IPv6 is not translated to IPv4. */
static int check_versions(const struct nat_mapping *mapping, struct error *error)
{
    struct hostport external, internal;
    if (!hostport_parse(mapping->external, &external) || !hostport_parse(mapping->internal, &internal) ||
        external.address.version == internal.address.version)
        return 0;
    return error_set(error, -EINVAL,
                     SETTING("external") " and " SETTING("internal") ": %s and %s are of different versions of IP",
                     mapping->external, mapping->internal);
}

static int check_mapping(const struct networks *all, const struct nat_def *nat, const struct nat_mapping *mapping,
                         struct error *error)
{
    int e = check_internal(nat, mapping, error);
    if (!e)
        e = check_versions(mapping, error);
    if (e)
        return e;
    for (u32 i = 0; i < all->nat_count; i++)
        for (u32 k = 0; k < all->nats[i].mappings; k++)
            if (same_external(&all->nats[i].mapping[k], mapping))
                return error_set(error, -EEXIST, "%s %s of the host is mapped already: to %s of the network %s",
                                 mapping->udp ? "udp" : "tcp", mapping->external, all->nats[i].mapping[k].internal,
                                 all->nats[i].name);
    return 0;
}

int nat_check_mapping(const struct networks *all, const struct nat_def *nat, u32 n, struct error *error)
{
    const struct nat_mapping *own = &nat->mapping[n];
    if (check_versions(own, error))
        return error->code;
    if (check_internal(nat, own, error)) {
        struct error why = *error;
        error_set(error, why.code, "%s %s of the host is mapped to no address of a VM in %s: %s",
                  own->udp ? "udp" : "tcp", own->external, nat->name, own->internal);
        return error->code;
    }
    for (u32 i = 0; i < all->nat_count && &all->nats[i] <= nat; i++)
        for (u32 k = 0; k < (&all->nats[i] == nat ? n : all->nats[i].mappings); k++)
            if (same_external(&all->nats[i].mapping[k], own))
                return error_set(error, -EEXIST, "%s %s of the host is mapped twice: to %s of %s and to %s of %s",
                                 own->udp ? "udp" : "tcp", own->external, all->nats[i].mapping[k].internal,
                                 all->nats[i].name, own->internal, nat->name);
    return 0;
}

/* Completes "PORT" with the address that stands for all, of the version of the internal one. */
static int external_text(const char *external, bool version6, struct nat_mapping *mapping, struct error *error)
{
    struct hostport e;
    char whole[sizeof(mapping->external)];
    bool port_only = *external && !external[strspn(external, "0123456789")];
    snprintf(whole, sizeof(whole), "%s%s", port_only ? version6 ? "[::]:" : "0.0.0.0:" : "", external);
    if (!hostport_parse(whole, &e))
        return error_set(error, -EINVAL, SETTING("external") ": '%.60s' is not a port, or an address and a port",
                         external);
    hostport_format(&e, mapping->external);
    return 0;
}

static int change_mapping(struct store *store, const char *name,
                          int (*with)(const struct networks *all, struct nat_def *nat, void *opaque,
                                      struct error *error),
                          struct nat_mapping *mapping, struct error *error)
{
    char about[sizeof(mapping->external) + 16];
    snprintf(about, sizeof(about), "mapping %s %s", mapping->udp ? "udp" : "tcp", mapping->external);
    return change_nat(store, name, with, mapping, about, error);
}

static int add_mapping(const struct networks *all, struct nat_def *nat, void *opaque, struct error *error)
{
    const struct nat_mapping *mapping = opaque;
    int e = check_mapping(all, nat, mapping, error);
    if (e)
        return e;
    struct nat_mapping *bigger = realloc(nat->mapping, (nat->mappings + 1) * sizeof(*bigger));
    if (!bigger)
        return error_memory(error);
    nat->mapping = bigger;
    nat->mapping[nat->mappings++] = *mapping;
    return 0;
}

int nat_map(struct store *store, const char *name, bool udp, const char *external, const char *internal,
            struct nat_mapping *mapping, struct error *error)
{
    struct hostport to;
    *mapping = (struct nat_mapping){.udp = udp};
    if (!hostport_parse(internal, &to))
        return error_set(error, -EINVAL, SETTING("internal") ": '%.60s' is not an address and a port", internal);
    hostport_format(&to, mapping->internal);
    int e = external_text(external, to.address.version == 6, mapping, error);
    return e ? e : change_mapping(store, name, add_mapping, mapping, error);
}

static int remove_mapping(const struct networks *all, struct nat_def *nat, void *opaque, struct error *error)
{
    const struct nat_mapping *mapping = opaque;
    for (u32 i = 0; i < nat->mappings; i++) {
        if (nat->mapping[i].udp != mapping->udp || strcmp(nat->mapping[i].external, mapping->external) != 0)
            continue;
        memmove(&nat->mapping[i], &nat->mapping[i + 1], (--nat->mappings - i) * sizeof(*mapping));
        return 0;
    }
    return error_set(error, -ENOENT, "the network %s has no mapping of %s %s", nat->name, mapping->udp ? "udp" : "tcp",
                     mapping->external);
}

/* A port alone is looked for in both versions. */
int nat_unmap(struct store *store, const char *name, bool udp, const char *external, struct error *error)
{
    struct nat_mapping mapping = {.udp = udp};
    int e = external_text(external, false, &mapping, error);
    if (!e)
        e = change_mapping(store, name, remove_mapping, &mapping, error);
    if (e != -ENOENT || external[strspn(external, "0123456789")])
        return e;
    struct error first = *error;
    if (!external_text(external, true, &mapping, error) &&
        !change_mapping(store, name, remove_mapping, &mapping, error))
        return 0;
    *error = first;
    return e;
}

/* -- leases -- */

int nat_release_lease(struct store *store, const char *name, const char *lease, struct error *error)
{
    struct networks all;
    json_t *answer = NULL;
    int e = networks_read_some(store, &all, error);
    if (e)
        return e;
    const struct nat_def *nat = names_nat(&all, name, error);
    if (nat)
        e = client_request(store, nat_switch(nat), json_pack("{s:s, s:s}", "do", "release", "lease", lease), &answer,
                           error);
    else
        e = networks_missing(&all, error);
    json_decref(answer);
    networks_free(&all);
    return e;
}

/* -- list and show -- */

static json_t *defined_json(const struct nat_def *nat)
{
    return json_pack("{s:s, s:s, s:o, s:o}", "name", nat->name, "switch", nat_switch(nat), "settings",
                     setting_json(nat_settings_table, &nat->set), "mappings", nat_mappings_json(nat));
}

int nat_list(struct store *store, json_t **list, struct error *error)
{
    struct networks all;
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    json_t *array = json_array();
    for (u32 i = 0; i < all.nat_count && !e; i++)
        if (json_array_append_new(array, defined_json(&all.nats[i])))
            e = error_memory(error);
    networks_free(&all);
    *list = array;
    if (e)
        json_decref(array);
    return e;
}

int nat_show(struct store *store, const char *name, json_t **object, struct error *error)
{
    struct networks all;
    json_t *live = NULL;
    int e = networks_read_some(store, &all, error);
    if (e)
        return e;
    const struct nat_def *nat = names_nat(&all, name, error);
    e = nat ? switch_show(store, nat_switch(nat), &live, error) : networks_missing(&all, error);
    if (!e) {
        json_t *shown = defined_json(nat), *state = json_object_get(live, "nat");
        if (!shown || json_object_set(shown, "state", state ? state : json_null()) ||
            json_object_set(shown, "running", json_object_get(live, "running")) ||
            json_object_set(shown, "problems", json_object_get(live, "problems")) ||
            json_object_set(shown, "notes", json_object_get(live, "notes"))) {
            json_decref(shown);
            e = error_memory(error);
        } else {
            *object = shown;
        }
    }
    json_decref(live);
    networks_free(&all);
    return e;
}
