/*
 * The two ways to run a vCPU behind one small interface: the engine (cpu/) and /dev/kvm.
 *
 * One struct accel_vm per VM; one thread per vCPU calls accel_ops.run, which returns only when the VM should stop or
 * something happened that the machine must know. Device accesses go to struct machine meanwhile.
 */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include "bus/machine.h"
#include "rules/vm_settings.h"

enum accel_exit {
    ACCEL_STOPPED,  /* accel_ops.stop was called */
    ACCEL_SHUTDOWN, /* triple fault: the machine resets or ends */
    ACCEL_ERROR,    /* accel_ops.error tells */
};

/* Initial register state for a direct kernel boot; everything not named is as after reset. */
struct accel_boot {
    enum { BOOT_REAL, BOOT_PROTECTED32, BOOT_LONG64 } mode;
    u64 rip, rsp, rsi, rax, rbx;
    u64 cr3; /* BOOT_LONG64 */
    u64 gdt_base;
    u16 gdt_limit, cs, ds, tr;
    u16 real_cs; /* BOOT_REAL */
};

struct accel_vm;

struct accel_ops {
    const char *name; /* "engine", "kvm" */
    /* 0 or -errno. The settings stay as they are until destroy. */
    int (*create)(const struct vm_settings *settings, const struct machine *machine, struct accel_vm **vm,
                  struct error *error);
    void (*destroy)(struct accel_vm *vm);
    /* Maps host memory as guest RAM (page-aligned). Before vCPUs run, or with all stopped. */
    int (*ram_add)(struct accel_vm *vm, gpa_t start, u64 size, void *host, bool readonly);
    /* [any thread] A device wrote guest RAM while vCPUs may run. NULL: the accelerator need not know. */
    void (*ram_written)(struct accel_vm *vm, gpa_t start, u64 size);
    /* Resets all vCPUs; the boot CPU then gets `boot` (NULL: the reset vector). All stopped. */
    void (*reset)(struct accel_vm *vm, const struct accel_boot *boot);
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
    /* Text for humans: registers of a vCPU, and --stats counters. */
    void (*describe)(struct accel_vm *vm, u32 index, char *buf, size_t size);
    void (*stats)(struct accel_vm *vm, char *buf, size_t size);
    /* Why run() returned ACCEL_ERROR. */
    const struct error *(*error)(struct accel_vm *vm, u32 index);
    u64 (*tsc_khz)(struct accel_vm *vm);
};

extern const struct accel_ops accel_engine;
extern const struct accel_ops accel_kvm;

/* Chooses. The text of *why says which one was taken and for what reason, with code
 * 0; if none can be, the result is NULL and *why is the error. (select.c) */
const struct accel_ops *accel_select(enum accel_choice choice, enum nesting nested, struct error *why);

#endif
