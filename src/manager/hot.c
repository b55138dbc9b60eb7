/*
 * What is attached has its definition's id in QEMU; the nodes of a drive are named after it: disk0-0, disk0-1 above it
 * after a checkpoint or with another medium, disk0-limit above all.
 */
#include "manager/hot.h"

#include "manager/life.h"
#include "worker/command.h"
#include "worker/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RELEASE_MS 20000u /* for the guest to let go of a device */
#define RELEASE_STEP_MS 50u
#define MEDIA_MAX 1000

int hot_ask(struct store *store, const char *vm, const char *command, json_t *arguments, json_t **result,
            struct error *error)
{
    json_t *answer = NULL;
    json_t *request = json_pack("{s:s, s:s, s:o*}", "do", "qmp", "execute", command, "arguments", arguments);
    if (!request)
        return error_memory(error);
    int e = life_ask(store, vm, request, NULL, &answer, error);
    if (!e && result)
        *result = json_incref(json_object_get(answer, "return"));
    json_decref(answer);
    return e;
}

/* -- what is there -- */

bool hot_has(struct store *store, const char *vm, const char *id)
{
    struct error ignored;
    json_t *list = NULL, *one;
    bool found = false;
    size_t i;
    if (hot_ask(store, vm, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"), &list, &ignored))
        return true; /* nobody knows */
    json_array_foreach (list, i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));
        found |= name && strcmp(name, id) == 0;
    }
    json_decref(list);
    return found;
}

int hot_bus(struct store *store, const struct vm_def *def, char bus[static HOT_BUS_MAX], struct error *error)
{
    json_t *pci = NULL;
    bus[0] = 0;
    if (def->set.generation == 1)
        return 0;
    int e = hot_ask(store, def->name, "query-pci", NULL, &pci, error);
    if (e)
        return e;
    json_t *places = places_of(pci, def->set.generation);
    for (u32 i = 0; i < COMMAND_HOT_PORTS && !bus[0]; i++) {
        snprintf(bus, HOT_BUS_MAX, COMMAND_HOT_PORT "%u", i);
        if (!place_has(places, bus) || place_at(places, bus))
            bus[0] = 0;
    }
    json_decref(places);
    json_decref(pci);
    if (bus[0])
        return 0;
    error_set(error, -ENOSPC, "VM %s has no place left for a device that comes while it runs", def->name);
    return error_hint(error, "it has four of them: stop it first; disks at bus scsi need none");
}

/* Puts a PCI device where there is room. Releases it. */
static int add_pci(struct store *store, const struct vm_def *def, json_t *device, struct error *error)
{
    char bus[HOT_BUS_MAX];
    int e = device ? hot_bus(store, def, bus, error) : error_memory(error);
    if (!e && bus[0])
        (void)!json_object_set_new(device, "bus", json_string(bus));
    if (!e)
        return hot_ask(store, def->name, "device_add", device, NULL, error);
    json_decref(device);
    return e;
}

/* -- letting go -- */

static int remove_device(struct store *store, const struct vm_def *def, const char *id, struct error *error)
{
    if (!hot_has(store, def->name, id))
        return 0;
    /* One that is asked for again while the guest is about to let go is an error of QEMU's, and no other. */
    int e = hot_ask(store, def->name, "device_del", json_pack("{s:s}", "id", id), NULL, error);
    if (e && !strstr(error->text, "in the process of unplug"))
        return hot_has(store, def->name, id) ? e : 0;
    for (u32 waited = 0; waited < RELEASE_MS; waited += RELEASE_STEP_MS) {
        if (!hot_has(store, def->name, id))
            return 0;
        usleep(RELEASE_STEP_MS * 1000);
    }
    error_set(error, -EBUSY, "the guest of VM %s does not let go of %s", def->name, id);
    return error_hint(error, "its system must run, with a driver for such changes; or stop the VM first");
}

/* A device that has gone may hold its node for a moment. One that is not there is no error. */
static void remove_node(struct store *store, const char *vm, const char *node)
{
    struct error error;
    for (u32 waited = 0; waited < RELEASE_MS; waited += RELEASE_STEP_MS) {
        if (!hot_ask(store, vm, "blockdev-del", json_pack("{s:s}", "node-name", node), NULL, &error) ||
            !strstr(error.text, "in use"))
            return;
        usleep(RELEASE_STEP_MS * 1000);
    }
}

/* Returns the highest number of a drive's nodes, -1 if it has none, and removes them if `remove`. */
static int nodes_of(struct store *store, const char *vm, const char *id, bool remove)
{
    struct error ignored;
    json_t *nodes = NULL, *node;
    size_t i, length = strlen(id);
    int highest = -1;
    char name[NODE_NAME_MAX];
    if (hot_ask(store, vm, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), &nodes, &ignored))
        return -1;
    json_array_foreach (nodes, i, node) {
        const char *own = json_string_value(json_object_get(node, "node-name"));
        int number = own && strncmp(own, id, length) == 0 && own[length] == '-' ? atoi(own + length + 1) : -1;
        highest = number > highest ? number : highest;
    }
    json_decref(nodes);
    for (int n = highest; remove && n >= 0; n--) { /* what stands on others goes first */
        snprintf(name, sizeof(name), "%s-%d", id, n);
        remove_node(store, vm, name);
    }
    return highest;
}

static void remove_limit(struct store *store, const char *vm, const char *id)
{
    struct error ignored;
    char name[NODE_NAME_MAX];
    snprintf(name, sizeof(name), "%s-limit", id);
    remove_node(store, vm, name);
    snprintf(name, sizeof(name), "limits-%s", id);
    (void)!hot_ask(store, vm, "object-del", json_pack("{s:s}", "id", name), NULL, &ignored);
}

static void remove_nodes(struct store *store, const char *vm, const char *id)
{
    remove_limit(store, vm, id);
    nodes_of(store, vm, id, true);
}

/* -- drives -- */

/* A node for what is in the drive, and one above it that limits it. `top` gets the name of the highest. */
static int add_nodes(struct store *store, const struct vm_def *def, const struct disk_def *disk, int number,
                     char top[static NODE_NAME_MAX], struct error *error)
{
    char path[PATH_MAX], node[NODE_NAME_MAX];
    bool reads = disk->read_only || disk->kind == DISK_CD;
    int e = store_disk_path(store, def, disk, path, sizeof(path), error);
    if (e)
        return e;
    snprintf(node, sizeof(node), "%s-%d", disk->id, number);
    snprintf(top, NODE_NAME_MAX, "%s", node);
    e = hot_ask(store, def->name, "blockdev-add", command_node(node, path, disk->format ? disk->format : "raw", reads),
                NULL, error);
    if (e || !command_is_limited(disk))
        return e;
    snprintf(top, NODE_NAME_MAX, "%s-limit", disk->id);
    e = hot_ask(store, def->name, "object-add", command_limit_group(disk), NULL, error);
    return e ? e : hot_ask(store, def->name, "blockdev-add", command_limit_node(disk, node), NULL, error);
}

/* Where no drive was, there may be no controller. */
static int add_controller(struct store *store, const struct vm_def *def, const struct disk_def *disk,
                          struct error *error)
{
    char id[16];
    if (disk->bus != BUS_SCSI)
        return 0;
    snprintf(id, sizeof(id), "scsi%u", disk->controller);
    if (hot_has(store, def->name, id))
        return 0;
    return add_pci(store, def, json_pack("{s:s, s:s}", "driver", "virtio-scsi-pci", "id", id), error);
}

int hot_disk_add(struct store *store, const struct vm_def *def, const struct disk_def *disk, struct error *error)
{
    char top[NODE_NAME_MAX];
    int e = disk_hot(disk, error);
    if (e)
        return e;
    remove_nodes(store, def->name, disk->id); /* which a command that ended left */
    e = add_controller(store, def, disk, error);
    if (!e && disk->path)
        e = add_nodes(store, def, disk, 0, top, error);
    json_t *device = e ? NULL : command_drive(def, disk, disk->path ? top : NULL);
    if (!e && (disk->bus == BUS_VIRTIO || disk->bus == BUS_NVME))
        e = add_pci(store, def, device, error);
    else if (!e)
        e = hot_ask(store, def->name, "device_add", device, NULL, error);
    if (e)
        remove_nodes(store, def->name, disk->id);
    return e;
}

int hot_disk_remove(struct store *store, const struct vm_def *def, const struct disk_def *disk, struct error *error)
{
    int e = disk_hot(disk, error);
    if (!e)
        e = remove_device(store, def, disk->id, error);
    if (!e)
        remove_nodes(store, def->name, disk->id);
    return e;
}

/* -- what changes of a drive -- */

/* Limits are those of the drive's group, or, where it was started without any, of the drive itself. */
static int set_limits(struct store *store, const struct vm_def *def, const struct disk_def *disk, struct error *error)
{
    char path[64];
    struct error ignored;
    snprintf(path, sizeof(path), "/objects/limits-%s", disk->id);
    if (!hot_ask(store, def->name, "qom-set",
                 json_pack("{s:s, s:s, s:o}", "path", path, "property", "limits", "value", command_limits(disk)), NULL,
                 &ignored))
        return 0;
    snprintf(path, sizeof(path), "%s%s", disk->id, disk->bus == BUS_VIRTIO ? "/virtio-backend" : "");
    return hot_ask(store, def->name, "block_set_io_throttle",
                   json_pack("{s:s, s:I, s:i, s:i, s:I, s:i, s:i}", "id", path, "bps", (json_int_t)disk->bytes_maximum,
                             "bps_rd", 0, "bps_wr", 0, "iops", (json_int_t)disk->iops_maximum, "iops_rd", 0, "iops_wr",
                             0),
                   NULL, error);
}

static int drive_command(struct store *store, const char *vm, const char *command, const char *id, bool force,
                         struct error *error)
{
    json_t *arguments = json_pack("{s:s}", "id", id);
    if (force)
        (void)!json_object_set_new(arguments, "force", json_true());
    return hot_ask(store, vm, command, arguments, NULL, error);
}

/* Another medium, or none. The new one is opened first: one that cannot be read changes nothing. */
static int set_medium(struct store *store, const struct vm_def *def, const struct disk_def *disk, struct error *error)
{
    char top[NODE_NAME_MAX] = "", name[NODE_NAME_MAX];
    struct disk_def plain = *disk;
    struct error ignored;
    int before = nodes_of(store, def->name, disk->id, false);
    plain.iops_maximum = 0; /* media have no limits of their own */
    plain.bytes_maximum = 0;
    int e = disk->path ? add_nodes(store, def, &plain, (before + 1) % MEDIA_MAX, top, error) : 0;
    if (e)
        return e;
    (void)!drive_command(store, def->name, "blockdev-open-tray", disk->id, true, &ignored); /* floppies have none */
    e = drive_command(store, def->name, "blockdev-remove-medium", disk->id, false, error);
    if (!e && disk->path)
        e = hot_ask(store, def->name, "blockdev-insert-medium",
                    json_pack("{s:s, s:s}", "id", disk->id, "node-name", top), NULL, error);
    (void)!drive_command(store, def->name, "blockdev-close-tray", disk->id, false, &ignored);
    for (int n = before; n >= 0; n--) {
        snprintf(name, sizeof(name), "%s-%d", disk->id, n);
        remove_node(store, def->name, name);
    }
    return e;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

int hot_disk_set(struct store *store, const struct vm_def *def, const struct disk_def *old, const struct disk_def *new,
                 struct error *error)
{
    bool medium = !same_text(old->path, new->path);
    int e = 0;
    if (new->bus != old->bus || new->controller != old->controller || new->location != old->location ||
        new->read_only != old->read_only || (medium && old->kind == DISK_DISK)) {
        error_set(error, -EPERM, "VM %s runs, and only limits and what is in a CD drive change then", def->name);
        return error_hint(error, "stop it first, or remove the drive and add it anew");
    }
    if (medium)
        e = set_medium(store, def, new, error);
    if (!e && (new->iops_maximum != old->iops_maximum || new->bytes_maximum != old->bytes_maximum))
        e = set_limits(store, def, new, error);
    return e;
}

/* -- cards -- */

static int remove_netdev(struct store *store, const char *vm, const char *id, struct error *error)
{
    return hot_ask(store, vm, "netdev_del", json_pack("{s:s}", "id", id), NULL, error);
}

int hot_card_add(struct store *store, const struct vm_def *def, const struct card_def *card, struct error *error)
{
    char socket[PATH_MAX];
    struct error ignored;
    int e = store_card_socket(store, card->id, socket, sizeof(socket), error);
    if (!e)
        e = hot_ask(store, def->name, "netdev_add", command_card_netdev(card, socket), NULL, error);
    if (e)
        return e;
    e = add_pci(store, def, command_card_device(card, -1), error);
    if (e)
        (void)!remove_netdev(store, def->name, card->id, &ignored);
    return e;
}

int hot_card_remove(struct store *store, const struct vm_def *def, const struct card_def *card, struct error *error)
{
    char id[ID_TEXT_MAX + sizeof("nic-")];
    struct error ignored;
    snprintf(id, sizeof(id), "nic-%s", card->id);
    int e = remove_device(store, def, id, error);
    if (!e)
        (void)!remove_netdev(store, def->name, card->id, &ignored);
    return e;
}
