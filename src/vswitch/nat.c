/*
 * A NAT network: see nat.h. What both back ends share: addresses, DHCP, leases, mappings as they are wanted. Called on
 * the switch's thread.
 */
#include "vswitch/nat.h"

#include "base/monotonic.h"
#include "net/ifname.h"
#include "net/nat_own.h"
#include "net/usable.h"
#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_GUEST 3u /* behind the network's own address, the gateway and the server of names */
#define TELL_NS 60000000000ull
#define SAVE_NS 1000000000ull /* leases that change within a second are written together */

static bool given(const char *text)
{
    return text && *text;
}

static int parse_prefixes(struct nat *nat, const struct nat_settings *set, struct error *error)
{
    int err = 0;
    nat->prefix = nat->prefix6 = (struct prefix){0};
    if (given(set->prefix))
        err = usable_prefix("prefix", set->prefix, 4, &nat->prefix, error);
    if (!err && given(set->prefix6))
        err = usable_prefix("prefix6", set->prefix6, 6, &nat->prefix6, error);
    if (!err && !nat->prefix.address.version && !nat->prefix6.address.version)
        err = error_set(error, -EINVAL, "the NAT network %s has no prefix", nat->name);
    return err;
}

/* The first address behind the network's own, and the second. */
static void set_addresses(struct nat *nat)
{
    nat->gateway = nat->gateway6 = nat->dns = nat->dns6 = (struct ip){0};
    if (nat->prefix.address.version) {
        prefix_nth(&nat->prefix, 1, &nat->gateway);
        if (nat->names)
            prefix_nth(&nat->prefix, 2, &nat->dns);
    }
    if (nat->prefix6.address.version) {
        prefix_nth(&nat->prefix6, 1, &nat->gateway6);
        if (nat->names)
            prefix_nth(&nat->prefix6, 2, &nat->dns6);
    }
    nat->mac = nat_own_mac(nat->prefix.address.version ? &nat->gateway : &nat->gateway6);
}

s64 nat_seconds(void)
{
    static s64 began; /* the host's clock when it had run for no time */
    struct timespec running;
    clock_gettime(CLOCK_BOOTTIME, &running);
    if (!began)
        began = time(NULL) - running.tv_sec;
    return began + running.tv_sec;
}

static int leases_path(const struct nat *nat, char *path, size_t size)
{
    char folded[NAME_MAX_LEN + 1];
    name_fold(nat->name, folded);
    return snprintf(path, size, "%s/%s.leases", nat->dirs.state, folded) < (int)size ? 0 : -ENAMETOOLONG;
}

/* The file is read once. Later starts go on with what the network knows, and wait for no disk. */
static int read_leases(struct nat *nat, struct error *error)
{
    char path[4096];
    int err = leases_path(nat, path, sizeof(path));
    if (!err)
        err = file_read_text(AT_FDCWD, path, &nat->kept, error);
    if (err && err != -ENOENT)
        nat->up.problem[PROBLEM_LEASES] = *error; /* addresses are given away again, from the first */
    nat->file = write_behind_new(path);
    return nat->file ? 0 : -ENOMEM;
}

static int start_dhcp(struct nat *nat, struct error *error)
{
    struct dhcp *d = &nat->server;
    *d = (struct dhcp){.mac = nat->mac, .prefix = nat->prefix, .gateway = nat->gateway, .dns = nat->dns};
    snprintf(d->domain, sizeof(d->domain), "%s.internal", nat->name);
    for (char *c = d->domain; *c; c++)
        if (*c == ' ' || *c == '_')
            *c = '-';
    int err = nat->file ? 0 : read_leases(nat, error);
    if (!err)
        d->leases = leases_new(&nat->prefix, FIRST_GUEST, nat->kept, nat_seconds() + DHCP_LEASE_SECONDS);
    return d->leases ? 0 : error_set(error, -ENOMEM, "no memory for the leases of %s", nat->name);
}

static void stop_dhcp(struct nat *nat)
{
    char *text = nat->server.leases ? leases_text(nat->server.leases) : NULL;
    if (text) {
        free(nat->kept);
        nat->kept = text;
        text = strdup(text);
    }
    if (text)
        write_behind_put(nat->file, text);
    vswitch_alarm(nat->up.sw, &nat->save, 0);
    leases_free(nat->server.leases);
    nat->server.leases = NULL;
}

static void save_soon(struct nat *nat)
{
    if (!nat->save.at_ns)
        vswitch_alarm(nat->up.sw, &nat->save, monotonic_ns() + SAVE_NS);
}

static void save(struct alarm *alarm)
{
    struct nat *nat = container_of(alarm, struct nat, save);
    char *text = leases_changed(nat->server.leases) ? leases_text(nat->server.leases) : NULL;
    if (text)
        write_behind_put(nat->file, text);
}

/* Tells the log of the VM that wanted an address. */
static void tell_refused(struct nat *nat, struct port *port)
{
    const struct leases *leases = nat->server.leases;
    struct vswitch_events *events = vswitch_told(nat->up.sw);
    u64 now = monotonic_ns();
    char text[200];
    if (!events || !events->trouble || (port->no_address_ns && now - port->no_address_ns < TELL_NS))
        return;
    port->no_address_ns = now;
    u32 all = leases_addresses(leases), used = leases_used(leases, nat_seconds());
    if (used == all)
        snprintf(text, sizeof(text), "it gets no address: all %u of the NAT network %s are in use", all, nat->name);
    else
        snprintf(text, sizeof(text),
                 "it gets no more addresses of the NAT network %s: the %u that are left are fewer than it has",
                 nat->name, all - used);
    events->trouble(events, port, text);
}

bool nat_takes(struct nat *nat, const u8 *frame, u32 length)
{
    u8 reply[DHCP_REPLY_MAX];
    if (!dhcp_is_request(frame, length)) {
        if (nat->server.leases)
            dhcp_hear(&nat->server, frame, length);
        return false;
    }
    struct port *from = vswitch_port_behind(nat->up.sw, nat->up.port, frame + MAC_LEN);
    if (!nat->server.leases || !from)
        return true;
    u64 refused = leases_refused(nat->server.leases);
    u32 size = dhcp_answer(&nat->server, frame, length, from->id, nat_seconds(), reply);
    if (size)
        vswitch_input(nat->up.sw, nat->up.port, reply, size);
    if (leases_refused(nat->server.leases) != refused)
        tell_refused(nat, from);
    save_soon(nat);
    return true;
}

int nat_release(struct nat *nat, const char *text, struct error *error)
{
    struct mac mac;
    struct ip ip;
    bool is_mac = mac_parse(text, &mac), is_ip = !is_mac && ip_parse(text, &ip) && ip.version == 4;
    if (!is_mac && !is_ip)
        return error_set(error, -EINVAL, "'%.40s' is neither an Ethernet address nor one of IPv4", text);
    if (!nat->server.leases)
        return error_set(error, -ENOENT, "the NAT network %s has no DHCP, and so no leases", nat->name);
    u32 address = is_ip ? (u32)ip.byte[0] << 24 | (u32)ip.byte[1] << 16 | (u32)ip.byte[2] << 8 | ip.byte[3] : 0;
    if (!leases_end(nat->server.leases, is_mac ? &mac : NULL, address))
        return error_set(error, -ENOENT, "the NAT network %s has no lease of %.40s", nat->name, text);
    save_soon(nat);
    return 0;
}

int nat_own_addresses(struct nat *nat, struct error *error)
{
    struct own_mac own[NAT_OWN_MAX];
    u32 count = nat_own(&nat->prefix, &nat->prefix6, own);
    return vswitch_port_own(nat->up.sw, nat->up.port, own, count, error);
}

/* -- Mappings -- */

static void check_rule(const struct nat *nat, struct nat_rule *rule)
{
    struct error *why = &rule->why;
    const struct nat_mapping *m = &rule->mapping;
    if (!hostport_parse(m->external, &rule->external)) {
        error_set(why, -EINVAL, "%s is not an address with a port", m->external);
        error_hint(why, "as in 0.0.0.0:8080 or [::]:8080");
        return;
    }
    if (!hostport_parse(m->internal, &rule->internal)) {
        error_set(why, -EINVAL, "%s is not an address with a port", m->internal);
        error_hint(why, "as in 192.168.100.5:80 or [fd00::5]:80");
        return;
    }
    const struct prefix *prefix = rule->internal.address.version == 6 ? &nat->prefix6 : &nat->prefix;
    if (rule->external.address.version != rule->internal.address.version)
        error_set(why, -EINVAL, "%s and %s are of different versions of IP", m->external, m->internal);
    else if (!prefix->address.version || !prefix_has(prefix, &rule->internal.address))
        error_set(why, -EINVAL, "%s is no address of the NAT network %s", m->internal, nat->name);
    else
        error_begin(why, -ECANCELED);
}

void nat_map_failed(struct nat_rule *rule, int err)
{
    error_set(&rule->why, err, "%s port %s of the host cannot be mapped: %s", rule->mapping.udp ? "UDP" : "TCP",
              rule->mapping.external, err == -EADDRINUSE ? "another program has it" : strerror(-err));
    if (err == -EACCES)
        error_hint(&rule->why, "as root: sysctl -w net.ipv4.ip_unprivileged_port_start=0, or take one above 1023");
}

static bool same_mapping(const struct nat_mapping *a, const struct nat_mapping *b)
{
    return a->udp == b->udp && strcmp(a->external, b->external) == 0 && strcmp(a->internal, b->internal) == 0;
}

static struct nat_rule *find_rule(struct nat_rule *rule, u32 rules, const struct nat_mapping *mapping)
{
    for (u32 i = 0; i < rules; i++)
        if (same_mapping(&rule[i].mapping, mapping))
            return &rule[i];
    return NULL;
}

/* Takes the mappings that are defined now. What was in force and still is wanted stays as it is. */
static int take_rules(struct nat *nat, const struct nat_def *def, struct error *error)
{
    struct nat_rule *rule = calloc(def->mappings + 1, sizeof(*rule)), *old = nat->rule;
    u32 old_rules = nat->rules;
    if (!rule)
        return error_set(error, -ENOMEM, "no memory for the mappings of %s", nat->name);
    for (u32 i = 0; i < def->mappings; i++) {
        const struct nat_rule *before = find_rule(old, old_rules, &def->mapping[i]);
        if (before && !before->why.code)
            rule[i] = *before;
        else {
            rule[i].mapping = def->mapping[i];
            check_rule(nat, &rule[i]);
        }
    }
    for (u32 i = 0; i < old_rules; i++)
        if (!old[i].why.code && !find_rule(rule, def->mappings, &old[i].mapping))
            nat->ops->unmap(nat, &old[i]);
    nat->rule = rule;
    nat->rules = def->mappings;
    free(old);
    for (u32 i = 0; i < nat->rules; i++)
        if (rule[i].why.code == -ECANCELED)
            nat->ops->map(nat, &rule[i]);
    if (nat->ops->mapped)
        nat->ops->mapped(nat);
    for (u32 i = 0; i < nat->rules; i++)
        if (rule[i].why.code) {
            *error = rule[i].why;
            return error->code;
        }
    return 0;
}

/* -- Start and end -- */

static int start_backend(struct nat *nat, struct error *error)
{
    int err = -EPERM;
    nat->reason[0] = nat->note[0] = nat->repaired[0] = 0;
    if (nat->wanted != NAT_SLIRP) {
        nat->ops = &kernel_nat_ops;
        err = nat->ops->start(nat, error);
        if (!err && nat->wanted == NAT_AUTO)
            snprintf(nat->reason, sizeof(nat->reason), "the host lets us use its kernel's");
        if (!err || nat->wanted == NAT_KERNEL)
            return err;
        snprintf(nat->reason, sizeof(nat->reason), "not the kernel's: %.150s", error->text);
    }
    nat->ops = &slirp_ops;
    return nat->ops->start(nat, error);
}

static int nat_start(struct nat *nat, const struct nat_def *def, struct error *error)
{
    struct error ignored;
    nat->wanted = def->set.backend;
    nat->dhcp = def->set.dhcp;
    nat->names = def->set.dns;
    int err = parse_prefixes(nat, &def->set, error);
    if (err)
        return err;
    set_addresses(nat);
    if (nat->dhcp && nat->prefix.address.version)
        err = start_dhcp(nat, error);
    if (!err)
        err = start_backend(nat, error);
    if (err) {
        stop_dhcp(nat);
        return err;
    }
    take_rules(nat, def, &ignored); /* each mapping says what is wrong with it */
    return 0;
}

static void nat_stop(struct nat *nat)
{
    if (nat->up.port)
        nat->ops->stop(nat);
    nat->up.port = NULL;
    stop_dhcp(nat);
    free(nat->rule);
    nat->rule = NULL;
    nat->rules = 0;
    memset(nat->up.problem, 0, sizeof(nat->up.problem));
}

static void nat_free(struct nat *nat)
{
    write_behind_free(nat->file);
    free(nat->kept);
    free((char *)nat->dirs.state);
    free((char *)nat->dirs.shared);
    free(nat);
}

static void nat_state(const struct uplink *up, struct uplink_state *state)
{
    const struct nat *nat = up->nat;
    *state = (struct uplink_state){.backend = nat->ops->name, .gateway = nat->gateway, .dns = nat->dns};
    state->gateway6 = nat->gateway6;
    state->dns6 = nat->dns6;
    memcpy(state->reason, nat->reason, sizeof(state->reason));
    memcpy(state->note, nat->note, sizeof(state->note));
    memcpy(state->repaired, nat->repaired, sizeof(state->repaired));
    if (nat->server.leases) {
        state->dhcp = true;
        state->leases = leases_used(nat->server.leases, nat_seconds());
        state->addresses = leases_addresses(nat->server.leases);
    }
    if (up->port)
        nat->ops->state(nat, state);
}

static void nat_check(struct uplink *up)
{
    struct nat *nat = up->nat;
    struct error *pool = &up->problem[PROBLEM_POOL];
    error_begin(pool, 0);
    if (nat->server.leases && leases_used(nat->server.leases, nat_seconds()) == leases_addresses(nat->server.leases)) {
        error_set(pool, -ENOSPC, "all %u addresses of the NAT network %s are in use; requests without one: %llu",
                  leases_addresses(nat->server.leases), nat->name,
                  (unsigned long long)leases_refused(nat->server.leases));
        error_hint(
            pool, "`nestbox nat release` ends a lease, `nestbox nat set " SETTING("prefix") "` takes a larger network");
    }
    struct error written = {0};
    if (nat->file)
        write_behind_result(nat->file, &written);
    if (written.code)
        up->problem[PROBLEM_LEASES] = written;
    if (up->port && nat->ops->check)
        nat->ops->check(nat);
}

static void nat_remove(struct uplink *up)
{
    nat_stop(up->nat);
    nat_free(up->nat);
}

static const struct uplink_ops nat_ops = {.state = nat_state, .check = nat_check, .remove = nat_remove};

int uplink_nat_add(struct vswitch *sw, const struct nat_def *def, const struct uplink_dirs *dirs, struct uplink **made,
                   struct error *error)
{
    struct nat *nat = calloc(1, sizeof(*nat));
    if (!nat)
        return error_set(error, -ENOMEM, "no memory for the NAT network %s", def->name);
    nat->up.sw = sw;
    nat->up.ops = &nat_ops;
    nat->up.nat = nat;
    nat->save.ring = save;
    snprintf(nat->name, sizeof(nat->name), "%s", def->name);
    nat->dirs = (struct uplink_dirs){.state = strdup(dirs->state), .shared = strdup(dirs->shared)};
    int err = nat->dirs.state && nat->dirs.shared ? nat_start(nat, def, error)
                                                  : error_set(error, -ENOMEM, "no memory for %s", def->name);
    if (err) {
        nat_free(nat);
        return err;
    }
    *made = &nat->up;
    return 0;
}

/* Whether only mappings differ. */
static bool same_network(const struct nat *nat, const struct nat_def *def)
{
    struct nat other = {0};
    struct error ignored;
    if (nat->wanted != def->set.backend || nat->dhcp != def->set.dhcp || nat->names != def->set.dns ||
        parse_prefixes(&other, &def->set, &ignored))
        return false;
    return memcmp(&other.prefix, &nat->prefix, sizeof(nat->prefix)) == 0 &&
           memcmp(&other.prefix6, &nat->prefix6, sizeof(nat->prefix6)) == 0;
}

int uplink_nat_set(struct uplink *up, const struct nat_def *def, struct error *error)
{
    struct nat *nat = up->nat;
    if (same_network(nat, def))
        return take_rules(nat, def, error);
    nat_stop(nat);
    return nat_start(nat, def, error);
}
