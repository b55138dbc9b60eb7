/*
 * The files of a VM that are worth something: its images, its memory, its checkpoints.
 */
#include "manager/disk.h"
#include "store/definition.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 8u

static void add_folder(const char *path, json_t *files, unsigned depth)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char below[PATH_MAX];
        struct stat st;
        if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
            snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >= (int)sizeof(below))
            continue;
        if (S_ISDIR(st.st_mode) && depth)
            add_folder(below, files, depth - 1);
        else if (S_ISREG(st.st_mode))
            (void)!json_array_append_new(
                files, json_pack("{s:s, s:I}", "path", below, "bytes", (json_int_t)st.st_blocks * 512));
    }
    if (dir)
        closedir(dir);
}

int disk_files(struct store *store, const char *vm, json_t **files, struct error *error)
{
    static const char *const folders[] = {"disks", "saved", "checkpoints"};
    *files = json_array();
    for (unsigned i = 0; i < ARRAY_LEN(folders); i++) {
        char path[PATH_MAX];
        struct stat st;
        int e = store_vm_path(store, vm, folders[i], path, sizeof(path), error);
        if (e) {
            json_decref(*files);
            return e;
        }
        if (!lstat(path, &st) && S_ISDIR(st.st_mode)) /* a link leads to a folder that was imported in place */
            add_folder(path, *files, DEPTH_MAX);
    }
    return 0;
}
