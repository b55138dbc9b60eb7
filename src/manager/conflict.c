/*
 * Conflicts between definitions: see conflict.h. Each pair is named once, at the later one.
 */
#include "manager/conflict.h"

#include "manager/names.h"
#include "manager/nat.h"
#include "manager/own.h"
#include "manager/switch.h"
#include "manager/taken.h"
#include "net/usable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct finder {
    const struct networks *all;
    void (*found)(void *opaque, const struct conflict *conflict);
    void *opaque;
};

static void report(const struct finder *f, struct conflict *c)
{
    f->found(f->opaque, c);
}

/* -- cards -- */

static void find_cards(const struct finder *f, const struct card_def *card)
{
    const struct networks *all = f->all;
    const char *at_name = card->set.switch_name;
    const struct switch_def *at = networks_switch(all, at_name);
    struct conflict c = {at_name, card->vm, card->name, {0}};
    char title[CARD_NAME_MAX], own[CARD_NAME_MAX], mac[MAC_TEXT_MAX];
    card_title(card, own);
    mac_format(&card->mac, mac);
    for (const struct card_def *other = NULL; (other = networks_card_at(all, at_name, other)) && other < card;) {
        if (memcmp(&other->mac, &card->mac, sizeof(card->mac)) != 0)
            continue;
        card_title(other, title);
        error_set(&c.what, -EEXIST, "%s and %s have the same address at switch %s, %s: only one of them is connected",
                  title, own, at_name, mac);
        error_hint(&c.what, "give one another address, with `nestbox nic set " SETTING("mac") "`");
        report(f, &c);
    }
    if (at && own_refuse(at, networks_nat_at(all, at->name), card, &c.what))
        report(f, &c);
}

/* -- NAT networks -- */

static void find_nat_place(const struct finder *f, const struct nat_def *nat)
{
    const struct switch_def *at = networks_switch(f->all, nat_switch(nat));
    const struct nat_def *served = networks_nat_at(f->all, nat_switch(nat));
    struct conflict c = {.at = nat_switch(nat)};
    char hint[sizeof(c.what.hint)], word[NAME_WORD_MAX];
    snprintf(hint, sizeof(hint), "`nestbox nat delete %s`, then create it again", name_word(nat->name, word));
    if (!at && f->all->damage.count)
        return; /* it may be in a damaged file */
    if (!at)
        error_set(&c.what, -ENOENT, "the NAT network %s is at switch %s, which does not exist", nat->name, c.at);
    else if (at->set.type != SWITCH_NAT)
        error_set(&c.what, -EINVAL, "the NAT network %s is at switch %s, which is not of type nat, so it serves nobody",
                  nat->name, at->name);
    else if (served != nat)
        error_set(&c.what, -EEXIST, "the NAT networks %s and %s are both at switch %s: only %s serves there",
                  served->name, nat->name, at->name, served->name);
    else
        return;
    error_hint(&c.what, hint);
    report(f, &c);
}

/* Overlaps with those before it, with internal switches, and with the host's interfaces. */
static void find_nat_overlap(const struct finder *f, const struct nat_def *nat)
{
    struct networks before = *f->all;
    const char *const text[] = {nat->set.prefix, nat->set.prefix6};
    struct conflict c = {.at = nat_switch(nat)};
    struct taken taken = {0};
    before.nat_count = (u32)(nat - f->all->nats);
    int e = taken_find(&before, NULL, NULL, &taken, &c.what);
    for (u32 i = 0; i < ARRAY_LEN(text) && !e; i++) {
        struct network own;
        if (!text[i] || !*text[i] || prefix_parse(text[i], &own.prefix, &c.what))
            continue;
        snprintf(own.owner, sizeof(own.owner), "the NAT network %s", nat->name);
        if (!network_refuse_overlap(&own, taken.list, taken.count, &c.what))
            continue;
        error_hint(&c.what, "give one of them another prefix, with `nestbox nat set " SETTING("prefix") "`");
        report(f, &c);
    }
    free(taken.list);
}

static void find_mappings(const struct finder *f, const struct nat_def *nat)
{
    struct conflict c = {.at = nat_switch(nat)};
    for (u32 i = 0; i < nat->mappings; i++)
        if (nat_check_mapping(f->all, nat, i, &c.what)) {
            error_hint(&c.what, "end one of them, with `nestbox nat unmap`");
            report(f, &c);
        }
}

/* -- switches -- */

static void find_switch(const struct finder *f, const struct networks *before, const struct switch_def *def)
{
    struct conflict c = {.at = def->name};
    if (def->set.type == SWITCH_NAT && !networks_nat_at(f->all, def->name) && !f->all->damage.count) {
        error_set(&c.what, -ENOENT, "switch %s is of type nat and has no NAT network", def->name);
        error_hint(&c.what, "`nestbox nat create` with " SETTING("switch") ", or `nestbox switch delete`");
        report(f, &c);
    }
    if (switch_check_outside(before, def, &c.what))
        report(f, &c);
}

/* Each is compared with those before it, so those behind it are there with nothing that could be in its way. */
static void find_switches(const struct finder *f)
{
    u32 count = f->all->switch_count;
    struct switch_def *list = calloc(count + 1, sizeof(*list));
    const struct networks before = {.switches = list, .switch_count = count};
    for (u32 i = 0; list && i < count; i++) {
        list[i] = f->all->switches[i];
        list[i].set.address = NULL;
        list[i].set.interface = "";
    }
    for (u32 i = 0; list && i < count; i++) {
        find_switch(f, &before, &f->all->switches[i]);
        list[i] = f->all->switches[i];
    }
    free(list);
}

void conflicts_find(const struct networks *all, void (*found)(void *opaque, const struct conflict *conflict),
                    void *opaque)
{
    const struct finder f = {all, found, opaque};
    find_switches(&f);
    for (u32 i = 0; i < all->nat_count; i++) {
        find_nat_place(&f, &all->nats[i]);
        find_nat_overlap(&f, &all->nats[i]);
        find_mappings(&f, &all->nats[i]);
    }
    for (u32 i = 0; i < all->card_count; i++)
        find_cards(&f, &all->cards[i]);
}
