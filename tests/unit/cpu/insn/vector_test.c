/*
 * Gathers, scatters and MASKMOV: which elements move, what a fault in the middle leaves.
 */
#include "cpu/insn/ops.h"
#include "unit/test.h"
#include "unit/vector_state.h"
#include "x86/encoding.h"

#define AT 0x20000u           /* the words around it say where they are: */
#define WORD_AT_0 0xabc00000u /* at AT; the next one's is 4 more */
#define WORDS 1024            /* 16 of them before AT */
#define UNMAPPED 0x7f000000
#define END_OF_MAPPED 0x40000000 /* of core_mode64 */
#define MASK_BIT 0x80

enum { XMM_SIZE = 16, YMM_SIZE = 32, ZMM_SIZE = 64, LOW_REGISTERS = 16 };

/* Where a component of an XSAVE image has its part, of `size` bytes, of register `n`. */
static u8 *part(struct xstate_image *m, unsigned component, unsigned size, unsigned n)
{
    u32 base = component == XSTATE_SSE ? FXSAVE_XMM : core_features.xstate[component].offset;
    return m->b + base + n * size;
}

/* The bytes of a 64-byte register between an XSAVE image and `data`, in the direction that `copy` says. */
static void move(struct xstate_image *m, unsigned n, u8 *data, void (*copy)(u8 *in_image, u8 *data, unsigned size))
{
    if (n >= LOW_REGISTERS) {
        copy(part(m, XSTATE_HI16_ZMM, ZMM_SIZE, n - LOW_REGISTERS), data, ZMM_SIZE);
        return;
    }
    copy(part(m, XSTATE_SSE, XMM_SIZE, n), data, XMM_SIZE);
    copy(part(m, XSTATE_AVX, YMM_SIZE - XMM_SIZE, n), data + XMM_SIZE, YMM_SIZE - XMM_SIZE);
    if (host_mask & XCR0_AVX512)
        copy(part(m, XSTATE_ZMM_HI256, ZMM_SIZE - YMM_SIZE, n), data + YMM_SIZE, ZMM_SIZE - YMM_SIZE);
}

static void to_image(u8 *in_image, u8 *data, unsigned size)
{
    memcpy(in_image, data, size);
}

static void from_image(u8 *in_image, u8 *data, unsigned size)
{
    memcpy(data, in_image, size);
}

static void put(unsigned n, const void *data)
{
    u8 copy[ZMM_SIZE];
    memcpy(copy, data, sizeof(copy));
    move(&before, n, copy, to_image);
}

static void get(unsigned n, void *data)
{
    memset(data, 0, ZMM_SIZE);
    move(&after, n, data, from_image);
}

static void opmask(unsigned n, u64 value)
{
    memcpy(part(&before, XSTATE_OPMASK, 8, n), &value, 8);
}

static u64 opmask_after(unsigned n)
{
    u64 value;
    memcpy(&value, part(&after, XSTATE_OPMASK, 8, n), 8);
    return value;
}

/* A new vCPU in 64-bit mode with the words in its memory and their address in RAX. */
static void create(void)
{
    vector_state_create();
    core_mode64(v);
    v->gpr[RAX] = AT;
    for (u32 i = 0; i < WORDS; i++) {
        u32 word = WORD_AT_0 + (i - 16) * 4;
        memcpy(ram + AT - 64 + i * 4, &word, 4);
    }
}

/* An instruction with VSIB, as the decoder gives it: RAX is the base; the rest is in its bytes or said here. */
static struct insn insn(const char *bytes, unsigned len, unsigned reg, unsigned scale, unsigned vl)
{
    struct insn in = {.mem = true,
                      .base = RAX,
                      .index = REG_NONE,
                      .scale = (u8)scale,
                      .asz = 8,
                      .osz = 4,
                      .seg = SEG_DS,
                      .reg = (u8)reg,
                      .vl = (u8)vl,
                      .len = (u8)len};
    memcpy(in.bytes, bytes, len);
    in.evex = in.bytes[0] == BYTE_EVEX;
    in.opcode = in.bytes[in.evex ? 4 : 3];
    if (in.evex)
        in.evex_mask = in.bytes[3] & EVEX_MASK;
    else
        in.vvvv = (u8)(~in.bytes[2] & VEX_VVVV) >> VEX_VVVV_SHIFT;
    return in;
}

enum { RESULT = 1, INDICES = 2, MASK = 3 }; /* registers of AVX2's instructions here */

/* VPGATHERDD ymm1, [rax + ymm2 * 4], ymm3 */
static struct insn vpgatherdd(void)
{
    return insn("\xc4\xe2\x65\x90\x0c\x90", 6, RESULT, 4, YMM_SIZE);
}

static bool selected(unsigned i)
{
    return i != 1 && i != 6;
}

/* The registers of that instruction: `index`, what RESULT was, and a mask for what is selected. */
static void put_gather(const u32 *index, u32 *old)
{
    u32 mask[16] = {0};
    for (unsigned i = 0; i < 16; i++)
        old[i] = 0x11111111 * i;
    for (unsigned i = 0; i < 8; i++)
        mask[i] = selected(i) ? 0x80000000 : 0x7fffffff;
    put(RESULT, old);
    put(INDICES, index);
    put(MASK, mask);
}

static void test_avx2(void)
{
    u32 index[16] = {3, 0, (u32)-1, 5, 2, 9, 1, 7}, mask[16], old[16], got[16];

    TEST("VPGATHERDD ymm1, [rax + ymm2 * 4], ymm3");
    create();
    struct insn in = vpgatherdd();
    put_gather(index, old);
    CHECK_EQ(run_handler(op_gather, &in), CPU_OK);
    get(RESULT, got);
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(got[i], selected(i) ? WORD_AT_0 + index[i] * 4 : old[i]);
    CHECK_EQ(got[8], 0);
    get(MASK, got);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(got[i], 0);

    TEST("a gather that faults keeps the elements below");
    create();
    index[4] = UNMAPPED;
    put_gather(index, old);
    CHECK_EQ(run_handler(op_gather, &in), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_PF);
    CHECK_EQ(v->fault.payload, AT + UNMAPPED * 4ull);
    get(RESULT, got);
    CHECK_EQ(got[3], WORD_AT_0 + index[3] * 4);
    CHECK_EQ(got[4], old[4]);
    get(MASK, got);
    CHECK_EQ(got[3], 0);
    CHECK_EQ(got[4], ~0u);
    CHECK_EQ(got[6], 0);
    CHECK_EQ(got[7], ~0u);

    TEST("VPGATHERQD xmm1, [rax + ymm2 * 1], xmm3 fills half");
    create();
    u64 wide[8] = {8, 4, (u64)-4, 16};
    in = insn("\xc4\xe2\x65\x91\x0c\x10", 6, RESULT, 1, YMM_SIZE);
    memset(mask, 0xff, sizeof(mask));
    put(INDICES, wide);
    put(MASK, mask);
    CHECK_EQ(run_handler(op_gather, &in), CPU_OK);
    get(RESULT, got);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(got[i], (u32)(WORD_AT_0 + wide[i]));
    CHECK_EQ(got[4], 0);

    TEST("registers of a gather must differ");
    create();
    in = vpgatherdd();
    in.vvvv = RESULT;
    CHECK_EQ(run_handler(op_gather, &in), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_UD);
}

static void test_avx512(void)
{
    enum { FAR_RESULT = 17, FAR_INDICES = 18, K = 1 };
    u32 index[16], data[16], got[16];
    u64 wide[8];

    TEST("VPGATHERDQ zmm17{k1}, [rax + ymm18 * 8]");
    create();
    struct insn in = insn("\x62\xe2\xfd\x41\x90\x0c\xd0", 7, FAR_RESULT, 8, ZMM_SIZE);
    const u64 mask = 0xa5;
    for (unsigned i = 0; i < 16; i++)
        index[i] = i * 3;
    memset(data, 0x5a, sizeof(data));
    put(FAR_RESULT, data);
    put(FAR_INDICES, index);
    opmask(K, 0xff00 | mask);
    CHECK_EQ(run_handler(op_gather, &in), CPU_OK);
    get(FAR_RESULT, wide);
    for (unsigned i = 0; i < 8; i++) {
        u64 expect = WORD_AT_0 + index[i] * 8;
        expect |= (expect + 4) << 32;
        CHECK_EQ(wide[i], mask >> i & 1 ? expect : 0x5a5a5a5a5a5a5a5a);
    }
    CHECK_EQ(opmask_after(K), 0);

    TEST("VPSCATTERDD [rax + zmm2 * 4]{k1}, zmm1: later elements win");
    create();
    in = insn("\x62\xf2\x7d\x49\xa0\x0c\x90", 7, RESULT, 4, ZMM_SIZE);
    for (unsigned i = 0; i < 16; i++)
        data[i] = 0x100 + i, index[i] = 100 + i / 2;
    put(RESULT, data);
    put(INDICES, index);
    opmask(K, 0x7fff);
    CHECK_EQ(run_handler(op_scatter, &in), CPU_OK);
    memcpy(got, ram + AT + 4 * index[0], 32);
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(got[i], data[i == 7 ? 14 : 2 * i + 1]);
    CHECK_EQ(opmask_after(K), 0);

    TEST("a scatter that faults keeps the earlier elements");
    create();
    index[9] = UNMAPPED;
    put(RESULT, data);
    put(INDICES, index);
    opmask(K, 0x7fff);
    CHECK_EQ(run_handler(op_scatter, &in), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_PF);
    CHECK_EQ(opmask_after(K), 0x7fff & ~(BIT(9) - 1));

    TEST("a scatter needs a mask");
    create();
    in.evex_mask = 0;
    CHECK_EQ(run_handler(op_scatter, &in), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_UD);
}

static void test_maskmov(void)
{
    enum { DATA = 1, SELECT = 2 };
    u8 data[ZMM_SIZE], mask[ZMM_SIZE] = {[0] = MASK_BIT, [1] = MASK_BIT, [5] = MASK_BIT, [15] = MASK_BIT};
    for (unsigned i = 0; i < ZMM_SIZE; i++)
        data[i] = (u8)(i + 1);

    TEST("MASKMOVDQU writes the selected bytes and touches no page for the others");
    create();
    struct insn in = {.reg = DATA,
                      .rm = SELECT,
                      .prefixes = PREFIX_66,
                      .asz = 8,
                      .len = 4,
                      .bytes = {BYTE_OPERAND_SIZE, BYTE_ESCAPE, 0xf7, 0xca}};
    u8 *to = ram + AT;
    put(DATA, data);
    put(SELECT, mask);
    memset(to, 0, ZMM_SIZE);
    v->gpr[RDI] = AT;
    CHECK_EQ(run_handler(op_maskmov, &in), CPU_OK);
    for (unsigned i = 0; i < ZMM_SIZE; i++)
        CHECK_EQ(to[i], mask[i] ? data[i] : 0);
    v->gpr[RDI] = END_OF_MAPPED - 15;
    CHECK_EQ(run_handler(op_maskmov, &in), CPU_FAULT);
    CHECK_EQ(v->fault.payload, END_OF_MAPPED);

    TEST("MASKMOVQ");
    create();
    in.prefixes = 0;
    to = ram + AT;
    before.b[FXSAVE_FTW] = 0xff;
    memcpy(before.b + FXSAVE_ST + DATA * 16, data, 8);
    memcpy(before.b + FXSAVE_ST + SELECT * 16, mask, 8);
    memset(to, 0, ZMM_SIZE);
    v->gpr[RDI] = AT;
    CHECK_EQ(run_handler(op_maskmov, &in), CPU_OK);
    for (unsigned i = 0; i < ZMM_SIZE; i++)
        CHECK_EQ(to[i], i < 8 && mask[i] ? data[i] : 0);
}

int main(void)
{
    create();
    if (features_have(&core_features, FEATURE_AVX2))
        test_avx2();
    if (features_have(&core_features, FEATURE_AVX512F))
        test_avx512();
    test_maskmov();
    return TEST_END();
}
