#include "cpu/insn/ops.h"
#include "unit/test.h"
#include "unit/vector_state.h"

#define AT 0x20000u
#define UNMAPPED 0x7f000000

/* Bytes of a 64-byte register in an XSAVE image. */
static void put(struct image *r, unsigned n, const void *data)
{
    const u8 *p = data;
    if (n < 16) {
        memcpy(r->b + 160 + n * 16, p, 16);
        memcpy(r->b + core_features.xstate[2].offset + n * 16, p + 16, 16);
        if (host_mask & XCR0_AVX512)
            memcpy(r->b + core_features.xstate[6].offset + n * 32, p + 32, 32);
    } else {
        memcpy(r->b + core_features.xstate[7].offset + (n - 16) * 64, p, 64);
    }
}

static void get(const struct image *r, unsigned n, void *data)
{
    u8 *p = data;
    memset(p, 0, 64);
    if (n < 16) {
        memcpy(p, r->b + 160 + n * 16, 16);
        memcpy(p + 16, r->b + core_features.xstate[2].offset + n * 16, 16);
        if (host_mask & XCR0_AVX512)
            memcpy(p + 32, r->b + core_features.xstate[6].offset + n * 32, 32);
    } else {
        memcpy(p, r->b + core_features.xstate[7].offset + (n - 16) * 64, 64);
    }
}

static void clear(void)
{
    memset(&before, 0, sizeof(before));
    before.b[0] = 0x7f, before.b[1] = 0x03;
    before.b[24] = 0x80, before.b[25] = 0x1f;
    memcpy(before.b + 512, &host_mask, 8);
}

static void opmask(unsigned n, u64 value)
{
    memcpy(before.b + core_features.xstate[5].offset + n * 8, &value, 8);
}

static u64 opmask_after(unsigned n)
{
    u64 value;
    memcpy(&value, after.b + core_features.xstate[5].offset + n * 8, 8);
    return value;
}

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
    return in;
}

static void test_avx2(void)
{
    u32 index[16] = {3, 0, (u32)-1, 5, 2, 9, 1, 7}, mask[16] = {0}, old[16], got[16];

    TEST("VPGATHERDD ymm1, [rax + ymm2 * 4], ymm3");
    struct insn in = insn("\xc4\xe2\x65\x90\x0c\x90", 6, 1, 4, 32);
    in.opcode = 0x90;
    in.vvvv = 3;
    clear();
    for (unsigned i = 0; i < 16; i++)
        old[i] = 0x11111111 * i;
    for (unsigned i = 0; i < 8; i++)
        mask[i] = i == 1 || i == 6 ? 0x7fffffff : 0x80000000;
    put(&before, 1, old);
    put(&before, 2, index);
    put(&before, 3, mask);
    CHECK_EQ(run_handler(op_gather, &in), CPU_OK);
    get(&after, 1, got);
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(got[i], i == 1 || i == 6 ? old[i] : 0xabc00000 + index[i] * 4);
    CHECK_EQ(got[8], 0);
    get(&after, 3, got);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(got[i], 0);

    TEST("a gather that faults keeps the elements below");
    index[4] = UNMAPPED;
    put(&before, 2, index);
    CHECK_EQ(run_handler(op_gather, &in), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_PF);
    CHECK_EQ(v->fault.payload, AT + UNMAPPED * 4ull);
    get(&after, 1, got);
    CHECK_EQ(got[3], 0xabc00000 + 20);
    CHECK_EQ(got[4], old[4]);
    get(&after, 3, got);
    CHECK_EQ(got[3], 0);
    CHECK_EQ(got[4], ~0u);
    CHECK_EQ(got[6], 0);
    CHECK_EQ(got[7], ~0u);

    TEST("VPGATHERQD xmm1, [rax + ymm2 * 1], xmm3 fills half");
    u64 wide[8] = {8, 4, (u64)-4, 16};
    in = insn("\xc4\xe2\x65\x91\x0c\x10", 6, 1, 1, 32);
    in.opcode = 0x91;
    in.vvvv = 3;
    memset(mask, 0xff, sizeof(mask));
    put(&before, 2, wide);
    put(&before, 3, mask);
    CHECK_EQ(run_handler(op_gather, &in), CPU_OK);
    get(&after, 1, got);
    CHECK(got[0] == 0xabc00008 && got[1] == 0xabc00004 && got[2] == 0xabbffffc && got[3] == 0xabc00010);
    CHECK_EQ(got[4], 0);

    TEST("registers of a gather must differ");
    in.vvvv = 1;
    CHECK_EQ(run_handler(op_gather, &in), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_UD);
}

static void test_avx512(void)
{
    u32 index[16], data[16], got[16];
    u64 wide[8];

    TEST("VPGATHERDQ zmm17{k1}, [rax + ymm18 * 8]");
    struct insn in = insn("\x62\xe2\xfd\x41\x90\x0c\xd0", 7, 17, 8, 64);
    in.opcode = 0x90;
    in.evex = true;
    in.evex_mask = 1;
    clear();
    for (unsigned i = 0; i < 16; i++)
        index[i] = i * 3;
    memset(data, 0x5a, sizeof(data));
    put(&before, 17, data);
    put(&before, 18, index);
    opmask(1, 0xffa5);
    CHECK_EQ(run_handler(op_gather, &in), CPU_OK);
    get(&after, 17, wide);
    for (unsigned i = 0; i < 8; i++) {
        u64 expect = 0xabc00000 + i * 24;
        expect |= (expect + 4) << 32;
        CHECK_EQ(wide[i], 0xa5 >> i & 1 ? expect : 0x5a5a5a5a5a5a5a5a);
    }
    CHECK_EQ(opmask_after(1), 0);

    TEST("VPSCATTERDD [rax + zmm2 * 4]{k1}, zmm1: later elements win, a fault keeps the earlier");
    in = insn("\x62\xf2\x7d\x49\xa0\x0c\x90", 7, 1, 4, 64);
    in.opcode = 0xa0;
    in.evex = true;
    in.evex_mask = 1;
    clear();
    for (unsigned i = 0; i < 16; i++)
        data[i] = 0x100 + i, index[i] = 100 + i / 2;
    put(&before, 1, data);
    put(&before, 2, index);
    opmask(1, 0x7fff);
    CHECK_EQ(run_handler(op_scatter, &in), CPU_OK);
    memcpy(got, ram + AT + 400, 32);
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(got[i], i == 7 ? 0x10e : 0x101 + 2 * i);
    CHECK_EQ(opmask_after(1), 0);
    index[9] = UNMAPPED;
    put(&before, 2, index);
    CHECK_EQ(run_handler(op_scatter, &in), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_PF);
    CHECK_EQ(opmask_after(1), 0x7e00);
    in.evex_mask = 0;
    CHECK_EQ(run_handler(op_scatter, &in), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_UD);
}

static void test_maskmov(void)
{
    u8 data[64], mask[64] = {0};
    for (unsigned i = 0; i < 64; i++)
        data[i] = (u8)(i + 1);

    TEST("MASKMOVDQU writes the selected bytes and touches no page for the others");
    struct insn in = {.reg = 1, .rm = 2, .prefixes = PREFIX_66, .asz = 8, .len = 4, .bytes = {0x66, 0x0f, 0xf7, 0xca}};
    clear();
    mask[0] = mask[1] = mask[5] = mask[15] = 0x80;
    put(&before, 1, data);
    put(&before, 2, mask);
    memset(ram + AT, 0, 64);
    v->gpr[RDI] = AT;
    CHECK_EQ(run_handler(op_maskmov, &in), CPU_OK);
    CHECK(ram[AT] == 1 && ram[AT + 1] == 2 && ram[AT + 2] == 0 && ram[AT + 5] == 6 && ram[AT + 15] == 16);
    v->gpr[RDI] = 0x40000000 - 15;
    CHECK_EQ(run_handler(op_maskmov, &in), CPU_FAULT);
    CHECK_EQ(v->fault.payload, 0x40000000);

    TEST("MASKMOVQ");
    in.prefixes = 0;
    before.b[4] = 0xff;
    memcpy(before.b + 32 + 16, data, 8);
    memcpy(before.b + 32 + 32, mask, 8);
    v->gpr[RDI] = AT + 32;
    CHECK_EQ(run_handler(op_maskmov, &in), CPU_OK);
    CHECK(ram[AT + 32] == 1 && ram[AT + 33] == 2 && ram[AT + 34] == 0 && ram[AT + 37] == 6 && ram[AT + 47] == 0);
}

int main(void)
{
    vector_state_create();
    core_mode64(v);
    v->gpr[RAX] = AT;
    for (u32 i = 0; i < 1024; i++) {
        u32 word = 0xabc00000 + (i - 16) * 4;
        memcpy(ram + AT - 64 + i * 4, &word, 4);
    }
    if (features_have(&core_features, FEATURE_AVX2))
        test_avx2();
    if (features_have(&core_features, FEATURE_AVX512F))
        test_avx512();
    test_maskmov();
    return TEST_END();
}
