/*
 * Reads folders of definitions, and checks what each file has.
 */
#include "store/definition.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char suffix[] = DEFINITION_SUFFIX;

int definition_fail(const char *path, struct error *error)
{
    struct error why = *error;
    if (why.code == -ENOMEM)
        return why.code;
    error_set(error, -EBADMSG, "%s: it is damaged: %.200s", path, why.text);
    return error_hint(error, "mend the file or remove it; nothing was changed");
}

void definition_path(const char *folder, const char *name, const char *tail, char path[static DEFINITION_PATH_MAX])
{
    char folded[NAME_MAX_LEN + 1];
    name_fold(name, folded);
    snprintf(path, DEFINITION_PATH_MAX, "%s/%s%s", folder, folded, tail);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

void *definition_more(void **array, u32 count, size_t size, struct error *error)
{
    void *bigger = realloc(*array, (count + 1) * size);
    if (!bigger) {
        error_memory(error);
        return NULL;
    }
    *array = bigger;
    return memset((char *)bigger + count * size, 0, size);
}

/* Returns 0 if reading goes on without a damaged file. */
static int tolerate(struct store *store, int e, struct error *error)
{
    struct damage *damage = store->damage;
    struct error why = *error;
    struct error *place =
        damage && e == -EBADMSG ? definition_more((void **)&damage->list, damage->count, sizeof(*place), error) : NULL;
    if (!place)
        return e;
    *place = why;
    damage->count++;
    return 0;
}

int definition_each(struct store *store, const char *folder, const char *tail,
                    int (*take)(struct store *store, const char *path, void *list, struct error *error), void *list,
                    struct error *error)
{
    struct dirent **entry;
    int count = scandirat(store->folder, folder, &entry, not_hidden, by_name), e = 0;
    if (count < 0)
        return error_set(error, -errno, "%s/%s: %s", store->home, folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        char path[DEFINITION_PATH_MAX + 256];
        const char *name = entry[i]->d_name;
        size_t length = strlen(name), tail_length = strlen(suffix);
        if (tail[0] == '/')
            snprintf(path, sizeof(path), "%s/%s%s", folder, name, tail);
        else
            snprintf(path, sizeof(path), "%s/%s", folder, name);
        bool ours = tail[0] == '/' ? faccessat(store->folder, path, F_OK, 0) == 0
                                   : length > tail_length && strcmp(name + length - tail_length, suffix) == 0;
        if (ours && !e)
            e = take(store, path, list, error);
        if (e)
            e = tolerate(store, e, error);
        if (e == -ENOENT) /* removed meanwhile */
            e = 0;
        free(entry[i]);
    }
    free(entry);
    return e;
}

bool definition_names(const char *path, const char *name)
{
    char folded[NAME_MAX_LEN + 1];
    const char *own = strchr(path, '/') + 1;
    name_fold(name, folded);
    size_t length = strlen(folded);
    return strncmp(own, folded, length) == 0 && (own[length] == '/' || strcmp(own + length, suffix) == 0);
}

int definition_name(const json_t *object, const char *key, const char *what, char name[static NAME_MAX_LEN + 1],
                    struct error *error)
{
    const char *text = json_string_value(json_object_get(object, key));
    int e = text ? name_check(what, text, error) : error_set(error, -EINVAL, "\"%s\" is not a name", key);
    if (!e)
        strcpy(name, text);
    return e;
}

int definition_was(const json_t *object, const char *path, const char *what, char name[static NAME_MAX_LEN + 1],
                   struct error *error)
{
    char was[NAME_MAX_LEN + 1];
    if (definition_names(path, name) || !json_object_get(object, "was"))
        return 0;
    int e = definition_name(object, "was", what, was, error);
    if (!e && definition_names(path, was))
        strcpy(name, was);
    return e;
}

int definition_version(const json_t *object, struct error *error)
{
    const json_t *version = json_object_get(object, "version");
    if (json_is_integer(version) && json_integer_value(version) == DEFINITION_VERSION)
        return 0;
    return error_set(error, -EINVAL, "\"version\" is not %d", DEFINITION_VERSION);
}

int definition_put(struct store *store, const char *path, json_t *object, struct error *error)
{
    int e = object ? store_write(store, path, object, error) : error_memory(error);
    json_decref(object);
    return e;
}
