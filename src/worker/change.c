/*
 * What is defined of a VM has changed while it runs: the worker reads it again, and does what follows from it. Settings
 * that QEMU got at its start do not change meanwhile; rules and the table of settings see to that.
 */
#include "worker/inside.h"

#include <stdio.h>

void change_limit_cpu(struct worker *w)
{
    struct error error;
    w->limits_note[0] = 0;
    if (!cpu_limit_set(&w->cpu_limit, CPU_LIMIT_ROOT, w->def.id, w->qemu.pid, &w->def.set, &error))
        return;
    snprintf(w->limits_note, sizeof(w->limits_note), "%.200s", error.text);
    worker_log(w, "%s", w->limits_note);
}

int change_take(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    struct vm_def def;
    struct card_def *cards = w->cards;
    u32 all = w->all_cards, errors = w->def.set.error_action;
    int e = store_vm(w->store, w->def.name, &def, error);
    if (e)
        return e;
    e = worker_read_cards(w, error);
    if (e) {
        vm_def_free(&def);
        return e;
    }
    card_defs_free(cards, all);
    vm_def_free(&w->def);
    w->def = def;
    change_limit_cpu(w);
    /* QEMU 7.2: "Attempt to set property 'werror' [...] after it was realized" */
    if (w->def.set.error_action != errors)
        (void)!json_object_set_new(reply, "note",
                                   json_string("what an error of a disk does changes with the VM's next start; until "
                                               "then only drives that are added follow it"));
    else if (w->limits_note[0])
        (void)!json_object_set_new(reply, "note", json_string(w->limits_note));
    return 0;
}
