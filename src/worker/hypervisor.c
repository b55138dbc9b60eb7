/*
 * The statistics of vCPUs as QEMU passes them on: the kernel's binary statistics, or those of the engine.
 */
#include "worker/hypervisor.h"

#include <string.h>

static void add(json_t *sum, const char *name, json_int_t value)
{
    json_int_t before = json_integer_value(json_object_get(sum, name));
    if (value)
        (void)!json_object_set_new(sum, name, json_integer(before + value));
}

json_t *hypervisor_counters(const json_t *stats)
{
    json_t *sum = json_object(), *one, *row;
    size_t i, k;
    json_array_foreach ((json_t *)(uintptr_t)stats, i, one)
        json_array_foreach (json_object_get(one, "stats"), k, row) {
            const char *name = json_string_value(json_object_get(row, "name"));
            const json_t *value = json_object_get(row, "value");
            if (name && json_is_integer(value))
                add(sum, name, json_integer_value(value));
            else if (name && json_is_boolean(value))
                add(sum, name, json_is_true(value));
        }
    return sum;
}

bool hypervisor_active(const json_t *vcpus)
{
    json_t *sum = hypervisor_counters(vcpus);
    const json_t *now = json_object_get(sum, "hypervisor_active");
    bool active = json_integer_value(now) > 0 || json_integer_value(json_object_get(sum, "nested_run")) > 0;
    json_decref(sum);
    return active;
}
