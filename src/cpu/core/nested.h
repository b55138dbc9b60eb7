/*
 * What the instruction handlers, the MMU and event delivery need of VMX and SVM, vendor-neutral. `v->nested` is vmx_ops
 * or svm_ops (NULL when the VM has no virtualization extensions). Everything here is called on the vCPU's thread.
 */
#ifndef CPU_CORE_NESTED_H
#define CPU_CORE_NESTED_H

#include "cpu/core/fault.h"
#include "cpu/core/insn.h"
#include "cpu/core/vcpu.h"
#include "x86/svm_exit.h"

/*
 * Reasons for an instruction of L2 to exit. info1/info2 of each are given in brackets. Handlers call nested_check after
 * the legality and privilege checks that have priority over the exit (SDM "Relative Priority of Faults and VM Exits").
 */
enum intercept {
    IC_CPUID,
    IC_HLT,
    IC_INVD,
    IC_WBINVD,
    IC_INVLPG,  /* [linear address, 0] */
    IC_INVPCID, /* [linear address of descriptor, type] */
    IC_INVLPGB,
    IC_RDPMC,
    IC_RDTSC,
    IC_RDTSCP,
    IC_RDRAND,
    IC_RDSEED,
    IC_RDPRU,
    IC_MONITOR,
    IC_MWAIT, /* [1 if armed] */
    IC_PAUSE,
    IC_XSETBV,
    IC_XSAVES,  /* [EDX:EAX & XCR0|XSS] */
    IC_XRSTORS, /* [same] */
    IC_RSM,
    IC_GETSEC,
    IC_ENCLS,
    IC_UMWAIT_TPAUSE,
    IC_VMX, /* any VMX instruction; the handler in vmx/ decides the reason */
    IC_VMRUN,
    IC_VMMCALL,
    IC_VMLOAD,
    IC_VMSAVE,
    IC_STGI,
    IC_CLGI,
    IC_SKINIT,
    IC_INVLPGA,  /* SVM instructions */
    IC_IO,       /* [IO_INFO_* word, RIP of the next instruction] */
    IC_MSR,      /* [MSR number, 1 if write] */
    IC_CR_READ,  /* [CR number, destination GPR] */
    IC_CR_WRITE, /* [CR number | source GPR << 8, value] after checks that come first */
    IC_CLTS,
    IC_LMSW,     /* [source operand, linear address of memory operand or ~0 if register] */
    IC_SMSW,     /* SVM only: CR0 selective read is IC_CR_READ */
    IC_DR_READ,  /* [DR number, GPR] */
    IC_DR_WRITE, /* [DR number, GPR] */
    IC_SGDT,     /* these four, and the next four, in the order of VMX's instruction information */
    IC_SIDT,
    IC_LGDT,
    IC_LIDT,
    IC_SLDT,
    IC_STR,
    IC_LLDT,
    IC_LTR,
    IC_TASK_SWITCH, /* [selector, enum task_source] */
    IC_PUSHF,
    IC_POPF,
    IC_IRET,
    IC_INTN, /* SVM; INTN [vector] */
    IC_ICEBP,
    IC_FERR,
    IC_RDPID, /* VMX only */
    IC_COUNT
};

/* What switches tasks, as VMX numbers it in the exit qualification. */
enum task_source { TASK_CALL, TASK_IRET, TASK_JMP, TASK_GATE };

/* IC_IO info1 is what SVM puts into EXITINFO1 of an I/O intercept (IO_INFO_* of x86/svm_exit.h), and this: */
#define IO_INFO_IMM BIT(13) /* the port was an immediate operand: VMX shows it */

/* Second-stage fault, reported by the MMU. */
struct stage2_fault {
    ngpa_t gpa;
    u64 la; /* guest-linear address that led here, if la_valid */
    bool la_valid;
    bool final;         /* the translation of la itself; false: a paging-structure entry of L2 */
    bool misconfig;     /* EPT misconfiguration (no other detail counts) */
    bool rsvd;          /* NPT: reserved bit */
    bool present;       /* NPT: the leaf was present */
    enum access access; /* what was attempted; for EPT reads of guest tables with A/D: also write */
    bool user;          /* NPT error code US bit */
    u8 perms;           /* EPT: R|W|X (bits 0..2) and'ed over the walk; bit 3 = user-execute (MBE) */
    u8 la_flags;        /* EPT advanced information: bit 0 user page, 1 writable, 2 NX */
};

/* What a page of the second stage permits without another walk of its tables. The bits are those of EPT entries. */
#define GRANT_READ BIT(0)
#define GRANT_WRITE BIT(1)
#define GRANT_FETCH BIT(2)      /* of a supervisor-mode linear address */
#define GRANT_FETCH_USER BIT(3) /* of a user-mode linear address */

enum nested_event { NEV_INIT, NEV_SIPI, NEV_SMI, NEV_NMI, NEV_EXTINT, NEV_TRIPLE_FAULT, NEV_MTF, NEV_PREEMPT };

struct nested_ops {
    /* L2 only. CPU_OK: not intercepted, go on. CPU_NESTED_EXIT: L1 runs now. */
    enum outcome (*intercept)(struct vcpu *v, enum intercept ic, u64 info1, u64 info2);
    /* L2 only: v->fault (or another exception event) is about to be delivered. CPU_OK: deliver it. */
    enum outcome (*exception)(struct vcpu *v, const struct event *e);
    /* L2 only: an asynchronous event is pending and not blocked in the ways that L1 would see. CPU_OK: L2 gets it. */
    enum outcome (*event)(struct vcpu *v, enum nested_event what);
    /* L2 only: EPT violation, EPT misconfiguration or NPF. Always exits. */
    enum outcome (*stage2)(struct vcpu *v, const struct stage2_fault *f);
    /*
     * Any level. What external interrupts may do now, asked before each look at the APIC:
     * bit 0: an interrupt may be taken (or may cause an exit) now. Considers IF, shadow, GIF, host IF (V_INTR_MASKING).
     */
    bool (*intr_allowed)(struct vcpu *v);
    bool (*nmi_allowed)(struct vcpu *v);
    /* L2 only: windows, virtual interrupts (V_IRQ), pending MTF: called at each look at events, before external
     * interrupts are considered. CPU_OK: nothing (or a virtual interrupt was put in v->inject). */
    enum outcome (*windows)(struct vcpu *v);
    /* L2 only: what MOV from CRn / SMSW shows (guest/host masks and shadows); CR8: virtual TPR. */
    u64 (*cr_read)(struct vcpu *v, unsigned cr, u64 value);
    /* L2 only: MOV to CRn of a value that did not exit: which bits L2 may change (VMX guest/host mask); CR8. Gives the
     * value to load. */
    u64 (*cr_write)(struct vcpu *v, unsigned cr, u64 value);
    /* MSR access for MSRs owned by the extension (VMX capabilities, VM_CR...). False: not mine. */
    bool (*msr_read)(struct vcpu *v, u32 msr, u64 *value, enum outcome *out);
    bool (*msr_write)(struct vcpu *v, u32 msr, u64 value, enum outcome *out);
    /* The i-th MSR of these that is a part of the vCPU's state: where its value lives, which MSR it is and which bits
     * may be set. NULL behind the last. */
    u64 *(*msr_slot)(struct vcpu *v, unsigned i, u32 *msr, u64 *valid);
    /* Bits that CR0/CR4 must and may have (VMX fixed bits while in VMX operation); false: #GP. */
    bool (*cr_valid)(struct vcpu *v, unsigned cr, u64 value);
    /* CPUID leaves that the extension owns: r holds what the table of leaves says. */
    void (*cpuid)(const struct vcpu *v, u32 leaf, u32 r[4]);
    /* Any level. INIT waits (VMX root operation). */
    bool (*init_blocked)(const struct vcpu *v);
    /* L2 only: each instruction is followed by a look (VMX monitor trap flag). */
    bool (*stepping)(const struct vcpu *v);
    /* L2 only: host monotonic ns at which timer() is due, 0: never (VMX preemption timer). */
    u64 (*deadline)(const struct vcpu *v);
    void (*timer)(struct vcpu *v);
    /* Any level: the guest read its TSC, so what is due by it may not come later. */
    void (*tsc_seen)(struct vcpu *v);
    /*
     * L2 only: walks the second stage's tables at `root` (what mmu_set_stage2 was given) for one access and sets
     * accessed and dirty bits there. user_linear: the page of the linear address is a user-mode one. True: *out is the
     * address, *page_size the size of the mapping in bytes, *grants what else it permits without another walk (GRANT_*;
     * no write while a dirty bit is to be set). False: the fields of *f that say why are filled; the caller adds la,
     * la_valid and final.
     */
    bool (*stage2_walk)(struct vcpu *v, u64 root, ngpa_t gpa, enum access access, bool user_linear, gpa_t *out,
                        u64 *page_size, u8 *grants, struct stage2_fault *f);
    /* INIT and reset. */
    void (*reset)(struct vcpu *v);
};

static inline enum outcome nested_check(struct vcpu *v, enum intercept ic, u64 info1, u64 info2)
{
    if (likely(!v->in_guest))
        return CPU_OK;
    return v->nested->intercept(v, ic, info1, info2);
}

static inline bool nested_stepping(const struct vcpu *v)
{
    return v->in_guest && v->nested->stepping(v);
}

static inline void nested_tsc_seen(struct vcpu *v)
{
    if (v->nested)
        v->nested->tsc_seen(v);
}

extern const struct nested_ops vmx_ops;
extern const struct nested_ops svm_ops;

/* Memory for the vendor state, given at creation. */
size_t vmx_size(void);
void vmx_init(struct vcpu *v, void *memory);
size_t svm_size(void);
void svm_init(struct vcpu *v, void *memory);

#endif
