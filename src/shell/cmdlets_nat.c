/*
 * NAT networks, and the addresses of the host's ports at switches.
 */
#include "manager/join.h"
#include "manager/nat.h"
#include "manager/switch.h"
#include "shell/adapter.h"
#include "shell/model.h"
#include "shell/networks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* clang-format off */
static const struct property_row nat_rows[] = {
    {"Name", PROPERTY_VALUE, "name"},
    {"ExternalIPInterfaceAddressPrefix", PROPERTY_NOTHING},
    {"InternalIPInterfaceAddressPrefix", PROPERTY_VALUE, "prefix"},
    {"InternalIPv6Prefix", PROPERTY_VALUE, "prefix6"},
    {"SwitchName", PROPERTY_VALUE, "switch"},
    {"Backend", PROPERTY_VALUE, "backend"},
    {"DhcpEnabled", PROPERTY_TRUE, "dhcp"},
    {"DnsEnabled", PROPERTY_TRUE, "dns"},
    {"Store", PROPERTY_CONSTANT, .words = "Local"},
    {"Active", PROPERTY_VALUE, "running"},
    {0},
};
/* clang-format on */

static enum flow nats(struct call *call, json_t **list)
{
    struct error error;
    enum flow flow;
    struct store *store = model_store(call, &flow);
    *list = NULL;
    if (store && nat_list(store, list, &error)) {
        *list = NULL;
        flow = call_manager_error(call, &error, NULL);
    }
    return flow;
}

static struct value *nat_object(struct heap *heap, const json_t *json)
{
    struct value *v = model_object(heap, "MSFT_NetNat", nat_rows, json);
    object_set(v, "SwitchName", value_text(heap, model_text(json, "switch")));
    return v;
}

static enum flow get(struct call *call)
{
    struct value *found = value_array(&call->shell->heap);
    json_t *list, *one;
    size_t index;
    enum flow flow = nats(call, &list);
    json_array_foreach (list, index, one)
        if (model_wanted(call, "Name", model_text(one, "name")))
            array_add(found, nat_object(&call->shell->heap, one));
    json_decref(list);
    if (flow == FLOW_NEXT)
        flow = sink_put_each(call->out, found);
    return flow == FLOW_NEXT && !call->failed ? model_missing(call, "Name", "NAT network", found, "Name", "Get-NetNat")
                                              : flow;
}

static enum flow put_nat(struct call *call, const char *name)
{
    json_t *list, *one;
    size_t index;
    enum flow flow = nats(call, &list);
    json_array_foreach (list, index, one)
        if (flow == FLOW_NEXT && text_same(model_text(one, "name"), name))
            flow = call_put(call, nat_object(&call->shell->heap, one));
    json_decref(list);
    return flow;
}

static enum flow create(struct call *call)
{
    const char *name = call_text(call, "Name"), *prefix = call_text(call, "InternalIPInterfaceAddressPrefix");
    struct nat_def nat = {0};
    struct error error;
    char internal[NAME_MAX_LEN + 1], address[80];
    enum flow flow;
    bool go;
    struct store *store = model_store(call, &flow);
    if (!store)
        return flow;
    flow = call_should(call, name, &go);
    if (flow != FLOW_NEXT || !go)
        return flow;
    setting_defaults(nat_settings_table, &nat.set);
    int e = name_check("a NAT network", name, &error);
    if (!e)
        e = model_apply(call, nat_settings_table, &nat.set, &error);
    if (e)
        return call_manager_error(call, &error, name);
    strcpy(nat.name, name);
    /* An internal switch that has an address there already becomes the network's. */
    bool waits = switch_having(store, prefix, internal, sizeof(internal), address, sizeof(address));
    e = waits ? nat_adopt(store, internal, address, &nat, &error) : nat_create(store, &nat, &error);
    return e ? call_manager_error(call, &error, name) : put_nat(call, name);
}

static enum flow set(struct call *call)
{
    struct model_change change;
    struct error error;
    enum flow flow;
    bool go;
    struct store *store = model_store(call, &flow);
    model_change(&change, call, nat_settings_table);
    for (size_t i = 0; store && i < call_count(call, "Name") && flow == FLOW_NEXT; i++) {
        const char *name = call_at(call, "Name", i);
        flow = call_should(call, name, &go);
        if (flow == FLOW_NEXT && go && nat_set(store, name, &change.change, &error))
            flow = call_manager_error(call, &error, name);
    }
    return flow;
}

static enum flow remove_nats(struct call *call)
{
    struct error error;
    enum flow flow;
    json_t *list, *one;
    size_t index;
    bool go;
    struct store *store = model_store(call, &flow);
    if (!store)
        return flow;
    flow = nats(call, &list);
    json_array_foreach (list, index, one) {
        const char *name = model_text(one, "name");
        if (flow != FLOW_NEXT || !model_wanted(call, "Name", name))
            continue;
        flow = call_should(call, name, &go);
        if (flow == FLOW_NEXT && go && nat_delete(store, name, false, &error))
            flow = call_manager_error(call, &error, name);
    }
    json_decref(list);
    return flow;
}

/* -- mappings -- */

static struct value *mapping_object(struct heap *heap, const char *nat, const json_t *mapping, size_t id)
{
    struct value *v = value_object(heap, "MSFT_NetNatStaticMapping");
    char external[80], internal[80];
    snprintf(external, sizeof(external), "%s", model_text(mapping, "external"));
    snprintf(internal, sizeof(internal), "%s", model_text(mapping, "internal"));
    char *out = strrchr(external, ':'), *in = strrchr(internal, ':');
    object_set(v, "StaticMappingID", value_number(heap, (s64)id));
    object_set(v, "NatName", value_text(heap, nat));
    object_set(v, "Protocol", value_text(heap, text_same(model_text(mapping, "protocol"), "udp") ? "UDP" : "TCP"));
    object_set(v, "ExternalIPAddress", value_text_n(heap, external, out ? (size_t)(out - external) : 0));
    object_set(v, "ExternalPort", value_number(heap, out ? atol(out + 1) : 0));
    object_set(v, "InternalIPAddress", value_text_n(heap, internal, in ? (size_t)(in - internal) : 0));
    object_set(v, "InternalPort", value_number(heap, in ? atol(in + 1) : 0));
    return v;
}

static enum flow mappings(struct call *call, struct value **all)
{
    json_t *list, *one, *mapping;
    size_t i, j;
    *all = value_array(&call->shell->heap);
    enum flow flow = nats(call, &list);
    json_array_foreach (list, i, one)
        json_array_foreach (json_object_get(one, "mappings"), j, mapping)
            if (model_wanted(call, "NatName", model_text(one, "name")))
                array_add(*all, mapping_object(&call->shell->heap, model_text(one, "name"), mapping, j));
    json_decref(list);
    return flow;
}

static enum flow get_mappings(struct call *call)
{
    struct value *all;
    enum flow flow = mappings(call, &all);
    return flow == FLOW_NEXT ? sink_put_each(call->out, all) : flow;
}

static void put_end(const char *address, s64 port, char *text, size_t size)
{
    bool six = strchr(address, ':') && address[0] != '[';
    snprintf(text, size, "%s%s%s:%lld", six ? "[" : "", address, six ? "]" : "", (long long)port);
}

static enum flow add_mapping(struct call *call)
{
    const char *nat = call_text(call, "NatName"), *outside = call_text(call, "ExternalIPAddress");
    const char *inside = call_text(call, "InternalIPAddress"), *protocol = call_text(call, "Protocol");
    char external[100], internal[100];
    struct nat_mapping mapping;
    struct error error;
    struct value *all;
    s64 outer = 0, inner;
    enum flow flow;
    bool go;
    struct store *store = model_store(call, &flow);
    if (!store)
        return flow;
    flow = call_should(call, nat, &go);
    if (flow != FLOW_NEXT || !go)
        return flow;
    call_number(call, "ExternalPort", &outer);
    if (!call_number(call, "InternalPort", &inner))
        inner = outer;
    outside = outside && strchr(outside, '/') ? "0.0.0.0" : outside; /* "0.0.0.0/0" is written for any address */
    put_end(outside ? outside : "0.0.0.0", outer, external, sizeof(external));
    put_end(inside, inner, internal, sizeof(internal));
    if (nat_map(store, nat, text_same(protocol, "UDP"), external, internal, &mapping, &error))
        return call_manager_error(call, &error, nat);
    flow = mappings(call, &all);
    for (size_t i = 0; i < all->array.count && flow == FLOW_NEXT; i++) {
        s64 port = object_get(all->array.item[i], "ExternalPort")->number;
        if (port == outer && text_same(object_get(all->array.item[i], "Protocol")->text, protocol))
            flow = call_put(call, all->array.item[i]);
    }
    return flow;
}

static enum flow remove_mapping(struct call *call)
{
    struct value *all, *given = call_argument(call, "InputObject");
    struct error error;
    enum flow flow;
    bool go;
    struct store *store = model_store(call, &flow);
    if (!store)
        return flow;
    flow = mappings(call, &all);
    for (size_t i = 0; i < all->array.count && flow == FLOW_NEXT; i++) {
        const struct value *one = all->array.item[i];
        s64 id = object_get(one, "StaticMappingID")->number, wanted = -1;
        const char *nat = object_get(one, "NatName")->text;
        char external[100];
        bool same = given && text_same(object_get(given, "NatName")->text, nat) &&
                    object_get(given, "ExternalPort")->number == object_get(one, "ExternalPort")->number &&
                    text_same(object_get(given, "Protocol")->text, object_get(one, "Protocol")->text);
        if (given ? !same : call_number(call, "StaticMappingID", &wanted) && wanted != id)
            continue;
        put_end(object_get(one, "ExternalIPAddress")->text, object_get(one, "ExternalPort")->number, external,
                sizeof(external));
        flow = call_should(call, external, &go);
        if (flow == FLOW_NEXT && go &&
            nat_unmap(store, nat, text_same(object_get(one, "Protocol")->text, "UDP"), external, &error))
            flow = call_manager_error(call, &error, nat);
    }
    return flow;
}

/* -- addresses -- */

static struct value *address_object(struct heap *heap, const char *address, const char *alias, s64 length)
{
    struct value *v = value_object(heap, "NetIPAddress");
    object_set(v, "IPAddress", value_text(heap, address));
    object_set(v, "InterfaceAlias", value_text(heap, alias));
    object_set(v, "AddressFamily", value_text(heap, strchr(address, ':') ? "IPv6" : "IPv4"));
    object_set(v, "PrefixLength", value_number(heap, length));
    object_set(v, "Type", value_text(heap, "Unicast"));
    object_set(v, "PolicyStore", value_text(heap, "PersistentStore"));
    return v;
}

static const char *alias_of(const struct value *adapters, const char *interface)
{
    for (size_t i = 0; i < adapters->array.count; i++)
        if (strcmp(object_get(adapters->array.item[i], "ifName")->text, interface) == 0)
            return object_get(adapters->array.item[i], "Name")->text;
    return interface;
}

static enum flow get_addresses(struct call *call)
{
    struct heap *heap = &call->shell->heap;
    const char *family = call_text(call, "AddressFamily");
    struct value *adapters;
    struct ifaddrs *list = NULL;
    enum flow flow = adapters_get(call, &adapters);
    if (flow == FLOW_NEXT && getifaddrs(&list))
        return call_error(call, RESOURCE_UNAVAILABLE, "OperationFailed", NULL, "the host lists no addresses: %m");
    for (struct ifaddrs *a = list; a && flow == FLOW_NEXT; a = a->ifa_next) {
        char text[INET6_ADDRSTRLEN];
        if (!a->ifa_addr || (a->ifa_addr->sa_family != AF_INET && a->ifa_addr->sa_family != AF_INET6))
            continue;
        bool six = a->ifa_addr->sa_family == AF_INET6;
        const void *bytes = six ? (const void *)&((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr
                                : (const void *)&((struct sockaddr_in *)a->ifa_addr)->sin_addr;
        const u8 *mask = !a->ifa_netmask ? NULL
                         : six           ? (const u8 *)&((struct sockaddr_in6 *)a->ifa_netmask)->sin6_addr
                                         : (const u8 *)&((struct sockaddr_in *)a->ifa_netmask)->sin_addr;
        s64 length = 0;
        for (unsigned i = 0; mask && i < (six ? 16u : 4u); i++)
            length += __builtin_popcount(mask[i]);
        const char *alias = alias_of(adapters, a->ifa_name);
        inet_ntop(a->ifa_addr->sa_family, bytes, text, sizeof(text));
        if (model_wanted(call, "InterfaceAlias", alias) && model_wanted(call, "IPAddress", text) &&
            (!family || text_same(family, six ? "IPv6" : "IPv4")))
            flow = call_put(call, address_object(heap, text, alias, length));
    }
    freeifaddrs(list);
    return flow;
}

/* The parts of New-NetIPAddress. */
struct wanted_address {
    const char *address, *alias, *gateway;
    s64 length;
    char with_length[80];
};

struct address_change {
    struct change change;
    const char *address;
};

static int set_switch_address(const struct change *change, void *settings, struct error *error)
{
    struct switch_settings *set = settings;
    set->address = container_of(change, struct address_change, change)->address;
    return 0;
}

/* At a switch that has a NAT network: its gateway is there already, and other addresses of it are for VMs. */
static enum flow address_at_nat(struct call *call, const struct wanted_address *w, const char *switch_name,
                                const char *nat)
{
    char own[NAME_MAX_LEN + 1];
    if (!nat_having(call->shell->store, w->address, own, sizeof(own)) || !text_same(own, nat))
        return call_error(call, INVALID_ARGUMENT, "InvalidParameter", w->address,
                          "%s is not in NAT network %s at switch %s", w->address, nat, switch_name);
    if (nat_has_gateway(call->shell->store, nat, w->address))
        return call_error(call, RESOURCE_EXISTS, "ResourceExists", w->alias, "%s has the address %s already", w->alias,
                          w->address);
    if (w->gateway)
        call_warn(
            call,
            "%s is for a VM at switch %s, where this is set within the VM, or comes by DHCP with gateway %s; this "
            "host gets no second address and no route to itself",
            w->address, switch_name, w->gateway);
    else
        call_warn(call, "switch %s has its host address, the gateway of NAT network %s; %s is for a VM", switch_name,
                  nat, w->address);
    return call_put(call, address_object(&call->shell->heap, w->address, w->alias, w->length));
}

static enum flow address_at_switch(struct call *call, const struct wanted_address *w, const struct value *s)
{
    const char *name = object_get(s, "Name")->text;
    const struct value *nat = object_get(s, "NatName"), *old = object_get(s, "HostAddress");
    struct store *store = call->shell->store;
    char network[NAME_MAX_LEN + 1];
    struct error error;
    int e;
    if (nat->kind == VALUE_TEXT)
        return address_at_nat(call, w, name, nat->text);
    if (old->kind == VALUE_TEXT && old->length)
        return call_error(call, RESOURCE_EXISTS, "ResourceExists", w->alias,
                          "%s has the address %s already, and has one only", w->alias, old->text);
    if (nat_having(store, w->address, network, sizeof(network))) {
        e = nat_join(store, name, network, w->with_length, &error);
    } else {
        const struct address_change change = {{set_switch_address}, w->with_length};
        e = switch_set(store, name, &change.change, &error);
    }
    if (e)
        return call_manager_error(call, &error, w->alias);
    if (w->gateway)
        call_warn(call, "the gateway %s is not set: it would be the default route of this host", w->gateway);
    return call_put(call, address_object(&call->shell->heap, w->address, w->alias, w->length));
}

static const struct value *switch_of_adapter(struct call *call, const char *alias, enum flow *flow)
{
    struct value *all;
    char name[100];
    if (!adapter_switch(alias, name, sizeof(name)))
        return NULL;
    *flow = switches_get(call, &all);
    for (size_t i = 0; i < all->array.count; i++)
        if (text_same(object_get(all->array.item[i], "Name")->text, name))
            return all->array.item[i];
    return NULL;
}

static enum flow new_address(struct call *call)
{
    struct wanted_address w = {call_text(call, "IPAddress"), call_text(call, "InterfaceAlias"),
                               call_text(call, "DefaultGateway"), 0, ""};
    const char *family = call_text(call, "AddressFamily");
    struct in6_addr bytes;
    bool go, six = inet_pton(AF_INET6, w.address, &bytes) == 1;
    enum flow flow;
    if (!six && inet_pton(AF_INET, w.address, &bytes) != 1)
        return call_error(call, INVALID_ARGUMENT, "InvalidParameter", w.address, "'%s' is no address", w.address);
    if (family && text_same(family, "IPv6") != six)
        return call_error(call, INVALID_ARGUMENT, "InvalidParameter", w.address, "%s is not of the family %s",
                          w.address, family);
    if (!call_number(call, "PrefixLength", &w.length))
        w.length = six ? 64 : 24;
    if (w.length > (six ? 128 : 32))
        return call_error(call, INVALID_ARGUMENT, "InvalidParameter", w.address,
                          "-PrefixLength: %lld is too long for %s", (long long)w.length, w.address);
    snprintf(w.with_length, sizeof(w.with_length), "%s/%lld", w.address, (long long)w.length);
    if (!model_store(call, &flow))
        return flow;
    flow = call_should(call, w.alias, &go);
    if (flow != FLOW_NEXT || !go)
        return flow;
    const struct value *s = switch_of_adapter(call, w.alias, &flow);
    if (flow != FLOW_NEXT)
        return flow;
    if (s)
        return address_at_switch(call, &w, s);
    return call_error(
        call, OBJECT_NOT_FOUND, "ObjectNotFound", w.alias,
        "'%s' is not the host's port at a switch; addresses of its other interfaces are set by the host's "
        "own tools, as ip address add %s dev %s",
        w.alias, w.with_length, w.alias);
}

static enum flow remove_address(struct call *call)
{
    const struct address_change change = {{set_switch_address}, ""};
    const char *alias = call_text(call, "InterfaceAlias");
    struct error error;
    enum flow flow;
    bool go;
    struct store *store = model_store(call, &flow);
    const struct value *s = store ? switch_of_adapter(call, alias, &flow) : NULL;
    if (flow != FLOW_NEXT)
        return flow;
    if (!s)
        return call_error(call, OBJECT_NOT_FOUND, "ObjectNotFound", alias, "'%s' is not the host's port at a switch",
                          alias);
    flow = call_should(call, alias, &go);
    if (flow == FLOW_NEXT && go && switch_set(store, object_get(s, "Name")->text, &change.change, &error))
        return call_manager_error(call, &error, alias);
    return flow;
}

/* clang-format off */
#define NAME {"Name", PARAMETER_TEXTS, MANDATORY | BY_VALUE | BY_NAME, 1, .help = "NAT networks"}
#define SETTINGS \
    {"DhcpEnabled", PARAMETER_BOOL, .setting = "dhcp", .help = "VMs get addresses by DHCP"}, \
    {"DnsEnabled", PARAMETER_BOOL, .setting = "dns", .help = "the second address resolves names"}, \
    {"Backend", PARAMETER_CHOICE, .words = "Auto|Slirp|Kernel", .setting = "backend", .help = "what translates"}
static const struct parameter get_parameters[] = {
    {"Name", PARAMETER_TEXTS, BY_VALUE | BY_NAME, 1, .help = "which, with wildcards"}, {0},
};
static const struct parameter new_parameters[] = {
    {"Name", PARAMETER_TEXT, MANDATORY | BY_VALUE, 1, .help = "the name of the network"},
    {"InternalIPInterfaceAddressPrefix", PARAMETER_TEXT, MANDATORY, .setting = "prefix",
     .help = "its addresses, as 192.168.100.0/24; the first is the gateway's"},
    {"SwitchName", PARAMETER_TEXT, .setting = "switch", .help = "a switch of type NAT; without it one is created"},
    SETTINGS, {0},
};
static const struct parameter set_parameters[] = {
    NAME,
    {"InternalIPInterfaceAddressPrefix", PARAMETER_TEXT, .setting = "prefix", .help = "its addresses"},
    SETTINGS, {0},
};
static const struct parameter remove_parameters[] = {
    {"Name", PARAMETER_TEXTS, BY_VALUE | BY_NAME, 1, .help = "which, with wildcards; all without it"}, {0},
};
static const struct parameter mappings_parameters[] = {
    {"NatName", PARAMETER_TEXTS, BY_NAME, 1, .aliases = "Name", .help = "of which networks"}, {0},
};
static const struct parameter add_mapping_parameters[] = {
    {"NatName", PARAMETER_TEXT, MANDATORY, 1, .help = "the NAT network"},
    {"Protocol", PARAMETER_CHOICE, MANDATORY, .words = "TCP|UDP", .help = "the protocol"},
    {"ExternalIPAddress", PARAMETER_TEXT, .setting = "external", .help = "an address of the host; any without it"},
    {"ExternalPort", PARAMETER_NUMBER, MANDATORY, .least = 1, .most = 65535, .help = "the port of the host"},
    {"InternalIPAddress", PARAMETER_TEXT, MANDATORY, .setting = "internal", .help = "the VM's address"},
    {"InternalPort", PARAMETER_NUMBER, .least = 1, .most = 65535, .help = "its port; the same without it"}, {0},
};
static const struct parameter remove_mapping_parameters[] = {
    {"InputObject", PARAMETER_OBJECT, BY_VALUE, .words = "MSFT_NetNatStaticMapping", .help = "from the pipeline"},
    {"StaticMappingID", PARAMETER_NUMBER, .help = "which of a network's"},
    {"NatName", PARAMETER_TEXTS, .help = "of which networks"}, {0},
};
#define ADAPTER(more) \
    {"InterfaceAlias", PARAMETER_TEXT, BY_NAME | MANDATORY, more, .aliases = "ifAlias", .help = "as vEthernet (SWITCH)"}
static const struct parameter new_address_parameters[] = {
    {"IPAddress", PARAMETER_TEXT, MANDATORY, 1, .setting = "address", .help = "the address"},
    ADAPTER(0),
    {"AddressFamily", PARAMETER_CHOICE, .words = "IPv4|IPv6", .help = "what the address is in any case"},
    {"PrefixLength", PARAMETER_NUMBER, .least = 1, .most = 128, .help = "how many bits the network has"},
    {"DefaultGateway", PARAMETER_TEXT, .help = "of VMs; not set on this host"}, {0},
};
static const struct parameter get_address_parameters[] = {
    {"IPAddress", PARAMETER_TEXTS, 0, 1, .help = "which, with wildcards"},
    {"InterfaceAlias", PARAMETER_TEXTS, BY_NAME, .aliases = "ifAlias", .help = "of which interfaces"},
    {"AddressFamily", PARAMETER_CHOICE, .words = "IPv4|IPv6", .help = "of one family"}, {0},
};
static const struct parameter remove_address_parameters[] = {
    {"IPAddress", PARAMETER_TEXT, BY_NAME, 1, .help = "the address"}, ADAPTER(0), {0},
};
const struct cmdlet cmdlets_nat[] = {
    {"Get-NetNat", NULL, get_parameters, .process = get, .summary = "Lists NAT networks", .gives = "MSFT_NetNat",
     .examples = "Get-NetNat"},
    {"New-NetNat", NULL, new_parameters, IMPACT_MEDIUM, .process = create, .summary = "Creates a NAT network",
     .gives = "MSFT_NetNat",
     .examples = "New-NetNat -Name LocalNAT -InternalIPInterfaceAddressPrefix 192.168.100.0/24"},
    {"Set-NetNat", NULL, set_parameters, IMPACT_MEDIUM, .process = set, .summary = "Changes NAT networks",
     .examples = "Set-NetNat LocalNAT -DhcpEnabled $false"},
    {"Remove-NetNat", NULL, remove_parameters, IMPACT_HIGH, .process = remove_nats, .summary = "Deletes NAT networks",
     .examples = "Remove-NetNat LocalNAT -Confirm:$false"},
    {"Get-NetNatStaticMapping", NULL, mappings_parameters, .process = get_mappings,
     .summary = "Lists ports of the host that lead to VMs", .gives = "MSFT_NetNatStaticMapping",
     .examples = "Get-NetNatStaticMapping"},
    {"Add-NetNatStaticMapping", NULL, add_mapping_parameters, IMPACT_MEDIUM, .process = add_mapping,
     .summary = "Leads a port of the host to a VM", .gives = "MSFT_NetNatStaticMapping",
     .examples = "Add-NetNatStaticMapping LocalNAT -Protocol TCP -ExternalPort 8080 -InternalIPAddress 192.168.100.10 "
                 "-InternalPort 80"},
    {"Remove-NetNatStaticMapping", NULL, remove_mapping_parameters, IMPACT_HIGH, .process = remove_mapping,
     .summary = "Ends that",
     .examples = "Get-NetNatStaticMapping LocalNAT | Remove-NetNatStaticMapping -Confirm:$false"},
    {"Get-NetIPAddress", NULL, get_address_parameters, .process = get_addresses,
     .summary = "Lists addresses of the host", .gives = "NetIPAddress",
     .examples = "Get-NetIPAddress -InterfaceAlias \"vEthernet (VmNAT)\""},
    {"New-NetIPAddress", NULL, new_address_parameters, IMPACT_MEDIUM, .process = new_address,
     .summary = "Gives the host an address at a switch", .gives = "NetIPAddress",
     .examples = "Get-NetAdapter \"vEthernet (VmNAT)\" | New-NetIPAddress -IPAddress 192.168.100.1 -PrefixLength 24"},
    {"Remove-NetIPAddress", NULL, remove_address_parameters, IMPACT_HIGH, .process = remove_address,
     .summary = "Takes the host's address at a switch away",
     .examples = "Remove-NetIPAddress 192.168.100.1 -InterfaceAlias \"vEthernet (VmNAT)\" -Confirm:$false"},
    {0},
};
/* clang-format on */
