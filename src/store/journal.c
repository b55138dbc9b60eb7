/*
 * The steps are whole new contents, so doing them twice is doing them once.
 */
#include "store/journal.h"

#include "store/file.h"

#include <errno.h>
#include <string.h>

#define FILE_NAME "journal.json"

int journal_add(struct journal *journal, const char *path, json_t *content, struct error *error)
{
    if (!journal->steps)
        journal->steps = json_array();
    if (json_array_append_new(journal->steps, json_pack("{s:s, s:O?}", "path", path, "content", content)))
        return error_memory(error);
    return 0;
}

const json_t *journal_find(const struct journal *journal, const char *path)
{
    for (size_t i = json_array_size(journal->steps); i--;) {
        const json_t *step = json_array_get(journal->steps, i);
        if (strcmp(json_string_value(json_object_get(step, "path")), path) == 0)
            return step;
    }
    return NULL;
}

/* Nothing is done of a journal that somebody edited if not all of it can be. */
static int check_steps(const json_t *steps, struct error *error)
{
    size_t index;
    json_t *step;
    int e = json_is_array(steps) ? 0 : error_set(error, -EBADMSG, FILE_NAME ": it is damaged: it has no steps");
    json_array_foreach (steps, index, step) {
        const char *path = json_string_value(json_object_get(step, "path"));
        if (!e && (!path || path[0] == '/' || strstr(path, "..")))
            e = error_set(error, -EBADMSG, FILE_NAME ": it is damaged: step %zu names no file", index);
    }
    return e ? error_hint(error, "mend the file or remove it; nothing was changed") : 0;
}

static int do_steps(const json_t *steps, int folder, struct error *error)
{
    size_t index;
    json_t *step;
    json_array_foreach (steps, index, step) {
        const char *path = json_string_value(json_object_get(step, "path"));
        const json_t *content = json_object_get(step, "content");
        int e = json_is_object(content) ? file_write(folder, path, content, error) : file_remove(folder, path, error);
        if (e)
            return e;
    }
    return 0;
}

int journal_commit(struct journal *journal, int folder, struct error *error)
{
    int e = 0;
    if (json_array_size(journal->steps) > 1) {
        json_t *all = json_pack("{s:O}", "steps", journal->steps);
        e = all ? file_write(folder, FILE_NAME, all, error) : error_memory(error);
        json_decref(all);
    }
    if (!e)
        e = do_steps(journal->steps, folder, error);
    if (!e && json_array_size(journal->steps) > 1)
        e = file_remove(folder, FILE_NAME, error);
    journal_drop(journal);
    return e;
}

void journal_drop(struct journal *journal)
{
    json_decref(journal->steps);
    journal->steps = NULL;
}

int journal_replay(int folder, struct error *error)
{
    json_t *all;
    int e = file_read(folder, FILE_NAME, &all, error);
    if (e)
        return e == -ENOENT ? 0 : e;
    e = check_steps(json_object_get(all, "steps"), error);
    if (!e)
        e = do_steps(json_object_get(all, "steps"), folder, error);
    json_decref(all);
    return e ? e : file_remove(folder, FILE_NAME, error);
}

int journal_check(int folder, struct error *error)
{
    json_t *all;
    int e = file_read(folder, FILE_NAME, &all, error);
    if (e)
        return e == -ENOENT ? 0 : e;
    e = check_steps(json_object_get(all, "steps"), error);
    json_decref(all);
    return e;
}
