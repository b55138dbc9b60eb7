/*
 * NAT by the host's kernel, for root: see nat.h. A tap of the host is the port, with the gateway's address; nftables
 * translates (nat_rules.h), and dnsmasq serves names and router advertisements. All of it is named after the network,
 * so that a process which follows one that was killed replaces what it finds; the tap and dnsmasq end with the process.
 * What somebody takes away of it while it runs is put back: the kernel tells by netlink that something has changed.
 */
#include "vswitch/nat.h"

#include "base/monotonic.h"
#include "net/ifname.h"
#include "process/program.h"
#include "vswitch/dnsmasq.h"
#include "vswitch/firewall.h"
#include "vswitch/host_setting.h"
#include "vswitch/link.h"
#include "vswitch/nat_host.h"
#include "vswitch/nat_rules.h"
#include "vswitch/tap.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM_MAX 64
#define CHECK_NS 5000000000ull      /* the firewall is not looked at more often */
#define SETTLE_NS 200000000ull      /* from a change of the host to a look at it: changes come in numbers */
#define BETWEEN_NS 1000000000ull    /* looks: one at rules runs a program, for which frames wait */
#define PAUSE_MAX_NS 60000000000ull /* after repairs in a row, so that nobody is fought with */

struct kernel_nat {
    struct nat *nat;
    char interface[IFNAME_MAX];
    char nft[PROGRAM_MAX];
    char *rules; /* ours, as nftables listed them; NULL: unknown */
    struct child *dnsmasq;
    u64 checked_ns;
    struct link_monitor links, tables; /* what changes on the host */
    struct alarm look;
    u64 pause_ns, looked_ns; /* before the next look; when the last one was */
    bool rules_heard;        /* nftables has changed something since then */
    u32 repairs;
};

/* -- nftables -- */

/* Our rules as nftables has them, an empty text if it has none. NULL: it does not answer. */
static char *list_rules(const struct kernel_nat *k, struct error *error)
{
    char line[32], *text = NULL;
    snprintf(line, sizeof(line), "table inet %s\n", k->interface);
    int err = program_run((const char *const[]){k->nft, "list", "tables", NULL}, NULL, &text, error);
    if (err)
        return NULL;
    if (!strstr(text, line)) {
        text[0] = 0;
        return text;
    }
    free(text);
    err = program_run((const char *const[]){k->nft, "list", "table", "inet", k->interface, NULL}, NULL, &text, error);
    return err ? NULL : text;
}

/* `nat` is NULL to remove them. */
static int apply(struct kernel_nat *k, const struct nat *nat, struct error *error)
{
    char *rules = nat_rules(nat, k->interface);
    if (!rules)
        return error_set(error, -ENOMEM, "no memory for the rules of nftables");
    int err = program_run((const char *const[]){k->nft, "-j", "-f", "-", NULL}, rules, NULL, error);
    free(rules);
    free(k->rules);
    k->rules = err || !nat ? NULL : list_rules(k, error);
    return err;
}

/* What is wrong with them, in the past tense; NULL: nothing. */
static const char *rules_missing(const struct kernel_nat *k, struct error *error)
{
    char *now = list_rules(k, error);
    const char *what = !now                                     ? "its rules in the host's nftables cannot be read"
                       : !now[0]                                ? "its rules were removed from the host's nftables"
                       : k->rules && strcmp(now, k->rules) != 0 ? "its rules in the host's nftables were changed"
                                                                : NULL;
    free(now);
    return what;
}

/* -- The back end -- */

static bool takes(void *opaque, const u8 *frame, u32 length)
{
    return nat_takes(opaque, frame, length);
}

/* Whether another NAT network by the kernel runs on this host, which needs that packets are forwarded. */
static bool is_last(const char *own)
{
    struct if_nameindex *all = if_nameindex();
    bool last = all;
    for (struct if_nameindex *i = all; i && i->if_index; i++)
        last &= !ifname_is(IFNAME_NAT, i->if_name) || strcmp(i->if_name, own) == 0;
    if_freenameindex(all);
    return last;
}

static void unmap(struct nat *nat, struct nat_rule *rule)
{
    close(rule->held);
}

/* Lets go of the ports of all mappings that are in force. */
static void release_all(struct nat *nat)
{
    for (u32 i = 0; i < nat->rules; i++)
        if (!nat->rule[i].why.code)
            unmap(nat, &nat->rule[i]);
}

static void stop(struct nat *nat)
{
    struct kernel_nat *k = nat->back;
    struct error ignored;
    link_monitor_stop(nat->up.sw, &k->links);
    link_monitor_stop(nat->up.sw, &k->tables);
    vswitch_alarm(nat->up.sw, &k->look, 0);
    child_stop(k->dnsmasq);
    tap_remove(nat->up.port);
    if (k->nft[0] && apply(k, NULL, &ignored))
        error_begin(&ignored, 0); /* the next start replaces it */
    release_all(nat);
    if (is_last(k->interface))
        host_settings_restore(nat->dirs.shared);
    free(k->rules);
    free(k);
    nat->up.port = NULL;
}

/* -- Repairs -- */

/* Everything but the port. */
static int set_up(struct kernel_nat *k, struct nat *nat, struct error *error)
{
    int err = nat_own_addresses(nat, error);
    if (!err)
        err = nat_host_configure(nat, k->interface, error);
    if (!err)
        err = nat_host_forward(nat, error);
    if (!err)
        err = apply(k, nat, error);
    return err;
}

static int put_back(struct kernel_nat *k, struct error *error)
{
    int err = tap_has(k->nat->up.port, k->interface) ? 0 : tap_renew(k->nat->up.port, k->interface, error);
    return err ? err : set_up(k, k->nat, error);
}

/* Puts back what somebody took away. Who does so again and again gets it back later each time. */
static void look(struct kernel_nat *k)
{
    struct nat *nat = k->nat;
    struct error *problem = &nat->up.problem[PROBLEM_INTERFACE], error;
    vswitch_alarm(nat->up.sw, &k->look, 0);
    k->looked_ns = monotonic_ns();
    error_begin(problem, 0);
    const char *what = nat_host_missing(nat, k->interface);
    if (!what && k->rules_heard)
        what = rules_missing(k, &error);
    k->rules_heard = false;
    if (!what) {
        k->pause_ns = SETTLE_NS;
        return;
    }
    int err = put_back(k, &error);
    k->pause_ns = k->pause_ns * 2 < PAUSE_MAX_NS ? k->pause_ns * 2 : PAUSE_MAX_NS;
    if (err) {
        error_set(problem, err, "%s, and cannot be put back: %.150s", what, error.text);
        error_hint(problem, error.hint);
        k->rules_heard = true;
        vswitch_alarm(nat->up.sw, &k->look, monotonic_ns() + k->pause_ns);
    } else {
        k->repairs++;
        snprintf(nat->repaired, sizeof(nat->repaired), "repaired: %s (repairs so far: %u)", what, k->repairs);
        fprintf(stderr, "NAT network %s: repaired: %s\n", nat->name, what);
    }
}

static void look_ring(struct alarm *alarm)
{
    look(container_of(alarm, struct kernel_nat, look));
}

static void look_soon(struct kernel_nat *k)
{
    u64 at = monotonic_ns() + k->pause_ns, earliest = k->looked_ns + BETWEEN_NS;
    if (!k->look.at_ns)
        vswitch_alarm(k->nat->up.sw, &k->look, at > earliest ? at : earliest);
}

static void links_changed(struct link_monitor *monitor)
{
    look_soon(container_of(monitor, struct kernel_nat, links));
}

static void tables_changed(struct link_monitor *monitor)
{
    struct kernel_nat *k = container_of(monitor, struct kernel_nat, tables);
    k->rules_heard = true;
    look_soon(k);
}

/* Without these, only commands that show the network look at it. */
static void listen_to_host(struct kernel_nat *k)
{
    struct vswitch *sw = k->nat->up.sw;
    k->links.changed = links_changed;
    k->tables.changed = tables_changed;
    k->look.ring = look_ring;
    k->pause_ns = SETTLE_NS;
    if (link_monitor_start(sw, &k->links, LINK_INTERFACES) || link_monitor_start(sw, &k->tables, LINK_RULES))
        snprintf(k->nat->repaired, sizeof(k->nat->repaired), "what is changed on the host is noticed late");
}

/* Names the firewall that drops what we forward. */
static void check(struct nat *nat)
{
    struct kernel_nat *k = nat->back;
    struct firewall_view view = {k->interface, nat->prefix.address.version, nat->prefix6.address.version};
    struct error *dns = &nat->up.problem[PROBLEM_DNS];
    u64 now = monotonic_ns();
    if (k->dnsmasq)
        child_state(k->dnsmasq, dns);
    if (k->checked_ns && now - k->checked_ns < CHECK_NS)
        return;
    k->checked_ns = now;
    k->rules_heard = true;
    look(k);
    firewall_find(k->nft, &view, &nat->up.problem[PROBLEM_FIREWALL]);
}

static int start(struct nat *nat, struct error *error)
{
    struct kernel_nat *k = calloc(1, sizeof(*k));
    if (!k)
        return error_set(error, -ENOMEM, "no memory for the NAT network %s", nat->name);
    nat->back = k;
    nat->up.port = NULL;
    k->nat = nat;
    ifname_make(IFNAME_NAT, nat->name, k->interface);
    int err = program_locate("nft", "nftables", k->nft, sizeof(k->nft), error);
    if (!err)
        err = tap_add(nat->up.sw, PORT_NAT, k->interface, nat->name, k->interface, &nat->up.port, error);
    if (err) {
        free(k);
        return err;
    }
    err = set_up(k, nat, error);
    if (err) {
        stop(nat);
        return err;
    }
    tap_set_filter(nat->up.port, takes, nat);
    if (dnsmasq_start(nat, k->interface, &k->dnsmasq, error))
        nat->up.problem[PROBLEM_DNS] = *error;
    listen_to_host(k);
    check(nat);
    return 0;
}

/* A rule of nftables would take connections from a program of the host without a word, so the port must be ours.
 * nftables is told of all mappings at once: see mapped. */
static void map(struct nat *nat, struct nat_rule *rule)
{
    rule->held = hostport_hold(&rule->external, rule->mapping.udp);
    if (rule->held < 0)
        nat_map_failed(rule, rule->held);
    else
        error_begin(&rule->why, 0);
}

static void mapped(struct nat *nat)
{
    struct error error;
    if (apply(nat->back, nat, &error) == 0)
        return;
    release_all(nat);
    for (u32 i = 0; i < nat->rules; i++)
        if (!nat->rule[i].why.code)
            nat->rule[i].why = error;
}

static void state(const struct nat *nat, struct uplink_state *state)
{
    const struct kernel_nat *k = nat->back;
    memcpy(state->interface, k->interface, sizeof(state->interface));
}

const struct nat_backend_ops kernel_nat_ops = {.name = "kernel",
                                               .start = start,
                                               .stop = stop,
                                               .map = map,
                                               .unmap = unmap,
                                               .mapped = mapped,
                                               .state = state,
                                               .check = check};
