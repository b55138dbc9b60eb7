/*
 * The machine as its CPUs see it. Whoever builds a machine fills this in; the engine and the /dev/kvm accelerator call
 * it from vCPU threads. The functions serialize devices themselves: they take the machine's lock.
 */
#ifndef BUS_MACHINE_H
#define BUS_MACHINE_H

#include "base/types.h"

/* Why machine.msr is asked, and what it answers. */
#define MACHINE_MSR_ANY BIT(0)     /* before the CPU does anything with the MSR */
#define MACHINE_MSR_UNKNOWN BIT(1) /* the CPU has no such MSR: it would be #GP */
#define MACHINE_MSR_INVALID BIT(2) /* it has, but this access would be #GP */
enum machine_msr {
    MACHINE_MSR_CPU,   /* the CPU goes on as if it had not asked */
    MACHINE_MSR_DONE,  /* it was done, or *value was read */
    MACHINE_MSR_FAULT, /* #GP */
    MACHINE_MSR_LATER, /* not known yet: cpu_run returns CPU_EXIT_MSR, and the instruction asks again */
};

struct machine {
    void *opaque;
    struct ram *ram; /* its memory: ram/ram.h */
    /* Port I/O, size 1, 2 or 4. */
    u32 (*io_read)(void *opaque, u16 port, unsigned size);
    void (*io_write)(void *opaque, u16 port, u32 value, unsigned size);
    /* INS: `count` elements into consecutive memory. NULL: io_read, one by one. */
    void (*io_reads)(void *opaque, u16 port, void *to, unsigned size, u64 count);
    /* Memory that is not RAM, size 1 to 8. Reads of what is not there give all ones. */
    u64 (*mmio_read)(void *opaque, gpa_t gpa, unsigned size);
    void (*mmio_write)(void *opaque, gpa_t gpa, u64 value, unsigned size);
    /* The CPU acknowledges the 8259's INTR line: returns the vector. */
    int (*pic_ack)(void *opaque);
    /* The end of an interrupt whose line was level-triggered: the I/O APIC looks at the line again. */
    void (*eoi)(void *opaque, u8 vector);
    /* RDMSR or WRMSR, for one of the reasons that cpu_msr_ask named. NULL: for none. */
    enum machine_msr (*msr)(void *opaque, u32 msr, u64 *value, bool write, u32 why);
    /* A CPU began, or ceased, to drive FERR#. May be NULL. */
    void (*ferr)(void *opaque, bool level);
};

#endif
