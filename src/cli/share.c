/*
 * nestbox share: folders of the host in VMs.
 */
#include "manager/share.h"
#include "cli/print.h"
#include "cli/vm.h"

#include <stdio.h>
#include <string.h>

struct options {
    const char *tag;
    bool read_only, json;
};

#define AT(field) offsetof(struct options, field)
static const struct setting add_rows[] = {
    {"tag", SETTING_TEXT, AT(tag), "NAME", "name that the guest mounts; by default that of the folder"},
    {"read-only", SETTING_ON_OFF, AT(read_only), "on|off", "the guest cannot write there"},
    {0}};

static int add(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    struct share_def share = {.path = word[1], .read_only = o.read_only};
    if (o.tag && strlen(o.tag) >= sizeof(share.tag)) {
        complain("--tag: a name has at most %zu characters", sizeof(share.tag) - 1);
        store_close(store);
        return STATUS_USAGE;
    }
    strcpy(share.tag, o.tag ? o.tag : "");
    return command_done(store, share_add(store, word[0], &share, &error), &error, o.json);
}

static const struct verb add_verb = {
    .name = "add",
    .summary = "Shares a folder with a VM that is off",
    .usage = "VM FOLDER [OPTION]...",
    .within = &verb_share,
    .options = {{add_rows}, {json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}, {"FOLDER", WORD_FILE}},
    .about = "Shares a folder of the host with a VM that is off. "
             "A Linux guest mounts it with _mount -t virtiofs NAME /mnt_.",
    .run = add,
};

static int remove_share(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    return store ? command_done(store, share_remove(store, word[0], word[1], &error), &error, o.json) : status;
}

static const struct verb remove_verb = {
    .name = "remove",
    .summary = "Ends a share; the folder stays as it is",
    .usage = "VM NAME [--json]",
    .within = &verb_share,
    .options = {{json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}, {"NAME", WORD_SHARE}},
    .run = remove_share,
};

static json_t *list_row(const json_t *share)
{
    const json_t *set = json_object_get(share, "settings");
    char plain[512];
    error_plain(text_at(set, "path"), plain, sizeof(plain));
    return json_pack("[s, s, s]", text_at(share, "tag"), plain, true_at(set, "read_only") ? "yes" : "no");
}

static int list(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    json_t *object;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    static const char *const heading[] = {"NAME", "FOLDER", "READ-ONLY", NULL};
    int e = vm_show(store, word[0], &object, &error);
    if (!e) {
        print_list(json_incref(json_object_get(object, "shares")), o.json, heading, list_row);
        json_decref(object);
    }
    return command_end(store, e, &error);
}

static const struct verb list_verb = {
    .name = "list",
    .summary = "Lists the shares of a VM",
    .usage = "VM [--json]",
    .within = &verb_share,
    .options = {{json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}},
    .run = list,
};

static const struct verb *const own_verbs[] = {&add_verb, &remove_verb, &list_verb, NULL};

const struct verb verb_share = {
    .name = "share",
    .summary = "Folders of the host in VMs: add, remove, list",
    .usage = "VERB [OPTION]...",
    .verbs = own_verbs,
};
