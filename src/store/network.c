/*
 * Definitions of switches, NAT networks and cards as files: what is in them besides the settings, which go by their
 * tables. The name of a file is the name of the thing in lower case; in the file it is spelt as its user did.
 */
#include "store/definition.h"
#include "store/network_json.h"

#include "net/hostport.h"
#include "net/usable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -- switches -- */

struct switch_list {
    struct switch_def *def;
    u32 count;
};

static bool given(const char *text)
{
    return text && *text;
}

static int switch_read(const json_t *object, struct switch_def *def, struct error *error)
{
    struct prefix network;
    struct ip address;
    setting_defaults(switch_settings_table, &def->set);
    int e = definition_version(object, error);
    if (!e)
        e = definition_name(object, "name", "a switch", def->name, error);
    if (!e)
        e = setting_json_read(switch_settings_table, json_object_get(object, "settings"), &def->set, error);
    if (!e && given(def->set.address))
        e = usable_address("address", def->set.address, &address, &network, error);
    return e ? e : switch_settings_check(&def->set, error);
}

static int switch_take(struct store *store, const char *path, void *into, struct error *error)
{
    struct switch_list *list = into;
    json_t *object;
    int e = store_read(store, path, &object, error);
    if (e)
        return e;
    struct switch_def *def = definition_more((void **)&list->def, list->count, sizeof(*def), error);
    if (def) {
        list->count++;
        e = switch_read(object, def, error);
        if (!e && !definition_names(path, def->name))
            e = error_set(error, -EINVAL, "\"name\" is not the file's");
        if (e) {
            setting_texts_free(switch_settings_table, &def->set);
            list->count--;
        }
    } else {
        e = error->code;
    }
    json_decref(object);
    return e ? definition_fail(path, error) : 0;
}

int store_switches(struct store *store, struct switch_def **list, u32 *count, struct error *error)
{
    struct switch_list all = {0};
    int e = definition_each(store, "switches", DEFINITION_SUFFIX, switch_take, &all, error);
    if (e) {
        switch_defs_free(all.def, all.count);
        all = (struct switch_list){0};
    }
    *list = all.def;
    *count = all.count;
    return e;
}

void switch_defs_free(struct switch_def *list, u32 count)
{
    for (u32 i = 0; i < count; i++)
        setting_texts_free(switch_settings_table, &list[i].set);
    free(list);
}

int store_switch_put(struct store *store, const struct switch_def *def, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    definition_path("switches", def->name, DEFINITION_SUFFIX, path);
    return definition_put(store, path,
                          json_pack("{s:i, s:s, s:o}", "version", DEFINITION_VERSION, "name", def->name, "settings",
                                    setting_json(switch_settings_table, &def->set)),
                          error);
}

int store_switch_remove(struct store *store, const char *name, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    definition_path("switches", name, DEFINITION_SUFFIX, path);
    return store_write(store, path, NULL, error);
}

/* -- NAT networks -- */

struct nat_list {
    struct nat_def *def;
    u32 count;
};

static int hostport_into(const json_t *object, const char *key, char *to, size_t size, struct error *error)
{
    const char *text = json_string_value(json_object_get(object, key));
    struct hostport ignored;
    if (!text || strlen(text) >= size || !hostport_parse(text, &ignored))
        return error_set(error, -EINVAL, "\"%s\" of a mapping is not an address and a port", key);
    strcpy(to, text);
    return 0;
}

static int mapping_read(const json_t *object, struct nat_mapping *mapping, struct error *error)
{
    const char *protocol = json_string_value(json_object_get(object, "protocol"));
    if (!protocol || (strcmp(protocol, "tcp") && strcmp(protocol, "udp")))
        return error_set(error, -EINVAL, "\"protocol\" of a mapping is neither tcp nor udp");
    mapping->udp = strcmp(protocol, "udp") == 0;
    int e = hostport_into(object, "external", mapping->external, sizeof(mapping->external), error);
    return e ? e : hostport_into(object, "internal", mapping->internal, sizeof(mapping->internal), error);
}

static int mappings_read(const json_t *array, struct nat_def *def, struct error *error)
{
    size_t index;
    json_t *item;
    if (!json_is_array(array))
        return error_set(error, -EINVAL, "\"mappings\" is not an array");
    json_array_foreach (array, index, item) {
        struct nat_mapping *mapping = definition_more((void **)&def->mapping, def->mappings, sizeof(*mapping), error);
        int e = mapping ? mapping_read(item, mapping, error) : error->code;
        if (e)
            return e;
        def->mappings++;
    }
    return 0;
}

static int nat_read(const json_t *object, struct nat_def *def, struct error *error)
{
    struct prefix prefix;
    setting_defaults(nat_settings_table, &def->set);
    int e = definition_version(object, error);
    if (!e)
        e = definition_name(object, "name", "a NAT network", def->name, error);
    if (!e)
        e = setting_json_read(nat_settings_table, json_object_get(object, "settings"), &def->set, error);
    if (!e && given(def->set.prefix))
        e = usable_prefix("prefix", def->set.prefix, 4, &prefix, error);
    if (!e && given(def->set.prefix6))
        e = usable_prefix("prefix6", def->set.prefix6, 6, &prefix, error);
    if (!e && given(def->set.switch_name))
        e = name_check("a switch", def->set.switch_name, error);
    if (!e)
        e = mappings_read(json_object_get(object, "mappings"), def, error);
    return e ? e : nat_settings_check(&def->set, error);
}

static int nat_take(struct store *store, const char *path, void *into, struct error *error)
{
    struct nat_list *list = into;
    json_t *object;
    int e = store_read(store, path, &object, error);
    if (e)
        return e;
    struct nat_def *def = definition_more((void **)&list->def, list->count, sizeof(*def), error);
    if (def) {
        list->count++;
        e = nat_read(object, def, error);
        if (!e && !definition_names(path, def->name))
            e = error_set(error, -EINVAL, "\"name\" is not the file's");
        if (e) {
            setting_texts_free(nat_settings_table, &def->set);
            free(def->mapping);
            list->count--;
        }
    } else {
        e = error->code;
    }
    json_decref(object);
    return e ? definition_fail(path, error) : 0;
}

int store_nats(struct store *store, struct nat_def **list, u32 *count, struct error *error)
{
    struct nat_list all = {0};
    int e = definition_each(store, "nats", DEFINITION_SUFFIX, nat_take, &all, error);
    if (e) {
        nat_defs_free(all.def, all.count);
        all = (struct nat_list){0};
    }
    *list = all.def;
    *count = all.count;
    return e;
}

void nat_defs_free(struct nat_def *list, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        setting_texts_free(nat_settings_table, &list[i].set);
        free(list[i].mapping);
    }
    free(list);
}

json_t *nat_mappings_json(const struct nat_def *def)
{
    json_t *array = json_array();
    for (u32 i = 0; i < def->mappings; i++) {
        const struct nat_mapping *m = &def->mapping[i];
        if (json_array_append_new(array, json_pack("{s:s, s:s, s:s}", "protocol", m->udp ? "udp" : "tcp", "external",
                                                   m->external, "internal", m->internal))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

int store_nat_put(struct store *store, const struct nat_def *def, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    definition_path("nats", def->name, DEFINITION_SUFFIX, path);
    return definition_put(store, path,
                          json_pack("{s:i, s:s, s:o, s:o}", "version", DEFINITION_VERSION, "name", def->name,
                                    "settings", setting_json(nat_settings_table, &def->set), "mappings",
                                    nat_mappings_json(def)),
                          error);
}

int store_nat_remove(struct store *store, const char *name, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    definition_path("nats", name, DEFINITION_SUFFIX, path);
    return store_write(store, path, NULL, error);
}

/* -- cards: all of a VM in one file -- */

#define CARDS_FILE "/nics.json"

struct card_list {
    struct card_def *def;
    u32 count;
};

static bool is_id(const char *text)
{
    return text && text[0] >= 'a' && text[0] <= 'f' && strlen(text) == ID_TEXT_MAX - 1 &&
           strspn(text, "0123456789abcdef") == ID_TEXT_MAX - 1;
}

static int card_read(const json_t *object, struct card_def *def, struct error *error)
{
    const char *id = json_string_value(json_object_get(object, "id"));
    setting_defaults(card_settings_table, &def->set);
    if (!is_id(id))
        return error_set(error, -EINVAL, "\"id\" of a card is not one");
    strcpy(def->id, id);
    int e = definition_name(object, "name", "a card", def->name, error);
    if (!e)
        e = setting_json_read(card_settings_table, json_object_get(object, "settings"), &def->set, error);
    if (!e && !def->set.switch_name && !(def->set.switch_name = strdup("")))
        e = error_memory(error);
    if (!e && (!def->set.mac || !mac_parse(def->set.mac, &def->mac) || mac_is_group(&def->mac)))
        e = error_set(error, -EINVAL, "\"mac\" of a card is not an address");
    return e ? e : card_settings_check(&def->set, error);
}

/* A copied file has the cards of another VM, and one that was edited may have a name twice. */
static int card_is_one(const struct card_list *list, const struct card_def *def, struct error *error)
{
    for (const struct card_def *other = list->def; other < def; other++) {
        if (strcmp(other->id, def->id) == 0)
            return error_set(error, -EINVAL, "the card %s has the \"id\" of %s/%s, %s", def->name, other->vm,
                             other->name, def->id);
        if (name_equal(other->vm, def->vm) && name_equal(other->name, def->name))
            return error_set(error, -EINVAL, "there are two cards %s", def->name);
    }
    return 0;
}

static int cards_read(const char *path, const json_t *object, struct card_list *list, struct error *error)
{
    const json_t *array = json_object_get(object, "nics");
    char vm[NAME_MAX_LEN + 1];
    size_t index;
    json_t *item;
    int e = definition_version(object, error);
    if (!e)
        e = definition_name(object, "vm", "a VM", vm, error);
    if (!e && !json_is_array(array))
        e = error_set(error, -EINVAL, "\"nics\" is not an array");
    if (!e)
        e = definition_was(object, path, "a VM", vm, error);
    if (e)
        return e;
    json_array_foreach (array, index, item) {
        struct card_def *def = definition_more((void **)&list->def, list->count, sizeof(*def), error);
        if (!def)
            return error->code;
        list->count++;
        strcpy(def->vm, vm);
        e = card_read(item, def, error);
        if (!e)
            e = card_is_one(list, def, error);
        if (e)
            return e;
    }
    return 0;
}

static int cards_take(struct store *store, const char *path, void *into, struct error *error)
{
    struct card_list *list = into;
    json_t *object;
    int e = store_read(store, path, &object, error);
    if (e)
        return e;
    u32 before = list->count;
    e = cards_read(path, object, list, error);
    if (!e && list->count > before && !definition_names(path, list->def[before].vm))
        e = error_set(error, -EINVAL, "\"vm\" is not the folder's");
    while (e && list->count > before)
        setting_texts_free(card_settings_table, &list->def[--list->count].set);
    json_decref(object);
    return e ? definition_fail(path, error) : 0;
}

int store_cards(struct store *store, struct card_def **list, u32 *count, struct error *error)
{
    struct card_list all = {0};
    int e = definition_each(store, "vms", CARDS_FILE, cards_take, &all, error);
    if (e) {
        card_defs_free(all.def, all.count);
        all = (struct card_list){0};
    }
    *list = all.def;
    *count = all.count;
    return e;
}

void card_defs_free(struct card_def *list, u32 count)
{
    for (u32 i = 0; i < count; i++)
        setting_texts_free(card_settings_table, &list[i].set);
    free(list);
}

json_t *card_settings_json(const struct card_def *def)
{
    struct card_settings set = def->set;
    char mac[MAC_TEXT_MAX];
    mac_format(&def->mac, mac);
    set.mac = mac;
    return setting_json(card_settings_table, &set);
}

/* Writes the cards of one VM, or removes the file if there are none. */
static int vm_put(struct store *store, const char *vm, const struct card_list *list, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    json_t *array = json_array();
    bool good = array;
    definition_path("vms", vm, CARDS_FILE, path);
    for (u32 i = 0; i < list->count && good; i++) {
        const struct card_def *def = &list->def[i];
        good = !json_array_append_new(
            array, json_pack("{s:s, s:s, s:o}", "id", def->id, "name", def->name, "settings", card_settings_json(def)));
    }
    if (good && list->count)
        return definition_put(
            store, path, json_pack("{s:i, s:s, s:o}", "version", DEFINITION_VERSION, "vm", vm, "nics", array), error);
    json_decref(array);
    return good ? store_write(store, path, NULL, error) : error_memory(error);
}

/* Reads the cards of one VM; none if there is no file. */
static int vm_get(struct store *store, const char *vm, struct card_list *list, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    definition_path("vms", vm, CARDS_FILE, path);
    int e = cards_take(store, path, list, error);
    return e == -ENOENT ? 0 : e;
}

int store_card_put(struct store *store, const struct card_def *def, struct error *error)
{
    struct card_list list = {0};
    u32 at = 0;
    int e = vm_get(store, def->vm, &list, error);
    while (at < list.count && strcmp(list.def[at].id, def->id) != 0)
        at++;
    if (!e && at == list.count) {
        if (definition_more((void **)&list.def, list.count, sizeof(*def), error))
            list.count++;
        else
            e = error->code;
    }
    if (!e) {
        struct card_def old = list.def[at];
        list.def[at] = *def;
        e = vm_put(store, def->vm, &list, error);
        list.def[at] = old; /* whose texts are the list's own */
    }
    card_defs_free(list.def, list.count);
    return e;
}

/* Takes the card with that id out of a list. Returns the VM's name in `vm`. */
static bool take_out(struct card_list *list, const char *id, char vm[static NAME_MAX_LEN + 1])
{
    for (u32 i = 0; i < list->count; i++) {
        if (strcmp(list->def[i].id, id) != 0)
            continue;
        strcpy(vm, list->def[i].vm);
        setting_texts_free(card_settings_table, &list->def[i].set);
        memmove(&list->def[i], &list->def[i + 1], (--list->count - i) * sizeof(list->def[0]));
        return true;
    }
    return false;
}

int store_card_remove(struct store *store, const char *id, struct error *error)
{
    struct card_list all = {0}, own = {0};
    char vm[NAME_MAX_LEN + 1];
    int e = store_cards(store, &all.def, &all.count, error);
    if (!e && take_out(&all, id, vm)) {
        e = vm_get(store, vm, &own, error);
        if (!e && take_out(&own, id, vm))
            e = vm_put(store, vm, &own, error);
    }
    card_defs_free(own.def, own.count);
    card_defs_free(all.def, all.count);
    return e;
}
