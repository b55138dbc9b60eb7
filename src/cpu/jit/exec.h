/*
 * Private to the translator and dispatcher: the code cache, blocks, exits, and the per-vCPU execution state.
 */
#ifndef CPU_JIT_EXEC_H
#define CPU_JIT_EXEC_H

#include "cpu/core/insn.h"
#include "cpu/core/vcpu.h"
#include "cpu/jit/block.h"
#include "cpu/mmu/mmu.h"

/* One direct branch of a block within its page: unchained it goes to the cold stub that leaves with this record. */
struct exit_link {
    u8 *field; /* rel32 to patch, NULL: slot unused */
    u8 *stub;  /* where it points when unchained */
    struct block *from;
    struct block *to;          /* NULL: unchained */
    struct exit_link *next_in; /* list of links into `to` */
    u16 target;                /* offset of the target in the page */
    bool plain;                /* to a MODE_PLAIN block */
};

/* Host code offset to guest instruction, for faults raised by copied instructions. */
struct place {
    u32 host;  /* offset in the cache */
    u16 guest; /* offset in the page */
};

struct block {
    u64 page;   /* guest-physical page of the first byte */
    u64 page2;  /* of the second page if the only instruction crosses, else ~0 */
    u16 offset; /* in the page */
    u16 size;   /* bytes of guest code, second page included */
    u32 mode;
    bool valid;
    u8 *far_entry; /* r11 = linear address of the block: sets page_la */
    u8 *near_entry;
    u8 *hot_end;
    u8 *cold, *cold_end;
    u64 page_la; /* linear page at translation time: a hint */
    struct block *next_hash;
    struct exit_link *in;
    struct exit_link *links;
    u32 link_count;
    struct place *places;
    u32 place_count;
    u32 cold_place_from; /* places[] from here lie in the cold part */
    u16 loans;           /* from instruction loan_from until before loan_to, offsets in the page */
    u16 loan_from, loan_to;
};

/*
 * Loans (loan.c): in a stretch of a block a guest register without a home (r11, r14, r15) and one that the stretch does
 * not name change places, the latter into the vCPU. Four bits each give the lender of r11, r14 and r15; 0: none.
 */
extern const u8 homeless[3];
static inline unsigned loan_lender(u16 loans, unsigned reg)
{
    return loans >> (reg == R11 ? 0 : reg == R14 ? 4 : 8) & 15;
}

#define HASH_BITS 16
#define PAGE_HASH_BITS 14

/* A block in the list of a page that it has bytes in. */
struct page_ref {
    struct block *block;
    u64 page;
    struct page_ref *next;
};

struct cache {
    u8 *code; /* RWX, hot part first */
    size_t hot_size, cold_size;
    u8 *hot, *hot_end, *cold, *cold_end; /* bump pointers */
    u8 *data;                            /* blocks, links, places, insns */
    u8 *data_next, *data_end;
    struct block *blocks; /* in order of allocation: host addresses ascend */
    u32 block_count, block_max;
    struct block *hash[1 << HASH_BITS];
    struct page_ref *pages[1 << PAGE_HASH_BITS];
    struct exit_link *links;
    u32 link_count, link_max;
    u32 lock; /* [a] guards everything above */
    u64 flushes;
    u64 generation;
};

struct exec {
    u8 bounce[256] __attribute__((aligned(64)));
    enum outcome outcome; /* of the call or access that left */
    u64 bounce_la;
    u8 *bounce_from;
    u8 bounce_size;
    bool bounce_locked;
    struct exit_link *chain; /* link to patch when the next block is known */
    void *decoder[3];        /* ZydisDecoder by code size; [0] is an array: real mode, protected mode */
    struct tr *tr;           /* the translator's working memory */
    u64 chain_generation;
    u16 signal_loans; /* where a host signal came */
};

/* What follows the CALL of slow_mem in a cold stub. */
struct site {
    u8 size;    /* bytes */
    u8 flags;   /* SITE_* */
    u16 offset; /* of the instruction in its page */
    u8 len;
    u8 seg;      /* and SITE_X87 */
    u8 mask;     /* SITE_MASKED: opmask register, or 8 + vector register whose sign bits mask (VEX) */
    u8 element;  /* bytes of an element; ELEMENT_* */
    u8 elements; /* how many bits of the mask count */
    s32 retry;   /* relative to this struct */
    s32 resume;
    s16 before; /* SITE_GROUP */
    u16 span;
    u16 loans;
} __attribute__((packed));

#define ELEMENT_PACKED 0x80 /* selected elements lie together (expand, compress) */
#define ELEMENT_WHOLE 0x40  /* the operand is accessed as a whole if any is selected */
#define ELEMENT_BYTES 0x1f

#define SITE_WRITE BIT(0)
#define SITE_READ BIT(1) /* with WRITE: read-modify-write */
#define SITE_LOCK BIT(2)
#define SITE_STAY BIT(3) /* the block goes on after the store even if it changed code: it only branches */
#define SITE_GROUP                                                                                                     \
    BIT(5) /* the check was of a window that starts `before` bytes from the address: try it again,                     \
              or resume at the stub that goes on in a MODE_PLAIN block */
#define SITE_GROUP_WRITE BIT(6)
#define SITE_ALIGNED BIT(7) /* #GP(0) if the address is not a multiple of the size, before any page fault */
#define SITE_MASKED BIT(4)  /* only elements that a mask selects are accessed, and may fault */

#define SITE_X87 0x80 /* in seg: a pending x87 exception comes before any fault of the access */

/* What follows the CALL of slow_done. */
struct site_done {
    s32 next; /* relative to this struct */
    u16 offset;
    u8 len;
    u8 flags;
    u16 loans;
} __attribute__((packed));

/* What follows the CALL of slow_segment: r11 = offset, becomes the linear address. */
struct site_segment {
    u8 seg, size, access, len;
    u16 offset;
} __attribute__((packed));

/* What rcx tells exec_lookup about the branch that asks, in case its target cannot be entered and the branch itself
 * must fault: TRANSFER_* | log2 of its operand size << 14 | offset in its page | bytes that RET releases besides <<
 * 16. */
#define TRANSFER_JUMP BIT(12)
#define TRANSFER_CALL BIT(13)
#define TRANSFER_RETURN (BIT(12) | BIT(13))
#define TRANSFER_SIZE_SHIFT 14
#define TRANSFER_RELEASE_SHIFT 16

/* translate.c: makes a block; the cache lock is held. NULL: the cache is full (flush and retry). */
struct translation_request {
    u64 la;    /* linear address */
    u64 page;  /* guest-physical page */
    u64 page2; /* guest-physical page that follows linearly, ~0 if it cannot be fetched or was not asked for */
    u32 mode;
};
struct block *translate(struct vcpu *v, const struct translation_request *r, bool *needs_page2);

/* block.c */
struct block *block_find(struct vcpu *v, u64 la, u32 mode, enum outcome *out); /* finds or translates; NULL with *out */
struct block *block_at(struct cache *c, const u8 *host);
void block_link(struct vcpu *v, struct exit_link *link, struct block *to);
void *cache_alloc(struct cache *c, size_t size);

/* exec.c: runs translated code from RIP on until it leaves; events come to be looked at then. */
void execute(struct vcpu *v);

/* enter.S */
void exec_enter(struct vcpu *v);
extern const u8 exec_thunk_slow_mem[], exec_thunk_slow_done[], exec_thunk_slow_segment[], exec_thunk_call[];
extern const u8 exec_leave_lookup[], exec_leave_chain[], exec_leave_request[], exec_leave_stale[], exec_leave_signal[];

/* Called from enter.S. */
bool exec_slow_mem(struct vcpu *v, const u8 *after, u64 la);
bool exec_slow_done(struct vcpu *v, const u8 *after, u64 la);
bool exec_slow_segment(struct vcpu *v, const u8 *after, u64 offset);
bool exec_call(struct vcpu *v, const u8 *after, const struct insn *in);
bool exec_lookup(struct vcpu *v, u64 rcx, u64 la);
bool exec_chain(struct vcpu *v, struct exit_link *link, u64 r11);
bool exec_request(struct vcpu *v, u64 offset, u64 r11);
bool exec_stale(struct vcpu *v, u64 offset, u64 r11);
bool exec_signal_left(struct vcpu *v, u64 rcx, u64 r11);

/* optable.c: how an instruction is translated. */
enum insn_class {
    CLASS_COPY,
    CLASS_CALL,
    CLASS_UD,
    CLASS_BRANCH,
    CLASS_STACK,
    CLASS_LEA,
    CLASS_NOP,
    CLASS_BIT,
    CLASS_XLAT
};
struct op_row {
    u16 mnemonic;
    u8 class;
    bool ends;
    insn_fn fn;
};
void optable_init(void);
const struct op_row *optable_find(u16 mnemonic);
/* True if the VM shows the instruction set (ZydisISASet). */
bool isa_allowed(const struct vm *vm, u16 isa_set);

/* exec.c: for x-state: the guest RIP of a copied instruction's host address, 0 if none. */
u64 exec_guest_rip(struct vcpu *v, u64 host_rip);
/* accel/engine.c: a host signal at host_rip in translated code; gives the address to continue at, or NULL if the
 * address is not ours. trapno is the x86 vector. */
const u8 *exec_signal(struct vcpu *v, const u8 *host_rip, unsigned trapno);

/* Creation: memory comes from the accelerator, zeroed. */
size_t exec_size(void);
void exec_init(struct vcpu *v, void *memory);
void cache_init(struct cache *c, u8 *code, size_t code_size, u8 *data, size_t data_size);

#endif
