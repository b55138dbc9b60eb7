/*
 * The engine's public face, and the only header of src/cpu that other folders include. One struct vm for each VM, one
 * struct vcpu for each of its CPUs; both are opaque outside src/cpu.
 *
 * Threads: a function that is not marked runs on the thread that runs the vCPU, or while the vCPU does not run. [any]:
 * on any thread. [signal]: on any thread, and in signal handlers.
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "bus/machine.h"
#include "cpu/core/cpuid.h"
#include "cpu/core/host.h"
#include "cpu/core/state.h"
#include "ram/ring.h"

struct vm;
struct vcpu;
struct upcalls;

#define CPU_VCPUS_MAX 256

/* -- creation -- */

struct cpu_config {
    const struct machine *machine; /* with its memory; both live as long as the VM */
    const struct cpu_host *host;
    u64 tsc_khz;            /* of the host's TSC, at which L1's counts if nobody says more */
    bool tsc_of_host;       /* the guest's is the host's at RESET, and does not begin at 0: docs/direct.md */
    bool smm;               /* SMIs enter system management mode, whose memory is address space 1: docs/smm.md */
    bool hypercalls;        /* VMCALL and VMMCALL as test programs expect them of KVM */
    enum cpu_direct direct; /* user code that the host's CPU executes, if host->direct is there: docs/direct.md */
    enum cpu_maps maps;     /* memory that is mapped at host addresses, if host->alias is there: docs/mapped.md */
    bool paravirt; /* KVM's MSRs and hypercalls for guests are there even if CPUID does not show them, as under KVM */
};

/* Makes a VM without CPUs and memory. Returns 0 or -ENOMEM. */
int MUST_CHECK cpu_create(struct vm **vm, const struct cpu_config *config);
/* Called while no vCPU runs. */
void cpu_destroy(struct vm *vm);

/*
 * Adds a vCPU in the state after RESET, while others may run. `features` lives as long as the VM; it may differ from
 * that of the other vCPUs only in what CPUID returns, because translated blocks and page walks depend on the rest.
 * Returns the vCPU's index, which counts from 0 and is not the APIC ID; or -ENOMEM, -ENOSPC, -EINVAL.
 */
int MUST_CHECK cpu_add(struct vm *vm, u32 apic_id, const struct cpu_features *features);
/*
 * Sets what CPUID shows from now on, in place of what the vCPU was added with; no register changes. Until a vCPU of the
 * VM has run, anything may change, for all vCPUs. After that only what CPUID returns may; -EINVAL if more is asked for.
 */
int MUST_CHECK cpu_features_set(struct vcpu *v, const struct cpu_features *features);
/* What CPUID returns on this vCPU now. */
void cpu_cpuid(const struct vcpu *v, u32 leaf, u32 sub, u32 r[4]);
u32 cpu_count(const struct vm *vm);
struct vcpu *cpu_at(const struct vm *vm, u32 index);

/* remap.c: for ram_attach to the machine's memory, when the VM is made; opaque is the struct vm. */
extern const struct ram_ops cpu_ram_ops;
/* Pages that the vCPU makes dirty come into that ring, too. While the ring is full (ram_ring_full) and more come,
 * cpu_run returns CPU_EXIT_DEVICE. */
void cpu_ring_set(struct vcpu *v, struct ram_ring *ring);

/*
 * Says who has the local APICs, before the first vCPU is added; the engine has them if nobody says. With another choice
 * the caller gives vectors by cpu_interrupt, and machine.pic_ack is not called.
 */
void cpu_apics_set(struct vm *vm, enum cpu_apics apics);
/* Says which CPU starts first after RESET, before the first vCPU is added; the one with APIC ID 0 if nobody says. */
void cpu_boot_set(struct vm *vm, u32 apic_id);

/* -- running -- */

/* Resets to the state after RESET (SDM vol. 3A "Processor State After Reset"): real mode, CS:IP = F000:FFF0; CPUs other
 * than the first wait for SIPI. Forgets requests. */
void cpu_reset(struct vcpu *v);
/* Runs until something needs the caller. */
enum cpu_exit cpu_run(struct vcpu *v);

/*
 * Notes that memory in slots with RAM_FOREIGN may have been written in any way since the vCPU ran: a debugger put
 * breakpoints into code, or a saved state was loaded. What devices write needs no such call: docs/ram.md.
 */
void cpu_code_doubt(struct vcpu *v);

/* [signal] Makes cpu_run return CPU_EXIT_STOP soon, now and whenever it is called, until cpu_go. */
void cpu_stop(struct vcpu *v);
void cpu_go(struct vcpu *v); /* [any] */
/* [signal] The time that timer_set asked for has come. */
void cpu_timer_due(struct vcpu *v);
/*
 * Called on the vCPU's thread, in the handler of a host signal: a host fault with x86 vector `trapno` came up at
 * host_rip. Returns the host address to continue at if the fault is the guest's, NULL if not.
 */
const u8 *cpu_signal(struct vcpu *v, const u8 *host_rip, unsigned trapno);

/* The same for a page fault at a host address that belongs to no slot, with RCX as it was. */
const u8 *cpu_page_fault(struct vcpu *v, const u8 *host_rip, u64 address, u64 rcx, bool write);

/* [signal] Where memory of a slot lies that `maps` has at this host address, too; the address itself if it has not. */
const u8 *cpu_memory_at(const struct vm *vm, const u8 *host);

/*
 * The same for a page fault at memory of a slot in C code of the engine: where cpu_may_leave, the caller may jump out
 * of cpu_run or cpu_step, and calls cpu_memory_gone with the registers as they were at the fault. The vCPU is then as
 * after CPU_EXIT_MEMORY: what it was about to do has changed nothing, or not all.
 */
bool cpu_may_leave(const struct vcpu *v);
void cpu_memory_gone(struct vcpu *v);
/*
 * For devices that live outside; functions of struct machine call these two, on the vCPU's thread. cpu_defer: the
 * answer to this read is not known yet. What the function returns is dropped, the instruction has changed nothing, and
 * cpu_run or cpu_step returns CPU_EXIT_DEVICE. When the instruction runs again, it makes its accesses again, from the
 * first on. cpu_leave: cpu_run returns CPU_EXIT_DEVICE once the instruction in progress is done.
 */
void cpu_defer(struct vcpu *v);
void cpu_leave(struct vcpu *v);
/* [any] What happens when there is no code to run: CPU_FETCH_NEVER if nobody says. */
void cpu_fetch_exits(struct vm *vm, enum cpu_fetch_exits which);
/* Runs one instruction, before which no event comes. Returns CPU_EXIT_NONE, or why the instruction did not run. */
enum cpu_exit cpu_step(struct vcpu *v);

/* -- state -- */

/*
 * Fills in the groups of registers in `wanted` (STATE_*), while the vCPU does not run. Returns the groups that were
 * filled in: all of them that there are.
 */
u64 cpu_state_get(struct vcpu *v, struct cpu_state *s, u64 wanted);
/*
 * Sets the groups in `given`, all or none. Returns 0; or -EINVAL, with the name of a register whose value the vCPU
 * cannot have in *bad, and nothing has changed. Groups that belong together may be set one after the other.
 */
int MUST_CHECK cpu_state_set(struct vcpu *v, const struct cpu_state *s, u64 given, const char **bad);
/* Returns row i of the table of registers, or NULL behind the last. MSRs have no names here: cpu_msr_list lists the
 * numbers of those in STATE_MSRS, as far as there is room, and returns how many there are. */
const struct cpu_register *cpu_register(unsigned i);
u32 cpu_msr_list(struct vcpu *v, u32 *list, u32 room);

/*
 * One MSR as the owner of the vCPU reads and writes it (insn/msr.h): any that L1 can read, by itself or as a part of
 * another group. Both return false if there is none of that number, or it cannot have the value.
 */
bool cpu_msr_read(struct vcpu *v, u32 msr, u64 *value);
bool MUST_CHECK cpu_msr_write(struct vcpu *v, u32 msr, u64 value);
/* List the MSRs that vCPUs with these features have, as far as there is room, and return how many there are; and read
 * an MSR that reports the CPU's abilities. */
u32 cpu_msr_numbers(const struct cpu_features *f, u32 *list, u32 room);
bool cpu_msr_feature(const struct cpu_features *f, u32 msr, u64 *value);
/* L1's TSC minus the host's, or minus the host's scaled. */
u64 cpu_tsc_offset(const struct vcpu *v);
void cpu_tsc_offset_set(struct vcpu *v, u64 offset);
/* Makes L1's TSC count at `khz` from now on: the host's is scaled, unless the caller says that the two rates are as
 * good as equal. The offset stays. */
void cpu_tsc_khz_set(struct vcpu *v, u64 khz, bool scaled);
/* Returns what a TSC of the host is in L1's rate. */
u64 cpu_tsc_scaled(const struct vcpu *v, u64 host);
/* [any] Says for which reasons (MACHINE_MSR_*) machine.msr is asked; it is never asked if nobody says. */
void cpu_msr_ask(struct vm *vm, u32 reasons);

/* Finds where in guest-physical RAM of L1 a linear address of the running level lies, and returns false if nowhere.
 * Nothing changes. */
bool cpu_translate(struct vcpu *v, u64 la, u64 *gpa);

/* -- interrupts [any] -- */

/* Sends an MSI: an address in 0xfeexxxxx, and data. Returns how many APICs took it; 0 if it is pending already in all
 * that it is meant for; -1 if it is meant for none. */
int cpu_msi(struct vm *vm, u64 address, u32 data);
/* Says how destinations of MSIs are read. `wide`: bits 63:40 of the address are bits 31:8 of the destination. `exact`:
 * FFh is no broadcast to APICs in x2APIC mode. */
void cpu_msi_format(struct vm *vm, bool wide, bool exact);
void cpu_nmi(struct vcpu *v);
/* The 8259's INTR line. */
void cpu_intr_line(struct vm *vm, bool level);

/* SMI# of one CPU: taken before an instruction, once the CPU is in no SMI handler. */
void cpu_smi(struct vcpu *v);
/* Reports a corrected machine-check error, on a CPU whose MCG_CAP shows CMCI. The vCPU is not running. */
void cpu_cmci(struct vcpu *v);
/* INIT# of all CPUs. */
void cpu_init(struct vm *vm);
/* The level of IGNNE#: while it is high, x87 errors that went out by FERR# do not stop a vCPU. */
void cpu_ignne(struct vm *vm, bool level);

/* -- interrupts that the caller gives, on the vCPU's thread -- */

/* What the caller has to know to give interrupts. */
struct cpu_interruptibility {
    bool flag;  /* RFLAGS.IF */
    bool ready; /* a vector would be taken at once */
    bool guest; /* L2 runs */
    u8 tpr;     /* CR8 */
    u64 apic_base;
};
void cpu_interruptibility(struct vcpu *v, struct cpu_interruptibility *out);
/* Sets CR8, when the APIC is the caller's. */
void cpu_tpr_set(struct vcpu *v, u8 tpr);
/* Registers of an APIC that it cannot have become what they would if they were written. */
void cpu_apic_clean(struct vcpu *v, struct cpu_apic *apic);

/* Gives the vCPU a vector, which it takes as soon as it can. -EEXIST: the last one was not taken yet, and stays. */
int MUST_CHECK cpu_interrupt(struct vcpu *v, u8 vector);
/* Would a vector be taken at once? */
bool cpu_interruptible(struct vcpu *v);
/* With `wanted`, cpu_run returns CPU_EXIT_WINDOW as soon as a vector would be taken; without, no longer. */
void cpu_window_set(struct vcpu *v, bool wanted);

/* -- debugging from outside, in L1 and L2 -- */

/* What ends cpu_run with CPU_EXIT_DEBUG from now on, instead of what was set before. */
void cpu_debug_set(struct vcpu *v, const struct cpu_debug *debug);
/* After CPU_EXIT_DEBUG: what was met. */
const struct cpu_exit_debug *cpu_debug_exit(const struct vcpu *v);

/* -- KVM's interface for guests: which parts a vCPU shows is up to its CPUID -- */

struct cpu_clock {
    u64 ns;           /* what the VM's clock shows */
    u64 tsc, wall_ns; /* the host's TSC, and its time of day in ns since 1970, at that moment */
    bool stable;      /* all vCPUs agree on it to the nanosecond, as their TSCs agree */
};
/* [any] The clock of a VM counts from 0 at its creation. */
void cpu_clock_get(const struct vm *vm, struct cpu_clock *c);
void cpu_clock_set(struct vm *vm, u64 ns);
/* Notes that the vCPU was stopped from outside: the next update of its clock says so to the guest's watchdogs. Returns
 * false if the guest does not use the clock. */
bool cpu_clock_stopped(struct vcpu *v);
/* Returns whether the host may poll for a halted vCPU's next event: not if the guest says that it polls itself. */
bool cpu_may_poll(const struct vcpu *v);
/* May the guest use only what CPUID shows? True unless the VM was created with `paravirt`. */
void cpu_paravirt_enforce(struct vcpu *v, bool enforce);

/* [any] but in cpu_run: all user code is translated from now on (docs/direct.md). */
void cpu_direct_end(struct vm *vm);

/* [any] Sets the CPU_QUIRK_* of the VM, which has none at first. */
void cpu_quirks_set(struct vm *vm, u32 quirks);
/* Says which hypercalls, by the bit of their number, end cpu_run with CPU_EXIT_HYPERCALL. MAP_GPA_RANGE (12) can. */
void cpu_hypercall_exits(struct vm *vm, u64 numbers);
/* After CPU_EXIT_HYPERCALL: which it is; and its result, which must be given before the vCPU runs again. */
const struct cpu_exit_hypercall *cpu_hypercall(const struct vcpu *v);
void cpu_hypercall_finish(struct vcpu *v, u64 result);

/* -- Hyper-V's interface for guests, which a vCPU has if its CPUID shows it -- */

/* May the guest use only what leaves 4000_0003h and 4000_0004h show? False at creation. */
void cpu_hyperv_enforce(struct vcpu *v, bool enforce);
/* The vCPU has the synthetic interrupt controller; keep_pages: its pages are not zeroed when the guest enables them. */
void cpu_hyperv_synic(struct vcpu *v, bool keep_pages);
/* [any] Raises the interrupt of a source. Returns 1; 0 if it waits already; -1 if there is none. */
int cpu_hyperv_sint(struct vm *vm, u32 vp_index, u32 sint);
/* After CPU_EXIT_HYPERV: what it is; and the result of a hypercall, which must be given before the vCPU runs again. */
const struct cpu_exit_hyperv *cpu_hyperv(const struct vcpu *v);
void cpu_hyperv_finish(struct vcpu *v, u64 result);
void cpu_hyperv_debug_status(struct vm *vm, u64 status);

/* Is the vCPU in system management mode? Asked while it does not run, and by functions that the engine calls. */
bool cpu_in_smm(const struct vcpu *v);

/* -- for people -- */

/* Row i of a vCPU's counters: returns what it counts, or NULL behind the last. */
const char *cpu_counter(const struct vcpu *v, unsigned i, u64 *value);
/* Is VMX operation on, or have guests been run by SVM, which is enabled? */
bool cpu_hypervisor_active(const struct vcpu *v);
/*
 * Returns how often guests of level 2, 3 or 4 (that and deeper) left to L1 for the reason of row `slot`, all vCPUs
 * together. *code is the VMX basic exit reason or the SVM exit code. core/exits.h says what a level is to the engine.
 */
#define CPU_EXIT_LEVEL_MAX 4
#define CPU_EXIT_SLOTS 256
u64 cpu_exit_count(const struct vm *vm, unsigned level, unsigned slot, u64 *code);
/* Row i of the instructions that C code executes: returns the handler's name ("mov_to_cr"), or NULL behind the last;
 * *count is of all vCPUs together. */
const char *cpu_called(const struct vm *vm, unsigned i, u64 *count);
enum vendor cpu_vendor(const struct vm *vm);
struct cpu_cache_use {
    u64 blocks, hot, cold, flushes; /* translated blocks, bytes of code, and how often all were thrown away */
};
void cpu_cache_use(const struct vm *vm, struct cpu_cache_use *use);
/*
 * Piece i of the host code that translations are made of, for profilers; returns false behind the last. They are the
 * pieces since the cache was flushed last. `la` is where the guest had the code when it was translated: other addresses
 * may share it. Called while no vCPU makes or drops translations.
 */
enum cpu_code_kind {
    CPU_CODE_SHARED, /* of all blocks: checks, jumps. It has no address */
    CPU_CODE_MAIN,   /* what a block mostly runs */
    CPU_CODE_REST,   /* where it goes if something is in the way */
};
struct cpu_code {
    enum cpu_code_kind kind;
    u64 host, size;
    u64 la;
    bool guest, user; /* in L2, and at CPL 3 */
    bool hot;         /* made for speed: no shared checks */
};
bool cpu_code(const struct vm *vm, u32 i, struct cpu_code *code);
/* [signal] RIP, as far as it is known while translated code runs. */
u64 cpu_rip(const struct vcpu *v);

/* For vm.upcalls, where a test makes a struct vm itself. */
extern const struct upcalls cpu_upcalls;

#endif
