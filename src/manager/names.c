/*
 * Lists of names, and what is said when one is not among them.
 */
#include "manager/names.h"

#include "manager/checkpoint.h"
#include "manager/nat.h"
#include "rules/image_profile.h"
#include "store/image.h"
#include "store/vm.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void card_title(const struct card_def *card, char title[static CARD_NAME_MAX])
{
    snprintf(title, CARD_NAME_MAX, "%s/%s", card->vm, card->name);
}

/* -- lists: each returns the name at an index, or NULL behind the last -- */

static const char *switch_name(const void *networks, unsigned index)
{
    const struct networks *n = networks;
    return index < n->switch_count ? n->switches[index].name : NULL;
}

static const char *nat_name(const void *networks, unsigned index)
{
    const struct networks *n = networks;
    return index < n->nat_count ? n->nats[index].name : NULL;
}

static const char *vm_name(const void *networks, unsigned index)
{
    const struct networks *n = networks;
    unsigned vms = 0;
    for (u32 i = 0; i < n->card_count; i++)
        if ((!i || strcmp(n->cards[i].vm, n->cards[i - 1].vm) != 0) && vms++ == index)
            return n->cards[i].vm;
    return NULL;
}

static const char *card_name(const void *networks, unsigned index)
{
    static char title[CARD_NAME_MAX];
    const struct networks *n = networks;
    if (index >= n->card_count)
        return NULL;
    card_title(&n->cards[index], title);
    return title;
}

/* The cards of one VM. */
struct vm_cards {
    const struct networks *networks;
    const char *vm;
};

static const char *own_card_name(const void *cards, unsigned index)
{
    const struct vm_cards *c = cards;
    unsigned own = 0;
    for (u32 i = 0; i < c->networks->card_count; i++)
        if (name_equal(c->networks->cards[i].vm, c->vm) && own++ == index)
            return c->networks->cards[i].name;
    return NULL;
}

/* -- by kind -- */

typedef void name_each(const char *name, void *opaque);

/* VMs that are defined, or their drives, "VM/DRIVE". */
static void each_defined(struct store *store, bool drives, name_each *each, void *opaque)
{
    struct vm_def *list = NULL;
    struct error ignored;
    u32 count = 0;
    char title[NAME_MAX_LEN + ID_TEXT_MAX + 2];
    if (store_vms_some(store, &list, &count, NULL, &ignored))
        count = 0;
    for (u32 i = 0; i < count; i++) {
        if (!drives)
            each(list[i].name, opaque);
        for (u32 d = 0; drives && d < list[i].disks; d++) {
            snprintf(title, sizeof(title), "%s/%s", list[i].name, list[i].disk[d].id);
            each(title, opaque);
        }
    }
    vm_defs_free(list, count);
}

static void disks_each(struct store *store, const char *unused, name_each *each, void *opaque)
{
    each_defined(store, true, each, opaque);
}

static bool is_defined(struct store *store, const char *vm)
{
    struct vm_def def;
    struct error ignored;
    if (store_vm(store, vm, &def, &ignored))
        return false;
    vm_def_free(&def);
    return true;
}

static void networks_each(struct store *store, const char *(*name)(const void *networks, unsigned index),
                          name_each *each, void *opaque)
{
    struct networks networks = {0};
    struct error ignored;
    const char *one;
    if (networks_read_some(store, &networks, &ignored))
        return;
    for (unsigned i = 0; (one = name(&networks, i)); i++)
        if (name != vm_name || !is_defined(store, one))
            each(one, opaque);
    networks_free(&networks);
}

static void switches_each(struct store *store, const char *unused, name_each *each, void *opaque)
{
    networks_each(store, switch_name, each, opaque);
}

static void nats_each(struct store *store, const char *unused, name_each *each, void *opaque)
{
    networks_each(store, nat_name, each, opaque);
}

static void cards_each(struct store *store, const char *unused, name_each *each, void *opaque)
{
    networks_each(store, card_name, each, opaque);
}

/* Also those that have only cards. */
static void vms_each(struct store *store, const char *unused, name_each *each, void *opaque)
{
    each_defined(store, false, each, opaque);
    networks_each(store, vm_name, each, opaque);
}

static void images_each(struct store *store, const char *unused, name_each *each, void *opaque)
{
    struct image_def *images;
    struct error ignored;
    u32 count;
    if (store_images(store, &images, &count, &ignored))
        return;
    for (u32 i = 0; i < count; i++)
        each(images[i].name, opaque);
    image_defs_free(images, count);
}

static void profiles_each(struct store *store, const char *unused, name_each *each, void *opaque)
{
    for (const struct image_profile *p = image_profiles; p->name; p++)
        each(p->name, opaque);
}

/* The texts of a key of all objects in a list. */
static void each_in(const json_t *list, const char *key, name_each *each, void *opaque)
{
    json_t *one;
    size_t i;
    json_array_foreach ((json_t *)(uintptr_t)list, i, one)
        each(json_string_value(json_object_get(one, key)), opaque);
}

static void checkpoints_each(struct store *store, const char *vm, name_each *each, void *opaque)
{
    json_t *list = NULL;
    struct error ignored;
    if (checkpoint_list(store, vm, &list, &ignored))
        return;
    each_in(list, "name", each, opaque);
    json_decref(list);
}

static void shares_each(struct store *store, const char *vm, name_each *each, void *opaque)
{
    struct vm_def def;
    struct error ignored;
    if (store_vm(store, vm, &def, &ignored))
        return;
    for (u32 i = 0; i < def.shares; i++)
        each(def.share[i].tag, opaque);
    vm_def_free(&def);
}

static void leases_each(struct store *store, const char *nat, name_each *each, void *opaque)
{
    json_t *object = NULL;
    struct error ignored;
    if (nat_show(store, nat, &object, &ignored))
        return;
    each_in(json_object_get(json_object_get(object, "state"), "leases"), "address", each, opaque);
    json_decref(object);
}

static void interfaces_each(struct store *store, const char *unused, name_each *each, void *opaque)
{
    struct if_nameindex *all = if_nameindex();
    for (const struct if_nameindex *i = all; i && i->if_index; i++)
        if (strcmp(i->if_name, "lo") != 0)
            each(i->if_name, opaque);
    if (all)
        if_freenameindex(all);
}

static const struct {
    const char *kind;
    void (*each)(struct store *store, const char *of, name_each *each, void *opaque);
    bool within; /* there are such names only of something */
} kinds[] = {{"switches", switches_each},
             {"nats", nats_each},
             {"vms", vms_each},
             {"cards", cards_each},
             {"disks", disks_each},
             {"images", images_each},
             {"profiles", profiles_each},
             {"interfaces", interfaces_each},
             {"checkpoints", checkpoints_each, true},
             {"shares", shares_each, true},
             {"leases", leases_each, true}};

void names_each(const char *kind, const char *of, void (*each)(const char *name, void *opaque), void *opaque)
{
    struct error ignored;
    struct store *store = store_open(&ignored);
    for (size_t i = 0; i < ARRAY_LEN(kinds) && store; i++)
        if (strcmp(kinds[i].kind, kind) == 0 && (of || !kinds[i].within))
            kinds[i].each(store, of, each, opaque);
    store_close(store);
}

/* -- by name -- */

/* `what`: "switch"; `names` for suggestions; `verb`: the one that lists and makes them. */
static int fail(const char *what, const char *name, const char *(*names)(const void *opaque, unsigned index),
                const void *opaque, const char *verb, struct error *error)
{
    char hint[sizeof(error->hint)];
    const char *close = name_closest(name, names, opaque);
    error_set(error, -ENOENT, "there is no %s %s", what, name);
    if (close)
        snprintf(hint, sizeof(hint), "did you mean '%s'?", close);
    else if (names(opaque, 0))
        snprintf(hint, sizeof(hint), "`nestbox %s list` lists what there is", verb);
    else
        snprintf(hint, sizeof(hint), "there is none yet; `nestbox %s %s` makes one", verb,
                 strcmp(verb, "nic") == 0 ? "add" : "create");
    return error_hint(error, hint);
}

struct switch_def *names_switch(const struct networks *networks, const char *name, struct error *error)
{
    struct switch_def *found = networks_switch(networks, name);
    if (!found)
        fail("switch", name, switch_name, networks, "switch", error);
    return found;
}

struct nat_def *names_nat(const struct networks *networks, const char *name, struct error *error)
{
    struct nat_def *found = networks_nat(networks, name);
    if (!found)
        fail("NAT network", name, nat_name, networks, "nat", error);
    return found;
}

bool names_vm(const struct networks *networks, const char *vm, struct error *error)
{
    const struct vm_cards own = {networks, vm};
    if (own_card_name(&own, 0))
        return true;
    fail("card of a VM", vm, vm_name, networks, "nic", error);
    return false;
}

struct card_def *names_card(const struct networks *networks, const char *name, struct error *error)
{
    const char *slash = strchr(name, '/'), *first;
    char vm[NAME_MAX_LEN + 1];
    if (!slash && !names_vm(networks, name, error))
        return NULL;
    snprintf(vm, sizeof(vm), "%.*s", slash ? (int)(slash - name) : NAME_MAX_LEN, name);
    const struct vm_cards own = {networks, vm};
    first = own_card_name(&own, 0);
    if (slash && first && !networks_card(networks, vm, slash + 1)) {
        fail("card", name, own_card_name, &own, "nic", error);
        const char *close = name_closest(slash + 1, own_card_name, &own);
        char hint[sizeof(error->hint)];
        snprintf(hint, sizeof(hint), "did you mean '%.40s/%.40s'?", vm, close ? close : first);
        error_hint(error, hint);
        return NULL;
    }
    if (!first) {
        fail("card", name, card_name, networks, "nic", error);
        return NULL;
    }
    if (!slash && own_card_name(&own, 1)) {
        char hint[sizeof(error->hint)];
        error_set(error, -EINVAL, "VM %s has several cards", vm);
        snprintf(hint, sizeof(hint), "name one of them, as in %.40s/%.40s", vm, first);
        error_hint(error, hint);
        return NULL;
    }
    return networks_card(networks, vm, slash ? slash + 1 : first);
}
