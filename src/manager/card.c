/*
 * Network cards: added with an address that stays, changed while frames flow, removed, listed.
 */
#include "manager/card.h"

#include "manager/client.h"
#include "manager/hot.h"
#include "manager/names.h"
#include "manager/own.h"
#include "manager/switch.h"
#include "manager/vm.h"
#include "store/network_json.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define TRIES 100u

/* -- what a new card gets -- */

static bool id_is_free(const struct networks *all, const char *id)
{
    for (u32 i = 0; i < all->card_count; i++)
        if (strcmp(all->cards[i].id, id) == 0)
            return false;
    return true;
}

static bool address_is_free(const struct networks *all, const struct mac *mac)
{
    for (u32 i = 0; i < all->card_count; i++)
        if (memcmp(&all->cards[i].mac, mac, sizeof(*mac)) == 0)
            return false;
    return true;
}

static int choose_id(const struct networks *all, struct card_def *def, struct error *error)
{
    for (unsigned i = 0; i < TRIES; i++) {
        u32 number;
        if (getrandom(&number, sizeof(number), 0) != sizeof(number))
            break;
        snprintf(def->id, sizeof(def->id), "%c%07x", (char)('a' + (number >> 28) % 6), number & 0xfffffff);
        if (id_is_free(all, def->id))
            return 0;
    }
    return error_set(error, -EIO, "the host gives no random numbers");
}

static int choose_address(const struct networks *all, struct card_def *def, struct error *error)
{
    for (unsigned i = 0; i < TRIES; i++)
        if (!mac_random(&def->mac) && address_is_free(all, &def->mac))
            return 0;
    return error_set(error, -EIO, "the host gives no random numbers");
}

static int choose_name(const struct networks *all, struct card_def *def, struct error *error)
{
    for (u32 i = 0; i <= all->card_count; i++) {
        snprintf(def->name, sizeof(def->name), "nic%u", i);
        if (!networks_card(all, def->vm, def->name))
            return 0;
    }
    return error_set(error, -ENOSPC, "VM %s has too many cards", def->vm);
}

/* -- checks -- */

static int read_address(struct card_def *def, struct error *error)
{
    if (!mac_parse(def->set.mac, &def->mac) || mac_is_zero(&def->mac))
        return error_set(error, -EINVAL, SETTING("mac") ": '%.40s' is not an Ethernet address", def->set.mac);
    if (mac_is_group(&def->mac)) {
        error_set(error, -EINVAL, SETTING("mac") ": %.40s is the address of a group", def->set.mac);
        return error_hint(error, "the first byte of a card's address is even");
    }
    return 0;
}

/* Checks a card as it is to be: its switch, and that nobody else has its address there. */
static int check(const struct networks *all, struct card_def *def, struct error *error)
{
    int e = card_settings_check(&def->set, error);
    if (e)
        return e;
    if (!*def->set.switch_name)
        return 0;
    const struct switch_def *at = names_switch(all, def->set.switch_name, error);
    if (!at)
        return error->code;
    def->set.switch_name = at->name;
    for (const struct card_def *card = NULL; (card = networks_card_at(all, at->name, card));) {
        char mac[MAC_TEXT_MAX];
        if (strcmp(card->id, def->id) == 0 || memcmp(&card->mac, &def->mac, sizeof(def->mac)) != 0)
            continue;
        mac_format(&def->mac, mac);
        return error_set(error, -EEXIST, "%s is the address of %s/%s at switch %s, so %s/%s cannot have it there", mac,
                         card->vm, card->name, at->name, def->vm, def->name);
    }
    return own_refuse(at, networks_nat_at(all, at->name), def, error);
}

/* -- a card as JSON -- */

/* QEMU's options have commas of their own, which are written twice within a value. */
static void qemu_value(const char *text, char *to, size_t size)
{
    size_t used = 0;
    for (; *text && used + 3 < size; text++) {
        if (*text == ',')
            to[used++] = ',';
        to[used++] = *text;
    }
    to[used] = 0;
}

static json_t *qemu_json(const struct card_def *card, const char *socket)
{
    char path[2 * PATH_MAX], netdev[sizeof(path) + 80], device[128], mac[MAC_TEXT_MAX];
    qemu_value(socket, path, sizeof(path));
    mac_format(&card->mac, mac);
    snprintf(netdev, sizeof(netdev), "stream,id=%s,server=on,addr.type=unix,addr.path=%s", card->id, path);
    snprintf(device, sizeof(device), "virtio-net-pci,netdev=%s,mac=%s", card->id, mac);
    return json_pack("[s, s, s, s]", "-netdev", netdev, "-device", device);
}

/* The port of a card in what its switch reports; NULL if there is none. */
static const json_t *port_of(const json_t *report, const char *id)
{
    size_t index;
    json_t *port;
    json_array_foreach (json_object_get(report, "ports"), index, port) {
        const char *own = json_string_value(json_object_get(port, "id"));
        if (own && strcmp(own, id) == 0)
            return port;
    }
    return NULL;
}

static json_t *card_json(const struct store *store, const struct card_def *card, const json_t *report,
                         struct error *error)
{
    char socket[PATH_MAX], mac[MAC_TEXT_MAX];
    const json_t *port = port_of(report, card->id);
    json_t *linked = port ? json_object_get(port, "linked") : NULL;
    json_t *addresses = port ? json_object_get(port, "addresses") : NULL;
    if (store_card_socket(store, card->id, socket, sizeof(socket), error))
        return NULL;
    mac_format(&card->mac, mac);
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:s?, s:o, s:s, s:o, s:O, s:O, s:o}", "id", card->id, "vm", card->vm, "name",
                  card->name, "mac", mac, "switch", *card->set.switch_name ? card->set.switch_name : NULL, "settings",
                  card_settings_json(card), "socket", socket, "qemu", qemu_json(card, socket), "linked",
                  linked ? linked : json_null(), "addresses", addresses ? addresses : json_null(), "problem",
                  json_is_string(report) ? json_string(json_string_value(report)) : json_null());
    if (!object)
        error_memory(error);
    return object;
}

/* -- operations -- */

static int add(struct store *store, const struct networks *all, struct card_def *def, struct error *error)
{
    char socket[PATH_MAX];
    int e = name_check("a VM", def->vm, error);
    if (!e && !def->set.switch_name) {
        error_set(error, -EINVAL, "a card is connected to a switch, and none is named");
        e = error_hint(error, "name it with " SETTING("switch"));
    }
    if (!e)
        e = def->name[0] ? name_check("a card", def->name, error) : choose_name(all, def, error);
    const struct card_def *same = e ? NULL : networks_card(all, def->vm, def->name);
    if (same)
        e = error_set(error, -EEXIST, "VM %s has already a card %s", same->vm, same->name);
    for (u32 i = 0; i < all->card_count && !e; i++)
        if (name_equal(all->cards[i].vm, def->vm))
            strcpy(def->vm, all->cards[i].vm); /* spelt as before */
    if (!e)
        e = choose_id(all, def, error);
    if (!e)
        e = def->set.mac && *def->set.mac ? read_address(def, error) : choose_address(all, def, error);
    if (!e)
        e = check(all, def, error);
    if (!e)
        e = store_card_socket(store, def->id, socket, sizeof(socket), error);
    if (!e && *def->set.switch_name)
        e = client_start(store, def->set.switch_name, error); /* a switch that cannot be gets no cards */
    return e ? e : store_card_put(store, def, error);
}

/* Has a switch take what changed of a card. */
static int card_refresh(struct store *store, const char *at, const char *id, bool is_new, struct error *error)
{
    char about[sizeof("card ") + ID_TEXT_MAX];
    if (!*at)
        return 0;
    snprintf(about, sizeof(about), "card %s", id);
    return is_new ? switch_try(store, at, about, error) : switch_refresh(store, at, about, error);
}

/* The definition of a card that cannot be goes again. */
static void undo(struct store *store, const struct card_def *def)
{
    struct error ignored;
    if (!store_card_remove(store, def->id, &ignored))
        (void)!client_refresh(store, def->set.switch_name, false, NULL, &ignored);
}

static int remove_locked(struct store *store, const char *name, struct error *error);

/* -- cards of VMs of ours -- */

/* The VM whose cards change, under its lock; it may be that of a QEMU which somebody else runs. */
struct owner {
    struct vm_open vm;
    bool ours, runs;
};

static int owner_open(struct store *store, const char *card, struct owner *owner, struct error *error)
{
    char name[NAME_MAX_LEN + 1];
    struct vm_def def;
    struct error ignored;
    *owner = (struct owner){0};
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(card, "/"), card);
    if (store_vm(store, name, &def, &ignored))
        return 0;
    vm_def_free(&def);
    owner->ours = true;
    return vm_open_hot(store, name, "nic", &owner->vm, &owner->runs, error);
}

static void owner_close(struct owner *owner)
{
    if (owner->ours)
        vm_close(&owner->vm);
}

/* "VM/CARD" or "VM" with the VM's name, where a VM of ours is named by its id. Others stay as they are. */
static const char *by_name(struct store *store, const char *title, char text[static CARD_NAME_MAX])
{
    size_t length = strcspn(title, "/");
    char id[UUID_TEXT_MAX];
    struct vm_def def;
    struct error ignored;
    if (length + 1 != sizeof(id))
        return title;
    snprintf(id, sizeof(id), "%.*s", (int)length, title);
    if (store_vm(store, id, &def, &ignored))
        return title;
    snprintf(text, CARD_NAME_MAX, "%s%.*s", def.name, NAME_MAX_LEN + 1, title + length);
    vm_def_free(&def);
    return text;
}

int nic_add(struct store *store, struct card_def *def, json_t **object, struct error *error)
{
    struct owner owner;
    struct error ignored;
    char title[CARD_NAME_MAX];
    const char *vm = by_name(store, def->vm, title);
    if (vm != def->vm)
        snprintf(def->vm, sizeof(def->vm), "%.*s", NAME_MAX_LEN, vm);
    int e = owner_open(store, def->vm, &owner, error);
    if (e)
        return e;
    e = nic_add_locked(store, def, object, error);
    if (!e && owner.runs && (e = hot_card_add(store, &owner.vm.def, def, error))) {
        card_title(def, title);
        (void)!remove_locked(store, title, &ignored);
        json_decref(*object);
    }
    owner_close(&owner);
    return e;
}

int nic_add_locked(struct store *store, struct card_def *def, json_t **object, struct error *error)
{
    struct networks all;
    int e = store_lock(store, error);
    if (e)
        return e;
    e = networks_read(store, &all, error);
    if (!e) {
        e = add(store, &all, def, error);
        *object = e ? NULL : card_json(store, def, NULL, error);
        if (!e && !*object)
            e = error->code;
        if (!e && (e = card_refresh(store, def->set.switch_name, def->id, true, error))) {
            undo(store, def);
            json_decref(*object);
        }
        networks_free(&all);
    }
    store_unlock(store);
    return e;
}

/* Writes the changed card, and returns the switches that are concerned. */
static int set(struct store *store, const struct networks *all, const char *name, const struct change *change,
               const char **before, const char **after, const char **id, struct error *error)
{
    const struct card_def *card = names_card(all, name, error);
    if (!card)
        return error->code;
    struct card_def changed = *card;
    changed.set.mac = NULL;
    int e = change->apply(change, &changed.set, error);
    if (!changed.set.switch_name)
        changed.set.switch_name = "";
    if (!e && changed.set.mac)
        e = read_address(&changed, error);
    if (!e)
        e = check(all, &changed, error);
    if (!e)
        e = store_card_put(store, &changed, error);
    *id = card->id;
    *before = card->set.switch_name;
    *after = changed.set.switch_name;
    return e;
}

int nic_set(struct store *store, const char *name, const struct change *change, struct error *error)
{
    struct networks all;
    const char *before = NULL, *after = NULL, *id = NULL;
    char title[CARD_NAME_MAX];
    name = by_name(store, name, title);
    int e = store_lock(store, error);
    if (e)
        return e;
    e = networks_read(store, &all, error);
    if (e) {
        store_unlock(store);
        return e;
    }
    e = set(store, &all, name, change, &before, &after, &id, error);
    store_unlock(store);
    if (!e && !name_equal(before, after))
        e = card_refresh(store, before, id, false, error);
    if (!e)
        e = card_refresh(store, after, id, false, error);
    networks_free(&all);
    return e;
}

static int remove_locked(struct store *store, const char *name, struct error *error)
{
    struct networks all;
    int e = store_lock(store, error);
    if (e)
        return e;
    e = networks_read(store, &all, error);
    if (e) {
        store_unlock(store);
        return e;
    }
    char socket[PATH_MAX];
    const struct card_def *card = names_card(&all, name, error);
    e = card ? store_card_remove(store, card->id, error) : error->code;
    store_unlock(store);
    if (!e)
        e = card_refresh(store, card->set.switch_name, card->id, false, error);
    if (!e && !store_card_socket(store, card->id, socket, sizeof(socket), error))
        unlink(socket); /* QEMU may have left it */
    networks_free(&all);
    return e;
}

/* A guest lets go of its card first. */
static int detach(struct store *store, const struct vm_def *def, const char *name, struct error *error)
{
    struct networks all;
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    const struct card_def *card = names_card(&all, name, error);
    e = card ? hot_card_remove(store, def, card, error) : error->code;
    networks_free(&all);
    return e;
}

int nic_remove(struct store *store, const char *name, struct error *error)
{
    struct owner owner;
    char title[CARD_NAME_MAX];
    name = by_name(store, name, title);
    int e = owner_open(store, name, &owner, error);
    if (e)
        return e;
    e = owner.runs ? detach(store, &owner.vm.def, name, error) : 0;
    if (!e)
        e = remove_locked(store, name, error);
    owner_close(&owner);
    return e;
}

/* Asks each switch once. */
static json_t *report_of(struct store *store, json_t *reports, const char *name)
{
    char folded[NAME_MAX_LEN + 1];
    struct error error;
    if (!*name)
        return NULL;
    name_fold(name, folded);
    json_t *report = json_object_get(reports, folded);
    if (!report) {
        int e = client_ask(store, name, "show", &report, &error);
        if (e)
            report = e == -ETIMEDOUT ? json_string(error.text) : json_null();
        (void)!json_object_set_new(reports, folded, report);
    }
    return report;
}

int nic_show(struct store *store, const char *name, json_t **object, struct error *error)
{
    struct networks all;
    char title[CARD_NAME_MAX];
    name = by_name(store, name, title);
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    const struct card_def *card = names_card(&all, name, error);
    json_t *reports = json_object();
    *object = card ? card_json(store, card, report_of(store, reports, card->set.switch_name), error) : NULL;
    json_decref(reports);
    networks_free(&all);
    return *object ? 0 : error->code;
}

int nic_list(struct store *store, const char *vm, json_t **list, struct error *error)
{
    struct networks all;
    char title[CARD_NAME_MAX];
    vm = vm ? by_name(store, vm, title) : NULL;
    int e = vm ? networks_read_some(store, &all, error) : networks_read(store, &all, error);
    if (e)
        return e;
    json_t *array = json_array(), *reports = json_object();
    if (vm && !names_vm(&all, vm, error))
        e = networks_missing(&all, error);
    for (u32 i = 0; i < all.card_count && !e; i++) {
        const struct card_def *card = &all.cards[i];
        if (vm && !name_equal(card->vm, vm))
            continue;
        json_t *object = card_json(store, card, report_of(store, reports, card->set.switch_name), error);
        if (!object)
            e = error->code;
        else if (json_array_append_new(array, object))
            e = error_memory(error);
    }
    json_decref(reports);
    networks_free(&all);
    *list = array;
    if (e)
        json_decref(array);
    return e;
}
