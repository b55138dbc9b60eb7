/*
 * Places of PCI devices: see place.h. Devices that the machine has by itself have no id, and no choice.
 */
#include "worker/place.h"

#include <stdio.h>
#include <string.h>

static void add(json_t *places, const json_t *devices, const char *bus)
{
    size_t i;
    json_t *device;
    json_array_foreach ((json_t *)(uintptr_t)devices, i, device) {
        const char *id = json_string_value(json_object_get(device, "qdev_id"));
        json_t *bridge = json_object_get(device, "pci_bridge");
        char address[24];
        if (!id || !*id)
            continue;
        /* QEMU reads both as hexadecimal numbers. */
        snprintf(address, sizeof(address), "%llx.%llx",
                 (unsigned long long)json_integer_value(json_object_get(device, "slot")),
                 (unsigned long long)json_integer_value(json_object_get(device, "function")));
        (void)!json_object_set_new(places, id, json_pack("[s, s]", bus, address));
        add(places, json_object_get(bridge, "devices"), id);
    }
}

json_t *places_of(const json_t *pci, u32 generation)
{
    json_t *places = json_object();
    add(places, json_object_get(json_array_get(pci, 0), "devices"), generation == 1 ? "pci.0" : "pcie.0");
    return places;
}

u64 memory_added(const json_t *memory_devices, u64 *now)
{
    const json_t *data = json_object_get(json_array_get(memory_devices, 0), "data");
    if (now)
        *now = (u64)json_integer_value(json_object_get(data, "size"));
    return (u64)json_integer_value(json_object_get(data, "max-size"));
}

json_t *machine_of(const json_t *pci, const json_t *memory_devices, u32 generation, u64 memory_limit)
{
    return json_pack("{s:o, s:I, s:I}", "places", places_of(pci, generation), "memory_limit", (json_int_t)memory_limit,
                     "memory_added", (json_int_t)memory_added(memory_devices, NULL));
}

void place_put(const json_t *places, json_t *device)
{
    const char *id = json_string_value(json_object_get(device, "id"));
    json_t *place = id ? json_object_get(places, id) : NULL;
    if (!place)
        return;
    (void)!json_object_set(device, "bus", json_array_get(place, 0));
    (void)!json_object_set(device, "addr", json_array_get(place, 1));
}

bool place_has(const json_t *places, const char *id)
{
    return json_object_get(places, id) != NULL;
}

const char *place_at(const json_t *places, const char *bus)
{
    const char *id;
    json_t *place;
    json_object_foreach ((json_t *)(uintptr_t)places, id, place) {
        const char *at = json_string_value(json_array_get(place, 0));
        if (at && strcmp(at, bus) == 0)
            return id;
    }
    return NULL;
}
