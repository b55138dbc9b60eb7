/*
 * nestbox checkpoint: create, list, show, apply, rename, delete.
 */
#include "manager/checkpoint.h"

#include "cli/print.h"
#include "cli/vm.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct options {
    const char *name;
    enum checkpoint_kind kind;
    bool json, force;
};

static const char *const kinds[] = {[CHECKPOINT_PRODUCTION] = "production",
                                    [CHECKPOINT_PRODUCTION_ONLY] = "production-only",
                                    [CHECKPOINT_STANDARD] = "standard",
                                    [CHECKPOINT_DISABLED] = "as-set",
                                    NULL};

#define AT(field) offsetof(struct options, field)
/* clang-format off */
static const struct setting create_rows[] = {
    {"name", SETTING_TEXT, AT(name), "N", "name of the checkpoint (default the VM's name and the time)"},
    {"kind", SETTING_CHOICE, AT(kind), "KIND", "what it has",
     "What the checkpoint has: disks with the guest's file systems at rest (*production*; where the guest cannot do "
     "that it is *standard*), those only (*production-only*), memory and devices too (*standard*), or *as-set* for the "
     "VM's setting *checkpoints*.", .def = "as-set", .choices = kinds},
    {0},
};
static const struct setting force_rows[] = {
    {"force", SETTING_FLAG, AT(force), NULL, "ask nothing"},
    {0},
};
/* clang-format on */

static int create(const struct verb *verb, int argc, char **argv)
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
    int e = checkpoint_create(store, word[0], o.name, o.kind, &terminal_progress, &object, &error);
    return command_show(store, e, &error, object, o.json, print_name);
}

static const struct verb create_verb = {
    .name = "create",
    .summary = "Takes a checkpoint of a VM",
    .usage = "VM [OPTION]...",
    .within = &verb_checkpoint,
    .options = {{create_rows}, {json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}},
    .about = "Takes a checkpoint of a VM: its disks, its settings, firmware and TPM, and of a standard one memory and "
             "devices, all at one instant. A VM that runs stands still while its memory is written.",
    .run = create,
};

static u64 bytes_of(const json_t *checkpoint)
{
    u64 bytes = (u64)number_at(checkpoint, "memory");
    const char *id;
    json_t *disk;
    json_object_foreach (json_object_get(checkpoint, "disks"), id, disk)
        bytes += (u64)number_at(disk, "bytes");
    return bytes;
}

/* How far it is below the first of its line. */
static int depth_of(const json_t *all, const json_t *checkpoint)
{
    const char *parent = json_string_value(json_object_get(checkpoint, "parent"));
    json_t *one;
    size_t i;
    json_array_foreach ((json_t *)(uintptr_t)all, i, one)
        if (parent && one != checkpoint && strcmp(text_at(one, "id"), parent) == 0)
            return 1 + depth_of(all, one);
    return 0;
}

static void add_row(json_t *rows, const json_t *all, const json_t *checkpoint)
{
    char name[160], size[32], when[32];
    time_t created = (time_t)number_at(checkpoint, "created");
    struct tm tm;
    localtime_r(&created, &tm);
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(name, sizeof(name), "%*s%s%s", 2 * depth_of(all, checkpoint), "", text_at(checkpoint, "name"),
             true_at(checkpoint, "current") ? " (the VM stands on it)" : "");
    json_array_append_new(rows, json_pack("[s, s, s, s]", name, text_at(checkpoint, "kind"), when,
                                          bytes_text(bytes_of(checkpoint), size, sizeof(size))));
}

/* A checkpoint, then those that stand on it. */
static void add_rows(json_t *rows, const json_t *all, const char *parent)
{
    json_t *one;
    size_t i;
    json_array_foreach ((json_t *)(uintptr_t)all, i, one)
        if (strcmp(text_at(one, "parent"), parent) == 0) {
            add_row(rows, all, one);
            add_rows(rows, all, text_at(one, "id"));
        }
}

/* What deleted checkpoints left, if it is not merged yet. */
static void print_merging(struct store *store, const char *vm)
{
    json_t *merging = NULL;
    struct error ignored;
    char done[32], total[32];
    if (checkpoint_merging(store, vm, &merging, &ignored))
        return;
    if (number_at(merging, "total"))
        printf("merging: %s of %s of what a deleted checkpoint left\n",
               bytes_text((u64)number_at(merging, "done"), done, sizeof(done)),
               bytes_text((u64)number_at(merging, "total"), total, sizeof(total)));
    else if (number_at(merging, "images"))
        printf("merging: %lld image%s of deleted checkpoints wait%s\n", number_at(merging, "images"),
               number_at(merging, "images") == 1 ? "" : "s", number_at(merging, "images") == 1 ? "s" : "");
    json_decref(merging);
}

static int list(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    json_t *all = NULL;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    int e = checkpoint_list(store, word[0], &all, &error);
    if (!e && o.json) {
        command_json(all);
    } else if (!e) {
        json_t *rows = json_pack("[[s, s, s, s]]", "CHECKPOINT", "KIND", "TAKEN", "SIZE");
        add_rows(rows, all, "");
        if (json_array_size(all))
            print_table(rows);
        print_merging(store, word[0]);
        json_decref(rows);
        json_decref(all);
    }
    return command_end(store, e, &error);
}

static const struct verb list_verb = {
    .name = "list",
    .summary = "Lists the checkpoints of a VM as a tree",
    .usage = "VM [--json]",
    .within = &verb_checkpoint,
    .options = {{json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}},
    .run = list,
};

static int show(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX], *id;
    struct error error;
    json_t *object = NULL, *disk;
    char size[32];
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    int e = checkpoint_show(store, word[0], word[1], &object, &error);
    if (!e && o.json) {
        command_json(json_incref(object));
    } else if (!e) {
        printf("%s of VM %s: %s\n", text_at(object, "name"), text_at(object, "vm"), text_at(object, "kind"));
        printf("  memory      %s\n", json_is_null(json_object_get(object, "memory"))
                                         ? "none"
                                         : bytes_text((u64)number_at(object, "memory"), size, sizeof(size)));
        json_object_foreach (json_object_get(object, "disks"), id, disk)
            printf("  %-11s %s, %s\n", id, text_at(disk, "path"),
                   bytes_text((u64)number_at(disk, "bytes"), size, sizeof(size)));
        print_merging(store, word[0]);
    }
    json_decref(object);
    return command_end(store, e, &error);
}

#define CHECKPOINT_WORDS                                                                                               \
    {                                                                                                                  \
        {"VM", WORD_VM},                                                                                               \
        {                                                                                                              \
            "CHECKPOINT", WORD_CHECKPOINT                                                                              \
        }                                                                                                              \
    }

static const struct verb show_verb = {
    .name = "show",
    .summary = "Shows a checkpoint with its files and their sizes",
    .usage = "VM CHECKPOINT [--json]",
    .within = &verb_checkpoint,
    .options = {{json_rows, AT(json)}},
    .words = CHECKPOINT_WORDS,
    .run = show,
};

static int apply(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    char question[256];
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    json_t *object = NULL;
    int e = o.force ? 0 : checkpoint_show(store, word[0], word[1], &object, &error);
    json_decref(object);
    if (e)
        return command_end(store, e, &error);
    snprintf(question, sizeof(question), "What VM %.64s is now is lost; a checkpoint of it would keep that. Apply?",
             word[0]);
    if (!o.force && !confirmed(question)) {
        error_set(&error, -1, "nothing was applied");
        error_hint(&error, SETTING("force") " asks nothing");
        return command_end(store, -1, &error);
    }
    return command_done(store, checkpoint_apply(store, word[0], word[1], &error), &error, o.json);
}

static const struct verb apply_verb = {
    .name = "apply",
    .summary = "Makes a VM what it was at a checkpoint",
    .usage = "VM CHECKPOINT [--force] [--json]",
    .within = &verb_checkpoint,
    .options = {{force_rows}, {json_rows, AT(json)}},
    .words = CHECKPOINT_WORDS,
    .about = "Makes a VM what it was at a checkpoint: off, or saved where the checkpoint has memory, so that *nestbox "
             "start* goes on from that instant. What the VM is now is lost. A VM that runs is turned off.",
    .run = apply,
};

static int rename_one(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    return store ? command_done(store, checkpoint_rename(store, word[0], word[1], word[2], &error), &error, o.json)
                 : status;
}

static const struct verb rename_verb = {
    .name = "rename",
    .summary = "Gives a checkpoint another name",
    .usage = "VM CHECKPOINT NAME [--json]",
    .within = &verb_checkpoint,
    .options = {{json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}, {"CHECKPOINT", WORD_CHECKPOINT}, {"NAME", WORD_NEW}},
    .run = rename_one,
};

static int delete (const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    return store ? command_done(store, checkpoint_delete(store, word[0], word[1], &terminal_progress, &error), &error,
                                o.json)
                 : status;
}

static const struct verb delete_verb = {
    .name = "delete",
    .summary = "Deletes a checkpoint; the VM stays as it is",
    .usage = "VM CHECKPOINT [--json]",
    .within = &verb_checkpoint,
    .options = {{json_rows, AT(json)}},
    .words = CHECKPOINT_WORDS,
    .about =
        "Deletes a checkpoint; the VM and its other checkpoints stay as they are. Images that nothing stands on any "
        "more are removed, and merged where one stands on them; of a VM that runs in the background, as "
        "*nestbox checkpoint list* shows.",
    .run = delete,
};

static const struct verb *const own_verbs[] = {&create_verb, &list_verb,   &show_verb, &apply_verb,
                                               &rename_verb, &delete_verb, NULL};

const struct verb verb_checkpoint = {
    .name = "checkpoint",
    .summary = "Checkpoints of VMs: create, list, show, apply, rename, delete",
    .usage = "VERB [OPTION]...",
    .verbs = own_verbs,
};
