/*
 * What is defined of one switch: itself, its NAT network, its cards.
 */
#ifndef VSWITCH_DEFINITIONS_H
#define VSWITCH_DEFINITIONS_H

#include "store/networks.h"

struct definitions {
    const struct switch_def *own;
    const struct nat_def *nat; /* NULL: none */
    struct networks all;       /* among which these are */
};

/* Returns 0; -ENOENT if there is no such switch; or another error. After an error there is nothing to release. */
/* `starts`: then damaged files of others are no obstacle; what runs keeps what it has instead. */
int MUST_CHECK definitions_read(struct store *store, const char *name, bool starts, struct definitions *to,
                                struct error *error);
void definitions_free(struct definitions *d);
/* The next card of the switch behind `after`; NULL: the first. */
const struct card_def *definitions_card(const struct definitions *d, const struct card_def *after);
const struct card_def *definitions_card_by_id(const struct definitions *d, const char *id);

#endif
