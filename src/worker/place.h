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
/* What a saved state needs of the machine: {"places", "memory_limit", "memory_added"}, sizes in bytes: how far memory
 * can grow, and the size of the device that adds it, 0 if there is none. From the answers to query-pci and
 * query-memory-devices. NULL: no memory. */
json_t *machine_of(const json_t *pci, const json_t *memory_devices, u32 generation, u64 memory_limit);
/* The size of the device that adds memory, and what it has added (NULL: not wanted); from query-memory-devices. */
u64 memory_added(const json_t *memory_devices, u64 *now);
/* Adds its place to a device by its "id". Nothing if `places` is NULL or has it not. */
void place_put(const json_t *places, json_t *device);
bool place_has(const json_t *places, const char *id);
/* The device at that bus: its id; NULL: it is free. */
const char *place_at(const json_t *places, const char *bus);

#endif
