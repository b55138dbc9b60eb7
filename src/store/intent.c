/*
 * Steps are data, {"remove": PATH}, {"discard": PATH}, {"rename": FROM, "to": TO} or {"write": PATH, "content":
 * OBJECT}, and so is what an ended command left. They are done under the lock of networks too, because cards are among
 * the files of a VM.
 */
#include "store/intent.h"

#include "store/definition.h"
#include "store/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER "intents"

/* -- making steps -- */

json_t *intent_remove(const char *path)
{
    return json_pack("{s:s}", "remove", path);
}

json_t *intent_discard(const char *path)
{
    return json_pack("{s:s}", "discard", path);
}

json_t *intent_rename(const char *from, const char *to)
{
    return json_pack("{s:s, s:s}", "rename", from, "to", to);
}

json_t *intent_write(const char *path, const json_t *object)
{
    return json_pack("{s:s, s:O?}", "write", path, "content", object);
}

json_t *intent_steps(unsigned count, ...)
{
    json_t *array = json_array();
    bool good = array;
    va_list args;
    va_start(args, count);
    while (count--)
        good &= !json_array_append_new(array, va_arg(args, json_t *));
    va_end(args);
    if (!good)
        json_decref(array);
    return good ? array : NULL;
}

/* -- doing them -- */

static void sync_folder(int folder, const char *path)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    int fd = openat(folder, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!fsync(fd);
    close(fd);
}

/* What is not there any more has been renamed, and maybe removed since. */
static int rename_once(int folder, const char *from, const char *to, struct error *error)
{
    int e = renameat(folder, from, folder, to) ? -errno : 0;
    if (!e)
        sync_folder(folder, to);
    return e && e != -ENOENT ? error_path(error, e, from) : 0;
}

static bool is_path(const char *path)
{
    for (const char *at = path; at;) {
        size_t n = strcspn(at, "/");
        if (n == 0 || (n == 1 && at[0] == '.') || (n == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at = at[n] ? at + n + 1 : NULL;
    }
    return path;
}

static int do_step(struct store *store, const json_t *step, struct error *error)
{
    const char *path;
    if (is_path(path = json_string_value(json_object_get(step, "remove")))) {
        int e = folder_remove(store->folder, path);
        return e ? error_path(error, e, path) : 0;
    }
    path = json_string_value(json_object_get(step, "discard"));
    if (path && path[0] == '/' && is_path(path + 1)) {
        int e = folder_remove(AT_FDCWD, path);
        return e ? error_path(error, e, path) : 0;
    }
    if (is_path(path = json_string_value(json_object_get(step, "rename")))) {
        const char *to = json_string_value(json_object_get(step, "to"));
        return is_path(to) ? rename_once(store->folder, path, to, error) : error_set(error, -EBADMSG, "no step");
    }
    if (is_path(path = json_string_value(json_object_get(step, "write")))) {
        const json_t *content = json_object_get(step, "content");
        return json_is_object(content) ? file_write(store->folder, path, content, error)
                                       : file_remove(store->folder, path, error);
    }
    return error_set(error, -EBADMSG, "an intent has a step that is none");
}

static int do_steps(struct store *store, const json_t *steps, struct error *error)
{
    bool locks = store->lock < 0;
    size_t index;
    json_t *step;
    int e = locks ? store_lock(store, error) : 0;
    if (e)
        return e;
    json_array_foreach ((json_t *)(uintptr_t)steps, index, step)
        if (!e)
            e = do_step(store, step, error);
    if (locks)
        store_unlock(store);
    return e;
}

/* -- intents -- */

static int write_intent(struct store *store, const char *vm, const char *what, const char *kind, json_t *steps,
                        struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    definition_path(FOLDER, vm, DEFINITION_SUFFIX, path);
    json_t *object =
        steps ? json_pack("{s:i, s:s, s:s, s:O}", "version", DEFINITION_VERSION, "vm", vm, "what", what, kind, steps)
              : NULL;
    int e = object ? file_write(store->folder, path, object, error) : error_memory(error);
    json_decref(object);
    return e;
}

int intent_begin(struct store *store, const char *vm, const char *what, json_t *undo, struct error *error)
{
    int e = write_intent(store, vm, what, "undo", undo, error);
    json_decref(undo);
    return e;
}

int intent_end(struct store *store, const char *vm, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    definition_path(FOLDER, vm, DEFINITION_SUFFIX, path);
    return file_remove(store->folder, path, error);
}

int intent_finish(struct store *store, const char *vm, const char *what, json_t *steps, struct error *error)
{
    int e = write_intent(store, vm, what, "finish", steps, error);
    if (!e)
        e = do_steps(store, steps, error);
    json_decref(steps);
    return e ? e : intent_end(store, vm, error);
}

/* Does what the intent has, in the way that its kind says. Returns what was done in `done`. */
static int resume(struct store *store, const char *vm, json_t **intent, const char **done, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    definition_path(FOLDER, vm, DEFINITION_SUFFIX, path);
    int e = file_read(store->folder, path, intent, error);
    if (e)
        return e;
    const json_t *undo = json_object_get(*intent, "undo"), *finish = json_object_get(*intent, "finish");
    *done = finish ? "finished" : "undone";
    e = do_steps(store, finish ? finish : undo, error);
    if (!e)
        e = intent_end(store, vm, error);
    if (e) {
        json_decref(*intent);
        *intent = NULL;
    }
    return e;
}

void intent_undo(struct store *store, const char *vm)
{
    struct error ignored;
    const char *done;
    json_t *intent;
    if (!resume(store, vm, &intent, &done, &ignored))
        json_decref(intent);
}

int intent_recover(struct store *store, const char *vm, struct error *error)
{
    const char *done, *what;
    json_t *intent;
    struct error note;
    int e = resume(store, vm, &intent, &done, error);
    if (e)
        return e == -ENOENT ? 0 : e;
    what = json_string_value(json_object_get(intent, "what"));
    vm = json_string_value(json_object_get(intent, "vm"));
    error_set(&note, -EINTR, "a command '%.20s' of VM %.64s was ended in the middle: it has been %s", what ? what : "?",
              vm ? vm : "?", done);
    store_note(store, &note);
    json_decref(intent);
    return 0;
}

void intents_each(struct store *store, void (*each)(struct store *store, const char *vm))
{
    int fd = openat(store->folder, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        size_t length = strlen(entry->d_name), tail = strlen(DEFINITION_SUFFIX);
        char name[NAME_MAX_LEN + 1];
        if (entry->d_name[0] == '.' || length <= tail || length - tail > NAME_MAX_LEN ||
            strcmp(entry->d_name + length - tail, DEFINITION_SUFFIX) != 0)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)(length - tail), entry->d_name);
        each(store, name);
    }
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
}
