/*
 * System management mode: the state save areas, at SMBASE + FE00h, and where its handler begins. Layouts are AMD's for
 * both vendors, as KVM and QEMU have them and firmware for virtual machines expects: that of CPUs with long mode and
 * that of CPUs without. Where KVM keeps more than AMD, it does so in bytes that are reserved there.
 * Source: APM volume 2, "SMRAM State-Save Area"; SDM volume 3C, "SMRAM".
 */
#ifndef X86_SMRAM_H
#define X86_SMRAM_H

#include "base/types.h"
#include "x86/regs.h"

#define SMBASE_RESET 0x30000u
#define SMM_ENTRY 0x8000u   /* of the handler, from SMBASE */
#define SMRAM_STATE 0xfe00u /* of the state save area */
#define SMRAM_STATE_SIZE 512

/* The revision identifier. SMBASE can be relocated; I/O instructions are not restarted. */
#define SMRAM_REVISION_RELOCATION BIT(17)
#define SMRAM_REVISION_64 (SMRAM_REVISION_RELOCATION | 0x64)
#define SMRAM_REVISION_32 SMRAM_REVISION_RELOCATION

/* attr: bits 15:0 of SEG_*. */
struct smram_segment64 {
    u16 sel, attr;
    u32 limit;
    u64 base;
};

struct smram64 {
    struct smram_segment64 seg[6]; /* fe00h: as enum seg */
    struct smram_segment64 gdtr;   /* fe60h: limit and base */
    struct smram_segment64 ldtr;   /* fe70h */
    struct smram_segment64 idtr;   /* fe80h: limit and base */
    struct smram_segment64 tr;     /* fe90h */
    u64 io_rip, io_rcx, io_rsi, io_rdi;
    u32 io; /* fec0h: 0, the SMI came not with an I/O instruction */
    u32 reserved_fec4;
    u8 io_restart;   /* fec8h */
    u8 halt_restart; /* fec9h: the CPU was halted, and is to be again */
    u8 nmi_masked;   /* fecah */
    u8 shadow;       /* fecbh: SHADOW_*; KVM's */
    u32 reserved_fecc;
    u64 efer;      /* fed0h */
    u64 svm_guest; /* fed8h: bit 0: L2 ran */
    u64 svm_vmcb;  /* fee0h: by this VMCB */
    u64 svm_vintr; /* fee8h */
    u32 reserved_fef0[3];
    u32 revision; /* fefch */
    u32 smbase;   /* ff00h */
    u32 reserved_ff04[7];
    u64 svm_pat, svm_host_efer, svm_host_cr4, svm_ncr3, svm_host_cr0; /* ff20h */
    u64 cr4, cr3, cr0;                                                /* ff48h */
    u64 dr7, dr6;
    u64 rflags, rip;
    u64 gpr[GPR_COUNT]; /* ff80h: R15 first */
};

struct smram_segment32 {
    u32 attr; /* SEG_* << 8 */
    u32 limit, base;
};

struct smram32 {
    u32 reserved_fe00[62];
    u32 smbase;   /* fef8h */
    u32 revision; /* fefch */
    u16 io_restart, halt_restart;
    u32 io_edi, io_ecx, io_esi, io_eip;
    u32 cr4; /* ff14h */
    u16 reserved_ff18;
    u8 shadow; /* ff1ah: KVM's */
    u8 reserved_ff1b[17];
    struct smram_segment32 high[3]; /* ff2ch: DS, FS, GS */
    struct smram_segment32 idtr, tr;
    u32 reserved_ff68;
    struct smram_segment32 gdtr, ldtr;
    struct smram_segment32 low[3]; /* ff84h: ES, CS, SS */
    u32 sel[6];                    /* ffa8h: as enum seg */
    u32 ldtr_sel, tr_sel;
    u32 dr7, dr6;
    u32 gpr[8]; /* ffd0h: as enum gpr */
    u32 eip, eflags, cr3, cr0;
};

union smram {
    struct smram64 w;
    struct smram32 n;
};

#define SMRAM_AT(type, field, offset)                                                                                  \
    _Static_assert(offsetof(struct type, field) == (offset)-SMRAM_STATE, "smram.h: " #field)
SMRAM_AT(smram64, io, 0xfec0);
SMRAM_AT(smram64, efer, 0xfed0);
SMRAM_AT(smram64, revision, 0xfefc);
SMRAM_AT(smram64, svm_pat, 0xff20);
SMRAM_AT(smram64, cr4, 0xff48);
SMRAM_AT(smram64, gpr, 0xff80);
SMRAM_AT(smram32, revision, 0xfefc);
SMRAM_AT(smram32, cr4, 0xff14);
SMRAM_AT(smram32, high, 0xff2c);
SMRAM_AT(smram32, low, 0xff84);
SMRAM_AT(smram32, sel, 0xffa8);
SMRAM_AT(smram32, cr0, 0xfffc);
_Static_assert(sizeof(union smram) == SMRAM_STATE_SIZE, "smram.h");
#undef SMRAM_AT

#endif
