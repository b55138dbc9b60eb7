/*
 * QEMU is asked through the worker: the balloon takes from what the VM was started with and gives it back, a device of
 * virtio-mem has what is beyond. That device is there when it is first needed.
 */
#include "manager/resize.h"

#include "manager/hot.h"
#include "worker/command.h"
#include "worker/place.h"

#include <errno.h>
#include <unistd.h>

#define TAKE_MS 10000u /* for a guest to take what it is given, before that is a note */
#define STEP_MS 100u

static u64 number_of(const struct vm_now *now, const char *key)
{
    return (u64)json_integer_value(json_object_get(now->report, key));
}

static int read_added(struct store *store, const char *vm, u64 *size, u64 *now, struct error *error)
{
    json_t *devices = NULL;
    int e = hot_ask(store, vm, "query-memory-devices", NULL, &devices, error);
    if (!e)
        *size = memory_added(devices, now);
    json_decref(devices);
    return e;
}

static int add_device(struct store *store, const struct vm_def *def, u64 size, u64 wanted, struct error *error)
{
    char bus[HOT_BUS_MAX];
    struct error ignored;
    int e = hot_bus(store, def, bus, error);
    if (!e)
        e = hot_ask(store, def->name, "object-add", command_memory(def, COMMAND_MEMORY, size), NULL, error);
    if (e)
        return e;
    json_t *device = command_memory_device(wanted);
    if (bus[0])
        (void)!json_object_set_new(device, "bus", json_string(bus));
    e = hot_ask(store, def->name, "device_add", device, NULL, error);
    if (e)
        (void)!hot_ask(store, def->name, "object-del", json_pack("{s:s}", "id", COMMAND_MEMORY), NULL, &ignored);
    return e;
}

static int want(struct store *store, const struct vm_def *def, u64 size, u64 wanted, struct error *error)
{
    if (!size)
        return 0;
    return hot_ask(store, def->name, "qom-set",
                   json_pack("{s:s, s:s, s:I}", "path", "/machine/peripheral/" COMMAND_MEMORY_DEVICE, "property",
                             "requested-size", "value", (json_int_t)wanted),
                   NULL, error);
}

/* A guest takes and gives in its own time; what it has not done after a while is said. */
static void wait_for(struct store *store, const struct vm_def *def, u64 wanted)
{
    struct error note;
    u64 size, now = 0;
    for (u32 waited = 0; waited < TAKE_MS; waited += STEP_MS) {
        if (read_added(store, def->name, &size, &now, &note) || now == wanted)
            return;
        usleep(STEP_MS * 1000);
    }
    if (now < wanted)
        error_set(&note, -EAGAIN, "the guest of VM %s has taken %llu MiB of the %llu that it is given so far",
                  def->name, (unsigned long long)now >> 20, (unsigned long long)wanted >> 20);
    else
        error_set(&note, -EAGAIN, "the guest of VM %s still keeps %llu MiB of what was added to it", def->name,
                  (unsigned long long)(now - wanted) >> 20);
    error_hint(&note, now < wanted ? "it needs the driver virtio_mem" : "what it uses there it does not give back");
    store_note(store, &note);
}

int vm_resize(struct store *store, const struct vm_def *def, const struct vm_now *now, u64 memory, struct error *error)
{
    u64 base = number_of(now, "memory_started"), added = memory > base ? memory - base : 0, size = 0, before = 0;
    u64 limit = (u64)json_integer_value(json_object_get(json_object_get(now->report, "machine"), "memory_limit"));
    char text[24], most[24];
    if (added && memory > limit) {
        setting_size_text(base, text, sizeof(text));
        setting_size_text(limit > base ? limit : base, most, sizeof(most));
        error_set(error, -EPERM, "VM %s was started with %s of memory and gets no more than %s while it runs",
                  def->name, text, most);
        return error_hint(error, "stop it first; a VM that is started with " SETTING("memory-cap") " can grow to that");
    }
    int e = read_added(store, def->name, &size, &before, error);
    if (!e)
        e = added && !size ? add_device(store, def, limit - base, added, error) : want(store, def, size, added, error);
    if (!e)
        e = hot_ask(store, def->name, "balloon", json_pack("{s:I}", "value", (json_int_t)(added ? base : memory)), NULL,
                    error);
    if (!e && (added || before))
        wait_for(store, def, added);
    return e;
}
