/*
 * CPUID: what models show on a rich and on a poor host, features that need each other, and leaves that the owner gives.
 */
#include "unit/core.h"
#include "unit/test.h"

/* A host with everything, or with nothing beyond SSE2. */
static void rich_host(u32 leaf, u32 sub, u32 r[4])
{
    r[0] = r[1] = r[2] = r[3] = ~0u;
    if (leaf == 0)
        r[0] = 0x1f;
    if (leaf == 0x80000000)
        r[0] = 0x80000021;
    if (leaf == 7 && sub == 0)
        r[0] = 2;
    if (leaf == 0xd && sub == 0)
        r[0] = 0x2e7, r[3] = 0;
    if (leaf == 0xd && sub >= 2) {
        static const u32 layout[10][2] = {
            [2] = {256, 576}, [5] = {64, 1088}, [6] = {512, 1152}, [7] = {1024, 1664}, [9] = {8, 2688}};
        r[0] = sub < 10 ? layout[sub][0] : 0;
        r[1] = sub < 10 ? layout[sub][1] : 0;
        r[2] = 0;
    }
}

static void poor_host(u32 leaf, u32 sub, u32 r[4])
{
    r[0] = r[1] = r[2] = r[3] = 0;
    if (leaf == 0)
        r[0] = 7;
    if (leaf == 0x80000000)
        r[0] = 0x80000008;
}

static struct cpu_features f;
static struct error error;

static int create(const char *model, enum vendor vendor, bool nested, void (*host)(u32, u32, u32 *))
{
    struct cpuid_config c = {.vendor = vendor,
                             .nested = nested,
                             .vcpus = 4,
                             .tsc_khz = 2000000,
                             .phys_bits = 40,
                             .model = model,
                             .host = host};
    return cpuid_create(&f, &c, &error);
}

static bool leaves_sorted(void)
{
    for (u32 i = 1; i < f.leaf_count; i++)
        if (f.leaf[i - 1].leaf > f.leaf[i].leaf ||
            (f.leaf[i - 1].leaf == f.leaf[i].leaf && f.leaf[i - 1].sub >= f.leaf[i].sub))
            return false;
    return f.leaf_count <= CPUID_LEAVES;
}

static const u32 *given_leaf(u32 leaf, u32 sub)
{
    static const u32 none[4];
    for (u32 i = 0; i < f.leaf_count; i++)
        if (f.leaf[i].leaf == leaf && f.leaf[i].sub == sub)
            return f.leaf[i].r;
    return none;
}

static void test_given(void)
{
    static struct cpuid_leaf leaf[CPUID_LEAVES];
    struct cpuid_config c = {.vendor = VENDOR_INTEL, .nested = true, .vcpus = 1, .host = rich_host};
    TEST("leaves that are given make the same CPU");
    for (int vendor = 0; vendor < 2; vendor++) {
        CHECK_EQ(create("max", vendor ? VENDOR_AMD : VENDOR_INTEL, true, rich_host), 0);
        static struct cpu_features own;
        own = f;
        cpuid_from_leaves(&f, &c, own.leaf, own.leaf_count);
        CHECK(f.given && f.vendor == own.vendor && f.phys_bits == own.phys_bits && f.xcr0 == own.xcr0 &&
              leaves_sorted());
        CHECK(!memcmp(f.has, own.has, sizeof(f.has)) && !memcmp(f.xstate, own.xstate, sizeof(f.xstate)));
        CHECK(f.max_basic == own.max_basic && f.max_extended == own.max_extended && f.leaf_count == own.leaf_count);
    }

    TEST("leaves that are given are kept, and the CPU has the features that they show");
    const u32 any = 0x12345678;
    leaf[0] = (struct cpuid_leaf){0x80000008, 0, {39 | 48 << 8}};
    leaf[1] = (struct cpuid_leaf){1, 0, {any, any, ~0u, ~0u}};
    leaf[2] = (struct cpuid_leaf){0, 0, {7, 0x68747541, 0x444d4163, 0x69746e65}}; /* AuthenticAMD */
    cpuid_from_leaves(&f, &c, leaf, 3);
    CHECK(f.vendor == VENDOR_AMD && f.phys_bits == 39 && leaves_sorted() && f.leaf_count == 3);
    CHECK(given_leaf(1, 0)[1] == any && given_leaf(1, 0)[2] == ~0u);
    CHECK(features_have(&f, FEATURE_SSE3) && !features_have(&f, FEATURE_VMX) && !features_have(&f, FEATURE_AVX2));
    CHECK(!features_have(&f, FEATURE_CX16)); /* needs LM, which no leaf has */
    c.host = poor_host;
    cpuid_from_leaves(&f, &c, leaf, 2);
    CHECK(f.vendor == VENDOR_INTEL && !features_have(&f, FEATURE_SSE3) && features_have(&f, FEATURE_VMX));
    c.nested = false;
    cpuid_from_leaves(&f, &c, leaf, 1);
    CHECK(f.phys_bits == 39 && !features_have(&f, FEATURE_VMX) && !f.max_basic && !f.xcr0);
    cpuid_from_leaves(&f, &c, leaf, 0);
    CHECK(f.phys_bits == 36 && !f.leaf_count);
}

static void text_is(const u32 *r, unsigned a, unsigned b, unsigned c, const char *s)
{
    char text[13] = "";
    memcpy(text, &r[a], 4);
    memcpy(text + 4, &r[b], 4);
    memcpy(text + 8, &r[c], 4);
    CHECK(!strcmp(text, s));
}

int main(void)
{
    static const struct {
        const char *name;
        enum feature id;
    } names[] = {
#define X(id, name, leaf, sub, reg, bit, source, vendor, level, needs) {name, FEATURE_##id},
        FEATURES(X)
#undef X
    };
    u32 r[4];

    TEST("every feature row can be switched off by its name");
    for (unsigned i = 0; i < FEATURE_COUNT; i++) {
        char model[64];
        snprintf(model, sizeof(model), "max,-%s", names[i].name);
        CHECK_EQ(create(model, VENDOR_INTEL, true, rich_host), 0);
        CHECK(!features_have(&f, names[i].id));
        CHECK_EQ(create(model, VENDOR_AMD, true, rich_host), 0);
        CHECK(!features_have(&f, names[i].id));
        CHECK(leaves_sorted());
    }

    TEST("a feature never stays without what it needs");
    CHECK_EQ(create("max,-avx", VENDOR_INTEL, false, rich_host), 0);
    CHECK(!features_have(&f, FEATURE_AVX2) && !features_have(&f, FEATURE_AVX512F) && !features_have(&f, FEATURE_FMA));
    CHECK_EQ(f.xcr0, XCR0_X87 | XCR0_SSE | XCR0_PKRU);
    CHECK_EQ(create("max,-xsave", VENDOR_INTEL, false, rich_host), 0);
    CHECK_EQ(f.xcr0, 0);

    TEST("models");
    CHECK_EQ(create(NULL, VENDOR_INTEL, false, rich_host), 0);
    CHECK(features_have(&f, FEATURE_AVX512F) && features_have(&f, FEATURE_LM) && !features_have(&f, FEATURE_LA57));
    CHECK(!features_have(&f, FEATURE_VMX) && !features_have(&f, FEATURE_MONITOR) && !features_have(&f, FEATURE_SVM));
    CHECK_EQ(f.xcr0, 0x2e7);
    CHECK_EQ(create("x86-64-v2", VENDOR_INTEL, false, rich_host), 0);
    CHECK(features_have(&f, FEATURE_SSE42) && !features_have(&f, FEATURE_AVX) && features_have(&f, FEATURE_X2APIC));
    CHECK_EQ(create("x86-64-v3", VENDOR_AMD, true, rich_host), 0);
    CHECK(features_have(&f, FEATURE_BMI2) && !features_have(&f, FEATURE_AVX512F) && features_have(&f, FEATURE_SVM));
    CHECK_EQ(create("legacy32", VENDOR_INTEL, false, rich_host), 0);
    CHECK(!features_have(&f, FEATURE_LM) && !features_have(&f, FEATURE_PCID) && !features_have(&f, FEATURE_SYSCALL));
    CHECK(features_have(&f, FEATURE_PAE) && features_have(&f, FEATURE_SSE2) && features_have(&f, FEATURE_NX));
    CHECK_EQ(create("x86-64,+la57,+avx2", VENDOR_INTEL, false, rich_host), -22);
    CHECK_EQ(create("x86-64,+la57,+xsave,+avx,+avx2", VENDOR_INTEL, false, rich_host), 0);
    CHECK(features_have(&f, FEATURE_LA57) && features_have(&f, FEATURE_AVX2));

    TEST("a poor host");
    CHECK_EQ(create("max", VENDOR_INTEL, true, poor_host), 0);
    CHECK(features_have(&f, FEATURE_VMX) && features_have(&f, FEATURE_SMEP) && !features_have(&f, FEATURE_AVX));
    CHECK(!features_have(&f, FEATURE_XSAVES));
    CHECK_EQ(create("max,+avx2", VENDOR_INTEL, true, poor_host), -22);
    CHECK(strstr(error.text, "avx2") && strstr(error.text, "cannot be shown"));

    TEST("refusals name the word");
    CHECK_EQ(create("pentium", VENDOR_INTEL, false, rich_host), -22);
    CHECK(strstr(error.text, "'pentium'"));
    CHECK_EQ(create("max,+nonsense", VENDOR_INTEL, false, rich_host), -22);
    CHECK(strstr(error.text, "'nonsense'"));
    CHECK_EQ(create("max,avx", VENDOR_INTEL, false, rich_host), -22);
    CHECK(strstr(error.text, "'avx'"));
    CHECK_EQ(create("max,+vmx", VENDOR_INTEL, false, rich_host), -22);
    CHECK_EQ(create("max,+svm", VENDOR_INTEL, true, rich_host), -22);
    CHECK_EQ(create("max,", VENDOR_INTEL, true, rich_host), -22);
    CHECK_EQ(create("max,+avx,-avx", VENDOR_INTEL, true, rich_host), 0);
    CHECK(!features_have(&f, FEATURE_AVX));

    TEST("Intel leaves");
    core_create(VENDOR_INTEL, true, 4, NULL);
    struct vcpu *v = vm.vcpu[2];
    cpuid_read(v, 0, 0, r);
    text_is(r, 1, 3, 2, "GenuineIntel");
    CHECK_EQ(r[0], 0x1f);
    cpuid_read(v, 1, 0, r);
    CHECK_EQ(r[0], 0x606a6);
    CHECK_EQ(r[1] >> 24, 2);
    CHECK_EQ(r[1] >> 16 & 0xff, 4);
    CHECK(r[2] & BIT(5) && r[2] & BIT(31) && !(r[2] & BIT(27)) && r[3] & BIT(9) && r[3] & BIT(28));
    v->cr4 |= CR4_OSXSAVE | CR4_PKE;
    v->apic_base &= ~APIC_BASE_EN;
    cpuid_read(v, 1, 0, r);
    CHECK(r[2] & BIT(27) && !(r[3] & BIT(9)));
    v->apic_base |= APIC_BASE_EN;
    cpuid_read(v, 7, 0, r);
    CHECK(r[2] & BIT(4) && r[3] & BIT(29) && !(r[3] & BIT(13)) && r[0] == 2);
    CHECK(!(r[1] & (BIT(4) | BIT(11) | BIT(14) | BIT(25) | BIT(2)))); /* HLE, RTM, MPX, PT, SGX */
    CHECK(!(r[3] & (BIT(20) | BIT(22) | BIT(24) | BIT(25))) && !(r[2] & (BIT(5) | BIT(7)))); /* CET, AMX, WAITPKG */
    cpuid_read(v, 0xb, 1, r);
    CHECK(r[0] == 2 && r[1] == 4 && r[2] == 0x201 && r[3] == 2);
    cpuid_read(v, 0xb, 5, r);
    CHECK(r[0] == 0 && r[1] == 0 && r[2] == 5 && r[3] == 2);
    cpuid_read(v, 4, 3, r);
    CHECK_EQ(r[0] >> 14 & 0xfff, 3);
    cpuid_read(v, 4, 4, r);
    CHECK_EQ(r[0] & 31, 0);
    cpuid_read(v, 0x15, 0, r);
    CHECK_EQ((u64)r[2] * r[1] / r[0], 2000000000);
    cpuid_read(v, 0x16, 0, r);
    CHECK_EQ(r[0], 2000);
    cpuid_read(v, 0x40000000, 0, r);
    CHECK_EQ(r[0], 0x40000010);
    cpuid_read(v, 0x40000010, 0, r);
    CHECK_EQ(r[0], 2000000);
    cpuid_read(v, 0x80000008, 0, r);
    CHECK_EQ(r[0], 40 | 48 << 8);
    cpuid_read(v, 0x80000001, 0, r);
    CHECK(!(r[3] & BIT(11)) && r[3] & BIT(20) && r[3] & BIT(29));
    core_mode64(v);
    cpuid_read(v, 0x80000001, 0, r);
    CHECK(r[3] & BIT(11));
    v->misc_enable |= MISC_ENABLE_XD_DISABLE;
    cpuid_read(v, 0x80000001, 0, r);
    CHECK(!(r[3] & BIT(20)));
    v->misc_enable &= ~MISC_ENABLE_XD_DISABLE;
    u32 last[4];
    cpuid_read(v, 0x1f, 0, last);
    cpuid_read(v, 0x77, 0, r);
    CHECK(!memcmp(r, last, 16));

    TEST("leaf 0xd follows XCR0");
    v->xcr0 = XCR0_X87 | XCR0_SSE;
    cpuid_read(v, 0xd, 0, r);
    CHECK_EQ(r[1], 576);
    CHECK_EQ(r[0], core_features.xcr0);
    if (features_have(&core_features, FEATURE_AVX)) {
        v->xcr0 |= XCR0_AVX;
        cpuid_read(v, 0xd, 0, r);
        CHECK_EQ(r[1], 832);
        cpuid_read(v, 0xd, 1, r);
        CHECK_EQ(r[1], 832);
        v->xcr0 |= XCR0_PKRU;
        cpuid_read(v, 0xd, 1, r);
        CHECK_EQ(r[1], 840);
    }

    TEST("AMD leaves");
    core_create(VENDOR_AMD, true, 3, NULL);
    v = vm.vcpu[1];
    cpuid_read(v, 0, 0, r);
    text_is(r, 1, 3, 2, "AuthenticAMD");
    cpuid_read(v, 0x80000000, 0, r);
    CHECK_EQ(r[0], 0x80000021);
    cpuid_read(v, 0x80000001, 0, r);
    CHECK(r[2] & BIT(2) && r[2] & BIT(22) && r[2] & BIT(1) && (r[3] & 0x0183f3ff) == 0x0183f3ff);
    CHECK_EQ(r[0], 0xa10f11);
    cpuid_read(v, 7, 0, r);
    CHECK_EQ(r[3] & 0xfc000000, 0);
    cpuid_read(v, 0x80000008, 0, r);
    CHECK_EQ(r[2], 2 | 2 << 12);
    cpuid_read(v, 0x8000000a, 0, r);
    CHECK(r[0] == 1 && r[1] > 1 && r[3] & BIT(0) && r[3] & BIT(3));
    cpuid_read(v, 0x8000001e, 0, r);
    CHECK(r[0] == 1 && r[1] == 1);
    cpuid_read(v, 0x80000021, 0, r);
    CHECK(r[0] & BIT(8) && r[0] & BIT(29));
    cpuid_read(v, 0x77, 0, r);
    CHECK(!r[0] && !r[1] && !r[2] && !r[3]);
    core_create(VENDOR_AMD, true, 1, "max,-npt");
    cpuid_read(vm.vcpu[0], 0x8000000a, 0, r);
    CHECK(!(r[3] & BIT(0)) && r[3] & BIT(3));
    test_given();
    return TEST_END();
}
