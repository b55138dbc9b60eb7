/*
 * The software engine as an accelerator: a VM of src/cpu, and the host as engine_host.c gives it.
 */
#include "accel/accel.h"

#include "accel/engine_host.h"
#include "cpu/core/vcpu.h"
#include "cpu/mmu/mmu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PHYS_BITS 46

struct accel_vm {
    struct vm *vm;
    struct engine_host host;
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

static void trace(void *opaque, u32 index, const char *line)
{
    fprintf(stderr, "nestbox: CPU %u: %s\n", index, line);
}

static void engine_destroy(struct accel_vm *a)
{
    engine_host_destroy(&a->host);
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

static int engine_create(const struct vm_settings *settings, const struct machine *machine, struct accel_vm **out,
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
    const struct cpu_config cpus = {
        .machine = &a->machine, .host = &a->host.ops, .tsc_khz = a->tsc_khz, .hypercalls = settings->debug_exit};
    if (settings->trace & TRACE_ENTRY)
        a->host.ops.trace = trace;
    r = cpuid_create(&a->features, &features, error);
    if (!r && (cpu_create(&a->vm, &cpus) || add_vcpus(a, settings->cpus)))
        r = error_set(error, -ENOMEM, "not enough memory for the engine's code cache and CPU state");
    if (r)
        engine_destroy(a);
    else
        *out = a;
    return r;
}

static int engine_ram_add(struct accel_vm *a, gpa_t start, u64 size, void *host, bool readonly)
{
    return cpu_ram_add(a->vm, start, size, host, readonly);
}

static void engine_ram_written(struct accel_vm *a, gpa_t start, u64 size)
{
    cpu_ram_written(a->vm, engine_host_self(), start, size);
}

/* -- reset and boot state -- */

static void flat(struct segment *s, u16 sel, u32 attr)
{
    *s = (struct segment){.sel = sel, .limit = 0xffffffff, .attr = attr};
}

static void load_boot_state(struct vcpu *v, const struct accel_boot *b)
{
    v->activity = ACTIVITY_ACTIVE;
    v->rip = v->next_rip = b->rip;
    v->gpr[RSP] = b->rsp;
    v->gpr[RSI] = b->rsi;
    v->gpr[RAX] = b->rax;
    v->gpr[RBX] = b->rbx;
    if (b->mode == BOOT_REAL) {
        v->seg[SEG_CS].sel = b->real_cs;
        v->seg[SEG_CS].base = (u64)b->real_cs << 4;
    } else {
        bool wide = b->mode == BOOT_LONG64;
        u32 code = SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_G | (wide ? SEG_L : SEG_DB);
        u32 data = SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_G | SEG_DB;
        flat(&v->seg[SEG_CS], b->cs, code);
        static const u8 which[] = {SEG_DS, SEG_ES, SEG_SS, SEG_FS, SEG_GS};
        for (unsigned i = 0; i < ARRAY_LEN(which); i++)
            flat(&v->seg[which[i]], b->ds, data);
        v->seg[SEG_TR] = (struct segment){.sel = b->tr, .limit = 0x67, .attr = SEG_P | SYS_TSS_BUSY};
        v->gdtr = (struct desc_table){.base = b->gdt_base, .limit = b->gdt_limit};
        v->cr0 = (v->cr0 & ~(CR0_CD | CR0_NW)) | CR0_PE;
        if (wide) {
            v->cr0 |= CR0_PG;
            v->cr4 |= CR4_PAE;
            v->efer |= EFER_LME | EFER_LMA;
            v->cr3 = b->cr3;
        }
    }
}

static void engine_reset(struct accel_vm *a, const struct accel_boot *boot)
{
    for (u32 i = 0; i < cpu_count(a->vm); i++) {
        struct vcpu *v = cpu_at(a->vm, i);
        cpu_reset(v);
        if (i == 0 && boot)
            load_boot_state(v, boot);
    }
    cpu_ram_written(a->vm, NULL, GPA(0), ~0ull); /* by the loader */
    for (u32 i = 0; i < cpu_count(a->vm); i++) {
        mmu_flush_all(cpu_at(a->vm, i));
        mode_update(cpu_at(a->vm, i));
    }
    __atomic_store_n(&a->stop, false, __ATOMIC_SEQ_CST);
}

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

static void engine_describe(struct accel_vm *a, u32 index, char *buf, size_t size)
{
    const struct vcpu *v = cpu_at(a->vm, index);
    const u64 *g = v->gpr;
    snprintf(
        buf, size,
        "CPU %u, %s%s: CS:RIP %04x:%016llx RFLAGS %llx CPL %u\n"
        "RAX %016llx RCX %016llx RDX %016llx RBX %016llx\n"
        "RSP %016llx RBP %016llx RSI %016llx RDI %016llx\n"
        "R8  %016llx R9  %016llx R10 %016llx R11 %016llx\n"
        "R12 %016llx R13 %016llx R14 %016llx R15 %016llx\n"
        "CR0 %llx CR2 %llx CR3 %llx CR4 %llx EFER %llx, GDT %llx IDT %llx, last exception %u\n",
        index,
        in_64bit(v)       ? "64-bit mode"
        : in_protected(v) ? (in_v86(v) ? "virtual-8086 mode" : "protected mode")
                          : "real mode",
        v->in_guest ? ", in L2" : "", v->seg[SEG_CS].sel, (unsigned long long)v->rip, (unsigned long long)rflags_get(v),
        v->cpl, (unsigned long long)g[RAX], (unsigned long long)g[RCX], (unsigned long long)g[RDX],
        (unsigned long long)g[RBX], (unsigned long long)g[RSP], (unsigned long long)g[RBP], (unsigned long long)g[RSI],
        (unsigned long long)g[RDI], (unsigned long long)g[R8], (unsigned long long)g[R9], (unsigned long long)g[R10],
        (unsigned long long)g[R11], (unsigned long long)g[R12], (unsigned long long)g[R13], (unsigned long long)g[R14],
        (unsigned long long)g[R15], (unsigned long long)v->cr0, (unsigned long long)v->cr2, (unsigned long long)v->cr3,
        (unsigned long long)v->cr4, (unsigned long long)v->efer, (unsigned long long)v->gdtr.base,
        (unsigned long long)v->idtr.base, v->fault.vector);
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
}

static const struct error *engine_error(struct accel_vm *a, u32 index)
{
    return &a->error[index];
}

static u64 engine_tsc_khz(struct accel_vm *a)
{
    return a->tsc_khz;
}

const struct accel_ops accel_engine = {
    .name = "engine",
    .create = engine_create,
    .destroy = engine_destroy,
    .ram_add = engine_ram_add,
    .ram_written = engine_ram_written,
    .reset = engine_reset,
    .run = engine_run,
    .stop = engine_stop,
    .resume = engine_resume,
    .msi = engine_msi,
    .intr_line = engine_intr_line,
    .init = engine_init,
    .ignne = engine_ignne,
    .describe = engine_describe,
    .stats = engine_stats,
    .error = engine_error,
    .tsc_khz = engine_tsc_khz,
};
