/*
 * Firewalls that drop forwarded packets: see firewall.h. What a chain does with a packet cannot be computed from
 * outside, so a rule that names our interface and accepts is taken for the user's answer to this very message.
 */
#include "vswitch/firewall.h"

#include "process/program.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool is_dropping(const json_t *chain, const struct firewall_view *view)
{
    const char *family = text_of(chain, "family");
    bool concerns = strcmp(family, "inet") == 0 || (strcmp(family, "ip") == 0 && view->ipv4) ||
                    (strcmp(family, "ip6") == 0 && view->ipv6);
    return concerns && strcmp(text_of(chain, "hook"), "forward") == 0 && strcmp(text_of(chain, "policy"), "drop") == 0;
}

/* A match of the packet's interface, `key` being iifname or oifname, with ours. */
static bool names(const json_t *expression, const char *key, const char *interface)
{
    const json_t *match = json_object_get(expression, "match");
    return strcmp(text_of(json_object_get(json_object_get(match, "left"), "meta"), "key"), key) == 0 &&
           strcmp(text_of(match, "op"), "==") == 0 && strcmp(text_of(match, "right"), interface) == 0;
}

/* Whether a rule of that table accepts what comes from (iifname) or goes to (oifname) the interface. */
static bool accepts(const json_t *all, const json_t *chain, const char *key, const char *interface)
{
    size_t i, j;
    const json_t *item, *expression;
    json_array_foreach (all, i, item) {
        const json_t *rule = json_object_get(item, "rule");
        bool named = false, accepted = false;
        if (!rule || strcmp(text_of(rule, "table"), text_of(chain, "table")) != 0 ||
            strcmp(text_of(rule, "family"), text_of(chain, "family")) != 0)
            continue;
        json_array_foreach (json_object_get(rule, "expr"), j, expression) {
            named |= names(expression, key, interface);
            accepted |= json_object_get(expression, "accept") != NULL;
        }
        if (named && accepted)
            return true;
    }
    return false;
}

/* Docker's own chain for rules of users exists beside its chain that drops. */
static bool has_docker(const json_t *all)
{
    size_t i;
    const json_t *item;
    json_array_foreach (all, i, item)
        if (strcmp(text_of(json_object_get(item, "chain"), "name"), "DOCKER-USER") == 0)
            return true;
    return false;
}

static int complain(const json_t *all, const json_t *chain, const char *interface, struct error *error)
{
    char hint[128];
    const char *family = text_of(chain, "family"), *table = text_of(chain, "table"), *name = text_of(chain, "name");
    bool iptables = strcmp(table, "filter") == 0 && strcmp(name, "FORWARD") == 0;
    bool docker = iptables && has_docker(all);
    error_set(error, -EPERM,
              "the host's firewall drops what is forwarded: the policy of chain %s in table %s %s is drop%s", name,
              family, table, docker ? " (Docker's)" : "");
    if (iptables)
        snprintf(hint, sizeof(hint), "for d in i o; do %s -I %s -$d %s -j ACCEPT; done",
                 strcmp(family, "ip6") == 0 ? "ip6tables" : "iptables", docker ? "DOCKER-USER" : "FORWARD", interface);
    else
        snprintf(hint, sizeof(hint), "for d in i o; do nft insert rule %s %s %s ${d}ifname %s accept; done", family,
                 table, name, interface);
    return error_hint(error, hint);
}

int firewall_in(const char *ruleset, const struct firewall_view *view, struct error *error)
{
    json_error_t why;
    json_t *root = json_loads(ruleset, 0, &why);
    const json_t *all = json_object_get(root, "nftables"), *item;
    size_t i;
    error_begin(error, 0);
    json_array_foreach (all, i, item) {
        const json_t *chain = json_object_get(item, "chain");
        if (chain && is_dropping(chain, view) &&
            !(accepts(all, chain, "iifname", view->interface) && accepts(all, chain, "oifname", view->interface))) {
            complain(all, chain, view->interface, error);
            break;
        }
    }
    json_decref(root);
    return error->code;
}

/* iptables of the old kind, whose rules nftables does not list. */
static int find_legacy(const char *interface, struct error *error)
{
    char program[64], tables[256] = "", accept[64], *rules;
    struct error ignored;
    FILE *f = fopen("/proc/net/ip_tables_names", "re");
    size_t n = f ? fread(tables, 1, sizeof(tables) - 1, f) : 0;
    if (f)
        fclose(f);
    tables[n] = 0;
    if (!strstr(tables, "filter") ||
        program_locate("iptables-legacy", "iptables", program, sizeof(program), &ignored) ||
        program_run((const char *const[]){program, "-w", "1", "-S", NULL}, NULL, &rules, &ignored))
        return 0;
    snprintf(accept, sizeof(accept), "-i %s -j ACCEPT", interface);
    bool drops = strstr(rules, "-P FORWARD DROP") && !strstr(rules, accept);
    bool docker = strstr(rules, "-N DOCKER-USER");
    free(rules);
    if (!drops)
        return 0;
    error_set(error, -EPERM, "the host's firewall drops what is forwarded: the policy of FORWARD in iptables is DROP%s",
              docker ? " (Docker's)" : "");
    snprintf(program, sizeof(program), "%s", docker ? "DOCKER-USER" : "FORWARD");
    char hint[128];
    snprintf(hint, sizeof(hint), "for d in i o; do iptables-legacy -I %s -$d %s -j ACCEPT; done", program, interface);
    return error_hint(error, hint);
}

int firewall_find(const char *nft, const struct firewall_view *view, struct error *error)
{
    struct error ignored;
    char *ruleset;
    error_begin(error, 0);
    if (program_run((const char *const[]){nft, "-j", "list", "ruleset", NULL}, NULL, &ruleset, &ignored) == 0) {
        firewall_in(ruleset, view, error);
        free(ruleset);
    }
    return error->code ? error->code : view->ipv4 ? find_legacy(view->interface, error) : 0;
}
