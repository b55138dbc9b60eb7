/*
 * Operations on virtual switches. Each takes the store's lock as long as it has to, and has the process of the switch
 * take what changed; an error of that comes after the definition was written, and says so.
 */
#ifndef MANAGER_SWITCH_H
#define MANAGER_SWITCH_H

#include "manager/change.h"
#include "store/networks.h"

#include <jansson.h>

/* `nat`: of a switch of type NAT, the settings of its network; it is completed with a prefix. */
/* Refuses what another network of those has: the interface of an external switch, the address of an internal one. */
int MUST_CHECK switch_check_outside(const struct networks *all, const struct switch_def *def, struct error *error);
int MUST_CHECK switch_create(struct store *store, const struct switch_def *def, struct nat_def *nat,
                             struct error *error);
int MUST_CHECK switch_set(struct store *store, const char *name, const struct change *change, struct error *error);
/* With `force` also if cards are at the switch; they stay, without one. */
int MUST_CHECK switch_delete(struct store *store, const char *name, bool force, struct error *error);
/* An array of objects: "name", "settings", "running", "cards", "nat". */
int MUST_CHECK switch_list(struct store *store, json_t **list, struct error *error);
/* What docs/network.md has for "show". A switch that should run and does not is started; if that fails, or it need not
 * run, the answer is what is defined. */
int MUST_CHECK switch_show(struct store *store, const char *name, json_t **object, struct error *error);
int MUST_CHECK switch_start(struct store *store, const char *name, struct error *error);
int MUST_CHECK switch_stop(struct store *store, const char *name, struct error *error);
/* Returns a connection from which pcapng comes until it is closed. `port`: "host",
 * "outside", "nat", "VM/CARD", "VM", or NULL for all ports. */
int MUST_CHECK switch_capture(struct store *store, const char *name, const char *port, bool drops, struct error *error);

/* Has the process of a switch take what changed, and starts it if it should run. `about`: as for client_refresh. */
int MUST_CHECK switch_refresh(struct store *store, const char *name, const char *about, struct error *error);
/* The same, of a setting that changed: if the process refuses it, what was before is put back and in force again. The
 * store's lock is held. */
struct definition_before {
    const struct switch_def *sw;
    const struct nat_def *nat; /* NULL: it is the switch that changed */
};
int MUST_CHECK switch_accept(struct store *store, const char *name, const char *about,
                             const struct definition_before *before, struct error *error);
/* The same as switch_refresh, of something new, which the caller removes again after an error. */
int MUST_CHECK switch_try(struct store *store, const char *name, const char *about, struct error *error);
/* Returns true if its process is wanted: it has cards, or is kept. */
bool switch_wanted(const struct networks *networks, const struct switch_def *def);

#endif
