/*
 * What a guest that has broken into QEMU finds: no network, no right that its user does not have by itself (none at all
 * where it is root's), and no file that it could write but those of its VM. What it is confined to is collected by the
 * worker, and taken in the new process between fork and exec; notes come back through memory that both share.
 */
#include "worker/confine.h"

#include "process/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct verdict {
    bool known, taken[CONFINED_PARTS];
    char note[CONFINED_PARTS][80];
};

struct confined {
    struct verdict *verdict; /* shared; of the process that entered last, which is QEMU */
    char folder[PATH_MAX], run[PATH_MAX], sockets[PATH_MAX], probe[PATH_MAX];
    char drive[VM_DISKS_MAX][PATH_MAX]; /* files elsewhere that it writes to */
    u32 drives;
    bool foreign; /* it has files of other users */
};

static const char *const names[CONFINED_PARTS] = {
    [CONFINED_NETWORK] = "network", [CONFINED_RIGHTS] = "rights", [CONFINED_FILES] = "files"};

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
    if (disk->path[0] == '/' && !disk->read_only && disk->kind != DISK_CD)
        strcpy(c->drive[c->drives++], path);
    return 0;
}

struct confined *confined_new(const struct store *store, const struct vm_def *def)
{
    struct confined *c = calloc(1, sizeof(*c));
    struct error ignored;
    void *shared = mmap(NULL, sizeof(struct verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!c || shared == MAP_FAILED) {
        free(c);
        return NULL;
    }
    c->verdict = shared;
    int e = store_vm_path(store, def->name, "", c->folder, sizeof(c->folder), &ignored);
    if (!e)
        e = store_vm_socket(store, def->name, "", c->run, sizeof(c->run), &ignored);
    snprintf(c->sockets, sizeof(c->sockets), "%.4000s/nics", store_run(store));
    snprintf(c->probe, sizeof(c->probe), "%.4000s/accel", store_run(store));
    for (u32 i = 0; i < def->disks && !e; i++)
        e = add_drive(c, store, def, &def->disk[i], &ignored);
    if (!e)
        return c;
    confined_free(c);
    return NULL;
}

void confined_free(struct confined *c)
{
    if (c)
        munmap(c->verdict, sizeof(*c->verdict));
    free(c);
}

/* Folders in the VM's may be links to where it was imported in place. */
static int allow_own(const struct confined *c, int rules)
{
    static const char *const parts[] = {"", "disks", "saved", "checkpoints", "tpm", "firmware.fd"};
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
        e = confine_files_allow(rules, c->run, CONFINE_OWN);
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

void confined_enter(void *opaque)
{
    const struct confined *c = opaque;
    bool ignored;
    u64 left = c->foreign && !geteuid() ? 1ull << CAP_DAC_OVERRIDE : 0;
    *c->verdict = (struct verdict){.known = true};
    for (enum confined_part part = 0; part < CONFINED_PARTS; part++) {
        int e = part == CONFINED_NETWORK  ? confine_network(&ignored)
                : part == CONFINED_RIGHTS ? confine_rights(left)
                                          : take_files(c);
        c->verdict->taken[part] = !e;
        if (e)
            snprintf(c->verdict->note[part], sizeof(c->verdict->note[part]), "%s", strerror(-e));
    }
}

json_t *confined_json(const struct confined *c)
{
    if (!c || !c->verdict->known)
        return json_null();
    json_t *object = json_object();
    for (u32 i = 0; i < CONFINED_PARTS; i++)
        (void)!json_object_set_new(object, names[i],
                                   c->verdict->taken[i] ? json_true() : json_string(c->verdict->note[i]));
    return object;
}
