/*
 * Importing. An archive is unpacked into the folder that the VM gets, a folder is copied there or, in place, becomes
 * the VM's by a link. An export may come from a stranger: what it has is looked at before anything of it is used, no
 * image reaches out of it, and files and folders of the host that it names are left out and named.
 */
#include "manager/export.h"

#include "manager/bulk.h"
#include "manager/card.h"
#include "manager/qemu_img.h"
#include "manager/vm.h"
#include "process/task.h"
#include "rules/network_settings.h"
#include "store/definition.h"
#include "store/file.h"
#include "store/intent.h"
#include "store/qcow2.h"
#include "store/setting_json.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

struct import {
    struct store *store;
    const struct import_how *how;
    const struct progress *progress;
    json_t *description;
    struct vm_def def;
    bool archive;
    char source[PATH_MAX];           /* absolute, without links */
    char root[PATH_MAX];             /* where its files are when they have been taken */
    char folder[PATH_MAX];           /* the VM's, absolute */
    char below[DEFINITION_PATH_MAX]; /* the same below the home folder */
    u32 problems;
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* -- what it says -- */

static int no_export(const struct import *x, const char *why, struct error *error)
{
    error_set(error, -EBADMSG, "%.200s is no export of a VM: %s", x->source, why);
    return error_hint(error, "`nestbox export` makes one");
}

static bool is_below(const char *path)
{
    for (const char *at = path; *at;) {
        size_t n = strcspn(at, "/");
        if (n == 0 || at[0] == '.')
            return false;
        at += n;
        if (*at == '/' && !*++at)
            return false;
    }
    return *path && strlen(path) < 256;
}

static int read_archive(struct import *x, char **text, struct error *error)
{
    const char *const args[] = {"tar",
                                "--extract",
                                "--to-stdout",
                                "--occurrence=1",
                                "--wildcards",
                                "--no-wildcards-match-slash",
                                "--file",
                                x->source,
                                "*/" EXPORT_FILE,
                                NULL};
    int e = task_run(&(struct task){.argv = args, .package = "tar", .output = text}, error);
    return e == -EIO ? no_export(x, "tar finds no " EXPORT_FILE " in it", error) : e;
}

static int read_description(struct import *x, struct error *error)
{
    char path[PATH_MAX], *text = NULL;
    int e = 0;
    if (x->archive) {
        e = read_archive(x, &text, error);
    } else {
        snprintf(path, sizeof(path), "%.4000s/" EXPORT_FILE, x->source);
        e = file_read_text(AT_FDCWD, path, &text, error);
        if (e == -ENOENT)
            return no_export(x, "there is no " EXPORT_FILE " in it", error);
    }
    if (e)
        return e;
    x->description = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    if (json_integer_value(json_object_get(x->description, "version")) != EXPORT_VERSION)
        return no_export(x, "its " EXPORT_FILE " is of no version that is known", error);
    e = vm_def_read(json_object_get(x->description, "definition"), &x->def, error);
    if (e) {
        struct error why = *error;
        error_set(error, -EBADMSG, "%.120s: %.100s", x->source, why.text);
    }
    return e;
}

static bool has_file(const struct import *x, const char *name)
{
    size_t i;
    json_t *file;
    json_array_foreach (json_object_get(x->description, "files"), i, file)
        if (json_string_value(file) && strcmp(json_string_value(file), name) == 0)
            return true;
    return false;
}

static int check_files(struct import *x, struct error *error)
{
    size_t i;
    json_t *file;
    json_array_foreach (json_object_get(x->description, "files"), i, file)
        if (!json_string_value(file) || !is_below(json_string_value(file)))
            return no_export(x, "it has a file with an impossible name", error);
    return 0;
}

/* -- what is left out -- */

static void note(const struct import *x, const char *hint, const char *what, const char *id, const char *path)
{
    struct error note;
    error_set(&note, -ENOENT, "%s %s of VM %s is empty now: it had %.200s of the host that the VM comes from", what, id,
              x->def.name, path);
    error_hint(&note, hint);
    store_note(x->store, &note);
}

/* Only files of the export are taken. */
static int leave_out(struct import *x, struct error *error)
{
    char hint[sizeof(error->hint)], word[NAME_WORD_MAX];
    for (u32 i = 0; i < x->def.disks; i++) {
        struct disk_def *disk = &x->def.disk[i];
        if (!disk->path || has_file(x, disk->path))
            continue;
        if (disk->path[0] != '/' || disk->kind != DISK_CD)
            return no_export(x, "a drive has a file that is not in it", error);
        snprintf(hint, sizeof(hint), "nestbox disk set %s " SETTING("path") " FILE",
                 name_words(x->def.name, disk->id, word));
        note(x, hint, "the CD drive", disk->id, disk->path);
        free((char *)(uintptr_t)disk->path);
        free((char *)(uintptr_t)disk->format);
        disk->path = disk->format = NULL;
    }
    for (u32 i = 0; i < x->def.shares; i++) {
        snprintf(hint, sizeof(hint), "nestbox share add %s FOLDER " SETTING("tag") " %s", name_word(x->def.name, word),
                 x->def.share[i].tag);
        struct error told;
        error_set(&told, -ENOENT,
                  "VM %s shares no folder %s any more: it was %.200s of the host that the VM comes from", x->def.name,
                  x->def.share[i].tag, x->def.share[i].path);
        error_hint(&told, hint);
        store_note(x->store, &told);
        setting_texts_free(share_settings_table, &x->def.share[i]);
    }
    x->def.shares = 0;
    return 0;
}

/* -- what is in the way -- */

static int other_vm(struct import *x, json_t *problems, struct error *error)
{
    struct vm_def *list;
    u32 count;
    char text[200];
    int e = store_vms(x->store, &list, &count, error);
    if (e)
        return e;
    for (u32 i = 0; i < count; i++) {
        if (name_equal(list[i].name, x->def.name)) {
            snprintf(text, sizeof(text), "there is already a VM %s", list[i].name);
            (void)!json_array_append_new(problems, json_pack("{s:s, s:s, s:s}", "problem", "name", "text", text, "hint",
                                                             "give it another name: `nestbox import PATH NAME`"));
        }
        if (strcasecmp(list[i].id, x->def.id) == 0 && !x->how->new_id) {
            snprintf(text, sizeof(text), "VM %s has the UUID of the export", list[i].name);
            (void)!json_array_append_new(problems, json_pack("{s:s, s:s, s:s}", "problem", "id", "text", text, "hint",
                                                             SETTING("new-id") " gives it a UUID of its own"));
        }
    }
    vm_defs_free(list, count);
    return 0;
}

static const char *switch_of(const struct import *x, const json_t *card)
{
    return x->how->switch_name ? x->how->switch_name : text_of(json_object_get(card, "settings"), "switch");
}

static int missing_switches(struct import *x, json_t *problems, struct error *error)
{
    struct networks all;
    size_t i;
    json_t *card, *told = json_object();
    int e = networks_read(x->store, &all, error);
    if (e) {
        json_decref(told);
        return e;
    }
    json_array_foreach (json_object_get(x->description, "cards"), i, card) {
        const char *name = switch_of(x, card);
        char text[240], hint[sizeof(error->hint)], word[NAME_WORD_MAX];
        if (!*name || networks_switch(&all, name) || json_object_get(told, name))
            continue;
        (void)!json_object_set_new(told, name, json_true());
        snprintf(text, sizeof(text), "VM %s has a card at the switch %.64s, which is not here", x->def.name, name);
        snprintf(hint, sizeof(hint), "`nestbox switch create %s` makes it; " SETTING("switch") " SW takes another",
                 name_word(name, word));
        (void)!json_array_append_new(problems, json_pack("{s:s, s:s, s:s, s:s}", "problem", "switch", "text", text,
                                                         "hint", hint, "switch", name));
    }
    networks_free(&all);
    json_decref(told);
    return 0;
}

static int find_problems(struct import *x, json_t **problems, struct error *error)
{
    *problems = json_array();
    int e = *problems ? other_vm(x, *problems, error) : error_memory(error);
    if (!e)
        e = missing_switches(x, *problems, error);
    if (e)
        json_decref(*problems);
    return e;
}

static int refuse_problems(struct import *x, struct error *error)
{
    json_t *problems;
    int e = find_problems(x, &problems, error);
    if (e)
        return e;
    const json_t *first = json_array_get(problems, 0);
    if (first) {
        e = error_set(error, strcmp(text_of(first, "problem"), "switch") ? -EEXIST : -ENOENT, "%s",
                      text_of(first, "text"));
        error_hint(error, text_of(first, "hint"));
    }
    json_decref(problems);
    return e;
}

/* -- files -- */

static u64 bytes_of(const struct import *x)
{
    u64 bytes = 0;
    size_t i;
    json_t *file;
    struct stat st;
    char path[PATH_MAX];
    json_array_foreach (json_object_get(x->description, "files"), i, file) {
        snprintf(path, sizeof(path), "%.3800s/%.255s", x->source, json_string_value(file));
        if (!lstat(path, &st))
            bytes += (u64)st.st_blocks * 512;
    }
    return bytes;
}

static int make_folders(const char *root, const char *name, struct error *error)
{
    char path[PATH_MAX];
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(path, sizeof(path), "%.3800s/%.*s", root, (int)(slash - name), name);
        if (mkdir(path, 0700) && errno != EEXIST)
            return error_path(error, -errno, path);
    }
    return 0;
}

static int copy_folder(struct import *x, struct bulk *bulk, struct error *error)
{
    char from[PATH_MAX], to[PATH_MAX];
    size_t i;
    json_t *file;
    bulk->total = bytes_of(x);
    int e = bulk_room(x->store->home, bulk->total, error);
    json_array_foreach (json_object_get(x->description, "files"), i, file) {
        const char *name = json_string_value(file);
        snprintf(from, sizeof(from), "%.3800s/%.255s", x->source, name);
        snprintf(to, sizeof(to), "%.3800s/%.255s", x->folder, name);
        if (!e)
            e = make_folders(x->folder, name, error);
        if (!e)
            e = bulk_copy(bulk, from, to, error);
    }
    return e;
}

#define TAR_RECORD 10240u

static void take_line(const struct task *task, const char *line)
{
    const struct progress *progress = task->opaque;
    unsigned long long records;
    if (progress && sscanf(line, "%llu", &records) == 1)
        progress->report(progress, "unpacking", records * TAR_RECORD, 0);
}

static int unpack(struct import *x, struct error *error)
{
    const char *const args[] = {"tar",
                                "--extract",
                                "--strip-components=1",
                                "--no-same-owner",
                                "--no-same-permissions",
                                "--sparse",
                                "--checkpoint=100",
                                "--checkpoint-action=echo=%u",
                                "--file",
                                x->source,
                                "--directory",
                                x->folder,
                                NULL};
    return task_run(
        &(struct task){.argv = args, .package = "tar", .line = take_line, .opaque = (void *)(uintptr_t)x->progress},
        error);
}

static bool strange; /* something that is neither a file nor a folder */

static int look(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    if (kind != FTW_F && kind != FTW_D)
        strange = true;
    else if (kind == FTW_F && (!S_ISREG(st->st_mode) || st->st_nlink != 1))
        strange = true;
    else if (chmod(path, kind == FTW_D ? 0700 : 0600))
        return -1;
    return 0;
}

/* No link, no device, nothing that it does not list. */
static int check_folder(struct import *x, struct error *error)
{
    size_t i;
    json_t *file;
    char path[PATH_MAX];
    struct stat st;
    strange = false;
    if (nftw(x->root, look, 16, FTW_PHYS) < 0)
        return error_path(error, -errno, x->root);
    if (strange)
        return no_export(x, "it has links or devices", error);
    json_array_foreach (json_object_get(x->description, "files"), i, file) {
        snprintf(path, sizeof(path), "%.3800s/%.255s", x->root, json_string_value(file));
        if (lstat(path, &st) || !S_ISREG(st.st_mode))
            return error_set(error, -EBADMSG, "%.120s is damaged: it has no %.80s", x->source, json_string_value(file));
    }
    return 0;
}

/* -- images -- */

/* Where the images of other hosts lay, those of the export are. */
static int set_bases(struct import *x, struct error *error)
{
    size_t i;
    json_t *base;
    json_array_foreach (json_object_get(x->description, "bases"), i, base) {
        const char *file = text_of(base, "file"), *onto = text_of(base, "base"), *format = text_of(base, "format");
        char path[PATH_MAX];
        if (!has_file(x, file) || !*onto || !*format)
            return no_export(x, "it says something impossible of its images", error);
        snprintf(path, sizeof(path), "%.3800s/%.255s", x->root, file);
        const char *const args[] = {"rebase", "-u", "-f", "qcow2", "-b", onto, "-F", format, path, NULL};
        int e = qemu_img(args, NULL, NULL, NULL, error);
        if (e)
            return e;
    }
    return 0;
}

/* What an image stands on is in the export. */
static int check_base(struct import *x, const char *file, const struct qcow2_head *head, struct error *error)
{
    char path[PATH_MAX + 1100], real[PATH_MAX], folder[PATH_MAX];
    const char *slash = strrchr(file, '/');
    if (head->data_file)
        return no_export(x, "an image has its data elsewhere", error);
    if (!head->backing[0])
        return 0;
    snprintf(path, sizeof(path), "%.2000s/%.*s/%s", x->root, (int)(slash ? slash - file : 1), slash ? file : ".",
             head->backing);
    size_t length = realpath(x->root, folder) ? strlen(folder) : 0;
    if (head->backing[0] == '/' || strncmp(head->backing, "json:", 5) == 0 || !length || !realpath(path, real) ||
        strncmp(real, folder, length) != 0 || real[length] != '/' || !has_file(x, real + length + 1))
        return no_export(x, "an image stands on one that is not in it", error);
    return 0;
}

/* All files are looked at: which of them are images is said by those who made the export. */
static int check_images(struct import *x, struct error *error)
{
    size_t i;
    json_t *file;
    int e = 0;
    json_array_foreach (json_object_get(x->description, "files"), i, file) {
        const char *name = json_string_value(file);
        char path[PATH_MAX];
        struct qcow2_head head;
        snprintf(path, sizeof(path), "%.3800s/%.255s", x->root, name);
        if (!e && strncmp(name, "saved/", 6) != 0 && !qcow2_read(AT_FDCWD, path, &head))
            e = check_base(x, name, &head, error);
    }
    return e;
}

/* Formats whose files may name others are not in exports. */
static int check_formats(struct import *x, const struct vm_def *def, struct error *error)
{
    static const char *const whole[] = {"raw", "qcow2", "vhdx", "vpc", "vdi", "qed"};
    for (u32 i = 0; i < def->disks; i++) {
        bool known = !def->disk[i].path;
        for (unsigned f = 0; f < ARRAY_LEN(whole) && !known; f++)
            known = def->disk[i].format && strcmp(def->disk[i].format, whole[f]) == 0;
        if (!known || (def->disk[i].path && !has_file(x, def->disk[i].path) && def->disk[i].kind != DISK_CD))
            return no_export(x, "a drive has an image that it cannot have", error);
    }
    return 0;
}

/* Cards of checkpoints become the VM's as they are written there. */
static int check_cards(struct import *x, const json_t *cards, struct error *error)
{
    size_t i;
    json_t *card;
    json_array_foreach ((json_t *)(uintptr_t)cards, i, card) {
        const char *id = text_of(card, "id");
        struct card_settings set = {0};
        setting_defaults(card_settings_table, &set);
        int e = setting_json_read(card_settings_table, json_object_get(card, "settings"), &set, error);
        if (!e)
            e = card_settings_check(&set, error);
        setting_texts_free(card_settings_table, &set);
        if (!e)
            e = name_check("a card", text_of(card, "name"), error);
        if (e)
            return e;
        if (strlen(id) != 8 || strspn(id, "0123456789abcdef") != 8 || id[0] < 'a')
            return no_export(x, "a card has an impossible id", error);
    }
    return 0;
}

/* Definitions of checkpoints become the VM's one day. Files and folders of the host are taken out of them, too. */
static int check_checkpoint(struct import *x, const char *name, struct error *error)
{
    char path[PATH_MAX];
    json_t *object = NULL, *disk;
    struct vm_def def;
    size_t i;
    snprintf(path, sizeof(path), "%.3800s/%.255s", x->root, name);
    int e = file_read(AT_FDCWD, path, &object, error);
    if (e)
        return e;
    json_t *definition = json_object_get(object, "definition");
    e = vm_def_read(definition, &def, error);
    if (!e) {
        e = check_formats(x, &def, error);
        vm_def_free(&def);
    }
    if (!e)
        e = check_cards(x, json_object_get(object, "cards"), error);
    json_array_foreach (json_object_get(definition, "disks"), i, disk) {
        json_t *settings = json_object_get(disk, "settings");
        if (text_of(settings, "path")[0] && !has_file(x, text_of(settings, "path"))) {
            (void)!json_object_set_new(settings, "path", json_null());
            (void)!json_object_set_new(settings, "format", json_null());
        }
    }
    (void)!json_object_set_new(definition, "shares", json_array());
    if (!e)
        e = file_write(AT_FDCWD, path, object, error);
    json_decref(object);
    return e;
}

static int check_checkpoints(struct import *x, struct error *error)
{
    size_t i;
    json_t *file;
    int e = 0;
    json_array_foreach (json_object_get(x->description, "files"), i, file) {
        const char *name = json_string_value(file), *last = strrchr(name, '/');
        if (!e && strncmp(name, "checkpoints/", 12) == 0 && strcmp(last, "/checkpoint.json") == 0)
            e = check_checkpoint(x, name, error);
    }
    return e;
}

/* -- cards -- */

static bool mac_is_used(const struct networks *all, const char *text)
{
    struct mac mac;
    if (!mac_parse(text, &mac))
        return false;
    for (u32 i = 0; i < all->card_count; i++)
        if (memcmp(&all->cards[i].mac, &mac, sizeof(mac)) == 0)
            return true;
    return false;
}

static int add_card(struct import *x, const struct networks *all, const json_t *card, struct error *error)
{
    struct card_def def = {0};
    struct error told;
    json_t *object = NULL;
    const char *name = text_of(card, "name");
    setting_defaults(card_settings_table, &def.set);
    if (strlen(name) > NAME_MAX_LEN)
        return no_export(x, "a card's name is none", error);
    strcpy(def.vm, x->def.name);
    strcpy(def.name, name);
    int e = setting_json_read(card_settings_table, json_object_get(card, "settings"), &def.set, error);
    const struct card_settings own = def.set; /* whose texts are released */
    def.set.switch_name = switch_of(x, card);
    if (!e && def.set.mac && (x->how->new_id || mac_is_used(all, def.set.mac))) {
        if (!x->how->new_id) {
            error_set(&told, -EEXIST, "card %s/%s gets another address, as %s is another card's", x->def.name, name,
                      def.set.mac);
            store_note(x->store, &told);
        }
        def.set.mac = NULL;
    }
    if (!e)
        e = nic_add(x->store, &def, &object, error);
    json_decref(object);
    def.set = own;
    setting_texts_free(card_settings_table, &def.set);
    return e;
}

static int add_cards(struct import *x, struct error *error)
{
    struct networks all;
    size_t i;
    json_t *card;
    int e = networks_read(x->store, &all, error);
    if (e)
        return e;
    json_array_foreach (json_object_get(x->description, "cards"), i, card)
        if (!e)
            e = add_card(x, &all, card, error);
    networks_free(&all);
    return e;
}

static void refresh_switches(struct import *x)
{
    size_t i;
    json_t *card;
    json_array_foreach (json_object_get(x->description, "cards"), i, card)
        vm_refresh_switch(x->store, switch_of(x, card));
}

/* -- the whole -- */

/* Is the folder a VM's already? */
static int refuse_registered(struct import *x, struct error *error)
{
    struct vm_def *list;
    u32 count;
    char disks[PATH_MAX], own[PATH_MAX], real[PATH_MAX];
    int e = store_vms(x->store, &list, &count, error);
    if (e)
        return e;
    snprintf(own, sizeof(own), "%.4000s/disks", x->source);
    for (u32 i = 0; i < count && !e; i++)
        if (!store_vm_path(x->store, list[i].name, "disks", disks, sizeof(disks), error) && realpath(disks, real) &&
            strcmp(real, own) == 0)
            e = error_set(error, -EEXIST, "%.200s is the folder of VM %s", x->source, list[i].name);
    vm_defs_free(list, count);
    return e;
}

/* The VM's folder gets links to what is in the other one. */
static int link_folder(struct import *x, struct error *error)
{
    static const char *const parts[] = {"disks", "saved", "checkpoints", "tpm", "firmware.fd"};
    int e = 0;
    for (u32 i = 0; i < ARRAY_LEN(parts) && !e; i++) {
        char at[PATH_MAX], link[PATH_MAX];
        snprintf(at, sizeof(at), "%.4000s/%s", x->source, parts[i]);
        snprintf(link, sizeof(link), "%.4000s/%s", x->folder, parts[i]);
        if (i < 4 && mkdir(at, 0700) && errno != EEXIST)
            e = error_path(error, -errno, at);
        else if (!access(at, F_OK) && symlink(at, link))
            e = error_path(error, -errno, link);
    }
    return e;
}

static int take_files(struct import *x, struct bulk *bulk, struct error *error)
{
    if (mkdirat(x->store->folder, "vms", 0700) && errno != EEXIST)
        return error_path(error, -errno, x->folder);
    if (mkdir(x->folder, 0700))
        return error_path(error, -errno, x->folder);
    strcpy(x->root, x->how->in_place ? x->source : x->folder);
    return x->how->in_place ? link_folder(x, error) : x->archive ? unpack(x, error) : copy_folder(x, bulk, error);
}

static int make(struct import *x, struct bulk *bulk, struct error *error)
{
    char path[PATH_MAX];
    int e = take_files(x, bulk, error);
    if (!e)
        e = check_folder(x, error);
    if (!e)
        e = set_bases(x, error);
    if (!e)
        e = check_images(x, error);
    if (!e)
        e = check_checkpoints(x, error);
    if (!e)
        e = add_cards(x, error);
    if (!e)
        e = task_cancelled(error);
    if (!e && x->archive) {
        snprintf(path, sizeof(path), "%.4000s/" EXPORT_FILE, x->folder);
        e = file_remove(AT_FDCWD, path, error);
    }
    if (!e)
        e = store_vm_create(x->store, &x->def, error);
    return e;
}

/* In place: from now on it is a VM and no export. */
static void end_export(struct import *x)
{
    char path[PATH_MAX];
    struct error ignored;
    snprintf(path, sizeof(path), "%.4000s/" EXPORT_FILE, x->source);
    if (x->how->in_place)
        (void)!file_remove(AT_FDCWD, path, &ignored);
}

static int import_locked(struct import *x, struct error *error)
{
    struct bulk bulk;
    struct stat st;
    json_t *undo = NULL;
    int e = refuse_problems(x, error);
    if (!e && x->how->in_place)
        e = refuse_registered(x, error);
    if (!e)
        e = leave_out(x, error);
    if (!e)
        e = check_formats(x, &x->def, error);
    if (!e && !lstat(x->folder, &st)) {
        char nics[PATH_MAX];
        snprintf(nics, sizeof(nics), "%.4000s/nics.json", x->folder);
        if (!access(nics, F_OK)) {
            error_set(error, -EEXIST, "there are cards of a VM %s already", x->def.name);
            e = error_hint(error, "`nestbox nic remove` takes them away");
        } else { /* a log at most */
            e = folder_remove(x->store->folder, x->below) ? error_path(error, -EEXIST, x->folder) : 0;
        }
    }
    if (!e && !(undo = intent_steps(1, intent_remove(x->below))))
        e = error_memory(error);
    if (!e)
        e = intent_begin(x->store, x->def.name, "import", undo, error);
    if (e)
        return e;
    bulk_begin(&bulk, x->progress, "importing");
    e = make(x, &bulk, error);
    if (!e)
        e = intent_end(x->store, x->def.name, error);
    if (!e) {
        end_export(x);
    } else {
        intent_undo(x->store, x->def.name);
        refresh_switches(x);
    }
    bulk_end(&bulk, e);
    if (e == -ENOSPC && !error->hint[0])
        error_hint(error, "nothing was imported");
    return e;
}

static int import_open(struct import *x, const char *path, struct error *error)
{
    struct stat st;
    if (!realpath(path, x->source) || stat(x->source, &st))
        return error_path(error, -errno, path);
    x->archive = !S_ISDIR(st.st_mode);
    if (x->archive && x->how->in_place) {
        error_set(error, -EINVAL, SETTING("in-place") ": %.200s is an archive", path);
        return error_hint(error, "import it as a copy, or unpack it first");
    }
    int e = read_description(x, error);
    if (!e)
        e = check_files(x, error);
    if (!e && x->how->name)
        e = name_check("a VM", x->how->name, error);
    if (!e && x->how->name)
        strcpy(x->def.name, x->how->name);
    if (!e && x->how->new_id)
        e = uuid_make(x->def.id, error);
    return e;
}

static void import_close(struct import *x)
{
    json_decref(x->description);
    vm_def_free(&x->def);
}

int vm_import(struct store *store, const char *path, const struct import_how *how, const struct progress *progress,
              json_t **object, struct error *error)
{
    struct import x = {.store = store, .how = how, .progress = progress};
    int lock = -1, e = import_open(&x, path, error);
    if (!e && (lock = store_vm_lock(store, x.def.name, "import", VM_LOCK_WAIT_MS, error)) < 0)
        e = lock;
    definition_path("vms", x.def.name, "", x.below);
    if (!e)
        e = store_vm_path(store, x.def.name, "", x.folder, sizeof(x.folder), error);
    if (!e)
        e = import_locked(&x, error);
    if (!e) {
        *object = json_pack("{s:s, s:s, s:s}", "name", x.def.name, "id", x.def.id, "path",
                            how->in_place ? x.source : x.folder);
        e = *object ? 0 : error_memory(error);
    }
    if (lock >= 0)
        store_vm_unlock(store, x.def.name, lock);
    import_close(&x);
    return e;
}

int vm_import_check(struct store *store, const char *path, const struct import_how *how, json_t **problems,
                    struct error *error)
{
    struct import x = {.store = store, .how = how};
    int e = import_open(&x, path, error);
    if (!e)
        e = find_problems(&x, problems, error);
    import_close(&x);
    return e;
}
