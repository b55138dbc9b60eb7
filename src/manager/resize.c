/*
 * QEMU is asked through the worker.
 */
#include "manager/resize.h"

#include "manager/life.h"

#include <errno.h>

static int ask_qemu(struct store *store, const struct vm_def *def, const char *command, json_t *arguments,
                    json_t **answer, struct error *error)
{
    json_t *request = json_pack("{s:s, s:s, s:o*}", "do", "qmp", "execute", command, "arguments", arguments);
    if (!request)
        return error_set(error, -ENOMEM, "out of memory");
    return life_ask(store, def->name, request, NULL, answer, error);
}

static int read_base(struct store *store, const struct vm_def *def, u64 *base, struct error *error)
{
    json_t *answer;
    int e = ask_qemu(store, def, "query-memory-size-summary", NULL, &answer, error);
    if (e)
        return e;
    *base = (u64)json_integer_value(json_object_get(json_object_get(answer, "return"), "base-memory"));
    json_decref(answer);
    return 0;
}

int vm_resize(struct store *store, const struct vm_def *def, u64 memory, struct error *error)
{
    json_t *answer;
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
    e = ask_qemu(store, def, "balloon", json_pack("{s:I}", "value", (json_int_t)memory), &answer, error);
    if (!e)
        json_decref(answer);
    return e;
}
