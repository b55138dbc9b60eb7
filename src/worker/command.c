/*
 * QEMU's command line: everything is explicit (-nodefaults), and values that have parts are JSON where QEMU takes it,
 * so that no name has to be escaped. The machine's type is that of a version, which a saved state needs.
 */
#include "worker/command.h"

#include "worker/place.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PC "pc-i440fx-7.2"
#define Q35 "pc-q35-7.2"
#define OVMF "/usr/share/OVMF/"
#define SANDBOX "on,obsolete=deny,elevateprivileges=deny,spawn=%s,resourcecontrol=deny"
#define ENLIGHTENMENTS                                                                                                 \
    ",hv_relaxed,hv_vapic,hv_spinlocks=0x1fff,hv_time,hv_vpindex,hv_runtime,hv_synic,hv_stimer,hv_reset,"              \
    "hv_frequencies,hv_tlbflush,hv_ipi"

/* -- a list of arguments -- */

struct list {
    char **at;
    u32 count, room;
    bool failed; /* no memory */
};

static void take(struct list *l, char *argument)
{
    if (l->count + 1 >= l->room) {
        u32 room = l->room ? 2 * l->room : 64;
        char **bigger = realloc(l->at, room * sizeof(*bigger));
        if (!bigger) {
            free(argument);
            l->failed = true;
            return;
        }
        l->at = bigger;
        l->room = room;
    }
    l->at[l->count] = argument;
    l->at[l->count + 1] = NULL;
    if (argument)
        l->count++;
    else
        l->failed = true;
}

static void put(struct list *l, const char *argument)
{
    take(l, strdup(argument));
}

static void __attribute__((format(printf, 3, 4))) option(struct list *l, const char *name, const char *format, ...)
{
    char *value = NULL;
    va_list args;
    put(l, name);
    va_start(args, format);
    if (vasprintf(&value, format, args) < 0)
        value = NULL;
    va_end(args);
    take(l, value);
}

/* An option whose value is an object, which is released. */
static void option_json(struct list *l, const char *name, json_t *value)
{
    put(l, name);
    take(l, value ? json_dumps(value, JSON_COMPACT) : NULL);
    json_decref(value);
}

/* A device, which is released; one on PCI goes to the place that a saved state has it at. */
static void option_device(struct list *l, const struct command *c, json_t *device)
{
    place_put(json_object_get(c->machine, "places"), device);
    option_json(l, "-device", device);
}

/* One of the machine, as it were. QEMU makes those in this form before all that are objects. */
static void option_early(struct list *l, const struct command *c, json_t *device)
{
    char line[256], text[24];
    size_t used = 0;
    const char *key;
    json_t *value;
    place_put(json_object_get(c->machine, "places"), device);
    json_object_foreach (device, key, value) {
        bool driver = strcmp(key, "driver") == 0;
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
        used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%s%s%s", used ? "," : "", driver ? "" : key,
                                 driver ? "" : "=",
                                 json_is_string(value)    ? json_string_value(value)
                                 : json_is_integer(value) ? text
                                 : json_is_true(value)    ? "on"
                                                          : "off");
    }
    option(l, "-device", "%s", line);
    json_decref(device);
}

static void option_simple(struct list *l, const struct command *c, const char *driver, const char *id)
{
    option_early(l, c, json_pack("{s:s, s:s}", "driver", driver, "id", id));
}

void command_free(char **arguments)
{
    for (char **a = arguments; a && *a; a++)
        free(*a);
    free(arguments);
}

static char **finish(struct list *l, int e, struct error *error)
{
    if (!e && l->failed)
        e = error_memory(error);
    if (!e)
        return l->at;
    command_free(l->at);
    return NULL;
}

static const char *escape_with(char mark, const char *text, char to[static 2 * PATH_MAX])
{
    size_t used = 0;
    for (; *text && used + 3 < 2 * PATH_MAX; text++) {
        if (*text == ',' || *text == mark)
            to[used++] = mark;
        to[used++] = *text;
    }
    to[used] = 0;
    return to;
}

/* Copies text for an option that has commas of its own. */
static const char *escape(const char *text, char to[static 2 * PATH_MAX])
{
    return escape_with(',', text, to);
}

/* -- the order of starting -- */

/* Returns the place of a kind of device in the order; -1: it is not started from. */
static s32 boot_index(const struct vm_def *def, const char *kind, u32 n)
{
    const char *order = def->set.boot && *def->set.boot ? def->set.boot : "disk,cd,network,floppy";
    s32 place = 1;
    for (const char *at = order; *at; place++) {
        size_t length = strcspn(at, ",");
        if (strlen(kind) == length && memcmp(kind, at, length) == 0)
            return place * 100 + (s32)n;
        at += length + (at[length] == ',');
    }
    return -1;
}

static void set_boot_index(json_t *device, s32 index)
{
    if (index >= 0)
        (void)!json_object_set_new(device, "bootindex", json_integer(index));
}

/* -- drives -- */

void command_node_name(const struct disk_def *disk, char name[static NODE_NAME_MAX])
{
    snprintf(name, NODE_NAME_MAX, "%s-0", disk->id);
}

json_t *command_node(const char *node, const char *path, const char *format, bool read_only)
{
    return json_pack("{s:s, s:s, s:b, s:s, s:s, s:{s:s, s:s, s:b, s:s}}", "driver", format, "node-name", node,
                     "read-only", read_only, "discard", "unmap", "detect-zeroes", "unmap", "file", "driver", "file",
                     "filename", path, "auto-read-only", 1, "discard", "unmap");
}

bool command_is_limited(const struct disk_def *disk)
{
    return disk->iops_maximum || disk->bytes_maximum;
}

json_t *command_limits(const struct disk_def *disk)
{
    return json_pack("{s:I, s:I}", "iops-total", (json_int_t)disk->iops_maximum, "bps-total",
                     (json_int_t)disk->bytes_maximum);
}

json_t *command_limit_group(const struct disk_def *disk)
{
    return json_pack("{s:s, s:s+, s:o}", "qom-type", "throttle-group", "id", "limits-", disk->id, "limits",
                     command_limits(disk));
}

json_t *command_limit_node(const struct disk_def *disk, const char *below)
{
    return json_pack("{s:s, s:s+, s:s+, s:s}", "driver", "throttle", "node-name", disk->id, "-limit", "throttle-group",
                     "limits-", disk->id, "file", below);
}

static int drive_node(struct list *l, const struct command *c, const struct disk_def *disk, struct error *error)
{
    char node[NODE_NAME_MAX], path[PATH_MAX];
    int e = store_disk_path(c->store, c->def, disk, path, sizeof(path), error);
    if (e)
        return e;
    if (access(path, disk->read_only || disk->kind == DISK_CD ? R_OK : R_OK | W_OK)) {
        error_set(error, -errno, "drive %s: %.200s: %s", disk->id, path, strerror(errno));
        return error_hint(error, errno == EACCES ? "the folders above it and the file must be yours to read and write"
                                                 : "`nestbox disk list` shows the VM's drives");
    }
    command_node_name(disk, node);
    option_json(
        l, "-blockdev",
        command_node(node, path, disk->format ? disk->format : "raw", disk->read_only || disk->kind == DISK_CD));
    if (command_is_limited(disk)) {
        option_json(l, "-object", command_limit_group(disk));
        option_json(l, "-blockdev", command_limit_node(disk, node));
    }
    return 0;
}

/* Where it is attached: the device's model and the place at its bus. */
static json_t *drive_device(const struct vm_def *def, const struct disk_def *disk)
{
    char bus[24];
    bool cd = disk->kind == DISK_CD;
    if (disk->kind == DISK_FLOPPY)
        return json_pack("{s:s, s:i}", "driver", "floppy", "unit", disk->location);
    switch (disk->bus) {
    case BUS_SCSI:
    case BUS_LSI:
        snprintf(bus, sizeof(bus), "%s%u.0", bus_name(disk->bus), disk->controller);
        return json_pack("{s:s, s:s, s:i}", "driver", cd ? "scsi-cd" : "scsi-hd", "bus", bus, "scsi-id",
                         disk->location);
    case BUS_SATA:
        snprintf(bus, sizeof(bus), "%s.%u", def->set.generation == 1 ? "sata" : "ide", disk->location);
        return json_pack("{s:s, s:s}", "driver", cd ? "ide-cd" : "ide-hd", "bus", bus);
    case BUS_IDE:
        snprintf(bus, sizeof(bus), "ide.%u", disk->controller);
        return json_pack("{s:s, s:s, s:i}", "driver", cd ? "ide-cd" : "ide-hd", "bus", bus, "unit", disk->location);
    case BUS_NVME: return json_pack("{s:s, s:s}", "driver", "nvme", "serial", disk->id);
    default: return json_pack("{s:s, s:s}", "driver", "virtio-blk-pci", "serial", disk->id);
    }
}

json_t *command_drive(const struct vm_def *def, const struct disk_def *disk, const char *node)
{
    json_t *device = drive_device(def, disk);
    (void)!json_object_set_new(device, "id", json_string(disk->id));
    if (!node)
        return device;
    (void)!json_object_set_new(device, "drive", json_string(node));
    /* A full host stops the VM, and the worker sets it going again. NVMe has no such property. */
    const char *action = def->set.error_action == ERROR_PAUSE ? "stop" : "report";
    if (disk->kind == DISK_DISK && disk->bus != BUS_NVME) {
        (void)!json_object_set_new(device, "werror", json_string(action));
        (void)!json_object_set_new(device, "rerror", json_string(action));
    }
    return device;
}

static int add_drive(struct list *l, const struct command *c, const struct disk_def *disk, u32 n, struct error *error)
{
    char node[NODE_NAME_MAX];
    if (disk->path) {
        int e = drive_node(l, c, disk, error);
        if (e)
            return e;
        if (command_is_limited(disk))
            snprintf(node, sizeof(node), "%s-limit", disk->id);
        else
            command_node_name(disk, node);
    }
    json_t *device = command_drive(c->def, disk, disk->path ? node : NULL);
    s32 place = boot_index(c->def, disk_kind_name(disk->kind), n);
    if (disk->kind != DISK_FLOPPY)
        set_boot_index(device, place);
    else if (place >= 0) /* which the controller has for its drives */
        option(l, "-global", "isa-fdc.bootindex%c=%d", disk->location ? 'B' : 'A', place);
    option_device(l, c, device);
    return 0;
}

/* Controllers that the machine does not have by itself, as far as something is at them. */
static void add_controllers(struct list *l, const struct command *c)
{
    const struct vm_def *def = c->def;
    char id[16];
    bool scsi[4] = {def->set.generation == 2}, lsi[4] = {false}, sata = false;
    for (u32 i = 0; i < def->disks; i++) {
        const struct disk_def *disk = &def->disk[i];
        if (disk->kind != DISK_FLOPPY && disk->bus == BUS_SCSI)
            scsi[disk->controller & 3] = true;
        if (disk->kind != DISK_FLOPPY && disk->bus == BUS_LSI)
            lsi[disk->controller & 3] = true;
        sata |= disk->kind != DISK_FLOPPY && disk->bus == BUS_SATA;
    }
    for (u32 i = 0; i < 4; i++) {
        snprintf(id, sizeof(id), "scsi%u", i);
        if (scsi[i] ||
            place_has(json_object_get(c->machine, "places"), id)) /* its last drive may have gone while the VM ran */
            option_simple(l, c, "virtio-scsi-pci", id);
    }
    for (u32 i = 0; i < 4; i++) {
        snprintf(id, sizeof(id), "lsi%u", i);
        if (lsi[i])
            option_simple(l, c, "lsi53c895a", id);
    }
    if (sata && def->set.generation == 1)
        option_simple(l, c, "ich9-ahci", "sata");
}

static int add_drives(struct list *l, const struct command *c, struct error *error)
{
    u32 of_kind[3] = {0};
    add_controllers(l, c);
    for (u32 i = 0; i < c->def->disks; i++) {
        const struct disk_def *disk = &c->def->disk[i];
        int e = add_drive(l, c, disk, of_kind[disk->kind]++, error);
        if (e)
            return e;
    }
    return 0;
}

/* -- cards -- */

json_t *command_card_netdev(const struct card_def *card, const char *socket)
{
    return json_pack("{s:s, s:s, s:b, s:{s:s, s:s}}", "type", "stream", "id", card->id, "server", 1, "addr", "type",
                     "unix", "path", socket);
}

json_t *command_card_device(const struct card_def *card, s32 boot)
{
    char mac[MAC_TEXT_MAX];
    mac_format(&card->mac, mac);
    json_t *device = json_pack("{s:s, s:s+, s:s, s:s}", "driver", "virtio-net-pci", "id", "nic-", card->id, "netdev",
                               card->id, "mac", mac);
    if (boot < 0) /* the program to start from it is in a package of its own, and need not be there */
        (void)!json_object_set_new(device, "romfile", json_string(""));
    set_boot_index(device, boot);
    return device;
}

static int add_cards(struct list *l, const struct command *c, struct error *error)
{
    bool named = c->def->set.boot && strstr(c->def->set.boot, "network");
    for (u32 i = 0; i < c->card_count; i++) {
        char socket[PATH_MAX];
        int e = store_card_socket(c->store, c->cards[i].id, socket, sizeof(socket), error);
        if (e)
            return e;
        option_json(l, "-netdev", command_card_netdev(&c->cards[i], socket));
        option_device(l, c, command_card_device(&c->cards[i], named ? boot_index(c->def, "network", i) : -1));
    }
    return 0;
}

/* -- firmware, memory, CPUs -- */

const char *command_variables(const struct vm_def *def)
{
    if (def->set.generation == 1)
        return NULL;
    return def->set.secure_boot ? OVMF "OVMF_VARS_4M.ms.fd" : OVMF "OVMF_VARS_4M.fd";
}

static int add_firmware(struct list *l, const struct command *c, struct error *error)
{
    char path[PATH_MAX];
    if (!command_variables(c->def))
        return 0;
    int e = store_vm_path(c->store, c->def->name, "firmware.fd", path, sizeof(path), error);
    if (e)
        return e;
    option_json(l, "-blockdev",
                json_pack("{s:s, s:s, s:s, s:b}", "driver", "file", "node-name", "code", "filename",
                          OVMF "OVMF_CODE_4M.fd", "read-only", 1));
    option_json(l, "-blockdev",
                json_pack("{s:s, s:s, s:s}", "driver", "file", "node-name", "variables", "filename", path));
    return 0;
}

/* Memory of the program's own comes in large pages, and what the guest has not touched takes none, even if it is saved;
 * who else maps it needs a file. */
json_t *command_memory(const struct vm_def *def, const char *id, u64 size)
{
    bool shared = def->shares || def->set.direct != DIRECT_OFF;
    return json_pack("{s:s, s:s, s:I, s:b, s:b}", "qom-type", shared ? "memory-backend-memfd" : "memory-backend-ram",
                     "id", id, "size", (json_int_t)size, "share", shared, "reserve", 0);
}

static void add_machine(struct list *l, const struct command *c)
{
    const struct vm_def *def = c->def;
    bool uefi = command_variables(def);
    option(l, "-machine", "%s,usb=off,vmport=off,smm=off,dump-guest-core=off,memory-backend=ram%s",
           def->set.generation == 1 ? PC : Q35, uefi ? ",pflash0=code,pflash1=variables" : "");
    option_json(l, "-object", command_memory(def, "ram", c->memory));
    if (c->memory_limit > c->memory)
        option(l, "-m", "%lluM,maxmem=%lluM", (unsigned long long)(c->memory >> 20),
               (unsigned long long)(c->memory_limit >> 20));
    else
        option(l, "-m", "%lluM", (unsigned long long)(c->memory >> 20));
    option(l, "-smp", "%u,sockets=1,cores=%u,threads=1", def->set.cpus, def->set.cpus);
    u32 bits = vm_address_bits(c->memory_limit > c->memory ? c->memory_limit : c->memory);
    char width[40] = ""; /* nestbox qemu has 40 by itself */
    if (bits > 40)
        snprintf(width, sizeof(width), ",host-phys-bits-limit=%u", bits);
    option(l, "-cpu", "host%s%s%s", def->set.nested == NESTED_OFF ? ",vmx=off,svm=off" : "", width,
           def->set.enlightenments ? ENLIGHTENMENTS : "");
    option(l, "-uuid", "%s", def->id);
    option(l, "-rtc", "base=utc");
}

json_t *command_memory_device(u64 requested)
{
    return json_pack("{s:s, s:s, s:s, s:I}", "driver", "virtio-mem-pci", "id", COMMAND_MEMORY_DEVICE, "memdev",
                     COMMAND_MEMORY, "requested-size", (json_int_t)requested);
}

/* Memory that can be added while it runs: where that will be, and where it was. */
static void add_memory(struct list *l, const struct command *c)
{
    u64 size = c->machine ? (u64)json_integer_value(json_object_get(c->machine, "memory_added"))
               : c->def->set.dynamic_memory && c->memory_limit > c->memory ? c->memory_limit - c->memory
                                                                           : 0;
    if (!size || c->memory_limit <= c->memory)
        return;
    option_json(l, "-object", command_memory(c->def, COMMAND_MEMORY, size));
    option_early(l, c, command_memory_device(0));
}

/* -- channels and small devices -- */

static int add_socket(struct list *l, const struct command *c, const char *id, const char *what, bool listens,
                      struct error *error)
{
    char path[PATH_MAX], escaped[2 * PATH_MAX];
    int e = store_vm_socket(c->store, c->def->name, what, path, sizeof(path), error);
    if (!e)
        option(l, "-chardev", "socket,id=%s,path=%s%s", id, escape(path, escaped),
               listens ? ",server=on,wait=off" : "");
    return e;
}

static int add_channels(struct list *l, const struct command *c, struct error *error)
{
    option(l, "-chardev", "socket,id=qmp,fd=%d,server=on,wait=off", c->qmp);
    option(l, "-mon", "chardev=qmp,mode=control");
    option(l, "-chardev", "socket,id=serial,fd=%d,server=on,wait=off", c->serial);
    option(l, "-serial", "chardev:serial");
    option(l, "-chardev", "socket,id=agent,fd=%d,server=on,wait=off", c->agent);
    option_simple(l, c, "virtio-serial-pci", "ports");
    int e = add_socket(l, c, CHARDEV_QGA, SOCKET_QGA, true, error);
    option(l, "-device",
           "virtserialport,bus=ports.0,nr=1,id=" PORT_QGA ",chardev=" CHARDEV_QGA ",name=org.qemu.guest_agent.0");
    option(l, "-device", "virtserialport,bus=ports.0,nr=2,id=" PORT_AGENT ",chardev=agent,name=org.nestbox.agent.0");
    return e;
}

static int add_display(struct list *l, const struct command *c, struct error *error)
{
    char path[PATH_MAX], escaped[2 * PATH_MAX];
    option(l, "-display", "none");
    if (c->def->set.display == DISPLAY_NONE) {
        option(l, "-vga", "none");
        return 0;
    }
    int e = store_vm_socket(c->store, c->def->name, SOCKET_VNC, path, sizeof(path), error);
    option_simple(l, c, "VGA", "video");
    option(l, "-vnc", "unix:%s", escape(path, escaped));
    option_simple(l, c, "qemu-xhci", "usb");
    option(l, "-device", "usb-tablet,id=tablet,bus=usb.0"); /* a viewer's pointer is where the guest's is */
    return e;
}

static int add_tpm(struct list *l, const struct command *c, struct error *error)
{
    if (!c->def->set.tpm)
        return 0;
    int e = add_socket(l, c, "tpm", SOCKET_TPM, false, error);
    option(l, "-tpmdev", "emulator,id=tpm,chardev=tpm");
    option(l, "-device", "%s,tpmdev=tpm", c->def->set.generation == 1 ? "tpm-tis" : "tpm-crb");
    return e;
}

static int add_shares(struct list *l, const struct command *c, struct error *error)
{
    int e = 0;
    for (u32 i = 0; i < c->def->shares && !e; i++) {
        char id[16], socket[24], device[16];
        snprintf(id, sizeof(id), "share%u", i);
        snprintf(socket, sizeof(socket), SOCKET_SHARE "%u", i);
        snprintf(device, sizeof(device), "fs%u", i);
        e = add_socket(l, c, id, socket, false, error);
        option_early(l, c,
                     json_pack("{s:s, s:s, s:s, s:s}", "driver", "vhost-user-fs-pci", "id", device, "chardev", id,
                               "tag", c->def->share[i].tag));
    }
    return e;
}

/* Devices that are added later find free places: a bus of PCI Express has none of its own for them. */
static void add_hot_ports(struct list *l, const struct command *c)
{
    for (u32 i = 0; i < COMMAND_HOT_PORTS && c->def->set.generation == 2; i++) {
        char id[16];
        snprintf(id, sizeof(id), COMMAND_HOT_PORT "%u", i);
        option_early(l, c, json_pack("{s:s, s:s, s:i}", "driver", "pcie-root-port", "id", id, "chassis", (int)i + 1));
    }
}

/* -- the whole -- */

/* The file must be the user's own. */
static void add_probe_file(struct list *l, const struct command *c)
{
    char path[PATH_MAX];
    struct error ignored;
    if (!c->own_user)
        option(l, "--probe-file", "%s/accel/verdict", store_run(c->store));
    else if (!store_vm_socket(c->store, c->def->name, SOCKETS_OWN "/verdict", path, sizeof(path), &ignored))
        option(l, "--probe-file", "%s", path);
}

/* What stands before QEMU's own options: nestbox qemu chooses what runs the CPUs. */
static void add_start(struct list *l, const struct command *c)
{
    const struct vm_def *def = c->def;
    static const char *const accels[] = {[ACCEL_AUTO] = "auto", [ACCEL_ENGINE] = "engine", [ACCEL_KVM] = "kvm"};
    static const char *const kinds[] = {
        [NESTED_OFF] = "off", [NESTED_INTEL] = "intel", [NESTED_AMD] = "amd", [NESTED_HOST] = "host"};
    put(l, "/proc/self/exe");
    put(l, "qemu");
    option(l, "--accel", "%s", accels[def->set.accel]);
    option(l, "--nested", "%s", kinds[def->set.nested]);
    if (def->set.direct != DIRECT_OFF)
        option(l, "--direct", "%s", direct_names[def->set.direct]);
    if (def->set.accel != ACCEL_ENGINE)
        add_probe_file(l, c);
    if (def->set.cpu && *def->set.cpu)
        option(l, "--cpu", "%s", def->set.cpu);
    put(l, "--");
}

char **command_qemu(const struct command *c, struct error *error)
{
    struct list l = {0};
    char name[2 * PATH_MAX];
    add_start(&l, c);
    option(&l, "-name", "guest=%s,debug-threads=on", escape(c->def->name, name));
    put(&l, "-nodefaults");
    put(&l, "-no-user-config");
    put(&l, "-S");
    option(&l, "-sandbox", SANDBOX, c->def->set.direct == DIRECT_OFF ? "deny" : "allow");
    add_machine(&l, c);
    int e = add_firmware(&l, c, error);
    if (!e)
        e = add_channels(&l, c, error);
    if (!e)
        e = add_display(&l, c, error);
    if (!e)
        e = add_drives(&l, c, error);
    if (!e)
        e = add_cards(&l, c, error);
    if (!e)
        e = add_tpm(&l, c, error);
    if (!e)
        e = add_shares(&l, c, error);
    option_early(&l, c,
                 json_pack("{s:s, s:s, s:b, s:b}", "driver", "virtio-balloon-pci", "id", "balloon",
                           "free-page-reporting", 1, "deflate-on-oom", 1));
    option_simple(&l, c, "virtio-rng-pci", "rng");
    add_hot_ports(&l, c);
    add_memory(&l, c);
    if (c->incoming)
        option(&l, "-incoming", "defer");
    return finish(&l, e, error);
}

/* -- helpers -- */

char **command_tpm(const struct store *store, const struct vm_def *def, struct error *error)
{
    struct list l = {0};
    char folder[PATH_MAX], socket[PATH_MAX], first[2 * PATH_MAX], second[2 * PATH_MAX];
    int e = store_vm_path(store, def->name, "tpm", folder, sizeof(folder), error);
    if (!e)
        e = store_vm_socket(store, def->name, SOCKET_TPM, socket, sizeof(socket), error);
    put(&l, "swtpm");
    put(&l, "socket");
    put(&l, "--tpm2");
    option(&l, "--tpmstate", "dir=%s,mode=0600", escape(folder, first));
    option(&l, "--ctrl", "type=unixio,path=%s,mode=0600", escape(socket, second));
    put(&l, "--terminate");
    return finish(&l, e, error);
}

/* virtiofsd wants a folder in /run that it can write to, and rights to change its root: a namespace gives both, and no
 * network. */
char **command_share(const struct share_def *share, int socket, struct error *error)
{
    static const char writable[] = "mount -t tmpfs run /run && exec \"$@\"";
    static const char read_only[] =
        "mount --bind -- \"$0\" \"$0\" && mount -o remount,bind,ro -- \"$0\" && mount -t tmpfs run /run && exec \"$@\"";
    struct list l = {0};
    char source[2 * PATH_MAX], fd[24];
    put(&l, "unshare");
    put(&l, geteuid() == 0 ? "-mni" : "-Urmni");
    put(&l, "sh");
    put(&l, "-c");
    put(&l, share->read_only ? read_only : writable);
    put(&l, share->path);
    put(&l, "/usr/lib/qemu/virtiofsd");
    snprintf(fd, sizeof(fd), "--fd=%d", socket); /* in two arguments it does not take it */
    put(&l, fd);
    option(&l, "-o", "source=%s,sandbox=chroot", escape_with('\\', share->path, source));
    option(&l, "-o", "modcaps=-mknod:-setfcap%s", share->read_only ? ":-chown:-fowner:-fsetid" : "");
    return finish(&l, 0, error);
}
