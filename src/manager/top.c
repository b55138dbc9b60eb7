/*
 * Workers are asked for their VMs, switches for the cards.
 */
#include "manager/top.h"

#include "manager/client.h"
#include "manager/life.h"
#include "store/networks.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static json_int_t integer(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void add_to(json_t *object, const char *key, json_int_t more)
{
    (void)!json_object_set_new(object, key, json_integer(integer(object, key) + more));
}

static json_int_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A counter of exits from level 2 on has level and reason in its name. What leaves the VM for QEMU is level 1: "exits",
 * and by the host's KVM kinds of it. */
static void add_exits(json_t *exits, const json_t *counters)
{
    static const char within[] = "_exits_", kind[] = "_exits";
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)counters, name, value) {
        char row[80];
        const char *reason = strstr(name, within);
        size_t length = strlen(name);
        if (name[0] == 'l' && reason == name + 2)
            snprintf(row, sizeof(row), "%.2s %.60s", name, reason + sizeof(within) - 1);
        else if (strcmp(name, "exits") == 0)
            snprintf(row, sizeof(row), "l1 all");
        else if (length > sizeof(kind) && strcmp(name + length - sizeof(kind) + 1, kind) == 0)
            snprintf(row, sizeof(row), "l1 %.*s", (int)(length - sizeof(kind) + 1), name);
        else
            continue;
        add_to(exits, row, json_integer_value(value));
    }
}

static json_t *vm_json(const json_t *stats)
{
    const char *id;
    json_t *drive, *exits = json_object();
    json_t *vm = json_pack("{s:O, s:O, s:O, s:O, s:O, s:I, s:i, s:i, s:I, s:I}", "state",
                           json_object_get(stats, "state"), "cpus", json_object_get(stats, "cpus"), "cpu_ms",
                           json_object_get(stats, "cpu_ms"), "memory", json_object_get(stats, "memory"),
                           "hypervisor_active", json_object_get(stats, "hypervisor_active"), "at_ms", now_ms(),
                           "in_bytes", 0, "out_bytes", 0, "read_bytes", (json_int_t)0, "written_bytes", (json_int_t)0);
    json_object_foreach (json_object_get(stats, "drives"), id, drive) {
        add_to(vm, "read_bytes", integer(drive, "rd_bytes"));
        add_to(vm, "written_bytes", integer(drive, "wr_bytes"));
    }
    if (json_object_get(stats, "memory_demand"))
        (void)!json_object_set(vm, "memory_demand", json_object_get(stats, "memory_demand"));
    add_exits(exits, json_object_get(stats, "vcpu"));
    add_exits(exits, json_object_get(stats, "vm"));
    (void)!json_object_set_new(vm, "exits", exits);
    return vm;
}

/* Is there a worker, or was there one? Most VMs have none, and are not asked. */
static bool may_run(const struct store *store, const char *vm)
{
    char path[PATH_MAX], folded[NAME_MAX_LEN + 1];
    name_fold(vm, folded);
    snprintf(path, sizeof(path), "%.3800s/vms/%s/worker.json", store_run(store), folded);
    return access(path, F_OK) == 0;
}

/* What comes out of a switch's port goes into the VM. */
static void add_cards(struct store *store, json_t *vms)
{
    struct networks all;
    struct error ignored;
    json_t *report, *port;
    size_t k;
    if (!json_object_size(vms) || networks_read_some(store, &all, &ignored))
        return;
    for (u32 i = 0; i < all.switch_count; i++) {
        bool used = false;
        for (u32 c = 0; c < all.card_count; c++)
            used |=
                name_equal(all.cards[c].set.switch_name, all.switches[i].name) && json_object_get(vms, all.cards[c].vm);
        if (!used || client_ask(store, all.switches[i].name, "show", &report, &ignored))
            continue;
        json_array_foreach (json_object_get(report, "ports"), k, port) {
            const char *owner = json_string_value(json_object_get(port, "vm"));
            json_t *vm = owner ? json_object_get(vms, owner) : NULL;
            if (!vm)
                continue;
            add_to(vm, "in_bytes", integer(port, "bytes_out"));
            add_to(vm, "out_bytes", integer(port, "bytes_in"));
        }
        json_decref(report);
    }
    networks_free(&all);
}

int top_look(struct store *store, json_t **vms, struct error *error)
{
    struct vm_def *list;
    u32 count;
    int e = store_vms_some(store, &list, &count, NULL, error);
    if (e)
        return e;
    *vms = json_object();
    for (u32 i = 0; i < count; i++) {
        json_t *stats = NULL;
        struct error ignored;
        if (!may_run(store, list[i].name) ||
            life_ask(store, list[i].name, json_pack("{s:s}", "do", "stats"), NULL, &stats, &ignored))
            continue;
        (void)!json_object_set_new(*vms, list[i].name, vm_json(stats));
        json_decref(stats);
    }
    vm_defs_free(list, count);
    add_cards(store, *vms);
    return 0;
}
