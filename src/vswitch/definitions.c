/*
 * Reads what is defined and finds what belongs to one switch.
 */
#include "vswitch/definitions.h"

#include <errno.h>
#include <string.h>

int definitions_read(struct store *store, const char *name, bool starts, struct definitions *to, struct error *error)
{
    struct definitions d = {0};
    int e = starts ? networks_read_some(store, &d.all, error) : networks_read(store, &d.all, error);
    if (e)
        return e;
    d.own = networks_switch(&d.all, name);
    if (!d.own) {
        error_set(error, -ENOENT, "there is no switch %s", name);
        e = networks_missing(&d.all, error);
    } else {
        e = networks_whole(&d.all, d.own, error);
    }
    if (e) {
        networks_free(&d.all);
        return e;
    }
    d.nat = d.own->set.type == SWITCH_NAT ? networks_nat_at(&d.all, name) : NULL;
    *to = d;
    return 0;
}

void definitions_free(struct definitions *d)
{
    networks_free(&d->all);
    *d = (struct definitions){0};
}

const struct card_def *definitions_card(const struct definitions *d, const struct card_def *after)
{
    return networks_card_at(&d->all, d->own->name, after);
}

const struct card_def *definitions_card_by_id(const struct definitions *d, const char *id)
{
    for (const struct card_def *c = NULL; (c = definitions_card(d, c));)
        if (strcmp(c->id, id) == 0)
            return c;
    return NULL;
}
