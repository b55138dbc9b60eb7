/*
 * The state of a vCPU as a whole, for whoever loads a kernel, shows registers, saves or moves a VM: the same for the
 * engine and for /dev/kvm. Registers have names (cpu_register) and come in groups, which a mask of STATE_* asks for.
 * Values are those of the level that runs: L2's while L2 runs, and then STATE_NESTED has L1's.
 */
#ifndef CPU_CORE_STATE_H
#define CPU_CORE_STATE_H

#include "base/types.h"
#include "x86/regs.h"

#define STATE_GPRS BIT64(0)     /* general registers, RIP, RFLAGS */
#define STATE_SEGMENTS BIT64(1) /* segment registers, GDTR, IDTR, CPL */
#define STATE_CONTROL BIT64(2)  /* control registers, EFER, APIC_BASE, PDPTEs */
#define STATE_DEBUG BIT64(3)
#define STATE_VECTORS BIT64(4)  /* XCR0; x87, SSE, AVX, AVX-512 and PKRU as an XSAVE image */
#define STATE_MSRS BIT64(5)     /* what no other group has */
#define STATE_TIME BIT64(6)     /* the TSC, which goes on from where it was when the state was taken */
#define STATE_EVENTS BIT64(7)   /* what is pending or blocked between two instructions */
#define STATE_ACTIVITY BIT64(8) /* running, halted, waiting for SIPI; MONITOR */
#define STATE_APIC BIT64(9)     /* the local APIC */
#define STATE_NESTED BIT64(10)  /* VMX or SVM operation */
#define STATE_ALL (BIT64(11) - 1)

enum activity { ACTIVITY_ACTIVE, ACTIVITY_HLT, ACTIVITY_SHUTDOWN, ACTIVITY_WAIT_SIPI, ACTIVITY_MWAIT, ACTIVITY_FERR };

/* Event types, numbered as in the VM-entry interruption-information field. */
enum event_type {
    EVENT_EXTINT = 0,
    EVENT_NMI = 2,
    EVENT_EXCEPTION = 3, /* hardware exception, fault or trap */
    EVENT_SOFT_INT = 4,  /* INT n */
    EVENT_PRIV_SOFT = 5, /* INT1 (ICEBP) */
    EVENT_SOFT_EXC = 6,  /* INT3, INTO */
};

struct event {
    bool valid;
    bool has_error;
    bool rf; /* while it is delivered: RF in the flags that its frame gets */
    u8 vector;
    u8 type;     /* enum event_type */
    u8 insn_len; /* soft events: RIP to push is that of the instruction plus this */
    u32 error;
    u64 payload; /* #PF: the address for CR2; #DB: bits to merge into DR6 */
};

#define SHADOW_STI BIT(0)
#define SHADOW_MOVSS BIT(1)

struct cpu_msr {
    u32 index;
    u64 value;
};

#define STATE_MSRS_MAX 512u
#define STATE_XSAVE_SIZE 4096u
#define STATE_APIC_SIZE 1024u
#define STATE_VMCS_SIZE 4096u

struct cpu_events {
    /* Delivered before the next instruction, without asking L1: the injection of a VM entry, an interrupt that was
     * acknowledged. Changes neither CR2 nor DR6 unless it is a #PF or #DB, by its payload. */
    struct event injected;
    struct event raised; /* an exception that comes up before the next instruction: L1 is asked first */
    bool trap_pending;   /* the debug trap of the instruction before, with these bits of DR6 */
    u64 trap_dr6;
    u8 shadow;      /* SHADOW_* */
    u8 nmi_pending; /* how many, 0 to 2 */
    bool nmi_blocked;
    bool smi_pending, init_pending, sipi_pending;
    bool smm;             /* in system management mode; SMBASE is an MSR */
    bool smm_nmi_blocked; /* NMIs were blocked before it: RSM does not unblock them */
    u8 sipi_vector;
    bool ferr;   /* FERR# is high, which the machine keeps by itself */
    bool pushed; /* CPU_APICS_* other than ENGINE: this vector of cpu_interrupt waits */
    u8 pushed_vector;
    bool triple_fault; /* comes up before the next instruction: only if it was set */
    u8 last_exception; /* for people: the vector of the last one, 0 after RESET */
};

struct cpu_apic {
    /* Registers at their offsets in the APIC's page, as KVM_GET_LAPIC has them: in x2APIC mode the ID in all 32 bits,
     * bits 63:32 of the ICR at 310h. The version, PPR and what else follows from other registers is not set. The timer
     * goes on from the current count. */
    u32 page[STATE_APIC_SIZE / 4];
    u64 tsc_deadline;
    u32 errors;  /* detected since the last write to ESR */
    bool extint; /* a message with delivery mode ExtINT waits */
};

enum cpu_nested_kind { CPU_NESTED_NONE, CPU_NESTED_VMX, CPU_NESTED_SVM };

#define STATE_NO_POINTER (~0ull)

struct cpu_nested {
    u8 kind;          /* enum cpu_nested_kind: what the CPU has */
    bool guest;       /* L2 runs */
    bool run_pending; /* KVM: the last VM entry has not begun to run L2 */
    struct {
        u64 vmxon, current; /* pointers, STATE_NO_POINTER: none. No VMXON pointer: not in VMX operation */
        bool mtf_pending;   /* a monitor-trap exit comes before the next instruction */
        bool tpr_pending;   /* a TPR-below-threshold exit does */
        bool nmi_held;      /* NMIs are blocked in L2 in a way that IRET does not undo */
        bool step_owed;     /* one instruction of L2 comes before what is requested: its preemption timer is short */
        bool timer_on;      /* the preemption timer counts */
        u64 timer_end;      /* and is zero when L1's TSC, shifted as IA32_VMX_MISC says, gets here */
        /* In system management mode: what RSM brings back. */
        bool smm_vmxe, smm_vmxon, smm_guest; /* CR4.VMXE, VMX operation, L2 */
        u64 smm_pdpte[4];                    /* of L2 */
        bool has_shadow; /* KVM: shadow_vmcs is a copy of the shadow VMCS that its region need not agree with */
        /* The current VMCS's region as VMCLEAR would leave it, but for the launch state. Opaque: the first four bytes
         * say whose layout it is. */
        u8 vmcs[STATE_VMCS_SIZE];
        u8 shadow_vmcs[STATE_VMCS_SIZE];
    } vmx;
    struct {
        bool gif;
        bool injecting_nmi;             /* events.injected is an NMI that does not block NMIs */
        bool host_nmi_blocked;          /* L1's blocking, with virtual NMIs */
        u16 pause_left;                 /* internal copy of PauseFilterCount */
        bool smm_guest;                 /* in system management mode: L2 goes on after RSM */
        u64 vmcb;                       /* of the guest that runs */
        u8 vmcb_image[STATE_VMCS_SIZE]; /* its control area as it is in force; L1's registers as save area */
    } svm;
};

struct cpu_state {
    u64 gpr[GPR_COUNT], rip, rflags;

    struct segment seg[SEG_COUNT];
    struct desc_table gdtr, idtr;
    u8 cpl;

    u64 cr0, cr2, cr3, cr4, cr8, efer, apic_base;
    bool has_pdpte; /* set: false has them loaded from memory, if paging uses them */
    u64 pdpte[4];

    u64 dr[4], dr6, dr7;

    u64 xcr0;
    u8 xsave[STATE_XSAVE_SIZE] __attribute__((aligned(64))); /* standard format */

    /* Get: the MSRs that the list names, or all that are state if it is empty. */
    u32 msrs;
    struct cpu_msr msr[STATE_MSRS_MAX];

    u64 tsc; /* L1's */

    struct cpu_events events;

    u8 activity; /* enum activity */
    bool monitor_armed;
    u64 monitor; /* guest-physical address */

    struct cpu_apic apic;
    struct cpu_nested nested;
};

/* A register by its name: what `bad` of a refused state says, and what tests and saved state go by. */
struct cpu_register {
    const char *name;
    u64 group;
    u32 offset;   /* in struct cpu_state */
    u32 size;     /* bytes of one */
    u32 count;    /* registers of this name that follow each other */
    bool flag;    /* 0 or 1 */
    bool derived; /* follows from others: get only */
};

#endif
