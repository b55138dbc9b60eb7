/*
 * Sums of a meter: see meter.h.
 */
#include "worker/meter.h"

#include <string.h>

static json_int_t integer(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void add_to(json_t *object, const char *key, json_int_t more)
{
    (void)!json_object_set_new(object, key, json_integer(integer(object, key) + more));
}

static json_t *within(json_t *object, const char *key)
{
    if (!json_object_get(object, key))
        (void)!json_object_set_new(object, key, json_object());
    return json_object_get(object, key);
}

static json_int_t since(json_int_t now, json_int_t last)
{
    return now >= last ? now - last : now;
}

/* Adds each counter of each thing: {ID: {COUNTER: n}}. */
static void add_each(json_t *sums, const json_t *now, const json_t *last)
{
    const char *id, *counter;
    json_t *thing, *value;
    json_object_foreach ((json_t *)(uintptr_t)now, id, thing) {
        json_t *sum = within(sums, id);
        json_object_foreach (thing, counter, value)
            add_to(sum, counter, since(json_integer_value(value), integer(json_object_get(last, id), counter)));
    }
}

/* A thing that was not seen this time keeps what it had. */
static void keep(json_t *now, const json_t *last)
{
    json_object_update_missing(now, (json_t *)(uintptr_t)last);
}

void meter_add(json_t *sums, const json_t *look, double seconds)
{
    const json_t *last = json_object_get(sums, "last");
    const char *run = json_string_value(json_object_get(look, "run")),
               *before = json_string_value(json_object_get(last, "run"));
    const json_t *same = run && before && strcmp(run, before) == 0 ? last : NULL;
    json_int_t memory = integer(look, "memory"), least = integer(sums, "memory_minimum");
    add_to(sums, "cpu_ms", since(integer(look, "cpu_ms"), integer(same, "cpu_ms")));
    add_each(within(sums, "disks"), json_object_get(look, "disks"), json_object_get(same, "disks"));
    /* The counters of a switch are not those of a run. */
    add_each(within(sums, "nics"), json_object_get(look, "nics"), json_object_get(last, "nics"));
    (void)!json_object_set_new(sums, "seconds",
                               json_real(json_number_value(json_object_get(sums, "seconds")) + seconds));
    (void)!json_object_set_new(
        sums, "memory_seconds",
        json_real(json_number_value(json_object_get(sums, "memory_seconds")) + (double)memory * seconds));
    if (memory && (!least || memory < least))
        (void)!json_object_set_new(sums, "memory_minimum", json_integer(memory));
    if (memory > integer(sums, "memory_maximum"))
        (void)!json_object_set_new(sums, "memory_maximum", json_integer(memory));
    json_t *now = json_deep_copy(look);
    keep(within(now, "nics"), json_object_get(last, "nics"));
    (void)!json_object_set_new(sums, "last", now);
}

json_t *meter_new(const json_t *before, s64 now)
{
    json_t *last = json_object_get(before, "last");
    return json_pack("{s:i, s:I, s:O*}", "version", 1, "since", (json_int_t)now, "last", last);
}
