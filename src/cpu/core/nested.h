/*
 * What instruction handlers, the MMU and event delivery ask of VT-x or AMD-V, in words of neither. `v->nested` is
 * vmx_ops or svm_ops, or NULL when the VM's CPUs have no virtualization extensions. Everything here is called on the
 * vCPU's own thread; what is marked "L2" only while v->in_guest.
 */
#ifndef CPU_CORE_NESTED_H
#define CPU_CORE_NESTED_H

#include "cpu/core/fault.h"
#include "cpu/core/insn.h"
#include "cpu/core/vcpu.h"
#include "x86/smram.h"
#include "x86/svm_exit.h"

/*
 * Reasons for an instruction of L2 to exit, with info1 and info2 in brackets where they are not 0. A handler asks by
 * nested_check after those checks of legality and privilege that come before the exit (SDM "Relative Priority of Faults
 * and VM Exits"). Where the two vendors order an exit differently among the checks, the handler asks for each.
 */
enum intercept {
    IC_CPUID,
    IC_HLT,
    IC_INVD,
    IC_WBINVD,
    IC_INVLPG,  /* [linear address] */
    IC_INVPCID, /* [linear address of the descriptor, type] */
    IC_RDPMC,
    IC_RDTSC,
    IC_RDTSCP,
    IC_RDRAND,
    IC_RDSEED,
    IC_MONITOR,
    IC_MWAIT, /* [1 if a monitor is armed] */
    IC_PAUSE,
    IC_XSETBV,
    IC_XSAVES,  /* [components: EDX:EAX & (XCR0 | XSS)] */
    IC_XRSTORS, /* [the same] */
    IC_RSM,
    IC_GETSEC,
    IC_VMRUN, /* this and the next six: the instructions of SVM */
    IC_VMMCALL,
    IC_VMLOAD,
    IC_VMSAVE,
    IC_STGI,
    IC_CLGI,
    IC_INVLPGA,  /* [linear address, ASID] */
    IC_IO,       /* [IO_INFO_* word, RIP of the next instruction] */
    IC_MSR,      /* [MSR, 1 for a write] */
    IC_CR_READ,  /* [CR, destination GPR] */
    IC_CR_WRITE, /* [CR | source GPR << 8, value] */
    IC_CLTS,
    IC_LMSW,     /* [source operand, linear address of a memory operand or LMSW_NO_MEMORY] */
    IC_SMSW,     /* SVM only: VMX has no exit for it */
    IC_DR_READ,  /* [DR, GPR] */
    IC_DR_WRITE, /* [DR, GPR] */
    IC_SGDT,     /* this and the next seven, four and four: in the order of VMX's instruction information */
    IC_SIDT,
    IC_LGDT,
    IC_LIDT,
    IC_SLDT,
    IC_STR,
    IC_LLDT,
    IC_LTR,
    IC_TASK_SWITCH, /* [selector, enum task_source] */
    IC_PUSHF,       /* this and the next four: SVM only */
    IC_POPF,
    IC_IRET,
    IC_INTN, /* [vector] */
    IC_ICEBP,
    IC_FERR,  /* SVM only: the freeze that FERR# ends */
    IC_RDPID, /* VMX only: #UD without "enable RDTSCP" */
    IC_COUNT
};

#define LMSW_NO_MEMORY (~0ull)

/* What switches tasks, as VMX numbers it in the exit qualification. */
enum task_source { TASK_CALL, TASK_IRET, TASK_JMP, TASK_GATE };

/* info1 of IC_IO is what SVM puts into EXITINFO1 of an I/O intercept (IO_INFO_* of x86/svm_exit.h), and this bit. */
#define IO_INFO_IMM BIT(13) /* the port was an immediate operand: VMX shows it */

/* A fault of the second stage: an EPT violation, an EPT misconfiguration or a nested page fault. */
struct stage2_fault {
    ngpa_t gpa;
    u64 la; /* the linear address whose translation led here, if la_valid */
    bool la_valid;
    bool final;         /* the fault is that of la itself; false: of a paging-structure entry of L2 */
    bool misconfig;     /* EPT misconfiguration: the members below do not count */
    bool rsvd;          /* NPT: an entry has a reserved bit set */
    bool present;       /* NPT: the leaf was present */
    enum access access; /* what was attempted */
    u8 perms;           /* EPT: what all entries of the walk permit, GRANT_* */
    u8 la_flags;        /* of the page of la, if final: LA_* of mmu/walk.h */
};

/* What a page of the second stage permits without another walk of its tables. The bits are those of EPT entries. */
#define GRANT_READ BIT(0)
#define GRANT_WRITE BIT(1)
#define GRANT_FETCH BIT(2)      /* of a supervisor-mode linear address */
#define GRANT_FETCH_USER BIT(3) /* of a user-mode linear address */
#define GRANT_ALL (GRANT_READ | GRANT_WRITE | GRANT_FETCH | GRANT_FETCH_USER)

enum nested_event { NEV_INIT, NEV_SIPI, NEV_SMI, NEV_NMI, NEV_EXTINT, NEV_TRIPLE_FAULT, NEV_MTF };

struct nested_ops {
    /* L2: an instruction with a reason to exit. CPU_OK: it does not, go on. CPU_NESTED_EXIT: L1 runs now. */
    enum outcome (*intercept)(struct vcpu *v, enum intercept ic, u64 info1, u64 info2);
    /* L2: v->fault or another exception is about to be delivered. CPU_OK: L2 gets it. */
    enum outcome (*exception)(struct vcpu *v, const struct event *e);
    /* L2: an event from outside is about to be taken. CPU_OK: L2 gets it. */
    enum outcome (*event)(struct vcpu *v, enum nested_event what);
    /* L2: a fault of the second stage. Always exits. */
    enum outcome (*stage2)(struct vcpu *v, const struct stage2_fault *f);
    /* May an external interrupt, or an NMI, be taken now, by L2 or by an exit? Considers RFLAGS.IF, the interrupt
     * shadow, GIF, blocking by NMI, and whose IF counts. */
    bool (*intr_allowed)(struct vcpu *v);
    bool (*nmi_allowed)(struct vcpu *v);
    /* L2: called at each look at events, before NMIs and external interrupts: windows, the preemption timer, virtual
     * interrupts. CPU_OK: no exit; perhaps there is an event in v->inject now. */
    enum outcome (*windows)(struct vcpu *v);
    /* L2: what MOV from CR or SMSW of a register with this value shows. */
    u64 (*cr_read)(struct vcpu *v, unsigned cr, u64 value);
    /* L2: the value to load for a MOV to CR of this one that did not exit. */
    u64 (*cr_write)(struct vcpu *v, unsigned cr, u64 value);
    /* RDMSR and WRMSR of the MSRs that belong to the extension. True: it is one, and *out is what came of it. */
    bool (*msr_read)(struct vcpu *v, u32 msr, u64 *value, enum outcome *out);
    bool (*msr_write)(struct vcpu *v, u32 msr, u64 value, enum outcome *out);
    /*
     * L2: walks the second stage's tables at `root` (what mmu_set_stage2 was given) for one access and sets
     * accessed and dirty bits there. user_linear: the page of the linear address is a user-mode one. True: *out is the
     * address, *page_size the size of the mapping in bytes, *grants what else it permits without another walk (GRANT_*;
     * no write while a dirty bit is to be set). False: the fields of *f that say why are filled; the caller adds la,
     * la_valid and final.
     */
    bool (*stage2_walk)(struct vcpu *v, u64 root, ngpa_t gpa, enum access access, bool user_linear, gpa_t *out,
                        u64 *page_size, u8 *grants, struct stage2_fault *f);
    /*
     * L2: an access of `size` bytes to the page of mmu_set_apic_access, after everything else that may come of it; or,
     * with size 0, to an entry of L2's paging structures there. CPU_OK: it goes to *gpa, which is another page now, and
     * apic_written is called after a write.
     */
    enum outcome (*apic_access)(struct vcpu *v, gpa_t *gpa, unsigned size, enum access access);
    void (*apic_written)(struct vcpu *v);
    /* L2: may the host's CPU execute its user code? Not if something exits there that faults on no host. */
    bool (*user_is_plain)(const struct vcpu *v);
    /* Is the extension in use: does a hypervisor run on this vCPU? [any], a moment old there. */
    bool (*active)(const struct vcpu *v);
    /* Called at INIT and RESET. */
    void (*reset)(struct vcpu *v);
    /* An SMI is taken: ends VMX or SVM operation, whichever level runs, until smm_leave, and notes in *m, which may be
     * NULL, what belongs there. */
    void (*smm_enter)(struct vcpu *v, struct smram64 *m);
    /* RSM with this CR4 and EFER in the state save area. False: a shutdown. */
    bool (*smm_may_leave)(struct vcpu *v, u64 cr4, u64 efer);
    /* The registers are loaded. Returns true if L2 goes on. */
    bool (*smm_leave)(struct vcpu *v);
    /* The extension's part of the vCPU's state (cpu/state.c). Refusal gives NULL, or what is wrong with *n; set comes
     * after it, and after the TSC was set, and leaves everything that mode_update does to the caller. */
    void (*state_get)(struct vcpu *v, struct cpu_nested *n);
    const char *(*state_refusal)(struct vcpu *v, const struct cpu_nested *n);
    void (*state_set)(struct vcpu *v, const struct cpu_nested *n);

    /* -- what one of the two does not have: NULL there -- */

    /* The i-th MSR of msr_read that is a part of the vCPU's state: where its value lives, which MSR it is and which
     * bits may be set. Returns NULL behind the last. */
    u64 *(*msr_slot)(struct vcpu *v, unsigned i, u32 *msr, u64 *valid);
    /* The owner of the vCPU gives another MSR of these a value. False: the MSR may not have that value. */
    bool (*msr_put)(struct vcpu *v, u32 msr, u64 value);
    /* May CR0 or CR4 have this value? False: #GP(0). VMX operation fixes some of their bits. */
    bool (*cr_valid)(struct vcpu *v, unsigned cr, u64 value);
    /* Must an INIT wait, as in VMX root operation? */
    bool (*init_blocked)(const struct vcpu *v);
    /* L2: does each instruction end in NEV_MTF, because of VMX's monitor trap flag? */
    bool (*stepping)(const struct vcpu *v);
    /* L2: VMX's preemption timer. The host's monotonic time in ns at which timer() is due, 0 for never. */
    u64 (*deadline)(const struct vcpu *v);
    void (*timer)(struct vcpu *v);
    /* L2: it read its TSC, so what is due by the TSC may not come later. */
    void (*tsc_seen)(struct vcpu *v);
    /* L2: L1's TSC was set, so what is due by it is due at another time. */
    void (*tsc_changed)(struct vcpu *v);
};

static inline enum outcome nested_check(struct vcpu *v, enum intercept ic, u64 info1, u64 info2)
{
    if (likely(!v->in_guest))
        return CPU_OK;
    return v->nested->intercept(v, ic, info1, info2);
}

static inline bool nested_stepping(const struct vcpu *v)
{
    return v->in_guest && v->nested->stepping && v->nested->stepping(v);
}

static inline void nested_tsc_seen(struct vcpu *v)
{
    if (v->in_guest && v->nested->tsc_seen)
        v->nested->tsc_seen(v);
}

extern const struct nested_ops vmx_ops;
extern const struct nested_ops svm_ops;

/* What an MSR that reports capabilities of VMX shows on a CPU with these features. Returns false if it has no such MSR.
 */
bool vmx_capability(const struct cpu_features *f, u32 msr, u64 *value);

/* At creation: the size of the vendor's state, and the memory for it. */
size_t vmx_size(void);
void vmx_init(struct vcpu *v, void *memory);
size_t svm_size(void);
void svm_init(struct vcpu *v, void *memory);

#endif
