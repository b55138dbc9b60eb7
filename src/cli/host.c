/*
 * nestbox host, nestbox rules: settings of the host, and which rules hold.
 */
#include "manager/host.h"
#include "cli/print.h"
#include "cli/vm.h"

#include <stdio.h>

struct options {
    struct host_settings set;
    const char *profile;
    bool json;
};

#define AT(field) offsetof(struct options, field)
static const struct setting profile_row[] = {{"profile", SETTING_TEXT, AT(profile), "PROFILE",
                                              "rules of that profile; without it those of the host's",
                                              .examples = "open preview ws2016 ws2019 ws2022 ws2025"},
                                             {0}};

static void print_host(const json_t *object)
{
    char memory[24];
    printf("profile  %s\ncpus     %lld\nmemory   %s\n", text_at(json_object_get(object, "settings"), "profile"),
           number_at(object, "cpus"), bytes_text((u64)number_at(object, "memory"), memory, sizeof(memory)));
}

static int show_host(struct store *store, const char *unused, json_t **object, struct error *error)
{
    return host_show(store, object, error);
}

static int show(const struct verb *verb, int argc, char **argv)
{
    return command_get(verb, argc, argv, show_host, print_host);
}

static const struct verb show_verb = {
    .name = "show",
    .summary = "Shows the settings of the host",
    .usage = "[--json]",
    .within = &verb_host,
    .options = {{json_rows}},
    .run = show,
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
    return command_done(store, host_set(store, &change.change, &error), &error, o.json);
}

static const struct verb set_verb = {
    .name = "set",
    .summary = "Changes settings of the host",
    .usage = "OPTION...",
    .within = &verb_host,
    .options = {{host_settings_table, AT(set)}, {json_rows, AT(json)}},
    .changes = true,
    .run = set,
};

static const struct verb *const own_verbs[] = {&show_verb, &set_verb, NULL};

const struct verb verb_host = {
    .name = "host",
    .summary = "Settings of the host: show, set",
    .usage = "VERB [OPTION]...",
    .verbs = own_verbs,
};

/* -- rules -- */

static json_t *rule_row(const json_t *rule)
{
    return json_pack("[s, s, s]", text_at(rule, "id"), text_at(rule, "kind"), text_at(rule, "summary"));
}

/* The profile that was asked for, or that of the host. */
static int list_rules(struct store *store, const char *profile, json_t **list, struct error *error)
{
    struct host_settings set;
    int e = profile ? 0 : store_host(store, &set, error);
    return e ? e : rules_list(profile ? profile : profile_names[set.profile], list, error);
}

static int run_rules(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    json_t *list;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    static const char *const heading[] = {"RULE", "KIND", "WHAT", NULL};
    int e = list_rules(store, o.profile, &list, &error);
    if (!e)
        print_list(list, o.json, heading, rule_row);
    return command_end(store, e, &error);
}

const struct verb verb_rules = {
    .name = "rules",
    .summary = "Lists the rules of a kind of host: what it refuses, warns of and does",
    .usage = "[--profile P] [--json]",
    .options = {{profile_row}, {json_rows, AT(json)}},
    .about =
        "Lists the rules that hold in a profile. "
        "*refuses*: such an operation fails; *warns*: it is done, and something is said; *behaves*: what a VM does. "
        "*nestbox host set --profile* chooses the profile of this host.",
    .run = run_rules,
};
