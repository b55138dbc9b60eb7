/*
 * Exporting. What the export has is listed first: images with all that they stand on, wherever that lies, then small
 * files. All of it is copied under a hidden name beside the path, which gets its own name at the end. A VM that runs
 * is exported as a checkpoint that is taken for it and deleted afterwards. Nothing of the VM is changed; an image that
 * would name a file outside of the export is named in "bases", and an import makes it stand on the copy.
 */
#include "manager/export.h"

#include "manager/bulk.h"
#include "manager/checkpoint.h"
#include "manager/checkpoint_files.h"
#include "manager/export_list.h"
#include "manager/host.h"
#include "manager/vm.h"
#include "process/task.h"
#include "rules/rule.h"
#include "store/file.h"
#include "store/image.h"
#include "store/intent.h"
#include "store/network_json.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct export
{
    struct store *store;
    struct vm_open vm;
    const struct export_how *how;
    const struct progress *progress;
    struct export_list list;
    json_t *cards;             /* those of the checkpoint; NULL: the VM's */
    json_t *definition;        /* as it is exported */
    char taken[UUID_TEXT_MAX]; /* the checkpoint that was taken for it; empty: none */
    char target[PATH_MAX];     /* absolute */
    char draft[PATH_MAX];      /* where it is made: a folder */
    char draft_archive[PATH_MAX];
    bool archive, memory;
};

bool export_is_archive(const char *path)
{
    static const char *const ends[] = {".tar", ".tar.zst", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"};
    size_t length = strlen(path);
    for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
        size_t n = strlen(ends[i]);
        if (length > n && strcmp(path + length - n, ends[i]) == 0)
            return true;
    }
    return false;
}

/* -- where it goes -- */

static int choose_target(struct export *x, const char *path, struct error *error)
{
    char copy[PATH_MAX], folder[PATH_MAX], name[NAME_MAX + 1];
    const char *above = copy;
    struct stat st;
    x->archive = x->how->archive || export_is_archive(path);
    if (strlen(path) + NAME_MAX >= sizeof(copy))
        return error_path(error, -ENAMETOOLONG, path);
    if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
        snprintf(copy, sizeof(copy), "%s", path);
        snprintf(name, sizeof(name), "%s%s", x->vm.def.name, x->archive ? ".tar" : "");
    } else {
        snprintf(copy, sizeof(copy), "%s", path);
        snprintf(name, sizeof(name), "%s", basename(copy));
        snprintf(copy, sizeof(copy), "%s", path);
        above = dirname(copy);
    }
    if (!realpath(above, folder))
        return error_path(error, -errno, above);
    if ((size_t)snprintf(x->target, sizeof(x->target), "%s/%s", strcmp(folder, "/") ? folder : "", name) >=
            sizeof(x->target) - 32 ||
        (size_t)snprintf(x->draft, sizeof(x->draft), "%.3800s/.%.200s.export", folder, name) >= sizeof(x->draft) ||
        (size_t)snprintf(x->draft_archive, sizeof(x->draft_archive), "%.3800s/.%.200s.part%s", folder, name,
                         export_is_archive(name) ? strstr(name, ".t") : "") >= sizeof(x->draft_archive))
        return error_path(error, -ENAMETOOLONG, path);
    if (!lstat(x->target, &st)) {
        error_set(error, -EEXIST, "%.200s is there already", x->target);
        return error_hint(error, "choose another path, or remove that first");
    }
    return 0;
}

/* -- what it has -- */

static int list_cards(struct export *x, json_t **cards, struct error *error)
{
    struct card_def *all;
    u32 count;
    int e = store_cards(x->store, &all, &count, error);
    if (e)
        return e;
    *cards = json_array();
    for (u32 i = 0; i < count; i++)
        if (name_equal(all[i].vm, x->vm.def.name) &&
            json_array_append_new(
                *cards, json_pack("{s:s, s:o}", "name", all[i].name, "settings", card_settings_json(&all[i]))))
            e = error_memory(error);
    card_defs_free(all, count);
    return e;
}

/* The definition of a checkpoint, as that of the VM: saved, where there is memory. */
static int list_one(struct export *x, const struct checkpoints *all, const json_t *checkpoint, struct error *error)
{
    const char *id = json_string_value(json_object_get(checkpoint, "id"));
    json_t *parent = json_object_get(checkpoint, "parent"), *definition = json_object_get(checkpoint, "definition");
    char folder[80], state[96];
    x->definition = json_deep_copy(definition);
    x->cards = json_incref(json_object_get(checkpoint, "cards"));
    if (!x->definition)
        return error_memory(error);
    (void)!json_object_set_new(x->definition, "name", json_string(x->vm.def.name));
    (void)!json_object_set_new(x->definition, "id", json_string(x->vm.def.id));
    (void)!json_object_set(x->definition, "checkpoint", x->how->checkpoint ? json_null() : parent);
    snprintf(folder, sizeof(folder), "checkpoints/%s/", id);
    snprintf(state, sizeof(state), "%sstate", folder);
    int e = export_list_files(&x->list, folder, "", "firmware.fd", error);
    if (!e)
        e = export_list_files(&x->list, folder, "", "tpm", error);
    x->memory = json_is_true(json_object_get(checkpoint, "memory"));
    if (!e && x->memory)
        e = export_list_file(&x->list, state, "saved/state", error);
    if (!e && x->memory) {
        json_t *started = json_object_get(checkpoint, "memory_started");
        e = export_list_json(
            &x->list, VM_SAVED_FILE,
            json_pack("{s:i, s:O, s:O}", "version", 1, "memory",
                      started ? started : json_object_get(json_object_get(definition, "settings"), "memory"), "saved",
                      json_object_get(checkpoint, "created")),
            error);
    }
    for (u32 i = 0; i < all->count && !e && !x->how->checkpoint; i++)
        if (all->list[i] != checkpoint)
            e = export_list_checkpoint(&x->list, all->list[i], error);
    return e ? e : export_list_images(&x->list, x->definition, error);
}

static int list_all(struct export *x, const struct checkpoints *all, struct error *error)
{
    static const char *const files[] = {"firmware.fd", "tpm", "saved/state", VM_SAVED_FILE};
    int e = 0;
    x->definition = vm_def_json(&x->vm.def);
    x->memory = x->vm.def.saved;
    if (!x->definition)
        return error_memory(error);
    for (u32 i = 0; i < (x->memory ? 4 : 2) && !e; i++)
        e = export_list_files(&x->list, "", "", files[i], error);
    for (u32 i = 0; i < all->count && !e; i++)
        e = export_list_checkpoint(&x->list, all->list[i], error);
    return e ? e : export_list_images(&x->list, x->definition, error);
}

static json_t *description(struct export *x, struct error *error)
{
    json_t *cards = json_incref(x->cards); /* of a checkpoint */
    if (!cards && list_cards(x, &cards, error))
        return NULL;
    json_t *object = json_pack("{s:i, s:I, s:O, s:o, s:b, s:O, s:O}", "version", EXPORT_VERSION, "exported",
                               (json_int_t)time(NULL), "definition", x->definition, "cards", cards, "memory", x->memory,
                               "files", x->list.files, "bases", x->list.bases);
    if (!object)
        error_memory(error);
    return object;
}

/* -- making it -- */

/* Folders of a path below the draft. */
static int make_folders(const struct export *x, const char *name, struct error *error)
{
    char path[PATH_MAX];
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(path, sizeof(path), "%.3800s/%.*s", x->draft, (int)(slash - name), name);
        if (mkdir(path, 0700) && errno != EEXIST)
            return error_path(error, -errno, path);
    }
    return 0;
}

static int flush_folders(const struct export *x, struct error *error)
{
    char path[PATH_MAX];
    int e = 0;
    for (u32 i = 0; i < x->list.count && !e; i++) {
        snprintf(path, sizeof(path), "%.3800s/%.255s", x->draft, x->list.item[i].to);
        e = bulk_flush(dirname(path), error);
    }
    return e ? e : bulk_flush(x->draft, error);
}

static int write_item(struct export *x, struct bulk *bulk, const struct export_item *item, struct error *error)
{
    char to[PATH_MAX];
    int e = make_folders(x, item->to, error);
    if (e)
        return e;
    snprintf(to, sizeof(to), "%.3800s/%.255s", x->draft, item->to);
    if (item->content)
        return file_write(AT_FDCWD, to, item->content, error);
    if (!x->archive)
        return bulk_copy(bulk, item->from, to, error);
    return symlink(item->from, to) ? error_path(error, -errno, to) : 0;
}

static int write_folder(struct export *x, struct bulk *bulk, json_t *description, struct error *error)
{
    char path[PATH_MAX];
    int e = mkdir(x->draft, 0700) ? error_path(error, -errno, x->draft) : 0;
    for (u32 i = 0; i < x->list.count && !e; i++) {
        e = write_item(x, bulk, &x->list.item[i], error);
        if (!e)
            e = task_cancelled(error);
    }
    snprintf(path, sizeof(path), "%.3800s/" EXPORT_FILE, x->draft);
    if (!e)
        e = flush_folders(x, error);
    return e ? e : file_write(AT_FDCWD, path, description, error);
}

#define TAR_RECORD 10240u

struct tar_watch {
    const struct progress *progress;
    u64 total;
};

/* tar prints the number of records that it has written. */
static void take_line(const struct task *task, const char *line)
{
    const struct tar_watch *watch = task->opaque;
    unsigned long long records;
    if (watch->progress && sscanf(line, "%llu", &records) == 1)
        watch->progress->report(watch->progress, "exporting",
                                records * TAR_RECORD < watch->total ? records * TAR_RECORD : watch->total,
                                watch->total);
}

/* The folder has links, which tar follows: nothing is copied twice. */
static int write_archive(struct export *x, struct error *error)
{
    char renamed[NAME_MAX_LEN + 40];
    struct tar_watch watch = {x->progress, x->list.bytes};
    char name[NAME_MAX_LEN + 1];
    name_fold(x->vm.def.name, name);
    /* Members are NAME/..., whatever the draft is called. */
    snprintf(renamed, sizeof(renamed), "--transform=s,^,%s/,rSh", name);
    const char *args[32] = {"tar",
                            "--create",
                            "--auto-compress",
                            "--dereference",
                            "--hard-dereference",
                            "--sparse",
                            "--numeric-owner",
                            "--owner=0",
                            "--group=0",
                            "--checkpoint=100",
                            "--checkpoint-action=echo=%u",
                            renamed,
                            "--file",
                            x->draft_archive,
                            "--directory",
                            x->draft,
                            EXPORT_FILE};
    static const char *const parts[] = {"firmware.fd", "tpm", "checkpoints", "disks", "saved"};
    u32 count = 17;
    for (u32 i = 0; i < ARRAY_LEN(parts); i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.3800s/%s", x->draft, parts[i]);
        if (!access(path, F_OK))
            args[count++] = parts[i];
    }
    int e = task_run(&(struct task){.argv = args, .package = "tar", .line = take_line, .opaque = &watch}, error);
    int fd = e ? -1 : open(x->draft_archive, O_RDONLY | O_CLOEXEC);
    if (!e && (fd < 0 || fsync(fd)))
        e = error_path(error, -errno, x->draft_archive);
    if (fd >= 0)
        close(fd);
    return e;
}

static int write_all(struct export *x, struct bulk *bulk, struct error *error)
{
    char folder[PATH_MAX];
    json_t *object = description(x, error);
    if (!object)
        return error->code;
    snprintf(folder, sizeof(folder), "%s", x->target);
    bulk->total = x->list.bytes;
    int e = bulk_room(dirname(folder), x->list.bytes, error);
    if (!e)
        e = write_folder(x, bulk, object, error);
    if (!e && x->archive)
        e = write_archive(x, error);
    if (!e && rename(x->archive ? x->draft_archive : x->draft, x->target))
        e = error_path(error, -errno, x->target);
    if (!e)
        e = bulk_flush(folder, error);
    if (x->archive || e) {
        (void)!folder_remove(AT_FDCWD, x->draft);
        (void)!unlink(x->draft_archive);
    }
    if (e == -ENOSPC && !error->hint[0])
        error_hint(error, "nothing was exported, and the VM is as it was");
    json_decref(object);
    return e;
}

/* -- the whole -- */

/* What a command that was ended leaves goes, and so does the checkpoint that was taken for it. */
static int begin(struct export *x, const struct checkpoints *all, const json_t *taken, struct error *error)
{
    json_t *undo = taken ? checkpoint_delete_steps(x->store, &x->vm.def, all, taken) : json_array();
    (void)!folder_remove(AT_FDCWD, x->draft);
    (void)!unlink(x->draft_archive);
    if (undo && (json_array_append_new(undo, intent_discard(x->draft)) ||
                 json_array_append_new(undo, intent_discard(x->draft_archive)))) {
        json_decref(undo);
        undo = NULL;
    }
    return undo ? intent_begin(x->store, x->vm.def.name, "export", undo, error) : error_memory(error);
}

static int drop_taken(struct export *x, struct checkpoints *all, json_t *taken, struct error *error)
{
    return checkpoint_drop(x->store, &x->vm.def, all, taken, "export", x->progress, error);
}

static int collect_and_write(struct export *x, struct checkpoints *all, json_t *source, struct error *error)
{
    json_t *taken = x->taken[0] ? source : NULL;
    struct bulk bulk;
    struct error late;
    int e = begin(x, all, taken, error);
    bulk_begin(&bulk, x->progress, "exporting");
    if (!e) {
        e = export_list_begin(&x->list, x->store, &x->vm.def, error);
        if (!e)
            e = source ? list_one(x, all, source, error) : list_all(x, all, error);
        if (!e)
            e = write_all(x, &bulk, error);
    }
    int last = taken ? 0 : intent_end(x->store, x->vm.def.name, &late);
    bulk_end(&bulk, e ? e : last);
    if (taken)
        last = drop_taken(x, all, taken, &late);
    if (!e && last) {
        *error = late;
        e = last;
    }
    return e;
}

/* A VM that runs is exported by a checkpoint. */
static int take(struct export *x, enum vm_state state, struct error *error)
{
    char name[2 * NAME_MAX_LEN];
    time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(name, sizeof(name), "for an export %Y-%m-%d %H:%M:%S", &tm);
    if (state != VM_RUNNING && state != VM_PAUSED)
        return 0;
    int e = checkpoint_take(x->store, &x->vm.def, name,
                            x->how->live == EXPORT_CONSISTENT ? CHECKPOINT_PRODUCTION_ONLY : CHECKPOINT_STANDARD,
                            x->progress, x->taken, error);
    if (e)
        x->taken[0] = 0;
    vm_def_free(&x->vm.def); /* it stands on new files */
    struct error ignored;
    char own[NAME_MAX_LEN + 1];
    snprintf(own, sizeof(own), "%s", x->vm.def.name);
    int again = store_vm(x->store, own, &x->vm.def, e ? &ignored : error);
    return e ? e : again;
}

static int export_open(struct export *x, json_t **object, struct error *error)
{
    struct checkpoints all = {0};
    struct vm_now now;
    json_t *source = NULL;
    int e = vm_now(x->store, &x->vm.def, &now, error);
    if (!e)
        e = vm_now_allows(&x->vm.def, &now, VM_EXPORT, error);
    json_decref(now.report);
    if (!e && !x->how->checkpoint)
        e = take(x, now.state, error);
    if (!e)
        e = checkpoints_read(x->store, &x->vm.def, &all, error);
    const char *wanted = x->how->checkpoint ? x->how->checkpoint : x->taken[0] ? x->taken : NULL;
    if (!e && wanted && !(source = checkpoints_find(&all, wanted))) {
        error_set(error, -ENOENT, "VM %s has no checkpoint %.80s", x->vm.def.name, wanted);
        e = error_hint(error, "`nestbox checkpoint list` shows those that there are");
    }
    if (!e)
        e = collect_and_write(x, &all, source, error);
    if (!e) {
        *object = json_pack("{s:s, s:s, s:I, s:b, s:b}", "name", x->vm.def.name, "path", x->target, "bytes",
                            (json_int_t)x->list.bytes, "memory", x->memory, "archive", x->archive);
        e = *object ? 0 : error_memory(error);
    }
    checkpoints_free(&all);
    return e;
}

int vm_export(struct store *store, const char *name, const char *path, const struct export_how *how,
              const struct progress *progress, json_t **object, struct error *error)
{
    struct export x = {.store = store, .how = how, .progress = progress};
    int e = vm_open(store, name, "export", &x.vm, error);
    if (e)
        return e;
    int images = store_images_lock(store, false, error);
    e = images < 0 ? images : choose_target(&x, path, error);
    if (!e)
        e = export_open(&x, object, error);
    export_list_free(&x.list);
    json_decref(x.definition);
    json_decref(x.cards);
    if (images >= 0)
        close(images);
    vm_close(&x.vm);
    return e;
}
