/*
 * nestbox switch: virtual switches.
 */
#include "manager/switch.h"
#include "cli/capture.h"
#include "cli/command.h"
#include "cli/print.h"
#include "process/spawn.h"
#include "vswitch/keeper.h"
#include "vswitch/process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct options {
    struct switch_settings set;
    struct nat_settings nat;
    bool json, force, drops;
    const char *port, *write;
};

#define AT(field) offsetof(struct options, field)
static const struct setting force_row[] = {
    {"force", SETTING_FLAG, AT(force), NULL, "also if cards are at it; they stay, without a switch"}, {0}};
/* clang-format off */
static const struct setting capture_rows[] = {
    {"port", SETTING_TEXT, AT(port), "PORT", "only what passes host, outside, nat, or the card VM[/NIC]",
     "Only what passes one port: *host* (of an internal switch), *outside* (of an external one), *nat*, or a card as "
     "VM[/NIC].",
     .names = "cards"},
    {"drops", SETTING_FLAG, AT(drops), NULL, "only what is dropped, each frame with the reason as a comment"},
    {"write", SETTING_TEXT, AT(write), "FILE", "where the capture goes; - is standard output", .def = "-",
     .file = true},
    {0},
};
/* clang-format on */

static const struct setting lines_row[] = {
    {"json", SETTING_FLAG, AT(json), NULL, "print an object per frame, one per line",
     .about = "Print an object per frame, one per line, instead of pcapng: time, port, direction, length, addresses "
              "and, if the "
              "frame was dropped, the reason, what that means and the command that lets such frames pass."},
    {0}};

#define NAME_WORD                                                                                                      \
    {                                                                                                                  \
        {                                                                                                              \
            "NAME", WORD_SWITCH                                                                                        \
        }                                                                                                              \
    }

/* -- create, set, delete -- */

/* Options of a NAT network that were given for a switch that has none. */
static bool stray_nat_options(const struct options *o)
{
    struct nat_settings blank = {0};
    struct error error;
    setting_defaults(nat_settings_table, &blank);
    if (o->set.type == SWITCH_NAT || memcmp(&blank, &o->nat, sizeof(blank)) == 0)
        return false;
    error_set(&error, -EINVAL, "options of NAT networks are for switches of " SETTING("type") " nat");
    complain_error(&error);
    return true;
}

static int show_json(struct store *store, const char *name)
{
    struct error error;
    json_t *object;
    int e = switch_show(store, name, &object, &error);
    if (!e)
        command_json(object);
    return command_end(store, e, &error);
}

static int create(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    struct switch_def def = {0};
    struct nat_def nat = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    verb_defaults(verb, &o);
    if (verb_arguments(verb, argc, argv, &o, word, &status))
        return status;
    if (stray_nat_options(&o))
        return STATUS_USAGE;
    int e = name_check("a switch", word[0], &error);
    struct store *store = e ? NULL : command_open();
    if (!store)
        return e ? command_end(NULL, e, &error) : STATUS_FAILED;
    strcpy(def.name, word[0]);
    strcpy(nat.name, word[0]);
    def.set = o.set;
    nat.set = o.nat;
    e = switch_create(store, &def, &nat, &error);
    return e || !o.json ? command_end(store, e, &error) : show_json(store, def.name);
}

static const struct verb create_verb = {
    .name = "create",
    .summary = "Creates a switch",
    .usage = "NAME [OPTION]...",
    .within = &verb_switch,
    .options = {{switch_settings_table, AT(set)}, {nat_settings_table, AT(nat), "switch"}, {json_rows, AT(json)}},
    .words = {{"NAME", WORD_NEW}},
    .about =
        "Creates a virtual switch. "
        "One of type *nat* gets a NAT network of the same name, as *nestbox nat create* does it. "
        "Private switches and NAT work without root; internal and external ones need rights on the host's network.",
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
    int e = switch_set(store, word[0], &change.change, &error);
    return e || !o.json ? command_end(store, e, &error) : show_json(store, word[0]);
}

static const struct verb set_verb = {
    .name = "set",
    .summary = "Changes a switch, also while it runs",
    .usage = "NAME OPTION...",
    .within = &verb_switch,
    .options = {{switch_settings_table, AT(set)}, {json_rows, AT(json)}},
    .words = NAME_WORD,
    .about = "Changes what is given of a switch, also while it runs; an empty text ends a setting.",
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
    return command_done(store, switch_delete(store, word[0], o.force, &error), &error, o.json);
}

static const struct verb delete_verb = {
    .name = "delete",
    .summary = "Deletes a switch and its NAT network",
    .usage = "NAME [OPTION]...",
    .within = &verb_switch,
    .options = {{force_row}, {json_rows, AT(json)}},
    .words = NAME_WORD,
    .about = "Deletes a switch, with the NAT network that it has. While cards are at it, that is refused.",
    .run = erase,
};

/* -- list and show -- */

static json_t *list_row(const json_t *one)
{
    const json_t *settings = json_object_get(one, "settings");
    char cards[24];
    const char *detail = text_at(one, "nat");
    if (!*detail)
        detail = text_at(settings, "interface");
    if (!*detail)
        detail = text_at(settings, "address");
    snprintf(cards, sizeof(cards), "%lld", number_at(one, "cards"));
    return json_pack("[s, s, s, s, s]", text_at(one, "name"), text_at(settings, "type"),
                     true_at(one, "running") ? "yes" : "no", cards, detail);
}

static int list_all(struct store *store, const char *unused, json_t **all, struct error *error)
{
    return switch_list(store, all, error);
}

static int list(const struct verb *verb, int argc, char **argv)
{
    static const char *const heading[] = {"NAME", "TYPE", "RUNS", "CARDS", "CONNECTED TO", NULL};
    return command_list(verb, argc, argv, list_all, heading, list_row);
}

static const struct verb list_verb = {
    .name = "list",
    .summary = "Lists the switches",
    .usage = "[--json]",
    .within = &verb_switch,
    .options = {{json_rows}},
    .run = list,
};

static void print_strangers(const json_t *port)
{
    size_t index;
    json_t *stranger;
    long long seen = number_at(port, "strangers_seen");
    json_array_foreach (json_object_get(port, "strangers"), index, stranger)
        printf("  stranger    %s: %lld frames, the last %lld s ago; it %s\n", text_at(stranger, "mac"),
               number_at(stranger, "frames"), number_at(stranger, "seconds_ago"),
               true_at(stranger, "former")
                   ? "is the card's former address, which the guest has until its VM starts again"
                   : "looks like a nested guest, a VM inside it");
    if (seen > (long long)index)
        printf("  stranger    and %lld other addresses\n", seen - (long long)index);
}

static void print_drops(const json_t *port)
{
    size_t index;
    json_t *drop;
    json_array_foreach (json_object_get(port, "drops"), index, drop) {
        const char *remedy = text_at(drop, "remedy");
        printf("  dropped     %lld %s: %s%s%s\n", number_at(json_object_get(port, "dropped"), text_at(drop, "reason")),
               text_at(drop, "reason"), text_at(drop, "meaning"), *remedy ? "; to let them pass: " : "", remedy);
    }
}

static void print_port(const json_t *port)
{
    static const char *const shown[] = {"switch", "mac", NULL};
    char settings[512], addresses[256];
    if (*text_at(port, "vm"))
        printf("\nCard %s/%s: %s, %s%s%s\n", text_at(port, "vm"), text_at(port, "name"), text_at(port, "mac"),
               true_at(port, "linked") ? "connected" : "not connected",
               json_array_size(json_object_get(port, "addresses")) ? ", " : "",
               joined(json_object_get(port, "addresses"), ", ", addresses, sizeof(addresses)));
    else
        printf("\nPort %s (%s): %s\n", text_at(port, "id"), text_at(port, "kind"),
               true_at(port, "linked") ? "connected" : "not connected");
    settings_text(card_settings_table, json_object_get(port, "settings"), shown, settings, sizeof(settings));
    if (settings[0])
        printf("  settings    %s\n", settings);
    if (!json_object_get(port, "frames_in"))
        return;
    printf("  sent        %lld frames, %lld bytes\n", number_at(port, "frames_in"), number_at(port, "bytes_in"));
    printf("  received    %lld frames, %lld bytes\n", number_at(port, "frames_out"), number_at(port, "bytes_out"));
    print_drops(port);
    print_strangers(port);
}

static void print_switch(const json_t *report)
{
    static const char *const shown[] = {"type", NULL};
    const json_t *own = json_object_get(report, "switch"), *settings = json_object_get(own, "settings"),
                 *up = json_object_get(report, "uplink"), *nat = json_object_get(report, "nat");
    char text[512];
    size_t index;
    json_t *port;
    printf("Switch %s: %s, ", text_at(own, "name"), text_at(settings, "type"));
    if (true_at(report, "running"))
        printf("process %lld\n", number_at(own, "pid"));
    else
        printf("does not run\n");
    settings_text(switch_settings_table, settings, shown, text, sizeof(text));
    if (text[0])
        printf("  settings    %s\n", text);
    if (json_is_object(up))
        printf("  host        %s%s%s%s%s\n", text_at(up, "backend"), *text_at(up, "interface") ? ", interface " : "",
               text_at(up, "interface"), *text_at(up, "bridge") ? ", bridge " : "", text_at(up, "bridge"));
    if (json_is_object(nat))
        printf("  NAT         %s: %s, gateway %s%s%s (nestbox nat show)\n", text_at(nat, "name"),
               text_at(nat, "backend"), text_at(nat, "gateway"), *text_at(nat, "gateway6") ? " and " : "",
               text_at(nat, "gateway6"));
    print_problems(report);
    json_array_foreach (json_object_get(report, "ports"), index, port)
        print_port(port);
}

static int show(const struct verb *verb, int argc, char **argv)
{
    return command_get(verb, argc, argv, switch_show, print_switch);
}

static const struct verb show_verb = {
    .name = "show",
    .summary = "Shows a switch: ports, counters, what it drops and why",
    .usage = "NAME [--json]",
    .within = &verb_switch,
    .options = {{json_rows}},
    .words = NAME_WORD,
    .about = "Shows a switch and its ports: settings, counters, frames that were dropped with the reason and the "
             "command that lets them pass, addresses that are not the card's own. "
             "Of a switch that does not run, what is defined.",
    .run = show,
};

/* -- the process -- */

static int simple(const struct verb *verb, int argc, char **argv,
                  int (*act)(struct store *store, const char *name, struct error *error))
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    return store ? command_done(store, act(store, word[0], &error), &error, o.json) : status;
}

static int start(const struct verb *verb, int argc, char **argv)
{
    return simple(verb, argc, argv, switch_start);
}

static const struct verb start_verb = {
    .name = "start",
    .summary = "Starts the process of a switch",
    .usage = "NAME [--json]",
    .within = &verb_switch,
    .options = {{json_rows, AT(json)}},
    .words = NAME_WORD,
    .about = "Starts the process of a switch, if it does not run. "
             "The first command that needs it does that by itself; a private or NAT switch ends when no card is left, "
             "without *--keep*.",
    .run = start,
};

static int stop(const struct verb *verb, int argc, char **argv)
{
    return simple(verb, argc, argv, switch_stop);
}

static const struct verb stop_verb = {
    .name = "stop",
    .summary = "Ends the process of a switch",
    .usage = "NAME [--json]",
    .within = &verb_switch,
    .options = {{json_rows, AT(json)}},
    .words = NAME_WORD,
    .about = "Ends the process of a switch: its cards reach nothing until it is started again.",
    .run = stop,
};

static int run(const struct verb *verb, int argc, char **argv)
{
    const char *word[WORDS_MAX];
    struct error error;
    int status, ready = spawn_ready();
    if (verb_arguments(verb, argc, argv, NULL, word, &status))
        return status;
    const struct process_start start = {.name = word[0], .stays = true, .ready = -1};
    return command_end(NULL, ready < 0 ? process_run(&start, &error) : keeper_run(word[0], ready, &error), &error);
}

static const struct verb run_verb = {
    .name = "run",
    .summary = "Is the process of a switch, in the foreground",
    .usage = "NAME",
    .within = &verb_switch,
    .words = NAME_WORD,
    .about =
        "Is the process of a switch, in the foreground until it is stopped or gets a signal: for service managers, "
        "and for debugging. It tells a service manager when it passes frames; *nestbox-switch@NAME* is a unit of "
        "systemd.",
    .run = run,
};

static int capture(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    verb_defaults(verb, &o);
    if (verb_arguments(verb, argc, argv, &o, word, &status))
        return status;
    struct store *store = command_open();
    if (!store)
        return STATUS_FAILED;
    int from = switch_capture(store, word[0], o.port, o.drops, &error);
    if (from < 0)
        return command_end(store, from, &error);
    int to = capture_file(o.write, o.json, &error);
    if (to >= 0)
        to = capture_copy(from, to, o.json, word[0], &error);
    else
        close(from);
    return command_end(store, to, &error);
}

static const struct verb capture_verb = {
    .name = "capture",
    .summary = "Writes what passes a switch, or what it drops, as pcapng",
    .usage = "NAME [OPTION]...",
    .within = &verb_switch,
    .options = {{capture_rows}, {lines_row}},
    .words = NAME_WORD,
    .about = "Writes what passes the ports of a switch as pcapng, which Wireshark and tshark read, until Ctrl-c, "
             "which is no error: the status is 0. "
             "Each port is an interface of the capture.",
    .run = capture,
};

static const struct verb *const own_verbs[] = {&create_verb, &list_verb, &show_verb, &set_verb,     &delete_verb,
                                               &start_verb,  &stop_verb, &run_verb,  &capture_verb, NULL};

const struct verb verb_switch = {
    .name = "switch",
    .summary = "Virtual switches: create, list, show, set, delete, capture",
    .usage = "VERB [OPTION]...",
    .verbs = own_verbs,
};
