/*
 * Settings of the host as JSON.
 */
#include "store/host.h"

#include "store/definition.h"
#include "store/setting_json.h"

#include <errno.h>

static const char file[] = "host.json";

int store_host(struct store *store, struct host_settings *set, struct error *error)
{
    json_t *object;
    *set = (struct host_settings){0};
    setting_defaults(host_settings_table, set);
    int e = store_read(store, file, &object, error);
    if (e)
        return e == -ENOENT ? 0 : e;
    e = definition_version(object, error);
    if (!e)
        e = setting_json_read(host_settings_table, json_object_get(object, "settings"), set, error);
    json_decref(object);
    return e ? definition_fail(file, error) : 0;
}

int store_host_put(struct store *store, const struct host_settings *set, struct error *error)
{
    return definition_put(
        store, file,
        json_pack("{s:i, s:o}", "version", DEFINITION_VERSION, "settings", setting_json(host_settings_table, set)),
        error);
}
