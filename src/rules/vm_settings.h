/*
 * The settings of a VM of the manager. Command line, cmdlets, definitions on disk and the control protocol all come
 * from the rows of one table; whoever runs the VM reads the struct.
 */
#ifndef RULES_VM_SETTINGS_H
#define RULES_VM_SETTINGS_H

#include "rules/run_settings.h"

enum auto_start { AUTO_START_NOTHING, AUTO_START_IF_RUNNING, AUTO_START_ALWAYS };
enum auto_stop { AUTO_STOP_SAVE, AUTO_STOP_TURN_OFF, AUTO_STOP_SHUT_DOWN };
enum checkpoint_kind { CHECKPOINT_PRODUCTION, CHECKPOINT_PRODUCTION_ONLY, CHECKPOINT_STANDARD, CHECKPOINT_DISABLED };
enum error_action { ERROR_PAUSE, ERROR_NONE };
enum display { DISPLAY_NONE, DISPLAY_VNC };

struct vm_settings {
    const char *notes;
    bool template;  /* is cloned, and not started */
    u32 generation; /* 1: BIOS, IDE; 2: UEFI; chosen once */
    /* CPU */
    u32 cpus;
    enum nesting nested;
    const char *cpu; /* as in struct run_settings */
    enum accel_choice accel;
    enum direct_choice direct;
    u32 cpu_maximum, cpu_reserve; /* per cent of what the VM's CPUs are on the host */
    u32 cpu_weight;
    bool enlightenments; /* Hyper-V's interfaces for guests */
    /* memory, in bytes */
    u64 memory; /* at the start; static memory is all of it */
    bool dynamic_memory;
    u64 memory_minimum, memory_maximum; /* of dynamic memory */
    u32 memory_buffer;                  /* per cent more than the guest asks for */
    u32 memory_priority;                /* who gives first when the host's memory is short: the least */
    u64 memory_cap;                     /* no more than that by any way; 0: none */
    /* firmware */
    bool secure_boot, tpm;
    const char *boot; /* devices in their order, "disk,network,cd"; NULL: as the generation has it */
    enum display display;
    /* life */
    enum auto_start auto_start;
    u64 start_delay_ms;
    enum auto_stop auto_stop;
    enum error_action error_action; /* what an error of a disk does */
    u64 error_timeout_ms;           /* how long a VM waits for a disk that is gone until it is turned off */
    enum checkpoint_kind checkpoints;
    bool metering; /* what it uses is summed up */
};

extern const struct setting vm_settings_table[];

/* How many bits physical addresses have in a VM that can get so much memory: what devices have lies above it. At least
 * 40, as QEMU's models have. */
u32 vm_address_bits(u64 memory);

/* Checks what rows cannot say. Returns 0 or -EINVAL. Rules of hosts are not here but in rules/rule.h. */
int MUST_CHECK vm_settings_check(const struct vm_settings *settings, struct error *error);

#endif
