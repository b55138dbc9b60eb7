/*
 * nestbox doctor: what this host offers, which accelerator would be used, why, and what would be better; and nestbox
 * probe, which doctor starts with the preloaded library.
 */
#include "accel/accel.h"
#include "accel/direct_process.h"
#include "accel/hostcpu.h"
#include "accel/probe.h"
#include "cli/doctor_networks.h"
#include "cli/doctor_programs.h"
#include "cli/preload.h"
#include "cli/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

struct doctor_options {
    bool json;
};

static const struct setting options[] = {
    {"json", SETTING_FLAG, offsetof(struct doctor_options, json), NULL, "print one JSON object"},
    {0},
};

struct choice {
    const char *accel; /* NULL: none can run this VM */
    struct error why;
};

struct findings {
    struct hostcpu cpu;
    struct utsname os;
    bool engine_ok;
    struct error engine_why;
    bool direct_ok; /* the host's CPU can execute guests' user code itself */
    struct error direct_why;
    int kvm_error; /* of opening /dev/kvm, 0: could be opened */
    struct probe kvm;
    bool served; /* the KVM API can be served by the engine */
    struct error served_why;
    u64 memory_total, memory_available, memory_limit, address_space, processes; /* UINT64_MAX: there is no limit */
    long cpus;
    struct choice choice[3]; /* by enum nesting */
    struct doctor_networks networks;
    struct error programs; /* what VMs of the manager lack; code 0: nothing */
};

static u64 limit_of(__rlimit_resource_t what)
{
    struct rlimit limit;
    if (getrlimit(what, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

static u64 read_number(const char *path, const char *after)
{
    FILE *f = fopen(path, "re");
    char text[256];
    u64 value = UINT64_MAX;
    while (f && value == UINT64_MAX && fgets(text, sizeof(text), f)) {
        if (strncmp(text, after, strlen(after)) == 0)
            (void)!sscanf(text + strlen(after), "%llu", (unsigned long long *)&value);
    }
    if (f)
        fclose(f);
    return value;
}

/* Returns the least limit of a control group and of those that it is in, up to the root; UINT64_MAX if there is none.
 */
static u64 groups_limit(const char *mount, char *group, const char *file)
{
    u64 least = UINT64_MAX;
    for (;;) {
        char path[1024];
        snprintf(path, sizeof(path), "%s%s/%s", mount, group, file);
        u64 limit = read_number(path, "");
        if (limit < least)
            least = limit;
        char *last = strrchr(group, '/');
        if (!last)
            return least >> 62 ? UINT64_MAX : least; /* version 1 says by a great number that there is none */
        *last = 0;
    }
}

/* Lines of /proc/self/cgroup are ID:CONTROLLERS:GROUP; version 2 names no controllers. */
static u64 memory_limit(void)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    char line[512];
    u64 least = UINT64_MAX;
    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        u64 limit = UINT64_MAX;
        if (group && strncmp(controllers, "::", 2) == 0)
            limit = groups_limit("/sys/fs/cgroup", group + 1, "memory.max");
        else if (group && strncmp(controllers, ":memory:", 8) == 0)
            limit = groups_limit("/sys/fs/cgroup/memory", group + 1, "memory.limit_in_bytes");
        if (limit < least)
            least = limit;
    }
    if (f)
        fclose(f);
    return least;
}

static void find_memory(struct findings *f)
{
    struct sysinfo host;
    if (sysinfo(&host) == 0)
        f->memory_total = (u64)host.totalram * host.mem_unit;
    u64 available = read_number("/proc/meminfo", "MemAvailable:");
    f->memory_available = available == UINT64_MAX ? 0 : available << 10;
    f->memory_limit = memory_limit();
    f->address_space = limit_of(RLIMIT_AS);
    f->processes = limit_of(RLIMIT_NPROC);
}

static void find_all(struct findings *f)
{
    static const enum nesting kinds[] = {NESTED_OFF, NESTED_INTEL, NESTED_AMD};
    memset(f, 0, sizeof(*f));
    uname(&f->os);
    f->cpus = sysconf(_SC_NPROCESSORS_ONLN);
    hostcpu_read(&f->cpu);
    f->engine_ok = hostcpu_suits_engine(&f->cpu, &f->engine_why);
    f->direct_ok = f->engine_ok && !direct_probe(&f->direct_why);
    if (!f->engine_ok)
        f->direct_why = f->engine_why;
    find_memory(f);
    doctor_networks_find(&f->networks);
    doctor_programs_find(&f->programs);
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    f->kvm_error = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    probe_kvm(&f->kvm);
    if (f->engine_ok)
        f->served = preload_works(&f->served_why);
    else
        f->served_why = f->engine_why;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct choice *c = &f->choice[kinds[i]];
        const struct accel_ops *ops = accel_select(ACCEL_AUTO, kinds[i], NULL, &c->why);
        c->accel = ops ? ops->name : NULL;
    }
}

static const char *kvm_presence(const struct findings *f)
{
    switch (f->kvm_error) {
    case 0: return "present";
    case ENOENT: return "absent";
    case EACCES:
    case EPERM: return "no permission";
    default: return "cannot be opened";
    }
}

/* Returns what would make nested VMs faster here; NULL if nothing would, because KVM nests them. */
static const char *advice(const struct findings *f)
{
    bool nests = f->kvm.nests_intel || f->kvm.nests_amd;
    if (!f->engine_ok && !f->kvm.usable)
        return "Use another host: nothing here can run a VM.";
    if (f->kvm.usable && nests)
        return NULL;
    if (f->kvm.usable)
        return "KVM works but does not nest. Load its module with nested=1 (modprobe -r kvm_intel; modprobe kvm_intel "
               "nested=1, or the same with kvm_amd): then VMs with --nested of this host's vendor run on it, too.";
    if (f->kvm_error == EACCES || f->kvm_error == EPERM)
        return "Let this user open /dev/kvm (group kvm), then run nestbox doctor again.";
    if (f->kvm_error == ENOENT && (f->cpu.vmx || f->cpu.svm))
        return "The CPU has virtualization but there is no /dev/kvm: load kvm_intel or kvm_amd, or give this container "
               "the device.";
    if (f->kvm_error == ENOENT && f->cpu.hypervisor)
        return "This host is itself a VM without nested virtualization. If its provider offers that, switch it on to "
               "get KVM; nestbox works without.";
    if (f->kvm_error == ENOENT)
        return "Switch virtualization on in the firmware's set-up to get KVM; nestbox works without.";
    return "This /dev/kvm cannot run guest kernels. A host whose KVM can would be faster; nestbox works without.";
}

/* -- text -- */

static const char *line_of(const struct error *error, char *line, size_t size)
{
    error_format(error, "--", line, size);
    return line;
}

static const char *yes(bool value)
{
    return value ? "yes" : "no";
}

static void size_text(u64 bytes, char *text, size_t size)
{
    if (bytes == UINT64_MAX)
        snprintf(text, size, "none");
    else
        snprintf(text, size, "%llu MiB", (unsigned long long)bytes >> 20);
}

static void print_text(const struct findings *f)
{
    char limit[32], space[32], line[640];
    const struct hostcpu *c = &f->cpu;
    size_text(f->memory_limit, limit, sizeof(limit));
    size_text(f->address_space, space, sizeof(space));
    printf("Host\n");
    printf("  CPU            %s (%s), %ld online%s\n", c->brand[0] ? c->brand : "unknown", c->vendor, f->cpus,
           c->hypervisor ? ", in a VM" : "");
    printf("  CPU offers     VT-x %s, AMD-V %s\n", yes(c->vmx), yes(c->svm));
    printf("  engine needs   BMI2 %s, FSGSBASE %s\n", yes(c->bmi2), yes(c->fsgsbase));
    printf("  guests get     AVX %s, AVX2 %s, AVX-512 %s, RDRAND %s, invariant TSC %s%s\n", yes(c->avx), yes(c->avx2),
           yes(c->avx512), yes(c->rdrand), yes(c->invariant_tsc), c->slow_pext ? "; PEXT is slow on this CPU" : "");
    printf("  kernel         %s %s\n", f->os.sysname, f->os.release);
    printf("  memory         %llu MiB, of which %llu MiB are available\n", (unsigned long long)f->memory_total >> 20,
           (unsigned long long)f->memory_available >> 20);
    printf("  limits         memory of the control group: %s; address space: %s; threads: ", limit, space);
    if (f->processes == UINT64_MAX)
        printf("none\n");
    else
        printf("%llu\n", (unsigned long long)f->processes);
    printf("\nAccelerators\n");
    printf("  engine         %s\n",
           f->engine_ok ? "works, and gives guests VT-x or AMD-V" : line_of(&f->engine_why, line, sizeof(line)));
    printf("  --direct       %s\n", f->direct_ok ? "works: the host's CPU can execute user code of guests itself"
                                                 : line_of(&f->direct_why, line, sizeof(line)));
    printf("  /dev/kvm       %s\n", line_of(&f->kvm.why, line, sizeof(line)));
    if (f->kvm.loop_ns)
        printf("                 1000 loops in ring 0 took %u ns\n", f->kvm.loop_ns);
    if (f->kvm.usable)
        printf("                 nests VT-x %s, AMD-V %s\n", yes(f->kvm.nests_intel), yes(f->kvm.nests_amd));
    printf("  nestbox kvm    %s\n",
           f->served ? "works: programs get a /dev/kvm from the engine" : line_of(&f->served_why, line, sizeof(line)));
    static const char *const names[] = {"--nested off", "--nested intel", "--nested amd"};
    printf("\nWhat --accel auto chooses\n");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        printf("  %-14s %s: %s\n", names[i], f->choice[i].accel ? f->choice[i].accel : "nothing",
               line_of(&f->choice[i].why, line, sizeof(line)));
    const struct doctor_networks *n = &f->networks;
    printf("\nNetworks\n  private, NAT   yes\n");
    printf("  of the host    %s\n",
           n->host.code ? line_of(&n->host, line, sizeof(line)) : "yes: internal and external switches");
    printf("  NAT by kernel  %s\n", n->kernel.code ? line_of(&n->kernel, line, sizeof(line)) : "yes");
    printf("\nVMs of nestbox create\n  packages       %s\n",
           f->programs.code ? line_of(&f->programs, line, sizeof(line)) : "what each VM needs is installed");
    const char *better = advice(f);
    printf("\n%s\n", better ? better : "Nothing to improve: KVM nests here.");
}

/* -- JSON -- */

static void json_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", *text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void json_field(const char *name, const char *text)
{
    printf("\"%s\": ", name);
    if (text)
        json_string(text);
    else
        printf("null");
}

static void json_error(const char *name, const struct error *error)
{
    char line[640];
    json_field(name, error ? line_of(error, line, sizeof(line)) : NULL);
}

static void json_bool(const char *name, bool value)
{
    printf("\"%s\": %s", name, value ? "true" : "false");
}

static void json_limit(const char *name, u64 value)
{
    if (value == UINT64_MAX)
        printf("\"%s\": null", name);
    else
        printf("\"%s\": %llu", name, (unsigned long long)value);
}

static void json_bools(const struct hostcpu *c)
{
    const struct {
        const char *name;
        bool value;
    } bits[] = {
        {"vmx", c->vmx},
        {"svm", c->svm},
        {"hypervisor", c->hypervisor},
        {"bmi2", c->bmi2},
        {"fsgsbase", c->fsgsbase},
        {"avx", c->avx},
        {"avx2", c->avx2},
        {"avx512", c->avx512},
        {"rdrand", c->rdrand},
        {"invariant_tsc", c->invariant_tsc},
    };
    for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
        printf(", ");
        json_bool(bits[i].name, bits[i].value);
    }
}

static void print_json(const struct findings *f)
{
    static const char *const names[] = {[NESTED_OFF] = "off", [NESTED_INTEL] = "intel", [NESTED_AMD] = "amd"};
    printf("{\"cpu\": {");
    json_field("brand", f->cpu.brand);
    printf(", ");
    json_field("vendor", f->cpu.vendor);
    printf(", \"online\": %ld", f->cpus);
    json_bools(&f->cpu);
    printf("},\n \"kernel\": ");
    json_string(f->os.release);
    printf(",\n \"memory\": {\"total\": %llu, \"available\": %llu, ", (unsigned long long)f->memory_total,
           (unsigned long long)f->memory_available);
    json_limit("cgroup_limit", f->memory_limit);
    printf(", ");
    json_limit("address_space_limit", f->address_space);
    printf("},\n ");
    json_limit("thread_limit", f->processes);
    printf(",\n \"engine\": {");
    json_bool("usable", f->engine_ok);
    printf(", ");
    json_error("reason", f->engine_ok ? NULL : &f->engine_why);
    printf("},\n \"direct\": {");
    json_bool("usable", f->direct_ok);
    printf(", ");
    json_error("reason", f->direct_ok ? NULL : &f->direct_why);
    printf("},\n \"kvm\": {");
    json_field("device", kvm_presence(f));
    printf(", ");
    json_bool("usable", f->kvm.usable);
    printf(", ");
    json_bool("nests_intel", f->kvm.nests_intel);
    printf(", ");
    json_bool("nests_amd", f->kvm.nests_amd);
    printf(", \"loop_ns\": %u, ", f->kvm.loop_ns);
    json_error("reason", &f->kvm.why);
    printf("},\n \"kvm_api\": {");
    json_bool("usable", f->served);
    printf(", ");
    json_error("reason", f->served ? NULL : &f->served_why);
    printf("},\n \"auto\": {");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        printf("%s\"%s\": {", i ? ", " : "", names[i]);
        json_field("accel", f->choice[i].accel);
        printf(", ");
        json_error("reason", &f->choice[i].why);
        printf("}");
    }
    printf("},\n \"networks\": {");
    json_bool("host", !f->networks.host.code);
    printf(", ");
    json_error("host_reason", f->networks.host.code ? &f->networks.host : NULL);
    printf(", ");
    json_bool("kernel_nat", !f->networks.kernel.code);
    printf(", ");
    json_error("kernel_nat_reason", f->networks.kernel.code ? &f->networks.kernel : NULL);
    printf("},\n \"vms\": {");
    json_bool("usable", !f->programs.code);
    printf(", ");
    json_error("reason", f->programs.code ? &f->programs : NULL);
    printf("},\n ");
    json_field("advice", advice(f));
    printf("}\n");
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct doctor_options o = {0};
    int status;
    if (verb_options(verb, argc, argv, &o, NULL, &status))
        return status;
    struct findings f;
    find_all(&f);
    if (o.json)
        print_json(&f);
    else
        print_text(&f);
    return f.choice[NESTED_OFF].accel ? STATUS_OK : STATUS_FAILED;
}

/* Prints what the probe of /dev/kvm finds, in one line. */
static int probe(const struct verb *verb, int argc, char **argv)
{
    struct probe p;
    char line[640];
    probe_kvm(&p);
    printf("%s\n", line_of(&p.why, line, sizeof(line)));
    return p.usable ? STATUS_OK : STATUS_FAILED;
}

const struct verb verb_probe = {
    .name = "probe",
    .summary = "Tries /dev/kvm",
    .usage = "",
    .run = probe,
};

const struct verb verb_doctor = {
    .name = "doctor",
    .summary = "Reports what this host offers and which accelerator would be used",
    .usage = "[--json]",
    .options = {{options}},
    .run = run,
};
