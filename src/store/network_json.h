/*
 * Definitions of networks as JSON, as they are on disk and as they are shown.
 */
#ifndef STORE_NETWORK_JSON_H
#define STORE_NETWORK_JSON_H

#include "store/network.h"
#include "store/setting_json.h"

/* Each returns NULL if there is no memory. */
json_t *card_settings_json(const struct card_def *def); /* its address among them */
json_t *nat_mappings_json(const struct nat_def *def);

#endif
