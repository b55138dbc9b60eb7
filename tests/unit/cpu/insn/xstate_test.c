/*
 * FXSAVE, the XSAVE family and the x87 environment: what of the registers in the host's hands is in the guest's image,
 * in which format, and who faults.
 */
#include "cpu/insn/ops.h"
#include "cpu/insn/xstate.h"
#include "unit/test.h"
#include "unit/vector_state.h"
#include "x86/encoding.h"

#define AT 0x10000u /* the image, in a 64-byte line of its own */
#define BEYOND 4096 /* more bytes than any image has */
#define EVERYTHING (~0ull)

/* What fill() makes of the registers. */
#define FIP 0x1234
#define FDP 0x5678
#define MXCSR (MXCSR_RESET | 0x20) /* precision exception seen */
#define FSW_TOP 0x3800             /* 7 */
#define FTW_ST0 0x80               /* register 7, which is ST(0), is in use */
#define ST0_MANTISSA 0x8000000000000001
#define ST0_EXPONENT 0x3fff
#define XMM_BYTE(i) ((u8)((i) + 1)) /* of all XMM registers one after another */
#define XMM8 128                    /* the first byte that is out of reach outside 64-bit mode */

#define UNUSED_BIT BIT64(62) /* of XSTATE_BV: no component */
#define BACKGROUND 0xcc

static u8 *image; /* in the guest's memory */
static bool is_64bit;

static enum outcome run_rex(insn_fn fn, u8 rex, u8 osz, u64 mask)
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

/* With the operand size that keeps the most: FXSAVE64 and so on where there is one. */
static enum outcome run(insn_fn fn, u64 mask)
{
    return is_64bit ? run_rex(fn, BYTE_REX | REX_W, 8, mask) : run_rex(fn, 0, 4, mask);
}

static bool faults(insn_fn fn, u64 mask, u8 vector)
{
    return run_rex(fn, 0, 4, mask) == CPU_FAULT && v->fault.vector == vector;
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

static u16 w(const void *p)
{
    return (u16)q(p);
}

static void set64(void *p, u64 x)
{
    memcpy(p, &x, 8);
}

static void set32(void *p, u32 x)
{
    memcpy(p, &x, 4);
}

static void set16(void *p, u16 x)
{
    memcpy(p, &x, 2);
}

/* Where component `i` lies in an image of the standard format. */
static u32 offset(unsigned i)
{
    return core_features.xstate[i].offset;
}

static u8 component_byte(unsigned i, unsigned k)
{
    return (u8)(i * 16 + k);
}

/* Every register distinct: x87 with one value pushed, XMM and YMM filled. */
static void fill(void)
{
    vector_state_clear();
    set16(before.b + FXSAVE_FSW, FSW_TOP);
    before.b[FXSAVE_FTW] = FTW_ST0;
    set64(before.b + FXSAVE_FIP, FIP);
    set64(before.b + FXSAVE_FDP, FDP);
    set32(before.b + FXSAVE_MXCSR, MXCSR);
    set64(before.b + FXSAVE_ST, ST0_MANTISSA);
    set64(before.b + FXSAVE_ST + 8, ST0_EXPONENT);
    for (unsigned i = 0; i < FXSAVE_XMM_SIZE; i++)
        before.b[FXSAVE_XMM + i] = XMM_BYTE(i);
    for (unsigned i = XSTATE_AVX; i <= XSTATE_HI16_ZMM; i++)
        if (host_mask & BIT64(i))
            for (unsigned k = 0; k < core_features.xstate[i].size; k++)
                before.b[offset(i) + k] = component_byte(i, k);
}

/* A new vCPU in 64-bit mode with filled registers, and a background where the image will be. */
static void create64(void)
{
    vector_state_create();
    core_mode64(v);
    is_64bit = true;
    fill();
    image = ram + AT;
    memset(image, BACKGROUND, BEYOND);
}

static void create32(void)
{
    create64();
    core_mode32(v);
    is_64bit = false;
}

/* A header of zeros. */
static void clear_header(void)
{
    memset(image + XSTATE_BV, 0, XSTATE_HEADER_SIZE);
}

static bool same_bytes(const u8 *a, const u8 *b, u32 at, u32 size)
{
    return !memcmp(a + at, b + at, size);
}

/* Two images have the same SSE registers and components from AVX on. */
static bool same_vectors(const u8 *a, const u8 *b, u64 mask)
{
    bool same = same_bytes(a, b, FXSAVE_XMM, FXSAVE_XMM_SIZE);
    for (unsigned i = XSTATE_AVX; i <= XSTATE_HI16_ZMM; i++)
        if (mask & BIT64(i))
            same &= same_bytes(a, b, offset(i), core_features.xstate[i].size);
    return same;
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
    const u64 fip = 0x123456789a, fdp = 0x987654321;
    TEST("FXSAVE in 64-bit mode: the registers, and no pointer of the host's");
    create64();
    CHECK_EQ(run(op_fxsave, 0), CPU_OK);
    CHECK(same_bytes(image, before.b, FXSAVE_FCW, FXSAVE_FIP));
    CHECK(same_bytes(image, before.b, FXSAVE_ST, 16));
    CHECK(same_bytes(image, before.b, FXSAVE_XMM, FXSAVE_XMM_SIZE));
    CHECK_EQ(d(image + FXSAVE_MXCSR), MXCSR);
    CHECK_EQ(d(image + FXSAVE_MXCSR_MASK), core_features.mxcsr_mask);
    CHECK_EQ(image[XSTATE_LEGACY_SIZE - 48], BACKGROUND); /* for software */
    CHECK_EQ(q(image + FXSAVE_FIP), 0);
    CHECK_EQ(q(image + FXSAVE_FDP), 0);

    TEST("FXRSTOR in 64-bit mode: pointers that the guest loaded are its own");
    set64(image + FXSAVE_FIP, fip);
    set64(image + FXSAVE_FDP, fdp);
    memset(image + FXSAVE_XMM, 0x77, FXSAVE_XMM_SIZE);
    CHECK_EQ(run(op_fxrstor, 0), CPU_OK);
    CHECK_EQ(q(after.b + FXSAVE_FIP), saved(fip));
    CHECK(same_bytes(after.b, image, FXSAVE_XMM, FXSAVE_XMM_SIZE));
    before = after;
    memset(image, 0, XSTATE_LEGACY_SIZE);
    CHECK_EQ(run(op_fxsave, 0), CPU_OK);
    CHECK_EQ(q(image + FXSAVE_FIP), saved(fip));
    CHECK_EQ(q(image + FXSAVE_FDP), saved(fdp));
    CHECK_EQ(run_rex(op_fxsave, 0, 4, 0), CPU_OK);
    CHECK_EQ(q(image + FXSAVE_FIP), saved((u32)fip));

    TEST("FXSAVE and FXRSTOR outside 64-bit mode leave XMM8-15 alone");
    create32();
    CHECK_EQ(run(op_fxsave, 0), CPU_OK);
    CHECK_EQ(image[FXSAVE_XMM + XMM8 - 1], XMM_BYTE(XMM8 - 1));
    CHECK_EQ(image[FXSAVE_XMM + XMM8], BACKGROUND);
    memset(image + FXSAVE_XMM, 0x55, FXSAVE_XMM_SIZE);
    CHECK_EQ(run(op_fxrstor, 0), CPU_OK);
    CHECK_EQ(after.b[FXSAVE_XMM], 0x55);
    CHECK_EQ(after.b[FXSAVE_XMM + XMM8], XMM_BYTE(XMM8));
}

static void test_fxsave_faults(void)
{
    TEST("FXRSTOR of reserved bits of MXCSR");
    create32();
    set32(image + FXSAVE_MXCSR, BIT(31) | MXCSR_RESET);
    CHECK(faults(op_fxrstor, 0, EXC_GP));

    TEST("FXSAVE and FXRSTOR with TS or EM");
    create32();
    v->cr0 |= CR0_TS;
    CHECK(faults(op_fxsave, 0, EXC_NM));
    v->cr0 ^= CR0_TS | CR0_EM;
    CHECK(faults(op_fxrstor, 0, EXC_NM));

    TEST("FXSAVE must be aligned at 16 bytes");
    create32();
    v->seg[SEG_DS].base = 8;
    CHECK(faults(op_fxsave, 0, EXC_GP));

    TEST("without CR4.OSFXSR FXSAVE leaves XMM registers out");
    create32();
    v->cr4 &= ~CR4_OSFXSR;
    CHECK_EQ(run(op_fxsave, 0), CPU_OK);
    CHECK_EQ(image[FXSAVE_XMM], BACKGROUND);
}

static void test_xsave(void)
{
    TEST("XSAVE, standard format");
    create64();
    const u64 all = v->xcr0;
    v->pkru = 0x55;
    clear_header();
    set64(image + XSTATE_BV, UNUSED_BIT);
    CHECK_EQ(run(op_xsave, EVERYTHING), CPU_OK);
    CHECK_EQ(q(image + XSTATE_BV), all | UNUSED_BIT);
    CHECK(same_vectors(image, before.b, all));
    if (all & XCR0_PKRU)
        CHECK_EQ(q(image + offset(XSTATE_PKRU)), 0x55);

    TEST("XRSTOR, standard format");
    const struct xstate_image filled = before;
    set64(image + XSTATE_BV, all);
    memset(&before, 0, sizeof(before));
    v->pkru = 0;
    CHECK_EQ(run(op_xrstor, EVERYTHING), CPU_OK);
    CHECK_EQ(v->pkru, all & XCR0_PKRU ? 0x55 : 0);
    CHECK(same_vectors(after.b, filled.b, all));
    CHECK(same_bytes(after.b, filled.b, FXSAVE_ST, 16));
    CHECK_EQ(d(after.b + FXSAVE_MXCSR), MXCSR);

    TEST("XRSTOR initializes what XSTATE_BV lacks and leaves what the mask lacks");
    create64();
    clear_header();
    set32(image + FXSAVE_MXCSR, MXCSR);
    CHECK_EQ(run(op_xrstor, XCR0_SSE), CPU_OK);
    CHECK_EQ(q(after.b + FXSAVE_XMM), 0);
    CHECK_EQ(d(after.b + FXSAVE_MXCSR), MXCSR);
    CHECK_EQ(after.b[FXSAVE_FTW], FTW_ST0);
    if (all & XCR0_AVX)
        CHECK_EQ(after.b[offset(XSTATE_AVX) + 1], component_byte(XSTATE_AVX, 1));

    TEST("XSAVEOPT writes XSTATE_BV for unused components");
    create64();
    vector_state_clear();
    set64(before.b + FXSAVE_XMM, 1);
    set64(before.b + XSTATE_BV, XCR0_SSE);
    set64(image + XSTATE_BV, all);
    CHECK_EQ(run(op_xsaveopt, EVERYTHING & ~XCR0_X87), CPU_OK);
    CHECK_EQ(q(image + XSTATE_BV), XCR0_SSE | XCR0_X87);
}

static void test_xsavec(void)
{
    const u32 first = XSTATE_LEGACY_SIZE + XSTATE_HEADER_SIZE; /* where the extended components begin */
    TEST("XSAVEC, compacted format");
    create64();
    const u64 asked = (XCR0_SSE | XCR0_PKRU) & v->xcr0;
    v->pkru = 3;
    CHECK_EQ(run(op_xsavec, XCR0_SSE | XCR0_PKRU), CPU_OK);
    CHECK_EQ(q(image + XSTATE_BV), asked);
    CHECK_EQ(q(image + XCOMP_BV), asked | XCOMP_COMPACTED);
    CHECK_EQ(image[XCOMP_BV + 8], BACKGROUND);
    CHECK_EQ(image[FXSAVE_FCW], BACKGROUND);
    if (asked & XCR0_PKRU)
        CHECK_EQ(q(image + first), 3);

    TEST("XRSTOR, compacted format");
    memset(image + XCOMP_BV + 8, 0, first - XCOMP_BV - 8);
    memset(image + FXSAVE_XMM, 0x99, FXSAVE_XMM_SIZE);
    v->pkru = 0;
    CHECK_EQ(run(op_xrstor, EVERYTHING), CPU_OK);
    CHECK_EQ(after.b[FXSAVE_XMM], 0x99);
    CHECK_EQ(after.b[FXSAVE_FTW], 0);
    if (asked & XCR0_PKRU)
        CHECK_EQ(v->pkru, 3);
    set64(image + XSTATE_BV, 0);
    CHECK_EQ(run(op_xrstor, XCR0_SSE), CPU_OK);
    CHECK_EQ(d(after.b + FXSAVE_MXCSR), MXCSR_RESET);
}

/* An image with a legal header and MXCSR, but for eight bytes at `at` of the header. */
static void header_with(u32 at, u64 value)
{
    create64();
    clear_header();
    set32(image + FXSAVE_MXCSR, MXCSR_RESET);
    set64(image + at, value);
}

static void test_header(void)
{
    TEST("XRSTOR, standard format: XSTATE_BV has components that exist, the next 16 bytes are zeros");
    header_with(XSTATE_BV, BIT64(8));
    CHECK(faults(op_xrstor, EVERYTHING, EXC_GP));
    header_with(XCOMP_BV, XCR0_X87);
    CHECK(faults(op_xrstor, EVERYTHING, EXC_GP));
    header_with(XCOMP_BV + 8, 1);
    CHECK(faults(op_xrstor, EVERYTHING, EXC_GP));
    header_with(XCOMP_BV + 16, 1);
    CHECK_EQ(run(op_xrstor, EVERYTHING), CPU_OK);

    TEST("XRSTOR, compacted format: the rest of the header is zeros, XSTATE_BV is within XCOMP_BV");
    header_with(XCOMP_BV, XCOMP_COMPACTED | XCR0_SSE);
    CHECK_EQ(run(op_xrstor, EVERYTHING), CPU_OK);
    set64(image + XCOMP_BV + 16, 1);
    CHECK(faults(op_xrstor, EVERYTHING, EXC_GP));
    header_with(XCOMP_BV, XCOMP_COMPACTED | XCR0_SSE);
    set64(image + XSTATE_BV, XCR0_X87);
    CHECK(faults(op_xrstor, EVERYTHING, EXC_GP));

    TEST("XRSTORS wants the compacted format");
    header_with(XSTATE_BV, 0);
    CHECK(faults(op_xrstors, EVERYTHING, EXC_GP));

    TEST("XRSTOR of reserved bits of MXCSR, if it is asked for");
    header_with(XSTATE_BV, 0);
    set32(image + FXSAVE_MXCSR, BIT(16));
    CHECK(faults(op_xrstor, XCR0_SSE, EXC_GP));
    CHECK_EQ(run(op_xrstor, XCR0_X87), CPU_OK);
}

static void test_legality(void)
{
    TEST("CR4.OSXSAVE, CR0.TS, privilege");
    create64();
    v->cr4 &= ~CR4_OSXSAVE;
    CHECK(faults(op_xsave, XCR0_X87, EXC_UD));
    CHECK(faults(op_xrstors, XCR0_X87, EXC_UD));
    create64();
    v->cr0 |= CR0_TS;
    CHECK(faults(op_xsave, XCR0_X87, EXC_NM));
    create64();
    v->cpl = 3;
    CHECK(faults(op_xsaves, XCR0_X87, EXC_GP));
}

static void test_outside_64bit(void)
{
    TEST("outside 64-bit mode high registers are out of reach");
    create32();
    const u64 all = v->xcr0;
    clear_header();
    CHECK_EQ(run(op_xsave, EVERYTHING), CPU_OK);
    CHECK_EQ(image[FXSAVE_XMM + XMM8], BACKGROUND);
    clear_header();
    set32(image + FXSAVE_MXCSR, MXCSR_RESET);
    CHECK_EQ(run(op_xrstor, EVERYTHING), CPU_OK);
    CHECK_EQ(after.b[FXSAVE_XMM], 0);
    CHECK_EQ(after.b[FXSAVE_XMM + XMM8], XMM_BYTE(XMM8));
    if (all & XCR0_AVX512) {
        CHECK(same_bytes(after.b, before.b, offset(XSTATE_HI16_ZMM), core_features.xstate[XSTATE_HI16_ZMM].size));
        CHECK_EQ(q(after.b + offset(XSTATE_OPMASK)), 0);
    }
}

/* The x87 environment in memory, behind it the data registers. */
enum {
    ENV16_FIP = 6,
    ENV16_FDP = 10,
    ENV16_SIZE = 14,
    ENV32_FCW = 0,
    ENV32_FSW = 4,
    ENV32_FTW = 8,
    ENV32_FIP = 12,
    ENV32_FDP = 20,
    ENV32_SIZE = 28,
    ENV_REGISTERS = 80
};
#define TAGS_ST0 0x3fff /* register 7 is valid, the others are empty */

static void test_x87(void)
{
    TEST("FNSTENV and FLDENV, 32-bit protected format");
    create64();
    CHECK_EQ(run_rex(op_fnstenv, 0, 4, 0), CPU_OK);
    CHECK_EQ(w(image + ENV32_FCW), FCW_INIT);
    CHECK_EQ(w(image + ENV32_FSW), FSW_TOP);
    CHECK_EQ(w(image + ENV32_FTW), TAGS_ST0);
    CHECK_EQ(d(image + ENV32_FIP), 0);
    CHECK_EQ(image[ENV32_SIZE], BACKGROUND);
    set64(image + ENV32_FIP, 0x1111);
    set64(image + ENV32_FDP, 0x2222);
    CHECK_EQ(run_rex(op_fldenv, 0, 4, 0), CPU_OK);
    CHECK_EQ(d(after.b + FXSAVE_FIP), saved(0x1111));
    before = after;
    CHECK_EQ(run_rex(op_fnstenv, 0, 4, 0), CPU_OK);
    CHECK_EQ(d(image + ENV32_FIP), saved(0x1111));
    CHECK_EQ(d(image + ENV32_FDP), saved(0x2222));

    TEST("FNSAVE initializes, FRSTOR brings it back");
    create64();
    CHECK_EQ(run_rex(op_fnsave, 0, 4, 0), CPU_OK);
    CHECK_EQ(q(image + ENV32_SIZE), ST0_MANTISSA);
    CHECK_EQ(after.b[FXSAVE_FTW], 0);
    before = after;
    CHECK_EQ(run_rex(op_frstor, 0, 4, 0), CPU_OK);
    CHECK_EQ(after.b[FXSAVE_FTW], FTW_ST0);
    CHECK_EQ(q(after.b + FXSAVE_ST), ST0_MANTISSA);

    TEST("16-bit real format");
    create64();
    v->cr0 = CR0_ET;
    v->cr4 = CR4_OSFXSR;
    v->efer = 0;
    core_flat(v, 0);
    mode_update(v);
    v->fip_loaded = 0x12345;
    v->fdp_loaded = 0x6789a;
    set64(before.b + FXSAVE_FIP, v->fip_loaded);
    set64(before.b + FXSAVE_FDP, v->fdp_loaded);
    CHECK_EQ(run_rex(op_fnsave, 0, 2, 0), CPU_OK);
    CHECK_EQ(d(image + ENV16_FIP), saved(0x10002345)); /* the highest four bits are in the next word */
    CHECK_EQ(d(image + ENV16_FDP), saved(0x6000789a));
    CHECK_EQ(q(image + ENV16_SIZE), ST0_MANTISSA);
    CHECK_EQ(image[ENV16_SIZE + ENV_REGISTERS], BACKGROUND);
    before = after;
    CHECK_EQ(run_rex(op_frstor, 0, 2, 0), CPU_OK);
    CHECK_EQ(d(after.b + FXSAVE_FIP), saved(0x12345));
    CHECK_EQ(d(after.b + FXSAVE_FDP), saved(0x6789a));

    TEST("a pending exception is taken by FLDENV");
    create64();
    set16(before.b + FXSAVE_FCW, FCW_INIT & ~FSW_IE);
    before.b[FXSAVE_FSW] = FSW_ES | FSW_IE;
    CHECK(faults(op_fldenv, 0, EXC_MF));
}

static void test_xcr0(void)
{
    TEST("XCR0");
    create64();
    CHECK(!xstate_xcr0_valid(v, 0) && !xstate_xcr0_valid(v, XCR0_SSE) && xstate_xcr0_valid(v, XCR0_X87));
    CHECK(!xstate_xcr0_valid(v, XCR0_X87 | XCR0_AVX) && !xstate_xcr0_valid(v, BIT64(8) | XCR0_X87));
    CHECK(!xstate_xcr0_valid(v, XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_OPMASK));
    CHECK(!xstate_xcr0_valid(v, XCR0_X87 | XCR0_SSE | XCR0_AVX512));
    CHECK(xstate_xcr0_valid(v, core_features.xcr0));

    TEST("area sizes");
    static const struct xstate_component c[XSTATE_COMPONENTS] = {
        [XSTATE_X87] = {0, FXSAVE_XMM, false},   [XSTATE_SSE] = {FXSAVE_XMM, FXSAVE_XMM_SIZE, false},
        [XSTATE_AVX] = {576, 256, false},        [XSTATE_OPMASK] = {1088, 64, false},
        [XSTATE_ZMM_HI256] = {1152, 512, false}, [XSTATE_HI16_ZMM] = {1664, 1024, false},
        [XSTATE_PKRU] = {2688, 8, true}};
    const u64 legacy = XCR0_X87 | XCR0_SSE, avx = legacy | XCR0_AVX, all = avx | XCR0_AVX512 | XCR0_PKRU;
    CHECK_EQ(xstate_size(c, legacy, false), 576);
    CHECK_EQ(xstate_size(c, avx, false), 576 + 256);
    CHECK_EQ(xstate_size(c, all, false), 2688 + 8);
    CHECK_EQ(xstate_size(c, avx | XCR0_PKRU, true), 576 + 256 + 8);
    CHECK_EQ(xstate_size(c, all, true), 576 + 256 + 64 + 512 + 1024 + 8);
    CHECK_EQ(xstate_size(c, legacy | XCR0_PKRU, true), 576 + 8);
    CHECK_EQ(xstate_size(c, legacy | XCR0_PKRU, false), 2688 + 8);
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
    pointers_kept = q(after.b + FXSAVE_FIP);
    test_fxsave();
    test_fxsave_faults();
    test_xsave();
    test_xsavec();
    test_header();
    test_legality();
    test_outside_64bit();
    test_x87();
    test_xcr0();
    return TEST_END();
}
