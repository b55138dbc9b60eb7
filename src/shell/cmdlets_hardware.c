/*
 * The CPUs, the memory and the firmware of VMs.
 */
#include "shell/model.h"
#include "shell/vms.h"

/* clang-format off */
static const struct property_row processor_rows[] = {
    {"ResourcePoolName", PROPERTY_CONSTANT, .words = "Primordial"},
    {"Count", PROPERTY_VALUE, "cpus"},
    {"CompatibilityForMigrationEnabled", PROPERTY_FALSE},
    {"CompatibilityForOlderOperatingSystemsEnabled", PROPERTY_FALSE},
    {"HwThreadCountPerCore", PROPERTY_NUMBER, .constant = 0},
    {"ExposeVirtualizationExtensions", PROPERTY_TRUE, "nested"},
    {"VirtualizationExtensions", PROPERTY_WORD, "nested", "Off|Intel|AMD|On"},
    {"Model", PROPERTY_VALUE, "cpu"},
    {"Maximum", PROPERTY_VALUE, "cpu-maximum"},
    {"Reserve", PROPERTY_VALUE, "cpu-reserve"},
    {"RelativeWeight", PROPERTY_VALUE, "cpu-weight"},
    {"OperationalStatus", PROPERTY_CONSTANT, .words = "Ok"},
    {"Name", PROPERTY_CONSTANT, .words = "Processor"},
    {"VMId", PROPERTY_VALUE, "id"},
    {"VMName", PROPERTY_VALUE, "name"},
    {"IsDeleted", PROPERTY_FALSE},
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
    {"Cap", PROPERTY_VALUE, "memory-cap"},
    {"Name", PROPERTY_CONSTANT, .words = "Memory"},
    {"VMId", PROPERTY_VALUE, "id"},
    {"VMName", PROPERTY_VALUE, "name"},
    {"IsDeleted", PROPERTY_FALSE},
    {0},
};
static const struct property_row firmware_rows[] = {
    {"VMName", PROPERTY_VALUE, "name"},
    {"SecureBoot", PROPERTY_ON_OFF, "secure-boot"},
    {"BootOrder", PROPERTY_VALUE, "boot"},
    {"VMId", PROPERTY_VALUE, "id"},
    {0},
};
/* clang-format on */

static struct value *processor(struct heap *heap, const json_t *vm)
{
    return model_object(heap, "VMProcessor", processor_rows, vm);
}

static struct value *memory(struct heap *heap, const json_t *vm)
{
    return model_object(heap, "VMMemory", memory_rows, vm);
}

static struct value *firmware(struct heap *heap, const json_t *vm)
{
    return model_object(heap, "VMFirmware", firmware_rows, vm);
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

static enum flow set_firmware(struct call *call)
{
    return vms_change(call, firmware);
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
    PASSTHRU, {0},
};
const struct cmdlet cmdlets_hardware[] = {
    {"Get-VMProcessor", NULL, get_parameters, .process = get_processor, .summary = "Shows the CPUs of VMs",
     .gives = "VMProcessor"},
    {"Set-VMProcessor", NULL, processor_parameters, IMPACT_MEDIUM, .process = set_processor,
     .summary = "Changes the CPUs of VMs"},
    {"Get-VMMemory", NULL, get_parameters, .process = get_memory, .summary = "Shows the memory of VMs",
     .gives = "VMMemory"},
    {"Set-VMMemory", NULL, memory_parameters, IMPACT_MEDIUM, .process = set_memory,
     .summary = "Changes the memory of VMs"},
    {"Get-VMFirmware", NULL, get_parameters, .process = get_firmware, .summary = "Shows the firmware of VMs",
     .gives = "VMFirmware"},
    {"Set-VMFirmware", NULL, firmware_parameters, IMPACT_MEDIUM, .process = set_firmware,
     .summary = "Changes the firmware of VMs"},
    {0},
};
/* clang-format on */
