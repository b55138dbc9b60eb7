/*
 * What it means that two outcomes agree, and how a case and its differences are shown. Flags count unless the manual
 * calls them undefined after one of the case's instructions (Zydis' table of flags) and nothing else differs.
 */
#include "tests/insn/compare.h"
#include "tests/insn/monitor.h"

#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>

#define FLAGS_SEEN (FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID)

static const char *const gpr_name[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

/* What the manuals leave open when an instruction of the case faults: what is true here is not compared. */
struct latitude {
    bool memory;    /* ENTER may have written to the stack before its last check; scatters in any order */
    bool vectors;   /* gathers and scatters: elements above the one that faulted */
    bool cr2_page;  /* masked accesses: which byte of the page */
    bool no_mask;   /* MASKMOVDQU and MASKMOVQ with an all-zero mask: faults or none */
    bool x87;       /* x87 and MMX with memory: what a fault leaves of the stack differs between CPUs' ways to fault */
    bool x87_store; /* an unmasked exception keeps the CPU from storing at all; here the store's fault comes first */
    bool mxcsr;     /* VCVTPS2PH to memory notes or raises its exceptions before the store faults */
    bool masked;    /* how much of a masked or gathered operand is checked for alignment */
    bool cr2;       /* MASKMOV and x87 images: which byte of several pages */
    bool rex;       /* several REX prefixes in a row, which the decoder library takes apart differently */
    u64 flags;      /* undefined after an instruction */
    bool enter;     /* which of the many accesses of ENTER faults first */
    u64 step_flags; /* open when a repetition is interrupted */
};

static bool repeats_rex(const u8 *code, unsigned len)
{
    static const u8 prefixes[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    unsigned rex = 0;
    for (unsigned i = 0; i < len; i++) {
        if (code[i] >> 4 == 4)
            rex++;
        else if (!memchr(prefixes, code[i], sizeof(prefixes)))
            break;
    }
    return rex > 1;
}

static struct latitude latitude_of(const struct test_case *c)
{
    struct latitude l = {0};
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (unsigned i = 0; i < c->units; i++) {
        ZydisDecodedInstruction in;
        for (unsigned at = 0; at < c->len[i]; at += in.length) {
            if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, c->code[i] + at, c->len[i] - at, &in)))
                break;
            if (in.cpu_flags)
                l.flags |= in.cpu_flags->undefined;
            bool scatter = in.meta.category == ZYDIS_CATEGORY_SCATTER;
            bool gather = in.meta.category == ZYDIS_CATEGORY_GATHER || in.meta.category == ZYDIS_CATEGORY_AVX2GATHER;
            bool maskmovdq = in.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ || in.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU ||
                             in.mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU;
            bool maskmov = maskmovdq || in.mnemonic == ZYDIS_MNEMONIC_VMASKMOVPS ||
                           in.mnemonic == ZYDIS_MNEMONIC_VMASKMOVPD || in.mnemonic == ZYDIS_MNEMONIC_VPMASKMOVD ||
                           in.mnemonic == ZYDIS_MNEMONIC_VPMASKMOVQ;
            bool state = in.mnemonic == ZYDIS_MNEMONIC_FRSTOR || in.mnemonic == ZYDIS_MNEMONIC_FNSAVE ||
                         in.mnemonic == ZYDIS_MNEMONIC_FLDENV || in.mnemonic == ZYDIS_MNEMONIC_FNSTENV;
            l.x87 |= in.meta.isa_ext == ZYDIS_ISA_EXT_X87 || in.meta.isa_ext == ZYDIS_ISA_EXT_MMX ||
                     in.meta.isa_set == ZYDIS_ISA_SET_SSE2MMX || in.meta.isa_ext == ZYDIS_ISA_EXT_SSE;
            l.x87_store |= in.meta.isa_ext == ZYDIS_ISA_EXT_X87 || in.mnemonic == ZYDIS_MNEMONIC_FISTTP;
            l.mxcsr |= in.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH;
            l.masked |= gather || scatter || in.mnemonic == ZYDIS_MNEMONIC_VCVTPH2PS ||
                        (in.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && in.avx.mask.reg);
            bool stepped = in.meta.category == ZYDIS_CATEGORY_STRINGOP &&
                           in.attributes & (ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
            if (stepped) /* at a trap between iterations: those of the last comparison, or from before it */
                l.step_flags |= FLAGS_ARITH;
            l.enter |= in.mnemonic == ZYDIS_MNEMONIC_ENTER;
            l.cr2 |= maskmovdq || state || in.mnemonic == ZYDIS_MNEMONIC_ENTER;
            l.rex |= repeats_rex(c->code[i] + at, c->len[i] - at);
            /* These are stored in parts. */
            bool tenbyte = in.mnemonic == ZYDIS_MNEMONIC_FBSTP || in.mnemonic == ZYDIS_MNEMONIC_FSTP;
            l.memory |= tenbyte || scatter || in.mnemonic == ZYDIS_MNEMONIC_ENTER;
            l.vectors |= scatter || gather;
            l.no_mask |= maskmovdq;
            l.cr2_page |= scatter || gather || maskmov || in.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
        }
    }
    return l;
}

/* Decodes the instruction that RIP points at. */
static bool decode_at(const struct test_case *c, u64 rip, ZydisDecodedInstruction *in, ZydisDecodedOperand *op)
{
    u8 code[UNITS * UNIT_BYTES + 16];
    u64 at = rip - CODE_LA - c->start;
    unsigned n = case_bytes(c, code);
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return at < n && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code + at, n - at, in, op));
}

/*
 * Where AMD's CPUs fault otherwise than Intel's, after which the engine is made: #AC on vector operands of 16 bytes and
 * more; no fault of elements that a mask leaves out for some instructions that Intel lists as not suppressing faults.
 */
static bool amd_faults_otherwise(const struct test_case *c, const struct result *a, const struct result *b)
{
    ZydisDecodedInstruction in;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    if (b->vector == EXC_PF && decode_at(c, b->s.rip, &in, op) && in.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX &&
        in.avx.mask.reg)
        return true;
    if (a->vector == EXC_AC && decode_at(c, a->s.rip, &in, op))
        for (unsigned i = 0; i < in.operand_count; i++)
            if (op[i].type == ZYDIS_OPERAND_TYPE_MEMORY && op[i].size >= 128)
                return true;
    return false;
}

/* AMD's CPUs leave the flags of the last comparison when a repetition faults, and read the operands of CMPS the other
 * way round. */
static bool amd_compares(const struct test_case *c, const struct result *a)
{
    ZydisDecodedInstruction in;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    return host_is_amd() && decode_at(c, a->s.rip, &in, op) && in.meta.category == ZYDIS_CATEGORY_STRINGOP;
}

/* At CPL 0 the engine's side can reach its monitor, where the host has its kernel. */
static bool in_monitor(const struct test_case *c, const struct result *a)
{
    return c->cpl0 && a->vector == EXC_PF && a->cr2 >= HIGH && a->cr2 - HIGH < GUEST_SIZE;
}

/* By the manual #PF comes before #AC, but CPUs raise #AC first: both are accepted. */
static bool only_priority(const struct result *a, const struct result *b)
{
    return a->s.rip == b->s.rip &&
           ((a->vector == EXC_AC && b->vector == EXC_PF) || (a->vector == EXC_PF && b->vector == EXC_AC));
}

static u32 error_mask(const struct test_case *c, const struct result *a)
{
    if (a->vector != EXC_PF)
        return ~0u;
    u32 mask = ~0u;
    if (c->cpl0)
        mask &= ~PFERR_U;
    if (a->cr2 >= 0x7ffffffff000ull)
        mask &= ~PFERR_P; /* Linux hides what is mapped in the kernel's half */
    return mask;
}

static void show_bytes(const char *name, const u8 *a, const u8 *b, unsigned n)
{
    printf("    %-8s native ", name);
    for (unsigned i = n; i-- > 0;)
        printf("%02x%s", a[i], i && i % 8 == 0 ? "_" : "");
    printf("\n    %-8s engine ", "");
    for (unsigned i = n; i-- > 0;)
        printf("%02x%s", b[i], i && i % 8 == 0 ? "_" : "");
    printf("\n");
}

static void show_u64(const char *name, u64 a, u64 b)
{
    if (a != b)
        printf("    %-8s native %016llx\n    %-8s engine %016llx\n", name, (unsigned long long)a, "",
               (unsigned long long)b);
}

void show_difference(const struct test_case *c, const struct result *a, const struct result *b)
{
    char name[32];
    show_u64("vector", a->vector, b->vector);
    show_u64("error", a->error & error_mask(c, a), b->error & error_mask(c, a));
    show_u64("cr2", a->cr2, b->cr2);
    show_u64("rip", a->s.rip - CODE_LA - c->start, b->s.rip - CODE_LA - c->start);
    show_u64("rflags", a->s.rflags & FLAGS_SEEN, b->s.rflags & FLAGS_SEEN);
    for (unsigned i = 0; i < GPR_COUNT; i++)
        show_u64(gpr_name[i], a->s.gpr[i], b->s.gpr[i]);
    show_u64("fs base", a->s.fs_base, b->s.fs_base);
    show_u64("gs base", a->s.gs_base, b->s.gs_base);
    const struct vectors *v = &a->s.vec, *w = &b->s.vec;
    show_u64("fcw", v->fcw, w->fcw);
    show_u64("fsw", v->fsw, w->fsw);
    show_u64("ftw", v->ftw, w->ftw);
    show_u64("mxcsr", v->mxcsr, w->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "st%u", i);
        if (memcmp(v->st[i], w->st[i], 10))
            show_bytes(name, v->st[i], w->st[i], 10);
        snprintf(name, sizeof(name), "k%u", i);
        show_u64(name, v->k[i], w->k[i]);
    }
    for (unsigned i = 0; i < 32; i++) {
        snprintf(name, sizeof(name), "zmm%u", i);
        if (memcmp(v->zmm[i], w->zmm[i], 64))
            show_bytes(name, v->zmm[i], w->zmm[i], 64);
    }
    unsigned shown = 0;
    for (unsigned i = 0; i < MEMORY_SIZE && shown < 4; i += 8) {
        if (!memcmp(a->memory + i, b->memory + i, 8))
            continue;
        u64 la = i < DATA_PAGES * PAGE_SIZE ? DATA_LA + i : STACK_LA + i - DATA_PAGES * PAGE_SIZE;
        snprintf(name, sizeof(name), "%llx", (unsigned long long)la);
        show_bytes(name, a->memory + i, b->memory + i, 8);
        shown++;
    }
}

bool outcomes_agree(const struct test_case *c, const struct result *a, const struct result *b)
{
    u32 error = error_mask(c, a);
    if ((a->vector == EXC_PF || a->vector == EXC_GP) && latitude_of(c).no_mask)
        return true;
    u64 flags = (a->s.rflags ^ b->s.rflags) & FLAGS_SEEN, cr2 = a->cr2 ^ b->cr2;
    bool same = a->vector == b->vector && !((a->error ^ b->error) & error);
    bool memory = !memcmp(a->memory, b->memory, MEMORY_SIZE);
    bool vectors = !memcmp(&a->s.vec, &b->s.vec, sizeof(a->s.vec));
    bool registers = a->s.rip == b->s.rip && a->s.fs_base == b->s.fs_base && a->s.gs_base == b->s.gs_base &&
                     !memcmp(a->s.gpr, b->s.gpr, sizeof(a->s.gpr));
    if (registers && same && memory && vectors && !flags && !cr2)
        return true;
    struct latitude l = latitude_of(c);
    bool faulted = a->vector != EXC_BP;
    if (l.rex || ((l.masked || l.cr2) && (a->vector == EXC_AC || b->vector == EXC_AC)))
        return true;
    if (in_monitor(c, a) || (host_is_amd() && amd_faults_otherwise(c, a, b)))
        return true;
    if (l.enter && a->vector != EXC_BP && b->vector != EXC_BP)
        return true;
    if (l.mxcsr && a->vector == EXC_XM && b->vector == EXC_PF)
        return true;
    if (l.x87_store && b->vector != EXC_BP && (a->s.vec.fsw & 0x80 || a->s.vec.fsw & ~a->s.vec.fcw & 0x3f))
        return true;
    if (faulted && b->vector != EXC_BP && amd_compares(c, a)) {
        same = true;
        cr2 = 0;
        l.flags |= l.step_flags;
    }
    if (!registers || (!same && !only_priority(a, b)))
        return false;
    if (same && cr2 && !(l.cr2_page && cr2 < PAGE_SIZE) && !l.cr2)
        return false;
    if (faulted && !vectors && (l.x87 || l.mxcsr))
        vectors = !memcmp(a->s.vec.zmm, b->s.vec.zmm, sizeof(a->s.vec.zmm)) &&
                  !memcmp(a->s.vec.k, b->s.vec.k, sizeof(a->s.vec.k)) && (l.mxcsr || a->s.vec.mxcsr == b->s.vec.mxcsr);
    if (a->vector == EXC_DB)
        l.flags |= l.step_flags;
    return !(flags & ~l.flags) && (memory || (faulted && l.memory)) && (vectors || (faulted && l.vectors));
}

void case_print(FILE *f, const struct test_case *c)
{
    fprintf(f, "%016llx %x %u", (unsigned long long)c->seed, c->start, c->cpl0 ? 0 : 3);
    for (unsigned i = 0; i < c->units; i++) {
        fputc(' ', f);
        for (unsigned j = 0; j < c->len[i]; j++)
            fprintf(f, "%02x", c->code[i][j]);
    }
    fputc('\n', f);
}

bool case_parse(const char *line, struct test_case *c)
{
    unsigned long long seed;
    unsigned start, cpl;
    int n;
    memset(c, 0, sizeof(*c));
    if (sscanf(line, "%llx %x %u%n", &seed, &start, &cpl, &n) != 3 || start >= CODE_PAGES * PAGE_SIZE - 256)
        return false;
    c->seed = seed;
    c->start = (u16)start;
    c->cpl0 = cpl == 0;
    char word[64];
    int used;
    for (line += n; sscanf(line, "%63s%n", word, &used) == 1 && word[0] != '#'; line += used) {
        size_t len = strlen(word) / 2;
        if (c->units == UNITS || len > UNIT_BYTES || strlen(word) % 2)
            return false;
        for (size_t i = 0; i < len; i++) {
            unsigned byte;
            if (sscanf(word + 2 * i, "%2x", &byte) != 1)
                return false;
            c->code[c->units][i] = (u8)byte;
        }
        c->len[c->units++] = (u8)len;
    }
    return c->units > 0;
}

unsigned case_mnemonic(const struct test_case *c)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction in;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, c->code[0], c->len[0], &in)) ? in.mnemonic : 0;
}

void case_disassemble(const struct test_case *c)
{
    u64 la = CODE_LA + c->start;
    for (unsigned i = 0; i < c->units; i++) {
        for (unsigned at = 0; at < c->len[i];) {
            ZydisDisassembledInstruction in;
            if (!ZYAN_SUCCESS(
                    ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, la + at, c->code[i] + at, c->len[i] - at, &in)))
                break;
            printf("    +%-4llx %s\n", (unsigned long long)(la + at - CODE_LA - c->start), in.text);
            at += in.info.length;
        }
        la += c->len[i];
    }
}
