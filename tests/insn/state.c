/*
 * Registers and memory of a case, made from its seed alone, so that a case is written down as a seed and bytes.
 * Values are chosen to be interesting: pointers into the data pages, often near a page border; small numbers; floating
 * point in both sizes, with infinities, NaNs and denormals among them.
 */
#include "tests/insn/case.h"

#include <string.h>

u64 rng_next(struct rng *r)
{
    r->s += 0x9e3779b97f4a7c15ull;
    u64 z = r->s;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

void state_roles(u64 seed, struct roles *r)
{
    struct rng g = {seed ^ 0x726f6c6573};
    u32 used = BIT(RSP);
    r->string = rng_below(&g, 4) == 0;
    unsigned n = 0;
    if (r->string) {
        r->pointer[n++] = RSI;
        r->pointer[n++] = RDI;
        r->index = RCX;
        used |= BIT(RSI) | BIT(RDI) | BIT(RCX);
    }
    for (; n < 4; n++) {
        if (n == 3 && r->string)
            break;
        unsigned reg;
        do
            reg = (unsigned)rng_below(&g, GPR_COUNT);
        while (used & BIT(reg));
        used |= BIT(reg);
        if (n == 3)
            r->index = (u8)reg;
        else
            r->pointer[n] = (u8)reg;
    }
}

static u64 pointer_value(struct rng *g)
{
    switch (rng_below(g, 8)) {
    case 0: return DATA_LA + PAGE_SIZE - rng_below(g, 72);
    case 1: return DATA_LA + 2 * PAGE_SIZE - rng_below(g, 72);
    case 2: return DATA_LA + rng_below(g, 64);
    case 3: return DATA_LA + 3 * PAGE_SIZE - 64 - rng_below(g, 64);
    case 4: return DATA_LA + rng_below(g, 2 * PAGE_SIZE);
    default: return DATA_LA + 256 + (rng_below(g, 2 * PAGE_SIZE - 512) & ~63ull);
    }
}

static u64 number_value(struct rng *g)
{
    u64 x = rng_next(g);
    switch (rng_below(g, 8)) {
    case 0: return 0;
    case 1: return x & 0xff;
    case 2: return -(x & 0xff);
    case 3: return x >> 32;
    case 4: return 1ull << (x & 63);
    case 5: return ((u64)1 << (x & 63)) - 1;
    default: return x;
    }
}

/* One 64-byte chunk of vector register or memory. */
static void chunk_fill(struct rng *g, u8 *out)
{
    static const u32 special32[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7fa00001, 0x00000001, 0x807fffff,
                                    0x00800000, 0x7f7fffff, 0x80000000, 0x3f800000, 0,          0xbf800000};
    u64 kind = rng_below(g, 8);
    union {
        u64 q[8];
        u32 d[16];
        float f[16];
        double lf[8];
    } c;
    for (unsigned i = 0; i < 8; i++)
        c.q[i] = rng_next(g);
    switch (kind) {
    case 0:
        for (unsigned i = 0; i < 16; i++)
            c.f[i] = (float)(s32)c.d[i] / 65536.0f;
        break;
    case 1:
        for (unsigned i = 0; i < 8; i++)
            c.lf[i] = (double)(s64)c.q[i] / 4294967296.0;
        break;
    case 2:
        for (unsigned i = 0; i < 16; i++)
            c.d[i] &= 0x7f;
        break;
    case 3:
        for (unsigned i = 0; i < 8; i++)
            c.q[i] &= 0x3f;
        break;
    case 4:
        for (unsigned i = 0; i < 16; i++)
            if (c.d[i] & 1)
                c.d[i] = special32[c.d[i] % ARRAY_LEN(special32)];
        break;
    case 5:
        for (unsigned i = 0; i < 8; i++)
            c.q[i] = (c.q[i] & 3) == 0 ? 0 : (c.q[i] & 3) == 1 ? ~0ull : c.q[i];
        break;
    default: break;
    }
    memcpy(out, &c, 64);
}

static void vectors_fill(struct rng *g, struct vectors *v, u64 features)
{
    v->fcw = rng_below(g, 32) ? 0x37f : (u16)(0x40 | (rng_next(g) & 0xf3f));
    v->fsw = (u16)(rng_below(g, 8) << 11 | (rng_next(g) & 0x4700));
    v->ftw = (u8)rng_next(g);
    if (rng_below(g, 4) == 0)
        v->ftw = 0;
    for (unsigned i = 0; i < 8; i++) {
        u64 mantissa = rng_next(g), kind = rng_below(g, 8);
        u16 exponent = (u16)(0x3fff - 20 + rng_below(g, 40));
        if (kind == 0)
            exponent = 0x7fff;
        else if (kind == 1)
            exponent = (u16)rng_next(g) & 0x7fff;
        else if (kind == 2)
            exponent = 0;
        if (kind != 1)
            mantissa |= exponent ? BIT64(63) : 0;
        if (kind == 2 && (mantissa & 1))
            mantissa = 0;
        if (kind == 0 && (mantissa & 1))
            mantissa = BIT64(63);
        exponent |= (u16)(rng_next(g) << 15);
        memcpy(v->st[i], &mantissa, 8);
        memcpy(v->st[i] + 8, &exponent, 2);
    }
    v->mxcsr = rng_below(g, 8) ? 0x1f80 : (u32)(rng_next(g) & 0xffc0);
    u8 scratch[64];
    for (unsigned i = 0; i < 32; i++) {
        chunk_fill(g, scratch);
        unsigned width = features & XCR0_ZMM_HI256 ? 64 : features & XCR0_AVX ? 32 : 16;
        if (i < 16 || (features & XCR0_HI16_ZMM))
            memcpy(v->zmm[i], scratch, width);
    }
    for (unsigned i = 0; i < 8; i++) {
        u64 x = rng_next(g);
        if (features & XCR0_OPMASK)
            v->k[i] = i & 1 ? x : x & rng_next(g) & 0xffff;
    }
}

void state_fill(const struct test_case *c, struct state *s, u64 features)
{
    struct rng g = {c->seed};
    struct roles r;
    state_roles(c->seed, &r);
    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < GPR_COUNT; i++)
        s->gpr[i] = rng_below(&g, 4) == 0 ? pointer_value(&g) : number_value(&g);
    for (unsigned i = 0; i < 3; i++)
        s->gpr[r.pointer[i]] = pointer_value(&g);
    s->gpr[r.index] = r.string ? rng_below(&g, 24) : rng_below(&g, 33) - 16;
    if (r.string && rng_below(&g, 16) == 0)
        s->gpr[RCX] = rng_below(&g, 6000);
    s->gpr[RSP] = STACK_LA + (rng_below(&g, 16) ? PAGE_SIZE / 2 + 8 * rng_below(&g, 32) : rng_below(&g, PAGE_SIZE));
    s->rip = CODE_LA + c->start;
    s->rflags = FLAG_ONE | FLAG_IF | (rng_next(&g) & FLAGS_ARITH);
    if (rng_below(&g, r.string ? 3 : 16) == 0)
        s->rflags |= FLAG_DF;
    if (rng_below(&g, 64) == 0)
        s->rflags |= FLAG_AC;
    s->fs_base = DATA_LA + rng_below(&g, PAGE_SIZE);
    s->gs_base = DATA_LA + rng_below(&g, PAGE_SIZE);
    vectors_fill(&g, &s->vec, features);
}

void case_memory(u64 seed, u8 memory[MEMORY_SIZE])
{
    struct rng g = {seed ^ 0x6d656d6f7279};
    for (unsigned i = 0; i < MEMORY_SIZE; i += 64)
        chunk_fill(&g, memory + i);
}

unsigned case_bytes(const struct test_case *c, u8 *out)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->units; i++) {
        memcpy(out + n, c->code[i], c->len[i]);
        n += c->len[i];
    }
    memset(out + n, 0xcc, 16);
    return n + 16;
}
