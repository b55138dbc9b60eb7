/*
 * nestbox nat: NAT networks and their mappings.
 */
#include "manager/nat.h"
#include "cli/command.h"
#include "cli/print.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum protocol { PROTOCOL_TCP, PROTOCOL_UDP };
static const char *const protocols[] = {[PROTOCOL_TCP] = "tcp", [PROTOCOL_UDP] = "udp", NULL};

struct options {
    struct nat_settings set;
    enum protocol protocol;
    const char *external, *internal;
    bool json, force;
};

#define AT(field) offsetof(struct options, field)
static const struct setting force_row[] = {
    {"force", SETTING_FLAG, AT(force), NULL, "also if cards are at its switch; they stay, without a switch"}, {0}};
/* clang-format off */
static const struct setting external_rows[] = {
    {"protocol", SETTING_CHOICE, AT(protocol), "NAME", "of the mapping", .def = "tcp", .choices = protocols},
    {"external", SETTING_TEXT, AT(external), "[ADDR:]PORT", "port of the host, at one of its addresses or at all"},
    {0},
};
static const struct setting internal_row[] = {
    {"internal", SETTING_TEXT, AT(internal), "ADDR:PORT", "where it leads to in the network"},
    {0},
};
/* clang-format on */

#define NAME_WORD                                                                                                      \
    {                                                                                                                  \
        {                                                                                                              \
            "NAME", WORD_NAT                                                                                           \
        }                                                                                                              \
    }

static void print_nat(const json_t *nat);

static int show_it(struct store *store, const char *name, bool as_json)
{
    struct error error;
    json_t *object = NULL;
    int e = nat_show(store, name, &object, &error);
    return command_show(store, e, &error, object, as_json, print_nat);
}

static int create(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    struct nat_def def = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    verb_defaults(verb, &o);
    if (verb_arguments(verb, argc, argv, &o, word, &status))
        return status;
    int e = name_check("a NAT network", word[0], &error);
    struct store *store = e ? NULL : command_open();
    if (!store)
        return e ? command_end(NULL, e, &error) : STATUS_FAILED;
    strcpy(def.name, word[0]);
    def.set = o.set;
    e = nat_create(store, &def, &error);
    return e ? command_end(store, e, &error) : show_it(store, def.name, o.json);
}

static const struct verb create_verb = {
    .name = "create",
    .summary = "Creates a NAT network, and a switch for it if none is named",
    .usage = "NAME [OPTION]...",
    .within = &verb_nat,
    .options = {{nat_settings_table, AT(set)}, {json_rows, AT(json)}},
    .words = {{"NAME", WORD_NEW}},
    .about = "Creates a NAT network. Prefixes of networks and of the host's interfaces may not overlap.",
    .run = create,
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
    int e = nat_set(store, word[0], &change.change, &error);
    return e || !o.json ? command_end(store, e, &error) : show_it(store, word[0], true);
}

static const struct verb set_verb = {
    .name = "set",
    .summary = "Changes a NAT network, also while it runs",
    .usage = "NAME OPTION...",
    .within = &verb_nat,
    .options = {{nat_settings_table, AT(set), "switch"}, {json_rows, AT(json)}},
    .words = NAME_WORD,
    .changes = true,
    .run = set,
};

static int erase(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    return command_done(store, nat_delete(store, word[0], o.force, &error), &error, o.json);
}

static const struct verb delete_verb = {
    .name = "delete",
    .summary = "Deletes a NAT network, and the switch that was created with it",
    .usage = "NAME [OPTION]...",
    .within = &verb_nat,
    .options = {{force_row}, {json_rows, AT(json)}},
    .words = NAME_WORD,
    .run = erase,
};

/* -- list and show -- */

static const char *prefixes(const json_t *nat, char *text, size_t size)
{
    const json_t *settings = json_object_get(nat, "settings");
    const char *v4 = text_at(settings, "prefix"), *v6 = text_at(settings, "prefix6");
    snprintf(text, size, "%s%s%s", v4, *v4 && *v6 ? ", " : "", v6);
    return text;
}

static json_t *list_row(const json_t *nat)
{
    char text[128], count[24];
    snprintf(count, sizeof(count), "%zu", json_array_size(json_object_get(nat, "mappings")));
    return json_pack("[s, s, s, s]", text_at(nat, "name"), prefixes(nat, text, sizeof(text)), text_at(nat, "switch"),
                     count);
}

static int list_all(struct store *store, const char *unused, json_t **all, struct error *error)
{
    return nat_list(store, all, error);
}

static int list(const struct verb *verb, int argc, char **argv)
{
    static const char *const heading[] = {"NAME", "PREFIX", "SWITCH", "MAPPINGS", NULL};
    return command_list(verb, argc, argv, list_all, heading, list_row);
}

static const struct verb list_verb = {
    .name = "list",
    .summary = "Lists the NAT networks",
    .usage = "[--json]",
    .within = &verb_nat,
    .options = {{json_rows}},
    .run = list,
};

static void print_mappings(const json_t *mappings)
{
    size_t index;
    json_t *m;
    json_array_foreach ((json_t *)(uintptr_t)mappings, index, m) {
        const json_t *error = json_object_get(m, "error");
        printf("  mapping     %s %s to %s%s%s\n", text_at(m, "protocol"), text_at(m, "external"),
               text_at(m, "internal"), json_is_object(error) ? ": not in force: " : "", text_at(error, "text"));
    }
}

static void print_nat(const json_t *nat)
{
    static const char *const shown[] = {"prefix", "prefix6", "switch", NULL};
    const json_t *state = json_object_get(nat, "state");
    char text[512];
    size_t index;
    json_t *lease;
    printf("NAT network %s: %s at switch %s%s\n", text_at(nat, "name"), prefixes(nat, text, sizeof(text)),
           text_at(nat, "switch"), true_at(nat, "running") ? "" : ", which runs when it has cards");
    settings_text(nat_settings_table, json_object_get(nat, "settings"), shown, text, sizeof(text));
    if (text[0])
        printf("  settings    %s\n", text);
    if (!json_is_object(state)) {
        print_problems(nat);
        print_mappings(json_object_get(nat, "mappings"));
        return;
    }
    printf("  back end    %s%s%s\n", text_at(state, "backend"), *text_at(state, "reason") ? ": " : "",
           text_at(state, "reason"));
    printf("  gateway     %s%s%s\n", text_at(state, "gateway"), *text_at(state, "gateway6") ? ", " : "",
           text_at(state, "gateway6"));
    if (*text_at(state, "dns") || *text_at(state, "dns6"))
        printf("  DNS         %s%s%s\n", text_at(state, "dns"), *text_at(state, "dns6") ? ", " : "",
               text_at(state, "dns6"));
    if (true_at(state, "dhcp"))
        printf("  DHCP        %zu of %lld addresses are leased\n", json_array_size(json_object_get(state, "leases")),
               number_at(state, "addresses"));
    print_problems(nat);
    print_mappings(json_object_get(state, "mappings"));
    json_array_foreach (json_object_get(state, "leases"), index, lease)
        printf("  lease       %s to %s%s%s\n", text_at(lease, "address"), text_at(lease, "mac"),
               *text_at(lease, "name") ? ", " : "", text_at(lease, "name"));
}

static int show(const struct verb *verb, int argc, char **argv)
{
    return command_get(verb, argc, argv, nat_show, print_nat);
}

static const struct verb show_verb = {
    .name = "show",
    .summary = "Shows a NAT network: gateway, leases, mappings, what is in its way",
    .usage = "NAME [--json]",
    .within = &verb_nat,
    .options = {{json_rows}},
    .words = NAME_WORD,
    .run = show,
};

/* -- mappings -- */

static bool missing(const char *value, const char *setting, const struct verb *verb)
{
    struct error error;
    char title[VERB_TITLE];
    if (value && *value)
        return false;
    error_set(&error, -EINVAL, "%s without " SETTING("%s"), verb_title(verb, title), setting);
    complain_error(&error);
    return true;
}

static int map(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    struct nat_mapping mapping;
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    verb_defaults(verb, &o);
    if (verb_arguments(verb, argc, argv, &o, word, &status))
        return status;
    if (missing(o.external, "external", verb) || missing(o.internal, "internal", verb))
        return STATUS_USAGE;
    struct store *store = command_open();
    if (!store)
        return STATUS_FAILED;
    int e = nat_map(store, word[0], o.protocol == PROTOCOL_UDP, o.external, o.internal, &mapping, &error);
    return e || !o.json ? command_end(store, e, &error) : show_it(store, word[0], true);
}

static const struct verb map_verb = {
    .name = "map",
    .summary = "Maps a port of the host to a VM in the network",
    .usage = "NAME --external [ADDR:]PORT --internal ADDR:PORT [OPTION]...",
    .within = &verb_nat,
    .options = {{external_rows}, {internal_row}, {json_rows, AT(json)}},
    .words = NAME_WORD,
    .about = "Maps a port of the host to an address and port in the network, also while it runs. "
             "An address of IPv6 stands in brackets.",
    .run = map,
};

static int unmap(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    verb_defaults(verb, &o);
    if (verb_arguments(verb, argc, argv, &o, word, &status))
        return status;
    if (missing(o.external, "external", verb))
        return STATUS_USAGE;
    struct store *store = command_open();
    if (!store)
        return STATUS_FAILED;
    int e = nat_unmap(store, word[0], o.protocol == PROTOCOL_UDP, o.external, &error);
    return e || !o.json ? command_end(store, e, &error) : show_it(store, word[0], true);
}

static const struct verb unmap_verb = {
    .name = "unmap",
    .summary = "Ends a mapping",
    .usage = "NAME --external [ADDR:]PORT [OPTION]...",
    .within = &verb_nat,
    .options = {{external_rows}, {json_rows, AT(json)}},
    .words = NAME_WORD,
    .run = unmap,
};

static int release(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    return command_done(store, nat_release_lease(store, word[0], word[1], &error), &error, o.json);
}

static const struct verb release_verb = {
    .name = "release",
    .summary = "Ends a lease of DHCP",
    .usage = "NAME ADDRESS|MAC [--json]",
    .within = &verb_nat,
    .options = {{json_rows, AT(json)}},
    .words = {{"NAME", WORD_NAT}, {"ADDRESS|MAC", WORD_LEASE}},
    .about = "Ends the lease of an address, or of a client that has an Ethernet address, so that others can have it. "
             "A VM that still uses it should be told to ask again.",
    .run = release,
};

static const struct verb *const own_verbs[] = {&create_verb, &list_verb,    &show_verb,   &set_verb, &map_verb,
                                               &unmap_verb,  &release_verb, &delete_verb, NULL};

const struct verb verb_nat = {
    .name = "nat",
    .summary = "NAT networks: create, list, show, set, map, unmap, release, delete",
    .usage = "VERB [OPTION]...",
    .verbs = own_verbs,
};
