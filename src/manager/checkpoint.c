/*
 * Creating, applying and deleting checkpoints. A checkpoint keeps the files that the disks had; the VM goes on in new
 * files on top of them, which are its own by the definition before anything writes to them. Where that ends in the
 * middle, the chain is longer by an empty file, and nothing else is different.
 */
#include "manager/checkpoint.h"

#include "manager/checkpoint_files.h"
#include "manager/host.h"
#include "manager/life.h"
#include "manager/vm.h"
#include "rules/rule.h"
#include "store/definition.h"
#include "store/file.h"
#include "store/intent.h"
#include "store/merge.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* -- creating -- */

struct creation {
    struct store *store;
    struct vm_def *def;
    struct vm_now now;
    char id[UUID_TEXT_MAX], name[2 * NAME_MAX_LEN];
    enum checkpoint_kind kind;
    json_t *changed; /* the definition with the new files */
    json_t *disks;   /* for the worker: {"id", "overlay"} each */
};

static int describe(const struct creation *c, bool memory, json_t **object, struct error *error)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *object = json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:s?, s:b, s:o}", "version", 1, "id", c->id, "name", c->name,
                        "kind", memory ? "standard" : "production", "created", (json_int_t)now.tv_sec, "nanoseconds",
                        (json_int_t)now.tv_nsec, "parent", c->def->checkpoint[0] ? c->def->checkpoint : NULL, "memory",
                        memory, "definition", vm_def_json(c->def));
    /* The machine that the memory fits may be another than that of the definition: its size, its devices' places. */
    json_t *saved = NULL;
    char path[PATH_MAX];
    struct error ignored;
    if (memory && !c->now.report && !store_vm_path(c->store, c->def->name, VM_SAVED_FILE, path, sizeof(path), &ignored))
        saved = json_load_file(path, 0, NULL);
    json_t *started =
        c->now.report ? json_object_get(c->now.report, "memory_started") : json_object_get(saved, "memory");
    json_t *machine = json_object_get(c->now.report ? c->now.report : saved, "machine");
    if (*object && started)
        (void)!json_object_set(*object, "memory_started", started);
    if (*object)
        (void)!json_object_set_new(*object, "cards", checkpoint_cards(c->store, c->def->name));
    if (*object && memory && machine)
        (void)!json_object_set(*object, "machine", machine);
    json_decref(saved);
    return *object ? 0 : error_memory(error);
}

/* A new, empty file on top of each disk. */
static int make_tops(struct creation *c, struct error *error)
{
    size_t i;
    json_t *disk;
    int e = 0;
    c->changed = vm_def_json(c->def);
    c->disks = json_array();
    if (!c->changed || !c->disks)
        return error_memory(error);
    json_array_foreach (json_object_get(c->changed, "disks"), i, disk) {
        char path[PATH_MAX];
        if (!checkpoint_keeps(disk))
            continue;
        e = checkpoint_top(c->store, c->def->name, disk, c->id, path, error);
        if (e)
            return e;
        if (json_array_append_new(c->disks,
                                  json_pack("{s:O, s:s}", "id", json_object_get(disk, "id"), "overlay", path)))
            return error_memory(error);
    }
    return 0;
}

static int write_definition(struct creation *c, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    definition_path("vms", c->def->name, "/vm.json", path);
    return file_write(c->store->folder, path, c->changed, error);
}

static json_t *freeze_request(const char *what)
{
    return json_pack("{s:s, s:i}", "do", what, "seconds", 30);
}

/* The worker's part: everything at one instant. */
static int take_running(struct creation *c, bool memory, const struct progress *progress, struct error *error)
{
    char state[PATH_MAX], folder[80];
    json_t *answer = NULL, *copies = NULL;
    snprintf(folder, sizeof(folder), "checkpoints/%s/state", c->id);
    int e = store_vm_path(c->store, c->def->name, folder, state, sizeof(state), error);
    if (!e)
        e = checkpoint_copies(c->store, c->def->name, c->id, &copies, error);
    if (!e)
        e = life_ask(c->store, c->def->name,
                     json_pack("{s:s, s:O, s:o, s:s?}", "do", "checkpoint", "disks", c->disks, "copies", copies,
                               "state", memory ? state : NULL),
                     progress, &answer, error);
    json_decref(answer);
    return e;
}

/* File systems of the guest at rest, by its agent. Where there is none, or it cannot: a standard checkpoint, unless the
 * VM is to have no other than those. */
static int take(struct creation *c, const struct progress *progress, bool *memory, struct error *error)
{
    json_t *answer = NULL;
    struct error ignored;
    *memory = c->kind == CHECKPOINT_STANDARD || c->now.state == VM_PAUSED;
    bool frozen = !*memory && !life_ask(c->store, c->def->name, freeze_request("freeze"), NULL, &answer, error);
    json_decref(answer);
    if (!*memory && !frozen && c->kind == CHECKPOINT_PRODUCTION_ONLY)
        return error->code;
    *memory |= !frozen;
    int e = take_running(c, *memory, progress, error);
    answer = NULL;
    if (frozen && life_ask(c->store, c->def->name, freeze_request("thaw"), NULL, &answer, &ignored) && !e) {
        error_set(&ignored, -EIO, "VM %s: its file systems were thawed before the checkpoint was taken", c->def->name);
        store_note(c->store, &ignored);
    }
    json_decref(answer);
    return e;
}

/* What makes it a checkpoint, and the VM stand on it. */
static int finish(struct creation *c, bool memory, struct error *error)
{
    char vm_file[DEFINITION_PATH_MAX], file[PATH_MAX];
    json_t *description;
    int e = describe(c, memory, &description, error);
    if (e)
        return e;
    definition_path("vms", c->def->name, "/vm.json", vm_file);
    checkpoint_file(c->def->name, c->id, file);
    (void)!json_object_set_new(c->changed, "checkpoint", json_string(c->id));
    e = intent_finish(c->store, c->def->name, "checkpoint create",
                      intent_steps(2, intent_write(file, description), intent_write(vm_file, c->changed)), error);
    json_decref(description);
    return e;
}

static int create(struct creation *c, const struct progress *progress, struct error *error)
{
    bool memory = c->now.state == VM_SAVED;
    int e = make_tops(c, error);
    if (!e)
        e = write_definition(c, error);
    if (!e && (c->now.state == VM_RUNNING || c->now.state == VM_PAUSED))
        e = take(c, progress, &memory, error);
    else if (!e)
        e = checkpoint_copy(c->store, c->def->name, c->id, memory, error);
    return e ? e : finish(c, memory, error);
}

/* Refuses what is no name, or is another checkpoint's. */
static int check_name(const struct checkpoints *all, const char *name, struct error *error)
{
    if (!*name || strlen(name) > NAME_MAX_LEN)
        return error_set(error, -EINVAL, "a checkpoint's name has 1 to %u characters", NAME_MAX_LEN);
    if (checkpoints_find(all, name))
        return error_set(error, -EEXIST, "there is already a checkpoint %s", name);
    return 0;
}

static int begin(struct creation *c, const struct checkpoints *all, const char *name, struct error *error)
{
    char folder[PATH_MAX];
    time_t now = time(NULL);
    struct tm tm;
    if (c->kind == CHECKPOINT_DISABLED)
        c->kind = c->def->set.checkpoints;
    if (c->kind == CHECKPOINT_DISABLED) {
        error_set(error, -EPERM, "VM %s takes no checkpoints", c->def->name);
        return error_hint(error, "`nestbox set VM " SETTING("checkpoints") " standard`");
    }
    localtime_r(&now, &tm);
    if (name)
        snprintf(c->name, sizeof(c->name), "%.*s", (int)sizeof(c->name) - 1, name);
    else
        snprintf(c->name, sizeof(c->name), "%.40s %04d-%02d-%02d %02d:%02d:%02d", c->def->name, tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    int e = check_name(all, c->name, error);
    if (!e)
        e = uuid_make(c->id, error);
    if (!e)
        e = checkpoint_make_folder(c->store, c->def->name, c->id, folder, error);
    return e ? e
             : intent_begin(c->store, c->def->name, "checkpoint create", intent_steps(1, intent_remove(folder)), error);
}

int checkpoint_take(struct store *store, struct vm_def *def, const char *name, enum checkpoint_kind kind,
                    const struct progress *progress, char id[static UUID_TEXT_MAX], struct error *error)
{
    struct checkpoints all = {0};
    struct creation c = {.store = store, .def = def, .kind = kind};
    int e = vm_now(store, def, &c.now, error);
    if (!e)
        e = vm_now_allows(def, &c.now, VM_CHECKPOINT, error);
    if (!e)
        e = host_rules(store, def, &c.now, NULL, NULL, RULE_CHECKPOINT, error);
    if (!e)
        e = checkpoints_read(store, def, &all, error);
    if (!e)
        e = begin(&c, &all, name, error);
    if (!e && (e = create(&c, progress, error)))
        intent_undo(store, def->name);
    json_decref(c.changed);
    json_decref(c.disks);
    json_decref(c.now.report);
    checkpoints_free(&all);
    strcpy(id, c.id);
    return e;
}

int checkpoint_create(struct store *store, const char *vm, const char *name, enum checkpoint_kind kind,
                      const struct progress *progress, json_t **object, struct error *error)
{
    struct vm_open open;
    char kept[NAME_MAX_LEN + 1], id[UUID_TEXT_MAX];
    int e = vm_open(store, vm, "checkpoint create", &open, error);
    if (e)
        return e;
    e = checkpoint_take(store, &open.def, name, kind, progress, id, error);
    snprintf(kept, sizeof(kept), "%s", open.def.name);
    vm_close(&open);
    return e ? e : checkpoint_show(store, kept, id, object, error);
}

/* -- applying -- */

static int turn_off(struct store *store, const struct vm_def *def, struct error *error)
{
    struct vm_now now;
    json_t *result = NULL;
    int e = vm_now(store, def, &now, error);
    if (!e)
        e = vm_now_allows(def, &now, VM_APPLY_CHECKPOINT, error);
    if (!e)
        e = host_rules(store, def, &now, NULL, NULL, RULE_APPLY, error);
    json_decref(now.report);
    if (!e && now.state != VM_OFF && now.state != VM_SAVED)
        e = life_stop(store, def->name, LIFE_TURN_OFF, 0, NULL, &result, error);
    json_decref(result);
    return e;
}

/* The definition of the checkpoint with new files on top of its own, and with the VM's name of today. */
static int make_definition(struct store *store, const struct vm_def *def, const json_t *checkpoint, json_t **definition,
                           json_t *undo, struct error *error)
{
    char fresh[UUID_TEXT_MAX];
    size_t i;
    json_t *disk;
    *definition = json_deep_copy(json_object_get(checkpoint, "definition"));
    int e = *definition ? uuid_make(fresh, error) : error_memory(error);
    if (e)
        return e;
    (void)!json_object_set_new(*definition, "name", json_string(def->name));
    (void)!json_object_set_new(*definition, "id", json_string(def->id)); /* an imported VM may have got another */
    (void)!json_object_set(*definition, "checkpoint", json_object_get(checkpoint, "id"));
    json_array_foreach (json_object_get(*definition, "disks"), i, disk) {
        char path[PATH_MAX], below[PATH_MAX];
        if (!checkpoint_keeps(disk))
            continue;
        e = checkpoint_top(store, def->name, disk, fresh, path, error);
        if (e)
            return e;
        checkpoint_below(def->name, json_string_value(json_object_get(json_object_get(disk, "settings"), "path")),
                         below);
        (void)!json_array_append_new(undo, intent_remove(below));
    }
    return 0;
}

/* Switches learn which cards they have now. */
static void refresh_switches(struct store *store, const json_t *cards)
{
    size_t i;
    json_t *card;
    json_array_foreach ((json_t *)(uintptr_t)cards, i, card)
        vm_refresh_switch(store, json_string_value(json_object_get(json_object_get(card, "settings"), "switch")));
}

static int apply(struct store *store, const struct vm_def *def, const struct checkpoints *all, const json_t *checkpoint,
                 struct error *error)
{
    char vm_file[DEFINITION_PATH_MAX];
    json_t *definition = NULL, *undo = json_array(), *steps = json_array();
    int e = undo && steps ? make_definition(store, def, checkpoint, &definition, undo, error) : error_memory(error);
    if (!e)
        e = intent_begin(store, def->name, "checkpoint apply", json_incref(undo), error);
    if (!e)
        e = checkpoint_restore(store, def->name, checkpoint, steps, error);
    if (!e)
        e = checkpoint_cards_back(store, def->name, checkpoint, steps, error);
    if (e) {
        intent_undo(store, def->name);
    } else {
        definition_path("vms", def->name, "/vm.json", vm_file);
        (void)!json_array_append_new(steps, intent_write(vm_file, definition));
        checkpoint_drop_current(store, def, all, steps);
        json_t *cards = checkpoint_cards(store, def->name);
        e = intent_finish(store, def->name, "checkpoint apply", json_incref(steps), error);
        if (!e && !json_equal(cards, json_object_get(checkpoint, "cards"))) {
            refresh_switches(store, cards);
            refresh_switches(store, json_object_get(checkpoint, "cards"));
        }
        json_decref(cards);
    }
    json_decref(definition);
    json_decref(undo);
    json_decref(steps);
    return e;
}

static int missing(const struct vm_def *def, const struct checkpoints *all, const char *name, struct error *error)
{
    error_set(error, -ENOENT, "VM %s has no checkpoint %.80s", def->name, name);
    return error_hint(error, all->count ? "`nestbox checkpoint list` shows those that there are"
                                        : "`nestbox checkpoint create` takes one");
}

/* Opens the VM and finds the checkpoint. */
static int find(struct store *store, const char *vm, const char *name, const char *what, struct vm_open *open,
                struct checkpoints *all, json_t **checkpoint, struct error *error)
{
    *all = (struct checkpoints){0};
    int e = vm_open(store, vm, what, open, error);
    if (e)
        return e;
    e = checkpoints_read(store, &open->def, all, error);
    *checkpoint = e ? NULL : checkpoints_find(all, name);
    if (!e && !*checkpoint)
        e = missing(&open->def, all, name, error);
    if (e) {
        checkpoints_free(all);
        vm_close(open);
    }
    return e;
}

int checkpoint_apply(struct store *store, const char *vm, const char *name, struct error *error)
{
    struct vm_open open;
    struct checkpoints all;
    json_t *checkpoint;
    int e = find(store, vm, name, "checkpoint apply", &open, &all, &checkpoint, error);
    if (e)
        return e;
    e = turn_off(store, &open.def, error);
    if (!e)
        e = apply(store, &open.def, &all, checkpoint, error);
    checkpoints_free(&all);
    vm_close(&open);
    return e; /* images that wait to be merged wait on: the next start or deletion looks at them */
}

/* -- listing, renaming, deleting -- */

int checkpoint_list(struct store *store, const char *vm, json_t **list, struct error *error)
{
    struct vm_def def;
    struct checkpoints all;
    int e = store_vm(store, vm, &def, error);
    if (e)
        return e;
    e = checkpoints_read(store, &def, &all, error);
    *list = e ? NULL : json_array();
    for (u32 i = 0; i < all.count && !e; i++)
        if (json_array_append_new(*list, checkpoint_json(store, &def, all.list[i])))
            e = error_memory(error);
    checkpoints_free(&all);
    vm_def_free(&def);
    if (e)
        json_decref(*list);
    return e;
}

int checkpoint_show(struct store *store, const char *vm, const char *name, json_t **object, struct error *error)
{
    struct vm_def def;
    struct checkpoints all;
    int e = store_vm(store, vm, &def, error);
    if (e)
        return e;
    e = checkpoints_read(store, &def, &all, error);
    json_t *one = e ? NULL : checkpoints_find(&all, name);
    *object = one ? checkpoint_json(store, &def, one) : NULL;
    if (!e && !one)
        e = missing(&def, &all, name, error);
    checkpoints_free(&all);
    vm_def_free(&def);
    return e || *object ? e : error_memory(error);
}

int checkpoint_merging(struct store *store, const char *vm, json_t **object, struct error *error)
{
    struct vm_def def;
    struct vm_now now;
    struct error ignored;
    int e = store_vm(store, vm, &def, error);
    if (e)
        return e;
    u32 count = merge_count(store, def.name);
    if (!count || vm_now(store, &def, &now, &ignored))
        now.report = NULL;
    const json_t *merging = json_object_get(now.report, "merging");
    *object =
        json_pack("{s:i, s:I, s:I}", "images", (int)count, "done", json_integer_value(json_object_get(merging, "done")),
                  "total", json_integer_value(json_object_get(merging, "total")));
    json_decref(now.report);
    vm_def_free(&def);
    return *object ? 0 : error_memory(error);
}

int checkpoint_rename(struct store *store, const char *vm, const char *name, const char *new_name, struct error *error)
{
    struct vm_open open;
    struct checkpoints all;
    json_t *checkpoint;
    char file[PATH_MAX];
    int e = find(store, vm, name, "checkpoint rename", &open, &all, &checkpoint, error);
    if (e)
        return e;
    e = check_name(&all, new_name, error);
    if (!e) {
        (void)!json_object_set_new(checkpoint, "name", json_string(new_name));
        checkpoint_file(open.def.name, json_string_value(json_object_get(checkpoint, "id")), file);
        e = file_write(store->folder, file, checkpoint, error);
    }
    checkpoints_free(&all);
    vm_close(&open);
    return e;
}

/* Its children become those of its parent, and so does the VM. */
json_t *checkpoint_delete_steps(struct store *store, const struct vm_def *def, const struct checkpoints *all,
                                const json_t *checkpoint)
{
    const char *id = json_string_value(json_object_get(checkpoint, "id"));
    json_t *parent = json_object_get(checkpoint, "parent"), *steps = json_array();
    char file[PATH_MAX], folder[PATH_MAX], vm_file[DEFINITION_PATH_MAX], what[64];
    size_t index;
    for (u32 i = 0; i < all->count; i++) {
        const char *above = json_string_value(json_object_get(all->list[i], "parent"));
        if (!above || strcmp(above, id) != 0)
            continue;
        (void)!json_object_set(all->list[i], "parent", parent);
        checkpoint_file(def->name, json_string_value(json_object_get(all->list[i], "id")), file);
        (void)!json_array_append_new(steps, intent_write(file, all->list[i]));
    }
    if (strcmp(def->checkpoint, id) == 0) {
        json_t *changed = vm_def_json(def);
        (void)!json_object_set(changed, "checkpoint", parent);
        definition_path("vms", def->name, "/vm.json", vm_file);
        (void)!json_array_append_new(steps, intent_write(vm_file, changed));
        json_decref(changed);
    }
    json_t *images = checkpoint_leftovers(store, def, all, checkpoint), *image;
    json_array_foreach (images, index, image)
        (void)!merge_steps(def->name, json_string_value(image), steps);
    json_decref(images);
    snprintf(what, sizeof(what), "checkpoints/%.40s", id);
    checkpoint_below(def->name, what, folder);
    (void)!json_array_append_new(steps, intent_remove(folder));
    return steps;
}

int checkpoint_drop(struct store *store, const struct vm_def *def, const struct checkpoints *all,
                    const json_t *checkpoint, const char *what, const struct progress *progress, struct error *error)
{
    struct vm_now now;
    json_t *steps;
    int e = vm_now(store, def, &now, error);
    if (!e && !(steps = checkpoint_delete_steps(store, def, all, checkpoint)))
        e = error_memory(error);
    else if (!e)
        e = intent_finish(store, def->name, what, steps, error);
    if (!e)
        e = checkpoint_collect(store, def, now.report, progress, error);
    json_decref(now.report);
    return e;
}

int checkpoint_delete(struct store *store, const char *vm, const char *name, const struct progress *progress,
                      struct error *error)
{
    struct vm_open open;
    struct checkpoints all;
    json_t *checkpoint;
    int e = find(store, vm, name, "checkpoint delete", &open, &all, &checkpoint, error);
    if (e)
        return e;
    e = checkpoint_drop(store, &open.def, &all, checkpoint, "checkpoint delete", progress, error);
    checkpoints_free(&all);
    vm_close(&open);
    return e;
}
