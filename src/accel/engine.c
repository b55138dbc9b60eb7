/*
 * The software engine as an accelerator: a VM of src/cpu, and the host as engine_host.c gives it.
 */
#include "accel/accel.h"

#include "accel/engine_host.h"
#include "accel/exit_text.h"
#include "accel/perf_map.h"
#include "accel/symbols.h"
#include "ram/ram.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PHYS_BITS 46

struct accel_vm {
    struct engine_host host; /* first: the engine hands its address back */
    struct vm *vm;
    const struct accel_trace *trace;
    struct machine machine;
    struct cpu_features features;
    u64 tsc_khz;
    struct error error[CPU_VCPUS_MAX];
    bool stop; /* [a] */
};

/* -- creation -- */

static void host_cpuid(u32 leaf, u32 sub, u32 r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}

static int check_host(struct error *error)
{
    u32 basic[4], features[4], extended[4] = {0};
    host_cpuid(0, 0, basic);
    host_cpuid(1, 0, features);
    if (basic[0] >= 7)
        host_cpuid(7, 0, extended);
    if (!(extended[CPUID_EBX] & BIT(8)))
        error_set(error, -ENOTSUP,
                  "this CPU lacks BMI2 (Intel Haswell, AMD Excavator or later), which the engine needs");
    else if (!(features[CPUID_ECX] & BIT(27)))
        error_set(error, -ENOTSUP, "this CPU or kernel lacks XSAVE, which the engine needs");
    else
        return 0;
    return error_hint(error, "use " SETTING("accel") " kvm");
}

static void engine_destroy(struct accel_vm *a)
{
    engine_host_destroy(&a->host);
    ram_detach(a->machine.ram);
    if (a->vm)
        cpu_destroy(a->vm);
    free(a);
}

static int add_vcpus(struct accel_vm *a, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        int index = cpu_add(a->vm, i, &a->features);
        if (index < 0)
            return index;
        engine_host_add(&a->host, i, cpu_at(a->vm, i));
    }
    return 0;
}

static const enum cpu_maps maps_choices[] = {[MAPPED_OFF] = CPU_MAPS_OFF,
                                             [MAPPED_KERNEL] = CPU_MAPS_KERNEL,
                                             [MAPPED_AUTO] = CPU_MAPS_AUTO,
                                             [MAPPED_ON] = CPU_MAPS_ON};
static const enum cpu_direct direct_choices[] = {
    [DIRECT_OFF] = CPU_DIRECT_OFF, [DIRECT_AUTO] = CPU_DIRECT_AUTO, [DIRECT_ON] = CPU_DIRECT_ON};

static int engine_create(const struct run_settings *settings, const struct machine *machine, struct accel_vm **out,
                         struct error *error)
{
    int r = check_host(error);
    if (r)
        return r;
    struct accel_vm *a = calloc(1, sizeof *a);
    if (!a)
        return error_set(error, -ENOMEM, "not enough memory for a VM");
    a->machine = *machine;
    a->tsc_khz = engine_host_tsc_khz();
    engine_host_init(&a->host);
    const struct cpuid_config features = {.vendor = settings->nested == NESTED_AMD     ? VENDOR_AMD
                                                    : settings->nested == NESTED_INTEL ? VENDOR_INTEL
                                                                                       : host_vendor(),
                                          .nested = settings->nested != NESTED_OFF,
                                          .vcpus = settings->cpus,
                                          .tsc_khz = a->tsc_khz,
                                          .phys_bits = PHYS_BITS,
                                          .model = settings->cpu};
    const struct cpu_config cpus = {.machine = &a->machine,
                                    .host = &a->host.ops,
                                    .tsc_khz = a->tsc_khz,
                                    .tsc_of_host = true,
                                    .hypercalls = settings->debug_exit,
                                    .maps = maps_choices[settings->mapped],
                                    .direct = direct_choices[settings->direct]};
    r = cpuid_create(&a->features, &features, error);
    if (!r && (cpu_create(&a->vm, &cpus) || add_vcpus(a, settings->cpus)))
        r = error_set(error, -ENOMEM, "not enough memory for the engine's code cache and CPU state");
    if (!r && (r = ram_attach(a->machine.ram, &cpu_ram_ops, a->vm)))
        error_set(error, r, "the engine refuses guest memory: %s", strerror(-r));
    if (r)
        engine_destroy(a);
    else
        *out = a;
    return r;
}

/* -- state -- */

static int engine_reset(struct accel_vm *a, struct error *error)
{
    for (u32 i = 0; i < cpu_count(a->vm); i++)
        cpu_reset(cpu_at(a->vm, i));
    __atomic_store_n(&a->stop, false, __ATOMIC_SEQ_CST);
    return 0;
}

static u64 engine_state_get(struct accel_vm *a, u32 index, struct cpu_state *state, u64 wanted)
{
    return cpu_state_get(cpu_at(a->vm, index), state, wanted);
}

static int engine_state_set(struct accel_vm *a, u32 index, const struct cpu_state *state, u64 given, u64 *committed,
                            const char **bad)
{
    int e = cpu_state_set(cpu_at(a->vm, index), state, given, bad);
    *committed = e ? 0 : given;
    return e;
}

/* -- running -- */

static enum accel_exit engine_run(struct accel_vm *a, u32 index)
{
    int e = engine_host_enter(&a->host, index);
    if (e) {
        error_set(&a->error[index], e, "cannot set up a timer and a signal stack: %s", strerror(-e));
        return ACCEL_ERROR;
    }
    if (__atomic_load_n(&a->stop, __ATOMIC_SEQ_CST))
        return ACCEL_STOPPED;
    return cpu_run(cpu_at(a->vm, index)) == CPU_EXIT_SHUTDOWN ? ACCEL_SHUTDOWN : ACCEL_STOPPED;
}

static void engine_stop(struct accel_vm *a)
{
    __atomic_store_n(&a->stop, true, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < cpu_count(a->vm); i++)
        cpu_stop(cpu_at(a->vm, i));
}

static void engine_resume(struct accel_vm *a)
{
    __atomic_store_n(&a->stop, false, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < cpu_count(a->vm); i++)
        cpu_go(cpu_at(a->vm, i));
}

static void engine_msi(struct accel_vm *a, u64 address, u32 data)
{
    cpu_msi(a->vm, address, data);
}

static void engine_intr_line(struct accel_vm *a, bool level)
{
    cpu_intr_line(a->vm, level);
}

static void engine_init(struct accel_vm *a)
{
    cpu_init(a->vm);
}

static void engine_ignne(struct accel_vm *a, bool level)
{
    cpu_ignne(a->vm, level);
}

/* -- for people -- */

static void trace_line(const struct accel_vm *a, u32 index, const char *line)
{
    fprintf(a->trace->to, "%sCPU %u: %s\n", a->trace->to == stderr ? "nestbox: " : "", index, line);
}

/* Called on the vCPU's thread, as the next one. */
static void on_entry_failed(void *opaque, u32 index, u64 rip, const char *line)
{
    const struct accel_vm *a = opaque;
    char text[512], symbol[SYMBOL_MAX] = "";
    /* AMD: its MSRs are L2's already. */
    bool known = a->trace->symbols && cpu_vendor(a->vm) == VENDOR_INTEL;
    struct cpu_state *s = known ? calloc(1, sizeof(*s)) : NULL;
    if (s) {
        cpu_state_get(cpu_at(a->vm, index), s, STATE_MSRS);
        symbols_name(a->trace->symbols, s, rip, symbol);
    }
    free(s);
    snprintf(text, sizeof(text), "%s, L1 at RIP %#llx%s%s", line, (unsigned long long)rip, *symbol ? " " : "", symbol);
    trace_line(a, index, text);
}

static void on_exit_seen(void *opaque, u32 index, const struct cpu_exit_seen *seen)
{
    const struct accel_vm *a = opaque;
    char line[512];
    exit_line(cpu_vendor(a->vm), seen, line, sizeof(line));
    trace_line(a, index, line);
}

static void engine_trace(struct accel_vm *a, const struct accel_trace *trace)
{
    a->trace = trace;
    a->host.ops.trace = trace->what & TRACE_ENTRY ? on_entry_failed : NULL;
    a->host.ops.exited = trace->what & TRACE_EXITS ? on_exit_seen : NULL;
}

static int engine_perf_map(struct accel_vm *a, const struct symbols *symbols, struct error *error)
{
    return perf_map_write(a->vm, symbols, false, error);
}

/* A line per kind of called instruction, most frequent first. */
static size_t called_table(struct accel_vm *a, char *buf, size_t size)
{
    size_t n = 0;
    u64 below = ~0ull, most, count;
    do {
        const char *name;
        most = 0;
        for (unsigned i = 0; cpu_called(a->vm, i, &count); i++)
            if (count < below && count > most)
                most = count;
        for (unsigned i = 0; most && n < size && (name = cpu_called(a->vm, i, &count)); i++)
            if (count == most)
                n += (size_t)snprintf(buf + n, size - n, "called: %12llu %s\n", (unsigned long long)count, name);
        below = most;
    } while (most);
    return n;
}

/* A line per level and reason, most frequent first within a level. */
static void exit_table(struct accel_vm *a, char *buf, size_t size)
{
    size_t n = 0;
    for (unsigned level = 2; level <= CPU_EXIT_LEVEL_MAX; level++) {
        u64 below = ~0ull, most, code;
        do {
            most = 0;
            for (unsigned i = 0; i < CPU_EXIT_SLOTS; i++) {
                u64 count = cpu_exit_count(a->vm, level, i, &code);
                if (count < below && count > most)
                    most = count;
            }
            for (unsigned i = 0; most && i < CPU_EXIT_SLOTS && n < size; i++) {
                char name[64];
                if (cpu_exit_count(a->vm, level, i, &code) != most)
                    continue;
                exit_name(cpu_vendor(a->vm), code, name, sizeof(name));
                n += (size_t)snprintf(buf + n, size - n, "VM exits of L%u%s to L1: %12llu %s\n", level,
                                      level == CPU_EXIT_LEVEL_MAX ? "+" : "", (unsigned long long)most, name);
            }
            below = most;
        } while (most);
    }
}

static void engine_stats(struct accel_vm *a, char *buf, size_t size)
{
    struct cpu_cache_use c;
    cpu_cache_use(a->vm, &c);
    size_t n = (size_t)snprintf(buf, size, "blocks %llu, code %llu KiB hot %llu KiB cold, cache flushes %llu\n",
                                (unsigned long long)c.blocks, (unsigned long long)c.hot >> 10,
                                (unsigned long long)c.cold >> 10, (unsigned long long)c.flushes);
    for (u32 i = 0; i < cpu_count(a->vm) && n < size; i++) {
        const char *text;
        u64 value;
        n += (size_t)snprintf(buf + n, size - n, "vCPU %u:", i);
        for (unsigned row = 0; n < size && (text = cpu_counter(cpu_at(a->vm, i), row, &value)); row++)
            n += (size_t)snprintf(buf + n, size - n, " %s %llu", text, (unsigned long long)value);
        if (n < size)
            n += (size_t)snprintf(buf + n, size - n, "\n");
    }
    if (n < size)
        n += called_table(a, buf + n, size - n);
    if (n < size)
        exit_table(a, buf + n, size - n);
}

static const struct error *engine_error(struct accel_vm *a, u32 index)
{
    return &a->error[index];
}

static u64 engine_tsc_khz(struct accel_vm *a)
{
    return a->tsc_khz;
}

static bool engine_has_long_mode(struct accel_vm *a)
{
    return features_have(&a->features, FEATURE_LM);
}

static bool engine_has_la57(struct accel_vm *a)
{
    return features_have(&a->features, FEATURE_LA57);
}

static u64 engine_clock_get(struct accel_vm *a)
{
    struct cpu_clock clock;
    cpu_clock_get(a->vm, &clock);
    return clock.ns;
}

static void engine_clock_set(struct accel_vm *a, u64 ns)
{
    cpu_clock_set(a->vm, ns);
}

static const u8 *engine_memory_at(struct accel_vm *a, const u8 *host)
{
    return cpu_memory_at(a->vm, host);
}

const struct accel_ops accel_engine = {
    .name = "engine",
    .create = engine_create,
    .destroy = engine_destroy,
    .reset = engine_reset,
    .state_get = engine_state_get,
    .state_set = engine_state_set,
    .run = engine_run,
    .stop = engine_stop,
    .resume = engine_resume,
    .msi = engine_msi,
    .intr_line = engine_intr_line,
    .init = engine_init,
    .ignne = engine_ignne,
    .trace = engine_trace,
    .perf_map = engine_perf_map,
    .stats = engine_stats,
    .error = engine_error,
    .memory_at = engine_memory_at,
    .tsc_khz = engine_tsc_khz,
    .has_long_mode = engine_has_long_mode,
    .has_la57 = engine_has_la57,
    .clock_get = engine_clock_get,
    .clock_set = engine_clock_set,
};
