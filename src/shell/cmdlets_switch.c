/*
 * Virtual switches.
 */
#include "manager/switch.h"

#include "shell/adapter.h"
#include "shell/model.h"
#include "shell/networks.h"

#include <errno.h>
#include <string.h>

/* clang-format off */
static const struct property_row switch_rows[] = {
    {"Name", PROPERTY_VALUE, "name"},
    {"Notes", PROPERTY_VALUE, "notes"},
    {"SwitchType", PROPERTY_WORD, "type", "Private|Internal|External|NAT"},
    {"NatName", PROPERTY_VALUE, "nat"},
    {"AllowManagementOS", PROPERTY_TRUE, "host"},
    {"NetAdapterInterfaceDescription", PROPERTY_VALUE, "interface"},
    {"HostAddress", PROPERTY_VALUE, "address"},
    {"Running", PROPERTY_VALUE, "running"},
    {"Ports", PROPERTY_VALUE, "cards"},
    {"PacketDirectEnabled", PROPERTY_FALSE},
    {"EmbeddedTeamingEnabled", PROPERTY_FALSE},
    {"IovEnabled", PROPERTY_FALSE},
    {"IsDeleted", PROPERTY_FALSE},
    {0},
};
/* clang-format on */

struct value *switch_object(struct heap *heap, const json_t *json)
{
    struct value *v = model_object(heap, "VMSwitch", switch_rows, json);
    const char *type = model_text(json_object_get(json, "settings"), "type");
    /* The host is on the other types as their kind says. */
    if (strcmp(type, "external") != 0)
        object_set(v, "AllowManagementOS", value_bool(strcmp(type, "private") != 0));
    return v;
}

enum flow switches_get(struct call *call, struct value **all)
{
    struct error error;
    json_t *list, *one;
    enum flow flow;
    size_t index;
    *all = value_array(&call->shell->heap);
    struct store *store = model_store(call, &flow);
    if (!store)
        return flow;
    if (switch_list(store, &list, &error))
        return call_manager_error(call, &error, NULL);
    json_array_foreach (list, index, one)
        array_add(*all, switch_object(&call->shell->heap, one));
    json_decref(list);
    return FLOW_NEXT;
}

static enum flow get(struct call *call)
{
    struct value *all, *found = value_array(&call->shell->heap);
    const char *type = call_text(call, "SwitchType");
    enum flow flow = switches_get(call, &all);
    for (size_t i = 0; i < all->array.count; i++) {
        struct value *v = all->array.item[i];
        if (model_wanted(call, "Name", object_get(v, "Name")->text) &&
            (!type || text_same(object_get(v, "SwitchType")->text, type)))
            array_add(found, v);
    }
    if (flow == FLOW_NEXT)
        flow = sink_put_each(call->out, found);
    return flow == FLOW_NEXT && !call->failed ? model_missing(call, "Name", "switch", found, "Name", "Get-VMSwitch")
                                              : flow;
}

static enum flow put_switch(struct call *call, const char *name)
{
    struct value *all;
    enum flow flow = switches_get(call, &all);
    for (size_t i = 0; i < all->array.count && flow == FLOW_NEXT; i++)
        if (text_same(object_get(all->array.item[i], "Name")->text, name))
            flow = call_put(call, all->array.item[i]);
    return flow;
}

static enum flow create(struct call *call)
{
    const char *name = call_text(call, "Name"), *adapter = call_text(call, "NetAdapterName");
    const char *subnet = call_text(call, "NATSubnetAddress");
    struct switch_def def = {0};
    struct nat_def nat = {0};
    struct error error;
    char interface[ADAPTER_NAME_MAX];
    enum flow flow;
    bool go;
    struct store *store = model_store(call, &flow);
    if (!store)
        return flow;
    flow = call_should(call, name, &go);
    if (flow != FLOW_NEXT || !go)
        return flow;
    setting_defaults(switch_settings_table, &def.set);
    setting_defaults(nat_settings_table, &nat.set);
    int e = name_check("a switch", name, &error);
    if (!e)
        e = model_apply(call, switch_settings_table, &def.set, &error);
    if (!e && adapter) {
        e = adapter_find(store, adapter, interface, &error);
        def.set.type = SWITCH_EXTERNAL;
        def.set.interface = interface;
    }
    if (e)
        return call_manager_error(call, &error, name);
    strcpy(def.name, name);
    strcpy(nat.name, name);
    nat.set.prefix = subnet;
    nat.set.switch_name = name;
    if (switch_create(store, &def, def.set.type == SWITCH_NAT ? &nat : NULL, &error))
        return call_manager_error(call, &error, name);
    return put_switch(call, name);
}

static enum flow set(struct call *call)
{
    struct model_change change;
    struct error error;
    enum flow flow;
    bool go;
    struct store *store = model_store(call, &flow);
    model_change(&change, call, switch_settings_table);
    for (size_t i = 0; store && i < call_count(call, "Name") && flow == FLOW_NEXT; i++) {
        const char *name = call_at(call, "Name", i);
        flow = call_should(call, name, &go);
        if (flow != FLOW_NEXT || !go)
            continue;
        if (switch_set(store, name, &change.change, &error))
            flow = call_manager_error(call, &error, name);
        else if (call_on(call, "Passthru"))
            flow = put_switch(call, name);
    }
    return flow;
}

static enum flow remove_switches(struct call *call)
{
    struct error error;
    enum flow flow;
    bool go;
    struct store *store = model_store(call, &flow);
    if (call_on(call, "Force"))
        call->yes_to_all = true;
    for (size_t i = 0; store && i < call_count(call, "Name") && flow == FLOW_NEXT; i++) {
        const char *name = call_at(call, "Name", i);
        flow = call_should(call, name, &go);
        if (flow == FLOW_NEXT && go && switch_delete(store, name, call_on(call, "Force"), &error))
            flow = call_manager_error(call, &error, name);
    }
    return flow;
}

/* clang-format off */
#define NAME {"Name", PARAMETER_TEXTS, MANDATORY | BY_VALUE | BY_NAME, 1, .aliases = "SwitchName", .help = "switches"}
static const struct parameter get_parameters[] = {
    {"Name", PARAMETER_TEXTS, BY_VALUE | BY_NAME, 1, .aliases = "SwitchName", .help = "which, with wildcards"},
    {"SwitchType", PARAMETER_CHOICE, .words = "Private|Internal|External|NAT", .help = "those of a type"}, {0},
};
static const struct parameter new_parameters[] = {
    {"Name", PARAMETER_TEXT, MANDATORY | BY_VALUE, 1, .aliases = "SwitchName", .help = "the name of the switch"},
    {"SwitchType", PARAMETER_CHOICE, MANDATORY, .words = "Internal|Private|NAT|External", .sets = BIT(0),
     .setting = "type", .help = "who is on it besides VMs: the host, nobody, or a NAT network"},
    {"NATSubnetAddress", PARAMETER_TEXT, .sets = BIT(0), .setting = "prefix", .help = "of type NAT: its addresses"},
    {"NetAdapterName", PARAMETER_TEXT, MANDATORY | BY_NAME, .aliases = "InterfaceAlias", .sets = BIT(1),
     .setting = "interface", .help = "external: an interface of the host"},
    {"AllowManagementOS", PARAMETER_BOOL, .sets = BIT(1), .setting = "host",
     .help = "external: the host stays on the interface"},
    {"Notes", PARAMETER_TEXT, .setting = "notes", .help = "a text of your own"}, {0},
};
static const struct parameter set_parameters[] = {
    NAME,
    {"SwitchType", PARAMETER_CHOICE, .words = "Internal|Private", .setting = "type",
     .help = "who is on it besides VMs"},
    {"NetAdapterName", PARAMETER_TEXT, .aliases = "InterfaceAlias", .setting = "interface",
     .help = "external: an interface of the host"},
    {"AllowManagementOS", PARAMETER_BOOL, .setting = "host", .help = "external: the host stays on the interface"},
    {"Notes", PARAMETER_TEXT, .setting = "notes", .help = "a text of your own"},
    {"Passthru", PARAMETER_SWITCH, .help = "puts the switch out"}, {0},
};
static const struct parameter remove_parameters[] = {
    NAME, {"Force", PARAMETER_SWITCH, .setting = "force", .help = "asks nothing; also if cards are at it"}, {0},
};
const struct cmdlet cmdlets_switch[] = {
    {"Get-VMSwitch", NULL, get_parameters, .process = get, .summary = "Lists virtual switches", .gives = "VMSwitch",
     .examples = "Get-VMSwitch\n"
                 "Get-VMSwitch -SwitchType Internal"},
    {"New-VMSwitch", NULL, new_parameters, IMPACT_MEDIUM, .process = create, .summary = "Creates a virtual switch",
     .gives = "VMSwitch",
     .examples = "New-VMSwitch -Name VmNAT -SwitchType Internal\n"
                 "New-VMSwitch Lab -NetAdapterName Ethernet -AllowManagementOS $true"},
    {"Set-VMSwitch", NULL, set_parameters, IMPACT_MEDIUM, .process = set, .summary = "Changes virtual switches",
     .examples = "Set-VMSwitch VmNAT -Notes \"of the course\""},
    {"Remove-VMSwitch", NULL, remove_parameters, IMPACT_HIGH, .process = remove_switches,
     .summary = "Deletes virtual switches",
     .examples = "Remove-VMSwitch VmNAT -Force"},
    {0},
};
/* clang-format on */
