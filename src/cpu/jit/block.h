/*
 * Translations of guest code: blocks by address and mode, links between them, and the cache that holds them. All vCPUs
 * of a VM share one struct cache; cache.lock guards it and what it points at.
 */
#ifndef CPU_JIT_BLOCK_H
#define CPU_JIT_BLOCK_H

#include "cpu/core/tunables.h"
#include "cpu/core/vcpu.h"
#include "cpu/jit/insn_table.h"

#define NO_PAGE ~0ull
/* The first instruction of a dead block is replaced by a jump, by one store of a word that is naturally aligned. */
#define ENTRY_WORD 8
#define ENTRY_JUMP 5

/* A page of guest memory that code is fetched from. It is known by its host address, so that all slots and address
 * spaces which show the same memory share its blocks, and a write through any of them ends them. */
struct code_page {
    u64 host;     /* or NO_PAGE */
    u32 *word;    /* ram_slot.page of it. Like a slot, good until the vCPU may stop */
    gpa_t gpa;    /* where it was found */
    bool foreign; /* ram_slot.flags: RAM_FOREIGN */
};

#define LINK_CLOSED 0

/* What rcx is where a block's own code finds that all is well: branch.c, emit_bad_sum. */
static inline s32 good_sum(bool hot)
{
    return !hot;
}

/*
 * One direct branch of a block. Within the page it goes to the cold stub that leaves with this record while it is
 * unchained. To another page a guard stands in front of it: the branch is taken only if the TLB context has the page of
 * the target's block at that address (docs/engine.md "Blocks"). Otherwise the jump cache finds the way.
 */
struct exit_link {
    u8 *field; /* rel32 to patch, NULL: slot unused */
    union {
        u8 *stub;   /* where it points when unchained */
        s32 *guard; /* across pages: the guard's displacement: LINK_CLOSED while nothing may pass, and its block's
                       good sum more */
    };
    struct block *from;
    struct block *to;          /* NULL: unchained */
    struct exit_link *next_in; /* list of links into `to` */
    u16 target;                /* offset of the target in the page */
    bool plain;                /* to a MODE_PLAIN block */
    bool across;               /* to another page */
    bool lands;                /* behind a CALL: where its return goes on, with the linear address in r11 */
};

/* Which guest instruction a piece of host code belongs to, for faults that copied instructions raise. */
struct place {
    u32 host;       /* offset in the cache */
    u16 guest : 12; /* offset in the page */
    s16 stack : 4;  /* so many quadwords are to be added to the host's RSP of the guest to make it the guest's */
    u16 site;       /* behind the CALL of a shared check: where its struct site is, from block.cold, plus 1. Else 0 */
};

struct block {
    /* All that a look-up reads lies in one cache line. */
    u64 page;   /* that of the first byte: code_page.host */
    u64 page2;  /* of the second page if the only instruction crosses, else NO_PAGE */
    u16 offset; /* in the page */
    u16 size;   /* bytes of guest code, second page included */
    u32 mode;
    struct block *next_hash;
    u8 *far_entry;  /* r11 = linear address of the block: sets page_la */
    u8 *near_entry; /* for links of the page, which lead elsewhere once the block is dead */
    struct exit_link *in;
    u32 link_count;
    u16 looked; /* bytes that the translation depends on: more than `size` if they are no instruction */
    bool valid;
    bool hot; /* has no shared checks */

    u8 *hot_end;
    u8 *cold, *cold_end;
    u64 page_la; /* linear page at translation time: a hint */
    struct exit_link *links;
    struct place *places;
    u32 place_count;
    u32 cold_place_from;    /* places[] from here lie in the cold part */
    u16 loans;              /* loan.h: from instruction loan_from until before loan_to, offsets in the page */
    u16 loan_from, loan_to; /* 0 and 0 without loans */
} __attribute__((aligned(64)));

#define CHECK_KINDS 4
#define CHECK_SIZES 35 /* 1, 2, 4, and the multiples of 8 up to 256 bytes */
#define CHECK_ALIGN 16
#define GRANULE 256 /* bytes of hot code */

struct cache {
    u8 *code; /* RWX, hot part first */
    size_t hot_size, cold_size;
    u8 *hot, *hot_end, *cold, *cold_end; /* bump pointers */
    u8 *data;                            /* blocks, links, places, insns */
    u8 *data_next, *data_end;
    struct block *blocks;       /* in order of allocation: host addresses ascend */
    u32 block_count, block_max; /* the count is [a]: signal handlers look up blocks without the lock */
    struct block *hash[1 << HASH_BITS];
    struct page_code *pages[1 << PAGE_HASH_BITS]; /* [a] page.h */
    u64 hot_hash[(1 << HASH_BITS) / 64];          /* bit per hash: blocks that shall be made without shared checks */
    u64 checked_hash[(1 << HASH_BITS) / 64];      /* bit per hash: instructions with TLB checks in MODE_MAPPED code */
    bool has_hot;                                 /* some bit of code that cools is set */
    u32 coolings;                                 /* how often they were cleared, HEAT_DOUBLINGS at most */
    struct exit_link *links;
    u32 link_count, link_max;
    struct recalled *recalled; /* instructions that were decoded before, and by what they are known: recall.c */
    struct {
        u64 key;
        u32 mode;
        u32 used; /* the number of the block that needs the entry, plus 1 */
    } recall[1 << RECALL_BITS];
    u8 *check[CHECK_KINDS][CHECK_SIZES]; /* shared TLB checks: check.c */
    u8 *missed;                          /* what they do when they fail */
    u8 *jump[2];                         /* shared jumps by the jump cache, with a look at vcpu.request or not */
    u8 *back;                            /* shared look at requests in front of a link back */
    u8 *pair;                            /* shared: a CALL notes where its return goes on */
    u8 *ret, *unknown, *lost; /* shared return, and what is in place of what the return stack does not know */
    u8 *aside;                /* what a jump of a hot block does that the jump cache does not have */
    u8 *dead;                 /* where the far entries of dead blocks lead */
    u8 *linked[2];            /* shared part of the guards of links across pages, as `jump` */
    u8 *brief[BRIEF_COUNT];   /* pieces of brief instructions: brief.c */
    u8 *sysret_amd;
    u8 *stos[4], *movs[4];     /* of REP STOS and REP MOVS, by log2 of the size of an element, */
    u8 *strings, *strings_end; /* which lie here */
    u32 granules;              /* how many of block_before[] are known */
    u32 block_before[CACHE_HOT(CACHE_CODE_SIZE) / GRANULE]; /* by granule: the first block that ends behind its start */
    u32 lock;                                               /* [a] guards everything above */
    u64 flushes;
    u64 generation;
};

/* Kinds of shared checks. */
#define CHECK_WRITE BIT(0)
#define CHECK_DIRECT BIT(1) /* tries the direct tags first */

/* How many bytes a shared check is of, by its index in cache.check[]; the index of the check for `size` bytes or, if
 * there is none, for a few more. */
static inline unsigned check_size(u32 index)
{
    return index < 3 ? 1u << index : (index - 2) * 8;
}

static inline u32 check_index(unsigned size)
{
    return size > 4 ? 2 + (size + 7) / 8 : size > 2 ? 2 : size - 1;
}

/* check.c: emits the shared checks from `code` on; returns where they end. */
u8 *checks_emit(struct cache *c, u8 *code, const u8 *end);
/* brief.c: the same of the pieces of brief instructions. */
u8 *brief_emit(struct cache *c, u8 *code, const u8 *end);

/* `data` is zeroed memory of the accelerator. */
void cache_init(struct cache *c, u8 *code, size_t code_size, u8 *data, size_t data_size);
/* Takes memory from the cache's data, which need not be zero; NULL if there is none left. The lock is held. */
void *cache_alloc(struct cache *c, size_t size);

/* Finds the block at la or translates it; returns NULL with *out if it cannot. It walks page tables, so the lock is not
 * held. */
struct block *block_find(struct vcpu *v, u64 la, u32 mode, enum outcome *out);
/* The same for a branch that has this link, or NULL: in another address space it mostly leads to the same block. */
struct block *block_find_linked(struct vcpu *v, u64 la, u32 mode, const struct exit_link *link, enum outcome *out);
/* The block whose host code has this address, or NULL. Dead ones are found too. Takes no lock. */
struct block *block_at(struct cache *c, const u8 *host);
/* What was noted of the block's code at or before that address, in the same part of the cache, or NULL. Takes no lock.
 */
const struct place *block_place(const struct cache *c, const struct block *b, const u8 *host);
/* Is code of this mode made for speed block by block, and stays so? User code, as programs compute; and code without
 * TLB checks, which grows little by it. */
static inline bool mode_lasts(u32 mode)
{
    return mode & MODE_USER || (mode & (MODE_MAPPED | MODE_PLAIN)) == MODE_MAPPED;
}

/* The block and those that are linked with it are executed often: they are killed, and will be made again without
 * shared checks. */
void block_heat(struct vcpu *v, struct block *b);
/* The same of the block that has the instruction at la, if the TLB knows its page. */
void block_heat_at(struct vcpu *v, u64 la);
/* The block's instruction at that offset in the page reaches memory that is not mapped: the block is killed, and will
 * be made again with TLB checks for that. And whether an instruction is one of those. */
void block_add_checks(struct vcpu *v, struct block *b, u16 offset);
bool block_has_checks(const struct cache *c, u64 page, u16 offset);
/* No block is hot any more but those that last: they are killed. */
void block_cool(struct vcpu *v);
/* Chains a link to the block at its target, whose linear address is la, if the block fits it. */
void block_link(struct vcpu *v, struct exit_link *link, struct block *to, u64 la);
/* Nothing enters the block any more. The lock is held; whoever may be in it must leave it. */
void block_kill(struct cache *c, struct block *b);

/* [any] The code_written of core/upcalls.h: kills the blocks that have bytes there. */
void block_invalidate(struct vm *vm, struct vcpu *v, const struct ram_slot *s, gpa_t at, u64 size);
/* The code_entered of core/upcalls.h: kills the blocks whose bytes are no longer what they were made from. */
void block_check(struct vcpu *v, const struct ram_slot *s, gpa_t at);
/* A host fault ended the translation or the check of a page in the middle. */
void block_give_up(struct vcpu *v);
/* What is known of a page for direct execution. */
enum direct_code {
    DIRECT_CODE_UNKNOWN,
    DIRECT_CODE_WATCHED, /* its first write is noted (direct_notes); then nothing is known again */
    DIRECT_CODE_FIT,     /* and the host's CPU may execute it */
    DIRECT_CODE_UNFIT,   /* and it may not */
};
/* From now on the page is watched. Returns what is known of it; DIRECT_CODE_UNKNOWN: it is no longer where it was, try
 * again. */
enum direct_code block_watch(struct vcpu *v, const struct ram_slot *s, gpa_t at);
/* If the page has been watched since block_watch, that is what is known of it. */
void block_judge(struct vcpu *v, const u8 *page, enum direct_code code);
/* [exclusive] The slot goes: kills all blocks made from its memory. */
void block_forget(struct vm *vm, const struct ram_slot *s);

#endif
