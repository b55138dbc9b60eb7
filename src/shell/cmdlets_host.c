/*
 * What the host is: its interfaces, its CPU, its memory; and netsh.
 */
#include "manager/host.h"

#include "rules/rule.h"
#include "shell/adapter.h"
#include "shell/model.h"
#include "shell/networks.h"

#include "store/network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* -- interfaces -- */

static enum flow get_adapters(struct call *call)
{
    struct value *all, *found = value_array(&call->shell->heap);
    enum flow flow = adapters_get(call, &all);
    for (size_t i = 0; i < all->array.count && flow == FLOW_NEXT; i++) {
        struct value *v = all->array.item[i];
        const char *name = object_get(v, "Name")->text, *description = object_get(v, "InterfaceDescription")->text;
        bool own = text_begins(name, "vEthernet (");
        if (!model_wanted(call, "Name", name) || !model_wanted(call, "InterfaceDescription", description) ||
            (own && call_on(call, "Physical")))
            continue;
        array_add(found, v);
    }
    /* "Ethernet" is the first of the host's own. */
    for (size_t i = 0; i < call_count(call, "Name") && flow == FLOW_NEXT && !found->array.count; i++) {
        char interface[ADAPTER_NAME_MAX];
        struct error ignored;
        if (adapter_find(call->shell->store, call_at(call, "Name", i), interface, &ignored))
            continue;
        for (size_t j = 0; j < all->array.count; j++)
            if (strcmp(object_get(all->array.item[j], "Name")->text, interface) == 0) {
                array_add(found, all->array.item[j]);
                return sink_put_each(call->out, found);
            }
    }
    if (flow == FLOW_NEXT)
        flow = sink_put_each(call->out, found);
    return flow == FLOW_NEXT ? model_missing(call, "Name", "interface", found, "Name", "Get-NetAdapter") : flow;
}

/* -- the processor and the machine -- */

struct cpu_facts {
    char name[100], maker[40];
    long threads, cores, packages;
    bool extensions, hypervisor;
};

static void cpu_facts(struct cpu_facts *facts)
{
    char line[4096];
    FILE *f = fopen("/proc/cpuinfo", "re");
    *facts = (struct cpu_facts){.packages = 1};
    while (f && fgets(line, sizeof(line), f)) {
        char *value = strchr(line, ':');
        if (!value)
            continue;
        value += value[1] == ' ' ? 2 : 1;
        value[strcspn(value, "\n")] = 0;
        if (text_begins(line, "processor\t"))
            facts->threads++;
        else if (text_begins(line, "model name") && !facts->name[0])
            snprintf(facts->name, sizeof(facts->name), "%s", value);
        else if (text_begins(line, "vendor_id") && !facts->maker[0])
            snprintf(facts->maker, sizeof(facts->maker), "%s", value);
        else if (text_begins(line, "cpu cores"))
            facts->cores = atol(value);
        else if (text_begins(line, "physical id") && atol(value) + 1 > facts->packages)
            facts->packages = atol(value) + 1;
        else if (text_begins(line, "flags")) {
            facts->extensions |= strstr(value, " vmx ") || strstr(value, " svm ");
            facts->hypervisor |= strstr(value, " hypervisor") != NULL;
        }
    }
    if (f)
        fclose(f);
    if (!facts->cores)
        facts->cores = facts->threads;
}

static void read_dmi(const char *name, char *text, size_t size)
{
    char path[80];
    snprintf(path, sizeof(path), "/sys/class/dmi/id/%s", name);
    FILE *f = fopen(path, "re");
    text[0] = 0;
    if (f && fgets(text, (int)size, f))
        text[strcspn(text, "\n")] = 0;
    if (f)
        fclose(f);
}

static s64 memory_bytes(void)
{
    struct sysinfo info;
    return sysinfo(&info) ? 0 : (s64)((u64)info.totalram * info.mem_unit);
}

static struct value *processor(struct heap *heap, long index)
{
    struct cpu_facts facts;
    struct value *v = value_object(heap, "Win32_Processor");
    cpu_facts(&facts);
    object_set(v, "DeviceID", value_format(heap, "CPU%ld", index));
    object_set(v, "Name", value_text(heap, facts.name));
    object_set(v, "Manufacturer", value_text(heap, facts.maker));
    object_set(v, "NumberOfCores", value_number(heap, facts.cores));
    object_set(v, "NumberOfLogicalProcessors", value_number(heap, facts.threads / facts.packages));
    object_set(v, "VMMonitorModeExtensions", value_bool(facts.extensions));
    object_set(v, "VirtualizationFirmwareEnabled", value_bool(facts.extensions));
    return v;
}

static struct value *computer(struct heap *heap)
{
    struct cpu_facts facts;
    struct value *v = value_object(heap, "Win32_ComputerSystem");
    char name[256] = "", maker[100], model[100];
    cpu_facts(&facts);
    if (gethostname(name, sizeof(name) - 1))
        name[0] = 0;
    read_dmi("sys_vendor", maker, sizeof(maker));
    read_dmi("product_name", model, sizeof(model));
    object_set(v, "Name", value_text(heap, name));
    object_set(v, "Manufacturer", value_text(heap, maker));
    object_set(v, "Model", value_text(heap, model));
    object_set(v, "TotalPhysicalMemory", value_number(heap, memory_bytes()));
    object_set(v, "NumberOfProcessors", value_number(heap, facts.packages));
    object_set(v, "NumberOfLogicalProcessors", value_number(heap, facts.threads));
    object_set(v, "HypervisorPresent", value_bool(facts.hypervisor));
    return v;
}

static enum flow get_wmi(struct call *call)
{
    const char *class = call_text(call, "ClassName");
    struct cpu_facts facts;
    enum flow flow = FLOW_NEXT;
    if (text_same(class, "Win32_ComputerSystem"))
        return call_put(call, computer(&call->shell->heap));
    if (!text_same(class, "Win32_Processor"))
        return call_error(call, INVALID_TYPE, "GetWMIInvalidClassException", class,
                          "there is no class '%s' here; there are Win32_Processor and Win32_ComputerSystem", class);
    cpu_facts(&facts);
    for (long i = 0; i < facts.packages && flow == FLOW_NEXT; i++)
        flow = call_put(call, processor(&call->shell->heap, i));
    return flow;
}

/* The configuration version of new VMs, as the host's profile has it. */
static struct value *version_value(struct heap *heap, const struct host_settings *set)
{
    u32 version = profile_version(set->profile);
    return value_format(heap, "%u.%u", version / 10, version % 10);
}

static enum flow put_host(struct call *call, const struct host_settings *set)
{
    struct heap *heap = &call->shell->heap;
    struct value *v = value_object(heap, "VMHost"), *versions = value_array(heap);
    const char *home = store_home(call->shell->store);
    char name[256] = "";
    if (gethostname(name, sizeof(name) - 1))
        name[0] = 0;
    array_add(versions, version_value(heap, set));
    object_set(v, "LogicalProcessorCount", value_number(heap, sysconf(_SC_NPROCESSORS_ONLN)));
    object_set(v, "VirtualHardDiskPath", value_format(heap, "%s/vms", home));
    object_set(v, "VirtualMachinePath", value_format(heap, "%s/vms", home));
    object_set(v, "MemoryCapacity", value_number(heap, memory_bytes()));
    object_set(v, "SupportedVmVersions", versions);
    object_set(v, "IovSupport", &value_false);
    object_set(v, "Name", value_text(heap, name));
    object_set(v, "ComputerName", value_text(heap, name));
    object_set(v, "IsDeleted", &value_false);
    object_set(v, "Profile", value_text(heap, profile_names[set->profile])); /* Hyper-V has none */
    return call_put(call, v);
}

static enum flow get_host(struct call *call)
{
    struct host_settings set;
    struct error error;
    enum flow flow;
    struct store *store = model_store(call, &flow);
    if (!store)
        return flow;
    return store_host(store, &set, &error) ? call_manager_error(call, &error, NULL) : put_host(call, &set);
}

static enum flow set_host(struct call *call)
{
    struct model_change change;
    struct error error;
    enum flow flow;
    bool go;
    struct store *store = model_store(call, &flow);
    if (!store)
        return flow;
    flow = call_should(call, "this host", &go);
    if (flow != FLOW_NEXT || !go)
        return flow;
    model_change(&change, call, host_settings_table);
    if (model_changes(call) && host_set(store, &change.change, &error))
        return call_manager_error(call, &error, NULL);
    return call_on(call, "Passthru") ? get_host(call) : FLOW_NEXT;
}

static enum flow get_versions(struct call *call)
{
    struct heap *heap = &call->shell->heap;
    struct host_settings set;
    struct error error;
    enum flow flow;
    struct store *store = model_store(call, &flow);
    if (!store)
        return flow;
    if (store_host(store, &set, &error))
        return call_manager_error(call, &error, NULL);
    struct value *v = value_object(heap, "VMHostSupportedVersion");
    object_set(v, "Name", value_format(heap, "nestbox, profile %s", profile_names[set.profile]));
    object_set(v, "Version", version_value(heap, &set));
    object_set(v, "IsDefault", &value_true);
    return call_put(call, v);
}

/* -- netsh interface ip add dnsserver ADAPTER [address=]ADDRESS -- */

static const char *word(const struct call *call, size_t index)
{
    return index < call->rest->array.count ? call->rest->array.item[index]->text : "";
}

/* netsh takes words as far as they are clear. */
static bool is_word(const char *given, const char *whole)
{
    return *given && strlen(given) <= strlen(whole) && text_begins(whole, given);
}

/* A value, perhaps with its name before it. */
static const char *tagged(const char *given, const char *tag)
{
    size_t length = strlen(tag);
    return text_begins(given, tag) && given[length] == '=' ? given + length + 1 : given;
}

static enum flow netsh(struct call *call)
{
    const char *adapter = tagged(word(call, 4), "name"), *address = tagged(word(call, 5), "address");
    struct in6_addr bytes;
    struct value *all;
    char name[100];
    enum flow flow;
    bool known = is_word(word(call, 0), "interface") &&
                 (text_same(word(call, 1), "ip") || is_word(word(call, 1), "ipv4") || is_word(word(call, 1), "ipv6")) &&
                 is_word(word(call, 2), "add") && is_word(word(call, 3), "dnsservers");
    if (!known || !*adapter || !*address)
        return call_error(call, INVALID_ARGUMENT, "NetshUsage", NULL,
                          "of netsh there is: netsh interface ip add dnsserver ADAPTER address=ADDRESS");
    if (inet_pton(AF_INET, address, &bytes) != 1 && inet_pton(AF_INET6, address, &bytes) != 1)
        return call_error(call, INVALID_ARGUMENT, "InvalidParameter", address, "'%s' is no address", address);
    if (!adapter_switch(adapter, name, sizeof(name)))
        return call_error(
            call, OBJECT_NOT_FOUND, "ObjectNotFound", adapter,
            "'%s' is not the host's port at a switch; name servers of its other interfaces are set by the "
            "host's own tools",
            adapter);
    flow = switches_get(call, &all);
    for (size_t i = 0; i < all->array.count && flow == FLOW_NEXT; i++) {
        const struct value *s = all->array.item[i], *nat = object_get(s, "NatName");
        if (!text_same(object_get(s, "Name")->text, name))
            continue;
        if (nat->kind == VALUE_TEXT)
            call_warn(call,
                      "VMs at switch %s ask NAT network %s for names, which asks this host's own servers; %s is not "
                      "needed, and within a VM it can be set as well",
                      name, nat->text, address);
        else
            call_warn(call, "this host asks its own servers for names; %s can be set within the VMs at switch %s",
                      address, name);
        fputc('\n', call->shell->out);
        return FLOW_NEXT;
    }
    return flow == FLOW_NEXT
               ? call_error(call, OBJECT_NOT_FOUND, "ObjectNotFound", adapter, "there is no switch '%s'", name)
               : flow;
}

/* clang-format off */
static const struct parameter adapter_parameters[] = {
    {"Name", PARAMETER_TEXTS, BY_VALUE, 1, .aliases = "ifAlias|InterfaceAlias",
     .help = "which, with wildcards; vEthernet (SWITCH) is the host's port at a switch, Ethernet its first own one"},
    {"InterfaceDescription", PARAMETER_TEXTS, .help = "by what they are, with wildcards"},
    {"Physical", PARAMETER_SWITCH, .help = "without those at switches"}, {0},
};
static const struct parameter wmi_parameters[] = {
    {"ClassName", PARAMETER_TEXT, MANDATORY, 1, .aliases = "Class", .help = "Win32_Processor or Win32_ComputerSystem"},
    {0},
};
static const struct parameter host_parameters[] = {
    {"Profile", PARAMETER_CHOICE, .words = "open|preview|ws2016|ws2019|ws2022|ws2025", .setting = "profile",
     .help = "which host's rules hold: nestbox rules lists them"},
    {"Passthru", PARAMETER_SWITCH, .help = "puts the host out"}, {0},
};
static const struct parameter no_parameters[] = {{0}};
const struct cmdlet cmdlets_host[] = {
    {"Get-NetAdapter", NULL, adapter_parameters, .process = get_adapters, .summary = "Lists interfaces of the host",
     .gives = "NetAdapter",
     .examples = "Get-NetAdapter | Format-Table -AutoSize"},
    {"Get-CimInstance", "Get-WmiObject|gwmi|gcim", wmi_parameters, .process = get_wmi,
     .summary = "Returns what the host's CPU or machine is",
     .examples = "Get-CimInstance Win32_Processor | Select-Object Name, Manufacturer, NumberOfCores"},
    {"Get-VMHost", NULL, no_parameters, .process = get_host, .summary = "Returns what the host has for VMs",
     .gives = "VMHost",
     .examples = "Get-VMHost | Format-List *"},
    {"Set-VMHost", NULL, host_parameters, IMPACT_MEDIUM, .process = set_host,
     .summary = "Changes settings of the host", .examples = "Set-VMHost -Profile ws2022"},
    {"Get-VMHostSupportedVersion", NULL, no_parameters, .process = get_versions,
     .summary = "Lists the configuration versions that new VMs can have", .gives = "VMHostSupportedVersion",
     .examples = "Get-VMHostSupportedVersion"},
    {"netsh", NULL, no_parameters, .raw = true, .process = netsh,
     .summary = "Takes netsh interface ip add dnsserver, and nothing else",
     .examples = "netsh interface ip add dnsserver \"vEthernet (VmNAT)\" address=192.0.2.53"},
    {0},
};
/* clang-format on */
