/*
 * The virtual machine control block: layout of its control and state-save areas, and their bits.
 * Source: AMD APM volume 2, appendix "Layout of VMCB".
 */
#ifndef X86_VMCB_H
#define X86_VMCB_H

#include "base/types.h"

struct vmcb_control {
    u32 intercept[6]; /* 000h: CR, DR, exceptions, then bits numbered as exit codes 60h, 80h, a0h on */
    u8 reserved_018[0x3c - 0x18];
    u16 pause_threshold; /* 03ch */
    u16 pause_count;     /* 03eh */
    u64 iopm;            /* 040h */
    u64 msrpm;           /* 048h */
    u64 tsc_offset;      /* 050h */
    u32 asid;            /* 058h */
    u8 tlb_control;      /* 05ch */
    u8 reserved_05d[3];
    u64 vintr;            /* 060h: VINTR_* */
    u64 interrupt_shadow; /* 068h: bit 0 */
    u64 exit_code;        /* 070h */
    u64 exit_info1;       /* 078h */
    u64 exit_info2;       /* 080h */
    u64 exit_int_info;    /* 088h */
    u64 nested;           /* 090h: NESTED_NP_ENABLE */
    u64 avic_apic_bar;    /* 098h */
    u64 ghcb;             /* 0a0h */
    u64 event_inject;     /* 0a8h */
    u64 ncr3;             /* 0b0h */
    u64 virt_ext;         /* 0b8h: VIRT_EXT_* */
    u64 clean;            /* 0c0h */
    u64 nrip;             /* 0c8h */
    u8 insn_len;          /* 0d0h */
    u8 insn_bytes[15];    /* 0d1h */
};

struct vmcb_segment {
    u16 sel;
    u16 attr; /* VMCB_ATTR_* */
    u32 limit;
    u64 base;
};

struct vmcb_save {
    struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr; /* 000h */
    u8 reserved_0a0[0xcb - 0xa0];
    u8 cpl; /* 0cbh */
    u8 reserved_0cc[4];
    u64 efer; /* 0d0h */
    u8 reserved_0d8[0x148 - 0xd8];
    u64 cr4;    /* 148h */
    u64 cr3;    /* 150h */
    u64 cr0;    /* 158h */
    u64 dr7;    /* 160h */
    u64 dr6;    /* 168h */
    u64 rflags; /* 170h */
    u64 rip;    /* 178h */
    u8 reserved_180[0x1d8 - 0x180];
    u64 rsp;            /* 1d8h */
    u64 s_cet;          /* 1e0h */
    u64 ssp;            /* 1e8h */
    u64 isst_addr;      /* 1f0h */
    u64 rax;            /* 1f8h */
    u64 star;           /* 200h */
    u64 lstar;          /* 208h */
    u64 cstar;          /* 210h */
    u64 sfmask;         /* 218h */
    u64 kernel_gs_base; /* 220h */
    u64 sysenter_cs;    /* 228h */
    u64 sysenter_esp;   /* 230h */
    u64 sysenter_eip;   /* 238h */
    u64 cr2;            /* 240h */
    u8 reserved_248[0x268 - 0x248];
    u64 g_pat;  /* 268h */
    u64 dbgctl; /* 270h */
    u64 lbr[4]; /* 278h: BR_FROM, BR_TO, LASTEXCPFROM, LASTEXCPTO */
};

#define VMCB_SAVE_OFFSET 0x400

struct vmcb {
    struct vmcb_control control;
    u8 reserved_0e0[VMCB_SAVE_OFFSET - sizeof(struct vmcb_control)];
    struct vmcb_save save;
    u8 reserved_end[4096 - VMCB_SAVE_OFFSET - sizeof(struct vmcb_save)];
};

/* Segment attributes: bits 55:52 and 47:40 of a descriptor. */
#define VMCB_ATTR_TYPE 0xffu /* type, S, DPL and P, as in a descriptor */
#define VMCB_ATTR_P BIT(7)
#define VMCB_ATTR_AVL BIT(8)
#define VMCB_ATTR_L BIT(9)
#define VMCB_ATTR_DB BIT(10)
#define VMCB_ATTR_G BIT(11)
#define VMCB_ATTR_FLAGS (VMCB_ATTR_AVL | VMCB_ATTR_L | VMCB_ATTR_DB | VMCB_ATTR_G)

/* TLB_CONTROL. */
#define TLB_CONTROL_NOTHING 0u
#define TLB_CONTROL_FLUSH_ALL 1u
#define TLB_CONTROL_FLUSH_ASID 3u
#define TLB_CONTROL_FLUSH_ASID_LOCAL 7u

/* 060h. */
#define VINTR_TPR 0xffull
#define VINTR_TPR_CLASS 0xfull /* what CR8 shows of it */
#define VINTR_IRQ BIT64(8)
#define VINTR_GIF BIT64(9)
#define VINTR_NMI BIT64(11)
#define VINTR_NMI_MASK BIT64(12)
#define VINTR_PRIO_SHIFT 16
#define VINTR_PRIO(vintr) ((vintr) >> VINTR_PRIO_SHIFT & 0xf)
#define VINTR_IGN_TPR BIT64(20)
#define VINTR_MASKING BIT64(24)
#define VINTR_GIF_ENABLE BIT64(25)
#define VINTR_NMI_ENABLE BIT64(26)
#define VINTR_VECTOR_SHIFT 32

#define NESTED_NP_ENABLE BIT64(0)

#define VIRT_EXT_LBR BIT64(0)
#define VIRT_EXT_VMLOAD_VMSAVE BIT64(1)

/* Sizes of the permission maps. */
#define IOPM_SIZE 0x3000u
#define MSRPM_SIZE 0x2000u
/* Where the MSRs from MSR_RANGE_EXTENDED and from MSR_RANGE_AMD on have theirs: two bits each, read and write. */
#define MSRPM_EXTENDED 0x800u
#define MSRPM_AMD 0x1000u

#define VM_CR_DPD BIT64(0)
#define VM_CR_R_INIT BIT64(1)
#define VM_CR_DIS_A20M BIT64(2)
#define VM_CR_LOCK BIT64(3)
#define VM_CR_SVMDIS BIT64(4)

#endif
