/*
 * What a switch is and does, as JSON: the answer to "show". docs/network.md has its keys.
 */
#include "vswitch/process.h"
#include "vswitch/remedy.h"
#include "vswitch/stranger.h"

#include "store/network_json.h"

#include <string.h>
#include <unistd.h>

/* Adds a value to an object, or gives it up; a report with a gap is better than none. */
static void set(json_t *object, const char *key, json_t *value)
{
    (void)!json_object_set_new(object, key, value);
}

static void add(json_t *array, json_t *value)
{
    (void)!json_array_append_new(array, value);
}

static json_t *mac_json(const struct mac *mac)
{
    char text[MAC_TEXT_MAX];
    mac_format(mac, text);
    return json_string(text);
}

static json_t *ip_json(const struct ip *ip)
{
    char text[IP_TEXT_MAX];
    if (!ip->version)
        return json_null();
    ip_format(ip, text);
    return json_string(text);
}

static json_t *number(u64 value)
{
    return json_integer((json_int_t)value);
}

/* -- ports -- */

/* The command that lets such frames of a port pass; null where there is none, or none were dropped since. */
static json_t *remedy_json(const struct port *port, enum drop drop)
{
    char line[REMEDY_MAX];
    bool over = drop == DROP_VLAN && port->count.dropped[drop] == port->vlan_drops_before;
    return !over && remedy(port, drop, line, sizeof(line)) ? json_string(line) : json_null();
}

static json_t *strangers_json(const struct port *port, u64 now)
{
    json_t *array = json_array();
    u32 known = port->strangers < STRANGERS ? port->strangers : STRANGERS;
    for (u32 i = 0; i < known; i++) {
        const struct stranger *s = &port->stranger[i];
        add(array,
            json_pack("{s:o, s:o, s:o, s:b}", "mac", mac_json(&s->mac), "frames", number(s->frames), "seconds_ago",
                      number((now - s->last_ns) / 1000000000), "former", stranger_is_former(port, &s->mac)));
    }
    return array;
}

static json_t *leases_of(const struct process *p, const struct mac *mac)
{
    json_t *array = json_array();
    struct lease lease;
    for (u32 at = 0; p->nat && uplink_lease(p->nat, &at, &lease);)
        if (memcmp(&lease.mac, mac, sizeof(*mac)) == 0)
            add(array, ip_json(&lease.address));
    return array;
}

static void card_report(const struct process *p, const struct port *port, json_t *object)
{
    const struct card_def *def = definitions_card_by_id(&p->defined, port->id);
    set(object, "vm", json_string(port->vm));
    set(object, "name", json_string(port->name));
    set(object, "mac", mac_json(&port->mac));
    set(object, "settings", def ? card_settings_json(def) : json_null());
    set(object, "addresses", leases_of(p, &port->mac));
}

static json_t *port_json(const struct process *p, const struct port *port)
{
    const struct port_counters *c = &port->count;
    json_t *object = json_object(), *dropped = json_object(), *drops = json_array();
    set(object, "id", json_string(port->id));
    set(object, "kind", json_string(port_kinds[port->kind]));
    if (port->kind == PORT_CARD)
        card_report(p, port, object);
    set(object, "linked", json_boolean(port->linked));
    set(object, "frames_in", number(c->frames_in));
    set(object, "bytes_in", number(c->bytes_in));
    set(object, "frames_out", number(c->frames_out));
    set(object, "bytes_out", number(c->bytes_out));
    for (unsigned i = DROP_NONE + 1; i < DROPS; i++) {
        if (!c->dropped[i])
            continue;
        set(dropped, drop_rows[i].name, number(c->dropped[i]));
        add(drops, json_pack("{s:s, s:s, s:o}", "reason", drop_rows[i].name, "meaning", drop_rows[i].meaning, "remedy",
                             remedy_json(port, i)));
    }
    set(object, "dropped", dropped);
    set(object, "drops", drops);
    set(object, "strangers", strangers_json(port, vswitch_now(p->sw)));
    set(object, "strangers_seen", number(port->strangers));
    return object;
}

/* -- ports to NAT and to the host -- */

static json_t *mappings_json(const struct uplink *up)
{
    json_t *array = json_array();
    struct nat_mapping m;
    struct error why;
    for (u32 i = 0; uplink_mapping(up, i, &m, &why); i++)
        add(array, json_pack("{s:s, s:s, s:s, s:o}", "protocol", m.udp ? "udp" : "tcp", "external", m.external,
                             "internal", m.internal, "error", why.code ? control_error_json(&why) : json_null()));
    return array;
}

static json_t *leases_json(const struct uplink *up)
{
    json_t *array = json_array();
    struct lease lease;
    for (u32 at = 0; uplink_lease(up, &at, &lease);)
        add(array, json_pack("{s:o, s:o, s:s, s:o, s:s?, s:b}", "mac", mac_json(&lease.mac), "address",
                             ip_json(&lease.address), "name", lease.name, "until", number((u64)lease.until), "port",
                             lease.port[0] ? lease.port : NULL, "used", lease.used));
    return array;
}

static json_t *uplink_json(const struct uplink *up, struct uplink_state *s)
{
    json_t *object = json_object();
    *s = (struct uplink_state){0};
    uplink_state(up, s);
    set(object, "backend", json_string(s->backend));
    set(object, "reason", s->reason[0] ? json_string(s->reason) : json_null());
    set(object, "interface", s->interface[0] ? json_string(s->interface) : json_null());
    set(object, "bridge", s->bridge[0] ? json_string(s->bridge) : json_null());
    return object;
}

static json_t *nat_json(const struct process *p)
{
    struct uplink_state s;
    json_t *object = uplink_json(p->nat, &s);
    set(object, "name", json_string(p->defined.nat->name));
    set(object, "gateway", ip_json(&s.gateway));
    set(object, "dns", ip_json(&s.dns));
    set(object, "gateway6", ip_json(&s.gateway6));
    set(object, "dns6", ip_json(&s.dns6));
    set(object, "dhcp", json_boolean(s.dhcp));
    set(object, "addresses", number(s.addresses));
    set(object, "connections", number(s.sockets));
    set(object, "leases", leases_json(p->nat));
    set(object, "mappings", mappings_json(p->nat));
    return object;
}

static void add_problems(json_t *problems, json_t *notes, struct uplink *up)
{
    struct uplink_state state;
    struct error problem;
    if (!up)
        return;
    for (u32 i = 0; uplink_problem(up, i, &problem); i++)
        add(problems, control_error_json(&problem));
    uplink_state(up, &state);
    if (state.note[0])
        add(notes, json_string(state.note));
    if (state.repaired[0])
        add(notes, json_string(state.repaired));
}

/* A mapping that the start could not put in force; of one that a change could not, `problem` has it already. */
static void add_mappings(json_t *problems, const struct process *p)
{
    struct nat_mapping mapping;
    struct error why;
    for (u32 i = 0; p->nat && uplink_mapping(p->nat, i, &mapping, &why); i++)
        if (why.code && (!p->problem.code || strcmp(why.text, p->problem.text) != 0))
            add(problems, control_error_json(&why));
}

/* What was taken from the process. */
static json_t *confined_json(const struct process *p)
{
    json_t *array = json_array();
    for (u32 i = 0; i < CONFINE_PARTS; i++)
        if (p->confined.taken[i])
            add(array, json_string(confine_names[i]));
    return array;
}

/* Something that kills the process, as the host does when it runs out of memory, should be known. */
static void add_restarts(const struct process *p, json_t *notes)
{
    const struct process_start *s = &p->start;
    if (s->restarts)
        add(notes, json_sprintf("its process was ended by signal %d (%s) and started again; that happened %u time%s",
                                s->signal, strsignal(s->signal), s->restarts, s->restarts == 1 ? "" : "s"));
}

int process_report(struct process *p, json_t *reply, struct error *error)
{
    const struct switch_def *own = p->defined.own;
    struct uplink_state host;
    json_t *ports = json_array(), *problems = json_array(), *notes = json_array();
    set(reply, "switch",
        json_pack("{s:s, s:o, s:i, s:o}", "name", own->name, "settings", setting_json(switch_settings_table, &own->set),
                  "pid", (int)getpid(), "confined", confined_json(p)));
    set(reply, "uplink", p->host ? uplink_json(p->host, &host) : json_null());
    set(reply, "nat", p->nat && p->defined.nat ? nat_json(p) : json_null());
    for (const struct port *port = NULL; (port = vswitch_port_next(p->sw, (struct port *)(uintptr_t)port));)
        add(ports, port_json(p, port));
    set(reply, "ports", ports);
    add_restarts(p, notes);
    for (u32 i = 0; i < CONFINE_PARTS; i++)
        if (p->confined.note[i][0])
            add(notes, json_string(p->confined.note[i]));
    if (p->problem.code)
        add(problems, control_error_json(&p->problem));
    add_problems(problems, notes, p->host);
    add_problems(problems, notes, p->nat);
    add_mappings(problems, p);
    set(reply, "problems", problems);
    set(reply, "notes", notes);
    return json_object_get(reply, "ports") ? 0 : error_memory(error);
}
