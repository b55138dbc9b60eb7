/*
 * Network cards of VMs. A VM that is only named by its cards (nestbox nic add) counts, too.
 */
#include "manager/card.h"

#include "manager/switch.h"
#include "manager/vm.h"
#include "shell/adapter.h"
#include "shell/model.h"
#include "shell/networks.h"
#include "shell/vms.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct property_row card_rows[] = {
    {"IsLegacy", PROPERTY_FALSE},
    {"IsSynthetic", PROPERTY_NOTHING},
    {"IsManagementOs", PROPERTY_FALSE},
    {"SwitchName", PROPERTY_VALUE, "switch"},
    {"MacAddress", PROPERTY_NOTHING},
    {"DynamicMacAddressEnabled", PROPERTY_FALSE},
    {"Connected", PROPERTY_NOTHING},
    {"Status", PROPERTY_NOTHING},
    {"IPAddresses", PROPERTY_VALUE, "addresses"},
    {"MacAddressSpoofing", PROPERTY_ON_OFF, "spoofing"},
    {"DhcpGuard", PROPERTY_ON_OFF, "dhcp-guard"},
    {"RouterGuard", PROPERTY_ON_OFF, "router-guard"},
    {"PortMirroringMode", PROPERTY_WORD, "mirror", "None|Source|Destination"},
    {"IeeePriorityTag", PROPERTY_CONSTANT, .words = "Off"},
    {"VirtualSubnetId", PROPERTY_NUMBER, .constant = 0},
    {"DynamicIPAddressLimit", PROPERTY_NUMBER, .constant = 0},
    {"StormLimit", PROPERTY_VALUE, "storm-limit"},
    {"AllowTeaming", PROPERTY_CONSTANT, .words = "Off"},
    {"Name", PROPERTY_VALUE, "name"},
    {"Id", PROPERTY_VALUE, "id"},
    {"VMName", PROPERTY_VALUE, "vm"},
    {"ComputerName", PROPERTY_HOST},
    {"IsDeleted", PROPERTY_FALSE},
    /* what Hyper-V has in objects of their own, or not */
    {"MinimumBandwidthAbsolute", PROPERTY_VALUE, "bandwidth-minimum"},
    {"MaximumBandwidth", PROPERTY_VALUE, "bandwidth-maximum"},
    {"AccessVlanId", PROPERTY_VALUE, "vlan"},
    {"AllowedVlanIdList", PROPERTY_VALUE, "trunk"},
    {"PortIsolation", PROPERTY_ON_OFF, "protect"},
    {0},
};
/* clang-format on */

/* Hyper-V writes addresses without signs between the bytes. */
static struct value *mac_value(struct heap *heap, const char *mac)
{
    struct text text = {0};
    for (; *mac; mac++)
        if (isxdigit((u8)*mac))
            text_char(&text, (char)toupper((u8)*mac));
    return value_text_take(heap, &text);
}

struct value *card_object(struct heap *heap, const json_t *json)
{
    struct value *v = model_object(heap, "VMNetworkAdapter", card_rows, json), *status = value_array(heap);
    const json_t *linked = json_object_get(json, "linked");
    struct value *addresses = object_get(v, "IPAddresses");
    object_set(v, "MacAddress", mac_value(heap, model_text(json, "mac")));
    object_set(v, "IsSynthetic", &value_true);
    object_set(v, "Connected", value_bool(*model_text(json, "switch")));
    if (json_is_true(linked))
        array_add(status, value_text(heap, "Ok"));
    object_set(v, "Status", status);
    if (addresses->kind != VALUE_ARRAY)
        object_set(v, "IPAddresses", value_array(heap));
    return v;
}

static enum flow cards_all(struct call *call, struct value **all)
{
    struct error error;
    json_t *list, *one;
    size_t index;
    enum flow flow;
    *all = value_array(&call->shell->heap);
    struct store *store = model_store(call, &flow);
    if (!store)
        return flow;
    if (nic_list(store, NULL, &list, &error))
        return call_manager_error(call, &error, NULL);
    json_array_foreach (list, index, one)
        array_add(*all, card_object(&call->shell->heap, one));
    json_decref(list);
    return FLOW_NEXT;
}

static const char *text_of(const struct value *object, const char *name)
{
    const struct value *v = object_get(object, name);
    return v && v->kind == VALUE_TEXT ? v->text : "";
}

/* An error for each VM that was named and has no card. */
static enum flow complain_missing(struct call *call, const struct value *cards)
{
    enum flow flow = FLOW_NEXT;
    for (size_t i = 0; i < call_count(call, "VMName") && flow == FLOW_NEXT; i++) {
        const char *name = call_at(call, "VMName", i);
        char remedy[100] = "Get-VM lists what there is";
        struct error error;
        json_t *vm = NULL;
        bool any = text_has_wildcards(name);
        for (size_t j = 0; j < cards->array.count && !any; j++)
            any = text_same(text_of(cards->array.item[j], "VMName"), name);
        if (any)
            continue;
        bool is_vm = !vm_list(call->shell->store, name, &vm, &error);
        if (is_vm)
            snprintf(remedy, sizeof(remedy), "Add-VMNetworkAdapter '%.60s' adds one", name);
        json_decref(vm);
        flow = call_error_with(call, OBJECT_NOT_FOUND, "ObjectNotFound", name, remedy,
                               is_vm ? "VM '%s' has no card" : "there is no VM '%s'", name);
    }
    return flow;
}

enum flow cards_get(struct call *call, struct value **cards)
{
    struct value *all;
    *cards = value_array(&call->shell->heap);
    if (call_objects(call, "VMNetworkAdapter", *cards))
        return FLOW_NEXT;
    enum flow flow = cards_all(call, &all);
    for (size_t i = 0; i < all->array.count; i++) {
        struct value *v = all->array.item[i];
        if (model_wanted(call, "VMName", text_of(v, "VMName")) && model_wanted(call, "VM", text_of(v, "VMName")) &&
            model_wanted(call, "Name", text_of(v, "Name")))
            array_add(*cards, v);
    }
    return flow == FLOW_NEXT && !call->failed && !call_text(call, "Name") ? complain_missing(call, *cards) : flow;
}

/* The host's ports at switches: -ManagementOS. */
static enum flow host_cards(struct call *call)
{
    struct heap *heap = &call->shell->heap;
    struct value *adapters;
    enum flow flow = adapters_get(call, &adapters);
    for (size_t i = 0; i < adapters->array.count && flow == FLOW_NEXT; i++) {
        const struct value *a = adapters->array.item[i];
        char name[100];
        if (!adapter_switch(text_of(a, "Name"), name, sizeof(name)) || !model_wanted(call, "SwitchName", name))
            continue;
        struct value *v = value_object(heap, "VMNetworkAdapter");
        object_set(v, "Name", value_text(heap, name));
        object_set(v, "IsManagementOs", &value_true);
        object_set(v, "VMName", value_text(heap, ""));
        object_set(v, "SwitchName", value_text(heap, name));
        object_set(v, "MacAddress", mac_value(heap, text_of(a, "MacAddress")));
        object_set(v, "Status", value_array(heap));
        object_set(v, "IPAddresses", value_array(heap));
        flow = call_put(call, v);
    }
    return flow;
}

static enum flow get(struct call *call)
{
    struct value *cards;
    if (call_on(call, "ManagementOS"))
        return host_cards(call);
    enum flow flow = cards_get(call, &cards);
    for (size_t i = 0; i < cards->array.count && flow == FLOW_NEXT; i++)
        if (model_wanted(call, "SwitchName", text_of(cards->array.item[i], "SwitchName")))
            flow = call_put(call, cards->array.item[i]);
    return flow;
}

/* The VLANs of cards. */
static enum flow get_vlans(struct call *call)
{
    struct heap *heap = &call->shell->heap;
    struct value *cards;
    enum flow flow = cards_get(call, &cards);
    for (size_t i = 0; i < cards->array.count && flow == FLOW_NEXT; i++) {
        const struct value *card = cards->array.item[i];
        struct value *v = value_object(heap, "VMNetworkAdapterVlanSetting"), *vlan = object_get(card, "AccessVlanId");
        bool trunk = *text_of(card, "AllowedVlanIdList") != 0;
        bool access = !trunk && vlan && vlan->kind == VALUE_NUMBER && vlan->number;
        object_set(v, "OperationMode", value_text(heap, trunk ? "Trunk" : access ? "Access" : "Untagged"));
        object_set(v, "AccessVlanId", access ? vlan : value_number(heap, 0));
        object_set(v, "NativeVlanId", trunk && vlan ? vlan : value_number(heap, 0));
        object_set(v, "AllowedVlanIdList", value_text(heap, text_of(card, "AllowedVlanIdList")));
        object_set(v, "VlanList",
                   value_format(heap,
                                access  ? "%lld"
                                : trunk ? "%lld,%s"
                                        : "",
                                vlan ? (long long)vlan->number : 0ll, text_of(card, "AllowedVlanIdList")));
        object_set(v, "VMNetworkAdapterName", object_get(card, "Name"));
        object_set(v, "VMName", object_get(card, "VMName"));
        flow = call_put(call, v);
    }
    return flow;
}

/* Puts cards as they are now. */
static enum flow put_card(struct call *call, const char *title)
{
    struct error error;
    json_t *object;
    if (nic_show(call->shell->store, title, &object, &error))
        return call_manager_error(call, &error, title);
    struct value *v = card_object(&call->shell->heap, object);
    json_decref(object);
    return call_put(call, v);
}

static void put_title(const struct value *card, char *title, size_t size)
{
    snprintf(title, size, "%s/%s", text_of(card, "VMName"), text_of(card, "Name"));
}

static enum flow change_cards(struct call *call, const struct change *change)
{
    struct value *cards;
    struct error error;
    bool go;
    enum flow flow = cards_get(call, &cards);
    for (size_t i = 0; i < cards->array.count && flow == FLOW_NEXT; i++) {
        char title[160];
        put_title(cards->array.item[i], title, sizeof(title));
        flow = call_should(call, title, &go);
        if (flow != FLOW_NEXT || !go)
            continue;
        if (!model_store(call, &flow))
            return flow;
        int e =
            change ? nic_set(call->shell->store, title, change, &error) : nic_remove(call->shell->store, title, &error);
        if (e)
            flow = call_manager_error(call, &error, title);
        else if (change && call_on(call, "Passthru"))
            flow = put_card(call, title);
    }
    return flow;
}

static enum flow set(struct call *call)
{
    struct model_change change;
    model_change(&change, call, card_settings_table);
    return change_cards(call, &change.change);
}

static int leave(const struct change *unused, void *settings, struct error *error)
{
    struct card_settings *set = settings;
    set->switch_name = "";
    return 0;
}

static enum flow disconnect(struct call *call)
{
    static const struct change change = {leave};
    return change_cards(call, &change);
}

static enum flow remove_cards(struct call *call)
{
    return change_cards(call, NULL);
}

static enum flow add(struct call *call)
{
    const char *name = call_text(call, "Name");
    struct error error;
    enum flow flow;
    bool go;
    struct store *store = model_store(call, &flow);
    for (size_t i = 0; store && i < call_count(call, "VMName") && flow == FLOW_NEXT; i++) {
        const char *vm = call_at(call, "VMName", i);
        struct card_def def = {0};
        json_t *object;
        flow = call_should(call, vm, &go);
        if (flow != FLOW_NEXT || !go)
            continue;
        setting_defaults(card_settings_table, &def.set);
        def.set.switch_name = "";
        int e = name_check("a VM", vm, &error);
        if (!e && name)
            e = name_check("a card", name, &error);
        if (!e)
            e = model_apply(call, card_settings_table, &def.set, &error);
        if (!e) {
            snprintf(def.vm, sizeof(def.vm), "%s", vm);
            snprintf(def.name, sizeof(def.name), "%s", name ? name : "");
            e = nic_add(store, &def, &object, &error);
        }
        if (e) {
            flow = call_manager_error(call, &error, vm);
            continue;
        }
        struct value *v = card_object(&call->shell->heap, object);
        json_decref(object);
        if (call_on(call, "Passthru"))
            flow = call_put(call, v);
    }
    return flow;
}

/* clang-format off */
#define OF \
    {"VMName", PARAMETER_TEXTS, MANDATORY | BY_NAME, 1, .sets = BIT(0), .help = "VMs, with wildcards"}, \
    {"VMNetworkAdapter", PARAMETER_OBJECT, MANDATORY | BY_VALUE, 1, .words = "VMNetworkAdapter", .sets = BIT(1), \
     .help = "cards from the pipeline"}
#define WHICH {"Name", PARAMETER_TEXTS, 0, 2, .aliases = "VMNetworkAdapterName", .sets = BIT(0), \
               .help = "which cards of the VM; all without it"}
#define ON_OFF(name, row, text) {name, PARAMETER_CHOICE, .words = "On|Off", .setting = row, .help = text}
#define SETTINGS \
    ON_OFF("MacAddressSpoofing", "spoofing", "frames from other addresses may pass, as VMs within the VM send them"), \
    ON_OFF("DhcpGuard", "dhcp-guard", "drops what a DHCP server in the VM sends"), \
    ON_OFF("RouterGuard", "router-guard", "drops router advertisements and redirects of the VM"), \
    ON_OFF("PortIsolation", "protect", "isolated cards of a switch do not reach each other"), \
    {"PortMirroring", PARAMETER_CHOICE, .words = "None|Source|Destination", .setting = "mirror", \
     .help = "copies of what sources send and get go to destinations"}, \
    {"MaximumBandwidth", PARAMETER_NUMBER, .setting = "bandwidth-maximum", .help = "bits per second; 0 is no limit"}, \
    {"MinimumBandwidthAbsolute", PARAMETER_NUMBER, .setting = "bandwidth-minimum", .help = "bits per second"}, \
    {"StormLimit", PARAMETER_NUMBER, .setting = "storm-limit", .help = "broadcasts per second; 0 is no limit"}, \
    {"AccessVlanId", PARAMETER_NUMBER, .aliases = "VlanId", .setting = "vlan", .help = "the card's VLAN; 0 is none"}, \
    {"AllowedVlanIdList", PARAMETER_TEXT, .setting = "trunk", .help = "VLANs that pass with tags, \"10,20-29\""}, \
    {"StaticMacAddress", PARAMETER_TEXT, .setting = "mac", .help = "the card's address"}, \
    {"Passthru", PARAMETER_SWITCH, .help = "puts the cards out"}
static const struct parameter get_parameters[] = {
    {"VMName", PARAMETER_TEXTS, BY_NAME, 1, .sets = BIT(0), .help = "VMs, with wildcards"},
    {"VM", PARAMETER_TEXTS, BY_VALUE, 1, .sets = BIT(2), .help = "VMs from the pipeline"},
    {"Name", PARAMETER_TEXTS, 0, 2, .aliases = "VMNetworkAdapterName", .help = "which cards"},
    {"All", PARAMETER_SWITCH, .sets = BIT(1), .help = "those of all VMs"},
    {"ManagementOS", PARAMETER_SWITCH, .sets = BIT(3), .help = "the host's ports"},
    {"SwitchName", PARAMETER_TEXTS, .help = "those at a switch"}, {0},
};
static const struct parameter set_parameters[] = {OF, WHICH, SETTINGS, {0}};
static const struct parameter remove_parameters[] = {OF, WHICH, {0}};
static const struct parameter add_parameters[] = {
    {"VMName", PARAMETER_TEXTS, MANDATORY | BY_VALUE | BY_NAME, 1, .help = "the VM; one of ours, or any name"},
    {"SwitchName", PARAMETER_TEXT, 0, 2, .setting = "switch", .help = "the switch; none without it"},
    {"Name", PARAMETER_TEXT, .aliases = "VMNetworkAdapterName", .help = "the card's name; nic0, nic1, ... without it"},
    SETTINGS, {0},
};
static const struct parameter connect_parameters[] = {
    OF, WHICH,
    {"SwitchName", PARAMETER_TEXT, MANDATORY, 3, .setting = "switch", .help = "the switch"},
    {"Passthru", PARAMETER_SWITCH, .help = "puts the cards out"}, {0},
};
static const struct parameter disconnect_parameters[] = {
    OF, WHICH, {"Passthru", PARAMETER_SWITCH, .help = "puts the cards out"}, {0},
};
static const struct parameter get_vlan_parameters[] = {
    {"VMName", PARAMETER_TEXTS, BY_NAME, 1, .sets = BIT(0), .help = "VMs, with wildcards; all without it"},
    {"Name", PARAMETER_TEXTS, 0, 2, .aliases = "VMNetworkAdapterName", .sets = BIT(0), .help = "which cards"},
    {"VMNetworkAdapter", PARAMETER_OBJECT, MANDATORY | BY_VALUE, 1, .words = "VMNetworkAdapter", .sets = BIT(1),
     .help = "cards from the pipeline"}, {0},
};
static const struct parameter vlan_parameters[] = {
    OF,
    {"VMNetworkAdapterName", PARAMETER_TEXTS, 0, 2, .sets = BIT(0), .aliases = "Name", .help = "which cards of the VM"},
    {"Access", PARAMETER_SWITCH, .help = "an access port"}, {"Trunk", PARAMETER_SWITCH, .help = "a trunk"},
    {"VlanId", PARAMETER_NUMBER, .aliases = "AccessVlanId|NativeVlanId", .setting = "vlan", .help = "the VLAN"},
    {"AllowedVlanIdList", PARAMETER_TEXT, .setting = "trunk", .help = "VLANs that pass with tags, \"10,20-29\""},
    {"Passthru", PARAMETER_SWITCH, .help = "puts the cards out"}, {0},
};
const struct cmdlet cmdlets_card[] = {
    {"Get-VMNetworkAdapter", NULL, get_parameters, .process = get, .summary = "Lists network cards of VMs",
     .gives = "VMNetworkAdapter",
     .examples = "Get-VMNetworkAdapter lab\n"
                 "Get-VMNetworkAdapter -All | Where-Object MacAddressSpoofing -eq On"},
    {"Set-VMNetworkAdapter", NULL, set_parameters, IMPACT_MEDIUM, .process = set,
     .summary = "Changes network cards, also while frames flow",
     .examples = "Get-VMNetworkAdapter -VMName lab | Set-VMNetworkAdapter -MacAddressSpoofing On\n"
                 "Set-VMNetworkAdapter lab -MaximumBandwidth 10MB -DhcpGuard On"},
    {"Add-VMNetworkAdapter", NULL, add_parameters, IMPACT_MEDIUM, .process = add,
     .summary = "Adds a network card to VMs",
     .examples = "Add-VMNetworkAdapter lab -SwitchName VmNAT"},
    {"Remove-VMNetworkAdapter", NULL, remove_parameters, IMPACT_MEDIUM, .process = remove_cards,
     .summary = "Removes network cards",
     .examples = "Remove-VMNetworkAdapter lab -Name nic1"},
    {"Connect-VMNetworkAdapter", NULL, connect_parameters, IMPACT_MEDIUM, .process = set,
     .summary = "Connects network cards to another switch",
     .examples = "Connect-VMNetworkAdapter lab -SwitchName VmNAT"},
    {"Disconnect-VMNetworkAdapter", NULL, disconnect_parameters, IMPACT_MEDIUM, .process = disconnect,
     .summary = "Takes network cards from their switches; the guest keeps them, without a link",
     .examples = "Disconnect-VMNetworkAdapter lab"},
    {"Get-VMNetworkAdapterVlan", NULL, get_vlan_parameters, .process = get_vlans,
     .summary = "Shows the VLANs of network cards", .gives = "VMNetworkAdapterVlanSetting",
     .examples = "Get-VMNetworkAdapterVlan lab"},
    {"Set-VMNetworkAdapterVlan", NULL, vlan_parameters, IMPACT_MEDIUM, .process = set,
     .summary = "Sets the VLANs of network cards",
     .examples = "Set-VMNetworkAdapterVlan lab -Access -VlanId 10\n"
                 "Set-VMNetworkAdapterVlan lab -Trunk -AllowedVlanIdList \"10,20-29\" -NativeVlanId 1"},
    {0},
};
/* clang-format on */
