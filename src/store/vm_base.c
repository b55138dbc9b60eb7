/*
 * Images outside of the home folder that disks of a VM were made to stand on: `bases.json` in its folder. Whoever made
 * them named these files, whereas the head of a disk, which names them too, may be its guest's work: so the user that
 * the VM has of its own is given these files only (worker/confine.c). Those of disks that have gone stay listed.
 */
#include "store/definition.h"
#include "store/vm.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define BASES_FILE "/bases.json"

static json_t *read_bases(struct store *store, const char *vm)
{
    char path[DEFINITION_PATH_MAX];
    struct error ignored;
    json_t *object = NULL;
    definition_path("vms", vm, BASES_FILE, path);
    if (store_read(store, path, &object, &ignored))
        return NULL;
    json_t *bases = json_incref(json_object_get(object, "bases"));
    json_decref(object);
    return bases;
}

static bool has(const json_t *bases, const char *path)
{
    size_t i;
    json_t *one;
    json_array_foreach ((json_t *)(uintptr_t)bases, i, one)
        if (json_is_string(one) && strcmp(json_string_value(one), path) == 0)
            return true;
    return false;
}

static int write_bases(struct store *store, const char *vm, json_t *bases, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    definition_path("vms", vm, BASES_FILE, path);
    return definition_put(store, path, json_pack("{s:i, s:o}", "version", DEFINITION_VERSION, "bases", bases), error);
}

bool store_vm_base(struct store *store, const char *vm, const char *path)
{
    json_t *bases = read_bases(store, vm);
    bool listed = has(bases, path);
    json_decref(bases);
    return listed;
}

int store_vm_base_add(struct store *store, const char *vm, const char *path, struct error *error)
{
    char home[PATH_MAX];
    size_t length = realpath(store_home(store), home) ? strlen(home) : 0;
    if (length && strncmp(path, home, length) == 0 && path[length] == '/')
        return 0;
    json_t *bases = read_bases(store, vm);
    if (has(bases, path)) {
        json_decref(bases);
        return 0;
    }
    if (!json_is_array(bases)) {
        json_decref(bases);
        bases = json_array();
    }
    json_t *one = json_string(path);
    if (!one) { /* a name that is no text; the file must be one that everybody may read */
        json_decref(bases);
        return 0;
    }
    if (json_array_append_new(bases, one)) {
        json_decref(bases);
        return error_memory(error);
    }
    return write_bases(store, vm, bases, error);
}

int store_vm_bases_copy(struct store *store, const char *from, const char *to, struct error *error)
{
    json_t *bases = read_bases(store, from);
    if (json_is_array(bases))
        return write_bases(store, to, bases, error);
    json_decref(bases);
    return 0;
}
