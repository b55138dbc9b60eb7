/*
 * nestbox nic: network cards of VMs.
 */
#include "cli/command.h"
#include "cli/print.h"
#include "manager/card.h"

#include <stdio.h>
#include <string.h>

struct options {
    struct card_settings set;
    const char *name;
    bool json;
};

#define AT(field) offsetof(struct options, field)
static const struct setting name_row[] = {
    {"name", SETTING_TEXT, AT(name), "N", "name of the card; by default the first free of nic0, nic1, ..."}, {0}};

#define CARD_WORD                                                                                                      \
    {                                                                                                                  \
        {                                                                                                              \
            "VM[/NIC]", WORD_CARD                                                                                      \
        }                                                                                                              \
    }

/* Prints an argument for a shell. */
static void put_word(const char *word)
{
    if (*word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:@%")]) {
        fputs(word, stdout);
        return;
    }
    putchar('\'');
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*word);
    putchar('\'');
}

static int add(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    struct card_def def = {0};
    const char *word[WORDS_MAX];
    struct error error;
    json_t *object, *option;
    size_t index;
    int status;
    verb_defaults(verb, &o);
    if (verb_arguments(verb, argc, argv, &o, word, &status))
        return status;
    int e = name_check("a VM", word[0], &error);
    if (!e && o.name)
        e = name_check("a card", o.name, &error);
    struct store *store = e ? NULL : command_open();
    if (!store)
        return e ? command_end(NULL, e, &error) : STATUS_FAILED;
    strcpy(def.vm, word[0]);
    strcpy(def.name, o.name ? o.name : "");
    def.set = o.set;
    e = nic_add(store, &def, &object, &error);
    if (!e && !o.json) {
        json_array_foreach (json_object_get(object, "qemu"), index, option) {
            fputs(index ? " " : "", stdout);
            put_word(json_string_value(option));
        }
        putchar('\n');
        json_decref(object);
    } else if (!e) {
        command_json(object);
    }
    return command_end(store, e, &error);
}

static const struct verb add_verb = {
    .name = "add",
    .summary = "Adds a card to a VM and prints the options that attach any QEMU",
    .usage = "VM --switch SW [OPTION]...",
    .within = &verb_nic,
    .options = {{name_row}, {card_settings_table, AT(set)}, {json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}},
    .about = "Adds a card to a VM and prints QEMU's options for it, on one line. "
             "The VM need not be one of ours: any QEMU that is started with them is on the switch. "
             "One of ours that runs gets the card at once.",
    .run = add,
};

static int set(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    struct options_change change;
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    options_change(&change, verb, argc, argv, &o, AT(set), sizeof(o.set));
    struct store *store = command_begin_change(&change, word, &status);
    if (!store)
        return status;
    json_t *object = NULL;
    int e = nic_set(store, word[0], &change.change, &error);
    if (!e && o.json)
        e = nic_show(store, word[0], &object, &error);
    if (object)
        command_json(object);
    return command_end(store, e, &error);
}

static const struct verb set_verb = {
    .name = "set",
    .summary = "Changes a card, also while frames flow",
    .usage = "VM[/NIC] OPTION...",
    .within = &verb_nic,
    .options = {{card_settings_table, AT(set)}, {json_rows, AT(json)}},
    .words = CARD_WORD,
    .about = "Changes what is given of a card, also while frames flow. "
             "The card need not be named where the VM has one. "
             "A new address is the VM's when it is started with it.",
    .changes = true,
    .run = set,
};

static int remove_card(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    return store ? command_done(store, nic_remove(store, word[0], &error), &error, o.json) : status;
}

static const struct verb remove_verb = {
    .name = "remove",
    .summary = "Removes a card from a VM",
    .usage = "VM[/NIC] [--json]",
    .within = &verb_nic,
    .options = {{json_rows, AT(json)}},
    .words = CARD_WORD,
    .run = remove_card,
};

static json_t *list_row(const json_t *card)
{
    const json_t *linked = json_object_get(card, "linked");
    char title[160], addresses[256];
    const char *hangs = strstr(text_at(card, "problem"), "does not answer");
    snprintf(title, sizeof(title), "%s/%s", text_at(card, "vm"), text_at(card, "name"));
    return json_pack("[s, s, s, s, s]", title, *text_at(card, "switch") ? text_at(card, "switch") : "-",
                     hangs                  ? hangs
                     : json_is_null(linked) ? "no switch"
                     : json_is_true(linked) ? "yes"
                                            : "no",
                     text_at(card, "mac"),
                     joined(json_object_get(card, "addresses"), ", ", addresses, sizeof(addresses)));
}

static int list(const struct verb *verb, int argc, char **argv)
{
    static const char *const heading[] = {"CARD", "SWITCH", "CONNECTED", "MAC", "ADDRESSES", NULL};
    return command_list(verb, argc, argv, nic_list, heading, list_row);
}

static const struct verb list_verb = {
    .name = "list",
    .summary = "Lists cards, with their switches and addresses",
    .usage = "[VM] [--json]",
    .within = &verb_nic,
    .options = {{json_rows}},
    .words = {{"VM", WORD_VM, true}},
    .run = list,
};

static const struct verb *const own_verbs[] = {&add_verb, &set_verb, &remove_verb, &list_verb, NULL};

const struct verb verb_nic = {
    .name = "nic",
    .summary = "Network cards of VMs: add, set, remove, list",
    .usage = "VERB [OPTION]...",
    .verbs = own_verbs,
};
