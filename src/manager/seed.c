/*
 * The seed has two files: meta-data, which is JSON here and thus YAML, and user-data as it was given. The instance is
 * the VM's UUID: when that is another one, cloud-init sets the guest up again.
 */
#include "manager/seed.h"

#include "store/definition.h"
#include "store/file.h"
#include "store/iso9660.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LABEL "CIDATA" /* of file systems that cloud-init looks at */
#define PATH "disks/seed.iso"
#define IMAGE_MAX (4 << 20)

void seed_hostname(const char *vm, char name[static NAME_MAX_LEN + 1])
{
    size_t used = 0;
    for (; *vm && used < 63; vm++)
        if (isalnum((u8)*vm))
            name[used++] = (char)tolower((u8)*vm);
        else if (used && name[used - 1] != '-')
            name[used++] = '-';
    while (used && name[used - 1] == '-')
        used--;
    name[used] = 0;
    if (!used)
        strcpy(name, "vm");
}

/* -- keys -- */

static int add_keys(const char *file, json_t *keys, struct error *error)
{
    char *text, *save = NULL;
    size_t before = json_array_size(keys);
    int e = file_read_text(AT_FDCWD, file, &text, error);
    if (e)
        return e;
    if (strstr(text, "PRIVATE KEY")) {
        char hint[sizeof(error->hint)];
        free(text);
        error_set(error, -EINVAL, SETTING("ssh-key") ": %.200s has a private key, which stays with its owner", file);
        snprintf(hint, sizeof(hint), "the public one is in %.100s.pub", file);
        return error_hint(error, hint);
    }
    for (char *line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
        /* The length of a key's type, which each begins with, is less than 2^8: so it is AAAA in base64. */
        if (line[strspn(line, " \t")] && *line != '#' &&
            (!strstr(line, " AAAA") || json_array_append_new(keys, json_string(line))))
            e = error_set(error, -EINVAL, SETTING("ssh-key") ": %.200s has something that is no key", file);
    free(text);
    if (!e && json_array_size(keys) == before)
        e = error_set(error, -EINVAL, SETTING("ssh-key") ": %.200s has no public key", file);
    return e;
}

/* Takes the reference of `keys`. */
static int meta_text(const struct vm_def *def, json_t *keys, char **text, struct error *error)
{
    char name[NAME_MAX_LEN + 1];
    seed_hostname(def->name, name);
    json_t *object = json_pack("{s:s, s:s, s:o}", "instance-id", def->id, "local-hostname", name, "public-keys", keys);
    *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
    json_decref(object);
    return *text ? 0 : error_memory(error);
}

static int meta_data(const struct vm_def *def, const struct seed *seed, char **text, struct error *error)
{
    json_t *keys = json_array();
    int e = keys ? 0 : error_memory(error);
    for (u32 i = 0; !e && i < seed->ssh_key.count; i++)
        e = add_keys(seed->ssh_key.item[i], keys, error);
    if (!e)
        return meta_text(def, keys, text, error);
    json_decref(keys);
    return e;
}

/* What cloud-init would pass over in silence is refused here. */
static int user_data(const struct seed *seed, char **text, struct error *error)
{
    static const char none[] = "#cloud-config\n{}\n";
    if (!seed->user_data || !*seed->user_data) {
        *text = strdup(none);
        return *text ? 0 : error_memory(error);
    }
    int e = file_read_text(AT_FDCWD, seed->user_data, text, error);
    if (e || **text == '#' || strncasecmp(*text, "content-type:", 13) == 0 ||
        strncasecmp(*text, "mime-version:", 13) == 0)
        return e;
    free(*text);
    *text = NULL;
    error_set(error, -EINVAL, SETTING("user-data") ": %.200s is nothing that cloud-init takes", seed->user_data);
    return error_hint(error, "its first line is #cloud-config, or #! and the interpreter of a script");
}

/* -- the drive -- */

static int write_image(struct store *store, const struct vm_def *def, const char *meta, const char *user,
                       size_t user_length, struct error *error)
{
    const struct iso_file files[] = {{"meta-data", meta, strlen(meta)}, {"user-data", user, user_length}};
    char path[PATH_MAX];
    size_t size;
    int e = store_vm_path(store, def->name, PATH, path, sizeof(path), error);
    if (e)
        return e;
    void *image = iso_make(LABEL, files, ARRAY_LEN(files), &size);
    if (!image)
        return error_memory(error);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, image, size) == (ssize_t)size && fsync(fd) == 0;
    e = good ? 0 : -(errno ? errno : EIO);
    if (fd >= 0)
        close(fd);
    free(image);
    return e ? error_path(error, e, path) : 0;
}

static int add_drive(struct vm_def *def, struct error *error)
{
    struct disk_def cd = {
        .bus = BUS_ANY, .kind = DISK_CD, .controller = DISK_ANYWHERE, .location = DISK_ANYWHERE, .read_only = true};
    u32 drives = 0;
    if (def->disks == VM_DISKS_MAX)
        return error_set(error, -ENOSPC, "VM %s has no place for the seed's drive", def->name);
    for (u32 i = 0; i < def->disks; i++)
        drives += def->disk[i].kind == DISK_CD;
    disk_id(DISK_CD, drives, cd.id);
    int e = disk_place(&cd, def->set.generation, def->disk, def->disks, error);
    if (e)
        return e;
    cd.path = strdup(PATH);
    cd.format = strdup("raw");
    def->disk[def->disks++] = cd; /* whose texts are released with the others, also if one is missing */
    return cd.path && cd.format ? 0 : error_memory(error);
}

int seed_add(struct store *store, struct vm_def *def, const struct seed *seed, struct error *error)
{
    char *meta = NULL, *user = NULL;
    int e = def->id[0] ? 0 : uuid_make(def->id, error);
    if (!e)
        e = meta_data(def, seed, &meta, error);
    if (!e)
        e = user_data(seed, &user, error);
    if (!e)
        e = write_image(store, def, meta, user, strlen(user), error);
    free(meta);
    free(user);
    return e ? e : add_drive(def, error);
}

/* -- clones -- */

bool seed_is(const struct disk_def *disk)
{
    return disk->kind == DISK_CD && disk->path && strcmp(disk->path, PATH) == 0;
}

static int rewrite(struct store *store, const void *image, size_t size, const char *path, struct vm_def *to,
                   struct error *error)
{
    size_t length, user_length;
    char *text = NULL;
    const char *meta = iso_find(image, size, "meta-data", &length);
    const char *user = iso_find(image, size, "user-data", &user_length);
    json_t *object = meta ? json_loadb(meta, length, 0, NULL) : NULL;
    int e = object && user ? 0 : error_set(error, -EBADMSG, "%.200s is no seed that nestbox made", path);
    if (!e)
        e = to->id[0] ? 0 : uuid_make(to->id, error);
    if (!e)
        e = meta_text(to, json_incref(json_object_get(object, "public-keys")), &text, error);
    if (!e)
        e = write_image(store, to, text, user, user_length, error);
    free(text);
    json_decref(object);
    return e;
}

int seed_clone(struct store *store, const struct vm_def *from, struct vm_def *to, struct error *error)
{
    char path[PATH_MAX];
    struct stat st;
    int e = store_vm_path(store, from->name, PATH, path, sizeof(path), error);
    if (e)
        return e;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *image = fd >= 0 && !fstat(fd, &st) && st.st_size <= IMAGE_MAX ? malloc((size_t)st.st_size + 1) : NULL;
    if (image && read(fd, image, (size_t)st.st_size) == st.st_size)
        e = rewrite(store, image, (size_t)st.st_size, path, to, error);
    else
        e = error_set(error, -EIO, "%.200s cannot be read", path);
    free(image);
    if (fd >= 0)
        close(fd);
    return e;
}
