/*
 * Definitions of VMs as files, and the folders of VMs. The lock is in vm_lock.c. Called by commands and by workers,
 * each with one thread.
 */
#include "store/vm.h"

#include "store/definition.h"
#include "store/file.h"
#include "store/intent.h"
#include "store/setting_json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define VM_FILE "/vm.json"
#define CARDS_FILE "/nics.json"
#define RUNNING_FILE "/running.json"

int uuid_make(char uuid[static UUID_TEXT_MAX], struct error *error)
{
    u8 b[16];
    if (getrandom(b, sizeof(b), 0) != sizeof(b))
        return error_set(error, -EIO, "the host gives no random numbers");
    b[6] = (u8)(0x40 | (b[6] & 0x0f));
    b[8] = (u8)(0x80 | (b[8] & 0x3f));
    snprintf(uuid, UUID_TEXT_MAX, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    return 0;
}

static bool is_uuid(const char *text)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    size_t i = 0;
    for (; shape[i] && text[i]; i++)
        if (shape[i] == '-' ? text[i] != '-' : !strchr("0123456789abcdefABCDEF", text[i]))
            return false;
    return !shape[i] && !text[i];
}

/* -- reading -- */

static int read_uuid(const json_t *object, const char *key, char uuid[static UUID_TEXT_MAX], struct error *error)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text || !is_uuid(text))
        return error_set(error, -EINVAL, "\"%s\" is not a UUID", key);
    strcpy(uuid, text);
    return 0;
}

static int read_disk(const json_t *object, struct disk_def *disk, struct error *error)
{
    const char *id = json_string_value(json_object_get(object, "id"));
    setting_defaults(disk_settings_table, disk);
    if (!id || !*id || strlen(id) >= sizeof(disk->id))
        return error_set(error, -EINVAL, "\"id\" of a drive is not one");
    strcpy(disk->id, id);
    return setting_json_read(disk_settings_table, json_object_get(object, "settings"), disk, error);
}

static int read_share(const json_t *object, struct share_def *share, struct error *error)
{
    const char *tag = json_string_value(json_object_get(object, "tag"));
    setting_defaults(share_settings_table, share);
    if (!tag || strlen(tag) >= sizeof(share->tag))
        return error_set(error, -EINVAL, "\"tag\" of a share is not one");
    strcpy(share->tag, tag);
    int e = share_check(share, error);
    return e ? e : setting_json_read(share_settings_table, json_object_get(object, "settings"), share, error);
}

static int read_drives(const json_t *object, struct vm_def *def, struct error *error)
{
    const json_t *disks = json_object_get(object, "disks"), *shares = json_object_get(object, "shares");
    size_t index;
    json_t *item;
    if (!json_is_array(disks) || json_array_size(disks) > VM_DISKS_MAX)
        return error_set(error, -EINVAL, "\"disks\" is not an array of at most %u", VM_DISKS_MAX);
    if (!json_is_array(shares) || json_array_size(shares) > VM_SHARES_MAX)
        return error_set(error, -EINVAL, "\"shares\" is not an array of at most %u", VM_SHARES_MAX);
    json_array_foreach ((json_t *)(uintptr_t)disks, index, item) {
        int e = read_disk(item, &def->disk[def->disks++], error);
        if (e)
            return e;
    }
    json_array_foreach ((json_t *)(uintptr_t)shares, index, item) {
        int e = read_share(item, &def->share[def->shares++], error);
        if (e)
            return e;
    }
    return 0;
}

static int read_rest(const json_t *object, struct vm_def *def, struct error *error)
{
    const json_t *version = json_object_get(object, "configuration"), *created = json_object_get(object, "created");
    int e = read_uuid(object, "id", def->id, error);
    if (!e && (!json_is_integer(version) || json_integer_value(version) < 50 || json_integer_value(version) > 2550))
        e = error_set(error, -EINVAL, "\"configuration\" is not a version times ten");
    if (!e && !json_is_integer(created))
        e = error_set(error, -EINVAL, "\"created\" is not a time");
    if (!e && !json_is_null(json_object_get(object, "checkpoint")))
        e = read_uuid(object, "checkpoint", def->checkpoint, error);
    if (e)
        return e;
    def->version = (u32)json_integer_value(version);
    def->created = json_integer_value(created);
    return read_drives(object, def, error);
}

static int read_def(const char *path, const json_t *object, struct vm_def *def, struct error *error)
{
    setting_defaults(vm_settings_table, &def->set);
    int e = definition_version(object, error);
    if (!e)
        e = definition_name(object, "name", "a VM", def->name, error);
    if (!e)
        e = definition_was(object, path, "a VM", def->name, error);
    if (!e && !definition_names(path, def->name))
        e = error_set(error, -EINVAL, "\"name\" is not the folder's");
    if (!e)
        e = setting_json_read(vm_settings_table, json_object_get(object, "settings"), &def->set, error);
    return e ? e : read_rest(object, def, error);
}

int vm_def_read(const json_t *object, struct vm_def *def, struct error *error)
{
    *def = (struct vm_def){0};
    setting_defaults(vm_settings_table, &def->set);
    int e = definition_version(object, error);
    if (!e)
        e = definition_name(object, "name", "a VM", def->name, error);
    if (!e)
        e = setting_json_read(vm_settings_table, json_object_get(object, "settings"), &def->set, error);
    if (!e)
        e = read_rest(object, def, error);
    if (e)
        vm_def_free(def);
    return e;
}

static bool there_is(const struct store *store, const char *name, const char *what)
{
    char path[DEFINITION_PATH_MAX];
    definition_path("vms", name, what, path);
    return !faccessat(store->folder, path, F_OK, 0);
}

#define DAMAGE_HINT "mend the file, or `nestbox delete` removes the VM; nothing was changed"

static int read_file(struct store *store, const char *path, struct vm_def *def, struct error *error)
{
    json_t *object;
    *def = (struct vm_def){0};
    int e = store_read(store, path, &object, error);
    if (e)
        return e == -EBADMSG ? error_hint(error, DAMAGE_HINT) : e;
    e = read_def(path, object, def, error);
    json_decref(object);
    if (e)
        vm_def_free(def);
    else
        def->saved = there_is(store, def->name, "/" VM_SAVED_FILE);
    if (!e)
        return 0;
    e = definition_fail(path, error);
    return e == -EBADMSG ? error_hint(error, DAMAGE_HINT) : e;
}

struct vm_list {
    struct vm_def *def;
    u32 count;
};

static int vm_take(struct store *store, const char *path, void *into, struct error *error)
{
    struct vm_list *list = into;
    struct vm_def *def = definition_more((void **)&list->def, list->count, sizeof(*def), error);
    int e = def ? read_file(store, path, def, error) : error->code;
    list->count += !e;
    return e;
}

int store_vms(struct store *store, struct vm_def **list, u32 *count, struct error *error)
{
    struct vm_list all = {0};
    int e = definition_each(store, "vms", VM_FILE, vm_take, &all, error);
    if (e) {
        vm_defs_free(all.def, all.count);
        all = (struct vm_list){0};
    }
    *list = all.def;
    *count = all.count;
    return e;
}

int store_vms_some(struct store *store, struct vm_def **list, u32 *count, struct damage *damage, struct error *error)
{
    struct damage *before = store->damage, own = {0};
    store_tolerate(store, damage ? damage : &own);
    int e = store_vms(store, list, count, error);
    store_tolerate(store, before);
    free(own.list);
    return e;
}

void vm_def_free(struct vm_def *def)
{
    setting_texts_free(vm_settings_table, &def->set);
    for (u32 i = 0; i < def->disks; i++)
        setting_texts_free(disk_settings_table, &def->disk[i]);
    for (u32 i = 0; i < def->shares; i++)
        setting_texts_free(share_settings_table, &def->share[i]);
    def->disks = def->shares = 0;
}

void vm_defs_free(struct vm_def *list, u32 count)
{
    for (u32 i = 0; i < count; i++)
        vm_def_free(&list[i]);
    free(list);
}

int vm_def_own(struct vm_def *def)
{
    u32 disks = def->disks, shares = def->shares;
    int e = setting_texts_copy(vm_settings_table, &def->set);
    for (def->disks = 0; !e && def->disks < disks; def->disks += !e)
        e = setting_texts_copy(disk_settings_table, &def->disk[def->disks]);
    for (def->shares = 0; !e && def->shares < shares; def->shares += !e)
        e = setting_texts_copy(share_settings_table, &def->share[def->shares]);
    if (e)
        vm_def_free(def);
    return e;
}

static const char *list_name(const void *list, unsigned index)
{
    const struct vm_list *l = list;
    return index < l->count ? l->def[index].name : NULL;
}

/* Finds a UUID, or says that there is no such VM. */
static int search(struct store *store, const char *name, struct vm_def *def, struct error *error)
{
    struct vm_list all;
    char hint[sizeof(error->hint)] = "there is none yet; `nestbox create` makes one";
    int e = store_vms_some(store, &all.def, &all.count, NULL, error);
    if (e)
        return e;
    u32 i = 0;
    while (i < all.count && strcasecmp(all.def[i].id, name) != 0)
        i++;
    if (i < all.count) {
        *def = all.def[i];
        memset(&all.def[i], 0, sizeof(all.def[i])); /* whose texts have left */
        vm_defs_free(all.def, all.count);
        return 0;
    }
    const char *close = name_closest(name, list_name, &all);
    if (close)
        snprintf(hint, sizeof(hint), "did you mean '%s'?", close);
    else if (all.count)
        snprintf(hint, sizeof(hint), "`nestbox list` lists what there is");
    vm_defs_free(all.def, all.count);
    error_set(error, -ENOENT, "there is no VM %.100s", name);
    return error_hint(error, hint);
}

int store_vm(struct store *store, const char *name, struct vm_def *def, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    struct error ignored;
    *def = (struct vm_def){0};
    if (name_check("a VM", name, &ignored))
        return search(store, name, def, error);
    definition_path("vms", name, VM_FILE, path);
    int e = read_file(store, path, def, error);
    return e == -ENOENT ? search(store, name, def, error) : e;
}

int store_vm_even_damaged(struct store *store, const char *name, struct vm_def *def, struct error *error)
{
    int e = store_vm(store, name, def, error);
    if (e != -EBADMSG)
        return e;
    snprintf(def->name, sizeof(def->name), "%s", name);
    def->saved = there_is(store, def->name, "/" VM_SAVED_FILE);
    return 0;
}

/* -- writing -- */

json_t *vm_disk_json(const struct disk_def *disk)
{
    return json_pack("{s:s, s:o}", "id", disk->id, "settings", setting_json(disk_settings_table, disk));
}

json_t *vm_def_json(const struct vm_def *def)
{
    json_t *disks = json_array(), *shares = json_array();
    bool good = disks && shares;
    for (u32 i = 0; i < def->disks; i++)
        good &= !json_array_append_new(disks, vm_disk_json(&def->disk[i]));
    for (u32 i = 0; i < def->shares; i++)
        good &= !json_array_append_new(shares, json_pack("{s:s, s:o}", "tag", def->share[i].tag, "settings",
                                                         setting_json(share_settings_table, &def->share[i])));
    json_t *object =
        json_pack("{s:i, s:s, s:s, s:i, s:I, s:o, s:o, s:o, s:s?}", "version", DEFINITION_VERSION, "name", def->name,
                  "id", def->id, "configuration", (int)def->version, "created", (json_int_t)def->created, "settings",
                  setting_json(vm_settings_table, &def->set), "disks", disks, "shares", shares, "checkpoint",
                  def->checkpoint[0] ? def->checkpoint : NULL);
    if (!good)
        json_decref(object);
    return good ? object : NULL;
}

int store_vm_put(struct store *store, const struct vm_def *def, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    definition_path("vms", def->name, VM_FILE, path);
    return definition_put(store, path, vm_def_json(def), error);
}

static int refuse_taken(struct store *store, const char *name, struct error *error)
{
    struct vm_def other;
    if (!there_is(store, name, VM_FILE))
        return 0;
    if (store_vm(store, name, &other, error))
        return error_set(error, -EEXIST, "there is already a VM %s", name);
    error_set(error, -EEXIST, "there is already a VM %s", other.name);
    vm_def_free(&other);
    return error->code;
}

int store_vm_create(struct store *store, struct vm_def *def, struct error *error)
{
    int e = name_check("a VM", def->name, error);
    if (!e)
        e = refuse_taken(store, def->name, error);
    if (!e && !def->id[0])
        e = uuid_make(def->id, error);
    if (!def->version)
        def->version = VERSION_NEWEST;
    if (!def->created)
        def->created = time(NULL);
    return e ? e : store_vm_put(store, def, error);
}

int store_vm_mark(struct store *store, const char *name, bool runs, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    definition_path("vms", name, RUNNING_FILE, path);
    if (!runs)
        return file_remove(store->folder, path, error);
    json_t *object = json_pack("{s:i}", "version", DEFINITION_VERSION);
    int e = object ? file_write(store->folder, path, object, error) : error_memory(error);
    json_decref(object);
    return e;
}

bool store_vm_marked(const struct store *store, const char *name)
{
    return there_is(store, name, RUNNING_FILE);
}

/* First the folder is hidden, so that nobody finds half of a VM. */
int store_vm_remove(struct store *store, const char *name, struct error *error)
{
    char path[DEFINITION_PATH_MAX], hidden[DEFINITION_PATH_MAX], folded[NAME_MAX_LEN + 1];
    definition_path("vms", name, "", path);
    name_fold(name, folded);
    snprintf(hidden, sizeof(hidden), "vms/.%s", folded);
    return intent_finish(store, name, "delete", intent_steps(2, intent_rename(path, hidden), intent_remove(hidden)),
                         error);
}

/* -- another name -- */

/* The cards of a VM that is renamed; NULL if it has none. */
static int read_cards(struct store *store, const char *path, const char *name, const char *was, json_t **cards,
                      struct error *error)
{
    int e = store_read(store, path, cards, error);
    if (e)
        return e == -ENOENT ? 0 : e;
    if (json_object_set_new(*cards, "vm", json_string(name)) || json_object_set_new(*cards, "was", json_string(was))) {
        json_decref(*cards);
        return error_memory(error);
    }
    return 0;
}

/* Writes definition and cards with both names, so that they are right in the old folder and in the new one. */
static int write_both(struct store *store, const char *vm_path, json_t *vm, const char *cards_path, json_t *cards,
                      struct error *error)
{
    store_begin(store);
    int e = store_write(store, vm_path, vm, error);
    if (!e && cards)
        e = store_write(store, cards_path, cards, error);
    return e ? e : store_commit(store, error);
}

static int rename_locked(struct store *store, const struct vm_def *def, const char *was, struct error *error)
{
    char from[DEFINITION_PATH_MAX], to[DEFINITION_PATH_MAX];
    char old_vm[DEFINITION_PATH_MAX], old_cards[DEFINITION_PATH_MAX];
    char new_vm[DEFINITION_PATH_MAX], new_cards[DEFINITION_PATH_MAX];
    json_t *cards = NULL, *vm = vm_def_json(def);
    definition_path("vms", was, "", from);
    definition_path("vms", was, VM_FILE, old_vm);
    definition_path("vms", was, CARDS_FILE, old_cards);
    definition_path("vms", def->name, "", to);
    definition_path("vms", def->name, VM_FILE, new_vm);
    definition_path("vms", def->name, CARDS_FILE, new_cards);
    int e = !vm || json_object_set_new(vm, "was", json_string(was)) ? error_memory(error) : 0;
    if (!e)
        e = read_cards(store, old_cards, def->name, was, &cards, error);
    if (!e)
        e = write_both(store, old_vm, vm, old_cards, cards, error);
    json_object_del(vm, "was");
    if (cards)
        json_object_del(cards, "was");
    bool moves = strcmp(from, to) != 0;
    /* A folder of that name has a log at most. It goes first: done twice, this would take the VM's. */
    if (!e && moves)
        e = intent_finish(store, def->name, "rename", intent_steps(1, intent_remove(to)), error);
    if (!e && moves)
        e = intent_finish(
            store, was, "rename",
            intent_steps(3, intent_rename(from, to), intent_write(new_vm, vm), intent_write(new_cards, cards)), error);
    else if (!e)
        e = write_both(store, new_vm, vm, new_cards, cards, error);
    json_decref(vm);
    json_decref(cards);
    return e;
}

int store_vm_rename(struct store *store, struct vm_def *def, const char *name, struct error *error)
{
    char was[NAME_MAX_LEN + 1];
    int e = name_check("a VM", name, error);
    if (!e && !name_equal(name, def->name))
        e = refuse_taken(store, name, error);
    if (!e && !name_equal(name, def->name) && there_is(store, name, CARDS_FILE)) {
        error_set(error, -EEXIST, "there are cards of a VM %s already", name);
        e = error_hint(error, "`nestbox nic remove` takes them away");
    }
    if (!e)
        e = store_lock(store, error);
    if (e)
        return e;
    strcpy(was, def->name);
    strcpy(def->name, name);
    e = rename_locked(store, def, was, error);
    if (e)
        strcpy(def->name, was);
    store_unlock(store);
    return e;
}

/* -- paths -- */

static int too_long(const char *vm, struct error *error)
{
    return error_set(error, -ENAMETOOLONG, "the paths of VM %s are too long", vm);
}

int store_vm_path(const struct store *store, const char *vm, const char *what, char *path, size_t size,
                  struct error *error)
{
    char folded[NAME_MAX_LEN + 1];
    name_fold(vm, folded);
    int n = snprintf(path, size, "%s/vms/%s%s%s", store->home, folded, *what ? "/" : "", what);
    return n >= 0 && (size_t)n < size ? 0 : too_long(vm, error);
}

int store_disk_path(const struct store *store, const struct vm_def *def, const struct disk_def *disk, char *path,
                    size_t size, struct error *error)
{
    if (disk->path[0] != '/')
        return store_vm_path(store, def->name, disk->path, path, size, error);
    int n = snprintf(path, size, "%s", disk->path);
    return n >= 0 && (size_t)n < size ? 0 : too_long(def->name, error);
}
