/*
 * Instruction sets by CPUID: each feature brings its sets and no others, some are always there, and what the engine
 * does not know never is.
 */
#include "cpu/jit/isa.h"

#include <Zydis/Zydis.h>
#include <string.h>

#include "cpu/core/cpuid.h"
#include "unit/test.h"

static struct cpu_features features;
static struct vm vm = {.features = &features};

static void show(enum feature f)
{
    memset(features.has, 0, sizeof features.has);
    features.has[f / 64] |= BIT64(f % 64);
}

static unsigned allowed(void)
{
    unsigned n = 0;
    for (u16 set = 0; set <= ZYDIS_ISA_SET_MAX_VALUE; set++)
        n += isa_allowed(&vm, set);
    return n;
}

int main(void)
{
    TEST("without any feature there is the 486, and what came without a CPUID bit");
    CHECK(isa_allowed(&vm, ZYDIS_ISA_SET_I86) && isa_allowed(&vm, ZYDIS_ISA_SET_I486));
    CHECK(isa_allowed(&vm, ZYDIS_ISA_SET_PAUSE) && isa_allowed(&vm, ZYDIS_ISA_SET_FAT_NOP));
    CHECK(!isa_allowed(&vm, ZYDIS_ISA_SET_X87) && !isa_allowed(&vm, ZYDIS_ISA_SET_CMOV));
    unsigned always = allowed();
    CHECK_EQ(always, 20);
    CHECK(!isa_allowed(&vm, ZYDIS_ISA_SET_CET)); /* WRSS and the like: there are no shadow stacks */

    TEST("a feature brings its sets");
    show(FEATURE_FPU);
    CHECK(isa_allowed(&vm, ZYDIS_ISA_SET_X87));
    CHECK_EQ(allowed(), always + 1);
    show(FEATURE_CMOV);
    CHECK(isa_allowed(&vm, ZYDIS_ISA_SET_CMOV) && isa_allowed(&vm, ZYDIS_ISA_SET_FCMOV));
    CHECK_EQ(allowed(), always + 2);
    show(FEATURE_AVX512F);
    CHECK(isa_allowed(&vm, ZYDIS_ISA_SET_AVX512F_128) && isa_allowed(&vm, ZYDIS_ISA_SET_AVX512F_KOP));
    CHECK(!isa_allowed(&vm, ZYDIS_ISA_SET_AVX512DQ_128) && !isa_allowed(&vm, ZYDIS_ISA_SET_AVX));
    show(FEATURE_LZCNT);
    CHECK(isa_allowed(&vm, ZYDIS_ISA_SET_LZCNT) && !isa_allowed(&vm, ZYDIS_ISA_SET_BMI1));

    TEST("sets of the engine's own instructions follow nested virtualization");
    show(FEATURE_VMX);
    CHECK(isa_allowed(&vm, ZYDIS_ISA_SET_VTX) && !isa_allowed(&vm, ZYDIS_ISA_SET_SVM));
    show(FEATURE_SVM);
    CHECK(isa_allowed(&vm, ZYDIS_ISA_SET_SVM) && !isa_allowed(&vm, ZYDIS_ISA_SET_VTX));

    TEST("what would change the host, or is unknown, is never there");
    memset(features.has, 0xff, sizeof features.has);
    static const u16 never[] = {ZYDIS_ISA_SET_INVALID,  ZYDIS_ISA_SET_RTM,          ZYDIS_ISA_SET_PT,
                                ZYDIS_ISA_SET_WAITPKG,  ZYDIS_ISA_SET_ENQCMD,       ZYDIS_ISA_SET_SGX,
                                ZYDIS_ISA_SET_AMX_TILE, ZYDIS_ISA_SET_MPX,          ZYDIS_ISA_SET_XOP,
                                ZYDIS_ISA_SET_LWP,      ZYDIS_ISA_SET_AMD3DNOW,     ZYDIS_ISA_SET_KEYLOCKER,
                                ZYDIS_ISA_SET_UINTR,    ZYDIS_ISA_SET_AVX512PF_512, ZYDIS_ISA_SET_MONITORX};
    for (unsigned i = 0; i < ARRAY_LEN(never); i++)
        CHECK(!isa_allowed(&vm, never[i]));
    return TEST_END();
}
