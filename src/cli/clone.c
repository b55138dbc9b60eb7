/*
 * nestbox clone: copies of VMs.
 */
#include "manager/clone.h"
#include "cli/vm.h"

struct options {
    bool linked, template, json;
};

#define AT(field) offsetof(struct options, field)
static const struct setting rows[] = {
    {"linked", SETTING_FLAG, AT(linked), NULL, "disks that keep only what differs from the original's"},
    {"template", SETTING_FLAG, AT(template), NULL, "the clone is a template: not to be started, only cloned"},
    {0}};

static int clone_vm(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    const struct clone_kind kind = {o.linked, o.template};
    int e = vm_clone(store, word[0], word[1], &kind, &terminal_progress, &error);
    return e || !o.json ? command_end(store, e, &error) : show_vm(store, word[1]);
}

const struct verb verb_clone = {
    .name = "clone",
    .summary = "Makes a VM like another one",
    .usage = "VM NAME [--linked] [--template] [--json]",
    .options = {{rows}, {json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}, {"NAME", WORD_NEW}},
    .about = "Makes a VM like another one that is off: its settings, its disks, and cards at the same switches with "
             "addresses of their own. "
             "Disks are copied; with *--linked* they begin as the original's and keep only what differs, which takes "
             "no time and little room; the original can then not be deleted or renamed. "
             "CDs, read-only images and shared folders are those of the original.",
    .run = clone_vm,
};
