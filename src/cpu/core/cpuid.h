/*
 * What the guest's CPUID shows: computed once at the VM's creation from the host's CPUID (copied instructions), from
 * what the engine implements (called ones and system features), and from the user's choice; then only looked up. Start
 * at FEATURES: one row says everything about a feature.
 */
#ifndef CPU_CORE_CPUID_H
#define CPU_CORE_CPUID_H

#include "base/error.h"
#include "cpu/core/xsave_layout.h"

enum vendor { VENDOR_INTEL, VENDOR_AMD };

enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

/* Where a feature comes from. */
enum feature_source {
    FROM_HOST,   /* executed by the host: shown if the host has it */
    FROM_ENGINE, /* the engine's own work: always there */
    FROM_NESTED, /* as the configuration says */
    ON_REQUEST,  /* the engine can, shown only if asked for by name */
};

enum feature_vendor { ANY_VENDOR, INTEL_ONLY, AMD_ONLY };

/* The smallest model that has it. */
enum feature_level { LEVEL_32, LEVEL_V1, LEVEL_V2, LEVEL_V3, LEVEL_V4, LEVEL_MAX };

/* X(enumerator, Linux name, leaf, subleaf, register, bit, source, vendor, level, feature that it needs) */
/* clang-format off */
#define FEATURES(X)                                                                                              \
    X(FPU,       "fpu",        1, 0, EDX,  0, FROM_ENGINE, ANY_VENDOR, LEVEL_32, FPU)                            \
    X(VME,       "vme",        1, 0, EDX,  1, FROM_ENGINE, ANY_VENDOR, LEVEL_32, VME)                            \
    X(DE,        "de",         1, 0, EDX,  2, FROM_ENGINE, ANY_VENDOR, LEVEL_32, DE)                             \
    X(PSE,       "pse",        1, 0, EDX,  3, FROM_ENGINE, ANY_VENDOR, LEVEL_32, PSE)                            \
    X(TSC,       "tsc",        1, 0, EDX,  4, FROM_ENGINE, ANY_VENDOR, LEVEL_32, TSC)                            \
    X(MSR,       "msr",        1, 0, EDX,  5, FROM_ENGINE, ANY_VENDOR, LEVEL_32, MSR)                            \
    X(PAE,       "pae",        1, 0, EDX,  6, FROM_ENGINE, ANY_VENDOR, LEVEL_32, PAE)                            \
    X(MCE,       "mce",        1, 0, EDX,  7, FROM_ENGINE, ANY_VENDOR, LEVEL_32, MCE)                            \
    X(CX8,       "cx8",        1, 0, EDX,  8, FROM_ENGINE, ANY_VENDOR, LEVEL_32, CX8)                            \
    X(APIC,      "apic",       1, 0, EDX,  9, FROM_ENGINE, ANY_VENDOR, LEVEL_32, MSR)                            \
    X(SEP,       "sep",        1, 0, EDX, 11, FROM_ENGINE, ANY_VENDOR, LEVEL_32, MSR)                            \
    X(MTRR,      "mtrr",       1, 0, EDX, 12, FROM_ENGINE, ANY_VENDOR, LEVEL_32, MSR)                            \
    X(PGE,       "pge",        1, 0, EDX, 13, FROM_ENGINE, ANY_VENDOR, LEVEL_32, PGE)                            \
    X(MCA,       "mca",        1, 0, EDX, 14, FROM_ENGINE, ANY_VENDOR, LEVEL_32, MSR)                            \
    X(CMOV,      "cmov",       1, 0, EDX, 15, FROM_ENGINE, ANY_VENDOR, LEVEL_32, CMOV)                           \
    X(PAT,       "pat",        1, 0, EDX, 16, FROM_ENGINE, ANY_VENDOR, LEVEL_32, MSR)                            \
    X(PSE36,     "pse36",      1, 0, EDX, 17, FROM_ENGINE, ANY_VENDOR, LEVEL_32, PSE)                            \
    X(CLFLUSH,   "clflush",    1, 0, EDX, 19, FROM_ENGINE, ANY_VENDOR, LEVEL_32, CLFLUSH)                        \
    X(MMX,       "mmx",        1, 0, EDX, 23, FROM_ENGINE, ANY_VENDOR, LEVEL_32, FPU)                            \
    X(FXSR,      "fxsr",       1, 0, EDX, 24, FROM_ENGINE, ANY_VENDOR, LEVEL_32, FPU)                            \
    X(SSE,       "sse",        1, 0, EDX, 25, FROM_ENGINE, ANY_VENDOR, LEVEL_32, FXSR)                           \
    X(SSE2,      "sse2",       1, 0, EDX, 26, FROM_ENGINE, ANY_VENDOR, LEVEL_32, SSE)                            \
    X(SS,        "ss",         1, 0, EDX, 27, FROM_ENGINE, INTEL_ONLY, LEVEL_32, SS)                             \
    X(SSE3,      "pni",        1, 0, ECX,  0, FROM_HOST,   ANY_VENDOR, LEVEL_V2, SSE2)                           \
    X(PCLMUL,    "pclmulqdq",  1, 0, ECX,  1, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, SSE2)                          \
    X(MONITOR,   "monitor",    1, 0, ECX,  3, ON_REQUEST,  ANY_VENDOR, LEVEL_32, MONITOR)                        \
    X(VMX,       "vmx",        1, 0, ECX,  5, FROM_NESTED, INTEL_ONLY, LEVEL_32, MSR)                            \
    X(SSSE3,     "ssse3",      1, 0, ECX,  9, FROM_HOST,   ANY_VENDOR, LEVEL_V2, SSE3)                           \
    X(FMA,       "fma",        1, 0, ECX, 12, FROM_HOST,   ANY_VENDOR, LEVEL_V3, AVX)                            \
    X(CX16,      "cx16",       1, 0, ECX, 13, FROM_HOST,   ANY_VENDOR, LEVEL_V2, LM)                             \
    X(PCID,      "pcid",       1, 0, ECX, 17, FROM_ENGINE, ANY_VENDOR, LEVEL_32, LM)                             \
    X(SSE41,     "sse4_1",     1, 0, ECX, 19, FROM_HOST,   ANY_VENDOR, LEVEL_V2, SSSE3)                          \
    X(SSE42,     "sse4_2",     1, 0, ECX, 20, FROM_HOST,   ANY_VENDOR, LEVEL_V2, SSE41)                          \
    X(X2APIC,    "x2apic",     1, 0, ECX, 21, FROM_ENGINE, ANY_VENDOR, LEVEL_32, APIC)                           \
    X(MOVBE,     "movbe",      1, 0, ECX, 22, FROM_HOST,   ANY_VENDOR, LEVEL_V3, MOVBE)                          \
    X(POPCNT,    "popcnt",     1, 0, ECX, 23, FROM_HOST,   ANY_VENDOR, LEVEL_V2, POPCNT)                         \
    X(TSC_DEADLINE, "tsc_deadline_timer", 1, 0, ECX, 24, FROM_ENGINE, ANY_VENDOR, LEVEL_32, APIC)                \
    X(AES,       "aes",        1, 0, ECX, 25, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, SSE2)                          \
    X(XSAVE,     "xsave",      1, 0, ECX, 26, FROM_HOST,   ANY_VENDOR, LEVEL_V3, FXSR)                           \
    X(AVX,       "avx",        1, 0, ECX, 28, FROM_HOST,   ANY_VENDOR, LEVEL_V3, XSAVE)                          \
    X(F16C,      "f16c",       1, 0, ECX, 29, FROM_HOST,   ANY_VENDOR, LEVEL_V3, AVX)                            \
    X(RDRAND,    "rdrand",     1, 0, ECX, 30, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, RDRAND)                        \
    X(HYPERVISOR, "hypervisor", 1, 0, ECX, 31, FROM_ENGINE, ANY_VENDOR, LEVEL_32, HYPERVISOR)                    \
    X(ARAT,      "arat",       6, 0, EAX,  2, FROM_ENGINE, ANY_VENDOR, LEVEL_32, APIC)                           \
    X(FSGSBASE,  "fsgsbase",   7, 0, EBX,  0, FROM_ENGINE, ANY_VENDOR, LEVEL_32, LM)                             \
    X(TSC_ADJUST, "tsc_adjust", 7, 0, EBX, 1, FROM_ENGINE, ANY_VENDOR, LEVEL_32, TSC)                            \
    X(BMI1,      "bmi1",       7, 0, EBX,  3, FROM_HOST,   ANY_VENDOR, LEVEL_V3, BMI1)                           \
    X(AVX2,      "avx2",       7, 0, EBX,  5, FROM_HOST,   ANY_VENDOR, LEVEL_V3, AVX)                            \
    X(SMEP,      "smep",       7, 0, EBX,  7, FROM_ENGINE, ANY_VENDOR, LEVEL_32, SMEP)                           \
    X(BMI2,      "bmi2",       7, 0, EBX,  8, FROM_HOST,   ANY_VENDOR, LEVEL_V3, BMI2)                           \
    X(ERMS,      "erms",       7, 0, EBX,  9, FROM_ENGINE, ANY_VENDOR, LEVEL_32, ERMS)                           \
    X(INVPCID,   "invpcid",    7, 0, EBX, 10, FROM_ENGINE, ANY_VENDOR, LEVEL_32, INVPCID)                        \
    X(ZERO_FCS_FDS, "zero_fcs_fds", 7, 0, EBX, 13, FROM_ENGINE, INTEL_ONLY, LEVEL_32, FPU)                       \
    X(AVX512F,   "avx512f",    7, 0, EBX, 16, FROM_HOST,   ANY_VENDOR, LEVEL_V4, AVX2)                           \
    X(AVX512DQ,  "avx512dq",   7, 0, EBX, 17, FROM_HOST,   ANY_VENDOR, LEVEL_V4, AVX512F)                        \
    X(RDSEED,    "rdseed",     7, 0, EBX, 18, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, RDSEED)                        \
    X(ADX,       "adx",        7, 0, EBX, 19, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, ADX)                           \
    X(SMAP,      "smap",       7, 0, EBX, 20, FROM_ENGINE, ANY_VENDOR, LEVEL_32, SMAP)                           \
    X(AVX512IFMA, "avx512ifma", 7, 0, EBX, 21, FROM_HOST,  ANY_VENDOR, LEVEL_MAX, AVX512F)                       \
    X(CLFLUSHOPT, "clflushopt", 7, 0, EBX, 23, FROM_HOST,  ANY_VENDOR, LEVEL_MAX, CLFLUSH)                       \
    X(CLWB,      "clwb",       7, 0, EBX, 24, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, CLFLUSH)                       \
    X(AVX512CD,  "avx512cd",   7, 0, EBX, 28, FROM_HOST,   ANY_VENDOR, LEVEL_V4, AVX512F)                        \
    X(SHA,       "sha_ni",     7, 0, EBX, 29, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, SSE2)                          \
    X(AVX512BW,  "avx512bw",   7, 0, EBX, 30, FROM_HOST,   ANY_VENDOR, LEVEL_V4, AVX512F)                        \
    X(AVX512VL,  "avx512vl",   7, 0, EBX, 31, FROM_HOST,   ANY_VENDOR, LEVEL_V4, AVX512F)                        \
    X(AVX512VBMI, "avx512vbmi", 7, 0, ECX, 1, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, AVX512BW)                      \
    X(UMIP,      "umip",       7, 0, ECX,  2, FROM_ENGINE, ANY_VENDOR, LEVEL_32, UMIP)                           \
    X(PKU,       "pku",        7, 0, ECX,  3, FROM_ENGINE, ANY_VENDOR, LEVEL_32, LM)                             \
    X(AVX512VBMI2, "avx512_vbmi2", 7, 0, ECX, 6, FROM_HOST, ANY_VENDOR, LEVEL_MAX, AVX512BW)                     \
    X(GFNI,      "gfni",       7, 0, ECX,  8, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, SSE2)                          \
    X(VAES,      "vaes",       7, 0, ECX,  9, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, AVX)                           \
    X(VPCLMUL,   "vpclmulqdq", 7, 0, ECX, 10, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, AVX)                           \
    X(AVX512VNNI, "avx512_vnni", 7, 0, ECX, 11, FROM_HOST, ANY_VENDOR, LEVEL_MAX, AVX512F)                       \
    X(AVX512BITALG, "avx512_bitalg", 7, 0, ECX, 12, FROM_HOST, ANY_VENDOR, LEVEL_MAX, AVX512BW)                  \
    X(AVX512VPOPCNTDQ, "avx512_vpopcntdq", 7, 0, ECX, 14, FROM_HOST, ANY_VENDOR, LEVEL_MAX, AVX512F)             \
    X(LA57,      "la57",       7, 0, ECX, 16, ON_REQUEST,  ANY_VENDOR, LEVEL_V1, LM)                             \
    X(RDPID,     "rdpid",      7, 0, ECX, 22, FROM_ENGINE, ANY_VENDOR, LEVEL_32, RDPID)                          \
    X(MOVDIRI,   "movdiri",    7, 0, ECX, 27, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, MOVDIRI)                       \
    X(FSRM,      "fsrm",       7, 0, EDX,  4, FROM_ENGINE, ANY_VENDOR, LEVEL_32, ERMS)                           \
    X(AVX512VP2INTERSECT, "avx512_vp2intersect", 7, 0, EDX, 8, FROM_HOST, ANY_VENDOR, LEVEL_MAX, AVX512F)        \
    X(SERIALIZE, "serialize",  7, 0, EDX, 14, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, SERIALIZE)                     \
    X(AVX512FP16, "avx512_fp16", 7, 0, EDX, 23, FROM_HOST, ANY_VENDOR, LEVEL_MAX, AVX512BW)                      \
    X(SPEC_CTRL, "ibrs",       7, 0, EDX, 26, FROM_ENGINE, INTEL_ONLY, LEVEL_32, MSR)                            \
    X(STIBP,     "stibp",      7, 0, EDX, 27, FROM_ENGINE, INTEL_ONLY, LEVEL_32, SPEC_CTRL)                      \
    X(FLUSH_L1D, "flush_l1d",  7, 0, EDX, 28, FROM_ENGINE, INTEL_ONLY, LEVEL_32, MSR)                            \
    X(ARCH_CAPABILITIES, "arch_capabilities", 7, 0, EDX, 29, FROM_ENGINE, INTEL_ONLY, LEVEL_32, MSR)             \
    X(SSBD,      "ssbd",       7, 0, EDX, 31, FROM_ENGINE, INTEL_ONLY, LEVEL_32, SPEC_CTRL)                      \
    X(AVX_VNNI,  "avx_vnni",   7, 1, EAX,  4, FROM_HOST,   ANY_VENDOR, LEVEL_MAX, AVX2)                          \
    X(AVX512BF16, "avx512_bf16", 7, 1, EAX, 5, FROM_HOST,  ANY_VENDOR, LEVEL_MAX, AVX512BW)                      \
    X(BHI_CTRL, "bhi_ctrl",  7, 2, EDX,  4, FROM_ENGINE, INTEL_ONLY, LEVEL_32, SPEC_CTRL)                        \
    X(XSAVEOPT,  "xsaveopt", 0xd, 1, EAX,  0, FROM_ENGINE, ANY_VENDOR, LEVEL_32, XSAVE)                          \
    X(XSAVEC,    "xsavec",   0xd, 1, EAX,  1, FROM_ENGINE, ANY_VENDOR, LEVEL_32, XSAVE)                          \
    X(XGETBV1,   "xgetbv1",  0xd, 1, EAX,  2, FROM_ENGINE, ANY_VENDOR, LEVEL_32, XSAVE)                          \
    X(XSAVES,    "xsaves",   0xd, 1, EAX,  3, FROM_ENGINE, ANY_VENDOR, LEVEL_32, XSAVEC)                         \
    X(LAHF_LM,   "lahf_lm", 0x80000001, 0, ECX, 0, FROM_HOST,   ANY_VENDOR, LEVEL_V2, LM)                        \
    X(SVM,       "svm",     0x80000001, 0, ECX, 2, FROM_NESTED, AMD_ONLY,   LEVEL_32, MSR)                       \
    X(LZCNT,     "abm",     0x80000001, 0, ECX, 5, FROM_HOST,   ANY_VENDOR, LEVEL_V3, LZCNT)                     \
    X(SSE4A,     "sse4a",   0x80000001, 0, ECX, 6, FROM_HOST,   AMD_ONLY,   LEVEL_MAX, SSE3)                     \
    X(MISALIGNSSE, "misalignsse", 0x80000001, 0, ECX, 7, FROM_HOST, AMD_ONLY, LEVEL_MAX, SSE)                    \
    X(PREFETCHW, "3dnowprefetch", 0x80000001, 0, ECX, 8, FROM_HOST, ANY_VENDOR, LEVEL_MAX, PREFETCHW)            \
    X(TOPOEXT,   "topoext", 0x80000001, 0, ECX, 22, FROM_ENGINE, AMD_ONLY,  LEVEL_32, TOPOEXT)                   \
    X(SYSCALL,   "syscall", 0x80000001, 0, EDX, 11, FROM_ENGINE, ANY_VENDOR, LEVEL_V1, MSR)                      \
    X(NX,        "nx",      0x80000001, 0, EDX, 20, FROM_ENGINE, ANY_VENDOR, LEVEL_32, PAE)                      \
    X(MMXEXT,    "mmxext",  0x80000001, 0, EDX, 22, FROM_ENGINE, AMD_ONLY,  LEVEL_32, MMX)                       \
    X(FXSR_OPT,  "fxsr_opt", 0x80000001, 0, EDX, 25, FROM_ENGINE, AMD_ONLY, LEVEL_32, FXSR)                      \
    X(PDPE1GB,   "pdpe1gb", 0x80000001, 0, EDX, 26, FROM_ENGINE, ANY_VENDOR, LEVEL_V1, LM)                       \
    X(RDTSCP,    "rdtscp",  0x80000001, 0, EDX, 27, FROM_ENGINE, ANY_VENDOR, LEVEL_32, TSC)                      \
    X(LM,        "lm",      0x80000001, 0, EDX, 29, FROM_ENGINE, ANY_VENDOR, LEVEL_V1, PAE)                      \
    X(INVARIANT_TSC, "nonstop_tsc", 0x80000007, 0, EDX, 8, FROM_ENGINE, ANY_VENDOR, LEVEL_32, TSC)               \
    X(XSAVEERPTR, "xsaveerptr", 0x80000008, 0, EBX, 2, FROM_ENGINE, AMD_ONLY, LEVEL_32, FXSR)                    \
    X(AMD_IBPB,  "ibpb",    0x80000008, 0, EBX, 12, FROM_ENGINE, AMD_ONLY,  LEVEL_32, MSR)                       \
    X(AMD_IBRS,  "ibrs",    0x80000008, 0, EBX, 14, FROM_ENGINE, AMD_ONLY,  LEVEL_32, MSR)                       \
    X(AMD_STIBP, "stibp",   0x80000008, 0, EBX, 15, FROM_ENGINE, AMD_ONLY,  LEVEL_32, MSR)                       \
    X(AMD_SSBD,  "ssbd",    0x80000008, 0, EBX, 24, FROM_ENGINE, AMD_ONLY,  LEVEL_32, MSR)                       \
    X(AMD_SSB_NO, "ssb_no", 0x80000008, 0, EBX, 26, FROM_ENGINE, AMD_ONLY,  LEVEL_32, AMD_SSB_NO)                \
    X(AMD_BTC_NO, "btc_no", 0x80000008, 0, EBX, 29, FROM_ENGINE, AMD_ONLY,  LEVEL_32, AMD_BTC_NO)                \
    X(NPT, "npt", 0x8000000a, 0, EDX, 0, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)                                   \
    X(LBRV, "lbrv", 0x8000000a, 0, EDX, 1, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)                                 \
    X(SVM_LOCK, "svm_lock", 0x8000000a, 0, EDX, 2, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)                         \
    X(NRIPS, "nrip_save", 0x8000000a, 0, EDX, 3, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)                           \
    X(TSC_SCALE, "tsc_scale", 0x8000000a, 0, EDX, 4, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)                       \
    X(VMCB_CLEAN, "vmcb_clean", 0x8000000a, 0, EDX, 5, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)                     \
    X(FLUSHBYASID, "flushbyasid", 0x8000000a, 0, EDX, 6, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)                   \
    X(DECODEASSISTS, "decodeassists", 0x8000000a, 0, EDX, 7, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)               \
    X(PAUSEFILTER, "pausefilter", 0x8000000a, 0, EDX, 10, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)                  \
    X(PFTHRESHOLD, "pfthreshold", 0x8000000a, 0, EDX, 12, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)                  \
    X(V_VMLOAD, "v_vmsave_vmload", 0x8000000a, 0, EDX, 15, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)                 \
    X(VGIF, "vgif", 0x8000000a, 0, EDX, 16, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)                                \
    X(VNMI, "vnmi", 0x8000000a, 0, EDX, 25, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)                                \
    X(SVME_ADDR_CHK, "svme_addr_chk", 0x8000000a, 0, EDX, 28, FROM_NESTED, AMD_ONLY, LEVEL_32, SVM)              \
    X(LFENCE_RDTSC, "lfence_rdtsc", 0x80000021, 0, EAX, 2, FROM_ENGINE, AMD_ONLY, LEVEL_32, SSE2)                \
    X(NULL_SEL_CLR_BASE, "null_sel_clr_base", 0x80000021, 0, EAX, 6, FROM_ENGINE, AMD_ONLY, LEVEL_32,            \
      NULL_SEL_CLR_BASE)                                                                                         \
    X(AUTOIBRS,  "autoibrs", 0x80000021, 0, EAX, 8, FROM_ENGINE, AMD_ONLY,  LEVEL_V1, AMD_IBRS)                  \
    X(SRSO_NO,   "srso_no", 0x80000021, 0, EAX, 29, FROM_ENGINE, AMD_ONLY,  LEVEL_32, SRSO_NO)                   \
    X(TSA_SQ_NO, "tsa_sq_no", 0x80000021, 0, ECX, 1, FROM_ENGINE, AMD_ONLY, LEVEL_32, TSA_SQ_NO)                 \
    X(TSA_L1_NO, "tsa_l1_no", 0x80000021, 0, ECX, 2, FROM_ENGINE, AMD_ONLY, LEVEL_32, TSA_L1_NO)
/* clang-format on */

enum feature {
#define X(id, name, leaf, sub, reg, bit, source, vendor, level, needs) FEATURE_##id,
    FEATURES(X)
#undef X
        FEATURE_COUNT
};

#define FEATURE_WORDS ((FEATURE_COUNT + 63) / 64)
#define CPUID_LEAVES 256

struct cpuid_leaf {
    u32 leaf, sub;
    u32 r[4];
};

struct cpu_features {
    u64 has[FEATURE_WORDS];
    enum vendor vendor;
    u32 phys_bits; /* MAXPHYADDR */
    u32 leaf_count;
    /* Sorted by leaf and subleaf; what varies with the CPU's state is added later. */
    struct cpuid_leaf leaf[CPUID_LEAVES];
    u32 max_basic, max_extended;
    u64 xcr0; /* bits that XCR0 may have */
    struct xstate_component xstate[XSTATE_COMPONENTS];
    u32 mxcsr_mask;
    bool given; /* by cpuid_from_leaves: the leaves name the vCPU's own IDs */
};

struct cpuid_config {
    enum vendor vendor;
    bool nested;
    u32 vcpus;
    u64 tsc_khz;
    u32 phys_bits;
    const char *model;                         /* "MODEL,+feature,-feature" or NULL */
    void (*host)(u32 leaf, u32 sub, u32 r[4]); /* NULL: this host's CPUID instruction */
};

/* Fills `f`. 0 or -EINVAL. */
int MUST_CHECK cpuid_create(struct cpu_features *f, const struct cpuid_config *c, struct error *error);

/*
 * As cpuid_create, with the leaves that somebody gives for one vCPU, up to CPUID_LEAVES of them: they are shown as they
 * are, but for what follows the vCPU's state. They decide the vendor, the features among those that the engine has on
 * this host, and the width of physical addresses; `c` says the rest.
 */
void cpuid_from_leaves(struct cpu_features *f, const struct cpuid_config *c, const struct cpuid_leaf *leaf, u32 count);

/* Does the answer to this leaf depend on ECX? Of the others only subleaf 0 is kept. */
bool cpuid_has_subleaves(u32 leaf);

/* Are these a model and features that there are, whatever the host has? 0 or -EINVAL. */
int MUST_CHECK cpuid_check(const char *model, struct error *error);

/* The models by index; NULL at the end. */
const char *cpuid_model_name(unsigned i);

struct vcpu;
/* What CPUID returns on this vCPU now. */
void cpuid_read(const struct vcpu *v, u32 leaf, u32 sub, u32 r[4]);

/* The vendor that EBX of leaf 0 names: AMD, or Intel and whoever behaves like it. */
static inline enum vendor cpuid_vendor(u32 ebx)
{
    return ebx == 0x68747541 /* "Auth" */ ? VENDOR_AMD : VENDOR_INTEL;
}
/* The host's: copied instructions fault as they do there, whatever vendor the guest sees. */
enum vendor host_vendor(void);

static inline bool features_have(const struct cpu_features *f, enum feature id)
{
    return f->has[id / 64] >> (id % 64) & 1;
}

#endif
