/*
 * CPUID: the model string and the leaves of each vendor.
 *
 * cpuid_create runs once per VM, before its CPUs; cpuid_read runs on any vCPU's thread and only reads. The
 * vendor shown is the VM's, not the host's: family, model and the speculation bits are those of a server CPU of that
 * vendor on which Linux needs no costly mitigation (Ice Lake with the _NO bits, Zen 4 with automatic IBRS).
 * Source: Intel SDM volume 2A, "CPUID"; AMD APM volume 3, appendix "Obtaining Processor Information Via the CPUID
 * Instruction".
 */
#include "cpu/core/cpuid.h"

#include <errno.h>

#include "cpu/core/copy.h"
#include "cpu/core/vcpu.h"
#include "x86/kvm_para.h"
#include "x86/msr.h"
#include "x86/signature.h"

struct feature_row {
    const char *name;
    u32 leaf;
    u8 sub, reg, bit;
    u8 source, vendor, level;
    u16 needs;
};

static const struct feature_row rows[FEATURE_COUNT] = {
#define X(id, name, leaf, sub, reg, bit, source, vendor, level, needs)                                                 \
    {name, leaf, sub, CPUID_##reg, bit, source, vendor, level, FEATURE_##needs},
    FEATURES(X)
#undef X
};

static const struct {
    const char *name;
    enum feature_level level;
} models[] = {
    {"max", LEVEL_MAX},      {"host", LEVEL_MAX},     {"x86-64", LEVEL_V1},    {"x86-64-v1", LEVEL_V1},
    {"x86-64-v2", LEVEL_V2}, {"x86-64-v3", LEVEL_V3}, {"x86-64-v4", LEVEL_V4}, {"legacy32", LEVEL_32},
};

static const struct cache_row {
    u8 type, level; /* type: 1 data, 2 instruction, 3 unified */
    u16 ways;
    u32 sets;
    bool shared;
} intel_caches[] = {{1, 1, 12, 64, false}, {2, 1, 8, 64, false}, {3, 2, 20, 1024, false}, {3, 3, 12, 32768, true}},
  amd_caches[] = {{1, 1, 8, 64, false}, {2, 1, 8, 64, false}, {3, 2, 8, 2048, false}, {3, 3, 16, 32768, true}};

/* Bits that are no features of the table: they follow the CPU's state or the number of CPUs. */
#define CPUID_OSXSAVE BIT(27)          /* leaf 1 ECX */
#define CPUID_HTT BIT(28)              /* leaf 1 EDX */
#define CPUID_OSPKE BIT(4)             /* leaf 7 ECX */
#define CPUID_CMP_LEGACY BIT(1)        /* leaf 8000_0001h ECX */
#define CPUID_AMD_MIRRORED 0x0183f3ffu /* EDX of leaf 1 in that of leaf 8000_0001h */

#define PHYS_BITS_DEFAULT 36 /* of a CPU without leaf 8000_0008h */
#define PHYS_BITS_MAX 52

#define SVM_REVISION 1
#define SVM_ASIDS 0x8000u

#define APIC_BUS_KHZ 1000000u /* lapic.c counts nanoseconds */
#define HYPERVISOR_LEAF 0x40000000u
#define HYPERVISOR_TIMING 0x40000010u
#define KVM_LEAF 0x40000100u

static void host_cpuid(u32 leaf, u32 sub, u32 r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}

enum vendor host_vendor(void)
{
    static u32 r[4]; /* asking takes long in a VM */
    if (!r[1])
        host_cpuid(0, 0, r);
    return cpuid_vendor(r[1]);
}

static u64 host_xcr0(void)
{
    u32 lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (u64)hi << 32 | lo;
}

static u32 host_mxcsr_mask(void)
{
    u8 image[XSTATE_LEGACY_SIZE] __attribute__((aligned(16)));
    fill_bytes(image, 0, sizeof(image));
    __asm__ volatile("fxsave64 %0" : "=m"(image));
    u32 mask;
    __builtin_memcpy(&mask, image + FXSAVE_MXCSR_MASK, 4);
    return mask ? mask : 0xffbf;
}

static u32 feature_bit(enum feature id)
{
    return 1u << rows[id].bit;
}

/* -- the model string -- */

static bool text_equal(const char *s, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!name[i] || s[i] != name[i])
            return false;
    return !name[n];
}

/* "what 'word' why" */
static int refuse(struct error *e, const char *what, const char *word, size_t n, const char *why)
{
    error_begin(e, -EINVAL);
    error_append(e, what, SIZE_MAX);
    error_append(e, " '", SIZE_MAX);
    error_append(e, word, n);
    error_append(e, "' ", SIZE_MAX);
    error_append(e, why, SIZE_MAX);
    return e->code;
}

static int refuse_model(struct error *e, const char *word, size_t n)
{
    refuse(e, "CPU model", word, n, "is not known; there are ");
    for (unsigned i = 0; i < ARRAY_LEN(models); i++) {
        error_append(e, i ? ", " : "", SIZE_MAX);
        error_append(e, models[i].name, SIZE_MAX);
    }
    return e->code;
}

static bool vendor_has(enum vendor vendor, const struct feature_row *r)
{
    return r->vendor == ANY_VENDOR || (r->vendor == INTEL_ONLY) == (vendor == VENDOR_INTEL);
}

static void feature_set(struct cpu_features *f, unsigned id, bool on)
{
    u64 bit = BIT64(id % 64);
    f->has[id / 64] = on ? f->has[id / 64] | bit : f->has[id / 64] & ~bit;
}

/* Can this engine on this host show the feature at all? */
static bool feature_available(const struct cpu_features *host, const struct cpuid_config *c, unsigned id)
{
    const struct feature_row *r = &rows[id];
    if (!vendor_has(c->vendor, r))
        return false;
    switch ((enum feature_source)r->source) {
    case FROM_HOST: return features_have(host, id);
    case FROM_NESTED: return c->nested;
    case FROM_ENGINE:
    case ON_REQUEST: break;
    }
    return true;
}

static void drop_orphans(struct cpu_features *f)
{
    for (bool again = true; again;) {
        again = false;
        for (unsigned i = 0; i < FEATURE_COUNT; i++)
            if (features_have(f, i) && !features_have(f, rows[i].needs)) {
                feature_set(f, i, false);
                again = true;
            }
    }
}

/* The features of the host that need no more than what its operating system enabled. */
static void host_features(struct cpu_features *host, void (*cpuid)(u32, u32, u32 *), u64 xcr0)
{
    u32 max_basic[4], max_extended[4], r[4];
    cpuid(0, 0, max_basic);
    cpuid(0x80000000, 0, max_extended);
    for (unsigned i = 0; i < FEATURE_COUNT; i++) {
        const struct feature_row *row = &rows[i];
        if (row->leaf > (row->leaf & 0x80000000 ? max_extended[0] : max_basic[0]))
            continue;
        if (row->sub) {
            cpuid(row->leaf, 0, r);
            if (row->leaf == 7 && r[0] < row->sub)
                continue;
        }
        cpuid(row->leaf, row->sub, r);
        feature_set(host, i, r[row->reg] >> row->bit & 1);
    }
    if (!(xcr0 & XCR0_AVX))
        feature_set(host, FEATURE_AVX, false);
    if ((xcr0 & XCR0_AVX512) != XCR0_AVX512)
        feature_set(host, FEATURE_AVX512F, false);
}

static size_t word_length(const char *s)
{
    size_t n = 0;
    while (s[n] && s[n] != ',')
        n++;
    return n;
}

/* Finds the model that the string begins with, if it does, and steps over it. The number of models: it is not known. */
static unsigned model_index(const char **s)
{
    size_t n = word_length(*s);
    unsigned i = 0;
    if (!n || **s == '+' || **s == '-')
        return 0; /* max */
    while (i < ARRAY_LEN(models) && !text_equal(*s, n, models[i].name))
        i++;
    *s += n;
    return i;
}

int cpuid_check(const char *s, struct error *error)
{
    const char *model = s;
    if (model_index(&s) == ARRAY_LEN(models))
        return refuse_model(error, model, word_length(model));
    while (*s) {
        s += *s == ',';
        size_t n = word_length(s);
        if (*s != '+' && *s != '-')
            return refuse(error, "CPU feature", s, n, "needs a + or - in front");
        unsigned i = 0;
        while (i < FEATURE_COUNT && !text_equal(s + 1, n - 1, rows[i].name))
            i++;
        if (i == FEATURE_COUNT)
            return refuse(error, "CPU feature", s + 1, n - 1, "is not known (names are those of /proc/cpuinfo)");
        s += n;
    }
    return 0;
}

static int choose_features(struct cpu_features *f, const struct cpu_features *host, const struct cpuid_config *c,
                           struct error *error)
{
    const char *s = c->model ? c->model : "max";
    size_t n;
    int e = cpuid_check(s, error);
    if (e)
        return e;
    enum feature_level level = models[model_index(&s)].level;

    for (unsigned i = 0; i < FEATURE_COUNT; i++)
        feature_set(f, i, rows[i].level <= level && rows[i].source != ON_REQUEST && feature_available(host, c, i));
    drop_orphans(f);

    for (const char *p = s; *p;) {
        if (*p == ',')
            p++;
        bool on = *p == '+';
        const char *word = p;
        n = word_length(word);
        p += n;
        word++, n--;
        bool shown = false;
        for (unsigned i = 0; i < FEATURE_COUNT; i++) {
            if (!text_equal(word, n, rows[i].name))
                continue;
            if (on && !feature_available(host, c, i))
                continue;
            shown = true;
            feature_set(f, i, on);
        }
        if (on && !shown)
            return refuse(error, "CPU feature", word, n,
                          "cannot be shown: this host, the " SETTING("nested") " choice or the vendor lacks it");
    }
    drop_orphans(f);

    /* What was asked for must not have gone with something that it needs. */
    for (const char *p = s; *p;) {
        if (*p == ',')
            p++;
        const char *word = p;
        for (n = 0; word[n] && word[n] != ',';)
            n++;
        p += n;
        bool kept = false, removed_later = false;
        for (unsigned i = 0; *word == '+' && i < FEATURE_COUNT; i++)
            kept |= text_equal(word + 1, n - 1, rows[i].name) && features_have(f, i);
        for (const char *q = p; *q;) {
            size_t m = 0;
            q += *q == ',';
            while (q[m] && q[m] != ',')
                m++;
            bool same = m == n && *q == '-';
            for (size_t i = 1; same && i < n; i++)
                same = q[i] == word[i];
            removed_later |= same;
            q += m;
        }
        if (*word == '+' && !kept && !removed_later)
            return refuse(error, "CPU feature", word + 1, n - 1, "needs another feature that this CPU does not have");
    }
    return 0;
}

/* -- the leaves -- */

static u32 *leaf_at(struct cpu_features *f, u32 leaf, u32 sub)
{
    u32 i = f->leaf_count;
    while (i && (f->leaf[i - 1].leaf > leaf || (f->leaf[i - 1].leaf == leaf && f->leaf[i - 1].sub >= sub)))
        i--;
    if (i < f->leaf_count && f->leaf[i].leaf == leaf && f->leaf[i].sub == sub)
        return f->leaf[i].r;
    for (u32 k = f->leaf_count++; k > i; k--)
        f->leaf[k] = f->leaf[k - 1];
    f->leaf[i] = (struct cpuid_leaf){.leaf = leaf, .sub = sub};
    return f->leaf[i].r;
}

static const u32 *leaf_find(const struct cpu_features *f, u32 leaf, u32 sub, const u32 *none)
{
    for (u32 i = 0; i < f->leaf_count; i++)
        if (f->leaf[i].leaf == leaf && f->leaf[i].sub == sub)
            return f->leaf[i].r;
    return none;
}

static void leaf_set(struct cpu_features *f, u32 leaf, u32 sub, u32 a, u32 b, u32 c, u32 d)
{
    u32 *r = leaf_at(f, leaf, sub);
    r[0] |= a;
    r[1] |= b;
    r[2] |= c;
    r[3] |= d;
}

/* Twelve characters in three registers. */
static void leaf_text(u32 r[3], const char *s)
{
    for (unsigned i = 0; i < 12; i++)
        r[i / 4] |= (u32)(u8)s[i] << (i % 4 * 8);
}

static unsigned id_bits(u32 vcpus)
{
    unsigned n = 0;
    while ((1u << n) < vcpus)
        n++;
    return n;
}

static void cache_leaves(struct cpu_features *f, const struct cpuid_config *c)
{
    bool intel = c->vendor == VENDOR_INTEL;
    const struct cache_row *row = intel ? intel_caches : amd_caches;
    u32 ids = 1u << id_bits(c->vcpus);
    for (u32 i = 0; i < 4; i++, row++) {
        u32 a = row->type | row->level << 5 | BIT(8);
        if (row->shared)
            a |= (intel ? ids - 1 : c->vcpus - 1) << 14;
        if (intel)
            a |= (ids > 64 ? 63 : ids - 1) << 26;
        leaf_set(f, intel ? 4 : 0x8000001d, i, a, (u32)(row->ways - 1) << 22 | 63, row->sets - 1, 0);
    }
    leaf_set(f, intel ? 4 : 0x8000001d, 4, 0, 0, 0, 0);
}

static u64 xcr0_possible(const struct cpu_features *f)
{
    return XCR0_X87 | XCR0_SSE | (features_have(f, FEATURE_AVX) ? XCR0_AVX : 0) |
           (features_have(f, FEATURE_AVX512F) ? XCR0_AVX512 : 0) | (features_have(f, FEATURE_PKU) ? XCR0_PKRU : 0);
}

/* Offsets and sizes are the host's, for the images are made by the host's instructions. */
static void xstate_components(struct cpu_features *f, void (*cpuid)(u32, u32, u32 *))
{
    u32 r[4];
    for (unsigned i = 2; i < XSTATE_COMPONENTS; i++) {
        if (!(f->xcr0 & BIT64(i)))
            continue;
        cpuid(0xd, i, r);
        if (BIT64(i) == XCR0_PKRU && !r[0])
            r[0] = 8, r[1] = 2688, r[2] = 0;
        f->xstate[i] = (struct xstate_component){r[1], r[0], r[2] & BIT(1)};
    }
}

/* The XSAVE feature set. */
static void xsave_leaves(struct cpu_features *f, void (*cpuid)(u32, u32, u32 *))
{
    f->xcr0 = xcr0_possible(f);
    f->xstate[0] = (struct xstate_component){0, FXSAVE_XMM, false};
    f->xstate[1] = (struct xstate_component){FXSAVE_XMM, FXSAVE_XMM_SIZE, false};
    xstate_components(f, cpuid);
    for (unsigned i = 2; i < XSTATE_COMPONENTS; i++)
        if (f->xcr0 & BIT64(i))
            leaf_set(f, 0xd, i, f->xstate[i].size, f->xstate[i].offset, f->xstate[i].align ? BIT(1) : 0, 0);
    leaf_set(f, 0xd, 0, (u32)f->xcr0, 0, xstate_size(f->xstate, f->xcr0, false), (u32)(f->xcr0 >> 32));
    leaf_set(f, 0xd, 1, 0, 0, 0, 0);
}

/* The TSC's ratio to the APIC bus as a fraction: Linux multiplies the bus frequency in kHz by the numerator in 32
 * bits. */
static void tsc_ratio(u64 tsc_khz, u32 *denominator, u32 *numerator)
{
    u64 best = ~0ull;
    for (u32 d = 1; d <= 4294 && tsc_khz * d / APIC_BUS_KHZ < 4294; d++) {
        u64 n = (tsc_khz * d + APIC_BUS_KHZ / 2) / APIC_BUS_KHZ;
        u64 got = n * APIC_BUS_KHZ, want = tsc_khz * d;
        u64 error = (got > want ? got - want : want - got) * 1000 / d;
        if (n && error < best) {
            best = error;
            *denominator = d;
            *numerator = (u32)n;
        }
    }
}

static void intel_leaves(struct cpu_features *f, const struct cpuid_config *c)
{
    u32 mhz = (u32)(c->tsc_khz / 1000);
    f->max_basic = 0x1f;
    f->max_extended = 0x80000008;
    leaf_text(leaf_at(f, 0, 0) + 1, "GenuntelineI"); /* EBX, ECX, EDX: Genu, ntel, ineI */
    leaf_set(f, 1, 0, SIGNATURE_INTEL, 0, 0, 0);
    leaf_set(f, 2, 0, 0x00feff01, 0xf0, 0, 0);
    u32 denominator = 1, numerator = 1;
    tsc_ratio(c->tsc_khz, &denominator, &numerator);
    leaf_set(f, 0x15, 0, denominator, numerator, APIC_BUS_KHZ * 1000, 0);
    leaf_set(f, 0x16, 0, mhz, mhz, 100, 0);
    leaf_set(f, 0x80000006, 0, 0, 0, 0x05007040, 0);
    for (u32 leaf = 0xb; leaf <= 0x1f; leaf += 0x1f - 0xb) {
        leaf_set(f, leaf, 0, 0, 1, 0x100, 0);
        leaf_set(f, leaf, 1, id_bits(c->vcpus), c->vcpus, 0x201, 0);
        leaf_set(f, leaf, 2, 0, 0, 2, 0);
    }
}

static void amd_leaves(struct cpu_features *f, const struct cpuid_config *c)
{
    f->max_basic = 0x10;
    f->max_extended = 0x80000021;
    leaf_text(leaf_at(f, 0, 0) + 1, "AuthcAMDenti"); /* EBX, ECX, EDX: Auth, cAMD, enti */
    leaf_text(leaf_at(f, 0x80000000, 0) + 1, "AuthcAMDenti");
    leaf_set(f, 1, 0, SIGNATURE_AMD, 0, 0, 0);
    leaf_set(f, 0x80000001, 0, SIGNATURE_AMD, 0, c->vcpus > 1 ? CPUID_CMP_LEGACY : 0,
             leaf_at(f, 1, 0)[3] & CPUID_AMD_MIRRORED);
    leaf_set(f, 0x80000005, 0, 0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140);
    leaf_set(f, 0x80000006, 0, 0x6c004c00, 0x6c004c00, 0x04006140, 64 << 18 | 0x9140);
    leaf_set(f, 0x80000008, 0, 0, 0, (c->vcpus - 1) | id_bits(c->vcpus) << 12, 0);
    leaf_set(f, 0xb, 0, 0, 1, 0x100, 0);
    leaf_set(f, 0xb, 1, id_bits(c->vcpus), c->vcpus, 0x201, 0);
    leaf_set(f, 0xb, 2, 0, 0, 2, 0);
    leaf_set(f, 0x8000001e, 0, 0, 0, 0, 0);
    if (features_have(f, FEATURE_SVM))
        leaf_set(f, 0x8000000a, 0, SVM_REVISION, SVM_ASIDS, 0, 0);
}

/* KVM's clock: guests that know it need not measure the TSC nor test the timer, which goes wrong on a busy host. */
static void kvm_leaves(struct cpu_features *f)
{
    static const u32 signature[3] = KVM_PARA_SIGNATURE;
    const u32 features = BIT(KVM_PARA_CLOCKSOURCE) | BIT(KVM_PARA_NOP_IO_DELAY) | BIT(KVM_PARA_CLOCKSOURCE2) |
                         BIT(KVM_PARA_CLOCK_STABLE);
    leaf_set(f, KVM_LEAF, 0, KVM_LEAF + 1, signature[0], signature[1], signature[2]);
    leaf_set(f, KVM_LEAF + 1, 0, features, 0, 0, 0);
}

static void common_leaves(struct cpu_features *f, const struct cpuid_config *c)
{
    static const char brand[48] = "nestbox virtual CPU";
    for (unsigned i = 0; i < 3; i++)
        __builtin_memcpy(leaf_at(f, 0x80000002 + i, 0), brand + i * 16, 16);
    u32 ids = 1u << id_bits(c->vcpus);
    leaf_set(f, 0, 0, f->max_basic, 0, 0, 0);
    leaf_set(f, 1, 0, 0, 8 << 8 | ids << 16, 0, c->vcpus > 1 ? CPUID_HTT : 0);
    if (features_have(f, FEATURE_MONITOR))
        leaf_set(f, 5, 0, 64, 64, 3, 0);
    leaf_set(f, 7, 0, features_have(f, FEATURE_BHI_CTRL) ? 2 : 1, 0, 0, 0);
    leaf_set(f, 0x80000000, 0, f->max_extended, 0, 0, 0);
    u32 linear = features_have(f, FEATURE_LA57) ? 57 : features_have(f, FEATURE_LM) ? 48 : 32;
    leaf_set(f, 0x80000008, 0, c->phys_bits | linear << 8, 0, 0, 0);
    if (features_have(f, FEATURE_HYPERVISOR)) {
        leaf_set(f, HYPERVISOR_LEAF, 0, HYPERVISOR_TIMING, 0, 0, 0);
        leaf_text(leaf_at(f, HYPERVISOR_LEAF, 0) + 1, "nestbox vmm ");
        leaf_set(f, HYPERVISOR_TIMING, 0, (u32)c->tsc_khz, APIC_BUS_KHZ, 0, 0);
        kvm_leaves(f);
    }
}

/* What the host's operating system enabled in XCR0. */
static u64 host_enabled(const struct cpuid_config *c, void (*cpuid)(u32, u32, u32 *))
{
    u32 r[4];
    cpuid(1, 0, r);
    if (!(r[2] & CPUID_OSXSAVE))
        return XCR0_X87 | XCR0_SSE;
    if (!c->host)
        return host_xcr0();
    cpuid(0xd, 0, r);
    return (u64)r[3] << 32 | r[0];
}

int cpuid_create(struct cpu_features *f, const struct cpuid_config *c, struct error *error)
{
    void (*cpuid)(u32, u32, u32 *) = c->host ? c->host : host_cpuid;
    struct cpu_features host;
    fill_bytes(&host, 0, sizeof(host));
    fill_bytes(f, 0, sizeof(*f));
    f->vendor = c->vendor;
    f->phys_bits = c->phys_bits;
    host_features(&host, cpuid, host_enabled(c, cpuid));
    int rc = choose_features(f, &host, c, error);
    if (rc)
        return rc;

    f->mxcsr_mask = host_mxcsr_mask() & (features_have(f, FEATURE_MISALIGNSSE) ? 0x2ffff : 0xffff);
    for (unsigned i = 0; i < FEATURE_COUNT; i++)
        if (features_have(f, i))
            leaf_at(f, rows[i].leaf, rows[i].sub)[rows[i].reg] |= feature_bit(i);
    if (features_have(f, FEATURE_XSAVE))
        xsave_leaves(f, cpuid);
    else
        f->xstate[0].size = FXSAVE_XMM, f->xstate[1] = (struct xstate_component){FXSAVE_XMM, FXSAVE_XMM_SIZE, false};
    if (c->vendor == VENDOR_INTEL)
        intel_leaves(f, c);
    else
        amd_leaves(f, c);
    if (c->vendor == VENDOR_INTEL || features_have(f, FEATURE_TOPOEXT))
        cache_leaves(f, c);
    common_leaves(f, c);
    return 0;
}

/* -- leaves that are given -- */

static void xsave_given(struct cpu_features *f, void (*cpuid)(u32, u32, u32 *))
{
    u64 asked = f->xcr0;
    f->xstate[0] = (struct xstate_component){0, FXSAVE_XMM, false};
    f->xstate[1] = (struct xstate_component){FXSAVE_XMM, FXSAVE_XMM_SIZE, false};
    f->xcr0 = 0;
    if (!features_have(f, FEATURE_XSAVE))
        return;
    f->xcr0 = xcr0_possible(f) & (asked | XCR0_X87 | XCR0_SSE);
    xstate_components(f, cpuid);
}

void cpuid_from_leaves(struct cpu_features *f, const struct cpuid_config *config, const struct cpuid_leaf *leaf,
                       u32 count)
{
    static const u32 none[4];
    void (*cpuid)(u32, u32, u32 *) = config->host ? config->host : host_cpuid;
    struct cpuid_config c = *config;
    struct cpu_features host;
    fill_bytes(&host, 0, sizeof(host));
    fill_bytes(f, 0, sizeof(*f));
    for (u32 i = 0; i < count && i < CPUID_LEAVES; i++)
        __builtin_memcpy(leaf_at(f, leaf[i].leaf, cpuid_has_subleaves(leaf[i].leaf) ? leaf[i].sub : 0), leaf[i].r, 16);
    const u32 *r = leaf_find(f, 0, 0, none);
    f->given = true;
    f->vendor = c.vendor = cpuid_vendor(r[1]);
    f->max_basic = r[0];
    f->max_extended = leaf_find(f, 0x80000000, 0, none)[0];
    r = leaf_find(f, 0x80000008, 0, none);
    f->phys_bits = r[0] & 0xff ? r[0] & 0xff : PHYS_BITS_DEFAULT;
    if (f->phys_bits > PHYS_BITS_MAX)
        f->phys_bits = PHYS_BITS_MAX;
    host_features(&host, cpuid, host_enabled(&c, cpuid));
    for (unsigned i = 0; i < FEATURE_COUNT; i++)
        feature_set(f, i,
                    leaf_find(f, rows[i].leaf, rows[i].sub, none)[rows[i].reg] & feature_bit(i) &&
                        feature_available(&host, &c, i));
    drop_orphans(f);
    f->mxcsr_mask = host_mxcsr_mask() & (features_have(f, FEATURE_MISALIGNSSE) ? 0x2ffff : 0xffff);
    r = leaf_find(f, 0xd, 0, none);
    f->xcr0 = (u64)r[3] << 32 | r[0];
    xsave_given(f, cpuid);
}

const char *cpuid_model_name(unsigned i)
{
    return i < ARRAY_LEN(models) ? models[i].name : NULL;
}

/* -- the instruction -- */

bool cpuid_has_subleaves(u32 leaf)
{
    return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd || leaf == 0x1f || leaf == 0x8000001d;
}

void cpuid_read(const struct vcpu *v, u32 leaf, u32 sub, u32 r[4])
{
    const struct cpu_features *f = v->features;
    bool intel = f->vendor == VENDOR_INTEL;
    r[0] = r[1] = r[2] = r[3] = 0;

    bool hypervisor = leaf >> 16 == HYPERVISOR_LEAF >> 16 && features_have(f, FEATURE_HYPERVISOR);
    u32 max = leaf & 0x80000000 ? f->max_extended : f->max_basic;
    if (!hypervisor && leaf > max) {
        /* SDM "CPUID": beyond the range, the data of the highest basic leaf. */
        if (!intel)
            return;
        leaf = f->max_basic;
    }
    u32 key = cpuid_has_subleaves(leaf) ? sub : 0;
    for (u32 i = 0; i < f->leaf_count; i++)
        if (f->leaf[i].leaf == leaf && f->leaf[i].sub == key) {
            __builtin_memcpy(r, f->leaf[i].r, 16);
            break;
        }

    switch (leaf) {
    case 0:
        if (v->misc_enable & MISC_ENABLE_LIMIT_CPUID)
            r[0] = 2;
        break;
    case 1:
        if (!f->given)
            r[1] |= v->apic_id << 24;
        if (v->cr4 & CR4_OSXSAVE)
            r[2] |= CPUID_OSXSAVE;
        if (intel && !(v->misc_enable & MISC_ENABLE_MONITOR))
            r[2] &= ~feature_bit(FEATURE_MONITOR);
        else if (vm_quirk(v->vm, CPU_MONITOR_BY_MSR) && v->misc_enable & MISC_ENABLE_MONITOR)
            r[2] |= feature_bit(FEATURE_MONITOR);
        if (!(v->apic_base & APIC_BASE_EN))
            r[3] &= ~feature_bit(FEATURE_APIC);
        break;
    case 7:
        if (!sub && (v->cr4 & CR4_PKE))
            r[2] |= CPUID_OSPKE;
        break;
    case 0xb:
    case 0x1f:
        if (sub > 1)
            r[2] = sub & 0xff;
        if (!f->given)
            r[3] = v->apic_id;
        break;
    case 0xd:
        if (sub == 0 && f->xcr0)
            r[1] = xstate_size(f->xstate, v->xcr0, false);
        else if (sub == 1 && features_have(f, FEATURE_XSAVEC))
            r[1] = xstate_size(f->xstate, v->xcr0 | v->xss, true);
        break;
    case 0x80000001:
        if (!intel && !(v->apic_base & APIC_BASE_EN))
            r[3] &= ~feature_bit(FEATURE_APIC);
        if (v->misc_enable & MISC_ENABLE_XD_DISABLE)
            r[3] &= ~feature_bit(FEATURE_NX);
        /* SDM "CPUID": SYSCALL is shown in 64-bit mode only. Leaves that are given show it always, as KVM's. */
        if (intel && !f->given && !in_64bit(v))
            r[3] &= ~feature_bit(FEATURE_SYSCALL);
        break;
    case 0x8000001e:
        if (!f->given) {
            r[0] = v->apic_id;
            r[1] = v->apic_id & 0xff;
        }
        break;
    }
}
