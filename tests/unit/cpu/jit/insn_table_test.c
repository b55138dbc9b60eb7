/*
 * The instruction table: every row is consistent, every handler has a row, and each trait belongs to exactly the
 * instructions that the manuals name, restated here as sets. What classify.c derives is in classify_test.c.
 */
#include <string.h>

#include "cpu/insn/ops.h"
#include "cpu/jit/insn_table.h"
#include "unit/test.h"

#define MNEMONICS (ZYDIS_MNEMONIC_MAX_VALUE + 1)

/* A set of mnemonics, as their names with spaces between. */
static bool has(const char *set, u16 mnemonic)
{
    const char *name = ZydisMnemonicGetString((ZydisMnemonic)mnemonic);
    size_t n = strlen(name);
    for (const char *at = set; (at = strstr(at, name)); at += n)
        if ((at == set || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return true;
    return false;
}

static unsigned count(const char *set)
{
    unsigned n = 1;
    for (; *set; set++)
        n += *set == ' ';
    return n;
}

static const char *name_of(u16 mnemonic)
{
    return ZydisMnemonicGetString((ZydisMnemonic)mnemonic);
}

/* Exactly these have the trait. */
static void trait_is(u32 trait, const char *set)
{
    unsigned n = 0;
    for (u16 m = 0; m < MNEMONICS; m++) {
        bool is = insn_table[m].traits & trait;
        n += is;
        CHECK_EQ(is, has(set, m));
        if (is != has(set, m))
            printf("# %s\n", name_of(m));
    }
    CHECK_EQ(n, count(set));
}

static void class_is(enum insn_class class, const char *set)
{
    unsigned n = 0;
    for (u16 m = 0; m < MNEMONICS; m++) {
        bool is = insn_table[m].class == class;
        n += is;
        CHECK_EQ(is, has(set, m));
        if (is != has(set, m))
            printf("# %s\n", name_of(m));
    }
    CHECK_EQ(n, count(set));
}

static void unit_is(enum insn_unit unit, const char *set)
{
    unsigned n = 0;
    for (u16 m = 0; m < MNEMONICS; m++) {
        bool is = insn_table[m].unit == unit;
        n += is;
        CHECK_EQ(is, has(set, m));
    }
    CHECK_EQ(n, count(set));
}

/* -- rows by themselves -- */

static void consistent(void)
{
    TEST("a called instruction has a handler, another has none");
    for (u16 m = 0; m < MNEMONICS; m++)
        CHECK_EQ(insn_table[m].class == CLASS_CALL, insn_table[m].fn != NULL);

    TEST("what goes on behind it, and what does not");
    for (u16 m = 0; m < MNEMONICS; m++) {
        enum insn_class class = insn_table[m].class;
        bool ends = insn_table[m].traits & INSN_ENDS;
        if (class == CLASS_JUMP || class == CLASS_CALL_NEAR || class == CLASS_RETURN)
            CHECK(ends);
        else
            CHECK(!ends || class == CLASS_CALL);
        CHECK_EQ(class_branches(class), class == CLASS_JCC || class == CLASS_JRCXZ || class == CLASS_LOOP ||
                                            class == CLASS_JUMP || class == CLASS_CALL_NEAR || class == CLASS_RETURN);
    }

    TEST("traits that go together, and traits that do not");
    const u32 by_class = INSN_PURE | INSN_KEEPS_DEST | INSN_LOCKS | INSN_LINE | INSN_SOURCE_OSZ | INSN_ALIGNED |
                         INSN_UNALIGNED | INSN_UNALIGNED_ON_AMD | INSN_X87_NO_WAIT | INSN_MASK_SIGNS32 |
                         INSN_MASK_SIGNS64 | INSN_MASK_SCALAR | INSN_MASK_PAIRS | INSN_MASK_BYTES |
                         INSN_NO_SUPPRESSION | INSN_UNCHECKED | INSN_PREFIX_IGNORED;
    for (u16 m = 0; m < MNEMONICS; m++) {
        u32 t = insn_table[m].traits;
        if (t & by_class)
            CHECK_EQ(insn_table[m].class, CLASS_COPY);
        if (t & INSN_BY_ONE)
            CHECK(t & (INSN_ADDS | INSN_SUBTRACTS));
        if (t & (INSN_ADDS | INSN_SUBTRACTS))
            CHECK(t & INSN_PURE);
        if (t & (INSN_WHILE_Z | INSN_WHILE_NZ))
            CHECK_EQ(insn_table[m].class, CLASS_LOOP);
        if (t & INSN_CALL_IN_L2)
            CHECK_EQ(insn_table[m].class, CLASS_CALL);
        CHECK(__builtin_popcount(t & (INSN_ADDS | INSN_SUBTRACTS)) <= 1);
        CHECK(__builtin_popcount(t & (INSN_WHILE_Z | INSN_WHILE_NZ)) <= 1);
        CHECK(__builtin_popcount(t & (INSN_ALIGNED | INSN_UNALIGNED | INSN_UNALIGNED_ON_AMD)) <= 1);
        CHECK(__builtin_popcount(t & (INSN_MASK_SIGNS32 | INSN_MASK_SIGNS64 | INSN_MASK_SCALAR | INSN_MASK_PAIRS |
                                      INSN_MASK_BYTES)) <= 1);
    }

    TEST("what follows from Zydis' attributes is in no row");
    for (u16 m = 0; m < MNEMONICS; m++) {
        CHECK(!(insn_table[m].traits & (INSN_X87 | INSN_X87_WAITS | INSN_SUPPRESSES)));
        CHECK(insn_table[m].unit < UNIT_SSE);
    }

    TEST("what is no instruction has no row");
    CHECK_EQ(insn_table[ZYDIS_MNEMONIC_INVALID].class, CLASS_COPY);
    CHECK(!insn_table[ZYDIS_MNEMONIC_INVALID].traits && !insn_table[ZYDIS_MNEMONIC_INVALID].forms);
}

static void forms(void)
{
    TEST("forms are ranges of opcodes with a handler");
    for (u16 m = 0; m < MNEMONICS; m++)
        for (const struct insn_form *f = insn_table[m].forms; f && f->fn; f++) {
            CHECK(f->first <= f->last && f->map <= 1);
            CHECK(insn_table[m].class != CLASS_CALL);
        }

    TEST("the form that fits: a far pointer before a segmented operand");
    const struct insn_form *f = insn_table[ZYDIS_MNEMONIC_CALL].forms;
    CHECK(f[1].when == FORM_FAR && f[1].fn == op_call_far && f[2].when == (FORM_MEMORY | FORM_SEGMENTED));
    f = insn_table[ZYDIS_MNEMONIC_JMP].forms;
    CHECK(f[1].when == FORM_FAR && f[1].fn == op_jmp_far && f[2].when == (FORM_MEMORY | FORM_SEGMENTED));
}

/* -- handlers -- */

static const struct {
    const char *name;
    insn_fn fn;
} handlers[] = {
#define HANDLER(op) {#op, op_##op},
    OPS(HANDLER)
#undef HANDLER
};

static unsigned uses(insn_fn fn)
{
    unsigned n = 0;
    for (u16 m = 0; m < MNEMONICS; m++) {
        n += insn_table[m].fn == fn;
        for (const struct insn_form *f = insn_table[m].forms; f && f->fn; f++)
            n += f->fn == fn;
    }
    return n;
}

static void every_handler(void)
{
    TEST("every handler is in the table");
    /* These are called in place of instructions: see classify.c. */
    const char *elsewhere = "x87_unusable mmx_unusable sse_unusable avx_unusable avx512_unusable too_long";
    for (unsigned i = 0; i < ARRAY_LEN(handlers); i++) {
        bool used = uses(handlers[i].fn);
        CHECK_EQ(used, !strstr(elsewhere, handlers[i].name));
        if (used == !!strstr(elsewhere, handlers[i].name))
            printf("# %s\n", handlers[i].name);
    }

    TEST("no other handler is in the table");
    for (u16 m = 0; m < MNEMONICS; m++) {
        bool known = !insn_table[m].fn;
        for (unsigned i = 0; i < ARRAY_LEN(handlers); i++)
            known |= handlers[i].fn == insn_table[m].fn;
        CHECK(known);
    }
}

static void classes(void)
{
    TEST("near branches");
    class_is(CLASS_JCC, "jo jno jb jnb jz jnz jbe jnbe js jns jp jnp jl jnl jle jnle");
    class_is(CLASS_JRCXZ, "jcxz jecxz jrcxz");
    class_is(CLASS_LOOP, "loop loope loopne");
    class_is(CLASS_JUMP, "jmp");
    class_is(CLASS_CALL_NEAR, "call");
    class_is(CLASS_RETURN, "ret");
    trait_is(INSN_WHILE_Z, "loope");
    trait_is(INSN_WHILE_NZ, "loopne");

    TEST("the stack and addresses");
    class_is(CLASS_PUSH, "push");
    class_is(CLASS_POP, "pop");
    class_is(CLASS_LEAVE, "leave");
    class_is(CLASS_LEA, "lea");
    class_is(CLASS_XLAT, "xlat");
    class_is(CLASS_BIT, "bt bts btr btc");

    TEST("hints and what does nothing");
    class_is(CLASS_NOP, "nop endbr32 endbr64 cldemote prefetch prefetchnta prefetcht0 prefetcht1 prefetcht2 prefetchw "
                        "prefetchwt1 feni8087_nop fdisi8087_nop fsetpm287_nop");
}

/* System instructions, I/O, strings, state images: what may not be copied, whatever user code may execute. */
static void called(void)
{
    TEST("called instructions");
    class_is(
        CLASS_CALL,
        /* 64-bit mode lacks them */
        "aaa aad aam aas arpl bound daa das into lds les popa popad pusha pushad salc "
        /* flags that translated code does not hold */
        "clac cld cli popf popfd popfq pushf pushfd pushfq stac std sti "
        /* strings and I/O; movsd and cmpsd by form */
        "cmpsb cmpsw cmpsq in insb insw insd lodsb lodsw lodsd lodsq movsb movsw movsq out outsb outsw outsd scasb "
        "scasw scasd scasq stosb stosw stosd stosq "
        /* segments and descriptor tables */
        "lar lfs lgdt lgs lidt lldt lsl lss ltr rdfsbase rdgsbase sgdt sidt sldt str swapgs verr verw wrfsbase "
        "wrgsbase "
        /* control transfers */
        "int int1 int3 iret iretd iretq syscall sysenter sysexit sysret ud0 ud1 ud2 "
        /* the system */
        "clts cpuid getsec hlt invd invlpg invpcid lmsw monitor mwait pause rdmsr rdpid rdpkru rdpmc rdrand rdseed "
        "rdtsc "
        "rdtscp rsm smsw wbinvd wrmsr wrpkru xgetbv xsetbv "
        /* state that shows or loads the host's pointers */
        "fldenv fnsave fnstenv frstor fxrstor fxrstor64 fxsave fxsave64 xrstor xrstor64 xrstors xrstors64 xsave "
        "xsave64 "
        "xsavec xsavec64 xsaveopt xsaveopt64 xsaves xsaves64 "
        /* several addresses, or by pointer under a mask */
        "maskmovdqu maskmovq vmaskmovdqu vgatherdpd vgatherdps vgatherqpd vgatherqps vpgatherdd vpgatherdq vpgatherqd "
        "vpgatherqq vpscatterdd vpscatterdq vpscatterqd vpscatterqq vscatterdpd vscatterdps vscatterqpd vscatterqps "
        "enter "
        /* virtualization */
        "invept invvpid vmcall vmclear vmfunc vmlaunch vmptrld vmptrst vmread vmresume vmwrite vmxoff vmxon "
        "clgi invlpga skinit stgi vmload vmmcall vmrun vmsave");

    TEST("instructions behind which the block ends");
    trait_is(INSN_ENDS, "call jmp ret "
                        "int int1 int3 into iret iretd iretq syscall sysenter sysexit sysret rsm ud0 ud1 ud2 "
                        /* what translation depends on may have changed */
                        "clts lmsw wrmsr xsetbv lds les lfs lgs lss invlpg invlpga invpcid invept invvpid "
                        "vmcall vmfunc vmlaunch vmresume vmxoff vmxon vmmcall vmrun skinit stgi clgi "
                        "hlt mwait");

    TEST("called in L2 only");
    trait_is(INSN_CALL_IN_L2, "pause");

    TEST("forms that are called");
    unsigned n = 0;
    for (u16 m = 0; m < MNEMONICS; m++)
        n += insn_table[m].forms != NULL;
    CHECK_EQ(n, 9);
    CHECK(insn_table[ZYDIS_MNEMONIC_MOV].forms && insn_table[ZYDIS_MNEMONIC_RET].forms);
    CHECK(insn_table[ZYDIS_MNEMONIC_MOVSD].forms && insn_table[ZYDIS_MNEMONIC_CMPSD].forms);
    CHECK(insn_table[ZYDIS_MNEMONIC_LEAVE].forms && insn_table[ZYDIS_MNEMONIC_PUSH].forms);
}

static void registers(void)
{
    TEST("integer arithmetic that cannot fault between registers");
    trait_is(INSN_PURE,
             "adc add and andn bswap cmp dec imul inc mov movsx movsxd movzx neg not or rol ror rorx sar sbb "
             "shl shld shr shrd sub test xor");

    TEST("constants that group.c follows");
    trait_is(INSN_ADDS, "add inc");
    trait_is(INSN_SUBTRACTS, "sub dec");
    trait_is(INSN_BY_ONE, "inc dec");

    TEST("the destination may stay: APM BSF and BSR with a source of 0, and what LZCNT and TZCNT become without CPUID");
    trait_is(INSN_KEEPS_DEST, "bsf bsr lzcnt tzcnt");
    trait_is(INSN_PREFIX_IGNORED, "lzcnt tzcnt");

    TEST("hypercalls of both vendors");
    trait_is(INSN_ANY_CPU, "vmcall vmmcall");
}

static void memory(void)
{
    TEST("SDM LOCK: XCHG with memory is locked without it");
    trait_is(INSN_LOCKS, "xchg");

    TEST("SDM CLFLUSH, CLFLUSHOPT, CLWB: checked like a load of a byte");
    trait_is(INSN_LINE, "clflush clflushopt clwb");

    TEST("MOVSXD with an operand size of 16 reads two bytes");
    trait_is(INSN_SOURCE_OSZ, "movsxd");

    TEST("VEX and EVEX: only these demand alignment (SDM exception classes 1 and E1)");
    trait_is(INSN_ALIGNED, "vmovapd vmovaps vmovdqa vmovdqa32 vmovdqa64 vmovntdq vmovntdqa vmovntpd vmovntps");

    TEST("legacy SSE: only these of 16 bytes do not (SDM exception class 4, and the unaligned moves)");
    trait_is(INSN_UNALIGNED, "lddqu movdqu movupd movups pcmpestri pcmpestrm pcmpistri pcmpistrm");
    trait_is(INSN_UNALIGNED_ON_AMD, "sha1msg1 sha1msg2 sha1nexte sha1rnds4 sha256msg1 sha256msg2 sha256rnds2");
}

static void masks(void)
{
    TEST("sign bits as masks");
    trait_is(INSN_MASK_SIGNS32, "vmaskmovps vpmaskmovd");
    trait_is(INSN_MASK_SIGNS64, "vmaskmovpd vpmaskmovq");

    TEST("EVEX: what a bit of the mask stands for");
    trait_is(INSN_MASK_SCALAR, "vfcmaddcsh vfcmulcsh vfmaddcsh vfmulcsh");
    trait_is(INSN_MASK_PAIRS, "vfcmaddcph vfcmulcph vfmaddcph vfmulcph");
    trait_is(INSN_MASK_BYTES, "vpshufbitqmb");

    TEST("EVEX: no fault suppression, against Zydis' class (SDM exception class E4NF)");
    trait_is(INSN_NO_SUPPRESSION, "vcvtne2ps2bf16 vdbpsadbw vgf2p8affineinvqb vgf2p8affineqb");

    TEST("VEX: no alignment check on Intel's CPUs (SDM exception class 11)");
    trait_is(INSN_UNCHECKED, "vcvtps2ph");
}

static void units(void)
{
    TEST("units that no operand shows");
    unit_is(UNIT_VECTOR, "ldmxcsr stmxcsr vldmxcsr vstmxcsr vzeroall vzeroupper");
    unit_is(UNIT_X87, "fisttp");
    unit_is(UNIT_MMX, "emms");
    unit_is(UNIT_FWAIT, "fwait");

    TEST("handlers that check the mode themselves: all of FXSAVE and XSAVE");
    unit_is(UNIT_UNCHECKED, "fxrstor fxrstor64 fxsave fxsave64 xgetbv xrstor xrstor64 xrstors xrstors64 xsave xsave64 "
                            "xsavec xsavec64 xsaveopt xsaveopt64 xsaves xsaves64 xsetbv");

    TEST("SDM FNSTCW and FNSTSW: without a look at pending exceptions");
    trait_is(INSN_X87_NO_WAIT, "fnstcw fnstsw");
}

int main(void)
{
    consistent();
    forms();
    every_handler();
    classes();
    called();
    registers();
    memory();
    masks();
    units();
    return TEST_END();
}
