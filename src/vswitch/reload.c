/*
 * From what is in force to what is defined: ports of cards come, go and change, as do those to NAT and to the host.
 * Called on the switch's thread, when it starts and at each "reload".
 */
#include "vswitch/process.h"

#include "store/network_json.h"

#include <stdlib.h>
#include <string.h>

/* What went wrong: the first of all, and the first of what the caller asks about. */
struct outcome {
    const char *about;
    json_t *others;
    struct error first, own;
};

/* `whose`: as in process_take. */
static void note(struct outcome *outcome, const char *whose, const struct error *error)
{
    if (!outcome->first.code)
        outcome->first = *error;
    if (outcome->about && strcmp(outcome->about, whose) != 0)
        (void)!json_array_append_new(outcome->others, control_error_json(error));
    else if (!outcome->own.code)
        outcome->own = *error;
}

/* -- cards -- */

static int add_card(struct process *p, const struct card_def *card, struct error *error)
{
    struct port *port = calloc(1, sizeof(*port));
    if (!port)
        return error_memory(error);
    snprintf(port->id, sizeof(port->id), "%s", card->id);
    snprintf(port->vm, sizeof(port->vm), "%s", card->vm);
    snprintf(port->name, sizeof(port->name), "%s", card->name);
    port->mac = card->mac;
    port->set = card->set;
    const struct card_def *before = p->defined.own ? definitions_card_by_id(&p->defined, card->id) : NULL;
    if (before && memcmp(&before->mac, &card->mac, sizeof(card->mac)) != 0)
        port->former = before->mac;
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

static void reload_cards(struct process *p, const struct definitions *wanted, struct outcome *outcome)
{
    char whose[sizeof("card ") + ID_TEXT_MAX];
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
        else if (add_card(p, card, &error)) {
            snprintf(whose, sizeof(whose), "card %s", card->id);
            note(outcome, whose, &error);
        }
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

/* The back end says what is wrong with the first mapping, or with the network as a whole. */
static void note_nat(struct process *p, struct outcome *outcome, const struct error *error)
{
    struct nat_mapping mapping;
    struct error why;
    bool whole = true;
    for (u32 i = 0; p->nat && uplink_mapping(p->nat, i, &mapping, &why); i++) {
        char whose[sizeof(mapping.external) + 16];
        if (!why.code)
            continue;
        snprintf(whose, sizeof(whose), "mapping %s %s", mapping.udp ? "udp" : "tcp", mapping.external);
        note(outcome, whose, &why);
        whole &= strcmp(why.text, error->text) != 0;
    }
    if (whole)
        note(outcome, outcome->about && strncmp(outcome->about, "mapping ", 8) == 0 ? outcome->about : "nat", error);
}

static void reload_nat(struct process *p, const struct definitions *wanted, struct outcome *outcome)
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
        note_nat(p, outcome, &error);
}

static bool same_host_port(const struct switch_settings *a, const struct switch_settings *b)
{
    struct switch_settings x = *a, y = *b;
    x.keep = y.keep = false;
    x.notes = y.notes = NULL;
    return same_settings(switch_settings_table, &x, &y);
}

static void reload_host(struct process *p, const struct definitions *wanted, struct outcome *outcome)
{
    const struct uplink_dirs dirs = {p->state, p->run, store_run(p->store)};
    struct error error;
    if (p->host && !same_host_port(&p->defined.own->set, &wanted->own->set)) {
        uplink_remove(p->host);
        p->host = NULL;
    }
    if (!p->host && uplink_switch_add(p->sw, wanted->own, &dirs, &p->host, &error))
        note(outcome, "host", &error);
}

int process_take(struct process *p, struct definitions *wanted, const char *about, json_t *others, struct error *error)
{
    struct outcome outcome = {about, others};
    reload_host(p, wanted, &outcome);
    reload_nat(p, wanted, &outcome);
    reload_cards(p, wanted, &outcome);
    definitions_free(&p->defined);
    p->defined = *wanted;
    p->problem = outcome.first;
    if (outcome.own.code)
        *error = outcome.own;
    return outcome.own.code;
}
