/*
 * Which VMs use an image: the files of each VM are looked at, whatever they are for, and so are files elsewhere that
 * definitions name. A file's head says what it lies over (store/qcow2.h), so nothing has to be kept in step.
 */
#include "store/image.h"

#include "store/definition.h"
#include "store/qcow2.h"
#include "store/vm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_MAX 4  /* of folders in a VM's */
#define CHAIN_MAX 64 /* files over each other */

struct uses {
    struct store *store;
    struct image_use *list;
    u32 count;
    const char *vm; /* whose files are looked at */
    struct error *error;
};

/* Does the path lie in the folder of an image? Writes its name, in lower case. */
static bool image_of(const struct store *store, const char *path, char name[static NAME_MAX_LEN + 1])
{
    static const char images[] = "/images/";
    size_t length = strlen(store->home);
    if (strncmp(path, store->home, length) != 0 || strncmp(path + length, images, strlen(images)) != 0)
        return false;
    path += length + strlen(images);
    length = strcspn(path, "/");
    if (!length || length > NAME_MAX_LEN || path[0] == '.' || !path[length])
        return false;
    memcpy(name, path, length);
    name[length] = 0;
    return true;
}

/* The file below another one, as an absolute path. */
static bool below(const char *path, char to[static PATH_MAX])
{
    struct qcow2_head head;
    char copy[PATH_MAX], joined[2 * PATH_MAX];
    if (qcow2_read(AT_FDCWD, path, &head) || !head.backing[0])
        return false;
    snprintf(copy, sizeof(copy), "%s", path);
    if (head.backing[0] == '/')
        snprintf(joined, sizeof(joined), "%s", head.backing);
    else
        snprintf(joined, sizeof(joined), "%s/%s", dirname(copy), head.backing);
    return realpath(joined, to) || snprintf(to, PATH_MAX, "%s", joined) < PATH_MAX;
}

/* Follows a file down to an image. */
static int look(struct uses *uses, const char *path)
{
    char at[PATH_MAX], next[PATH_MAX], name[NAME_MAX_LEN + 1];
    if (!realpath(path, at))
        return 0;
    for (unsigned i = 0; i < CHAIN_MAX; i++) {
        if (image_of(uses->store, at, name)) {
            struct image_use *use = definition_more((void **)&uses->list, uses->count, sizeof(*use), uses->error);
            if (!use)
                return uses->error->code;
            strcpy(use->image, name);
            snprintf(use->vm, sizeof(use->vm), "%s", uses->vm);
            uses->count++;
            return 0;
        }
        if (!below(at, next))
            return 0;
        strcpy(at, next);
    }
    return 0;
}

static int look_in(struct uses *uses, const char *folder, unsigned depth)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int e = 0;
    while (dir && !e && (entry = readdir(dir))) {
        char path[PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= (int)sizeof(path))
            continue;
        if (entry->d_type == DT_DIR)
            e = depth ? look_in(uses, path, depth - 1) : 0;
        else if (entry->d_type == DT_REG)
            e = look(uses, path);
    }
    if (dir)
        closedir(dir);
    return e;
}

/* The name of the VM of a folder as it was given. */
static const char *vm_name(const struct vm_def *list, u32 count, const char *folder)
{
    for (u32 i = 0; i < count; i++)
        if (name_equal(list[i].name, folder))
            return list[i].name;
    return folder;
}

static int look_everywhere(struct uses *uses, const struct vm_def *vms, u32 count)
{
    char path[PATH_MAX];
    struct dirent **entry;
    int folders = scandirat(uses->store->folder, "vms", &entry, NULL, alphasort), e = 0;
    if (folders < 0)
        return error_set(uses->error, -errno, "%s/vms: %s", uses->store->home, strerror(errno));
    for (int i = 0; i < folders; i++) {
        const char *folder = entry[i]->d_name;
        if (!e && folder[0] != '.' && snprintf(path, sizeof(path), "%s/vms/%s", uses->store->home, folder) < PATH_MAX) {
            uses->vm = vm_name(vms, count, folder);
            e = look_in(uses, path, DEPTH_MAX);
        }
        free(entry[i]);
    }
    free(entry);
    for (u32 i = 0; i < count; i++)
        for (u32 j = 0; !e && j < vms[i].disks; j++)
            if (vms[i].disk[j].path && vms[i].disk[j].path[0] == '/') {
                uses->vm = vms[i].name;
                e = look(uses, vms[i].disk[j].path);
            }
    return e;
}

int store_image_uses(struct store *store, struct image_use **list, u32 *count, struct error *error)
{
    struct uses uses = {.store = store, .error = error};
    struct vm_def *vms;
    u32 number;
    int e = store_vms_some(store, &vms, &number, NULL, error);
    if (!e) {
        e = look_everywhere(&uses, vms, number);
        vm_defs_free(vms, number);
    }
    if (e) {
        free(uses.list);
        uses.list = NULL;
        uses.count = 0;
    }
    *list = uses.list;
    *count = uses.count;
    return e;
}
