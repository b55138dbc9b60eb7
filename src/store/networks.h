/*
 * All that is defined of networks, in memory, and what is found there by name.
 */
#ifndef STORE_NETWORKS_H
#define STORE_NETWORKS_H

#include "store/network.h"

struct networks {
    struct switch_def *switches;
    struct nat_def *nats;
    struct card_def *cards;
    u32 switch_count, nat_count, card_count;
    struct damage damage; /* of networks_read_some */
};

/* Returns 0 or an error, after which there is nothing to release. */
int MUST_CHECK networks_read(struct store *store, struct networks *to, struct error *error);
/* The same without the files that are damaged: for whoever only reads, and may not need them. */
int MUST_CHECK networks_read_some(struct store *store, struct networks *to, struct error *error);
/* Something was not found: if that may be for want of a damaged file, the error is that of the file. Returns it. */
int networks_missing(const struct networks *networks, struct error *error);
/* A switch of type NAT without its network, which may be in a damaged file. Returns 0 or an error. */
int MUST_CHECK networks_whole(const struct networks *networks, const struct switch_def *def, struct error *error);
void networks_free(struct networks *networks);

/* Each returns NULL if there is none. */
struct switch_def *networks_switch(const struct networks *networks, const char *name);
struct nat_def *networks_nat(const struct networks *networks, const char *name);
struct card_def *networks_card(const struct networks *networks, const char *vm, const char *name);
struct nat_def *networks_nat_at(const struct networks *networks, const char *switch_name);
/* The next card at a switch behind `after`; NULL: the first. */
struct card_def *networks_card_at(const struct networks *networks, const char *switch_name,
                                  const struct card_def *after);
/* The switch that a NAT network is at: one of its own name, if it names none. */
const char *nat_switch(const struct nat_def *nat);

#endif
