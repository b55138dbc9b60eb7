/*
 * Definitions of switches, NAT networks and cards as files: what is in them besides the settings, which go by their
 * tables. The name of a file is the name of the thing in lower case; in the file it is spelt as its user did.
 */
#include "store/network_json.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERSION 1
#define PATH_LEN (NAME_MAX_LEN + 32)

static const char suffix[] = ".json";

static int no_memory(struct error *error)
{
    return error_set(error, -ENOMEM, "out of memory");
}

/* Puts the name of the file before what is wrong with it. */
static int fail_in(const char *path, struct error *error)
{
    struct error why = *error;
    if (why.code == -ENOMEM)
        return why.code;
    error_set(error, -EBADMSG, "%s: it is damaged: %.200s", path, why.text);
    return error_hint(error, "mend the file or remove it; nothing was changed");
}

/* -- folders of definitions -- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void *more(void **array, u32 count, size_t size, struct error *error);

/* Returns 0 if reading goes on without a damaged file. */
static int tolerate(struct store *store, int e, struct error *error)
{
    struct damage *damage = store->damage;
    struct error why = *error;
    struct error *place =
        damage && e == -EBADMSG ? more((void **)&damage->list, damage->count, sizeof(*place), error) : NULL;
    if (!place)
        return e;
    *place = why;
    damage->count++;
    return 0;
}

/* Calls `take` with the path of each definition in a folder, `tail` behind its name: ".json", or a file in it. */
static int each_file(struct store *store, const char *folder, const char *tail,
                     int (*take)(struct store *store, const char *path, void *list, struct error *error), void *list,
                     struct error *error)
{
    struct dirent **entry;
    int count = scandirat(store->folder, folder, &entry, not_hidden, by_name), e = 0;
    if (count < 0)
        return error_set(error, -errno, "%s/%s: %s", store->home, folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        char path[PATH_LEN + 256];
        const char *name = entry[i]->d_name;
        size_t length = strlen(name), tail_length = strlen(suffix);
        if (tail[0] == '/')
            snprintf(path, sizeof(path), "%s/%s%s", folder, name, tail);
        else
            snprintf(path, sizeof(path), "%s/%s", folder, name);
        bool ours = tail[0] == '/' ? faccessat(store->folder, path, F_OK, 0) == 0
                                   : length > tail_length && strcmp(name + length - tail_length, suffix) == 0;
        if (ours && !e)
            e = take(store, path, list, error);
        if (e)
            e = tolerate(store, e, error);
        if (e == -ENOENT) /* removed meanwhile */
            e = 0;
        free(entry[i]);
    }
    free(entry);
    return e;
}

static void path_of(const char *folder, const char *name, const char *tail, char path[static PATH_LEN])
{
    char folded[NAME_MAX_LEN + 1];
    name_fold(name, folded);
    snprintf(path, PATH_LEN, "%s/%s%s", folder, folded, tail);
}

/* Is the name inside that of the file, "FOLDER/NAME.json" or "FOLDER/NAME/FILE"? */
static bool names_file(const char *path, const char *name)
{
    char folded[NAME_MAX_LEN + 1];
    const char *own = strchr(path, '/') + 1;
    name_fold(name, folded);
    size_t length = strlen(folded);
    return strncmp(own, folded, length) == 0 && (own[length] == '/' || strcmp(own + length, suffix) == 0);
}

/* Makes room for one more element behind `count`, zeroed. */
static void *more(void **array, u32 count, size_t size, struct error *error)
{
    void *bigger = realloc(*array, (count + 1) * size);
    if (!bigger) {
        no_memory(error);
        return NULL;
    }
    *array = bigger;
    return memset((char *)bigger + count * size, 0, size);
}

/* Copies a name out of an object. */
static int read_name(const json_t *object, const char *key, const char *what, char name[static NAME_MAX_LEN + 1],
                     struct error *error)
{
    const char *text = json_string_value(json_object_get(object, key));
    int e = text ? name_check(what, text, error) : error_set(error, -EINVAL, "\"%s\" is not a name", key);
    if (!e)
        strcpy(name, text);
    return e;
}

static int check_version(const json_t *object, struct error *error)
{
    const json_t *version = json_object_get(object, "version");
    if (json_is_integer(version) && json_integer_value(version) == VERSION)
        return 0;
    return error_set(error, -EINVAL, "\"version\" is not %d", VERSION);
}

static int put(struct store *store, const char *path, json_t *object, struct error *error)
{
    int e = object ? store_write(store, path, object, error) : no_memory(error);
    json_decref(object);
    return e;
}

/* -- switches -- */

struct switch_list {
    struct switch_def *def;
    u32 count;
};

static int switch_read(const json_t *object, struct switch_def *def, struct error *error)
{
    setting_defaults(switch_settings_table, &def->set);
    int e = check_version(object, error);
    if (!e)
        e = read_name(object, "name", "a switch", def->name, error);
    if (!e)
        e = setting_json_read(switch_settings_table, json_object_get(object, "settings"), &def->set, error);
    return e ? e : switch_settings_check(&def->set, error);
}

static int switch_take(struct store *store, const char *path, void *into, struct error *error)
{
    struct switch_list *list = into;
    json_t *object;
    int e = store_read(store, path, &object, error);
    if (e)
        return e;
    struct switch_def *def = more((void **)&list->def, list->count, sizeof(*def), error);
    if (def) {
        list->count++;
        e = switch_read(object, def, error);
        if (!e && !names_file(path, def->name))
            e = error_set(error, -EINVAL, "\"name\" is not the file's");
        if (e) {
            setting_texts_free(switch_settings_table, &def->set);
            list->count--;
        }
    } else {
        e = error->code;
    }
    json_decref(object);
    return e ? fail_in(path, error) : 0;
}

int store_switches(struct store *store, struct switch_def **list, u32 *count, struct error *error)
{
    struct switch_list all = {0};
    int e = each_file(store, "switches", suffix, switch_take, &all, error);
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
    char path[PATH_LEN];
    path_of("switches", def->name, suffix, path);
    return put(store, path,
               json_pack("{s:i, s:s, s:o}", "version", VERSION, "name", def->name, "settings",
                         setting_json(switch_settings_table, &def->set)),
               error);
}

int store_switch_remove(struct store *store, const char *name, struct error *error)
{
    char path[PATH_LEN];
    path_of("switches", name, suffix, path);
    return store_write(store, path, NULL, error);
}

/* -- NAT networks -- */

struct nat_list {
    struct nat_def *def;
    u32 count;
};

static int text_into(const json_t *object, const char *key, char *to, size_t size, struct error *error)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text || strlen(text) >= size)
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
    int e = text_into(object, "external", mapping->external, sizeof(mapping->external), error);
    return e ? e : text_into(object, "internal", mapping->internal, sizeof(mapping->internal), error);
}

static int mappings_read(const json_t *array, struct nat_def *def, struct error *error)
{
    size_t index;
    json_t *item;
    if (!json_is_array(array))
        return error_set(error, -EINVAL, "\"mappings\" is not an array");
    json_array_foreach (array, index, item) {
        struct nat_mapping *mapping = more((void **)&def->mapping, def->mappings, sizeof(*mapping), error);
        int e = mapping ? mapping_read(item, mapping, error) : error->code;
        if (e)
            return e;
        def->mappings++;
    }
    return 0;
}

static int nat_read(const json_t *object, struct nat_def *def, struct error *error)
{
    setting_defaults(nat_settings_table, &def->set);
    int e = check_version(object, error);
    if (!e)
        e = read_name(object, "name", "a NAT network", def->name, error);
    if (!e)
        e = setting_json_read(nat_settings_table, json_object_get(object, "settings"), &def->set, error);
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
    struct nat_def *def = more((void **)&list->def, list->count, sizeof(*def), error);
    if (def) {
        list->count++;
        e = nat_read(object, def, error);
        if (!e && !names_file(path, def->name))
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
    return e ? fail_in(path, error) : 0;
}

int store_nats(struct store *store, struct nat_def **list, u32 *count, struct error *error)
{
    struct nat_list all = {0};
    int e = each_file(store, "nats", suffix, nat_take, &all, error);
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
    char path[PATH_LEN];
    path_of("nats", def->name, suffix, path);
    return put(store, path,
               json_pack("{s:i, s:s, s:o, s:o}", "version", VERSION, "name", def->name, "settings",
                         setting_json(nat_settings_table, &def->set), "mappings", nat_mappings_json(def)),
               error);
}

int store_nat_remove(struct store *store, const char *name, struct error *error)
{
    char path[PATH_LEN];
    path_of("nats", name, suffix, path);
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
    int e = read_name(object, "name", "a card", def->name, error);
    if (!e)
        e = setting_json_read(card_settings_table, json_object_get(object, "settings"), &def->set, error);
    if (!e && (!def->set.mac || !mac_parse(def->set.mac, &def->mac) || mac_is_group(&def->mac)))
        e = error_set(error, -EINVAL, "\"mac\" of a card is not an address");
    return e ? e : card_settings_check(&def->set, error);
}

static int cards_read(const json_t *object, struct card_list *list, struct error *error)
{
    const json_t *array = json_object_get(object, "nics");
    char vm[NAME_MAX_LEN + 1];
    size_t index;
    json_t *item;
    int e = check_version(object, error);
    if (!e)
        e = read_name(object, "vm", "a VM", vm, error);
    if (!e && !json_is_array(array))
        e = error_set(error, -EINVAL, "\"nics\" is not an array");
    if (e)
        return e;
    json_array_foreach (array, index, item) {
        struct card_def *def = more((void **)&list->def, list->count, sizeof(*def), error);
        if (!def)
            return error->code;
        list->count++;
        strcpy(def->vm, vm);
        e = card_read(item, def, error);
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
    e = cards_read(object, list, error);
    if (!e && list->count > before && !names_file(path, list->def[before].vm))
        e = error_set(error, -EINVAL, "\"vm\" is not the folder's");
    while (e && list->count > before)
        setting_texts_free(card_settings_table, &list->def[--list->count].set);
    json_decref(object);
    return e ? fail_in(path, error) : 0;
}

int store_cards(struct store *store, struct card_def **list, u32 *count, struct error *error)
{
    struct card_list all = {0};
    int e = each_file(store, "vms", CARDS_FILE, cards_take, &all, error);
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
    char path[PATH_LEN];
    json_t *array = json_array();
    bool good = array;
    path_of("vms", vm, CARDS_FILE, path);
    for (u32 i = 0; i < list->count && good; i++) {
        const struct card_def *def = &list->def[i];
        good = !json_array_append_new(
            array, json_pack("{s:s, s:s, s:o}", "id", def->id, "name", def->name, "settings", card_settings_json(def)));
    }
    if (good && list->count)
        return put(store, path, json_pack("{s:i, s:s, s:o}", "version", VERSION, "vm", vm, "nics", array), error);
    json_decref(array);
    return good ? store_write(store, path, NULL, error) : no_memory(error);
}

/* Reads the cards of one VM; none if there is no file. */
static int vm_get(struct store *store, const char *vm, struct card_list *list, struct error *error)
{
    char path[PATH_LEN];
    path_of("vms", vm, CARDS_FILE, path);
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
        if (more((void **)&list.def, list.count, sizeof(*def), error))
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
