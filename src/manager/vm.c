/*
 * VMs are found, created, changed, renamed and deleted. What a running VM must be told goes to its worker.
 */
#include "manager/vm.h"

#include "cpu/cpu.h"
#include "manager/card.h"
#include "manager/client.h"
#include "manager/host.h"
#include "manager/life.h"
#include "manager/resize.h"
#include "manager/switch.h"
#include "rules/vm_settings.h"
#include "store/definition.h"
#include "store/image.h"
#include "store/intent.h"
#include "store/qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -- finding -- */

typedef int read_vm(struct store *store, const char *name, struct vm_def *def, struct error *error);

/* Locks a VM and reads its definition by store_vm, or by store_vm_even_damaged. */
static int open_by(read_vm *read_one, struct store *store, const char *name, const char *what, struct vm_open *vm,
                   struct error *error)
{
    *vm = (struct vm_open){.lock = -1};
    int e = read_one(store, name, &vm->def, error);
    /* What an ended command left may be the reason why the VM is not there, or damaged: locking mends that. */
    if (e == -EBADMSG || e == -ENOENT) {
        struct error ignored;
        int lock = store_vm_lock(store, name, what, VM_LOCK_WAIT_MS, &ignored);
        if (lock >= 0) {
            e = read_one(store, name, &vm->def, error);
            store_vm_unlock(store, name, lock);
        }
    }
    if (e)
        return e;
    char own[NAME_MAX_LEN + 1];
    strcpy(own, vm->def.name);
    vm_def_free(&vm->def);
    vm->lock = store_vm_lock(store, own, what, VM_LOCK_WAIT_MS, error);
    if (vm->lock < 0)
        return vm->lock;
    e = read_one(store, own, &vm->def, error);
    if (e)
        store_vm_unlock(store, own, vm->lock);
    return e;
}

int vm_open(struct store *store, const char *name, const char *what, struct vm_open *vm, struct error *error)
{
    return open_by(store_vm, store, name, what, vm, error);
}

static int open_in(struct store *store, const char *name, const char *what, enum vm_request request, struct vm_open *vm,
                   enum vm_state *state, struct error *error)
{
    struct vm_now now;
    int e = vm_open(store, name, what, vm, error);
    if (e)
        return e;
    e = vm_now(store, &vm->def, &now, error);
    if (!e)
        e = vm_now_allows(&vm->def, &now, request, error);
    *state = now.state;
    json_decref(now.report);
    if (e)
        vm_close(vm);
    return e;
}

int vm_open_off(struct store *store, const char *name, const char *what, struct vm_open *vm, struct error *error)
{
    enum vm_state state;
    return open_in(store, name, what, VM_CHANGE_OFF, vm, &state, error);
}

int vm_open_hot(struct store *store, const char *name, const char *what, struct vm_open *vm, bool *runs,
                struct error *error)
{
    enum vm_state state;
    int e = open_in(store, name, what, VM_CHANGE_HOT, vm, &state, error);
    *runs = !e && state == VM_RUNNING;
    return e;
}

void vm_close(struct vm_open *vm)
{
    vm_def_free(&vm->def);
    if (vm->lock >= 0)
        close(vm->lock);
    vm->lock = -1;
}

bool vm_is_pattern(const char *name)
{
    return strpbrk(name, "*?[") != NULL;
}

int vm_read_all(struct store *store, struct vm_def **list, u32 *count, struct error *damaged, struct error *error)
{
    struct damage damage = {0};
    int e = store_vms_some(store, list, count, &damage, error);
    for (u32 i = 0; i < damage.count && !e; i++)
        store_note(store, &damage.list[i]);
    *damaged = damage.count && !e ? damage.list[0] : (struct error){0};
    free(damage.list);
    return e;
}

/* Reads those VMs that a pattern, a name or a UUID stands for; *damaged is that of vm_read_all. */
static int read_some(struct store *store, const char *pattern, struct vm_def **list, u32 *count, struct error *damaged,
                     struct error *error)
{
    *damaged = (struct error){0};
    if (pattern && !vm_is_pattern(pattern)) {
        *list = calloc(1, sizeof(**list));
        *count = 0;
        int e = *list ? store_vm(store, pattern, *list, error) : error_memory(error);
        *count = !e;
        return e;
    }
    int e = vm_read_all(store, list, count, damaged, error);
    u32 kept = 0;
    for (u32 i = 0; !e && pattern && i < *count; i++)
        if (fnmatch(pattern, (*list)[i].name, FNM_CASEFOLD) == 0) {
            struct vm_def matches = (*list)[i];
            (*list)[i] = (*list)[kept];
            (*list)[kept++] = matches;
        }
    if (e || !pattern)
        return e;
    for (u32 i = kept; i < *count; i++)
        vm_def_free(&(*list)[i]);
    *count = kept;
    return 0;
}

int vm_each(struct store *store, const char *pattern,
            int (*each)(struct store *store, const char *name, void *opaque, struct error *error), void *opaque,
            struct error *error)
{
    struct vm_def *list = NULL;
    struct error damaged;
    u32 count = 0;
    if (!vm_is_pattern(pattern))
        return each(store, pattern, opaque, error);
    int e = read_some(store, pattern, &list, &count, &damaged, error);
    if (!e && !count && !damaged.code) {
        error_set(error, -ENOENT, "there is no VM whose name is like %.100s", pattern);
        e = error_hint(error, "`nestbox list` lists what there is");
    }
    for (u32 i = 0; i < count && !e; i++)
        e = each(store, list[i].name, opaque, error);
    vm_defs_free(list, count);
    if (e || !damaged.code)
        return e;
    *error = damaged; /* it may be meant, too */
    return error->code;
}

/* -- create -- */

static int check_settings(const struct vm_settings *set, struct error *error)
{
    json_t *notes = set->notes ? json_string(set->notes) : NULL;
    int e = set->notes && !notes ? error_set(error, -EINVAL, SETTING("notes") ": the text is not UTF-8") : 0;
    json_decref(notes);
    if (!e && set->cpu && *set->cpu)
        e = cpuid_check(set->cpu, error);
    return e ? e : vm_settings_check(set, error);
}

/* What a killed create leaves goes: the folder, or, if it was there for its cards, what is new in it. */
json_t *vm_undo_create(struct store *store, const char *name)
{
    char folder[DEFINITION_PATH_MAX], path[DEFINITION_PATH_MAX], disks[DEFINITION_PATH_MAX], nics[DEFINITION_PATH_MAX],
        firmware[DEFINITION_PATH_MAX], bases[DEFINITION_PATH_MAX];
    struct error ignored;
    json_t *cards = NULL;
    definition_path("vms", name, "", folder);
    definition_path("vms", name, "/vm.json", path);
    definition_path("vms", name, "/disks", disks);
    definition_path("vms", name, "/firmware.fd", firmware);
    definition_path("vms", name, "/nics.json", nics);
    definition_path("vms", name, "/bases.json", bases);
    if (store_read(store, nics, &cards, &ignored))
        return intent_steps(1, intent_remove(folder));
    json_t *steps = intent_steps(5, intent_remove(path), intent_remove(disks), intent_remove(firmware),
                                 intent_remove(bases), intent_write(nics, cards));
    json_decref(cards);
    return steps;
}

static int add_card(struct store *store, const char *vm, const char *switch_name, struct error *error)
{
    struct card_def card = {0};
    json_t *object = NULL;
    strcpy(card.vm, vm);
    setting_defaults(card_settings_table, &card.set);
    card.set.switch_name = switch_name;
    int e = nic_add_locked(store, &card, &object, error);
    json_decref(object);
    return e;
}

static int make_disk(struct store *store, struct vm_def *def, const struct disk_new *disk, struct error *error)
{
    struct disk_def to;
    int e = disk_choose(store, def, disk, &to, error);
    if (e)
        return e;
    e = disk_make(store, def, disk, &to, error);
    def->disk[def->disks++] = to; /* whose texts go with the definition, also after an error */
    return e;
}

/* The first disk, which stands on an image. */
static int make_over_image(struct store *store, const struct vm_new *new, struct vm_def *def, struct error *error)
{
    struct image_def image;
    struct disk_new disk;
    struct qcow2_head head;
    char path[PATH_MAX];
    int e = store_image(store, new->image, &image, error);
    if (e)
        return e;
    e = store_image_path(store, image.name, path, sizeof(path), error);
    if (!e && (e = qcow2_read(AT_FDCWD, path, &head)))
        error_path(error, e, path);
    if (!e && new->image_size &&new->image_size < head.size)
        e = error_set(error, -EINVAL, SETTING("size") ": the disk of image %s has %llu MiB, and less is not possible",
                      image.name, (unsigned long long)head.size >> 20);
    image_def_free(&image);
    if (e)
        return e;
    disk_new_init(&disk);
    disk.base = path;
    disk.base_format = "qcow2";
    disk.size = new->image_size;
    return make_disk(store, def, &disk, error);
}

static int make_seed(struct store *store, const struct vm_new *new, struct vm_def *def, struct error *error)
{
    if (!new->image && !new->seed.user_data && !new->seed.ssh_key.count)
        return 0;
    int e = disk_make_folder(store, def->name, error);
    return e ? e : seed_add(store, def, &new->seed, error);
}

static int make_all(struct store *store, const struct vm_new *new, struct vm_def *def, struct error *error)
{
    int e = new->image ? make_over_image(store, new, def, error) : 0;
    for (u32 i = 0; i < new->disks && !e; i++)
        e = make_disk(store, def, &new->disk[i], error);
    if (!e)
        e = make_seed(store, new, def, error);
    if (!e && new->switch_name)
        e = add_card(store, def->name, new->switch_name, error);
    return e ? e : store_vm_create(store, def, error);
}

/* Has a switch forget cards that went with an undone command. */
void vm_refresh_switch(struct store *store, const char *name)
{
    struct error ignored;
    if (name && *name)
        (void)!switch_try(store, name, NULL, &ignored);
}

/* Which rules of the host are asked about a change. */
static u32 points_of(const struct vm_settings *old, const struct vm_settings *new)
{
    return (old->nested != new->nested ? RULE_SET_NESTED : 0) | (old->cpus != new->cpus ? RULE_SET_CPU : 0) |
           (old->dynamic_memory != new->dynamic_memory ? RULE_SET_DYNAMIC : 0) |
           (old->memory != new->memory || old->memory_minimum != new->memory_minimum ||
                    old->memory_maximum != new->memory_maximum || old->memory_cap != new->memory_cap
                ? RULE_SET_MEMORY
                : 0);
}

/* The rules of the host on what the VM is to be, and the version that such a host gives it. */
static int check_rules(struct store *store, struct vm_def *def, struct error *error)
{
    const struct vm_now off = {VM_OFF, NULL};
    struct vm_def blank = {0};
    struct host_settings host;
    int e = store_host(store, &host, error);
    if (e)
        return e;
    def->version = profile_version(host.profile);
    strcpy(blank.name, def->name);
    blank.version = def->version;
    setting_defaults(vm_settings_table, &blank.set);
    u32 points = points_of(&blank.set, &def->set);
    return points ? host_rules(store, &blank, &off, &def->set, NULL, points, error) : 0;
}

static int create_locked(struct store *store, const struct vm_new *new, struct vm_def *def, struct error *error)
{
    struct vm_def other;
    int e = store_vm(store, def->name, &other, error);
    if (!e) {
        error_set(error, -EEXIST, "there is already a VM %s", other.name);
        vm_def_free(&other);
        return error->code;
    }
    if (e == -EBADMSG)
        return e;
    e = check_rules(store, def, error);
    if (e)
        return e;
    e = intent_begin(store, def->name, "create", vm_undo_create(store, def->name), error);
    if (e)
        return e;
    e = make_all(store, new, def, error);
    if (!e)
        return intent_end(store, def->name, error);
    intent_undo(store, def->name);
    vm_refresh_switch(store, new->switch_name);
    return e;
}

int vm_create(struct store *store, struct vm_new *new, const struct progress *progress, struct error *error)
{
    struct vm_def def = new->def;
    int e = name_check("a VM", def.name, error);
    if (!e)
        e = check_settings(&def.set, error);
    if (!e && vm_def_own(&def))
        e = error_memory(error);
    if (e)
        return e;
    int lock = store_vm_lock(store, def.name, "create", VM_LOCK_WAIT_MS, error), images = -1;
    if (lock >= 0 && new->image)
        images = store_images_lock(store, false, error);
    e = lock < 0 || (new->image &&images < 0) ? error->code : create_locked(store, new, &def, error);
    if (images >= 0)
        close(images);
    if (lock >= 0)
        store_vm_unlock(store, def.name, lock);
    vm_def_free(&def);
    return e;
}

/* -- list, show -- */

static json_t *version_json(u32 version)
{
    char text[16];
    snprintf(text, sizeof(text), "%u.%u", version / 10, version % 10);
    return json_string(text);
}

static int object_of(const struct store *store, const struct vm_def *def, json_t **object, struct error *error)
{
    struct vm_now now;
    char path[PATH_MAX];
    int e = store_vm_path(store, def->name, "", path, sizeof(path), error);
    if (e)
        return e;
    *object = vm_def_json(def);
    if (!*object)
        return error_memory(error);
    e = vm_now(store, def, &now, error);
    json_object_del(*object, "version");
    json_object_set_new(*object, "configuration", version_json(def->version));
    json_object_set_new(*object, "path", json_string(path));
    if (!e) {
        json_object_update_missing(*object, now.report);
        json_object_set_new(*object, "state", json_string(vm_state_name(now.state)));
        json_object_set_new(*object, "hypervisor_active",
                            json_boolean(json_is_true(json_object_get(now.report, "hypervisor_active"))));
        json_object_del(*object, "ok");
        json_object_del(*object, "machine"); /* of use to nobody but checkpoints */
    } else {
        /* One that does not answer hides no other. */
        json_object_set_new(*object, "state", json_string("Unknown"));
        json_object_set_new(*object, "hypervisor_active", json_false());
        json_object_set_new(*object, "problem", json_string(error->text));
    }
    json_decref(now.report);
    return 0;
}

int vm_list(struct store *store, const char *pattern, json_t **list, struct error *error)
{
    struct vm_def *all = NULL;
    u32 count = 0;
    struct error damaged;
    int e = read_some(store, pattern, &all, &count, &damaged, error);
    json_t *array = json_array();
    for (u32 i = 0; i < count && !e; i++) {
        json_t *object = NULL;
        e = object_of(store, &all[i], &object, error);
        if (!e && json_array_append_new(array, object))
            e = error_memory(error);
    }
    vm_defs_free(all, count);
    *list = array;
    if (e)
        json_decref(array);
    return e;
}

/* The cards; none if the VM has none. */
static int add_nics(struct store *store, const char *vm, json_t *object, struct error *error)
{
    json_t *nics = NULL;
    int e = nic_list(store, vm, &nics, error);
    if (e == -ENOENT)
        nics = json_array();
    else if (e)
        return e;
    return json_object_set_new(object, "nics", nics) ? error_memory(error) : 0;
}

int vm_show(struct store *store, const char *name, json_t **object, struct error *error)
{
    struct vm_def def;
    int e = store_vm(store, name, &def, error);
    if (e)
        return e;
    e = object_of(store, &def, object, error);
    if (!e && (e = add_nics(store, def.name, *object, error)))
        json_decref(*object);
    vm_def_free(&def);
    return e;
}

/* -- set -- */

static bool differs(const struct setting *s, const struct vm_settings *a, const struct vm_settings *b)
{
    const void *x = (const char *)a + s->offset, *y = (const char *)b + s->offset;
    const char *t, *u;
    switch (s->kind) {
    case SETTING_FLAG:
    case SETTING_ON_OFF: return *(const bool *)x != *(const bool *)y;
    case SETTING_TEXT:
        t = *(const char *const *)x;
        u = *(const char *const *)y;
        return strcmp(t ? t : "", u ? u : "") != 0;
    case SETTING_CHOICE:
    case SETTING_SET: return *(const u32 *)x != *(const u32 *)y;
    case SETTING_NUMBER:
    case SETTING_SIZE:
    case SETTING_RATE:
    case SETTING_SECONDS: return setting_get_number(s, a) != setting_get_number(s, b);
    case SETTING_LIST: break; /* VMs have none */
    }
    return false;
}

/* What one setting may do in the VM's state. */
static int check_change(const struct vm_def *def, const struct vm_now *now, const struct setting *s,
                        struct error *error)
{
    if (strcmp(s->name, "generation") == 0) {
        error_set(error, -EINVAL, "VM %s has " SETTING("generation") " %u for good", def->name, def->set.generation);
        return error_hint(error, "it is chosen when a VM is created");
    }
    if (now->state == VM_OFF || s->states & BIT(now->state))
        return 0;
    return vm_refuse(def->name, now->state, s->states & BIT(VM_RUNNING) ? VM_CHANGE_HOT : VM_CHANGE_OFF, error);
}

/* Dynamic memory of a running VM: its range gets only wider. */
static int check_range(const struct vm_settings *old, const struct vm_settings *new, const struct vm_now *now,
                       struct error *error)
{
    if (now->state != VM_RUNNING)
        return 0;
    if (new->memory_minimum > old->memory_minimum)
        return error_set(error, -EPERM, SETTING("memory-minimum") " of a running VM can only be lowered");
    if (new->memory_maximum < old->memory_maximum)
        return error_set(error, -EPERM, SETTING("memory-maximum") " of a running VM can only be raised");
    return 0;
}

static int check_changes(struct store *store, const struct vm_def *def, const struct vm_settings *wanted,
                         const struct vm_now *now, struct error *error)
{
    u32 points = points_of(&def->set, wanted);
    int e = points ? host_rules(store, def, now, wanted, NULL, points, error) : 0;
    for (const struct setting *s = vm_settings_table; s->name && !e; s++)
        if (differs(s, &def->set, wanted))
            e = check_change(def, now, s, error);
    if (!e)
        e = check_range(&def->set, wanted, now, error);
    return e ? e : check_settings(wanted, error);
}

/* A worker reads the definition again. What it cannot put in force is a note. */
static void tell_changed(struct store *store, const char *vm)
{
    json_t *answer = NULL;
    struct error note;
    if (!life_ask(store, vm, json_pack("{s:s}", "do", "changed"), NULL, &answer, &note)) {
        const char *text = json_string_value(json_object_get(answer, "note"));
        if (text)
            error_set(&note, -EOPNOTSUPP, "%.240s", text);
        if (text)
            store_note(store, &note);
    } else if (note.code != -ENOTCONN) {
        store_note(store, &note);
    }
    json_decref(answer);
}

int vm_set(struct store *store, const char *name, const struct change *change, struct error *error)
{
    struct vm_open vm;
    struct vm_now now = {0};
    int e = vm_open(store, name, "set", &vm, error);
    if (e)
        return e;
    struct vm_def wanted = vm.def; /* its texts are the VM's and the face's */
    e = vm_now(store, &vm.def, &now, error);
    if (!e)
        e = change->apply(change, &wanted.set, error);
    if (!e)
        e = check_changes(store, &vm.def, &wanted.set, &now, error);
    if (!e && vm.def.set.template && !wanted.set.template)
        e = disk_refuse_bases(store, vm.def.name, NULL, "made an ordinary VM", error);
    /* Of dynamic memory it is what the next start begins with. */
    bool resizes =
        !e && now.state == VM_RUNNING && wanted.set.memory != vm.def.set.memory && !vm.def.set.dynamic_memory;
    if (resizes)
        e = vm_resize(store, &vm.def, &now, wanted.set.memory, error);
    if (!e && (e = store_vm_put(store, &wanted, error)) && resizes) {
        struct error ignored;
        (void)!vm_resize(store, &vm.def, &now, vm.def.set.memory, &ignored);
    }
    if (!e && now.report)
        tell_changed(store, vm.def.name);
    json_decref(now.report);
    vm_close(&vm);
    return e;
}

int vm_update(struct store *store, const char *name, struct error *error)
{
    struct host_settings host;
    struct vm_open vm;
    int e = store_host(store, &host, error);
    if (!e)
        e = vm_open_off(store, name, "update", &vm, error);
    if (e)
        return e;
    u32 newest = profile_version(host.profile);
    if (vm.def.version < newest) {
        vm.def.version = newest;
        e = store_vm_put(store, &vm.def, error);
    } else if (vm.def.version > newest) {
        e = error_set(error, -EPERM, "VM %s has version %u.%u, and this host's newest is %u.%u", vm.def.name,
                      vm.def.version / 10, vm.def.version % 10, newest / 10, newest % 10);
    }
    vm_close(&vm);
    return e;
}

/* -- rename -- */

/* Two VMs are locked in the order of their names, so that two commands do not wait for each other. */
int vm_lock_two(struct store *store, const char *first, const char *second, const char *what, struct vm_two *two,
                struct error *error)
{
    char a[NAME_MAX_LEN + 1], b[NAME_MAX_LEN + 1];
    name_fold(first, a);
    name_fold(second, b);
    int order = strcmp(a, b), e = 0;
    *two = (struct vm_two){{order <= 0 ? first : second, order <= 0 ? second : first}, {-1, -1}};
    for (unsigned i = 0; i < (order ? 2 : 1) && e >= 0; i++)
        e = two->lock[i] = store_vm_lock(store, two->name[i], what, VM_LOCK_WAIT_MS, error);
    if (e >= 0)
        return 0;
    vm_unlock_two(store, two);
    return e;
}

void vm_unlock_two(struct store *store, const struct vm_two *two)
{
    for (unsigned i = 0; i < 2; i++)
        if (two->lock[i] >= 0)
            store_vm_unlock(store, two->name[i], two->lock[i]);
}

/* Sockets of a VM that is off are of no use to anybody. */
static void clean_run(const struct store *store, const char *name)
{
    static const char *const files[] = {"control", "worker.json", "qemu/verdict", "qemu", ""};
    char path[PATH_MAX], folded[NAME_MAX_LEN + 1];
    name_fold(name, folded);
    for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%.3800s/vms/%s%s%s", store_run(store), folded, *files[i] ? "/" : "", files[i]);
        remove(path);
    }
}

/* A command on a VM that must be in a state which allows it. */
static int check_state(struct store *store, const struct vm_def *def, enum vm_request request, struct error *error)
{
    struct vm_now now;
    int e = vm_now(store, def, &now, error);
    if (!e)
        e = vm_now_allows(def, &now, request, error);
    json_decref(now.report);
    return e;
}

static int rename_locked(struct store *store, const char *name, const char *new_name, struct error *error)
{
    struct vm_def def;
    char old[NAME_MAX_LEN + 1];
    int e = store_vm(store, name, &def, error);
    if (e)
        return e;
    strcpy(old, def.name);
    e = check_state(store, &def, VM_RENAME, error);
    if (!e && !name_equal(old, new_name))
        e = disk_refuse_bases(store, old, NULL, "renamed", error);
    if (!e)
        e = store_vm_rename(store, &def, new_name, error);
    if (!e && !name_equal(old, new_name))
        clean_run(store, old);
    vm_def_free(&def);
    return e;
}

int vm_rename(struct store *store, const char *name, const char *new_name, struct error *error)
{
    struct vm_def def;
    char own[NAME_MAX_LEN + 1];
    struct vm_two two;
    int e = name_check("a VM", new_name, error);
    if (!e)
        e = store_vm(store, name, &def, error);
    if (e)
        return e;
    strcpy(own, def.name);
    vm_def_free(&def);
    e = vm_lock_two(store, own, new_name, "rename", &two, error);
    if (e)
        return e;
    e = rename_locked(store, own, new_name, error);
    vm_unlock_two(store, &two);
    return e;
}

/* -- delete -- */

int vm_losses(struct store *store, const char *name, json_t **losses, struct error *error)
{
    struct vm_def def;
    int e = store_vm_even_damaged(store, name, &def, error);
    if (e)
        return e;
    *losses = json_object();
    json_t *nics = NULL, *files = NULL;
    struct error ignored;
    e = disk_files(store, def.name, &files, error);
    if (!e && nic_list(store, def.name, &nics, &ignored))
        nics = NULL;
    if (!e &&
        (json_object_set_new(*losses, "name", json_string(def.name)) || json_object_set_new(*losses, "files", files) ||
         json_object_set_new(*losses, "cards", json_integer((json_int_t)json_array_size(nics))) ||
         json_object_set_new(*losses, "saved", json_boolean(def.saved))))
        e = error_memory(error);
    json_decref(nics);
    if (e)
        json_decref(*losses);
    vm_def_free(&def);
    return e;
}

/* The switches that the VM's cards are at, once each. */
static json_t *switches_of(struct store *store, const char *vm)
{
    struct networks all;
    struct error ignored;
    json_t *names = json_object();
    if (networks_read_some(store, &all, &ignored))
        return names;
    for (u32 i = 0; i < all.card_count; i++)
        if (name_equal(all.cards[i].vm, vm))
            (void)!json_object_set_new(names, all.cards[i].set.switch_name, json_true());
    networks_free(&all);
    return names;
}

int vm_delete(struct store *store, const char *name, struct error *error)
{
    struct vm_open vm;
    const char *key;
    json_t *value;
    int e = open_by(store_vm_even_damaged, store, name, "delete", &vm, error);
    if (e)
        return e;
    json_t *switches = switches_of(store, vm.def.name);
    e = check_state(store, &vm.def, VM_DELETE, error);
    if (!e)
        e = disk_refuse_bases(store, vm.def.name, NULL, "deleted", error);
    if (!e)
        e = store_vm_remove(store, vm.def.name, error);
    if (!e)
        clean_run(store, vm.def.name);
    json_object_foreach (switches, key, value)
        if (!e)
            vm_refresh_switch(store, key);
    json_decref(switches);
    store_vm_unlock(store, vm.def.name, vm.lock);
    vm_def_free(&vm.def);
    return e;
}
