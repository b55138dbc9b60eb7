/*
 * The table of a NAT network: see nat_rules.h. In words:
 *
 *   prerouting, raw   packets of guests to the host's loopback are dropped (mappings open that way for the host itself)
 *   prerouting, nat   connections to a mapped port of the host go to the guest, from wherever they come
 *   output, nat       the same for connections of the host itself
 *   postrouting, nat  what leaves the network has the host's address; what a guest or the host sends to a mapped port
 *                     has the gateway's, so that the answer comes back the same way
 *   forward           out of the network goes only what has an address of its own; into it only what belongs to a
 *                     connection from it, or to a mapped port
 */
#include "vswitch/nat_rules.h"

#include <jansson.h>
#include <stdlib.h>

struct table {
    json_t *commands;
    const char *name;
};

/* -- Expressions -- */

static json_t *compare(const char *op, json_t *left, json_t *right)
{
    return json_pack("{s:{s:s, s:o, s:o}}", "match", "op", op, "left", left, "right", right);
}

static json_t *equals(json_t *left, json_t *right)
{
    return compare("==", left, right);
}

static json_t *meta(const char *key, const char *op, const char *value)
{
    return compare(op, json_pack("{s:{s:s}}", "meta", "key", key), json_string(value));
}

static json_t *field(const char *protocol, const char *name)
{
    return json_pack("{s:{s:s, s:s}}", "payload", "protocol", protocol, "field", name);
}

static const char *family_of(const struct ip *ip)
{
    return ip->version == 6 ? "ip6" : "ip";
}

static json_t *prefix_json(const struct prefix *prefix)
{
    char text[IP_TEXT_MAX];
    ip_format(&prefix->address, text);
    return json_pack("{s:{s:s, s:i}}", "prefix", "addr", text, "len", prefix->length);
}

static json_t *connection(const char *key, const char *value)
{
    return compare("in", json_pack("{s:{s:s}}", "ct", "key", key), json_string(value));
}

static json_t *verdict(const char *name)
{
    return json_pack("{s:n}", name);
}

/* -- Commands -- */

static void command(struct table *t, const char *verb, const char *thing, json_t *what)
{
    json_array_append_new(t->commands, json_pack("{s:{s:o}}", verb, thing, what));
}

static void table(struct table *t, const char *verb)
{
    command(t, verb, "table", json_pack("{s:s, s:s}", "family", "inet", "name", t->name));
}

static void chain(struct table *t, const char *name, const char *type, const char *hook, int priority)
{
    command(t, "add", "chain",
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "family", "inet", "table", t->name, "name", name, "type",
                      type, "hook", hook, "prio", priority, "policy", "accept"));
}

/* `expressions` is an array that the rule takes. */
static void rule(struct table *t, const char *in, json_t *expressions)
{
    command(t, "add", "rule",
            json_pack("{s:s, s:s, s:s, s:o}", "family", "inet", "table", t->name, "chain", in, "expr", expressions));
}

static bool is_any(const struct ip *ip)
{
    for (u32 i = 0; i < sizeof(ip->byte); i++)
        if (ip->byte[i])
            return false;
    return true;
}

static void map_in(struct table *t, const char *chain_name, const struct nat_rule *r)
{
    char to[IP_TEXT_MAX], at[IP_TEXT_MAX];
    const char *family = family_of(&r->internal.address);
    ip_format(&r->internal.address, to);
    ip_format(&r->external.address, at);
    json_t *here =
        is_any(&r->external.address)
            ? equals(json_pack("{s:{s:s, s:[s]}}", "fib", "result", "type", "flags", "daddr"), json_string("local"))
            : equals(field(family, "daddr"), json_string(at));
    rule(t, chain_name,
         json_pack("[o, o, o, {s:{s:s, s:s, s:i}}]",
                   meta("nfproto", "==", r->internal.address.version == 6 ? "ipv6" : "ipv4"), here,
                   equals(field(r->mapping.udp ? "udp" : "tcp", "dport"), json_integer(r->external.port)), "dnat",
                   "family", family, "addr", to, "port", r->internal.port));
}

static void leave(struct table *t, const struct prefix *prefix)
{
    if (prefix->address.version)
        rule(t, "leave",
             json_pack("[o, o, o]", equals(field(family_of(&prefix->address), "saddr"), prefix_json(prefix)),
                       meta("oifname", "!=", t->name), verdict("masquerade")));
}

static void loopback(struct table *t)
{
    static const struct prefix hosts_own = {{4, {127}}, 8};
    rule(t, "guard",
         json_pack("[o, o, o]", meta("iifname", "==", t->name), equals(field("ip", "daddr"), prefix_json(&hosts_own)),
                   verdict("drop")));
    rule(t, "leave",
         json_pack("[o, o, o]", meta("oifname", "==", t->name), equals(field("ip", "saddr"), prefix_json(&hosts_own)),
                   verdict("masquerade")));
}

/* Out of the network goes only what has an address of its own. */
static void own_addresses(struct table *t, const struct prefix *prefix, bool ipv6)
{
    json_t *strange = prefix->address.version ? compare("!=", field(ipv6 ? "ip6" : "ip", "saddr"), prefix_json(prefix))
                                              : meta("nfproto", "==", ipv6 ? "ipv6" : "ipv4");
    rule(t, "forward", json_pack("[o, o, o]", meta("iifname", "==", t->name), strange, verdict("drop")));
}

static void forward(struct table *t, const struct nat *nat)
{
    own_addresses(t, &nat->prefix, false);
    own_addresses(t, &nat->prefix6, true);
    json_t *known =
        compare("in", json_pack("{s:{s:s}}", "ct", "key", "state"), json_pack("[s, s]", "established", "related"));
    rule(t, "forward", json_pack("[o, o, o]", meta("oifname", "==", t->name), known, verdict("accept")));
    rule(t, "forward",
         json_pack("[o, o, o]", meta("oifname", "==", t->name), connection("status", "dnat"), verdict("accept")));
    rule(t, "forward", json_pack("[o, o]", meta("oifname", "==", t->name), verdict("drop")));
}

static void fill(struct table *t, const struct nat *nat)
{
    chain(t, "guard", "filter", "prerouting", -300);
    chain(t, "enter", "nat", "prerouting", -100);
    chain(t, "host", "nat", "output", -100);
    chain(t, "leave", "nat", "postrouting", 100);
    chain(t, "forward", "filter", "forward", 0);
    leave(t, &nat->prefix);
    leave(t, &nat->prefix6);
    loopback(t);
    /* A guest that comes back in by a mapped port of the host. */
    rule(t, "leave",
         json_pack("[o, o, o, o]", meta("iifname", "==", t->name), meta("oifname", "==", t->name),
                   connection("status", "dnat"), verdict("masquerade")));
    forward(t, nat);
    for (u32 i = 0; i < nat->rules; i++)
        if (!nat->rule[i].why.code) {
            map_in(t, "enter", &nat->rule[i]);
            map_in(t, "host", &nat->rule[i]);
        }
}

char *nat_rules(const struct nat *nat, const char *name)
{
    struct table t = {json_array(), name};
    table(&t, "add"); /* so that it can be deleted */
    table(&t, "delete");
    if (nat) {
        table(&t, "add");
        fill(&t, nat);
    }
    json_t *root = json_pack("{s:o}", "nftables", t.commands);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}
