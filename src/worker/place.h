/*
 * Where PCI devices are: QEMU gives a device the next free place, so a VM whose devices came and went while it ran has
 * others than the same VM started anew. A saved state fits only a machine with each device where it was: so it keeps
 * {"disk1": ["hot0", "0.0"], ...}, by the devices' ids: the bus, and slot and function. Pure.
 */
#ifndef WORKER_PLACE_H
#define WORKER_PLACE_H

#include "base/types.h"

#include <jansson.h>

/* From QEMU's answer to query-pci; of a VM of that generation. NULL: no memory. */
json_t *places_of(const json_t *pci, u32 generation);
/* Adds its place to a device by its "id". Nothing if `places` is NULL or has it not. */
void place_put(const json_t *places, json_t *device);
bool place_has(const json_t *places, const char *id);
/* The device at that bus: its id; NULL: it is free. */
const char *place_at(const json_t *places, const char *bus);

#endif
