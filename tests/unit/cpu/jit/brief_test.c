/*
 * Brief instructions: what the translated form of each does to the vCPU and to memory is what its handler does, from
 * random states; which modes have it; and which states lead to the handler.
 */
#include <signal.h>
#include <ucontext.h>

enum { CONTEXT_RIP = REG_RIP, CONTEXT_TRAPNO = REG_TRAPNO };
#undef REG_RIP /* cpu/core/insn.h has its own */

#include "cpu/insn/ops.h"
#include "cpu/jit/signal.h"
#include "unit/translated.h"

#define ROUNDS 2000
#define DATA_BYTES (2 * PAGE_SIZE)

static u64 seed = 1;

static u64 random_u64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static u64 one_of(u64 n)
{
    return random_u64() % n;
}

/* What an instruction may change. */
struct state {
    u64 gpr[GPR_COUNT], rip, flags, arith, kernel_gs_base, request, direct;
    struct segment seg[SEG_COUNT];
    struct tlb *tlb;
    u32 mode;
    u8 shadow;
    bool intr_masked;
    u8 data[DATA_BYTES];
    enum outcome outcome;
    struct event fault;
};

static void get(struct state *s)
{
    memset(s, 0, sizeof *s);
    memcpy(s->gpr, v->gpr, sizeof s->gpr);
    memcpy(s->seg, v->seg, sizeof s->seg);
    memcpy(s->data, ram + DATA_GPA, DATA_BYTES);
    s->rip = v->rip;
    s->flags = v->flags;
    s->arith = (u16)v->arith; /* no more of it counts */
    s->kernel_gs_base = v->kernel_gs_base;
    s->request = v->request;
    s->direct = v->direct;
    s->tlb = v->tlb;
    s->mode = v->mode;
    s->shadow = v->shadow;
    s->intr_masked = v->intr_masked;
}

static void set(const struct state *s)
{
    memcpy(v->gpr, s->gpr, sizeof s->gpr);
    memcpy(v->seg, s->seg, sizeof s->seg);
    memcpy(ram + DATA_GPA, s->data, DATA_BYTES);
    v->flags = s->flags;
    v->arith = s->arith;
    v->kernel_gs_base = s->kernel_gs_base;
    v->request = s->request;
    v->shadow = s->shadow;
    v->intr_masked = s->intr_masked;
    v->activity = ACTIVITY_ACTIVE;
    v->code_changed = v->trap_pending = false;
    v->fault = (struct event){0};
    mode_update(v);
}

/* A state in which HLT ends the block, or faults if `cpl` is 3. */
static void scramble(u32 cpl)
{
    v->cpl = cpl;
    for (unsigned i = 0; i < GPR_COUNT; i++)
        v->gpr[i] = random_u64() >> one_of(64);
    v->gpr[RSP] = DATA + 256 + one_of(PAGE_SIZE);
    v->flags = FLAG_ONE | (random_u64() & (FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_ID | FLAG_VIF));
    rflags_set_arith(v, random_u64());
    for (unsigned i = SEG_FS; i <= SEG_GS; i++)
        v->seg[i].base = random_u64() >> 17;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        v->seg[i].sel = (u16)random_u64();
    v->kernel_gs_base = random_u64() >> 17;
    v->request = 0;
    v->shadow = 0;
    v->intr_masked = false;
    v->fault = (struct event){0};
    for (unsigned i = 0; i < DATA_BYTES; i++)
        ram[DATA_GPA + i] = (u8)random_u64();
    mode_update(v);
}

/* Runs the instruction at CODE in its brief form, with what stands behind it, which leaves at once. */
static void run_brief(struct state *s)
{
    struct block *b = block(0);
    v->rip = CODE;
    v->resume = (u64)b->far_entry;
    v->resume_r11 = CODE;
    mmu_attach(v);
    exec_enter(v);
    get(s);
    s->outcome = v->exec->outcome;
    s->fault = v->fault;
}

/* Calls its handler as the dispatcher does. Returns whether the dispatcher would go on behind it. */
static bool run_called(struct state *s, insn_fn fn, struct insn in)
{
    u32 mode = v->mode;
    v->rip = CODE;
    v->next_rip = CODE + in.len;
    in.last = false;
    enum outcome out = fn(v, &in);
    bool on = out == CPU_NEXT ||
              (out == CPU_OK && v->next_rip == CODE + in.len && v->mode == mode && !v->code_changed && !v->request);
    if (out == CPU_OK || out == CPU_NEXT)
        v->rip = v->next_rip;
    get(s);
    s->outcome = out == CPU_NEXT ? CPU_OK : out;
    s->fault = v->fault;
    return on;
}

static unsigned checked; /* rounds that ended alike */

static void check_alike(insn_fn fn)
{
    static struct state begin, brief, called;
    get(&begin);
    block(0);
    const struct insn in = v->exec->tr->insn[0].in;
    const u64 len = in.len;
    run_brief(&brief);
    u64 calls = v->stat[STAT_CALL];
    set(&begin);
    bool on = run_called(&called, fn, in);
    v->stat[STAT_CALL] = calls;
    if (on && brief.outcome == CPU_FAULT && brief.rip == CODE + len) { /* HLT of CPL 3 */
        brief.outcome = CPU_OK;
        brief.fault = called.fault;
    } else if (on && brief.outcome == CPU_OK) {
        brief.rip -= brief.rip == CODE + len + 1; /* behind HLT */
    }
    bool same = !memcmp(&brief, &called, sizeof brief);
    CHECK(same);
    checked += same;
    set(&begin);
}

/* How many instructions were called in what `statement` does. */
#define CALLS(statement)                                                                                               \
    ({                                                                                                                 \
        u64 calls_before = v->stat[STAT_CALL];                                                                         \
        statement;                                                                                                     \
        v->stat[STAT_CALL] - calls_before;                                                                             \
    })

#define BRIEF(...) (code_create(), PUT(0, __VA_ARGS__, HLT))

/* ROUNDS states from scramble; in at most `called` of them the handler was needed. */
static void alike(insn_fn fn, u32 cpl, unsigned called)
{
    enum { HLT_CALLS = 1 };
    u64 calls = CALLS(for (unsigned i = 0; i < ROUNDS; i++) {
        scramble(cpl);
        check_alike(fn);
    });
    CHECK(calls <= ROUNDS * HLT_CALLS + called);
}

static void flags(void)
{
    TEST("CLI, STI, CLD");
    BRIEF(0xfa);
    alike(op_cli, 0, 0);
    BRIEF(0xfb);
    alike(op_sti, 0, 0);
    BRIEF(0xfc);
    alike(op_cld, 0, 0);
    BRIEF(0xfc);
    alike(op_cld, 3, 0);

    TEST("STI with something pending, or an interrupt that IF held back: the handler, and the shadow");
    BRIEF(0xfb);
    for (unsigned i = 0; i < ROUNDS; i++) {
        scramble(0);
        v->request = i & 1 ? REQ_EVENT : 0;
        v->intr_masked = i & 2;
        check_alike(op_sti);
    }
    scramble(0);
    v->flags &= ~FLAG_IF;
    v->intr_masked = true;
    struct state s;
    run_brief(&s);
    CHECK(s.shadow == SHADOW_STI && s.request == REQ_EVENT && s.rip == CODE + 1 && s.outcome == CPU_OK);

    TEST("STI at the end of a block: the handler, and the shadow");
    code_create();
    for (unsigned i = 0; i < BLOCK_MAX_INSNS - 1; i++)
        PUT(i, 0x90);
    PUT(BLOCK_MAX_INSNS - 1, 0xfb, HLT);
    scramble(0);
    v->flags &= ~FLAG_IF;
    run_brief(&s);
    CHECK(s.shadow == SHADOW_STI && s.rip == CODE + BLOCK_MAX_INSNS);

    TEST("CLI and STI above CPL 0: the handler");
    for (u32 cpl = 1; cpl <= 3; cpl++) {
        BRIEF(0xfa);
        for (unsigned i = 0; i < ROUNDS / 8; i++) {
            scramble(cpl);
            CHECK(CALLS(check_alike(op_cli)) >= 1);
        }
    }

    TEST("PUSHF");
    BRIEF(0x9c);
    alike(op_pushf, 0, 8);
    BRIEF(0x9c);
    alike(op_pushf, 3, 8);
    TEST("PUSHF of 16 bits");
    BRIEF(0x66, 0x9c);
    alike(op_pushf, 0, ROUNDS);
    TEST("PUSHF over the end of a page, and where nothing is mapped");
    BRIEF(0x9c);
    for (unsigned i = 0; i < 64; i++) {
        scramble(0);
        v->gpr[RSP] = DATA + PAGE_SIZE + i % 9;
        check_alike(op_pushf);
        scramble(0);
        v->gpr[RSP] = DATA - PAGE_SIZE + i;
        check_alike(op_pushf);
    }
}

static void bases(void)
{
    static const u8 fs_rax[] = {0xf3, 0x48, 0x0f, 0xae, 0xc0};
    static const struct {
        u8 reg;
        insn_fn fn;
    } of[] = {{0, op_rdfsbase}, {1, op_rdgsbase}, {2, op_wrfsbase}, {3, op_wrgsbase}};
    TEST("SWAPGS");
    BRIEF(0x0f, 0x01, 0xf8);
    alike(op_swapgs, 0, 0);
    BRIEF(0x0f, 0x01, 0xf8);
    for (unsigned i = 0; i < 8; i++) {
        scramble(3);
        check_alike(op_swapgs);
    }

    TEST("RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE with each register and size");
    for (unsigned i = 0; i < 4 * 16 * 2; i++) {
        unsigned reg = i / 4 % 16;
        u8 code[] = {fs_rax[0], (u8)((i >= 64 ? 0x48 : 0x40) | (reg >= 8)),  fs_rax[2],
                     fs_rax[3], (u8)(0xc0 | of[i % 4].reg << 3 | (reg & 7)), HLT};
        code_create();
        put_code(0, code, sizeof code);
        v->cr4 |= CR4_FSGSBASE;
        for (unsigned k = 0; k < 32; k++) {
            scramble(k & 1 ? 3 : 0);
            if (k & 2)
                v->gpr[reg] = random_u64() | BIT64(47) << one_of(17); /* upper half, or not canonical */
            check_alike(of[i % 4].fn);
        }
    }
    TEST("without CR4.FSGSBASE: #UD");
    code_create();
    put_code(0, fs_rax, sizeof fs_rax);
    scramble(0);
    struct state s;
    run_brief(&s);
    CHECK(s.outcome == CPU_FAULT && s.fault.vector == EXC_UD && s.rip == CODE);
}

static void selectors(void)
{
    TEST("MOV from each segment register to each register, of each size");
    for (unsigned i = 0; i < 6 * 16 * 3; i++) {
        unsigned reg = i / 6 % 16, size = i / 96;
        u8 code[] = {size == 2 ? 0x66 : 0x90, (u8)((size == 1 ? 0x48 : 0x40) | (reg >= 8)), 0x8c,
                     (u8)(0xc0 | i % 6 << 3 | (reg & 7)), HLT};
        code_create();
        put_code(0, size == 2 ? code : code + 1, sizeof code - (size != 2));
        for (unsigned k = 0; k < 8; k++) {
            scramble(k & 1 ? 3 : 0);
            check_alike(op_mov_from_sreg);
        }
    }
    TEST("a segment register that there is not: #UD");
    BRIEF(0x8c, 0xf0);
    scramble(0);
    struct state s;
    run_brief(&s);
    CHECK(s.outcome == CPU_FAULT && s.fault.vector == EXC_UD && s.rip == CODE);
}

static void control_registers(void)
{
    TEST("MOV from each control register to each register");
    static const u8 regs[] = {0, 2, 3, 4, 8};
    for (unsigned i = 0; i < 5 * 16; i++) {
        unsigned reg = i / 5, cr = regs[i % 5];
        u8 code[] = {(u8)(0x40 | (cr >> 3) << 2 | (reg >> 3)), 0x0f, 0x20, (u8)(0xc0 | (cr & 7) << 3 | (reg & 7)), HLT};
        code_create();
        put_code(0, code, sizeof code);
        for (unsigned k = 0; k < 8; k++) {
            scramble(k == 7 ? 3 : 0);
            v->cr2 = random_u64();
            u64 calls = CALLS(check_alike(op_mov_from_cr));
            CHECK(k == 7 || calls == 1 + (cr == 8));
        }
    }
    TEST("one that there is not: #UD");
    BRIEF(0x0f, 0x20, 0xc8);
    scramble(0);
    static struct state s;
    run_brief(&s);
    CHECK(s.outcome == CPU_FAULT && s.fault.vector == EXC_UD && s.rip == CODE);
}

static void protection_keys(void)
{
    TEST("RDPKRU, and without CR4.PKE or with ECX: the handler");
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i % 50 == 0)
            BRIEF(0x0f, 0x01, 0xee);
        scramble(i & 1 ? 3 : 0);
        v->pkru = (u32)random_u64();
        v->cr4 = i & 2 ? v->cr4 | CR4_PKE : v->cr4 & ~CR4_PKE;
        v->gpr[RCX] = i & 4 ? random_u64() << 32 : random_u64();
        mmu_select(v);
        u64 calls = CALLS(check_alike(op_rdpkru)); /* at least one: HLT's, or that of the handler, which faults */
        CHECK_EQ(calls, 1);
    }
    v->cr4 &= ~CR4_PKE;
}

/* -- SMAP -- */

static void smap(void)
{
    static struct state s;
    TEST("STAC and CLAC under SMAP: the two contexts know each other after the first turn");
    BRIEF(0x0f, 0x01, 0xcb, 0x0f, 0x01, 0xca);
    map(CODE, CODE_GPA | P | W);
    map(DATA, DATA_GPA | P | W);
    v->cr4 |= CR4_SMAP;
    scramble(0);
    run_brief(&s);
    struct tlb *without = v->tlb, *with = without->beside[BESIDE_STAC];
    CHECK(with && with != without && with->beside[BESIDE_CLAC] == without && !without->beside[BESIDE_CLAC] &&
          !with->beside[BESIDE_STAC]);
    CHECK_EQ(CALLS(run_brief(&s)), 1);
    CHECK(v->tlb == without && !(v->flags & FLAG_AC) && v->direct == without->direct);

    TEST("each by itself");
    for (unsigned i = 0; i < ROUNDS; i++) {
        code_create();
        map(CODE, CODE_GPA | P | W);
        PUT(0, 0x0f, 0x01, i & 1 ? 0xcb : 0xca, HLT);
        v->cr4 |= i & 2 ? CR4_SMAP : 0;
        scramble(0);
        v->flags |= i & 4 ? FLAG_AC : 0;
        mode_update(v);
        check_alike(i & 1 ? op_stac : op_clac);
        check_alike(i & 1 ? op_stac : op_clac);
    }

    TEST("a CLAC that changes nothing");
    BRIEF(0x0f, 0x01, 0xca);
    map(CODE, CODE_GPA | P | W);
    v->cr4 |= CR4_SMAP;
    scramble(0);
    CHECK_EQ(CALLS(check_alike(op_clac)), 1);

    TEST("GS base is that of the context");
    BRIEF(0x0f, 0x01, 0xcb, 0x0f, 0x01, 0xca);
    map(CODE, CODE_GPA | P | W);
    v->cr4 |= CR4_SMAP;
    scramble(0);
    run_brief(&s);
    run_brief(&s);
    u64 gs;
    __asm__ volatile("rdgsbase %0" : "=r"(gs));
    CHECK_EQ(gs + (u64)v + VCPU_BIAS, (u64)v->tlb);

    TEST("a jump cache that is to be emptied, and code to be compared: the handler");
    with = v->tlb->beside[BESIDE_STAC];
    with->jmode = ~0u;
    CHECK_EQ(CALLS(run_brief(&s)), 2);
    CHECK_EQ(with->jmode, v->mode);
    CHECK_EQ(CALLS(run_brief(&s)), 1);
    with->doubted = true;
    CHECK_EQ(CALLS(run_brief(&s)), 2);
    with->doubted = false;
    with->in_place = true;
    CHECK_EQ(CALLS(run_brief(&s)), 2);
    with->in_place = false;

    TEST("contexts that are dropped are known no more");
    struct tlb *const context = v->tlb;
    run_brief(&s);
    CHECK(context->beside[BESIDE_STAC] == with && with->beside[BESIDE_CLAC] == context);
    mmu_flush_nonglobal(v);
    CHECK(!context->beside[BESIDE_STAC] && !with->beside[BESIDE_CLAC]);
    run_brief(&s);
    CHECK(v->tlb->beside[BESIDE_STAC] && v->tlb->beside[BESIDE_STAC]->beside[BESIDE_CLAC] == v->tlb);
    mmu_forget(v);
    CHECK(!v->tlb->beside[BESIDE_CLAC] && !v->tlb->beside[BESIDE_STAC]);

    TEST("above CPL 0: #UD");
    BRIEF(0x0f, 0x01, 0xcb);
    scramble(3);
    run_brief(&s);
    CHECK(s.outcome == CPU_FAULT && s.fault.vector == EXC_UD && s.rip == CODE);
}

/* -- time -- */

static void time(void)
{
    static struct state s;
    TEST("RDTSC and RDTSCP: the host's time plus the offset");
    for (unsigned i = 0; i < 200; i++) {
        if (i & 1)
            BRIEF(0x0f, 0x31);
        else
            BRIEF(0x0f, 0x01, 0xf9);
        scramble(i & 2 ? 3 : 0);
        v->tsc_offset = random_u64();
        v->tsc_aux = random_u64();
        u64 rcx = i & 1 ? v->gpr[RCX] : (u32)v->tsc_aux, rbx = v->gpr[RBX], arith = v->arith;
        u64 before = tsc_read(v);
        CHECK_EQ(CALLS(run_brief(&s)), 1);
        u64 now = s.gpr[RDX] << 32 | s.gpr[RAX], after = tsc_read(v);
        CHECK(now - before <= after - before && !(s.gpr[RAX] >> 32) && !(s.gpr[RDX] >> 32));
        CHECK(s.gpr[RCX] == rcx && s.gpr[RBX] == rbx && s.arith == arith);
    }
    v->tsc_offset = 0;

    TEST("CR4.TSD above CPL 0: #GP");
    BRIEF(0x0f, 0x31);
    v->cr4 |= CR4_TSD;
    scramble(3);
    run_brief(&s);
    CHECK(s.outcome == CPU_FAULT && s.fault.vector == EXC_GP && s.rip == CODE);
    scramble(0);
    CHECK_EQ(CALLS(run_brief(&s)), 1);

    TEST("a TSC that is scaled: the handler");
    BRIEF(0x0f, 0x31);
    v->tsc_ratio = TSC_UNSCALED / 2;
    scramble(0);
    CHECK_EQ(CALLS(run_brief(&s)), 2);
    v->tsc_ratio = 0;
}

/* -- SYSCALL and SYSRET -- */

#define ENTRY 0x100 /* of the kernel */
#define USER 0x1000 /* where SYSRET goes */

static struct insn crossing_insn;

/* Code at CODE, HLT at both targets. */
static void crossing(bool sysret, enum vendor vendor, u8 prefix)
{
    code_create();
    vm.vendor = vendor;
    PUT(0, prefix, 0x0f, sysret ? 0x07 : 0x05);
    PUT(ENTRY, HLT);
    PUT(USER, HLT);
    v->efer |= EFER_SCE;
    v->lstar = CODE + ENTRY;
    block(0);
    crossing_insn = v->exec->tr->insn[0].in;
}

/* As check_alike; the HLT at the target ran in CPL 0, and faulted in CPL 3. */
static bool crosses_alike(insn_fn fn, u64 target)
{
    static struct state begin, brief, called;
    get(&begin);
    u32 cpl = v->cpl;
    block(0);
    run_brief(&brief);
    bool fast = cpl ? brief.rip == target + 1 : brief.outcome == CPU_FAULT && brief.rip == target;
    if (fast && cpl)
        brief.rip--;
    if (fast && !cpl) {
        CHECK_EQ(brief.fault.vector, EXC_GP);
        brief.outcome = CPU_OK;
        brief.fault = (struct event){0};
    }
    u32 brief_cpl = v->cpl;
    u64 trap = v->trap_dr6;
    v->cpl = cpl;
    set(&begin);
    run_called(&called, fn, crossing_insn);
    CHECK_EQ(v->cpl, brief_cpl);
    CHECK_EQ(v->trap_dr6, trap);
    bool same = !memcmp(&brief, &called, sizeof brief);
    CHECK(same);
    checked += same;
    v->cpl = cpl;
    v->trap_dr6 = 0;
    set(&begin);
    return fast;
}

static unsigned crossings(bool sysret, enum vendor vendor)
{
    unsigned fast = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i % 100 == 0)
            crossing(sysret, vendor, 0x48);
        scramble(sysret ? 0 : 3);
        v->star = random_u64();
        v->sfmask = random_u64() | (i % 8 ? FLAGS_ARITH | FLAG_AC | FLAG_TF : 0);
        if (i % 16 == 1)
            v->flags |= FLAG_AC;
        v->efer = i % 16 == 2 ? v->efer & ~EFER_SCE : v->efer | EFER_SCE;
        v->cr4 = i % 32 < 16 ? v->cr4 | CR4_TSD : v->cr4 & ~CR4_TSD;
        if (i % 16 == 3)
            v->request = REQ_EVENT;
        v->intr_masked = i % 16 == 4;
        v->gpr[R11] = random_u64() & (i % 4 ? ~(FLAG_TF | FLAG_AC) : ~0ull);
        v->gpr[RCX] = i % 16 == 5 ? random_u64() : CODE + USER;
        mode_update(v);
        fast += crosses_alike(sysret ? op_sysret : op_syscall, sysret ? v->gpr[RCX] : v->lstar);
    }
    vm.vendor = VENDOR_INTEL;
    return fast;
}

static void system_calls(void)
{
    TEST("SYSCALL");
    CHECK(crossings(false, VENDOR_INTEL) > ROUNDS / 2);
    CHECK(crossings(false, VENDOR_AMD) > ROUNDS / 2);
    TEST("SYSRET");
    CHECK(crossings(true, VENDOR_INTEL) > ROUNDS / 2);
    CHECK(crossings(true, VENDOR_AMD) > ROUNDS / 2);
    TEST("SYSRET of 32 bits: the handler");
    crossing(true, VENDOR_INTEL, 0x40);
    scramble(0);
    v->gpr[RCX] = CODE + USER;
    v->gpr[R11] = 0;
    crosses_alike(op_sysret, CODE + USER);
    TEST("the contexts of CPL 0 and 3 know each other");
    crossing(false, VENDOR_INTEL, 0x48);
    scramble(3);
    v->sfmask = FLAGS_ARITH | FLAG_AC | FLAG_TF;
    struct tlb *user = v->tlb;
    static struct state s;
    run_brief(&s);
    CHECK(user != v->tlb && user->beside[BESIDE_CPL] == v->tlb && v->tlb->beside[BESIDE_CPL] == user);
    mmu_flush_all(v);
    CHECK(!user->beside[BESIDE_CPL]);
}

/* -- strings -- */

static void string(u8 opcode, bool wide, bool small, insn_fn fn)
{
    u8 code[] = {small ? 0x66 : 0x90, 0xf3, wide ? 0x48 : 0x40, opcode, HLT};
    code_create();
    put_code(0, small ? code : code + 1, sizeof code - !small);
    unsigned size = !(opcode & 1) ? 1 : wide ? 8 : small ? 2 : 4;
    u64 called = 0;
    for (unsigned i = 0; i < ROUNDS / 4; i++) {
        scramble(i & 1 ? 3 : 0);
        v->flags &= i % 16 ? ~FLAG_DF : ~0ull;
        v->gpr[RDI] = DATA + one_of(PAGE_SIZE);
        v->gpr[RSI] = i & 2 ? v->gpr[RDI] - one_of(64) : DATA + one_of(PAGE_SIZE);
        v->gpr[RCX] = i & 4 ? one_of(20) : one_of(PAGE_SIZE / size);
        if (i % 32 == 9)
            v->gpr[RCX] = (PAGE_SIZE - (v->gpr[RDI] & PAGE_MASK)) / size; /* just to the end of the page */
        if (v->flags & FLAG_DF)
            v->gpr[RCX] = one_of(4);
        mode_update(v);
        called += CALLS(check_alike(fn)) > 1;
    }
    CHECK(called < ROUNDS / 4 / 4 * 3 && called);
}

static void strings(void)
{
    TEST("REP STOS and REP MOVS of each size");
    for (unsigned i = 0; i < 4; i++) {
        string(0xaa | (i > 0), i == 3, i == 1, op_stos);
        string(0xa4 | (i > 0), i == 3, i == 1, op_movs);
    }
    TEST("a whole page, and more than that");
    for (unsigned i = 0; i < 16; i++) {
        BRIEF(0xf3, 0xaa);
        scramble(0);
        v->flags &= ~FLAG_DF;
        v->gpr[RDI] = DATA;
        v->gpr[RCX] = PAGE_SIZE + i / 2;
        mode_update(v);
        check_alike(op_stos); /* fills the TLB */
        CHECK_EQ(CALLS(check_alike(op_stos)), i < 2 ? 1 : 2);
    }
    TEST("huge counts, and pages that are not there");
    BRIEF(0xf3, 0x48, 0xab);
    for (unsigned i = 0; i < 64; i++) {
        scramble(0);
        v->flags &= ~FLAG_DF;
        v->gpr[RCX] = i & 1 ? 1ull << (63 - i % 8) : 600;
        v->gpr[RDI] = DATA + (FRAMES - 1) * PAGE_SIZE + PAGE_SIZE - 8 * i;
        mode_update(v);
        check_alike(op_stos);
    }
    TEST("without a prefix, and with 32-bit addresses: the handler");
    BRIEF(0x48, 0xab);
    scramble(0);
    v->gpr[RDI] = DATA + 64;
    CHECK_EQ(CALLS(check_alike(op_stos)), 2);
    BRIEF(0xf3, 0x67, 0xab);
    scramble(0);
    v->gpr[RCX] = 0;
    CHECK_EQ(CALLS(check_alike(op_stos)), 2);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    const u8 *next = exec_signal(v, (const u8 *)g[CONTEXT_RIP], (unsigned)g[CONTEXT_TRAPNO]);
    if (next)
        g[CONTEXT_RIP] = (greg_t)next;
    else
        signal(number, SIG_DFL);
}

static void lost_memory(void)
{
    TEST("REP MOVS meets memory that the host took away: nothing but memory has changed");
    static u8 stack[65536];
    static struct state s;
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &act, NULL);
    BRIEF(0x90, 0xf3, 0xa4);
    scramble(0);
    v->flags &= ~FLAG_DF;
    v->gpr[RSI] = DATA + 100;
    v->gpr[RDI] = DATA + PAGE_SIZE + 100;
    v->gpr[RCX] = 64;
    mode_update(v);
    run_brief(&s); /* fills the TLB */
    v->gpr[RSI] = DATA + 100;
    v->gpr[RDI] = DATA + PAGE_SIZE + 100;
    v->gpr[RCX] = 64;
    u64 r14 = v->gpr[R14];
    mprotect(ram + DATA_GPA + PAGE_SIZE, PAGE_SIZE, PROT_READ);
    run_brief(&s);
    mprotect(ram + DATA_GPA + PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE);
    CHECK(s.outcome == CPU_EXIT && v->exit == CPU_EXIT_MEMORY && s.rip == CODE + 1);
    CHECK(s.gpr[RSI] == DATA + 100 && s.gpr[RDI] == DATA + PAGE_SIZE + 100 && s.gpr[RCX] == 64 && s.gpr[R14] == r14);
    v->exit = CPU_EXIT_NONE;
}

static void steps(void)
{
    TEST("in single steps nothing is brief");
    BRIEF(0xfa);
    block_in(0, MODE_STEP);
    const struct host_text *text = hot(0);
    CHECK(text->n >= 2 && !strcmp(text->line[1], "call [vcpu.call_thunk]"));
}

int main(void)
{
    flags();
    bases();
    selectors();
    control_registers();
    protection_keys();
    smap();
    time();
    system_calls();
    strings();
    lost_memory();
    steps();
    TEST("all rounds");
    CHECK(checked > ROUNDS * 10);
    return TEST_END();
}
