/*
 * The outside of an external switch: see bridge.h. A bridge of ours is persistent in the kernel, so a host on it keeps
 * its network when the switch is killed; the next start takes all back and begins anew. An interface that vanishes and
 * comes back (a card on USB, a driver that is loaded again) is put into the bridge again; what we made and somebody
 * deleted is made again.
 */
#include "vswitch/bridge.h"

#include "net/ifname.h"
#include "process/program.h"
#include "vswitch/firewall.h"
#include "vswitch/link.h"
#include "vswitch/move.h"
#include "vswitch/tap.h"
#include "vswitch/uplink_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct outside {
    struct uplink up;
    char name[NAME_MAX_LEN + 1];
    struct uplink_dirs dirs;
    char tap[IFNAME_MAX], bridge[IFNAME_MAX];
    char
        member[IFNAME_MAX]; /* what must be in the bridge: the host's interface, or the tap in a bridge of the host's */
    bool ours, host;        /* the bridge; the host is on it */
    char repaired[160];
    u32 repairs;
    struct link_monitor monitor;
};

static const char *journal_path(const char *name, const struct uplink_dirs *dirs, char path[static PATH_MAX])
{
    char bridge[IFNAME_MAX];
    ifname_make(IFNAME_BRIDGE, name, bridge);
    snprintf(path, PATH_MAX, "%s/%s.move", dirs->run, bridge);
    return path;
}

static int fail(struct error *error, int err, const char *what, const char *name)
{
    error_set(error, err, "%s %s: %s", what, name, strerror(-err));
    if (err == -EPERM)
        error_hint(error, "CAP_NET_ADMIN is missing: run the switch as root");
    return err;
}

int uplink_restore(const char *name, const struct uplink_dirs *dirs, struct error *error)
{
    char bridge[IFNAME_MAX], path[PATH_MAX];
    struct link_info info, member;
    ifname_make(IFNAME_BRIDGE, name, bridge);
    int err = move_finish(journal_path(name, dirs, path), error);
    if (err || link_get(bridge, &info) || !info.is_bridge)
        return err;
    if (link_member(info.index, &member)) {
        err = link_set_master(member.index, 0);
        if (err)
            return fail(error, err, "cannot take out of its bridge:", member.name);
        err = move_config(path, bridge, member.name, error);
        if (err)
            return err;
    }
    err = link_delete(info.index);
    return err ? fail(error, err, "cannot remove the bridge", bridge) : 0;
}

/* -- What is wrong -- */

/* Bridged packets go through the firewall of forwarded ones if the module br_netfilter is there, as Docker loads it. */
static bool firewall_sees_bridges(void)
{
    char value = '0';
    int fd = open("/proc/sys/net/bridge/bridge-nf-call-iptables", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool read_it = read(fd, &value, 1) == 1;
    close(fd);
    return read_it && value == '1';
}

static void check(struct uplink *up)
{
    struct outside *o = container_of(up, struct outside, up);
    struct firewall_view view = {o->bridge, true, true};
    struct error *problem = &up->problem[PROBLEM_FIREWALL], ignored;
    char nft[PATH_MAX];
    error_begin(problem, 0);
    if (firewall_sees_bridges() && program_locate("nft", "nftables", nft, sizeof(nft), &ignored) == 0)
        firewall_find(nft, &view, problem);
}

static void state(const struct uplink *up, struct uplink_state *state)
{
    const struct outside *o = container_of(up, const struct outside, up);
    *state = (struct uplink_state){.backend = "bridge"};
    memcpy(state->interface, o->tap, sizeof(o->tap));
    memcpy(state->bridge, o->bridge, sizeof(o->bridge));
    memcpy(state->repaired, o->repaired, sizeof(o->repaired));
}

/* -- Start and end -- */

static void free_outside(struct outside *o)
{
    free((char *)o->dirs.run);
    free(o);
}

static void remove_outside(struct uplink *up)
{
    struct outside *o = container_of(up, struct outside, up);
    struct error ignored;
    link_monitor_stop(up->sw, &o->monitor);
    if (up->port)
        tap_remove(up->port);
    if (o->ours && uplink_restore(o->name, &o->dirs, &ignored))
        error_begin(&ignored, 0); /* the next start tries again */
    free_outside(o);
}

static const struct uplink_ops ops = {.state = state, .check = check, .remove = remove_outside};

/* What speaks against taking an interface into a bridge of ours. */
static int refuse(const struct switch_settings *set, const struct link_info *info, struct error *error)
{
    char text[IP_TEXT_MAX];
    struct ip ip;
    u8 length;
    char bridge[IF_NAMESIZE] = "";
    if (info->master) {
        bool ours = if_indextoname((unsigned)info->master, bridge) && ifname_is(IFNAME_BRIDGE, bridge);
        error_set(error, -EBUSY, "%s is in a bridge already: %s%s", info->name, bridge,
                  ours ? ", of another external switch" : "");
        return error_hint(error, ours ? "connect the cards to that switch, perhaps one with another NESTBOX_HOME"
                                      : "name that bridge as " SETTING("interface"));
    }
    if (set->host || !link_address(info->index, &ip, &length))
        return 0;
    ip_format(&ip, text);
    error_set(error, -EADDRINUSE, "the host has the address %s on %s, and would lose it to a switch without the host",
              text, info->name);
    return error_hint(error, "share the interface with " SETTING("host") ", or remove its addresses first");
}

static int make_bridge(struct outside *o, const struct switch_settings *set, const struct link_info *info,
                       struct error *error)
{
    char path[PATH_MAX];
    int err = refuse(set, info, error);
    if (err)
        return err;
    err = link_make_bridge(o->bridge);
    if (err)
        return fail(error, err, "cannot make the bridge", o->bridge);
    o->ours = true;
    int bridge = link_index(o->bridge);
    if (!set->host)
        link_hide(o->bridge);
    err = link_set_mac(bridge, &info->mac); /* as whom the host is known */
    if (!err)
        err = link_up(bridge);
    if (!err)
        err = link_up(info->index);
    if (err)
        return fail(error, err, "cannot set up the bridge", o->bridge);
    err = link_set_master(info->index, bridge);
    if (err) {
        fail(error, err, "cannot put into a bridge:", info->name);
        return err == -EOPNOTSUPP ? error_hint(error, "wireless cards cannot be bridged: use a NAT network") : err;
    }
    return set->host ? move_config(journal_path(o->name, &o->dirs, path), info->name, o->bridge, error) : 0;
}

/* The tap, into the bridge. */
static int join_tap(struct outside *o, struct error *error)
{
    int tap = link_index(o->tap);
    link_hide(o->tap);
    int err = link_set_master(tap, link_index(o->bridge));
    if (!err)
        err = link_up(tap);
    return err ? fail(error, err, "cannot put into the bridge:", o->tap) : 0;
}

/* -- What changes on the host -- */

/* Makes again what is ours: the tap, and our bridge if its interface is there. `what`: what was gone, a clause; NULL if
 * nothing was. */
static int put_back(struct outside *o, const char **what, struct error *error)
{
    const struct switch_settings set = {.host = o->host};
    struct link_info info;
    int err = 0;
    *what = NULL;
    if (o->ours && !link_index(o->bridge) && !link_get(o->member, &info)) {
        *what = "its bridge was deleted";
        err = make_bridge(o, &set, &info, error);
    }
    if (!err && !tap_has(o->up.port, o->tap)) {
        *what = "its interface was deleted";
        err = tap_renew(o->up.port, o->tap, error);
    }
    return err || !*what || !link_index(o->bridge) ? err : join_tap(o, error);
}

static bool is_gone(struct outside *o, struct link_info *bridge, struct link_info *member, struct error *problem)
{
    const char *gone = link_get(o->bridge, bridge) ? o->bridge : link_get(o->member, member) ? o->member : NULL;
    if (!gone)
        return false;
    error_set(problem, -ENODEV, "the host's interface %s is gone", gone);
    error_hint(problem, "the switch takes it again when it comes back");
    return true;
}

static void look_at_links(struct link_monitor *monitor)
{
    struct outside *o = container_of(monitor, struct outside, monitor);
    struct error *problem = &o->up.problem[PROBLEM_INTERFACE], error;
    struct link_info bridge, member;
    const char *what;
    error_begin(problem, 0);
    if (put_back(o, &what, &error)) {
        error_set(problem, error.code, "%s, and cannot be put back: %.150s", what, error.text);
        error_hint(problem, error.hint);
        return;
    }
    if (what) {
        snprintf(o->repaired, sizeof(o->repaired), "repaired: %s (repairs so far: %u)", what, ++o->repairs);
        fprintf(stderr, "repaired: %s\n", what);
    }
    if (is_gone(o, &bridge, &member, problem))
        return;
    int err = member.master == bridge.index ? 0 : link_set_master(member.index, bridge.index);
    if (!err && member.master != bridge.index)
        err = link_up(member.index);
    if (err)
        error_set(problem, err, "%s cannot be put into the bridge %s: %s", o->member, o->bridge, strerror(-err));
}

/* -- Start and end -- */

static int set_up(struct outside *o, const struct switch_settings *set, struct error *error)
{
    struct link_info info;
    int err = link_get(set->interface, &info);
    if (err)
        return err == -ENODEV ? error_set(error, err, "the host has no interface %s", set->interface)
                              : fail(error, err, "cannot look at the interface", set->interface);
    if (info.is_bridge) {
        memcpy(o->bridge, info.name, sizeof(o->bridge));
        memcpy(o->member, o->tap, sizeof(o->member));
    } else {
        ifname_make(IFNAME_BRIDGE, o->name, o->bridge);
        memcpy(o->member, info.name, sizeof(o->member));
        err = make_bridge(o, set, &info, error);
    }
    if (!err)
        err = tap_add(o->up.sw, PORT_OUTSIDE, "outside", o->member, o->tap, &o->up.port, error);
    if (!err)
        err = join_tap(o, error);
    if (!err)
        err = vswitch_port_own(o->up.sw, o->up.port, &(struct own_mac){info.mac, "the host's interface"}, 1, error);
    if (err)
        return err;
    err = link_monitor_start(o->up.sw, &o->monitor, LINK_INTERFACES);
    return err ? fail(error, err, "cannot watch the interface", set->interface) : 0;
}

int bridge_add(struct vswitch *sw, const struct switch_def *def, const struct uplink_dirs *dirs, struct uplink **made,
               struct error *error)
{
    struct outside *o = calloc(1, sizeof(*o));
    char *run = strdup(dirs->run);
    if (!o || !run) {
        free(o);
        free(run);
        return error_set(error, -ENOMEM, "no memory for the switch %s", def->name);
    }
    o->up.sw = sw;
    o->up.ops = &ops;
    o->dirs.run = run;
    o->monitor.changed = look_at_links;
    o->host = def->set.host;
    snprintf(o->name, sizeof(o->name), "%s", def->name);
    ifname_make(IFNAME_EXTERNAL, def->name, o->tap);
    int err = set_up(o, &def->set, error);
    if (err) {
        remove_outside(&o->up);
        return err;
    }
    check(&o->up);
    *made = &o->up;
    return 0;
}
