/*
 * The tables that types have by default, and the columns that a user asks for.
 */
#include "shell/format.h"

#include "shell/failure.h"

#include <string.h>

#define MIB (1 << 20)

/* clang-format off */
const struct view format_views[] = {
    {"VirtualMachine", {{"Name", "Name"}, {"State", "State"}, {"CPUUsage(%)", "CPUUsage", .right = true},
                        {"MemoryAssigned(M)", "MemoryAssigned", .right = true, .unit = MIB},
                        {"Uptime", "Uptime"}, {"Status", "Status"}, {"Version", "Version"}}},
    {"VMProcessor", {{"VMName", "VMName"}, {"Count", "Count"},
                     {"CompatibilityForMigrationEnabled", "CompatibilityForMigrationEnabled"},
                     {"CompatibilityForOlderOperatingSystemsEnabled",
                      "CompatibilityForOlderOperatingSystemsEnabled"}}},
    {"VMMemory", {{"VMName", "VMName"}, {"DynamicMemoryEnabled", "DynamicMemoryEnabled"},
                  {"Minimum(M)", "Minimum", .right = true, .unit = MIB},
                  {"Startup(M)", "Startup", .right = true, .unit = MIB},
                  {"Maximum(M)", "Maximum", .right = true, .unit = MIB}}},
    {"VMMeteringReport", {{"VMName", "VMName"}, {"AvgCPU(MHz)", "AverageProcessorUsage", .right = true},
                          {"AvgRAM(M)", "AverageMemoryUsage", .right = true},
                          {"MaxRAM(M)", "MaximumMemoryUsage", .right = true},
                          {"MinRAM(M)", "MinimumMemoryUsage", .right = true},
                          {"TotalDisk(M)", "TotalDiskAllocation", .right = true},
                          {"NetworkInbound(M)", "NetworkInbound", .right = true},
                          {"NetworkOutbound(M)", "NetworkOutbound", .right = true}}},
    {"VMSnapshot", {{"VMName", "VMName"}, {"Name", "Name"}, {"SnapshotType", "SnapshotType"},
                    {"CreationTime", "CreationTime"}, {"ParentSnapshotName", "ParentSnapshotName"}}},
    {"VMNetworkAdapter", {{"Name", "Name"}, {"IsManagementOs", "IsManagementOs"}, {"VMName", "VMName"},
                          {"SwitchName", "SwitchName"}, {"MacAddress", "MacAddress"}, {"Status", "Status"},
                          {"IPAddresses", "IPAddresses"}}},
    {"VMSwitch", {{"Name", "Name"}, {"SwitchType", "SwitchType"},
                  {"NetAdapterInterfaceDescription", "NetAdapterInterfaceDescription"}}},
    {"HardDiskDrive", {{"VMName", "VMName"}, {"ControllerType", "ControllerType"},
                       {"ControllerNumber", "ControllerNumber", .right = true},
                       {"ControllerLocation", "ControllerLocation", .right = true}, {"Path", "Path"}}},
    {"DvdDrive", {{"VMName", "VMName"}, {"ControllerType", "ControllerType"},
                  {"ControllerNumber", "ControllerNumber", .right = true},
                  {"ControllerLocation", "ControllerLocation", .right = true}, {"Path", "Path"}}},
    {"VMFirmware", {{"VMName", "VMName"}, {"SecureBoot", "SecureBoot"}, {"BootOrder", "BootOrder"}}},
    {"VMBios", {{"VMName", "VMName"}, {"StartupOrder", "StartupOrder"}}},
    {"VMIntegrationComponent", {{"VMName", "VMName"}, {"Name", "Name"}, {"Enabled", "Enabled"},
                                {"PrimaryStatusDescription", "PrimaryStatusDescription"},
                                {"SecondaryStatusDescription", "SecondaryStatusDescription"}}},
    {"VMNetworkAdapterVlanSetting", {{"VMName", "VMName"}, {"VMNetworkAdapterName", "VMNetworkAdapterName"},
                                     {"Mode", "OperationMode"}, {"VlanList", "VlanList"}}},
    {"NetAdapter", {{"Name", "Name"}, {"InterfaceDescription", "InterfaceDescription"},
                    {"ifIndex", "ifIndex", .right = true}, {"Status", "Status"}, {"MacAddress", "MacAddress"},
                    {"LinkSpeed", "LinkSpeed", .right = true}}},
    {"CommandInfo", {{"CommandType", "CommandType"}, {"Name", "Name"}, {"Summary", "Summary"}}},
    {"AliasInfo", {{"Name", "Name"}, {"Definition", "Definition"}}},
    {"MemberDefinition", {{"Name", "Name"}, {"MemberType", "MemberType"}, {"Definition", "Definition"}}},
    {"GroupInfo", {{"Count", "Count", .right = true}, {"Name", "Name"}, {"Group", "Group"}}},
    {0},
};
/* clang-format on */

const struct view *format_view(const char *type)
{
    for (const struct view *v = format_views; v->type; v++)
        if (text_same(v->type, type))
            return v;
    return NULL;
}

static void add(struct column *columns, size_t *count, struct column column)
{
    if (*count < COLUMNS_MAX)
        columns[(*count)++] = column;
}

static void add_name(struct shell *shell, const char *name, const struct value *object, struct column *columns,
                     size_t *count)
{
    if (!text_has_wildcards(name)) {
        const char *own = NULL;
        for (size_t i = 0; object && object->kind == VALUE_OBJECT && i < object->object.count; i++)
            if (text_same(object->object.property[i].name, name))
                own = object->object.property[i].name;
        name = own ? own : name;
        name = arena_copy(&shell->names, name, strlen(name));
        const struct value *v = object ? object_get(object, name) : NULL;
        add(columns, count, (struct column){name, name, .right = v && v->kind == VALUE_NUMBER});
        return;
    }
    for (size_t i = 0; object && object->kind == VALUE_OBJECT && i < object->object.count; i++) {
        const struct property *p = &object->object.property[i];
        bool there = false;
        for (size_t c = 0; c < *count; c++)
            there |= columns[c].property && text_same(columns[c].property, p->name);
        if (there || !text_like(p->name, name, false))
            continue;
        const char *copy = arena_copy(&shell->names, p->name, strlen(p->name));
        add(columns, count, (struct column){copy, copy, .right = p->value->kind == VALUE_NUMBER});
    }
}

/* @{Label = "x"; Expression = { } or "property"} */
static bool add_hash(struct shell *shell, const struct value *hash, struct column *columns, size_t *count)
{
    struct column column = {0};
    for (size_t i = 0; i < hash->object.count; i++) {
        const struct property *p = &hash->object.property[i];
        if (text_begins("Expression", p->name) && p->value->kind == VALUE_BLOCK)
            column.block = p->value->block;
        else if (text_begins("Expression", p->name) && p->value->kind == VALUE_TEXT)
            column.property = arena_copy(&shell->names, p->value->text, p->value->length);
        else if ((text_begins("Label", p->name) || text_begins("Name", p->name)) && p->value->kind == VALUE_TEXT)
            column.label = arena_copy(&shell->names, p->value->text, p->value->length);
        else if (text_begins("Alignment", p->name) && p->value->kind == VALUE_TEXT)
            column.right = text_same(p->value->text, "Right");
    }
    if (!column.block && !column.property)
        return false;
    if (!column.label)
        column.label = column.property ? column.property : "Expression";
    add(columns, count, column);
    return true;
}

enum flow format_columns_asked(struct shell *shell, const struct node *node, const struct value *asked,
                               const struct value *object, struct column *columns, size_t *count)
{
    size_t items = asked->kind == VALUE_ARRAY ? asked->array.count : 1;
    *count = 0;
    for (size_t i = 0; i < items; i++) {
        const struct value *item = asked->kind == VALUE_ARRAY ? asked->array.item[i] : asked;
        if (item->kind == VALUE_BLOCK) {
            struct text label = {0};
            node_text(item->block, &label);
            const char *copy = arena_copy(&shell->names, text_get(&label), label.used);
            text_free(&label);
            add(columns, count, (struct column){copy, NULL, item->block});
        } else if (value_is(item, "Hashtable") && add_hash(shell, item, columns, count)) {
            continue;
        } else if (item->kind == VALUE_TEXT || item->kind == VALUE_NUMBER) {
            struct text name = {0};
            value_put(item, &name);
            add_name(shell, text_get(&name), object, columns, count);
            text_free(&name);
        } else {
            const struct failure f = {INVALID_ARGUMENT, "UnknownProperty", "ParameterBindingException", .node = node};
            return failure_throw(shell, &f, "a property is a name, a script block, or a hash table with Expression");
        }
    }
    return FLOW_NEXT;
}
