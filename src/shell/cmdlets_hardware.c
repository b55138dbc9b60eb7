/*
 * The CPUs, the memory and the firmware of VMs.
 */
#include "shell/model.h"
#include "shell/vms.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct property_row processor_rows[] = {
    {"ResourcePoolName", PROPERTY_CONSTANT, .words = "Primordial"},
    {"Count", PROPERTY_VALUE, "cpus"},
    {"CompatibilityForMigrationEnabled", PROPERTY_FALSE},
    {"CompatibilityForOlderOperatingSystemsEnabled", PROPERTY_FALSE},
    {"HwThreadCountPerCore", PROPERTY_NUMBER, .constant = 0},
    {"ExposeVirtualizationExtensions", PROPERTY_TRUE, "nested"},
    {"EnablePerfmonPmu", PROPERTY_FALSE},
    {"EnablePerfmonLbr", PROPERTY_FALSE},
    {"EnablePerfmonPebs", PROPERTY_FALSE},
    {"EnablePerfmonIpt", PROPERTY_FALSE},
    {"EnableLegacyApicMode", PROPERTY_FALSE},
    {"Maximum", PROPERTY_VALUE, "cpu-maximum"},
    {"Reserve", PROPERTY_VALUE, "cpu-reserve"},
    {"RelativeWeight", PROPERTY_VALUE, "cpu-weight"},
    {"MaximumCountPerNumaNode", PROPERTY_VALUE, "cpus"},
    {"MaximumCountPerNumaSocket", PROPERTY_NUMBER, .constant = 1},
    {"EnableHostResourceProtection", PROPERTY_FALSE},
    {"OperationalStatus", PROPERTY_LIST, .words = "Ok|HostResourceProtectionDisabled"},
    PART_ROWS("Processor"),
    /* what Hyper-V has not */
    {"VirtualizationExtensions", PROPERTY_WORD, "nested", "Off|Intel|AMD|On"},
    {"Model", PROPERTY_VALUE, "cpu"},
    {0},
};
static const struct property_row memory_rows[] = {
    {"ResourcePoolName", PROPERTY_CONSTANT, .words = "Primordial"},
    {"Buffer", PROPERTY_VALUE, "memory-buffer"},
    {"DynamicMemoryEnabled", PROPERTY_VALUE, "dynamic-memory"},
    {"Maximum", PROPERTY_VALUE, "memory-maximum"},
    {"Minimum", PROPERTY_VALUE, "memory-minimum"},
    {"Priority", PROPERTY_VALUE, "memory-priority"},
    {"Startup", PROPERTY_VALUE, "memory"},
    PART_ROWS("Memory"),
    {"Cap", PROPERTY_VALUE, "memory-cap"},
    {0},
};
static const struct property_row firmware_rows[] = {
    {"VMName", PROPERTY_VALUE, "name"},
    {"SecureBoot", PROPERTY_ON_OFF, "secure-boot"},
    {"BootOrder", PROPERTY_NOTHING},
    {"VMId", PROPERTY_VALUE, "id"},
    {"ComputerName", PROPERTY_HOST},
    {"IsDeleted", PROPERTY_FALSE},
    {0},
};
static const struct property_row bios_rows[] = {
    {"VMName", PROPERTY_VALUE, "name"},
    {"StartupOrder", PROPERTY_NOTHING},
    {"VMId", PROPERTY_VALUE, "id"},
    {"ComputerName", PROPERTY_HOST},
    {"IsDeleted", PROPERTY_FALSE},
    {0},
};
static const struct property_row security_rows[] = {
    {"TpmEnabled", PROPERTY_VALUE, "tpm"},
    {"VMName", PROPERTY_VALUE, "name"},
    {"VMId", PROPERTY_VALUE, "id"},
    {"ComputerName", PROPERTY_HOST},
    {"IsDeleted", PROPERTY_FALSE},
    {0},
};
static const struct property_row service_rows[] = {
    {"VMName", PROPERTY_VALUE, "name"},
    {"Name", PROPERTY_NOTHING},
    {"Enabled", PROPERTY_NUMBER, .constant = 1},
    {"PrimaryStatusDescription", PROPERTY_NOTHING},
    {"SecondaryStatusDescription", PROPERTY_CONSTANT, .words = ""},
    {"VMId", PROPERTY_VALUE, "id"},
    {0},
};

/* What is started first: the manager's words, and those of cmdlets for generation 2 and 1. */
static const struct boot_word {
    const char *word, *firmware, *bios;
    const char *type; /* of objects that mean it */
} boot_words[] = {
    {"disk", "Drive", "IDE", "HardDiskDrive"},
    {"cd", "DvdDrive", "CD", "DvdDrive"},
    {"network", "Network", "LegacyNetworkAdapter", "VMNetworkAdapter"},
    {"floppy", "Floppy", "Floppy", NULL},
};
/* As a VM starts that says nothing. */
#define BOOT_DEFAULT "disk,cd"
/* clang-format on */

static struct value *processor(struct heap *heap, const json_t *vm)
{
    return model_object(heap, "VMProcessor", processor_rows, vm);
}

static struct value *memory(struct heap *heap, const json_t *vm)
{
    return model_object(heap, "VMMemory", memory_rows, vm);
}

static struct value *boot_order(struct heap *heap, const json_t *vm, bool bios)
{
    const char *text = model_text(json_object_get(vm, "settings"), "boot");
    struct value *list = value_array(heap);
    for (const char *at = *text ? text : BOOT_DEFAULT; *at; at += strcspn(at, ","), at += *at == ',')
        for (unsigned i = 0; i < ARRAY_LEN(boot_words); i++)
            if (strlen(boot_words[i].word) == strcspn(at, ",") && text_begins(at, boot_words[i].word))
                array_add(list, value_text(heap, bios ? boot_words[i].bios : boot_words[i].firmware));
    return list;
}

static struct value *firmware(struct heap *heap, const json_t *vm)
{
    struct value *v = model_object(heap, "VMFirmware", firmware_rows, vm);
    object_set(v, "BootOrder", boot_order(heap, vm, false));
    return v;
}

static struct value *bios(struct heap *heap, const json_t *vm)
{
    struct value *v = model_object(heap, "VMBios", bios_rows, vm);
    object_set(v, "StartupOrder", boot_order(heap, vm, true));
    return v;
}

static struct value *security(struct heap *heap, const json_t *vm)
{
    return model_object(heap, "VMSecurity", security_rows, vm);
}

static enum flow get_processor(struct call *call)
{
    return vms_put(call, processor);
}

static enum flow set_processor(struct call *call)
{
    return vms_change(call, processor);
}

static enum flow get_memory(struct call *call)
{
    return vms_put(call, memory);
}

static enum flow set_memory(struct call *call)
{
    return vms_change(call, memory);
}

static enum flow get_firmware(struct call *call)
{
    return vms_put(call, firmware);
}

static const struct boot_word *boot_word_of(const struct value *device)
{
    const char *text = device->kind == VALUE_TEXT ? device->text : "";
    for (unsigned i = 0; i < ARRAY_LEN(boot_words); i++)
        if (text_same(text, boot_words[i].word) || text_same(text, boot_words[i].firmware) ||
            text_same(text, boot_words[i].bios) || (boot_words[i].type && value_is(device, boot_words[i].type)))
            return &boot_words[i];
    return NULL;
}

/* Makes the manager's text of a parameter with devices: "cd,disk". `rest`: the others follow in their usual order. */
static enum flow take_boot(struct call *call, const char *parameter, bool rest)
{
    struct value *devices = value_array(&call->shell->heap);
    struct text text = {0};
    call_objects(call, parameter, devices);
    for (size_t i = 0; i < devices->array.count; i++) {
        const struct boot_word *word = boot_word_of(devices->array.item[i]);
        if (!word) {
            struct text said = {0};
            value_put(devices->array.item[i], &said);
            enum flow flow = call_error(call, INVALID_ARGUMENT, "InvalidParameter", parameter,
                                        "-%s: '%s' is nothing to start from; Drive, DvdDrive, Network and Floppy are",
                                        parameter, text_get(&said));
            text_free(&said);
            text_free(&text);
            return flow;
        }
        if (!text.used || !strstr(text_get(&text), word->word))
            text_format(&text, "%s%s", text.used ? "," : "", word->word);
    }
    for (const char *at = BOOT_DEFAULT; rest && *at; at += strcspn(at, ","), at += *at == ',') {
        char word[16];
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(at, ","), at);
        if (!strstr(text_get(&text), word))
            text_format(&text, ",%s", word);
    }
    for (unsigned i = 0; call->parameters[i].name; i++)
        if (strcmp(call->parameters[i].name, parameter) == 0)
            call->bound[i] = value_text(&call->shell->heap, text_get(&text));
    text_free(&text);
    return FLOW_NEXT;
}

static enum flow change_boot(struct call *call, const char *order, const char *first,
                             struct value *(*object)(struct heap *heap, const json_t *json))
{
    enum flow flow = FLOW_NEXT;
    if (call_argument(call, order))
        flow = take_boot(call, order, false);
    else if (first && call_argument(call, first))
        flow = take_boot(call, first, true);
    return flow == FLOW_NEXT && !call->failed ? vms_change(call, object) : flow;
}

static enum flow set_firmware(struct call *call)
{
    return change_boot(call, "BootOrder", "FirstBootDevice", firmware);
}

static enum flow get_bios(struct call *call)
{
    return vms_put(call, bios);
}

static enum flow set_bios(struct call *call)
{
    return change_boot(call, "StartupOrder", NULL, bios);
}

static enum flow get_security(struct call *call)
{
    return vms_put(call, security);
}

static enum flow enable_tpm(struct call *call)
{
    return vms_set(call, "tpm", "on", security);
}

static enum flow disable_tpm(struct call *call)
{
    return vms_set(call, "tpm", "off", security);
}

/* What Hyper-V's integration services do, the guest's agent does here. */
static enum flow get_services(struct call *call)
{
    static const char *const services[] = {"Guest Service Interface", "Heartbeat", "Shutdown", "VSS"};
    struct heap *heap = &call->shell->heap;
    json_t *vms, *vm;
    size_t index;
    enum flow flow = vms_find(call, &vms);
    json_array_foreach (vms, index, vm)
        for (unsigned i = 0; i < ARRAY_LEN(services) && flow == FLOW_NEXT; i++) {
            struct value *v = model_object(heap, "VMIntegrationComponent", service_rows, vm);
            bool runs = !text_listed("Off|Saved", model_text(vm, "state"));
            bool ready = json_is_true(json_object_get(json_object_get(vm, "agent"), "ready"));
            if (!model_wanted(call, "Name", services[i]))
                continue;
            object_set(v, "Name", value_text(heap, services[i]));
            object_set(v, "Enabled", &value_true);
            object_set(v, "PrimaryStatusDescription", value_text(heap, !runs ? "" : ready ? "OK" : "No Contact"));
            flow = call_put(call, v);
        }
    json_decref(vms);
    return flow;
}

/* clang-format off */
#define PASSTHRU {"Passthru", PARAMETER_SWITCH, .help = "puts the result out"}
static const struct parameter get_parameters[] = {VMS_OF_PARTS(1), {0}};
static const struct parameter processor_parameters[] = {
    VMS_OF_PARTS(1),
    {"Count", PARAMETER_NUMBER, .setting = "cpus", .help = "how many CPUs"},
    {"ExposeVirtualizationExtensions", PARAMETER_BOOL, .setting = "nested",
     .help = "whether the VM can run VMs itself; only while it is off"},
    {"Maximum", PARAMETER_NUMBER, .setting = "cpu-maximum", .help = "per cent that it may use"},
    {"Reserve", PARAMETER_NUMBER, .setting = "cpu-reserve", .help = "per cent that it gets in any case"},
    {"RelativeWeight", PARAMETER_NUMBER, .setting = "cpu-weight", .help = "its share where VMs compete"},
    PASSTHRU, {0},
};
static const struct parameter memory_parameters[] = {
    VMS_OF_PARTS(1),
    {"DynamicMemoryEnabled", PARAMETER_BOOL, .setting = "dynamic-memory",
     .help = "whether memory follows what the guest needs"},
    {"StartupBytes", PARAMETER_NUMBER, .setting = "memory", .help = "memory at the start"},
    {"MinimumBytes", PARAMETER_NUMBER, .setting = "memory-minimum", .help = "least of dynamic memory"},
    {"MaximumBytes", PARAMETER_NUMBER, .setting = "memory-maximum", .help = "most of dynamic memory"},
    {"Buffer", PARAMETER_NUMBER, .setting = "memory-buffer", .help = "per cent more than the guest needs"},
    {"Priority", PARAMETER_NUMBER, .setting = "memory-priority", .help = "who keeps memory when it is short"},
    PASSTHRU, {0},
};
static const struct parameter firmware_parameters[] = {
    VMS_OF_PARTS(1),
    {"EnableSecureBoot", PARAMETER_CHOICE, .words = "On|Off", .setting = "secure-boot",
     .help = "UEFI starts only what is signed"},
    {"BootOrder", PARAMETER_ANY, .setting = "boot",
     .help = "what is started first: Drive, DvdDrive, Network, or objects of these"},
    {"FirstBootDevice", PARAMETER_ANY, .setting = "boot", .help = "the first of these; the others follow"},
    PASSTHRU, {0},
};
static const struct parameter bios_parameters[] = {
    VMS_OF_PARTS(1),
    {"StartupOrder", PARAMETER_ANY, .setting = "boot",
     .help = "what is started first: IDE, CD, LegacyNetworkAdapter, Floppy"},
    PASSTHRU, {0},
};
static const struct parameter tpm_parameters[] = {VMS_OF_PARTS(1), PASSTHRU, {0}};
static const struct parameter service_parameters[] = {
    VMS_OF_PARTS(1), {"Name", PARAMETER_TEXTS, 0, 2, .help = "which services, with wildcards"}, {0},
};
const struct cmdlet cmdlets_hardware[] = {
    {"Get-VMProcessor", NULL, get_parameters, .process = get_processor, .summary = "Shows the CPUs of VMs",
     .gives = "VMProcessor",
     .examples = "Get-VMProcessor lab\n"
                 "Get-VMProcessor -VMName * | Select-Object VMName, ExposeVirtualizationExtensions"},
    {"Set-VMProcessor", NULL, processor_parameters, IMPACT_MEDIUM, .process = set_processor,
     .summary = "Changes the CPUs of VMs",
     .examples = "Set-VMProcessor -VMName lab -ExposeVirtualizationExtensions $true\n"
                 "Set-VMProcessor lab -Count 4 -Maximum 50"},
    {"Get-VMMemory", NULL, get_parameters, .process = get_memory, .summary = "Shows the memory of VMs",
     .gives = "VMMemory",
     .examples = "Get-VMMemory lab"},
    {"Set-VMMemory", NULL, memory_parameters, IMPACT_MEDIUM, .process = set_memory,
     .summary = "Changes the memory of VMs",
     .examples = "Set-VMMemory lab -DynamicMemoryEnabled $true -MinimumBytes 512MB -StartupBytes 1GB "
                 "-MaximumBytes 4GB"},
    {"Get-VMFirmware", NULL, get_parameters, .process = get_firmware, .summary = "Shows the firmware of VMs",
     .gives = "VMFirmware",
     .examples = "Get-VMFirmware lab"},
    {"Set-VMFirmware", NULL, firmware_parameters, IMPACT_MEDIUM, .process = set_firmware,
     .summary = "Changes the firmware of VMs",
     .examples = "Set-VMFirmware lab -EnableSecureBoot On\n"
                 "Set-VMFirmware lab -FirstBootDevice (Get-VMDvdDrive lab)"},
    {"Get-VMBios", NULL, get_parameters, .process = get_bios, .summary = "Shows the BIOS of VMs of generation 1",
     .gives = "VMBios",
     .examples = "Get-VMBios old"},
    {"Set-VMBios", NULL, bios_parameters, IMPACT_MEDIUM, .process = set_bios,
     .summary = "Changes what VMs of generation 1 start from",
     .examples = "Set-VMBios old -StartupOrder CD,IDE"},
    {"Get-VMSecurity", NULL, get_parameters, .process = get_security, .summary = "Shows whether VMs have a TPM",
     .gives = "VMSecurity",
     .examples = "Get-VMSecurity lab"},
    {"Enable-VMTPM", NULL, tpm_parameters, IMPACT_MEDIUM, .process = enable_tpm, .summary = "Gives VMs a TPM",
     .examples = "Enable-VMTPM lab"},
    {"Disable-VMTPM", NULL, tpm_parameters, IMPACT_MEDIUM, .process = disable_tpm,
     .summary = "Takes the TPM of VMs away",
     .examples = "Disable-VMTPM lab"},
    {"Get-VMIntegrationService", NULL, service_parameters, .process = get_services,
     .summary = "Shows what the agents in guests do", .gives = "VMIntegrationComponent",
     .examples = "Get-VMIntegrationService lab\n"
                 "Get-VMIntegrationService lab -Name Heartbeat"},
    {0},
};
/* clang-format on */
