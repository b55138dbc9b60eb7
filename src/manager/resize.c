/*
 * QEMU is asked through the worker.
 */
#include "manager/resize.h"

#include "manager/hot.h"

#include <errno.h>

static int read_base(struct store *store, const struct vm_def *def, u64 *base, struct error *error)
{
    json_t *answer;
    int e = hot_ask(store, def->name, "query-memory-size-summary", NULL, &answer, error);
    if (e)
        return e;
    *base = (u64)json_integer_value(json_object_get(answer, "base-memory"));
    json_decref(answer);
    return 0;
}

int vm_resize(struct store *store, const struct vm_def *def, u64 memory, struct error *error)
{
    u64 base;
    char size[24];
    int e = read_base(store, def, &base, error);
    if (e)
        return e;
    if (memory > base) {
        setting_size_text(base, size, sizeof(size));
        error_set(error, -EPERM, "VM %s was started with %s of memory and gets no more while it runs", def->name, size);
        return error_hint(error, "stop it first; what it was started with can be taken and given back at any time");
    }
    return hot_ask(store, def->name, "balloon", json_pack("{s:I}", "value", (json_int_t)memory), NULL, error);
}
