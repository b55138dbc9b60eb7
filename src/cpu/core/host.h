/*
 * What the engine and whoever runs it agree on: what it needs of the host besides the machine's devices, and why a vCPU
 * stops running.
 */
#ifndef CPU_CORE_HOST_H
#define CPU_CORE_HOST_H

#include "base/types.h"

enum cpu_exit {
    CPU_EXIT_NONE,
    CPU_EXIT_STOP,      /* it was asked for: REQ_STOP */
    CPU_EXIT_SHUTDOWN,  /* triple fault */
    CPU_EXIT_DEVICE,    /* a device asked for it: cpu_defer, cpu_leave */
    CPU_EXIT_MSR,       /* machine.msr has no answer yet; nothing of the instruction was done */
    CPU_EXIT_WINDOW,    /* cpu_window_set: an interrupt would be taken now */
    CPU_EXIT_HLT,       /* CPU_APICS_CALLER: HLT, which has ended; the caller knows when to go on */
    CPU_EXIT_TPR,       /* CPU_APICS_CALLER: a MOV to CR8 lowered the TPR */
    CPU_EXIT_DEBUG,     /* struct cpu_exit_debug */
    CPU_EXIT_HYPERV,    /* struct cpu_exit_hyperv */
    CPU_EXIT_HYPERCALL, /* struct cpu_exit_hypercall; cpu_hypercall_finish before it runs again */
    CPU_EXIT_MEMORY,    /* host memory of a slot is not there: cpu_signal, cpu_memory_gone */
    CPU_EXIT_FETCH,     /* the next instruction does not lie in RAM: cpu_fetch_exits */
    CPU_EXIT_APIC_PAGE, /* VM entry, which has not begun, with an APIC-access page that is no RAM: the same */
};

/* Which fetches of instructions from where there is no RAM leave with CPU_EXIT_FETCH; the others raise #UD. Unless it
 * is CPU_FETCH_NEVER, there is CPU_EXIT_APIC_PAGE as well. */
enum cpu_fetch_exits {
    CPU_FETCH_NEVER,
    CPU_FETCH_SUPERVISOR, /* those of L1 with CPL 0, and #UD comes up when it goes on */
    CPU_FETCH_ALWAYS,
};

/* What KVM does otherwise than the manuals say, as programs and old guests know it. */
#define CPU_QUIRK_HYPERCALL BIT(0) /* the other vendor's hypercall instruction works, and becomes the right one */
#define CPU_QUIRK_MONITOR BIT(1)   /* on a CPU without MONITOR and MWAIT, both do nothing */
#define CPU_MONITOR_BY_MSR BIT(2)  /* no quirk: the MSR MISC_ENABLE decides whether there are MONITOR and MWAIT */

/* Who has the local APICs. */
enum cpu_apics {
    CPU_APICS_ENGINE, /* the engine, and machine.pic_ack gives an 8259's vectors */
    CPU_APICS_SPLIT,  /* the engine, and cpu_interrupt gives an 8259's vectors */
    CPU_APICS_CALLER, /* the caller: accesses to the APIC's page go to the machine, HLT and lower TPRs to the caller */
};

/* What a debugger outside of the guest asks for; the guest's debug registers and RFLAGS stay the guest's. */
struct cpu_debug {
    u32 on;         /* CPU_DEBUG_* */
    u64 dr[4], dr7; /* its breakpoints, as in the registers of these names */
};
#define CPU_DEBUG_INT3 BIT(0)   /* INT3 ends cpu_run before it is executed */
#define CPU_DEBUG_HW BIT(1)     /* breakpoints and watchpoints of dr7 do */
#define CPU_DEBUG_STEP BIT(2)   /* each instruction does */
#define CPU_DEBUG_NO_IRQ BIT(3) /* interrupts, NMIs and SMIs wait */

struct cpu_exit_debug {
    u8 vector;    /* EXC_BP or EXC_DB */
    u64 pc;       /* linear address of the next instruction: of an INT3 or breakpoint itself */
    u64 dr6, dr7; /* of #DB: why; and what was in force */
};

struct cpu_exit_hypercall {
    u64 number, arg[6];
    bool wide; /* by 64-bit code */
};

/* What the owner of a VM with Hyper-V's interface has to do. */
enum cpu_hyperv_kind {
    CPU_HYPERV_CALL,  /* a hypercall with `input` and `param`; cpu_hyperv_finish before the vCPU runs again */
    CPU_HYPERV_SYNIC, /* `msr` was written: the pages of messages and events may be elsewhere */
    CPU_HYPERV_CRASH, /* the guest reports in its crash MSRs why it ends */
    CPU_HYPERV_RESET, /* it asks for a reset */
    CPU_HYPERV_DEBUG, /* `msr`, of those for a debugger, was written; control: cpu_hyperv_debug_status */
};

struct cpu_exit_hyperv {
    enum cpu_hyperv_kind kind;
    u64 input, param[2];
    bool wide; /* by 64-bit code */
    u32 msr;
    u64 scontrol, siefp, simp;
    u64 control, send, receive, pending;
};

enum cpu_memory {
    CPU_MEMORY_SPARSE, /* seldom used as a whole */
    CPU_MEMORY_DENSE,  /* worth the host's large pages */
    CPU_MEMORY_CODE,   /* the same, and executable */
};

/* A VM exit, as L1 finds it. */
struct cpu_exit_seen {
    u32 level;        /* of the guest that left: 2, 3, or 4 for what is deeper (exits.h) */
    u64 rip;          /* the guest's, as saved */
    const u64 *gpr;   /* the guest's, by number */
    u64 code;         /* VMX: the exit-reason field; SVM: EXITCODE */
    u64 info1, info2; /* VMX: exit qualification, VM-exit interruption information; SVM: EXITINFO1, EXITINFO2 */
    u64 error;        /* VMX: interruption error code */
    u64 gpa, la;      /* VMX: guest-physical and guest-linear address, where the reason has them */
};

/* -- user code that the host's CPU executes: docs/direct.md -- */

/* What VMs do with it. */
enum cpu_direct {
    CPU_DIRECT_OFF,
    CPU_DIRECT_AUTO, /* address spaces that compute */
    CPU_DIRECT_ON,   /* all user code that can be */
};

/* Whose memory is mapped at host addresses: docs/mapped.md. */
enum cpu_maps {
    CPU_MAPS_OFF,
    CPU_MAPS_KERNEL,
    CPU_MAPS_AUTO, /* users' too, where it pays */
    CPU_MAPS_ON,   /* all users' */
};

/* Why a process left the guest's code. Its registers are exact, and nothing of the instruction at RIP was done but
 * where the reason says otherwise. */
enum direct_stop {
    DIRECT_KICKED,     /* cpu_host.kick, `stop`, or for no reason */
    DIRECT_SYSCALL,    /* SYSCALL, RIP is behind it and RCX and R11 are overwritten as it does */
    DIRECT_PAGE_FAULT, /* at *la */
    DIRECT_FAULT,      /* another fault, which the instruction raises again */
    DIRECT_BREAKPOINT, /* INT3: RIP is behind it */
    DIRECT_INT1,       /* INT1: RIP is behind it, on some hosts not */
    DIRECT_STEPPED,    /* an instruction that began with RFLAGS.TF: RIP is behind it */
    DIRECT_TRAPPED,    /* before an instruction that `traps` says */
    DIRECT_LOST,       /* the process is dead, and with it the registers */
    DIRECT_UNFIT,      /* the process does not take these registers: nothing was executed */
};

struct direct_regs {
    u64 gpr[16]; /* by number */
    u64 rip, flags, fs_base, gs_base;
    u16 cs, ss, ds, es, fs, gs;
};

/* A change of what a process has mapped: pages of a file with these rights, or none (`rights` 0). */
struct direct_change {
    u64 la, size, offset;
    u32 file;
    u32 rights; /* DIRECT_READ and others */
};
#define DIRECT_READ BIT(0)
#define DIRECT_WRITE BIT(1)
#define DIRECT_FETCH BIT(2)
#define DIRECT_TRAPS 4    /* breakpoints of a process */
#define DIRECT_CHANGES 64 /* at once, at most */

struct direct_process;

/* cpu_host.alias */
#define ALIAS_READ BIT(0)
#define ALIAS_WRITE BIT(1)

/* Processes that hold one address space each, on the thread of one vCPU. Vector state is saved when these are called.
 */
struct cpu_direct_host {
    void *opaque;
    /* NULL: the host does not let us. */
    struct direct_process *(*create)(void *opaque, u32 index);
    void (*destroy)(struct direct_process *p);
    /* They are made by the time that guest code runs next, in the order of calls. False, here or (DIRECT_UNFIT) there:
     * some were not made, and the process is of no use any more. */
    bool (*change)(struct direct_process *p, const struct direct_change *c, u32 count);
    /* It stops before the instructions at these addresses; 0: none. False: the host has no such breakpoints. */
    bool (*traps)(struct direct_process *p, const u64 *la);
    /* RDTSC and RDTSCP fault in it from now on, or do not, as at its start. False: it is of no use any more. */
    bool (*tsc)(struct direct_process *p, bool faults);
    /* Executes guest code until something stops it; *request not being zero does. */
    enum direct_stop (*run)(struct direct_process *p, struct direct_regs *r, const u64 *request, u64 *la);
    /* CPU time in ns that it had until it stopped the last time: where others want the host's CPUs, time passes that
     * nobody used. Without what changes took that were made in `run`, which is *changes. */
    u64 (*used)(const struct direct_process *p, u64 *changes);
    /* The thread that called `run` or `change` sleeps now or does something else: it may be on any CPU again. */
    void (*rest)(void);
    /* x87, SSE, AVX and AVX-512 state as XSAVE images in the standard format; `size` is that of `image`. */
    bool (*vectors_get)(struct direct_process *p, void *image, u64 size);
    bool (*vectors_set)(struct direct_process *p, void *image, u64 size);
    /* [any] Stops guest code of the vCPU if some runs; cpu_host.kick does, too. Leaves vector registers alone. */
    void (*stop)(void *opaque, u32 index);
    /* Where a page of host memory lies that processes can map. False: it is no such memory. */
    bool (*file)(void *opaque, const void *host, u32 *file, u64 *offset);
    /* What `file` returned may be wrong by now. */
    void (*files_forget)(void *opaque);
    /* Addresses that a process can map: [low, high). It moves its own page out of the way of `change`. */
    u64 low, high;
};

/* now_ns, timer_set and kick leave vector registers alone; the others are called with the guest's saved. */
struct cpu_host {
    void *opaque;
    /* Zeroed memory from a multiple of PAGE_SIZE on, which costs nothing until it is touched. NULL: there is none. */
    void *(*memory_get)(void *opaque, size_t size, enum cpu_memory kind);
    void (*memory_put)(void *opaque, void *memory, size_t size);
    /*
     * Addresses of the host's that nothing is mapped at, for aliases of guest memory; memory_put gives them back. NULL:
     * there are none so many. And sets what is at some of them: `memory`, which is mapped elsewhere and shared, with
     * these rights; or what is there already, with other rights; or, with none, nothing. False: nothing has changed,
     * or it is not known what is there now. These and memory_put leave vector registers alone; [any] alias.
     */
    void *(*alias_space)(void *opaque, u64 size);
    bool (*alias)(void *opaque, void *at, u64 size, void *memory, unsigned rights);
    /* Host monotonic time in nanoseconds. */
    u64 (*now_ns)(void *opaque);
    /* The time of day in ns since 1970. */
    u64 (*wall_ns)(void *opaque);
    /* For how many ns the thread of vCPU `index`, which calls, waited so far for a CPU of the host; ~0: unknown. */
    u64 (*stolen_ns)(void *opaque, u32 index);
    /* For how many ns that thread ran so far. */
    u64 (*ran_ns)(void *opaque);
    /* Others may run: a vCPU waits for another one. */
    void (*yield)(void *opaque);
    /* Arrange that cpu_timer_due is called for vCPU `index` at that monotonic time (0: never). Replaces the last. */
    void (*timer_set)(void *opaque, u32 index, u64 deadline_ns);
    /* Sleep until *wake is not zero. */
    void (*wait)(void *opaque, u32 index, const u64 *wake);
    /* vCPU `index`'s wake word became non-zero: wake the vCPU if it sleeps. Async-signal-safe. */
    void (*kick)(void *opaque, u32 index);
    /* NULL, or takes one line for people: a VM entry that failed, the rule that it broke, and where L1 tried it. */
    void (*trace)(void *opaque, u32 index, u64 rip, const char *line);
    /* NULL: all guest code is translated. */
    const struct cpu_direct_host *direct;
    /* NULL, or takes each VM exit; called with L2's registers still in the vCPU. */
    void (*exited)(void *opaque, u32 index, const struct cpu_exit_seen *seen);
};

#endif
