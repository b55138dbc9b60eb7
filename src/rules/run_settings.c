/*
 * The tables of settings, in the order of --help and of the manual page. After a change: `make derive`.
 */
#include "rules/run_settings.h"

#include "rules/serial.h"

#include <errno.h>

#define AT(field) offsetof(struct run_settings, field)

static const char machine[] = "Machine", processor[] = "CPU", console[] = "Console", debugging[] = "Debugging";

static const char *const nesting_names[] = {[NESTED_OFF] = "off", [NESTED_INTEL] = "intel", [NESTED_AMD] = "amd", NULL};
static const char *const accel_names[] = {[ACCEL_AUTO] = "auto", [ACCEL_ENGINE] = "engine", [ACCEL_KVM] = "kvm", NULL};
const char *const direct_names[] = {[DIRECT_OFF] = "off", [DIRECT_AUTO] = "auto", [DIRECT_ON] = "on", NULL};
static const char *const unpack_names[] = {[UNPACK_OFF] = "off", [UNPACK_ON] = "on", [UNPACK_KEEP] = "keep", NULL};
static const char *const mapped_names[] = {
    [MAPPED_OFF] = "off", [MAPPED_KERNEL] = "kernel", [MAPPED_AUTO] = "auto", [MAPPED_ON] = "on", NULL};
static const char *const trace_names[] = {"entry", "exits", NULL};
static const char *const kvm_nesting_names[] = {
    [NESTED_OFF] = "off", [NESTED_INTEL] = "intel", [NESTED_AMD] = "amd", [NESTED_HOST] = "host", NULL};
static const char *const kvm_trace_names[] = {"entry", "exits", "ioctl", "unknown", "run", NULL};

/* clang-format off */
/* Rows of more than one table. */
#define ROW_CPU \
    {"cpu", SETTING_TEXT, AT(cpu), "MODEL,+F,-F", "CPU model, with features added or taken away (default max)", \
     "The CPU model, with features added or taken away. " \
     "Models are *max* (the default, and *host*, the same), *x86-64* (*x86-64-v1*), *x86-64-v2*, *x86-64-v3*, " \
     "*x86-64-v4* and *legacy32*; features have the names of _/proc/cpuinfo_.", \
     .group = processor, .examples = "max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4 legacy32"}
#define ROW_TRACE_FILE(what_becomes) \
    {"trace-file", SETTING_TEXT, AT(trace_file), "FILE", "where the trace goes (default standard error)", \
     "Write the lines of *--trace* to _FILE_ and not to standard error; " what_becomes, \
     .group = debugging, .file = true}
#define ROW_SYMBOLS(help, about) \
    {"symbols", SETTING_TEXT, AT(symbols), "FILE", help, about, .group = debugging, .file = true}
#define ROW_PERF_MAP \
    {"perf-map", SETTING_FLAG, AT(perf_map), NULL, "names of translated code for perf", \
     "Write at the end, for *perf report*, what translated code is: */tmp/perf-PID.map*, by the level, the function " \
     "if *--symbols* has it, or the guest's address. " \
     "The engine only.", \
     .group = debugging}

#define ROW_DIRECT(usual, more) \
    {"direct", SETTING_CHOICE, AT(direct), "WHEN", "user code by the host's CPU", \
     "Which 64-bit user code of the guest the host's CPU executes itself, in processes of their own, instead of " \
     "translated code: *off*, *auto* (programs that compute, as long as it pays) or *on* (all that can be). " \
     more "The engine only.", \
     .group = processor, .def = usual, .choices = direct_names}

const struct setting run_settings_table[] = {
    {"kernel", SETTING_TEXT, AT(kernel), "FILE", "what to start: Linux bzImage, multiboot 1, PVH ELF; may be gzipped",
     "What to start: a Linux bzImage, a multiboot 1 kernel (32-bit or 64-bit ELF, or with load addresses in its "
     "header), or an ELF file with a PVH entry note. "
     "It may be compressed with gzip. "
     "An image with both a multiboot header and a PVH note is started by multiboot.",
     .group = machine, .file = true},
    {"initrd", SETTING_LIST, AT(initrd), "FILE", "initrd or module; may be repeated; \"FILE ARGS\" for a module",
     "An initrd or module; may be repeated. "
     "A Linux kernel gets all of them as one, each from a multiple of four bytes. "
     "Other kernels get a module each, whose command line is what follows the first space: "
     "*--initrd \"vmlinuz console=hvc0\"*.",
     .group = machine, .file = true},
    {"append", SETTING_LIST, AT(append), "STR", "the kernel's command line; may be repeated, to add words",
     "The kernel's command line; may be repeated, to add words.",
     .group = machine},
    {"memory", SETTING_SIZE, AT(memory), "SIZE", "guest memory in MiB, or with K, M, G or T",
     "Guest memory, with K, M, G or T; a bare number is MiB.",
     .group = machine, .def = "1G", .min = 2ull << 20, .max = 4ull << 40, .examples = "512M 1G 2G 4G"},
    {"unpack", SETTING_CHOICE, AT(unpack), "HOW", "whether the host unpacks a bzImage, and keeps it unpacked",
     "Whether the host unpacks a bzImage (gzip, lzma, xz, zstd) and starts the kernel inside, at a random place if it "
     "does not have the word *nokaslr*, as the kernel's own code would do slower: *off*, *on*, or *keep*, which keeps "
     "what took long for the next time, in _$XDG_CACHE_HOME/nestbox/kernels_ or below _~/.cache_, eight kernels at "
     "most. "
     "Whatever the host cannot unpack unpacks itself.",
     .group = machine, .def = "keep", .choices = unpack_names},

    {"cpus", SETTING_NUMBER, AT(cpus), "N", "number of CPUs",
     .group = processor, .def = "1", .min = 1, .max = 256},
    {"nested", SETTING_CHOICE, AT(nested), "KIND", "virtualization for the guest",
     "What the guest finds: *intel* (VT-x), *amd* (AMD-V) or *off*.",
     .group = processor, .def = "off", .choices = nesting_names},
    {"accel", SETTING_CHOICE, AT(accel), "NAME", "what runs the CPUs",
     "What runs the CPUs: *engine*, *kvm*, or *auto*, which takes KVM where it works and, if the VM is to nest, nests; "
     "otherwise the engine. "
     "Which one *auto* took, and why, is printed on standard error.",
     .group = processor, .def = "auto", .choices = accel_names},
    ROW_CPU,
    ROW_DIRECT("auto", ""),
    {"mapped", SETTING_CHOICE, AT(mapped), "WHEN", "the guest's memory at host addresses",
     "Whether the host's MMU serves what translated code reads and writes, in place of checks: of the guest's kernel "
     "(*kernel*), where that lets it; of programs too, those for which it pays (*auto*) or all (*on*); or not (*off*). "
     "The engine only.",
     .group = processor, .def = "auto", .choices = mapped_names},

    {"serial", SETTING_LIST, AT(serial), "WHERE",
     "serial port: stdio, none, pty, file:PATH, unix:PATH[,wait]; repeat for two",
     "Where a serial port ends; given twice, the guest has two. "
     "*stdio* (the default of the first) is the terminal, or standard input and output. "
     "*none* drops output. "
     "*pty* makes a pseudo-terminal and prints its name. "
     "*file:*_PATH_, or the path alone, is a file that is created or overwritten (a named pipe is waited for). "
     "*unix:*_PATH_ is a socket that takes one client at a time and is removed at the end; with *,wait* the guest "
     "starts when the first client is there. "
     "The first client of a socket or pseudo-terminal gets the last 64 KiB that were printed before.",
     .group = console, .file = true, .examples = "stdio none pty"},
    {"serial-log", SETTING_TEXT, AT(serial_log), "FILE", "what the first serial port prints goes there, too",
     "Write to _FILE_ what the first serial port prints, too; it is created or overwritten.",
     .group = console, .file = true},

    {"no-reboot", SETTING_FLAG, AT(no_reboot), NULL, "end when the guest resets or has a triple fault",
     "End when the guest asks for a reset or has a triple fault. "
     "Without it the kernel is started again. "
     "A guest that has three triple faults in a row, each within ten seconds of its start, is ended in any case.",
     .group = debugging},
    {"debug-exit", SETTING_FLAG, AT(debug_exit), NULL, "debug-exit port 0xf4 and the PC test device",
     "Give the guest a port 0xf4 by which it ends the VM with a status of its choice, and the test device that "
     "bare-metal hypervisor test programs expect.",
     .group = debugging},
    {"timeout", SETTING_SECONDS, AT(timeout_ms), "SECONDS", "end the guest after that time",
     "End the VM after that time; decimals are allowed.",
     .group = debugging, .min = 1, .max = 1000ull * 1000 * 1000 * 1000},
    {"shutdown-timeout", SETTING_SECONDS, AT(shutdown_ms), "SECONDS", "SIGTERM presses the power button first",
     "On SIGTERM press the power button and end the VM only if the guest has not powered off after that time. "
     "Without it SIGTERM ends the VM at once, as a second one does.",
     .group = debugging, .min = 1, .max = 1000ull * 1000 * 1000 * 1000},
    {"trace", SETTING_SET, AT(trace), "LIST", "what to report on standard error",
     "Report on standard error what _LIST_ names, separated by commas: *entry* (each VMLAUNCH, VMRESUME and VMRUN that "
     "fails, with the rule that it broke and the manual's section), *exits* (each VM exit to L1, in words, with the "
     "level and RIP of the guest that left). "
     "The engine only.",
     .group = debugging, .choices = trace_names},
    ROW_TRACE_FILE("it is created or overwritten."),
    ROW_SYMBOLS("names for RIPs of L1: its System.map or ELF file with symbols",
                "Add the function's name to RIPs of L1 in traces of VM entries and in the registers that are printed "
                "after a time-out, a triple fault or an error. "
                "_FILE_ is the kernel's System.map, a copy of its /proc/kallsyms, or its ELF file (vmlinux) with "
                "symbols; a kernel that moved itself (KASLR) is found."),
    ROW_PERF_MAP,
    {"stats", SETTING_FLAG, AT(stats), NULL, "print counters at the end",
     .group = debugging},
    {0},
};

const struct setting kvm_settings_table[] = {
    {"nested", SETTING_CHOICE, AT(nested), "KIND", "extensions of guests, and their vendor",
     "What guests find: *intel* (an Intel CPU with VT-x), *amd* (AMD's with AMD-V), *host* (that of the host's vendor) "
     "or *off* (the host's vendor, without).",
     .group = processor, .def = "host", .choices = kvm_nesting_names},
    {"accel", SETTING_CHOICE, AT(accel), "NAME", "what runs the CPUs",
     "What runs the CPUs: *engine*, *kvm* (the host's, in any case), or *auto*, which leaves the program to the host's "
     "KVM where that is fit for all that is asked: it runs kernels, nests as *--nested* wants, and none of *--cpu*, "
     "*--trace*, *--stats*, *--perf-map* is given. "
     "Which one *auto* took, and why, is printed on standard error.",
     .group = processor, .def = "auto", .choices = accel_names},
    ROW_CPU,
    ROW_DIRECT("off",
               "The program's memory for the guest must be a file that is mapped shared, as QEMU's "
               "memory-backend-memfd with share=on, which *nestbox qemu* adds where no other memory is named. "),
    {"probe-file", SETTING_TEXT, AT(probe_file), "FILE", "where the verdict on the host's KVM is kept for this boot",
     "Keep in _FILE_ whether the host's KVM runs kernels, and read it from there as long as boot, kernel and CPU are "
     "the same: trying it takes up to half a second. The file must be one that nobody else can write.",
     .group = processor, .file = true},

    {"trace", SETTING_SET, AT(trace), "LIST", "what to report",
     "Report what _LIST_ names, separated by commas: *entry* and *exits* as with *nestbox run*, *ioctl* (each request "
     "of the program but KVM_RUN, with its result), *unknown* (requests and capabilities that are not offered), *run* "
     "(each return of KVM_RUN).",
     .group = debugging, .choices = kvm_trace_names},
    ROW_TRACE_FILE("it is created, or they are appended to what it has."),
    ROW_SYMBOLS("names of L1's functions, for --perf-map",
                "The names of L1's functions for *--perf-map*, as with *nestbox run*."),
    ROW_PERF_MAP,
    {"stats", SETTING_TEXT, AT(stats_file), "FILE", "counters are written there when a VM ends",
     .group = debugging, .file = true},
    {0},
};
/* clang-format on */

int accel_needs_engine(const char *setting, struct error *error)
{
    error_set(error, -EINVAL, SETTING("%s") " needs the engine, and " SETTING("accel") " is kvm", setting);
    return error_hint(error, SETTING("accel") " auto takes the engine for it");
}

int run_settings_check(const struct run_settings *settings, struct error *error)
{
    u32 terminals = 0;
    if (settings->serial.count > SERIALS_MAX)
        return error_set(error, -EINVAL, SETTING("serial") " more than twice: this machine has %u serial ports",
                         SERIALS_MAX);
    for (u32 i = 0; i < settings->serial.count; i++) {
        struct serial serial;
        int e = serial_parse(settings->serial.item[i], &serial, error);
        if (e)
            return e;
        terminals += serial.kind == SERIAL_STDIO;
    }
    if (terminals > 1)
        return error_set(error, -EINVAL, SETTING("serial") " stdio twice: there is one terminal");
    const struct {
        const char *name, *value, *what;
    } texts[] = {{"serial-log", settings->serial_log, "file"},
                 {"trace-file", settings->trace_file, "file"},
                 {"stats", settings->stats_file, "file"},
                 {"symbols", settings->symbols, "file"},
                 {"cpu", settings->cpu, "model"}};
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].value && !*texts[i].value)
            return error_set(error, -EINVAL, SETTING("%s") " without the name of a %s", texts[i].name, texts[i].what);
    if (settings->trace_file && !settings->trace) {
        error_set(error, -EINVAL,
                  SETTING("trace-file") " without " SETTING("trace") ": nothing would be written there");
        return error_hint(error, "name what to report, as in " SETTING("trace") " entry,exits");
    }
    return 0;
}
