/*
 * struct vcpu: the whole architectural state of one virtual CPU, and struct vm, what its CPUs share.
 *
 * While translated code runs, guest registers live in host registers (jit/enter.S has the map), the arithmetic flags in
 * host RFLAGS, x87, SSE and AVX state in the host's own registers, and RSP points at (char *)vcpu + VCPU_BIAS. While C
 * code of src/cpu runs ("in C"), every GPR is in gpr[], RIP in rip, the arithmetic flags in arith; vector state is
 * still live in the host, which is why src/cpu is compiled with -mgeneral-regs-only and calls nothing outside itself
 * except through struct machine and struct cpu_host.
 *
 * Threads: a vCPU is touched by its own thread only, except the fields marked [a], which are atomic.
 */
#ifndef CPU_CORE_VCPU_H
#define CPU_CORE_VCPU_H

#include "base/types.h"
#include "bus/machine.h"
#include "cpu/core/cpuid.h"
#include "cpu/core/direct.h"
#include "cpu/core/exits.h"
#include "cpu/core/host.h"
#include "cpu/core/hyperv.h"
#include "cpu/core/layout.h"
#include "cpu/core/paravirt.h"
#include "cpu/core/state.h"
#include "cpu/core/tunables.h"
#include "ram/ring.h"
#include "x86/regs.h"

/* The result of everything that can be interrupted by guest-visible events. Must be checked. */
enum outcome {
    CPU_OK = 0,      /* done; go on */
    CPU_NEXT,        /* of called instructions: done, and nothing comes before the next one */
    CPU_FAULT,       /* an exception was raised: see vcpu.fault; RIP and registers are unchanged */
    CPU_NESTED_EXIT, /* the instruction or event made L2 exit: L1's host state is already loaded */
    CPU_EXIT,        /* leave to the accelerator: see vcpu.exit */
};

/* Bits of vcpu.request, set by any thread with request_set() and consumed by the vCPU's own thread. */
#define REQ_EVENT BIT64(0)     /* look at pending interrupts, NMI, INIT, SIPI again */
#define REQ_TIMER BIT64(1)     /* a deadline given to host->timer_set has passed */
#define REQ_STOP BIT64(2)      /* return CPU_EXIT_STOP from cpu_run */
#define REQ_EXCLUSIVE BIT64(3) /* another vCPU wants all others parked (exclusive_begin) */
#define REQ_LEAVE BIT64(4)     /* return vcpu.leave from cpu_run */
#define REQ_PARAVIRT BIT64(5)  /* structures in guest memory are out of date (insn/paravirt.h) */
#define REQ_FOREIGN BIT64(6)   /* code may have changed without notice: mmu_foreign_look */

struct tlb;
struct block;
struct vm;
struct insn;
struct vmx;
struct svm;
struct rule;
struct lapic;
struct direct;
struct mapped;
struct users;

#define SPILL_COUNT 4
#define MAPPED_SHIFT 39 /* mmu/mapped.h */
#define MAPPED_COUNT 256
#define GROUP_SLOTS 6
#define CROSSINGS (1u << CROSSING_BITS)
#define CROSSING_SHIFT 2
#define MC_BANKS 32       /* at most; */
#define MC_BANKS_RESET 10 /* and as many as MCG_CAP shows if nobody says more */
#define PERF_COUNTERS 4

struct vcpu {
    /* -- reached by translated code: disp8 from RSP is [140, 396) -- */
    u64 bit_mask[3]; /* 0: constants 15, 31, 63 for bit-string operands, by log2(operand size) - 1 */
    u64 page_mask;   /* 24: the constant ~PAGE_MASK, for shared TLB checks (check.c) */
    void *slow_mem;  /* 32: entry points of enter.S that translated code calls or jumps to; more of them below */
    void *slow_done;
    void *slow_segment;
    u64 gpr[GPR_COUNT];     /* 56: those without a register of the host are in reach */
    u64 tlb_mask;           /* 184: PEXT mask that makes the TLB index of a linear address */
    u64 jump_mask;          /* 192: PEXT mask that makes the jump cache index */
    u64 page_la;            /* 200: linear address of the page that the running block is in */
    u64 group[GROUP_SLOTS]; /* 208: host minus linear address of pages that a group of accesses lies in */
    u32 mini_stack[3];      /* 256: where translated code's CALL pushes; a second one also into the last of group[] */
    u32 mapped_mask[2];     /* 268, at RSP: PEXT mask that makes the index in mapped_add of a linear address */
    u32 one;                /* the constant */
    u64 request;            /* 280 [a]: REQ_*; zero lets loops go on */
    u64 return_mask;        /* 288 [a]: PEXT mask that makes the index in the return stack of RSP; 0: see
                               request_raise */
    u64 spill[SPILL_COUNT]; /* 296 */
    u64 direct;             /* 328: host minus linear address of pages in the context's direct tags (mmu.h) */
    u64 victim_mask;        /* PEXT mask that makes the index in the victim TLB */
    u64 jump_victim_mask;   /* the same for jumps */
    u64 sample_left;        /* shared jumps until the next one that is looked at: dispatch.c */
    void *leave_lookup;     /* 360: more entry points */
    void *leave_chain;
    void *jump_missed;
    void *back_missed;            /* 384 */
    u64 mapped_add[MAPPED_COUNT]; /* 392: host minus linear address: mmu/mapped.h */
    void *call_thunk;
    void *leave_request;
    void *check_missed;
    u64 host_rsp; /* RSP of C code while translated code runs */
    u64 resume;   /* host address to continue at, between C and the thunks */
    u64 resume_rcx;
    u64 resume_r11;
    bool vectors_live; /* vectors.h */
    /* -- C, and enter.S -- */
    u64 rip;      /* RIP of the current instruction while in C (offset in CS, not linear) */
    u64 next_rip; /* RIP if the instruction completes; handlers of branches change it */
    u64 arith;    /* raw LAHF/SETO word: AH = SF ZF AF PF CF, AL = OF; use rflags_get/set */
    u64 flags;    /* RFLAGS without FLAGS_ARITH; includes FLAG_ONE */
    struct segment seg[SEG_COUNT];
    u64 neg_cs_base; /* -seg[SEG_CS].base, for translated code */
    u32 mode;        /* MODE_*: what translation depends on; kept by mode_update() */
    u32 cpl;
    u32 mode_crossed[2]; /* what `mode` would be in 64-bit code of CPL 0, and of CPL 3: for SYSCALL and SYSRET */

    /* -- system registers -- */
    struct desc_table gdtr, idtr;
    u64 cr0, cr2, cr3, cr4;
    u64 efer;
    u64 xcr0;
    u64 dr[4], dr6, dr7;
    u32 pkru;
    u64 pdpte[4]; /* of PAE paging: loaded by MOV to CR3, and by what else loads CR3 or turns it on */

    /* -- MSRs that are plain storage; others belong to the APIC or to VT-x and AMD-V -- */
    u64 star, lstar, cstar, sfmask, kernel_gs_base;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 tsc_aux, pat, misc_enable, debugctl, xss, spec_ctrl, feature_control, vm_cr, vm_hsave_pa;
    u64 apic_base;
    u64 mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
    u64 mcg_status;
    u64 tsc_adjust;
    u64 microcode, platform_info, arch_capabilities, mcg_cap, power_ctl;
    u64 lbr[4]; /* last branch: from, to; last exception or interrupt: from, to */
    /* of machine check and of AMD's machine configuration */
    u64 mcg_ctl, mcg_ext_ctl, mc_ctl2[MC_BANKS], mc_bank[MC_BANKS][4]; /* CTL, STATUS, ADDR, MISC of each bank */
    u64 hwcr, syscfg, nb_cfg, ls_cfg, dc_cfg, de_cfg, bu_cfg2, top_mem, top_mem2, mmio_conf_base;

    /* -- time: see tsc.c -- */
    u64 tsc_khz;       /* at which L1's counts */
    u64 tsc_ratio;     /* what multiplies the host's TSC before L1's offset is added, 16.48; 0: nothing does */
    u64 tsc_offset;    /* what the running level adds to that: L1's offset, and in L2 also L2's */
    u64 tsc_offset_l1; /* what L1 adds */
    u64 tsc_mul;       /* in L2: what multiplies L1's TSC before L2's offset is added, 16.48; 0: nothing does */

    /* -- events -- */
    struct event fault;      /* raised by the instruction in progress (CPU_FAULT) */
    struct event inject;     /* to deliver before the next instruction: from VM entry, or a virtual interrupt */
    struct event delivering; /* whose delivery is under way: IDT-vectoring information if that exits */
    struct event raised;     /* comes up before the next instruction: state.c */
    bool triple_fault;       /* the same */
    u8 shadow;               /* interrupt shadow: SHADOW_STI, SHADOW_MOVSS */
    u8 nmi_pending;          /* [a] how many wait: one that can be taken at once, and one more */
    bool nmi_blocked;
    bool iret_unblocks; /* an IRET that ends NMI blocking is in progress, or its fault is not delivered yet: an exit
                           says so, and the blocking ends */
    bool step_trap;     /* the instruction in progress began with RFLAGS.TF and enters no handler itself */
    bool init_pending;  /* [a] */
    bool smi_pending;   /* [a] */
    bool sipi_pending;  /* [a] */
    u8 sipi_vector;
    bool intr_masked;  /* an interrupt or NMI waits for IF, TPR, GIF or the shadow: whoever changes one of them calls
                          event_recheck */
    bool trap_pending; /* a single step or a breakpoint was met: #DB comes after this instruction */
    u64 trap_dr6;      /* with these bits for DR6 */
    enum activity activity;
    bool step_owed; /* one instruction comes before what is requested next: L2's, when its preemption timer is short */

    /* -- a debugger outside of the guest: debug.c -- */
    struct cpu_debug debug;
    bool debug_steps;  /* it looks at each instruction */
    bool debug_breaks; /* it has instruction breakpoints: their pages are run in steps */
    u64 debug_hit;     /* its watchpoints that the instruction in progress met: bits of DR6 */

    /* -- x87 errors with CR0.NE = 0: ferr.c -- */
    u64 ignne;         /* [a] IGNNE#, the MSR of that name */
    bool ferr;         /* this CPU drives FERR# */
    bool ferr_ignored; /* IGNNE#: the next instruction ignores the error */
    u16 ferr_control;  /* the guest's control word meanwhile */

    /* -- MONITOR and MWAIT -- */
    gpa_t monitor_gpa;
    bool monitor_armed;

    /* -- system management mode: event/smm.c -- */
    struct {
        bool on;
        bool nmi_blocked; /* before it began */
        u64 base, count;  /* SMBASE; how many SMIs were taken */
        u64 pdpte[4];     /* of L2, if that ran */
    } smm;

    /* -- nesting -- */
    bool in_guest;                   /* L2 runs */
    bool gif;                        /* SVM's global interrupt flag; always true on Intel */
    const struct nested_ops *nested; /* NULL: the guest has no virtualization extensions */
    struct vmx *vmx;
    struct svm *svm;
    const struct rule *broken_rule; /* of the last VM entry that failed: rule.h; NULL if none did */

    /* -- memory management: see mmu.h -- */
    struct tlb *tlb; /* current context; GS base leads to it while the vCPU runs (tlb.gs_base) */
    struct mmu *mmu;
    bool code_doubted;                       /* cpu_code_doubt was called */
    bool in_place;                           /* [a] tlb->in_place */
    struct ram_space *ram;                   /* what is RAM: one of vm.ram[] */
    struct ram_slot *last_slot, *last_table; /* where data was found last there, and paging structures */
    struct ram_ring *ring;                   /* for pages that become dirty; NULL: there is none */

    struct lapic *lapic;
    struct direct *direct_spaces; /* NULL: all code is translated */
    struct mapped *mapped;        /* NULL: supervisor mode reaches memory by TLB checks alone */
    struct users *users;          /* NULL: so does user code */

    /* -- leaving cpu_run -- */
    enum cpu_exit exit;
    enum cpu_exit leave; /* for REQ_LEAVE */
    bool deferred;       /* the device that was read has no answer yet: world_answered() */
    bool awaits;         /* left for that: the read comes first in the next cpu_run */

    /* -- interrupts that the caller gives: CPU_APICS_* other than ENGINE -- */
    bool pushed; /* this one waits */
    u8 pushed_vector;
    bool window; /* cpu_window_set */
    struct cpu_exit_hypercall exit_hypercall;
    struct cpu_exit_hyperv exit_hyperv;
    struct cpu_exit_debug exit_debug;

    /* -- who we are -- */
    struct vm *vm;
    u32 index, apic_id;
    const struct cpu_features *features; /* what CPUID shows; what else depends on features goes by the VM's */
    bool code_changed;                   /* code_written hit: do not resume the running block */
    struct exec *exec;                   /* translated code in progress: jit/exec.h */
    const struct insn *insn; /* the called instruction in progress, NULL during copied ones and between instructions:
                                VM exits take their instruction information from it */

    /* -- AMD's performance counters: perf.c -- */
    u64 perf_select[PERF_COUNTERS], perf_counter[PERF_COUNTERS];
    u64 perf_since;               /* host TSC up to which the counters are right */
    u64 perf_guest, perf_entered; /* since then: time in L2 up to its last exit; its last entry */
    u64 perf_due;                 /* host monotonic ns at which one may overflow, 0: never */
    u8 perf_runs;                 /* bits of those that count now */
    bool perf_split;              /* one of them in L1 only or in L2 only */

    struct paravirt pv; /* KVM's interface for guests */
    struct hyperv hv;   /* Hyper-V's */

    u64 fip_loaded, fdp_loaded; /* x87 pointers that the guest itself loaded: x87.h */

    /* Checks of groups that came to C because the window crosses into another page, by the address behind the CALL: the
     * next time translated code goes on in the twin by itself (jit/check.c). */
    struct {
        u64 mask;             /* PEXT mask that makes the index of that address */
        u64 page_offset;      /* the constant PAGE_MASK */
        u64 after[CROSSINGS]; /* minus that address */
        u64 last[CROSSINGS];  /* last byte of the window, from its start */
        u64 twin[CROSSINGS];  /* where the stub is that leads to the MODE_PLAIN block */
    } crossing;

    u64 stat[64]; /* enum stat of stats.h */
    struct exits exits;

    u32 running;                                   /* [a] 0 while parked or asleep: exclusive_begin need not wait */
    u64 vector_mask;                               /* XCR0 of the host: what is saved in */
    u8 vectors[4096] __attribute__((aligned(64))); /* XSAVE image while they are not live */
};

_Static_assert(VCPU_BIAS % 64 == 12, "RSP is the shift count of the TLB check");
_Static_assert(offsetof(struct vcpu, mapped_mask) == VCPU_BIAS, "no displacement");
_Static_assert(offsetof(struct vcpu, mapped_add) <= VCPU_BIAS + INT8_MAX, "a short displacement");
#define VCPU_AT(field, offset) _Static_assert(offsetof(struct vcpu, field) == (offset), "layout.h: " #field)
VCPU_AT(host_rsp, VCPU_HOST_RSP);
VCPU_AT(resume, VCPU_RESUME);
VCPU_AT(resume_rcx, VCPU_RESUME_RCX);
VCPU_AT(resume_r11, VCPU_RESUME_R11);
VCPU_AT(vectors_live, VCPU_VECTORS_LIVE);
VCPU_AT(gpr, VCPU_GPR);
VCPU_AT(arith, VCPU_ARITH);
#undef VCPU_AT

/* Mode bits: everything that the translation of an instruction depends on. Part of a block's key. */
#define MODE_SIZE_MASK 3u /* code size: 0 = 16, 1 = 32, 2 = 64 bit */
#define MODE_16 0u
#define MODE_32 1u
#define MODE_64 2u
#define MODE_FLAT BIT(2) /* CS base 0 limit 4G, and DS, ES, SS flat and writable (always in 64-bit) */
#define MODE_SS32 BIT(3) /* stack address size is 32 (outside 64-bit mode) */
#define MODE_PROT BIT(4) /* protected mode, not virtual-8086 */
#define MODE_X87 BIT(5)  /* x87 and MMX instructions raise neither #NM nor #UD */
#define MODE_SSE BIT(6)  /* SSE usable */
#define MODE_AVX BIT(7)  /* AVX usable */
#define MODE_AVX512 BIT(8)
#define MODE_STEP BIT(9)    /* one instruction per block: TF, breakpoints, interrupt shadow, MTF */
#define MODE_FWAIT BIT(10)  /* WAIT raises #NM: CR0.MP and CR0.TS */
#define MODE_GUEST BIT(11)  /* in L2 */
#define MODE_USER BIT(12)   /* CPL 3 */
#define MODE_PLAIN BIT(13)  /* of blocks only: every memory access is checked by itself (group.c) */
#define MODE_CPL0 BIT(14)   /* CPL 0: real mode too */
#define MODE_TSC BIT(15)    /* RDTSC is legal, and gives the host's TSC plus vcpu.tsc_offset: nothing scales or exits */
#define MODE_BASES BIT(16)  /* 64-bit code, CR4.FSGSBASE: RDFSBASE and its kin are legal */
#define MODE_MAPPED BIT(17) /* 64-bit code, CPL 0 or 3: memory by mapped_add of the vCPU or of the TLB context */

struct vm {
    const struct machine *machine; /* its devices */
    const struct cpu_host *host;
    const struct upcalls *upcalls; /* upcalls.h */
    enum vendor vendor;
    u32 vcpu_count; /* [a] grows while vCPUs run */
    struct vcpu *vcpu[256];
    struct ram_space *ram;               /* RAM_SPACES of them */
    u64 tsc_khz;                         /* of the host's TSC, and of each vCPU's at its creation */
    bool tsc_of_host;                    /* RESET leaves no offset */
    u32 phys_bits;                       /* MAXPHYADDR shown to the guest */
    const struct cpu_features *features; /* NULL before the first vCPU, then `shown` */
    struct cpu_features shown;
    bool ran;            /* [a] a vCPU has run: features stay what they are */
    struct cache *cache; /* translated code: jit/block.h */
    u32 exclusive;       /* [a] index + 1 of the owner of the exclusive section */
    bool intr_line;      /* [a] 8259 INTR, wired to LINT0 of every local APIC */
    enum cpu_apics apics;
    u32 boot_id;         /* APIC ID of the CPU that starts first */
    bool msi_wide;       /* [a] bits 63:40 of an MSI's address are bits 31:8 of the destination */
    bool msi_exact;      /* [a] an MSI's destination FFh is one APIC in x2APIC mode, not all */
    bool smm;            /* SMIs enter system management mode; without it they only make L2 exit */
    bool hypercalls;     /* for test programs: hypercall.c */
    bool paravirt;       /* KVM's interface is there whether CPUID shows it or not */
    u32 fetch_exits;     /* [a] enum cpu_fetch_exits */
    u32 quirks;          /* [a] CPU_QUIRK_* */
    u64 hypercall_exits; /* those of KVM's hypercalls that the owner of the VM wants to perform */
    u32 msr_asks;        /* [a] cpu_msr_ask */
    struct paravirt_clock clock;
    struct hyperv_vm hv;

    enum cpu_maps maps;

    /* -- user code that the host's CPU executes: docs/direct.md -- */
    enum cpu_direct direct;
    struct direct_notes direct_notes;

    /* -- memory that others write without notice: docs/ram.md -- */
    bool foreign;       /* [a] there is such a slot, or was */
    u32 foreign_events; /* [a] by which a guest may learn that somebody wrote */
    u32 foreign_begins; /* [a] those of them by which somebody may begin to */
    u32 in_place;       /* [a] vCPUs with vcpu.in_place */
};

/* The slot of RAM that the vCPU sees at a guest-physical address, or NULL. Good until the vCPU may stop. *last is one
 * of vcpu.last_slot and last_table. */
static inline struct ram_slot *vcpu_slot_near(struct vcpu *v, struct ram_slot **last, gpa_t gpa)
{
    struct ram_slot *s = *last;
    if (likely(gpa.a - s->start.a < s->size))
        return s;
    s = ram_find(v->ram, gpa);
    if (s)
        *last = s;
    return s;
}

static inline struct ram_slot *vcpu_slot(struct vcpu *v, gpa_t gpa)
{
    return vcpu_slot_near(v, &v->last_slot, gpa);
}

/* The RAM there, or NULL. The pointer is good to the end of the page. */
static inline void *vcpu_ram(struct vcpu *v, gpa_t gpa)
{
    struct ram_slot *s = vcpu_slot(v, gpa);
    return s ? ram_host(s, gpa) : NULL;
}

/* Slots are to be looked for anew. */
static inline void vcpu_slots_forget(struct vcpu *v)
{
    v->last_slot = v->last_table = &v->ram->none;
}

/* The address space that the vCPU sees from now on. Select the TLB context after it (mmu_select). */
static inline void vcpu_space_set(struct vcpu *v, u32 space)
{
    v->ram = &v->vm->ram[space];
    vcpu_slots_forget(v);
}

static inline bool is_boot_cpu(const struct vcpu *v)
{
    return v->apic_id == v->vm->boot_id;
}

static inline bool cpu_has(const struct vm *vm, enum feature id)
{
    return features_have(vm->features, id);
}

/*
 * Sets request bits, from any thread. Hot code looks for requests where it returns by the return stack: without a mask
 * that finds an entry which no return address is in, and what it does not know looks at `request`. Hot code that jumps
 * back, and long loops, look at the mask itself. (returns_arm is the other half.) Returns the bits that were set
 * before.
 */
static inline u64 request_raise(struct vcpu *v, u64 bits)
{
    u64 old = __atomic_fetch_or(&v->request, bits, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->return_mask, 0, __ATOMIC_SEQ_CST);
    return old;
}

/* Sets a request bit from any thread and wakes the vCPU. */
static inline void request_set(struct vcpu *v, u64 bit)
{
    u64 old = request_raise(v, bit);
    if (!(old & bit))
        v->vm->host->kick(v->vm->host->opaque, v->index);
}

/* Sets a request bit of a vCPU that looks at it soon if it runs, and need not be woken if it sleeps. */
static inline void request_add(struct vcpu *v, u64 bit)
{
    request_raise(v, bit);
    if (unlikely(v->vm->direct != CPU_DIRECT_OFF))
        v->vm->host->direct->stop(v->vm->host->direct->opaque, v->index);
}

static inline bool vm_quirk(const struct vm *vm, u32 quirk)
{
    return __atomic_load_n(&vm->quirks, __ATOMIC_RELAXED) & quirk;
}

/* On the vCPU's own thread: something that masked interrupts went away. */
static inline void event_recheck(struct vcpu *v)
{
    if (v->intr_masked) {
        v->intr_masked = false;
        request_raise(v, REQ_EVENT);
    }
}

/* All of RFLAGS. In `arith`, bits 15:8 are SF, ZF, AF, PF and CF as LAHF puts them in AH, and bit 0 is OF. */
static inline u64 rflags_get(const struct vcpu *v)
{
    return v->flags | ((v->arith >> 8) & (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF)) | ((v->arith & 1) << 11);
}

/* Sets the arithmetic flags only. */
static inline void rflags_set_arith(struct vcpu *v, u64 f)
{
    v->arith = ((f & (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF)) | 2) << 8 | ((f >> 11) & 1);
}

static inline bool in_long_mode(const struct vcpu *v) /* IA-32e mode active */
{
    return v->efer & EFER_LMA;
}

static inline bool in_64bit(const struct vcpu *v) /* 64-bit code, not compatibility mode */
{
    return (v->efer & EFER_LMA) && (v->seg[SEG_CS].attr & SEG_L);
}

static inline bool in_protected(const struct vcpu *v) /* protected mode, v8086 included */
{
    return v->cr0 & CR0_PE;
}

static inline bool in_v86(const struct vcpu *v)
{
    return v->flags & FLAG_VM;
}

static inline unsigned iopl(const struct vcpu *v)
{
    return (v->flags & FLAG_IOPL) >> FLAG_IOPL_SHIFT;
}

/* Masks an offset or address to the given size in bytes. */
static inline u64 mask_size(u64 value, unsigned bytes)
{
    return bytes >= 8 ? value : value & ((1ull << (bytes * 8)) - 1);
}

#endif
