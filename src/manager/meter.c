/*
 * The worker of a VM that runs has the sums; of one that does not they are in its folder.
 */
#include "manager/meter.h"

#include "manager/card.h"
#include "manager/disk.h"
#include "manager/life.h"
#include "store/file.h"
#include "store/store.h"
#include "worker/meter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void file_path(const struct vm_def *def, char path[static PATH_MAX])
{
    char folded[NAME_MAX_LEN + 1];
    name_fold(def->name, folded);
    snprintf(path, PATH_MAX, "vms/%s/" METER_FILE, folded);
}

static int read_file(struct store *store, const struct vm_def *def, bool reset, json_t **sums, struct error *error)
{
    char path[PATH_MAX];
    file_path(def, path);
    int e = file_read(store->folder, path, sums, error);
    if (e == -ENOENT) {
        *sums = meter_new(NULL, time(NULL));
        e = 0;
    }
    if (e || !reset)
        return e;
    json_t *fresh = meter_new(*sums, time(NULL));
    e = file_write(store->folder, path, fresh, error);
    json_decref(fresh);
    if (e)
        json_decref(*sums);
    return e;
}

static int read_sums(struct store *store, const struct vm_def *def, bool reset, json_t **sums, struct error *error)
{
    json_t *answer = NULL;
    int e = life_ask(store, def->name, json_pack("{s:s, s:b}", "do", "meter", "reset", reset), NULL, &answer, error);
    if (e == -ENOTCONN)
        return read_file(store, def, reset, sums, error);
    if (!e)
        *sums = json_incref(json_object_get(answer, "meter"));
    json_decref(answer);
    return e;
}

static double host_mhz(void)
{
    char line[256];
    double mhz = 0;
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && !mhz && fgets(line, sizeof(line), f))
        if (sscanf(line, "cpu MHz : %lf", &mhz) != 1)
            mhz = 0;
    if (f)
        fclose(f);
    return mhz;
}

static json_int_t integer(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void add_disks(struct store *store, const struct vm_def *def, json_t *object)
{
    struct error ignored;
    json_t *list = NULL, *disk;
    json_int_t size = 0, bytes = 0;
    size_t i;
    if (disk_list(store, def->name, &list, &ignored))
        return;
    json_array_foreach (list, i, disk) {
        const char *kind = json_string_value(json_object_get(json_object_get(disk, "settings"), "kind"));
        if (kind && strcmp(kind, "disk") == 0) {
            size += integer(disk, "size");
            bytes += integer(disk, "bytes");
        }
    }
    json_decref(list);
    (void)!json_object_set_new(object, "disk_size", json_integer(size));
    (void)!json_object_set_new(object, "disk_bytes", json_integer(bytes));
}

/* Cards by their names; one that has gone by its id. */
static void add_nics(struct store *store, const struct vm_def *def, const json_t *sums, json_t *object)
{
    struct error ignored;
    json_t *list = NULL, *nics = json_object(), *card, *sum;
    const char *id;
    size_t i;
    if (nic_list(store, def->name, &list, &ignored))
        list = NULL;
    json_object_foreach (json_object_get(sums, "nics"), id, sum) {
        const char *name = id;
        json_array_foreach (list, i, card) {
            const char *own = json_string_value(json_object_get(card, "id"));
            if (own && strcmp(own, id) == 0)
                name = json_string_value(json_object_get(card, "name"));
        }
        (void)!json_object_set(nics, name, sum);
    }
    json_decref(list);
    (void)!json_object_set_new(object, "nics", nics);
}

static json_t *describe(struct store *store, const struct vm_def *def, const json_t *sums)
{
    double seconds = json_number_value(json_object_get(sums, "seconds"));
    double part = seconds > 0 ? (double)integer(sums, "cpu_ms") / (seconds * 1000) : 0;
    double memory = seconds > 0 ? json_number_value(json_object_get(sums, "memory_seconds")) / seconds : 0;
    json_t *disks = json_object_get(sums, "disks");
    json_t *object = json_pack("{s:s, s:I, s:f, s:I, s:f, s:f, s:I, s:I, s:I, s:o}", "name", def->name, "since",
                               integer(sums, "since"), "seconds", seconds, "cpu_ms", integer(sums, "cpu_ms"),
                               "cpu_average", part * 100, "cpu_mhz", part * host_mhz(), "memory_average",
                               (json_int_t)memory, "memory_minimum", integer(sums, "memory_minimum"), "memory_maximum",
                               integer(sums, "memory_maximum"), "disks", disks ? json_incref(disks) : json_object());
    if (object) {
        add_disks(store, def, object);
        add_nics(store, def, sums, object);
    }
    return object;
}

int meter_show(struct store *store, const char *vm, bool reset, json_t **object, struct error *error)
{
    struct vm_def def;
    json_t *sums = NULL;
    int e = store_vm(store, vm, &def, error);
    if (e)
        return e;
    if (!def.set.metering) {
        char hint[sizeof(error->hint)], word[NAME_WORD_MAX];
        e = error_set(error, -EPERM, "what VM %s uses is not metered", def.name);
        snprintf(hint, sizeof(hint), "nestbox set %s " SETTING("metering") " on", name_word(def.name, word));
        error_hint(error, hint);
    }
    /* What was comes first, and then it goes. */
    if (!e)
        e = read_sums(store, &def, false, &sums, error);
    if (!e) {
        *object = describe(store, &def, sums);
        json_decref(sums);
        e = *object ? 0 : error_memory(error);
    }
    if (!e && reset) {
        e = read_sums(store, &def, true, &sums, error);
        if (!e)
            json_decref(sums);
        else
            json_decref(*object);
    }
    vm_def_free(&def);
    return e;
}
