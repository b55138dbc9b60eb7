/*
 * Virtual switches: created, changed, deleted, listed, shown, started.
 */
#include "manager/switch.h"

#include "manager/client.h"
#include "manager/names.h"
#include "manager/nat.h"
#include "manager/taken.h"
#include "net/ifname.h"
#include "net/usable.h"
#include "process/control.h"
#include "store/network_json.h"
#include "vswitch/link.h"
#include "vswitch/uplink.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool switch_wanted(const struct networks *networks, const struct switch_def *def)
{
    return switch_stays(&def->set) || networks_card_at(networks, def->name, NULL);
}

int switch_try(struct store *store, const char *name, const char *about, struct error *error)
{
    struct networks all;
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    const struct switch_def *def = networks_switch(&all, name);
    e = def ? client_refresh(store, def->name, switch_wanted(&all, def), about, error) : 0;
    networks_free(&all);
    return e;
}

/* Says of an error whose it is, and whether what is defined has changed nevertheless. */
static int explain(const char *name, bool changed, struct error *error)
{
    struct error why = *error;
    bool named = strncmp(why.text, "switch ", 7) == 0;
    error_set(error, why.code, "%s%s%.64s%s%.200s", changed ? "what is defined has changed, but " : "",
              named ? "" : "switch ", named ? "" : name, named ? "" : ": ", why.text);
    return error_hint(error, why.hint);
}

int switch_refresh(struct store *store, const char *name, const char *about, struct error *error)
{
    int e = switch_try(store, name, about, error);
    return e ? explain(name, true, error) : 0;
}

int switch_accept(struct store *store, const char *name, const char *about, const struct definition_before *before,
                  struct error *error)
{
    struct error other;
    int e = switch_try(store, name, about, error);
    if (!e)
        return 0;
    if (e == -ETIMEDOUT) /* it may still take it */
        return explain(name, true, error);
    int back = before->nat ? store_nat_put(store, before->nat, &other) : store_switch_put(store, before->sw, &other);
    if (!back)
        (void)!switch_try(store, name, NULL, &other);
    return explain(name, back, error);
}

/* -- create, set, delete -- */

/* The host's address on an internal switch must be one that a host can have, in a network that nothing else has. */
static int check_address(const struct networks *all, const struct switch_def *def, struct error *error)
{
    struct network wanted;
    struct taken taken = {0};
    struct ip ip;
    if (def->set.type != SWITCH_INTERNAL || !def->set.address || !*def->set.address)
        return 0;
    int e = usable_address("address", def->set.address, &ip, &wanted.prefix, error);
    if (e || ip_is_link_local6(&ip))
        return e;
    snprintf(wanted.owner, sizeof(wanted.owner), "the internal switch %s", def->name);
    e = taken_find(all, def->name, NULL, &taken, error);
    if (!e)
        e = network_refuse_overlap(&wanted, taken.list, taken.count, error);
    free(taken.list);
    return e;
}

/* An interface need not be there, but it must be one that can be. */
static int check_interface(const char *name, struct error *error)
{
    if (strlen(name) >= IFNAME_MAX || strchr(name, '/') || strchr(name, ' '))
        return error_set(error, -EINVAL,
                         SETTING("interface") ": '%.40s' is no name of an interface: it has 1 to %d "
                                              "characters, no slash and no space",
                         name, IFNAME_MAX - 1);
    for (enum ifname_kind kind = IFNAME_NAT; kind <= IFNAME_BRIDGE; kind++)
        if (ifname_is(kind, name)) {
            error_set(error, -EINVAL, SETTING("interface") ": %s is an interface that a switch made, and goes with it",
                      name);
            return error_hint(error, "connect the cards to that switch, or name an interface of the host's own");
        }
    if (strcmp(name, "lo") != 0)
        return 0;
    error_set(error, -EINVAL, SETTING("interface") ": lo is the host's loopback, which leads to no network");
    return error_hint(error, "to reach the host from VMs, create a switch of type internal");
}

/* Another external switch that has the interface; a bridge of the host's may be several switches'. */
static const struct switch_def *shares_interface(const struct networks *all, const struct switch_def *def)
{
    struct link_info info;
    bool bridge = !link_get(def->set.interface, &info) && info.is_bridge;
    for (u32 i = 0; i < all->switch_count && !bridge; i++) {
        const struct switch_def *other = &all->switches[i];
        if (other->set.type == SWITCH_EXTERNAL && !name_equal(other->name, def->name) &&
            strcmp(other->set.interface, def->set.interface) == 0)
            return other;
    }
    return NULL;
}

/* The host's address on an internal switch is its own, and the interface of an external one, too. */
int switch_check_outside(const struct networks *all, const struct switch_def *def, struct error *error)
{
    if (def->set.type != SWITCH_EXTERNAL)
        return check_address(all, def, error);
    const struct switch_def *other = shares_interface(all, def);
    if (!other)
        return 0;
    error_set(error, -EBUSY, "the external switch %s has the interface %s already", other->name, def->set.interface);
    return error_hint(error, "connect the cards to that switch: it can have all of them");
}

/* What is not even written: what no host can make work. */
static int check_settings(const struct switch_settings *set, struct error *error)
{
    int e = switch_settings_check(set, error);
    if (!e && set->type == SWITCH_EXTERNAL)
        e = check_interface(set->interface, error);
    json_t *notes = !e && set->notes ? json_string(set->notes) : NULL;
    if (!e && set->notes && !notes)
        e = error_set(error, -EINVAL, SETTING("notes") ": the text is not UTF-8");
    json_decref(notes);
    return e;
}

static int check_new(const struct store *store, const struct networks *all, const struct switch_def *def,
                     struct error *error)
{
    char socket[PATH_MAX];
    const struct switch_def *same = networks_switch(all, def->name);
    int e = name_check("a switch", def->name, error);
    if (!e && same)
        e = error_set(error, -EEXIST, "there is already a switch %s", same->name);
    if (!e)
        e = store_switch_socket(store, def->name, socket, sizeof(socket), error);
    if (!e)
        e = check_settings(&def->set, error);
    return e ? e : switch_check_outside(all, def, error);
}

static int create(struct store *store, const struct switch_def *def, struct nat_def *nat, struct error *error)
{
    struct networks all;
    struct nat_texts texts;
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    e = check_new(store, &all, def, error);
    if (!e && def->set.type == SWITCH_NAT && networks_nat(&all, nat->name))
        e = error_set(error, -EEXIST, "there is already a NAT network %s", nat->name);
    if (!e && def->set.type == SWITCH_NAT)
        e = nat_check_backend(&nat->set, error);
    if (!e && def->set.type == SWITCH_NAT)
        e = nat_complete(&all, nat, &texts, error);
    networks_free(&all);
    if (e)
        return e;
    store_begin(store);
    e = store_switch_put(store, def, error);
    if (!e && def->set.type == SWITCH_NAT)
        e = store_nat_put(store, nat, error);
    return e ? e : store_commit(store, error);
}

/* The definition of a switch that cannot be goes again. */
static void undo(struct store *store, const struct switch_def *def, const struct nat_def *nat)
{
    struct error ignored;
    (void)!client_stop(store, def->name, &ignored);
    store_begin(store);
    int e = 0;
    if (def->set.type == SWITCH_NAT)
        e = store_nat_remove(store, nat->name, &ignored);
    if (!e)
        e = store_switch_remove(store, def->name, &ignored);
    if (!e && !store_commit(store, &ignored))
        store_switch_forget(store, def->name);
}

int switch_create(struct store *store, const struct switch_def *def, struct nat_def *nat, struct error *error)
{
    int e = store_lock(store, error);
    if (e)
        return e;
    e = create(store, def, nat, error);
    if (!e) {
        e = client_refresh(store, def->name, switch_stays(&def->set), NULL, error);
        if (e)
            undo(store, def, nat);
    }
    store_unlock(store);
    return e;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static int set(struct store *store, const char *name, const struct change *change, struct error *error)
{
    struct networks all;
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    struct switch_def *def = names_switch(&all, name, error);
    struct switch_def changed;
    if (def) {
        changed = *def;
        e = change->apply(change, &changed.set, error);
    } else {
        e = error->code;
    }
    if (!e && (changed.set.type == SWITCH_NAT) != (def->set.type == SWITCH_NAT)) {
        error_set(error, -EINVAL, "switch %s cannot change to or from type nat", def->name);
        e = error_hint(error, "delete it, or create another");
    }
    if (!e)
        e = check_settings(&changed.set, error);
    if (!e && (changed.set.type != def->set.type || !same_text(changed.set.address, def->set.address) ||
               !same_text(changed.set.interface, def->set.interface)))
        e = switch_check_outside(&all, &changed, error);
    if (!e)
        e = store_switch_put(store, &changed, error);
    networks_free(&all);
    return e;
}

int switch_set(struct store *store, const char *name, const struct change *change, struct error *error)
{
    struct networks before;
    int e = store_lock(store, error);
    if (e)
        return e;
    e = networks_read(store, &before, error);
    if (!e) {
        e = set(store, name, change, error);
        if (!e)
            e = switch_accept(store, name, "host", &(struct definition_before){.sw = networks_switch(&before, name)},
                              error);
        networks_free(&before);
    }
    store_unlock(store);
    return e;
}

/* Names the cards at a switch that is to go. */
static int refuse_cards(const struct networks *all, const char *name, struct error *error)
{
    char list[200] = "", title[CARD_NAME_MAX];
    size_t used = 0;
    unsigned count = 0;
    for (const struct card_def *card = NULL; (card = networks_card_at(all, name, card)); count++) {
        card_title(card, title);
        if (used + strlen(title) + 8 < sizeof(list))
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", title);
        else if (strcmp(list + used - 3, "...") != 0)
            used += (size_t)snprintf(list + used, sizeof(list) - used, ", ...");
    }
    if (!count)
        return 0;
    error_set(error, -EBUSY, "switch %s has %s: %s", name, count == 1 ? "a card" : "cards", list);
    return error_hint(error, "remove or move them, or use " SETTING("force") ": then they stay without a switch");
}

/* What a switch that was killed left on the host. */
static int restore(struct store *store, const char *name, struct error *error)
{
    char state[PATH_MAX], run[PATH_MAX];
    const struct uplink_dirs dirs = {state, run, store_run(store)};
    int e = store_switch_folders(store, name, state, run, sizeof(run), error);
    return e ? e : uplink_restore(name, &dirs, error);
}

/* The process ends first: whatever ends this command, nothing runs that is not defined. */
static int erase(struct store *store, const char *name, bool force, struct error *error)
{
    struct networks all;
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    const struct switch_def *def = names_switch(&all, name, error);
    const struct nat_def *nat = def ? networks_nat_at(&all, def->name) : NULL;
    e = def ? 0 : error->code;
    if (!e && !force)
        e = refuse_cards(&all, def->name, error);
    if (!e)
        e = client_stop(store, def->name, error);
    if (!e)
        e = restore(store, def->name, error);
    store_begin(store);
    if (!e && nat)
        e = store_nat_remove(store, nat->name, error);
    if (!e)
        e = store_switch_remove(store, def->name, error);
    if (!e)
        e = store_commit(store, error);
    networks_free(&all);
    return e;
}

int switch_delete(struct store *store, const char *name, bool force, struct error *error)
{
    int e = store_lock(store, error);
    if (e)
        return e;
    e = erase(store, name, force, error);
    if (!e)
        e = client_stop(store, name, error); /* if somebody started it meanwhile */
    if (!e)
        store_switch_forget(store, name);
    store_unlock(store);
    return e;
}

/* -- list and show -- */

static bool runs(const struct store *store, const char *name)
{
    struct error error;
    int fd = client_connect(store, name, &error);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static json_t *one_json(const struct store *store, const struct networks *all, const struct switch_def *def)
{
    const struct nat_def *nat = def->set.type == SWITCH_NAT ? networks_nat_at(all, def->name) : NULL;
    u32 cards = 0;
    for (const struct card_def *card = NULL; (card = networks_card_at(all, def->name, card));)
        cards++;
    return json_pack("{s:s, s:o, s:b, s:i, s:s?}", "name", def->name, "settings",
                     setting_json(switch_settings_table, &def->set), "running", runs(store, def->name), "cards",
                     (int)cards, "nat", nat ? nat->name : NULL);
}

int switch_list(struct store *store, json_t **list, struct error *error)
{
    struct networks all;
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    json_t *array = json_array();
    for (u32 i = 0; i < all.switch_count && !e; i++)
        if (json_array_append_new(array, one_json(store, &all, &all.switches[i])))
            e = error_memory(error);
    networks_free(&all);
    *list = array;
    if (e)
        json_decref(array);
    return e;
}

/* Of a switch without a process: its ports with their settings, no counters, and what follows from that. */
static json_t *defined_json(const struct networks *all, const struct switch_def *def)
{
    json_t *ports = json_array(), *problems = json_array();
    if (switch_wanted(all, def)) {
        struct error stopped;
        char hint[sizeof(stopped.hint)], word[NAME_WORD_MAX];
        error_set(&stopped, -ENOTCONN, "it does not run, so its cards reach nothing");
        snprintf(hint, sizeof(hint), "nestbox switch start %s", name_word(def->name, word));
        error_hint(&stopped, hint);
        (void)!json_array_append_new(problems, control_error_json(&stopped));
    }
    for (const struct card_def *card = NULL; (card = networks_card_at(all, def->name, card));) {
        json_t *settings = card_settings_json(card);
        (void)!json_array_append_new(ports,
                                     json_pack("{s:s, s:s, s:s, s:s, s:O, s:o, s:b}", "id", card->id, "kind", "card",
                                               "vm", card->vm, "name", card->name, "mac",
                                               json_object_get(settings, "mac"), "settings", settings, "linked", 0));
    }
    return json_pack("{s:b, s:{s:s, s:o, s:n}, s:n, s:n, s:o, s:o, s:[]}", "running", 0, "switch", "name", def->name,
                     "settings", setting_json(switch_settings_table, &def->set), "pid", "uplink", "nat", "ports", ports,
                     "problems", problems, "notes");
}

int switch_show(struct store *store, const char *name, json_t **object, struct error *error)
{
    struct networks all;
    int e = networks_read_some(store, &all, error);
    if (e)
        return e;
    const struct switch_def *def = names_switch(&all, name, error);
    e = def ? networks_whole(&all, def, error) : networks_missing(&all, error);
    if (!e) {
        *object = NULL;
        e = client_ask(store, def->name, "show", object, error);
        if (!e) {
            json_object_del(*object, "ok");
            json_object_set_new(*object, "running", json_true());
        } else if (e == -ENOTCONN) {
            *object = defined_json(&all, def);
            e = *object ? 0 : error_memory(error);
        }
    }
    networks_free(&all);
    return e;
}

/* -- the process -- */

int switch_start(struct store *store, const char *name, struct error *error)
{
    struct networks all;
    int e = networks_read_some(store, &all, error);
    if (e)
        return e;
    const struct switch_def *def = names_switch(&all, name, error);
    e = def ? networks_whole(&all, def, error) : networks_missing(&all, error);
    if (!e && !switch_wanted(&all, def)) {
        error_set(error, -EINVAL, "switch %s has no cards and is not kept: it would end at once", def->name);
        e = error_hint(error, "it starts with its first card; " SETTING("keep") " has it run without");
    }
    if (!e) /* one that runs takes what is defined; what is wrong with that is a note */
        e = client_refresh(store, def->name, true, "start", error);
    networks_free(&all);
    return e;
}

static bool has_process(const struct store *store, const char *name)
{
    struct error ignored;
    return !name_check("a switch", name, &ignored) && client_process(store, name) > 0;
}

int switch_stop(struct store *store, const char *name, struct error *error)
{
    struct networks all;
    int e = networks_read_some(store, &all, error);
    if (e)
        return e;
    const struct switch_def *def = names_switch(&all, name, error);
    if (def || has_process(store, name)) /* also if its definition is damaged, or was removed */
        e = client_stop(store, def ? def->name : name, error);
    else
        e = networks_missing(&all, error);
    networks_free(&all);
    return e;
}

/* Finds the port of a card at a switch. */
static const struct card_def *card_there(const struct networks *all, const struct switch_def *def, const char *name,
                                         struct error *error)
{
    const struct card_def *card = names_card(all, name, error);
    if (!card || name_equal(card->set.switch_name, def->name))
        return card;
    error_set(error, -EINVAL, "card %s/%s is at %s%s, not at %s", card->vm, card->name,
              *card->set.switch_name ? "switch " : "no switch", card->set.switch_name, def->name);
    return NULL;
}

int switch_capture(struct store *store, const char *name, const char *port, bool drops, struct error *error)
{
    struct networks all;
    int e = networks_read_some(store, &all, error), fd = -1;
    if (e)
        return e;
    const struct switch_def *def = names_switch(&all, name, error);
    bool is_card = port && strcmp(port, "host") != 0 && strcmp(port, "outside") != 0 && strcmp(port, "nat") != 0;
    const struct card_def *card = def && is_card ? card_there(&all, def, port, error) : NULL;
    e = !def || (is_card && !card) ? error->code : 0;
    if (!e && switch_wanted(&all, def))
        e = client_start(store, def->name, error);
    if (!e)
        fd = e = client_connect(store, def->name, error);
    if (fd >= 0) {
        json_t *answer = NULL, *request = json_pack("{s:s, s:s?, s:b}", "do", "capture", "port", card ? card->id : port,
                                                    "drops", drops);
        e = request ? client_ask_at(fd, def->name, request, &answer, error) : error_memory(error);
        json_decref(request);
        json_decref(answer);
        if (e)
            close(fd);
    }
    networks_free(&all);
    return e < 0 ? e : fd;
}
