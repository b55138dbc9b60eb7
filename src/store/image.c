/*
 * Images, their drafts and their lock. Which VMs use them is in image_use.c.
 */
#include "store/image.h"

#include "store/definition.h"
#include "store/file.h"
#include "store/setting_json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define IMAGES "images"
#define IMAGE_FILE "/image.json"
#define DISK_FILE "/disk.qcow2"
#define DRAFT ".draft-"
#define WAIT_STEP_MS 20u
#define WAIT_MS 60000u

#define AT(field) offsetof(struct image_source, field)
/* clang-format off */
const struct setting image_source_table[] = {
    {"profile", SETTING_TEXT, AT(profile), "NAME", "what it was built as"},
    {"packages", SETTING_TEXT, AT(packages), "LIST", "packages that were added"},
    {"file", SETTING_TEXT, AT(file), "FILE", "what it was imported from"},
    {"format", SETTING_TEXT, AT(format), "NAME", "the format of that file"},
    {0},
};
/* clang-format on */

/* -- reading -- */

static int read_def(const json_t *object, const char *path, struct image_def *def, struct error *error)
{
    const json_t *created = json_object_get(object, "created");
    int e = definition_version(object, error);
    if (!e)
        e = definition_name(object, "name", "an image", def->name, error);
    if (!e && !definition_names(path, def->name))
        e = error_set(error, -EINVAL, "\"name\" is not the folder's");
    if (!e && !json_is_integer(created))
        e = error_set(error, -EINVAL, "\"created\" is not a time");
    if (e)
        return e;
    def->created = json_integer_value(created);
    return setting_json_read(image_source_table, json_object_get(object, "source"), &def->source, error);
}

static int read_file(struct store *store, const char *path, struct image_def *def, struct error *error)
{
    json_t *object;
    *def = (struct image_def){0};
    int e = store_read(store, path, &object, error);
    if (e)
        return e;
    e = read_def(object, path, def, error);
    json_decref(object);
    if (e)
        image_def_free(def);
    return e ? definition_fail(path, error) : 0;
}

struct image_list {
    struct image_def *def;
    u32 count;
};

static int take(struct store *store, const char *path, void *into, struct error *error)
{
    struct image_list *list = into;
    struct image_def *def = definition_more((void **)&list->def, list->count, sizeof(*def), error);
    int e = def ? read_file(store, path, def, error) : error->code;
    list->count += !e;
    return e;
}

int store_images(struct store *store, struct image_def **list, u32 *count, struct error *error)
{
    struct image_list all = {0};
    int e = definition_each(store, IMAGES, IMAGE_FILE, take, &all, error);
    if (e) {
        image_defs_free(all.def, all.count);
        all = (struct image_list){0};
    }
    *list = all.def;
    *count = all.count;
    return e;
}

void image_def_free(struct image_def *def)
{
    setting_texts_free(image_source_table, &def->source);
}

void image_defs_free(struct image_def *list, u32 count)
{
    for (u32 i = 0; i < count; i++)
        image_def_free(&list[i]);
    free(list);
}

static const char *list_name(const void *list, unsigned index)
{
    const struct image_list *l = list;
    return index < l->count ? l->def[index].name : NULL;
}

/* Says that there is no such image, and what may have been meant. */
static int absent(struct store *store, const char *name, struct error *error)
{
    struct image_list all;
    char hint[sizeof(error->hint)] = "there is none yet; `nestbox image build` makes one";
    int e = store_images(store, &all.def, &all.count, error);
    if (e)
        return e;
    const char *close = name_closest(name, list_name, &all);
    if (close)
        snprintf(hint, sizeof(hint), "did you mean '%s'?", close);
    else if (all.count)
        snprintf(hint, sizeof(hint), "`nestbox image list` lists what there is");
    image_defs_free(all.def, all.count);
    error_set(error, -ENOENT, "there is no image %.100s", name);
    return error_hint(error, hint);
}

int store_image(struct store *store, const char *name, struct image_def *def, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    int e = name_check("an image", name, error);
    if (e)
        return e;
    definition_path(IMAGES, name, IMAGE_FILE, path);
    e = read_file(store, path, def, error);
    return e == -ENOENT ? absent(store, name, error) : e;
}

int store_image_path(const struct store *store, const char *name, char *path, size_t size, struct error *error)
{
    char below[DEFINITION_PATH_MAX];
    definition_path(IMAGES, name, DISK_FILE, below);
    int n = snprintf(path, size, "%s/%s", store->home, below);
    return n < 0 || (size_t)n >= size ? error_path(error, -ENAMETOOLONG, store->home) : 0;
}

/* -- lock -- */

int store_images_lock(struct store *store, bool alone, struct error *error)
{
    int fd = openat(store->folder, IMAGES "/.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_path(error, -errno, IMAGES "/.lock");
    for (u32 waited = 0; flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB); waited += WAIT_STEP_MS) {
        if ((errno == EWOULDBLOCK || errno == EINTR) && waited < WAIT_MS) {
            usleep(WAIT_STEP_MS * 1000);
            continue;
        }
        int e = error_set(error, -EBUSY, "other commands have been using images for %u seconds", WAIT_MS / 1000);
        close(fd);
        return e;
    }
    return fd;
}

/* -- drafts -- */

static int is_draft(const struct dirent *entry)
{
    return strncmp(entry->d_name, DRAFT, strlen(DRAFT)) == 0;
}

/* Removes those that nobody works on. */
static void clean(struct store *store)
{
    struct dirent **entry;
    int above = openat(store->folder, IMAGES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int count = above < 0 ? 0 : scandirat(above, ".", &entry, is_draft, NULL);
    for (int i = 0; i < count; i++) {
        int fd = openat(above, entry[i]->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            (void)!folder_remove(above, entry[i]->d_name);
        if (fd >= 0)
            close(fd);
        free(entry[i]);
    }
    if (count >= 0 && above >= 0)
        free(entry);
    if (above >= 0)
        close(above);
}

static int refuse_taken(struct store *store, const char *name, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    definition_path(IMAGES, name, "", path);
    if (faccessat(store->folder, path, F_OK, 0))
        return 0;
    error_set(error, -EEXIST, "there is already an image %s", name);
    return error_hint(error, "take another name, or delete that one first");
}

int store_image_draft(struct store *store, const char *name, struct image_draft *draft, struct error *error)
{
    int e = name_check("an image", name, error), lock = e ? -1 : store_images_lock(store, true, error);
    if (e || lock < 0)
        return e ? e : lock;
    clean(store);
    draft->lock = -1;
    e = refuse_taken(store, name, error);
    if (!e && snprintf(draft->folder, PATH_MAX, "%s/" IMAGES "/" DRAFT "XXXXXX", store->home) >= PATH_MAX)
        e = error_path(error, -ENAMETOOLONG, store->home);
    if (!e && !mkdtemp(draft->folder))
        e = error_path(error, -errno, store->home);
    if (!e) {
        draft->lock = open(draft->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (draft->lock < 0 || flock(draft->lock, LOCK_EX | LOCK_NB))
            e = error_path(error, -errno, draft->folder);
        if (e)
            store_image_drop(draft);
    }
    close(lock);
    return e;
}

void store_image_drop(struct image_draft *draft)
{
    (void)!folder_remove(AT_FDCWD, draft->folder);
    if (draft->lock >= 0)
        close(draft->lock);
    draft->lock = -1;
}

static int flush(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC), e = fd < 0 || fsync(fd) ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return e;
}

static int write_def(struct store *store, const struct image_draft *draft, const struct image_def *def,
                     struct error *error)
{
    const char *below = draft->folder + strlen(store->home) + 1;
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s" IMAGE_FILE, below) >= (int)sizeof(path))
        return error_path(error, -ENAMETOOLONG, below);
    return definition_put(store, path,
                          json_pack("{s:i, s:s, s:I, s:o}", "version", DEFINITION_VERSION, "name", def->name, "created",
                                    (json_int_t)def->created, "source", setting_json(image_source_table, &def->source)),
                          error);
}

int store_image_keep(struct store *store, struct image_draft *draft, struct image_def *def, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    int lock = -1, e = fchmodat(draft->lock, &DISK_FILE[1], 0444, 0) ? -errno : flush(draft->lock, &DISK_FILE[1]);
    if (!def->created)
        def->created = time(NULL);
    if (e)
        error_path(error, e, draft->folder);
    if (!e)
        e = write_def(store, draft, def, error);
    if (!e && (lock = store_images_lock(store, true, error)) < 0)
        e = lock;
    definition_path(IMAGES, def->name, "", path);
    if (!e)
        e = refuse_taken(store, def->name, error);
    if (!e && renameat(AT_FDCWD, draft->folder, store->folder, path))
        e = error_path(error, -errno, path);
    if (e)
        store_image_drop(draft);
    else
        close(draft->lock);
    if (!e && (e = flush(store->folder, IMAGES)))
        error_path(error, e, IMAGES);
    if (lock >= 0)
        close(lock);
    return e;
}

int store_image_remove(struct store *store, const char *name, struct error *error)
{
    char path[DEFINITION_PATH_MAX], hidden[PATH_MAX];
    definition_path(IMAGES, name, "", path);
    clean(store);
    snprintf(hidden, sizeof(hidden), IMAGES "/" DRAFT "%d", (int)getpid());
    if (renameat(store->folder, path, store->folder, hidden))
        return error_path(error, -errno, path);
    int e = folder_remove(store->folder, hidden);
    return e ? error_path(error, e, hidden) : 0;
}
