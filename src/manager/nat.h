/*
 * Operations on NAT networks.
 */
#ifndef MANAGER_NAT_H
#define MANAGER_NAT_H

#include "manager/change.h"
#include "net/prefix.h"
#include "store/networks.h"

#include <jansson.h>

/* Where a completed definition has its prefixes. */
struct nat_texts {
    char prefix[PREFIX_TEXT_MAX], prefix6[PREFIX_TEXT_MAX];
};

/* Gives a new network a prefix if it has none, and refuses one that overlaps another. Its name is not looked for. */
int MUST_CHECK nat_complete(const struct networks *all, struct nat_def *nat, struct nat_texts *texts,
                            struct error *error);

/* Refuses a back end that cannot be had: the kernel's, without rights or programs. */
int MUST_CHECK nat_check_backend(const struct nat_settings *set, struct error *error);
/* Is the n-th mapping in the way of another one before it, or does it lead nowhere? An error that says so, or 0. */
int nat_check_mapping(const struct networks *all, const struct nat_def *nat, u32 n, struct error *error);

/* Creates the switch, too, if none is named. */
int MUST_CHECK nat_create(struct store *store, struct nat_def *nat, struct error *error);
int MUST_CHECK nat_set(struct store *store, const char *name, const struct change *change, struct error *error);
/* The switch that was created with it goes, too; with `force` also if cards are at it. */
int MUST_CHECK nat_delete(struct store *store, const char *name, bool force, struct error *error);
/* An array of objects as nat_show has them, but for what only the process knows. */
int MUST_CHECK nat_list(struct store *store, json_t **list, struct error *error);
/* "name", "switch", "settings", "mappings", "running", and "state", which is null where the switch does not run. */
int MUST_CHECK nat_show(struct store *store, const char *name, json_t **object, struct error *error);

/* `external`: "PORT" or "ADDRESS:PORT". Returns what was mapped in `mapping`. */
int MUST_CHECK nat_map(struct store *store, const char *name, bool udp, const char *external, const char *internal,
                       struct nat_mapping *mapping, struct error *error);
int MUST_CHECK nat_unmap(struct store *store, const char *name, bool udp, const char *external, struct error *error);

/* Ends the lease of an address or of a client (an Ethernet address), whose VM gets another one when it asks. */
int MUST_CHECK nat_release_lease(struct store *store, const char *name, const char *lease, struct error *error);

#endif
