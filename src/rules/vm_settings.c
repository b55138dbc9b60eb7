/*
 * The table of settings of the manager's VMs, in the order of --help and of the manual page. After a change: `make
 * derive`.
 */
#include "rules/vm_settings.h"

#include "rules/vm_state.h"

#include <errno.h>
#include <string.h>

#define AT(field) offsetof(struct vm_settings, field)
/* Settings change only while the VM is off, or in these states. */
#define HOT (BIT(VM_OFF) | BIT(VM_RUNNING))
#define LIVE (BIT(VM_OFF) | BIT(VM_RUNNING) | BIT(VM_PAUSED) | BIT(VM_SAVED))

static const char general[] = "VM", processor[] = "CPU", memory[] = "Memory", firmware[] = "Firmware and display",
                  life[] = "Life";

static const char *const nesting_names[] = {
    [NESTED_OFF] = "off", [NESTED_INTEL] = "intel", [NESTED_AMD] = "amd", [NESTED_HOST] = "on", NULL};
static const char *const accel_names[] = {[ACCEL_AUTO] = "auto", [ACCEL_ENGINE] = "engine", [ACCEL_KVM] = "kvm", NULL};
static const char *const display_names[] = {[DISPLAY_NONE] = "none", [DISPLAY_VNC] = "vnc", NULL};
static const char *const start_names[] = {
    [AUTO_START_NOTHING] = "nothing", [AUTO_START_IF_RUNNING] = "if-running", [AUTO_START_ALWAYS] = "start", NULL};
static const char *const stop_names[] = {
    [AUTO_STOP_SAVE] = "save", [AUTO_STOP_TURN_OFF] = "turn-off", [AUTO_STOP_SHUT_DOWN] = "shut-down", NULL};
static const char *const error_names[] = {[ERROR_PAUSE] = "pause", [ERROR_NONE] = "none", NULL};
static const char *const checkpoint_names[] = {[CHECKPOINT_PRODUCTION] = "production",
                                               [CHECKPOINT_PRODUCTION_ONLY] = "production-only",
                                               [CHECKPOINT_STANDARD] = "standard",
                                               [CHECKPOINT_DISABLED] = "disabled",
                                               NULL};

/* clang-format off */
const struct setting vm_settings_table[] = {
    {"notes", SETTING_TEXT, AT(notes), "TEXT", "a text of your own",
     .group = general, .property = "VM.Notes", .states = LIVE},
    {"template", SETTING_ON_OFF, AT(template), "on|off", "it is not started, only cloned",
     "A template is not started, so that its disks stay as they are and linked clones can stand on them.",
     .group = general, .def = "off"},
    {"generation", SETTING_NUMBER, AT(generation), "N", "1: BIOS and IDE; 2: UEFI; chosen once",
     "The kind of machine: 1 has a BIOS and IDE controllers, 2 has UEFI. It is chosen when the VM is created.",
     .group = general, .def = "2", .min = 1, .max = 2, .examples = "1 2", .property = "VM.Generation"},

    {"cpus", SETTING_NUMBER, AT(cpus), "N", "number of CPUs",
     .group = processor, .def = "1", .min = 1, .max = 256, .property = "VMProcessor.Count"},
    {"nested", SETTING_CHOICE, AT(nested), "KIND", "virtualization for the guest",
     "What the guest finds: *intel* (VT-x), *amd* (AMD-V), *on* (that of the host's CPU) or *off*.",
     .group = processor, .def = "off", .choices = nesting_names,
     .property = "VMProcessor.ExposeVirtualizationExtensions"},
    {"cpu", SETTING_TEXT, AT(cpu), "MODEL,+F,-F", "CPU model, with features added or taken away (default max)",
     "The CPU model, with features added or taken away, as *nestbox run* has it.",
     .group = processor, .examples = "max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4"},
    {"accel", SETTING_CHOICE, AT(accel), "NAME", "what runs the CPUs",
     "What runs the CPUs: *engine*, *kvm*, or *auto*, which takes the host's KVM where it is fit for all that is "
     "asked, and the engine otherwise.",
     .group = processor, .def = "auto", .choices = accel_names},
    {"direct", SETTING_CHOICE, AT(direct), "WHEN", "user code by the host's CPU",
     "Which user code of the guest the engine has the host's CPU execute itself, as with *nestbox run*: "
     "*off*, *auto* or *on*. QEMU may make processes then, which its sandbox forbids otherwise.",
     .group = processor, .def = "off", .choices = direct_names},
    {"cpu-maximum", SETTING_NUMBER, AT(cpu_maximum), "N", "per cent of its CPUs that the VM may use of the host's",
     .group = processor, .def = "100", .min = 1, .max = 100, .property = "VMProcessor.Maximum", .states = LIVE},
    {"cpu-reserve", SETTING_NUMBER, AT(cpu_reserve), "N", "per cent of its CPUs that the VM gets in any case",
     .group = processor, .def = "0", .max = 100, .property = "VMProcessor.Reserve", .states = LIVE},
    {"cpu-weight", SETTING_NUMBER, AT(cpu_weight), "N", "share of the host's CPUs where VMs compete",
     .group = processor, .def = "100", .min = 1, .max = 10000, .property = "VMProcessor.RelativeWeight",
     .states = LIVE},
    {"enlightenments", SETTING_ON_OFF, AT(enlightenments), "on|off", "Hyper-V's interfaces for guests",
     "Whether the guest finds the interfaces that Hyper-V has for its guests; Windows is faster with them.",
     .group = processor, .def = "off"},

    {"memory", SETTING_SIZE, AT(memory), "SIZE", "memory in MiB, or with K, M, G or T",
     "Memory with K, M, G or T; a bare number is MiB. It is all that the VM has, or, where memory is dynamic, what it "
     "starts with.",
     .group = memory, .def = "1G", .min = 32ull << 20, .max = 4ull << 40, .examples = "512M 1G 2G 4G",
     .property = "VMMemory.Startup", .states = HOT},
    {"dynamic-memory", SETTING_ON_OFF, AT(dynamic_memory), "on|off", "memory follows what the guest needs",
     "Whether the host changes the VM's memory between its minimum and its maximum, as the guest needs it.",
     .group = memory, .def = "off", .property = "VMMemory.DynamicMemoryEnabled"},
    {"memory-minimum", SETTING_SIZE, AT(memory_minimum), "SIZE", "least of dynamic memory; may be lowered at any time",
     .group = memory, .def = "512M", .min = 32ull << 20, .max = 4ull << 40, .property = "VMMemory.Minimum",
     .states = HOT},
    {"memory-maximum", SETTING_SIZE, AT(memory_maximum), "SIZE", "most of dynamic memory; may be raised at any time",
     .group = memory, .def = "1T", .min = 32ull << 20, .max = 4ull << 40, .property = "VMMemory.Maximum",
     .states = HOT},
    {"memory-buffer", SETTING_NUMBER, AT(memory_buffer), "N", "per cent more than the guest needs",
     .group = memory, .def = "20", .min = 5, .max = 2000, .property = "VMMemory.Buffer", .states = LIVE},
    {"memory-priority", SETTING_NUMBER, AT(memory_priority), "N", "who keeps memory when the host's is short",
     .group = memory, .def = "50", .max = 100, .property = "VMMemory.Priority", .states = LIVE},
    {"memory-cap", SETTING_SIZE, AT(memory_cap), "SIZE", "limit for all ways to more memory; 0 is none",
     .group = memory, .def = "0", .max = 4ull << 40, .states = LIVE},

    {"secure-boot", SETTING_ON_OFF, AT(secure_boot), "on|off", "UEFI starts only what is signed (generation 2)",
     .group = firmware, .def = "off", .property = "VMFirmware.SecureBoot"},
    {"tpm", SETTING_ON_OFF, AT(tpm), "on|off", "a TPM 2.0 by swtpm",
     .group = firmware, .def = "off", .property = "VMSecurity.TpmEnabled"},
    {"boot", SETTING_TEXT, AT(boot), "LIST", "what is started first, as disk,network,cd",
     "What is started first: *disk*, *network*, *cd* and *floppy* with commas between them. "
     "The first that can be started is.",
     .group = firmware, .examples = "disk network cd disk,network"},
    {"display", SETTING_CHOICE, AT(display), "KIND", "where the picture goes",
     "Where the picture of the VM goes: *vnc*, a socket in its run folder that *nestbox view* shows, or *none*: the VM "
     "has no graphics card.",
     .group = firmware, .def = "vnc", .choices = display_names},

    {"auto-start", SETTING_CHOICE, AT(auto_start), "WHEN", "what happens when the host starts",
     .group = life, .def = "if-running", .choices = start_names, .property = "VM.AutomaticStartAction", .states = LIVE},
    {"start-delay", SETTING_SECONDS, AT(start_delay_ms), "SECONDS", "how long the start with the host waits",
     .group = life, .def = "0", .max = 86400000, .property = "VM.AutomaticStartDelay", .states = LIVE},
    {"auto-stop", SETTING_CHOICE, AT(auto_stop), "HOW", "what happens when the host stops",
     .group = life, .def = "save", .choices = stop_names, .property = "VM.AutomaticStopAction", .states = LIVE},
    {"error-action", SETTING_CHOICE, AT(error_action), "WHAT", "what an error of a disk does",
     "What the VM does when a disk of the host is full or gone: *pause* until it is there again, or *none*: the guest "
     "gets the error.",
     .group = life, .def = "pause", .choices = error_names, .property = "VM.AutomaticCriticalErrorAction",
     .states = LIVE},
    {"error-timeout", SETTING_SECONDS, AT(error_timeout_ms), "SECONDS", "how long it waits before it is turned off",
     .group = life, .def = "1800", .max = 604800000, .property = "VM.AutomaticCriticalErrorActionTimeout",
     .states = LIVE},
    {"checkpoints", SETTING_CHOICE, AT(checkpoints), "KIND", "what a checkpoint has",
     "What a checkpoint has: *production* (disks, with the guest's file systems at rest, and *standard* where the "
     "guest cannot do that), *production-only*, *standard* (memory, too) or *disabled*.",
     .group = life, .def = "production", .choices = checkpoint_names, .property = "VM.CheckpointType", .states = LIVE},
    {"metering", SETTING_ON_OFF, AT(metering), "on|off", "what it uses is summed up",
     "Whether what the VM uses is summed up, over all its starts, for *nestbox meter*: CPU time, memory, disks, "
     "network.",
     .group = life, .def = "off", .property = "VM.ResourceMeteringEnabled", .states = LIVE},
    {0},
};
/* clang-format on */

#define MEMORY_UNIT (2ull << 20)
#define ABOVE_MEMORY (40ull << 30) /* below 4 GiB and above memory: windows of devices, and what rounding takes */
#define AMD_HOLE (1012ull << 30)   /* what would reach it lies above 1 TiB in QEMU's machines with AMD's CPUs */
#define AMD_HOLE_END (1024ull << 30)

u32 vm_address_bits(u64 size)
{
    u64 end = size + ABOVE_MEMORY;
    u32 bits = 40;
    if (end > AMD_HOLE)
        end += AMD_HOLE_END;
    while (end > 1ull << bits)
        bits++;
    return bits;
}

static int check_boot(const char *text, struct error *error)
{
    static const char *const devices[] = {"disk", "network", "cd", "floppy"};
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, ",");
        bool known = false;
        for (unsigned i = 0; i < ARRAY_LEN(devices); i++)
            known |= strlen(devices[i]) == length && !memcmp(devices[i], at, length);
        if (!known || (at[length] && !at[length + 1])) {
            error_set(error, -EINVAL, SETTING("boot") ": '%.100s' has something that is no device to start from", text);
            return error_hint(error, "disk, network, cd and floppy, with commas between them");
        }
        at += length + (at[length] == ',');
    }
    return 0;
}

int vm_settings_check(const struct vm_settings *settings, struct error *error)
{
    const struct {
        const char *name;
        u64 size;
    } sizes[] = {{"memory", settings->memory},
                 {"memory-minimum", settings->memory_minimum},
                 {"memory-maximum", settings->memory_maximum},
                 {"memory-cap", settings->memory_cap}};
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
        if (sizes[i].size % MEMORY_UNIT)
            return error_set(error, -EINVAL, SETTING("%s") " is not a multiple of 2 MiB", sizes[i].name);
    if (settings->dynamic_memory && settings->memory_minimum > settings->memory)
        return error_set(error, -EINVAL, SETTING("memory-minimum") " is more than " SETTING("memory"));
    if (settings->dynamic_memory && settings->memory_maximum < settings->memory)
        return error_set(error, -EINVAL, SETTING("memory-maximum") " is less than " SETTING("memory"));
    if (settings->memory_cap && settings->memory > settings->memory_cap)
        return error_set(error, -EINVAL, SETTING("memory") " is more than " SETTING("memory-cap"));
    if (settings->accel == ACCEL_KVM && settings->cpu && *settings->cpu)
        return accel_needs_engine("cpu", error);
    if (settings->cpu_reserve > settings->cpu_maximum)
        return error_set(error, -EINVAL, SETTING("cpu-reserve") " is more than " SETTING("cpu-maximum"));
    if (settings->secure_boot && settings->generation == 1) {
        error_set(error, -EINVAL, SETTING("secure-boot") " needs UEFI, and a VM of generation 1 has a BIOS");
        return error_hint(error, "create the VM with " SETTING("generation") " 2");
    }
    return settings->boot && *settings->boot ? check_boot(settings->boot, error) : 0;
}
