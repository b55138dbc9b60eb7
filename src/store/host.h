/*
 * The settings of the host: `host.json` in the home folder. Without the file they are as by default.
 */
#ifndef STORE_HOST_H
#define STORE_HOST_H

#include "rules/host_settings.h"
#include "store/network.h"

int MUST_CHECK store_host(struct store *store, struct host_settings *set, struct error *error);
int MUST_CHECK store_host_put(struct store *store, const struct host_settings *set, struct error *error);

#endif
