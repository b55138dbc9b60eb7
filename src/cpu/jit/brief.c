/*
 * Called instructions that are brief where nothing is in the way: what they do then takes a few host instructions, and
 * saving the guest's registers for C would take more than that. The table says in which modes (vcpu.mode) an
 * instruction is brief; what only shows when it runs (a pending interrupt, a page that is not in the TLB) leads to its
 * handler. Most have a piece of code that blocks share, at the start of the code cache behind that of check.c. A piece
 * that may need the handler gets the instruction in rcx, as exec_thunk_call does. RFLAGS stay as they are.
 *
 * In single steps nothing is brief.
 */
#include "cpu/jit/translate.h"

/* -- pieces -- */

/* Goes on with the handler, if rcx is what it was. */
static void emit_handler(struct emit *e)
{
    emit_jmp_vcpu(e, CALLED_DISP(call_thunk));
}

/* The same, after emit_keep. */
static void emit_keep(struct emit *e)
{
    emit_store(e, RCX, CALLED_DISP(resume_rcx));
}

static void emit_kept_handler(struct emit *e)
{
    emit_load(e, RCX, CALLED_DISP(resume_rcx));
    emit_handler(e);
}

/* r11 = vcpu.flags; jumps by the JRCXZ that it returns if the flag is 0. */
static u8 *emit_flag_check(struct emit *e, u32 flag)
{
    emit_load(e, R11, CALLED_DISP(flags));
    emit_mov_imm32(e, RCX, flag);
    emit_pext_reg(e, RCX, R11, RCX);
    return emit_jrcxz(e);
}

/* Adds to what emit_flag_check loaded. */
static void emit_flag_add(struct emit *e, s32 flag)
{
    emit_lea(e, true, R11, R11, H_NONE, 1, flag);
    emit_store(e, R11, CALLED_DISP(flags));
}

static void piece_clear(struct emit *e, u32 flag)
{
    u8 *clear = emit_flag_check(e, flag);
    emit_flag_add(e, -(s32)flag);
    emit_here8(e, clear);
    emit_ret(e);
}

static void piece_cld(struct emit *e)
{
    piece_clear(e, FLAG_DF);
}

static void piece_cli(struct emit *e)
{
    piece_clear(e, FLAG_IF);
}

/* With nothing pending the interrupt shadow is just that the next instruction follows. */
static void piece_sti(struct emit *e)
{
    emit_keep(e);
    emit_load(e, R11, CALLED_DISP(request));
    emit_load8(e, RCX, CALLED_DISP(intr_masked));
    emit_lea(e, true, RCX, RCX, R11, 1, 0);
    u8 *quiet = emit_jrcxz(e);
    emit_kept_handler(e);
    emit_here8(e, quiet);
    u8 *clear = emit_flag_check(e, FLAG_IF);
    emit_ret(e);
    emit_here8(e, clear);
    emit_flag_add(e, FLAG_IF);
    emit_ret(e);
}

void emit_refused(struct emit *e)
{
    emit_load(e, RAX, CALLED_DISP(gpr[RAX]));
    emit_kept_handler(e);
}

void emit_context_ready(struct emit *e, s32 mode)
{
    _Static_assert(offsetof(struct tlb, doubted) == offsetof(struct tlb, in_place) + 1, "one load has both");
    emit_load_mem(e, 4, RAX, R11, H_NONE, offsetof(struct tlb, jmode));
    emit_load32(e, RCX, mode);
    emit_not(e, false, RCX);
    emit_lea(e, false, RCX, RCX, RAX, 1, 1);
    emit_load8(e, RAX, CALLED_DISP(in_place));
    emit_lea(e, true, RCX, RCX, RAX, 1, 0);
    emit_load_mem(e, 2, RAX, R11, H_NONE, offsetof(struct tlb, in_place));
    emit_lea(e, true, RCX, RCX, RAX, 1, 0);
}

void emit_context_use(struct emit *e)
{
    emit_store(e, R11, CALLED_DISP(tlb));
    emit_load_mem(e, 8, RAX, R11, H_NONE, offsetof(struct tlb, direct));
    emit_store(e, RAX, CALLED_DISP(direct));
    emit_load_mem(e, 8, RAX, R11, H_NONE, offsetof(struct tlb, gs_base));
    emit_wrgsbase(e, RAX);
}

/* STAC and CLAC, between two TLB contexts that know each other. Handlers of interrupts and page faults begin with a
 * CLAC that changes nothing. */
static void piece_ac(struct emit *e, bool set)
{
    const enum beside to = set ? BESIDE_STAC : BESIDE_CLAC;
    emit_keep(e);
    emit_load(e, R11, CALLED_DISP(tlb));
    emit_load_mem(e, 8, RCX, R11, H_NONE, (s32)(offsetof(struct tlb, beside) + to * sizeof(struct tlb *)));
    u8 *none = emit_jrcxz(e);
    emit_store(e, RAX, CALLED_DISP(gpr[RAX]));
    emit_mov(e, R11, RCX);
    emit_context_ready(e, CALLED_DISP(mode));
    u8 *ready = emit_jrcxz(e);
    emit_load(e, RAX, CALLED_DISP(gpr[RAX]));
    emit_here8(e, none);
    u8 *clear = set ? NULL : emit_flag_check(e, FLAG_AC);
    emit_kept_handler(e);
    if (clear) {
        emit_here8(e, clear);
        emit_ret(e);
    }
    emit_here8(e, ready);
    emit_load(e, RAX, CALLED_DISP(flags));
    emit_lea(e, true, RAX, RAX, H_NONE, 1, set ? (s32)FLAG_AC : -(s32)FLAG_AC);
    emit_store(e, RAX, CALLED_DISP(flags));
    emit_context_use(e);
    emit_load(e, RAX, CALLED_DISP(gpr[RAX]));
    emit_ret(e);
}

static void piece_clac(struct emit *e)
{
    piece_ac(e, false);
}

static void piece_stac(struct emit *e)
{
    piece_ac(e, true);
}

static void piece_swapgs(struct emit *e)
{
    emit_load(e, RCX, CALLED_DISP(seg[SEG_GS].base));
    emit_load(e, R11, CALLED_DISP(kernel_gs_base));
    emit_store(e, R11, CALLED_DISP(seg[SEG_GS].base));
    emit_store(e, RCX, CALLED_DISP(kernel_gs_base));
    emit_ret(e);
}

static void emit_tsc(struct emit *e)
{
    emit_rdtsc(e);
    emit_rorx(e, true, RDX, RDX, 32);
    emit_load(e, RCX, CALLED_DISP(tsc_offset));
    emit_lea(e, true, RAX, RAX, RDX, 1, 0);
    emit_lea(e, true, RAX, RAX, RCX, 1, 0);
    emit_rorx(e, true, RDX, RAX, 32);
    emit_mov32(e, RDX, RDX);
    emit_mov32(e, RAX, RAX);
}

static void piece_rdtsc(struct emit *e)
{
    emit_tsc(e);
    emit_ret(e);
}

/* LFENCE waits for earlier loads, as op_rdtscp does. */
static void piece_rdtscp(struct emit *e)
{
    emit_lfence(e);
    emit_tsc(e);
    emit_load32(e, H_GUEST_RCX, CALLED_DISP(tsc_aux));
    emit_ret(e);
}

/* Bit 1 is in AH and in vcpu.flags. */
void emit_flags_image(struct emit *e, unsigned dst)
{
    enum { OF_BIT = 11 };
    emit_lahf(e);
    emit_seto_al(e);
    emit_movzx_ah(e);
    emit_movzx_al(e, RAX);
    emit_rorx(e, false, RAX, RAX, 32 - OF_BIT);
    emit_load(e, dst, CALLED_DISP(flags));
    emit_lea(e, true, dst, dst, RCX, 1, -(s32)FLAG_ONE);
    emit_lea(e, true, dst, dst, RAX, 1, 0);
}

/* Keeps what PUSHF pushes at SPILL_OPERAND for emit_push_fetched. */
static void piece_pushf(struct emit *e)
{
    emit_store(e, RAX, CALLED_DISP(gpr[RAX]));
    emit_flags_image(e, R11);
    emit_store(e, R11, CALLED_DISP(spill));
    emit_load(e, RAX, CALLED_DISP(gpr[RAX]));
    emit_ret(e);
}

/* WRFSBASE and WRGSBASE of the base in r11. Addresses of the lower half are canonical in any mode. */
static void piece_base(struct emit *e, s32 base)
{
    enum { LOWER_HALF = 47 };
    emit_keep(e);
    emit_mov_imm64(e, RCX, ~(BIT64(LOWER_HALF) - 1));
    emit_pext_reg(e, RCX, R11, RCX);
    u8 *low = emit_jrcxz(e);
    emit_kept_handler(e);
    emit_here8(e, low);
    emit_store(e, R11, base);
    emit_ret(e);
}

static void piece_rdpkru(struct emit *e)
{
    emit_keep(e);
    emit_load(e, R11, CALLED_DISP(cr4));
    emit_not(e, true, R11);
    emit_mov_imm32(e, RCX, CR4_PKE);
    emit_pext_reg(e, RCX, R11, RCX);
    emit_mov32(e, R11, H_GUEST_RCX);
    emit_lea(e, true, RCX, RCX, R11, 1, 0);
    u8 *good = emit_jrcxz(e);
    emit_kept_handler(e);
    emit_here8(e, good);
    emit_load32(e, RAX, CALLED_DISP(pkru));
    emit_mov_imm32(e, RDX, 0);
    emit_ret(e);
}

static void piece_wrfsbase(struct emit *e)
{
    piece_base(e, CALLED_DISP(seg[SEG_FS].base));
}

static void piece_wrgsbase(struct emit *e)
{
    piece_base(e, CALLED_DISP(seg[SEG_GS].base));
}

/* Jumps by the JRCXZ that it returns if the TLB has all RCX (of the guest) elements at a pointer, which lie in one
 * page. There are fewer than RUN_MAX elements, so no other page's tag can make it seem so. */
#define RUN_MAX (2 * PAGE_SIZE) /* kernels clear a page byte by byte */
static u8 *emit_run_check(struct emit *e, unsigned pointer, unsigned size, s32 tags)
{
    emit_pext(e, RCX, pointer, CALLED_DISP(tlb_mask));
    emit_gs_load(e, R11, RCX, tags);
    emit_lea(e, true, R11, R11, pointer, 1, -1);
    emit_lea(e, true, R11, R11, H_GUEST_RCX, size, 0);
    emit_pext(e, RCX, R11, CALLED_DISP(page_mask));
    return emit_jrcxz(e);
}

/* host = the host pointer of what `pointer` points to. Uses rcx. */
static void emit_run_pointer(struct emit *e, unsigned host, unsigned pointer, s32 differences)
{
    emit_pext(e, RCX, pointer, CALLED_DISP(tlb_mask));
    emit_gs_load(e, RCX, RCX, differences);
    emit_lea(e, true, host, RCX, pointer, 1, 0);
}

/*
 * REP STOS and REP MOVS of 64-bit addresses, upwards, within a page: nothing can interrupt them. The host's own do the
 * work. A host fault there goes to exec_leave_string, for which RSI and RDI wait in the vCPU.
 */
static void piece_string(struct emit *e, unsigned size, bool moves)
{
    emit_keep(e);
    u8 *up = emit_flag_check(e, FLAG_DF);
    emit_kept_handler(e);
    emit_here8(e, up);
    emit_mov_imm64(e, RCX, ~(RUN_MAX - 1));
    emit_pext_reg(e, RCX, H_GUEST_RCX, RCX);
    u8 *few = emit_jrcxz(e);
    emit_kept_handler(e);
    emit_here8(e, few);
    if (moves) {
        u8 *readable = emit_run_check(e, RSI, size, CALLED_TLB(rtag));
        emit_kept_handler(e);
        emit_here8(e, readable);
    }
    u8 *writable = emit_run_check(e, RDI, size, CALLED_TLB(wtag));
    emit_kept_handler(e);
    emit_here8(e, writable);
    emit_store(e, RSI, CALLED_DISP(gpr[RSI]));
    emit_store(e, RDI, CALLED_DISP(gpr[RDI]));
    if (moves)
        emit_run_pointer(e, RSI, RSI, CALLED_TLB(radd));
    emit_run_pointer(e, RDI, RDI, CALLED_TLB(wadd));
    emit_mov(e, RCX, H_GUEST_RCX);
    if (moves)
        emit_rep_movs(e, size);
    else
        emit_rep_stos(e, size);
    if (moves) {
        emit_load(e, RSI, CALLED_DISP(gpr[RSI]));
        emit_lea(e, true, RSI, RSI, H_GUEST_RCX, size, 0);
    }
    emit_load(e, RDI, CALLED_DISP(gpr[RDI]));
    emit_lea(e, true, RDI, RDI, H_GUEST_RCX, size, 0);
    emit_mov_imm32(e, H_GUEST_RCX, 0);
    emit_ret(e);
}

/* -- instructions -- */

/* Calls a piece that never needs the handler. */
static bool emit_alone(struct tr *t)
{
    emit_call(&t->hot, t->c->brief[t->d->brief]);
    return true;
}

/* Calls one that may need it. */
static bool emit_or_handler(struct tr *t)
{
    emit_insn_number(t, t->d->fn, t->d->ends);
    return emit_alone(t);
}

/* Behind STI comes the dispatcher if the block ends there, which must see the interrupt shadow. */
static bool emit_sti(struct tr *t)
{
    return t->d != &t->insn[t->insn_count - 1] && emit_or_handler(t);
}

static bool emit_pushf(struct tr *t)
{
    if (t->d->in.prefixes & PREFIX_66)
        return false;
    emit_alone(t);
    emit_push_fetched(t, 8);
    return true;
}

static bool emit_string(struct tr *t, u8 *const piece[4])
{
    const struct insn *in = &t->d->in;
    if (in->asz != 8 || in->prefixes & PREFIX_SEG || !(in->prefixes & (PREFIX_REP | PREFIX_REPNE)))
        return false;
    emit_insn_number(t, t->d->fn, t->d->ends);
    emit_call(&t->hot, piece[in->opcode & 1 ? __builtin_ctz(in->osz) : 0]);
    return true;
}

static bool emit_movs(struct tr *t)
{
    return emit_string(t, t->c->movs);
}

static bool emit_stos(struct tr *t)
{
    return emit_string(t, t->c->stos);
}

static bool emit_syscall(struct tr *t)
{
    emit_load(&t->hot, R11, VCPU_DISP(page_la));
    emit_lea(&t->hot, true, R11, R11, H_NONE, 1, t->next);
    emit_insn_number(t, t->d->fn, t->d->ends);
    emit_jmp(&t->hot, t->c->brief[BRIEF_SYSCALL]);
    return true;
}

static bool emit_sysret(struct tr *t)
{
    if (t->d->in.osz != 8)
        return false;
    emit_insn_number(t, t->d->fn, t->d->ends);
    emit_jmp(&t->hot, t->v->vm->vendor == VENDOR_INTEL ? t->c->brief[BRIEF_SYSRET] : t->c->sysret_amd);
    return true;
}

/* The operand in ModRM.rm, a register: `wide` says that it has 64 bits, not 32. */
static bool is_wide(const struct tr *t)
{
    return t->d->in.rex & REX_W;
}

static bool emit_base_read(struct tr *t, s32 base)
{
    struct emit *e = &t->hot;
    unsigned home = host_of(t, t->d->in.rm), to = home == H_NONE ? R11 : home;
    if (is_wide(t))
        emit_load(e, to, base);
    else
        emit_load32(e, to, base);
    if (home == H_NONE)
        emit_store(e, to, gpr_disp(t->d->in.rm));
    return true;
}

static bool emit_rdfsbase(struct tr *t)
{
    return emit_base_read(t, VCPU_DISP(seg[SEG_FS].base));
}

static bool emit_rdgsbase(struct tr *t)
{
    return emit_base_read(t, VCPU_DISP(seg[SEG_GS].base));
}

static bool emit_base_write(struct tr *t)
{
    struct emit *e = &t->hot;
    unsigned home = host_of(t, t->d->in.rm);
    if (home == H_NONE)
        emit_load(e, R11, gpr_disp(t->d->in.rm));
    if (!is_wide(t))
        emit_mov32(e, R11, home == H_NONE ? R11 : home);
    else if (home != H_NONE)
        emit_mov(e, R11, home);
    return emit_or_handler(t);
}

/* MOV from a segment register to a register. */
static bool emit_selector(struct tr *t)
{
    struct emit *e = &t->hot;
    const struct insn *in = &t->d->in;
    unsigned seg = in->reg & 7, home = host_of(t, in->rm);
    if (in->mem || seg > SEG_GS)
        return false;
    unsigned to = home == H_NONE || in->osz == 2 ? RCX : home;
    emit_load16(e, to, VCPU_DISP(seg[0].sel) + (s32)(seg * sizeof(struct segment)));
    if (home == H_NONE && in->osz == 2)
        emit_store16(e, to, gpr_disp(in->rm));
    else if (home == H_NONE)
        emit_store(e, to, gpr_disp(in->rm));
    else if (in->osz == 2)
        emit_mov16(e, home, to);
    return true;
}

/* MOV from a control register. What L2 reads may be what L1 shows it, but CR2, which only SVM intercepts. */
static bool emit_control(struct tr *t)
{
    struct emit *e = &t->hot;
    const struct insn *in = &t->d->in;
    s32 from;
    switch (in->reg) {
    case 0: from = VCPU_DISP(cr0); break;
    case 2: from = VCPU_DISP(cr2); break;
    case 3: from = VCPU_DISP(cr3); break;
    case 4: from = VCPU_DISP(cr4); break;
    default: return false;
    }
    if (t->mode & MODE_GUEST && in->reg != 2)
        return false;
    unsigned home = host_of(t, in->rm), to = home == H_NONE ? R11 : home;
    emit_load(e, to, from);
    if (home == H_NONE)
        emit_store(e, to, gpr_disp(in->rm));
    return true;
}

/* -- the table -- */

/* Where L2 has it brief, too. */
enum l2 { L2_NEVER, L2_OF_VMX /* SVM has an intercept for it */, L2_ALWAYS };

struct brief {
    u32 mask, mode;                /* those MODE_* must be these */
    u8 l2;                         /* enum l2 */
    void (*piece)(struct emit *e); /* NULL: none, or several */
    bool (*emit)(struct tr *t);    /* false: it is not brief after all, and nothing was emitted */
};

#define KERNEL64 (MODE_CPL0 | MODE_64)

static const struct brief briefs[BRIEF_COUNT] = {
    [BRIEF_CLAC] = {MODE_CPL0, MODE_CPL0, L2_ALWAYS, piece_clac, emit_or_handler},
    [BRIEF_CLD] = {0, 0, L2_ALWAYS, piece_cld, emit_alone},
    [BRIEF_CLI] = {MODE_CPL0, MODE_CPL0, L2_ALWAYS, piece_cli, emit_alone},
    [BRIEF_CONTROL] = {MODE_CPL0 | MODE_SIZE_MASK, KERNEL64, L2_OF_VMX, NULL, emit_control},
    [BRIEF_MOVS] = {MODE_SIZE_MASK, MODE_64, L2_ALWAYS, NULL, emit_movs},
    [BRIEF_PUSHF] = {MODE_SIZE_MASK, MODE_64, L2_OF_VMX, piece_pushf, emit_pushf},
    [BRIEF_RDFSBASE] = {MODE_BASES, MODE_BASES, L2_ALWAYS, NULL, emit_rdfsbase},
    [BRIEF_RDGSBASE] = {MODE_BASES, MODE_BASES, L2_ALWAYS, NULL, emit_rdgsbase},
    [BRIEF_RDPKRU] = {0, 0, L2_ALWAYS, piece_rdpkru, emit_or_handler},
    [BRIEF_RDTSC] = {MODE_TSC, MODE_TSC, L2_NEVER, piece_rdtsc, emit_alone},
    [BRIEF_RDTSCP] = {MODE_TSC, MODE_TSC, L2_NEVER, piece_rdtscp, emit_alone},
    [BRIEF_SELECTOR] = {0, 0, L2_ALWAYS, NULL, emit_selector},
    [BRIEF_STAC] = {MODE_CPL0, MODE_CPL0, L2_ALWAYS, piece_stac, emit_or_handler},
    /* In L2 an exit shows the interrupt shadow. */
    [BRIEF_STI] = {MODE_CPL0, MODE_CPL0, L2_NEVER, piece_sti, emit_sti},
    [BRIEF_STOS] = {MODE_SIZE_MASK, MODE_64, L2_ALWAYS, NULL, emit_stos},
    [BRIEF_SWAPGS] = {MODE_CPL0 | MODE_SIZE_MASK, KERNEL64, L2_ALWAYS, piece_swapgs, emit_alone},
    [BRIEF_SYSCALL] = {MODE_USER | MODE_SIZE_MASK, MODE_USER | MODE_64, L2_ALWAYS, piece_syscall, emit_syscall},
    [BRIEF_SYSRET] = {MODE_CPL0 | MODE_SIZE_MASK, KERNEL64, L2_ALWAYS, piece_sysret, emit_sysret},
    [BRIEF_WRFSBASE] = {MODE_BASES, MODE_BASES, L2_ALWAYS, piece_wrfsbase, emit_base_write},
    [BRIEF_WRGSBASE] = {MODE_BASES, MODE_BASES, L2_ALWAYS, piece_wrgsbase, emit_base_write},
};

static bool l2_exits(const struct tr *t, enum l2 l2)
{
    return t->mode & MODE_GUEST && (l2 == L2_NEVER || (l2 == L2_OF_VMX && t->v->vm->vendor != VENDOR_INTEL));
}

bool translate_brief(struct tr *t)
{
    const struct brief *b = &briefs[t->d->brief];
    if (!b->emit || t->mode & MODE_STEP || (t->mode & b->mask) != b->mode || l2_exits(t, b->l2))
        return false;
    return b->emit(t);
}

u8 *brief_emit(struct cache *c, u8 *code, const u8 *end)
{
    struct emit e = {code, (u8 *)end};
    for (unsigned i = 0; i < BRIEF_COUNT; i++) {
        if (!briefs[i].piece)
            continue;
        emit_align(&e, CHECK_ALIGN);
        c->brief[i] = e.p;
        briefs[i].piece(&e);
    }
    emit_align(&e, CHECK_ALIGN);
    c->sysret_amd = e.p;
    piece_sysret_amd(&e);
    c->strings = e.p;
    for (unsigned i = 0; i < ARRAY_LEN(c->stos) * 2; i++) {
        u8 **piece = i & 1 ? c->movs : c->stos;
        emit_align(&e, CHECK_ALIGN);
        piece[i / 2] = e.p;
        piece_string(&e, 1u << i / 2, i & 1);
    }
    c->strings_end = e.p;
    emit_align(&e, LOOP_ALIGN);
    return e.p;
}
