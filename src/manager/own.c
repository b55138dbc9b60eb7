/*
 * Addresses of a switch's own: see own.h. The host's is known while its interface is there; the switch's process
 * refuses a card that has it otherwise.
 */
#include "manager/own.h"

#include "net/ifname.h"
#include "net/nat_own.h"
#include "vswitch/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int refuse(const struct card_def *card, const char *at, const char *owner, const char *of, struct error *error)
{
    char mac[MAC_TEXT_MAX];
    mac_format(&card->mac, mac);
    error_set(error, -EEXIST, "%s is the address of %s%s at switch %s, so %s/%s cannot have it there", mac, owner, of,
              at, card->vm, card->name);
    return error_hint(error, "give the card another address with " SETTING("mac"));
}

static int refuse_of_nat(const struct nat_def *nat, const struct card_def *card, struct error *error)
{
    struct prefix prefix = {0}, prefix6 = {0};
    struct own_mac own[NAT_OWN_MAX];
    struct error ignored;
    char of[NAME_MAX_LEN + 32];
    if (nat->set.prefix && prefix_parse(nat->set.prefix, &prefix, &ignored))
        prefix = (struct prefix){0};
    if (nat->set.prefix6 && prefix_parse(nat->set.prefix6, &prefix6, &ignored))
        prefix6 = (struct prefix){0};
    snprintf(of, sizeof(of), " of the NAT network %s", nat->name);
    for (u32 i = nat_own(&prefix, &prefix6, own); i--;)
        if (memcmp(&own[i].mac, &card->mac, sizeof(card->mac)) == 0)
            return refuse(card, nat_switch(nat), own[i].owner, of, error);
    return 0;
}

int own_refuse(const struct switch_def *at, const struct nat_def *nat, const struct card_def *card, struct error *error)
{
    char interface[IFNAME_MAX];
    struct link_info info;
    if (at->set.type == SWITCH_NAT)
        return nat ? refuse_of_nat(nat, card, error) : 0;
    if (at->set.type == SWITCH_PRIVATE)
        return 0;
    ifname_make(IFNAME_INTERNAL, at->name, interface);
    const char *name = at->set.type == SWITCH_EXTERNAL ? at->set.interface : interface;
    if (link_get(name, &info) || memcmp(&info.mac, &card->mac, sizeof(card->mac)) != 0)
        return 0;
    return refuse(card, at->name, "the host's interface ", name, error);
}

int own_refuse_nat(const struct networks *all, const struct nat_def *nat, struct error *error)
{
    int e = 0;
    for (const struct card_def *card = NULL; !e && (card = networks_card_at(all, nat_switch(nat), card));)
        e = refuse_of_nat(nat, card, error);
    return e;
}
