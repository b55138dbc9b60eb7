/*
 * The settings of a VM of `nestbox run`, and of the VMs of a program that `nestbox kvm` starts. A face fills one struct
 * from the table and passes it down; each part of the VM reads what is its own.
 */
#ifndef RULES_RUN_SETTINGS_H
#define RULES_RUN_SETTINGS_H

#include "rules/setting.h"

enum nesting { NESTED_OFF, NESTED_INTEL, NESTED_AMD, NESTED_HOST };
enum accel_choice { ACCEL_AUTO, ACCEL_ENGINE, ACCEL_KVM };
enum direct_choice { DIRECT_OFF, DIRECT_AUTO, DIRECT_ON };
enum unpack_choice { UNPACK_OFF, UNPACK_ON, UNPACK_KEEP };
extern const char *const direct_names[];
enum mapped_choice { MAPPED_OFF, MAPPED_KERNEL, MAPPED_AUTO, MAPPED_ON };

/* What can be traced. */
#define TRACE_ENTRY BIT(0) /* VM entries that fail, and the rule that they broke */
#define TRACE_EXITS BIT(1) /* VM exits */

struct run_settings {
    /* machine */
    const char *kernel;
    struct setting_list initrd; /* "file", or "file arguments" where modules have a command line */
    struct setting_list append; /* the kernel's command line, in parts that spaces join */
    u64 memory;                 /* bytes, whole pages */
    enum unpack_choice unpack;  /* the host unpacks a Linux kernel */
    /* CPU */
    u32 cpus;
    enum nesting nested;
    enum accel_choice accel;
    enum direct_choice direct;
    enum mapped_choice mapped;
    const char *cpu; /* "MODEL,+feature,-feature"; NULL: the default model */
    /* console */
    struct setting_list serial; /* see serial_parse; without any the first is "stdio" */
    const char *serial_log;     /* what the first prints goes to that file, too; NULL: none */
    /* debugging */
    bool no_reboot;
    bool debug_exit; /* the debug-exit port, the PC test device, and hypercalls as test programs expect them of KVM */
    u64 timeout_ms;  /* 0: none */
    u64 shutdown_ms; /* how long SIGTERM waits for the guest after it pressed the power button; 0: it does not press */
    u32 trace;       /* TRACE_* */
    const char *trace_file; /* NULL: standard error */
    const char *symbols;    /* of the kernel: a System.map or ELF file; NULL: none */
    bool perf_map;          /* perf gets names of translated code */
    bool stats;
    const char *stats_file; /* of `nestbox kvm`; NULL: none */
    const char *probe_file; /* of `nestbox kvm`: where the verdict on the host's KVM is kept; NULL: nowhere */
};

#define SERIALS_MAX 2u

extern const struct setting run_settings_table[];
/* The settings of `nestbox kvm`: it uses only those members of the struct, and there NESTED_HOST is a kind too. */
extern const struct setting kvm_settings_table[];

/* Checks what rows cannot say: values that do not go together, or that have parts. Returns 0 or -EINVAL. */
int MUST_CHECK run_settings_check(const struct run_settings *settings, struct error *error);
/* Refuses a setting that the host's KVM cannot serve, where that was asked for by name. Returns -EINVAL. */
int accel_needs_engine(const char *setting, struct error *error);

#endif
