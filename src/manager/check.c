/*
 * One row per kind of finding. Each looks through what is defined and what the switches report, and adds what it finds.
 */
#include "manager/check.h"

#include "manager/host.h"

#include "manager/client.h"
#include "manager/conflict.h"
#include "manager/names.h"
#include "manager/switch.h"
#include "net/drop.h"
#include "store/network_json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What a finding is about. Members may be NULL. */
struct subject {
    const char *at, *vm, *card;
};

static void add(const struct check *check, json_t *findings, const struct subject *about, const char *text,
                const char *remedy, const char *hint)
{
    (void)!json_array_append_new(findings,
                                 json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?}", "finding", check->name, "text",
                                           text, "remedy", remedy, "hint", hint && *hint ? hint : NULL, "switch",
                                           about->at, "vm", about->vm, "card", about->card));
}

static const json_t *report_of(const struct check_context *context, const char *name)
{
    char folded[NAME_MAX_LEN + 1];
    name_fold(name, folded);
    return json_object_get(context->reports, folded);
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static bool concerns(const struct check_context *context, const char *vm)
{
    return !context->vm || (vm && name_equal(context->vm, vm));
}

/* Returns true if a VM that is looked at has a card there, or all are looked at. */
static bool concerns_switch(const struct check_context *context, const char *name)
{
    for (const struct card_def *card = NULL; (card = networks_card_at(context->defined, name, card));)
        if (concerns(context, card->vm))
            return true;
    return !context->vm;
}

/* -- the checks -- */

struct conflicts {
    const struct check *check;
    const struct check_context *context;
    json_t *findings;
};

static void add_conflict(void *opaque, const struct conflict *c)
{
    struct conflicts *to = opaque;
    const struct subject about = {c->at, c->vm, c->card};
    if (c->vm ? !concerns(to->context, c->vm) : !concerns_switch(to->context, c->at))
        return;
    add(to->check, to->findings, &about, c->what.text, NULL, c->what.hint);
}

static void find_conflicts(const struct check *check, const struct check_context *context, json_t *findings)
{
    conflicts_find(context->defined, add_conflict, &(struct conflicts){check, context, findings});
}

static bool in_damaged(const struct networks *defined, const char *name)
{
    char folded[NAME_MAX_LEN + 1], start[NAME_MAX_LEN + 24];
    name_fold(name, folded);
    snprintf(start, sizeof(start), "switches/%s.json: ", folded);
    for (u32 i = 0; i < defined->damage.count; i++)
        if (strncmp(defined->damage.list[i].text, start, strlen(start)) == 0)
            return true;
    return false;
}

static void find_missing(const struct check *check, const struct check_context *context, json_t *findings)
{
    char text[320];
    for (u32 i = 0; i < context->defined->card_count; i++) {
        const struct card_def *card = &context->defined->cards[i];
        if (!concerns(context, card->vm) || !*card->set.switch_name ||
            networks_switch(context->defined, card->set.switch_name) ||
            in_damaged(context->defined, card->set.switch_name))
            continue;
        const struct subject about = {card->set.switch_name, card->vm, card->name};
        snprintf(text, sizeof(text), "%s/%s is at switch %s, which does not exist", card->vm, card->name,
                 card->set.switch_name);
        add(check, findings, &about, text, NULL, "create that switch, or move the card with `nestbox nic set`");
    }
}

/* A command that its reader may not run is no remedy. */
static bool needs_rights(const struct switch_settings *set)
{
    return set->type == SWITCH_INTERNAL || set->type == SWITCH_EXTERNAL;
}

static void find_stopped(const struct check *check, const struct check_context *context, json_t *findings)
{
    char text[320], remedy[128 + NAME_WORD_MAX], word[NAME_WORD_MAX];
    for (u32 i = 0; i < context->defined->switch_count; i++) {
        const struct switch_def *def = &context->defined->switches[i];
        const struct subject about = {def->name};
        if (!switch_wanted(context->defined, def) || !concerns_switch(context, def->name) ||
            !json_is_null(report_of(context, def->name)))
            continue;
        snprintf(text, sizeof(text), "switch %s does not run, so its cards reach nothing", def->name);
        snprintf(remedy, sizeof(remedy), "nestbox switch start %s", name_word(def->name, word));
        bool refused = needs_rights(&def->set) && geteuid() != 0;
        add(check, findings, &about, text, refused ? NULL : remedy,
            refused ? "it takes rights on the host's network (CAP_NET_ADMIN), which you do not have: root can run it"
                    : NULL);
    }
}

static void find_hanging(const struct check *check, const struct check_context *context, json_t *findings)
{
    char text[320], remedy[128 + NAME_WORD_MAX], word[NAME_WORD_MAX];
    for (u32 i = 0; i < context->defined->switch_count; i++) {
        const char *name = context->defined->switches[i].name;
        const struct subject about = {name};
        const json_t *report = report_of(context, name);
        if (!concerns_switch(context, name) || !json_is_string(report))
            continue;
        snprintf(text, sizeof(text), "%s", json_string_value(report));
        snprintf(remedy, sizeof(remedy), "nestbox switch stop %s", name_word(name, word));
        add(check, findings, &about, text, remedy, "then the next command starts it again");
    }
}

/* Calls `see` for what each running switch that is looked at reports. */
static void each_report(const struct check *check, const struct check_context *context, json_t *findings,
                        void (*see)(const struct check *check, const struct check_context *context, const char *name,
                                    const json_t *report, json_t *findings))
{
    for (u32 i = 0; i < context->defined->switch_count; i++) {
        const char *name = context->defined->switches[i].name;
        const json_t *report = report_of(context, name);
        if (json_is_object(report) && concerns_switch(context, name))
            see(check, context, name, report, findings);
    }
}

static void see_problems(const struct check *check, const struct check_context *context, const char *name,
                         const json_t *report, json_t *findings)
{
    const struct subject about = {name};
    size_t index;
    json_t *problem;
    json_array_foreach (json_object_get(report, "problems"), index, problem) {
        char text[400];
        const char *what = text_of(problem, "text");
        bool named = what && strncmp(what, "switch ", 7) == 0;
        snprintf(text, sizeof(text), "%s%s%s%s", named ? "" : "switch ", named ? "" : name, named ? "" : ": ",
                 what ? what : "something is wrong");
        add(check, findings, &about, text, NULL, text_of(problem, "hint"));
    }
}

static void find_problems(const struct check *check, const struct check_context *context, json_t *findings)
{
    each_report(check, context, findings, see_problems);
}

static const json_t *port_of(const json_t *report, const char *id)
{
    size_t index;
    json_t *port;
    json_array_foreach (json_object_get(report, "ports"), index, port)
        if (text_of(port, "id") && strcmp(text_of(port, "id"), id) == 0)
            return port;
    return NULL;
}

/* Compares, and releases what is defined. */
static bool differs(const json_t *runs, json_t *defined)
{
    bool same = json_equal(runs, defined);
    json_decref(defined);
    return !same;
}

/* A command that was killed has written and not told the process; whoever edits a file tells nobody. */
static void see_stale(const struct check *check, const struct check_context *context, const char *name,
                      const json_t *report, json_t *findings)
{
    const struct switch_def *def = networks_switch(context->defined, name);
    const struct subject about = {name};
    bool whole = !json_array_size(json_object_get(report, "problems"));
    bool stale = differs(json_object_get(json_object_get(report, "switch"), "settings"),
                         setting_json(switch_settings_table, &def->set));
    char text[320], remedy[128 + NAME_WORD_MAX], word[NAME_WORD_MAX];
    size_t cards = 0, ports = 0, index;
    json_t *port;
    for (const struct card_def *card = NULL; (card = networks_card_at(context->defined, name, card)); cards++) {
        const json_t *own = port_of(report, card->id);
        stale |= own ? differs(json_object_get(own, "settings"), card_settings_json(card)) : whole;
    }
    json_array_foreach (json_object_get(report, "ports"), index, port)
        ports += text_of(port, "vm") != NULL;
    if (!stale && ports <= cards)
        return;
    snprintf(text, sizeof(text),
             "switch %s runs otherwise than is defined: a file was edited, or a command was ended before it told the "
             "switch",
             name);
    snprintf(remedy, sizeof(remedy), "nestbox switch start %s", name_word(name, word));
    add(check, findings, &about, text, remedy, NULL);
}

static void find_stale(const struct check *check, const struct check_context *context, json_t *findings)
{
    each_report(check, context, findings, see_stale);
}

/* Returns what a port has dropped for a reason. */
static long long dropped(const json_t *port, const char *reason)
{
    return json_integer_value(json_object_get(json_object_get(port, "dropped"), reason));
}

/* The guest has not heard of the new address of its card: no VM is inside of it. */
static void add_former(const struct check *check, const struct subject *about, const char *mac, json_t *findings)
{
    char text[320];
    snprintf(text, sizeof(text),
             "%s/%s at switch %s: the guest still sends from %s, the address that the card had before, so its frames "
             "are dropped",
             about->vm, about->card, about->at, mac);
    add(check, findings, about, text, NULL, "start the VM again, so that it sees the new address");
}

/* One finding for all addresses behind a card, as one command lets all of them pass. */
static void add_strangers(const struct check *check, const struct subject *about, const json_t *port,
                          const char *remedy, json_t *findings)
{
    const char *first = NULL;
    long long others = json_integer_value(json_object_get(port, "strangers_seen")) - 1;
    char text[320], more[64] = "";
    size_t index;
    json_t *stranger;
    json_array_foreach (json_object_get(port, "strangers"), index, stranger) {
        if (json_is_true(json_object_get(stranger, "former"))) {
            add_former(check, about, text_of(stranger, "mac"), findings);
            others--;
        } else if (!first) {
            first = text_of(stranger, "mac");
        }
    }
    if (!first)
        return;
    if (others > 0)
        snprintf(more, sizeof(more), " and from %lld other address%s", others, others == 1 ? "" : "es");
    snprintf(text, sizeof(text),
             "%s/%s at switch %s: frames from %s, which is not its address,%s were dropped (%lld): that looks like a "
             "nested guest, a VM inside it",
             about->vm, about->card, about->at, first, more, dropped(port, drop_rows[DROP_SPOOFED].name));
    add(check, findings, about, text, remedy, NULL);
}

static void see_drops(const struct check *check, const struct check_context *context, const char *name,
                      const json_t *report, json_t *findings)
{
    size_t p, d;
    json_t *port, *drop;
    json_array_foreach (json_object_get(report, "ports"), p, port) {
        const struct subject about = {name, text_of(port, "vm"), text_of(port, "name")};
        if (!about.vm || !concerns(context, about.vm))
            continue;
        json_array_foreach (json_object_get(port, "drops"), d, drop) {
            const char *reason = text_of(drop, "reason"), *remedy = text_of(drop, "remedy");
            char text[320];
            if (!reason || !remedy)
                continue;
            if (strcmp(reason, drop_rows[DROP_SPOOFED].name) == 0 &&
                json_array_size(json_object_get(port, "strangers"))) {
                add_strangers(check, &about, port, remedy, findings);
                continue;
            }
            snprintf(text, sizeof(text), "%s/%s at switch %s: frames were dropped (%lld): %s", about.vm, about.card,
                     name, dropped(port, reason), text_of(drop, "meaning"));
            add(check, findings, &about, text, remedy, NULL);
        }
    }
}

static void find_drops(const struct check *check, const struct check_context *context, json_t *findings)
{
    each_report(check, context, findings, see_drops);
}

static void see_stalled(const struct check *check, const struct check_context *context, const char *name,
                        const json_t *report, json_t *findings)
{
    size_t p;
    json_t *port;
    json_array_foreach (json_object_get(report, "ports"), p, port) {
        const struct subject about = {name, text_of(port, "vm"), text_of(port, "name")};
        long long frames = dropped(port, drop_rows[DROP_STALLED].name);
        char text[320];
        if (!about.vm || !concerns(context, about.vm) || !frames)
            continue;
        snprintf(text, sizeof(text), "%s/%s at switch %s did not take its frames for a while: %lld were dropped",
                 about.vm, about.card, name, frames);
        add(check, findings, &about, text, NULL, "the VM may be stopped, or have hung");
    }
}

static void find_stalled(const struct check *check, const struct check_context *context, json_t *findings)
{
    each_report(check, context, findings, see_stalled);
}

static void find_damaged(const struct check *check, const struct check_context *context, json_t *findings)
{
    const struct damage *damage = &context->defined->damage;
    for (u32 i = 0; i < damage->count; i++)
        add(check, findings, &(struct subject){0}, damage->list[i].text, NULL, damage->list[i].hint);
}

const struct check checks[] = {
    {"damaged", "a file of what is defined cannot be read", find_damaged},
    {"missing-switch", "a card is at a switch that does not exist", find_missing},
    {"conflict", "definitions that cannot be in force together, as files that were edited may have them",
     find_conflicts},
    {"stopped", "a switch that should run does not", find_stopped},
    {"hanging", "the process of a switch does not answer", find_hanging},
    {"stale", "a switch runs otherwise than is defined", find_stale},
    {"problem", "something of the host is in the way of a switch: a firewall, a port that is taken", find_problems},
    {"dropped", "a rule of a port dropped frames", find_drops},
    {"stalled", "a VM does not take its frames", find_stalled},
    {0},
};

static json_t *ask_all(struct store *store, const struct networks *all)
{
    json_t *reports = json_object();
    for (u32 i = 0; i < all->switch_count; i++) {
        char folded[NAME_MAX_LEN + 1];
        struct error error;
        json_t *report = NULL;
        name_fold(all->switches[i].name, folded);
        int e = client_ask(store, all->switches[i].name, "show", &report, &error);
        if (e)
            report = e == -ETIMEDOUT ? json_string(error.text) : json_null();
        (void)!json_object_set_new(reports, folded, report);
    }
    return reports;
}

int check_all(struct store *store, const char *vm, json_t **findings, struct error *error)
{
    struct networks all;
    store_notes_to(store, NULL); /* damage is a finding */
    int e = networks_read_some(store, &all, error);
    if (e)
        return e;
    struct vm_def def;
    struct error missing, ignored;
    bool defined = vm && !store_vm(store, vm, &def, &missing);
    if (defined)
        vm_def_free(&def);
    if (vm && !defined && !names_vm(&all, vm, &ignored)) {
        *error = missing;
        e = networks_missing(&all, error);
        networks_free(&all);
        return e;
    }
    json_t *reports = ask_all(store, &all);
    const struct check_context context = {&all, reports, vm};
    struct error journal;
    *findings = json_array();
    if (store_check(store, &journal))
        add(checks, *findings, &(struct subject){0}, journal.text, NULL, journal.hint);
    for (const struct check *check = checks; check->name; check++)
        check->find(check, &context, *findings);
    json_decref(reports);
    networks_free(&all);
    return host_check(store, vm, *findings, error);
}
