/*
 * From what is in force to what is defined: ports of cards come, go and change, as do those to NAT and to the host.
 * Called on the switch's thread, when it starts and at each "reload".
 */
#include "vswitch/process.h"

#include "store/network_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Keeps the first error. */
static void note(struct error *first, const struct error *error)
{
    if (!first->code)
        *first = *error;
}

/* -- cards -- */

static int add_card(struct process *p, const struct card_def *card, struct error *error)
{
    struct port *port = calloc(1, sizeof(*port));
    if (!port)
        return error_set(error, -ENOMEM, "out of memory");
    snprintf(port->id, sizeof(port->id), "%s", card->id);
    snprintf(port->vm, sizeof(port->vm), "%s", card->vm);
    snprintf(port->name, sizeof(port->name), "%s", card->name);
    port->mac = card->mac;
    port->set = card->set;
    int e = card_add(p->dialer, port, card->id, error);
    if (e)
        free(port);
    return e;
}

/* The port itself would be another one: other settings only change it. */
static bool same_card(const struct port *port, const struct card_def *card)
{
    return card && strcmp(port->vm, card->vm) == 0 && strcmp(port->name, card->name) == 0 &&
           memcmp(&port->mac, &card->mac, sizeof(port->mac)) == 0;
}

static void reload_cards(struct process *p, const struct definitions *wanted, struct error *first)
{
    struct error error;
    for (struct port *port = NULL, *next = vswitch_port_next(p->sw, NULL); (port = next);) {
        next = vswitch_port_next(p->sw, port);
        if (port->kind == PORT_CARD && !same_card(port, definitions_card_by_id(wanted, port->id)))
            vswitch_port_remove(p->sw, port);
    }
    for (const struct card_def *card = NULL; (card = definitions_card(wanted, card));) {
        struct port *port = vswitch_port_find(p->sw, card->id);
        if (port)
            vswitch_port_set(p->sw, port, &card->set);
        else if (add_card(p, card, &error))
            note(first, &error);
    }
}

/* -- ports to NAT and to the host -- */

static bool same_settings(const struct setting *table, const void *a, const void *b)
{
    json_t *x = setting_json(table, a), *y = setting_json(table, b);
    bool same = x && y && json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

static bool same_nat(const struct nat_def *a, const struct nat_def *b)
{
    json_t *x = nat_mappings_json(a), *y = nat_mappings_json(b);
    bool same = x && y && json_equal(x, y) && same_settings(nat_settings_table, &a->set, &b->set);
    json_decref(x);
    json_decref(y);
    return same;
}

static void reload_nat(struct process *p, const struct definitions *wanted, struct error *first)
{
    const struct uplink_dirs dirs = {p->state, p->run, store_run(p->store)};
    const struct nat_def *before = p->defined.nat, *after = wanted->nat;
    struct error error;
    int e = 0;
    if (p->nat && (!after || !before || !name_equal(before->name, after->name))) {
        uplink_remove(p->nat);
        p->nat = NULL;
    }
    if (after && !p->nat)
        e = uplink_nat_add(p->sw, after, &dirs, &p->nat, &error);
    else if (after && (!same_nat(before, after) || !uplink_port(p->nat)))
        e = uplink_nat_set(p->nat, after, &error);
    if (e)
        note(first, &error);
}

static bool same_host_port(const struct switch_settings *a, const struct switch_settings *b)
{
    struct switch_settings x = *a, y = *b;
    x.keep = y.keep = false;
    x.notes = y.notes = NULL;
    return same_settings(switch_settings_table, &x, &y);
}

static void reload_host(struct process *p, const struct definitions *wanted, struct error *first)
{
    const struct uplink_dirs dirs = {p->state, p->run, store_run(p->store)};
    struct error error;
    if (p->host && !same_host_port(&p->defined.own->set, &wanted->own->set)) {
        uplink_remove(p->host);
        p->host = NULL;
    }
    if (!p->host && uplink_switch_add(p->sw, wanted->own, &dirs, &p->host, &error))
        note(first, &error);
}

int process_reload(struct process *p, struct error *error)
{
    struct definitions wanted;
    struct error first = {0};
    const char *name = p->defined.own ? p->defined.own->name : vswitch_name(p->sw);
    int e = definitions_read(p->store, name, &wanted, error);
    p->deleted = e == -ENOENT;
    if (e)
        return e;
    reload_host(p, &wanted, &first);
    reload_nat(p, &wanted, &first);
    reload_cards(p, &wanted, &first);
    definitions_free(&p->defined);
    p->defined = wanted;
    p->problem = first;
    if (first.code)
        *error = first;
    return first.code;
}
