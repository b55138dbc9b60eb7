/*
 * What a guest that has broken into QEMU finds: a user that is nobody else's where root has started it, no network, no
 * right that its user does not have by itself (none at all where it is root's), and no file that it could write but
 * those of its VM. What it is confined to is collected by the worker, and taken in the new process between fork and
 * exec; notes come back through memory that both share.
 *
 * Heads of images below others may be QEMU's work, and so may links in the folder disks. So of files that only these
 * name the user gets those of the home folder, those that the VM's disks were made to stand on, and elsewhere what
 * everybody may read.
 */
#include "worker/confine.h"

#include "process/confine.h"
#include "process/view.h"
#include "store/network.h"
#include "store/qcow2.h"
#include "worker/command.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define USERS_FROM 0x70000000u /* 1879048192 to 2147483647: of no system user, and no container's */
#define USERS_MASK 0x0fffffffu
#define CHAIN_MAX 64u

struct verdict {
    bool known, taken[CONFINED_PARTS];
    char note[CONFINED_PARTS][160];
};

struct confined {
    struct verdict *verdict; /* shared; of the process that entered last, which is QEMU */
    char folder[PATH_MAX], own[PATH_MAX], sockets[PATH_MAX], probe[PATH_MAX];
    char drive[VM_DISKS_MAX][PATH_MAX]; /* files elsewhere that it writes to */
    u32 drives;
    bool foreign;  /* it has files of other users */
    u32 user;      /* 0: who it is anyway */
    int space;     /* in which it is that user; -1: none */
    char why[160]; /* it has no user of its own */
};

static const char *const names[CONFINED_PARTS] = {
    [CONFINED_USER] = "user", [CONFINED_NETWORK] = "network", [CONFINED_RIGHTS] = "rights", [CONFINED_FILES] = "files"};

static int add_drive(struct confined *c, const struct store *store, const struct vm_def *def,
                     const struct disk_def *disk, struct error *error)
{
    char path[PATH_MAX];
    struct stat st;
    if (!disk->path)
        return 0;
    int e = store_disk_path(store, def, disk, path, sizeof(path), error);
    if (e || stat(path, &st))
        return e;
    c->foreign |= st.st_uid != geteuid();
    if (strncmp(disk->path, "disks/", 6) != 0 && !disk->read_only && disk->kind != DISK_CD)
        strcpy(c->drive[c->drives++], path);
    return 0;
}

/* -- a user of its own -- */

u32 confined_user(const struct vm_def *def)
{
    return USERS_FROM | ((u32)strtoul(def->id, NULL, 16) & USERS_MASK);
}

static bool is_in(const char *folder, const char *path)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && path[length] == '/';
}

/* An image that is not in the VM's folder, and those below it. */
static int show_chain(struct view *view, struct store *store, const char *vm, const char *folder, const char *image,
                      int access, bool only_below)
{
    char path[PATH_MAX];
    int e = only_below || is_in(folder, image) ? 0 : view_add(view, image, VIEW_OWN, access);
    snprintf(path, sizeof(path), "%s", image);
    for (u32 i = 0; i < CHAIN_MAX && !e && qcow2_go_below(path, sizeof(path)); i++) {
        bool own = is_in(store_home(store), path) || store_vm_base(store, vm, path);
        if (!is_in(folder, path))
            e = view_add(view, path, own ? VIEW_OWN : VIEW_REACHED, own ? R_OK : F_OK);
    }
    return e;
}

/* The folder of this program, from which it is started again. */
static int show_program(struct view *view)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = 0;
    return n > 0 ? view_add(view, dirname(path), VIEW_REACHED, R_OK | X_OK) : -ENOENT;
}

/* Folders in the VM's may be links to where it was imported in place. */
static int show_folder(const struct confined *c, struct view *view)
{
    static const char *const parts[] = {"disks", "firmware.fd"};
    int e = view_add(view, c->folder, VIEW_OWN, R_OK | W_OK | X_OK);
    for (u32 i = 0; i < ARRAY_LEN(parts) && !e; i++) {
        char path[PATH_MAX];
        struct stat st;
        snprintf(path, sizeof(path), "%.4000s/%s", c->folder, parts[i]);
        if (!lstat(path, &st) && S_ISLNK(st.st_mode))
            e = view_add(view, path, VIEW_OWN, R_OK | W_OK);
    }
    return e;
}

static int show_drives(struct view *view, struct store *store, const struct vm_def *def, const char *folder)
{
    char path[PATH_MAX];
    struct error ignored;
    int e = 0;
    for (u32 i = 0; i < def->disks && !e; i++) {
        const struct disk_def *disk = &def->disk[i];
        bool reads = disk->read_only || disk->kind == DISK_CD;
        if (disk->path && !store_disk_path(store, def, disk, path, sizeof(path), &ignored))
            e = show_chain(view, store, def->name, folder, path, reads ? R_OK : R_OK | W_OK, false);
    }
    return e;
}

/* Root's QEMU gets one where the host can do it. */
static void take_user(struct confined *c, struct store *store, const struct vm_def *def)
{
    struct error error = {0};
    u32 user = confined_user(def);
    struct view *view = geteuid() ? NULL : view_new(user);
    if (!view)
        return;
    /* Sockets of cards are in one folder: each user makes its own there, and removes no other's. */
    int e = chown(c->own, user, user) || chmod(c->sockets, 01777) ? -errno : 0;
    if (!e)
        e = show_folder(c, view);
    if (!e)
        e = view_add(view, c->own, VIEW_REACHED, R_OK | W_OK | X_OK);
    if (!e)
        e = view_add(view, c->sockets, VIEW_REACHED, W_OK | X_OK);
    if (!e)
        e = show_program(view);
    if (!e && def->set.accel != ACCEL_ENGINE)
        e = view_add(view, "/dev/kvm", VIEW_OWN, R_OK | W_OK);
    if (!e)
        e = show_drives(view, store, def, c->folder);
    if (e)
        error_set(&error, e, "%s", strerror(-e));
    else
        c->space = view_make(view, &error);
    view_free(view);
    if (!error.code) {
        c->user = user;
        return;
    }
    snprintf(c->why, sizeof(c->why), "%.150s", error.text);
    (void)!chown(c->own, 0, 0);
}

int confined_show(struct store *store, const struct vm_def *def, pid_t qemu, const char *path, bool only_below,
                  struct error *error)
{
    char process[40], folder[PATH_MAX];
    struct stat st;
    u32 user = confined_user(def);
    snprintf(process, sizeof(process), "/proc/%d", (int)qemu);
    if (geteuid() || stat(process, &st) || st.st_uid != user)
        return 0;
    struct view *view = view_new(user);
    int e = view ? store_vm_path(store, def->name, "", folder, sizeof(folder), error) : error_memory(error);
    if (!e && show_chain(view, store, def->name, folder, path, R_OK, only_below))
        e = error_memory(error);
    if (!e)
        e = view_extend(view, qemu, error);
    view_free(view);
    return e;
}

u32 confined_as(const struct confined *c)
{
    return c ? c->user : 0;
}

/* -- all of it -- */

struct confined *confined_new(struct store *store, const struct vm_def *def)
{
    struct confined *c = calloc(1, sizeof(*c));
    struct error ignored;
    void *shared = mmap(NULL, sizeof(struct verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!c || shared == MAP_FAILED) {
        free(c);
        return NULL;
    }
    c->verdict = shared;
    c->space = -1;
    int e = store_vm_path(store, def->name, "", c->folder, sizeof(c->folder), &ignored);
    if (!e)
        e = store_vm_socket(store, def->name, SOCKETS_OWN, c->own, sizeof(c->own), &ignored);
    snprintf(c->sockets, sizeof(c->sockets), "%.4000s/nics", store_run(store));
    snprintf(c->probe, sizeof(c->probe), "%.4000s/accel", store_run(store));
    for (u32 i = 0; i < def->disks && !e; i++)
        e = add_drive(c, store, def, &def->disk[i], &ignored);
    if (e) {
        confined_free(c);
        return NULL;
    }
    take_user(c, store, def);
    return c;
}

void confined_free(struct confined *c)
{
    if (c) {
        munmap(c->verdict, sizeof(*c->verdict));
        if (c->space >= 0)
            close(c->space);
    }
    free(c);
}

/* Folders in the VM's may be links to where it was imported in place. */
static int allow_own(const struct confined *c, int rules)
{
    static const char *const parts[] = {"disks", "tpm", "firmware.fd"};
    int e = 0;
    for (u32 i = 0; i < ARRAY_LEN(parts) && !e; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s/%s", c->folder, parts[i]);
        e = confine_files_allow(rules, path, CONFINE_OWN);
    }
    return e;
}

static int take_files(const struct confined *c)
{
    int rules = confine_files_begin(false);
    if (rules < 0)
        return rules;
    int e = allow_own(c, rules);
    if (!e)
        e = confine_files_allow(rules, c->own, CONFINE_OWN);
    if (!e)
        e = confine_files_allow(rules, c->sockets, CONFINE_OWN);
    if (!e)
        e = confine_files_allow(rules, c->probe, CONFINE_OWN);
    for (u32 i = 0; i < c->drives && !e; i++)
        e = confine_files_allow(rules, c->drive[i], CONFINE_WRITE);
    if (!e)
        e = confine_files_allow(rules, "/dev", CONFINE_WRITE);
    if (!e)
        e = confine_files_allow(rules, "/proc/self", CONFINE_WRITE);
    return confine_files_end(rules, e);
}

static int enter_user(const struct confined *c)
{
    return c->space >= 0 ? view_enter(c->space, c->user) : -ENOTSUP;
}

static int take_part(const struct confined *c, enum confined_part part)
{
    bool ignored;
    switch (part) {
    case CONFINED_USER: return enter_user(c);
    case CONFINED_NETWORK: return confine_network(&ignored);
    case CONFINED_RIGHTS: return confine_rights(c->foreign && !geteuid() ? 1ull << CAP_DAC_OVERRIDE : 0);
    default: return take_files(c);
    }
}

void confined_enter(void *opaque)
{
    const struct confined *c = opaque;
    *c->verdict = (struct verdict){.known = true};
    for (enum confined_part part = 0; part < CONFINED_PARTS; part++) {
        int e = take_part(c, part);
        const char *why = part == CONFINED_USER && c->why[0] ? c->why : strerror(-e);
        c->verdict->taken[part] = !e;
        if (e)
            snprintf(c->verdict->note[part], sizeof(c->verdict->note[part]), "%s", why);
    }
}

json_t *confined_json(const struct confined *c)
{
    if (!c || !c->verdict->known)
        return json_null();
    json_t *object = json_object();
    for (u32 i = geteuid() ? CONFINED_USER + 1 : 0; i < CONFINED_PARTS; i++)
        (void)!json_object_set_new(object, names[i],
                                   c->verdict->taken[i] ? json_true() : json_string(c->verdict->note[i]));
    return object;
}
