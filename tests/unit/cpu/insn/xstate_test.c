#include "cpu/insn/ops.h"
#include "cpu/insn/xstate.h"
#include "unit/test.h"
#include "unit/vector_state.h"

#define AT 0x10000u

static enum outcome run(insn_fn fn, u8 rex, u8 osz, u64 mask)
{
    struct insn in = {.mem = true,
                      .base = REG_NONE,
                      .index = REG_NONE,
                      .scale = 1,
                      .disp = AT,
                      .asz = 8,
                      .osz = osz,
                      .rex = rex,
                      .seg = SEG_DS,
                      .len = 3};
    v->gpr[RAX] = (u32)mask;
    v->gpr[RDX] = mask >> 32;
    return run_handler(fn, &in);
}

static bool faults(insn_fn fn, u64 mask, u8 vector)
{
    return run(fn, 0, 4, mask) == CPU_FAULT && v->fault.vector == vector;
}

static u64 q(const void *p)
{
    u64 x;
    memcpy(&x, p, 8);
    return x;
}

static u32 d(const void *p)
{
    return (u32)q(p);
}

static void set64(void *p, u64 x)
{
    memcpy(p, &x, 8);
}

/* Every register distinct: x87 with one value pushed, XMM and YMM filled. */
static void fill(void)
{
    memset(&before, 0, sizeof(before));
    before.b[0] = 0x7f, before.b[1] = 0x03;
    before.b[3] = 0x38; /* TOP = 7 */
    before.b[4] = 0x80; /* ST(0) in use */
    set64(before.b + 8, 0x1234);
    set64(before.b + 16, 0x5678);
    set64(before.b + 24, 0x1fa0);
    set64(before.b + 32, 0x8000000000000001);
    set64(before.b + 40, 0x3fff);
    for (unsigned i = 0; i < 256; i++)
        before.b[160 + i] = (u8)(i + 1);
    for (unsigned i = 2; i < 8; i++) {
        struct xstate_component *c = &core_features.xstate[i];
        if (host_mask & BIT64(i))
            for (unsigned k = 0; k < c->size; k++)
                before.b[c->offset + k] = (u8)(i * 16 + k);
    }
    set64(before.b + 512, host_mask);
}

static enum outcome do_nothing(struct vcpu *cpu, const struct insn *in)
{
    return CPU_OK;
}

/* Saving keeps x87 pointers on Intel's CPUs; on AMD's only while an exception is pending, zeros otherwise. */
static bool pointers_kept;

static u64 saved(u64 pointer)
{
    return pointers_kept ? pointer : 0;
}

static void test_fxsave(void)
{
    TEST("FXSAVE and FXRSTOR in 64-bit mode");
    core_mode64(v);
    fill();
    memset(ram + AT, 0xcc, 4096);
    CHECK_EQ(run(op_fxsave, 0x48, 8, 0), CPU_OK);
    CHECK(!memcmp(ram + AT, before.b, 8));
    CHECK(!memcmp(ram + AT + 32, before.b + 32, 16));
    CHECK(!memcmp(ram + AT + 160, before.b + 160, 256));
    CHECK_EQ(d(ram + AT + 24), 0x1fa0);
    CHECK_EQ(d(ram + AT + 28), core_features.mxcsr_mask);
    CHECK_EQ(ram[AT + 464], 0xcc);
    CHECK_EQ(q(ram + AT + 8), 0);
    CHECK_EQ(q(ram + AT + 16), 0);
    set64(ram + AT + 8, 0x123456789a);
    set64(ram + AT + 16, 0x987654321);
    memset(ram + AT + 160, 0x77, 256);
    CHECK_EQ(run(op_fxrstor, 0x48, 8, 0), CPU_OK);
    CHECK_EQ(q(after.b + 8), saved(0x123456789a));
    CHECK(!memcmp(after.b + 160, ram + AT + 160, 256));
    before = after;
    memset(ram + AT, 0, 512);
    CHECK_EQ(run(op_fxsave, 0x48, 8, 0), CPU_OK);
    CHECK_EQ(q(ram + AT + 8), saved(0x123456789a));
    CHECK_EQ(q(ram + AT + 16), saved(0x987654321));
    CHECK_EQ(run(op_fxsave, 0, 4, 0), CPU_OK);
    CHECK_EQ(q(ram + AT + 8), saved(0x3456789a));

    TEST("FXSAVE and FXRSTOR outside 64-bit mode leave XMM8-15 alone");
    core_mode32(v);
    fill();
    memset(ram + AT, 0xcc, 512);
    CHECK_EQ(run(op_fxsave, 0, 4, 0), CPU_OK);
    CHECK_EQ(ram[AT + 287], 128);
    CHECK_EQ(ram[AT + 288], 0xcc);
    memset(ram + AT + 160, 0x55, 256);
    CHECK_EQ(run(op_fxrstor, 0, 4, 0), CPU_OK);
    CHECK_EQ(after.b[160], 0x55);
    CHECK_EQ(after.b[288], 129);

    TEST("FXSAVE and FXRSTOR faults");
    set64(ram + AT + 24, 0x80001f80);
    CHECK(faults(op_fxrstor, 0, EXC_GP));
    v->cr0 |= CR0_TS;
    CHECK(faults(op_fxsave, 0, EXC_NM));
    v->cr0 ^= CR0_TS | CR0_EM;
    CHECK(faults(op_fxrstor, 0, EXC_NM));
    v->cr0 &= ~CR0_EM;
    v->seg[SEG_DS].base = 8;
    CHECK(faults(op_fxsave, 0, EXC_GP));
    v->seg[SEG_DS].base = 0;
    v->cr4 &= ~CR4_OSFXSR;
    memset(ram + AT, 0xcc, 512);
    CHECK_EQ(run(op_fxsave, 0, 4, 0), CPU_OK);
    CHECK_EQ(ram[AT + 160], 0xcc);
}

static void test_xsave(void)
{
    u64 all = v->xcr0;
    TEST("XSAVE and XRSTOR, standard format");
    core_mode64(v);
    fill();
    v->pkru = 0x55;
    memset(ram + AT, 0xcc, 4096);
    memset(ram + AT + 512, 0, 64);
    set64(ram + AT + 512, 1ull << 62);
    CHECK_EQ(run(op_xsave, 0x48, 8, ~0ull), CPU_OK);
    CHECK_EQ(q(ram + AT + 512), all | 1ull << 62);
    CHECK(!memcmp(ram + AT + 160, before.b + 160, 256));
    for (unsigned i = 2; i < 8; i++)
        if (all & BIT64(i))
            CHECK(!memcmp(ram + AT + core_features.xstate[i].offset, before.b + core_features.xstate[i].offset,
                          core_features.xstate[i].size));
    if (all & XCR0_PKRU)
        CHECK_EQ(q(ram + AT + core_features.xstate[9].offset), 0x55);
    set64(ram + AT + 512, all);
    memset(&before, 0, sizeof(before));
    v->pkru = 0;
    CHECK_EQ(run(op_xrstor, 0x48, 8, ~0ull), CPU_OK);
    CHECK_EQ(v->pkru, all & XCR0_PKRU ? 0x55 : 0);
    struct image got = after;
    fill();
    CHECK(!memcmp(got.b + 160, before.b + 160, 256));
    CHECK(!memcmp(got.b + 32, before.b + 32, 16));
    CHECK_EQ(d(got.b + 24), 0x1fa0);
    for (unsigned i = 2; i < 8; i++)
        if (all & BIT64(i))
            CHECK(!memcmp(got.b + core_features.xstate[i].offset, before.b + core_features.xstate[i].offset,
                          core_features.xstate[i].size));

    TEST("XRSTOR initializes what XSTATE_BV lacks and leaves what the mask lacks");
    set64(ram + AT + 512, 0);
    CHECK_EQ(run(op_xrstor, 0x48, 8, XCR0_SSE), CPU_OK);
    CHECK_EQ(q(after.b + 160), 0);
    CHECK_EQ(d(after.b + 24), 0x1fa0);
    CHECK_EQ(after.b[4], 0x80);
    if (all & XCR0_AVX)
        CHECK_EQ(after.b[core_features.xstate[2].offset + 1], 33);

    TEST("XSAVEOPT writes XSTATE_BV for unused components");
    memset(&before, 0, sizeof(before));
    set64(before.b, 0x37f);
    set64(before.b + 24, 0x1f80);
    set64(before.b + 160, 1);
    set64(before.b + 512, XCR0_SSE);
    set64(ram + AT + 512, all);
    v->pkru = 0;
    CHECK_EQ(run(op_xsaveopt, 0x48, 8, ~0ull & ~XCR0_X87), CPU_OK);
    CHECK_EQ(q(ram + AT + 512), XCR0_SSE | XCR0_X87);

    TEST("XSAVEC and XRSTOR, compacted format");
    fill();
    v->pkru = 3;
    memset(ram + AT, 0xcc, 4096);
    CHECK_EQ(run(op_xsavec, 0x48, 8, XCR0_SSE | XCR0_PKRU), CPU_OK);
    CHECK_EQ(q(ram + AT + 512), (XCR0_SSE | XCR0_PKRU) & all);
    CHECK_EQ(q(ram + AT + 520), ((XCR0_SSE | XCR0_PKRU) & all) | 1ull << 63);
    CHECK_EQ(ram[AT + 528], 0xcc);
    CHECK_EQ(ram[AT], 0xcc);
    if (all & XCR0_PKRU)
        CHECK_EQ(q(ram + AT + 576), 3);
    memset(ram + AT + 528, 0, 48);
    memset(ram + AT + 160, 0x99, 256);
    v->pkru = 0;
    CHECK_EQ(run(op_xrstor, 0x48, 8, ~0ull), CPU_OK);
    CHECK_EQ(after.b[160], 0x99);
    CHECK_EQ(after.b[4], 0);
    if (all & XCR0_PKRU)
        CHECK_EQ(v->pkru, 3);
    set64(ram + AT + 512, 0);
    CHECK_EQ(run(op_xrstor, 0x48, 8, XCR0_SSE), CPU_OK);
    CHECK_EQ(d(after.b + 24), 0x1f80);

    TEST("header rules");
    memset(ram + AT + 512, 0, 64);
    set64(ram + AT + 512, BIT64(8));
    CHECK(faults(op_xrstor, ~0ull, EXC_GP));
    set64(ram + AT + 512, 0);
    set64(ram + AT + 520, 1);
    CHECK(faults(op_xrstor, ~0ull, EXC_GP));
    set64(ram + AT + 520, 0);
    set64(ram + AT + 528, 1);
    CHECK(faults(op_xrstor, ~0ull, EXC_GP));
    set64(ram + AT + 528, 0);
    set64(ram + AT + 536, 1);
    CHECK_EQ(run(op_xrstor, 0, 4, ~0ull), CPU_OK);
    set64(ram + AT + 520, 1ull << 63 | XCR0_SSE);
    CHECK(faults(op_xrstor, ~0ull, EXC_GP));
    set64(ram + AT + 536, 0);
    CHECK_EQ(run(op_xrstor, 0, 4, ~0ull), CPU_OK);
    set64(ram + AT + 512, XCR0_X87);
    CHECK(faults(op_xrstor, ~0ull, EXC_GP));
    memset(ram + AT + 512, 0, 64);
    CHECK(faults(op_xrstors, ~0ull, EXC_GP));
    set64(ram + AT + 24, 0x10000);
    CHECK(faults(op_xrstor, XCR0_SSE, EXC_GP));
    CHECK_EQ(run(op_xrstor, 0, 4, XCR0_X87), CPU_OK);

    TEST("legality");
    v->cr4 &= ~CR4_OSXSAVE;
    CHECK(faults(op_xsave, 1, EXC_UD));
    CHECK(faults(op_xrstors, 1, EXC_UD));
    v->cr4 |= CR4_OSXSAVE;
    v->cr0 |= CR0_TS;
    CHECK(faults(op_xsave, 1, EXC_NM));
    v->cr0 &= ~CR0_TS;
    v->cpl = 3;
    CHECK(faults(op_xsaves, 1, EXC_GP));
    v->cpl = 0;

    TEST("outside 64-bit mode high registers are out of reach");
    core_mode32(v);
    fill();
    memset(ram + AT, 0x44, 4096);
    memset(ram + AT + 512, 0, 64);
    CHECK_EQ(run(op_xsave, 0, 4, ~0ull), CPU_OK);
    CHECK_EQ(ram[AT + 288], 0x44);
    memset(ram + AT + 512, 0, 64);
    set64(ram + AT + 24, 0x1f80);
    CHECK_EQ(run(op_xrstor, 0, 4, ~0ull), CPU_OK);
    CHECK_EQ(after.b[160], 0);
    CHECK_EQ(after.b[288], 129);
    if (all & XCR0_AVX512) {
        CHECK(!memcmp(after.b + core_features.xstate[7].offset, before.b + core_features.xstate[7].offset, 1024));
        CHECK_EQ(q(after.b + core_features.xstate[5].offset), 0);
    }
    core_mode64(v);
}

static void test_x87(void)
{
    TEST("FNSTENV and FLDENV, 32-bit protected format");
    core_mode64(v);
    fill();
    memset(ram + AT, 0xcc, 128);
    CHECK_EQ(run(op_fnstenv, 0, 4, 0), CPU_OK);
    CHECK_EQ(d(ram + AT) & 0xffff, 0x37f);
    CHECK_EQ(d(ram + AT + 4) & 0xffff, 0x3800);
    CHECK_EQ(d(ram + AT + 8) & 0xffff, 0x3fff);
    CHECK_EQ(d(ram + AT + 12), 0);
    CHECK_EQ(ram[AT + 28], 0xcc);
    set64(ram + AT + 12, 0x1111);
    set64(ram + AT + 20, 0x2222);
    CHECK_EQ(run(op_fldenv, 0, 4, 0), CPU_OK);
    CHECK_EQ(q(after.b + 8) & 0xffffffff, saved(0x1111));
    before = after;
    CHECK_EQ(run(op_fnstenv, 0, 4, 0), CPU_OK);
    CHECK_EQ(d(ram + AT + 12), saved(0x1111));
    CHECK_EQ(d(ram + AT + 20), saved(0x2222));

    TEST("FNSAVE initializes, FRSTOR brings it back");
    fill();
    CHECK_EQ(run(op_fnsave, 0, 4, 0), CPU_OK);
    CHECK_EQ(q(ram + AT + 28), 0x8000000000000001);
    CHECK_EQ(after.b[4], 0);
    before = after;
    CHECK_EQ(run(op_frstor, 0, 4, 0), CPU_OK);
    CHECK_EQ(after.b[4], 0x80);
    CHECK_EQ(q(after.b + 32), 0x8000000000000001);

    TEST("16-bit real format");
    v->cr0 = CR0_ET;
    v->cr4 = CR4_OSFXSR;
    v->efer = 0;
    core_flat(v, 0);
    mode_update(v);
    fill();
    v->fip_loaded = 0x12345;
    v->fdp_loaded = 0x6789a;
    set64(before.b + 8, 0x12345);
    set64(before.b + 16, 0x6789a);
    memset(ram + AT, 0xcc, 128);
    CHECK_EQ(run(op_fnsave, 0, 2, 0), CPU_OK);
    CHECK_EQ(q(ram + AT + 6) & 0xffffffff, saved(0x10002345));
    CHECK_EQ(q(ram + AT + 10) & 0xffffffff, saved(0x6000789a));
    CHECK_EQ(q(ram + AT + 14), 0x8000000000000001);
    CHECK_EQ(ram[AT + 94], 0xcc);
    before = after;
    CHECK_EQ(run(op_frstor, 0, 2, 0), CPU_OK);
    CHECK_EQ(d(after.b + 8), saved(0x12345));
    CHECK_EQ(d(after.b + 16), saved(0x6789a));

    TEST("a pending exception is taken by FLDENV");
    fill();
    before.b[0] = 0x7e; /* invalid operation unmasked */
    before.b[2] = 0x81;
    CHECK(faults(op_fldenv, 0, EXC_MF));
}

static void test_xcr0(void)
{
    TEST("XCR0");
    CHECK(!xstate_xcr0_valid(v, 0) && !xstate_xcr0_valid(v, XCR0_SSE) && xstate_xcr0_valid(v, XCR0_X87));
    CHECK(!xstate_xcr0_valid(v, XCR0_X87 | XCR0_AVX) && !xstate_xcr0_valid(v, BIT64(8) | 1));
    CHECK(!xstate_xcr0_valid(v, XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_OPMASK));
    CHECK(!xstate_xcr0_valid(v, XCR0_X87 | XCR0_SSE | XCR0_AVX512));
    CHECK(xstate_xcr0_valid(v, core_features.xcr0));

    TEST("area sizes");
    static const struct xstate_component c[XSTATE_COMPONENTS] = {
        {0, 160, false},   {160, 256, false},  {576, 256, false},   {0, 0, false}, {0, 0, false},
        {1088, 64, false}, {1152, 512, false}, {1664, 1024, false}, {0, 0, false}, {2688, 8, true}};
    CHECK_EQ(xstate_size(c, 3, false), 576);
    CHECK_EQ(xstate_size(c, 7, false), 832);
    CHECK_EQ(xstate_size(c, 0x2e7, false), 2696);
    CHECK_EQ(xstate_size(c, 0x207, true), 840);
    CHECK_EQ(xstate_size(c, 0x2e7, true), 576 + 256 + 64 + 512 + 1024 + 8);
    CHECK_EQ(xstate_size(c, 0x203, true), 584);
    CHECK_EQ(xstate_size(c, 0x203, false), 2696);
}

int main(void)
{
    vector_state_create();
    if (!features_have(&core_features, FEATURE_XSAVE)) {
        printf("# this host has no XSAVE\n");
        return TEST_END();
    }
    fill();
    run_handler(do_nothing, NULL);
    pointers_kept = q(after.b + 8);
    test_fxsave();
    test_xsave();
    test_x87();
    test_xcr0();
    return TEST_END();
}
