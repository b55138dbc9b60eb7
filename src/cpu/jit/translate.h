/*
 * Private to the translator's stages: translate.c (blocks), decode.c (Zydis output to what the stages need), classify.c
 * (what becomes of an instruction), group.c and loan.c (what instructions of a block share), and those that emit code:
 * rewrite.c and reencode.c (copied instructions), address.c, stack.c and branch.c (those with emitters of their own),
 * operand.c and site.c (memory operands and the TLB check).
 */
#ifndef CPU_JIT_TRANSLATE_H
#define CPU_JIT_TRANSLATE_H

#include <Zydis/Zydis.h>

#include "cpu/core/insn.h"
#include "cpu/core/tunables.h"
#include "cpu/jit/block.h"
#include "cpu/jit/emit.h"
#include "cpu/jit/exec.h"
#include "cpu/jit/insn_table.h"
#include "cpu/jit/loan.h"
#include "cpu/jit/site.h"
#include "cpu/mmu/mmu.h"

#define INSN_MAX 15 /* bytes */
#define BLOCK_MAX_BYTES (BLOCK_MAX_INSNS * INSN_MAX)
#define BLOCK_MAX_LINKS (BLOCK_MAX_INSNS * 2)
/* Of each part: the memory operand and the stack may fault, and each may have a shared check. */
#define BLOCK_MAX_PLACES (BLOCK_MAX_INSNS * 4)

#define GROUP_NONE 0xff
#define NO_INSN 0xff
#define NO_EPOCH 0

/* A memory access at a constant distance from a register, as group.c sees it. */
struct access_note {
    u8 base, index, scale; /* guest registers, or VALUE_PAGE; base REG_NONE: not of this kind */
    u8 size;
    bool write;
    u8 group;   /* index in tr.group, GROUP_NONE */
    s32 disp;   /* from the registers' values before the instruction */
    s32 offset; /* from the values of their epochs */
};

/* What is known of the values of guest registers at one place, and of one more: the address of the page of code. */
#define VALUE_PAGE GPR_COUNT
#define VALUES (GPR_COUNT + 1)
struct values {
    u32 epoch[VALUES]; /* of the same unknown value, if it is the same number */
    s32 moved[VALUES]; /* the constant that the register has more than that value */
};

/* Accesses off one value that are checked together: the first one checks the whole window and keeps the page's
 * host-minus-linear difference in a slot of the vCPU. */
struct group {
    s32 lo, hi;             /* window, from the value of the epoch */
    u32 epoch, index_epoch; /* the latter NO_EPOCH without an index */
    u8 scale;
    u8 slot;
    bool write;
    bool closed;            /* the check is not on all ways to where the block is looked at */
    bool started;           /* the check was emitted */
    u16 first, last, count; /* instructions from the check to where the slot is used last; members */
};

/* Fields of the encoding that name a GPR. */
enum { FIELD_REG = BIT(0), FIELD_RM = BIT(1), FIELD_VVVV = BIT(2), FIELD_OPCODE = BIT(3) };

/* What the instruction's operands name: guest registers as sets of whole ones. */
struct operands {
    u16 explicit; /* by a field of the encoding, which can name another */
    u16 implicit;
    u16 kept;          /* of those, the ones that are not replaced as a whole */
    u16 written;       /* of those, too */
    u16 written_shown; /* without RSP as PUSH, POP and their kin move it */
    u16 named;         /* all, those of addresses included */
    u8 gpr, byte;      /* FIELD_* that name a GPR, and a byte */
    bool high;         /* AH, BH, CH or DH among the explicit ones, so there can be no REX prefix */
    bool any_high;
    bool vector; /* one is a vector register */
};

struct decoded {
    struct insn in;
    struct operands operands;
    u16 pos, next;
    u32 traits;   /* INSN_* */
    u8 class;     /* enum insn_class */
    u8 unit;      /* enum insn_unit */
    u8 brief;     /* enum brief_kind */
    bool label;   /* a branch of the block jumps here */
    bool loops;   /* in a loop within the block */
    bool ends;    /* nothing falls through */
    bool checked; /* its memory operand and its access to the stack have TLB checks, whatever tr.mapped says */
    u8 ahead;     /* number of an instruction in the block that this branch jumps ahead to, or NO_INSN */
    u8 loop_end;  /* number of the last instruction of the loop that begins here, or NO_INSN */
    insn_fn fn;
    struct access_note note[2]; /* the memory operand, the stack */
    /* What Zydis says. Of an instruction that was recalled the values of displacement and immediate are another's: `in`
     * has its own. */
    const ZydisDecodedInstruction *zi;
    const ZydisDecodedOperand *zo;
};

struct zydis_output {
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
};

/* An instruction that was decoded: recall.c. */
struct recalled {
    struct decoded d;
    struct zydis_output output;
};

enum decoder_kind { DECODER_REAL, DECODER_16, DECODER_32, DECODER_64, DECODER_COUNT };

struct tr {
    ZydisDecoder decoder[DECODER_COUNT];
    struct vcpu *v;
    struct cache *c;
    struct block *b;
    u8 bytes[BLOCK_MAX_BYTES]; /* guest code from the block's first instruction on, */
    u32 read;                  /* so many of them */
    struct emit hot, cold;
    u32 mode;
    bool is64;
    bool flat;
    bool direct;    /* supervisor mode, where most pages have the direct difference */
    bool mapped;    /* memory by mapped_add, but for instructions that say otherwise */
    u8 ssz;         /* stack address size in bytes */
    u16 pos;        /* offset in the page of the current instruction */
    u16 next;       /* the same of the instruction behind it */
    u64 recall_key; /* of the instruction that is being decoded, by which it is kept: recall.c; 0: not at all */
    bool lost;      /* the cache had no room for what the block needs */
    u32 transfer;   /* TRANSFER_* of the branch being translated, 0 for falling through */

    struct decoded *d; /* the current instruction */
    struct decoded insn[BLOCK_MAX_INSNS];
    struct zydis_output output[BLOCK_MAX_INSNS]; /* of those that were not recalled */
    u32 insn_count;
    struct group group[GROUP_MAX];
    u32 group_count;
    /* By instruction that branches jump ahead to: the first of those, and what is known on all those ways. */
    u8 reached_from[BLOCK_MAX_INSNS];
    struct values reached[BLOCK_MAX_INSNS];
    u8 *jumps_ahead[BLOCK_MAX_INSNS]; /* by branch that jumps ahead: where it ends, NULL as long as it is not emitted */
    u8 *jumps_away[BLOCK_MAX_INSNS];  /* the same by conditional branch whose way on stands behind the block */

    /* What the body of a memory access uses: host = [rcx + mem_index + mem_disp]. */
    u8 mem_index;
    s32 mem_disp;

    /* What the scratch registers hold that need not be loaded again: r11 a guest register that has no host register
     * (REG_NONE: nothing), rcx the difference of a group (GROUP_NONE). Stages that keep track say so by keep_scratch()
     * behind their code; it holds for the next instruction if nothing else was emitted. */
    u8 in_r11, in_rcx;
    u8 *scratch_at;
    bool unsaved; /* what r11 holds is not in the vCPU yet: among instructions that nothing can interrupt */
    bool pure;    /* the current instruction is one of those */

    s32 stack_pending; /* what is still to be added to the guest's RSP: stack.c */

    u16 loans;      /* those in force at the current instruction */
    u8 *loan_entry; /* the first instruction of the stretch, loans made */

    struct {
        u16 guest;
        u8 *host;
    } at[BLOCK_MAX_INSNS];
    u32 at_count;
    struct exit_link links[BLOCK_MAX_LINKS];
    u32 link_count;
    struct place places[BLOCK_MAX_PLACES];
    u32 place_count;
    struct place cold_places[BLOCK_MAX_PLACES];
    u32 cold_place_count;
};

/* decode.c */
void decode_init(struct tr *t);
/* Fills t->d's zi, zo, in. Returns false if it is no valid instruction (#UD), or is longer than `avail` (*more). */
bool decode(struct tr *t, const u8 *code, unsigned avail, bool *more);
/* Returns the machine's register number of a Zydis GPR of any width, or REG_NONE. AH to BH give 4 to 7 with *high. */
static inline unsigned decode_gpr(ZydisRegister reg, bool *high)
{
    enum { WIDE = ZYDIS_REGISTER_AX - ZYDIS_REGISTER_AL, HIGH = ZYDIS_REGISTER_AH - ZYDIS_REGISTER_AL, HIGHS = 4 };
    _Static_assert(ZYDIS_REGISTER_SPL - ZYDIS_REGISTER_AH == HIGHS && ZYDIS_REGISTER_R15B + 1 == ZYDIS_REGISTER_AX &&
                       ZYDIS_REGISTER_EAX - ZYDIS_REGISTER_AX == GPR_COUNT &&
                       ZYDIS_REGISTER_RAX - ZYDIS_REGISTER_EAX == GPR_COUNT,
                   "order of Zydis' registers");
    unsigned n = (unsigned)reg - ZYDIS_REGISTER_AL;
    *high = n - HIGH < HIGHS;
    if (n > ZYDIS_REGISTER_R15 - ZYDIS_REGISTER_AL)
        return REG_NONE;
    if (n >= WIDE)
        return (n - WIDE) % GPR_COUNT;
    return n < HIGH + HIGHS ? n : n - HIGHS;
}
/* Returns the number of the GPR that the register is, or is a part of, or REG_NONE. */
static inline unsigned decode_whole_gpr(ZydisRegister reg)
{
    bool high;
    unsigned r = decode_gpr(reg, &high);
    return high ? r - 4 : r;
}

/* The GPR in the low bits of the opcode. */
static inline u8 opcode_reg(const struct insn *in)
{
    return (u8)((in->opcode & 7) | (in->rex & REX_B ? 8 : 0));
}

/* recall.c */
/* Fills t->d as decode and classify do, if the same instruction was decoded before, save for its values. */
bool recall(struct tr *t, const u8 *code, unsigned avail);
/* Keeps what they made of the instruction that recall did not know. */
void remember(struct tr *t);

/* classify.c */
/* Fills t->d's class, handler and traits, by what the VM and the mode allow. */
void classify(struct tr *t);
/* Fills the same by the table and Zydis alone. Copied instructions fault as the host's do, whatever vendor the guest
 * sees. */
void describe(struct decoded *d, enum vendor host);

/* loan.c: returns the host register that is lent to a register without a home, or H_NONE. */
unsigned loan_host(u16 loans, unsigned homeless);

/* operand.c */
/* Returns the host register of a guest GPR, or H_NONE if it lives in the vCPU. */
static inline unsigned host_of(const struct tr *t, unsigned guest)
{
    static const u8 home[GPR_COUNT] = {RAX, H_GUEST_RCX, RDX, RBX,    H_GUEST_RSP, RBP, RSI,    RDI,
                                       R8,  R9,          R10, H_NONE, R12,         R13, H_NONE, H_NONE};
    return home[guest] == H_NONE && t->loans ? loan_host(t->loans, guest) : home[guest];
}
/* Emits the linear address at an offset from the page's start into dst, cut to 32 bits unless wide. */
void emit_from_page(struct emit *e, unsigned dst, s64 offset, bool wide);
/* Emits the offset of the memory operand into host register dst, cut to 32 bits unless wide. */
void emit_effective(struct tr *t, unsigned dst, bool wide);
/* Emits the memory operand's offset in its segment; returns the host register that holds it: H_ADDR or a guest's. */
unsigned emit_offset(struct tr *t);
/* Makes the offset in H_ADDR linear and returns H_ADDR, or returns H_NONE: outside flat modes emit_access does it. */
unsigned emit_linear(struct tr *t);
/* Does both; returns the host register that holds the linear address, or H_NONE for an offset in H_ADDR. */
unsigned emit_address(struct tr *t);
typedef void (*emit_body)(struct tr *t, struct emit *e, void *ctx);
/*
 * Emits the TLB check of `size` bytes at host register `addr` plus disp (0 if addr is H_ADDR), then body with rcx =
 * host minus linear; for writes the body is emitted again in the cold part, working on the bounce buffer. flags:
 * SITE_*.
 */
void emit_access(struct tr *t, unsigned addr, s32 disp, unsigned size, unsigned flags, unsigned seg, emit_body body,
                 void *ctx);
/* Like emit_access for an access that group.c noted, if it is in a group (else false and nothing emitted).
 * grouped_operand finds out beforehand which host register and displacement the body will use, grouped_keeps whether
 * r11 will still hold in the body what it holds now. */
bool grouped_operand(const struct tr *t, const struct access_note *note, unsigned *index, s32 *disp);
/* Is the operand, in mapped memory, that far from the page of code, whose address the body finds in r11? */
bool page_operand(const struct tr *t, s32 *disp);
bool grouped_keeps(const struct tr *t, const struct access_note *note);
bool emit_grouped(struct tr *t, const struct access_note *note, unsigned size, unsigned flags, unsigned seg,
                  emit_body body, void *ctx);
/* In mapped memory, in front of a member that is checked by itself: the group of others can count on its slot. */
void emit_group_start(struct tr *t, const struct access_note *note);
/* See scratch_at. */
static inline void keep_scratch(struct tr *t)
{
    t->scratch_at = t->hot.p;
}
/* Stores what r11 holds if that is still to be done; r11 goes on to hold it. */
static inline void save_scratch(struct tr *t)
{
    if (!t->unsaved)
        return;
    bool kept = t->scratch_at == t->hot.p;
    emit_store(&t->hot, H_ADDR, gpr_disp(t->in_r11));
    t->unsaved = false;
    if (kept)
        keep_scratch(t);
}
/* Notes that a copied instruction that may raise a host fault starts here. */
void emit_place(struct tr *t, struct emit *e);
/* Notes that the CALL of a shared check ends here, whose site comes next in the cold part. */
void emit_place_of_site(struct tr *t);

/* site.c */
/* Returns the SITE_* flags of the memory operand; *size is its bytes. */
unsigned access_flags(const struct decoded *d, unsigned *size);
/* Emits the CALL of slow_mem in the cold part, behind a shared check only what follows it. The caller fills size,
 * flags, segment, and what concerns a group of *s; resume is NULL for the code that follows. */
void emit_site(struct tr *t, struct site *s, const u8 *retry, const u8 *resume, bool shared);
/* Emits the CALL of slow_done, which goes on at `next`. */
void emit_site_done(struct tr *t, unsigned flags, const u8 *next);
/* Emits, outside flat modes: the offset in r11 becomes the linear address. */
void emit_segment(struct tr *t, unsigned seg, unsigned size, enum access access);

/* rewrite.c */
void translate_copy(struct tr *t);
/* Returns true for integer arithmetic between registers: it has no fault and no exit, and leaves the vCPU alone. */
bool is_pure(const struct tr *t);

/* address.c */
void translate_lea(struct tr *t);
void translate_xlat(struct tr *t);
void translate_bit(struct tr *t);

/* group.c: finds accesses that can be checked together. */
void group_accesses(struct tr *t);

/* loan.c: finds a stretch of the block where a loan pays, and notes it in t->b's loan fields. */
void find_loans(struct tr *t);
/* Makes the loans, or ends them: both are the same exchanges. r11 is lost. */
void emit_loans(struct emit *e, u16 loans);

/* stack.c */
/*
 * In a run of PUSH and POP, in mapped memory, RSP changes once, behind it: t->stack_pending bytes have not been added
 * yet. A fault within it adds them (struct place).
 */
/* In front of the current instruction: adds them, unless that goes on with the run. */
void stack_settle(struct tr *t);
/* Adds them. */
void stack_flush(struct tr *t);
static inline s16 stack_waiting(const struct tr *t)
{
    return (s16)(t->stack_pending / 8);
}
void translate_push(struct tr *t);
void translate_pop(struct tr *t);
void translate_leave(struct tr *t);
/* Returns how many bytes PUSH, POP or LEAVE moves. */
u8 stack_size(const struct decoded *d, bool is64);
/* Pushes the address of the next instruction. */
void emit_push_return(struct tr *t, unsigned size);
/* Loads what RET pops into r11, and releases so many bytes more. */
void emit_pop_target(struct tr *t, unsigned size, unsigned release);
/* Pushes what is kept in the vCPU as below, at SPILL_OPERAND. */
#define SPILL_OPERAND VCPU_DISP(spill)
void emit_push_fetched(struct tr *t, unsigned size);
/* Keeps the r/m operand, zero-extended, in the vCPU; and loads it into r11. In between the stack may be accessed. */
void emit_fetch_operand(struct tr *t, unsigned size);
void emit_load_operand(struct tr *t);

/* brief.c: emits a called instruction in its brief form. Returns false, and emits nothing, if it has none here. */
bool translate_brief(struct tr *t);
/* For its pieces, with the instruction in vcpu.resume_rcx: goes to the handler, with RAX from the vCPU. */
void emit_refused(struct emit *e);
/* rcx = 0 if the TLB context in r11 can be used at once, without what mmu_select does for one that is used again: its
 * jump cache is of the vcpu.mode at that displacement, and no code is to be compared. Uses rax. */
void emit_context_ready(struct emit *e, s32 mode);
/* The context in r11 is the current one from now on. Uses rax. */
void emit_context_use(struct emit *e);
/* dst = RFLAGS, as PUSHF pushes it. Uses rax and rcx. */
void emit_flags_image(struct emit *e, unsigned dst);

/* brief_syscall.c */
void piece_syscall(struct emit *e);
void piece_sysret(struct emit *e);
void piece_sysret_amd(struct emit *e);

/* branch.c */
void translate_jcc(struct tr *t);
/* Behind the block: where one of jumps_away goes on. t->d is its instruction. */
void emit_jump_away(struct tr *t, u8 *jump);
void translate_jrcxz(struct tr *t);
void translate_loop(struct tr *t);
void translate_jump(struct tr *t);
void translate_call(struct tr *t);
void translate_return(struct tr *t);
/* rcx = the index in the return stack by RSP behind a CALL's push, and r11, the return address, is noted there. So many
 * bytes were pushed on the vCPU's stack. */
void emit_return_note(struct emit *e, s32 pushed);
#define RETURN_LA TLB_DISP(returns.la[1])
#define RETURN_HOST TLB_DISP(returns.host[1])
/* Goes on where the return stack knows a return to the linear address in r11 by RSP; else at `other`, 8 bytes down the
 * vCPU's stack. */
void emit_return_match(struct emit *e, const u8 *other);
#define RETURN_FOUND_LA TLB_DISP(returns.la[0])
#define RETURN_FOUND_HOST TLB_DISP(returns.host[0])
/* Emits a jump to an offset from the page's start, which ends loans if it leaves their stretch. */
void emit_goto(struct tr *t, s64 target, bool word);
/* Returns where a direct branch goes, from the page's start; TARGET_NONE if the instruction is none. */
#define TARGET_NONE INT64_MIN
s64 branch_target(const struct decoded *d);
/* Adds a link: a jump that can be patched, and its stub at the end of the cold part. `field` is the rel32 of the jump
 * just emitted to that stub, or NULL if the cold part falls into the stub. */
void add_link(struct tr *t, u8 *field, u16 target, bool plain);
/* What a link to a block that crosses its page jumps to: the jump cache knows whether the second page is still the
 * same. */
void emit_far_link(const struct cache *c, struct emit *e, u16 target);
/* Jumps through the context's jump cache to the linear address in r11; transfer: TRANSFER_*, or 0. Without a cache its
 * victims are not asked. */
void emit_jump_cache(const struct cache *c, struct emit *e, u32 transfer);

/* translate.c: makes a block. The cache's lock is held: guest memory is only read, and nothing is walked. */
struct translation_request {
    u64 la; /* linear address */
    struct code_page page;
    struct code_page page2; /* the one that follows linearly; host is NO_PAGE as long as nobody needs it */
    u32 mode;
    bool hot; /* without shared checks */
};
enum translation {
    TRANSLATION_DONE,
    TRANSLATION_NEEDS_PAGE2, /* the first instruction crosses into the second page */
    TRANSLATION_FULL,        /* the cache is full: the caller flushes it and tries again */
    TRANSLATION_RETRY,       /* guest code changed meanwhile */
};
MUST_CHECK enum translation translate(struct vcpu *v, const struct translation_request *r, struct block **made);
/* rcx = what exec_thunk_call and pieces of brief.c find the struct insn by. */
void emit_insn_number(struct tr *t, insn_fn fn, bool ends);

#endif
