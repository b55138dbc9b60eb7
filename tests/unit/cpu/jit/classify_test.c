/*
 * What becomes of an instruction: traits that follow from Zydis' attributes, the unit that it needs, and what the
 * block's mode and the VM's CPUID make of it. Instructions are given as bytes of 64-bit code.
 */
#include "cpu/core/cpuid.h"
#include "cpu/insn/ops.h"
#include "unit/code_cache.h"

static struct decoded d;
static struct zydis_output output;

/* Decodes and describes. */
static const struct decoded *of(enum vendor host, const u8 *bytes, size_t n)
{
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    memset(&d, 0, sizeof d);
    CHECK(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, n, &output.zi, output.zo)));
    d.zi = &output.zi;
    d.zo = output.zo;
    describe(&d, host);
    return &d;
}

#define BYTES(...) (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__})
#define ON_INTEL(...) of(VENDOR_INTEL, BYTES(__VA_ARGS__))
#define ON_AMD(...) of(VENDOR_AMD, BYTES(__VA_ARGS__))
#define TRAITS(...) ON_INTEL(__VA_ARGS__)->traits
#define UNIT(...) ON_INTEL(__VA_ARGS__)->unit

/* clang-format off */
#define ADDPS_MEM 0x0f, 0x58, 0x00               /* addps xmm0, [rax] */
#define ADDSS_MEM 0xf3, 0x0f, 0x58, 0x00         /* addss xmm0, dword ptr [rax] */
#define ADDPS_REG 0x0f, 0x58, 0xc1               /* addps xmm0, xmm1 */
#define MOVUPS_MEM 0x0f, 0x10, 0x00
#define MOVAPS_MEM 0x0f, 0x28, 0x00
#define LDDQU_MEM 0xf2, 0x0f, 0xf0, 0x00
#define PCMPISTRI_MEM 0x66, 0x0f, 0x3a, 0x63, 0x00, 0x00
#define CMPXCHG16B_MEM 0x48, 0x0f, 0xc7, 0x08
#define SHA1MSG1_MEM 0x0f, 0x38, 0xc9, 0x00
#define VADDPS_MEM 0xc5, 0xf8, 0x58, 0x00
#define VMOVAPS_MEM 0xc5, 0xf8, 0x28, 0x00
#define CVTPI2PS 0x0f, 0x2a, 0xc0                /* cvtpi2ps xmm0, mm0 */
#define FADD_MEM 0xd8, 0x00
#define FISTTP_MEM 0xdb, 0x08
#define FNSTCW_MEM 0xd9, 0x38
#define FNSTSW_AX 0xdf, 0xe0
#define PADDB_MMX 0x0f, 0xfc, 0x00
#define EMMS 0x0f, 0x77
#define FWAIT 0x9b
#define LDMXCSR_MEM 0x0f, 0xae, 0x10
#define VZEROUPPER 0xc5, 0xf8, 0x77
#define KMOVW 0xc5, 0xf8, 0x90, 0xc9             /* kmovw k1, k1 */
#define ANDN 0xc4, 0xe2, 0x70, 0xf2, 0xc2        /* andn eax, ecx, edx */
#define VADDPS_Z_K1 0x62, 0xf1, 0x74, 0x49, 0x58, 0x00       /* vaddps zmm0{k1}, zmm1, [rax] */
#define VPERMPS_Z_K1 0x62, 0xf2, 0x75, 0x49, 0x16, 0x00      /* vpermps zmm0{k1}, zmm1, [rax] */
#define VDBPSADBW_Z_K1 0x62, 0xf3, 0x75, 0x49, 0x42, 0x00, 0 /* vdbpsadbw zmm0{k1}, zmm1, [rax], 0 */
#define VCVTPS2PH_MEM 0xc4, 0xe3, 0x79, 0x1d, 0x00, 0
#define VCVTPS2PH_EVEX_MEM 0x62, 0xf3, 0x7d, 0x08, 0x1d, 0x00, 0
#define VGF2P8AFFINEQB_Z_K1 0x62, 0xf3, 0xf5, 0x49, 0xce, 0x00, 0
/* clang-format on */

static void alignment(void)
{
    TEST("legacy SSE: operands of 16 bytes must be aligned");
    CHECK(TRAITS(ADDPS_MEM) & INSN_ALIGNED);
    CHECK(TRAITS(MOVAPS_MEM) & INSN_ALIGNED);
    CHECK(!(TRAITS(ADDSS_MEM) & INSN_ALIGNED));
    CHECK(!(TRAITS(ADDPS_REG) & INSN_ALIGNED));
    CHECK(!(TRAITS(MOVUPS_MEM) & INSN_ALIGNED));
    CHECK(!(TRAITS(LDDQU_MEM) & INSN_ALIGNED));
    CHECK(!(TRAITS(PCMPISTRI_MEM) & INSN_ALIGNED));

    TEST("CMPXCHG16B: its operand must be aligned, too");
    CHECK(TRAITS(CMPXCHG16B_MEM) & INSN_ALIGNED);

    TEST("SHA: operands must be aligned on Intel's CPUs only");
    CHECK(ON_INTEL(SHA1MSG1_MEM)->traits & INSN_ALIGNED);
    CHECK(!(ON_AMD(SHA1MSG1_MEM)->traits & INSN_ALIGNED));

    TEST("VEX: only the operands of aligned moves must be aligned");
    CHECK(!(TRAITS(VADDPS_MEM) & INSN_ALIGNED));
    CHECK(TRAITS(VMOVAPS_MEM) & INSN_ALIGNED);
}

static void x87(void)
{
    TEST("x87 instructions wait for a pending exception");
    CHECK((TRAITS(FADD_MEM) & (INSN_X87 | INSN_X87_WAITS)) == (INSN_X87 | INSN_X87_WAITS));
    CHECK((TRAITS(FISTTP_MEM) & (INSN_X87 | INSN_X87_WAITS)) == (INSN_X87 | INSN_X87_WAITS));

    TEST("MMX instructions wait for it, too");
    CHECK((TRAITS(PADDB_MMX) & (INSN_X87 | INSN_X87_WAITS)) == INSN_X87_WAITS);

    TEST("FNSTCW and FNSTSW do not wait for it");
    CHECK((TRAITS(FNSTCW_MEM) & (INSN_X87 | INSN_X87_WAITS)) == INSN_X87);
    CHECK((TRAITS(FNSTSW_AX) & (INSN_X87 | INSN_X87_WAITS)) == INSN_X87);

    TEST("SSE instructions do not wait for it");
    CHECK(!(TRAITS(ADDPS_MEM) & (INSN_X87 | INSN_X87_WAITS)));
}

static void suppression(void)
{
    TEST("EVEX masks keep faults away, except in classes with NF");
    CHECK(TRAITS(VADDPS_Z_K1) & INSN_SUPPRESSES);
    CHECK(!(TRAITS(VPERMPS_Z_K1) & INSN_SUPPRESSES));
    CHECK(!(TRAITS(VDBPSADBW_Z_K1) & INSN_SUPPRESSES));
    CHECK(!(TRAITS(VADDPS_MEM) & INSN_SUPPRESSES));
    CHECK(!(TRAITS(VGF2P8AFFINEQB_Z_K1) & INSN_SUPPRESSES));

    TEST("alignment checks: the vendors differ");
    CHECK(ON_INTEL(VCVTPS2PH_MEM)->traits & INSN_UNCHECKED);
    CHECK(!(ON_AMD(VCVTPS2PH_MEM)->traits & INSN_UNCHECKED));
    CHECK(!(ON_INTEL(VCVTPS2PH_EVEX_MEM)->traits & INSN_UNCHECKED));
}

static void units(void)
{
    TEST("units by operands and encoding");
    CHECK_EQ(UNIT(0x01, 0xd8 /* add eax, ebx */), UNIT_UNCHECKED);
    CHECK_EQ(UNIT(FADD_MEM), UNIT_X87);
    CHECK_EQ(UNIT(PADDB_MMX), UNIT_MMX);
    CHECK_EQ(UNIT(ADDPS_MEM), UNIT_SSE);
    CHECK_EQ(UNIT(CVTPI2PS), UNIT_SSE_MMX);
    CHECK_EQ(UNIT(VADDPS_MEM), UNIT_AVX);
    CHECK_EQ(UNIT(VADDPS_Z_K1), UNIT_AVX512);
    CHECK_EQ(UNIT(KMOVW), UNIT_AVX512);
    CHECK_EQ(UNIT(ANDN), UNIT_UNCHECKED);

    TEST("units by the table");
    CHECK_EQ(UNIT(FISTTP_MEM), UNIT_X87);
    CHECK_EQ(UNIT(EMMS), UNIT_MMX);
    CHECK_EQ(UNIT(FWAIT), UNIT_FWAIT);
    CHECK_EQ(UNIT(LDMXCSR_MEM), UNIT_SSE);
    CHECK_EQ(UNIT(VZEROUPPER), UNIT_AVX);
    CHECK_EQ(UNIT(0x0f, 0xae, 0x20 /* xsave [rax] */), UNIT_UNCHECKED);
    CHECK_EQ(UNIT(0xd9, 0x30 /* fnstenv [rax] */), UNIT_X87);
}

/* -- in a block -- */

/* The first instruction of a block in the mode of code_create, with and without some bits. */
static const struct decoded *classified(u32 without, u32 with, const u8 *bytes, size_t n)
{
    code_create();
    put_code(0, bytes, n);
    enum outcome out;
    CHECK(block_find(v, CODE, (v->mode & ~without) | with, &out));
    return &v->exec->tr->insn[0];
}

#define FN(without, with, ...) classified(without, with, BYTES(__VA_ARGS__))->fn
#define CLASS(without, with, ...) classified(without, with, BYTES(__VA_ARGS__))->class

static void modes(void)
{
    const u32 all = MODE_X87 | MODE_SSE | MODE_AVX | MODE_AVX512;
    TEST("a unit that is usable");
    CHECK_EQ(CLASS(0, all, ADDPS_MEM), CLASS_COPY);
    CHECK_EQ(CLASS(0, all, VADDPS_Z_K1), CLASS_COPY);
    CHECK_EQ(CLASS(0, all, FADD_MEM), CLASS_COPY);
    CHECK_EQ(CLASS(MODE_FWAIT, all, FWAIT), CLASS_COPY);

    TEST("units that are not usable: the handler knows the exception");
    CHECK(FN(MODE_X87, 0, FADD_MEM) == op_x87_unusable);
    CHECK(FN(MODE_X87, 0, FISTTP_MEM) == op_x87_unusable);
    CHECK(FN(MODE_X87, 0, PADDB_MMX) == op_mmx_unusable);
    CHECK(FN(MODE_X87, 0, EMMS) == op_mmx_unusable);
    CHECK(FN(MODE_SSE, 0, ADDPS_MEM) == op_sse_unusable);
    CHECK(FN(MODE_SSE, 0, LDMXCSR_MEM) == op_sse_unusable);
    CHECK(FN(MODE_X87, MODE_SSE, CVTPI2PS) == op_sse_unusable);
    CHECK(FN(MODE_SSE, MODE_X87, CVTPI2PS) == op_sse_unusable);
    CHECK(FN(MODE_AVX, MODE_SSE, VADDPS_MEM) == op_avx_unusable);
    CHECK(FN(MODE_AVX512, MODE_AVX, VADDPS_Z_K1) == op_avx512_unusable);
    CHECK(FN(0, MODE_FWAIT | MODE_X87, FWAIT) == op_x87_unusable);

    TEST("handlers that look for themselves are called all the same");
    CHECK(FN(all, 0, 0x0f, 0xae, 0x00 /* fxsave [rax] */) == op_fxsave);

    TEST("VEX outside protected mode");
    CHECK(FN(MODE_PROT, all, VADDPS_MEM) == op_ud);
    CHECK(FN(MODE_PROT, all, ANDN) == op_ud);

    TEST("PAUSE is copied in L1");
    CHECK_EQ(CLASS(0, 0, 0xf3, 0x90), CLASS_COPY);
    CHECK(CLASS(0, MODE_GUEST, 0xf3, 0x90) == CLASS_CALL && v->exec->tr->insn[0].fn == op_pause);
}

static void features(void)
{
    TEST("without its CPUID bit an instruction is #UD");
    static struct cpu_features own, *f = &own;
    *f = *vm.features;
    vm.features = f;
    f->has[FEATURE_BMI1 / 64] &= ~BIT64(FEATURE_BMI1 % 64);
    f->has[FEATURE_LZCNT / 64] &= ~BIT64(FEATURE_LZCNT % 64);
    CHECK(FN(0, 0, ANDN) == op_ud);
    CHECK(v->exec->tr->insn[0].ends);

    TEST("TZCNT and LZCNT lose their prefix instead");
    CHECK_EQ(CLASS(0, 0, 0xf3, 0x0f, 0xbc, 0xc3 /* tzcnt eax, ebx */), CLASS_COPY);
    CHECK_EQ(v->exec->tr->insn[0].zi->raw.prefix_count, 0);
    CHECK_EQ(CLASS(0, 0, 0xf3, 0x0f, 0xbd, 0xc3 /* lzcnt eax, ebx */), CLASS_COPY);
    CHECK_EQ(v->exec->tr->insn[0].zi->raw.prefix_count, 0);
    memset(f->has, 0xff, sizeof f->has);
    CHECK_EQ(CLASS(0, 0, 0xf3, 0x0f, 0xbc, 0xc3), CLASS_COPY);
    CHECK_EQ(v->exec->tr->insn[0].zi->raw.prefix_count, 1);

    TEST("a hint is no #UD");
    memset(f->has, 0, sizeof f->has);
    CHECK_EQ(CLASS(0, 0, 0x0f, 0x18, 0x08 /* prefetcht0 [rax] */), CLASS_NOP);
    CHECK_EQ(CLASS(0, 0, 0xf3, 0x0f, 0x1e, 0xfa /* endbr64 */), CLASS_NOP);
    memset(f->has, 0xff, sizeof f->has);

    TEST("what decodes as nothing, and what is too long");
    CHECK(FN(0, 0, 0x06 /* push es, in other modes */) == op_ud);
    CHECK(FN(0, 0, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90) ==
          op_too_long);
}

static void forms(void)
{
    TEST("forms of one mnemonic");
    CHECK_EQ(CLASS(0, 0, 0x89, 0xc3 /* mov ebx, eax */), CLASS_COPY);
    CHECK(FN(0, 0, 0x0f, 0x20, 0xc0 /* mov rax, cr0 */) == op_mov_from_cr && !v->exec->tr->insn[0].ends);
    CHECK(FN(0, 0, 0x0f, 0x22, 0xc0 /* mov cr0, rax */) == op_mov_to_cr && v->exec->tr->insn[0].ends);
    CHECK(FN(0, 0, 0x0f, 0x21, 0xc0 /* mov rax, dr0 */) == op_mov_from_dr && !v->exec->tr->insn[0].ends);
    CHECK(FN(0, 0, 0x0f, 0x23, 0xc0 /* mov dr0, rax */) == op_mov_to_dr && v->exec->tr->insn[0].ends);
    CHECK(FN(0, 0, 0x8c, 0xd8 /* mov eax, ds */) == op_mov_from_sreg && !v->exec->tr->insn[0].ends);
    CHECK(FN(0, 0, 0x8e, 0xd8 /* mov ds, eax */) == op_mov_to_sreg && v->exec->tr->insn[0].ends);
    CHECK_EQ(CLASS(0, 0, 0x50), CLASS_PUSH);
    CHECK(FN(0, 0, 0x0f, 0xa0 /* push fs */) == op_push_sreg && !v->exec->tr->insn[0].ends);
    CHECK(FN(0, 0, 0x0f, 0xa9 /* pop gs */) == op_pop_sreg && v->exec->tr->insn[0].ends);
    CHECK_EQ(CLASS(0, 0, 0x58), CLASS_POP);
    CHECK(FN(0, 0, 0x8f, 0x00 /* pop [rax] */) == op_pop_rm);
    CHECK_EQ(CLASS(0, 0, 0x8f, 0xc0 /* pop rax */), CLASS_POP);
    CHECK_EQ(CLASS(0, 0, 0xff, 0x30 /* push [rax] */), CLASS_PUSH);
    CHECK_EQ(CLASS(0, 0, 0xf2, 0x0f, 0x10, 0xc1 /* movsd xmm0, xmm1 */), CLASS_CALL); /* SSE is off */
    CHECK(v->exec->tr->insn[0].fn == op_sse_unusable);
    CHECK(FN(0, 0, 0xa5 /* movsd */) == op_movs);
    CHECK(FN(0, 0, 0xa7 /* cmpsd */) == op_cmps);

    TEST("near and far");
    CHECK_EQ(CLASS(0, 0, 0xe8, 0, 0, 0, 0), CLASS_CALL_NEAR);
    CHECK_EQ(CLASS(0, 0, 0xff, 0xd0 /* call rax */), CLASS_CALL_NEAR);
    CHECK(FN(0, 0, 0xff, 0x18 /* call far [rax] */) == op_call_far && v->exec->tr->insn[0].ends);
    CHECK_EQ(CLASS(0, 0, 0xff, 0x20 /* jmp [rax] */), CLASS_JUMP);
    CHECK(FN(0, 0, 0xff, 0x28 /* jmp far [rax] */) == op_jmp_far);
    CHECK_EQ(CLASS(0, 0, 0xc3), CLASS_RETURN);
    CHECK(FN(0, 0, 0xcb /* retf */) == op_ret_far);

    TEST("outside flat modes memory operands of branches and the stack are called");
    const u32 not_flat = MODE_SIZE_MASK | MODE_FLAT;
    CHECK(FN(not_flat, MODE_32, 0xff, 0x10 /* call [eax] */) == op_call_rm);
    CHECK(FN(not_flat, MODE_32, 0xff, 0x20 /* jmp [eax] */) == op_jmp_rm);
    CHECK(FN(not_flat, MODE_32, 0xff, 0x30 /* push [eax] */) == op_push_rm);
    CHECK(FN(not_flat, MODE_32, 0xc9 /* leave */) == op_leave);
    CHECK_EQ(CLASS(not_flat, MODE_32, 0xff, 0xd0 /* call eax */), CLASS_CALL_NEAR);
    CHECK(FN(not_flat, MODE_32, 0x1f /* pop ds */) == op_pop_sreg);
    CHECK(FN(not_flat, MODE_32, 0x0e /* push cs */) == op_push_sreg);
    CHECK(FN(not_flat, MODE_32, 0x9a, 0, 0, 0, 0, 8, 0 /* call 8:0 */) == op_call_far);
    CHECK(FN(not_flat, MODE_32, 0xea, 0, 0, 0, 0, 8, 0 /* jmp 8:0 */) == op_jmp_far);
}

int main(void)
{
    alignment();
    x87();
    suppression();
    units();
    modes();
    features();
    forms();
    return TEST_END();
}
