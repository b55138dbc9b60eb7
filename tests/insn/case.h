/*
 * The differential test of instructions: what a case is, and what its outcome is.
 *
 * A case is a seed, from which registers and memory are made, and up to 16 units of code (an instruction, or a few that
 * belong together, such as a jump and what it jumps over). native.c runs it on the host CPU, engine.c in the engine,
 * each in a process of its own; main.c compares. The linear addresses are the same on both sides.
 */
#ifndef TESTS_INSN_CASE_H
#define TESTS_INSN_CASE_H

#include "base/types.h"
#include "x86/regs.h"

#define CODE_LA 0x10000000ull
#define CODE_PAGES 2
#define DATA_LA 0x20000000ull /* two pages that can be written, then one that cannot; nothing is mapped around them */
#define DATA_PAGES 3
#define STACK_LA 0x30000000ull
#define STACK_PAGES 1
#define MEMORY_SIZE ((DATA_PAGES + STACK_PAGES) * PAGE_SIZE)

#define UNITS 16
#define UNIT_BYTES 15

struct test_case {
    u64 seed;
    u16 start; /* offset of the first byte in the code pages */
    bool cpl0; /* the engine runs it at CPL 0 */
    u8 units;
    u8 len[UNITS];
    u8 code[UNITS][UNIT_BYTES];
};

/* x87, SSE, AVX and AVX-512 state without the layout of the XSAVE area, which depends on the CPU. */
struct vectors {
    u16 fcw, fsw;
    u32 ftw; /* abridged: one bit per register */
    u8 st[8][16];
    u32 mxcsr;
    u32 unused;
    u64 k[8];
    u8 zmm[32][64];
};

struct state {
    u64 gpr[GPR_COUNT];
    u64 rip, rflags, fs_base, gs_base;
    struct vectors vec;
};

enum { VECTOR_DIED = 254, VECTOR_NONE = 255 };

struct result {
    struct state s;
    u64 cr2;    /* #PF only */
    u32 vector; /* the exception that ended the case: normally #BP */
    u32 error;
    u8 memory[MEMORY_SIZE]; /* data pages, then the stack page */
};

/* Registers that the generator keeps pointing at memory. */
struct roles {
    u8 pointer[3];
    u8 index;    /* a small number */
    bool string; /* the pointers include RSI and RDI, the index is RCX */
};

/* state.c: what is made from the seed. features: the XCR0 bits in use. */
void state_roles(u64 seed, struct roles *r);
void state_fill(const struct test_case *c, struct state *s, u64 features);
void case_memory(u64 seed, u8 memory[MEMORY_SIZE]);
unsigned case_bytes(const struct test_case *c, u8 *out);

/* xstate.c: to and from an XSAVE area in standard format; off[i] is the offset of component i. */
void vectors_store(const struct vectors *v, u8 *area, const u32 off[8], u64 features);
void vectors_load(struct vectors *v, const u8 *area, const u32 off[8], u64 features);
u64 host_features(u32 off[8]);
bool host_is_amd(void);

/* generate.c */
struct rng {
    u64 s;
};
u64 rng_next(struct rng *r);
static inline u64 rng_below(struct rng *r, u64 n)
{
    return (u64)((u128)rng_next(r) * n >> 64);
}
void generate_init(u64 features);
/* only: a ZydisMnemonic that the last unit must have, or 0. Returns false if no such instruction was found. */
bool generate_case(struct rng *r, struct test_case *c, unsigned only);
/* Counts of generated instructions by mnemonic. */
extern u32 generate_count[];

/* native.c: prepares the worker process, then runs one case. */
void native_open(u64 features);
void native_run(const struct test_case *c, struct result *out);

/* engine.c: engine_open makes the VM and returns the XCR0 bits that it has; or 0 and a message if there is no VM.
 * `direct`: user code is executed by the host's CPU in a process (docs/direct.md). */
u64 engine_open(bool direct, char *message, size_t size);
/* How often such a process was entered. */
u64 engine_entered(void);
/* Runs a batch; *current is the case that is under way. Returns false, with a message, if the VM ended. */
bool engine_run(const struct test_case *cases, struct result *out, unsigned n, volatile u32 *current, char *message,
                size_t size);

#endif
