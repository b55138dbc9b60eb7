/*
 * Places of PCI devices: read from QEMU's answer, and given back to devices.
 */
#include "worker/place.h"

#include "unit/test.h"

#include <string.h>

static const char answer[] =
    "[{\"bus\": 0, \"devices\": [{\"bus\": 0, \"slot\": 0, \"function\": 0, \"qdev_id\": \"\"},"
    "{\"bus\": 0, \"slot\": 2, \"function\": 1, \"qdev_id\": \"video\"},"
    "{\"bus\": 0, \"slot\": 26, \"function\": 0, \"qdev_id\": \"hot0\", \"pci_bridge\": {\"devices\": ["
    "{\"bus\": 1, \"slot\": 0, \"function\": 0, \"qdev_id\": \"disk1\"}]}},"
    "{\"bus\": 0, \"slot\": 10, \"function\": 0, \"qdev_id\": \"hot1\", \"pci_bridge\": {}}]}]";

static const char *member(const json_t *device, const char *key)
{
    const char *text = json_string_value(json_object_get(device, key));
    return text ? text : "";
}

int main(void)
{
    json_t *pci = json_loads(answer, 0, NULL);
    json_t *places = places_of(pci, 2);

    TEST("devices with an id have a place, those behind a port too");
    CHECK_EQ(json_object_size(places), 4);
    CHECK(place_has(places, "disk1") && place_has(places, "hot1") && !place_has(places, ""));
    CHECK(place_at(places, "hot0") && strcmp(place_at(places, "hot0"), "disk1") == 0);
    CHECK(!place_at(places, "hot1"));

    TEST("a device gets its place");
    json_t *disk = json_pack("{s:s}", "id", "disk1"), *video = json_pack("{s:s}", "id", "video"),
           *other = json_pack("{s:s}", "id", "nic-a");
    place_put(places, disk);
    place_put(places, video);
    place_put(places, other);
    CHECK(strcmp(member(disk, "bus"), "hot0") == 0 && strcmp(member(disk, "addr"), "0.0") == 0);
    CHECK(strcmp(member(video, "bus"), "pcie.0") == 0 && strcmp(member(video, "addr"), "2.1") == 0);
    CHECK_EQ(json_object_size(other), 1);

    TEST("numbers are hexadecimal");
    CHECK(strcmp(json_string_value(json_array_get(json_object_get(places, "hot0"), 1)), "1a.0") == 0);

    TEST("without places nothing is placed");
    place_put(NULL, other);
    CHECK_EQ(json_object_size(other), 1);
    CHECK(!place_has(NULL, "video") && !place_at(NULL, "hot0"));

    TEST("generation 1 has another bus");
    json_t *first = places_of(pci, 1);
    CHECK(strcmp(json_string_value(json_array_get(json_object_get(first, "video"), 0)), "pci.0") == 0);
    json_decref(first);
    json_decref(disk);
    json_decref(video);
    json_decref(other);
    json_decref(places);
    json_decref(pci);
    return TEST_END();
}
