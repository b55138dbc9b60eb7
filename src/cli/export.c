/*
 * nestbox export and import: VMs as folders or archives.
 */
#include "manager/export.h"
#include "cli/print.h"
#include "cli/vm.h"

#include <errno.h>
#include <stdio.h>

struct options {
    bool archive, in_place, new_id, check, json;
    enum export_live live;
    const char *checkpoint, *switch_name;
};

static const char *const live_names[] = {[EXPORT_SAVED] = "saved", [EXPORT_CONSISTENT] = "consistent", NULL};

#define AT(field) offsetof(struct options, field)
/* clang-format off */
static const struct setting export_rows[] = {
    {"archive", SETTING_FLAG, AT(archive), NULL, "one file, also where PATH does not end like one (.tar, .tar.zst)"},
    {"live", SETTING_CHOICE, AT(live), "KIND", "what of a VM that runs is exported",
     "What of a VM that runs is exported: *saved*, its memory and its disks, so that the import goes on where it was, "
     "or *consistent*, its disks, with the guest's file systems at rest, which needs the agent in the guest.",
     .def = "saved", .choices = live_names},
    {"checkpoint", SETTING_TEXT, AT(checkpoint), "NAME", "the VM as it was at that checkpoint, and nothing else",
     .names = "checkpoints"},
    {0},
};
static const struct setting import_rows[] = {
    {"in-place", SETTING_FLAG, AT(in_place), NULL, "copy nothing: the folder stays where it is and becomes the VM's"},
    {"new-id", SETTING_FLAG, AT(new_id), NULL, "a new UUID, and new addresses of its cards"},
    {"switch", SETTING_TEXT, AT(switch_name), "SW", "its cards come to that switch", .names = "switches"},
    {"check", SETTING_FLAG, AT(check), NULL, "import nothing; print what is in the way"},
    {0},
};
/* clang-format on */

static void print_path(const json_t *object)
{
    printf("%s\n", text_at(object, "path"));
}

static int export_vm(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    json_t *object = NULL;
    int status;
    verb_defaults(verb, &o);
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    const struct export_how how = {o.archive, o.live, o.checkpoint};
    int e = vm_export(store, word[0], word[1], &how, &terminal_progress, &object, &error);
    return command_show(store, e, &error, object, o.json, print_path);
}

const struct verb verb_export = {
    .name = "export",
    .summary = "Writes a VM with all that it has into a folder or an archive",
    .usage = "VM PATH [OPTION]...",
    .options = {{export_rows}, {json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}, {"PATH", WORD_FILE}},
    .about =
        "Writes a VM into a new folder, or into one archive if PATH ends with .tar, .tar.zst, .tar.gz or the like: "
        "its settings, its disks with all that they stand on, firmware, TPM, saved state and checkpoints. "
        "In a folder that is there it gets the VM's name. "
        "A VM that runs goes on: what is exported is a checkpoint of it, which is deleted afterwards. "
        "CDs that lie outside of the VM's folder and shared folders are not exported.",
    .run = export_vm,
};

static int print_problems_of(struct store *store, const char *path, const struct import_how *how, bool as_json)
{
    json_t *problems = NULL, *one;
    struct error error;
    size_t i;
    int e = vm_import_check(store, path, how, &problems, &error);
    if (e)
        return command_end(store, e, &error);
    int status = json_array_size(problems) ? STATUS_FINDINGS : STATUS_OK;
    if (as_json) {
        command_json(json_incref(problems));
    } else {
        json_array_foreach (problems, i, one) {
            char line[640];
            struct error found;
            error_set(&found, -ENOENT, "%s", text_at(one, "text"));
            error_hint(&found, text_at(one, "hint"));
            error_format(&found, "--", line, sizeof(line));
            printf("%s\n", line);
        }
    }
    json_decref(problems);
    command_end(store, 0, &error);
    return status;
}

static int import_vm(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    json_t *object = NULL;
    int status;
    verb_defaults(verb, &o);
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    const struct import_how how = {word[1], o.in_place, o.new_id, o.switch_name};
    if (o.check)
        return print_problems_of(store, word[0], &how, o.json);
    int e = vm_import(store, word[0], &how, &terminal_progress, &object, &error);
    return command_show(store, e, &error, object, o.json, print_name);
}

const struct verb verb_import = {
    .name = "import",
    .summary = "Makes a VM of an export",
    .usage = "PATH [NAME] [OPTION]...",
    .options = {{import_rows}, {json_rows, AT(json)}},
    .words = {{"PATH", WORD_FILE}, {"NAME", WORD_NEW, true}},
    .about = "Makes a VM of a folder or an archive that *nestbox export* wrote, with the name that it had or another. "
             "It is what it was: its UUID, its checkpoints, its saved state. "
             "With *--in-place* nothing is copied: the folder becomes the VM's and stays where it is, also when the VM "
             "is deleted. "
             "A switch that is not here is named; *--switch* puts the cards elsewhere.",
    .run = import_vm,
};
