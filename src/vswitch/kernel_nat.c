/*
 * NAT by the host's kernel, for root: see nat.h. A tap of the host is the port, with the gateway's address; nftables
 * translates (nat_rules.h), and dnsmasq serves names and router advertisements. All of it is named after the network,
 * so that a process which follows one that was killed replaces what it finds; the tap and dnsmasq end with the process.
 */
#include "vswitch/nat.h"

#include "base/monotonic.h"
#include "net/ifname.h"
#include "process/program.h"
#include "vswitch/dnsmasq.h"
#include "vswitch/firewall.h"
#include "vswitch/host_setting.h"
#include "vswitch/link.h"
#include "vswitch/nat_rules.h"
#include "vswitch/tap.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM_MAX 64
#define CHECK_NS 5000000000ull /* the firewall is not looked at more often */

struct kernel_nat {
    char interface[IFNAME_MAX];
    char nft[PROGRAM_MAX];
    struct child *dnsmasq;
    u64 checked_ns;
};

/* -- nftables -- */

static int apply(struct kernel_nat *k, const struct nat *nat, struct error *error)
{
    char *rules = nat_rules(nat, k->interface);
    if (!rules)
        return error_set(error, -ENOMEM, "no memory for the rules of nftables");
    int err = program_run((const char *const[]){k->nft, "-j", "-f", "-", NULL}, rules, NULL, error);
    free(rules);
    return err;
}

/* -- The interface -- */

static int add_address(int index, const struct ip *ip, u8 length, struct error *error)
{
    char text[IP_TEXT_MAX];
    int err = ip->version ? link_add_address(index, ip, length) : 0;
    if (!err)
        return 0;
    ip_format(ip, text);
    return error_set(error, err, "the host's interface cannot have the address %s: %s", text, strerror(-err));
}

/* The host believes no guest that it is a router, and its own connections to 127.0.0.1 reach mapped ports. */
static void set_interface(const char *interface)
{
    static const struct {
        const char *name;
        char value;
    } setting[] = {{"ipv6/conf/%s/accept_ra", '0'}, {"ipv4/conf/%s/route_localnet", '1'}};
    for (u32 i = 0; i < ARRAY_LEN(setting); i++) {
        char path[80] = "/proc/sys/net/";
        snprintf(path + strlen(path), sizeof(path) - strlen(path), setting[i].name, interface);
        FILE *f = fopen(path, "we");
        if (f) {
            fputc(setting[i].value, f);
            fclose(f);
        }
    }
}

static int configure(struct kernel_nat *k, const struct nat *nat, struct error *error)
{
    int index = link_index(k->interface), err = link_set_mac(index, &nat->mac);
    set_interface(k->interface);
    if (!nat->prefix6.address.version)
        link_hide(k->interface);
    if (!err)
        err = link_up(index);
    if (err)
        return error_set(error, err, "the interface %s cannot be set up: %s", k->interface, strerror(-err));
    err = add_address(index, &nat->gateway, nat->prefix.length, error);
    if (!err)
        err = add_address(index, &nat->dns, 32, error);
    if (!err)
        err = add_address(index, &nat->gateway6, nat->prefix6.length, error);
    return err ? err : add_address(index, &nat->dns6, 128, error);
}

/* -- Forwarding -- */

/* Interfaces that accept advertisements of routers do so only as long as they do not forward, or if told twice. */
static int keep_accepting(const char *shared, struct error *error)
{
    struct if_nameindex *all = if_nameindex();
    int result = 0;
    for (struct if_nameindex *i = all; i && i->if_index && result >= 0; i++) {
        char name[80], path[128], value = 0;
        snprintf(name, sizeof(name), "net/ipv6/conf/%s/accept_ra", i->if_name);
        snprintf(path, sizeof(path), "/proc/sys/%s", name);
        FILE *f = fopen(path, "re");
        bool foreign = strcmp(i->if_name, "lo") != 0 && !ifname_is(IFNAME_NAT, i->if_name);
        if (f && fread(&value, 1, 1, f) == 1 && value == '1' && foreign)
            result = host_setting_want(shared, name, "2", error);
        if (f)
            fclose(f);
    }
    if_freenameindex(all);
    return result;
}

static int forwarding(struct nat *nat, struct error *error)
{
    static const char ipv4[] = "net/ipv4/ip_forward", ipv6[] = "net/ipv6/conf/all/forwarding";
    int result = 0, changed = 0;
    if (nat->prefix.address.version)
        changed = result = host_setting_want(nat->dirs.shared, ipv4, "1", error);
    if (result >= 0 && nat->prefix6.address.version) {
        result = keep_accepting(nat->dirs.shared, error);
        if (result >= 0)
            result = host_setting_want(nat->dirs.shared, ipv6, "1", error);
        changed |= result > 0;
    }
    if (changed > 0)
        snprintf(nat->note, sizeof(nat->note),
                 "the host forwards packets between all its interfaces as long as the network runs");
    return result < 0 ? result : 0;
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
    child_stop(k->dnsmasq);
    tap_remove(nat->up.port);
    if (k->nft[0] && apply(k, NULL, &ignored))
        error_begin(&ignored, 0); /* the next start replaces it */
    release_all(nat);
    if (is_last(k->interface))
        host_settings_restore(nat->dirs.shared);
    free(k);
    nat->up.port = NULL;
}

/* Names that our rules are gone: a host that loads its own anew ("flush ruleset") removes those of all. */
static void find_rules(const struct kernel_nat *k, struct error *error)
{
    char line[32], *tables;
    struct error ignored;
    snprintf(line, sizeof(line), "table inet %s\n", k->interface);
    if (program_run((const char *const[]){k->nft, "list", "tables", NULL}, NULL, &tables, &ignored))
        return;
    if (!strstr(tables, line)) {
        error_set(error, -ENOENT, "its rules were removed from the host's nftables, so its VMs reach nothing outside");
        error_hint(error, "nestbox switch stop and nestbox switch start bring them back");
    }
    free(tables);
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
    if (!firewall_find(k->nft, &view, &nat->up.problem[PROBLEM_FIREWALL]))
        find_rules(k, &nat->up.problem[PROBLEM_FIREWALL]);
}

/* Everything but the port. */
static int set_up(struct kernel_nat *k, struct nat *nat, struct error *error)
{
    int err = nat_own_addresses(nat, error);
    if (!err)
        err = configure(k, nat, error);
    if (!err)
        err = forwarding(nat, error);
    if (!err)
        err = apply(k, nat, error);
    return err;
}

static int start(struct nat *nat, struct error *error)
{
    struct kernel_nat *k = calloc(1, sizeof(*k));
    if (!k)
        return error_set(error, -ENOMEM, "no memory for the NAT network %s", nat->name);
    nat->back = k;
    nat->up.port = NULL;
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
