/*
 * The two ways to run a vCPU behind one small interface: the engine (cpu/) and /dev/kvm.
 *
 * One struct accel_vm per VM; one thread per vCPU calls accel_ops.run, which returns only when the VM should stop or
 * something happened that the machine must know. Device accesses go to struct machine meanwhile.
 */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include "bus/machine.h"
#include "cpu/core/state.h"
#include "rules/run_settings.h"

#include <signal.h>
#include <stdio.h>

/* Signals between threads of the accelerators. Handlers are theirs; nothing else must take these. */
#define ACCEL_SIGNAL_TIMER (SIGRTMIN + 1)
#define ACCEL_SIGNAL_KICK (SIGRTMIN + 2)

enum accel_exit {
    ACCEL_STOPPED,  /* accel_ops.stop was called */
    ACCEL_SHUTDOWN, /* triple fault: the machine resets or ends */
    ACCEL_ERROR,    /* accel_ops.error says why */
};

struct accel_vm;
struct symbols;

/* Where --trace goes. */
struct accel_trace {
    u32 what; /* TRACE_* */
    FILE *to;
    const struct symbols *symbols; /* of L1; NULL: none */
};

struct accel_ops {
    const char *name; /* "engine", "kvm" */
    /* Returns 0 or -errno. The settings stay as they are until destroy. The VM attaches itself to the memory of the
     * machine. */
    int (*create)(const struct run_settings *settings, const struct machine *machine, struct accel_vm **vm,
                  struct error *error);
    void (*destroy)(struct accel_vm *vm);
    /* Resets all vCPUs, which are stopped: the first is at the reset vector. 0 or -errno. */
    int (*reset)(struct accel_vm *vm, struct error *error);
    /*
     * The state of a vCPU that does not run, by groups of registers (core/state.h). Get fills in those of `wanted` that
     * the accelerator has, and gives them. Set checks what it can before the first change: 0, or -EINVAL with the name
     * of what was refused in *bad; *committed: the groups that are set, none of them by the engine if it refuses one.
     */
    u64 (*state_get)(struct accel_vm *vm, u32 index, struct cpu_state *state, u64 wanted);
    int (*state_set)(struct accel_vm *vm, u32 index, const struct cpu_state *state, u64 given, u64 *committed,
                     const char **bad);
    /* Runs vCPU `index` on the calling thread. */
    enum accel_exit (*run)(struct accel_vm *vm, u32 index);
    /* [any thread] Makes every run() return ACCEL_STOPPED soon. Sticky until the next reset or resume. */
    void (*stop)(struct accel_vm *vm);
    void (*resume)(struct accel_vm *vm);
    /* [any thread] Interrupts. With an accelerator that has its own in-kernel PIC/IOAPIC/PIT (has_irqchip), irq_line is
     * used and the machine creates no such devices; otherwise msi/intr_line. */
    bool has_irqchip;
    void (*irq_line)(struct accel_vm *vm, unsigned gsi, bool level);
    void (*msi)(struct accel_vm *vm, u64 address, u32 data);
    void (*intr_line)(struct accel_vm *vm, bool level); /* 8259 INTR */
    void (*init)(struct accel_vm *vm);                  /* INIT# of all CPUs; NULL: the machine is reset instead */
    void (*ignne)(struct accel_vm *vm, bool level);     /* the CPUs' IGNNE# */
    /* NULL, or: report from now on what trace->what says. No vCPU runs; `trace` lives until destroy. */
    void (*trace)(struct accel_vm *vm, const struct accel_trace *trace);
    /* NULL, or: writes the names of translated code for `perf` (perf_map.h). No vCPU runs. 0 or -errno. */
    int (*perf_map)(struct accel_vm *vm, const struct symbols *symbols, struct error *error);
    /* Text for people: counters. */
    void (*stats)(struct accel_vm *vm, char *buf, size_t size);
    /* Why run() returned ACCEL_ERROR. */
    const struct error *(*error)(struct accel_vm *vm, u32 index);
    /* [signal] Where guest memory lies that the accelerator has mapped at a host address, too: docs/mapped.md. The
     * address itself if it has not. May be NULL. */
    const u8 *(*memory_at)(struct accel_vm *vm, const u8 *host);
    u64 (*tsc_khz)(struct accel_vm *vm);
    bool (*has_long_mode)(struct accel_vm *vm); /* as CPUID shows it to the guest */
    bool (*has_la57)(struct accel_vm *vm);      /* 5-level paging, likewise */
    /* The clock of KVM's interface for guests, in ns. It counts from 0 at creation and belongs to no vCPU's state. */
    u64 (*clock_get)(struct accel_vm *vm);
    void (*clock_set)(struct accel_vm *vm, u64 ns);
};

extern const struct accel_ops accel_engine;
extern const struct accel_ops accel_kvm;

/* Text for people: the registers of a vCPU that does not run; with the kernel's symbols, or NULL. (describe.c) */
void accel_describe(const struct accel_ops *ops, struct accel_vm *vm, u32 index, const struct symbols *symbols,
                    char *buf, size_t size);

/* Returns 0, or -EINVAL for settings that are wrong on any host. (select.c) */
int MUST_CHECK accel_check(const struct run_settings *settings, struct error *error);
/* Chooses. The text of *why says for what reason, with code 0; if none can be, the result is NULL and *why is the
 * error. `probe_file`: where the probe's verdict is kept, or NULL (probe.h). An error with a result that is not NULL is
 * a warning: it was asked for by name, and is hardly fit. (select.c)
 */
const struct accel_ops *accel_select(enum accel_choice choice, enum nesting nested, const char *probe_file,
                                     struct error *why);

#endif
